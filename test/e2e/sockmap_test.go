package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mustSockmap returns a map of two sockets, by 0 and 1. What is sent on either goes to the other, past TCP: that with the local port is 1.
// Without the right to make one it skips the test.
func mustSockmap(tb testing.TB, port int) *ebpf.Map {
	tb.Helper()
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.SockMap, KeySize: 4, ValueSize: 4, MaxEntries: 2})
	if errors.Is(err, os.ErrPermission) {
		skip(tb, "needs CAP_BPF and CAP_NET_ADMIN to make a sockmap: "+err.Error())
	}
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = sockets.Close() })
	const localPort = 64 // in struct sk_msg_md
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:       ebpf.SkMsg,
		AttachType: ebpf.AttachSkMsgVerdict,
		License:    "GPL",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R6, asm.R1, localPort, asm.Word),
			asm.LoadMapPtr(asm.R2, sockets.FD()),
			asm.Mov.Imm(asm.R3, 0),
			asm.JEq.Imm(asm.R6, int32(port), "to"),
			asm.Mov.Imm(asm.R3, 1),
			asm.Mov.Imm(asm.R4, 1).WithSymbol("to"), // BPF_F_INGRESS
			asm.FnMsgRedirectMap.Call(),
			asm.Return(),
		},
	})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = program.Close() })
	require.NoError(tb, link.RawAttachProgram(link.RawAttachProgramOptions{Target: sockets.FD(), Program: program, Attach: ebpf.AttachSkMsgVerdict}))
	return sockets
}

// mustPut puts a socket into a map.
func mustPut(tb testing.TB, sockets *ebpf.Map, key uint32, conn *net.TCPConn) {
	tb.Helper()
	raw, err := conn.SyscallConn()
	require.NoError(tb, err)
	require.NoError(tb, raw.Control(func(fd uintptr) { err = sockets.Put(key, uint32(fd)) }))
	require.NoError(tb, err)
}

// What BPF hands from socket to socket is in the stream of neither, and makes no packets: those who capture packets see an idle connection.
func TestSockmap(t *testing.T) {
	e := mustEnds(t, 1)
	port := e.port()
	sockets := mustSockmap(t, port)
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", socketAddress, port))
	require.NoError(t, err)
	defer listener.Close()
	c := mustDial(t, listener.Addr().String())
	accepted, err := listener.Accept()
	require.NoError(t, err)
	defer accepted.Close()
	go answerPings(accepted)
	for range 10 {
		c.mustDo("PING")
	}
	mustPut(t, sockets, 0, c.TCPConn)
	mustPut(t, sockets, 1, accepted.(*net.TCPConn))
	for range 100 {
		c.mustDo("PING")
	}
	want := 1
	if byPackets() {
		want = 0
	}
	for role, o := range e.observers {
		s := o.mustSee("its kind and what passed before", func(s snapshot) bool {
			return s.value("redis_observer_connections_total", "kind=sockmap") >= want && s.commands(fmt.Sprintf("port-%d", port)).total() >= 10
		})
		if byPackets() {
			assert.Empty(t, s.losses(), role)
		}
		assert.Equal(t, want, s.value("redis_observer_connections_total", "kind=sockmap"), role)
		assert.Equal(t, counts{"ping": 10}, s.commands(fmt.Sprintf("port-%d", port)), role)
	}
}
