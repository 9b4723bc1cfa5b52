package bpf

import (
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// mptcpParameters is how many parameters mptcp_sendmsg() and mptcp_recvmsg() have on the kernels whose MPTCP can be read.
var mptcpParameters = map[string]int{"mptcp_sendmsg": 3, "mptcp_recvmsg": 4}

// usable tells whether the kernel has the function, as the programs know it.
func (f *further) usable() bool {
	function, err := kernelFunction(f.function)
	if err != nil {
		return false
	}
	if parameters, mptcp := mptcpParameters[f.function]; mptcp {
		return tellsOfMPTCP() && len(function.Params) == parameters
	}
	return true
}

// readsMPTCP tells whether the backend reads the streams of MPTCP on this kernel. Where it does not, they are counted by their kind.
func (b *backend) readsMPTCP() bool {
	for i := range b.further {
		if f := &b.further[i]; strings.HasPrefix(f.function, "mptcp_") && !f.usable() {
			return false
		}
	}
	return tellsOfMPTCP()
}

// tellsOfMPTCP tells whether the kernel counts what an application has received of an MPTCP stream, as it does from 6.11 on.
func tellsOfMPTCP() bool {
	kernel, err := kernelTypes()
	if err != nil {
		return false
	}
	var socket *btf.Struct
	if kernel.TypeByName("mptcp_sock", &socket) != nil {
		return false
	}
	return slices.ContainsFunc(socket.Members, func(m btf.Member) bool { return m.Name == "bytes_consumed" })
}
