package pcap

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhyNotTheLibrary shows why gopacket reads pcap files here, but not pcapng files. When it fails
// after an update of gopacket, ask again whether blocks is needed; BenchmarkReaders and the row
// "gopacket, decoding only" of test/replay have the cost of the library.
func TestWhyNotTheLibrary(t *testing.T) {
	library := func(t *testing.T, file []byte) *pcapgo.NgReader {
		t.Helper()
		r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.NgReaderOptions{WantMixedLinkType: true})
		require.NoError(t, err)
		return r
	}
	t.Run("a packet longer than its block gets the bytes of the next", func(t *testing.T) {
		wrong := enhanced(0, 1, []byte("abcd"))
		wrong[20] = 24
		file := bytes.Join([][]byte{section(), described(1), wrong, enhanced(0, 2, []byte("ef"))}, nil)
		data, _, err := library(t, file).ReadPacketData()
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.Len(t, data, 24, "though the block has 4")

		_, err = read(t, file)
		assert.ErrorContains(t, err, "at byte 48: a packet has a length of 24 bytes in a block of 24")
	})
	t.Run("an option longer than its block takes the packet behind it", func(t *testing.T) {
		file := bytes.Join([][]byte{section(), described(1, []byte{2, 0, 40, 0}), enhanced(0, 1, []byte("abcd"))}, nil)
		_, _, err := library(t, file).ReadPacketData()
		assert.Error(t, err)

		packets, err := read(t, file)
		require.NoError(t, err)
		assert.Len(t, packets, 1)
	})
	t.Run("a file takes memory for any number of interfaces", func(t *testing.T) {
		const interfaces = 20_000
		file := bytes.Join([][]byte{section(), bytes.Repeat(described(1), interfaces)}, nil)
		r := library(t, file)
		_, _, err := r.ReadPacketData()
		require.ErrorIs(t, err, io.EOF)
		assert.Equal(t, interfaces, r.NInterfaces())

		_, err = read(t, file)
		assert.ErrorContains(t, err, "one too many")
	})
	t.Run("losses by the system are not read", func(t *testing.T) {
		content := append(make([]byte, 12), option(optionDroppedBySystem, 4, 0, 0, 0, 0, 0, 0, 0)...)
		r := library(t, bytes.Join([][]byte{section(), described(1), block(blockStatistics, append(content, option(optionEnd)...))}, nil))
		_, _, err := r.ReadPacketData()
		require.ErrorIs(t, err, io.EOF)
		described, err := r.Interface(0)
		require.NoError(t, err)
		assert.Equal(t, uint64(pcapgo.NgNoValue64), described.Statistics.PacketsDropped)
	})
	t.Run("binary resolutions are inexact", func(t *testing.T) {
		file := bytes.Join([][]byte{section(), described(1, option(optionResolution, 0x80|10)), enhanced(0, 512, []byte("a"))}, nil)
		_, info, err := library(t, file).ReadPacketData()
		require.NoError(t, err)
		assert.NotEqual(t, 500*time.Millisecond, time.Duration(info.Timestamp.UnixNano()))

		packets, err := read(t, file)
		require.NoError(t, err)
		assert.Equal(t, 500*time.Millisecond, time.Duration(packets[0].Time))
	})
}
