package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that runs beside.
type process struct{ *exec.Cmd }

func start(output io.Writer, name string, args ...string) (process, error) {
	command := exec.Command(name, args...)
	command.Stdout, command.Stderr = output, output
	return process{command}, command.Start()
}

func (p process) kill() {
	_ = p.Process.Kill() // it may have ended
	_ = p.Wait()
}

func startRedis(port int) (process, error) {
	p, err := start(io.Discard, "redis-server", "--port", strconv.Itoa(port), "--save", "", "--appendonly", "no")
	if err != nil {
		return p, err
	}
	return p, await(func() bool {
		conn, err := dial(port)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, fmt.Sprintf("redis-server on port %d", port))
}

func await(condition func() bool, what string) error {
	for range 500 {
		if condition() {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("wait for %s: nothing within ten seconds", what)
}

// observer is the program under test.
type observer struct {
	process
	config string
	log    string
}

// configuration is valid, and says something else for every n.
func configuration(n int) string {
	return fmt.Sprintf(`listen: 127.0.0.1:%d
capture: {ring_size: 64MiB}
endpoints:
  - {name: stable, addresses: ["*:%d"]}
  - {name: victim, addresses: ["*:%d"]}
  - {name: killed, addresses: ["*:%d"]}
  - {name: other, addresses: ["*:%d"]}
`, observerPort, stablePort, victimPort, killedPort, 24300+n%2)
}

func startObserver(program, folder string) (*observer, error) {
	o := &observer{config: filepath.Join(folder, "observer.yaml"), log: filepath.Join(folder, "log")}
	if err := os.WriteFile(o.config, []byte(configuration(0)), 0o644); err != nil {
		return nil, err
	}
	log, err := os.Create(o.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	if o.process, err = start(log, program, "--config", o.config); err != nil {
		return nil, err
	}
	err = await(func() bool { _, err := scrape(); return err == nil }, "the observer")
	if err != nil {
		text, _ := os.ReadFile(o.log)
		err = fmt.Errorf("%w; its log:\n%s", err, text)
	}
	return o, err
}

// keepReloading changes the file or sends SIGHUP; every third configuration is wrong.
func (o *observer) keepReloading(ctx context.Context) {
	for n := 1; sleep(ctx, 2*time.Second); n++ {
		text := configuration(n)
		if n%3 == 0 {
			text = "ports: [none]\n"
		}
		_ = os.WriteFile(o.config, []byte(text), 0o644)
		if n%2 == 0 {
			_ = o.Process.Signal(syscall.SIGHUP)
		}
	}
}

// keepScrapingSlowly reads a few bytes of an answer at a time, and goes away before the end.
func keepScrapingSlowly(ctx context.Context) {
	for sleep(ctx, 500*time.Millisecond) {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", observerPort), time.Second)
		if err != nil {
			continue
		}
		fmt.Fprint(conn, "GET /metrics HTTP/1.1\r\nHost: soak\r\n\r\n")
		for range 10 {
			sleep(ctx, 100*time.Millisecond)
			_, _ = conn.Read(make([]byte, 64))
		}
		_ = conn.Close()
	}
}

// sleep returns false if the time is over.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// families are the samples of a scrape, by series.
type families map[string]float64

func scrape() (families, error) {
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", observerPort))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	all := families{}
	for line := range strings.Lines(string(body)) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			all[line[:i]], _ = strconv.ParseFloat(strings.TrimSpace(line[i+1:]), 64)
		}
	}
	return all, nil
}
