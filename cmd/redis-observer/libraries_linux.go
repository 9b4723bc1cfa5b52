package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	libraries "github.com/redis-observer/redis-observer/internal/capture/attach"
)

// attachCommand becomes the process that attaches to TLS libraries. Only the observer runs it.
func attachCommand() *cobra.Command {
	return &cobra.Command{
		Use:    libraries.Command,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return libraries.Serve(slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
		},
	}
}
