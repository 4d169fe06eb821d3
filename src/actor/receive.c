/* SPDX-License-Identifier: MIT
 *
 * receive.c - what an actor takes out of its mailbox, and has in hand.
 *
 * Whoever takes a message puts the oldest letter of those that wait for room in (send.c), so that order is kept and nobody is overtaken.
 *
 * Only the actor takes letters out. So it may walk along a list unlocked, up to the letter that was the last when it was locked, and ask the user's function about each.
 */
#include "actor/actor.h"

#include "base/check.h"
#include "weft/server.h"

/* --- lists; locked --- */

/* It is to end, and has not begun to. */
static inline bool ordered(const struct actor *a)
{
	return unlikely(a->order != ORDER_NONE) && a->state != CELL_STOPPING;
}

bool weft__mail_ready(const struct actor *a)
{
	return ordered(a) || (a->mask && !a->suspended);
}

static inline void count(struct actor *a)
{
	store_relaxed(&a->received, load_relaxed(&a->received) + 1); /* statistics; ours */
}

/* A letter has left the lists: whoever waits for its room comes in. Returns who is to be made runnable. */
static ALWAYS_INLINE struct weft_task *taken(struct actor *a, struct letter *l)
{
	struct waiter *w;
	struct list_node *n;

	if (unlikely(!letter_counts(l)))
		return NULL;
	a->len--;
	count(a);
	if (unlikely(a->above) && a->len <= a->high / 2)
		a->above = false;
	while (unlikely((n = list_pop_head(&a->sendq)) != NULL)) {
		w = container_of(n, struct waiter, link);
		l = w->slot;
		if (unlikely((l->msg.weft__flags & (LETTER_CALL | LETTER_REQUEST)) == LETTER_CALL)) {
			if (!weft__call_is_in(a, w, l))
				continue;
			mail_push(a, l);
			return NULL;
		}
		if (waiter_claim(w, 0, false)) {
			list_remove(&l->link); /* from outside */
			mail_push(a, l);
			return w->task;
		}
	}
	return NULL;
}

static ALWAYS_INLINE void take_out(struct actor *a, struct letter *l)
{
	unsigned c = (unsigned)(l->msg.prio - WEFT_PRIO_URGENT);

	list_remove(&l->link);
	if (list_empty(&a->mail[c]))
		a->mask &= (uint8_t) ~(1u << c);
}

/* There is mail: the first of the highest class. */
static ALWAYS_INLINE struct letter *first(const struct actor *a)
{
	return letter_of_link(a->mail[__builtin_ctz(a->mask)].head.next);
}

/* --- receiving --- */

/* It is the actor's now. */
static ALWAYS_INLINE void hand_over(struct actor *a, struct letter *l, weft_msg **m)
{
	list_append(&a->hand, &l->link);
	*m = &l->msg;
}

/* Locked; unlocks if it returns 0 or WEFT_ECLOSED. */
static ALWAYS_INLINE int try_take(struct worker *w, struct actor *a, weft_msg **m)
{
	struct weft_task *ready;
	struct letter *l;

	if (ordered(a)) {
		actor_unlock(a);
		return WEFT_ECLOSED;
	}
	if (!a->mask || unlikely(a->suspended))
		return WEFT_EAGAIN;
	l = first(a);
	take_out(a, l);
	ready = taken(a, l);
	actor_unlock(a);
	if (unlikely(ready != NULL))
		weft__ready(w, ready);
	hand_over(a, l, m);
	return 0;
}

/* What has been looked at in vain by one call. */
struct seen {
	struct list_node *upto[CLASSES]; /* the last letter that was; NULL: none */
};

/* The first letter behind those that match says true for, of those that had come when it was locked; it is still where it is. NULL: none, and locked. */
static struct letter *find(struct actor *a, bool (*match)(const weft_msg *m, void *arg), void *arg, struct seen *seen)
{
	struct list_node *last[CLASSES], *n;
	bool news;

	for (;;) {
		news = false;
		for (int c = 0; c < CLASSES; c++) {
			last[c] = list_empty(&a->mail[c]) ? NULL : a->mail[c].head.prev;
			news |= last[c] && last[c] != seen->upto[c];
		}
		if (!news)
			return NULL;
		actor_unlock(a);
		for (int c = 0; c < CLASSES; c++) {
			while (last[c] && seen->upto[c] != last[c]) {
				n = seen->upto[c] ? seen->upto[c]->next : a->mail[c].head.next;
				if (match(&letter_of_link(n)->msg, arg))
					return letter_of_link(n);
				seen->upto[c] = n;
			}
		}
		(void)weft__worker(); /* see base/solo.h */
		lock_take_solo(&a->lock, RANK_ACTOR);
	}
}

