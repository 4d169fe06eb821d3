/* SPDX-License-Identifier: MIT
 *
 * stream_stages.c - stages that remember, that put several elements or several streams together, and that look at the clock.
 */
#include "rt.h"

#include "weft/scope.h"
#include "weft/stream.h"
#include <stdlib.h>

static weft_stream *of_range(int64_t n)
{
	return weft_stream_range(0, n, 1);
}

static void fails_as(weft_stream *s, int code, const char *stage)
{
	weft_stream_err e;

	T_EQ(weft_stream_error(s, &e), code);
	T_STR_EQ(e.stage, stage);
}

/* All that is left of s is these numbers, then the end, or the error. s is freed. */
static void gives(weft_stream *s, const int64_t *want, int64_t n, int code)
{
	void *all;
	size_t have;
	int64_t rc = weft_stream_collect(s, &all, &have, 0);

	T_EQ(have, (size_t)n);
	T_EQ(rc, code ? code : n);
	for (int64_t i = 0; i < n; i++)
		T_EQ(((int64_t *)all)[i], want[i]);
	T_EQ(weft_stream_count(s), code);
	free(all);
	weft_stream_free(s);
}

#define GIVES(s, code, ...) gives((s), (int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (code))

static int fails_at_4(void *acc, const void *e, void *arg)
{
	(void)arg;
	if (*(const int64_t *)e == 4)
		return -4444;
	*(int64_t *)acc += *(const int64_t *)e;
	return 0;
}

TEST(scans)
{
	int64_t hundred = 100;

	GIVES(weft_stream_scan(of_range(4), 8, NULL, fails_at_4, NULL), 0, 0, 1, 3, 6);
	GIVES(weft_stream_scan(of_range(9), 8, &hundred, fails_at_4, NULL), -4444, 100, 101, 103, 106);
	weft_stream_free(weft_stream_scan(of_range(9), 8, NULL, NULL, NULL));
}

static int mods(const void *in, void *out, void *arg)
{
	*(int64_t *)out = *(const int64_t *)in % *(const int64_t *)arg;
	return 0;
}

static int halves(const void *in, void *out, void *arg)
{
	(void)arg;
	*(int64_t *)out = *(const int64_t *)in / 2;
	return 0;
}

TEST(distinct_elements)
{
	int64_t five = 5;

	GIVES(weft_stream_distinct(weft_stream_map(of_range(100), 8, mods, &five), 5), 0, 0, 1, 2, 3, 4);
	GIVES(weft_stream_distinct(weft_stream_map(of_range(100), 8, mods, &five), 3), WEFT_ENOBUFS, 0, 1, 2);
	GIVES(weft_stream_dedup(weft_stream_map(of_range(9), 8, halves, NULL)), 0, 0, 1, 2, 3, 4);
	gives(weft_stream_dedup(of_range(0)), NULL, 0, 0);
}

TEST(distinct_many)
{
	int64_t many = 1000;
	weft_stream *s = weft_stream_distinct(weft_stream_map(of_range(5000), 8, mods, &many), 0);
	int64_t n = 0;

	WEFT_STREAM_FOREACH(s, int64_t, v)
	T_EQ(v, n++);
	T_EQ(n, 1000);
	weft_stream_free(s);
}

/* --- streams of streams --- */

static weft_stream *counts_to(const void *e, void *arg)
{
	int64_t v = *(const int64_t *)e;

	if (v == 2)
		return NULL;
	if (v == 5)
		return weft_stream_name(weft_stream_scan(of_range(9), 8, NULL, fails_at_4, NULL), "inner");
	if (v == 6)
		return weft_stream_of(arg, 1, 4);
	return of_range(v);
}

TEST(flat_maps)
{
	weft_stream *s;
	int64_t v;

	GIVES(weft_stream_flat_map(of_range(5), 8, counts_to, NULL), 0, 0, 0, 1, 2, 0, 1, 2, 3);
	s = weft_stream_flat_map(weft_stream_range(5, 7, 1), 8, counts_to, NULL);
	T_EQ(weft_stream_count(s), -4444);
	fails_as(s, -4444, "inner");
	weft_stream_free(s);
	s = weft_stream_flat_map(weft_stream_range(6, 7, 1), 8, counts_to, &v); /* of another size */
	T_EQ(weft_stream_count(s), WEFT_EINVAL);
	fails_as(s, WEFT_EINVAL, "flat_map");
	weft_stream_free(s);
	s = weft_stream_flat_map(weft_stream_range(100, 200, 1), 8, counts_to, NULL);
	T_EQ(weft_stream_read(s, &v, 1), 1);
	weft_stream_free(s); /* in the middle */
}

