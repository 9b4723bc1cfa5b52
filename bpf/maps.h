/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps and variables: everything that outlasts one run of a program. */
#ifndef OBSERVER_MAPS_H
#define OBSERVER_MAPS_H

#include "event.h"

/* A socket call between its start and its end. */
struct call {
	__u64 sk;     /* 0 if there is no call */
	__u64 time;   /* of the start, CLOCK_MONOTONIC in ns */
	__u64 length; /* bytes that the application asked to send */
	__u32 seq;    /* stream offset of the first byte */
	bool urgent;  /* the last byte is that of MSG_OOB */
	bool early;   /* the connection was not open yet, so seq is not known */
	__u8
	    unix_duplicate; /* behind the duplicate that ran for the latest call on a Unix socket (unix.h); 0 if none */
	__u8 ended;	    /* one bit for each duplicate that has run at the end of the latest call (calls.h) */
	struct cursor cursor;
};

/* The state of one task. */
struct task_calls {
	struct call send;
	struct call receive;
	__u64 messages;	    /* recvmmsg and sendmmsg: the vector of messages */
	__u64 next_message; /* the index of its next message */
	__u64 sent_sk;	    /* the socket of the latest reported send, for the duplicates */
	__u32 sent_end;	    /* the offset behind that send */
	__u32 pad;
};

/* The state of copying a call that is longer than one event or has several memory segments. */
struct copying {
	__u64 base;	   /* the rest of the current segment */
	__u64 segment;	   /* its length in bytes */
	__u64 list;	   /* address of the next entry in the list of segments */
	__u64 offset;	   /* bytes to skip in the next segment */
	__u32 segments;	   /* entries left in the list */
	__u32 memory;	   /* enum memory */
	__u32 left;	   /* bytes still to copy: the first half of a call that is too long, */
	__u32 middle;	   /* then bytes to leave out, */
	__u32 tail;	   /* then bytes to copy again */
	__u32 middle_left; /* bytes of the middle still to skip */
	__u32 filled;	   /* bytes in the scratch that are not submitted yet */
	__u32 value;	   /* value elision (elide.h): bytes left of the current value */
	__u32 lead;	   /* bytes between the end of the value and the next header */
	__u32 value_at;	   /* offset in the lookahead behind the number that was read last */
	__u32 keep;	   /* leading bytes of the next value that must be copied */
	__u32 end;	   /* stream offset behind the call */
};

/*
 * Where an event is assembled. payload is twice as long as an event may be, because the verifier
 * checks the longest segment after any amount that was copied before it.
 */
struct scratch {
	struct copying copying;
	__u64 taken; /* of TLS: a program uses it */
	struct event event;
	__u8 payload[2 * EVENT_MAX_PAYLOAD];
};

/*
 * One scratch for each direction and each duplicate of the programs, because one of these programs
 * can be preempted by another.
 */
enum { SCRATCH_SEND, SCRATCH_RECEIVE, SCRATCH_COUNT };

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} events SEC(".maps");

/* A ring for each CPU and direction (percpu.h). The loader sets max_entries and value_size. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SCRATCH_COUNT);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct percpu_ring) + PERCPU_RING_SLACK);
} percpu_rings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_COUNT); /* the loader multiplies it by the duplicates */
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOST_KINDS);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_calls);
} calls SEC(".maps");

/* Replaces task storage before 5.11. The loader keeps the one that the kernel supports. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct task_calls);
} calls_by_thread SEC(".maps");

/* The latest reported state change of each connection, shared by the duplicates of a program. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} changes SEC(".maps");

/* The name of a Unix socket: a path, or an abstract name behind a zero byte. Padded with zeros. */
struct unix_name {
	__u32 length; /* of an abstract name with its zero byte, because more of them may follow; 0 for a path */
	char name[108];
};

/* The path of a Unix socket to observe, and the end. */
struct unix_path {
	__u32 index;
	__u32 role;
};

/* Preallocated: kernels before 6.1 allow probes nothing else. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct unix_name);
	__type(value, struct unix_path);
} unix_paths SEC(".maps");

/*
 * The state of a connected Unix socket. Its streams have no offsets of their own, so the calls are
 * counted from the first one that was seen.
 */
