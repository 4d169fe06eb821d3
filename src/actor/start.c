/* SPDX-License-Identifier: MIT
 *
 * start.c - how actors come to be: started, tasks that become actors, tasks that are stood for by one.
 *
 * The starter waits for on_start on a `struct starting` in its frame, to which the cell points until that is over or the starter gives up; so the cell may be another's by the
 * time the starter looks.
 *
 * A task that attaches itself has its cell as a task-local value, whose destructor is its end.
 */
#include "actor/actor.h"

#include "core/ctx.h"
#include "core/local.h"
#include "weft/local.h"
#include "weft/server.h"
#include <string.h>

#define SIZE_LIMIT ((size_t)1 << 30)

struct weft_task *weft__actor_started(struct actor *a, int rc)
{
	struct list_node *n, *next;

	if (!a->starter)
		return NULL;
	a->starter->rc = rc;
	a->starter->done = true;
	a->starter = NULL;
	for (n = list_first(&a->waits); n; n = next) {
		struct waiter *w = container_of(n, struct waiter, link);
		struct weft_task *t = w->task;

		next = list_after(&a->waits, n);
		if (w->index != WAIT_START)
			continue;
		list_remove(n);
		return waiter_claim(w, 0, false) ? t : NULL;
	}
	return NULL;
}

/* Until on_start is over. */
static int wait_for_start(struct actor *a, weft_actor_ref ref, struct starting *s, int64_t deadline)
{
	struct waiter w;
	struct self me;
	uint64_t word;
	bool done;
	int rc = self_enter(&me, &deadline);

	lock_take_solo(&a->lock, RANK_ACTOR);
	if (!s->done && !rc && deadline == WEFT_NOW)
		rc = WEFT_EAGAIN;
	if (!s->done && !rc && actor_deserted(a))
		rc = WEFT_ECANCELED;
	if (!s->done && !rc) {
		word = wait_begin(me.task, &w, 1, REASON_ACTOR, deadline);
		waiter_init(&w, me.task, word, &a->lock, RANK_ACTOR, a, NULL);
		w.index = WAIT_START;
		list_push_tail(&a->waits, &w.link);
		actor_unlock(a);
		rc = weft__wait_park(me.worker, me.task, &w, 1, word, deadline);
		if (!rc && w.status)
			rc = WEFT_ECANCELED; /* a thread outside: no task runs any more */
		(void)weft__worker();        /* see base/solo.h */
		lock_take_solo(&a->lock, RANK_ACTOR);
	}
	done = s->done;
	if (!done)
		a->starter = NULL; /* it is still this actor's cell: it has not told us */
	actor_unlock(a);
	if (done && s->rc == WEFT_EDOWN && weft_ctx_check())
		return weft_ctx_check(); /* what has cancelled it cancels us */
	if (done)
		return s->rc;
	(void)weft_actor_kill(ref);
	return rc;
}

static bool mailbox_ok(const weft_mailbox_opts *m)
{
	return (unsigned)m->overflow <= WEFT_OVERFLOW_FAIL;
}

/* A cell whose actor is about to be; nobody else looks at what is written but under its lock. */
static void set_up(struct actor *a, enum cell_state state, const weft_mailbox_opts *m)
{
	for (int c = 0; c < CLASSES; c++)
		list_init(&a->mail[c]);
	list_init(&a->hand);
	a->order = ORDER_NONE;
	a->mask = 0;
	a->overflow = (uint8_t)m->overflow;
	a->suspended = a->traps = a->above = a->named = a->nameless = a->attached = a->contain = a->asking = a->starter_foreign = false;
	a->len = 0;
	a->cap = m->cap ? m->cap : WEFT_MAILBOX_CAP;
	a->streak = 0;
	a->high = m->high;
	a->given = NULL;
	store_relaxed(&a->task, NULL);  /* as in actor_main */
	store_relaxed(&a->received, 0); /* not shared yet */
	a->dropped = 0;
	a->next_monitor = 0;
	a->current = NULL;
	a->error = 0;
	a->on_msg = NULL;
	a->run = NULL;
	a->on_start = NULL;
	a->on_stop = NULL;
	a->on_error = NULL;
	a->state_data = NULL;
	a->state_letter = NULL;
	a->dtor = NULL;
	a->on_high = m->on_high;
	a->high_arg = m->arg;
	a->starter = NULL;
	a->linked_to = WEFT_NO_ACTOR;
	lock_take_solo(&a->lock, RANK_ACTOR);
	a->home = weft__rt_here()->home;
	a->state = (uint8_t)state;
	actor_unlock(a);
}

