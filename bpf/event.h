/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The format of the events that the probes write for user space. The Go types are generated from
 * it.
 */
#ifndef OBSERVER_EVENT_H
#define OBSERVER_EVENT_H

#include "compat.h"

/* The kinds of events. */
enum event_kind {
	EVENT_SENT = 1,	    /* carries len bytes of the sent stream, from offset seq on */
	EVENT_RECEIVED,	    /* carries len bytes of the received stream, from offset seq on */
	EVENT_SENT_GAP,	    /* len bytes of the sent stream, from seq on, were not captured; see reason */
	EVENT_RECEIVED_GAP, /* the same for the received stream */
	EVENT_OPEN,	    /* the connection was established just now */
	EVENT_EXISTING,	    /* the listing found the connection established */
	EVENT_HALF_CLOSED,  /* this end sent its FIN */
	EVENT_PEER_CLOSED,  /* the other end closed or reset: the received stream ends at received_seq */
	EVENT_CLOSED,	    /* the socket no longer exists */
	EVENT_OPENING,	    /* payload passes before the connection is established: TCP Fast Open */
	EVENT_OTHER_STREAM, /* the probes cannot read this kind of socket: enum stream in reason */
	EVENT_TLS_USER,	    /* the process seq moves TLS records of the connection outside of probed calls; len: 1 if */
			    /* its library does not call the socket, so that its BIOs must be probed, else 0 */
	EVENT_OWNER,	    /* the first call of the connection: the payload is the name of the process's executable */
	EVENT_CGROUP,	    /* of no connection: the payload is the names of a cgroup and of those around it */
	EVENT_ENDING,	    /* an end of a TLS connection said by an alert that it sends no more */
	EVENT_CONNECT_FAILED, /* enum connect_failure in reason; the payload is the name of the process's executable */
	EVENT_ARRIVALS, /* of the bytes of the next EVENT_RECEIVED of the connection: the payload is struct arrivals_copy */
};

/* The end of the connection that is observed. */
enum event_role {
	ROLE_CLIENT,
	ROLE_SERVER,
	ROLE_NONE,
};

/* The flags of an event. */
enum event_flag {
	FLAG_ACCEPTED = 1, /* EVENT_OPEN: this end accepted the connection */
	FLAG_UNPLACED = 1, /* EVENT_CLOSED: the offsets are not known */
	FLAG_AWAITED = 2,  /* EVENT_EXISTING: the client sent last, so it awaits a reply */
	FLAG_LEFT =
	    4, /* EVENT_HALF_CLOSED, EVENT_PEER_CLOSED: this end has closed and reads no more; EVENT_ENDING: it is this end */
	/*
	 * EVENT_OPEN, EVENT_EXISTING, EVENT_OPENING, EVENT_CONNECT_FAILED: an unprivileged user may have chosen
	 * the address of the server: the network namespace belongs to a user namespace other than the host's, or the
	 * server of a Unix socket is in one
	 */
	FLAG_USER_NAMESPACE = 4,
	FLAG_RESET = 8,	  /* EVENT_PEER_CLOSED: both directions ended at once */
	FLAG_BROKEN = 16, /* as FLAG_RESET, but neither end reset: a timeout, or an administrator */
	/*
	 * The number of further words of 8 bytes between the head and the payload, at most 3:
	 * (flags & FLAG_WORDS) / FLAG_WORD. Each kind of event defines its own words. A reader
	 * skips the words that it does not use. EVENT_OPEN, EVENT_EXISTING, EVENT_OWNER,
	 * EVENT_CGROUP, EVENT_CONNECT_FAILED: the first word identifies a cgroup (owner.h).
	 * EVENT_OPEN: the second word is how long it took to connect, in ns. EVENT_RECEIVED: the word is
	 * when all of its bytes became readable, CLOCK_MONOTONIC in ns.
	 */
	FLAG_WORD = 32,
	FLAG_WORDS = 96,
	/* EVENT_OPEN and later kinds: the socket is in the observer's network namespace */
	FLAG_OWN_NETWORK = 128,
	/*
	 * EVENT_SENT to EVENT_RECEIVED_GAP: the plaintext of a TLS connection. Its offsets begin at
	 * 0 where the probes begin to see it; FLAG_WHOLE: they saw all of it.
	 */
	FLAG_PLAINTEXT = 1,
	FLAG_WHOLE = 2,
};

/* Why bytes were not captured. */
enum gap_reason {
	GAP_TRUNCATED = 1, /* the call is longer than max_bytes */
	GAP_UNREADABLE,	   /* reading the user memory failed */
	GAP_NOT_IN_MEMORY, /* the bytes are not in user memory: sendfile, splice */
	GAP_CROWDED,	   /* the ring buffer has too little room left for a call of this length */
	GAP_URGENT,	   /* the byte of MSG_OOB; an EVENT_RECEIVED with this reason carries it */
	GAP_UNSEEN, /* plaintext of unknown length: len is that of ciphertext that passed outside of probed calls */
};

/* The kinds of streams that the probes cannot read. */
enum stream {
	STREAM_MPTCP = 1, /* on a kernel without mptcp_sock.bytes_consumed */
	STREAM_KTLS,	  /* encrypted by the kernel */
	STREAM_SOCKMAP,	  /* BPF passes the bytes from socket to socket */
	STREAM_SMC,
	STREAM_SCTP,
	STREAM_SEQPACKET, /* of a Unix socket */
};

