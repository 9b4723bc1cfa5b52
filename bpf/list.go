package bpf

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf/link"
)

// List makes the kernel write an event for each observed connection that exists: those of the
// observer's network namespace, and those that a process of its PID namespace holds in any network
// namespace. A connection may be reported twice. List needs no capability from Linux 5.19 on,
// before that CAP_BPF. After Close it ends early, with os.ErrClosed.
func (p *Probes) List() error {
	o := p.take()
	if o == nil {
		return fmt.Errorf("list connections: %w", os.ErrClosed)
	}
	defer p.giveBack()
	if err := p.iterate(o.listing); err != nil {
		return fmt.Errorf("list connections: %w", err)
	}
	if err := p.listUnix(o); err != nil {
		return fmt.Errorf("list Unix sockets: %w", err)
	}
	return nil
}

// iterate attaches the iterators of a tap, and runs each to its end.
func (p *Probes) iterate(listing *tap) error {
	iterators, err := listing.attach()
	if err != nil {
		return err
	}
	for _, iterator := range iterators.links {
		if err = p.run(iterator.(*link.Iter)); err != nil {
			break
		}
	}
	return errors.Join(err, iterators.detach())
}

// ownNetwork returns the inode number of the observer's network namespace.
func ownNetwork() (uint32, error) {
	var namespace unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &namespace); err != nil {
		return 0, fmt.Errorf("read the network namespace: %w", err)
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

// readThrough reads an iterator to its end. It has no output, because its program writes to the
// ring buffer. After a million objects without output a read ends with EAGAIN, and the next one
// continues.
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
