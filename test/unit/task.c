/* SPDX-License-Identifier: MIT
 *
 * task.c - tasks: started with arguments and options, joined once, named, numbered, yielding fairly, each with its own errno and stack.
 */
#include "rt.h"

#include <errno.h>
#include <stdlib.h>

/* --- go --- */

struct sums {
	weft_wg g;
	ATOMIC(long) sum;
};

static void add_args(struct sums *s, int a, long b, double c, char d, float e)
{
	add_relaxed(&s->sum, a + b + (long)c + d + (long)e);
	weft_wg_done(&s->g);
}

static int go_main(void *arg)
{
	struct sums s = {.sum = 0};
	long n = tap_iters(100000);

	(void)arg;
	weft_wg_add(&s.g, (int)n);
	for (long i = 0; i < n; i++)
		T_EQ(weft_go(add_args, &s, (int)i, 2, 3.0, 1, 0.5f), 0);
	T_EQ(weft_wg_wait(&s.g), 0);
	T_EQ(load_relaxed(&s.sum), n * (n - 1) / 2 + n * 6);
	return 0;
}

/* A hundred thousand tasks with arguments of their own: each runs once. */
TEST_WORKERS(go_with_arguments)
{
	run(go_main, NULL);
}

/* Starting needs a runtime, and says so. */
TEST(no_runtime)
{
	weft_task *t = (weft_task *)&t;
	weft_stat st;

	T_EQ(weft_go(abs, 1), WEFT_ESRCH);
	T_EQ(weft_go_opts(&t, go_main, NULL, NULL), WEFT_ESRCH);
	T_EQ(t, NULL);
	T_EQ(weft_block_on(go_main, NULL, NULL), WEFT_ESRCH);
	T_EQ(weft_stats(&st), WEFT_ESRCH);
	T_EQ(weft_dump(2), WEFT_ESRCH);
	T_EQ(weft_timer_make(1), NULL);
	T_EQ(weft_task_self(), NULL);
	T_EQ(weft_task_id(NULL), 0);
	T_EQ(weft_task_name("x"), WEFT_EINVAL);
	T_EQ(weft_task_park(), WEFT_EINVAL);
	T_EQ(weft_task_stack_left(), 0);
	T_EQ(weft_ctx_check(), 0);
	T_EQ(weft_ctx_enter(weft_ctx_self()), NULL);
	weft_task_yield();
	weft_task_detach(NULL);
	weft_exit(3);
	weft_trim();
	T_EQ(weft_task_sleep(WEFT_US), 0);
	nothing_left();
}

/* --- join, detach, exit --- */

static int returns(void *arg)
{
	return (int)(intptr_t)arg;
}

static NOINLINE int deep_exit(int depth)
{
	volatile char frame[64];

	frame[0] = (char)depth;
	if (depth == 0)
		weft_task_exit(-123456);
	return deep_exit(depth - 1) + frame[0];
}

static int exits(void *arg)
{
	(void)arg;
	T_EQ(deep_exit(50), 0);
	T_FAIL("weft_task_exit returned");
}

static int join_itself(void *arg)
{
	weft_task **t = arg;
	int ret = 5;

	T_EQ(weft_task_join(*t, &ret), WEFT_EDEADLK);
	T_EQ(ret, 5);
	return 0;
}

static int join_main(void *arg)
{
	weft_task *t, *many[100];

	(void)arg;
	T_EQ(finish(start(returns, (void *)INT64_C(-7))), -7);
	T_EQ(finish(start(returns, (void *)(intptr_t)INT32_MAX)), INT32_MAX);
	T_EQ(finish(start(exits, NULL)), -123456);
	T_EQ(weft_task_join(start(returns, NULL), NULL), 0);
	t = start(returns, (void *)5); /* long ended */
	until_state(t, WEFT_TASK_DONE);
	T_EQ(weft_task_cancel(t), WEFT_EALREADY);
	weft_task_unpark(t);
	T_EQ(weft_task_join_until(t, NULL, WEFT_NOW), 0);
	T_EQ(weft_go_opts(&t, join_itself, &t, NULL), 0);
	T_EQ(finish(t), 0);
	for (int i = 0; i < 100; i++)
		many[i] = start(returns, (void *)(intptr_t)i);
	for (int i = 99; i >= 0; i--)
		T_EQ(finish(many[i]), i);
	for (int i = 0; i < 100; i++) {
		t = start(returns, NULL);
		if (i % 2)
			until_state(t, WEFT_TASK_DONE);
		weft_task_detach(t);
	}
	T_EQ(weft_go_opts(&t, NULL, NULL, NULL), WEFT_EINVAL);
	T_EQ(t, NULL);
	T_EQ(weft_go_opts(NULL, returns, NULL, NULL), 0);
	return 0;
}

