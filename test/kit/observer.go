package kit

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Observer is a running redis-observer, whose endpoint is on a port of 127.0.0.1.
type Observer struct {
	port    int
	folder  string // with the configuration
	process *process
	cgroup  *memoryCgroup // nil without a limit
	client  http.Client
}

// StartObserver runs the program with a configuration (without listen) and waits until it is ready. If limit is not 0 the process lives in a
// memory cgroup of that many bytes, and is killed by the kernel if it needs more.
func StartObserver(program string, port int, configuration string, limit int64) (*Observer, error) {
	folder, err := os.MkdirTemp("", "kit-observer")
	if err != nil {
		return nil, err
	}
	o := &Observer{port: port, folder: folder, client: http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}}
	if err := o.start(program, configuration, limit); err != nil {
		return nil, errors.Join(err, o.clean())
	}
	return o, nil
}

func (o *Observer) start(program, configuration string, limit int64) error {
	if err := o.Configure(configuration); err != nil {
		return err
	}
	command := exec.Command(program, "--config", o.config())
	if limit > 0 {
		var err error
		if o.cgroup, err = newMemoryCgroup(limit); err != nil {
			return err
		}
		command = o.cgroup.command(program, "--config", o.config())
	}
	var err error
	o.process, err = start(command, func() bool {
		response, err := o.client.Get(o.url("/readyz"))
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
	return err
}

func (o *Observer) config() string { return filepath.Join(o.folder, "observer.yaml") }

func (o *Observer) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", o.port, path) }

// Configure replaces the configuration file as a whole; the observer reads it by itself, or at a SIGHUP.
func (o *Observer) Configure(configuration string) error {
	next := o.config() + ".next"
	text := fmt.Sprintf("listen: \"127.0.0.1:%d\"\n%s", o.port, configuration)
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, o.config())
}

// Signal sends the process a signal.
func (o *Observer) Signal(signal syscall.Signal) error {
	return o.process.command.Process.Signal(signal)
}

// Running reports whether the process lives.
func (o *Observer) Running() bool { return o.process.running() }

// Log returns what the process has printed.
func (o *Observer) Log() string { return o.process.output.String() }

// PeakMemory returns the most that the process's cgroup has held, in bytes; 0 without a limit.
func (o *Observer) PeakMemory() int64 {
	if o.cgroup == nil {
		return 0
	}
	return o.cgroup.peak()
}

// Scrape reads /metrics as Prometheus would.
func (o *Observer) Scrape() (Samples, error) {
	response, err := o.client.Get(o.url("/metrics"))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("scrape: %s", response.Status)
	}
	return ReadSamples(response.Body)
}

// Await scrapes until something holds or the time is over, and returns the last scrape.
func (o *Observer) Await(limit time.Duration, holds func(Samples) bool) (Samples, error) {
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		s, err := o.Scrape()
		if err != nil || holds(s) || time.Now().After(deadline) {
			return s, err
		}
	}
}

// Stop ends the process in good order. It fails if that takes too long or the exit status is not 0.
func (o *Observer) Stop() error {
	var err error
	if o.Running() {
		err = o.process.stop(syscall.SIGTERM)
	}
	if state := o.process.command.ProcessState; err == nil && !state.Success() {
		err = fmt.Errorf("the observer ended: %s", state)
	}
	return errors.Join(err, o.clean())
}

func (o *Observer) clean() error {
	err := os.RemoveAll(o.folder)
	if o.cgroup != nil {
		err = errors.Join(err, o.cgroup.remove())
	}
	return err
}
