/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A socket call from its start to its end: the code that the programs of all backends share. */
#ifndef OBSERVER_CALLS_H
#define OBSERVER_CALLS_H

#include "streams.h"

/* Flags of a receive that does not consume bytes of the stream. */
#define NOT_A_READ (MSG_OOB | MSG_PEEK | MSG_ERRQUEUE)

/*
 * True if the call began on this socket. The barrier keeps the compiler from using the number as
 * the pointer.
 */
static __always_inline bool began_on(__u64 began, struct sock *sk)
{
	__u64 this = (__u64)sk;

	barrier_var(this);
	return began == this;
}

/*
 * Reports the byte of MSG_OOB, the last one of a send. How the other end receives it is not known
 * here.
 */
static __always_inline void submit_urgent(struct sock *sk, __u8 role, __u32 seq, bool direct)
{
	struct event e = {};

	put_connection(&e, sk, role, direct);
	e.kind = EVENT_SENT_GAP;
	e.time = bpf_ktime_get_ns();
	e.seq = seq;
	e.len = 1;
	e.reason = GAP_URGENT;
	submit(&e, sizeof(e));
}

/* Reports that the connection opens, before the payload of its SYN. */
static __always_inline void submit_opening(struct sock *sk, __u8 role, __u64 sent, __u32 seq, bool direct)
{
	struct event e = {};

	put_connection(&e, sk, role, direct);
	e.kind = EVENT_OPENING;
	e.flags = user_namespace_flag(sk);
	e.time = sent - 1;
	e.seq = seq;
	submit(&e, sizeof(e));
}

/* True if a send opens its connection (TCP Fast Open): the socket has no remote port until then. */
static __always_inline bool opens_fast(struct sock *sk, struct msghdr *msg, bool direct)
{
	return !remote_port(sk, direct) && FIELD(direct, msg, msg_flags) & MSG_FASTOPEN;
}

/*
 * The start of a send. At entry the iov_iter has not advanced, write_seq is exact, and the time is
 * the application's.
 */
static __always_inline void send_started(struct sock *sk, struct msghdr *msg, bool direct)
{
	struct task_calls *state;
	struct call *call;
	__u64 left;
	__u32 seq;
	__u8 status;

	if (select_tcp(sk, direct) == ROLE_NONE && !opens_fast(sk, msg, direct))
		return;
	if (stopped(sk, STOP_SENT)) /* its end finds out whether it still is */
		return;
	state = current_calls();
	if (!state)
		return;
	call = &state->send;
	seq = TCP_FIELD(sk, write_seq);
	left = FIELD(direct, msg, msg_iter.count);
	/* tcp_sendmsg_locked() calls the tracepoint once for each buffer that it fills. */
	if (call->sk == (__u64)sk && seq - call->seq == (__u32)(call->length - left))
		return;
	call->sk = (__u64)sk;
	call->time = bpf_ktime_get_ns();
	call->seq = seq;
	call->length = left;
	status = FIELD(direct, sk, __sk_common.skc_state);
	call->early = status == TCP_SYN_SENT || status == TCP_CLOSE;
	call->urgent = FIELD(direct, msg, msg_flags) & MSG_OOB;
	cursor_of_iter(&call->cursor, &msg->msg_iter, direct);
}

/* Submits the payload of a send that took result bytes. Its pages are resident now. */
static __always_inline void sent(struct sock *sk, __u8 role, struct task_calls *state, __u32 result, bool direct)
{
	struct call *call = &state->send;
	__u32 payload = result;

	if (call->early) {
		call->seq = TCP_FIELD(sk, write_seq) - result;
		if (FIELD(direct, sk, __sk_common.skc_state) == TCP_SYN_SENT)
			submit_opening(sk, role, call->time, call->seq, direct);
	}
	if (duplicates > 1) {
		state->sent_sk = (__u64)sk;
		state->sent_end = call->seq + result;
	}
	report_owner(sk, role, call->time, direct);
	if (stopped(sk, STOP_SENT))
		return;
	if (call->urgent) {
		payload--;
		submit_urgent(sk, role, call->seq + payload, direct);
		if (!payload)
			return;
	}
	submit_call(sk, role, EVENT_SENT, call->time, call->seq, &call->cursor, payload,
		    call->early || (duplicates > 1 && !is_tcp(sk, direct)), 0, 0, direct);
}

