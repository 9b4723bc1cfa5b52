package socket_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/capture/socket"
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/metrics"
)

// path is the path from a record of the ring to the metrics. Package bpf measures stepping through
// the rings.
type path struct {
	live     socket.Live
	tracker  *correlate.Tracker
	recorder *metrics.Recorder
	records  [2][]byte // a request, or a pipeline of them, and the reply
}

const headSize = int(unsafe.Sizeof(bpf.Event{}))

func head(record []byte) *bpf.Event { return (*bpf.Event)(unsafe.Pointer(&record[0])) }

func newPath(tb testing.TB, pipeline int) *path {
	tb.Helper()
	identities := identity.NewRegistry("name")
	name := identities.Intern("bench")
	p := &path{
		tracker: correlate.New(correlate.Options{
			Resolve: func(event.Role, *event.Endpoints) (identity.ID, bool) { return name, true },
		}),
		recorder: metrics.New(metrics.Options{
			Buckets:    []float64{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
			Commands:   command.Builtin(),
			Identities: identities,
			Logger:     slog.New(slog.DiscardHandler),
		}),
	}
	opened := record(bpf.Opened, "")
	require.Zero(tb, p.read(opened))
	p.records[0] = record(bpf.Sent, strings.Repeat("*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n", pipeline))
	p.records[1] = record(bpf.Received, strings.Repeat("$3\r\nxxx\r\n", pipeline))
	require.Equal(tb, pipeline, p.round())
	return p
}

// record returns a record as the probes write it at a client's end.
func record(kind uint8, payload string) []byte {
	record := append(make([]byte, headSize), payload...)
	h := head(record)
	h.Kind, h.Conn, h.Len = kind, 1, uint32(len(payload))
	h.LocalPort, h.RemotePort = 40000, 6379
	return record
}

// read passes a record to the metrics, and returns how many commands it completed.
func (p *path) read(record []byte) (commands int) {
	var e event.Event
	if !p.live.Translate(&e, head(record), record[headSize:]) {
		return 0
	}
	exchanges := p.tracker.Track(&e)
	for i := range exchanges {
		p.recorder.Record(&exchanges[i])
		commands += int(exchanges[i].Count)
	}
	return commands
}

// round sends the request and receives the reply, 50 µs after each previous record.
func (p *path) round() (commands int) {
	for _, record := range p.records {
		h := head(record)
		h.Time += uint64(50 * time.Microsecond)
		commands += p.read(record)
		h.Seq += uint32(len(record) - headSize)
	}
	return commands
}

func TestPathAllocatesNothing(t *testing.T) {
	p := newPath(t, 16)
	assert.Zero(t, testing.AllocsPerRun(100, func() { p.round() }))
}

func BenchmarkPath(b *testing.B) {
	for _, bench := range []struct {
		name     string
		pipeline int
	}{{"P1", 1}, {"P16", 16}, {"P100", 100}} {
		b.Run(bench.name, func(b *testing.B) {
			p := newPath(b, bench.pipeline)
			b.ReportAllocs()
			commands := 0
			for b.Loop() {
				commands += p.round()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*commands), "ns/message")
		})
	}
}
