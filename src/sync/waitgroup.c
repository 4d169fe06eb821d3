/* SPDX-License-Identifier: MIT
 *
 * waitgroup.c - a counter of 8 bytes to wait upon until it is 0; and the latch, which is one that never rises.
 *
 *   weft__state   63 .. 32: the counter     0: WAITERS, somebody waits in the lot bucket (set under its lock)
 *
 * add and done are one read-modify-write.  The one that would reach 0 with WAITERS set takes the bucket's lock, clears the flag with the counter, and wakes all who are
 * listed: so nobody has yet to wake somebody once the counter is 0, when it may be used again, or freed. (WAITERS may be stale, when those who waited gave up.)
 *
 * Who raises it before those who were woken have returned has most likely not waited for them: debug builds notice it when they do.
 */
#include "base/check.h"
#include "core/goargs.h"
#include "core/lot.h"
#include "core/runtime.h"
#include "weft/defer.h"
#include "weft/sync.h"

#define WAITERS ((uint64_t)1)
#define ONE ((uint64_t)1 << 32)

_Static_assert(sizeof(weft_wg) == 8, "a wait group is 8 bytes");
_Static_assert(sizeof(weft_latch) == 8, "a latch is 8 bytes");

#ifdef WEFT_DEBUG
#define DEBUG_BUILD 1
#else
#define DEBUG_BUILD 0
#endif

static inline ATOMIC(uint64_t) *state_of(weft_wg *g)
{
	return (ATOMIC(uint64_t) *)&g->weft__state;
}

static inline int32_t count(uint64_t state)
{
	return (int32_t)(state >> 32);
}

/* The counter is about to become 0, and somebody may wait. False: neither is so any more. */
NOINLINE static bool last(weft_wg *g, int n)
{
	struct lot_bucket *b = lot_bucket(g);
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	struct inject_node *claimed = NULL;
	uint64_t was;
	bool is_last;

	lock_take_solo(&b->lock, RANK_LOT);
	was = load_relaxed(state_of(g)); /* checked by the compare-and-swap */
	do {
		is_last = (was & WAITERS) && (int64_t)count(was) + n == 0;
	} while (is_last && !cas_acq_rel(state_of(g), &was, 0)); /* as in add */
	if (is_last)
		claimed = weft__lot_claim_all(b, g, 0); /* by address: who sees 0 may free g */
	lock_drop_solo(&b->lock);
	weft__ready_list(w, claimed);
	return is_last;
}

static void add(weft_wg *g, int n, const char *call, const char *what)
{
	uint64_t was;

	(void)weft__worker(); /* before anything elided: see base/solo.h */
	san_release(g);
	was = load_relaxed(state_of(g)); /* checked by the compare-and-swap */
	for (;;) {
		int64_t now = (int64_t)count(was) + n;

		if (unlikely(now < 0 || now > INT32_MAX))
			weft__fatal("%s: the counter of %s %p would become %lld (it was %d, %d was added)", call, what, (void *)g,
				    (long long)now, count(was), n);
		if (now == 0 && n < 0 && (was & WAITERS)) {
			if (last(g, n))
				return;
			was = load_relaxed(state_of(g)); /* the same */
			continue;
		}
		/* release: what came before done is seen after wait; acquire: of the last one's view of the others */
		if (solo_cas64(state_of(g), &was, was + (uint64_t)(int64_t)n * ONE))
			return;
	}
}

void weft_wg_add(weft_wg *g, int n)
{
	add(g, n, "weft_wg_add", "wait group");
}

void weft_wg_done(weft_wg *g)
{
	add(g, -1, "weft_wg_done", "wait group");
}

struct wg_wait {
	weft_wg *g;
	bool waited;
};

/* Under the bucket's lock: must the caller wait? Then WAITERS is set. */
static bool must_wait(void *arg)
{
	struct wg_wait *a = arg;
	weft_wg *g = a->g;
	uint64_t was = load_acquire(state_of(g)); /* pairs with add */

	a->waited = true;

	for (;;) {
		if (count(was) == 0)
			return a->waited = false;
		if ((was & WAITERS) || cas_acq_rel(state_of(g), &was, was | WAITERS)) /* against a done that comes just now */
			return true;
		was = load_acquire(state_of(g)); /* as above */
	}
}

static int wait(struct wg_wait *a, enum task_reason reason, int64_t deadline)
{
	struct self me;
	int rc = self_enter(&me, &deadline);

	if (!rc && load_acquire(state_of(a->g)) != 0) /* pairs with add */
		rc = weft__lot_wait(a->g, must_wait, a, reason, deadline);
	san_acquire(a->g);
	return rc;
}

int weft_wg_wait_until(weft_wg *g, int64_t deadline)
{
	struct wg_wait a = {.g = g};
	int rc = wait(&a, REASON_WAITGROUP, deadline);

	if (DEBUG_BUILD && rc == 0 && a.waited && count(load_relaxed(state_of(g)))) /* whoever added has not synchronised with us */
		weft__fatal("weft_wg_wait: wait group %p is used again before this wait for its last round has returned", (void *)g);
	return rc;
}

int weft_wg_wait(weft_wg *g)
{
	return weft_wg_wait_until(g, WEFT_FOREVER);
}

/* --- wg_go --- */

static void done(void *arg)
{
	weft_wg_done(arg);
}

/* The task. */
static void counted(weft_wg *g, weft_task_fn *fn, void *arg)
{
	weft_defer last;

	weft__defer_push(&last, done, g);
	(void)fn(arg);
	weft__defer_end(&last);
}

int weft__wg_go_at(weft_wg *g, weft_task_fn *fn, void *arg, const struct weft_site *site)
{
	struct weft__go_call call = {.fn = (void (*)(void))counted, .site = site};
	struct weft__go_args args = {.i = {(uintptr_t)g, (uintptr_t)fn, (uintptr_t)arg}};
	int rc;

	if (!fn)
		return WEFT_EINVAL;
	weft_wg_add(g, 1);
	rc = weft__go_start(&call, &args);
	if (rc)
		weft_wg_done(g);
	return rc;
}

int(weft_wg_go)(weft_wg *g, weft_task_fn *fn, void *arg)
{
	return weft__wg_go_at(g, fn, arg, NULL);
}

/* --- latch --- */

void weft_latch_init(weft_latch *l, int n)
{
	if (n < 0)
		weft__fatal("weft_latch_init: a latch of %d", n);
	store_relaxed(state_of(&l->weft__g), (uint64_t)n * ONE); /* nobody uses it yet */
}

void weft_latch_down(weft_latch *l, int n)
{
	if (n < 0)
		weft__fatal("weft_latch_down: latch %p is counted down by %d", (void *)l, n);
	add(&l->weft__g, -n, "weft_latch_down", "latch");
}

int weft_latch_wait_until(weft_latch *l, int64_t deadline)
{
	struct wg_wait a = {.g = &l->weft__g};

	return wait(&a, REASON_LATCH, deadline);
}

int weft_latch_wait(weft_latch *l)
{
	return weft_latch_wait_until(l, WEFT_FOREVER);
}
