/* SPDX-License-Identifier: MIT
 *
 * weft/lf/spsc.h - queues of one producer and one consumer: a bounded ring, and one without bound.
 *
 * WEFT_SPSC_DEFINE(name, T, cap)   struct name, a ring of exactly cap elements of type T, and:
 *
 *   void name_init(q)                           before anybody else knows q; zeroed memory is a valid empty ring too
 *   bool name_push(q, v)                        producer; false when full
 *   bool name_pop(q, &v)                        consumer; false when empty
 *   size_t name_push_n(q, v, n), name_pop_n(q, v, n)   as many of n as there is room for, or as there are, published at once
 *   size_t name_len(q)                          any thread; a hint
 *
 *   struct name_tx x = name_tx(q);              the producer's end, kept in a local variable: what is the producer's own stays in
 *   bool name_send(&x, v)                       registers, which is the fastest form. Push and send may take turns, but make
 *   struct name_rx y = name_rx(q);              a new end after a push (a pop); an end needs no closing.
 *   bool name_recv(&y, &v)
 *
 * weft_spsc                          the same with the element's size and the capacity given to weft_spsc_init, which allocates
 *
 * WEFT_SPSC_LIST_DEFINE(name, T, per)   struct name, a queue without bound, in segments of per elements (a power of two):
 *
 *   void name_init(q)                 as above, zeroed memory is not enough; name_destroy(q) gives the segments back, with no user left
 *   bool name_push(q, v)              producer; false: no memory
 *   bool name_pop(q, &v)              consumer; false when empty
 *   bool name_empty(q)                consumer
 *
 * The ring:
 *   tail   how many were ever pushed, stored by the producer; published by a release, after the element
 *   head   how many were ever popped, stored by the consumer; published by a release, after the element has been copied out
 *   room   the producer's own: tail may go so far; refreshed from head only when reached, so that the consumer's line is not read for
 *          each element; seen: the same of the consumer
 * Element i is in slot i modulo the smallest power of two that holds cap; more than cap are never in.  Counts wrap at SIZE_MAX.
 *
 * Progress: every operation of the ring is wait-free, without a locked instruction. The unbounded queue's are too, but for the allocator's:
 * push allocates one segment when one is full and none has come back; pop gives one back to the producer, else to the allocator.
 * Order: what came before a push is seen after the pop of its element.  Memory: the ring is all in struct name, the caller's; from the heap it is had by
 * weft_lf_new (lf/memory.h), for malloc does not align it to the cache lines it needs. Elements are copied.
 *
 * Source: Lamport, "Specifying Concurrent Program Modules" (1983) for the ring; Lee, Bu, Chandranmenon, "MCRingBuffer" (2010) for each side's
 * copy of the other's index.  Changed: published for every element, not in batches, so that nothing waits for company.  The unbounded
 * one is a list of such segments under one count, one used-up segment kept for the producer; a segment's link is published by the same store as
 * the element behind it.
 *
 * Models: test/model/spsc.cpp.
 */
#ifndef WEFT_LF_SPSC_H
#define WEFT_LF_SPSC_H

#include "../error.h"
#include "atomic.h"
#include "memory.h"
#include <stddef.h>
#include <stdint.h>

typedef WEFT_ATOMIC(size_t) weft__spsc_count;

/* How many of n there is room for behind t. *room may be older than t: an end has pushed since. */
static inline size_t weft__spsc_room(weft__spsc_count *head, size_t cap, size_t t, size_t *room, size_t n)
{
	if (__builtin_expect((ptrdiff_t)(*room - t) < (ptrdiff_t)n, 0)) {
		*room = weft_load_acquire(head) + cap; /* pairs with store_release(head): the slots we refill have been read */
		if (*room - t < n)
			return *room - t;
	}
	return n;
}

/* How many of n there are from h on; *seen likewise. */
static inline size_t weft__spsc_some(weft__spsc_count *tail, size_t h, size_t *seen, size_t n)
{
	if ((ptrdiff_t)(*seen - h) < (ptrdiff_t)n) {
		*seen = weft_load_acquire(tail); /* pairs with store_release(tail): the elements */
		if (*seen - h < n)
			return *seen - h;
	}
	return n;
}

