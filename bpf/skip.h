/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Passing over the bodies of long bulk strings. A call that is long and begins with a request or a reply is looked at: if a
 * long bulk string begins near its start, its body is not copied, in this call and in those that follow, up to its end.
 * User space sees a jump of the offsets inside a bulk string, where it does no harm.
 *
 * What a call begins with may be the middle of a payload that looks like this. User space then sees a jump where it is not
 * allowed, which puts the connection out of step: counted, and never a wrong number.
 */
#ifndef OBSERVER_SKIP_H
#define OBSERVER_SKIP_H

#include "connection.h"

enum {
	SKIP_CALL = 2048,	/* a call that is shorter is copied whole */
	SKIP_AGAIN = 9,		/* what is left behind a body is looked at if it is no shorter: \r\n$4096\r\n */
	SKIP_BULK = 4096,	/* a bulk string that is shorter is copied whole */
	SKIP_LONGEST = 1 << 29, /* no server takes a longer one (proto-max-bulk-len) */
	SKIP_KEEP = 64,		/* bytes of a body that the parser may want to see */
	SKIP_LOOK = 256,	/* bytes of a call that are looked at */
	SKIP_PARTS = 8,		/* arguments that are looked at */
	SKIP_PIECES = 4,	/* pieces of memory that they may be in */
	SKIP_TIMES = 512,	/* bodies and pieces of memory in one call */
};

/*
 * The streams in the middle of a long body. A word tells in its upper half which stream is, and in its lower one up to which offset.
 * Of two streams that share a place the later one has it, and the other's body is copied like what is short. The memory of a socket is another
 * one's soon, so a word is forgotten where a connection ends and again where one begins: a connection that was cut off has lost its ports,
 * by which its end would be known, when its memory is freed.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * PLACES); /* of each direction */
	__type(key, __u32);
	__type(value, __u64);
} bodies SEC(".maps");

/* The place of a stream, NULL never. */
static __always_inline __u64 *body_of(__u64 conn, __u32 direction)
{
	__u32 place = direction * PLACES + place_of(conn);

	return bpf_map_lookup_elem(&bodies, &place);
}

static __always_inline __u64 body_word(__u64 conn, __u32 until)
{
	return (__u64)name_in_place(conn) << 32 | until;
}

/* How many bytes of the body of a word are left at seq of a stream; 0 if it is another one's or lies behind. */
static __always_inline __u32 body_left(__u64 word, __u64 conn, __u32 seq)
{
	__u32 left = (__u32)word - seq;

	return word == body_word(conn, word) && left <= SKIP_LONGEST ? left : 0;
}

/* Whether n bytes at seq of a stream lie in the middle of a body. */
static __always_inline bool within_body(__u64 conn, __u32 direction, __u32 seq, __u32 n)
{
	__u64 *word = body_of(conn, direction);

	return word && body_left(*word, conn, seq) > n;
}

/* Takes a stream out of its place. Returns how many bytes of its body were left at seq. */
static __always_inline __u32 take_body(__u64 *word, __u64 conn, __u32 seq)
{
	__u32 left = body_left(*word, conn, seq);

	if (*word == body_word(conn, *word))
		*word = 0;
	return left;
}

/* Forgets in the middle of which bodies the streams of a socket are, because a connection on it begins or ends. */
static __always_inline void forget_bodies(struct sock *sk)
{
	__u64 conn = address_of(sk);
	__u64 *sent = body_of(conn, SCRATCH_SEND), *received = body_of(conn, SCRATCH_RECEIVE);

	if (sent)
		take_body(sent, conn, 0);
	if (received)
		take_body(received, conn, 0);
}

/*
 * A number as RESP writes it, up to the end of its line, in the payload of a scratch. Returns it, and in copying.head the place behind it;
 * 0 and at if there is none. A global function, because the verifier looks at those once: inlined, it was most of 197,000 instructions.
 */
__noinline int read_number(__u32 which, __u32 at)
{
	struct scratch *s = bpf_map_lookup_elem(&scratches, &which);
	__u64 value = 0;
	__u32 i;

	if (!s)
		return 0;
	s->copying.head = at;
	for (i = 0; i < 10; i++) {
		__u8 c = s->payload[(at + i) & (SKIP_LOOK - 1)];

		if (c == '\r') {
			s->copying.head = at + i + 2;
			return value <= SKIP_LONGEST ? value : 0;
		}
		if (c < '0' || c > '9')
			break;
		value = value * 10 + c - '0';
	}
	return 0;
}

/*
 * Looks for a long bulk string in the first bytes of payload, SKIP_LOOK at most, where a request or a reply begins at lead.
 * Returns the length of its body, 0 if there is none, in copying.head where its body begins, and in copying.keep how many bytes of it
 * have to be copied. What lies in payload behind those bytes is of earlier calls.
 */
static __always_inline __u32 find_body(struct scratch *s, __u32 which, __u32 lead, __u32 bytes)
{
	__u32 at = lead, parts = 1, length, i;

	if (lead && s->payload[0] != '\r')
		return 0;
	s->copying.keep = SKIP_KEEP;
	if (s->payload[at & (SKIP_LOOK - 1)] == '*') {
		parts = read_number(which, at + 1);
		at = s->copying.head;
	} else if (lead && (s->event.role == ROLE_CLIENT) == (s->event.kind == EVENT_RECEIVED)) {
		/* Behind a body, a value is a whole reply or no first element: its text is nothing to anybody. */
		s->copying.keep = 0;
	}
	for (i = 0; i < SKIP_PARTS && i < parts; i++) {
		if (at >= bytes || at > SKIP_LOOK - SKIP_KEEP - 16 || s->payload[at & (SKIP_LOOK - 1)] != '$')
			return 0;
		length = read_number(which, at + 1);
		at = s->copying.head;
		if (at > bytes)
			return 0;
		if (length >= SKIP_BULK)
			return length;
		if (!length && s->payload[(at - 1) & (SKIP_LOOK - 1)] != '\n')
			return 0;
		at += length + 2;
	}
	return 0;
}

#endif
