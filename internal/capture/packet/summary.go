package packet

import (
	"cmp"
	"slices"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
)

// Summary says what a Replay has read. Packets that a counter of Stats has as lost are in Unusable.
type Summary struct {
	Packets     uint64 // all
	Observed    uint64 // TCP segments of an observed port
	OtherTCP    uint64 // TCP segments of no observed port
	NotTCP      uint64
	Tunnelled   uint64        // TCP segments in tunnels, or behind link headers that gopacket decodes
	Unusable    uint64        // malformed, cut off within their headers, or of an unsupported link type
	Untimed     uint64        // without a time
	Ports       []Port        // the busiest ports of OtherTCP, at most busiestPorts
	Discovered  []uint16      // ports that were not to be observed, but speak RESP, and were
	Undecided   uint64        // segments with payload of those ports, before it showed that they do
	Payload     uint64        // bytes of payload of observed ports
	Connections uint64        // on observed ports, by their packets
	OneWay      [2]uint64     // those of which only one direction was captured, by event.Direction
	Merged      uint64        // connections that were seen under a second address too
	Late        uint64        // those of which bytes had been read as a connection of their own: what they awaited has no answer
	Alike       uint64        // connections with the offsets and bytes of others, but not in step with them: they count
	Steps       int           // times that the clock of a file was set back by more than a second
	Skewed      uint64        // segments that were captured before those that they acknowledge
	Skew        time.Duration // by how much at most: the clocks differ by as much, or more
	LargestStep time.Duration // by how much at most
}

// Port is a TCP port that is not observed.
type Port struct {
	Number  uint16
	Packets uint64
	RESP    bool // requests of Redis were sent to it

	payload uint64 // segments with payload from it or to it
}

// busiestPorts is how many ports of no observed connection a Summary has. Those that speak RESP
// come first.
const busiestPorts = 3

// Summary returns what was read. Only the reading goroutine may call it, at the end.
func (r *Replay) Summary() Summary {
	s := Summary{
		Packets: r.packets, Observed: r.tally.observed, OtherTCP: r.tally.otherTCP, NotTCP: r.tally.notTCP, Untimed: r.tally.untimed,
		Ports: r.tally.busiest(), Discovered: r.found, Undecided: r.tally.undecided, Payload: r.bytes, Connections: r.conversations.added, OneWay: r.conversations.oneWay,
		Tunnelled: r.decoder.Tunnelled(), Merged: r.conversations.merged, Late: r.conversations.late, Alike: r.conversations.alike, Steps: r.inputs.steps, LargestStep: time.Duration(r.inputs.step),
		Skewed: r.conversations.skewed, Skew: time.Duration(r.conversations.skew),
	}
	for _, reason := range [...]loss{lostMalformed, lostSnapped, lostLink} {
		s.Unusable += r.lost[reason].Load()
	}
	for _, c := range r.conversations.table {
		if way, one := c.oneWay(); one {
			s.OneWay[way]++
		}
	}
	return s
}

// tally counts packets that become no events.
type tally struct {
	observed, otherTCP, notTCP, untimed uint64

	undecided uint64 // segments with payload of ports that were discovered later

	ports *[1 << 16]Port // by number; nil until there is one
}

// count counts a segment of no observed port. The lower port is taken for the server's, unless a
// request shows which it is.
func (t *tally) count(s *frame.Segment, isRequest func([]byte) bool) {
	if t.ports == nil {
		t.ports = new([1 << 16]Port)
	}
	t.otherTCP++
	server := &t.ports[min(s.SourcePort, s.DestinationPort)]
	if isRequest != nil && len(s.Payload) > 0 && s.Payload[0] == '*' && isRequest(s.Payload) {
		server = &t.ports[s.DestinationPort]
		server.RESP = true
	}
	server.Packets++
	if len(s.Payload) > 1 { // a single byte may be a keep-alive
		t.ports[s.SourcePort].payload++
		t.ports[s.DestinationPort].payload++
	}
}

// discover notes that a port speaks RESP.
func (t *tally) discover(port uint16) {
	if t.ports != nil {
		t.undecided += t.ports[port].payload
	}
}

// busiest returns the ports with the most packets; first those that speak RESP.
func (t *tally) busiest() []Port {
	if t.ports == nil {
		return nil
	}
	var found []Port
	for number := range t.ports {
		if p := t.ports[number]; p.Packets > 0 {
			p.Number = uint16(number)
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b Port) int {
		if a.RESP != b.RESP {
			if a.RESP {
				return -1
			}
			return 1
		}
		return cmp.Or(-cmp.Compare(a.Packets, b.Packets), cmp.Compare(a.Number, b.Number))
	})
	return found[:min(len(found), busiestPorts)]
}
