/* SPDX-License-Identifier: MIT
 *
 * term.c - terms in Erlang's external format: whether bytes are one, what a tuple is made of, what is put together for the wire.
 *
 * ei reads as far as the bytes say, wherever they end, and as deep: so whatever comes from outside is measured here before ei looks at it; and what goes out is what Erlang takes, which closes connections for less.
 */
#include "erl/erl.h"

#include <stdlib.h>
#include <string.h>

#define FUN_DEPTH 16 /* funs that carry funs */
#define ATOM_CHARS 255

/* --- putting together --- */

char *weft__erl_more(struct out *o, size_t n)
{
	size_t room;
	char *at;

	if (o->failed)
		return NULL;
	if (o->room - o->len < n) {
		room = o->room * 2 > o->len + n ? o->room * 2 : o->len + n + 64;
		at = realloc(o->at, room);
		if (!at) {
			o->failed = true;
			return NULL;
		}
		o->at = at;
		o->room = room;
	}
	at = o->at + o->len;
	o->len += n;
	return at;
}

void weft__erl_raw(struct out *o, const void *p, size_t n)
{
	char *to = weft__erl_more(o, n);

	if (to && n)
		memcpy(to, p, n);
}

void weft__erl_add(struct out *o, struct slice s)
{
	weft__erl_raw(o, s.at, (size_t)s.len);
}

/* What ei writes at most of what follows. */
static void encoded(struct out *o, const char *bytes, int len)
{
	weft__erl_raw(o, bytes, (size_t)len);
}

void weft__erl_tuple(struct out *o, int arity)
{
	char buf[16];
	int len = 0;

	if (ei_encode_tuple_header(buf, &len, arity) == 0)
		encoded(o, buf, len);
}

void weft__erl_int(struct out *o, long v)
{
	char buf[16];
	int len = 0;

	if (ei_encode_long(buf, &len, v) == 0)
		encoded(o, buf, len);
}

void weft__erl_atom(struct out *o, const char *name)
{
	char buf[MAXATOMLEN_UTF8 + 8];
	int len = 0;

	if (strlen(name) >= MAXATOMLEN_UTF8 || ei_encode_atom_as(buf, &len, name, ERLANG_UTF8, ERLANG_UTF8) != 0)
		o->failed = true;
	else
		encoded(o, buf, len);
}

void weft__erl_out_free(struct out *o)
{
	free(o->at);
	*o = (struct out){.at = NULL};
}

/* --- measuring --- */

static uint64_t number(const unsigned char *p, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

/* Bytes of the character that begins at p, in UTF-8 as Unicode has it; 0: none does. */
static size_t character(const unsigned char *p, size_t n)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	uint32_t v = p[0] & (0xffu >> (len + 1));

	if (len == 1)
		return 1;
	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	return v < least[len] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ? 0 : len;
}

bool weft__erl_is_text(const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t len, chars = 0;

	for (; n > 0; p += len, n -= len) {
		len = character(p, n);
		if (len == 0 || ++chars > ATOM_CHARS)
			return false;
	}
	return true;
}

/* Bytes of an atom that begins at p; 0: none does. */
static size_t atom_size(const unsigned char *p, size_t n)
{
	bool utf8 = p[0] == ERL_SMALL_ATOM_UTF8_EXT || p[0] == ERL_ATOM_UTF8_EXT;
	size_t head, len;

	if (n < 2)
		return 0;
	switch (p[0]) {
	case ERL_SMALL_ATOM_EXT:
	case ERL_SMALL_ATOM_UTF8_EXT:
		head = 2;
		len = p[1];
		break;
	case ERL_ATOM_EXT:
	case ERL_ATOM_UTF8_EXT:
		if (n < 3)
			return 0;
		head = 3;
		len = (size_t)number(p + 1, 2);
		break;
	default:
		return 0;
	}
	if (head + len > n)
		return 0;
	return (utf8 ? weft__erl_is_text((const char *)p + head, len) : len <= ATOM_CHARS) ? head + len : 0;
}

/* An atom with `before` bytes before it, the tag among them, and `after` behind. */
static size_t around_atom(const unsigned char *p, size_t n, size_t before, size_t after)
{
	size_t a = n > before ? atom_size(p + before, n - before) : 0;

	return a ? before + a + after : 0;
}

/* Where we are: in what, and how many terms of it are still to come. */
struct nest {
	int depth, funs;
	uint32_t left[WEFT_ERL_DEPTH + 1];
};

/* Bytes at p that are of this term alone, and *more terms behind them that belong to it. 0: no term. */
static size_t step(const unsigned char *p, size_t n, uint64_t *more, struct nest *in);

