/* SPDX-License-Identifier: MIT
 *
 * futures.c - thousands of futures are resolved, rejected, cancelled, dropped, waited for, mapped and raced at random, by tasks and a thread, all at the same
 * time. Every one ends once, all agree how, nobody waits for ever, and nothing is left.
 */
#include "rt.h"

#include "base/rand.h"
#include "weft/future.h"
#include <pthread.h>

enum { SLOTS = 16, TASKS = 40 };

struct value { /* all of it is one number */
	long part[8];
};

struct slot {
	weft_mutex m;
	weft_promise *p;
	weft_future *f;
};

static struct slot slots[SLOTS];
static ATOMIC(long) running, ended, functions;
static long rounds;

static struct value value_of(long n)
{
	struct value v;

	for (size_t i = 0; i < ARRAY_LEN(v.part); i++)
		v.part[i] = n;
	return v;
}

static void whole(const struct value *v)
{
	for (size_t i = 1; i < ARRAY_LEN(v->part); i++)
		T_EQ(v->part[i], v->part[0]);
}

/* References to what is in a slot. */
static struct slot take(struct rng *r)
{
	struct slot *s = &slots[rng_below(r, SLOTS)], mine = {.p = NULL};

	T_EQ(weft_mutex_lock(&s->m), 0);
	mine.p = weft_promise_ref(s->p);
	mine.f = weft_future_ref(s->f);
	weft_mutex_unlock(&s->m);
	return mine;
}

static void replace(struct slot *s)
{
	struct slot fresh, old;

	T_EQ(weft_promise_make(sizeof(struct value), &fresh.p, &fresh.f), 0);
	T_EQ(weft_mutex_lock(&s->m), 0);
	old.p = s->p;
	old.f = s->f;
	s->p = fresh.p;
	s->f = fresh.f;
	weft_mutex_unlock(&s->m);
	weft_promise_free(old.p);
	weft_future_free(old.f);
}

static void is_end(int rc)
{
	T_OK(rc == 0 || rc == WEFT_EBROKEN || rc == WEFT_ECANCELED || rc == WEFT_EPIPE);
}

static int64_t soon(struct rng *r)
{
	return rng_below(r, 4) ? WEFT_FOREVER : weft_in((int64_t)rng_below(r, 100) * WEFT_US);
}

static void await(struct rng *r, weft_future *f)
{
	int64_t deadline = soon(r);
	struct value v = value_of(-1);
	int rc;

	if (rng_below(r, 2)) {
		weft_case c[] = {WEFT_FUTURE(f, &v)};

		rc = weft_chan_select_until(c, 1, deadline);
		if (rc == 0)
			rc = c[0].status;
	} else {
		rc = weft_future_await_until(f, &v, deadline);
	}
	whole(&v);
	T_OK(rc == 0 ? v.part[0] >= 0 : v.part[0] == -1);
	if (rc == WEFT_ETIMEDOUT)
		return;
	is_end(rc);
	T_EQ(weft_future_poll(f, NULL), rc);
}

static int adds(const void *value, void *out, void *arg)
{
	struct value v = *(const struct value *)value;

	whole(&v);
	add_relaxed(&functions, 1);
	if (v.part[0] % 3 == 0)
		weft_task_yield();
	if (v.part[0] % 7 == 0)
		weft_task_exit(0);
	*(struct value *)out = value_of(v.part[0] + (long)(intptr_t)arg);
	return 0;
}

static int either(int status, const void *value, void *out, void *arg)
{
	(void)arg;
	T_OK(status ? !value : value != NULL);
	is_end(status);
	add_relaxed(&functions, 1);
	*(struct value *)out = value_of(status ? 0 : *(const long *)value);
	return 0;
}

static int works(void *arg, void *out)
{
	add_relaxed(&functions, 1);
	if ((intptr_t)arg % 2)
		(void)weft_task_sleep(10 * WEFT_US);
	*(struct value *)out = value_of((long)(intptr_t)arg);
	return (intptr_t)arg % 5 ? 0 : WEFT_EPIPE;
}

/* A short chain, of which some links are dropped at once. */
static void derive(struct rng *r, weft_future *f)
{
	weft_future *at = weft_future_ref(f);

	for (uint32_t n = 1 + rng_below(r, 4); n > 0; n--) {
		weft_future *next = rng_below(r, 3) ? weft_future_map(at, adds, (void *)1, sizeof(struct value))
						    : weft_future_then(at, either, NULL, sizeof(struct value));

		T_OK(next);
		if (rng_below(r, 8) == 0)
			(void)weft_future_cancel(next);
		weft_future_free(at);
		at = next;
	}
	if (rng_below(r, 2))
		await(r, at);
	weft_future_free(at);
}

