/* SPDX-License-Identifier: MIT
 *
 * prio.c - queues of HIGH and LOW tasks, and who is dealt the next schedule. prio.h says how it works.
 */
#include "core/prio.h"

#include "core/sched.h"

/* --- the class of a task --- */

int weft_task_prio(weft_task *t, enum weft_prio p)
{
	uint8_t was;

	if (!t)
		t = weft_task_self();
	if (!t || p < WEFT_PRIO_HIGH || p > WEFT_PRIO_LOW || task_is(t, TASK_FOREIGN))
		return WEFT_EINVAL;
	was = load_relaxed(&t->flags); /* the class is read by whoever makes the task runnable next, or later */
	while (!cas_relaxed(&t->flags, &was, (uint8_t)((was & ~(unsigned)TASK_CLASS) | prio_flags(p))))
		;
	return 0;
}

enum weft_prio weft_task_prioof(weft_task *t)
{
	if (!t)
		t = weft_task_self();
	return t ? task_class(t) : WEFT_PRIO_NORMAL;
}

/* --- queues --- */

/* Before the first task of a class is queued. */
static inline void begin(struct runtime *rt)
{
	if (unlikely(!load_relaxed(&rt->classes)))
		store_relaxed(&rt->classes, true); /* as the task behind it: ordered by whoever wakes */
}

void weft__prio_put_chain(struct worker *w, enum prio_queue q, struct inject_node *first, struct inject_node *last, uint32_t n)
{
	begin(w->rt);
	injectq_push_chain(&w->prio.own[q], first, last, n);
	sched_slow_within(w, q == PRIOQ_HIGH ? 1 : PRIO_TURNS);
}

void weft__prio_put(struct worker *w, struct weft_task *t)
{
	weft__prio_put_chain(w, prio_queue(task_class(t)), &t->next, &t->next, 1);
}

void weft__prio_push(struct worker *w, struct weft_task *t)
{
	weft__prio_put(w, t);
	if (!alone_is(&w->alone) && idle_wanting(&w->rt->idle))
		weft__sched_share(w);
}

void weft__prio_put_home(struct worker *w, struct weft_task *t)
{
	begin(w->rt);
	injectq_push(&w->prio.home[prio_queue(task_class(t))], &t->next);
}

void weft__prio_inject(struct runtime *rt, enum prio_queue q, struct inject_node *first, struct inject_node *last, uint32_t n)
{
	struct worker *w;

	begin(rt);
	injectq_push_chain(&rt->classed[q], first, last, n);
	if (q == PRIOQ_LOW)
		return;
	w = &rt->workers[add_relaxed(&rt->told, 1u) % rt_active(rt)]; /* any; orders nothing */
	if (load_relaxed(&w->countdown) > 1)
		store_relaxed(&w->countdown, 1); /* a hint */
}

uint32_t weft__prio_kept(struct worker *w)
{
	if (likely(!load_relaxed(&w->rt->classes))) /* a hint, or ordered by the caller's fence */
		return 0;
	return injectq_len(&w->prio.own[PRIOQ_HIGH]) + injectq_len(&w->prio.own[PRIOQ_LOW]);
}

bool weft__prio_here(struct worker *w)
{
	return load_relaxed(&w->rt->classes) && /* as above */
	       (weft__prio_kept(w) || injectq_len(&w->prio.home[PRIOQ_HIGH]) || injectq_len(&w->prio.home[PRIOQ_LOW]));
}

bool weft__prio_anywhere(struct runtime *rt)
{
	return load_relaxed(&rt->classes) && (injectq_len(&rt->classed[PRIOQ_HIGH]) || injectq_len(&rt->classed[PRIOQ_LOW])); /* as above */
}

struct weft_task *weft__prio_rob(struct worker *w, struct worker *v, enum prio_queue q)
{
	struct inject_node *nodes[RUNQ_CAP / 2];
	uint32_t half = (injectq_len(&v->prio.own[q]) + 1) / 2; /* a hint */
	uint32_t n = injectq_pop_n(&v->prio.own[q], nodes, half < RUNQ_CAP / 2 ? half : RUNQ_CAP / 2);

