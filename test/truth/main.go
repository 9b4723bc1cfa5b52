package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/redis-observer/redis-observer/test/kit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "truth: %v\n", err)
		stop()
		os.Exit(1)
	}
}

// options are those of the command line.
type options struct {
	servers, transports, clients string

	cache, observer string
	count, port     int
	labels, verbose bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	flags := flag.NewFlagSet("truth", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.servers, "servers", "", "names of servers, all if empty: "+strings.Join(names(servers, serverName), ","))
	flags.StringVar(&o.transports, "transports", "", "names of transports, all if empty: "+strings.Join(names(transports, transportName), ","))
	flags.StringVar(&o.clients, "clients", "", "names of clients or beginnings of them, all if empty: "+strings.Join(names(clients, clientName), ","))
	flags.StringVar(&o.cache, "cache", ".cache/truth", "where servers and clients are kept")
	flags.StringVar(&o.observer, "observer", "", "the observer's binary; built from the sources if empty")
	flags.IntVar(&o.count, "count", 1, "how many times everything is run")
	flags.IntVar(&o.port, "port", 23900, "port of the first observer's metrics; the second takes the next")
	flags.BoolVar(&o.labels, "labels", false, "observe with all labels of owners: the sums over them must be right")
	flags.BoolVar(&o.verbose, "v", false, "show the output of the clients")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosenServers := choose(servers, serverName, o.servers)
	chosenClients := choose(clients, clientName, o.clients)
	chosenTransports := choose(transports, transportName, o.transports)
	if len(chosenServers) == 0 || len(chosenTransports) == 0 || len(chosenClients) == 0 {
		return errors.New("no server, no transport or no client has such a name")
	}
	s, err := prepare(ctx, o, chosenServers, chosenClients, stderr)
	if err != nil {
		return err
	}
	defer s.close()
	return s.runAll(ctx, o.count, chosenServers, chosenTransports, chosenClients, stdout)
}

func serverName(s server) string { return s.name }
func clientName(c client) string { return c.name }

func names[T any](all []T, name func(T) string) (out []string) {
	for _, one := range all {
		out = append(out, name(one))
	}
	return out
}

// choose returns those whose name is in the list or, for clients, begins as something in the list does.
func choose[T any](all []T, name func(T) string, list string) (out []T) {
	wanted := strings.Split(list, ",")
	for _, one := range all {
		n := name(one)
		if list == "" || slices.ContainsFunc(wanted, func(w string) bool { return n == w || w != "" && strings.HasPrefix(n, w+"-") && !isServer(n) }) {
			out = append(out, one)
		}
	}
	return out
}

func isServer(name string) bool { return slices.Contains(names(servers, serverName), name) }

// prepare fetches what is needed, builds the observer and starts it in both roles.
func prepare(ctx context.Context, o options, servers []server, clients []client, stderr io.Writer) (_ *suite, err error) {
	s := &suite{labels: o.labels, verbose: o.verbose}
	if s.cache, err = filepath.Abs(o.cache); err != nil {
		return nil, err
	}
	if s.work, err = os.MkdirTemp("", "truth-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if certificate, err = kit.NewCertificate(s.work); err != nil {
		return nil, err
	}
	if err := s.fetch(ctx, servers, clients, stderr); err != nil {
		return nil, err
	}
	if o.observer == "" {
		o.observer = filepath.Join(s.cache, "redis-observer")
		if err := command(ctx, stderr, "go", "build", "-o", o.observer, "./cmd/redis-observer"); err != nil {
			return nil, err
		}
	}
	s.binary = o.observer
	for i, role := range []string{"client", "server"} {
		observer, err := startObserver(o.observer, role, "1MiB", o.labels, o.port+i)
		if err != nil {
			return nil, err
		}
		s.observers = append(s.observers, observer)
	}
	return s, nil
}

// fetch brings what the servers and clients need into the cache.
func (s *suite) fetch(ctx context.Context, servers []server, clients []client, stderr io.Writer) error {
	packages := map[string]bool{}
	for _, one := range servers {
		packages[one.folder] = true
	}
	npm := false
	for _, one := range clients {
		switch one.needs {
		case "":
		case needsNode:
			npm = true
		default:
			packages[one.needs] = true
		}
	}
	args := []string{s.cache}
	for name := range packages {
		args = append(args, name)
	}
	if err := command(ctx, stderr, "test/truth/fetch.sh", args...); err != nil {
		return err
	}
	if !npm {
		return nil
	}
	return s.fetchNode(ctx, stderr)
}

// command runs a program to whose output nobody listens unless it fails.
func command(ctx context.Context, stderr io.Writer, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Stdout, c.Stderr = stderr, stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (s *suite) close() {
	for _, o := range s.observers {
		o.stop()
	}
	_ = os.RemoveAll(s.work) // a temporary folder
}

// runAll runs every client against every server over every transport, and fails if anything differs.
func (s *suite) runAll(ctx context.Context, times int, servers []server, transports []transport, clients []client, stdout io.Writer) error {
	faults := 0
	for n := range times {
		var results []result
		for i := range servers {
			for j := range transports {
				these, err := s.runClients(ctx, &servers[i], &transports[j], clients, stdout)
				if err != nil {
					return err
				}
				results = append(results, these...)
			}
		}
		fmt.Fprintf(stdout, "run %d of %d\n", n+1, times)
		if err := printTable(stdout, results); err != nil {
			return err
		}
		printLeftOut(stdout, transports, clients)
		for _, r := range results {
			if !r.good() {
				faults++
			}
		}
	}
	if faults > 0 {
		return fmt.Errorf("%d results differ from what the servers counted", faults)
	}
	return nil
}

// runClients runs every client that can against a server over a transport.
func (s *suite) runClients(ctx context.Context, server *server, t *transport, clients []client, stdout io.Writer) (results []result, err error) {
	for _, c := range clients {
		if c.wants != nil && !c.wants(server) || t.lacks[c.name] != "" || t.without != nil && t.without(server, c) {
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		for _, r := range s.run(ctx, server, t, c) {
			printFaults(stdout, r)
			results = append(results, r)
		}
	}
	return results, nil
}
