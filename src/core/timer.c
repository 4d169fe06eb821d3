/* SPDX-License-Identifier: MIT
 *
 * timer.c - the hierarchical timing wheel: which slot, which next, what is due.
 *
 * Time is counted in ticks from INT64_MIN, so that ticks are unsigned and every int64_t has one.  A node due at tick d
 * lies on the level of the highest digit (base 64) in which d differs from w->tick, in the slot which that digit of d
 * names.  From this follows all the rest:
 *
 *   - within a level no slot lies behind the current digit, so nothing wraps: the first set bit is the next slot;
 *   - all that is on a level comes before all that is on higher ones: the lowest occupied level has the next slot;
 *   - nodes of one tick are always in one slot, so they stay in the order in which they were added;
 *   - w->tick may move forward to any tick that is not past the beginning of an occupied slot, and no node need move.
 *
 * A run takes slot after slot in order of their beginnings, as far as now reaches: a slot of a higher level is spread
 * over the levels below, a slot of level 0 fires; in the tick of `now` itself only what is due, the rest stays.
 */
#include "core/timer.h"
#include "base/check.h"

#define TICK_ZERO (UINT64_C(1) << (63 - WHEEL_TICK_SHIFT)) /* the tick of time 0 */
#define LOOK_MAX 16                                        /* nodes looked at to find a slot's earliest deadline */

_Static_assert(WHEEL_LEVELS *WHEEL_SLOT_BITS >= 64 - WHEEL_TICK_SHIFT, "the levels must reach the last tick");
_Static_assert(WHEEL_LEVELS *WHEEL_SLOT_BITS < 64, "or a shift by all levels would be too wide");
_Static_assert(WHEEL_SLOTS == 64, "a level's bitmap is one uint64_t");

static uint64_t tick_of(int64_t time)
{
	return TICK_ZERO + (uint64_t)(time >> WHEEL_TICK_SHIFT);
}

/* When the tick begins. */
static int64_t tick_time(uint64_t tick)
{
	return (int64_t)((tick - TICK_ZERO) << WHEEL_TICK_SHIFT);
}

/* The level of the highest digit in which the two ticks differ. */
static unsigned level_of(uint64_t tick, uint64_t due)
{
	return (unsigned)(63 - __builtin_clzll((tick ^ due) | 1)) / WHEEL_SLOT_BITS;
}

/* Links n where n->when belongs; what is overdue, to the current tick, which the next run looks at again. */
static void link_node(struct wheel *w, struct timer_node *n)
{
	uint64_t at = tick_of(n->when), due = at < w->tick ? w->tick : at;
	unsigned level = level_of(w->tick, due);
	unsigned slot = (unsigned)(due >> level * WHEEL_SLOT_BITS) & (WHEEL_SLOTS - 1);

	n->level = (uint8_t)level;
	n->slot = (uint8_t)slot;
	list_push_tail(&w->slots[level][slot], &n->link);
	w->occupied[level] |= UINT64_C(1) << slot;
}

/* A node more or less. Locked. */
static void count(struct wheel *w, const struct timer_node *n, int by)
{
	store_relaxed(&w->linked[n->kind], load_relaxed(&w->linked[n->kind]) + (uint32_t)by); /* for readers */
}

/* The tick at which the slot begins. */
static uint64_t slot_begin(const struct wheel *w, unsigned level, unsigned slot)
{
	uint64_t above = ~UINT64_C(0) << (level + 1) * WHEEL_SLOT_BITS;

	return (w->tick & above) | (uint64_t)slot << level * WHEEL_SLOT_BITS;
}

/* Finds the first occupied slot. False when the wheel is empty. */
static bool slot_first(const struct wheel *w, unsigned *level, unsigned *slot)
{
	unsigned l;

	for (l = 0; l < WHEEL_LEVELS; l++) {
		if (w->occupied[l]) {
			*level = l;
			*slot = (unsigned)__builtin_ctzll(w->occupied[l]);
			return true;
		}
	}
	return false;
}

/* Sets next from the first slot: exactly, unless it has too many nodes to look at; then to where the slot begins, or to
 * what it was, if that is later. all: look at all nodes of the current tick, whose beginning is past and would not move
 * a sleeper on. */
static void next_recompute(struct wheel *w, bool all)
{
	int64_t next = WHEEL_NEVER, old = load_relaxed(&w->next); /* under lock */
	unsigned level, slot;

	if (slot_first(w, &level, &slot)) {
		const struct list *l = &w->slots[level][slot];
		const struct list_node *node;
		uint64_t tick = slot_begin(w, level, slot);
		int64_t begin = tick_time(tick);
		unsigned looked = 0;

		for (node = list_first(l); node; node = list_after(l, node)) {
			const struct timer_node *n = container_of(node, const struct timer_node, link);

			if (++looked > LOOK_MAX && !(all && tick == w->tick)) {
				next = old;
				break;
			}
			if (n->when < next)
				next = n->when;
		}
		if (next < begin)
			next = begin; /* an overdue node, or a guess */
	}
	/* a hint; who must not miss an earlier one is told by weft__wheel_add's caller */
	store_relaxed(&w->next, next);
}

