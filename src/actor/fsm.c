/* SPDX-License-Identifier: MIT
 *
 * fsm.c - state machines: an actor whose loop hands what comes to the function of the state that it is in.
 *
 * Events that have come and are not handled yet lie in two lists of the cell, which its death empties (death.c):
 *
 *   queue   what is handled before the mailbox is looked at: what was put in, then what was put off
 *   off     what was put off in this state, oldest first
 *
 *   handled -> off         WEFT_FSM_POSTPONE
 *   off -> queue           the state changes: to its head, but behind what the same function has put in
 *   new -> queue           weft_fsm_next: to its head, but behind what the same function has put in before
 *
 * The event in hand is the actor's current letter, as of any actor, so that a panic frees it. Times are absolute; the nearest bounds the wait for the mailbox.
 */
#include "actor/actor.h"

#include "base/clock.h"
#include "weft/fsm.h"
#include <string.h>

struct fsm {
	const weft_fsm_vt *vt;
	void *data;                   /* handlers' first argument: own, or what was given */
	weft_from in_hand;            /* the call that is being handled; its caller may have given up */
	int now, next;                /* states; next: which it shall be in when the function has returned */
	bool again;                   /* enter it again all the same */
	bool entering;                /* in enter */
	bool began;                   /* its first state has been entered */
	bool for_next;                /* state_due was said for the state that it goes to */
	int64_t state_due, event_due; /* when these timeouts are over; WEFT_FOREVER: none */
	int64_t nearest;              /* of state_due and those by number */
	struct list_node *put_in;     /* the last event that this function has put in; NULL: none */
	int64_t *due;                 /* by number */
	char name[WEFT_NAME_MAX + 1];
	char own[] __attribute__((aligned(16)));
};

#define SIZE_LIMIT ((size_t)1 << 29)
#define TIMEOUTS_MAX 1000

static size_t data_room(const weft_fsm_vt *vt)
{
	return (vt->size + 15) & ~(size_t)15;
}

static struct fsm *fsm_self(void)
{
	struct actor *a = actor_self(weft__worker());

	return a && a->run == weft__fsm_run ? a->state_data : NULL;
}

/* --- handlers of the actor --- */

CALLS_OUT static int fsm_start(void *state)
{
	struct fsm *f = state;
	int rc = f->name[0] ? weft_reg_put(f->name, weft_actor_self()) : 0;

	if (rc)
		return rc;
	rc = f->vt->init ? f->vt->init(f->data) : 0;
	return rc < 0 ? rc : 0;
}

CALLS_OUT static void fsm_stop(void *state, weft_end e)
{
	struct fsm *f = state;

	f->vt->terminate(f->data, e);
}

CALLS_OUT static int fsm_error(void *state, int code, const weft_panic *p)
{
	struct fsm *f = state;
	weft_from from = f->in_hand;
	int rc = f->vt->error(f->data, code, p);

	if (rc >= 0)
		(void)weft_server_fail(from, code);
	return rc;
}

/* --- events that wait in the cell --- */

static void insert(struct list *q, struct list_node *after, struct list_node *n)
{
	if (!after) {
		list_push_head(q, n);
		return;
	}
	n->prev = after;
	n->next = after->next;
	after->next->prev = n;
	after->next = n;
}

/* What was put off comes again. */
static void restart(struct actor *a, struct fsm *f)
{
	struct list_node *after = f->put_in, *n;

	while ((n = list_pop_head(&a->off)) != NULL) {
		insert(&a->queue, after, n);
		after = n;
	}
}

