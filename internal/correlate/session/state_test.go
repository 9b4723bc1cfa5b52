package session

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// step is a change of state.
type step struct {
	from  State
	cause Cause
}

func (s step) String() string { return fmt.Sprintf("%s, %s", s.from, s.cause) }

// modes returns the modes that the session is in.
func (s *Session) modes() (m modes) {
	for mode, in := range map[modes]bool{
		outstanding:    s.pending.count > 0,
		inTransaction:  s.transaction.open,
		replyModeSet:   s.replyMode != answering,
		subscribed:     s.subscriptions.any(),
		acksSuppressed: s.subscriptions.suppressedAcks,
		resp3:          s.resp == 3,
		monitoring:     s.monitors,
		requestsClosed: s.requestsClosed,
		historyKnown:   !s.unknownPast,
		onProbation:    s.probation.stage != passed,
		inDoubt:        s.doubt.on,
		hasTemplate:    s.template.valid,
		atFirstByte:    s.opening.first,
	} {
		if in {
			m |= mode
		}
	}
	return m
}

// inEveryMode puts a session into every mode at once, which no traffic does.
func (s *Session) inEveryMode(resp uint8) {
	*s.pending.push() = pending{}
	s.transaction = transaction{queue: s.transaction.queue, open: true, running: true, partial: true}
	s.replyMode, s.resp, s.monitors, s.requestsClosed, s.unknownPast = suppressed, resp, true, true, false
	s.subscriptions = subscriptions{arrays: true, guessed: true, suppressedAcks: true}
	s.probation.stage, s.doubt.on, s.template.valid, s.opening.first = mute, true, true, true
}

// A cause ends exactly the modes that the table says.
func TestModesThatSurvive(t *testing.T) {
	for cause, row := range transitions {
		for _, from := range row.from {
			for _, resp := range []uint8{2, 3} {
				s := newSession(new(granted), 8)
				s.inEveryMode(resp)
				s.state = from
				want := s.modes() &^ row.ends
				if row.ends&subscribed2 != 0 && resp == 2 {
					want &^= subscribed
				}
				if row.known {
					want |= historyKnown
				}
				s.to(Cause(cause))
				assert.Equal(t, want, s.modes(), "%s, %s, RESP%d", from, Cause(cause), resp)
				assert.Equal(t, row.to, s.state)
			}
		}
	}
}

// requests are one chunk of multibulk requests.
func requests(lines ...string) []byte {
	var b []byte
	for _, line := range lines {
		b = append(b, resp.Request(strings.Fields(line)...)...)
	}
	return b
}

func (d *driver) ask(lines ...string) { d.Request(requests(lines...), d.arrival()) }

func (d *driver) reply(text string) { d.Reply([]byte(text), d.arrival()) }

// release passes a reply that has waited for its request in vain.
func (d *driver) release(text string) {
	a := d.arrival()
	a.How = Released
	d.Reply([]byte(text), a)
}

// open is a connection seen from its beginning that has been answered.
func (d *driver) open() {
	d.Open(false)
	d.ask("PING")
	d.reply("+PONG\r\n")
}

// resume is a connection that was silent until the observer came.
func (d *driver) resume() {
	d.Resume(false, d.now)
	d.wait(60 * time.Millisecond)
}

func (d *driver) link() {
	d.open()
	d.ask("PSYNC ? -1")
	d.reply("+CONTINUE\r\n")
}

func (d *driver) dismiss() { d.Dismiss(event.KTLS) }

func (d *driver) close() { d.Close(Ending{Time: d.now}) }

