package main

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/slow"
)

// keepSlow begins to keep slow commands, if the configuration says so: of the last minutes, or all.
// It comes before follow.
func (s *stages) keepSlow(c *config.Config, all bool) {
	if c.SlowCommands.Size == 0 {
		return
	}
	s.slowFrom, s.style = c.SlowCommands.Threshold, c.Metrics.Style()
	s.slow = slow.New(slow.Options{
		Size: c.SlowCommands.Size, Threshold: c.SlowCommands.Threshold, Labels: s.counted.Registry().Labels(),
		Start: time.Now(), Endless: all, Address: s.unixAddress, Total: s.recorder.Commands,
	})
}

// addSlow takes an exchange that was slow.
func (s *stages) addSlow(x *session.Slow, role event.Role, e *event.Endpoints, owner *event.Owner) {
	values, found := s.counted.Registry().Values(x.Identity)
	if !found || s.untimed {
		return
	}
	if s.clock != nil {
		// Times of one call stay equal unless the clock was set meanwhile.
		if offset := s.clock(); time.Duration(offset-s.offset).Abs() >= time.Millisecond {
			s.offset = offset
		}
	}
	entry := slow.Entry{Slow: *x, When: time.Unix(0, x.Start+s.offset), Values: values, Name: s.commands.Label(x.Command, s.style), Role: role, Endpoints: *e}
	if owner != nil {
		entry.Process = owner.Executable
	}
	s.slow.Add(&entry)
}

// unixAddress returns the address of a connection over a Unix socket, as it is configured.
func (s *stages) unixAddress(e *event.Endpoints, role event.Role) string {
	index, _ := e.Path(role)
	for _, path := range s.names.Paths() {
		if path.Index == index {
			return "unix:" + path.Text
		}
	}
	return "unix" // it was removed from the configuration
}