/* A hint: the two counts are not read at once. */
static inline size_t weft__spsc_len(weft__spsc_count *head, weft__spsc_count *tail)
{
	size_t h = weft_load_relaxed(head); /* first: so it is not ahead of tail, where the processor keeps the order */
	size_t t = weft_load_relaxed(tail);

	return (ptrdiff_t)(t - h) < 0 ? 0 : t - h;
}

#define WEFT_SPSC_DEFINE(name, T, cap)                                                                                     \
	struct name {                                                                                                      \
		WEFT_LF_ALIGNED weft__spsc_count tail; /* how many were pushed; stored by the producer */                  \
		size_t room;                           /* the producer's own: how far tail may go, when it last looked */  \
		WEFT_LF_ALIGNED weft__spsc_count head; /* how many were popped; stored by the consumer */                  \
		size_t seen;                           /* the consumer's own: how far head may go, when it last looked */  \
		WEFT_LF_ALIGNED WEFT_SHARED(T) slot[WEFT_LF_POW2(cap)];                                                    \
	};                                                                                                                 \
	struct name##_tx {                                                                                                 \
		struct name *q;                                                                                            \
		size_t tail, room; /* from tail on there is room up to here */                                             \
	};                                                                                                                 \
	struct name##_rx {                                                                                                 \
		struct name *q;                                                                                            \
		size_t head, seen; /* from head on there are elements up to here */                                        \
	};                                                                                                                 \
	WEFT_LF_FN void name##_init(struct name *q)                                                                        \
	{                                                                                                                  \
		weft_store_relaxed(&q->tail, (size_t)0); /* not shared yet */                                              \
		weft_store_relaxed(&q->head, (size_t)0);                                                                   \
		q->room = q->seen = 0;                                                                                     \
	}                                                                                                                  \
	WEFT_LF_FN void name##__put(struct name *q, size_t t, T v)                                                         \
	{                                                                                                                  \
		weft_shared_set(&q->slot[t % WEFT_LF_POW2(cap)], v);                                                       \
		weft_store_release(&q->tail, t + 1); /* pairs with load_acquire(tail) in weft__spsc_some */                \
	}                                                                                                                  \
	WEFT_LF_FN void name##__get(struct name *q, size_t h, T *v)                                                        \
	{                                                                                                                  \
		*v = weft_shared_get(&q->slot[h % WEFT_LF_POW2(cap)]);                                                     \
		weft_store_release(&q->head, h + 1); /* pairs with load_acquire(head) in weft__spsc_room */                \
	}                                                                                                                  \
	WEFT_LF_FN bool name##_push(struct name *q, T v)                                                                   \
	{                                                                                                                  \
		size_t t = weft_load_relaxed(&q->tail); /* ours */                                                         \
                                                                                                                           \
		if (!weft__spsc_room(&q->head, (cap), t, &q->room, 1))                                                     \
			return false;                                                                                      \
		name##__put(q, t, v);                                                                                      \
		return true;                                                                                               \
	}                                                                                                                  \
	WEFT_LF_FN bool name##_pop(struct name *q, T *v)                                                                   \
	{                                                                                                                  \
		size_t h = weft_load_relaxed(&q->head); /* ours */                                                         \
                                                                                                                           \
		if (!weft__spsc_some(&q->tail, h, &q->seen, 1))                                                            \
			return false;                                                                                      \
		name##__get(q, h, v);                                                                                      \
		return true;                                                                                               \
	}                                                                                                                  \
	WEFT_LF_FN struct name##_tx name##_tx(struct name *q)                                                              \
	{                                                                                                                  \
		size_t t = weft_load_relaxed(&q->tail); /* ours */                                                         \
		struct name##_tx x = {q, t, t};                                                                            \
                                                                                                                           \
		return x;                                                                                                  \
	}                                                                                                                  \
	WEFT_LF_FN bool name##_send(struct name##_tx *x, T v)                                                              \
	{                                                                                                                  \
		if (__builtin_expect(x->tail == x->room, 0) && !weft__spsc_room(&x->q->head, (cap), x->tail, &x->room, 1)) \
			return false;                                                                                      \
		name##__put(x->q, x->tail++, v);                                                                           \
		return true;                                                                                               \
	}                                                                                                                  \
	WEFT_LF_FN struct name##_rx name##_rx(struct name *q)                                                              \
	{                                                                                                                  \
		size_t h = weft_load_relaxed(&q->head); /* ours */                                                         \
		struct name##_rx x = {q, h, h};                                                                            \
                                                                                                                           \
		return x;                                                                                                  \
	}                                                                                                                  \
	WEFT_LF_FN bool name##_recv(struct name##_rx *x, T *v)                                                             \
	{                                                                                                                  \
		if (x->head == x->seen && !weft__spsc_some(&x->q->tail, x->head, &x->seen, 1))                             \
			return false;                                                                                      \
		name##__get(x->q, x->head++, v);                                                                           \
		return true;                                                                                               \
	}                                                                                                                  \
	WEFT_LF_FN size_t name##_push_n(struct name *q, T const *v, size_t n)                                              \
	{                                                                                                                  \
		size_t t = weft_load_relaxed(&q->tail); /* ours */                                                         \
		size_t at = t % WEFT_LF_POW2(cap), first, i;                                                               \
                                                                                                                           \
		n = weft__spsc_room(&q->head, (cap), t, &q->room, n);                                                      \
		/* up to the end of the slots; the rest at their beginning */                                              \
		first = n < WEFT_LF_POW2(cap) - at ? n : WEFT_LF_POW2(cap) - at;                                           \
		for (i = 0; i < first; i++)                                                                                \
			weft_shared_set(&q->slot[at + i], v[i]);                                                           \
		for (; i < n; i++)                                                                                         \
			weft_shared_set(&q->slot[i - first], v[i]);                                                        \
		weft_store_release(&q->tail, t + n); /* pairs with load_acquire(tail) in weft__spsc_some */                \
		return n;                                                                                                  \
	}                                                                                                                  \
	WEFT_LF_FN size_t name##_pop_n(struct name *q, T *v, size_t n)                                                     \
	{                                                                                                                  \
		size_t h = weft_load_relaxed(&q->head); /* ours */                                                         \
		size_t at = h % WEFT_LF_POW2(cap), first, i;                                                               \
                                                                                                                           \
		n = weft__spsc_some(&q->tail, h, &q->seen, n);                                                             \
		first = n < WEFT_LF_POW2(cap) - at ? n : WEFT_LF_POW2(cap) - at;                                           \
		for (i = 0; i < first; i++)                                                                                \
			v[i] = weft_shared_get(&q->slot[at + i]);                                                          \
		for (; i < n; i++)                                                                                         \
			v[i] = weft_shared_get(&q->slot[i - first]);                                                       \
		weft_store_release(&q->head, h + n); /* pairs with load_acquire(head) in weft__spsc_room */                \
		return n;                                                                                                  \
	}                                                                                                                  \
	WEFT_LF_FN size_t name##_len(struct name *q)                                                                       \
	{                                                                                                                  \
		return weft__spsc_len(&q->head, &q->tail);                                                                 \
	}                                                                                                                  \
	typedef char name##_cap_is_positive[(cap) > 0 ? 1 : -1]

