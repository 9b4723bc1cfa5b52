/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TLS libraries whose ciphertext the application moves itself: node, Python's asyncio, .NET. The
 * library writes it to a BIO in memory. What it wrote last, and the next send of the process begins
 * with, proves to which socket the object of the library belongs: 16 bytes of ciphertext, or of the
 * random bytes of a handshake.
 *
 * A BIO belongs to the object that it was set for, or during whose call it is written to. From the
 * binding on, the bytes that are written to it are counted: they are the stream that the socket
 * sends. Bytes that the socket sends beyond them, or that are written outside of probed calls, are
 * plaintext that no probe saw.
 *
 * What the application receives it gives to the BIO that the object reads from, by no function that
 * all use. But each BIO counts what is read from it, and what is written to it. What is read outside
 * of probed calls is plaintext that no probe saw.
 */
#ifndef OBSERVER_BIO_H
#define OBSERVER_BIO_H

#include "tls.h"

/* The counters of a BIO: the distance of each from its address, in a word of 8 bits each (tls.go). 0: not known. */
#define BIO_READ(counters) (8 * (__u8)(counters))
#define BIO_WRITTEN(counters) (8 * ((counters) >> 8))

/* What an entry of tls_bios is found by. */
enum tls_bio_key_kind { TLS_BY_BIO, TLS_BY_OBJECT };

struct tls_bio_key {
	__u64 address;
	__u32 tgid;
	__u32 kind;
};

struct tls_bio {
	__u64 other;	  /* by BIO: the object; by object: the BIO */
	__u64 input;	  /* by object: the BIO that it reads from; 0 if that is not known */
	__u32 produced;	  /* by BIO: bytes that were written to it */
	__u32 latest;	  /* by BIO: those of the latest call */
	__u32 before;	  /* by BIO: its own count before that call */
	__u16 attachment; /* by BIO: the library of the object */
	bool set;	  /* by object: by a call that sets it; else found in a call that writes */
	__u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct tls_bio_key);
	__type(value, struct tls_bio);
} tls_bios SEC(".maps");

/* Set as soon as a BIO of an object was written to. */
__u32 bios_seen = 0;

/*
 * The lengths of records with an alert: of TLS 1.3, and of TLS 1.2 by its ciphers; and the longest one. Block ciphers take
 * 16 bytes, a MAC of at most 48, and padding.
 */
enum { TLS_ALERT_LENGTH = 19, TLS_ALERT_LENGTH_GCM = 26, TLS_ALERT_LENGTH_CHACHA = 18, TLS_LONGEST_ALERT = 128 };

/* The types of records that are told apart. */
enum { TLS_ALERT_RECORD = 0x15, TLS_APPLICATION_DATA = 0x17 };

/* The bytes by which a record is recognised: behind its header. No record of TLS 1.2 and 1.3 is shorter. */
enum { TLS_MARK = 16, TLS_CIPHER_CHANGE = 6 };

struct tls_mark {
	__u8 bytes[TLS_MARK];
	__u64 tgid;
};

/* A record that was written to a BIO of an object that is not bound. */
struct tls_pending {
	__u64 bio;
	__u32 position; /* its offset in what was written to the BIO */
	__u16 counters; /* of the BIOs of its library */
	__u16 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct tls_mark);
	__type(value, struct tls_pending);
} tls_pending SEC(".maps");

/* True if bytes begin a TLS record (RFC 8446, section 5.1). */
static __always_inline bool is_record(const __u8 *head)
{
	return head[0] >= 0x14 && head[0] <= 0x17 && head[1] == 3 && head[2] <= 4;
}

/* True if a record has the header of an alert of AEAD ciphers. TLS 1.3 hides the type, not the length. */
static __always_inline bool is_alert(const __u8 *head, __u32 length)
{
	return is_record(head) && head[3] == 0 && head[4] == length &&
	       (head[0] == TLS_ALERT_RECORD || (head[0] == TLS_APPLICATION_DATA && length == TLS_ALERT_LENGTH));
}

