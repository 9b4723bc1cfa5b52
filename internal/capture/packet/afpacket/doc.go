// Package afpacket reads packets of this machine's network interfaces by an AF_PACKET socket with a ring (TPACKET_V3).
//
// It serves the first stage of kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics.
//
// A classic BPF filter chooses the packets in the kernel: TCP of the observed ports, fragments whose ports it cannot see, on the
// interfaces that were asked for. On loopback, which shows each packet as it leaves and again as it arrives, the former is left out.
// The socket is of the kind that strips the link header, so that interfaces of any kind can be read.
//
// Only the network namespace of the process is seen. CAP_NET_RAW is needed to open, and not afterwards.
//
// Ownership: Packet.Data aliases the ring and is valid until the next call of Next. Next, Wait and Release belong to one
// goroutine, Release last; Dropped, SetPorts, Stop and Wake are for any, before Release.
//
// Bounds: the ring has the size that was asked for. A packet for which it has no room is dropped, and counted by Dropped; of
// one that is longer than SnapLength the rest is cut off, which Packet.Length tells.
package afpacket
