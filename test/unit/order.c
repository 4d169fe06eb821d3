/* SPDX-License-Identifier: MIT
 *
 * order.c - which of its tasks a worker takes: the oldest, or the newest; and that none waits for ever.
 */
#include "rt.h"

#include <stdlib.h>

static int in_order(weft_task_fn *fn, void *arg, enum weft_order order, int workers)
{
	unsetenv("WEFT_PRIO");
	return run_with(fn, arg, (weft_opts){.workers = workers, .order = order});
}

/* --- the order --- */

#define TASKS 3 /* as many as the ring of a small build holds, beside who starts them: the monitor may have that one yield */

struct seen {
	int n;
	int who[2 * TASKS];
};

struct one {
	struct seen *seen;
	int id;
	bool yields;
};

static int notes(void *arg)
{
	struct one *o = arg;

	o->seen->who[o->seen->n++] = o->id;
	if (o->yields) {
		weft_task_yield();
		o->seen->who[o->seen->n++] = o->id + 10;
	}
	return 0;
}

static int notes_main(void *arg)
{
	struct seen *s = arg;
	struct one each[TASKS];
	weft_task *t[TASKS];

	for (int i = 0; i < TASKS; i++) {
		each[i] = (struct one){s, i, s->n != 0};
		t[i] = start(notes, &each[i]);
	}
	s->n = 0;
	for (int i = 0; i < TASKS; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* First come, first served; or the newest first. */
TEST(oldest_or_newest_first)
{
	struct seen s = {.n = 0};

	T_EQ(in_order(notes_main, &s, WEFT_ORDER_FIFO, 1), 0);
	for (int i = 0; i < TASKS; i++)
		T_EQ(s.who[i], i);
	s.n = 0;
	T_EQ(in_order(notes_main, &s, WEFT_ORDER_LIFO, 1), 0);
	for (int i = 0; i < TASKS; i++)
		T_EQ(s.who[i], TASKS - 1 - i);
}

static bool went_behind(const struct seen *s)
{
	for (int i = 0; i < TASKS; i++) {
		if (s->who[i] >= 10 || s->who[TASKS + i] != s->who[i] + 10) /* and comes again in the order in which it went */
			return false;
	}
	return s->n == 2 * TASKS;
}

/* Who yields goes behind all others in either order: those that have not run yet come first. (But for when the monitor has the worker look for what waits elsewhere just then.) */
TEST(who_yields_goes_behind)
{
	for (int order = WEFT_ORDER_FIFO; order <= WEFT_ORDER_LIFO; order++) {
		struct seen s;
		int tries = 0;

		do {
			s = (struct seen){.n = 1};
			T_EQ(in_order(notes_main, &s, (enum weft_order)order, 1), 0);
			T_LT(++tries, 50);
		} while (!went_behind(&s));
	}
}

static int order_of_env(void *arg)
{
	(void)arg;
	return weft__rt->lifo;
}

struct stream {
	ATOMIC(bool) over;
	ATOMIC(int) old;
};

static int polls(void *arg)
{
	struct stream *s = arg;

	while (!load_relaxed(&s->over))
		weft_task_yield();
	return 0;
}

static int follows(void *arg)
{
	struct stream *s = arg;

	if (!load_relaxed(&s->over))
		T_EQ(weft_go_opts(NULL, follows, s, NULL), 0);
	return 0;
}

static int is_old(void *arg)
{
	add_relaxed(&((struct stream *)arg)->old, 1);
	return 0;
}

static int stream_main(void *arg)
{
	struct stream s = {.over = false};
	weft_task *old[3], *poller[3];

	(void)arg;
	for (int i = 0; i < 3; i++)
		poller[i] = start(polls, &s);
	for (int i = 0; i < 3; i++)
		old[i] = start(is_old, &s);
	T_EQ(weft_go_opts(NULL, follows, &s, NULL), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(finish(old[i]), 0);
	store_relaxed(&s.over, true);
	for (int i = 0; i < 3; i++)
		T_EQ(finish(poller[i]), 0);
	until_others_end();
	return load_relaxed(&s.old);
}

/* Tasks that yield, again and again, and new ones without end keep no old ones waiting for ever. */
TEST(the_oldest_comes_beside_those_who_yield)
{
	T_EQ(in_order(stream_main, NULL, WEFT_ORDER_LIFO, 1), 3);
}

/* The option, else the environment, else the oldest. */
TEST(option_and_environment)
{
	unsetenv("WEFT_ORDER");
	T_EQ(weft_run(order_of_env, NULL, NULL), 0);
	setenv("WEFT_ORDER", "lifo", 1);
	T_EQ(weft_run(order_of_env, NULL, NULL), 1);
	T_EQ(weft_run(order_of_env, NULL, &(weft_opts){.order = WEFT_ORDER_FIFO}), 0);
	setenv("WEFT_ORDER", "fifo", 1);
	T_EQ(weft_run(order_of_env, NULL, NULL), 0);
	T_EQ(weft_run(order_of_env, NULL, &(weft_opts){.order = WEFT_ORDER_LIFO}), 1);
}

/* --- nobody starves --- */

struct pair {
	weft_chan *there, *back;
	ATOMIC(bool) over;
};

static int answers(void *arg)
{
	struct pair *p = arg;
	int v;

	while (weft_chan_recv(p->there, &v) == 0)
		T_EQ(weft_chan_send(p->back, &v), 0);
	return 0;
}

static int asks(void *arg)
{
	struct pair *p = arg;
	int v = 1;

	while (!load_relaxed(&p->over)) {
		T_EQ(weft_chan_send(p->there, &v), 0);
		T_EQ(weft_chan_recv(p->back, &v), 0);
	}
	T_EQ(weft_chan_close(p->there), 0);
	return 0;
}

static int starts_others(void *arg)
{
	struct pair *p = arg;

	while (!load_relaxed(&p->over)) {
		struct seen s = {.n = 0};
		struct one o = {&s, 1, false};

		T_EQ(finish(start(notes, &o)), 0);
	}
	return 0;
}

static int ends_it(void *arg)
{
	struct pair *p = arg;

	store_relaxed(&p->over, true);
	return 0;
}

static int starve_main(void *arg)
{
	(void)arg;
	for (int round = 0; round < SMALL(3, 20); round++) { /* each takes OLDEST_NS, or fewer schedules in a small build */
		struct pair p = {weft_chan_make(sizeof(int), 0), weft_chan_make(sizeof(int), 0), false};
		weft_task *old = start(ends_it, &p), *t[3];

		t[0] = start(answers, &p);
		t[1] = start(asks, &p);
		t[2] = start(starts_others, &p);
		for (int i = 0; i < 3; i++)
			T_EQ(finish(t[i]), 0); /* only the old one ends them */
		T_EQ(finish(old), 0);
		weft_chan_free(p.there);
		weft_chan_free(p.back);
	}
	return 0;
}

/* The oldest task comes at last, beside two that wake each other and one that starts others, without end. */
TEST_WORKERS(the_oldest_does_not_starve)
{
	T_EQ(in_order(starve_main, NULL, WEFT_ORDER_LIFO, tap_workers()), 0);
}

static int pinned_pair_main(void *arg)
{
	weft_task_pin();
	T_EQ(starve_main(arg), 0);
	weft_task_unpin();
	return 0;
}

/* Nor beside those who are pinned. */
TEST_WORKERS(beside_a_pinned_one)
{
	T_EQ(in_order(pinned_pair_main, NULL, WEFT_ORDER_LIFO, tap_workers()), 0);
}

static int parks(void *arg)
{
	weft_task_park();
	store_relaxed((ATOMIC(bool) *)arg, true);
	return 0;
}

#define YIELDS 1000 /* one is enough; one that starves the other would yield for ever */

/* The slot alone is full then: no other has come in meanwhile. */
static int pinned_yields_main(void *arg)
{
	int yields = 0;

	(void)arg;
	weft_task_pin();
	for (int round = 0; round < 100; round++) {
		ATOMIC(bool) ran = false;
		weft_task *t = start(parks, (void *)&ran);

		until_parked(t);
		weft_task_unpark(t);
		for (yields = 0; !load_relaxed(&ran) && yields < YIELDS; yields++)
			weft_task_yield();
		T_EQ(finish(t), 0);
		if (yields == YIELDS)
			break;
	}
	weft_task_unpin();
	return yields;
}

/* One that is pinned and yields lets those run that are not, in either order: one it has woken, first of all. */
TEST(a_pinned_one_gives_way)
{
	for (int order = WEFT_ORDER_FIFO; order <= WEFT_ORDER_LIFO; order++)
		T_LT(in_order(pinned_yields_main, NULL, (enum weft_order)order, 1), YIELDS);
}

/* --- a tree --- */

#define WIDTH 14

struct tree {
	int depth;
	weft_chan *up;
};

static long alive, most;

static int node(void *arg)
{
	struct tree me = *(struct tree *)arg, kid = {me.depth - 1, NULL};
	int sum = 1, v;

	if (++alive > most)
		most = alive;
	if (me.depth > 0) {
		kid.up = weft_chan_make(sizeof(int), 0);
		for (int i = 0; i < WIDTH; i++)
			T_EQ(weft_go_opts(NULL, node, &kid, NULL), 0);
		for (int i = 0; i < WIDTH; i++) {
			T_EQ(weft_chan_recv(kid.up, &v), 0);
			sum += v;
		}
		weft_chan_free(kid.up);
	}
	alive--;
	T_EQ(weft_chan_send(me.up, &sum), 0);
	return 0;
}

static int tree_main(void *arg)
{
	struct tree root = {2, weft_chan_make(sizeof(int), 0)};
	int sum;

	(void)arg;
	alive = most = 0;
	T_EQ(weft_go_opts(NULL, node, &root, NULL), 0);
	T_EQ(weft_chan_recv(root.up, &sum), 0);
	T_EQ(sum, 1 + WIDTH + WIDTH * WIDTH);
	weft_chan_free(root.up);
	return 0;
}

/* Walked in depth, a tree of 211 tasks has few of them under way at a time; in breadth, all inner ones at least. (A ring of four spills what it cannot hold: there neither is so.) */
TEST(a_tree_in_depth)
{
	long in_breadth;

	T_EQ(in_order(tree_main, NULL, WEFT_ORDER_FIFO, 1), 0);
	in_breadth = most;
	T_EQ(in_order(tree_main, NULL, WEFT_ORDER_LIFO, 1), 0);
	tap_note("under way: %ld, and %ld in breadth", most, in_breadth);
	if (RUNQ_CAP > 64) {
		T_GE(in_breadth, 1 + WIDTH);
		T_LE(most, 10); /* three, and what has begun out of turn because it was the oldest */
	}
}

/* --- many workers --- */

static int counts_to(void *arg)
{
	for (int i = 0; i < 20; i++)
		weft_task_yield();
	add_relaxed((ATOMIC(long) *)arg, 1);
	return 0;
}

static int storm(void *arg)
{
	weft_task *t[10];

	for (int i = 0; i < 10; i++)
		t[i] = start(counts_to, arg);
	for (int i = 0; i < 10; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

static int storm_main(void *arg)
{
	ATOMIC(long) n = 0;
	weft_task *t[30];

	(void)arg;
	for (int round = 0; round < tap_iters(20); round++) {
		store_relaxed(&n, 0);
		for (int i = 0; i < 30; i++)
			t[i] = start(storm, (void *)&n);
		for (int i = 0; i < 30; i++)
			T_EQ(finish(t[i]), 0);
		T_EQ(load_relaxed(&n), 300);
	}
	return 0;
}

/* Trees of tasks that yield, which workers take from each other: each runs to its end. */
TEST_WORKERS(everybody_ends)
{
	T_EQ(in_order(storm_main, NULL, WEFT_ORDER_LIFO, tap_workers()), 0);
}
