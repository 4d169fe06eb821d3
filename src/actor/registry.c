/* SPDX-License-Identifier: MIT
 *
 * registry.c - names of actors.
 *
 * One lock, buckets of names, and in each bucket who waits for one of its names. Whoever gives a name claims those who wait for it.
 */
#include "actor/name.h"

#include <stdlib.h>

/* Who waits, in its frame. */
struct asking {
	struct name_key key;
	weft_actor_ref got;
};

static struct lock names_lock; /* RANK_NAMES; guards all below and actor->names */
static struct list names[NAME_BUCKETS];
static struct list waiting[NAME_BUCKETS]; /* waiters, slot: a struct asking */

/* Locked. */
static struct name *find(const struct name_key *k)
{
	struct list *b = &names[k->bucket];

	for (struct list_node *n = list_first(b); n; n = list_after(b, n)) {
		struct name *e = container_of(n, struct name, in_bucket);

		if (name_is(e->text, k))
			return e;
	}
	return NULL;
}

/* Locked. */
static void tell_waiting(const struct name_key *k, weft_actor_ref ref, struct ready_list *ready)
{
	struct list *b = &waiting[k->bucket];
	struct list_node *n, *next;

	for (n = list_first(b); n; n = next) {
		struct waiter *w = container_of(n, struct waiter, link);
		struct asking *ask = w->slot;
		struct weft_task *t = w->task;

		next = list_after(b, n);
		if (!name_is(k->text, &ask->key))
			continue;
		list_remove(n);
		if (!waiter_claim(w, 0, false))
			continue;
		ask->got = ref;
		ready_list_add(ready, t);
	}
}

int weft_reg_put(const char *text, weft_actor_ref ref)
{
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	struct ready_list ready;
	struct name_key k;
	struct actor *a;
	struct name *e;
	int rc = name_key(&k, text);

	if (rc)
		return rc;
	e = malloc(sizeof *e);
	if (!e)
		return WEFT_ENOMEM;
	e->ref = ref;
	memcpy(e->text, text, k.len + 1);
	ready_list_init(&ready);
	lock_take_solo(&names_lock, RANK_NAMES);
	a = actor_lock(ref);
	rc = !a || a->nameless ? WEFT_ESRCH : find(&k) ? WEFT_EEXIST : 0;
	if (!rc) {
		list_push_tail(&names[k.bucket], &e->in_bucket);
		list_push_tail(&a->names, &e->of_actor);
		a->named = true;
		tell_waiting(&k, ref, &ready);
	}
	if (a)
		actor_unlock(a);
	lock_drop_solo(&names_lock);
	weft__ready_list(w, ready.first);
	if (rc)
		free(e);
	return rc;
}

int weft_reg_get(const char *text, weft_actor_ref *out)
{
	struct name_key k;
	struct name *e;
	int rc = out ? name_key(&k, text) : WEFT_EINVAL;

	if (out)
		*out = WEFT_NO_ACTOR;
	if (rc)
		return rc;
	(void)weft__worker(); /* as above */
	lock_take_solo(&names_lock, RANK_NAMES);
	e = find(&k);
	if (e)
		*out = e->ref;
	lock_drop_solo(&names_lock);
	return e ? 0 : WEFT_ENOENT;
}

void weft__reg_name(weft_actor_ref ref, char text[WEFT_NAME_MAX + 1])
{
	struct actor *a = actor_at(ref);
	struct list_node *n;

	*text = 0;
	if (!a)
		return;
	(void)weft__worker(); /* as above */
	lock_take_solo(&names_lock, RANK_NAMES);
	n = list_first(&a->names);
	if (n && weft_actor_same(container_of(n, struct name, of_actor)->ref, ref))
		strcpy(text, container_of(n, struct name, of_actor)->text);
	lock_drop_solo(&names_lock);
}

int weft_reg_wait_until(const char *text, weft_actor_ref *out, int64_t deadline)
{
	struct asking ask;
	struct waiter w;
	struct name *e;
	struct self me;
	uint64_t word;
	int rc = out ? name_key(&ask.key, text) : WEFT_EINVAL;

	if (out)
		*out = WEFT_NO_ACTOR;
	if (!rc)
		rc = self_enter(&me, &deadline);
	if (rc)
		return rc;
	lock_take_solo(&names_lock, RANK_NAMES);
	e = find(&ask.key);
	if (e)
		*out = e->ref;
	if (e || deadline == WEFT_NOW) {
		lock_drop_solo(&names_lock);
		return e ? 0 : WEFT_EAGAIN;
	}
	word = wait_begin(me.task, &w, 1, REASON_ACTOR_NAME, deadline);
	waiter_init(&w, me.task, word, &names_lock, RANK_NAMES, names, &ask);
	list_push_tail(&waiting[ask.key.bucket], &w.link);
	lock_drop_solo(&names_lock);
	rc = weft__wait_park(me.worker, me.task, &w, 1, word, deadline);
	if (!rc)
		*out = ask.got;
	return rc;
}

int weft_reg_wait(const char *text, weft_actor_ref *out)
{
	int rc = weft_reg_wait_until(text, out, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_reg_del(const char *text)
{
	struct name_key k;
	struct name *e;
	int rc = name_key(&k, text);

	if (rc)
		return rc;
	(void)weft__worker(); /* as above */
	lock_take_solo(&names_lock, RANK_NAMES);
	e = find(&k);
	if (e) {
		list_remove(&e->in_bucket);
		list_remove(&e->of_actor);
	}
	lock_drop_solo(&names_lock);
	free(e);
	return e ? 0 : WEFT_ENOENT;
}

int weft_reg_send_until(const char *text, uint64_t tag, const void *data, size_t len, int prio, int64_t deadline)
{
	weft_actor_ref ref;
	int rc = weft_reg_get(text, &ref);

	return rc ? rc : weft_actor_send_until(ref, tag, data, len, prio, deadline);
}

int weft_reg_send(const char *text, uint64_t tag, const void *data, size_t len, int prio)
{
	int rc = weft_reg_send_until(text, tag, data, len, prio, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

/* An actor has all of its names, or none, taken away before the next one has its cell: so the first tells whose they are. */
static void forget(weft_actor_ref ref)
{
	struct actor *a = actor_at(ref);
	struct list_node *n;
	struct name *e;

	for (;;) {
		e = NULL;
		lock_take_solo(&names_lock, RANK_NAMES);
		n = list_first(&a->names);
		if (n && weft_actor_same(container_of(n, struct name, of_actor)->ref, ref)) {
			e = container_of(n, struct name, of_actor);
			list_remove(&e->in_bucket);
			list_remove(&e->of_actor);
		}
		lock_drop_solo(&names_lock);
		if (!e)
			return;
		free(e);
	}
}

__attribute__((constructor)) static void hook(void)
{
	weft__reg_forget = forget;
}
