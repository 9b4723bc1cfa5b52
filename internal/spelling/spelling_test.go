package spelling

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNearest(t *testing.T) {
	words := []string{"check", "replay", "version", "top"}
	for word, want := range map[string]string{
		"chek": "check", "rpelay": "replay", "versoin": "version", "to": "top", "TOP": "", "observe": "", "": "", "check": "check",
	} {
		assert.Equal(t, want, Nearest(word, words), word)
	}
	assert.Equal(t, "a1", Nearest("a", []string{"a2", "a1"}), "the same for any order")
	assert.Empty(t, Nearest("x", nil))
}
