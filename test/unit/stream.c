/* SPDX-License-Identifier: MIT
 *
 * stream.c - streams: what stages and sinks give, in which order, what is left after each way to stop, and errors with their stage's name.
 */
#include "rt.h"

#include "weft/gen.h"
#include "weft/scope.h"
#include "weft/stream.h"
#include <stdlib.h>

static int64_t numbers[1000];

static weft_stream *first(size_t n)
{
	for (size_t i = 0; i < 1000; i++)
		numbers[i] = (int64_t)i;
	return weft_stream_of(numbers, n, sizeof numbers[0]);
}

static void fails_as(weft_stream *s, int code, const char *stage)
{
	weft_stream_err e;

	T_EQ(weft_stream_error(s, &e), code);
	T_EQ(e.code, code);
	T_STR_EQ(e.stage, stage);
}

static int times(const void *in, void *out, void *arg)
{
	*(int64_t *)out = *(const int64_t *)in * *(const int64_t *)arg;
	return 0;
}

static int narrow(const void *in, void *out, void *arg)
{
	(void)arg;
	*(int32_t *)out = (int32_t) * (const int64_t *)in;
	return 0;
}

/* Fails at the value that arg says. */
static int fails_at(const void *in, void *out, void *arg)
{
	if (*(const int64_t *)in == *(const int64_t *)arg)
		return -12345;
	*(int64_t *)out = *(const int64_t *)in;
	return 0;
}

static int divides(const void *e, void *arg)
{
	return *(const int64_t *)e % *(const int64_t *)arg == 0;
}

static int below(const void *e, void *arg)
{
	return *(const int64_t *)e < *(const int64_t *)arg;
}

static int sums(void *acc, const void *e, void *arg)
{
	(void)arg;
	*(int64_t *)acc += *(const int64_t *)e;
	return 0;
}

static int64_t sum_of(weft_stream *s)
{
	int64_t sum = 0;

	T_GE(weft_stream_fold(s, &sum, sums, NULL), 0);
	return sum;
}

/* All that is left of s is these; then the end. */
static void gives(weft_stream *s, const int64_t *want, size_t n)
{
	void *all;
	size_t have;

	T_EQ(weft_stream_collect(s, &all, &have, 0), (int64_t)n);
	T_EQ(have, n);
	for (size_t i = 0; i < n; i++)
		T_EQ(((int64_t *)all)[i], want[i]);
	free(all);
	T_EQ(weft_stream_count(s), 0);
	T_EQ(weft_stream_error(s, NULL), 0);
}

static int64_t two = 2, three = 3, five = 5;

/* --- no runtime is needed --- */

TEST(array_map_filter_fold)
{
	weft_stream *s = first(1000);

	s = weft_stream_filter(weft_stream_map(s, 8, times, &three), divides, &two);
	T_EQ(weft_stream_elem(s), 8);
	T_EQ(sum_of(s), 3 * (499 * 500)); /* the even ones */
	T_EQ(sum_of(s), 0);               /* it has ended */
	weft_stream_free(s);
}

WEFT_STREAM_MAP(square, int64_t, x, int64_t, x *x)
WEFT_STREAM_MAP(plus, int64_t, x, int32_t, (int32_t)(x + *(int64_t *)arg))
WEFT_STREAM_FILTER(even, int64_t, x, x % 2 == 0)
WEFT_STREAM_FOLD(total, int64_t, acc, int64_t, x, acc += x)
WEFT_STREAM_FOLD(total32, int64_t, acc, int32_t, x, acc += x)

TEST(typed_stages)
{
	weft_stream *s = even(square(first(1000), NULL), NULL);
	int64_t sum = 0, want = 0;

	for (int64_t i = 0; i < 1000; i += 2)
		want += i * i;
	T_EQ(total(s, &sum, NULL), 500);
	T_EQ(sum, want);
	weft_stream_free(s);
	s = plus(first(10), &five);
	sum = 0;
	T_EQ(total32(s, &sum, NULL), 10);
	T_EQ(sum, 45 + 50);
	weft_stream_free(s);
	s = plus(first(10), &five); /* of 4 bytes */
	T_EQ(total(s, &sum, NULL), WEFT_EINVAL);
	fails_as(s, WEFT_EINVAL, "total");
	weft_stream_free(s);
	s = even(plus(first(10), &five), NULL);
	T_EQ(weft_stream_count(s), WEFT_EINVAL);
	fails_as(s, WEFT_EINVAL, "even");
	weft_stream_free(s);
}

