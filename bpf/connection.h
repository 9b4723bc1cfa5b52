/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the probes ask of a socket: whether it is observed, its name, and its stream offsets. */
#ifndef OBSERVER_CONNECTION_H
#define OBSERVER_CONNECTION_H

#include "maps.h"

/* The address of a socket, as a number: with a typed pointer the verifier lets nobody calculate. */
static __always_inline __u64 address_of(struct sock *sk)
{
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &sk);
	return address;
}

/* The lower half of that address, which the verifier gives away for nothing. */
static __always_inline __u32 low_address_of(struct sock *sk)
{
	__u64 low;

	asm volatile("r0 = %1; w0 = w0; %0 = r0" : "=r"(low) : "r"(sk) : "r0");
	return low;
}

/*
 * The place of a socket in the tables that have a word for each. Sockets are larger than 2 KiB and lie side by side. So do the places of those
 * that are read in turn, eight to a cache line: a hash table would be out of the cache each time.
 */
enum { PLACES = 1 << 16 };

static __always_inline __u32 place_of(__u64 conn)
{
	return (conn >> 11) % PLACES;
}

/*
 * What tells a socket from others in its place: what its address has below and above the bits of the place, up to the 54 bits that the
 * direct map spans at most. Sockets begin with a cache line of 64 bytes.
 */
static __always_inline __u32 name_in_place(__u64 conn)
{
	return (conn >> 27 << 5) | (conn >> 6 & 31);
}

/* Fields beyond struct sock, which typed loads do not allow. */
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

/* inet_put_port() clears skc_num before the socket enters TCP_CLOSE; inet_sport stays. */
static __always_inline __u16 local_port(struct sock *sk, bool direct)
{
	__u16 port = FIELD(direct, sk, __sk_common.skc_num);

	if (port)
		return port;
	return __builtin_bswap16(read_beyond(sk, bpf_core_field_offset(struct inet_sock, inet_sport), sizeof(__be16)));
}

/* The verifiers of 5.10, 6.1 and 6.12 do not know that swapping the bytes of a port leaves 16 bits; the compiler drops a mask. */
static __always_inline bool port_observed(const __u8 *ports, __u64 port)
{
	asm volatile("%0 &= 0xffff" : "+r"(port));
	return ports[port >> 3] & (1 << (port & 7));
}

/* The socket that an open file is, or null. Of all that hang on files, only a socket points back at its file. */
static __always_inline struct sock *socket_of_file(struct file *file)
{
	struct socket *socket = BPF_CORE_READ(file, private_data);

	return BPF_CORE_READ(socket, file) == file ? BPF_CORE_READ(socket, sk) : (void *)0;
}

/* The role in which a socket of IPv4 or IPv6 is observed, by its ports. */
static __always_inline __u8 select_inet(struct sock *sk, bool direct)
{
	if (port_observed(client_ports, remote_port(sk, direct)))
		return ROLE_CLIENT;
	if (port_observed(server_ports, local_port(sk, direct)))
		return ROLE_SERVER;
	return ROLE_NONE;
}

/*
 * The role in which a socket is observed, whatever its protocol; ROLE_NONE for most sockets of a machine. Each address family has a selection
 * of its own. This runs for every socket call, so a selection consists of plain loads and comes before any map lookup.
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

/* Whether the socket is in the network namespace whose sockets are listed: those of TCP, not those of MPTCP. */
static __always_inline bool in_own_network(struct sock *sk)
{
	if (!is_tcp(sk, false))
		return false;
	if (!bpf_core_field_exists(sk->__sk_common.skc_net))
		return true;
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) == own_network;
}

static __always_inline void put_mapped(__u8 *address, __be32 v4)
{
	__u32 *words = (__u32 *)address;

	words[0] = 0;
	words[1] = 0;
	words[2] = __builtin_bswap32(0xffff);
	words[3] = v4;
}

