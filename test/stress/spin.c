/* SPDX-License-Identifier: MIT
 *
 * spin.c - a task that spins on one of two workers delays no timer and no other task.
 *
 * While it spins on a flag, ten thousand timers fire and ten thousand tasks run before the last of them clears the flag.  Whoever is forgotten
 * in a place that only the spinner's worker looks at (slot, ring, inbox, wheel, its loop) makes the test hang.  No spare worker helps.
 */
#include "rt.h"

#include <pthread.h>

enum { MANY = 10000 };

struct spin {
	ATOMIC(int) flag, spinning, busy_stop;
	ATOMIC(long) tasks, timers;
	long want_tasks, want_timers;
	ATOMIC(unsigned) worker; /* the spinner's, from 1 */
	weft_chan *c;
	weft_task *woken;
};

static void look(struct spin *s)
{
	if (load_relaxed(&s->tasks) >= s->want_tasks && load_relaxed(&s->timers) >= s->want_timers)
		store_release(&s->flag, 1);
}

static void a_task(struct spin *s)
{
	add_acq_rel(&s->tasks, 1);
	look(s);
}

static void a_timer(void *arg)
{
	struct spin *s = arg;

	add_acq_rel(&s->timers, 1);
	look(s);
}

static int sleeps(void *arg)
{
	T_EQ(weft_task_sleep(WEFT_MS), 0);
	a_timer(arg);
	return 0;
}

static int counts(void *arg)
{
	a_task(arg);
	return 0;
}

static int receives(void *arg)
{
	struct spin *s = arg;

	T_EQ(weft_chan_recv(s->c, NULL), 0);
	a_task(s);
	return 0;
}

/* Spins without a look at anything of weft's. */
static NOINLINE void spin_on(ATOMIC(int) *flag)
{
	while (!load_acquire(flag))
		cpu_relax();
}

/* Fills every place of its own worker, then spins. */
static int spinner(void *arg)
{
	struct spin *s = arg;
	weft_timer *t[50];
	int me = (int)weft__worker()->id + 1;

	store_relaxed(&s->worker, (unsigned)me);
	for (int i = 0; i < 50; i++)
		t[i] = weft_timer_after(WEFT_MS + i * 20 * WEFT_US, a_timer, s); /* its wheel */
	for (int i = 0; i < 1000; i++)
		T_EQ(weft_go(a_task, s), 0); /* its ring, and over its edge */
	for (int i = 0; i < 20; i++)
		T_EQ(weft_go_opts(NULL, counts, s, &(weft_task_opts){.worker = me}), 0); /* its inbox */
	T_EQ(weft_chan_trysend(s->c, "x"), 0);                                           /* its slot */
	store_release(&s->spinning, 1);
	spin_on(&s->flag);
	for (int i = 0; i < 50; i++)
		weft_timer_free(t[i]);
	return 0;
}

static void *outsider(void *arg)
{
	struct spin *s = arg;

	while (!load_acquire(&s->spinning))
		sched_yield();
	for (int i = 0; i < 1000; i++)
		T_EQ(weft_go(a_task, s), 0);
	return NULL;
}

static int busy(void *arg)
{
	struct spin *s = arg;

	while (!load_acquire(&s->busy_stop))
		weft_task_yield();
	return 0;
}

static int main_task(void *arg)
{
	static struct spin s;
	bool others_busy = arg != NULL;
	weft_task *sp, *rc, *b = NULL;
	weft_timer *t[100];
	pthread_t th;
	long tasks = MANY, timers = MANY;

	memset(&s, 0, sizeof s);
	s.want_tasks = tasks + 1000 + 20 + 1 + 1000;
	s.want_timers = timers + 50 + 100;
	s.c = weft_chan_make(1, 0);
	T_EQ(pthread_create(&th, NULL, outsider, &s), 0);
	rc = start(receives, &s);
	until_parked(rc);
	if (others_busy) /* never out of work: does not go and search */
		b = start(busy, &s);
	for (int i = 0; i < MANY / 2; i++) /* timers set before, by another */
		T_EQ(weft_go_opts(NULL, sleeps, &s, NULL), 0);
	sp = start(spinner, &s);
	until(load_acquire(&s.spinning));
	for (int i = 0; i < 100; i++)
		t[i] = i % 2 ? weft_timer_after(i * 50 * WEFT_US, a_timer, &s) : weft_timer_after(0, a_timer, &s);
	for (int i = 0; i < MANY / 2; i++)
		T_EQ(weft_go_opts(NULL, sleeps, &s, NULL), 0);
	for (int i = 0; i < MANY - 500; i++)
		T_EQ(weft_go(a_task, &s), 0);
	for (int i = 0; i < 500; i++)
		T_EQ(weft_go_opts(NULL, counts, &s, &(weft_task_opts){.worker = 1 + i % (int)weft__rt->n}), 0);
	T_EQ(finish(sp), 0);
	T_EQ(load_relaxed(&s.tasks), s.want_tasks);
	T_EQ(load_relaxed(&s.timers), s.want_timers);
	T_EQ(finish(rc), 0);
	store_release(&s.busy_stop, 1);
	if (b)
		finish(b);
	pthread_join(th, NULL);
	for (int i = 0; i < 100; i++)
		weft_timer_free(t[i]);
	weft_chan_free(s.c);
	return 0;
}

/* One of two workers spins; the other looks after everything. */
TEST(one_of_two_spins)
{
	tap_limit(60);
	T_EQ(run_with(main_task, NULL, (weft_opts){.workers = 2, .spares = -1}), 0);
}

/* One of eight. */
TEST(one_of_eight_spins)
{
	tap_limit(60);
	T_EQ(run_with(main_task, NULL, (weft_opts){.workers = 8, .spares = -1}), 0);
}

/* The other worker is never out of work of its own, and still looks after what the spinner keeps. */
TEST(the_other_is_busy)
{
	tap_limit(60);
	T_EQ(run_with(main_task, (void *)1, (weft_opts){.workers = 2, .spares = -1}), 0);
}

static int spin_all(void *arg)
{
	struct spin *s = arg;

	add_relaxed(&s->spinning, 1);
	spin_on(&s->flag);
	return 0;
}

static int seven_main(void *arg)
{
	static struct spin s;
	weft_task *t[7];

	(void)arg;
	memset(&s, 0, sizeof s);
	s.want_tasks = 1000;
	s.want_timers = 1000;
	for (int i = 0; i < 7; i++)
		t[i] = start(spin_all, &s);
	until(load_relaxed(&s.spinning) == 7);
	for (int i = 0; i < 1000; i++) {
		T_EQ(weft_go_opts(NULL, counts, &s, &(weft_task_opts){.worker = 1 + i % 8}), 0);
		T_EQ(weft_go_opts(NULL, sleeps, &s, NULL), 0);
	}
	for (int i = 0; i < 7; i++)
		T_EQ(finish(t[i]), 0);
	until(load_relaxed(&s.tasks) == 1000 && load_relaxed(&s.timers) == 1000);
	return 0;
}

/* Seven of eight spin; tasks placed on any of them run nevertheless. */
TEST(seven_of_eight_spin)
{
	tap_limit(120);
	T_EQ(run_with(seven_main, NULL, (weft_opts){.workers = 8, .spares = -1}), 0);
}
