package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// certificate is that of all servers with TLS. prepare makes it.
var certificate kit.Certificate

func dialTLS(r *kit.Redis) (net.Conn, error) {
	return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", r.Address(), certificate.ClientConfig())
}

// listenTLS has a server listen for TLS in place of TCP, and use TLS for what it asks other servers.
func listenTLS(_ *server, port int) (int, string, []string) {
	return port, "", append(certificate.ServerOptions(port), "--port", "0", "--tls-replication", "yes", "--tls-cluster", "yes")
}

// sentinelTLS is what a sentinel needs to watch a server with TLS.
func sentinelTLS() string {
	return fmt.Sprintf("tls-replication yes\ntls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\n", certificate.File, certificate.Key, certificate.File)
}

// trusting has a program trust the certificate, by the variables of OpenSSL and of Node.js.
func trusting(c *exec.Cmd) *exec.Cmd {
	c.Env = append(os.Environ(), "SSL_CERT_FILE="+certificate.File, "NODE_EXTRA_CA_CERTS="+certificate.File)
	return c
}

// toucher opens a TLS connection with one PING when it is called, in a process with the TLS library of a client.
type toucher struct {
	touch func() error
	stop  func()
}

// touchByDial is for clients within this program.
func touchByDial(_ context.Context, r *round) (toucher, error) {
	return toucher{func() error {
		return r.onNew(asks("PING"))
	}, func() {}}, nil
}

// touchByTool is for the programs that came with the server. The server has mapped their library too, so it stays attached.
func touchByTool(ctx context.Context, r *round) (toucher, error) {
	return toucher{func() error {
		_, err := r.tool(ctx, "cli", "", "PING")
		return err
	}, func() {}}, nil
}

// touchBy is for other programs: one that touches for each line that it reads, and answers by a line. It stays until the end of the
// round, so that its library remains attached between two processes of the client.
func touchBy(program func(context.Context, *round) (*exec.Cmd, error)) func(context.Context, *round) (toucher, error) {
	return func(ctx context.Context, r *round) (toucher, error) {
		c, err := program(ctx, r)
		if err != nil {
			return toucher{}, err
		}
		c.Stderr = os.Stderr
		orders, err := c.StdinPipe()
		if err != nil {
			return toucher{}, err
		}
		out, err := c.StdoutPipe()
		if err != nil {
			return toucher{}, err
		}
		if err := c.Start(); err != nil {
			return toucher{}, err
		}
		answers := bufio.NewReader(out)
		return toucher{
			func() error {
				_, err := io.WriteString(orders, "\n")
				_, err2 := answers.ReadString('\n')
				return errors.Join(err, err2)
			},
			func() {
				_ = orders.Close() // ends it
				_ = c.Wait()
			},
		}, nil
	}
}

// touchByScript runs a script of the folder that touches.
func touchByScript(name string, interpreter func(r *round, script string, arguments ...string) *exec.Cmd) func(context.Context, *round) (toucher, error) {
	return touchBy(func(_ context.Context, r *round) (*exec.Cmd, error) {
		script, err := filepath.Abs(filepath.Join(scripts, name))
		return interpreter(r, script, "127.0.0.1", strconv.Itoa(r.Port)), err
	})
}

// How long the observers may take to attach to the libraries of a round, and to count one PING of each.
const (
	attachTime = 20 * time.Second
	touchTime  = 300 * time.Millisecond
)

// attachLibraries waits until the observers read new connections of the server and of the client from their beginning. The returned
// function ends what keeps the library of the client in use.
func (r *round) attachLibraries(ctx context.Context) (release func(), err error) {
	own, err := touchByDial(ctx, r)
	if err != nil {
		return nil, err
	}
	touchers := []toucher{own}
	release = func() {
		for _, t := range touchers {
			t.stop()
		}
	}
	if r.client.touch != nil {
		t, err := r.client.touch(ctx, r)
		if err != nil {
			return release, err
		}
		touchers = append(touchers, t)
	}
	for deadline := time.Now().Add(attachTime); ; {
		before, err := r.look(r.server.name)
		if err != nil {
			return release, err
		}
		for _, t := range touchers {
			if err := t.touch(); err != nil {
				return release, fmt.Errorf("open a TLS connection: %w", err)
			}
		}
		counted, err := r.allCount(before, len(touchers))
		if err != nil || counted {
			return release, err
		}
		if time.Now().After(deadline) {
			return release, errors.New("the observers did not attach to the TLS libraries")
		}
	}
}

// allCount reports whether each observer counts so many more PING soon.
func (r *round) allCount(before []sighting, pings int) (bool, error) {
	for deadline := time.Now().Add(touchTime); ; time.Sleep(lookPause) {
		now, err := r.look(r.server.name)
		if err != nil {
			return false, err
		}
		all := true
		for i := range now {
			all = all && now[i].commands["ping"].total-before[i].commands["ping"].total == pings
		}
		if all || time.Now().After(deadline) {
			return all, nil
		}
	}
}

// lookPause is the time between two looks at the observers.
const lookPause = 20 * time.Millisecond
