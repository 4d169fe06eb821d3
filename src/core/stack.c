/* SPDX-License-Identifier: MIT
 *
 * stack.c - where stacks come from and go back to: slabs, the shared pool, and the look-up by address.
 *
 * A slot of a slab is in exactly one place:
 *
 *   out    a task's, or in a worker's cache                             put ->  hot
 *   hot    free; last in, first out                                     not needed for an interval ->  idle
 *   idle   free; keeps its top STACK_TRIM_KEEP bytes                    not needed for another one ->  cold
 *   cold   free, without pages (dirty: until they are dropped) or never used; a bit in its slab
 *   limbo  in the hands of a decay that works on its pages, for a moment
 *
 * Every node has such places of its own (core/node.h); where there is one node, it has them all.
 *
 * Requests are served from hot, idle, cold (fullest slab first, so that others can drain), a new slab; if there is none to be had, from the other nodes'.  A slab whose slots are all cold is
 * unmapped, which also frees its page tables.  Which part of hot was not needed is its low-water mark: a list that was never shorter than n within an
 * interval has n stacks at its tail that nobody touched.
 *
 * Everything is under one lock, but the system calls: slots they work on are in limbo.
 *
 * A slab's bookkeeping lies in a block of an arena, never in stack memory: type-stable, and never unmapped, so that the fault handler may look
 * at it without a lock.  A freed block's pages are given back and read as zeros.  The directory holds a word for each block:
 *
 *    63                        12 11       5 4        0
 *   +---------------------------+-----------+----------+    class 0: free, and the base's place holds the next free
 *   |  base of the mapping      |  slots    |  class   |    block's number + 1
 *   +---------------------------+-----------+----------+
 *
 * One word says all that a look-up needs, so a slab that comes or goes meanwhile is seen whole or not at all.
 *
 * Not here: giving memory back (stack_decay.c), guards (guard_linux.c), faults (overflow.c).
 */
#include "core/stackpool.h"
#include "core/stackuse.h"

#include "base/atomic.h"
#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <sys/mman.h>

#define FRESH 8 /* cold slots that a cache's refill takes at most */

#define CHUNK_SLABS SMALL(256, 8) /* blocks in one mapping of the arena */
#define CHUNKS SMALL(4096, 65536)
#define BLOCK_SIZE ROUND_UP(sizeof(struct stack_slab), (size_t)4096)
#define DIR_SIZE ROUND_UP(sizeof(struct chunk), (size_t)4096)

#define WORD_CLASS(w) ((unsigned)(w)&31)
#define WORD_SLOTS(w) ((unsigned)((w) >> 5) & 127)
#define WORD_BASE(w) ((w) & ~(uintptr_t)4095)

extern __attribute__((weak)) void __asan_unpoison_memory_region(const volatile void *addr, size_t size);

struct chunk {
	ATOMIC(uintptr_t) dir[CHUNK_SLABS];
};

struct stack_pool weft__stack_pool;
static struct stack_pool *const pool = &weft__stack_pool;

static ATOMIC(struct chunk *) chunks[CHUNKS]; /* filled in order, never emptied */
static ATOMIC(uint32_t) nblocks;              /* blocks that were ever in use; all below have their chunk */
static uint32_t free_block;                   /* number + 1 of the first free one, or 0 */

/* From one slot to the next.  A little more than the class (what is over is never used), so that the tops of neighbouring stacks fall into
 * different sets of the TLB. */
static inline size_t slot_stride(unsigned class)
{
	return ((size_t)1 << class) + STACK_SKEW;
}

static size_t slab_size(unsigned class, unsigned slots)
{
	return slots * slot_stride(class);
}

static unsigned slots_in(unsigned class)
{
	unsigned slots = class > CLASS_DEFAULT ? STACK_SLAB_SLOTS >> (class - CLASS_DEFAULT) : STACK_SLAB_SLOTS;

	return slots ? slots : 1;
}

/* ---- Arena and directory ---- */

static struct stack_slab *block_at(struct chunk *c, uint32_t number)
{
	return (struct stack_slab *)((char *)c + DIR_SIZE + number % CHUNK_SLABS * BLOCK_SIZE);
}

static ATOMIC(uintptr_t) *word_of(uint32_t number)
{
	return &load_relaxed(&chunks[number / CHUNK_SLABS])->dir[number % CHUNK_SLABS]; /* relaxed: the lock orders us after its store */
}

