/* SPDX-License-Identifier: MIT
 *
 * rd.c - buf/rd.c: buffered reading, over streams that give a byte at a time, and fail in every place.
 */
#include "failpoint.h"
#include "script.h"

#include "base/compiler.h"
#include "base/rand.h"
#include <stdlib.h>

#define SCRIPT(...)                                                                                            \
	(struct source)                                                                                        \
	{                                                                                                      \
		.step = (const struct step[]){__VA_ARGS__}, .steps = ARRAY_LEN(((struct step[]){__VA_ARGS__})) \
	}
#define TEXT(s)        \
	{              \
		(s), 0 \
	}
#define FAIL(e)           \
	{                 \
		NULL, (e) \
	}
#define END             \
	{               \
		NULL, 0 \
	}

static void begin(weft_rd *r, struct source *s, char *buf, size_t size)
{
	T_EQ(weft_rd_init(r, source_io(s), buf, size), 0);
}

TEST(init)
{
	struct source s = SCRIPT(TEXT("abc"), END);
	char small[WEFT_BUF_MIN], *line;
	weft_rd r;

	T_EQ(weft_rd_init(&r, source_io(&s), small, WEFT_BUF_MIN - 1), WEFT_EINVAL);
	weft_rd_free(&r);
	T_EQ(weft_rd_init(&r, source_io(&s), small, 0), WEFT_EINVAL);
	T_EQ(weft_rd_init(&r, source_io(&s), NULL, 1), WEFT_EINVAL);
	T_EQ(weft_rd_init(&r, (weft_io){NULL, NULL}, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_rd_init(&r, source_io(&s), NULL, (size_t)-1), WEFT_EINVAL);
	failpoint_arm(1);
	T_EQ(weft_rd_init(&r, source_io(&s), NULL, 0), WEFT_ENOMEM);
	failpoint_disarm();
	weft_rd_free(&r);
	T_EQ(weft_rd_init(&r, source_io(&s), NULL, 0), 0);
	T_EQ(weft_rd_line(&r, &line), 3);
	T_STR_EQ(line, "abc");
	weft_rd_free(&r);
	weft_rd_free(&r);
	T_EQ(s.calls, 2);
}

TEST(read_gives_what_is_there)
{
	struct source s = SCRIPT(TEXT("abcdef"), TEXT("0123456789abcdefghij"), TEXT("xyz"), END);
	char buf[WEFT_BUF_MIN], out[64] = "";
	weft_rd r;

	begin(&r, &s, buf, sizeof buf);
	T_EQ(weft_rd_read(&r, out, 0), 0);
	T_EQ(s.calls, 0);
	T_EQ(weft_rd_read(&r, out, 2), 2); /* fills */
	T_EQ(weft_rd_buffered(&r), 4);
	T_EQ(weft_rd_read(&r, out + 2, 60), 4); /* what is there: no second read */
	T_EQ(s.calls, 1);
	T_EQ(weft_rd_read(&r, out + 6, 50), 20); /* past the buffer */
	T_EQ(s.calls, 2);
	T_EQ(weft_rd_buffered(&r), 0);
	T_EQ(weft_rd_read(&r, out + 26, 1), 1);
	T_EQ(weft_rd_read(&r, out + 27, 9), 2);
	T_STR_EQ(out, "abcdef0123456789abcdefghijxyz");
	for (int i = 0; i < 3; i++)
		T_EQ(weft_rd_read(&r, out, 9), 0);
	T_EQ(weft_rd_read(&r, out, (size_t)-1), WEFT_EINVAL);
}

TEST(full_is_all_or_says_how_much)
{
	struct source s = SCRIPT(TEXT("abc"), FAIL(WEFT_ETIMEDOUT), TEXT("def"), TEXT("0123456789012345678901234567890123456789"),
				 FAIL(WEFT_ECANCELED), TEXT("uvw"), END);
	char buf[WEFT_BUF_MIN], out[64] = "";
	size_t done = 99;
	weft_rd r;

	begin(&r, &s, buf, sizeof buf);
	T_EQ(weft_rd_full(&r, out, 0, &done), 0);
	T_EQ(done, 0);
	T_EQ(weft_rd_full(&r, out, 5, &done), WEFT_ETIMEDOUT);
	T_EQ(done, 3);
	T_EQ(weft_rd_full(&r, out + 3, 2, &done), 2);
	T_EQ(done, 2);
	T_EQ(weft_rd_full(&r, out + 5, 41, NULL), 41);
	T_EQ(weft_rd_full(&r, out + 46, 1, &done), WEFT_ECANCELED);
	T_EQ(done, 0);
	T_EQ(weft_rd_full(&r, out + 46, 10, &done), WEFT_EOF);
	T_EQ(done, 3);
	T_STR_EQ(out, "abcdef0123456789012345678901234567890123456789uvw");
	T_EQ(weft_rd_full(&r, out, 1, &done), WEFT_EOF);
	T_EQ(done, 0);
	T_EQ(weft_rd_full(&r, out, (size_t)-1, &done), WEFT_EINVAL);
	T_EQ(done, 0);
}

TEST(peek_takes_nothing)
{
	struct source s = SCRIPT(TEXT("abcdefgh"), FAIL(WEFT_EAGAIN), TEXT("ijklmnopqrst"), END);
	char buf[WEFT_BUF_MIN], out[32] = "";
	const char *p;
	weft_rd r;

	s.most = 5;
	begin(&r, &s, buf, sizeof buf);
	T_EQ(weft_rd_peek(&r, 0, &p), 0);
	T_EQ(s.calls, 0);
	T_EQ(weft_rd_peek(&r, 1, &p), 5);
	T_EQ(weft_rd_peek(&r, 8, &p), 8);
	T_EQ(memcmp(p, "abcdefgh", 8), 0);
	T_EQ(weft_rd_peek(&r, 9, &p), WEFT_EAGAIN);
	T_OK(!p);
	T_EQ(weft_rd_read(&r, out, 3), 3);
	T_EQ(weft_rd_peek(&r, WEFT_BUF_MIN, &p), WEFT_ENOBUFS);
	T_EQ(weft_rd_peek(&r, WEFT_BUF_MIN - 1, &p), 15);
	T_EQ(memcmp(p, "defghijklmnopqr", 15), 0);
	T_EQ(weft_rd_discard(&r, 14, NULL), 14);
	T_EQ(weft_rd_peek(&r, 4, &p), WEFT_EOF);
	T_EQ(weft_rd_buffered(&r), 3);
	T_EQ(weft_rd_peek(&r, 3, &p), 3);
	T_EQ(memcmp(p, "rst", 3), 0);
}

TEST(discard)
{
	struct source s = SCRIPT(TEXT("abcdefghijklmnopqrstuvwxyz"), FAIL(WEFT_ETIMEDOUT), TEXT("0123"), END);
	char buf[WEFT_BUF_MIN];
	uint64_t done = 99;
	weft_rd r;

	begin(&r, &s, buf, sizeof buf);
	T_EQ(weft_rd_discard(&r, 0, &done), 0);
	T_EQ(s.calls, 0);
	T_EQ(weft_rd_discard(&r, 20, &done), 20);
	T_EQ(weft_rd_byte(&r), 'u');
	T_EQ(weft_rd_discard(&r, 7, &done), WEFT_ETIMEDOUT);
	T_EQ(done, 5);
	T_EQ(weft_rd_discard(&r, 2, &done), 2);
	T_EQ(weft_rd_byte(&r), '2');
	T_EQ(weft_rd_discard(&r, 2, &done), WEFT_EOF);
	T_EQ(done, 1);
	T_EQ(weft_rd_discard(&r, UINT64_MAX, &done), WEFT_EINVAL);
	T_EQ(done, 0);
}

/* --- lines --- */

static const struct {
	const char *text;
	const char *lines[6];
} texts[] = {
	{"", {NULL}},
	{"\n", {"", NULL}},
	{"\r\n", {"", NULL}},
	{"\n\n\r\n\n", {"", "", "", "", NULL}},
	{"a\nb\n", {"a", "b", NULL}},
	{"a\r\nb\r\n", {"a", "b", NULL}},
	{"a\nlast", {"a", "last", NULL}},
	{"last\r", {"last\r", NULL}},
	{"a\rb\r\r\nc\n", {"a\rb\r", "c", NULL}},
	{"exactly14bytes\nno\n", {"exactly14bytes", "no", NULL}},
	{"exactly13byte\r\nno\n", {"exactly13byte", "no", NULL}},
	{"exactly14bytes", {"exactly14bytes", NULL}},
};

/* However the bytes come. */
TEST(lines)
{
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (size_t most = 1; most < 20; most++) {
			struct source s = {.step = (struct step[]){{texts[i].text, 0}, {NULL, 0}}, .steps = 2, .most = most};
			char buf[WEFT_BUF_MIN], *line;
			weft_rd r;

			s.at = !texts[i].text[0];
			tap_note("text %zu, %zu at a time", i, most);
			begin(&r, &s, buf, sizeof buf);
			for (int k = 0; texts[i].lines[k]; k++) {
				T_EQ(weft_rd_line(&r, &line), strlen(texts[i].lines[k]));
				T_STR_EQ(line, texts[i].lines[k]);
			}
			T_EQ(weft_rd_line(&r, &line), WEFT_EOF);
			T_OK(!line);
		}
	}
}

