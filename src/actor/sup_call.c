/* SPDX-License-Identifier: MIT
 *
 * sup_call.c - what is asked of a supervisor from outside.
 *
 * A call is on the heap, with two references: the asker's, and that of the message that names it; so either may go first.
 *
 *   SENT  -> TAKEN   the supervisor is at it                              one compare-and-swap decides
 *         -> LEFT    the asker has given up: nothing is done
 *   TAKEN -> GONE    the asker has given up, and is told so (WEFT_EALREADY): the argument is the supervisor's, whatever comes of it
 *   any   -> ANSWERED   what it has to say is written; then it sets the event
 */
#include "actor/sup.h"
#include "weft/sync.h"

#include <stdlib.h>
#include <string.h>

const char weft__sup_calls;

enum { SENT, TAKEN, LEFT, GONE, ANSWERED };

enum op { OP_ADD, OP_STOP, OP_STOP_REF, OP_RESTART, OP_DEL, OP_FIND, OP_LIST, OP_HEALTH };

struct sup_call {
	ATOMIC(uint32_t) refs;
	ATOMIC(uint32_t) state;
	weft_event done;
	enum op op;
	int rc;             /* the answer, as the rest: valid once done is set */
	weft_actor_ref ref; /* asked about; answered */
	struct child *
		child; /* to be added, its argument the asker's, unless GONE; NULL: taken over. Without a specification: of a dynamic supervisor */
	weft_child_info *out; /* the call's own */
	int n;
	weft_sup_stat stat;
	char id[WEFT_NAME_MAX + 1];
};

static void unref(struct sup_call *c)
{
	if (add_acq_rel(&c->refs, UINT32_MAX) != 1)
		return;
	if (c->child)
		weft__child_free(c->child, false);
	free(c->out);
	free(c);
}

/* The last look at it of who has it in hand; an asker who has left does not read it. */
static void answer(struct sup_call *c, int rc)
{
	uint32_t was;

	c->rc = rc;
	was = swap_acq_rel(&c->state, ANSWERED); /* pairs with load_acquire in ask, and the compare-and-swaps in leave */
	if (was == GONE && c->child) {
		weft__child_free(c->child, true);
		c->child = NULL;
	}
	weft_event_set(&c->done);
	unref(c);
}

void weft__sup_refuse(struct sup_call *c, int rc)
{
	answer(c, rc);
}

/* --- the supervisor's side --- */

static int add(struct sup *s, struct sup_call *q)
{
	struct child *c = q->child, *other;
	int rc;

	if (!c->spec == !sup_dynamic(s))
		return WEFT_ENOTSUP;
	if (sup_dynamic(s)) {
		c->spec = s->model->spec;
	} else {
		rc = weft__child_check(c->spec, false, s->o.auto_shutdown);
		if (rc)
			return rc;
		other = weft__child_by_id(s, c->spec->id);
		if (other) {
			q->ref = other->ref;
			return WEFT_EEXIST;
		}
	}
	rc = weft__child_enter(s, c);
	if (rc)
		return rc;
	q->child = NULL;
	rc = weft__child_start(s, c);
	q->ref = c->ref;
	if (rc) {
		weft__child_out(s, c);
		q->child = c; /* its argument is the asker's again: see answer */
	} else if (c->state == WEFT_CHILD_DOWN && (sup_dynamic(s) || c->spec->restart == WEFT_TEMPORARY)) {
		weft__child_leave(s, c);
	}
	return rc;
}

static int stop(struct sup *s, struct child *c)
{
	if (weft__child_stop(s, c, WEFT_CHILD_DOWN))
		return WEFT_ESRCH; /* it is to end itself, and stops it then */
	if (sup_dynamic(s) || c->spec->restart == WEFT_TEMPORARY)
		weft__child_leave(s, c);
	return 0;
}

static int restart(struct sup *s, struct child *c, weft_actor_ref *out)
{
	int rc;

	if (c->state != WEFT_CHILD_DOWN)
		return WEFT_EBUSY;
	rc = weft__child_start(s, c);
	*out = c->ref;
	return rc;
}

