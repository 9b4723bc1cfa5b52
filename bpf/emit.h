/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Copies the payload of a call from user memory to events in the ring buffer. */
#ifndef OBSERVER_EMIT_H
#define OBSERVER_EMIT_H

#include "percpu.h"

/*
 * The most steps of copying one call: memory segments, of which a call has at most 1024
 * (UIO_MAXIOV), and full events. The rest of the call is a gap.
 */
#define MAX_STEPS 1100

static __always_inline void submit_payload(struct scratch *s, __u64 n)
{
	barrier_var(n);
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
 * Leaves out a call of n bytes if the ring buffer is more than half full and the call needs more
 * than a thirty-second of the room that is left. So long calls do not take the last room, and short
 * calls and state changes still fit. The call becomes a gap of known length; in the last eighth of
 * the ring buffer it is lost. The ring buffer is four times as large as the fill mark.
 */
static __always_inline bool crowded_out(struct scratch *s, __u32 n)
{
	__u64 copied = n < max_bytes ? n : max_bytes;
	__u64 used;

	if (n < LONG_CALL)
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

/* The enum stream of a socket; 0 if it is plain TCP. */
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

/*
 * Reports bytes that are not in user memory as a gap, or as the kind of stream if they never will
 * be.
 */
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

/* Reads an entry of a list of memory segments. */
static __always_inline long read_segment(struct iovec *iov, __u32 memory, __u64 list)
{
	if (memory == MEMORY_USER_IOV)
		return bpf_probe_read_user(iov, sizeof(*iov), (void *)list);
	return bpf_probe_read_kernel(iov, sizeof(*iov), (void *)list);
}

/* Advances to the next memory segment. */
static __always_inline int next_segment(struct copying *c)
{
	struct iovec iov;

	if (!c->segments || read_segment(&iov, c->memory, c->list) || iov.iov_len < c->offset)
		return -1;
	c->base = (__u64)iov.iov_base + c->offset;
	c->segment = iov.iov_len - c->offset;
	c->offset = 0;
	c->list += sizeof(iov);
	c->segments--;
	return 0;
}

/* Submits the middle of the call as a gap, and continues behind it. */
static __always_inline void submit_middle_gap(struct scratch *s)
{
	struct copying *c = &s->copying;
	__u8 kind = s->event.kind;

	submit_gap(s, c->middle, GAP_TRUNCATED);
	s->event.kind = kind;
	s->event.reason = 0;
	s->event.seq += c->middle;
	c->middle_left = c->middle;
	c->left = c->tail;
	c->middle = 0;
	c->tail = 0;
}

/* Skips the middle of the call up to its end, or that of the memory segment. */
static __always_inline int skip_middle(struct copying *c)
{
	__u64 n = c->middle_left;

	if (n > c->segment)
		n = c->segment;
	c->base += n;
	c->segment -= n;
	c->middle_left -= n;
	return 0;
}

/*
 * One step of copying: bytes of one memory segment, and an event if it is full. Returns 0 to
 * continue. A global function, because the verifier checks those once and not once for each
 * iteration of the loop. Until 5.12 they take only numbers, so the state is in the scratch.
 */
__noinline int copy_step(__u32 which)
{
	struct scratch *s = bpf_map_lookup_elem(&scratches, &which);
	struct copying *c;
	__u64 at, n;

	if (!s)
		return -1;
	c = &s->copying;
	if (!c->segment && next_segment(c))
		return -1;
	if (c->middle_left)
		return skip_middle(c);
	at = c->filled;
	n = EVENT_MAX_PAYLOAD - at;
	if (n > c->left)
		n = c->left;
	if (n > c->segment)
		n = c->segment;
	barrier_var(at);
	barrier_var(n);
	if (at >= EVENT_MAX_PAYLOAD || n > EVENT_MAX_PAYLOAD)
		return -1;
	if (bpf_probe_read_user(&s->payload[at], n, (void *)c->base))
		return -1;
	c->base += n;
	c->segment -= n;
	c->left -= n;
	c->filled += n;
	if (!c->left || c->filled == EVENT_MAX_PAYLOAD) {
		submit_payload(s, c->filled);
		c->filled = 0;
	}
	if (!c->left && c->tail)
		submit_middle_gap(s);
	return !c->left;
}

/* Prepares to copy n bytes at the cursor. */
static __always_inline void begin_copying(struct scratch *s, struct cursor *cursor, __u32 n)
{
	struct copying *c = &s->copying;
	bool list = cursor->memory != MEMORY_USER;

	c->base = cursor->base;
	c->segment = list ? 0 : n;
	c->list = cursor->base;
	c->offset = list ? cursor->offset : 0;
	c->segments = list ? cursor->segments : 0;
	c->memory = cursor->memory;
	c->left = n;
	c->end = s->event.seq + n;
}

/*
 * Submits the rest of a call. If it is longer than max_bytes, submits its first and last bytes,
 * because a call begins and ends with commands and its long parts are values. Returns the bytes at
 * its end that could not be read.
 */
static __always_inline __u32 copy_segments(struct scratch *s, __u32 which)
{
	struct copying *c = &s->copying;
	__u32 n = c->left;
	int step;

	c->middle = 0;
	c->tail = 0;
	c->middle_left = 0;
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
 * Copies the next bytes of a call to the scratch, without advancing: at most ELIDE_LOOKAHEAD, from
 * at most ELIDE_MAX_SEGMENTS memory segments, because a header and its value are often in two.
 * Returns how many. A global function for the same reason as copy_step().
 */
__noinline int look_ahead(__u32 which)
{
	struct scratch *s = bpf_map_lookup_elem(&scratches, &which);
	struct copying *c;
	struct iovec iov;
	__u64 at = 0, base, list, n, segment, wanted;
	__u32 i, segments;

	if (!s)
		return 0;
	c = &s->copying;
	base = c->base;
	segment = c->segment;
	list = c->list;
	segments = c->segments;
	wanted = c->left < ELIDE_LOOKAHEAD ? c->left : ELIDE_LOOKAHEAD;
	for (i = 0; i < ELIDE_MAX_SEGMENTS; i++) {
		n = wanted - at;
		if (n > segment)
			n = segment;
		barrier_var(at);
		barrier_var(n);
		if (at >= ELIDE_LOOKAHEAD || n > ELIDE_LOOKAHEAD ||
		    bpf_probe_read_user(&s->payload[at], n, (void *)base))
			return 0;
		at += n;
		if (at >= wanted || !segments || read_segment(&iov, c->memory, list))
			return at;
		base = (__u64)iov.iov_base;
		segment = iov.iov_len;
		list += sizeof(iov);
		segments--;
	}
	return at;
}

/*
 * One step through a long call: to the end of a value or of a memory segment, and to the next long
 * value if one begins there. Returns 0 to continue. A global function for the same reason as
 * copy_step().
 */
__noinline int elide_step(__u32 which)
{
	struct scratch *s = bpf_map_lookup_elem(&scratches, &which);
	struct copying *c;
	__u32 n, length;
	int bytes;

	if (!s)
		return -1;
	c = &s->copying;
	if (!c->segment && next_segment(c))
		return 1;
	if (c->value) {
		n = c->value < c->left ? c->value : c->left;
		if (n > c->segment)
			n = c->segment;
		c->base += n;
		c->segment -= n;
		c->left -= n;
		c->value -= n;
		c->lead = 2; /* the \r\n behind the value */
		if (c->value)
			return !c->left;
	}
	if (c->left < (c->lead ? ELIDE_MIN_REST : LONG_CALL))
		return 1;
	bytes = look_ahead(which);
	length = find_long_value(s, which, c->lead, bytes);
	n = c->value_at + c->keep;
	if (!length || n > bytes)
		return 1;
	s->event.seq = c->end - c->left;
	submit_payload(s, n);
	c->value = c->value_at + length;
	return 0;
}

/* Skips the long values of a call, up to the bytes that must be copied. */
static __always_inline void elide_values(struct scratch *s, __u32 which)
{
	__u64 *word = elision_of(s->event.conn, which % SCRATCH_COUNT);
	struct copying *c = &s->copying;
	int step;

	if (!word)
		return;
	c->lead = 0;
	c->value = take_elision(word, s->event.conn, s->event.seq);
	for (step = 0; step < ELIDE_MAX_STEPS; step++)
		if (elide_step(which))
			break;
	s->event.seq = c->end - c->left;
	if (c->value)
		*word = elision_word(s->event.conn, s->event.seq + c->value);
}

/*
 * Submits the payload of a call of n bytes to the ring buffer, as a whole or with gaps of known
 * length.
 */
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
	if (n >= LONG_CALL) {
		elide_values(s, which);
		if (!c->left)
			return;
	}
	if (crowded_out(s, c->left))
		return;
	wanted = c->left;
	barrier_var(wanted);
	if (cursor->memory == MEMORY_USER && wanted <= EVENT_MAX_PAYLOAD) {
		if (bpf_probe_read_user(s->payload, wanted, (void *)c->base))
			submit_gap(s, c->left, GAP_UNREADABLE);
		else
			submit_payload(s, wanted);
		return;
	}
	missing = copy_segments(s, which);
	if (missing)
		submit_gap(s, missing, GAP_UNREADABLE);
}

static __always_inline struct scratch *scratch_for(__u32 which, __u8 kind, struct sock *sk, __u8 role,
						   struct unix_state *state, bool direct)
{
	struct scratch *s = bpf_map_lookup_elem(&scratches, &which);

	if (!s)
		return 0;
	s->event.kind = kind;
	s->event.reason = 0;
	s->event.flags = 0;
	put_endpoints(&s->event, sk, role, state, direct);
	return s;
}

/*
 * Submits the payload of a call: n bytes at the cursor, from offset seq on of the stream given by
 * kind. early: its payload goes to the ring buffer. The call began before its connection was
 * established, and its time alone would place it before that event; or programs of TCP, which write
 * to the per-CPU rings, can preempt this one. arrived is what is known of when the bytes became readable, a constant NULL for others than
 * those received by TCP. state is that of a Unix socket, a constant NULL for others.
 */
static __always_inline void submit_call(struct sock *sk, __u8 role, __u8 kind, __u64 time, __u32 seq,
					struct cursor *cursor, __u32 n, bool early, struct arrivals *arrived,
					struct unix_state *state, bool direct)
{
	__u32 which = SCRATCH_COUNT * duplicate + (kind == EVENT_SENT ? SCRATCH_SEND : SCRATCH_RECEIVE);
	__u64 arrival = arrived ? arrival_of(arrived, seq, n) : 0;
	struct scratch *s;

	if (state)
		which += unix_scratch;
	if (arrived && !arrival)
		submit_arrivals(sk, role, arrived, time - 1, seq, n, direct);
	if (!early && submit_to_percpu_ring(sk, role, kind, time, arrival, seq, cursor, n, state, direct))
		return;
	if (arrival)
		submit_arrivals(sk, role, arrived, time - 1, seq, n, direct);
	s = scratch_for(which, kind, sk, role, state, direct);
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
	if (kind == EVENT_OPEN || kind == EVENT_EXISTING || kind == EVENT_OPENING || kind == EVENT_CONNECT_FAILED)
		e->flags |= user_namespace_flag(sk);
}

/* Submits an event that has no payload. */
static __always_inline void submit_state(struct sock *sk, __u8 role, __u8 kind, __u32 seq, __u32 received_seq,
					 __u8 flags, bool direct)
{
	struct state_event e = {};

	put_state(&e.event, sk, role, kind, seq, received_seq, flags, direct);
	if (kind == EVENT_OPEN || kind == EVENT_EXISTING)
		submit_begun(&e, sk, false);
	else
		submit(&e.event, sizeof(e.event));
}

/*
 * Submits the end of a socket: the offset up to which the application read, and the bytes received
 * but not read.
 */
static __always_inline void submit_closed(struct sock *sk, __u8 role, __u32 seq, __u32 read, __s32 unread)
{
	struct event e = {};

	put_state(&e, sk, role, EVENT_CLOSED, seq, read, 0, true);
	e.unread = unread <= 0 ? 0 : unread > 255 ? 255 : unread;
	submit(&e, sizeof(e));
}

#endif
