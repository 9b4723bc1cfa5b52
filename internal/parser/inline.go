package parser

// quoting is the state of the server's sdssplitargs, which splits an inline command, before its
// next byte.
type quoting uint8

const (
	between    quoting = iota // in blanks before an argument
	plain                     // in an argument, outside quotes
	double                    // in "..."
	escape                    // in "...", after a backslash
	hexFirst                  // in "...", after \x
	hexSecond                 // in "...", after \x and a digit
	single                    // in '...'
	singleBack                // in '...', after a backslash
	closed                    // after a closing quote: a blank should follow
	unbalanced                // behind a fault: the server reports it at the end of the line
	stalled                   // behind a NUL: the server does not find the end of the line any more
)

// readInline reads an inline command: everything up to '\n'. A '\r' before it needs no care: it is
// a blank like others, and within quotes the line is at fault anyway.
func (s *RequestStream) readInline() (done, more bool) {
	for !s.in.empty() {
		c := s.in.chunk[s.in.pos]
		s.in.pos++
		s.length++
		switch {
		case s.length > maxLine:
			s.state = atViolation
			return false, true
		case c == 0 || s.quoting == stalled:
			s.quoting = stalled
		case c == '\n':
			return s.endInline(), true
		default:
			s.quoting = s.split(c)
		}
	}
	return false, false
}

// endInline closes an inline command at its '\n'. It returns false if it is empty or at fault.
func (s *RequestStream) endInline() bool {
	switch s.quoting {
	case plain, closed:
		s.endArgument()
	case between:
	default:
		s.state = atViolation
		return false
	}
	if s.arg == 0 {
		s.state = atRequest
		return false
	}
	return true
}

// split takes one byte of an inline command.
func (s *RequestStream) split(c byte) quoting {
	switch s.quoting {
	case between:
		if isBlank(c) {
			return between
		}
		s.beginArgument()
		return s.splitPlain(c)
	case plain:
		return s.splitPlain(c)
	case double, escape, hexFirst, hexSecond:
		return s.splitDouble(c)
	case single, singleBack:
		return s.splitSingle(c)
	case closed:
		if isBlank(c) {
			s.endArgument()
			return between
		}
		// Valkey 9 goes on with the argument. All others answer with a protocol error.
		return s.splitPlain(c)
	}
	return unbalanced
}

func (s *RequestStream) splitPlain(c byte) quoting {
	switch c {
	case ' ', '\t', '\r': // fewer than isBlank: the server's own inconsistency
		s.endArgument()
		return between
	case '"':
		return double
	case '\'':
		return single
	}
	s.put(c)
	return plain
}

// splitDouble reads "...". The digits of an escape are held back until it is complete: if it is not
// one, they stand for themselves.
func (s *RequestStream) splitDouble(c byte) quoting {
	switch s.quoting {
	case escape:
		if c == 'x' {
			return hexFirst
		}
		s.put(unescape(c))
		return double
	case hexFirst:
		if _, ok := hexDigit(c); ok {
			s.held = c
			return hexSecond
		}
		s.put('x')
	case hexSecond:
		high, _ := hexDigit(s.held)
		if low, ok := hexDigit(c); ok {
			s.put(high<<4 | low)
			return double
		}
		s.put('x')
		s.put(s.held)
	}
	switch c {
	case '\\':
		return escape
	case '"':
		return closed
	}
	s.put(c)
	return double
}

// splitSingle reads '...', where a backslash escapes nothing but a quote.
func (s *RequestStream) splitSingle(c byte) quoting {
	if s.quoting == singleBack {
		if c == '\'' {
			s.put(c)
			return single
		}
		s.put('\\')
	}
	switch c {
	case '\\':
		return singleBack
	case '\'':
		return closed
	}
	s.put(c)
	return single
}

// put adds one byte to the current argument.
func (s *RequestStream) put(c byte) {
	one := [1]byte{c}
	s.absorb(one[:])
}

func isBlank(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r'
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