static void undo(struct worker *w, struct actor *a)
{
	weft_ctx *c = a->ctx;

	lock_take_solo(&a->lock, RANK_ACTOR);
	a->gen++;
	a->state = CELL_FREE;
	a->ctx = NULL;
	actor_unlock(a);
	weft_ctx_free(c);
	if (a->state_letter)
		letter_put(w, a->state_letter);
	a->state_letter = NULL;
	weft__cell_put(a);
}

static int own_state(struct worker *w, struct actor *a, const weft_actor_opts *o, void (*fill)(void *state, const void *from))
{
	a->state_data = o->state;
	if (!o->size)
		return 0;
	a->state_letter = letter_get(w, o->size);
	if (!a->state_letter)
		return WEFT_ENOMEM;
	a->state_data = a->state_letter->bytes;
	if (fill)
		fill(a->state_data, o->state);
	else if (o->state)
		memcpy(a->state_data, o->state, o->size);
	else
		memset(a->state_data, 0, o->size);
	return 0;
}

/* From a cell to a task. s: NULL: nobody waits for it. */
static int launch(struct worker *w, struct actor **out, weft_actor_ref *ref, const weft_actor_opts *o,
		  void (*fill)(void *state, const void *from), struct starting *s, const struct weft_site *site)
{
	struct actor *self = o->link ? actor_self(w) : NULL;
	struct actor *a = weft__cell_get();
	uintptr_t words[4] = {(uintptr_t)a, 0, 0, 0};
	int rc;

	if (!a)
		return WEFT_ENOMEM;
	set_up(a, o->on_start ? CELL_STARTING : CELL_RUNNING, &o->mailbox);
	a->on_msg = o->on_msg;
	a->run = o->run;
	a->on_start = o->on_start;
	a->on_stop = o->on_stop;
	a->on_error = o->on_error;
	a->dtor = o->dtor;
	a->traps = o->trap_exit;
	a->contain = o->contain;
	a->starter = s;
	a->starter_foreign = !w;
	if (self)
		a->linked_to = actor_ref(self);
	a->ctx = weft_ctx_make(o->ctx);
	rc = a->ctx ? own_state(w, a, o, fill) : WEFT_ENOMEM;
	*out = a;
	*ref = actor_ref(a); /* it may be another's as soon as it runs */
	if (!rc && self)
		rc = weft__link(self, *ref);
	if (!rc) {
		rc = weft__go_words(weft__actor_main, words, a->ctx, o->name, site);
		if (rc && self)
			(void)weft_actor_unlink(*ref);
	}
	if (rc)
		undo(w, a);
	else if (!w)
		fence_seq_cst(); /* pairs with the one in desert: who waits for it from here on sees that, or is found */
	return rc;
}

int weft__actor_start_by(weft_actor_ref *out, const weft_actor_opts *o, void (*fill)(void *state, const void *from), int64_t deadline,
			 const struct weft_site *site)
{
	struct worker *w = weft__worker();
	struct starting s = {.done = false};
	weft_actor_ref ref = WEFT_NO_ACTOR;
	struct actor *a = NULL;
	struct runtime *rt;
	struct self me;
	int64_t until = deadline;
	int rc;

	if (out)
		*out = WEFT_NO_ACTOR;
	if (!o || !o->on_msg == !o->run || !mailbox_ok(&o->mailbox) || o->size >= SIZE_LIMIT || (o->link && !actor_self(w)))
		return WEFT_EINVAL;
	if (o->on_start) {
		rc = self_enter(&me, &until);
		if (rc)
			return rc;
		w = me.worker;
	}
	rt = w ? w->rt : weft__rt_enter_start();
	if (!rt)
		return WEFT_ESRCH;
	rc = o->contain ? weft__contain_up(rt) : 0;
	if (!rc)
		rc = launch(w, &a, &ref, o, fill, o->on_start ? &s : NULL, site);
	if (!w)
		weft__rt_leave(rt);
	if (!rc && o->on_start)
		rc = wait_for_start(a, ref, &s, deadline);
	if (!rc && out)
		*out = ref;
	return rc;
}

int weft__actor_start_at(weft_actor_ref *out, const weft_actor_opts *o, int64_t deadline, const struct weft_site *site)
{
	return weft__actor_start_by(out, o, NULL, deadline, site);
}

