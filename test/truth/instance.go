package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// instance is a running server.
type instance struct {
	server  *server
	port    int
	folder  string
	process *exec.Cmd
	output  bytes.Buffer
	exited  chan struct{}
	admin   *admin
}

// startupTime is what a server may take until it answers.
const startupTime = 15 * time.Second

// startServer starts a server in a folder of its own, and zeroes its statistics.
func startServer(ctx context.Context, s *server, cache, folder string, port int, options ...string) (i *instance, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	i = &instance{server: s, port: port, folder: folder, exited: make(chan struct{})}
	socket := filepath.Join(folder, "s")
	args := []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "::1", "--unixsocket", socket, "--dir", folder, "--save", "", "--appendonly", "no",
		"--repl-diskless-sync-delay", "0"}
	if s.since(7.0, 0) {
		args = append(args, "--enable-debug-command", "yes")
	}
	if s.speaksMultipath() {
		args = append(args, "--mptcp", "yes") // what plain clients connect to stays TCP
	}
	args = append(append(args, s.options...), options...)
	i.process = s.program(cache, "server", args...)
	i.process.Dir, i.process.Stdout, i.process.Stderr = folder, &i.output, &i.output
	i.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := i.process.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	go func() {
		_ = i.process.Wait() // the way it ended shows in its output
		close(i.exited)
	}()
	if err := i.connect(ctx, socket); err != nil {
		i.stop()
		return nil, fmt.Errorf("start %s: %w: %s", s.name, err, &i.output)
	}
	return i, nil
}

// connect waits until the server answers.
func (i *instance) connect(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, startupTime)
	defer cancel()
	for {
		if w, err := dial("unix", socket); err == nil {
			i.admin = &admin{wire: w}
			return i.admin.restart()
		}
		select {
		case <-i.exited:
			return errors.New("the server ended")
		case <-ctx.Done():
			return errors.New("the server does not answer")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stop ends the server and waits for it.
func (i *instance) stop() {
	if i.admin != nil {
		_ = i.admin.wire.Close() // nothing is read of it any more
	}
	_ = i.process.Process.Kill() // it may have ended by itself
	<-i.exited
}

func (i *instance) address() string { return fmt.Sprintf("127.0.0.1:%d", i.port) }

// admin is a connection over the unix socket, which no observer sees. It keeps account of its own commands, to leave them out.
type admin struct {
	wire  *wire
	asked ledger
}

// do runs a command that is written with spaces between its fields.
func (a *admin) do(line string) (reply, error) {
	replies, err := a.wire.ask(line)
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", line, err)
	}
	failures := 0
	if replies[0].failed() {
		failures = 1
	}
	a.asked.add(adminLabel(line), 1, failures)
	return replies[0], nil
}

// adminLabel returns the label of a command, of which the containers come first.
func adminLabel(line string) string {
	fields := strings.Fields(strings.ToLower(line))
	for _, container := range containers {
		if fields[0] == container && len(fields) > 1 {
			return labels.Replace(fields[0] + "|" + fields[1])
		}
	}
	return fields[0]
}

// restart zeroes the statistics.
func (a *admin) restart() error {
	a.asked = ledger{}
	r, err := a.do("CONFIG RESETSTAT")
	if err == nil && r.failed() {
		err = fmt.Errorf("CONFIG RESETSTAT: %s", r.text)
	}
	return err
}

// read returns what the server counted since, without the commands of this connection. Errors beyond those of known commands
// stand under other: they are the answers to unknown ones.
func (a *admin) read() (ledger, error) {
	errorReplies, err := a.errorReplies()
	if err != nil {
		return nil, err
	}
	before := ledger{}
	for label, c := range a.asked {
		before[label] = c
	}
	r, err := a.do("INFO commandstats") // counted after its own output
	if err != nil {
		return nil, err
	}
	l, err := parseCommandStats(r.text)
	if err != nil {
		return nil, err
	}
	known := l.sum().errors
	for label, c := range before {
		if _, counted := l[label]; !counted {
			label, _, _ = strings.Cut(label, "_") // Redis 6.0 knows containers only
		}
		l.add(label, -c.total, -c.errors)
		if l[label] == (count{}) {
			delete(l, label)
		}
	}
	l.add(other, errorReplies-known, errorReplies-known)
	return l, nil
}

// errorReplies returns how many errors the server sent, 0 where it does not tell.
func (a *admin) errorReplies() (int, error) {
	r, err := a.do("INFO stats")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(r.text) {
		if text, found := strings.CutPrefix(strings.TrimSpace(line), "total_error_replies:"); found {
			return strconv.Atoi(text)
		}
	}
	return 0, nil
}
