package parser

import "encoding/binary"

// In a pipeline, equal messages follow each other. Where all that matters of a message is that it
// is one more, the methods of this file pass over as many as there are, in loops that do little
// else. Next reads all that they leave, and may read what they take.

// wordSize is how many bytes are compared at once.
const wordSize = 8

// lengthHint is the length of a message, or of a part of it, and the first bytes that determine it:
// a message that begins with the same bytes is as long.
type lengthHint struct {
	word, mask uint64 // the first bytes, as far as they determine the length
	length     int
}

// noHint matches nothing.
var noHint = lengthHint{word: 1}

// hintOf returns the hint of the message b[p:next], whose length is determined by b[p:header].
func hintOf(b []byte, p, header, next int) lengthHint {
	if next > len(b) || header > p+wordSize || p+wordSize > len(b) {
		return noHint
	}
	mask := ^uint64(0) >> (8 * (p + wordSize - header))
	return lengthHint{binary.LittleEndian.Uint64(b[p:]) & mask, mask, next - p}
}

// matches reports whether the hint holds for b[p:].
func (h *lengthHint) matches(b []byte, p int) bool {
	return p+wordSize <= len(b) && binary.LittleEndian.Uint64(b[p:])&h.mask == h.word
}

// requestPrefix is a request up to the end of its first argument: from one to three words. Requests
// with an equal prefix are for the same command, with the same number of arguments. The zero value
// matches nothing.
type requestPrefix struct {
	first, middle, last uint64 // they overlap in a short prefix
	size                int    // of the prefix, in bytes
	args                int
}

// set makes the prefix that of a request that begins so.
func (r *requestPrefix) set(begin []byte, args int) {
	last := len(begin) - wordSize
	if last < 0 || last > 2*wordSize {
		r.size = 0
		return
	}
	r.size, r.args = len(begin), args
	r.first = binary.LittleEndian.Uint64(begin)
	r.middle = binary.LittleEndian.Uint64(begin[min(last, wordSize):])
	r.last = binary.LittleEndian.Uint64(begin[last:])
}

// matches reports whether b begins with the prefix.
func (r *requestPrefix) matches(b []byte) bool {
	last := r.size - wordSize
	return last >= 0 && len(b) >= r.size && binary.LittleEndian.Uint64(b) == r.first &&
		binary.LittleEndian.Uint64(b[last:]) == r.last && binary.LittleEndian.Uint64(b[min(last, wordSize):]) == r.middle
}

// Repeats takes the requests that come next, lie entirely in the chunk and have the prefix of the
// last one. It returns how many there are.
func (s *RequestStream) Repeats() (n int) {
	if s.state != atRequest {
		return 0
	}
	b, p := s.in.chunk, s.in.pos
	hints := [2]lengthHint{noHint, noHint} // of the arguments with even and with odd index
	for s.prefix.matches(b[p:]) {
		end := p + s.prefix.size
		for i := 1; i < s.prefix.args && end <= len(b); i++ {
			hint := &hints[i%2]
			if hint.matches(b, end) {
				end += hint.length
				continue
			}
			content, behind := argument(b, end)
			*hint = hintOf(b, end, content, behind)
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

// Successes takes the frames that come next, lie entirely in the chunk and say nothing but success:
// the simple string OK, integers, bulk strings and null. It takes at most so many, and returns how
// many it took, and how many of them are null.
func (s *ReplyStream) Successes(most int) (n, nils int) {
	if s.state != atFrame {
		return 0, 0
	}
	b, p := s.in.chunk, s.in.pos
	hint, null := noHint, 0 // null is 1 if the message of the hint is null
	for n < most {
		next := p + hint.length
		if !hint.matches(b, p) || next > len(b) || b[next-2] != '\r' || b[next-1] != '\n' {
			var header int
			header, next = success(b, p)
			hint, null = hintOf(b, p, header, next), 0
			if header == next && b[p] == '$' { // not even an empty string
				null = 1
			}
		}
		if next > len(b) {
			break
		}
		nils += null
		p = next
		n++
	}
	s.in.pos = p
	return n, nils
}

// success finds a frame that b[p:] begins with and that says nothing but success. It returns where
// the content of a bulk string begins, or the position behind any other frame, and the position
// behind the frame, which is beyond b if there is none, or not all of it.
func success(b []byte, p int) (header, next int) {
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
func exactly(b []byte, p int, frame string) (header, next int) {
	next = p + len(frame)
	if next > len(b) || string(b[p:next]) != frame {
		return 0, len(b) + 1
	}
	return next, next
}
