/* SPDX-License-Identifier: MIT
 *
 * pool.c - thread pools: calls and jobs with futures, from tasks and from threads; handles of threads; bounds; the end of a pool, and of the runtime under it.
 */
#include "rt.h"

#include "base/cpus.h"
#include "core/offload.h"
#include "failpoint.h"
#include "sync/future.h"
#include "weft/actor.h"
#include "weft/blocking.h"
#include "weft/future.h"
#include "weft/pool.h"
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct gate {
	sem_t open;
	ATOMIC(int) entered, passed;
};

static void gate_init(struct gate *g)
{
	store_relaxed(&g->entered, 0);
	store_relaxed(&g->passed, 0);
	T_EQ(sem_init(&g->open, 0, 0), 0);
}

static int passes(void *arg)
{
	struct gate *g = arg;

	add_acq_rel(&g->entered, 1);
	while (sem_wait(&g->open) && errno == EINTR)
		;
	return add_acq_rel(&g->passed, 1) + 1;
}

static int where(void *arg)
{
	*(int *)arg = gettid();
	return weft_task_self() == NULL && weft_task_worker() == 0 ? 42 : -1;
}

static ATOMIC(int) counter;

static int counts(void *arg)
{
	return add_acq_rel(&counter, 1) + (int)(intptr_t)arg;
}

static weft_pool *make(weft_pool_opts o)
{
	weft_pool *p;

	T_EQ(weft_pool_make(&p, &o), 0);
	return p;
}

static weft_future *submit(weft_pool *p, weft_task_fn *fn, void *arg)
{
	weft_future *f;

	T_EQ(weft_pool_submit(p, fn, arg, &f), 0);
	return f;
}

static int await(weft_future *f)
{
	int v = -1, rc = weft_future_await(f, &v);

	weft_future_free(f);
	return rc ? rc : v;
}

static weft_pool_stat stats(weft_pool *p)
{
	weft_pool_stat s;

	weft_pool_stats(p, &s);
	return s;
}

/* --- calls and futures --- */

