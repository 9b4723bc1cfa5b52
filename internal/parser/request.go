package parser

// Request is one command as a client sent it. The slices alias the chunk that was fed or the
// stream's own buffers: they are valid until the next call of a method of the stream.
type Request struct {
	Args   int       // number of arguments, the command's name included
	Argv   [3][]byte // the first arguments, each cut to its first MaxArg bytes; nil beyond Args
	Inline bool      // sent as an inline command
	Block  bool      // one of the first eight arguments is the word BLOCK in any case (XREAD, XREADGROUP)
}

const (
	keptArgs  = len(Request{}.Argv)
	blockArgs = 8       // how many arguments are compared with blockWord
	blockWord = "block" // in lower case
)

// requestState says what the next byte of a RequestStream is.
type requestState uint8

const (
	atRequest   requestState = iota // the first byte of a request
	atCount                         // in the line "*<arguments>"
	atLength                        // in the line "$<bytes>" of an argument
	atArgument                      // in an argument or the two bytes after it
	atInline                        // in an inline command
	atViolation                     // behind a protocol error
)

// RequestStream parses the client-to-server direction of a connection by the rules of the server's
// own parser. It checks no more than the server does: not the byte after a header's '\r', and not
// the two bytes after an argument. A NUL within a header is malformed, although a server that finds
// the line's end with strchr waits for ever: neither reads on. The zero value is ready.
type RequestStream struct {
	in      input
	prefix  requestPrefix // of the last request
	state   requestState
	quoting quoting // of an inline command
	held    byte    // the first digit of its unfinished \x escape
	block   bool    // Request.Block so far
	matched uint8   // bytes of the current argument that agree with blockWord
	keptLen [keptArgs]uint8
	args    int32 // arguments announced
	arg     int32 // index of the current argument
	argLen  int32 // bytes read of its content
	size    int32 // bytes announced for it
	left    int32 // bytes to go of it, the two after it included
	length  int32 // bytes of an inline command
	kept    [keptArgs][MaxArg]byte
}

// Feed hands the stream the next bytes, after Next has returned ErrShort or after Reset.
// The stream aliases chunk until Next has returned ErrShort.
func (s *RequestStream) Feed(chunk []byte) {
	s.in.feed(chunk)
}

// Next reads the next request: nil, ErrShort (the whole chunk is consumed) or ErrMalformed (the
// server answers with a protocol error). Empty requests are passed over, as the server does.
// request holds nothing useful after an error.
func (s *RequestStream) Next(request *Request) error {
	if s.state == atRequest {
		if s.in.empty() {
			s.in.drop()
			return ErrShort
		}
		if s.whole(request) {
			return nil
		}
	}
	for {
		done, more := s.step()
		switch {
		case done:
			s.finish(request)
			return nil
		case s.state == atViolation:
			return ErrMalformed
		case !more:
			s.in.drop()
			return ErrShort
		}
	}
}

// step reads one part of a request. It reports whether the request is complete, and whether there
// may be more to read in the chunk.
func (s *RequestStream) step() (done, more bool) {
	switch s.state {
	case atRequest:
		return false, s.begin()
	case atCount:
		return false, s.readCount()
	case atLength:
		return false, s.readLength()
	case atArgument:
		return s.readArgument()
	case atInline:
		return s.readInline()
	default:
		return false, false
	}
}

// begin decides the form of a request by its first byte.
func (s *RequestStream) begin() bool {
	if s.in.empty() {
		return false
	}
	s.block, s.arg = false, 0
	s.beginArgument()
	s.state, s.quoting, s.length = atInline, between, 0
	if s.in.chunk[s.in.pos] == '*' {
		s.state = atCount
	}
	return true
}

// finish fills request from what was kept of its parts.
func (s *RequestStream) finish(request *Request) {
	s.prefix = requestPrefix{}
	*request = Request{Args: int(s.arg), Inline: s.state == atInline, Block: s.block}
	for i := range min(s.arg, int32(keptArgs)) {
		request.Argv[i] = s.kept[i][:s.keptLen[i]]
	}
	s.state = atRequest
}

// beginArgument readies the stream for the argument with index s.arg.
func (s *RequestStream) beginArgument() {
	s.argLen, s.matched = 0, 0
	if int(s.arg) < keptArgs {
		s.keptLen[s.arg] = 0
	}
}

// absorb takes the next bytes of the current argument's content.
func (s *RequestStream) absorb(b []byte) {
	if i := int(s.arg); i < keptArgs {
		s.keptLen[i] += uint8(copy(s.kept[i][s.keptLen[i]:], b))
	}
	for i, at := 0, int(s.argLen); i < len(b) && at+i < len(blockWord); i++ {
		if b[i]|0x20 == blockWord[at+i] {
			s.matched++
		}
	}
	s.argLen += int32(len(b))
}

// endArgument closes the current argument.
func (s *RequestStream) endArgument() {
	if s.arg < blockArgs && int(s.argLen) == len(blockWord) && int(s.matched) == len(blockWord) {
		s.block = true
	}
	s.arg++
}

// Gap passes over n missing bytes. It returns true if all of them belong to a bulk string whose
// content does not matter; as they may have completed a request, call Next. Otherwise the stream is
// as after Reset, and Gap returns false.
func (s *RequestStream) Gap(n uint32) bool {
	if n == 0 {
		return true
	}
	if s.state != atArgument || !s.in.empty() || int64(n) > int64(s.left) || s.wanted() {
		s.Reset()
		return false
	}
	s.argLen += min(int32(n), max(0, s.left-sizeCRLF))
	s.left -= int32(n)
	return true
}

// wanted reports whether the rest of the current argument is part of the Request.
func (s *RequestStream) wanted() bool {
	if s.left <= sizeCRLF {
		return false
	}
	return int(s.arg) < keptArgs && s.argLen < MaxArg ||
		s.arg < blockArgs && int(s.size) == len(blockWord)
}

// Boundary reports whether the stream stands between two requests, with no unconsumed bytes.
func (s *RequestStream) Boundary() bool {
	return s.state == atRequest && s.in.empty()
}

// Rest returns the unconsumed bytes. It aliases the chunk.
func (s *RequestStream) Rest() []byte {
	return s.in.rest()
}

// Remain returns how many bytes are unconsumed.
func (s *RequestStream) Remain() int {
	return s.in.remain()
}

// Reset drops everything, unconsumed bytes included: the next byte fed begins a request.
func (s *RequestStream) Reset() {
	*s = RequestStream{}
}
