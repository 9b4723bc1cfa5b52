package bpf

import (
	"runtime"
	"runtime/debug"
	"testing"
	"weak"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDecodedIsFreed(t *testing.T) {
	held := decoded()
	runtime.GC()
	assert.Same(t, held, decoded())
	runtime.KeepAlive(held)
	runtime.GC()
	assert.Nil(t, recent.decodings.Value(), "when nobody holds it")
}

// A start decodes once, whatever the garbage collector does meanwhile, and changes nothing that the next one uses.
func TestDecodedOnceForEachStart(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // collects only where this test does
	for _, name := range Backends() {
		t.Run(name, func(t *testing.T) {
			var asked int
			var shared *ebpf.CollectionSpec
			held := decoded()
			object, kept := held.object, weak.Make(held)
			held.object = func() (*ebpf.CollectionSpec, error) {
				asked++
				runtime.GC()
				assert.NotNil(t, kept.Value(), "held by Open")
				var err error
				shared, err = object()
				return shared, err
			}
			defer func() { recent.decodings = weak.Pointer[decodings]{} }()
			_, err := Try(name)
			if asked == 0 {
				t.Skipf("loads no program here: %v", err)
			}
			assert.Equal(t, 1, asked)
			fresh, err := loadObserver()
			require.NoError(t, err)
			assert.Equal(t, fresh.Maps[observerMapEvents].MaxEntries, shared.Maps[observerMapEvents].MaxEntries)
			assert.Len(t, shared.Programs, len(fresh.Programs))
			assert.Equal(t, fresh.Variables[observerVarDuplicates].Value, shared.Variables[observerVarDuplicates].Value)
		})
	}
}
