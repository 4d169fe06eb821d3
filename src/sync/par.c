/* SPDX-License-Identifier: MIT
 *
 * par.c - loops over many tasks: group_map, a task an item, and par_for, which splits as long as somebody takes what is split off.
 *
 * par_for is lazy: a range is halved only while the worker has nothing else queued, that is, when what it split off before has been taken; else it is worked off,
 * grain by grain, with a look in between. So a loop that nobody helps with is a plain loop, and one that is helped with is split about as often as
 * it is helped. All parts are children of one group; the caller works on its own part under that group's context, too, so that an error ends it as it does the others.
 *
 * Source: Tzannes, Caragea, Barua, Vishkin, Lazy binary splitting (PPoPP 2010). Changed: a worker alone never splits.
 */
#include "base/clock.h"
#include "core/runtime.h"
#include "sync/child.h"
#include "weft/scope.h"

/* --- map --- */

struct map {
	weft_group_map_fn *fn;
	const char *items;
	char *out; /* NULL: none */
	size_t item_size, out_size;
	void *arg;
};

static int map_item(const struct map *m, size_t i)
{
	return m->fn(m->items + i * m->item_size, m->out ? m->out + i * m->out_size : NULL, m->arg);
}

static void map_child(weft_group *g, const struct map *m, size_t i)
{
	struct child c;
	int code;

	weft__child_begin(&c, g);
	code = map_item(m, i);
	weft__child_end(&c, code);
}

int weft_group_map(weft_group_map_fn *fn, const void *items, size_t n, size_t item_size, void *out, size_t out_size, void *arg,
		   const weft_group_opts *o)
{
	static const struct weft_site site = {"weft_group_map", __FILE__, __LINE__};
	const struct map m = {fn, items, out, item_size, out_size, arg};
	weft_group g;
	int rc = 0;

	if (!fn || (n && item_size && !items))
		return WEFT_EINVAL;
	weft__group_begin(&g, o ? *o : (weft_group_opts){.max = 0});
	for (size_t i = 0; i < n && !rc; i++) {
		const struct child_start s = {(void (*)(void))map_child, {(uintptr_t)&g, (uintptr_t)&m, i}};

		rc = weft__group_spawn(&g, &s, WEFT_FOREVER, &site);
	}
	return weft__group_finish(&g, rc);
}

/* --- for --- */

struct loop {
	weft_group g;
	weft_range_fn *fn;
	void *arg;
	size_t n, grain;
};

static void part_child(weft_group *g, struct loop *l, size_t from, size_t to);

static int leave_to_another(struct loop *l, size_t from, size_t to)
{
	static const struct weft_site site = {"weft_par_for", __FILE__, __LINE__};
	const struct child_start s = {(void (*)(void))part_child, {(uintptr_t)&l->g, (uintptr_t)l, from, to}};

	return weft__group_spawn(&l->g, &s, WEFT_NOW, &site);
}

/* Others may be looking for work: what was split off before is not there any more. */
static inline bool wanted(struct worker *w)
{
	return !alone_is(&w->alone) && wsq_empty(&w->runq) && !load_relaxed(&w->slot); /* a hint */
}

#define OFFER_NS (20 * US)

/* The calling task works on from .. to. */
static int part(struct loop *l, size_t from, size_t to)
{
	int64_t left_at = 0; /* when it split off what nobody may know of; 0: there is nothing */

	while (from < to) {
		int64_t deadline = WEFT_FOREVER;
		struct self me;
		size_t end = to;
		int rc = self_enter(&me, &deadline); /* cancelled, here or by a failure elsewhere; or to let others run */

		if (rc)
			return rc;
		if (to - from > l->grain) {
			size_t mid = from + (to - from) / 2;

			if (wanted(me.worker) && leave_to_another(l, mid, to) == 0) {
				to = mid;
				left_at = clock_now();
			} else if (left_at && clock_now() - left_at > OFFER_NS) {
				/* still there: the scheduler takes it for what this worker does next, and has woken nobody */
				weft__sched_wake(me.worker->rt);
				left_at = 0;
			}
			end = to - from > l->grain ? from + l->grain : to;
		}
		rc = l->fn(from, end, l->arg);
		if (rc < 0)
			return rc;
		from = end;
	}
	return 0;
}

static void part_child(weft_group *g, struct loop *l, size_t from, size_t to)
{
	struct child c;
	int code;

	weft__child_begin(&c, g);
	c.whole = true;
	code = part(l, from, to);
	weft__child_end(&c, code);
}

static int whole(void *arg)
{
	struct loop *l = arg;

	return part(l, 0, l->n);
}

#define GRAINS_A_WORKER 128

int weft_par_for(size_t n, size_t grain, weft_range_fn *fn, void *arg)
{
	struct worker *w = weft__worker();
	struct loop l = {.fn = fn, .arg = arg, .n = n, .grain = grain};
	int rc;

	if (!fn)
		return WEFT_EINVAL;
	if (!l.grain)
		l.grain = n / (GRAINS_A_WORKER * (size_t)(w ? rt_active(w->rt) : 1)) + 1;
	weft__group_begin(&l.g, (weft_group_opts){.max = 0});
	if (!w) {
		rc = leave_to_another(&l, 0, n);
	} else {
		rc = 0;
		WEFT_WITH_CTX (l.g.weft__ctx) /* NULL: none, and the group says why */
		{
			rc = l.g.weft__init ? 0 : weft_task_try(whole, &l, NULL);
		}
	}
	return weft__group_finish(&l.g, rc);
}
