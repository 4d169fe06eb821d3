/* SPDX-License-Identifier: MIT
 *
 * future_then.c - tasks that end with a value: go_future, map, then; what comes of errors, cancels, exits and panics.
 */
#include "dumped.h"
#include "rt.h"

#include "weft/defer.h"
#include "weft/future.h"
#include <pthread.h>
#include <stdio.h>

static int get(weft_future *f)
{
	int v = -1, rc = weft_future_await(f, &v);

	weft_future_free(f);
	return rc ? rc : v;
}

/* --- go_future --- */

static int seven(void *arg, void *out)
{
	(void)arg;
	T_EQ(*(int *)out, 0); /* zeroes before */
	*(int *)out = 7;
	return 0;
}

static int fails(void *arg, void *out)
{
	*(int *)out = 7;
	return (int)(intptr_t)arg;
}

static int exits(void *arg, void *out)
{
	(void)arg;
	(void)out;
	weft_task_exit(3);
}

static int panics(void *arg, void *out)
{
	(void)arg;
	(void)out;
	weft_task_panic("on purpose");
}

static int nothing(void *arg, void *out)
{
	(void)arg;
	(void)out;
	return 0;
}

static int go_main(void *arg)
{
	(void)arg;
	T_EQ(get(weft_go_future(seven, NULL, sizeof(int))), 7);
	T_EQ(get(weft_go_future(fails, (void *)(intptr_t)WEFT_EPIPE, sizeof(int))), WEFT_EPIPE);
	T_EQ(get(weft_go_future(fails, (void *)(intptr_t)5, sizeof(int))), WEFT_EINVAL);
	T_EQ(get(weft_go_future(exits, NULL, sizeof(int))), WEFT_EBROKEN);
	T_EQ(get(weft_go_future(panics, NULL, sizeof(int))), WEFT_EPANIC);
	T_EQ(get(weft_go_future(nothing, NULL, 0)), -1);
	T_EQ(weft_go_future(NULL, NULL, 0), NULL);
	T_EQ(weft_go_future(seven, NULL, 65536), NULL);
	T_EQ(weft_future_map(NULL, NULL, NULL, 0), NULL);
	T_EQ(weft_future_then(NULL, NULL, NULL, 0), NULL);
	return 0;
}

TEST_WORKERS(a_task_gives_the_value)
{
	run(go_main, NULL);
}

TEST(no_runtime)
{
	T_EQ(weft_go_future(seven, NULL, sizeof(int)), NULL);
}

struct slow {
	ATOMIC(int) began;
	int rc;
	weft_task *task;
};

static int sleeps(void *arg, void *out)
{
	struct slow *s = arg;
	int rc;

	(void)out;
	s->task = weft_task_self();
	store_release(&s->began, 1);
	rc = s->rc = weft_task_park(); /* nobody unparks it */
	store_release(&s->began, 2);   /* s may be gone */
	return rc;
}

static int cancel_main(void *arg)
{
	(void)arg;
	for (int how = 0; how < 2; how++) { /* cancelled; nobody wants it */
		struct slow s = {.rc = 0};
		weft_future *f = weft_go_future(sleeps, &s, sizeof(int));

		until(load_acquire(&s.began) == 1);
		until_reason(s.task, "park");
		if (how == 0) {
			T_EQ(weft_future_cancel(f), 0);
			T_EQ(weft_future_poll(f, NULL), WEFT_ECANCELED);
		}
		weft_future_free(f);
		until(load_acquire(&s.began) == 2);
		T_EQ(s.rc, WEFT_ECANCELED);
	}
	return 0;
}

TEST_WORKERS(cancel_reaches_the_task)
{
	run(cancel_main, NULL);
}

static ATOMIC(int) called;

static int calls(void *arg, void *out)
{
	(void)arg;
	(void)out;
	add_relaxed(&called, 1);
	return 0;
}

