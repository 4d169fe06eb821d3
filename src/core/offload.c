/* SPDX-License-Identifier: MIT
 *
 * offload.c - calls that block: who asks for one and waits for it, and who is told. See offload.h; the threads that run them: lane_thread.c; the end: offload_down.c.
 *
 * Everything of a lane is under its lock, which is never elided, for its threads take it too. A job's list of waiters is under another, which its threads take only for jobs of foreign threads and
 * of other runtimes' tasks: then nothing is elided.
 */
#include "core/lane.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/futex.h"
#include "core/life.h"
#include "core/runtime.h"
#include <stdlib.h>

static struct lane_state lanes[RUNTIMES_MAX][LANES]; /* by the runtime's number; for good: threads whose jobs were left come back to them */

static struct lock waiters_lock; /* RANK_DESC: job->waiters, and the step to OVER of jobs that have run */
static ATOMIC(int) pending;      /* weft__offload_pending */

int weft__offload_pending(void)
{
	return load_relaxed(&pending); /* a look */
}

void weft__offload_wait_more(void)
{
	add_relaxed(&pending, 1); /* a look */
}

size_t weft__offload_counted(struct runtime *rt)
{
	return load_acquire(&rt->counted); /* pairs with owner_told: what a job has started shows */
}

struct lane_state *weft__lane(enum lane lane)
{
	return &lanes[weft__rt_here()->home][lane];
}

__attribute__((constructor)) static void make_lanes(void)
{
	static const char *const names[LANES] = {[LANE_FILE] = "file", [LANE_DNS] = "dns", [LANE_USER] = "user"};
	static const unsigned max[LANES] = {[LANE_FILE] = LANE_FILE_MAX, [LANE_DNS] = LANE_DNS_MAX, [LANE_USER] = LANE_USER_MAX};

	for (unsigned i = 0; i < RUNTIMES_MAX; i++) {
		for (int k = 0; k < LANES; k++) {
			struct lane_state *l = &lanes[i][k];

			l->rt = &weft__rts[i];
			l->name = names[k];
			l->max = max[k];
			l->bound = LANE_UNBOUNDED;
			l->idle_ns = LANE_IDLE_NS;
			l->closing = true;
		}
	}
}

void weft__offload_up(struct runtime *rt, unsigned threads)
{
	struct lane_state *l = &lanes[rt->home][LANE_USER];

	weft__lane_threads_up();
	lock_take(&l->lock, RANK_LOT);
	l->max = threads;
	lock_drop(&l->lock);
}

/* Jobs are taken from here on. Until the runtime goes down. */
void weft__offload_open(struct runtime *rt)
{
	for (int i = 0; i < LANES; i++) {
		struct lane_state *l = &lanes[rt->home][i];

		lock_take(&l->lock, RANK_LOT);
		l->closing = l->down = false;
		lock_drop(&l->lock);
	}
	weft__lanes_opened(rt);
}

/* --- who asks --- */

/* Locked. Has j, for which no thread is free or to be made, room all the same? Else: 0, and it stands outside; or an error. from: as of weft__job_abroad, of room. */
static int no_room(struct lane_state *l, struct job *j, struct job *room, struct runtime *from)
{
	struct inject_node *none = NULL;

	if (!l->waits || !room) {
		l->refused++;
		return WEFT_EOVERLOAD;
	}
	j->room = room;
	room->lane = l;
	room->home = j->home;
	room->foreign = j->foreign;
	weft__job_abroad(room, from);
	store_relaxed(&room->state, (uint32_t)RUNNING); /* under lock */
	list_init(&room->waiters);
	store_relaxed(&j->state, (uint32_t)OUTSIDE); /* under lock */
	shared_set(&j->next.next, none);
	if (l->outsiders)
		shared_set(&l->outsiders->next, &j->next);
	else
		l->outside = &j->next;
	l->outsiders = &j->next;
	return 0;
}

/* Locked. A thread for one job more: an idle one, or another. Returns 0; WEFT_EAGAIN: it would be the first, and cannot be made; 1: there are as many as there may be. */
static int find_thread(struct lane_state *l, struct lane_thread **asleep, struct lane_thread **ended)
{
	if (l->idle) {
		*asleep = weft__lane_take_idle(l);
		return 0;
	}
	if (!weft__lane_may_grow(l))
		return 1;
	*ended = weft__lane_take_ended(l);
	if (weft__lane_grow(l))
		return 0;
	return l->threads ? 1 : WEFT_EAGAIN;
}