int weft_fsm_next(uint64_t tag, const void *data, size_t len)
{
	struct fsm *f = fsm_self();
	struct actor *a;
	struct letter *l;

	if (!f || (len && !data))
		return WEFT_EINVAL;
	if (len >= MSG_MAX)
		return WEFT_EMSGSIZE;
	a = actor_self(weft__worker());
	l = letter_get(weft__worker(), len);
	if (!l)
		return WEFT_ENOMEM;
	l->msg.tag = tag;
	l->msg.from = actor_ref(a);
	l->msg.kind = WEFT_MSG_USER;
	l->msg.prio = WEFT_PRIO_NORMAL;
	l->msg.weft__flags |= LETTER_INTERNAL;
	if (len)
		memcpy(l->msg.data, data, len);
	insert(&a->queue, f->put_in, &l->link);
	f->put_in = &l->link;
	return 0;
}

/* --- states --- */

int weft_fsm_now(void)
{
	struct fsm *f = fsm_self();

	return f ? f->now : WEFT_EINVAL;
}

int weft_fsm_go(int state)
{
	struct fsm *f = fsm_self();

	if (!f || state < 0 || state >= f->vt->n)
		return WEFT_EINVAL;
	f->next = state;
	return 0;
}

int weft_fsm_again(void)
{
	struct fsm *f = fsm_self();

	if (!f || f->entering)
		return WEFT_EINVAL;
	f->again = true;
	return 0;
}

CALLS_OUT static void enter(struct fsm *f, int from)
{
	f->for_next = f->again = false;
	f->entering = true;
	if (f->vt->states[f->now].enter)
		f->vt->states[f->now].enter(f->data, from);
	f->entering = false;
}

static void find_nearest(struct fsm *f)
{
	f->nearest = f->state_due;
	for (int i = 0; i < f->vt->timeouts; i++) {
		if (f->due[i] < f->nearest)
			f->nearest = f->due[i];
	}
}

/* A function has returned: what it has asked for. */
static ALWAYS_INLINE void change(struct actor *a, struct fsm *f)
{
	while (unlikely(f->next != f->now || f->again)) {
		int from = f->now;

		f->now = f->next;
		if (f->now != from) {
			if (!f->for_next) {
				f->state_due = WEFT_FOREVER;
				find_nearest(f);
			}
			restart(a, f);
		}
		enter(f, from);
	}
	f->for_next = false;
}

/* --- timeouts --- */

static int64_t due_in(int64_t ns)
{
	return ns < 0 ? WEFT_FOREVER : clock_add(clock_now(), ns);
}

int weft_fsm_state_timeout(int64_t ns)
{
	struct fsm *f = fsm_self();

	if (!f)
		return WEFT_EINVAL;
	f->state_due = due_in(ns);
	f->for_next = f->next != f->now;
	find_nearest(f);
	return 0;
}

int weft_fsm_event_timeout(int64_t ns)
{
	struct fsm *f = fsm_self();

	if (!f)
		return WEFT_EINVAL;
	f->event_due = due_in(ns);
	return 0;
}

int weft_fsm_timeout(int number, int64_t ns)
{
	struct fsm *f = fsm_self();

	if (!f || number < 0 || number >= f->vt->timeouts)
		return WEFT_EINVAL;
	f->due[number] = due_in(ns);
	find_nearest(f);
	return 0;
}

/* The nearest is over: its event. */
static weft_fsm_event timed_out(struct fsm *f)
{
	weft_fsm_event e = {.kind = WEFT_FSM_STATE_TIMEOUT};

	if (f->state_due == f->nearest) {
		f->state_due = WEFT_FOREVER;
	} else {
		e.kind = WEFT_FSM_TIMEOUT;
		while (f->due[e.timeout] != f->nearest)
			e.timeout++;
		f->due[e.timeout] = WEFT_FOREVER;
	}
	find_nearest(f);
	return e;
}

/* --- the loop --- */

/* Before an event that is not the mailbox's: others run after so many. False: the machine is to end; why, the next receive says. */
static bool may_go_on(struct actor *a)
{
	bool ordered;

	if (++a->streak > OP_BUDGET) {
		a->streak = 0;
		weft_task_yield();
	}
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&a->lock, RANK_ACTOR);
	ordered = a->order != ORDER_NONE;
	actor_unlock(a);
	return !ordered && !weft_ctx_check();
}