struct unix_state {
	__u64 generation;   /* when it was first seen, CLOCK_MONOTONIC in ns: no two sockets in a place have the same */
	__u64 cookie;	    /* the kernel's number of the socket; 0 where states end with their sockets */
	__u64 peer;	    /* the address of the other end, 0 if there was none */
	__u64 peer_cookie;  /* likewise its number; 0 also if it had none yet */
	__u32 version;	    /* the unix_version for which the fields below hold */
	__u32 path;	    /* the index of the path */
	__u8 role;	    /* ROLE_NONE at an end that is not observed, and after the end was reported */
	bool peer_observed; /* the other end is observed */
	bool peer_ended;    /* the end of its stream has been reported */
	bool begun;	    /* its beginning has been reported, or was not seen */
	__u32 sent;	    /* bytes so far */
	__u32 received;
	bool sequenced;	 /* SOCK_SEQPACKET: its messages are no stream */
	bool whole;	 /* all calls since its beginning have been counted */
	bool listed;	 /* a listing found it, new and without a call */
	bool freed;	 /* the latest pass found that its memory was freed */
	bool owner_told; /* the process of its first call has been reported */
	__u8 pad[3];
	__u32 orphaned_at; /* the latest listing found the other end closed: received + 1 at that time; else 0 */
};

/*
 * Both ends of each observed connection, by the address of the socket. fentry and kprobe delete a
 * state when the socket is freed. Nothing tells the tracepoints: there a state holds only for a
 * socket with the same cookie, and passes delete the states of freed sockets (pass_unix_state). For
 * them, the loader makes the map larger and does not preallocate it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct unix_state);
} unix_states SEC(".maps");

/* Why most calls on a Unix socket need no state. */
enum unix_verdict {
	UNIX_FOREIGN = 1, /* neither end is observed */
	UNIX_OTHER_END, /* only the other end is observed: the bytes sent here count, what is received here does not */
};

/* The verdict on a socket and the unix_version for which it holds, for the tracepoints. */
struct unix_judgement {
	__u32 version;
	__u32 verdict;
};
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct unix_judgement);
} unix_verdicts SEC(".maps");

/*
 * Replaces unix_verdicts for the backends fentry and kprobe, because kprobes cannot use the storage
 * of sockets, nor can fentry before 5.11: the latest foreign sockets, one word for each slot: the lower 48 bits of the address, then the
 * lower 16 bits of the unix_version for which the socket is foreign.
 */
enum { UNIX_FOREIGN_SLOTS = 8192 };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UNIX_FOREIGN_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} unix_foreign SEC(".maps");

/* Changes with the observed paths. User space raises it. */
__u32 unix_version = 0;
/*
 * The version for which all connections that exist have been listed. A socket that is first seen
 * later is a new connection.
 */
__u32 unix_listed = 0;

/*
 * The programs for the ciphertext of TLS connections, one for each duplicate. Those of the socket calls end with them,
 * for observed sockets only, so that all others pay nothing for TLS. Empty until a TLS connection was seen. Each
 * map has programs of one function of the kernel.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1); /* the loader sets it */
	__type(key, __u32);
	__type(value, __u32);
} tls_sent SEC(".maps"), tls_received SEC(".maps");

/* Constants: the loader sets them before it loads the programs. */
const volatile __u32 max_bytes = 65536; /* payload copied of one call */
/*
 * Bytes in the ring buffer above which a probe wakes a consumer in a short wait. The ring buffer is
 * four times as large.
 */
const volatile __u64 fill_mark = 1 << 20;
const volatile __u64 percpu_ring_size = 0; /* bytes, a power of two; 0 if there are no per-CPU rings */
const volatile __u32 own_network = 0;	   /* inode of the observer's network namespace */
/*
 * The number of parameters of tcp_recvmsg(). Until 5.18 it had nonblock before flags (ec095263a965
 * "net: remove noblock parameter from recvmsg() entities"); 7.2 has no addr_len behind them.
 */
