/* SPDX-License-Identifier: MIT
 *
 * offload.c - lanes of threads for calls that block. See offload.h.
 *
 * Everything of a lane is under its lock, which is never elided, for its threads take it too. A job's list of waiters is under another, which only tasks and workers take.
 * A thread that goes idle lists itself, and sleeps on a word of its own; who brings work takes the one that went last, whose cache is warmest, and lets the others age.
 */
#include "core/offload.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "base/futex.h"
#include "core/runtime.h"
#include <stdio.h>
#include <stdlib.h>

enum { QUEUED, RUNNING, RAN, OVER, LEFT };
enum { TAKEN, SPINS, SLEEPS }; /* an idle thread: is off the list, looks on, sleeps */

struct thread {
	struct thread *next; /* in the lane's list of the idle, or of the ended */
	struct lane_state *lane;
	pthread_t id;
	ATOMIC(uint32_t) word; /* futex: TAKEN, SPINS, SLEEPS; written under lock */
	int64_t spin_ns;       /* how long it looks on before it sleeps; its own */
};

static struct lane_state {
	const char *name;
	unsigned max;
	struct lock lock;                 /* RANK_LOT; guards the rest */
	struct inject_node *first, *last; /* jobs that wait */
	struct inject_node *busy;         /* jobs under way that somebody waits for */
	unsigned queued;
	struct thread *idle;      /* most recent first */
	struct thread *ended;     /* to be joined */
	unsigned threads;         /* alive */
	unsigned running;         /* how many are busy */
	unsigned left;            /* jobs under way that nobody waits for */
	bool closing;             /* idle threads shall end */
	ATOMIC(uint32_t) changed; /* futex of weft__offload_down: threads, running */
} lanes[LANES] = {
	[LANE_FILE] = {.name = "file", .max = LANE_FILE_MAX},
	[LANE_DNS] = {.name = "dns", .max = LANE_DNS_MAX},
	[LANE_USER] = {.name = "user", .max = LANE_USER_MAX},
};

static struct lock waiters_lock; /* RANK_DESC: job->waiters, and the step to OVER of jobs that have run */
static ATOMIC(unsigned) cpus;    /* 0: not asked yet. One: who spins keeps others from it */
static ATOMIC(int) alive;        /* threads of all lanes */
static ATOMIC(uint32_t) ends;    /* how many have ended */
static __thread bool on_lane;    /* this thread is one of them */

int weft__offload_threads(void)
{
	return load_relaxed(&alive); /* a look */
}

uint32_t weft__offload_ends(void)
{
	return load_relaxed(&ends); /* a look */
}

NOINLINE bool weft__offload_here(void)
{
	return on_lane;
}

void weft__offload_up(unsigned threads)
{
	if (!load_relaxed(&cpus))                   /* once: it reads files */
		store_relaxed(&cpus, weft__cpus()); /* before there are threads */
	lock_take(&lanes[LANE_USER].lock, RANK_LOT);
	lanes[LANE_USER].max = threads;
	lock_drop(&lanes[LANE_USER].lock);
}

static struct job *job_of(struct inject_node *n)
{
	return n ? container_of(n, struct job, next) : NULL;
}

/* --- a lane's threads --- */

/* The oldest job that waits. Locked. */
static struct job *take_job(struct lane_state *l)
{
	struct job *j = job_of(l->first);

	if (!j)
		return NULL;
	l->first = shared_get(&j->next.next);
	if (!l->first)
		l->last = NULL;
	l->queued--;
	return j;
}

/* It is under way, or no more. Locked. */
static void begin(struct lane_state *l, struct job *j)
{
	store_relaxed(&j->state, (uint32_t)RUNNING); /* under lock */
	shared_set(&j->next.next, l->busy);
	l->busy = &j->next;
	l->running++;
}

static void end(struct lane_state *l, struct job *j)
{
	struct inject_node *next = shared_get(&j->next.next), *at = l->busy;

	l->running--;
	if (at == &j->next) {
		l->busy = next;
		return;
	}
	while (shared_get(&at->next) != &j->next)
		at = shared_get(&at->next);
	shared_set(&at->next, next);
}

