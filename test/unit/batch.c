/* SPDX-License-Identifier: MIT
 *
 * batch.c - many tasks at once, or none: all of them run, once each; refused as one; places, handles, contexts, values; sleepers are woken.
 */
#include "failpoint.h"
#include "rt.h"

#include "weft/local.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/sysinfo.h>

#define MANY 300

struct cell {
	int n; /* its number */
	int ran;
	weft_wg *done; /* NULL: it has a handle */
};

static int runs(void *arg)
{
	struct cell *c = arg;
	int n = c->n;

	c->ran++;
	if (c->done)
		weft_wg_done(c->done); /* the cell may be gone now */
	return n;
}

static void cells_init(struct cell *c, void **args, int n)
{
	for (int i = 0; i < n; i++) {
		c[i] = (struct cell){i, 0, NULL};
		args[i] = &c[i];
	}
}

/* --- all of them --- */

static int all_main(void *arg)
{
	static const weft_task_opts ways[] = {
		{.name = "one of many"},
		{.where = WEFT_WHERE_GLOBAL},
		{.worker = 1},
		{.prio = WEFT_PRIO_HIGH},
		{.prio = WEFT_PRIO_LOW, .where = WEFT_WHERE_GLOBAL},
		{.prio = WEFT_PRIO_LOW, .worker = 1},
		{.stack = 32 * 1024},
	};
	struct cell cells[MANY];
	void *args[MANY];
	weft_task *t[MANY];
	weft_wg all = {0};

	(void)arg;
	for (size_t way = 0; way < ARRAY_LEN(ways); way++) {
		for (int n = 1; n <= MANY; n = n < 12 ? n + 1 : n * 5) {
			cells_init(cells, args, n);
			T_EQ(weft_go_batch(runs, args, (size_t)n, t, &ways[way]), 0);
			for (int i = 0; i < n; i++) {
				T_EQ(finish(t[i]), i);
				T_EQ(cells[i].ran, 1);
			}
			for (int i = 0; i < n; i++)
				cells[i].done = &all;
			weft_wg_add(&all, n);
			T_EQ(weft_go_batch(runs, args, (size_t)n, NULL, &ways[way]), 0);
			T_EQ(weft_wg_wait(&all), 0);
			for (int i = 0; i < n; i++)
				T_EQ(cells[i].ran, 2);
		}
	}
	return 0;
}

/* Each runs once, with its own argument, wherever it is placed; with handles and without. */
TEST_WORKERS(each_runs_once)
{
	run(all_main, NULL);
	T_EQ(run_with(all_main, NULL, (weft_opts){.order = WEFT_ORDER_LIFO}), 0);
}

enum { RING = RUNQ_CAP - 1 }; /* what the ring holds, beside who starts them: the monitor may have that one yield */

struct order {
	int n;
	int ran[2 * RUNQ_CAP];
};

static struct order order;

static int notes(void *arg)
{
	order.ran[order.n++] = (int)(intptr_t)arg;
	return 0;
}

