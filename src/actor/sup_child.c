/* SPDX-License-Identifier: MIT
 *
 * sup_child.c - the children of a supervisor: memory, finding one, starting one, stopping one or all.
 *
 * Two tables, chained, which grow when there is memory for that, and a heap of those that wait, which has room for all before they are started: so nothing that happens later needs any.
 */
#include "actor/sup.h"

#include "base/check.h"
#include <stdlib.h>
#include <string.h>

#define SIZE_LIMIT ((size_t)1 << 30)
#define FIRST_SLOTS SMALL(16, 2)

/* --- memory --- */

int weft__child_check(const weft_child_spec *c, bool dynamic, enum weft_auto_shutdown a)
{
	if (!!c->start + !!c->task + !!c->sup != 1 || (!dynamic && (!c->id || !*c->id)) || c->size >= SIZE_LIMIT ||
	    (c->size && !c->arg && !dynamic) || (unsigned)c->restart > WEFT_TEMPORARY || (unsigned)c->on_fail > WEFT_FAIL_ESCALATE ||
	    (c->shutdown < 0 && c->shutdown != WEFT_SHUTDOWN_KILL) || (c->contain && !c->task) ||
	    (c->significant && (a == WEFT_SHUTDOWN_NEVER || c->restart == WEFT_PERMANENT)))
		return WEFT_EINVAL;
	return c->id && strlen(c->id) > WEFT_NAME_MAX ? WEFT_ENAMETOOLONG : 0;
}

