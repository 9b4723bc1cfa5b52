//go:build !linux

package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// errNotLinux is the error of what needs the Linux kernel.
var errNotLinux = errors.New("observing needs Linux: run this on the machine of the clients or of Redis, or count what a capture holds with `redis-observer replay FILE`")

// machine has nothing to observe.
type machine struct{}

func thisMachine() machine { return machine{} }

func (program) observe(context.Context, string, *pflag.FlagSet, io.Writer) error { return errNotLinux }

func (program) machineCommands() []*cobra.Command { return nil }
