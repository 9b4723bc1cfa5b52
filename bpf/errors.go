package bpf

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
)

// Features that a kernel may lack.
var (
	errNoBTF        = errors.New("the kernel has no BTF")
	errNoRingBuffer = errors.New("the kernel has no BPF ring buffer")
	errNoKprobes    = errors.New("the kernel has no kprobes")
	errNoFunction   = errors.New("the kernel has no such function")
	errNoTracepoint = errors.New("the kernel has no such tracepoint")
	errMemlock      = errors.New("the limit of locked memory cannot be raised")
)

// explained is an error whose text includes a remedy.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

// explain adds a remedy to an error. It examines the machine, so call it for errors only.
func explain(err error) error { return explainOn(err, machine()) }

func explainOn(err error, facts Facts) error {
	text := err.Error()
	// The library adds this to every EPERM, but the limit was raised before.
	text = strings.ReplaceAll(text, " (MEMLOCK may be too low, consider rlimit.RemoveMemlock)", "")
	if r := remedy(err, facts); r != "" {
		text = fmt.Sprintf("%s (%s)", text, r)
	}
	return &explained{text: text, cause: err}
}

// remedy returns what the user can do about an error; "" if that is unknown.
func remedy(err error, facts Facts) string {
	var refused *ebpf.VerifierError
	switch {
	case errors.As(err, &refused):
		return "the kernel's verifier rejected the program; set log.level to debug to log its output"
	case errors.Is(err, errNoBTF):
		return fmt.Sprintf("kernel %s needs CONFIG_DEBUG_INFO_BTF=y", facts.Kernel)
	case errors.Is(err, errNoRingBuffer):
		return fmt.Sprintf("needs Linux 5.8 or later, running %s", facts.Kernel)
	case errors.Is(err, errNoKprobes):
		return "needs CONFIG_KPROBE_EVENTS=y, or set capture.backend to another backend"
	case errors.Is(err, errNoFunction):
		return "it is inlined or renamed; set capture.backend to another backend"
	case errors.Is(err, errNoTracepoint):
		return fmt.Sprintf("needs Linux 6.16 or later, running %s; set capture.backend to another backend", facts.Kernel)
	case errors.Is(err, errMemlock) && len(missingCapabilities(facts)) == 0: // without CAP_BPF it is unknown whether it matters
		return "needs CAP_SYS_RESOURCE, or LimitMEMLOCK=infinity in the service, before Linux 5.11"
	case errors.Is(err, unix.EACCES) && paranoidRefusal(facts):
		return fmt.Sprintf("kernel.perf_event_paranoid is %d, which requires CAP_SYS_ADMIN; set it to 2, or set capture.backend to another backend", facts.paranoid)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return refusal(facts)
	case errors.Is(err, unix.ENOENT):
		return "the function is inlined or renamed; set capture.backend to another backend"
	}
	return ""
}

// missingCapabilities returns the missing ones of those that loading and attaching programs needs.
// Both were part of CAP_SYS_ADMIN until Linux 5.8.
func missingCapabilities(facts Facts) []string {
	var missing []string
	for _, needed := range []string{"CAP_BPF", "CAP_PERFMON"} {
		if !slices.Contains(facts.Capabilities, needed) && !slices.Contains(facts.Capabilities, "CAP_SYS_ADMIN") {
			missing = append(missing, needed)
		}
	}
	return missing
}

// paranoidRefusal reports whether the only missing privilege is CAP_SYS_ADMIN, which
// kernel.perf_event_paranoid > 2 requires for perf events.
func paranoidRefusal(facts Facts) bool {
	return facts.paranoid > 2 && len(missingCapabilities(facts)) == 0 && !slices.Contains(facts.Capabilities, "CAP_SYS_ADMIN")
}

// refusal returns which capability is missing, or else a likely reason of the refusal.
func refusal(facts Facts) string {
	missing := missingCapabilities(facts)
	switch {
	case len(missing) > 0:
		return "missing " + strings.Join(missing, " and ") + "; grant it, or run as root"
	case facts.Lockdown == "integrity" || facts.Lockdown == "confidentiality":
		return "CAP_BPF and CAP_PERFMON are present: refused by kernel lockdown (" + facts.Lockdown + ") or by a restriction of function tracing"
	}
	return "CAP_BPF and CAP_PERFMON are present: refused by the kernel, its lockdown or a security module"
}

// VerifierOutput returns the whole output of the kernel's verifier, if the verifier caused the
// error.
func VerifierOutput(err error) (output string, found bool) {
	var refused *ebpf.VerifierError
	if !errors.As(err, &refused) {
		return "", false
	}
	return fmt.Sprintf("%+v", refused), true
}
