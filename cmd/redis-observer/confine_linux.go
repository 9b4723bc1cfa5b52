package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redis-observer/redis-observer/internal/plainfile"
	"github.com/redis-observer/redis-observer/internal/server"
)

// kprobeBackend ends its probes by writing to tracefs, whose files are root's.
const kprobeBackend = "kprobe"

var errTracefs = errors.New("the kprobe backend must write to tracefs when it detaches")

// dropPrivileges gives up what was needed only to attach: root, then capabilities, then system calls. The observer works without any of that
// being possible, so an error is no reason to end.
func (o *observer) dropPrivileges() {
	keep := o.source.Needed()
	if err := o.world.leave(o.runsAsAnother); err != nil {
		o.logger.Warn("cannot change to an unprivileged user; continuing as root", "reason", err)
	}
	dropped, err := o.world.drop(keep)
	if err != nil {
		o.logger.Warn("cannot drop privileges; keeping them", "error", err)
		return
	}
	o.logger.Info("privileges dropped", "dropped", dropped.Names(), "kept", keep.Names(), "user", os.Getuid())
	if err := o.world.filter(o.source.Backend() == kprobeBackend); err != nil {
		o.logger.Warn("cannot filter system calls; all stay allowed", "reason", err)
		return
	}
	o.logger.Info("system calls filtered")
}

// runsAsAnother says whether all that comes later can be done by the user that the process is now: reading again what may change,
// and ending the probes.
func (o *observer) runsAsAnother() error {
	if o.source.Backend() == kprobeBackend {
		return errTracefs
	}
	if err := o.reloader.readable(); err != nil {
		return fmt.Errorf("an unprivileged user cannot reload the configuration: %w", err)
	}
	if err := server.CheckWebConfig(o.config.WebConfig); err != nil {
		return fmt.Errorf("an unprivileged user cannot read the web configuration again: %w", err)
	}
	return nil
}

// readable says whether the file can be read, and its directory watched.
func (r *reloader) readable() error {
	if r.Path == "" {
		return nil
	}
	if err := plainfile.Check(r.Path); err != nil {
		return err
	}
	file, err := filepath.EvalSymlinks(r.Path)
	if err != nil {
		return err
	}
	for _, path := range []string{r.Path, file} {
		directory, err := os.Open(filepath.Dir(path))
		if err != nil {
			return err
		}
		directory.Close()
	}
	return nil
}
