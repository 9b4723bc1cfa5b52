package bpf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"

	"github.com/redis-observer/redis-observer/internal/host"
)

// ErrNoTLS is in the error of WatchTLS if the probes cannot read TLS connections on this machine.
var ErrNoTLS = errors.New("cannot read TLS connections")

var (
	errTLSOff   = errors.New("it is switched off")
	errNoCookie = errors.New("the kernel does not tell a program at which instruction of a library it runs; that needs Linux 5.15")
	errTooMany  = fmt.Errorf("more than %d libraries are probed", tlsAttachments-1)
)

const (
	tlsAttachments = 4096  // TLS_ATTACHMENTS of tls.h; the first is never used
	tlsConnections = 16384 // bound at once
	tlsPending     = 4096  // records that are written to BIOs and not sent yet, of objects that are not bound
	tlsHeld        = 512   // objects whose plaintext is held until they are bound
	tlsUsers       = 4096  // processes
	// Of each CPU, where the kernel can preempt the probes: SCRATCH_COUNT and TLS_MOST_SCRATCHES.
	scratchCount, tlsMostScratches = 2, 6
)

// tlsMaps are the maps of the programs for TLS, and how many entries they have.
var tlsMaps = map[string]uint32{
	observerMapTlsTasks:    0,
	observerMapTlsConns:    tlsConnections,
	observerMapTlsObjects:  tlsConnections,
	observerMapTlsBios:     2 * tlsConnections,
	observerMapTlsPending:  tlsPending,
	observerMapTlsHeld:     tlsHeld,
	observerMapTlsUsers:    tlsUsers,
	observerMapTlsOpened:   tlsConnections,
	observerMapGoCalls:     tlsConnections,
	observerMapTlsAttached: tlsAttachments,
	observerMapTlsStops:    0,
	observerMapTlsPlain:    0,
}

// tlsEndMaps are those of them that the program which reports the ends of connections uses too.
var tlsEndMaps = []string{observerMapTlsConns, observerMapTlsStops}

// tlsTaps are the taps of TLS: the socket calls, whose programs those of TCP continue with
// (continuations); the life of the sockets; and the program for the points of libraries, which is attached to one
// library at a time (AttachPoints). A kernel may be able to observe TCP but not these, so a failure
// to load them is kept until they are needed.
type tlsTaps struct {
	calls, life, points *tap
	err                 error // why they could not be loaded; matches ErrNoTLS
}

// tlsLibraries are the attachments that are in use.
type tlsLibraries struct {
	lock     sync.Mutex
	watching bool // the taps of the socket calls and of the life are attached
	used     map[uint16]bool
	next     uint16
}

var tlsLifeHooks = []hook{
	{observerProgTlsState, attachTracing},
	{observerProgTlsEnd, attachTracing},
}

// load loads the taps, or sets err.
func (t *tlsTaps) load(b *backend, on bool, object *ebpf.CollectionSpec, shared map[string]*ebpf.Map, types *btf.Cache) {
	if err := t.tryLoad(b, on, object, shared, types); err != nil {
		t.loaded().close()
		*t = tlsTaps{err: fmt.Errorf("%w with backend %s: %w", ErrNoTLS, b.name, err)}
	}
}

func (t *tlsTaps) tryLoad(b *backend, on bool, object *ebpf.CollectionSpec, shared map[string]*ebpf.Map, types *btf.Cache) error {
	if err := b.tlsLimit(on); err != nil {
		return err
	}
	t.calls = &tap{duplicates: b.duplicates()}
	for _, program := range b.tls {
		t.calls.hooks = append(t.calls.hooks, hook{program: program})
	}
	t.life = &tap{hooks: tlsLifeHooks, duplicates: lifeDuplicates()}
	t.points = &tap{hooks: []hook{{program: observerProgTlsPoint}}, duplicates: 1}
	return t.loaded().load(object, shared, types)
}

// tlsLimit returns why the backend evidently cannot read TLS connections here; nil if it may. on: they are to be read.
func (b *backend) tlsLimit(on bool) error {
	switch {
	case !on:
		return errTLSOff
	case len(b.tls) == 0:
		return errors.New("it has no programs for them")
	case errors.Is(features.HaveProgramHelper(ebpf.Kprobe, asm.FnGetAttachCookie), ebpf.ErrNotSupported):
		return errNoCookie
	}
	return nil
}

// loaded returns the taps, none if they could not be loaded.
func (t *tlsTaps) loaded() taps {
	if t.calls == nil {
		return nil
	}
	return taps{t.calls, t.life, t.points}
}

