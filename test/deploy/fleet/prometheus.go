package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/redis-observer/redis-observer/test/kit"
)

// prometheus is a running Prometheus, its folder included.
type prometheus struct {
	ctx     context.Context // of all requests
	process *kit.Process
	folder  string
	url     string
}

// startPrometheus starts a Prometheus that scrapes some addresses.
func startPrometheus(ctx context.Context, o options, addresses []string) (p *prometheus, err error) {
	program, err := prometheusProgram(o)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "fleet-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for Prometheus: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(folder) // the first error matters
		}
	}()
	rules, err := filepath.Abs(o.rulesFile())
	if err != nil {
		return nil, err
	}
	targets, err := json.Marshal(addresses) // which is YAML, too
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("global: {scrape_interval: %[1]s, evaluation_interval: %[1]s, scrape_timeout: %[1]s}\nrule_files: [%[2]q]\nscrape_configs:\n  - job_name: redis-observer\n    static_configs: [{targets: %[3]s}]\n",
		duration(o.interval), rules, targets)
	file := filepath.Join(folder, "prometheus.yml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, fmt.Errorf("write the configuration of Prometheus: %w", err)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	command := exec.Command(program, "--config.file", file, "--storage.tsdb.path", filepath.Join(folder, "data"), "--web.listen-address", address)
	if o.native {
		command.Args = append(command.Args, "--enable-feature=native-histograms")
	}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p = &prometheus{ctx: ctx, folder: folder, url: "http://" + address}
	p.process, err = kit.Start(command, func() bool {
		_, err := p.get("/-/ready", nil)
		return err == nil
	})
	return p, err
}

// prometheusProgram returns the path of Prometheus, which it fetches if needed.
func prometheusProgram(o options) (string, error) {
	if program := os.Getenv("REDIS_OBSERVER_TEST_PROMETHEUS"); program != "" {
		return program, nil
	}
	fetch := exec.Command(filepath.Join(o.root, "test/deploy/prometheus.sh"), filepath.Join(o.root, ".cache/prometheus"))
	fetch.Stderr = os.Stderr
	folder, err := fetch.Output()
	if err != nil {
		return "", fmt.Errorf("fetch Prometheus: %w (set REDIS_OBSERVER_TEST_PROMETHEUS to the path of one)", err)
	}
	return filepath.Join(strings.TrimSpace(string(folder)), "prometheus"), nil
}

// freeAddress returns an address on loopback that nobody listens on.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

func (p *prometheus) stop() error {
	return errors.Join(p.process.Stop(syscall.SIGTERM), os.RemoveAll(p.folder))
}

func (p *prometheus) get(path string, values url.Values) ([]byte, error) {
	request, err := http.NewRequestWithContext(p.ctx, http.MethodGet, p.url+path+"?"+values.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, body)
	}
	return body, err
}

// ask returns the data of an answer of the API.
func (p *prometheus) ask(path string, values url.Values, data any) error {
	body, err := p.get("/api/v1/"+path, values)
	if err != nil {
		return err
	}
	answer := struct{ Data any }{data}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("read the answer to %s: %w", path, err)
	}
	return nil
}

// vector executes an instant query, of now if the time is zero.
func (p *prometheus) vector(expression string, at time.Time) (model.Vector, error) {
	var data struct{ Result model.Vector }
	values := url.Values{"query": {expression}}
	if !at.IsZero() {
		values.Set("time", strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64))
	}
	err := p.ask("query", values, &data)
	return data.Result, err
}

// series is one series of a range query.
type series struct {
	Metric model.Metric
	Values []model.SamplePair
}

// stored returns the samples of a selector with a range.
func (p *prometheus) stored(selector string) ([]series, error) {
	var data struct{ Result []series }
	err := p.ask("query", url.Values{"query": {selector}}, &data)
	return data.Result, err
}

// scalar returns the value of an instant query with one result.
func (p *prometheus) scalar(expression string) (float64, error) {
	found, err := p.vector(expression, time.Time{})
	if err != nil {
		return 0, err
	}
	if len(found) != 1 {
		return 0, fmt.Errorf("%s has %d results instead of one", expression, len(found))
	}
	return float64(found[0].Value), nil
}

// await waits until an instant query finds something.
func (p *prometheus) await(limit time.Duration, expression string) error {
	for deadline := time.Now().Add(limit); ; {
		found, err := p.vector(expression, time.Time{})
		if err != nil || len(found) > 0 {
			return err
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("not so after %s: %s", limit, expression), p.scrapeFault())
		}
		if err := sleep(p.ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// scrapeFault returns why a scrape failed, nil if none did.
func (p *prometheus) scrapeFault() error {
	var data struct {
		ActiveTargets []struct{ ScrapeURL, LastError string }
	}
	if err := p.ask("targets", nil, &data); err != nil {
		return err
	}
	for _, target := range data.ActiveTargets {
		if target.LastError != "" {
			return fmt.Errorf("scrape %s: %s", target.ScrapeURL, target.LastError)
		}
	}
	return nil
}

// sample is what Prometheus says of itself.
type sample struct {
	at              time.Time
	series, samples float64 // in its head; appended since its start
	cpu, memory     float64 // seconds; resident bytes
	missed          float64 // evaluations of rules
}

func (p *prometheus) sample() (sample, error) {
	page, err := p.get("/metrics", nil)
	if err != nil {
		return sample{}, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(page)))
	if err != nil {
		return sample{}, fmt.Errorf("read the metrics of Prometheus: %w", err)
	}
	var faults []error
	value := func(name string) float64 {
		family, sum := families[name], 0.0
		if family == nil {
			faults = append(faults, fmt.Errorf("this Prometheus has no metric %s", name))
		}
		for _, m := range family.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		return sum
	}
	s := sample{
		at: time.Now(), series: value("prometheus_tsdb_head_series"), samples: value("prometheus_tsdb_head_samples_appended_total"),
		cpu: value("process_cpu_seconds_total"), memory: value("process_resident_memory_bytes"),
		missed: value("prometheus_rule_group_iterations_missed_total"),
	}
	return s, errors.Join(faults...)
}

// evaluated is a recording rule as Prometheus last evaluated it.
type evaluated struct {
	Name           string
	EvaluationTime float64 // seconds
	LastError      string
}

// rules returns all rules, in their order.
func (p *prometheus) rules() ([]evaluated, error) {
	var data struct{ Groups []struct{ Rules []evaluated } }
	err := p.ask("rules", nil, &data)
	var all []evaluated
	for _, group := range data.Groups {
		all = append(all, group.Rules...)
	}
	return all, err
}

// version returns the version of Prometheus.
func (p *prometheus) version() (string, error) {
	var data struct{ Version string }
	err := p.ask("status/buildinfo", nil, &data)
	return data.Version, err
}