/*
 * The message that recvmmsg or sendmmsg is at. They call the tracepoint once for each message of
 * the vector, up to the last one or an error.
 */
static __always_inline __u64 current_message(__u64 vector, __u64 count, int result)
{
	struct task_calls *state = current_calls();
	__u64 index;

	if (!state)
		return vector;
	index = state->messages == vector && state->next_message < count ? state->next_message : 0;
	state->messages = result < 0 || index + 1 >= count ? 0 : vector;
	state->next_message = index + 1;
	return vector + index * sizeof(struct mmsghdr);
}

/*
 * Sets the cursor to the user memory of the current call, which the socket tracepoints do not pass.
 */
static __always_inline void cursor_of_syscall(struct cursor *c, int result, bool sending)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct pt_regs *regs = task_registers(task);
	struct user_msghdr msg;
	__u64 argument = syscall_argument_2(regs);

	c->offset = 0;
	c->base = argument;
	c->segments = 0;
	c->memory = MEMORY_NONE;
	switch (syscall_shape(task, regs, sending)) {
	case SYSCALL_BUFFER:
		c->memory = MEMORY_USER;
		return;
	case SYSCALL_VECTOR:
		c->memory = MEMORY_USER_IOV;
		c->segments = syscall_argument_3(regs);
		return;
	case SYSCALL_MESSAGES:
		argument = current_message(argument, syscall_argument_3(regs), result);
		/* fall through */
	case SYSCALL_MESSAGE:
		c->memory = MEMORY_USER_IOV; /* without segments if the header cannot be read */
		if (result <= 0 || bpf_probe_read_user(&msg, sizeof(msg), (void *)argument))
			return;
		c->base = (__u64)msg.msg_iov;
		c->segments = msg.msg_iovlen;
		return;
	case SYSCALL_OTHER:
		return;
	}
}

/* True if BPF may redirect the bytes that are sent on a socket: it is in a sockmap. */
static __always_inline bool in_sockmap(struct sock *sk)
{
	return (__u64)FIELD(true, sk, sk_user_data) & 4; /* SK_USER_DATA_PSOCK */
}

/*
 * True if the end of a call can do without its start: the memory is that of the registers. Only
 * where programs have duplicates all those of a start can be skipped.
 */
static __always_inline bool finds_missed_starts(void)
{
	return duplicates > 1 && bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs);
}

/*
 * True if this is the first attachment that runs at the end of a call whose start, as it seems, was
 * missed: the end may have been reported already, which leaves no start either. One that has run
 * before runs for another call now.
 */
static __always_inline bool first_at_end(struct call *call)
{
	__u8 this = 1 << duplicate, before = call->ended & this ? 0 : call->ended;

	call->ended = before | this;
	return !before;
}

/*
 * Sets the cursor of a call of the current task whose start was missed; for a receive, with flags.
 * Which message recvmmsg or sendmmsg is at is not known. A global function, as copy_step() is.
 */
__noinline int find_missed_memory(int result, __u32 flags, bool sending)
{
	struct task_calls *state;
	struct task_struct *task;
	struct cursor *c;

	if (!finds_missed_starts())
		return 0;
	state = current_calls();
	if (!state)
		return 0;
	c = sending ? &state->send.cursor : &state->receive.cursor;
	task = bpf_get_current_task_btf();
	if (flags & MSG_TRUNC || syscall_shape(task, task_registers(task), sending) == SYSCALL_MESSAGES)
		c->memory = MEMORY_NONE;
	else
		cursor_of_syscall(c, result, sending);
	if (sending)
		state->send.urgent = syscall_send_flags(task_registers(task)) & MSG_OOB;
	return 0;
}

