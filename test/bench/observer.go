package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const endpoint = "http://127.0.0.1:26501"

// observer is an attached observer that has counted nothing yet.
type observer struct{ *process }

// attach starts a build of the observer for one end of the connections to a port.
func (b *bench) attach(ctx context.Context, build, role string, port int) (*observer, error) {
	config := b.dir + "/observer.yaml"
	text := fmt.Sprintf("listen: 127.0.0.1:%d\nports: []\nendpoints: [{name: bench, addresses: ['127.0.0.1:%d'], role: %s}]\nlog: {level: warn}\n",
		metricsPort, port, role)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	p, err := startProcess(build, "--config", config)
	if err != nil {
		return nil, err
	}
	o := &observer{p}
	if err := o.waitReady(ctx); err != nil {
		return nil, errors.Join(err, o.stop())
	}
	return o, nil
}

func (o *observer) waitReady(ctx context.Context) error {
	for range 100 {
		response, err := http.Get(endpoint + "/readyz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return settle(o.pid())
			}
		}
		select {
		case err := <-o.exited:
			o.exited <- err
			return fmt.Errorf("redis-observer ended: %s", o.stderr.String())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("redis-observer does not become ready")
}

// scraped is a scrape.
type scraped map[string]*dto.MetricFamily

func scrape() (scraped, error) {
	response, err := http.Get(endpoint + "/metrics")
	if err != nil {
		return nil, fmt.Errorf("scrape: %w", err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("scrape: %w", err)
	}
	return families, nil
}

// by returns the sums of a family by the value of a label; a label that does not exist has the value "".
func (s scraped) by(family, label string) map[string]float64 {
	sums := make(map[string]float64)
	for _, metric := range s[family].GetMetric() {
		sums[labelOf(metric, label)] += value(metric)
	}
	return sums
}

func labelOf(metric *dto.Metric, name string) string {
	for _, pair := range metric.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

// value returns the value of a counter or a gauge, of which a metric has one.
func value(metric *dto.Metric) float64 {
	return metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
}

// losses are the counters that tell that a number may not be exact, without those that are 0.
func (s scraped) losses() map[string]float64 {
	lost := make(map[string]float64)
	add := func(family, label string, only func(string) bool) {
		for value, n := range s.by("redis_observer_"+family, label) {
			if n != 0 && only(value) {
				lost[family+" "+value] = n
			}
		}
	}
	any := func(string) bool { return true }
	add("capture_lost_events_total", "reason", any)
	add("unpaired_commands_total", "reason", any)
	add("unanswered_commands_total", "reason", any)
	add("evicted_connections_total", "", any)
	add("lost_connections_total", "", any)
	add("held_overflow_total", "", any)
	add("protocol_errors_total", "", any)
	add("unexecuted_commands_total", "", any)
	// A gap inside a value costs nothing; one that breaks a stream does.
	add("gaps_total", "effect", func(effect string) bool { return effect == "broken" })
	return lost
}
