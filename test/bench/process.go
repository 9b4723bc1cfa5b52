package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// diesWithBench makes a child end if this program is killed.
func diesWithBench() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }

// cpu returns the CPU time that the threads of a process and of its children used so far: a child of tshark captures.
// Unlike /proc/PID/stat it counts nanoseconds.
func cpu(pid int) (time.Duration, error) {
	var files []string
	for _, p := range append(children(pid), pid) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p))
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		files = append(files, threads...)
	}
	if len(files) == 0 {
		return 0, fmt.Errorf("read CPU time: process %d has ended", pid)
	}
	var sum time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // a thread that just ended
		}
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time of %s: %w", file, err)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// children returns the processes that the first thread of a process started.
func children(pid int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil // it has ended, or the kernel does not list them
	}
	var pids []int
	for word := range strings.FieldsSeq(string(text)) {
		if child, err := strconv.Atoi(word); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// settle waits until a process has read all that is left: until it uses hardly any CPU time.
func settle(pid int) error {
	const (
		step  = 50 * time.Millisecond
		quiet = step / 50
	)
	before, err := cpu(pid)
	for range 200 {
		if err != nil {
			return err
		}
		time.Sleep(step)
		var now time.Duration
		if now, err = cpu(pid); now-before < quiet {
			return err
		}
		before = now
	}
	return fmt.Errorf("process %d does not come to rest", pid)
}

// residentMiB returns the resident memory of a process.
func residentMiB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory use: %w", err)
	}
	kib, err := field(string(text), "VmRSS:")
	return float64(kib) / 1024, err
}

// field returns the number that stands after a word at the start of a line.
func field(text, word string) (uint64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, word); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				return strconv.ParseUint(fields[0], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("no %s", word)
}
