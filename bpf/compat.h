/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types and fields that the probes use, and every difference between kernels, one helper
 * for each. Field offsets are relocated when the object is loaded (CO-RE), so the definitions need
 * names only.
 */
#ifndef OBSERVER_COMPAT_H
#define OBSERVER_COMPAT_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
enum { false, true };

/* Map types and flags, from the kernel's stable interface (include/uapi/linux/bpf.h). */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1 << 10,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_AVAIL_DATA = 0,
};

#include "headers/bpf_helpers.h"
#include "headers/bpf_core_read.h"

/* The arguments of socket calls: a stable interface, not relocated. */
struct iovec {
	void *iov_base;
	unsigned long iov_len;
};
struct user_msghdr {
	void *msg_name;
	int msg_namelen;
	struct iovec *msg_iov;
	unsigned long msg_iovlen;
	void *msg_control;
	unsigned long msg_controllen;
	unsigned int msg_flags;
};
struct mmsghdr {
	struct user_msghdr msg_hdr;
	unsigned int msg_len;
};

/* The registers of a task: their layout is that of ptrace, a stable interface, not relocated. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp, pc, pstate;
};
struct pt_regs {
	__u64 regs[31];
	__u64 sp;
};
#else
#error "unknown architecture"
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};

struct ns_common {
	unsigned int inum;
};

struct user_namespace {
	int level;
};

struct net {
	struct ns_common ns;
	struct user_namespace *user_ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

typedef struct {
	__s64 counter;
} atomic64_t;

typedef struct {
	struct {
		int counter;
	} refs;
} refcount_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	unsigned long skc_flags;
	atomic64_t skc_cookie;
	refcount_t skc_refcnt;
};

/* Until 6.15 __parent was parent (633488947ef6 "kernfs: Use RCU to access kernfs_node::parent."). */
struct kernfs_node {
	struct kernfs_node *__parent;
	const char *name;
	__u64 id;
};
struct kernfs_node___before_6_15 {
	struct kernfs_node *parent;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

/*
 * Until 5.15 the lowest bits of the pointer said that it is another value
 * (8520e224f547 "bpf, cgroups: Fix cgroup v2 fallback on v1/v2 mixed mode").
 */
struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct sk_buff {
	char cb[48];
};

/* The cb of a segment between the reception of its packet and that of its bytes. */
struct tcp_skb_cb {
	__u32 seq;
	__u32 end_seq;
};

struct sk_buff_head {
	struct sk_buff *next;
	__u32 qlen;
};

struct cred {
	struct user_namespace *user_ns;
};

struct sock {
	struct sock_common __sk_common;
	struct socket *sk_socket;
	struct cred *sk_peer_cred;
	__u16 sk_protocol;
	int sk_err;
	void *sk_user_data;
	__u8 sk_shutdown;
	__u16 sk_type;
	struct sk_buff_head sk_receive_queue;
	struct sock_cgroup_data sk_cgrp_data;
};

struct sockaddr_un {
	unsigned short sun_family;
};

struct unix_address {
	int len; /* of the family and the name */
	struct sockaddr_un name[1];
};

/* inq_len was added in 6.17. */
struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
	unsigned int inq_len;
};

/* The cb of a buffer in the queue of a Unix socket. */
struct unix_skb_parms {
	__u32 consumed;
};

struct file {
	void *private_data;
	struct cred *f_cred;
	struct path f_path;
};

struct mm_struct {
	struct file *exe_file;
};

struct socket {
	struct file *file;
	struct sock *sk;
};

struct inet_sock {
	__be16 inet_sport;
};

struct tcp_ulp_ops {
	char name[16];
};

struct inet_connection_sock {
	const struct tcp_ulp_ops *icsk_ulp_ops;
	void *icsk_ulp_data;
	struct {
		__u32 lrcvtime;
	} icsk_ack;
};

struct tcp_sock {
	__u32 lsndtime;
	__u32 copied_seq;
	__u32 write_seq;
	__u32 rcv_nxt;
	__u32 snd_una;
	__u64 bytes_acked;
	__u32 urg_seq;
	bool is_mptcp;
};

/* One bit of a word until 6.10 or so. */
struct tcp_sock___bits {
	__u8 syn_smc : 1;
};

/*
 * bytes_consumed was added between 6.1 and 6.12. Only it says how much of the stream the
 * application received.
 */
struct mptcp_sock {
	__u64 write_seq;
	__u64 bytes_received;
	__u64 bytes_consumed;
	struct sock *first;
};

struct mptcp_subflow_context {
	struct sock *conn;
};

struct iov_iter {
	__u8 iter_type;
	unsigned long iov_offset;
	unsigned long count;
	const struct iovec *__iov;
	void *ubuf;
	unsigned long nr_segs;
};