static int adds(const void *a, const void *b, void *out, void *arg)
{
	if (arg && *(const int64_t *)a == *(const int64_t *)arg)
		return -9;
	*(int64_t *)out = *(const int64_t *)a + *(const int64_t *)b;
	return 0;
}

TEST(zips_and_concats)
{
	weft_stream *both[3] = {of_range(2), of_range(0), weft_stream_range(7, 9, 1)}, *s;
	int64_t two = 2, v;

	GIVES(weft_stream_concat(both, 3), 0, 0, 1, 7, 8);
	GIVES(weft_stream_zip(of_range(3), weft_stream_range(10, 99, 10), 8, adds, NULL), 0, 10, 21, 32);
	GIVES(weft_stream_zip(of_range(300), weft_stream_range(10, 21, 10), 8, adds, NULL), 0, 10, 21);
	GIVES(weft_stream_zip(of_range(300), weft_stream_range(10, 99, 10), 8, adds, &two), -9, 10, 21);
	s = weft_stream_zip(of_range(3), NULL, 8, adds, NULL);
	fails_as(s, WEFT_EINVAL, "zip");
	weft_stream_free(s);
	s = weft_stream_zip(weft_stream_failed(-77), of_range(3), 8, adds, NULL);
	fails_as(s, -77, "failed");
	weft_stream_free(s);
	both[0] = of_range(3);
	both[1] = weft_stream_of(&v, 1, 4);
	s = weft_stream_concat(both, 2);
	fails_as(s, WEFT_EINVAL, "concat");
	weft_stream_free(s);
	s = weft_stream_concat(NULL, 2);
	fails_as(s, WEFT_EINVAL, "concat");
	weft_stream_free(s);
	s = weft_stream_zip(of_range(500), of_range(1000), 8, adds, NULL);
	s = weft_stream_drop(s, 499);
	T_EQ(weft_stream_read(s, &v, 1), 1);
	T_EQ(v, 998);
	weft_stream_free(s);
}

/* --- batches and windows --- */

typedef WEFT_STREAM_BATCH(int64_t, 4) four;

static void is_four(weft_stream *s, int64_t from, size_t n)
{
	four f;

	T_EQ(weft_stream_read(s, &f, 1), 1);
	T_EQ(f.n, n);
	for (size_t i = 0; i < n; i++)
		T_EQ(f.e[i], from + (int64_t)i);
}

TEST(batches_and_windows_by_count)
{
	weft_stream *s = weft_stream_batch(of_range(10), 4, WEFT_FOREVER);
	four f;

	T_EQ(weft_stream_elem(s), sizeof(four));
	is_four(s, 0, 4);
	is_four(s, 4, 4);
	is_four(s, 8, 2);
	T_EQ(weft_stream_read(s, &f, 1), 0);
	weft_stream_free(s);

	s = weft_stream_window(of_range(7), 4, 1);
	for (int64_t i = 0; i < 4; i++)
		is_four(s, i, 4);
	T_EQ(weft_stream_read(s, &f, 1), 0);
	weft_stream_free(s);

	s = weft_stream_window(of_range(7), 4, 2);
	is_four(s, 0, 4);
	is_four(s, 2, 4);
	is_four(s, 4, 3); /* what had not been in one */
	T_EQ(weft_stream_read(s, &f, 1), 0);
	weft_stream_free(s);

	s = weft_stream_window(of_range(9), 4, 6);
	is_four(s, 0, 4);
	is_four(s, 6, 3);
	T_EQ(weft_stream_read(s, &f, 1), 0);
	weft_stream_free(s);

	s = weft_stream_batch(weft_stream_scan(of_range(9), 8, NULL, fails_at_4, NULL), 3, WEFT_FOREVER); /* 0 1 3 6, and an error */
	T_EQ(weft_stream_read(s, &f, 1), 1);
	T_EQ(f.n, 3);
	T_EQ(weft_stream_read(s, &f, 1), 1);
	T_EQ(f.n, 1);
	T_EQ(f.e[0], 6);
	T_EQ(weft_stream_read(s, &f, 1), -4444);
	weft_stream_free(s);
}

