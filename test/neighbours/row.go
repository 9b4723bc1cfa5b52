package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// row is one neighbour.
type row struct {
	name, what string
	// serve starts what listens at the neighbour's address; nil is a Redis.
	serve func(*scene) error
	// before brings the neighbour to the state in which it harms, beside is what it does while the victim works. Either may be nil.
	before, beside func(*scene) error
	// victim is what the well-behaved client does; nil is behave.
	victim func(*scene) error
	// check asks more of the last scrape. It may be nil.
	check func(*scene, kit.Samples) error
}

// scene is a row while it is played.
type scene struct {
	options
	context.Context
	observer  *kit.Observer
	redis     *kit.Redis // the victim's
	neighbour *kit.Redis // nil if the row serves the address itself
	cleanups  []func() error
}

// atEnd has something undone when the row is over.
func (s *scene) atEnd(undo func() error) { s.cleanups = append(s.cleanups, undo) }

// scale returns how much of n a short run does.
func (s *scene) scale(n int) int {
	if s.short {
		return max(1, n/10)
	}
	return n
}

const (
	settled = 20 * time.Second // what the last events may take to become metrics
	longest = 4 * time.Minute  // what a row may take
)

// configuration is the default one but for the two names.
var configuration = fmt.Sprintf(`endpoints:
  - {name: victim, addresses: ["*:%d"]}
  - {name: neighbour, addresses: ["*:%d"]}
`, victimPort, neighbourPort)

// play runs a row and returns what was counted in a few words.
func (o options) play(r row) (result string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	s := &scene{options: o, Context: ctx}
	defer func() {
		cancel()
		for _, undo := range slices.Backward(s.cleanups) {
			err = errors.Join(err, undo())
		}
	}()
	if err := s.start(r); err != nil {
		return "", err
	}
	if err := s.act(r); err != nil {
		return "", s.explain(err)
	}
	truth, err := s.redis.Calls()
	if err != nil {
		return "", err
	}
	last, err := s.observer.Await(settled, func(now kit.Samples) bool { return len(compare(truth, now)) == 0 })
	if err != nil {
		return "", s.explain(err)
	}
	if r.check != nil {
		err = r.check(s, last)
	}
	if differences := compare(truth, last); len(differences) > 0 {
		err = errors.Join(err, errors.New(strings.Join(differences, "; ")))
	}
	return s.summary(truth, last), s.explain(err)
}

// startRedis starts a server that takes as many connections as any row opens.
func startRedis(port int) (*kit.Redis, error) {
	return kit.StartRedis(port, "--maxclients", "50000", "--tcp-backlog", "4096")
}

func (s *scene) start(r row) error {
	var err error
	if s.redis, err = startRedis(victimPort); err != nil {
		return err
	}
	s.atEnd(s.redis.Stop)
	if r.serve == nil {
		if s.neighbour, err = startRedis(neighbourPort); err != nil {
			return err
		}
		s.atEnd(s.neighbour.Stop)
	} else if err := r.serve(s); err != nil {
		return err
	}
	if s.observer, err = kit.StartObserver(kit.ObserverOptions{
		Program: s.program, Port: observerPort, Configuration: configuration, MemoryLimit: s.limit,
	}); err != nil {
		return err
	}
	s.atEnd(s.observer.Stop)
	return nil
}

// act lets the neighbour begin, and the victim work beside it.
func (s *scene) act(r row) error {
	if r.before != nil {
		if err := r.before(s); err != nil {
			return fmt.Errorf("neighbour, before: %w", err)
		}
	}
	victim := r.victim
	if victim == nil {
		victim = behave
	}
	var beside error
	var wait sync.WaitGroup
	whole := s.Context
	ctx, cancel := context.WithCancel(whole)
	s.Context = ctx
	if r.beside != nil {
		wait.Go(func() { beside = r.beside(s) })
		s.rest(200 * time.Millisecond) // it is in full swing when the victim begins
	}
	err := victim(s)
	cancel()
	wait.Wait()
	s.Context = whole
	if err != nil {
		return fmt.Errorf("victim: %w", err)
	}
	if beside != nil {
		return fmt.Errorf("neighbour, beside: %w", beside)
	}
	return nil
}

// rest waits, and returns false if the scene is over.
func (s *scene) rest(d time.Duration) bool {
	select {
	case <-s.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// explain adds what the observer printed to an error.
func (s *scene) explain(err error) error {
	if err == nil {
		return nil
	}
	const excerpt = 2000
	log := s.observer.Log()
	return fmt.Errorf("%w\nthe observer (alive: %v) printed:\n%s", err, s.observer.Running(), log[max(0, len(log)-excerpt):])
}

// compare returns where the victim's counts differ from its server's.
func compare(truth map[string]kit.Count, now kit.Samples) []string {
	all := now.By("command", "redis_commands_total", "name=victim")
	failed := now.By("command", "redis_commands_total", "name=victim", "status=error")
	var differences []string
	commands := maps.Clone(all)
	for command := range truth {
		commands[command] = 0
	}
	for _, command := range slices.Sorted(maps.Keys(commands)) {
		if t := truth[command]; t.Calls != all[command] || t.Errors != failed[command] {
			differences = append(differences, fmt.Sprintf("%s: the server counted %.0f with %.0f errors, the observer %.0f with %.0f",
				command, t.Calls, t.Errors, all[command], failed[command]))
		}
	}
	if len(truth) == 0 {
		differences = append(differences, "the victim's server counted nothing")
	}
	return differences
}

func (s *scene) summary(truth map[string]kit.Count, last kit.Samples) string {
	total := 0.0
	for _, t := range truth {
		total += t.Calls
	}
	counted := last.Sum("redis_commands_total", "name=victim")
	text := fmt.Sprintf("victim %.0f of %.0f", counted, total)
	if peak := s.observer.PeakMemory(); peak > 0 {
		text += fmt.Sprintf(", at most %d MiB", peak>>20)
	}
	if lost := last.Losses(); len(lost) > 0 {
		text += ", lost: " + strings.ReplaceAll(strings.Join(lost, " "), "redis_observer_", "")
	}
	return text
}
