package bpf

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// ErrNoUnix is in the error of SetPaths if the probes cannot observe Unix sockets on this machine.
var ErrNoUnix = errors.New("cannot observe Unix sockets")

// Path is the name of a Unix socket to observe.
type Path struct {
	Text   string // as the server binds it; an abstract name begins with @
	Index  uint32 // by which the endpoints of its events name it
	Server bool   // observe the server's end, not the client's
}

// unixTaps are the taps of Unix sockets: their calls, and their listing. A kernel may be able to
// observe TCP but not these, so a failure to load them is kept until they are needed.
type unixTaps struct {
	calls, listing *tap
	pass           *tap  // nil where the calls report the end of every socket
	err            error // why they could not be loaded; matches ErrNoUnix
}

// unixListing are the programs of the listing: of the sockets that processes hold, and where the
// kernel can list them, of those of the observer's network namespace.
var unixListing = []hook{{observerProgUnixListHeld, attachIterator}, {observerProgUnixList, attachIterator}}

func unixListingTap() *tap {
	hooks := unixListing
	if !streamsHere().listsUnix {
		hooks = hooks[:1]
	}
	return &tap{hooks: hooks, duplicates: 1}
}

// unixPassTap returns the tap of the passes. Its program is not attached, but run (PassUnix).
func unixPassTap() *tap {
	return &tap{duplicates: 1, hooks: []hook{{program: observerProgUnixPass}}}
}

// load loads the taps, or sets err.
func (u *unixTaps) load(b *backend, object *ebpf.CollectionSpec, shared map[string]*ebpf.Map, types *btf.Cache) {
	if err := u.tryLoad(b, object, shared, types); err != nil {
		u.loaded().close()
		*u = unixTaps{err: fmt.Errorf("%w with backend %s: %w", ErrNoUnix, b.name, explain(err))}
	}
}

func (u *unixTaps) tryLoad(b *backend, object *ebpf.CollectionSpec, shared map[string]*ebpf.Map, types *btf.Cache) error {
	u.calls, u.listing = b.unixTap(), unixListingTap()
	if !b.unixByAddress {
		u.pass = unixPassTap()
	}
	if err := u.loaded().load(object, shared, types); err != nil || u.pass == nil {
		return err
	}
	return u.runPass() // the library examines the kernel at the first run, which needs privileges
}

// runPass runs a pass.
func (u *unixTaps) runPass() error {
	_, err := u.pass.loaded[0].Programs[observerProgUnixPass].Run(&ebpf.RunOptions{})
	return err
}

// loaded returns the taps, none if they could not be loaded.
func (u *unixTaps) loaded() taps {
	if u.calls == nil {
		return nil
	}
	if u.pass == nil {
		return taps{u.calls, u.listing}
	}
	return taps{u.calls, u.listing, u.pass}
}

// UnixLimit returns why Unix sockets cannot be observed on this machine; nil if they can.
func (p *Probes) UnixLimit() error {
	o := p.take()
	if o == nil {
		return os.ErrClosed
	}
	defer p.giveBack()
	return o.unix.err
}

// SetPaths replaces the observed paths of Unix sockets, and attaches or detaches their tap. List
// the connections afterwards: only then a new connection can be told from an older one. The error
// matches ErrNoUnix if there are paths and this machine or backend cannot observe Unix sockets.
// After Release it is os.ErrClosed. One goroutine may call it at a time.
func (p *Probes) SetPaths(paths []Path) error {
	o := p.take()
	if o == nil {
		return fmt.Errorf("set paths: %w", os.ErrClosed)
	}
	defer p.giveBack()
	if len(o.unix.loaded()) == 0 {
		if len(paths) == 0 {
			return nil
		}
		return o.unix.err
	}
	if err := o.setPaths(paths); err != nil {
		return fmt.Errorf("set paths: %w", err)
	}
	switch {
	case len(paths) > 0 && p.paths == nil:
		if err := o.forgetUnixSockets(); err != nil {
			return fmt.Errorf("observe Unix sockets: %w", err)
		}
		attached, err := p.attach(o.unix.calls)
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
			return fmt.Errorf("observe the first Unix socket: %w (the observer may have given up the privilege to attach probes: restart it)", err)
		}
		if err != nil {
			return fmt.Errorf("observe Unix sockets: %w", err)
		}
		p.paths = attached
	case len(paths) == 0 && p.paths != nil:
		attached := p.paths
		p.paths = nil
		return p.detach(attached)
	}
	return nil
}

