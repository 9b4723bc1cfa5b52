package socket

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/host"
)

// listing is the result of one run of the socket iterators.
type listing struct {
	started  int64  // CLOCK_MONOTONIC in ns
	position uint64 // in the ring buffer, behind its events
	complete bool   // no event was lost during the run
}

// The pause before a retry after a shortage, such as of descriptors: the first, and the longest.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// While Unix sockets are observed, the connections are listed regularly, because nothing reports
// that one opens before its first call. The pause is at least that long, and longer where a listing
// takes long, so that listings take at most half a percent of a CPU. Ends that no call found are
// looked for more often.
const (
	listingPause = 10 * time.Second
	listingShare = 200
	passPeriod   = time.Second
)

// lister lists the connections in its own goroutine, one listing after the other. Any goroutine may
// request one.
type lister struct {
	regular atomic.Bool // list the connections and the ends of Unix sockets regularly
	probes  *bpf.Probes
	log     *slog.Logger
	wanted  chan struct{} // has room for one request during a listing
	done    chan listing  // read by the goroutine that reads the events
	stop    chan struct{}
	once    sync.Once
}

func newLister(probes *bpf.Probes, log *slog.Logger) *lister {
	l := &lister{probes: probes, log: log, wanted: make(chan struct{}, 1), done: make(chan listing, 1), stop: make(chan struct{})}
	go l.run()
	return l
}

// request requests a listing that begins from now on.
func (l *lister) request() {
	select {
	case l.wanted <- struct{}{}:
	default: // one is requested already
	}
}

// close ends the goroutine, without waiting for it: the goroutine has its own share of the probes.
func (l *lister) close() { l.once.Do(func() { close(l.stop) }) }

func (l *lister) run() {
	for next := time.Now().Add(listingPause); ; {
		var passes <-chan time.Time
		if l.regular.Load() {
			passes = time.After(passPeriod)
		}
		select {
		case <-l.stop:
			return
		case <-l.wanted:
		case <-passes:
			l.pass()
			if time.Now().Before(next) {
				continue
			}
		}
		begun := time.Now()
		done, ok := l.list()
		if !ok {
			return
		}
		next = time.Now().Add(max(listingPause, listingShare*time.Since(begun)))
		select {
		case <-l.stop:
			return
		case l.done <- done:
		}
		l.probes.Wake()
	}
}

// pass looks for the ends of Unix sockets. The next pass makes up for one that fails.
func (l *lister) pass() {
	if err := l.probes.PassUnix(); err != nil && !errors.Is(err, os.ErrClosed) && !host.Shortage(err) {
		l.log.Warn("cannot find all ends of Unix sockets", "error", err)
	}
}

// list runs the iterators, and retries during a shortage. It returns false when stopped.
func (l *lister) list() (listing, bool) {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		done, err := l.listOnce()
		if err == nil {
			return done, true
		}
		if errors.Is(err, os.ErrClosed) {
			return done, false
		}
		l.log.Warn("cannot list all connections", "error", err, "retry", host.Shortage(err))
		if !host.Shortage(err) {
			return done, true
		}
		select {
		case <-l.stop:
			return done, false
		case <-time.After(wait):
		}
	}
}

// listOnce runs the iterators. The listing is complete if no event was lost during the run.
func (l *lister) listOnce() (listing, error) {
	done := listing{started: host.Monotonic()}
	before, err := l.probes.Lost()
	err = errors.Join(err, l.probes.List())
	after, err2 := l.probes.Lost()
	err = errors.Join(err, err2)
	done.complete = err == nil && before["ring_full"] == after["ring_full"]
	done.position = l.probes.Produced()
	return done, err
}

// firstNamespace is the link target that identifies the initial PID namespace, which contains all
// processes.
const firstNamespace = "pid:[4026531836]"

// reachElsewhere returns the reach of connections in other network namespaces. These are listed by
// the processes that hold them, and a PID namespace may hide processes.
func reachElsewhere() event.Reach {
	if namespace, err := os.Readlink("/proc/self/ns/pid"); err == nil && namespace == firstNamespace {
		return event.WhileHeld
	}
	return event.Never
}

// reachOf returns the reach of a connection by its event. A connection that a listing found by the
// process that holds it, a later listing will find too.
func (l *Live) reachOf(head *bpf.Event) event.Reach {
	switch {
	case head.Flags&bpf.OwnNetwork != 0:
		return event.Always
	case head.Kind == bpf.Existing:
		return event.WhileHeld
	case head.Kind == bpf.OtherStream:
		return event.Never // no process holds an MPTCP subflow, and no listing reports SCTP
	}
	return l.reach
}