static int call_main(void *arg)
{
	weft_pool *p = make((weft_pool_opts){.max = 2});
	int tid = 0, ret = 0;

	(void)arg;
	T_EQ(weft_pool_call(p, where, &tid, &ret), 0);
	T_EQ(ret, 42);
	T_NE(tid, gettid());
	T_EQ(weft_pool_call(p, where, &tid, NULL), 0);
	T_EQ(weft_pool_call(p, NULL, NULL, &ret), WEFT_EINVAL);
	T_EQ(weft_pool_call_until(p, where, &tid, &ret, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_pool_call_until(p, where, &tid, &ret, 1), WEFT_ETIMEDOUT);
	T_EQ(stats(p).ran, 2);
	T_EQ(weft_pool_free(p), 0);
	T_EQ(weft_pool_free(NULL), 0);
	return 0;
}

/* A call runs on a thread of the pool, off any task, and its result comes back. */
TEST_WORKERS(runs_elsewhere)
{
	run(call_main, NULL);
}

static int twice(const void *value, void *out, void *arg)
{
	(void)arg;
	*(int *)out = 2 * *(const int *)value;
	return 0;
}

static int futures_main(void *arg)
{
	weft_pool *p = make((weft_pool_opts){.max = 2});
	weft_future *f[8], *g;
	int v[8], tid;

	(void)arg;
	store_relaxed(&counter, 0);
	for (int i = 0; i < 8; i++)
		f[i] = submit(p, counts, NULL);
	T_EQ(weft_future_all(f, 8, v, 0), 0);
	for (int i = 0; i < 8; i++)
		weft_future_free(f[i]);
	T_EQ(load_acquire(&counter), 8);
	T_EQ(await(submit(p, where, &tid)), 42);
	f[0] = submit(p, where, &tid);
	g = weft_future_map(f[0], twice, NULL, sizeof(int)); /* a task follows */
	weft_future_free(f[0]);
	T_EQ(await(g), 84);
	f[0] = submit(p, where, &tid);
	T_EQ(weft_chan_select((weft_case[]){WEFT_FUTURE(f[0], &v[0])}, 1), 0);
	T_EQ(v[0], 42);
	weft_future_free(f[0]);
	T_EQ(weft_pool_submit(p, counts, NULL, NULL), 0); /* nobody wants to know */
	until(load_acquire(&counter) == 9);
	T_EQ(weft_pool_submit(p, NULL, NULL, &g), WEFT_EINVAL);
	T_OK(g == NULL);
	T_EQ(weft_pool_free(p), 0);
	return 0;
}

/* The result of a job is a future like any other. */
TEST_WORKERS(results_are_futures)
{
	run(futures_main, NULL);
}

static int cancelled_main(void *arg)
{
	weft_pool *p = make((weft_pool_opts){.max = 1});
	weft_future *running, *waits, *freed;
	struct gate g;

	(void)arg;
	gate_init(&g);
	store_relaxed(&counter, 0);
	running = submit(p, passes, &g);
	until(load_acquire(&g.entered) == 1);
	waits = submit(p, counts, NULL);
	freed = submit(p, counts, NULL);
	T_EQ(stats(p).queued, 2);
	weft_future_free(freed);
	T_EQ(stats(p).queued, 1);
	T_EQ(weft_future_cancel(waits), 0);
	T_EQ(stats(p).queued, 0);
	T_EQ(await(waits), WEFT_ECANCELED);
	T_EQ(weft_future_cancel(running), 0); /* it goes on */
	T_EQ(weft_future_cancel(running), WEFT_EALREADY);
	T_EQ(await(running), WEFT_ECANCELED);
	T_EQ(load_acquire(&g.passed), 0);
	sem_post(&g.open);
	T_EQ(weft_pool_free(p), 0);
	T_EQ(load_acquire(&g.passed), 1);
	T_EQ(load_acquire(&counter), 0);
	weft_task_cancel(weft_task_self());
	T_EQ(weft_pool_submit(NULL, counts, NULL, &waits), WEFT_ECANCELED);
	T_EQ(weft_pool_call(NULL, counts, NULL, NULL), WEFT_ECANCELED);
	return 0;
}

/* Cancelled before it began a job never does; later it goes on, and what it returns is dropped. */
TEST_WORKERS(cancelled)
{
	run(cancelled_main, NULL);
}

static int inline_too(void *arg)
{
	int tid = 0, ret = 0;

	T_EQ(weft_pool_call(arg, where, &tid, &ret), 0);
	return ret == 42 && tid == gettid();
}

struct caller {
	weft_pool *p;
	struct gate *g;
	int64_t deadline;
};

static int calls_gate(void *arg)
{
	struct caller *c = arg;
	int ret = -1, rc = weft_pool_call_until(c->p, passes, c->g, &ret, c->deadline);

	return rc ? rc : ret;
}

static int given_up_main(void *arg)
{
	struct caller c, late;
	weft_task *first, *second, *third;
	struct gate g;

	(void)arg;
	gate_init(&g);
	time_fake();
	c = (struct caller){make((weft_pool_opts){.max = 1}), &g, WEFT_FOREVER};
	late = (struct caller){c.p, &g, weft_in(WEFT_SEC)};
	first = start(calls_gate, &c);
	until(load_acquire(&g.entered) == 1);
	second = start(calls_gate, &c);
	third = start(calls_gate, &late);
	until_reason(second, "blocking call");
	until_reason(third, "blocking call");
	until(stats(c.p).queued == 2);
	weft_task_cancel(second);
	T_EQ(finish(second), WEFT_ECANCELED);
	time_move(2 * WEFT_SEC);
	T_EQ(finish(third), WEFT_ETIMEDOUT);
	weft_task_cancel(first); /* it runs: waited for */
	weft_task_yield();
	T_NE(weft_task_stateof(first), WEFT_TASK_DONE);
	sem_post(&g.open);
	T_EQ(finish(first), 1);
	T_EQ(stats(c.p).withdrawn, 2);
	time_real();
	T_EQ(weft_pool_free(c.p), 0);
	return 0;
}

/* A call that is given up before it began does not run; after that it is waited for. */
TEST_WORKERS(calls_given_up)
{
	run(given_up_main, NULL);
}

/* Keeps its worker for a millisecond a turn. */
static int heavy(void *arg)
{
	while (!load_acquire((ATOMIC(bool) *)arg)) {
		for (int64_t end = weft_now() + WEFT_MS; weft_now() < end;)
			cpu_relax();
		weft_task_yield();
	}
	return 0;
}

static int slow_to_hear_main(void *arg)
{
	struct caller c;
	struct gate g;
	ATOMIC(bool) over = false;
	weft_task *t, *others[3];

	(void)arg;
	gate_init(&g);
	c = (struct caller){make((weft_pool_opts){.max = 1}), &g, WEFT_FOREVER};
	T_EQ(weft_pool_submit(c.p, passes, &g, NULL), 0);
	until(load_acquire(&g.entered) == 1); /* who is queued below is t */
	T_EQ(weft_go_opts(&t, calls_gate, &c, &(weft_task_opts){.prio = WEFT_PRIO_LOW}), 0);
	until(stats(c.p).queued == 1);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		others[i] = start(heavy, &over);
	T_EQ(weft_task_prio(NULL, WEFT_PRIO_HIGH), 0);
	weft_task_yield();
	weft_task_cancel(t); /* it is told, and has not run */
	sem_post(&g.open);
	sem_post(&g.open); /* also its own job may be begun */
	T_EQ(weft_pool_free(c.p), 0);
	T_NE(finish(t), 0);
	store_release(&over, true);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		T_EQ(finish(others[i]), 0);
	T_EQ(weft_task_prio(NULL, WEFT_PRIO_NORMAL), 0);
	return 0;
}

/* Who has been told to give up, and has not run yet, finds the pool freed. */
TEST(freed_under_a_call)
{
	for (int i = 0; i < 3; i++)
		T_EQ(run_with(slow_to_hear_main, NULL, (weft_opts){.workers = 1}), 0);
}

/* --- from outside --- */

static void *outside(void *arg)
{
	weft_pool *p = arg;
	int tid = 0, ret = 0;

	T_EQ(weft_pool_call(p, where, &tid, &ret), 0);
	T_EQ(ret, 42);
	T_NE(tid, gettid()); /* as it may need what the thread has */
	for (int i = 0; i < 20; i++)
		T_EQ(await(submit(p, where, &tid)), 42);
	return NULL;
}

static int outside_main(void *arg)
{
	weft_pool *p = make((weft_pool_opts){.max = 2});
	pthread_t th[3];

	(void)arg;
	for (int i = 0; i < 3; i++)
		T_EQ(pthread_create(&th[i], NULL, outside, i < 2 ? p : WEFT_POOL_DEFAULT), 0);
	until(stats(p).ran == 42 && stats(NULL).ran >= 21);
	for (int i = 0; i < 3; i++)
		WEFT_BLOCKING
		{
			T_EQ(pthread_join(th[i], NULL), 0);
		}
	T_EQ(weft_pool_free(p), 0);
	return 0;
}

/* Threads that weft did not make use it as tasks do. */
TEST_WORKERS(from_outside)
{
	run(outside_main, NULL);
}

/* --- without a worker --- */

struct up {
	pthread_t th;
	weft_opts o;
	int rc;
};

static int nothing_to_do(void *arg)
{
	(void)arg;
	return 5;
}

static void *up_main(void *arg)
{
	struct up *u = arg;

	u->rc = weft_run(nothing_to_do, NULL, &u->o);
	return NULL;
}

static void up_paused(struct up *u)
{
	*u = (struct up){.o = {.workers = tap_workers(), .paused = true}};
	T_EQ(pthread_create(&u->th, NULL, up_main, u), 0);
	until(weft_state() == WEFT_STATE_PAUSED);
}

static void resume(struct up *u)
{
	T_EQ(weft_state(), WEFT_STATE_PAUSED);
	T_EQ(weft_resume(), 0);
	T_EQ(pthread_join(u->th, NULL), 0);
	T_EQ(u->rc, 5);
	nothing_left();
}

/* Who brings a runtime up paused may use pools before it resumes it: calls, futures, and the end of a pool. */
TEST_WORKERS(while_paused)
{
	weft_pool *p, *q;
	struct up u;
	int tid = 0, ret = 0;

	up_paused(&u);
	store_relaxed(&counter, 0);
	p = make((weft_pool_opts){.min = 2, .max = 2, .idle = WEFT_FOREVER});
	T_EQ(weft_pool_call(p, where, &tid, &ret), 0);
	T_EQ(ret, 42);
	T_NE(tid, gettid());
	T_EQ(weft_pool_call_until(WEFT_POOL_DEFAULT, where, &tid, &ret, weft_in(WEFT_SEC * 1000)), 0);
	for (int i = 0; i < 10; i++)
		T_EQ(await(submit(p, counts, NULL)), i);
	q = make((weft_pool_opts){.max = 1});
	T_EQ(await(submit(p, inline_too, q)), 0); /* from a job */
	T_EQ(weft_pool_free(p), 0);
	T_EQ(weft_pool_free(q), 0);
	p = make((weft_pool_opts){.max = 1});
	T_EQ(weft_pool_free(p), 0); /* it has never had a thread */
	p = make((weft_pool_opts){.max = 1});
	T_EQ(weft_pool_free_until(p, WEFT_NOW), 0);
	resume(&u);
}

/* Deadlines count there, too; what is withdrawn is told of; and a job that has begun ends its future after its pool has been given up. */
TEST_WORKERS(given_up_while_paused)
{
	weft_future *running, *waits, *none;
	struct gate g;
	struct up u;
	weft_pool *p;

	up_paused(&u);
	gate_init(&g);
	store_relaxed(&counter, 0);
	p = make((weft_pool_opts){.max = 1, .queue = 1});
	running = submit(p, passes, &g);
	until(load_acquire(&g.entered) == 1);
	waits = submit(p, counts, NULL);
	T_EQ(weft_pool_submit_until(p, counts, NULL, &none, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_OK(none == NULL);
	T_EQ(weft_pool_call_until(p, counts, NULL, NULL, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_pool_free_until(p, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(await(waits), WEFT_EDOWN);
	T_EQ(weft_future_poll(running, NULL), WEFT_EAGAIN);
	sem_post(&g.open);
	T_EQ(await(running), 1);
	T_EQ(load_acquire(&counter), 0);
	resume(&u);
}

static void *posts_when_one_waits(void *arg)
{
	struct caller *c = arg;

	until(stats(c->p).queued == 1);
	sem_post(&c->g->open);
	return NULL;
}

/* Who waits for room is let in. */
TEST_WORKERS(room_while_paused)
{
	weft_future *running, *waits;
	struct caller c;
	struct gate g;
	struct up u;
	pthread_t th;
	int ret = 0;

	up_paused(&u);
	gate_init(&g);
	store_relaxed(&counter, 0);
	c = (struct caller){make((weft_pool_opts){.max = 1, .queue = 1}), &g, 0};
	running = submit(c.p, passes, &g);
	until(load_acquire(&g.entered) == 1);
	waits = submit(c.p, counts, NULL);
	T_EQ(pthread_create(&th, NULL, posts_when_one_waits, &c), 0);
	T_EQ(weft_pool_call(c.p, counts, NULL, &ret), 0);
	T_EQ(ret, 1);
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(await(running), 1);
	T_EQ(await(waits), 0);
	T_EQ(weft_pool_free(c.p), 0);
	resume(&u);
}

struct busy {
	weft_pool *p;
	ATOMIC(bool) over;
};

static void *uses_it(void *arg)
{
	struct busy *b = arg;
	int tid = 0, ret = 0;

	T_EQ(weft_pool_call(b->p, where, &tid, &ret), 0);
	T_EQ(ret, 42);
	T_EQ(await(submit(b->p, where, &tid)), 42);
	T_EQ(weft_pool_free(b->p), 0);
	store_release(&b->over, true);
	return NULL;
}

static int busy_main(void *arg)
{
	struct busy b = {make((weft_pool_opts){.max = 1})};
	pthread_t th;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, uses_it, &b), 0);
	while (!load_acquire(&b.over)) /* and no other task, nor what workers hear, until then */
		sched_yield();
	WEFT_BLOCKING
	{
		T_EQ(pthread_join(th, NULL), 0);
	}
	return 0;
}

/* Nor does a thread outside need a worker that has no time. */
TEST(while_the_worker_is_busy)
{
	T_EQ(run_with(busy_main, NULL, (weft_opts){.workers = 1}), 0);
}

/* Without a runtime there is none, and nobody to run anything. */
TEST(no_runtime)
{
	weft_future *f = (weft_future *)&f;
	weft_pool *p = (weft_pool *)&p;
	int tid;

	T_EQ(weft_pool_make(&p, NULL), WEFT_ESRCH);
	T_OK(p == NULL);
	T_EQ(weft_pool_submit(WEFT_POOL_DEFAULT, where, &tid, &f), WEFT_ESRCH);
	T_OK(f == NULL);
	T_EQ(weft_pool_call(WEFT_POOL_DEFAULT, where, &tid, NULL), WEFT_ESRCH);
}

static int mute(void *arg)
{
	return (int)(intptr_t)arg;
}

static int alone_main(void *arg)
{
	weft_pool *p = make((weft_pool_opts){.max = 1});

	(void)arg;
	if (load_relaxed(&weft__solo.state) != SOLO_ON)
		tap_skip("nothing is elided here");
	T_EQ(weft_pool_call(p, mute, (void *)1, NULL), 0);
	T_EQ(await(submit(p, mute, (void *)2)), 2);
	T_EQ(weft_pool_free(p), 0);
	T_EQ(load_relaxed(&weft__solo.state), SOLO_ON);
	return 0;
}

/* A worker that is alone in weft stays so: threads of a pool, whose jobs make no call of weft's, do not count. */
TEST(alone_stays_alone)
{
	T_EQ(run_with(alone_main, NULL, (weft_opts){.workers = 1}), 0);
}

/* --- what belongs to a thread --- */

struct handles {
	ATOMIC(int) opened, closed, refuse;
};

static int opens(void **local, void *arg)
{
	struct handles *h = arg;
	int *handle;

	T_OK(*local == NULL);
	if (load_acquire(&h->refuse))
		return WEFT_ECONNREFUSED;
	handle = malloc(sizeof *handle);
	*handle = gettid();
	*local = handle;
	add_acq_rel(&h->opened, 1);
	return 0;
}

static void closes(void *local, void *arg)
{
	struct handles *h = arg;

	T_EQ(*(int *)local, gettid());
	free(local);
	add_acq_rel(&h->closed, 1);
}

static int uses(void *arg)
{
	int *handle = weft_pool_local();

	(void)arg;
	return handle && *handle == gettid();
}

static int handles_main(void *arg)
{
	struct handles h = {.opened = 0};
	weft_pool *p = make((weft_pool_opts){.min = 2, .max = 3, .idle = WEFT_FOREVER, .init = opens, .fini = closes, .arg = &h});
	weft_future *f[20];
	int ret;

	(void)arg;
	T_OK(weft_pool_local() == NULL);
	until(load_acquire(&h.opened) == 2); /* before there is work */
	for (int i = 0; i < 20; i++)
		f[i] = submit(p, uses, NULL);
	for (int i = 0; i < 20; i++)
		T_EQ(await(f[i]), 1);
	T_EQ(weft_pool_call(p, uses, NULL, &ret), 0);
	T_EQ(ret, 1);
	T_EQ(weft_pool_free(p), 0);
	T_LE(load_acquire(&h.opened), 3);
	T_EQ(load_acquire(&h.closed), load_acquire(&h.opened));
	return 0;
}

/* Each thread has what it needs before its first job, and gives it back before its pool has ended. */
TEST_WORKERS(handles)
{
	run(handles_main, NULL);
}

static int refused_main(void *arg)
{
	struct handles h = {.refuse = 1};
	weft_pool *p = make((weft_pool_opts){.min = 1, .max = 2, .init = opens, .fini = closes, .arg = &h});

	(void)arg;
	until(stats(p).failed == 1); /* the first thread, which nobody has asked for */
	until(stats(p).threads == 0);
	T_EQ(weft_pool_call(p, uses, NULL, NULL), WEFT_ECONNREFUSED);
	T_EQ(await(submit(p, uses, NULL)), WEFT_ECONNREFUSED);
	T_EQ(weft_pool_submit(p, uses, NULL, NULL), 0);
	until(stats(p).failed == 4);
	store_release(&h.refuse, 0);
	T_EQ(await(submit(p, uses, NULL)), 1); /* another try */
	T_EQ(stats(p).withdrawn, 3);
	T_EQ(weft_pool_free(p), 0);
	T_EQ(load_acquire(&h.closed), 1);
	return 0;
}

/* A thread that cannot have it is none; if it is the only one the jobs that wait fail with its code, and the next one has another try. */
TEST_WORKERS(no_handle)
{
	run(refused_main, NULL);
}

static int calls_itself(void **local, void *arg)
{
	weft_pool **p = arg;
	int tid = 0, ret = 0;

	while (!load_acquire((ATOMIC(weft_pool *) *)p)) /* it comes before weft_pool_make returns */
		sched_yield();
	T_EQ(weft_pool_call(load_acquire((ATOMIC(weft_pool *) *)p), where, &tid, &ret), 0);
	T_EQ(ret, 42);
	T_EQ(tid, gettid());
	T_OK(weft_pool_local() == NULL);
	*local = p;
	return 1;
}

static int has_local(void *arg)
{
	return weft_pool_local() == arg;
}

static void counts_fini(void *local, void *arg)
{
	T_OK(local == arg);
	add_acq_rel(&counter, 1);
}

static int own_init_main(void *arg)
{
	ATOMIC(weft_pool *) shown = NULL;
	weft_pool *p = make((weft_pool_opts){.max = 1, .init = calls_itself, .fini = counts_fini, .arg = (void *)&shown});

	(void)arg;
	store_relaxed(&counter, 0);
	store_release(&shown, p);
	T_EQ(await(submit(p, has_local, (void *)&shown)), 1);
	T_EQ(weft_pool_free(p), 0);
	T_EQ(load_acquire(&counter), 1);
	return 0;
}

/* What init calls of its own pool runs on that thread, before it has its handle; a positive result is success. */
TEST_WORKERS(init_calls_its_pool)
{
	run(own_init_main, NULL);
}

struct order {
	struct gate g;
	weft_pool *p;
	ATOMIC(int) inits, n;
	ATOMIC(bool) fail;
	char came[4];
};

struct stamp {
	struct order *o;
	char c;
};

static int second_fails(void **local, void *arg)
{
	struct order *o = arg;

	(void)local;
	if (add_acq_rel(&o->inits, 1) != 1)
		return 0;
	while (!load_acquire(&o->fail))
		sched_yield();
	return WEFT_ECONNREFUSED;
}

static int stamps(void *arg)
{
	struct stamp *s = arg;

	s->o->came[add_acq_rel(&s->o->n, 1)] = s->c;
	return 0;
}

static int stamp_call(void *arg)
{
	return weft_pool_call(((struct stamp *)arg)->o->p, stamps, arg, NULL);
}

static int order_main(void *arg)
{
	struct order o = {.n = 0};
	struct stamp b = {&o, 'b'}, c = {&o, 'c'}, d = {&o, 'd'};
	weft_task *t[3];
	weft_future *f;

	(void)arg;
	gate_init(&o.g);
	o.p = make((weft_pool_opts){.max = 2, .queue = -1, .init = second_fails, .arg = &o});
	f = submit(o.p, passes, &o.g);
	until(load_acquire(&o.g.entered) == 1);
	t[0] = start(stamp_call, &b); /* for which there is a second thread, it seems */
	until(load_acquire(&o.inits) == 2);
	t[1] = start(stamp_call, &c);
	until_reason(t[1], "blocking call");
	T_EQ(stats(o.p).queued, 1); /* c stands outside */
	store_release(&o.fail, true);
	until(stats(o.p).threads == 1);
	t[2] = start(stamp_call, &d);
	for (int i = 0; i < 3; i++)
		T_EQ(finish(t[i]), 0);
	T_OK(memcmp(o.came, "bcd", 3) == 0);
	sem_post(&o.g.open);
	T_EQ(await(f), 1);
	T_EQ(weft_pool_free(o.p), 0);
	return 0;
}

/* Jobs begin in the order in which they came, also where a thread has left whom those outside waited for. */
TEST_WORKERS(first_come)
{
	run(order_main, NULL);
}

static int idle_main(void *arg)
{
	struct handles h = {.opened = 0};
	weft_pool *p = make((weft_pool_opts){.min = 1, .max = 3, .idle = WEFT_MS, .init = opens, .fini = closes, .arg = &h});
	struct gate g;
	weft_future *f[3];

	(void)arg;
	gate_init(&g);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3; i++)
			f[i] = submit(p, passes, &g);
		until(load_acquire(&g.entered) == 3 * (round + 1));
		T_EQ(stats(p).threads, 3);
		for (int i = 0; i < 3; i++)
			sem_post(&g.open);
		for (int i = 0; i < 3; i++)
			T_GT(await(f[i]), 0);
		until(stats(p).threads == 1);
	}
	T_EQ(weft_pool_free(p), 0);
	T_EQ(load_acquire(&h.closed), load_acquire(&h.opened));
	return 0;
}

/* Threads that have nothing to do end, but for the least number. */
TEST_WORKERS(idle_threads_end)
{
	run(idle_main, NULL);
}

static int churn_main(void *arg)
{
	struct handles h = {.opened = 0};
	weft_pool *p = make((weft_pool_opts){.max = 1, .idle = 1, .init = opens, .fini = closes, .arg = &h});

	(void)arg;
	for (int i = 0; i < tap_iters(300); i++)
		T_EQ(await(submit(p, uses, NULL)), 1);
	T_EQ(weft_pool_free(p), 0);
	T_EQ(load_acquire(&h.closed), load_acquire(&h.opened));
	return 0;
}

/* A job that comes while its only thread is about to end is not lost, and finds a handle. */
TEST_WORKERS(ends_and_begins)
{
	run(churn_main, NULL);
}

static int on_cpu(void *arg)
{
	cpu_set_t set;

	T_EQ(sched_getaffinity(0, sizeof set, &set), 0);
	return CPU_COUNT(&set) == 1 && CPU_ISSET(*(int *)arg, &set);
}

static int named(void *arg)
{
	char name[16] = "";

	(void)arg;
	T_EQ(pthread_getname_np(pthread_self(), name, sizeof name), 0);
	return strcmp(name, "a name that is ") == 0;
}

static int cpus_main(void *arg)
{
	int cpu = 0, none[] = {CPU_SETSIZE - 1}, out[] = {CPU_SETSIZE}, below[] = {-1};
	cpu_set_t set;
	weft_pool *p;

	(void)arg;
	T_EQ(sched_getaffinity(0, sizeof set, &set), 0);
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	p = make((weft_pool_opts){.max = 1, .cpus = &cpu, .n_cpus = 1, .stack = 256 * 1024, .name = "a name that is too long"});
	T_EQ(await(submit(p, on_cpu, &cpu)), 1);
	T_EQ(await(submit(p, named, NULL)), 1);
	T_EQ(weft_pool_free(p), 0);
	if (!CPU_ISSET(CPU_SETSIZE - 1, &set))
		T_EQ(weft_pool_make(&p, &(weft_pool_opts){.cpus = none, .n_cpus = 1}), WEFT_EINVAL);
	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.cpus = out, .n_cpus = 1}), WEFT_EINVAL);
	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.cpus = below, .n_cpus = 1}), WEFT_EINVAL);
	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.cpus = below}), WEFT_EINVAL);
	if (!CPU_ISSET(CPU_SETSIZE - 1, &set)) /* one of several */
		T_EQ(weft_pool_make(&p, &(weft_pool_opts){.cpus = (int[]){cpu, CPU_SETSIZE - 1}, .n_cpus = 2}), WEFT_EINVAL);
	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.stack = (size_t)1 << 50}), WEFT_EINVAL);
	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.stack = 1}), WEFT_EINVAL);
	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.min = 2, .max = 1}), WEFT_EINVAL);
	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.min = -1}), WEFT_EINVAL);
	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.max = WEFT_POOL_THREADS_MAX + 1}), WEFT_EINVAL);
	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.queue = -2}), WEFT_EINVAL);
	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.idle = -1}), WEFT_EINVAL);
	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.full = (enum weft_pool_full)2}), WEFT_EINVAL);
	T_EQ(weft_pool_make(NULL, NULL), WEFT_EINVAL);
	T_OK(p == NULL);
	T_EQ(weft_pool_make(&p, NULL), 0);
	T_EQ(weft_pool_free(p), 0);
	return 0;
}

