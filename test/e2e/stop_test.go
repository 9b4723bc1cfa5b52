package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// record is the beginning of a TLS handshake, or what passes later, and no Redis at all.
func record(kind byte, length int) []byte {
	return append([]byte{kind, 3, 3, byte(length >> 8), byte(length)}, bytes.Repeat([]byte{0xa5}, length)...)
}

// flood writes as fast as it can until end is set, and counts the bytes.
func flood(w io.Writer, chunk []byte, end *atomic.Bool, written *atomic.Int64) error {
	for !end.Load() {
		n, err := w.Write(chunk)
		written.Add(int64(n))
		if err != nil {
			return err
		}
	}
	return nil
}

// discard reads whatever comes, and nothing else.
func discard(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// Whatever else passes on an observed port is not copied once it is known not to be wanted, and takes nothing from those whose commands count.
func TestFloodOfWhatIsNotWanted(t *testing.T) {
	RequireProbes(t, "a socket of packets receives all that passes")
	chunk := bytes.Repeat(record(0x17, 16<<10-5), 16)
	for _, test := range []struct {
		name     string
		others   string // endpoints of its port
		hello    []byte // what the client sends first
		byItsOwn bool   // the server floods
	}{
		{name: "encrypted", hello: record(0x16, 300)},
		{
			name: "ignored at one end, not Redis at the other", hello: []byte("*1\r\n!\r\n"),
			others: "  - {name: a, addresses: ['127.0.0.1:%[1]d'], role: server}\n  - {name: b, addresses: ['127.0.0.2:%[1]d'], role: client}\n",
		},
		{name: "not Redis", hello: []byte("*1\r\n!\r\n")},
		{name: "replica", hello: request("PSYNC", "?", "-1"), byItsOwn: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := mustRedis(t)
			var end atomic.Bool
			var written atomic.Int64
			listener := mustListener(t)
			defer listener.Close()
			var flooding sync.WaitGroup
			flooding.Go(func() {
				conn, err := listener.Accept()
				if !assert.NoError(t, err) {
					return
				}
				defer conn.Close()
				if !test.byItsOwn {
					discard(conn)
					return
				}
				if _, err := conn.Write([]byte("+FULLRESYNC 8de1787ba490483314a4d30f1c628bc5025eb761 0\r\n")); !assert.NoError(t, err) {
					return
				}
				assert.NoError(t, flood(conn, chunk, &end, &written))
			})
			port := listener.Addr().(*net.TCPAddr).Port
			config := observing(r.Port, port)
			if test.others != "" {
				config = observing(r.Port) + "endpoints:\n" + fmt.Sprintf(test.others, port)
			}
			o := mustObserverOf(t, shippedBinary, config)
			neighbour := mustDial(t, listener.Addr().String())
			neighbour.mustSend(test.hello)
			flooding.Go(func() {
				if test.byItsOwn {
					discard(neighbour.TCPConn)
					return
				}
				time.Sleep(50 * time.Millisecond) // what it is shows before it floods, or at its second chunk
				assert.NoError(t, flood(neighbour.TCPConn, chunk, &end, &written))
				assert.NoError(t, neighbour.CloseWrite())
			})

			c := mustDial(t, r.Address())
			sent := 0
			enough := func(took time.Duration) bool { // on a busy machine it takes longer
				return took >= 2*time.Second && (written.Load() > 100e6 || took >= time.Minute)
			}
			for start := time.Now(); !enough(time.Since(start)); sent += 60 {
				c.mustSend(repeat(60, "SET", "key", "value"))
				c.mustReceive(60)
			}
			end.Store(true)
			flooding.Wait()
			s := o.mustSee("the victim's commands", func(s snapshot) bool { return s.commands("default")["set"] >= sent })
			assert.Equal(t, sent, s.commands("default")["set"])
			losses := s.losses()
			delete(losses, series("redis_observer_protocol_errors_total"))
			assert.Empty(t, losses)
			copied := s.sum("redis_observer_capture_bytes_total")
			t.Logf("the neighbour sent %d MB, %d commands passed, %d kB were copied", written.Load()/1e6, sent, copied/1000)
			assert.Greater(t, written.Load(), int64(100e6))
			assert.Less(t, copied, sent*100+16<<20)
		})
	}
}

