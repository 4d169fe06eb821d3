/* SPDX-License-Identifier: MIT
 *
 * weft/lf/stack.h - intrusive stacks for any number of threads: Treiber's, and the same with elimination for when many push and pop at once.
 *
 *   struct weft_stack    one word: the top node and a tag that counts pushes
 *   struct weft_estack   such a stack and an array in which a push and a pop that are in each other's way meet and cancel out
 *
 * Progress: every operation of both is lock-free (a failed compare-and-swap is another's success, and waits are bounded); none is wait-free.
 * Threads: any, in any role. Tasks as well: nothing is kept by thread.
 *
 * Memory: the node is a member of the element, aligned to 8. A stack allocates nothing and owns nothing. But nodes must stay readable memory while anyone
 * uses the stack, also after they came out: a pop that is held up reads `next` of a node that others may have popped and pushed again.
 * Its compare-and-swap fails then, so it does not matter what it read (but for the tag's limit: tagged.h). So elements come from an array, a slab
 * or a free list that is given back after the last user is gone; they are not freed one by one. Apart from `next`, an element is its popper's alone.
 *
 * Source: R. K. Treiber, "Systems Programming: Coping with Parallelism" (IBM RJ 5118, 1986). Changed: the tag shares a word with the pointer and counts pushes
 * only: between two states of a stack with the same top there is a push, so pops need not count.
 * Elimination: D. Hendler, N. Shavit, L. Yerushalmi, "A scalable lock-free stack algorithm" (SPAA 2004). Changed: threads do not publish records in an
 * array by thread and collide by id: an offer is made in a slot itself, a push's node or a pop's wish, and whoever comes with the opposite takes it or
 * fulfils it by one compare-and-swap. So nothing is kept by thread, and green threads may migrate. Width and patience start small in every operation and
 * double as it goes on, instead of being learned by thread.
 *
 * Model: test/model/stack.cpp.
 */
#ifndef WEFT_LF_STACK_H
#define WEFT_LF_STACK_H

#include "atomic.h"
#include "backoff.h"
#include "tagged.h"
#include <stddef.h>
#include <stdint.h>

struct weft_stack_node {
	WEFT_ATOMIC(struct weft_stack_node *) next; /* the node below; written by whoever is pushing this one */
};

/* --- Treiber's stack -------------------------------------------------------------------------------------------------------- */

struct weft_stack {
	WEFT_LF_ALIGNED WEFT_ATOMIC(uint64_t) top; /* weft_tagged: node, number of pushes; changed by compare-and-swap only */
};

/* No other thread knows s yet. Zeroed memory is a valid empty stack too. */
static inline void weft_stack_init(struct weft_stack *s)
{
	weft_store_relaxed(&s->top, (uint64_t)0); /* not shared yet */
}

/* A hint, while others push and pop. */
static inline bool weft_stack_empty(struct weft_stack *s)
{
	return weft_tagged_ptr(weft_load_relaxed(&s->top)) == NULL; /* a hint */
}

/* One attempt to push; false: somebody else changed the stack just now. */
static inline bool weft_stack_try_push(struct weft_stack *s, struct weft_stack_node *n)
{
	uint64_t top = weft_load_relaxed(&s->top); /* checked by the compare-and-swap; the node there is not looked into */

	weft_store_relaxed(&n->next, (struct weft_stack_node *)weft_tagged_ptr(top)); /* made visible by the next line */
	/* n and its element; pairs with load_acquire in weft_stack_try_pop and weft_stack_pop_all. The tag tells a late pop that n was away. */
	return weft_cas_release(&s->top, &top, weft_tagged(n, weft_tagged_tag(top) + 1));
}

/* n belongs to the stack from here on. */
static inline void weft_stack_push(struct weft_stack *s, struct weft_stack_node *n)
{
	while (!weft_stack_try_push(s, n))
		weft_cpu_relax();
}

/* One attempt to pop: true with the top node, or with NULL from an empty stack; false: somebody else changed it just now. */
static inline bool weft_stack_try_pop(struct weft_stack *s, struct weft_stack_node **out)
{
	/* pairs with cas_release in weft_stack_try_push: whatever has been pushed, as every change of top continues that release */
	uint64_t top = weft_load_acquire(&s->top);
	struct weft_stack_node *n = (struct weft_stack_node *)weft_tagged_ptr(top), *next;

	*out = n;
	if (!n)
		return true;
	next = weft_load_relaxed(&n->next); /* as pushed, by the acquire; or n is pushed again meanwhile, and the tag differs */
	/* relaxed: what n holds was acquired above, and those who pop next need nothing of ours */
	return weft_cas_relaxed(&s->top, &top, weft_tagged(next, weft_tagged_tag(top)));
}

/* The node pushed last, or NULL. It is the caller's then. */
static inline struct weft_stack_node *weft_stack_pop(struct weft_stack *s)
{
	struct weft_stack_node *n;

	while (!weft_stack_try_pop(s, &n))
		weft_cpu_relax();
	return n;
}

