package config

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mustWatch watches path and returns a channel that gets one value per change.
func mustWatch(tb testing.TB, path string) <-chan struct{} {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	changes := make(chan struct{}, 10)
	known, err := os.ReadFile(path)
	require.NoError(tb, err)
	require.NoError(tb, Watch(ctx, path, known, func() { changes <- struct{}{} }))
	return changes
}

func awaitChange(tb testing.TB, changes <-chan struct{}) {
	tb.Helper()
	select {
	case <-changes:
	case <-time.After(5 * time.Second):
		require.Fail(tb, "the change was not noticed")
	}
}

func assertNoChange(tb testing.TB, changes <-chan struct{}) {
	tb.Helper()
	select {
	case <-changes:
		assert.Fail(tb, "a change was reported where there is none")
	case <-time.After(2 * settleTime):
	}
}

func TestWatchFile(t *testing.T) {
	path := mustWrite(t, "a")
	changes := mustWatch(t, path)

	require.NoError(t, os.WriteFile(path, []byte("b"), 0o600))
	awaitChange(t, changes)

	require.NoError(t, os.WriteFile(path+".new", []byte("c"), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
	awaitChange(t, changes)

	require.NoError(t, os.WriteFile(path, []byte("c"), 0o600))
	require.NoError(t, os.WriteFile(path+".other", []byte("d"), 0o600))
	assertNoChange(t, changes)

	require.NoError(t, os.Remove(path))
	assertNoChange(t, changes)
	require.NoError(t, os.WriteFile(path, []byte("e"), 0o600))
	awaitChange(t, changes)
}

// Kubernetes mounts a ConfigMap as observer.yaml → ..data/observer.yaml, ..data → ..2026_1, and swaps ..data.
func TestWatchConfigMap(t *testing.T) {
	dir := t.TempDir()
	mount := func(version, text string) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, version, "observer.yaml"), []byte(text), 0o600))
		require.NoError(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	mount("..1", "a")
	path := filepath.Join(dir, "observer.yaml")
	require.NoError(t, os.Symlink(filepath.Join("..data", "observer.yaml"), path))
	changes := mustWatch(t, path)

	mount("..2", "b")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "..1")))
	awaitChange(t, changes)
	mount("..3", "c")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "..2")))
	awaitChange(t, changes)
	mount("..4", "c")
	assertNoChange(t, changes)
}

// Attaching the probes takes a while, and the file may change meanwhile.
func TestWatchNoticesWhatChangedBefore(t *testing.T) {
	path := mustWrite(t, "b")
	changes := make(chan struct{}, 10)
	require.NoError(t, Watch(t.Context(), path, []byte("a"), func() { changes <- struct{}{} }))
	awaitChange(t, changes)
	assertNoChange(t, changes)
}

func TestWatchLinkToAnotherDirectory(t *testing.T) {
	target := mustWrite(t, "a")
	path := filepath.Join(t.TempDir(), "link.yaml")
	require.NoError(t, os.Symlink(target, path))
	changes := mustWatch(t, path)
	require.NoError(t, os.WriteFile(target, []byte("b"), 0o600))
	awaitChange(t, changes)
}

func TestWatchMissingDirectory(t *testing.T) {
	assert.Error(t, Watch(context.Background(), "/nonexistent/observer.yaml", nil, nil))
}

func TestRestartKeys(t *testing.T) {
	running := Default()
	assert.Empty(t, RestartKeys(running, mustLoad(t, "{ports: [1], default_name: x, resolve_interval: 1s, log: {level: debug}, endpoints: [{name: a, addresses: ['*:1']}]}")))
	assert.Equal(t, []string{"listen", "capture", "metrics", "extra_commands", "renamed_commands", "log.format"}, RestartKeys(running,
		mustLoad(t, "{listen: ':1', capture: {ring_size: 1MiB}, metrics: {buckets: [1]}, extra_commands: [x.y], renamed_commands: {xget: get}, log: {format: json}}")))
}

func TestNames(t *testing.T) {
	config := mustLoad(t, "{endpoints: [{name: a, addresses: ['*:1']}, {name: a, addresses: ['*:2']}, {name: default, addresses: ['*:3']}]}")
	assert.Equal(t, 2, config.Names())
}

func TestSettle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "observer.yaml")
	taken := func() time.Duration {
		begin := time.Now()
		Settle(t.Context(), path)
		return time.Since(begin)
	}
	assert.Less(t, taken(), settleTime, "no file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	assert.GreaterOrEqual(t, taken(), settleTime, "left alone")

	for _, set := range []time.Duration{-time.Hour, time.Hour, 0} {
		steady := false
		for tries := 0; !steady && tries < 10; tries++ {
			var settled, written time.Duration
			settled, written, steady = settleBeside(t, path, set)
			if steady {
				assert.Greater(t, settled, written, set)
			}
		}
		assert.True(t, steady, "the writer never came to write steadily")
	}
}

// settleBeside settles while another goroutine writes to the file for 300 ms, with modification
// times in the past or the future. It returns the durations of both, and whether the writer ever
// left the file unchanged for less than settleTime.
func settleBeside(t *testing.T, path string, set time.Duration) (settled, written time.Duration, steady bool) {
	t.Helper()
	begin := time.Now()
	writing, done := make(chan struct{}), make(chan struct{})
	steady = true
	go func() {
		defer close(done)
		for i := 0; written < 300*time.Millisecond; i++ {
			at := begin.Add(set).Add(time.Duration(i) * time.Millisecond)
			assert.NoError(t, os.Chtimes(path, at, at))
			if i == 0 {
				close(writing)
			}
			time.Sleep(10 * time.Millisecond)
			before := written
			written = time.Since(begin)
			steady = steady && written-before < settleTime/2
		}
	}()
	<-writing
	Settle(t.Context(), path)
	settled = time.Since(begin)
	<-done
	return settled, written, steady
}
