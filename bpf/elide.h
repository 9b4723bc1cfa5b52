/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Value elision: the bodies of long bulk strings are not copied. The probes examine a long call
 * that begins with a request or a reply. If a long bulk string begins near the start of the call,
 * they skip its value, in this call and the following ones. User space sees the offset jump inside
 * a bulk string, where it does not matter.
 *
 * A call may begin with the middle of a payload that looks like this. Then the offset jumps where
 * it must not, and the connection is desynchronised: that is counted, and never gives a wrong
 * number.
 */
#ifndef OBSERVER_ELIDE_H
#define OBSERVER_ELIDE_H

#include "connection.h"

enum {
	LONG_CALL = 2048,	   /* bytes from which on a call is examined */
	ELIDE_MIN_REST = 9,	   /* bytes behind a value from which on they are examined: \r\n$4096\r\n */
	ELIDE_MIN_VALUE = 4096,	   /* bytes from which on a value is elided */
	ELIDE_MAX_VALUE = 1 << 29, /* no server takes a longer value (proto-max-bulk-len) */
	ELIDE_KEEP = 64,	   /* leading bytes of a value that the parser may need */
	ELIDE_LOOKAHEAD = 256,	   /* bytes examined at a time */
	ELIDE_MAX_ARGUMENTS = 8,   /* arguments examined */
	ELIDE_MAX_SEGMENTS = 4,	   /* memory segments that hold the examined bytes */
	ELIDE_MAX_STEPS = 512,	   /* values and memory segments in one call */
};

/*
 * The streams that are in the middle of a long value: a tag of the socket in the upper half of the
 * word, the offset at which the value ends in the lower half. If two streams share a slot, the
 * later one owns it and the other's value is copied. The memory of a socket is soon reused, so the
 * word is cleared where a connection ends and again where the next one begins: a reset connection
 * has already lost its ports when its socket is destroyed, so the probes may not recognise that
 * end.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * SLOTS); /* for each direction */
	__type(key, __u32);
	__type(value, __u64);
} elisions SEC(".maps");

/* The word of a stream; never NULL. */
static __always_inline __u64 *elision_of(__u64 conn, __u32 direction)
{
	__u32 slot = direction * SLOTS + slot_of(conn);

	return bpf_map_lookup_elem(&elisions, &slot);
}

static __always_inline __u64 elision_word(__u64 conn, __u32 until)
{
	return (__u64)tag_of(conn) << 32 | until;
}

/*
 * The bytes of the value that are left at offset seq; 0 if the word is another stream's or the
 * value has ended.
 */
static __always_inline __u32 elision_left(__u64 word, __u64 conn, __u32 seq)
{
	__u32 left = (__u32)word - seq;

	return word == elision_word(conn, word) && left <= ELIDE_MAX_VALUE ? left : 0;
}

/* True if n bytes from offset seq on lie inside an elided value. */
static __always_inline bool within_elided_value(__u64 conn, __u32 direction, __u32 seq, __u32 n)
{
	__u64 *word = elision_of(conn, direction);

	return word && elision_left(*word, conn, seq) > n;
}

/* Clears the word of a stream. Returns the bytes of its value that were left at offset seq. */
static __always_inline __u32 take_elision(__u64 *word, __u64 conn, __u32 seq)
{
	__u32 left = elision_left(*word, conn, seq);

	if (*word == elision_word(conn, *word))
		*word = 0;
	return left;
}

/* Clears the words of both streams of a socket, because a connection begins or ends on it. */
static __always_inline void clear_elisions(struct sock *sk)
{
	__u64 conn = address_of(sk);
	__u64 *sent = elision_of(conn, SCRATCH_SEND), *received = elision_of(conn, SCRATCH_RECEIVE);

	if (sent)
		take_elision(sent, conn, 0);
	if (received)
		take_elision(received, conn, 0);
}

/*
 * Reads a RESP number and the end of its line from the payload of a scratch. Returns the number,
 * and in copying.value_at the offset behind its line; 0 and at if there is no number. A global
 * function, because the verifier checks those only once: inlined, it was most of 197,000
 * instructions.
 */
__noinline int read_number(__u32 which, __u32 at)
{
	struct scratch *s = bpf_map_lookup_elem(&scratches, &which);
	__u64 value = 0;
	__u32 i;

	if (!s)
		return 0;
	s->copying.value_at = at;
	for (i = 0; i < 10; i++) {
		__u8 c = s->payload[(at + i) & (ELIDE_LOOKAHEAD - 1)];

		if (c == '\r') {
			s->copying.value_at = at + i + 2;
			return value <= ELIDE_MAX_VALUE ? value : 0;
		}
		if (c < '0' || c > '9')
			break;
		value = value * 10 + c - '0';
	}
	return 0;
}

/*
 * Searches the first bytes of payload, at most ELIDE_LOOKAHEAD, for a long bulk string. A request
 * or a reply begins at lead. Returns the length of the value, 0 if there is none; in
 * copying.value_at the offset at which it begins; in copying.keep how many bytes of it must be
 * copied. Behind the given number of bytes, payload holds bytes of earlier calls.
 */
static __always_inline __u32 find_long_value(struct scratch *s, __u32 which, __u32 lead, __u32 bytes)
{
	__u32 at = lead, parts = 1, length, i;

	if (lead && s->payload[0] != '\r')
		return 0;
	s->copying.keep = ELIDE_KEEP;
	if (s->payload[at & (ELIDE_LOOKAHEAD - 1)] == '*') {
		parts = read_number(which, at + 1);
		at = s->copying.value_at;
	} else if (lead && (s->event.role == ROLE_CLIENT) == (s->event.kind == EVENT_RECEIVED)) {
		/*
		 * Behind a value, the next one is a whole reply or not a first element: its text
		 * has no use.
		 */
		s->copying.keep = 0;
	}
	for (i = 0; i < ELIDE_MAX_ARGUMENTS && i < parts; i++) {
		if (at >= bytes || at > ELIDE_LOOKAHEAD - ELIDE_KEEP - 16 ||
		    s->payload[at & (ELIDE_LOOKAHEAD - 1)] != '$')
			return 0;
		length = read_number(which, at + 1);
		at = s->copying.value_at;
		if (at > bytes)
			return 0;
		if (length >= ELIDE_MIN_VALUE)
			return length;
		if (!length && s->payload[(at - 1) & (ELIDE_LOOKAHEAD - 1)] != '\n')
			return 0;
		at += length + 2;
	}
	return 0;
}

#endif
