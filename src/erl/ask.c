/* SPDX-License-Identifier: MIT
 *
 * ask.c - what ours say to theirs: messages, calls, and actors that stand for one of theirs.
 *
 * A call is from a pid of its own, and monitors whom it asks: what comes there with the call's reference is the answer, or the end, and what comes later finds nobody. Who stands for a process has a pid for the same reason.
 *
 * A call of who stands for one is passed on by a task. Nobody tells that its caller has given up: so those are swept out when there are twice as many calls as were left the last time, and all of them when the
 * stand-in ends, for then their callers have been told.
 */
#include "erl/erl.h"

#include <stdlib.h>
#include <string.h>

/* Whom, as it goes onto the wire. */
struct target {
	struct out term; /* a pid, or a name */
	bool named;
	const char *node; /* borrowed */
};

static int target_of(struct target *t, weft_erl_to to)
{
	char buf[MAXATOMLEN_UTF8 + 32];
	int len = 0;

	*t = (struct target){.named = !to.pid, .node = to.pid ? to.pid->node : to.node};
	if (!t->node || (!to.pid && (!to.name || !to.name[0] || !weft__erl_is_text(to.name, strlen(to.name)))))
		return WEFT_EINVAL;
	if (to.pid && (strnlen(t->node, sizeof to.pid->node) > NODE_MAX || ei_encode_pid(buf, &len, to.pid) != 0))
		return WEFT_EINVAL;
	if (to.pid)
		weft__erl_raw(&t->term, buf, (size_t)len);
	else
		weft__erl_atom(&t->term, to.name);
	return t->term.failed ? WEFT_ENOMEM : 0;
}

static struct slice slice_of(const struct out *o)
{
	return (struct slice){o->at, (int)o->len};
}

/* Around every call: 0, and then leave. */
static int enter(weft_erl *n, int64_t deadline)
{
	int rc = weft_ctx_check();

	if (rc == 0 && deadline != WEFT_NOW && deadline != WEFT_FOREVER && deadline <= weft_now())
		rc = WEFT_ETIMEDOUT;
	return rc ? rc : weft__erl_enter(n);
}

/* --- messages --- */

/* The control message of a send; its message follows. */
static void send_control(struct conn *c, struct out *o, uint64_t from, const struct target *t)
{
	if (t->named) {
		weft__erl_tuple(o, 4);
		weft__erl_int(o, OP_REG_SEND);
		weft__erl_pid(c->n, o, from);
		weft__erl_atom(o, "");
	} else if (c->flags & DFLAG_SEND_SENDER) {
		weft__erl_tuple(o, 3);
		weft__erl_int(o, OP_SEND_SENDER);
		weft__erl_pid(c->n, o, from);
	} else {
		weft__erl_tuple(o, 3);
		weft__erl_int(o, OP_SEND);
		weft__erl_atom(o, "");
	}
	weft__erl_add(o, slice_of(&t->term));
}

static int say(struct conn *c, uint64_t from, const struct target *t, struct slice term, int64_t deadline)
{
	struct out o = {.at = NULL};
	int rc;

	send_control(c, &o, from, t);
	rc = weft__erl_put(c, &o, &term, deadline);
	weft__erl_out_free(&o);
	return rc;
}

/* {'$gen_cast', Term} */
static void as_cast(struct out *o, struct slice term)
{
	weft__erl_tuple(o, 2);
	weft__erl_atom(o, "$gen_cast");
	weft__erl_add(o, term);
}

static int say_as(struct conn *c, uint64_t from, const struct target *t, struct slice term, bool cast, int64_t deadline)
{
	struct out o = {.at = NULL};
	int rc;

	if (!cast)
		return say(c, from, t, term, deadline);
	as_cast(&o, term);
	rc = o.failed ? WEFT_ENOMEM : say(c, from, t, slice_of(&o), deadline);
	weft__erl_out_free(&o);
	return rc;
}

