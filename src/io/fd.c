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
	for (int i = 0; i < CHUNK; i++)
		list_init(&c->fds[i].jobs);
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
	fd_task_does(&f->task_closes, false);
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
	store_relaxed(&f->note, 0u);               /* as above */
	store_relaxed(&f->task_refs, UINT64_C(0)); /* the same */
	store_relaxed(&f->use, FD_REF);            /* the same */
	return 0;
}

void weft__fd_use(struct fd *f, int fd)
{
	weft__io_ours(fd);
	f->fd = fd;
}

/* --- the word --- */

/* Closes one whose closer has gone, if nobody uses it any more. */
static void end_orphan(struct fd *f)
{
	uint64_t use = load_relaxed(&f->use); /* checked by the compare-and-swap: if f is another's by now, that has use for it */

	do {
		if (likely(!(use & FD_ORPHAN)) || use & FD_IN_USE)
			return;
	} while (!solo_cas64(&f->use, &use, use & ~FD_ORPHAN));
	close(f->fd); /* its reference is ours now */
	if (use_gone(use_add(f, 0 - FD_REF)))
		weft__fd_recycle(f);
}

void weft__fd_tell_closer(struct fd *f)
{
	struct worker *w = weft__worker(); /* see base/solo.h */

	end_orphan(f);
	weft__lot_wake_all(w, &f->fd, 0);
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

/* task_refs: two counts, each below the number of the runtime whose tasks they are. A count of 0 is anybody's; a third runtime's are put to the second count, which is nobody's from then on until it is 0.
 *
 *    63      56 55             32 31      24 23              0
 *   +----------+-----------------+----------+-----------------+
 *   |    of    |     count 1     |    of    |     count 0     |
 *   +----------+-----------------+----------+-----------------+
 */
#define REFS_HALF 32
#define REFS_OF 24 /* bits of a count */
#define REFS_MIXED 255u

static uint32_t refs_half(uint64_t refs, unsigned i)
{
	return (uint32_t)(refs >> i * REFS_HALF);
}

static uint32_t refs_count(uint64_t refs, unsigned i)
{
	return refs_half(refs, i) & ((1u << REFS_OF) - 1);
}

static bool refs_are(uint64_t refs, unsigned i, unsigned home)
{
	return refs_count(refs, i) && refs_half(refs, i) >> REFS_OF == home;
}

/* Which of the counts that runtime's next one goes to, or comes from. */
static unsigned refs_which(uint64_t refs, unsigned home, bool more)
{
	if (refs_are(refs, 0, home))
		return 0;
	return refs_are(refs, 1, home) || refs_count(refs, 0) || !more;
}

/* Looked at when no task of theirs runs any more. */
static void hold_for_task(struct fd *f, int more)
{
	struct worker *w = weft__worker();
	uint64_t was, now;

	if (!w)
		return;
	was = load_relaxed(&f->task_refs); /* checked by the compare-and-swap */
	do {
		unsigned i = refs_which(was, w->home, more > 0);
		uint32_t n = refs_count(was, i), of = n ? refs_half(was, i) >> REFS_OF : w->home;

		n += (uint32_t)more;
		n |= (of == w->home ? of : REFS_MIXED) << REFS_OF;
		now = (was & ~((uint64_t)UINT32_MAX << i * REFS_HALF)) | (uint64_t)n << i * REFS_HALF;
	} while (!cas_relaxed(&f->task_refs, &was, now)); /* orders nothing */
}

void weft__fd_hold(struct fd *f)
{
	weft__fd_ref(f);
	hold_for_task(f, 1);
}

bool weft__fd_drop_held(struct fd *f)
{
	hold_for_task(f, -1);
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
			return WEFT_EAGAIN; /* thousands of threads at once */
	} while (!solo_cas64(&f->use, &use, use + FD_OTHER));
	return 0;
}

void weft__fd_leave(struct fd *f)
{
	if (unlikely(use_add(f, 0 - FD_OTHER) & FD_CLOSED))
		weft__fd_tell_closer(f);
}

