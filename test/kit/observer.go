package kit

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// ObserverOptions say how an observer is started.
type ObserverOptions struct {
	Program       string
	Port          int               // of the endpoint, on 127.0.0.1
	Configuration string            // of the file, without listen
	MemoryLimit   int64             // bytes of a memory cgroup, in which the kernel kills what needs more; 0 for none
	Prepare       func(c *exec.Cmd) // changes the command before it starts; may be nil
}

// Observer is a redis-observer with a configuration file of its own.
type Observer struct {
	*Process                 // the last one that was started
	Options  ObserverOptions // of the next start
	folder   string          // with the configuration
	cgroup   *memoryCgroup
	client   http.Client
}

// BuildObserver compiles the observer as `make build` does, but for its version: the cache has it then.
func BuildObserver(path string) error {
	command := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "github.com/redis-observer/redis-observer/cmd/redis-observer")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build the observer: %w\n%s", err, output)
	}
	return nil
}

// NewObserver writes the configuration file and starts nothing. Stop removes the file.
func NewObserver(options ObserverOptions) (*Observer, error) {
	folder, err := os.MkdirTemp("", "kit-observer")
	if err != nil {
		return nil, err
	}
	o := &Observer{Options: options, folder: folder}
	o.client = http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	if err := o.Configure(options.Configuration); err != nil {
		return nil, errors.Join(err, o.Clean())
	}
	return o, nil
}

// StartObserver starts an observer and waits until it is ready.
func StartObserver(options ObserverOptions) (*Observer, error) {
	o, err := NewObserver(options)
	if err != nil {
		return nil, err
	}
	if err := o.Start(); err != nil {
		return nil, errors.Join(err, o.Clean())
	}
	return o, nil
}

// Start starts the process, again after the last one has ended, and waits until it is ready.
func (o *Observer) Start() error { return o.launch(o.Ready) }

// Spawn starts the process and waits for nothing.
func (o *Observer) Spawn() error { return o.launch(nil) }

// Environment is that of this process without the variables of the tests. The observer takes all
// variables with its prefix for keys of the configuration.
func Environment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "REDIS_OBSERVER_TEST_") })
}

func (o *Observer) launch(ready func() bool) error {
	command := exec.Command(o.Options.Program, "--config", o.ConfigFile())
	if o.Options.MemoryLimit > 0 {
		var err error
		if o.cgroup, err = newMemoryCgroup(o.Options.MemoryLimit); err != nil {
			return err
		}
		command = o.cgroup.command(o.Options.Program, "--config", o.ConfigFile())
	}
	command.Env = Environment()
	if o.Options.Prepare != nil {
		o.Options.Prepare(command)
	}
	process, err := Start(command, ready)
	if err != nil {
		return err
	}
	o.Process = process
	return nil
}

// ConfigFile returns the path of the configuration file.
func (o *Observer) ConfigFile() string { return filepath.Join(o.folder, "observer.yaml") }

// URL returns the address of a page of the endpoint.
func (o *Observer) URL(path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", o.Options.Port, path)
}

// Configure replaces the configuration file as a whole; the observer reads it by itself, or at a SIGHUP.
func (o *Observer) Configure(configuration string) error {
	next := o.ConfigFile() + ".next"
	text := fmt.Sprintf("listen: \"127.0.0.1:%d\"\n%s", o.Options.Port, configuration)
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, o.ConfigFile())
}

// Ready asks /readyz once.
func (o *Observer) Ready() bool {
	response, err := o.client.Get(o.URL("/readyz"))
	return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// Log returns what the process has printed.
func (o *Observer) Log() string { return o.Output.String() }

// PeakMemory returns the most that the process's cgroup has held, in bytes; 0 without a limit.
func (o *Observer) PeakMemory() int64 {
	if o.cgroup == nil {
		return 0
	}
	return o.cgroup.peak()
}

// Scrape reads /metrics as Prometheus would.
func (o *Observer) Scrape() (Samples, error) {
	families, err := o.Families()
	return flatten(families), err
}

// Families reads /metrics and returns whole families, by name.
func (o *Observer) Families() (map[string]*dto.MetricFamily, error) {
	response, err := o.client.Get(o.URL("/metrics"))
	if err != nil {
		return nil, fmt.Errorf("scrape: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("scrape: %s", response.Status)
	}
	return readFamilies(response.Body)
}

// Await scrapes until something holds or the time is over, and returns the last scrape.
func (o *Observer) Await(limit time.Duration, holds func(Samples) bool) (last Samples, err error) {
	Wait(limit, func() bool {
		last, err = o.Scrape()
		return err != nil || holds(last)
	})
	return last, err
}

// Stop ends the process in good order if it runs. It fails if that takes too long or the exit status is not 0.
func (o *Observer) Stop() error {
	var err error
	if o.Running() {
		err = o.Process.Stop(syscall.SIGTERM)
	}
	if state := o.Command.ProcessState; err == nil && !state.Success() {
		err = fmt.Errorf("the observer ended: %s; it printed:\n%s", state, o.Output)
	}
	return errors.Join(err, o.Clean())
}

// Clean removes the files and the cgroup of an observer that has ended. Stop does it too.
func (o *Observer) Clean() error {
	err := os.RemoveAll(o.folder)
	if o.cgroup != nil {
		err = errors.Join(err, o.cgroup.remove())
	}
	return err
}
