package bpf

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/rlimit"

	"github.com/redis-observer/redis-observer/internal/host"
)

// Options say what to observe and how. All are required.
type Options struct {
	RingSize                 uint32 // bytes, a power of two and a multiple of the page size
	MaxBytes                 uint32 // payload copied of one socket call
	FlushInterval            time.Duration
	ClientPorts, ServerPorts []uint16 // the ports of the remote end of clients, and of the local end of servers
}

// Open loads the programs of the backend with that name, attaches them and lists nothing yet.
// On an error nothing remains attached.
func Open(name string, options Options) (probes *Probes, err error) {
	i := slices.IndexFunc(backends, func(b backend) bool { return b.name == name })
	if i < 0 {
		return nil, fmt.Errorf("open backend %s: unknown", name)
	}
	b := &backends[i]
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
	for i, collection := range append([]*ebpf.Collection{o.collection}, o.spares...) {
		if err := p.attach(b.attachments(uint32(i)), collection); err != nil {
			return nil, err
		}
	}
	p.reader = &reader{o.merge, o.waiter, o.stops}
	return p, nil
}

func (p *Probes) attach(attachments []attachment, collection *ebpf.Collection) error {
	for _, a := range attachments {
		attached, err := a.attach(collection.Programs[a.program])
		if err != nil {
			return fmt.Errorf("attach %s: %w", a.program, err)
		}
		p.links = append(p.links, attached)
		if limited, ok := attached.(limitedLink); ok {
			p.limits = append(p.limits, limited.limit)
		}
	}
	return nil
}

func (o *owned) load(b *backend, options Options) error {
	if err := ringBuffer(); errors.Is(err, errNoRingBuffer) {
		return err
	}
	// Before Linux 5.11 maps count against RLIMIT_MEMLOCK; later it is not needed and may not be allowed.
	if err := rlimit.RemoveMemlock(); err != nil && features.HaveMapType(ebpf.TaskStorage) != nil {
		return fmt.Errorf("raise RLIMIT_MEMLOCK: %w: %w", errMemlock, err)
	}
	if err := o.loadCopies(b, options); err != nil {
		return err
	}
	var err error
	if o.stops, err = openStops(o.collection.Maps[observerMapStops], o.collection.Maps[observerMapGenerations],
		o.collection.Maps[observerMapBodies]); err != nil {
		return err
	}
	if err := o.setPorts(options.ClientPorts, options.ServerPorts); err != nil {
		return err
	}
	events := o.collection.Maps[observerMapEvents]
	if o.ring, err = openRing(events); err != nil {
		return err
	}
	var lanes []lane
	if lanes, o.lanes, err = mapLanes(o.collection.Maps[observerMapLanes]); err != nil {
		return err
	}
	o.merge = newMerge(o.ring, lanes)
	o.waiter, err = openWaiter(events, o.collection.Variables[observerVarConsumerState], options.FlushInterval)
	return err
}

// spareDescriptors are for maps, the ring's reader and what is opened for a moment.
const spareDescriptors = 48

// enoughDescriptors tries whether the backend can have the descriptors that it needs. Much of what looks at the kernel takes a failure for the
// kernel's answer, and remembers it: with too few descriptors nothing may be asked.
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
			return fmt.Errorf("%w: %d are needed, %d are left (raise the limit: ulimit -n, or LimitNOFILE in the service): %w",
				host.ErrFewDescriptors, needed, len(held), err)
		}
		held = append(held, fd)
	}
	return nil
}

// mostDescriptors returns how many descriptors the backend needs at most: a program and its link for each attachment, those of further ones
// included, because which of them this kernel has cannot be asked yet.
func (b *backend) mostDescriptors() int {
	own, life := b.copies()
	programs := len(b.programs)
	for _, f := range b.further {
		programs += len(f.programs)
	}
	return 2*int(own)*programs + 2*int(life)*len(lifecycle) + len(listings) + spareDescriptors
}

// loadCopies loads the programs as often as this kernel needs them. All copies share the maps of the first, but for their constants.
func (o *owned) loadCopies(b *backend, options Options) error {
	own, life := b.copies()
	for copy := range max(own, life) {
		spec, err := b.spec(options, copy)
		if err != nil {
			return err
		}
		shared := make(map[string]*ebpf.Map)
		if copy > 0 {
			shared = maps.Clone(o.collection.Maps)
			delete(shared, constants)
		}
		collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
		if err != nil {
			return fmt.Errorf("load programs: %w", err)
		}
		if copy == 0 {
			o.collection = collection
		} else {
			o.spares = append(o.spares, collection)
		}
	}
	return nil
}

// constants is the map of the variables that are set before loading.
const constants = ".rodata"

// spec returns the programs of one copy, made for this kernel.
func (b *backend) spec(options Options, copy uint32) (*ebpf.CollectionSpec, error) {
	spec, err := loadObserver()
	if err != nil {
		return nil, fmt.Errorf("read programs: %w", err)
	}
	b.prune(spec, copy)
	spec.Maps[observerMapEvents].MaxEntries = options.RingSize
	own, _ := b.copies()
	spec.Maps[observerMapScratches].MaxEntries *= own
	if features.HaveMapType(ebpf.TaskStorage) != nil {
		// No program reaches it then (current_calls), but it must exist for the programs to load.
		spec.Maps[observerMapCalls] = spec.Maps[observerMapCallsByThread].Copy()
	} else {
		spec.Maps[observerMapCallsByThread].MaxEntries = 1
	}
	lanes, laneSize, err := lanesHere(options.RingSize)
	if err != nil {
		return nil, err
	}
	spec.Maps[observerMapLanes].MaxEntries = lanes
	spec.Maps[observerMapLanes].ValueSize = laneBytes(laneSize)
	recvmsg, err := kernelFunction("tcp_recvmsg")
	if err != nil {
		return nil, err
	}
	network, err := ownNetwork()
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]any{
		observerVarRecvmsgParameters: uint32(len(recvmsg.Params)),
		observerVarReadsMptcp:        b.readsMPTCP(),
		observerVarMaxBytes:          options.MaxBytes,
		observerVarFillMark:          uint64(options.RingSize / 4),
		observerVarLaneSize:          uint64(laneSize),
		observerVarOwnNetwork:        network,
		observerVarCopies:            own,
		observerVarCopy:              copy,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	return spec, nil
}
