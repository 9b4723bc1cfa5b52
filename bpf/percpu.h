/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Per-CPU rings carry nearly all payload. Each CPU has one ring per direction, for calls that are
 * short and have one memory segment. It is the only writer, so it needs neither a lock nor an
 * intermediate copy, which are half of the cost of an event. Everything else goes through a scratch
 * to the ring buffer that all CPUs share (emit.h).
 */
#ifndef OBSERVER_PERCPU_H
#define OBSERVER_PERCPU_H

#include "stop.h"

/* An event in a per-CPU ring, whose payload is copied and whose head is still to be filled. */
struct percpu_slot {
	struct percpu_ring *ring;
	struct event *event;
	__u64 end; /* bytes that are produced with it */
};

/*
 * Copies n bytes at the cursor to the ring of a direction, behind room for some further words. Returns
 * false, without any effect, if the call is not for a per-CPU ring or the ring has no room. An event
 * that begins near the end of the ring continues in the slack behind it; the next event begins as far
 * behind the start of the ring.
 */
static __always_inline bool take_percpu_slot(struct percpu_slot *slot, __u8 kind, struct cursor *cursor, __u32 n,
					     __u32 words)
{
	__u32 which =
	    SCRATCH_COUNT * bpf_get_smp_processor_id() + (kind == EVENT_SENT ? SCRATCH_SEND : SCRATCH_RECEIVE);
	__u64 at, wanted = n, size;
	struct percpu_ring *ring;
	struct event *e;

	/* Only duplicate 0 writes here, because the others may preempt it. */
	if (!percpu_ring_size || duplicate || cursor->memory != MEMORY_USER || n >= LONG_CALL)
		return false;
	ring = bpf_map_lookup_elem(&percpu_rings, &which);
	if (!ring)
		return false;
	at = ring->produced;
	size = sizeof(*e) + 8 * words + ((wanted + 7) & ~7ULL);
	if (at + size - ring->consumed > percpu_ring_size)
		return false;
	e = (void *)(ring + 1) + (at & (percpu_ring_size - 1));
	barrier_var(wanted);
	if (wanted >= LONG_CALL)
		return false; /* never true; the verifier of 5.10 loses the bound of a spilled register */
	if (bpf_probe_read_user((char *)(e + 1) + 8 * words, wanted, (void *)cursor->base))
		return false;
	slot->ring = ring;
	slot->event = e;
	slot->end = at + size;
	return true;
}

/* Sets the fields of an event behind its endpoints, and hands it to the consumer. */
static __always_inline void submit_percpu_slot(struct percpu_slot *slot, __u8 kind, __u64 time, __u32 seq, __u32 n,
					       __u8 flags)
{
	struct event *e = slot->event;

	e->time = time;
	e->seq = seq;
	e->len = n;
	e->kind = kind;
	e->reason = 0;
	e->flags = flags;
	/* The consumer reads the event as soon as produced is behind it. */
	store_release(&slot->ring->produced, slot->end);
}

/*
 * Submits n bytes at the cursor, from offset seq of a stream on. Returns false, without any effect,
 * as take_percpu_slot() does. arrived is when all of them became readable, 0 if that is not known.
 */
static __always_inline bool submit_to_percpu_ring(struct sock *sk, __u8 role, __u8 kind, __u64 time, __u64 arrived,
						  __u32 seq, struct cursor *cursor, __u32 n, struct unix_state *state,
						  bool direct)
{
	struct percpu_slot slot;

	/* Where these programs can be preempted, those of TCP write here. */
	if (state && duplicates > 1)
		return false;
	if (!take_percpu_slot(&slot, kind, cursor, n, arrived ? 1 : 0))
		return false;
	put_endpoints(slot.event, sk, role, state, direct);
	if (arrived)
		*(__u64 *)(slot.event + 1) = arrived;
	submit_percpu_slot(&slot, kind, time, seq, n, arrived ? FLAG_WORD : 0);
	return true;
}

#endif