/*
 * Until 5.14 the kind and the direction shared one word (8cd54c1c8480 "iov_iter: separate direction
 * from flavour").
 */
struct iov_iter___before_5_14 {
	unsigned int type;
};

/* Until 6.4 __iov was iov (de4f5fed3f23 "iov_iter: add iter_iovec() helper"). */
struct iov_iter___before_6_4 {
	const struct iovec *iov;
};

struct msghdr {
	struct iov_iter msg_iter;
	unsigned int msg_flags;
};

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};
struct bpf_iter__unix {
	struct bpf_iter_meta *meta;
	struct unix_sock *unix_sk;
};
struct bpf_iter__task_file {
	struct file *file;
};

struct thread_info {
	unsigned long flags;
	__u32 status;
};
struct task_struct {
	struct thread_info thread_info;
	struct mm_struct *mm;
	struct css_set *cgroups;
};

#if defined(__TARGET_ARCH_arm64)
struct pt_regs___kernel {
	__u64 orig_x0;
	__s32 syscallno;
};
#endif

/* Relocated values: 6.0 added ITER_UBUF at the end, 6.4 moved it to the front. */
enum iter_type {
	ITER_IOVEC = 100,
	ITER_KVEC = 101,
	ITER_UBUF = 102,
};
enum cgroup_subsys_id {
	memory_cgrp_id = 100,
	pids_cgrp_id = 101,
};
/* Each exists if the kernel has the helper: since 5.11, and since 5.15. */
enum bpf_func_id {
	BPF_FUNC_task_storage_get = 156,
	BPF_FUNC_task_pt_regs = 175,
};

#pragma clang attribute pop

enum {
	AF_UNIX = 1,
	AF_INET = 2,
	AF_INET6 = 10,
	SOCK_STREAM = 1,
	SOCK_SEQPACKET = 5,
	IPPROTO_TCP = 6,
	IPPROTO_SCTP = 132,
	IPPROTO_MPTCP = 262,
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT1 = 4,
	TCP_FIN_WAIT2 = 5,
	TCP_CLOSE = 7,
	TCP_CLOSE_WAIT = 8,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
	TCP_CLOSING = 11,
	MSG_OOB = 0x1,
	MSG_PEEK = 0x2,
	MSG_TRUNC = 0x20,
	MSG_ERRQUEUE = 0x2000,
	MSG_FASTOPEN = 0x20000000,
	EACCES = 13,
	EPIPE = 32,
	ENOSYS = 38,
	ENONET = 64,
	ENETDOWN = 100,
	ENETUNREACH = 101,
	ECONNRESET = 104,
	ETIMEDOUT = 110,
	ECONNREFUSED = 111,
	EHOSTDOWN = 112,
	EHOSTUNREACH = 113,
	SHUT_RD = 0,
	RCV_SHUTDOWN = 1,
	SHUTDOWN_MASK = 3,
	SOCK_DEAD_BIT = 0,	/* enum sock_flags: set when the application has closed the socket */
	SOCK_DONE_BIT = 1,	/* set by tcp_fin() only */
	SOCK_URGINLINE_BIT = 2, /* set by SO_OOBINLINE */
};

/*
 * Reads a field of a kernel object. BTF programs load from typed pointers directly, by one
 * instruction; kprobes need a helper call. direct is a constant after inlining, so one of the
 * branches vanishes.
 */
#define FIELD(direct, pointer, path)                                                                                   \
	({                                                                                                             \
		typeof((pointer)->path) value_;                                                                        \
		if (direct)                                                                                            \
			value_ = (pointer)->path;                                                                      \
		else                                                                                                   \
			bpf_core_read(&value_, sizeof(value_), &(pointer)->path);                                      \
		value_;                                                                                                \
	})

/*
 * A word of the context of fentry and fexit: the parameters, then the result. In assembler, because
 * the compiler would merge two loads into one of a computed address, which the verifier rejects.
 */
#define CONTEXT_WORD(ctx, index)                                                                                       \
	({                                                                                                             \
		__u64 word_;                                                                                           \
		asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(word_) : "r"(ctx), "i"(8 * (index)));                     \
		word_;                                                                                                 \
	})

/* Where the bytes of a call are. */
enum memory {
	MEMORY_NONE,	   /* not in user memory, or unknown */
	MEMORY_USER,	   /* one segment of user memory */
	MEMORY_KERNEL_IOV, /* segments of user memory, listed in kernel memory */
	MEMORY_USER_IOV,   /* segments of user memory, listed in user memory */
};

