package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/test/kit"
)

func TestLogWriterWritesAllBeforeItCloses(t *testing.T) {
	out := new(kit.Output)
	w := newLogWriter(out)
	line := []byte("line 0000\n")
	for i := range logLines {
		copy(line[5:], fmt.Sprintf("%04d", i))
		_, err := w.Write(line)
		require.NoError(t, err)
	}
	w.close()
	assert.Equal(t, logLines, strings.Count(out.String(), "\n"))
	assert.Contains(t, out.String(), "line 0000\nline 0001\n")
	assert.Zero(t, w.dropped())
	_, err := w.Write(line)
	require.NoError(t, err)
	w.close()
	assert.EqualValues(t, 1, w.dropped())
}

// A full pipe blocks neither callers nor close, and memory stays bounded.
func TestLogWriterNeverBlocks(t *testing.T) {
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	defer reader.Close()
	defer writer.Close()
	w := newLogWriter(writer)
	logger, _ := newLogger(w, config.Log{Level: slog.LevelInfo})
	begin := time.Now()
	var beside sync.WaitGroup
	for n := range 4 {
		beside.Go(func() {
			for i := range logLines {
				logger.Info(fmt.Sprint("message ", n, " ", i), "text", strings.Repeat("x", 2000))
			}
		})
	}
	beside.Wait()
	assert.Less(t, time.Since(begin), 5*time.Second)
	assert.Positive(t, w.dropped())
	assert.LessOrEqual(t, w.waiting.Load(), int64(logBytes+4096))
	begin = time.Now()
	w.close()
	assert.Less(t, time.Since(begin), logFlush+time.Second)
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestLogWriterCountsWhatNobodyReads(t *testing.T) {
	w := newLogWriter(brokenPipe{})
	for range 3 {
		_, err := w.Write([]byte("line\n"))
		require.NoError(t, err)
	}
	w.close()
	assert.EqualValues(t, 3, w.dropped())
}
