package server

import (
	"net/netip"
	"time"
)

const (
	evictionTime  = time.Minute // after the last eviction of a peer, its evictions expire
	evictionPeers = 1000        // maximum number of peers
)

// evictions counts the recent evictions by peer, without connections that had their response.
type evictions map[netip.Prefix]eviction

type eviction struct {
	count int
	last  time.Time
}

// add counts an eviction.
func (e evictions) add(peer netip.Prefix, now time.Time) {
	if _, known := e[peer]; !known && len(e) >= evictionPeers {
		if e.expire(now); len(e) >= evictionPeers {
			clear(e)
		}
	}
	e[peer] = eviction{e.of(peer, now) + 1, now}
}

// of returns the recent evictions of a peer.
func (e evictions) of(peer netip.Prefix, now time.Time) int {
	if last := e[peer]; now.Sub(last.last) < evictionTime {
		return last.count
	}
	return 0
}

func (e evictions) expire(now time.Time) {
	for peer := range e {
		if e.of(peer, now) == 0 {
			delete(e, peer)
		}
	}
}