const volatile __u32 recvmsg_parameters = 5;
const volatile bool unix_by_address = false;	   /* the listing of Unix sockets uses unix_foreign */
const volatile bool unix_listed_by_network = true; /* the kernel has iter/unix (5.15) */
/*
 * The first of the scratches of the programs for Unix sockets. They have scratches of their own
 * where other programs can preempt them.
 */
const volatile __u32 unix_scratch = 0;
const volatile bool reads_tls = false;	     /* tls_sent and tls_received may have programs */
const volatile bool report_owners = false;   /* report cgroups and executables (owner.h) */
const volatile bool report_arrivals = false; /* note and report when bytes became readable (phases.h) */
const volatile bool reads_mptcp = false;     /* backend and kernel can read MPTCP streams */
/*
 * Duplicate attachments. While a program is preempted, the kernel skips it for the other tasks of
 * that CPU. On such kernels the loader attaches duplicates of each program: the first one that the
 * kernel does not skip does the work, and the others find it done. The programs of the life of
 * connections have duplicates on every kernel: a process that closes a socket runs them with
 * softirqs enabled, and a softirq can end another connection meanwhile.
 */
const volatile __u32 duplicates = 1;
const volatile __u32 duplicate = 0; /* the index of this one */

/*
 * How the consumer of the ring buffer waits. The consumer sets it, and the probe that wakes it
 * resets it.
 */
enum consumer {
	CONSUMER_READING,    /* it reads, and checks the ring buffer again before it waits */
	CONSUMER_SHORT_WAIT, /* it wakes up by itself within milliseconds */
	CONSUMER_LONG_WAIT,  /* what is in the ring buffer has to wake it; per-CPU rings can wait */
};
__u32 consumer_state = CONSUMER_READING;

/*
 * Continues with the program for ciphertext of this duplicate, if there is one, and does not return then. The context
 * must be that of a call on an observed socket that moved bytes.
 */
#define CONTINUE_WITH(ctx, programs)                                                                                   \
	({                                                                                                             \
		if (reads_tls)                                                                                         \
			bpf_tail_call(ctx, &programs, duplicate);                                                      \
	})

/* The observed ports, one bit each. The loader changes them while the probes run. */
__u8 client_ports[8192] = {};
__u8 server_ports[8192] = {};

static __always_inline void count_loss(__u32 kind)
{
	__u64 *counter = bpf_map_lookup_elem(&lost, &kind);

	if (counter)
		(*counter)++;
}

/*
 * A wake-up costs the observed process microseconds. So there is none while the consumer reads, and
 * at most one for each wait: above the fill mark in a short wait, at once in a long wait.
 */
static __always_inline __u64 wakeup_flags(void)
{
	__u32 state = consumer_state;

	if (state == CONSUMER_READING)
		return BPF_RB_NO_WAKEUP;
	if (state == CONSUMER_SHORT_WAIT && bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) < fill_mark)
		return BPF_RB_NO_WAKEUP;
	consumer_state = CONSUMER_READING;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline void submit(void *record, __u64 size)
{
	if (bpf_ringbuf_output(&events, record, size, wakeup_flags()))
		count_loss(LOST_RING_FULL);
}

/* The state of the current task; NULL if it has none. */
static __always_inline struct task_calls *existing_calls(void)
{
	__u64 thread = bpf_get_current_pid_tgid();

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_storage_get))
		return bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0, 0);
	return bpf_map_lookup_elem(&calls_by_thread, &thread);
}

/* The state of the current task; NULL if there is no memory for it. */
static __always_inline struct task_calls *current_calls(void)
{
	struct task_calls *state;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_storage_get)) {
		state = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	} else {
		static const struct task_calls none = {};
		__u64 thread = bpf_get_current_pid_tgid();

		state = bpf_map_lookup_elem(&calls_by_thread, &thread);
		if (!state && !bpf_map_update_elem(&calls_by_thread, &thread, &none, BPF_ANY))
			state = bpf_map_lookup_elem(&calls_by_thread, &thread);
	}
	if (!state)
		count_loss(LOST_NO_STORAGE);
	return state;
}

#endif
