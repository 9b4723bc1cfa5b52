package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/host"
	"github.com/redis-observer/redis-observer/internal/metrics"
	"github.com/redis-observer/redis-observer/internal/naming"
)

// reloader replaces the running configuration. Counters and connections are kept.
type reloader struct {
	config.Loader
	running  *config.Config
	text     []byte // text of the running file
	names    *naming.Names
	source   capture.Source
	services *services
	servers  *servers
	recorder *metrics.Recorder
	catchUp  func() // returns when all events before the call are counted
	level    *slog.LevelVar
	logger   *slog.Logger

	unwatched bool // the last attempt to watch the file failed
}

// retryDelay is the delay before a retry after a shortage, for example of descriptors.
const retryDelay = time.Second

// run reloads on each SIGHUP and on each change of the file, until ctx ends.
func (r *reloader) run(ctx context.Context, hangup <-chan os.Signal) {
	changed := make(chan struct{}, 1)
	var retry, rewatch <-chan time.Time
	if !r.watch(ctx, changed) {
		rewatch = time.After(retryDelay)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.names.Moved():
			r.movePorts()
			continue
		case <-hangup:
		case <-changed:
		case <-retry:
		case <-rewatch:
			if rewatch = nil; !r.watch(ctx, changed) {
				rewatch = time.After(retryDelay)
				continue
			}
			// The file may have changed meanwhile.
		}
		retry = nil
		if host.Shortage(r.reload(ctx)) {
			retry = time.After(retryDelay)
		}
	}
}

// watch starts to watch the file. It returns false if the caller should retry.
func (r *reloader) watch(ctx context.Context, changed chan<- struct{}) bool {
	if r.Path == "" {
		return true
	}
	err := config.Watch(ctx, r.Path, r.text, func() {
		select {
		case changed <- struct{}{}:
		default: // a reload is pending, and will read the current file
		}
	})
	if err != nil && !r.unwatched {
		r.logger.Warn("cannot watch the configuration file; changes take effect on SIGHUP", "error", err, "retrying", host.Shortage(err))
	}
	r.unwatched = err != nil
	return !host.Shortage(err)
}

// reload reads the configuration and applies it, or rejects it as a whole and returns the reason.
func (r *reloader) reload(ctx context.Context) error {
	notify(r.logger, reloading())
	defer notify(r.logger, ready)
	config.Settle(ctx, r.Path)
	next, text, err := r.LoadText()
	if err == nil {
		err = config.CheckTruncated(r.text, text)
	}
	if err == nil {
		err = r.apply(ctx, next)
	}
	r.recorder.ConfigRead(err == nil, time.Now())
	if err != nil {
		r.logger.Error("configuration reload failed; keeping the previous one", "error", err)
		return err
	}
	if keys := config.RestartKeys(r.running, next); len(keys) > 0 {
		r.logger.Warn("some changes take effect after a restart", "keys", keys)
	}
	r.level.Set(next.Log.Level)
	r.servers.set(next)
	r.running, r.text = next, text
	nudge(r.services.reload)
	r.logger.Info("configuration reloaded", "client_ports", r.names.ClientPorts(), "server_ports", r.names.ServerPorts())
	return nil
}

// movePorts observes the ports that the Services and SRV records have now.
func (r *reloader) movePorts() {
	if err := r.source.SetPorts(r.names.ClientPorts(), r.names.ServerPorts()); err != nil {
		r.logger.Error("cannot observe the ports of a Service or of SRV records", "error", err)
	}
}

// apply changes the names before the ports, so that connections of a new port have their name from
// the first event. Events before it count under the old names.
func (r *reloader) apply(ctx context.Context, next *config.Config) error {
	r.catchUp()
	r.names.Apply(ctx, rulesOf(next))
	err := r.source.SetPorts(r.names.ClientPorts(), r.names.ServerPorts())
	if err != nil {
		r.names.Apply(ctx, rulesOf(r.running))
		return fmt.Errorf("set observed ports: %w", err)
	}
	if err := r.source.SetPaths(r.names.Paths()); err != nil {
		r.names.Apply(ctx, rulesOf(r.running))
		return fmt.Errorf("set observed paths: %w", err)
	}
	return nil
}
