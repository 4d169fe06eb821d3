/* SPDX-License-Identifier: MIT
 *
 * cmap.c - a map for all tasks and threads: shards, each a hash table of chains under a small lock.
 *
 * A shard grows a little at a time: the table it grows out of stays, and each change moves MOVES chains of it over, so that no lock is held for longer than a
 * few chains are.  Memory is taken and given back with nothing locked, and callbacks are called so, but for hold.
 *
 * An entry is counted: by the map while it is in it, and by who walks over it (foreach). Its value is constant: to set a key anew is to put another entry in
 * its place.
 *
 * Rejected: a weft_mutex a shard. Its lock fails once the task is cancelled, and every call here would. Rejected: readers without a lock (hazards, epochs):
 * entries would live on after they were taken out, and with them the values, which are the program's.
 */
#include "weft/cmap.h"
#include "weft/defer.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/ref.h"
#include "core/runtime.h"
#include <stdlib.h>
#include <string.h>

#define SHARDS SMALL(64, 2)
#define CHAINS_FIRST SMALL(8, 2) /* of a table; a power of two */
#define MOVES 2                  /* chains that a change moves over */

struct entry {
	struct entry *next; /* in its chain; under lock */
	uint64_t hash;
	void *value;
	ATOMIC(uint32_t) refs; /* the map's, and those of who walks over it */
	uint32_t len;
	char key[];
};

struct table {
	size_t mask; /* chains, less 1 */
	struct entry *chains[];
};

struct shard {
	CACHE_ALIGNED struct lock lock; /* RANK_SOURCE; guards all below */
	struct table *now;              /* where entries are put; NULL: none yet */
	struct table *old;              /* where those of chains `moved` and up still are; NULL: it does not grow */
	size_t moved;
	size_t len;
};

struct weft_cmap {
	ATOMIC(uint32_t) refs;
	uint64_t seed;
	weft_cmap_opts o;
	struct shard shards[];
};

weft_cmap *weft_cmap_make(const weft_cmap_opts *o)
{
	size_t bytes = sizeof(weft_cmap) + SHARDS * sizeof(struct shard);
	weft_cmap *m = aligned_alloc(CACHELINE, ROUND_UP(bytes, CACHELINE));

	if (!m)
		return NULL;
	memset(m, 0, bytes);
	if (o)
		m->o = *o;
	m->seed = (uint64_t)clock_now() ^ (uintptr_t)m;
	store_relaxed(&m->refs, 1u); /* not shared yet */
	return m;
}

weft_cmap *weft_cmap_ref(weft_cmap *m)
{
	add_relaxed(&m->refs, 1u); /* the caller's own reference keeps it */
	return m;
}

/* --- entries --- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t p = (__uint128_t)(a ^ 0x9e3779b97f4a7c15ULL) * (b ^ 0xd6e8feb86659fd93ULL);

	return (uint64_t)(p >> 64) ^ (uint64_t)p;
}

/* Not for keys that an enemy chooses knowing the seed. */
static uint64_t hash_of(weft_cmap *m, const char *key, size_t len)
{
	uint64_t h = m->seed ^ len, word = 0;
	size_t at = 0;

	for (; len - at >= sizeof word; at += sizeof word) {
		memcpy(&word, key + at, sizeof word);
		h = mix(h, word);
	}
	word = 0;
	if (len > at)
		memcpy(&word, key + at, len - at);
	return mix(h, word);
}

static struct shard *shard_of(weft_cmap *m, uint64_t hash)
{
	return &m->shards[(hash >> 56) % SHARDS]; /* chains go by the low bits */
}

static struct entry *entry_new(uint64_t hash, const void *key, size_t len, void *value)
{
	struct entry *e = malloc(sizeof *e + len);

	if (!e)
		return NULL;
	e->next = NULL;
	e->hash = hash;
	e->value = value;
	e->len = (uint32_t)len;
	store_relaxed(&e->refs, 1u); /* not shared yet */
	if (len)
		memcpy(e->key, key, len);
	return e;
}

/* One reference less. The value goes with the last. */
static void entry_release(weft_cmap *m, struct entry *e)
{
	if (!e || !ref_drop(&e->refs))
		return;
	if (m->o.drop)
		m->o.drop(e->value);
	free(e);
}

/* --- tables; locked --- */

static struct table *table_new(size_t chains)
{
	struct table *t = calloc(1, sizeof *t + chains * sizeof t->chains[0]);

	if (t)
		t->mask = chains - 1;
	return t;
}

