/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Streams that are not plain TCP. MPTCP is observed at the application's socket, whose stream is
 * carried by subflows. The subflows are TCP sockets of the kernel and are left out. For a stream
 * that cannot be read, the probes report its kind.
 */
#ifndef OBSERVER_STREAMS_H
#define OBSERVER_STREAMS_H

#include "emit.h"

/*
 * MPTCP offsets have 64 bits. Their lower half comes first in memory and corresponds to a TCP
 * offset.
 */
#define MPTCP_FIELD(sk, field) read_beyond(sk, bpf_core_field_offset(struct mptcp_sock, field), sizeof(__u32))

/* Reports the kind of a socket's stream. */
static __always_inline void submit_stream(struct sock *sk, __u8 role, __u8 stream, bool direct)
{
	struct event e = {};

	put_connection(&e, sk, role, direct);
	e.kind = EVENT_OTHER_STREAM;
	e.time = bpf_ktime_get_ns();
	e.reason = stream;
	e.flags = in_own_network(sk) ? FLAG_OWN_NETWORK : 0;
	submit(&e, sizeof(e));
}

/*
 * Reports a kTLS socket. It may not have been reported by its calls: on 6.1 it sends through
 * do_tcp_sendpages(), which no probe sees.
 */
static __always_inline void report_ktls(struct sock *sk, __u8 role, bool direct)
{
	if (stream_of(address_of(sk)) == STREAM_KTLS)
		submit_stream(sk, role, STREAM_KTLS, direct);
}

/* Reports the kind of a stream with each send, until user space stops the connection. */
static __always_inline void submit_sent_stream(struct sock *sk, __u8 role, __u8 stream, bool direct)
{
	if (!stopped(sk, STOP_SENT | STOP_RECEIVED))
		submit_stream(sk, role, stream, direct);
}

/* True if a TCP socket carries a part of an MPTCP stream. */
static __always_inline bool is_subflow(struct sock *sk)
{
	struct tcp_sock *tp = (void *)sk;

	return bpf_core_field_exists(tp->is_mptcp) &&
	       (read_beyond(sk, bpf_core_field_offset(struct tcp_sock, is_mptcp), 1) & 1);
}

/* The application's socket of the first subflow of an MPTCP stream; NULL for the other subflows. */
static __always_inline struct sock *application_socket(struct sock *subflow)
{
	struct mptcp_subflow_context *context =
	    (void *)BPF_CORE_READ((struct inet_connection_sock *)subflow, icsk_ulp_data);
	struct sock *sk = BPF_CORE_READ(context, conn);

	return BPF_CORE_READ((struct mptcp_sock *)sk, first) == subflow ? sk : (void *)0;
}

/*
 * Handles a state change of a subflow whose stream cannot be read. Each subflow counts, because not
 * every kernel says which is the first. Its end is reported at TCP_CLOSE, because MPTCP clears the
 * ports of the socket (tcp_disconnect()) before tcp_destroy_sock.
 */
static __always_inline void unread_subflow_changed(struct sock *subflow, __u8 role, int to)
{
	if (to == TCP_ESTABLISHED)
		submit_stream(subflow, role, STREAM_MPTCP, true);
	else if (to == TCP_CLOSE)
		submit_closed(subflow, role, 0, 0, 0);
}

/* Reports that an MPTCP stream opens at the accepting end. */
static __always_inline void submit_accepted_stream(struct sock *sk, struct sock *subflow, __u8 role)
{
	struct state_event e = {};

	put_connection(&e.event, subflow, role, true);
	e.event.conn = (__u64)sk;
	e.event.kind = EVENT_OPEN;
	e.event.time = bpf_ktime_get_ns();
	e.event.seq = MPTCP_FIELD(sk, write_seq);
	e.event.received_seq = MPTCP_FIELD(sk, bytes_consumed);
	e.event.flags = FLAG_ACCEPTED | user_namespace_flag(subflow);
	submit_begun(&e, sk, false);
}

/*
 * Handles a state change of a subflow. At the accepting end, the application's socket has no
 * addresses yet when it becomes established, so the first subflow reports that.
 */
static __always_inline void subflow_changed(struct sock *subflow, __u8 role, int from, int to)
{
	struct sock *sk;

	if (!reads_mptcp) {
		unread_subflow_changed(subflow, role, to);
		return;
	}
	if (to != TCP_ESTABLISHED || from != TCP_SYN_RECV)
		return;
	sk = application_socket(subflow);
	if (!sk)
		return;
	begin_generation(sk);
	submit_accepted_stream(sk, subflow, role);
}

/*
 * True if the application closed an MPTCP socket that enters TCP_CLOSE: earlier, or right now with
 * unread data, which resets the connection while the socket still belongs to the application.
 */
static __always_inline bool mptcp_closed_here(struct sock *sk, int from)
{
	if (FIELD(true, sk, __sk_common.skc_flags) >> SOCK_DEAD_BIT & 1)
		return true;
	return (from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT) && FIELD(true, sk, sk_shutdown) == SHUTDOWN_MASK;
}

/*
 * Handles a state change of the application's socket. Its last change, at or after close(), is its
 * end.
 */
static __always_inline void mptcp_changed(struct sock *sk, __u8 role, int from, int to)
{
	if (!reads_mptcp || from == TCP_LISTEN || to == TCP_LISTEN || !remote_port(sk, true))
		return;
	if (to == TCP_ESTABLISHED)
		submit_state(sk, role, EVENT_OPEN, MPTCP_FIELD(sk, write_seq), MPTCP_FIELD(sk, bytes_consumed), 0,
			     true);
	else if (from == TCP_ESTABLISHED && to == TCP_FIN_WAIT1)
		submit_state(sk, role, EVENT_HALF_CLOSED, MPTCP_FIELD(sk, write_seq), MPTCP_FIELD(sk, bytes_consumed),
			     closed_here(sk, true), true);
	else if (to == TCP_CLOSE && mptcp_closed_here(sk, from))
		submit_closed(sk, role, MPTCP_FIELD(sk, write_seq), MPTCP_FIELD(sk, bytes_consumed),
			      MPTCP_FIELD(sk, bytes_received) - MPTCP_FIELD(sk, bytes_consumed));
	else if (to == TCP_CLOSE_WAIT || to == TCP_CLOSE)
		submit_state(sk, role, EVENT_PEER_CLOSED, MPTCP_FIELD(sk, write_seq), MPTCP_FIELD(sk, bytes_received),
			     manner_of_end(sk), true);
}

/* Handles a state change of a socket that is not TCP. */
static __always_inline void other_changed(struct sock *sk, __u8 role, int from, int to)
{
	switch (FIELD(true, sk, sk_protocol)) {
	case IPPROTO_MPTCP:
		mptcp_changed(sk, role, from, to);
		return;
	case IPPROTO_SCTP: /* its states have the numbers of TCP's */
		if (to == TCP_ESTABLISHED)
			submit_stream(sk, role, STREAM_SCTP, true);
		else if (to == TCP_CLOSE)
			submit_closed(sk, role, 0, 0, 0);
		return;
	}
}

/* An MPTCP socket that existed before the probes. */
static __always_inline void list_mptcp(struct sock *sk, __u8 role, __u8 kind)
{
	__u32 received;

	if (!reads_mptcp || !remote_port(sk, false))
		return;
	received = kind == EVENT_PEER_CLOSED ? MPTCP_FIELD(sk, bytes_received) : MPTCP_FIELD(sk, bytes_consumed);
	submit_state(sk, role, kind, MPTCP_FIELD(sk, write_seq), received, 0, false);
}

#endif
