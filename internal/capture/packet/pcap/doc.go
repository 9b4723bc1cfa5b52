// Package pcap reads packets from capture files: pcap and pcapng, plain or compressed with gzip or
// zstd.
//
// It serves the first stage of kernel → event.Source → parser.Stream → correlate.Tracker →
// metrics.Recorder → /metrics.
//
// gopacket's pcapgo reads pcap files. pcapng files are read by this package, because pcapgo reads beyond
// the blocks of damaged ones, and says not all losses that they note
// (docs/decisions/0011-own-packet-readers.md).
//
// Ownership: Packet.Data aliases the reader's buffer and is valid until the next call of Next. Only
// one goroutine may use a Reader.
//
// Bounds: a Reader has buffers of less than 4 MiB for any file, and the memory for decompression. A
// longer packet or block is a fault, or is skipped.
//
// Errors: Next returns io.EOF at the regular end of a file, and a *Fault where it is damaged. A
// Fault has the file, the offset, the cause and the remedy. Next returns the packets before the
// damage, and none after it.
package pcap
