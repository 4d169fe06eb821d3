/* SPDX-License-Identifier: MIT
 *
 * pg.c - groups of actors.
 *
 * A group is made by its first member and freed with its last. One lock guards all. A broadcast copies the members first and sends with nothing locked.
 */
#include "actor/name.h"

#include <stdlib.h>

struct pg {
	struct list_node in_bucket;
	struct list members; /* oldest first */
	int n;
	char text[WEFT_NAME_MAX + 1];
};

struct member {
	struct list_node in_group, of_actor;
	struct pg *group;
	weft_actor_ref ref;
};

static struct lock pg_lock; /* RANK_NAMES; guards groups, members and actor->groups */
static struct list groups[NAME_BUCKETS];

/* Locked. */
static struct pg *find(const struct name_key *k)
{
	struct list *b = &groups[k->bucket];

	for (struct list_node *n = list_first(b); n; n = list_after(b, n)) {
		struct pg *g = container_of(n, struct pg, in_bucket);

		if (name_is(g->text, k))
			return g;
	}
	return NULL;
}

/* Locked. Looked for among the actor's groups: a group may have many members. */
static struct member *find_member(struct pg *g, struct actor *a)
{
	for (struct list_node *n = list_first(&a->groups); n; n = list_after(&a->groups, n)) {
		struct member *m = container_of(n, struct member, of_actor);

		if (m->group == g)
			return m;
	}
	return NULL;
}

/* Locked. Returns the group, if it is to be freed. */
static struct pg *take_out(struct member *m)
{
	struct pg *g = m->group;

	list_remove(&m->in_group);
	list_remove(&m->of_actor);
	if (--g->n)
		return NULL;
	list_remove(&g->in_bucket);
	return g;
}

int weft_pg_join(const char *text, weft_actor_ref ref)
{
	struct pg *fresh, *g;
	struct name_key k;
	struct member *m;
	struct actor *a;
	int rc = name_key(&k, text);

	if (rc)
		return rc;
	(void)weft__worker(); /* before anything is locked: see base/solo.h */
	fresh = calloc(1, sizeof *fresh);
	m = malloc(sizeof *m);
	rc = fresh && m ? 0 : WEFT_ENOMEM;
	if (rc)
		goto out;
	memcpy(fresh->text, text, k.len + 1);
	m->ref = ref;
	lock_take_solo(&pg_lock, RANK_NAMES);
	a = actor_lock(ref);
	g = find(&k);
	rc = !a || a->nameless ? WEFT_ESRCH : g && find_member(g, a) ? WEFT_EALREADY : 0;
	if (!rc) {
		if (!g) {
			g = fresh;
			list_push_tail(&groups[k.bucket], &g->in_bucket);
			fresh = NULL;
		}
		m->group = g;
		list_push_tail(&g->members, &m->in_group);
		list_push_tail(&a->groups, &m->of_actor);
		g->n++;
		a->named = true;
		m = NULL;
	}
	if (a)
		actor_unlock(a);
	lock_drop_solo(&pg_lock);
out:
	free(fresh);
	free(m);
	return rc;
}

int weft_pg_leave(const char *text, weft_actor_ref ref)
{
	struct pg *g, *empty = NULL;
	struct member *m = NULL;
	struct name_key k;
	struct actor *a;
	int rc = name_key(&k, text);

	if (rc)
		return rc;
	(void)weft__worker(); /* as above */
	lock_take_solo(&pg_lock, RANK_NAMES);
	a = actor_lock(ref);
	g = find(&k);
	if (a && g)
		m = find_member(g, a);
	if (m)
		empty = take_out(m);
	if (a)
		actor_unlock(a);
	lock_drop_solo(&pg_lock);
	free(empty);
	free(m);
	return m ? 0 : a ? WEFT_ENOENT : WEFT_ESRCH;
}

/* The first n members. Returns how many there are. */
static int members(const struct name_key *k, weft_actor_ref *out, int n)
{
	struct pg *g;
	int i = 0, all;

	(void)weft__worker(); /* as above */
	lock_take_solo(&pg_lock, RANK_NAMES);
	g = find(k);
	for (struct list_node *at = g ? list_first(&g->members) : NULL; at && i < n; at = list_after(&g->members, at))
		out[i++] = container_of(at, struct member, in_group)->ref;
	all = g ? g->n : 0;
	lock_drop_solo(&pg_lock);
	return all;
}

int weft_pg_members(const char *text, weft_actor_ref *out, int n)
{
	struct name_key k;
	int rc = name_key(&k, text);

	if (!rc && (n < 0 || (n && !out)))
		rc = WEFT_EINVAL;
	return rc ? rc : members(&k, out, n);
}

#define FEW 16

int weft_pg_send_until(const char *text, uint64_t tag, const void *data, size_t len, int prio, int64_t deadline)
{
	weft_actor_ref few[FEW], *to = few;
	int room = FEW, n, done = 0, rc;
	struct name_key k;

	rc = name_key(&k, text);
	if (!rc)
		rc = weft_ctx_check();
	if (!rc && (prio < WEFT_PRIO_URGENT || prio > WEFT_PRIO_LOW || (len && !data)))
		rc = WEFT_EINVAL;
	if (!rc && len >= MSG_MAX)
		rc = WEFT_EMSGSIZE;
	if (rc)
		return rc;
	while ((n = members(&k, to, room)) > room) { /* it may grow meanwhile */
		if (to != few)
			free(to);
		room = n + n / 2;
		to = malloc((size_t)room * sizeof *to);
		if (!to)
			return WEFT_ENOMEM;
	}
	for (int i = 0; i < n; i++)
		done += weft_actor_send_until(to[i], tag, data, len, prio, deadline) == 0;
	if (to != few)
		free(to);
	return done;
}

int weft_pg_send(const char *text, uint64_t tag, const void *data, size_t len, int prio)
{
	int rc = weft_pg_send_until(text, tag, data, len, prio, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

/* As in registry.c. */
static void forget(weft_actor_ref ref)
{
	struct actor *a = actor_at(ref);
	struct list_node *n;

	for (;;) {
		struct pg *empty = NULL;
		struct member *m = NULL;

		lock_take_solo(&pg_lock, RANK_NAMES);
		n = list_first(&a->groups);
		if (n && weft_actor_same(container_of(n, struct member, of_actor)->ref, ref)) {
			m = container_of(n, struct member, of_actor);
			empty = take_out(m);
		}
		lock_drop_solo(&pg_lock);
		if (!m)
			return;
		free(empty);
		free(m);
	}
}

__attribute__((constructor)) static void hook(void)
{
	weft__pg_forget = forget;
}
