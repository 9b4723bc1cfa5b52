package main

import (
	"io"
	"log/slog"

	"github.com/redis-observer/redis-observer/internal/config"
)

// newLogger returns a logger that limits repeated messages, and its level, which a reload may
// change.
func newLogger(w io.Writer, c config.Log) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(c.Level)
	options := &slog.HandlerOptions{Level: level}
	if c.Format == config.JSONFormat {
		return slog.New(limit(slog.NewJSONHandler(w, options))), level
	}
	return slog.New(limit(slog.NewTextHandler(w, options))), level
}
