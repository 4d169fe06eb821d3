/* SPDX-License-Identifier: MIT
 *
 * fd.c - descriptors that tasks share: turns, references, waiting, close. See fd.h.
 */
#include "io/fd.h"

#include "base/check.h"
#include "base/clock.h"
#include "core/lot.h"
#include "io/copy.h"
#include "io/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- the pool --- */

#define CHUNK SMALL(64, 4) /* records made at a time */

static struct lock pool_lock; /* RANK_POOL */
static struct fd *pool;       /* free records; under lock */
static struct chunk {
	struct chunk *next;
	struct fd fds[CHUNK];
} * chunks;                   /* all that were made, so that leak checkers see them; under lock */
static ATOMIC(size_t) in_use; /* a counter */

static bool pool_grow(void)
{
	struct chunk *c = aligned_alloc(_Alignof(struct chunk), sizeof *c);

	if (!c)
		return false;
	memset(c, 0, sizeof *c);
	lock_take(&pool_lock, RANK_POOL);
	c->next = chunks;
	chunks = c;
	for (int i = 0; i < CHUNK; i++) {
		c->fds[i].free_next = pool;
		pool = &c->fds[i];
	}
	lock_drop(&pool_lock);
	return true;
}

static struct fd *pool_get(void)
{
	struct fd *f;

	do {
		lock_take(&pool_lock, RANK_POOL);
		f = pool;
		if (f)
			pool = f->free_next;
		lock_drop(&pool_lock);
	} while (!f && pool_grow());
	if (f)
		add_relaxed(&in_use, 1u); /* a counter */
	return f;
}

static void pool_put(struct fd *f)
{
	if (f->others)
		f->others = false;
	if (f->task_closes)
		f->task_closes = false;
	lock_take(&pool_lock, RANK_POOL);
	f->free_next = pool;
	pool = f;
	lock_drop(&pool_lock);
	add_relaxed(&in_use, (size_t)-1); /* a counter */
}

size_t weft__fd_count(void)
{
	return load_relaxed(&in_use); /* a counter */
}

int weft__fd_make(struct fd **out, int fd)
{
	struct fd *f = pool_get();

	*out = f;
	if (!f)
		return WEFT_ENOMEM;
	(void)weft__worker(); /* see base/solo.h */
	if (fd >= 0)
		weft__io_ours(fd);
	f->fd = fd; /* jobs, task_dials, task_closes and others are left as they are in the pool, none: a runtime that goes down looks at them */
	for (int d = 0; d < POLL_DIRS; d++) {
		store_relaxed(&f->side[d].drained, POLL_FIRST - 1); /* nobody else uses it */
		store_relaxed(&f->side[d].deadline, WEFT_FOREVER);
	}
	poll_open(&f->poll);
	store_relaxed(&f->note, 0u);      /* as above */
	store_relaxed(&f->task_refs, 0u); /* the same */
	store_relaxed(&f->use, FD_REF);   /* the same */
	return 0;
}

void weft__fd_use(struct fd *f, int fd)
{
	weft__io_ours(fd);
	f->fd = fd;
}

/* --- the word --- */

/* Sets and clears bits; returns what it was. */
static inline uint64_t use_change(struct fd *f, uint64_t set, uint64_t clear)
{
	uint64_t was = load_relaxed(&f->use); /* checked by the compare-and-swap */

	while (!solo_cas64(&f->use, &was,
			   (was | set) & ~clear)) /* acquire, release: who closes sees what calls did, and the other way round */
		;
	return was;
}

static inline uint64_t use_add(struct fd *f, uint64_t n)
{
	uint64_t was = load_relaxed(&f->use); /* as above */

	while (!solo_cas64(&f->use, &was, was + n))
		;
	return was + n;
}

static inline bool use_gone(uint64_t use)
{
	return use < FD_REF && !(use & (FD_BUSY(POLL_READ) | FD_BUSY(POLL_WRITE)));
}

/* Whoever closes waits upon the address of f->fd. */
static void tell_closer(struct fd *f)
{
	weft__lot_wake_all(weft__worker(), &f->fd, 0);
}

static bool still_in_use(void *arg)
{
	struct fd *f = arg;

	return load_acquire(&f->use) & FD_IN_USE; /* pairs with the changes of the word */
}

