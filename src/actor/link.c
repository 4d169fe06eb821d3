/* SPDX-License-Identifier: MIT
 *
 * link.c - links and monitors: made and ended by the actor that asks. What becomes of them at a death: death.c.
 *
 * A relation lies in the letter that will tell of it, so a death needs no memory. Its two sides are in the lists of the two actors; newest first, because what is made last is often ended
 * first (a call to a server is a monitor that lives as long). A link is looked for on the side that has fewer.
 *
 * What is looked for is looked for with the actor locked, one relation after the other: whoever monitors 100,000 others and ends the oldest of those monitors keeps who sends to it waiting for
 * a millisecond or so.
 */
#include "actor/actor.h"

static void add_side(struct relation *r, uint64_t which, struct actor *a)
{
	struct side *s = &r->side[which];

	s->actor = a;
	s->which = which;
	list_push_head(&a->relations, &s->link);
	a->nrelations++;
}

void weft__unlink_side(struct side *s)
{
	list_remove(&s->link);
	s->actor->nrelations--;
}

static struct letter *relation_new(struct worker *w, enum weft_msg_kind kind, uint64_t number)
{
	struct letter *l = letter_get(w, sizeof(struct relation));

	if (l) {
		l->msg.kind = (uint8_t)kind;
		l->msg.tag = number;
	}
	return l;
}

/* Both locked. The link between them; NULL: there is none. */
static struct side *find_link(struct actor *a, struct actor *b)
{
	struct actor *fewer = a->nrelations < b->nrelations ? a : b;
	struct actor *other = fewer == a ? b : a;

	for (struct list_node *n = list_first(&fewer->relations); n; n = list_after(&fewer->relations, n)) {
		struct side *s = container_of(n, struct side, link);

		if (other_side(s)->actor == other && letter_of_side(s)->msg.kind == WEFT_MSG_EXIT)
			return s;
	}
	return NULL;
}

int weft__link(struct actor *a, weft_actor_ref ref)
{
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	struct actor *other = actor_at(ref);
	struct letter *l;
	int rc = WEFT_ESRCH;

	if (other == a && actor_is(a, ref))
		return WEFT_EINVAL;
	if (!other || other == a)
		return WEFT_ESRCH;
	l = relation_new(w, WEFT_MSG_EXIT, 0);
	if (!l)
		return WEFT_ENOMEM;
	lock_two(a, other);
	if (actor_is(other, ref)) {
		rc = 0;
		if (!find_link(a, other)) {
			add_side((struct relation *)l->bytes, 0, a);
			add_side((struct relation *)l->bytes, 1, other);
			l = NULL;
		}
	}
	unlock_two(a, other);
	if (l)
		letter_put(w, l);
	return rc;
}

int weft_actor_link(weft_actor_ref ref)
{
	struct actor *a = actor_self(weft__worker());

	return a ? weft__link(a, ref) : WEFT_EINVAL;
}

int weft_actor_unlink(weft_actor_ref ref)
{
	struct worker *w = weft__worker(); /* as above */
	struct actor *a = actor_self(w), *other = actor_at(ref);
	struct letter *l = NULL;
	struct side *s;

	if (!a || (other == a && actor_is(a, ref)))
		return WEFT_EINVAL;
	if (!other || other == a)
		return WEFT_ESRCH;
	lock_two(a, other);
	s = actor_is(other, ref) ? find_link(a, other) : NULL;
	if (s) {
		l = letter_of_side(s);
		weft__unlink_side(s);
		weft__unlink_side(other_side(s));
	}
	unlock_two(a, other);
	if (!l)
		return WEFT_ESRCH;
	letter_put(w, l);
	return 0;
}

int weft_actor_monitor(weft_actor_ref ref, uint64_t *number)
{
	struct worker *w = weft__worker(); /* as above */
	struct actor *a = actor_self(w), *target = actor_at(ref);
	struct letter *l;

	if (!a || (target == a && actor_is(a, ref)))
		return WEFT_EINVAL;
	l = relation_new(w, WEFT_MSG_DOWN, a->next_monitor + 1);
	if (!l)
		return WEFT_ENOMEM;
	a->next_monitor++;
	if (number)
		*number = a->next_monitor;
	if (target && target != a) {
		lock_two(a, target);
		if (actor_is(target, ref)) {
			add_side((struct relation *)l->bytes, TARGET, target);
			add_side((struct relation *)l->bytes, WATCHER, a);
			l = NULL;
		}
		unlock_two(a, target);
	}
	if (!l)
		return 0;
	weft__letter_down(l, a->next_monitor, ref, (weft_end){WEFT_END_UNKNOWN, WEFT_ESRCH}, WEFT_MSG_DOWN);
	lock_take_solo(&a->lock, RANK_ACTOR);
	(void)weft__mail_put(a, l); /* we do not wait */
	actor_unlock(a);
	return 0;
}

static struct side *find_monitor(struct actor *a, uint64_t number)
{
	for (struct list_node *n = list_first(&a->relations); n; n = list_after(&a->relations, n)) {
		struct side *s = container_of(n, struct side, link);
		struct letter *l = letter_of_side(s);

		if (s->which == WATCHER && l->msg.kind == WEFT_MSG_DOWN && l->msg.tag == number)
			return s;
	}
	return NULL;
}

/* Takes a monitor of the caller's apart. Returns its letter; NULL: it has been told, or there was none. */
static struct letter *end_monitor(struct actor *a, uint64_t number)
{
	struct actor *target;
	struct letter *l;
	struct side *s;

	lock_take_solo(&a->lock, RANK_ACTOR);
	for (;;) {
		s = find_monitor(a, number);
		if (!s) {
			lock_drop_solo(&a->lock);
			return NULL;
		}
		target = other_side(s)->actor;
		if (target > a) {
			lock_take_solo(&target->lock, RANK_ACTOR);
			break;
		}
		lock_drop_solo(&a->lock); /* it may be told meanwhile */
		lock_two(a, target);
		if (find_monitor(a, number)) /* the same one: numbers are not used again */
			break;
		lock_drop_solo(&target->lock);
	}
	l = letter_of_side(s);
	weft__unlink_side(s);
	weft__unlink_side(other_side(s));
	unlock_two(a, target);
	return l;
}

static bool is_of(const weft_msg *m, void *arg)
{
	return m->kind == WEFT_MSG_DOWN && m->tag == *(uint64_t *)arg;
}

int weft_actor_demonitor(uint64_t number)
{
	struct worker *w = weft__worker(); /* as above */
	struct actor *a = actor_self(w);
	struct letter *l;

	if (!a)
		return WEFT_EINVAL;
	l = end_monitor(a, number);
	if (!l)
		l = weft__mail_pick(a, is_of, &number);
	if (!l)
		return WEFT_ESRCH;
	letter_put(w, l);
	return 0;
}

int weft_actor_trap(bool on)
{
	struct actor *a = actor_self(weft__worker());
	bool was;

	if (!a)
		return WEFT_EINVAL;
	lock_take_solo(&a->lock, RANK_ACTOR);
	was = a->traps;
	a->traps = on;
	actor_unlock(a);
	return was;
}
