// Package identity maps sets of label values to integers that the tracker and the recorder carry.
//
// A Registry assigns one ID to each set. An ID can be released once nothing carries it. Its slot,
// the index under which others keep their state, is then reused for the next new set, with a higher
// generation. A released ID therefore never stands for the labels of a later set: Values does not
// find it.
//
// Only the goroutine that runs the tracker and records its results may release an ID, after
// Tracker.End and Recorder.End for that ID. From then on nothing can record it, and a scrape that
// has read it before gets no values for it.
package identity

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// ID is the identity of a set of label values: the slot in the low 32 bits, the generation of the
// slot in the high 32 bits. The first sets of a Registry get the IDs 0, 1, 2 and so on.
type ID uint64

const slotBits = 32

// Slot returns the index of the ID. Slots are dense from 0, and unique among the IDs that are not
// released.
func (id ID) Slot() int { return int(uint32(id)) }

// next returns the next ID of the same slot.
func (id ID) next() ID { return id + 1<<slotBits }

// Registry assigns IDs to sets of label values. It is safe for concurrent use; Values takes no
// lock.
type Registry struct {
	labels []string

	mu   sync.Mutex
	ids  map[string]ID // by keyOf of the values
	free []ID          // the next IDs of free slots

	// slots is append-only and replaced to grow. A free slot holds nil.
	slots atomic.Pointer[[]*atomic.Pointer[entry]]
}

type entry struct {
	id     ID
	values []string
}

// NewRegistry returns an empty Registry for sets with the given label names.
func NewRegistry(labels ...string) *Registry {
	r := &Registry{labels: labels, ids: map[string]ID{}}
	r.slots.Store(new([]*atomic.Pointer[entry]))
	return r
}

// Labels returns the label names, in the order of the values. The slice belongs to the registry.
func (r *Registry) Labels() []string { return r.labels }

// Intern returns the ID of a set and assigns one if needed. It panics unless there is one value per
// label name.
func (r *Registry) Intern(values ...string) ID {
	if len(values) != len(r.labels) {
		panic("identity: not one value for each label")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := keyOf(values)
	if id, found := r.ids[key]; found {
		return id
	}
	id := r.take()
	(*r.slots.Load())[id.Slot()].Store(&entry{id, slices.Clone(values)})
	r.ids[key] = id
	return id
}

// Find returns the ID of a set, or false if it has none.
func (r *Registry) Find(values ...string) (ID, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, found := r.ids[keyOf(values)]
	return id, found
}

// take returns the ID of a free slot, and adds a slot if none is free.
func (r *Registry) take() ID {
	if last := len(r.free) - 1; last >= 0 {
		id := r.free[last]
		r.free = r.free[:last]
		return id
	}
	// Readers may hold the old slice: append does not change the elements that it shows.
	slots := append(*r.slots.Load(), new(atomic.Pointer[entry]))
	r.slots.Store(&slots)
	return ID(len(slots) - 1)
}

// keyOf joins values with a byte that cannot occur in a label value, which is UTF-8.
func keyOf(values []string) string { return strings.Join(values, "\xff") }

// Values returns the values of an ID, or false if the ID is released. The slice belongs to the
// registry.
func (r *Registry) Values(id ID) ([]string, bool) {
	slots := *r.slots.Load()
	if id.Slot() >= len(slots) {
		return nil, false
	}
	if e := slots[id.Slot()].Load(); e != nil && e.id == id {
		return e.values, true
	}
	return nil, false
}

// IDs returns all IDs that are not released, by slot.
func (r *Registry) IDs() []ID {
	var ids []ID
	for _, slot := range *r.slots.Load() {
		if e := slot.Load(); e != nil {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// Release releases an ID. See the package documentation for when it may be called. A second call
// has no effect.
func (r *Registry) Release(id ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	values, found := r.Values(id)
	if !found {
		return
	}
	delete(r.ids, keyOf(values))
	(*r.slots.Load())[id.Slot()].Store(nil)
	r.free = append(r.free, id.next())
}
