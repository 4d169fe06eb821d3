/* SPDX-License-Identifier: MIT
 *
 * fd_op.c - an operation on a descriptor: its turn, its waits, its end. See fd.h.
 */
#include "io/fd_use.h"

#include "base/clock.h"
#include "core/lot.h"

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
	uint64_t mine = FD_BUSY(op->dir) | (call ? FD_CALL(op->dir) : 0) |
			(op->task ? FD_TASK(op->dir) | (uint64_t)op->home << FD_HOME_SHIFT(op->dir) : 0);

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
	if (unlikely(!weft__fd_drop_held(f))) { /* all others have given theirs up: it ends with this one */
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
	was = use_change(f, 0, FD_BUSY(op->dir) | FD_CALL(op->dir) | FD_TASK(op->dir) | FD_HOME(op->dir));
	if (likely(!(was & (FD_WANT(op->dir) | FD_CLOSED)) && was >= FD_REF))
		return;
	/* from here on the record may be another's, if it was not ours to recycle: addresses only, and they are only looked up */
	if (was & FD_CALL(op->dir) && was & FD_CLOSED)
		weft__fd_tell_closer(f);
	if (use_gone(was & ~(FD_BUSY(op->dir)))) {
		weft__fd_recycle(f);
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
	op->home = me.worker ? me.worker->home : 0;
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
