//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The programs. Each one fetches its arguments and calls a function of calls.h, which all backends
 * share. A tap is a set of these programs (tap.go).
 */
#include "ciphertext.h"
#include "connect.h"
#include "unix.h"

#define __VMLINUX_H__ /* bpf_tracing.h: the registers have their kernel names */
#include "headers/bpf_tracing.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* Makes bpf2go generate the types that no map refers to. */
const enum event_kind *unused_kind __attribute__((unused));
const enum event_role *unused_role __attribute__((unused));
const enum event_flag *unused_flag __attribute__((unused));
const enum gap_reason *unused_reason __attribute__((unused));
const enum stream *unused_stream __attribute__((unused));
const enum connect_failure *unused_failure __attribute__((unused));
const enum loss *unused_loss __attribute__((unused));
const enum consumer *unused_consumer __attribute__((unused));
const enum percpu_ring_slack *unused_percpu_ring_slack __attribute__((unused));
const enum stop_direction *unused_stop_direction __attribute__((unused));
const enum tls_role *unused_tls_role __attribute__((unused));
const enum owner_size *unused_owner_size __attribute__((unused));
const struct owner_event *unused_owner_event __attribute__((unused));
const struct cgroup_event *unused_cgroup_event __attribute__((unused));
const enum arrival_count *unused_arrival_count __attribute__((unused));
const struct arrivals_copy *unused_arrivals_copy __attribute__((unused));
const struct percpu_ring *unused_percpu_ring __attribute__((unused));

/* -- fentry: trampolines around the functions themselves -- */

SEC("fentry/tcp_sendmsg_locked")
int BPF_PROG(fentry_send, struct sock *sk, struct msghdr *msg)
{
	send_started(sk, msg, true);
	return 0;
}

SEC("fexit/tcp_sendmsg_locked")
int BPF_PROG(fentry_sent, struct sock *sk, struct msghdr *msg, unsigned long size, int result)
{
	if (select_tcp(sk, true) == ROLE_NONE)
		return 0;
	send_ended(sk, result, true);
	if (result > 0)
		CONTINUE_WITH(ctx, tls_sent);
	return 0;
}

SEC("fentry/tcp_recvmsg")
int BPF_PROG(fentry_receive, struct sock *sk, struct msghdr *msg)
{
	__u64 flags;

	if (recvmsg_parameters == 6)
		flags = CONTEXT_WORD(ctx, 4);
	else
		flags = CONTEXT_WORD(ctx, 3);
	receive_started(sk, msg, flags, true);
	return 0;
}

SEC("fexit/tcp_recvmsg")
int BPF_PROG(fentry_received, struct sock *sk)
{
	__u64 flags, result;

	if (recvmsg_parameters == 6) {
		flags = CONTEXT_WORD(ctx, 4);
		result = CONTEXT_WORD(ctx, 6);
	} else if (recvmsg_parameters == 5) {
		flags = CONTEXT_WORD(ctx, 3);
		result = CONTEXT_WORD(ctx, 5);
	} else {
		flags = CONTEXT_WORD(ctx, 3);
		result = CONTEXT_WORD(ctx, 4);
	}
	if (select_tcp(sk, true) == ROLE_NONE)
		return 0;
	receive_ended(sk, flags, result, true);
	if ((__s32)result > 0 && !(flags & NOT_A_READ))
		CONTINUE_WITH(ctx, tls_received);
	return 0;
}

/* -- kprobe: the same functions by breakpoint -- */

SEC("kprobe/tcp_sendmsg_locked")
int BPF_KPROBE(kprobe_send, struct sock *sk, struct msghdr *msg)
{
	send_started(sk, msg, false);
	return 0;
}

SEC("kretprobe/tcp_sendmsg_locked")
int BPF_KRETPROBE(kprobe_sent, int result)
{
	send_ended(0, result, false);
	return 0;
}

SEC("kprobe/tcp_recvmsg")
int BPF_KPROBE(kprobe_receive, struct sock *sk, struct msghdr *msg)
{
	__u64 fourth = PT_REGS_PARM4(ctx), fifth = PT_REGS_PARM5(ctx);

	barrier_var(fourth);
	barrier_var(fifth);
	receive_started(sk, msg, recvmsg_parameters == 6 ? fifth : fourth, false);
	return 0;
}

