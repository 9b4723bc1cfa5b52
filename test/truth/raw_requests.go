package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// pace lets the kernel send a piece before the next one is written.
const pace = 200 * time.Microsecond

// rawRequests sends requests in every form that servers read.
func rawRequests(_ context.Context, r *round) error {
	forms := []func(*wire) error{inline, empties, deceptive, thousands, binary, bigValues}
	if r.server.product != valkey || r.server.version >= 9 {
		forms = append(forms, spaces)
	}
	return each(r, forms, func(w *wire, f func(*wire) error) error { return f(w) })
}

// inline sends requests as a person types them, with quotes.
func inline(w *wire) error {
	if err := w.send("PING\r\nping\nSET a \"x y\\x20\\n\"\r\nGET a\r\nSET 'single' 'quo\\'ted'\r\n  GET   a  \r\nCONFIG GET save\r\nNOSUCH x\r\n$4\r\nGET\r\n"); err != nil {
		return err
	}
	_, err := w.read(10)
	return err
}

// empties sends what servers pass over without an answer.
func empties(w *wire) error {
	if err := w.send("*0\r\n*-1\r\n\r\n\r\n" + commands("PING") + "*0\r\n" + "\r\n" + commands("GET a")); err != nil {
		return err
	}
	_, err := w.read(2)
	return err
}

// spaces sends a line of them. Behind it Valkey 8 takes every line of the next request for a request of its own.
func spaces(w *wire) error {
	if err := w.send("   \r\n" + commands("PING", "GET a")); err != nil {
		return err
	}
	_, err := w.read(2)
	return err
}

// deceptive stores values that look like requests and replies.
func deceptive(w *wire) error {
	for _, value := range []string{"\r\n*1\r\n$4\r\nPING\r\n", "-ERR no\r\n", ">3\r\n+message\r\n", "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n", "+QUEUED\r\n"} {
		request := multibulk("SET", "deceptive", value) + multibulk("GET", "deceptive") + multibulk("LPUSH", "list:"+value, "message", "a", value) +
			multibulk("LRANGE", "list:"+value, "0", "-1")
		if err := w.send(request); err != nil {
			return err
		}
		if _, err := w.read(4); err != nil {
			return err
		}
	}
	return nil
}

// thousands sends thousands of requests in one write.
func thousands(w *wire) error {
	const n = 5000
	var failure error
	go func() { failure = w.send(strings.Repeat(commands("INCR n", "GET n", "LPUSH n x"), n)) }()
	_, err := w.read(3 * n)
	return errors.Join(err, failure)
}

// binary sends names in other cases, and arguments of any bytes.
func binary(w *wire) error {
	requests := []string{
		multibulk("gEt", "a"), multibulk("SET", "\x00\r\n", "\xff\x00"), multibulk("GE\x00T", "a"), multibulk("", "a"), multibulk("GET\r\n", "a"),
		multibulk("config", "get", "save"), multibulk("CONFIG", "gEt", "save"), multibulk(strings.Repeat("x", 300), "a"),
		multibulk("GET", ""), multibulk("MGET", strings.Repeat("k", 70000), "b"),
	}
	if err := w.send(strings.Join(requests, "")); err != nil {
		return err
	}
	_, err := w.read(len(requests))
	return err
}

// bigValues writes and reads values longer than what is copied of a call, alone in theirs.
func bigValues(w *wire) error {
	for _, size := range []int{60000, 70000, 300000, 4 << 20, 20 << 20} {
		value := strings.Repeat("v", size)
		for _, request := range []string{multibulk("SET", "big", value), commands("GET big"), commands("STRLEN big")} {
			if err := w.send(request); err != nil {
				return err
			}
			if _, err := w.read(1); err != nil {
				return err
			}
		}
	}
	return nil
}

// rawFraming splits requests at every byte, and every so many bytes.
func rawFraming(_ context.Context, r *round) error {
	stream := commands("SET a 1", "CONFIG GET save", "GET a", "MULTI", "INCR a", "EXEC") + "PING\r\n\r\nGET 'a'\r\n" + multibulk("SET", "a", "\r\n$3\r\n")
	const answers = 9
	return errors.Join(
		each(r, splits(len(stream)), func(w *wire, at int) error {
			if err := w.send(stream[:at]); err != nil {
				return err
			}
			time.Sleep(pace)
			if err := w.send(stream[at:]); err != nil {
				return err
			}
			_, err := w.read(answers)
			return err
		}),
		each(r, []int{1, 2, 3, 7}, func(w *wire, size int) error {
			for rest := stream; rest != ""; {
				n := min(size, len(rest))
				if err := w.send(rest[:n]); err != nil {
					return err
				}
				rest = rest[n:]
				time.Sleep(pace)
			}
			_, err := w.read(answers)
			return err
		}))
}

