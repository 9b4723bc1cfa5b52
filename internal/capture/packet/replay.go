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

// ReorderTimeout is how long to wait, in the time of the packets, for bytes out of order: a lost
// segment is sent again after 200 ms at the earliest, and after twice that the next time.
// Acknowledged bytes are not waited for.
const ReorderTimeout = time.Second

// ReplayOptions are the settings of OpenReplay. All but Stdin are required.
type ReplayOptions struct {
	Files                    []string // capture files; "-" is Stdin
	Stdin                    io.Reader
	ClientPorts, ServerPorts []uint16                                // as in Options
	Resolve                  func(event.Role, *event.Endpoints) bool // whether an end of a connection has a name
}

// Replay is the Source of capture files. Its clock is that of the captures.
type Replay struct {
	stdin         io.Reader
	files         []input // not read yet
	file          *os.File
	reader        *pcap.Reader
	conversations *conversations
	decoder       frame.Decoder
	packet        pcap.Packet
	segment       frame.Segment
	faults        []error
	lost          losses
	dropped       uint64 // as reported by the current file
	discarded     uint64
	events, bytes uint64 // published every publishEvery packets
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

// publishEvery is how many packets are read between two updates of Stats and Progress.
const publishEvery = 4096

// OpenReplay opens the files, and sorts them by time. It returns an error if a file cannot be read
// at all. Damage that is found later ends that file only, and is reported by Fault.
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

// beginning returns the time of the first packet of a file, and its size in bytes. Both are 0 for a
// stream that can be read only once.
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
	_ = reader.Next(&packet) // Read reports damage
	return packet.Time, info.Size(), nil
}

// Read implements Source. It returns io.EOF after the last file, even if a file was damaged.
func (r *Replay) Read(e *event.Event) error {
	events := &r.conversations.events
	for events.begin(e); !events.filled; {
		if r.closed.Load() {
			r.closeFile()
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
			r.openFile()
			continue
		}
		if err := r.reader.Next(&r.packet); err != nil {
			if !errors.Is(err, io.EOF) {
				r.faults = append(r.faults, err)
			}
			r.closeFile()
			continue
		}
		r.decode()
	}
	r.events++
	r.bytes += uint64(len(e.Data))
	return nil
}

// decode turns the current packet into events.
func (r *Replay) decode() {
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

// openFile opens the next file.
func (r *Replay) openFile() {
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
		r.closeFile()
		return
	}
	r.reader = reader
}

// closeFile closes the current file.
func (r *Replay) closeFile() {
	r.publish()
	if r.reader != nil {
		r.reader.Close()
	}
	if r.file != nil {
		_ = r.file.Close() // it was only read
	}
	r.reader, r.file, r.dropped = nil, nil, 0
}

// publish updates the counters that other goroutines read.
func (r *Replay) publish() {
	r.readEvents.Store(r.events)
	r.readBytes.Store(r.bytes)
	r.readPackets.Store(r.packets)
	given := r.decoder.Discarded()
	r.lost.add(lostFragments, given-r.discarded)
	r.discarded = given
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

// Progress returns how many packets and bytes were read, and the size of the files in bytes, 0 if
// unknown. Any goroutine may call it.
func (r *Replay) Progress() (packets, octets, size uint64) {
	return r.readPackets.Load(), r.readOctets.Load(), uint64(r.size)
}

// Span returns the time from the first packet to the last. Only the reading goroutine may call it.
func (r *Replay) Span() time.Duration { return time.Duration(r.last - r.first) }

// Fault returns the damage found in the files, nil if all were read to their end. Only the reading
// goroutine may call it.
func (r *Replay) Fault() error { return errors.Join(r.faults...) }

// Close implements Source.
func (r *Replay) Close() error {
	r.closed.Store(true)
	return nil
}

// counted counts the bytes that are read from a file.
type counted struct {
	input io.Reader
	bytes *atomic.Uint64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.input.Read(p)
	c.bytes.Add(uint64(n))
	return n, err
}
