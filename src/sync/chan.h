/* SPDX-License-Identifier: MIT
 *
 * chan.h - the channel as the files of sync/ see it.
 *
 * One lock a channel guards all of it.  Invariants, whenever the lock is free and nothing is held:
 *   - recvq not empty: the channel is empty, and no live sender waits;
 *   - sendq not empty: the channel is full (or cap is 0), and no live receiver waits;
 *   - closed: both queues hold no live waiter.
 * A waiter in a queue may be dead: claimed elsewhere (deadline, cancel, another case of its select) and not yet taken off. Whoever
 * pops it finds out by the claim that fails.
 *
 *   chan.c         send, receive, close: the common cases
 *   chan_open.c    makes and frees channels of all kinds; what can be asked of them
 *   chan_blocks.c  storage without a bound
 *   chan_many.c    several elements a call
 *   chan_hold.c    elements in place: reserve and commit, peek and release
 *   chan_end.c     sending and receiving ends, one-shots
 *   chan_ring.c    one sender, one receiver: without the lock
 */
#ifndef WEFT_SYNC_CHAN_H
#define WEFT_SYNC_CHAN_H

#include "base/list.h"
#include "base/lock.h"
#include "core/wait.h"
#include "sync/chan_ring.h"
#include "weft/chan.h"
#include <string.h>

#define CHAN_NEVER_APART UINT32_MAX
#define CHAN_RETIRED 8 /* tasks that had a role before: how many are remembered */

enum chan_dir { CHAN_TX, CHAN_RX, CHAN_DIRS };

/* Who has a role, for debug builds. */
struct chan_role {
	ATOMIC(uint64_t) id; /* of the task; 0: nobody yet */
	ATOMIC(uint64_t) retired[CHAN_RETIRED];
	ATOMIC(uint32_t) turns;
};

struct chan_ring {
	struct chan_side side[CHAN_DIRS]; /* CHAN_TX: put; CHAN_RX: get */
	/* under the channel's lock */
	uint32_t calm;     /* operations in a row that did not wait, while together */
	uint32_t patience; /* so many, and the sides part */
	uint32_t settled;  /* so many more waits until they may part again; 0: they may; CHAN_NEVER_APART: the channel is special */
	uint32_t since;    /* count of the get side when they parted */
	uint64_t parted;   /* apart: elements received before that; statistics */
	struct chan_role role[CHAN_DIRS];
};

#define CHAN_NO_CAP UINT32_MAX /* cap of a channel without a bound */

enum chan_closed { CHAN_OPEN, CHAN_CLOSED, CHAN_BROKEN /* nobody is left who could receive */ };

/* Elements that somebody has in hand where they lie (chan_hold.c). */
#define CHAN_HELD_TAIL 1u /* the slot behind the newest is being filled */
#define CHAN_HELD_HEAD 2u /* the oldest is being read */

/* Elements of a channel without a bound (chan_blocks.c); under the channel's lock. */
struct chan_block {
	struct chan_block *next;
	CACHE_ALIGNED char slots[];
};

struct chan_blocks {
	struct chan_block *first, *last, *spare; /* the oldest element is in first, at the channel's head */
	uint32_t per;                            /* elements a block holds; constant */
	uint32_t tail;                           /* index of the next one in last; per: it is full */
	size_t max_bytes;                        /* of elements; 0: no limit. Constant */
	size_t block_bytes;                      /* constant */
};

/* What few channels have. */
struct chan_more {
	void (*dtor)(void *elem);
	void (*on_high)(weft_chan *c, size_t len, void *arg);
	void *arg;
	size_t high;       /* 0: no mark */
	bool above;        /* it was reached, and len has not been at half of it since; under the channel's lock */
	ATOMIC(bool) told; /* on_high is due: by whoever takes it away */
	bool strict;
	size_t mapped; /* bytes of a channel that has a mapping of its own, on a NUMA node; 0: it is of the heap */
	char name[32];
};