static int term_of(struct slice *term, const void *p, size_t len)
{
	if (len >= (size_t)1 << 30)
		return WEFT_EMSGSIZE;
	return p ? weft__erl_check(term, p, len) : WEFT_EINVAL;
}

static int send_as(weft_erl *n, weft_erl_to to, const void *p, size_t len, bool cast, int64_t deadline)
{
	uint64_t from = weft__erl_number(n, weft_actor_self());
	struct slice term;
	struct target t;
	struct conn *c;
	int rc = target_of(&t, to);

	if (rc == 0)
		rc = term_of(&term, p, len);
	if (rc == 0)
		rc = weft__erl_conn_get(n, t.node, deadline, &c);
	if (rc == 0) {
		rc = say_as(c, from, &t, term, cast, deadline == WEFT_NOW ? 1 : deadline);
		if (rc == WEFT_ETIMEDOUT && deadline == WEFT_NOW)
			rc = WEFT_EAGAIN;
		weft__erl_conn_unref(c);
	}
	weft__erl_out_free(&t.term);
	return rc;
}

int weft_erl_send_until(weft_erl *n, weft_erl_to to, const void *term, size_t len, int64_t deadline)
{
	int rc = enter(n, deadline);

	if (rc)
		return rc;
	rc = send_as(n, to, term, len, false, deadline);
	weft__erl_leave(n);
	return rc;
}

int weft_erl_send(weft_erl *n, weft_erl_to to, const void *term, size_t len)
{
	return weft_erl_send_until(n, to, term, len, WEFT_FOREVER);
}

int weft_erl_cast_until(weft_erl *n, weft_erl_to to, const void *term, size_t len, int64_t deadline)
{
	int rc = enter(n, deadline);

	if (rc)
		return rc;
	rc = send_as(n, to, term, len, true, deadline);
	weft__erl_leave(n);
	return rc;
}

int weft_erl_cast(weft_erl *n, weft_erl_to to, const void *term, size_t len)
{
	return weft_erl_cast_until(n, to, term, len, WEFT_FOREVER);
}

/* --- monitors of theirs --- */

/* {MONITOR_P | DEMONITOR_P, us, theirs, ref} */
static int monitor(struct conn *c, enum op op, uint64_t number, const struct target *t, const struct out *ref, int64_t deadline)
{
	struct out o = {.at = NULL};
	int rc;

	weft__erl_tuple(&o, 4);
	weft__erl_int(&o, op);
	weft__erl_pid(c->n, &o, number);
	weft__erl_add(&o, slice_of(&t->term));
	weft__erl_add(&o, slice_of(ref));
	rc = weft__erl_put(c, &o, NULL, deadline);
	weft__erl_out_free(&o);
	if (rc == WEFT_ENOMEM && op == OP_DEMONITOR_P)
		weft__erl_cut(c);
	return rc;
}

/* It has a number, as long as the connection is up. */
static int id_begin(struct conn *c, struct id *id)
{
	int rc;

	weft__erl_lock(&c->n->lock);
	rc = c->state == CONN_UP ? weft__erl_id_add(c->n, id) : WEFT_ENOTCONN;
	weft_mutex_unlock(&c->n->lock);
	return rc;
}

static void id_end(weft_erl *n, struct id *id)
{
	weft__erl_lock(&n->lock);
	weft__erl_id_del(n, id);
	weft_mutex_unlock(&n->lock);
}

/* --- calls --- */

/* {'$gen_call', {Us, Ref}, Request} */
static void as_call(struct conn *c, struct out *o, uint64_t number, const struct out *ref, struct slice req)
{
	weft__erl_tuple(o, 3);
	weft__erl_atom(o, "$gen_call");
	weft__erl_tuple(o, 2);
	weft__erl_pid(c->n, o, number);
	weft__erl_add(o, slice_of(ref));
	weft__erl_add(o, req);
	o->failed = o->failed || ref->failed;
}

