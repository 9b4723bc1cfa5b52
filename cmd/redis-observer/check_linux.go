package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/event"
)

// verdict is the result of check. Its JSON form is part of the interface of the command.
type verdict struct {
	Configuration configuration  `json:"configuration"`
	Kernel        capture.Report `json:"kernel"`
	Backend       string         `json:"backend"` // backend that would be used; "" if none works
	OK            bool           `json:"ok"`
}

// errUnfit is the error of a check that completed with a negative result. The output of the check
// has the reason.
var errUnfit = errors.New("check: this configuration cannot be used on this machine (see above)")

// errFaulty is the error of a question about a configuration that has faults.
var errFaulty = errors.New("check: the configuration has faults (see above)")

func (p program) checkCommand() *cobra.Command {
	var output, address string
	var duration time.Duration
	check := &cobra.Command{
		Use:   "check",
		Short: "Validate the configuration, show its meaning, and report which backends work on this host",
		Long: `check verifies all that the daemon would use: the configuration with its file, variables and flags, the
web configuration, the listen address, and the backends that this host allows. It shows the meaning of
the configuration: names, resolved addresses, observed ports, the number of series, and whether the
collector can be reached.

The exit status is 0 if the daemon would observe with this configuration on this host, otherwise 1.`,
		Example: `  redis-observer check --config observer.yaml
  redis-observer check --config observer.yaml --output json
  redis-observer check --config observer.yaml --name-of 10.2.3.4:6379
  redis-observer check --config observer.yaml --for 5s`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("check: unknown output %q (allowed text, json)", output)
			}
			if cmd.Flags().Changed("for") && (duration <= 0 || duration > longestSurvey) {
				return fmt.Errorf("check: --for %s is out of range (allowed up to %s)", duration, longestSurvey)
			}
			switch {
			case address != "":
				return p.answer(cmd, address, output)
			case duration > 0:
				return p.look(cmd, duration, output)
			}
			v := p.check(cmd.Context(), loader(cmd))
			if err := v.write(cmd.OutOrStdout(), output); err != nil {
				return fmt.Errorf("write result: %w", err)
			}
			if !v.OK {
				return errUnfit
			}
			return nil
		},
	}
	addConfigFlags(check, config.AddFlags)
	check.Flags().StringVar(&address, "name-of", "", "print only the name that a server's `address:port` has, and the reason")
	check.Flags().DurationVar(&duration, "for", 0, "observe for a `duration`, as 5s, and print only the addresses with connections, unnamed ones first")
	addOutputFlag(check, &output, "text", "json")
	return check
}

// understood returns a configuration as the daemon would use it, or prints its faults.
func (p program) understood(cmd *cobra.Command, output string) (*understanding, error) {
	c := p.checkConfiguration(cmd.Context(), loader(cmd))
	if c.Valid {
		return c.understood, nil
	}
	if err := write(cmd.OutOrStdout(), output, c, inColumns(c.write)); err != nil {
		return nil, fmt.Errorf("write result: %w", err)
	}
	return nil, errFaulty
}

// answer prints the name of an address, or the faults of the configuration.
func (p program) answer(cmd *cobra.Command, address, output string) error {
	u, err := p.understood(cmd, output)
	if err != nil {
		return err
	}
	answers, err := p.nameOf(cmd.Context(), u, address)
	if err != nil {
		return err
	}
	return write(cmd.OutOrStdout(), output, answers, inColumns(func(w io.Writer) { writeAnswers(w, answers) }))
}

// look prints the addresses that have connections on this host, or the faults of the configuration.
func (p program) look(cmd *cobra.Command, duration time.Duration, output string) error {
	u, err := p.understood(cmd, output)
	if err != nil {
		return err
	}
	list, err := p.survey(cmd.Context(), u.config, u.names, duration)
	if err != nil {
		return err
	}
	return write(cmd.OutOrStdout(), output, list, inColumns(func(w io.Writer) { writeSurvey(w, list) }))
}

// check continues after a fault, so that one run reports all of them.
func (p program) check(ctx context.Context, load config.Loader) verdict {
	v := verdict{Configuration: p.checkConfiguration(ctx, load), Kernel: p.probe()}
	var paths []event.Path
	if u := v.Configuration.understood; u != nil {
		paths = u.names.Paths()
		v.Configuration.Notes = append(v.Configuration.Notes, unixNotes(paths, v.Kernel.UnixListeners)...)
	}
	// Reports are sent to others: they have no names of other programs' sockets.
	v.Kernel.UnixListeners = slices.DeleteFunc(slices.Clone(v.Kernel.UnixListeners), func(name string) bool {
		return !likeRedis.MatchString(name) && !isConfigured(name, paths)
	})
	for _, backend := range v.Kernel.Backends {
		if backend.Usable && backend.Name == v.Configuration.Backend {
			v.Backend = backend.Name
		}
	}
	if v.Configuration.Backend == capture.Auto {
		v.Backend = v.Kernel.Auto
	}
	if u := v.Configuration.understood; u != nil && v.Backend == packet.Backend {
		v.Configuration.Notes = append(v.Configuration.Notes, packetNotes(u.config)...)
	}
	v.OK = v.Configuration.Valid && v.Backend != ""
	return v
}

func (v verdict) write(w io.Writer, output string) error {
	return write(w, output, v, inColumns(v.Configuration.write, v.writeKernel))
}

// inColumns returns a function that aligns the cells of several parts.
func inColumns(parts ...func(io.Writer)) func(io.Writer) error {
	return func(w io.Writer) error {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, part := range parts {
			part(table)
		}
		return table.Flush()
	}
}

// write prints a result as JSON, or as text.
func write(w io.Writer, output string, result any, text func(io.Writer) error) error {
	if output != "json" {
		return text(w)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(result)
}

func (v verdict) writeKernel(w io.Writer) {
	k := v.Kernel
	fmt.Fprintf(w, "kernel\t%s %s\n", k.Kernel, k.Architecture)
	fmt.Fprintf(w, "BTF\t%s\n", k.BTF)
	fmt.Fprintf(w, "ring buffer\t%s\n", k.RingBuffer)
	fmt.Fprintf(w, "capabilities\t%s\n", strings.Join(k.Capabilities, " "))
	fmt.Fprintf(w, "lockdown\t%s\n", k.Lockdown)
	for _, backend := range k.Backends {
		state := "usable"
		if !backend.Usable {
			state = "not usable: " + backend.Reason
		}
		fmt.Fprintf(w, "backend %s\t%s\n", backend.Name, state)
		if backend.NoUnix != "" {
			fmt.Fprintf(w, "\tno Unix sockets: %s\n", backend.NoUnix)
		}
		if backend.Unseen != "" {
			fmt.Fprintf(w, "\tdoes not see: %s\n", backend.Unseen)
		}
	}
	fmt.Fprintf(w, "TLS\t%s\n", k.TLS)
	used := v.Backend
	if used == "" {
		used = "none works"
	}
	fmt.Fprintf(w, "would use\t%s (capture.backend: %s)\n", used, v.Configuration.Backend)
}
