package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/test/kit"
)

// steadyArgument makes this program the client of a steady load.
const steadyArgument = "steady-child"

// steady measures what a watcher costs while nothing is saturated: GETs at a fixed rate on 50 connections.
type steady struct {
	rate   int // per second
	role   string
	closed bool // a connection waits for its reply before it sends again
}

const (
	steadyConnections = 50
	steadyTime        = 3 * time.Second
	steadyKey         = "key:__rand_int__"
	steadyValue       = "xxx"
)

// steadyRun is what came of one run.
type steadyRun struct {
	Watcher string `json:"watcher"` // "" without one
	// Client is what the client measured of itself.
	Client steadyClient `json:"client"`
	// Server and Own are the CPU time of redis-server and of the watcher.
	Server   time.Duration `json:"server_ns"`
	Own      time.Duration `json:"own_ns"`
	Switches float64       `json:"switches"` // of the watcher: how often one of its threads went to sleep or was interrupted
	Faults   []string      `json:"faults,omitempty"`
}

// steadyClient is what a client reports about a run.
type steadyClient struct {
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	P999     time.Duration `json:"p999_ns"`
	CPU      time.Duration `json:"cpu_ns"`
	Switches int64         `json:"switches"`
}

func (m steady) measure(ctx context.Context, b *bench, name string) ([]result, error) {
	if err := b.redis.client.Set(ctx, steadyKey, steadyValue, 0).Err(); err != nil {
		return nil, fmt.Errorf("set the key that is read: %w", err)
	}
	address := tcpAddress(redisPort)
	watchers := b.observers(m.role, address)
	// The yardsticks that hold from one machine to the next.
	watchers = append(watchers, emptyPrograms{})
	watchers = append(watchers, installed(peers[:1])...)
	commands := int(float64(m.rate) * steadyTime.Seconds())
	if b.quick {
		commands = min(commands, m.rate/2+steadyConnections)
	}
	rounds, err := alternate(b.pairs, watchers, func(w watcher) (steadyRun, error) { return m.run(ctx, b, w, commands) })
	if err != nil {
		return nil, err
	}
	var results []result
	for i, w := range watchers[1:] {
		results = append(results, compareSteady(name, w.name(), commands, rounds, i+1))
	}
	return results, nil
}

// run runs the load once beside a watcher. What connecting and closing cost is not in the figures.
func (m steady) run(ctx context.Context, b *bench, w watcher, commands int) (r steadyRun, err error) {
	running, err := w.start(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, running.stop()) }()
	r.Watcher = w.name()
	before, err := b.redis.read(ctx)
	if err != nil {
		return r, err
	}
	client, err := m.connect(ctx, commands)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, client.close()) }()
	if err := running.settle(); err != nil {
		return r, err
	}
	server, own, switches, err := b.used(running)
	if err != nil {
		return r, err
	}
	if r.Client, err = client.run(); err != nil {
		return r, err
	}
	if err := running.settle(); err != nil {
		return r, err
	}
	server2, own2, switches2, err := b.used(running)
	if err != nil {
		return r, err
	}
	r.Server, r.Own, r.Switches = server2-server, own2-own, switches2-switches
	after, err := b.redis.read(ctx)
	if err != nil {
		return r, err
	}
	var saw outcome
	err = w.account(&saw, running, after.since(before))
	r.Faults = saw.Faults
	return r, err
}

// used returns what redis-server and a watcher used so far.
func (b *bench) used(running processes) (server, own time.Duration, switches float64, err error) {
	if server, err = cpu(b.redis.PID()); err != nil {
		return server, 0, 0, err
	}
	if own, err = running.cpu(); err != nil {
		return server, 0, 0, err
	}
	for _, p := range running {
		n, err := contextSwitches(p.PID())
		if err != nil {
			return server, own, 0, err
		}
		switches += n
	}
	return server, own, switches, nil
}

// contextSwitches returns how often the threads of a process gave up a CPU.
func contextSwitches(pid int) (float64, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read context switches: %w", err)
	}
	var sum uint64
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that just ended
		}
		own, err1 := field(string(text), "voluntary_ctxt_switches:")
		forced, err2 := field(string(text), "nonvoluntary_ctxt_switches:")
		if err := errors.Join(err1, err2); err != nil {
			return 0, fmt.Errorf("read context switches: %w", err)
		}
		sum += own + forced
	}
	return float64(sum), nil
}

// steadyOrder is what the process of the client is told.
type steadyOrder struct {
	Load           kit.Steady
	Rate, Commands int
}

// steadyProcess is a client in a process of its own, connected.
type steadyProcess struct {
	command *exec.Cmd
	orders  io.WriteCloser
	answers *json.Decoder
	stderr  strings.Builder
}

// connect starts the client, and returns when a command was answered on each connection.
func (m steady) connect(ctx context.Context, commands int) (*steadyProcess, error) {
	order, err := json.Marshal(steadyOrder{kit.Steady{
		Address: tcpAddress(redisPort), Connections: steadyConnections, Closed: m.closed, Key: steadyKey, Value: steadyValue,
	}, m.rate, commands})
	if err != nil {
		return nil, err
	}
	p := &steadyProcess{command: exec.CommandContext(ctx, "/proc/self/exe", steadyArgument, string(order))}
	p.command.SysProcAttr = diesWithBench()
	p.command.Stderr = &p.stderr
	if p.orders, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	answers, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = json.NewDecoder(answers)
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("steady load: %w", err)
	}
	var connected bool
	if err := p.answers.Decode(&connected); err != nil {
		return nil, errors.Join(fmt.Errorf("steady load: %w", err), p.close())
	}
	return p, nil
}

