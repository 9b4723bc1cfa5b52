// Package reorder puts the bytes of one direction of a connection into order by their offsets,
// whatever their meaning.
//
// Threads that write to one socket side by side, and networks, deliver segments in another order
// than that of their offsets. A Buffer keeps the offset of the next byte, cuts off bytes that have
// passed already, and copies the segments that come too early. Which segments may be given up,
// and when, is the caller's decision: it asks for the hole before the first one, or for its
// deadline.
//
// Bounds: Limits are those of one Buffer. The sum over all Buffers is the caller's budget, by
// Segment.Cost. A Buffer belongs to one goroutine. The zero value is ready, and holds no memory
// while nothing waits.
package reorder
