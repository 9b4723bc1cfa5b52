package slow

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/report"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newLog(size int) *Log {
	return New(Options{Size: size, Threshold: 10 * time.Millisecond, Labels: []string{"name", "pod"}, Address: func(*event.Endpoints, event.Role) string { return "unix:/run/redis" }})
}

// took returns an entry that ended at a time.
func took(d time.Duration, end time.Time) *Entry {
	return &Entry{Slow: session.Slow{Exchange: session.Exchange{Duration: int64(d), Count: 1}, Position: 1, Length: 1}, When: end.Add(-d), Values: []string{"cache", "web-1"}}
}

func durations(v report.Slow) (list []time.Duration) {
	for i := range v.Commands {
		list = append(list, v.Commands[i].Duration())
	}
	return list
}

// Whatever the order, the slowest of the window are kept.
func TestSlowest(t *testing.T) {
	const size = 7
	l := newLog(size)
	var all []time.Duration
	for range 500 {
		d, age := time.Duration(10+rand.IntN(10000))*time.Millisecond, time.Duration(rand.IntN(600))*time.Second
		all = append(all, d)
		l.Add(took(d, noon.Add(-age)))
	}
	slices.Sort(all)
	slices.Reverse(all)
	v := l.View(noon)
	assert.Equal(t, all[:size], durations(v))
	assert.EqualValues(t, len(all), v.Seen)
	assert.Equal(t, "500 commands took 10ms or longer since "+v.Since.Local().Format("15:04:05")+"; the slowest 7 are shown", v.Sentence())
}

// A row of equal commands is one of the rows, and several of the commands.
func TestRowsOfSeveral(t *testing.T) {
	l := newLog(2)
	for i := range 3 {
		e := took(time.Duration(20+i)*time.Millisecond, noon)
		e.Count = 64
		l.Add(e)
	}
	v := l.View(noon)
	assert.Contains(t, v.Sentence(), "192 commands took 10ms or longer")
	assert.Contains(t, v.Sentence(), "; the slowest 128 are shown, in 2 rows: equal commands of a pipeline that were answered at once are one row")
}

// Nothing is said of the time before the log began.
func TestSince(t *testing.T) {
	l := New(Options{Size: 1, Threshold: 10 * time.Millisecond, Labels: []string{"name"}, Start: noon})
	assert.Equal(t, noon, l.View(noon.Add(5*time.Minute)).Since)
	assert.Equal(t, noon.Add(2*time.Minute), l.View(noon.Add((Window+2)*time.Minute+30*time.Second)).Since.UTC())
}

// Old ones go, and those that were less slow than they come to light.
func TestWindow(t *testing.T) {
	l := newLog(1)
	l.Add(took(5*time.Second, noon))
	l.Add(took(time.Second, noon.Add(9*time.Minute)))
	assert.Equal(t, []time.Duration{5 * time.Second}, durations(l.View(noon.Add((Window*60+59)*time.Second))))
	assert.Equal(t, []time.Duration{time.Second}, durations(l.View(noon.Add((Window+1)*time.Minute))))
	empty := l.View(noon.Add(time.Hour))
	assert.Empty(t, empty.Commands)
	assert.Contains(t, empty.Sentence(), "no command took 10ms or longer since ")
	l.Add(took(2*time.Second, noon.Add((Window+1)*time.Minute))) // in the place of the first
	assert.EqualValues(t, 2, l.View(noon.Add((Window+1)*time.Minute)).Seen)
	assert.Empty(t, l.View(noon.Add(-time.Hour)).Commands, "the clock went back")
}

func TestMemoryIsBounded(t *testing.T) {
	l := newLog(100)
	for i := range 100_000 {
		l.Add(took(time.Duration(i)*time.Microsecond, noon.Add(time.Duration(i)*time.Second)))
	}
	for i := range l.minutes {
		assert.LessOrEqual(t, cap(l.minutes[i].entries), 200)
	}
}

func TestCommand(t *testing.T) {
	l := newLog(5)
	e := took(20*time.Millisecond, noon)
	e.Outcome, e.Prefix, e.Count, e.Position, e.Length, e.RequestBytes, e.ResponseBytes = session.Error, command.LookupPrefix([]byte("WRONGTYPE x")), 3, 2, 9, 60, 21
	e.Name, e.Role, e.Process, e.Transaction = "lpush", event.Server, "redis-server", true
	e.Endpoints = event.Endpoints{Local: [16]byte{10: 255, 11: 255, 12: 10, 15: 1}, LocalPort: 6379, Remote: [16]byte{0: 0xfd, 15: 2}, RemotePort: 40000}
	l.Add(e)
	unix := took(10*time.Millisecond, noon)
	unix.Outcome, unix.Reason, unix.Endpoints.Local = session.Unanswered, session.ServerClosed, [16]byte{15: 1}
	l.Add(unix)
	v := l.View(noon)
	assert.Equal(t, []report.SlowCommand{{
		Time: noon.Add(-20 * time.Millisecond), Name: "cache", Labels: "pod=web-1", Command: "lpush", Seconds: 0.02, Outcome: "error", Prefix: "WRONGTYPE", Count: 3,
		RequestBytes: 60, ResponseBytes: 21, Position: 2, Length: 9, Transaction: true, Role: "server", Local: "10.0.0.1:6379", Peer: "[fd00::2]:40000", Process: "redis-server",
	}, {
		Time: noon.Add(-10 * time.Millisecond), Name: "cache", Labels: "pod=web-1", Seconds: 0.01, Outcome: "unanswered", Reason: "server_closed", Count: 1,
		Position: 1, Length: 1, Role: "client", Local: "unix", Peer: "unix:/run/redis",
	}}, v.Commands)
	assert.Equal(t, []string{"error WRONGTYPE", "2-4/9 multi", "60/21"}, []string{v.Commands[0].Result(), v.Commands[0].Place(), v.Commands[0].Bytes()})
	assert.Equal(t, []string{"unanswered server_closed", "1/1", "-/-"}, []string{v.Commands[1].Result(), v.Commands[1].Place(), v.Commands[1].Bytes()})

	text, err := json.Marshal(v)
	require.NoError(t, err)
	var read report.Slow
	require.NoError(t, json.Unmarshal(text, &read))
	assert.Equal(t, v.Sentence(), read.Sentence())
	assert.Equal(t, v.Commands, read.Commands)
	text, err = json.Marshal(report.Slow{Reason: "off"})
	require.NoError(t, err)
	assert.JSONEq(t, `{"reason": "off", "sentence": "off", "threshold": 0, "size": 0, "seen": 0, "commands": [], "groups": []}`, string(text))
}

func BenchmarkAdd(b *testing.B) {
	l := newLog(128)
	e := took(20*time.Millisecond, noon)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e.Duration = int64(i%1000) * int64(time.Millisecond) // most are not kept
		l.Add(e)
	}
}
