/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Unix sockets. A connection is observed by the name that its server bound: an accepted socket has
 * the name of the socket that listened, and the client has it at the other end. The verdict is kept
 * with the socket, because it costs several reads, and the machine has many other Unix sockets.
 */
#ifndef OBSERVER_UNIX_H
#define OBSERVER_UNIX_H

#include "calls.h"

/* The observed path that a socket bound or was accepted from; NULL for most. */
static __always_inline struct unix_path *unix_path_of(struct sock *sk)
{
	struct unix_address *address = BPF_CORE_READ((struct unix_sock *)sk, addr);
	struct unix_name key = {};
	__u64 length;

	if (!address)
		return 0;
	length = BPF_CORE_READ(address, len) - sizeof(__u16);
	barrier_var(length);
	if (!length || length > sizeof(key.name))
		return 0;
	bpf_probe_read_kernel(key.name, length,
			      (char *)address + bpf_core_field_offset(struct unix_address, name) + sizeof(__u16));
	if (!key.name[0])
		key.length = length;
	return bpf_map_lookup_elem(&unix_paths, &key);
}

static __always_inline struct sock *unix_peer(struct sock *sk)
{
	return BPF_CORE_READ((struct unix_sock *)sk, peer);
}

/* True if the application closed a socket. */
static __always_inline bool unix_dead(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_flags) >> SOCK_DEAD_BIT & 1;
}

/* Decides whether a connected socket is observed, by its own name, or that of the other end. */
static __always_inline void judge_unix(struct sock *sk, struct unix_state *state)
{
	struct unix_path *path = unix_path_of(sk);
	struct sock *peer = unix_peer(sk);
	__u32 own = ROLE_SERVER;

	if (!path && peer) {
		path = unix_path_of(peer);
		own = ROLE_CLIENT;
	}
	state->role = ROLE_NONE;
	state->peer_observed = false;
	if (!path)
		return;
	state->path = path->index;
	if (path->role == own)
		state->role = own;
	else
		state->peer_observed = true;
}

/*
 * The state of a Unix socket with a current verdict; NULL if there is none, because the socket is
 * not connected, or not a stream. The state of a listed socket is that of an older connection.
 */
