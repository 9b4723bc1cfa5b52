package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-observer/redis-observer/internal/event"
)

// families are the metric families that Record updates.
type families struct {
	commands     *prometheus.CounterVec
	errors       *prometheus.CounterVec
	errorReplies *prometheus.CounterVec
	prefixes     *prometheus.CounterVec
	unanswered   *prometheus.CounterVec
	silent       *prometheus.CounterVec
	unpaired     *prometheus.CounterVec
	opened       *prometheus.CounterVec
	closed       *prometheus.CounterVec
	failed       *prometheus.CounterVec
	unknownWaits *prometheus.CounterVec
	durations    durations
	connects     durations
	handshakes   durations
	waits        [2]durations // by event.Role
	sums         *sums

	counters []*prometheus.CounterVec // all such above
}

// newFamilies returns the families of a Recorder. A further counter is a field and a row here.
func newFamilies(options Options) *families {
	labels := options.Identities.Labels()
	f := &families{durations: newDurations(options), connects: newConnects(options), handshakes: newHandshakes(options), waits: newWaits(options), sums: newSums(labels)}
	for _, row := range []struct {
		vec        **prometheus.CounterVec
		name, help string
		labels     []string // behind those of the identity
	}{
		{&f.commands, "redis_commands_total", "Completed commands, by status. Commands that the client abandoned by closing its connection count as success.", []string{"command", "status"}},
		{&f.errors, "redis_command_errors_total", "Failed commands: an error reply, or a connection that the server or the network closed before the reply.", []string{"command"}},
		{&f.errorReplies, "redis_command_error_replies_total", "Error replies, by command and error prefix.", []string{"command", "prefix"}},
		{&f.prefixes, "redis_observer_error_replies_total", "Deprecated: sum redis_command_error_replies_total instead. Error replies, by error prefix.", []string{"prefix"}},
		{&f.unanswered, "redis_observer_unanswered_commands_total", "Commands without a reply when their connection ended, by who ended it. They count as errors, except client_closed, which counts as success without a duration.", []string{"reason"}},
		{&f.silent, "redis_observer_silent_commands_total", "Commands without a reply by design, such as after CLIENT REPLY OFF. They count as success without a duration.", nil},
		{&f.unpaired, "redis_observer_unpaired_commands_total", "Commands or replies that could not be paired, by reason. They are not counted as commands.", []string{"reason"}},
		{&f.opened, "redis_connections_opened_total", "Connections that were opened, or accepted, since the observer began.", nil},
		{&f.closed, "redis_connections_closed_total", "Connections that were closed, by whose FIN or reset came first; by the network if the other end was silent for too long.", []string{"by"}},
		{&f.failed, "redis_connect_failures_total", "Attempts to connect that failed, by reason.", []string{"reason"}},
		{&f.unknownWaits, "redis_observer_unknown_phases_total", "Replies at a client, or requests at a server, of which it is not known how long they lay in the socket, by reason.", []string{"reason"}},
	} {
		*row.vec = prometheus.NewCounterVec(prometheus.CounterOpts{Name: row.name, Help: row.help}, with(labels, row.labels...))
		f.counters = append(f.counters, *row.vec)
	}
	return f
}

// newWaits returns the parts of durations that bytes lay in the socket of the observed end, by role.
func newWaits(options Options) (waits [2]durations) {
	waits[event.Client] = newIdentityDurations(options, "redis_command_client_wait_seconds", "Time that a reply lay in the client's socket before the application read it. It is the last part of the command duration.")
	waits[event.Server] = newIdentityDurations(options, "redis_command_server_queue_seconds", "Time that a request lay in the server's socket before the server read it. The command duration at the server begins behind it.")
	return waits
}

func newDurations(options Options) durations {
	const name = "redis_command_duration_seconds"
	const help = "Command duration as seen by the application, from the start of its write to the end of its read."
	labels := with(options.Identities.Labels(), "command")
	if options.NativeHistograms {
		return newNative(name, help, labels, options.Buckets, options.DurationsByError)
	}
	return newClassic(name, help, labels, options.Buckets)
}

func newConnects(options Options) durations {
	return newIdentityDurations(options, "redis_connect_duration_seconds", "Time that it took to connect, from the SYN to the answer of the other end.")
}

func newHandshakes(options Options) durations {
	return newIdentityDurations(options, "redis_tls_handshake_duration_seconds", "Time that a client's TLS handshake took, from its ClientHello to its Finished, or to the server's if that is the last one.")
}

// newIdentityDurations returns durations that are by identity only.
func newIdentityDurations(options Options, name, help string) durations {
	if options.NativeHistograms {
		return newNative(name, help, options.Identities.Labels(), options.Buckets, false)
	}
	return newClassic(name, help, options.Identities.Labels(), options.Buckets)
}

// others returns all families but the durations.
func (f *families) others() []prometheus.Collector {
	all := []prometheus.Collector{f.connects, f.handshakes, f.sums}
	for _, waits := range f.waits {
		all = append(all, waits)
	}
	for _, vec := range f.counters {
		all = append(all, vec)
	}
	return all
}

// end removes the series of an identity from all families.
func (f *families) end(s *identitySeries) {
	of := prometheus.Labels{}
	for i, label := range s.recorder.options.Identities.Labels() {
		of[label] = s.values[i]
	}
	for _, vec := range f.counters {
		vec.DeletePartialMatch(of)
	}
	f.durations.end(s, of)
	f.connects.end(s, of)
	f.handshakes.end(s, of)
	for _, waits := range f.waits {
		waits.end(s, of)
	}
	f.sums.end(s)
}
