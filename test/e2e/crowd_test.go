package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// crowdVariable makes this program a part of a crowd: "<port> <first connection> <connections>".
const crowdVariable = "REDIS_OBSERVER_E2E_CROWD"

const (
	crowdAddresses = 200    // from 127.0.1.1 on
	crowdOfProcess = 15_000 // a process may often open no more than 20,000 files
)

// mustCrowd lets processes of its own open n connections to many addresses of a port, on each of which eight commands are sent and never
// answered. It returns when all are open; they are closed at the end of the test. Nobody accepts them, so that they take no files here.
func mustCrowd(tb testing.TB, port, n int) {
	tb.Helper()
	for i := range crowdAddresses {
		listener, err := net.Listen("tcp4", crowdAddress(i, port))
		require.NoError(tb, err)
		tb.Cleanup(func() { _ = listener.Close() })
	}
	var group sync.WaitGroup
	var failed atomic.Pointer[error]
	for first := 0; first < n; first += crowdOfProcess {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %d", crowdVariable, port, first, min(crowdOfProcess, n-first)))
		command.Stderr = os.Stderr
		goOn, err := command.StdinPipe()
		require.NoError(tb, err)
		says, err := command.StdoutPipe()
		require.NoError(tb, err)
		require.NoError(tb, command.Start())
		tb.Cleanup(func() {
			_ = goOn.Close()
			_ = command.Wait()
		})
		group.Go(func() {
			if _, err := io.ReadFull(says, make([]byte, len(crowdReady))); err != nil {
				failed.Store(&err)
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		require.NoError(tb, *err, "a part of the crowd")
	}
}

func crowdAddress(i, port int) string {
	return fmt.Sprintf("127.0.1.%d:%d", 1+i%crowdAddresses, port)
}

const crowdReady = "ready"

// beCrowd is what a part of a crowd does until its standard input ends.
func beCrowd() int {
	var port, first, n int
	if _, err := fmt.Sscan(os.Getenv(crowdVariable), &port, &first, &n); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	requests := []byte(strings.Repeat(string(resp.Request("SET", "key", "value"))+string(resp.Request("GET", "key")), 4))
	conns := make([]net.Conn, 0, n)
	for i := range n {
		c, err := net.Dial("tcp4", crowdAddress(first+i, port))
		if err == nil {
			_, err = c.Write(requests)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		conns = append(conns, c)
	}
	fmt.Print(crowdReady)
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, c := range conns {
		_ = c.(*net.TCPConn).SetLinger(0) // no TIME_WAIT for as many
	}
	return 0
}
