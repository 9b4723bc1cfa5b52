// Package parser turns the bytes of a Redis connection into requests and replies.
//
// It is the third stage of kernel → event.Source → parser.Stream → correlate.Tracker →
// metrics.Recorder → /metrics. A RequestStream reads what the client sends by the rules of the
// server's own parser (multibulk and inline commands), a ReplyStream the other direction (RESP2,
// RESP3, streamed forms). Both are incremental: a message may be split over chunks at any byte, and
// is resumed where it was cut. Bulk bodies are skipped by their length, never searched.
//
// Use: Feed a chunk, call Next until ErrShort, Feed the following one. Where bytes are missing,
// call Gap instead of Feed. Next has three outcomes: nil (a complete message), ErrShort (valid so
// far, all consumed), ErrMalformed (sticky until Reset).
//
// Ownership: a stream aliases the chunk until ErrShort; the slices of a message alias the chunk or
// the stream's own buffers and die at the next call of any method of the stream. Nothing of a
// message is kept longer, and nothing is allocated per message. A message that lies whole in its
// chunk is not copied; of a split one only the few kept bytes are.
//
// Bounds: a stream is one fixed struct of less than 400 bytes, whatever is on the wire; the limits
// are the constants of parser.go.
//
// Goroutines: a stream belongs to one goroutine at a time; different streams are independent.
package parser
