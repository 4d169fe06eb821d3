/* SPDX-License-Identifier: MIT
 *
 * death.c - the end of an actor, and its news.
 *
 *   1  its names and groups forget it, and it gets no new ones
 *   2  the generation goes up: from here on it is dead to all. Its mailbox is taken away; senders that wait for room are told WEFT_ESRCH
 *   3  its relations, one after the other: each is either still to be told, and can be ended by the other side, or has been
 *   4  who waits for the end is told
 *   5  what it has not received is destroyed, its state is freed, what runs on under its context is cancelled; the cell is the next one's
 *
 * When the runtime goes down, those that are alive end here, too, by the thread that takes it down; actors of other runtimes are told, and nobody of its own. Whoever else waits (threads, other runtimes' tasks) has been told
 * before: what it goes down for may be waiting for him (desert).
 */
#include "actor/actor.h"

#include "core/ctx.h"
#include <string.h>

void (*weft__reg_forget)(weft_actor_ref ref);
void (*weft__pg_forget)(weft_actor_ref ref);

void weft__letter_down(struct letter *l, uint64_t monitor, weft_actor_ref ref, weft_end e, enum weft_msg_kind kind)
{
	weft_down down = {.ref = ref, .monitor = monitor, .end = e};

	l->msg.tag = monitor;
	l->msg.from = ref;
	l->msg.data = l->bytes;
	l->msg.len = sizeof down;
	l->msg.kind = (uint8_t)kind;
	l->msg.prio = WEFT_PRIO_NORMAL;
	memcpy(l->bytes, &down, sizeof down);
}

static void move_all(struct list *to, struct list *from)
{
	struct list_node *n;

	while ((n = list_pop_head(from)) != NULL)
		list_push_tail(to, n);
}

static bool letter_is_of(const struct letter *l, const struct runtime *rt)
{
	return l->msg.weft__home == rt->home + 1;
}

/* Requests of rt's tasks, which never run again, that wait for room. Locked, and no actor lets them in any more. */
static void requests_left(struct actor *a, struct runtime *rt, struct list *tickets)
{
	for (struct list_node *n = list_first(&a->outside); n; n = list_after(&a->outside, n)) {
		struct letter *l = letter_of_link(n);

		if (letter_is_of(l, rt) && (l->msg.weft__flags & LETTER_REQUEST))
			weft__request_left(l, tickets);
	}
}

/* Letters of rt's tasks, which have been called off, in anybody's cell: also of those that were about to take their own away. Locked. */
static void drop_outside(struct actor *a, struct runtime *rt, struct list *tickets)
{
	struct list_node *n, *next;

	requests_left(a, rt, tickets);
	for (n = list_first(&a->outside); n; n = next) {
		next = list_after(&a->outside, n);
		if (!letter_is_of(letter_of_link(n), rt))
			continue; /* takes it away itself */
		list_remove(n);
		letter_put(NULL, letter_of_link(n));
	}
}

/* 1 and 2. Returns senders to be made runnable. */
static struct inject_node *leave(struct actor *a, struct list *left, struct list *later, struct list *requests, weft_end e)
{
	struct ready_list ready;
	struct list_node *n;

	ready_list_init(&ready);
	lock_take_solo(&a->lock, RANK_ACTOR);
	if (a->named) {
		a->nameless = true;
		lock_drop_solo(&a->lock);
		if (weft__reg_forget)
			weft__reg_forget(actor_ref(a)); /* the generation is changed by us only */
		if (weft__pg_forget)
			weft__pg_forget(actor_ref(a));
		lock_take_solo(&a->lock, RANK_ACTOR);
	}
	a->gen++;
	a->last_end = e;
	a->state = CELL_GONE;
	if (a->given) /* the runtime went down before it was received */
		list_push_tail(left, &a->given->link);
	a->given = NULL;
	for (int c = 0; c < CLASSES; c++)
		move_all(left, &a->mail[c]);
	if (unlikely(!list_empty(&a->later)))
		weft__later_take(a, left, later);
	while ((n = list_pop_head(&a->sendq)) != NULL) {
		struct waiter *w = container_of(n, struct waiter, link);
		struct weft_task *t = w->task;

		/* it takes its letter out of `outside`, when it runs; if it does, before the runtime goes down */
		if (waiter_claim(w, WEFT_ESRCH, false))
			ready_list_add(&ready, t);
	}
	weft__calls_end(a, &ready);
	if (unlikely(!list_empty(&a->requests)))
		weft__requests_take(a, requests);
	lock_drop_solo(&a->lock);
	return ready.first;
}

