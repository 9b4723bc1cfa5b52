package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// verdict is what was found out about a suite.
type verdict struct {
	name        string
	alone       outcomes // without observers
	observed    outcomes
	took        [2]time.Duration
	commands    [2]float64 // that the observers read from TLS
	connections float64    // with TLS, of them
	notes       []string
}

const head = "suite                   tests  passed/failed/skipped alone, observed     seconds alone, observed  commands of TLS by client, server  connections"

func (v verdict) String() string {
	text := fmt.Sprintf("%-20s %8d  %20s %20s  %14.0f %8.0f  %22.0f %10.0f  %11.0f\n", v.name, len(v.alone), v.alone, v.observed,
		v.took[0].Seconds(), v.took[1].Seconds(), v.commands[0], v.commands[1], v.connections)
	for _, note := range v.notes {
		text += "  " + note + "\n"
	}
	return text
}

// judge runs a suite without and with observers.
func (o options) judge(ctx context.Context, s suite) (v verdict, err error) {
	if o.short {
		s.parts = s.short
	}
	v.name = s.name
	if v.alone, v.took[0], err = o.alone(ctx, s, nil); err != nil {
		return v, err
	}
	var faults error
	if v.observed, faults, err = o.observed(ctx, s, nil, &v); err != nil {
		return v, err
	}
	if len(v.alone) == 0 && len(v.observed) == 0 {
		return v, errors.New("no test ran")
	}
	return v, errors.Join(faults, o.again(ctx, s, &v))
}

// again runs the tests whose outcome differs once more, alone and observed.
func (o options) again(ctx context.Context, s suite, v *verdict) error {
	names := different(v.alone, v.observed)
	if len(names) == 0 {
		return nil
	}
	alone, _, err := o.alone(ctx, s, names)
	if err != nil {
		return err
	}
	observed, _, err := o.observed(ctx, s, names, nil)
	if err != nil {
		return err
	}
	var holds []string
	for _, name := range names {
		text := fmt.Sprintf("%s: alone %s, observed %s; again: alone %s, observed %s", name, v.alone[name], v.observed[name], alone[name], observed[name])
		v.notes = append(v.notes, text)
		if alone[name] == v.alone[name] && observed[name] == v.observed[name] {
			holds = append(holds, text)
		}
	}
	if len(holds) > 0 {
		return fmt.Errorf("tests end otherwise when they are observed:\n%s", strings.Join(holds, "\n"))
	}
	return nil
}

func (o options) alone(ctx context.Context, s suite, only []string) (outcomes, time.Duration, error) {
	p, err := o.open(s)
	if err != nil {
		return nil, 0, err
	}
	start := time.Now()
	found, err := s.run(ctx, p, only)
	return found, time.Since(start), errors.Join(err, p.end())
}

// observed runs a suite beside the observers. With a verdict it looks at what they counted: faults are what is wrong with it.
func (o options) observed(ctx context.Context, s suite, only []string, v *verdict) (found outcomes, faults, err error) {
	p, err := o.open(s)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	w, err := p.watch(ctx)
	if err != nil {
		return nil, nil, err
	}
	if p.server != nil {
		if err := p.server.ResetStats(); err != nil {
			return nil, nil, err
		}
	}
	before, err := w.see()
	if err != nil {
		return nil, nil, err
	}
	start := time.Now()
	if found, err = s.run(ctx, p, only); err != nil || v == nil {
		return found, nil, err
	}
	v.took[1] = time.Since(start)
	after, err := w.settle()
	if err != nil {
		return found, nil, err
	}
	seen := [2]sight{after[0].less(before[0]), after[1].less(before[1])}
	for i := range seen {
		v.commands[i] = seen[i].encrypted
	}
	v.connections = seen[1].connections
	var truth map[string]kit.Count
	if p.server != nil {
		if truth, err = counts(p.server); err != nil {
			return found, nil, err
		}
	}
	for i, role := range roles {
		if role == "client" && s.unread {
			continue
		}
		wrong := reads(seen[i], before[i])
		if truth != nil {
			more, notes := differences(truth, seen[i].counts, seen[i].givenUp)
			wrong = append(wrong, more...)
			for _, note := range notes {
				v.notes = append(v.notes, role+": "+note)
			}
		}
		if len(wrong) > 0 {
			faults = errors.Join(faults, fmt.Errorf("role %s:\n%s", role, strings.Join(wrong, "\n")))
		}
	}
	return found, faults, nil
}
