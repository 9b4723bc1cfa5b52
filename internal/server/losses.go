package server

import (
	"net/netip"
	"time"
)

const (
	lossTime  = time.Minute // after which what a peer lost is forgotten, if it lost nothing since
	lossPeers = 1000        // that are known
)

// losses are the places that peers lost of late: those who took what they asked for lost none, whatever others do.
type losses map[netip.Prefix]loss

type loss struct {
	count int
	last  time.Time
}

// add notes that a peer lost a place.
func (l losses) add(peer netip.Prefix, now time.Time) {
	if _, known := l[peer]; !known && len(l) >= lossPeers {
		if l.forget(now); len(l) >= lossPeers {
			clear(l)
		}
	}
	l[peer] = loss{l.of(peer, now) + 1, now}
}

// of returns how many places a peer lost of late.
func (l losses) of(peer netip.Prefix, now time.Time) int {
	if lost := l[peer]; now.Sub(lost.last) < lossTime {
		return lost.count
	}
	return 0
}

func (l losses) forget(now time.Time) {
	for peer := range l {
		if l.of(peer, now) == 0 {
			delete(l, peer)
		}
	}
}