static int never_main(void *arg)
{
	weft_future *f;

	(void)arg;
	f = weft_go_future(calls, NULL, 0); /* one worker: it has not begun */
	T_EQ(weft_future_cancel(f), 0);
	T_EQ(get(f), WEFT_ECANCELED);
	for (int i = 0; i < 10; i++)
		weft_task_yield();
	T_EQ(load_relaxed(&called), 0);
	return 0;
}

/* Cancelled before its task begins: fn is not called. */
TEST(never_begun)
{
	T_EQ(run_with(never_main, NULL, (weft_opts){.workers = 1}), 0);
}

/* --- map, then --- */

static int doubles(const void *value, void *out, void *arg)
{
	add_relaxed((ATOMIC(int) *)arg, 1);
	*(int *)out = 2 * *(const int *)value;
	return 0;
}

static int refuses(const void *value, void *out, void *arg)
{
	(void)value;
	(void)out;
	(void)arg;
	return WEFT_ELAGGED;
}

static int recovers(int status, const void *value, void *out, void *arg)
{
	(void)arg;
	T_OK(status ? value == NULL : *(const int *)value == 21);
	*(int *)out = status ? status : 1;
	return 0;
}

static int map_exits(const void *value, void *out, void *arg)
{
	(void)value;
	(void)out;
	(void)arg;
	weft_task_exit(1);
}

static int map_panics(const void *value, void *out, void *arg)
{
	(void)value;
	(void)out;
	(void)arg;
	weft_task_panic("on purpose");
}

static weft_future *mapped(weft_future *f, weft_future_map_fn *fn, void *arg)
{
	weft_future *g = weft_future_map(f, fn, arg, sizeof(int));

	T_OK(g);
	weft_future_free(f);
	return g;
}

static weft_future *thened(weft_future *f, weft_future_then_fn *fn)
{
	weft_future *g = weft_future_then(f, fn, NULL, sizeof(int));

	T_OK(g);
	weft_future_free(f);
	return g;
}

static int map_main(void *arg)
{
	static ATOMIC(int) ran; /* what nobody wants may run on for a while */
	int v = 21;

	(void)arg;
	for (int later = 0; later < 2; later++) { /* before it has ended, and after */
		weft_promise *p;
		weft_future *f, *g[5];

		store_relaxed(&ran, 0);
		T_EQ(weft_promise_make(sizeof(int), &p, &f), 0);
		if (later)
			T_EQ(weft_promise_resolve(p, &v), 0);
		for (int i = 0; i < 5; i++)
			g[i] = i == 1 ? weft_future_then(f, recovers, NULL, sizeof(int)) : weft_future_map(f, doubles, &ran, sizeof(int));
		T_OK(weft_future_cancel(g[4]) == 0 || later);
		if (!later)
			T_EQ(weft_promise_resolve(p, &v), 0);
		weft_promise_free(p);
		T_EQ(get(g[0]), 42);
		T_EQ(get(g[1]), 1);
		T_EQ(get(g[2]), 42);
		weft_future_free(g[3]); /* whether it has run or not */
		weft_future_free(g[4]);
		weft_future_free(f);
	}
	T_EQ(get(mapped(weft_future_failed(WEFT_EPIPE), doubles, &ran)), WEFT_EPIPE);
	T_EQ(get(thened(weft_future_failed(WEFT_EPIPE), recovers)), WEFT_EPIPE); /* as a value */
	T_EQ(get(mapped(weft_future_ready(&v, sizeof v), refuses, NULL)), WEFT_ELAGGED);
	T_EQ(get(mapped(weft_future_ready(&v, sizeof v), map_exits, NULL)), WEFT_EBROKEN);
	T_EQ(get(mapped(weft_future_ready(&v, sizeof v), map_panics, NULL)), WEFT_EPANIC);
	until_others_end(); /* what nobody waited for may not have begun, and has what it will give back */
	return 0;
}

TEST_WORKERS(what_is_made_of_it)
{
	run(map_main, NULL);
}

static int awaits(const void *value, void *out, void *arg)
{
	(void)value;
	return weft_future_await(arg, out);
}

