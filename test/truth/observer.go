package main

import (
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"syscall"

	"github.com/redis-observer/redis-observer/test/kit"
)

// observer is a running redis-observer.
type observer struct {
	*kit.Observer
	role   string
	labels bool // of the owners of connections
}

// sighting is what an observer counted under a name.
type sighting struct {
	commands ledger
	classes  classes
	traffic  traffic
	nulls    map[string]int // null replies and null elements, by command
	losses   map[string]int // the loss counters that are not zero; of all names
	pool     int            // connections of its gauge
	broken   int            // commands left unanswered by the server or the network
	givenUp  int            // and by the client itself
}

// lossFamilies are the counters that must stay at zero.
var lossFamilies = []string{
	"redis_observer_capture_lost_events_total", "redis_observer_unpaired_commands_total", "redis_observer_evicted_connections_total",
	"redis_observer_lost_connections_total", "redis_observer_held_overflow_total", "redis_observer_gaps_total",
}

// startObserver starts an observer of all the servers, at one end of their connections, that copies up to limit of a call.
func startObserver(binary, role, limit string, labels bool, port int) (*observer, error) {
	started, err := kit.StartObserver(kit.ObserverOptions{
		Program: binary, Port: port, Configuration: configuration(role, limit, labels),
		Prepare: func(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} },
	})
	return &observer{started, role, labels}, err
}

// allLabels are those of metrics.labels. Sums over them must be what is counted without them.
const allLabels = "process_executable_name, systemd_unit, container_id, container_name, client_address, k8s_namespace_name, k8s_pod_name, " +
	"k8s_container_name, k8s_owner_kind, k8s_owner_name"

func configuration(role, limit string, labels bool) string {
	var b strings.Builder
	if labels {
		fmt.Fprintf(&b, "metrics: {labels: [%s]}\n", allLabels)
	}
	fmt.Fprintf(&b, "ports: []\nrenamed_commands: {XGET: get}\ncapture: {max_bytes_per_call: %s, ring_size: 64MiB}\nendpoints:\n", limit)
	for _, s := range servers {
		fmt.Fprintf(&b, "  - {name: %s, role: %s, addresses: [%s]}\n", s.name, role, s.observedAddresses())
	}
	return b.String()
}

// stop ends the observer. One that has crashed shows in the scrapes.
func (o *observer) stop() { _ = o.Stop() }

// see reads what the observer counted under a name so far.
func (o *observer) see(name string) (sighting, error) {
	samples, err := o.Scrape()
	if err != nil {
		return sighting{}, err
	}
	s := sighting{commands: ledger{}, classes: classes{}, nulls: map[string]int{}, losses: map[string]int{}, pool: int(samples.Sum("redis_pool_connections", "name="+name))}
	for prefix, n := range samples.By("prefix", "redis_command_error_replies_total", "name="+name) {
		s.classes[prefix] = int(n)
	}
	s.traffic = traffic{
		int(samples.Sum("redis_command_request_bytes_total", "name="+name) + samples.Sum("redis_observer_unassigned_bytes_total", "name="+name, "direction=request")),
		int(samples.Sum("redis_command_response_bytes_total", "name="+name) + samples.Sum("redis_observer_unassigned_bytes_total", "name="+name, "direction=response")),
	}
	for _, family := range []string{"redis_command_nil_replies_total", "redis_command_nil_elements_total"} {
		for command, n := range samples.By("command", family, "name="+name) {
			s.nulls[command] += int(n)
		}
	}
	errors := samples.By("command", "redis_commands_total", "name="+name, "status=error")
	for command, n := range samples.By("command", "redis_commands_total", "name="+name) {
		s.commands.add(command, int(n), int(errors[command]))
	}
	unanswered := samples.By("reason", "redis_observer_unanswered_commands_total", "name="+name)
	for reason, n := range unanswered {
		if reason == "client_closed" {
			s.givenUp += int(n)
		} else {
			s.broken += int(n)
		}
	}
	for _, loss := range samples.Nonzero(lossFamilies...) {
		s.losses[loss] = int(samples[loss])
	}
	if o.labels {
		s.addUnlabelled(samples, name)
	}
	return s, nil
}

// addUnlabelled adds, as losses, what counts under no executable, one that is not known, or one that found no room.
func (s sighting) addUnlabelled(samples kit.Samples, name string) {
	labelled := samples.By("process_executable_name", "redis_commands_total", "name="+name)
	rest := samples.Sum("redis_commands_total", "name="+name)
	for executable, n := range labelled {
		switch executable {
		case "", "unknown", "other":
			s.losses["commands of the executable '"+executable+"'"] = int(n)
		}
		rest -= n
	}
	if rest != 0 {
		s.losses["commands without the label of the executable"] = int(rest)
	}
}

// still reports whether nothing was counted between two sightings, and no connection is left.
func (s sighting) still(later sighting) bool {
	return later.pool == 0 && maps.Equal(s.commands, later.commands) && maps.Equal(s.losses, later.losses)
}

// less returns what was counted since an earlier sighting.
func (s sighting) less(before sighting) sighting {
	d := sighting{
		commands: ledger{}, classes: s.classes.less(before.classes), nulls: map[string]int{}, losses: map[string]int{},
		traffic: s.traffic.less(before.traffic), broken: s.broken - before.broken, givenUp: s.givenUp - before.givenUp,
	}
	for label, c := range s.commands {
		b := before.commands[label]
		if c != b {
			d.commands[label] = count{c.total - b.total, c.errors - b.errors}
		}
	}
	for label, n := range s.nulls {
		if n != before.nulls[label] {
			d.nulls[label] = n - before.nulls[label]
		}
	}
	for loss, n := range s.losses {
		if n != before.losses[loss] {
			d.losses[loss] = n - before.losses[loss]
		}
	}
	return d
}
