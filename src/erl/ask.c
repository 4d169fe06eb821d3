/* SPDX-License-Identifier: MIT
 *
 * ask.c - what ours say to theirs: messages and calls; and what they ask of connections.
 *
 * A call is from a pid of its own, and monitors whom it asks: what comes there with the call's reference is the answer, or the end, and what comes later finds nobody.
 */
#include "erl/erl.h"

#include <stdlib.h>
#include <string.h>

int weft__erl_target_of(struct target *t, weft_erl_to to)
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

int weft__erl_say(struct conn *c, uint64_t from, const struct target *t, struct slice term, bool cast, int64_t deadline)
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

static int sends(weft_erl *n, struct errand *e)
{
	uint64_t from = weft__erl_number(n, e->who);
	struct slice term;
	struct target t;
	struct conn *c;
	int rc = weft__erl_target_of(&t, e->to);

	if (rc == 0)
		rc = term_of(&term, e->term, e->len);
	if (rc == 0)
		rc = weft__erl_conn_get(n, t.node, e->deadline, &c);
	if (rc == 0) {
		rc = weft__erl_say(c, from, &t, term, e->cast, e->deadline == WEFT_NOW ? 1 : e->deadline);
		if (rc == WEFT_ETIMEDOUT && e->deadline == WEFT_NOW)
			rc = WEFT_EAGAIN;
		weft__erl_conn_unref(c);
	}
	weft__erl_out_free(&t.term);
	return rc;
}

static int send_as(weft_erl *n, weft_erl_to to, const void *term, size_t len, bool cast, int64_t deadline)
{
	struct errand e = {.fn = sends, .deadline = deadline, .cast = cast, .who = weft_actor_self(), .to = to, .term = term, .len = len};

	return weft__erl_do(n, &e);
}

int weft_erl_send_until(weft_erl *n, weft_erl_to to, const void *term, size_t len, int64_t deadline)
{
	return send_as(n, to, term, len, false, deadline);
}

int weft_erl_send(weft_erl *n, weft_erl_to to, const void *term, size_t len)
{
	return weft_erl_send_until(n, to, term, len, WEFT_FOREVER);
}

int weft_erl_cast_until(weft_erl *n, weft_erl_to to, const void *term, size_t len, int64_t deadline)
{
	return send_as(n, to, term, len, true, deadline);
}

int weft_erl_cast(weft_erl *n, weft_erl_to to, const void *term, size_t len)
{
	return weft_erl_cast_until(n, to, term, len, WEFT_FOREVER);
}

/* --- monitors of theirs --- */

/* {MONITOR_P | DEMONITOR_P, us, theirs, ref} */
int weft__erl_monitor(struct conn *c, enum op op, uint64_t number, const struct target *t, const struct out *ref, int64_t deadline)
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

int weft__erl_id_begin(struct conn *c, struct id *id)
{
	int rc;

	weft__erl_lock(&c->n->lock);
	rc = c->state == CONN_UP ? weft__erl_id_add(c->n, id) : WEFT_ENOTCONN;
	weft_mutex_unlock(&c->n->lock);
	return rc;
}

void weft__erl_id_end(weft_erl *n, struct id *id)
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

