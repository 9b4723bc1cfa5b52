package kit

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// startTime is what starting a program may take on a busy machine.
const startTime = 30 * time.Second

// process is a program that runs beside, and what it prints.
type process struct {
	command *exec.Cmd
	output  Output
	exited  chan struct{}
}

// start runs a program and waits until it is ready.
func start(command *exec.Cmd, ready func() bool) (*process, error) {
	p := &process{command: command, exited: make(chan struct{})}
	command.Stdout, command.Stderr = &p.output, &p.output
	if err := command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = command.Wait() // its ProcessState says how it ended
		close(p.exited)
	}()
	for deadline := time.Now().Add(startTime); !ready(); time.Sleep(20 * time.Millisecond) {
		if !p.running() || time.Now().After(deadline) {
			_ = p.stop(syscall.SIGKILL)
			return nil, fmt.Errorf("start %s: it is not ready; it printed:\n%s", command.Path, &p.output)
		}
	}
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// stop ends the process with a signal, and with SIGKILL if it takes too long.
func (p *process) stop(signal syscall.Signal) error {
	_ = p.command.Process.Signal(signal) // fails only if it has ended
	select {
	case <-p.exited:
		return nil
	case <-time.After(startTime):
		_ = p.command.Process.Kill()
		<-p.exited
		return errors.New(p.command.Path + " did not stop")
	}
}
