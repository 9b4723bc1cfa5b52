package e2e

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// acknowledge answers each request with +OK, as far as it reads them as whole lines that begin with an asterisk.
func acknowledge(conn net.Conn) {
	reader := bufio.NewReader(conn)
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
		if line[0] != '*' {
			continue
		}
		if _, err := conn.Write([]byte("+OK\r\n")); err != nil {
			return
		}
	}
}

// The kernel gives the memory of a socket to the next one at once. What the probes noted of a connection that was in the middle of a
// long value when it was cut off must not be taken for the next one's.
func TestBodyIsForgottenWithItsConnection(t *testing.T) {
	RequireProbes(t, "only they pass over bodies, and packets of so many writes at once find the socket full")
	const rounds, connections, pipeline = 100, 4, 120
	port := mustListen(t, acknowledge)
	address := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String()
	o := mustObserverOf(t, shippedBinary, observing(port))
	announcement := append([]byte("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n"), bytes.Repeat([]byte("x"), 4096)...)
	for range rounds {
		// One of eight sockets has an offset that lies in the body of the one before.
		announcers := mustDialMany(t, connections, address)
		for _, c := range announcers {
			c.mustSend(announcement)
		}
		for _, c := range announcers {
			c.mustReset()
		}
		for _, c := range mustDialMany(t, connections, address) {
			require.NoError(t, acknowledged(c, pipeline))
			require.NoError(t, c.Close())
		}
	}
	s := o.mustSee("the end of all", func(s snapshot) bool { return s.sum("redis_observer_tracked_connections") == 0 })
	assert.Equal(t, counts{"set": rounds * connections * pipeline}, s.commands("default"))
	losses := s.losses()
	delete(losses, series("redis_observer_unexecuted_commands_total"))
	assert.Empty(t, losses)
}

func mustDialMany(tb testing.TB, n int, address string) []*client {
	tb.Helper()
	var all []*client
	for range n {
		all = append(all, mustDial(tb, address))
	}
	return all
}

// acknowledged sends a pipeline of SET in one write, and reads as many +OK.
func acknowledged(c *client, pipeline int) error {
	if err := c.send(repeat(pipeline, "SET", "key", "value")); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c.TCPConn, int64(pipeline*len("+OK\r\n")))
	return err
}