WEFT_STREAM_STEPS(thirds, int64_t, x, int32_t, y, if (x % 3) continue; x /= 3; if (x % 2 == 0) continue; y = (int32_t)(x + *(int64_t *)arg))
WEFT_STREAM_STEPS(broken, int64_t, x, int64_t, y, if (x == 700) break; y = x)

static ssize_t fails_at_once(const void *in, void *out, size_t n, void *arg)
{
	(void)in, (void)out, (void)n, (void)arg;
	return -9;
}

TEST(steps_in_one_stage)
{
	weft_stream *s = thirds(first(1000), &five);
	int64_t sum = 0, n = 0, want = 0;

	for (int64_t i = 1; i <= 333; i += 2, n++)
		want += i + 5;
	T_EQ(weft_stream_elem(s), 4);
	T_EQ(total32(s, &sum, NULL), n);
	T_EQ(sum, want);
	weft_stream_free(s);
	s = thirds(weft_stream_drop(first(999), 997), &five); /* 997, 998: nothing stays */
	T_EQ(weft_stream_count(s), 0);
	weft_stream_free(s);
	s = broken(first(1000), NULL);
	T_EQ(weft_stream_count(s), WEFT_EINVAL);
	fails_as(s, WEFT_EINVAL, "broken");
	weft_stream_free(s);
	s = thirds(plus(first(10), &five), &five); /* of 4 bytes */
	T_EQ(weft_stream_count(s), WEFT_EINVAL);
	fails_as(s, WEFT_EINVAL, "thirds");
	weft_stream_free(s);
	s = weft_stream_filter_map_batch(first(10), 4, fails_at_once, NULL);
	T_EQ(weft_stream_count(s), -9);
	fails_as(s, -9, "filter_map");
	weft_stream_free(s);
	s = weft_stream_filter_map_batch(first(10), 4, NULL, NULL);
	T_EQ(weft_stream_count(s), WEFT_EINVAL);
	weft_stream_free(s);
	s = weft_stream_filter_map_batch(first(10), 0, fails_at_once, NULL);
	T_EQ(weft_stream_count(s), WEFT_EINVAL);
	weft_stream_free(s);
}

TEST(sizes_change_on_the_way)
{
	weft_stream *s = weft_stream_map(weft_stream_drop(first(300), 290), 4, narrow, NULL);
	int32_t v[20];

	T_EQ(weft_stream_elem(s), 4);
	T_EQ(weft_stream_read(s, v, 20), 10);
	for (int i = 0; i < 10; i++)
		T_EQ(v[i], 290 + i);
	T_EQ(weft_stream_read(s, v, 20), 0);
	weft_stream_free(s);
}

TEST(take_and_drop)
{
	static const int64_t want[] = {7, 8, 9};
	weft_stream *s = weft_stream_take(weft_stream_drop(first(1000), 7), 3);

	gives(s, want, 3);
	weft_stream_free(s);
	s = weft_stream_take(first(5), 0);
	gives(s, NULL, 0);
	weft_stream_free(s);
	s = weft_stream_drop(first(5), 5);
	gives(s, NULL, 0);
	weft_stream_free(s);
	s = weft_stream_drop(first(1000), 998);
	T_EQ(weft_stream_count(s), 2);
	weft_stream_free(s);
}

