/* SPDX-License-Identifier: MIT
 *
 * sched.h - the hot half of the scheduler: make a task runnable, pick the next one, leave for it.
 *
 * Included where tasks park or start and nowhere else, so that a park is one function (the wait, the pick and the switch), and so is a start.
 *
 * One door out (law 1): a task leaves its worker in sched_switch(), and nowhere else.  The context that arrives next settles the one that left
 * (sched_settle): clears its on_cpu, or recycles it when it has ended.  Settling is all that is done after a switch.
 *
 * A worker that is alone (one worker in all) has no thieves: its ring and slot are then nobody else's, and need no locked instruction (core/alone.h).
 */
#ifndef WEFT_CORE_SCHED_H
#define WEFT_CORE_SCHED_H

#include "core/runtime.h"

#include "arch/switch.h"
#include "base/check.h"

void weft__sched_wake_picked(struct runtime *rt, int id);
void weft__sched_share(struct worker *w); /* wakes one, if w's ring holds anything that w does not keep to itself */
void weft__sched_overflow(struct worker *w, struct weft_task *t);
void weft__sched_home(struct runtime *rt, struct weft_task *t); /* t is pinned, and whoever calls has taken it from its worker */
struct weft_task *weft__sched_pick_slow(struct worker *w);
/* The same, but for what a worker takes that takes its newest first. held: the caller has a NORMAL task in hand, for when it is NORMAL's turn. */
struct weft_task *weft__sched_pick_due(struct worker *w, bool held);
struct weft_task *weft__sched_fit(struct worker *w, struct weft_task *next); /* slow half of sched_fit */

/* After work was put where any worker finds it. */
static inline void sched_wake_one(struct runtime *rt)
{
	int id = idle_wake(&rt->idle);

	if (unlikely(id >= 0))
		weft__sched_wake_picked(rt, id);
}

static inline void sched_push_tail(struct worker *w, struct weft_task *t)
{
	if (unlikely(!wsq_push(&w->runq, t)))
		weft__sched_overflow(w, t);
}

/* The slot, or the tail when the slot has run too often in a row while others wait. Returns whether anything was put where any worker finds it. */
static inline bool sched_push_slot(struct worker *w, struct weft_task *t)
{
	if (unlikely(w->slot_runs >= SLOT_RUN_MAX) && !wsq_empty(&w->runq)) {
		sched_push_tail(w, t);
		return true;
	}
	if (load_relaxed(&w->slot) == NULL) { /* only the owner fills it, so it stays empty */
		store_release(&w->slot, t);   /* pairs with the thief's swap in worker.c */
		return false;
	}
	t = swap_acq_rel(&w->slot, t); /* a thief may be taking the old one */
	if (!t)
		return false;
	sched_push_tail(w, t);
	return true;
}

/* A worker has watched w just now, and it moved all the time: nobody need be woken for the one task that it takes next, for a while. A stale number is one for
 * QUIET_MAX schedules of 2^32. */
static inline bool sched_quiet(struct worker *w)
{
	return load_relaxed(&w->quiet_until) - load_relaxed(&w->tick) - 1 < QUIET_MAX; /* a hint */
}

/* w has more in its ring than it takes at its next schedule. */
static inline bool sched_shares(struct worker *w)
{
	uint32_t n = wsq_len(&w->runq) + weft__prio_kept(w);

	return n > 1 || (n == 1 && load_relaxed(&w->slot)); /* a hint */
}

/* Another one has so many in its ring that w, which has few, shall have some of them. */
static inline bool sched_uneven(struct worker *w, uint32_t others)
{
	return others >= UNEVEN * (wsq_len(&w->runq) + 1); /* a hint */
}

/* w's slow pick comes after so many schedules at the latest. */
static inline void sched_slow_within(struct worker *w, int32_t n)
{
	if (load_relaxed(&w->countdown) > n)
		store_relaxed(&w->countdown, n); /* never 0, which is the monitor's: whoever runs would give way */
}

/* A task that has just become runnable, at the tail. */
static inline void sched_push(struct worker *w, struct weft_task *t)
{
	sched_push_tail(w, t);
	if (!alone_is(&w->alone) && idle_wanting(&w->rt->idle)) /* alone: nobody sleeps while we run */
		weft__sched_share(w);
}

/* A task whose data is in this core's cache: it runs next. */
static ALWAYS_INLINE void sched_push_next(struct worker *w, struct weft_task *t)
{
	bool shared = sched_push_slot(w, t);

	if (!alone_is(&w->alone) && idle_wanting(&w->rt->idle) &&
	    (shared || !wsq_empty(&w->runq) || !sched_quiet(w))) /* in the ring: the one kept until now */
		weft__sched_wake(w->rt);
}

/* Fetches what the tasks to come will touch first: the stack of one a little way ahead, and the record, which says where the stack is, of
 * one further ahead. A worker alone only: elsewhere a thief may be running them. */