/* Nobody waits for it any more: its thread will drop it. Locked. */
static void leave_behind(struct lane_state *l, struct job *j)
{
	end(l, j);
	store_relaxed(&j->state, (uint32_t)LEFT); /* under lock */
	l->left++;
}

static void tell_down(struct lane_state *l)
{
	add_relaxed(&l->changed, 1u); /* the lock orders it */
	weft__futex_wake(&l->changed, 1);
}

/* It has run. Locked. */
static void has_run(struct lane_state *l, struct job *j)
{
	struct runtime *rt;
	unsigned home;

	if (load_relaxed(&j->state) == LEFT) { /* under lock */
		l->left--;
		lock_drop(&l->lock);
		j->drop(j);
		lock_take(&l->lock, RANK_LOT);
		return;
	}
	rt = weft__rt; /* up as long as a job is busy */
	home = j->home;
	end(l, j);
	store_relaxed(&j->state, (uint32_t)RAN); /* under lock; made visible to the worker by the queue's */
	san_release(j);
	injectq_push(&rt->ran, &j->next);
	store_relaxed(&rt->workers[home].countdown, 1); /* a hint: it looks soon */
	if (rt->n == 1)
		asym_heavy(); /* a worker that is alone passes none before it sleeps: idle.h */
	else
		fence_seq_cst(); /* pairs with the fence in idle_found */
	weft__sched_wake(rt);
	if (l->closing) /* and the runtime goes on with it when this is unlocked */
		tell_down(l);
}

/* Listed, and unlocked: looks on for a while, if that has paid lately, as workers do (worker.c). */
static void look_on(struct thread *t)
{
	int64_t until;

	if (!t->spin_ns)
		return;
	until = weft__clock_read() + t->spin_ns;
	do {
		for (int i = 0; i < 16; i++)
			cpu_relax();
		if (load_relaxed(&t->word) == TAKEN) { /* a look; the lock orders it */
			t->spin_ns = t->spin_ns < SPIN_NS / 2 ? 2 * t->spin_ns : SPIN_NS;
			return;
		}
	} while (weft__clock_read() < until);
	t->spin_ns = t->spin_ns > SPIN_NS / 8 ? t->spin_ns / 2 : 0;
}

/* Sleeps until there is work. Locked; returns locked. False: it shall end. */
static bool wait_for_work(struct lane_state *l, struct thread *t)
{
	int64_t since = weft__clock_read(); /* real time also under the fake clock */
	bool late;

	if (l->closing)
		return false;
	store_relaxed(&t->word, (uint32_t)SPINS); /* under lock */
	t->next = l->idle;
	l->idle = t;
	lock_drop(&l->lock);
	look_on(t);
	lock_take(&l->lock, RANK_LOT);
	if (load_relaxed(&t->word) == TAKEN) /* under lock */
		return true;
	store_relaxed(&t->word, (uint32_t)SLEEPS); /* under lock */
	do {
		lock_drop(&l->lock);
		late = weft__futex_wait(&t->word, SLEEPS, since + LANE_IDLE_NS) != 0;
		lock_take(&l->lock, RANK_LOT);
	} while (load_relaxed(&t->word) && !late); /* under lock */
	if (load_relaxed(&t->word)) {              /* still on the list: nobody has taken it */
		for (struct thread **at = &l->idle; *at; at = &(*at)->next) {
			if (*at == t) {
				*at = t->next;
				break;
			}
		}
		return false;
	}
	if (load_relaxed(&cpus) > 1 && weft__clock_read() - since < SPIN_WORTH_NS)
		t->spin_ns = t->spin_ns > SPIN_NS / 4 ? t->spin_ns : SPIN_NS / 4;
	return true;
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	struct lane_state *l = t->lane;
	struct job *j;
	char name[16];

	on_lane = true;
	snprintf(name, sizeof name, "weft-%s", l->name);
	pthread_setname_np(pthread_self(), name);
	lock_take(&l->lock, RANK_LOT);
	do {
		while ((j = take_job(l)) != NULL) {
			begin(l, j);
			lock_drop(&l->lock);
			san_acquire(j);
			j->run(j);
			if (unlikely(load_relaxed(&weft__forked))) /* it has forked, and did not call exec */
				weft__forked_fatal();
			lock_take(&l->lock, RANK_LOT);
			has_run(l, j);
		}
	} while (wait_for_work(l, t));
	t->next = l->ended;
	l->ended = t;
	l->threads--;
	add_relaxed(&ends, 1u);  /* before it is missing from alive, and before the kernel knows */
	add_relaxed(&alive, -1); /* a look */
	tell_down(l);
	lock_drop(&l->lock);
	return NULL;
}

