/* SPDX-License-Identifier: MIT
 *
 * stackuse.c - how deep stacks are used, by the place where their tasks were started.
 *
 * When it is asked for, a task begins on a stack that reads as zeros, and its end looks for the lowest byte that does not: in the lowest page that the kernel says was
 * touched (mincore).  What was used is cleaned for the next task.  So that nobody else pays, all tasks are TASK_OWN_STACK then: their stacks come from the shared pool and go back to it, past the
 * worker's cache and past the way that a task follows another on its stack.
 *
 * Trimming (trim.c) loses what a stack has seen: it is noted before.  Tasks that live are looked at by the report (debug/stackreport.c).
 */
#include "core/stackuse.h"

#include "base/lock.h"
#include "core/stackpool.h"
#include "core/task.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGES 256                 /* asked about at a time */
#define CLEAN_BY_HAND (16 * 1024) /* deeper ones lose their pages */

bool weft__stackuse_on;

static struct lock lock; /* RANK_POOL; guards the table */
static struct use_table table;

/* --- the table --- */

static struct stack_use *place_of(struct use_table *u, const struct weft_site *site, void (*fn)(void))
{
	uint64_t h = ((uint64_t)(uintptr_t)site ^ (uint64_t)(uintptr_t)fn) * 0x9e3779b97f4a7c15u >> 20;

	for (size_t i = (size_t)h & (u->cap - 1);; i = (i + 1) & (u->cap - 1)) {
		struct stack_use *p = &u->use[i];

		if ((!p->site && !p->fn) || (p->site == site && p->fn == fn))
			return p;
	}
}

/* Room for one more. */
static bool grow(struct use_table *u)
{
	struct use_table more = {.n = u->n, .cap = u->cap ? 2 * u->cap : 64};

	if (2 * (u->n + 1) <= u->cap)
		return true;
	more.use = calloc(more.cap, sizeof *more.use);
	if (!more.use)
		return false;
	for (size_t i = 0; i < u->cap; i++) {
		if (u->use[i].site || u->use[i].fn)
			*place_of(&more, u->use[i].site, u->use[i].fn) = u->use[i];
	}
	free(u->use);
	*u = more;
	return true;
}

bool weft__stackuse_add(struct use_table *u, const struct stack_use *more)
{
	void (*fn)(void) = more->site ? NULL : more->fn;
	struct stack_use *p;

	if (!grow(u))
		return false;
	p = place_of(u, more->site, fn);
	u->n += !p->site && !p->fn;
	p->site = more->site;
	p->fn = fn;
	p->ended += more->ended;
	p->alive += more->alive;
	if (p->deepest < more->deepest)
		p->deepest = more->deepest;
	if (p->size < more->size)
		p->size = more->size;
	return true;
}

bool weft__stackuse_copy(struct use_table *u)
{
	bool room = true;

	lock_take(&lock, RANK_POOL);
	for (size_t i = 0; i < table.cap && room; i++) {
		if (table.use[i].site || table.use[i].fn)
			room = weft__stackuse_add(u, &table.use[i]);
	}
	lock_drop(&lock);
	return room;
}

/* --- one stack --- */

size_t weft__stackuse_depth(const char *lo, const char *hi, size_t (*lowest)(const char *page, size_t size, void *arg), void *arg)
{
	size_t page = page_size();
	unsigned char in[PAGES];

	for (const char *at = lo; at < hi; at += PAGES * page) {
		size_t n = (size_t)(hi - at) / page < PAGES ? (size_t)(hi - at) / page : PAGES;

		if (mincore((void *)(uintptr_t)at, n * page, in))
			return 0;
		for (size_t i = 0; i < n; i++) {
			size_t low = in[i] & 1 ? lowest(at + i * page, page, arg) : page;

			if (low < page) /* else it was only reserved, or cleaned by hand */
				return (size_t)(hi - at) - i * page - low;
		}
	}
	return 0;
}

/* Offset of the lowest word that is not zero; size: there is none. */
UNSEEN static size_t lowest_word(const char *page, size_t size, void *arg)
{
	const uint64_t *w = (const uint64_t *)(const void *)page;

	(void)arg;
	for (size_t i = 0; i < size / sizeof *w; i++) {
		if (w[i])
			return i * sizeof *w;
	}
	return size;
}

static size_t depth(const struct stack *s)
{
	return weft__stackuse_depth(s->lo, s->hi, lowest_word, NULL);
}

static void clean(struct stack *s, size_t used)
{
	if (used > CLEAN_BY_HAND || weft__san) { /* sanitizers look at who writes there */
		if (madvise(s->lo, (size_t)(s->hi - s->lo), MADV_DONTNEED) == 0)
			return;
	}
	memset(s->hi - used, 0, used);
}

void weft__stackuse_clean(struct stack *s)
{
	clean(s, (size_t)(s->hi - s->lo));
}

/* --- notes --- */

static size_t note(struct weft_task *t, struct stack *s, unsigned ended)
{
	struct stack_use u = {.site = t->site, .fn = t->fn, .ended = ended, .deepest = depth(s), .size = (size_t)(s->hi - s->lo)};

	lock_take(&lock, RANK_POOL);
	(void)weft__stackuse_add(&table, &u); /* without memory a place may be missing */
	lock_drop(&lock);
	return u.deepest;
}

void weft__stackuse_ended(struct weft_task *t, struct stack *s)
{
	clean(s, note(t, s, 1));
}

void weft__stackuse_left(struct weft_task *t, struct stack *s)
{
	if (load_relaxed(&t->state) != WEFT_TASK_NEW) /* nobody else's any more */
		clean(s, note(t, s, 0));
}

void weft__stackuse_fell(struct weft_task *t, struct stack *s)
{
	(void)note(t, s, 1);
}

void weft__stackuse_seen(struct weft_task *t, struct stack *s)
{
	(void)note(t, s, 0);
}

void weft__stackuse_up(bool on)
{
	weft__stackuse_on = on; /* no other thread is up that looks at it */
	lock_take(&lock, RANK_POOL);
	free(table.use);
	table = (struct use_table){.n = 0};
	lock_drop(&lock);
	if (on)
		weft__stack_trim(); /* those in the pool have been used */
}
