package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"golang.org/x/term"

	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/plainfile"
	"github.com/redis-observer/redis-observer/internal/top"
)

const minInterval = 100 * time.Millisecond

// errNoTerminal is the error of top without a terminal.
var errNoTerminal = errors.New("top: the output is not a terminal (use --once for a table, or --output json)")

// topOptions are the flags of top.
type topOptions struct {
	output     string
	httpConfig string
	interval   time.Duration
	once       bool
	byNode     bool
	slow       bool
	addresses  bool
	attach     bool
}

func (p program) topCommand() *cobra.Command {
	var o topOptions
	command := &cobra.Command{
		Use:   "top [ADDRESS...]",
		Short: "Show the commands of running observers live",
		Long: `top shows rate, errors, durations and connections of each name and command, live, and says whether the
numbers are exact. It reads the metrics of running observers and needs no privilege: of those at the
addresses, otherwise of the one at the configured listen address. With --attach it observes by itself
instead, as the daemon would, and ends that with itself.

Durations are those of the last interval. Keys: ? shows them.`,
		Example: `  redis-observer top
  redis-observer top http://node-1:9479 http://node-2:9479 --by-node
  redis-observer top https://node-1:9479 --http-config client.yaml
  redis-observer top --attach --ports 6379
  redis-observer top --once --output json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, addresses []string) error { return p.top(cmd, o, addresses) },
	}
	addConfigFlags(command, config.AddSourceFlags)
	addOutputFlag(command, &o.output, "table", "json")
	flags := command.Flags()
	flags.StringVar(&o.httpConfig, "http-config", "", "`file` with basic_auth, authorization or tls_config, like http_config of Prometheus")
	flags.DurationVar(&o.interval, "interval", 2*time.Second, "time between two scrapes")
	flags.BoolVar(&o.once, "once", false, "print one interval and end; the status is 1 if an observer does not answer")
	flags.BoolVar(&o.byNode, "by-node", false, "show the nodes apart instead of their sum")
	flags.BoolVar(&o.slow, "slow", false, "show the slow commands (slow_commands in the configuration of the observer)")
	flags.BoolVar(&o.addresses, "addresses", false, "show the addresses without a name, and the names with their addresses")
	command.MarkFlagsMutuallyExclusive("slow", "addresses")
	flags.BoolVar(&o.attach, "attach", false, "observe by itself with the configuration (as root); no running observer is needed")
	return command
}

func (p program) top(cmd *cobra.Command, o topOptions, addresses []string) error {
	switch {
	case o.output != "table" && o.output != "json":
		return fmt.Errorf("top: unknown output %q (allowed table, json)", o.output)
	case o.interval < minInterval:
		return fmt.Errorf("top: an interval of %s is too short (allowed %s or more)", o.interval, minInterval)
	case o.attach && len(addresses) > 0:
		return errors.New("top: --attach observes this host (leave the addresses out)")
	case !term.IsTerminal(fileOf(cmd.OutOrStdout())) && !o.once && o.output == "table":
		return errNoTerminal
	}
	if o.attach {
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP) // the terminal was closed: stop the observer too
		defer stop()
		cmd.SetContext(ctx)
	}
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	if o.attach {
		address, stop, err := attach(cmd, cancel)
		if err != nil {
			return err
		}
		defer stop()
		addresses = []string{address}
	}
	if len(addresses) == 0 {
		address, err := addressOf(loader(cmd))
		if err != nil {
			return err
		}
		addresses = []string{address}
	}
	client, err := top.NewClient(addresses, o.httpConfig)
	if err != nil {
		return fmt.Errorf("top: %w", err)
	}
	screen := top.NewScreen()
	screen.By.Node = o.byNode
	switch {
	case o.slow:
		screen.Shows = top.SlowCommands
	case o.addresses:
		screen.Shows = top.AllAddresses
	}
	err = show(ctx, cmd, o, client, screen)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause // of --attach
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// show shows the observers until the user ends it.
func show(ctx context.Context, cmd *cobra.Command, o topOptions, client *top.Client, screen top.Screen) error {
	switch {
	case o.output == "json":
		return top.PrintJSON(ctx, cmd.OutOrStdout(), client, o.interval, screen, o.once)
	case o.once:
		if width, _, err := term.GetSize(fileOf(cmd.OutOrStdout())); err == nil {
			screen.Width = width
		}
		return top.PrintOnce(ctx, &colorprofile.Writer{Forward: cmd.OutOrStdout(), Profile: profile(cmd.OutOrStdout())}, client, o.interval, screen)
	}
	_, err := tea.NewProgram(top.NewModel(client, o.interval, screen), tea.WithContext(ctx),
		tea.WithInput(cmd.InOrStdin()), tea.WithOutput(cmd.OutOrStdout()), tea.WithColorProfile(profile(cmd.OutOrStdout()))).Run()
	if ctx.Err() != nil || errors.Is(err, tea.ErrInterrupted) {
		return context.Canceled
	}
	return err
}

// profile returns the colours of a terminal as its variables say. The library would also run tmux,
// perhaps as root.
func profile(w io.Writer) colorprofile.Profile {
	if !term.IsTerminal(fileOf(w)) {
		return colorprofile.NoTTY
	}
	return colorprofile.Env(os.Environ())
}

// fileOf returns the descriptor of a file, or -1.
func fileOf(w io.Writer) int {
	if file, ok := w.(*os.File); ok {
		return int(file.Fd())
	}
	return -1
}

// addressOf returns the address of the daemon that has a configuration.
func addressOf(load config.Loader) (string, error) {
	c, err := load.Load()
	if err != nil {
		return "", err
	}
	host, port, _ := net.SplitHostPort(c.Listen) // the configuration is valid
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme(c.WebConfig) + net.JoinHostPort(host, port), nil
}

// scheme returns https:// if a web configuration enables TLS.
func scheme(webConfig string) string {
	var settings struct {
		TLS map[string]any `yaml:"tls_server_config"`
	}
	if webConfig == "" {
		return "http://"
	}
	text, err := plainfile.Read(webConfig)
	if err == nil && yaml.Unmarshal(text, &settings) == nil && len(settings.TLS) > 0 {
		return "https://"
	}
	return "http://"
}