/* Those that have ended, to be joined. Locked. */
static struct thread *take_ended(struct lane_state *l)
{
	struct thread *t = l->ended;

	l->ended = NULL;
	return t;
}

static void join_all(struct thread *t)
{
	struct thread *next;

	for (; t; t = next) {
		next = t->next;
		pthread_join(t->id, NULL);
		free(t);
	}
}

/* One more. Locked: it begins when this is unlocked, so it is counted before it can end. Returns whether it could be made. */
static bool thread_make(struct lane_state *l)
{
	struct thread *t = calloc(1, sizeof *t);

	if (!t)
		return false;
	t->lane = l;
	if (pthread_create(&t->id, NULL, thread_main, t)) {
		free(t);
		return false;
	}
	l->threads++;
	add_relaxed(&alive, 1); /* a look */
	return true;
}

/* Threads with a job that was left are not counted. Locked. */
static bool may_grow(const struct lane_state *l)
{
	return l->threads - l->left < l->max && l->threads < LANE_THREADS_MAX;
}

/* --- who asks --- */

/* Takes j out of the queue. Locked. */
static void unqueue(struct lane_state *l, struct job *j)
{
	struct inject_node *before = NULL, *n = l->first, *next;

	while (n != &j->next) {
		before = n;
		n = shared_get(&n->next);
	}
	next = shared_get(&n->next);
	if (before)
		shared_set(&before->next, next);
	else
		l->first = next;
	if (!next)
		l->last = before;
	l->queued--;
	store_relaxed(&j->state, (uint32_t)OVER); /* under lock */
}

/* Appends j. Locked. */
static void enqueue(struct lane_state *l, struct job *j)
{
	store_relaxed(&j->state, (uint32_t)QUEUED); /* under lock */
	if (l->last)
		shared_set(&l->last->next, &j->next);
	else
		l->first = &j->next;
	l->last = &j->next;
	l->queued++;
}

/* A job is queued only where there is a thread that will see it: one that ends has seen the queue empty. */
int weft__offload_submit(enum lane lane, struct job *j, struct worker *w)
{
	struct lane_state *l = &lanes[lane];
	struct inject_node *none = NULL;
	struct thread *t, *ended = NULL;
	bool asleep = false;

	j->lane = lane;
	j->home = w->id;
	shared_set(&j->next.next, none);
	list_init(&j->waiters);
	san_release(j);
	lock_take(&l->lock, RANK_LOT);
	t = l->idle;
	if (!t && may_grow(l)) {
		ended = take_ended(l);
		if (!thread_make(l) && l->threads == 0) {
			lock_drop(&l->lock);
			join_all(ended);
			return WEFT_EAGAIN;
		}
	}
	enqueue(l, j);
	if (t) {
		l->idle = t->next;
		asleep = load_relaxed(&t->word) == SLEEPS; /* under lock */
		store_relaxed(&t->word, (uint32_t)TAKEN);  /* under lock */
	}
	lock_drop(&l->lock);
	if (asleep)
		weft__futex_wake(&t->word, 1); /* by its address only: if it has ended by now, nobody sleeps there */
	join_all(ended);
	return 0;
}