struct weft_chan {
	/* line 0: all that send and receive touch when nobody waits */
	struct lock lock; /* RANK_CHAN; guards all below but refs and ends */
	uint32_t cap;     /* elements it holds; constant */
	uint32_t len;     /* elements in it */
	uint32_t head;    /* index of the oldest */
	uint16_t elem;    /* bytes of an element; constant */
	/* 8 or 4: elem, and nothing is special about the channel now; 0: the general path; CHAN_SINGLE, CHAN_APART */
	ATOMIC(uint8_t) quick;
	uint8_t closed;    /* enum chan_closed */
	uint32_t most;     /* greatest len; statistics */
	uint64_t sent;     /* elements sent so far; statistics */
	struct list recvq; /* waiters with a slot to fill (NULL: element unwanted; CHAN_HOLD: wants it in place), oldest first */
	struct list sendq; /* waiters with a slot to take from (CHAN_HOLD: wants room in place), oldest first */
	/* line 1 */
	ATOMIC(uint32_t) refs;
	ATOMIC(uint32_t) ends[CHAN_DIRS]; /* weft_tx, weft_rx; of their references each holds one of refs */
	uint8_t held;                     /* CHAN_HELD_* */
	uint8_t mode;                     /* enum weft_chan_mode; constant */
	uint32_t waits[CHAN_DIRS];        /* calls that had to wait; statistics */
	struct chan_blocks *blocks;       /* no bound: where elements are. NULL: in buf. Constant */
	struct chan_more *more;           /* NULL: the plain sort. Constant */
	struct chan_ring *ring;           /* NULL: MPMC. Constant */
	int64_t holder[CHAN_DIRS];        /* who has what is held: a task's number, or that of a foreign thread, negative. For reports */
	CACHE_ALIGNED char buf[];
};

#ifndef WEFT_MODEL
_Static_assert(offsetof(struct weft_chan, refs) == CACHELINE, "what send and receive touch is one line");
_Static_assert(sizeof(struct weft_chan) <= 192, "a channel takes 192 bytes at most, and its buffer");
_Static_assert(sizeof(struct weft_chan) + sizeof(struct chan_ring) <= 768, "768 with sides of their own");
#endif

#if WEFT_CHAN_STATS
#define CHAN_COUNT(what) ((void)(what))
#else
#define CHAN_COUNT(what) ((void)sizeof(what))
#endif

/* Slot of a waiter that wants no copy (chan_hold.c). */
extern HIDDEN char weft__chan_hold[];
#define CHAN_HOLD ((void *)weft__chan_hold)

/* Copies an element. The sizes that channels of pointers and ints have become single moves. */
static inline void elem_copy(void *to, const void *from, size_t n)
{
	if (likely(n == 8))
		memcpy(to, from, 8);
	else if (n == 4)
		memcpy(to, from, 4);
	else if (n) /* elements of no size have no address */
		memcpy(to, from, n);
}

/* chan_ring.c; all but make and free with the channel locked. */
int weft__chan_ring_make(struct weft_chan *c);
void weft__chan_ring_free(struct chan_ring *r);
void weft__chan_join(struct weft_chan *c);                    /* the sides, which are apart, come together */
void weft__chan_calm(struct weft_chan *c, enum chan_dir dir); /* an operation did not wait: do they part? */
void weft__chan_waits(struct weft_chan *c);                   /* one has to wait */
uint32_t weft__chan_apart_len(struct weft_chan *c);           /* elements in it, as it stands */
/* The sides are apart and it was done; they are, and it would have to wait; they are not: nothing was done. */
enum chan_apart { CHAN_DONE, CHAN_NOT_NOW, CHAN_TOGETHER };

/* The sides are apart: then their owners have no need of the lock. */
static ALWAYS_INLINE bool chan_is_apart(struct weft_chan *c)
{
	return unlikely(load_relaxed(&c->quick) & CHAN_APART); /* a hint: chan_side_enter looks again */
}

/* Has just been locked. */
static ALWAYS_INLINE void chan_together(struct weft_chan *c)
{
	if (unlikely(load_relaxed(&c->quick) & CHAN_APART)) /* under the lock */
		weft__chan_join(c);
}

/* Is about to be unlocked, after an operation that did not wait. */
static ALWAYS_INLINE void chan_calm(struct weft_chan *c, enum chan_dir dir)
{
	if (unlikely(load_relaxed(&c->quick) & CHAN_SINGLE)) /* the same */
		weft__chan_calm(c, dir);
}

/* Locks c. Returns whether that is elided (base/solo.h): then all until chan_unlock is one section, and claims in it are plain. */
static ALWAYS_INLINE bool chan_lock(struct weft_chan *c)
{
	bool solo = solo_elides();

	if (!solo)
		lock_take(&c->lock, RANK_CHAN);
	chan_together(c);
	return solo;
}

