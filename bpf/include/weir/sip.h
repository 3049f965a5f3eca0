/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The SIP persistence engine (IPVS.md f.4): the datagrams of one call go to one
 * real server, whoever sends them. A call is known by the Call-ID of its first
 * datagram (RFC 3261 20.8), which a template keeps as a number made from it.
 */
#pragma once

#include "conn.h"
#include "maps.h"
#include "parse.h"

#define SIP_TEXT    1024 /* of a datagram, from its beginning */
#define SIP_CALL_ID 255	 /* IP_VS_PEDATA_MAXLEN */

enum sip_phase {
	SIP_NAME = 0,  /* a header's name may begin or goes on */
	SIP_OTHER = 1, /* of no interest, up to the end of the line */
	SIP_COLON = 2, /* the name is over, its colon must come */
	SIP_BLANK = 3, /* blanks before the value */
	SIP_VALUE = 4,
	SIP_DONE = 5,
	SIP_WRONG = 6,
};

struct sip_text {
	__u8 b[SIP_TEXT];
	__u8 call_id[SIP_CALL_ID + 1]; /* what was found, zeros after it */
	__u32 len;
	__u32 phase;
	__u32 column;
	__u32 compact; /* the name may be "i" */
	__u32 found;   /* letters of the value */
	__u32 host;    /* … of which so many are before its second word; 0: it has none */
	__u64 hash;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sip_text);
} sip_texts SEC(".maps");

/* The Call-IDs of templates, for people who list them. */
struct call_id {
	__u8 text[SIP_CALL_ID + 1];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct call_id);
} call_ids SEC(".maps");

static __always_inline struct sip_text *sip_text(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sip_texts, &zero);
}

/* Copies the beginning of a datagram; false: it is none, or cannot be read. */
static __noinline bool sip_read(const struct packet *p)
{
	struct sip_text *t = sip_text();
	__u32 at = p->l4 + sizeof(struct udp), end = p->l3 + p->len, len;

	if (!t || p->protocol != IPPROTO_UDP || at >= end)
		return false;
	len = end - at;
	if (len > SIP_TEXT)
		len = SIP_TEXT;
	t->len = len;
	if (xdp)
		return !bpf_xdp_load_bytes(p->ctx, at, t->b, believed(len, SIP_TEXT));
	return !bpf_skb_load_bytes(p->ctx, at, t->b, believed(len, SIP_TEXT));
}

static __always_inline __u8 sip_name_letter(__u32 column)
{
	switch (column) {
	case 0:
		return 'c';
	case 1:
		return 'a';
	case 2:
	case 3:
		return 'l';
	case 4:
		return '-';
	case 5:
		return 'i';
	case 6:
		return 'd';
	}
	return 0;
}

static __always_inline bool blank(__u8 c)
{
	return c == ' ' || c == '\t';
}

static __always_inline bool in_alphabet(__u8 c)
{
	return (__u8)((c | 0x20) - 'a') < 26;
}

/*
 * One letter of a header's name: "Call-ID", or "i" in the compact form, which no
 * letter may follow. Behind a name IPVS wants a colon, or believes nothing of
 * the datagram any more.
 */
static __always_inline __u32 sip_name(struct sip_text *t, __u8 c)
{
	__u8 lower = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
	__u32 column = t->column;

	if (t->compact && in_alphabet(c))
		return SIP_OTHER;
	if (t->compact || column == 7) {
		t->compact = 0;
		return c == ':' ? SIP_BLANK : blank(c) ? SIP_COLON : SIP_WRONG;
	}
	if (column == 0 && lower == 'i') {
		t->compact = 1;
		return SIP_NAME;
	}
	return lower == sip_name_letter(column) ? SIP_NAME : SIP_OTHER;
}

/* The letters of a word (RFC 3261 25.1), as Linux has it: a bit for each, above
 * ASCII the letters of Latin-1. */
static const __u64 sip_words[4] = {0xd7ffefa600000000, 0x6fffffffbffffffe, 0, 0xff7fffffff7fffff};

static __always_inline bool sip_word(__u8 c)
{
	return sip_words[c >> 6 & 3] >> (c & 63) & 1;
}

/*
 * One letter of the value, which is a word, or two with an @ between them. What
 * does not begin with one is no Call-ID, and the next header may be; where
 * something else follows there is none at all.
 */
static __always_inline __u32 sip_value(struct sip_text *t, __u8 c)
{
	__u32 n = t->found;

	if (!sip_word(c) && (c != '@' || !n || t->host))
		return !n || t->host == n ? SIP_OTHER : SIP_WRONG;
	if (n >= SIP_CALL_ID)
		return SIP_WRONG;
	t->call_id[n & SIP_CALL_ID] = c;
	t->found = n + 1;
	if (c == '@')
		t->host = n + 1; /* where it begins */
	t->hash = (t->hash ^ c) * 0x100000001b3ull;
	return SIP_VALUE;
}

/* The end of a line. */
static __always_inline __u32 sip_line(struct sip_text *t, __u32 phase)
{
	if (phase == SIP_VALUE && t->host != t->found)
		return SIP_DONE;
	if (phase == SIP_BLANK || phase == SIP_COLON || (phase == SIP_NAME && (t->compact || t->column == 7)))
		return SIP_WRONG;
	t->column = t->compact = 0;
	return SIP_NAME;
}

static __always_inline void sip_begin(struct sip_text *t)
{
	__builtin_memset(t->call_id, 0, sizeof(t->call_id));
	t->found = t->host = 0;
	t->hash = hash_seed;
}

static long sip_turn(__u32 i, void *unused)
{
	struct sip_text *t = sip_text();
	__u32 phase;
	__u8 c;

	if (!t || i >= t->len)
		return 1;
	c = t->b[i & (SIP_TEXT - 1)];
	phase = t->phase;
	if (c == '\r' || c == '\n') {
		phase = sip_line(t, phase);
	} else if (phase == SIP_NAME) {
		phase = sip_name(t, c);
		t->column++;
	} else if (phase == SIP_COLON) {
		phase = c == ':' ? SIP_BLANK : blank(c) ? SIP_COLON : SIP_WRONG;
	} else if (phase == SIP_BLANK && !blank(c)) {
		sip_begin(t);
		phase = sip_value(t, c);
	} else if (phase == SIP_VALUE) {
		phase = sip_value(t, c);
	}
	t->phase = phase;
	return phase == SIP_WRONG || phase == SIP_DONE;
}

/* The number of the call in the text that was read; 0: there is no Call-ID, or
 * none that could be one. */
__noinline __u64 sip_call(void)
{
	struct sip_text *t = sip_text();

	if (!t)
		return 0;
	t->phase = SIP_OTHER; /* the first line is a request or a status */
	t->column = t->compact = 0;
	sip_begin(t);
	bpf_loop(SIP_TEXT, sip_turn, NULL, 0);
	if (t->phase != SIP_DONE)
		return 0;
	t->hash = mix(t->hash) ?: 1;
	return t->hash;
}

/* Keeps the Call-ID that was just read for the listing. */
static __always_inline void sip_remember(void)
{
	struct sip_text *t = sip_text();

	if (t && !explaining)
		bpf_map_update_elem(&call_ids, &t->hash, t->call_id, BPF_ANY);
}
