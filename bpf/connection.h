/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads from a socket whether it is observed, its addresses, its stream offsets and its state. */
#ifndef OBSERVER_CONNECTION_H
#define OBSERVER_CONNECTION_H

#include "maps.h"

/* The address of a socket as a number: the verifier allows no arithmetic on a typed pointer. */
static __always_inline __u64 address_of(struct sock *sk)
{
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &sk);
	return address;
}

/* The lower half of that address, which the verifier allows to be copied without a helper call. */
static __always_inline __u32 low_address_of(struct sock *sk)
{
	__u64 low;

	asm volatile("r0 = %1; w0 = w0; %0 = r0" : "=r"(low) : "r"(sk) : "r0");
	return low;
}

/*
 * The slot of a socket in tables with one word for each. Sockets are larger than 2 KiB and lie side
 * by side, so the slots of sockets that are read in turn share cache lines, eight to a line. A hash
 * table would miss the cache each time.
 */
enum { SLOTS = 1 << 16 };

static __always_inline __u32 slot_of(__u64 conn)
{
	return (conn >> 11) % SLOTS;
}

/*
 * The tag of a socket, which distinguishes it from the others of its slot: the bits of its address
 * below and above those of the slot. The direct map spans at most 54 bits, and sockets are aligned
 * to 64 bytes.
 */
static __always_inline __u32 tag_of(__u64 conn)
{
	return (conn >> 27 << 5) | (conn >> 6 & 31);
}

/* Reads a field beyond struct sock, where typed loads are not allowed. */
static __always_inline __u32 read_beyond(struct sock *sk, __u32 offset, __u32 size)
{
	__u32 value = 0;

	bpf_probe_read_kernel(&value, size, (const char *)sk + offset);
	return value;
}

#define TCP_FIELD(sk, field) read_beyond(sk, bpf_core_field_offset(struct tcp_sock, field), sizeof(__u32))

static __always_inline __u16 remote_port(struct sock *sk, bool direct)
{
	return __builtin_bswap16(FIELD(direct, sk, __sk_common.skc_dport));
}

/* inet_put_port() clears skc_num before the socket enters TCP_CLOSE, but not inet_sport. */
static __always_inline __u16 local_port(struct sock *sk, bool direct)
{
	__u16 port = FIELD(direct, sk, __sk_common.skc_num);

	if (port)
		return port;
	return __builtin_bswap16(read_beyond(sk, bpf_core_field_offset(struct inet_sock, inet_sport), sizeof(__be16)));
}

/*
 * Masks by hand: 5.10, 6.1 and 6.12 lose the bound of a byte-swapped port, and the compiler drops a
 * C mask.
 */
static __always_inline bool port_observed(const __u8 *ports, __u64 port)
{
	asm volatile("%0 &= 0xffff" : "+r"(port));
	return ports[port >> 3] & (1 << (port & 7));
}

/*
 * The socket of an open file, or NULL. Of all objects behind files only a socket points back at its
 * file.
 */
static __always_inline struct sock *socket_of_file(struct file *file)
{
	struct socket *socket = BPF_CORE_READ(file, private_data);

	return BPF_CORE_READ(socket, file) == file ? BPF_CORE_READ(socket, sk) : (void *)0;
}

/* The role in which an IPv4 or IPv6 socket is observed, by its ports. */
static __always_inline __u8 select_inet(struct sock *sk, bool direct)
{
	if (port_observed(client_ports, remote_port(sk, direct)))
		return ROLE_CLIENT;
	if (port_observed(server_ports, local_port(sk, direct)))
		return ROLE_SERVER;
	return ROLE_NONE;
}

/*
 * The role in which a socket of any protocol is observed; ROLE_NONE for most sockets of a machine.
 * Each address family has a function of its own. This runs for every socket call, so these
 * functions use plain loads only, and precede any map lookup.
 */
static __always_inline __u8 select_socket(struct sock *sk, bool direct)
{
	__u16 family = FIELD(direct, sk, __sk_common.skc_family);

	if (family == AF_INET || family == AF_INET6)
		return select_inet(sk, direct);
	return ROLE_NONE;
}

