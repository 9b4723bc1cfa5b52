package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	table "github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/test/kit"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// instance is a running server.
type instance struct {
	*kit.Redis
	server    *server
	transport *transport
	admin     *admin
}

// startServer starts a server.
func startServer(s *server, t *transport, cache string, port int, options ...string) (*instance, error) {
	args := []string{"--bind", "127.0.0.1", "::1", "--repl-diskless-sync-delay", "0"}
	if s.since(7.0, 0) {
		args = append(args, "--enable-debug-command", "yes")
	}
	if s.speaksMultipath() {
		args = append(args, "--mptcp", "yes") // what plain clients connect to stays TCP
	}
	command := s.program(cache, "server")
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	port, socket, listens := t.listen(s, port)
	started, err := kit.StartServerOn(command, port, socket, slices.Concat(args, listens, s.options, options)...)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	conn, err := started.DialControl()
	if err != nil {
		return nil, errors.Join(err, started.Stop())
	}
	meter := &metered{Conn: conn}
	w, err := newWire(meter, nil)
	if err != nil {
		return nil, errors.Join(err, started.Stop())
	}
	i := &instance{Redis: started, server: s, transport: t, admin: &admin{wire: w, meter: meter}}
	if err := i.admin.restart(); err != nil {
		i.stop()
		return nil, fmt.Errorf("start %s: %w: %s", s.name, err, started.Output)
	}
	return i, nil
}

// stop ends the server and waits for it.
func (i *instance) stop() {
	_ = i.admin.wire.Close() // nothing is read of it any more
	_ = i.Stop()             // it may have ended by itself
}

// admin is a connection which no observer sees. It keeps account of its own commands, to leave them out.
type admin struct {
	wire   *wire
	meter  *metered // of the wire
	asked  ledger
	failed classes
}

// do runs a command that is written with spaces between its fields.
func (a *admin) do(line string) (resp.Reply, error) {
	replies, err := a.wire.ask(line)
	if err != nil {
		return resp.Reply{}, fmt.Errorf("%s: %w", line, err)
	}
	failures := 0
	if replies[0].Failed() {
		failures = 1
		a.failed[table.LookupPrefix([]byte(replies[0].Text)).String()]++
	}
	a.asked.add(adminLabel(line), 1, failures)
	return replies[0], nil
}

// adminLabel returns the label of a command, of which the containers come first.
func adminLabel(line string) string {
	fields := strings.Fields(strings.ToLower(line))
	for _, container := range containers {
		if fields[0] == container && len(fields) > 1 {
			return kit.Label(fields[0] + "|" + fields[1])
		}
	}
	return fields[0]
}

// restart zeroes the statistics.
func (a *admin) restart() error {
	a.asked, a.failed = ledger{}, classes{}
	a.meter.passed = traffic{}
	r, err := a.do("CONFIG RESETSTAT")
	a.meter.passed.requests = 0 // it was counted before the statistics were zeroed
	if err == nil && r.Failed() {
		err = fmt.Errorf("CONFIG RESETSTAT: %s", r.Text)
	}
	return err
}

// read returns what the server counted since, without the commands of this connection. Errors beyond those of known commands
// stand under other: they are the answers to unknown ones.
func (a *admin) read() (ledger, error) {
	errorReplies, err := a.errorReplies()
	if err != nil {
		return nil, err
	}
	before := ledger{}
	for label, c := range a.asked {
		before[label] = c
	}
	r, err := a.do("INFO commandstats") // counted after its own output
	if err != nil {
		return nil, err
	}
	l, err := parseCommandStats(r.Text)
	if err != nil {
		return nil, err
	}
	known := l.sum().errors
	for label, c := range before {
		if _, counted := l[label]; !counted {
			label, _, _ = strings.Cut(label, "_") // Redis 6.0 knows containers only
		}
		l.add(label, -c.total, -c.errors)
		if l[label] == (count{}) {
			delete(l, label)
		}
	}
	l.add(other, errorReplies-known, errorReplies-known)
	return l, nil
}

// errorReplies returns the number of errors that the server sent, 0 where it does not count them.
func (a *admin) errorReplies() (int, error) { return a.number("INFO stats", "total_error_replies") }

// classes returns the error replies by their prefix, without those to this connection.
func (a *admin) classes() (classes, error) {
	r, err := a.do("INFO errorstats")
	if err != nil {
		return nil, err
	}
	counted, err := parseErrorStats(r.Text)
	return counted.less(a.failed), err
}

// connected returns the number of connections that the server has beside this one and those of replicas.
func (a *admin) connected() (int, error) {
	n, err := a.number("INFO clients", "connected_clients")
	return n - 1, err
}

// number returns a field of INFO, 0 where the server does not have it.
func (a *admin) number(info, field string) (int, error) {
	r, err := a.do(info)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(r.Text) {
		if text, found := strings.CutPrefix(strings.TrimSpace(line), field+":"); found {
			return strconv.Atoi(text)
		}
	}
	return 0, nil
}