static int least_main(void *arg)
{
	int more = (int)weft__cpus_of(0) + 3;
	weft_pool *p = make((weft_pool_opts){.min = more});

	(void)arg;
	T_EQ(stats(p).threads, more);
	T_EQ(weft_pool_free(p), 0);
	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.min = WEFT_POOL_THREADS_MAX + 1}), WEFT_EINVAL);
	return 0;
}

/* Without a greatest number there are as many as there shall be at least. */
TEST_WORKERS(least_number)
{
	run(least_main, NULL);
}

static int bound_main(void *arg)
{
	int cpu = *(int *)arg, other = cpu ? 0 : 1;
	weft_pool *p;

	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.cpus = &other, .n_cpus = 1}), WEFT_EINVAL);
	T_EQ(weft_pool_make(&p, &(weft_pool_opts){.cpus = (int[]){cpu, other}, .n_cpus = 2}), WEFT_EINVAL);
	p = make((weft_pool_opts){.cpus = &cpu, .n_cpus = 1});
	T_EQ(await(submit(p, on_cpu, &cpu)), 1);
	T_EQ(weft_pool_free(p), 0);
	return 0;
}

/* Pools keep to the processors of the runtime. */
TEST_WORKERS(cpus_of_the_runtime)
{
	char list[16];
	cpu_set_t set;
	int cpu = 0;

	T_EQ(sched_getaffinity(0, sizeof set, &set), 0);
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	snprintf(list, sizeof list, "%d", cpu);
	T_EQ(run_with(bound_main, &cpu, (weft_opts){.cpuset = list}), 0);
}

