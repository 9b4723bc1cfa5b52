package report

import (
	"fmt"
	"strings"
	"time"
)

// Loss is a number of commands or other things that were missed, so that numbers are not exact.
type Loss struct {
	At       time.Time `json:"at"`                   // when something was lost last
	Count    float64   `json:"count"`                // since the start of the observers; in View.Losses, in the last episode
	Share    float64   `json:"share,omitempty"`      // of the events, or of the commands, of the same time, 0 to 1; 0 if it is not known
	From     time.Time `json:"from,omitzero"`        // when that episode began; of an observer that does not say it, its last sample before
	Last     float64   `json:"last_count,omitempty"` // in that episode
	Text     string    `json:"text"`                 // "214 events (about 0.2 % of all) were lost: the ring was full"
	Effect   string    `json:"effect"`               // on the numbers: "counts are too low by …"
	Remedy   string    `json:"remedy"`               // "raise capture.ring_size"
	Harmless bool      `json:"harmless,omitempty"`

	cause cause
	short string // effect
	rank  int    // in the order of what causes what
}

// When says when it was lost last, and how much of it if that is not all. A clock prints the times.
func (l *Loss) When(clock func(time.Time) string) string {
	when := between(l.From, l.At, clock)
	if l.Last > 0 && l.Last < l.Count {
		return fmt.Sprintf("%.0f of them last %s", l.Last, when)
	}
	return "last " + when
}

func between(from, to time.Time, clock func(time.Time) string) string {
	switch first, last := clock(from), clock(to); {
	case from.IsZero(): // where the system does not say when an observer started
		return "before " + last
	case first == last:
		return "at " + last
	default:
		return "between " + first + " and " + last
	}
}

// String returns the text with the remedy.
func (l Loss) String() string { return l.Text + "; " + l.Remedy }

// cause is a loss counter.
type cause struct {
	family string // without redis_observer_ and _total
	reason string
}

// causeOf returns the cause that a counter counts, or false if it counts no loss.
func causeOf(family string, labels map[string]string) (cause, bool) {
	name, own := strings.CutPrefix(family, "redis_observer_")
	c := cause{strings.TrimSuffix(name, "_total"), labels["reason"]}
	_, found := nouns[c.family]
	switch {
	case !own || !found:
		return cause{}, false
	case c.family == "gaps" && labels["effect"] != "broken":
		return cause{}, false // inside a value: nothing is lost
	case c.family == "unanswered_commands" && c.reason != "client_closed":
		return cause{}, false // counted as errors
	}
	return c, true
}

// harmlessRank is behind all others.
const harmlessRank = 9

// low is what most losses mean for the numbers.
const low = "counts are too low"

// nouns are the things that the loss counters count, and what their loss means for the numbers, in
// short and in full. What follows from another loss has a higher rank.
var nouns = map[string]struct {
	one, many, verb, short, effect string
	rank                           int
}{
	"capture_lost_events": {"event", "events", "lost", low, low + " by the commands in them; durations are those of the commands that were seen whole", 0},
	"gaps":                {"gap", "gaps", "found in the data of connections", low, low + " by the commands in them; durations are those of the commands that were seen whole", 2},
	"unpaired_commands":   {"request or reply", "requests or replies", "left without the other", low, low + " by the commands among them; durations are those of the commands that were paired", 3},
	"unanswered_commands": {"command", "commands", "given up by the client", "", "they count as successes without a duration; nobody knows their outcome", 1},
	"evicted_connections": {"connection", "connections", "dropped to make room for others", low, low + " by the commands that were outstanding on them", 0},
	"lost_connections":    {"connection", "connections", "found to have ended unseen", "", "they counted as connections until then", 4},
	"held_overflow":       {"segment", "segments", "dropped because the reorder buffers were full", "", "data is missing because of it: see the gaps", 0},
}

const (
	moreRing = "double capture.ring_size in its configuration and restart it, or give it more CPU"
	rare     = "nothing, if it is rare; report it if it recurs"
	follows  = "nothing else: it follows from what was lost above"
	guide    = "https://github.com/redis-observer/redis-observer/blob/main/docs/"
)

// harmless reports whether no command is missing by a cause alone, after the first idle moment of a
// connection.
func (c cause) harmless() bool {
	return c.family == "lost_connections" || c.family == "unpaired_commands" && c.reason == "mid_stream"
}

// wholes are the things of which a loss is a share.
var wholes = map[string]string{"capture_lost_events": "all", "unpaired_commands": "the commands", "unanswered_commands": "the commands"}

