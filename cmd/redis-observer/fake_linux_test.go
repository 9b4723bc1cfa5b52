package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/privilege"
	"github.com/redis-observer/redis-observer/test/kit"
)

// fakeLive delivers the events of a test, and a Tick every 20 ms.
type fakeLive struct {
	events chan event.Event
	closed chan struct{}
	listed chan struct{}
	once   sync.Once

	mu             sync.Mutex
	client, server []uint16
	portsError     error
	read           uint64
}

func newFakeLive() *fakeLive {
	f := &fakeLive{events: make(chan event.Event, 1000), closed: make(chan struct{}), listed: make(chan struct{})}
	close(f.listed)
	return f
}

func (f *fakeLive) Read(e *event.Event) error {
	select {
	case *e = <-f.events:
		f.mu.Lock()
		defer f.mu.Unlock()
		f.read++
		return nil
	default:
	}
	select {
	case *e = <-f.events:
	case <-time.After(20 * time.Millisecond):
		*e = event.Event{Kind: event.Tick, Time: time.Now().UnixNano()}
	case <-f.closed:
		if len(f.events) == 0 {
			return os.ErrClosed
		}
		*e = <-f.events
	}
	return nil
}

func (f *fakeLive) Stats() event.Stats {
	return event.Stats{Lost: map[string]uint64{"ring_full": 0}}
}

func (f *fakeLive) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

func (f *fakeLive) SetPaths([]event.Path) error { return nil }

func (f *fakeLive) SetPorts(client, server []uint16) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.portsError != nil {
		return f.portsError
	}
	f.client, f.server = client, server
	return nil
}

func (f *fakeLive) ports() []uint16 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.client
}

func (f *fakeLive) failPorts(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.portsError = err
}

func (f *fakeLive) Needed() privilege.Set   { return privilege.Of(unix.CAP_BPF) }
func (f *fakeLive) Backend() string         { return "fake" }
func (f *fakeLive) Listed() <-chan struct{} { return f.listed }

// conversation is one connection of a client to a server.
type conversation struct {
	source         *fakeLive
	endpoints      event.Endpoints
	id             uint64
	request, reply uint32
	now            int64
}

func (f *fakeLive) connect(id uint64, server string) *conversation {
	address := netip.MustParseAddrPort(server)
	c := &conversation{source: f, id: id, now: time.Now().UnixNano(), endpoints: event.Endpoints{
		Local: netip.MustParseAddr("192.0.2.1").As16(), LocalPort: 50000 + uint16(id),
		Remote: address.Addr().As16(), RemotePort: address.Port()}}
	f.events <- event.Event{Kind: event.Open, Conn: id, Time: c.now, Endpoints: c.endpoints}
	return c
}

// exchange sends a GET and its reply, one millisecond apart.
func (c *conversation) exchange(reply string) {
	c.now += int64(time.Millisecond)
	c.source.events <- event.Event{Kind: event.Data, Direction: event.Request, Conn: c.id, Seq: c.request, Time: c.now, Endpoints: c.endpoints, Data: []byte(get)}
	c.now += int64(time.Millisecond)
	c.source.events <- event.Event{Kind: event.Data, Direction: event.Reply, Conn: c.id, Seq: c.reply, Time: c.now, Endpoints: c.endpoints, Data: []byte(reply)}
	c.request += uint32(len(get))
	c.reply += uint32(len(reply))
}

// running is an observer under test.
type running struct {
	tb     testing.TB
	source *fakeLive
	url    string
	file   string
	stderr *kit.Output
	stop   context.CancelFunc
	exit   chan int
}

// mustRun starts the observer on a port of its own and waits until it answers.
func mustRun(tb testing.TB, port int, configuration string) *running {
	tb.Helper()
	r := &running{tb: tb, source: newFakeLive(), url: fmt.Sprintf("http://127.0.0.1:%d", port), stderr: new(kit.Output), exit: make(chan int, 1)}
	r.file = filepath.Join(tb.TempDir(), "observer.yaml")
	r.write(configuration)
	world := program{noHosts{}, machine{
		open:   func(context.Context, capture.Options) (capture.Source, error) { return r.source, nil },
		leave:  func(check func() error) error { return check() },
		filter: func(bool) error { return nil },
		drop: func(keep privilege.Set) (privilege.Set, error) {
			return privilege.Of(unix.CAP_BPF, unix.CAP_PERFMON) &^ keep, nil
		},
	}}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() {
		r.exit <- world.run(ctx, []string{"--config", r.file, "--listen", fmt.Sprintf("127.0.0.1:%d", port)}, io.Discard, r.stderr)
	}()
	tb.Cleanup(cancel)
	r.await(func() bool { status, _ := r.get("/readyz"); return status == http.StatusOK }, "ready")
	return r
}

func (r *running) write(configuration string) {
	r.tb.Helper()
	require.NoError(r.tb, os.WriteFile(r.file, []byte(configuration), 0o600))
}

func (r *running) get(path string) (status int, body string) {
	response, err := http.Get(r.url + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

func (r *running) await(condition func() bool, what string) {
	r.tb.Helper()
	require.Eventually(r.tb, condition, 5*time.Second, 10*time.Millisecond, "%s; log:\n%s", what, r.stderr)
}

// awaitMetric waits for a line of /metrics.
func (r *running) awaitMetric(line string) {
	r.tb.Helper()
	r.await(func() bool { _, body := r.get("/metrics"); return containsLine(body, line) }, line)
}

// end stops the observer like a signal, and checks that it exits within two seconds.
func (r *running) end() {
	r.tb.Helper()
	begin := time.Now()
	r.stop()
	assert.Equal(r.tb, 0, <-r.exit, "log:\n%s", r.stderr)
	assert.Less(r.tb, time.Since(begin), 2*time.Second)
}