static ALWAYS_INLINE void chan_unlock(struct weft_chan *c, bool solo)
{
	if (solo)
		solo_elided();
	else
		lock_drop(&c->lock);
}

/* The same for what has time: no section, claims are as ever. */
static inline void chan_take(struct weft_chan *c)
{
	lock_take_solo(&c->lock, RANK_CHAN);
	chan_together(c);
}

static inline void chan_drop(struct weft_chan *c)
{
	lock_drop_solo(&c->lock);
}

/* The oldest waiter of q that is still alive, claimed with `status` and off the queue; NULL: none. Channel locked. */
static ALWAYS_INLINE struct waiter *chan_claim(struct list *q, int status, bool solo)
{
	struct list_node *n;

	while ((n = q->head.next) != &q->head) {
		struct waiter *w = container_of(n, struct waiter, link);

		list_remove(n);
		if (likely(waiter_claim(w, status, solo)))
			return w;
	}
	return NULL;
}

/* --- storage; channel locked --- */

/* chan_blocks.c */
struct chan_blocks *weft__chan_blocks_make(size_t elem, size_t max_bytes);
void weft__chan_blocks_free(struct chan_blocks *b);
char *weft__chan_blocks_more(struct weft_chan *c, int *error); /* where the next element goes; NULL: *error says why there is no room */
void weft__chan_blocks_popped(struct weft_chan *c);            /* the first block, or the channel, is empty */

/* chan_open.c: the greatest length has been passed, or the mark. */
void weft__chan_note(struct weft_chan *c);
/* A send has done what it could, rc, and holds no lock: calls on_high if that is due; ends the program if the channel is closed and strict. Returns rc. */
int weft__chan_tell(struct weft_chan *c, int rc, const char *call);

/* more: c's, as it was before c was unlocked: a plain one may be gone since, freed by whoever has received the last element. */
static inline int chan_sent(struct weft_chan *c, const struct chan_more *more, int rc, const char *call)
{
	return likely(more == NULL) ? rc : weft__chan_tell(c, rc, call);
}

/* Which elements the quick paths may take: none while anything is special about the channel. */
static inline uint8_t chan_quick_of(const struct weft_chan *c)
{
	if (c->ring && c->ring->settled == 0)
		return CHAN_SINGLE;
#ifdef WEFT_DEBUG
	if (c->ring) /* the general path sees to the promise */
		return 0;
#endif
	return !c->blocks && !c->more && !c->held && (c->elem == 4 || c->elem == 8) ? (uint8_t)c->elem : 0;
}

/* Where the next element goes. There is room, unless it has no bound: then NULL and *error. */
static inline char *chan_tail(struct weft_chan *c, int *error)
{
	uint32_t at = c->head + c->len;

	if (unlikely(c->blocks != NULL)) {
		struct chan_blocks *b = c->blocks;

		if (unlikely(b->tail == b->per || b->max_bytes))
			return weft__chan_blocks_more(c, error);
		return b->last->slots + (size_t)b->tail * c->elem;
	}
	if (at >= c->cap)
		at -= c->cap;
	return c->buf + (size_t)at * c->elem;
}

/* The slot at the tail has been filled. */
static inline void chan_push(struct weft_chan *c)
{
	if (unlikely(c->blocks != NULL))
		c->blocks->tail++;
	c->len++;
	if (c->len > c->most || c->more)
		weft__chan_note(c);
}

/* The oldest element; there is one. */
static inline char *chan_head(struct weft_chan *c)
{
	return (unlikely(c->blocks != NULL) ? c->blocks->first->slots : c->buf) + (size_t)c->head * c->elem;
}

/* It has been taken. */
static inline void chan_pop(struct weft_chan *c)
{
	c->len--;
	if (unlikely(c->blocks != NULL)) {
		if (++c->head == c->blocks->per || !c->len)
			weft__chan_blocks_popped(c);
	} else if (++c->head == c->cap) {
		c->head = 0;
	}
}

/* 0, or why there was no room. */
static inline int chan_buf_put(struct weft_chan *c, const void *elem)
{
	int error = 0;
	char *slot = chan_tail(c, &error);

	if (unlikely(error))
		return error;
	elem_copy(slot, elem, c->elem);
	chan_push(c);
	CHAN_COUNT(c->sent++);
	return 0;
}

