/* SPDX-License-Identifier: MIT
 *
 * stream_stages.c - stages that remember, that put several elements or several streams together, and that look at the clock.
 */
#include "rt.h"

#include "weft/bufio.h"
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

/* --- errors that elements lie before --- */

static int fails_at_5(const void *in, void *out, void *arg)
{
	(void)arg;
	if (*(const int64_t *)in == 5)
		return -5555;
	*(int64_t *)out = *(const int64_t *)in;
	return 0;
}

static weft_stream *five_and_an_error(void)
{
	return weft_stream_name(weft_stream_map(of_range(100), 8, fails_at_5, NULL), "fifth");
}

/* arg: how many there are left. It has none at once. */
static int not_now(void *out, void *arg, int64_t deadline)
{
	int64_t *left = arg;

	if (*left == 0)
		return 0;
	if (deadline == WEFT_NOW)
		return WEFT_EAGAIN;
	*(int64_t *)out = (*left)--;
	return 1;
}

static weft_stream *one_not_now(const void *e, void *arg)
{
	(void)e;
	*(int64_t *)arg = 1;
	return weft_stream_from(8, not_now, NULL, arg);
}

static void nothing_yet(weft_stream *s)
{
	int64_t v[10];

	T_EQ(weft_stream_read_until(s, v, 10, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_stream_error(s, NULL), 0);
}

static int stops_at_1(const void *e, void *arg)
{
	(void)arg;
	return *(const int64_t *)e == 1;
}

/* It has failed, and three elements are before that. */
static weft_stream *failed_with_three(void)
{
	weft_stream *s = five_and_an_error();

	T_EQ(weft_stream_each(s, stops_at_1, NULL), 2); /* the rest is given back */
	T_EQ(weft_stream_error(s, NULL), 0);
	return s;
}

/* A caller's error says nothing of one that lies behind elements. */
TEST(what_passes_hides_no_elements)
{
	int64_t n = 100, v[10];
	weft_stream *s = weft_stream_zip(five_and_an_error(), weft_stream_from(8, not_now, NULL, &n), 8, adds, NULL);

	nothing_yet(s);
	GIVES(s, -5555, 100, 100, 100, 100, 100);

	s = weft_stream_flat_map(failed_with_three(), 8, one_not_now, &n);
	for (int i = 0; i < 3; i++) {
		nothing_yet(s); /* also of the last one, behind which there is the error */
		T_EQ(weft_stream_read(s, v, 10), 1);
	}
	gives(s, NULL, 0, -5555);

	time_fake();
	s = weft_stream_throttle(five_and_an_error(), 1, 100, 1);
	for (int64_t i = 0; i < 5; i++) {
		T_EQ(weft_stream_read(s, v, 10), 1);
		T_EQ(v[0], i);
		if (i < 4)
			nothing_yet(s);
		add_relaxed(&weft__clock_fake, 100);
	}
	T_EQ(weft_stream_read(s, v, 10), -5555);
	fails_as(s, -5555, "fifth");
	weft_stream_free(s);
	time_real();
}

typedef struct wide {
	int64_t a, b, c;
} wide;

WEFT_STREAM_MAP(first_a, wide, x, int64_t, x.a)
WEFT_STREAM_FOLD(sum_of_c, int64_t, acc, wide, x, acc += x.c)

TEST(stages_upon_what_has_ended)
{
	weft_stream *s = weft_stream_batch(failed_with_three(), 2, WEFT_FOREVER), *out[2];
	struct {
		size_t n;
		int64_t e[2];
	} two;
	int64_t acc = 0;

	T_EQ(weft_stream_elem(s), sizeof two);
	T_EQ(weft_stream_read(s, &two, 1), 1);
	T_EQ(two.n, 2);
	T_EQ(two.e[1], 3);
	T_EQ(weft_stream_read(s, &two, 1), 1);
	T_EQ(two.n, 1);
	T_EQ(two.e[0], 4);
	T_EQ(weft_stream_read(s, &two, 1), -5555);
	fails_as(s, -5555, "fifth");
	s = weft_stream_batch(s, 2, WEFT_FOREVER); /* nothing is before it now */
	fails_as(s, -5555, "fifth");
	weft_stream_free(s);

	GIVES(weft_stream_concat((weft_stream *[]){of_range(2), failed_with_three()}, 2), -5555, 0, 1, 2, 3, 4);
	weft_stream_tee(failed_with_three(), 2, out, 0, WEFT_STREAM_UNBOUNDED);
	for (int i = 0; i < 2; i++)
		GIVES(out[i], -5555, 2, 3, 4);

	s = weft_stream_map(failed_with_three(), 8, NULL, NULL);
	T_EQ(weft_stream_count(s), WEFT_EINVAL);
	weft_stream_free(s);

	s = first_a(failed_with_three(), NULL);
	fails_as(s, WEFT_EINVAL, "first_a");
	T_EQ(weft_stream_count(s), WEFT_EINVAL);
	weft_stream_free(s);
	T_EQ(sum_of_c(s = failed_with_three(), &acc, NULL), WEFT_EINVAL);
	weft_stream_free(s);
	s = weft_stream_take(of_range(10), 10);
	T_EQ(weft_stream_each(s, stops_at_1, NULL), 2);
	T_EQ(sum_of_c(s, &acc, NULL), WEFT_EINVAL); /* of eight that are left of one that has ended */
	fails_as(s, WEFT_EINVAL, "sum_of_c");
	weft_stream_free(s);
	T_EQ(acc, 0);
}

/* --- a source that always has some --- */

struct flood {
	weft_stream_tx *w;
	long left; /* then it ends all the same, which is wrong */
};

/* For each element that is taken there is another one, a nanosecond later. */
static int refills(const void *in, void *out, void *arg)
{
	struct flood *f = arg;

	add_relaxed(&weft__clock_fake, 1);
	if (f->left-- > 0)
		T_EQ(weft_stream_write(f->w, in), 0);
	else
		(void)weft_stream_close(f->w);
	*(int64_t *)out = *(const int64_t *)in;
	return 0;
}

static weft_stream *flood(struct flood *f)
{
	weft_stream *s;
	int64_t v = 1;

	f->left = 20000;
	T_EQ(weft_stream_open(&s, &f->w, &(weft_stream_opts){.elem = 8, .policy = WEFT_STREAM_UNBOUNDED}), 0);
	for (int i = 0; i < 10; i++)
		T_EQ(weft_stream_write(f->w, &v), 0);
	return weft_stream_map(s, 8, refills, f);
}

static int is_none(const void *e, void *arg)
{
	(void)e, (void)arg;
	return 0;
}

static int is_any(const void *e, void *arg)
{
	(void)e, (void)arg;
	return 1;
}

static ssize_t leaves_all_out(const void *in, void *out, size_t n, void *arg)
{
	(void)in, (void)out, (void)n, (void)arg;
	return 0;
}

static weft_stream *of_nothing(const void *e, void *arg)
{
	(void)e, (void)arg;
	return NULL;
}

#define FOR_EVER (INT64_MAX / 8)

static weft_stream *gives_nothing(weft_stream *s, int kind)
{
	weft_stream *out[2];

	switch (kind) {
	case 0:
		return weft_stream_filter(s, is_none, NULL);
	case 1:
		return weft_stream_filter_batch(s, leaves_all_out, NULL);
	case 2:
		return weft_stream_filter_map_batch(s, 8, leaves_all_out, NULL);
	case 3:
		return weft_stream_drop(s, FOR_EVER);
	case 4:
		return weft_stream_drop_while(s, is_any, NULL);
	case 5:
		return weft_stream_drop(weft_stream_distinct(s, 0), 1);
	case 6:
		return weft_stream_drop(weft_stream_dedup(s), 1);
	case 7:
		return weft_stream_flat_map(s, 8, of_nothing, NULL);
	case 8:
		return weft_stream_drop(weft_stream_window(s, 1, (size_t)FOR_EVER), 1);
	case 9:
		return weft_stream_window_time(s, FOR_EVER, FOR_EVER, 2);
	case 10:
		return weft_stream_debounce(s, FOR_EVER);
	case 11:
		weft_stream_partition(s, 2, out, is_any, NULL, 4, WEFT_STREAM_DROP_OLDEST);
		weft_stream_free(out[1]);
		return out[0];
	default:
		return NULL;
	}
}

/* The deadline is kept by whoever goes round: nobody below waits. */
TEST(deadlines_over_a_flood)
{
	struct flood f;
	weft_stream *s;
	char room[64];

	time_fake();
	for (int kind = 0; (s = gives_nothing(kind < 12 ? flood(&f) : NULL, kind)) != NULL; kind++) {
		for (int i = 0; i < 2; i++) {
			T_EQ(weft_stream_read_until(s, room, 1, weft_in(1000)), WEFT_ETIMEDOUT);
			T_EQ(weft_stream_error(s, NULL), 0);
			T_GT(f.left, 10000);
		}
		f.left = 0;
		T_EQ(weft_stream_close(f.w), 0);
		T_EQ(weft_stream_read(s, room, 1), kind == 9 || kind == 10); /* what they had kept is there */
		weft_stream_tx_free(f.w);
		weft_stream_free(s);
	}
	time_real();
}

static int takes_any(const void *e, void *arg)
{
	(void)e, (void)arg;
	return 0;
}

static int folds_any(void *acc, const void *e, void *arg)
{
	(void)e, (void)arg;
	++*(int64_t *)acc;
	return 0;
}

static int folds_many(void *acc, const void *in, size_t n, void *arg)
{
	(void)in, (void)arg;
	*(int64_t *)acc += (int64_t)n;
	return 0;
}

static int64_t into_sink(weft_stream *s, int kind, int64_t deadline)
{
	weft_membuf m = {.data = NULL};
	int64_t acc = 0, rc;
	weft_chan *c;
	void *all;
	size_t n;

	switch (kind) {
	case 0:
		return weft_stream_each_until(s, takes_any, NULL, deadline);
	case 1:
		return weft_stream_fold_until(s, &acc, folds_any, NULL, deadline);
	case 2:
		return weft_stream_fold_batch_until(s, &acc, folds_many, NULL, deadline);
	case 3:
		return weft_stream_count_until(s, deadline);
	case 4:
		rc = weft_stream_collect_until(s, &all, &n, 0, deadline);
		T_GT(n, 0);
		free(all);
		return rc;
	case 5:
		c = weft_chan_make(8, 50000);
		rc = weft_stream_to_chan_until(s, c, deadline);
		T_GT(weft_chan_len(c), 0);
		weft_chan_free(c);
		return rc;
	default:
		rc = weft_stream_to_io_until(s, weft_membuf_io(&m), NULL, NULL, deadline);
		weft_membuf_free(&m);
		return rc;
	}
}

TEST(sinks_keep_their_deadline_over_a_flood)
{
	struct flood f;

	time_fake();
	for (int kind = 0; kind < 7; kind++) {
		weft_stream *s = flood(&f);

		T_EQ(into_sink(s, kind, weft_in(1000)), WEFT_ETIMEDOUT);
		T_EQ(weft_stream_error(s, NULL), 0);
		T_GT(f.left, 10000);
		f.left = 0;
		T_EQ(weft_stream_close(f.w), 0);
		T_GT(weft_stream_count(s), 0); /* the rest is in it */
		weft_stream_tx_free(f.w);
		weft_stream_free(s);
	}
	time_real();
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

static int reads_in_99(void *arg)
{
	int64_t v;

	return (int)weft_stream_read_until(arg, &v, 1, weft_in(99));
}

static weft_stream *batch_50_of_throttle_2(weft_stream *s)
{
	return weft_stream_batch(throttle_2(s), 4, 50);
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
	r = start(reads_in_99, t.s);
	until_reason(r, "sleep"); /* though it is known that it will not come */
	time_move(98);
	T_EQ(weft_task_stateof(r), WEFT_TASK_PARKED);
	time_move(1);
	T_EQ(finish(r), WEFT_ETIMEDOUT);
	T_EQ(weft_stream_error(t.s, NULL), 0);
	r = start(reads_number, t.s);
	until_reason(r, "sleep");
	T_EQ(weft_task_cancel(r), 0);
	T_EQ(finish(r), WEFT_ECANCELED);
	r = start(reads_number, t.s);
	until_reason(r, "sleep");
	time_move(1);
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

static int throttle_in_batch_main(void *arg)
{
	struct timed t;
	weft_task *r;

	(void)arg;
	time_fake();
	t = timed(batch_50_of_throttle_2);
	sends(&t, 0, 6);
	r = start(reads_four, t.s); /* two at once, and a third is later than it waits */
	until_reason(r, "sleep");
	time_move(50);
	T_EQ(finish(r), 2);
	timed_end(&t);
	time_real();
	return 0;
}

/* A stage that sets a deadline of its own finds that it has come, when it is told so. */
TEST_WORKERS(throttles_below_a_batch)
{
	run(throttle_in_batch_main, NULL);
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
