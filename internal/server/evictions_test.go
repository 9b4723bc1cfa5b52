package server

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func peerNumber(i int) netip.Prefix { return peerOf(fmt.Sprintf("10.0.%d.%d:1", i/256, i%256)) }

// mustFill returns a full listener, with one connection per peer, oldest first.
func mustFill(now time.Time, each func(i int, g *limitedConn)) (*limitedListener, []*limitedConn) {
	c := newLimitedListener(nil, nil)
	all := make([]*limitedConn, maxConnections)
	for i := range all {
		all[i] = &limitedConn{Conn: &net.TCPConn{}, listener: c, peer: peerNumber(i), since: now.Add(time.Duration(i-maxConnections) * time.Millisecond)}
		each(i, all[i])
		c.conns[all[i]] = struct{}{}
	}
	return c, all
}

func TestVictim(t *testing.T) {
	now := time.Now()
	answered := func(g *limitedConn) { g.asked, g.busy = true, 1 }
	t.Run("one that shakes hands stays where all others are answered", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *limitedConn) {
			if i > 0 {
				answered(g)
			}
		})
		assert.Same(t, all[1], c.victim(now))
	})
	t.Run("those who do not ask take places from themselves", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *limitedConn) {
			if i >= maxConnections-maxNewcomers-1 {
				return
			}
			answered(g)
		})
		assert.Same(t, all[maxConnections-maxNewcomers-1], c.victim(now))
	})
	t.Run("one that was answered goes first", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *limitedConn) {
			if g.asked = i == 50; i < 50 {
				answered(g)
			}
		})
		assert.Same(t, all[50], c.victim(now))
	})
	t.Run("the peer with the most", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *limitedConn) { answered(g) })
		all[80].peer = all[90].peer
		assert.Same(t, all[80], c.victim(now))
	})
	t.Run("the peer with evictions", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *limitedConn) { answered(g) })
		c.evicted.add(all[70].peer, now)
		assert.Same(t, all[70], c.victim(now.Add(evictionTime-1)))
		assert.Same(t, all[0], c.victim(now.Add(evictionTime)), "forgotten")
	})
}

func TestLossesAreBounded(t *testing.T) {
	now, l := time.Now(), evictions{}
	for i := range 3*evictionPeers + 1 {
		l.add(peerNumber(i), now)
		assert.LessOrEqual(t, len(l), evictionPeers)
		assert.Equal(t, 1, l.of(peerNumber(i), now))
	}
	l.add(peerNumber(3*evictionPeers), now)
	assert.Equal(t, 2, l.of(peerNumber(3*evictionPeers), now))
}
