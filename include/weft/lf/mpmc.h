/* SPDX-License-Identifier: MIT
 *
 * weft/lf/mpmc.h - a bounded queue of many producers and many consumers.
 *
 * WEFT_MPMC_DEFINE(name, T, cap)   struct name, a queue of exactly cap elements of type T, and:
 *
 *   void name_init(q)              before anybody else knows q
 *   bool name_push(q, v)           any thread; false: full, or the slot it needs is still being emptied
 *   bool name_pop(q, &v)           any thread; false: empty, or the oldest element is still being filled in
 *   bool name_push_alone(q, v)     the only producer there is: the same without a locked instruction
 *   bool name_pop_alone(q, &v)     the only consumer there is: likewise. Both together are a ring of one producer and one consumer that share no index: between
 *                                  two busy cores that are far apart it takes fewer cache lines than weft/lf/spsc.h, in one thread more instructions
 *   size_t name_len(q)             any thread; a hint
 *
 * weft_mpmc                        the same with the element's size and the capacity given to weft_mpmc_init, which allocates
 *
 *   tail, head   the next position to push to, to pop from; moved forward by compare-and-swap. A position is a slot's number in the low
 *                bits and the lap above them: counting on from the last slot goes to slot 0 of the next lap, so that any cap will do
 *   stamp        of a slot: p, it is free for the push at position p; p + 1, it holds what that push brought; p + lap, free for the next lap
 * Whoever moves tail (head) past a slot with the right stamp owns the slot until it stores the next stamp. lap is at least 2, so that the
 * three differ also when cap is 1.  Positions wrap at SIZE_MAX.
 *
 * Progress: no operation waits, and a failed compare-and-swap is another's success; but this is not a lock-free queue: a thread that is
 * stopped between its compare-and-swap and its stamp holds up those that come to its slot: pops find nothing behind an unfinished push, pushes
 * no room behind an unfinished pop, until it goes on.  FIFO by position.  Order: what came before a push is seen after the pop of its element.
 * Memory: all in struct name, the caller's; elements are copied.
 *
 * Source: Dmitry Vyukov, "Bounded MPMC queue" (1024cores.net).  Changed: any capacity, 1 too, by laps (as in crossbeam's ArrayQueue); ends
 * that only one thread uses; what is false is said at once, without looking at the other end.
 *
 * Models: test/model/mpmc.cpp.
 */
#ifndef WEFT_LF_MPMC_H
#define WEFT_LF_MPMC_H

#include "../error.h"
#include "atomic.h"
#include "memory.h"
#include <stddef.h>
#include <stdint.h>

typedef WEFT_ATOMIC(size_t) weft__mpmc_word;

/* The position after p. */
static inline size_t weft__mpmc_next(size_t p, size_t cap, size_t lap)
{
	return cap == lap || (p & (lap - 1)) + 1 < cap ? p + 1 : (p | (lap - 1)) + 1;
}

/* The stamp of p's slot, with which each begins. */
static inline weft__mpmc_word *weft__mpmc_slot(void *slots, size_t stride, size_t lap, size_t p)
{
	return (weft__mpmc_word *)(void *)((char *)slots + (p & (lap - 1)) * stride);
}

/* Claims a free slot: its stamp, and its position in *p. NULL: there is none. */
static inline weft__mpmc_word *weft__mpmc_free(weft__mpmc_word *tail, void *slots, size_t stride, size_t cap, size_t lap, size_t *p)
{
	*p = weft_load_relaxed(tail); /* checked by the compare-and-swap */
	for (;;) {
		weft__mpmc_word *stamp = weft__mpmc_slot(slots, stride, lap, *p);
		size_t s = weft_load_acquire(stamp); /* pairs with store_release(stamp) of a pop: it has read the slot */

		if (__builtin_expect(s == *p, 1)) {
			/* relaxed: what a slot holds is ordered by its stamp alone; a failure loads tail anew */
			if (__builtin_expect(weft_cas_relaxed(tail, p, weft__mpmc_next(*p, cap, lap)), 1))
				return stamp;
		} else if ((ptrdiff_t)(s - *p) < 0) {
			return NULL;
		} else {
			*p = weft_load_relaxed(tail); /* somebody else was faster */
		}
	}
}

/* Claims the oldest full slot likewise. */
static inline weft__mpmc_word *weft__mpmc_full(weft__mpmc_word *head, void *slots, size_t stride, size_t cap, size_t lap, size_t *p)
{
	*p = weft_load_relaxed(head); /* checked by the compare-and-swap */
	for (;;) {
		weft__mpmc_word *stamp = weft__mpmc_slot(slots, stride, lap, *p);
		size_t s = weft_load_acquire(stamp); /* pairs with store_release(stamp) of a push: the element */

		if (__builtin_expect(s == *p + 1, 1)) {
			if (__builtin_expect(weft_cas_relaxed(head, p, weft__mpmc_next(*p, cap, lap)), 1)) /* as in weft__mpmc_free */
				return stamp;
		} else if ((ptrdiff_t)(s - (*p + 1)) < 0) {
			return NULL;
		} else {
			*p = weft_load_relaxed(head); /* somebody else was faster */
		}
	}
}

