package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// Ports. A suite that starts servers of its own uses tlsPort and the following ones, up to 24579.
const (
	tlsPort      = 24500
	warmPort     = 24585 // of a server that keeps the TLS library in use
	plainPort    = 24590 // of the same servers, without TLS
	warmPlain    = 24591
	observerPort = 24595 // and the next
)

// place is where a suite is run once.
type place struct {
	options
	suite
	here        string // the folder of this program's sources
	folder      string
	certificate kit.Certificate
	server      *kit.Redis // if it is external
	close       []func() error
}

// open makes a place, with a fresh server if the suite needs one.
func (o options) open(s suite) (p *place, err error) {
	p = &place{options: o, suite: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.end())
		}
	}()
	if p.here, err = filepath.Abs("test/suites"); err != nil {
		return p, err
	}
	if p.folder, err = os.MkdirTemp("", "suites"); err != nil {
		return p, err
	}
	p.close = append(p.close, func() error { return os.RemoveAll(p.folder) })
	if p.certificate, err = kit.NewCertificate(p.folder); err != nil || !s.external {
		return p, err
	}
	p.server, err = p.start(plainPort, tlsPort)
	return p, err
}

func (p *place) start(plain, tls int) (*kit.Redis, error) {
	server, err := kit.StartRedis(plain, append(p.certificate.ServerOptions(tls), "--enable-debug-command", "yes")...)
	if err == nil {
		p.close = append(p.close, server.Stop)
	}
	return server, err
}

func (p *place) end() (err error) {
	for len(p.close) > 0 {
		last := len(p.close) - 1
		err = errors.Join(err, p.close[last]())
		p.close = p.close[:last]
	}
	return err
}

// watch starts an observer for each end, and has them attach to the TLS library of servers and clients.
func (p *place) watch(ctx context.Context) (watchers, error) {
	var w watchers
	for i, role := range roles {
		o, err := kit.StartObserver(kit.ObserverOptions{
			Program: p.observer, Port: observerPort + i,
			Configuration: fmt.Sprintf("ports: []\ncapture:\n  ring_size: 64MiB\nendpoints:\n"+
				"  - {name: tls, role: %[1]s, addresses: [\"*:%[2]d-%[3]d\"]}\n  - {name: plain, role: %[1]s, addresses: [\"*:%[4]d\"]}\n",
				role, tlsPort, warmPort, plainPort),
			Prepare: func(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} },
		})
		if err != nil {
			return w, err
		}
		w[i] = o
		p.close = append(p.close, o.Stop)
	}
	server, err := p.start(warmPlain, warmPort)
	if err != nil {
		return w, err
	}
	return w, p.warm(ctx, w, server)
}

// warm has TLS connections opened to a server until both observers count each of their commands. The server keeps the library in use.
func (p *place) warm(ctx context.Context, w watchers, server *kit.Redis) error {
	var err error
	touch := func() error {
		return exec.CommandContext(ctx, "redis-cli", "--tls", "--cacert", p.certificate.File, "-p", strconv.Itoa(warmPort), "PING").Run()
	}
	if p.touch != nil {
		if touch, err = p.touch(ctx, p); err != nil {
			return err
		}
	}
	var last []string
	counted := func() bool {
		var before [2]sight
		before, err = w.see()
		if err = errors.Join(err, server.ResetStats()); err == nil {
			err = touch()
		}
		var truth map[string]kit.Count
		if err == nil {
			truth, err = counts(server)
		}
		return err != nil || kit.Wait(touchTime, func() bool {
			var after [2]sight
			after, err = w.see()
			exact := len(truth) > 0
			last = nil
			for i := range after {
				seen := after[i].less(before[i])
				faults, _ := differences(truth, seen.counts, seen.givenUp)
				exact = exact && len(faults) == 0
				last = append(last, faults...)
			}
			return err != nil || exact
		})
	}
	if !kit.Wait(attachTime, counted) {
		return fmt.Errorf("the observers did not attach to the TLS library: %v", last)
	}
	return err
}

const (
	attachTime = 60 * time.Second
	touchTime  = 300 * time.Millisecond // how long an observer may take to count a command
)

// touchAsync starts a program whose ciphertext goes through memory, until the end, and returns how to have it connect.
func touchAsync(_ context.Context, p *place) (func() error, error) {
	c := exec.Command("python3", filepath.Join(p.here, "../truth/clients/touch_asyncio.py"), "127.0.0.1", strconv.Itoa(warmPort))
	c.Env = append(os.Environ(), "SSL_CERT_FILE="+p.certificate.File)
	c.Stderr = os.Stderr
	orders, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	answers, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	p.close = append(p.close, func() error { return errors.Join(orders.Close(), c.Wait()) })
	answer := make([]byte, len("touched\n"))
	return func() error {
		_, err := orders.Write([]byte("\n"))
		if err == nil {
			_, err = io.ReadFull(answers, answer)
		}
		return err
	}, nil
}

// counts reads what Redis counted since ResetStats.
func counts(server *kit.Redis) (map[string]kit.Count, error) {
	reply, err := server.Control("INFO", "commandstats")
	if err != nil {
		return nil, err
	}
	truth, err := kit.ReadCommandStats(reply.Text)
	subtract(truth, "config_resetstat", 1) // ours
	return truth, err
}