static int del(struct sup *s, struct child *c)
{
	if (c->state == WEFT_CHILD_UP)
		return WEFT_EBUSY;
	weft__child_leave(s, c);
	return 0;
}

static void inform(const struct sup *s, const struct child *c, weft_child_info *out)
{
	memset(out, 0, sizeof *out);
	if (c->spec->id)
		strcpy(out->id, c->spec->id);
	weft__reg_name(c->ref, out->name);
	out->ref = c->ref;
	out->state = (enum weft_child_state)c->state;
	out->restart = c->spec->restart;
	out->sup = c->sup || c->spec->sup;
	out->restarts = c->restarts;
	out->since = c->since;
	if (c->state == WEFT_CHILD_WAITING)
		out->due = c->place ? c->due : s->group_due;
}

static int list_them(struct sup *s, struct sup_call *q)
{
	int i = 0;

	for (struct list_node *n = list_first(&s->children); n && i < q->n; n = list_after(&s->children, n))
		inform(s, child_of(n), &q->out[i++]);
	return (int)s->n;
}

static int health(struct sup *s, weft_sup_stat *st)
{
	strcpy(st->name, s->name);
	st->strategy = s->o.strategy;
	st->children = s->n;
	st->up = s->up;
	st->waiting = s->waiting;
	st->sups = s->sups;
	st->restarts = s->restarts;
	st->recent = weft__sup_recent(s);
	st->max_restarts = s->o.max_restarts;
	st->abandoned = s->abandoned;
	st->since = s->since;
	return 0;
}

static int do_it(struct sup *s, struct sup_call *q)
{
	struct child *c;

	switch (q->op) {
	case OP_ADD:
		return add(s, q);
	case OP_LIST:
		return list_them(s, q);
	case OP_HEALTH:
		return health(s, &q->stat);
	case OP_STOP_REF:
		c = weft__child_by_ref(s, q->ref);
		return c ? stop(s, c) : WEFT_ENOENT;
	default:
		break;
	}
	if (sup_dynamic(s))
		return WEFT_ENOTSUP;
	c = weft__child_by_id(s, q->id);
	if (!c)
		return WEFT_ENOENT;
	switch (q->op) {
	case OP_STOP:
		return stop(s, c);
	case OP_RESTART:
		return restart(s, c, &q->ref);
	case OP_DEL:
		return del(s, c);
	default:
		q->ref = c->ref;
		return 0;
	}
}

int weft__sup_serve(struct sup *s, struct sup_call *q)
{
	uint32_t sent = SENT;
	int rc;

	if (!cas_acq_rel(&q->state, &sent, TAKEN)) { /* against the asker's */
		unref(q);
		return 0;
	}
	s->call = q;
	rc = do_it(s, q);
	s->call = NULL;
	if (rc == WEFT_EALREADY)
		rc = WEFT_EBUSY; /* of a start function: from us it means something else */
	else if (rc == WEFT_ECANCELED && weft__actor_canceled())
		rc = WEFT_ESRCH; /* the same: it is we who are to end */
	answer(q, rc);
	return 0;
}

/* --- the asker's side --- */

static struct sup_call *call_new(enum op op, const char *id)
{
	struct sup_call *q = calloc(1, sizeof *q);

	if (!q)
		return NULL;
	store_relaxed(&q->refs, 2u); /* not shared yet */
	q->op = op;
	if (id)
		strcpy(q->id, id);
	return q;
}

/* Gives up. Returns what the asker is told, if it does; 1: too late, it is done. */
static int leave(struct sup_call *q, int rc)
{
	uint32_t was = SENT;

	if (cas_acq_rel(&q->state, &was, LEFT)) /* against the supervisor's */
		return rc;
	if (was == TAKEN && cas_acq_rel(&q->state, &was, GONE)) /* against its answer */
		return WEFT_EALREADY;
	return 1;
}

