/* SPDX-License-Identifier: MIT
 *
 * waiting.h - core/wait.h, core/runtime.h, core/sched.h and base/clock.h for models of what waits by them: sync/mutex.c, sync/cond.c, sync/sema.c, core/lot.c, core/park.c,
 * sync/chan.c and sync/select.c compile over it as they are.
 *
 * Every thread of a model waits as a foreign thread does: in a record of its own, upon a futex, with the real wait word (core/waitword.h).  One that
 * is never woken shows as a deadlock.  A deadline passes at any moment from when the wait is listed; or, of a task that is watched, when another thread
 * of the model says so (waiting_due).  A task that is watched can be cancelled, too (waiting_cancel).  A mortal task may be left behind by a
 * runtime that goes down: its calls return WEFT_ECANCELED, for it to stop there, as call_off and forgo in runtime.c leave it.
 */
#ifndef WEFT_TEST_MODEL_WAITING_H
#define WEFT_TEST_MODEL_WAITING_H

#include "futex.h"
#include "model.h"

#define WEFT_BASE_CLOCK_H
#define WEFT_BASE_RAND_H
#define WEFT_CORE_RECSLAB_H
#define WEFT_CORE_RUNTIME_H
#define WEFT_CORE_SCHED_H
#define WEFT_CORE_WAIT_H
#define WEFT_LOCK_H
#define WEFT_SYNC_H

#include "base/check.h"
#include "base/list.h"
#include "base/lock.h"
#include "core/waitword.h"
#include "weft/error.h"
#include "weft/time.h"

#define WAITING_THREADS 3
#define LEFT_ALONE "who is left behind when it has been woken passes nothing on"
#define LEFT_LISTED "who timed out, or was cancelled, stays listed"
#define ENDED_UNASKED "who ends a wait looks at no claim"

enum task_reason {
	REASON_NONE,
	REASON_MUTEX,
	REASON_PARK,
	REASON_GROUP,
	REASON_GROUP_ROOM,
	REASON_SLEEP,
	REASON_SELECT,
	REASON_UV,
	REASON_BLOCKING,
	REASON_SELECT_IO,
	REASON_FUTURE,
	REASON_CHAN_SEND,
	REASON_CHAN_RECV,
	REASON_COND,
	REASON_SEMA
};
enum { WEFT_TASK_RUNNING };

struct inject_node {
	struct inject_node *next;
};

/* Written and read by several threads, checked for races, and spelled as a plain variable by the source. */
template <typename T> struct checked {
	rl::var<T> v;

	checked &operator=(T x)
	{
		v($) = x;
		return *this;
	}

	operator T()
	{
		return v($);
	}
};

struct waiter;

struct rng { /* the scheduler's choice */
};

struct weft_task;

struct worker {
	ATOMIC(struct weft_task *) cur;
	struct rng rng;
};

struct weft_task {
	ATOMIC(uint64_t) wait, permit;
	ATOMIC(uint32_t) refs;
	ATOMIC(uint32_t) futex; /* 1: to be woken */
	checked<bool> owed;     /* the same, for who wakes: once a wait, and what the task did to open it is seen */
	ATOMIC(int64_t) deadline;
	ATOMIC(uint32_t) cancel;
	struct inject_node next;
	checked<struct waiter *> waiters; /* the one that was claimed */
	uint64_t id;
	int64_t limit;
	bool mortal, watched;
	struct worker worker; /* on which it is, where nobody waits */
};
typedef struct weft_task weft_task;

struct waiter {
	struct list_node link;
	struct weft_task *task;
	uint64_t word;
	struct lock *lock;
	void *source, *slot;
	checked<int> status;
	uint16_t place, index, kind;
	bool sends;
};

struct self {
	struct worker *worker;
	struct weft_task *task;
};

static struct weft_task *waiting; /* of this execution: WAITING_THREADS */

void weft__fatal(const char *, ...)
{
	RL_ASSERT(!"weft__fatal");
	abort(); /* not reached */
}