/* Takes bits of FD_IN_USE away. */
static void use_leave(struct fd *f, uint64_t bits)
{
	if (unlikely(use_change(f, 0, bits) & FD_CLOSED))
		tell_closer(f);
}

void weft__fd_ref(struct fd *f)
{
	uint64_t use;

	(void)weft__worker(); /* see base/solo.h */
	use = use_add(f, FD_REF);
	if (use < FD_REF)
		weft__fatal("a connection has more than %u references", UINT32_MAX);
}

/* It is open, and one reference is all it has. */
static inline bool use_last(const struct fd *f, uint64_t use)
{
	return use < 2 * FD_REF && !(use & FD_CLOSED) && f->fd >= 0;
}

bool weft__fd_drop(struct fd *f)
{
	uint64_t use;

	(void)weft__worker();        /* see base/solo.h */
	use = load_relaxed(&f->use); /* checked by the compare-and-swap */
	do {
		if (unlikely(use < FD_REF))
			weft__fatal("a descriptor is closed more often than it has references");
		if (use_last(f, use))
			return false;
	} while (!solo_cas64(&f->use, &use, use - FD_REF));
	if (use_gone(use - FD_REF))
		pool_put(f);
	return true;
}

void weft__fd_unref(struct fd *f)
{
	if (unlikely(!weft__fd_drop(f)))
		weft__fd_close(f, false);
}

void weft__fd_hold(struct fd *f)
{
	weft__fd_ref(f);
	if (weft__worker())
		add_relaxed(&f->task_refs, 1u); /* looked at when no task runs any more */
}

/* As weft__fd_drop, with what weft__fd_hold has given. */
static bool drop_held(struct fd *f)
{
	if (weft__worker())
		add_relaxed(&f->task_refs, (uint32_t)-1); /* as above */
	return weft__fd_drop(f);
}

void weft__fd_release(struct fd *f)
{
	if (unlikely(!drop_held(f)))
		weft__fd_close(f, false);
}

int weft__fd_enter(struct fd *f)
{
	uint64_t use;

	(void)weft__worker();        /* see base/solo.h */
	use = load_relaxed(&f->use); /* checked by the compare-and-swap */
	do {
		if (use & FD_CLOSED)
			return WEFT_ECLOSED;
		if ((use & FD_OTHERS) == FD_OTHERS)
			return WEFT_EAGAIN; /* millions of threads at once */
	} while (!solo_cas64(&f->use, &use, use + FD_OTHER));
	return 0;
}

void weft__fd_leave(struct fd *f)
{
	if (unlikely(use_add(f, 0 - FD_OTHER) & FD_CLOSED))
		tell_closer(f);
}

/* --- jobs --- */

int weft__fd_job(struct fd *f)
{
	bool task = weft__worker() != NULL;
	uint32_t jobs = 0;
	int rc = 0;

	if (task) {
		lock_take_solo(&f->job_lock, RANK_DESC);
		jobs = shared_get(&f->jobs);
	}
	if (load_acquire(&f->use) &
	    FD_CLOSED) /* pairs with the changes of the word. Closed just after it: it waits for this one as for the others */
		rc = WEFT_ECLOSED;
	else if (jobs == 0)
		rc = weft__fd_enter(f);
	if (jobs == 0 && rc == 0)
		weft__fd_ref(f);
	if (task) {
		if (rc == 0)
			shared_set(&f->jobs, jobs + 1);
		lock_drop_solo(&f->job_lock);
	}
	return rc;
}

void weft__fd_job_over(struct fd *f)
{
	uint32_t jobs = 1;

	if (weft__worker()) {
		lock_take_solo(&f->job_lock, RANK_DESC);
		jobs = shared_get(&f->jobs);
		shared_set(&f->jobs, jobs - 1);
		lock_drop_solo(&f->job_lock);
	}
	if (jobs != 1)
		return;
	weft__fd_leave(f);
	weft__fd_unref(f);
}

/* --- close --- */

static void forgotten(struct polldesc *pd, struct ready_list *r)
{
	struct fd *f = container_of(pd, struct fd, poll);

	use_change(f, 0, FD_LINGER);
	*r->last = weft__lot_take_all(&f->fd, 0);
	while (*r->last)
		r->last = &(*r->last)->next;
}

