package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/metrics"
	"github.com/redis-observer/redis-observer/internal/naming"
)

// observe is the loop: read an event, match what it carries, record what became of it. It ends when the source is closed and drained, or at its end.
func observe(source event.Source, names *naming.Names, tracker *correlate.Tracker, recorder *metrics.Recorder, alive *pulse) error {
	var e event.Event
	named := names.Version()
	for {
		if err := source.Read(&e); err != nil {
			if errors.Is(err, os.ErrClosed) || errors.Is(err, io.EOF) {
				record(recorder, tracker.Flush())
				return nil
			}
			return fmt.Errorf("read events: %w", err)
		}
		// The tracker belongs to this goroutine: a reload and the resolution of host names only leave word.
		if version := names.Version(); version != named {
			named = version
			tracker.Rename()
			releaseUnused(names, tracker, recorder)
		}
		record(recorder, tracker.Track(&e))
		if e.Kind == event.Tick {
			alive.beat()
			if tracker.Overdue() {
				relist(source)
			}
		}
	}
}

// relist asks for the connections that are there, if the source can tell.
func relist(source event.Source) {
	if lister, ok := source.(interface{ Relist() }); ok {
		lister.Relist()
	}
}

func record(recorder *metrics.Recorder, exchanges []correlate.Exchange) {
	for i := range exchanges {
		recorder.Record(&exchanges[i])
	}
}
