package parser

import "encoding/binary"

// In a pipeline, messages of a kind follow each other. Where all that matters of a message is that it is one more, the methods of this
// file pass over as many as there are, in loops that do little else. What they do not take is for Next, which may take the same.

// wordSize is how many bytes are compared at once.
const wordSize = 8

// shape is how a message or a part of it was recognised, and its length: what begins alike is as long.
type shape struct {
	word, mask uint64 // the first bytes that tell
	length     int
}

// noShape is that of nothing.
var noShape = shape{word: 1}

// shapeOf returns the shape of what lies at b[p:next] and is told by the bytes up to told.
func shapeOf(b []byte, p, told, next int) shape {
	if next > len(b) || told > p+wordSize || p+wordSize > len(b) {
		return noShape
	}
	mask := ^uint64(0) >> (8 * (p + wordSize - told))
	return shape{binary.LittleEndian.Uint64(b[p:]) & mask, mask, next - p}
}

// at reports whether b[p:] begins with the shape.
func (s *shape) at(b []byte, p int) bool {
	return p+wordSize <= len(b) && binary.LittleEndian.Uint64(b[p:])&s.mask == s.word
}

// kind is what requests for the same command with as many arguments begin with, up to the end of their first argument: from one to three
// words. The zero value is that of none.
type kind struct {
	first, middle, last uint64 // they overlap where there are not as many
	named               int    // length of it
	args                int
}

// learn makes it the kind of a request that begins so.
func (k *kind) learn(begin []byte, args int) {
	last := len(begin) - wordSize
	if last < 0 || last > 2*wordSize {
		k.named = 0
		return
	}
	k.named, k.args = len(begin), args
	k.first = binary.LittleEndian.Uint64(begin)
	k.middle = binary.LittleEndian.Uint64(begin[min(last, wordSize):])
	k.last = binary.LittleEndian.Uint64(begin[last:])
}

// begins reports whether b begins with it.
func (k *kind) begins(b []byte) bool {
	last := k.named - wordSize
	return last >= 0 && len(b) >= k.named && binary.LittleEndian.Uint64(b) == k.first &&
		binary.LittleEndian.Uint64(b[last:]) == k.last && binary.LittleEndian.Uint64(b[min(last, wordSize):]) == k.middle
}

// Repeats takes the requests that come next, lie entirely in the chunk and begin with the same bytes as the last one did, up to the end of
// its first argument: the same command with as many arguments. It returns how many there are.
func (s *RequestStream) Repeats() (n int) {
	if s.state != atRequest {
		return 0
	}
	b, p := s.in.chunk, s.in.pos
	shapes := [2]shape{noShape, noShape} // of the arguments with even and with odd index
	for s.kind.begins(b[p:]) {
		end := p + s.kind.named
		for i := 1; i < s.kind.args && end <= len(b); i++ {
			known := &shapes[i%2]
			if known.at(b, end) {
				end += known.length
				continue
			}
			content, behind := argument(b, end)
			*known = shapeOf(b, end, content, behind)
			end = behind
		}
		if end > len(b) {
			break
		}
		p = end
		n++
	}
	s.in.pos = p
	return n
}

// Successes takes the frames that come next, lie entirely in the chunk and tell of nothing but success: the simple string OK, integers
// and bulk strings. It takes most at most, and returns how many it took.
func (s *ReplyStream) Successes(most int) (n int) {
	if s.state != atFrame {
		return 0
	}
	b, p := s.in.chunk, s.in.pos
	known := noShape
	for n < most {
		next := p + known.length
		if !known.at(b, p) || next > len(b) || b[next-2] != '\r' || b[next-1] != '\n' {
			var told int
			told, next = success(b, p)
			known = shapeOf(b, p, told, next)
		}
		if next > len(b) {
			break
		}
		p = next
		n++
	}
	s.in.pos = p
	return n
}

// success finds a frame that b[p:] begins with and that tells of nothing but success. It returns where the content of a bulk string begins,
// or the position behind what is no bulk string, and the position behind the frame, which is beyond b if there is none, or not all of it.
func success(b []byte, p int) (told, next int) {
	if len(b)-p < len(":0\r\n") {
		return 0, len(b) + 1
	}
	switch b[p] {
	case '$':
		if b[p+1] != '-' {
			return wholeBulk(b, p)
		}
		return exactly(b, p, "$-1\r\n")
	case '+':
		return exactly(b, p, "+OK\r\n")
	case ':':
		_, next = size(b, p+1)
		if next > len(b) || b[next-1] != '\n' {
			break
		}
		return next, next
	}
	return 0, len(b) + 1
}

// exactly finds a frame at b[p:] that has to be as given. It returns what success does.
func exactly(b []byte, p int, frame string) (told, next int) {
	next = p + len(frame)
	if next > len(b) || string(b[p:next]) != frame {
		return 0, len(b) + 1
	}
	return next, next
}
