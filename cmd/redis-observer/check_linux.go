package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/metrics"
)

// verdict is the result of check. Its JSON form is part of the interface of the command.
type verdict struct {
	Configuration configuration  `json:"configuration"`
	Kernel        capture.Report `json:"kernel"`
	Backend       string         `json:"backend"` // backend that would be used; "" if none works
	OK            bool           `json:"ok"`
}

type configuration struct {
	File    string         `json:"file"`
	Valid   bool           `json:"valid"`
	Faults  []string       `json:"faults"`
	Backend string         `json:"backend"` // configured backend
	Series  *metrics.Bound `json:"series,omitempty"`
}

// errUnfit is the error of a check that completed with a negative result. The output of the check
// has the reason.
var errUnfit = errors.New("check: this configuration cannot be used on this machine (see above)")

func (p program) checkCommand() *cobra.Command {
	var output string
	check := &cobra.Command{
		Use:   "check",
		Short: "Validate the configuration and report which backends work on this host",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("check: unknown output %q (allowed text, json)", output)
			}
			v := p.check(loader(cmd))
			if err := v.write(cmd.OutOrStdout(), output); err != nil {
				return fmt.Errorf("write result: %w", err)
			}
			if !v.OK {
				return errUnfit
			}
			return nil
		},
	}
	check.Flags().StringVarP(&output, "output", "o", "text", "output format: text or json")
	return check
}

// check continues after a fault, so that one run reports all of them.
func (p program) check(load config.Loader) verdict {
	v := verdict{Configuration: checkConfiguration(load), Kernel: p.probe()}
	for _, backend := range v.Kernel.Backends {
		if backend.Usable && backend.Name == v.Configuration.Backend {
			v.Backend = backend.Name
		}
	}
	if v.Configuration.Backend == capture.Auto {
		v.Backend = v.Kernel.Auto
	}
	v.OK = v.Configuration.Valid && v.Backend != ""
	return v
}

func checkConfiguration(load config.Loader) configuration {
	result := configuration{File: load.Path, Backend: capture.Auto, Faults: []string{}}
	c, err := load.Load()
	if err != nil {
		for _, fault := range config.Faults(err) {
			result.Faults = append(result.Faults, fault.Error())
		}
		if len(result.Faults) == 0 {
			result.Faults = append(result.Faults, err.Error())
		}
		return result
	}
	result.Valid, result.Backend = true, c.Capture.Backend
	if table, err := command.New(c.ExtraCommands, c.RenamedCommands); err == nil {
		series := metrics.NewBound(c.Names(), table.Labels(c.Metrics.Style()), len(c.Metrics.Buckets))
		result.Series = &series
	}
	return result
}

func (v verdict) write(w io.Writer, output string) error {
	if output == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(v)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	v.writeConfiguration(table)
	v.writeKernel(table)
	return table.Flush()
}

func (v verdict) writeConfiguration(w io.Writer) {
	file, state := v.Configuration.File, "valid"
	if file == "" {
		file = "none, all keys at their defaults"
	}
	if !v.Configuration.Valid {
		state = fmt.Sprintf("%d faults", len(v.Configuration.Faults))
	}
	fmt.Fprintf(w, "configuration\t%s: %s\n", file, state)
	for _, fault := range v.Configuration.Faults {
		fmt.Fprintf(w, "\t%s\n", fault)
	}
	if v.Configuration.Series != nil {
		fmt.Fprintf(w, "series\t%s\n", v.Configuration.Series)
	}
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
	}
	used := v.Backend
	if used == "" {
		used = "none works"
	}
	fmt.Fprintf(w, "would use\t%s (capture.backend: %s)\n", used, v.Configuration.Backend)
}