static __always_inline bool is_tcp(struct sock *sk, bool direct)
{
	return FIELD(direct, sk, sk_protocol) == IPPROTO_TCP;
}

/* The role in which a TCP socket is observed; ROLE_NONE for sockets of other protocols. */
static __always_inline __u8 select_tcp(struct sock *sk, bool direct)
{
	__u8 role = select_socket(sk, direct);

	return role != ROLE_NONE && is_tcp(sk, direct) ? role : ROLE_NONE;
}

/*
 * True if the listing of the observer's network namespace reports the socket: TCP, but not MPTCP.
 */
static __always_inline bool in_own_network(struct sock *sk)
{
	if (!is_tcp(sk, false))
		return false;
	if (!bpf_core_field_exists(sk->__sk_common.skc_net))
		return true;
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) == own_network;
}

/*
 * FLAG_USER_NAMESPACE if the network namespace of a socket belongs to a user namespace that somebody
 * made: only the host's own has the level 0. A global function, as copy_step() is.
 */
__noinline __u64 namespace_flag(__u64 socket)
{
	struct sock *sk = (struct sock *)socket;

	if (!bpf_core_field_exists(sk->__sk_common.skc_net))
		return 0;
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, user_ns, level) ? FLAG_USER_NAMESPACE : 0;
}

static __always_inline __u8 user_namespace_flag(struct sock *sk)
{
	return namespace_flag(address_of(sk));
}

static __always_inline void put_mapped(__u8 *address, __be32 v4)
{
	__u32 *words = (__u32 *)address;

	words[0] = 0;
	words[1] = 0;
	words[2] = __builtin_bswap32(0xffff);
	words[3] = v4;
}

/* Sets socket, role, addresses and ports of an event. */
static __always_inline void put_connection(struct event *e, struct sock *sk, __u8 role, bool direct)
{
	e->conn = (__u64)sk;
	e->role = role;
	e->local_port = local_port(sk, direct);
	e->remote_port = remote_port(sk, direct);
	if (FIELD(direct, sk, __sk_common.skc_family) == AF_INET) {
		put_mapped(e->local, FIELD(direct, sk, __sk_common.skc_rcv_saddr));
		put_mapped(e->remote, FIELD(direct, sk, __sk_common.skc_daddr));
		return;
	}
	*(struct in6_addr *)e->local = FIELD(direct, sk, __sk_common.skc_v6_rcv_saddr);
	*(struct in6_addr *)e->remote = FIELD(direct, sk, __sk_common.skc_v6_daddr);
}

/*
 * Sets socket, role and endpoints of an event of a Unix socket: the path at the server's end, and
 * the generation at the other.
 */
static __always_inline void put_unix(struct event *e, struct sock *sk, __u8 role, struct unix_state *state)
{
	__u64 *server = (__u64 *)(role == ROLE_SERVER ? e->local : e->remote);
	__u64 *client = (__u64 *)(role == ROLE_SERVER ? e->remote : e->local);

	e->conn = (__u64)sk;
	e->role = role;
	e->local_port = 0;
	e->remote_port = 0;
	server[0] = state->path;
	server[1] = 0;
	client[0] = state->generation;
	client[1] = 0;
}

/* Sets socket, role and endpoints of an event. state is a constant NULL but for Unix sockets. */
static __always_inline void put_endpoints(struct event *e, struct sock *sk, __u8 role, struct unix_state *state,
					  bool direct)
{
	if (state)
		put_unix(e, sk, role, state);
	else
		put_connection(e, sk, role, direct);
}

/*
 * The kind of event by which the listing reports a connection in a state; 0 if the connection is
 * not established yet or has ended. Half-closed connections are reported too, and those that are
 * reset but still held, because a process may read what came before: a connection that is not
 * reported has ended.
 */
static __always_inline __u8 listed_as(__u8 state)
{
	if (state == TCP_ESTABLISHED)
		return EVENT_EXISTING;
	if (state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING)
		return EVENT_HALF_CLOSED;
	if (state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK || state == TCP_CLOSE)
		return EVENT_PEER_CLOSED;
	return 0;
}

/*
 * True if the client sent last. The kernel stores these times in ticks; within one tick the order
 * is not known.
 */
