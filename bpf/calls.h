/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The bodies of the probes: a socket call from its start to its end. The same for every backend. */
#ifndef OBSERVER_CALLS_H
#define OBSERVER_CALLS_H

#include "emit.h"

/* Flags of a receive that takes nothing out of the stream. */
#define NOT_A_READ (MSG_OOB | MSG_PEEK | MSG_ERRQUEUE)

/* Whether the call that began was on this socket. The compiler must not take the number, once equal, for the pointer. */
static __always_inline bool began_on(__u64 began, struct sock *sk)
{
	__u64 this = (__u64)sk;

	one_copy(this);
	return began == this;
}

/* The start of a send: only now are the iterator un-advanced, the offset exact and the time that of the application. */
static __always_inline void send_started(struct sock *sk, struct msghdr *msg, bool direct)
{
	struct task_calls *state;
	struct call *call;
	__u64 left;
	__u32 seq;

	if (observed_role(sk, direct) == ROLE_NONE)
		return;
	state = current_calls();
	if (!state)
		return;
	call = &state->send;
	seq = TCP_FIELD(sk, write_seq);
	left = FIELD(direct, msg, msg_iter.count);
	/* tcp_sendmsg_locked() passes here once for each buffer that it fills. */
	if (call->sk == (__u64)sk && seq - call->seq == (__u32)(call->length - left))
		return;
	call->sk = (__u64)sk;
	call->time = bpf_ktime_get_ns();
	call->seq = seq;
	call->length = left;
	cursor_of_iter(&call->cursor, &msg->msg_iter, direct);
}

/*
 * The end of a send: what the application wrote is in memory, and the result says how much of it was taken. A return probe
 * knows the task only: then sk is NULL and direct is false.
 */
static __always_inline void send_ended(struct sock *sk, int result, bool direct)
{
	struct task_calls *state;

	if (direct && observed_role(sk, direct) == ROLE_NONE)
		return;
	state = current_calls();
	if (!state || !state->send.sk)
		return;
	if (!direct)
		sk = (struct sock *)state->send.sk;
	else if (!began_on(state->send.sk, sk))
		return;
	state->send.sk = 0;
	if (result > 0)
		submit_call(sk, observed_role(sk, direct), EVENT_SENT, state->send.time, state->send.seq,
			    &state->send.cursor, result, direct);
}

/* Where the function itself is probed, the user memory is known at the start only: the iterator advances. */
static __always_inline void receive_started(struct sock *sk, struct msghdr *msg, __u32 flags, bool direct)
{
	struct task_calls *state;

	if (flags & NOT_A_READ || observed_role(sk, direct) == ROLE_NONE)
		return;
	state = current_calls();
	if (!state)
		return;
	state->receive.sk = (__u64)sk;
	cursor_of_iter(&state->receive.cursor, &msg->msg_iter, direct);
	if (flags & MSG_TRUNC)
		state->receive.cursor.memory = MEMORY_NONE;
}

/* The end of a receive. A value of a megabyte comes in dozens of them, so what is in its middle is passed over here. */
static __always_inline void received(struct sock *sk, __u8 role, struct cursor *cursor, int result, bool direct)
{
	__u32 seq = received_offset(sk, direct) - result;

	if (result >= SKIP_CALL && within_body(address_of(sk), SCRATCH_RECEIVE, seq, result))
		return;
	submit_call(sk, role, EVENT_RECEIVED, bpf_ktime_get_ns(), seq, cursor, result, direct);
}

/* The end of a receive that receive_started() saw; sk and direct as in send_ended(). */
static __always_inline void receive_ended(struct sock *sk, int result, bool direct)
{
	struct task_calls *state;

	if (direct && observed_role(sk, direct) == ROLE_NONE)
		return;
	state = current_calls();
	if (!state || !state->receive.sk)
		return;
	if (!direct)
		sk = (struct sock *)state->receive.sk;
	else if (!began_on(state->receive.sk, sk))
		return;
	state->receive.sk = 0;
	if (result > 0)
		received(sk, observed_role(sk, direct), &state->receive.cursor, result, direct);
}

/* Whether a copy of this program has told of this change of a connection: no two changes in a row are the same. */
static __always_inline bool told_by_copy(struct sock *sk, __u64 change)
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

/* Whether a copy of this program has seen this receive, where no start is seen: the next one of the socket ends further on. */
static __always_inline bool seen_by_copy(struct sock *sk)
{
	struct task_calls *state;
	__u32 end;

	if (copies < 2)
		return false;
	state = current_calls();
	if (!state)
		return false;
	end = TCP_FIELD(sk, copied_seq);
	if (state->receive.sk == (__u64)sk && state->receive.seq == end)
		return true;
	state->receive.sk = (__u64)sk;
	state->receive.seq = end;
	return false;
}

/* recvmmsg receives into one message after the other, and calls the tracepoint for each; an error ends it, or the last one. */
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

/* The user memory that the current receive call was given: the socket tracepoints do not carry it. */
static __always_inline void cursor_of_syscall(struct cursor *c, int result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct pt_regs *regs = task_registers(task);
	struct user_msghdr msg;
	__u64 argument = syscall_argument_2(regs);

	c->offset = 0;
	c->base = argument;
	c->pieces = 0;
	c->memory = MEMORY_NONE;
	switch (syscall_shape(task, regs)) {
	case SYSCALL_BUFFER:
		c->memory = MEMORY_USER;
		return;
	case SYSCALL_VECTOR:
		c->memory = MEMORY_USER_IOV;
		c->pieces = syscall_argument_3(regs);
		return;
	case SYSCALL_MESSAGES:
		argument = current_message(argument, syscall_argument_3(regs), result);
		/* fall through: a message like any other */
	case SYSCALL_MESSAGE:
		c->memory = MEMORY_USER_IOV; /* of no pieces if the header cannot be read */
		if (result <= 0 || bpf_probe_read_user(&msg, sizeof(msg), (void *)argument))
			return;
		c->base = (__u64)msg.msg_iov;
		c->pieces = msg.msg_iovlen;
		return;
	case SYSCALL_OTHER:
		return;
	}
}

#endif
