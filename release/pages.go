package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
)

// completions are the files of each shell's completions.
var completions = map[string]string{
	"bash": "redis-observer.bash", "zsh": "_redis-observer", "fish": "redis-observer.fish", "powershell": "redis-observer.ps1",
}

// writePages makes a program for this machine write its manual pages, which need the tag man, and completions.
func (r *release) writePages() error {
	writer := filepath.Join(r.work, "redis-observer-man")
	host := platform{runtime.GOOS, runtime.GOARCH}
	if err := r.goRun(host, "build", "-trimpath", "-buildvcs=false", "-pgo=off", "-tags", "man", "-ldflags", "-X main.version="+r.version,
		"-o", writer, "./cmd/redis-observer"); err != nil {
		return err
	}
	run := func(arguments ...string) ([]byte, error) {
		command := exec.Command(writer, arguments...)
		command.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(r.time.Unix(), 10))
		command.Stderr = os.Stderr
		output, err := command.Output()
		if err != nil {
			return nil, fmt.Errorf("redis-observer %s: %w", arguments[0], err)
		}
		return output, nil
	}
	if _, err := run("man", filepath.Join(r.pages(), "man")); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(r.pages(), "completions"), 0o755); err != nil {
		return err
	}
	for shell, name := range completions {
		text, err := run("completion", shell)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(r.pages(), "completions", name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pages returns the folder with man/*.8 and completions/*.
func (r *release) pages() string { return filepath.Join(r.work, "pages") }