// A connection that is turned away may end while that is decided, and the next one has a socket at the same address.
func TestNextConnectionIsNotStopped(t *testing.T) {
	const rounds, atOnce, pipeline = 150, 8, 10
	port := mustListen(t, func(conn net.Conn) {
		first := make([]byte, 1)
		if _, err := conn.Read(first); err != nil {
			return
		}
		if first[0] == '*' {
			acknowledge(conn)
		}
		discard(conn)
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	o := mustObserverOf(t, shippedBinary, observing(port))
	greeting, data := record(0x16, 300), record(0x17, 300)
	for round := range rounds {
		encrypted := mustDialMany(t, atOnce, address)
		for i := range 6 {
			for _, c := range encrypted {
				c.mustSend(greeting)
				for range i {
					c.mustSend(data)
				}
			}
			time.Sleep(time.Duration(round%10) * 50 * time.Microsecond) // around the moment in which they are stopped
		}
		for i, c := range encrypted {
			if i%2 == 0 {
				c.mustReset()
			} else {
				require.NoError(t, c.Close())
			}
		}
		next := mustDialMany(t, atOnce, address)
		for range pipeline { // for longer than what came before waits to be read
			for _, c := range next {
				c.mustSend(request("SET", "key", "value"))
			}
			time.Sleep(time.Duration(round%4) * 300 * time.Microsecond)
		}
		for _, c := range next {
			_, err := io.CopyN(io.Discard, c.TCPConn, (pipeline-1)*int64(len("+OK\r\n"))) // the first request has lost its asterisk
			require.NoError(t, err)
			c.mustReset()
		}
	}
	s := o.mustSee("the end of all", func(s snapshot) bool { return s.sum("redis_observer_tracked_connections") == 0 })
	assert.Equal(t, rounds*atOnce*pipeline, s.commands("default")["set"])
	assert.Equal(t, rounds*atOnce, s.value("redis_observer_connections_total", "kind=tls"))
	assert.Empty(t, s.losses())
}

// What was turned away because it had no name is wanted again when it has one, and goes on in mid-stream.
func TestReloadEndsStops(t *testing.T) {
	r := mustRedis(t)
	named := func(counted, elsewhere string) string {
		return fmt.Sprintf(`ports: []
endpoints:
  - {name: default, addresses: ["127.0.0.1:%[1]d"], role: %[2]s}
  - {name: elsewhere, addresses: ["127.0.0.2:%[1]d"], role: %[3]s}
`, r.Port, counted, elsewhere)
	}
	o := mustObserverOf(t, shippedBinary, named("server", "client"))
	c := mustDial(t, r.Address())
	ping := func(n int) {
		for range n {
			c.mustDo("PING")
			time.Sleep(time.Millisecond)
		}
	}
	const both = len("*1\r\n$4\r\nPING\r\n+PONG\r\n")
	copied := func() int {
		time.Sleep(200 * time.Millisecond)
		return o.mustScrape().sum("redis_observer_capture_bytes_total")
	}
	ping(100)
	before := copied()
	assert.Less(t, before, 150*both, "the client's end is turned away soon")
	ping(100)
	assert.Equal(t, before+100*both, copied(), "nothing more of it is copied")
	o.assertCommands("default", counts{"ping": 200})

	o.mustConfigure(named("client", "server")) // which is noticed: a signal too would make two reloads of it
	require.Eventually(t, func() bool { return strings.Contains(o.Log(), "configuration reloaded") }, settled, 10*time.Millisecond)
	ping(80) // it may take so many rounds to be synced
	before = copied()
	between := o.mustScrape()
	ping(100)
	assert.Equal(t, before+100*both, copied(), "now the server's end is turned away")
	o.assertCommands("default", counts{"ping": between.commands("default")["ping"] + 100})
	assert.Equal(t, between.losses(), o.mustScrape().losses())
}

// What speaks RESP has to be read, and there may be too much of it. Then those lose who send much at once, and it is counted.
func TestGreatCallsLeaveRoomForOthers(t *testing.T) {
	RequireProbes(t, "a socket of packets receives all that passes")
	r := mustRedis(t)
	port := mustListen(t, discard)
	o := mustObserverOf(t, shippedBinary, observing(r.Port, port))
	chunk := repeat(2000, "SET", "key", "value")
	var end atomic.Bool
	var flooding sync.WaitGroup
	for range 3 {
		neighbour := mustDial(t, fmt.Sprintf("127.0.0.1:%d", port))
		flooding.Go(func() {
			assert.NoError(t, flood(neighbour.TCPConn, chunk, &end, new(atomic.Int64)))
		})
	}
	c := mustDial(t, r.Address())
	sent := 0
	for start := time.Now(); time.Since(start) < 2*time.Second; sent += 30 {
		c.mustSend(repeat(30, "INCR", "key"))
		c.mustReceive(30)
	}
	end.Store(true)
	flooding.Wait()
	s := o.mustSee("the victim's commands", func(s snapshot) bool { return s.commands("default")["incr"] >= sent })
	assert.Equal(t, sent, s.commands("default")["incr"])
	assert.Positive(t, s.value("redis_observer_gaps_total", "reason=crowded", "effect=broken"), "the neighbours' losses are counted")
}