TEST(lines_may_hold_zeros)
{
	weft_membuf m = {.data = (char[]){'a', 0, 'b', '\n', 0, '\n'}, .end = 6};
	char buf[WEFT_BUF_MIN], *line;
	weft_rd r;

	T_EQ(weft_rd_init(&r, weft_membuf_io(&m), buf, sizeof buf), 0);
	T_EQ(weft_rd_line(&r, &line), 3);
	T_EQ(memcmp(line, "a\0b", 4), 0);
	T_EQ(weft_rd_line(&r, &line), 1);
	T_EQ(memcmp(line, "\0", 2), 0);
}

/* A line too long is an error that loses nothing: it can be read by other means, or skipped. */
TEST(line_too_long)
{
	for (int how = 0; how < 2; how++) {
		struct source s = SCRIPT(TEXT("ab\n0123456789abcdef\nnext\n"), END);
		char buf[WEFT_BUF_MIN], *line, out[32] = "";
		weft_rd r;

		begin(&r, &s, buf, sizeof buf);
		T_EQ(weft_rd_line(&r, &line), 2);
		for (int i = 0; i < 3; i++) {
			T_EQ(weft_rd_line(&r, &line), WEFT_ENOBUFS);
			T_OK(!line);
			T_EQ(weft_rd_delim(&r, '\n', &line), WEFT_ENOBUFS);
		}
		if (how == 0) {
			T_EQ(weft_rd_full(&r, out, 17, NULL), 17);
			T_STR_EQ(out, "0123456789abcdef\n");
		} else {
			T_EQ(weft_rd_skip(&r, '\n'), 17);
		}
		T_EQ(weft_rd_line(&r, &line), 4);
		T_STR_EQ(line, "next");
	}
}