/* Takes it out of the mailbox. Nothing is locked. */
static void pick(struct actor *a, struct letter *l)
{
	struct worker *w = weft__worker();
	struct weft_task *ready;

	lock_take_solo(&a->lock, RANK_ACTOR);
	take_out(a, l);
	ready = taken(a, l);
	actor_unlock(a);
	if (ready)
		weft__ready(w, ready);
}

/* Goes on looking where the last look ended. Locked; still locked if it returns WEFT_EAGAIN. */
static int try_match(struct actor *a, bool (*match)(const weft_msg *m, void *arg), void *arg, struct seen *seen, weft_msg **m)
{
	struct letter *l;

	l = ordered(a) || a->suspended ? NULL : find(a, match, arg, seen);
	if (!l) {
		if (!ordered(a)) /* nor while match looked, unlocked */
			return WEFT_EAGAIN;
		actor_unlock(a);
		return WEFT_ECLOSED;
	}
	pick(a, l);
	hand_over(a, l, m);
	return 0;
}

struct letter *weft__mail_pick(struct actor *a, bool (*match)(const weft_msg *m, void *arg), void *arg)
{
	struct seen seen = {{NULL}};
	struct letter *l;

	lock_take_solo(&a->lock, RANK_ACTOR);
	l = find(a, match, arg, &seen);
	if (l)
		pick(a, l);
	else
		actor_unlock(a);
	return l;
}

int weft__mail_take(struct worker *w, struct actor *a, weft_msg **m)
{
	int rc;

	lock_take_solo(&a->lock, RANK_ACTOR);
	rc = try_take(w, a, m);
	if (rc == WEFT_EAGAIN)
		actor_unlock(a);
	return rc;
}

/* Locked. Waits for a letter (any: it comes to a->given; else it is left in the mailbox). Unlocks. */
static ALWAYS_INLINE int wait_for_mail(struct self *me, struct actor *a, bool any, int64_t deadline)
{
	struct waiter w;
	uint64_t word;
	int rc;

	if (deadline == WEFT_NOW) {
		actor_unlock(a);
		return WEFT_EAGAIN;
	}
	a->streak = 0;
	word = wait_begin(me->task, &w, 1, REASON_MAIL, deadline);
	waiter_init(&w, me->task, word, &a->lock, RANK_ACTOR, a, any ? a : NULL);
	list_push_tail(&a->recvq, &w.link);
	actor_unlock(a);
	rc = weft__wait_park(me->worker, me->task, &w, 1, word, deadline);
	me->worker = weft__worker();
	return rc ? rc : w.status;
}

/* Who receives; and after so many messages without a wait others run. */
static ALWAYS_INLINE int enter(struct self *me, struct actor **a, int64_t *deadline)
{
	struct worker *w = weft__worker();
	int rc;

	*a = actor_self(w);
	if (unlikely(!*a))
		return WEFT_EINVAL;
	if (unlikely(++(*a)->streak > OP_BUDGET)) {
		(*a)->streak = 0;
		weft_task_yield();
	}
	rc = self_enter(me, deadline);
	return rc;
}

static ALWAYS_INLINE int receive(weft_msg **m, int64_t deadline)
{
	struct letter *l;
	struct actor *a;
	struct self me;
	int rc;

	if (unlikely(!m))
		return WEFT_EINVAL;
	rc = enter(&me, &a, &deadline);
	if (unlikely(rc))
		return rc;
	do {
		lock_take_solo(&a->lock, RANK_ACTOR);
		rc = try_take(me.worker, a, m);
		if (rc != WEFT_EAGAIN)
			return rc;
		rc = wait_for_mail(&me, a, true, deadline);
		if (unlikely(rc))
			return rc;
		l = a->given;
	} while (unlikely(!l));
	a->given = NULL;
	if (likely(letter_counts(l)))
		count(a);
	hand_over(a, l, m);
	return 0;
}