static inline void waiting_reset(struct weft_task *tasks)
{
	waiting = tasks;
	for (unsigned i = 0; i < WAITING_THREADS; i++) {
		store_relaxed(&tasks[i].wait, (uint64_t)0);
		store_relaxed(&tasks[i].permit, (uint64_t)0);
		store_relaxed(&tasks[i].refs, 1u);
		store_relaxed(&tasks[i].futex, 0u);
		store_relaxed(&tasks[i].deadline, INT64_C(0));
		store_relaxed(&tasks[i].cancel, 0u);
		tasks[i].owed = false;
		tasks[i].waiters = NULL;
		tasks[i].id = i + 1;
		tasks[i].limit = WEFT_FOREVER;
		tasks[i].mortal = tasks[i].watched = false;
		store_relaxed(&tasks[i].worker.cur, &tasks[i]);
	}
}

/* What has to do with waiting takes all threads for foreign ... */
static inline struct worker *weft__worker(void)
{
	return NULL;
}

/* ... what has not may know a worker. */
static inline struct worker *weft__worker_look(void)
{
	return &waiting[rl::thread_index()].worker;
}

static inline bool self_at_ease(struct worker *, struct weft_task *)
{
	return true;
}

static inline struct weft_task *weft__foreign(void)
{
	return &waiting[rl::thread_index()];
}

static inline struct weft_task *weft_task_self(void)
{
	return weft__foreign();
}

static inline uint32_t rec_index(struct weft_task *t)
{
	return (uint32_t)t->id;
}

static inline struct weft_task *weft__rec_at(uint32_t index)
{
	return index ? &waiting[index - 1] : NULL;
}

/* Nobody fails here: core/contain.c. */
static inline bool task_fell(const struct weft_task *)
{
	return false;
}

static inline void task_holds(struct weft_task *)
{
}

static inline void task_holds_not(struct weft_task *)
{
}

static inline int self_enter(struct self *me, int64_t *)
{
	me->worker = NULL;
	me->task = weft__foreign();
	return me->task->watched && load_relaxed(&me->task->cancel) ? WEFT_ECANCELED : 0;
}

static inline int weft_ctx_check()
{
	return 0;
}

static inline void task_set_state(struct weft_task *, int)
{
}

static inline bool waiter_claim(struct waiter *w, int32_t status, bool)
{
	struct weft_task *t = w->task;

	if (!wait_claim(&t->wait, w->word, WAIT_WOKEN))
		return false;
	w->status = status;
	t->waiters = w;
	return true;
}

static inline uint64_t wait_begin_as(struct weft_task *t, struct waiter *w, int, enum task_reason, int64_t deadline, enum wait_state how)
{
	t->waiters = w;
	t->owed = true;
	if (t->watched)
		store_relaxed(&t->deadline, deadline); /* as the futex */
	store_relaxed(&t->futex, 1u);                  /* made visible by the release store in wait_open */
	return wait_open(&t->wait, how);
}

static inline uint64_t wait_begin(struct weft_task *t, struct waiter *w, int n, enum task_reason reason, int64_t deadline)
{
	return wait_begin_as(t, w, n, reason, deadline, WAIT_OPEN);
}

static inline void waiter_init(struct waiter *w, struct weft_task *t, uint64_t word, struct lock *lock, enum lock_rank rank, void *source,
			       void *slot)
{
	w->task = t;
	w->word = word;
	w->lock = lock;
	w->source = source;
	w->slot = slot;
	w->status = 0;
	w->index = w->place = 0;
	w->kind = (uint16_t)rank;
	w->link.next = NULL;
}

#include "core/readylist.h"

/* For reports. */
static inline int64_t task_number(const struct weft_task *)
{
	return 0;
}

static inline void weft__ready(struct worker *, struct weft_task *t)
{
	RL_ASSERT(t->owed);
	t->owed = false;
	store_release(&t->futex, 0u); /* as in ready_foreign */
	weft__futex_wake(&t->futex, 1);
}

static inline void weft__ready_list(struct worker *w, struct inject_node *n)
{
	while (n) {
		struct weft_task *t = container_of(n, struct weft_task, next);

		n = n->next;
		weft__ready(w, t);
	}
}

#define LOT_AGAIN 2 /* as in core/lot.h */
void weft__lot_wake_one(struct worker *w, void *key, int status, void (*none)(void *arg), void *arg);

