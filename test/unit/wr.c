/* SPDX-License-Identifier: MIT
 *
 * wr.c - buf/wr.c: buffered writing: what is gathered, what goes at once, and what is left of it when the stream below fails in the middle.
 */
#include "failpoint.h"
#include "script.h"

#include "base/compiler.h"
#include "base/rand.h"
#include <locale.h>
#include <wchar.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static void begin(weft_wr *w, struct sink *k, char *buf, size_t size)
{
	T_EQ(weft_wr_init(w, sink_io(k), buf, size), 0);
}

TEST(init)
{
	char small[WEFT_BUF_MIN];
	struct sink k = {.rc = 0};
	weft_wr w;

	T_EQ(weft_wr_init(&w, sink_io(&k), small, WEFT_BUF_MIN - 1), WEFT_EINVAL);
	weft_wr_free(&w);
	T_EQ(weft_wr_init(&w, sink_io(&k), NULL, 2), WEFT_EINVAL);
	T_EQ(weft_wr_init(&w, (weft_io){NULL, NULL}, NULL, 0), WEFT_EINVAL);
	T_EQ(weft_wr_init(&w, sink_io(&k), NULL, (size_t)-1), WEFT_EINVAL);
	failpoint_arm(1);
	T_EQ(weft_wr_init(&w, sink_io(&k), NULL, 0), WEFT_ENOMEM);
	failpoint_disarm();
	T_EQ(weft_wr_init(&w, sink_io(&k), NULL, 0), 0);
	T_EQ(weft_wr_byte(&w, 'x'), 0);
	T_EQ(weft_wr_flush(&w), 0);
	T_STR_EQ(sink_got(&k), "x");
	weft_wr_free(&w);
	weft_wr_free(&w);
}

/* Small writes are gathered; the one that does not fit goes along with them, in one call. */
TEST(small_writes_are_gathered)
{
	char buf[WEFT_BUF_MIN];
	struct sink k = {.rc = 0};
	size_t done = 99;
	weft_wr w;

	begin(&w, &k, buf, sizeof buf);
	T_EQ(weft_wr_flush(&w), 0);
	T_EQ(weft_wr_write(&w, "", 0, &done), 0);
	T_EQ(done, 0);
	for (int i = 0; i < 16; i++)
		T_EQ(weft_wr_write(&w, &LETTERS[i], 1, &done), 1);
	T_EQ(k.calls, 0);
	T_EQ(weft_wr_buffered(&w), 16);
	T_EQ(weft_wr_write(&w, "0", 1, NULL), 1);
	T_EQ(k.calls, 1);
	T_EQ(k.bufs, 2);
	T_EQ(weft_wr_buffered(&w), 0);
	T_STR_EQ(sink_got(&k), "abcdefghijklmnop0");
	T_EQ(weft_wr_write(&w, LETTERS, 16, &done), 16); /* fits */
	T_EQ(done, 16);
	T_EQ(k.calls, 1);
	T_EQ(weft_wr_byte_until(&w, '!', 55), 0);
	T_EQ(k.calls, 2);
	T_EQ(k.deadline, 55);
	T_STR_EQ(sink_got(&k), "abcdefghijklmnop!");
	T_EQ(weft_wr_byte(&w, '?'), 0);
	T_EQ(weft_wr_write(&w, LETTERS, 52, &done), 52);
	T_EQ(done, 52);
	T_EQ(k.calls, 3);
	T_STR_EQ(sink_got(&k), "?" LETTERS);
	T_EQ(weft_wr_write(&w, "a", 1, NULL), 1);
	T_EQ(weft_wr_flush_until(&w, 66), 0);
	T_EQ(k.deadline, 66);
	T_EQ(weft_wr_flush(&w), 0);
	T_EQ(k.calls, 4);
	T_STR_EQ(sink_got(&k), "a");
	T_EQ(weft_wr_write_until(&w, LETTERS, 52, NULL, 77), 52);
	T_EQ(k.deadline, 77);
	T_STR_EQ(sink_got(&k), LETTERS);
	T_EQ(weft_wr_write(&w, "a", (size_t)-1, &done), WEFT_EINVAL);
	T_EQ(done, 0);
	T_EQ(weft_wr_flush(&w), 0); /* that was not the stream's error */
}

/* When the time is over, what was not sent is still there, and is sent once. */
TEST(an_error_that_may_pass)
{
	static const int rcs[] = {WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN, WEFT_ENOMEM, WEFT_ESRCH};

	for (size_t i = 0; i < ARRAY_LEN(rcs); i++) {
		char buf[WEFT_BUF_MIN];
		struct sink k = {.rc = rcs[i], .room = 4};
		size_t done = 99;
		weft_wr w;

		begin(&w, &k, buf, sizeof buf);
		T_EQ(weft_wr_write(&w, "0123456789", 10, NULL), 10);
		T_EQ(weft_wr_flush(&w), rcs[i]);
		T_EQ(weft_wr_buffered(&w), 6);
		T_EQ(weft_wr_byte(&w, 'a'), 0);
		k.room = 7 + 3;
		T_EQ(weft_wr_write(&w, LETTERS, 20, &done), rcs[i]);
		T_EQ(done, 3);
		T_EQ(weft_wr_buffered(&w), 0);
		T_EQ(weft_wr_write(&w, "0123456789abcdef", 16, &done), 16);
		T_EQ(weft_wr_byte(&w, '!'), rcs[i]); /* full */
		T_EQ(weft_wr_write(&w, "!!", 2, &done), rcs[i]);
		T_EQ(done, 0);
		T_EQ(weft_wr_printf(&w, "%s", "!!"), rcs[i]);
		k.rc = 0;
		T_EQ(weft_wr_flush(&w), 0);
		T_STR_EQ(sink_got(&k), "0123456789aabc0123456789abcdef");
	}
}

