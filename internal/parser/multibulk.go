package parser

// whole reads a multibulk request that lies entirely in the chunk, without copying. It is the path
// that nearly every request takes. It returns false, having consumed nothing, for anything else:
// the parts below read unusual and malformed requests.
func (s *RequestStream) whole(request *Request) bool {
	b := s.in.chunk[s.in.pos:]
	if len(b) == 0 || b[0] != '*' {
		return false
	}
	args, p := size(b, 1)
	if args == 0 || args > maxElements {
		return false
	}
	block, named := false, 0
	for i := range args {
		start, next := argument(b, p)
		if next > len(b) {
			return false
		}
		end := next - sizeCRLF
		if i < keptArgs {
			request.Argv[i] = b[start:min(end, start+MaxArg)]
		}
		if end-start == len(blockWord) && i < blockArgs && isBlockWord(b[start:end]) {
			block = true
		}
		if i == 0 {
			named = next
		}
		p = next
	}
	for i := args; i < keptArgs; i++ {
		request.Argv[i] = nil
	}
	request.Args, request.Inline, request.Block = args, false, block
	s.prefix.set(b[:named], args)
	s.in.pos += p
	return true
}

// argument finds a bulk string that b[p:] begins with, as a server reads an argument. It returns
// where its content begins and the position behind it, which is beyond b if the string is malformed
// or not complete in b.
func argument(b []byte, p int) (start, next int) {
	if p >= len(b) || b[p] != '$' {
		return 0, len(b) + 1
	}
	n, start := size(b, p+1)
	// Two comparisons, so that no sum can overflow; a failed size is behind the end.
	if start > len(b)-sizeCRLF || n > len(b)-sizeCRLF-start {
		return 0, len(b) + 1
	}
	return start, start + n + sizeCRLF
}

// size reads an unsigned integer and the two bytes after it at b[p:]. It returns the value and the
// position behind, which is beyond b if the integer is malformed, too large to be a size, or not
// complete in b; the value is 0 then.
func size(b []byte, p int) (n, next int) {
	if p+2 < len(b) { // nearly all have one digit or two
		first, second := b[p]-'0', b[p+1]-'0'
		switch {
		case b[p+1] == '\r' && first <= 9:
			return int(first), p + 3
		case b[p+2] == '\r' && p+3 < len(b) && first-1 <= 8 && second <= 9:
			return int(first)*10 + int(second), p + 4
		}
	}
	for i := p; i+1 < len(b); i++ {
		if b[i] == '\r' && i > p {
			return n, i + 2
		}
		digit := b[i] - '0'
		if digit > 9 || i == p && digit == 0 || n > maxElements {
			break
		}
		n = n*10 + int(digit)
	}
	return 0, len(b) + 1
}

func isBlockWord(b []byte) bool {
	for i := range len(blockWord) {
		if b[i]|0x20 != blockWord[i] {
			return false
		}
	}
	return true
}

// readCount reads the line "*<arguments>". It returns false if the chunk ends in it.
func (s *RequestStream) readCount() bool {
	line, _, ok := s.in.header()
	if !ok {
		return false
	}
	args, ok := lengthAfter('*', line)
	switch {
	case !ok || args > maxElements:
		s.state = atViolation
	case args <= 0:
		s.state = atRequest
	default:
		s.args, s.state = int32(args), atLength
	}
	return true
}

// readLength reads the line "$<bytes>". It returns false if the chunk ends in it.
func (s *RequestStream) readLength() bool {
	line, _, ok := s.in.header()
	if !ok {
		return false
	}
	size, ok := lengthAfter('$', line)
	if !ok || size < 0 || size > maxBulk {
		s.state = atViolation
		return true
	}
	s.beginArgument()
	s.size, s.left, s.state = int32(size), int32(size)+sizeCRLF, atArgument
	return true
}

// lengthAfter reads the integer of a header line that has to begin with a type byte.
func lengthAfter(kind byte, line []byte) (int64, bool) {
	if len(line) == 0 || line[0] != kind {
		return 0, false
	}
	return parseInteger(line[1:])
}

// readArgument reads the content of an argument and the two bytes after it.
func (s *RequestStream) readArgument() (done, more bool) {
	b := s.in.rest()
	b = b[:min(len(b), int(s.left))]
	if content := int(s.left) - sizeCRLF; content > 0 {
		s.absorb(b[:min(len(b), content)])
	}
	s.in.pos += len(b)
	s.left -= int32(len(b))
	if s.left > 0 {
		return false, false
	}
	s.endArgument()
	s.state = atLength
	return s.arg == s.args, true
}