/* Determines what the start of a send would have. Its time is late. */
static __always_inline void find_missed_send(struct sock *sk, struct call *call, int result)
{
	call->seq = TCP_FIELD(sk, write_seq) - result;
	call->time = bpf_ktime_get_ns();
	call->early = FIELD(true, sk, __sk_common.skc_state) == TCP_SYN_SENT;
	find_missed_memory(result, 0, true);
	if (in_sockmap(sk) || stream_of(address_of(sk)))
		call->cursor.memory = MEMORY_NONE;
}

/*
 * The end of a send, where the function itself is probed. A return probe has no arguments: then sk
 * is NULL and direct is false.
 */
static __always_inline void send_ended(struct sock *sk, int result, bool direct)
{
	struct task_calls *state;
	__u8 role;

	if (direct && select_tcp(sk, direct) == ROLE_NONE)
		return;
	state = current_calls();
	if (!state)
		return;
	if (!direct)
		sk = (struct sock *)state->send.sk;
	if (!sk)
		return;
	if (!direct || began_on(state->send.sk, sk)) {
		state->send.ended = 1 << duplicate;
	} else {
		if (!finds_missed_starts() || !first_at_end(&state->send) || result <= 0 || stopped(sk, STOP_SENT))
			return;
		find_missed_send(sk, &state->send, result);
	}
	state->send.sk = 0;
	role = select_tcp(sk, direct);
	if (result > 0 && role != ROLE_NONE)
		sent(sk, role, state, result, direct);
}

/*
 * The start of a receive, where the function itself is probed: only now the iov_iter has not
 * advanced.
 */
static __always_inline void receive_started(struct sock *sk, struct msghdr *msg, __u32 flags, bool direct)
{
	struct task_calls *state;

	if (flags & NOT_A_READ || select_tcp(sk, direct) == ROLE_NONE)
		return;
	state = current_calls();
	if (!state)
		return;
	state->receive.sk = (__u64)sk;
	cursor_of_iter(&state->receive.cursor, &msg->msg_iter, direct);
	if (flags & MSG_TRUNC)
		state->receive.cursor.memory = MEMORY_NONE;
}

/* With SO_OOBINLINE the byte of MSG_OOB is the first of the receive that gets it. */
static __always_inline bool begins_urgent(struct sock *sk, __u32 seq, bool direct)
{
	return urgent_inline(sk, direct) && TCP_FIELD(sk, urg_seq) == seq;
}

/* Submits that byte as an event of its own, and advances the cursor. */
static __always_inline void submit_inline(struct sock *sk, __u8 role, struct cursor *cursor, __u32 seq, bool direct)
{
	struct {
		struct event event;
		__u8 byte[8];
	} e = {};
	struct iovec iov = {.iov_base = (void *)cursor->base};

	put_connection(&e.event, sk, role, direct);
	e.event.kind = EVENT_RECEIVED;
	e.event.time = bpf_ktime_get_ns();
	e.event.seq = seq;
	e.event.len = 1;
	e.event.reason = GAP_URGENT;
	if (cursor->memory == MEMORY_USER)
		cursor->base++;
	else if (!cursor->segments || read_segment(&iov, cursor->memory, cursor->base))
		iov.iov_base = 0;
	else
		iov.iov_base += cursor->offset++;
	if (bpf_probe_read_user(e.byte, 1, iov.iov_base)) {
		e.event.kind = EVENT_RECEIVED_GAP;
		e.event.reason = GAP_UNREADABLE;
		submit(&e.event, sizeof(e.event));
		return;
	}
	submit(&e, sizeof(e.event) + 1);
}

/*
 * The end of a receive of result bytes. A value of a megabyte takes dozens of receives, so those
 * inside an elided value return early.
 */