static int flat_main(void *arg)
{
	weft_future *inner = weft_go_future(seven, NULL, sizeof(int));

	(void)arg;
	T_EQ(get(mapped(weft_future_ready(NULL, 0), awaits, inner)), 7);
	weft_future_free(inner);
	inner = weft_future_failed(WEFT_EBUSY);
	T_EQ(get(mapped(weft_future_ready(NULL, 0), awaits, inner)), WEFT_EBUSY);
	weft_future_free(inner);
	return 0;
}

/* A future of a future: fn waits for it. */
TEST_WORKERS(one_that_waits_for_another)
{
	run(flat_main, NULL);
}

static int adds(const void *value, void *out, void *arg)
{
	(void)arg;
	*(int *)out = *(const int *)value + 1;
	return 0;
}

static weft_future *chain(weft_future *f, int n)
{
	for (int i = 0; i < n; i++)
		f = mapped(f, adds, NULL);
	return f;
}

static int chain_main(void *arg)
{
	enum { LONG = 20000 };
	int n = (int)tap_iters(LONG);
	weft_promise *p;
	weft_future *f;

	(void)arg;
	T_EQ(weft_promise_make(sizeof(int), &p, &f), 0);
	f = chain(f, n);
	T_EQ(weft_promise_resolve(p, NULL), 0);
	T_EQ(get(f), n);
	weft_promise_free(p);

	T_EQ(weft_promise_make(sizeof(int), &p, &f), 0); /* an error goes all the way, on one stack */
	f = chain(f, n);
	T_EQ(weft_promise_reject(p, WEFT_EPIPE), 0);
	T_EQ(weft_future_poll(f, NULL), WEFT_EPIPE);
	weft_future_free(f);
	weft_promise_free(p);

	T_EQ(weft_promise_make(sizeof(int), &p, &f), 0); /* and so does that nobody wants it */
	f = chain(f, n);
	T_OK(!weft_promise_canceled(p));
	weft_future_free(f);
	T_OK(weft_promise_canceled(p));
	weft_promise_free(p);

	T_EQ(weft_promise_make(sizeof(int), &p, &f), 0); /* but not if somebody else does */
	weft_future_free(chain(weft_future_ref(f), n));
	T_OK(!weft_promise_canceled(p));
	T_EQ(weft_promise_resolve(p, &n), 0);
	T_EQ(get(f), n);
	weft_promise_free(p);
	return 0;
}

TEST_WORKERS(long_chains)
{
	run(chain_main, NULL);
}

static int slow_map(const void *value, void *out, void *arg)
{
	(void)value;
	return sleeps(arg, out);
}

static int cancel_map_main(void *arg)
{
	struct slow s = {.rc = 0};
	weft_promise *p;
	weft_future *f, *g;

	(void)arg;
	g = mapped(weft_future_ready(NULL, 0), slow_map, &s); /* while fn runs */
	until(load_acquire(&s.began) == 1);
	T_EQ(weft_future_cancel(g), 0);
	until(load_acquire(&s.began) == 2);
	T_EQ(s.rc, WEFT_ECANCELED);
	T_EQ(get(g), WEFT_ECANCELED);

	T_EQ(weft_promise_make(sizeof(int), &p, &f), 0); /* before it runs: the first one is left alone */
	g = weft_future_map(f, slow_map, &s, 0);
	T_EQ(weft_future_cancel(g), 0);
	T_OK(!weft_promise_canceled(p));
	weft_future_free(g);
	g = mapped(f, slow_map, &s); /* unless nobody else wants it */
	T_EQ(weft_future_cancel(g), 0);
	T_OK(weft_promise_canceled(p));
	weft_future_free(g);
	weft_promise_free(p);
	return 0;
}

TEST_WORKERS(cancel_of_what_is_made_of_it)
{
	run(cancel_map_main, NULL);
}

static int reason_of(const void *value, void *out, void *arg)
{
	(void)value;
	*(bool *)out = weft_ctx_self() == arg;
	return 0;
}

