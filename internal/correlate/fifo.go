package correlate

import "github.com/redis-observer/redis-observer/internal/command"

// pending is a command that awaits its outcome.
type pending struct {
	time    int64
	acks    int32 // acknowledgements to come; 0: not known before the first
	command command.ID
	verb    verb
	flags   pendingFlags
}

type pendingFlags uint8

const (
	noReply pendingFlags = 1 << iota // never answered, by its nature: REPLCONF ACK
	blocks                           // its reply may wait for other clients
	odd                              // EXEC with arguments: a refusal need not end the transaction
)

const (
	firstSlots = 4    // a ring's first size
	keptSlots  = 1024 // an empty ring that is larger is released
)

// slots is what all rings together may hold.
type slots struct {
	used, limit, perRing int
}

// fifo is a growable ring of pending commands. The zero value is empty.
type fifo struct {
	ring  []pending // a power of two
	head  uint32
	count uint32
}

func (f *fifo) empty() bool { return f.count == 0 }

// at returns the i-th oldest. It is valid until the next push.
func (f *fifo) at(i uint32) *pending {
	return &f.ring[(f.head+i)&uint32(len(f.ring)-1)]
}

// push returns the place of one more, for the caller to write, or nil if there is no room.
func (f *fifo) push(s *slots) *pending {
	if int(f.count) == len(f.ring) && !f.grow(s) {
		return nil
	}
	f.count++
	return f.at(f.count - 1)
}

// repeat adds up to n like p, as many as there is room for without growing. It returns how many.
func (f *fifo) repeat(p pending, n int) int {
	n = min(n, len(f.ring)-int(f.count))
	for range n {
		f.count++
		*f.at(f.count - 1) = p
	}
	return n
}

// alike returns how many of the oldest are the same, up to limit. There must be one.
func (f *fifo) alike(limit uint32) int {
	limit = min(limit, f.count)
	n := uint32(1)
	for n < limit && *f.at(n) == *f.at(0) {
		n++
	}
	return int(n)
}

// pop removes the n oldest.
func (f *fifo) pop(n uint32, s *slots) {
	f.head += n
	f.count -= n
	if f.count == 0 && len(f.ring) > keptSlots {
		f.release(s)
	}
}

// truncate keeps the n oldest.
func (f *fifo) truncate(n uint32) {
	f.count = n
}

func (f *fifo) grow(s *slots) bool {
	size := max(firstSlots, 2*len(f.ring))
	if size > s.perRing || s.used+size-len(f.ring) > s.limit {
		return false
	}
	ring := make([]pending, size)
	for i := range f.count {
		ring[i] = *f.at(i)
	}
	s.used += size - len(f.ring)
	f.ring, f.head = ring, 0
	return true
}

// clear empties the ring.
func (f *fifo) clear(s *slots) {
	f.head, f.count = 0, 0
	if len(f.ring) > keptSlots {
		f.release(s)
	}
}

// release empties the ring and gives its memory back.
func (f *fifo) release(s *slots) {
	s.used -= len(f.ring)
	*f = fifo{}
}
