package bpf

import (
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf/btf"
)

// mptcpParameters is how many parameters the functions of MPTCP may have where its streams can be read. Those of mptcp_recvmsg are the ones
// of tcp_recvmsg: both stand in the same place of struct proto. 7.2 has one less.
var mptcpParameters = map[string][]int{"mptcp_sendmsg": {3}, "mptcp_recvmsg": {4, 5}}

// streamFacts are what the kernel has for sockets that are not plain TCP.
type streamFacts struct {
	functions map[string]int // with how many parameters
	// tellsOfMPTCP: the kernel counts what an application has received of an MPTCP stream: 6.12 does, 6.1 does not.
	tellsOfMPTCP bool
}

// streamsHere looks them up, once: each of these types refers to most of the others, and to decode them takes a slow machine seconds.
var streamsHere = sync.OnceValue(func() streamFacts {
	facts := streamFacts{functions: make(map[string]int)}
	kernel, err := kernelTypes()
	if err != nil {
		return facts // nothing can be loaded either
	}
	for _, name := range []string{"mptcp_sendmsg", "mptcp_recvmsg", "tcp_bpf_sendmsg"} {
		var function *btf.Func
		if kernel.TypeByName(name, &function) == nil {
			facts.functions[name] = len(function.Type.(*btf.FuncProto).Params)
		}
	}
	var socket *btf.Struct
	if kernel.TypeByName("mptcp_sock", &socket) == nil {
		facts.tellsOfMPTCP = slices.ContainsFunc(socket.Members, func(m btf.Member) bool { return m.Name == "bytes_consumed" })
	}
	return facts
})

// usable tells whether the kernel has the function, as the programs know it.
func (f *further) usable() bool {
	facts := streamsHere()
	parameters, found := facts.functions[f.function]
	if wanted, mptcp := mptcpParameters[f.function]; mptcp {
		return found && slices.Contains(wanted, parameters) && facts.tellsOfMPTCP
	}
	return found
}

// readsMPTCP tells whether the backend reads the streams of MPTCP on this kernel. Where it does not, they are counted by their kind.
func (b *backend) readsMPTCP() bool {
	for i := range b.further {
		if f := &b.further[i]; strings.HasPrefix(f.function, "mptcp_") && !f.usable() {
			return false
		}
	}
	return streamsHere().tellsOfMPTCP
}
