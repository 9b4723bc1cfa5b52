package parser

import "bytes"

// integer reads a value of type ':', which RESP3 lets begin with '+'.
func (s *ReplyStream) integer(line []byte) (done, more bool) {
	if len(line) > 1 && line[0] == '+' && line[1] != '-' {
		line = line[1:]
	}
	n, ok := parseInteger(line)
	if !ok {
		return s.fault()
	}
	if s.extras == 0 {
		switch s.depth {
		case 0:
			s.frame.len = n
		case 1:
			s.frame.last = n
		}
	}
	return s.end(), true
}

// null ends a value that is null, if it is well-formed.
func (s *ReplyStream) null(ok bool) (done, more bool) {
	if !ok {
		return s.fault()
	}
	switch {
	case s.depth == 0:
		s.frame.null = true
	case s.depth == 1 && s.extras == 0 && s.frame.kind == '*':
		s.frame.nilElements++
	}
	return s.end(), true
}

// bulk reads the length of a bulk string or of a part of a streamed one.
func (s *ReplyStream) bulk(line []byte) (done, more bool) {
	if s.kind == '$' && len(line) == 1 && line[0] == '?' {
		s.parts, s.state = true, atPart
		return false, true
	}
	n, ok := parseInteger(line)
	switch {
	case !ok || n > maxBulk:
		return s.fault()
	case n < 0:
		return s.null(s.kind == '$' && n == -1)
	case n == 0 && s.kind == ';':
		return s.end(), true
	}
	s.left, s.state = int32(n)+sizeCRLF, atBulk
	return false, true
}

// readLine skips a line of any length, up to its "\r\n".
func (s *ReplyStream) readLine() (done, more bool) {
	b := s.in.rest()
	if len(b) == 0 {
		return false, false
	}
	if s.cr {
		s.in.pos++
		if b[0] != '\n' {
			return s.fault()
		}
		return s.end(), true
	}
	n := bytes.IndexByte(b, '\r')
	s.cr = n >= 0
	if !s.cr {
		n = len(b)
	}
	limit := maxSimple
	if s.kind == ',' || s.kind == '(' {
		limit = maxLine
	}
	if n > limit-int(s.length) {
		return s.fault()
	}
	s.keep(b[:n])
	s.length += int32(n)
	s.in.pos += n
	if s.cr {
		s.in.pos++
	}
	return false, true
}

// readBulk skips the content of a bulk string, and reads the "\r\n" after it.
func (s *ReplyStream) readBulk() (done, more bool) {
	b := s.in.rest()
	if content := int(s.left) - sizeCRLF; content > 0 {
		n := min(len(b), content)
		s.keep(b[:n])
		s.in.pos += n
		s.left -= int32(n)
		b = b[n:]
	}
	for len(b) > 0 && s.left > 0 {
		if b[0] != "\n\r"[s.left-1] {
			return s.fault()
		}
		s.in.pos++
		s.left--
		b = b[1:]
	}
	switch {
	case s.left > 0:
		return false, false
	case s.parts:
		s.state = atPart
		return false, true
	}
	return s.end(), true
}

// readPart reads the ';' that begins each part of a streamed string.
func (s *ReplyStream) readPart() bool {
	if s.in.empty() {
		return false
	}
	s.kind, s.state = ';', atHeader
	if s.in.chunk[s.in.pos] != ';' {
		s.state = atFault
	}
	s.in.pos++
	return true
}

// keep takes the next bytes of the value's content into the text, if they belong there.
func (s *ReplyStream) keep(b []byte) {
	if s.capture {
		s.textLen += uint8(copy(s.text[s.textLen:], b))
	}
}
