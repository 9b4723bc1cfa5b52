package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/config"
)

func TestPacketNotes(t *testing.T) {
	c := config.Default()
	assert.Empty(t, packetNotes(c))
	c.Metrics.Phases = true
	notes := packetNotes(c)
	assert.Len(t, notes, 1)
	assert.Contains(t, notes[0], "metrics.phases")
}
