package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// process is a child of the demonstration.
type process struct {
	command *exec.Cmd
	exited  chan error
}

func startProcess(name string, args ...string) (*process, error) {
	command := exec.Command(name, args...)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{command: command, exited: make(chan error, 1)}
	go func() { p.exited <- command.Wait() }()
	return p, nil
}

func (p *process) stop() error {
	_ = p.command.Process.Signal(syscall.SIGTERM) // fails only if it has ended
	select {
	case err := <-p.exited:
		if err != nil {
			return fmt.Errorf("%s: %w", p.command.Path, err)
		}
		return nil
	case <-time.After(5 * time.Second):
		return fmt.Errorf("%s does not stop", p.command.Path)
	}
}

// redis is the server that is observed.
type redis struct {
	name   string
	socket string // a Unix socket, which is not observed; "" if there is none
	stop   func() error
}

// startRedis starts an installed redis-server, or else one in this process.
func startRedis(dir string) (*redis, error) {
	path, err := exec.LookPath("redis-server")
	if errors.Is(err, exec.ErrNotFound) {
		return startEmbedded()
	}
	if err != nil {
		return nil, fmt.Errorf("find redis-server: %w", err)
	}
	socket := dir + "/redis.sock"
	server, err := startProcess(path, "--bind", "127.0.0.1", "127.0.0.2", "--port", strconv.Itoa(port),
		"--unixsocket", socket, "--save", "", "--dir", dir, "--logfile", dir+"/redis.log")
	if err != nil {
		return nil, err
	}
	for range 100 {
		if _, err := os.Stat(socket); err == nil {
			return &redis{name: path, socket: socket, stop: server.stop}, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("redis-server does not start on port %d (is the port in use?)", port), server.stop())
}

func startEmbedded() (*redis, error) {
	var servers []*miniredis.Miniredis
	for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
		server := miniredis.NewMiniRedis()
		if err := server.StartAddr(fmt.Sprintf("%s:%d", host, port)); err != nil {
			return nil, fmt.Errorf("start the embedded Redis on port %d: %w", port, err)
		}
		servers = append(servers, server)
	}
	stop := func() error {
		for _, server := range servers {
			server.Close()
		}
		return nil
	}
	return &redis{name: "an embedded one, as redis-server is not installed,", stop: stop}, nil
}

// waitReady returns when the observer reads events.
func waitReady(ctx context.Context) error {
	for range 100 {
		response, err := http.Get("http://" + listen + "/readyz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("redis-observer does not become ready")
}

// scrape reads the metrics as Prometheus would.
func scrape() ([]*dto.MetricFamily, error) {
	response, err := http.Get("http://" + listen + "/metrics")
	if err != nil {
		return nil, fmt.Errorf("scrape: %w", err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	byName, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("scrape: %w", err)
	}
	var families []*dto.MetricFamily
	for _, family := range byName {
		families = append(families, family)
	}
	return families, nil
}