/* Each call hands its deadline to the stream, and what that returns to the caller. */
TEST(deadlines_are_the_streams)
{
	struct source s = SCRIPT(FAIL(WEFT_ETIMEDOUT), FAIL(WEFT_ETIMEDOUT), FAIL(WEFT_ETIMEDOUT), FAIL(WEFT_ETIMEDOUT),
				 FAIL(WEFT_ETIMEDOUT), FAIL(WEFT_ETIMEDOUT), FAIL(WEFT_ETIMEDOUT), FAIL(WEFT_ETIMEDOUT), TEXT("x"), END);
	weft_membuf all = {.limit = 0};
	uint64_t dropped = 7;
	size_t done = 7;
	const char *p;
	char x, *piece;
	weft_rd r;

	begin(&r, &s, NULL, 64);
	T_EQ(weft_rd_read_until(&r, &x, 1, 11), WEFT_ETIMEDOUT);
	T_EQ(s.deadline, 11);
	T_EQ(weft_rd_full_until(&r, &x, 1, &done, 12), WEFT_ETIMEDOUT);
	T_EQ(s.deadline, 12);
	T_EQ(done, 0);
	T_EQ(weft_rd_peek_until(&r, 1, &p, 13), WEFT_ETIMEDOUT);
	T_EQ(s.deadline, 13);
	T_OK(!p);
	T_EQ(weft_rd_discard_until(&r, 1, &dropped, 14), WEFT_ETIMEDOUT);
	T_EQ(s.deadline, 14);
	T_EQ(dropped, 0);
	T_EQ(weft_rd_delim_until(&r, ';', &piece, 15), WEFT_ETIMEDOUT);
	T_EQ(s.deadline, 15);
	T_OK(!piece);
	T_EQ(weft_rd_skip_until(&r, ';', 16), WEFT_ETIMEDOUT);
	T_EQ(s.deadline, 16);
	T_EQ(weft_rd_byte_until(&r, 17), WEFT_ETIMEDOUT);
	T_EQ(s.deadline, 17);
	T_EQ(weft_rd_all_until(&r, &all, 9, 18), WEFT_ETIMEDOUT);
	T_EQ(s.deadline, 18);
	T_EQ(weft_rd_byte(&r), 'x');
	weft_membuf_free(&all);
	weft_rd_free(&r);
}