/* Puts it into the mailbox, where there is always room: of a supervisor that will look into it once more, and answer. */
static int post(weft_actor_ref sup, struct sup_call *q, int64_t deadline)
{
	struct weft_task *ready = NULL;
	struct letter *l;
	struct actor *a;
	struct self me;
	int rc = self_enter(&me, &deadline);

	if (rc)
		return rc;
	l = letter_get(me.worker, sizeof q);
	if (!l)
		return WEFT_ENOMEM;
	l->msg.tag = SUP_CALL;
	l->msg.from = weft_actor_self();
	l->msg.kind = WEFT_MSG_USER;
	l->msg.prio = WEFT_PRIO_NORMAL;
	memcpy(l->bytes, &q, sizeof q);
	rc = weft__sup_lock(sup, &a);
	if (!rc) {
		if (((struct sup *)a->state_data)->ending)
			rc = WEFT_ESRCH; /* we may be one of those it waits for */
		else
			ready = weft__mail_put(a, l);
		actor_unlock(a);
	}
	if (rc)
		letter_put(me.worker, l);
	else if (ready)
		weft__ready(me.worker, ready);
	return rc;
}

/* Asks, and waits. Returns the answer, or why there is none; the asker's reference is still its own: answers are read under it, with *answered. */
static int ask(weft_actor_ref sup, struct sup_call *q, int64_t deadline, bool *answered)
{
	bool itself = sup.weft__at && weft_actor_same(sup, weft_actor_self());
	int rc = itself ? weft__sup_check(sup) : post(sup, q, deadline);

	*answered = false;
	if (itself && !rc)
		rc = WEFT_EDEADLK;
	if (rc) {
		unref(q); /* the message's */
		return rc;
	}
	rc = weft_event_wait_until(&q->done, deadline);
	if (rc)
		rc = leave(q, rc);
	if (rc < 0)
		return rc;
	*answered = load_acquire(&q->state) == ANSWERED; /* pairs with answer; it is */
	return q->rc;
}

static bool id_ok(const char *id, int *rc)
{
	*rc = !id || !*id ? WEFT_EINVAL : strlen(id) > WEFT_NAME_MAX ? WEFT_ENAMETOOLONG : 0;
	return !*rc;
}

/* About one child, by its id. out: NULL: nothing is wanted. */
static int ask_id(weft_actor_ref sup, enum op op, const char *id, weft_actor_ref *out, int64_t deadline)
{
	struct sup_call *q;
	bool answered;
	int rc;

	if (out)
		*out = WEFT_NO_ACTOR;
	if (!id_ok(id, &rc))
		return rc;
	q = call_new(op, id);
	if (!q)
		return WEFT_ENOMEM;
	rc = ask(sup, q, deadline, &answered);
	if (answered && out)
		*out = q->ref;
	unref(q);
	return rc;
}

static int ask_add(weft_actor_ref sup, struct sup_call *q, weft_actor_ref *out, int64_t deadline)
{
	bool answered;
	int rc = ask(sup, q, deadline, &answered);

	if (answered && out)
		*out = q->ref;
	unref(q);
	return rc;
}

int weft_sup_child_add_until(weft_actor_ref sup, const weft_child_spec *spec, weft_actor_ref *out, int64_t deadline)
{
	struct sup_call *q;
	int rc;

	if (out)
		*out = WEFT_NO_ACTOR;
	if (!spec)
		return WEFT_EINVAL;
	rc = weft__child_check(spec, false, WEFT_SHUTDOWN_ANY_SIGNIFICANT); /* whether the supervisor has any it says itself */
	if (rc)
		return rc;
	q = call_new(OP_ADD, NULL);
	if (q)
		q->child = weft__child_new(spec, true);
	if (!q || !q->child) {
		free(q);
		return WEFT_ENOMEM;
	}
	return ask_add(sup, q, out, deadline);
}

