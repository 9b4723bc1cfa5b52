// Package reorder puts the bytes of one direction of a connection into order by their offsets. It
// knows nothing of RESP.
//
// Threads that write to one socket side by side, and networks, deliver segments in another order
// than that of their offsets. A Buffer knows the offset of the next byte, cuts off what has passed
// already, and keeps copies of the segments that come too early. Which segments may be given up,
// and when, is the caller's decision: it asks for the hole before the first one, or for its
// deadline.
//
// Bounds: Limits are those of one Buffer. What all Buffers hold together is the caller's budget, by
// Segment.Cost. A Buffer belongs to one goroutine. The zero value is ready, and holds no memory
// while nothing waits.
package reorder
