package main

import (
	"context"
	"errors"
	"time"
)

// rawLeft leaves connections without waiting for what was asked, as programs do that do not care or are stopped: nobody is told of an
// error, and there is none.
func rawLeft(_ context.Context, r *round) error {
	helper, err := r.dial()
	if err != nil {
		return err
	}
	defer helper.Close()
	all := []error{
		r.times(100, func(w *wire) error { return w.send(commands("QUIT")) }),
		r.times(20, func(w *wire) error { return errors.Join(w.send(commands("GET none", "QUIT")), r.awaitRead(w)) }),
		r.times(20, func(w *wire) error {
			if err := w.send(commands("SUBSCRIBE a")); err != nil {
				return err
			}
			return errors.Join(readAll(w, 1), w.send(commands("UNSUBSCRIBE")), r.awaitRead(w))
		}),
		r.times(4, func(w *wire) error {
			for range 100 {
				if err := w.send(commands("SET a 1")); err != nil {
					return err
				}
			}
			return r.awaitRead(w)
		}),
		r.times(1, func(w *wire) error {
			return errors.Join(w.send(commands("RPUSH l x", "BLPOP l 0", "GET a")), readAll(w, 3))
		}),
	}
	if r.transport.name != "tls" { // ciphertext that is left unread does not say whether it has replies, so there it is a loss
		all = append(all, r.served(helper, "BLPOP served 0", "BLPOP served 0"),
			r.served(helper, "BLPOP served 0", "GET a", "INCR n", "BLPOP served 0"))
	}
	const workers = 25
	for _, end := range []func(*wire) error{func(w *wire) error { return w.Close() }, (*wire).reset, halfClosedForGood} {
		all = append(all, r.times(workers/3, func(w *wire) error {
			if err := errors.Join(w.send(commands("BRPOP forever 0")), r.awaitRead(w)); err != nil {
				return err
			}
			time.Sleep(aLittle)
			return end(w)
		}))
	}
	if r.server.version >= 7.2 {
		r.allow(blockedGone, "brpop", exactly(-workers/3*3), exactly(0))
	}
	return errors.Join(all...)
}

// times has so many connections do the same and be closed, one after the other.
func (r *round) times(n int, use func(*wire) error) error {
	for range n {
		if err := r.onNew(use); err != nil {
			return err
		}
	}
	return nil
}

// served has a helper free every command that blocks in a pipeline, and leaves the replies unread.
func (r *round) served(helper *wire, requests ...string) error {
	return r.onNew(func(w *wire) error {
		if err := w.send(commands(requests...)); err != nil {
			return err
		}
		time.Sleep(aLittle)
		_, err := helper.ask("RPUSH served x", "RPUSH served y")
		time.Sleep(aLittle)
		return err
	})
}

// halfClosedForGood shuts down sending and waits, so it sees the server's close.
func halfClosedForGood(w *wire) error {
	return errors.Join(w.shut(), w.drain(patience), w.Close())
}
