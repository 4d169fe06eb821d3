/* SPDX-License-Identifier: MIT
 *
 * pin.c - pinned tasks stay on their worker and its thread, however they wait and whoever wakes them, and neither starve nor are starved.
 */
#include "rt.h"

#include "weft/defer.h"
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

struct place {
	pid_t tid;
	int worker;
};

static struct place here(void)
{
	struct place p = {gettid(), weft_task_worker()};

	T_GE(p.worker, 1);
	T_LE(p.worker, tap_workers());
	return p;
}

#define STILL(p)                                      \
	do {                                          \
		T_EQ(gettid(), (p).tid);              \
		T_EQ(weft_task_worker(), (p).worker); \
	} while (0)

/* --- in the thick of it --- */

struct world {
	weft_chan *in, *out;
	weft_mutex m;
	ATOMIC(bool) over;
};

static int is_fresh(void *arg)
{
	*(int *)arg = weft_task_worker();
	return 0;
}

static int pinned(void *arg)
{
	struct world *w = arg;

	for (long i = 0; i < tap_iters(60); i++) {
		struct place p;
		int v = 1, fresh = 0;

		weft_task_pin();
		p = here();
		weft_task_yield();
		STILL(p);
		T_EQ(weft_task_sleep(i % 7 * 10 * WEFT_US), 0);
		STILL(p);
		T_EQ(weft_chan_send(w->in, &v), 0); /* to a thread, which answers */
		STILL(p);
		T_EQ(weft_chan_recv(w->out, &v), 0);
		STILL(p);
		T_EQ(weft_mutex_lock(&w->m), 0);
		weft_task_pin(); /* they nest */
		weft_task_yield();
		weft_mutex_unlock(&w->m);
		weft_task_unpin();
		STILL(p);
		T_EQ(weft_go_opts(NULL, is_fresh, &fresh, &(weft_task_opts){.now = true}), 0);
		weft_task_yield();
		STILL(p);
		T_EQ(finish(start(is_fresh, &fresh)), 0);
		STILL(p);
		weft_task_unpin();
		weft_task_yield(); /* and now anywhere */
	}
	return 0;
}

static int noise(void *arg)
{
	struct world *w = arg;

	while (!load_acquire(&w->over)) {
		for (volatile int i = 0; i < 300; i = i + 1)
			;
		weft_task_yield();
	}
	return 0;
}

static void *answers(void *arg)
{
	struct world *w = arg;
	int v;

	while (weft_chan_recv(w->in, &v) == 0)
		T_EQ(weft_chan_send(w->out, &v), 0);
	return NULL;
}

