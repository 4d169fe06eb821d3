/* SPDX-License-Identifier: MIT
 *
 * recslab.c - slabs of task records: hand out, take back, give memory back without losing the sequences.
 *
 *   [ header, in the place of record 0 | record 1 | record 2 | ... ]        RECORD_SLAB_SIZE bytes, aligned to as much
 *
 * So a record finds its slab by a mask, and slab number * RECORDS + place numbers all records, 0 none.
 *
 * Records below `handed` were handed out since the slab was last empty; those that came back are linked in `free`.  A slab all free that nobody
 * needs notes the highest sequence in it and drops all pages but the first; its records then start over, fresh, from the next
 * sequence.  (A late claim of an old wait finds either the old word, closed, or 0, or a later sequence: it fails with each.)
 * Slabs stay in the table for good, so that walks and look-ups need no lock.
 *
 * Every node has slabs of its own (core/node.h); where there is one node, it has them all.
 *
 * All under one lock (RANK_POOL), but mapping, scanning for sequences and dropping pages, during which the slab is in no list.
 */
#include "core/recslab.h"

#include "base/atomic.h"
#include "base/check.h"
#include "base/config.h"
#include "base/list.h"
#include "base/lock.h"
#include "core/node.h"
#include "core/waitword.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define RECORDS (RECORD_SLAB_SIZE / RECORD_SIZE) /* places in a slab, the header's included */
#define USABLE (RECORDS - 1)
#define BUCKETS 8
#define CHUNK SMALL(1024, 2) /* slabs in one leaf of the table */
#define CHUNKS SMALL(4096, 65536)

_Static_assert((RECORD_SLAB_SIZE & (RECORD_SLAB_SIZE - 1)) == 0, "a record finds its slab by a mask");
_Static_assert((uint64_t)CHUNKS *CHUNK *RECORDS <= (uint64_t)1 << 32, "record numbers have 32 bits");

extern __attribute__((weak)) void __lsan_register_root_region(const void *addr, size_t size);

struct slab {
	uint32_t number;         /* constant; first, for rec_index */
	uint32_t nfree;          /* records that can be had from it: came back, or not yet handed; under the lock */
	uint8_t node;            /* whose memory it is meant to have; constant */
	struct list_node link;   /* in a bucket, in all_free, or in empty; under the lock */
	void *free;              /* records that came back; under the lock */
	uint64_t saved;          /* highest sequence of a record before the slab was last emptied; under the lock */
	ATOMIC(uint32_t) handed; /* records 1..handed were handed out since; written under the lock, read by walks */
};

_Static_assert(sizeof(struct slab) <= RECORD_SIZE, "the header takes one record's place");

struct leaf {
	ATOMIC(struct slab *) slab[CHUNK];
};

static struct lock lock; /* RANK_POOL */
static size_t wait_at, link_at;
static bool ready;
static struct rec_stats stats;

/* A node's slabs; under the lock. Zeroed lists are empty lists. */
static struct home {
	struct list bucket[BUCKETS];                     /* slabs with some, but not all, records free; [0] the fullest */
	struct list all_free;                            /* slabs with all records free, and memory */
	struct list empty;                               /* slabs without memory but the header's page */
	size_t nall_free, all_free_low, all_free_before; /* length of all_free, shortest in this interval and the last one */
	size_t nfree;                                    /* records that can be had from its slabs */
} homes[NODES_MAX];
static ATOMIC(unsigned)
	nhomes; /* up to the highest that has ever had a slab; written under the lock, relaxed: what is behind it is read under the lock */

static ATOMIC(struct leaf *) leaves[CHUNKS]; /* filled in order, never emptied */
static ATOMIC(uint32_t) nslabs;

static ATOMIC(uint64_t) *wait_of(void *rec)
{
	return (ATOMIC(uint64_t) *)(void *)((char *)rec + wait_at);
}

static void **link_of(void *rec)
{
	return (void **)(void *)((char *)rec + link_at);
}

static struct slab *slab_of(const void *rec)
{
	return (struct slab *)((uintptr_t)rec & ~(uintptr_t)(RECORD_SLAB_SIZE - 1));
}

static void *record_at(struct slab *s, uint32_t place)
{
	return (char *)s + (size_t)place * RECORD_SIZE;
}

