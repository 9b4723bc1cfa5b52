//go:build !linux

package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/redis-observer/redis-observer/internal/config"
)

// errNotLinux is the error of what needs the Linux kernel.
var errNotLinux = errors.New("observing requires Linux: run it on the hosts of the clients or of Redis, or count the commands of a capture with `redis-observer replay FILE`")

// machine has nothing to observe.
type machine struct{}

func thisMachine() machine { return machine{} }

func (program) observe(context.Context, config.Loader, io.Writer) error { return errNotLinux }

// backends: a replay reads the configuration of an observer, whatever backend that has.
func backends() []string { return nil }

func (program) machineCommands() []*cobra.Command { return nil }