static int thick_main(void *arg)
{
	enum { N = 12, NOISE = 20 };
	struct world w = {.in = weft_chan_make(sizeof(int), 2), .out = weft_chan_make(sizeof(int), 0)};
	weft_task *t[N], *noises[NOISE];
	pthread_t threads[2];

	(void)arg;
	for (int i = 0; i < 2; i++)
		T_EQ(pthread_create(&threads[i], NULL, answers, &w), 0);
	for (int i = 0; i < NOISE; i++)
		noises[i] = start(noise, &w);
	for (int i = 0; i < N; i++)
		t[i] = start(pinned, &w);
	for (int i = 0; i < N; i++)
		T_EQ(finish(t[i]), 0);
	store_release(&w.over, true);
	for (int i = 0; i < NOISE; i++)
		T_EQ(finish(noises[i]), 0);
	T_EQ(weft_chan_close(w.in), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	weft_chan_free(w.in);
	weft_chan_free(w.out);
	return 0;
}

TEST_WORKERS(stays_where_it_is)
{
	tap_limit(120);
	run(thick_main, NULL);
}

/* --- it waits for its worker --- */

struct stuck {
	struct place p;
	weft_task *t;
	ATOMIC(int) pinned, spinning, stop, woken, others;
};

static int waits_at_home(void *arg)
{
	struct stuck *s = arg;

	weft_task_pin();
	s->p = here();
	store_release(&s->pinned, 1);
	T_EQ(weft_task_park(), 0);
	STILL(s->p);
	T_EQ(load_acquire(&s->stop), 1);
	store_release(&s->woken, 1);
	return 0;
}

static int spins(void *arg)
{
	struct stuck *s = arg;

	weft_task_pin();
	if (weft_task_worker() != s->p.worker)
		return 1; /* it has been taken: not here, where main is */
	store_release(&s->spinning, 1);
	while (!load_acquire(&s->stop))
		cpu_relax();
	return 0;
}

static int counts(void *arg)
{
	add_relaxed(&((struct stuck *)arg)->others, 1);
	return 0;
}

static int stuck_main(void *arg)
{
	struct stuck s = {.pinned = 0};
	weft_task *spinner;
	int elsewhere;

	(void)arg;
	weft_task_pin(); /* this one is elsewhere */
	elsewhere = weft_task_worker() % tap_workers() + 1;
	T_EQ(weft_go_opts(&s.t, waits_at_home, &s, &(weft_task_opts){.worker = elsewhere}), 0);
	until_parked(s.t);
	if (s.p.worker == weft_task_worker()) { /* it has been taken before it could pin itself */
		store_release(&s.stop, 1);
		weft_task_unpark(s.t);
		T_EQ(finish(s.t), 0);
		return 1;
	}
	for (;;) {
		T_EQ(weft_go_opts(&spinner, spins, &s, &(weft_task_opts){.worker = s.p.worker}), 0);
		until(load_acquire(&s.spinning) || weft_task_stateof(spinner) == WEFT_TASK_DONE);
		if (load_acquire(&s.spinning))
			break;
		T_EQ(finish(spinner), 1);
	}
	weft_task_unpark(s.t);
	for (int i = 0; i < 20; i++) /* what is not pinned is taken from that worker meanwhile */
		T_EQ(weft_go_opts(NULL, counts, &s, &(weft_task_opts){.worker = s.p.worker}), 0);
	until(load_relaxed(&s.others) == 20);
	T_EQ(load_acquire(&s.woken), 0);
	store_release(&s.stop, 1);
	T_EQ(finish(s.t), 0);
	T_EQ(finish(spinner), 0);
	T_EQ(load_acquire(&s.woken), 1);
	return 0;
}

TEST(waits_for_a_busy_worker)
{
	while (run_with(stuck_main, NULL, (weft_opts){.workers = 0}))
		;
}

/* --- nobody starves --- */

struct share {
	ATOMIC(long) pinned, free;
	ATOMIC(bool) over;
	weft_chan *c, *d;
};

static int pinned_yields(void *arg)
{
	struct share *s = arg;

	weft_task_pin();
	while (!load_relaxed(&s->over)) {
		add_relaxed(&s->pinned, 1L);
		weft_task_yield();
	}
	return 0;
}

static int free_yields(void *arg)
{
	struct share *s = arg;

	while (!load_relaxed(&s->over)) {
		add_relaxed(&s->free, 1L);
		weft_task_yield();
	}
	return 0;
}

static int pings(void *arg)
{
	struct share *s = arg;
	int v;

	weft_task_pin();
	while (weft_chan_recv(s->c, &v) == 0) {
		add_relaxed(&s->pinned, 1L);
		if (weft_chan_send(s->d, &v) != 0)
			break;
	}
	return 0;
}

static int pongs(void *arg)
{
	struct share *s = arg;
	int v = 0;

	weft_task_pin();
	while (!load_relaxed(&s->over)) {
		T_EQ(weft_chan_send(s->c, &v), 0);
		T_EQ(weft_chan_recv(s->d, &v), 0);
	}
	T_EQ(weft_chan_close(s->c), 0);
	return 0;
}

static int share_main(void *arg)
{
	struct share s = {.c = weft_chan_make(sizeof(int), 0), .d = weft_chan_make(sizeof(int), 0)};
	weft_task_fn *fns[] = {pinned_yields, pinned_yields, free_yields, free_yields, free_yields, pings, pongs};
	weft_task *t[ARRAY_LEN(fns)];
	long pinned, free;

	(void)arg;
	for (unsigned i = 0; i < ARRAY_LEN(fns); i++) /* on one worker, as far as they can be kept there */
		T_EQ(weft_go_opts(&t[i], fns[i], &s, &(weft_task_opts){.worker = 1}), 0);
	for (int i = 0; i < 20; i++) {
		pinned = load_relaxed(&s.pinned);
		free = load_relaxed(&s.free);
		until(load_relaxed(&s.pinned) > pinned + 50 && load_relaxed(&s.free) > free + 50);
	}
	store_relaxed(&s.over, true);
	for (unsigned i = 0; i < ARRAY_LEN(fns); i++)
		T_EQ(finish(t[i]), 0);
	weft_chan_free(s.c);
	weft_chan_free(s.d);
	return 0;
}

TEST_WORKERS(nobody_starves)
{
	run(share_main, NULL);
}

/* --- others come --- */

enum { COMING = 10 };

struct coming {
	ATOMIC(bool) over;
	ATOMIC(long) rounds[COMING];
	ATOMIC(long) free;
	ATOMIC(int) woken, free_woken;
	int next;
};

static int stays_on_first(void *arg)
{
	struct coming *c = arg;
	ATOMIC(long) *mine = &c->rounds[c->next++]; /* one worker */

	weft_task_pin();
	while (!load_relaxed(&c->over)) {
		weft_task_yield();
		T_EQ(weft_task_worker(), 1);
		T_EQ(weft_task_sleep(1), 0);
		T_EQ(weft_task_worker(), 1);
		add_relaxed(mine, 1L);
	}
	return 0;
}

static int goes_about(void *arg)
{
	struct coming *c = arg;

	while (!load_relaxed(&c->over)) {
		add_relaxed(&c->free, 1L);
		weft_task_yield();
	}
	return 0;
}

static void all_move(struct coming *c)
{
	for (int i = 0; i < COMING; i++) {
		long then = load_relaxed(&c->rounds[i]);

		until(load_relaxed(&c->rounds[i]) > then + 3);
	}
}

static int come_main(void *arg)
{
	struct coming c = {.next = 0};
	weft_task *pinned[COMING], *others[COMING];
	long then;

	(void)arg;
	for (int i = 0; i < COMING; i++) {
		pinned[i] = start(stays_on_first, &c);
		others[i] = start(goes_about, &c);
	}
	until(c.next == COMING);
	all_move(&c);
	T_EQ(weft_workers_set(3), 0);
	all_move(&c);
	T_EQ(weft_workers_set(1), 0);
	all_move(&c);
	then = load_relaxed(&c.free);
	until(load_relaxed(&c.free) > then + 20);
	store_relaxed(&c.over, true);
	for (int i = 0; i < COMING; i++) {
		T_EQ(finish(pinned[i]), 0);
		T_EQ(finish(others[i]), 0);
	}
	return 0;
}

/* Many that are pinned to the only worker are still there when it has others. */
TEST(others_come)
{
	for (int i = 0; i < tap_iters(2); i++)
		run_with(come_main, NULL, (weft_opts){.workers = 1, .workers_max = 4});
}

static int wakes_on_first(void *arg)
{
	struct coming *c = arg;

	weft_task_pin();
	T_EQ(weft_task_park(), 0);
	T_EQ(weft_task_worker(), 1);
	add_relaxed(&c->woken, 1);
	weft_task_yield();
	T_EQ(weft_task_worker(), 1);
	return 0;
}

static int wakes_anywhere(void *arg)
{
	struct coming *c = arg;

	T_EQ(weft_task_park(), 0);
	add_relaxed(&c->free_woken, 1);
	return 0;
}

static int rob_main(void *arg)
{
	struct coming c = {.next = 0};
	weft_task *t[2 * COMING];

	(void)arg;
	for (int i = 0; i < 2 * COMING; i++)
		t[i] = start(i % 2 ? wakes_on_first : wakes_anywhere, &c);
	for (int i = 0; i < 2 * COMING; i++)
		until_parked(t[i]);
	for (int i = 0; i < 2 * COMING; i++)
		weft_task_unpark(t[i]);
	T_EQ(weft_workers_set(2), 0);
	while (load_relaxed(&c.free_woken) < COMING) /* this one stays where it is */
		sched_yield();
	T_EQ(load_relaxed(&c.woken), 0);
	for (int i = 0; i < 2 * COMING; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* The only worker stands on one task while others come: they take from it all but what is pinned. */
TEST(others_rob)
{
	for (int i = 0; i < tap_iters(3); i++)
		run_with(rob_main, NULL, (weft_opts){.workers = 1, .workers_max = 4});
}

/* --- the ends --- */

static int ends_pinned(void *arg)
{
	(void)arg;
	weft_task_pin();
	weft_task_pin();
	return 0;
}

static int never_woken(void *arg)
{
	(void)arg;
	weft_task_pin();
	for (;;)
		weft_task_yield();
	return 0;
}

static int parks_pinned(void *arg)
{
	(void)arg;
	weft_task_pin();
	(void)weft_task_park();
	return 0;
}

static int ends_main(void *arg)
{
	(void)arg;
	for (int i = 0; i < 100; i++) { /* the record's next task is not pinned */
		T_EQ(finish(start(ends_pinned, NULL)), 0);
		T_EQ(weft_go_opts(NULL, i % 2 ? parks_pinned : never_woken, NULL, NULL), 0);
	}
	return 0;
}

TEST_WORKERS(ends_and_goes_down)
{
	ends_with_main();
	run(ends_main, NULL);
}

static int deadlocks(void *arg)
{
	(void)arg;
	weft_task_pin();
	T_EQ(weft_go_opts(NULL, parks_pinned, NULL, NULL), 0);
	(void)weft_task_park();
	return 0;
}

TEST_WORKERS(deadlock_of_pinned_tasks)
{
	T_EQ(run_with(deadlocks, NULL, (weft_opts){.workers = 0}), WEFT_EDEADLK);
}

TEST(off_a_task)
{
	weft_task_pin();
	weft_task_unpin();
	weft_task_unpin();
	T_EQ(weft_task_worker(), 0);
}

static int unpins(void *arg)
{
	(void)arg;
	weft_task_pin();
	weft_task_unpin();
	weft_task_unpin();
	return 0;
}

static int pins(void *arg)
{
	(void)arg;
	for (int i = 0; i < 65536; i++)
		weft_task_pin();
	return 0;
}

TEST_DIES(pin_too_often, "is pinned 65535 times already")
{
	run(pins, NULL);
}

TEST_DIES(unpin_too_often, "is not pinned")
{
	run(unpins, NULL);
}