// prepareTLS sets the sizes of the maps for TLS, or removes those that nothing else needs if it is off, and chooses how
// the program for the points of libraries is attached. preemptible: the kernel can preempt the
// probes.
func prepareTLS(spec *ebpf.CollectionSpec, on, preemptible bool) error {
	for name, entries := range tlsMaps {
		switch {
		case !on && slices.Contains(tlsEndMaps, name):
			spec.Maps[name].MaxEntries = 1
		case !on:
			delete(spec.Maps, name)
		case entries > 0:
			spec.Maps[name].MaxEntries = entries
		}
	}
	if on && features.HaveMapType(ebpf.TaskStorage) != nil {
		// Before 5.11 the programs for TLS do not load; the maps must not fail for it.
		tasks := spec.Maps[observerMapTlsTasks]
		tasks.Type, tasks.Flags, tasks.MaxEntries = ebpf.Hash, 0, 1
	}
	if on && !AttachesTogether() {
		spec.Programs[observerProgTlsPoint].AttachType = ebpf.AttachNone
	}
	if !on || !preemptible {
		return nil
	}
	scratches := &spec.Maps[observerMapScratches].MaxEntries
	first := *scratches
	*scratches += scratchCount * tlsMostScratches
	return setConstants(spec, map[string]any{observerVarTlsScratches: first})
}

// TLSLimit returns why TLS connections cannot be read on this machine; nil if they can.
func (p *Probes) TLSLimit() error {
	o := p.take()
	if o == nil {
		return os.ErrClosed
	}
	defer p.giveBack()
	return o.tls.err
}

// WatchTLS attaches the taps of TLS connections; a second call has no effect. From then on the
// probes report each process that moves TLS records on an observed socket outside of the calls of a
// probed library (TLSUser). The error matches ErrNoTLS if this machine or backend cannot read TLS
// connections. After Close it is os.ErrClosed.
func (p *Probes) WatchTLS() error {
	o := p.take()
	if o == nil {
		return fmt.Errorf("watch TLS connections: %w", os.ErrClosed)
	}
	defer p.giveBack()
	if o.tls.err != nil {
		return o.tls.err
	}
	p.libraries.lock.Lock()
	defer p.libraries.lock.Unlock()
	if p.libraries.watching {
		return nil
	}
	life, err := p.attach(o.tls.life)
	if err == nil {
		if err = o.tls.continueCalls(o.shared.Maps); err != nil {
			err = errors.Join(err, p.detach(life))
		}
	}
	if err != nil {
		return fmt.Errorf("watch TLS connections: %w", err)
	}
	p.libraries.watching = true
	return nil
}

// continuations are the maps by which the programs of the socket calls continue with those for ciphertext, by program.
var continuations = map[string]string{
	observerProgFentryTlsSent:         observerMapTlsSent,
	observerProgFentryTlsReceived:     observerMapTlsReceived,
	observerProgTracepointTlsSent:     observerMapTlsSent,
	observerProgTracepointTlsReceived: observerMapTlsReceived,
}

// continueCalls makes the programs of the socket calls continue with those for ciphertext, until the maps are closed.
func (t *tlsTaps) continueCalls(shared map[string]*ebpf.Map) error {
	for duplicate, loaded := range t.calls.loaded {
		for name, program := range loaded.Programs {
			if err := shared[continuations[name]].Put(uint32(duplicate), program); err != nil {
				return fmt.Errorf("continue with %s: %w", name, err)
			}
		}
	}
	return nil
}

// PointProgram returns the program for AttachPoints, a copy with a descriptor of its own that the
// caller must close; nil if this machine cannot read TLS connections, or after Release.
func (p *Probes) PointProgram() (*ebpf.Program, error) {
	o := p.take()
	if o == nil {
		return nil, os.ErrClosed
	}
	defer p.giveBack()
	if o.tls.err != nil {
		return nil, o.tls.err
	}
	return o.tls.points.loaded[0].Programs[observerProgTlsPoint].Clone()
}

// BeginLibrary reserves the attachment of a library. Give it to AttachPoints, then to
// LibraryAttached, and to EndLibrary when the library is detached or could not be attached.
func (p *Probes) BeginLibrary() (attachment uint16, err error) {
	l := &p.libraries
	l.lock.Lock()
	defer l.lock.Unlock()
	if len(l.used) == tlsAttachments-1 {
		return 0, errTooMany
	}
	if l.used == nil {
		l.used = make(map[uint16]bool)
	}
	for {
		l.next = l.next%(tlsAttachments-1) + 1
		if !l.used[l.next] {
			l.used[l.next] = true
			return l.next, nil
		}
	}
}

// LibraryAttached notes that all points of a library are probed: of a connection that is
// established from now on, no plaintext is missed.
func (p *Probes) LibraryAttached(attachment uint16) error {
	return p.setAttached(attachment, uint64(host.Monotonic()))
}

// EndLibrary gives an attachment back. The links of the library must be closed.
func (p *Probes) EndLibrary(attachment uint16) error {
	err := p.setAttached(attachment, 0)
	p.libraries.lock.Lock()
	defer p.libraries.lock.Unlock()
	delete(p.libraries.used, attachment)
	return err
}

