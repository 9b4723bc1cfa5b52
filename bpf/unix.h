/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Unix sockets. A connection is observed by the name that its server bound: an accepted socket has
 * the name of the socket that listened, and the client has it at the other end. That costs several
 * reads, and the machine has many other Unix sockets, so it is noted that a socket is foreign: the
 * tracepoints note it in the storage of the socket, fentry and kprobe by its address (by_address),
 * because not every kernel has that storage, and kprobes never have it.
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

/*
 * How the state of a socket is found: by the storage of the socket and its number, as the tracepoints do; by its
 * address, as fentry and kprobe do; or for the tracepoints by reading the number, where the kernel does not trust the pointer
 * to the socket and lets it be used for nothing else.
 */
enum unix_way { UNIX_BY_STORAGE, UNIX_BY_ADDRESS, UNIX_BY_READING };

/* The kernel's number of a socket, which no other socket has; 0 if it has none yet. */
static __always_inline __u64 unix_cookie(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
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
	state->whole = !state->begun;
	if (!path)
		return;
	state->path = path->index;
	if (path->role == own)
		state->role = own;
	else
		state->peer_observed = true;
}

/* The slot of a socket in unix_foreign. */
static __always_inline __u64 *unix_foreign_slot(struct sock *sk)
{
	__u32 slot = (__u32)(address_of(sk) >> 6) * 0x9E3779B1 >> 19;

	return bpf_map_lookup_elem(&unix_foreign, &slot);
}

static __always_inline __u64 unix_foreign_word(struct sock *sk)
{
	return address_of(sk) << 16 | (unix_version & 0xffff);
}

/* The verdict that is stored with a socket; 0 if there is none. */
static __always_inline __u32 stored_unix_verdict(struct sock *sk)
{
	struct unix_judgement *stored = bpf_sk_storage_get(&unix_verdicts, sk, 0, 0);

	return stored && stored->version == unix_version ? stored->verdict : 0;
}

static __always_inline void store_unix_verdict(struct sock *sk, __u32 verdict)
{
	struct unix_judgement *stored = bpf_sk_storage_get(&unix_verdicts, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!stored)
		return;
	stored->version = unix_version;
	stored->verdict = verdict;
}

/* True if a socket is known not to be observed. */
static __always_inline bool unix_is_foreign(struct sock *sk, enum unix_way way)
{
	__u64 *word;

	if (way == UNIX_BY_STORAGE)
		return stored_unix_verdict(sk) == UNIX_FOREIGN;
	if (way == UNIX_BY_READING)
		return false;
	word = unix_foreign_slot(sk);
	return word && *word == unix_foreign_word(sk);
}

/* Notes that a socket is foreign. */
static __always_inline void note_unix_foreign(struct sock *sk, enum unix_way way)
{
	__u64 *word;

	if (way == UNIX_BY_STORAGE)
		store_unix_verdict(sk, UNIX_FOREIGN);
	if (way != UNIX_BY_ADDRESS)
		return;
	word = unix_foreign_slot(sk);
	if (word)
		*word = unix_foreign_word(sk);
}

/*
 * The stored state of a socket; NULL if it has none. A state that was created by reading may have no number, and its socket may
 * have got one since; then both ends must be where they were.
 */
static __always_inline struct unix_state *stored_unix_state(struct sock *sk, enum unix_way way)
{
	__u64 address = (__u64)sk;
	struct unix_state *state = bpf_map_lookup_elem(&unix_states, &address);

	if (!state || way == UNIX_BY_ADDRESS)
		return state;
	if (!state->cookie)
		return state->peer == address_of(unix_peer(sk)) ? state : (void *)0;
	if (way == UNIX_BY_STORAGE)
		return state->cookie == sk->__sk_common.skc_cookie.counter ? state : (void *)0;
	return state->cookie == unix_cookie(sk) ? state : (void *)0;
}

/*
 * The stored state of the other end of a connection; NULL if it has none. That end may have had no number yet when this
 * state was created; its own state has the number of this end then.
 */