/* 3, one relation. Returns whether there was one. up: the runtime is; else only actors of others are told. */
static bool tell_one(struct worker *w, struct actor *a, weft_actor_ref ref, weft_end e, bool failed_start, bool up)
{
	struct aftermath m = {.ready = NULL};
	struct actor *other;
	struct list_node *n;
	struct side *s;
	struct letter *l;

	lock_take_solo(&a->lock, RANK_ACTOR);
	for (;;) {
		n = list_empty(&a->relations) ? NULL : a->relations.head.prev;
		if (!n) {
			lock_drop_solo(&a->lock);
			return false;
		}
		s = container_of(n, struct side, link);
		other = other_side(s)->actor;
		if (other > a) {
			lock_take_solo(&other->lock, RANK_ACTOR);
			break;
		}
		lock_drop_solo(&a->lock); /* it may be ended meanwhile, and its letter another's */
		lock_two(a, other);
		if (!list_empty(&a->relations) && a->relations.head.prev == n && other_side(s)->actor == other)
			break;
		lock_drop_solo(&other->lock);
	}
	l = letter_of_side(s);
	weft__unlink_side(s);
	weft__unlink_side(other_side(s));
	if ((!up && other->home == a->home) || other->state == CELL_GONE) /* both are locked, here and below */
		;
	else if (l->msg.kind == WEFT_MSG_EXIT) {
		if (!failed_start || !weft_actor_same(actor_ref(other), a->linked_to))
			l = weft__order_exit(other, l, ref, e, &m);
	} else if (s->which == TARGET) {
		weft__letter_down(l, l->msg.tag, ref, e, WEFT_MSG_DOWN);
		m.ready = weft__mail_put(other, l);
		l = NULL;
	}
	unlock_two(a, other);
	if (l)
		letter_put(w, l);
	weft__aftermath(w, &m);
	return true;
}

/* 4. started: what the starter is told, if it still waits. */
static struct inject_node *tell_waiters(struct actor *a, weft_end e, int started, bool up)
{
	struct weft_task *starter;
	struct ready_list ready;
	struct list_node *n;

	ready_list_init(&ready);
	lock_take_solo(&a->lock, RANK_ACTOR);
	if (!up && !a->starter_foreign)
		a->starter = NULL; /* its frame is gone */
	starter = weft__actor_started(a, started);
	if (starter)
		ready_list_add(&ready, starter);
	while ((n = list_pop_head(&a->waits)) != NULL) {
		struct waiter *w = container_of(n, struct waiter, link);
		weft_end *slot = w->slot;
		struct weft_task *t = w->task;

		if (!waiter_claim(w, up ? 0 : WEFT_ESRCH, false))
			continue;
		if (slot)
			*slot = e;
		ready_list_add(&ready, t);
	}
	lock_drop_solo(&a->lock);
	return ready.first;
}

/* What the actor has started under c is cancelled. below: a context of its own that has c as its parent; NULL: none. The count is a hint: ours, below's and the calling task's; who comes later was
 * started by somebody who has a reference. */
static void cancel_rest(weft_ctx *c, weft_ctx *below)
{
	uint32_t own = 1u + (weft_ctx_self() == c) + (below && below->parent == c);

	if (load_relaxed(&c->refs) > own) /* a hint, as said */
		(void)weft_ctx_cancel(c, WEFT_REASON_CANCELED);
}

/* What is left of an actor, in the frame of its end. */
struct remains {
	struct actor *actor;
	struct list mail; /* that nobody has received */
	bool up;          /* the runtime */
};

static int destroy_mail(void *arg)
{
	struct remains *r = arg;
	struct list_node *n;

	while ((n = list_pop_head(&r->mail)) != NULL)
		weft__letter_destroy(letter_of_link(n), r->actor->dtor);
	return 0;
}

/* 5. A dtor that panics has destroyed what it was called with; if it ends the task, what is left to do is done as something deferred. */
static void bury(void *arg)
{
	struct remains *r = arg;
	struct actor *a = r->actor;
	weft_ctx *ctx = a->ctx, *last = a->last_ctx;
	struct list_node *n;
	weft_defer again;

	weft__defer_push(&again, bury, r);
	while (!list_empty(&r->mail))
		(void)weft__actor_try(destroy_mail, r);
	weft__defer_drop(&again);
	while ((n = list_pop_head(&a->hand)) != NULL)
		letter_put(weft__worker(), letter_of_link(n));
	if (a->state_letter)
		letter_put(weft__worker(), a->state_letter);
	a->state_letter = NULL;
	a->current = NULL;
	if (r->up && last)
		cancel_rest(last, NULL);
	if (r->up && ctx)
		cancel_rest(ctx, last);
	lock_take_solo(&a->lock, RANK_ACTOR);
	a->ctx = a->last_ctx = NULL;
	store_relaxed(&a->task, NULL); /* under lock */
	a->state = CELL_FREE;
	lock_drop_solo(&a->lock);
	weft_ctx_free(ctx);
	weft_ctx_free(last);
	weft__cell_put(a);
}

