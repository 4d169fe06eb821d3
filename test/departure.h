/* SPDX-License-Identifier: MIT
 *
 * departure.h - one round of test/unit/solo.c and test/stress/solo.c: elision (base/solo.h) ends in the middle of everything.
 *
 * One worker runs tasks that send, receive, select, lock, sleep, time out, set timers, park and cancel, elided.  At a random moment one or
 * two threads that weft did not make come and do the same with the same objects.  In the end all sums are exact, and nobody hangs.
 *
 *   departures(rounds, each)   so many rounds, `each` of them in one process: forked, because elision never comes back in a process
 *
 * Of several rounds in one process each but the first begins by turning the state back, which only a test may do: nobody else is in weft then.
 */
#ifndef WEFT_TEST_DEPARTURE_H
#define WEFT_TEST_DEPARTURE_H

#include "rt.h"

#include "base/rand.h"
#include "base/sanitizer.h"
#include "base/solo.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEPARTURE_OPS = 40, DEPARTURE_KINDS = 7, DEPARTURE_RECEIVERS = 2, DEPARTURE_BIG = 8191 };

struct departure {
	uint64_t seed;
	weft_chan *a, *b;
	weft_chan *big;   /* of elements whose copying takes a while, in one section */
	weft_chan *quiet; /* nobody ever sends on it */
	weft_mutex m;
	long plain; /* under m */
	weft_wg producers, receivers;
	weft_task *parker;
	unsigned threads;
	ATOMIC(long) ops; /* of tasks so far. Written without a locked instruction, which would hide what is tested */
	ATOMIC(long) tasks_done;
	ATOMIC(long) locked, sent, sent_sum, got, got_sum, big_sent, big_got, set, fired, stopped;
	ATOMIC(int) park_stop;
	long moment;     /* of ops, when the threads come */
	bool in_section; /* and not before the worker is in a section */
};

static inline void departure__op(struct departure *d)
{
	if (weft_task_self())
		store_relaxed(&d->ops, load_relaxed(&d->ops) + 1); /* one worker; the threads look at it to choose their moment */
}

static inline void departure__send(struct departure *d, struct rng *r)
{
	weft_chan *c = rng_below(r, 2) ? d->a : d->b;
	long v = (long)rng_below(r, 1000) + 1;
	int rc;

	switch (rng_below(r, 4)) {
	case 0:
		rc = weft_chan_trysend(c, &v);
		break;
	case 1:
		rc = weft_chan_send_until(c, &v, weft_in((int64_t)rng_below(r, 4000)));
		break;
	case 2: {
		weft_case cases[] = {WEFT_SEND(d->a, &v), WEFT_SEND(d->b, &v), WEFT_AFTER((int64_t)rng_below(r, 4000))};

		rc = weft_chan_select(cases, 3);
		rc = rc < 0 ? rc : rc == 2 ? WEFT_ETIMEDOUT : 0;
		break;
	}
	default:
		rc = weft_chan_send(c, &v);
	}
	if (rc == 0) {
		add_relaxed(&d->sent, 1); /* read when all have ended, here and below */
		add_relaxed(&d->sent_sum, v);
	} else {
		T_OK(rc == WEFT_EAGAIN || rc == WEFT_ETIMEDOUT);
	}
}

/* A long section, all the longer because it copies to pages not touched before: one that is not waited for tears an element, or takes it twice. */
static inline bool departure__big_take(struct departure *d)
{
	size_t size = DEPARTURE_BIG * sizeof(long);
	long *v = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	T_OK(v != MAP_FAILED);
	rc = weft_chan_tryrecv(d->big, v);
	if (rc == 0) {
		for (int i = 1; i < DEPARTURE_BIG; i++)
			T_EQ(v[i], v[0]);
		add_relaxed(&d->big_got, v[0]);
	}
	T_EQ(munmap(v, size), 0);
	return rc == 0;
}

