package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVersionOf(t *testing.T) {
	committed := time.Date(2026, 11, 29, 1, 37, 42, 0, time.UTC)
	const revision = "4dfd06342e2d83e57ee4ac6d0b7d2b4f8d7c2a11"
	for name, test := range map[string]struct {
		tags []string
		want string
	}{
		"no tag":        {nil, "0.0.0-20261129013742-4dfd06342e2d"}, // as `go install …@REVISION` has it
		"a tag":         {[]string{"v0.1.0"}, "0.1.0"},
		"the latest":    {[]string{"v0.10.0", "v0.9.0", "v0.10.0-rc.1"}, "0.10.0"},
		"a pre-release": {[]string{"v0.1.0-rc.1"}, "0.1.0-rc.1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := versionOf(test.tags, committed, revision)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
	for _, tag := range []string{"v1", "version-1", "v1.2"} {
		_, err := versionOf([]string{tag}, committed, revision)
		assert.Error(t, err, tag)
	}
}

func TestDebianVersion(t *testing.T) {
	for version, want := range map[string]string{
		"0.1.0": "0.1.0-1", "0.1.0-rc.1": "0.1.0~rc.1-1", "0.1.0-rc.1+dirty": "0.1.0~rc.1+dirty-1",
	} {
		assert.Equal(t, want, debianVersion(version))
	}
}

// A tag that the chart was not prepared for would be two releases of one version.
func TestChartHasTheVersionOfTheTag(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, chartFolder), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, chartFolder, "Chart.yaml"), []byte("version: 0.1.0\nappVersion: \"0.1.0\"\n"), 0o600))
	assert.NoError(t, checkChart(root, "0.1.0"))
	assert.NoError(t, checkChart(root, "0.0.0-20261129013742-4dfd06342e2d"))
	assert.ErrorContains(t, checkChart(root, "0.2.0"), "docs/releasing.md")
}

// The order of files and the time of day are no part of an archive.
func TestArchivesAreReproducible(t *testing.T) {
	files := []file{{"b", 0o644, []byte("2")}, {"a", 0o755, []byte("1")}}
	reversed := []file{files[1], files[0]}
	modified := time.Unix(1_700_000_000, 0).UTC()
	for name, write := range map[string]func(string, string, []file, time.Time) error{"tar": writeTar, "zip": writeZip} {
		folder := t.TempDir()
		require.NoError(t, write(filepath.Join(folder, "1"), "x", files, modified))
		require.NoError(t, write(filepath.Join(folder, "2"), "x", reversed, modified))
		first, err := os.ReadFile(filepath.Join(folder, "1"))
		require.NoError(t, err)
		second, err := os.ReadFile(filepath.Join(folder, "2"))
		require.NoError(t, err)
		assert.Equal(t, first, second, name)
	}
}

func TestModuleWithoutALicenceIsRefused(t *testing.T) {
	folder := t.TempDir()
	_, err := collectLicences(map[string]string{"example.org/m v1.0.0": folder})
	assert.ErrorContains(t, err, "has no licence")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "LICENSE.md"), []byte("Do what you want.\n"), 0o600))
	text, err := collectLicences(map[string]string{"example.org/m v1.0.0": folder})
	require.NoError(t, err)
	assert.Contains(t, string(text), "Do what you want.")
}
