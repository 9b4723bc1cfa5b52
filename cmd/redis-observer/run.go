package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/lookup"
	"github.com/redis-observer/redis-observer/internal/naming"
	"github.com/redis-observer/redis-observer/internal/spelling"
)

// program holds the external functions of the commands. Tests replace them.
type program struct {
	resolver naming.Resolver
	machine
}

// run executes the command line and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return program{lookup.New(nil), thisMachine()}.run(ctx, args, stdout, stderr)
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
		var status interface{ ExitStatus() int }
		if errors.As(err, &status) {
			return status.ExitStatus()
		}
		return 1
	}
	return 0
}

// untilEOF is the flag of an observer that ends with its standard input, for top --attach.
const untilEOF = "until-eof"

// root is the command that observes, and the parent of the others.
func (p program) root() *cobra.Command {
	var attached bool
	root := &cobra.Command{
		Use:   "redis-observer",
		Short: "Observe Redis traffic with eBPF and serve Prometheus metrics",
		Long: `redis-observer observes the Redis traffic of the programs on this host and serves Prometheus metrics of
each command: its rate, duration and outcome. Without a command it observes until SIGINT or SIGTERM;
SIGHUP reloads the configuration.

Each key of the configuration has an environment variable, REDIS_OBSERVER_ and the path of the key in
capitals, for example REDIS_OBSERVER_CAPTURE_BACKEND. Variables override the file, and flags override both.`,
		Example: `  redis-observer --config observer.yaml
  redis-observer check --config observer.yaml`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			if attached {
				go func() {
					_, _ = io.Copy(io.Discard, cmd.InOrStdin()) // an error is an end too
					cancel()
				}()
			}
			return p.observe(ctx, loader(cmd), cmd.ErrOrStderr())
		},
	}
	addConfigFlags(root, config.AddFlags)
	root.Flags().BoolVar(&attached, untilEOF, false, "end at the end of the standard input")
	_ = root.Flags().MarkHidden(untilEOF) // the flag exists
	root.SetVersionTemplate(versionText())
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(p.replayCommand(), p.topCommand(), versionCommand())
	root.AddCommand(p.machineCommands()...)
	root.AddCommand(manCommands(root)...)
	root.Args = verbs(root)
	for _, command := range root.Commands() {
		if command.Args == nil {
			command.Args = cobra.NoArgs
		}
	}
	return root
}

// verbs rejects arguments of the root command, which can only be a misspelt command.
func verbs(root *cobra.Command) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var names []string
		for _, command := range root.Commands() {
			if command.IsAvailableCommand() {
				names = append(names, command.Name())
			}
		}
		return fmt.Errorf("unknown command %q (%sallowed %s)", args[0], didYouMean(args[0], names), strings.Join(names, ", "))
	}
}

// flagError adds the nearest flag to the error of one that does not exist.
func flagError(cmd *cobra.Command, err error) error {
	var missing *pflag.NotExistError
	if !errors.As(err, &missing) {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { names = append(names, "--"+flag.Name) })
	return fmt.Errorf("%w (%ssee %s --help)", err, didYouMean("--"+missing.GetSpecifiedName(), names), cmd.CommandPath())
}

func didYouMean(word string, candidates []string) string {
	if near := spelling.Nearest(word, candidates); near != "" {
		return "did you mean " + near + "? "
	}
	return ""
}

// addConfigFlags adds the flags of the configuration to a command that reads it.
func addConfigFlags(cmd *cobra.Command, add func(*pflag.FlagSet, []string)) {
	cmd.Flags().StringP("config", "c", "", "configuration `file` (default: none, all keys at their defaults)")
	add(cmd.Flags(), backends())
	for flag, values := range map[string][]string{
		"backend": backends(), "otlp-protocol": {config.GRPC, config.HTTPProtobuf}, "log-level": {"debug", "info", "warn", "error"}, "log-format": {config.TextFormat, config.JSONFormat},
	} {
		if cmd.Flags().Lookup(flag) != nil {
			_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
		}
	}
}

// addOutputFlag adds --output. The first format is the default.
func addOutputFlag(cmd *cobra.Command, output *string, formats ...string) {
	last := len(formats) - 1
	cmd.Flags().StringVarP(output, "output", "o", formats[0], "output format: "+strings.Join(formats[:last], ", ")+" or "+formats[last])
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
}

// loader returns the loader of the configuration of a command that has addConfigFlags.
func loader(cmd *cobra.Command) config.Loader {
	path, _ := cmd.Flags().GetString("config")
	return config.Loader{Path: path, Flags: cmd.Flags(), Backends: backends()}
}
