/* SPDX-License-Identifier: MIT
 *
 * watch.c - watched values: the latest is never missed and never torn, and waiting for it ends as all waiting does.
 */
#include "late.h"

#include "weft/watch.h"
#include <pthread.h>

static void set(weft_watch *w, int v)
{
	T_EQ(weft_watch_set(w, &v), 0);
}

static int versions_main(void *arg)
{
	int first = 7, v = -1;
	weft_watch *w = weft_watch_make(sizeof(int), &first);
	uint64_t seen = 0;

	(void)arg;
	T_EQ(weft_watch_get(w, &v), 1);
	T_EQ(v, 7);
	v = -1;
	T_EQ(weft_watch_changed(w, &seen, &v), 0); /* none seen yet */
	T_EQ(v, 7);
	T_EQ(seen, 1);
	v = -1;
	T_EQ(weft_watch_changed_until(w, &seen, &v, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_watch_changed_until(w, &seen, &v, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(v, -1);
	T_EQ(seen, 1);
	for (int i = 0; i < 5; i++)
		set(w, i);
	T_EQ(weft_watch_changed(w, &seen, &v), 0); /* the latest; those between are skipped */
	T_EQ(v, 4);
	T_EQ(seen, 6);
	set(w, 4); /* the same value is a change */
	T_EQ(weft_watch_changed(w, &seen, NULL), 0);
	T_EQ(seen, 7);
	set(w, 5);
	T_EQ(weft_watch_close(w), 0);
	T_EQ(weft_watch_close(w), WEFT_ECLOSED);
	T_EQ(weft_watch_set(w, &v), WEFT_ECLOSED);
	T_EQ(weft_watch_changed(w, &seen, &v), 0); /* the last is news, also after the close */
	T_EQ(v, 5);
	v = -1;
	T_EQ(weft_watch_changed(w, &seen, &v), WEFT_ECLOSED);
	T_EQ(v, -1);
	T_EQ(seen, 8);
	T_EQ(weft_watch_get(w, &v), 8);
	T_EQ(v, 5);
	weft_watch_free(weft_watch_ref(w));
	weft_watch_free(w);
	return 0;
}

TEST_WORKERS(versions)
{
	run(versions_main, NULL);
}

TEST(arguments)
{
	weft_watch *w = weft_watch_make(8, NULL);
	uint64_t v = 9, seen = 0;

	T_EQ(weft_watch_get(w, &v), 1);
	T_EQ(v, 0);
	T_EQ(weft_watch_make(65536, NULL), NULL);
	T_EQ(weft_watch_make(SIZE_MAX, NULL), NULL);
	T_EQ(weft_watch_set(NULL, &v), WEFT_EINVAL);
	T_EQ(weft_watch_close(NULL), WEFT_EINVAL);
	T_EQ(weft_watch_changed(NULL, &seen, &v), WEFT_EINVAL);
	T_EQ(weft_watch_changed(w, NULL, &v), WEFT_EINVAL);
	weft_case cases[] = {WEFT_WATCH(NULL, &seen), WEFT_WATCH(w, NULL)};
	T_EQ(weft_chan_select(cases, 2), WEFT_EINVAL);
	T_EQ(weft_chan_select_until(cases, 1, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	weft_watch_free(w);
	weft_watch_free(NULL);
	w = weft_watch_make(0, NULL); /* changes only */
	T_EQ(weft_watch_set(w, NULL), 0);
	T_EQ(weft_watch_get(w, NULL), 2);
	weft_watch_free(w);
}

/* --- waiting --- */

struct waiting {
	weft_watch *w;
	uint64_t seen;
};

static int waits(void *arg)
{
	struct waiting *a = arg;
	int v = -1, rc = weft_watch_changed(a->w, &a->seen, &v);

	return rc ? rc : v;
}

static weft_task *start_wait(struct waiting *a, weft_watch *w)
{
	weft_task *t;

	a->w = w;
	a->seen = weft_watch_get(w, NULL);
	t = start(waits, a);
	until_reason(t, "watch");
	return t;
}

static int waiting_main(void *arg)
{
	enum { N = 10 };
	weft_watch *w = weft_watch_make(sizeof(int), NULL);
	struct waiting a[N];
	weft_task *t[N];

	(void)arg;
	for (int k = 0; k < 20; k++) {
		for (int i = 0; i < N; i++)
			t[i] = start_wait(&a[i], w);
		set(w, k);
		for (int i = 0; i < N; i++) {
			T_EQ(finish(t[i]), k);
			T_EQ(a[i].seen, k + 2);
		}
	}
	t[0] = start_wait(&a[0], w);
	T_EQ(weft_task_cancel(t[0]), 0);
	T_EQ(finish(t[0]), WEFT_ECANCELED);
	t[0] = start_wait(&a[0], w);
	T_EQ(weft_watch_close(w), 0);
	T_EQ(finish(t[0]), WEFT_ECLOSED);
	weft_watch_free(w);
	return 0;
}

/* Woken, cancelled, closed during. */
TEST_WORKERS(waiting)
{
	run(waiting_main, NULL);
}

struct picking {
	weft_watch *w;
	weft_chan *c;
	uint64_t seen;
	int status;
};

static int picks(void *arg)
{
	struct picking *p = arg;
	weft_case cases[] = {WEFT_RECV(p->c, NULL), WEFT_WATCH(p->w, &p->seen), WEFT_WATCH(NULL, &p->seen)};
	int rc = weft_chan_select(cases, 3);

	p->status = rc >= 0 ? cases[rc].status : 0;
	return rc;
}

static int select_main(void *arg)
{
	struct picking p = {weft_watch_make(sizeof(int), NULL), weft_chan_make(sizeof(int), 0), 0, -1};
	weft_task *t;

	(void)arg;
	T_EQ(picks(&p), 1);
	T_EQ(p.seen, 1);
	T_EQ(p.status, 0);
	t = start(picks, &p);
	until_reason(t, "select");
	set(p.w, 5);
	T_EQ(finish(t), 1);
	T_EQ(p.seen, 2);
	t = start(picks, &p);
	until_reason(t, "select");
	T_EQ(weft_chan_send(p.c, &(int){1}), 0);
	T_EQ(finish(t), 0);
	T_EQ(p.seen, 2);
	T_EQ(weft_watch_close(p.w), 0);
	T_EQ(picks(&p), 1);
	T_EQ(p.status, WEFT_ECLOSED);
	weft_watch_free(p.w);
	weft_chan_free(p.c);
	return 0;
}

TEST_WORKERS(in_a_select)
{
	run(select_main, NULL);
}

static void late_set(void *arg)
{
	set(arg, 6);
}

static int late_main(void *arg)
{
	weft_watch *w = weft_watch_make(sizeof(int), NULL);
	uint64_t seen = 1;
	struct late late = {late_set, w};
	weft_case before[] = {WEFT_WATCH(w, &seen), LATE(&late)}, after[] = {LATE(&late), WEFT_WATCH(w, &seen)};

	(void)arg;
	T_EQ(weft_chan_select(before, 2), 0);
	T_EQ(seen, 2);
	T_EQ(weft_chan_select(after, 2), 1);
	T_EQ(seen, 3);
	weft_watch_free(w);
	return 0;
}

/* Changed between the look and the listing, or just after it. */
TEST_WORKERS(set_while_others_are_listed)
{
	run(late_main, NULL);
}

/* --- never torn, the last never missed --- */

struct wide {
	long part[512];
};

struct crowd {
	weft_watch *w;
	long n;
};

static int looks(void *arg)
{
	struct crowd *c = arg;
	uint64_t seen = 0, before = 0;
	struct wide v;
	long last = -1;

	for (int k = 0;; k++) {
		int rc;

		if (k % 2) {
			weft_case cases[] = {WEFT_WATCH(c->w, &seen)};

			T_EQ(weft_chan_select(cases, 1), 0);
			rc = cases[0].status;
			if (!rc)
				seen = weft_watch_get(c->w, &v);
		} else {
			rc = weft_watch_changed(c->w, &seen, &v);
		}
		if (rc == WEFT_ECLOSED)
			break;
		T_EQ(rc, 0);
		T_GT(seen, before);
		before = seen;
		for (size_t i = 0; i < ARRAY_LEN(v.part); i++)
			T_EQ(v.part[i], (long)seen - 1);
		last = v.part[0];
	}
	T_EQ(last, c->n);
	return 0;
}

static void *thread_looks(void *arg)
{
	looks(arg);
	return NULL;
}

static int crowd_main(void *arg)
{
	struct wide v = {.part = {0}};
	struct crowd c = {weft_watch_make(sizeof v, &v), tap_iters(5000)};
	weft_task *t[5];
	pthread_t thread;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		t[i] = start(looks, &c);
	T_EQ(pthread_create(&thread, NULL, thread_looks, &c), 0);
	for (long k = 1; k <= c.n; k++) {
		for (size_t i = 0; i < ARRAY_LEN(v.part); i++)
			v.part[i] = k;
		T_EQ(weft_watch_set(c.w, &v), 0);
		if (k % 5 == 0)
			weft_task_yield();
	}
	T_EQ(weft_watch_close(c.w), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		finish(t[i]);
	T_EQ(pthread_join(thread, NULL), 0);
	weft_watch_free(c.w);
	return 0;
}

/* Value and version belong together, versions grow, and all see the last, tasks and a thread outside. */
TEST_WORKERS(never_torn)
{
	run(crowd_main, NULL);
}

static int freed_main(void *arg)
{
	struct waiting a;
	weft_watch *w = weft_watch_make(0, NULL);

	(void)arg;
	weft_task_detach(start_wait(&a, w));
	weft_watch_free(w);
	return 0;
}

TEST_DIES_WORKERS(freed_while_waited_for, "weft_watch_free: task")
{
	run(freed_main, NULL);
}
