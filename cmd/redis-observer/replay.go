package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/metrics"
	"github.com/redis-observer/redis-observer/internal/naming"
)

func (p program) replayCommand() *cobra.Command {
	var output string
	replay := &cobra.Command{
		Use:   "replay FILE...",
		Short: "Count the commands in captures of packets (pcap or pcapng, also as .gz or .zst; - is standard input)",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			if writers[output] == nil {
				return fmt.Errorf("replay: unknown output %q (allowed prometheus, table, json)", output)
			}
			r, err := p.openReplay(cmd.Context(), configFlag(cmd), cmd.Flags(), files, cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return r.run(cmd.Context(), writers[output], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	replay.Flags().StringVarP(&output, "output", "o", "prometheus", "form of the result: prometheus, table or json")
	return replay
}

// replay is the observer over what was captured before.
type replay struct {
	source   *packet.Replay
	names    *naming.Names
	tracker  *correlate.Tracker
	recorder *metrics.Recorder
}

func (p program) openReplay(ctx context.Context, path string, flags *pflag.FlagSet, files []string, stdin io.Reader, stderr io.Writer) (*replay, error) {
	c, err := config.Load(path, flags)
	if err != nil {
		return nil, err
	}
	table, err := command.New(c.ExtraCommands, c.RenamedCommands)
	if err != nil {
		return nil, err
	}
	logger, level := newLogger(stderr, c.Log)
	level.Set(max(c.Log.Level, slog.LevelWarn)) // what a daemon tells of its life is of no interest here
	names := naming.New(ctx, rulesOf(c), p.resolver, logger)
	source, err := packet.OpenReplay(packet.ReplayOptions{
		Files:       files,
		Stdin:       stdin,
		ClientPorts: names.ClientPorts(),
		ServerPorts: names.ServerPorts(),
		Resolve:     hasName(names),
	})
	if err != nil {
		return nil, err
	}
	recorder := newRecorder(c, table, names, logger)
	r := &replay{source: source, names: names, tracker: newTracker(table, names, recorder, true, limitMemory(os.DirFS("/"), 0)), recorder: recorder}
	r.recorder.Watch(metrics.Sources{
		Backend: "replay",
		Capture: source.Stats,
		Tracker: r.tracker.Stats,
		Pools:   func() []correlate.Pool { return livePools(r.tracker, names) },
	})
	return r, nil
}

// run reads the captures, then prints what was found, the losses apart. Damaged captures are an error, after what they held was counted.
func (r *replay) run(ctx context.Context, write writer, stdout, stderr io.Writer) error {
	stop := context.AfterFunc(ctx, func() { _ = r.source.Close() })
	defer stop()
	progress := showProgress(r.source, stderr)
	err := observe(r.source, r.names, r.tracker, r.recorder, new(pulse))
	progress.stop()
	if err != nil {
		return err
	}
	families, err := r.recorder.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	found := result{families: families, source: r.source, outstanding: r.tracker.Outstanding()}
	if err := write(stdout, found); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	writeLoss(stderr, found)
	if ctx.Err() != nil {
		return fmt.Errorf("replay: %w (the result is of what was read until then)", context.Cause(ctx))
	}
	return r.source.Fault()
}
