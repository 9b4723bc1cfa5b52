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
	"strings"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/kube"
	"github.com/redis-observer/redis-observer/internal/naming"
	"github.com/redis-observer/redis-observer/internal/owner"
)

// surveyed is a server's address with connections on this host, at one end. Its JSON form is part of
// the interface of check.
type surveyed struct {
	place
	Connections int      `json:"connections"`
	Processes   []string `json:"processes,omitempty"` // executables that use them at the observed end, as far as they are seen
}

// place is what connections are counted by in a survey.
type place struct {
	Address string `json:"address"`
	End     string `json:"end"`  // client: connections to the address; server: connections accepted at it
	Name    string `json:"name"` // "" if they do not count
	Unnamed bool   `json:"unnamed"`
	Ignored string `json:"ignored_by,omitempty"` // what of the owner leaves them out
}

// Limits of a survey, because others choose the addresses.
const (
	maxSurveyedAddresses   = 4096
	maxSurveyedConnections = 1 << 18
	maxSurveyedProcesses   = 16 // of an address
	longestSurvey          = time.Hour
)

// survey is what is seen of the connections on the observed ports.
type survey struct {
	names       *naming.Names
	paths       []event.Path
	filter      *owner.Filter
	unnamed     bool // addresses of user namespaces have no names
	connections map[half]seen
}

// half is an end of a connection.
type half struct {
	role      event.Role
	endpoints event.Endpoints
}

// seen is what is seen of an end of a connection.
type seen struct {
	owner         *event.Owner // nil if it is not
	userNamespace bool
}

// survey observes the host for a while with the probes of the daemon, and returns the addresses of
// servers, those without a name of their own first.
func (p program) survey(ctx context.Context, c *config.Config, names *naming.Names, duration time.Duration) ([]surveyed, error) {
	options := captureOptions(c, names, slog.New(slog.DiscardHandler))
	options.TLS = false // what the connections carry does not matter
	options.Owners = true
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
	s := survey{names: names, paths: names.Paths(), filter: filterOf(ctx, c), unnamed: c.Capture.UserNamespaces == config.Unnamed, connections: map[half]seen{}}
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
			s.note(&e)
		}
	}
}

// filterOf returns the filter of what is to be ignored. Pods that the API server does not tell are
// unknown, as they are to the daemon.
func filterOf(ctx context.Context, c *config.Config) *owner.Filter {
	s := stages{ignore: owner.Ignore(c.Ignore)}
	if len(c.Ignore.Namespaces) > 0 {
		s.pods = kube.NewPods()
		if api, node, err := podsOfNode(); err == nil {
			ctx, cancel := context.WithTimeout(ctx, checkTime)
			defer cancel()
			_ = api.ListPods(ctx, node, s.pods)
		}
	}
	return s.filter()
}

// note takes an event of a connection, and its owner if it shows more of it.
func (s *survey) note(e *event.Event) {
	of := half{e.Role, e.Endpoints}
	known, found := s.connections[of]
	if !found && len(s.connections) >= maxSurveyedConnections {
		return
	}
	if e.Owner != nil && (known.owner == nil || !known.owner.Complete) {
		known.owner = e.Owner
	}
	known.userNamespace = known.userNamespace || e.UserNamespace
	s.connections[of] = known
}

// placeOf returns what a connection counts by.
func (s *survey) placeOf(of *half, known seen) place {
	at := place{Address: s.addressOf(of.role, &of.endpoints), End: roleName(of.role)}
	resolve := s.names.Resolve
	if s.unnamed && known.userNamespace {
		resolve = s.names.Unnamed
	}
	id, counts := resolve(of.role, &of.endpoints)
	if !counts {
		return at
	}
	if decides := s.filter.Ignored(known.owner); decides != event.NoTrait {
		at.Ignored = decides.String()
		return at
	}
	values, _ := s.names.Registry().Values(id) // nothing is released meanwhile
	at.Name, at.Unnamed = values[0], !s.names.Keeps(id) && !s.names.SharesDefault(of.role, &of.endpoints)
	return at
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
	places := map[place]*surveyed{}
	for of, known := range s.connections {
		at, owner := s.placeOf(&of, known), known.owner
		found := places[at]
		if found == nil {
			if len(places) >= maxSurveyedAddresses {
				continue
			}
			found = &surveyed{place: at}
			places[at] = found
		}
		found.Connections++
		if owner != nil && owner.Executable != "" && !slices.Contains(found.Processes, owner.Executable) && len(found.Processes) < maxSurveyedProcesses {
			found.Processes = append(found.Processes, owner.Executable)
		}
	}
	list := []surveyed{}
	for _, of := range places {
		slices.Sort(of.Processes)
		list = append(list, *of)
	}
	slices.SortFunc(list, func(a, b surveyed) int {
		return cmp.Or(cmp.Compare(a.order(), b.order()), cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Address, b.Address), cmp.Compare(a.End, b.End), cmp.Compare(a.Ignored, b.Ignored))
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
		case of.Ignored != "":
			name = "ignored (" + of.Ignored + ")"
		case name == "":
			name = "not counted"
		}
		if len(of.Processes) > 0 {
			name += "\t" + strings.Join(of.Processes, " ")
		}
		fmt.Fprintf(w, "%s\tat the %s end\t%s\t%s\n", of.Address, of.End, plural(of.Connections, "connection"), name)
	}
	if len(list) == 0 {
		fmt.Fprintln(w, "no connection on the observed ports")
	}
}
