package correlate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/event"
)

// reported returns how many commands have an outcome, and how many more or less than that there may have been.
func (p *player) reported() (paired, unpaired int) {
	for _, x := range p.got {
		n := 0
		if _, err := fmt.Sscanf(x, "unpaired %d", &n); err != nil {
			paired++
		}
		unpaired += n
	}
	return paired, unpaired
}

// oneByOne are commands of which every second one fails, each after a pause.
func oneByOne(n int, pause string) (lines []string) {
	for range n {
		lines = append(lines, pause, "C: LPUSH a x", "S: -WRONGTYPE no", pause, "C: SET a 1", "S: +OK")
	}
	return lines
}

// On a connection that was silent because CLIENT REPLY OFF has passed unseen every reply answers a later command than the oldest: that shows, is reported,
// and ends.
func TestSilenceThatWasAskedForUnseen(t *testing.T) {
	on := []string{"C: SET a 1", "+10ms", "C: CLIENT REPLY ON", "S: +OK"}
	for _, test := range []struct {
		name    string
		before  []string
		pause   string
		unheard int // requests before the replies come again
	}{
		{"older than the observer", []string{"existing", "+60ms"}, "+60ms", 0},
		{"older, requests one after the other", []string{"existing", "+60ms"}, "+1ms", 0},
		{"older, requests that nobody answers", []string{"existing", "+60ms"}, "+60ms", 5},
		{"older, and a long time without a pause", []string{"existing", "+60ms"}, "+1ms", 3000},
		{"in a gap", []string{"open", "C: GET a", "gap C: CLIENT REPLY OFF", "S: $-1", "+60ms"}, "+60ms", 0},
	} {
		for _, role := range []event.Role{event.Client, event.Server} {
			t.Run(fmt.Sprint(test.name, role), func(t *testing.T) {
				p := newPlayer(t)
				p.role = role
				p.play(test.before...)
				for range test.unheard {
					p.play("C: SET a 1", test.pause)
				}
				p.play(on...)
				p.play(oneByOne(100, test.pause)...)
				paired, unpaired := p.reported()
				assert.NotZero(t, unpaired)
				tail := p.got[len(p.got)-1-slices.IndexFunc(reversed(p.got), func(x string) bool { return strings.HasPrefix(x, "unpaired") }):]
				require.Greater(t, len(tail), 20, "it came into step after the false proof showed")
				for _, x := range tail[1:] {
					assert.Contains(t, []string{"lpush error WRONGTYPE", "set success"}, x)
				}
				wrong := paired - (len(tail) - 1)
				assert.GreaterOrEqual(t, unpaired, wrong, "what had the outcome of another is reported: %q", p.got)
			})
		}
	}
}

// Of what was outstanding when the observer came a reply is left over. Commands that got the reply of another until then are reported.
func TestReplyThatWasOutstandingUnseen(t *testing.T) {
	const served = `s: *2\r\n$1\r\nl\r\n$1\r\nx\r\n`
	pushes := func(n int) string { return "c: " + strings.Repeat(string(request("LPUSH", "l", "x")), n) }
	for _, test := range []struct {
		name   string
		script []string
		want   []string
	}{
		{"one behind it", []string{pushes(1), "+1s", served, "S: :1"}, []string{"lpush success", "unpaired 1 unsolicited", "unpaired 1 mid_stream"}},
		{"one behind it, in one chunk", []string{pushes(1), "+1s", served + `:1\r\n`}, []string{"lpush success", "unpaired 1 unsolicited", "unpaired 1 mid_stream"}},
		{"many behind it", []string{pushes(10), "+1s", served + strings.Repeat(`:1\r\n`, 10)}, append(slices.Repeat([]string{"lpush success"}, 10), "unpaired 1 unsolicited", "unpaired 10 mid_stream")},
		{"and then more", []string{pushes(1), "+1s", served, "C: GET a", "S: :1", "S: $-1"}, []string{"lpush success", "get success", "unpaired 1 unsolicited", "unpaired 2 mid_stream"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayer(t)
			p.play("existing", "+60ms")
			p.play(test.script...)
			p.play("+60ms", "C: PING", "S: +PONG")
			assert.Equal(t, append(test.want, "ping success"), p.got)
		})
	}
}

// A connection that is older than the observer and not on the wrong foot loses nothing, whatever it says first.
func TestProofThatHolds(t *testing.T) {
	many := func(request, reply string, n int) []string {
		return append(slices.Repeat([]string{request}, n), slices.Repeat([]string{reply}, n)...)
	}
	window := []string{"C: GET a"}
	for range 500 {
		window = append(window, "C: GET a", "S: $-1", "C: GET a", "S: $-1", "S: $-1", "C: GET a")
	}
	window = append(window, "S: $-1")
	for name, script := range map[string][]string{
		"one by one, with pauses":         oneByOne(20, "+60ms"),
		"one by one, in haste":            oneByOne(200, "+1ms"),
		"a long wait":                     {"C: BLPOP l 0", "+20s", "S: *-1", "C: GET a", "S: $-1"},
		"a pipeline":                      many("C: GET a", "S: $-1", 500),
		"a window":                        window,
		"a busy machine":                  {"C: GET a", "+60ms", "C: GET a", "+60ms", "C: GET a", "S: $-1", "S: $-1", "S: $-1", "C: GET a", "S: $-1"},
		"silence that was asked for":      {"C: CLIENT REPLY OFF", "+60ms", "C: SET a 1", "+60ms", "C: SET a 1", "+2s", "C: SET a 1", "+60ms", "C: CLIENT REPLY ON", "S: +OK", "C: GET a", "S: $-1"},
		"one silence":                     {"C: CLIENT REPLY SKIP", "C: GET a", "+60ms", "C: GET a", "+60ms", "C: GET a", "S: $-1", "S: $-1"},
		"a transaction":                   {"C: MULTI", "S: +OK", "+60ms", "C: GET a", "S: +QUEUED", "+60ms", "C: EXEC", "S: *1", "S: $-1"},
		"closed while it waits":           {"C: GET a", "S: $-1", "C: BLPOP l 0", "+1s", "close"},
		"closed while it waits the first": {"C: BLPOP l 0", "+1s", "close"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlayer(t)
			p.play("existing", "+60ms")
			p.play(script...)
			paired, unpaired := p.reported()
			requests := 0
			for _, line := range script {
				if strings.HasPrefix(line, "C: ") {
					requests++
				}
			}
			assert.Equal(t, []int{requests, 0}, []int{paired, unpaired}, p.got)
		})
	}
}

// Where the connection ends before it shows, the paired commands are reported as well.
func TestEndOnProbation(t *testing.T) {
	p := newPlayer(t)
	p.play("existing", "+60ms", "C: LPUSH a x", "C: CLIENT REPLY ON", "S: +OK", "C: LPUSH a x", "S: -WRONGTYPE no", "close")
	assert.Equal(t, []string{"lpush success", "client|reply error WRONGTYPE", "unpaired 2 mid_stream", "lpush unanswered client_closed"}, p.got)
}

func reversed(lines []string) []string {
	lines = slices.Clone(lines)
	slices.Reverse(lines)
	return lines
}
