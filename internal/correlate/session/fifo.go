package session

import (
	"math/bits"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
)

// pending is a command that awaits its outcome, or a run of them that are equal in everything.
type pending struct {
	time    int64
	acks    int32  // acknowledgements to come; 0: not known before the first
	more    uint32 // commands of the run beside one
	bytes   uint32 // of the run's requests that no Exchange has yet
	command command.ID
	verb    verb
	flags   pendingFlags
}

// count returns how many commands the run has.
func (p *pending) count() uint32 { return p.more + 1 }

// simple reports whether a reply that says success does nothing but end the command.
func (p *pending) simple() bool { return p.verb.simple() && p.flags&noReply == 0 }

type pendingFlags uint8

const (
	noReply pendingFlags = 1 << iota // never answered, by its nature: REPLCONF ACK
	blocks                           // its reply may wait for other clients
	odd                              // EXEC with arguments: a refusal need not end the transaction
)

// FirstPlaces is the first size of a FIFO. A session has so many places in any case.
const FirstPlaces = 4

const keptPlaces = 1024 // a ring that is larger becomes smaller as it empties

// Places grants the memory of a session's FIFOs, a place being that of one run of commands. All
// sessions share what there is.
type Places interface {
	// GrantPlaces reports whether the session may have n places more. Others may lose theirs for
	// that.
	GrantPlaces(n int) bool
	// AddPlaces notes that the session has n places more, or less if n is negative.
	AddPlaces(n int)
	// Pass notes n bytes of a direction that belong to no command.
	Pass(d event.Direction, n uint64)
	// PassWait takes how long n replies or requests lay in the socket before the observed end read
	// them, in nanoseconds; NoDuration if that is not known.
	PassWait(wait int64, n uint32)
	// PassSlow takes an exchange of Shared.SlowFrom or more. It must not keep the pointer.
	PassSlow(x *Slow)
}

// fifo is a growable ring of runs of pending commands, those of its owner. It is empty at first.
type fifo struct {
	owner *Session
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
func (f *fifo) push() *pending {
	if int(f.count) >= f.owner.shared.MaxOutstanding || int(f.runs) == len(f.ring) && !f.grow() {
		return nil
	}
	f.count++
	f.runs++
	return f.at(f.runs - 1)
}

// repeat adds n commands equal to the newest, which there must be. It returns for how many there
// was no room.
func (f *fifo) repeat(n uint32) (surplus uint32) {
	added := min(n, uint32(max(0, f.owner.shared.MaxOutstanding-int(f.count))))
	f.at(f.runs - 1).more += added
	f.count += added
	return n - added
}

// take removes the oldest command and returns it.
func (f *fifo) take() pending {
	taken := *f.at(0)
	taken.more = 0
	f.pop(1)
	return taken
}

// pop removes the n oldest commands, which must be of one run.
func (f *fifo) pop(n uint32) {
	oldest := f.at(0)
	f.count -= n
	if n < oldest.count() {
		oldest.bytes = 0 // those that are removed have them
		oldest.more -= n
		return
	}
	f.head++
	f.runs--
	if len(f.ring) > keptPlaces && int(f.runs) < len(f.ring)/4 {
		f.resize(len(f.ring) / 2)
	}
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
		f.passRequest(newest)
	}
}

func (f *fifo) grow() bool {
	size := max(FirstPlaces, 2*len(f.ring))
	if size > f.owner.shared.MaxOutstanding || !f.owner.places.GrantPlaces(size-len(f.ring)) {
		return false
	}
	f.resize(size)
	return true
}

// fit gives back the places that the ring does not need.
func (f *fifo) fit() {
	size := 0
	if f.runs > 0 {
		size = max(FirstPlaces, 1<<bits.Len32(f.runs-1))
	}
	if size < len(f.ring) {
		f.resize(size)
	}
}

// resize makes the ring one of so many places, which are enough for its runs.
func (f *fifo) resize(size int) {
	var ring []pending
	if size > 0 {
		ring = make([]pending, size)
	}
	for i := range f.runs {
		ring[i] = *f.at(i)
	}
	f.owner.places.AddPlaces(size - len(f.ring))
	f.ring, f.head = ring, 0
}

// passRequest passes the bytes of a run that is given up.
func (f *fifo) passRequest(p *pending) {
	if p.bytes > 0 {
		f.owner.places.Pass(event.Request, uint64(p.bytes))
	}
}

// clear empties the ring.
func (f *fifo) clear() {
	for i := range f.runs {
		f.passRequest(f.at(i))
	}
	f.head, f.runs, f.count = 0, 0, 0
	if len(f.ring) > keptPlaces {
		f.release()
	}
}

// release empties the ring and gives its memory back.
func (f *fifo) release() {
	for i := range f.runs {
		f.passRequest(f.at(i))
	}
	if len(f.ring) > 0 {
		f.owner.places.AddPlaces(-len(f.ring))
	}
	*f = fifo{owner: f.owner}
}
