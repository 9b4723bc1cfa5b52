package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// native is the running kernel, as a row of the matrix.
const native = "native"

const (
	attempts = 5               // emulation is not perfect
	bootTime = 2 * time.Minute // normally some seconds
	testTime = time.Hour       // normally four to fifteen minutes, on a busy machine a multiple
)

// runGuest boots a kernel and runs the test in it, again if the guest crashed: a test that failed is a result and stands.
func runGuest(ctx context.Context, r row, cache string, log io.Writer) (result, error) {
	var last result
	for boot := 1; boot <= attempts && ctx.Err() == nil; boot++ {
		fmt.Fprintf(log, "\n=== boot %d\n", boot)
		last = bootGuest(ctx, r, cache, log)
		last.boots = boot
		switch last.status {
		case "0":
			return last, nil
		case "":
			if !last.failed() {
				continue
			}
			last.status = "unknown: the guest ended behind a failure"
		}
		return last, fmt.Errorf("the test failed with status %s (see %s)", last.status, filepath.Join(cache, r.kernel+".log"))
	}
	if ctx.Err() != nil {
		return last, ctx.Err()
	}
	return last, fmt.Errorf("the guest crashed or hung %d times (see %s)", attempts, filepath.Join(cache, r.kernel+".log"))
}

// bootGuest boots once. QEMU ends by itself when the guest switches itself off or restarts.
func bootGuest(ctx context.Context, r row, cache string, log io.Writer) result {
	ctx, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	hung := time.AfterFunc(bootTime, cancel)
	defer hung.Stop()
	files, err := rootFiles(cache, r)
	if err != nil {
		fmt.Fprintln(log, err)
		return result{kernel: r.kernel}
	}
	command := exec.CommandContext(ctx, "nice", append(append([]string{"-n", "10", "qemu-system-" + r.machine.architecture}, r.machine.options...),
		"-smp", "2", "-m", "1024", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
		"-kernel", filepath.Join(cache, r.kernel, "vmlinuz"), "-initrd", files,
		"-append", "console="+r.machine.console+" panic=-1 quiet required="+r.required+r.unix)...)
	command.Stderr = log
	console, err := command.StdoutPipe()
	if err != nil {
		fmt.Fprintln(log, err)
		return result{kernel: r.kernel}
	}
	if err := command.Start(); err != nil {
		fmt.Fprintln(log, err)
		return result{kernel: r.kernel}
	}
	seen := readConsole(console, log, r.kernel, func() { hung.Stop() })
	if err := command.Wait(); err != nil {
		fmt.Fprintln(log, "qemu:", err)
	}
	return seen
}

// rootFiles returns the path of the root file system of a kernel: that of its architecture, and behind it the modules of this one.
func rootFiles(cache string, r row) (string, error) {
	common, err := os.ReadFile(filepath.Join(cache, "initramfs-"+r.machine.architecture))
	if err != nil {
		return "", fmt.Errorf("read root file system: %w", err)
	}
	modules, err := os.ReadFile(filepath.Join(cache, r.kernel, "modules.cpio"))
	if err != nil {
		return "", fmt.Errorf("read modules: %w", err)
	}
	path := filepath.Join(cache, r.kernel, "initramfs")
	const alignment = 4 // of archives that follow each other
	common = append(common, make([]byte, -len(common)&(alignment-1))...)
	if err := os.WriteFile(path, append(common, modules...), 0o600); err != nil {
		return "", fmt.Errorf("write root file system: %w", err)
	}
	return path, nil
}

// runHere runs the test on the running kernel, where nothing has to work but auto.
func runHere(ctx context.Context, cache string, log io.Writer) (result, error) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return result{kernel: native}, err
	}
	binary, err := filepath.Abs(filepath.Join(cache, "redis-observer"))
	if err != nil {
		return result{kernel: native}, err
	}
	narrow, err := filepath.Abs(filepath.Join(cache, "narrow.test"))
	if err != nil {
		return result{kernel: native}, err
	}
	ctx, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(cache, "conformance.test"), "-test.v", "-test.timeout", "10m")
	command.Env = append(os.Environ(), "CONFORMANCE_OBSERVER="+binary, "CONFORMANCE_NARROW="+narrow)
	command.Stderr = log
	console, err := command.StdoutPipe()
	if err != nil {
		return result{kernel: native}, err
	}
	if err := command.Start(); err != nil {
		return result{kernel: native}, err
	}
	seen := readConsole(console, log, strings.TrimSpace(string(release)), func() {})
	if err := command.Wait(); err != nil {
		return seen, fmt.Errorf("the test failed: %w (see %s)", err, filepath.Join(cache, native+".log"))
	}
	for _, outcome := range seen.outcomes {
		if outcome == "yes" {
			return seen, nil
		}
	}
	return seen, errors.New("no backend works here")
}
