/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Everything that outlives one run of a probe. */
#ifndef OBSERVER_MAPS_H
#define OBSERVER_MAPS_H

#include "event.h"

/* A socket call between its start and its end. */
struct call {
	__u64 sk; /* 0: none */
	__u64 time;
	__u64 length; /* what the application asked for, in bytes */
	__u32 seq;    /* stream offset of its first byte */
	bool urgent;  /* its last byte is that of MSG_OOB */
	bool early;   /* the connection was not open: seq is not known yet */
	__u16 pad;
	struct cursor cursor;
};

/* What is remembered of a task. */
struct task_calls {
	struct call send;
	struct call receive;
	__u64 messages; /* recvmmsg and sendmmsg: the vector, and which of its messages is next */
	__u64 next_message;
	__u64
	    sent_sk; /* the socket of the latest send that was told of, and the offset behind it: for the other copies */
	__u32 sent_end;
	__u32 pad;
};

/* Copying a call that is longer than one event or in several pieces of memory. */
struct copying {
	__u64 base;   /* the rest of the current piece of memory */
	__u64 piece;  /* its length in bytes */
	__u64 list;   /* the next entry of the list of pieces */
	__u64 skip;   /* bytes to skip in it */
	__u32 pieces; /* entries left */
	__u32 memory; /* enum memory */
	__u32 left;   /* bytes of the call left to copy, */
	__u32 middle; /* behind them those that are left out, */
	__u32 tail;   /* and behind these more to copy */
	__u32 passed; /* bytes of the middle left to step over */
	__u32 filled; /* bytes in the scratch that are not submitted yet */
	__u32 body;   /* skip.h: bytes left of a body that is passed over, */
	__u32 lead;   /* where behind it something begins, */
	__u32 head;   /* where the next body begins, */
	__u32 keep;   /* and how many bytes of it have to be copied */
	__u32 end;    /* stream offset behind the call */
};

/* Where an event is put together: the verifier wants room for the longest piece after any shorter one. */
struct scratch {
	struct copying copying;
	struct event event;
	__u8 payload[2 * EVENT_MAX_PAYLOAD];
};

/* Sent and received payload have a scratch each, and each copy of the programs, because one can be preempted by the other. */
enum { SCRATCH_SEND, SCRATCH_RECEIVE, SCRATCH_COUNT };

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} events SEC(".maps");

/* A ring for each processor and direction (lane.h). The loader sets both sizes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SCRATCH_COUNT);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct lane) + LANE_SLACK);
} lanes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_COUNT); /* for each copy */
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

/* In the place of task storage before 5.11. The loader keeps the one that the kernel has. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct task_calls);
} calls_by_thread SEC(".maps");

/* The latest change of each connection, which every copy of a program sees. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} changes SEC(".maps");

/* Set before loading. */
const volatile __u32 max_bytes = 65536;	  /* payload copied of one call */
const volatile __u64 fill_mark = 1 << 20; /* bytes in the ring past which a sleeping consumer is woken */
const volatile __u64 lane_size = 0;	  /* bytes of events in a lane, a power of two; 0 if there are no lanes */
const volatile __u32 own_network = 0;	  /* inode of the observer's network namespace */
/*
 * The number of parameters of tcp_recvmsg(). Until 5.18 it had nonblock before flags (ec095263a965 "net: remove noblock
 * parameter from recvmsg() entities"); 7.2 has no addr_len behind them.
 */
const volatile __u32 recvmsg_parameters = 5;
const volatile bool reads_mptcp = false; /* whether this backend can, and this kernel tells enough */
/*
 * Where a program can be preempted, the kernel skips it for the other tasks of that processor until it has ended. So there
 * the loader attaches copies of the programs: the first that is not skipped does the work, and the others
 * find it done. Those of the life of connections have copies on every kernel: a process that closes a socket runs
 * them with soft interrupts enabled, and these end connections too.
 */
const volatile __u32 copies = 1;
const volatile __u32 copy = 0; /* which of them this is */

/* How the consumer of the ring waits; it writes this, and the probe that wakes it resets it. */
enum consumer {
	CONSUMER_READING,  /* looks at the ring before it sleeps */
	CONSUMER_DOZING,   /* wakes up by itself within the flush interval */
	CONSUMER_SLEEPING, /* waits for the first event */
};
__u32 consumer_state = CONSUMER_READING;

/* The observed ports, a bit each; changed while the probes run. */
__u8 client_ports[8192] = {};
__u8 server_ports[8192] = {};

/* Keeps the compiler from merging, moving or copying a variable: the verifier would not follow. */
#define one_copy(variable) asm volatile("" : "+r"(variable))

static __always_inline void count_loss(__u32 kind)
{
	__u64 *counter = bpf_map_lookup_elem(&lost, &kind);

	if (counter)
		(*counter)++;
}

/* The calls of the current task; NULL if there was no memory for them. */
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
