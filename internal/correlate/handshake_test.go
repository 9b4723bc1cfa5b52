package correlate

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/test/kit"
)

// moved is what a client sent or received at once.
type moved struct {
	direction event.Direction
	data      []byte
}

// recorded is a client's connection that records what moves.
type recorded struct {
	net.Conn
	all []moved
}

func (r *recorded) Write(b []byte) (int, error) {
	r.all = append(r.all, moved{event.Request, slices.Clone(b)})
	return r.Conn.Write(b)
}

func (r *recorded) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	if n > 0 {
		r.all = append(r.all, moved{event.Reply, slices.Clone(b[:n])})
	}
	return n, err
}

// shakeHands connects a client to a server, and sends something both ways. It returns what moved, and how much of it before the
// handshake was done, 0 if it failed.
func shakeHands(t *testing.T, client, server *tls.Config) (all []moved, done int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	far, err := listener.Accept()
	require.NoError(t, err)
	wire := &recorded{Conn: near}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer far.Close()
		peer := tls.Server(far, server)
		b := make([]byte, 100)
		if n, err := peer.Read(b); err == nil {
			_, _ = peer.Write(b[:n]) // the client may be gone
		}
	}()
	c := tls.Client(wire, client)
	if err := c.Handshake(); err == nil {
		done = len(wire.all)
		_, err = c.Write([]byte("PING\r\n"))
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 100)) // the tickets of the server come first
		require.NoError(t, err)
	}
	near.Close()
	<-ended
	return wire.all, done
}

// measured returns the steps of the life of a connection on which this moved, in pieces of at most size bytes. The time is the number
// of what moved, from 1 on.
func measured(t *testing.T, role event.Role, all []moved, size int) []string {
	t.Helper()
	p, steps := living(t, role, true)
	p.play("open")
	for i, m := range all {
		pieces := slices.Collect(slices.Chunk(m.data, size))
		if i == 0 {
			pieces = [][]byte{m.data} // a ClientHello is sent at once
		}
		for _, piece := range pieces {
			p.now = int64(i + 1)
			p.event(event.Event{Kind: event.Data, Direction: m.direction, Seq: p.seq[m.direction], Data: piece})
			p.seq[m.direction] += uint32(len(piece))
		}
	}
	return *steps
}

func TestHandshake(t *testing.T) {
	certificate, err := kit.NewCertificate(t.TempDir())
	require.NoError(t, err)
	pair, err := tls.LoadX509KeyPair(certificate.File, certificate.Key)
	require.NoError(t, err)
	tests := map[string]func(client, server *tls.Config){
		"1.3":              func(client, _ *tls.Config) { client.MinVersion = tls.VersionTLS13 },
		"1.3, another key": func(_, server *tls.Config) { server.CurvePreferences = []tls.CurveID{tls.CurveP521} },
		"1.3, both prove":  func(_, server *tls.Config) { server.ClientAuth = tls.RequireAnyClientCert },
		"1.2":              func(client, _ *tls.Config) { client.MaxVersion = tls.VersionTLS12 },
		"1.2, both prove": func(client, server *tls.Config) {
			client.MaxVersion, server.ClientAuth = tls.VersionTLS12, tls.RequireAnyClientCert
		},
		"1.2 without tickets": func(client, server *tls.Config) {
			client.MaxVersion, server.SessionTicketsDisabled = tls.VersionTLS12, true
		},
	}
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !strings.HasPrefix(suite.Name, "TLS_ECDHE_ECDSA_") { // as the key of the certificate
			continue
		}
		tests["1.2 "+suite.Name] = func(client, server *tls.Config) {
			client.MaxVersion, client.CipherSuites, server.CipherSuites = tls.VersionTLS12, []uint16{suite.ID}, []uint16{suite.ID}
		}
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			client := certificate.ClientConfig()
			client.ServerName, client.Certificates, client.ClientSessionCache = "127.0.0.1", []tls.Certificate{pair}, tls.NewLRUClientSessionCache(1)
			server := &tls.Config{Certificates: []tls.Certificate{pair}}
			change(client, server)
			for _, how := range []string{"full", "resumed"} {
				all, done := shakeHands(t, client, server)
				require.NotZero(t, done, "the ends do not agree")
				want := []string{"opened 0", fmt.Sprintf("secured %d", done-1)}
				for _, size := range []int{1, 5, 1000, 1 << 20} {
					assert.Equal(t, want, measured(t, event.Client, all, size), "%s, in pieces of %d", how, size)
				}
				assert.Equal(t, want[:1], measured(t, event.Server, all, 1000))
				assert.Equal(t, want[:1], measured(t, event.Client, all[:done-1], 1000), "not done")
			}
		})
	}
}
