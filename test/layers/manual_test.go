package layers

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The manual pages are made from the commands, and the shipped binary has no library for that.
func TestManualPages(t *testing.T) {
	assert.NotContains(t, goCommand(t, "list", "-deps", "./cmd/redis-observer"), "github.com/cpuguy83/go-md2man/v2/md2man")
	directory := t.TempDir()
	// As make man does, so that but for the pages all is compiled as in the shipped binary, and only once.
	goCommand(t, "run", "-trimpath", "-tags", "man", "-ldflags=-s -w", "./cmd/redis-observer", "man", directory)
	for _, page := range []string{"redis-observer", "redis-observer-check", "redis-observer-replay", "redis-observer-top", "redis-observer-version", "redis-observer-completion"} {
		text, err := os.ReadFile(filepath.Join(directory, page+".8"))
		require.NoError(t, err)
		assert.Contains(t, string(text), ".SH SYNOPSIS")
	}
	check, err := os.ReadFile(filepath.Join(directory, "redis-observer-check.8"))
	require.NoError(t, err)
	assert.Contains(t, string(check), "--name-of")
}
