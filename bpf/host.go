package bpf

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
)

// Facts are the features of a machine that matter to the probes. An error is nil if the feature
// exists.
type Facts struct {
	Kernel, Architecture string
	BTF, RingBuffer      error
	Capabilities         []string // the effective ones of those that may be needed
	Lockdown             string   // none, integrity, confidentiality or unknown
	paranoid             int      // kernel.perf_event_paranoid; at most 2 in upstream kernels, 3 in Debian's
}

// Host examines this machine.
func Host() Facts {
	facts := machine()
	if _, err := kernelTypes(); err != nil {
		facts.BTF = explainOn(err, facts)
	}
	if err := ringBuffer(); err != nil {
		facts.RingBuffer = explainOn(err, facts)
	}
	return facts
}

// machine returns the facts of this machine without BTF and RingBuffer, which need to be tried.
func machine() Facts {
	facts := Facts{
		Architecture: runtime.GOARCH,
		Capabilities: capabilities(),
		Lockdown:     lockdown(),
		paranoid:     paranoid(),
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		facts.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	return facts
}

// ringBuffer returns an error if the kernel does not support ring buffers, or the process may not
// create one.
func ringBuffer() error {
	err := features.HaveMapType(ebpf.RingBuf)
	if errors.Is(err, ebpf.ErrNotSupported) {
		return errNoRingBuffer
	}
	return err
}

// Limits are the reasons why probes cannot observe what is not plain TCP; nil where they can.
type Limits struct{ Unix, TLS error }

// Try loads and attaches a backend for a moment, without observed ports. The error says why it does
// not work, and the remedy.
func Try(name string) (Limits, error) {
	probes, err := Open(name, Options{
		RingSize:      uint32(os.Getpagesize()),
		MaxBytes:      uint32(os.Getpagesize()),
		FlushInterval: time.Second,
		TLS:           true,
	})
	if err != nil {
		return Limits{}, err
	}
	limits := Limits{Unix: probes.UnixLimit(), TLS: probes.TLSLimit()}
	err = probes.Close()
	probes.Release()
	if err != nil {
		return Limits{}, fmt.Errorf("detach backend %s: %w", name, err)
	}
	return limits, nil
}

// capabilities returns the names of the effective capabilities that may be needed.
func capabilities() []string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil
	}
	var held []string
	for line := range strings.Lines(string(status)) {
		value, found := strings.CutPrefix(line, "CapEff:")
		if !found {
			continue
		}
		bits, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return nil
		}
		for _, c := range relevantCapabilities {
			if bits&(1<<c.bit) != 0 {
				held = append(held, c.name)
			}
		}
	}
	return held
}

var relevantCapabilities = []struct {
	name string
	bit  uint
}{
	{"CAP_BPF", unix.CAP_BPF},
	{"CAP_PERFMON", unix.CAP_PERFMON},
	{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN},
	{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE},
	{"CAP_SYS_RESOURCE", unix.CAP_SYS_RESOURCE},
	{"CAP_NET_RAW", unix.CAP_NET_RAW},
	{"CAP_CHECKPOINT_RESTORE", unix.CAP_CHECKPOINT_RESTORE},
}

// paranoid returns kernel.perf_event_paranoid; 0 if it cannot be read.
func paranoid() int {
	text, err := os.ReadFile("/proc/sys/kernel/perf_event_paranoid")
	if err != nil {
		return 0
	}
	level, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return level
}

// lockdown returns the lockdown mode of the kernel: the word in brackets in the security file
// system.
func lockdown() string {
	state, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(state), "[")
	word, _, found := strings.Cut(rest, "]")
	if !found {
		return "unknown"
	}
	return word
}
