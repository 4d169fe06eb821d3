/* SPDX-License-Identifier: MIT
 *
 * deliver.c - messages of theirs into mailboxes of ours, in order; and calls of theirs, each by a task that waits for the answer.
 *
 * A message goes into the mailbox at once if there is room. Else it is put aside, and a task of that receiver's waits for room; all that comes for the same receiver goes behind it, until nothing is left.
 *
 * A call's task begins at once, and has asked before the next message is looked at, so that the call is in the mailbox, or in line before it, in its turn. Its caller may give it up from the moment that it
 * has come (c->asked), whether or not it has begun.
 */
#include "erl/erl.h"

#include <stdlib.h>
#include <string.h>
#include <weft/task.h>

/* Bytes that a call counts for besides its own: its task's stack, its context, and what is touched of the room for its answer. */
#define CALL_COST ((size_t)16 << 10)

struct item {
	struct item *next;
	struct conn *c;
	weft_actor_ref to;
	uint64_t tag;
	size_t len;              /* of what goes into the mailbox, the first of bytes */
	struct slice whom, mark; /* a call's: who is to be answered, with which tag; behind that */
	struct map_node asked;   /* a call's: in c->asked */
	weft_ctx *ctx;           /* a call's: ends when nobody waits */
	struct receiver *asks;   /* a call's */
	char bytes[];
};

/* Who is asked. Under c->block; there is one as long as calls are under way to it. */
struct receiver {
	struct map_node by_ref; /* in c->receivers */
	weft_actor_ref ref;
	size_t calls;
	bool awaited; /* the bell rings after the last of them */
};

/* Who is behind. Under c->block. */
struct spill {
	struct spill *next;
	struct conn *c;
	weft_actor_ref to;
	struct item *first, **last;
};

static size_t cost(const struct item *i)
{
	return sizeof *i + i->len + (size_t)i->whom.len + (size_t)i->mark.len;
}

static struct item *item_make(struct conn *c, weft_actor_ref to, uint64_t tag, struct slice from, struct slice term,
			      const struct slice *answer)
{
	struct head h = {.from_len = (uint32_t)from.len, .term_len = (uint32_t)term.len};
	size_t len = sizeof h + (size_t)from.len + (size_t)term.len;
	size_t more = answer ? (size_t)answer[0].len + (size_t)answer[1].len : 0;
	struct item *i = malloc(sizeof *i + len + more);
	char *p;

	if (!i)
		return NULL;
	*i = (struct item){.c = weft__erl_conn_ref(c), .to = to, .tag = tag, .len = len};
	p = i->bytes;
	memcpy(p, &h, sizeof h);
	p += sizeof h;
	if (from.len)
		memcpy(p, from.at, (size_t)from.len);
	p += from.len;
	memcpy(p, term.at, (size_t)term.len);
	p += term.len;
	if (answer) {
		memcpy(p, answer[0].at, (size_t)answer[0].len);
		i->whom = (struct slice){p, answer[0].len};
		p += answer[0].len;
		memcpy(p, answer[1].at, (size_t)answer[1].len);
		i->mark = (struct slice){p, answer[1].len};
	}
	return i;
}

static void item_free(struct item *i)
{
	weft__erl_conn_unref(i->c);
	free(i);
}

/* Under c->block. */
static void less(struct conn *c, size_t n)
{
	c->backlog -= n;
	weft_cond_broadcast(&c->drained);
}

/* --- whom they ask; under c->block --- */

static struct receiver *receiver_find(struct conn *c, weft_actor_ref ref)
{
	struct map_node *node = weft__erl_map_get(&c->receivers, weft__erl_key(ref));

	while (node && !weft_actor_same(part_of(node, struct receiver, by_ref)->ref, ref))
		node = weft__erl_map_next(node);
	return node ? part_of(node, struct receiver, by_ref) : NULL;
}

/* One call more. NULL: no memory. */
static struct receiver *receiver_get(struct conn *c, weft_actor_ref ref)
{
	struct receiver *r = receiver_find(c, ref);

	if (!r) {
		r = calloc(1, sizeof *r);
		if (!r)
			return NULL;
		r->ref = ref;
		if (weft__erl_map_add(&c->receivers, &r->by_ref, weft__erl_key(ref)) != 0) {
			free(r);
			return NULL;
		}
	}
	r->calls++;
	return r;
}

