package bpf

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
)

func TestOnlineProcessors(t *testing.T) {
	for list, want := range map[string]uint32{"0\n": 1, "0-1\n": 2, "0,2-7,11\n": 12} {
		path := filepath.Join(t.TempDir(), "online")
		require.NoError(t, os.WriteFile(path, []byte(list), 0o600))
		got, err := onlineProcessors(path)
		require.NoError(t, err)
		assert.Equal(t, want, got, list)
	}
	for _, list := range []string{"", "\n", "0-x\n"} {
		path := filepath.Join(t.TempDir(), "online")
		require.NoError(t, os.WriteFile(path, []byte(list), 0o600))
		_, err := onlineProcessors(path)
		assert.ErrorContains(t, err, path, list)
	}
}

// On arm64 before Linux 5.18 nothing but the exchanges of store_release may change.
func TestStoresWithoutRelease(t *testing.T) {
	spec := &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{"program": {Instructions: asm.Instructions{
		asm.Xchg.Mem(asm.R6, asm.R1, asm.DWord, 8),
		asm.Xchg.Mem(asm.R6, asm.R1, asm.Word, 8),
		asm.AddAtomic.Mem(asm.R6, asm.R1, asm.DWord, 8),
		asm.Return(),
	}}}}
	storesWithoutRelease(spec)
	assert.Equal(t, asm.Instructions{
		asm.StoreMem(asm.R6, 8, asm.R1, asm.DWord),
		asm.Xchg.Mem(asm.R6, asm.R1, asm.Word, 8),
		asm.AddAtomic.Mem(asm.R6, asm.R1, asm.DWord, 8),
		asm.Return(),
	}, spec.Programs["program"].Instructions)
}

// The program for arm64 has an exchange where that of amd64 has a store, or the rings would be read before they are written.
func TestArm64ReleasesStores(t *testing.T) {
	spec, err := ebpf.LoadCollectionSpec("observer_arm64_bpfel.o")
	require.NoError(t, err)
	exchanges := 0
	for _, program := range spec.Programs {
		for _, instruction := range program.Instructions {
			if instruction.OpCode == asm.Xchg.OpCode(asm.DWord) {
				exchanges++
			}
		}
	}
	assert.Positive(t, exchanges)
	storesWithoutRelease(spec)
	stores := 0
	for name, program := range spec.Programs {
		for _, instruction := range program.Instructions {
			require.NotEqual(t, asm.Xchg.OpCode(asm.DWord), instruction.OpCode, name)
			if instruction.OpCode == asm.StoreMemOp(asm.DWord) {
				require.Zero(t, instruction.Constant, "kernels refuse a store with a reserved field: %s", name)
				stores++
			}
		}
	}
	assert.GreaterOrEqual(t, stores, exchanges)
}

func TestCompilesExchanges(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	assert.Equal(t, features.HaveProgramHelper(ebpf.Kprobe, asm.FnTaskStorageGet) == nil, compilesExchanges(),
		"this machine's kernel has task storage as long as exchanges: from 5.11 and 5.12 on")
}
