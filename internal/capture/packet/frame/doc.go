// Package frame finds the TCP segment in a captured packet.
//
// It serves the first stage of kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics.
//
// Ethernet, Linux cooked (both versions), BSD loopback and raw IP are understood, with any number of VLAN tags; IPv4 and IPv6
// with extension headers; fragments are put together. It is written by hand because gopacket's layers cost more per packet
// than everything that follows; the tests hold the two against each other.
//
// Checksums are not verified: where packets are captured on their way out, the network card has yet to fill them in. Lengths
// are, and a packet that contradicts itself is Malformed. A packet of which the capture kept only a part is read as far as
// it goes: Segment.Missing says what the rest of the payload is.
//
// Ownership: a Segment's payload aliases the packet, or the decoder's buffer if it came in fragments, until the next call.
// A Decoder belongs to one goroutine. Its memory is bounded by the constants of fragment.go; what does not fit is counted.
package frame