/* The chain in which an entry of this hash is, or would be. The shard has a table. */
static struct entry **chain_of(struct shard *s, uint64_t hash)
{
	if (s->old && (hash & s->old->mask) >= s->moved)
		return &s->old->chains[hash & s->old->mask];
	return &s->now->chains[hash & s->now->mask];
}

/* Where the link to it is; or to the end of the chain, NULL. */
static struct entry **find(struct shard *s, uint64_t hash, const void *key, size_t len)
{
	struct entry **at = chain_of(s, hash);

	while (*at && ((*at)->hash != hash || (*at)->len != len || (len && memcmp((*at)->key, key, len) != 0)))
		at = &(*at)->next;
	return at;
}

/* Moves some chains over. Returns the old table once it is empty: to be freed when nothing is locked. */
static struct table *move_some(struct shard *s)
{
	struct table *old = s->old;

	for (int i = 0; old && i < MOVES; i++) {
		struct entry *e = old->chains[s->moved++], *next;

		for (; e; e = next) {
			struct entry **at = &s->now->chains[e->hash & s->now->mask];

			next = e->next;
			e->next = *at;
			*at = e;
		}
		if (s->moved > old->mask) {
			s->old = NULL;
			return old;
		}
	}
	return NULL;
}

/* How many chains it should have, if more than it has; else 0. */
static size_t wants(struct shard *s)
{
	if (!s->now)
		return CHAINS_FIRST;
	return !s->old && s->len > s->now->mask ? 2 * (s->now->mask + 1) : 0;
}

/* Nothing is locked. Gives the shard a bigger table if it wants one: true: it has one. What does not work out is tried again by the next. */
static bool grow(struct shard *s, size_t chains)
{
	struct table *t = table_new(chains);
	bool have;

	lock_take_solo(&s->lock, RANK_SOURCE);
	if (t && wants(s) == chains) {
		s->old = s->now;
		s->moved = 0;
		s->now = t;
		t = NULL;
	}
	have = s->now != NULL;
	lock_drop_solo(&s->lock);
	free(t); /* another was faster */
	return have;
}

/* --- calls --- */

void *weft_cmap_get(weft_cmap *m, const void *key, size_t len)
{
	uint64_t hash = hash_of(m, key, len);
	struct shard *s = shard_of(m, hash);
	void *value = NULL;
	struct entry *e;

	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&s->lock, RANK_SOURCE);
	e = s->now ? *find(s, hash, key, len) : NULL;
	if (e) {
		value = e->value;
		if (m->o.hold)
			m->o.hold(value);
	}
	lock_drop_solo(&s->lock);
	return value;
}

/* Puts an entry in, in place of the one there is, if that is to be replaced. Returns the one there was, *now: the value that is there now; *spare: what
 * is to be freed. */
static struct entry *put(weft_cmap *m, struct shard *s, struct entry *e, bool replace, bool held, void **now, struct table **spare,
			 size_t *chains)
{
	struct entry **at, *was;

	lock_take_solo(&s->lock, RANK_SOURCE);
	*spare = move_some(s);
	at = find(s, e->hash, e->key, e->len);
	was = *at;
	if (was && replace) {
		e->next = was->next;
		*at = e;
	} else if (!was) {
		*at = e;
		s->len++;
	}
	*now = was && !replace ? was->value : e->value;
	if (m->o.hold && (!was || replace))
		m->o.hold(e->value); /* the map's */
	if (m->o.hold && held)
		m->o.hold(*now); /* the caller's */
	*chains = wants(s);
	lock_drop_solo(&s->lock);
	return was;
}

/* Returns 1: set, where there was none; 0: there was one; or an error. */
static int set(weft_cmap *m, const void *key, size_t len, void *value, bool replace, void **actual)
{
	uint64_t hash;
	struct shard *s;
	struct entry *e, *was;
	struct table *spare;
	size_t chains;
	void *now;

	if (!value || len > INT32_MAX)
		return WEFT_EINVAL;
	hash = hash_of(m, key, len);
	s = shard_of(m, hash);
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&s->lock, RANK_SOURCE);
	chains = s->now ? 0 : CHAINS_FIRST;
	lock_drop_solo(&s->lock);
	if (chains && !grow(s, chains))
		return WEFT_ENOMEM;
	e = entry_new(hash, key, len, value);
	if (!e)
		return WEFT_ENOMEM;
	was = put(m, s, e, replace, actual != NULL, &now, &spare, &chains);
	free(spare);
	if (chains)
		(void)grow(s, chains); /* if not, chains are longer than they might be */
	if (actual)
		*actual = now;
	if (was && !replace)
		free(e); /* it was never in */
	else
		entry_release(m, was);
	return !was;
}

