package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	roundTime   = 5 * time.Minute        // what a client may take
	settleTime  = 15 * time.Second       // what the observers may take to agree with the server: an unreported end is found after 4 to 6 s
	settlePause = 100 * time.Millisecond // longer than an event may wait in the ring
	calmTime    = time.Minute            // what they may take to have done with a round that failed
	calmPause   = time.Second            // in which they count nothing then
)

// suite is what all rounds share.
type suite struct {
	cache     string
	binary    string // the observer's
	work      string
	observers []*observer
	labels    bool // all of them, of all observers
	verbose   bool
}

// round is one client against one server.
type round struct {
	*suite
	*instance // that the client talks to
	client    client
	folder    string
	more      []*instance        // others that are observed too
	found     map[string]lookups // by command; nil where only their sum is known

	mu      sync.Mutex
	allowed []allowance
}

// result is what one observer made of a round.
type result struct {
	server, transport, client, role string

	commands    count
	differences []fmt.Stringer
	connected   int // connections that the server has at the end
	pool        int // and that the observer has
	losses      map[string]int
	err         error
	took        time.Duration
}

func (r result) good() bool {
	return r.err == nil && len(r.differences) == 0 && len(r.losses) == 0 && r.pool == r.connected
}

// run runs a client against a fresh server and compares.
func (s *suite) run(ctx context.Context, server *server, t *transport, c client) []result {
	begin := time.Now()
	r := &round{suite: s, client: c, folder: filepath.Join(s.work, server.name+"-"+t.name+"-"+c.name)}
	settings := c.options
	if c.cluster {
		settings = server.clusterOptions(server.port)
	}
	err := os.MkdirAll(r.folder, 0o755)
	if err == nil {
		r.instance, err = startServer(server, t, s.cache, server.port, settings...)
	}
	if err == nil && t.prepare != nil {
		var release func()
		release, err = t.prepare(r, ctx)
		defer release()
	}
	var before []sighting
	if err == nil {
		before, err = r.begin()
	}
	if err == nil {
		err = r.play(ctx)
	}
	results := r.settle(before, err)
	for i := range results {
		results[i].server, results[i].transport, results[i].client, results[i].role = server.name, t.name, c.name, s.observers[i].role
		results[i].took = time.Since(begin)
	}
	if r.instance != nil {
		r.stop()
	}
	for _, i := range r.more {
		i.stop()
	}
	if !allGood(results) {
		s.calm(server.name)
	}
	if err == nil {
		_ = os.RemoveAll(r.folder) // the folder of a round that failed stays, to be looked into
	}
	return results
}

func allGood(results []result) bool {
	return !slices.ContainsFunc(results, func(r result) bool { return !r.good() })
}

// calm waits until the observers have done with a round that failed and whose servers are stopped: what they count of it later
// would be taken for the next round's. If they cannot be asked, that round says so.
func (s *suite) calm(name string) {
	before, err := s.look(name)
	for deadline := time.Now().Add(calmTime); err == nil && time.Now().Before(deadline); {
		time.Sleep(calmPause)
		var now []sighting
		now, err = s.look(name)
		if slices.EqualFunc(before, now, sighting.still) {
			return
		}
		before = now
	}
}

// begin zeroes the statistics of the server, and has the observers say what they have counted so far.
func (r *round) begin() ([]sighting, error) {
	if err := r.admin.restart(); err != nil {
		return nil, err
	}
	return r.look(r.server.name)
}

// play lets the client work.
func (r *round) play(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	if err := r.client.run(ctx, r); err != nil {
		return fmt.Errorf("run the client: %w", err)
	}
	return nil
}

// look asks every observer.
func (s *suite) look(name string) ([]sighting, error) {
	var all []sighting
	for _, o := range s.observers {
		seen, err := o.see(name)
		if err != nil {
			return nil, err
		}
		all = append(all, seen)
	}
	return all, nil
}

// settle compares until all agree, or for as long as it may take.
func (r *round) settle(before []sighting, failure error) []result {
	results := make([]result, len(r.observers))
	if failure != nil {
		for i := range results {
			results[i].err = failure
		}
		return results
	}
	for deadline := time.Now().Add(settleTime); ; {
		time.Sleep(settlePause)
		agreed := true
		for i := range results {
			results[i].err = r.judge(&results[i], r.observers[i], before[i])
			agreed = agreed && results[i].good()
		}
		if agreed || time.Now().After(deadline) {
			return results
		}
	}
}

