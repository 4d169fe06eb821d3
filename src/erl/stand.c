/* SPDX-License-Identifier: MIT
 *
 * stand.c - actors that stand for one of theirs.
 *
 * Such an actor has a pid, and monitors whom it stands for: that one's end is its own. What it gets it says to that one in its sender's name.
 *
 * A call of it is passed on by a task. Nobody tells that its caller has given up: so those are swept out when there are twice as many calls as were left the last time, and all of them when the
 * stand-in ends, for then their callers have been told.
 */
#include "erl/erl.h"

#include <stdlib.h>
#include <string.h>

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
			rc = weft__erl_ask(p->c, &p->t, p->req, &got, WEFT_FOREVER);
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
			rc = weft__erl_say(s->c, weft__erl_number(s->c->n, m->from), &s->t, term, m->tag == WEFT_ERL_CAST, WEFT_FOREVER);
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
	rc = weft__erl_id_begin(s->c, &s->id);
	if (rc)
		return rc;
	rc = weft__erl_monitor(s->c, OP_MONITOR_P, s->id.by_number.key, &s->t, &s->ref, WEFT_NOW);
	if (rc)
		weft__erl_id_end(s->c->n, &s->id);
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
		weft__erl_id_end(s->c->n, &s->id);
		(void)weft__erl_monitor(s->c, OP_DEMONITOR_P, s->id.by_number.key, &s->t, &s->ref, WEFT_NOW);
	}
	stand_free(s);
	return rc == WEFT_ECLOSED ? 0 : rc;
}

static int stand(weft_erl *n, struct errand *e)
{
	struct starting b = {.rc = 0};
	struct stand *s = calloc(1, sizeof *s);
	int rc;

	if (!s)
		return WEFT_ENOMEM;
	s->sweep_at = SWEEP_MIN;
	rc = weft__erl_target_of(&s->t, e->to);
	weft__erl_ref(n, &s->ref);
	if (rc == 0)
		rc = s->ref.failed ? WEFT_ENOMEM : weft__erl_conn_get(n, s->t.node, e->deadline, &s->c);
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
		*(weft_actor_ref *)e->out = b.ref;
	return b.rc;
}

int weft_erl_stand_in_until(weft_erl *n, weft_actor_ref *out, weft_erl_to to, int64_t deadline)
{
	struct errand e = {.fn = stand, .deadline = deadline, .to = to, .out = out, .size = sizeof *out};

	*out = WEFT_NO_ACTOR;
	return weft__erl_do(n, &e);
}

int weft_erl_stand_in(weft_erl *n, weft_actor_ref *out, weft_erl_to to)
{
	return weft_erl_stand_in_until(n, out, to, WEFT_FOREVER);
}