/* Join gives the result, of return or exit, however long ago it ended; a handle may be dropped at any time. */
TEST_WORKERS(join)
{
	run(join_main, NULL);
}

static int join_race_main(void *arg)
{
	long n = tap_iters(20000);

	(void)arg;
	for (long i = 0; i < n; i++) {
		weft_task *t = start(returns, (void *)i);

		for (long k = 0; k < i % 4; k++)
			weft_task_yield();
		T_EQ(finish(t), (int)i);
	}
	return 0;
}

/* Join against the end of the task, at every distance. */
TEST_WORKERS(join_against_the_end)
{
	run(join_race_main, NULL);
}

static int first_error(void *arg)
{
	(void)arg;
	weft_task_exit(11);
}

/* The main task may end by exit too. */
TEST_WORKERS(exit_of_the_main_task)
{
	T_EQ(run_with(first_error, NULL, (weft_opts){.workers = 0}), 11);
}

/* --- names, ids, states --- */

static int named(void *arg)
{
	(void)arg;
	T_OK(weft_task_id(NULL) == weft_task_id(weft_task_self()));
	T_EQ(weft_task_name("a name of more than thirty-one bytes"), 0);
	T_STR_EQ(weft_task_self()->name, "a name of more than thirty-one ");
	T_EQ(weft_task_name(""), 0);
	T_STR_EQ(weft_task_self()->name, "");
	T_EQ(weft_task_name(NULL), WEFT_EINVAL);
	weft_task_park();
	return 0;
}

static int names_main(void *arg)
{
	char text[] = "text that goes away";
	weft_task *t;

	(void)arg;
	T_EQ(weft_go_opts(&t, named, NULL, &(weft_task_opts){.name = text}), 0);
	memset(text, '!', sizeof text - 1);
	until_parked(t);
	weft_task_unpark(t);
	T_EQ(finish(t), 0);
	return 0;
}

/* Names are copied and cut. */
TEST_WORKERS(names)
{
	run(names_main, NULL);
}

