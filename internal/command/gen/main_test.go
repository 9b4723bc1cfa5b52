package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The committed table is what its input yields.
func TestGeneratedIsCurrent(t *testing.T) {
	out := filepath.Join(t.TempDir(), "table_gen.go")
	require.NoError(t, run("../commands.tsv", out))
	got, err := os.ReadFile(out)
	require.NoError(t, err)
	want, err := os.ReadFile("../table_gen.go")
	require.NoError(t, err)
	assert.True(t, string(got) == string(want), "table_gen.go is stale: run go generate ./internal/command")
}

func TestParseInvalid(t *testing.T) {
	const header = "wire\tredis_py\ttraits\n"
	tests := []struct {
		name, text, want string
	}{
		{"empty", "", "unknown columns"},
		{"other columns", "wire\tlabel\n", "unknown columns"},
		{"missing column", header + "get\t\n", "line 2"},
		{"unknown trait", header + "get\t\tfast\n", `unknown trait "fast"`},
		{"unsorted", header + "set\t\t\nget\t\t\n", "not sorted or twice"},
		{"twice", header + "get\t\t\nget\t\t\n", "not sorted or twice"},
		{"no container", header + "config\t\t\nconfig|get\t\t\n", `"config" is no container`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(tt.text)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}