static __always_inline void received(struct sock *sk, __u8 role, bool tcp, struct cursor *cursor, __u32 result,
				     bool direct)
{
	__u32 seq;

	report_owner(sk, role, 0, direct);
	if (stopped(sk, STOP_RECEIVED))
		return;
	seq = (tcp ? received_offset(sk, direct) : MPTCP_FIELD(sk, bytes_consumed)) - result;
	if (result >= LONG_CALL && within_elided_value(address_of(sk), SCRATCH_RECEIVE, seq, result))
		return;
	if (tcp && FIELD(direct, sk, __sk_common.skc_state) == TCP_SYN_RECV)
		submit_state(sk, role, EVENT_OPENING, TCP_FIELD(sk, write_seq), seq, FLAG_ACCEPTED, direct);
	if (tcp && begins_urgent(sk, seq, direct) && cursor->memory != MEMORY_NONE) {
		submit_inline(sk, role, cursor, seq, direct);
		seq++;
		result--;
		if (!result)
			return;
	}
	submit_call(sk, role, EVENT_RECEIVED, bpf_ktime_get_ns(), seq, cursor, result, duplicates > 1 && !tcp,
		    tcp ? received_arrivals(sk, direct) : (void *)0, 0, direct);
}

/* The end of a receive that began in receive_started(); sk and direct as for send_ended(). */
static __always_inline void receive_ended(struct sock *sk, __u32 flags, int result, bool direct)
{
	struct task_calls *state;

	if (direct && select_tcp(sk, direct) == ROLE_NONE)
		return;
	state = current_calls();
	if (!state)
		return;
	if (!direct)
		sk = (struct sock *)state->receive.sk;
	if (!sk)
		return;
	if (!direct || began_on(state->receive.sk, sk)) {
		state->receive.ended = 1 << duplicate;
	} else {
		if (!finds_missed_starts() || !first_at_end(&state->receive) || result <= 0 || flags & NOT_A_READ)
			return;
		find_missed_memory(result, flags, false);
	}
	state->receive.sk = 0;
	if (result > 0)
		received(sk, select_tcp(sk, direct), true, &state->receive.cursor, result, direct);
}

/*
 * True if another attachment has already reported this state change. Two changes of a connection in
 * a row are never the same.
 */
static __always_inline bool already_reported(struct sock *sk, __u64 change)
{
	__u64 key = (__u64)sk;
	__u64 *latest;

	change = change << 32 | TCP_FIELD(sk, write_seq);
	latest = bpf_map_lookup_elem(&changes, &key);
	if (latest && *latest == change)
		return true;
	bpf_map_update_elem(&changes, &key, &change, BPF_ANY);
	return false;
}

/*
 * True if another attachment has already reported this receive, where no start is probed. The next
 * receive of the socket ends at a later offset.
 */
static __always_inline bool receive_already_reported(struct sock *sk, bool tcp)
{
	struct task_calls *state;
	__u32 end;

	if (duplicates < 2)
		return false;
	state = current_calls();
	if (!state)
		return false;
	end = tcp ? TCP_FIELD(sk, copied_seq) : MPTCP_FIELD(sk, bytes_consumed);
	if (state->receive.sk == (__u64)sk && state->receive.seq == end)
		return true;
	state->receive.sk = (__u64)sk;
	state->receive.seq = end;
	return false;
}

/*
 * Determines offset and memory of a send without a start, as with TCP Fast Open, whose payload may
 * be entirely in the SYN; with a start that did not cover all of it; or not in user memory. Returns
 * false if there is nothing to submit.
 */
static __always_inline bool find_sent(struct sock *sk, __u8 role, struct task_calls *state, bool began, int result)
{
	struct call *call = &state->send;
	__u8 stream;

	if (began) {
		if (result > (__s64)call->length)
			call->seq -= result - call->length;
	} else {
		call->seq = TCP_FIELD(sk, write_seq) - result;
		if (duplicates > 1 && state->sent_sk == (__u64)sk && state->sent_end == call->seq + result)
			return false;
	}
	stream = stream_of(address_of(sk));
	if (!began) {
		call->time = bpf_ktime_get_ns();
		call->early = FIELD(true, sk, __sk_common.skc_state) == TCP_SYN_SENT;
		call->urgent = false;
		if (!stream && in_sockmap(sk))
			stream = STREAM_SOCKMAP;
	}
	if (stream) {
		submit_sent_stream(sk, role, stream, true);
		return false;
	}
	cursor_of_syscall(&call->cursor, result, true);
	state->messages = 0; /* the messages behind the first one have a start */
	return true;
}