static int id_of(void *arg)
{
	*(uint64_t *)arg = weft_task_id(NULL);
	T_NE(weft_task_id(NULL), 0);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

enum { IDS = 5000 };

static uint64_t ids[3 * IDS];

static int ids_main(void *arg)
{
	uint64_t *at = arg;
	weft_task *t[10];

	for (int i = 0; i < IDS; i += 10) {
		for (int k = 0; k < 10; k++)
			t[k] = start(id_of, &at[i + k]);
		for (int k = 0; k < 10; k++)
			finish(t[k]);
	}
	return 0;
}

/* No id is used twice, not even by another runtime of the process. */
TEST_WORKERS(ids_are_never_reused)
{
	for (int i = 0; i < 3; i++)
		run(ids_main, ids + (size_t)i * IDS);
	qsort(ids, 3 * IDS, sizeof ids[0], by_id);
	for (int i = 1; i < 3 * IDS; i++)
		T_LT(ids[i - 1], ids[i]);
}

static int spins_until(void *arg)
{
	ATOMIC(int) *flag = arg;

	until(load_acquire(flag));
	return 0;
}

static int states_main(void *arg)
{
	ATOMIC(int) flag = 0;
	weft_task *t = start(spins_until, &flag), *p;
	bool alone = weft__rt->n == 1;

	(void)arg;
	T_EQ(weft_task_stateof(weft_task_self()), WEFT_TASK_RUNNING);
	T_STR_EQ(weft_task_reason(weft_task_self()), "");
	if (alone) {
		T_EQ(weft_task_stateof(t), WEFT_TASK_NEW);
		do
			weft_task_yield();
		while (weft_task_stateof(t) == WEFT_TASK_NEW); /* newest first, or of class LOW: not always its turn */
		T_EQ(weft_task_stateof(t), WEFT_TASK_RUNNABLE);
	}
	store_release(&flag, 1);
	until_state(t, WEFT_TASK_DONE);
	T_STR_EQ(weft_task_reason(t), "");
	finish(t);
	p = start(named, NULL);
	until_parked(p);
	T_STR_EQ(weft_task_reason(p), "park");
	weft_task_unpark(p);
	if (alone)
		T_EQ(weft_task_stateof(p), WEFT_TASK_RUNNABLE);
	finish(p);
	return 0;
}

/* The states a task goes through, as others see them. */
TEST_WORKERS(states)
{
	run(states_main, NULL);
}

static int napper(void *arg)
{
	ATOMIC(int) *stop = arg;
	int64_t deadline = weft_in(WEFT_SEC * 100);

	while (!load_acquire(stop))
		weft_task_park_until(
			deadline--); /* ever earlier: its timer is moved between opening the wait and leaving, which takes a moment */
	return 0;
}

static int woken_state_main(void *arg)
{
	int64_t until_ns = weft_in(WEFT_SEC / 2);
	ATOMIC(int) stop = 0;
	weft_task *t = start(napper, &stop);
	long looks = 0;

	(void)arg;
	weft_task_yield();
	while (weft_now() < until_ns) {
		uint64_t word;

		weft_task_unpark(t); /* at any moment, also between its opening the wait and its leaving */
		word = load_acquire(&t->wait);
		for (int i = 0; i < 300 && !wait_is_open(word) && load_acquire(&t->wait) == word; i++)
			cpu_relax();
		/* off its worker, its wait closed: it is in a queue. (On its worker it may be about to open the next wait.) */
		if (!wait_is_open(word) && load_acquire(&t->on_cpu) == 0 && weft_task_stateof(t) == WEFT_TASK_PARKED &&
		    load_acquire(&t->on_cpu) == 0 && load_acquire(&t->wait) == word)
			T_FAIL("a task that was woken is said to be parked");
		if (++looks % 64 == 0)
			weft_task_yield();
	}
	store_release(&stop, 1);
	weft_task_unpark(t);
	finish(t);
	return 0;
}

/* A woken task is not said to be parked, even if it was woken before it had left its worker. */
TEST_WORKERS(a_woken_task_is_not_parked)
{
	run(woken_state_main, NULL);
}

/* --- max_tasks --- */

static int limit_main(void *arg)
{
	int limit = (int)(intptr_t)arg;
	ATOMIC(int) flag = 0;
	weft_task *t[16], *more = NULL;

	for (int round = 0; round < 20; round++) {
		weft_timer *timer = weft_timer_after(3600 * WEFT_SEC, free, NULL); /* it takes a place, and gives it back */

		T_NE(timer, NULL);
		T_EQ(weft_timer_stop(timer), 1);
		weft_timer_free(timer);
		for (int i = 0; i < limit - 1; i++) /* the main task is one */
			T_EQ(weft_go_opts(&t[i], spins_until, &flag, NULL), 0);
		T_EQ(weft_go_opts(&more, spins_until, &flag, NULL), WEFT_EAGAIN);
		T_EQ(more, NULL);
		T_EQ(weft_go(abs, 1), WEFT_EAGAIN);
		T_EQ(weft_timer_after(WEFT_SEC, free, NULL), NULL);
		store_release(&flag, 1);
		for (int i = 0; i < limit - 1; i++)
			finish(t[i]);
		store_release(&flag, 0);
	}
	return 0;
}

/* At max_tasks, by option or environment, go says WEFT_EAGAIN, and works again when one has ended. */
TEST_WORKERS(max_tasks)
{
	T_EQ(run_with(limit_main, (void *)10, (weft_opts){.max_tasks = 10}), 0);
	setenv("WEFT_MAX_TASKS", "7", 1);
	T_EQ(run_with(limit_main, (void *)7, (weft_opts){.workers = 0}), 0);
	T_EQ(run_with(limit_main, (void *)5, (weft_opts){.max_tasks = 5}), 0);
}

/* --- go_opts --- */

static NOINLINE int use_stack(size_t bytes)
{
	size_t at = weft_task_stack_left(), used = 0;
	volatile char *p;

	T_GE(at, bytes - 2048); /* all but some frames and the colour */
	p = __builtin_alloca(bytes - 4096);
	for (used = 0; used < bytes - 4096; used += 512)
		p[bytes - 4096 - 1 - used] = (char)used; /* downwards, as frames go */
	p[0] = 1;
	return p[0];
}

static int uses_stack(void *arg)
{
	return use_stack((size_t)arg);
}

static int stacks_main(void *arg)
{
	static const size_t sizes[] = {16 << 10, 20 << 10, 64 << 10, 100000, 192 << 10, 256 << 10, 1 << 20, 8 << 20, 64 << 20};
	weft_task *t;

	(void)arg;
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			T_EQ(weft_go_opts(&t, uses_stack, (void *)sizes[i], &(weft_task_opts){.stack = sizes[i]}), 0);
			T_EQ(finish(t), 1);
		}
	}
	T_EQ(finish(start(uses_stack, (void *)(192 << 10))), 1);
	return 0;
}

