package pcap

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhyNotTheLibrary shows why pcapgo cannot read captures of unknown origin. When it fails after
// an update of gopacket, ask again whether this package is needed; BenchmarkDecode of package
// capture and test/replay show the cost of the library.
func TestWhyNotTheLibrary(t *testing.T) {
	t.Run("link types have eight bits", func(t *testing.T) {
		const sll2 = 276
		file := sample().Pcap()
		binary.LittleEndian.PutUint32(file[20:], sll2)
		r, err := pcapgo.NewReader(bytes.NewReader(file))
		require.NoError(t, err)
		assert.EqualValues(t, sll2&0xff, r.LinkType())

		packets, err := read(t, file)
		require.NoError(t, err)
		assert.EqualValues(t, sll2, packets[0].Link)
	})
	t.Run("a time resolution divides by zero", func(t *testing.T) {
		file := bytes.Join([][]byte{section(), described(1, option(optionResolution, 64), option(optionEnd)), enhanced(0, 1, []byte("a"))}, nil)
		assert.Panics(t, func() {
			r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
			require.NoError(t, err)
			_, _, _ = r.ReadPacketData()
		})

		_, err := read(t, file)
		assert.ErrorContains(t, err, "time resolution")
	})
	t.Run("a packet takes the memory that it claims to need", func(t *testing.T) {
		const claimed = 100 << 20
		file := sample().Pcap()[:fileHeader+recordHeader]
		binary.LittleEndian.PutUint32(file[16:], 1<<32-1) // the snap length, which is as hostile
		binary.LittleEndian.PutUint32(file[fileHeader+8:], claimed)
		binary.LittleEndian.PutUint32(file[fileHeader+12:], claimed)
		assert.Greater(t, allocated(func() {
			r, err := pcapgo.NewReader(bytes.NewReader(file))
			require.NoError(t, err)
			_, _, err = r.ReadPacketData()
			assert.Error(t, err)
		}), uint64(claimed))

		assert.Less(t, allocated(func() {
			_, err := read(t, file)
			assert.ErrorContains(t, err, "has a length of")
		}), uint64(bufferSize))
	})
}

// allocated returns how many bytes a function allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