/* Names the connection in an event. */
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
 * The event by which the listing reports a connection in a state; 0 if it reports none, because the connection is not established yet or has
 * ended. A half-closed connection is reported, so that one that is not reported has ended.
 */
static __always_inline __u8 listed_as(__u8 state)
{
	if (state == TCP_ESTABLISHED)
		return EVENT_EXISTING;
	if (state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING)
		return EVENT_HALF_CLOSED;
	if (state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK)
		return EVENT_PEER_CLOSED;
	return 0;
}

/* Whether the client's payload was the last that passed. The kernel notes that in ticks: within one nobody can tell. */
static __always_inline bool reply_awaited(struct sock *sk, __u8 role)
{
	__u32 sent = TCP_FIELD(sk, lsndtime);
	__u32 received = BPF_CORE_READ((struct inet_connection_sock *)sk, icsk_ack.lrcvtime);

	return (__s32)(role == ROLE_CLIENT ? sent - received : received - sent) > 0;
}

/* tcp_fin() counted the FIN as one more byte of the stream. */
static __always_inline __u32 fin_received(struct sock *sk, bool direct)
{
	return FIELD(direct, sk, __sk_common.skc_flags) >> SOCK_DONE_BIT & 1;
}

/*
 * Whether this end closes the connection at one stroke, as with SO_LINGER 0: nothing more can be read, and the end of the
 * socket is not recognised, because tcp_disconnect() clears its ports. Whatever else closes it at one stroke leaves an error.
 */
static __always_inline bool aborted_here(struct sock *sk, int from)
{
	return !sk->sk_err && (from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT || !fin_received(sk, true));
}

/*
 * The offset of the first byte that an end which connects sends: write_seq may be beyond it, with the data of its SYN (TCP Fast Open). What is
 * acknowledged by then is the SYN, which has an offset too, and perhaps data.
 */
static __always_inline __u32 first_offset(struct sock *sk)
{
	return TCP_FIELD(sk, snd_una) - TCP_FIELD(sk, bytes_acked) + 1;
}

/*
 * Whether the program at this end has given up reading. While close() works the socket still is the program's, but nothing can
 * be received from it any more; where the other end's FIN did that, it says nothing about this end.
 */
static __always_inline __u8 left_here(struct sock *sk, bool direct)
{
	if (FIELD(direct, sk, __sk_common.skc_flags) >> SOCK_DEAD_BIT & 1)
		return FLAG_LEFT;
	if (FIELD(direct, sk, sk_shutdown) & RCV_SHUTDOWN && !fin_received(sk, direct))
		return FLAG_LEFT;
	return 0;
}

/* How a connection ended that this end did not close at one stroke: the kernel notes an error if the other end did, or nobody. */
static __always_inline __u8 manner_of_end(struct sock *sk)
{
	int err = sk->sk_err;

	if (!err)
		return 0;
	return err == ECONNRESET || err == EPIPE ? FLAG_RESET : FLAG_RESET | FLAG_BROKEN;
}

/*
 * The offset of the next byte that the application receives. An established connection has received no FIN; that it says in the cache
 * line of its ports, which is at hand.
 */
static __always_inline __u32 received_offset(struct sock *sk, bool direct)
{
	__u32 copied = TCP_FIELD(sk, copied_seq);

	if (FIELD(direct, sk, __sk_common.skc_state) != TCP_ESTABLISHED && fin_received(sk, direct) &&
	    copied == TCP_FIELD(sk, rcv_nxt))
		copied--;
	return copied;
}

/* Whether the byte of MSG_OOB is received with the others. Else a receive steps over it. */
static __always_inline bool urgent_inline(struct sock *sk, bool direct)
{
	return FIELD(direct, sk, __sk_common.skc_flags) >> SOCK_URGINLINE_BIT & 1;
}

/*
 * Where what the program at this end has read ends, of a socket that is closed: neither its FIN nor an urgent byte in front of that
 * was said. In unread: how many bytes behind it came.
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
