/* SPDX-License-Identifier: MIT
 *
 * sup.c - the life of a supervisor: start, the loop, the end.
 *
 *	weft_sup_start    copies what it is given: a struct sup, as the value of a context
 *	on_start          the children, in their order; one fails: back again
 *	run               a message, or a start that is due, at a time: the end of a child; a call; the end of whoever has started it
 *	on_stop           those that have ended meanwhile; then the children are stopped
 *
 * Killed, it stops nobody: links and its context do.
 */
#include "actor/sup.h"

#include "base/check.h"
#include "core/ctx.h"
#include "weft/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMES_MAX 1000000

/* --- what it tells --- */

const char *weft_sup_event_name(enum weft_sup_event_kind kind)
{
	static const char *const names[] = {"started", "restarted", "start failed", "exited", "stopped", "waiting", "abandoned", "gave up"};

	return (unsigned)kind <= WEFT_SUP_GAVE_UP ? names[kind] : "?";
}

struct telling {
	struct sup *s;
	weft_sup_event e;
};

static void tell_panicked(void *arg, const weft_panic *p)
{
	struct telling *t = arg;

	weft__log("on_event of supervisor %s panicked: %s (%s:%d)", t->s->name, p->message, p->file, p->line);
	weft__actor_show();
}

static int tell(void *arg)
{
	struct telling *t = arg;

	t->s->o.on_event(&t->e, t->s->o.event_arg);
	return 0;
}

static void say(const struct sup *s, const struct child *c, enum weft_sup_event_kind kind, weft_end e)
{
	const char *id = c->spec->id ? c->spec->id : "";

	if (kind == WEFT_SUP_ABANDONED && e.code == WEFT_ETIMEDOUT)
		weft__log("supervisor %s: child %s was killed, and has not ended: it is left alone", s->name, id);
	else if (kind == WEFT_SUP_GAVE_UP)
		weft__log("supervisor %s: child %s would be started again: that is too often", s->name, id);
}

void weft__sup_tell(struct sup *s, enum weft_sup_event_kind kind, const struct child *c, weft_end e, int64_t delay)
{
	struct telling t = {.s = s,
			    .e = {.kind = kind,
				  .sup = actor_ref(s->self),
				  .name = s->name,
				  .id = c->spec->id ? c->spec->id : "",
				  .ref = c->ref,
				  .end = e,
				  .restarts = c->restarts,
				  .delay = delay}};

	if (!s->o.on_event)
		say(s, c, kind, e);
	else
		(void)weft__task_try(tell, &t, NULL, tell_panicked, &t);
}

/* --- memory --- */

static const char sup_key; /* of the context's value */

static void drop_children(struct list *l)
{
	struct list_node *n;

	while ((n = list_pop_head(l)) != NULL)
		weft__child_free(child_of(n), true);
}

static void sup_free(void *value)
{
	struct sup *s = value;

	if (s->call)
		weft__sup_refuse(s->call, WEFT_EALREADY); /* the runtime has gone down in a start function */
	drop_children(&s->children);
	drop_children(&s->kept);
	if (s->model)
		weft__child_free(s->model, false); /* it has none */
	free(s->table[BY_REF].slot);
	free(s->table[BY_ID].slot);
	free(s->heap);
	free(s->times);
	free(s);
}

static bool opts_ok(const weft_sup_opts *o)
{
	const weft_sup_backoff *b = &o->backoff;

	return (unsigned)o->strategy <= WEFT_DYNAMIC && (unsigned)o->auto_shutdown <= WEFT_SHUTDOWN_ALL_SIGNIFICANT &&
	       (o->children || !o->n) && (o->strategy != WEFT_DYNAMIC || o->n == 1) && o->max_restarts >= WEFT_SUP_NO_RESTARTS &&
	       (o->max_restarts <= TIMES_MAX || o->max_restarts == WEFT_SUP_UNLIMITED) && o->within >= 0 && o->patience >= 0 &&
	       b->min >= 0 && b->max >= 0 && (!b->max || b->max >= b->min) && (b->mult == 0 || (b->mult >= 1 && b->mult <= 1e9)) &&
	       b->jitter >= 0 && b->jitter <= 1;
}

