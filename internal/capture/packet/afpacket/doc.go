// Package afpacket reads packets of this machine's network interfaces by an AF_PACKET socket with a
// ring (TPACKET_V3).
//
// It serves the first stage of kernel → event.Source → parser.Stream → correlate.Tracker →
// metrics.Recorder → /metrics.
//
// A classic BPF filter selects packets in the kernel: TCP of the observed ports, and fragments
// without ports, on the given interfaces. Loopback shows each packet when it is sent and again when
// it is received; the filter rejects the former. The socket strips the link header, so that all
// kinds of interfaces can be read.
//
// The socket captures only the network namespace of the process. Open needs CAP_NET_RAW; nothing
// else does.
//
// Ownership: Packet.Data aliases the ring and is valid until the next call of Next. Only one
// goroutine may call Next, Wait and Release, Release last. Any goroutine may call Dropped,
// SetPorts, Stop and Wake, before Release.
//
// Bounds: the ring has the given size. A packet for which it has no room is dropped, and counted by
// Dropped. A packet longer than SnapLength is cut off, and Packet.Length is its full length.
package afpacket
