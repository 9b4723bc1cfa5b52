package parser

import "bytes"

// PrefaceState is the finding of a Preface.
type PrefaceState uint8

// The states.
const (
	PrefaceUndecided PrefaceState = iota // all bytes so far may belong to a header
	PrefaceAbsent                        // the connection begins with a request
	PrefaceLine                          // a line was passed over
	PrefaceBinary                        // a binary header was passed over
)

// The beginnings of the headers of the PROXY protocol, version 1 and 2. No request of a client
// begins with the whole of either.
const (
	prefaceLine   = "PROXY "
	prefaceBinary = "\r\n\r\n\x00\r\nQUIT\n"
)

// sizePrefaceBinary is the length of the fixed part of the binary header; its last two bytes are
// the length of what follows.
const sizePrefaceBinary = len(prefaceBinary) + 4

// Preface passes over a header of the PROXY protocol before the first request of a connection,
// which gives the server the address of the proxy's client. The zero value is ready. It holds no
// bytes.
type Preface struct {
	read   uint8 // bytes of the beginning, and of the fixed part of a binary header
	binary bool
	left   uint16 // bytes to come behind the fixed part of a binary header
}

// Skip reads the next bytes of the connection, at least one. Call it until it returns another state
// than PrefaceUndecided. The requests then begin with again, which are bytes of earlier chunks that
// belong to no header, and go on with rest, of b.
func (p *Preface) Skip(b []byte) (again string, rest []byte, state PrefaceState) {
	if p.read == 0 {
		p.binary = b[0] == prefaceBinary[0]
	}
	begin := prefaceLine
	if p.binary {
		begin = prefaceBinary
	}
	if known := int(p.read); known < len(begin) {
		n := min(len(b), len(begin)-known)
		if string(b[:n]) != begin[known:known+n] {
			return begin[:known], b, PrefaceAbsent
		}
		p.read += uint8(n)
		b = b[n:]
	}
	switch {
	case int(p.read) < len(begin):
		return "", nil, PrefaceUndecided
	case p.binary:
		return p.skipBinary(b)
	}
	if end := bytes.IndexByte(b, '\n'); end >= 0 {
		return "", b[end+1:], PrefaceLine
	}
	return "", nil, PrefaceUndecided
}

// skipBinary passes over the bytes of a binary header behind its beginning.
func (p *Preface) skipBinary(b []byte) (again string, rest []byte, state PrefaceState) {
	for len(b) > 0 && int(p.read) < sizePrefaceBinary {
		p.read++
		if int(p.read) > sizePrefaceBinary-2 {
			p.left = p.left<<8 | uint16(b[0])
		}
		b = b[1:]
	}
	n := min(len(b), int(p.left))
	if int(p.read) < sizePrefaceBinary {
		return "", nil, PrefaceUndecided
	}
	p.left -= uint16(n)
	if p.left > 0 {
		return "", nil, PrefaceUndecided
	}
	return "", b[n:], PrefaceBinary
}