static __always_inline struct unix_state *other_unix_state(struct unix_state *state)
{
	struct unix_state *other = state->peer ? bpf_map_lookup_elem(&unix_states, &state->peer) : (void *)0;

	if (!other)
		return 0;
	if (!state->peer_cookie && state->cookie && other->peer_cookie == state->cookie)
		state->peer_cookie = other->cookie;
	return other->cookie == state->peer_cookie ? other : (void *)0;
}

/* Reports the end of a socket. */
static __always_inline void end_unix(struct sock *sk, struct unix_state *state)
{
	struct unix_state *other;
	struct event e = {};
	__s32 unread = 0;

	if (state->role == ROLE_NONE)
		return;
	begin_generation(sk);
	other = other_unix_state(state);
	if (other && other->whole && state->whole)
		unread = other->sent - state->received;
	put_unix(&e, sk, state->role, state);
	e.kind = EVENT_CLOSED;
	e.time = bpf_ktime_get_ns();
	e.seq = state->sent;
	e.received_seq = state->received;
	e.unread = unread <= 0 ? 0 : unread > 255 ? 255 : unread;
	submit(&e, sizeof(e));
	state->role = ROLE_NONE;
}

/*
 * Sets the cookies of both ends: the own one before that of the other end is read, so that one of both states has that of
 * the other.
 */
static __always_inline void number_unix(struct sock *sk, struct unix_state *state, enum unix_way way)
{
	state->cookie = way == UNIX_BY_STORAGE ? bpf_get_socket_cookie(sk) : unix_cookie(sk);
	state->peer_cookie = unix_cookie(unix_peer(sk));
}

/* Deletes the state of a socket that was here before. This one has its number. */
static __always_inline void forget_former_unix(struct sock *sk, enum unix_way way)
{
	__u64 address = address_of(sk);
	struct unix_state *old = bpf_map_lookup_elem(&unix_states, &address);

	if (!old || stored_unix_state(sk, way))
		return;
	end_unix(sk, old);
	bpf_map_delete_elem(&unix_states, &address);
}

/*
 * Creates the state of a socket. NULL if it needs none, because it is not connected, is a datagram
 * socket, or is foreign; or if there is no memory for it. Another thread may create it too.
 */
static __always_inline struct unix_state *create_unix_state(struct sock *sk, enum unix_way way)
{
	__u16 type = BPF_CORE_READ(sk, sk_type);
	struct unix_state new = {}, *state;
	__u64 address = address_of(sk);

	if ((type != SOCK_STREAM && type != SOCK_SEQPACKET) ||
	    BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_ESTABLISHED)
		return 0;
	new.begun = unix_listed != unix_version;
	judge_unix(sk, &new);
	if (new.role == ROLE_NONE && !new.peer_observed) {
		note_unix_foreign(sk, way);
		return 0;
	}
	new.generation = bpf_ktime_get_ns();
	new.version = unix_version;
	new.sequenced = type == SOCK_SEQPACKET;
	new.peer = address_of(unix_peer(sk));
	if (way != UNIX_BY_ADDRESS) {
		number_unix(sk, &new, way);
		forget_former_unix(sk, way);
	}
	if (new.role != ROLE_NONE)
		begin_generation(sk);
	bpf_map_update_elem(&unix_states, &address, &new, BPF_NOEXIST);
	state = bpf_map_lookup_elem(&unix_states, &address);
	if (!state)
		count_loss(LOST_NO_STORAGE);
	else if (new.role == ROLE_NONE && way == UNIX_BY_STORAGE)
		store_unix_verdict(sk, UNIX_OTHER_END);
	return state;
}

/* The state of a Unix socket that is not known to be foreign; NULL if it needs none. */
static __always_inline struct unix_state *judged_unix_state(struct sock *sk, enum unix_way way)
{
	struct unix_state *state = stored_unix_state(sk, way);

	if (!state)
		return create_unix_state(sk, way);
	if (way == UNIX_BY_STORAGE && !state->cookie) /* it was found by reading, before it had a number */
		number_unix(sk, state, way);
	if (state->version == unix_version)
		return state;
	state->begun = true;
	judge_unix(sk, state);
	if (state->role != ROLE_NONE)
		begin_generation(sk);
	else if (way == UNIX_BY_STORAGE)
		store_unix_verdict(sk, state->peer_observed ? UNIX_OTHER_END : UNIX_FOREIGN);
	state->version = unix_version;
	return state;
}

