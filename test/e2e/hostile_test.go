package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// growth is how many MiB the observer may grow by whatever it sees. The race detector multiplies its memory.
const growth = 150

// mustListen serves every connection of a port with a function.
func mustListen(tb testing.TB, serve func(net.Conn)) int {
	tb.Helper()
	listener := mustListener(tb)
	tb.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed at the end of the test
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// assertNoCommands checks that nothing was taken for a command, and that the observer is alive and has not grown.
func assertNoCommands(t *testing.T, o *observer, resident int) {
	t.Helper()
	s := o.mustSee("no connection left", func(s snapshot) bool { return s.sum("redis_pool_connections") == 0 })
	assert.Empty(t, s.commands("default"))
	assert.Less(t, o.mustResident(), resident+growth, "MiB")
	assert.True(t, o.Running())
}

func TestTLS(t *testing.T) {
	t.Parallel()
	const connections = 5
	arrived := make(chan struct{}, connections)
	port := mustListen(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1))
		arrived <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	})
	o := mustObserver(t, observing(port))
	resident := o.mustResident()
	for range connections {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		go func() {
			<-arrived
			cancel()
		}()
		dialer := tls.Dialer{Config: &tls.Config{ServerName: "localhost"}}
		_, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.Error(t, err, "nobody answers the handshake")
		require.ErrorIs(t, ctx.Err(), context.Canceled, "the server has read the client's hello")
	}
	o.mustSee("encrypted connections", func(s snapshot) bool {
		return s.value("redis_observer_connections_total", "kind=tls") == connections
	})
	assertNoCommands(t, o, resident)
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	listener := mustListener(t)
	port := listener.Addr().(*net.TCPAddr).Port
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	o := mustObserver(t, observing(port))
	resident := o.mustResident()
	transport := &http.Transport{}
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		for range 5 {
			request, err := http.NewRequest(method, fmt.Sprintf("http://127.0.0.1:%d/get/set", port), io.NopCloser(io.LimitReader(rand.NewChaCha8([32]byte{}), 10000)))
			require.NoError(t, err)
			response, err := transport.RoundTrip(request)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
		}
		transport.CloseIdleConnections()
	}
	require.NoError(t, server.Close())
	s := o.mustSee("connections that are not Redis", func(s snapshot) bool {
		return s.value("redis_observer_connections_total", "kind=not_redis") >= 3
	})
	assert.Zero(t, s.value("redis_observer_connections_total", "kind=redis"))
	assertNoCommands(t, o, resident)
}

func TestRandomBytes(t *testing.T) {
	t.Parallel()
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	noise := func(n int64) io.Reader { return io.LimitReader(rand.NewChaCha8(seed), n) }
	port := mustListen(t, func(conn net.Conn) {
		_, _ = io.Copy(conn, noise(1000))
		_, _ = io.Copy(io.Discard, conn)
	})
	o := mustObserver(t, observing(port)+roomy)
	t.Logf("seed %x", seed) // not before the test may be skipped
	resident := o.mustResident()
	const connections = 20
	for i := range connections {
		c := mustDial(t, fmt.Sprintf("127.0.0.1:%d", port))
		size := int64(50_000)
		if i == 0 {
			size = 50_000_000
		}
		_, err := io.Copy(c.TCPConn, noise(size))
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, io.LimitReader(c.TCPConn, 1000))
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	s := o.mustSee("connections that are not Redis", func(s snapshot) bool {
		return s.value("redis_observer_connections_total", "kind=not_redis")+s.value("redis_observer_protocol_errors_total") >= connections
	})
	assert.Zero(t, s.value("redis_observer_connections_total", "kind=redis"))
	assertNoCommands(t, o, resident)
}

// A real server that is sent garbage, in between good clients, which count as ever.
func TestGarbageSentToRedis(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port)+roomy)
	resident := o.mustResident()
	good := mustDial(t, r.Address())
	for i, garbage := range []string{
		"*1\r\n$-5\r\n", "*99999999999\r\n", "*3\r\n$3\r\nSET\r\n:1\r\n", "$4\r\nQUUX\r\n*x\r\n", "\x00\x01\x02\r\n*1\r\n!", "*2\r\n$3\r\nGET\r\n$999999999999\r\n",
	} {
		bad := mustDial(t, r.Address())
		bad.mustSend([]byte(garbage))
		time.Sleep(10 * time.Millisecond)
		require.NoError(t, bad.Close())
		good.mustSend(repeat(i+1, "PING"))
		good.mustReceive(i + 1)
	}
	s := o.mustSee("pings", func(s snapshot) bool { return s.commands("default")["ping"] >= 21 })
	commands := s.commands("default")
	delete(commands, "other") // inline words that Redis answered as unknown commands
	assert.Equal(t, counts{"ping": 21}, commands)
	assert.Positive(t, s.value("redis_observer_protocol_errors_total"))
	require.NoError(t, good.Close())
	o.mustSeePool("default", 0, 0)
	assert.Less(t, o.mustResident(), resident+growth, "MiB")
}
