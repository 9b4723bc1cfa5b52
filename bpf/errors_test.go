package bpf

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

func TestExplainKeepsTheCause(t *testing.T) {
	err := explain(fmt.Errorf("load programs: %w", unix.EPERM))
	assert.ErrorIs(t, err, unix.EPERM)
	assert.Equal(t, unix.ENOENT, explain(unix.ENOENT))
}

func TestRefusal(t *testing.T) {
	tests := []struct {
		name string
		held []string
		want string
	}{
		{"nothing", nil, "missing CAP_BPF and CAP_PERFMON; grant it, or run as root"},
		{"others", []string{"CAP_SYS_PTRACE", "CAP_NET_RAW"}, "missing CAP_BPF and CAP_PERFMON; grant it, or run as root"},
		{"CAP_BPF", []string{"CAP_BPF"}, "missing CAP_PERFMON; grant it, or run as root"},
		{"CAP_PERFMON", []string{"CAP_PERFMON"}, "missing CAP_BPF; grant it, or run as root"},
		{"both", []string{"CAP_BPF", "CAP_PERFMON"}, "not for want of CAP_BPF or CAP_PERFMON: the kernel, its lockdown or a security module refuses it"},
		{"CAP_SYS_ADMIN", []string{"CAP_SYS_ADMIN"}, "not for want of CAP_BPF or CAP_PERFMON: the kernel, its lockdown or a security module refuses it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, refusal(test.held)) })
	}
}