/* What had come of a line when the time was over is there at the next try. */
TEST(line_in_pieces)
{
	struct source s = SCRIPT(TEXT("ab"), FAIL(WEFT_ETIMEDOUT), TEXT("cd"), FAIL(WEFT_EAGAIN), FAIL(WEFT_ECANCELED), FAIL(WEFT_ENOMEM),
				 FAIL(WEFT_ESRCH), TEXT("ef\ng"), FAIL(WEFT_ETIMEDOUT), END);
	char buf[WEFT_BUF_MIN], *line;
	weft_rd r;

	begin(&r, &s, buf, sizeof buf);
	T_EQ(weft_rd_line_until(&r, &line, 1234), WEFT_ETIMEDOUT);
	T_EQ(s.deadline, 1234);
	T_EQ(weft_rd_line(&r, &line), WEFT_EAGAIN);
	T_EQ(s.deadline, WEFT_FOREVER);
	T_EQ(weft_rd_line(&r, &line), WEFT_ECANCELED);
	T_EQ(weft_rd_line(&r, &line), WEFT_ENOMEM);
	T_EQ(weft_rd_line(&r, &line), WEFT_ESRCH);
	T_EQ(weft_rd_line(&r, &line), 6);
	T_STR_EQ(line, "abcdef");
	T_EQ(weft_rd_line(&r, &line), WEFT_ETIMEDOUT);
	T_EQ(weft_rd_line(&r, &line), 1);
	T_STR_EQ(line, "g");
	T_EQ(weft_rd_line(&r, &line), WEFT_EOF);
}

/* An error comes after the bytes before it, and stays: what follows it is not what was sent. */
TEST(errors_stay)
{
	struct source s = SCRIPT(TEXT("ab\ncd"), FAIL(WEFT_ECONNRESET), TEXT("e\n"), END);
	char buf[WEFT_BUF_MIN], *line, out[32] = "";
	weft_rd r;

	begin(&r, &s, buf, sizeof buf);
	T_EQ(weft_rd_line(&r, &line), 2);
	T_EQ(weft_rd_line(&r, &line), WEFT_ECONNRESET);
	T_EQ(weft_rd_line(&r, &line), WEFT_ECONNRESET);
	T_EQ(weft_rd_read(&r, out, 30), 2);
	T_STR_EQ(out, "cd");
	T_EQ(weft_rd_read(&r, out, 30), WEFT_ECONNRESET);
	T_EQ(weft_rd_byte(&r), WEFT_ECONNRESET);
	T_EQ(weft_rd_discard(&r, 1, NULL), WEFT_ECONNRESET);
	T_EQ(weft_rd_skip(&r, '\n'), WEFT_ECONNRESET);
	T_EQ(s.calls, 2);
	weft_rd_reset(&r, source_io(&s));
	T_EQ(weft_rd_line(&r, &line), 1);
	T_STR_EQ(line, "e");
}