static int order_main(void *arg)
{
	void *args[RING];
	weft_task *t[RING];

	(void)arg;
	for (int i = 0; i < RING; i++)
		args[i] = (void *)(intptr_t)i;
	order.n = 0;
	T_EQ(weft_go_batch(notes, args, RING, t, NULL), 0);
	T_EQ(order.n, 0);
	for (int i = 0; i < RING; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* One worker takes as many as its ring holds in the order of args; or in the opposite one, but for the oldest, whose turn comes seldom. */
TEST(in_order)
{
	int oldest = 0, newest = RING - 1;

	unsetenv("WEFT_PRIO");
	T_EQ(run_with(order_main, NULL, (weft_opts){.workers = 1, .order = WEFT_ORDER_FIFO}), 0);
	for (int i = 0; i < RING; i++)
		T_EQ(order.ran[i], i);
	T_EQ(run_with(order_main, NULL, (weft_opts){.workers = 1, .order = WEFT_ORDER_LIFO}), 0);
	for (int i = 0; i < RING; i++) {
		if (order.ran[i] == newest)
			newest--;
		else
			T_EQ(order.ran[i], oldest++);
	}
	T_LE(oldest, RING / TICK_SLOW + 1);
}

/* --- none of them --- */

static int parks(void *arg)
{
	(void)arg;
	return weft_task_park();
}

static int never(void *arg)
{
	(void)arg;
	T_FAIL("it was refused, and begins");
	return 0;
}

static void refused(int rc, size_t n, const weft_task_opts *o)
{
	weft_task *t[MANY];

	for (size_t i = 0; i < MANY; i++)
		t[i] = weft_task_self();
	T_EQ(weft_go_batch(never, NULL, n, t, o), rc);
	for (size_t i = 0; i < n; i++)
		T_OK(t[i] == NULL);
	for (int i = 0; i < 10; i++)
		weft_task_yield();
}

static int limit_main(void *arg)
{
	struct cell cells[4];
	void *args[4];
	weft_task *t[4], *waits = start(parks, NULL);

	(void)arg;
	cells_init(cells, args, 4);
	refused(WEFT_EAGAIN, 4, NULL); /* one too many */
	refused(WEFT_EAGAIN, MANY, NULL);
	T_EQ(weft_go_batch(parks, NULL, 3, t, NULL), 0);
	refused(WEFT_EAGAIN, 1, NULL);
	for (int i = 0; i < 3; i++) {
		weft_task_unpark(t[i]);
		T_EQ(finish(t[i]), 0);
	}
	weft_task_unpark(waits);
	T_EQ(finish(waits), 0);
	T_EQ(weft_go_batch(runs, args, 4, t, NULL), 0);
	for (int i = 0; i < 4; i++)
		T_EQ(finish(t[i]), i);
	return 0;
}

/* max_tasks counts them as one: all or none, and those refused take no place. */
TEST_WORKERS(limit)
{
	T_EQ(run_with(limit_main, NULL, (weft_opts){.max_tasks = 5}), 0);
}

static int nonsense_main(void *arg)
{
	weft_task *t = weft_task_self();

	(void)arg;
	refused(WEFT_EINVAL, 2, &(weft_task_opts){.now = true});
	refused(WEFT_EINVAL, 2, &(weft_task_opts){.stack = 1});
	refused(WEFT_EINVAL, 2, &(weft_task_opts){.worker = tap_workers() + 1});
	refused(WEFT_EINVAL, 2, &(weft_task_opts){.worker = 1, .where = WEFT_WHERE_GLOBAL});
	refused(WEFT_EINVAL, 2, &(weft_task_opts){.prio = (enum weft_prio)7});
	T_EQ(weft_go_batch(NULL, NULL, 1, &t, NULL), WEFT_EINVAL);
	T_OK(t == NULL);
	T_EQ(weft_go_batch(runs, NULL, (size_t)INT32_MAX + 1, NULL, NULL), WEFT_EINVAL);
	t = weft_task_self();
	T_EQ(weft_go_batch(runs, NULL, 0, &t, NULL), 0);
	T_OK(t == weft_task_self()); /* it has no room for any */
	return 0;
}

/* Nonsense is refused, nothing is started; none at all is fine. */
TEST_WORKERS(nonsense)
{
	run(nonsense_main, NULL);
}

/* Without a runtime there is nowhere to start them. */
TEST(no_runtime)
{
	weft_task *t = (weft_task *)&order;

	T_EQ(weft_go_batch(runs, NULL, 1, &t, NULL), WEFT_ESRCH);
	T_OK(t == NULL);
	T_EQ(weft_go_batch(runs, NULL, 0, NULL, NULL), WEFT_ESRCH);
}

static size_t slabs_now(void)
{
	struct rec_stats st;

	weft__rec_stats(&st);
	return st.slabs;
}

static int too_many_main(void *arg)
{
	size_t slabs = slabs_now();

	(void)arg;
	T_EQ(weft_go_batch(never, NULL, INT32_MAX, NULL, NULL), WEFT_ENOMEM);
	T_EQ(slabs_now(), slabs);
	T_EQ(weft_go_batch(runs, NULL, 0, NULL, NULL), 0);
	return 0;
}

/* More than the machine has is refused at once, and no address is taken for it. */
TEST_WORKERS(more_than_there_is)
{
	struct sysinfo si;

	T_EQ(sysinfo(&si), 0);
	if (((uint64_t)si.totalram + si.totalswap) * si.mem_unit >= (uint64_t)INT32_MAX * RECORD_SIZE)
		tap_skip("so much memory");
	run(too_many_main, NULL);
}

static int no_mapping_main(void *arg)
{
	static const weft_task_opts large = {.stack = 1024 * 1024};
	struct stack_stats before, after;
	weft_task *t[MANY];

	(void)arg;
	until_all_workers_run();
	T_EQ(weft_go_batch(parks, NULL, MANY, t, &large), 0); /* all records there are to be */
	for (int i = 0; i < MANY; i++) {
		weft_task_unpark(t[i]);
		T_EQ(finish(t[i]), 0);
	}
	for (long n = 1; n < 400; n = 3 * n + 1) {
		weft_trim();
		weft__stack_stats(&before);
		failpoint_arm(n);
		T_EQ(weft_go_batch(never, NULL, MANY, t, &large), WEFT_ENOMEM);
		T_OK(failpoint_fired());
		failpoint_disarm();
		weft__stack_stats(&after);
		T_LE(after.mapped, before.mapped);
	}
	return 0;
}

/* Where mappings fail on the way those just taken are taken back. */
TEST_WORKERS(mappings_that_fail)
{
	T_EQ(run_with(no_mapping_main, NULL, (weft_opts){.spares = -1}), 0); /* nobody else's call fails in its place */
}

/* --- what they inherit --- */

static weft_local key;
static ATOMIC(long) values;

static void *one_more(void *value)
{
	add_relaxed(&values, 1);
	return value;
}

static void one_less(void *value)
{
	(void)value;
	add_relaxed(&values, -1);
}

static int has_value(void *arg)
{
	(void)arg;
	return weft_local_get(key) == &key ? 7 : 8;
}

static int with_values(void *arg)
{
	weft_task *t[20];
	int rc;

	(void)arg;
	until_all_workers_run();
	T_EQ(weft_local_set(key, one_more(&key)), 0);
	for (long n = 1;; n++) {
		bool fired;

		failpoint_arm(n);
		rc = weft_go_batch(has_value, NULL, 20, t, &(weft_task_opts){.name = "heir", .stack = 20 * 1024});
		fired = failpoint_fired();
		failpoint_disarm();
		for (int i = 0; i < 20; i++) {
			if (rc)
				T_OK(t[i] == NULL);
			else
				T_EQ(finish(t[i]), 7);
		}
		if (rc) {
			T_EQ(rc, WEFT_ENOMEM);
			T_OK(fired);
		}
		until(load_relaxed(&values) == 1); /* ours */
		if (!fired)
			return 0;
		T_LT(n, 2000);
	}
}

/* Each gets the values that are inherited; memory that fails on the way leaves nothing behind. */
TEST_WORKERS(values_and_memory)
{
	T_EQ(weft_local_make(&key, one_less, one_more), 0);
	T_EQ(run_with(with_values, NULL, (weft_opts){.max_tasks = 21}), 0); /* what is refused takes no place */
	T_EQ(load_relaxed(&values), 0);
	T_EQ(weft_local_free(key), 0);
}

static int ctx_main(void *arg)
{
	weft_ctx *c = weft_ctx_make(NULL), *up;
	weft_task *t[20];

	(void)arg;
	T_EQ(weft_go_batch(parks, NULL, 10, t, &(weft_task_opts){.ctx = c}), 0);
	up = weft_ctx_enter(c);
	T_EQ(weft_go_batch(parks, NULL, 10, t + 10, NULL), 0);
	weft_ctx_leave(up);
	T_EQ(weft_ctx_cancel(c, 0), 0);
	for (int i = 0; i < 20; i++)
		T_EQ(finish(t[i]), WEFT_ECANCELED);
	weft_ctx_free(c);
	return 0;
}

/* They run under the context that is given, or their starter's. */
TEST_WORKERS(contexts)
{
	run(ctx_main, NULL);
}

/* --- who takes them --- */

static ATOMIC(int) inside;

/* Lets no other task run on its worker until so many are inside. */
static int meets(void *arg)
{
	add_relaxed(&inside, 1);
	while (load_relaxed(&inside) < (int)(intptr_t)arg)
		sched_yield();
	return 0;
}

static int meet_main(void *arg)
{
	int n = tap_workers();
	void *args[8];
	weft_task *t[8];

	(void)arg;
	for (int i = 0; i < n; i++)
		args[i] = (void *)(intptr_t)n;
	for (int round = 0; round < tap_iters(40); round++) {
		store_relaxed(&inside, 0);
		if (round % 2)
			until(idle_sleepers(&weft__rt->idle) == weft__rt->n - 1);
		T_EQ(weft_go_batch(meets, args, (size_t)n, t, &(weft_task_opts){.where = round % 3 ? WEFT_WHERE_LOCAL : WEFT_WHERE_GLOBAL}),
		     0);
		for (int i = 0; i < n; i++)
			T_EQ(finish(t[i]), 0);
	}
	return 0;
}

static ATOMIC(int) picked; /* by the worker that starts them, in one batch */
static ATOMIC(int) starter;

static unsigned picks(struct idle *i)
{
	if (gettid() == load_relaxed(&starter))
		add_relaxed(&picked, 1);
	return shared_get(&i->n) - 1u;
}

static void choose(idle_choose *fn)
{
	struct idle *i = &weft__rt->idle;

	lock_take(&i->lock, RANK_IDLE); /* those who choose hold it */
	i->choose = fn;
	lock_drop(&i->lock);
}

static int all_woken_main(void *arg)
{
	int n = (int)weft__rt->n, most = 0;
	void *args[32];
	weft_task *t[32];

	(void)arg;
	for (int i = 0; i < n - 1; i++)
		args[i] = (void *)(intptr_t)(n - 1);
	for (int round = 0; round < 100 && most < n - 1; round++) { /* a sleeper may be woken for something else */
		store_relaxed(&inside, 0);
		store_relaxed(&picked, 0);
		store_relaxed(&starter, gettid());
		until(idle_sleepers(&weft__rt->idle) == weft__rt->n - 1);
		choose(picks);
		T_EQ(weft_go_batch(meets, args, (size_t)n - 1, t, NULL), 0);
		choose(NULL);
		most = load_relaxed(&picked) > most ? load_relaxed(&picked) : most;
		for (int i = 0; i < n - 1; i++)
			T_EQ(finish(t[i]), 0);
	}
	T_EQ(most, n - 1);
	return 0;
}

/* Sleepers are woken in one go, also many. */
TEST(more_sleepers_than_a_few)
{
	T_EQ(run_with(all_woken_main, NULL, (weft_opts){.workers = 24, .steal = WEFT_STEAL_RANDOM}), 0);
}

/* As many as there are workers run at the same time. */
TEST_WORKERS(as_many_as_workers_at_once)
{
	run(meet_main, NULL);
}

static void *from_thread(void *arg)
{
	struct cell cells[50];
	void *args[50];
	weft_task *t[50];

	(void)arg;
	for (int round = 0; round < tap_iters(20); round++) {
		cells_init(cells, args, 50);
		T_EQ(weft_go_batch(runs, args, 50, t, &(weft_task_opts){.prio = (enum weft_prio)(round % 3 - 1)}), 0);
		for (int i = 0; i < 50; i++)
			T_EQ(finish(t[i]), i);
	}
	T_EQ(weft_chan_close(arg), 0);
	return NULL;
}

static int thread_main(void *arg)
{
	weft_chan *c = weft_chan_make(0, 0);
	pthread_t th;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, from_thread, c), 0);
	T_EQ(weft_chan_recv(c, NULL), WEFT_ECLOSED);
	pthread_join(th, NULL);
	weft_chan_free(c);
	return 0;
}

/* From a thread that runs no task, while all workers may be asleep. */
TEST_WORKERS(from_outside)
{
	run(thread_main, NULL);
}