int weft__rec_init(size_t wait_offset, size_t link_offset)
{
	int rc = 0;

	CHECK(wait_offset % 8 == 0 && wait_offset + 8 <= RECORD_SIZE);
	CHECK(link_offset % sizeof(void *) == 0 && link_offset + sizeof(void *) <= RECORD_SIZE);
	lock_take(&lock, RANK_POOL);
	if (!ready) {
		wait_at = wait_offset;
		link_at = link_offset;
		ready = true;
	} else if (wait_at != wait_offset || link_at != link_offset) {
		rc = -EINVAL;
	}
	lock_drop(&lock);
	return rc;
}

/* ---- Slabs ---- */

/* Lock held: its count of free records has changed. */
static void settle(struct slab *s)
{
	struct home *h = &homes[s->node];

	if (list_linked(&s->link))
		list_remove(&s->link);
	if (s->nfree == USABLE)
		list_push_head(&h->all_free, &s->link);
	else if (s->nfree)
		list_push_head(&h->bucket[(size_t)(s->nfree - 1) * BUCKETS / USABLE], &s->link);
}

/* Memory for slabs, aligned as they must be, or NULL. */
static void *map_aligned(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t head;

	if (p == MAP_FAILED)
		return NULL;
	if (((uintptr_t)p & (RECORD_SLAB_SIZE - 1)) == 0) /* usual: right below the one before */
		return p;
	munmap(p, size);
	p = mmap(NULL, size + RECORD_SLAB_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	head = (size_t)(-(uintptr_t)p & (RECORD_SLAB_SIZE - 1));
	if (head)
		munmap(p, head); /* should cutting fail, address space is lost and nothing else */
	munmap(p + head + size, RECORD_SLAB_SIZE - head);
	return p + head;
}

/* A slab's memory, zeroed, becomes one, in all_free. Takes the lock. Returns 0; or -ENOMEM: the memory is the caller's still. */
COLD static int slab_add(struct slab *s, unsigned node)
{
	struct home *h = &homes[node_pool(node)];
	uint32_t n;

	lock_take(&lock, RANK_POOL);
	n = load_relaxed(&nslabs); /* relaxed: under the lock */
	if (n == (uint32_t)CHUNKS * CHUNK)
		goto refuse;
	if (!load_relaxed(&leaves[n / CHUNK])) {
		void *leaf = mmap(NULL, sizeof(struct leaf), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (leaf == MAP_FAILED)
			goto refuse;
		store_release(&leaves[n / CHUNK], (struct leaf *)leaf); /* pairs with load_acquire(leaves) in slab_at */
	}
	s->number = n;
	s->nfree = USABLE;
	s->node = (uint8_t)node_pool(node);
	if (load_relaxed(&nhomes) <= s->node) /* under the lock */
		store_relaxed(&nhomes, s->node + 1u);
	store_release(&load_relaxed(&leaves[n / CHUNK])->slab[n % CHUNK], s); /* pairs with load_acquire(slab) in slab_at */
	store_release(&nslabs, n + 1);                                        /* pairs with load_acquire(nslabs) in slab_at */
	list_push_head(&h->all_free, &s->link);
	h->nall_free++;
	h->nfree += USABLE;
	stats.slabs++;
	lock_drop(&lock);
	if (__lsan_register_root_region)
		__lsan_register_root_region(s, RECORD_SLAB_SIZE); /* what only a record points to is not leaked */
	return 0;
refuse:
	lock_drop(&lock);
	return -ENOMEM;
}

/* n new slabs, side by side, or none. */
COLD static int slabs_new(size_t n, unsigned node)
{
	char *at = map_aligned(n * RECORD_SLAB_SIZE);

	if (!at)
		return -ENOMEM;
	weft__node_prefer(at, n * RECORD_SLAB_SIZE, (int)node);
	for (; n; n--, at += RECORD_SLAB_SIZE) {
		if (slab_add((struct slab *)(void *)at, node)) {
			munmap(at, n * RECORD_SLAB_SIZE); /* those before it stay: they are all free */
			return -ENOMEM;
		}
	}
	return 0;
}

static struct slab *slab_at(uint32_t number)
{
	struct leaf *leaf;

	if (number >= load_acquire(&nslabs)) /* pairs with store_release(nslabs) in slab_new */
		return NULL;
	leaf = load_acquire(&leaves[number / CHUNK]);     /* pairs with store_release(leaves) in slab_new */
	return load_acquire(&leaf->slab[number % CHUNK]); /* pairs with store_release(slab) in slab_new */
}

/* Notes the highest sequence and drops the pages. The slab is all free and in no list, so nobody opens a wait in it. Lock not held. */
static void slab_empty(struct slab *s)
{
	uint32_t handed = load_relaxed(&s->handed); /* relaxed: it is ours */
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (uint32_t i = 1; i <= handed; i++) {
		uint64_t seq =
			wait_seq(load_relaxed(wait_of(record_at(s, i)))); /* relaxed: putting it back ordered its last wait before us */

		if (seq > s->saved)
			s->saved = seq;
	}
	store_relaxed(&s->handed, 0); /* walks need not see it in time: they would find zeros */
	s->free = NULL;
	if (page < RECORD_SLAB_SIZE)
		madvise((char *)s + page, RECORD_SLAB_SIZE - page, MADV_DONTNEED); /* locked memory refuses, and keeps its pages */
}

/* Lock held: a slab of h's all_free, out of it: the one that was free for shortest (head) or longest. */
static struct slab *all_free_pop(struct home *h, bool head)
{
	struct list_node *node = list_first(&h->all_free);

	if (!node)
		return NULL;
	if (!head)
		node = h->all_free.head.prev;
	list_remove(node);
	if (--h->nall_free < h->all_free_low)
		h->all_free_low = h->nall_free;
	return container_of(node, struct slab, link);
}

/* ---- Get and put ---- */

/* Lock held: h's fullest slab with a free record, or NULL. */
static struct slab *slab_pick(struct home *h)
{
	struct list_node *node = NULL;
	struct slab *s;

	for (unsigned i = 0; i < BUCKETS && !node; i++)
		node = list_first(&h->bucket[i]);
	if (node)
		return container_of(node, struct slab, link);
	s = all_free_pop(h, true);
	if (s)
		return s;
	node = list_pop_head(&h->empty);
	if (node)
		stats.empty--;
	return node ? container_of(node, struct slab, link) : NULL;
}

/* Lock held: up to n records of one slab. */
static int slab_take(struct slab *s, void **out, int n)
{
	struct home *h = &homes[s->node];
	int got = 0;

	while (got < n && s->nfree) {
		uint32_t handed = load_relaxed(&s->handed); /* relaxed: under the lock */
		void *rec = s->free;

		if (rec) {
			s->free = *link_of(rec);
			*link_of(rec) = NULL;
		} else {
			rec = record_at(s, handed + 1);
			store_relaxed(wait_of(rec), (s->saved + 1) << WAIT_STATE_BITS); /* relaxed: the caller publishes the record */
			store_release(&s->handed,
				      handed + 1); /* pairs with load_acquire(handed) in weft__rec_foreach: it sees the wait word */
		}
		s->nfree--;
		out[got++] = rec;
	}
	h->nfree -= (size_t)got;
	settle(s);
	return got;
}

/* Up to n records of h. Takes the lock. */
static int home_take(struct home *h, void **out, int n)
{
	struct slab *s;
	int got = 0;

	lock_take(&lock, RANK_POOL);
	while (got < n && (s = slab_pick(h)))
		got += slab_take(s, out + got, n - got);
	stats.records_in_use += (size_t)got;
	lock_drop(&lock);
	return got;
}

int weft__rec_get_batch(void **out, int n)
{
	unsigned node = weft__node_here();
	int got;

	DCHECK(ready && n > 0);
	while ((got = home_take(&homes[node_pool(node)], out, n)) == 0 && slabs_new(1, node) == 0)
		;
	for (unsigned i = 0; !got && i < load_relaxed(&nhomes); i++) /* better far memory than none */
		got = home_take(&homes[i], out, n);
	return got ? got : -ENOMEM;
}

/* Bytes that the machine has: what needs more cannot be had, whatever else is given up. */
static uint64_t machine_memory(void)
{
	struct sysinfo si;

	return sysinfo(&si) ? UINT64_MAX : ((uint64_t)si.totalram + si.totalswap) * si.mem_unit;
}

int weft__rec_room(size_t n)
{
	unsigned node = weft__node_here();
	size_t near, all = 0, more, most;

	lock_take(&lock, RANK_POOL);
	near = homes[node_pool(node)].nfree;
	for (unsigned i = 0; i < load_relaxed(&nhomes); i++) /* under lock, here and below */
		all += homes[i].nfree;
	most = (uint32_t)CHUNKS * CHUNK - load_relaxed(&nslabs);
	lock_drop(&lock);
	if (n <= near)
		return 0;
	more = (n - near + USABLE - 1) / USABLE;
	if (more <= most && (uint64_t)n * RECORD_SIZE <= machine_memory() && slabs_new(more, node) == 0)
		return 0;
	return n <= all ? 0 : -ENOMEM;
}

void weft__rec_put_batch(void **recs, int n)
{
	lock_take(&lock, RANK_POOL);
	for (int i = 0; i < n; i++) {
		struct slab *s = slab_of(recs[i]);

		DCHECK(!wait_is_open(load_relaxed(wait_of(recs[i]))));
		*link_of(recs[i]) = s->free;
		s->free = recs[i];
		s->nfree++;
		CHECK(s->nfree <= USABLE); /* else a record was put back twice */
		settle(s);
		homes[s->node].nall_free += s->nfree == USABLE;
		homes[s->node].nfree++;
	}
	stats.records_in_use -= (size_t)n;
	lock_drop(&lock);
}

/* ---- Giving memory back ---- */

/* Empties up to n slabs of h, or all. Lock not held. */
static void empty_slabs(struct home *h, size_t n)
{
	struct slab *s;

	while (n--) {
		lock_take(&lock, RANK_POOL);
		s = all_free_pop(h, false);
		lock_drop(&lock);
		if (!s)
			return;
		slab_empty(s);
		lock_take(&lock, RANK_POOL);
		list_push_head(&h->empty, &s->link);
		stats.empty++;
		lock_drop(&lock);
	}
}

/* Ends an interval of h. Returns whether it has slabs all free that still have memory. */
static bool decay(struct home *h)
{
	bool more;
	size_t n;

	lock_take(&lock, RANK_POOL);
	n = h->all_free_low < h->all_free_before ? h->all_free_low : h->all_free_before;
	h->all_free_before = h->all_free_low;
	h->all_free_low = h->nall_free;
	lock_drop(&lock);
	empty_slabs(h, n);
	lock_take(&lock, RANK_POOL);
	more = h->nall_free != 0;
	lock_drop(&lock);
	return more;
}

enum rec_decay weft__rec_decay(void)
{
	enum rec_decay rc = REC_DECAY_DONE;

	for (unsigned i = 0; i < load_relaxed(&nhomes); i++) {
		if (decay(&homes[i]))
			rc = REC_DECAY_LATER;
	}
	return rc;
}

void weft__rec_trim(void)
{
	for (unsigned i = 0; i < load_relaxed(&nhomes); i++)
		empty_slabs(&homes[i], SIZE_MAX);
}

/* ---- Walks and numbers ---- */

void weft__rec_foreach(bool (*fn)(void *rec, void *arg), void *arg)
{
	struct slab *s;

	for (uint32_t i = 0; (s = slab_at(i)); i++) {
		uint32_t handed = load_acquire(&s->handed); /* pairs with store_release(handed) in slab_take */

		for (uint32_t place = 1; place <= handed; place++) {
			if (!fn(record_at(s, place), arg))
				return;
		}
	}
}

uint32_t weft__rec_walk(uint32_t from, uint32_t n, bool (*fn)(void *rec, void *arg), void *arg)
{
	uint32_t place = from % RECORDS ? from % RECORDS : 1;
	struct slab *s;

	for (uint32_t i = from / RECORDS; (s = slab_at(i)); i++) {
		uint32_t handed = load_acquire(&s->handed); /* as above */

		for (; place <= handed; place++) {
			if (!n--)
				return i * RECORDS + place;
			if (!fn(record_at(s, place), arg))
				return 0;
		}
		place = 1;
	}
	return 0;
}

uint32_t weft__rec_numbers(void)
{
	return load_acquire(&nslabs) * RECORDS; /* pairs with store_release(nslabs) in slab_new */
}

_Static_assert(offsetof(struct slab, number) == 0, "rec_index reads it");

void *weft__rec_at(uint32_t index)
{
	struct slab *s = slab_at(index / RECORDS);

	return s && index % RECORDS ? record_at(s, index % RECORDS) : NULL;
}

unsigned weft__rec_node(const void *rec)
{
	return slab_of(rec)->node;
}

void weft__rec_stats(struct rec_stats *out)
{
	lock_take(&lock, RANK_POOL);
	*out = stats;
	lock_drop(&lock);
}