static size_t rounded(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

static struct child *child_alloc(size_t more)
{
	struct child *c = malloc(sizeof *c + more);

	if (c)
		memset(c, 0, sizeof *c);
	return c;
}

/* at: where in more there is room for the copy. */
static void take_arg(struct child *c, void *arg, size_t size, size_t at)
{
	c->arg = size ? memcpy(c->more + at, arg, size) : arg;
}

struct child *weft__child_new(const weft_child_spec *spec, bool with_arg)
{
	size_t at_arg = rounded(sizeof *spec), at_id = at_arg + (with_arg ? rounded(spec->size) : 0);
	struct child *c = child_alloc(at_id + (spec->id ? strlen(spec->id) + 1 : 0));
	weft_child_spec *own;

	if (!c)
		return NULL;
	own = (weft_child_spec *)(void *)c->more;
	*own = *spec;
	if (spec->id)
		own->id = strcpy(c->more + at_id, spec->id);
	c->spec = own;
	if (with_arg)
		take_arg(c, spec->arg, spec->size, at_arg);
	return c;
}

struct child *weft__child_like(size_t size, void *arg)
{
	struct child *c = child_alloc(size);

	if (c)
		take_arg(c, arg, size, 0);
	return c;
}

static int call_dtor(void *spec)
{
	const weft_child_spec *c = spec;

	c->dtor(c->arg);
	return 0;
}

void weft__child_drop_arg(const weft_child_spec *spec, void *arg)
{
	weft_child_spec c = {.dtor = spec->dtor, .arg = arg};
	weft_panic p;

	if (c.dtor && weft_task_try(call_dtor, &c, &p) == WEFT_EPANIC)
		weft__log("dtor of a child's argument panicked: %s (%s:%d)", p.message, p.file, p.line);
}

void weft__child_free(struct child *c, bool with_arg)
{
	if (with_arg)
		weft__child_drop_arg(c->spec, c->arg);
	free(c);
}

/* --- finding one --- */

static uint32_t hash_ref(weft_actor_ref ref)
{
	uint64_t h = (uint64_t)(uintptr_t)ref.weft__at * 0x9e3779b97f4a7c15ULL; /* who is alive has a cell of its own */

	return (uint32_t)(h >> 32);
}

static uint32_t hash_id(const char *id)
{
	uint64_t h = 0xcbf29ce484222325ULL; /* FNV-1a */

	while (*id)
		h = (h ^ (unsigned char)*id++) * 0x100000001b3ULL;
	return (uint32_t)(h ^ h >> 32);
}

static uint32_t hash_child(const struct child *c, int by)
{
	return by == BY_REF ? hash_ref(c->ref) : hash_id(c->spec->id);
}

/* At least one slot for each; what it has stays if there is no memory. */
static void grow(struct table *t, int by)
{
	uint32_t n = t->slot ? (t->mask + 1) * 2 : FIRST_SLOTS;
	struct child **slot = calloc(n, sizeof *slot);

	if (!slot)
		return;
	for (uint32_t i = 0; t->slot && i <= t->mask; i++) {
		struct child *c = t->slot[i], *next;

		for (; c; c = next) {
			struct child **to = &slot[hash_child(c, by) & (n - 1)];

			next = c->next[by];
			c->next[by] = *to;
			*to = c;
		}
	}
	free(t->slot);
	t->slot = slot;
	t->mask = n - 1;
}

static bool table_ready(struct sup *s, int by)
{
	struct table *t = &s->table[by];

	if (!t->slot || t->n > t->mask)
		grow(t, by);
	return t->slot != NULL;
}

static void table_put(struct sup *s, int by, struct child *c)
{
	struct table *t = &s->table[by];
	struct child **at = &t->slot[hash_child(c, by) & t->mask];

	c->next[by] = *at;
	*at = c;
	t->n++;
}

static void table_del(struct sup *s, int by, struct child *c)
{
	struct table *t = &s->table[by];
	struct child **at = &t->slot[hash_child(c, by) & t->mask];

	while (*at != c)
		at = &(*at)->next[by];
	*at = c->next[by];
	t->n--;
}

struct child *weft__child_by_ref(struct sup *s, weft_actor_ref ref)
{
	struct table *t = &s->table[BY_REF];
	struct child *c = t->slot ? t->slot[hash_ref(ref) & t->mask] : NULL;

	while (c && !weft_actor_same(c->ref, ref))
		c = c->next[BY_REF];
	return c;
}

struct child *weft__child_by_id(struct sup *s, const char *id)
{
	struct table *t = &s->table[BY_ID];
	struct child *c = t->slot ? t->slot[hash_id(id) & t->mask] : NULL;

	while (c && strcmp(c->spec->id, id) != 0)
		c = c->next[BY_ID];
	return c;
}

/* --- coming and going --- */

static bool heap_ready(struct sup *s)
{
	uint32_t cap = s->heap_cap ? s->heap_cap * 2 : FIRST_SLOTS;
	struct child **heap;

	if (s->n < s->heap_cap)
		return true;
	heap = realloc(s->heap, cap * sizeof *heap);
	if (!heap)
		return false;
	s->heap = heap;
	s->heap_cap = cap;
	return true;
}

int weft__child_enter(struct sup *s, struct child *c)
{
	if (!heap_ready(s) || !table_ready(s, BY_REF) || (!sup_dynamic(s) && !table_ready(s, BY_ID)))
		return WEFT_ENOMEM;
	if (!sup_dynamic(s))
		table_put(s, BY_ID, c);
	list_push_tail(&s->children, &c->in_order);
	s->n++;
	return 0;
}

void weft__child_out(struct sup *s, struct child *c)
{
	weft__child_unwait(s, c, WEFT_CHILD_DOWN);
	if (!sup_dynamic(s))
		table_del(s, BY_ID, c);
	list_remove(&c->in_order);
	s->n--;
}

void weft__child_leave(struct sup *s, struct child *c)
{
	weft__child_out(s, c);
	if (c->lingers)
		list_push_tail(&s->kept, &c->in_order);
	else
		weft__child_free(c, true);
}

/* --- those that wait --- */

static void heap_set(struct sup *s, uint32_t place, struct child *c)
{
	s->heap[place - 1] = c;
	c->place = place;
}

/* c goes to where it belongs, from a place that is free. */
static void heap_sift(struct sup *s, uint32_t place, struct child *c)
{
	uint32_t below;

	while (place > 1 && s->heap[place / 2 - 1]->due > c->due) {
		heap_set(s, place, s->heap[place / 2 - 1]);
		place /= 2;
	}
	while ((below = place * 2) <= s->nheap) {
		if (below < s->nheap && s->heap[below]->due < s->heap[below - 1]->due)
			below++;
		if (s->heap[below - 1]->due >= c->due)
			break;
		heap_set(s, place, s->heap[below - 1]);
		place = below;
	}
	heap_set(s, place, c);
}

static void heap_del(struct sup *s, struct child *c)
{
	uint32_t place = c->place;
	struct child *last;

	if (!place)
		return;
	c->place = 0;
	last = s->heap[--s->nheap];
	if (last != c)
		heap_sift(s, place, last);
}

void weft__child_wait(struct sup *s, struct child *c, int64_t due)
{
	heap_del(s, c);
	if (c->state != WEFT_CHILD_WAITING)
		s->waiting++;
	c->state = WEFT_CHILD_WAITING;
	c->due = due;
	heap_sift(s, ++s->nheap, c);
}

void weft__child_unwait(struct sup *s, struct child *c, uint8_t then)
{
	heap_del(s, c);
	s->waiting -= c->state == WEFT_CHILD_WAITING;
	s->waiting += then == WEFT_CHILD_WAITING;
	c->state = then;
}

/* --- starting --- */

struct starting_child {
	const struct child *c;
	weft_actor_ref ref;
	const char *sup;
};

static void start_panicked(void *arg, const weft_panic *p)
{
	struct starting_child *st = arg;

	weft__log("start of child %s of supervisor %s panicked: %s (%s:%d)", st->c->spec->id ? st->c->spec->id : "", st->sup, p->message,
		  p->file, p->line);
	weft__actor_show();
}

static int call_start(void *arg)
{
	struct starting_child *st = arg;

	return st->c->spec->start(&st->ref, st->c->arg);
}

static int start_task(struct child *c, weft_actor_ref *ref)
{
	return weft__actor_start_at(ref,
				    &(weft_actor_opts){.run = c->spec->task,
						       .state = c->arg,
						       .size = c->spec->size,
						       .name = c->spec->id,
						       .link = true,
						       .contain = c->spec->contain},
				    WEFT_FOREVER, NULL);
}

static int start_sup(struct child *c, weft_actor_ref *ref)
{
	weft_sup_opts o = *c->spec->sup;

	o.link = true;
	if (!o.name)
		o.name = c->spec->id;
	return weft_sup_start(ref, &o);
}

static bool never(const weft_msg *m, void *arg)
{
	struct starting_child *st = arg;

	if (m->kind == WEFT_MSG_EXIT && !(m->weft__flags & LETTER_SIGNAL) && weft_actor_same(m->from, st->ref))
		st->c = NULL;
	return false;
}

/* Are they linked, or were they, when the other died, which has not told yet? Its cell is nobody else's until it has. */
static bool tied(struct actor *a, weft_actor_ref ref)
{
	struct actor *other = actor_at(ref), *fewer;
	bool found = false, its;

	if (other == a)
		return false; /* one that was there before us */
	lock_two(a, other);
	its = actor_is(other, ref) || (other->gen == ref.weft__gen + 1 && other->state == CELL_GONE);
	fewer = actor_is(other, ref) && other->nrelations < a->nrelations ? other : a;
	for (struct list_node *n = list_first(&fewer->relations); its && n && !found; n = list_after(&fewer->relations, n)) {
		struct side *side = container_of(n, struct side, link);

		found = other_side(side)->actor == (fewer == a ? other : a) && letter_of_side(side)->msg.kind == WEFT_MSG_EXIT;
	}
	unlock_two(a, other);
	return found;
}

/* Its end will be a message. Returns 0, WEFT_ENOMEM: it has not been linked, and is not. */
static int tie(struct sup *s, weft_actor_ref ref)
{
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	struct starting_child st = {.ref = ref};
	struct letter *l;
	int rc;

	if (tied(s->self, ref))
		return 0;
	rc = weft_actor_link(ref);
	if (rc != WEFT_ESRCH)
		return rc;
	if (tied(s->self, ref))
		return 0;
	st.c = (struct child *)s; /* not NULL */
	(void)weft__mail_pick(s->self, never, &st);
	if (!st.c)
		return 0;
	l = letter_get(w, sizeof(weft_down)); /* it was not linked */
	if (!l)
		return WEFT_ENOMEM;
	weft__letter_down(l, 0, ref, actor_last_end(ref), WEFT_MSG_EXIT);
	lock_take_solo(&s->self->lock, RANK_ACTOR);
	(void)weft__mail_put(s->self, l); /* we do not wait */
	actor_unlock(s->self);
	return 0;
}

static int start_any(const struct sup *s, struct child *c, weft_actor_ref *ref)
{
	struct starting_child st = {.c = c, .ref = WEFT_NO_ACTOR, .sup = s->name};
	int rc;

	if (c->spec->task)
		return start_task(c, ref);
	if (c->spec->sup)
		return start_sup(c, ref);
	rc = weft__task_try(call_start, &st, NULL, start_panicked, &st);
	*ref = st.ref;
	return rc;
}

/* One that nobody would look after. */
static void discard(struct sup *s, weft_actor_ref ref)
{
	(void)weft_actor_kill(ref);
	(void)weft_actor_wait_until(ref, NULL, weft_in(s->o.patience));
}

int weft__child_start(struct sup *s, struct child *c)
{
	weft_actor_ref ref = WEFT_NO_ACTOR;
	int rc;

	weft__child_unwait(s, c, WEFT_CHILD_DOWN);
	rc = start_any(s, c, &ref);
	if (rc == WEFT_CHILD_IGNORE)
		return 0;
	if (rc > 0 || (!rc && (!ref.weft__at || weft_actor_same(ref, actor_ref(s->self)) || weft__child_by_ref(s, ref))))
		rc = WEFT_EINVAL;
	else if (!rc) {
		rc = tie(s, ref);
		if (rc)
			discard(s, ref);
	}
	if (rc) {
		c->why = (weft_end){WEFT_END_CODE, rc};
		weft__sup_tell(s, WEFT_SUP_START_FAILED, c, c->why, 0);
		return rc;
	}
	(void)table_ready(s, BY_REF); /* there is a table: it may be longer */
	c->ref = ref;
	table_put(s, BY_REF, c);
	c->state = WEFT_CHILD_UP;
	c->sup = c->spec->sup || !weft__sup_check(ref);
	if (c->since)
		c->restarts++;
	s->up++;
	s->sups += c->sup;
	rc = c->since != 0;
	c->since = weft_now();
	weft__sup_tell(s, rc ? WEFT_SUP_RESTARTED : WEFT_SUP_STARTED, c, (weft_end){0, 0}, 0);
	return 0;
}

void weft__child_gone(struct sup *s, struct child *c)
{
	table_del(s, BY_REF, c);
	s->up--;
	s->sups -= c->sup;
	c->sup = c->told = false;
	c->ref = WEFT_NO_ACTOR;
	c->state = WEFT_CHILD_DOWN;
}

/* --- stopping --- */

static void kill_it(struct sup *s, struct child *c)
{
	(void)weft_actor_kill(c->ref);
	c->killed = true;
	c->due = weft_in(s->o.patience);
}

/* It is told, and knows until when. */
static void begin_stop(struct sup *s, struct child *c)
{
	const weft_end e = {WEFT_END_SHUTDOWN, 0};
	int64_t within = c->spec->shutdown;

	if (c->told)
		return; /* before its supervisor was to end: its time runs already */
	c->told = true;
	if (!within)
		within = c->sup ? WEFT_FOREVER : WEFT_SHUTDOWN_DEFAULT;
	c->killed = false;
	if (within == WEFT_SHUTDOWN_KILL) {
		kill_it(s, c);
		return;
	}
	c->due = weft_in(within);
	if (c->sup)
		(void)weft_actor_stop(c->ref, e); /* also when it has got much to hear of its own children */
	else if (weft_actor_signal(c->ref, e) == WEFT_ENOMEM)
		kill_it(s, c);
}

/* The supervisor has been cancelled, and will stop all that are up in on_stop, where it can wait. */
static bool on_stop_will(struct sup *s)
{
	bool killed;

	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&s->self->lock, RANK_ACTOR);
	killed = s->self->order == ORDER_KILL;
	actor_unlock(s->self);
	return !killed && !s->ending;
}

