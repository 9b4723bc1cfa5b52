package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// rawUnread opens thousands of connections side by side, each for one write, and closes them with the replies unread, while the server forks to
// rewrite its file. The last event of such a socket may come in any interrupt of any task, and some kernels run no program there.
func rawUnread(ctx context.Context, r *round) error {
	const workers, connections = 100, 6000
	if reply, err := r.admin.do("DEBUG POPULATE 10000 filler 16384"); err != nil || reply.Failed() {
		return errors.Join(err, fmt.Errorf("DEBUG POPULATE: %s", reply.Text))
	}
	ctx, cancel := context.WithCancel(ctx)
	rewritten := make(chan error, 1)
	go func() { rewritten <- rewriteAgainAndAgain(ctx, r.admin) }()

	var begun atomic.Int64
	err := parallel(workers, func(int) error {
		for begun.Add(1) <= connections {
			w, err := r.dial()
			if err != nil {
				return err
			}
			requests := commands("HELLO 3", "CLIENT TRACKING ON", "CLIENT SETNAME a", "CLIENT SETNAME b") +
				strings.Repeat(commands("GET none"), rand.IntN(4))
			err = w.send(requests)
			time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
			if err := errors.Join(err, w.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	cancel()
	return errors.Join(err, <-rewritten)
}

// forks reports whether a server may fork under load: Redis 8.0 with I/O threads was seen not to answer for ten seconds then.
func (s *server) forks() bool { return len(s.options) == 0 }

// rewriteAgainAndAgain has the server fork until ctx ends. A rewrite that is under way is an answer like any other.
func rewriteAgainAndAgain(ctx context.Context, a *admin) error {
	for {
		if _, err := a.do("BGREWRITEAOF"); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}