int weft__erl_ask(struct conn *c, const struct target *t, struct slice req, struct out *got, int64_t deadline)
{
	struct out ref = {.at = NULL}, q = {.at = NULL};
	struct call k = {.id = {.conn = c}};
	uint64_t number;
	int rc;

	k.id.call = &k;
	weft__erl_ref(c->n, &ref);
	k.ref = slice_of(&ref);
	rc = ref.failed ? WEFT_ENOMEM : weft__erl_id_begin(c, &k.id);
	if (rc) {
		weft__erl_out_free(&ref);
		return rc;
	}
	number = k.id.by_number.key;
	as_call(c, &q, number, &ref, req);
	rc = q.failed ? WEFT_ENOMEM : weft__erl_monitor(c, OP_MONITOR_P, number, t, &ref, deadline);
	if (rc == 0) {
		rc = say(c, number, t, slice_of(&q), deadline);
		if (rc == 0)
			rc = wait_for(c->n, &k, deadline);
		(void)weft__erl_monitor(c, OP_DEMONITOR_P, number, t, &ref,
					WEFT_NOW); /* also of one that has told: that is nothing to it */
	}
	weft__erl_id_end(c->n, &k.id);
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

static int calls(weft_erl *n, struct errand *e)
{
	struct slice req;
	struct target t;
	struct conn *c;
	int rc = weft__erl_target_of(&t, e->to);

	if (e->deadline == WEFT_NOW)
		rc = WEFT_EAGAIN;
	if (rc == 0)
		rc = term_of(&req, e->term, e->len);
	if (rc == 0)
		rc = weft__erl_conn_get(n, t.node, e->deadline, &c);
	if (rc == 0) {
		rc = weft__erl_ask(c, &t, req, &e->got, e->deadline);
		weft__erl_conn_unref(c);
	}
	weft__erl_out_free(&t.term);
	return rc;
}

int weft_erl_call_until(weft_erl *n, weft_erl_to to, const void *req, size_t len, ei_x_buff *reply, int64_t deadline)
{
	struct errand e = {.fn = calls, .deadline = deadline, .to = to, .term = req, .len = len};
	int rc = weft__erl_do(n, &e);

	if (rc == 0 && reply)
		rc = append(reply, &e.got);
	weft__erl_out_free(&e.got);
	return rc;
}

int weft_erl_call(weft_erl *n, weft_erl_to to, const void *req, size_t len, ei_x_buff *reply)
{
	return weft_erl_call_until(n, to, req, len, reply, WEFT_FOREVER);
}

/* --- nodes --- */

static int connects(weft_erl *n, struct errand *e)
{
	struct conn *c;
	int rc = weft__erl_conn_get(n, e->to.node, e->deadline, &c);

	if (rc == 0)
		weft__erl_conn_unref(c);
	return rc;
}

int weft_erl_connect_until(weft_erl *n, const char *node, int64_t deadline)
{
	struct errand e = {.fn = connects, .deadline = deadline, .to.node = node};

	return weft__erl_do(n, &e);
}

int weft_erl_connect(weft_erl *n, const char *node)
{
	return weft_erl_connect_until(n, node, WEFT_FOREVER);
}

/* The caller's to unref; NULL: there is none. */
static struct conn *up_to(weft_erl *n, const char *node)
{
	struct conn *c;

	weft__erl_lock(&n->lock);
	c = weft__erl_conn_find(n, node);
	c = c && c->state == CONN_UP ? weft__erl_conn_ref(c) : NULL;
	weft_mutex_unlock(&n->lock);
	return c;
}

static int disconnects(weft_erl *n, struct errand *e)
{
	struct conn *c = up_to(n, e->to.node);

	if (!c)
		return WEFT_ENOTCONN;
	weft__erl_cut(c);
	weft__erl_conn_unref(c);
	return 0;
}

int weft_erl_disconnect(weft_erl *n, const char *node)
{
	struct errand e = {.fn = disconnects, .at_once = true, .to.node = node};

	return node ? weft__erl_do(n, &e) : WEFT_EINVAL;
}

static int is_connected(weft_erl *n, struct errand *e)
{
	struct conn *c = up_to(n, e->to.node);

	if (!c)
		return WEFT_ENOTCONN;
	weft__erl_conn_unref(c);
	return 0;
}

bool weft_erl_connected(weft_erl *n, const char *node)
{
	struct errand e = {.fn = is_connected, .at_once = true, .to.node = node};

	return node && weft__erl_do(n, &e) == 0;
}

static int watches(weft_erl *n, struct errand *e)
{
	struct conn *c = up_to(n, e->to.node);
	int rc = 0;

	if (!c)
		return 0;
	weft__erl_lock(&n->lock);
	while (rc == 0 && c->state == CONN_UP) /* another may have come up before we look */
		rc = n->stopping ? WEFT_ECLOSED : weft_cond_wait_until(&n->changed, &n->lock, e->deadline);
	weft_mutex_unlock(&n->lock);
	weft__erl_conn_unref(c);
	return rc;
}

int weft_erl_watch_until(weft_erl *n, const char *node, int64_t deadline)
{
	struct errand e = {.fn = watches, .deadline = deadline, .to.node = node};

	return node ? weft__erl_do(n, &e) : WEFT_EINVAL;
}

int weft_erl_watch(weft_erl *n, const char *node)
{
	return weft_erl_watch_until(n, node, WEFT_FOREVER);
}

static int pings(weft_erl *n, struct errand *e)
{
	struct errand q = {.deadline = e->deadline, .to = weft_erl_at("net_kernel", e->to.node)};
	struct out term = {.at = NULL};
	int rc;

	weft__erl_tuple(&term, 2);
	weft__erl_atom(&term, "is_auth");
	weft__erl_atom(&term, n->name);
	q.term = term.at;
	q.len = term.len;
	rc = term.failed ? WEFT_ENOMEM : calls(n, &q);
	if (rc == 0 && !weft__erl_is(slice_of(&q.got), "yes"))
		rc = WEFT_EACCES;
	weft__erl_out_free(&term);
	weft__erl_out_free(&q.got);
	return rc;
}

int weft_erl_ping_until(weft_erl *n, const char *node, int64_t deadline)
{
	struct errand e = {.fn = pings, .deadline = deadline, .to.node = node};

	return weft__erl_do(n, &e);
}

int weft_erl_ping(weft_erl *n, const char *node)
{
	return weft_erl_ping_until(n, node, WEFT_FOREVER);
}
