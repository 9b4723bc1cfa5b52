/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections of which user space wants no more payload, because they are encrypted, not Redis, or nobody's. Their calls are passed over, and
 * nothing is told of them but their end.
 *
 * User space decides on what happened a while ago. Meanwhile the connection may have ended and another one have begun on a socket at
 * the same address, which must not be stopped. So each place has a generation, which goes up when a connection on any of its sockets begins and
 * when one ends, before payload of the next can pass. A stop names the generation in which it holds. User space reads the generation, then
 * the clock, and names that generation only after an event of the connection that happened later (stop.go). A connection that the stop
 * holds for finds this generation current, and has raised it itself when it began. So it had begun when user space read the generation,
 * has not ended since, and is the one whose event that was. This does not depend on when the stop is written, nor on events that were lost.
 *
 * What may fail is that the kernel skips all copies of the probes, both where one connection ends and where the next begins; and a
 * pause of user space, between reading a generation and naming it, in which a place has 2^30 changes.
 */
#ifndef OBSERVER_STOP_H
#define OBSERVER_STOP_H

#include "skip.h"

/* A stop: in the upper half the name of the socket in its place, below it the generation, and at the bottom the directions. */
enum stop_direction {
	STOP_SENT = 1,
	STOP_RECEIVED = 2,
};
enum { STOP_GENERATIONS = 1 << 30 };

/* Written by user space; emptied here. Nearly always all of it is empty, and then its places are all that is looked at. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PLACES);
	__type(key, __u32);
	__type(value, __u64);
} stops SEC(".maps");

/* Read by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PLACES);
	__type(key, __u32);
	__type(value, __u64);
} generations SEC(".maps");

/* Whether user space wants no payload of a direction of a socket. */
static __always_inline bool stopped(struct sock *sk, __u32 direction)
{
	__u32 place = place_of(low_address_of(sk));
	__u64 *stop = bpf_map_lookup_elem(&stops, &place), *generation;
	__u64 word;

	if (!stop || !*stop)
		return false;
	word = *stop;
	if (word >> 32 != name_in_place(address_of(sk)) || !(word & direction))
		return false;
	generation = bpf_map_lookup_elem(&generations, &place);
	return generation && (((word >> 2) ^ *generation) & (STOP_GENERATIONS - 1)) == 0;
}

/* A connection begins or ends on a socket: what is remembered of the socket is forgotten. */
static __always_inline void turn_over(struct sock *sk)
{
	__u32 place = place_of(low_address_of(sk));
	__u64 *generation = bpf_map_lookup_elem(&generations, &place), *stop = bpf_map_lookup_elem(&stops, &place);

	forget_bodies(sk);
	if (generation)
		__sync_fetch_and_add(generation, 1);
	if (stop)
		*stop = 0;
}

#endif
