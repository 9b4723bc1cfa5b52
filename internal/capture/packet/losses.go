package packet

import "sync/atomic"

// loss is a reason why packets, fragments or conversations did not become events.
type loss uint8

const (
	lostMalformed    loss = iota // packets with contradictory lengths
	lostSnapped                  // packets whose headers the capture cut off
	lostFragments                // datagrams with missing fragments
	lostLink                     // packets of an unsupported link type
	lostByCapture                // packets that the capture file reports as lost
	lostHandshake                // handshakes evicted from the table
	lostConversation             // conversations evicted from the table
	lostRing                     // packets for which the ring had no room
	lostKinds
)

var lossNames = [lostKinds]string{
	"malformed", "snapped_header", "fragments", "link_type", "dropped_by_capture", "handshake", "conversation", "ring_full",
}

// losses counts losses by reason. Any goroutine may read it.
type losses [lostKinds]atomic.Uint64

func (l *losses) add(reason loss, n uint64) { l[reason].Add(n) }

// byReason returns all counts, including zeros, so that the first scrape has every series.
func (l *losses) byReason() map[string]uint64 {
	counts := make(map[string]uint64, len(l))
	for reason := range l {
		counts[lossNames[reason]] = l[reason].Load()
	}
	return counts
}
