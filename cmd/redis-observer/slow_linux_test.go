package main

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/config"
)

// Slow commands that nobody may see are noted, those of loopback and none at all are not.
func TestSlowNote(t *testing.T) {
	c := config.Default()
	open := &net.TCPAddr{IP: net.IPv6unspecified, Port: 9479}
	assert.Empty(t, slowNote(c, open))
	c.SlowCommands.Size = 1
	assert.Contains(t, slowNote(c, open), "kept but not served: anybody who reaches the endpoint could read it (set basic_auth_users")
	assert.Empty(t, slowNote(c, &net.TCPAddr{IP: net.IPv6loopback, Port: 9479}))
}
