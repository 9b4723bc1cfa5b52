package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/privilege"
)

// machine holds the functions that observing needs from this host. Tests replace them.
type machine struct {
	open   func(context.Context, capture.Options) (capture.Source, error)
	probe  func() capture.Report
	leave  func(check func() error) error
	drop   func(keep privilege.Set) (privilege.Set, error)
	filter func(write bool) error
}

func thisMachine() machine {
	return machine{open: capture.Open, probe: capture.Probe, leave: privilege.Leave, drop: privilege.Drop, filter: privilege.Filter}
}

// backends are the values of capture.backend.
func backends() []string { return append([]string{capture.Auto}, capture.Backends()...) }

// machineCommands are the commands that concern this host.
func (p program) machineCommands() []*cobra.Command {
	return []*cobra.Command{p.checkCommand(), attachCommand()}
}
