package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/redis-observer/redis-observer/internal/host"
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
	err := tellManager(state)
	for range notifyTries {
		if !host.Shortage(err) || state == stopping { // nothing may hold the end up
			break
		}
		time.Sleep(notifyPause)
		err = tellManager(state)
	}
	if err != nil {
		logger.Warn("cannot notify the service manager", "state", state, "error", err)
	}
}

// How often the service manager is told again after a shortage of descriptors, and how long it may take to take note: it may hang.
const (
	notifyTries    = 20
	notifyPause    = 100 * time.Millisecond
	notifyPatience = time.Second
)

// tellManager sends one message to the service manager. daemon.SdNotify would wait as long as that reads nothing.
func tellManager(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(notifyPatience)); err != nil {
		return err
	}
	_, err = io.WriteString(c, state)
	return err
}

// watchdog tells a service manager that asks for it that the observer is alive, as long as it is, until ctx ends.
func watchdog(ctx context.Context, check func() error, logger *slog.Logger) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		logger.Warn("cannot serve the watchdog of the service manager", "error", err)
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
