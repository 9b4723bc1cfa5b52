package conformance

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// overTLS is behind the name of a backend where that is to read TLS connections.
const overTLS = "/tls"

var tlsLimit = regexp.MustCompile(`there are TLS connections, which are counted but not read" cause="([^"]*)"`)

// attachTime is what a guest may take to find two libraries and to attach to them.
const attachTime = 2 * time.Minute

// testTLS has traffic on TLS connections of this program, whose library is Go's, and of a server, whose library is OpenSSL. It returns why
// the backend does not read them, "" if it does.
func testTLS(t *testing.T, binary, backend string) (limit string) {
	certificate, err := kit.NewCertificate(t.TempDir())
	require.NoError(t, err)
	var servers []*redisServer
	for _, role := range []string{"client", "server"} {
		port := mustFreePort(t)
		server := mustStartRedis(t, role, "", certificate.ServerOptions(port)...)
		server.tlsPort = port
		servers = append(servers, server)
	}
	o := mustStartObserver(t, binary, backend, servers)
	for _, server := range servers {
		dial := func(t *testing.T) *tls.Conn {
			t.Helper()
			c, err := tls.Dial("tcp", fmt.Sprint("127.0.0.1:", server.tlsPort), certificate.ClientConfig())
			require.NoError(t, err)
			return c
		}
		for deadline := time.Now().Add(attachTime); ; {
			before := o.mustScrape(t)
			c := dial(t)
			exchange(t, c, request("PING"), 1)
			require.NoError(t, c.Close())
			if kit.Wait(time.Second, func() bool { return observed(before, o.mustScrape(t), server.role)["ping"].calls == 1 }) {
				break
			}
			if match := tlsLimit.FindStringSubmatch(o.Log()); match != nil {
				return match[1]
			}
			require.True(t, time.Now().Before(deadline), "the library was not attached")
		}
		t.Run(server.role, func(t *testing.T) {
			compare(t, o, server, func(t *testing.T) {
				for range 3 {
					c := dial(t)
					exchange(t, c, request("SET", "k", strings.Repeat("x", 100_000)), 1)
					exchange(t, c, request("GET", "k"), 1)
					exchange(t, c, request("LPUSH", "k", "a list it is not"), 1)
					var many []byte
					for range 200 {
						many = append(many, request("INCR", "n")...)
					}
					exchange(t, c, many, 200)
					require.NoError(t, c.Close())
				}
				exchangeLate(t, server.tlsPort, certificate.ClientConfig())
			})
		})
	}
	t.Run("stop leaves nothing", func(t *testing.T) { testStop(t, o) })
	assert.NotContains(t, o.Log(), "panic")
	return ""
}

// late is a connection whose Write returns long after it has sent.
type late struct{ net.Conn }

func (l late) Write(data []byte) (int, error) {
	n, err := l.Conn.Write(data)
	time.Sleep(100 * time.Millisecond)
	return n, err
}

// exchangeLate sends requests in several records, and reads the replies while the library's call is still in progress.
func exchangeLate(t *testing.T, port int, config *tls.Config) {
	t.Helper()
	plain, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
	require.NoError(t, err)
	config.ServerName = "127.0.0.1"
	c := tls.Client(late{plain}, config)
	require.NoError(t, c.Handshake())
	written := make(chan error)
	go func() {
		_, err := c.Write(resp.Repeat(500, "INCR", "n"))
		written <- err
	}()
	readReplies(t, c, 500)
	require.NoError(t, <-written)
	require.NoError(t, c.Close())
}

// exchange sends requests and reads their replies.
func exchange(t *testing.T, c *tls.Conn, requests []byte, replies int) {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err := c.Write(requests)
	require.NoError(t, err)
	readReplies(t, c, replies)
}

func readReplies(t *testing.T, c *tls.Conn, replies int) {
	t.Helper()
	from := bufio.NewReader(c)
	for range replies {
		_, err := resp.Read(from)
		require.NoError(t, err)
	}
}
