package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// watchers are the observers, of clients and of servers.
type watchers [2]*kit.Observer

var roles = [2]string{"client", "server"}

// sight is what an observer counted.
type sight struct {
	counts      map[string]kit.Count // by command
	encrypted   float64              // commands of TLS connections
	connections float64              // with TLS
	givenUp     float64              // commands that clients left unanswered by closing
	samples     kit.Samples
}

func (s sight) less(before sight) sight {
	d := sight{map[string]kit.Count{}, s.encrypted - before.encrypted, s.connections - before.connections, s.givenUp - before.givenUp, s.samples}
	for command, c := range s.counts {
		b := before.counts[command]
		if c != b {
			d.counts[command] = kit.Count{Calls: c.Calls - b.Calls, Errors: c.Errors - b.Errors}
		}
	}
	return d
}

// see reads what the observers counted.
func (w watchers) see() (seen [2]sight, err error) {
	for i, o := range w {
		samples, err := o.Scrape()
		if err != nil {
			return seen, err
		}
		s := sight{
			counts: map[string]kit.Count{}, samples: samples, encrypted: samples.Sum("redis_commands_total", "name=tls"),
			connections: samples.Sum("redis_observer_connections_total", "kind=tls"),
			givenUp:     samples.Sum("redis_observer_unanswered_commands_total", "reason=client_closed"),
		}
		failed := samples.By("command", "redis_commands_total", "status=error")
		for command, n := range samples.By("command", "redis_commands_total") {
			s.counts[command] = kit.Count{Calls: n, Errors: failed[command]}
		}
		seen[i] = s
	}
	return seen, nil
}

// settle waits until the observers count nothing more.
func (w watchers) settle() (seen [2]sight, err error) {
	const pause = time.Second
	for {
		last := seen
		if seen, err = w.see(); err != nil {
			return seen, err
		}
		if maps.Equal(last[0].counts, seen[0].counts) && maps.Equal(last[1].counts, seen[1].counts) {
			return seen, nil
		}
		time.Sleep(pause)
	}
}

// reads says what shows that an observer did not read TLS.
func reads(seen, before sight) (faults []string) {
	if seen.encrypted == 0 {
		faults = append(faults, "no command of a TLS connection was counted")
	}
	if before.samples.Sum("redis_observer_tls_libraries") == 0 {
		faults = append(faults, "no library was attached")
	}
	for result, n := range seen.samples.By("result", "redis_observer_tls_processes_total") {
		if n > 0 && result != "covered" && result != "gone" {
			faults = append(faults, fmt.Sprintf("%v processes with TLS: %s", n, result))
		}
	}
	for _, loss := range seen.samples.Nonzero("redis_observer_capture_lost_events_total", "redis_observer_gaps_total", "redis_observer_held_overflow_total") {
		if n := seen.samples[loss] - before.samples[loss]; n > 0 {
			faults = append(faults, fmt.Sprintf("%s %v", loss, n))
		}
	}
	return faults
}

// subtract takes calls off what was counted of a command.
func subtract(counts map[string]kit.Count, command string, calls float64) {
	c := counts[command]
	if c.Calls -= calls; c.Calls == 0 {
		delete(counts, command)
		return
	}
	counts[command] = c
}

// differences compares what Redis counted with what an observer did. It notes what cannot be equal (docs/accuracy.md): commands within
// scripts are not on the wire; Redis 7.0 counts CLIENT UNBLOCK as an error of the command that it ends; it does not count commands that it
// does not know, the error of DEBUG ERROR, and what it had not read when its client closed, which is no more than givenUp in all.
func differences(truth, seen map[string]kit.Count, givenUp float64) (faults, notes []string) {
	scripts, unblocked := 0.0, seen["client_unblock"].Calls
	for _, command := range []string{"eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro"} {
		scripts += seen[command].Calls
	}
	for _, command := range commands(truth, seen) {
		redis, observer := truth[command], seen[command]
		text := fmt.Sprintf("%s: Redis %v (%v errors), observer %v (%v errors)", command, redis.Calls, redis.Errors, observer.Calls, observer.Errors)
		surplus := observer.Calls - redis.Calls
		explained := surplus // by what was given up
		if redis == (kit.Count{}) {
			explained -= observer.Errors
		}
		switch {
		case redis == observer:
		case redis == kit.Count{} && explained <= givenUp:
			givenUp -= explained
			notes = append(notes, text+": unknown to Redis, or given up")
		case surplus < 0 && scripts > 0 && redis.Errors >= observer.Errors:
			notes = append(notes, text+": in scripts")
		case surplus >= 0 && surplus <= givenUp && redis.Errors >= observer.Errors && redis.Errors-observer.Errors <= givenUp:
			givenUp -= explained
			notes = append(notes, text+": given up")
		case surplus == 0 && redis.Errors > observer.Errors && redis.Errors-observer.Errors <= unblocked:
			notes = append(notes, text+": CLIENT UNBLOCK")
		case surplus == 0 && command == "debug":
			notes = append(notes, text+": DEBUG ERROR")
		default:
			faults = append(faults, text)
		}
	}
	return faults, notes
}

// commands returns the names in both, sorted.
func commands(a, b map[string]kit.Count) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
