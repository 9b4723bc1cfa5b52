package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// summaryResult is the JSON form of what a replay has read.
type summaryResult struct {
	PacketsOf   packetsResult     `json:"packets_of"`
	OtherPorts  []portResult      `json:"other_ports"`                // the busiest, those that speak RESP first
	Discovered  []uint16          `json:"discovered_ports,omitempty"` // with --ports auto
	Undecided   uint64            `json:"packets_before_discovery"`   // with payload, of those ports, before it showed that they speak RESP
	Connections map[string]uint64 `json:"connections"`                // by kind
	OneWay      map[string]uint64 `json:"one_way"`                    // connections of which only "requests" or "replies" were captured
	Merged      uint64            `json:"merged"`                     // connections that were seen under a second address too, and count once
	Late        uint64            `json:"merged_late"`                // those of which commands may count as unanswered, because that showed late
	Alike       uint64            `json:"alike"`                      // connections that look like others under another address, and count separately
	ClockSteps  int               `json:"clock_steps"`                // times that the clock of a capture was set back
	LargestStep float64           `json:"largest_clock_step"`
	ClockSkew   float64           `json:"clock_skew"` // by how much clocks of the captures differ at least, 0 if nothing shows that
}

type packetsResult struct {
	ObservedPorts uint64 `json:"observed_ports"`
	OtherPorts    uint64 `json:"other_ports"`
	NotTCP        uint64 `json:"not_tcp"`
	InTunnels     uint64 `json:"in_tunnels"` // of the observed and the other ports
	Unusable      uint64 `json:"unusable"`
	Untimed       uint64 `json:"untimed"`
}

type portResult struct {
	Port    uint16 `json:"port"`
	Packets uint64 `json:"packets"`
	RESP    bool   `json:"resp"`
}

// unrecognised is the kind of connections that did not show what they are.
const unrecognised = "unrecognised"

func (r result) summarise() summaryResult {
	s := &r.summary
	printed := summaryResult{
		PacketsOf:  packetsResult{s.Observed, s.OtherTCP, s.NotTCP, s.Tunnelled, s.Unusable, s.Untimed},
		OtherPorts: []portResult{}, Discovered: s.Discovered, Undecided: s.Undecided, Connections: r.connections(), OneWay: map[string]uint64{},
		Merged: s.Merged, Late: s.Late, Alike: s.Alike, ClockSteps: s.Steps, LargestStep: s.LargestStep.Seconds(),
		ClockSkew: s.Skew.Seconds(),
	}
	for _, p := range s.Ports {
		printed.OtherPorts = append(printed.OtherPorts, portResult{p.Number, p.Packets, p.RESP})
	}
	for d, name := range oneWay {
		if n := s.OneWay[d]; n > 0 {
			printed.OneWay[name] = n
		}
	}
	return printed
}

// oneWay names the only direction that was captured.
var oneWay = [...]string{event.Request: "requests", event.Reply: "replies"}

// connections returns the connections by kind. A replication link counts as such only.
func (r result) connections() map[string]uint64 {
	found, rest := map[string]uint64{}, r.summary.Connections
	for kind, n := range r.kinds {
		if session.Kind(kind) == session.KindRedis {
			n -= min(n, r.kinds[session.KindReplica])
		}
		if n > 0 {
			found[session.Kind(kind).String()] = n
			rest -= min(rest, n)
		}
	}
	if rest > 0 {
		found[unrecognised] = rest
	}
	return found
}

// writeSummary prints what was read, and the losses. It ignores write errors, because stderr is the
// last resort.
func writeSummary(w io.Writer, r result) {
	s := &r.summary
	fmt.Fprintf(w, "%d packets, %d bytes, %s from the first to the last\n", s.Packets, r.octets, r.span)
	if list := counts(
		count{s.Observed, "of observed ports"}, count{s.OtherTCP, "of other TCP ports" + r.otherPorts()}, count{s.NotTCP, "not TCP"}, count{s.Tunnelled, "in tunnels"},
		count{s.Unusable, "unusable"}, count{s.Untimed, "without a time"},
	); list != "" {
		fmt.Fprintf(w, "packets: %s\n", list)
	}
	if len(s.Discovered) > 0 {
		fmt.Fprintf(w, "other ports that speak RESP, observed too: %s\n", numbers(s.Discovered))
	}
	if s.Undecided > 0 {
		fmt.Fprintf(w, "%d packets with payload came before the first request that showed that; what they carry is not counted (--ports %s)\n", s.Undecided, numbers(s.Discovered))
	}
	kinds := r.connections()
	var list []count
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		list = append(list, count{kinds[kind], kind})
	}
	for d, name := range oneWay {
		list = append(list, count{s.OneWay[d], "with " + name + " only"})
	}
	if text := counts(list...); text != "" {
		fmt.Fprintf(w, "connections: %s\n", text)
	}
	if s.Merged > 0 {
		fmt.Fprintf(w, "%d connections were seen under a second address too, and count once\n", s.Merged)
	}
	if s.Late > 0 {
		fmt.Fprintf(w, "%d of them showed that late: their first commands may count as unanswered (redis_observer_unanswered_commands_total)\n", s.Late)
	}
	if s.Alike > 0 {
		fmt.Fprintf(w, "%d connections have the sequence numbers and bytes of others under another address, but not in step with them; they count separately\n", s.Alike)
	}
	if s.Steps > 0 {
		fmt.Fprintf(w, "the clock was set back %d times, by %s at most\n", s.Steps, s.LargestStep)
	}
	if s.Skewed > 0 {
		fmt.Fprintf(w, "the clocks of the captures, or of their directions, differ by at least %s: %d packets were captured before what they acknowledge; latencies may be wrong by that\n", s.Skew, s.Skewed)
	}
	if s.Untimed > 0 {
		fmt.Fprintln(w, "packets without a time have no latency")
	}
	if r.outstanding > 0 {
		fmt.Fprintf(w, "commands whose replies the captures do not hold, not counted: %d\n", r.outstanding)
	}
	found := losses(r.families)
	if len(found) == 0 && s.Undecided == 0 && s.Late == 0 && !r.damaged && r.nothing() == "" {
		fmt.Fprintln(w, "nothing was lost")
	}
	for _, loss := range found {
		fmt.Fprintf(w, "%s %s %.0f%s\n", loss.What, loss.Labels, loss.Count, loss.remedy())
	}
}

