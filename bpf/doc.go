// Package bpf holds the kernel side: the eBPF programs, and the Go code that loads, attaches and reads them. It is the only
// package that imports cilium/ebpf.
//
// Its place in the line is the first arrow of
// kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics.
//
// The programs of the one object (observer.bpf.c) form taps (tap.go), each attached and detached as one: the socket calls, the life of
// connections, and the listing. A backend (backends.go) is one way to see the socket calls. All programs feed the same emit functions (emit.h),
// the same ring buffer and a lane for each processor (lane.h). Differences between kernels are in compat.h, the layout of an event is in
// event.h, from which the Go types are generated. Observed are the sockets whose ports are set, in every network namespace.
//
// Events and payloads returned by Probes.Next lie in the ring buffer or lane itself: they are valid until the next call.
// Whatever the probes lose is counted (Probes.Lost); bytes that were not copied are told of as gaps of known length.
//
// Kernels: 5.9 or later with BTF, the rest is up to the backend. Open needs CAP_BPF and CAP_PERFMON, before Linux 5.11
// CAP_SYS_RESOURCE too; everything after it needs no capability, before Linux 5.19 CAP_BPF.
package bpf
