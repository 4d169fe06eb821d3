/* SPDX-License-Identifier: MIT
 *
 * stream_feed.c - streams that are written to, and buffers: bounds are exact, policies drop what they say, ends and errors come behind the elements, and both sides hear of the other's end.
 */
#include "rt.h"

#include "weft/defer.h"
#include "weft/group.h"
#include "weft/stream.h"
#include <stdlib.h>

struct ends {
	weft_stream *s;
	weft_stream_tx *w;
};

static struct ends open_with(weft_stream_opts o)
{
	struct ends e;

	o.elem = sizeof(int64_t);
	T_EQ(weft_stream_open(&e.s, &e.w, &o), 0);
	return e;
}

static void done_with(struct ends *e)
{
	weft_stream_tx_free(e->w);
	weft_stream_free(e->s);
}

static int write_number(weft_stream_tx *w, int64_t v, int64_t deadline)
{
	return weft_stream_write_until(w, &v, deadline);
}

static void reads(weft_stream *s, int64_t want)
{
	int64_t v = -1;

	T_EQ(weft_stream_read(s, &v, 1), 1);
	T_EQ(v, want);
}

/* --- policies --- */

struct told {
	int64_t dropped[16];
	int drops, marks;
	bool high;
	size_t len;
};

static void tells_drop(const void *e, void *arg)
{
	struct told *t = arg;

	t->dropped[t->drops++] = *(const int64_t *)e;
}

static void tells_mark(bool high, size_t len, void *arg)
{
	struct told *t = arg;

	T_NE(t->marks > 0 && t->high == high, 1); /* never the same twice */
	t->high = high;
	t->len = len;
	t->marks++;
}