/* What the tasks of a runtime have left in f: they never run again. Foreign threads may be using it. */
static void call_off(struct fd *f, struct ready_list *r)
{
	uint64_t use = load_relaxed(&f->use), theirs;    /* checked by the compare-and-swap */
	uint32_t refs = swap_acquire(&f->task_refs, 0u); /* no task runs */
	bool closes = f->task_closes;

	if (shared_get(&f->jobs)) { /* they are over, or will never begin */
		shared_set(&f->jobs, 0u);
		weft__fd_leave(f);
		refs++;
	}
	if (f->task_dials) {
		f->task_dials = false;
		close(f->fd);
		f->fd = -1;
		refs++;
	}
	if (closes) {
		f->task_closes = false;
		refs++;
	}
	do {
		theirs = 0;
		for (int d = 0; d < POLL_DIRS; d++) {
			if (use & FD_TASK(d))
				theirs |= FD_TASK(d) | FD_BUSY(d) | FD_CALL(d);
		}
	} while (!solo_cas64(&f->use, &use, (use & ~theirs) - refs * FD_REF));
	lock_take(&f->poll.lock, RANK_DESC);
	for (int d = 0; d < POLL_DIRS; d++)
		poll_claim(&f->poll, (enum poll_dir)d, WEFT_ESRCH, r); /* foreign threads: nobody hears for them any more */
	lock_drop(&f->poll.lock);
	if (theirs && use & FD_CLOSED) /* a foreign thread's close waits for the calls of theirs */
		tell_closer(f);
	use = (use & ~theirs) - refs * FD_REF;
	if (closes && !f->others && !(use & FD_IN_USE & ~FD_LINGER)) { /* the loop is gone, or goes now */
		close(f->fd);
		f->fd = -1;
	}
	if (!(theirs || refs) || !use_gone(use))
		return;
	if (f->fd >= 0 && !(use & FD_CLOSED)) /* its owners have given it up to those who waited */
		close(f->fd);
	pool_put(f);
}

static void down(void)
{
	struct ready_list r;
	struct chunk *first, *c;

	weft__copy_down();
	weft__file_down();
	ready_list_init(&r);
	lock_take(&pool_lock, RANK_POOL);
	first = chunks; /* those made from here on are no task's */
	lock_drop(&pool_lock);
	for (c = first; c; c = c->next) {
		for (int i = 0; i < CHUNK; i++) {
			if (load_acquire(&c->fds[i].use)) /* pairs with the changes of the word; 0: in the pool */
				call_off(&c->fds[i], &r);
		}
	}
	weft__ready_list(NULL, r.first);
	for (c = first; c; c = c->next) {
		for (int i = 0; i < CHUNK; i++) {
			for (int d = 0; d < POLL_DIRS; d++) /* foreign threads that waited for the turn of a task */
				weft__lot_wake_all(NULL, &c->fds[i].side[d], 0);
		}
	}
}

__attribute__((constructor)) static void hand_in(void)
{
	weft__loop_forgotten = forgotten;
	weft__io_down = down;
}

/* True for the first. */
static bool begin_close(struct fd *f)
{
	uint64_t use = load_relaxed(&f->use); /* checked by the compare-and-swap */

	do {
		if (use & FD_CLOSED)
			return false;
	} while (!solo_cas64(&f->use, &use, use | FD_CLOSED | FD_LINGER));
	return true;
}

int weft__fd_close(struct fd *f, bool keep)
{
	struct worker *w = weft__worker(); /* before the word is changed: see base/solo.h */
	int rc = 0;

	if (!begin_close(f)) {
		rc = WEFT_ECLOSED;
	} else {
		if (weft__poll_close(&f->poll, f->fd))
			use_change(f, 0, FD_LINGER);
		if (w)
			f->task_closes = true;
		for (int d = 0; d < POLL_DIRS; d++)
			weft__lot_wake_all(w, &f->side[d], WEFT_ECLOSED);
		while (still_in_use(f)) {
			if (weft__lot_wait_shielded(&f->fd, still_in_use, f, REASON_IO) == WEFT_ENOMEM)
				sched_yield(); /* a foreign thread without a record; calls under way do not block */
			w = weft__worker();
		}
		if (f->task_closes)
			f->task_closes = false;
		if (!keep)
			close(f->fd);
	}
	weft__fd_unref(f);
	return rc;
}

