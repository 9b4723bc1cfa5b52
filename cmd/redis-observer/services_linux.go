package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/redis-observer/redis-observer/internal/kube"
	"github.com/redis-observer/redis-observer/internal/naming"
)

// watcher follows a Service of Kubernetes until ctx ends. *kube.Client implements it.
type watcher interface {
	Watch(ctx context.Context, namespace, name string, changed func(kube.Addresses), failed func(error))
}

// services follows the Services of the configuration.
type services struct {
	names  *naming.Names
	logger *slog.Logger
	api    watcher       // nil: none of the Services can be followed
	reload chan struct{} // the Services may be others

	following map[string]context.CancelFunc
	all       sync.WaitGroup
}

// newServices finds the API server if the configuration has Services. Without it, all else goes on.
func newServices(names *naming.Names, logger *slog.Logger) *services {
	s := &services{names: names, logger: logger, reload: make(chan struct{}, 1), following: map[string]context.CancelFunc{}}
	if len(names.Services()) > 0 {
		s.find()
	}
	return s
}

// find finds the API server.
func (s *services) find() {
	client, err := kube.InCluster()
	if err != nil {
		s.logger.Error("cannot observe the Services of the configuration; all else is observed", "error", err)
		for _, name := range s.names.Services() {
			s.names.ServiceFailed(name)
		}
		return
	}
	s.api = client
}

// run follows the Services until ctx ends.
func (s *services) run(ctx context.Context) {
	defer s.all.Wait()
	for {
		s.follow(ctx)
		select {
		case <-ctx.Done():
			return
		case <-s.reload:
		}
	}
}

// follow begins to follow new Services, and ends to follow others.
func (s *services) follow(ctx context.Context) {
	wanted := s.names.Services()
	for name, end := range s.following {
		if !slices.Contains(wanted, name) {
			end()
			delete(s.following, name)
		}
	}
	if len(wanted) > 0 && s.api == nil {
		s.find()
	}
	if s.api == nil {
		return
	}
	for _, name := range wanted {
		if s.following[name] != nil {
			continue
		}
		ctx, end := context.WithCancel(ctx)
		s.following[name] = end
		s.all.Go(func() { s.watch(ctx, name) })
	}
}

// watch follows one Service.
func (s *services) watch(ctx context.Context, name string) {
	space, service, _ := strings.Cut(name, "/")
	s.api.Watch(ctx, space, service, func(addresses kube.Addresses) {
		s.names.SetService(name, addresses)
	}, (&outage{
		logger: s.logger.With("service", name),
		began:  "cannot watch a Service; keeping its last addresses",
		ended:  "watching a Service again",
		count:  func() { s.names.ServiceFailed(name) },
	}).note)
}

// outage logs when a watch begins to fail, when it begins to be refused, and when it works again, and counts each failure.
type outage struct {
	logger       *slog.Logger
	began, ended string
	count        func()

	mu      sync.Mutex
	failing bool
	refused bool
}

// note notes a failure, or nil for a success after one.
func (o *outage) note(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil && (!o.failing || kube.Refused(err) && !o.refused):
		o.logger.Warn(o.began, "error", err)
	case err == nil && o.failing:
		o.logger.Info(o.ended)
	}
	o.refused = kube.Refused(err) || err != nil && o.refused
	if o.failing = err != nil; o.failing {
		o.count()
	}
}

// nudge makes the receiver of a channel look once more.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
