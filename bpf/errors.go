package bpf

import (
	"errors"
	"fmt"

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
		return fmt.Errorf("%w (needs root, or CAP_BPF and CAP_PERFMON)", err)
	}
	return err
}