TEST(while_stages)
{
	static const int64_t want[] = {0, 1, 2, 3, 4}, rest[] = {5, 6, 7};
	weft_stream *s = weft_stream_take_while(first(1000), below, &five);

	gives(s, want, 5);
	weft_stream_free(s);
	s = weft_stream_drop_while(first(8), below, &five);
	gives(s, rest, 3);
	weft_stream_free(s);
	s = weft_stream_drop_while(first(4), below, &five);
	gives(s, NULL, 0);
	weft_stream_free(s);
	s = weft_stream_drop_while(first(500), below, &(int64_t){400});
	T_EQ(weft_stream_count(s), 100);
	weft_stream_free(s);
}

TEST(ranges)
{
	static const int64_t up[] = {-2, 1, 4}, down[] = {3, 1, -1};
	static const struct {
		int64_t from, to, step, n;
	} far[] = {
		{INT64_MIN, INT64_MAX, INT64_MAX, 3}, {INT64_MAX, INT64_MIN, INT64_MIN, 2}, {5, 5, 1, 0}, {5, 4, 1, 0}, {4, 5, -1, 0},
		{0, INT64_MAX, INT64_MAX - 1, 2},
	};
	weft_stream *s = weft_stream_range(-2, 5, 3);

	gives(s, up, 3);
	weft_stream_free(s);
	s = weft_stream_range(3, -2, -2);
	gives(s, down, 3);
	weft_stream_free(s);
	for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
		s = weft_stream_range(far[i].from, far[i].to, far[i].step);
		T_EQ(weft_stream_count(s), far[i].n);
		weft_stream_free(s);
	}
	s = weft_stream_range(0, 1, 0);
	fails_as(s, WEFT_EINVAL, "range");
	weft_stream_free(s);
}

struct countdown {
	int64_t left;
	int code, done;
};

static int counts_down(void *out, void *arg, int64_t deadline)
{
	struct countdown *c = arg;

	(void)deadline;
	if (c->left == 0)
		return c->code;
	*(int64_t *)out = c->left--;
	return 1;
}

static void is_done(void *arg)
{
	((struct countdown *)arg)->done++;
}

TEST(functions)
{
	static const int64_t want[] = {3, 2, 1};
	struct countdown c = {.left = 3};
	weft_stream *s = weft_stream_from(8, counts_down, is_done, &c);
	int64_t v[5];

	gives(s, want, 3);
	T_EQ(c.done, 0);
	weft_stream_free(s);
	T_EQ(c.done, 1);

	c = (struct countdown){.left = 1, .code = WEFT_EAGAIN}; /* passes */
	s = weft_stream_from(8, counts_down, is_done, &c);
	T_EQ(weft_stream_read(s, v, 5), 1);
	T_EQ(weft_stream_read(s, v, 5), WEFT_EAGAIN);
	T_EQ(weft_stream_error(s, NULL), 0);
	c.left = 2;
	T_EQ(weft_stream_count(s), WEFT_EAGAIN); /* and two are counted */
	T_EQ(c.left, 0);
	c.code = -9999; /* stays */
	T_EQ(weft_stream_count(s), -9999);
	c.code = 0;
	T_EQ(weft_stream_count(s), -9999);
	fails_as(s, -9999, "from");
	weft_stream_free(s);
	T_EQ(c.done, 1);
	s = weft_stream_from(0, counts_down, is_done, &c); /* could not be made */
	T_EQ(c.done, 2);
	fails_as(s, WEFT_EINVAL, "from");
	weft_stream_free(s);
}

/* --- errors --- */

TEST(elements_before_an_error_come_first)
{
	for (int64_t at = 0; at < 300; at += 43) {
		weft_stream *s = weft_stream_name(weft_stream_map(first(1000), 8, fails_at, &at), "the third from the left");
		int64_t v, n = 0;
		ssize_t rc;

		s = weft_stream_map(weft_stream_take(s, 900), 8, times, &two);
		while ((rc = weft_stream_read(s, &v, 1)) > 0)
			T_EQ(v, 2 * n++);
		T_EQ(n, at);
		T_EQ(rc, -12345);
		T_EQ(weft_stream_read(s, &v, 1), -12345); /* it stays */
		fails_as(s, -12345, "the third from the left");
		weft_stream_free(s);
	}
}

