/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The socket calls of TLS connections: they prove to which object of a library a socket belongs. */
#ifndef OBSERVER_CIPHERTEXT_H
#define OBSERVER_CIPHERTEXT_H

#include "bio.h"

/* The address of the first memory of the current system call; 0 if it has none. */
static __always_inline __u64 syscall_memory(bool sending)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct pt_regs *regs = task_registers(task);
	__u64 address = syscall_argument_2(regs);
	struct user_msghdr msg;
	struct iovec iov;

	switch (syscall_shape(task, regs, sending)) {
	case SYSCALL_MESSAGE:
		if (bpf_probe_read_user(&msg, sizeof(msg), (void *)address))
			return 0;
		address = (__u64)msg.msg_iov;
		/* fall through */
	case SYSCALL_VECTOR:
		if (bpf_probe_read_user(&iov, sizeof(iov), (void *)address))
			return 0;
		return (__u64)iov.iov_base;
	case SYSCALL_BUFFER:
		return address;
	case SYSCALL_MESSAGES:
	case SYSCALL_OTHER:
		return 0;
	}
	return 0;
}

/* The type of the TLS record that the memory of the current system call begins with; 0 if there is none. */
static __always_inline __u8 record_moved(bool sending)
{
	__u64 address = syscall_memory(sending);
	__u8 head[4] = {};

	return address && !bpf_probe_read_user(head, 3, (void *)address) && is_record(head) ? head[0] : 0;
}

/*
 * Sockets that are not bound, one word for each slot: the tag of the socket, then how many sends it had of which none began
 * with a record. A connection with PLAIN_SENDS of them is plain, and its calls are not looked at any more. TLS_SENDS: one
 * did. That of a TLS connection does not if it sends the rest of an earlier write.
 */
enum { PLAIN_SENDS = 64, TLS_SENDS = 1 << 30 };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} tls_plain SEC(".maps");

static __always_inline __u64 *plain_sends(struct sock *sk)
{
	__u32 slot = slot_of(low_address_of(sk));

	return bpf_map_lookup_elem(&tls_plain, &slot);
}

/* True if a connection is plain. */
static __always_inline bool is_plain(struct sock *sk)
{
	__u64 *word = plain_sends(sk);
	__u32 sends = word ? *word : 0;

	return word && sends >= PLAIN_SENDS && sends < TLS_SENDS && *word >> 32 == tag_of(address_of(sk));
}

/* Counts a send of a socket that is not bound. record: it begins with one. */
static __always_inline void count_plain(struct sock *sk, bool record)
{
	__u64 *word = plain_sends(sk), tag = tag_of(address_of(sk));

	if (!word)
		return;
	if (*word >> 32 != tag)
		*word = tag << 32;
	if (record)
		*word = tag << 32 | TLS_SENDS;
	else if (!duplicate && (__u32)*word < PLAIN_SENDS) /* all duplicates pass each send */
		++*word;
}

/* Reports the process of a TLS connection whose library is not probed, now and then. bound: that of this one was. */
static __always_inline void moved_outside(struct sock *sk, bool bound, bool sending, bool direct)
{
	bool record = record_moved(sending);
	__u32 tgid = current_tgid();
	struct tls_user fresh = {};
	struct tls_user *known;
	__u64 now;

	if (sending && !bound)
		count_plain(sk, record);
	if (!record)
		return;
	now = bpf_ktime_get_ns();
	known = bpf_map_lookup_elem(&tls_users, &tgid);
	if (known && now - known->event.time < TLS_REPORT_PAUSE)
		return;
	put_connection(&fresh.event, sk, select_tcp(sk, direct), direct);
	fresh.event.kind = EVENT_TLS_USER;
	fresh.event.time = now;
	fresh.event.seq = tgid;
	submit(&fresh.event, sizeof(fresh.event));
	bpf_map_update_elem(&tls_users, &tgid, &fresh, BPF_ANY);
}

/*
 * True if nothing of a connection's plaintext can have been missed: it was established when its
 * library was probed already.
 */
