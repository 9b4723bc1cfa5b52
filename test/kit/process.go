package kit

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// startTime is what starting a program may take on a busy machine.
const startTime = 30 * time.Second

// process is a program that runs beside, and what it prints.
type process struct {
	command *exec.Cmd
	output  output
	exited  chan struct{}
}

type output struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(text []byte) (int, error) {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.text.Write(text)
}

func (o *output) String() string {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.text.String()
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
