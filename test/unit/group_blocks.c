/* SPDX-License-Identifier: MIT
 *
 * group_blocks.c - blocks with a group: however they are left, nobody is left who was started there; nested groups, several waiters, foreign threads.
 */
#include "groups.h"

#include "weft/defer.h"
#include "weft/local.h"
#include <pthread.h>

struct gate {
	ATOMIC(int) open;
};

static int through_gate(void *arg)
{
	struct gate *k = arg;

	until(load_acquire(&k->open));
	return 0;
}

struct starter {
	weft_group *g;
	weft_task_fn *fn;
	void *arg;
	int64_t deadline;
};

/* --- blocks --- */

enum way { END, RETURN, BREAK, GOTO, EXIT, PANIC, WAYS };

struct leaving {
	enum way way;
	ATOMIC(int) ended;
	bool after;
};

/* Points into its parent's frame, and is slow. */
static int slow_child(void *arg)
{
	ATOMIC(int) *in_frame = arg;

	for (int i = 0; i < 10; i++)
		weft_task_yield();
	add_relaxed(in_frame, 1); /* ordered by the join */
	return 0;
}

static void check_frame(void *arg)
{
	T_EQ(load_relaxed((ATOMIC(int) *)arg), 10);
}

static int leaves(void *arg)
{
	struct leaving *l = arg;
	ATOMIC(int) in_frame = 0;
	WEFT_DEFER(check_frame, &in_frame);

	WEFT_WITH_GROUP (g, .max = 20) {
		for (int i = 0; i < 10; i++)
			T_EQ(weft_group_go(&g, slow_child, &in_frame), 0);
		switch (l->way) {
		case RETURN:
			return 5;
		case GOTO:
			goto out;
		case EXIT:
			weft_task_exit(5);
		case PANIC:
			weft_task_panic("out of here");
		default:
			break;
		}
		if (l->way == BREAK)
			break;
		T_EQ(l->way, END);
	}
out:
	check_frame(&in_frame);
	return 5;
}

static int leaves_main(void *arg)
{
	(void)arg;
	for (int way = 0; way < WAYS; way++) {
		struct leaving l = {.way = (enum way)way};

		T_EQ(finish(start(leaves, &l)), way == PANIC ? WEFT_EPANIC : 5);
		if (way != EXIT)
			T_EQ(weft_task_try(leaves, &l, NULL), way == PANIC ? WEFT_EPANIC : 5);
	}
	return 0;
}

/* However its block is left, nobody it started runs any more. */
TEST_WORKERS(every_way_out_of_a_block)
{
	run(leaves_main, NULL);
}

static int cancelled_children(void *arg)
{
	struct owner *o = arg;

	WEFT_WITH_GROUP (g) {
		for (int i = 0; i < 3; i++)
			T_EQ(weft_group_go(&g, waits_and_says, o), 0);
		if (o->close)
			weft_task_panic("nobody is left to work for");
		weft_task_exit(1);
	}
	return 0;
}

static int gone_main(void *arg)
{
	(void)arg;
	for (int panic = 0; panic < 2; panic++) {
		struct owner o = {.close = panic};

		T_EQ(finish(start(cancelled_children, &o)), panic ? WEFT_EPANIC : 1);
		T_EQ(load_relaxed(&o.ended), 3);
	}
	return 0;
}

/* Exit and panic in the block cancel the children, else they might wait for ever. */
TEST_WORKERS(children_of_one_that_is_gone)
{
	run(gone_main, NULL);
}

static int cancelled_in_block(void *arg)
{
	struct owner *o = arg;
	int rc = -1;

	WEFT_WITH_GROUP (g) {
		for (int i = 0; i < 3; i++)
			T_EQ(weft_group_go(&g, waits_and_says, o), 0);
		rc = weft_group_wait(&g);
		if (counts(&g).running == 3)
			T_EQ(weft_group_cancel(&g, WEFT_REASON_CANCELED), 0);
	}
	T_EQ(load_relaxed(&o->ended), 3);
	T_EQ(weft_task_sleep(0), WEFT_ECANCELED); /* it still is, behind the block */
	return rc;
}

