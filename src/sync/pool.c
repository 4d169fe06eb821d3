/* SPDX-License-Identifier: MIT
 *
 * pool.c - thread pools: lanes of one's own (core/lane.h), and jobs whose results are futures.
 *
 * A job that is submitted lies behind the value of its future, which has two promises: one is given back when the future has been told, by a worker; the other when no thread uses the job any more. So a job that is left
 * when the runtime goes down can be told of before it has ended.  The future's memory holds a reference to its lane: whoever cancels it may look there, whatever has become of the pool.
 */
#include "core/lane.h"
#include "sync/future.h"

#include "base/check.h"
#include "base/config.h"
#include "base/cpus.h"
#include "core/runtime.h"
#include "weft/pool.h"
#include <sched.h>
#include <stdlib.h>

/* Behind the value of a future. */
struct pooled {
	struct job job;
	struct weft_future *f; /* whose it is */
	weft_task_fn *fn;
	void *arg;
	int ret; /* the thread's; read when it has run */
};

/* In the caller's frame. */
struct called {
	struct job job;
	weft_task_fn *fn;
	void *arg;
	int ret;
};

static inline struct lane_state *lane_of(weft_pool *p)
{
	return p ? (struct lane_state *)p : weft__lane(LANE_USER);
}

/* Is the caller one of its threads? */
static bool is_own(const struct lane_state *l)
{
	struct lane_thread *t = weft__lane_thread();

	return t && t->lane == l;
}

/* --- a job with a future --- */

static struct weft_future *future_of(struct job *j)
{
	return container_of(j, struct pooled, job)->f;
}

static void pooled_run(struct job *j)
{
	struct pooled *p = container_of(j, struct pooled, job);

	if (!future_done(p->f)) /* else it was cancelled just now */
		p->ret = p->fn(p->arg);
}

static void pooled_over(struct job *j, int rc)
{
	struct pooled *p = container_of(j, struct pooled, job);
	struct weft_future *f = p->f;

	(void)weft__future_end(f, FUTURE_DONE, rc, rc ? NULL : &p->ret);
	weft__promise_release(f);
}

static void pooled_drop(struct job *j)
{
	weft__promise_release(future_of(j));
}

static void pooled_cancel(struct weft_future *f)
{
	struct pooled *p = (struct pooled *)future_behind(f);

	(void)weft__lane_withdraw(&p->job, WEFT_ECANCELED);
}

static void pooled_gone(struct weft_future *f)
{
	struct pooled *p = (struct pooled *)future_behind(f);

	weft__lane_unref(p->job.lane);
}

static const struct future_ops pooled_ops = {.cancel = pooled_cancel, .gone = pooled_gone};

/* A future and its job. The caller has a reference: to the future, if it is wanted; else another promise, so that nobody takes the job for one that was cancelled. */
static struct pooled *pooled_new(struct lane_state *l, weft_task_fn *fn, void *arg, bool wanted)
{
	struct weft_future *f = weft__future_new(sizeof(int), sizeof(struct pooled), 2 * FUTURE_PROMISE + (wanted ? 1 : FUTURE_PROMISE));
	struct pooled *p;

	if (!f)
		return NULL;
	weft__lane_ref(l);
	f->ops = &pooled_ops;
	p = (struct pooled *)future_behind(f);
	p->job.run = pooled_run;
	p->job.over = pooled_over;
	p->job.drop = pooled_drop;
	p->job.lane = l;
	p->f = f;
	p->fn = fn;
	p->arg = arg;
	return p;
}

/* Stands outside, by room, until it is let in. Returns 0; or why it is not submitted. */
static int wait_for_room(struct job *j, struct job *room, int64_t deadline)
{
	int rc = weft__job_wait(room, REASON_BLOCKING, deadline, false);

	if (rc && weft__lane_step_back(j))
		return rc;
	while (rc) /* it has been let in just now */
		rc = weft__job_wait(room, REASON_BLOCKING, WEFT_FOREVER, true);
	return room->rc;
}

static int submit(struct lane_state *l, struct job *j, int64_t deadline)
{
	struct job room = {.run = NULL};
	bool own = is_own(l), waits = deadline != WEFT_NOW && !own;
	struct self me;
	int rc = self_enter(&me, &deadline);

	if (rc)
		return rc;
	rc = weft__lane_submit(l, j, waits ? &room : NULL, me.worker);
	if (rc == WEFT_EBUSY)
		return wait_for_room(j, &room, deadline);
	if (rc == WEFT_EOVERLOAD && l->waits)
		return own ? WEFT_EDEADLK : WEFT_EAGAIN;
	return rc;
}

