package server

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// peerAddress is the address of one of many peers.
func peerAddress(i int) string { return fmt.Sprintf("127.0.1.%d", i+1) }

// Every connection belongs to another peer with a request in progress, and more peers connect.
// Prometheus, which reconnects each time and has to finish a handshake first, is served every time.
func TestCrowdOfPeers(t *testing.T) {
	many := maxConnections + 50
	if raceDetector {
		many = maxConnections + 10
	}
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", encrypted), func(t *testing.T) {
			webConfig, scheme, pause := "", "http://", 50*time.Millisecond
			if encrypted {
				webConfig, scheme, pause = mustTLSConfig(t), "https://", time.Second // otherwise handshakes use all CPU time
			}
			at, pid := mustServeApart(t, webConfig)
			var asked atomic.Int64
			defer mustCrowdOf(t, at, many, peerAddress, pause, func(c net.Conn) {
				_ = c.(*net.TCPConn).SetReadBuffer(4096)
				if encrypted {
					c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				}
				ask(c, fmt.Sprintf("GET /metrics?name[]=redis_command_duration_seconds&name[]=%d", asked.Add(1)), 1) // another page for each
				one := make([]byte, 512)
				for _, err := c.Read(one); err == nil; _, err = c.Read(one) {
					time.Sleep(200 * time.Millisecond)
				}
			})()
			for range 6 {
				client := clientFrom(scraperAddress)
				took, err := scrape(client, scheme+at)
				client.CloseIdleConnections()
				require.NoError(t, err, "after %d requests of others", asked.Load())
				t.Logf("a scrape beside %d took %s", many, took.Round(time.Millisecond))
				time.Sleep(200 * time.Millisecond)
			}
			assert.Greater(t, asked.Load(), int64(maxConnections), "of others")
			assertBounded(t, pid)
		})
	}
}