/* One less. True: the bell is to be rung. */
static bool receiver_put(struct conn *c, struct receiver *r)
{
	bool awaited;

	if (--r->calls > 0)
		return false;
	awaited = r->awaited;
	weft__erl_map_del(&c->receivers, &r->by_ref);
	free(r);
	return awaited;
}

/* --- calls of theirs --- */

/* What their caller gets: {Tag, Answer}, to his pid. */
static void answer(struct item *i, struct slice what)
{
	struct out o = {.at = NULL}, m = {.at = NULL};
	struct slice message;

	weft__erl_tuple(&m, 2);
	weft__erl_add(&m, i->mark);
	weft__erl_add(&m, what);
	weft__erl_tuple(&o, 3);
	weft__erl_int(&o, OP_SEND);
	weft__erl_atom(&o, "");
	weft__erl_add(&o, i->whom);
	o.failed = o.failed || m.failed;
	message = (struct slice){m.at, (int)m.len};
	WEFT_WITH_SHIELD /* an answer that has been given is sent; c->dead ends the waiting */
	{
		if (weft__erl_put(i->c, &o, &message, WEFT_FOREVER) == WEFT_ENOMEM)
			weft__erl_cut(i->c);
	}
	weft__erl_out_free(&o);
	weft__erl_out_free(&m);
}

static void answer_code(struct item *i, int code)
{
	struct out m = {.at = NULL};

	weft__erl_tuple(&m, 2);
	weft__erl_atom(&m, "error");
	weft__erl_tuple(&m, 2);
	weft__erl_atom(&m, "weft");
	weft__erl_int(&m, code);
	if (m.failed)
		weft__erl_cut(i->c);
	else
		answer(i, (struct slice){m.at, (int)m.len});
	weft__erl_out_free(&m);
}

static void ask(struct item *i)
{
	size_t cap = i->c->n->reply_max;
	char *buf = malloc(cap);
	struct slice term;
	int rc, bad;

	if (!buf) {
		answer_code(i, WEFT_ENOMEM);
		return;
	}
	rc = weft_server_call_until(i->to, i->tag, i->bytes, i->len, buf, cap, WEFT_FOREVER);
	bad = rc >= 0 ? weft__erl_check(&term, buf, (size_t)rc) : 0;
	if (bad)
		answer_code(i, bad);
	else if (rc >= 0)
		answer(i, term);
	else if (rc != weft_ctx_check() && ((rc != WEFT_ESRCH && rc != WEFT_EDOWN) || weft_actor_alive(i->to)))
		answer_code(i, rc); /* of a server that has ended the monitor tells; these may as well be what it has answered with */
	else if (rc == WEFT_ESRCH)
		weft_add_relaxed(&i->c->n->dropped, (uint64_t)1); /* statistics */
	free(buf);
}

static void asked_end(struct item *i, bool begun)
{
	struct conn *c = i->c;
	bool ring;

	weft__erl_lock(&c->block);
	weft__erl_map_del(&c->asked, &i->asked);
	c->running -= begun;
	less(c, cost(i) + CALL_COST);
	ring = receiver_put(c, i->asks);
	weft_mutex_unlock(&c->block);
	if (!ring)
		return;
	WEFT_WITH_SHIELD
	{
		(void)weft_chan_trysend(c->bell, &(char){0}); /* else it rings already */
	}
}

bool weft__erl_is_asked(struct conn *c, weft_actor_ref ref)
{
	struct receiver *r;

	weft__erl_lock(&c->block);
	r = receiver_find(c, ref);
	if (r)
		r->awaited = true;
	weft_mutex_unlock(&c->block);
	return r != NULL;
}

/* Frees it. */
static void call_end(struct item *i, bool begun)
{
	weft_wg *calls = &i->c->n->calls;

	asked_end(i, begun);
	weft_ctx_free(i->ctx);
	item_free(i);
	if (begun)
		weft_wg_done(calls);
}

static int asks(void *item)
{
	struct item *i = item;

	ask(i);
	call_end(i, true);
	return 0;
}

/* Under c->block. */
static int call_list(struct item *i)
{
	struct conn *c = i->c;

	i->asks = receiver_get(c, i->to);
	if (!i->asks)
		return WEFT_ENOMEM;
	if (weft__erl_map_add(&c->asked, &i->asked, weft__erl_mark(i->mark)) != 0) {
		(void)receiver_put(c, i->asks);
		return WEFT_ENOMEM;
	}
	c->backlog += cost(i) + CALL_COST;
	return 0;
}

