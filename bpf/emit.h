/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From the memory of a call to events in the ring buffer. */
#ifndef OBSERVER_EMIT_H
#define OBSERVER_EMIT_H

#include "lane.h"

/*
 * The most steps of copying one call: pieces of memory, of which a call has 1024 at most (UIO_MAXIOV), and full events
 * together. What is beyond is a gap.
 */
#define MAX_STEPS 1100

/*
 * A wake-up costs the observed process microseconds, so there is none while the consumer reads, and one at most until it
 * waits again: past the fill mark if it dozes, at once if it sleeps.
 */
static __always_inline __u64 wakeup_flags(void)
{
	__u32 state = consumer_state;

	if (state == CONSUMER_READING)
		return BPF_RB_NO_WAKEUP;
	if (state == CONSUMER_DOZING && bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) < fill_mark)
		return BPF_RB_NO_WAKEUP;
	consumer_state = CONSUMER_READING;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline void submit(void *record, __u64 size)
{
	if (bpf_ringbuf_output(&events, record, size, wakeup_flags()))
		count_loss(LOST_RING_FULL);
}

static __always_inline void submit_payload(struct scratch *s, __u64 n)
{
	one_copy(n);
	if (n > EVENT_MAX_PAYLOAD)
		return;
	s->event.len = n;
	submit(&s->event, sizeof(s->event) + n);
	s->event.seq += n;
}

static __always_inline void submit_gap(struct scratch *s, __u32 n, __u8 reason)
{
	s->event.kind = s->event.kind == EVENT_SENT ? EVENT_SENT_GAP : EVENT_RECEIVED_GAP;
	s->event.reason = reason;
	s->event.len = n;
	submit(&s->event, sizeof(s->event));
}

/*
 * Leaves out a call of n bytes that asks for too much of a ring that is more than half full: for more than a thirty-second of the room that is
 * left. So those who send much at once get nothing of what is scarce, and what others say in short calls still fits, as does every change
 * of a connection. A gap of known length tells of it; in the last eighth of the ring not even that, and the call is lost. The ring is
 * four times the fill mark.
 */
static __always_inline bool crowded_out(struct scratch *s, __u32 n)
{
	__u64 copied = n < max_bytes ? n : max_bytes;
	__u64 used;

	if (n < SKIP_CALL)
		return false;
	used = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	if (used <= 2 * fill_mark || 32 * copied + used <= 4 * fill_mark)
		return false;
	if (2 * used > 7 * fill_mark)
		count_loss(LOST_RING_FULL);
	else
		submit_gap(s, n, GAP_CROWDED);
	return true;
}

/* What the stream of a socket is if it is not plain TCP; 0 if it is. */
static __always_inline __u8 stream_of(__u64 conn)
{
	struct tcp_sock___bits *tp = (void *)conn;
	const struct tcp_ulp_ops *ulp = BPF_CORE_READ((struct inet_connection_sock *)conn, icsk_ulp_ops);
	char name[4] = {};

	if (ulp)
		bpf_core_read(name, sizeof(name), &ulp->name);
	if (name[0] == 't' && name[1] == 'l' && name[2] == 's')
		return STREAM_KTLS;
	if (bpf_core_field_exists(tp->syn_smc) && BPF_CORE_READ_BITFIELD_PROBED(tp, syn_smc))
		return STREAM_SMC;
	return 0;
}

/* Tells of bytes that are not in user memory, or what the stream is if they never will be. */
static __always_inline void submit_not_in_memory(struct scratch *s, __u32 n)
{
	__u8 stream = stream_of(s->event.conn);

	if (!stream) {
		submit_gap(s, n, GAP_NOT_IN_MEMORY);
		return;
	}
	s->event.kind = EVENT_OTHER_STREAM;
	s->event.reason = stream;
	submit(&s->event, sizeof(s->event));
}

/* Reads an entry of a list of pieces. */
static __always_inline long read_piece(struct iovec *iov, __u32 memory, __u64 list)
{
	if (memory == MEMORY_USER_IOV)
		return bpf_probe_read_user(iov, sizeof(*iov), (void *)list);
	return bpf_probe_read_kernel(iov, sizeof(*iov), (void *)list);
}

/* Steps on to the next piece of memory. */
static __always_inline int next_piece(struct copying *c)
{
	struct iovec iov;

	if (!c->pieces || read_piece(&iov, c->memory, c->list) || iov.iov_len < c->skip)
		return -1;
	c->base = (__u64)iov.iov_base + c->skip;
	c->piece = iov.iov_len - c->skip;
	c->skip = 0;
	c->list += sizeof(iov);
	c->pieces--;
	return 0;
}

/* Tells of the middle of the call as a gap, and goes on behind it. */
static __always_inline void leave_out_middle(struct scratch *s)
{
	struct copying *c = &s->copying;
	__u8 kind = s->event.kind;

	submit_gap(s, c->middle, GAP_TRUNCATED);
	s->event.kind = kind;
	s->event.reason = 0;
	s->event.seq += c->middle;
	c->passed = c->middle;
	c->left = c->tail;
	c->middle = 0;
	c->tail = 0;
}