/* Waits until a worker says that j is over. */
static int wait_over(struct job *j, enum task_reason reason, int64_t deadline, bool shielded)
{
	struct self me = {.worker = weft__worker()};
	struct waiter w;
	uint64_t word;

	me.task = load_relaxed(&me.worker->cur); /* own */
	lock_take_solo(&waiters_lock, RANK_DESC);
	if (load_relaxed(&j->state) == OVER) { /* under lock */
		lock_drop_solo(&waiters_lock);
		return 0;
	}
	word = wait_begin_as(me.task, &w, 1, reason, deadline, shielded ? WAIT_SHIELDED : WAIT_OPEN);
	waiter_init(&w, me.task, word, &waiters_lock, RANK_DESC, j, NULL);
	list_push_tail(&j->waiters, &w.link);
	lock_drop_solo(&waiters_lock);
	return weft__wait_park(me.worker, me.task, &w, 1, word, deadline);
}

/* Who waits for j has been told to go. True: j has not run and will not, or is not the caller's any more. False: it must be waited for. */
static bool give_up(struct job *j)
{
	struct lane_state *l = &lanes[j->lane];
	void (*drop)(struct job *) = NULL;
	bool gone = false;

	lock_take(&l->lock, RANK_LOT);
	if (load_relaxed(&j->state) == QUEUED) { /* under lock */
		unqueue(l, j);
		drop = j->drop;
		gone = true;
	} else if (load_relaxed(&j->state) == RUNNING && j->drop) {
		leave_behind(l, j);
		if (l->first && may_grow(l))
			(void)thread_make(l); /* in its thread's place */
		gone = true;
	}
	lock_drop(&l->lock);
	if (drop)
		drop(j);
	return gone;
}

int weft__offload(enum lane lane, struct job *j, enum task_reason reason, int64_t deadline)
{
	int64_t limit = deadline;
	struct self me;
	int rc = self_enter(&me, &limit);

	if (!rc && deadline == WEFT_NOW)
		rc = WEFT_EAGAIN;
	else if (!rc && limit != WEFT_FOREVER && limit <= clock_now())
		rc = WEFT_ETIMEDOUT;
	if (!rc && !me.worker) {
		j->run(j);
		return 0;
	}
	if (!rc)
		rc = weft__offload_submit(lane, j, me.worker);
	if (rc) {
		if (j->drop)
			j->drop(j);
		return rc;
	}
	rc = wait_over(j, reason, limit, false);
	if (rc && give_up(j))
		return rc;
	while (rc)
		rc = wait_over(j, reason, WEFT_FOREVER, true);
	return 0;
}

void weft__offload_shielded(enum lane lane, struct job *j, enum task_reason reason)
{
	struct worker *w = weft__worker();

	if (!w || weft__offload_submit(lane, j, w)) {
		j->run(j);
		return;
	}
	while (wait_over(j, reason, WEFT_FOREVER, true))
		;
}

/* --- what has run --- */

bool weft__offload_collect(struct worker *w)
{
	struct ready_list r;
	struct job *j;
	bool any = false;

	ready_list_init(&r);
	while ((j = job_of(injectq_pop(&w->rt->ran))) != NULL) {
		any = true;
		san_acquire(j);
		if (j->task) { /* of a section: nobody claims it */
			ready_list_add(&r, j->task);
			continue;
		}
		lock_take_solo(&waiters_lock, RANK_DESC);
		store_relaxed(&j->state, (uint32_t)OVER); /* under lock; from the unlock on j is its owner's */
		for (struct list_node *n; (n = list_pop_head(&j->waiters)) != NULL;) {
			struct waiter *wt = container_of(n, struct waiter, link);

			if (waiter_claim(wt, 0, false))
				ready_list_add(&r, wt->task);
		}
		lock_drop_solo(&waiters_lock);
	}
	weft__ready_list(w, r.first);
	return any;
}

/* --- the runtime goes down --- */

/* Whoever waits for it never runs again, and must not look for its place in j's list when it is called off. */
static void orphan(struct job *j)
{
	lock_take_solo(&waiters_lock, RANK_DESC);
	while (list_pop_head(&j->waiters))
		;
	lock_drop_solo(&waiters_lock);
}

