package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// victimVariable has the address of a server by TLS, in a run of this program that is a client to be killed. With partVariable it is
// killed in the middle of a record.
const (
	victimVariable = "REDIS_OBSERVER_TEST_VICTIM"
	partVariable   = "REDIS_OBSERVER_TEST_VICTIM_PART"
)

// deadly is a connection whose process does not survive a send, once that is set.
type deadly struct {
	net.Conn
	armed bool
}

func (d *deadly) Write(data []byte) (int, error) {
	if !d.armed {
		return d.Conn.Write(data)
	}
	if os.Getenv(partVariable) != "" {
		data = data[:len(data)-1]
	}
	n, err := d.Conn.Write(data)
	kill()
	return n, err
}

// kill ends this process when the server has run what was sent.
func kill() {
	time.Sleep(200 * time.Millisecond)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// beVictim asks by crypto/tls, and is killed within the second Write.
func beVictim() error {
	plain, err := net.Dial("tcp", os.Getenv(victimVariable))
	if err != nil {
		return err
	}
	connection := &deadly{Conn: plain}
	c := tls.Client(connection, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test
	if _, err := c.Write(resp.Request("PING")); err != nil {
		return err
	}
	if _, err := c.Read(make([]byte, 100)); err != nil {
		return err
	}
	connection.armed = true
	_, err = c.Write(repeat(50, "INCR", "n"))
	return err
}

// A client that is killed within the library's call has sent its requests all the same, and gives them up. Nobody can read a part of a
// record, and what its library has only written to memory was never sent.
func TestEncryptedKilledWriting(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are encrypted")
	for _, kind := range []string{"Go", "Go in a record", "tls", "memory"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := mustTLSRedis(t)
			o := mustObserver(t, observing(r.tlsPort))
			var use func()
			if strings.HasPrefix(kind, "Go") {
				o.mustAttach(func() {
					c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.tlsPort), r.certificate.ClientConfig())
					require.NoError(t, err)
					defer c.Close()
					_, err = c.Write(request("PING"))
					require.NoError(t, err)
					_, err = c.Read(make([]byte, 100))
					require.NoError(t, err)
				})
				use = func() {
					victim := exec.Command(os.Args[0])
					victim.Env = append(os.Environ(), fmt.Sprintf("%s=127.0.0.1:%d", victimVariable, r.tlsPort))
					if kind != "Go" {
						victim.Env = append(victim.Env, partVariable+"=1")
					}
					require.EqualError(t, victim.Run(), "signal: killed")
				}
			} else {
				s := mustSpeaker(t, "")
				o.mustAttach(func() {
					s.must("open warm %s %d", kind, r.tlsPort)
					s.must("ask warm 1 PING")
					s.must("close warm")
				})
				victim := mustSpeaker(t, "")
				use = func() {
					victim.must("open a %s %d", kind, r.tlsPort)
					victim.must("ask a 1 PING")
					victim.mustDie("kill a 50 INCR n")
				}
			}
			before := o.mustScrape()
			r.mustResetStats()
			use()
			ran := r.mustStats()["incr"]
			want := counts{"ping": 1}
			if kind == "Go" || kind == "tls" {
				assert.Equal(t, 50, ran, "what was sent")
				want["incr"] = 50
			} else {
				assert.Zero(t, ran, "what was not sent")
				time.Sleep(time.Second)
			}
			o.assertSince(before, want)
			now := o.mustScrape()
			assert.Equal(t, want["incr"], now.sum("redis_observer_unanswered_commands_total", "reason=client_closed"))
			assert.Zero(t, now.sum("redis_observer_gaps_total")-before.sum("redis_observer_gaps_total"))
			o.mustSeePool("default", 0, 0)
		})
	}
}
