package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Each message may be logged limitCount times per window. Further ones are counted, and the next
// one that passes has their number.
const (
	limitWindow = 10 * time.Second
	limitCount  = 5
	limitKept   = 1000 // maximum number of distinct messages, which may contain addresses
)

// limited is a handler that limits repeated messages, so that a persistent error does not fill the
// disk.
type limited struct {
	slog.Handler
	seen *seenMessages
}

type seenMessages struct {
	mu       sync.Mutex
	messages map[string]*window
}

type window struct {
	began      time.Time
	count      int
	suppressed int
}

func limit(handler slog.Handler) slog.Handler {
	return limited{handler, &seenMessages{messages: map[string]*window{}}}
}

// Handle implements slog.Handler.
func (l limited) Handle(ctx context.Context, record slog.Record) error {
	pass, suppressed := l.seen.admit(record.Message, record.Time)
	if !pass {
		return nil
	}
	if suppressed > 0 {
		record = record.Clone()
		record.AddAttrs(slog.Int("suppressed", suppressed))
	}
	return l.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (l limited) WithAttrs(attrs []slog.Attr) slog.Handler {
	return limited{l.Handler.WithAttrs(attrs), l.seen}
}

// WithGroup implements slog.Handler.
func (l limited) WithGroup(name string) slog.Handler {
	return limited{l.Handler.WithGroup(name), l.seen}
}

// admit reports whether a message passes, and how many equal ones were suppressed before it.
func (s *seenMessages) admit(message string, now time.Time) (pass bool, suppressed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.messages[message]
	if w == nil {
		if len(s.messages) >= limitKept {
			clear(s.messages)
		}
		w = &window{began: now}
		s.messages[message] = w
	}
	if now.Sub(w.began) >= limitWindow {
		suppressed = w.suppressed
		*w = window{began: now}
	}
	if w.count++; w.count > limitCount {
		w.suppressed++
		return false, 0
	}
	return true, suppressed
}
