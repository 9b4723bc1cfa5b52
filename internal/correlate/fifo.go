package correlate

import (
	"math/bits"

	"github.com/redis-observer/redis-observer/internal/command"
)

// pending is a command that awaits its outcome, or a run of them that are alike in everything.
type pending struct {
	time    int64
	acks    int32  // acknowledgements to come; 0: not known before the first
	more    uint32 // commands of the run beside one
	command command.ID
	verb    verb
	flags   pendingFlags
}

// count returns how many commands the run has.
func (p *pending) count() uint32 { return p.more + 1 }

type pendingFlags uint8

const (
	noReply pendingFlags = 1 << iota // never answered, by its nature: REPLCONF ACK
	blocks                           // its reply may wait for other clients
	odd                              // EXEC with arguments: a refusal need not end the transaction
)

const (
	firstSlots = 4    // a ring's first size
	keptSlots  = 1024 // a ring that is larger becomes smaller as it empties
)

// fifo is a growable ring of runs of pending commands, those of its owner. It is empty at first.
type fifo struct {
	owner *conn
	ring  []pending // a power of two
	head  uint32
	runs  uint32
	count uint32 // commands
}

func (f *fifo) empty() bool { return f.runs == 0 }

// at returns the i-th oldest run. It is valid until the next push.
func (f *fifo) at(i uint32) *pending {
	return &f.ring[(f.head+i)&uint32(len(f.ring)-1)]
}

// push returns the place of one more command, for the caller to write, or nil if there is no room.
func (f *fifo) push(s *slots) *pending {
	if int(f.count) >= s.perRing || int(f.runs) == len(f.ring) && !f.grow(s) {
		return nil
	}
	f.count++
	f.runs++
	return f.at(f.runs - 1)
}

// repeat adds n commands like the newest, which there must be. It returns for how many there was no room.
func (f *fifo) repeat(n uint32, s *slots) (surplus uint32) {
	added := min(n, uint32(max(0, s.perRing-int(f.count))))
	f.at(f.runs - 1).more += added
	f.count += added
	return n - added
}

// pop removes the n oldest commands, which must be of one run, and returns one of them.
func (f *fifo) pop(n uint32, s *slots) pending {
	oldest := f.at(0)
	popped := *oldest
	popped.more = 0
	f.count -= n
	if n < oldest.count() {
		oldest.more -= n
		return popped
	}
	f.head++
	f.runs--
	if len(f.ring) > keptSlots && int(f.runs) < len(f.ring)/4 {
		f.resize(len(f.ring)/2, s)
	}
	return popped
}

// truncate keeps the n oldest commands.
func (f *fifo) truncate(n uint32) {
	for f.count > n {
		newest := f.at(f.runs - 1)
		if surplus := f.count - n; surplus < newest.count() {
			newest.more -= surplus
			f.count = n
			return
		}
		f.count -= newest.count()
		f.runs--
	}
}

func (f *fifo) grow(s *slots) bool {
	size := max(firstSlots, 2*len(f.ring))
	if size > s.perRing || !s.grant(f.owner, size-len(f.ring)) {
		return false
	}
	f.resize(size, s)
	return true
}

// fit gives back what the ring has beyond its need.
func (f *fifo) fit(s *slots) {
	size := 0
	if f.runs > 0 {
		size = max(firstSlots, 1<<bits.Len32(f.runs-1))
	}
	if size < len(f.ring) {
		f.resize(size, s)
	}
}

// resize makes the ring one of so many places, which are enough for what it holds.
func (f *fifo) resize(size int, s *slots) {
	var ring []pending
	if size > 0 {
		ring = make([]pending, size)
	}
	for i := range f.runs {
		ring[i] = *f.at(i)
	}
	s.add(f.owner, size-len(f.ring))
	f.ring, f.head = ring, 0
}

// clear empties the ring.
func (f *fifo) clear(s *slots) {
	f.head, f.runs, f.count = 0, 0, 0
	if len(f.ring) > keptSlots {
		f.release(s)
	}
}

// release empties the ring and gives its memory back.
func (f *fifo) release(s *slots) {
	if len(f.ring) > 0 {
		s.add(f.owner, -len(f.ring))
	}
	*f = fifo{owner: f.owner}
}