/* It is one of those that may be given up. 0; WEFT_ENOMEM; WEFT_ECLOSED: no more calls are taken. */
static int call_come(struct item *i)
{
	struct conn *c = i->c;
	int rc;

	i->ctx = weft_ctx_make(weft_group_ctx(&c->n->group));
	if (!i->ctx)
		return WEFT_ENOMEM;
	weft__erl_lock(&c->block);
	rc = weft_load_relaxed(&c->n->closing) ? WEFT_ECLOSED : call_list(i);
	weft_mutex_unlock(&c->block);
	if (rc)
		weft_ctx_free(i->ctx);
	return rc;
}

/* The first thing that it waits for is the answer. */
static bool has_asked(weft_task *t)
{
	enum weft_task_state s = weft_task_stateof(t);

	return s == WEFT_TASK_PARKED || s == WEFT_TASK_DONE;
}

/* The item is its task's, or nobody waits for it any more: it is gone. WEFT_ENOMEM: so it is. */
static int call_begin(struct item *i)
{
	struct conn *c = i->c;
	weft_task *t;
	bool wanted;
	int rc;

	weft__erl_lock(&c->block);
	wanted = !weft_load_relaxed(&c->n->closing) && weft_ctx_reason(i->ctx) == WEFT_NOT_CANCELED;
	c->running += wanted;
	weft_mutex_unlock(&c->block);
	if (!wanted) {
		call_end(i, false);
		return 0;
	}
	weft_wg_add(&c->n->calls, 1);
	weft_task_pin(); /* nobody else may run us on before it waits */
	rc = weft_go_opts(&t, asks, i, &(weft_task_opts){.name = "erl call", .now = true, .ctx = i->ctx});
	weft_task_unpin();
	if (rc) {
		call_end(i, true);
		return WEFT_ENOMEM;
	}
	while (!has_asked(t)) /* it had to let others run, as any task at times, before it could ask */
		weft_task_yield();
	weft_task_detach(t);
	return 0;
}

static bool ends_with(struct slice t, struct slice end)
{
	return t.len >= end.len && memcmp(t.at + t.len - end.len, end.at, (size_t)end.len) == 0;
}

/* A caller's tag is the reference of its monitor, or ends with it: [alias | Ref]. */
void weft__erl_give_up(struct conn *c, struct slice ref)
{
	struct map_node *node;
	weft_ctx *ctx = NULL;

	weft__erl_lock(&c->block);
	for (node = weft__erl_map_get(&c->asked, weft__erl_mark(ref)); node && !ctx; node = weft__erl_map_next(node)) {
		struct item *i = part_of(node, struct item, asked);

		if (ends_with(i->mark, ref))
			ctx = weft_ctx_ref(i->ctx);
	}
	weft_mutex_unlock(&c->block);
	if (ctx) {
		(void)weft_ctx_cancel(ctx, 0);
		weft_ctx_free(ctx);
	}
}

int weft__erl_answered(struct conn *c, int64_t deadline)
{
	int rc = 0;

	weft__erl_lock(&c->block);
	while (c->running > 0 && rc == 0)
		rc = weft_cond_wait_until(&c->drained, &c->block, deadline);
	weft_mutex_unlock(&c->block);
	return rc;
}

void weft__erl_give_all_up(struct conn *c)
{
	weft__erl_lock(&c->block);
	for (size_t s = 0; s < c->asked.size; s++) {
		for (struct map_node *node = c->asked.slots[s]; node; node = node->next)
			(void)weft_ctx_cancel(part_of(node, struct item, asked)->ctx, 0);
	}
	weft_mutex_unlock(&c->block);
}

/* --- messages --- */

static int send_item(struct item *i, int64_t deadline)
{
	int rc;

	if (i->tag == WEFT_ERL_CAST)
		rc = weft_server_cast_until(i->to, i->tag, i->bytes, i->len, deadline);
	else
		rc = weft_actor_send_until(i->to, i->tag, i->bytes, i->len, WEFT_PRIO_NORMAL, deadline);
	return rc;
}

/* WEFT_EAGAIN: there is no room, and the item still the caller's. Else it is gone: 0, WEFT_ENOMEM. */
static int hand_over(struct item *i, int64_t deadline)
{
	int rc;

	if (i->tag == WEFT_ERL_CALL)
		return call_begin(i);
	rc = send_item(i, deadline);
	if (rc == WEFT_EAGAIN)
		return rc;
	if (rc != 0)
		weft_add_relaxed(&i->c->n->dropped, (uint64_t)1); /* statistics */
	item_free(i);
	return rc == WEFT_ENOMEM ? rc : 0;
}