static inline void departure__big(struct departure *d, struct rng *r)
{
	long *v, n = (long)rng_below(r, 1000) + 1;

	if (rng_below(r, 4))
		return;
	v = malloc(DEPARTURE_BIG * sizeof *v);
	T_OK(v != NULL);
	for (int i = 0; i < DEPARTURE_BIG; i++)
		v[i] = n;
	if (weft_chan_trysend(d->big, v) == 0)
		add_relaxed(&d->big_sent, n);
	free(v);
	departure__big_take(d);
}

static inline void departure__lock(struct departure *d, struct rng *r)
{
	int rc = rng_below(r, 2) ? weft_mutex_lock(&d->m) : weft_mutex_lock_until(&d->m, weft_in((int64_t)rng_below(r, 4000)));

	if (rc) {
		T_EQ(rc, WEFT_ETIMEDOUT);
		return;
	}
	d->plain++;
	if (rng_below(r, 4) == 0)
		weft_task_yield();
	weft_mutex_unlock(&d->m);
	add_relaxed(&d->locked, 1);
}

static inline void departure__fires(void *arg)
{
	add_relaxed(&((struct departure *)arg)->fired, 1);
}

static inline void departure__timer(struct departure *d, struct rng *r)
{
	weft_timer *t = weft_timer_after((int64_t)rng_below(r, 3000), departure__fires, d);

	T_OK(t != NULL);
	add_relaxed(&d->set, 1);
	if (rng_below(r, 2))
		T_EQ(weft_chan_recv_until(d->quiet, NULL, weft_in((int64_t)rng_below(r, 3000))), WEFT_ETIMEDOUT);
	if (weft_timer_stop(t))
		add_relaxed(&d->stopped, 1);
	weft_timer_free(t);
	t = weft_timer_make((int64_t)rng_below(r, 2000));
	T_OK(t != NULL);
	if (rng_below(r, 2))
		T_EQ(weft_chan_recv(weft_timer_chan(t), NULL), 0);
	else
		T_GE(weft_timer_reset(t, (int64_t)rng_below(r, 2000)), 0);
	weft_timer_free(t);
}

static inline int departure__stuck(void *arg)
{
	return weft_chan_recv(((struct departure *)arg)->quiet, NULL);
}

static inline void departure__cancel(struct departure *d, struct rng *r)
{
	weft_ctx *c = weft_ctx_make(NULL);
	weft_task *t;
	bool own = rng_below(r, 2);
	int ret = 1;

	T_EQ(weft_go_opts(&t, departure__stuck, d, &(weft_task_opts){.ctx = c}), 0);
	if (rng_below(r, 2))
		let_run();
	T_EQ(own ? weft_task_cancel(t) : weft_ctx_cancel(c, WEFT_REASON_CANCELED), 0);
	T_EQ(weft_task_join(t, &ret), 0);
	T_EQ(ret, WEFT_ECANCELED);
	weft_ctx_free(c);
}

static inline void departure__nap(struct departure *d, struct rng *r)
{
	if (weft_task_self())
		T_EQ(weft_task_sleep((int64_t)rng_below(r, 2000)), 0);
	else
		weft_task_unpark(d->parker);
	weft_task_unpark(d->parker);
}

static inline void departure__produce(struct departure *d, unsigned kind, struct rng *r)
{
	static void (*const kinds[DEPARTURE_KINDS])(struct departure *, struct rng *) = {
		departure__big, departure__send, departure__send, departure__lock, departure__timer, departure__cancel, departure__nap,
	};

	kinds[kind](d, r);
	departure__op(d);
}

/* An argument of its own for each task and thread. */
struct departure_role {
	struct departure *d;
	unsigned n;
	pthread_t thread;
};

