package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// observer is a running redis-observer.
type observer struct {
	role    string
	url     string
	process *exec.Cmd
	output  bytes.Buffer
}

// sighting is what an observer counted under a name.
type sighting struct {
	commands ledger
	losses   map[string]int // the loss counters that are not zero; of all names
	broken   int            // commands left unanswered by the server or the network
	givenUp  int            // and by the client itself
}

// lossFamilies are the counters that must stay at zero, with the labels to which that is limited.
var lossFamilies = map[string]string{
	"redis_observer_capture_lost_events_total": "",
	"redis_observer_unpaired_commands_total":   "",
	"redis_observer_evicted_connections_total": "",
	"redis_observer_lost_connections_total":    "",
	"redis_observer_held_overflow_total":       "",
	"redis_observer_gaps_total":                "broken",
}

// startObserver starts an observer of all the servers, at one end of their connections, that copies up to limit of a call.
func startObserver(ctx context.Context, binary, folder, role, limit string, port int) (*observer, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "observer-"+role+".yaml")
	if err := os.WriteFile(file, []byte(configuration(role, limit, port)), 0o600); err != nil {
		return nil, err
	}
	o := &observer{role: role, url: fmt.Sprintf("http://127.0.0.1:%d/metrics", port)}
	o.process = exec.CommandContext(ctx, binary, "--config", file)
	o.process.Stdout, o.process.Stderr = &o.output, &o.output
	o.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	o.process.Cancel = func() error { return o.process.Process.Signal(os.Interrupt) }
	if err := o.process.Start(); err != nil {
		return nil, fmt.Errorf("start the observer: %w", err)
	}
	for deadline := time.Now().Add(startupTime); ; time.Sleep(20 * time.Millisecond) {
		_, err := o.scrape(ctx)
		if err == nil {
			return o, nil
		}
		if time.Now().After(deadline) {
			o.stop()
			return nil, fmt.Errorf("start the observer: %w: %s", err, &o.output)
		}
	}
}

func configuration(role, limit string, port int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "listen: 127.0.0.1:%d\nports: []\nrenamed_commands: {XGET: get}\ncapture: {max_bytes_per_call: %s, ring_size: 64MiB}\nendpoints:\n", port, limit)
	for _, s := range servers {
		fmt.Fprintf(&b, "  - {name: %s, role: %s, addresses: [\"*:%d\", \"*:%d\"]}\n", s.name, role, s.port, s.port+1)
	}
	return b.String()
}

// stop ends the observer and waits for it.
func (o *observer) stop() {
	_ = o.process.Process.Signal(os.Interrupt) // it may have ended by itself, which its output tells
	_ = o.process.Wait()
}

// scrape reads /metrics.
func (o *observer) scrape(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(response.Body)
}

// see reads what the observer counted under a name so far.
func (o *observer) see(ctx context.Context, name string) (sighting, error) {
	families, err := o.scrape(ctx)
	if err != nil {
		return sighting{}, fmt.Errorf("scrape the observer: %w", err)
	}
	s := sighting{commands: ledger{}, losses: map[string]int{}}
	for _, m := range families["redis_commands_total"].GetMetric() {
		label := labelsOf(m)
		if label["name"] != name {
			continue
		}
		errors := 0
		if label["status"] == "error" {
			errors = value(m)
		}
		s.commands.add(label["command"], value(m), errors)
	}
	for _, m := range families["redis_observer_unanswered_commands_total"].GetMetric() {
		switch label := labelsOf(m); {
		case label["name"] != name:
		case label["reason"] == "client_closed":
			s.givenUp += value(m)
		default:
			s.broken += value(m)
		}
	}
	for family, effect := range lossFamilies {
		for _, m := range families[family].GetMetric() {
			label := labelsOf(m)
			if effect == "" || label["effect"] == effect {
				s.losses[strings.TrimSpace(family+" "+label["reason"])] += value(m)
			}
		}
	}
	return s, nil
}

// less returns what was counted since an earlier sighting.
func (s sighting) less(before sighting) sighting {
	d := sighting{commands: ledger{}, losses: map[string]int{}, broken: s.broken - before.broken, givenUp: s.givenUp - before.givenUp}
	for label, c := range s.commands {
		b := before.commands[label]
		if c != b {
			d.commands[label] = count{c.total - b.total, c.errors - b.errors}
		}
	}
	for loss, n := range s.losses {
		if n != before.losses[loss] {
			d.losses[loss] = n - before.losses[loss]
		}
	}
	return d
}

func labelsOf(m *dto.Metric) map[string]string {
	l := make(map[string]string, len(m.GetLabel()))
	for _, pair := range m.GetLabel() {
		l[pair.GetName()] = pair.GetValue()
	}
	return l
}

func value(m *dto.Metric) int { return int(m.GetCounter().GetValue()) }
