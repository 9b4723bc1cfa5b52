// Package frame finds the TCP segment in a captured packet.
//
// It serves the first stage of kernel → event.Source → parser.Stream → correlate.Tracker →
// metrics.Recorder → /metrics.
//
// It decodes Ethernet, Linux cooked (both versions), BSD loopback and raw IP, with any number of
// VLAN tags; IPv4, and IPv6 with extension headers; and it reassembles fragments. Tunnels and other
// link types are decoded by gopacket's layers, which find the innermost IP header. Plain packets are
// not: gopacket's layers cost more than all later stages. Tests compare the two.
//
// It does not verify checksums, because the network card computes those of outgoing packets after
// the capture. It verifies lengths; a packet with contradictory lengths is Malformed. A packet that
// was cut off by the capture, or sliced by a device before it, is decoded as far as possible, and
// Segment.Missing is the length of the missing payload.
//
// Ownership: a Segment's payload aliases the packet, or the decoder's buffer if it was fragmented,
// until the next call. Only one goroutine may use a Decoder. Its memory is bounded by the constants
// of fragment.go; what does not fit is discarded and counted.
package frame
