package e2e

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serving returns the configuration of an observer of the server's end.
func serving(port int) string {
	return fmt.Sprintf("ports: []\nendpoints:\n  - {name: default, addresses: [\"127.0.0.1:%d\"], role: server}\n", port)
}

// The bodies of long values are copied at neither end, in whatever pieces of memory they are written: Redis gives the kernel the header of
// a reply, its body and what follows in a list, and a long reply in many lists.
func TestLongValuesAreNotCopied(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are copied whole")
	for _, end := range []struct {
		name   string
		config func(*redis) string
	}{
		{"client", func(r *redis) string { return observing(r.Port) }},
		{"server", func(r *redis) string { return serving(r.Port) }},
	} {
		t.Run(end.name, func(t *testing.T) {
			r := mustRedis(t)
			o := mustObserverOf(t, shippedBinary, end.config(r))
			sent := counts{}
			for _, test := range []struct{ size, pipeline, times int }{
				{20_000, 16, 100}, {100_000, 1, 200}, {100_000, 16, 20}, {1_000_000, 4, 10}, {150_000_000, 1, 1},
			} {
				t.Run(fmt.Sprintf("%d×%d", test.pipeline, test.size), func(t *testing.T) {
					c := mustDial(t, r.Address())
					c.mustDo("SET", "key", strings.Repeat("*1\r\n$4\r\nPING\r\n", test.size/14))
					sent["set"]++
					before := o.mustSee("the value", func(s snapshot) bool { return s.commands("default")["set"] == sent["set"] })
					rounds := min(test.times, 10)
					copied := make([]int, rounds)
					for i := range copied {
						for range test.times / rounds {
							c.mustSend(repeat(test.pipeline, "GET", "key"))
							c.mustReceive(test.pipeline)
							sent["get"] += test.pipeline
						}
						s := o.mustSee("the round", func(s snapshot) bool { return s.commands("default")["get"] == sent["get"] })
						copied[i] = s.sum("redis_observer_capture_bytes_total") - before.sum("redis_observer_capture_bytes_total")
						before = s
					}
					o.assertCommands("default", sent)
					assertExact(t, o.mustScrape())
					read := test.times * test.pipeline * test.size / rounds
					t.Logf("%d of %d bytes were copied in each round", copied, read)
					// Where a read ends within the header of a value, or is short, the rest of a pipeline is copied. In most rounds none does.
					slices.Sort(copied)
					assert.Less(t, copied[rounds/2], read/20)
				})
			}
		})
	}
}

// Where reads end, and what is in arrays, makes no difference to what is counted.
func TestLongElements(t *testing.T) {
	r := mustRedis(t)
	o := mustObserverOf(t, shippedBinary, observing(r.Port))
	c := mustDial(t, r.Address())
	sent := counts{}
	for size := 5000; size < 9100; size += 71 { // the header of an element comes to lie anywhere in a read of 4,096 bytes
		c.mustDo("SET", "key", strings.Repeat("*1\r\n$4\r\nPING\r\n", size/14)+strings.Repeat("*", size%14))
		c.mustSend(repeat(3, "MGET", "key", "key", "none", "key"))
		c.mustSend(repeat(5, "GET", "key"))
		c.mustReceive(8)
		sent["set"]++
		sent["mget"] += 3
		sent["get"] += 5
	}
	o.assertCommands("default", sent)
	assertExact(t, o.mustScrape())
}

// vector writes pieces of memory in one call.
func vector(tb testing.TB, c *client, pieces ...[]byte) {
	tb.Helper()
	list := net.Buffers(pieces)
	_, err := list.WriteTo(c.TCPConn)
	require.NoError(tb, err)
}

// Whatever the pieces of a list are, what is passed over is bodies and nothing else.
func TestBodiesInLists(t *testing.T) {
	r := mustRedis(t)
	o := mustObserverOf(t, shippedBinary, observing(r.Port))
	body := bytes.Repeat([]byte("*1\r\n$4\r\nPING\r\n"), 1000)
	set := bytes.Join([][]byte{fmt.Appendf(nil, "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$%d\r\n", len(body)), body, []byte("\r\n")}, nil)
	ping := repeat(1, "PING")
	c := mustDial(t, r.Address())
	sent := counts{}
	for _, size := range []int{1, 7, 40, 41, 100, 3000, len(set)/2 + 1, len(set) - 1, len(set), len(set) + 1, 3 * len(set) / 2} {
		all := bytes.Join([][]byte{set, ping, set, set, ping}, nil)
		var pieces [][]byte
		for rest := all; len(rest) > 0; {
			n := min(size, len(rest))
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		for len(pieces) > 0 {
			n := min(1000, len(pieces)) // as many as a call takes
			vector(t, c, pieces[:n]...)
			pieces = pieces[n:]
		}
		c.mustReceive(5)
		sent["set"] += 3
		sent["ping"] += 2
		o.assertCommands("default", sent)
	}
	assertExact(t, o.mustScrape())
}
