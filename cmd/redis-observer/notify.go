package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// What the service manager is told.
const (
	ready    = daemon.SdNotifyReady
	stopping = daemon.SdNotifyStopping
)

// reloading carries the time because Type=notify-reload waits for a READY that is younger.
func reloading() string {
	return daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec()
}

// notify tells the service manager, if there is one.
func notify(logger *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		logger.Warn("service manager was not notified", "state", state, "error", err)
	}
}

// watchdog tells a service manager that asks for it that the observer is alive, as long as it is, until ctx ends.
func watchdog(ctx context.Context, check func() error, logger *slog.Logger) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		logger.Warn("watchdog of the service manager is not served", "error", err)
	}
	if err != nil || interval == 0 {
		return
	}
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if check() == nil {
			notify(logger, daemon.SdNotifyWatchdog)
		}
	}
}
