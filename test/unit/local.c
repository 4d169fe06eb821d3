/* SPDX-License-Identifier: MIT
 *
 * local.c - task-local storage: every task sees its own values, heirs get theirs, and what is left at the end is destroyed once.
 */
#include "rt.h"

#include "failpoint.h"
#include "weft/defer.h"
#include "weft/local.h"
#include <pthread.h>
#include <stdlib.h>

static weft_local make(void (*dtor)(void *), void *(*inherit)(void *))
{
	weft_local key = 0;

	T_EQ(weft_local_make(&key, dtor, inherit), 0);
	T_OK(key != 0);
	return key;
}

static void set(weft_local key, void *value)
{
	T_EQ(weft_local_set(key, value), 0);
}

static void drop_key(weft_local key)
{
	T_EQ(weft_local_free(key), 0);
}

static void *number(intptr_t n)
{
	return (void *)n;
}

static ATOMIC(long) destroyed; /* sum of the values */
static ATOMIC(int) times;      /* how many */

static void add_up(void *value)
{
	add_relaxed(&destroyed, (long)(intptr_t)value);
	add_relaxed(&times, 1);
}

static void expect_destroyed(int n, long sum)
{
	T_EQ(load_relaxed(&times), n);
	T_EQ(load_relaxed(&destroyed), sum);
	store_relaxed(&times, 0);
	store_relaxed(&destroyed, 0L);
}

/* --- every task its own --- */

struct own {
	weft_local a, b;
	intptr_t n;
};

static int own_values(void *arg)
{
	struct own *o = arg;

	T_EQ(weft_local_get(o->a), NULL);
	set(o->b, NULL); /* none anyway */
	T_EQ(weft_local_get(o->b), NULL);
	for (int i = 0; i < 20; i++) {
		set(o->a, number(o->n + i));
		set(o->b, number(-o->n));
		weft_task_yield(); /* and elsewhere, maybe */
		T_EQ(weft_local_get(o->a), number(o->n + i));
		T_EQ(weft_local_get(o->b), number(-o->n));
	}
	set(o->a, NULL);
	T_EQ(weft_local_get(o->a), NULL);
	return 0;
}