/* All nodes at once, the one pushed last first; NULL: none. weft_stack_next leads from each to the next. */
static inline struct weft_stack_node *weft_stack_pop_all(struct weft_stack *s)
{
	for (;;) {
		uint64_t top = weft_load_acquire(&s->top); /* as in weft_stack_try_pop */

		if (!weft_tagged_ptr(top))
			return NULL;
		/* not a swap: the tag must go on counting; relaxed as in weft_stack_try_pop */
		if (weft_cas_relaxed(&s->top, &top, weft_tagged(NULL, weft_tagged_tag(top))))
			return (struct weft_stack_node *)weft_tagged_ptr(top);
	}
}

/* The node below n among those that weft_stack_pop_all returned; look before n is given away. */
static inline struct weft_stack_node *weft_stack_next(struct weft_stack_node *n)
{
	return weft_load_relaxed(&n->next); /* the caller's own by now */
}

/* --- With elimination ------------------------------------------------------------------------------------------------------- */

#ifndef WEFT_ESTACK_SLOTS
#define WEFT_ESTACK_SLOTS 8 /* where push and pop meet; a power of two, the same in all files of a program */
#endif
#ifndef WEFT_ESTACK_SPINS
#define WEFT_ESTACK_SPINS 32      /* how long an offer stands at first ... */
#define WEFT_ESTACK_SPINS_MAX 512 /* ... and at most */
#endif

/* A slot's word is a weft_tagged word whose tag holds what the slot is (its two low bits) and how often it was offered (the other 17).
 *
 *   FREE -> OFFER      a push offers its node          OFFER -> FREE   a pop takes the node; or the push withdraws it
 *   FREE -> WISH       a pop waits for a node          WISH  -> GIVEN  a push leaves its node
 *   GIVEN -> FREE      the pop that waited takes it    WISH  -> FREE   that pop gives up
 *
 * FREE -> OFFER and FREE -> WISH count. A push that comes back to its OFFER finds it as it was, unless somebody took the node: should the same node
 * be offered there again, its count differs (but for 2^17 offers meanwhile; tagged.h).
 */
enum weft_estack_state {
	WEFT_ESTACK_FREE,
	WEFT_ESTACK_OFFER,
	WEFT_ESTACK_WISH,
	WEFT_ESTACK_GIVEN,
};

struct weft_estack_slot {
	WEFT_LF_ALIGNED WEFT_ATOMIC(uint64_t) word;
	WEFT_ATOMIC(uint64_t) met; /* pushes and pops that met here, in pairs; statistics, counted by those who find somebody waiting */
};

struct weft_estack {
	struct weft_stack stack;
	struct weft_estack_slot slot[WEFT_ESTACK_SLOTS];
};

/* No other thread knows s yet. Zeroed memory is a valid empty stack too. */
static inline void weft_estack_init(struct weft_estack *s)
{
	size_t i;

	weft_stack_init(&s->stack);
	for (i = 0; i < WEFT_ESTACK_SLOTS; i++) {
		weft_store_relaxed(&s->slot[i].word, (uint64_t)0); /* not shared yet */
		weft_store_relaxed(&s->slot[i].met, (uint64_t)0);
	}
}

/* A hint, while others push and pop. */
static inline bool weft_estack_empty(struct weft_estack *s)
{
	return weft_stack_empty(&s->stack);
}

/* How many pairs have met instead of using the stack. Statistics: may be stale. */
static inline uint64_t weft_estack_met(struct weft_estack *s)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < WEFT_ESTACK_SLOTS; i++)
		n += weft_load_relaxed(&s->slot[i].met); /* statistics */
	return n;
}

static inline uint64_t weft__estack_word(const void *n, uint64_t count, enum weft_estack_state state)
{
	return weft_tagged(n, count << 2 | (uint64_t)state);
}

static inline enum weft_estack_state weft__estack_state(uint64_t word)
{
	return (enum weft_estack_state)(word & 3);
}

static inline uint64_t weft__estack_count(uint64_t word)
{
	return weft_tagged_tag(word) >> 2;
}

/* What one operation knows about where and how long to wait. */
struct weft__estack_try {
	uint64_t random;
	unsigned width; /* slots it chooses from: doubles when it finds one in use by its own kind */
	unsigned spins; /* patience: doubles with each visit */
};

static inline void weft__estack_begin(struct weft__estack_try *t)
{
	t->random = (uint64_t)(uintptr_t)t; /* a stack's address: another one for each thread and task */
	t->width = 1;
	t->spins = WEFT_ESTACK_SPINS;
}

static inline struct weft_estack_slot *weft__estack_choose(struct weft_estack *s, struct weft__estack_try *t)
{
	t->random = t->random * 6364136223846793005u + 1442695040888963407u; /* Knuth's linear congruence; its high bits are good */
	return &s->slot[(t->random >> 33) & (t->width - 1)];
}

static inline void weft__estack_crowded(struct weft__estack_try *t)
{
	if (t->width < WEFT_ESTACK_SLOTS)
		t->width *= 2;
}

