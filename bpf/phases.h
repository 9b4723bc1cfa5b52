/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When bytes became readable in their socket, only with metrics.phases. The kernel calls tcp_probe
 * for each segment of an established connection, with the socket locked, before it takes the segment.
 * What tcp_sock.rcv_nxt passes then became readable by this segment: its own bytes, and those behind
 * a hole that it fills. So an arrival is tied to offsets, and neither a segment that is dropped or
 * sent again nor the next one can be mistaken for it.
 *
 * Not seen are segments that come while the connection is not established yet or is half-closed, and
 * those for which the kernel skips the program because it was running already. Their bytes are in no
 * arrival, so that nothing is known of them.
 */
#ifndef OBSERVER_PHASES_H
#define OBSERVER_PHASES_H

#include "connection.h"

/*
 * The latest arrivals of each socket, by its address. With more sockets at a time, those that were
 * silent for longest lose theirs. max_entries is 1 if arrivals are not reported.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct arrivals);
} arrivals SEC(".maps");

/* Forgets the arrivals of a socket, because a connection begins or ends on it. */
static __always_inline void forget_arrivals(struct sock *sk)
{
	__u64 key = (__u64)sk;

	if (report_arrivals)
		bpf_map_delete_elem(&arrivals, &key);
}

/* The arrivals of a socket; NULL if there is no room for them. */
static __always_inline struct arrivals *arrivals_of(struct sock *sk)
{
	static const struct arrivals none = {};
	__u64 key = (__u64)sk;
	struct arrivals *a = bpf_map_lookup_elem(&arrivals, &key);

	if (a)
		return a;
	bpf_map_update_elem(&arrivals, &key, &none, BPF_ANY);
	return bpf_map_lookup_elem(&arrivals, &key);
}

/* A segment came, and the kernel will take it now. Only one CPU at a time does so for a socket. */
static __always_inline void segment_arrived(struct sock *sk, struct sk_buff *skb)
{
	__u32 seq, end, next;
	struct arrivals *a;
	struct arrival *e;

	if (select_tcp(sk, true) == ROLE_NONE)
		return;
	seq = segment_start(skb);
	end = segment_end(skb);
	if (seq == end)
		return;
	next = TCP_FIELD(sk, rcv_nxt);
	if ((__s32)(end - next) <= 0)
		return;
	a = arrivals_of(sk);
	if (!a)
		return;
	if (!a->count || (__s32)(end - a->ahead) > 0)
		a->ahead = end;
	if ((__s32)(seq - next) > 0)
		return; /* behind a hole */
	e = &a->latest[a->count % ARRIVALS];
	e->from = next;
	e->end = a->ahead;
	e->time = bpf_ktime_get_ns();
	asm volatile("" ::: "memory");
	a->count++;
}

/* True if all of n bytes from seq on became readable by an arrival, if none of them did so later. */
static __always_inline bool came_by(struct arrival *e, __u32 seq, __u32 n)
{
	return (__s32)(seq - e->from) >= 0 && (__s32)(seq + n - e->end) <= 0;
}

/*
 * When n bytes from seq on became readable, if all of them did so by one arrival, CLOCK_MONOTONIC in
 * ns; else 0. Segments may come meanwhile.
 */
static __always_inline __u64 arrival_of(struct arrivals *a, __u32 seq, __u32 n)
{
	struct arrival *newest, *before;
	__u64 count = a->count, time = 0;

	asm volatile("" ::: "memory");
	newest = &a->latest[(count - 1) % ARRIVALS];
	before = &a->latest[(count - 2) % ARRIVALS];
	if (came_by(newest, seq, n))
		time = newest->time;
	else if (count > 1 && (__s32)(seq + n - newest->from) <= 0 && came_by(before, seq, n))
		time = before->time;
	asm volatile("" ::: "memory");
	return a->count - count < ARRIVALS - 2 ? time : 0;
}

/* Submits all that is known of the arrivals of a socket, before the bytes that were received. */
static __always_inline void submit_arrivals(struct sock *sk, __u8 role, struct arrivals *a, __u64 time, __u32 seq,
					    __u32 n, bool direct)
{
	struct arrivals_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count_loss(LOST_RING_FULL);
		return;
	}
	put_connection(&e->event, sk, role, direct);
	e->event.kind = EVENT_ARRIVALS;
	e->event.time = time;
	e->event.seq = seq;
	e->event.len = n;
	e->event.reason = 0;
	e->event.flags = 0;
	asm volatile("" ::: "memory");
	e->copy.arrivals = *a;
	asm volatile("" ::: "memory");
	e->copy.count_behind = a->count;
	bpf_ringbuf_submit(e, wakeup_flags());
}

/*
 * The arrivals of a socket of which bytes were received; NULL if there are none. Segments of a
 * half-closed connection are not seen: its bytes may have been sent again then.
 */
static __always_inline struct arrivals *received_arrivals(struct sock *sk, bool direct)
{
	__u64 key = (__u64)sk;
	struct arrivals *a;
	__u8 state;

	if (!report_arrivals)
		return 0;
	state = FIELD(direct, sk, __sk_common.skc_state);
	if (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT)
		return 0;
	a = bpf_map_lookup_elem(&arrivals, &key);
	return a && a->count ? a : 0;
}

#endif
