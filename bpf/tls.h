/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The plaintext of TLS connections. Uprobes at chosen instructions of a TLS library find it in the
 * application's memory: one where a call of the library begins and one where it ends. A socket call
 * in between, of the same thread and deeper on its stack, that carries TLS records proves to which
 * socket the object of the library belongs. Nothing else binds the two. In Go the goroutine takes the
 * place of the thread and its stack.
 *
 * Plaintext has offsets of its own, which begin at 0 where the binding begins. A call that no probe
 * saw is noticed by the ciphertext: its TCP offsets are continuous from one observed call to the
 * next, or the difference is a gap in the plaintext.
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
	__u64 time;	  /* of the start, CLOCK_MONOTONIC in ns */
	__u64 sk;	  /* the socket, if a socket call of this call has proven it; else 0 */
	__u16 attachment; /* of the library (tls_attached) */
	bool silent;	  /* the call transfers no plaintext, or the same again */
	__u8 pad[5];
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
	bool reported; /* as one that moves TLS records without a probed library */
	__u8 pad[7];
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
	__u64 retried;	   /* when the write began that the application has to repeat; 0 for none */
	__u32 tgid;	   /* the process of the object */
	__u32 pad;
	__u32 edge[TLS_DIRECTIONS];   /* ciphertext: the TCP offset behind the latest call */
	__u32 hole[TLS_DIRECTIONS];   /* ciphertext that passed outside of the calls since the latest plaintext */
	__u32 offset[TLS_DIRECTIONS]; /* plaintext so far */
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

/* The socket of an object, for calls that find their plaintext in the object's buffers. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
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

/* Notes that n bytes of ciphertext passed whose plaintext no probe saw. */
static __always_inline void add_hole(struct tls_conn *conn, __u32 direction, __u32 n)
{
	conn->hole[direction & 1] += n;
}

/* A call was abandoned without an end: its plaintext is lost if it moved ciphertext. */
static __always_inline void drop_tls_call(struct tls_call *call, __u32 direction)
{
	struct tls_conn *conn;

	if (call->sk && !call->silent) {
		conn = tls_conn_of(call->sk);
		if (conn)
			add_hole(conn, direction, 1);
	}
	call->ssl = 0;
}

/*
 * The start of a call. A function of the library may call another one for the same object: the
 * outer call counts. A call that is not deeper on the stack than one without an end replaces it,
 * because that one was left by longjmp() or an exception.
 */
static __always_inline void tls_started(__u32 direction, __u64 ssl, __u64 stack, __u64 buffer, __u64 out, bool silent,
					__u16 attachment)
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
	call->time = bpf_ktime_get_ns();
	call->sk = 0;
	call->attachment = attachment;
	call->silent = silent;
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
	if (!tls_scratches && take_percpu_slot(&slot, kind, &cursor, n)) {
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
	return conn && conn->ssl == ssl && conn->tgid == object.tgid ? conn : (void *)0;
}

/* The end of a call that transferred n bytes of plaintext; 0 if it failed or has to be repeated. */
static __always_inline void tls_transferred(struct tls_call *call, __u32 direction, __u64 ssl, __u32 n)
{
	struct tls_conn *conn = conn_of_call(call, ssl);
	__u64 time;

	if (!conn)
		return;
	if (direction == TLS_RECEIVED) {
		if (n)
			submit_plaintext(conn, TLS_RECEIVED, bpf_ktime_get_ns(), call->buffer, n);
		return;
	}
	time = conn->retried ? conn->retried : call->time;
	conn->retried = n ? 0 : time;
	if (n)
		submit_plaintext(conn, TLS_SENT, time, call->buffer, n);
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
	if (!call->silent)
		tls_transferred(call, direction, ssl, n);
	if (outer->ssl) {
		*call = *outer;
		outer->ssl = 0;
	}
}

/*
 * The start of a call of Go's crypto/tls. The goroutine's state begins with the bounds of its stack.
 * The start may run twice, before and behind a growth of the stack.
 */
