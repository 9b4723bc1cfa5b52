/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The plaintext of TLS connections. Uprobes at chosen instructions of a TLS library find it in the
 * application's memory: one where a call of the library begins and one where it ends. A socket call
 * in between, of the same thread and deeper on its stack, that carries TLS records proves to which
 * socket the object of the library belongs (ciphertext.h). In Go the goroutine takes the place of the
 * thread and its stack. Where the application moves the ciphertext itself, the ciphertext is the
 * proof (bio.h). Nothing else binds the two.
 *
 * Plaintext of an object that is not bound yet is held and submitted when it is.
 *
 * Plaintext has offsets of its own, which begin at 0 where the binding begins. A call that no probe
 * saw is noticed by the ciphertext: its TCP offsets are continuous from one observed call to the
 * next, and to the end of what is sent, or the difference is a gap in the plaintext.
 *
 * What is sent is submitted record by record, when the socket call ends that has sent the whole
 * record, as plain TCP does; where that is not known, when the call of the library ends. What is sent
 * in calls that do not end then, as those of a program that was killed, is a gap.
 *
 * The ciphertext of a bound socket is stopped (stop.h), so the programs of the TCP sockets are the
 * same with and without TLS.
 */
#ifndef OBSERVER_TLS_H
#define OBSERVER_TLS_H

#include "calls.h"

/* A call of the library between its start and its end. */
struct tls_call {
	__u64 ssl;	  /* the object; 0 if there is no call */
	__u64 stack;	  /* the stack pointer at the entry of the function, by which its end is recognised */
	__u64 buffer;	  /* the plaintext */
	__u64 out;	  /* where the function stores the number of bytes, unless it returns that */
	__u64 time;	  /* of the start of a call that writes, CLOCK_MONOTONIC in ns */
	__u64 sk;	  /* the socket, if a socket call of this call has proven it; else 0 */
	__u16 attachment; /* of the library (tls_attached) */
	bool silent;	  /* the call transfers no plaintext, or the same again */
	bool whole;	  /* all that it writes was submitted, and the socket has nothing to settle for it at its end */
	__u32 moved;	  /* ciphertext that was written so far, but for records whose plaintext was submitted */
	__u32 length;	  /* of the plaintext, if the call writes */
	__u32 ahead;	  /* of that: what was submitted before the end */
	__u32 pad2;
};

enum tls_direction { TLS_SENT, TLS_RECEIVED, TLS_DIRECTIONS };
_Static_assert(TLS_SENT == SCRATCH_SEND && TLS_RECEIVED == SCRATCH_RECEIVE, "the index of a scratch");

/*
 * The calls of one task. One for each direction, because a callback of a read may write on the same
 * object; and the call around it, because a call for one object may be made to serve another.
 */
struct tls_task {
	struct tls_call calls[TLS_DIRECTIONS];
	struct tls_call outer[TLS_DIRECTIONS];
};

/* Within how many bytes of stack a function of the library calls another one for the same object. */
enum { TLS_SAME_CALL = 1024 };
/* Within how many bytes of stack a call of the library makes its socket calls. */
enum { TLS_DEEPEST = 64 << 10 };

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tls_task);
} tls_tasks SEC(".maps");

/* A socket that is bound, or was. */
struct tls_conn {
	struct event head; /* of its events: socket, role, endpoints and flags */
	__u64 ssl;	   /* the object that it is bound to; 0 for none */
	__u64 bio;	   /* the BIO in memory that the library writes ciphertext to; 0 if it calls the socket */
	__u64 input;	   /* where the BIO that it reads from counts what was read; 0 if that is not known */
	__u64 retried;	   /* when the write began that the application has to repeat; 0 for none */
	__u32 tgid;	   /* the process of the object */
	__u32 consumed;	   /* what had been read from that BIO at the end of the latest call that reads */
	__u16 attachment;  /* the library of the object */
	bool headed;	   /* the header of a record was received last, alone */
	bool alerted;	   /* what was received last ends with an alert, or with a record of two bytes */
	__u8 pad[4];
	__u32 edge[TLS_DIRECTIONS];   /* ciphertext: the TCP offset behind the latest call */
	__u32 hole[TLS_DIRECTIONS];   /* ciphertext that passed outside of the calls since the latest plaintext */
	__u32 offset[TLS_DIRECTIONS]; /* plaintext so far */
	__u32 unfinished;	      /* ciphertext that was written by calls whose plaintext has not been seen */
	__u32 ahead;		      /* plaintext that was submitted, and that the write to be repeated writes again */
	__u32 record;	     /* of a record that was sent in part: the bytes that are still to be sent; else 0 */
	__u32 record_length; /* of that record, without its header */
};