/* A ring whose sizes are known only when it is made. Private fields. */
typedef struct weft_spsc {
	WEFT_LF_ALIGNED weft__spsc_count tail; /* as above */
	size_t room;
	WEFT_LF_ALIGNED weft__spsc_count head;
	size_t seen;
	WEFT_LF_ALIGNED char *buf; /* these do not change */
	size_t elem, cap, mask;
} weft_spsc;

/* weft_spsc_init - make q an empty ring of exactly cap elements of elem bytes, in memory of its own.
 *
 * Returns 0; WEFT_EINVAL (either is 0, or too much), WEFT_ENOMEM. Given back by weft_spsc_destroy, when nobody uses q any more. */
static inline int weft_spsc_init(weft_spsc *q, size_t elem, size_t cap)
{
	size_t slots = cap ? WEFT_LF_POW2(cap) : 0;

	if (elem == 0 || cap == 0 || cap > SIZE_MAX / 4 || slots > SIZE_MAX / 4 / elem)
		return WEFT_EINVAL;
	q->buf = (char *)weft_lf_alloc(slots * elem);
	if (!q->buf)
		return WEFT_ENOMEM;
	q->elem = elem;
	q->cap = cap;
	q->mask = slots - 1;
	weft_store_relaxed(&q->tail, (size_t)0); /* not shared yet */
	weft_store_relaxed(&q->head, (size_t)0);
	q->room = q->seen = 0;
	return 0;
}

