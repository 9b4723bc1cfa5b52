package parser

import "bytes"

// Reply is one frame as a server sent it: a reply, or a push. The slices alias the chunk that was
// fed or the stream's own buffers: they are valid until the next call of a method of the stream.
type Reply struct {
	Type byte  // the type byte of RESP: + - : $ * _ # , ( ! = % ~ >  ('|' never: attributes are skipped, as are pushes within an aggregate)
	Null bool  // $-1, *-1 or _
	Len  int64 // elements of an aggregate (a map of n pairs has 2n; -1 if streamed), or the value of an integer
	// Text holds the first MaxText bytes of a simple string, an error (without its type byte; of
	// '!' its content) or a bulk string (of '=' with its three letters and colon). Of an aggregate:
	// the text of its first element, if that is a string.
	Text []byte
	// Last is the value of the last element of an aggregate, if that is an integer (the count of a
	// subscription's acknowledgement).
	Last int64
	// NilElements is how many elements of an array are null, not counting those within elements.
	NilElements uint32
	// NestedError: an element of an aggregate, at any depth, is an error.
	NestedError bool
}

// ReplyStream parses the server-to-client direction of a connection. The zero value is ready.
// Bare '\n' between two frames, a master's keep-alive before it answers PSYNC, are passed over.
// Content is not validated, framing is: every line and bulk string has to end in "\r\n".
type ReplyStream struct {
	in      input
	state   replyState
	kind    byte              // type byte of the value being read
	capture bool              // its text is the Text of the frame
	parts   bool              // it is a streamed string
	cr      bool              // its line lacks only the '\n'
	left    int32             // bytes to go of its bulk, CRLF included
	length  int32             // bytes of its line
	depth   int8              // levels that are open
	extras  uint16            // bit i: levels[i] is no element of the level around it
	levels  [maxLevels]uint64 // values to come in each; the first is that of the frame's elements, unless an attribute stands before it
	text    [MaxText]byte
	textLen uint8
	frame   frame
}

// frame is what is known of the frame being read.
type frame struct {
	kind        byte
	null        bool
	nestedError bool
	begun       bool // of an aggregate: its first element has been seen
	nilElements uint32
	len         int64
	last        int64
}

// Feed hands the stream the next bytes, after Next has returned ErrShort or after Reset.
// The stream aliases chunk until Next has returned ErrShort.
func (s *ReplyStream) Feed(chunk []byte) {
	s.in.feed(chunk)
}

// Next reads the next complete frame: nil, ErrShort (the whole chunk is consumed) or ErrMalformed.
// reply holds nothing useful after an error.
func (s *ReplyStream) Next(reply *Reply) error {
	return s.read(reply, false)
}

// Header is Next, except that of an array (type '*') it reads the header alone, Len elements: each
// of them is a frame of its own for the Next that follow. The reply of EXEC is read this way,
// because what stands in it is not one frame per element. A streamed array, whose elements nobody
// has counted, is read whole. After ErrShort, the call that meets the end of the header decides.
func (s *ReplyStream) Header(reply *Reply) error {
	return s.read(reply, true)
}

func (s *ReplyStream) read(reply *Reply, header bool) error {
	if s.state == atFrame {
		if s.in.empty() {
			s.in.drop()
			return ErrShort
		}
		if s.whole(reply) {
			return nil
		}
	}
	for {
		done, more := s.step(header)
		switch {
		case done:
			s.finish(reply)
			return nil
		case s.state == atFault:
			return ErrMalformed
		case !more:
			s.in.drop()
			return ErrShort
		}
	}
}

// whole reads a simple string, an error, an integer or a bulk string that lies entirely in the
// chunk, without copying. It returns false, having consumed nothing, for anything else: what is
// unusual or wrong is for step to find.
func (s *ReplyStream) whole(reply *Reply) bool {
	b := s.in.rest()
	if len(b) < len("+\r\n") {
		return false
	}
	r := Reply{Type: b[0]}
	var end int // of the content, where "\r\n" has to be
	switch b[0] {
	case '+', '-':
		end = bytes.IndexByte(b, '\r')
		if end < 0 {
			return false
		}
		r.Text = b[1:min(end, 1+MaxText)]
	case '$':
		if r.Null = string(b[1:3]) == "-1"; r.Null {
			end = len("$-1")
			break
		}
		start, next := wholeBulk(b, 0)
		if next > len(b) {
			return false
		}
		end = next - sizeCRLF
		r.Text = b[start:min(end, start+MaxText)]
	case ':':
		n, next := size(b, 1)
		if next > len(b) {
			return false
		}
		r.Len, end = int64(n), next-sizeCRLF
	default:
		return false
	}
	if end+1 >= len(b) || b[end] != '\r' || b[end+1] != '\n' {
		return false
	}
	*reply = r
	s.in.pos += end + sizeCRLF
	return true
}

// wholeBulk finds a bulk string that b[p:] begins with. It returns where its content begins and the
// position behind it, which is beyond b if the string is not complete in b or not well-formed.
func wholeBulk(b []byte, p int) (start, next int) {
	start, next = argument(b, p)
	if next <= len(b) && b[start-1] == '\n' && b[next-2] == '\r' && b[next-1] == '\n' {
		return start, next
	}
	return 0, len(b) + 1
}

// finish fills reply from what was kept of the frame's parts.
func (s *ReplyStream) finish(reply *Reply) {
	f := &s.frame
	*reply = Reply{Type: f.kind, Null: f.null, Len: f.len, Text: s.text[:s.textLen], Last: f.last, NilElements: f.nilElements, NestedError: f.nestedError}
}

// Peek returns the type byte of the next frame if the stream stands between two frames and has at
// least a byte of it. It is '|' if the frame has attributes, which Next skips.
func (s *ReplyStream) Peek() (byte, bool) {
	if s.state != atFrame {
		return 0, false
	}
	s.skipKeepAlives()
	if s.in.empty() {
		return 0, false
	}
	return s.in.chunk[s.in.pos], true
}

// Gap passes over n missing bytes. It returns true if all of them belong to a bulk string whose
// content does not matter; as they may have completed a frame, call Next. Otherwise the stream is
// as after Reset, and Gap returns false.
func (s *ReplyStream) Gap(n uint32) bool {
	if n == 0 {
		return true
	}
	// The content of a bulk string matters in an aggregate and in an error, not where it is the
	// whole reply.
	wanted := s.capture && (s.frame.kind != '$' || s.parts) && s.textLen < MaxText && s.left > sizeCRLF
	if s.state != atBulk || !s.in.empty() || int64(n) > int64(s.left) || wanted {
		s.Reset()
		return false
	}
	s.left -= int32(n)
	return true
}

// Boundary reports whether the stream stands between two frames, with no unconsumed bytes.
func (s *ReplyStream) Boundary() bool {
	return s.state == atFrame && s.in.empty()
}

// Rest returns the unconsumed bytes. It aliases the chunk.
func (s *ReplyStream) Rest() []byte {
	return s.in.rest()
}

// Remain returns how many bytes are unconsumed.
func (s *ReplyStream) Remain() int {
	return s.in.remain()
}

// Reset drops everything, unconsumed bytes included: the next byte fed begins a frame.
func (s *ReplyStream) Reset() {
	*s = ReplyStream{}
}
