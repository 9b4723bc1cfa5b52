package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLimit(t *testing.T) {
	var out bytes.Buffer
	handler := limit(slog.NewTextHandler(&out, nil))
	now := time.Unix(1000, 0)
	log := func(h slog.Handler, message string) {
		require.NoError(t, h.Handle(context.Background(), slog.NewRecord(now, slog.LevelWarn, message, 0)))
	}
	for range 100 {
		log(handler, "again")
		log(handler.WithAttrs([]slog.Attr{slog.Int("n", 1)}).WithGroup("g"), "again") // the same message, whatever it carries
	}
	log(handler, "another")
	assert.Equal(t, limitCount, strings.Count(out.String(), "msg=again"))
	assert.Contains(t, out.String(), "msg=another")

	out.Reset()
	now = now.Add(limitWindow)
	log(handler, "again")
	assert.Contains(t, out.String(), fmt.Sprintf("msg=again suppressed=%d\n", 200-limitCount))
	log(handler, "again")
	assert.Equal(t, 1, strings.Count(out.String(), "suppressed"))

	for i := range 10 * limitKept {
		log(handler, fmt.Sprint("message ", i))
	}
	assert.LessOrEqual(t, len(handler.(limited).seen.messages), limitKept)
}
