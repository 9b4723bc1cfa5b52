package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// overTLS is a load by redis-benchmark over TLS.
type overTLS struct{ benchmark }

func (l overTLS) run(ctx context.Context, n int) (speed, error) {
	return l.runAt(ctx, n, tlsServer(tlsPort)...)
}

// foreignTLS is the same at a server of its own that nobody observes.
type foreignTLS struct{ benchmark }

func (foreignTLS) prepare(context.Context, *bench) error { return nil }

func (l foreignTLS) run(ctx context.Context, n int) (s speed, err error) {
	server, err := startServer("", 0, foreignPort)
	if err != nil {
		return s, fmt.Errorf("%w (is port %d free?)", err, foreignPort)
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	return l.runAt(ctx, n, tlsServer(foreignPort)...)
}

// tlsServer is what redis-benchmark is told of a server with TLS.
func tlsServer(port int) []string {
	return []string{"-h", "127.0.0.1", "-p", strconv.Itoa(port), "--tls", "--insecure"}
}

// copyLibrary copies the TLS library of a program into a folder. All processes that have mapped a file pass its probes, whoever is
// observed: with a copy of its own, an end of connections is measured alone.
func copyLibrary(program, folder string) error {
	path, err := exec.LookPath(program)
	if err != nil {
		return err
	}
	list, err := exec.Command("ldd", path).Output()
	if err != nil {
		return fmt.Errorf("list the libraries of %s: %w", path, err)
	}
	library := tlsLibrary.FindSubmatch(list)
	if library == nil {
		return fmt.Errorf("%s uses no libssl: %s", path, list)
	}
	data, err := os.ReadFile(string(library[1]))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, filepath.Base(string(library[1]))), data, 0o700)
}

// tlsLibrary matches the line of ldd for OpenSSL's library.
var tlsLibrary = regexp.MustCompile(`=> (\S*/libssl\.so\S*)`)

// attachLibrary waits until an observer of the TLS port has attached the library of the end that it observes, so that it reads new
// connections from their first byte. redis-benchmark has that of openssl. Handshakes send no command, so none is counted.
func attachLibrary(o *kit.Observer) error {
	const (
		attempts = 60
		each     = 500 * time.Millisecond // the first handshake makes the observer look at the next one
	)
	attached := func() bool {
		seen, err := o.Scrape()
		return err == nil && seen.Sum("redis_observer_tls_libraries") > 0
	}
	for range attempts {
		command := exec.Command("openssl", "s_client", "-quiet", "-connect", tcpAddress(tlsPort))
		command.SysProcAttr = diesWithBench()
		handshake, err := kit.Start(command, nil)
		if err != nil {
			return err
		}
		done := kit.Wait(each, attached)
		if err := handshake.Stop(syscall.SIGTERM); err != nil || done {
			return err
		}
	}
	return errors.New("no TLS library of redis-server or openssl has been attached")
}
