package kit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// StartTime is how long a program may take to start, or to end, on a busy machine and on an emulated one.
const StartTime = 90 * time.Second

// Process is a program that runs beside its caller.
type Process struct {
	Command *exec.Cmd
	Output  *Output // what it printed where the command names no other place for that
	exited  chan struct{}
}

// Start runs a program. It returns when ready returns true, at once if ready is nil. If the program ends first or StartTime passes,
// the error holds what it printed.
func Start(command *exec.Cmd, ready func() bool) (*Process, error) {
	p := &Process{Command: command, Output: &Output{}, exited: make(chan struct{})}
	if command.Stdout == nil {
		command.Stdout = p.Output
	}
	if command.Stderr == nil {
		command.Stderr = p.Output
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command.Path, err)
	}
	go func() {
		_ = command.Wait() // its ProcessState says how it ended
		close(p.exited)
	}()
	if ready == nil {
		return p, nil
	}
	if !Wait(StartTime, func() bool { return !p.Running() || ready() }) || !p.Running() {
		_ = p.Stop(syscall.SIGKILL)
		return nil, fmt.Errorf("start %s: not ready (%s); it printed:\n%s", command.Path, command.ProcessState, p.Output)
	}
	return p, nil
}

// PID returns the process id.
func (p *Process) PID() int { return p.Command.Process.Pid }

// Exited returns a channel that is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Signal sends the process a signal. It is no error if the process has ended.
func (p *Process) Signal(signal syscall.Signal) error {
	if err := p.Command.Process.Signal(signal); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Stop ends the process with a signal, and returns an error if it has to use SIGKILL instead.
func (p *Process) Stop(signal syscall.Signal) error {
	err := p.Signal(signal)
	select {
	case <-p.exited:
		return err
	case <-time.After(StartTime):
		_ = p.Command.Process.Kill() // fails only if it has ended meanwhile
		<-p.exited
		return errors.Join(err, fmt.Errorf("stop %s: still running after %s", p.Command.Path, StartTime))
	}
}

// ExitCode returns the exit status of a process that has ended, -1 if a signal killed it.
func (p *Process) ExitCode() int { return p.Command.ProcessState.ExitCode() }
