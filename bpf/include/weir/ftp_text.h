/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What stands in the lines of an FTP control connection (RFC 959, RFC 2428):
 * addresses and ports, read from a copy of a segment's text, and an address
 * written into it.
 *
 * What the loops know stands in a map beside the text, not on the stack: there
 * the verifier would follow every letter.
 */
#pragma once

#include "maps.h"
#include "parse.h"

#define FTP_TEXT 256 /* longer segments are no commands */

struct ftp_text {
	__u8 was[FTP_TEXT];
	__u8 is[FTP_TEXT]; /* … and what it is to be */
	__u32 from;	   /* where reading begins */
	__u32 len;
	/* Numbers in a row: a,b,c,d,p,q. */
	__u32 n;
	__u32 value;  /* of the one being read */
	__u32 digits; /* of it */
	__u32 start;  /* where the first began */
	__u32 comma;  /* where the address ended */
	__u32 addr;
	__u32 port;
	/* A port behind delimiters. */
	__u32 opened;	 /* the parenthesis before them was seen */
	__u32 delimiter; /* the first letter */
	__u32 seen;
	/* Words of four letters. */
	__u32 last;
	__u32 pasv, epsv;
	/* An address being written, from the right. */
	__u32 at;
	__u32 floor; /* nothing is written before it */
	__u32 rest;  /* of the address */
	__u32 part;  /* of the number */
	__u32 parts;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ftp_text);
} ftp_texts SEC(".maps");

static __always_inline struct ftp_text *ftp_text(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ftp_texts, &zero);
}

static __always_inline __u8 letter(const struct ftp_text *t, __u32 at)
{
	return at < t->len ? t->was[at & (FTP_TEXT - 1)] : 0;
}

static __always_inline bool digit(__u8 c)
{
	return c >= '0' && c <= '9';
}

static __always_inline void six_number(struct ftp_text *t, __u32 at)
{
	if (t->n < 4)
		t->addr = t->addr << 8 | t->value;
	else
		t->port = t->port << 8 | t->value;
	t->n++;
	t->value = 0;
	t->digits = 0;
	if (t->n == 4)
		t->comma = at;
}

static long six_turn(__u32 i, void *unused)
{
	struct ftp_text *t = ftp_text();
	__u32 at;
	__u8 c;

	if (!t)
		return 1;
	at = t->from + i;
	if (at > t->len || t->n == 6)
		return 1;
	c = letter(t, at);
	if (digit(c)) {
		if (!t->n && !t->digits)
			t->start = at;
		t->value = t->value * 10 + (c - '0');
		return ++t->digits > 3;
	}
	if (!t->digits)
		return t->n != 0; /* words before the first number, and nothing between two */
	if (t->value > 255)
		return 1;
	six_number(t, at);
	return t->n < 6 && c != ',';
}

/* Reads "a,b,c,d,p,q": address and port; false: it does not stand there. */
__noinline int ftp_six(__u32 from)
{
	struct ftp_text *t = ftp_text();

	if (!t)
		return 0;
	t->from = from;
	t->n = t->value = t->digits = t->addr = t->port = 0;
	bpf_loop(FTP_TEXT + 1, six_turn, NULL, 0);
	return t->n == 6 && t->port;
}

static long extended_turn(__u32 i, void *unused)
{
	struct ftp_text *t = ftp_text();
	__u8 c;

	if (!t || t->from + i >= t->len)
		return 1;
	c = letter(t, t->from + i);
	if (!t->opened) {
		t->opened = c == '(';
		return 0;
	}
	if (!t->delimiter)
		t->delimiter = c;
	if (c == t->delimiter)
		return ++t->seen == 4;
	if (t->seen < 3)
		return 0;
	if (!digit(c) || t->port > 65535)
		return 1;
	t->port = t->port * 10 + (c - '0');
	return 0;
}

/* Reads the port in "|1|192.0.2.1|50000|" and, with a parenthesis before it,
 * "(|||50000|)": the number behind the third of the delimiters; 0: none. */
__noinline __u32 ftp_extended(__u32 from, bool parenthesis)
{
	struct ftp_text *t = ftp_text();

	if (!t)
		return 0;
	t->from = from;
	t->opened = !parenthesis;
	t->delimiter = t->seen = t->port = 0;
	bpf_loop(FTP_TEXT, extended_turn, NULL, 0);
	return t->seen == 4 && t->port <= 65535 ? t->port : 0;
}

#define WORD(a, b, c, d) ((__u32)(a) << 24 | (b) << 16 | (c) << 8 | (d))

/* Four letters of either case as one number. */
static __always_inline __u32 ftp_word(const struct ftp_text *t)
{
	return WORD(t->was[0], t->was[1], t->was[2], t->was[3]) & 0xdfdfdfdf;
}

static long word_turn(__u32 i, void *unused)
{
	struct ftp_text *t = ftp_text();

	if (!t || i >= t->len)
		return 1;
	t->last = t->last << 8 | (letter(t, i) & 0xdf);
	if (t->last == WORD('P', 'A', 'S', 'V'))
		t->pasv = 1;
	if (t->last == WORD('E', 'P', 'S', 'V'))
		t->epsv = 1;
	return 0;
}

/* Looks for PASV and EPSV, anywhere, as IPVS does. */
__noinline int ftp_words(void)
{
	struct ftp_text *t = ftp_text();

	if (!t)
		return 0;
	t->last = t->pasv = t->epsv = 0;
	bpf_loop(FTP_TEXT, word_turn, NULL, 0);
	return t->pasv | t->epsv;
}

static __always_inline void put(struct ftp_text *t, __u8 c)
{
	t->is[t->at & (FTP_TEXT - 1)] = c;
}

static long write_turn(__u32 i, void *unused)
{
	struct ftp_text *t = ftp_text();

	if (!t || t->at <= t->floor)
		return 1;
	t->at--;
	if (!t->digits || t->part) {
		put(t, '0' + t->part % 10);
		t->part /= 10;
		t->digits++;
		return 0;
	}
	t->parts++;
	if (t->parts == 4) {
		put(t, '(');
		return 1;
	}
	put(t, ',');
	t->rest >>= 8;
	t->part = t->rest & 0xff;
	t->digits = 0;
	return 0;
}

static long blank_turn(__u32 i, void *unused)
{
	struct ftp_text *t = ftp_text();

	if (!t || t->at <= t->floor)
		return 1;
	t->at--;
	put(t, ' ');
	return 0;
}

/*
 * Puts another address in the place of the one ftp_six has read: 1, or 0 if
 * there is no room for it. The text grows to the left or leaves blanks there,
 * so that its end stays where it was.
 */
__noinline int ftp_translate(__be32 addr)
{
	struct ftp_text *t = ftp_text();
	__u32 paren;

	if (!t)
		return 0;
	paren = t->start - 1;
	if (paren < 4 || letter(t, paren) != '(')
		return 0;
	__builtin_memcpy(t->is, t->was, sizeof(t->is));
	t->rest = bpf_ntohl(addr);
	t->part = t->rest & 0xff;
	t->digits = t->parts = 0;
	t->at = t->comma;
	t->floor = 4; /* behind "227 " */
	bpf_loop(32, write_turn, NULL, 0);
	if (t->parts != 4)
		return 0;
	paren = t->at;
	t->floor = t->at;
	t->at = t->start - 1;
	if (paren > t->at) {
		/* It became shorter: blanks up to the new parenthesis. */
		t->floor = t->at;
		t->at = paren;
		bpf_loop(32, blank_turn, NULL, 0);
	}
	return 1;
}