static void die(struct actor *a, weft_end e, int started, bool failed_start, bool up)
{
	struct worker *w = weft__worker(); /* before anything is locked: see base/solo.h */
	weft_actor_ref ref = actor_ref(a);
	struct remains r = {.actor = a, .up = up};
	struct list later, requests;

	list_init(&r.mail);
	list_init(&later);
	list_init(&requests);
	weft__ready_list(w, leave(a, &r.mail, &later, &requests, e));
	weft__later_end(&later);
	weft__requests_end(&requests);
	move_all(&r.mail, &a->queue);
	move_all(&r.mail, &a->off);
	while (tell_one(w, a, ref, e, failed_start, up))
		;
	weft__ready_list(w, tell_waiters(a, e, started, up));
	bury(&r);
}

void weft__actor_die(struct actor *a, weft_end e, int started)
{
	if (a->run == weft__bus_run)
		weft__bus_owners(a);
	if (!a->attached)
		weft_task_self()->own_actor = NULL; /* what is destroyed must not find it: it has no relations any more */
	die(a, e, started, a->state == CELL_STARTING, true);
}

/* --- the runtime goes down --- */

static const weft_end gone_down = {WEFT_END_CANCELED, WEFT_ECANCELED};

static void end_with_runtime(struct actor *a, void *arg)
{
	struct runtime *rt = arg;
	struct list tickets;
	bool alive;

	list_init(&tickets);
	lock_take_solo(&a->lock, RANK_ACTOR);
	drop_outside(a, rt, &tickets);
	alive = a->home == rt->home && a->state != CELL_FREE && a->state != CELL_GONE;
	lock_drop_solo(&a->lock);
	weft__requests_drop(&tickets);
	if (alive && a->run == weft__bus_run)
		weft__bus_owners(a);
	if (alive)
		die(a, gone_down, WEFT_ECANCELED, false, false);
}

/* Others than rt's tasks, which run no more, stop waiting at this place of a's. end: how it ends; NULL: they wait for something else. Locked. */
static void desert_list(struct list *waiters, struct runtime *rt, const weft_end *end, struct ready_list *r)
{
	struct list_node *n, *next;

	for (n = list_first(waiters); n; n = next) {
		struct waiter *w = container_of(n, struct waiter, link);
		weft_end *slot = w->slot;
		struct weft_task *t = w->task;
		bool call = load_relaxed(&t->reason) == REASON_CALL; /* of the wait, as long as w is listed */
		bool told = end && slot && !task_is(t, TASK_FOREIGN);

		next = list_after(waiters, n);
		if (!task_outside(t, rt))
			continue;
		list_remove(n);
		if (!waiter_claim(w, told ? 0 : call ? WEFT_EDOWN : WEFT_ESRCH, false))
			continue;
		if (told)
			*slot = *end;
		ready_list_add(r, t);
	}
}

static void desert(struct actor *a, void *arg)
{
	struct list left, requests;
	struct runtime *rt = arg;
	struct ready_list r;

	ready_list_init(&r);
	list_init(&left);
	list_init(&requests);
	lock_take_solo(&a->lock, RANK_ACTOR);
	if (a->home == rt->home && a->state != CELL_FREE && a->state != CELL_GONE) {
		desert_list(&a->waits, rt, &gone_down, &r);
		desert_list(&a->calls, rt, NULL, &r);
		desert_list(&a->sendq, rt, NULL, &r);
		requests_left(a, rt, &left);
		weft__requests_take(a, &requests);
	}
	lock_drop_solo(&a->lock);
	weft__ready_list(weft__worker(), r.first);
	weft__requests_drop(&left);
	weft__requests_end(&requests);
}

static void actors_desert(struct runtime *rt)
{
	weft__cell_foreach(desert, rt);
}

static void actors_down(struct runtime *rt)
{
	weft__cell_foreach(end_with_runtime, rt);
}

__attribute__((constructor)) static void hook(void)
{
	weft__actors_desert = actors_desert;
	weft__actors_down = actors_down;
}
