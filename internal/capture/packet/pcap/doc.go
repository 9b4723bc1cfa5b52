// Package pcap reads packets out of capture files: pcap and pcapng, plain or compressed with gzip or zstd.
//
// It serves the first stage of kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics.
//
// The containers are read here rather than by gopacket's pcapgo, which reserves as much memory as a file asks for and panics on
// some malformed ones, and costs several times as much per packet. The tests hold the two against each other.
//
// Ownership: Packet.Data aliases the reader's buffer and is valid until the next call of Next. A Reader belongs to one goroutine.
//
// Bounds: a Reader keeps one buffer of less than 2 MiB, whatever the file says, besides what the decompression needs; what a
// block claims beyond that is a fault, or is skipped without being kept.
//
// Errors: Next returns io.EOF at the proper end of a file, and a *Fault, which names the file, the offset, the cause and the
// remedy, where it is damaged. Packets before the damage have been returned; after a Fault there are no more.
package pcap