static int check(const weft_sup_opts *o)
{
	if (!o || !opts_ok(o))
		return WEFT_EINVAL;
	if (o->reg_name && !*o->reg_name)
		return WEFT_EINVAL;
	if (o->reg_name && strlen(o->reg_name) > WEFT_NAME_MAX)
		return WEFT_ENAMETOOLONG;
	for (size_t i = 0; i < o->n; i++) {
		int rc = weft__child_check(&o->children[i], o->strategy == WEFT_DYNAMIC, o->auto_shutdown);

		if (rc)
			return rc;
	}
	return 0;
}

static void set_defaults(struct sup *s)
{
	weft_sup_opts *o = &s->o;

	snprintf(s->name, sizeof s->name, "%s", o->name ? o->name : "supervisor");
	o->name = s->name;
	if (o->reg_name)
		o->reg_name = strcpy(s->reg_name, o->reg_name);
	o->children = NULL;
	if (!o->max_restarts)
		o->max_restarts = WEFT_SUP_MAX_RESTARTS;
	else if (o->max_restarts == WEFT_SUP_NO_RESTARTS)
		o->max_restarts = 0;
	if (!o->within)
		o->within = WEFT_SUP_WITHIN;
	if (!o->patience)
		o->patience = WEFT_SUP_PATIENCE;
	if (o->backoff.mult == 0)
		o->backoff.mult = 2;
	if (!o->backoff.max)
		o->backoff.max = o->backoff.min > INT64_MAX / 64 ? INT64_MAX : o->backoff.min * 64;
}

/* From child i on, which has not been taken: it is done with. */
static void drop_args(const weft_sup_opts *o, size_t i)
{
	for (; i < o->n; i++) {
		if (o->strategy != WEFT_DYNAMIC)
			weft__child_drop_arg(&o->children[i], o->children[i].arg);
	}
}

/* Its children are taken over, one after the other, until that fails; *taken says how many. */
static int fill(struct sup *s, const weft_sup_opts *o, size_t *taken)
{
	struct child *c;
	int rc = 0;

	for (*taken = 0; *taken < o->n && !rc; ++*taken) {
		c = weft__child_new(&o->children[*taken], !sup_dynamic(s));
		if (!c)
			return WEFT_ENOMEM;
		if (sup_dynamic(s))
			s->model = c;
		else if (weft__child_by_id(s, c->spec->id)) {
			rc = WEFT_EEXIST;
			weft__child_free(c, true);
		} else {
			rc = weft__child_enter(s, c);
			if (rc)
				weft__child_free(c, true);
		}
	}
	return rc;
}

/* NULL, and *rc: it has failed. */
static struct sup *sup_make(const weft_sup_opts *o, int *rc)
{
	struct sup *s = calloc(1, sizeof *s);
	size_t taken = 0;

	*rc = WEFT_ENOMEM;
	if (s) {
		list_init(&s->children);
		list_init(&s->kept);
		s->o = *o;
		s->group_due = WEFT_FOREVER;
		s->parent = weft_actor_self();
		set_defaults(s);
		s->times = s->o.max_restarts == WEFT_SUP_UNLIMITED ? NULL : malloc(((size_t)s->o.max_restarts + 1) * sizeof *s->times);
		if (s->times || s->o.max_restarts == WEFT_SUP_UNLIMITED)
			*rc = fill(s, o, &taken);
	}
	if (!*rc)
		return s;
	drop_args(o, taken);
	if (s)
		sup_free(s);
	return NULL;
}

/* --- its actor --- */

/* Nobody is going to answer. */
static void unheard(weft_msg *m)
{
	if (m->kind == WEFT_MSG_USER && m->tag == SUP_CALL && m->len == sizeof(struct sup_call *))
		weft__sup_refuse(*(struct sup_call **)m->data, WEFT_ESRCH);
}

static bool any(const weft_msg *m, void *arg)
{
	(void)m;
	(void)arg;
	return true;
}

