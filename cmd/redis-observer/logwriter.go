package main

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// What waits to be written while whoever reads the log does not: more is dropped. A line may be longer than that if nothing else waits.
const (
	logLines = 1024
	logBytes = 1 << 20
)

// logFlush is how long the end waits for what is to be written.
const logFlush = time.Second

// logWriter hands lines to a goroutine that writes them, so that nobody ever waits for a full pipe or a slow disk. What cannot be
// written, because too much waits or because nobody reads any more, is counted.
type logWriter struct {
	out     io.Writer
	lines   chan []byte
	waiting atomic.Int64 // bytes in lines
	lost    atomic.Uint64
	flushed chan struct{} // closed when all that was written before close is out

	mu     sync.RWMutex // of closed: nobody sends on a channel that is being closed
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

// Write takes one line. It never blocks, and never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	n := int64(len(line))
	if before := w.waiting.Add(n) - n; w.closed || before > 0 && before+n > logBytes {
		w.drop(n)
		return len(line), nil
	}
	select {
	case w.lines <- append([]byte(nil), line...): // the caller uses its memory again
	default:
		w.drop(n)
	}
	return len(line), nil
}

func (w *logWriter) drop(n int64) {
	w.waiting.Add(-n)
	w.lost.Add(1)
}

// dropped returns how many lines were not written.
func (w *logWriter) dropped() uint64 { return w.lost.Load() }

// close waits until everything is written, or for as long as it may take. What is written afterwards is dropped.
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
