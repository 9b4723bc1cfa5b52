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

// States of the service manager protocol.
const (
	ready    = daemon.SdNotifyReady
	stopping = daemon.SdNotifyStopping
)

// reloading contains the time, because Type=notify-reload waits for a later READY.
func reloading() string {
	return daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec()
}

// notify sends a state to the service manager, if there is one.
func notify(logger *slog.Logger, state string) {
	err := sendState(state)
	for range notifyTries {
		if !host.Shortage(err) || state == stopping { // shutdown must not wait
			break
		}
		time.Sleep(notifyPause)
		err = sendState(state)
	}
	if err != nil {
		logger.Warn("cannot notify the service manager", "state", state, "error", err)
	}
}

// Retries after a shortage of descriptors, and the timeout of one message, because the service
// manager may hang.
const (
	notifyTries    = 20
	notifyPause    = 100 * time.Millisecond
	notifyPatience = time.Second
)

// sendState sends one message to the service manager. daemon.SdNotify has no timeout.
func sendState(state string) error {
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

// watchdog notifies the watchdog of the service manager while check succeeds, until ctx ends.
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