/* From here on nobody asks it any more, and who has is told so: it may be one that is to be waited for. Ends that came before ours are those children's own. */
static void hear_out(struct sup *s)
{
	struct letter *l;

	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&s->self->lock, RANK_ACTOR);
	s->ending = true;
	actor_unlock(s->self);
	while ((l = weft__mail_pick(s->self, any, NULL)) != NULL) {
		bool end = l->msg.kind == WEFT_MSG_EXIT && !(l->msg.weft__flags & LETTER_SIGNAL);
		struct child *c = end ? weft__child_by_ref(s, l->msg.from) : NULL;
		weft_end e = end ? weft_msg_down(&l->msg)->end : (weft_end){0, 0};

		unheard(&l->msg);
		(void)weft_server_fail(weft_msg_from(&l->msg), WEFT_ENOTSUP);
		letter_put(weft__worker(), l);
		if (c) {
			enum weft_sup_event_kind kind = c->told ? WEFT_SUP_STOPPED : WEFT_SUP_EXITED;

			weft__child_gone(s, c);
			weft__sup_tell(s, kind, c, e, 0);
		}
	}
}

static void stop_all(struct sup *s)
{
	hear_out(s);
	weft__child_stop_all(s);
}

/* In its own task for the first time. */
static int on_start(void *state)
{
	struct sup *s = state;
	struct list_node *n, *next;
	int rc;

	s->self = actor_self(weft__worker());
	s->ref = actor_ref(s->self);
	s->since = weft_now();
	rng_seed(&s->rng, weft__worker()->rt->seed, (uint64_t)s->since);
	rc = s->o.reg_name ? weft_reg_put(s->o.reg_name, s->ref) : 0;
	if (rc || sup_dynamic(s))
		return rc;
	for (n = list_first(&s->children); n; n = next) {
		struct child *c = child_of(n);

		next = list_after(&s->children, n);
		rc = weft__child_start(s, c);
		if (rc) {
			stop_all(s);
			return rc;
		}
		if (c->state == WEFT_CHILD_DOWN && c->spec->restart == WEFT_TEMPORARY)
			weft__child_leave(s, c); /* its start has ignored it */
	}
	return 0;
}

int weft__sup_end(struct sup *s, weft_end e)
{
	(void)weft_actor_stop(actor_ref(s->self), e); /* unless it has been told otherwise by now */
	return SUP_OVER;
}

/* One message. */
static int handle(struct sup *s, weft_msg *m)
{
	weft_down down;
	struct child *c;
	bool signal;

	if (m->kind == WEFT_MSG_USER && m->tag == SUP_CALL && m->len == sizeof(struct sup_call *)) {
		struct sup_call *call = *(struct sup_call **)m->data;

		weft_msg_free(m);
		return weft__sup_serve(s, call);
	}
	if (m->kind != WEFT_MSG_EXIT) {
		(void)weft_server_fail(weft_msg_from(m), WEFT_ENOTSUP);
		weft__msg_unwanted(m);
		weft_msg_free(m);
		return 0;
	}
	down = *weft_msg_down(m);
	signal = m->weft__flags & LETTER_SIGNAL;
	weft_msg_free(m);
	c = signal ? NULL : weft__child_by_ref(s, down.ref);
	if (c)
		return weft__sup_ended(s, c, down.end);
	return weft_actor_same(down.ref, s->parent) ? weft__sup_end(s, down.end) : 0;
}

static int serve(struct sup *s)
{
	int64_t due;
	weft_msg *m;
	int rc;

	do {
		bool late;

		due = weft__sup_due(s);
		late = due <= weft_now();
		rc = weft_actor_recv_until(&m, late ? WEFT_NOW : due);
		if (rc == 0)
			rc = handle(s, m);
		else if ((rc == WEFT_EAGAIN && late) || (rc == WEFT_ETIMEDOUT && !weft_ctx_check()))
			rc = 0;
		if (!rc && due != WEFT_FOREVER)
			rc = weft_ctx_check(); /* nothing is started any more then */
		if (!rc && due != WEFT_FOREVER)
			rc = weft__sup_retry(s);
	} while (!rc);
	return rc == SUP_OVER ? 0 : rc;
}

