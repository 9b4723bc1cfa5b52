package sockets_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/packet/sockets"
)

// TestList: a connection on loopback has two sockets. Any user may see them.
func TestList(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil && host == "::1" {
			t.Log("no IPv6 here: ", err)
			continue
		}
		require.NoError(t, err)
		server := listener.Addr().(*net.TCPAddr).AddrPort()
		client, err := net.Dial("tcp", server.String())
		require.NoError(t, err)
		accepted, err := listener.Accept()
		require.NoError(t, err)
		at := client.LocalAddr().(*net.TCPAddr).AddrPort()
		want := []sockets.Socket{
			socket(at, server, sockets.Socket{Established: true}),
			socket(server, at, sockets.Socket{Established: true, Accepted: true}),
		}
		assert.ElementsMatch(t, want, list(t, server.Port()), "when neither has said anything")

		time.Sleep(50 * time.Millisecond) // the ticks of the kernel
		_, err = client.Write([]byte("request"))
		require.NoError(t, err)
		_, err = accepted.Read(make([]byte, 100))
		require.NoError(t, err)
		want[0].SentLast, want[1].ReceivedLast = true, true
		assert.ElementsMatch(t, want, list(t, server.Port()), "after the request")

		time.Sleep(50 * time.Millisecond)
		_, err = accepted.Write([]byte("reply"))
		require.NoError(t, err)
		for i := range want {
			want[i].SentLast, want[i].ReceivedLast = want[i].ReceivedLast, want[i].SentLast
		}
		assert.ElementsMatch(t, want, list(t, server.Port()), "after the reply")

		require.NoError(t, client.(*net.TCPConn).CloseWrite())
		want[0].Established, want[1].Established = false, false
		assert.ElementsMatch(t, want, list(t, server.Port()), "half closed")

		require.NoError(t, accepted.Close())
		require.NoError(t, client.Close())
		assert.Empty(t, list(t, server.Port()), "closed")
		require.NoError(t, listener.Close())
	}
}

func list(tb testing.TB, wanted uint16) []sockets.Socket {
	tb.Helper()
	found, err := sockets.List(func(port uint16) bool { return port == wanted })
	require.NoError(tb, err)
	return found
}

func socket(local, remote netip.AddrPort, s sockets.Socket) sockets.Socket {
	s.Local, s.LocalPort = local.Addr().As16(), local.Port()
	s.Remote, s.RemotePort = remote.Addr().As16(), remote.Port()
	return s
}
