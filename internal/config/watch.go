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

// settleTime is how long a file must be left alone before it is read: editors and kubelet change it in several steps.
const settleTime = 200 * time.Millisecond

// Watch calls changed whenever the file at path has other contents than before, until ctx ends. Before it had the known ones: a change that
// came after they were read, and before this call, is noticed too.
// It watches directories, not the file: editors replace files by renaming, and Kubernetes swaps the symbolic link of a directory above.
// An error means that nothing is watched, and changed will not be called.
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

// Settle waits until the file at path has been left alone for a moment, a second at most: what is read while it is being written may be
// valid, and half of it. An empty path is no file. It compares what the file is now with what it was: its time says nothing beside a clock
// that may have been set meanwhile.
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
	target   string // the directory that holds the file which path leads to
	contents []byte
	failure  string // why it could not be read; contents are then the last that could be
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
		case _, open := <-w.watcher.Errors: // an overflow: something may have changed
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

// differs says whether the contents changed, or cannot be read otherwise than before. A file that is missing just now, between two steps of
// a replacement, has not changed.
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

// follow watches the directory to which symbolic links lead now. An error leaves the directory of the path itself, where links are swapped.
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
		// The old directory may be gone, and its watch with it.
		_ = w.watcher.Remove(w.target)
	}
	if w.watcher.Add(target) == nil {
		w.target = target
	}
}
