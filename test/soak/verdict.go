package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// sample is what the observer's process and the one that attaches to TLS libraries hold at one time, both together.
type sample struct {
	resident    int // bytes
	descriptors int
	libraries   int // that are attached
}

// watch looks every second until the load ends.
func watch(ctx context.Context, o *kit.Observer) []sample {
	var samples []sample
	for sleep(ctx, time.Second) {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", o.PID(), o.PID()))
		all, err2 := o.Scrape()
		if errors.Join(err, err2) != nil {
			continue
		}
		s := sample{libraries: int(all.Sum("redis_observer_tls_libraries"))}
		for _, pid := range append(strings.Fields(string(children)), strconv.Itoa(o.PID())) {
			err = errors.Join(err, s.add(pid))
		}
		if err == nil {
			samples = append(samples, s)
		}
	}
	return samples
}

// add adds what a process holds.
func (s *sample) add(pid string) error {
	statm, err := os.ReadFile("/proc/" + pid + "/statm")
	files, err2 := os.ReadDir("/proc/" + pid + "/fd")
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	s.resident += pages * os.Getpagesize()
	s.descriptors += len(files)
	return err
}

// What may come and go: the garbage collector's leeway; scrapes under way; libraries, which are searched for users every half minute,
// each with a descriptor.
const (
	memoryLeeway     = 8 << 20
	libraryLeeway    = int(30 * time.Second / strangerPeriod)
	descriptorLeeway = 6 + libraryLeeway
)

// checkGrowth compares the second quarter, when everything has been seen once, with the last one.
func checkGrowth(samples []sample) error {
	quarter := len(samples) / 4
	if quarter == 0 {
		return errors.New("the observer's process could not be looked at")
	}
	early, late := middle(samples[quarter:2*quarter]), middle(samples[len(samples)-quarter:])
	fmt.Printf("resident memory %d MiB, then %d MiB; descriptors %d, then %d; libraries %d, then %d\n",
		early.resident>>20, late.resident>>20, early.descriptors, late.descriptors, early.libraries, late.libraries)
	var faults []error
	if late.resident > early.resident+early.resident/10+memoryLeeway {
		faults = append(faults, fmt.Errorf("memory grew from %d to %d bytes", early.resident, late.resident))
	}
	if late.descriptors > early.descriptors+descriptorLeeway {
		faults = append(faults, fmt.Errorf("descriptors grew from %d to %d", early.descriptors, late.descriptors))
	}
	if late.libraries > early.libraries+libraryLeeway {
		faults = append(faults, fmt.Errorf("attached libraries grew from %d to %d", early.libraries, late.libraries))
	}
	return errors.Join(faults...)
}

// middle returns the medians.
func middle(samples []sample) sample {
	var resident, descriptors, libraries []int
	for _, s := range samples {
		resident = append(resident, s.resident)
		descriptors = append(descriptors, s.descriptors)
		libraries = append(libraries, s.libraries)
	}
	slices.Sort(resident)
	slices.Sort(descriptors)
	slices.Sort(libraries)
	return sample{resident[len(resident)/2], descriptors[len(descriptors)/2], libraries[len(libraries)/2]}
}

// judge returns everything that is wrong.
func judge(o *kit.Observer, samples []sample, l *ledger, stable *kit.Redis, tls *encrypted) error {
	faults := []error{checkGrowth(samples)}
	all, err := o.Scrape()
	if err != nil {
		return errors.Join(append(faults, err)...)
	}
	faults = append(faults, checkLoss(all, tls.before), checkStable(all, stable), checkVictim(all, l), tls.check(all))
	if all.Sum("redis_observer_config_last_reload_success_timestamp_seconds") == 0 {
		faults = append(faults, errors.New("no reload succeeded"))
	}
	if err := errors.Join(faults...); err != nil {
		log := o.Log()
		return fmt.Errorf("%w\nlast of the log:\n%s", err, log[max(0, len(log)-4000):])
	}
	fmt.Println("soak: nothing grew, nothing was lost, every total is exact")
	return nil
}

// lossFamilies are 0 as long as every number is exact.
var lossFamilies = []string{
	"redis_observer_capture_lost_events_total", "redis_observer_unpaired_commands_total", "redis_observer_evicted_connections_total",
	"redis_observer_lost_connections_total", "redis_observer_held_overflow_total", "redis_observer_gaps_total",
}

// checkLoss compares with what was counted before the load began.
func checkLoss(all, before kit.Samples) error {
	var faults []error
	for _, series := range all.Nonzero(lossFamilies...) {
		if all[series] == before[series] || strings.HasPrefix(series, "redis_observer_unpaired_commands_total{") && strings.Contains(series, "name=strange") {
			continue // their connections are read from their midst on
		}
		faults = append(faults, fmt.Errorf("%s is %v", series, all[series]))
	}
	return errors.Join(faults...)
}

// checkStable compares with what the server counted.
func checkStable(all kit.Samples, stable *kit.Redis) error {
	calls, err := stable.Calls()
	if err != nil {
		return err
	}
	var faults []error
	for label, c := range calls {
		faults = append(faults, checkCommand(all, label, c))
	}
	if len(faults) == 0 {
		faults = append(faults, errors.New("the server counted no commands"))
	}
	return errors.Join(faults...)
}

func checkCommand(all kit.Samples, name string, c kit.Count) error {
	success := all.Sum("redis_commands_total", "command="+name, "name=stable", "status=success")
	failed := all.Sum("redis_commands_total", "command="+name, "name=stable", "status=error")
	fmt.Printf("stable %-8s server %.0f, errors %.0f; observer %.0f, errors %.0f\n", name, c.Calls, c.Errors, success+failed, failed)
	if success+failed != c.Calls || failed != c.Errors {
		return fmt.Errorf("%s on stable: the server counts %v with %v errors, the observer %v with %v", name, c.Calls, c.Errors, success+failed, failed)
	}
	return nil
}

func checkVictim(all kit.Samples, l *ledger) error {
	success := all.Sum("redis_commands_total", "name=victim", "status=success")
	failed := all.Sum("redis_commands_total", "name=victim", "status=error")
	wantSuccess, wantFailed := float64(l.success.Load()), float64(l.failed.Load())
	fmt.Printf("victim   clients %.0f, errors %.0f; observer %.0f, errors %.0f\n", wantSuccess+wantFailed, wantFailed, success+failed, failed)
	// Between a client's look and its write the server may close: at each kill, for one client, that is not to be ruled out.
	if leeway := float64(l.kills.Load() * maxPipeline); success != wantSuccess || failed > wantFailed || failed < wantFailed-leeway {
		return fmt.Errorf("victim: its clients count %v successes and %v errors, the observer %v and %v", wantSuccess, wantFailed, success, failed)
	}
	return nil
}