/* Until its time. Returns 0: it has ended; WEFT_ETIMEDOUT: not yet, and it is killed now, or was before; WEFT_ECANCELED: we cannot wait, and it is killed; WEFT_EAGAIN: nor can we, but later. */
static int await_stop(struct sup *s, struct child *c)
{
	int rc = weft_actor_wait_until(c->ref, &c->end, c->due);

	if (rc == WEFT_ESRCH)
		c->end = actor_last_end(c->ref);
	if (!rc || rc == WEFT_ESRCH)
		return 0;
	if (rc == WEFT_ETIMEDOUT && weft_ctx_check())
		rc = WEFT_ECANCELED;
	if (rc == WEFT_ECANCELED && on_stop_will(s))
		return WEFT_EAGAIN;
	if (!c->killed)
		kill_it(s, c);
	return rc;
}

/* rc: what await_stop has come to at last. */
static void end_stop(struct sup *s, struct child *c, int rc)
{
	weft_actor_ref ref = c->ref;

	weft__child_gone(s, c);
	if (rc) {
		(void)weft_actor_unlink(ref);
		c->lingers = true;
		s->abandoned++;
		c->end = (weft_end){WEFT_END_KILLED, rc};
	}
	weft__sup_tell(s, rc ? WEFT_SUP_ABANDONED : WEFT_SUP_STOPPED, c, c->end, 0);
}

