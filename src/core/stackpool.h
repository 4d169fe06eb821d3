/* SPDX-License-Identifier: MIT
 *
 * stackpool.h - the pool of stacks as stack.c, which gives and takes, and stack_decay.c, which gives memory back, see it. What its parts are for is said in stack.c.
 */
#ifndef WEFT_CORE_STACKPOOL_H
#define WEFT_CORE_STACKPOOL_H

#include "base/atomic.h"
#include "base/lock.h"
#include "core/node.h"
#include "core/stack.h"
#include <unistd.h>

#define CLASS_MIN 17 /* log2 of the smallest slot: a guard and as much stack again */
#define CLASS_MAX 31
#define CLASS_DEFAULT 18
#define CLASSES (CLASS_MAX - CLASS_MIN + 1)

#define BUCKETS 8 /* slabs with cold slots, by how full they are */
#define BATCH 64  /* stacks a decay moves while it holds the lock */

_Static_assert(STACK_DEFAULT + STACK_GUARD == 1 << CLASS_DEFAULT, "the default slot is a power of two");
_Static_assert(STACK_MIN + STACK_GUARD <= 1 << CLASS_MIN && STACK_MAX + STACK_GUARD <= 1LL << CLASS_MAX, "classes cover all sizes");
_Static_assert(STACK_SLAB_SLOTS <= 64, "slots of a slab are bits of a word");
_Static_assert(STACK_CACHE / 2 + 1 <= BATCH, "a refill is one batch");

/* All under the pool's lock but what is constant while the slab is mapped. */
struct stack_slab {
	struct list_node link;       /* in a bucket, while it has cold slots */
	struct list_node sweep;      /* in the pool's sweep list: it has dirty slots, or nothing but cold ones */
	char *base;                  /* constant */
	uint64_t cold;               /* slots that are free, without pages, or with pages that nobody misses (dirty) */
	uint64_t dirty;              /* those among the cold that may still have pages */
	uint64_t out;                /* slots in use */
	uint64_t guarded;            /* slots that have their guard */
	ATOMIC(uint64_t) mprotected; /* those of them that spent budget for it; its task may look at its bit without the lock */
	uint32_t number;             /* of its block; constant */
	uint8_t class;               /* log2 of the slot size; constant */
	uint8_t slots;               /* constant */
	uint8_t kind;                /* enum stack_guard_kind that the next guard is tried with */
	uint8_t node;                /* whose memory it is meant to have (core/node.h); constant */
	struct stack stack[STACK_SLAB_SLOTS];
};

struct class
{
	struct list hot, idle;
	size_t nhot, nidle;          /* lengths */
	size_t hot_low, idle_low;    /* shortest lengths in this interval */
	size_t hot_move, idle_move;  /* what was not needed in the last interval and is still to be moved */
	struct list bucket[BUCKETS]; /* slabs with cold slots; [0] the fullest */
};

struct stack_pool {
	struct lock lock;                          /* RANK_POOL; guards the rest */
	struct class classes[NODES_MAX * CLASSES]; /* node by node; zeroed lists are empty lists */
	/* those of nodes up to the highest that has ever had a slab; written under lock, relaxed: what is behind it is read under lock */
	ATOMIC(unsigned) nclasses;
	struct list sweep_list;  /* slabs to look at: pages to drop, or to unmap */
	struct list quarantine;  /* stacks of tasks that have failed, oldest first; stats.quarantined of them */
	size_t quarantine_bytes; /* of those */
	struct stack_stats stats;
};
extern HIDDEN struct stack_pool weft__stack_pool;

static inline size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static inline struct class *class_of(const struct stack_slab *b)
{
	return &weft__stack_pool.classes[b->node * CLASSES + b->class - CLASS_MIN];
}

static inline uint64_t all_slots(const struct stack_slab *b)
{
	return b->slots == 64 ? ~(uint64_t)0 : ((uint64_t)1 << b->slots) - 1;
}

/* stack.c; the first two with the lock held, the last without */
void weft__slab_settle(struct stack_slab *b); /* its set of cold slots has changed */
void weft__slab_hide(struct stack_slab *b);
void weft__slab_unmap(struct stack_slab *b);

#endif