/* A stack of any size can be used as far as it was asked for. */
TEST_WORKERS(stack_sizes)
{
	run(stacks_main, NULL);
}

static int big_default_main(void *arg)
{
	size_t size = (size_t)arg;

	T_EQ(use_stack(size), 1);
	T_EQ(finish(start(uses_stack, arg)), 1);
	return 0;
}

/* The default size is the runtime's to choose, by option or environment. */
TEST_WORKERS(default_stack_size)
{
	T_EQ(run_with(big_default_main, (void *)(1 << 20), (weft_opts){.stack = 1 << 20}), 0);
	T_EQ(run_with(big_default_main, (void *)(16 << 10), (weft_opts){.stack = 16 << 10}), 0);
	setenv("WEFT_STACK", "524288", 1);
	T_EQ(run_with(big_default_main, (void *)(512 << 10), (weft_opts){.stack = 0}), 0);
}

static int where_am_i(void *arg)
{
	(void)arg;
	return (int)weft__worker()->id + 1;
}

static int placement_main(void *arg)
{
	int n = tap_workers();
	weft_task *t;

	(void)arg;
	for (int round = 0; round < 20; round++) {
		for (int i = 1; i <= n; i++) {
			struct worker *w = &weft__rt->workers[i - 1];
			uint32_t tick;
			int at;

			do {
				tick = load_relaxed(&w->tick);
				T_EQ(weft_go_opts(&t, where_am_i, NULL, &(weft_task_opts){.worker = i, .now = true}), 0);
				at = finish(t);
			} while (at != i && (int32_t)(load_relaxed(&w->stuck_tick) - tick) >= 0); /* it was found stuck on a task: again */
			T_EQ(at, i);
		}
	}
	return 0;
}

/* A task asked to start on a worker starts there, unless that is stuck: it may be off its core while it stands on main, or on the task before. */
TEST_WORKERS(placement)
{
	run(placement_main, NULL);
}

static int sets(void *arg)
{
	*(int *)arg = 1;
	return 0;
}

static int parks_and_sets(void *arg)
{
	weft_task_yield();
	return sets(arg);
}

static int now_main(void *arg)
{
	weft_task *t, *queued;
	int late = 0;

	(void)arg;
	for (int i = 0; i < 200; i++) {
		int ran = 0;

		T_EQ(weft_go_opts(&t, sets, &ran, &(weft_task_opts){.now = true}), 0);
		if (weft__rt->n == 1)
			T_EQ(ran, 1);
		else
			T_NE(weft_task_stateof(t), WEFT_TASK_NEW); /* the caller may have been taken over to another worker meanwhile */
		finish(t);
		T_EQ(ran, 1);
		ran = 0;
		queued = start(sets, &late);
		T_EQ(weft_go_opts(&t, parks_and_sets, &ran, &(weft_task_opts){.now = true, .stack = 32 << 10}), 0);
		if (weft__rt->n == 1)
			T_EQ(ran + late, 0);
		finish(t);
		T_EQ(ran, 1);
		finish(queued);
		late = 0;
	}
	return 0;
}

/* A task started with .now has begun to run when go_opts returns; with one worker, it has run as far as its first wait, and those queued before have not. */
TEST_WORKERS(run_at_once)
{
	unsetenv("WEFT_ORDER");
	unsetenv("WEFT_PRIO");
	run(now_main, NULL);
}

static int bad_main(void *arg)
{
	static const weft_task_opts bad[] = {
		{.stack = 1},          {.stack = STACK_MIN - 1}, {.stack = (size_t)STACK_MAX + 1},
		{.stack = SIZE_MAX},   {.worker = -1},           {.worker = 9},
		{.worker = INT32_MAX}, {.worker = INT32_MIN},
	};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		weft_task *t = (weft_task *)&t;

		T_EQ(weft_go_opts(&t, returns, NULL, &bad[i]), WEFT_EINVAL);
		T_EQ(t, NULL);
	}
	return 0;
}

/* Options that make no sense are refused. */
TEST_WORKERS(bad_options)
{
	run(bad_main, NULL);
}

/* --- errno --- */