static inline void weft__wait_withdraw(struct waiter *w, int n)
{
	for (int i = 0; i < n; i++) {
		if (!w[i].lock)
			continue;
		lock_take_solo(w[i].lock, (enum lock_rank)w[i].kind);
		if (list_linked(&w[i].link))
			list_remove(&w[i].link);
		lock_drop_solo(w[i].lock);
	}
}

/* Said of waiters whose frame is about to be left. */
static inline void waiting_listed_nowhere(struct waiter *w, int n)
{
	for (int i = 0; i < n; i++)
		RL_ASSERT(!list_linked(&w[i].link));
}

static inline int waiting_ended(struct weft_task *t, struct waiter *w, int n, int rc)
{
	if (!MUTATED(LEFT_LISTED))
		weft__wait_withdraw(w, n);
	waiting_listed_nowhere(w, n);
	return t->mortal ? WEFT_ECANCELED : rc;
}

/* weft__wait_foreign, and what weft__wait_park does about cancel and deadlines that others see to. */
static inline int weft__wait_park(struct worker *, struct weft_task *t, struct waiter *w, int n, uint64_t word, int64_t deadline)
{
	if (t->watched) {
		asym_light(); /* pairs with asym_heavy in waiting_cancel */
		if (load_relaxed(&t->cancel) && wait_state(word) != WAIT_SHIELDED && wait_claim(&t->wait, word, WAIT_CANCELED))
			return waiting_ended(t, w, n, WEFT_ECANCELED);
	} else if ((deadline != WEFT_FOREVER || t->mortal) && (wait_claim(&t->wait, word, WAIT_TIMEDOUT) || MUTATED(ENDED_UNASKED))) {
		return waiting_ended(t, w, n, WEFT_ETIMEDOUT);
	}
	while (load_acquire(&t->futex)) /* pairs with store_release in weft__ready */
		weft__futex_wait(&t->futex, 1u, INT64_MAX);
	word = load_acquire(&t->wait);
	RL_ASSERT(!wait_is_open(word));
	if (wait_state(word) != WAIT_WOKEN)
		return waiting_ended(t, w, n, wait_state(word) == WAIT_CANCELED ? WEFT_ECANCELED : WEFT_ETIMEDOUT);
	if (t->mortal && n && w->status == LOT_AGAIN && rl::rand(2)) {
		if (!MUTATED(LEFT_ALONE))
			weft__lot_wake_one(NULL, w->source, LOT_AGAIN, NULL, NULL);
		return WEFT_ECANCELED;
	}
	return 0;
}

static inline int wait_park(struct worker *wk, struct weft_task *t, struct waiter *w, int n, uint64_t word, int64_t deadline)
{
	return weft__wait_park(wk, t, w, n, word, deadline);
}

/* For who sees to the wait of a watched task, of which nothing is known but the task. */
static inline void waiting_end(struct weft_task *t, uint64_t word, enum wait_state why)
{
	if (wait_claim(&t->wait, word, why))
		weft__ready(NULL, t);
	else if (MUTATED(ENDED_UNASKED)) {
		store_release(&t->wait, (word & ~(WAIT_SEQ_ONE - 1)) | (uint64_t)why);
		weft__ready(NULL, t);
	}
}

/* on_due in sched.c. Returns the deadline of the wait it found open, 0: of none. */
static inline int64_t waiting_due(struct weft_task *t)
{
	uint64_t word = load_acquire(&t->wait);                                 /* pairs with store_release in wait_open */
	int64_t deadline = wait_is_open(word) ? load_relaxed(&t->deadline) : 0; /* ordered by it */

	RL_ASSERT(deadline || !wait_is_open(word)); /* as it was set for that wait, or a later one */
	if (deadline && deadline != WEFT_FOREVER)
		waiting_end(t, word, WAIT_TIMEDOUT);
	return deadline;
}

/* set_cancel and claim in ctx.c. */
static inline void waiting_cancel(struct weft_task *t)
{
	uint64_t word;

	store_relaxed(&t->cancel, 1u); /* pairs with load_relaxed in weft__wait_park, both between fences */
	asym_heavy();
	word = load_acquire(&t->wait); /* as above */
	if (wait_state(word) == WAIT_OPEN)
		waiting_end(t, word, WAIT_CANCELED);
}

#endif
