/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way of nearly all payload: each processor writes what is short and in one piece of memory to a ring of its own, a lane, one for
 * each direction. Nobody else writes there, so that neither a lock nor a copy in between is needed, which is half of what an event costs.
 * What does not fit goes through the scratch to the ring buffer that all processors share (emit.h).
 */
#ifndef OBSERVER_LANE_H
#define OBSERVER_LANE_H

#include "stop.h"

/*
 * Submits n bytes at the cursor that begin at seq of a stream, if there is a lane for them with room. Returns false if not, having done nothing.
 * An event that begins near the end of a lane goes on in the slack behind it, and the next one begins as far from the start.
 */
static __always_inline bool submit_to_lane(struct sock *sk, __u8 role, __u8 kind, __u64 time, __u32 seq,
					   struct cursor *cursor, __u32 n, bool direct)
{
	__u32 which =
	    SCRATCH_COUNT * bpf_get_smp_processor_id() + (kind == EVENT_SENT ? SCRATCH_SEND : SCRATCH_RECEIVE);
	__u64 at, wanted = n, size;
	struct lane *lane;
	struct event *e;

	/* Only the first copy, because the others may preempt it; and a consumer that sleeps looks at lanes when it is woken by the ring. */
	if (!lane_size || copy || cursor->memory != MEMORY_USER || consumer_state == CONSUMER_SLEEPING ||
	    n >= SKIP_CALL)
		return false;
	lane = bpf_map_lookup_elem(&lanes, &which);
	if (!lane)
		return false;
	at = lane->produced;
	size = sizeof(*e) + ((wanted + 7) & ~7ULL);
	if (at + size - lane->consumed > lane_size)
		return false;
	e = (void *)(lane + 1) + (at & (lane_size - 1));
	one_copy(wanted);
	if (wanted >= SKIP_CALL)
		return false; /* never: but 5.10 forgets the limit of what the compiler put aside meanwhile */
	if (bpf_probe_read_user(e + 1, wanted, (void *)cursor->base))
		return false;
	put_connection(e, sk, role, direct);
	e->time = time;
	e->seq = seq;
	e->len = n;
	e->kind = kind;
	e->reason = 0;
	e->flags = 0;
	/* The consumer may read the event once produced is beyond it. The loader makes lanes where the processor keeps stores in order. */
	asm volatile("" ::: "memory");
	lane->produced = at + size;
	return true;
}

#endif