static __always_inline bool reply_awaited(struct sock *sk, __u8 role)
{
	__u32 sent = TCP_FIELD(sk, lsndtime);
	__u32 received = BPF_CORE_READ((struct inet_connection_sock *)sk, icsk_ack.lrcvtime);

	return (__s32)(role == ROLE_CLIENT ? sent - received : received - sent) > 0;
}

/* 1 if a FIN was received, which tcp_fin() counts as a byte of the stream; else 0. */
static __always_inline __u32 fin_received(struct sock *sk, bool direct)
{
	return FIELD(direct, sk, __sk_common.skc_flags) >> SOCK_DONE_BIT & 1;
}

/*
 * True if this end resets the connection, as with SO_LINGER 0. The end of the socket will not be
 * recognised then, because tcp_disconnect() clears its ports. A reset by anything else leaves an
 * error.
 */
static __always_inline bool aborted_here(struct sock *sk, int from)
{
	return !sk->sk_err && (from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT || !fin_received(sk, true));
}

/* True if this end sends no more, by its own close. What write_seq counts is data until then; behind it is the FIN. */
static __always_inline bool closed_for_sending(struct sock *sk, int from, int to)
{
	return (from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT) &&
	       (to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK || (to == TCP_CLOSE && aborted_here(sk, from)));
}

/*
 * The offset of the first byte that a connecting end sends. write_seq may be behind it already,
 * with the data of the SYN (TCP Fast Open). Acknowledged by now are the SYN, which takes an offset
 * too, and perhaps data.
 */
static __always_inline __u32 first_offset(struct sock *sk)
{
	return TCP_FIELD(sk, snd_una) - TCP_FIELD(sk, bytes_acked) + 1;
}

/*
 * FLAG_LEFT if the application closed the socket, else 0. During close() the socket still belongs
 * to the application, but is shut down for reading. A FIN of the other end shuts it down too, which
 * does not count.
 */
static __always_inline __u8 closed_here(struct sock *sk, bool direct)
{
	if (FIELD(direct, sk, __sk_common.skc_flags) >> SOCK_DEAD_BIT & 1)
		return FLAG_LEFT;
	if (FIELD(direct, sk, sk_shutdown) & RCV_SHUTDOWN && !fin_received(sk, direct))
		return FLAG_LEFT;
	return 0;
}

/*
 * How a connection ended that this end did not reset, by the error that the kernel left in the
 * socket.
 */
static __always_inline __u8 manner_of_end(struct sock *sk)
{
	int err = sk->sk_err;

	if (!err)
		return 0;
	return err == ECONNRESET || err == EPIPE ? FLAG_RESET : FLAG_RESET | FLAG_BROKEN;
}

/*
 * The offset of the next byte that the application receives. An established connection has not
 * received a FIN; its state is in the cache line of its ports, which is loaded already.
 */
static __always_inline __u32 received_offset(struct sock *sk, bool direct)
{
	__u32 copied = TCP_FIELD(sk, copied_seq);

	if (FIELD(direct, sk, __sk_common.skc_state) != TCP_ESTABLISHED && fin_received(sk, direct) &&
	    copied == TCP_FIELD(sk, rcv_nxt))
		copied--;
	return copied;
}

/* True if the byte of MSG_OOB is received with the others. Else a receive skips it. */
static __always_inline bool urgent_inline(struct sock *sk, bool direct)
{
	return FIELD(direct, sk, __sk_common.skc_flags) >> SOCK_URGINLINE_BIT & 1;
}

/*
 * The offset up to which the application has read a socket that is closed, without a FIN and an
 * urgent byte in front of it. In unread: the bytes that were received behind it.
 */
static __always_inline __u32 read_at_close(struct sock *sk, __s32 *unread)
{
	__u32 read = received_offset(sk, true), urgent;
	__s32 behind = TCP_FIELD(sk, rcv_nxt) - fin_received(sk, true) - read;

	if (!urgent_inline(sk, true)) {
		urgent = TCP_FIELD(sk, urg_seq);
		behind -= behind > 0 && urgent - read < (__u32)behind;
		read -= read - urgent == 1;
	}
	*unread = behind;
	return read;
}

#endif