/* Threads are called as they shall be, and run where they shall; options that make no sense are refused. */
TEST_WORKERS(options)
{
	run(cpus_main, NULL);
}

/* --- bounds --- */

static int full_main(void *arg)
{
	weft_pool *p = make((weft_pool_opts){.max = 1, .queue = 2, .full = WEFT_POOL_FAIL});
	weft_future *running, *one, *two, *three;
	struct gate g;

	(void)arg;
	gate_init(&g);
	running = submit(p, passes, &g);
	one = submit(p, counts, NULL); /* has room, whether the thread has begun or not */
	two = submit(p, counts, NULL);
	until(load_acquire(&g.entered) == 1);
	T_EQ(weft_pool_submit(p, counts, NULL, &three), WEFT_EOVERLOAD);
	T_EQ(weft_pool_call(p, counts, NULL, NULL), WEFT_EOVERLOAD);
	T_EQ(stats(p).refused, 2);
	T_EQ(weft_future_cancel(one), 0); /* makes room */
	three = submit(p, counts, NULL);
	T_EQ(weft_pool_submit(p, counts, NULL, NULL), WEFT_EOVERLOAD);
	sem_post(&g.open);
	T_EQ(await(running), 1);
	T_EQ(await(one), WEFT_ECANCELED);
	T_GE(await(two), 0);
	T_GE(await(three), 0);
	T_EQ(weft_pool_free(p), 0);

	p = make((weft_pool_opts){.max = 1, .queue = -1, .full = WEFT_POOL_FAIL});
	running = submit(p, passes, &g);
	T_EQ(weft_pool_submit(p, counts, NULL, &one), WEFT_EOVERLOAD);
	until(load_acquire(&g.entered) == 2);
	T_EQ(weft_pool_submit(p, counts, NULL, &one), WEFT_EOVERLOAD);
	sem_post(&g.open);
	T_EQ(await(running), 2);
	until(stats(p).busy == 0);
	while (weft_pool_submit(p, counts, NULL, &one)) /* until its thread has gone idle */
		let_run();
	T_GE(await(one), 0);
	T_EQ(weft_pool_free(p), 0);
	return 0;
}

/* So many jobs wait, and no more. */
TEST_WORKERS(full_fails)
{
	run(full_main, NULL);
}

struct submitter {
	weft_pool *p;
	int64_t deadline;
	int which;
	weft_future *f;
};

static ATOMIC(int) order[16], ordered;

static int notes(void *arg)
{
	int at = add_acq_rel(&ordered, 1);

	store_release(&order[at], (int)(intptr_t)arg);
	return at;
}

static int submits(void *arg)
{
	struct submitter *s = arg;

	return weft_pool_submit_until(s->p, notes, (void *)(intptr_t)s->which, &s->f, s->deadline);
}

static int full_from_own(void *arg)
{
	weft_future *f;

	return weft_pool_submit(arg, counts, NULL, &f);
}