/* By address of the socket. The loader sets max_entries. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct tls_conn);
} tls_conns SEC(".maps");

struct tls_object {
	__u64 ssl;
	__u64 tgid;
};

/*
 * The socket of an object, for calls that find their plaintext in the object's buffers. Each bound
 * socket has one entry, so the map cannot be fuller than tls_conns.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct tls_object);
	__type(value, __u64);
} tls_objects SEC(".maps");

/* When an observed socket was established, CLOCK_MONOTONIC in ns. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} tls_opened SEC(".maps");

/* A process that moves TLS records outside of probed calls. */
struct tls_user {
	struct event event; /* its report */
	__u64 buffered;	    /* when it was reported that its library does not call the socket; 0 for never */
};

/* By process. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tls_user);
} tls_users SEC(".maps");

/* The length of an alert (RFC 8446, section 6). */
enum { TLS_ALERT = 2 };

/* The header of a record, and by how much its plaintext is shorter at least: the tag of AEAD ciphers. Others take more. */
enum { TLS_RECORD_HEADER = 5, TLS_TAG = 16 };

/* Until a process is reported again, in ns: meanwhile it may have loaded another library. */
#define TLS_REPORT_PAUSE (60ULL * 1000 * 1000 * 1000)

/* The bytes of plaintext that are held of each direction of an object: the first ones. */
enum { TLS_HELD = 1024 };

/* The plaintext of a direction of an object that is not bound yet. */
struct tls_text {
	struct event event;	 /* of its bytes: time and length */
	__u8 data[2 * TLS_HELD]; /* twice, because the verifier checks the longest text behind the longest one */
	__u64 lost;		 /* bytes behind it that are not held */
};

struct tls_held {
	struct tls_text texts[TLS_DIRECTIONS];
	__u64 attachment;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct tls_object);
	__type(value, struct tls_held);
} tls_held SEC(".maps");

struct go_key {
	__u64 goroutine; /* the address of its state, which is in a register wherever Go code runs */
	__u64 tgid;
};

/* A call of Go's crypto/tls between its start and its end. A goroutine moves from thread to thread. */
struct go_call {
	struct tls_call call;
	__u64 low, high; /* the bounds of the goroutine's stack at the start; Go moves a stack that has to grow */
	__u32 direction;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct go_key);
	__type(value, struct go_call);
} go_calls SEC(".maps");

/* Set as soon as the first call of Go's crypto/tls was seen. */
__u32 go_seen = 0;

enum { TLS_ATTACHMENTS = 4096 };

/*
 * By attachment: since when a library is probed at all of its points, CLOCK_MONOTONIC in ns; 0 if
 * it is not. User space writes it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TLS_ATTACHMENTS);
	__type(key, __u32);
	__type(value, __u64);
} tls_attached SEC(".maps");

enum { TLS_MOST_SCRATCHES = 6 };

/* The first scratch of TLS, if the kernel can preempt the probes; else 0. The loader sets it. */
const volatile __u32 tls_scratches = 0;

/* Stops of plaintext, in the form of stops (stop.h). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} tls_stops SEC(".maps");

/* The cookie of a probed instruction, which says what it is (tls.go). */
#define TLS_COOKIE_ROLE(cookie) ((__u8)(cookie))
#define TLS_COOKIE_FRAME(cookie) ((__u16)((cookie) >> 16))
#define TLS_COOKIE_COUNTERS(cookie) ((__u16)((cookie) >> 32))
#define TLS_COOKIE_ATTACHMENT(cookie) ((__u16)((cookie) >> 48))