static inline void chan_buf_get(struct weft_chan *c, void *out)
{
	if (out)
		elem_copy(out, chan_head(c), c->elem);
	chan_pop(c);
}

/* The common case: an element of 4 or 8 bytes into the buffer, or out of it, and nobody to be woken. False: nothing was done. Channel locked. */
static ALWAYS_INLINE bool chan_quick_put(struct weft_chan *c, const void *elem)
{
	uint32_t at = c->head + c->len;

	if (unlikely(c->len >= c->cap || c->closed || !list_empty(&c->recvq)))
		return false;
	if (at >= c->cap)
		at -= c->cap;
	if (likely(load_relaxed(&c->quick) == 8)) /* under the lock */
		memcpy(c->buf + (size_t)at * 8, elem, 8);
	else if (load_relaxed(&c->quick) == 4) /* the same */
		memcpy(c->buf + (size_t)at * 4, elem, 4);
	else
		return false;
	c->len++;
	CHAN_COUNT(c->sent++);
	CHAN_COUNT(c->most = c->len > c->most ? c->len : c->most);
	return true;
}

static ALWAYS_INLINE bool chan_quick_get(struct weft_chan *c, void *out)
{
	uint32_t at = c->head;

	if (unlikely(!c->len || !out || !list_empty(&c->sendq)))
		return false;
	if (likely(load_relaxed(&c->quick) == 8)) /* under the lock */
		memcpy(out, c->buf + (size_t)at * 8, 8);
	else if (load_relaxed(&c->quick) == 4) /* the same */
		memcpy(out, c->buf + (size_t)at * 4, 4);
	else
		return false;
	c->head = at + 1 == c->cap ? 0 : at + 1;
	c->len--;
	return true;
}

/* Whether a try is worth it. False: it would have to wait. True: it would not, but for waiters that were claimed elsewhere, and for what is held. Channel
 * locked. */
static inline bool chan_looks_ready(struct weft_chan *c, bool send)
{
	if (unlikely(c->closed))
		return true;
	return send ? c->len < c->cap || !list_empty(&c->recvq) : c->len || !list_empty(&c->sendq);
}

/* What a send upon a closed channel is told. */
static inline int chan_closed_code(const struct weft_chan *c)
{
	return c->closed == CHAN_BROKEN ? WEFT_EPIPE : WEFT_ECLOSED;
}

/* chan.c: no more sends, for that reason. Returns 0, or WEFT_ECLOSED: it is closed already. */
int weft__chan_finish(struct weft_chan *c, enum chan_closed how);

/* It is closed and empty: receivers are told. Channel locked. */
void weft__chan_drained(struct weft_chan *c, struct ready_list *ready);

/* Debug builds: the caller sends, or receives; has it promised not to? Channel locked or not. */
#ifdef WEFT_DEBUG
void weft__chan_promise(struct weft_chan *c, enum chan_dir dir);
#else
static inline void weft__chan_promise(struct weft_chan *c, enum chan_dir dir)
{
	(void)c;
	(void)dir;
}
#endif

#define CHAN_WAIT 1 /* neither 0 nor an error: the operation would have to wait */

/* t has an end in hand. */
static inline void chan_held(struct weft_chan *c, unsigned end, const struct weft_task *t)
{
	c->held |= (uint8_t)end;
	c->holder[end == CHAN_HELD_TAIL ? CHAN_TX : CHAN_RX] = task_number(t);
	store_relaxed(&c->quick, chan_quick_of(c)); /* under the lock */
}

/* --- the sides apart; nothing locked. What quick says may be old: a task that is no owner has no business here then, either --- */

static ALWAYS_INLINE bool ring_put(struct weft_chan *c, const void *elem)
{
	struct chan_side *put = &c->ring->side[CHAN_TX];

	if (unlikely(!chan_side_room(put, &c->ring->side[CHAN_RX], c->cap)))
		return false;
	elem_copy(c->buf + (size_t)shared_get(&put->at) * c->elem, elem, c->elem);
	chan_side_step(put, c->cap);
	return true;
}

static ALWAYS_INLINE bool ring_get(struct weft_chan *c, void *out)
{
	struct chan_side *get = &c->ring->side[CHAN_RX];

	if (unlikely(!chan_side_filled(get, &c->ring->side[CHAN_TX])))
		return false;
	if (likely(out != NULL))
		elem_copy(out, c->buf + (size_t)shared_get(&get->at) * c->elem, c->elem);
	chan_side_step(get, c->cap);
	return true;
}

