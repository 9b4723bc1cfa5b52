package parser

import "math"

// Outcome is an outcome of Next besides nil. As its type is not error, it is compared with an error
// without a call, which happens once for each chunk.
type Outcome struct{ text string }

// Error implements error.
func (o *Outcome) Error() string { return o.text }

// The outcomes.
var (
	// ErrShort: the bytes so far are valid and end inside a message; Feed more.
	ErrShort = &Outcome{"parser: short"}
	// ErrMalformed: the bytes are not RESP. It is sticky until Reset.
	ErrMalformed = &Outcome{"parser: malformed"}
)

// How much of its strings a message keeps.
const (
	// MaxArg is how much of each of the first arguments a Request holds.
	MaxArg = 64
	// MaxText is how much of its text a Reply holds.
	MaxText = 64
)

// The limits beyond which bytes are malformed: the server's own, and for replies those that no
// server exceeds.
const (
	maxElements = math.MaxInt32 // arguments of a request, elements (or pairs) of an aggregate
	maxBulk     = 512 << 20     // bytes of a bulk string
	maxLine     = 64 << 10      // bytes of a header or of an inline command
	maxSimple   = 512 << 20     // bytes of a simple string or an error: a line of MONITOR holds a whole command
	maxValues   = 1 << 40       // values of a reply that are to come: more than any server has memory for
	maxLevels   = 16            // streamed aggregates of a reply, one in the other; counted ones have no limit
	maxInteger  = 24            // bytes of a header line worth keeping: no integer has more
)

// sizeCRLF is what follows the content of a bulk string.
const sizeCRLF = 2

// LooksLikeTLS reports whether b, the first bytes of a connection, begins a TLS handshake record,
// which is not RESP in either direction.
func LooksLikeTLS(b []byte) bool {
	return len(b) >= 2 && b[0] == 0x16 && b[1] == 0x03
}

// input is the chunk being read and the header line that its predecessors may have left unfinished.
type input struct {
	chunk   []byte
	pos     int
	line    [maxInteger]byte
	lineLen int32 // bytes of the unfinished line; those beyond line are only counted
	cr      bool  // the unfinished line lacks only the byte after its '\r'
}

func (in *input) feed(chunk []byte) {
	in.chunk, in.pos = chunk, 0
}

// drop releases the chunk, so that the caller may reuse it.
func (in *input) drop() {
	in.chunk, in.pos = nil, 0
}

func (in *input) rest() []byte {
	return in.chunk[in.pos:]
}

func (in *input) remain() int {
	return len(in.chunk) - in.pos
}

func (in *input) empty() bool {
	return in.pos == len(in.chunk)
}

// header reads a line that should be short: everything up to '\r', and the byte after it. It
// returns the line without both, nil if it is too long to be an integer, and that last byte; or
// false if the chunk ends before.
func (in *input) header() (line []byte, last byte, ok bool) {
	if in.lineLen == 0 && !in.cr {
		// Nearly always the whole line is at hand.
		b := in.chunk[in.pos:]
		for i := 0; i+1 < len(b) && i <= maxInteger; i++ {
			if b[i] == '\r' {
				in.pos += i + 2
				return b[:i], b[i+1], true
			}
		}
	}
	return in.resumeHeader()
}

func (in *input) resumeHeader() (line []byte, last byte, ok bool) {
	for in.pos < len(in.chunk) && in.lineLen <= maxLine {
		c := in.chunk[in.pos]
		in.pos++
		switch {
		case in.cr:
			line = in.line[:min(in.lineLen, maxInteger)]
			if in.lineLen > maxInteger {
				line = nil
			}
			in.lineLen, in.cr = 0, false
			return line, c, true
		case c == '\r':
			in.cr = true
		default:
			if in.lineLen < maxInteger {
				in.line[in.lineLen] = c
			}
			in.lineLen++
		}
	}
	// A line over the limit is at its end: as no integer is that long, the caller finds it
	// malformed.
	return nil, 0, in.lineLen > maxLine
}

// parseInteger reads an integer as servers do: an optional '-', no '+', no leading zero, within 64
// bits.
func parseInteger(b []byte) (int64, bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 || b[0] == '0' && (negative || len(b) > 1) {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		digit := uint64(c - '0')
		// Twenty digits can not pass here and wrap around: the nineteenth is already at the limit.
		if digit > 9 || n > (1<<63)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	if negative {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n < 1<<63
}