func splits(n int) (all []int) {
	for at := 1; at < n; at++ {
		all = append(all, at)
	}
	return all
}

// rawLimits sends what servers take for a breach of the protocol. What follows is not run. The errors are counted among the
// error replies, and belong to no command.
func rawLimits(_ context.Context, r *round) error {
	breaches := []string{
		"*x\r\n", "*1\r\n$x\r\n", "*1\r\nPING\r\n", "*1\r\n$-1\r\n", "*2147483648\r\n", "*1\r\n$999999999999\r\n",
		"*+1\r\n$4\r\nPING\r\n", "*1\r\n$04\r\nPING\r\n", "SET \"unbalanced\r\n",
		"*1" + strings.Repeat("1", 66000), strings.Repeat("x", 66000),
	}
	if r.server.product != valkey || r.server.version < 9 {
		breaches = append(breaches, "SET 'a'b\r\n")
	}
	alone := each(r, breaches, func(w *wire, breach string) error {
		return breachAndMore(w, breach)
	})
	r.allow(protocolError, other, exactly(len(breaches)), exactly(len(breaches)))
	after := each(r, breaches[:4], func(w *wire, breach string) error {
		if _, err := w.ask("SET a 1", "GET a", "LPUSH a x"); err != nil {
			return err
		}
		return breachAndMore(w, breach)
	})
	r.allow(protocolError, other, exactly(4), exactly(4))
	if r.server.doublesComplaints() {
		r.allow(protocolErrorTwice, other, exactly(len(breaches)+4), exactly(len(breaches)+4))
	}
	return errors.Join(alone, after)
}

// breachAndMore goes on after the breach. A line that is too long is one only while its end is not there.
func breachAndMore(w *wire, breach string) error {
	if err := w.send(breach); err != nil {
		return err
	}
	time.Sleep(aLittle)
	_ = w.send(commands("GET never", "SET never 1")) // the server may have closed
	return w.drain(300 * time.Millisecond)
}

// rawHTTP speaks to the server as a browser would, or one who has been made to.
func rawHTTP(_ context.Context, r *round) error {
	r.allow(httpWord, "post", span{0, 4}, span{0, 4})
	r.allow(httpUnanswered, "get", exactly(1), exactly(1))
	return each(r, []string{
		"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n",
		"GET / HTTP/1.1\r\nAccept: */*\r\nUser-Agent: x\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nSET a 1\r\n",
		commands("SET a 1", "POST x", "SET a 2"),
		commands("host: x"),
	}, func(w *wire, request string) error {
		if err := w.send(request); err != nil {
			return err
		}
		return w.drain(300 * time.Millisecond)
	})
}

// rawQuit leaves in every way; what follows QUIT is not run.
func rawQuit(_ context.Context, r *round) error {
	return each(r, []string{
		commands("SET a 1", "QUIT"), commands("SET a 1", "QUIT", "SET a 2", "GET a", "NOSUCH"), "PING\r\nQUIT\r\nPING\r\n",
		commands("MULTI", "SET a 1", "QUIT"), commands("SUBSCRIBE a", "QUIT"), commands("QUIT now"),
	}, func(w *wire, request string) error {
		if err := w.send(request); err != nil {
			return err
		}
		return w.drain(patience)
	})
}

// rawFull opens more connections than the server takes: it refuses the others before they ask.
func rawFull(_ context.Context, r *round) error {
	var open []*wire
	defer func() {
		for _, w := range open {
			_ = w.Close() // the server may have closed it
		}
	}()
	refused := 0
	for range 20 {
		w, err := r.dial()
		if err != nil {
			return err
		}
		open = append(open, w)
		time.Sleep(5 * time.Millisecond)
		sent := w.send(commands("SET a 1")) // a Unix socket that the server has closed takes nothing
		replies, err := w.read(1)
		if sent != nil || err != nil || replies[0].Failed() {
			refused++
			continue
		}
		if _, err := w.ask("GET a", "PING"); err != nil {
			return err
		}
	}
	if refused == 0 {
		return fmt.Errorf("no connection was refused")
	}
	r.allow(neverRead, "set", span{-refused, 0}, span{-refused, 0})
	return nil
}

// rawRenamed uses a command by the name that the configuration gives it. The server counts it under the old one.
func rawRenamed(_ context.Context, r *round) error {
	w, err := r.dial()
	if err != nil {
		return err
	}
	defer w.Close()
	_, err = w.ask("SET a 1", "XGET a", "xget a", "XGET", "MGET a b")
	return err
}
