package bpf

import (
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
)

// PointProgram is a program for AttachPoints.
type PointProgram = ebpf.Program

// OpenPointProgram opens the program of PointProgram in a process that inherited its descriptor,
// which it takes over. It also examines the kernel for AttachPoints, which needs privileges that
// AttachPoints itself does not.
func OpenPointProgram(descriptor int) (*PointProgram, error) {
	program, err := ebpf.NewProgramFromFD(descriptor)
	if err != nil {
		return nil, fmt.Errorf("open program for libraries: %w", err)
	}
	AttachesTogether()
	return program, nil
}

// CanProbe reports whether AttachPoints takes points of a function.
func CanProbe(function string) bool {
	_, found := points[function]
	return found
}

// AttachesTogether reports whether the kernel attaches all points of a library at once (from Linux
// 6.6 on). Otherwise attaching needs CAP_SYS_ADMIN.
func AttachesTogether() bool { return features.HaveBPFLinkUprobeMulti() == nil }

// TryTLS loads a backend with the programs for TLS connections for a moment. The error says why it
// cannot read them.
func TryTLS(name string) error {
	probes, err := Open(name, Options{
		RingSize:      uint32(os.Getpagesize()),
		MaxBytes:      uint32(os.Getpagesize()),
		FlushInterval: time.Second,
		TLS:           true,
	})
	if err != nil {
		return err
	}
	limit := probes.TLSLimit()
	err = probes.Close()
	probes.Release()
	if err != nil {
		return fmt.Errorf("detach backend %s: %w", name, err)
	}
	return limit
}