	if (n > 1)
		weft__prio_put_chain(w, q, nodes[1], nodes[n - 1], n - 1); /* they are linked already */
	return n ? task_of_next(nodes[0]) : NULL;
}

uint32_t weft__prio_hand_on(struct worker *w)
{
	struct inject_node *nodes[RUNQ_CAP / 2];
	uint32_t n, all = 0;

	for (enum prio_queue q = 0; weft__prio_kept(w) && q < PRIOQ_COUNT; q++) {
		while ((n = injectq_pop_n(&w->prio.own[q], nodes, ARRAY_LEN(nodes))) != 0) {
			weft__prio_inject(w->rt, q, nodes[0], nodes[n - 1], n); /* they are linked already */
			all += n;
		}
	}
	return all;
}

/* --- dealing --- */

static bool waits(struct worker *w, enum prio_queue q)
{
	return injectq_len(&w->prio.home[q]) || (!seat_retired(w) && (injectq_len(&w->prio.own[q]) || injectq_len(&w->rt->classed[q])));
}

/* The oldest of one of w's three queues of a class, of another one each time. */
static struct weft_task *take(struct worker *w, enum prio_queue q)
{
	struct injectq *const queues[] = {&w->prio.own[q], &w->prio.home[q], &w->rt->classed[q]};
	struct weft_task *t = NULL;

	if (unlikely(seat_retired(w)))
		return task_of_next(injectq_pop(&w->prio.home[q]));
	for (unsigned i = 0; i < ARRAY_LEN(queues) && !t; i++) {
		w->prio.from = (uint8_t)((w->prio.from + 1u) % ARRAY_LEN(queues));
		t = task_of_next(injectq_pop(queues[w->prio.from]));
	}
	return t;
}

/* Counts the turns that NORMAL has had. */
static void count(struct prio *p, uint32_t tick)
{
	uint32_t had = tick - p->dealt;

	p->dealt = tick;
	if ((int32_t)had <= 0)
		return;
	p->high_left = PRIO_TURNS;
	p->normal_left = (uint8_t)(had < p->normal_left ? p->normal_left - had : 0);
}

/* After so many schedules, of this one on if it is NORMAL's, it may be another's turn. */
static int32_t turns_of_normal(struct worker *w, bool normal)
{
	uint32_t n = wsq_len(&w->runq) + (load_relaxed(&w->slot) != NULL); /* own; thieves only take */

	if (!normal || waits(w, PRIOQ_HIGH))
		return 0;
	return (int32_t)(n < w->prio.normal_left ? n : w->prio.normal_left);
}

struct weft_task *weft__prio_deal(struct worker *w, bool normal)
{
	struct prio *p = &w->prio;
	bool high = waits(w, PRIOQ_HIGH), low = waits(w, PRIOQ_LOW);
	struct weft_task *t = NULL;

	if (!high && !low)
		return NULL;
	count(p, load_relaxed(&w->tick)); /* own */
	while (!t && (high || low)) {
		if (p->normal_left == 0) {
			p->normal_left = PRIO_TURNS;
			if (low)
				low = (t = take(w, PRIOQ_LOW)) != NULL;
		} else if (high && p->high_left) {
			p->high_left--;
			high = (t = take(w, PRIOQ_HIGH)) != NULL;
		} else if (normal) {
			break; /* counted when it has been */
		} else {
			p->high_left = PRIO_TURNS;
			p->normal_left--;
		}
	}
	if (t)
		p->dealt++; /* its own schedule */
	if (waits(w, PRIOQ_HIGH) || waits(w, PRIOQ_LOW)) {
		int32_t n = turns_of_normal(w, normal) + (t != NULL);

		sched_slow_within(w, n > 1 ? n : 1);
	}
	/* what was kept to itself because it would come next */
	if (t && !alone_is(&w->alone) && idle_wanting(&w->rt->idle) &&
	    (load_relaxed(&w->slot) || !wsq_empty(&w->runq) || weft__prio_kept(w)))
		weft__sched_share(w);
	return t;
}