/* The state of the current task; NULL if it has none and create is false. */
static __always_inline struct tls_task *tls_task(bool create)
{
	return bpf_task_storage_get(&tls_tasks, bpf_get_current_task_btf(), 0,
				    create ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
}

static __always_inline __u32 current_tgid(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

static __always_inline struct tls_conn *tls_conn_of(__u64 sk)
{
	return bpf_map_lookup_elem(&tls_conns, &sk);
}

/* The same of a typed pointer, which may be a key as it is: address_of() is a call of the kernel. */
static __always_inline struct tls_conn *tls_conn_of_socket(struct sock *sk)
{
	__u64 key = (__u64)sk;

	return bpf_map_lookup_elem(&tls_conns, &key);
}

/* Notes that n bytes of ciphertext passed whose plaintext no probe saw. */
static __always_inline void add_hole(struct tls_conn *conn, __u32 direction, __u32 n)
{
	conn->hole[direction & 1] += n;
}

/* Notes that a call that writes plaintext wrote n bytes of ciphertext, whose plaintext is seen at its end. */
static __always_inline void note_unfinished(struct tls_conn *conn, struct tls_call *call, __u32 n)
{
	call->moved += n;
	__sync_fetch_and_add(&conn->unfinished, n);
}

/* Notes that the ciphertext of a call is accounted for: its plaintext was seen, or is in the hole. */
static __always_inline void note_finished(struct tls_conn *conn, struct tls_call *call)
{
	if (call->moved)
		__sync_fetch_and_add(&conn->unfinished, -call->moved);
	call->moved = 0;
}

/* A call was abandoned without an end: its plaintext is lost if it moved ciphertext. */
static __always_inline void drop_tls_call(struct tls_call *call, __u32 direction)
{
	struct tls_conn *conn;

	if (call->sk && !call->silent) {
		conn = tls_conn_of(call->sk);
		if (conn) {
			add_hole(conn, direction, 1);
			note_finished(conn, call);
		}
	}
	call->ssl = 0;
}

/*
 * The start of a call. A function of the library may call another one for the same object: the
 * outer call counts. A call that is not deeper on the stack than one without an end replaces it,
 * because that one was left by longjmp() or an exception.
 */
static __always_inline void tls_started(__u32 direction, __u64 ssl, __u64 stack, __u64 buffer, __u32 length, __u64 out,
					bool silent, __u16 attachment)
{
	struct tls_task *task = tls_task(true);
	struct tls_call *call, *outer;

	if (!task) {
		count_loss(LOST_NO_STORAGE);
		return;
	}
	call = &task->calls[direction & 1];
	outer = &task->outer[direction & 1];
	if (outer->ssl && stack >= outer->stack)
		drop_tls_call(outer, direction);
	if (call->ssl && stack < call->stack) {
		if (call->ssl == ssl && call->stack - stack <= TLS_SAME_CALL)
			return;
		if (outer->ssl)
			drop_tls_call(outer, direction);
		*outer = *call;
	} else if (call->ssl) {
		drop_tls_call(call, direction);
	}
	call->ssl = ssl;
	call->stack = stack;
	call->buffer = buffer;
	call->out = out;
	if (direction == TLS_SENT) /* a receive has the time of its end */
		call->time = bpf_ktime_get_ns();
	call->sk = 0;
	call->attachment = attachment;
	call->silent = silent;
	call->whole = false;
	call->moved = 0;
	call->length = length;
	call->ahead = 0;
}

/* True if user space does not want the plaintext of a direction. */
static __always_inline bool tls_stopped(__u64 sk, __u32 direction)
{
	__u32 slot = slot_of(sk);
	__u64 *stop = bpf_map_lookup_elem(&tls_stops, &slot);

	return stop && *stop && applies(*stop, sk, &slot, direction == TLS_SENT ? STOP_SENT : STOP_RECEIVED);
}

/* Reports the plaintext that is missing in front of the next one. Its length is that of the ciphertext. */
static __always_inline void submit_hole(struct tls_conn *conn, __u32 direction, __u64 time)
{
	struct event e = conn->head;

	e.kind = direction == TLS_SENT ? EVENT_SENT_GAP : EVENT_RECEIVED_GAP;
	e.reason = GAP_UNSEEN;
	e.time = time;
	e.seq = conn->offset[direction & 1];
	e.len = conn->hole[direction & 1];
	conn->offset[direction & 1] += e.len;
	conn->hole[direction & 1] = 0;
	submit(&e, sizeof(e));
}

/*
 * Takes a scratch for a direction; 0 if there is none. A kernel that cannot preempt the probes runs
 * one of them at a time on each CPU. On others TLS has scratches of its own, behind those of the
 * socket calls, and a program that preempts another one takes the next.
 */
static __always_inline struct scratch *take_scratch(__u32 direction, __u32 *which)
{
	struct scratch *s;
	__u32 i;

	*which = direction;
	if (!tls_scratches)
		return bpf_map_lookup_elem(&scratches, which);
	for (i = 0; i < TLS_MOST_SCRATCHES; i++) {
		*which = tls_scratches + SCRATCH_COUNT * i + direction;
		s = bpf_map_lookup_elem(&scratches, which);
		if (s && __sync_val_compare_and_swap(&s->taken, 0, 1) == 0)
			return s;
	}
	count_loss(LOST_NO_STORAGE);
	return 0;
}

/* Reports the plaintext that is missing at the end of a direction. */
static __always_inline void submit_last_hole(struct tls_conn *conn, __u32 direction)
{
	if (conn->hole[direction & 1] && !tls_stopped(conn->head.conn, direction))
		submit_hole(conn, direction, bpf_ktime_get_ns());
}

/*
 * A socket is closed, or its sending side. What it has sent outside of calls, or by calls that did not end, is plaintext
 * that no probe saw. Not all that was written to a BIO in memory was sent.
 */
static __always_inline void end_plaintext(struct sock *sk)
{
	struct tls_conn *conn = tls_conn_of_socket(sk);
	__u32 end;
	__s32 beyond;

	if (!conn)
		return;
	end = TCP_FIELD(sk, write_seq);
	beyond = end - conn->edge[TLS_SENT];
	if (conn->ssl && beyond > 0)
		add_hole(conn, TLS_SENT, beyond);
	if (beyond >= 0 || (__s32)conn->unfinished > -beyond)
		add_hole(conn, TLS_SENT, conn->unfinished + (beyond < 0 ? beyond : 0));
	conn->edge[TLS_SENT] = end;
	conn->unfinished = 0;
	submit_last_hole(conn, TLS_SENT);
	submit_last_hole(conn, TLS_RECEIVED);
}

/* Submits the plaintext of a call: n bytes at an address. */
static __always_inline void submit_plaintext(struct tls_conn *conn, __u32 direction, __u64 time, __u64 buffer, __u32 n)
{
	__u8 kind = direction == TLS_SENT ? EVENT_SENT : EVENT_RECEIVED;
	struct cursor cursor = {.base = buffer, .memory = MEMORY_USER};
	struct percpu_slot slot;
	struct scratch *s;
	__u32 which, seq;

	if (tls_stopped(conn->head.conn, direction)) {
		conn->offset[direction & 1] += n;
		conn->hole[direction & 1] = 0;
		return;
	}
	if (conn->hole[direction & 1])
		submit_hole(conn, direction, time);
	seq = conn->offset[direction & 1];
	conn->offset[direction & 1] += n;
	if (!tls_scratches && take_percpu_slot(&slot, kind, &cursor, n, 0)) {
		*slot.event = conn->head;
		submit_percpu_slot(&slot, kind, time, seq, n, conn->head.flags);
		return;
	}
	s = take_scratch(direction, &which);
	if (!s)
		return;
	s->event = conn->head;
	s->event.kind = kind;
	s->event.time = time;
	s->event.seq = seq;
	submit_to_ring(s, which, &cursor, n);
	s->taken = 0;
}

/* True if a socket is bound to an object of the current process and of this attachment of its library. */
static __always_inline bool is_bound(struct tls_conn *conn, __u64 ssl, __u16 attachment)
{
	return conn->ssl == ssl && conn->tgid == current_tgid() && conn->attachment == attachment;
}

/* The socket that a call belongs to; NULL if that is not proven. */
static __always_inline struct tls_conn *conn_of_call(struct tls_call *call, __u64 ssl)
{
	struct tls_object object = {.ssl = ssl, .tgid = current_tgid()};
	__u64 sk = call->sk, *bound;
	struct tls_conn *conn;

	if (!sk) {
		bound = bpf_map_lookup_elem(&tls_objects, &object);
		if (!bound)
			return 0;
		sk = *bound;
	}
	conn = tls_conn_of(sk);
	return conn && is_bound(conn, ssl, call->attachment) ? conn : (void *)0;
}

/* Reports a process that uses a library whose points do not suffice to bind its objects. */
static __always_inline void report_buffered(struct tls_user *user, __u64 now)
{
	struct event e;

	if (user->buffered && now - user->buffered < TLS_REPORT_PAUSE)
		return;
	user->buffered = now;
	e = user->event;
	e.time = now;
	e.len = 1;
	submit(&e, sizeof(e));
}

/*
 * Holds the plaintext of a call whose object is not bound. Processes without TLS connections on
 * observed ports are left alone.
 */
static __always_inline void hold_plaintext(struct tls_call *call, __u32 direction, __u64 ssl, __u32 n)
{
	static const struct tls_held none = {};
	struct tls_object object = {.ssl = ssl, .tgid = current_tgid()};
	__u64 now = bpf_ktime_get_ns(), at, length = n;
	__u32 tgid = object.tgid;
	struct tls_user *user = bpf_map_lookup_elem(&tls_users, &tgid);
	struct tls_held *held;
	struct tls_text *text;

	if (!user)
		return;
	if (direction == TLS_SENT)
		report_buffered(user, now);
	held = bpf_map_lookup_elem(&tls_held, &object);
	if (!held || held->attachment != call->attachment) {
		if (bpf_map_update_elem(&tls_held, &object, &none, BPF_ANY))
			return;
		held = bpf_map_lookup_elem(&tls_held, &object);
		if (!held)
			return;
		held->attachment = call->attachment;
	}
	text = &held->texts[direction & 1];
	at = text->event.len;
	barrier_var(at);
	barrier_var(length);
	if (text->lost || at > TLS_HELD || length > TLS_HELD || at + length > TLS_HELD ||
	    bpf_probe_read_user(&text->data[at], length, (void *)call->buffer)) {
		text->lost += n;
		return;
	}
	if (direction == TLS_RECEIVED)
		text->event.time = now;
	else if (!at)
		text->event.time = call->time;
	text->event.len = at + length;
}

/* Reads how many bytes a bound object has read from its BIO in memory. Returns false if that is not known. */
static __always_inline bool read_input(struct tls_conn *conn, __u32 *n)
{
	return conn->input && !bpf_probe_read_user(n, sizeof(*n), (void *)conn->input);
}

/* Notes how far calls of the library have read. */
static __always_inline void note_input(struct tls_conn *conn)
{
	__u32 n;

	if (read_input(conn, &n))
		conn->consumed = n;
}

/* Reports that an end sends no more. */
static __always_inline void submit_ending(struct tls_conn *conn, __u8 flags)
{
	struct event e = conn->head;

	e.kind = EVENT_ENDING;
	e.time = bpf_ktime_get_ns();
	e.flags = flags;
	submit(&e, sizeof(e));
}

/*
 * The end of a call that may have read an alert: there is no plaintext in one. Where an alert does
 * not end the stream, plaintext follows.
 */
static __always_inline void alert_read(struct tls_conn *conn, __u32 n)
{
	if (n != 0 && n != TLS_ALERT)
		return;
	conn->alerted = false;
	if (!n)
		submit_ending(conn, 0);
}

/* When the write began of which a call is a part: the call itself, or the one that it repeats. */
static __always_inline __u64 time_of_write(struct tls_conn *conn, struct tls_call *call)
{
	return conn->retried ? conn->retried : call->time;
}

/*
 * A record begins behind another one of the same call. It has the time of a write of its own: user space merges the events
 * of all CPUs by their times, which must not be much older than the events.
 */
static __always_inline void write_goes_on(struct tls_conn *conn, struct tls_call *call)
{
	call->time = bpf_ktime_get_ns();
	if (conn->retried)
		conn->retried = call->time;
}

/* Adds to what a call has submitted what the one had that it repeats or continues. */
static __always_inline void take_ahead(struct tls_conn *conn, struct tls_call *call)
{
	call->ahead += conn->ahead;
	conn->ahead = 0;
}

/*
 * A call that writes has sent a whole record, of length bytes behind its header. Submits its plaintext now, as a send of
 * plain TCP does: the call may end much later, or never, and another thread may read the reply before. Records have the
 * plaintext in its order, so only how much is in one has to be known: it is at least TLS_TAG bytes shorter. Where it is
 * still shorter, the first bytes of the next record are submitted a little too early. Of a call that is longer
 * than what is copied of one, only the first bytes are submitted here: its middle may be left out at its end.
 */
static __always_inline void record_sent(struct tls_conn *conn, struct tls_call *call, __u32 length)
{
	__u32 n = length > TLS_TAG ? length - TLS_TAG : 0;

	take_ahead(conn, call);
	if (call->ahead >= call->length)
		return;
	if (n > call->length - call->ahead)
		n = call->length - call->ahead;
	if (call->length > max_bytes && call->ahead + n > max_bytes / 2) {
		note_unfinished(conn, call, TLS_RECORD_HEADER + length);
		return;
	}
	if (n)
		submit_plaintext(conn, TLS_SENT, time_of_write(conn, call), call->buffer + call->ahead, n);
	call->ahead += n;
	if (call->ahead < call->length)
		write_goes_on(conn, call);
	else
		call->whole = !conn->retried && !call->moved;
}

/* Submits what is left of the n bytes of plaintext that a call has sent. */
static __always_inline void submit_rest(struct tls_conn *conn, struct tls_call *call, __u32 n)
{
	__u32 ahead = call->ahead;

	if (n > ahead)
		submit_plaintext(conn, TLS_SENT, time_of_write(conn, call), call->buffer + ahead, n - ahead);
	else
		conn->ahead = ahead - n;
}

/*
 * The end of a call that transferred n bytes of plaintext; 0 if it failed or has to be repeated. hold:
 * the end of the object is probed, so that another one at its address does not get what is held.
 */
static __always_inline void tls_transferred(struct tls_call *call, __u32 direction, __u64 ssl, __u32 n, bool hold)
{
	struct tls_conn *conn;

	if (call->whole && n == call->length)
		return;
	conn = conn_of_call(call, ssl);
	if (!conn) {
		if (n && hold && !call->ahead)
			hold_plaintext(call, direction, ssl, n);
		return;
	}
	if (direction == TLS_RECEIVED) {
		note_input(conn);
		if (n)
			submit_plaintext(conn, TLS_RECEIVED, bpf_ktime_get_ns(), call->buffer, n);
		if (conn->alerted)
			alert_read(conn, n);
		return;
	}
	if (!conn->offset[TLS_SENT]) /* what was read so far was the handshake */
		note_input(conn);
	take_ahead(conn, call);
	if (n) {
		if (conn->retried)
			conn->unfinished = 0;
		else
			note_finished(conn, call);
	}
	submit_rest(conn, call, n);
	conn->retried = n ? 0 : time_of_write(conn, call);
}

/* The end of a call, as found by the stack pointer at the entry of its function. */
static __always_inline void tls_ended(__u32 direction, __u64 stack, bool ex, __s32 returned)
{
	struct tls_task *task = tls_task(false);
	struct tls_call *call, *outer;
	__u64 n = 0, ssl;

	if (!task)
		return;
	call = &task->calls[direction & 1];
	outer = &task->outer[direction & 1];
	if (call->ssl && stack > call->stack)
		drop_tls_call(call, direction);
	if (!call->ssl && outer->ssl) {
		*call = *outer;
		outer->ssl = 0;
	}
	ssl = call->ssl;
	if (!ssl || stack != call->stack)
		return;
	call->ssl = 0;
	if (returned > 0 && !call->silent) {
		n = returned;
		if (ex && bpf_probe_read_user(&n, sizeof(n), (void *)call->out))
			n = 0;
	}
	tls_transferred(call, direction, ssl, n, true);
	if (outer->ssl) {
		*call = *outer;
		outer->ssl = 0;
	}
}

/* Notes that the stack of a call has moved by a distance, and with it a buffer that is on it. */
static __always_inline void go_stack_moved(struct go_call *go, __u64 distance)
{
	if (!distance)
		return;
	if (go->call.buffer >= go->low && go->call.buffer < go->high)
		go->call.buffer += distance;
	go->call.stack += distance;
	go->low += distance;
	go->high += distance;
}

/*
 * The start of a call of Go's crypto/tls. The goroutine's state begins with the bounds of its stack.
 * The start may run twice, before and behind a growth of the stack.
 */
static __always_inline void go_started(__u32 direction, __u64 goroutine, __u64 conn, __u64 stack, __u64 buffer,
				       __u32 length, __u16 attachment)
{
	struct go_key key = {.goroutine = goroutine, .tgid = current_tgid()};
	struct go_call fresh = {.direction = direction};

	fresh.call.ssl = conn;
	fresh.call.stack = stack;
	fresh.call.buffer = buffer;
	fresh.call.length = length;
	fresh.call.time = bpf_ktime_get_ns();
	fresh.call.attachment = attachment;
	bpf_probe_read_user(&fresh.low, sizeof(fresh.low), (void *)goroutine);
	bpf_probe_read_user(&fresh.high, sizeof(fresh.high), (void *)goroutine + sizeof(fresh.low));
	if (!go_seen)
		go_seen = 1;
	if (bpf_map_update_elem(&go_calls, &key, &fresh, BPF_ANY))
		count_loss(LOST_NO_STORAGE);
}

/* The end of such a call. */
static __always_inline void go_ended(__u32 direction, __u64 goroutine, __u64 stack, __s64 returned)
{
	struct go_key key = {.goroutine = goroutine, .tgid = current_tgid()};
	struct go_call *go = bpf_map_lookup_elem(&go_calls, &key);
	struct tls_call call;

	if (!go || go->direction != direction)
		return;
	go_stack_moved(go, stack - go->call.stack);
	call = go->call;
	bpf_map_delete_elem(&go_calls, &key);
	tls_transferred(&call, direction, call.ssl, returned > 0 ? returned : 0, false);
}

/* The call of Go's crypto/tls that the current system call is inside of, with its stack where it is now; or NULL. */
static __always_inline struct go_call *go_call_around(const struct pt_regs *regs)
{
	struct go_key key = {};
	struct go_call *go;
	__u64 high;

	if (!go_seen)
		return 0;
	key.goroutine = GO_GOROUTINE(regs);
	key.tgid = current_tgid();
	go = bpf_map_lookup_elem(&go_calls, &key);
	if (go && !bpf_probe_read_user(&high, sizeof(high), (void *)key.goroutine + sizeof(go->low)))
		go_stack_moved(go, high - go->high);
	return go;
}

/* Ends the binding of an object. */
static __always_inline void unbind_tls(__u64 ssl)
{
	struct tls_object object = {.ssl = ssl, .tgid = current_tgid()};
	__u64 *sk = bpf_map_lookup_elem(&tls_objects, &object);
	struct tls_conn *conn;

	bpf_map_delete_elem(&tls_held, &object);
	if (!sk)
		return;
	conn = tls_conn_of(*sk);
	if (conn && conn->ssl == ssl && conn->tgid == object.tgid)
		conn->ssl = 0;
	bpf_map_delete_elem(&tls_objects, &object);
}

/* True if a call is in progress that the stack pointer is inside of. */
static __always_inline bool tls_inside(struct tls_call *call, __u64 stack)
{
	return call->ssl && stack < call->stack && call->stack - stack <= TLS_DEEPEST;
}

/* The innermost call of the library that the current system call is inside of, or NULL. */
static __always_inline struct tls_call *tls_call_around(struct tls_task *task, __u64 stack)
{
	struct tls_call *write = &task->calls[TLS_SENT], *read = &task->calls[TLS_RECEIVED];

	if (!tls_inside(write, stack))
		return tls_inside(read, stack) ? read : (void *)0;
	return tls_inside(read, stack) && read->stack < write->stack ? read : write;
}

#endif