static void several(struct rng *r)
{
	weft_future *fs[SLOTS * 3];
	int n = 1 + (int)rng_below(r, ARRAY_LEN(fs)), rc;
	unsigned flags = rng_below(r, 8) ? 0 : WEFT_FUTURE_CANCEL_REST;

	for (int i = 0; i < n; i++) {
		struct slot s = take(r);

		weft_promise_free(s.p);
		fs[i] = s.f;
	}
	switch (rng_below(r, 4)) {
	case 0:
		rc = weft_future_all_until(fs, n, NULL, flags, soon(r));
		T_OK(rc <= 0);
		break;
	case 1:
		rc = weft_future_race_until(fs, n, NULL, flags, soon(r));
		T_OK(rc < 0 || weft_future_done(fs[rc]));
		break;
	case 2:
		rc = weft_future_any_until(fs, n, NULL, flags, soon(r));
		T_OK(rc < 0 || weft_future_poll(fs[rc], NULL) == 0);
		break;
	default:
		rc = weft_future_all_settled_until(fs, n, NULL, soon(r));
		for (int i = 0; i < n && !rc; i++)
			T_OK(weft_future_done(fs[i]));
	}
	for (int i = 0; i < n; i++)
		weft_future_free(fs[i]);
}

static void end(struct rng *r, struct slot *s, long i)
{
	struct value v = value_of(i);
	int how = (int)rng_below(r, 8), rc, now;

	if (how == 0)
		rc = weft_promise_reject(s->p, WEFT_EPIPE);
	else if (how == 1)
		rc = weft_future_cancel(s->f);
	else
		rc = weft_promise_resolve(s->p, &v);
	now = weft_future_poll(s->f, &v);
	if (rc == 0) { /* the first: it is as it says, for good */
		T_EQ(now, how == 0 ? WEFT_EPIPE : how == 1 ? WEFT_ECANCELED : 0);
		T_EQ(v.part[0], i);
		add_relaxed(&ended, 1);
	} else {
		T_EQ(rc, WEFT_EALREADY);
		is_end(now);
	}
	whole(&v);
}

static int acts(void *arg)
{
	struct rng r;

	rng_seed(&r, (uint64_t)(uintptr_t)arg, 7);
	for (long i = 0; i < rounds; i++) {
		struct slot s;
		weft_future *f;

		switch (rng_below(&r, 10)) {
		case 0:
			several(&r);
			continue;
		case 1:
			f = weft_go_future(works, (void *)(uintptr_t)rng_below(&r, 100), sizeof(struct value));
			if (!f) /* from a thread, or no */
				continue;
			if (rng_below(&r, 2))
				await(&r, f);
			weft_future_free(f);
			continue;
		}
		s = take(&r);
		if (rng_below(&r, 2) == 0) {
			end(&r, &s, i);
			weft_promise_free(s.p);
		} else {
			weft_promise_free(s.p); /* or it would wait for itself */
			if (rng_below(&r, 3) == 0)
				derive(&r, s.f);
			else
				await(&r, s.f);
		}
		weft_future_free(s.f);
	}
	add_acq_rel(&running, -1);
	return 0;
}

static void *thread_acts(void *arg)
{
	acts(arg);
	return NULL;
}

static int storm_main(void *arg)
{
	weft_task *t[TASKS];
	pthread_t th;
	long replaced = 0;

	(void)arg;
	rounds = tap_iters(15000);
	for (int i = 0; i < SLOTS; i++)
		T_EQ(weft_promise_make(sizeof(struct value), &slots[i].p, &slots[i].f), 0);
	store_relaxed(&running, TASKS + 1);
	for (int i = 0; i < TASKS; i++)
		t[i] = start(acts, (void *)(uintptr_t)(i + 1));
	T_EQ(pthread_create(&th, NULL, thread_acts, (void *)(uintptr_t)(TASKS + 1)), 0);
	while (load_acquire(&running)) { /* what nobody ends is dropped, and so ends */
		replace(&slots[replaced++ % SLOTS]);
		for (int i = 0; i < 4; i++)
			let_run();
	}
	for (int i = 0; i < TASKS; i++)
		finish(t[i]);
	T_EQ(pthread_join(th, NULL), 0);
	for (int i = 0; i < SLOTS; i++) {
		weft_promise_free(slots[i].p);
		weft_future_free(slots[i].f);
	}
	until(rt_left().tasks == 1); /* what nobody wants has heard of it */
	tap_note("%ld made, %ld ended by hand, %ld functions called", replaced + SLOTS, load_relaxed(&ended), load_relaxed(&functions));
	return 0;
}

TEST_WORKERS(storm)
{
	tap_limit(60);
	run(storm_main, NULL);
}
