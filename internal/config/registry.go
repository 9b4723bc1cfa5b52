package config

import (
	"sync"
	"sync/atomic"

	"github.com/redis-observer/redis-observer/internal/correlate"
)

// Registry gives every logical name a small integer that stays the same while the process lives.
// It is safe for use by any number of goroutines; Name takes no lock.
type Registry struct {
	mu    sync.Mutex
	ids   map[string]correlate.NameID
	names atomic.Pointer[[]string]
}

// NewRegistry returns an empty Registry.
func NewRegistry() *Registry {
	r := &Registry{ids: map[string]correlate.NameID{}}
	r.names.Store(new([]string))
	return r
}

// Intern returns the integer of name, a new one if it has none yet.
func (r *Registry) Intern(name string) correlate.NameID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id, known := r.ids[name]; known {
		return id
	}
	// Readers hold the old slice: what it shows of the array behind it is not written again.
	names := append(*r.names.Load(), name)
	id := correlate.NameID(len(names) - 1)
	r.ids[name] = id
	r.names.Store(&names)
	return id
}

// Name returns the name of an integer that Intern gave.
func (r *Registry) Name(id correlate.NameID) string {
	return (*r.names.Load())[id]
}

// Names returns all names, in the order of their integers. The slice belongs to the registry.
func (r *Registry) Names() []string {
	return *r.names.Load()
}