int weft__fd_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL), own = fcntl(fd, F_GETFD);

	if (flags < 0 || own < 0)
		return -errno;
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	return own & FD_CLOEXEC || fcntl(fd, F_SETFD, own | FD_CLOEXEC) == 0 ? 0 : -errno;
}

int weft__fd_number(struct fd *f)
{
	int rc = weft__fd_enter(f);

	if (rc)
		return rc;
	rc = f->fd;
	weft__fd_leave(f);
	return rc;
}

/* --- turns --- */

struct turn {
	struct fd *f;
	enum poll_dir dir;
};

/* Under the lot's lock: has to wait for its turn, and says so in the word. */
static bool must_wait(void *arg)
{
	struct turn *t = arg;
	uint64_t use = load_relaxed(&t->f->use); /* checked by the compare-and-swap */

	do {
		if (use & FD_CLOSED || !(use & FD_BUSY(t->dir)))
			return false;
	} while (!solo_cas64(&t->f->use, &use, use | FD_WANT(t->dir)));
	return true;
}

/* Under the lot's lock. */
static void nobody_waits(void *arg)
{
	struct turn *t = arg;

	use_change(t->f, 0, FD_WANT(t->dir));
}

/* Takes its turn if nobody has it: BUSY, and CALL if it is about to try. Returns 0, WEFT_ECLOSED, or WEFT_EBUSY. */
static inline int try_turn(struct fd_op *op, bool call)
{
	uint64_t use = load_relaxed(&op->f->use); /* checked by the compare-and-swap */
	uint64_t mine = FD_BUSY(op->dir) | (call ? FD_CALL(op->dir) : 0) | (op->task ? FD_TASK(op->dir) : 0);

	do {
		if (unlikely(use & FD_CLOSED))
			return WEFT_ECLOSED;
		if (unlikely(use & FD_BUSY(op->dir)))
			return WEFT_EBUSY;
	} while (!solo_cas64(&op->f->use, &use, use | mine));
	op->busy = true;
	op->call = call;
	return 0;
}

/* The direction's deadline has passed. */
static bool too_late(const struct fd_op *op)
{
	int64_t d = load_relaxed(&op->f->side[op->dir].deadline); /* moved to an earlier time, it counts as an event */

	return unlikely(d != WEFT_FOREVER) && d <= clock_now();
}

/* Waits for its turn. With a reference: whoever closes meanwhile may give the last one away that the caller counted on. */
NOINLINE static int wait_turn(struct fd_op *op, bool call)
{
	struct fd *f = op->f;
	struct turn t = {.f = f, .dir = op->dir};
	int rc;

	weft__fd_hold(f);
	do {
		rc = weft__lot_wait(&f->side[op->dir], must_wait, &t, op->reason, op->deadline);
		if (rc == 0)
			rc = try_turn(op, call);
	} while (rc == WEFT_EBUSY);
	if (unlikely(!drop_held(f))) { /* all others have given theirs up: it ends with this one */
		weft__fd_end(op);
		op->busy = op->call = false;
		weft__fd_close(f, false);
		rc = rc ? rc : WEFT_ECLOSED;
	}
	return rc == 0 && too_late(op) ? WEFT_ETIMEDOUT : rc; /* BUSY holds the record */
}

static int take_turn(struct fd_op *op, bool call)
{
	int rc = try_turn(op, call);

	return likely(rc != WEFT_EBUSY) ? rc : wait_turn(op, call);
}

void weft__fd_end(struct fd_op *op)
{
	struct fd *f = op->f;
	uint64_t was;

	if (!op->busy)
		return;
	was = use_change(f, 0, FD_BUSY(op->dir) | FD_CALL(op->dir) | FD_TASK(op->dir));
	if (likely(!(was & (FD_WANT(op->dir) | FD_CLOSED)) && was >= FD_REF))
		return;
	/* from here on the record may be another's, if it was not ours to recycle: addresses only, and they are only looked up */
	if (was & FD_CALL(op->dir) && was & FD_CLOSED)
		tell_closer(f);
	if (use_gone(was & ~(FD_BUSY(op->dir)))) {
		pool_put(f);
	} else if (was & FD_WANT(op->dir)) {
		struct turn t = {.f = f, .dir = op->dir};

		weft__lot_wake_one(weft__worker(), &f->side[op->dir], 0, nobody_waits, &t);
	}
}

