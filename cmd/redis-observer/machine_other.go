//go:build !linux

package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/redis-observer/redis-observer/internal/config"
)

// errNotLinux is the error of commands that require Linux.
var errNotLinux = errors.New("observing requires Linux: run it on the hosts of the clients or of Redis, or count the commands of a capture with `redis-observer replay FILE`")

// machine is empty, because observing requires Linux.
type machine struct{}

func thisMachine() machine { return machine{} }

func (program) observe(context.Context, config.Loader, io.Writer) error { return errNotLinux }

// backends is nil: a replay accepts the configuration of an observer with any backend.
func backends() []string { return nil }

func (program) machineCommands() []*cobra.Command { return nil }
