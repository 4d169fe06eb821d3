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
 * When the runtime goes down, those that are alive end here, too, by the thread that takes it down; nobody is told but foreign threads that wait.
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

/* Letters of senders that never run again. Locked. */
static void drop_outside(struct actor *a)
{
	struct list_node *n, *next;

	for (n = list_first(&a->outside); n; n = next) {
		struct letter *l = letter_of_link(n);

		next = list_after(&a->outside, n);
		if (l->msg.weft__flags & LETTER_FOREIGN)
			continue; /* a thread, which has timed out just now */
		list_remove(n);
		letter_put(NULL, l);
	}
}

/* 1 and 2. Returns senders to be made runnable. */
static struct inject_node *leave(struct actor *a, struct list *left, weft_end e, bool up)
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
	while ((n = list_pop_head(&a->sendq)) != NULL) {
		struct waiter *w = container_of(n, struct waiter, link);
		struct weft_task *t = w->task;

		/* it takes its letter out of `outside`, when it runs; if it does, before the runtime goes down */
		if (waiter_claim(w, WEFT_ESRCH, false))
			ready_list_add(&ready, t);
	}
	weft__calls_end(a, &ready);
	if (!up)
		drop_outside(a);
	lock_drop_solo(&a->lock);
	return ready.first;
}

/* 3, one relation. Returns whether there was one. up: the runtime is, and whoever has the other side is told. */
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
	if (!up || other->state == CELL_GONE)
		;
	else if (l->msg.kind == WEFT_MSG_EXIT) {
		if (!failed_start || !weft_actor_same(actor_ref(other), a->linked_to)) /* both are locked */
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

	list_init(&r.mail);
	weft__ready_list(w, leave(a, &r.mail, e, up));
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

static void end_with_runtime(struct actor *a, void *arg)
{
	bool alive;

	(void)arg;
	lock_take_solo(&a->lock, RANK_ACTOR);
	alive = a->state != CELL_FREE && a->state != CELL_GONE;
	if (!alive)
		drop_outside(a); /* of a sender that was about to take its own away */
	lock_drop_solo(&a->lock);
	if (alive)
		die(a, (weft_end){WEFT_END_CANCELED, WEFT_ECANCELED}, WEFT_ECANCELED, false, false);
}

static void actors_down(void)
{
	weft__cell_foreach(end_with_runtime, NULL);
}

__attribute__((constructor)) static void hook(void)
{
	weft__actors_down = actors_down;
}
