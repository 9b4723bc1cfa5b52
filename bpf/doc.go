// Package bpf contains the eBPF programs, and the Go code that loads them, attaches them and reads
// their events. It is the only package that imports cilium/ebpf.
//
// It is the first arrow of kernel → event.Source → parser.Stream → correlate.Tracker →
// metrics.Recorder → /metrics.
//
// The programs of the object (observer.bpf.c) form taps (tap.go): the socket calls, the life of
// connections, and the listing. A tap is attached and detached as a unit. A backend (backends.go)
// is one way to observe the socket calls. All programs write to one ring buffer and to per-CPU
// rings (emit.h, percpu.h). Differences between kernels are in compat.h. event.h defines the layout
// of an event, and the Go types are generated from it. The probes observe the sockets of the given
// ports, in every network namespace.
//
// Events and payloads returned by Probes.Next are in the memory of the ring buffer or of a per-CPU
// ring: they are valid until the next call. Every loss is counted (Probes.Lost), and bytes that
// were not copied are reported as gaps of known length.
//
// The kernel must be 5.9 or later and have BTF; each backend needs more. Open needs CAP_BPF and
// CAP_PERFMON, before Linux 5.11 also CAP_SYS_RESOURCE. After Open no capability is needed, before
// Linux 5.19 CAP_BPF.
package bpf