static void forsake(void *arg)
{
	struct sup *s = arg;

	if (s->call)
		weft__sup_refuse(s->call, WEFT_EALREADY); /* a start function has ended the task */
	s->call = NULL;
}

static int run(void *state)
{
	struct sup *s = state;

	WEFT_DEFER(forsake, s);
	return serve(s);
}

static void on_stop(void *state, weft_end e)
{
	(void)e;
	stop_all(state);
}

/* Its struct sup is there as long as it is locked. */
int weft__sup_lock(weft_actor_ref ref, struct actor **a)
{
	(void)weft__worker(); /* see base/solo.h */
	*a = actor_lock(ref);
	if (!*a)
		return WEFT_ESRCH;
	if ((*a)->on_start == on_start) /* constant */
		return 0;
	actor_unlock(*a);
	return WEFT_EINVAL;
}

int weft__sup_check(weft_actor_ref ref)
{
	struct actor *a;
	int rc = weft__sup_lock(ref, &a);

	if (!rc)
		actor_unlock(a);
	return rc;
}

int weft__sup_model(weft_actor_ref ref, size_t *size)
{
	struct actor *a;
	struct sup *s;
	int rc = weft__sup_lock(ref, &a);

	if (rc)
		return rc;
	s = a->state_data;
	if (s->model)
		*size = s->model->spec->size; /* all constant */
	else
		rc = WEFT_ENOTSUP;
	actor_unlock(a);
	return rc;
}

/* --- from outside --- */

int weft_sup_start_until(weft_actor_ref *out, const weft_sup_opts *o, int64_t deadline)
{
	weft_ctx *c;
	struct sup *s;
	int rc = check(o);

	if (out)
		*out = WEFT_NO_ACTOR;
	if (!rc && o->link && weft_actor_same(weft_actor_self(), WEFT_NO_ACTOR))
		rc = WEFT_EINVAL;
	if (rc) {
		if (o && o->children)
			drop_args(o, 0);
		return rc;
	}
	s = sup_make(o, &rc);
	if (!s)
		return rc;
	c = weft_ctx_with_value(o->ctx, &sup_key, s, sup_free);
	if (!c) {
		sup_free(s);
		return WEFT_ENOMEM;
	}
	rc = weft__actor_start_at(out,
				  &(weft_actor_opts){.run = run,
						     .on_start = on_start,
						     .on_stop = on_stop,
						     .dtor = unheard,
						     .state = s,
						     .mailbox = {.cap = WEFT_MAILBOX_UNBOUNDED},
						     .name = s->name,
						     .ctx = c,
						     .trap_exit = true,
						     .link = o->link},
				  deadline, NULL);
	weft_ctx_free(c); /* the actor has one, unless it never was */
	return rc;
}

int weft_sup_start(weft_actor_ref *out, const weft_sup_opts *o)
{
	int rc = weft_sup_start_until(out, o, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

/* Is the caller below it: one of its children, a task of theirs? */
static bool below(weft_actor_ref sup)
{
	for (weft_ctx *c = weft_ctx_self(); c; c = c->parent) {
		if (c->key == &sup_key && weft_actor_same(((struct sup *)c->value)->ref, sup))
			return true;
	}
	return false;
}

int weft_sup_stop_until(weft_actor_ref sup, int64_t deadline)
{
	int rc = weft_actor_stop(sup, (weft_end){WEFT_END_SHUTDOWN, 0});

	if (rc == WEFT_ESRCH)
		return rc;
	if (below(sup))
		return WEFT_EDEADLK; /* it waits for us, and we would be cancelled, and kill it */
	rc = weft_actor_wait_until(sup, NULL, deadline);
	if (rc == WEFT_ETIMEDOUT || rc == WEFT_ECANCELED || rc == WEFT_EAGAIN)
		(void)weft_actor_kill(sup);
	return rc == WEFT_ESRCH ? 0 : rc;
}

int weft_sup_stop(weft_actor_ref sup)
{
	int rc = weft_sup_stop_until(sup, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}