int weft__child_stop(struct sup *s, struct child *c, uint8_t then)
{
	if (c->state == WEFT_CHILD_UP) {
		bool was_killed;
		int rc;

		begin_stop(s, c);
		was_killed = c->killed;
		rc = await_stop(s, c);
		if (rc == WEFT_ETIMEDOUT && !was_killed)
			rc = await_stop(s, c);
		if (rc == WEFT_EAGAIN) {
			rc = weft_ctx_check();
			return rc ? rc : WEFT_ECANCELED;
		}
		end_stop(s, c, rc);
	}
	weft__child_unwait(s, c, then);
	return 0;
}

/* All at once, and each has its time from now on. */
static void stop_together(struct sup *s)
{
	struct list_node *n, *next;

	for (n = list_first(&s->children); n; n = list_after(&s->children, n)) {
		if (child_of(n)->state == WEFT_CHILD_UP)
			begin_stop(s, child_of(n));
	}
	for (n = list_first(&s->children); n; n = next) { /* those that were told */
		struct child *c = child_of(n);

		next = list_after(&s->children, n);
		if (c->state == WEFT_CHILD_UP && !c->killed && !await_stop(s, c))
			end_stop(s, c, 0);
		if (c->state != WEFT_CHILD_UP)
			weft__child_leave(s, c);
	}
	for (n = list_first(&s->children); n; n = next) { /* those that have been killed, by now */
		struct child *c = child_of(n);

		next = list_after(&s->children, n);
		end_stop(s, c, await_stop(s, c));
		weft__child_leave(s, c);
	}
}

void weft__child_stop_all(struct sup *s)
{
	struct list_node *n;

	s->group_due = WEFT_FOREVER;
	if (sup_dynamic(s)) {
		stop_together(s);
		return;
	}
	while ((n = list_empty(&s->children) ? NULL : s->children.head.prev) != NULL) {
		(void)weft__child_stop(s, child_of(n), WEFT_CHILD_DOWN); /* 0, now that it ends */
		weft__child_leave(s, child_of(n));
	}
}
