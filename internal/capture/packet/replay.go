package packet

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/capture/packet/pcap"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Patience is how long, in time of the packets, bytes out of order should be waited for: a segment that was lost is sent
// again after 200 ms at the earliest, and after twice as long the next time. What was received nevertheless is not waited for.
const Patience = time.Second

// ReplayOptions say what a Replay reads. All but Stdin are required.
type ReplayOptions struct {
	Files                    []string // capture files; "-" is Stdin
	Stdin                    io.Reader
	ClientPorts, ServerPorts []uint16                                // as in Options
	Resolve                  func(event.Role, *event.Endpoints) bool // whether an end of a connection has a name
}

// Replay is the Source of what captures of packets hold. Its clock is that of the captures.
type Replay struct {
	stdin         io.Reader
	files         []input // those to come
	file          *os.File
	reader        *pcap.Reader
	conversations *conversations
	decoder       frame.Decoder
	packet        pcap.Packet
	segment       frame.Segment
	faults        []error
	lost          losses
	dropped       uint64 // as the present file has it
	givenUp       uint64
	events, bytes uint64 // published now and then
	packets       uint64
	first, last   int64

	closed                  atomic.Bool
	readEvents, readBytes   atomic.Uint64
	readPackets, readOctets atomic.Uint64
	size                    int64
}

// input is a file and the time of its first packet.
type input struct {
	name  string
	begin int64
}

var _ event.Source = (*Replay)(nil)

// publishEvery is how many packets pass between two updates of what Stats and Progress return.
const publishEvery = 4096

// OpenReplay looks into the files, and puts them into the order of time. A file that cannot be read at all is an error now;
// damage that is found later ends that file only, and is reported by Fault.
func OpenReplay(options ReplayOptions) (*Replay, error) {
	r := &Replay{stdin: options.Stdin}
	r.conversations = newConversations(options.ClientPorts, options.ServerPorts, options.Resolve, &r.lost)
	var errs []error
	for _, name := range options.Files {
		begin, size, err := beginning(name)
		if err != nil {
			errs = append(errs, err)
		}
		r.files = append(r.files, input{name, begin})
		r.size += size
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortStableFunc(r.files, func(a, b input) int { return cmp.Compare(a.begin, b.begin) })
	return r, nil
}

// beginning returns the time of the first packet of a file, and its size. A stream that can be read only once begins at 0.
func beginning(name string) (begin, size int64, err error) {
	if name == "-" {
		return 0, 0, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return 0, 0, fmt.Errorf("open capture: %w", err)
	}
	if !info.Mode().IsRegular() {
		return 0, 0, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return 0, 0, fmt.Errorf("open capture: %w", err)
	}
	defer file.Close()
	reader, err := pcap.NewReader(name, file)
	if err != nil {
		return 0, 0, err
	}
	defer reader.Close()
	var packet pcap.Packet
	_ = reader.Next(&packet) // damage is reported when its turn comes
	return packet.Time, info.Size(), nil
}

// Read implements Source. It returns io.EOF behind the last file, whether all were read to their end or not.
func (r *Replay) Read(e *event.Event) error {
	events := &r.conversations.events
	for events.begin(e); !events.filled; {
		if r.closed.Load() {
			r.leave()
			return os.ErrClosed
		}
		if r.conversations.expire(r.packet.Time) {
			continue
		}
		if r.reader == nil {
			if len(r.files) == 0 {
				if r.conversations.expire(math.MaxInt64) {
					continue
				}
				r.publish()
				return io.EOF
			}
			r.enter()
			continue
		}
		if err := r.reader.Next(&r.packet); err != nil {
			if !errors.Is(err, io.EOF) {
				r.faults = append(r.faults, err)
			}
			r.leave()
			continue
		}
		r.take()
	}
	r.events++
	r.bytes += uint64(len(e.Data))
	return nil
}

// take turns one packet into events.
func (r *Replay) take() {
	p := &r.packet
	if r.packets == 0 {
		r.first, r.last = p.Time, p.Time
	}
	r.last = max(r.last, p.Time)
	if r.packets++; r.packets%publishEvery == 0 {
		r.publish()
	}
	switch r.decoder.Decode(uint16(p.Link), p.Data, p.Length, p.Time, &r.segment) {
	case frame.Whole:
		r.conversations.segment(&r.segment, p.Time)
	case frame.Malformed:
		r.lost.add(lostMalformed, 1)
	case frame.Snapped:
		r.lost.add(lostSnapped, 1)
	case frame.Unsupported:
		r.lost.add(lostLink, 1)
	}
}

// enter opens the next file.
func (r *Replay) enter() {
	name := r.files[0].name
	r.files = r.files[1:]
	stream := r.stdin
	if name == "-" {
		name = "standard input"
	} else {
		file, err := os.Open(name)
		if err != nil {
			r.faults = append(r.faults, fmt.Errorf("open capture: %w", err))
			return
		}
		r.file, stream = file, file
	}
	reader, err := pcap.NewReader(name, counted{stream, &r.readOctets})
	if err != nil {
		r.faults = append(r.faults, err)
		r.leave()
		return
	}
	r.reader = reader
}

// leave closes the file that is being read.
func (r *Replay) leave() {
	r.publish()
	if r.reader != nil {
		r.reader.Close()
	}
	if r.file != nil {
		_ = r.file.Close() // it was only read
	}
	r.reader, r.file, r.dropped = nil, nil, 0
}

// publish updates what other goroutines may read.
func (r *Replay) publish() {
	r.readEvents.Store(r.events)
	r.readBytes.Store(r.bytes)
	r.readPackets.Store(r.packets)
	given := r.decoder.GivenUp()
	r.lost.add(lostFragments, given-r.givenUp)
	r.givenUp = given
	if r.reader != nil {
		dropped := r.reader.Dropped()
		r.lost.add(lostByCapture, dropped-min(dropped, r.dropped))
		r.dropped = dropped
	}
}

// Stats implements Source.
func (r *Replay) Stats() event.Stats {
	return event.Stats{Events: r.readEvents.Load(), Bytes: r.readBytes.Load(), Lost: r.lost.byReason()}
}

// Progress returns how many packets were read, and how much of the files; the size is 0 if it is not known. Any goroutine may call it.
func (r *Replay) Progress() (packets, octets, size uint64) {
	return r.readPackets.Load(), r.readOctets.Load(), uint64(r.size)
}

// Span returns how long the captures are, from the first packet to the last. It is for the goroutine that reads.
func (r *Replay) Span() time.Duration { return time.Duration(r.last - r.first) }

// Fault returns what was wrong with the files, nil if they could all be read to their end. It is for the goroutine that reads.
func (r *Replay) Fault() error { return errors.Join(r.faults...) }

// Close implements Source.
func (r *Replay) Close() error {
	r.closed.Store(true)
	return nil
}

// counted counts what is read of a file.
type counted struct {
	input io.Reader
	bytes *atomic.Uint64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.input.Read(p)
	c.bytes.Add(uint64(n))
	return n, err
}
