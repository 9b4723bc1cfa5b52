package slow

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/report"
)

// by returns an exchange of a command that began and ended at times after noon.
func by(command, process string, from, to time.Duration) *Entry {
	e := took(to-from, noon.Add(to))
	e.Name, e.Process = command, process
	return e
}

const ms = time.Millisecond

// names returns the commands of groups with their shares in percent.
func names(v report.Slow) (text string) {
	for _, g := range v.Groups {
		text += fmt.Sprintf("%s %.0f, ", g.Command, 100*g.Share)
	}
	return text
}

// What waits behind a slow command, however much it is, comes after it.
func TestCauseIsFirst(t *testing.T) {
	l := newLog(3)
	for i := range 100 {
		at := time.Duration(i) * time.Second
		l.Add(by("eval", "report", at, at+20*ms))
		for j := 1; j <= 50; j++ { // in a pool
			l.Add(by("get", "checkout", at+time.Duration(j)*100*time.Microsecond, at+20*ms+time.Duration(j)*10*time.Microsecond))
		}
	}
	v := l.View(noon.Add(100 * time.Second))
	require.Len(t, v.Groups, 2)
	eval, get := v.Groups[0], v.Groups[1]
	assert.Equal(t, report.SlowGroup{
		Name: "cache", Labels: "pod=web-1", Command: "eval", Process: "report", Count: 100, First: noon, Last: noon.Add(99 * time.Second), Mean: 0.02, Longest: 0.02, Share: eval.Share, Cause: true,
	}, eval)
	assert.False(t, get.Cause)
	assert.Greater(t, eval.Share, 0.95, "of its commands the server was busy with")
	assert.EqualValues(t, 5000, get.Count, "beyond the size of the list")
	assert.Equal(t, "eval", get.Behind)
	assert.InDelta(t, 1, eval.Share+get.Share, 1e-9)
}

// Several that are slow wait for each other: each is charged with its own time.
func TestQueueOfSlowCommands(t *testing.T) {
	l := newLog(3)
	for i := range 10 {
		at := time.Duration(i) * time.Second
		l.Add(by("eval", "", at, at+20*ms))
		l.Add(by("keys", "", at, at+60*ms))
		l.Add(by("get", "", at+5*ms, at+60*ms+1))
		l.Add(by("set", "", at+5*ms, at+60*ms+2))
	}
	assert.Equal(t, "keys 67, eval 33, get 0, set 0, ", names(l.View(noon.Add(time.Minute))))
}

// The events of two processors may come in another order, and servers have nothing to do with each other.
func TestSpans(t *testing.T) {
	l := newLog(3)
	l.Add(by("get", "", 30*ms, 50*ms))
	l.Add(by("eval", "", 0, 50*ms-1))
	l.Add(by("set", "", -100*ms, -80*ms)) // long before
	other := by("hgetall", "", 0, 50*ms)
	other.Endpoints.RemotePort = 1
	l.Add(other)
	assert.Equal(t, "hgetall 42, eval 25, get 17, set 17, ", names(l.View(noon.Add(time.Minute))))
	for _, g := range l.View(noon.Add(time.Minute)).Groups {
		assert.Empty(t, g.Behind, "%s waited for no other, or for less than half", g.Command)
	}
	behind := by("hget", "", 10*ms, 50*ms+1)
	behind.Endpoints.RemotePort = 1
	l.Add(behind)
	for _, g := range l.View(noon.Add(time.Minute)).Groups {
		assert.Equal(t, map[bool]string{true: "hgetall"}[g.Command == "hget"], g.Behind, "of the same server")
	}

	l = newLog(3)
	one, two := by("eval", "", 0, 50*ms), by("get", "", 10*ms, 60*ms)
	one.Role, two.Role = event.Server, event.Server
	one.Endpoints = event.Endpoints{LocalPort: 6379, RemotePort: 40000}
	two.Endpoints = event.Endpoints{LocalPort: 6379, RemotePort: 40001}
	l.Add(one)
	l.Add(two)
	assert.Equal(t, "eval 83, get 17, ", names(l.View(noon.Add(time.Minute))))
}

// Of the commands of a call that were answered at once nobody knows which one it was.
func TestPipelineShares(t *testing.T) {
	l := newLog(3)
	for i := range 10 {
		at := time.Duration(i) * time.Second
		for _, command := range []string{"set", "keys", "set", "get"} {
			l.Add(by(command, "", at, at+30*ms))
		}
		l.Add(by("ping", "", at+ms, at+30*ms+1))
		l.Add(by("keys", "web", at+500*ms, at+530*ms)) // alone
	}
	assert.Equal(t, "keys 50, get 17, keys 17, set 17, ping 0, ", names(l.View(noon.Add(time.Minute))))
}

