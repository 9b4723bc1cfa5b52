package packet

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture/packet/pcap"
)

const (
	// maxOpen is how many files are read at a time. Each takes a buffer of some 300 KiB.
	maxOpen = 32
	// backwards is by how much a packet's time may be less than that of the packet before it, in ns.
	// Packets of several queues or interfaces are in order only nearly. By more, the clock was set.
	backwards = int64(time.Second)
)

// inputs are capture files that are read as one, merged by time.
type inputs struct {
	stdin   io.Reader
	follow  bool         // the file is still written
	closed  *atomic.Bool // the replay was closed
	octets  *atomic.Uint64
	waiting []*input // not open yet, by the time of their first packets
	open    []*input
	current *input // the last packet is of it
	until   int64  // the first packet of all others is not earlier
	peeked  bool   // the next packet is that of current
	faults  []error
	dropped uint64 // packets that the files which have ended report as lost
	steps   int    // times that a clock was set back
	step    int64  // the largest of these steps, in ns
}

// input is a capture file.
type input struct {
	name   string
	begin  int64 // time of its first packet
	file   *os.File
	reader *pcap.Reader
	packet pcap.Packet // the next one of an open file
	last   int64       // the latest time since the clock was set, by that clock
	shift  int64       // to be added to times, so that they go on when the clock is set back
}

// time returns when the next packet was captured.
func (i *input) time() int64 { return i.packet.Time + i.shift }

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
	_ = reader.Next(&packet) // damage is reported when the file is read
	return packet.Time, info.Size(), nil
}

// add adds a file. It reports the file's size, and records a fault if the file cannot be read.
func (n *inputs) add(name string) (size int64, readable bool) {
	if n.follow {
		n.waiting = append(n.waiting, &input{name: name})
		return 0, true
	}
	begin, size, err := beginning(name)
	if err != nil {
		n.faults = append(n.faults, err)
		return 0, false
	}
	n.waiting = append(n.waiting, &input{name: name, begin: begin})
	slices.SortStableFunc(n.waiting, func(a, b *input) int { return cmp.Compare(a.begin, b.begin) })
	return size, true
}

// next returns the file whose next packet is the earliest, nil at the end. The packet is valid until
// the next call.
func (n *inputs) next() *input {
	if in := n.current; in != nil && (n.peeked || n.advance(in) && in.time() <= n.until) {
		n.peeked = false
		return in
	}
	return n.choose()
}

// peek returns what next will return.
func (n *inputs) peek() *input {
	in := n.choose()
	n.peeked = in != nil
	return in
}

// advance reads the next packet of a file. It returns false, and closes the file, at its end.
func (n *inputs) advance(in *input) bool {
	if err := in.reader.Next(&in.packet); err != nil {
		if err != io.EOF && !n.closed.Load() {
			n.faults = append(n.faults, err)
		}
		n.close(in)
		return false
	}
	t := in.packet.Time
	if t < in.last-backwards {
		n.steps++
		n.step = max(n.step, in.last-t)
		in.shift += in.last - t
		in.last = t
	}
	in.last = max(in.last, t)
	return true
}

// choose selects the file whose next packet is the earliest. It opens those that begin before that.
func (n *inputs) choose() *input {
	for {
		n.current, n.until = nil, math.MaxInt64
		for _, in := range n.open {
			switch {
			case n.current == nil:
				n.current = in
			case in.time() < n.current.time():
				n.until = min(n.until, n.current.time())
				n.current = in
			default:
				n.until = min(n.until, in.time())
			}
		}
		if len(n.waiting) == 0 || len(n.open) >= maxOpen {
			return n.current
		}
		if first := n.waiting[0]; n.current != nil && n.current.time() < first.begin {
			n.until = min(n.until, first.begin)
			return n.current
		}
		first := n.waiting[0]
		n.waiting = n.waiting[1:]
		n.start(first)
	}
}

// start opens a file and reads its first packet.
func (n *inputs) start(in *input) {
	name, stream := in.name, n.stdin
	if name == "-" {
		name = "standard input"
	} else {
		file, err := os.Open(name)
		if err != nil {
			n.faults = append(n.faults, fmt.Errorf("open capture: %w", err))
			return
		}
		in.file, stream = file, file
		if n.follow {
			stream = growing{file, n.closed}
		}
	}
	reader, err := pcap.NewReader(name, counted{stream, n.octets})
	if err != nil {
		if !n.closed.Load() {
			n.faults = append(n.faults, err)
		}
		n.close(in)
		return
	}
	in.reader, in.last = reader, math.MinInt64/2
	n.open = append(n.open, in)
	n.advance(in)
}

// close closes a file.
func (n *inputs) close(in *input) {
	if in.reader != nil {
		n.dropped += in.reader.Dropped()
		in.reader.Close()
	}
	if in.file != nil {
		_ = in.file.Close() // it was only read
	}
	n.open = slices.DeleteFunc(n.open, func(other *input) bool { return other == in })
	if n.current == in {
		n.current = nil
	}
}

// closeAll closes all files.
func (n *inputs) closeAll() {
	for len(n.open) > 0 {
		n.close(n.open[0])
	}
	n.waiting = nil
}

// lost returns how many packets the files report as lost.
func (n *inputs) lost() uint64 {
	lost := n.dropped
	for _, in := range n.open {
		lost += in.reader.Dropped()
	}
	return lost
}

// growing reads a file that is still written. It waits for more at the end.
type growing struct {
	file   *os.File
	closed *atomic.Bool
}

// growInterval is how often the end of a growing file is looked at.
const growInterval = 100 * time.Millisecond

func (g growing) Read(p []byte) (int, error) {
	for {
		n, err := g.file.Read(p)
		if n > 0 || err != io.EOF || g.closed.Load() {
			return n, err
		}
		time.Sleep(growInterval)
	}
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
