package main

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of the lines that wait to be written. Further lines are dropped. A line longer than
// logBytes is kept if no other waits.
const (
	logLines = 1024
	logBytes = 1 << 20
)

// logFlush is how long close waits for pending lines.
const logFlush = time.Second

// logWriter writes lines in a goroutine of its own, so that a full pipe or a slow disk does not
// block the caller. It counts the lines that it drops or cannot write.
type logWriter struct {
	out     io.Writer
	lines   chan []byte
	waiting atomic.Int64 // bytes in lines
	lost    atomic.Uint64
	flushed chan struct{} // closed after the last line before close is written

	mu     sync.RWMutex // guards closed and the closing of lines
	closed bool
}

func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{out: out, lines: make(chan []byte, logLines), flushed: make(chan struct{})}
	go w.run()
	return w
}

func (w *logWriter) run() {
	defer close(w.flushed)
	for line := range w.lines {
		if _, err := w.out.Write(line); err != nil {
			w.lost.Add(1)
		}
		w.waiting.Add(-int64(len(line)))
	}
}

// Write queues one line. It does not block and does not fail.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	n := int64(len(line))
	if before := w.waiting.Add(n) - n; w.closed || before > 0 && before+n > logBytes {
		w.drop(n)
		return len(line), nil
	}
	select {
	case w.lines <- append([]byte(nil), line...): // the caller reuses its memory
	default:
		w.drop(n)
	}
	return len(line), nil
}

func (w *logWriter) drop(n int64) {
	w.waiting.Add(-n)
	w.lost.Add(1)
}

// dropped returns the number of lines that were not written.
func (w *logWriter) dropped() uint64 { return w.lost.Load() }

// close waits until all lines are written, at most logFlush. Later lines are dropped.
func (w *logWriter) close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.lines)
	}
	w.mu.Unlock()
	select {
	case <-w.flushed:
	case <-time.After(logFlush):
	}
}
