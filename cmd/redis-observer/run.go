package main

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"

	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/naming"
)

// program holds the external functions of the commands. Tests replace them.
type program struct {
	resolver naming.Resolver
	machine
}

// run executes the command line and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return program{net.DefaultResolver, thisMachine()}.run(ctx, args, stdout, stderr)
}

func (p program) run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := p.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		last := newLogWriter(stderr) // a full pipe must not block the exit
		fmt.Fprintf(last, "redis-observer: %v\n", err)
		last.close()
		return 1
	}
	return 0
}

// root is the command that observes, and the parent of the others.
func (p program) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "redis-observer",
		Short:         "Observe Redis traffic with eBPF and serve Prometheus metrics",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.observe(cmd.Context(), loader(cmd), cmd.ErrOrStderr())
		},
	}
	root.PersistentFlags().StringP("config", "c", "", "configuration file (default: none, all keys at their defaults)")
	config.AddFlags(root.PersistentFlags(), backends())
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(p.replayCommand(), versionCommand())
	root.AddCommand(p.machineCommands()...)
	return root
}

// loader returns the loader of the configuration of a command.
func loader(cmd *cobra.Command) config.Loader {
	path, _ := cmd.Flags().GetString("config") // defined in root
	return config.Loader{Path: path, Flags: cmd.Flags(), Backends: backends()}
}
