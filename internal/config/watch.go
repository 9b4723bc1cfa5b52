package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/redis-observer/redis-observer/internal/plainfile"
)

// settleTime is how long a file must stay unchanged before it is read: editors and the kubelet
// change files in several steps.
const settleTime = 200 * time.Millisecond

// Watch calls changed whenever the contents of the file at path change, until ctx ends. known are
// the contents that the caller has read: changes between that read and this call are reported too.
// Watch observes directories, because editors replace the file by renaming, and Kubernetes swaps a
// symbolic link of a parent directory. On an error nothing is watched, and changed is never called.
func Watch(ctx context.Context, path string, known []byte, changed func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w (raise fs.inotify.max_user_instances, or reload with SIGHUP)", path, err)
	}
	w := &fileWatch{path: path, contents: known, watcher: watcher}
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		watcher.Close()
		return fmt.Errorf("watch %s: %w (reload with SIGHUP)", path, err)
	}
	w.follow()
	go w.run(ctx, changed)
	return nil
}

// Settle waits until the file at path has not changed for a moment, at most a second: a file that
// is read while it is being written may be valid but incomplete. It compares the file with its
// previous state and not with the clock, which may be set meanwhile. An empty path is no file.
func Settle(ctx context.Context, path string) {
	before, err := os.Stat(path)
	for range time.Second / settleTime {
		if err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settleTime):
		}
		var now fs.FileInfo
		if now, err = os.Stat(path); err == nil && os.SameFile(before, now) && now.Size() == before.Size() && now.ModTime().Equal(before.ModTime()) {
			return
		}
		before = now
	}
}

type fileWatch struct {
	path     string
	target   string // directory of the file that path resolves to
	contents []byte
	failure  string // error of the last read, "" if it succeeded; contents are those of the last successful read
	watcher  *fsnotify.Watcher
}

func (w *fileWatch) run(ctx context.Context, changed func()) {
	defer w.watcher.Close()
	settled := time.NewTimer(settleTime)
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-w.watcher.Events:
			if !open {
				return
			}
			settled.Reset(settleTime)
		case _, open := <-w.watcher.Errors: // queue overflow: the file may have changed
			if !open {
				return
			}
			settled.Reset(settleTime)
		case <-settled.C:
			if w.differs() {
				changed()
			}
		}
	}
}

// differs reports whether the contents or the read error changed. A missing file has not changed:
// it may be in the middle of a replacement.
func (w *fileWatch) differs() bool {
	w.follow()
	contents, err := plainfile.Read(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	failure := ""
	if err != nil {
		contents, failure = w.contents, err.Error()
	}
	differs := failure != w.failure || !bytes.Equal(contents, w.contents)
	w.contents, w.failure = contents, failure
	return differs
}

// follow watches the directory that symbolic links resolve to now. On an error only the directory
// of the path itself is watched, where links are swapped.
func (w *fileWatch) follow() {
	file, err := filepath.EvalSymlinks(w.path)
	if err != nil {
		return
	}
	target := filepath.Dir(file)
	if target == w.target || target == filepath.Dir(w.path) {
		return
	}
	if w.target != "" {
		// Fails if the old directory is gone, and its watch with it.
		_ = w.watcher.Remove(w.target)
	}
	if w.watcher.Add(target) == nil {
		w.target = target
	}
}