static int wait_for(weft_erl *n, struct call *k, int64_t deadline)
{
	int rc = 0;

	weft__erl_lock(&n->lock);
	while (!k->done && rc == 0)
		rc = n->stopping ? WEFT_ECLOSED : weft_cond_wait_until(&k->answered, &n->lock, deadline);
	if (k->done)
		rc = n->stopping && k->rc == WEFT_ENOTCONN ? WEFT_ECLOSED : k->rc;
	weft_mutex_unlock(&n->lock);
	return rc;
}

/* got: empty; receives the answer, if there is one. */
static int ask(struct conn *c, const struct target *t, struct slice req, struct out *got, int64_t deadline)
{
	struct out ref = {.at = NULL}, q = {.at = NULL};
	struct call k = {.id = {.conn = c}};
	uint64_t number;
	int rc;

	k.id.call = &k;
	weft__erl_ref(c->n, &ref);
	k.ref = slice_of(&ref);
	rc = ref.failed ? WEFT_ENOMEM : id_begin(c, &k.id);
	if (rc) {
		weft__erl_out_free(&ref);
		return rc;
	}
	number = k.id.by_number.key;
	as_call(c, &q, number, &ref, req);
	rc = q.failed ? WEFT_ENOMEM : monitor(c, OP_MONITOR_P, number, t, &ref, deadline);
	if (rc == 0) {
		rc = say(c, number, t, slice_of(&q), deadline);
		if (rc == 0)
			rc = wait_for(c->n, &k, deadline);
		(void)monitor(c, OP_DEMONITOR_P, number, t, &ref, WEFT_NOW); /* also of one that has told: that is nothing to it */
	}
	id_end(c->n, &k.id);
	if (rc == 0)
		*got = k.got;
	else
		weft__erl_out_free(&k.got);
	weft__erl_out_free(&ref);
	weft__erl_out_free(&q);
	return rc;
}

/* As ei's own, also where it was all zero. */
static int append(ei_x_buff *x, const struct out *got)
{
	size_t need = (size_t)x->index + got->len;
	char *at;

	if (need > INT32_MAX)
		return WEFT_EMSGSIZE;
	if (need > (size_t)x->buffsz) {
		at = realloc(x->buff, need);
		if (!at)
			return WEFT_ENOMEM;
		x->buff = at;
		x->buffsz = (int)need;
	}
	memcpy(x->buff + x->index, got->at, got->len);
	x->index = (int)need;
	return 0;
}

static int call(weft_erl *n, weft_erl_to to, const void *p, size_t len, struct out *got, int64_t deadline)
{
	struct slice req;
	struct target t;
	struct conn *c;
	int rc = target_of(&t, to);

	if (rc == 0)
		rc = term_of(&req, p, len);
	if (rc == 0)
		rc = weft__erl_conn_get(n, t.node, deadline, &c);
	if (rc == 0) {
		rc = ask(c, &t, req, got, deadline);
		weft__erl_conn_unref(c);
	}
	weft__erl_out_free(&t.term);
	return rc;
}

int weft_erl_call_until(weft_erl *n, weft_erl_to to, const void *req, size_t len, ei_x_buff *reply, int64_t deadline)
{
	struct out got = {.at = NULL};
	int rc = enter(n, deadline);

	if (rc)
		return rc;
	rc = deadline == WEFT_NOW ? WEFT_EAGAIN : call(n, to, req, len, &got, deadline);
	if (rc == 0 && reply)
		rc = append(reply, &got);
	weft__erl_out_free(&got);
	weft__erl_leave(n);
	return rc;
}

int weft_erl_call(weft_erl *n, weft_erl_to to, const void *req, size_t len, ei_x_buff *reply)
{
	return weft_erl_call_until(n, to, req, len, reply, WEFT_FOREVER);
}

/* --- those who stand for others --- */

