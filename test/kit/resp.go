package kit

import (
	"bytes"
	"fmt"
)

// Request encodes a command as an array of bulk strings.
func Request(arguments ...string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(arguments))
	for _, a := range arguments {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b
}

// Repeat encodes the same command n times.
func Repeat(n int, arguments ...string) []byte {
	return bytes.Repeat(Request(arguments...), n)
}