static int wait_main(void *arg)
{
	weft_pool *p = make((weft_pool_opts){.max = 1, .queue = 1});
	struct submitter s[5];
	weft_future *running, *own, *none;
	weft_task *t[5];
	struct gate g;

	(void)arg;
	gate_init(&g);
	time_fake();
	store_relaxed(&ordered, 0);
	running = submit(p, passes, &g);
	until(load_acquire(&g.entered) == 1);
	own = submit(p, full_from_own, p);
	for (int i = 0; i < 5; i++) {
		s[i] = (struct submitter){p, i == 1 ? weft_in(WEFT_SEC) : WEFT_FOREVER, i, NULL};
		t[i] = start(submits, &s[i]);
		until_reason(t[i], "blocking call");
	}
	T_EQ(weft_pool_submit_until(p, counts, NULL, &none, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_pool_submit_until(p, counts, NULL, &none, 1), WEFT_ETIMEDOUT);
	time_move(2 * WEFT_SEC);
	T_EQ(finish(t[1]), WEFT_ETIMEDOUT);
	T_OK(s[1].f == NULL);
	weft_task_cancel(t[3]);
	T_EQ(finish(t[3]), WEFT_ECANCELED);
	T_EQ(stats(p).queued, 1);
	sem_post(&g.open);
	T_EQ(await(running), 1);
	T_EQ(await(own), WEFT_EDEADLK);
	for (int i = 0; i < 5; i++) {
		if (i == 1 || i == 3)
			continue;
		T_EQ(finish(t[i]), 0);
		T_GE(await(s[i].f), 0);
	}
	T_EQ(load_acquire(&order[0]), 0);
	T_EQ(load_acquire(&order[1]), 2);
	T_EQ(load_acquire(&order[2]), 4);
	time_real();
	T_EQ(weft_pool_free(p), 0);
	return 0;
}

/* Who finds no room waits for it, in line; who gives up has submitted nothing. */
TEST_WORKERS(full_waits)
{
	run(wait_main, NULL);
}

static int calls_counts(void *arg)
{
	return weft_pool_call(arg, counts, NULL, NULL);
}

static int tight_main(void *arg)
{
	weft_pool *p = make((weft_pool_opts){.max = 2, .queue = (int)(intptr_t)arg});
	weft_task *t[40];

	store_relaxed(&counter, 0);
	for (int i = 0; i < 40; i++)
		t[i] = start(calls_counts, p);
	for (int i = 0; i < 40; i++)
		T_EQ(weft_pool_submit(p, counts, NULL, NULL), 0);
	for (int i = 0; i < 40; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(weft_pool_free(p), 0);
	T_EQ(load_acquire(&counter), 80);
	return 0;
}

/* Calls and jobs get through a pool in which nobody, or one, may wait. */
TEST_WORKERS(no_room_at_all)
{
	run(tight_main, (void *)-1);
	run(tight_main, (void *)1);
}

/* --- the end of a pool --- */

struct ending {
	weft_pool *p;
	int64_t deadline;
};

static int ends(void *arg)
{
	struct ending *e = arg;

	return e->deadline == WEFT_FOREVER ? weft_pool_free(e->p) : weft_pool_free_until(e->p, e->deadline);
}

static int drain_main(void *arg)
{
	struct ending e = {make((weft_pool_opts){.max = 1, .queue = 1}), WEFT_FOREVER};
	struct submitter s = {e.p, WEFT_FOREVER, 0, NULL};
	weft_future *running, *waits, *none;
	weft_task *t, *u;
	struct gate g;

	(void)arg;
	gate_init(&g);
	store_relaxed(&ordered, 0);
	running = submit(e.p, passes, &g);
	until(load_acquire(&g.entered) == 1);
	waits = submit(e.p, counts, NULL);
	u = start(submits, &s);
	until_reason(u, "blocking call");
	t = start(ends, &e);
	until_reason(t, "blocking call");
	T_EQ(weft_pool_submit(e.p, counts, NULL, &none), WEFT_ECLOSED);
	T_EQ(weft_pool_call(e.p, counts, NULL, NULL), WEFT_ECLOSED);
	weft_task_cancel(t); /* waits all the same */
	weft_task_yield();
	T_NE(weft_task_stateof(t), WEFT_TASK_DONE);
	sem_post(&g.open);
	T_EQ(finish(t), 0);
	T_EQ(weft_future_poll(running, NULL), 0); /* all is over */
	T_EQ(weft_future_poll(waits, NULL), 0);
	T_EQ(finish(u), 0);
	T_EQ(weft_future_poll(s.f, NULL), 0);
	weft_future_free(running);
	weft_future_free(waits);
	weft_future_free(s.f);
	return 0;
}

/* A pool that is freed takes nothing more, and does all that it has taken, also of those who wait to be let in. */
TEST_WORKERS(free_drains)
{
	run(drain_main, NULL);
}

struct holder {
	weft_future *f;
	sem_t held;
};

/* Keeps whoever would tell of f from it for longer than another worker needs to come by. */
static void *holds(void *arg)
{
	struct holder *h = arg;

	lock_take(&h->f->lock, RANK_SOURCE);
	sem_post(&h->held);
	usleep(20000);
	lock_drop(&h->f->lock);
	return NULL;
}

static int told_main(void *arg)
{
	weft_pool *p = make((weft_pool_opts){.max = 1});
	struct holder h;
	pthread_t id;
	struct gate g;

	(void)arg;
	until_all_workers_run();
	gate_init(&g);
	T_EQ(sem_init(&h.held, 0, 0), 0);
	h.f = submit(p, passes, &g);
	until(load_acquire(&g.entered) == 1);
	T_EQ(pthread_create(&id, NULL, holds, &h), 0);
	while (sem_wait(&h.held) && errno == EINTR)
		;
	sem_post(&g.open);
	T_EQ(weft_pool_free(p), 0);
	T_EQ(weft_future_poll(h.f, NULL), 0);
	T_EQ(pthread_join(id, NULL), 0);
	weft_future_free(h.f);
	return 0;
}

/* One worker is about to end the future of a job when another one hears that the pool's threads are over: whoever has freed it is not told before. */
TEST(free_comes_after_the_futures)
{
	T_EQ(run_with(told_main, NULL, (weft_opts){.workers = 2}), 0);
}

static int frees(void *arg)
{
	return weft_pool_free(arg);
}

static int grace_main(void *arg)
{
	struct ending e = {make((weft_pool_opts){.max = 1, .queue = 1}), 0};
	struct caller c = {e.p, NULL, WEFT_FOREVER};
	struct submitter s = {e.p, WEFT_FOREVER, 0, NULL};
	weft_future *running, *waits;
	weft_task *t, *u, *v;
	struct gate g;

	(void)arg;
	gate_init(&g);
	c.g = &g;
	time_fake();
	T_EQ(await(submit(e.p, frees, e.p)), WEFT_EDEADLK);
	running = submit(e.p, passes, &g);
	until(load_acquire(&g.entered) == 1);
	waits = submit(e.p, counts, NULL);
	u = start(submits, &s);
	until_reason(u, "blocking call");
	v = start(calls_gate, &c);
	until_reason(v, "blocking call");
	e.deadline = weft_in(WEFT_SEC);
	t = start(ends, &e);
	until_reason(t, "blocking call");
	time_move(2 * WEFT_SEC);
	T_EQ(finish(t), WEFT_ETIMEDOUT);
	T_EQ(await(waits), WEFT_EDOWN);
	T_EQ(finish(u), 0);
	T_EQ(await(s.f), WEFT_EDOWN);
	T_EQ(finish(v), WEFT_EDOWN);
	T_EQ(weft_future_poll(running, NULL), WEFT_EAGAIN); /* goes on */
	sem_post(&g.open);
	T_EQ(await(running), 1);
	time_real();
	until(weft__offload_threads() == 0);
	return 0;
}

/* Past its grace what has not begun is withdrawn; what has goes on, and is told of. */
TEST_WORKERS(free_with_grace)
{
	run(grace_main, NULL);
}

static int cancelled_free_main(void *arg)
{
	struct ending e = {make((weft_pool_opts){.max = 1}), 0};
	weft_future *running, *waits;
	weft_task *t;
	struct gate g;

	(void)arg;
	gate_init(&g);
	running = submit(e.p, passes, &g);
	until(load_acquire(&g.entered) == 1);
	waits = submit(e.p, counts, NULL);
	e.deadline = weft_in(3600 * WEFT_SEC);
	t = start(ends, &e);
	until_reason(t, "blocking call");
	weft_task_cancel(t);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(await(waits), WEFT_EDOWN);
	sem_post(&g.open);
	T_EQ(await(running), 1);
	T_EQ(weft_pool_free_until(make((weft_pool_opts){.min = 2, .max = 2}), WEFT_NOW), WEFT_EAGAIN);
	e.p = make((weft_pool_opts){.max = 2});
	running = submit(e.p, passes, &g);
	until(load_acquire(&g.entered) == 2);
	T_EQ(weft_pool_free_until(e.p, 1), WEFT_ETIMEDOUT);
	sem_post(&g.open);
	T_EQ(await(running), 2);
	return 0;
}

/* Nor is more done for one who is cancelled. */
TEST_WORKERS(free_cancelled)
{
	run(cancelled_free_main, NULL);
}

static void *frees_outside(void *arg)
{
	return (void *)(intptr_t)weft_pool_free(arg);
}

static int outside_free_main(void *arg)
{
	weft_pool *p = make((weft_pool_opts){.min = 1, .max = 2});
	weft_future *running;
	struct gate g;
	pthread_t th;
	void *rc = (void *)1;

	(void)arg;
	gate_init(&g);
	running = submit(p, passes, &g);
	until(load_acquire(&g.entered) == 1);
	T_EQ(pthread_create(&th, NULL, frees_outside, p), 0);
	sem_post(&g.open);
	T_EQ(await(running), 1);
	WEFT_BLOCKING
	{
		T_EQ(pthread_join(th, &rc), 0);
	}
	T_OK(rc == NULL);
	return 0;
}

/* A thread outside frees one. */
TEST_WORKERS(freed_from_outside)
{
	run(outside_free_main, NULL);
}

static int nested_main(void *arg)
{
	weft_pool *p = make((weft_pool_opts){.max = 1}), *q = make((weft_pool_opts){.max = 1});

	(void)arg;
	T_EQ(await(submit(p, inline_too, p)), 1);
	T_EQ(await(submit(p, inline_too, q)), 0); /* another's thread */
	T_EQ(weft_pool_free(p), 0);
	T_EQ(weft_pool_free(q), 0);
	return 0;
}

/* A thread of the pool calls by itself: it would wait for itself. */
TEST_WORKERS(nested)
{
	run(nested_main, NULL);
}

/* --- the end of the runtime --- */

struct last {
	struct gate g;
	weft_pool *p, *q;
	weft_future *running, *waits;
	ATOMIC(int) step;
};

static void *awaits_end(void *arg)
{
	struct last *k = arg;

	while (!load_acquire(&k->step))
		sched_yield();
	T_EQ(weft_future_await(k->waits, NULL), WEFT_EDOWN);
	sem_post(&k->g.open);
	return NULL;
}

static int end_main(void *arg)
{
	struct last *k = arg;

	k->p = make((weft_pool_opts){.max = 1});
	k->running = submit(k->p, passes, &k->g);
	until(load_acquire(&k->g.entered) == 1);
	k->waits = submit(k->p, counts, NULL);
	store_release(&k->step, 1);
	return 0;
}

/* Who waits outside for what has not begun is told; what has begun is waited for, and its result is there. The handle is still to be freed. */
TEST_WORKERS(runtime_ends)
{
	struct last k = {.step = 0};
	weft_future *none;
	pthread_t th;
	int v = 0;

	ends_with_main();
	gate_init(&k.g);
	T_EQ(pthread_create(&th, NULL, awaits_end, &k), 0);
	T_EQ(weft_run(end_main, &k, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(weft_future_poll(k.running, &v), 0);
	T_EQ(v, 1);
	T_EQ(weft_pool_submit(k.p, counts, NULL, &none), WEFT_ESRCH);
	T_EQ(weft_pool_call(k.p, counts, NULL, NULL), WEFT_ESRCH);
	T_EQ(weft_future_cancel(k.waits), WEFT_EALREADY);
	T_EQ(weft_pool_free(k.p), 0);
	weft_future_free(k.waits); /* after its pool */
	weft_future_free(k.running);
	T_EQ(weft__offload_threads(), 0);
	nothing_left();
}

static int waits_inside(void *arg)
{
	struct last *k = arg;

	add_acq_rel(&k->step, 1);
	T_EQ(weft_pool_call(k->q, counts, NULL, NULL), WEFT_EDOWN); /* of another pool, or its last one is under way */
	return 7;
}

static int chain_main(void *arg)
{
	struct last *k = arg;

	k->p = make((weft_pool_opts){.max = 1});
	k->q = make((weft_pool_opts){.max = 1, .leaves = true});
	T_EQ(weft_pool_submit(k->q, passes, &k->g, NULL), 0);
	until(load_acquire(&k->g.entered) == 1);
	k->running = submit(k->p, waits_inside, k);
	until(load_acquire(&k->step) == 1);
	until(stats(k->q).queued == 1);
	return 0;
}

/* A job that waits for another pool's does not keep the runtime; nor does one that blocks for ever, where it may be left. */
TEST_WORKERS(runtime_ends_in_a_chain)
{
	struct last k = {.step = 0};
	int v = 0;

	ends_with_main();
	gate_init(&k.g);
	T_EQ(weft_run(chain_main, &k, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(weft_future_poll(k.running, &v), 0);
	T_EQ(v, 7);
	weft_future_free(k.running);
	T_EQ(weft__offload_threads(), 1);
	T_EQ(weft_pool_free(k.p), 0);
	T_EQ(weft_pool_free(k.q), 0);
	nothing_left();
	sem_post(&k.g.open);
	while (weft__offload_threads())
		sched_yield();
	T_EQ(load_acquire(&k.g.passed), 1);
}

static int parks(void *arg)
{
	(void)arg;
	return weft_task_park();
}

static int parks_at_start(void *arg)
{
	return parks(arg);
}

static int on_msg(void *state, weft_msg *m)
{
	(void)state;
	(void)m;
	return 0;
}

struct late {
	weft_pool *p;
	weft_task *never;
	weft_actor_ref actor;
	weft_future *f[8];
	ATOMIC(int) entered;
	int section;
};

static void enters(struct late *l)
{
	add_acq_rel(&l->entered, 1);
}

static void until_stopping(struct late *l)
{
	enters(l);
	while (weft_state() != WEFT_STATE_STOPPING)
		sched_yield();
}

/* What a job finds that is still under way. */
static int starts_late(void *arg)
{
	weft_task *t = (weft_task *)&t, *two[2];
	weft_actor_ref a;
	weft_pool *q;

	until_stopping(arg);
	T_EQ(weft_go(nothing_to_do, NULL), WEFT_ESRCH);
	T_EQ(weft_go_opts(&t, nothing_to_do, NULL, NULL), WEFT_ESRCH);
	T_OK(t == NULL);
	T_EQ(weft_go_batch(nothing_to_do, NULL, 2, two, NULL), WEFT_ESRCH);
	T_OK(!two[0] && !two[1]);
	T_EQ(weft_block_on(nothing_to_do, NULL, NULL), WEFT_ESRCH);
	T_EQ(weft_actor_start(&a, &(weft_actor_opts){.on_msg = on_msg, .on_start = parks_at_start}), WEFT_ESRCH);
	T_EQ(weft_pool_make(&q, NULL), WEFT_ESRCH);
	return 1;
}

static int joins_late(void *arg)
{
	until_stopping(arg);
	return weft_task_join(((struct late *)arg)->never, NULL);
}

static int joins(void *arg)
{
	enters(arg);
	return weft_task_join(((struct late *)arg)->never, NULL);
}

static int selected(struct late *l)
{
	weft_case c[] = {WEFT_EXIT(l->never, NULL), WEFT_RECV(NULL, NULL)};

	T_EQ(weft_chan_select(c, 2), 0);
	return c[0].status;
}

static int selects_late(void *arg)
{
	until_stopping(arg);
	return selected(arg);
}

static int selects(void *arg)
{
	enters(arg);
	return selected(arg);
}

static int blocks_on(void *arg)
{
	enters(arg);
	return weft_block_on(parks, NULL, NULL);
}

static int starts_actor(void *arg)
{
	weft_actor_ref a;

	enters(arg);
	return weft_actor_start(&a, &(weft_actor_opts){.on_msg = on_msg, .on_start = parks_at_start});
}

static int awaits_actor(void *arg)
{
	enters(arg);
	return weft_actor_wait(((struct late *)arg)->actor, NULL);
}

static int section_main(void *arg)
{
	return weft_blocking(starts_late, arg, NULL);
}

static int late_main(void *arg)
{
	static weft_task_fn *const jobs[] = {starts_late, joins_late, joins, blocks_on, starts_actor, awaits_actor, selects_late, selects};
	struct late *l = arg;

	l->never = start(parks, NULL);
	T_EQ(weft_actor_start(&l->actor, &(weft_actor_opts){.on_msg = on_msg}), 0);
	l->p = make((weft_pool_opts){.max = ARRAY_LEN(jobs)});
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		l->f[i] = submit(l->p, jobs[i], l);
	T_EQ(weft_go_opts(NULL, section_main, l, NULL), 0);
	until(load_acquire(&l->entered) == ARRAY_LEN(jobs) + 1);
	return 0;
}

/* A job that is still under way starts nothing any more, and does not wait for what no task will do. */
TEST_WORKERS(late_jobs)
{
	static const int ends[] = {1,          WEFT_ECANCELED, WEFT_ECANCELED, WEFT_ECANCELED, WEFT_ECANCELED,
				   WEFT_ESRCH, WEFT_ECANCELED, WEFT_ECANCELED};

	for (int round = 0; round < tap_iters(5); round++) {
		struct late l = {.p = NULL};
		int v = 0;

		T_EQ(weft_run(late_main, &l, &(weft_opts){.workers = tap_workers(), .exit = WEFT_EXIT_ON_MAIN}), 0);
		for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
			T_EQ(weft_future_poll(l.f[i], &v), 0);
			T_OK(v == ends[i] || (v == WEFT_ESRCH && i > 2)); /* it may have come too late */
			weft_future_free(l.f[i]);
		}
		T_EQ(weft_task_join(l.never, NULL), WEFT_ECANCELED);
		weft_task_detach(l.never);
		T_EQ(weft_pool_free(l.p), 0);
		nothing_left();
	}
}

/* Goes on when the first task has ended, and then starts another. */
static int outlives(void *arg)
{
	int ret = 0;

	while (!load_acquire(&((struct last *)arg)->step))
		sched_yield();
	usleep(3000); /* all may be asleep by now */
	T_EQ(weft_block_on(counts, NULL, &ret), 0);
	return ret;
}

static void *submits_one(void *arg)
{
	struct last *k = arg;

	k->running = submit(k->p, outlives, k);
	return NULL;
}

static int idle_exit_main(void *arg)
{
	struct last *k = arg;
	pthread_t th;

	k->q = make((weft_pool_opts){.max = 1, .leaves = true});
	T_EQ(weft_pool_submit(k->q, passes, &k->g, NULL), 0);
	until(load_acquire(&k->g.entered) == 1);
	k->p = make((weft_pool_opts){.max = 2});
	k->waits = submit(k->p, outlives, k);
	WEFT_BLOCKING
	{
		T_EQ(pthread_create(&th, NULL, submits_one, k), 0);
		T_EQ(pthread_join(th, NULL), 0);
	}
	store_release(&k->step, 1);
	return 0;
}

/* A runtime that ends with its last task does not before the jobs that were submitted have, by a task or a thread; but for those that it leaves. */
TEST_WORKERS(jobs_count)
{
	struct last k = {.step = 0};
	int v = 0, sum;

	gate_init(&k.g);
	store_relaxed(&counter, 0);
	T_EQ(weft_run(idle_exit_main, &k, &(weft_opts){.workers = tap_workers(), .exit = WEFT_EXIT_ON_IDLE}), 0);
	T_EQ(load_acquire(&k.g.passed), 0);
	T_EQ(weft_future_poll(k.waits, &v), 0);
	sum = v;
	T_EQ(weft_future_poll(k.running, &v), 0);
	T_EQ(sum + v, 1); /* 0 and 1: both tasks have run */
	weft_future_free(k.waits);
	weft_future_free(k.running);
	T_EQ(weft_pool_free(k.p), 0);
	T_EQ(weft_pool_free(k.q), 0);
	nothing_left();
	sem_post(&k.g.open);
	while (weft__offload_threads())
		sched_yield();
	T_EQ(load_acquire(&k.g.passed), 1);
}

static int ends_meanwhile(void *arg)
{
	struct last *k = arg;

	add_acq_rel(&k->step, 1);
	while (load_acquire(&k->g.entered) == 0)
		sched_yield();
	for (int i = load_relaxed(&k->g.passed); i > 0; i--)
		cpu_relax();
	return 0;
}

static int meanwhile_main(void *arg)
{
	struct last *k = arg;

	k->p = make((weft_pool_opts){.max = 2, .leaves = true});
	for (int i = 0; i < 2; i++)
		T_EQ(weft_pool_submit(k->p, ends_meanwhile, k, NULL), 0);
	until(load_acquire(&k->step) == 2);
	store_release(&k->g.entered, 1);
	return 0;
}

/* What may be left, and ends just when the runtime goes down, is neither lost nor waited for: its threads are joined, or end by themselves. */
TEST_WORKERS(ends_while_it_is_left)
{
	for (int round = 0; round < tap_iters(50); round++) {
		struct last k = {.step = 0};

		store_relaxed(&k.g.entered, 0);
		store_relaxed(&k.g.passed, round * 200);
		T_EQ(weft_run(meanwhile_main, &k, &(weft_opts){.workers = tap_workers(), .exit = WEFT_EXIT_ON_MAIN}), 0);
		while (weft__offload_threads())
			sched_yield();
		T_EQ(weft_pool_free(k.p), 0);
	}
	nothing_left();
}

static int leaves_main(void *arg)
{
	struct last *k = arg;

	k->p = make((weft_pool_opts){.max = 2, .leaves = true, .fini = closes, .init = opens, .arg = k->q});
	k->running = submit(k->p, passes, &k->g);
	until(load_acquire(&k->g.entered) == 1);
	return 0;
}

/* What is left behind ends later, and gives back what it has; its future has ended with the runtime. */
TEST_WORKERS(left_behind)
{
	struct handles h = {.opened = 0};
	struct last k = {.q = (weft_pool *)&h};

	gate_init(&k.g);
	T_EQ(weft_run(leaves_main, &k, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(weft_future_poll(k.running, NULL), WEFT_EDOWN);
	T_EQ(stats(k.p).busy, 1);
	sem_post(&k.g.open);
	until(load_acquire(&h.closed) == 1);
	until(weft__offload_threads() == 0);
	weft_future_free(k.running);
	T_EQ(weft_pool_free(k.p), 0);
	nothing_left();
}

struct quiet {
	struct gate g;
	weft_pool *p;
	weft_promise *promise;
	weft_future *never;
};

static int opens_late(void *arg)
{
	struct gate *g = arg;

	while (!load_acquire(&g->entered))
		sched_yield();
	usleep(60000); /* longer than the monitor waits before it looks */
	sem_post(&g->open);
	return 0;
}

static int awaits_main(void *arg)
{
	struct quiet *q = arg;

	q->p = make((weft_pool_opts){.max = 2});
	T_EQ(weft_pool_submit(q->p, opens_late, &q->g, NULL), 0);
	T_EQ(await(submit(q->p, passes, &q->g)), 1);
	T_EQ(weft_pool_free(q->p), 0);
	return 0;
}

static int deaf_main(void *arg)
{
	struct quiet *q = arg;

	q->p = make((weft_pool_opts){.min = 1, .max = 1});
	T_EQ(weft_promise_make(0, &q->promise, &q->never), 0);
	return weft_future_await(q->never, NULL);
}

/* Who waits for a job that is under way is in no deadlock; threads without work are no hope. */
TEST_WORKERS(deadlock_is_seen)
{
	struct quiet q = {.p = NULL};

	gate_init(&q.g);
	run(awaits_main, &q);
	T_EQ(weft_run(deaf_main, &q, &(weft_opts){.workers = tap_workers()}), WEFT_EDEADLK);
	T_EQ(weft_pool_free(q.p), 0);
	weft_promise_free(q.promise);
	weft_future_free(q.never);
}

/* --- memory and threads that are not to be had --- */

static int nothing(void *arg)
{
	(void)arg;
	return 3;
}

static int one_try(bool *submitted)
{
	int cpu = 0, ret = 0, rc;
	weft_future *f;
	cpu_set_t set;
	weft_pool *p;

	CPU_ZERO(&set);
	while (sched_getaffinity(0, sizeof set, &set) == 0 && !CPU_ISSET(cpu, &set))
		cpu++;
	*submitted = false;
	rc = weft_pool_make(&p, &(weft_pool_opts){.min = 1, .max = 2, .cpus = &cpu, .n_cpus = 1});
	if (rc)
		return rc;
	rc = weft_pool_submit(p, nothing, NULL, &f);
	if (!rc) {
		*submitted = true;
		T_EQ(await(f), 3);
		rc = weft_pool_call(p, nothing, NULL, &ret);
	}
	if (!rc)
		T_EQ(ret, 3);
	T_EQ(weft_pool_free(p), 0);
	return rc;
}

static int fail_main(void *arg)
{
	bool submitted;
	int rc;

	(void)arg;
	T_EQ(one_try(&submitted), 0); /* what is taken once for ever */
	until_all_workers_run();
	for (int n = 1;; n++) {
		failpoint_arm(n);
		rc = one_try(&submitted);
		failpoint_disarm();
		if (!failpoint_fired())
			break;
		if (rc) /* a second thread is not needed */
			T_OK(rc == WEFT_ENOMEM || rc == WEFT_EAGAIN);
		until(weft__offload_threads() == 0);
	}
	T_EQ(rc, 0);
	return 0;
}

static int fail_all_main(void *arg)
{
	weft_pool *p = make((weft_pool_opts){.max = 2}), *q;
	weft_future *f;

	(void)arg;
	until_all_workers_run();
	failpoint_arm_all(1);
	T_EQ(weft_pool_make(&q, NULL), WEFT_ENOMEM);
	T_EQ(weft_pool_submit(p, nothing, NULL, &f), WEFT_ENOMEM);
	T_EQ(weft_pool_call(p, nothing, NULL, NULL), WEFT_EAGAIN);
	failpoint_arm_all(2); /* the future is to be had, a thread is not */
	T_EQ(weft_pool_submit(p, nothing, NULL, &f), WEFT_EAGAIN);
	T_EQ(weft_pool_submit(p, nothing, NULL, NULL), WEFT_ENOMEM);
	failpoint_disarm();
	T_EQ(await(submit(p, nothing, NULL)), 3);
	T_EQ(weft_pool_free(p), 0);
	return 0;
}

/* Without memory of their own, which may be refused. */
static int opens_bare(void **local, void *arg)
{
	(void)local;
	add_acq_rel(&((struct handles *)arg)->opened, 1);
	return 0;
}

static void closes_bare(void *local, void *arg)
{
	(void)local;
	add_acq_rel(&((struct handles *)arg)->closed, 1);
}

static int fail_second_main(void *arg)
{
	struct handles h = {.opened = 0};
	weft_pool *p;
	int rc;

	(void)arg;
	p = make((weft_pool_opts){.min = 2, .max = 2, .init = opens_bare, .fini = closes_bare, .arg = &h});
	until(load_acquire(&h.opened) == 2);
	T_EQ(weft_pool_free(p), 0);
	until_all_workers_run();
	for (int n = 1;; n++) {
		h = (struct handles){.opened = 0};
		failpoint_arm(n);
		rc = weft_pool_make(&p, &(weft_pool_opts){.min = 2, .max = 2, .init = opens_bare, .fini = closes_bare, .arg = &h});
		failpoint_disarm();
		if (rc == 0)
			break;
		T_OK(rc == WEFT_ENOMEM || rc == WEFT_EAGAIN);
		T_OK(p == NULL);
		until(weft__offload_threads() == 0);
		T_EQ(load_acquire(&h.opened), 0);
	}
	T_EQ(weft_pool_free(p), 0);
	T_EQ(load_acquire(&h.opened), load_acquire(&h.closed));
	return 0;
}

/* A pool that cannot have all its threads runs nothing on those that it has: what init needs may be gone. */
TEST_WORKERS(not_all_to_be_had)
{
	run(fail_second_main, NULL);
}

/* Who can have no memory, or no thread, is told so, and nothing is left. */
TEST_WORKERS(not_to_be_had)
{
	run(fail_main, NULL);
	run(fail_all_main, NULL);
}

/* --- all at once --- */

struct storm {
	weft_pool *p;
	ATOMIC(int) began;
	ATOMIC(bool) ready;
	uint64_t seed;
};

static int adds(void *arg)
{
	add_relaxed(&((struct storm *)arg)->began, 1);
	return 1;
}

static int storms(void *arg)
{
	struct storm *s = arg;
	struct rng r;
	weft_future *f;
	int rc, v;

	rng_seed(&r, s->seed, weft_task_self() ? weft_task_id(weft_task_self()) : (uint64_t)gettid());
	for (int i = 0; i < tap_iters(20); i++) {
		rc = weft_pool_submit(s->p, adds, s, &f);
		if (rc == WEFT_ESRCH || rc == WEFT_EDOWN) /* the runtime goes down */
			return rc;
		T_EQ(rc, 0);
		switch (rng_below(&r, 4)) {
		case 0:
			(void)weft_future_cancel(f);
			rc = weft_future_await(f, &v);
			T_OK(rc == 0 || rc == WEFT_ECANCELED || rc == WEFT_EDOWN);
			break;
		case 1:
			rc = weft_future_await(f, &v);
			T_OK(rc == 0 || rc == WEFT_EDOWN);
			break;
		case 2:
			rc = weft_pool_call(s->p, adds, s, &v);
			T_OK(rc == 0 || rc == WEFT_ESRCH || rc == WEFT_EDOWN);
			break;
		default: /* freed as it is */
			break;
		}
		weft_future_free(f);
	}
	return 0;
}

static void *storms_outside(void *arg)
{
	storms(arg);
	return NULL;
}

static int storm_main(void *arg)
{
	struct storm s = {.seed = 7};
	weft_task *t[8];
	pthread_t th[2];

	(void)arg;
	for (int round = 0; round < 4; round++) {
		s.p = make((weft_pool_opts){.max = 1 + round, .queue = round ? round : -1, .idle = round == 1 ? 1 : WEFT_FOREVER});
		for (int i = 0; i < 8; i++)
			t[i] = start(storms, &s);
		for (int i = 0; i < 2; i++)
			T_EQ(pthread_create(&th[i], NULL, storms_outside, &s), 0);
		for (int i = 0; i < 8; i++)
			T_EQ(finish(t[i]), 0);
		for (int i = 0; i < 2; i++)
			WEFT_BLOCKING
			{
				T_EQ(pthread_join(th[i], NULL), 0);
			}
		T_EQ(weft_pool_free(s.p), 0);
	}
	return 0;
}

/* Tasks and threads submit, call, cancel, await and give up in any order. */
TEST_WORKERS(storm)
{
	run(storm_main, NULL);
}

static int freed_in_storm_main(void *arg)
{
	struct storm s = {.seed = 9};
	int rc;

	(void)arg;
	for (int round = 0; round < tap_iters(20); round++) {
		/* Its threads stay: of a pool that has none WEFT_NOW is soon enough. */
		weft_pool *p = make((weft_pool_opts){.max = 2, .queue = 1, .full = WEFT_POOL_FAIL, .idle = WEFT_FOREVER});
		weft_future *f[10];
		int n = 0;

		for (int i = 0; i < 10; i++) {
			rc = weft_pool_submit(p, adds, &s, &f[n]);
			T_OK(rc == 0 || rc == WEFT_EOVERLOAD);
			n += rc == 0;
		}
		rc = round & 1 ? weft_pool_free(p) : weft_pool_free_until(p, WEFT_NOW);
		T_EQ(rc, round & 1 ? 0 : WEFT_EAGAIN);
		for (int i = 0; i < n; i++) {
			rc = await(f[i]);
			T_OK(rc == 1 || (!(round & 1) && rc == WEFT_EDOWN));
		}
	}
	return 0;
}

/* Pools come and go while their jobs run. */
TEST_WORKERS(made_and_freed)
{
	run(freed_in_storm_main, NULL);
}

static int leaves_storm(void *arg)
{
	struct storm *s = arg;

	s->p = make((weft_pool_opts){.max = 2, .queue = 2});
	store_release(&s->ready, true);
	until(load_acquire(&s->began) >= 3);
	return 0;
}

static void *storms_late(void *arg)
{
	struct storm *s = arg;

	while (!load_acquire(&s->ready))
		sched_yield();
	while (storms(s) == 0)
		;
	return NULL;
}

/* The runtime ends in the middle of it: who is outside is told. */
TEST_WORKERS(ended_in_a_storm)
{
	struct storm s = {.seed = 3};
	pthread_t th[3];

	for (int i = 0; i < 3; i++)
		T_EQ(pthread_create(&th[i], NULL, storms_late, &s), 0);
	T_EQ(weft_run(leaves_storm, &s, &(weft_opts){.workers = tap_workers()}), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(pthread_join(th[i], NULL), 0);
	T_EQ(weft__offload_threads(), 0);
	T_EQ(weft_pool_free(s.p), 0);
	nothing_left();
}

/* --- a fork --- */

/* A handle of a runtime that has gone is freed in a child, too; a runtime there has pools of its own. */
TEST(after_a_fork)
{
	struct handles h = {.opened = 0};
	struct last k = {.q = (weft_pool *)&h};
	int status = -1;
	pid_t pid;

	if (BUILT_WITH_TSAN || (weft__san & SAN_TSAN))
		tap_skip("TSan allows no threads after a fork");
	gate_init(&k.g);
	T_EQ(weft_run(leaves_main, &k, &(weft_opts){.workers = 2}), 0);
	pid = fork();
	T_GE(pid, 0);
	if (pid == 0) {
		T_EQ(weft_pool_free(k.p), 0); /* the thread that was left is not here */
		T_EQ(weft__offload_threads(), 0);
		T_EQ(weft_run(call_main, NULL, &(weft_opts){.workers = 2}), 0);
		_exit(0);
	}
	T_EQ(waitpid(pid, &status, 0), pid);
	T_EQ(status, 0);
	sem_post(&k.g.open);
	until(weft__offload_threads() == 0);
	T_EQ(weft_future_poll(k.running, NULL), WEFT_EDOWN);
	weft_future_free(k.running);
	T_EQ(weft_pool_free(k.p), 0);
}