static __always_inline bool plaintext_is_whole(__u64 sk, __u32 attachment)
{
	__u64 *opened = bpf_map_lookup_elem(&tls_opened, &sk);
	__u64 *attached = bpf_map_lookup_elem(&tls_attached, &attachment);

	return opened && attached && *attached && *opened > *attached;
}

/* Adds a socket whose plaintext begins here. */
static __always_inline struct tls_conn *add_tls_conn(struct sock *sk, __u16 attachment, bool direct)
{
	struct tls_conn fresh = {};
	__u64 key = address_of(sk);

	put_connection(&fresh.head, sk, select_tcp(sk, direct), direct);
	fresh.head.flags = FLAG_PLAINTEXT;
	if (plaintext_is_whole(key, attachment))
		fresh.head.flags |= FLAG_WHOLE;
	fresh.edge[TLS_SENT] = TCP_FIELD(sk, write_seq);
	fresh.edge[TLS_RECEIVED] = received_offset(sk, direct);
	if (bpf_map_update_elem(&tls_conns, &key, &fresh, BPF_ANY))
		count_loss(LOST_NO_STORAGE);
	return tls_conn_of(key);
}

/* Submits what was held of one direction of an object. */
static __always_inline void submit_text(struct tls_conn *conn, struct tls_text *text, __u32 direction, __u64 opened)
{
	__u64 length = text->event.len, time = text->event.time;

	barrier_var(length);
	if (length > TLS_HELD || (length && time < opened)) /* of an earlier connection */
		return;
	if (length) {
		if (conn->hole[direction & 1])
			submit_hole(conn, direction, time);
		text->event = conn->head;
		text->event.kind = direction == TLS_SENT ? EVENT_SENT : EVENT_RECEIVED;
		text->event.time = time;
		text->event.seq = conn->offset[direction & 1];
		text->event.len = length;
		conn->offset[direction & 1] += length;
		submit(&text->event, sizeof(text->event) + length);
	}
	add_hole(conn, direction, text->lost);
}

/* Submits the plaintext that was held until an object was bound. */
static __always_inline void submit_held(struct tls_conn *conn, __u64 sk)
{
	struct tls_object object = {.ssl = conn->ssl, .tgid = conn->tgid};
	struct tls_held *held = bpf_map_lookup_elem(&tls_held, &object);
	__u64 *opened = bpf_map_lookup_elem(&tls_opened, &sk);
	__u64 since = opened ? *opened : 0;

	if (!held)
		return;
	if (held->attachment == conn->attachment) {
		submit_text(conn, &held->texts[TLS_SENT], TLS_SENT, since);
		submit_text(conn, &held->texts[TLS_RECEIVED], TLS_RECEIVED, since);
	}
	bpf_map_delete_elem(&tls_held, &object);
}

/* Forgets to which socket an object is bound, if it is this one. */
static __always_inline void forget_object(struct tls_conn *conn, __u64 sk)
{
	struct tls_object object = {.ssl = conn->ssl, .tgid = conn->tgid};
	__u64 *bound = bpf_map_lookup_elem(&tls_objects, &object);

	if (bound && *bound == sk)
		bpf_map_delete_elem(&tls_objects, &object);
}

/*
 * Binds a socket to an object. An object has one socket, and a socket one object. bio is 0 if the
 * library calls the socket.
 */
static __always_inline void bind_tls(struct tls_conn *conn, __u64 sk, __u64 ssl, __u64 bio, __u16 attachment)
{
	struct tls_object object = {.ssl = ssl, .tgid = current_tgid()};
	__u64 *former = bpf_map_lookup_elem(&tls_objects, &object);
	struct tls_conn *other;

	if (former && *former != sk) {
		other = tls_conn_of(*former);
		if (other && other->ssl == ssl && other->tgid == object.tgid)
			other->ssl = 0;
	}
	if (conn->ssl && conn->ssl != ssl)
		forget_object(conn, sk);
	conn->ssl = ssl;
	conn->tgid = object.tgid;
	conn->bio = bio;
	conn->ahead = 0;
	conn->record = 0;
	if (!bio)
		conn->input = 0;
	conn->attachment = attachment;
	if (bpf_map_update_elem(&tls_objects, &object, &sk, BPF_ANY))
		count_loss(LOST_NO_STORAGE);
	submit_held(conn, sk);
}

