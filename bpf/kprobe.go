package bpf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// callsInFlight is how many calls of a function a return probe can follow at once. A blocking read
// is in flight while it waits, so the kernel's default, a few per CPU, would miss most reads.
const callsInFlight = 4096

// eventPrefix begins the names of our event definitions in tracefs, which are needed to set that
// number.
const eventPrefix = "redis_observer"

// limitedLink is a link that is attached with a limitation.
type limitedLink struct {
	link.Link
	limit string
}

// missingKprobes returns an error if the kernel was built without kprobes for perf events.
func missingKprobes() error {
	if _, err := os.Stat("/sys/bus/event_source/devices/kprobe"); errors.Is(err, os.ErrNotExist) {
		return errNoKprobes
	}
	return nil
}

func attachKprobe(symbol string) func(*ebpf.Program) (io.Closer, error) {
	return func(program *ebpf.Program) (io.Closer, error) { return link.Kprobe(symbol, program, nil) }
}

func attachKretprobe(symbol string) func(*ebpf.Program) (io.Closer, error) {
	return func(program *ebpf.Program) (io.Closer, error) {
		options := &link.KprobeOptions{RetprobeMaxActive: callsInFlight, TraceFSPrefix: eventPrefix}
		attached, cause := link.Kretprobe(symbol, program, options)
		if cause == nil {
			return attached, nil
		}
		attached, err := link.Kretprobe(symbol, program, nil)
		if err != nil {
			return nil, err
		}
		return limitedLink{attached, fmt.Sprintf("the return probe of %s follows only few calls at once, and bytes of other calls are gaps: %s "+
			"(mount tracefs writable on /sys/kernel/tracing)", symbol, cause)}, nil
	}
}

// removeStaleEvents removes event definitions from tracefs that a killed observer left behind.
// Definitions that another observer uses are busy and remain.
func removeStaleEvents() {
	const path = "/sys/kernel/tracing/kprobe_events"
	definitions, err := os.ReadFile(path)
	if err != nil {
		return // tracefs is not mounted
	}
	for line := range strings.Lines(string(definitions)) {
		event := staleEvent(line)
		if event == "" {
			continue
		}
		// One write for each definition, because a refused one ends the write.
		if file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err == nil {
			_, _ = file.WriteString("-:" + event + "\n")
			_ = file.Close()
		}
	}
}

// staleEvent returns group and name of a definition such as
// "r4096:redis_observer_0f/r_tcp_recvmsg tcp_recvmsg", or "" if it is not one of ours.
func staleEvent(definition string) string {
	definition, _, _ = strings.Cut(strings.TrimSpace(definition), " ")
	_, event, _ := strings.Cut(definition, ":")
	if !strings.HasPrefix(event, eventPrefix+"_") {
		return ""
	}
	return event
}

// missedCalls returns how many calls the probe of a link missed; 0 before Linux 6.7, which does not
// count them.
func missedCalls(attached io.Closer) uint64 {
	if limited, ok := attached.(limitedLink); ok {
		attached = limited.Link
	}
	l, ok := attached.(link.Link)
	if !ok {
		return 0
	}
	info, err := l.Info()
	if err != nil || info.PerfEvent() == nil || info.PerfEvent().Kprobe() == nil {
		return 0
	}
	return info.PerfEvent().Kprobe().Missed
}