/* The end of a send on an MPTCP socket, whose start has no tracepoint. */
static __always_inline bool find_sent_by_mptcp(struct sock *sk, struct task_calls *state, int result)
{
	struct call *call = &state->send;
	__u32 end;

	if (!reads_mptcp || FIELD(true, sk, sk_protocol) != IPPROTO_MPTCP)
		return false;
	end = MPTCP_FIELD(sk, write_seq);
	if (result > 0 && duplicates > 1 && state->sent_sk == (__u64)sk && state->sent_end == end)
		return false;
	call->sk = 0;
	call->seq = end - result;
	call->time = bpf_ktime_get_ns();
	call->early = false;
	call->urgent = false;
	cursor_of_syscall(&call->cursor, result, true);
	return result > 0;
}

/* The end of a send on an observed socket, where the socket layer is probed. */
static __always_inline void send_returned(struct sock *sk, __u8 role, int result)
{
	struct task_calls *state;
	struct call *call;
	bool began;

	state = current_calls();
	if (!state)
		return;
	call = &state->send;
	if (is_tcp(sk, true)) {
		began = began_on(call->sk, sk);
		if (began)
			call->sk = 0;
		if (result <= 0)
			return;
		if (!began && stopped(sk, STOP_SENT)) {
			report_owner(sk, role, 0, true);
			return;
		}
		if (!began || result > (__s64)call->length || call->cursor.memory == MEMORY_NONE)
			if (!find_sent(sk, role, state, began, result))
				return;
	} else if (!find_sent_by_mptcp(sk, state, result)) {
		return;
	}
	sent(sk, role, state, result, true);
}

/* The end of a receive on an observed socket, where the socket layer is probed. */
static __always_inline void receive_returned(struct sock *sk, __u8 role, int result, int flags)
{
	struct cursor cursor = {};
	bool tcp = is_tcp(sk, true);

	if (!tcp && (!reads_mptcp || sk->sk_protocol != IPPROTO_MPTCP))
		return;
	if (result > 0 && receive_already_reported(sk, tcp))
		return;
	cursor_of_syscall(&cursor, result, false);
	if (result <= 0)
		return;
	if (flags & MSG_TRUNC)
		cursor.memory = MEMORY_NONE;
	received(sk, role, tcp, &cursor, result, true);
}

/* The start of a call on an MPTCP socket, where the function itself is probed. */
static __always_inline void mptcp_started(struct sock *sk, struct msghdr *msg, __u32 flags, bool sending, bool direct)
{
	struct task_calls *state;
	struct call *call;

	if (flags & NOT_A_READ || select_socket(sk, direct) == ROLE_NONE)
		return;
	state = current_calls();
	if (!state)
		return;
	call = sending ? &state->send : &state->receive;
	call->sk = (__u64)sk;
	call->time = bpf_ktime_get_ns();
	call->early = false;
	call->urgent = false;
	cursor_of_iter(&call->cursor, &msg->msg_iter, direct);
	if (flags & MSG_TRUNC)
		call->cursor.memory = MEMORY_NONE;
}

/* The end of that call; sk and direct as for send_ended(). */
static __always_inline void mptcp_ended(struct sock *sk, int result, bool sending, bool direct)
{
	struct task_calls *state;
	struct call *call;
	__u8 role;

	if (direct && select_socket(sk, direct) == ROLE_NONE)
		return;
	state = current_calls();
	if (!state)
		return;
	call = sending ? &state->send : &state->receive;
	if (!call->sk)
		return;
	if (!direct)
		sk = (struct sock *)call->sk;
	else if (!began_on(call->sk, sk))
		return;
	call->sk = 0;
	role = select_socket(sk, direct);
	if (result <= 0 || role == ROLE_NONE)
		return;
	if (sending) {
		call->seq = MPTCP_FIELD(sk, write_seq) - result;
		sent(sk, role, state, result, direct);
	} else {
		received(sk, role, false, &call->cursor, result, direct);
	}
}

#endif