struct stand {
	struct conn *c;
	struct target t;
	struct out ref;
	struct id id;
	struct passed *calls;   /* under way, and not given up; these under n->lock */
	size_t count, sweep_at; /* of them; how many are too many */
};

/* Where the starter waits. */
struct starting {
	struct stand *s;
	weft_actor_ref ref;
	weft_event done;
	int rc;
};

/* A call of who stands there, on its way. */
struct passed {
	struct passed *next, **at; /* in s->calls */
	struct stand *s;           /* NULL: it has been given up. All these under n->lock */
	weft_ctx *ctx;             /* ends when it is */
	struct conn *c;
	struct target t;
	weft_from from;
	struct slice req;
	char bytes[];
};

/* Under n->lock. */
static void passed_list(struct stand *s, struct passed *p)
{
	p->s = s;
	p->next = s->calls;
	p->at = &s->calls;
	if (p->next)
		p->next->at = &p->next;
	s->calls = p;
	s->count++;
}

static void passed_unlist(struct passed *p)
{
	if (!p->s)
		return;
	*p->at = p->next;
	if (p->next)
		p->next->at = p->at;
	p->s->count--;
	p->s = NULL;
}

/* Gives up those that nobody waits for, or all. */
static void sweep(struct stand *s, bool all)
{
	struct passed *p, *next;

	for (p = s->calls; p; p = next) {
		next = p->next;
		if (!all && weft_server_waiting(p->from))
			continue;
		passed_unlist(p);
		(void)weft_ctx_cancel(p->ctx, 0); /* its task frees it, behind n->lock */
	}
	s->sweep_at = 2 * s->count + SWEEP_MIN;
}

static void passed_free(struct passed *p)
{
	weft__erl_out_free(&p->t.term);
	weft_ctx_free(p->ctx);
	weft__erl_conn_unref(p->c);
	free(p);
}

static int passes(void *arg)
{
	struct passed *p = arg;
	struct out got = {.at = NULL};
	bool given_up;
	int rc = 0;

	WEFT_WITH_CTX (p->ctx) {
		rc = weft_ctx_check();
		if (rc == 0)
			rc = ask(p->c, &p->t, p->req, &got, WEFT_FOREVER);
	}
	weft__erl_lock(&p->c->n->lock);
	given_up = !p->s;
	passed_unlist(p);
	weft_mutex_unlock(&p->c->n->lock);
	if (rc == 0)
		(void)weft_server_reply(p->from, got.at, got.len);
	else if (!given_up) /* else who waits still is told by the end of whom he has asked */
		(void)weft_server_fail(p->from, rc);
	weft__erl_out_free(&got);
	passed_free(p);
	return 0;
}

static int pass_call(struct stand *s, weft_from from, struct slice req)
{
	struct passed *p = malloc(sizeof *p + (size_t)req.len);
	weft_erl *n = s->c->n;
	int rc = WEFT_ENOMEM;

	if (!p)
		return rc;
	*p = (struct passed){.c = weft__erl_conn_ref(s->c), .from = from, .t = {.named = s->t.named}, .req = {p->bytes, req.len}};
	memcpy(p->bytes, req.at, (size_t)req.len);
	weft__erl_add(&p->t.term, slice_of(&s->t.term));
	p->ctx = weft_ctx_make(weft_group_ctx(&n->group));
	if (p->t.term.failed || !p->ctx) {
		passed_free(p);
		return rc;
	}
	weft__erl_lock(&n->lock);
	if (s->count >= s->sweep_at)
		sweep(s, false);
	passed_list(s, p);
	weft_mutex_unlock(&n->lock);
	rc = weft_group_go(&n->group, passes, p);
	if (rc) {
		weft__erl_lock(&n->lock);
		passed_unlist(p);
		weft_mutex_unlock(&n->lock);
		passed_free(p);
	}
	return rc;
}