/* An event of the queue; NULL: there is none, or the machine is to end. */
static struct letter *next_queued(struct actor *a)
{
	struct list_node *n;

	if (likely(list_empty(&a->queue)) || !may_go_on(a))
		return NULL;
	n = list_pop_head(&a->queue);
	list_push_tail(&a->hand, n);
	return letter_of_link(n);
}

/* Nobody wants it. */
CALLS_OUT static void drop(struct fsm *f, weft_msg *m)
{
	if (f->vt->dtor && m->kind == WEFT_MSG_USER)
		f->vt->dtor(m);
}

/* What a letter is. False: a call whose caller has given up. */
static bool event_of(weft_msg *m, weft_fsm_event *e)
{
	unsigned flags = m->weft__flags;

	*e = (weft_fsm_event){.kind = flags & LETTER_CALL       ? WEFT_FSM_CALL
				      : flags & LETTER_CAST     ? WEFT_FSM_CAST
				      : flags & LETTER_INTERNAL ? WEFT_FSM_INTERNAL
								: WEFT_FSM_INFO,
			      .m = m};
	if (e->kind == WEFT_FSM_CALL) {
		e->from = weft_msg_from(m);
		return weft_server_waiting(e->from);
	}
	return true;
}

/* Waits for the next event. Returns 0, with a->current its letter, unless it is a timeout; WEFT_EAGAIN: look again; else why it ends. */
static int next_event(struct actor *a, struct fsm *f, weft_fsm_event *e)
{
	struct letter *l;
	int64_t until;
	weft_msg *m;
	int rc;

	f->in_hand.weft__who = NULL; /* what goes wrong from here on is none of its doing */
	if (unlikely(f->nearest != WEFT_FOREVER && f->nearest <= clock_now()) && may_go_on(a)) {
		*e = timed_out(f);
		return 0;
	}
	l = next_queued(a);
	if (l) {
		m = &l->msg;
	} else {
		until = f->event_due < f->nearest ? f->event_due : f->nearest;
		rc = weft_actor_recv_until(&m, until);
		if (unlikely(rc)) {
			if (rc != WEFT_ETIMEDOUT || until == WEFT_FOREVER || weft_ctx_check())
				return rc;
			if (until == f->nearest)
				return WEFT_EAGAIN;
			*e = (weft_fsm_event){.kind = WEFT_FSM_EVENT_TIMEOUT};
			return 0;
		}
	}
	a->current = letter_of(m);
	if (likely(event_of(m, e)))
		return 0;
	drop(f, m);
	weft_msg_free(m);
	return WEFT_EAGAIN;
}

/* The function has returned rc: its letter is freed, or kept. */
static void put_away(struct actor *a, int rc)
{
	struct letter *l = a->current;

	if (!l)
		return;
	a->current = NULL;
	list_remove(&l->link);
	if (rc == WEFT_FSM_POSTPONE)
		list_push_tail(&a->off, &l->link);
	else
		letter_put(weft__worker(), l);
}

CALLS_OUT int weft__fsm_run(void *state)
{
	struct actor *a = actor_self(weft__worker());
	struct fsm *f = state;
	weft_fsm_event e;
	int rc;

	f->in_hand.weft__who = NULL;
	f->again = f->entering = f->for_next = false;
	f->put_in = NULL;
	if (!f->began) {
		f->began = true;
		f->now = f->next;
		enter(f, f->now);
	} else {
		f->next = f->now; /* a function has failed */
	}
	for (;;) {
		change(a, f);
		rc = next_event(a, f, &e);
		if (unlikely(rc == WEFT_EAGAIN))
			continue;
		if (unlikely(rc))
			return rc;
		f->in_hand = e.from;
		f->put_in = NULL;
		f->event_due = WEFT_FOREVER;
		rc = f->vt->states[f->now].on(f->data, &e);
		put_away(a, rc);
		if (unlikely(rc == WEFT_FSM_POSTPONE)) {
			f->in_hand.weft__who = NULL; /* it comes again, whatever the state that is entered now does */
		} else if (unlikely(rc == WEFT_FSM_HIBERNATE)) {
			change(a, f);
			if (list_empty(&a->queue))
				weft__hibernate(a);
		} else if (unlikely(rc < 0)) {
			return rc;
		} else if (unlikely(rc > 0)) {
			return rc == WEFT_FSM_STOP ? 0 : WEFT_EINVAL;
		}
	}
}

