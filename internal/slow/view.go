package slow

import (
	"strings"
	"time"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/report"
)

// outcomes are the names of those that have a duration.
var outcomes = map[session.Outcome]string{session.Success: "success", session.Error: "error", session.Unanswered: "unanswered"}

// command returns the form of an entry that is shown.
func (l *Log) command(e *Entry) report.SlowCommand {
	c := report.SlowCommand{
		Time: e.When, Command: e.Name, Seconds: time.Duration(e.Duration).Seconds(), Outcome: outcomes[e.Outcome], Count: e.Count,
		RequestBytes: e.RequestBytes, ResponseBytes: e.ResponseBytes, Position: e.Position, Length: e.Length, Transaction: e.Transaction,
		Role: "client", Process: e.Process,
	}
	if e.Role == event.Server {
		c.Role = "server"
	}
	switch e.Outcome {
	case session.Error:
		c.Prefix = e.Prefix.String()
	case session.Unanswered:
		c.Reason = e.Reason.String()
	}
	c.Name, c.Labels = l.identity(e.Values)
	c.Local, c.Peer = e.Endpoints.LocalAddrPort().String(), e.Endpoints.RemoteAddrPort().String()
	if _, unix := e.Endpoints.Path(e.Role); unix {
		c.Local, c.Peer = "unix", l.options.Address(&e.Endpoints, e.Role)
		if e.Role == event.Server {
			c.Local, c.Peer = c.Peer, c.Local
		}
	}
	return c
}

// identity returns the name of the values of an identity, and its further labels.
func (l *Log) identity(values []string) (name, labels string) {
	var further []string
	for i, value := range values {
		if i == 0 {
			name = value
		} else {
			further = append(further, l.options.Labels[i]+"="+value)
		}
	}
	return name, strings.Join(further, ", ")
}