/* Why a socket failed to connect. */
enum connect_failure {
	CONNECT_OTHER,
	CONNECT_REFUSED,     /* the answer to the SYN was a reset */
	CONNECT_TIMED_OUT,   /* the kernel gave up waiting for an answer */
	CONNECT_UNREACHABLE, /* by an ICMP message, or because nobody has the address */
	CONNECT_RESET,	     /* reset after the SYN of the other end */
	CONNECT_GIVEN_UP,    /* the process closed the socket before an answer */
	CONNECT_NO_PORT,     /* this host has no local port left */
};

/* The counters of lost events: indices of the map "lost". */
enum loss {
	LOST_RING_FULL,	 /* events for which the ring buffer had no room */
	LOST_NO_STORAGE, /* calls whose start could not be stored */
	LOST_KINDS,
};

/*
 * What a probed instruction of a TLS library is: where a function begins, with its arguments in
 * their registers, or where it ends, with its result. An EX function does not return the number of
 * bytes, but stores it where its fourth argument points, a FIFTH function where its fifth does.
 */
enum tls_role {
	TLS_WRITE_START = 1,
	TLS_WRITE_EX_START,
	TLS_WRITE_FIFTH_START,
	TLS_WRITE_END,
	TLS_WRITE_EX_END, /* also of a FIFTH function */
	TLS_READ_START,
	TLS_READ_EX_START,
	TLS_READ_END, /* also of a function of TLS_OTHER_START */
	TLS_READ_EX_END,
	TLS_OTHER_START, /* of a function that moves ciphertext but no plaintext that counts */
	TLS_FREE,	 /* the start of a function that ends an object */
	TLS_CLEAR,	 /* the start of a function that ends its connection; it keeps its BIOs */
	TLS_SET_BIO,	 /* the start of a function that gives an object its BIOs */
	TLS_BIO_WRITE,	 /* the start of a function that writes to a BIO */
	TLS_GO_WRITE_START,
	TLS_GO_WRITE_END,
	TLS_GO_READ_START,
	TLS_GO_READ_END,
};

/* The longest payload of one event in bytes; a longer call makes several events. */
enum { EVENT_MAX_PAYLOAD = 8192 };

/*
 * The head of an event. Further words follow it if the flags say so (FLAG_WORDS), then the payload.
 */
struct event {
	__u64 conn;	/* the address of the socket, which identifies it while it exists */
	__u64 time;	/* CLOCK_MONOTONIC in ns: start of a send, end of a receive, change of state */
	__u8 local[16]; /* IPv4 as IPv4-mapped IPv6 */
	__u8 remote[16];
	__u32 seq; /* payload and gaps: offset of the first byte; others: of the next byte sent */
	union {
		__u32 len;	    /* payload and gaps: bytes */
		__u32 received_seq; /* others: offset of the next byte received */
	};
	__u16 local_port;
	__u16 remote_port;
	__u8 kind;
	__u8 role;
	union {
		__u8 reason; /* enum gap_reason, enum stream for EVENT_OTHER_STREAM, enum connect_failure */
		__u8 unread; /* EVENT_CLOSED: bytes received but not read, 255 for 255 or more */
	};
	__u8 flags; /* enum event_flag */
};

/*
 * The payload of EVENT_OWNER, EVENT_CONNECT_FAILED and EVENT_CGROUP: names that end with a zero byte, cut off where they
 * are longer. The cgroup comes first; the last names are empty if it has fewer parents.
 */
enum owner_size { OWNER_NAME = 64, CGROUP_NAME = 128, CGROUP_LEVELS = 10 };
struct owner_event {
	struct event event;
	__u64 cgroup;
	char executable[OWNER_NAME];
};
struct cgroup_event {
	struct event event;
	__u64 cgroup;
	char names[CGROUP_LEVELS][CGROUP_NAME];
};

/*
 * The bytes from offset from on up to end became readable at a time. Where a later arrival begins
 * before its end, those behind are of that one.
 */
struct arrival {
	__u32 from;
	__u32 end;
	__u64 time; /* CLOCK_MONOTONIC in ns */
};

/* The latest arrivals of a socket: the n-th since the first is in latest[n % ARRIVALS]. */
enum arrival_count { ARRIVALS = 16 };
struct arrivals {
	__u64 count; /* of all arrivals */
	__u32 ahead; /* the offset behind all segments that came */
	__u32 pad;
	struct arrival latest[ARRIVALS];
};

/* The payload of EVENT_ARRIVALS. While it was copied, arrivals may have come in place of the oldest. */
struct arrivals_copy {
	struct arrivals arrivals;
	__u64 count_behind; /* of all arrivals, after the copy */
};
struct arrivals_event {
	struct event event;
	struct arrivals_copy copy;
};

/*
 * The head of a per-CPU ring (percpu.h); percpu_ring_size + PERCPU_RING_SLACK bytes of events
 * follow.
 */
struct percpu_ring {
	__u64 produced; /* bytes written so far: the next event is at produced % percpu_ring_size */
	__u64 pad[7];	/* the consumer writes to a cache line of its own */
	__u64 consumed; /* bytes that the probes may overwrite */
	__u64 pad_page[503];
};

/* Bytes behind a per-CPU ring for an event that begins near its end. */
enum percpu_ring_slack { PERCPU_RING_SLACK = 4096 };

_Static_assert(sizeof(struct percpu_ring) == 4096, "the consumer maps whole pages");
_Static_assert(sizeof(struct event) == 64, "an event's head is one cache line");
_Static_assert(__builtin_offsetof(struct event, seq) == 48, "no hidden padding");
_Static_assert(__builtin_offsetof(struct event, flags) == 63, "no hidden padding");

#endif