/* Any other error is the answer to all that follows: it is enough to look at the last. */
TEST(an_error_that_stays)
{
	char buf[WEFT_BUF_MIN];
	struct sink k = {.rc = WEFT_EPIPE, .room = 2}, k2 = {.rc = 0};
	size_t done = 99;
	weft_wr w;

	begin(&w, &k, buf, sizeof buf);
	T_EQ(weft_wr_printf(&w, "%s", "0123456789"), 10);
	T_EQ(weft_wr_write(&w, LETTERS, 10, &done), WEFT_EPIPE);
	T_EQ(done, 0);
	k.rc = 0;
	T_EQ(weft_wr_flush(&w), WEFT_EPIPE);
	T_EQ(weft_wr_write(&w, "a", 1, &done), WEFT_EPIPE);
	T_EQ(done, 0);
	T_EQ(weft_wr_write(&w, "a", 0, NULL), WEFT_EPIPE);
	T_EQ(weft_wr_byte(&w, 'a'), WEFT_EPIPE);
	T_EQ(weft_wr_printf(&w, "a"), WEFT_EPIPE);
	T_EQ(weft_wr_flush(&w), WEFT_EPIPE);
	T_EQ(k.calls, 1);
	T_STR_EQ(sink_got(&k), "01");
	weft_wr_reset(&w, sink_io(&k2));
	T_EQ(weft_wr_buffered(&w), 0);
	T_EQ(weft_wr_byte(&w, 'a'), 0);
	T_EQ(weft_wr_flush(&w), 0);
	T_STR_EQ(sink_got(&k2), "a");
}

/* --- printf --- */

TEST(texts_of_every_length)
{
	char all[64] = LETTERS;

	for (int before = 0; before <= WEFT_BUF_MIN; before++) {
		for (int n = 0; n < 40; n++) {
			char buf[WEFT_BUF_MIN], want[128];
			struct sink k = {.rc = 0};
			weft_wr w;

			begin(&w, &k, buf, sizeof buf);
			T_EQ(weft_wr_write(&w, all, (size_t)before, NULL), before);
			T_EQ(weft_wr_printf(&w, "%.*s", n, all), n);
			T_LE(k.calls, 1);
			T_EQ(k.calls > 0, before + n > WEFT_BUF_MIN && before + n > 0 && n > 0);
			T_EQ(weft_wr_printf_until(&w, WEFT_FOREVER, "<%d|%s>", 42, "x"), 6);
			T_EQ(weft_wr_flush(&w), 0);
			snprintf(want, sizeof want, "%.*s%.*s<42|x>", before, all, n, all);
			T_STR_EQ(sink_got(&k), want);
		}
	}
}

TEST(text_that_is_none)
{
	char buf[WEFT_BUF_MIN];
	wchar_t bad[] = {0x7fffffff, 0};
	struct sink k = {.rc = 0};
	weft_wr w;

	setlocale(LC_ALL, "C");
	begin(&w, &k, buf, sizeof buf);
	T_EQ(weft_wr_byte(&w, 'a'), 0);
	T_EQ(weft_wr_printf(&w, "%ls", bad), WEFT_EINVAL);
	T_EQ(weft_wr_byte(&w, 'b'), 0);
	T_EQ(weft_wr_flush(&w), 0);
	T_STR_EQ(sink_got(&k), "ab");
}

/* Without memory for a long text nothing of it is written. */
TEST(text_without_memory)
{
	char buf[WEFT_BUF_MIN];
	struct sink k = {.rc = 0};
	weft_wr w;

	begin(&w, &k, buf, sizeof buf);
	T_EQ(weft_wr_byte(&w, 'a'), 0);
	failpoint_arm(1);
	T_EQ(weft_wr_printf(&w, "%s", LETTERS), WEFT_ENOMEM);
	failpoint_disarm();
	T_EQ(weft_wr_byte(&w, 'b'), 0);
	T_EQ(weft_wr_flush(&w), 0);
	T_STR_EQ(sink_got(&k), "ab");
}