/* The bytes of a call, from its first byte on. */
struct cursor {
	__u64 base;   /* address of the bytes, or of the list of segments */
	__u64 offset; /* bytes to skip in the first segment */
	__u32 segments;
	__u32 memory; /* enum memory */
};

/* Sets the cursor to the position of an iterator. */
static __always_inline void cursor_of_iter(struct cursor *c, struct iov_iter *iter, bool direct)
{
	bool ubuf, iovec;

	if (bpf_core_field_exists(iter->iter_type)) {
		__u8 type = FIELD(direct, iter, iter_type);

		ubuf = bpf_core_enum_value_exists(enum iter_type, ITER_UBUF) &&
		       type == bpf_core_enum_value(enum iter_type, ITER_UBUF);
		iovec = type == bpf_core_enum_value(enum iter_type, ITER_IOVEC);
	} else {
		/* ITER_IOVEC was 4 and the lowest bit the direction. */
		struct iov_iter___before_5_14 *old = (void *)iter;

		ubuf = false;
		iovec = (FIELD(direct, old, type) & ~1u) == 4;
	}

	c->offset = FIELD(direct, iter, iov_offset);
	if (ubuf) {
		c->memory = MEMORY_USER;
		c->base = (__u64)FIELD(direct, iter, ubuf);
		/*
		 * The verifier allows no arithmetic on a typed pointer; reloaded from the map it is
		 * a number.
		 */
		asm volatile("" ::: "memory");
		c->base += c->offset;
		return;
	}
	c->memory = iovec ? MEMORY_KERNEL_IOV : MEMORY_NONE;
	c->segments = FIELD(direct, iter, nr_segs);
	if (bpf_core_field_exists(iter->__iov)) {
		c->base = (__u64)FIELD(direct, iter, __iov);
	} else {
		struct iov_iter___before_6_4 *old = (void *)iter;

		c->base = (__u64)FIELD(direct, old, iov);
	}
}

/* The form of the current task's system call, by where it keeps the address of the bytes. */
enum syscall_shape {
	SYSCALL_OTHER,
	SYSCALL_BUFFER,	  /* fd, buffer, length, … : read, recvfrom, write, sendto */
	SYSCALL_VECTOR,	  /* fd, iovec, count, … : readv, preadv2, writev, pwritev2 */
	SYSCALL_MESSAGE,  /* fd, msghdr, … : recvmsg, sendmsg */
	SYSCALL_MESSAGES, /* fd, mmsghdr, count, … : recvmmsg, one receive for each, and sendmmsg */
};

#if defined(__TARGET_ARCH_x86)
static __always_inline __u64 syscall_number(const struct pt_regs *regs)
{
	return regs->orig_ax;
}
static __always_inline __u64 syscall_argument_2(const struct pt_regs *regs)
{
	return regs->si;
}
static __always_inline __u64 syscall_argument_3(const struct pt_regs *regs)
{
	return regs->dx;
}
static __always_inline __u64 syscall_argument_4(const struct pt_regs *regs)
{
	return regs->r10;
}
static __always_inline __u64 syscall_stack(const struct pt_regs *regs)
{
	return regs->sp;
}
/* Go's calling convention, from 1.17 on: three arguments, the first of which becomes the result, and the goroutine. */
#define GO_ARGUMENT_1(r) ((r)->ax)
#define GO_ARGUMENT_2(r) ((r)->bx)
#define GO_ARGUMENT_3(r) ((r)->cx)
#define GO_GOROUTINE(r) ((r)->r14)
/* A 32-bit program has other call numbers and argument registers (TS_COMPAT). */
static __always_inline bool compat_task(const struct task_struct *task)
{
	return task->thread_info.status & 2;
}
/* True if the registers are those of a running call: the entry sets the result to -ENOSYS. */
static __always_inline bool in_syscall(const struct pt_regs *regs)
{
	return (__s64)regs->ax == -ENOSYS;
}
enum { NR_READ = 0, NR_READV = 19, NR_RECVFROM = 45, NR_RECVMSG = 47, NR_RECVMMSG = 299, NR_PREADV2 = 327 };
enum { NR_WRITE = 1, NR_WRITEV = 20, NR_SENDTO = 44, NR_SENDMSG = 46, NR_SENDMMSG = 307, NR_PWRITEV2 = 328 };
/* Stores behind all earlier stores, for a reader that loads before it reads what these stored. This CPU keeps them in order. */
static __always_inline void store_release(__u64 *to, __u64 value)
{
	asm volatile("" ::: "memory");
	*to = value;
}
#else
/* -1 after the call, while signals are handled and the registers are restored for a restart. */
static __always_inline __u64 syscall_number(const struct pt_regs *regs)
{
	return ((const struct pt_regs___kernel *)regs)->syscallno;
}
static __always_inline __u64 syscall_argument_2(const struct pt_regs *regs)
{
	return regs->regs[1];
}
static __always_inline __u64 syscall_argument_3(const struct pt_regs *regs)
{
	return regs->regs[2];
}
static __always_inline __u64 syscall_argument_4(const struct pt_regs *regs)
{
	return regs->regs[3];
}
static __always_inline __u64 syscall_stack(const struct pt_regs *regs)
{
	return regs->sp;
}
/* Go's calling convention, from 1.18 on: three arguments, the first of which becomes the result, and the goroutine. */
#define GO_ARGUMENT_1(r) ((r)->regs[0])
#define GO_ARGUMENT_2(r) ((r)->regs[1])
#define GO_ARGUMENT_3(r) ((r)->regs[2])
#define GO_GOROUTINE(r) ((r)->regs[28])
/* A 32-bit program has other call numbers and argument registers (TIF_32BIT). */
static __always_inline bool compat_task(const struct task_struct *task)
{
	return task->thread_info.flags & (1UL << 22);
}
/* True if the registers are those of a running call: the result replaces the first argument. */
static __always_inline bool in_syscall(const struct pt_regs *regs)
{
	return regs->regs[0] == ((const struct pt_regs___kernel *)regs)->orig_x0;
}
enum { NR_READ = 63, NR_READV = 65, NR_RECVFROM = 207, NR_RECVMSG = 212, NR_RECVMMSG = 243, NR_PREADV2 = 286 };
enum { NR_WRITE = 64, NR_WRITEV = 66, NR_SENDTO = 206, NR_SENDMSG = 211, NR_SENDMMSG = 269, NR_PWRITEV2 = 287 };
/* As on x86. An exchange is a barrier; before Linux 5.18 there is none, and the loader makes no per-CPU rings. */
static __always_inline void store_release(__u64 *to, __u64 value)
{
	__sync_lock_test_and_set(to, value);
}
#endif