static __always_inline void go_started(__u32 direction, __u64 goroutine, __u64 conn, __u64 stack, __u64 buffer,
				       __u16 attachment)
{
	struct go_key key = {.goroutine = goroutine, .tgid = current_tgid()};
	struct go_call fresh = {.direction = direction};

	fresh.call.ssl = conn;
	fresh.call.stack = stack;
	fresh.call.buffer = buffer;
	fresh.call.time = bpf_ktime_get_ns();
	fresh.call.attachment = attachment;
	bpf_probe_read_user(&fresh.low, sizeof(fresh.low), (void *)goroutine);
	bpf_probe_read_user(&fresh.high, sizeof(fresh.high), (void *)goroutine + sizeof(fresh.low));
	if (!go_seen)
		go_seen = 1;
	if (bpf_map_update_elem(&go_calls, &key, &fresh, BPF_ANY))
		count_loss(LOST_NO_STORAGE);
}

/* The end of such a call. A buffer on the stack has moved with it. */
static __always_inline void go_ended(__u32 direction, __u64 goroutine, __u64 stack, __s64 returned)
{
	struct go_key key = {.goroutine = goroutine, .tgid = current_tgid()};
	struct go_call *go = bpf_map_lookup_elem(&go_calls, &key);
	struct tls_call call;

	if (!go || go->direction != direction)
		return;
	call = go->call;
	if (call.buffer >= go->low && call.buffer < go->high)
		call.buffer += stack - call.stack;
	bpf_map_delete_elem(&go_calls, &key);
	tls_transferred(&call, direction, call.ssl, returned > 0 ? returned : 0);
}

/* The call of Go's crypto/tls that the current system call is inside of, or NULL. */
static __always_inline struct tls_call *go_call_around(const struct pt_regs *regs)
{
	struct go_key key = {};
	struct go_call *go;

	if (!go_seen)
		return 0;
	key.goroutine = GO_GOROUTINE(regs);
	key.tgid = current_tgid();
	go = bpf_map_lookup_elem(&go_calls, &key);
	return go ? &go->call : (void *)0;
}

/* An object of the library is freed or cleared. */
static __always_inline void tls_freed(__u64 ssl)
{
	struct tls_object object = {.ssl = ssl, .tgid = current_tgid()};
	__u64 *sk = bpf_map_lookup_elem(&tls_objects, &object);
	struct tls_conn *conn;

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

/* True if the memory of the current system call begins with a TLS record (RFC 8446, section 5.1). */
static __always_inline bool begins_with_record(bool sending)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct pt_regs *regs = task_registers(task);
	__u64 address = syscall_argument_2(regs);
	struct user_msghdr msg;
	struct iovec iov;
	__u8 head[4] = {};

	switch (syscall_shape(task, regs, sending)) {
	case SYSCALL_MESSAGE:
		if (bpf_probe_read_user(&msg, sizeof(msg), (void *)address))
			return false;
		address = (__u64)msg.msg_iov;
		/* fall through */
	case SYSCALL_VECTOR:
		if (bpf_probe_read_user(&iov, sizeof(iov), (void *)address))
			return false;
		address = (__u64)iov.iov_base;
		/* fall through */
	case SYSCALL_BUFFER:
		if (bpf_probe_read_user(head, 3, (void *)address))
			return false;
		return head[0] >= 0x14 && head[0] <= 0x17 && head[1] == 3 && head[2] <= 4;
	case SYSCALL_MESSAGES:
	case SYSCALL_OTHER:
		return false;
	}
	return false;
}

/* Reports the process of a TLS connection whose library is not probed. */
static __always_inline void submit_tls_user(struct sock *sk, __u8 role, bool direct)
{
	struct event e = {};

	put_connection(&e, sk, role, direct);
	e.kind = EVENT_TLS_USER;
	e.time = bpf_ktime_get_ns();
	e.seq = current_tgid();
	submit(&e, sizeof(e));
}

