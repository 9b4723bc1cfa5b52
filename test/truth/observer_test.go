package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/test/kit"
)

// With labels, what counts under no executable is a loss.
func TestUnlabelled(t *testing.T) {
	const of = "redis_commands_total{command=get,name=a,status=success"
	s := sighting{losses: map[string]int{}}
	s.addUnlabelled(kit.Samples{of + ",process_executable_name=redis-cli}": 3}, "a")
	assert.Empty(t, s.losses)
	s.addUnlabelled(kit.Samples{
		of + ",process_executable_name=redis-cli}": 3, of + ",process_executable_name=unknown}": 2, of + ",process_executable_name=}": 4, of + "}": 1,
		"redis_commands_total{command=get,name=b}": 8,
	}, "a")
	assert.Equal(t, map[string]int{"commands of the executable 'unknown'": 2, "commands of the executable ''": 4, "commands without the label of the executable": 1}, s.losses)
}