static int own_main(void *arg)
{
	enum { N = 50 };
	struct own o[N];
	weft_task *t[N];

	(void)arg;
	o[0].a = make(NULL, NULL);
	o[0].b = make(NULL, NULL);
	set(o[0].a, number(5));
	for (int i = 0; i < N; i++) {
		o[i] = (struct own){o[0].a, o[0].b, 1000 * (i + 1)};
		t[i] = start(own_values, &o[i]);
	}
	for (int i = 0; i < N; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(weft_local_get(o[0].a), number(5));
	T_EQ(weft_local_get(o[0].b), NULL);
	drop_key(o[0].a);
	drop_key(o[0].b);
	return 0;
}

TEST_WORKERS(every_task_has_its_own)
{
	run(own_main, NULL);
}

/* --- keys --- */

TEST(arguments)
{
	weft_local key = 0, all[1000];
	int n = 0, rc;

	T_EQ(weft_local_make(NULL, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_local_make(&key, add_up, WEFT_LOCAL_INHERIT), WEFT_EINVAL); /* it would be destroyed twice */
	T_EQ(weft_local_set(0, &key), WEFT_EINVAL);
	T_EQ(weft_local_get(0), NULL);
	T_EQ(weft_local_free(0), WEFT_EINVAL);
	T_EQ(weft_local_set(~(weft_local)0, &key), WEFT_EINVAL);
	T_EQ(weft_local_get(~(weft_local)0), NULL);
	T_EQ(weft_local_free(~(weft_local)0), WEFT_EINVAL);
	while ((rc = weft_local_make(&all[n], NULL, NULL)) == 0)
		n++;
	T_EQ(rc, WEFT_EAGAIN);
	T_EQ(n, LOCAL_KEYS);
	for (int i = 0; i < n; i++) {
		set(all[i], number(i + 1));
		for (int k = 0; k < i; k++)
			T_OK(all[k] != all[i]);
	}
	for (int i = 0; i < n; i++)
		T_EQ(weft_local_get(all[i]), number(i + 1));
	while (n > 0)
		drop_key(all[--n]);
}

/* A slot that is used again: whoever had a value under the old key has none under the new one. */
TEST(a_reused_slot_is_another_key)
{
	weft_local old = make(add_up, NULL), now;

	set(old, number(7));
	drop_key(old);
	T_EQ(weft_local_free(old), WEFT_EINVAL);
	T_EQ(weft_local_get(old), NULL);
	T_EQ(weft_local_set(old, number(8)), WEFT_EINVAL);
	now = make(add_up, NULL);
	T_OK(now != old);
	T_EQ(weft_local_get(now), NULL);
	T_EQ(weft_local_get(old), NULL);
	set(now, number(9));
	T_EQ(weft_local_get(now), number(9));
	T_EQ(weft_local_get(old), NULL);
	drop_key(now);
}

static int keeps_a_value(void *arg)
{
	weft_local *key = arg;

	set(*key, number(1));
	T_EQ(weft_task_park(), 0);
	T_EQ(weft_local_get(*key), NULL);
	return 0;
}

static int freed_main(void *arg)
{
	weft_local key = make(add_up, NULL), next;
	weft_task *t = start(keeps_a_value, &key);

	(void)arg;
	until_parked(t);
	drop_key(key);
	next = make(add_up, NULL);
	weft_task_unpark(t);
	T_EQ(finish(t), 0);
	expect_destroyed(0, 0); /* it was dropped with its key */
	drop_key(next);
	return 0;
}

TEST_WORKERS(values_of_a_freed_key_are_dropped)
{
	run(freed_main, NULL);
}

/* --- the end --- */

struct ending {
	weft_local key;
	int how;
};

static void leave(int how)
{
	if (how == 1)
		weft_task_exit(0);
	if (how == 2)
		weft_task_panic("on purpose");
}

static int ends(void *arg)
{
	struct ending *e = arg;

	set(e->key, number(1));
	set(e->key, number(10)); /* the one it had is not destroyed */
	leave(e->how);
	return 0;
}

static int ends_main(void *arg)
{
	struct ending e = {.key = make(add_up, NULL)};
	int ret = -1;

	(void)arg;
	for (e.how = 0; e.how < 3; e.how++) {
		weft_task *t = start(ends, &e);

		T_EQ(weft_task_join(t, &ret), 0);
		T_EQ(ret, e.how == 2 ? WEFT_EPANIC : 0);
		expect_destroyed(1, 10); /* before whoever joins goes on */
	}
	drop_key(e.key);
	return 0;
}

TEST_WORKERS(destroyed_at_the_end)
{
	run(ends_main, NULL);
}

static weft_local main_key;

static int main_value(void *arg)
{
	(void)arg;
	set(main_key, number(3));
	return 0;
}

TEST_WORKERS(destroyed_at_the_end_of_main)
{
	main_key = make(add_up, NULL);
	run(main_value, NULL);
	expect_destroyed(1, 3);
	drop_key(main_key);
}

/* Destructors that wait, and set values: their own again and again, and another's. */
static weft_local again_key, wait_key;
static weft_chan *gate;

static void sets_again(void *value)
{
	intptr_t n = (intptr_t)value;

	add_up(value);
	set(again_key, number(n + 1));
}

static void waits(void *value)
{
	int v;

	T_EQ(weft_local_get(wait_key), NULL); /* it is out of the table while it is destroyed */
	T_EQ(weft_chan_recv(gate, &v), 0);
	add_up(value);
}

static int rounds(void *arg)
{
	(void)arg;
	set(again_key, number(1));
	set(wait_key, number(100));
	return 0;
}

static int rounds_main(void *arg)
{
	weft_task *t;
	int v = 0;

	(void)arg;
	gate = weft_chan_make(sizeof(int), 0);
	again_key = make(sets_again, NULL);
	wait_key = make(waits, NULL);
	t = start(rounds, NULL);
	until_reason(t, "chan receive");
	T_EQ(weft_chan_send(gate, &v), 0);
	T_EQ(finish(t), 0);
	expect_destroyed(5, 100 + 1 + 2 + 3 + 4); /* four rounds */
	weft_chan_free(gate);
	drop_key(again_key);
	drop_key(wait_key);
	return 0;
}

TEST_WORKERS(destructors_may_wait_and_set)
{
	run(rounds_main, NULL);
}

static weft_local first_key, second_key;

static void exits(void *value)
{
	add_up(value);
	weft_task_exit(5);
}

static int sets_both(void *arg)
{
	(void)arg;
	set(first_key, number(1));
	set(second_key, number(2));
	return 0;
}

static int exits_main(void *arg)
{
	(void)arg;
	first_key = make(exits, NULL);
	second_key = make(exits, NULL);
	T_EQ(finish(start(sets_both, NULL)), 5);
	expect_destroyed(2, 3); /* each, once */
	drop_key(first_key);
	drop_key(second_key);
	return 0;
}

TEST_WORKERS(destructors_may_exit)
{
	run(exits_main, NULL);
}

/* --- heirs --- */

static void *twice(void *value)
{
	return number(2 * (intptr_t)value);
}

static void *nothing(void *value)
{
	(void)value;
	return NULL;
}

struct heritage {
	weft_local same, copied, refused, own;
};

static int grandchild(void *arg)
{
	struct heritage *h = arg;

	T_EQ(weft_local_get(h->same), number(1));
	T_EQ(weft_local_get(h->copied), number(40));
	return 0;
}

static int heir(void *arg)
{
	struct heritage *h = arg;

	T_EQ(weft_local_get(h->same), number(1));
	T_EQ(weft_local_get(h->copied), number(20));
	T_EQ(weft_local_get(h->refused), NULL);
	T_EQ(weft_local_get(h->own), NULL);
	T_EQ(finish(start(grandchild, h)), 0);
	set(h->same, number(2)); /* its own from now on */
	set(h->own, number(3));
	return 0;
}

static void heir_of_go(struct heritage *h, double x, weft_wg *g)
{
	T_OK(x == 0.5);
	T_EQ(heir(h), 0);
	weft_wg_done(g);
}

static int heirs_main(void *arg)
{
	struct heritage h = {make(NULL, WEFT_LOCAL_INHERIT), make(add_up, twice), make(add_up, nothing), make(NULL, NULL)};
	weft_wg g = {0};
	weft_task *t;

	(void)arg;
	set(h.same, number(1));
	set(h.copied, number(10));
	set(h.refused, number(11));
	set(h.own, number(12));
	T_EQ(finish(start(heir, &h)), 0);
	expect_destroyed(2, 60); /* the heirs' own */
	T_EQ(weft_go_opts(&t, heir, &h, &(weft_task_opts){.now = true, .name = "x", .stack = 65536}), 0);
	T_EQ(finish(t), 0);
	T_EQ(weft_go_opts(&t, heir, &h, &(weft_task_opts){.worker = tap_workers()}), 0);
	T_EQ(finish(t), 0);
	expect_destroyed(4, 120);
	weft_wg_add(&g, 100);
	for (int i = 0; i < 100; i++)
		T_EQ(weft_go(heir_of_go, &h, 0.5, &g), 0);
	T_EQ(weft_wg_wait(&g), 0);
	until(load_relaxed(&times) == 200);
	expect_destroyed(200, 6000);
	T_EQ(weft_local_get(h.same), number(1));
	T_EQ(weft_local_get(h.own), number(12));
	set(h.copied, NULL);
	set(h.refused, NULL);
	drop_key(h.same);
	drop_key(h.copied);
	drop_key(h.refused);
	drop_key(h.own);
	return 0;
}

TEST_WORKERS(heirs)
{
	run(heirs_main, NULL);
}

static int never_runs(void *arg)
{
	(void)arg;
	T_EQ(weft_task_park(), 0);
	return 0;
}

static int abandons(void *arg)
{
	weft_local *key = arg;

	set(*key, number(1));
	for (int i = 0; i < 20; i++)
		T_EQ(weft_go_opts(NULL, never_runs, NULL, NULL), 0);
	return 0;
}

/* Tables of tasks that never run again, or never at all, are freed (LeakSanitizer looks), and nothing is destroyed twice. */
TEST_WORKERS(abandoned)
{
	weft_local key = make(add_up, twice);

	ends_with_main();
	run(abandons, &key);
	expect_destroyed(1, 1);
	drop_key(key);
}

static void *blocks(void *value)
{
	weft_task_yield();
	return value;
}

static int blocks_main(void *arg)
{
	(void)arg;
	set(make(NULL, blocks), number(1));
	(void)weft_go_opts(NULL, never_runs, NULL, NULL);
	return 0;
}

TEST_DIES_WORKERS(inherit_that_blocks, "has blocked, while task")
{
	run(blocks_main, NULL);
}

/* --- threads that weft did not make --- */

static weft_local thread_key;

static void *thread_values(void *arg)
{
	(void)arg;
	T_EQ(weft_local_get(thread_key), NULL);
	set(thread_key, number(4));
	T_EQ(weft_local_get(thread_key), number(4));
	return NULL;
}

TEST(of_a_thread)
{
	pthread_t t;

	thread_key = make(add_up, NULL);
	set(thread_key, number(1));
	T_EQ(pthread_create(&t, NULL, thread_values, NULL), 0);
	pthread_join(t, NULL);
	expect_destroyed(1, 4); /* at the thread's end */
	T_EQ(weft_local_get(thread_key), number(1));
	drop_key(thread_key);
}

static int heir_of_a_thread(void *arg)
{
	T_EQ(weft_local_get(thread_key), number(8));
	store_release((ATOMIC(int) *)arg, 1);
	return 0;
}

static void *starts_a_task(void *arg)
{
	set(thread_key, number(4));
	T_EQ(weft_go_opts(NULL, heir_of_a_thread, arg, NULL), 0);
	return NULL;
}

static int thread_main(void *arg)
{
	ATOMIC(int) done;
	pthread_t t;

	(void)arg;
	store_relaxed(&done, 0);
	T_EQ(pthread_create(&t, NULL, starts_a_task, &done), 0);
	until(load_acquire(&done));
	pthread_join(t, NULL);
	until(load_relaxed(&times) == 2);
	expect_destroyed(2, 12);
	return 0;
}

TEST_WORKERS(a_thread_hands_down_too)
{
	thread_key = make(add_up, twice);
	run(thread_main, NULL);
	drop_key(thread_key);
}

/* --- no memory --- */

static int no_memory_main(void *arg)
{
	weft_local key = make(add_up, twice);
	weft_task *t = NULL;

	(void)arg;
	until_all_workers_run();
	failpoint_arm(1);
	T_EQ(weft_local_set(key, number(1)), WEFT_ENOMEM);
	failpoint_disarm();
	T_EQ(weft_local_get(key), NULL);
	set(key, number(1));
	for (int now = 0; now < 2; now++) {
		failpoint_arm_all(1); /* whichever way: stacks are at hand, records too */
		T_EQ(weft_go_opts(&t, never_runs, NULL, &(weft_task_opts){.now = now != 0}), WEFT_ENOMEM);
		failpoint_disarm();
		T_EQ(t, NULL);
		failpoint_arm_all(1);
		T_EQ(weft_go(never_runs, NULL), WEFT_ENOMEM);
		failpoint_disarm();
	}
	expect_destroyed(0, 0);
	set(key, NULL);
	drop_key(key);
	return 0;
}

TEST_WORKERS(no_memory)
{
	T_EQ(run_with(no_memory_main, NULL, (weft_opts){.spares = -1}), 0); /* nobody else's call fails in its place */
}