static struct item *next_item(struct spill *s)
{
	struct conn *c = s->c;
	struct spill **at;
	struct item *i;

	weft__erl_lock(&c->block);
	i = s->first;
	if (i) {
		s->first = i->next;
		if (!s->first)
			s->last = &s->first;
	} else {
		for (at = &c->spills; *at != s;)
			at = &(*at)->next;
		*at = s->next;
	}
	weft_mutex_unlock(&c->block);
	return i;
}

static int catches_up(void *spill)
{
	struct spill *s = spill;
	struct conn *c = s->c;
	struct item *i;
	size_t n;

	while ((i = next_item(s))) {
		n = cost(i);
		if (hand_over(i, WEFT_FOREVER) != 0)
			weft__erl_cut(c);
		weft__erl_lock(&c->block);
		less(c, n);
		weft_mutex_unlock(&c->block);
	}
	free(s);
	weft__erl_conn_unref(c);
	return 0;
}

/* Under c->block. */
static void put_aside(struct spill *s, struct item *i)
{
	i->next = NULL;
	*s->last = i;
	s->last = &i->next;
	s->c->backlog += cost(i);
}

static int fall_behind(struct conn *c, struct item *i)
{
	struct spill *s = malloc(sizeof *s);
	int rc;

	if (!s) {
		item_free(i); /* a message: calls fall behind no one but messages */
		return WEFT_ENOMEM;
	}
	*s = (struct spill){.c = weft__erl_conn_ref(c), .to = i->to, .last = &s->first};
	weft__erl_lock(&c->block);
	s->next = c->spills;
	c->spills = s;
	put_aside(s, i);
	weft_mutex_unlock(&c->block);
	rc = weft_group_go(&c->n->group, catches_up, s);
	if (rc == 0)
		return 0;
	(void)next_item(s);
	(void)next_item(s); /* takes it off the list: nobody else has put anything there, for that is the talker's */
	weft__erl_lock(&c->block);
	less(c, cost(i));
	weft_mutex_unlock(&c->block);
	item_free(i);
	free(s);
	weft__erl_conn_unref(c);
	return WEFT_ENOMEM;
}

int weft__erl_deliver(struct conn *c, weft_actor_ref to, uint64_t tag, struct slice from, struct slice term, const struct slice *whom)
{
	struct item *i = item_make(c, to, tag, from, term, whom);
	struct spill *s;
	int rc;

	if (!i)
		return WEFT_ENOMEM;
	rc = whom ? call_come(i) : 0;
	if (rc) {
		item_free(i);
		return rc == WEFT_ECLOSED ? 0 : rc; /* its caller hears that the connection is lost */
	}
	weft__erl_lock(&c->block);
	for (s = c->spills; s && !weft_actor_same(s->to, to);)
		s = s->next;
	if (s)
		put_aside(s, i);
	weft_mutex_unlock(&c->block);
	if (s)
		return 0;
	rc = hand_over(i, WEFT_NOW);
	return rc == WEFT_EAGAIN ? fall_behind(c, i) : rc;
}

void weft__erl_over(struct conn *c)
{
	weft__erl_lock(&c->block);
	c->over = true;
	weft_cond_broadcast(&c->drained);
	weft_mutex_unlock(&c->block);
}

void weft__erl_drain(struct conn *c)
{
	int rc = 0;

	weft__erl_lock(&c->block);
	while (c->backlog > c->n->backlog_max && !c->over && rc == 0)
		rc = weft_cond_wait(&c->drained, &c->block);
	weft_mutex_unlock(&c->block);
}

/* --- what they find in the mailbox --- */

const char *weft_erl_term(const weft_msg *m, size_t *len, erlang_pid *from)
{
	const char *p = m->data;
	struct head h;
	int at = 0;

	if (m->kind != WEFT_MSG_USER || (m->tag != WEFT_ERL_SEND && m->tag != WEFT_ERL_CAST && m->tag != WEFT_ERL_CALL) ||
	    m->len < sizeof h)
		return NULL;
	memcpy(&h, p, sizeof h);
	if (h.zero != 0 || (uint64_t)h.from_len + h.term_len + sizeof h != m->len)
		return NULL;
	p += sizeof h;
	if (from && (h.from_len == 0 || ei_decode_pid(p, &at, from) != 0))
		memset(from, 0, sizeof *from);
	if (len)
		*len = h.term_len;
	return p + h.from_len;
}