static ssize_t measure(const unsigned char *p, size_t n, uint64_t terms, struct nest *in)
{
	int outside = in->depth;
	size_t at = 0, len;

	while (terms > 0 || in->depth > outside) {
		if (terms > n - at) /* none is of no bytes */
			return WEFT_EINVAL;
		if (terms > 0) {
			if (in->depth == WEFT_ERL_DEPTH + 1)
				return WEFT_EMSGSIZE;
			in->left[in->depth++] = (uint32_t)terms;
		}
		while (in->depth > outside && in->left[in->depth - 1] == 0)
			in->depth--;
		terms = 0;
		if (in->depth == outside)
			break;
		in->left[in->depth - 1]--;
		len = at < n ? step(p + at, n - at, &terms, in) : 0;
		if (len == 0 || len > n - at)
			return WEFT_EINVAL;
		at += len;
	}
	return (ssize_t)at;
}

/* NEW_FUN_EXT says itself how long it is, and must be that. */
static size_t fun_size(const unsigned char *p, size_t n, struct nest *in)
{
	enum { FIXED = 1 + 4 + 1 + 16 + 4 + 4 };
	uint64_t size;
	ssize_t inner;

	if (n < FIXED || in->funs >= FUN_DEPTH)
		return 0;
	size = number(p + 1, 4);
	if (size < FIXED - 1 || size > n - 1 || !atom_size(p + FIXED, n - FIXED))
		return 0;
	in->funs++;
	inner = measure(p + FIXED, (size_t)size - (FIXED - 1), 4 + number(p + FIXED - 4, 4), in);
	in->funs--;
	return inner == (ssize_t)size - (FIXED - 1) ? (size_t)size + 1 : 0;
}

/* A head of `head` bytes, of which the last `count` bytes say how much follows. */
static uint64_t counted(const unsigned char *p, size_t n, size_t head, int count)
{
	return n >= head ? number(p + head - (size_t)count, count) : 0;
}

/* fun M:F/A */
static size_t export_size(const unsigned char *p, size_t n)
{
	size_t module = n > 1 ? atom_size(p + 1, n - 1) : 0;
	size_t function = module && n > 1 + module ? atom_size(p + 1 + module, n - 1 - module) : 0;
	size_t at = 1 + module + function;

	return function && n > at && p[at] == ERL_SMALL_INTEGER_EXT ? at + 2 : 0;
}

/* ERL_FLOAT_EXT is text of 31 bytes, which whoever reads it takes for a string. */
static bool is_float_text(const char *p)
{
	return memchr(p, 0, 31) && p[0] && p[strspn(p, " +-.0123456789eE")] == '\0';
}

/* Erlang has no infinity, and nothing that is not a number. */
static bool is_finite(const unsigned char *p)
{
	return (number(p, 2) & 0x7ff0) != 0x7ff0;
}

static size_t step(const unsigned char *p, size_t n, uint64_t *more, struct nest *in)
{
	switch (p[0]) {
	case ERL_SMALL_INTEGER_EXT:
		return 2;
	case ERL_INTEGER_EXT:
		return 5;
	case ERL_FLOAT_EXT:
		return n >= 32 && is_float_text((const char *)p + 1) ? 32 : 0;
	case NEW_FLOAT_EXT:
		return n >= 9 && is_finite(p + 1) ? 9 : 0;
	case ERL_ATOM_EXT:
	case ERL_SMALL_ATOM_EXT:
	case ERL_ATOM_UTF8_EXT:
	case ERL_SMALL_ATOM_UTF8_EXT:
		return atom_size(p, n);
	case ERL_REFERENCE_EXT:
	case ERL_PORT_EXT:
		return around_atom(p, n, 1, 5);
	case ERL_NEW_REFERENCE_EXT:
	case ERL_NEWER_REFERENCE_EXT:
		if (n < 3 || number(p + 1, 2) == 0 || number(p + 1, 2) > 5)
			return 0;
		return around_atom(p, n, 3, (p[0] == ERL_NEW_REFERENCE_EXT ? 1 : 4) + 4 * (size_t)number(p + 1, 2));
	case ERL_NEW_PORT_EXT:
		return around_atom(p, n, 1, 8);
	case ERL_V4_PORT_EXT:
	case ERL_NEW_PID_EXT:
		return around_atom(p, n, 1, 12);
	case ERL_PID_EXT:
		return around_atom(p, n, 1, 9);
	case ERL_SMALL_TUPLE_EXT:
		*more = counted(p, n, 2, 1);
		return 2;
	case ERL_LARGE_TUPLE_EXT:
		*more = counted(p, n, 5, 4);
		return 5;
	case ERL_NIL_EXT:
		return 1;
	case ERL_STRING_EXT:
		return 3 + (size_t)counted(p, n, 3, 2);
	case ERL_LIST_EXT:
		*more = counted(p, n, 5, 4) + 1;
		return 5;
	case ERL_BINARY_EXT:
		return 5 + (size_t)counted(p, n, 5, 4);
	case ERL_BIT_BINARY_EXT: /* of the last byte 1 to 8 bits count */
		if (n < 6 || p[5] > 8 || (p[5] == 0) != (counted(p, n, 5, 4) == 0))
			return 0;
		return 6 + (size_t)counted(p, n, 5, 4);
	case ERL_SMALL_BIG_EXT:
		return 3 + (size_t)counted(p, n, 2, 1);
	case ERL_LARGE_BIG_EXT:
		return 6 + (size_t)counted(p, n, 5, 4);
	case ERL_MAP_EXT:
		*more = 2 * counted(p, n, 5, 4);
		return 5;
	case ERL_EXPORT_EXT:
		return export_size(p, n);
	case ERL_NEW_FUN_EXT:
		return fun_size(p, n, in);
	default:
		return 0;
	}
}