static ALWAYS_INLINE void sched_prefetch(struct worker *w)
{
	uint32_t h = (uint32_t)load_relaxed(&w->runq.head), n = load_relaxed(&w->runq.tail) - h; /* ours */

	if (n > PREFETCH_RECORD) {
		struct weft_task *near = (struct weft_task *)load_relaxed(&w->runq.slot[(h + PREFETCH_STACK) % WSQ_CAP]); /* ours */
		struct weft_task *far = (struct weft_task *)load_relaxed(&w->runq.slot[(h + PREFETCH_RECORD) % WSQ_CAP]); /* ours */
		char *sp = (char *)near->ctx.sp;

		__builtin_prefetch(far);
		if (!sp)
			return; /* not begun: it gets a hot stack */
		__builtin_prefetch(sp);
		__builtin_prefetch(sp + CACHELINE);
		__builtin_prefetch(sp + 2 * CACHELINE);
	}
}

static ALWAYS_INLINE struct weft_task *sched_pick(struct worker *w)
{
	struct weft_task *t;
	int32_t left = load_relaxed(&w->countdown) - 1; /* owner, or the monitor's 0 */

	store_relaxed(&w->countdown, left);
	if (unlikely(left <= 0)) {
		t = weft__sched_pick_slow(w);
		if (t || w->errand || load_relaxed(&w->rt->stopping)) /* weft__sched_pick_slow has acquired it */
			return t;
	}
	t = load_relaxed(&w->slot); /* our own store, or a thief's NULL */
	if (likely(alone_is(&w->alone))) {
		if (t) {
			store_relaxed(&w->slot, NULL); /* nobody else's */
			w->slot_runs++;
			return t;
		}
		w->slot_runs = 0;
		t = (struct weft_task *)wsq_pop_alone(&w->runq);
		sched_prefetch(w);
		return t;
	}
	if (t && (t = swap_acquire(&w->slot, NULL)) != NULL) { /* else a thief was faster */
		w->slot_runs++;
		return t;
	}
	w->slot_runs = 0;
	return (struct weft_task *)wsq_pop(&w->runq);
}

/* First thing in every context that arrives on w. */
static ALWAYS_INLINE void sched_settle(struct worker *w)
{
	struct weft_task *p = w->prev;

	if (unlikely(!p))
		return;                                          /* the worker's own stack left */
	if (unlikely(load_relaxed(&p->state) == WEFT_TASK_DONE)) /* only the task itself ever stores DONE */
		weft__task_settle_done(w, p);
	else
		oncpu_clear(&p->on_cpu);
}

/* Accounts for t getting the worker. */
static inline void sched_enter(struct worker *w, struct weft_task *t)
{
	store_relaxed(&w->tick, load_relaxed(&w->tick) + 1); /* own word */
	DCHECK(!task_is(t, TASK_PINNED) || t->own_home == w->id);
	oncpu_set(&t->on_cpu);
	task_set_state(t, WEFT_TASK_RUNNING);
	store_relaxed(&w->cur, t); /* own word; the monitor and dumps look at it */
}

/* Saves t and goes on with `next` (bound, and nobody stands on it), or with the worker's own stack when it is NULL. Returns what whoever came back to t handed over. */
static ALWAYS_INLINE void *sched_switch(struct worker *w, struct weft_task *t, struct weft_task *next, int for_good)
{
	struct context *to = &w->ctx;
	struct san_fiber *from_san = NULL, *to_san = NULL;

	DCHECK(load_relaxed(&w->cur) == t);
#ifdef WEFT_DEBUG
	weft__locks_none(); /* law 8 */
	if (weft__hooks.leaves)
		weft__hooks.leaves(t);
#endif
	t->saved_errno = *w->errno_at;
	w->prev = t;
	if (likely(next != NULL)) {
		sched_enter(w, next);
		to = &next->ctx;
	} else {
		store_relaxed(&w->cur, NULL); /* as in sched_enter */
	}
	if (unlikely(weft__san)) { /* the stack's own cache line stays untouched otherwise */
		from_san = &t->stack->san;
		to_san = next ? &next->stack->san : &w->san;
	}
	return switch_context(&t->ctx, from_san, to, to_san, w, for_good);
}

/* A task that has come back, on w: settles who left. Returns it. */
static ALWAYS_INLINE struct weft_task *sched_arrive(struct worker *w)
{
	struct weft_task *t;

	sched_settle(w);
	t = load_relaxed(&w->cur); /* own */
	*w->errno_at = t->saved_errno;
	san_acquire(t);
	return t;
}

/* Leaves t. Returns when it has been taken again: t, read anew, so that callers need not keep it across the switch. */
static ALWAYS_INLINE struct weft_task *sched_leave(struct worker *w, struct weft_task *t, struct weft_task *next, int for_good)
{
	return sched_arrive((struct worker *)sched_switch(w, t, next, for_good));
}