void weft__wheel_init(struct wheel *w, int64_t now)
{
	unsigned l, s;

	*w = (struct wheel){.tick = tick_of(now)};
	store_relaxed(&w->next, WHEEL_NEVER); /* not shared yet */
	for (l = 0; l < WHEEL_LEVELS; l++)
		for (s = 0; s < WHEEL_SLOTS; s++)
			list_init(&w->slots[l][s]);
}

bool weft__wheel_add(struct wheel *w, struct timer_node *n, int64_t when)
{
	int64_t current = tick_time(w->tick);

	DCHECK(when != WHEEL_NEVER);
	DCHECK(!list_linked(&n->link));
	n->when = when;
	store_relaxed(&n->wheel, w); /* a reader takes that wheel's lock and looks again */
	link_node(w, n);
	count(w, n, 1);
	if (when < current)
		when = current;             /* overdue: not before the tick in whose slot it lies */
	if (when >= load_relaxed(&w->next)) /* under lock */
		return false;
	store_relaxed(&w->next, when); /* as in next_recompute */
	return true;
}

void weft__wheel_remove(struct wheel *w, struct timer_node *n)
{
	struct list *l = &w->slots[n->level][n->slot];
	unsigned level = 0, slot = 0;

	DCHECK(list_linked(&n->link));
	DCHECK(load_relaxed(&n->wheel) == w);
	slot_first(w, &level, &slot);
	list_remove(&n->link);
	count(w, n, -1);
	if (list_empty(l))
		w->occupied[n->level] &= ~(UINT64_C(1) << n->slot);
	else if (n->when > load_relaxed(&w->next)) /* under lock */
		return;
	if (level == n->level && slot == n->slot)
		/* it may have been the earliest; without this a sleeper would wake for nothing */
		next_recompute(w, false);
}

/* Moves the nodes of a slot to the levels below. w->tick is the slot's beginning. */
static void slot_spread(struct wheel *w, unsigned level, unsigned slot)
{
	struct list_node *node;

	w->occupied[level] &= ~(UINT64_C(1) << slot);
	while ((node = list_pop_head(&w->slots[level][slot])) != NULL)
		link_node(w, container_of(node, struct timer_node, link));
}

/* Fires what is due of a slot of level 0. Returns how many fired. */
static int slot_fire(struct wheel *w, unsigned slot, int64_t now, wheel_fire *fire, void *arg)
{
	struct list *l = &w->slots[0][slot];
	struct list_node *node, *after;
	int fired = 0;

	for (node = list_first(l); node; node = after) {
		struct timer_node *n = container_of(node, struct timer_node, link);
		int64_t again;

		after = list_after(l, node);
		if (n->when > now)
			continue;
		list_remove(node);
		count(w, n, -1);
		fired++;
		again = fire(n, now, arg);
		if (again == WHEEL_NEVER)
			continue;
		DCHECK(again > now);
		n->when = again > now ? again : now + 1;
		link_node(w, n);
		count(w, n, 1);
	}
	if (list_empty(l))
		w->occupied[0] &= ~(UINT64_C(1) << slot);
	return fired;
}

static NOINLINE int run_slow(struct wheel *w, int64_t now, wheel_fire *fire, void *arg)
{
	uint64_t reached = tick_of(now);
	unsigned level, slot;
	int fired = 0;

	lock_take_solo(&w->lock, RANK_WHEEL);
	while (slot_first(w, &level, &slot)) {
		uint64_t begin = slot_begin(w, level, slot);

		if (begin > reached)
			break;
		w->tick = begin;
		if (level > 0) {
			slot_spread(w, level, slot);
			continue;
		}
		fired += slot_fire(w, slot, now, fire, arg);
		if (begin == reached)
			break;
	}
	if (reached > w->tick)
		w->tick = reached; /* before the beginning of every occupied slot */
	next_recompute(w, true);
	lock_drop_solo(&w->lock);
	return fired;
}

int weft__wheel_run(struct wheel *w, int64_t now, wheel_fire *fire, void *arg)
{
	/* a hint: an earlier node added this moment is seen next time, its adder tells a sleeper */
	if (likely(now < load_relaxed(&w->next)))
		return 0;
	return run_slow(w, now, fire, arg);
}