static inline weft__mpmc_word *weft__mpmc_free_alone(weft__mpmc_word *tail, void *slots, size_t stride, size_t cap, size_t lap, size_t *p)
{
	size_t t = *p = weft_load_relaxed(tail); /* ours */
	weft__mpmc_word *stamp = weft__mpmc_slot(slots, stride, lap, t);

	if (weft_load_acquire(stamp) != t) /* pairs with store_release(stamp) of a pop: it has read the slot */
		return NULL;
	weft_store_relaxed(tail, weft__mpmc_next(t, cap, lap)); /* others only read it, as a hint */
	return stamp;
}

static inline weft__mpmc_word *weft__mpmc_full_alone(weft__mpmc_word *head, void *slots, size_t stride, size_t cap, size_t lap, size_t *p)
{
	size_t h = *p = weft_load_relaxed(head); /* ours */
	weft__mpmc_word *stamp = weft__mpmc_slot(slots, stride, lap, h);

	if (weft_load_acquire(stamp) != h + 1) /* pairs with store_release(stamp) of a push: the element */
		return NULL;
	weft_store_relaxed(head, weft__mpmc_next(h, cap, lap)); /* others only read it, as a hint */
	return stamp;
}

/* Positions start at p: 0, but in tests. */
static inline void weft__mpmc_start(weft__mpmc_word *tail, weft__mpmc_word *head, void *slots, size_t stride, size_t cap, size_t lap,
				    size_t p)
{
	size_t i;

	weft_store_relaxed(tail, p); /* not shared yet */
	weft_store_relaxed(head, p);
	for (i = 0; i < cap; i++, p = weft__mpmc_next(p, cap, lap))
		weft_store_relaxed(weft__mpmc_slot(slots, stride, lap, p), p);
}

/* A hint: the two are not read at once. */
static inline size_t weft__mpmc_len(weft__mpmc_word *tail, weft__mpmc_word *head, size_t cap, size_t lap)
{
	size_t h = weft_load_relaxed(head), t = weft_load_relaxed(tail);
	size_t laps = (t & ~(lap - 1)) - (h & ~(lap - 1));
	size_t n = (t & (lap - 1)) - (h & (lap - 1)) + (laps ? cap : 0);

	return (ptrdiff_t)(t - h) <= 0 ? 0 : n > cap ? cap : n;
}

#define WEFT_MPMC_DEFINE(name, T, cap)                                                                                                    \
	struct name##_slot {                                                                                                              \
		weft__mpmc_word stamp; /* says who owns value */                                                                          \
		WEFT_SHARED(T) value;                                                                                                     \
	};                                                                                                                                \
	struct name {                                                                                                                     \
		WEFT_LF_ALIGNED weft__mpmc_word tail; /* moved by producers */                                                            \
		WEFT_LF_ALIGNED weft__mpmc_word head; /* moved by consumers */                                                            \
		WEFT_LF_ALIGNED struct name##_slot slot[cap];                                                                             \
	};                                                                                                                                \
	WEFT_LF_FN void name##_init(struct name *q)                                                                                       \
	{                                                                                                                                 \
		weft__mpmc_start(&q->tail, &q->head, q->slot, sizeof(q->slot[0]), (cap), WEFT_LF_POW2(cap), 0);                           \
	}                                                                                                                                 \
	WEFT_LF_FN bool name##__put(struct name *q, weft__mpmc_word *stamp, size_t p, T v)                                                \
	{                                                                                                                                 \
		if (!stamp)                                                                                                               \
			return false;                                                                                                     \
		weft_shared_set(&q->slot[p & (WEFT_LF_POW2(cap) - 1)].value, v);                                                          \
		weft_store_release(stamp, p + 1); /* pairs with load_acquire(stamp) in weft__mpmc_full, weft__mpmc_full_alone */          \
		return true;                                                                                                              \
	}                                                                                                                                 \
	WEFT_LF_FN bool name##__get(struct name *q, weft__mpmc_word *stamp, size_t p, T *v)                                               \
	{                                                                                                                                 \
		if (!stamp)                                                                                                               \
			return false;                                                                                                     \
		*v = weft_shared_get(&q->slot[p & (WEFT_LF_POW2(cap) - 1)].value);                                                        \
		weft_store_release(stamp,                                                                                                 \
				   p + WEFT_LF_POW2(cap)); /* pairs with load_acquire(stamp) in weft__mpmc_free, weft__mpmc_free_alone */ \
		return true;                                                                                                              \
	}                                                                                                                                 \
	WEFT_LF_FN bool name##_push(struct name *q, T v)                                                                                  \
	{                                                                                                                                 \
		size_t p;                                                                                                                 \
		weft__mpmc_word *stamp = weft__mpmc_free(&q->tail, q->slot, sizeof(q->slot[0]), (cap), WEFT_LF_POW2(cap), &p);            \
                                                                                                                                          \
		return name##__put(q, stamp, p, v);                                                                                       \
	}                                                                                                                                 \
	WEFT_LF_FN bool name##_pop(struct name *q, T *v)                                                                                  \
	{                                                                                                                                 \
		size_t p;                                                                                                                 \
		weft__mpmc_word *stamp = weft__mpmc_full(&q->head, q->slot, sizeof(q->slot[0]), (cap), WEFT_LF_POW2(cap), &p);            \
                                                                                                                                          \
		return name##__get(q, stamp, p, v);                                                                                       \
	}                                                                                                                                 \
	WEFT_LF_FN bool name##_push_alone(struct name *q, T v)                                                                            \
	{                                                                                                                                 \
		size_t p;                                                                                                                 \
		weft__mpmc_word *stamp = weft__mpmc_free_alone(&q->tail, q->slot, sizeof(q->slot[0]), (cap), WEFT_LF_POW2(cap), &p);      \
                                                                                                                                          \
		return name##__put(q, stamp, p, v);                                                                                       \
	}                                                                                                                                 \
	WEFT_LF_FN bool name##_pop_alone(struct name *q, T *v)                                                                            \
	{                                                                                                                                 \
		size_t p;                                                                                                                 \
		weft__mpmc_word *stamp = weft__mpmc_full_alone(&q->head, q->slot, sizeof(q->slot[0]), (cap), WEFT_LF_POW2(cap), &p);      \
                                                                                                                                          \
		return name##__get(q, stamp, p, v);                                                                                       \
	}                                                                                                                                 \
	WEFT_LF_FN size_t name##_len(struct name *q)                                                                                      \
	{                                                                                                                                 \
		return weft__mpmc_len(&q->tail, &q->head, (cap), WEFT_LF_POW2(cap));                                                      \
	}                                                                                                                                 \
	typedef char name##_cap_is_positive[(cap) > 0 ? 1 : -1]

