/* SPDX-License-Identifier: MIT
 *
 * poll.c - waits for a descriptor, and ends all such waits.
 *
 * The protocol is polldesc.h's; here it meets the caller (who waits, until when), the loop that watches, and the scheduler.  A foreign thread's
 * descriptor is watched by the first worker.
 */
#include "core/polldesc.h"
#include "core/runtime.h"
#include "core/source.h"

/* The loop that shall watch pd: the one that does, else the caller's. NULL: no runtime is up. Foreign threads: between rt_enter and rt_leave. */
static int want(struct polldesc *pd, int fd, enum poll_dir d, struct worker *w)
{
	struct runtime *rt;
	int rc;

	if (likely(w != NULL))
		return weft__loop_want(w->loop, pd, fd, d, true);
	rt = weft__rt_enter();
	if (!rt)
		return WEFT_ESRCH;
	fence_seq_cst();                              /* pairs with the one in desert: of a descriptor that is not found there */
	rc = load_relaxed(&rt->deserted) ? WEFT_ESRCH /* a look: whom it is too early for is told by weft__poll_down */
					 : weft__loop_want(rt->workers[0].loop, pd, fd, d, false);
	weft__rt_leave(rt);
	return rc;
}

int weft__poll_wait(struct polldesc *pd, int fd, unsigned dirs, const uint32_t *seen, enum task_reason reason, int64_t deadline)
{
	struct self me;
	struct waiter w[POLL_DIRS];
	uint64_t word;
	int n = 0, rc = self_enter(&me, &deadline);

	if (rc)
		return rc;
	lock_take_solo(&pd->lock, RANK_DESC);
	for (int d = 0; d < POLL_DIRS; d++) {
		if (!(dirs & 1u << d))
			continue;
		rc = poll_may_wait(pd, (enum poll_dir)d, seen[d], WEFT_ECLOSED);
		if (rc != 1)
			goto out; /* closed, or there has been an event */
		rc = deadline == WEFT_NOW ? WEFT_EAGAIN : dirs & POLL_UNWATCHED ? 0 : want(pd, fd, (enum poll_dir)d, me.worker);
		if (rc)
			goto out;
	}
	word = wait_begin(me.task, w, dirs == POLL_BOTH ? 2 : 1, reason, deadline);
	for (int d = 0; d < POLL_DIRS; d++) {
		if (!(dirs & 1u << d))
			continue;
		waiter_init(&w[n], me.task, word, &pd->lock, RANK_DESC, pd, NULL);
		w[n].place = (uint16_t)n;
		list_push_tail(&pd->side[d].waiters, &w[n++].link);
	}
	lock_drop_solo(&pd->lock);
	rc = weft__wait_park(me.worker, me.task, w, n, word, deadline);
	if (rc)
		return rc;
	rc = w[0].status;
	if (n > 1) {
		rc = rc ? rc : w[1].status; /* one of them was claimed */
		weft__wait_withdraw(w, n);
	}
	return rc;
out:
	lock_drop_solo(&pd->lock);
	return rc;
}

int weft__poll_list(struct polldesc *pd, int fd, enum poll_dir d, uint32_t seen, struct worker *wk, struct waiter *w)
{
	int rc;

	lock_take_solo(&pd->lock, RANK_DESC);
	rc = poll_may_wait(pd, d, seen, WEFT_ECLOSED);
	if (rc == 1)
		rc = want(pd, fd, d, wk);
	else if (rc == 0)
		rc = 1;
	if (rc == 0)
		source_list(w, &pd->side[d].waiters, &pd->lock, RANK_DESC, pd);
	lock_drop_solo(&pd->lock);
	return rc;
}

void weft__poll_look(struct polldesc *pd, enum poll_dir d)
{
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	struct ready_list r;

	ready_list_init(&r);
	poll_look(pd, d, &r);
	weft__ready_list(w, r.first);
}

bool weft__poll_close(struct polldesc *pd, int fd)
{
	struct worker *w = weft__worker(); /* as above */
	struct ready_list r;
	bool done = true;

	ready_list_init(&r);
	lock_take_solo(&pd->lock, RANK_DESC);
	poll_shut(pd, WEFT_ECLOSED, &r);
	if (pd->home) /* its loop is there: weft__poll_down has not come by */
		done = weft__loop_forget(pd, fd);
	lock_drop_solo(&pd->lock);
	weft__ready_list(w, r.first);
	return done;
}

int weft__poll_again(struct polldesc *pd, int fd)
{
	struct worker *w = weft__worker(); /* as above */
	struct runtime *rt = w ? w->rt : weft__rt_enter();
	int rc = 0;

	if (!rt)
		return WEFT_ESRCH;
	lock_take_solo(&pd->lock, RANK_DESC);
	if (pd->home)
		rc = weft__loop_again(pd, fd);
	lock_drop_solo(&pd->lock);
	if (!w)
		weft__rt_leave(rt);
	return rc;
}

void weft__poll_down(struct polldesc *pd, struct runtime *rt, struct ready_list *r)
{
	bool ours;

	(void)weft__worker(); /* as above */
	lock_take_solo(&pd->lock, RANK_DESC);
	ours = pd->home && weft__loop_runtime(pd->home) == rt;
	if (ours)
		weft__loop_quit(pd);
	for (int d = 0; d < POLL_DIRS && !pd->home; d++) {
		struct list_node *n = list_first(&pd->side[d].waiters), *next;

		for (; n; n = next) {
			struct waiter *w = container_of(n, struct waiter, link);
			bool foreign = task_is(w->task, TASK_FOREIGN); /* which is told as it looks again if nobody hears for it any more */

			next = list_after(&pd->side[d].waiters, n);
			if (!foreign && (!ours || task_of(w->task, rt)))
				continue;
			list_remove(n);
			if (waiter_claim(w, 0, false))
				ready_list_add(r, w->task);
		}
	}
	lock_drop_solo(&pd->lock);
}
