package conformance

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// testKinds talks on sockets whose bytes nobody can read. Each connection counts by its kind, once at each end that is watched.
func testKinds(t *testing.T, o *observer, servers []*redisServer) {
	t.Run("kTLS", func(t *testing.T) { testKernelTLS(t, o, servers[0]) })
	t.Run("SCTP", func(t *testing.T) { testStreamOf(t, o, servers, "sctp", unix.AF_INET, unix.IPPROTO_SCTP) })
	t.Run("SMC", func(t *testing.T) { testStreamOf(t, o, servers, "smc", unix.AF_SMC, 0) })
}

// skipKind skips the test where the kernel has no such sockets. It fails if their module was packed for the guest.
func skipKind(t *testing.T, module string, err error) {
	t.Helper()
	require.NotContains(t, strings.Fields(os.Getenv("CONFORMANCE_MODULES")), module, "the module is loaded: %v", err)
	t.Skipf("the kernel has no such sockets: %v", err)
}

// kinds returns how many connections were counted by a kind.
func (o *observer) kinds(t *testing.T, kind string) float64 {
	t.Helper()
	return o.mustScrape(t).Sum("redis_observer_connections_total", "kind="+kind)
}

// assertKind runs traffic that makes so many connections of a kind, and nothing else that is missing.
func assertKind(t *testing.T, o *observer, kind string, connections float64, traffic func(*testing.T)) {
	t.Helper()
	before, lost := o.kinds(t, kind), losses(o.mustScrape(t))
	traffic(t)
	eventually(t, func() bool { return o.kinds(t, kind) >= before+connections }, "the connection is not counted by its kind")
	time.Sleep(quiet)
	assert.Equal(t, before+connections, o.kinds(t, kind))
	assert.Equal(t, lost, losses(o.mustScrape(t)))
}

// testKernelTLS has the kernel encrypt what a client sends.
func testKernelTLS(t *testing.T, o *observer, server *redisServer) {
	probe := mustConnect(t, server.Port, "127.0.0.1", plain)
	if err := unix.SetsockoptString(probe.fd, unix.IPPROTO_TCP, unix.TCP_ULP, "tls"); err != nil {
		probe.close()
		skipKind(t, "tls", err)
	}
	assertKind(t, o, "ktls", 1, func(*testing.T) { probe.close() }) // that it would have been encrypted shows at its end
	const (
		solTLS, send, receive = 282, 1, 2
		version12, aesGCM128  = 0x0303, 51
	)
	keys := make([]byte, 40) // struct tls12_crypto_info_aes_gcm_128: version, cipher, and the rest are secrets
	keys[0], keys[1], keys[2] = version12&0xff, version12>>8, aesGCM128
	assertKind(t, o, "ktls", 1, func(t *testing.T) {
		c := mustConnect(t, server.Port, "127.0.0.1", plain)
		require.NoError(t, unix.SetsockoptString(c.fd, unix.IPPROTO_TCP, unix.TCP_ULP, "tls"))
		require.NoError(t, unix.SetsockoptString(c.fd, solTLS, send, string(keys)))
		for range 3 {
			_, err := c.Write(request("PING"))
			require.NoError(t, err)
			time.Sleep(quiet / 10)
		}
		c.close()
	})
}

// testStreamOf exchanges commands over sockets of another family or protocol, with a server of its own beside each server.
func testStreamOf(t *testing.T, o *observer, servers []*redisServer, kind string, family, protocol int) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		skipKind(t, kind, err)
	}
	unix.Close(fd)
	beside := [4]byte{127, 0, 0, 2}
	for _, server := range servers {
		t.Run(server.role, func(t *testing.T) {
			listener := mustFile(t, family, protocol)
			defer unix.Close(listener)
			require.NoError(t, unix.Bind(listener, &unix.SockaddrInet4{Port: server.Port, Addr: beside}))
			require.NoError(t, unix.Listen(listener, 1))
			assertKind(t, o, kind, 1, func(t *testing.T) {
				client := mustFile(t, family, protocol)
				accepted := make(chan int, 1)
				go func() {
					fd, err := uninterrupted(func() (int, error) {
						fd, _, err := unix.Accept(listener)
						return fd, err
					})
					assert.NoError(t, err)
					accepted <- fd
				}()
				require.NoError(t, unix.Connect(client, &unix.SockaddrInet4{Port: server.Port, Addr: beside}))
				other := <-accepted
				for range 10 {
					mustPass(t, client, other, request("PING"))
					mustPass(t, other, client, []byte("+PONG\r\n"))
				}
				require.NoError(t, unix.Close(other))
				require.NoError(t, unix.Close(client))
			})
		})
	}
}

// mustFile returns a socket that waits no longer than patience. The caller closes it.
func mustFile(t *testing.T, family, protocol int) int {
	t.Helper()
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, protocol)
	require.NoError(t, err)
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	require.NoError(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	return fd
}

// uninterrupted repeats a call that a signal interrupted. Go's runtime sends itself signals, and the kernel does not
// restart calls on sockets with a limit of time.
func uninterrupted(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}

// mustPass sends a message from one socket and receives it at another.
func mustPass(t *testing.T, from, to int, message []byte) {
	t.Helper()
	n, err := uninterrupted(func() (int, error) { return unix.Write(from, message) })
	require.NoError(t, err)
	require.Len(t, message, n)
	var heard []byte
	for buffer := make([]byte, len(message)); len(heard) < len(message); {
		n, err := uninterrupted(func() (int, error) { return unix.Read(to, buffer) })
		require.NoError(t, err)
		require.Positive(t, n)
		heard = slices.Concat(heard, buffer[:n])
	}
	require.Equal(t, message, heard)
}