/* A term from one of ours; or what another node has sent to one of ours, which is this one. */
static int passed_term(struct slice *term, const weft_msg *m)
{
	const char *p;
	size_t len;

	if (m->kind != WEFT_MSG_USER)
		return WEFT_EINVAL;
	p = weft_erl_term(m, &len, NULL);
	if (!p)
		return weft__erl_check(term, m->data, m->len);
	*term = (struct slice){p, (int)len};
	return 0;
}

static void pass(struct stand *s, weft_msg *m)
{
	weft_from from = weft_msg_from(m);
	struct slice term;
	int rc = passed_term(&term, m);

	if (weft_from_none(from)) {
		if (rc == 0)
			rc = say_as(s->c, weft__erl_number(s->c->n, m->from), &s->t, term, m->tag == WEFT_ERL_CAST, WEFT_FOREVER);
		if (rc == WEFT_ENOMEM) /* messages that there is no memory for are not left out */
			weft__erl_cut(s->c);
		return;
	}
	if (rc == 0)
		rc = pass_call(s, from, term);
	if (rc)
		(void)weft_server_fail(from, rc);
}

static void stand_free(struct stand *s)
{
	weft__erl_conn_unref(s->c);
	weft__erl_out_free(&s->t.term);
	weft__erl_out_free(&s->ref);
	free(s);
}

static int stand_begin(struct stand *s, weft_actor_ref *ref)
{
	int rc = weft_actor_attach(ref, NULL);

	if (rc)
		return rc;
	s->id.ref = *ref;
	s->id.conn = s->c;
	rc = id_begin(s->c, &s->id);
	if (rc)
		return rc;
	rc = monitor(s->c, OP_MONITOR_P, s->id.by_number.key, &s->t, &s->ref, WEFT_NOW);
	if (rc)
		id_end(s->c->n, &s->id);
	return rc;
}

static int stands(void *arg)
{
	struct starting *b = arg;
	struct stand *s = b->s;
	weft_msg *m;
	int rc = stand_begin(s, &b->ref);

	b->rc = rc;
	weft_event_set(&b->done); /* b is gone */
	if (rc == 0) {
		while ((rc = weft_actor_recv(&m)) == 0) {
			pass(s, m);
			weft_msg_free(m);
		}
		weft__erl_lock(&s->c->n->lock);
		sweep(s, true);
		weft_mutex_unlock(&s->c->n->lock);
		id_end(s->c->n, &s->id);
		(void)monitor(s->c, OP_DEMONITOR_P, s->id.by_number.key, &s->t, &s->ref, WEFT_NOW);
	}
	stand_free(s);
	return rc == WEFT_ECLOSED ? 0 : rc;
}

static int stand(weft_erl *n, weft_actor_ref *out, weft_erl_to to, int64_t deadline)
{
	struct starting b = {.rc = 0};
	struct stand *s = calloc(1, sizeof *s);
	int rc;

	if (!s)
		return WEFT_ENOMEM;
	s->sweep_at = SWEEP_MIN;
	rc = target_of(&s->t, to);
	weft__erl_ref(n, &s->ref);
	if (rc == 0)
		rc = s->ref.failed ? WEFT_ENOMEM : weft__erl_conn_get(n, s->t.node, deadline, &s->c);
	if (rc) {
		weft__erl_out_free(&s->t.term);
		weft__erl_out_free(&s->ref);
		free(s);
		return rc;
	}
	s->t.node = NULL; /* the caller's */
	b.s = s;
	rc = weft_group_go(&n->group, stands, &b);
	if (rc) {
		stand_free(s);
		return rc;
	}
	WEFT_WITH_SHIELD
	{
		(void)weft_event_wait(&b.done); /* it waits for nothing before */
	}
	if (b.rc == 0)
		*out = b.ref;
	return b.rc;
}

