package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// attach starts an observer in a process of its own, which drops its privileges as always, and
// returns its address when it observes. If the observer ends by itself, it calls failed.
func attach(cmd *cobra.Command, failed context.CancelCauseFunc) (address string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, fmt.Errorf("find this program: %w", err)
	}
	arguments := []string{"--" + untilEOF, "--listen", "127.0.0.1:0", "--web-config", "", "--log-format", "json", "--log-level", "info"}
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		switch flag.Name {
		case "config", "backend":
			arguments = append(arguments, "--"+flag.Name, flag.Value.String())
		case "ports":
			arguments = append(arguments, "--ports", strings.Trim(flag.Value.String(), "[]"))
		}
	})
	observer := exec.Command(self, arguments...)
	observer.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it gets no signals of the terminal
	// It ends when this process does, however that happens. A parent-death signal would not do: the
	// kernel clears it when the observer changes its user.
	if _, err := observer.StdinPipe(); err != nil {
		return "", nil, fmt.Errorf("start observer: %w", err)
	}
	log, err := observer.StderrPipe()
	if err != nil {
		return "", nil, fmt.Errorf("start observer: %w", err)
	}
	if err := observer.Start(); err != nil {
		return "", nil, fmt.Errorf("start observer: %w", err)
	}
	started, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		fault := follow(log, started)
		_ = observer.Wait() // the log has the reason
		ended <- errors.New(strings.TrimPrefix(fault, "redis-observer: "))
	}()
	stop = func() {
		_ = observer.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
	}
	select {
	case address = <-started:
		go func() {
			err := <-ended
			ended <- err // for stop
			failed(fmt.Errorf("the observer ended: %w", err))
		}()
		return address, stop, nil
	case err := <-ended:
		return "", nil, fmt.Errorf("observe: %w", err)
	case <-cmd.Context().Done():
		stop()
		return "", nil, cmd.Context().Err()
	}
}

// follow reads the log of an observer to its end. It sends the address, and returns the lines that
// are no entries of the log: the error that ended the observer.
func follow(log io.Reader, started chan<- string) string {
	var fault []string
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var entry struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &entry) != nil {
			fault = append(fault, lines.Text())
		} else if entry.Msg == "redis-observer started" {
			started <- entry.Address
		}
	}
	return strings.Join(fault, "\n")
}
