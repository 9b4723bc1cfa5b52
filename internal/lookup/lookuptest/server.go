// Package lookuptest has a DNS server for tests.
package lookuptest

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// Server answers for the names that it was given. It denies all others.
type Server struct {
	conn net.PacketConn
	mu   sync.Mutex
	all  map[string]record
	asks atomic.Int64
}

type record struct {
	ttl       uint32
	addresses []netip.Addr
	services  []dnsmessage.SRVResource
}

// Serve starts a server at an address until the test ends.
func Serve(tb testing.TB, address string) *Server {
	tb.Helper()
	conn, err := net.ListenPacket("udp", address)
	require.NoError(tb, err)
	s := &Server{conn: conn, all: map[string]record{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve()
	}()
	tb.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return s
}

// Address is where the server listens.
func (s *Server) Address() string { return s.conn.LocalAddr().String() }

// Asks returns the number of requests so far.
func (s *Server) Asks() int { return int(s.asks.Load()) }

// Set sets the answer for a name, with its lifetime in seconds.
func (s *Server) Set(name string, ttl uint32, addresses ...string) {
	r := record{ttl: ttl}
	for _, text := range addresses {
		r.addresses = append(r.addresses, netip.MustParseAddr(text))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[name+"."] = r
}

// SetSRV sets the SRV records of a name, each host:port, with their lifetime in seconds.
func (s *Server) SetSRV(name string, ttl uint32, targets ...string) {
	r := record{ttl: ttl}
	for i, target := range targets {
		host, text, _ := strings.Cut(target, ":")
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			panic(err)
		}
		r.services = append(r.services, dnsmessage.SRVResource{Priority: uint16(i), Weight: 1, Port: uint16(port), Target: dnsmessage.MustNewName(host + ".")})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[name+"."] = r
}

func (s *Server) serve() {
	buffer := make([]byte, 4096)
	for {
		n, from, err := s.conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		if reply, err := s.answer(buffer[:n]); err == nil {
			_, _ = s.conn.WriteTo(reply, from)
		}
	}
}

func (s *Server) answer(request []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(request)
	if err != nil {
		return nil, err
	}
	question, err := p.Question()
	if err != nil {
		return nil, err
	}
	s.asks.Add(1)
	s.mu.Lock()
	found, known := s.all[strings.ToLower(question.Name.String())]
	s.mu.Unlock()
	header.Response, header.Authoritative, header.RecursionAvailable = true, true, true
	if !known {
		header.RCode = dnsmessage.RCodeNameError
	}
	message := dnsmessage.Message{Header: header, Questions: []dnsmessage.Question{question}}
	for _, address := range found.addresses {
		if address.Is4() && question.Type == dnsmessage.TypeA {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: found.ttl},
				Body:   &dnsmessage.AResource{A: address.As4()},
			})
		}
	}
	if question.Type == dnsmessage.TypeSRV {
		for i := range found.services {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: found.ttl},
				Body:   &found.services[i],
			})
		}
	}
	return message.Pack()
}
