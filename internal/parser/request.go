package parser

// Request is one command as a client sent it.
// The slices alias the chunk that was fed or the stream's own buffers: they are valid until the next call of a method of the stream.
type Request struct {
	Args   int       // number of arguments, the command's name included
	Argv   [3][]byte // the first arguments, each cut to its first MaxArg bytes; nil beyond Args
	Inline bool      // sent as an inline command
	Block  bool      // one of the first eight arguments is the word BLOCK in any case (XREAD, XREADGROUP)
}

// RequestStream parses the client-to-server direction of a connection by the rules of the server's own parser.
// The zero value is ready.
type RequestStream struct{}

// Feed hands the stream the next bytes. The stream aliases chunk until Next has returned ErrShort.
func (s *RequestStream) Feed(chunk []byte) { panic("todo") }

// Next reads the next request: nil, ErrShort (all that was fed is consumed) or ErrMalformed (what the server answers with a protocol error).
func (s *RequestStream) Next(request *Request) error { panic("todo") }

// Gap tells the stream that n bytes are missing here. It returns true if all of them belong to a bulk string whose content does not matter,
// so that the stream is still in step. Otherwise the stream is as after Reset, and false is returned.
func (s *RequestStream) Gap(n uint32) bool { panic("todo") }

// Boundary reports whether the stream stands between two requests, with nothing left of what was fed.
func (s *RequestStream) Boundary() bool { panic("todo") }

// Rest returns what was fed and not consumed. It aliases the chunk.
func (s *RequestStream) Rest() []byte { panic("todo") }

// Reset forgets everything, also what was fed and not consumed: the next byte fed begins a request.
func (s *RequestStream) Reset() { panic("todo") }
