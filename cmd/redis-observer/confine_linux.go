package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redis-observer/redis-observer/internal/kube"
	"github.com/redis-observer/redis-observer/internal/plainfile"
	"github.com/redis-observer/redis-observer/internal/server"
)

// kprobeBackend writes to tracefs when it detaches. The files of tracefs belong to root.
const kprobeBackend = "kprobe"

var errTracefs = errors.New("the kprobe backend must write to tracefs when it detaches")

// dropPrivileges drops what only attaching needs: root, then capabilities, then system calls. The
// observer also works if that fails, so errors are only logged.
func (o *observer) dropPrivileges() {
	keep := o.source.Needed()
	if err := o.program.leave(o.canRunUnprivileged); err != nil {
		o.logger.Warn("cannot change to an unprivileged user; continuing as root", "reason", err)
	}
	dropped, err := o.program.drop(keep)
	if err != nil {
		o.logger.Warn("cannot drop privileges; keeping them", "error", err)
		return
	}
	o.logger.Info("privileges dropped", "dropped", dropped.Names(), "kept", keep.Names(), "user", os.Getuid())
	if err := o.program.filter(o.source.Backend() == kprobeBackend); err != nil {
		o.logger.Warn("cannot filter system calls; all stay allowed", "reason", err)
		return
	}
	o.logger.Info("system calls filtered")
}

// canRunUnprivileged returns nil if the current user can do all that remains: reload the
// configuration, read the web configuration, certificates and names of containers, and detach the probes.
func (o *observer) canRunUnprivileged() error {
	if o.source.Backend() == kprobeBackend {
		return errTracefs
	}
	if err := o.reloader.readable(); err != nil {
		return fmt.Errorf("an unprivileged user cannot reload the configuration: %w", err)
	}
	for _, client := range o.apiClients() {
		if err := client.CheckToken(); err != nil {
			return fmt.Errorf("an unprivileged user cannot read the token for the API server again: %w", err)
		}
	}
	if o.runtimes != nil {
		if folders, faults := o.runtimes.Readable(); len(folders) < len(o.folders) {
			return fmt.Errorf("an unprivileged user cannot read the names of containers: %w", errors.Join(faults...))
		}
	}
	for _, file := range o.config.OTLP.TLS.Files() {
		if err := plainfile.Check(file); err != nil {
			return fmt.Errorf("an unprivileged user cannot read the certificates for the collector again: %w", err)
		}
	}
	if err := server.CheckWebConfig(o.config.WebConfig); err != nil {
		return fmt.Errorf("an unprivileged user cannot read the web configuration again: %w", err)
	}
	return nil
}

// apiClients returns the clients of the API server that are in use.
func (o *observer) apiClients() []*kube.Client {
	var clients []*kube.Client
	if client, ok := o.services.api.(*kube.Client); ok {
		clients = append(clients, client)
	}
	if o.podWatch != nil && o.podWatch.api != nil {
		clients = append(clients, o.podWatch.api)
	}
	return clients
}

// readable returns nil if the file can be read and its directories can be watched.
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
