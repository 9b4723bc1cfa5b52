package slow

import (
	"slices"
	"time"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/report"
)

// Limits of what is kept of groups.
const (
	MaxGroups = 100
	MaxAge    = time.Hour // since the last slow command of a group

	maxServers = 256 // that had slow commands
	maxSharers = 4   // groups that share a gain
)

// group sums up the slow commands of one name, command, labels and process: those of a run, which
// ends when none was slow for Window minutes.
type group struct {
	values        []string
	name, process string
	identity      identity.ID
	command       command.ID
	before        uint64 // commands of these, when the first one was slow

	count       uint64
	first, last time.Time     // when the requests were sent, or received
	sum         time.Duration // of the durations
	longest     time.Duration
	waited      time.Duration // of the durations, that it waited behind other groups
	behind      *group        // the last one of those

	held [Window + 1]struct { // by minute
		number int64
		time   time.Duration
	}
}

// hold adds to the time for which a group held its server up.
func (g *group) hold(number int64, d time.Duration) {
	h := &g.held[uint64(number)%uint64(len(g.held))]
	if h.number != number {
		h.number, h.time = number, 0
	}
	h.time += d
}

// heldSince returns the time for which a group held its server up in the minutes that are shown.
func (g *group) heldSince(last int64) (d time.Duration) {
	for _, h := range g.held {
		if shown(h.number, last) {
			d += h.time
		}
	}
	return d
}

// server is the address of a server, or for a Unix socket the index of its path.
type server struct {
	address [16]byte
	port    uint16
}

func serverOf(e *Entry) server {
	if e.Role == event.Server {
		return server{e.Endpoints.Local, e.Endpoints.LocalPort}
	}
	return server{e.Endpoints.Remote, e.Endpoints.RemotePort}
}

// span is a time in which a server had slow commands without a pause. A server that runs one command
// at a time makes those behind it slow, too; they end after it. So each command is charged with what
// it adds to the span: the one that held the server up with all of its duration, those that waited
// behind it with next to nothing, whatever their number.
type span struct {
	from, to int64 // in nanoseconds

	holder *group // whose command added the most
	held   int64  // what it added

	start, end int64    // of the command that was added last
	gain       int64    // what it added
	sharers    []*group // the groups of the commands of its call that were answered with it: nobody knows which one it was
}

// charge charges a command of a group with its part of the span, several equal ones that count as one.
func (s *span) charge(g *group, number, start, end int64, count uint32) {
	if start == s.start && end == s.end {
		s.share(g, number)
		return
	}
	s.start, s.end, s.gain, s.sharers = start, end, 0, append(s.sharers[:0], g)
	switch {
	case start >= s.to || end <= s.from:
		s.from, s.to, s.gain, s.holder, s.held = start, end, end-start, nil, 0
	default:
		s.gain = max(s.from-start, 0) + max(end-s.to, 0)
		s.from, s.to = min(s.from, start), max(s.to, end)
	}
	g.hold(number, time.Duration(s.gain))
	if waited := end - start - s.gain; waited > 0 && s.holder != nil && s.holder != g {
		g.waited, g.behind = g.waited+time.Duration(waited)*time.Duration(count), s.holder
	}
	if s.gain > s.held {
		s.holder, s.held = g, s.gain
	}
}

// share takes a part of the last gain from the groups that have it, for one more.
func (s *span) share(g *group, number int64) {
	n := int64(len(s.sharers))
	if n >= maxSharers || slices.Contains(s.sharers, g) {
		return
	}
	for _, other := range s.sharers {
		other.hold(number, time.Duration(s.gain/(n+1)-s.gain/n))
	}
	s.sharers = append(s.sharers, g)
	g.hold(number, time.Duration(s.gain/(n+1)))
}

// sum adds an exchange that ended in a minute to its group.
func (l *Log) sum(e *Entry, number int64) {
	g := l.groupOf(e)
	if g.count > 0 && !l.options.Endless && e.When.Sub(g.last) > Window*time.Minute {
		g.count, g.sum, g.longest, g.waited, g.behind = 0, 0, 0, 0, nil
	}
	if g.count == 0 {
		g.first, g.last, g.identity, g.command = e.When, e.When, e.Identity, e.Command
		if l.options.Total != nil {
			g.before = l.options.Total(g.identity, g.command)
		}
	}
	d := time.Duration(e.Duration)
	g.count, g.sum, g.longest = g.count+uint64(e.Count), g.sum+d*time.Duration(e.Count), max(g.longest, d)
	if e.When.Before(g.first) {
		g.first = e.When
	}
	if e.When.After(g.last) {
		g.last = e.When
	}
	of := serverOf(e)
	s := l.spans[of]
	if s == nil {
		if len(l.spans) >= maxServers {
			clear(l.spans) // each begins anew
		}
		s = &span{sharers: make([]*group, 0, maxSharers)}
		l.spans[of] = s
	}
	start := e.When.UnixNano()
	s.charge(g, number, start, start+e.Duration, e.Count)
}

// of returns how many commands there were since the first slow one of a group, those included; 0 if that
// is not known: the commands of several processes are counted together, unless a label separates them.
func (l *Log) of(g *group) uint64 {
	if l.options.Total == nil || g.process != "" && !slices.Contains(l.options.Labels, report.Executable) {
		return 0
	}
	total := l.options.Total(g.identity, g.command)
	if total < g.before {
		return 0 // the identity has ended
	}
	return max(total-g.before, g.count) // the last one may not be counted yet
}

// groupOf returns the group of an exchange. A new one takes the place of the one that was slow
// longest ago.
func (l *Log) groupOf(e *Entry) *group {
	key := l.key[:0]
	for _, value := range e.Values {
		key = append(append(key, value...), 0)
	}
	key = append(append(append(key, e.Name...), 0), e.Process...)
	l.key = key
	g := l.groups[string(key)] // without an allocation
	if g != nil {
		return g
	}
	if len(l.groups) >= MaxGroups {
		oldest := ""
		for key, g := range l.groups {
			if oldest == "" || g.last.Before(l.groups[oldest].last) {
				oldest = key
			}
		}
		delete(l.groups, oldest)
	}
	g = &group{values: e.Values, name: e.Name, process: e.Process}
	l.groups[string(key)] = g
	return g
}

// view returns the groups as of a time, whose minute is last: those first that held their servers up
// for the longest time.
func (l *Log) view(now time.Time, last int64) []report.SlowGroup {
	list, total := []report.SlowGroup{}, 0.0
	for _, g := range l.groups {
		if age := now.Sub(g.last); !l.options.Endless && (age > MaxAge || age < -time.Minute) {
			continue
		}
		name, labels := l.identity(g.values)
		list = append(list, report.SlowGroup{
			Name: name, Labels: labels, Command: g.name, Process: g.process, Count: g.count, Of: l.of(g), First: g.first, Last: g.last,
			Mean: (g.sum / time.Duration(g.count)).Seconds(), Longest: g.longest.Seconds(), Share: g.heldSince(last).Seconds(),
		})
		if g.behind != nil && g.waited > g.sum/2 {
			list[len(list)-1].Behind = g.behind.name
		}
		total += list[len(list)-1].Share
	}
	for i := range list {
		if total > 0 {
			list[i].Share /= total
		}
	}
	report.SortGroups(list)
	report.MarkCauses(list, now)
	return list
}