/* The end is asked for anew: a file may have grown. */
TEST(end_does_not_stay)
{
	struct source s = SCRIPT(TEXT("ab"), END, TEXT("cd\n"), END, END);
	char buf[WEFT_BUF_MIN], *line;
	weft_rd r;

	begin(&r, &s, buf, sizeof buf);
	T_EQ(weft_rd_line(&r, &line), 2);
	T_EQ(weft_rd_line(&r, &line), 2);
	T_STR_EQ(line, "cd");
	T_EQ(weft_rd_line(&r, &line), WEFT_EOF);
}

TEST(pieces_with_their_delimiter)
{
	struct source s = SCRIPT(TEXT("a;bc;;d"), END);
	char buf[WEFT_BUF_MIN], *p;
	weft_rd r;

	s.most = 2;
	begin(&r, &s, buf, sizeof buf);
	T_EQ(weft_rd_delim(&r, ';', &p), 2);
	T_EQ(memcmp(p, "a;", 2), 0);
	T_EQ(weft_rd_delim(&r, ';', &p), 3);
	T_EQ(memcmp(p, "bc;", 3), 0);
	T_EQ(weft_rd_delim(&r, ';', &p), 1);
	T_EQ(weft_rd_delim(&r, ';', &p), 1);
	T_EQ(*p, 'd');
	T_EQ(weft_rd_delim(&r, ';', &p), WEFT_EOF);
	T_OK(!p);
}

TEST(skip)
{
	struct source s = SCRIPT(TEXT("0123456789012345678901234567890;a"), FAIL(WEFT_ETIMEDOUT), TEXT("b;c"), END);
	char buf[WEFT_BUF_MIN];
	weft_rd r;

	begin(&r, &s, buf, sizeof buf);
	T_EQ(weft_rd_skip(&r, ';'), 32);
	T_EQ(weft_rd_skip(&r, ';'), WEFT_ETIMEDOUT);
	T_EQ(weft_rd_skip(&r, ';'), 2);
	T_EQ(weft_rd_skip(&r, ';'), 1);
	T_EQ(weft_rd_skip(&r, ';'), WEFT_EOF);
}

/* --- bytes --- */

TEST(unread)
{
	struct source s = SCRIPT(TEXT("ab\xff\nxy\r\n0123456789abcdefghijklm"), TEXT("Z"), END);
	char buf[WEFT_BUF_MIN], *line, out[32];
	const char *p;
	weft_rd r;

	begin(&r, &s, buf, sizeof buf);
	T_EQ(weft_rd_unread(&r), WEFT_EINVAL);
	T_EQ(weft_rd_byte(&r), 'a');
	T_EQ(weft_rd_unread(&r), 0);
	T_EQ(weft_rd_unread(&r), WEFT_EINVAL);
	T_EQ(weft_rd_byte(&r), 'a');
	T_EQ(weft_rd_byte(&r), 'b');
	T_EQ(weft_rd_byte(&r), 0xff);
	T_EQ(weft_rd_unread(&r), 0);
	T_EQ(weft_rd_peek(&r, 1, &p), WEFT_BUF_MIN - 3);
	T_EQ(weft_rd_unread(&r), WEFT_EINVAL); /* it has been looked at */
	T_EQ(weft_rd_line(&r, &line), 1);
	T_EQ(weft_rd_unread(&r), 0); /* the end of the line, which is a 0 there by now */
	T_EQ(weft_rd_byte(&r), '\n');
	T_EQ(weft_rd_line(&r, &line), 2);
	T_EQ(weft_rd_unread(&r), 0);
	T_EQ(weft_rd_line(&r, &line), 0);
	T_EQ(weft_rd_full(&r, out, 7, NULL), 7);
	T_EQ(weft_rd_buffered(&r), 0);
	T_EQ(weft_rd_read(&r, out, 32), 16); /* past the buffer */
	T_EQ(weft_rd_unread(&r), 0);
	T_EQ(weft_rd_buffered(&r), 1);
	T_EQ(weft_rd_byte(&r), 'm');
	T_EQ(weft_rd_byte(&r), 'Z');
	T_EQ(weft_rd_byte(&r), WEFT_EOF);
	T_EQ(weft_rd_unread(&r), 0);
	T_EQ(weft_rd_byte(&r), 'Z');
	T_EQ(weft_rd_byte(&r), WEFT_EOF);
	weft_rd_reset(&r, source_io(&s));
	T_EQ(weft_rd_unread(&r), WEFT_EINVAL);
}