static int shielded_main(void *arg)
{
	struct owner o = {.ready = 0};
	weft_task *t = start(cancelled_in_block, &o);

	(void)arg;
	until_reason(t, "group");
	T_EQ(weft_task_cancel(t), 0); /* the task alone: its children are not */
	T_EQ(finish(t), WEFT_ECANCELED);
	return 0;
}

/* The end of a block waits for the children also when the task is cancelled. */
TEST_WORKERS(block_of_a_cancelled_task)
{
	run(shielded_main, NULL);
}

static int nested(void *arg)
{
	int depth = (int)(intptr_t)arg, started = 0;
	ATOMIC(int) n = 0;

	if (depth == 0)
		return waits(NULL);
	WEFT_WITH_GROUP (g) {
		WEFT_WITH_GROUP (h, .policy = WEFT_IGNORE) {
			for (int i = 0; i < 3; i++)
				started += weft_group_go(&h, adds, &n) == 0; /* else it is cancelled already */
		}
		T_EQ(load_relaxed(&n), started);
		for (int i = 0; i < 2; i++) {
			int rc = weft_group_go(&g, nested, code(depth - 1));

			T_OK(rc == 0 || rc == WEFT_ECANCELED);
		}
		return weft_group_wait(&g);
	}
	return 0;
}

static int nested_main(void *arg)
{
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(&g, NULL), 0);
	T_EQ(weft_group_go(&g, nested, code(4)), 0);
	for (int i = 0; i < 5; i++)
		weft_task_yield();
	T_EQ(weft_group_go(&g, returns, code(-3)), 0);
	T_EQ(weft_group_wait(&g), -3);
	T_EQ(weft_group_close(&g), -3);
	return 0;
}

/* A failure at the top cancels all below, and all are waited for. */
TEST_WORKERS(nesting)
{
	run(nested_main, NULL);
}

static ATOMIC(int) grown;

static int grows(void *arg)
{
	weft_group *g = ((void **)arg)[0];
	int left = (int)(intptr_t)((void **)arg)[1];
	void **next = (void **)arg + 2;

	add_relaxed(&grown, 1);
	if (left == 0)
		return 0;
	T_EQ(weft_group_go(g, grows, next), 0);
	return 0;
}

static int chain_main(void *arg)
{
	enum { N = 100 };
	void *args[N][2];

	(void)arg;
	store_relaxed(&grown, 0);
	WEFT_WITH_GROUP (g) {
		for (int i = 0; i < N; i++) {
			args[i][0] = &g;
			args[i][1] = code(N - 1 - i);
		}
		T_EQ(weft_group_go(&g, grows, args[0]), 0);
		T_EQ(weft_group_wait(&g), 0);
		T_EQ(load_relaxed(&grown), N);
	}
	return 0;
}

/* Children start others in their own group. */
TEST_WORKERS(children_start_children)
{
	run(chain_main, NULL);
}

/* --- several waiters, foreign threads --- */

static int joins(void *arg)
{
	return weft_group_wait(arg);
}

static int joiners_main(void *arg)
{
	enum { N = 6 };
	struct gate k = {.open = 0};
	weft_task *t[N];
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(&g, NULL), 0);
	T_EQ(weft_group_go(&g, through_gate, &k), 0);
	for (int i = 0; i < N; i++) {
		t[i] = start(joins, &g);
		until_reason(t[i], "group");
	}
	T_EQ(weft_task_cancel(t[1]), 0);
	T_EQ(finish(t[1]), WEFT_ECANCELED);
	store_release(&k.open, 1);
	for (int i = 0; i < N; i++) {
		if (i != 1)
			T_EQ(finish(t[i]), 0);
	}
	T_EQ(weft_group_close(&g), 0);
	return 0;
}

TEST_WORKERS(several_wait)
{
	run(joiners_main, NULL);
}

static void *foreign_starter(void *arg)
{
	struct starter *s = arg;

	for (int i = 0; i < 20; i++)
		T_EQ(weft_group_go(s->g, s->fn, s->arg), 0);
	return NULL;
}

static void *foreign_owner(void *arg)
{
	ATOMIC(int) *n = arg;
	int before = load_relaxed(n);

	WEFT_WITH_GROUP (g, .max = 2) {
		for (int i = 0; i < 20; i++)
			T_EQ(weft_group_go(&g, adds, n), 0);
		T_EQ(weft_group_wait(&g), 0);
		T_EQ(load_relaxed(n), before + 20);
		T_EQ(weft_group_go(&g, adds, n), 0);
	}
	T_EQ(load_relaxed(n), before + 21);
	return NULL;
}

