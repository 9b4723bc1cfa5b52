package correlate

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/event"
)

// again plays a line whose bytes stand at the offset where the last n bytes of its direction began.
func (p *player) again(line string, n uint32) {
	p.now++
	d, data := p.parse(line)
	p.event(event.Event{Kind: event.Data, Direction: d, Seq: p.seq[d] - n, Data: data})
}

// A socket repeats no bytes. Where its offsets stand still, as in a sockmap, its bytes are counted as gaps.
func TestRepeatedBytes(t *testing.T) {
	const ping, pong = "C: PING", "S: +PONG"
	for _, test := range []struct {
		name    string
		sockets bool
		play    func(*player)
		want    []string
		gaps    Gaps
	}{
		{"offsets that stand still", true, func(p *player) {
			p.play("open", ping, pong)
			for range 99 {
				p.again(ping, 14)
				p.again(pong, 7)
			}
		}, []string{"ping success"}, Gaps{Broken: 198, BrokenBytes: 99 * (14 + 7)}},
		{"in the middle of a pipeline", true, func(p *player) {
			p.play("open", "C: GET a", "C: GET b")
			p.again(ping, 14)
		}, []string{"unpaired 2 gap"}, Gaps{Broken: 1, BrokenBytes: 14}},
		{"some new bytes among them", true, func(p *player) {
			p.play("open", ping, pong)
			p.again("c: xx*1\\r\\n$4\\r\\nPING\\r\\n", 2)
		}, []string{"ping success"}, Gaps{Broken: 1, BrokenBytes: 2}},
		{"late, behind what was given up", true, func(p *player) {
			p.play("open", ping, pong, "later "+ping, "C: GET a", "+60ms", "now")
		}, []string{"ping success"}, Gaps{}},
		{"from before the listing", true, func(p *player) {
			p.play("existing")
			p.again(ping, 14)
			p.play("+100ms", ping, pong)
		}, []string{"ping success"}, Gaps{}},
		{"packets sent again", false, func(p *player) {
			p.play("open", ping)
			p.again(ping, 14)
			p.play(pong)
			p.again(pong, 7)
			p.play(ping, pong)
		}, []string{"ping success", "ping success"}, Gaps{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayer(t)
			p.tracker.shared.Sockets = test.sockets
			test.play(p)
			assert.Equal(t, test.want, withoutGaps(p.got))
			assert.Equal(t, test.gaps, p.tracker.Stats().Gaps[event.Repeated])
		})
	}
}

// withoutGaps leaves the unpaired ones out that were counted one by one.
func withoutGaps(got []string) (some []string) {
	for _, x := range got {
		if x != "unpaired 1 gap" {
			some = append(some, x)
		}
	}
	return some
}