/* The owner of a job is to be told; and has been, when what that has woken is queued. */
static void owner_waits(struct job *j)
{
	weft__offload_wait_more();
	if (j->lane->own)
		add_relaxed(&j->lane->untold, 1u); /* there is a thread, which is one, too */
	j->counts = !j->lane->leaves;
	if (j->counts)
		add_relaxed(
			&j->lane->rt->counted,
			(size_t)1); /* by a task of its that is alive, a job that is counted, or a thread or task outside, which nobody waits for */
}

static void owner_told(struct runtime *rt, bool counts)
{
	add_relaxed(&pending, -1); /* a look */
	if (counts) {
		add_acq_rel(&rt->counted, (size_t)-1); /* pairs with load_acquire in weft__offload_counted */
		weft__life_told(rt);
	}
}

/* Locked, and l is open. Does a thread ask that has chosen a runtime which has gone? Another has its number. */
static bool is_anothers(struct lane_state *l)
{
	uint32_t run = weft__thread_run();

	return !l->own && run && run != load_relaxed(&l->rt->run); /* constant while its lanes are open */
}

/* A job is queued only where there is a thread that will see it: one that ends has seen the queue empty. */
int weft__lane_submit(struct lane_state *l, struct job *j, struct job *room, struct worker *w)
{
	struct runtime *from = w && w->rt != l->rt ? w->rt : NULL;
	struct lane_thread *asleep = NULL, *ended = NULL;
	bool outside = false;
	int rc;

	j->lane = l;
	j->foreign = !w || w->rt != l->rt;
	j->home = j->foreign ? 0 : w->id;
	j->room = NULL;
	weft__job_abroad(j, j->drop || j->over ? NULL : from);
	j->rc = 0;
	list_init(&j->waiters);
	san_release(j);
	lock_take(&l->lock, RANK_LOT);
	rc = !l->closing ? 0 : l->own && !l->called_off ? WEFT_ECLOSED : WEFT_ESRCH;
	if (!rc && !w && is_anothers(l))
		rc = WEFT_ESRCH;
	if (!rc)
		rc = find_thread(l, &asleep, &ended);
	if (!rc && l->outside) { /* one has left before its time: whoever stands there was first */
		weft__lane_let_one_in(l);
		rc = 1;
	}
	if (rc == 1) {
		outside = l->outside || l->queued >= l->bound + l->coming;
		rc = outside ? no_room(l, j, room, from) : 0;
	}
	if (!rc) {
		if (!outside)
			weft__lane_enqueue(l, j);
		l->submitted++;
		if (j->over)
			owner_waits(j);
	}
	lock_drop(&l->lock);
	if (rc)
		weft__job_back(j->abroad);
	if (asleep)
		weft__futex_wake(&asleep->word, 1); /* by its address only: if it has ended by now, nobody sleeps there */
	weft__lane_join(ended);
	return rc ? rc : outside ? WEFT_EBUSY : 0;
}

int weft__offload_submit(enum lane lane, struct job *j, struct worker *w)
{
	return weft__lane_submit(w ? &lanes[w->home][lane] : weft__lane(lane), j, NULL, w);
}

bool weft__lane_step_back(struct job *j)
{
	struct lane_state *l = j->lane;
	bool outside;

	weft__lanes_hold();
	if (load_relaxed(&j->state) != OUTSIDE) { /* else its lane is there: lane.h */
		weft__lanes_let_go();
		return false;
	}
	lock_take(&l->lock, RANK_LOT);
	outside = load_relaxed(&j->state) == OUTSIDE; /* under lock */
	if (outside) {
		weft__lane_take_out(&l->outside, &l->outsiders, j);
		l->submitted--;
		if (j->over) {
			if (l->own)
				(void)add_relaxed(&l->untold, (uint32_t)-1); /* not the last: it has threads */
			owner_told(l->rt, j->counts);
		}
		weft__job_back(j->abroad);
		weft__job_back(j->room->abroad);
	}
	lock_drop(&l->lock);
	weft__lanes_let_go();
	return outside;
}

/* j, which has `over`, is. */
void weft__job_tell_owner(struct job *j, int rc)
{
	struct lane_state *l = j->lane;
	struct runtime *rt = l->rt; /* j may be no more; the lane neither, if it is that which was told of */
	bool counts = j->counts, of_lane = j == &l->gone;

	j->over(j, rc);
	if (!of_lane && l->own)
		weft__lane_one_told(l);
	owner_told(rt, counts);
}

