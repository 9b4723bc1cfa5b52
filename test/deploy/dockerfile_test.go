package deploy

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const dockerfile = deployRoot + "/container/Dockerfile"

// mustParse parses the Dockerfile as `docker build --check` does, and fails on whatever that would warn of.
func mustParse(tb testing.TB) []instructions.Stage {
	tb.Helper()
	result, err := parser.Parse(bytes.NewReader(mustRead(tb, dockerfile)))
	require.NoError(tb, err)
	assert.Empty(tb, result.Warnings)
	stages, _, err := instructions.Parse(result.AST, linter.New(&linter.Config{
		Warn: func(rule, _, _, message string, _ []parser.Range) { assert.Fail(tb, rule, message) },
	}))
	require.NoError(tb, err)
	return stages
}

func TestDockerfile(t *testing.T) {
	stages := mustParse(t)
	require.Len(t, stages, 2)
	final := stages[1]
	assert.Equal(t, "scratch", final.BaseName)
	assert.NotContains(t, stages[0].BaseName, "latest")
	var entrypoint []string
	for _, command := range final.Commands {
		switch c := command.(type) {
		case *instructions.RunCommand:
			assert.Fail(t, "an empty image can run nothing")
		case *instructions.EntrypointCommand:
			entrypoint = c.CmdLine
		case *instructions.CopyCommand:
			assert.Equal(t, "build", c.From)
		}
	}
	assert.Equal(t, []string{"/redis-observer"}, entrypoint)
}

// The steps of the build stage, run in a folder that holds what the stage copies and nothing else.
func TestDockerfileBuilds(t *testing.T) {
	folder, output := t.TempDir(), filepath.Join(t.TempDir(), "redis-observer")
	for _, command := range mustParse(t)[0].Commands {
		switch c := command.(type) {
		case *instructions.CopyCommand:
			for _, source := range c.SourcePaths {
				mustOutput(t, "cp", "-r", filepath.Join(root, source), folder)
			}
		case *instructions.RunCommand:
			line := strings.ReplaceAll(strings.Join(c.CmdLine, " "), "-o /redis-observer", "-o "+output)
			step := exec.Command("sh", "-ec", line)
			step.Dir = folder
			step.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH=amd64", "VERSION=1.2.3", "REVISION=abc", "GOFLAGS=-mod=readonly")
			text, err := step.CombinedOutput()
			require.NoError(t, err, "%s: %s", line, text)
		}
	}
	binary, err := elf.Open(output)
	require.NoError(t, err)
	defer binary.Close()
	libraries, err := binary.ImportedLibraries()
	require.NoError(t, err)
	assert.Empty(t, libraries, "the image is empty, so the binary has to be static")
	assert.Nil(t, binary.Section(".interp"))
	version := mustOutput(t, output, "version")
	assert.Contains(t, version, "redis-observer 1.2.3 ")
	assert.Contains(t, version, "revision abc")
}