// Traffic takes a session through every row of the table, from every state in it. The modes that the row ends are over then, and those
// that it keeps are not, but for those that the last call begins or ends by itself.
func TestTransitions(t *testing.T) {
	driven := map[step]bool{}
	for _, test := range []struct {
		step
		name    string
		prepare func(*driver)
		act     func(*driver)
		besides modes // begun or ended by the act
	}{
		{step{Desynced, Opened}, "at the first byte", nil, func(d *driver) { d.Open(false) }, atFirstByte},
		{step{Desynced, Opened}, "early", nil, func(d *driver) { d.Open(true) }, 0},
		{step{Desynced, BoundaryFound}, "silence", (*driver).resume, func(d *driver) { d.ask("GET a") }, outstanding | hasTemplate | onProbation},
		{step{Paired, GapSeen}, "of requests", func(d *driver) { d.open(); d.ask("MULTI"); d.reply("+OK\r\n"); d.ask("GET a") },
			func(d *driver) { d.Gap(event.Request, 10, event.Truncated, d.arrival()) }, 0},
		{step{Paired, GapSeen}, "of replies to a subscriber", func(d *driver) {
			d.open()
			d.ask("SUBSCRIBE a")
			d.reply("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
		}, func(d *driver) { d.Gap(event.Reply, 10, event.Truncated, d.arrival()) }, 0},
		{step{Paired, UnsolicitedReply}, "a reply left over", func(d *driver) { d.resume(); d.ask("GET a"); d.reply(null) },
			func(d *driver) { d.release("+OK\r\n") }, 0},
		{step{Paired, UnsolicitedReply}, "the server reads on behind QUIT", func(d *driver) { d.open(); d.ask("QUIT"); d.reply("+OK\r\n") },
			func(d *driver) { d.release("+OK\r\n") }, 0},
		{step{Desynced, UnsolicitedReply}, "no room for queued commands", func(d *driver) {
			d.open()
			d.ask("MONITOR")
			d.reply("+OK\r\n")
			d.ask("CLIENT REPLY OFF", "MULTI", "GET a", "SET a 1")
			d.places.(*granted).limit = FirstPlaces
		}, func(d *driver) { d.release("+OK\r\n") }, 0},
		{step{Paired, MalformedReply}, "", func(d *driver) { d.open(); d.ask("GET a") }, func(d *driver) { d.reply("HTTP/1.1 200 OK\r\n") }, 0},
		{step{Paired, CountMismatch}, "", func(d *driver) {
			d.open()
			d.ask("MULTI", "GET a", "EXEC")
			d.reply("+OK\r\n+QUEUED\r\n")
		}, func(d *driver) { d.reply("*5\r\n") }, 0},
		{step{Paired, Overflowed}, "", (*driver).open, func(d *driver) { d.ask(strings.Split(strings.Repeat("GET a,", 8)+"GET a", ",")...) }, 0},
		{step{Replica, Overflowed}, "", (*driver).link, func(d *driver) { d.ask(strings.Split(strings.Repeat("GET a,", 19)+"GET a", ",")...) }, 0},
		{step{Paired, ProofFailed}, "CLIENT REPLY OFF before the observer came", func(d *driver) {
			d.resume()
			for range mutePauses {
				d.ask("GET a")
				d.wait(60 * time.Millisecond)
			}
		}, func(d *driver) { d.ask("GET a") }, 0},
		{step{Paired, SyncAnswered}, "PSYNC", func(d *driver) { d.open(); d.ask("MULTI"); d.reply("+OK\r\n"); d.ask("PSYNC ? -1") },
			func(d *driver) { d.reply("+CONTINUE\r\n") }, outstanding},
		{step{Paired, SyncAnswered}, "SYNC", func(d *driver) { d.open(); d.ask("SYNC") }, func(d *driver) { d.reply("$10\r\n") }, outstanding},
		{step{Desynced, AckSent}, "", func(d *driver) { d.Resume(true, d.now) }, func(d *driver) { d.ask("REPLCONF ACK 1") }, 0},
		{step{Paired, WasReset}, "inside MULTI while tracking", func(d *driver) {
			d.open()
			d.ask("HELLO 3", "CLIENT TRACKING ON", "MULTI", "GET a", "RESET")
			d.reply("%1\r\n+proto\r\n:3\r\n+OK\r\n+OK\r\n+QUEUED\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n")
		}, func(d *driver) { d.reply("+RESET\r\n") }, outstanding},
		{step{Paired, WasReset}, "of a subscriber and monitor in mid-stream", func(d *driver) {
			d.resume()
			d.ask("MONITOR")
			d.reply("+OK\r\n")
			d.ask("SUBSCRIBE a")
			d.reply("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
			d.ask("RESET")
		}, func(d *driver) { d.reply("+RESET\r\n") }, outstanding},
		{step{Paired, WasReset}, "with replies off", func(d *driver) {
			d.open()
			d.ask("CLIENT REPLY OFF", "SUBSCRIBE a")
			d.wait(2 * time.Second)
			d.ExpireDoubt()
			d.ask("RESET")
		}, func(d *driver) { d.reply("+RESET\r\n") }, outstanding},
		{step{Paired, Recognised}, "TLS", func(d *driver) { d.Open(true) }, func(d *driver) { d.Request([]byte("\x16\x03\x01"), d.arrival()) }, 0},
		{step{Paired, Recognised}, "a greeting in place of the reply", func(d *driver) { d.Open(false); d.ask("GET a") },
			func(d *driver) { d.reply("HTTP/1.1 200 OK\r\n") }, 0},
		{step{Desynced, Recognised}, "", nil, (*driver).dismiss, 0},
		{step{Replica, Recognised}, "", (*driver).link, (*driver).dismiss, 0},
		{step{Foreign, PlaintextFound}, "in mid-stream", func(d *driver) { d.Open(false); d.Request([]byte("\x16\x03\x01"), d.arrival()) },
			func(d *driver) { d.Decrypt(false) }, 0},
		{step{Desynced, PlaintextFound}, "in mid-stream", nil, func(d *driver) { d.Decrypt(false) }, 0},
		{step{Paired, PlaintextFound}, "behind what looked like requests", func(d *driver) { d.open(); d.ask("MULTI"); d.reply("+OK\r\n"); d.ask("GET a") },
			func(d *driver) { d.Decrypt(false) }, 0},
		{step{Replica, PlaintextFound}, "behind what looked like a link", (*driver).link, func(d *driver) { d.Decrypt(false) }, 0},
		{step{Paired, ConnectionEnded}, "", func(d *driver) { d.open(); d.ask("GET a") }, (*driver).close, 0},
		{step{Desynced, ConnectionEnded}, "", nil, (*driver).close, 0},
		{step{Replica, ConnectionEnded}, "", (*driver).link, (*driver).close, 0},
		{step{Foreign, ConnectionEnded}, "", (*driver).dismiss, (*driver).close, 0},
		{step{Ended, ConnectionEnded}, "", (*driver).close, (*driver).close, 0},
	} {
		t.Run(fmt.Sprint(test.step, " ", test.name), func(t *testing.T) {
			d := drive(new(granted), 8)
			if test.prepare != nil {
				test.prepare(d)
			}
			before := d.modes()
			var steps []step
			d.shared.Trace = func(from State, cause Cause) { steps = append(steps, step{from, cause}) }
			test.act(d)

			require.Contains(t, steps, test.step)
			row := transitions[test.cause]
			assert.Equal(t, row.to, d.state)
			want := before
			for _, step := range steps {
				require.True(t, Listed(step.from, step.cause), "%s", step)
				want &^= transitions[step.cause].ends
			}
			if row.ends&subscribed2 != 0 && d.resp == 2 {
				want &^= subscribed
			}
			if row.known {
				want |= historyKnown
			}
			assert.Equal(t, want&^test.besides, d.modes()&^test.besides)
			driven[test.step] = true
		})
	}
	for cause, row := range transitions {
		for _, from := range row.from {
			assert.True(t, driven[step{from, Cause(cause)}], "%s is driven by no traffic", step{from, Cause(cause)})
		}
	}
}

// The package comment draws every state and every cause.
func TestDiagramIsComplete(t *testing.T) {
	comment, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	for state := range states {
		assert.Contains(t, string(comment), state.String())
	}
	for cause := range causes {
		assert.Contains(t, string(comment), cause.String())
	}
}
