package bpf

import (
	"fmt"

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