// run has the client send its commands.
func (p *steadyProcess) run() (c steadyClient, err error) {
	if _, err := io.WriteString(p.orders, "\n"); err != nil {
		return c, fmt.Errorf("steady load: %w", err)
	}
	if err := p.answers.Decode(&c); err != nil {
		return c, fmt.Errorf("steady load: %w", err)
	}
	return c, nil
}

// close ends the client and its connections.
func (p *steadyProcess) close() error {
	_ = p.orders.Close() // it may have ended
	if err := p.command.Wait(); err != nil {
		return fmt.Errorf("steady load: %w: %s", err, p.stderr.String())
	}
	return nil
}

// runSteadyChild is the client: it connects and says so, and sends at the order to do so. It closes when the orders end.
func runSteadyChild(args []string) error {
	ctx := context.Background()
	var order steadyOrder
	if err := json.Unmarshal([]byte(strings.Join(args, " ")), &order); err != nil {
		return fmt.Errorf("steady load: %w", err)
	}
	load, err := order.Load.Open()
	if err != nil {
		return err
	}
	defer load.Close()
	const warmup = 5000 // commands per second
	if _, err := load.Run(ctx, warmup, order.Load.Connections); err != nil {
		return err
	}
	answers, orders := json.NewEncoder(os.Stdout), bufio.NewReader(os.Stdin)
	if err := answers.Encode(true); err != nil {
		return err
	}
	for {
		if _, err := orders.ReadString('\n'); err != nil {
			return nil
		}
		before, switches := ownUsage()
		l, err := load.Run(ctx, order.Rate, order.Commands)
		if err != nil {
			return err
		}
		after, switches2 := ownUsage()
		if err := answers.Encode(steadyClient{l.Quantile(0.5), l.Quantile(0.99), l.Quantile(0.999), after - before, switches2 - switches}); err != nil {
			return err
		}
	}
}

// ownUsage returns what this process used so far: CPU time, and how often its threads gave up a CPU.
func ownUsage() (used time.Duration, switches int64) {
	var usage unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &usage) // cannot fail
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), usage.Nvcsw + usage.Nivcsw
}

// compareSteady makes a result of the rounds: of the watcher at index i beside none at index 0 and the observer at index 1.
func compareSteady(name, watcher string, commands int, rounds [][]steadyRun, i int) result {
	r := result{Case: name, Watcher: watcher, Requests: commands}
	ratio := func(metric string, f func(steadyRun) float64) {
		var values []float64
		for _, round := range rounds {
			values = append(values, f(round[i])/f(round[0]))
		}
		r.add(metric, values...)
	}
	each := func(metric string, f func(steadyRun) float64) {
		var values []float64
		for _, round := range rounds {
			values = append(values, f(round[i]))
		}
		r.add(metric, values...)
	}
	n := float64(commands)
	ratio(serverCPU, func(s steadyRun) float64 { return float64(s.Server) })
	ratio(clientCPU, func(s steadyRun) float64 { return float64(s.Client.CPU) })
	ratio(p50Ratio, func(s steadyRun) float64 { return float64(s.Client.P50) })
	ratio(p99Ratio, func(s steadyRun) float64 { return float64(s.Client.P99) })
	ratio(p999Ratio, func(s steadyRun) float64 { return float64(s.Client.P999) })
	if watcher != empty { // which are in this process, whose time is not theirs
		each(ownCPU, func(s steadyRun) float64 { return float64(s.Own) / 1000 / n })
		each(ownSwitches, func(s steadyRun) float64 { return s.Switches })
	}
	ratio(clientSwitches, func(s steadyRun) float64 { return float64(s.Client.Switches) })
	if watcher == theObserver || watcher == theOther {
		each(lost, func(s steadyRun) float64 { return float64(len(s.Faults)) })
	}
	for n, round := range rounds {
		r.Steady = append(r.Steady, round[0], round[i])
		for _, fault := range round[i].Faults {
			r.Faults = append(r.Faults, fmt.Sprintf("pair %d: %s", n+1, fault))
		}
	}
	return r
}

const empty = "empty"

// emptyPrograms does nothing on the tracepoints that the tracepoint backend uses.
type emptyPrograms struct{}

func (emptyPrograms) name() string                              { return empty }
func (emptyPrograms) account(*outcome, processes, ledger) error { return nil }

func (emptyPrograms) start(context.Context) (processes, error) {
	var e attachedEmpty
	for _, tracepoint := range []string{"tcp_sendmsg_locked", "sock_send_length", "sock_recv_length"} {
		n, err := attachNothing(tracepoint)
		if err != nil {
			return nil, errors.Join(err, e.Stop())
		}
		e = append(e, n)
	}
	return processes{e}, nil
}

// attachedEmpty are empty programs at work, in this process.
type attachedEmpty []nothing

func (attachedEmpty) PID() int { return os.Getpid() }

func (e attachedEmpty) Stop() error {
	var errs []error
	for _, n := range e {
		_, err := n.end()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