static __always_inline struct unix_state *current_unix_state(struct sock *sk, bool listed)
{
	struct unix_state *state = bpf_sk_storage_get(&unix_sockets, sk, 0, 0);

	if (state && state->version == unix_version)
		return state;
	if (BPF_CORE_READ(sk, sk_type) != SOCK_STREAM || BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_ESTABLISHED)
		return 0;
	if (!state) {
		state = bpf_sk_storage_get(&unix_sockets, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (!state) /* two calls create the storage of one socket, and the second one fails */
			state = bpf_sk_storage_get(&unix_sockets, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (!state) {
			count_loss(LOST_NO_STORAGE);
			return 0;
		}
		state->generation = bpf_ktime_get_ns();
		state->begun = listed || unix_listed != unix_version;
	} else {
		state->begun = true;
	}
	judge_unix(sk, state);
	if (state->role != ROLE_NONE)
		begin_generation(sk);
	state->version = unix_version;
	return state;
}

/* The state of a Unix socket if one of its ends is observed, else NULL. */
static __always_inline struct unix_state *unix_state_of(struct sock *sk)
{
	struct unix_state *state = current_unix_state(sk, false);

	return state && (state->role != ROLE_NONE || state->peer_observed) ? state : (void *)0;
}

/* Submits an event of a Unix socket that has no payload. */
static __always_inline void submit_unix(struct sock *sk, struct unix_state *state, __u8 kind, __u64 time, __u8 flags)
{
	struct event e = {};

	put_unix(&e, sk, state->role, state);
	e.kind = kind;
	e.time = time;
	e.seq = state->sent;
	e.received_seq = state->received;
	e.flags = flags;
	if (BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) == own_network)
		e.flags |= FLAG_OWN_NETWORK;
	submit(&e, sizeof(e));
}

/*
 * Reports a connection that is seen from its first call on, and returns true then. No tracepoint
 * reports the connect().
 */
static __always_inline bool begin_unix(struct sock *sk, struct unix_state *state, __u64 time)
{
	if (state->begun)
		return false;
	state->begun = true;
	submit_unix(sk, state, EVENT_OPEN, time - 1, state->role == ROLE_SERVER ? FLAG_ACCEPTED : 0);
	return true;
}

/*
 * Submits n bytes of a call, or a gap if they are not in user memory. The payload of the first call
 * goes to the ring buffer, behind the event of the beginning.
 */
static __always_inline void submit_unix_call(struct sock *sk, struct unix_state *state, __u8 kind, __u64 time,
					     __u32 seq, struct cursor *cursor, __u32 n, bool first)
{
	struct event e = {};

	if (cursor->memory != MEMORY_NONE) {
		submit_call(sk, state->role, kind, time, seq, cursor, n, first, state, true);
		return;
	}
	put_unix(&e, sk, state->role, state);
	e.kind = kind == EVENT_SENT ? EVENT_SENT_GAP : EVENT_RECEIVED_GAP;
	e.time = time;
	e.seq = seq;
	e.len = n;
	e.reason = GAP_NOT_IN_MEMORY;
	submit(&e, sizeof(e));
}

/* The end of a send of n bytes. Its start has no tracepoint. */
static __always_inline void unix_sent(struct sock *sk, struct unix_state *state, struct cursor *cursor, __u32 n)
{
	__u64 time = bpf_ktime_get_ns();
	bool first;
	__u32 seq;

	if (state->role == ROLE_NONE)
		return;
	first = begin_unix(sk, state, time);
	seq = __sync_fetch_and_add(&state->sent, n);
	if (!stopped(sk, STOP_SENT))
		submit_unix_call(sk, state, EVENT_SENT, time, seq, cursor, n, first);
}

/* The end of a receive of n bytes. */
static __always_inline void unix_received(struct sock *sk, struct unix_state *state, struct cursor *cursor, __u32 n)
{
	__u64 time = bpf_ktime_get_ns();
	bool first;
	__u32 seq;

	if (state->role == ROLE_NONE)
		return;
	first = begin_unix(sk, state, time);
	seq = __sync_fetch_and_add(&state->received, n);
	if (stopped(sk, STOP_RECEIVED))
		return;
	if (n >= LONG_CALL && within_elided_value(address_of(sk), SCRATCH_RECEIVE, seq, n))
		return;
	submit_unix_call(sk, state, EVENT_RECEIVED, time, seq, cursor, n, first);
}

/* Reports the end of a socket. */
static __always_inline void end_unix(struct sock *sk, struct unix_state *state)
{
	if (state->role == ROLE_NONE)
		return;
	begin_generation(sk);
	submit_unix(sk, state, EVENT_CLOSED, bpf_ktime_get_ns(), 0);
	state->role = ROLE_NONE;
}

/*
 * A call that transferred nothing. Nothing reports that a Unix socket is closed, but its other end
 * finds out by such a call: the end of the stream, or an error. Behind a receive that finds the
 * other end closed, nothing can follow in either direction, so this end counts as closed too.
 */
static __always_inline void unix_failed(struct sock *sk, struct unix_state *state, int result, bool receiving)
{
	struct unix_sock *this;
	struct unix_state *other;
	struct sock *peer;
	bool dead;

	if (!(sk->sk_shutdown & RCV_SHUTDOWN))
		return;
	if (result && result != -EPIPE && result != -ECONNRESET)
		return;
	this = bpf_skc_to_unix_sock(sk);
	if (!this)
		return;
	peer = this->peer;
	if (!peer)
		return;
	dead = unix_dead(peer);
	if (state->peer_ended && !(dead && receiving))
		return;
	if (!state->peer_ended && state->role != ROLE_NONE)
		submit_unix(sk, state, EVENT_PEER_CLOSED, bpf_ktime_get_ns(), result ? FLAG_RESET : 0);
	other = bpf_sk_storage_get(&unix_sockets, peer, 0, 0);
	if (other && other->version == unix_version && other->role != ROLE_NONE) {
		if (dead)
			end_unix(peer, other);
		else if (!state->peer_ended)
			submit_unix(peer, other, EVENT_HALF_CLOSED, bpf_ktime_get_ns(), 0);
	}
	state->peer_ended = true;
	if (dead && receiving)
		end_unix(sk, state);
}

/* Reports an observed socket that exists. */
static __always_inline void list_unix(struct sock *sk)
{
	struct unix_state *state = current_unix_state(sk, true);
	struct sock *peer;

	if (!state || state->role == ROLE_NONE)
		return;
	state->begun = true;
	peer = unix_peer(sk);
	submit_unix(sk, state, peer && unix_dead(peer) ? EVENT_PEER_CLOSED : EVENT_EXISTING, bpf_ktime_get_ns(), 0);
}

#endif
