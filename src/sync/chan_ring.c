/* SPDX-License-Identifier: MIT
 *
 * chan_ring.c - channels with a promise: one sends, one receives. See chan_ring.h.
 */
#include "sync/chan_ring.h"

#include "base/check.h"
#include "core/sched.h"
#include "sync/chan.h"
#include <sched.h>
#include <stdlib.h>

#define PATIENCE_MIN SMALL(16, 2)
#define PATIENCE_MAX 512u
#define SETTLED 1000u /* waits */

int weft__chan_ring_make(struct weft_chan *c)
{
	struct chan_ring *r;
	bool may_part;

	if (c->mode == WEFT_CHAN_MPMC)
		return 0;
	r = aligned_alloc(128, ROUND_UP(sizeof *r, 128));
	if (!r)
		return WEFT_ENOMEM;
	memset(r, 0, sizeof *r);
	r->patience = PATIENCE_MIN;
	may_part = c->mode == WEFT_CHAN_SPSC && c->cap && !c->blocks && !c->more;
#if !BUILT_WITH_TSAN
	if (weft__san) /* a sanitizer of the program's would not see how the sides are ordered */
		may_part = false;
#endif
	for (int d = 0; d < CHAN_DIRS; d++)
		store_relaxed(&r->side[d].worker, r); /* no worker's address; not shared yet */
	r->settled = may_part ? 0 : CHAN_NEVER_APART;
	c->ring = r;
	return 0;
}

void weft__chan_ring_free(struct chan_ring *r)
{
	free(r);
}

/* Whether all that goes on at the sides without the lock goes on on that worker. */
static bool is_of(struct chan_ring *r, struct worker *w)
{
	return load_relaxed(&r->side[CHAN_TX].worker) == w && load_relaxed(&r->side[CHAN_RX].worker) == w; /* under the lock */
}

/* They stay together for a while. */
static void settle(struct weft_chan *c)
{
	c->ring->settled = SETTLED;
	c->ring->patience = PATIENCE_MIN;
	store_relaxed(&c->quick, chan_quick_of(c)); /* under the lock */
}

NOINLINE void weft__chan_join(struct weft_chan *c)
{
	struct chan_ring *r = c->ring;
	struct chan_side *put = &r->side[CHAN_TX], *get = &r->side[CHAN_RX];
	bool ours = is_of(r, weft__worker_look());
	uint32_t taken;

	chan_sides_call(&c->quick, CHAN_SINGLE, ours);
	for (unsigned looks = 0; !chan_side_left(put) || !chan_side_left(get); looks++) {
		if (looks < LOCK_SPINS)
			cpu_relax();
		else
			sched_yield(); /* it is off its core */
	}
	c->head = shared_get(&get->at);
	c->len = load_relaxed(&put->count) - load_relaxed(&get->count); /* nobody is at them */
	c->most = c->len > c->most ? c->len : c->most;
	taken = load_relaxed(&get->count) - r->since; /* the same */
	CHAN_COUNT(c->sent = r->parted + taken + c->len);
	r->calm = 0;
	if (ours || taken > 100 * PATIENCE_MAX) {
		r->patience = PATIENCE_MIN;
	} else if (taken < 4 * r->patience) {
		r->patience *= 2;
		if (r->patience > PATIENCE_MAX) /* it does not pay */
			settle(c);
	}
}

void weft__chan_waits(struct weft_chan *c)
{
	struct chan_ring *r = c->ring;

	r->calm = 0;
	if (r->settled && r->settled != CHAN_NEVER_APART && --r->settled == 0)
		store_relaxed(&c->quick, chan_quick_of(c)); /* under the lock */
}

NOINLINE void weft__chan_calm(struct weft_chan *c, enum chan_dir dir)
{
	struct worker *w = weft__worker_look(); /* NULL: a foreign thread, which always takes the lock */
	struct chan_ring *r = c->ring;

	store_relaxed(&r->side[dir].worker, w ? (void *)w : r); /* under the lock, and together */
	if (c->closed || c->held || !list_empty(&c->recvq) || !list_empty(&c->sendq)) {
		r->calm = 0;
		return;
	}
	if (solo_is_on()) {
		settle(c);
		return;
	}
	if (++r->calm < r->patience && !is_of(r, w))
		return;
	r->since = load_relaxed(&r->side[CHAN_RX].count); /* under the lock */
	CHAN_COUNT(r->parted = c->sent - c->len);
	chan_sides_part(&r->side[CHAN_TX], &r->side[CHAN_RX], &c->quick, CHAN_APART | CHAN_SINGLE, c->head, c->len, c->cap);
}

uint32_t weft__chan_apart_len(struct weft_chan *c)
{
	uint32_t taken = load_acquire(&c->ring->side[CHAN_RX].count); /* first, and so no more than the other; pairs with its store */
	uint32_t n = load_acquire(&c->ring->side[CHAN_TX].count) - taken;

	return n < c->cap ? n : c->cap;
}

#ifdef WEFT_DEBUG
/* Whether one task at most is at that end of it. */
static inline bool single(const struct weft_chan *c, enum chan_dir dir)
{
	return c->mode == WEFT_CHAN_SPSC || c->mode == (dir == CHAN_TX ? WEFT_CHAN_SPMC : WEFT_CHAN_MPSC);
}

/* A role may be handed over, but who has given it up does not take it back: if he does, two have it. */
void weft__chan_promise(struct weft_chan *c, enum chan_dir dir)
{
	struct weft_task *t = c->ring && single(c, dir) ? weft_task_self() : NULL;
	uint64_t id = t ? t->id : 0, was;
	struct chan_role *r;

	if (!id)
		return;
	r = &c->ring->role[dir];
	was = load_relaxed(&r->id); /* what two tasks do at the same time is found at their next turn */
	if (was == id)
		return;
	for (int i = 0; i < CHAN_RETIRED; i++) {
		if (load_relaxed(&r->retired[i]) == id) /* the same */
			weft__fatal("the channel%s%s is promised to one %s at a time: task %llu %s on it, and so does task %llu",
				    *weft_chan_name(c) ? " " : "", weft_chan_name(c), dir == CHAN_TX ? "sender" : "receiver",
				    (unsigned long long)id, dir == CHAN_TX ? "sends" : "receives", (unsigned long long)was);
	}
	if (was)
		store_relaxed(&r->retired[add_relaxed(&r->turns, 1u) % CHAN_RETIRED], was); /* the same */
	store_relaxed(&r->id, id);
}
#endif