int weft_erl_stand_in_until(weft_erl *n, weft_actor_ref *out, weft_erl_to to, int64_t deadline)
{
	int rc = enter(n, deadline);

	*out = WEFT_NO_ACTOR;
	if (rc)
		return rc;
	rc = stand(n, out, to, deadline);
	weft__erl_leave(n);
	return rc;
}

int weft_erl_stand_in(weft_erl *n, weft_actor_ref *out, weft_erl_to to)
{
	return weft_erl_stand_in_until(n, out, to, WEFT_FOREVER);
}

/* --- nodes --- */

int weft_erl_connect_until(weft_erl *n, const char *node, int64_t deadline)
{
	struct conn *c;
	int rc = enter(n, deadline);

	if (rc)
		return rc;
	rc = weft__erl_conn_get(n, node, deadline, &c);
	if (rc == 0)
		weft__erl_conn_unref(c);
	weft__erl_leave(n);
	return rc;
}

int weft_erl_connect(weft_erl *n, const char *node)
{
	return weft_erl_connect_until(n, node, WEFT_FOREVER);
}

static struct conn *up_to(weft_erl *n, const char *node)
{
	struct conn *c = weft__erl_conn_find(n, node);

	return c && c->state == CONN_UP ? c : NULL;
}

int weft_erl_disconnect(weft_erl *n, const char *node)
{
	struct conn *c;
	int rc = node ? weft__erl_enter(n) : WEFT_EINVAL;

	if (rc)
		return rc;
	weft__erl_lock(&n->lock);
	c = up_to(n, node);
	if (c)
		weft__erl_cut(c);
	weft_mutex_unlock(&n->lock);
	weft__erl_leave(n);
	return c ? 0 : WEFT_ENOTCONN;
}

bool weft_erl_connected(weft_erl *n, const char *node)
{
	bool is;

	if (!node || weft__erl_enter(n) != 0)
		return false;
	weft__erl_lock(&n->lock);
	is = up_to(n, node) != NULL;
	weft_mutex_unlock(&n->lock);
	weft__erl_leave(n);
	return is;
}

int weft_erl_watch_until(weft_erl *n, const char *node, int64_t deadline)
{
	int rc = node ? enter(n, deadline) : WEFT_EINVAL;
	struct conn *c;

	if (rc)
		return rc;
	weft__erl_lock(&n->lock);
	c = up_to(n, node);
	if (c)
		weft__erl_conn_ref(c);
	while (rc == 0 && c && c->state == CONN_UP) /* another may have come up before we look */
		rc = n->stopping ? WEFT_ECLOSED : weft_cond_wait_until(&n->changed, &n->lock, deadline);
	weft_mutex_unlock(&n->lock);
	if (c)
		weft__erl_conn_unref(c);
	weft__erl_leave(n);
	return rc;
}

int weft_erl_watch(weft_erl *n, const char *node)
{
	return weft_erl_watch_until(n, node, WEFT_FOREVER);
}

int weft_erl_ping_until(weft_erl *n, const char *node, int64_t deadline)
{
	struct out q = {.at = NULL}, got = {.at = NULL};
	int rc = enter(n, deadline);

	if (rc)
		return rc;
	weft__erl_tuple(&q, 2);
	weft__erl_atom(&q, "is_auth");
	weft__erl_atom(&q, n->name);
	if (q.failed)
		rc = WEFT_ENOMEM;
	else if (deadline == WEFT_NOW)
		rc = WEFT_EAGAIN;
	else
		rc = call(n, weft_erl_at("net_kernel", node), q.at, q.len, &got, deadline);
	if (rc == 0 && !weft__erl_is(slice_of(&got), "yes"))
		rc = WEFT_EACCES;
	weft__erl_out_free(&q);
	weft__erl_out_free(&got);
	weft__erl_leave(n);
	return rc;
}

int weft_erl_ping(weft_erl *n, const char *node)
{
	return weft_erl_ping_until(n, node, WEFT_FOREVER);
}