/* Stops the ciphertext of a socket. User space may have lifted the stop. */
static __always_inline void stop_ciphertext(__u64 sk)
{
	__u32 slot = slot_of(sk);
	__u64 *stop = bpf_map_lookup_elem(&stops, &slot), *generation = bpf_map_lookup_elem(&generations, &slot);
	__u64 word;

	if (!stop || !generation)
		return;
	word = (__u64)tag_of(sk) << 32 | (*generation & (STOP_GENERATIONS - 1)) << 2 | STOP_SENT | STOP_RECEIVED;
	if (*stop != word)
		*stop = word;
}

/* The offset behind the bytes that a socket has sent or its application has received. */
static __always_inline __u32 ciphertext_offset(struct sock *sk, bool sending, bool direct)
{
	return sending ? TCP_FIELD(sk, write_seq) : received_offset(sk, direct);
}

/* True if n bytes at an address are the rest of a record with an alert, whose header is in front of them. */
static __always_inline bool is_rest_of_alert(__u64 address, __s32 n)
{
	__u8 head[8] = {};

	return !bpf_probe_read_user(head, TLS_RECORD_HEADER, (void *)address - TLS_RECORD_HEADER) && is_record(head) &&
	       (head[3] << 8 | head[4]) == n && (head[0] == TLS_ALERT_RECORD || is_alert(head, TLS_ALERT_LENGTH));
}

/*
 * Notes whether n bytes that a bound socket has received end with an alert. OpenSSL receives the header of a
 * record alone, unless it reads ahead, and the rest into the memory behind it.
 */
static __always_inline void find_alert(struct tls_conn *conn, __s32 n)
{
	static const __u8 lengths[] = {TLS_ALERT_LENGTH, TLS_ALERT_LENGTH_GCM, TLS_ALERT_LENGTH_CHACHA};
	bool rest = conn->headed;
	__u8 head[8] = {};
	__u64 address;
	__u32 i;

	conn->alerted = false;
	conn->headed = n == TLS_RECORD_HEADER;
	if (conn->headed || (rest && n > TLS_LONGEST_ALERT))
		return;
	address = syscall_memory(false);
	if (!address)
		return;
	if (rest) {
		conn->alerted = is_rest_of_alert(address, n);
		return;
	}
	for (i = 0; i < sizeof(lengths); i++) {
		if (n < TLS_RECORD_HEADER + lengths[i])
			continue;
		if (!bpf_probe_read_user(head, TLS_RECORD_HEADER,
					 (void *)address + n - TLS_RECORD_HEADER - lengths[i]) &&
		    is_alert(head, lengths[i]))
			conn->alerted = true;
	}
}

/*
 * n bytes were sent outside of the calls of the library. They may have no plaintext. If they are an alert, this end sends
 * no more. A client has given up then, because a server closes when it gets one.
 */
static __always_inline void sent_outside(struct tls_conn *conn, struct sock *sk, __s32 n, bool direct)
{
	__u64 address = syscall_memory(true);
	__u32 end = ciphertext_offset(sk, true, direct);
	struct tls_record record;

	if (conn->edge[TLS_SENT] == end) /* another attachment has seen this call */
		return;
	if (!address || !read_record(&record, address, n))
		return;
	if (!record.plaintext && conn->edge[TLS_SENT] == end - n)
		conn->edge[TLS_SENT] = end;
	if (record.alert)
		submit_ending(conn, FLAG_LEFT);
}

