package bpf

import (
	"maps"
	"sync"
	"weak"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// decodings are what starting decodes. No caller may change them.
type decodings struct {
	kernel *btf.Cache                           // the types of the running kernel
	object func() (*ebpf.CollectionSpec, error) // the programs and maps of this program
}

var recent struct {
	lock      sync.Mutex
	decodings weak.Pointer[decodings]
}

// decoded returns the same decodings to all callers as long as one of them holds them: decoding takes
// a third of the CPU time of a start, but the megabytes are not needed later. Any goroutine may call it.
func decoded() *decodings {
	recent.lock.Lock()
	defer recent.lock.Unlock()
	if d := recent.decodings.Value(); d != nil {
		return d
	}
	d := &decodings{btf.NewCache(), sync.OnceValues(loadObserver)}
	recent.decodings = weak.Make(d)
	return d
}

// withPrograms returns a copy of a specification with the wanted programs only. To copy first and
// delete then would copy the instructions of all.
func withPrograms(object *ebpf.CollectionSpec, wanted func(name string) bool) *ebpf.CollectionSpec {
	part := *object
	part.Programs = maps.Clone(object.Programs)
	maps.DeleteFunc(part.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return !wanted(name) })
	return part.Copy()
}
