/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The owner of a connection: the cgroup of its socket, and the executable of the process that made
 * its first call. Both are read here and not later from /proc, where the process may be gone and
 * its number may belong to another one. The names of a cgroup are read here too, so that user space
 * needs neither its file system nor a privilege.
 */
#ifndef OBSERVER_OWNER_H
#define OBSERVER_OWNER_H

#include "elide.h"

/*
 * The sockets whose first call has been reported, by the tag of the socket in two slots, so that
 * two sockets of one slot do not take it from each other with every call.
 */
enum { OWNER_WAYS = 2 };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OWNER_WAYS *SLOTS); /* 1 if owners are not reported */
	__type(key, __u32);
	__type(value, __u64);
} owners SEC(".maps");

/* The identities of cgroups whose names have been reported. */
enum { CGROUP_SLOTS = 4096 };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CGROUP_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} cgroups_told SEC(".maps");

static __always_inline __u64 *owner_of(__u32 slot, __u32 way)
{
	__u32 index = way * SLOTS + slot;

	return bpf_map_lookup_elem(&owners, &index);
}

/* The word of a socket in its slots; never that of an empty one. */
static __always_inline __u64 owner_word(__u64 conn)
{
	return 1ULL << 32 | tag_of(conn);
}

/* Forgets that the first call of a socket was reported, because a connection begins or ends on it. */
static __always_inline void forget_owner(struct sock *sk)
{
	__u64 conn, *word;
	__u32 slot, way;

	if (!report_owners)
		return;
	conn = address_of(sk);
	slot = slot_of(conn);
	for (way = 0; way < OWNER_WAYS; way++) {
		word = owner_of(slot, way);
		if (word && *word == owner_word(conn))
			*word = 0;
	}
}

/* True if no call of a socket has been reported. Notes that one is now. */
static __always_inline bool is_first_call(struct sock *sk)
{
	__u32 slot = slot_of(low_address_of(sk));
	__u64 *first = owner_of(slot, 0), *second = owner_of(slot, 1);
	__u64 word;

	if (!first || !second)
		return false;
	word = owner_word(address_of(sk));
	if (*first == word || *second == word)
		return false;
	if (*first && !*second)
		*second = word;
	else
		*first = word;
	return true;
}

static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *node)
{
	if (bpf_core_field_exists(node->__parent))
		return BPF_CORE_READ(node, __parent);
	return BPF_CORE_READ((struct kernfs_node___before_6_15 *)node, parent);
}

/* True if there is a cgroup and it is not the root of its hierarchy, where nobody is placed. */
static __always_inline bool is_placed(struct cgroup *cgroup)
{
	return cgroup && kernfs_parent(BPF_CORE_READ(cgroup, kn));
}

/* The cgroup of a socket; NULL if the socket has none. */
static __always_inline struct cgroup *cgroup_of_socket(struct sock *sk)
{
	__u64 value = 0;

	if (!bpf_core_field_exists(sk->sk_cgrp_data))
		return 0;
	bpf_probe_read_kernel(&value, sizeof(value), (char *)sk + bpf_core_field_offset(struct sock, sk_cgrp_data));
	return value & 3 ? (void *)0 : (struct cgroup *)value;
}

static __always_inline struct cgroup *cgroup_in(struct css_set *set, __u32 subsystem)
{
	struct cgroup_subsys_state *state = 0;

	bpf_probe_read_kernel(&state, sizeof(state),
			      (char *)set + bpf_core_field_offset(struct css_set, subsys) + sizeof(state) * subsystem);
	return BPF_CORE_READ(state, cgroup);
}

/* The cgroup of a task: where hierarchies are separate (v1), that of the first one that places it. */
static __always_inline struct cgroup *cgroup_of_task(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup *cgroup = BPF_CORE_READ(set, dfl_cgrp);

	if (!is_placed(cgroup) && bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		cgroup = cgroup_in(set, bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id));
	if (!is_placed(cgroup) && bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id))
		cgroup = cgroup_in(set, bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id));
	return cgroup;
}

/* The number of a cgroup, which is unique in its hierarchy, with that of the hierarchy. */
static __always_inline __u64 cgroup_identity(struct cgroup *cgroup)
{
	return BPF_CORE_READ(cgroup, kn, id) ^ (__u64)BPF_CORE_READ(cgroup, root, hierarchy_id) << 48;
}

