package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// worker is a connection that is in use, of a kind of its own, when an observer starts.
type worker struct {
	kind  string
	wire  *wire
	work  func(*wire) error // some requests, of which none is left without an answer
	small bool              // no call carries more than an observer sees that copies little
}

const (
	settled      = 250 * time.Millisecond // longer than the silence that syncs a connection
	allCopied    = "1MiB"
	littleCopied = "1KiB" // less than the writes of most workers
)

// rawMidstream starts observers beside clients that are busy: one that copies all, and one that has gaps in most of what it sees.
// What they count may never be more than the server has counted since. After a pause it is the same.
func rawMidstream(ctx context.Context, r *round) error {
	workers, err := r.workers()
	if err != nil {
		return err
	}
	defer func() {
		for _, w := range workers {
			_ = w.wire.Close() // nothing is outstanding
		}
	}()
	late, err := r.lateObservers(workers)
	for _, l := range late {
		defer l.stop()
	}
	if err != nil {
		return err
	}
	return errors.Join(r.judgeLate(late, workers, false), r.judgeLate(late, smallOnes(workers), true))
}

// lateObserver is an observer that was started in the midst of the work.
type lateObserver struct {
	*observer
	limit string // how much it copies of a call
	seen  sighting
}

// lateObservers starts them, and judges what they have counted by the first pause.
func (r *round) lateObservers(workers []worker) ([]*lateObserver, error) {
	var late []*lateObserver
	var atStart ledger
	err := during(workers, func() (err error) {
		time.Sleep(aLittle)
		if atStart, err = r.admin.read(); err != nil {
			return err
		}
		for _, role := range []string{"client", "server"} {
			for _, limit := range []string{allCopied, littleCopied} {
				o, err := startObserver(r.binary, role, limit, r.labels, r.Port+100+len(late))
				if err != nil {
					return err
				}
				late = append(late, &lateObserver{observer: o, limit: limit})
			}
		}
		time.Sleep(settled)
		return nil
	})
	if err != nil {
		return late, err
	}
	server, err := r.settled(late)
	if err != nil {
		return late, err
	}
	var all []error
	for _, l := range late {
		all = append(all, l.wrap(notMore(l.seen.commands, server.less(atStart))))
	}
	return late, errors.Join(all...)
}

// judgeLate has workers work once more. Observers without gaps count the same as the server, those with gaps not more.
func (r *round) judgeLate(late []*lateObserver, workers []worker, small bool) error {
	server, err := r.settled(late)
	if err != nil {
		return err
	}
	before := make([]sighting, len(late))
	for i, l := range late {
		before[i] = l.seen
	}
	if err := during(workers, func() error { time.Sleep(settled); return nil }); err != nil {
		return err
	}
	after, err := r.settled(late)
	if err != nil {
		return err
	}
	counted := after.less(server)
	var all []error
	for i, l := range late {
		seen := l.seen.less(before[i])
		if l.limit == littleCopied && !small {
			all = append(all, l.wrap(notMore(seen.commands, counted)))
			continue
		}
		for _, d := range compare(counted, seen.commands, nil, true) {
			all = append(all, l.wrap(errors.New(d.String())))
		}
		for loss, n := range seen.losses {
			if strings.Contains(loss, "unpaired") || l.limit == allCopied {
				all = append(all, l.wrap(fmt.Errorf("lost %s: %d", loss, n)))
			}
		}
	}
	return errors.Join(all...)
}

func (l *lateObserver) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("observer of role %s that copies %s: %w", l.role, l.limit, err)
}

// settled returns what the server has counted, and has the observers say what they have, when neither counts any more.
func (r *round) settled(late []*lateObserver) (ledger, error) {
	time.Sleep(settled)
	server, err := r.admin.read()
	if err != nil {
		return nil, err
	}
	for _, l := range late {
		if l.seen, err = l.see(r.server.name); err != nil {
			return nil, err
		}
	}
	return server, nil
}

// notMore demands that no count is larger than the server's.
func notMore(observer, server ledger) error {
	var all []error
	for label, c := range observer {
		if s := server[label]; c.total > s.total || c.errors > s.errors {
			all = append(all, errors.New(difference{label, s, c}.String()))
		}
	}
	return errors.Join(all...)
}

// less returns what was counted since an earlier ledger.
func (l ledger) less(before ledger) ledger {
	d := ledger{}
	for label, c := range l {
		b := before[label]
		if c != b {
			d[label] = count{c.total - b.total, c.errors - b.errors}
		}
	}
	return d
}

// during has all workers work while a function runs.
func during(workers []worker, f func() error) error {
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	failures := make([]error, len(workers))
	for i, w := range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			for ctx.Err() == nil && failures[i] == nil {
				if err := w.work(w.wire); err != nil {
					failures[i] = fmt.Errorf("%s: %w", w.kind, err)
				}
			}
		}()
	}
	err := f()
	stop()
	all.Wait()
	return errors.Join(append(failures, err)...)
}

func smallOnes(workers []worker) (small []worker) {
	for _, w := range workers {
		if w.small {
			small = append(small, w)
		}
	}
	return small
}

// workers are connections of every kind.
func (r *round) workers() ([]worker, error) {
	workers := []worker{
		{kind: "busy", work: busy, small: true},
		{kind: "pipelined", work: pipelined},
		{kind: "multiplexed", work: multiplexed},
		{kind: "subscribed", work: subscribed},
		{kind: "blocked", work: blockedNow},
		{kind: "monitor", work: monitoring},
	}
	for i := range workers {
		w, err := r.dial()
		if err != nil {
			return nil, err
		}
		workers[i].wire = w
	}
	_, err := workers[3].wire.ask("SUBSCRIBE news")
	_, err2 := workers[5].wire.ask("MONITOR")
	return workers, errors.Join(err, err2)
}

// busy asks and waits.
func busy(w *wire) error {
	for _, line := range []string{"SET a 1", "GET a", "PUBLISH news text", "RPUSH list x", "LPUSH a x", "INCR n"} {
		if _, err := w.ask(line); err != nil {
			return err
		}
	}
	return nil
}

// pipelined asks for much at a time, and waits for all of it.
func pipelined(w *wire) error {
	lines := []string{"MULTI", "INCR n", "LPUSH a x", "EXEC"}
	for range 20 {
		lines = append(lines, "GET a", "LRANGE none 0 -1", "HGET a f")
	}
	_, err := w.ask(lines...)
	return err
}

// multiplexed reads while it writes, as clients do whose connection is shared.
func multiplexed(w *wire) error {
	const n = 100
	failure := make(chan error, 1)
	go func() {
		for range n {
			if err := w.send(commands("GET a", "LPUSH a x")); err != nil {
				failure <- err
				return
			}
		}
		failure <- nil
	}()
	_, err := w.read(2 * n)
	return errors.Join(err, <-failure)
}

// subscribed asks for a sign of life between the messages.
func subscribed(w *wire) error {
	if err := w.send(commands("PING")); err != nil {
		return err
	}
	for {
		frames, err := w.read(1)
		if err != nil {
			return err
		}
		if first := frames[0]; len(first.Elements) == 2 && first.Elements[0].Text == "pong" {
			time.Sleep(5 * time.Millisecond)
			return nil
		}
	}
}

// blockedNow waits for what others push, or in vain.
func blockedNow(w *wire) error {
	if err := w.send(commands("BLPOP list 1")); err != nil {
		return err
	}
	_, err := w.read(1)
	return err
}

// monitoring takes what comes.
func monitoring(w *wire) error {
	if err := w.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, w.replies) // ends by the deadline
	return nil
}