static inline void weft_spsc_destroy(weft_spsc *q)
{
	weft_lf_free(q->buf);
	q->buf = NULL;
}

/* Producer. Copies up to n elements in, returns how many. */
static inline size_t weft_spsc_push_n(weft_spsc *q, const void *v, size_t n)
{
	size_t t = weft_load_relaxed(&q->tail); /* ours */
	size_t at = t & q->mask, first;

	n = weft__spsc_room(&q->head, q->cap, t, &q->room, n);
	first = n < q->mask + 1 - at ? n : q->mask + 1 - at; /* up to the end of the buffer; the rest at its beginning */
	memcpy(q->buf + at * q->elem, v, first * q->elem);
	memcpy(q->buf, (const char *)v + first * q->elem, (n - first) * q->elem);
	weft_store_release(&q->tail, t + n); /* pairs with load_acquire(tail) in weft__spsc_some */
	return n;
}

/* Consumer. Copies up to n elements out, returns how many. */
static inline size_t weft_spsc_pop_n(weft_spsc *q, void *v, size_t n)
{
	size_t h = weft_load_relaxed(&q->head); /* ours */
	size_t at = h & q->mask, first;

	n = weft__spsc_some(&q->tail, h, &q->seen, n);
	first = n < q->mask + 1 - at ? n : q->mask + 1 - at;
	memcpy(v, q->buf + at * q->elem, first * q->elem);
	memcpy((char *)v + first * q->elem, q->buf, (n - first) * q->elem);
	weft_store_release(&q->head, h + n); /* pairs with load_acquire(head) in weft__spsc_room */
	return n;
}

/* Producer. Copies the element v in; false when full. */
static inline bool weft_spsc_push(weft_spsc *q, const void *v)
{
	size_t t = weft_load_relaxed(&q->tail); /* ours */

	if (!weft__spsc_room(&q->head, q->cap, t, &q->room, 1))
		return false;
	weft__lf_copy(q->buf + (t & q->mask) * q->elem, v, q->elem);
	weft_store_release(&q->tail, t + 1); /* pairs with load_acquire(tail) in weft__spsc_some */
	return true;
}

/* Consumer. Copies the oldest element to v; false when empty. */
static inline bool weft_spsc_pop(weft_spsc *q, void *v)
{
	size_t h = weft_load_relaxed(&q->head); /* ours */

	if (!weft__spsc_some(&q->tail, h, &q->seen, 1))
		return false;
	weft__lf_copy(v, q->buf + (h & q->mask) * q->elem, q->elem);
	weft_store_release(&q->head, h + 1); /* pairs with load_acquire(head) in weft__spsc_room */
	return true;
}

/* Any thread. A hint. */
static inline size_t weft_spsc_len(weft_spsc *q)
{
	return weft__spsc_len(&q->head, &q->tail);
}

