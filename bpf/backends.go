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
	// further are optional programs for sockets that are not plain TCP. A kernel may lack their
	// functions.
	further []further
	// unix are the programs for Unix sockets; none if the backend cannot observe them.
	unix []hook
	// missing returns an error if the kernel evidently lacks a requirement of the backend.
	missing func() error
	// preempted says that a preemptible kernel can preempt the programs, which is not so for
	// kprobes.
	preempted bool
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
		further: []further{
			{"mptcp_recvmsg", []hook{{observerProgFentryMptcpReceived, attachTracing}, {observerProgFentryMptcpReceive, attachTracing}}},
			{"mptcp_sendmsg", []hook{{observerProgFentryMptcpSent, attachTracing}, {observerProgFentryMptcpSend, attachTracing}}},
			{"tcp_bpf_sendmsg", []hook{{observerProgFentrySockmap, attachTracing}}},
		},
		missing:   func() error { return missingFunctions("tcp_sendmsg_locked", "tcp_recvmsg") },
		preempted: true,
	},
	{
		name: "tracepoint",
		hooks: []hook{
			{observerProgTracepointReceived, attachTracing},
			{observerProgTracepointSent, attachTracing},
			{observerProgTracepointSend, attachTracing},
		},
		unix: []hook{
			{observerProgTracepointUnixReceived, attachTracing},
			{observerProgTracepointUnixSent, attachTracing},
		},
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
		missing: missingKprobes,
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

// kernelTypes returns the types of the running kernel, which all programs need.
func kernelTypes() (*btf.Spec, error) {
	kernel, err := btf.LoadKernelSpec()
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
	t := &tap{duplicates: b.duplicates()}
	for _, f := range b.further {
		if f.usable() {
			t.hooks = append(t.hooks, f.hooks...)
		}
	}
	t.hooks = append(t.hooks, b.hooks...)
	return t
}