static int stops_at(const void *e, void *arg)
{
	int64_t *at = arg;

	if (*(const int64_t *)e == at[0])
		return (int)at[1];
	return 0;
}

TEST(sinks_leave_the_rest)
{
	weft_stream *s = weft_stream_map(first(200), 8, times, &two);
	int64_t stop[] = {100, 1}, fail[] = {200, -7777}, v;

	T_EQ(weft_stream_each(s, stops_at, stop), 51); /* it was enough */
	T_EQ(weft_stream_each(s, stops_at, fail), -7777);
	T_EQ(weft_stream_error(s, NULL), 0); /* the sink's, not the stream's */
	T_EQ(weft_stream_read(s, &v, 1), 1);
	T_EQ(v, 202);
	s = weft_stream_take(s, 3); /* a stage finds the rest, too */
	T_EQ(sum_of(s), 204 + 206 + 208);
	weft_stream_free(s);

	s = first(200); /* in place */
	T_EQ(weft_stream_each(s, stops_at, stop), 101);
	T_EQ(weft_stream_read(s, &v, 1), 1);
	T_EQ(v, 101);
	weft_stream_free(s);
}

TEST(views_and_loops)
{
	weft_stream *s = first(1000);
	const void *p;
	int64_t n = 0;

	T_GT(weft_stream_view_until(s, &p, 10, WEFT_FOREVER), 0);
	T_EQ(p, &numbers[0]); /* in place */
	WEFT_STREAM_FOREACH(s, int64_t, v)
	{
		T_EQ(v, 10 + n);
		if (++n == 500)
			break;
	}
	WEFT_STREAM_FOREACH(s, int64_t, v)
	T_EQ(v, 10 + n++);
	T_EQ(n, 990);
	T_EQ(weft_stream_view(s, &p, 10), 0);
	weft_stream_free(s);
	s = weft_stream_map(first(300), 8, times, &two);
	n = 0;
	WEFT_STREAM_FOREACH(s, int64_t, v)
	T_EQ(v, 2 * n++);
	T_EQ(n, 300);
	weft_stream_free(s);
}

TEST_DIES(loop_of_another_type, "the variable has 4 bytes")
{
	weft_stream *s = first(10);

	WEFT_STREAM_FOREACH(s, int, v)
	T_EQ(v, 0);
}

TEST(collect_is_bounded)
{
	weft_stream *s = weft_stream_filter(first(100), divides, &two);
	void *all;
	size_t n;

	T_EQ(weft_stream_collect(s, &all, &n, 10), WEFT_ENOBUFS);
	T_EQ(n, 10);
	T_EQ(((int64_t *)all)[9], 18);
	free(all);
	T_EQ(weft_stream_collect(s, &all, &n, 40), 40);
	T_EQ(((int64_t *)all)[0], 20);
	free(all);
	weft_stream_free(s);
}

static weft_stream *door(const void *e, void *arg)
{
	(void)e;
	(void)arg;
	return weft_stream_name(weft_stream_failed(WEFT_EACCES), "the door");
}