TEST(odd_sizes)
{
	static const char text[] = "abcdefg";
	WEFT_STREAM_BATCH(char, 3) three;
	weft_stream *s = weft_stream_batch(weft_stream_of(text, 7, 1), 3, WEFT_FOREVER);

	T_EQ(weft_stream_elem(s), sizeof three);
	s = weft_stream_drop(s, 2);
	T_EQ(weft_stream_read(s, &three, 1), 1);
	T_EQ(three.n, 1);
	T_EQ(three.e[0], 'g');
	weft_stream_free(s);
}

TEST(arguments)
{
	weft_stream *bad[] = {
		weft_stream_batch(of_range(3), 0, 1),
		weft_stream_batch(of_range(3), 3, -1),
		weft_stream_batch(of_range(3), SIZE_MAX / 4, 1),
		weft_stream_window(of_range(3), 3, 0),
		weft_stream_window(of_range(3), 0, 3),
		weft_stream_window_time(of_range(3), 5, 6, 3),
		weft_stream_window_time(of_range(3), 5, 0, 3),
		weft_stream_throttle(of_range(3), 0, 1, 1),
		weft_stream_throttle(of_range(3), 1, 0, 1),
		weft_stream_throttle(of_range(3), 1, 1, 0),
		weft_stream_throttle(of_range(3), 1, INT64_MAX, 2),
		weft_stream_debounce(of_range(3), 0),
		weft_stream_timeout(of_range(3), -1),
		weft_stream_flat_map(of_range(3), 8, NULL, NULL),
		weft_stream_batch(NULL, 3, 3),
		weft_stream_distinct(NULL, 3),
		weft_stream_dedup(NULL),
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		T_EQ(weft_stream_error(bad[i], NULL), WEFT_EINVAL);
		T_EQ(weft_stream_count(bad[i]), WEFT_EINVAL);
		weft_stream_free(bad[i]);
	}
}

/* --- time --- */

struct timed {
	weft_chan *c;
	weft_stream *s;
};

static struct timed timed(weft_stream *(*stage)(weft_stream *s))
{
	struct timed t = {.c = weft_chan_make(8, 16)};

	t.s = stage(weft_stream_chan(t.c));
	T_EQ(weft_stream_error(t.s, NULL), 0);
	return t;
}

static void sends(struct timed *t, int64_t from, int64_t to)
{
	for (int64_t i = from; i < to; i++)
		T_EQ(weft_chan_send(t->c, &i), 0);
}

static void timed_end(struct timed *t)
{
	weft_stream_free(t->s);
	weft_chan_free(t->c);
}