static NOINLINE int errno_now(void)
{
	__asm__ volatile("" ::: "memory");
	return errno;
}

static NOINLINE void errno_set(int e)
{
	__asm__ volatile("" ::: "memory");
	errno = e;
}

static int errno_task(void *arg)
{
	int mine = (int)(intptr_t)arg;
	weft_chan *c = weft_chan_make(1, 1);

	T_EQ(errno_now(), 0);
	for (int i = 0; i < 300; i++) {
		errno_set(mine);
		switch (i % 5) {
		case 0:
			weft_task_yield();
			break;
		case 1:
			weft_task_sleep(20 * WEFT_US);
			break;
		case 2:
			weft_chan_recv_until(c, NULL, weft_in(10 * WEFT_US));
			break;
		case 3:
			finish(start(returns, (void *)3));
			break;
		default:
			weft_task_park_until(weft_in(5 * WEFT_US));
		}
		T_EQ(errno_now(), mine);
	}
	weft_chan_free(c);
	return 0;
}

static int errno_main(void *arg)
{
	weft_task *t[40];

	(void)arg;
	for (int i = 0; i < 40; i++)
		t[i] = start(errno_task, (void *)(intptr_t)(i + 1));
	for (int i = 0; i < 40; i++)
		finish(t[i]);
	return 0;
}

/* Each task has its own errno, 0 at its start, kept across every switch and every change of worker. */
TEST_WORKERS(errno_is_the_tasks_own)
{
	run(errno_main, NULL);
}

/* --- yield --- */

struct fair {
	ATOMIC(int) stop, ran;
	weft_chan *a, *b;
};

static int yielder(void *arg)
{
	struct fair *f = arg;

	while (!load_acquire(&f->stop))
		weft_task_yield();
	return 0;
}

static int runs_once(void *arg)
{
	struct fair *f = arg;

	add_relaxed(&f->ran, 1);
	return 0;
}

static void *injects(void *arg)
{
	weft_task *t;

	for (int i = 0; i < 50; i++) {
		T_EQ(weft_go_opts(&t, runs_once, arg, NULL), 0);
		T_EQ(weft_task_join(t, NULL), 0);
	}
	return NULL;
}

static int yield_main(void *arg)
{
	struct fair f = {.stop = 0};
	weft_task *y[16];
	pthread_t th;

	(void)arg;
	for (int i = 0; i < 16; i++) /* more than there are workers, so that all are kept busy */
		y[i] = start(yielder, &f);
	T_EQ(pthread_create(&th, NULL, injects, &f), 0);
	for (int i = 0; i < 50; i++) {
		finish(start(runs_once, &f));           /* local */
		T_EQ(weft_task_sleep(50 * WEFT_US), 0); /* timers */
	}
	until(load_relaxed(&f.ran) == 100); /* injected */
	store_release(&f.stop, 1);
	for (int i = 0; i < 16; i++)
		finish(y[i]);
	pthread_join(th, NULL);
	return 0;
}

/* A loop of yields starves neither local nor injected tasks nor timers. */
TEST_WORKERS(yield_starves_nobody)
{
	run(yield_main, NULL);
}

#define CROWD 64

struct crowd {
	weft_chan *gate;
	ATOMIC(bool) begun, over;
	ATOMIC(int) at[CROWD]; /* on which worker each was seen last; 0: on none yet */
};

/* Keeps the other worker from looking for work. */
static int occupies(void *arg)
{
	struct crowd *c = arg;

	store_release(&c->begun, true);
	while (!load_acquire(&c->over))
		weft_task_yield();
	return 0;
}

struct of_crowd {
	struct crowd *c;
	int i;
};

static int is_of_crowd(void *arg)
{
	struct of_crowd *m = arg;

	(void)weft_chan_recv(m->c->gate, NULL);
	while (!load_acquire(&m->c->over)) {
		store_relaxed(&m->c->at[m->i], weft_task_worker());
		weft_task_yield();
	}
	return 0;
}

static int crowd_on(struct crowd *c, int worker)
{
	int n = 0;

	for (int i = 0; i < CROWD; i++)
		n += load_relaxed(&c->at[i]) == worker;
	return n;
}