/* --- jobs --- */

int weft__fd_job(struct fd *f, struct fd_job *j)
{
	struct worker *task = weft__worker();
	bool first = true;
	int rc = 0;

	if (task) {
		lock_take_solo(&f->job_lock, RANK_DESC);
		first = list_empty(&f->jobs);
	}
	if (load_acquire(&f->use) &
	    FD_CLOSED) /* pairs with the changes of the word. Closed just after it: it waits for this one as for the others */
		rc = WEFT_ECLOSED;
	else if (first)
		rc = weft__fd_enter(f);
	if (first && rc == 0)
		weft__fd_ref(f);
	if (task) {
		if (rc == 0) {
			j->home = task->home;
			list_push_tail(&f->jobs, &j->link);
		}
		lock_drop_solo(&f->job_lock);
	}
	return rc;
}

void weft__fd_job_over(struct fd *f, struct fd_job *j)
{
	bool last = true;

	if (weft__worker()) {
		lock_take_solo(&f->job_lock, RANK_DESC);
		list_remove(&j->link);
		last = list_empty(&f->jobs);
		lock_drop_solo(&f->job_lock);
	}
	if (!last)
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
	end_orphan(f);
}

/* Those that rt's tasks have under way are over, or will never begin: none is left of any task's. False: there are others, or there was none. */
static bool jobs_end(struct fd *f, struct runtime *rt)
{
	struct list_node *n, *next;
	bool any = false;

	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&f->job_lock, RANK_DESC);
	for (n = list_first(&f->jobs); n; n = next) {
		next = list_after(&f->jobs, n);
		if (container_of(n, struct fd_job, link)->home != rt->home)
			continue;
		list_remove(n);
		any = true;
	}
	any = any && list_empty(&f->jobs);
	lock_drop_solo(&f->job_lock);
	return any;
}

/* References that rt's tasks hold for operations. */
static uint32_t refs_end(struct fd *f, struct runtime *rt)
{
	uint64_t was = load_relaxed(&f->task_refs), now; /* checked by the compare-and-swap */
	uint32_t n;

	do {
		now = was;
		n = 0;
		for (unsigned i = 0; i < 2; i++) {
			if (!refs_are(was, i, rt->home))
				continue;
			n += refs_count(was, i);
			now &= ~((uint64_t)UINT32_MAX << i * REFS_HALF);
		}
	} while (n && !cas_acquire(&f->task_refs, &was, now)); /* none of those tasks runs */
	return n;
}

/* What the tasks of rt have left in f: they never run again. Foreign threads, and tasks of other runtimes, may be using it. */
static void call_off(struct fd *f, struct runtime *rt)
{
	uint64_t use, theirs, now;
	uint32_t refs = refs_end(f, rt);
	bool closes = load_relaxed(&f->task_closes) == rt->home + 1; /* no task that has written it runs, as with the next */
	bool orphan;

	if (jobs_end(f, rt)) {
		weft__fd_leave(f);
		refs++;
	}
	if (load_relaxed(&f->task_dials) == rt->home + 1) {
		store_relaxed(&f->task_dials, (uint8_t)0); /* nobody else has it */
		close(f->fd);
		f->fd = -1;
		refs++;
	}
	if (closes) {
		store_relaxed(&f->task_closes, (uint8_t)0); /* the same */
		refs++;
	}
	use = load_relaxed(&f->use); /* checked by the compare-and-swap */
	do {
		theirs = 0;
		for (int d = 0; d < POLL_DIRS; d++) {
			if (use & FD_TASK(d) && (use & FD_HOME(d)) >> FD_HOME_SHIFT(d) == rt->home)
				theirs |= FD_TASK(d) | FD_BUSY(d) | FD_CALL(d) | FD_HOME(d);
		}
		now = (use & ~theirs) - refs * FD_REF;
		/* its owners have given it up to those who waited; or to who was about to close it. Others may be in calls upon it, or their loops watch it */
		orphan = (theirs || refs) && f->fd >= 0 && !f->others && (closes || (use_gone(now) && !(use & FD_CLOSED)));
		if (orphan)
			now = (now | FD_CLOSED | FD_ORPHAN | (use & FD_CLOSED ? 0 : FD_LINGER)) + FD_REF;
	} while ((theirs || refs) && !solo_cas64(&f->use, &use, now));
	if (!(theirs || refs))
		return; /* it may be another's by now */
	if (orphan && !(use & FD_CLOSED) && weft__poll_close(&f->poll, f->fd))
		use_change(f, 0, FD_LINGER);
	if (now & FD_CLOSED) /* another's close waits for the calls of theirs; or there is nobody else who closes */
		weft__fd_tell_closer(f);
	if (use_gone(now))
		weft__fd_recycle(f);
}

