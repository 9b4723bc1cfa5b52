package bpf

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/rlimit"

	"github.com/redis-observer/redis-observer/internal/host"
)

// Options are the settings of Open. All are required.
type Options struct {
	RingSize                 uint32        // bytes, a power of two and a multiple of the page size
	MaxBytes                 uint32        // payload copied of one socket call
	FlushInterval            time.Duration // the longest that an event waits
	ClientPorts, ServerPorts []uint16      // the ports of the remote end of clients, and of the local end of servers
	Paths                    []Path        // of the Unix sockets to observe; may be empty
	TLS                      bool          // read TLS connections, once WatchTLS is called
	Owners                   bool          // report cgroups and executables
	Arrivals                 bool          // report when received bytes became readable
}

// Open loads all taps, with the socket calls by the named backend, and attaches those of the socket
// calls and of the life of connections. The caller must Close and Release the probes. An error
// includes a remedy where one is known, and nothing remains attached or loaded then.
func Open(name string, options Options) (probes *Probes, err error) {
	i := slices.IndexFunc(backends, func(b backend) bool { return b.name == name })
	if i < 0 {
		return nil, fmt.Errorf("open backend %s: unknown", name)
	}
	b := &backends[i]
	defer runtime.KeepAlive(decoded()) // for one decoding by all that is called
	if err := b.enoughDescriptors(); err != nil {
		return nil, fmt.Errorf("use backend %s: %w", name, err)
	}
	if err := b.missing(); err != nil {
		return nil, fmt.Errorf("use backend %s: %w", name, explain(err))
	}
	o := &owned{}
	p := &Probes{backend: name, shares: newShares(o)}
	defer func() {
		if err != nil {
			_ = p.Close()
			p.Release()
			err = fmt.Errorf("use backend %s: %w", name, explain(err))
		}
	}()
	if err := o.load(b, options); err != nil {
		return nil, err
	}
	removeStaleEvents()
	for _, t := range o.first() {
		if _, err := p.attach(t); err != nil {
			return nil, err
		}
	}
	if err := p.SetPaths(options.Paths); err != nil && !errors.Is(err, ErrNoUnix) {
		return nil, err
	}
	p.reader = &reader{o.merge, o.waiter, o.stops}
	return p, nil
}

// load creates the maps, loads the programs of all taps, and maps the memory that user space shares
// with them.
func (o *owned) load(b *backend, options Options) error {
	if err := ringBuffer(); errors.Is(err, errNoRingBuffer) {
		return err
	}
	// Before Linux 5.11 maps count against RLIMIT_MEMLOCK; later it is not needed and may not be
	// allowed.
	if err := rlimit.RemoveMemlock(); err != nil && features.HaveMapType(ebpf.TaskStorage) != nil {
		return fmt.Errorf("raise RLIMIT_MEMLOCK: %w: %w", errMemlock, err)
	}
	o.socket, o.life, o.listing = b.socketTap(), lifeTap(), listingTap()
	if options.Arrivals {
		if err := missingTracepoints(arrivalTracepoint); err != nil {
			return err
		}
		o.arrivals = arrivalTap()
	}
	if err := o.loadTaps(b, options); err != nil {
		return err
	}
	var err error
	if o.stops, err = openStops(o.shared.Maps); err != nil {
		return err
	}
	if err := o.setPorts(options.ClientPorts, options.ServerPorts); err != nil {
		return err
	}
	events := o.shared.Maps[observerMapEvents]
	if o.ring, err = openRing(events); err != nil {
		return err
	}
	var rings []percpuRing
	if rings, o.percpu, err = mapPercpuRings(o.shared.Maps[observerMapPercpuRings]); err != nil {
		return err
	}
	o.merge = newMerge(o.ring, rings)
	silent := o.shared.Maps[observerMapPercpuRings].ValueSize() > percpuRingBytes(0)
	o.waiter, err = openWaiter(events, o.ring, o.shared.Variables[observerVarConsumerState], newPace(options.FlushInterval, silent))
	return err
}

// loadTaps creates the maps, and loads the programs of all taps with them.
func (o *owned) loadTaps(b *backend, options Options) error {
	object, err := b.object(options, o.socket.duplicates)
	if err != nil {
		return err
	}
	types := decoded().kernel
	withoutPrograms := withPrograms(object, func(string) bool { return false })
	if o.shared, err = ebpf.NewCollectionWithOptions(withoutPrograms, ebpf.CollectionOptions{Cache: types}); err != nil {
		return fmt.Errorf("create maps: %w", err)
	}
	if err := append(o.taps(), o.arrivals...).load(object, o.shared.Maps, types); err != nil {
		return err
	}
	o.unix.load(b, object, o.shared.Maps, types)
	o.tls.load(b, options.TLS, object, o.shared.Maps, types)
	return nil
}

