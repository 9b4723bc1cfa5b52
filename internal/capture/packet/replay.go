package packet

import (
	"errors"
	"io"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// ReorderTimeout is how long to wait, in the time of the packets, for bytes out of order: a lost
// segment is sent again after 200 ms at the earliest, and after twice that the next time.
// Acknowledged bytes are not waited for.
const ReorderTimeout = time.Second

// ReplayOptions are the settings of OpenReplay. Files and Resolve are required.
type ReplayOptions struct {
	Files                    []string // capture files; "-" is Stdin
	Stdin                    io.Reader
	Follow                   bool                                    // the only file is still written: wait for more at its end, until Close
	ClientPorts, ServerPorts []uint16                                // as in Options
	Discover                 bool                                    // observe all other ports too to which a request is sent, from then on
	Resolve                  func(event.Role, *event.Endpoints) bool // whether an end of a connection has a name
	// HasName reports whether an end of a connection has a name of its own, and not the default
	// one. Of two addresses of a connection, the one with a name counts. Nil: none has.
	HasName func(event.Role, *event.Endpoints) bool
	// IsRequest reports whether a payload begins with a Redis request. It finds the ports that
	// could be observed.
	IsRequest func(payload []byte) bool
}

// Replay is the Source of capture files. Its clock is that of the captures.
type Replay struct {
	inputs        inputs
	discover      bool
	found         []uint16 // ports that were discovered
	isRequest     func([]byte) bool
	conversations *conversations
	decoder       frame.Decoder
	now           int64 // time of the current packet
	segment       frame.Segment
	lost          losses
	dropped       uint64 // as reported by the files
	discarded     uint64
	events, bytes uint64 // published every publishEvery packets
	packets       uint64
	first, last   int64
	began         bool // the first event was read
	tally         tally

	closed                  atomic.Bool
	readEvents, readBytes   atomic.Uint64
	readPackets, readOctets atomic.Uint64
	size                    int64
}

var _ event.Source = (*Replay)(nil)

// publishEvery is how many packets are read between two updates of Stats and Progress.
const publishEvery = 4096

// OpenReplay opens the files. It returns an error if none of them can be read at all. Any other
// damage ends one file only, and is reported by Fault.
func OpenReplay(options ReplayOptions) (*Replay, error) {
	r := &Replay{isRequest: options.IsRequest, discover: options.Discover}
	r.inputs.follow, r.inputs.closed = options.Follow, &r.closed
	r.inputs.stdin, r.inputs.octets = options.Stdin, &r.readOctets
	r.conversations = newConversations(options.ClientPorts, options.ServerPorts, options.Resolve, &r.lost)
	r.conversations.hasName = options.HasName
	found := false
	for _, name := range options.Files {
		size, readable := r.inputs.add(name)
		r.size += size
		found = found || readable
	}
	if !found {
		return nil, r.Fault()
	}
	return r, nil
}

// Read implements Source. Its first event is a Tick of the time of the first packet: what has been
// silent since then was silent for that long. It returns io.EOF after the last file, even if a file
// was damaged.
func (r *Replay) Read(e *event.Event) error {
	if !r.began {
		r.began = true
		if first := r.inputs.peek(); first != nil {
			*e = event.Event{Kind: event.Tick, Time: first.time()}
			return nil
		}
	}
	events := &r.conversations.events
	for events.begin(e); !events.filled; {
		if r.closed.Load() {
			r.inputs.closeAll()
			return os.ErrClosed
		}
		if r.conversations.expire(r.now) {
			continue
		}
		in := r.inputs.next()
		if in == nil {
			if r.conversations.expire(math.MaxInt64) {
				continue
			}
			r.publish()
			return io.EOF
		}
		r.decode(in)
	}
	r.events++
	r.bytes += uint64(len(e.Data))
	return nil
}

// decode turns the next packet of a file into events.
func (r *Replay) decode(in *input) {
	p := &in.packet
	now := in.time()
	r.now = now
	r.conversations.untimed, r.conversations.steps = p.Untimed, r.inputs.steps
	if r.packets == 0 {
		r.first, r.last, r.conversations.since = now, now, now
	}
	r.last = max(r.last, now)
	if r.packets++; r.packets%publishEvery == 0 {
		r.publish()
	}
	if p.Untimed {
		r.tally.untimed++
	}
	switch r.decoder.Decode(uint16(p.Link), p.Data, p.Length, now, &r.segment) {
	case frame.Whole:
		if r.conversations.segment(&r.segment, now) {
			r.tally.observed++
			return
		}
		if r.discover && r.discovered(&r.segment, now) {
			r.tally.observed++
			return
		}
		r.tally.count(&r.segment, r.isRequest)
	case frame.Other:
		r.tally.notTCP++
	case frame.Malformed:
		r.lost.add(lostMalformed, 1)
	case frame.Snapped:
		r.lost.add(lostSnapped, 1)
	case frame.Unsupported:
		r.lost.add(lostLink, 1)
	}
}

// discovered handles a segment of no observed port. If it is a request, it observes the port from
// now on, and reports true. Handshakes are stored for that.
func (r *Replay) discovered(s *frame.Segment, now int64) bool {
	t := r.conversations
	if s.Flags&frame.SYN != 0 {
		d := event.Request
		if s.Flags&frame.ACK != 0 {
			d = event.Reply
		}
		t.handshake(keyOf(s, d), d, s, now)
		return false
	}
	if len(s.Payload) == 0 || s.Payload[0] != '*' || !r.isRequest(s.Payload) {
		return false
	}
	if _, reply := t.opening[keyOf(s, event.Reply)]; reply {
		return false // an array that looks like a request
	}
	r.found = append(r.found, s.DestinationPort)
	r.tally.discover(s.DestinationPort)
	t.ports.Load().client[s.DestinationPort/64] |= 1 << (s.DestinationPort % 64) // nobody else reads it
	return t.segment(s, now)
}

// publish updates the counters that other goroutines read.
func (r *Replay) publish() {
	r.readEvents.Store(r.events)
	r.readBytes.Store(r.bytes)
	r.readPackets.Store(r.packets)
	given := r.decoder.Discarded()
	r.lost.add(lostFragments, given-r.discarded)
	r.discarded = given
	if dropped := r.inputs.lost(); dropped > r.dropped {
		r.lost.add(lostByCapture, dropped-r.dropped)
		r.dropped = dropped
	}
}

// Stats implements Source.
func (r *Replay) Stats() event.Stats {
	return event.Stats{Events: r.readEvents.Load(), Bytes: r.readBytes.Load(), Lost: r.lost.byReason()}
}

// Progress returns how many packets and bytes were read, and the size of the files in bytes, 0 if
// unknown. Any goroutine may call it.
func (r *Replay) Progress() (packets, octets, size uint64) {
	return r.readPackets.Load(), r.readOctets.Load(), uint64(r.size)
}

// Span returns the time from the first packet to the last, without steps back of the clock. Only the
// reading goroutine may call it.
func (r *Replay) Span() time.Duration { return time.Duration(r.last - r.first) }

// Fault returns the damage found in the files, nil if all were read to their end. Only the reading
// goroutine may call it.
func (r *Replay) Fault() error { return errors.Join(r.inputs.faults...) }

// Close implements Source.
func (r *Replay) Close() error {
	r.closed.Store(true)
	return nil
}