int weft_sup_child_add(weft_actor_ref sup, const weft_child_spec *spec, weft_actor_ref *out)
{
	int rc = weft_sup_child_add_until(sup, spec, out, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_sup_child_start_until(weft_actor_ref sup, void *arg, weft_actor_ref *out, int64_t deadline)
{
	struct sup_call *q;
	size_t size;
	int rc;

	if (out)
		*out = WEFT_NO_ACTOR;
	rc = weft__sup_model(sup, &size);
	if (rc)
		return rc;
	if (size && !arg)
		return WEFT_EINVAL;
	q = call_new(OP_ADD, NULL);
	if (q)
		q->child = weft__child_like(size, arg);
	if (!q || !q->child) {
		free(q);
		return WEFT_ENOMEM;
	}
	return ask_add(sup, q, out, deadline);
}

int weft_sup_child_start(weft_actor_ref sup, void *arg, weft_actor_ref *out)
{
	int rc = weft_sup_child_start_until(sup, arg, out, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_sup_child_stop_until(weft_actor_ref sup, const char *id, int64_t deadline)
{
	return ask_id(sup, OP_STOP, id, NULL, deadline);
}

int weft_sup_child_stop(weft_actor_ref sup, const char *id)
{
	int rc = weft_sup_child_stop_until(sup, id, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_sup_child_stop_ref_until(weft_actor_ref sup, weft_actor_ref child, int64_t deadline)
{
	struct sup_call *q;
	bool answered;
	int rc;

	if (!child.weft__at)
		return WEFT_EINVAL;
	q = call_new(OP_STOP_REF, NULL);
	if (!q)
		return WEFT_ENOMEM;
	q->ref = child;
	rc = ask(sup, q, deadline, &answered);
	unref(q);
	return rc;
}

int weft_sup_child_stop_ref(weft_actor_ref sup, weft_actor_ref child)
{
	int rc = weft_sup_child_stop_ref_until(sup, child, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_sup_child_restart_until(weft_actor_ref sup, const char *id, weft_actor_ref *out, int64_t deadline)
{
	return ask_id(sup, OP_RESTART, id, out, deadline);
}

int weft_sup_child_restart(weft_actor_ref sup, const char *id, weft_actor_ref *out)
{
	int rc = weft_sup_child_restart_until(sup, id, out, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_sup_child_del_until(weft_actor_ref sup, const char *id, int64_t deadline)
{
	return ask_id(sup, OP_DEL, id, NULL, deadline);
}

int weft_sup_child_del(weft_actor_ref sup, const char *id)
{
	int rc = weft_sup_child_del_until(sup, id, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_sup_child_find_until(weft_actor_ref sup, const char *id, weft_actor_ref *out, int64_t deadline)
{
	return out ? ask_id(sup, OP_FIND, id, out, deadline) : WEFT_EINVAL;
}

int weft_sup_child_find(weft_actor_ref sup, const char *id, weft_actor_ref *out)
{
	int rc = weft_sup_child_find_until(sup, id, out, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

/* --- how it is doing --- */

int weft_sup_list_until(weft_actor_ref sup, weft_child_info *out, int n, int64_t deadline)
{
	struct sup_call *q;
	bool answered;
	int rc;

	if (n < 0 || (n && !out))
		return WEFT_EINVAL;
	q = call_new(OP_LIST, NULL);
	if (q && n)
		q->out = malloc((size_t)n * sizeof *out);
	if (!q || (n && !q->out)) {
		free(q);
		return WEFT_ENOMEM;
	}
	q->n = n;
	rc = ask(sup, q, deadline, &answered);
	if (answered && rc > 0 && n)
		memcpy(out, q->out, (size_t)(rc < n ? rc : n) * sizeof *out);
	unref(q);
	return rc;
}

int weft_sup_list(weft_actor_ref sup, weft_child_info *out, int n)
{
	int rc = weft_sup_list_until(sup, out, n, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_sup_health_until(weft_actor_ref sup, weft_sup_stat *out, int64_t deadline)
{
	struct sup_call *q;
	bool answered;
	int rc;

	if (!out)
		return WEFT_EINVAL;
	memset(out, 0, sizeof *out);
	q = call_new(OP_HEALTH, NULL);
	if (!q)
		return WEFT_ENOMEM;
	rc = ask(sup, q, deadline, &answered);
	if (answered && !rc)
		*out = q->stat;
	unref(q);
	return rc;
}

int weft_sup_health(weft_actor_ref sup, weft_sup_stat *out)
{
	int rc = weft_sup_health_until(sup, out, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}
