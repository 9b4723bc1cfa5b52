package bpf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// List makes the kernel write an Existing event for each observed connection, in every network namespace that a process
// visible in /proc lives in. Namespaces that may not be entered are named in the error, after all others were listed.
func (p *Probes) List() error {
	namespaces, err := networkNamespaces()
	if err != nil {
		return err
	}
	done := make(chan error)
	go func() {
		// The thread changes its namespace, so it must end with this goroutine: it is never unlocked.
		runtime.LockOSThread()
		var errs []error
		for _, path := range namespaces {
			errs = append(errs, p.listIn(path))
		}
		done <- errors.Join(errs...)
	}()
	return <-done
}

// listIn lists the connections of one network namespace; it leaves the thread there.
func (p *Probes) listIn(path string) error {
	if path != "" {
		namespace, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil // its last process has ended
		}
		if err != nil {
			return fmt.Errorf("list connections: %w", err)
		}
		err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
		_ = namespace.Close()
		if err != nil {
			return fmt.Errorf("list connections: enter network namespace %s: %w (needs CAP_SYS_ADMIN)", path, err)
		}
	}
	return runIterator(p.collection.Programs[observerProgConnectionList])
}

func runIterator(program *ebpf.Program) error {
	iterator, err := link.AttachIter(link.IterOptions{Program: program})
	if err != nil {
		return fmt.Errorf("list connections: attach iterator: %w", err)
	}
	defer iterator.Close()
	reader, err := iterator.Open()
	if err != nil {
		return fmt.Errorf("list connections: open iterator: %w", err)
	}
	defer reader.Close()
	if _, err := io.Copy(io.Discard, reader); err != nil {
		return fmt.Errorf("list connections: %w", err)
	}
	return nil
}

// networkNamespaces returns a path for each network namespace but the own, which is the empty path and comes first.
func networkNamespaces() ([]string, error) {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	paths, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	seen := map[string]bool{own: true}
	namespaces := []string{""}
	for _, path := range paths {
		namespace, err := os.Readlink(path)
		if err != nil || seen[namespace] {
			continue // gone, or another user's and not ours to see
		}
		seen[namespace] = true
		namespaces = append(namespaces, path)
	}
	return namespaces, nil
}