SEC("kretprobe/tcp_recvmsg")
int BPF_KRETPROBE(kprobe_received, int result)
{
	receive_ended(0, 0, result, false);
	return 0;
}

/* -- MPTCP and sockmaps by fentry and kprobe; the tracepoints see the calls of every protocol -- */

SEC("fentry/mptcp_sendmsg")
int BPF_PROG(fentry_mptcp_send, struct sock *sk, struct msghdr *msg)
{
	mptcp_started(sk, msg, 0, true, true);
	return 0;
}

SEC("fexit/mptcp_sendmsg")
int BPF_PROG(fentry_mptcp_sent, struct sock *sk, struct msghdr *msg, unsigned long size, int result)
{
	mptcp_ended(sk, result, true, true);
	return 0;
}

SEC("fentry/mptcp_recvmsg")
int BPF_PROG(fentry_mptcp_receive, struct sock *sk, struct msghdr *msg, unsigned long size, int flags)
{
	mptcp_started(sk, msg, flags, false, true);
	return 0;
}

SEC("fexit/mptcp_recvmsg")
int BPF_PROG(fentry_mptcp_received, struct sock *sk)
{
	__u64 result;

	if (recvmsg_parameters == 5)
		result = CONTEXT_WORD(ctx, 5);
	else
		result = CONTEXT_WORD(ctx, 4);
	mptcp_ended(sk, result, false, true);
	return 0;
}

SEC("fentry/tcp_bpf_sendmsg")
int BPF_PROG(fentry_sockmap, struct sock *sk)
{
	__u8 role = select_tcp(sk, true);

	if (role != ROLE_NONE)
		submit_sent_stream(sk, role, STREAM_SOCKMAP, true);
	return 0;
}

SEC("kprobe/mptcp_sendmsg")
int BPF_KPROBE(kprobe_mptcp_send, struct sock *sk, struct msghdr *msg)
{
	mptcp_started(sk, msg, 0, true, false);
	return 0;
}

SEC("kretprobe/mptcp_sendmsg")
int BPF_KRETPROBE(kprobe_mptcp_sent, int result)
{
	mptcp_ended(0, result, true, false);
	return 0;
}

SEC("kprobe/mptcp_recvmsg")
int BPF_KPROBE(kprobe_mptcp_receive, struct sock *sk, struct msghdr *msg, unsigned long size, int flags)
{
	mptcp_started(sk, msg, flags, false, false);
	return 0;
}

SEC("kretprobe/mptcp_recvmsg")
int BPF_KRETPROBE(kprobe_mptcp_received, int result)
{
	mptcp_ended(0, result, false, false);
	return 0;
}

SEC("kprobe/tcp_bpf_sendmsg")
int BPF_KPROBE(kprobe_sockmap, struct sock *sk)
{
	__u8 role = select_tcp(sk, false);

	if (role != ROLE_NONE)
		submit_sent_stream(sk, role, STREAM_SOCKMAP, false);
	return 0;
}

/* -- tracepoint: typed tracepoints of the socket layer, Linux 6.16 and later -- */

SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(tracepoint_send, struct sock *sk, struct msghdr *msg)
{
	send_started(sk, msg, true);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(tracepoint_sent, struct sock *sk, int result)
{
	__u8 role = select_socket(sk, true);

	if (role == ROLE_NONE)
		return 0;
	send_returned(sk, role, result);
	if (result > 0)
		CONTINUE_WITH(ctx, tls_sent);
	return 0;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(tracepoint_received, struct sock *sk, int result, int flags)
{
	__u8 role = select_socket(sk, true);

	if (role == ROLE_NONE || flags & NOT_A_READ)
		return 0;
	receive_returned(sk, role, result, flags);
	if (result > 0)
		CONTINUE_WITH(ctx, tls_received);
	return 0;
}

/* -- life of connections, all backends -- */

static __always_inline void submit_tcp_closed(struct sock *sk, __u8 role)
{
	__s32 unread;
	__u32 read = read_at_close(sk, &unread);

	submit_closed(sk, role, TCP_FIELD(sk, write_seq), read, unread);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(connection_state, struct sock *sk, int from, int to)
{
	__u8 role = select_socket(sk, true);
	__u32 write_seq;

	if (role == ROLE_NONE || already_reported(sk, 1 << 16 | from << 8 | to))
		return 0;
	if (to == TCP_SYN_SENT || to == TCP_ESTABLISHED || to == TCP_CLOSE)
		begin_generation(sk);
	if (!is_tcp(sk, true)) {
		other_changed(sk, role, from, to);
		return 0;
	}
	if (is_subflow(sk)) {
		subflow_changed(sk, role, from, to);
		return 0;
	}
	if (from == TCP_ESTABLISHED)
		report_ktls(sk, role, true);
	if (closed_for_sending(sk, from, to))
		end_plaintext(sk);
	write_seq = TCP_FIELD(sk, write_seq);
	if (to == TCP_SYN_SENT)
		connect_started(sk);
	else if (to == TCP_ESTABLISHED && from == TCP_SYN_SENT)
		connected(sk, role);
	else if (to == TCP_ESTABLISHED)
		submit_state(sk, role, EVENT_OPEN, write_seq, TCP_FIELD(sk, copied_seq),
			     from == TCP_SYN_RECV ? FLAG_ACCEPTED : 0, true);
	else if (from == TCP_ESTABLISHED && to == TCP_FIN_WAIT1)
		submit_state(sk, role, EVENT_HALF_CLOSED, write_seq, TCP_FIELD(sk, copied_seq), closed_here(sk, true),
			     true);
	else if (to == TCP_CLOSE && from == TCP_LISTEN)
		return 0;
	else if (to == TCP_CLOSE && (from == TCP_SYN_SENT || from == TCP_SYN_RECV) && connect_ended(sk, role, from))
		return 0;
	else if (to == TCP_CLOSE && aborted_here(sk, from))
		submit_tcp_closed(sk, role);
	else if (to == TCP_CLOSE_WAIT || to == TCP_CLOSE)
		submit_state(sk, role, EVENT_PEER_CLOSED, write_seq, TCP_FIELD(sk, rcv_nxt) - fin_received(sk, true),
			     closed_here(sk, true) | manner_of_end(sk), true);
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(connection_end, struct sock *sk)
{
	__u8 role = select_tcp(sk, true);

	if (role == ROLE_NONE || already_reported(sk, 1))
		return 0;
	begin_generation(sk);
	submit_tcp_closed(sk, role);
	return 0;
}

/* -- when bytes became readable, with metrics.phases; all backends -- */

SEC("tp_btf/tcp_probe")
int BPF_PROG(segment_arrival, struct sock *sk, struct sk_buff *skb)
{
	segment_arrived(sk, skb);
	return 0;
}

/* -- the listing: connections that exist already -- */

/* The write_seq of a half-closed connection includes its FIN. */
static __always_inline void list_tcp(struct sock *sk, __u8 role, __u8 kind)
{
	__u32 write_seq = TCP_FIELD(sk, write_seq);

	if (kind == EVENT_EXISTING) {
		report_ktls(sk, role, false);
		submit_state(sk, role, kind, write_seq, received_offset(sk, false),
			     reply_awaited(sk, role) ? FLAG_AWAITED : 0, false);
	} else if (kind == EVENT_HALF_CLOSED) {
		submit_state(sk, role, kind, write_seq, received_offset(sk, false), closed_here(sk, false), false);
	} else if (kind == EVENT_PEER_CLOSED) {
		submit_state(sk, role, kind, write_seq, TCP_FIELD(sk, rcv_nxt) - fin_received(sk, false), 0, false);
	}
}

static __always_inline void list_connection(struct sock *sk)
{
	__u8 role = select_socket(sk, false);
	__u8 kind;

	if (role == ROLE_NONE)
		return;
	kind = listed_as(BPF_CORE_READ(sk, __sk_common.skc_state));
	if (!kind)
		return;
	if (!is_tcp(sk, false)) {
		if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_MPTCP)
			list_mptcp(sk, role, kind);
	} else if (!is_subflow(sk)) {
		list_tcp(sk, role, kind);
	} else if (!reads_mptcp) {
		submit_stream(sk, role, STREAM_MPTCP, false);
	}
}

/* The connections of the observer's network namespace, including those not accepted yet. */
SEC("iter/tcp")
int connection_list(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common; /* loaded once, because the verifier relates the check to this value */

	if (sk)
		list_connection((struct sock *)sk);
	return 0;
}

/*
 * The connections held by processes, in any network namespace: entering each namespace needs
 * CAP_SYS_ADMIN.
 */
SEC("iter/task_file")
int connection_list_held(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct sock *sk;

	if (!file)
		return 0;
	sk = socket_of_file(file);
	if (sk)
		list_connection(sk);
	return 0;
}

/* -- Unix sockets: a tap of their own, attached only while paths are observed -- */

SEC("fentry/unix_stream_sendmsg")
int BPF_PROG(fentry_unix_send, struct socket *socket, struct msghdr *msg)
{
	unix_send_started(socket->sk, msg, true);
	return 0;
}

SEC("fexit/unix_stream_sendmsg")
int BPF_PROG(fentry_unix_sent, struct socket *socket, struct msghdr *msg, unsigned long size, int result)
{
	unix_returned(socket->sk, result, true, true);
	return 0;
}

SEC("fentry/unix_stream_recvmsg")
int BPF_PROG(fentry_unix_receive, struct socket *socket, struct msghdr *msg, unsigned long size, int flags)
{
	unix_receive_started(socket->sk, msg, flags, true);
	return 0;
}

SEC("fexit/unix_stream_recvmsg")
int BPF_PROG(fentry_unix_received, struct socket *socket, struct msghdr *msg, unsigned long size, int flags, int result)
{
	unix_returned(socket->sk, result, false, true);
	return 0;
}

SEC("fentry/unix_release")
int BPF_PROG(fentry_unix_release, struct socket *socket)
{
	unix_released(socket->sk);
	return 0;
}

SEC("fentry/unix_shutdown")
int BPF_PROG(fentry_unix_shutdown, struct socket *socket, int how)
{
	unix_shut_down(socket->sk, how);
	return 0;
}

SEC("fentry/unix_sock_destructor")
int BPF_PROG(fentry_unix_free, struct sock *sk)
{
	unix_freed(sk);
	return 0;
}

SEC("fentry/unix_seqpacket_sendmsg")
int BPF_PROG(fentry_unix_sequenced, struct socket *socket)
{
	unix_message_sent(socket->sk);
	return 0;
}

SEC("fentry/unix_stream_splice_read")
int BPF_PROG(fentry_unix_splice, struct socket *socket)
{
	unix_splice_started(socket->sk, false);
	return 0;
}

SEC("fexit/unix_stream_splice_read")
int BPF_PROG(fentry_unix_spliced, struct socket *socket, void *position, void *pipe, unsigned long size,
	     unsigned int flags, long result)
{
	unix_returned(socket->sk, result, false, false);
	return 0;
}

SEC("fentry/unix_stream_sendpage")
int BPF_PROG(fentry_unix_sendpage, struct socket *socket)
{
	unix_splice_started(socket->sk, true);
	return 0;
}

SEC("fexit/unix_stream_sendpage")
int BPF_PROG(fentry_unix_sentpage, struct socket *socket, void *page, int offset, unsigned long size, int flags,
	     long result)
{
	unix_returned(socket->sk, result, true, false);
	return 0;
}

SEC("kprobe/unix_stream_sendmsg")
int BPF_KPROBE(kprobe_unix_send, struct socket *socket, struct msghdr *msg)
{
	unix_send_started(BPF_CORE_READ(socket, sk), msg, false);
	return 0;
}

SEC("kretprobe/unix_stream_sendmsg")
int BPF_KRETPROBE(kprobe_unix_sent, int result)
{
	unix_returned(0, result, true, true);
	return 0;
}

SEC("kprobe/unix_stream_recvmsg")
int BPF_KPROBE(kprobe_unix_receive, struct socket *socket, struct msghdr *msg, unsigned long size, int flags)
{
	unix_receive_started(BPF_CORE_READ(socket, sk), msg, flags, false);
	return 0;
}

SEC("kretprobe/unix_stream_recvmsg")
int BPF_KRETPROBE(kprobe_unix_received, int result)
{
	unix_returned(0, result, false, true);
	return 0;
}

SEC("kprobe/unix_release")
int BPF_KPROBE(kprobe_unix_release, struct socket *socket)
{
	unix_released(BPF_CORE_READ(socket, sk));
	return 0;
}

SEC("kprobe/unix_shutdown")
int BPF_KPROBE(kprobe_unix_shutdown, struct socket *socket, int how)
{
	unix_shut_down(BPF_CORE_READ(socket, sk), how);
	return 0;
}

SEC("kprobe/unix_sock_destructor")
int BPF_KPROBE(kprobe_unix_free, struct sock *sk)
{
	unix_freed(sk);
	return 0;
}

SEC("kprobe/unix_seqpacket_sendmsg")
int BPF_KPROBE(kprobe_unix_sequenced, struct socket *socket)
{
	unix_message_sent(BPF_CORE_READ(socket, sk));
	return 0;
}

SEC("kprobe/unix_stream_splice_read")
int BPF_KPROBE(kprobe_unix_splice, struct socket *socket)
{
	unix_splice_started(BPF_CORE_READ(socket, sk), false);
	return 0;
}

SEC("kretprobe/unix_stream_splice_read")
int BPF_KRETPROBE(kprobe_unix_spliced, int result)
{
	unix_returned(0, result, false, false);
	return 0;
}

SEC("kprobe/unix_stream_sendpage")
int BPF_KPROBE(kprobe_unix_sendpage, struct socket *socket)
{
	unix_splice_started(BPF_CORE_READ(socket, sk), true);
	return 0;
}

SEC("kretprobe/unix_stream_sendpage")
int BPF_KRETPROBE(kprobe_unix_sentpage, int result)
{
	unix_returned(0, result, true, false);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(tracepoint_unix_sent, struct sock *sk, int result)
{
	unix_call_ended(sk, result, true);
	return 0;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(tracepoint_unix_received, struct sock *sk, int result, int flags)
{
	if (!(flags & NOT_A_READ))
		unix_call_ended(sk, result, false);
	return 0;
}

/* The Unix sockets of the observer's network namespace, including those not accepted yet. */
SEC("iter/unix")
int unix_list(struct bpf_iter__unix *ctx)
{
	struct unix_sock *sk = ctx->unix_sk;

	if (!sk)
		return 0;
	if (unix_by_address)
		list_unix_socket((struct sock *)sk, UNIX_BY_ADDRESS);
	else
		list_unix_socket((struct sock *)sk, UNIX_BY_STORAGE);
	return 0;
}

/* The Unix sockets held by processes, in any network namespace. */
SEC("iter/task_file")
int unix_list_held(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct sock *sk;

	if (!file)
		return 0;
	sk = socket_of_file(file);
	if (!sk || BPF_CORE_READ(sk, __sk_common.skc_family) != AF_UNIX)
		return 0;
	if (unix_by_address)
		list_unix_socket(sk, UNIX_BY_ADDRESS);
	else
		list_unix_socket(sk, UNIX_BY_READING);
	return 0;
}

/* A pass over the Unix sockets that have a state. User space runs it. */
SEC("syscall")
int unix_pass(void *ctx)
{
	bpf_for_each_map_elem(&unix_states, pass_unix_state, 0, 0);
	return 0;
}

/* -- TLS: taps of their own, attached only where a TLS connection was seen -- */

/* Runs at the chosen instructions of a library. The cookie says which one it is. */
SEC("uprobe.multi")
int tls_point(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	__u64 stack = PT_REGS_SP(ctx) + TLS_COOKIE_FRAME(cookie);
	__u64 ssl = PT_REGS_PARM1(ctx), buffer = PT_REGS_PARM2(ctx), out = 0;
	__u64 third = PT_REGS_PARM3(ctx), fourth = PT_REGS_PARM4(ctx), fifth = PT_REGS_PARM5(ctx);
	__u64 go_first = GO_ARGUMENT_1(ctx), go_second = GO_ARGUMENT_2(ctx), go_third = GO_ARGUMENT_3(ctx);
	__u64 goroutine = GO_GOROUTINE(ctx);
	__u16 attachment = TLS_COOKIE_ATTACHMENT(cookie);
	__u16 counters = TLS_COOKIE_COUNTERS(cookie);
	__u8 role = TLS_COOKIE_ROLE(cookie);
	__s32 returned = PT_REGS_RC(ctx);
	struct tls_task *task;
	struct tls_call *call;

	barrier_var(third);
	barrier_var(fourth);
	barrier_var(fifth);
	barrier_var(go_first);
	barrier_var(go_second);
	barrier_var(go_third);
	barrier_var(goroutine);
	if (role == TLS_WRITE_EX_START || role == TLS_READ_EX_START)
		out = fourth;
	else if (role == TLS_WRITE_FIFTH_START)
		out = fifth;
	switch (role) {
	case TLS_WRITE_START:
	case TLS_WRITE_EX_START:
	case TLS_WRITE_FIFTH_START:
		tls_started(TLS_SENT, ssl, stack, buffer, third, out, false, attachment);
		return 0;
	case TLS_READ_START:
	case TLS_READ_EX_START:
	case TLS_OTHER_START:
		check_input(ssl, attachment);
		tls_started(TLS_RECEIVED, ssl, stack, buffer, 0, out, role == TLS_OTHER_START, attachment);
		return 0;
	case TLS_WRITE_END:
	case TLS_WRITE_EX_END:
		tls_ended(TLS_SENT, stack, role == TLS_WRITE_EX_END, returned);
		return 0;
	case TLS_READ_END:
	case TLS_READ_EX_END:
		tls_ended(TLS_RECEIVED, stack, role == TLS_READ_EX_END, returned);
		return 0;
	case TLS_FREE:
		tls_freed(ssl);
		return 0;
	case TLS_CLEAR:
		unbind_tls(ssl);
		return 0;
	case TLS_SET_BIO:
		tls_bio_set(ssl, buffer, third, attachment);
		return 0;
	case TLS_BIO_WRITE:
		task = tls_task(false);
		call = task ? tls_call_around(task, stack) : (void *)0;
		bio_written(ssl, buffer, third, call, call && call == &task->calls[TLS_SENT], counters);
		return 0;
	case TLS_GO_WRITE_START:
	case TLS_GO_READ_START:
		go_started(role == TLS_GO_WRITE_START ? TLS_SENT : TLS_RECEIVED, goroutine, go_first, stack, go_second,
			   go_third, attachment);
		return 0;
	case TLS_GO_WRITE_END:
	case TLS_GO_READ_END:
		go_ended(role == TLS_GO_WRITE_END ? TLS_SENT : TLS_RECEIVED, goroutine, stack, go_first);
		return 0;
	}
	return 0;
}

/* The programs of the socket calls continue with these (CONTINUE_WITH). */
SEC("tp_btf/sock_send_length")
int BPF_PROG(tracepoint_tls_sent, struct sock *sk, int result)
{
	ciphertext_moved(sk, TLS_SENT, result, true);
	return 0;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(tracepoint_tls_received, struct sock *sk, int result)
{
	ciphertext_moved(sk, TLS_RECEIVED, result, true);
	return 0;
}

SEC("fexit/tcp_sendmsg_locked")
int BPF_PROG(fentry_tls_sent, struct sock *sk, struct msghdr *msg, unsigned long size, int result)
{
	ciphertext_moved(sk, TLS_SENT, result, true);
	return 0;
}

SEC("fexit/tcp_recvmsg")
int BPF_PROG(fentry_tls_received, struct sock *sk)
{
	__u64 result;

	if (recvmsg_parameters == 6)
		result = CONTEXT_WORD(ctx, 6);
	else if (recvmsg_parameters == 5)
		result = CONTEXT_WORD(ctx, 5);
	else
		result = CONTEXT_WORD(ctx, 4);
	ciphertext_moved(sk, TLS_RECEIVED, result, true);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tls_state, struct sock *sk, int from, int to)
{
	__u64 now = bpf_ktime_get_ns(), key;

	if (to != TCP_ESTABLISHED || select_tcp(sk, true) == ROLE_NONE)
		return 0;
	key = address_of(sk);
	forget_tls(sk, key);
	bpf_map_update_elem(&tls_opened, &key, &now, BPF_ANY);
	return 0;
}

/* Every TCP socket: one that was reset has lost its ports. */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(tls_end, struct sock *sk)
{
	__u64 key = address_of(sk);

	forget_tls(sk, key);
	bpf_map_delete_elem(&tls_opened, &key);
	return 0;
}
