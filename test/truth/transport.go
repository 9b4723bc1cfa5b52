package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/test/kit"
)

// transport is a row of the table of transports: everything that depends on the way from the clients to an observed server.
type transport struct {
	name string
	// addresses are those of a server in the configuration of the observers.
	addresses func(*server) []string
	// listen returns what the kit starts a server with, so that clients of this transport reach it at port, and no observer sees how it
	// is controlled.
	listen func(s *server, port int) (kitPort int, socket string, options []string)
	// dial connects a client that sends what it likes.
	dial func(*kit.Redis) (net.Conn, error)
	// url is the server's address for libraries, tool for the programs that came with it.
	url  func(*kit.Redis) string
	tool func(*kit.Redis) []string
	// sentinel is what a sentinel needs in its configuration to use it; may be nil.
	sentinel func() string
	// prepare makes the observers ready for a client of a round, and returns what is to be done at its end; may be nil.
	prepare func(*round, context.Context) (release func(), err error)
	// lacks are the clients that cannot use it, with the reason.
	lacks map[string]string
	// without reports whether the tools of a server cannot use it with a client; may be nil.
	without func(*server, client) bool
}

// transports are what is tried. TCP and Unix sockets of a server are observed under the same name.
var transports = []transport{
	{
		name:      "tcp",
		addresses: func(s *server) []string { return []string{fmt.Sprint("*:", s.port), fmt.Sprint("*:", s.port+1)} },
		listen:    func(_ *server, port int) (int, string, []string) { return port, "", nil },
		dial:      func(r *kit.Redis) (net.Conn, error) { return net.DialTimeout("tcp", r.Address(), patience) },
		url:       func(r *kit.Redis) string { return "redis://" + r.Address() },
		tool:      func(r *kit.Redis) []string { return []string{"-p", strconv.Itoa(r.Port)} },
		lacks:     map[string]string{"hiredis-ssl": "it speaks TLS only"},
	},
	{
		name:      "unix",
		addresses: func(s *server) []string { return []string{"unix:" + s.socket()} },
		listen:    func(s *server, port int) (int, string, []string) { return port + unobserved, s.socket(), nil },
		dial:      dialUnix,
		url:       func(r *kit.Redis) string { return "unix://" + r.Socket },
		tool:      func(r *kit.Redis) []string { return []string{"-s", r.Socket} },
		lacks: map[string]string{
			"hiredis-ssl":    "it speaks TLS only",
			"replica":        "REPLICAOF takes a host and a port",
			"replica-dual":   "REPLICAOF takes a host and a port",
			"sentinel":       "a sentinel takes a host and a port",
			"migrate":        "MIGRATE takes a host and a port",
			"cluster":        "redirections name a host and a port",
			"slot-migration": "redirections name a host and a port",
		},
	},
	{
		name:      "tls",
		addresses: func(*server) []string { return nil }, // those of tcp
		listen:    listenTLS,
		dial:      dialTLS,
		url:       func(r *kit.Redis) string { return "rediss://" + r.Address() },
		tool: func(r *kit.Redis) []string {
			return []string{"-p", strconv.Itoa(r.Port), "--tls", "--cacert", certificate.File}
		},
		sentinel: sentinelTLS,
		prepare:  (*round).attachLibraries,
		without:  func(s *server, c client) bool { return s.version == 6.0 && c.name == "redis-benchmark" },
		lacks: map[string]string{
			"hiredis":  "hiredis-ssl is its row",
			"raw-full": "the server closes what it refuses before the handshake, so nothing can be sent",
		},
	},
}

func transportName(t transport) string { return t.name }

// socket is the path of a server's Unix socket, where it is observed.
func (s *server) socket() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("truth-%d.sock", s.port))
}

// dialUnix connects to the server's Unix socket. A full backlog refuses at once there, where that of TCP has the client wait.
func dialUnix(r *kit.Redis) (net.Conn, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		c, err := net.Dial("unix", r.Socket)
		if !errors.Is(err, unix.EAGAIN) || time.Now().After(deadline) {
			return c, err
		}
	}
}

// observedAddresses are those of a server by all transports, as a list of the configuration.
func (s *server) observedAddresses() string {
	var all []string
	for _, t := range transports {
		for _, address := range t.addresses(s) {
			all = append(all, strconv.Quote(address))
		}
	}
	return strings.Join(all, ", ")
}

// halfCloser is a connection of any transport.
type halfCloser interface{ CloseWrite() error }

// victim returns by what CLIENT KILL finds a connection. All clients of a Unix socket have the same address.
func victim(w *wire) (string, error) {
	if _, ok := w.Conn.(*net.UnixConn); !ok {
		return w.LocalAddr().String(), nil
	}
	id, err := w.ask("CLIENT ID")
	if err != nil {
		return "", err
	}
	return "ID " + id[0].Text + " SKIPME no", nil
}