static int crowd_main(void *arg)
{
	struct of_crowd m[CROWD];
	weft_task *t[CROWD], *other;
	struct crowd c = {.gate = weft_chan_make(0, 0)};

	(void)arg;
	store_relaxed(&c.begun, false);
	store_relaxed(&c.over, false);
	other = start(occupies, &c);
	while (!load_acquire(&c.begun)) /* on the other worker: this one does not give way */
		sched_yield();
	for (int i = 0; i < CROWD; i++) {
		store_relaxed(&c.at[i], 0);
		m[i] = (struct of_crowd){&c, i};
		t[i] = start(is_of_crowd, &m[i]);
		until_parked(t[i]);
	}
	weft_chan_close(c.gate); /* all come where we are */
	until(crowd_on(&c, 1) >= CROWD / 4 && crowd_on(&c, 2) >= CROWD / 4);
	store_release(&c.over, true);
	T_EQ(finish(other), 0);
	for (int i = 0; i < CROWD; i++)
		T_EQ(finish(t[i]), 0);
	weft_chan_free(c.gate);
	return 0;
}

/* Tasks that only yield do not all stay where they are when the other worker, with one such task, does not look for work. */
TEST(yielding_tasks_spread)
{
	unsetenv("WEFT_PRIO"); /* it is about NORMAL ones; newest first, and where rings are tiny, they come by everybody's queue */
	unsetenv("WEFT_ORDER");
	T_EQ(run_with(crowd_main, NULL, (weft_opts){.workers = 2}), 0);
}

/* --- calls that never have to wait --- */

static int never_full(void *arg)
{
	struct fair *f = arg;
	weft_chan *c = weft_chan_make(1, 1);

	while (!load_acquire(&f->stop)) {
		T_EQ(weft_chan_send(c, "x"), 0);
		T_EQ(weft_chan_recv(c, NULL), 0);
	}
	weft_chan_free(c);
	return 0;
}

static int never_empty(void *arg)
{
	struct fair *f = arg;
	weft_chan *c = weft_chan_make(1, 1);

	while (!load_acquire(&f->stop)) {
		weft_case cases[] = {WEFT_SEND(c, "x"), WEFT_RECV(c, NULL)};

		T_GE(weft_chan_select(cases, 2), 0);
	}
	weft_chan_free(c);
	return 0;
}

static int never_contended(void *arg)
{
	struct fair *f = arg;
	weft_mutex m = {0};

	while (!load_acquire(&f->stop)) {
		T_EQ(weft_mutex_lock(&m), 0);
		weft_mutex_unlock(&m);
	}
	return 0;
}

static int never_waits_main(void *arg)
{
	static weft_task_fn *const kinds[] = {never_full, never_empty, never_contended};

	(void)arg;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct fair f = {.stop = 0};
		weft_task *t[16];
		pthread_t th;

		for (int i = 0; i < 16; i++)
			t[i] = start(kinds[k], &f);
		T_EQ(pthread_create(&th, NULL, injects, &f), 0);
		finish(start(runs_once, &f));           /* local */
		T_EQ(weft_task_sleep(50 * WEFT_US), 0); /* a timer */
		until(load_relaxed(&f.ran) >= 3);       /* injected */
		store_release(&f.stop, 1);
		for (int i = 0; i < 16; i++)
			finish(t[i]);
		until(load_relaxed(&f.ran) == 51);
		pthread_join(th, NULL);
	}
	return 0;
}

/* Loops of calls that might block, and never have to, let others run. */
TEST_WORKERS(who_never_waits_starves_nobody)
{
	run(never_waits_main, NULL);
}

/* --- pairs --- */

static int ping(void *arg)
{
	struct fair *f = arg;

	while (weft_chan_recv(f->a, NULL) == 0 && weft_chan_send(f->b, "x") == 0)
		;
	return 0;
}

static int pong(void *arg)
{
	struct fair *f = arg;

	while (!load_acquire(&f->stop)) {
		if (weft_chan_send(f->a, "x") || weft_chan_recv(f->b, NULL))
			break;
	}
	weft_chan_close(f->a);
	return 0;
}

static int slot_main(void *arg)
{
	struct fair f = {.a = weft_chan_make(1, 0), .b = weft_chan_make(1, 0)};
	weft_task *t[20], *u[20];
	int pairs = 2 * tap_workers();
	pthread_t th;

	(void)arg;
	for (int i = 0; i < pairs; i++) {
		t[i] = start(ping, &f);
		u[i] = start(pong, &f);
	}
	T_EQ(pthread_create(&th, NULL, injects, &f), 0);
	for (int i = 0; i < 50; i++) {
		finish(start(runs_once, &f));
		weft_task_yield();
		T_EQ(weft_task_sleep(20 * WEFT_US), 0);
	}
	until(load_relaxed(&f.ran) == 100);
	store_release(&f.stop, 1);
	for (int i = 0; i < pairs; i++) {
		finish(u[i]);
	}
	weft_chan_close(f.b);
	for (int i = 0; i < pairs; i++)
		finish(t[i]);
	pthread_join(th, NULL);
	weft_chan_free(f.a);
	weft_chan_free(f.b);
	return 0;
}

