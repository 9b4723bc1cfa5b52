// Package identity holds what a connection counts under: a set of labels, as an integer that the tracker and the recorder carry.
//
// A Registry gives each set of label values one ID. An ID can be released when nothing carries it any more; its slot, by which
// others index what they keep for it, then goes to the next new set, with another generation. So an ID that was released never
// stands for the labels of a later one: Values does not find it.
//
// Who may release an ID: the goroutine that runs the tracker and records what it returns, after Tracker.End and Recorder.End of
// that ID. Nobody else can still record it then; a scrape that has just read it finds that it is gone.
package identity

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// ID stands for a set of label values: its slot in the low half, the slot's generation in the high half.
// The first sets of a Registry have the IDs 0, 1, 2 and so on.
type ID uint64

const slotBits = 32

// Slot returns an integer that is dense from 0, and that no other ID of the registry has until this one is released.
func (id ID) Slot() int { return int(uint32(id)) }

// next returns the ID that the slot has after this one.
func (id ID) next() ID { return id + 1<<slotBits }

// Registry gives IDs to sets of label values. Any number of goroutines may use it; Values takes no lock.
type Registry struct {
	labels []string

	mu   sync.Mutex
	ids  map[string]ID // by the values, joined
	free []ID          // the next IDs of the slots that were released

	// slots is replaced to grow it. A slot holds nil while it is free.
	slots atomic.Pointer[[]*atomic.Pointer[entry]]
}

type entry struct {
	id     ID
	values []string
}

// NewRegistry returns a Registry without IDs, for sets of these labels.
func NewRegistry(labels ...string) *Registry {
	r := &Registry{labels: labels, ids: map[string]ID{}}
	r.slots.Store(new([]*atomic.Pointer[entry]))
	return r
}

// Labels returns the names of the labels, in the order of their values. The slice belongs to the registry.
func (r *Registry) Labels() []string { return r.labels }

// Intern returns the ID of a set, a new one if it has none. There is one value for each label.
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

// take returns the ID of a slot that is free, a new one if there is none.
func (r *Registry) take() ID {
	if last := len(r.free) - 1; last >= 0 {
		id := r.free[last]
		r.free = r.free[:last]
		return id
	}
	// Readers hold the old slice: what it shows of the array behind it is not written again.
	slots := append(*r.slots.Load(), new(atomic.Pointer[entry]))
	r.slots.Store(&slots)
	return ID(len(slots) - 1)
}

// keyOf joins values by a byte that no label value has, because label values are UTF-8.
func keyOf(values []string) string { return strings.Join(values, "\xff") }

// Values returns the label values of an ID, false if it was released. The slice belongs to the registry.
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

// IDs returns all IDs that are not released, by their slots.
func (r *Registry) IDs() []ID {
	var ids []ID
	for _, slot := range *r.slots.Load() {
		if e := slot.Load(); e != nil {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// Release ends an ID. The package comment says when it may be called. One that was released already stays so.
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
