package parser

import (
	"bytes"
	"encoding/binary"
)

// In a pipeline, messages of a kind follow each other. Where all that matters of a message is that it is one more, the methods of this
// file pass over as many as there are, in loops that do little else. What they do not take is for Next, which may take the same.

// wordSize is how many bytes are compared at once.
const wordSize = 8

// Repeats takes the requests that come next, lie entirely in the chunk and begin with the same bytes as request, up to the end of its
// first argument: the same command with as many arguments. It returns how many there are. request is what Next has just returned.
func (s *RequestStream) Repeats(request *Request) (n int) {
	b, p := s.in.chunk, s.in.pos
	if request.named < wordSize || request.named > p { // where it began is gone
		return 0
	}
	begin := b[request.begin:request.named]
	first, last := binary.LittleEndian.Uint64(begin), binary.LittleEndian.Uint64(begin[len(begin)-wordSize:])
	for len(b)-p >= len(begin) {
		next := b[p : p+len(begin)]
		if binary.LittleEndian.Uint64(next) != first || binary.LittleEndian.Uint64(next[len(next)-wordSize:]) != last ||
			len(next) > 2*wordSize && !bytes.Equal(next, begin) {
			break
		}
		end := p + len(next)
		for i := 1; i < request.Args && end <= len(b); i++ {
			_, end = argument(b, end)
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
	for n < most {
		next := success(b, p)
		if next > len(b) {
			break
		}
		p = next
		n++
	}
	s.in.pos = p
	return n
}

// success returns the position behind a frame at b[p:] that tells of nothing but success. It is beyond b if there is none, or not all of it.
func success(b []byte, p int) (next int) {
	if len(b)-p < len(":0\r\n") {
		return len(b) + 1
	}
	switch b[p] {
	case '$':
		if b[p+1] != '-' {
			_, next = wholeBulk(b, p)
			return next
		}
		next = p + len("$-1\r\n")
		if next > len(b) || string(b[p:next]) != "$-1\r\n" {
			break
		}
		return next
	case '+':
		next = p + len("+OK\r\n")
		if next > len(b) || string(b[p:next]) != "+OK\r\n" {
			break
		}
		return next
	case ':':
		_, next = size(b, p+1)
		if next > len(b) || b[next-1] != '\n' {
			break
		}
		return next
	}
	return len(b) + 1
}
