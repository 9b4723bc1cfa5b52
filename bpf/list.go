package bpf

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf/link"
)

// List makes the kernel write an Existing event for each observed connection, for some of them two: the connections of the
// own network namespace, and those of any other that a process in the own PID namespace holds. It needs no capability from
// Linux 5.19 on, CAP_BPF before. After Close it ends early, with os.ErrClosed.
func (p *Probes) List() error {
	o := p.take()
	if o == nil {
		return fmt.Errorf("list connections: %w", os.ErrClosed)
	}
	defer p.giveBack()
	iterators, err := o.listing.attach()
	if err != nil {
		return fmt.Errorf("list connections: %w", err)
	}
	for _, iterator := range iterators.links {
		if err = p.run(iterator.(*link.Iter)); err != nil {
			break
		}
	}
	if err := errors.Join(err, iterators.detach()); err != nil {
		return fmt.Errorf("list connections: %w", err)
	}
	return nil
}

// ownNetwork returns the number of the network namespace whose connections are all listed.
func ownNetwork() (uint32, error) {
	var namespace unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &namespace); err != nil {
		return 0, fmt.Errorf("look at the network namespace: %w", err)
	}
	return uint32(namespace.Ino), nil
}

func (p *Probes) run(iterator *link.Iter) error {
	reader, err := iterator.Open()
	if err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	defer reader.Close()
	return p.readThrough(reader)
}

// readThrough reads what an iterator says, which is nothing: its program writes to the ring. A read ends with EAGAIN after a million objects
// without output, and the next goes on from there.
func (p *Probes) readThrough(reader io.Reader) error {
	buffer := make([]byte, os.Getpagesize())
	for !p.closed.Load() {
		_, err := reader.Read(buffer)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, unix.EAGAIN):
			return err
		}
	}
	return os.ErrClosed
}
