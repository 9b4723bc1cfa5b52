package bpf

import (
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// List makes the kernel write an Existing event for each observed connection, for some of them two: the connections of the
// own network namespace, and those of any other that a process in the own PID namespace holds. It needs no capability from
// Linux 5.19 on, CAP_BPF before.
func (p *Probes) List() error {
	for _, name := range listings {
		if err := runIterator(p.collection.Programs[name]); err != nil {
			return fmt.Errorf("list connections: %w", err)
		}
	}
	return nil
}

func runIterator(program *ebpf.Program) error {
	iterator, err := link.AttachIter(link.IterOptions{Program: program})
	if err != nil {
		return fmt.Errorf("attach iterator: %w", err)
	}
	defer iterator.Close()
	reader, err := iterator.Open()
	if err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	defer reader.Close()
	_, err = io.Copy(io.Discard, reader)
	return err
}