/* What could not be made is named in its error, by whoever made it and nobody else; the stage below keeps its own name. */
TEST(names_of_what_could_not_be_made)
{
	weft_stream *s = weft_stream_name(weft_stream_name(first(3), "three"), "numbers"), *out[2];
	weft_stream_stat st[4];
	int64_t at = 0;
	char b[8];

	s = weft_stream_name(weft_stream_map(s, 0, times, &two), NULL);
	fails_as(s, WEFT_EINVAL, "map");
	s = weft_stream_name(weft_stream_name(s, "once"), "my map");
	fails_as(s, WEFT_EINVAL, "my map");
	s = weft_stream_name(weft_stream_filter(s, divides, &two), "my filter");
	fails_as(s, WEFT_EINVAL, "my map");
	T_EQ(weft_stream_stats(s, st, 4), 1);
	T_STR_EQ(st[0].name, "numbers");
	T_EQ(st[0].errors, 1);
	weft_stream_tee(s, 2, out, 4, WEFT_STREAM_BLOCK);
	fails_as(weft_stream_name(out[1], "an end"), WEFT_EINVAL, "my map");
	weft_stream_free(out[0]);
	weft_stream_free(out[1]);

	s = weft_stream_name(weft_stream_failed(WEFT_EACCES), "the door");
	fails_as(s, WEFT_EACCES, "the door");
	T_EQ(weft_stream_stats(s, st, 4), 1);
	T_STR_EQ(st[0].name, "the door");
	weft_stream_free(s);
	s = weft_stream_name(weft_stream_range(0, 3, 0), "no step");
	fails_as(s, WEFT_EINVAL, "no step");
	weft_stream_free(s);
	s = weft_stream_flat_map(first(3), 8, door, NULL);
	T_EQ(weft_stream_read(s, b, 1), WEFT_EACCES);
	fails_as(s, WEFT_EACCES, "the door");
	weft_stream_free(s);
	weft_stream_tee(NULL, 2, out, 4, WEFT_STREAM_BLOCK);
	fails_as(weft_stream_name(out[0], "one end"), WEFT_EINVAL, "one end");
	weft_stream_free(out[0]);
	weft_stream_free(out[1]);

	s = weft_stream_name(weft_stream_map(first(1000), 8, fails_at, &at), "at work"); /* it was made, and has failed since */
	T_LT(weft_stream_count(s), 0);
	fails_as(weft_stream_name(s, "too late"), -12345, "at work");
	weft_stream_free(s);
}