/* A queue whose sizes are known only when it is made. Private fields. */
typedef struct weft_mpmc {
	WEFT_LF_ALIGNED weft__mpmc_word tail; /* as above */
	WEFT_LF_ALIGNED weft__mpmc_word head;
	WEFT_LF_ALIGNED char *slots; /* these do not change */
	size_t elem, stride, cap, lap;
} weft_mpmc;

/* weft_mpmc_init - make q an empty queue of exactly cap elements of elem bytes, in memory of its own.
 *
 * Returns 0; WEFT_EINVAL (either is 0, or too much), WEFT_ENOMEM. Given back by weft_mpmc_destroy, when nobody uses q any more. */
static inline int weft_mpmc_init(weft_mpmc *q, size_t elem, size_t cap)
{
	size_t word = sizeof(weft__mpmc_word);

	if (elem == 0 || cap == 0 || cap > SIZE_MAX / 4 || elem > SIZE_MAX / 4 / cap - 2 * word)
		return WEFT_EINVAL;
	q->elem = elem;
	q->stride = word + (elem + word - 1) / word * word;
	q->cap = cap;
	q->lap = WEFT_LF_POW2(cap);
	q->slots = (char *)weft_lf_alloc(cap * q->stride);
	if (!q->slots)
		return WEFT_ENOMEM;
	weft__mpmc_start(&q->tail, &q->head, q->slots, q->stride, cap, q->lap, 0);
	return 0;
}

static inline void weft_mpmc_destroy(weft_mpmc *q)
{
	weft_lf_free(q->slots);
	q->slots = NULL;
}

/* Copies the element v in; false as from name_push. */
static inline bool weft_mpmc_push(weft_mpmc *q, const void *v)
{
	size_t p;
	weft__mpmc_word *stamp = weft__mpmc_free(&q->tail, q->slots, q->stride, q->cap, q->lap, &p);

	if (!stamp)
		return false;
	weft__lf_copy(stamp + 1, v, q->elem);
	weft_store_release(stamp, p + 1); /* pairs with load_acquire(stamp) in weft__mpmc_full */
	return true;
}

/* Copies the oldest element to v; false as from name_pop. */
static inline bool weft_mpmc_pop(weft_mpmc *q, void *v)
{
	size_t p;
	weft__mpmc_word *stamp = weft__mpmc_full(&q->head, q->slots, q->stride, q->cap, q->lap, &p);

	if (!stamp)
		return false;
	weft__lf_copy(v, stamp + 1, q->elem);
	weft_store_release(stamp, p + q->lap); /* pairs with load_acquire(stamp) in weft__mpmc_free */
	return true;
}

/* Any thread. A hint. */
static inline size_t weft_mpmc_len(weft_mpmc *q)
{
	return weft__mpmc_len(&q->tail, &q->head, q->cap, q->lap);
}

#endif