/* Those who are no tasks of rt's, and wait for what its loops watch, look again: another loop watches it then. Its workers have ended. */
static void look_again(struct chunk *c, struct runtime *rt)
{
	struct ready_list r;

	ready_list_init(&r);
	for (; c; c = c->next) {
		for (int i = 0; i < CHUNK; i++) {
			if (load_acquire(&c->fds[i].use)) /* pairs with the changes of the word; 0: in the pool */
				weft__poll_down(&c->fds[i].poll, rt, &r);
		}
	}
	for (unsigned i = 0; i < rt_seats(rt); i++)
		weft__loop_clear(rt->workers[i].loop, &r);
	weft__ready_list(NULL, r.first);
}

/* Those that there are; in those made from here on no task of it is, nor does a loop of it watch for one. */
static struct chunk *all_chunks(void)
{
	struct chunk *first;

	lock_take(&pool_lock, RANK_POOL);
	first = chunks;
	lock_drop(&pool_lock);
	return first;
}

static void leave(struct runtime *rt)
{
	look_again(all_chunks(), rt);
}

static void down(struct runtime *rt)
{
	struct chunk *first, *c;

	weft__copy_down(rt);
	weft__file_down(rt);
	first = all_chunks();
	look_again(first, rt); /* foreign threads have come until now */
	for (c = first; c; c = c->next) {
		for (int i = 0; i < CHUNK; i++) {
			if (load_acquire(&c->fds[i].use)) /* as above */
				call_off(&c->fds[i], rt);
		}
	}
	for (c = first; c; c = c->next) {
		for (int i = 0; i < CHUNK; i++) {
			for (int d = 0; d < POLL_DIRS; d++) /* others that waited for the turn of a task */
				weft__lot_wake_all(NULL, &c->fds[i].side[d], 0);
		}
	}
}

__attribute__((constructor)) static void hand_in(void)
{
	weft__loop_forgotten = forgotten;
	weft__io_leave = leave;
	weft__io_down = down;
}

/* It is used still, and nobody is left who could wait for the end of that. */
static void close_as_orphan(struct fd *f)
{
	use_change(f, FD_ORPHAN, 0);
	end_orphan(f);
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
	bool left = false;
	int rc = 0;

	if (!begin_close(f)) {
		rc = WEFT_ECLOSED;
	} else {
		if (weft__poll_close(&f->poll, f->fd))
			use_change(f, 0, FD_LINGER);
		if (w)
			fd_task_does(&f->task_closes, true);
		for (int d = 0; d < POLL_DIRS; d++)
			weft__lot_wake_all(w, &f->side[d], WEFT_ECLOSED);
		while (still_in_use(f)) {
			left = w && !load_relaxed(&w->cur);
			if (left) /* on a worker's own stack: the runtime goes down. What its tasks have in use is called off; what others have ends without us */
				break;
			if (weft__lot_wait_shielded(&f->fd, still_in_use, f, REASON_IO) == WEFT_ENOMEM)
				sched_yield(); /* a foreign thread without a record; calls under way do not block */
			w = weft__worker();
		}
		fd_task_does(&f->task_closes, false);
		if (left && !keep) {
			close_as_orphan(f); /* with the caller's reference */
			return rc;
		}
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