static int policies_main(void *arg)
{
	struct told t = {.drops = 0};
	struct ends e = open_with((weft_stream_opts){.max = 3});

	(void)arg;
	for (int64_t i = 0; i < 3; i++)
		T_EQ(write_number(e.w, i, WEFT_NOW), 0);
	T_EQ(write_number(e.w, 3, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(write_number(e.w, 3, weft_now() - 1), WEFT_ETIMEDOUT);
	T_EQ(weft_stream_tx_len(e.w), 3);
	reads(e.s, 0);
	T_EQ(write_number(e.w, 3, WEFT_NOW), 0);
	for (int64_t i = 1; i < 4; i++)
		reads(e.s, i);
	T_EQ(weft_stream_tx_dropped(e.w), 0);
	done_with(&e);

	e = open_with((weft_stream_opts){.max = 3, .policy = WEFT_STREAM_DROP_OLDEST, .on_drop = tells_drop, .arg = &t});
	for (int64_t i = 0; i < 5; i++)
		T_EQ(write_number(e.w, i, WEFT_FOREVER), i >= 3);
	T_EQ(weft_stream_tx_len(e.w), 3);
	T_EQ(weft_stream_tx_dropped(e.w), 2);
	T_EQ(t.drops, 2);
	T_EQ(t.dropped[1], 1);
	reads(e.s, 2);
	done_with(&e);
	T_EQ(t.drops, 4); /* what was left */
	T_EQ(t.dropped[3], 4);

	t.drops = 0;
	e = open_with((weft_stream_opts){.max = 3, .policy = WEFT_STREAM_DROP_LATEST, .on_drop = tells_drop, .arg = &t});
	for (int64_t i = 0; i < 5; i++)
		T_EQ(write_number(e.w, i, WEFT_FOREVER), i >= 3);
	T_EQ(t.drops, 2);
	T_EQ(t.dropped[1], 4);
	for (int64_t i = 0; i < 3; i++)
		reads(e.s, i);
	T_EQ(weft_stream_read_until(e.s, &t, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_stream_error(e.s, NULL), 0);
	done_with(&e);
	return 0;
}

TEST_WORKERS(policies)
{
	run(policies_main, NULL);
}

static int unbounded_main(void *arg)
{
	struct told t = {.drops = 0};
	struct ends e =
		open_with((weft_stream_opts){.policy = WEFT_STREAM_UNBOUNDED, .high = 1000, .low = 10, .on_mark = tells_mark, .arg = &t});
	int64_t next = 0, v[100];

	(void)arg;
	for (int64_t i = 0; i < 5000; i++) {
		T_EQ(write_number(e.w, i, WEFT_NOW), 0);
		T_EQ(t.marks, i + 1 >= 1000);
		T_EQ(weft_stream_tx_high(e.w), i + 1 >= 1000);
	}
	T_EQ(t.len, 1000);
	while (next < 5000) {
		ssize_t n = weft_stream_read(e.s, v, 99);

		T_GT(n, 0);
		for (ssize_t i = 0; i < n; i++)
			T_EQ(v[i], next++);
		T_EQ(t.marks, 5000 - next <= 10 ? 2 : 1);
	}
	T_EQ(t.high, 0);
	for (int64_t i = 0; i < 1500; i++) /* it begins anew, and wraps */
		T_EQ(write_number(e.w, i, WEFT_NOW), 0);
	T_EQ(t.marks, 3);
	for (int64_t i = 0; i < 1500; i++)
		reads(e.s, i);
	T_EQ(t.marks, 4);
	done_with(&e);
	return 0;
}

TEST_WORKERS(without_a_bound)
{
	run(unbounded_main, NULL);
}

struct sixteen {
	_Alignas(16) int64_t v[2];
};

static void is_aligned(const void *e, void *arg)
{
	T_EQ((uintptr_t)e % 16, 0);
	++*(int *)arg;
}

TEST(dropped_elements_are_aligned)
{
	weft_stream_opts o = {.elem = sizeof(struct sixteen), .max = 2, .policy = WEFT_STREAM_DROP_OLDEST, .on_drop = is_aligned};
	struct sixteen v[7] = {{.v = {0}}};
	weft_stream_tx *w;
	weft_stream *s;
	int n = 0;

	o.arg = &n;
	T_EQ(weft_stream_open(&s, &w, &o), 0);
	T_EQ(weft_stream_write_many(w, v, 7, NULL), 5);
	T_EQ(n, 5);
	weft_stream_free(s);
	T_EQ(n, 7);
	weft_stream_tx_free(w);
}

static int writes_twenty(void *arg)
{
	int64_t v[20] = {0};

	return (int)weft_stream_write_many(arg, v, 20, NULL);
}

static void tells_drop_above(const void *e, void *arg)
{
	T_EQ(((struct told *)arg)->high, 1);
	tells_drop(e, arg);
}

static int marks_main(void *arg)
{
	struct told t = {.drops = 0};
	struct ends e = open_with((weft_stream_opts){.max = 4, .high = 4, .low = 1, .on_mark = tells_mark, .arg = &t});
	weft_task *w = start(writes_twenty, e.w);

	(void)arg;
	until_reason(w, "condition");
	T_EQ(weft_stream_tx_high(e.w), 1); /* told before it waits */
	T_EQ(t.marks, 1);
	T_EQ(t.len, 4);
	for (int i = 0; i < 20; i++)
		reads(e.s, 0);
	T_EQ(finish(w), 0);
	T_EQ(weft_stream_tx_high(e.w), 0);
	T_EQ(t.marks % 2, 0);
	T_EQ(t.high, 0);
	done_with(&e);

	t = (struct told){.drops = 0};
	e = open_with((weft_stream_opts){.max = 4,
					 .high = 4,
					 .low = 1,
					 .policy = WEFT_STREAM_DROP_LATEST,
					 .on_mark = tells_mark,
					 .on_drop = tells_drop_above,
					 .arg = &t});
	T_EQ(weft_stream_write_many(e.w, (int64_t[]){1, 2, 3, 4, 5, 6}, 6, NULL), 2);
	T_EQ(t.marks, 1);
	T_EQ(t.drops, 2);
	weft_stream_free(e.s); /* above its mark */
	T_EQ(t.drops, 6);
	T_EQ(t.marks, 2);
	T_EQ(t.high, 0);
	T_EQ(t.len, 0);
	T_EQ(weft_stream_tx_high(e.w), 0);
	T_EQ(weft_stream_tx_len(e.w), 0);
	weft_stream_tx_free(e.w);
	return 0;
}

TEST_WORKERS(marks_are_told_before_a_writer_waits_or_drops)
{
	run(marks_main, NULL);
}

static int many_main(void *arg)
{
	struct ends e = open_with((weft_stream_opts){.max = 7});
	int64_t v[20];
	size_t done;

	(void)arg;
	for (int64_t i = 0; i < 20; i++)
		v[i] = i;
	T_EQ(weft_stream_write_many_until(e.w, v, 20, &done, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(done, 7);
	T_EQ(weft_stream_read(e.s, v, 5), 5);
	T_EQ(weft_stream_write_many_until(e.w, v + 7, 5, &done, WEFT_NOW), 0); /* around the corner */
	T_EQ(done, 5);
	for (int64_t i = 5; i < 12; i++)
		reads(e.s, i);
	T_EQ(weft_stream_write_many(e.w, NULL, 0, NULL), 0);
	done_with(&e);
	e = open_with((weft_stream_opts){.max = 7, .policy = WEFT_STREAM_DROP_OLDEST});
	T_EQ(weft_stream_write_many(e.w, v, 20, NULL), 13);
	done_with(&e);
	return 0;
}

TEST_WORKERS(many_at_once)
{
	run(many_main, NULL);
}

/* --- ends --- */

static int ends_main(void *arg)
{
	struct ends e = open_with((weft_stream_opts){.max = 4});
	weft_stream_err err;
	int64_t v;

	(void)arg;
	T_EQ(write_number(e.w, 1, WEFT_NOW), 0);
	T_EQ(weft_stream_close(e.w), 0);
	T_EQ(weft_stream_close(e.w), WEFT_ECLOSED);
	T_EQ(write_number(e.w, 2, WEFT_NOW), WEFT_ECLOSED);
	reads(e.s, 1);
	T_EQ(weft_stream_read(e.s, &v, 1), 0);
	done_with(&e);

	e = open_with((weft_stream_opts){.max = 4});
	e.s = weft_stream_name(e.s, "input");
	T_EQ(write_number(e.w, 1, WEFT_NOW), 0);
	T_EQ(weft_stream_fail(e.w, 5), WEFT_EINVAL);
	T_EQ(weft_stream_fail(e.w, WEFT_ETIMEDOUT), 0); /* also one that passes elsewhere */
	T_EQ(weft_stream_fail(e.w, -77), WEFT_ECLOSED);
	T_EQ(weft_stream_error(e.s, NULL), 0); /* an element is before it */
	e.s = weft_stream_take(e.s, 10);
	reads(e.s, 1);
	T_EQ(weft_stream_read(e.s, &v, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_stream_read(e.s, &v, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_stream_error(e.s, &err), WEFT_ETIMEDOUT);
	T_STR_EQ(err.stage, "input");
	done_with(&e);

	e = open_with((weft_stream_opts){.max = 4}); /* the last writer */
	T_EQ(weft_stream_tx_ref(e.w), e.w);
	weft_stream_tx_free(e.w);
	T_EQ(weft_stream_read_until(e.s, &v, 1, WEFT_NOW), WEFT_EAGAIN);
	weft_stream_tx_free(e.w);
	T_EQ(weft_stream_read(e.s, &v, 1), 0);
	weft_stream_free(e.s);

	e = open_with((weft_stream_opts){.max = 4}); /* the reader */
	T_EQ(write_number(e.w, 2, WEFT_NOW), 0);
	weft_stream_free(e.s);
	T_EQ(write_number(e.w, 2, WEFT_NOW), WEFT_EPIPE);
	weft_stream_tx_free(e.w);
	return 0;
}

TEST_WORKERS(ends_and_errors)
{
	run(ends_main, NULL);
}

struct writing {
	weft_stream_tx *w;
	int64_t v, deadline;
};

static int writes(void *arg)
{
	struct writing *g = arg;

	return write_number(g->w, g->v, g->deadline);
}

static int reads_one(void *arg)
{
	int64_t v;

	return (int)weft_stream_read(arg, &v, 1);
}

static int waiting_main(void *arg)
{
	struct ends e = open_with((weft_stream_opts){.max = 1});
	struct writing g = {.w = e.w, .v = 9, .deadline = WEFT_FOREVER};
	weft_task *t, *u;

	(void)arg;
	t = start(reads_one, e.s);
	until_reason(t, "condition");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	t = start(reads_one, e.s);
	until_reason(t, "condition");
	T_EQ(write_number(e.w, 1, WEFT_NOW), 0);
	T_EQ(finish(t), 1);

	T_EQ(write_number(e.w, 1, WEFT_NOW), 0); /* full */
	t = start(writes, &g);
	until_reason(t, "condition");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	time_fake();
	g.deadline = weft_in(50);
	t = start(writes, &g);
	until_reason(t, "condition");
	time_move(50);
	T_EQ(finish(t), WEFT_ETIMEDOUT);
	time_real();
	g.deadline = WEFT_FOREVER;
	t = start(writes, &g);
	until_reason(t, "condition");
	reads(e.s, 1);
	T_EQ(finish(t), 0);
	reads(e.s, 9);

	T_EQ(write_number(e.w, 1, WEFT_NOW), 0);
	t = start(writes, &g);
	until_reason(t, "condition");
	T_EQ(weft_stream_close(e.w), 0); /* by another writer */
	T_EQ(finish(t), WEFT_ECLOSED);
	done_with(&e);

	e = open_with((weft_stream_opts){.max = 1});
	g.w = e.w;
	T_EQ(write_number(e.w, 1, WEFT_NOW), 0);
	t = start(writes, &g);
	u = start(writes, &g);
	until_reason(t, "condition");
	until_reason(u, "condition");
	weft_stream_free(e.s);
	T_EQ(finish(t), WEFT_EPIPE);
	T_EQ(finish(u), WEFT_EPIPE);
	weft_stream_tx_free(e.w);
	return 0;
}

TEST_WORKERS(who_waits_is_told)
{
	run(waiting_main, NULL);
}

/* --- many writers --- */

struct share {
	weft_stream_tx *w;
	int64_t from;
	long n;
};

static int writes_share(void *arg)
{
	struct share *sh = arg;

	for (long i = 0; i < sh->n; i++)
		T_EQ(write_number(sh->w, sh->from + i, WEFT_FOREVER), 0);
	weft_stream_tx_free(sh->w);
	return 0;
}

#define WRITERS 8

static int crowd_main(void *arg)
{
	struct ends e = open_with((weft_stream_opts){.max = 5});
	struct share sh[WRITERS];
	weft_task *t[WRITERS];
	long n = tap_iters(500);
	int64_t next[WRITERS], v[64], total = 0;
	ssize_t k;

	(void)arg;
	for (int i = 0; i < WRITERS; i++) {
		next[i] = (int64_t)i * 1000000;
		sh[i] = (struct share){.w = weft_stream_tx_ref(e.w), .from = next[i], .n = n};
		t[i] = start(writes_share, &sh[i]);
	}
	weft_stream_tx_free(e.w);
	while ((k = weft_stream_read(e.s, v, 64)) > 0) {
		T_LE(k, 5); /* the bound */
		for (ssize_t i = 0; i < k; i++)
			T_EQ(v[i], next[v[i] / 1000000]++); /* each one's in its order */
		total += k;
	}
	T_EQ(k, 0);
	T_EQ(total, WRITERS * n);
	for (int i = 0; i < WRITERS; i++)
		T_EQ(finish(t[i]), 0);
	weft_stream_free(e.s);
	return 0;
}

TEST_WORKERS(a_crowd_of_writers)
{
	run(crowd_main, NULL);
}

/* --- buffers --- */

static int64_t made; /* by the source; the puller's */
static ATOMIC(int64_t) furthest;

static int makes(void *out, void *arg, int64_t deadline)
{
	(void)deadline;
	if (made == *(int64_t *)arg)
		return 0;
	*(int64_t *)out = made++;
	store_relaxed(&furthest, made);
	return 1;
}

/* A source that could give ten elements while its reader takes one is at most a buffer ahead, and a batch in the hand of the task that fills it. */
static int bounded_main(void *arg)
{
	int64_t n = tap_iters(20000), next = 0;
	weft_stream *s;

	(void)arg;
	made = 0;
	s = weft_stream_buffer(weft_stream_from(8, makes, NULL, &n), &(weft_stream_opts){.max = 32});
	WEFT_STREAM_FOREACH(s, int64_t, v)
	{
		T_EQ(v, next++);
		if (v % 8 == 0)
			weft_task_yield();
		T_LE(load_relaxed(&furthest) - v, 32 + 32 + 128 + 1);
	}
	T_EQ(next, n);
	T_EQ(weft_stream_count(s), 0);
	weft_stream_free(s);
	return 0;
}

TEST_WORKERS(a_fast_source_is_held_back)
{
	run(bounded_main, NULL);
}

static int fails_third(const void *in, void *out, void *arg)
{
	(void)arg;
	if (*(const int64_t *)in == 3)
		return -4444;
	*(int64_t *)out = *(const int64_t *)in;
	return 0;
}

static int panics_third(const void *in, void *out, void *arg)
{
	(void)out, (void)arg;
	if (*(const int64_t *)in == 3)
		weft_task_panic("on purpose");
	return 0;
}

static int buffer_ends_main(void *arg)
{
	weft_stream *s;
	weft_stream_err e;
	weft_ctx *c, *up;
	weft_task *t;
	weft_chan *ch = weft_chan_make(8, 1);
	int64_t v;

	(void)arg;
	s = weft_stream_name(weft_stream_map(weft_stream_range(0, 100, 1), 8, fails_third, NULL), "thirds");
	s = weft_stream_map(weft_stream_buffer(s, NULL), 8, fails_third, NULL);
	for (int64_t i = 0; i < 3; i++)
		reads(s, i);
	T_EQ(weft_stream_read(s, &v, 1), -4444);
	T_EQ(weft_stream_error(s, &e), -4444);
	T_STR_EQ(e.stage, "thirds");
	weft_stream_free(s);

	s = weft_stream_buffer(weft_stream_map(weft_stream_range(0, 100, 1), 8, panics_third, NULL), NULL);
	T_EQ(weft_stream_count(s), WEFT_EPANIC);
	weft_stream_free(s);

	c = weft_ctx_make(NULL);
	up = weft_ctx_enter(c);
	s = weft_stream_buffer(weft_stream_chan(ch), NULL);
	weft_ctx_leave(up);
	t = start(reads_one, s);
	until_reason(t, "condition");
	T_EQ(weft_ctx_cancel(c, 0), 0); /* that of whoever made it */
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(weft_stream_error(s, &e), WEFT_ECANCELED);
	weft_stream_free(s);
	weft_ctx_free(c);

	s = weft_stream_buffer(weft_stream_chan(ch), NULL);
	T_EQ(weft_stream_read_until(s, &v, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_stream_error(s, NULL), 0);
	weft_stream_free(s); /* while its task waits */
	s = weft_stream_buffer(weft_stream_chan(ch), NULL);
	weft_stream_free(s); /* before it has begun */
	weft_chan_free(ch);
	return 0;
}

TEST_WORKERS(buffers_end)
{
	run(buffer_ends_main, NULL);
}

static int dropping_main(void *arg)
{
	struct told t = {.drops = 0};
	weft_chan *c = weft_chan_make(8, 10);
	weft_stream *s = weft_stream_buffer(
		weft_stream_chan(c), &(weft_stream_opts){.max = 4, .policy = WEFT_STREAM_DROP_OLDEST, .on_drop = tells_drop, .arg = &t});
	int64_t v;

	(void)arg;
	T_EQ(weft_stream_read_until(s, &v, 1, WEFT_NOW), WEFT_EAGAIN); /* it begins */
	for (int64_t i = 0; i < 10; i++)
		T_EQ(weft_chan_send(c, &i), 0);
	T_EQ(weft_chan_close(c), 0);
	while (weft_chan_len(c) > 0)
		let_run();
	T_GE(weft_stream_count(s), 4); /* some may have been read before they were too many */
	weft_stream_free(s);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(a_buffer_that_drops)
{
	run(dropping_main, NULL);
}

TEST(arguments)
{
	weft_stream_opts o[] = {
		{.elem = 0},
		{.elem = WEFT_STREAM_ELEM_MAX + 1},
		{.elem = 8, .max = SIZE_MAX / 8},
		{.elem = 8, .max = 3, .policy = WEFT_STREAM_UNBOUNDED},
		{.elem = 8, .policy = (enum weft_stream_policy)9},
		{.elem = 8, .max = 3, .high = 4},
		{.elem = 8, .max = 3, .high = 2, .low = 2},
		{.elem = 8, .max = 3, .low = 2},
		{.elem = 8, .on_mark = tells_mark},
		{.elem = 1025, .on_drop = tells_drop},
	};
	weft_stream_tx *w;
	weft_stream_stat st[2];
	weft_stream *s;
	int64_t v = 1;

	for (size_t i = 0; i < sizeof o / sizeof o[0]; i++) {
		T_EQ(weft_stream_open(&s, &w, &o[i]), WEFT_EINVAL);
		T_EQ(s, NULL);
		T_EQ(w, NULL);
	}
	T_EQ(weft_stream_open(NULL, &w, &o[0]), WEFT_EINVAL);
	T_EQ(weft_stream_open(&s, NULL, &o[0]), WEFT_EINVAL);
	T_EQ(weft_stream_open(&s, &w, NULL), WEFT_EINVAL);
	T_EQ(weft_stream_write(NULL, &v), WEFT_EINVAL);
	T_EQ(weft_stream_write_many(NULL, &v, 1, NULL), WEFT_EINVAL);
	T_EQ(weft_stream_close(NULL), WEFT_EINVAL);
	T_EQ(weft_stream_fail(NULL, -1), WEFT_EINVAL);
	T_EQ(weft_stream_tx_len(NULL), 0);
	T_EQ(weft_stream_tx_dropped(NULL), 0);
	T_EQ(weft_stream_tx_high(NULL), 0);
	weft_stream_tx_free(NULL);
	T_EQ(weft_stream_tx_ref(NULL), NULL);
	s = weft_stream_buffer(weft_stream_of(&v, 1, 8), &o[2]);
	T_EQ(weft_stream_error(s, NULL), WEFT_EINVAL);
	T_EQ(weft_stream_stats(s, st, 2), 2); /* it is half made */
	T_EQ(st[1].dropped, 0);
	T_EQ(st[1].errors, 1);
	weft_stream_free(s);
	s = weft_stream_buffer(weft_stream_of(&v, 1, 8), &(weft_stream_opts){.elem = 4});
	T_EQ(weft_stream_error(s, NULL), WEFT_EINVAL);
	weft_stream_free(s);
	s = weft_stream_buffer(weft_stream_of(&v, 1, 8), NULL); /* there is no runtime */
	T_EQ(weft_stream_count(s), WEFT_ESRCH);
	weft_stream_free(s);
}