// otherPorts lists the busiest ports that are not observed.
func (r result) otherPorts() string {
	var list []string
	for _, p := range r.summary.Ports {
		text := fmt.Sprintf("%d: %d", p.Number, p.Packets)
		if p.RESP {
			text += ", speaks RESP"
		}
		list = append(list, text)
	}
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, "; ") + ")"
}

// count is a number of what it counts.
type count struct {
	n  uint64
	of string
}

// counts lists those that are not zero.
func counts(all ...count) string {
	var list []string
	for _, c := range all {
		if c.n > 0 {
			list = append(list, fmt.Sprintf("%d %s", c.n, c.of))
		}
	}
	return strings.Join(list, ", ")
}

// remedy returns how to avoid a loss, where it is known.
func (l lossResult) remedy() string {
	switch {
	case strings.Contains(l.Labels, "reason=snapped") && l.What != "gap_bytes_total":
		return " (capture whole packets: tcpdump -s 0)"
	case strings.Contains(l.Labels, "reason=dropped_by_capture"):
		return " (enlarge the buffer of the capture: tcpdump -B 65536)"
	}
	return ""
}

// nothing returns why no Redis traffic was read, and the remedy; empty if some was.
func (r result) nothing() string {
	s := &r.summary
	if len(r.rows()) > 0 {
		return ""
	}
	all := s.Connections
	switch {
	case s.Packets == 0:
		return "the captures hold no packets"
	case s.Observed == 0:
		return r.nothingObserved()
	case s.Payload == 0 && r.lostTo("reason=snapped"):
		return "the captures hold headers only (capture whole packets: tcpdump -s 0)"
	case all > 0 && s.OneWay[event.Reply] == all:
		return "the captures hold replies only (capture both directions, or add the file with the requests)"
	case all > 0 && s.OneWay[event.Request] == all:
		return "the captures hold requests only (capture both directions, or add the file with the replies)"
	case r.kinds[session.KindRedis]+r.kinds[session.KindReplica] > 0 || r.outstanding > 0 || r.lostTo("name="):
		return "" // Redis traffic without a complete command
	case r.kinds[session.KindTLS] > 0:
		return "the connections are encrypted with TLS (capture at a place where the traffic is not encrypted)"
	case r.kinds[session.KindNotRedis] > 0:
		return "the connections speak another protocol than Redis (check --ports)"
	case s.Payload == 0:
		return "the connections of the observed ports carry no payload (capture for longer)"
	default:
		return "no connection showed that it is Redis (capture for longer, and from the beginning of the connections)"
	}
}

// nothingObserved is nothing where no packet is of an observed port.
func (r result) nothingObserved() string {
	s := &r.summary
	if s.OtherTCP == 0 && r.lostTo("reason=snapped_header") {
		return "the captures cut the packets off within their headers (capture whole packets: tcpdump -s 0)"
	}
	if s.OtherTCP == 0 && r.lostTo("reason=link_type") {
		return "the link type of the captures is not supported (capture on another interface, or with tcpdump -i any)"
	}
	text, remedy := "no packet is of an observed port ("+numbers(r.ports)+")", "name the ports of Redis with --ports, or let --ports auto find them"
	if r.discover {
		text += ", and no request that shows its port was sent to any other"
		remedy = "name the ports of Redis with --ports: replies without requests, inline commands and TLS do not show them"
	}
	var resp []uint16
	for _, p := range s.Ports {
		if p.RESP {
			resp = append(resp, p.Number)
		}
	}
	switch {
	case len(resp) > 0:
		return text + ", but Redis requests are sent to others (--ports " + numbers(resp) + ")"
	case s.OtherTCP > 0:
		return text + " (" + remedy + ")"
	}
	return text + ", and none is TCP (check the filter of the capture)"
}

// numbers lists ports; of many only the first.
func numbers(ports []uint16) string {
	const most = 8
	var list []string
	for _, port := range ports[:min(len(ports), most)] {
		list = append(list, fmt.Sprint(port))
	}
	if len(ports) > most {
		list = append(list, "…")
	}
	return strings.Join(list, ",")
}

// lostTo reports whether a loss has a label.
func (r result) lostTo(label string) bool {
	return slices.ContainsFunc(losses(r.families), func(l lossResult) bool { return strings.Contains(l.Labels, label) })
}

// nothingRead is the error of a replay without Redis traffic.
type nothingRead struct{ cause string }

// Error returns the cause and the remedy.
func (e nothingRead) Error() string { return "replay: no Redis traffic was read: " + e.cause }

// ExitStatus is the exit status of the process.
func (nothingRead) ExitStatus() int { return 3 }