/* One step over the middle of the call: to the end of a piece of memory, or of the middle. */
static __always_inline int pass_middle(struct copying *c)
{
	__u64 n = c->passed;

	if (n > c->piece)
		n = c->piece;
	c->base += n;
	c->piece -= n;
	c->passed -= n;
	return 0;
}

/*
 * One step of copying: a stretch of bytes from one piece of memory, and perhaps a full event. Returns 0 to go on.
 * A global function, because the verifier looks at those once and not once for each turn of the loop; until 5.12 they
 * take numbers only, so the state stands in the scratch.
 */
__noinline int copy_step(__u32 which)
{
	struct scratch *s = bpf_map_lookup_elem(&scratches, &which);
	struct copying *c;
	__u64 at, n;

	if (!s)
		return -1;
	c = &s->copying;
	if (!c->piece && next_piece(c))
		return -1;
	if (c->passed)
		return pass_middle(c);
	at = c->filled;
	n = EVENT_MAX_PAYLOAD - at;
	if (n > c->left)
		n = c->left;
	if (n > c->piece)
		n = c->piece;
	one_copy(at);
	one_copy(n);
	if (at >= EVENT_MAX_PAYLOAD || n > EVENT_MAX_PAYLOAD)
		return -1;
	if (bpf_probe_read_user(&s->payload[at], n, (void *)c->base))
		return -1;
	c->base += n;
	c->piece -= n;
	c->left -= n;
	c->filled += n;
	if (!c->left || c->filled == EVENT_MAX_PAYLOAD) {
		submit_payload(s, c->filled);
		c->filled = 0;
	}
	if (!c->left && c->tail)
		leave_out_middle(s);
	return !c->left;
}

/* Sets out to copy n bytes at the cursor. */
static __always_inline void begin_copying(struct scratch *s, struct cursor *cursor, __u32 n)
{
	struct copying *c = &s->copying;
	bool list = cursor->memory != MEMORY_USER;

	c->base = cursor->base;
	c->piece = list ? 0 : n;
	c->list = cursor->base;
	c->skip = list ? cursor->offset : 0;
	c->pieces = list ? cursor->pieces : 0;
	c->memory = cursor->memory;
	c->left = n;
	c->end = s->event.seq + n;
}

/*
 * Submits what is left of a call: all of it, or the first and the last if it is more than may be copied, because what a call is
 * made of begins and ends with commands, and what is long in it are values. Returns how many at the end could not be read.
 */
static __always_inline __u32 copy_pieces(struct scratch *s, __u32 which)
{
	struct copying *c = &s->copying;
	__u32 n = c->left;
	int step;

	c->middle = 0;
	c->tail = 0;
	c->passed = 0;
	c->filled = 0;
	if (n > max_bytes) {
		c->left = max_bytes / 2;
		c->tail = max_bytes / 2;
		c->middle = n - c->left - c->tail;
	}
	for (step = 0; step < MAX_STEPS; step++)
		if (copy_step(which))
			break;
	if (c->filled)
		submit_payload(s, c->filled);
	return c->left + c->middle + c->tail;
}

/*
 * Copies the next bytes of a call to the scratch, without going on: SKIP_LOOK at most, from SKIP_PIECES pieces at most, because a header
 * and the body behind it are often in two. Returns how many. A global function for the same reason as copy_step().
 */
__noinline int look_ahead(__u32 which)
{
	struct scratch *s = bpf_map_lookup_elem(&scratches, &which);
	struct copying *c;
	struct iovec iov;
	__u64 at = 0, base, list, n, piece, wanted;
	__u32 i, pieces;

	if (!s)
		return 0;
	c = &s->copying;
	base = c->base;
	piece = c->piece;
	list = c->list;
	pieces = c->pieces;
	wanted = c->left < SKIP_LOOK ? c->left : SKIP_LOOK;
	for (i = 0; i < SKIP_PIECES; i++) {
		n = wanted - at;
		if (n > piece)
			n = piece;
		one_copy(at);
		one_copy(n);
		if (at >= SKIP_LOOK || n > SKIP_LOOK || bpf_probe_read_user(&s->payload[at], n, (void *)base))
			return 0;
		at += n;
		if (at >= wanted || !pieces || read_piece(&iov, c->memory, list))
			return at;
		base = (__u64)iov.iov_base;
		piece = iov.iov_len;
		list += sizeof(iov);
		pieces--;
	}
	return at;
}

/*
 * One step over a long call: to the end of a body or of a piece of memory, and on to the next body that begins there. Returns 0 to go on. A global
 * function for the same reason as copy_step().
 */
