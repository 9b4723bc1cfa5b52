package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// victimVariable has the address of a server by TLS, in a run of this program that is a client to be killed.
const victimVariable = "REDIS_OBSERVER_TEST_VICTIM"

// deadly is a connection whose process does not survive a send, once that is set.
type deadly struct {
	net.Conn
	armed bool
}

func (d *deadly) Write(data []byte) (int, error) {
	n, err := d.Conn.Write(data)
	if d.armed {
		kill()
	}
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

// A client that is killed within the library's call has sent requests that its end does not see: a loss is counted there. What its
// library has only written to memory was never sent, and is none.
func TestEncryptedKilledWriting(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are encrypted")
	for _, kind := range []string{"Go", "tls", "memory"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := mustTLSRedis(t)
			o := mustObserver(t, observing(r.tlsPort))
			var use func()
			if kind == "Go" {
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
			unseen := func(s snapshot) int {
				return s.sum("redis_observer_gaps_total", "reason=unseen", "effect=broken") -
					before.sum("redis_observer_gaps_total", "reason=unseen", "effect=broken")
			}
			if kind == "memory" {
				time.Sleep(time.Second)
				assert.Zero(t, ran, "what was not sent")
				now := o.mustScrape()
				assert.Equal(t, counts{"ping": 1}, now.commands("default").since(before.commands("default")))
				assert.Zero(t, unseen(now))
			} else {
				assert.Equal(t, 50, ran, "what was sent")
				now := o.mustSee("the loss", func(s snapshot) bool { return unseen(s) > 0 })
				assert.Equal(t, 1, unseen(now))
				assert.Equal(t, counts{"ping": 1}, now.commands("default").since(before.commands("default")))
			}
			o.mustSeePool("default", 0, 0)
		})
	}
}
