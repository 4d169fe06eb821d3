/* SPDX-License-Identifier: MIT
 *
 * smallio.c - buf/mem.c: memory, nothing, limits, tees and chains as streams.
 */
#include "failpoint.h"
#include "script.h"

#include "base/compiler.h"
#include <stdlib.h>

/* --- memory --- */

TEST(memory)
{
	weft_membuf m = {.data = NULL};
	weft_io io = weft_membuf_io(&m);
	struct iovec v[3] = {{(void *)"abc", 3}, {NULL, 0}, {(void *)"defg", 4}};
	char out[16] = "";
	struct iovec to[2] = {{out, 2}, {out + 2, 10}};
	size_t done = 99;

	T_EQ(weft_io_read(io, out, 1), 0);
	T_EQ(weft_io_writev(io, v, 3, &done), 7);
	T_EQ(done, 7);
	T_STR_EQ(m.data, "abcdefg");
	T_EQ(weft_io_read(io, out, 1), 1);
	T_EQ(out[0], 'a');
	T_EQ(weft_membuf_append(&m, "hi", 2), 0);
	T_EQ(weft_io_readv(io, to, 2), 8);
	T_EQ(memcmp(out, "bcdefghi", 8), 0);
	T_EQ(weft_io_read(io, out, 1), 0);
	T_STR_EQ(m.data + m.end, "");
	T_EQ(weft_membuf_append(&m, NULL, 0), 0);
	T_STR_EQ(m.data + m.at, "");
	T_EQ(weft_io_shutdown(io, SHUT_WR), WEFT_ENOTSUP);
	T_EQ(weft_io_set_deadline(io, 1, 1), WEFT_ENOTSUP);
	T_EQ(weft_io_close(io), WEFT_ENOTSUP);
	weft_membuf_free(&m);
	weft_membuf_free(&m);
	T_EQ(weft_membuf_append(&m, "again", 5), 0);
	T_STR_EQ(m.data, "again");
	weft_membuf_free(&m);
}

TEST(memory_has_a_limit)
{
	weft_membuf m = {.limit = 5};
	weft_io io = weft_membuf_io(&m);
	char out[8];
	size_t done = 99;

	T_EQ(weft_membuf_append(&m, "abcdef", 6), WEFT_ENOBUFS);
	T_EQ(m.end, 0);
	T_EQ(weft_io_write(io, "abcdef", 6, &done), WEFT_ENOBUFS);
	T_EQ(done, 5);
	T_EQ(weft_io_write(io, "f", 1, &done), WEFT_ENOBUFS);
	T_EQ(done, 0);
	T_EQ(weft_io_read(io, out, 2), 2);
	T_EQ(weft_io_write(io, "fg", 2, &done), 2);
	T_EQ(weft_io_read(io, out, 8), 5);
	T_EQ(memcmp(out, "cdefg", 5), 0);
	weft_membuf_free(&m);
	m.limit = 0;
	T_EQ(weft_membuf_append(&m, "a", 1), 0);
	T_EQ(weft_membuf_append(&m, "a", (size_t)-1), WEFT_ENOBUFS);
	failpoint_arm(1);
	T_EQ(weft_membuf_append(&m, (char[1000]){'b'}, 1000), WEFT_ENOMEM);
	failpoint_disarm();
	T_STR_EQ(m.data, "a");
	weft_membuf_free(&m);
}

/* Memory of the caller's is read where it lies, and copied before it is added to. */
TEST(memory_of_the_callers)
{
	char mine[] = "hello";
	weft_membuf m = {.data = mine, .end = 5};
	char out[16] = "";

	T_EQ(weft_io_read(weft_membuf_io(&m), out, 2), 2);
	T_STR_EQ(out, "he");
	T_EQ(weft_membuf_append(&m, "!", 1), 0);
	T_STR_EQ(mine, "hello");
	T_STR_EQ(m.data + m.at, "llo!");
	weft_membuf_free(&m);
	m = (weft_membuf){.data = mine, .end = 5};
	weft_membuf_free(&m);
	T_STR_EQ(mine, "hello");
}

/* As much goes in as comes out, for long: the memory does not grow without end. */
TEST(memory_goes_round)
{
	weft_membuf m = {.data = NULL};
	unsigned char in = 0, out = 0, buf[100];

	for (int i = 0; i < 10000; i++) {
		size_t n = (size_t)(i * 7 % 100 + 1);
		ssize_t got;

		for (size_t k = 0; k < n; k++)
			buf[k] = in++;
		T_EQ(weft_membuf_append(&m, buf, n), 0);
		got = weft_io_read(weft_membuf_io(&m), buf, i % 50 == 49 ? sizeof buf : n);
		for (ssize_t k = 0; k < got; k++)
			T_EQ(buf[k], out++);
	}
	T_LE(m.weft__size, 4096);
	weft_membuf_free(&m);
}

TEST(null)
{
	char buf[4];
	size_t done = 99;

	T_EQ(weft_io_read(weft_null_io(), buf, 4), 0);
	T_EQ(weft_io_write(weft_null_io(), buf, 4, &done), 4);
	T_EQ(done, 4);
}

/* --- limits --- */