/* --- start --- */

static bool vt_ok(const weft_fsm_vt *vt)
{
	if (!vt || !vt->states || vt->n <= 0 || vt->first < 0 || vt->first >= vt->n || vt->timeouts < 0 || vt->timeouts > TIMEOUTS_MAX ||
	    vt->size >= SIZE_LIMIT)
		return false;
	for (int i = 0; i < vt->n; i++) {
		if (!vt->states[i].on)
			return false;
	}
	return true;
}

/* What a machine is started with. */
struct first {
	const weft_fsm_vt *vt;
	const void *init;
	const char *name; /* NULL: none */
};

static void fill(void *state, const void *from)
{
	const struct first *first = from;
	const weft_fsm_vt *vt = first->vt;
	struct fsm *f = state;

	*f = (struct fsm){.vt = vt,
			  .data = f->own,
			  .now = vt->first,
			  .next = vt->first,
			  .state_due = WEFT_FOREVER,
			  .event_due = WEFT_FOREVER,
			  .nearest = WEFT_FOREVER};
	f->due = (int64_t *)(f->own + data_room(vt));
	for (int i = 0; i < vt->timeouts; i++)
		f->due[i] = WEFT_FOREVER;
	if (first->name)
		memcpy(f->name, first->name, strlen(first->name));
	if (!vt->size)
		f->data = (void *)(uintptr_t)first->init;
	else if (first->init)
		memcpy(f->own, first->init, vt->size);
	else
		memset(f->own, 0, vt->size);
}

int weft__fsm_start_at(weft_actor_ref *out, const weft_fsm_vt *vt, const void *init, const weft_server_opts *o, int64_t deadline,
		       const struct weft_site *site)
{
	static const weft_server_opts usual;
	struct first first = {.vt = vt, .init = init};

	if (out)
		*out = WEFT_NO_ACTOR;
	if (!o)
		o = &usual;
	if (!vt_ok(vt) || (o->name && !*o->name))
		return WEFT_EINVAL;
	if (o->name && strlen(o->name) > WEFT_NAME_MAX)
		return WEFT_ENAMETOOLONG;
	first.name = o->name;
	return weft__actor_start_by(out,
				    &(weft_actor_opts){.run = weft__fsm_run,
						       .on_start = o->name || vt->init ? fsm_start : NULL,
						       .on_stop = vt->terminate ? fsm_stop : NULL,
						       .on_error = vt->error ? fsm_error : NULL,
						       .dtor = vt->dtor,
						       .state = &first,
						       .size = sizeof(struct fsm) + data_room(vt) + (size_t)vt->timeouts * sizeof(int64_t),
						       .mailbox = o->mailbox,
						       .name = o->name,
						       .ctx = o->ctx,
						       .trap_exit = o->trap_exit,
						       .link = o->link,
						       .contain = o->contain},
				    fill, deadline, site);
}

int(weft_fsm_start_until)(weft_actor_ref *out, const weft_fsm_vt *vt, const void *init, const weft_server_opts *o, int64_t deadline)
{
	return weft__fsm_start_at(out, vt, init, o, deadline, NULL);
}

int(weft_fsm_start)(weft_actor_ref *out, const weft_fsm_vt *vt, const void *init, const weft_server_opts *o)
{
	return weft__fsm_start_at(out, vt, init, o, WEFT_FOREVER, NULL);
}
