package pcap

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxZstdWindow limits the memory that a zstd file may request, in bytes: the default limit of
// zstd.
const maxZstdWindow = 128 << 20

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// decompress returns a reader of the decompressed content; of the file itself if it is not
// compressed.
func decompress(name string, input io.Reader) (plain io.Reader, closeAll func(), err error) {
	buffered := bufio.NewReaderSize(input, 64<<10)
	magic, _ := buffered.Peek(len(zstdMagic)) // the format's reader reports a file that is too short
	switch {
	case bytes.HasPrefix(magic, gzipMagic):
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, nil, &Fault{File: name, Cause: fmt.Sprintf("has no valid gzip header: %s", err), Remedy: "the file is damaged"}
		}
		return unzipped, func() { _ = unzipped.Close() }, nil // the checksum was verified at the end of the file, if that was reached
	case bytes.HasPrefix(magic, zstdMagic):
		unpacked, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, nil, &Fault{File: name, Cause: fmt.Sprintf("has no valid zstd header: %s", err), Remedy: "the file is damaged"}
		}
		return unpacked, unpacked.Close, nil
	}
	return buffered, func() {}, nil
}
