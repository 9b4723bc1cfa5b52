package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// answerTLS echoes once on each connection, after a handshake in which the server thinks for a while.
func answerTLS(t *testing.T, certificate kit.Certificate, delay time.Duration) (port int) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certificate.File, certificate.Key)
	require.NoError(t, err)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		time.Sleep(delay)
		return nil, nil
	}}
	return mustListen(t, func(conn net.Conn) {
		secure, b := tls.Server(conn, config), make([]byte, 100)
		if n, err := secure.Read(b); err == nil {
			_, _ = secure.Write(b[:n]) // the client may be gone
		}
		_, _ = secure.Read(b) // its end
	})
}

// The duration of a handshake is what the client itself measures, but for the making of its ClientHello and the call that sends its
// Finished. It includes neither the time before the handshake nor that until the first command.
func TestHandshakeDuration(t *testing.T) {
	t.Parallel()
	if !byPackets() {
		RequireProbes(t, "")
	}
	if _, err := exec.LookPath("python3"); err != nil {
		skip(t, "needs python3: apt-get install python3")
	}
	const connections = 12
	certificate, err := kit.NewCertificate(t.TempDir())
	require.NoError(t, err)
	for _, delay := range []time.Duration{0, 50 * time.Millisecond} {
		port := answerTLS(t, certificate, delay)
		o := mustObserver(t, observing(port))
		const count, sum = "redis_tls_handshake_duration_seconds", "redis_tls_handshake_duration_seconds_sum"
		for _, version := range []string{"1.2", "1.3"} {
			for _, how := range []string{"full", "resume"} {
				t.Run(fmt.Sprintf("%s %s %s", delay, version, how), func(t *testing.T) {
					before, err := o.Scrape()
					require.NoError(t, err)
					output, err := exec.Command("python3", "testdata/handshakes.py", fmt.Sprint(port), certificate.File, version, fmt.Sprint(connections), how).Output()
					require.NoError(t, err)
					var took float64
					var resumed int
					_, err = fmt.Sscan(string(output), &took, &resumed)
					require.NoError(t, err)
					assert.Equal(t, map[string]int{"full": 0, "resume": connections - 1}[how], resumed)
					after, err := o.Await(settled, func(s kit.Samples) bool { return s.Sum(count)-before.Sum(count) >= connections })
					require.NoError(t, err)
					assert.Equal(t, float64(connections), after.Sum(count)-before.Sum(count))
					theirs, ours := took/connections, (after.Sum(sum)-before.Sum(sum))/connections
					t.Logf("the client measured %.3f ms, the observer %.3f ms", 1000*theirs, 1000*ours)
					assert.Less(t, ours, theirs)
					assert.InDelta(t, theirs, ours, 0.01, "on a busy machine")
					assert.GreaterOrEqual(t, ours, delay.Seconds())
				})
			}
		}
	}
}