static inline int departure__producer(void *arg)
{
	struct departure_role *o = arg;
	struct rng r;

	rng_seed(&r, o->d->seed, o->n);
	for (int i = 0; i < DEPARTURE_OPS; i++)
		departure__produce(o->d, o->n % DEPARTURE_KINDS, &r);
	add_relaxed(&o->d->tasks_done, 1); /* a hint, as ops is */
	weft_wg_done(&o->d->producers);
	return 0;
}

static inline void departure__receive(struct departure *d)
{
	bool open[2] = {true, true};
	long v;

	while (open[0] || open[1]) {
		weft_case cases[] = {WEFT_RECV(open[0] ? d->a : NULL, &v), WEFT_RECV(open[1] ? d->b : NULL, &v)};
		int at = weft_chan_select(cases, 2);

		T_GE(at, 0);
		departure__op(d);
		if (cases[at].status == WEFT_ECLOSED) {
			open[at] = false;
			continue;
		}
		add_relaxed(&d->got, 1);
		add_relaxed(&d->got_sum, v);
	}
	weft_wg_done(&d->receivers);
}

static inline int departure__receiver(void *arg)
{
	departure__receive(((struct departure_role *)arg)->d);
	return 0;
}

static inline int departure__parker(void *arg)
{
	struct departure *d = arg;

	while (!load_acquire(&d->park_stop)) {
		T_EQ(weft_task_park(), 0);
		departure__op(d);
	}
	return 0;
}

/* A thread that weft did not make: a bit of everything; the second one receives besides. */
static inline void *departure__thread(void *arg)
{
	struct departure_role *o = arg;
	struct departure *d = o->d;
	long *v = calloc(DEPARTURE_BIG, sizeof *v);
	struct rng r;

	T_OK(v != NULL);
	rng_seed(&r, d->seed, 100 + o->n);
	for (int i = 1; load_relaxed(&d->ops) < d->moment && load_relaxed(&d->tasks_done) < DEPARTURE_KINDS; i++) {
		cpu_relax();
		if (i % 1000 == 0)
			sched_yield();
	}
	if (d->in_section) {
		for (int i = 0; i < 100000 && !load_relaxed(&weft__solo.in); i++) /* a look */
			compiler_barrier();
	} else {
		for (unsigned i = rng_below(&r, 100); i > 0; i--)
			compiler_barrier();
	}
	if (o->n == 0 && weft_chan_tryrecv(d->big, v) == 0)
		add_relaxed(&d->big_got, v[0]);
	free(v);
	for (unsigned i = 0, first = rng_below(&r, 2) ? 0 : rng_below(&r, DEPARTURE_KINDS); i < DEPARTURE_OPS; i++)
		departure__produce(d, (first + i) % DEPARTURE_KINDS, &r);
	weft_wg_done(&d->producers);
	if (o->n == 1)
		departure__receive(d);
	return NULL;
}

static inline int departure__main(void *arg)
{
	struct departure_role role[DEPARTURE_KINDS], *threads = arg;
	struct departure *d = threads->d;

	if (load_relaxed(&d->ops) == 0 && load_relaxed(&d->tasks_done) == 0 && d->moment > 0) /* else a thread may have come already */
		T_EQ(load_relaxed(&weft__solo.state), SOLO_ON);
	d->parker = start(departure__parker, d);
	for (unsigned i = 0; i < DEPARTURE_KINDS; i++) {
		role[i] = (struct departure_role){.d = d, .n = i};
		T_EQ(weft_go_opts(NULL, departure__producer, &role[i], NULL), 0);
	}
	for (unsigned i = 0; i < DEPARTURE_RECEIVERS; i++)
		T_EQ(weft_go_opts(NULL, departure__receiver, &role[i], NULL), 0);
	for (unsigned i = 0; i < d->threads; i++)
		T_EQ(pthread_create(&threads[i].thread, NULL, departure__thread, &threads[i]), 0);
	T_EQ(weft_wg_wait(&d->producers), 0);
	T_EQ(weft_chan_close(d->a), 0);
	T_EQ(weft_chan_close(d->b), 0);
	T_EQ(weft_wg_wait(&d->receivers), 0);
	store_release(&d->park_stop, 1);
	weft_task_unpark(d->parker);
	T_EQ(finish(d->parker), 0);
	while (load_relaxed(&d->fired) + load_relaxed(&d->stopped) <
	       load_relaxed(&d->set)) /* one that is on its way counts itself in its own task */
		weft_task_sleep(WEFT_US);
	return 7;
}