/* Pairs that wake each other through the slot starve nobody. */
TEST_WORKERS(ping_pong_starves_nobody)
{
	run(slot_main, NULL);
}

static int places(void *arg)
{
	struct fair *f = arg;

	while (!load_acquire(&f->stop)) {
		for (int i = 1; i <= tap_workers(); i++)
			T_EQ(weft_go_opts(NULL, runs_once, f, &(weft_task_opts){.worker = i}), 0);
		for (int i = 0; i < 61; i++)
			weft_task_yield();
	}
	return 0;
}

static void *injects_and_says(void *arg)
{
	struct fair *f = arg;
	weft_task *t;

	for (int i = 0; i < 50; i++) {
		T_EQ(weft_go_opts(&t, returns, NULL, NULL), 0);
		T_EQ(weft_task_join(t, NULL), 0);
	}
	store_release(&f->stop, 1);
	return NULL;
}

static int inbox_fair_main(void *arg)
{
	static struct fair f; /* tasks placed last may run while this one returns */
	weft_task *t[16];
	pthread_t th;

	(void)arg;
	for (int i = 0; i < 2 * tap_workers(); i++)
		t[i] = start(places, &f);
	T_EQ(pthread_create(&th, NULL, injects_and_says, &f), 0);
	for (int i = 0; i < 2 * tap_workers(); i++)
		finish(t[i]);
	pthread_join(th, NULL);
	return 0;
}

static int joins_twice(void *arg)
{
	weft_task *t = start(returns, arg);

	finish(t);
	return weft_task_join(t, NULL);
}

/* A handle that was given back is not waited upon for ever. (One worker: elsewhere the record may be in use for a moment yet, and that is not noticed.) */
TEST_DIES(join_twice, "weft_task_join: the handle")
{
	run_with(joins_twice, NULL, (weft_opts){.workers = 1});
}

static int detaches_twice(void *arg)
{
	weft_task *t = start(returns, arg);

	finish(t);
	weft_task_detach(t);
	return 0;
}

TEST_DIES(detach_after_join, "weft_task_detach: the handle")
{
	run_with(detaches_twice, NULL, (weft_opts){.workers = 1});
}

NOINLINE static int touches(volatile char *at)
{
	*at = 1;
	return 0;
}

static int faults(void *arg)
{
	return touches(arg);
}

static int starts_a_fault(void *arg)
{
	T_EQ(weft_go_opts(NULL, faults, arg, &(weft_task_opts){.name = "parser"}), 0);
	return weft_task_sleep(WEFT_FOREVER);
}

TEST_DIES(fault_is_told, "weft: segmentation fault (signal 11) in task 2 \"parser\"")
{
	if (weft__san)
		tap_skip("its handler stands before the system's");
	run_with(starts_a_fault, (void *)16, (weft_opts){.workers = 1});
}

TEST_DIES(fault_tells_where, "touches")
{
	if (weft__san)
		tap_skip("its handler stands before the system's");
	run_with(starts_a_fault, (void *)16, (weft_opts){.workers = 1});
}

static int without_a_handle(void *arg)
{
	(void)arg;
	weft_task_detach(weft_task_self());
	return 0;
}

static int starts_without_a_handle(void *arg)
{
	T_EQ(weft_go_opts(NULL, without_a_handle, arg, NULL), 0);
	return weft_task_sleep(WEFT_FOREVER);
}

TEST_DIES(detach_without_a_handle, "weft_task_detach: task 2 has no handle")
{
	run_with(starts_without_a_handle, NULL, (weft_opts){.workers = 1});
}

struct quiet {
	weft_chan *a, *b;
	ATOMIC(int) answered;
};

static int answers_flag(void *arg)
{
	struct quiet *q = arg;
	char x = 0;

	while (weft_chan_recv(q->a, &x) == 0) {
		if (x == '!')
			store_release(&q->answered, 1);
		else
			T_EQ(weft_chan_send(q->b, &x), 0);
	}
	return 0;
}

