package slow

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/report"
)

// Window is how many whole minutes a Log keeps, besides the current one.
const Window = 10

// Entry is an exchange as it is kept.
type Entry struct {
	session.Slow
	When      time.Time // when the request was sent, or received
	Values    []string  // of the labels of the identity; must not change
	Name      string    // of the command
	Role      event.Role
	Endpoints event.Endpoints
	Process   string // executable of the observed end; "" if it is not known
}

// Options configure a Log.
type Options struct {
	Size      int                                              // exchanges of a minute that are kept, and of all that are shown
	Threshold time.Duration                                    // of the exchanges that are added; for View
	Labels    []string                                         // of the Values; the first is the name
	Start     time.Time                                        // of the log: nothing is known of the time before
	Endless   bool                                             // the whole time is one minute, as for a replay
	Address   func(e *event.Endpoints, role event.Role) string // of the server's end of a connection over a Unix socket
	Total     func(identity.ID, command.ID) uint64             // all commands, without the one that is being added; nil if they are not counted
}

// Log keeps the slowest exchanges of the last minutes. The zero Log must not be used.
type Log struct {
	options Options

	mu      sync.Mutex
	minutes [Window + 1]minute
	groups  map[string]*group
	key     []byte // of the last one
	spans   map[server]*span
}

// minute holds the slowest exchanges that ended in a minute.
type minute struct {
	number  int64   // since 1970
	seen    uint64  // exchanges, with those that were not kept
	entries []Entry // a heap, the fastest first
}

// New returns an empty Log.
func New(options Options) *Log {
	return &Log{options: options, groups: map[string]*group{}, spans: map[server]*span{}}
}

// shown reports whether a minute is shown when the current one is last. A clock that went back may
// have left minutes of the future.
func shown(number, last int64) bool { return last-number <= Window && number-last <= 1 }

// number returns the minute of a time.
func (l *Log) number(t time.Time) int64 {
	if l.options.Endless {
		return 0
	}
	return t.Unix() / 60
}

// Add adds an exchange that ended at a time. The Log copies it.
func (l *Log) Add(e *Entry) {
	number := l.number(e.When.Add(time.Duration(e.Duration)))
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &l.minutes[uint64(number)%uint64(len(l.minutes))]
	if m.number != number {
		*m = minute{number: number, entries: m.entries[:0]}
	}
	m.seen += uint64(e.Count)
	l.sum(e, number)
	switch {
	case len(m.entries) < l.options.Size:
		m.entries = append(m.entries, *e)
		m.up(len(m.entries) - 1)
	case e.Duration > m.entries[0].Duration:
		m.entries[0] = *e
		m.down()
	}
}

// up moves the i-th entry, which is new, to its place in the heap.
func (m *minute) up(i int) {
	for parent := (i - 1) / 2; i > 0 && m.entries[i].Duration < m.entries[parent].Duration; parent = (i - 1) / 2 {
		m.entries[i], m.entries[parent] = m.entries[parent], m.entries[i]
		i = parent
	}
}

// down moves the first entry, which is new, to its place in the heap.
func (m *minute) down() {
	for i := 0; ; {
		least := 2*i + 1
		if least >= len(m.entries) {
			return
		}
		if least+1 < len(m.entries) && m.entries[least+1].Duration < m.entries[least].Duration {
			least++
		}
		if m.entries[i].Duration <= m.entries[least].Duration {
			return
		}
		m.entries[i], m.entries[least] = m.entries[least], m.entries[i]
		i = least
	}
}

// View returns the slowest exchanges as of a time, the slowest first, and the groups of all.
func (l *Log) View(now time.Time) report.Slow {
	last := l.number(now)
	v := report.Slow{Threshold: l.options.Threshold, Size: l.options.Size, Commands: []report.SlowCommand{}}
	if !l.options.Endless {
		if v.Since = time.Unix((last-Window)*60, 0); v.Since.Before(l.options.Start) {
			v.Since = l.options.Start
		}
	}
	var entries []Entry
	l.mu.Lock()
	for i := range l.minutes {
		if m := &l.minutes[i]; shown(m.number, last) {
			entries, v.Seen = append(entries, m.entries...), v.Seen+m.seen
		}
	}
	v.Groups = l.view(now, last)
	l.mu.Unlock()
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(b.Duration, a.Duration), a.When.Compare(b.When), cmp.Compare(a.Position, b.Position))
	})
	for i := range entries[:min(len(entries), l.options.Size)] {
		v.Commands = append(v.Commands, l.command(&entries[i]))
	}
	return v
}
