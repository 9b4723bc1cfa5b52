package packet

import "sync/atomic"

// loss is a reason for which packets, or what they were part of, did not become events.
type loss uint8

const (
	lostMalformed    loss = iota // packets whose lengths contradict each other
	lostSnapped                  // packets of which the capture did not even keep the headers
	lostFragments                // datagrams whose fragments were not all there
	lostLink                     // packets of a link type that is not known
	lostByCapture                // packets that the capture says it lost
	lostHandshake                // handshakes forgotten to make room for others
	lostConversation             // conversations forgotten to make room for others
	lostRing                     // packets for which the kernel found no room in the ring
	lostKinds
)

var lossNames = [lostKinds]string{
	"malformed", "snapped_header", "fragments", "link_type", "dropped_by_capture", "handshake", "conversation", "ring_full",
}

// losses counts them. Any goroutine may read.
type losses [lostKinds]atomic.Uint64

func (l *losses) add(reason loss, n uint64) { l[reason].Add(n) }

// byReason returns the counts, those of 0 too, so that a scrape has every series from the first.
func (l *losses) byReason() map[string]uint64 {
	counts := make(map[string]uint64, len(l))
	for reason := range l {
		counts[lossNames[reason]] = l[reason].Load()
	}
	return counts
}