/* --- waiting --- */

/* The earlier of the call's deadline and the direction's. */
static int64_t earlier(const struct fd_op *op)
{
	int64_t d = load_relaxed(&op->f->side[op->dir].deadline); /* as in too_late() */

	return op->deadline < d ? op->deadline : d;
}

/* Puts CALL back after a wait. */
static int resume(struct fd_op *op)
{
	if (use_change(op->f, FD_CALL(op->dir), 0) & FD_CLOSED) {
		use_leave(op->f, FD_CALL(op->dir));
		return WEFT_ECLOSED;
	}
	op->call = true;
	return 0;
}

/* Sleeps until an event later than the one seen, the deadlines, or `until`, if that is earlier. */
static int sleep_until(struct fd_op *op, unsigned dirs, uint32_t event, int64_t until)
{
	uint32_t seen[POLL_DIRS] = {event, event};
	int64_t deadline = earlier(op);
	int rc;

	if (op->call) {
		op->call = false;
		use_leave(op->f, FD_CALL(op->dir));
	}
	if (too_late(op) && op->deadline != WEFT_NOW)
		return WEFT_ETIMEDOUT;
	rc = weft__poll_wait(&op->f->poll, op->f->fd, dirs, seen, op->reason, until < deadline ? until : deadline);
	if (rc != WEFT_ETIMEDOUT)
		return rc;
	rc = weft_ctx_check(); /* cancelled just as `until` came: that is what it is told */
	if (rc)
		return rc;
	/* It was `until`, or the direction's deadline, which may have been moved back meanwhile. */
	return too_late(op) || (op->deadline != WEFT_FOREVER && op->deadline <= clock_now()) ? WEFT_ETIMEDOUT : 0;
}

int weft__fd_pause(struct fd_op *op, int64_t until)
{
	enum poll_dir other = op->dir == POLL_READ ? POLL_WRITE : POLL_READ;

	return sleep_until(op, 1u << other | POLL_UNWATCHED, poll_events(&op->f->poll, other), until);
}

/* Finds out before the first try whether it may try at all, and takes its turn. */
static int begin(struct fd_op *op)
{
	struct self me;
	int64_t ignored = op->deadline;
	int rc = self_enter(&me, &ignored);

	if (unlikely(rc))
		return rc;
	op->task = me.worker != NULL;
	if (unlikely(too_late(op)))
		return WEFT_ETIMEDOUT;
	if (unlikely(op->deadline != WEFT_FOREVER && op->deadline != WEFT_NOW) && op->deadline <= clock_now())
		return WEFT_ETIMEDOUT;
	/* a hint: if it is wrong, it costs a change of the word */
	return take_turn(op, poll_events(&op->f->poll, op->dir) != load_relaxed(&op->f->side[op->dir].drained));
}

int weft__fd_next(struct fd_op *op)
{
	struct fd *f = op->f;
	bool tried;
	int rc;

	if (!op->busy) {
		rc = begin(op);
		if (unlikely(rc))
			return rc;
	}
	for (;;) {
		op->seen = poll_events(&f->poll, op->dir);
		if (op->seen != load_relaxed(&f->side[op->dir].drained) ||                              /* ours while BUSY */
		    (unlikely(load_relaxed(&f->poll.hung_up)) && op->dir == POLL_READ && !op->blocked)) /* acquired with the count */
			return !op->call                                     ? resume(op)
			       : unlikely(load_relaxed(&f->use) & FD_CLOSED) ? WEFT_ECLOSED
									     : 0; /* a hint: the call is short */
		tried = op->blocked;
		op->blocked = false;
		rc = sleep_until(op, 1u << op->dir, op->seen, WEFT_FOREVER);
		if (unlikely(rc == WEFT_EAGAIN || rc == WEFT_ESRCH) && !tried)
			return resume(op); /* nobody has waited, so nobody has heard of what came since: look */
		if (rc)
			return rc;
	}
}

void weft__fd_set_deadline(struct fd *f, enum poll_dir d, int64_t deadline)
{
	/* Made visible by the event below: who read the old one does not get to wait by it. A swap: of two that set it at once, the last sees what the other has set,
	 * and who waits by that. */
	int64_t was = swap_acq_rel(&f->side[d].deadline, deadline);

	if (deadline < was)
		weft__poll_look(&f->poll, d);
}
