package bpf

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
)

// backend is a way to observe the socket calls: the programs of a tap, and their requirements.
type backend struct {
	name  string
	hooks []hook
	// starts are the programs of hooks whose end makes up for a start that was missed, if the kernel
	// lets programs read the registers.
	starts []string
	// further are optional programs for sockets that are not plain TCP. A kernel may lack their
	// functions.
	further []further
	// unix are the programs for Unix sockets.
	unix []hook
	// furtherUnix are optional programs for Unix sockets, as further are for TCP.
	furtherUnix []further
	// unixByAddress says that the programs keep the state of Unix sockets by address.
	unixByAddress bool
	// tls are the programs for the socket calls of TLS connections, with which hooks continue; none if the
	// backend cannot read them.
	tls []string
	// missing returns an error if the kernel evidently lacks a requirement of the backend.
	missing func() error
	// preempted says that a preemptible kernel can preempt the programs, which is not so for
	// kprobes.
	preempted bool
	// latestFirst says that of programs at a hook the one that was attached last runs first, as in
	// trampolines.
	latestFirst bool
}

// further are the programs that probe one function of the kernel.
type further struct {
	function string
	hooks    []hook
}

// backends in the order in which auto tries them.
var backends = []backend{
	{
		name: "fentry",
		hooks: []hook{
			{observerProgFentryReceived, attachTracing},
			{observerProgFentryReceive, attachTracing},
			{observerProgFentrySent, attachTracing},
			{observerProgFentrySend, attachTracing},
		},
		starts: []string{observerProgFentryReceive, observerProgFentrySend},
		further: []further{
			{"mptcp_recvmsg", []hook{{observerProgFentryMptcpReceived, attachTracing}, {observerProgFentryMptcpReceive, attachTracing}}},
			{"mptcp_sendmsg", []hook{{observerProgFentryMptcpSent, attachTracing}, {observerProgFentryMptcpSend, attachTracing}}},
			{"tcp_bpf_sendmsg", []hook{{observerProgFentrySockmap, attachTracing}}},
		},
		unix: []hook{
			{observerProgFentryUnixFree, attachLate(ebpf.AttachTraceFEntry)},
			{observerProgFentryUnixRelease, attachLate(ebpf.AttachTraceFEntry)},
			{observerProgFentryUnixShutdown, attachLate(ebpf.AttachTraceFEntry)},
			{observerProgFentryUnixReceived, attachLate(ebpf.AttachTraceFExit)},
			{observerProgFentryUnixReceive, attachLate(ebpf.AttachTraceFEntry)},
			{observerProgFentryUnixSent, attachLate(ebpf.AttachTraceFExit)},
			{observerProgFentryUnixSend, attachLate(ebpf.AttachTraceFEntry)},
		},
		furtherUnix: []further{
			{"unix_seqpacket_sendmsg", []hook{{observerProgFentryUnixSequenced, attachLate(ebpf.AttachTraceFEntry)}}},
			{"unix_stream_splice_read", []hook{{observerProgFentryUnixSpliced, attachLate(ebpf.AttachTraceFExit)}, {observerProgFentryUnixSplice, attachLate(ebpf.AttachTraceFEntry)}}},
			{"unix_stream_sendpage", []hook{{observerProgFentryUnixSentpage, attachLate(ebpf.AttachTraceFExit)}, {observerProgFentryUnixSendpage, attachLate(ebpf.AttachTraceFEntry)}}},
		},
		unixByAddress: true,
		tls:           []string{observerProgFentryTlsReceived, observerProgFentryTlsSent},
		missing:       func() error { return missingFunctions("tcp_sendmsg_locked", "tcp_recvmsg") },
		preempted:     true,
		latestFirst:   true,
	},
	{
		name: "tracepoint",
		hooks: []hook{
			{observerProgTracepointReceived, attachTracing},
			{observerProgTracepointSent, attachTracing},
			{observerProgTracepointSend, attachTracing},
		},
		starts: []string{observerProgTracepointSend},
		unix: []hook{
			{observerProgTracepointUnixReceived, attachLate(ebpf.AttachTraceRawTp)},
			{observerProgTracepointUnixSent, attachLate(ebpf.AttachTraceRawTp)},
		},
		tls:       []string{observerProgTracepointTlsReceived, observerProgTracepointTlsSent},
		missing:   func() error { return missingTracepoints("tcp_sendmsg_locked", "sock_send_length", "sock_recv_length") },
		preempted: true, // measured on 7.2, but never on 6.18
	},
	{
		name: "kprobe",
		hooks: []hook{
			{observerProgKprobeReceived, attachKretprobe("tcp_recvmsg")},
			{observerProgKprobeReceive, attachKprobe("tcp_recvmsg")},
			{observerProgKprobeSent, attachKretprobe("tcp_sendmsg_locked")},
			{observerProgKprobeSend, attachKprobe("tcp_sendmsg_locked")},
		},
		further: []further{
			{"mptcp_recvmsg", []hook{
				{observerProgKprobeMptcpReceived, attachKretprobe("mptcp_recvmsg")},
				{observerProgKprobeMptcpReceive, attachKprobe("mptcp_recvmsg")},
			}},
			{"mptcp_sendmsg", []hook{
				{observerProgKprobeMptcpSent, attachKretprobe("mptcp_sendmsg")},
				{observerProgKprobeMptcpSend, attachKprobe("mptcp_sendmsg")},
			}},
			{"tcp_bpf_sendmsg", []hook{{observerProgKprobeSockmap, attachKprobe("tcp_bpf_sendmsg")}}},
		},
		unix: []hook{
			{observerProgKprobeUnixFree, attachKprobe("unix_sock_destructor")},
			{observerProgKprobeUnixRelease, attachKprobe("unix_release")},
			{observerProgKprobeUnixShutdown, attachKprobe("unix_shutdown")},
			{observerProgKprobeUnixReceived, attachKretprobe("unix_stream_recvmsg")},
			{observerProgKprobeUnixReceive, attachKprobe("unix_stream_recvmsg")},
			{observerProgKprobeUnixSent, attachKretprobe("unix_stream_sendmsg")},
			{observerProgKprobeUnixSend, attachKprobe("unix_stream_sendmsg")},
		},
		furtherUnix: []further{
			{"unix_seqpacket_sendmsg", []hook{{observerProgKprobeUnixSequenced, attachKprobe("unix_seqpacket_sendmsg")}}},
			{"unix_stream_splice_read", []hook{
				{observerProgKprobeUnixSpliced, attachKretprobe("unix_stream_splice_read")},
				{observerProgKprobeUnixSplice, attachKprobe("unix_stream_splice_read")},
			}},
			{"unix_stream_sendpage", []hook{
				{observerProgKprobeUnixSentpage, attachKretprobe("unix_stream_sendpage")},
				{observerProgKprobeUnixSendpage, attachKprobe("unix_stream_sendpage")},
			}},
		},
		unixByAddress: true,
		missing:       missingKprobes,
	},
}

