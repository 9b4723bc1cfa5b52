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

// mustFill returns a crowd without room, each connection of a peer of its own. The first are the ones that have been there longest.
func mustFill(now time.Time, each func(i int, g *guest)) (*crowd, []*guest) {
	c := newCrowd(nil, nil)
	all := make([]*guest, maxConnections)
	for i := range all {
		all[i] = &guest{Conn: &net.TCPConn{}, crowd: c, peer: peerNumber(i), since: now.Add(time.Duration(i-maxConnections) * time.Millisecond)}
		each(i, all[i])
		c.conns[all[i]] = struct{}{}
	}
	return c, all
}

func TestVictim(t *testing.T) {
	now := time.Now()
	answered := func(g *guest) { g.asked, g.busy = true, 1 }
	t.Run("one that shakes hands stays where all others are answered", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *guest) {
			if i > 0 {
				answered(g)
			}
		})
		assert.Same(t, all[1], c.victim(now))
	})
	t.Run("those who do not ask take places from themselves", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *guest) {
			if i >= maxConnections-maxNewcomers-1 {
				return
			}
			answered(g)
		})
		assert.Same(t, all[maxConnections-maxNewcomers-1], c.victim(now))
	})
	t.Run("one that was answered goes first", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *guest) {
			if g.asked = i == 50; i < 50 {
				answered(g)
			}
		})
		assert.Same(t, all[50], c.victim(now))
	})
	t.Run("the peer with the most", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *guest) { answered(g) })
		all[80].peer = all[90].peer
		assert.Same(t, all[80], c.victim(now))
	})
	t.Run("the peer that lost places", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *guest) { answered(g) })
		c.lost.add(all[70].peer, now)
		assert.Same(t, all[70], c.victim(now.Add(lossTime-1)))
		assert.Same(t, all[0], c.victim(now.Add(lossTime)), "forgotten")
	})
}

func TestLossesAreBounded(t *testing.T) {
	now, l := time.Now(), losses{}
	for i := range 3*lossPeers + 1 {
		l.add(peerNumber(i), now)
		assert.LessOrEqual(t, len(l), lossPeers)
		assert.Equal(t, 1, l.of(peerNumber(i), now))
	}
	l.add(peerNumber(3*lossPeers), now)
	assert.Equal(t, 2, l.of(peerNumber(3*lossPeers), now))
}
