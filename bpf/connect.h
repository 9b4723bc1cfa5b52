/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connecting: how long it took, or why it failed. A TCP socket that connects enters SYN_SENT with its
 * remote address, in the call of the process, and leaves it when the answer comes or nobody waits for
 * one any more. What fails before, for want of a route for example, changes no state.
 */
#ifndef OBSERVER_CONNECT_H
#define OBSERVER_CONNECT_H

#include "emit.h"

/* A socket that connects. */
struct connecting {
	__u64 since;		     /* CLOCK_MONOTONIC in ns */
	char executable[OWNER_NAME]; /* of the process that connects, if owners are reported */
};

/*
 * By the address of the socket. With more of them at a time the durations of the oldest are not
 * known, nor the executables of those that fail.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct connecting);
} connects SEC(".maps");

/* Notes that a socket begins to connect. */
static __always_inline void connect_started(struct sock *sk)
{
	struct connecting c = {.since = bpf_ktime_get_ns()};
	__u64 key = address_of(sk);

	if (report_owners)
		bpf_probe_read_kernel_str(c.executable, sizeof(c.executable), (void *)executable_name());
	bpf_map_update_elem(&connects, &key, &c, BPF_ANY);
}

/* Reports that a connection that this end opened is established, and how long that took. */
static __always_inline void connected(struct sock *sk, __u8 role)
{
	__u64 key = address_of(sk);
	struct connecting *c = bpf_map_lookup_elem(&connects, &key);
	struct state_event e = {};

	put_state(&e.event, sk, role, EVENT_OPEN, first_offset(sk), TCP_FIELD(sk, copied_seq), 0, true);
	if (c) {
		e.took = e.event.time - c->since;
		bpf_map_delete_elem(&connects, &key);
	}
	submit_begun(&e, sk, c);
}

/* Why a socket failed to connect, by the error that the kernel left in it. */
static __always_inline __u8 failure_of(struct sock *sk)
{
	switch (sk->sk_err) {
	case 0:
		return local_port(sk, true) ? CONNECT_GIVEN_UP : CONNECT_NO_PORT;
	case ECONNREFUSED:
		return CONNECT_REFUSED;
	case ETIMEDOUT:
		return CONNECT_TIMED_OUT;
	case EACCES: /* ICMPv6: prohibited by an administrator */
	case ENONET:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
		return CONNECT_UNREACHABLE;
	case EPIPE:
	case ECONNRESET:
		return CONNECT_RESET;
	}
	return CONNECT_OTHER;
}

/*
 * Reports that a socket failed to connect. from is SYN_SENT, or SYN_RECV where both ends connected at
 * once. Returns false if the socket did not connect.
 */
static __always_inline bool connect_ended(struct sock *sk, __u8 role, int from)
{
	__u64 key = address_of(sk), cgroup;
	struct connecting *c = bpf_map_lookup_elem(&connects, &key);
	struct owner_event *e;

	if (from != TCP_SYN_SENT && !c)
		return false;
	if (role == ROLE_CLIENT) {
		cgroup = report_owners ? told_cgroup(key, false) : 0;
		e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
		if (!e) {
			count_loss(LOST_RING_FULL);
			return true;
		}
		put_state(&e->event, sk, role, EVENT_CONNECT_FAILED, 0, 0, FLAG_WORD, true);
		e->event.reason = failure_of(sk);
		e->cgroup = cgroup;
		if (c)
			__builtin_memcpy(e->executable, c->executable, sizeof(e->executable));
		else
			e->executable[0] = 0;
		bpf_ringbuf_submit(e, wakeup_flags());
	}
	bpf_map_delete_elem(&connects, &key);
	return true;
}

#endif