/* A text longer than the buffer, of which a part is gone, and the rest nobody has: the error stays, whatever it is. */
TEST(half_a_text)
{
	char buf[WEFT_BUF_MIN];
	struct sink k = {.rc = WEFT_ETIMEDOUT, .room = 0};
	weft_wr w;

	begin(&w, &k, buf, sizeof buf);
	T_EQ(weft_wr_byte(&w, '>'), 0);
	T_EQ(weft_wr_printf(&w, "%s", LETTERS), WEFT_ETIMEDOUT);
	T_EQ(weft_wr_buffered(&w), 1);
	k.room = 1; /* what was before it */
	T_EQ(weft_wr_printf(&w, "%s", LETTERS), WEFT_ETIMEDOUT);
	T_EQ(weft_wr_buffered(&w), 0);
	k.room = 5;
	T_EQ(weft_wr_printf(&w, "%s", LETTERS), WEFT_ETIMEDOUT);
	k.rc = 0;
	T_EQ(weft_wr_byte(&w, 'x'), WEFT_ETIMEDOUT);
	T_EQ(weft_wr_flush(&w), WEFT_ETIMEDOUT);
	T_STR_EQ(sink_got(&k), ">abcde");
}

/* --- as a stream --- */

TEST(as_a_stream)
{
	char buf[WEFT_BUF_MIN];
	struct iovec v[3] = {{(void *)"abc", 3}, {NULL, 0}, {(void *)LETTERS, 20}};
	struct sink k = {.rc = 0};
	size_t done = 99;
	weft_wr w;
	weft_io io;

	begin(&w, &k, buf, sizeof buf);
	io = weft_wr_io(&w);
	T_EQ(weft_io_write(io, "abc", 3, &done), 3);
	T_EQ(k.calls, 0);
	T_EQ(weft_io_writev(io, v, 3, &done), 23);
	T_EQ(done, 23);
	T_STR_EQ(sink_got(&k), "abcabcabcdefghijklmnopqrst");
	T_EQ(weft_io_write(io, "abc", 3, &done), 3);
	T_EQ(weft_io_shutdown(io, SHUT_RD), 0);
	T_EQ(weft_wr_buffered(&w), 3);
	T_EQ(weft_io_shutdown(io, SHUT_WR), 0);
	T_EQ(k.how, SHUT_WR + 1);
	T_STR_EQ(sink_got(&k), "abc");
	T_EQ(weft_io_write(io, "abc", 3, &done), 3);
	k.rc = WEFT_ETIMEDOUT;
	k.how = 0;
	T_EQ(weft_io_shutdown(io, SHUT_RDWR), WEFT_ETIMEDOUT);
	T_EQ(k.how, 0);
	T_EQ(weft_io_writev(io, v, 3, &done), WEFT_ETIMEDOUT);
	T_EQ(done, 3);
	T_EQ(weft_io_read(io, buf, 1), WEFT_ENOTSUP);
	T_EQ(weft_io_close(io), 0);
	T_OK(k.closed);
	T_STR_EQ(sink_got(&k), "");
}

static ssize_t lying(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	(void)self;
	(void)v;
	(void)count;
	(void)deadline;
	*done = 100;
	return 100;
}

TEST_DIES(a_stream_that_lies, "says that it has written")
{
	static const weft_io_ops ops = {.kind = "liar", .writev = lying};
	char buf[WEFT_BUF_MIN];
	weft_wr w;

	T_EQ(weft_wr_init(&w, (weft_io){&ops, NULL}, buf, sizeof buf), 0);
	weft_wr_byte(&w, 'a');
	weft_wr_flush(&w);
}

/* --- at random, against what should come out --- */

/* Everything is written exactly once, in order, however often the stream below is late. */
TEST(anything_at_random)
{
	struct rng rng;

	rng_seed(&rng, 12, 0);
	for (long i = tap_iters(3000); i > 0; i--) {
		char buf[48], want[3000] = "";
		struct sink k = {.rc = WEFT_ETIMEDOUT};
		size_t at = 0;
		weft_wr w;

		begin(&w, &k, buf, 16 + rng_below(&rng, 33));
		while (at < sizeof want - 100) {
			const char *text = &LETTERS[rng_below(&rng, 10)];
			size_t n = rng_below(&rng, 40), done = 99;
			ssize_t rc;

			k.room = rng_below(&rng, 60);
			switch (rng_below(&rng, 4)) {
			case 0:
				rc = weft_wr_write(&w, text, n, &done);
				T_OK(rc == (ssize_t)n ? done == n : rc == WEFT_ETIMEDOUT && done < n);
				memcpy(want + at, text, done);
				at += done;
				break;
			case 1:
				n = rng_below(&rng, (unsigned)w.weft__size + 1);
				rc = weft_wr_printf(&w, "%.*s", (int)n, text);
				if (n > 42)
					n = strlen(text) < n ? strlen(text) : n;
				if (rc >= 0) {
					memcpy(want + at, text, (size_t)rc);
					at += (size_t)rc;
				}
				break;
			case 2:
				if (weft_wr_byte(&w, *text) == 0)
					want[at++] = *text;
				break;
			case 3:
				rc = weft_wr_flush(&w);
				T_EQ(weft_wr_buffered(&w) > 0, rc == WEFT_ETIMEDOUT);
				break;
			}
		}
		k.rc = 0;
		T_EQ(weft_wr_flush(&w), 0);
		want[at] = '\0';
		T_STR_EQ(sink_got(&k), want);
	}
}