// spareDescriptors are for the maps, the reader of the ring buffer, and files that are open only
// briefly.
const spareDescriptors = 48

// enoughDescriptors returns an error if fewer descriptors are available than the backend needs. It
// must be called first: the library's feature probes take a lack of descriptors for a missing
// feature, and cache that result.
func (b *backend) enoughDescriptors() error {
	needed := b.mostDescriptors()
	var held []int
	defer func() {
		for _, fd := range held {
			_ = unix.Close(fd)
		}
	}()
	for len(held) < needed {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			return fmt.Errorf("%w: needs %d, only %d available (raise the limit: ulimit -n, or LimitNOFILE in the service): %w",
				host.ErrFewDescriptors, needed, len(held), err)
		}
		held = append(held, fd)
	}
	return nil
}

// mostDescriptors returns how many descriptors the backend needs at most: one for the program and
// one for the link of each duplicate of each hook. Further hooks are included, because it is too
// early to ask which of them this kernel supports.
func (b *backend) mostDescriptors() int {
	calls := len(b.hooks) + len(b.unix)
	for _, f := range slices.Concat(b.further, b.furtherUnix) {
		calls += len(f.hooks)
	}
	life := len(lifeHooks) + len(tlsLifeHooks)
	return 2*(int(b.duplicates())*(calls+len(b.tls))+int(lifeDuplicates())*life+len(arrivalHooks)+len(listingHooks)+len(unixListing)+1) + spareDescriptors
}

// constants is the name of the map with the variables that are set before loading.
const constants = ".rodata"

// object returns the specification of the object for this kernel. socketDuplicates is how often the
// programs of the socket calls are attached.
func (b *backend) object(options Options, socketDuplicates uint32) (*ebpf.CollectionSpec, error) {
	shared, err := decoded().object()
	if err != nil {
		return nil, fmt.Errorf("read programs: %w", err)
	}
	spec := shared.Copy()
	spec.Maps[observerMapEvents].MaxEntries = options.RingSize
	scratches := spec.Maps[observerMapScratches]
	unixScratch := uint32(0) // where the programs of one CPU run one after the other, all share a scratch
	scratches.MaxEntries *= socketDuplicates
	if socketDuplicates > 1 {
		unixScratch = scratches.MaxEntries
		scratches.MaxEntries *= 2
	}
	if !b.unixByAddress {
		states := spec.Maps[observerMapUnixStates]
		states.MaxEntries *= 4
		states.Flags |= unix.BPF_F_NO_PREALLOC
		spec.Maps[observerMapUnixForeign].MaxEntries = 1
	}
	if !options.Arrivals {
		spec.Maps[observerMapArrivals].MaxEntries = 1
	}
	if !options.Owners {
		spec.Maps[observerMapOwners].MaxEntries = 1
		spec.Maps[observerMapCgroupsTold].MaxEntries = 1
	}
	if features.HaveMapType(ebpf.TaskStorage) != nil {
		// No program uses this map then (current_calls), but the programs need it to load.
		spec.Maps[observerMapCalls] = spec.Maps[observerMapCallsByThread].Copy()
	} else {
		spec.Maps[observerMapCallsByThread].MaxEntries = 1
	}
	rings, ringSize, err := percpuRingsHere(options.RingSize)
	if err != nil {
		return nil, err
	}
	spec.Maps[observerMapPercpuRings].MaxEntries = rings
	spec.Maps[observerMapPercpuRings].ValueSize = percpuRingBytes(ringSize)
	if !releasesStores() {
		storesWithoutRelease(spec)
	}
	if err := prepareTLS(spec, options.TLS, preemptibleHere()); err != nil {
		return nil, err
	}
	for _, name := range continuations {
		spec.Maps[name].MaxEntries = socketDuplicates
	}
	recvmsg, err := kernelFunction("tcp_recvmsg")
	if err != nil {
		return nil, err
	}
	network, err := ownNetwork()
	if err != nil {
		return nil, err
	}
	return spec, setConstants(spec, map[string]any{
		observerVarRecvmsgParameters:   uint32(len(recvmsg.Params)),
		observerVarReadsMptcp:          b.readsMPTCP(),
		observerVarMaxBytes:            options.MaxBytes,
		observerVarFillMark:            uint64(options.RingSize / 4),
		observerVarPercpuRingSize:      uint64(ringSize),
		observerVarOwnNetwork:          network,
		observerVarReadsTls:            b.tlsLimit(options.TLS) == nil,
		observerVarReportOwners:        options.Owners,
		observerVarReportArrivals:      options.Arrivals,
		observerVarUnixScratch:         unixScratch,
		observerVarUnixByAddress:       b.unixByAddress,
		observerVarUnixListedByNetwork: streamsHere().listsUnix,
	})
}

// setConstants sets variables that programs read and that are set before they are loaded.
func setConstants(spec *ebpf.CollectionSpec, values map[string]any) error {
	for name, value := range values {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}