// words explain a cause, and say what to do.
var words = map[cause]struct{ why, remedy string }{
	{"capture_lost_events", "ring_full"}:  {"the observer's ring buffer was full", moreRing},
	{"capture_lost_events", "no_storage"}: {"the kernel had no memory for a call", "give the host more memory"},
	{"capture_lost_events", "missed_run"}: {"the kernel skipped a probe", "set capture.backend to another backend if it recurs"},

	// Of packets.
	{"capture_lost_events", "malformed"}:          {"the lengths in packets contradict each other", rare},
	{"capture_lost_events", "snapped_header"}:     {"the capture cut packets off within their headers", "capture whole packets (tcpdump -s 0)"},
	{"capture_lost_events", "fragments"}:          {"fragments of packets are missing", "nothing in the observer: the network or the capture lost them"},
	{"capture_lost_events", "link_type"}:          {"packets have a link type that is not supported", "see " + guide + "replay.md for those that are"},
	{"capture_lost_events", "dropped_by_capture"}: {"the capture itself lost packets", "enlarge its buffer (tcpdump -B 65536)"},
	{"capture_lost_events", "handshake"}:          {"too many handshakes were incomplete", "find out who tries to connect to the observed ports"},
	{"capture_lost_events", "conversation"}:       {"too many connections were open", "observe fewer ports, or use a backend of eBPF"},

	{"gaps", "missing"}:                  {"nothing told the observer of the bytes", "see " + guide + "kernels.md for the calls that this backend does not see"},
	{"gaps", "truncated"}:                {"a call was longer than capture.max_bytes_per_call", "raise capture.max_bytes_per_call in the observer's configuration and restart it"},
	{"gaps", "crowded"}:                  {"long calls were left out, because the observer's ring buffer was more than half full", moreRing},
	{"gaps", "unreadable"}:               {"the memory of a call could not be read", rare},
	{"gaps", "not_in_memory"}:            {"the bytes were never in a program's memory (sendfile, splice)", "see " + guide + "sockets.md for such calls"},
	{"gaps", "snapped"}:                  {"the capture cut packets off", "capture whole packets (tcpdump -s 0)"},
	{"gaps", "repeated"}:                 {"a socket delivered bytes twice", rare},
	{"gaps", "unseen"}:                   {"plaintext of a TLS connection passed outside of the probed calls", "see " + guide + "deployment.md#tls-connections for what is read"},
	{"gaps", "urgent"}:                   {"urgent data (MSG_OOB) stood in a message", "see " + guide + "sockets.md#urgent-data"},
	{"unpaired_commands", "mid_stream"}:  {"the connection is older than the observer", "nothing: its commands count from its first idle moment on"},
	{"unpaired_commands", "gap"}:         {"the observer did not get all bytes of the connection", "nothing else: it follows from the lost events or the gaps"},
	{"unpaired_commands", "unsolicited"}: {"a reply came that answers no request", rare},
	{"unpaired_commands", "malformed"}:   {"the bytes are not RESP", "find out what else than Redis is on the observed ports"},
	{"unpaired_commands", "transaction"}: {"the replies to a transaction do not match it", rare},
	{"unpaired_commands", "overflow"}:    {"too many were outstanding on one connection", "let the client send shorter pipelines"},
	{"unpaired_commands", "lost_close"}:  {"the end of the connection was not observed", rare},
	{"unpaired_commands", "evicted"}:     {"the connection was evicted to make room", "raise the memory limit of the observer"},
	{"unpaired_commands", "client_closed"}: {
		"the client closed during a blocking command; those behind it may have run or not", "nothing in the observer: let the client wait for its replies",
	},
	{"unpaired_commands", "network"}: {
		"the network broke during a blocking command; those behind it may have run or not", "nothing in the observer: look at the network",
	},
	{"unanswered_commands", "client_closed"}: {"", "nothing in the observer: find out why the client does not wait, such as a short timeout"},
	{"evicted_connections", ""}:              {"", "raise the memory limit of the observer"},
	{"lost_connections", ""}:                 {"", "nothing: they do not count any more"},
	{"held_overflow", ""}:                    {"", "give the observer more CPU"},
}

// source reports whether a cause makes gaps.
func (c cause) source() bool { return c.family == "capture_lost_events" || c.family == "held_overflow" }

// consequence reports whether a cause is one that lost events have, too.
func (c cause) consequence() bool {
	return c == cause{"gaps", "missing"} || c == cause{"unpaired_commands", "lost_close"}
}

// loss returns the loss of a number of things, a share of a whole or 0, of which the last were lost in
// a span.
func (c cause) loss(count, share float64, whole string, in span) Loss {
	noun := nouns[c.family]
	things, were := noun.many, "were"
	if count == 1 {
		things, were = noun.one, "was"
	}
	known, found := words[c]
	if !found {
		known.why, known.remedy = strings.ReplaceAll(c.reason, "_", " "), rare
	}
	if in.follows {
		known.remedy = follows
	}
	text := fmt.Sprintf("%.0f %s", count, things)
	if share > 0 {
		text += fmt.Sprintf(" (%s of %s)", percent(share), whole)
	}
	text += fmt.Sprintf(" %s %s", were, noun.verb)
	if known.why != "" {
		text += ": " + known.why
	}
	l := Loss{From: in.from, At: in.to, Count: count, Share: share, Last: in.count, Text: text, Effect: noun.effect, Remedy: known.remedy, Harmless: c.harmless(), cause: c, short: noun.short, rank: noun.rank}
	if l.Harmless {
		l.rank = harmlessRank
	}
	return l
}

// percent prints a share.
func percent(share float64) string {
	switch {
	case share < 0.001:
		return "less than 0.1 %"
	case share < 0.1:
		return fmt.Sprintf("about %.1f %%", 100*share)
	}
	return fmt.Sprintf("about %.0f %%", 100*share)
}
