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

// callsInFlight is how many calls of a function a return probe can follow at once. A blocking read is in flight for as long
// as it waits, so the kernel's default, which grows with the number of processors, would miss most of them.
const callsInFlight = 4096

// eventPrefix begins the names of the definitions in tracefs, without which that number cannot be set.
const eventPrefix = "redis_observer"

// limitedLink is attached, but can do less than it should.
type limitedLink struct {
	link.Link
	limit string
}

// missingKprobes tells whether the kernel was built without kprobes for perf events (4.17 and later have them otherwise).
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
		return limitedLink{attached, fmt.Sprintf("return probe of %s follows few calls at once, bytes of the others are gaps: %s "+
			"(mount tracefs writable on /sys/kernel/tracing)", symbol, cause)}, nil
	}
}

// removeStaleEvents removes what an observer that was killed left in tracefs: definitions of events, with no program.
// Those that another observer uses are busy and remain.
func removeStaleEvents() {
	const path = "/sys/kernel/tracing/kprobe_events"
	definitions, err := os.ReadFile(path)
	if err != nil {
		return // no tracefs, so nothing is there
	}
	for line := range strings.Lines(string(definitions)) {
		event := staleEvent(line)
		if event == "" {
			continue
		}
		// Each in a write of its own, because one that is refused ends the write.
		if file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err == nil {
			_, _ = file.WriteString("-:" + event + "\n")
			_ = file.Close()
		}
	}
}

// staleEvent returns the group and the name in a definition such as "r4096:redis_observer_0f/r_tcp_recvmsg tcp_recvmsg", if
// it is one of ours.
func staleEvent(definition string) string {
	definition, _, _ = strings.Cut(strings.TrimSpace(definition), " ")
	_, event, _ := strings.Cut(definition, ":")
	if !strings.HasPrefix(event, eventPrefix+"_") {
		return ""
	}
	return event
}

// missedCalls returns how many calls the probe behind a link could not follow; 0 where the kernel does not tell (before 6.7).
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
