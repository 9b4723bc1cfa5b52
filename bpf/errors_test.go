package bpf

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
)

func TestExplain(t *testing.T) {
	verifier := &ebpf.VerifierError{Cause: unix.EACCES, Log: []string{"0: R1=ctx()", "R7 invalid mem access 'scalar'"}}
	root := []string{"CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN"}
	tests := []struct {
		name  string
		err   error
		facts Facts
		want  string
	}{
		{"no BTF", fmt.Errorf("load: %w", errNoBTF), Facts{Kernel: "5.4.0"},
			"load: the kernel has no BTF (kernel 5.4.0 needs CONFIG_DEBUG_INFO_BTF=y)"},
		{"no ring buffer", errNoRingBuffer, Facts{Kernel: "5.4.0"},
			"the kernel has no BPF ring buffer (needs Linux 5.8 or later, running 5.4.0)"},
		{"no kprobes", errNoKprobes, Facts{},
			"the kernel has no kprobes (needs CONFIG_KPROBE_EVENTS=y, or set capture.backend to another backend)"},
		{"no function", fmt.Errorf("look up tcp_recvmsg: %w", errNoFunction), Facts{},
			"look up tcp_recvmsg: the kernel has no such function (it is inlined or renamed; set capture.backend to another backend)"},
		{"no symbol", fmt.Errorf("attach kprobe_send: token tcp_sendmsg_locked: not found: %w", unix.ENOENT), Facts{},
			"attach kprobe_send: token tcp_sendmsg_locked: not found: no such file or directory (the function is inlined or renamed; set capture.backend to another backend)"},
		{"no tracepoint", fmt.Errorf("look up btf_trace_sock_send_length: %w", errNoTracepoint), Facts{Kernel: "6.1.176"},
			"look up btf_trace_sock_send_length: the kernel has no such tracepoint (needs Linux 6.16 or later, running 6.1.176; set capture.backend to another backend)"},
		{"locked memory", fmt.Errorf("raise RLIMIT_MEMLOCK: %w", errMemlock), Facts{Capabilities: root},
			"raise RLIMIT_MEMLOCK: the limit of locked memory cannot be raised (needs CAP_SYS_RESOURCE, or LimitMEMLOCK=infinity in the service, before Linux 5.11)"},
		{"locked memory, perhaps", fmt.Errorf("raise RLIMIT_MEMLOCK: %w: %w", errMemlock, unix.EPERM), Facts{Capabilities: []string{"CAP_PERFMON"}},
			"raise RLIMIT_MEMLOCK: the limit of locked memory cannot be raised: operation not permitted (missing CAP_BPF; grant it, or run as root)"},
		{"lockdown, without the library's guess", fmt.Errorf("load program: %w (MEMLOCK may be too low, consider rlimit.RemoveMemlock)", unix.EPERM),
			Facts{Capabilities: root, Lockdown: "integrity"},
			"load program: operation not permitted (CAP_BPF and CAP_PERFMON are present: refused by kernel lockdown (integrity) or by a restriction of function tracing)"},
		{"paranoid", fmt.Errorf("opening perf event: %w", unix.EACCES), Facts{Capabilities: []string{"CAP_BPF", "CAP_PERFMON"}, paranoid: 3},
			"opening perf event: permission denied (kernel.perf_event_paranoid is 3, which requires CAP_SYS_ADMIN; set it to 2, or set capture.backend to another backend)"},
		{"paranoid, not the cause", fmt.Errorf("opening perf event: %w", unix.EACCES), Facts{Capabilities: []string{"CAP_BPF"}, paranoid: 3},
			"opening perf event: permission denied (missing CAP_PERFMON; grant it, or run as root)"},
		{"verifier", fmt.Errorf("load fentry_sent: %w", verifier), Facts{Capabilities: root},
			"load fentry_sent: : permission denied: 0: R1=ctx(): R7 invalid mem access 'scalar' (the kernel's verifier rejected the program; set log.level to debug to log its output)"},
		{"anything else", unix.EIO, Facts{}, "input/output error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := explainOn(test.err, test.facts)
			assert.EqualError(t, err, test.want)
			assert.ErrorIs(t, err, test.err, "the cause is kept")
		})
	}
}

func TestRefusal(t *testing.T) {
	const other = "CAP_BPF and CAP_PERFMON are present: refused by "
	tests := []struct {
		name     string
		held     []string
		lockdown string
		want     string
	}{
		{"nothing", nil, "none", "missing CAP_BPF and CAP_PERFMON; grant it, or run as root"},
		{"others", []string{"CAP_SYS_PTRACE", "CAP_NET_RAW"}, "integrity", "missing CAP_BPF and CAP_PERFMON; grant it, or run as root"},
		{"CAP_BPF", []string{"CAP_BPF"}, "none", "missing CAP_PERFMON; grant it, or run as root"},
		{"CAP_PERFMON", []string{"CAP_PERFMON"}, "none", "missing CAP_BPF; grant it, or run as root"},
		{"both", []string{"CAP_BPF", "CAP_PERFMON"}, "none", other + "the kernel, its lockdown or a security module"},
		{"both under lockdown", []string{"CAP_BPF", "CAP_PERFMON"}, "integrity", other + "kernel lockdown (integrity) or by a restriction of function tracing"},
		{"CAP_SYS_ADMIN", []string{"CAP_SYS_ADMIN"}, "unknown", other + "the kernel, its lockdown or a security module"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, refusal(Facts{Capabilities: test.held, Lockdown: test.lockdown}))
		})
	}
}

func TestVerifierOutput(t *testing.T) {
	err := explainOn(fmt.Errorf("load: %w", &ebpf.VerifierError{Cause: unix.EACCES, Log: []string{"first", "second", "third"}}), Facts{})
	output, found := VerifierOutput(err)
	require.True(t, found)
	for _, line := range []string{"first", "second", "third"} {
		assert.Contains(t, output, line)
	}
	assert.NotContains(t, err.Error(), "\n", "one line")
	_, found = VerifierOutput(unix.EPERM)
	assert.False(t, found)
}