int weft_cmap_set(weft_cmap *m, const void *key, size_t len, void *value)
{
	int rc = set(m, key, len, value, true, NULL);

	return rc < 0 ? rc : 0;
}

int weft_cmap_get_or_set(weft_cmap *m, const void *key, size_t len, void *value, void **actual)
{
	return set(m, key, len, value, false, actual);
}

int weft_cmap_del(weft_cmap *m, const void *key, size_t len)
{
	uint64_t hash = hash_of(m, key, len);
	struct shard *s = shard_of(m, hash);
	struct table *spare = NULL;
	struct entry *e = NULL;

	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&s->lock, RANK_SOURCE);
	if (s->now) {
		struct entry **at;

		spare = move_some(s);
		at = find(s, hash, key, len);
		e = *at;
		if (e) {
			*at = e->next;
			s->len--;
		}
	}
	lock_drop_solo(&s->lock);
	free(spare);
	if (!e)
		return WEFT_ENOENT;
	entry_release(m, e);
	return 0;
}

size_t weft_cmap_len(weft_cmap *m)
{
	size_t n = 0;

	(void)weft__worker(); /* see base/solo.h */
	for (size_t i = 0; i < SHARDS; i++) {
		lock_take_solo(&m->shards[i].lock, RANK_SOURCE);
		n += m->shards[i].len;
		lock_drop_solo(&m->shards[i].lock);
	}
	return n;
}

/* --- all of them --- */

/* Locked. All entries of a table's chains from the first one on, into v, of which n are filled: each gets a reference. Returns how many are filled now. */
static size_t collect(struct table *t, size_t first, struct entry **v, size_t n)
{
	for (size_t i = first; t && i <= t->mask; i++) {
		for (struct entry *e = t->chains[i]; e; e = e->next) {
			add_relaxed(&e->refs, 1u); /* the map's own keeps it */
			v[n++] = e;
		}
	}
	return n;
}

/* The entries of a shard as they are in one instant, each with a reference. WEFT_ENOMEM, or 0. */
static int snapshot(struct shard *s, struct entry ***v, size_t *n)
{
	size_t room = 0;

	*v = NULL;
	*n = 0;
	(void)weft__worker(); /* see base/solo.h */
	for (;;) {
		lock_take_solo(&s->lock, RANK_SOURCE);
		if (s->len <= room) {
			*n = collect(s->old, s->moved, *v, collect(s->now, 0, *v, 0));
			lock_drop_solo(&s->lock);
			return 0;
		}
		room = s->len + s->len / 4;
		lock_drop_solo(&s->lock);
		free(*v);
		*v = malloc(room * sizeof **v);
		if (!*v)
			return WEFT_ENOMEM;
	}
}

/* Part of a map that is being walked through. */
struct walk {
	weft_cmap *m;
	struct entry **v;
	size_t k, n; /* those before k are released */
};

/* However fn leaves. */
static void walk_end(void *arg)
{
	struct walk *w = arg;

	for (; w->k < w->n; w->k++)
		entry_release(w->m, w->v[w->k]);
	free(w->v);
}

int weft_cmap_foreach(weft_cmap *m, bool (*fn)(const void *key, size_t len, void *value, void *arg), void *arg)
{
	int rc = 0;

	for (size_t i = 0; i < SHARDS && !rc; i++) {
		struct walk w = {.m = m};
		weft_defer end;

		rc = snapshot(&m->shards[i], &w.v, &w.n);
		weft__defer_push(&end, walk_end, &w);
		while (w.k < w.n && !rc) {
			struct entry *e = w.v[w.k];

			if (!fn(e->key, e->len, e->value, arg))
				rc = WEFT_ECANCELED;
			w.k++;
			entry_release(m, e);
		}
		weft__defer_end(&end);
	}
	return rc;
}

static void table_free(weft_cmap *m, struct table *t, size_t first)
{
	for (size_t i = first; t && i <= t->mask; i++) {
		struct entry *e, *next;

		for (e = t->chains[i]; e; e = next) {
			next = e->next;
			entry_release(m, e);
		}
	}
	free(t);
}

void weft_cmap_free(weft_cmap *m)
{
	if (!m || !ref_drop(&m->refs))
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		table_free(m, m->shards[i].old, m->shards[i].moved);
		table_free(m, m->shards[i].now, 0);
	}
	free(m);
}