// judge compares one observer with the servers of the round.
func (r *round) judge(result *result, o *observer, before sighting) error {
	server, failed, passed, found := ledger{}, classes{}, traffic{}, lookups{}
	result.connected = 0
	for _, i := range append([]*instance{r.instance}, r.more...) {
		counted, err := i.admin.read()
		if err != nil {
			return fmt.Errorf("read the server's counters: %w", err)
		}
		for label, c := range counted {
			server.add(label, c.total, c.errors)
		}
		byPrefix, err := i.admin.classes()
		if err != nil {
			return fmt.Errorf("read the server's errors: %w", err)
		}
		for prefix, n := range byPrefix {
			failed[prefix] += n
		}
		carried, err := i.admin.traffic()
		if err != nil {
			return fmt.Errorf("read the server's traffic: %w", err)
		}
		passed = passed.plus(carried)
		read, err := i.admin.lookups()
		if err != nil {
			return fmt.Errorf("read what the server looked up: %w", err)
		}
		found = found.plus(read)
		connected, err := i.admin.connected()
		if err != nil {
			return fmt.Errorf("read the server's connections: %w", err)
		}
		result.connected += connected
	}
	now, err := o.see(r.server.name)
	if err != nil {
		return err
	}
	seen := now.less(before)
	result.commands = seen.commands.sum()
	allowed := append(standing(r.server, seen), r.allowed...)
	result.differences = nil
	for _, d := range compare(server, seen.commands, allowed, r.server.countsErrors()) {
		result.differences = append(result.differences, d)
	}
	if r.client.bytes {
		result.differences = append(result.differences, compareBytes(passed, seen.traffic, r.moreReplies(o))...)
	}
	if r.client.nulls {
		result.differences = append(result.differences, compareNulls(found, r.found, seen, allowed)...)
	}
	if !r.server.countsErrors() {
		return nil
	}
	result.differences = append(result.differences, compareClasses(failed, seen.classes, allowed)...)
	result.losses = seen.losses
	result.pool = now.pool
	return nil
}

// moreReplies returns by how many bytes of replies the server's count may exceed an observer's.
func (r *round) moreReplies(o *observer) (s span) {
	if o.role == "client" && r.client.leaves != nil && r.client.leaves(r.server) {
		s.high = math.MaxInt
	}
	if r.server.forgetsWritten() {
		s.low = math.MinInt
	}
	return s
}

// allow grants an exception: the server may count from low to high more commands and errors than the observer.
func (r *round) allow(e exception, label string, total, errors span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.allowed = append(r.allowed, allowance{exception: e, label: label, total: total, errors: errors})
}

// exactly is the span of one number.
func exactly(n int) span { return span{n, n} }

// dial opens a connection to the server.
func (r *round) dial() (*wire, error) { return newWire(r.transport.dial(r.Redis)) }

// another starts one more server: observed, under the same name, or not.
func (r *round) another(observed bool, options ...string) (*instance, error) {
	port := r.server.port + 1
	if !observed {
		port += unobserved
	}
	i, err := startServer(r.server, r.transport, r.cache, port, options...)
	if err == nil && observed {
		r.more = append(r.more, i)
	}
	return i, err
}

// tool runs a program that came with the server, and returns its output.
func (r *round) tool(ctx context.Context, name, input string, args ...string) (string, error) {
	return r.execute(ctx, r.server.program(r.cache, name, append(r.transport.tool(r.Redis), args...)...), input)
}

// execute runs a program to its end, or to that of ctx.
func (r *round) execute(ctx context.Context, command *exec.Cmd, input string) (string, error) {
	var out strings.Builder
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &out, &out
	command.Dir = r.folder
	if err := command.Start(); err != nil {
		return "", err
	}
	ended := context.AfterFunc(ctx, func() { _ = command.Process.Kill() }) // it may have ended by itself
	err := command.Wait()
	ended()
	if r.verbose {
		fmt.Fprintf(os.Stderr, "--- %s\n%s\n", strings.Join(command.Args, " "), out.String())
	}
	if err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", filepath.Base(command.Path), err, tail(out.String()))
	}
	return out.String(), nil
}

// forAWhile runs a tool that would not end by itself, and kills it then.
func (r *round) forAWhile(d time.Duration, name, input string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	_, err := r.tool(ctx, name, input, args...)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// tail returns the end of a long text, where programs print their errors.
func tail(text string) string {
	const enough = 600
	if len(text) > enough {
		text = "…" + text[len(text)-enough:]
	}
	return strings.TrimSpace(text)
}

// each runs a function on a new connection for every item, and joins their errors.
func each[T any](r *round, items []T, f func(*wire, T) error) error {
	var all []error
	for _, item := range items {
		w, err := r.dial()
		if err != nil {
			return err
		}
		if err := f(w, item); err != nil {
			all = append(all, fmt.Errorf("%v: %w", item, err))
		}
		_ = w.Close() // the item may have closed it
	}
	return errors.Join(all...)
}