/* What a record may have in it. */
struct tls_record {
	bool alert;	/* it is one, and nothing follows */
	bool plaintext; /* it may have some */
};

/*
 * Reads what the record at an address may have in it, the first of n bytes. Returns false if none begins there. Records
 * of a handshake, or of a change of ciphers, are not written together with plaintext.
 */
static __always_inline bool read_record(struct tls_record *record, __u64 address, __s32 n)
{
	__u8 head[8] = {};

	if (bpf_probe_read_user(head, TLS_RECORD_HEADER, (void *)address) || !is_record(head))
		return false;
	record->alert = n == TLS_RECORD_HEADER + (head[3] << 8 | head[4]) &&
			(head[0] == TLS_ALERT_RECORD || is_alert(head, TLS_ALERT_LENGTH));
	record->plaintext = head[0] == TLS_APPLICATION_DATA && !record->alert;
	return true;
}

/* True if n bytes at an address may have plaintext in them. */
static __always_inline bool may_be_plaintext(__u64 address, __s32 n)
{
	struct tls_record record;

	return !read_record(&record, address, n) || record.plaintext;
}

/*
 * Reads the mark of the record at an address. A change of ciphers is always the same, so the record
 * behind it counts. Returns false if no record begins there.
 */
static __always_inline bool read_mark(struct tls_mark *mark, __u64 address)
{
	__u8 head[4] = {};

	if (bpf_probe_read_user(head, 3, (void *)address) || !is_record(head))
		return false;
	if (head[0] == 0x14)
		address += TLS_CIPHER_CHANGE;
	mark->tgid = current_tgid();
	return !bpf_probe_read_user(mark->bytes, TLS_MARK, (void *)address + TLS_RECORD_HEADER);
}

/* Notes that an object reads its ciphertext from a BIO, and writes it to one. */
static __always_inline void set_bio(__u64 ssl, __u64 input, __u64 bio, __u16 attachment, bool set)
{
	struct tls_bio_key key = {.address = bio, .tgid = current_tgid(), .kind = TLS_BY_BIO};
	struct tls_bio entry = {.other = ssl, .input = input, .attachment = attachment};

	bpf_map_update_elem(&tls_bios, &key, &entry, BPF_ANY);
	key.address = ssl;
	key.kind = TLS_BY_OBJECT;
	entry.other = bio;
	entry.set = set;
	bpf_map_update_elem(&tls_bios, &key, &entry, BPF_ANY);
}

/* Forgets the BIO of an object. */
static __always_inline void forget_bio(__u64 ssl)
{
	struct tls_bio_key key = {.address = ssl, .tgid = current_tgid(), .kind = TLS_BY_OBJECT};
	struct tls_bio *entry = bpf_map_lookup_elem(&tls_bios, &key);
	__u64 bio;

	if (!entry)
		return;
	bio = entry->other;
	bpf_map_delete_elem(&tls_bios, &key);
	key.address = bio;
	key.kind = TLS_BY_BIO;
	entry = bpf_map_lookup_elem(&tls_bios, &key);
	if (entry && entry->other == ssl)
		bpf_map_delete_elem(&tls_bios, &key);
}

/* An object of the library is freed. */
static __always_inline void tls_freed(__u64 ssl)
{
	unbind_tls(ssl);
	forget_bio(ssl);
}

/* An object gets its BIOs, the first time or others. */
static __always_inline void tls_bio_set(__u64 ssl, __u64 input, __u64 bio, __u16 attachment)
{
	tls_freed(ssl);
	if (bio)
		set_bio(ssl, input, bio, attachment, true);
}

