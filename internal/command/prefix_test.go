package command

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLookupPrefix(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"ordinary", "WRONGTYPE Operation against a key", "WRONGTYPE"},
		{"redirection", "MOVED 3999 127.0.0.1:6381", "MOVED"},
		{"generic", "ERR unknown command 'x'", "ERR"},
		{"no space", "MYERROR", "ERR"},
		{"empty", "", "ERR"},
		{"space at the last place that the server looks at", "ERR" + strings.Repeat("x", 27) + " a", "other"},
		{"space beyond it", "ERR" + strings.Repeat("x", 28) + " a", "ERR"},
		{"begins with a space", " ERR", "other"},
		{"made by a script", "MYERROR it is", "other"},
		{"lower case is another prefix", "err it is", "other"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, LookupPrefix([]byte(tt.text)).String())
		})
	}
}

func TestPrefixString(t *testing.T) {
	seen := map[string]bool{}
	for p := range Prefix(PrefixCount) {
		assert.False(t, seen[p.String()], p.String())
		seen[p.String()] = true
	}
	assert.Equal(t, "other", Prefix(PrefixCount).String())
	assert.Equal(t, "other", OtherPrefix.String())
}

func BenchmarkLookupPrefix(b *testing.B) {
	text := []byte("WRONGTYPE Operation against a key holding the wrong kind of value")
	for b.Loop() {
		LookupPrefix(text)
	}
}