int weft_pool_submit_until(weft_pool *p, weft_task_fn *fn, void *arg, weft_future **out, int64_t deadline)
{
	struct lane_state *l = lane_of(p);
	struct weft_future *f;
	struct pooled *j;
	int rc;

	if (out)
		*out = NULL;
	if (!fn)
		return WEFT_EINVAL;
	j = pooled_new(l, fn, arg, out != NULL);
	if (!j)
		return WEFT_ENOMEM;
	f = j->f;
	rc = submit(l, &j->job, deadline);
	if (rc) {
		f->ops = NULL; /* there is no job to be withdrawn */
		weft__lane_unref(l);
		weft__promise_release(f);
		weft__promise_release(f);
	}
	if (!out)
		weft__promise_release(f);
	else if (rc)
		weft__future_release(f);
	else
		*out = f;
	return rc;
}

int weft_pool_submit(weft_pool *p, weft_task_fn *fn, void *arg, weft_future **out)
{
	int rc = weft_pool_submit_until(p, fn, arg, out, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

/* --- a call --- */

static void called_run(struct job *j)
{
	struct called *c = container_of(j, struct called, job);

	c->ret = c->fn(c->arg);
}

int weft_pool_call_until(weft_pool *p, weft_task_fn *fn, void *arg, int *ret, int64_t deadline)
{
	struct called c = {.job.run = called_run, .fn = fn, .arg = arg};
	struct lane_state *l = lane_of(p);
	int rc = 0;

	if (!fn)
		return WEFT_EINVAL;
	if (is_own(l))
		called_run(&c.job);
	else
		rc = weft__lane_run(l, &c.job, REASON_BLOCKING, deadline);
	if (!rc && ret)
		*ret = c.ret;
	return rc;
}

int weft_pool_call(weft_pool *p, weft_task_fn *fn, void *arg, int *ret)
{
	int rc = weft_pool_call_until(p, fn, arg, ret, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

void *weft_pool_local(void)
{
	struct lane_thread *t = weft__lane_thread();

	return t ? t->local : NULL;
}

/* --- a pool --- */

/* The processors that this thread has been given, of those that were asked for. */
static void *granted(void *arg)
{
	cpu_set_t *set = (cpu_set_t *)arg;

	if (sched_getaffinity(0, sizeof *set, set))
		CPU_ZERO(set);
	return NULL;
}

/* May a thread of the process have all of set? The system, which drops in silence what it does not allow, says so of one that has. 0, WEFT_EINVAL, WEFT_EAGAIN. */
static int ask_for_cpus(const pthread_attr_t *a, const cpu_set_t *set)
{
	cpu_set_t got = *set;
	sigset_t before;
	pthread_t id;
	int rc;

	weft__lane_mask(&before); /* a handler of the user's has no business there */
	rc = pthread_create(&id, a, granted, &got);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return -rc;
	pthread_join(id, NULL);
	return CPU_EQUAL(&got, set) ? 0 : WEFT_EINVAL;
}

static bool in_placement(const struct placement *p, int cpu)
{
	return !p->binds || cpuset_has(&p->set, (unsigned)cpu);
}

static int cpus(const weft_pool_opts *o, const struct placement *p, pthread_attr_t *a)
{
	cpu_set_t set;
	int rc;

	CPU_ZERO(&set);
	for (int i = 0; i < o->n_cpus; i++) {
		if (o->cpus[i] < 0 || o->cpus[i] >= CPU_SETSIZE || !in_placement(p, o->cpus[i]))
			return WEFT_EINVAL;
		CPU_SET(o->cpus[i], &set);
	}
	rc = -pthread_attr_setaffinity_np(a, sizeof set, &set);
	return rc ? rc : ask_for_cpus(a, &set);
}

/* What its threads are made with. Returns 0, and *out: NULL if that is nothing special; or an error. */
static int attributes(const weft_pool_opts *o, const struct placement *p, pthread_attr_t **out)
{
	pthread_attr_t *a;
	int rc = 0;

	*out = NULL;
	if (!o->stack && !o->n_cpus)
		return 0;
	a = (pthread_attr_t *)malloc(sizeof *a);
	if (!a || pthread_attr_init(a)) {
		free(a);
		return WEFT_ENOMEM;
	}
	if (o->n_cpus)
		rc = cpus(o, p, a);
	if (!rc && o->stack)
		rc = -pthread_attr_setstacksize(a, o->stack); /* later: whether such a one can be had is seen when a thread is made */
	if (!rc) {
		*out = a;
		return 0;
	}
	pthread_attr_destroy(a);
	free(a);
	return rc;
}

static bool opts_ok(const weft_pool_opts *o, int max)
{
	return o->min >= 0 && o->min <= max && max >= 1 && max <= WEFT_POOL_THREADS_MAX && o->queue >= -1 &&
	       o->queue < (int)LANE_UNBOUNDED && o->idle >= 0 && (unsigned)o->full <= WEFT_POOL_FAIL && o->n_cpus >= 0 &&
	       o->stack <= (size_t)STACK_MAX && !o->n_cpus == !o->cpus;
}

/* p and o are not NULL; the runtime stays. */
static int make(weft_pool **p, const weft_pool_opts *o, struct runtime *rt)
{
	struct lane_opts with;
	struct lane_state *l;
	int max, rc;

	max = o->max ? o->max : (int)weft__cpus_of(rt->place.ncpus); /* the calling thread may be bound to one */
	if (!o->max && max > WEFT_POOL_THREADS_MAX)
		max = WEFT_POOL_THREADS_MAX;
	if (!o->max && max < o->min)
		max = o->min;
	if (!opts_ok(o, max))
		return WEFT_EINVAL;
	with = (struct lane_opts){.placed = o->n_cpus != 0,
				  .name = o->name ? o->name : "weft-pool",
				  .min = (unsigned)o->min,
				  .max = (unsigned)max,
				  .bound = o->queue == 0  ? LANE_UNBOUNDED
					   : o->queue < 0 ? 0
							  : (unsigned)o->queue,
				  .idle_ns = o->idle ? o->idle : LANE_IDLE_NS,
				  .leaves = o->leaves,
				  .waits = o->full == WEFT_POOL_WAIT,
				  .hooks = {.init = o->init, .fini = o->fini, .arg = o->arg}};
	rc = attributes(o, &rt->place, &with.attr);
	if (rc)
		return rc;
	rc = weft__lane_make(&l, &with);
	if (!rc) {
		*p = (weft_pool *)l;
		return 0;
	}
	if (with.attr)
		pthread_attr_destroy(with.attr);
	free(with.attr);
	return rc;
}

int weft_pool_make(weft_pool **p, const weft_pool_opts *o)
{
	static const weft_pool_opts usual;
	struct worker *w = weft__worker();
	struct runtime *rt;
	int rc;

	if (!p)
		return WEFT_EINVAL;
	*p = NULL;
	rt = w ? w->rt : weft__rt_enter_start();
	if (!rt)
		return WEFT_ESRCH;
	rc = make(p, o ? o : &usual, rt);
	if (!w)
		weft__rt_leave(rt);
	return rc;
}

static int end(weft_pool *p, int64_t deadline, bool shielded)
{
	struct lane_state *l = (struct lane_state *)p;

	if (!p)
		return 0;
	return is_own(l) ? WEFT_EDEADLK : weft__lane_end(l, deadline, shielded);
}

int weft_pool_free(weft_pool *p)
{
	int rc = end(p, WEFT_FOREVER, true);

	NO_JUMP();
	return rc;
}

int weft_pool_free_until(weft_pool *p, int64_t deadline)
{
	int rc = end(p, deadline, false);

	NO_JUMP();
	return rc;
}

void weft_pool_stats(weft_pool *p, weft_pool_stat *out)
{
	struct lane_state *l = lane_of(p);

	lock_take(&l->lock, RANK_LOT);
	*out = (weft_pool_stat){.threads = (int)l->threads,
				.busy = (int)(l->running + l->left),
				.queued = (int)l->queued,
				.most_threads = (int)l->most_threads,
				.most_queued = (int)l->most_queued,
				.submitted = l->submitted,
				.ran = l->ran,
				.withdrawn = l->withdrawn,
				.refused = l->refused,
				.failed = l->failed_threads};
	lock_drop(&l->lock);
}