static int foreign_main(void *arg)
{
	ATOMIC(int) n = 0;
	struct gate k = {.open = 0};
	struct starter s;
	weft_group g;
	pthread_t th;

	(void)arg;
	T_EQ(weft_group_init(&g, &(weft_group_opts){.max = 4}), 0);
	s = (struct starter){&g, adds, &n, WEFT_FOREVER};
	T_EQ(weft_group_go(&g, through_gate, &k), 0); /* so that the group does not end while the thread begins */
	T_EQ(pthread_create(&th, NULL, foreign_starter, &s), 0);
	until(load_relaxed(&n) == 20);
	store_release(&k.open, 1);
	pthread_join(th, NULL);
	T_EQ(weft_group_close(&g), 0);
	T_EQ(load_relaxed(&n), 20);
	T_EQ(pthread_create(&th, NULL, foreign_owner, &n), 0);
	until(load_relaxed(&n) == 41);
	pthread_join(th, NULL);
	return 0;
}

/* From threads that weft did not make: starting in a group, and owning one. */
TEST_WORKERS(foreign_threads)
{
	run(foreign_main, NULL);
}

TEST(no_runtime)
{
	weft_group g;

	T_EQ(weft_group_init(&g, NULL), 0);
	T_EQ(weft_group_go(&g, returns, NULL), WEFT_ESRCH);
	T_EQ(weft_group_wait(&g), WEFT_ESRCH);
	T_EQ(weft_group_close(&g), WEFT_ESRCH);
}

/* --- task-local values --- */

static weft_local key;
static ATOMIC(int) told;

/* The value lies in the parent's frame. */
static void destroys(void *value)
{
	for (int i = 0; i < 5; i++)
		weft_task_yield();
	add_relaxed((ATOMIC(int) *)value, 1); /* ordered by the join */
	if (add_relaxed(&told, 1) % 7 == 0)   /* this one ends the task by itself */
		weft_task_exit(-1);
}

static int has_value(void *arg)
{
	int way = (int)add_relaxed((ATOMIC(int) *)arg, 1) % 3;

	T_EQ(weft_local_set(key, arg), 0);
	if (way == 1)
		weft_task_exit(3);
	if (way == 2)
		weft_task_panic("with a value");
	return 0;
}

static int values_main(void *arg)
{
	(void)arg;
	T_EQ(weft_local_make(&key, destroys, NULL), 0);
	for (int round = 0; round < 20; round++) {
		ATOMIC(int) n = 0;

		WEFT_WITH_GROUP (g, .policy = WEFT_COLLECT) {
			for (int i = 0; i < 6; i++)
				T_EQ(weft_group_go(&g, has_value, &n), 0);
			T_OK(weft_group_wait(&g) < 0);
			T_EQ(load_relaxed(&n), 12); /* each began, and its value was destroyed */
		}
	}
	T_EQ(weft_local_free(key), 0);
	return 0;
}

/* What a child leaves to be destroyed at its end is destroyed before it is joined. */
TEST_WORKERS(values_of_children)
{
	run(values_main, NULL);
}

/* --- the runtime goes down --- */

static int stays(void *arg)
{
	ATOMIC(int) *n = arg;

	WEFT_WITH_GROUP (g, .max = 3) {
		for (int i = 0; i < 10; i++) {
			add_relaxed(n, 1);
			T_EQ(weft_group_go(&g, waits, NULL), 0);
		}
	}
	return 0;
}

static int returns_early(void *arg)
{
	weft_task *t = start(stays, arg);

	until_reason(t, "group room");
	weft_task_detach(t);
	return 0;
}

/* Groups that are left behind, with children and somebody who waits for room: no task is left, none has gone on. */
TEST_WORKERS(left_behind)
{
	ATOMIC(int) n = 0;

	ends_with_main();
	tap_leaky(); /* what the frame of a task that never runs again owns */
	run(returns_early, &n);
	T_EQ(load_relaxed(&n), 4);
}