static int context_main(void *arg)
{
	weft_ctx *c = weft_ctx_make(NULL), *up;
	weft_promise *p;
	weft_future *f, *g;
	bool same = false;

	(void)arg;
	T_EQ(weft_promise_make(0, &p, &f), 0);
	up = weft_ctx_enter(c);
	g = weft_future_map(f, reason_of, c, sizeof same);
	weft_ctx_leave(up);
	T_EQ(weft_promise_resolve(p, NULL), 0);
	T_EQ(weft_future_await(g, &same), 0);
	T_OK(same);
	weft_promise_free(p);
	weft_future_free(f);
	weft_future_free(g);
	weft_ctx_free(c);
	return 0;
}

/* fn runs under the context of who asked for it. */
TEST_WORKERS(context)
{
	run(context_main, NULL);
}

static void *thread_resolves(void *arg)
{
	T_EQ(weft_promise_resolve(arg, NULL), 0);
	weft_promise_free(arg);
	return NULL;
}

static int thread_main(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20; i++) {
		weft_promise *p;
		weft_future *f;
		pthread_t th;

		T_EQ(weft_promise_make(sizeof(int), &p, &f), 0);
		f = mapped(f, adds, NULL);
		T_EQ(pthread_create(&th, NULL, thread_resolves, p), 0);
		T_EQ(get(f), 1);
		T_EQ(pthread_join(th, NULL), 0);
	}
	return 0;
}

TEST_WORKERS(ended_by_a_thread)
{
	run(thread_main, NULL);
}

/* No task can be started: the new future says why. */
TEST(no_runtime_to_run_it)
{
	int v = 3;
	weft_future *f = weft_future_ready(&v, sizeof v), *g = weft_future_map(f, adds, NULL, sizeof v),
		    *h = weft_future_map(g, adds, NULL, 4);

	T_EQ(weft_future_poll(g, NULL), WEFT_ESRCH);
	T_EQ(weft_future_poll(h, NULL), WEFT_ESRCH);
	weft_future_free(f);
	weft_future_free(g);
	weft_future_free(h);
}

static int full_main(void *arg)
{
	int v = 3;
	weft_future *f = weft_future_ready(&v, sizeof v);

	(void)arg;
	T_EQ(get(weft_future_map(f, adds, NULL, sizeof v)), WEFT_EAGAIN);
	T_EQ(weft_go_future(seven, NULL, sizeof v), NULL);
	weft_future_free(f);
	return 0;
}

TEST(max_tasks)
{
	T_EQ(run_with(full_main, NULL, (weft_opts){.workers = 1, .max_tasks = 1}), 0);
}

/* --- cancel against the end, at the same instant --- */

struct race {
	weft_future *f;
	ATOMIC(int) fire;
};

static int cancels(void *arg)
{
	struct race *r = arg;

	until(load_acquire(&r->fire));
	return weft_future_cancel(r->f);
}

static int quick(const void *value, void *out, void *arg)
{
	(void)value;
	(void)arg;
	*(int *)out = 5;
	weft_task_yield();
	return 0;
}

static int race_main(void *arg)
{
	long n = tap_iters(2000);
	int outcomes[2] = {0, 0};

	(void)arg;
	for (long i = 0; i < n; i++) {
		struct race r = {.fire = 0};
		weft_promise *p;
		weft_future *f;
		weft_task *t;
		int rc, got;

		T_EQ(weft_promise_make(0, &p, &f), 0);
		r.f = mapped(f, quick, NULL);
		t = start(cancels, &r);
		if (i % 2)
			weft_task_yield();
		store_release(&r.fire, 1);
		(void)weft_promise_resolve(p, NULL); /* too late, if it is cancelled: nobody else wants it */
		got = weft_future_await(r.f, &rc);
		rc = finish(t);
		T_OK(rc == 0 ? got == WEFT_ECANCELED : rc == WEFT_EALREADY && got == 0);
		outcomes[rc == 0]++;
		weft_future_free(r.f);
		weft_promise_free(p);
	}
	tap_note("%d ended, %d cancelled", outcomes[0], outcomes[1]);
	until_others_end(); /* what was cancelled may be on its way yet */
	return 0;
}