/* Reports the names of a cgroup, unless that was done before. Returns its identity. */
static __always_inline __u64 tell_cgroup(struct cgroup *cgroup)
{
	__u64 identity = cgroup_identity(cgroup), *told;
	__u32 slot = identity % CGROUP_SLOTS, level;
	struct kernfs_node *node, *parent;
	struct cgroup_event *e;

	told = bpf_map_lookup_elem(&cgroups_told, &slot);
	if (!told || *told == identity)
		return identity;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_loss(LOST_RING_FULL);
		return identity;
	}
	__builtin_memset(&e->event, 0, sizeof(e->event));
	e->event.kind = EVENT_CGROUP;
	e->event.flags = FLAG_WORD;
	e->event.time = bpf_ktime_get_ns();
	e->cgroup = identity;
	node = BPF_CORE_READ(cgroup, kn);
	for (level = 0; level < CGROUP_LEVELS; level++) {
		e->names[level][0] = 0;
		parent = kernfs_parent(node);
		if (parent)
			bpf_probe_read_kernel_str(e->names[level], CGROUP_NAME, BPF_CORE_READ(node, name));
		node = parent;
	}
	bpf_ringbuf_submit(e, wakeup_flags());
	*told = identity;
	return identity;
}

/*
 * The identity of the cgroup of a socket, whose names user space knows then; 0 if there is none. A
 * socket may have none because hierarchies are separate: in a call, that of the task counts then. A
 * global function, as copy_step() is; until 5.12 those take only numbers.
 */
__noinline __u64 told_cgroup(__u64 socket, __u64 in_call)
{
	struct cgroup *cgroup = cgroup_of_socket((struct sock *)socket);

	if (is_placed(cgroup))
		return tell_cgroup(cgroup);
	if (!in_call)
		return 0;
	cgroup = cgroup_of_task((struct task_struct *)bpf_get_current_task());
	return cgroup ? tell_cgroup(cgroup) : 0;
}

/* The address of the name of the current task's executable, as a number. */
__noinline __u64 executable_name(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return (__u64)BPF_CORE_READ(task, mm, exe_file, f_path.dentry, d_name.name);
}

/* An event of a state, which the identity of a cgroup and the time to connect may follow. */
struct state_event {
	struct event event;
	__u64 cgroup;
	__u64 took;
};

/* Submits that a connection opens or exists. timed: how long it took to connect is known. */
static __always_inline void submit_begun(struct state_event *e, struct sock *sk, bool timed)
{
	if (report_owners)
		e->cgroup = told_cgroup(address_of(sk), false);
	if (timed) {
		e->event.flags |= 2 * FLAG_WORD;
		submit(e, sizeof(*e));
	} else if (report_owners) {
		e->event.flags |= FLAG_WORD;
		submit(e, __builtin_offsetof(struct state_event, took));
	} else {
		submit(&e->event, sizeof(e->event));
	}
}

/* Submits the owner of a connection, in the first call on it. */
static __always_inline void submit_owner(struct sock *sk, __u8 role, struct unix_state *state, __u64 time, bool direct)
{
	__u64 cgroup = told_cgroup(address_of(sk), true);
	struct owner_event *e;

	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_loss(LOST_RING_FULL);
		return;
	}
	put_endpoints(&e->event, sk, role, state, direct);
	e->event.time = time;
	e->event.seq = 0;
	e->event.len = 0;
	e->event.kind = EVENT_OWNER;
	e->event.reason = 0;
	e->event.flags = FLAG_WORD;
	e->cgroup = cgroup;
	e->executable[0] = 0;
	bpf_probe_read_kernel_str(e->executable, sizeof(e->executable), (void *)executable_name());
	bpf_ringbuf_submit(e, wakeup_flags());
}

/* Reports the owner of a connection, unless a call did before. time is that of the call, 0 if it ends now. */
static __always_inline void report_owner(struct sock *sk, __u8 role, __u64 time, bool direct)
{
	if (report_owners && is_first_call(sk))
		submit_owner(sk, role, 0, (time ? time : bpf_ktime_get_ns()) - 1, direct);
}

#endif