/* A socket call outside of the calls of a probed library. */
static __always_inline void moved_outside(struct sock *sk, __u8 role, struct tls_task *task, bool sending, bool direct)
{
	if ((task && task->reported) || !begins_with_record(sending))
		return;
	if (!task)
		task = tls_task(true);
	if (!task || task->reported)
		return;
	task->reported = true;
	submit_tls_user(sk, role, direct);
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
static __always_inline struct tls_conn *add_tls_conn(struct sock *sk, __u8 role, struct tls_call *call, bool direct)
{
	struct tls_conn fresh = {};
	__u64 key = address_of(sk);

	put_connection(&fresh.head, sk, role, direct);
	fresh.head.flags = FLAG_PLAINTEXT;
	if (plaintext_is_whole(key, call->attachment))
		fresh.head.flags |= FLAG_WHOLE;
	fresh.edge[TLS_SENT] = TCP_FIELD(sk, write_seq);
	fresh.edge[TLS_RECEIVED] = received_offset(sk, direct);
	if (bpf_map_update_elem(&tls_conns, &key, &fresh, BPF_ANY))
		count_loss(LOST_NO_STORAGE);
	return tls_conn_of(key);
}

/* Binds a socket to the object of a call. An object has one socket, and a socket one object. */
static __always_inline void bind_tls(struct tls_conn *conn, __u64 sk, __u64 ssl)
{
	struct tls_object object = {.ssl = ssl, .tgid = current_tgid()};
	__u64 *former = bpf_map_lookup_elem(&tls_objects, &object);
	struct tls_conn *other;

	if (former && *former != sk) {
		other = tls_conn_of(*former);
		if (other && other->ssl == ssl && other->tgid == object.tgid)
			other->ssl = 0;
	}
	conn->ssl = ssl;
	conn->tgid = object.tgid;
	bpf_map_update_elem(&tls_objects, &object, &sk, BPF_ANY);
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

/* The end of a socket call that moved n bytes. */
static __always_inline void ciphertext_moved(struct sock *sk, __u32 direction, __s32 n, bool direct)
{
	struct task_struct *current = bpf_get_current_task_btf();
	__u8 role = select_tcp(sk, direct);
	bool sending = direction == TLS_SENT;
	struct tls_task *task;
	struct tls_call *call;
	struct tls_conn *conn;
	__u64 key;
	__u32 end;
	__s32 hole;

	if (role == ROLE_NONE || n <= 0)
		return;
	task = tls_task(false);
	call = task ? tls_call_around(task, syscall_stack(task_registers(current))) : (void *)0;
	if (!call)
		call = go_call_around(task_registers(current));
	if (!call) {
		moved_outside(sk, role, task, sending, direct);
		return;
	}
	key = address_of(sk);
	conn = tls_conn_of(key);
	end = sending ? TCP_FIELD(sk, write_seq) : received_offset(sk, direct);
	if (!conn || conn->ssl != call->ssl || conn->tgid != current_tgid()) {
		if (!begins_with_record(sending)) {
			bpf_map_delete_elem(&tls_opened, &key); /* the first records were not seen */
			return;
		}
		if (!conn) {
			conn = add_tls_conn(sk, role, call, direct);
			if (!conn)
				return;
			conn->edge[direction & 1] = end - n;
		}
		bind_tls(conn, key, call->ssl);
	}
	hole = end - n - conn->edge[direction & 1];
	if (hole > 0)
		add_hole(conn, direction, hole);
	conn->edge[direction & 1] = end;
	call->sk = key;
	stop_ciphertext(key);
}

/* Forgets a socket, because a connection begins or ends on it. */
static __always_inline void forget_tls(__u64 sk)
{
	struct tls_conn *conn = tls_conn_of(sk);
	struct tls_object object = {};

	if (!conn)
		return;
	object.ssl = conn->ssl;
	object.tgid = conn->tgid;
	bpf_map_delete_elem(&tls_objects, &object);
	bpf_map_delete_elem(&tls_conns, &sk);
}

#endif
