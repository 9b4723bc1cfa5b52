package bpf

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
)

// What a kernel may lack.
var (
	errNoBTF        = errors.New("the kernel has no BTF")
	errNoRingBuffer = errors.New("the kernel has no BPF ring buffer")
	errNoKprobes    = errors.New("the kernel has no kprobes")
	errNoFunction   = errors.New("the kernel has no such function")
	errNoTracepoint = errors.New("the kernel has no such tracepoint")
	errMemlock      = errors.New("the limit of locked memory cannot be raised")
)

// explained is an error with what to do about it.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

// explain adds the remedy to what the kernel answers. It looks at the machine, so it is for errors only.
func explain(err error) error { return explainOn(err, machine()) }

func explainOn(err error, facts Facts) error {
	text := err.Error()
	// The library's guess at the cause of every EPERM: the limit was raised before, and we know better.
	text = strings.ReplaceAll(text, " (MEMLOCK may be too low, consider rlimit.RemoveMemlock)", "")
	if r := remedy(err, facts); r != "" {
		text = fmt.Sprintf("%s (%s)", text, r)
	}
	return &explained{text: text, cause: err}
}

// remedy says what to do about the cause of an error; "" if that is not known.
func remedy(err error, facts Facts) string {
	var refused *ebpf.VerifierError
	switch {
	case errors.As(err, &refused):
		return "the kernel's verifier refused the program; with log.level debug its whole account is logged"
	case errors.Is(err, errNoBTF):
		return fmt.Sprintf("kernel %s needs CONFIG_DEBUG_INFO_BTF=y", facts.Kernel)
	case errors.Is(err, errNoRingBuffer):
		return fmt.Sprintf("needs Linux 5.8 or later, running %s", facts.Kernel)
	case errors.Is(err, errNoKprobes):
		return "needs CONFIG_KPROBE_EVENTS=y, or set capture.backend to another"
	case errors.Is(err, errNoFunction):
		return "inlined or renamed; set capture.backend to another"
	case errors.Is(err, errNoTracepoint):
		return fmt.Sprintf("needs Linux 6.16 or later, running %s; set capture.backend to another", facts.Kernel)
	case errors.Is(err, errMemlock) && len(missingCapabilities(facts)) == 0: // without CAP_BPF nobody can tell whether it matters
		return "needs CAP_SYS_RESOURCE, or LimitMEMLOCK=infinity in the service, before Linux 5.11"
	case errors.Is(err, unix.EACCES) && paranoidRefusal(facts):
		return fmt.Sprintf("kernel.perf_event_paranoid is %d, which asks for CAP_SYS_ADMIN; set it to 2, or set capture.backend to another", facts.paranoid)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return refusal(facts)
	case errors.Is(err, unix.ENOENT):
		return "the function is inlined or renamed; set capture.backend to another"
	}
	return ""
}

// missingCapabilities are those that loading and attaching programs takes. Both were part of CAP_SYS_ADMIN until Linux 5.8.
func missingCapabilities(facts Facts) []string {
	var missing []string
	for _, needed := range []string{"CAP_BPF", "CAP_PERFMON"} {
		if !slices.Contains(facts.Capabilities, needed) && !slices.Contains(facts.Capabilities, "CAP_SYS_ADMIN") {
			missing = append(missing, needed)
		}
	}
	return missing
}

// paranoidRefusal tells whether all that is missing is what a paranoid kernel asks for perf events besides.
func paranoidRefusal(facts Facts) bool {
	return facts.paranoid > 2 && len(missingCapabilities(facts)) == 0 && !slices.Contains(facts.Capabilities, "CAP_SYS_ADMIN")
}

// refusal names the capability that is missing, or else who can have refused.
func refusal(facts Facts) string {
	missing := missingCapabilities(facts)
	switch {
	case len(missing) > 0:
		return "missing " + strings.Join(missing, " and ") + "; grant it, or run as root"
	case facts.Lockdown == "integrity" || facts.Lockdown == "confidentiality":
		return "not for want of CAP_BPF or CAP_PERFMON: kernel lockdown (" + facts.Lockdown + ") or function tracing refused"
	}
	return "not for want of CAP_BPF or CAP_PERFMON: the kernel, its lockdown or a security module refused"
}

// VerifierAccount returns all that the kernel's verifier had to say, if that is what is behind the error.
func VerifierAccount(err error) (account string, found bool) {
	var refused *ebpf.VerifierError
	if !errors.As(err, &refused) {
		return "", false
	}
	return fmt.Sprintf("%+v", refused), true
}