static void drop_chain(struct inject_node *n)
{
	while (n) {
		struct job *j = job_of(n);

		n = shared_get(&n->next);
		orphan(j);
		j->drop(j);
	}
}

/* Nobody will hear that it is over. */
static void unheard(struct job *j)
{
	if (j->task)
		task_set_state(j->task, WEFT_TASK_RUNNABLE); /* it waits for nothing any more: runtime.c, call_off */
}

/* Jobs that have not begun never will; what is under way and may be left is left. Returns a chain of those to drop. Locked. */
static struct inject_node *call_off(struct lane_state *l)
{
	struct inject_node *dropped = NULL, *n, *next;
	struct job *j;

	while ((j = take_job(l)) != NULL) {
		store_relaxed(&j->state, (uint32_t)OVER); /* under lock */
		unheard(j);
		if (j->drop) {
			shared_set(&j->next.next, dropped);
			dropped = &j->next;
		}
	}
	for (n = l->busy; n; n = next) {
		next = shared_get(&n->next);
		j = job_of(n);
		if (j->drop) {
			leave_behind(l, j);
			orphan(j); /* before it is dropped, which needs the lane's lock */
		}
	}
	return dropped;
}

static void lane_down(struct lane_state *l)
{
	int64_t notice = weft__clock_read() + STOP_NOTICE_NS;
	struct inject_node *dropped;
	struct thread *t;
	uint32_t seen;

	lock_take(&l->lock, RANK_LOT);
	l->closing = true;
	dropped = call_off(l);
	while ((t = l->idle) != NULL) {
		l->idle = t->next;
		store_relaxed(&t->word, (uint32_t)TAKEN); /* under lock */
		weft__futex_wake(&t->word, 1);
	}
	while (l->running || l->threads > l->left) {
		seen = load_relaxed(&l->changed); /* under lock */
		lock_drop(&l->lock);
		if (weft__futex_wait(&l->changed, seen, notice)) {
			weft__log("weft_run waits for a blocking call that has not come back");
			notice = INT64_MAX; /* once */
		}
		lock_take(&l->lock, RANK_LOT);
	}
	l->closing = false;
	t = take_ended(l);
	lock_drop(&l->lock);
	drop_chain(dropped);
	join_all(t);
}

void weft__offload_down(struct runtime *rt)
{
	struct job *j;

	for (int i = 0; i < LANES; i++)
		lane_down(&lanes[i]);
	while ((j = job_of(injectq_pop(&rt->ran))) != NULL) {
		unheard(j);
		if (j->drop) {
			orphan(j);
			j->drop(j);
		}
	}
}

/* --- for tests --- */

unsigned weft__offload_lane_threads(enum lane lane)
{
	unsigned n;

	lock_take(&lanes[lane].lock, RANK_LOT);
	n = lanes[lane].threads;
	lock_drop(&lanes[lane].lock);
	return n;
}

unsigned weft__offload_lane_queued(enum lane lane)
{
	unsigned n;

	lock_take(&lanes[lane].lock, RANK_LOT);
	n = lanes[lane].queued;
	lock_drop(&lanes[lane].lock);
	return n;
}

/* --- fork, and the end of the process --- */

void weft__offload_forked(void)
{
	for (int i = 0; i < LANES; i++) {
		struct lane_state *l = &lanes[i];

		store_relaxed(&l->lock.word, LOCK_FREE); /* whoever held it is not here */
		l->first = l->last = l->busy = NULL;
		l->idle = l->ended = NULL;
		l->queued = l->threads = l->running = l->left = 0;
		l->closing = false;
	}
	store_relaxed(&alive, 0); /* there is one thread */
}

/* Threads that have ended since the last run: those who look for leaked ones shall find none. */
__attribute__((destructor)) static void join_rest(void)
{
	for (int i = 0; i < LANES; i++) {
		struct thread *t;

		lock_take(&lanes[i].lock, RANK_LOT);
		t = take_ended(&lanes[i]);
		lock_drop(&lanes[i].lock);
		join_all(t);
	}
}
