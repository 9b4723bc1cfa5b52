package bpf

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"

	"github.com/redis-observer/redis-observer/internal/host"
)

// The layout of stop.h and of the places in connection.h.
const (
	stopGenerations = 1 << 30
	placeShift      = 11
)

// stops says to the probes of which connections no payload is wanted. stop.h says why a stop never holds for another connection.
type stops struct {
	lock        sync.Mutex // of all below, because ports are changed by another goroutine
	words       []uint64   // a stop for each place, written here
	generations []uint64   // how often connections began and ended in each place, written by the probes
	bodies      []uint64   // in the middle of which body streams are, written by the probes
	candidates  [4096]candidate
	memory      [3][]byte
}

// candidate is a stream that is to be stopped, once an event tells that it was there after a generation was read.
type candidate struct {
	conn       uint64
	direction  uint64
	generation uint64 // as read
	since      uint64 // when it had been read, in nanoseconds of CLOCK_MONOTONIC
}

func openStops(words, generations, bodies *ebpf.Map) (*stops, error) {
	s := new(stops)
	for i, m := range [...]*ebpf.Map{words, generations, bodies} {
		memory, err := unix.Mmap(m.FD(), 0, 8*int(m.MaxEntries()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("map table of stops: %w", err)
		}
		s.memory[i] = memory
	}
	s.words, s.generations, s.bodies = wordsOf(s.memory[0]), wordsOf(s.memory[1]), wordsOf(s.memory[2])
	return s, nil
}

func wordsOf(memory []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(&memory[0])), len(memory)/8)
}

// place returns the place of a socket (place_of) and its name there (name_in_place).
func (s *stops) place(conn uint64) (place int, name uint64) {
	return int(conn >> placeShift % uint64(len(s.words))), uint64(uint32(conn>>27<<5 | conn>>6&31))
}

// stop stops one direction of the connection of an event that happened at a time, at the second event at the earliest. What it costs and
// what is still copied until then is little, so it is called for each event that nobody wants.
func (s *stops) stop(conn, direction, time uint64) {
	s.lock.Lock()
	defer s.lock.Unlock()
	place, name := s.place(conn)
	generation := atomic.LoadUint64(&s.generations[place]) % stopGenerations // before the clock is read
	c := &s.candidates[(uint64(place)<<1|direction>>1)%uint64(len(s.candidates))]
	if c.conn != conn || c.direction != direction || c.generation != generation {
		*c = candidate{conn, direction, generation, uint64(host.Monotonic())}
		return
	}
	if time <= c.since {
		return
	}
	word := name<<32 | generation<<2
	if old := atomic.LoadUint64(&s.words[place]); old&^3 == word {
		word |= old
	}
	atomic.StoreUint64(&s.words[place], word|direction)
}

// lift ends the stop of a connection.
func (s *stops) lift(conn uint64) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if place, name := s.place(conn); atomic.LoadUint64(&s.words[place])>>32 == name {
		atomic.StoreUint64(&s.words[place], 0)
	}
}

// liftAll ends all stops.
func (s *stops) liftAll() {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.empty(s.words)
}

// renew empties the tables and makes a change before anything is stopped again. It is for what makes connections observed whose beginning
// the probes have not seen: at the addresses of their sockets others may have been.
func (s *stops) renew(change func() error) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.empty(s.words)
	s.empty(s.bodies)
	return change()
}

// empty writes only where something stands, so that no page is touched in vain. Events from before will not be later than new candidates.
func (s *stops) empty(words []uint64) {
	for i := range words {
		if atomic.LoadUint64(&words[i]) != 0 {
			atomic.StoreUint64(&words[i], 0)
		}
	}
	s.candidates = [len(s.candidates)]candidate{}
}

func (s *stops) close() {
	for _, memory := range s.memory {
		if memory != nil {
			_ = unix.Munmap(memory)
		}
	}
}
