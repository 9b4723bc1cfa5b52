package kube

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/kube/kubetest"
)

// line is a TCP connection to an API server that can go dead without a word, as behind a server that is stopped.
type line struct {
	net.Conn
	dead *atomic.Bool
}

func (l line) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	for l.dead.Load() && err == nil {
		n, err = l.Conn.Read(p)
	}
	return n, err
}

// An API server that stops without a word is noticed although it closes no connection.
func TestWatchOfServerThatStops(t *testing.T) {
	s := kubetest.Serve(t)
	s.Set(kubetest.Services, "["+oneService+"]")
	c := clientOf(t, s)
	transport := c.http.Transport.(*http.Transport)
	transport.HTTP2.SendPingTimeout, transport.HTTP2.PingTimeout = 200*time.Millisecond, 200*time.Millisecond
	var mu sync.Mutex
	var dead []*atomic.Bool
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		dead = append(dead, new(atomic.Bool))
		return line{conn, dead[len(dead)-1]}, nil
	}
	watch := follow(t, c)
	watch.until(t, "10.96.0.10:6379", "[fd00::10]:6379", "192.0.2.1:6379")
	time.Sleep(time.Second) // pings are answered
	select {
	case err := <-watch.failed:
		require.NoError(t, err, "while the server lives")
	default:
	}
	mu.Lock()
	for _, line := range dead {
		line.Store(true)
	}
	mu.Unlock()
	require.Eventually(t, func() bool { err := <-watch.failed; return err != nil }, 5*time.Second, time.Millisecond)
	watch.until(t, "10.96.0.10:6379", "[fd00::10]:6379", "192.0.2.1:6379")
}