// setPaths writes the paths to the map of the probes, and makes the verdict of every socket void.
func (o *owned) setPaths(paths []Path) error {
	m := o.shared.Maps[observerMapUnixPaths]
	wanted := make(map[observerUnixName]observerUnixPath, len(paths))
	for _, path := range paths {
		value := observerUnixPath{Index: path.Index, Role: uint32(observerEventRoleROLE_CLIENT)}
		if path.Server {
			value.Role = uint32(observerEventRoleROLE_SERVER)
		}
		wanted[nameOf(path.Text)] = value
		// /var/run is /run everywhere, and a server may have bound either.
		if rest, found := strings.CutPrefix(path.Text, "/run/"); found && len("/var/run/"+rest) <= maxName {
			wanted[nameOf("/var/run/"+rest)] = value
		}
	}
	unwanted := func(name observerUnixName) bool {
		_, keep := wanted[name]
		return !keep
	}
	if err := deleteKeys[observerUnixPath](m, unwanted); err != nil {
		return err
	}
	for name, value := range wanted {
		if err := m.Put(name, value); err != nil {
			return err
		}
	}
	version, err := o.unixVersion()
	if err != nil {
		return err
	}
	return o.stops.renew(func() error { return o.shared.Variables[observerVarUnixVersion].Set(version + 1) })
}

// forgetUnixSockets removes the states of all sockets. While the tap was detached, sockets may have
// been freed.
func (o *owned) forgetUnixSockets() error {
	return deleteKeys[observerUnixState](o.shared.Maps[observerMapUnixStates], func(uint64) bool { return true })
}

// deleteKeys removes the entries of a map whose keys satisfy a condition.
func deleteKeys[V, K any](m *ebpf.Map, unwanted func(K) bool) error {
	var old []K
	var key K
	var value V
	for entries := m.Iterate(); entries.Next(&key, &value); {
		if unwanted(key) {
			old = append(old, key)
		}
	}
	for _, key := range old {
		if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
	}
	return nil
}

func (o *owned) unixVersion() (version uint32, err error) {
	err = o.shared.Variables[observerVarUnixVersion].Get(&version)
	return version, err
}

// maxName is the length of sun_path.
const maxName = len(observerUnixName{}.Name)

// nameOf returns the name of a Unix socket as the kernel keeps it (struct unix_name).
func nameOf(text string) observerUnixName {
	var name observerUnixName
	for i := range min(len(text), len(name.Name)) {
		name.Name[i] = int8(text[i])
	}
	if text[0] == '@' {
		name.Name[0] = 0
		name.Length = uint32(len(text))
	}
	return name
}

// listUnix lists the observed Unix sockets. From its end on, one that the probes have not seen
// before is a new connection.
func (p *Probes) listUnix(o *owned) error {
	if o.unix.listing == nil {
		return nil
	}
	version, err := o.unixVersion()
	if err != nil || version == 0 {
		return err
	}
	if err := p.iterate(o.unix.listing); err != nil {
		return err
	}
	return o.shared.Variables[observerVarUnixListed].Set(version)
}

// PassUnix makes the kernel write an event for each end of an observed Unix socket that no call
// found. It costs little beside List: it looks only at Unix sockets that the probes have seen. Call
// it regularly; an end may take three calls. It does nothing while no path is observed, and where
// the probes see every end. After Close it ends early, with os.ErrClosed.
func (p *Probes) PassUnix() error {
	o := p.take()
	if o == nil {
		return fmt.Errorf("pass over Unix sockets: %w", os.ErrClosed)
	}
	defer p.giveBack()
	if o.unix.pass == nil {
		return nil
	}
	version, err := o.unixVersion()
	if err != nil || version == 0 {
		return err
	}
	if err := o.unix.runPass(); err != nil {
		return fmt.Errorf("pass over Unix sockets: %w", err)
	}
	return nil
}
