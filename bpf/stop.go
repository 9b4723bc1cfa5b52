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

// The layout of stop.h, and of the slots in connection.h.
const (
	stopGenerations = 1 << 30
	slotShift       = 11
)

// stops are the tables by which user space makes the probes skip unwanted payload. stop.h says why
// a stop never applies to another connection.
type stops struct {
	lock        sync.Mutex // protects the fields below, because another goroutine changes the ports
	words       []uint64   // a stop for each slot, written here
	plaintext   []uint64   // the same for the plaintext of TLS connections; nil if it is off
	generations []uint64   // how often connections began or ended in each slot, written by the probes
	elisions    []uint64   // the values that streams are in the middle of, written by the probes
	candidates  [4096]candidate
	memory      [][]byte
}

// candidate is a direction of a connection to stop, once an event proves that the connection
// existed after its generation was read.
type candidate struct {
	conn       uint64
	plaintext  bool
	direction  uint64
	generation uint64 // as read
	since      uint64 // after reading it, CLOCK_MONOTONIC in ns
}

func openStops(shared map[string]*ebpf.Map) (*stops, error) {
	s := new(stops)
	for name, words := range map[string]*[]uint64{
		observerMapStops: &s.words, observerMapTlsStops: &s.plaintext, observerMapGenerations: &s.generations, observerMapElisions: &s.elisions,
	} {
		m := shared[name]
		if m == nil {
			continue
		}
		memory, err := unix.Mmap(m.FD(), 0, 8*int(m.MaxEntries()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("map table of stops: %w", err)
		}
		s.memory = append(s.memory, memory)
		*words = wordsOf(memory)
	}
	return s, nil
}

func wordsOf(memory []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(&memory[0])), len(memory)/8)
}

// slot returns the slot of a socket (slot_of) and its tag there (tag_of).
func (s *stops) slot(conn uint64) (slot int, tag uint64) {
	return int(conn >> slotShift % uint64(len(s.words))), uint64(uint32(conn>>27<<5 | conn>>6&31))
}

// stop stops one direction of a connection, at the second call at the earliest. It is called for
// each unwanted event, with its time in ns, and whether it carries the plaintext of a TLS
// connection.
func (s *stops) stop(conn, direction, time uint64, plaintext bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	slot, tag := s.slot(conn)
	generation := atomic.LoadUint64(&s.generations[slot]) % stopGenerations // before the clock is read
	c := &s.candidates[(uint64(slot)<<1|direction>>1)%uint64(len(s.candidates))]
	if c.conn != conn || c.direction != direction || c.generation != generation || c.plaintext != plaintext {
		*c = candidate{conn, plaintext, direction, generation, uint64(host.Monotonic())}
		return
	}
	if time <= c.since {
		return
	}
	words := s.words
	if plaintext {
		words = s.plaintext
	}
	word := tag<<32 | generation<<2
	if old := atomic.LoadUint64(&words[slot]); old&^3 == word {
		word |= old
	}
	atomic.StoreUint64(&words[slot], word|direction)
}

// lift ends the stop of a connection.
func (s *stops) lift(conn uint64) {
	s.lock.Lock()
	defer s.lock.Unlock()
	slot, tag := s.slot(conn)
	for _, words := range [...][]uint64{s.words, s.plaintext} {
		if words != nil && atomic.LoadUint64(&words[slot])>>32 == tag {
			atomic.StoreUint64(&words[slot], 0)
		}
	}
}

// liftAll ends all stops.
func (s *stops) liftAll() {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.empty(s.words)
	s.empty(s.plaintext)
}

// renew clears the tables, and makes a change before another stop can be set. It is for changes by
// which connections become observed whose beginning the probes did not see: the tables may hold
// entries of earlier sockets at their addresses.
func (s *stops) renew(change func() error) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.empty(s.words)
	s.empty(s.plaintext)
	s.empty(s.elisions)
	return change()
}

// empty clears a table, and the candidates. It writes only to words that are set, so that unused
// pages are not touched.
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
		_ = unix.Munmap(memory)
	}
}
