package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// rawShapes has the server answer in shapes that are rare: nested as deep as a script can, and with pushes amid arrays.
func rawShapes(_ context.Context, r *round) error {
	return errors.Join(r.deepReplies(), r.pushesWithin(), r.prefaces())
}

// prefaces begin connections as a proxy does. To these servers the line is a command that they do not know.
func (r *round) prefaces() error {
	const line = "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
	return each(r, []string{line, line + commands("SET p 1", "LPUSH p x", "GET p"), line + "PING\r\n", "PROXY UNKNOWN\r\n" + commands("MULTI", "LPUSH p x", "EXEC"), "PROXX\r\nPROXY\r\n"},
		func(w *wire, request string) error {
			if err := w.send(request); err != nil {
				return err
			}
			return w.drain(aLittle)
		})
}

// deepReplies has scripts return tables within tables. From some depth on the server answers by an error, which depth is its own affair.
func (r *round) deepReplies() error {
	return r.onNew(func(w *wire) error {
		for _, hello := range []string{"PING", "HELLO 3"} {
			if _, err := w.ask(hello, "SET a 1"); err != nil {
				return err
			}
			for _, depth := range []int{1, 31, 32, 33, 100, 1000, 5000, 7000} {
				script := fmt.Sprintf("local t='x'; for i=1,%d do t={t} end; return t", depth)
				if err := w.send(multibulk("EVAL", script, "0") + commands("LPUSH a x", "GET a", "LPUSH a x")); err != nil {
					return err
				}
				if _, err := w.read(4); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// pushesWithin lets tracked keys expire, which the server notices while it writes an array of them. Redis 6.0 puts the push right there.
func (r *round) pushesWithin() error {
	if _, err := r.admin.do("DEBUG SET-ACTIVE-EXPIRE 0"); err != nil {
		return err
	}
	return r.onNew(func(w *wire) error {
		if _, err := w.ask("HELLO 3", "CLIENT TRACKING on", "SET a A"); err != nil {
			return err
		}
		for range 20 {
			if err := w.send(commands("SET b B PX 1", "SET c C PX 1", "MGET a b c")); err != nil {
				return err
			}
			if err := w.drain(5 * time.Millisecond); err != nil {
				return err
			}
			if err := w.send(commands("MGET a b c", "LPUSH a x", "GET a", "MULTI", "MGET b a c", "LPUSH a x", "EXEC", "LPUSH a x")); err != nil {
				return err
			}
			if err := w.drain(5 * time.Millisecond); err != nil {
				return err
			}
		}
		return r.exhaust(w)
	})
}
