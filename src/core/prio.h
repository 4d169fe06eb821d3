/* SPDX-License-Identifier: MIT
 *
 * prio.h - classes of tasks: queues of HIGH and LOW, and whose turn it is.
 *
 * NORMAL is the slot and the ring, and pays nothing.  HIGH and LOW are two bits of a task's flags, in the test that pinned tasks are found by, and queues:
 *
 *   own    a worker's: put by it, as its ring is; taken by it, and by thieves
 *   home   a worker's: of tasks that are pinned to it; put by anyone, who then notifies it; taken by it
 *   rt     the runtime's (runtime.h: classed): what foreign threads make runnable, and what shall run anywhere; taken by whoever comes
 *
 * A worker is told by its countdown: its next schedule is a slow one, which deals (weft__prio_deal).  HIGH has PRIO_TURNS turns, then NORMAL one; after PRIO_TURNS
 * of NORMAL's LOW has one: 64 : 8 : 1 when all three wait, and one in nine, or one in 65, when two do.  A turn for which there is no task lapses.  NORMAL's turns are counted by
 * the worker's tick, so it has many at a time, in the quick pick, while no HIGH waits: the countdown is set to as many as it has, and is in its ring.
 * The rest of the slow pick is done every TICK_SLOW schedules, as ever (passed).
 *
 * Seen before sleeping: who sleeps looks, after idle_enter, at rt->classes, and if that is set at all these queues.  It is set once, before the first
 * of such tasks is put on a queue, and stays: so the look sees it where it must see the task (core/idle.h).
 *
 * A HIGH task for the runtime's queue sets the countdown of some worker, too; that one may count down in the same moment, and then it is told nothing, and looks at its next pass.
 *
 * Model: test/model/prio.pml.  Rejected: one queue of each class for all workers: each wake would take one lock.  Rings for HIGH and LOW:
 * half a page a worker that few programs use.
 */
#ifndef WEFT_CORE_PRIO_H
#define WEFT_CORE_PRIO_H

#include "core/injectq.h"
#include "core/task.h"

struct runtime;
struct worker;

enum prio_queue { PRIOQ_HIGH, PRIOQ_LOW, PRIOQ_COUNT };

#define PRIO_TURNS 8 /* of a class, for one of the next lower */

struct prio {
	struct injectq own[PRIOQ_COUNT];
	struct injectq home[PRIOQ_COUNT];
	uint32_t passed;     /* tick of the last whole slow pick; owner */
	uint32_t dealt;      /* tick up to which turns are counted; owner */
	uint32_t aged;       /* tick at which the oldest was last taken because it was that (WEFT_ORDER_LIFO); owner */
	uint8_t high_left;   /* turns of HIGH before NORMAL has one; owner */
	uint8_t normal_left; /* turns of NORMAL before LOW has one; owner */
	uint8_t from;        /* which of the queues of a class gave last; owner */
	int64_t aged_at;     /* when; owner */
	bool owed;           /* inbox and injection queue have not been looked at since the last whole slow pick; owner */
};

/* Its class; whoever asks has it in hand, as for task_is. */
static inline enum weft_prio task_class(const struct weft_task *t)
{
	switch (load_relaxed(&t->flags) & TASK_CLASS) { /* as in task_is */
	case TASK_LOW:
		return WEFT_PRIO_LOW;
	case TASK_HIGH:
		return WEFT_PRIO_HIGH;
	case TASK_CLASS: /* WEFT_PRIO=mixed */
		return (enum weft_prio)((int)((t->id * 0x9e3779b97f4a7c15u >> 32) % 3) - 1);
	default:
		return WEFT_PRIO_NORMAL;
	}
}

static inline enum prio_queue prio_queue(enum weft_prio p)
{
	return p == WEFT_PRIO_HIGH ? PRIOQ_HIGH : PRIOQ_LOW;
}

/* The flags of a class that was asked for. */
static inline unsigned prio_flags(enum weft_prio p)
{
	return p == WEFT_PRIO_HIGH ? TASK_HIGH : p == WEFT_PRIO_LOW ? TASK_LOW : 0;
}

/* t, HIGH or LOW, is runnable: on w, the caller's. put: wakes nobody yet. */
void weft__prio_put(struct worker *w, struct weft_task *t);
void weft__prio_push(struct worker *w, struct weft_task *t);

/* Chains of n tasks of one class: on w, the caller's, and for whoever comes. Nobody is woken yet. */
void weft__prio_put_chain(struct worker *w, enum prio_queue q, struct inject_node *first, struct inject_node *last, uint32_t n);
void weft__prio_inject(struct runtime *rt, enum prio_queue q, struct inject_node *first, struct inject_node *last, uint32_t n);

/* ... that is pinned to w, which the caller notifies. Any thread. */
void weft__prio_put_home(struct worker *w, struct weft_task *t);

/* A look: has w any in own or home? In own, which others may take? Has the runtime? Never in a program that has no classes. */
bool weft__prio_here(struct worker *w);
uint32_t weft__prio_kept(struct worker *w);
bool weft__prio_anywhere(struct runtime *rt);

/* On w, at a schedule: the HIGH or LOW task whose turn it is; NULL: NORMAL's, or none is left. normal: has NORMAL anything for w? Sets w's countdown to when it is to be
 * asked again, if that is sooner than it is set to. */
struct weft_task *weft__prio_deal(struct worker *w, bool normal);

/* w is retired: what others may run of own goes to the runtime's queues. Returns how many; nobody is woken yet. Deal then takes from home alone. */
uint32_t weft__prio_hand_on(struct worker *w);

/* Half of what v has in its own queue, for w: the oldest is returned. */
struct weft_task *weft__prio_rob(struct worker *w, struct worker *v, enum prio_queue q);

#endif