int weft_actor_recv(weft_msg **m)
{
	int rc = receive(m, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_actor_recv_until(weft_msg **m, int64_t deadline)
{
	int rc = receive(m, deadline);

	NO_JUMP();
	return rc;
}

static ALWAYS_INLINE int receive_match(weft_msg **m, bool (*match)(const weft_msg *m, void *arg), void *arg, int64_t deadline)
{
	struct seen seen = {{NULL}};
	struct actor *a;
	struct self me;
	int rc;

	if (!m || !match)
		return WEFT_EINVAL;
	rc = enter(&me, &a, &deadline);
	while (!rc) {
		lock_take_solo(&a->lock, RANK_ACTOR);
		rc = try_match(a, match, arg, &seen, m);
		if (rc != WEFT_EAGAIN)
			return rc;
		me.worker = weft__worker();
		rc = wait_for_mail(&me, a, false, deadline);
	}
	return rc;
}

int weft_actor_recv_match(weft_msg **m, bool (*match)(const weft_msg *m, void *arg), void *arg)
{
	int rc = receive_match(m, match, arg, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_actor_recv_match_until(weft_msg **m, bool (*match)(const weft_msg *m, void *arg), void *arg, int64_t deadline)
{
	int rc = receive_match(m, match, arg, deadline);

	NO_JUMP();
	return rc;
}

int weft_actor_peek(const weft_msg **m)
{
	int64_t deadline = WEFT_NOW;
	struct actor *a;
	struct self me;
	int rc;

	if (!m)
		return WEFT_EINVAL;
	rc = enter(&me, &a, &deadline);
	if (rc)
		return rc;
	lock_take_solo(&a->lock, RANK_ACTOR);
	if (ordered(a))
		rc = WEFT_ECLOSED;
	else if (!a->mask || a->suspended)
		rc = WEFT_EAGAIN;
	else
		*m = &first(a)->msg; /* only we take it out */
	actor_unlock(a);
	return rc;
}

static bool is_user(const weft_msg *m, void *arg)
{
	return m->kind == WEFT_MSG_USER && m->prio == *(int *)arg;
}

/* Who waits for an answer to it is told. */
static void throw_away(struct actor *a, weft_msg *m)
{
	(void)weft_server_fail(weft_msg_from(m), WEFT_ENOBUFS);
	if (a->dtor)
		a->dtor(m);
}

int weft_actor_drain(void (*fn)(weft_msg *m, void *arg), void *arg)
{
	struct actor *a = actor_self(weft__worker());
	uint32_t n[CLASSES] = {0}; /* those there are now; who gets in meanwhile is behind them in its class */
	struct letter *l;
	int done = 0;

	if (!a)
		return WEFT_EINVAL;
	lock_take_solo(&a->lock, RANK_ACTOR);
	for (int c = 0; c < CLASSES; c++) {
		for (struct list_node *i = list_first(&a->mail[c]); i; i = list_after(&a->mail[c], i))
			n[c] += letter_of_link(i)->msg.kind == WEFT_MSG_USER;
	}
	actor_unlock(a);
	for (int c = 0; c < CLASSES; c++) {
		int prio = c + WEFT_PRIO_URGENT;

		for (; n[c] && (l = weft__mail_pick(a, is_user, &prio)) != NULL; n[c]--) { /* NULL: fn has received some */
			list_append(&a->hand, &l->link);                                   /* where it is found if fn does not return */
			done++;
			if (fn)
				fn(&l->msg, arg);
			else
				throw_away(a, &l->msg);
			weft_msg_free(&l->msg);
		}
	}
	return done;
}

/* --- messages in hand --- */

void weft_msg_free(weft_msg *m)
{
	struct worker *w = weft__worker();
	struct actor *a = actor_self(w);
	struct letter *l;

	if (!m)
		return;
	l = letter_of(m);
	if (unlikely(!a || !list_linked(&l->link)))
		weft__fatal("weft_msg_free: the message %p is not one that the caller has received", (void *)m);
	if (a->current == l)
		a->current = NULL;
	list_remove(&l->link);
	letter_put(w, l);
}

void weft_msg_keep(weft_msg *m)
{
	struct actor *a = actor_self(weft__worker());

	if (a && m && a->current == letter_of(m))
		a->current = NULL;
}

void *weft__msg_as(weft_msg *m, size_t size, const char *type, const char *file, int line)
{
	if (unlikely(m->kind != WEFT_MSG_USER))
		weft__panic_at(file, line, "the news of an end is taken for a %s", type);
	if (unlikely(m->len != size))
		weft__panic_at(file, line, "a message of tag %llu has %u bytes, a %s %zu", (unsigned long long)m->tag, m->len, type, size);
	return m->data;
}

const weft_down *weft__msg_down(weft_msg *m, const char *file, int line)
{
	if (unlikely(m->kind == WEFT_MSG_USER))
		weft__panic_at(file, line, "a message of tag %llu is taken for the news of an end", (unsigned long long)m->tag);
	return m->data;
}

const weft_down *(weft_msg_down)(weft_msg *m)
{
	return weft__msg_down(m, __FILE__, __LINE__);
}