TEST(arguments)
{
	weft_stream *s = weft_stream_map(NULL, 8, times, &two);
	const void *p;
	size_t n;
	char big[8];

	T_OK(s);
	fails_as(s, WEFT_EINVAL, "map");
	weft_stream_free(s);
	s = weft_stream_of(NULL, 3, 8);
	fails_as(s, WEFT_EINVAL, "of");
	s = weft_stream_filter(weft_stream_take(s, 3), divides, &two); /* it is handed on */
	fails_as(s, WEFT_EINVAL, "of");
	weft_stream_free(s);
	s = weft_stream_of(numbers, SIZE_MAX / 4, 8);
	fails_as(s, WEFT_EINVAL, "of");
	weft_stream_free(s);
	s = weft_stream_of(big, 0, WEFT_STREAM_ELEM_MAX + 1);
	fails_as(s, WEFT_EINVAL, "of");
	weft_stream_free(s);
	s = weft_stream_filter(first(3), NULL, NULL);
	fails_as(s, WEFT_EINVAL, "filter");
	T_EQ(weft_stream_count(s), WEFT_EINVAL);
	T_EQ(weft_stream_read(s, &n, 1), WEFT_EINVAL);
	weft_stream_free(s);
	s = weft_stream_map(first(3), 0, times, &two);
	fails_as(s, WEFT_EINVAL, "map");
	weft_stream_free(s);
	s = weft_stream_failed(-4321);
	fails_as(s, -4321, "failed");
	T_EQ(weft_stream_elem(s), 0);
	weft_stream_free(s);
	s = weft_stream_failed(3);
	fails_as(s, WEFT_EINVAL, "failed");
	weft_stream_free(s);
	s = weft_stream_chan(NULL);
	fails_as(s, WEFT_EINVAL, "chan");
	weft_stream_free(s);
	s = weft_stream_ticker(0);
	fails_as(s, WEFT_EINVAL, "ticker");
	weft_stream_free(s);
	s = first(3);
	T_EQ(weft_stream_read(s, NULL, 1), WEFT_EINVAL);
	T_EQ(weft_stream_read(s, &n, 0), 0);
	T_EQ(weft_stream_view(s, NULL, 1), WEFT_EINVAL);
	T_EQ(weft_stream_each(s, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_stream_collect(s, NULL, &n, 1), WEFT_EINVAL);
	T_EQ(weft_stream_count(s), 3);
	weft_stream_free(s);
	T_EQ(weft_stream_count(NULL), WEFT_EINVAL);
	T_EQ(weft_stream_view(NULL, &p, 1), WEFT_EINVAL);
	T_EQ(weft_stream_error(NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_stream_elem(NULL), 0);
	T_EQ(weft_stream_name(NULL, "x") == NULL, 1);
	weft_stream_free(NULL);
}

TEST(names_are_copied_and_cut)
{
	char name[64];
	weft_stream *s;

	memset(name, 'x', sizeof name);
	name[63] = '\0';
	s = weft_stream_name(weft_stream_map(first(3), 8, fails_at, &two), name);
	name[0] = 'y';
	T_EQ(weft_stream_count(s), -12345); /* after two */
	name[0] = 'x';
	name[31] = '\0';
	fails_as(s, -12345, name);
	weft_stream_free(s);
	s = weft_stream_name(weft_stream_name(weft_stream_map(first(3), 8, fails_at, &two), "one"), NULL);
	T_EQ(weft_stream_count(s), -12345);
	fails_as(s, -12345, "map");
	weft_stream_free(s);
}

/* --- sources that wait --- */

static int pull_own(const void *e, void *arg)
{
	int64_t v;

	(void)e;
	T_EQ(weft_stream_read(arg, &v, 1), WEFT_EBUSY);
	return 0;
}

static int busy_main(void *arg)
{
	weft_stream *s = first(10);

	(void)arg;
	T_EQ(weft_stream_each(s, pull_own, s), 10);
	weft_stream_free(s);
	return 0;
}

TEST_WORKERS(one_at_a_time)
{
	run(busy_main, NULL);
}

static int chan_main(void *arg)
{
	weft_chan *c = weft_chan_make(8, 16);
	weft_stream *s = weft_stream_take(weft_stream_chan(c), 3);
	int64_t v[8];

	(void)arg;
	for (int64_t i = 0; i < 10; i++)
		T_EQ(weft_chan_send(c, &i), 0);
	T_EQ(sum_of(s), 0 + 1 + 2);
	T_EQ(weft_chan_len(c), 7); /* no more than asked for */
	weft_stream_free(s);
	T_EQ(weft_chan_send(c, &v), 0); /* it was only borrowed */
	T_EQ(weft_chan_close(c), 0);
	s = weft_stream_chan(c);
	T_EQ(weft_stream_read_until(s, v, 8, WEFT_NOW), 8);
	T_EQ(weft_stream_read_until(s, v, 8, WEFT_NOW), 0);
	weft_chan_free(c);
	weft_stream_free(s);
	return 0;
}

TEST_WORKERS(channels)
{
	run(chan_main, NULL);
}

static int rx_main(void *arg)
{
	weft_chan *c = weft_chan_make(8, 4);
	weft_rx *rx = weft_chan_rx(c);
	weft_stream *s = weft_stream_map(weft_stream_rx(rx), 8, times, &two);
	int64_t v = 3;

	(void)arg;
	T_EQ(weft_stream_read_until(s, &v, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_stream_error(s, NULL), 0);
	v = 4;
	T_EQ(weft_chan_send(c, &v), 0);
	T_EQ(weft_stream_read(s, &v, 1), 1);
	T_EQ(v, 8);
	weft_stream_free(s);
	T_EQ(weft_chan_send(c, &v), WEFT_EPIPE);
	weft_chan_free(c);
	weft_stream_free(weft_stream_rx(NULL));
	return 0;
}

TEST_WORKERS(receiving_ends)
{
	run(rx_main, NULL);
}

static int yields(void *arg)
{
	for (int64_t i = 1; i <= *(int64_t *)arg; i++)
		if (weft_gen_yield(&i) != 0)
			return -1;
	return *(int64_t *)arg == 3 ? -5555 : 0;
}

static int gen_main(void *arg)
{
	static const int64_t want[] = {1, 2, 3, 4, 5};
	weft_gen *g;
	weft_stream *s;

	(void)arg;
	T_EQ(weft_gen_make(&g, 8, yields, &five), 0);
	s = weft_stream_gen(g, 8);
	gives(s, want, 5);
	weft_stream_free(s);
	T_EQ(weft_gen_make(&g, 8, yields, &three), 0);
	s = weft_stream_name(weft_stream_gen(g, 8), "g");
	T_EQ(weft_stream_count(s), -5555);
	fails_as(s, -5555, "g");
	weft_stream_free(s);
	T_EQ(weft_gen_make(&g, 8, yields, &five), 0);
	s = weft_stream_take(weft_stream_gen(g, 8), 2);
	T_EQ(sum_of(s), 3);
	weft_stream_free(s); /* in the middle */
	T_EQ(weft_gen_make(&g, 8, yields, &five), 0);
	s = weft_stream_gen(g, 0);
	fails_as(s, WEFT_EINVAL, "gen");
	weft_stream_free(s);
	return 0;
}

TEST_WORKERS(generators)
{
	run(gen_main, NULL);
}

static int waits_for_one(void *arg)
{
	int64_t v;

	return (int)weft_stream_read(arg, &v, 1);
}

static int cancel_main(void *arg)
{
	weft_chan *c = weft_chan_make(8, 4);
	weft_stream *s = weft_stream_filter(weft_stream_chan(c), divides, &two);
	weft_task *t = start(waits_for_one, s);
	int64_t v = 6;

	(void)arg;
	until_reason(t, "chan receive");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(weft_stream_error(s, NULL), 0); /* the task's, not the stream's */
	T_EQ(weft_chan_send(c, &v), 0);
	v = 0;
	T_EQ(weft_stream_read(s, &v, 1), 1);
	T_EQ(v, 6);
	time_fake();
	t = NULL;
	T_EQ(weft_stream_read_until(s, &v, 1, weft_now() - 1), WEFT_ETIMEDOUT);
	WEFT_WITH_TIMEOUT (-1) {
		weft_stream *r = weft_stream_range(0, INT64_MAX, 1);

		T_EQ(weft_stream_count(r), WEFT_ETIMEDOUT); /* no end of it */
		weft_stream_free(r);
	}
	time_real();
	weft_stream_free(s);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(cancel_and_deadline_are_the_callers)
{
	run(cancel_main, NULL);
}

static int count_forever(void *arg)
{
	weft_stream *s = weft_stream_filter(weft_stream_range(0, INT64_MAX, 1), below, &(int64_t){0});
	int64_t rc;

	store_release((ATOMIC(int) *)arg, 1);
	rc = weft_stream_count(s);
	T_EQ(weft_stream_error(s, NULL), 0);
	weft_stream_free(s);
	return (int)rc;
}

static int forever_main(void *arg)
{
	ATOMIC(int) begun;
	weft_task *t;

	(void)arg;
	store_relaxed(&begun, 0);
	t = start(count_forever, &begun);
	until(load_acquire(&begun));
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	return 0;
}

TEST_WORKERS(a_loop_without_end_is_cancelled)
{
	run(forever_main, NULL);
}

static int ticker_main(void *arg)
{
	weft_stream *s = weft_stream_ticker(10);
	int64_t begin, v = 0;
	weft_task *t;

	(void)arg;
	time_fake();
	begin = weft_now();
	T_EQ(weft_stream_read_until(s, &v, 1, WEFT_NOW), WEFT_EAGAIN);
	time_move(10);
	T_EQ(weft_stream_read(s, &v, 1), 1);
	T_EQ(v, begin + 10);
	time_move(35); /* to 45: those at 20 and 30 are left out */
	T_EQ(weft_stream_read(s, &v, 1), 1);
	T_EQ(v, begin + 40);
	T_EQ(weft_stream_read_until(s, &v, 1, WEFT_NOW), WEFT_EAGAIN);
	t = start(waits_for_one, s);
	until_reason(t, "sleep");
	time_move(5);
	T_EQ(finish(t), 1);
	t = start(waits_for_one, s);
	until_reason(t, "sleep");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	weft_stream_free(s);
	time_real();
	return 0;
}

TEST_WORKERS(tickers)
{
	run(ticker_main, NULL);
}
