/* SPDX-License-Identifier: MIT
 *
 * fd.c - descriptors that tasks share: records, references, jobs, close. See fd.h; operations: fd_op.c.
 */
#include "io/fd_use.h"

#include "base/check.h"
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

void weft__fd_recycle(struct fd *f)
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

void weft__fd_tell_closer(struct fd *f)
{
	weft__lot_wake_all(weft__worker(), &f->fd, 0);
}

static bool still_in_use(void *arg)
{
	struct fd *f = arg;

	return load_acquire(&f->use) & FD_IN_USE; /* pairs with the changes of the word */
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
		weft__fd_recycle(f);
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

bool weft__fd_drop_held(struct fd *f)
{
	if (weft__worker())
		add_relaxed(&f->task_refs, (uint32_t)-1); /* as above */
	return weft__fd_drop(f);
}

void weft__fd_release(struct fd *f)
{
	if (unlikely(!weft__fd_drop_held(f)))
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
		weft__fd_tell_closer(f);
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
		weft__fd_tell_closer(f);
	use = (use & ~theirs) - refs * FD_REF;
	if (closes && !f->others && !(use & FD_IN_USE & ~FD_LINGER)) { /* the loop is gone, or goes now */
		close(f->fd);
		f->fd = -1;
	}
	if (!(theirs || refs) || !use_gone(use))
		return;
	if (f->fd >= 0 && !(use & FD_CLOSED)) /* its owners have given it up to those who waited */
		close(f->fd);
	weft__fd_recycle(f);
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
		/* On a worker's own stack the runtime goes down: what its tasks have in use is called off, and the loop forgets f as it ends. */
		while (still_in_use(f) && !(w && !load_relaxed(&w->cur))) {
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
