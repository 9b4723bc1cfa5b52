package parser

import "errors"

// The outcomes of Next besides nil.
var (
	// ErrShort: the bytes so far are valid and end inside a message; Feed more.
	ErrShort = errors.New("parser: short")
	// ErrMalformed: the bytes are not RESP. It is sticky until Reset.
	ErrMalformed = errors.New("parser: malformed")
)