/* The record that a send begins with, if a library wrote it to a BIO; else NULL. */
static __always_inline struct tls_pending *pending_of_send(struct tls_mark *mark)
{
	__u64 address;

	if (!bios_seen)
		return 0;
	address = syscall_memory(true);
	if (!address || !read_mark(mark, address))
		return 0;
	return bpf_map_lookup_elem(&tls_pending, mark);
}

/* Notes where the BIO counts that an object reads from, and how far it has read. */
static __always_inline void set_input(struct tls_conn *conn, __u64 ssl, __u16 counters)
{
	struct tls_bio_key key = {.address = ssl, .tgid = current_tgid(), .kind = TLS_BY_OBJECT};
	struct tls_bio *object = bpf_map_lookup_elem(&tls_bios, &key);

	conn->input = object && object->input && BIO_READ(counters) ? object->input + BIO_READ(counters) : 0;
	note_input(conn);
}

/*
 * Binds a socket by the ciphertext that it has sent, if a library wrote it to a BIO. n is the length
 * of the send. Returns false if none did, or the library itself sends it in a call.
 */
static __always_inline bool bind_by_ciphertext(struct sock *sk, __s32 n, struct tls_call *call, bool direct)
{
	struct tls_bio_key key = {.tgid = current_tgid(), .kind = TLS_BY_BIO};
	struct tls_mark mark = {};
	struct tls_pending *pending = pending_of_send(&mark);
	__u64 address = address_of(sk);
	struct tls_conn *conn;
	struct tls_bio *bio;

	if (!pending)
		return false;
	key.address = pending->bio;
	bio = bpf_map_lookup_elem(&tls_bios, &key);
	if (!bio || (call && call->ssl == bio->other))
		return false;
	conn = tls_conn_of(address);
	if (!conn) {
		conn = add_tls_conn(sk, bio->attachment, direct);
		if (!conn)
			return true;
	} else if (conn->offset[TLS_SENT] || conn->offset[TLS_RECEIVED]) { /* it was bound before */
		add_hole(conn, TLS_SENT, 1);
		add_hole(conn, TLS_RECEIVED, 1);
	}
	conn->edge[TLS_SENT] = ciphertext_offset(sk, true, direct) - n + bio->produced - pending->position;
	set_input(conn, bio->other, pending->counters);
	bpf_map_delete_elem(&tls_pending, &mark);
	bind_tls(conn, address, bio->other, key.address, bio->attachment);
	stop_ciphertext(address);
	return true;
}

/* The end of a socket call for a connection that is bound by a BIO. */
static __always_inline void moved_by_application(struct tls_conn *conn, struct sock *sk, __u32 direction, __s32 n,
						 struct tls_call *call, bool direct)
{
	bool same_process = conn->tgid == current_tgid();
	__s32 hole = n;

	if (direction == TLS_RECEIVED)
		find_alert(conn, n);
	if (same_process)
		hole = direction == TLS_SENT ? ciphertext_offset(sk, true, direct) - conn->edge[TLS_SENT] : 0;
	if (hole > 0) {
		if (direction == TLS_SENT && bind_by_ciphertext(sk, n, call, direct)) /* another object */
			return;
		add_hole(conn, direction, hole);
		if (same_process)
			conn->edge[direction & 1] += hole;
	}
	stop_ciphertext(conn->head.conn);
}

/*
 * A call that writes plaintext has sent n bytes, perhaps of a handshake. Libraries send each record by itself, perhaps in
 * parts. A part is no loss: who is closed or killed there has sent nothing that the other end can read.
 */
static __always_inline void plaintext_sent(struct tls_conn *conn, struct tls_call *call, __u32 n)
{
	__u64 address = syscall_memory(true);
	__u8 head[8] = {};

	if (!conn->record) {
		if (!address || bpf_probe_read_user(head, TLS_RECORD_HEADER, (void *)address) || !is_record(head)) {
			if (conn->unfinished)
				note_unfinished(conn, call, n);
			return;
		}
		if (head[0] != TLS_APPLICATION_DATA)
			return;
		conn->record_length = head[3] << 8 | head[4];
		conn->record = TLS_RECORD_HEADER + conn->record_length;
	}
	if (n <= conn->record) {
		conn->record -= n;
		if (!conn->record)
			record_sent(conn, call, conn->record_length);
		return;
	}
	conn->record = 0; /* several records */
	note_unfinished(conn, call, n);
}