/* Makes what was picked fit to be switched to from a task's stack. NULL: go by the worker's own stack; if w->taken is set, for that task. */
static ALWAYS_INLINE struct weft_task *sched_fit(struct worker *w, struct weft_task *next)
{
	return likely(next && next->ctx.sp && !oncpu_busy(&next->on_cpu)) ? next : weft__sched_fit(w, next);
}

/* Parks t, which has opened a wait. Returns t when it was made runnable and taken. */
static ALWAYS_INLINE struct weft_task *sched_park(struct worker *w, struct weft_task *t)
{
	struct weft_task *next;

	next = sched_pick(w);
	if (unlikely(next == t)) { /* woken before it left: it never does */
		sched_enter(w, t);
		return t;
	}
	return sched_leave(w, t, sched_fit(w, next), 0);
}

/* t has ended; next: picked, or NULL. */
static ALWAYS_INLINE NORETURN void sched_exit(struct worker *w, struct weft_task *t, struct weft_task *next)
{
	sched_leave(w, t, sched_fit(w, next), 1);
	__builtin_unreachable();
}

/* The rare halves of wait_park (wait.c): the wait has been closed, and says how; a foreign thread waits; t's timer node shall fire at `deadline` or before. */
int weft__wait_outcome(struct weft_task *t, struct waiter *w, int n);
int weft__wait_foreign(struct weft_task *t, struct waiter *w, int n, uint64_t word, int64_t deadline);
void weft__wait_arm(struct worker *w, struct weft_task *t, int64_t deadline);

/* weft__wait_park, inlined into the few functions that park often. */
static ALWAYS_INLINE int wait_park(struct worker *wk, struct weft_task *t, struct waiter *w, int n, uint64_t word, int64_t deadline)
{
	if (unlikely(!wk))
		return weft__wait_foreign(t, w, n, word, deadline);
	asym_light(); /* pairs with asym_heavy in ctx.c */
	if (unlikely(load_relaxed(&t->cancel)) && cancel_counts(load_relaxed(&t->cancel)) && wait_state(word) != WAIT_SHIELDED &&
	    wait_claim(&t->wait, word, WAIT_CANCELED)) {
		task_set_state(t, WEFT_TASK_RUNNING);
		return weft__wait_outcome(t, w, n);
	}
	if (unlikely(deadline != WEFT_FOREVER))
		weft__wait_arm(wk, t, deadline);
	t->parked_at = wk->coarse_now;
	t = sched_park(wk, t);
	if (likely(wait_state(load_acquire(&t->wait)) == WAIT_WOKEN)) /* pairs with the claim */
		return 0;
	return weft__wait_outcome(t, w, n);
}

/* t is pinned, to w, and nothing else is special about it. */
static inline bool sched_is_home(struct worker *w, struct weft_task *t)
{
	return (load_relaxed(&t->flags) & (TASK_FOREIGN | TASK_APART)) == TASK_PINNED && t->own_home == w->id &&
	       load_relaxed(&t->home) == w->home; /* as in task_is; constant */
}

/* The same, and the worker goes to `to`, which the caller has claimed and owes a wake-up. Nobody else sees it on the way, so nobody is woken for it. It counts as a
 * run out of the slot, and as a schedule: it gives way to others as those do. */
static ALWAYS_INLINE int wait_park_to(struct worker *wk, struct weft_task *t, struct weft_task *to, struct waiter *w, uint64_t word,
				      int64_t deadline)
{
	struct weft_task *next = to;
	int32_t left;

	asym_light(); /* pairs with asym_heavy in ctx.c */
	if (unlikely(!wk || (!TASK_STAYS(to, wk) && !sched_is_home(wk, to)) || load_relaxed(&t->cancel) ||
		     (wk->slot_runs >= SLOT_RUN_MAX && (load_relaxed(&wk->slot) || !wsq_empty(&wk->runq))))) {
		weft__ready(wk, to);
		return wait_park(wk, t, w, 1, word, deadline);
	}
	left = load_relaxed(&wk->countdown) - 1; /* as in sched_pick */
	store_relaxed(&wk->countdown, left);
	if (unlikely(left <= 0)) {
		next = weft__sched_pick_due(wk, true);
		if (!next && !wk->errand && !load_relaxed(&wk->rt->stopping) && !seat_retired(wk)) /* as in sched_pick */
			next = to;
	}
	if (unlikely(deadline != WEFT_FOREVER))
		weft__wait_arm(wk, t, deadline);
	t->parked_at = wk->coarse_now;
	if (likely(next == to)) {
		wk->slot_runs++;
		san_release(to);
		task_set_state(to, WEFT_TASK_RUNNABLE);
	} else {
		weft__ready(wk, to);
	}
	if (unlikely(next == t)) /* as in sched_park */
		sched_enter(wk, t);
	else
		t = sched_leave(wk, t, sched_fit(wk, next), 0);
	if (likely(wait_state(load_acquire(&t->wait)) == WAIT_WOKEN)) /* pairs with the claim */
		return 0;
	return weft__wait_outcome(t, w, 1);
}

#endif