static ALWAYS_INLINE enum chan_apart chan_apart_send(struct worker *w, struct weft_chan *c, const void *elem)
{
	struct chan_side *put = &c->ring->side[CHAN_TX];
	bool done;

	weft__chan_promise(c, CHAN_TX);
	if (unlikely(!chan_side_enter(put, &c->quick, w)))
		return CHAN_TOGETHER;
	done = ring_put(c, elem);
	chan_side_leave(put);
	return likely(done) ? CHAN_DONE : CHAN_NOT_NOW;
}

static ALWAYS_INLINE enum chan_apart chan_apart_recv(struct worker *w, struct weft_chan *c, void *out)
{
	struct chan_side *get = &c->ring->side[CHAN_RX];
	bool done;

	weft__chan_promise(c, CHAN_RX);
	if (unlikely(!chan_side_enter(get, &c->quick, w)))
		return CHAN_TOGETHER;
	done = ring_get(c, out);
	chan_side_leave(get);
	return likely(done) ? CHAN_DONE : CHAN_NOT_NOW;
}

/* An element for a receiver that was claimed; the channel is empty. */
static inline void chan_hand_over(struct weft_chan *c, struct waiter *w, const void *elem)
{
	if (unlikely(w->slot == CHAN_HOLD)) {
		(void)chan_buf_put(c, elem); /* empty, there is always room */
		chan_held(c, CHAN_HELD_HEAD, w->task);
		return;
	}
	if (w->slot)
		elem_copy(w->slot, elem, c->elem);
	CHAN_COUNT(c->sent++);
}

/* The element of a sender that was claimed goes to the tail, where there is room. */
static inline void chan_take_over(struct weft_chan *c, struct waiter *w)
{
	if (unlikely(w->slot == CHAN_HOLD)) {
		chan_held(c, CHAN_HELD_TAIL, w->task);
		return;
	}
	w->status = (int16_t)chan_buf_put(c, w->slot); /* without a bound, who waited for the tail may find no room */
}

/* One attempt, channel locked: 0 done, an error, or CHAN_WAIT. *ready receives a task to be made runnable after unlocking, or NULL. */
static ALWAYS_INLINE int chan_do_send(struct weft_chan *c, const void *elem, struct weft_task **ready, bool solo)
{
	struct waiter *w;

	*ready = NULL;
	weft__chan_promise(c, CHAN_TX);
	if (unlikely(c->closed))
		return chan_closed_code(c);
	if (unlikely(c->held) && (c->held & CHAN_HELD_TAIL || c->len)) /* the one is at the tail; or those who wait, wait for the head */
		return c->held & CHAN_HELD_TAIL || c->len >= c->cap ? CHAN_WAIT : chan_buf_put(c, elem);
	if ((w = chan_claim(&c->recvq, 0, solo)) != NULL) {
		chan_hand_over(c, w, elem);
		*ready = w->task;
		return 0;
	}
	return likely(c->len < c->cap) ? chan_buf_put(c, elem) : CHAN_WAIT;
}

static ALWAYS_INLINE int chan_do_recv(struct weft_chan *c, void *out, struct weft_task **ready, bool solo)
{
	struct waiter *w;

	*ready = NULL;
	weft__chan_promise(c, CHAN_RX);
	if (unlikely(c->held & CHAN_HELD_HEAD))
		return CHAN_WAIT; /* the channel is not empty before it is released */
	if (c->len) {
		chan_buf_get(c, out);
		if (likely(!c->held) && (w = chan_claim(&c->sendq, 0, solo)) != NULL) { /* its element takes the room at the tail */
			chan_take_over(c, w);
			*ready = w->task;
		}
		return 0;
	}
	if (likely(!c->held) && (w = chan_claim(&c->sendq, 0, solo)) != NULL) { /* no buffer: from hand to hand */
		if (out)
			elem_copy(out, w->slot, c->elem);
		CHAN_COUNT(c->sent++);
		*ready = w->task;
		return 0;
	}
	if (unlikely(c->closed)) {
		if (out)
			memset(out, 0, c->elem);
		return WEFT_ECLOSED;
	}
	return CHAN_WAIT;
}

#endif
