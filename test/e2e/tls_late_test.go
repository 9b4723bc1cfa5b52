package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// late is a connection whose Write returns some time after it has sent.
type late struct {
	net.Conn
	by time.Duration
}

func (l *late) Write(data []byte) (int, error) {
	n, err := l.Conn.Write(data)
	time.Sleep(l.by)
	return n, err
}

// mustReadAll reads replies until there were so many.
func mustReadAll(t *testing.T, from *bufio.Reader, replies int) {
	t.Helper()
	for range replies {
		_, err := resp.Skip(from)
		require.NoError(t, err)
	}
}

// A goroutine may read the replies long before another one returns from the Write that has sent the requests.
func TestEncryptedWriteReturnsLate(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are encrypted")
	r := mustTLSRedis(t)
	o := mustObserver(t, observing(r.tlsPort))
	open := func(by time.Duration) (*tls.Conn, *bufio.Reader) {
		plain, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.tlsPort))
		require.NoError(t, err)
		connection := &late{Conn: plain}
		config := r.certificate.ClientConfig()
		config.ServerName = "127.0.0.1"
		c := tls.Client(connection, config)
		require.NoError(t, c.Handshake())
		connection.by = by
		t.Cleanup(func() { _ = c.Close() })
		return c, bufio.NewReader(c)
	}
	o.mustAttach(func() {
		c, replies := open(0)
		_, err := c.Write(request("PING"))
		require.NoError(t, err)
		mustReadAll(t, replies, 1)
		_ = c.Close()
	})
	for _, test := range []struct {
		name     string
		requests []string
		times    int
	}{
		{name: "one record", requests: []string{"INCR", "n"}, times: 20},
		{name: "more segments of replies than are held", requests: []string{"INCR", "n"}, times: 1000},
		{name: "several records", requests: []string{"LPUSH", "list", strings.Repeat("x", 3000)}, times: 20},
		{name: "many records", requests: []string{"INCR", "n"}, times: 20_000},
	} {
		t.Log(test.name)
		before := o.mustScrape()
		r.mustResetStats()
		c, replies := open(120 * time.Millisecond)
		written := make(chan error)
		go func() {
			_, err := c.Write(repeat(test.times, test.requests...))
			written <- err
		}()
		mustReadAll(t, replies, test.times)
		require.NoError(t, <-written)
		want := r.mustStats()
		delete(want, "config_resetstat")
		o.assertSince(before, want)
		assert.Empty(t, o.mustScrape().losses().since(before.losses()))
	}
}

// What a library sends in parts, and what an application has to write again because the socket was full, counts once.
func TestEncryptedInParts(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are encrypted")
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			r := mustTLSRedis(t)
			o := mustObserver(t, fmt.Sprintf("ports: []\nendpoints: [{name: default, role: %s, addresses: [\"*:%d\"]}]\n", role, r.tlsPort))
			s := mustSpeaker(t, "")
			o.mustAttachTo(s, r.tlsPort)
			s.must("open a narrow %d", r.tlsPort)
			for range 3 {
				before := o.mustScrape()
				r.mustResetStats()
				s.must("ask a 4000 INCR n")
				s.must("ask a 1 SET long %s", strings.Repeat("x", 50_000))
				s.must("send a 50 GET long")
				s.must("read a 100") // lines
				want := r.mustStats()
				delete(want, "config_resetstat")
				o.assertSince(before, want)
				assert.Empty(t, o.mustScrape().losses().since(before.losses()))
			}
		})
	}
}