// A run ends by ten quiet minutes, is shown for an hour, and weighs for ten minutes.
func TestRuns(t *testing.T) {
	l := newLog(3)
	l.Add(by("keys", "", 0, time.Second))
	l.Add(by("keys", "", 9*time.Minute, 9*time.Minute+20*ms))
	groups := l.View(noon.Add(9 * time.Minute)).Groups
	require.Len(t, groups, 1)
	assert.Equal(t, noon, groups[0].First)
	assert.EqualValues(t, 2, groups[0].Count)
	assert.Equal(t, []float64{1, 0.51}, []float64{groups[0].Longest, groups[0].Mean})

	l.Add(by("get", "", 21*time.Minute, 21*time.Minute+10*ms))
	v := l.View(noon.Add(22 * time.Minute))
	assert.Equal(t, "get 100, keys 0, ", names(v), "the old one does not hide the new one")
	assert.Equal(t, noon, v.Groups[1].First)
	l.Add(by("keys", "", 23*time.Minute, 23*time.Minute+40*ms))
	v = l.View(noon.Add(24 * time.Minute))
	assert.Equal(t, "keys 80, get 20, ", names(v))
	assert.Equal(t, noon.Add(23*time.Minute), v.Groups[0].First)
	assert.EqualValues(t, 1, v.Groups[0].Count)
	assert.Equal(t, 0.04, v.Groups[0].Longest)

	assert.Len(t, l.View(noon.Add(82*time.Minute)).Groups, 1)
	assert.Empty(t, l.View(noon.Add(84*time.Minute)).Groups)
	assert.Empty(t, l.View(noon).Groups, "the clock went back")
}

// The number of all commands is that since the first slow one of the run, where it is that of the group.
func TestOf(t *testing.T) {
	for _, test := range []struct {
		label, process string
		known          bool
	}{{"pod", "", true}, {"pod", "web", false}, {"process_executable_name", "web", true}} {
		total := uint64(1000)
		l := newLog(3)
		l.options.Labels = []string{"name", test.label}
		l.options.Total = func(identity.ID, command.ID) uint64 { return total }
		of := func(want uint64, after time.Duration) {
			t.Helper()
			if !test.known {
				want = 0
			}
			assert.Equal(t, want, l.View(noon.Add(after)).Groups[0].Of, test)
		}
		l.Add(by("keys", test.process, 0, 20*ms))
		of(1, time.Second)
		total += 8
		l.Add(by("keys", test.process, time.Second, time.Second+20*ms))
		total += 2
		of(10, time.Minute)
		l.Add(by("keys", test.process, 20*time.Minute, 20*time.Minute+20*ms))
		total += 3
		of(3, 20*time.Minute)
		total = 1
		of(0, 20*time.Minute) // the identity has ended
	}
}

// A recording may have hours.
func TestEndlessGroups(t *testing.T) {
	l := newLog(2)
	l.options.Endless = true
	for i := range 10 {
		l.Add(by("keys", "", time.Duration(i)*time.Hour, time.Duration(i)*time.Hour+20*ms))
	}
	groups := l.View(time.Time{}).Groups
	require.Len(t, groups, 1)
	assert.EqualValues(t, 10, groups[0].Count)
	assert.Equal(t, 1.0, groups[0].Share)
}

// Whatever there is, the groups and the servers are few, and those that go on stay.
func TestGroupsAreBounded(t *testing.T) {
	l := newLog(1)
	for i := range 10 * maxServers {
		at := time.Duration(i) * 10 * ms
		e := by(fmt.Sprint("c", i), "", at, at+10*ms)
		e.Endpoints.RemotePort = uint16(i)
		l.Add(e)
		l.Add(by("keys", "", at, at+20*ms))
		assert.LessOrEqual(t, len(l.groups), MaxGroups)
		assert.LessOrEqual(t, len(l.spans), maxServers)
	}
	v := l.View(noon.Add(time.Minute))
	require.Len(t, v.Groups, MaxGroups)
	for _, g := range v.Groups {
		if g.Command == "keys" {
			assert.EqualValues(t, 10*maxServers, g.Count)
			return
		}
	}
	assert.Fail(t, "it was slow all the time")
}

func BenchmarkGroups(b *testing.B) {
	l := newLog(128)
	var entries []*Entry
	for i := range 50 {
		entries = append(entries, by(fmt.Sprint("command", i%10), fmt.Sprint("process", i/10), 0, 20*ms))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e := entries[i%len(entries)]
		e.When = e.When.Add(time.Millisecond)
		l.sum(e, l.number(e.When))
	}
}