static int quiet_main(void *arg)
{
	struct quiet q = {.a = weft_chan_make(1, 0), .b = weft_chan_make(1, 0)};
	weft_task *t = start(answers_flag, &q);
	long n = tap_iters(30);

	(void)arg;
	until_parked(t);
	for (long i = 0; i < n; i++) {
		char x = '?';

		for (int k = 0; k < 20000; k++) { /* so long that their worker is left in peace */
			T_EQ(weft_chan_send(q.a, &x), 0);
			T_EQ(weft_chan_recv(q.b, &x), 0);
		}
		store_relaxed(&q.answered, 0);
		T_EQ(weft_chan_send(q.a, "!"), 0); /* woken into the slot of a worker that does not move from here on */
		while (!load_acquire(&q.answered))
			cpu_relax();
	}
	weft_chan_close(q.a);
	finish(t);
	weft_chan_free(q.a);
	weft_chan_free(q.b);
	return 0;
}

/* Two that wake each other are left in peace; when one of them stops moving, the other is helped. */
TEST_WORKERS(quiet_slot_is_helped)
{
	if (tap_workers() == 1)
		tap_skip("needs another worker");
	run(quiet_main, NULL);
}

/* As a watcher says it of the caller's worker: left in peace for so many schedules. */
static struct worker *in_peace(uint32_t schedules)
{
	struct worker *w = weft__worker();

	store_relaxed(&w->quiet_until, load_relaxed(&w->tick) + schedules);
	return w;
}

static int two_kept_main(void *arg)
{
	struct quiet q = {.a = weft_chan_make(1, 0)};
	weft_task *t = start(answers_flag, &q), *fresh;
	struct idle *i = &weft__rt->idle;
	uint32_t others = (uint32_t)tap_workers() - 1;

	(void)arg;
	until_parked(t);
	do {
		in_peace(100);
		weft_task_yield(); /* which wakes nobody now */
	} while (idle_sleepers(i) != others);
	in_peace(100);
	T_EQ(weft_go_opts(&fresh, returns, NULL, NULL), 0); /* alone in the ring: nobody else's business */
	T_EQ(weft_chan_send(q.a, "!"), 0);                  /* one more, in the slot */
	T_OK(idle_sleepers(i) < others || load_acquire(&q.answered) || weft_task_stateof(fresh) == WEFT_TASK_DONE);
	weft_chan_close(q.a);
	finish(t);
	finish(fresh);
	weft_chan_free(q.a);
	return 0;
}

/* One that is left in peace wakes another for a second task, whichever comes first, that in the ring or that in the slot. */
TEST_WORKERS(two_are_work_to_share)
{
	if (tap_workers() == 1)
		tap_skip("needs another worker");
	run(two_kept_main, NULL);
}

static int slow_main(void *arg)
{
	struct worker *w = in_peace(QUIET_MAX / 2);
	uint32_t until = load_relaxed(&w->quiet_until);

	(void)arg;
	while (load_relaxed(&w->quiet_until) == until) { /* else the test runs out of time */
		int64_t then = weft_now() + WEFT_MS;

		while (weft_now() < then)
			cpu_relax();
		weft_task_yield();
		if (weft__worker() != w) { /* a searcher that was still about has taken it */
			w = in_peace(QUIET_MAX / 2);
			until = load_relaxed(&w->quiet_until);
		}
	}
	return 0;
}

/* Peace is for those who come to a schedule soon: it ends, though it was granted for many schedules, when each takes a millisecond. */
TEST_WORKERS(slow_worker_is_not_left_in_peace)
{
	run(slow_main, NULL);
}

static int lone_main(void *arg)
{
	uint64_t n = 20000;
	weft_stat before, after;

	(void)arg;
	while (idle_sleepers(&weft__rt->idle) + 1 != (uint32_t)tap_workers())
		weft_task_yield();
	T_EQ(weft_stats(&before), 0);
	for (uint64_t i = 0; i < n; i++)
		weft_task_yield();
	T_EQ(weft_stats(&after), 0);
	T_GE(after.switches, before.switches + n);
	T_LT(after.sleeps - before.sleeps, n / 100); /* who sleeps again was woken */
	T_LT(after.steals - before.steals, n / 100);
	return 0;
}

/* A task that yields while there is no other goes on, and wakes nobody. */
TEST_WORKERS(lone_yield_wakes_nobody)
{
	run(lone_main, NULL);
}

/* Tasks that are placed on workers without end do not starve those that come from other threads. */
TEST_WORKERS(placed_tasks_starve_nobody)
{
	run(inbox_fair_main, NULL);
}
