package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/redis-observer/redis-observer/test/kit"
)

// recording is what applications such as those of this program did to a Redis server, captured on loopback with tcpdump.
const recording = "test/demo/traffic.pcap.gz"

// place is what this machine and the privileges of this program allow.
type place struct {
	backend      string // "" if nothing can be captured
	capabilities []string
}

// look asks the observer which backend works here.
func look(ctx context.Context, observer *kit.Observer) (place, error) {
	program := observer.Options.Program
	output, err := exec.CommandContext(ctx, program, "check", "--config", observer.ConfigFile(), "--output", "json").Output()
	var check struct {
		Configuration struct{ Valid bool }
		Backend       string
		Kernel        struct{ Capabilities []string }
	}
	if fault := json.Unmarshal(output, &check); fault != nil {
		return place{}, fmt.Errorf("%s check: %w: %s", program, fault, output)
	}
	if !check.Configuration.Valid {
		return place{}, fmt.Errorf("%s check: %w: %s", program, err, output)
	}
	return place{backend: check.Backend, capabilities: check.Kernel.Capabilities}, nil
}

// explain prints how the traffic is observed, what is missing for more, and the command that gives it.
func (p place) explain(out io.Writer) {
	switch p.backend {
	case "packet":
		fmt.Fprintf(out, "redis-observer captures packets here, because eBPF is refused: %s.\n\n", p.missing("CAP_BPF", "CAP_PERFMON"))
	case "":
		fmt.Fprintf(out, "This is recorded traffic (%s), because nothing can be captured here: %s.\n\n", recording, p.missing("CAP_NET_RAW"))
	default:
		fmt.Fprintf(out, "redis-observer observes their sockets from the kernel (backend %s), without touching them or Redis.\n\n", p.backend)
	}
}

// missing names the missing capabilities and a command that gives them.
func (p place) missing(needed ...string) string {
	if slices.Contains(p.capabilities, "CAP_SYS_ADMIN") {
		needed = slices.DeleteFunc(needed, func(name string) bool { return name != "CAP_NET_RAW" })
	}
	needed = slices.DeleteFunc(needed, func(name string) bool { return slices.Contains(p.capabilities, name) })
	switch {
	case len(needed) == 0:
		return "`build/redis-observer check` says why"
	case os.Getuid() != 0:
		return strings.Join(needed, " and ") + " missing; `sudo make demo` has it"
	default:
		return strings.Join(needed, " and ") + " missing; `docker run --cap-add BPF --cap-add PERFMON --cap-add NET_RAW` gives it"
	}
}

// replay shows the metrics of the recording, which takes the same path as live traffic behind the capture.
func replay(ctx context.Context, observer *kit.Observer, out io.Writer) error {
	command := exec.CommandContext(ctx, observer.Options.Program, "replay", "--config", observer.ConfigFile(), "--output", "table", recording)
	command.Stdout, command.Stderr = out, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s replay: %w", command.Path, err)
	}
	return nil
}
