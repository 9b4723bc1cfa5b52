package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report prints series, memory, CPU, scrapes and rules.
func report(out io.Writer, o options, p *prometheus, f *fleet, before, after sample) error {
	version, err := p.version()
	if err != nil {
		return err
	}
	perNode, err := p.scalar("avg(scrape_samples_scraped)")
	if err != nil {
		return err
	}
	scrape, err := p.scalar(fmt.Sprintf("avg(avg_over_time(scrape_duration_seconds[%s]))", duration(o.duration/2)))
	if err != nil {
		return err
	}
	longest, err := p.scalar(fmt.Sprintf("max(max_over_time(scrape_duration_seconds[%s]))", duration(o.duration/2)))
	if err != nil {
		return err
	}
	plain, packed, err := pageSize(f.nodes[0].server.Address())
	if err != nil {
		return err
	}
	rules, err := p.rules()
	if err != nil {
		return err
	}
	seconds := after.at.Sub(before.at).Seconds()
	cpu := (after.cpu - before.cpu) / seconds
	histograms := "classic"
	if o.native {
		histograms = "native"
	}
	fmt.Fprintf(out, "%s, %s\nPrometheus %s, %s histograms, every %s; figures are those of %.0f s of traffic\n\n",
		time.Now().UTC().Format("2 January 2006"), machine(), version, histograms, o.interval, seconds)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) { fmt.Fprintf(table, name+"\t"+format+"\n", values...) }
	row("nodes", "%d", o.nodes)
	row("pairs of name and command", "%d, %.0f on a node", f.pairs(), float64(f.pairs())/float64(o.nodes))
	row("series in Prometheus", "%.0f", after.series)
	row("samples of a scrape", "%.0f on average", perNode)
	row("a page", "%d bytes, %d with gzip", plain, packed)
	row("a scrape", "%.1f ms on average, %.1f ms at most", 1000*scrape, 1000*longest)
	row("samples stored", "%.0f per second", (after.samples-before.samples)/seconds)
	row("resident memory of Prometheus", "%.0f MiB, %.1f KiB for a series", after.memory/(1<<20), after.memory/1024/after.series)
	row("CPU of Prometheus", "%.1f %% of a core, before anybody asks", 100*cpu)
	row("evaluations of rules missed", "%.0f", after.missed)
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	fmt.Fprintln(table, "recording rule\tms")
	sum := 0.0
	for _, rule := range rules {
		if rule.LastError != "" {
			return fmt.Errorf("rule %s: %s (Prometheus 2.42 refuses some sums of native histograms, 3.5 does not: name one by REDIS_OBSERVER_TEST_PROMETHEUS)", rule.Name, rule.LastError)
		}
		fmt.Fprintf(table, "%s\t%.1f\n", rule.Name, 1000*rule.EvaluationTime)
		sum += rule.EvaluationTime
	}
	fmt.Fprintf(table, "all, every %s\t%.1f\n", o.interval, 1000*sum)
	return table.Flush()
}

// machine describes where this runs.
func machine() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	name := "unknown processor"
	cpus, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(cpus)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			name = strings.TrimSpace(value)
		}
	}
	return fmt.Sprintf("%d cores of %s, Linux %s", runtime.NumCPU(), name, strings.TrimSpace(string(kernel)))
}

// pageSize returns the size of the metrics of a node, as they are and compressed.
func pageSize(address string) (plain, packed int64, err error) {
	request, err := http.NewRequest(http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return 0, 0, err
	}
	request.Header.Set("Accept-Encoding", "gzip")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	counted := &counter{Reader: response.Body}
	unpacked, err := gzip.NewReader(counted)
	if err != nil {
		return 0, 0, fmt.Errorf("read a page: %w", err)
	}
	plain, err = io.Copy(io.Discard, unpacked)
	return plain, counted.n, err
}

// counter counts what is read.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	return n, err
}

const (
	points   = 240              // steps that a panel is wide at most, as on a dashboard of an hour with steps of 15 s
	rounds   = 3                // how often a query is asked that is fast enough; the median counts
	patience = 30 * time.Second // how long a query may take; people have gone by then
)

// reportPanels prints how long the queries of each panel take, of its targets one after the other. Those on recorded series are
// also asked without the rules.
func reportPanels(out io.Writer, o options, p *prometheus, panels []panel, rules map[string]string) error {
	shown := min(o.duration, points*o.interval)
	fmt.Fprintf(out, "\nqueries of the last %s, step %s\n\n", shown, o.interval)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer table.Flush() // what is known is printed, whatever happens
	fmt.Fprintln(table, "panel\tms\twithout rules, ms\tseries\tKiB")
	for _, panel := range panels {
		var with, without cost
		recorded := false
		for _, target := range panel.Targets {
			expression := filled(target.Expr, o, shown)
			raw, err := inlined(expression, rules)
			if err != nil {
				return fmt.Errorf("%s: %w", panel.Title, err)
			}
			asked, err := p.timed(expression, target.Instant, o, shown)
			if err != nil {
				return fmt.Errorf("%s: %w", panel.Title, err)
			}
			with.add(asked)
			if raw != expression {
				recorded = true
				if asked, err = p.timed(raw, target.Instant, o, shown); err != nil {
					return fmt.Errorf("%s: %w", panel.Title, err)
				}
			}
			without.add(asked)
		}
		other := ""
		if recorded {
			other = without.String()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\n", panel.Title, with, other, with.series, with.bytes/1024)
	}
	return nil
}

// cost is what it takes to answer queries.
type cost struct {
	took          time.Duration
	series, bytes int
	cut           bool // patience ended before an answer
}

func (c *cost) add(other cost) {
	*c = cost{c.took + other.took, c.series + other.series, c.bytes + other.bytes, c.cut || other.cut}
}

// String returns the time in milliseconds.
func (c cost) String() string {
	if c.cut {
		return fmt.Sprintf("> %.0f", c.took.Seconds()*1000)
	}
	return fmt.Sprintf("%.1f", c.took.Seconds()*1000)
}

// timed returns what an answer takes, as Grafana asks: of now, or of the time shown.
func (p *prometheus) timed(expression string, instant bool, o options, shown time.Duration) (cost, error) {
	path, values := "/api/v1/query", url.Values{"query": {expression}, "timeout": {duration(patience)}}
	var all []time.Duration
	c := cost{}
	for range rounds {
		if !instant {
			end := time.Now()
			path = "/api/v1/query_range"
			values.Set("start", seconds(end.Add(-shown)))
			values.Set("end", seconds(end))
			values.Set("step", strconv.FormatFloat(o.interval.Seconds(), 'f', 3, 64))
		}
		begin := time.Now()
		body, err := p.get(path, values)
		took := time.Since(begin)
		if err != nil && took < patience {
			return cost{}, err
		}
		all = append(all, took)
		c = cost{series: strings.Count(string(body), `{"metric":`), bytes: len(body), cut: err != nil}
		if took > patience/rounds {
			break
		}
	}
	slices.Sort(all)
	c.took = all[len(all)/2]
	return c, nil
}

// seconds writes a time as the API reads it.
func seconds(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
