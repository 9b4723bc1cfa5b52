package parser

import "math"

// replyState says what the next byte of a ReplyStream is.
type replyState uint8

const (
	atFrame  replyState = iota // the first byte of a frame
	atValue                    // the type byte of a value within a frame
	atHeader                   // in a short line: a length, an integer, a boolean, a null, the end of a streamed aggregate
	atLine                     // in a line of any length
	atBulk                     // in a bulk string or the "\r\n" after it
	atPart                     // the ';' of a part of a streamed string
	atFault                    // behind bytes that are not RESP
)

// A frame is read without a stack of its aggregates, which a server may nest to any depth. A
// counter of the values to come is enough, to which each aggregate adds its own. A level is such a
// counter, kept apart where its values need a property of their own: the elements of the frame; the
// values within those; a streamed aggregate, which has no count; and values that are not an element
// of anything: an attribute, and a push that the server sends while it writes an aggregate.

// streamed stands for the number of values to go of a streamed aggregate.
const streamed = math.MaxUint64

// step reads one part of a frame. It reports whether the frame is complete, and whether there may
// be more to read in the chunk.
func (s *ReplyStream) step(header bool) (done, more bool) {
	switch s.state {
	case atFrame:
		s.skipKeepAlives()
		if s.in.empty() {
			return false, false
		}
		s.frame, s.textLen = frame{}, 0
		s.state = atValue
		return false, true
	case atValue:
		if s.wholeElement() {
			return s.end(), true
		}
		return false, s.readType()
	case atHeader:
		line, last, ok := s.in.header()
		if !ok {
			return false, false
		}
		if last != '\n' {
			return s.fault()
		}
		return s.value(line, header)
	case atLine:
		return s.readLine()
	case atBulk:
		return s.readBulk()
	case atPart:
		return false, s.readPart()
	default:
		return false, false
	}
}

func (s *ReplyStream) fault() (done, more bool) {
	s.state = atFault
	return false, false
}

func (s *ReplyStream) skipKeepAlives() {
	for !s.in.empty() && s.in.chunk[s.in.pos] == '\n' {
		s.in.pos++
	}
}

// readType reads the type byte of a value, and decides which part of the value belongs into the
// Reply.
func (s *ReplyStream) readType() bool {
	if s.in.empty() {
		return false
	}
	s.kind = s.in.chunk[s.in.pos]
	switch s.kind {
	case '+', '-', ',', '(':
		s.state, s.length, s.cr = atLine, 0, false
	case ':', '$', '*', '_', '#', '!', '=', '%', '~':
		s.state = atHeader
	case '>', '|', '.':
		s.state = atHeader
		if s.kind != '>' || s.depth > 0 { // no element of anything
			s.in.pos++
			s.capture, s.parts = false, false
			return true
		}
	default:
		s.state = atFault
		return true
	}
	s.in.pos++
	s.place()
	return true
}

// wholeElement reads a bulk string that lies entirely in the chunk: most elements of most arrays.
// It returns false for anything else.
func (s *ReplyStream) wholeElement() bool {
	b := s.in.rest()
	start, next := wholeBulk(b, 0)
	if next > len(b) {
		return false
	}
	s.kind = '$'
	s.place()
	s.keep(b[start : next-sizeCRLF])
	s.in.pos += next
	return true
}

// place notes the type of a value that is the frame or an element in it, and nothing of other
// values.
func (s *ReplyStream) place() {
	s.capture, s.parts = false, false
	if s.extras != 0 {
		return
	}
	isError := s.kind == '-' || s.kind == '!'
	isString := s.kind == '+' || s.kind == '$' || s.kind == '='
	switch s.depth {
	case 0:
		s.frame.kind = s.kind
		s.capture = isString || isError
		return
	case 1:
		s.capture = isString && !s.frame.begun
		s.frame.begun, s.frame.last = true, 0
	}
	s.frame.nestedError = s.frame.nestedError || isError
}

// value reads the header line of a value.
func (s *ReplyStream) value(line []byte, header bool) (done, more bool) {
	switch s.kind {
	case ':':
		return s.integer(line)
	case '$', '!', '=', ';':
		return s.bulk(line)
	case '*', '%', '~', '>', '|':
		return s.aggregate(line, header)
	case '_':
		return s.null(len(line) == 0)
	case '#':
		if len(line) != 1 || line[0] != 't' && line[0] != 'f' {
			return s.fault()
		}
		return s.end(), true
	default: // '.'
		if len(line) != 0 || s.depth == 0 || s.levels[s.depth-1] != streamed {
			return s.fault()
		}
		return s.pop(), true
	}
}

// aggregate reads the number of elements and opens the aggregate, or completes the frame if its
// header alone is asked for.
func (s *ReplyStream) aggregate(line []byte, header bool) (done, more bool) {
	count, length := uint64(streamed), int64(-1)
	if len(line) != 1 || line[0] != '?' {
		n, ok := parseInteger(line)
		switch {
		case !ok || n > maxElements:
			return s.fault()
		case n < 0:
			return s.null(s.kind == '*' && n == -1)
		case s.kind == '%' || s.kind == '|':
			n *= 2
		}
		count, length = uint64(n), n
	}
	if s.depth == 0 && s.kind != '|' {
		s.frame.len = length
		if header && s.kind == '*' && count != streamed {
			s.state = atFrame
			return true, true
		}
	}
	extra := s.kind == '|' || s.kind == '>' && s.depth > 0
	s.state = atValue
	switch {
	case count == 0:
		return !extra && s.end(), true
	case s.depth > 0 && count != streamed && s.joins(extra):
		return s.join(count, extra)
	case s.depth == maxLevels:
		return s.fault()
	}
	s.levels[s.depth] = count
	if extra {
		s.extras |= 1 << s.depth
	}
	s.depth++
	return false, true
}

// join makes the elements of an aggregate values to come of the innermost level, to which it is
// itself a value that is complete.
func (s *ReplyStream) join(count uint64, extra bool) (done, more bool) {
	level := &s.levels[s.depth-1]
	if *level += count; *level > maxValues {
		return s.fault()
	}
	return !extra && s.end(), true
}

// joins reports whether the elements of an aggregate need no level of their own.
func (s *ReplyStream) joins(extra bool) bool {
	level := s.depth - 1
	if s.levels[level] == streamed {
		return false
	}
	return s.extras&(1<<level) != 0 || level > 0 && !extra
}

// pop closes the innermost level, and the values that this completes. It reports whether the frame
// is complete.
func (s *ReplyStream) pop() (done bool) {
	if s.shut() {
		s.state = atValue
		return false
	}
	return s.end()
}

// shut closes the innermost level. It reports whether that was no element: the level around it has
// as many values to come as before.
func (s *ReplyStream) shut() (extra bool) {
	s.depth--
	bit := uint16(1) << s.depth
	extra = s.extras&bit != 0
	s.extras &^= bit
	return extra
}

// end closes the value just read and the levels that it completes. It reports whether the frame is
// complete.
func (s *ReplyStream) end() (done bool) {
	s.state = atValue
	for s.depth > 0 {
		top := &s.levels[s.depth-1]
		if *top == streamed {
			return false
		}
		*top--
		if *top > 0 || s.shut() {
			return false
		}
	}
	s.state = atFrame
	return true
}