TEST_WORKERS(cancelled_as_it_ends)
{
	run(race_main, NULL);
}

static ATOMIC(weft_future *) left;

static int waits_for_ever(void *arg, void *out)
{
	(void)out;
	add_relaxed((ATOMIC(int) *)arg, 1); /* a flag */
	return weft_task_sleep_until(WEFT_FOREVER);
}

static int leaves_main(void *arg)
{
	ATOMIC(int) begun = 0;

	(void)arg;
	store_release(&left, weft_go_future(waits_for_ever, (void *)&begun, 0));
	until(load_relaxed(&begun));
	return 0;
}

static int minds_itself(void *arg)
{
	(void)arg;
	weft_task_yield();
	return weft_ctx_check();
}

static int next_main(void *arg)
{
	weft_task *t[50];

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		t[i] = start(minds_itself, NULL);
	T_EQ(weft_future_cancel(load_acquire(&left)), 0); /* its task is no more: nobody else is cancelled for it */
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* A runtime goes down with the task of a future; the future is cancelled in the next one. */
TEST_WORKERS(cancelled_in_another_runtime)
{
	ends_with_main();
	T_EQ(weft_run(leaves_main, NULL, &(weft_opts){.workers = (int)tap_workers()}), 0);
	T_EQ(weft_run(next_main, NULL, &(weft_opts){.workers = (int)tap_workers()}), 0);
	weft_future_free(load_acquire(&left));
}

/* --- where they are said to have been started --- */

static weft_event stays;

static int of_go(void *arg, void *out)
{
	(void)arg;
	(void)out;
	return weft_event_wait(&stays);
}

static int of_map(const void *value, void *out, void *arg)
{
	(void)value;
	return of_go(arg, out);
}

static int of_then(int status, const void *value, void *out, void *arg)
{
	(void)status;
	(void)value;
	return of_go(arg, out);
}

static void shown(const char *fn, int line)
{
	char head[100], tail[100];
	char *text;

	snprintf(head, sizeof head, " %s: parked, event", fn);
	snprintf(tail, sizeof tail, "future_then.c:%d\n", line);
	do { /* until it waits */
		let_run();
		text = dumped();
		if (strstr(text, head))
			break;
		free(text);
	} while (true);
	T_STR_HAS(strstr(text, head), tail);
	T_OK(strstr(text, "src/sync/") == NULL);
	free(text);
}

static int places_main(void *arg)
{
	int at_go, at_map, at_then;
	weft_future *go, *map, *then, *none = weft_future_ready(NULL, 0);

	(void)arg;
	stays = (weft_event){0};
	go = weft_go_future(of_go, NULL, 0), at_go = __LINE__;
	map = weft_future_map(none, of_map, NULL, 0), at_map = __LINE__;
	then = weft_future_then(none, of_then, &(struct { int a, b; }){1, 2}, 0), at_then = __LINE__; /* commas are no more than commas */
	shown("of_go", at_go);
	shown("of_map", at_map);
	shown("of_then", at_then);
	weft_event_set(&stays);
	T_EQ(weft_future_await(go, NULL), 0);
	T_EQ(weft_future_await(map, NULL), 0);
	T_EQ(weft_future_await(then, NULL), 0);
	weft_future_free(go);
	weft_future_free(map);
	weft_future_free(then);
	T_EQ(get((weft_go_future)(seven, NULL, sizeof(int))), 7); /* without a place */
	map = (weft_future_map)(none, of_map, NULL, 0);
	then = (weft_future_then)(map, of_then, NULL, 0);
	weft_future_free(map);
	T_EQ(weft_future_await(then, NULL), 0);
	weft_future_free(then);
	weft_future_free(none);
	until_others_end(); /* they give back what they have */
	return 0;
}

/* Their tasks are their callers', also in dumps and reports. */
TEST_WORKERS(places)
{
	run(places_main, NULL);
}
