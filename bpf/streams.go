package bpf

import (
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf/btf"
)

// mptcpParameters are the supported numbers of parameters of MPTCP's functions. mptcp_recvmsg has
// the same parameters as tcp_recvmsg, because both implement the same field of struct proto; 7.2
// has one fewer.
var mptcpParameters = map[string][]int{"mptcp_sendmsg": {3}, "mptcp_recvmsg": {4, 5}}

// streamFacts are the features of the kernel for sockets that are not plain TCP.
type streamFacts struct {
	functions map[string]int // name to number of parameters
	// countsMPTCP: the kernel counts the bytes that an application received of an MPTCP stream, as
	// 6.12 does but 6.1 does not.
	countsMPTCP bool
	// listsUnix: the kernel has an iterator of Unix sockets, as 5.15 does but 5.10 does not.
	listsUnix bool
}

// streamsHere returns the features of the running kernel. The result is cached: decoding these
// types, which refer to most others, takes seconds on a slow machine.
var streamsHere = sync.OnceValue(func() streamFacts {
	facts := streamFacts{functions: make(map[string]int)}
	kernel, err := kernelTypes()
	if err != nil {
		return facts // programs cannot be loaded either
	}
	for _, name := range []string{"mptcp_sendmsg", "mptcp_recvmsg", "tcp_bpf_sendmsg",
		"unix_seqpacket_sendmsg", "unix_stream_splice_read", "unix_stream_sendpage"} {
		var function *btf.Func
		if kernel.TypeByName(name, &function) == nil {
			facts.functions[name] = len(function.Type.(*btf.FuncProto).Params)
		}
	}
	var iterator *btf.Struct
	facts.listsUnix = kernel.TypeByName("bpf_iter__unix", &iterator) == nil
	var socket *btf.Struct
	if kernel.TypeByName("mptcp_sock", &socket) == nil {
		facts.countsMPTCP = slices.ContainsFunc(socket.Members, func(m btf.Member) bool { return m.Name == "bytes_consumed" })
	}
	return facts
})

// usable reports whether the kernel has the function in a form that the programs support.
func (f *further) usable() bool {
	facts := streamsHere()
	parameters, found := facts.functions[f.function]
	if wanted, mptcp := mptcpParameters[f.function]; mptcp {
		return found && slices.Contains(wanted, parameters) && facts.countsMPTCP
	}
	return found
}

// readsMPTCP reports whether the backend can read MPTCP streams on this kernel. If not, they are
// counted by kind.
func (b *backend) readsMPTCP() bool {
	for i := range b.further {
		if f := &b.further[i]; strings.HasPrefix(f.function, "mptcp_") && !f.usable() {
			return false
		}
	}
	return streamsHere().countsMPTCP
}