int(weft_actor_start_until)(weft_actor_ref *out, const weft_actor_opts *o, int64_t deadline)
{
	return weft__actor_start_at(out, o, deadline, NULL);
}

int(weft_actor_start)(weft_actor_ref *out, const weft_actor_opts *o)
{
	return weft__actor_start_at(out, o, WEFT_FOREVER, NULL);
}

int weft_actor_fn(weft_actor_ref *out, int (*on_msg)(void *state, weft_msg *m))
{
	const weft_actor_opts o = {.on_msg = on_msg};

	return weft__actor_start_at(out, &o, WEFT_FOREVER, NULL);
}

/* --- tasks that become actors --- */

static ATOMIC(uint64_t) cell_key; /* of the task-local value; 0: not made yet */

/* The task ends. */
static void detached(void *value)
{
	struct weft_task *t = weft_task_self();
	struct actor *a = value;
	weft_end e;

	lock_take_solo(&a->lock, RANK_ACTOR);
	e = weft__actor_end_of(a, t->own.unwinding ? WEFT_EPANIC : t->result);
	a->state = CELL_STOPPING;
	actor_unlock(a);
	weft__actor_die(a, e, 0);
}

static int key_make(void)
{
	weft_local key, none = 0;
	int rc;

	if (load_acquire(&cell_key)) /* pairs with the compare-and-swap */
		return 0;
	rc = weft_local_make(&key, detached, NULL);
	if (rc)
		return WEFT_ENOMEM;
	if (!cas_acq_rel(&cell_key, &none, key)) /* somebody else was faster */
		(void)weft_local_free(key);
	return 0;
}

NOINLINE struct actor *weft__actor_attached(void)
{
	weft_local key = load_acquire(&cell_key); /* as above */

	return key ? weft_local_get(key) : NULL;
}

int weft_actor_attach(weft_actor_ref *out, const weft_mailbox_opts *m)
{
	static const weft_mailbox_opts usual;
	struct worker *w = weft__worker();
	struct weft_task *t = weft_task_self();
	struct actor *a = actor_self(w);
	int rc;

	if (a) {
		if (out)
			*out = actor_ref(a);
		return WEFT_EALREADY;
	}
	if (out)
		*out = WEFT_NO_ACTOR;
	if (!t || t->fn == weft__actor_main || (m && !mailbox_ok(m)))
		return WEFT_EINVAL;
	rc = key_make();
	if (rc)
		return rc;
	a = weft__cell_get();
	if (!a)
		return WEFT_ENOMEM;
	set_up(a, CELL_RUNNING, m ? m : &usual);
	a->attached = true;
	store_relaxed(&a->task, t);                      /* not shared yet */
	rc = weft_local_set(load_acquire(&cell_key), a); /* as above */
	if (rc) {
		undo(w, a);
		return WEFT_ENOMEM;
	}
	if (out)
		*out = actor_ref(a);
	return 0;
}

/* --- a task that an actor stands for --- */

/* Looks at a result that nobody asks for: without a look, a panic would be the process's. */
static int reap(void *task)
{
	int ret;

	(void)weft_task_join(task, &ret);
	return 0;
}

static int stand_in(void *state)
{
	weft_task *t = *(weft_task **)state;
	int rc, ret = 0;

	for (;;) {
		weft_msg *m;
		weft_case k[] = {WEFT_EXIT(t, &ret), WEFT_MAIL(&m)};

		rc = weft_chan_select(k, 2);
		if (rc == 0)
			return k[0].status ? k[0].status : ret;
		if (rc == 1 && !k[1].status) {
			(void)weft_server_fail(weft_msg_from(m), WEFT_ENOTSUP);
			weft__msg_unwanted(m);
			weft_msg_free(m);
			continue;
		}
		(void)weft_task_cancel(t);
		if (weft_go_opts(NULL, reap, t, &(weft_task_opts){.ctx = weft__ctx_service()}))
			weft_task_detach(t); /* no memory for that */
		return rc < 0 ? rc : k[1].status;
	}
}

int weft_actor_adopt(weft_actor_ref *out, weft_task *t)
{
	const weft_actor_opts o = {.run = stand_in, .state = &t, .size = sizeof t, .ctx = weft__ctx_root(), .name = "adopted task"};

	if (out)
		*out = WEFT_NO_ACTOR;
	if (!t || !task_is(t, TASK_JOINABLE) || t == weft_task_self())
		return WEFT_EINVAL;
	return weft__actor_start_at(out, &o, WEFT_FOREVER, NULL);
}
