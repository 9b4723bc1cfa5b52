//go:build !linux

package main

import (
	"context"

	"github.com/spf13/cobra"
)

func attach(*cobra.Command, context.CancelCauseFunc) (address string, stop func(), err error) {
	return "", nil, errNotLinux
}