/*
 * The end of a socket call within a call of a library, or of Go. writing: the socket call sends, and the call of the
 * library writes plaintext.
 */
static __always_inline void moved_by_library(struct tls_conn *conn, struct sock *sk, __u32 direction, __s32 n,
					     struct tls_call *call, bool same_direction, bool writing, bool direct)
{
	bool sending = direction == TLS_SENT;
	__u32 end = ciphertext_offset(sk, sending, direct);
	__u64 key;
	bool fresh;
	__s32 hole;

	if (!conn || !is_bound(conn, call->ssl, call->attachment)) {
		if (!same_direction) /* a callback may use another connection, whose library is in no call then */
			return;
		key = address_of(sk);
		if (!record_moved(sending)) {
			bpf_map_delete_elem(&tls_opened, &key); /* the first records were not seen */
			return;
		}
		if (!conn) {
			conn = add_tls_conn(sk, call->attachment, direct);
			if (!conn)
				return;
			conn->edge[direction & 1] = end - n;
		} else if (conn->attachment != call->attachment && conn->offset[TLS_RECEIVED]) {
			/* What the library had ready may have been read meanwhile, without a socket call. */
			add_hole(conn, TLS_RECEIVED, 1);
		}
		bind_tls(conn, key, call->ssl, 0, call->attachment);
	}
	hole = end - n - conn->edge[direction & 1];
	if (hole > 0)
		add_hole(conn, direction, hole);
	fresh = conn->edge[direction & 1] != end; /* else another attachment has seen this call */
	conn->edge[direction & 1] = end;
	call->sk = conn->head.conn;
	stop_ciphertext(conn->head.conn);
	if (!fresh)
		return;
	if (!sending)
		find_alert(conn, n);
	else if (writing)
		plaintext_sent(conn, call, n);
}

/* The end of a call on an observed socket that moved n bytes. */
static __always_inline void ciphertext_moved(struct sock *sk, __u32 direction, __s32 n, bool direct)
{
	const struct pt_regs *regs = task_registers(bpf_get_current_task_btf());
	bool sending = direction == TLS_SENT, same_direction = true, writing = false;
	struct tls_task *task;
	struct tls_call *call;
	struct tls_conn *conn;
	struct go_call *go;
	bool bound;

	if (!is_tcp(sk, direct) || is_plain(sk))
		return;
	task = tls_task(false);
	call = task ? tls_call_around(task, syscall_stack(regs)) : (void *)0;
	if (call) {
		same_direction = call == &task->calls[direction & 1];
		writing = sending && same_direction;
	} else {
		go = go_call_around(regs);
		if (go) {
			call = &go->call;
			writing = sending && go->direction == TLS_SENT;
		}
	}
	conn = tls_conn_of_socket(sk);
	bound = conn && conn->ssl;
	if (sending && !call && bound)
		sent_outside(conn, sk, n, direct);
	if (bound && conn->bio) {
		moved_by_application(conn, sk, direction, n, call, direct);
		return;
	}
	if (sending && !bound && bind_by_ciphertext(sk, n, call, direct))
		return;
	if (call)
		moved_by_library(conn, sk, direction, n, call, same_direction, writing, direct);
	else
		moved_outside(sk, bound, sending, direct);
}

/* Forgets a socket, because a connection begins or ends on it. */
static __always_inline void forget_tls(struct sock *sk, __u64 key)
{
	struct tls_conn *conn = tls_conn_of(key);
	__u64 *plain = plain_sends(sk);

	if (plain)
		*plain = 0;
	if (!conn)
		return;
	if (conn->ssl)
		forget_object(conn, key);
	bpf_map_delete_elem(&tls_conns, &key);
}

#endif