#define WEFT_SPSC_LIST_DEFINE(name, T, per)                                                                                         \
	struct name##_seg {                                                                                                         \
		WEFT_SHARED(struct name##_seg *) next; /* valid once the first element of the next segment is published */          \
		WEFT_SHARED(T) value[per];                                                                                          \
	};                                                                                                                          \
	struct name {                                                                                                               \
		WEFT_LF_ALIGNED weft__spsc_count tail; /* how many were pushed; stored by the producer */                           \
		struct name##_seg *fill;               /* the producer's own: where it fills */                                     \
		WEFT_LF_ALIGNED size_t head,                                                                                        \
			seen;             /* the consumer's own: how many were popped; how many were pushed, when it last looked */ \
		struct name##_seg *drain; /* the consumer's own: where it takes; NULL: nothing was popped yet */                    \
		WEFT_SHARED(struct name##_seg *) first; /* published as name_seg.next is; read once */                              \
		/* a used-up segment for the producer, or NULL; a line of its own, touched once a segment */                        \
		WEFT_LF_ALIGNED WEFT_ATOMIC(struct name##_seg *) spare;                                                             \
	};                                                                                                                          \
	WEFT_LF_FN void name##_init(struct name *q)                                                                                 \
	{                                                                                                                           \
		weft_store_relaxed(&q->tail, (size_t)0); /* not shared yet */                                                       \
		weft_store_relaxed(&q->spare, (struct name##_seg *)NULL);                                                           \
		q->head = q->seen = 0;                                                                                              \
		q->fill = q->drain = NULL;                                                                                          \
	}                                                                                                                           \
	WEFT_LF_SLOW bool name##__grow(struct name *q)                                                                              \
	{                                                                                                                           \
		/* pairs with swap_release(spare): the consumer has read all in it */                                               \
		struct name##_seg *s = weft_swap_acquire(&q->spare, (struct name##_seg *)NULL);                                     \
                                                                                                                                    \
		if (!s)                                                                                                             \
			s = weft_lf_new(struct name##_seg);                                                                         \
		if (!s)                                                                                                             \
			return false;                                                                                               \
		/* published with the first element in it */                                                                        \
		if (q->fill)                                                                                                        \
			weft_shared_set(&q->fill->next, s);                                                                         \
		else                                                                                                                \
			weft_shared_set(&q->first, s);                                                                              \
		q->fill = s;                                                                                                        \
		return true;                                                                                                        \
	}                                                                                                                           \
	WEFT_LF_SLOW void name##__advance(struct name *q)                                                                           \
	{                                                                                                                           \
		struct name##_seg *old = q->drain;                                                                                  \
                                                                                                                                    \
		q->drain = old ? weft_shared_get(&old->next) : weft_shared_get(&q->first);                                          \
		if (!old)                                                                                                           \
			return;                                                                                                     \
		old = weft_swap_release(&q->spare, old); /* pairs with swap_acquire(spare); what comes out was put there by us */   \
		weft_lf_free(old);                                                                                                  \
	}                                                                                                                           \
	WEFT_LF_FN bool name##_push(struct name *q, T v)                                                                            \
	{                                                                                                                           \
		size_t t = weft_load_relaxed(&q->tail); /* ours */                                                                  \
                                                                                                                                    \
		if (__builtin_expect(t % (per) == 0, 0) && !name##__grow(q))                                                        \
			return false;                                                                                               \
		weft_shared_set(&q->fill->value[t % (per)], v);                                                                     \
		weft_store_release(&q->tail, t + 1); /* pairs with load_acquire(tail) in weft__spsc_some */                         \
		return true;                                                                                                        \
	}                                                                                                                           \
	WEFT_LF_FN bool name##_empty(struct name *q)                                                                                \
	{                                                                                                                           \
		return !weft__spsc_some(&q->tail, q->head, &q->seen, 1);                                                            \
	}                                                                                                                           \
	WEFT_LF_FN bool name##_pop(struct name *q, T *v)                                                                            \
	{                                                                                                                           \
		size_t h = q->head;                                                                                                 \
                                                                                                                                    \
		if (name##_empty(q))                                                                                                \
			return false;                                                                                               \
		if (__builtin_expect(h % (per) == 0, 0))                                                                            \
			name##__advance(q);                                                                                         \
		*v = weft_shared_get(&q->drain->value[h % (per)]);                                                                  \
		q->head = h + 1;                                                                                                    \
		return true;                                                                                                        \
	}                                                                                                                           \
	WEFT_LF_FN void name##_destroy(struct name *q)                                                                              \
	{                                                                                                                           \
		struct name##_seg *s = weft_load_relaxed(&q->spare), *next; /* nobody else is there any more */                     \
                                                                                                                                    \
		weft_lf_free(s);                                                                                                    \
		for (s = q->drain || !q->fill ? q->drain : weft_shared_get(&q->first); s; s = next) {                               \
			next = s == q->fill ? NULL : weft_shared_get(&s->next);                                                     \
			weft_lf_free(s);                                                                                            \
		}                                                                                                                   \
		name##_init(q);                                                                                                     \
	}                                                                                                                           \
	typedef char name##_per_is_a_power_of_two[(per) > 0 && ((per) & ((per)-1)) == 0 ? 1 : -1]

#endif