/* --- to the end --- */

TEST(all)
{
	struct source s = SCRIPT(TEXT("0123456789abcdefghijklm"), FAIL(WEFT_ETIMEDOUT), TEXT("nop"), END);
	char buf[WEFT_BUF_MIN];
	weft_membuf m = {.data = NULL};
	weft_rd r;

	begin(&r, &s, buf, sizeof buf);
	T_EQ(weft_rd_all(&r, &m, 100), WEFT_ETIMEDOUT);
	T_STR_EQ(m.data, "0123456789abcdefghijklm");
	T_EQ(weft_rd_all(&r, &m, 100), 3);
	T_STR_EQ(m.data, "0123456789abcdefghijklmnop");
	T_EQ(weft_rd_all(&r, &m, 0), 0);
	weft_membuf_free(&m);
}

TEST(all_within_a_limit)
{
	struct source s = SCRIPT(TEXT("0123456789abcdefghij"), END), s2 = SCRIPT(TEXT("0123456789"), END);
	char buf[WEFT_BUF_MIN], out[32] = "";
	weft_membuf m = {.data = NULL};
	weft_rd r;

	begin(&r, &s, buf, sizeof buf);
	T_EQ(weft_rd_all(&r, &m, 19), WEFT_ENOBUFS);
	T_STR_EQ(m.data, "0123456789abcdefghi");
	T_EQ(weft_rd_all(&r, &m, 1), 1);
	weft_membuf_free(&m);

	m.limit = 5;
	begin(&r, &s2, buf, sizeof buf);
	T_EQ(weft_rd_all(&r, &m, 100), WEFT_ENOBUFS);
	T_EQ(m.end - m.at, 0);
	T_EQ(weft_rd_full(&r, out, 10, NULL), 10); /* nothing is lost */
	T_STR_EQ(out, "0123456789");
	weft_membuf_free(&m);
}

/* --- as a stream --- */

TEST(as_a_stream)
{
	struct source s = SCRIPT(TEXT("0123456789abcdefghij"), FAIL(WEFT_ETIMEDOUT), TEXT("k"), END);
	char buf[WEFT_BUF_MIN], a[4], b[30];
	struct iovec v[3] = {{a, 4}, {NULL, 0}, {b, 30}};
	weft_rd r;
	weft_io io;

	begin(&r, &s, buf, sizeof buf);
	T_EQ(weft_rd_byte(&r), '0');
	io = weft_rd_io(&r);
	T_EQ(weft_io_readv(io, v, 3), 14); /* what is buffered, and not a read more */
	T_EQ(s.calls, 1);
	T_EQ(memcmp(a, "1234", 4), 0);
	T_EQ(memcmp(b, "56789abcde", 10), 0);
	T_EQ(weft_io_read(io, b, 30), 5);
	T_EQ(weft_io_read_until(io, b, 30, 77), WEFT_ETIMEDOUT);
	T_EQ(s.deadline, 77);
	T_EQ(weft_io_read(io, b, 3), 1);
	T_EQ(weft_io_read(io, b, 3), 0);
	T_EQ(weft_io_write(io, b, 3, NULL), WEFT_ENOTSUP);
	T_EQ(weft_io_set_deadline(io, WEFT_FOREVER, WEFT_FOREVER), WEFT_ENOTSUP);
	T_EQ(weft_io_shutdown(io, SHUT_WR), WEFT_ENOTSUP);
	T_EQ(weft_io_close(io), WEFT_ENOTSUP);
}

