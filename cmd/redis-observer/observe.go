package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// observe is the loop: read an event from the source, match its contents, record the results. It
// returns when the source is closed and drained, or at its end.
func (s *stages) observe(source event.Source, alive *heartbeat) error {
	var e event.Event
	named, encrypted := s.names.Version(), false
	for {
		if err := source.Read(&e); err != nil {
			if errors.Is(err, os.ErrClosed) || errors.Is(err, io.EOF) {
				s.record(s.tracker.Flush())
				return nil
			}
			return fmt.Errorf("read events: %w", err)
		}
		// Only this goroutine uses the tracker. Reloads and DNS updates change the version.
		if version := s.names.Version(); version != named {
			s.rename(version.Rules != named.Rules)
			named = version
		}
		s.untimed = e.Untimed
		s.record(s.tracker.Track(&e))
		if e.Kind == event.Tick {
			alive.beat()
			s.look(e.Time)
			s.answer()
			if !encrypted && s.tracker.Encrypted() {
				encrypted = true
				readTLS(source)
			}
			if s.tracker.Overdue() {
				relist(source)
			}
		}
	}
}

// answer runs a question, if there is one.
func (s *stages) answer() {
	select {
	case ask := <-s.questions:
		ask()
	default:
	}
}

// rename moves connections to their new names. Unless the rules changed, a connection keeps the name
// of its endpoint: the address that it connected to may be another's by now.
func (s *stages) rename(rules bool) {
	keeps := s.counted.Keeps
	if rules {
		keeps = nil
	}
	s.record(s.tracker.Rename(keeps))
	s.releaseUnused()
}

// readTLS makes the source read TLS connections, if it can.
func readTLS(source event.Source) {
	if reader, ok := source.(interface{ ReadTLS() }); ok {
		reader.ReadTLS()
	}
}

// relist requests a listing of the existing connections, if the source can list them.
func relist(source event.Source) {
	if lister, ok := source.(interface{ Relist() }); ok {
		lister.Relist()
	}
}

// live records a step in the life of a connection.
func (s *stages) live(l correlate.Life) {
	if s.untimed {
		l.Took = 0
	}
	s.recorder.Live(l)
}

func (s *stages) record(exchanges []session.Exchange) {
	for i := range exchanges {
		if s.untimed {
			exchanges[i].Duration = session.NoDuration
		}
		s.recorder.Record(&exchanges[i])
	}
}