/* The state of a Unix socket with a current verdict; NULL if it needs none. */
static __always_inline struct unix_state *current_unix_state(struct sock *sk, enum unix_way way)
{
	return unix_is_foreign(sk, way) ? (void *)0 : judged_unix_state(sk, way);
}

/* True if one end of a connection is observed. */
static __always_inline bool unix_observed(struct unix_state *state)
{
	return state->role != ROLE_NONE || state->peer_observed;
}

/* The state by address of a Unix socket if one of its ends is observed, else NULL. */
static __always_inline struct unix_state *unix_state_of(struct sock *sk)
{
	struct unix_state *state = current_unix_state(sk, UNIX_BY_ADDRESS);

	return state && unix_observed(state) ? state : (void *)0;
}

/*
 * At least the bytes in the receive queue of a socket, and 0 in known if the kernel does not count
 * them (6.17 does). Some kernels count a buffer as a whole until all of it has been received.
 */
static __always_inline __u32 unix_unread(struct sock *sk, bool *known)
{
	struct unix_sock *this = (struct unix_sock *)sk;

	*known = bpf_core_field_exists(this->inq_len);
	return *known ? BPF_CORE_READ(this, inq_len) : 0;
}

/*
 * The offset behind the bytes that the application received. The probes count these bytes, but do
 * not see those of splice(); then the count of the other end says how many there were. This needs
 * a connection of which both ends were counted from the beginning. Only a lower bound while another
 * thread receives from the same socket.
 */
static __always_inline __u32 unix_received_offset(struct sock *sk, struct unix_state *state)
{
	struct unix_state *other;
	__u32 received, sent;
	bool known;

	received = state->received;
	if (!state->whole)
		return received;
	other = other_unix_state(state);
	if (!other || !other->whole || other->version != unix_version)
		return received;
	sent = other->sent; /* before the queue: a send counts after it has filled the queue */
	barrier();
	sent -= unix_unread(sk, &known);
	return known && (__s32)(sent - received) > 0 ? sent : received;
}

/*
 * FLAG_USER_NAMESPACE if the server of a Unix socket is in a user namespace that somebody made, where it
 * can bind any path in a root or a mount namespace of its own, and any abstract name. A client's socket
 * has the credentials with which the server listens; a server's own are those that accepted it.
 */
__noinline __u64 unix_namespace_flag(__u64 socket, __u64 role)
{
	struct sock *sk = (struct sock *)socket;
	struct cred *server;

	if (role == ROLE_CLIENT)
		server = BPF_CORE_READ(sk, sk_peer_cred);
	else
		server = BPF_CORE_READ(sk, sk_socket, file, f_cred);
	return BPF_CORE_READ(server, user_ns, level) ? FLAG_USER_NAMESPACE : 0;
}

/* Submits an event of a Unix socket that has no payload. */
static __always_inline void submit_unix_at(struct sock *sk, struct unix_state *state, __u8 kind, __u64 time, __u8 flags,
					   __u32 received)
{
	struct state_event e = {};

	put_unix(&e.event, sk, state->role, state);
	e.event.kind = kind;
	e.event.time = time;
	e.event.seq = state->sent;
	e.event.received_seq = received;
	e.event.flags = flags;
	if (unix_listed_by_network && BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) == own_network)
		e.event.flags |= FLAG_OWN_NETWORK;
	if (kind == EVENT_OTHER_STREAM)
		e.event.reason = STREAM_SEQPACKET;
	if (kind == EVENT_OPEN || kind == EVENT_EXISTING) {
		e.event.flags |= unix_namespace_flag(address_of(sk), state->role);
		submit_begun(&e, sk, false);
	} else {
		submit(&e.event, sizeof(e.event));
	}
}

