package parser

// Reply is one frame as a server sent it: a reply, or a push.
// The slices alias the chunk that was fed or the stream's own buffers: they are valid until the next call of a method of the stream.
type Reply struct {
	Type byte  // the type byte of RESP: + - : $ * _ # , ( ! = % ~ >  ('|' never: attributes are skipped)
	Null bool  // $-1, *-1 or _
	Len  int64 // elements of an aggregate (a map of n pairs has 2n; -1 if streamed), or the value of an integer
	// Text holds the first MaxText bytes of a simple string, an error (without its type byte; of '!' its content) or a bulk string.
	// Of an aggregate: the text of its first element, if that is a string.
	Text []byte
	// Last is the value of the last element of an aggregate, if that is an integer (the count of a subscription's acknowledgement).
	Last int64
	// NestedError: an element of an aggregate, at any depth, is an error.
	NestedError bool
}

// ReplyStream parses the server-to-client direction of a connection. The zero value is ready.
type ReplyStream struct{}

// Feed hands the stream the next bytes. The stream aliases chunk until Next has returned ErrShort.
func (s *ReplyStream) Feed(chunk []byte) { panic("todo") }

// Next reads the next complete frame: nil, ErrShort (all that was fed is consumed) or ErrMalformed.
func (s *ReplyStream) Next(reply *Reply) error { panic("todo") }

// Header is Next, except that of an array (type '*') it reads the header alone, Len elements: each of them is a frame of its own for the Next that follow.
// The reply of EXEC is read this way, because what stands in it is not one frame per element.
func (s *ReplyStream) Header(reply *Reply) error { panic("todo") }

// Peek returns the type byte of the next frame if the stream stands between two frames and has at least a byte of it.
func (s *ReplyStream) Peek() (byte, bool) { panic("todo") }

// Gap, Boundary, Rest and Reset are as for RequestStream.
func (s *ReplyStream) Gap(n uint32) bool { panic("todo") }

// Boundary reports whether the stream stands between two frames, with nothing left of what was fed.
func (s *ReplyStream) Boundary() bool { panic("todo") }

// Rest returns what was fed and not consumed. It aliases the chunk.
func (s *ReplyStream) Rest() []byte { panic("todo") }

// Reset forgets everything: the next byte fed begins a frame.
func (s *ReplyStream) Reset() { panic("todo") }
