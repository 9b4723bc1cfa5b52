package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis-observer/redis-observer/test/commandstats"
)

// sample is what the observer's process holds at one time.
type sample struct {
	resident    int // bytes
	descriptors int
}

// watch looks every second until the load ends.
func (o *observer) watch(ctx context.Context) []sample {
	var samples []sample
	for sleep(ctx, time.Second) {
		statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", o.Process.Pid))
		files, err2 := os.ReadDir(fmt.Sprintf("/proc/%d/fd", o.Process.Pid))
		if errors.Join(err, err2) != nil {
			continue
		}
		pages, _ := strconv.Atoi(strings.Fields(string(statm))[1])
		samples = append(samples, sample{pages * os.Getpagesize(), len(files)})
		_, _ = scrape()
	}
	return samples
}

// What may come and go: the garbage collector's leeway, and scrapes under way.
const (
	memoryLeeway     = 8 << 20
	descriptorLeeway = 6
)

// checkGrowth compares the second quarter, when everything has been seen once, with the last one.
func checkGrowth(samples []sample) error {
	quarter := len(samples) / 4
	if quarter == 0 {
		return errors.New("the observer's process could not be looked at")
	}
	early, late := middle(samples[quarter:2*quarter]), middle(samples[len(samples)-quarter:])
	fmt.Printf("resident memory %d MiB, then %d MiB; descriptors %d, then %d\n",
		early.resident>>20, late.resident>>20, early.descriptors, late.descriptors)
	var faults []error
	if late.resident > early.resident+early.resident/10+memoryLeeway {
		faults = append(faults, fmt.Errorf("memory grew from %d to %d bytes", early.resident, late.resident))
	}
	if late.descriptors > early.descriptors+descriptorLeeway {
		faults = append(faults, fmt.Errorf("descriptors grew from %d to %d", early.descriptors, late.descriptors))
	}
	return errors.Join(faults...)
}

// middle returns the medians.
func middle(samples []sample) sample {
	var resident, descriptors []int
	for _, s := range samples {
		resident = append(resident, s.resident)
		descriptors = append(descriptors, s.descriptors)
	}
	slices.Sort(resident)
	slices.Sort(descriptors)
	return sample{resident[len(resident)/2], descriptors[len(descriptors)/2]}
}

// judge returns everything that is wrong.
func (o *observer) judge(samples []sample, l *ledger, stable int) error {
	faults := []error{checkGrowth(samples)}
	all, err := scrape()
	if err != nil {
		return errors.Join(append(faults, err)...)
	}
	faults = append(faults, checkLoss(all), checkStable(all, stable), checkVictim(all, l))
	if all["redis_observer_config_last_reload_success_timestamp_seconds"] == 0 {
		faults = append(faults, errors.New("no reload succeeded"))
	}
	if err := errors.Join(faults...); err != nil {
		log, _ := os.ReadFile(o.log)
		return fmt.Errorf("%w\nlast of the log:\n%s", err, log[max(0, len(log)-4000):])
	}
	fmt.Println("soak: nothing grew, nothing was lost, every total is exact")
	return nil
}

// lossFamilies are 0 as long as every number is exact.
var lossFamilies = []string{
	"redis_observer_capture_lost_events_total", "redis_observer_unpaired_commands_total", "redis_observer_evicted_connections_total",
	"redis_observer_lost_connections_total", "redis_observer_held_overflow_total",
}

func checkLoss(all families) error {
	var faults []error
	for series, value := range all {
		family, _, _ := strings.Cut(series, "{")
		broken := family == "redis_observer_gaps_total" && strings.Contains(series, `effect="broken"`)
		if value != 0 && (broken || slices.Contains(lossFamilies, family)) {
			faults = append(faults, fmt.Errorf("%s is %v", series, value))
		}
	}
	return errors.Join(faults...)
}

// checkStable compares with INFO commandstats, whose calls hold the failed ones and not the rejected ones.
func checkStable(all families, port int) error {
	c, err := dial(port)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprint(c, "INFO commandstats\r\nQUIT\r\n"); err != nil {
		return err
	}
	text, err := io.ReadAll(c.replies)
	if err != nil {
		return err
	}
	var faults []error
	for line := range strings.Lines(string(text)) {
		name, c, ok := commandstats.Line(line)
		switch {
		case ok:
			faults = append(faults, checkCommand(all, name, c))
		case strings.HasPrefix(line, "cmdstat_"):
			faults = append(faults, fmt.Errorf("the server's count cannot be read: %q", line))
		}
	}
	if len(faults) == 0 {
		faults = append(faults, errors.New("the server told of no commands"))
	}
	return errors.Join(faults...)
}

func checkCommand(all families, name string, c commandstats.Count) error {
	success := all[fmt.Sprintf(`redis_commands_total{command=%q,name="stable",status="success"}`, name)]
	failed := all[fmt.Sprintf(`redis_commands_total{command=%q,name="stable",status="error"}`, name)]
	fmt.Printf("stable %-8s server %.0f, errors %.0f; observer %.0f, errors %.0f\n", name, c.Calls, c.Errors, success+failed, failed)
	if success+failed != c.Calls || failed != c.Errors {
		return fmt.Errorf("%s on stable: the server counts %v with %v errors, the observer %v with %v", name, c.Calls, c.Errors, success+failed, failed)
	}
	return nil
}

func checkVictim(all families, l *ledger) error {
	var success, failed float64
	for series, value := range all {
		if strings.HasPrefix(series, "redis_commands_total{") && strings.Contains(series, `name="victim"`) {
			if strings.Contains(series, `status="success"`) {
				success += value
			} else {
				failed += value
			}
		}
	}
	wantSuccess, wantFailed := float64(l.success.Load()), float64(l.failed.Load())
	fmt.Printf("victim   clients %.0f, errors %.0f; observer %.0f, errors %.0f\n", wantSuccess+wantFailed, wantFailed, success+failed, failed)
	// Between a client's look and its write the server may close: at each kill, for one client, that is not to be ruled out.
	if leeway := float64(l.kills.Load() * maxPipeline); success != wantSuccess || failed > wantFailed || failed < wantFailed-leeway {
		return fmt.Errorf("victim: its clients count %v successes and %v errors, the observer %v and %v", wantSuccess, wantFailed, success, failed)
	}
	return nil
}