static ssize_t lying(void *self, const struct iovec *v, int count, int64_t deadline)
{
	(void)self;
	(void)count;
	(void)deadline;
	return (ssize_t)v->iov_len + 1;
}

TEST_DIES(a_stream_that_lies, "says that it has read")
{
	static const weft_io_ops ops = {.kind = "liar", .readv = lying};
	char buf[WEFT_BUF_MIN];
	weft_rd r;

	T_EQ(weft_rd_init(&r, (weft_io){&ops, NULL}, buf, sizeof buf), 0);
	weft_rd_byte(&r);
}

/* --- all of it, at random, against the text itself --- */

struct noisy {
	struct rng *rng;
	const char *text;
	size_t at, end;
};

static ssize_t noisy_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	struct noisy *z = self;
	size_t n = 1 + rng_below(z->rng, rng_below(z->rng, 4) ? 8 : 40);

	(void)count;
	(void)deadline;
	if (rng_below(z->rng, 5) == 0)
		return WEFT_ETIMEDOUT;
	n = n < v->iov_len ? n : v->iov_len;
	n = n < z->end - z->at ? n : z->end - z->at;
	memcpy(v->iov_base, z->text + z->at, n);
	z->at += n;
	return (ssize_t)n;
}

#define AGAIN(call)          \
	do                   \
		rc = (call); \
	while (rc == WEFT_ETIMEDOUT)

static void look_at_all(struct rng *rng, const char *text, size_t end)
{
	static const weft_io_ops ops = {.kind = "noisy", .readv = noisy_readv};
	struct noisy z = {rng, text, 0, end};
	size_t at = 0, n, done;
	char buf[48], out[80];
	const char *look;
	bool took = false;
	weft_rd r;

	T_EQ(weft_rd_init(&r, (weft_io){&ops, &z}, buf, 16 + rng_below(rng, 33)), 0);
	while (at < end) {
		char *piece, *e = memchr(text + at, '\n', end - at);
		size_t line = e ? (size_t)(e - text) - at + 1 : end - at;
		uint64_t dropped;
		ssize_t rc;

		switch (rng_below(rng, 8)) {
		case 0:
			AGAIN(weft_rd_read(&r, out, 1 + rng_below(rng, sizeof out)));
			T_GT(rc, 0);
			T_EQ(memcmp(out, text + at, (size_t)rc), 0);
			at += (size_t)rc;
			took = true;
			break;
		case 1:
			n = rng_below(rng, sizeof out);
			n = n < end - at ? n : end - at;
			for (size_t all = 0;; all += done) {
				rc = weft_rd_full(&r, out + all, n - all, &done);
				if (rc != WEFT_ETIMEDOUT) {
					T_EQ(rc, n - all);
					break;
				}
			}
			T_EQ(memcmp(out, text + at, n), 0);
			at += n;
			took = took && n == 0 ? false : n > 0; /* n 0 may have left it, or not */
			break;
		case 2:
			AGAIN(weft_rd_line(&r, &piece));
			if (rc == WEFT_ENOBUFS) {
				T_GE(line, r.weft__size);
				took = false;
				break;
			}
			T_EQ(rc, line - (e != NULL));
			T_EQ(memcmp(piece, text + at, (size_t)rc), 0);
			T_EQ(piece[rc], 0);
			at += line;
			took = true;
			break;
		case 3:
			AGAIN(weft_rd_delim(&r, '\n', &piece));
			if (rc == WEFT_ENOBUFS) {
				T_GE(line, r.weft__size);
				took = false;
				break;
			}
			T_EQ(rc, line);
			T_EQ(memcmp(piece, text + at, line), 0);
			at += line;
			took = true;
			break;
		case 4:
			AGAIN(weft_rd_byte(&r));
			T_EQ(rc, (unsigned char)text[at]);
			at++;
			took = true;
			break;
		case 5:
			if (weft_rd_unread(&r) == 0) {
				T_OK(at > 0);
				at--;
			} else {
				T_OK(!took);
			}
			took = false;
			break;
		case 6:
			AGAIN(weft_rd_peek(&r, 1 + rng_below(rng, 10), &look));
			if (rc > 0)
				T_EQ(memcmp(look, text + at, (size_t)rc), 0);
			else
				T_EQ(rc, WEFT_EOF);
			took = false;
			break;
		case 7:
			n = rng_below(rng, 40);
			n = n < end - at ? n : end - at;
			rc = (ssize_t)weft_rd_discard(&r, n, &dropped);
			T_OK(rc == WEFT_ETIMEDOUT || rc == (ssize_t)n);
			at += dropped;
			took = false; /* may or may not */
			(void)weft_rd_peek(&r, 0, &look);
			break;
		}
	}
}