/* A zeroed block and its number. Lock held. Returns 0 or -ENOMEM. */
static int block_get(struct stack_slab **out)
{
	uint32_t number;
	void *mem;

	if (free_block) {
		number = free_block - 1;
		free_block = (uint32_t)(load_relaxed(word_of(number)) >> 12); /* relaxed: under the lock */
	} else {
		number = load_relaxed(&nblocks); /* relaxed: under the lock */
		if (number % CHUNK_SLABS == 0 && !(number / CHUNK_SLABS < CHUNKS && load_relaxed(&chunks[number / CHUNK_SLABS]))) {
			if (number / CHUNK_SLABS == CHUNKS)
				return -ENOMEM;
			mem = mmap(NULL, DIR_SIZE + CHUNK_SLABS * BLOCK_SIZE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
			if (mem == MAP_FAILED)
				return -ENOMEM;
			store_release(&chunks[number / CHUNK_SLABS], (struct chunk *)mem); /* pairs with load_acquire in weft__stack_find */
		}
		store_release(&nblocks, number + 1); /* pairs with load_acquire in weft__stack_find: below it every chunk is there */
	}
	*out = block_at(load_relaxed(&chunks[number / CHUNK_SLABS]), number);
	(*out)->number = number;
	return 0;
}

/* The block is out of every list and its directory word is 0. Lock not held. */
static void block_put(struct stack_slab *b)
{
	uint32_t number = b->number;

	/* A handler may be reading it: it goes on with zeros.  Where pages are larger than blocks they stay. */
	if (page_size() > 4096 || madvise(b, BLOCK_SIZE, MADV_DONTNEED))
		*b = (struct stack_slab){0};
	lock_take(&pool->lock, RANK_POOL);
	store_relaxed(word_of(number), (uintptr_t)free_block << 12); /* class 0: a look-up skips it, whatever it finds of it */
	free_block = number + 1;
	lock_drop(&pool->lock);
}

struct stack *weft__stack_find(const void *addr, bool *in_guard)
{
	uint32_t n = load_acquire(&nblocks); /* pairs with store_release(nblocks) in block_get */

	*in_guard = false;
	for (uint32_t i = 0; i < n; i++) {
		struct chunk *c = load_acquire(&chunks[i / CHUNK_SLABS]); /* pairs with store_release(chunks) in block_get */
		uintptr_t w = load_acquire(&c->dir[i % CHUNK_SLABS]);     /* pairs with store_release(word_of) in slab_publish */
		uintptr_t off = (uintptr_t)addr - WORD_BASE(w);
		unsigned class = WORD_CLASS(w);

		if (class && off < slab_size(class, WORD_SLOTS(w))) {
			*in_guard = off % slot_stride(class) < STACK_GUARD;
			return &block_at(c, i)->stack[off / slot_stride(class)];
		}
	}
	return NULL;
}

static void slab_publish(struct stack_slab *b)
{
	uintptr_t w = (uintptr_t)b->base | (uintptr_t)b->slots << 5 | b->class;

	store_release(word_of(b->number), w); /* pairs with load_acquire(dir) in weft__stack_find: it sees the slots filled in */
}

/* ---- Slabs; lock held unless said otherwise ---- */

/* Its set of cold slots has changed: the right bucket, and the sweep list if there is something to sweep. */
void weft__slab_settle(struct stack_slab *b)
{
	unsigned cold = (unsigned)__builtin_popcountll(b->cold);

	if (list_linked(&b->link))
		list_remove(&b->link);
	if (cold)
		list_push_head(&class_of(b)->bucket[(cold - 1) * BUCKETS / b->slots], &b->link);
	if ((b->dirty || b->cold == all_slots(b)) && !list_linked(&b->sweep))
		list_push_tail(&pool->sweep_list, &b->sweep);
}

/* A slab that is about to go: no look-up finds it from here on. */
void weft__slab_hide(struct stack_slab *b)
{
	store_release(word_of(b->number), (uintptr_t)0); /* a look-up that read it before finds a block that stays readable */
}

/* Unmaps a slab that was all cold, is in no list, and hidden. Lock not held. */
void weft__slab_unmap(struct stack_slab *b)
{
	size_t size = slab_size(b->class, b->slots);

	if ((weft__san & SAN_ASAN) && __asan_unpoison_memory_region)
		__asan_unpoison_memory_region(b->base, size); /* the next mapping there starts clean */
	if (munmap(b->base, size)) {
		/* Splitting a merged mapping may need one mapping more than there are. Then it stays, without pages. */
		madvise(b->base, size, MADV_DONTNEED);
		lock_take(&pool->lock, RANK_POOL);
		slab_publish(b);
		b->cold = all_slots(b);
		b->dirty = 0;
		list_push_head(&class_of(b)->bucket[BUCKETS - 1], &b->link);
		lock_drop(&pool->lock);
		return;
	}
	weft__guard_forget((size_t)__builtin_popcountll(load_relaxed(&b->mprotected))); /* nobody has a stack of it */
	lock_take(&pool->lock, RANK_POOL);
	pool->stats.slabs--;
	pool->stats.mapped -= size;
	pool->stats.stacks -= (size_t)__builtin_popcountll(b->guarded);
	lock_drop(&pool->lock);
	block_put(b);
}

/* ---- Out of the pool ---- */

static struct stack *list_take(struct list *l, size_t *n, size_t *low)
{
	struct list_node *node = list_pop_head(l);

	if (!node)
		return NULL;
	if (--*n < *low)
		*low = *n;
	return container_of(node, struct stack, link);
}

/* Up to want stacks, the hottest first; of cold ones, which may lack their guard, at most FRESH and only if there is no other.
 * *guarded becomes false if a guard is missing. Lock held. */
static unsigned take(struct class *k, struct stack **out, unsigned want, bool *guarded)
{
	unsigned n = 0;
	struct stack *s;

	while (n < want && (s = list_take(&k->hot, &k->nhot, &k->hot_low)))
		out[n++] = s;
	while (n < want && (s = list_take(&k->idle, &k->nidle, &k->idle_low)))
		out[n++] = s;
	pool->stats.pooled -= n;
	if (n == 0) {
		struct list_node *node = NULL;
		struct stack_slab *b;

		for (unsigned i = 0; i < BUCKETS && !node; i++)
			node = list_first(&k->bucket[i]);
		if (!node)
			return 0;
		b = container_of(node, struct stack_slab, link);
		while (b->cold && n < want && n < FRESH) {
			s = &b->stack[__builtin_ctzll(b->cold)];
			b->cold &= ~((uint64_t)1 << s->index);
			b->dirty &= ~((uint64_t)1 << s->index);
			out[n++] = s;
		}
		weft__slab_settle(b);
	}
	for (unsigned i = 0; i < n; i++) {
		uint64_t bit = (uint64_t)1 << out[i]->index;

		out[i]->slab->out |= bit;
		if (!(out[i]->slab->guarded & bit))
			*guarded = false;
	}
	pool->stats.in_use += n;
	return n;
}

/* Maps a slab and takes from the pool again: up to want stacks into out. Takes the lock. Returns how many, at least 1, or -ENOMEM. */
COLD static int slab_new(unsigned class, unsigned node, struct stack **out, unsigned want, bool *guarded)
{
	unsigned slots = slots_in(class);
	size_t size = slab_size(class, slots);
	struct stack_slab *b;
	unsigned n;
	char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return -ENOMEM;
	if (madvise(base, size, MADV_NOHUGEPAGE) && errno != EINVAL) /* EINVAL: a kernel without huge pages */
		goto unmap;
	weft__node_prefer(base, size, (int)node);
	lock_take(&pool->lock, RANK_POOL);
	if (block_get(&b)) {
		lock_drop(&pool->lock);
		goto unmap;
	}
	b->base = base;
	b->class = (uint8_t) class;
	b->slots = (uint8_t)slots;
	b->kind = (uint8_t)weft__guard_kind();
	b->node = (uint8_t)node_pool(node);
	if (load_relaxed(&pool->nclasses) < (b->node + 1u) * CLASSES) /* under lock */
		store_relaxed(&pool->nclasses, (b->node + 1u) * CLASSES);
	b->cold = all_slots(b);
	for (unsigned i = 0; i < slots; i++) {
		b->stack[i].lo = base + i * slot_stride(class) + STACK_GUARD;
		b->stack[i].hi = base + i * slot_stride(class) + ((size_t)1 << class);
		b->stack[i].slab = b;
		b->stack[i].index = (uint16_t)i;
		b->stack[i].colour = (uint16_t)((i * 5 + b->number) % STACK_COLOURS * CACHELINE);
	}
	slab_publish(b);
	list_push_head(&class_of(b)->bucket[BUCKETS - 1], &b->link);
	pool->stats.slabs++;
	pool->stats.mapped += size;
	n = take(class_of(b), out, want, guarded);
	if (b->cold == all_slots(b))
		weft__slab_settle(b); /* others put stacks back meanwhile, which were taken instead: this one may go again */
	lock_drop(&pool->lock);
	return (int)n;
unmap:
	munmap(base, size);
	return -ENOMEM;
}

/* Installs the guards that are missing; what cannot be guarded goes back. Returns how many are left, at least 1, or -ENOMEM. Lock not held. */
static int guard(struct stack **s, unsigned n)
{
	enum stack_guard_kind kind;
	uint64_t bit;
	unsigned done = 0;
	int rc = 0;

	lock_take(&pool->lock, RANK_POOL);
	for (unsigned i = 0; i < n; i++) {
		struct stack_slab *b = s[i]->slab;

		bit = (uint64_t)1 << s[i]->index;
		if (!(b->guarded & bit) && rc == 0) {
			kind = (enum stack_guard_kind)b->kind;
			lock_drop(&pool->lock);
			rc = weft__guard_install(s[i]->lo - STACK_GUARD, STACK_GUARD, &kind);
			lock_take(&pool->lock, RANK_POOL);
			if (rc == 0) {
				b->kind = (uint8_t)kind;
				b->guarded |= bit;
				if (kind == GUARD_MPROTECT)
					store_relaxed(&b->mprotected, load_relaxed(&b->mprotected) | bit); /* under the lock */
				pool->stats.stacks++;
			}
		}
		if (b->guarded & bit) {
			s[done++] = s[i];
		} else {
			b->out &= ~bit;
			b->cold |= bit;
			pool->stats.in_use--;
			weft__slab_settle(b);
		}
	}
	lock_drop(&pool->lock);
	return done ? (int)done : rc;
}

static bool quarantine_pop(bool all, int64_t now);

/* As take, of whatever node has any. */
COLD static int take_far(unsigned class, struct stack **out, unsigned want, bool *guarded)
{
	unsigned n = 0;

	lock_take(&pool->lock, RANK_POOL);
	for (unsigned i = class - CLASS_MIN; i < load_relaxed(&pool->nclasses) && !n; i += CLASSES)
		n = take(&pool->classes[i], out, want, guarded);
	lock_drop(&pool->lock);
	return n ? (int)n : -ENOMEM;
}

/* 1..want stacks into out, the hottest first; or -ENOMEM. */
static int try_get(unsigned class, struct stack **out, unsigned want)
{
	unsigned node = weft__node_here();
	bool guarded = true;
	int n;

	lock_take(&pool->lock, RANK_POOL);
	n = (int)take(&pool->classes[node_pool(node) * CLASSES + class - CLASS_MIN], out, want, &guarded);
	lock_drop(&pool->lock);
	if (n == 0)
		n = slab_new(class, node, out, want, &guarded);
	if (unlikely(n < 0))
		n = take_far(class, out, want, &guarded);
	return n < 0 || guarded ? n : guard(out, (unsigned)n);
}

/* The same; those in quarantine are better used early than waited for, of whatever class the oldest is. */
static int pool_get(unsigned class, struct stack **out, unsigned want)
{
	int n;

	do
		n = try_get(class, out, want);
	while (unlikely(n < 0) && quarantine_pop(true, 0));
	return n;
}

int weft__stack_get(size_t usable, struct stack **out)
{
	unsigned class = CLASS_MIN;
	int n;

	if (usable < STACK_MIN || usable > STACK_MAX)
		return -EINVAL;
	while (((size_t)1 << class) < usable + STACK_GUARD)
		class ++;
	n = pool_get(class, out, 1);
	if (n < 0)
		*out = NULL; /* one without a guard went back */
	return n < 0 ? n : 0;
}

/* ---- Back to the pool ---- */

/* Lock held. Its guard is not whole: whoever takes it installs one. */
static void unguard(struct stack *s, uint64_t bit)
{
	struct stack_slab *b = s->slab;

	s->lent = false;
	b->guarded &= ~bit;
	pool->stats.stacks--;
	if (load_relaxed(&b->mprotected) & bit) { /* under the lock */
		weft__guard_forget(1);
		store_relaxed(&b->mprotected, load_relaxed(&b->mprotected) & ~bit);
	}
}

bool weft__stack_lend(struct stack *s, uintptr_t addr)
{
	uintptr_t from = (uintptr_t)s->lo - STACK_LEND;
	bool by_mprotect = load_relaxed(&s->slab->mprotected) >> s->index & 1; /* our bit is constant now */

	if (s->lent || addr < from || from % page_size() ||
	    weft__guard_remove((void *)from, STACK_LEND, by_mprotect ? GUARD_MPROTECT : GUARD_MADVISE))
		return false;
	s->lent = true;
	return true;
}

/* n stacks, the hottest last. */
static void pool_put(struct stack **s, unsigned n)
{
	if (unlikely(weft__san & SAN_ASAN) && __asan_unpoison_memory_region) {
		for (unsigned i = 0; i < n; i++)
			__asan_unpoison_memory_region(s[i]->lo, (size_t)(s[i]->hi - s[i]->lo)); /* its last frames may not have returned */
	}
	lock_take(&pool->lock, RANK_POOL);
	for (unsigned i = 0; i < n; i++) {
		struct class *k = class_of(s[i]->slab);
		uint64_t bit = (uint64_t)1 << s[i]->index;

		CHECK(s[i]->slab->out & bit); /* else it was put back twice */
		s[i]->slab->out &= ~bit;
		if (unlikely(s[i]->lent))
			unguard(s[i], bit);
		s[i]->owner = NULL;
		list_push_head(&k->hot, &s[i]->link);
		k->nhot++;
	}
	pool->stats.in_use -= n;
	pool->stats.pooled += n;
	lock_drop(&pool->lock);
}

void weft__stack_put(struct stack *s)
{
	pool_put(&s, 1);
}

static size_t usable(const struct stack *s)
{
	return (size_t)(s->hi - s->lo);
}

/* The oldest that is in quarantine is to leave it: there are too many, and it has been there for a while, or they are too large. Lock held. */
static bool is_due(int64_t now)
{
	const struct stack *s = container_of(list_first(&pool->quarantine), struct stack, link);

	if (pool->stats.quarantined > 1 && pool->quarantine_bytes > STACK_QUARANTINE_BYTES)
		return true;
	return pool->stats.quarantined > STACK_QUARANTINE && now - s->since >= STACK_QUARANTINE_NS;
}

/* Lets the oldest out of quarantine; if not all, only if it is due. Lock not held. False: there is none. */
static bool quarantine_pop(bool all, int64_t now)
{
	struct stack *s = NULL;

	lock_take(&pool->lock, RANK_POOL);
	if (pool->stats.quarantined && (all || is_due(now))) {
		s = container_of(list_pop_head(&pool->quarantine), struct stack, link);
		pool->stats.quarantined--;
		pool->quarantine_bytes -= usable(s);
	}
	lock_drop(&pool->lock);
	if (!s)
		return false;
	if (unlikely(weft__stackuse_on))
		weft__stackuse_clean(s);
	pool_put(&s, 1);
	return true;
}

void weft__stack_quarantine(struct stack *s)
{
	int64_t now = clock_now();

	lock_take(&pool->lock, RANK_POOL);
	s->owner = NULL;
	s->since = now;
	list_push_tail(&pool->quarantine, &s->link);
	pool->stats.quarantined++;
	pool->quarantine_bytes += usable(s);
	lock_drop(&pool->lock);
	while (quarantine_pop(false, now))
		;
}

void weft__stack_release(void)
{
	while (quarantine_pop(true, 0))
		;
}

bool weft__stack_is_default(const struct stack *s)
{
	return s->slab->class == CLASS_DEFAULT;
}

/* ---- A worker's cache ---- */

int weft__stack_cache_refill(struct stack_cache *c, struct stack **out)
{
	struct stack *got[STACK_CACHE / 2 + 1];
	int n = pool_get(CLASS_DEFAULT, got, STACK_CACHE / 2 + 1);

	if (n < 0)
		return n;
	while (n > 1)
		c->hot[c->n++] = got[--n];
	*out = got[0];
	return 0;
}

/* Those of other nodes first, which tasks have brought along: they are spilled before warmer ones. Returns how many. */
NOINLINE static unsigned far_ones_first(struct stack_cache *c)
{
	unsigned node = node_pool(weft__node_here()), far = 0;

	for (unsigned i = 0; i < c->n; i++) {
		struct stack *s = c->hot[i];

		if (s->slab->node == node)
			continue;
		for (unsigned k = i; k > far; k--)
			c->hot[k] = c->hot[k - 1];
		c->hot[far++] = s;
	}
	return far;
}

void weft__stack_cache_spill(struct stack_cache *c)
{
	unsigned n = STACK_CACHE / 2, far = weft__topo_nodes() > 1 ? far_ones_first(c) : 0;

	if (n < far)
		n = far;
	pool_put(c->hot, n); /* the coldest */
	c->n -= n;
	for (unsigned i = 0; i < c->n; i++)
		c->hot[i] = c->hot[i + n];
}

void weft__stack_cache_drain(struct stack_cache *c)
{
	pool_put(c->hot, c->n);
	c->n = 0;
}

void weft__stack_stats(struct stack_stats *out)
{
	lock_take(&pool->lock, RANK_POOL);
	*out = pool->stats;
	lock_drop(&pool->lock);
}
