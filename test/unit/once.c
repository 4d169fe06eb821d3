/* SPDX-License-Identifier: MIT
 *
 * once.c - once: done once, waited for by all others, also when it ends its task, and again by the next where it may fail.
 */
#include "rt.h"

#include "weft/defer.h"
#include <pthread.h>

struct thing {
	weft_once o;
	ATOMIC(int) calls, release, begun;
	int made, fails;
	enum { RETURNS, EXITS, PANICS, AGAIN } how;
};

static void makes(void *arg)
{
	struct thing *k = arg;

	add_relaxed(&k->calls, 1);
	store_release(&k->begun, 1);
	until(load_acquire(&k->release));
	k->made = 42;
	if (k->how == EXITS)
		weft_task_exit(7);
	if (k->how == PANICS)
		weft_task_panic("cannot be made");
	if (k->how == AGAIN)
		T_EQ(weft_once_do(&k->o, makes, k), WEFT_EDEADLK);
}

static int does(void *arg)
{
	struct thing *k = arg;
	int rc = weft_once_do(&k->o, makes, k);

	if (!rc)
		T_EQ(k->made, 42);
	return rc;
}

static int tries_it(void *arg)
{
	return weft_task_try(does, arg, NULL);
}

static void *thread_does(void *arg)
{
	T_EQ(does(arg), 0);
	return NULL;
}

static int once_main(void *arg)
{
	(void)arg;
	for (int how = RETURNS; how <= AGAIN; how++) {
		struct thing k = {.made = 0};
		weft_task *first, *t[10], *victim;
		pthread_t th;

		k.how = how;
		first = start(tries_it, &k);
		until(load_acquire(&k.begun));
		for (int i = 0; i < 10; i++) {
			t[i] = start(does, &k);
			until_reason(t[i], "once");
		}
		T_EQ(weft_once_do_until(&k.o, makes, &k, WEFT_NOW), WEFT_EAGAIN);
		T_EQ(weft_once_do_until(&k.o, makes, &k, weft_in(WEFT_US)), WEFT_ETIMEDOUT);
		victim = start(does, &k);
		until_reason(victim, "once");
		weft_task_cancel(victim);
		T_EQ(finish(victim), WEFT_ECANCELED);
		T_EQ(pthread_create(&th, NULL, thread_does, &k), 0);
		store_release(&k.release, 1);
		T_EQ(finish(first), how == EXITS ? 7 : how == PANICS ? WEFT_EPANIC : 0);
		for (int i = 0; i < 10; i++)
			T_EQ(finish(t[i]), 0);
		T_EQ(pthread_join(th, NULL), 0);
		T_EQ(does(&k), 0);
		T_EQ(load_relaxed(&k.calls), 1);
	}
	return 0;
}

/* One does it, the others wait; one that ends its task has done it. */
TEST_WORKERS(once)
{
	run(once_main, NULL);
}

static int cancelled(void *arg)
{
	struct thing *k = arg;
	struct thing fresh = {.release = 1};

	T_EQ(weft_task_cancel(weft_task_self()), 0);
	T_EQ(does(&fresh), WEFT_ECANCELED);
	T_EQ(weft_once_retry(&fresh.o, NULL, NULL), WEFT_ECANCELED);
	T_EQ(load_relaxed(&fresh.calls), 0);
	return does(k);
}

static int cancelled_main(void *arg)
{
	struct thing k = {.release = 1};

	(void)arg;
	T_EQ(does(&k), 0);
	return finish(start(cancelled, &k));
}

/* What is done is done for a cancelled task, too; but it does nothing. */
TEST_WORKERS(cancelled_task)
{
	run(cancelled_main, NULL);
}

/* --- that may fail --- */

static int fails(void *arg)
{
	struct thing *k = arg;
	int call = add_relaxed(&k->calls, 1);

	T_EQ(add_relaxed(&k->begun, 1), 0); /* one at a time */
	weft_task_yield();
	add_relaxed(&k->begun, -1);
	if (call < k->fails) {
		if (call % 3 == 1)
			weft_task_exit(-5);
		if (call % 3 == 2)
			weft_task_panic("not yet");
		return -5;
	}
	k->made = 42;
	return 0;
}

static int retries(void *arg)
{
	struct thing *k = arg;
	int rc = weft_once_retry(&k->o, fails, k);

	if (!rc)
		T_EQ(k->made, 42);
	return rc;
}

static int tries_again(void *arg)
{
	return weft_task_try(retries, arg, NULL);
}

static int retry_main(void *arg)
{
	(void)arg;
	for (long round = 0; round < tap_iters(100); round++) {
		struct thing k = {.fails = (int)(round % 12)};
		weft_task *t[20];
		int failed = 0;

		for (int i = 0; i < 20; i++)
			t[i] = start(tries_again, &k);
		for (int i = 0; i < 20; i++) {
			int rc = finish(t[i]);

			T_OK(rc == 0 || rc == -5 || rc == WEFT_EPANIC);
			failed += rc != 0;
		}
		T_EQ(failed, k.fails);
		T_EQ(load_relaxed(&k.calls), k.fails + 1);
		T_EQ(retries(&k), 0);
	}
	return 0;
}

/* As often as it fails another tries: one at a time, and each failure is told to who tried. */
TEST_WORKERS(retry)
{
	run(retry_main, NULL);
}

static int asks_again(void *arg)
{
	struct thing *k = arg;

	return weft_once_retry(&k->o, asks_again, k);
}

static int asks_again_main(void *arg)
{
	struct thing k = {.made = 0};

	(void)arg;
	T_EQ(asks_again(&k), WEFT_EDEADLK);
	return finish(start(retries, &k)); /* that was a failure */
}

TEST_WORKERS(retry_within_itself)
{
	run(asks_again_main, NULL);
}

/* --- many --- */

static struct thing many[64];

static void counts(void *arg)
{
	struct thing *k = arg;

	k->made++;
}

static int races(void *arg)
{
	(void)arg;
	for (int i = 0; i < 64; i++) {
		T_EQ(weft_once_do(&many[i].o, counts, &many[i]), 0);
		T_EQ(many[i].made, 1);
	}
	return 0;
}

static void *thread_races(void *arg)
{
	races(arg);
	return NULL;
}

static int race_main(void *arg)
{
	(void)arg;
	for (long round = 0; round < tap_iters(200); round++) {
		weft_task *t[8];
		pthread_t th;

		memset(many, 0, sizeof many);
		T_EQ(pthread_create(&th, NULL, thread_races, NULL), 0);
		for (int i = 0; i < 8; i++)
			t[i] = start(races, NULL);
		for (int i = 0; i < 8; i++)
			T_EQ(finish(t[i]), 0);
		T_EQ(pthread_join(th, NULL), 0);
	}
	return 0;
}

/* What it did is seen by all, whoever is first. */
TEST_WORKERS(race)
{
	run(race_main, NULL);
}