// Backends returns the names of the backends in the order in which auto tries them.
func Backends() []string {
	var names []string
	for _, b := range backends {
		names = append(names, b.name)
	}
	return names
}

func attachIterator(program *ebpf.Program) (io.Closer, error) {
	return link.AttachIter(link.IterOptions{Program: program})
}

func attachTracing(program *ebpf.Program) (io.Closer, error) {
	return link.AttachTracing(link.TracingOptions{Program: program})
}

// attachLate attaches a program by a link. From Linux 5.19 on that needs no privilege, so it works
// after the privileges were dropped.
func attachLate(kind ebpf.AttachType) func(*ebpf.Program) (io.Closer, error) {
	return func(program *ebpf.Program) (io.Closer, error) {
		return link.AttachTracing(link.TracingOptions{Program: program, AttachType: kind})
	}
}

// kernelTypes returns the types of the running kernel, which all programs need.
func kernelTypes() (*btf.Spec, error) {
	kernel, err := decoded().kernel.Kernel()
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, btf.ErrNotSupported) || errors.Is(err, btf.ErrNotFound) {
		return nil, errNoBTF
	}
	if err != nil {
		return nil, fmt.Errorf("read kernel types: %w", err)
	}
	return kernel, nil
}

// missingFunctions returns an error if one of the functions is not in the kernel's BTF.
func missingFunctions(names ...string) error {
	for _, name := range names {
		if _, err := kernelFunction(name); err != nil {
			return err
		}
	}
	return nil
}

func kernelFunction(name string) (*btf.FuncProto, error) {
	kernel, err := kernelTypes()
	if err != nil {
		return nil, err
	}
	var function *btf.Func
	if err := find(kernel, name, &function, errNoFunction); err != nil {
		return nil, err
	}
	return function.Type.(*btf.FuncProto), nil
}

// missingTracepoints returns an error if one of the typed tracepoints is not in the kernel's BTF.
func missingTracepoints(names ...string) error {
	kernel, err := kernelTypes()
	if err != nil {
		return err
	}
	for _, name := range names {
		var typedef *btf.Typedef
		if err := find(kernel, "btf_trace_"+name, &typedef, errNoTracepoint); err != nil {
			return err
		}
	}
	return nil
}

// find looks up a type, and names it in the error, which is none if the type does not exist.
func find(kernel *btf.Spec, name string, result any, none error) error {
	err := kernel.TypeByName(name, result)
	if errors.Is(err, btf.ErrNotFound) {
		err = none
	}
	if err != nil {
		return fmt.Errorf("look up %s: %w", name, err)
	}
	return nil
}

// socketTap returns the tap of the socket calls.
func (b *backend) socketTap() *tap {
	t := b.tap(b.hooks, b.further)
	t.latestFirst = b.latestFirst
	if findsMissedStarts() {
		t.starts = b.starts
	}
	return t
}

// unixTap returns the tap of the calls of Unix sockets.
func (b *backend) unixTap() *tap { return b.tap(b.unix, b.furtherUnix) }

// tap returns the tap of hooks, and of the optional ones that this kernel supports.
func (b *backend) tap(hooks []hook, optional []further) *tap {
	t := &tap{duplicates: b.duplicates()}
	for _, f := range optional {
		if f.usable() {
			t.hooks = append(t.hooks, f.hooks...)
		}
	}
	t.hooks = append(t.hooks, hooks...)
	return t
}