/* Waits until the slot's word is no longer `mine`, or patience is over. */
static inline void weft__estack_wait(struct weft_estack_slot *slot, uint64_t mine, struct weft__estack_try *t)
{
	unsigned i;

	for (i = 0; i < t->spins && weft_load_relaxed(&slot->word) == mine; i++) /* only a hint: the caller's next step looks again */
		weft_cpu_relax();
	if (t->spins < WEFT_ESTACK_SPINS_MAX)
		t->spins *= 2;
}

/* True: a pop has got n. False: none came; n is still the caller's. */
static inline bool weft__estack_give(struct weft_estack *s, struct weft_stack_node *n, struct weft__estack_try *t)
{
	struct weft_estack_slot *slot = weft__estack_choose(s, t);
	uint64_t word = weft_load_relaxed(&slot->word); /* checked by the compare-and-swaps */
	uint64_t mine;

	switch (weft__estack_state(word)) {
	case WEFT_ESTACK_WISH:
		/* n and its element; pairs with load_acquire in weft__estack_take */
		if (!weft_cas_release(&slot->word, &word, weft__estack_word(n, weft__estack_count(word), WEFT_ESTACK_GIVEN)))
			return false;
		weft_add_relaxed(&slot->met, (uint64_t)1); /* statistics */
		return true;
	case WEFT_ESTACK_FREE:
		mine = weft__estack_word(n, weft__estack_count(word) + 1, WEFT_ESTACK_OFFER);
		/* n and its element; pairs with cas_acquire in weft__estack_take */
		if (!weft_cas_release(&slot->word, &word, mine))
			return false;
		weft__estack_wait(slot, mine, t);
		word = mine;
		/* if it fails, a pop has taken n, and nothing of its doing concerns us: relaxed */
		return !weft_cas_relaxed(&slot->word, &word, weft__estack_word(NULL, weft__estack_count(mine), WEFT_ESTACK_FREE));
	default:
		weft__estack_crowded(t);
		return false;
	}
}

/* A node that a push had in its hands, or NULL: none came. */
static inline struct weft_stack_node *weft__estack_take(struct weft_estack *s, struct weft__estack_try *t)
{
	struct weft_estack_slot *slot = weft__estack_choose(s, t);
	uint64_t word = weft_load_relaxed(&slot->word); /* checked by the compare-and-swaps */
	uint64_t mine, was;

	switch (weft__estack_state(word)) {
	case WEFT_ESTACK_OFFER:
		was = word;
		/* pairs with cas_release of the offer in weft__estack_give */
		if (!weft_cas_acquire(&slot->word, &word, weft__estack_word(NULL, weft__estack_count(word), WEFT_ESTACK_FREE)))
			return NULL;
		weft_add_relaxed(&slot->met, (uint64_t)1); /* statistics */
		return (struct weft_stack_node *)weft_tagged_ptr(was);
	case WEFT_ESTACK_FREE:
		mine = weft__estack_word(NULL, weft__estack_count(word) + 1, WEFT_ESTACK_WISH);
		if (!weft_cas_relaxed(&slot->word, &word, mine)) /* a wish says nothing but itself */
			return NULL;
		weft__estack_wait(slot, mine, t);
		word = weft_load_acquire(&slot->word); /* pairs with cas_release of GIVEN in weft__estack_give */
		if (word == mine) {
			was = weft__estack_word(NULL, weft__estack_count(mine), WEFT_ESTACK_FREE);
			if (weft_cas_relaxed(&slot->word, &word, was)) /* a wish taken back */
				return NULL;
			word = weft_load_acquire(&slot->word); /* fulfilled at the last moment; pairs as above */
		}
		/* GIVEN: only we may change it. What the push did was acquired, and those who come next need nothing of ours. */
		weft_store_relaxed(&slot->word, weft__estack_word(NULL, weft__estack_count(mine), WEFT_ESTACK_FREE));
		return (struct weft_stack_node *)weft_tagged_ptr(word);
	default:
		weft__estack_crowded(t);
		return NULL;
	}
}

/* n belongs to the stack, or to a pop, from here on. */
static inline void weft_estack_push(struct weft_estack *s, struct weft_stack_node *n)
{
	struct weft__estack_try t;

	if (__builtin_expect(weft_stack_try_push(&s->stack, n), 1))
		return;
	weft__estack_begin(&t);
	do {
		if (weft__estack_give(s, n, &t))
			return;
	} while (!weft_stack_try_push(&s->stack, n));
}

/* The node pushed last, or NULL: the stack was empty at some moment during the call. */
static inline struct weft_stack_node *weft_estack_pop(struct weft_estack *s)
{
	struct weft__estack_try t;
	struct weft_stack_node *n;

	if (__builtin_expect(weft_stack_try_pop(&s->stack, &n), 1))
		return n;
	weft__estack_begin(&t);
	do {
		n = weft__estack_take(s, &t);
		if (n)
			return n;
	} while (!weft_stack_try_pop(&s->stack, &n));
	return n;
}

/* All nodes in the stack; those that meet elsewhere just then are not among them. As weft_stack_pop_all. */
static inline struct weft_stack_node *weft_estack_pop_all(struct weft_estack *s)
{
	return weft_stack_pop_all(&s->stack);
}

#endif
