package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// rawCrowd opens thousands of connections that live for one command or for none, and end in every way.
func rawCrowd(_ context.Context, r *round) error {
	const workers, each = 8, 400
	lives := []func(*wire) error{
		asks("SET a 1"), asks("LPUSH a x"), asks("GET a", "NOSUCH", "INCR n"),
		func(*wire) error { return nil },
		func(w *wire) error { return errors.Join(w.send("PING\r\n"), readAll(w, 1), w.reset()) },
		func(w *wire) error { return errors.Join(w.send(commands("GET a", "QUIT")), w.drain(patience)) },
		halfClosed("GET a", "LPUSH a x", "INCR n"),
	}
	return parallel(workers, func(n int) error {
		for i := range each {
			if err := r.onNew(lives[(i+n)%len(lives)]); err != nil {
				return err
			}
		}
		return nil
	})
}

func asks(requests ...string) func(*wire) error {
	return func(w *wire) error {
		_, err := w.ask(requests...)
		return err
	}
}

func readAll(w *wire, n int) error {
	_, err := w.read(n)
	return err
}

// halfClosed says that it will ask no more before it reads the answers.
func halfClosed(requests ...string) func(*wire) error {
	return func(w *wire) error {
		if err := w.send(commands(requests...)); err != nil {
			return err
		}
		if err := w.shut(); err != nil {
			return err
		}
		return readAll(w, len(requests))
	}
}

// rawPipelines writes long pipelines from one thread and reads in another, with errors, long values and requests of every form in
// between, in pieces of any size.
func rawPipelines(_ context.Context, r *round) error {
	var long strings.Builder
	frames := 0
	for i := range 10000 {
		switch {
		case i%101 == 0:
			long.WriteString("PING\r\n")
		case i%103 == 0:
			long.WriteString("SET 'quoted key' \"\\x00\\r\\n\"\r\n\r\n*0\r\n")
		case i%7 == 0:
			long.WriteString(commands("LPUSH a x"))
		case i%11 == 0:
			long.WriteString(commands("NOSUCH command"))
		case i%13 == 0:
			long.WriteString(commands("MULTI", "GET a", "LPUSH a x", "EXEC"))
			frames += 3
		default:
			long.WriteString(commands("SET a 1", "GET a"))
			frames++
		}
		frames++
	}
	all := []error{r.streamed(long.String(), frames, pieces{900000, 1000000}, 1<<16)}
	short := strings.Repeat(commands("SET a 1", "LPUSH a x", "GET a")+"PING\r\n", 100)
	all = append(all, r.streamed(short, 400, pieces{1, 3}, 1), r.streamed(short, 400, pieces{1, 5000}, 7))
	return errors.Join(append(all, r.longNeighbours())...)
}

// longNeighbours stores and fetches long values in pipelines, with short requests before and behind them. Of what the observers do
// not copy whole there is one in a pipeline: the middle of a write, which they leave out, is a part of it then.
func (r *round) longNeighbours() error {
	var all []error
	for _, size := range []int{4095, 4096, 16384, 100000, 400000, 1 << 20, 5 << 20, 20 << 20} {
		value := strings.Repeat("*1\r\n$4\r\nPING\r\n", size/14+1)[:size]
		stream := commands("GET none", "LPUSH list x") + multibulk("SET", "long", value) + commands("LPUSH long x", "GET long", "GET none")
		frames := 10
		if size < 1<<19 {
			stream += multibulk("MSET", "long", value, "second", value) + commands("MGET long second none", "GET long")
			frames += 3
		}
		stream += commands("INCR n", "LRANGE none 0 -1", "GETRANGE long 1 4000", "PING")
		for _, p := range []pieces{{size, size + 200}, {60000, 70000}} {
			all = append(all, r.streamed(stream, frames, p, 1<<16))
		}
	}
	return errors.Join(all...)
}

// pieces says how long the writes are of which a stream is made.
type pieces struct{ least, most int }

// streamed writes a stream in one thread and reads the frames that answer it in another, so many bytes at a time.
func (r *round) streamed(stream string, frames int, p pieces, reads int) error {
	return r.onNew(func(w *wire) error {
		w.replies = newReader(w.Conn, reads)
		failure := make(chan error, 1)
		go func() {
			random := rand.New(rand.NewPCG(1, uint64(len(stream))))
			for rest := stream; rest != ""; {
				n := min(len(rest), p.least+random.IntN(p.most-p.least+1))
				if err := w.send(rest[:n]); err != nil {
					failure <- err
					return
				}
				rest = rest[n:]
			}
			failure <- nil
		}()
		return errors.Join(readAll(w, frames), <-failure)
	})
}

// rawResets ends connections with long pipelines outstanding. What the server had not read by then it never runs.
func rawResets(_ context.Context, r *round) error {
	ends := []func(*wire) error{
		(*wire).reset, func(w *wire) error { return w.Close() },
		func(w *wire) error { return errors.Join(w.shut(), w.drain(patience)) },
	}
	requests := commands("INCR n", "GET n", "LPUSH n x", "GET n")
	var all []error
	for _, end := range ends {
		for range 20 {
			all = append(all, r.onNew(func(w *wire) error {
				if err := w.send(strings.Repeat(requests, 100)); err != nil {
					return err
				}
				if err := r.awaitRead(w); err != nil {
					return err
				}
				return end(w)
			}))
		}
	}
	return errors.Join(all...)
}

// rawThreads shares a connection between many writers, as clients do that multiplex.
func rawThreads(_ context.Context, r *round) error {
	const writers, requests = 6, 300
	return r.onNew(func(w *wire) error {
		var written atomic.Int64
		failures := make(chan error, 1)
		go func() {
			failures <- parallel(writers, func(n int) error {
				for i := range requests {
					if err := w.send(commands(fmt.Sprintf("INCR n%d", n), "LPUSH n0 x", "GET none")); err != nil {
						return err
					}
					written.Add(3)
					if i%50 == 0 {
						time.Sleep(time.Millisecond)
					}
				}
				return nil
			})
		}()
		return errors.Join(readAll(w, 3*writers*requests), <-failures)
	})
}

// newReader reads at most so many bytes at a time.
func newReader(from io.Reader, most int) *bufio.Reader {
	return bufio.NewReader(sipper{from, most})
}

type sipper struct {
	from io.Reader
	most int
}

func (s sipper) Read(into []byte) (int, error) { return s.from.Read(into[:min(len(into), s.most)]) }