__noinline int skip_step(__u32 which)
{
	struct scratch *s = bpf_map_lookup_elem(&scratches, &which);
	struct copying *c;
	__u32 n, length;
	int bytes;

	if (!s)
		return -1;
	c = &s->copying;
	if (!c->piece && next_piece(c))
		return 1;
	if (c->body) {
		n = c->body < c->left ? c->body : c->left;
		if (n > c->piece)
			n = c->piece;
		c->base += n;
		c->piece -= n;
		c->left -= n;
		c->body -= n;
		c->lead = 2; /* behind a body */
		if (c->body)
			return !c->left;
	}
	if (c->left < (c->lead ? SKIP_AGAIN : SKIP_CALL))
		return 1;
	bytes = look_ahead(which);
	length = find_body(s, which, c->lead, bytes);
	n = c->head + c->keep;
	if (!length || n > bytes)
		return 1;
	s->event.seq = c->end - c->left;
	submit_payload(s, n);
	c->body = c->head + length;
	return 0;
}

/* Passes over the long bodies in a call, and leaves what is left to copy. */
static __always_inline void skip_bodies(struct scratch *s, __u32 which)
{
	__u64 *word = body_of(s->event.conn, which % SCRATCH_COUNT);
	struct copying *c = &s->copying;
	int step;

	if (!word)
		return;
	c->lead = 0;
	c->body = take_body(word, s->event.conn, s->event.seq);
	for (step = 0; step < SKIP_TIMES; step++)
		if (skip_step(which))
			break;
	s->event.seq = c->end - c->left;
	if (c->body)
		*word = body_word(s->event.conn, s->event.seq + c->body);
}

/* Submits the payload of a call of n bytes through the scratch, whole or with gaps of known length. */
static __always_inline void submit_to_ring(struct scratch *s, __u32 which, struct cursor *cursor, __u32 n)
{
	struct copying *c = &s->copying;
	__u64 wanted;
	__u32 missing;

	if (cursor->memory == MEMORY_NONE) {
		submit_not_in_memory(s, n);
		return;
	}
	begin_copying(s, cursor, n);
	if (n >= SKIP_CALL) {
		skip_bodies(s, which);
		if (!c->left)
			return;
	}
	if (crowded_out(s, c->left))
		return;
	wanted = c->left;
	one_copy(wanted);
	if (cursor->memory == MEMORY_USER && wanted <= EVENT_MAX_PAYLOAD) {
		if (bpf_probe_read_user(s->payload, wanted, (void *)c->base))
			submit_gap(s, c->left, GAP_UNREADABLE);
		else
			submit_payload(s, wanted);
		return;
	}
	missing = copy_pieces(s, which);
	if (missing)
		submit_gap(s, missing, GAP_UNREADABLE);
}

static __always_inline struct scratch *scratch_for(__u32 which, __u8 kind, struct sock *sk, __u8 role, bool direct)
{
	struct scratch *s = bpf_map_lookup_elem(&scratches, &which);

	if (!s)
		return 0;
	s->event.kind = kind;
	s->event.reason = 0;
	s->event.flags = 0;
	put_connection(&s->event, sk, role, direct);
	return s;
}

/*
 * Submits the payload of a call: n bytes at the cursor, which begin at seq of the stream that kind says. What is early was sent by a call that
 * began before its connection was established. It goes to the ring, behind the event that tells of that: by its time it would come before it.
 */
static __always_inline void submit_call(struct sock *sk, __u8 role, __u8 kind, __u64 time, __u32 seq,
					struct cursor *cursor, __u32 n, bool early, bool direct)
{
	__u32 which = SCRATCH_COUNT * copy + (kind == EVENT_SENT ? SCRATCH_SEND : SCRATCH_RECEIVE);
	struct scratch *s;

	if (!early && submit_to_lane(sk, role, kind, time, seq, cursor, n, direct))
		return;
	s = scratch_for(which, kind, sk, role, direct);
	if (!s)
		return;
	s->event.time = time;
	s->event.seq = seq;
	submit_to_ring(s, which, cursor, n);
}

/* Fills an event that has no payload. */
static __always_inline void put_state(struct event *e, struct sock *sk, __u8 role, __u8 kind, __u32 seq,
				      __u32 received_seq, __u8 flags, bool direct)
{
	put_connection(e, sk, role, direct);
	e->kind = kind;
	e->time = bpf_ktime_get_ns();
	e->seq = seq;
	e->received_seq = received_seq;
	e->flags = flags | (in_own_network(sk) ? FLAG_OWN_NETWORK : 0);
}

/* Submits an event that has no payload. */
static __always_inline void submit_state(struct sock *sk, __u8 role, __u8 kind, __u32 seq, __u32 received_seq,
					 __u8 flags, bool direct)
{
	struct event e = {};

	put_state(&e, sk, role, kind, seq, received_seq, flags, direct);
	submit(&e, sizeof(e));
}

/* Tells that a socket is gone, whose program has read up to an offset, and left so many bytes unread that came behind it. */
static __always_inline void submit_closed(struct sock *sk, __u8 role, __u32 seq, __u32 read, __s32 unread)
{
	struct event e = {};

	put_state(&e, sk, role, EVENT_CLOSED, seq, read, 0, true);
	e.unread = unread <= 0 ? 0 : unread > 255 ? 255 : unread;
	submit(&e, sizeof(e));
}

#endif
