package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// encrypted is a server with TLS, and processes that each connect to it once.
type encrypted struct {
	server      *kit.Redis
	certificate kit.Certificate
	folder      string
	library     string      // that of TLS, which redis-cli has
	before      kit.Samples // when the load began

	processes, strangers, failures atomic.Int64
}

func startEncrypted() (_ *encrypted, err error) {
	e := new(encrypted)
	if e.folder, err = os.MkdirTemp("", "soak-tls-"); err != nil {
		return nil, err
	}
	if e.certificate, err = kit.NewCertificate(e.folder); err == nil {
		e.server, err = kit.StartRedis(plainPort, append(e.certificate.ServerOptions(encryptedPort), "--bind", "127.0.0.1", "127.0.0.2")...)
	}
	if err == nil {
		e.library, err = libraryOf("redis-cli")
	}
	if err != nil {
		return nil, errors.Join(err, e.stop())
	}
	return e, nil
}

func (e *encrypted) stop() (err error) {
	if e.server != nil {
		err = e.server.Stop()
	}
	return errors.Join(err, os.RemoveAll(e.folder))
}

// libraryOf returns the TLS library of a program.
func libraryOf(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", err
	}
	output, err := exec.Command("ldd", path).Output()
	if err != nil {
		return "", fmt.Errorf("ldd %s: %w", path, err)
	}
	for _, field := range strings.Fields(string(output)) {
		if strings.HasPrefix(field, "/") && strings.Contains(field, "libssl.so") {
			return field, nil
		}
	}
	return "", fmt.Errorf("%s has no TLS library", path)
}

// run has a process of its own send commands, and returns when it has ended.
func (e *encrypted) run(host string, environment, commands []string, arguments ...string) error {
	c := exec.Command("redis-cli", append([]string{"-h", host, "-p", strconv.Itoa(encryptedPort), "--tls", "--cacert", e.certificate.File}, arguments...)...)
	c.Env = append(os.Environ(), environment...)
	c.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	output, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("redis-cli: %w: %s", err, output)
	}
	return nil
}

// attach waits until the observer reads new connections from their first byte. The server has the library too, so it stays attached.
func (e *encrypted) attach(o *kit.Observer) error {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		before, err := o.Scrape()
		if err != nil {
			return err
		}
		if err := e.run("127.0.0.1", nil, []string{"PING"}); err != nil {
			return err
		}
		time.Sleep(300 * time.Millisecond)
		if e.before, err = o.Scrape(); err != nil {
			return err
		}
		if count(e.before, "encrypted", "ping") == count(before, "encrypted", "ping")+1 {
			return e.server.ResetStats()
		}
	}
	return errors.New("the observer did not attach to the TLS library")
}

// keepStarting has one process after the other send a pipeline by TLS.
func (e *encrypted) keepStarting(ctx context.Context) {
	for sleep(ctx, 20*time.Millisecond) {
		if err := e.run("127.0.0.1", nil, pipeline()); err != nil {
			e.failed(err)
		}
		e.processes.Add(1)
	}
}

// strangerPeriod is the time between two strangers, of which each stays for about a second.
const strangerPeriod = 5 * time.Second

// keepBringing starts a process with a library of its own every few seconds: a file that no process had before, and none has after.
func (e *encrypted) keepBringing(ctx context.Context) {
	for n := 0; sleep(ctx, strangerPeriod); n++ {
		if err := e.bring(n); err != nil {
			e.failed(err)
		}
		e.strangers.Add(1)
	}
}

func (e *encrypted) failed(err error) {
	if e.failures.Add(1) == 1 {
		fmt.Fprintln(os.Stderr, "soak:", err)
	}
}

func (e *encrypted) bring(n int) error {
	folder := filepath.Join(e.folder, strconv.Itoa(n))
	text, err := os.ReadFile(e.library)
	if err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := os.WriteFile(filepath.Join(folder, filepath.Base(e.library)), text, 0o600); err != nil {
		return err
	}
	return e.run("127.0.0.2", []string{"LD_LIBRARY_PATH=" + folder}, nil, "-r", "10", "-i", "0.1", "PING")
}

// check compares what was counted since the load began with what the server counted. Its strangers' connections begin before their
// libraries are attached, so of those it is only known that none counts twice.
func (e *encrypted) check(now kit.Samples) error {
	calls, err := e.server.Calls()
	if err != nil {
		return err
	}
	fmt.Printf("encrypted: %d processes, %d with a library of their own; libraries attached: %v\n",
		e.processes.Load(), e.strangers.Load(), now.Sum("redis_observer_tls_libraries"))
	var faults []error
	if n := e.failures.Load(); n > 0 || e.processes.Load() == 0 || e.strangers.Load() == 0 {
		faults = append(faults, fmt.Errorf("of the processes with TLS %d failed", n))
	}
	pings := count(now, "strange", "ping")
	if all := float64(10 * e.strangers.Load()); pings > all || pings == 0 {
		faults = append(faults, fmt.Errorf("strangers sent %v PING, and %v were counted", all, pings))
	}
	for label, c := range calls {
		seen := count(now, "encrypted", label) - count(e.before, "encrypted", label)
		if label == "ping" {
			c.Calls -= float64(10 * e.strangers.Load())
		}
		fmt.Printf("encrypted %-8s server %.0f; observer %.0f\n", label, c.Calls, seen)
		if seen != c.Calls {
			faults = append(faults, fmt.Errorf("%s by TLS: the server counts %v, the observer %v", label, c.Calls, seen))
		}
	}
	return errors.Join(faults...)
}

func count(s kit.Samples, name, command string) float64 {
	return s.Sum("redis_commands_total", "name="+name, "command="+command)
}