bool weft__lane_withdraw(struct job *j, int rc)
{
	struct lane_state *l = j->lane;
	bool waits;

	lock_take(&l->lock, RANK_LOT);
	waits = load_relaxed(&j->state) == QUEUED; /* under lock */
	if (waits)
		weft__lane_unqueue(l, j);
	lock_drop(&l->lock);
	if (waits) {
		weft__job_tell_owner(j, rc);
		j->drop(j);
	}
	return waits;
}

/* Waits until somebody says that j is over. */
static int wait_over(struct job *j, enum task_reason reason, int64_t deadline, bool shielded)
{
	struct self me = {.worker = weft__worker()};
	struct waiter w;
	uint64_t word;

	me.task = me.worker ? load_relaxed(&me.worker->cur) : weft__foreign(); /* own; or it has one: its caller has seen to that */
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

int weft__job_wait(struct job *j, enum task_reason reason, int64_t deadline, bool shielded)
{
	return wait_over(j, reason, deadline, shielded);
}

/* Who waits for j has been told to go. True: j has not run and will not, or is not the caller's any more. False: it must be waited for. */
static bool give_up(struct job *j)
{
	struct lane_state *l = j->lane;
	void (*drop)(struct job *) = NULL;
	bool gone = false;
	uint32_t state;

	weft__lanes_hold();
	state = load_relaxed(&j->state);           /* ordered by the lock */
	if (state != QUEUED && state != RUNNING) { /* it is, or will be told; its lane may be no more */
		weft__lanes_let_go();
		return false;
	}
	lock_take(&l->lock, RANK_LOT);
	if (load_relaxed(&j->state) == QUEUED) { /* under lock */
		weft__lane_unqueue(l, j);
		drop = j->drop;
		weft__job_back(j->abroad);
		gone = true;
	} else if (load_relaxed(&j->state) == RUNNING && j->drop) {
		weft__lane_leave_behind(l, j);
		if (l->first && weft__lane_may_grow(l))
			(void)weft__lane_grow(l); /* in its thread's place */
		gone = true;
	}
	lock_drop(&l->lock);
	weft__lanes_let_go();
	if (drop)
		drop(j);
	return gone;
}

/* Entry of a call. Returns 0, or why it is not made. */
static int enter(struct self *me, int64_t deadline, int64_t *limit)
{
	int rc;

	*limit = deadline;
	rc = self_enter(me, limit);
	if (!rc && deadline == WEFT_NOW)
		rc = WEFT_EAGAIN;
	else if (!rc && *limit != WEFT_FOREVER && *limit <= clock_now())
		rc = WEFT_ETIMEDOUT;
	return rc;
}

/* Waits for j, which is queued. */
static int see_through(struct job *j, enum task_reason reason, int64_t deadline)
{
	int rc = wait_over(j, reason, deadline, false);

	if (rc && give_up(j))
		return rc;
	while (rc)
		rc = wait_over(j, reason, WEFT_FOREVER, true);
	return j->rc;
}

int weft__offload(enum lane lane, struct job *j, enum task_reason reason, int64_t deadline)
{
	int64_t limit;
	struct self me;
	int rc = enter(&me, deadline, &limit);

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
	return see_through(j, reason, limit);
}

int weft__lane_run(struct lane_state *l, struct job *j, enum task_reason reason, int64_t deadline)
{
	struct job room = {.run = NULL};
	int64_t limit;
	struct self me;
	int rc = enter(&me, deadline, &limit);

	if (!rc)
		rc = weft__lane_submit(l, j, &room, me.worker);
	if (rc == WEFT_EBUSY) {
		rc = wait_over(&room, reason, limit, false);
		if (rc && weft__lane_step_back(j))
			return rc;
		if (rc) /* it has been told just now */
			while (wait_over(&room, reason, WEFT_FOREVER, true))
				;
		rc = room.rc;
	}
	return rc ? rc : see_through(j, reason, limit);
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

/* j is over. */
static void claim_waiters(struct job *j, struct ready_list *r)
{
	lock_take_solo(&waiters_lock, RANK_DESC);
	store_relaxed(&j->state, (uint32_t)OVER); /* under lock; from the unlock on j is its owner's */
	for (struct list_node *n; (n = list_pop_head(&j->waiters)) != NULL;) {
		struct waiter *w = container_of(n, struct waiter, link);

		if (waiter_claim(w, 0, false))
			ready_list_add(r, w->task);
	}
	lock_drop_solo(&waiters_lock);
}

struct inject_node *weft__job_tell(struct job *j)
{
	struct ready_list r;

	ready_list_init(&r);
	claim_waiters(j, &r);
	return r.first;
}

/* j has run, or shall not. */
void weft__job_done(struct job *j)
{
	void (*drop)(struct job *) = j->drop; /* NULL: it may be no more when its owner has been told */

	weft__job_tell_owner(j, j->rc);
	if (drop)
		drop(j);
}

void weft__lane_pay(struct lane_state *l)
{
	struct job *j;

	while ((j = job_of(l->owed)) != NULL) {
		l->owed = shared_get(&j->next.next);
		lock_drop(&l->lock);
		weft__job_done(j);
		lock_take(&l->lock, RANK_LOT);
	}
}

/* By a worker, which may be about to leave a task: what the owner does is nothing of that one's. */
static void tell_owner_by(struct worker *w, struct job *j)
{
	struct weft_task *cur = load_relaxed(&w->cur); /* own */

	store_relaxed(&w->cur, NULL); /* the same */
	weft__job_done(j);
	store_relaxed(&w->cur, cur); /* the same */
	if (cur && w->owes) {        /* on a task's stack nobody pays: worker.c */
		w->owes = false;
		weft__sched_wake(w->rt);
	}
}

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
		if (j->over) {
			tell_owner_by(w, j);
			continue;
		}
		claim_waiters(j, &r);
	}
	weft__ready_list(w, r.first);
	return any;
}