/* Elision as at the start of the process. Nobody else is in weft. */
static inline void departure__again(void)
{
	store_relaxed(&weft__solo.state, SOLO_OFF);
}

static inline void departure(uint64_t seed)
{
	struct departure d = {.seed = seed};
	struct departure_role threads[2];
	struct rng r;

	rng_seed(&r, seed, 99);
	d.threads = 1 + rng_below(&r, 2);
	d.moment = rng_below(&r, 16) ? (long)rng_below(&r, 300) + 1 : 10000000; /* or when all tasks have come to rest */
	d.in_section = rng_below(&r, 2);
	d.a = weft_chan_make(sizeof(long), 0);
	d.b = weft_chan_make(sizeof(long), rng_below(&r, 4));
	d.big = weft_chan_make(DEPARTURE_BIG * sizeof(long), 3);
	d.quiet = weft_chan_make(1, 0);
	weft_wg_add(&d.producers, DEPARTURE_KINDS + (int)d.threads);
	weft_wg_add(&d.receivers, DEPARTURE_RECEIVERS + (d.threads == 2));
	for (unsigned i = 0; i < d.threads; i++)
		threads[i] = (struct departure_role){.d = &d, .n = i};
	T_EQ(weft_run(departure__main, threads, &(weft_opts){.workers = 1, .seed = seed | 1, .no_deadlock = true}), 7);
	for (unsigned i = 0; i < d.threads; i++)
		T_EQ(pthread_join(threads[i].thread, NULL), 0);
	T_EQ(load_relaxed(&weft__solo.state), SOLO_NEVER);
	T_EQ(load_relaxed(&weft__solo.in), 0);
	T_EQ(load_relaxed(&d.got), load_relaxed(&d.sent));
	T_EQ(load_relaxed(&d.got_sum), load_relaxed(&d.sent_sum));
	while (departure__big_take(&d))
		;
	T_EQ(load_relaxed(&d.big_got), load_relaxed(&d.big_sent));
	T_EQ(d.plain, load_relaxed(&d.locked));
	T_EQ(load_relaxed(&d.fired) + load_relaxed(&d.stopped), load_relaxed(&d.set));
	weft_chan_free(d.a);
	weft_chan_free(d.b);
	weft_chan_free(d.big);
	weft_chan_free(d.quiet);
	nothing_left();
}

/* Ends the test as skipped where elision is never turned on. */
static inline void departure_possible(void)
{
	if (BUILT_WITH_TSAN || (weft__san & SAN_TSAN))
		tap_skip("no elision under TSan");
	if (!weft__asym_on)
		tap_skip("no elision without membarrier");
}

static inline void departures(long rounds, long each)
{
	uint64_t seed = 1;

	departure_possible();
	for (long i = 0; i < rounds; i += each) {
		int status = -1;
		pid_t pid = fork();

		T_GE(pid, 0);
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			alarm((unsigned)(20 * tap_slow())); /* this process hangs: the seed is told below */
			for (long k = 0; k < each && i + k < rounds; k++) {
				if (k > 0)
					departure__again();
				departure(seed + (uint64_t)k);
			}
			_exit(0);
		}
		T_EQ(waitpid(pid, &status, 0), pid);
		if (status) {
			tap_note("in the round of seed %llu, or one of the %ld after it", (unsigned long long)seed, each - 1);
			T_EQ(status, 0);
		}
		seed += (uint64_t)each;
	}
}

#endif
