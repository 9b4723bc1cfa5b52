package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/naming"
)

// surveyed is a server's address with connections on this host, at one end. Its JSON form is part of
// the interface of check.
type surveyed struct {
	Address     string `json:"address"`
	End         string `json:"end"`  // client: connections to the address; server: connections accepted at it
	Name        string `json:"name"` // "" if they do not count
	Unnamed     bool   `json:"unnamed"`
	Connections int    `json:"connections"`
}

// Limits of a survey, because others choose the addresses.
const (
	maxSurveyedAddresses   = 4096
	maxSurveyedConnections = 1 << 18
	longestSurvey          = time.Hour
)

// survey is what is seen of the connections on the observed ports.
type survey struct {
	names       *naming.Names
	paths       []event.Path
	addresses   map[surveyed]int
	connections map[event.Endpoints]bool
}

// survey observes the host for a while with the probes of the daemon, and returns the addresses of
// servers, those without a name of their own first.
func (p program) survey(ctx context.Context, c *config.Config, names *naming.Names, duration time.Duration) ([]surveyed, error) {
	options := captureOptions(c, names, slog.New(slog.DiscardHandler))
	options.TLS = false // what the connections carry does not matter
	// Packets that do not count are left out before they can be seen here.
	options.Resolve = func(event.Role, *event.Endpoints) bool { return true }
	source, err := p.open(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("observe for %s: %w", duration, err)
	}
	end := time.AfterFunc(duration, func() { _ = source.Close() })
	defer end.Stop()
	stop := context.AfterFunc(ctx, func() { _ = source.Close() })
	defer stop()
	s := survey{names: names, paths: names.Paths(), addresses: map[surveyed]int{}, connections: map[event.Endpoints]bool{}}
	if err := s.read(source); err != nil {
		return nil, err
	}
	return s.result(), nil
}

// read takes all events until the source is closed.
func (s *survey) read(source capture.Source) error {
	var e event.Event
	for {
		switch err := source.Read(&e); {
		case errors.Is(err, os.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("read events: %w", err)
		case e.Kind != event.Tick && e.Kind != event.Listed:
			s.note(e.Role, e.Endpoints)
		}
	}
}

// note counts a connection once.
func (s *survey) note(role event.Role, e event.Endpoints) {
	if s.connections[e] || len(s.connections) >= maxSurveyedConnections {
		return
	}
	s.connections[e] = true
	of := surveyed{Address: s.addressOf(role, &e), End: roleName(role)}
	if id, counts := s.names.Resolve(role, &e); counts {
		values, _ := s.names.Registry().Values(id) // nothing is released meanwhile
		of.Name, of.Unnamed = values[0], !s.names.Keeps(id)
	}
	if _, known := s.addresses[of]; known || len(s.addresses) < maxSurveyedAddresses {
		s.addresses[of]++
	}
}

// addressOf returns the address of the server.
func (s *survey) addressOf(role event.Role, e *event.Endpoints) string {
	if index, ok := e.Path(role); ok {
		for _, path := range s.paths {
			if path.Index == index {
				return "unix:" + path.Text
			}
		}
	}
	if role == event.Server {
		return e.LocalAddrPort().String()
	}
	return e.RemoteAddrPort().String()
}

// result returns the addresses: those with the default name, the others, those that do not count; of
// each the ones with the most connections first.
func (s *survey) result() []surveyed {
	list := []surveyed{}
	for of, connections := range s.addresses {
		of.Connections = connections
		list = append(list, of)
	}
	slices.SortFunc(list, func(a, b surveyed) int {
		return cmp.Or(cmp.Compare(a.order(), b.order()), cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Address, b.Address), cmp.Compare(a.End, b.End))
	})
	return list
}

func (of surveyed) order() int {
	switch {
	case of.Unnamed:
		return 0
	case of.Name != "":
		return 1
	}
	return 2
}

// writeSurvey prints the addresses.
func writeSurvey(w io.Writer, list []surveyed) {
	for _, of := range list {
		name := of.Name
		switch {
		case of.Unnamed:
			name += " (no endpoint has it)"
		case name == "":
			name = "not counted"
		}
		fmt.Fprintf(w, "%s\tat the %s end\t%s\t%s\n", of.Address, of.End, plural(of.Connections, "connection"), name)
	}
	if len(list) == 0 {
		fmt.Fprintln(w, "no connection on the observed ports")
	}
}
