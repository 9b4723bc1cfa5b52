package report

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/capturetest"
	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/metrics"
)

// harmless are the counters of the observer itself that count nothing that was lost.
var harmless = []string{
	"capture_events", "capture_bytes", "connections", "error_replies", "gap_bytes", "host_lookup_failures", "log_lines_dropped", "loss_episodes", "protocol_errors",
	"silent_commands", "tls_passed_over", "tls_processes", "unexecuted_commands", "unsolicited_replies",
}

// Each counter that the observer exports is one of a loss or a harmless one, and each reason of a
// loss has words.
func TestAllLossesHaveWords(t *testing.T) {
	assert.Equal(t, metrics.LossPause, Quiet, "episodes end when numbers are exact again")
	identities := identity.NewRegistry("name")
	id := identities.Intern("a")
	packets, err := packet.OpenReplay(packet.ReplayOptions{Files: []string{"-"}, Stdin: bytes.NewReader(capturetest.New().Pcap())})
	require.NoError(t, err)
	defer packets.Close()
	lost := packets.Stats().Lost
	require.Contains(t, lost, "ring_full")
	lost["no_storage"], lost["missed_run"] = 0, 0 // of the probes
	r := metrics.New(metrics.Options{Buckets: []float64{1}, Commands: command.Builtin(), Identities: identities, Logger: slog.New(slog.DiscardHandler)})
	r.Watch(metrics.Sources{
		Backend: "tracepoint",
		Capture: func() event.Stats {
			return event.Stats{
				Lost: lost,
				TLS:  &event.TLSStats{Looks: map[event.TLSLook]uint64{{}: 1}},
			}
		},
		LastRead:       time.Now,
		Tracker:        func() correlate.Stats { return correlate.Stats{} },
		LookupFailures: func() map[string]uint64 { return map[string]uint64{"host": 1} },
		LogDropped:     func() uint64 { return 0 },
		Now:            time.Now,
	})
	for _, x := range []session.Exchange{ // of the other reasons a series begins at 0
		{Outcome: session.Error}, {Outcome: session.Silent}, {Outcome: session.Unanswered, Reason: session.ClientClosed},
		{Outcome: session.Unpaired, Reason: session.ClientClosed}, {Outcome: session.Unpaired, Reason: session.Network},
	} {
		x.Identity, x.Count = id, 1
		r.Record(&x)
	}
	families, err := r.Gather()
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, family := range families {
		name, counts := strings.CutSuffix(strings.TrimPrefix(family.GetName(), "redis_observer_"), "_total")
		if !counts || !strings.HasPrefix(family.GetName(), "redis_observer_") {
			continue
		}
		seen[name] = true
		if _, loses := nouns[name]; loses == slices.Contains(harmless, name) {
			assert.Fail(t, name+" is neither a loss nor harmless, or both")
		}
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			c, loses := causeOf(family.GetName(), labels)
			if loses {
				known, found := words[c]
				assert.True(t, found, "%v has no words", c)
				assert.NotEmpty(t, known.remedy, "%v: what to do", c)
				assert.Equal(t, metrics.HarmlessLoss(c.family, c.reason), c.harmless(), "what makes no episode is harmless: %v", c)
			}
		}
	}
	for name := range nouns {
		assert.True(t, seen[name], "%s is no counter", name)
	}
	for _, name := range harmless {
		assert.True(t, seen[name], "%s is no counter", name)
	}
}