ssize_t weft__erl_size(const char *p, size_t n)
{
	struct nest in;

	in.depth = 0; /* the levels are written as they are reached */
	in.funs = 0;
	return measure((const unsigned char *)p, n, 1, &in);
}

int weft__erl_check(struct slice *term, const void *p, size_t n)
{
	const char *at = p;
	ssize_t size;

	if (n > 0 && (unsigned char)at[0] == VERSION_MAGIC) {
		at++;
		n--;
	}
	if (n == 0 || n > INT32_MAX)
		return WEFT_EINVAL;
	size = weft__erl_size(at, n);
	if (size != (ssize_t)n)
		return size == WEFT_EMSGSIZE ? WEFT_EMSGSIZE : WEFT_EINVAL;
	*term = (struct slice){at, (int)n};
	return 0;
}

/* --- taking apart: of terms that were measured --- */

int weft__erl_split(struct slice t, struct slice *e, int max)
{
	int at = 0, arity;

	if (ei_decode_tuple_header(t.at, &at, &arity) != 0 || arity > max)
		return -1;
	for (int i = 0; i < arity; i++) {
		ssize_t len = weft__erl_size(t.at + at, (size_t)(t.len - at));

		if (len < 0)
			return -1;
		e[i] = (struct slice){t.at + at, (int)len};
		at += (int)len;
	}
	return arity;
}

bool weft__erl_text(struct slice t, char *buf, size_t n)
{
	int at = 0, type, size;

	if (ei_get_type(t.at, &at, &type, &size) != 0 || type != ERL_ATOM_EXT)
		return false;
	return ei_decode_atom_as(t.at, &at, buf, (int)n, ERLANG_UTF8, NULL, NULL) == 0;
}

bool weft__erl_is(struct slice t, const char *atom)
{
	char text[MAXATOMLEN_UTF8];

	return weft__erl_text(t, text, sizeof text) && strcmp(text, atom) == 0;
}

uint64_t weft__erl_mark(struct slice t)
{
	const unsigned char *p = (const unsigned char *)t.at;

	if (t.len < MARK)
		return 0;
	p += t.len - MARK;
	return number(p, 4) * UINT64_C(0x100000001b3) ^ number(p + 4, 8);
}

/* --- reasons --- */

static const char *const kinds[] = {
	[WEFT_END_CODE] = "code",
	[WEFT_END_PANIC] = "panic",
	[WEFT_END_CANCELED] = "canceled",
	[WEFT_END_FAULT] = "fault",
};

void weft__erl_reason(struct out *o, weft_end e)
{
	switch (e.kind) {
	case WEFT_END_NORMAL:
		weft__erl_atom(o, "normal");
		return;
	case WEFT_END_SHUTDOWN:
		weft__erl_atom(o, "shutdown");
		return;
	case WEFT_END_KILLED:
		weft__erl_atom(o, "killed");
		return;
	case WEFT_END_CODE:
	case WEFT_END_PANIC:
	case WEFT_END_CANCELED:
	case WEFT_END_FAULT:
		weft__erl_tuple(o, 3);
		weft__erl_atom(o, "weft");
		weft__erl_atom(o, kinds[e.kind]);
		weft__erl_int(o, e.code);
		return;
	default:
		weft__erl_atom(o, "noproc");
	}
}

weft_end weft__erl_end(struct slice reason)
{
	struct slice e[3];
	int n = weft__erl_split(reason, e, 3), at = 0;
	long code;

	if (n == 3 && weft__erl_is(e[0], "weft") && ei_decode_long(e[2].at, &at, &code) == 0 && code < 0 && code >= INT32_MIN) {
		for (int k = WEFT_END_CODE; k <= WEFT_END_FAULT; k++) {
			if (kinds[k] && weft__erl_is(e[1], kinds[k]))
				return (weft_end){k, (int32_t)code};
		}
	}
	if (weft__erl_is(reason, "normal"))
		return (weft_end){WEFT_END_NORMAL, 0};
	if (weft__erl_is(reason, "shutdown") || (n == 2 && weft__erl_is(e[0], "shutdown")))
		return (weft_end){WEFT_END_SHUTDOWN, 0};
	if (weft__erl_is(reason, "killed"))
		return (weft_end){WEFT_END_KILLED, WEFT_ECANCELED};
	if (weft__erl_is(reason, "noproc"))
		return (weft_end){WEFT_END_UNKNOWN, WEFT_ESRCH};
	if (weft__erl_is(reason, "noconnection"))
		return (weft_end){WEFT_END_CODE, WEFT_ENOTCONN};
	return (weft_end){WEFT_END_CODE, WEFT_EDOWN};
}
