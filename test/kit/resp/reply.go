package resp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Reply is one reply of RESP2 or RESP3.
type Reply struct {
	Kind     byte    // the first byte of its header, as '+'
	Text     string  // the rest of the line, or a bulk string's content; "nil" for a bulk string that is absent
	Null     bool    // $-1, *-1 or _
	Elements []Reply // of an aggregate; keys and values of a map alternate
}

// Failed reports whether the reply is an error.
func (r Reply) Failed() bool { return r.Kind == '-' || r.Kind == '!' }

// Read reads one reply. An attribute is dropped, and the reply behind it is returned.
func Read(r *bufio.Reader) (Reply, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return Reply{}, err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return Reply{}, errors.New("read reply: empty line")
	}
	reply := Reply{Kind: line[0], Text: line[1:]}
	bulk, elements, err := size(line[0], line[1:])
	switch {
	case err != nil:
		return reply, err
	case bulk >= 0:
		reply.Text, err = readBulk(r, bulk)
	case reply.Kind == '$' || reply.Kind == '=' || reply.Kind == '!':
		reply.Text, reply.Null = "nil", true
	case reply.Kind == '_' || reply.Kind == '*' && reply.Text == "-1":
		reply.Null = true
	case elements > 0:
		reply.Elements, err = readAll(r, elements)
	}
	if err == nil && reply.Kind == '|' {
		return Read(r)
	}
	return reply, err
}

func readBulk(r *bufio.Reader, n int) (string, error) {
	text := make([]byte, n+len("\r\n"))
	_, err := io.ReadFull(r, text)
	return string(text[:n]), err
}

func readAll(r *bufio.Reader, n int) ([]Reply, error) {
	var all []Reply
	for range n {
		one, err := Read(r)
		if err != nil {
			return all, err
		}
		all = append(all, one)
	}
	return all, nil
}

// Skip reads one reply without keeping it and returns the first byte of its header. It allocates nothing.
func Skip(r *bufio.Reader) (first byte, err error) {
	for left := 1; left > 0; left-- {
		kind, bulk, elements, err := skipLine(r)
		if err != nil {
			return 0, err
		}
		if first == 0 {
			first = kind
		}
		if bulk >= 0 {
			if _, err := r.Discard(bulk + len("\r\n")); err != nil {
				return 0, err
			}
		}
		left += elements
		if kind == '|' {
			first = 0
			left++ // the reply that the attribute describes
		}
	}
	return first, nil
}

// skipLine reads a line, of which only the beginning is looked at.
func skipLine(r *bufio.Reader) (kind byte, bulk, elements int, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return 0, -1, 0, err
	}
	kind = line[0]
	if err == nil && len(line) > len("\r\n") {
		bulk, elements, err = size(kind, string(line[1:len(line)-len("\r\n")]))
		return kind, bulk, elements, err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice('\n')
	}
	return kind, -1, 0, err
}

// size returns the bytes of a bulk string, -1 for none, and the elements of an aggregate, 0 for none.
func size(kind byte, text string) (bulk, elements int, err error) {
	factor := 1
	switch kind {
	case '$', '=', '!', '*', '~', '>':
	case '%', '|':
		factor = 2
	default:
		return -1, 0, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return -1, 0, fmt.Errorf("read reply: header %c%s", kind, text)
	case kind == '$' || kind == '=' || kind == '!':
		return n, 0, nil
	}
	return -1, max(n, 0) * factor, nil
}
