/* SPDX-License-Identifier: MIT
 *
 * victim.c - the steal policies that look at whom they ask. See victim.h.
 */
#include "core/victim.h"

#include "core/runtime.h"
#include <stdlib.h>

#define MISSES_MAX 8      /* in a row, then a victim is left out of the first rounds */
#define SLEEPERS_ASKED 16 /* at most, before one is woken: the caller holds the list's lock */

int weft__victims_make(struct worker *w)
{
	struct victims *v = &w->victims;

	if (w->rt->place.steal != WEFT_STEAL_NEAR)
		return 0;
	v->order = calloc(w->rt->seats_max, sizeof *v->order);
	v->level = calloc(w->rt->seats_max, sizeof *v->level);
	return v->order && v->level ? 0 : WEFT_ENOMEM;
}

void weft__victims_free(struct worker *w)
{
	free(w->victims.order);
	free(w->victims.level);
	w->victims.order = NULL;
	w->victims.level = NULL;
}

/* --- near: the order --- */

/* By levels; within a level by id, from w's own on, so that not everybody's begins with the same. */
static void make_order(struct worker *w)
{
	struct victims *v = &w->victims;
	struct runtime *rt = w->rt;
	uint32_t at[TOPO_LEVELS] = {0}, sum = 0;
	unsigned n = rt_seats(rt);
	int here = load_relaxed(&w->cpu); /* own */

	v->moves = load_relaxed(&rt->place.moves); /* a hint: whoever moves from here on has it made again */
	for (unsigned id = 0; id < n; id++) {
		v->level[id] = (uint8_t)topo_level(rt->place.topo, here, load_relaxed(&rt->workers[id].cpu)); /* a hint */
		at[v->level[id]] += id != w->id;
	}
	for (unsigned level = 0; level < TOPO_LEVELS; level++) {
		sum += at[level];
		v->end[level] = sum;
		at[level] = sum - at[level];
	}
	for (unsigned i = 1; i < n; i++) {
		unsigned id = (w->id + i) % n;

		v->order[at[v->level[id]]++] = (uint16_t)id;
	}
	v->n = n;
}

/* --- a round --- */

/* A circle over [from, to), from a random place in it. */
static void circle(struct worker *w, struct victim_round *r, unsigned from, unsigned to)
{
	r->from = from;
	r->to = to;
	r->left = to - from;
	r->at = r->left > 1 ? from + rng_below(&w->rng, r->left) : from;
}

static unsigned step(struct victim_round *r)
{
	unsigned at = r->at;

	r->at = at + 1 == r->to ? r->from : at + 1;
	r->left--;
	return at;
}

void weft__victims_begin(struct worker *w, struct victim_round *r, int round)
{
	struct victims *v = &w->victims;
	struct runtime *rt = w->rt;
	unsigned n = rt_seats(rt);

	*r = (struct victim_round){.all = round >= SEARCH_ROUNDS - 2};
	if (rt->place.steal == WEFT_STEAL_NEAR) {
		if (unlikely(v->n != n || v->moves != load_relaxed(&rt->place.moves))) /* a hint */
			make_order(w);
		return;
	}
	r->first = v->giver <= (int)n ? v->giver : 0;
	circle(w, r, 0, n);
}

static int next_near(struct worker *w, struct victim_round *r)
{
	const struct victims *v = &w->victims;

	while (!r->left) {
		if (r->level == TOPO_LEVELS)
			return -1;
		circle(w, r, r->level ? v->end[r->level - 1] : 0, v->end[r->level]);
		r->level++;
	}
	return v->order[step(r)];
}

int weft__victims_next(struct worker *w, struct victim_round *r)
{
	if (w->rt->place.steal == WEFT_STEAL_NEAR)
		return next_near(w, r);
	if (!r->begun) {
		r->begun = true;
		if (r->first)
			return r->first - 1;
	}
	while (r->left) {
		unsigned id = step(r);

		if (id != w->id && (int)id + 1 != r->first && (r->all || w->watched[id].misses < MISSES_MAX))
			return (int)id;
	}
	return -1;
}

void weft__victims_told(struct worker *w, int id, bool gave)
{
	uint8_t *misses = &w->watched[id].misses;

	if (gave)
		w->victims.giver = id + 1;
	*misses = gave ? 0 : *misses < MISSES_MAX ? *misses + 1 : MISSES_MAX;
}

/* --- whom to wake --- */

unsigned weft__victims_sleeper(struct idle *i)
{
	static const uint8_t rank[TOPO_LEVELS] = {
		[TOPO_CACHE] = 0, [TOPO_CORE] = 1, [TOPO_NODE] = 2, [TOPO_PACKAGE] = 3, [TOPO_REST] = 4, [TOPO_SAME] = 5};
	struct runtime *rt = container_of(i, struct runtime, idle);
	struct worker *w = weft__worker_look(); /* nothing here is elided: it is only asked where there are several workers */
	int here = w ? load_relaxed(&w->cpu) : weft__cpu_here(); /* own */
	unsigned n = shared_get(&i->n), best = n - 1, asked = 0;
	uint8_t least = UINT8_MAX;

	for (unsigned at = n; at-- > 0 && least && asked < SLEEPERS_ASKED; asked++) {
		int there = load_relaxed(&rt->workers[shared_get(&i->list[at])].cpu); /* a hint */
		uint8_t far = rank[topo_level(rt->place.topo, here, there)];

		if (far < least) {
			least = far;
			best = at;
		}
	}
	return best;
}