TEST(anything_at_random)
{
	struct rng rng;
	char text[400];

	rng_seed(&rng, 11, 0);
	for (long i = tap_iters(3000); i > 0; i--) {
		size_t n = 1 + rng_below(&rng, sizeof text - 1);

		for (size_t k = 0; k < n; k++)
			text[k] = rng_below(&rng, 12) ? (char)('a' + rng_below(&rng, 26)) : '\n';
		look_at_all(&rng, text, n);
	}
}

/* Half a question is there, and what was answered has gone out all the same before the rest is waited for. */
TEST(tied)
{
	struct source s = SCRIPT(TEXT("one\ntwo\nth"), TEXT("ree\n"), END);
	char buf[64], *line;
	weft_membuf answers = {.data = NULL};
	weft_rd r;
	weft_wr w;

	begin(&r, &s, NULL, 64);
	T_EQ(weft_wr_init(&w, weft_membuf_io(&answers), buf, sizeof buf), 0);
	weft_rd_tie(&r, &w);
	for (int i = 0; i < 2; i++) {
		T_GT(weft_rd_line(&r, &line), 0);
		T_EQ(weft_wr_printf(&w, "%s!", line), 4);
		T_EQ(answers.end, 0); /* together */
	}
	T_EQ(weft_rd_line(&r, &line), 5);
	T_EQ(answers.end, 8);
	T_EQ(weft_wr_printf(&w, "%s!", line), 6);
	weft_rd_tie(&r, NULL);
	T_EQ(weft_rd_line(&r, &line), WEFT_EOF);
	T_EQ(answers.end, 8);
	weft_wr_free(&w);
	weft_rd_free(&r);
	weft_membuf_free(&answers);
}

/* A flush that fails is told by the read that would have waited. */
TEST(tied_to_one_that_fails)
{
	struct source s = SCRIPT(TEXT("one\n"), TEXT("two\n"), END);
	char buf[64], *line;
	weft_membuf answers = {.limit = 2};
	weft_rd r;
	weft_wr w;

	begin(&r, &s, NULL, 64);
	T_EQ(weft_wr_init(&w, weft_membuf_io(&answers), buf, sizeof buf), 0);
	weft_rd_tie(&r, &w);
	T_EQ(weft_rd_line(&r, &line), 3);
	T_EQ(weft_wr_printf(&w, "%s", line), 3);
	T_EQ(weft_rd_line(&r, &line), WEFT_ENOBUFS);
	weft_rd_tie(&r, NULL);
	T_EQ(weft_rd_line(&r, &line), 3); /* nothing is lost */
	weft_wr_free(&w);
	weft_rd_free(&r);
	weft_membuf_free(&answers);
}
