package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// peer is another program that shows the traffic.
type peer struct {
	command string
	args    []string
	debian  string // the package
	label   string
}

// attachTime is what a peer gets to begin: none of them says when it has.
const attachTime = 2 * time.Second

var peers = []peer{
	{label: "tcpdump", command: "tcpdump", debian: "tcpdump",
		args: []string{"-i", "lo", "-s", "0", "-Z", "root", "-w", "/dev/null", "tcp port " + strconv.Itoa(redisPort)}},
	{label: "tshark", command: "tshark", debian: "tshark",
		args: []string{"-i", "lo", "-l", "-n", "-d", "tcp.port==" + strconv.Itoa(redisPort) + ",resp", "-Y", "resp", "tcp port " + strconv.Itoa(redisPort)}},
	{label: "MONITOR", command: "redis-cli", debian: "redis-tools",
		args: []string{"-h", "127.0.0.1", "-p", strconv.Itoa(redisPort), "MONITOR"}},
}

// installed returns those of some peers that are installed, and says how the others could be.
func installed(peers []peer) []watcher {
	var found []watcher
	for _, p := range peers {
		if _, err := exec.LookPath(p.command); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s is left out: apt-get install %s\n", p.label, p.debian)
			continue
		}
		found = append(found, p)
	}
	return found
}

func (p peer) name() string { return p.label }

func (p peer) start(ctx context.Context) (processes, error) {
	nowhere, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer nowhere.Close() // the process has its own
	command := exec.Command(p.command, p.args...)
	command.Stdout, command.SysProcAttr = nowhere, diesWithBench()
	started, err := kit.Start(command, nil)
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
	case <-time.After(attachTime):
	}
	running := runningPeer{started}
	if err := settle(running.PID()); err != nil {
		return nil, errors.Join(err, running.Stop())
	}
	return processes{running}, nil
}

// runningPeer is a peer at work.
type runningPeer struct{ *kit.Process }

// Stop ends it. That a signal ended it is no error.
func (p runningPeer) Stop() error {
	err := p.Process.Stop(syscall.SIGTERM)
	if state := p.Command.ProcessState; err == nil && state.Exited() && !state.Success() {
		err = fmt.Errorf("%s: %s: %s", p.Command.Path, state, strings.TrimSpace(p.Output.String()))
	}
	return err
}

// account leaves open what a peer saw: it writes where nobody reads, which is all that it is asked for here.
func (peer) account(*outcome, processes, ledger) error { return nil }
