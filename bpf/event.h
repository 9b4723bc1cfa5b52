/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The wire contract between the probes and user space: what stands in the ring buffer. The Go types are generated from it. */
#ifndef OBSERVER_EVENT_H
#define OBSERVER_EVENT_H

#include "compat.h"

/* What an event tells. */
enum event_kind {
	EVENT_SENT = 1,	    /* len bytes of payload that begin at seq of the sent stream follow */
	EVENT_RECEIVED,	    /* len bytes of payload that begin at seq of the received stream follow */
	EVENT_SENT_GAP,	    /* len bytes that begin at seq of the sent stream were not captured, for reason */
	EVENT_RECEIVED_GAP, /* the same of the received stream */
	EVENT_OPEN,	    /* established just now */
	EVENT_EXISTING,	    /* found established by the socket iterator */
	EVENT_HALF_CLOSED,  /* this end sent its FIN */
	EVENT_PEER_CLOSED,  /* the other end closed or reset: the received stream ends at received_seq */
	EVENT_CLOSED,	    /* the socket is gone */
	EVENT_OPENING,	    /* not established yet, but payload passes: TCP Fast Open */
	EVENT_OTHER_STREAM, /* what passes cannot be read, because of what the socket is: enum stream in reason */
};

/* The end of the connection that is observed. */
enum event_role {
	ROLE_CLIENT,
	ROLE_SERVER,
	ROLE_NONE,
};

/* What else an event tells. */
enum event_flag {
	FLAG_ACCEPTED = 1, /* EVENT_OPEN: this end accepted the connection */
	FLAG_AWAITED = 2,  /* EVENT_EXISTING: the client sent last, so it awaits a reply */
	FLAG_LEFT = 4,	   /* EVENT_HALF_CLOSED, EVENT_PEER_CLOSED: this end has closed, and reads no more */
	FLAG_RESET = 8,	   /* EVENT_PEER_CLOSED: at one stroke, in both directions */
	FLAG_BROKEN = 16,  /* the same, and by neither end: a timeout, or an administrator */
	/*
	 * How many further words of 8 bytes stand between the head and the payload: (flags & FLAG_WORDS) / FLAG_WORD, 3 at most. What they
	 * mean is defined for each kind of event. A reader that does not use them passes over them.
	 */
	FLAG_WORD = 32,
	FLAG_WORDS = 96,
	/* EVENT_OPEN and later ones: the socket is in the observer's network namespace */
	FLAG_OWN_NETWORK = 128,
};

/* Why bytes were not captured. */
enum gap_reason {
	GAP_TRUNCATED = 1, /* beyond max_bytes of one call */
	GAP_UNREADABLE,	   /* user memory could not be read */
	GAP_NOT_IN_MEMORY, /* not in user memory: sendfile, splice */
	GAP_CROWDED,	   /* too much for the room that is left */
	GAP_URGENT,	   /* the byte of MSG_OOB; of EVENT_RECEIVED: it follows */
};

/* Streams that cannot be read. */
enum stream {
	STREAM_MPTCP = 1, /* on a kernel that does not tell enough */
	STREAM_KTLS,	  /* encrypted by the kernel */
	STREAM_SOCKMAP,	  /* handed from socket to socket by BPF */
	STREAM_SMC,
	STREAM_SCTP,
};

/* The counters of what the probes lost: indices of the map "lost". */
enum loss {
	LOST_RING_FULL,	 /* events that found no room in the ring buffer */
	LOST_NO_STORAGE, /* calls whose start could not be remembered */
	LOST_KINDS,
};

/* The longest payload of one event; a longer call makes several. */
enum { EVENT_MAX_PAYLOAD = 8192 };

/* The head of an event. Behind it stand further words, if the flags say so, and then the payload. */
struct event {
	__u64 conn;	/* the address of the socket: identifies it while it lives */
	__u64 time;	/* CLOCK_MONOTONIC in nanoseconds: start of a send, end of a receive, or the change of state */
	__u8 local[16]; /* IPv4 as IPv4-mapped IPv6 */
	__u8 remote[16];
	__u32 seq; /* stream offset of the first byte; of the others the offset of the next byte sent */
	union {
		__u32 len;	    /* of payload and gaps */
		__u32 received_seq; /* of the others: the offset of the next byte received */
	};
	__u16 local_port;
	__u16 remote_port;
	__u8 kind;
	__u8 role;
	union {
		__u8 reason; /* of gaps, and of what is urgent */
		__u8 unread; /* of EVENT_CLOSED: bytes that came and were not read, 255 if they are more */
	};
	__u8 flags; /* enum event_flag */
};

/* The head of a lane (lane.h). Behind it stand lane_size bytes of events, and LANE_SLACK. */
struct lane {
	__u64 produced;	   /* bytes written since the start: the next event begins at produced modulo lane_size */
	__u64 apart[7];	   /* another cache line: the consumer writes to it */
	__u64 consumed;	   /* bytes that the consumer needs no more */
	__u64 behind[503]; /* up to the end of the page */
};

/* Room behind a lane for an event that begins near its end. */
enum lane_slack { LANE_SLACK = 4096 };

_Static_assert(sizeof(struct lane) == 4096, "what the consumer maps begins with a page");
_Static_assert(sizeof(struct event) == 64, "an event's head is one cache line");
_Static_assert(__builtin_offsetof(struct event, seq) == 48, "no hidden padding");
_Static_assert(__builtin_offsetof(struct event, flags) == 63, "no hidden padding");

#endif
