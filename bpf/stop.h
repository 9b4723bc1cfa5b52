/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stops: directions of connections whose payload user space does not want, because the connection
 * is encrypted, not Redis, or has no name. The probes skip its calls and report only its end.
 *
 * User space decides by past events. The connection may have ended since, and another one may have
 * begun on a socket at the same address; the stop must not apply to that one. So each slot has a
 * generation. It is raised when a connection begins or ends on any socket of the slot, before
 * payload of the next connection can pass. A stop names the generation in which it applies. User
 * space reads the generation, then the clock, and uses that generation only after an event of the
 * connection with a later time (stop.go). A connection to which a stop applies finds this
 * generation current, and raised the generation itself when it began. Therefore it began before
 * user space read the generation, has not ended since, and is the connection of that event. This
 * holds whenever the stop is written, and whichever events are lost.
 *
 * Two things can break it: the kernel skips all duplicates of the probes both where one connection
 * ends and where the next begins; or user space pauses, between reading and using a generation, for
 * 2^30 changes of the slot.
 */
#ifndef OBSERVER_STOP_H
#define OBSERVER_STOP_H

#include "owner.h"
#include "phases.h"

/*
 * A stop: the tag of the socket in the upper half, then the generation, and the directions in the
 * lowest bits.
 */
enum stop_direction {
	STOP_SENT = 1,
	STOP_RECEIVED = 2,
};
enum { STOP_GENERATIONS = 1 << 30 };

/* User space writes a stop; the probes clear it. The table is nearly always empty. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} stops SEC(".maps");

/* The probes raise the generation of a slot; user space reads it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} generations SEC(".maps");

/* True if a stop is of the socket at an address, for a direction, and applies to its generation. */
static __always_inline bool applies(__u64 word, __u64 conn, __u32 *slot, __u32 direction)
{
	__u64 *generation;

	if (word >> 32 != tag_of(conn) || !(word & direction))
		return false;
	generation = bpf_map_lookup_elem(&generations, slot);
	return generation && (((word >> 2) ^ *generation) & (STOP_GENERATIONS - 1)) == 0;
}

/* True if user space does not want the payload of a direction of a socket. */
static __always_inline bool stopped(struct sock *sk, __u32 direction)
{
	__u32 slot = slot_of(low_address_of(sk));
	__u64 *stop = bpf_map_lookup_elem(&stops, &slot);
	__u64 word;

	if (!stop || !*stop)
		return false;
	word = *stop;
	return applies(word, address_of(sk), &slot, direction);
}

/* Clears the state of a socket, because a connection begins or ends on it. */
static __always_inline void begin_generation(struct sock *sk)
{
	__u32 slot = slot_of(low_address_of(sk));
	__u64 *generation = bpf_map_lookup_elem(&generations, &slot), *stop = bpf_map_lookup_elem(&stops, &slot);

	clear_elisions(sk);
	forget_owner(sk);
	forget_arrivals(sk);
	if (generation)
		__sync_fetch_and_add(generation, 1);
	if (stop)
		*stop = 0;
}

#endif