/* The entry of a BIO that is written to, if it is that of an object; else NULL. */
static __always_inline struct tls_bio *bio_written_to(__u64 bio, __u64 buffer, struct tls_call *call)
{
	struct tls_bio_key key = {.address = bio, .tgid = current_tgid(), .kind = TLS_BY_BIO};
	struct tls_bio_key object = {.tgid = key.tgid, .kind = TLS_BY_OBJECT};
	struct tls_bio *entry = bpf_map_lookup_elem(&tls_bios, &key), *known;
	struct tls_mark mark = {};

	if (!call || (entry && entry->other == call->ssl && entry->attachment == call->attachment))
		return entry;
	object.address = call->ssl;
	known = bpf_map_lookup_elem(&tls_bios, &object);
	if ((known && known->set && known->other != bio) || !read_mark(&mark, buffer))
		return 0;
	set_bio(call->ssl, known ? known->input : 0, bio, call->attachment, known && known->set);
	return bpf_map_lookup_elem(&tls_bios, &key);
}

/* The socket of a BIO's object, if it is bound; else NULL. */
static __always_inline struct tls_conn *conn_of_bio(struct tls_bio *entry)
{
	struct tls_object object = {.ssl = entry->other, .tgid = current_tgid()};
	__u64 *sk = bpf_map_lookup_elem(&tls_objects, &object);
	struct tls_conn *conn = sk ? tls_conn_of(*sk) : (void *)0;

	return conn && is_bound(conn, object.ssl, entry->attachment) ? conn : (void *)0;
}

/*
 * Returns how many bytes of the latest write to a BIO it did not take, by its own count. A BIO in
 * memory takes all, one of a pair as many as it has room for.
 */
static __always_inline __u32 bytes_refused(struct tls_bio *entry, __u64 bio, __u16 counters)
{
	__u32 now, refused;

	if (!BIO_WRITTEN(counters) || bpf_probe_read_user(&now, sizeof(now), (void *)bio + BIO_WRITTEN(counters)))
		return 0;
	refused = entry->latest - (now - entry->before);
	if (refused > entry->latest)
		refused = 0;
	entry->before = now;
	return refused;
}

/*
 * A call begins that reads. What the object has read since the previous one, it read outside of
 * probed calls; a handshake carries no plaintext.
 */
static __always_inline void check_input(__u64 ssl, __u16 attachment)
{
	struct tls_object object = {.ssl = ssl, .tgid = current_tgid()};
	struct tls_conn *conn;
	__u64 *sk;
	__u32 n;

	if (!bios_seen)
		return;
	sk = bpf_map_lookup_elem(&tls_objects, &object);
	conn = sk ? tls_conn_of(*sk) : (void *)0;
	if (!conn || !is_bound(conn, ssl, attachment) || !read_input(conn, &n))
		return;
	if (conn->offset[TLS_SENT] || conn->offset[TLS_RECEIVED])
		add_hole(conn, TLS_RECEIVED, n - conn->consumed);
	conn->consumed = n;
}

/*
 * n bytes are being written to a BIO, within a call of the library or outside of any. writing: that call writes
 * plaintext.
 */
static __always_inline void bio_written(__u64 bio, __u64 buffer, __s32 n, struct tls_call *call, bool writing,
					__u16 counters)
{
	struct tls_pending pending = {.bio = bio};
	struct tls_mark mark = {};
	struct tls_conn *conn;
	struct tls_bio *entry;
	__u32 refused;

	if (n <= 0)
		return;
	entry = bio_written_to(bio, buffer, call);
	if (!entry)
		return;
	if (!bios_seen)
		bios_seen = 1;
	refused = bytes_refused(entry, bio, counters);
	pending.position = entry->produced - refused;
	pending.counters = counters;
	entry->produced += n - refused;
	entry->latest = n;
	conn = conn_of_bio(entry);
	if (conn && conn->bio != bio) /* the library calls the socket */
		return;
	if (conn) {
		conn->edge[TLS_SENT] += n - refused;
		if (writing && may_be_plaintext(buffer, n))
			note_unfinished(conn, call, n - refused);
		if (call)
			call->sk = conn->head.conn;
		else if (conn->offset[TLS_SENT] && may_be_plaintext(buffer, n)) /* the handshake carries no plaintext */
			add_hole(conn, TLS_SENT, n);
		return;
	}
	if (read_mark(&mark, buffer))
		bpf_map_update_elem(&tls_pending, &mark, &pending, BPF_ANY);
}

#endif
