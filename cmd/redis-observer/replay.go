package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/metrics"
)

func (p program) replayCommand() *cobra.Command {
	var output string
	var options replayOptions
	replay := &cobra.Command{
		Use:   "replay FILE...",
		Short: "Count the commands in packet captures (pcap or pcapng, also .gz or .zst; - reads standard input)",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			if !cmd.Flags().Changed("output") && isTerminal(cmd.OutOrStdout()) {
				output = "table"
			}
			if writers[output] == nil {
				return fmt.Errorf("replay: unknown output %q (allowed prometheus, table, json)", output)
			}
			if options.follow && len(files) > 1 {
				return errors.New("replay: --follow reads one file (name the one that is still written)")
			}
			load := loader(cmd)
			options.discover = takeAuto(cmd.Flags().Lookup("ports"))
			options.files, options.stdin = files, cmd.InOrStdin()
			r, err := p.openReplay(cmd.Context(), load, options, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return r.run(cmd.Context(), writers[output], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	addConfigFlags(replay, func(flags *pflag.FlagSet, _ []string) { config.AddCountFlags(flags) })
	addOutputFlag(replay, &output, "prometheus", "table", "json")
	replay.Flags().Lookup("output").DefValue = "prometheus, on a terminal table"
	replay.Flags().Lookup("ports").Usage += "; auto observes whatever else speaks RESP too"
	replay.Flags().BoolVarP(&options.follow, "follow", "f", false, "wait for more packets at the end of the file, until interrupted")
	return replay
}

// takeAuto reports whether the ports are to be found, and sets the flag to its default then.
func takeAuto(ports *pflag.Flag) bool {
	list, ok := ports.Value.(pflag.SliceValue)
	if !ok || !slices.Equal(list.GetSlice(), []string{"auto"}) {
		return false
	}
	ports.Changed = false
	_ = list.Replace(strings.Split(strings.Trim(ports.DefValue, "[]"), ",")) // the default is valid
	return true
}

// replayOptions are what a replay reads.
type replayOptions struct {
	files    []string
	stdin    io.Reader
	follow   bool // the file is still written
	discover bool // observe whatever speaks RESP
}

// replay counts the commands of captures.
type replay struct {
	*stages
	source  *packet.Replay
	options replayOptions
}

func (p program) openReplay(ctx context.Context, load config.Loader, options replayOptions, stderr io.Writer) (*replay, error) {
	c, err := load.Load()
	if err != nil {
		return nil, err
	}
	logger, level := newLogger(stderr, c.Log)
	level.Set(max(c.Log.Level, slog.LevelWarn)) // a replay has no use for the info messages of the daemon
	stages, err := p.newStages(ctx, c, 0, logger)
	if err != nil {
		return nil, err
	}
	for _, note := range packetNotes(c) {
		logger.Warn("captures do not show all that is configured", "note", note)
	}
	clientPorts, serverPorts := stages.names.ClientPorts(), stages.names.ServerPorts()
	if options.discover {
		rules := rulesOf(c)
		for port := 1; port <= math.MaxUint16; port++ {
			rules.Ports = append(rules.Ports, uint16(port))
		}
		stages.names.Apply(ctx, rules)
	}
	source, err := packet.OpenReplay(packet.ReplayOptions{
		Files:       options.files,
		Stdin:       options.stdin,
		Follow:      options.follow && options.files[0] != "-",
		ClientPorts: clientPorts,
		ServerPorts: serverPorts,
		Discover:    options.discover,
		Resolve:     stages.names.Counts,
		HasName:     stages.hasName(c),
		IsRequest:   stages.isRequest,
	})
	if err != nil {
		return nil, err
	}
	stages.keepSlow(c, true)
	stages.follow(true, metrics.Sources{Backend: "replay", Capture: source.Stats})
	return &replay{stages, source, options}, nil
}

// run reads the captures and prints the result, with losses on stderr. For damaged captures it
// prints what they contain and returns an error.
func (r *replay) run(ctx context.Context, write writer, stdout, stderr io.Writer) error {
	stop := context.AfterFunc(ctx, func() { _ = r.source.Close() })
	defer stop()
	progress := r.showProgress(stdout, stderr)
	err := r.observe(r.source, new(heartbeat))
	progress.stop()
	if err != nil {
		return err
	}
	families, err := r.recorder.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	found := result{
		families: families, summary: r.source.Summary(), span: r.source.Span(), kinds: r.tracker.Stats().Connections,
		outstanding: r.tracker.Outstanding(), ports: append(r.names.ClientPorts(), r.names.ServerPorts()...),
		discover: r.options.discover, damaged: r.source.Fault() != nil,
	}
	if r.slow != nil {
		view := r.slow.View(time.Time{})
		found.slow = &view
	}
	_, found.octets, _ = r.source.Progress()
	if err := write(stdout, found); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	writeSummary(stderr, found)
	if ctx.Err() != nil && !r.options.follow {
		return fmt.Errorf("replay: %w (the result covers the packets read until then)", context.Cause(ctx))
	}
	if err := r.source.Fault(); err != nil {
		return err
	}
	if cause := found.nothing(); cause != "" {
		return nothingRead{cause}
	}
	return nil
}

// hasName returns whether a connection has the name of an endpoint; nil if no endpoint is
// configured.
func (s *stages) hasName(c *config.Config) func(event.Role, *event.Endpoints) bool {
	if len(c.Endpoints) == 0 {
		return nil
	}
	return s.names.HasName
}

// isRequest reports whether a payload begins with a request for a known command.
func (s *stages) isRequest(payload []byte) bool {
	count, rest, _ := bytes.Cut(payload, []byte("\r\n"))
	length, rest, _ := bytes.Cut(rest, []byte("\r\n"))
	name, _, found := bytes.Cut(rest, []byte("\r\n"))
	return found && len(count) > 1 && count[0] == '*' && string(length) == fmt.Sprintf("$%d", len(name)) && s.commands.Lookup(name, nil) != command.Other
}
