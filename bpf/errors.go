package bpf

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
)

// explain adds the remedy to what the kernel answers.
func explain(err error) error {
	var verifier *ebpf.VerifierError
	switch {
	case errors.As(err, &verifier):
		return fmt.Errorf("%w (the kernel's verifier refused a program; run with log.level debug for its whole account)", err)
	}
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w (%s)", err, refusal(capabilities()))
	}
	return err
}

// refusal says what a process that holds these capabilities lacks to load and attach programs.
func refusal(held []string) string {
	if slices.Contains(held, "CAP_SYS_ADMIN") {
		held = append(held, "CAP_BPF", "CAP_PERFMON") // which were part of it until Linux 5.8
	}
	var missing []string
	for _, name := range []string{"CAP_BPF", "CAP_PERFMON"} {
		if !slices.Contains(held, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return "missing " + strings.Join(missing, " and ") + "; grant it, or run as root"
	}
	return "not for want of CAP_BPF or CAP_PERFMON: the kernel, its lockdown or a security module refuses it"
}