/* Whoever waits for it never runs again, and must not look for its place in j's list when it is called off. A thread outside does run, and so do tasks of other runtimes than rt, which goes down. over: it is. */
void weft__job_orphan(struct runtime *rt, struct job *j, bool over)
{
	struct ready_list r;
	struct list_node *n;

	ready_list_init(&r);
	lock_take_solo(&waiters_lock, RANK_DESC);
	if (over)
		store_relaxed(&j->state, (uint32_t)OVER); /* under lock */
	while ((n = list_pop_head(&j->waiters)) != NULL) {
		struct waiter *wt = container_of(n, struct waiter, link);
		struct weft_task *t = wt->task;

		if (task_outside(t, rt) && waiter_claim(wt, 0, false))
			ready_list_add(&r, t);
	}
	lock_drop_solo(&waiters_lock);
	weft__ready_list(weft__worker(), r.first);
}

/* --- all of a runtime --- */

void weft__offload_each(struct runtime *rt, void (*fn)(struct lane_state *l, void *arg), void *arg)
{
	for (int i = 0; i < LANES; i++)
		fn(&lanes[rt->home][i], arg);
	weft__lanes_foreach(rt, fn, arg);
}

/* --- for tests --- */

unsigned weft__offload_lane_threads(enum lane lane)
{
	unsigned n;

	lock_take(&lanes[0][lane].lock, RANK_LOT);
	n = lanes[0][lane].threads;
	lock_drop(&lanes[0][lane].lock);
	return n;
}

unsigned weft__offload_lane_queued(enum lane lane)
{
	unsigned n;

	lock_take(&lanes[0][lane].lock, RANK_LOT);
	n = lanes[0][lane].queued;
	lock_drop(&lanes[0][lane].lock);
	return n;
}

/* --- fork, and the end of the process --- */

void weft__offload_forked(void)
{
	for (int i = 0; i < RUNTIMES_MAX * LANES; i++) {
		struct lane_state *l = &lanes[i / LANES][i % LANES];

		store_relaxed(&l->lock.word, LOCK_FREE); /* whoever held it is not here */
		l->first = l->last = l->busy = NULL;
		l->idle = l->ended = NULL;
		l->queued = l->threads = l->running = l->left = l->coming = 0;
	}
	for (int i = 0; i < RUNTIMES_MAX; i++)
		store_relaxed(&weft__rts[i].counted, (size_t)0); /* there is one thread */
	store_relaxed(&pending, 0);
	weft__lane_threads_forked();
	weft__lanes_forked();
}

/* Threads that have ended since the last run: those who look for leaked ones shall find none. */
__attribute__((destructor)) static void join_rest(void)
{
	for (int i = 0; i < RUNTIMES_MAX * LANES; i++) {
		struct lane_state *l = &lanes[i / LANES][i % LANES];
		struct lane_thread *t;

		lock_take(&l->lock, RANK_LOT);
		t = weft__lane_take_ended(l);
		lock_drop(&l->lock);
		weft__lane_join(t);
	}
}