static __always_inline enum syscall_shape receiving_shape(__u64 number)
{
	switch (number) {
	case NR_READ:
	case NR_RECVFROM:
		return SYSCALL_BUFFER;
	case NR_READV:
	case NR_PREADV2:
		return SYSCALL_VECTOR;
	case NR_RECVMSG:
		return SYSCALL_MESSAGE;
	case NR_RECVMMSG:
		return SYSCALL_MESSAGES;
	}
	return SYSCALL_OTHER;
}

static __always_inline enum syscall_shape sending_shape(__u64 number)
{
	switch (number) {
	case NR_WRITE:
	case NR_SENDTO:
		return SYSCALL_BUFFER;
	case NR_WRITEV:
	case NR_PWRITEV2:
		return SYSCALL_VECTOR;
	case NR_SENDMSG:
		return SYSCALL_MESSAGE;
	case NR_SENDMMSG:
		return SYSCALL_MESSAGES;
	}
	return SYSCALL_OTHER;
}

/*
 * On the way back to the application, io_uring may transfer bytes that do not belong to the call
 * that ended.
 */
static __always_inline enum syscall_shape syscall_shape(const struct task_struct *task, const struct pt_regs *regs,
							bool sending)
{
	if (compat_task(task) || !in_syscall(regs))
		return SYSCALL_OTHER;
	return sending ? sending_shape(syscall_number(regs)) : receiving_shape(syscall_number(regs));
}

/* The flags of a send: write and writev have none. */
static __always_inline __u32 syscall_send_flags(const struct pt_regs *regs)
{
	switch (syscall_number(regs)) {
	case NR_SENDMSG:
		return syscall_argument_3(regs);
	case NR_SENDTO:
	case NR_SENDMMSG:
		return syscall_argument_4(regs);
	}
	return 0;
}

/* Reads a word of the cb of a segment. */
static __always_inline __u32 read_segment_word(struct sk_buff *skb, __u32 offset)
{
	__u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (const char *)skb + bpf_core_field_offset(skb->cb) + offset);
	return value;
}

/* The offset of the first byte of a segment that TCP takes. */
static __always_inline __u32 segment_start(struct sk_buff *skb)
{
	return read_segment_word(skb, bpf_core_field_offset(struct tcp_skb_cb, seq));
}

/* The offset behind a segment that TCP takes; a FIN counts as a byte. */
static __always_inline __u32 segment_end(struct sk_buff *skb)
{
	return read_segment_word(skb, bpf_core_field_offset(struct tcp_skb_cb, end_seq));
}

static __always_inline const struct pt_regs *task_registers(struct task_struct *task)
{
	return (const void *)bpf_task_pt_regs(task);
}

#endif