static void nothing_now(struct timed *t)
{
	char room[128];

	T_EQ(weft_stream_read_until(t->s, room, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_stream_error(t->s, NULL), 0);
}

static weft_stream *batch_100(weft_stream *s)
{
	return weft_stream_batch(s, 4, 100);
}

static int reads_four(void *arg)
{
	four f;

	T_EQ(weft_stream_read(arg, &f, 1), 1);
	return (int)f.n;
}

static int batch_main(void *arg)
{
	struct timed t = timed(batch_100);
	weft_task *r;

	(void)arg;
	time_fake();
	nothing_now(&t);
	sends(&t, 0, 2);
	nothing_now(&t); /* it has taken them, and goes on waiting */
	T_EQ(weft_chan_len(t.c), 0);
	time_move(99);
	nothing_now(&t);
	r = start(reads_four, t.s);
	until_reason(r, "chan receive");
	time_move(1);
	T_EQ(finish(r), 2);
	sends(&t, 0, 4);
	is_four(t.s, 0, 4); /* at once */
	sends(&t, 0, 1);
	nothing_now(&t);
	T_EQ(weft_chan_close(t.c), 0);
	is_four(t.s, 0, 1);
	T_EQ(weft_stream_count(t.s), 0);
	timed_end(&t);
	time_real();
	return 0;
}

TEST_WORKERS(batch_by_time)
{
	run(batch_main, NULL);
}

static weft_stream *window_100_50(weft_stream *s)
{
	return weft_stream_window_time(s, 100, 50, 4);
}

static int window_main(void *arg)
{
	struct timed t = timed(window_100_50);
	four f;

	(void)arg;
	time_fake();
	nothing_now(&t); /* at 0 */
	sends(&t, 1, 3);
	time_move(20);
	nothing_now(&t); /* they come at 20 */
	time_move(30);
	is_four(t.s, 1, 2); /* -50 to 50 */
	nothing_now(&t);
	time_move(10);
	sends(&t, 3, 4);
	nothing_now(&t); /* at 60 */
	time_move(40);
	is_four(t.s, 1, 3); /* 0 to 100 */
	time_move(50);
	is_four(t.s, 3, 1); /* 50 to 150 */
	time_move(50);
	nothing_now(&t); /* 100 to 200: there is none */
	time_move(1000);
	nothing_now(&t);
	sends(&t, 10, 16);
	nothing_now(&t); /* at 1200 */
	time_move(50);
	is_four(t.s, 12, 4); /* the last four */
	T_EQ(weft_chan_close(t.c), 0);
	T_EQ(weft_stream_read(t.s, &f, 1), 0); /* nothing new */
	timed_end(&t);

	t = timed(window_100_50);
	sends(&t, 1, 3);
	T_EQ(weft_chan_close(t.c), 0);
	is_four(t.s, 1, 2); /* with the end */
	T_EQ(weft_stream_read(t.s, &f, 1), 0);
	timed_end(&t);
	time_real();
	return 0;
}

TEST_WORKERS(windows_by_time)
{
	run(window_main, NULL);
}

static weft_stream *throttle_2(weft_stream *s)
{
	return weft_stream_throttle(s, 1, 100, 2);
}

static int reads_number(void *arg)
{
	int64_t v;
	ssize_t n = weft_stream_read(arg, &v, 1);

	return n == 1 ? (int)v : (int)n;
}

static int throttle_main(void *arg)
{
	struct timed t;
	int64_t v[8];
	weft_task *r;

	(void)arg;
	time_fake();
	t = timed(throttle_2);
	sends(&t, 0, 6);
	T_EQ(weft_stream_read(t.s, v, 8), 2);
	T_EQ(v[1], 1);
	nothing_now(&t);
	T_EQ(weft_stream_read_until(t.s, v, 8, weft_in(99)), WEFT_ETIMEDOUT);
	r = start(reads_number, t.s);
	until_reason(r, "sleep");
	T_EQ(weft_task_cancel(r), 0);
	T_EQ(finish(r), WEFT_ECANCELED);
	r = start(reads_number, t.s);
	until_reason(r, "sleep");
	time_move(100);
	T_EQ(finish(r), 2);
	time_move(1000); /* a bucket holds two */
	T_EQ(weft_stream_read(t.s, v, 8), 2);
	T_EQ(v[1], 4);
	nothing_now(&t);
	time_move(100);
	T_EQ(weft_stream_read(t.s, v, 8), 1);
	T_EQ(v[0], 5);
	T_EQ(weft_chan_close(t.c), 0);
	T_EQ(weft_stream_read(t.s, v, 8), 0);
	timed_end(&t);
	time_real();
	return 0;
}

TEST_WORKERS(throttles)
{
	run(throttle_main, NULL);
}

static weft_stream *debounce_100(weft_stream *s)
{
	return weft_stream_debounce(s, 100);
}

static int debounce_main(void *arg)
{
	struct timed t;
	weft_task *r;

	(void)arg;
	time_fake();
	t = timed(debounce_100);
	nothing_now(&t);
	sends(&t, 0, 3);
	nothing_now(&t);
	time_move(99);
	sends(&t, 7, 8);
	nothing_now(&t); /* from the start */
	time_move(99);
	nothing_now(&t);
	r = start(reads_number, t.s);
	until_reason(r, "chan receive");
	time_move(1);
	T_EQ(finish(r), 7);
	nothing_now(&t);
	sends(&t, 8, 10);
	T_EQ(weft_chan_close(t.c), 0);
	T_EQ(reads_number(t.s), 9); /* nothing can follow */
	T_EQ(reads_number(t.s), 0);
	timed_end(&t);
	time_real();
	return 0;
}

TEST_WORKERS(debounces)
{
	run(debounce_main, NULL);
}

static weft_stream *timeout_100(weft_stream *s)
{
	return weft_stream_name(weft_stream_timeout(s, 100), "in time");
}

static int timeout_main(void *arg)
{
	struct timed t;
	weft_task *r;

	(void)arg;
	time_fake();
	t = timed(timeout_100);
	nothing_now(&t);
	time_move(99);
	nothing_now(&t);
	sends(&t, 0, 3);
	T_EQ(reads_number(t.s), 0);
	time_move(1000); /* nobody asks */
	T_EQ(reads_number(t.s), 1);
	T_EQ(reads_number(t.s), 2);
	WEFT_WITH_TIMEOUT (-1)
		T_EQ(reads_number(t.s), WEFT_ETIMEDOUT);
	T_EQ(weft_stream_error(t.s, NULL), 0); /* the caller's */
	r = start(reads_number, t.s);
	until_reason(r, "chan receive");
	time_move(100);
	T_EQ(finish(r), WEFT_ETIMEDOUT);
	fails_as(t.s, WEFT_ETIMEDOUT, "in time");
	sends(&t, 0, 1);
	T_EQ(reads_number(t.s), WEFT_ETIMEDOUT); /* it stays */
	timed_end(&t);
	time_real();
	return 0;
}

TEST_WORKERS(timeouts)
{
	run(timeout_main, NULL);
}

struct tries {
	int64_t from; /* it goes on here */
	int made, asked, bad;
};

/* Three numbers, and an error. */
static int until_third(const void *in, void *out, void *arg)
{
	struct tries *t = arg;

	if (*(const int64_t *)in == t->from + 3 || t->bad)
		return -300;
	*(int64_t *)out = *(const int64_t *)in;
	return 0;
}

static weft_stream *made_anew(void *arg)
{
	struct tries *t = arg;

	t->made++;
	if (t->made == 9)
		return NULL;
	if (t->made > 1 && !t->bad)
		t->from += 3;
	return weft_stream_name(weft_stream_map(weft_stream_range(t->from, 8, 1), 8, until_third, t), "thirds");
}

static int64_t pauses(int code, int failures, void *arg)
{
	struct tries *t = arg;

	T_EQ(code, -300);
	T_EQ(failures, t->bad ? t->bad++ : 1);
	t->asked++;
	return failures > 2 ? -1 : 100;
}

static int retry_main(void *arg)
{
	struct tries t = {.from = 0};
	weft_stream *s = weft_stream_retry(8, made_anew, pauses, &t);
	int64_t v[8];
	weft_task *r;

	(void)arg;
	time_fake();
	T_EQ(t.made, 0);
	T_EQ(weft_stream_read(s, v, 8), 3);
	T_EQ(weft_stream_read_until(s, v, 8, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_stream_error(s, NULL), 0);
	T_EQ(t.made, 1);
	r = start(reads_number, s);
	until_reason(r, "sleep");
	T_EQ(weft_task_cancel(r), 0);
	T_EQ(finish(r), WEFT_ECANCELED);
	r = start(reads_number, s);
	until_reason(r, "sleep");
	time_move(100);
	T_EQ(finish(r), 3);
	T_EQ(weft_stream_read(s, v, 8), 2);
	T_EQ(weft_stream_read_until(s, v, 8, WEFT_NOW), WEFT_EAGAIN);
	time_move(100);
	T_EQ(weft_stream_read(s, v, 8), 2); /* 6 and 7, and the end */
	T_EQ(v[1], 7);
	T_EQ(weft_stream_read(s, v, 8), 0);
	T_EQ(t.asked, 2);
	weft_stream_free(s);

	t = (struct tries){.bad = 1};
	s = weft_stream_retry(8, made_anew, pauses, &t);
	for (int i = 0; i < 2; i++) {
		T_EQ(weft_stream_read_until(s, v, 8, WEFT_NOW), WEFT_EAGAIN);
		time_move(100);
	}
	T_EQ(weft_stream_read(s, v, 8), -300); /* for the third time */
	fails_as(s, -300, "thirds");
	T_EQ(t.made, 3);
	weft_stream_free(s);
	weft_stream_free(weft_stream_retry(8, made_anew, pauses, &t)); /* never made */
	t.made = 8;
	s = weft_stream_retry(8, made_anew, pauses, &t);
	T_EQ(weft_stream_count(s), WEFT_ENOMEM);
	weft_stream_free(s);
	s = weft_stream_retry(4, made_anew, pauses, &t);
	T_EQ(weft_stream_count(s), WEFT_EINVAL);
	weft_stream_free(s);
	s = weft_stream_retry(8, NULL, pauses, &t);
	fails_as(s, WEFT_EINVAL, "retry");
	weft_stream_free(s);
	time_real();
	return 0;
}

TEST_WORKERS(retries)
{
	run(retry_main, NULL);
}