func (p *Probes) setAttached(attachment uint16, since uint64) error {
	o := p.take()
	if o == nil {
		return fmt.Errorf("note an attached library: %w", os.ErrClosed)
	}
	defer p.giveBack()
	if o.tls.err != nil {
		return o.tls.err
	}
	if err := o.shared.Maps[observerMapTlsAttached].Put(uint32(attachment), since); err != nil {
		return fmt.Errorf("note an attached library: %w", err)
	}
	return nil
}

// Point is an instruction of a TLS library at which a program runs.
type Point struct {
	Function string      // of the library, as in SSL_write
	End      bool        // the function's result is in its register; else its arguments are in theirs
	Offset   uint64      // of the instruction in the file, in bytes
	Frame    uint16      // bytes between the stack pointer at the instruction and that at the function's entry
	Counters BIOCounters // of BIO_write
}

// BIOCounters are the counters of a BIO, by their distance from its address in bytes: a multiple of 8
// below 2048; 0 where it is not known.
type BIOCounters struct{ Read, Written uint16 }

// word returns the counters in the form that BIO_READ and BIO_WRITTEN of bio.h read.
func (c BIOCounters) word() uint16 { return c.Read/8&0xff | c.Written/8<<8 }

// points are the roles of the functions that can be probed, at their starts and at their ends.
var points = map[string]struct{ start, end observerTlsRole }{
	"SSL_write":     {observerTlsRoleTLS_WRITE_START, observerTlsRoleTLS_WRITE_END},
	"SSL_write_ex":  {observerTlsRoleTLS_WRITE_EX_START, observerTlsRoleTLS_WRITE_EX_END},
	"SSL_write_ex2": {observerTlsRoleTLS_WRITE_FIFTH_START, observerTlsRoleTLS_WRITE_EX_END},
	"SSL_read":      {observerTlsRoleTLS_READ_START, observerTlsRoleTLS_READ_END},
	"SSL_read_ex":   {observerTlsRoleTLS_READ_EX_START, observerTlsRoleTLS_READ_EX_END},
	"SSL_peek":      {observerTlsRoleTLS_OTHER_START, observerTlsRoleTLS_READ_END},
	"SSL_peek_ex":   {observerTlsRoleTLS_OTHER_START, observerTlsRoleTLS_READ_END},
	"SSL_free":      {start: observerTlsRoleTLS_FREE},
	"SSL_clear":     {start: observerTlsRoleTLS_CLEAR},
	"SSL_set_bio":   {start: observerTlsRoleTLS_SET_BIO},
	"BIO_write":     {start: observerTlsRoleTLS_BIO_WRITE},

	"crypto/tls.(*Conn).Write": {observerTlsRoleTLS_GO_WRITE_START, observerTlsRoleTLS_GO_WRITE_END},
	"crypto/tls.(*Conn).Read":  {observerTlsRoleTLS_GO_READ_START, observerTlsRoleTLS_GO_READ_END},
}

// cookie returns the cookie of a point, in the form that TLS_COOKIE_ROLE and the like of tls.h read.
func (p *Point) cookie(attachment uint16) (uint64, error) {
	roles := points[p.Function]
	role := roles.start
	if p.End {
		role = roles.end
	}
	if role == 0 {
		return 0, fmt.Errorf("probe %s: no program runs there", p.Function)
	}
	return uint64(role) | uint64(p.Frame)<<16 | uint64(p.Counters.word())<<32 | uint64(attachment)<<48, nil
}

// AttachPoints attaches the program of PointProgram to points of the file at a path, in all
// processes that have mapped it or will. Any process that has the program may call it. Closing the
// result detaches.
func AttachPoints(program *ebpf.Program, path string, points []Point, attachment uint16) (io.Closer, error) {
	file, err := link.OpenExecutable(path)
	if err != nil {
		return nil, fmt.Errorf("open library: %w", err)
	}
	options := new(link.UprobeMultiOptions)
	for i := range points {
		cookie, err := points[i].cookie(attachment)
		if err != nil {
			return nil, err
		}
		options.Addresses = append(options.Addresses, points[i].Offset)
		options.Cookies = append(options.Cookies, cookie)
	}
	if AttachesTogether() {
		multi, err := file.UprobeMulti(nil, program, options)
		if err != nil {
			return nil, fmt.Errorf("attach to library: %w", err)
		}
		return multi, nil
	}
	single := new(attached)
	for i, address := range options.Addresses {
		l, err := file.Uprobe("", program, &link.UprobeOptions{Address: address, Cookie: options.Cookies[i]})
		if err != nil {
			return nil, fmt.Errorf("attach to library: %w", errors.Join(err, single.detach()))
		}
		single.links = append(single.links, l)
	}
	return single, nil
}

// Close detaches.
func (a *attached) Close() error { return a.detach() }
