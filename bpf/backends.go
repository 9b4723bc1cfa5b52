package bpf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
)

// backend is a way to see the socket calls: a set of programs of the one object. All of them feed the same ring.
type backend struct {
	name     string
	programs []attachment
	// missing tells cheaply what the kernel lacks for it; nil if nothing is known to be missing.
	missing func() error
	// further are programs for sockets that are not plain TCP, without which the backend works; a kernel may lack their functions.
	further []further
	// preempted says that a preemptible kernel can preempt the programs; kprobes it runs undisturbed.
	preempted bool
}

// further are programs that follow one function of the kernel.
type further struct {
	function string
	programs []attachment
}

// attachment is a program and how it is attached.
type attachment struct {
	program string
	attach  func(*ebpf.Program) (io.Closer, error)
}

// backends in the order in which auto tries them.
var backends = []backend{
	{
		name: "fentry",
		programs: []attachment{
			{observerProgFentryReceived, attachTracing},
			{observerProgFentryReceive, attachTracing},
			{observerProgFentrySent, attachTracing},
			{observerProgFentrySend, attachTracing},
		},
		further: []further{
			{"mptcp_recvmsg", []attachment{{observerProgFentryMptcpReceived, attachTracing}, {observerProgFentryMptcpReceive, attachTracing}}},
			{"mptcp_sendmsg", []attachment{{observerProgFentryMptcpSent, attachTracing}, {observerProgFentryMptcpSend, attachTracing}}},
			{"tcp_bpf_sendmsg", []attachment{{observerProgFentrySockmap, attachTracing}}},
		},
		missing:   func() error { return missingFunctions("tcp_sendmsg_locked", "tcp_recvmsg") },
		preempted: true,
	},
	{
		name: "tracepoint",
		programs: []attachment{
			{observerProgTracepointReceived, attachTracing},
			{observerProgTracepointSent, attachTracing},
			{observerProgTracepointSend, attachTracing},
		},
		missing:   func() error { return missingTracepoints("tcp_sendmsg_locked", "sock_send_length", "sock_recv_length") },
		preempted: true, // measured on 7.2; 6.18 has not been seen to
	},
	{
		name: "kprobe",
		programs: []attachment{
			{observerProgKprobeReceived, attachKretprobe("tcp_recvmsg")},
			{observerProgKprobeReceive, attachKprobe("tcp_recvmsg")},
			{observerProgKprobeSent, attachKretprobe("tcp_sendmsg_locked")},
			{observerProgKprobeSend, attachKprobe("tcp_sendmsg_locked")},
		},
		further: []further{
			{"mptcp_recvmsg", []attachment{
				{observerProgKprobeMptcpReceived, attachKretprobe("mptcp_recvmsg")},
				{observerProgKprobeMptcpReceive, attachKprobe("mptcp_recvmsg")},
			}},
			{"mptcp_sendmsg", []attachment{
				{observerProgKprobeMptcpSent, attachKretprobe("mptcp_sendmsg")},
				{observerProgKprobeMptcpSend, attachKprobe("mptcp_sendmsg")},
			}},
			{"tcp_bpf_sendmsg", []attachment{{observerProgKprobeSockmap, attachKprobe("tcp_bpf_sendmsg")}}},
		},
		missing: missingKprobes,
	},
}

// lifecycle are the programs of every backend.
var lifecycle = []attachment{
	{observerProgConnectionState, attachTracing},
	{observerProgConnectionEnd, attachTracing},
}

// listings are the iterators that list the connections which exist, for every backend.
var listings = []string{observerProgConnectionList, observerProgConnectionListHeld}

// Backends returns the names of the backends in the order in which auto tries them.
func Backends() []string {
	var names []string
	for _, b := range backends {
		names = append(names, b.name)
	}
	return names
}

func attachTracing(program *ebpf.Program) (io.Closer, error) {
	return link.AttachTracing(link.TracingOptions{Program: program})
}

// kernelTypes returns the types of the running kernel, without which none of the programs can be loaded.
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

// missingFunctions looks the functions up in the kernel's BTF, which fentry needs.
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

// missingTracepoints looks the typed tracepoints up in the kernel's BTF.
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

// find looks a type up, and names it in the error: none if it is not there.
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

// copies returns how many copies of the backend's own programs this kernel needs, and how many of those of the life of connections.
func (b *backend) copies() (own, life uint32) {
	own, life = 1, lifecycleCopies
	if preemptibleHere() {
		life = lifecycleCopiesIfPreemptible
		if b.preempted {
			own = copiesIfPreemptible
		}
	}
	return own, life
}

// attachments returns the programs of one copy.
func (b *backend) attachments(copy uint32) []attachment {
	own, life := b.copies()
	var programs []attachment
	if copy < life {
		programs = slices.Clone(lifecycle)
	}
	if copy < own {
		for _, f := range b.further {
			if f.usable() {
				programs = append(programs, f.programs...)
			}
		}
		programs = append(programs, b.programs...)
	}
	return programs
}

// prune removes the programs that one copy does not use.
func (b *backend) prune(spec *ebpf.CollectionSpec, copy uint32) {
	var used []string
	if copy == 0 {
		used = slices.Clone(listings)
	}
	for _, a := range b.attachments(copy) {
		used = append(used, a.program)
	}
	for name := range spec.Programs {
		if !slices.Contains(used, name) {
			delete(spec.Programs, name)
		}
	}
}