static __always_inline void submit_unix(struct sock *sk, struct unix_state *state, __u8 kind, __u64 time, __u8 flags)
{
	submit_unix_at(sk, state, kind, time, flags, state->received);
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

/* Reports the owner of a connection, unless a call did before. */
static __always_inline void report_unix_owner(struct sock *sk, struct unix_state *state, __u64 time)
{
	if (!report_owners || state->owner_told)
		return;
	state->owner_told = true;
	submit_owner(sk, state->role, state, time - 1, true);
}

/* Reports the kind of a socket whose messages are no stream, until user space stops it. */
static __always_inline bool unix_sequenced(struct sock *sk, struct unix_state *state)
{
	if (!state->sequenced)
		return false;
	if (!stopped(sk, STOP_SENT | STOP_RECEIVED))
		submit_unix(sk, state, EVENT_OTHER_STREAM, bpf_ktime_get_ns(), 0);
	return true;
}

/* Reports n bytes of a call as a gap. */
static __always_inline void submit_unix_gap(struct sock *sk, struct unix_state *state, __u8 kind, __u64 time, __u32 seq,
					    __u32 n, __u8 reason)
{
	struct event e = {};

	put_unix(&e, sk, state->role, state);
	e.kind = kind;
	e.time = time;
	e.seq = seq;
	e.len = n;
	e.reason = reason;
	submit(&e, sizeof(e));
}

/*
 * Submits n bytes of a call, or a gap if they are not in user memory. The payload of the first call
 * goes to the ring buffer, behind the event of the beginning. cursor is a constant NULL for calls
 * that never have user memory.
 */
static __always_inline void submit_unix_call(struct sock *sk, struct unix_state *state, __u8 kind, __u64 time,
					     __u32 seq, struct cursor *cursor, __u32 n, bool first)
{
	if (cursor && cursor->memory != MEMORY_NONE)
		submit_call(sk, state->role, kind, time, seq, cursor, n, first, 0, state, true);
	else
		submit_unix_gap(sk, state, kind == EVENT_SENT ? EVENT_SENT_GAP : EVENT_RECEIVED_GAP, time, seq, n,
				GAP_NOT_IN_MEMORY);
}

/*
 * Advances a count of bytes, and returns it as it was before. Kernels before 5.12 have no atomic
 * operation for that: there, two threads in the same direction of a socket can get the same offset.
 */
static __always_inline __u32 unix_advance(__u32 *count, __u32 n, bool by_address)
{
	__u32 before;

	if (!by_address)
		return __sync_fetch_and_add(count, n);
	before = *(volatile __u32 *)count;
	__sync_fetch_and_add(count, n);
	return before;
}

/*
 * The end of a send of n bytes, the last one of which is that of MSG_OOB if it is urgent. started is
 * the time of its start, 0 if that is not probed.
 */
static __always_inline void unix_sent(struct sock *sk, struct unix_state *state, __u64 started, struct cursor *cursor,
				      __u32 n, bool urgent, bool by_address)
{
	__u64 time;
	bool first;
	__u32 seq;

	if (state->role == ROLE_NONE) {
		__sync_fetch_and_add(&state->sent, n); /* for unix_received_offset() of the other end */
		return;
	}
	if (unix_sequenced(sk, state))
		return;
	time = started ? started : bpf_ktime_get_ns();
	first = begin_unix(sk, state, time);
	report_unix_owner(sk, state, time);
	seq = unix_advance(&state->sent, n, by_address);
	if (stopped(sk, STOP_SENT))
		return;
	if (urgent) {
		n--;
		submit_unix_gap(sk, state, EVENT_SENT_GAP, time, seq + n, 1, GAP_URGENT);
		if (!n)
			return;
	}
	submit_unix_call(sk, state, EVENT_SENT, time, seq, cursor, n, first);
}

/* The end of a receive of n bytes. */
static __always_inline void unix_received(struct sock *sk, struct unix_state *state, struct cursor *cursor, __u32 n,
					  bool by_address)
{
	bool first;
	__u64 time;
	__u32 seq;

	if (state->role == ROLE_NONE || unix_sequenced(sk, state))
		return;
	time = bpf_ktime_get_ns();
	first = begin_unix(sk, state, time);
	report_unix_owner(sk, state, time);
	seq = unix_advance(&state->received, n, by_address);
	if (stopped(sk, STOP_RECEIVED))
		return;
	if (cursor && n >= LONG_CALL && within_elided_value(address_of(sk), SCRATCH_RECEIVE, seq, n))
		return;
	submit_unix_call(sk, state, EVENT_RECEIVED, time, seq, cursor, n, first);
}

/* True if the result of a call that transferred nothing says that the other end has ended. */
static __always_inline bool unix_ended(struct sock *sk, int result)
{
	if (!(BPF_CORE_READ(sk, sk_shutdown) & RCV_SHUTDOWN))
		return false;
	return !result || result == -EPIPE || result == -ECONNRESET;
}

/*
 * Reports that the stream of the other end has ended. A send fails although the other end left
 * something to receive: then the end of its stream is behind that, and a receive will find it.
 */
static __always_inline void end_unix_peer(struct sock *sk, struct unix_state *state, int result)
{
	if (state->peer_ended || BPF_CORE_READ(sk, sk_receive_queue.qlen))
		return;
	state->peer_ended = true;
	if (state->role != ROLE_NONE)
		submit_unix(sk, state, EVENT_PEER_CLOSED, bpf_ktime_get_ns(), result ? FLAG_RESET : 0);
}

/*
 * A call that transferred nothing. No tracepoint reports that a Unix socket is closed, but its other
 * end finds out by such a call: the end of the stream, or an error. Behind a receive that finds the
 * other end closed, nothing can follow in either direction, so this end counts as closed too. A
 * receive of no bytes may find that while there is something to receive.
 */
static __always_inline void unix_failed(struct sock *sk, struct unix_state *state, int result, bool receiving)
{
	bool reported = state->peer_ended;
	struct unix_state *other;
	struct sock *peer;
	bool dead;

	if (!unix_ended(sk, result))
		return;
	peer = unix_peer(sk);
	if (!peer)
		return;
	dead = unix_dead(peer);
	if (reported && !(dead && receiving))
		return;
	end_unix_peer(sk, state, result);
	other = other_unix_state(state);
	if (other && other->version == unix_version && other->role != ROLE_NONE) {
		if (dead)
			end_unix(peer, other);
		else if (!reported)
			submit_unix(peer, other, EVENT_HALF_CLOSED, bpf_ktime_get_ns(), 0);
	}
	if (dead && receiving && state->peer_ended)
		end_unix(sk, state);
}

/*
 * True if a listed socket will receive no more: its other end is closed, and it has received
 * everything. The event of a last receive may still come, so the next listing has to find the same,
 * unless the socket was not known before.
 */
static __always_inline bool unix_orphaned(struct sock *sk, struct unix_state *state, struct sock *peer, bool known)
{
	if (!peer || !unix_dead(peer) || BPF_CORE_READ(sk, sk_receive_queue.qlen))
		return false;
	if (known && state->orphaned_at != state->received + 1) {
		state->orphaned_at = state->received + 1;
		return false;
	}
	return true;
}

/* Reports an observed socket that exists. received is the offset behind the bytes received. */
static __always_inline void list_unix(struct sock *sk, struct unix_state *state, __u32 received, bool known)
{
	if (unix_sequenced(sk, state))
		return;
	/* The first call of a new connection may run at this moment, and reports the beginning too. */
	if (!state->begun && !state->listed) {
		state->listed = true;
		return;
	}
	begin_unix(sk, state, bpf_ktime_get_ns());
	if (!unix_orphaned(sk, state, unix_peer(sk), known)) {
		submit_unix_at(sk, state, EVENT_EXISTING, bpf_ktime_get_ns(), 0, received);
		return;
	}
	if (!state->peer_ended)
		submit_unix_at(sk, state, EVENT_PEER_CLOSED, bpf_ktime_get_ns(), 0, received);
	state->peer_ended = true;
}

/* True if the probes know a socket already. */
static __always_inline bool unix_known(struct sock *sk, enum unix_way way)
{
	struct unix_state *state = stored_unix_state(sk, way);

	return state && state->version == unix_version;
}

/*
 * True if the socket that a state is for was freed. What is read is that socket, what is left of it,
 * or another one at its address.
 */
static __always_inline bool unix_was_freed(struct sock *sk, struct unix_state *state)
{
	if (state->cookie ? unix_cookie(sk) != state->cookie : address_of(unix_peer(sk)) != state->peer)
		return true;
	return !BPF_CORE_READ(sk, __sk_common.skc_refcnt.refs.counter);
}

/*
 * Looks at a socket in a pass: either end may have closed without a call that found it. The state of
 * a freed socket remains for one more pass, in which the other end may need it.
 */
static long pass_unix_state(void *map, __u64 *address, struct unix_state *state, void *context)
{
	struct sock *sk = (struct sock *)*address;
	bool freed = unix_was_freed(sk, state);
	__u64 key = *address;

	if (freed && state->freed) {
		bpf_map_delete_elem(&unix_states, &key);
		return 0;
	}
	state->freed = freed;
	if (freed || unix_dead(sk)) {
		end_unix(sk, state);
		return 0;
	}
	if (state->role == ROLE_NONE || state->peer_ended || state->version != unix_version)
		return 0;
	if (unix_orphaned(sk, state, unix_peer(sk), true)) {
		state->peer_ended = true;
		submit_unix(sk, state, EVENT_PEER_CLOSED, bpf_ktime_get_ns(), 0);
	}
	return 0;
}

/* Lists a socket. */
static __always_inline void list_unix_socket(struct sock *sk, enum unix_way way)
{
	bool known = unix_known(sk, way);
	struct unix_state *state = current_unix_state(sk, way);
	__u32 received;

	if (!state || state->role == ROLE_NONE)
		return;
	received = way == UNIX_BY_ADDRESS ? state->received : unix_received_offset(sk, state);
	list_unix(sk, state, received, known);
}

/* -- calls whose start is probed: the states are by address -- */

/* Stores the start of a call on an observed socket. msg is a constant NULL without user memory. */
static __always_inline struct call *unix_started(struct sock *sk, struct msghdr *msg, bool sending, bool direct)
{
	struct unix_state *state = unix_state_of(sk);
	struct task_calls *calls;
	struct call *call;

	if (!state || (state->role == ROLE_NONE && !sending))
		return 0;
	calls = current_calls();
	if (!calls)
		return 0;
	call = sending ? &calls->send : &calls->receive;
	call->sk = address_of(sk);
	call->time = bpf_ktime_get_ns();
	call->urgent = false;
	if (msg)
		cursor_of_iter(&call->cursor, &msg->msg_iter, direct);
	else
		call->cursor.memory = MEMORY_NONE;
	return call;
}

/* splice, or sendfile before 6.5, which have no user memory. */
static __always_inline void unix_splice_started(struct sock *sk, bool sending)
{
	unix_started(sk, 0, sending, false);
}

static __always_inline void unix_send_started(struct sock *sk, struct msghdr *msg, bool direct)
{
	struct call *call = unix_started(sk, msg, true, direct);

	if (call)
		call->urgent = FIELD(direct, msg, msg_flags) & MSG_OOB;
}

static __always_inline void unix_receive_started(struct sock *sk, struct msghdr *msg, __u32 flags, bool direct)
{
	if (!(flags & NOT_A_READ))
		unix_started(sk, msg, false, direct);
}

/*
 * The end of a call, which had user memory or not. A return probe has no arguments: then sk is
 * NULL.
 */
static __always_inline void unix_returned(struct sock *sk, int result, bool sending, bool memory)
{
	struct unix_state *state;
	struct task_calls *calls;
	struct call *call;

	if (sk && unix_is_foreign(sk, UNIX_BY_ADDRESS))
		return;
	calls = existing_calls();
	if (!calls)
		return;
	call = sending ? &calls->send : &calls->receive;
	if (!call->sk || (sk && call->sk != address_of(sk)))
		return;
	sk = (struct sock *)call->sk;
	if (BPF_CORE_READ(sk, __sk_common.skc_family) != AF_UNIX)
		return;
	call->sk = 0;
	state = unix_state_of(sk);
	if (!state)
		return;
	if (result <= 0) {
		if (unix_ended(sk, result))
			end_unix_peer(sk, state, result);
		return;
	}
	if (sending)
		unix_sent(sk, state, call->time, memory ? &call->cursor : (void *)0, result, memory && call->urgent,
			  true);
	else
		unix_received(sk, state, memory ? &call->cursor : (void *)0, result, true);
}

/* The application closes a socket. */
static __always_inline void unix_released(struct sock *sk)
{
	struct unix_state *state;

	if (!sk || unix_is_foreign(sk, UNIX_BY_ADDRESS))
		return;
	state = stored_unix_state(sk, UNIX_BY_ADDRESS);
	if (state && state->version == unix_version)
		end_unix(sk, state);
}

/* The application says that it sends no more. */
static __always_inline void unix_shut_down(struct sock *sk, int how)
{
	struct unix_state *state;

	if (how == SHUT_RD || unix_is_foreign(sk, UNIX_BY_ADDRESS))
		return;
	state = unix_state_of(sk);
	if (state && state->role != ROLE_NONE)
		submit_unix(sk, state, EVENT_HALF_CLOSED, bpf_ktime_get_ns(), 0);
}

/* The memory of a socket is freed. */
static __always_inline void unix_freed(struct sock *sk)
{
	__u64 address = address_of(sk), *word = unix_foreign_slot(sk);

	if (word && *word >> 16 == address << 16 >> 16)
		*word = 0;
	else
		bpf_map_delete_elem(&unix_states, &address);
}

/* The start of a send on a socket whose messages are no stream. */
static __always_inline void unix_message_sent(struct sock *sk)
{
	struct unix_state *state;

	if (unix_is_foreign(sk, UNIX_BY_ADDRESS))
		return;
	state = unix_state_of(sk);
	if (state && state->role != ROLE_NONE)
		unix_sequenced(sk, state);
}

/* -- calls of which only the end is probed: the states are in the sockets -- */

/*
 * True if another duplicate has already run for this call. The duplicates run in their order, so one
 * that is not behind the latest one begins a new call. If the kernel skips the last duplicates in
 * one call, and the first ones in the next call, the next call is missed.
 */
static __always_inline bool unix_already_run(bool sending)
{
	struct task_calls *calls;
	struct call *call;
	bool already;

	if (duplicates < 2)
		return false;
	calls = current_calls();
	if (!calls)
		return false;
	call = sending ? &calls->send : &calls->receive;
	already = call->unix_duplicate && duplicate >= call->unix_duplicate;
	call->unix_duplicate = duplicate + 1;
	return already;
}

/* The end of a receive of n bytes. Bytes that no probe saw stand before them. */
static __always_inline void unix_received_from(struct sock *sk, struct unix_state *state, struct cursor *cursor,
					       __u32 n)
{
	if (state->role != ROLE_NONE) {
		__u32 end = unix_received_offset(sk, state);

		if ((__s32)(end - state->received - n) > 0)
			state->received = end - n;
	}
	unix_received(sk, state, cursor, n, false);
}

static __always_inline void unix_call_ended(struct sock *sk, int result, bool sending)
{
	struct cursor cursor = {};
	struct unix_state *state;
	bool urgent = false;
	__u32 verdict;

	if (sk->__sk_common.skc_family != AF_UNIX)
		return;
	verdict = stored_unix_verdict(sk);
	if (verdict == UNIX_FOREIGN || (verdict == UNIX_OTHER_END && !sending && result > 0))
		return;
	state = judged_unix_state(sk, UNIX_BY_STORAGE);
	if (!state || !unix_observed(state) || unix_already_run(sending))
		return;
	if (state->role != ROLE_NONE)
		cursor_of_syscall(&cursor, result, sending);
	if (sending && cursor.memory != MEMORY_NONE)
		urgent = syscall_send_flags(task_registers(bpf_get_current_task_btf())) & MSG_OOB;
	if (result <= 0)
		unix_failed(sk, state, result, !sending);
	else if (sending)
		unix_sent(sk, state, 0, &cursor, result, urgent, false);
	else
		unix_received_from(sk, state, &cursor, result);
}

#endif
