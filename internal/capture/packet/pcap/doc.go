// Package pcap reads packets from capture files: pcap and pcapng, plain or compressed with gzip or
// zstd.
//
// It serves the first stage of kernel → event.Source → parser.Stream → correlate.Tracker →
// metrics.Recorder → /metrics.
//
// It does not use the pcapgo of gopacket, which costs a multiple per packet, and says neither where
// a file is damaged nor all losses that it notes (docs/decisions/0021-gopacket-for-tunnels.md). Tests
// compare the two.
//
// Ownership: Packet.Data aliases the reader's buffer and is valid until the next call of Next. Only
// one goroutine may use a Reader.
//
// Bounds: a Reader has one buffer of less than 2 MiB for any file, and the memory for
// decompression. A longer block is a fault, or is skipped.
//
// Errors: Next returns io.EOF at the regular end of a file, and a *Fault where it is damaged. A
// Fault has the file, the offset, the cause and the remedy. Next returns the packets before the
// damage, and none after it.
package pcap
