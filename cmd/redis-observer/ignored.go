package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/owner"
)

// ignored says whose connections are left out. Its JSON form is part of the interface of check.
type ignored struct {
	Processes  []string `json:"processes,omitempty"`
	Units      []string `json:"units,omitempty"`
	Namespaces []string `json:"namespaces,omitempty"`
}

// ignoredOf returns whose connections a configuration leaves out, nil if nobody's.
func ignoredOf(c *config.Config) *ignored {
	if owner.Ignore(c.Ignore).Empty() {
		return nil
	}
	return new(ignored(c.Ignore))
}

func (i *ignored) write(w io.Writer) {
	for _, row := range []struct {
		what  string
		names []string
	}{{"processes", i.Processes}, {"units", i.Units}, {"namespaces", i.Namespaces}} {
		if len(row.names) > 0 {
			fmt.Fprintf(w, "ignored %s\t%s\n", row.what, strings.Join(row.names, " "))
		}
	}
}

// packetNotes says what of a configuration has no effect where packets are all that is seen.
func packetNotes(c *config.Config) []string {
	var notes []string
	if owner.Wanted(c.Metrics.Labels) {
		notes = append(notes, "metrics.labels: labels of the owner are unknown, because packets do not show it")
	}
	if !owner.Ignore(c.Ignore).Empty() {
		notes = append(notes, "ignore: nobody is left out, because packets do not show who has a connection (leave out addresses, by role: ignore)")
	}
	if c.Metrics.Phases {
		notes = append(notes, "metrics.phases: there are no such metrics, because packets do not show when a program reads them")
	}
	if c.Capture.UserNamespaces == config.Unnamed {
		notes = append(notes, "capture.user_namespaces: all addresses have their names, because packets do not show user namespaces")
	}
	return notes
}