TEST(limited)
{
	const struct step steps[] = {{"abcdef", 0}, {NULL, WEFT_ETIMEDOUT}, {"ghi", 0}, {NULL, 0}};
	struct source s = {.step = steps, .steps = 4};
	weft_limited l = {source_io(&s), 8};
	weft_io io = weft_limited_io(&l);
	char out[16] = "";
	struct iovec v[2] = {{NULL, 0}, {out + 4, 12}};

	T_EQ(weft_io_read(io, out, 4), 4);
	T_EQ(l.left, 4);
	T_EQ(weft_io_readv(io, v, 2), 2);
	T_EQ(weft_io_read_until(io, out + 6, 10, 9), WEFT_ETIMEDOUT);
	T_EQ(s.deadline, 9);
	T_EQ(weft_io_read(io, out + 6, 10), 2);
	T_STR_EQ(out, "abcdefgh");
	T_EQ(weft_io_read(io, out, 1), 0);
	T_EQ(s.calls, 4);
	T_EQ(weft_io_read(l.io, out, 9), 1); /* what is beyond is still there */
	T_EQ(out[0], 'i');
	l.left = 5;
	T_EQ(weft_io_read(io, out, 1), 0); /* the stream's own end */
	T_EQ(l.left, 5);
	T_EQ(weft_io_close(io), WEFT_ENOTSUP);
}

/* --- tees --- */

TEST(tee)
{
	const struct step steps[] = {{"abcdef", 0}, {NULL, WEFT_ETIMEDOUT}, {"gh", 0}, {NULL, 0}};
	struct source s = {.step = steps, .steps = 4, .most = 4};
	struct sink k = {.rc = 0};
	weft_tee t = {source_io(&s), sink_io(&k), 0};
	weft_io io = weft_tee_io(&t);
	char out[16] = "";
	struct iovec v[2] = {{out, 3}, {out + 3, 12}};

	T_EQ(weft_io_readv(io, v, 2), 3);
	T_EQ(weft_io_read(io, out + 3, 12), 3);
	T_EQ(weft_io_read(io, out + 6, 12), WEFT_ETIMEDOUT);
	T_EQ(weft_io_read(io, out + 6, 10), 2);
	T_EQ(weft_io_read(io, out + 8, 8), 0);
	T_STR_EQ(out, "abcdefgh");
	T_STR_EQ(sink_got(&k), "abcdefgh");
}

/* What was read is given, though the copy of it failed; that is said next. */
TEST(tee_that_cannot_write)
{
	const struct step steps[] = {{"abcdef", 0}, {"gh", 0}, {NULL, 0}};
	struct source s = {.step = steps, .steps = 3};
	struct sink k = {.rc = WEFT_EPIPE, .room = 2};
	weft_tee t = {source_io(&s), sink_io(&k), 0};
	char out[16] = "";

	T_EQ(weft_io_read(weft_tee_io(&t), out, 16), 6);
	T_STR_EQ(out, "abcdef");
	T_EQ(weft_io_read(weft_tee_io(&t), out, 16), WEFT_EPIPE);
	T_EQ(t.status, WEFT_EPIPE);
	T_EQ(s.calls, 1);
	T_STR_EQ(sink_got(&k), "ab");
}

/* --- chains --- */

TEST(chain)
{
	const struct step steps[] = {{"abc", 0}, {NULL, WEFT_ETIMEDOUT}, {"de", 0}, {NULL, 0}};
	struct source s = {.step = steps, .steps = 4};
	weft_membuf a = {.data = (char[]){'0', '1'}, .end = 2}, b = {.data = (char[]){'2'}, .end = 1};
	weft_io parts[] = {weft_membuf_io(&a), weft_null_io(), source_io(&s), weft_membuf_io(&b)};
	weft_chain c = {parts, 4, 0}, none = {NULL, 0, 0};
	char out[16] = "";
	size_t at = 0;
	ssize_t n;

	while ((n = weft_io_read(weft_chain_io(&c), out + at, 16 - at)) != 0) {
		if (n < 0)
			T_EQ(n, WEFT_ETIMEDOUT);
		else
			at += (size_t)n;
	}
	T_STR_EQ(out, "01abcde2");
	T_EQ(weft_io_read(weft_chain_io(&c), out, 1), 0);
	T_EQ(weft_io_write(weft_chain_io(&c), out, 1, NULL), WEFT_ENOTSUP);
	T_EQ(weft_io_read(weft_chain_io(&none), out, 1), 0);
}

/* --- without memory --- */

TEST(no_memory)
{
	weft_membuf m = {.data = (char[]){'a', 'b'}, .end = 2};
	weft_copied how = {.dst_failed = true};
	weft_io a, b;

	failpoint_arm(1);
	T_EQ(weft_io_pair(&a, &b), WEFT_ENOMEM);
	failpoint_arm(1);
	T_EQ(weft_io_copy(weft_null_io(), weft_membuf_io(&m), WEFT_COPY_ALL, &how), WEFT_ENOMEM);
	failpoint_disarm();
	T_OK(!how.dst_failed);
	T_EQ(how.read, 0);
	T_EQ(weft_io_copy(weft_null_io(), weft_membuf_io(&m), WEFT_COPY_ALL, &how), 2);
}
