package resp

import (
	"bytes"
	"strconv"
)

// Request encodes a command as an array of bulk strings.
func Request(arguments ...string) []byte {
	b := header(nil, '*', len(arguments))
	for _, a := range arguments {
		b = append(append(header(b, '$', len(a)), a...), "\r\n"...)
	}
	return b
}

// Repeat encodes the same command n times.
func Repeat(n int, arguments ...string) []byte {
	return bytes.Repeat(Request(arguments...), n)
}

// Bulk encodes a bulk string.
func Bulk(text string) string { return string(header(nil, '$', len(text))) + text + "\r\n" }

func header(b []byte, kind byte, n int) []byte {
	return append(strconv.AppendInt(append(b, kind), int64(n), 10), "\r\n"...)
}
