/* SPDX-License-Identifier: MIT
 *
 * talk.c - what another node says, message by message; and what it is told of the ends of ours.
 *
 * A relation is a monitor or a link that theirs have to one of ours. The talker monitors that one by weft's own means, so the news of its end is in the talker's mailbox. Found by the number of that monitor (by_monitor), or by what
 * the peer calls it: the reference of a monitor, the pid of who is linked (by_mark).
 */
#include "erl/erl.h"

#include <stdlib.h>
#include <string.h>
#include <weft/registry.h>

#define ELEMENTS 7 /* of the longest control message */

enum rel_kind { REL_MONITOR, REL_LINK };

struct rel {
	struct map_node by_monitor, by_mark;
	struct rel *next, **at; /* in c->late; at: NULL if it is not there */
	weft_end end;           /* how, while it is there */
	enum rel_kind kind;
	weft_actor_ref ref;  /* one of ours */
	uint64_t number;     /* a link's: of the pid of ours that is meant */
	struct slice them;   /* the pid of theirs */
	struct slice ours;   /* a monitor's: whom it is of, as they have called it */
	struct slice handle; /* a monitor's: its reference */
	char bytes[];
};

/* Messages that there is no memory for are not left out: there is no connection then. */
static void must(struct conn *c, int rc)
{
	if (rc && rc != WEFT_ENOTCONN)
		weft__erl_cut(c);
}

static void say(struct conn *c, struct out *control)
{
	must(c, weft__erl_put(c, control, NULL, WEFT_NOW));
	weft__erl_out_free(control);
}

static void dropped(struct conn *c)
{
	weft_add_relaxed(&c->n->dropped, (uint64_t)1); /* statistics */
}

/* --- whom they mean --- */

static bool is_kernel(struct slice name)
{
	return weft__erl_is(name, "net_kernel");
}

/* Whose name it is; WEFT_NO_ACTOR: nobody's that they may know. */
static weft_actor_ref by_name(struct conn *c, struct slice name)
{
	char text[WEFT_NAME_MAX + 1];
	weft_actor_ref ref;

	if (!weft__erl_text(name, text, sizeof text) || (c->n->allow && !c->n->allow(text, c->n->arg)) || weft_reg_get(text, &ref) != 0)
		return WEFT_NO_ACTOR;
	return ref;
}

static weft_actor_ref by_number(struct conn *c, uint64_t number)
{
	weft_actor_ref ref = WEFT_NO_ACTOR;
	struct id *id;

	weft__erl_lock(&c->n->lock);
	id = weft__erl_id(c->n, number);
	if (id && !id->call && !id->conn)
		ref = id->ref;
	weft_mutex_unlock(&c->n->lock);
	return ref;
}

/* Is nobody there? Links and monitors take an actor that has ended, too. */
static bool nobody(weft_actor_ref ref)
{
	return weft_actor_same(ref, WEFT_NO_ACTOR);
}

/* --- relations --- */

static void keep(struct rel *r, struct slice *into, size_t *at, struct slice s)
{
	*into = (struct slice){r->bytes + *at, s.len};
	if (s.len)
		memcpy(r->bytes + *at, s.at, (size_t)s.len);
	*at += (size_t)s.len;
}

static void rel_free(struct conn *c, struct rel *r)
{
	if (r->at) {
		*r->at = r->next;
		if (r->next)
			r->next->at = r->at;
	}
	weft__erl_map_del(&c->by_monitor, &r->by_monitor);
	weft__erl_map_del(&c->by_mark, &r->by_mark);
	free(r);
}

/* In by_mark. One of theirs may be linked to many of ours: they shall not all be in one chain. */
static uint64_t rel_mark(enum rel_kind kind, struct slice handle, uint64_t number)
{
	return weft__erl_mark(handle) ^ (kind == REL_LINK ? number * UINT64_C(0x9e3779b97f4a7c15) : 0);
}

/* 0, or no memory. */
static int rel_add(struct conn *c, enum rel_kind kind, weft_actor_ref ref, uint64_t number, struct slice them, struct slice ours,
		   struct slice handle)
{
	struct rel *r = malloc(sizeof *r + (size_t)them.len + (size_t)ours.len + (size_t)handle.len);
	uint64_t monitor;
	size_t at = 0;

	if (!r)
		return WEFT_ENOMEM;
	r->at = NULL;
	r->kind = kind;
	r->ref = ref;
	r->number = number;
	keep(r, &r->them, &at, them);
	keep(r, &r->ours, &at, ours);
	keep(r, &r->handle, &at, handle);
	if (weft_actor_monitor(ref, &monitor) != 0)
		goto no_monitor;
	if (weft__erl_map_add(&c->by_monitor, &r->by_monitor, monitor) != 0)
		goto no_table;
	if (weft__erl_map_add(&c->by_mark, &r->by_mark, rel_mark(kind, kind == REL_MONITOR ? handle : them, number)) == 0)
		return 0;
	weft__erl_map_del(&c->by_monitor, &r->by_monitor);
no_table:
	(void)weft_actor_demonitor(monitor);
no_monitor:
	free(r);
	return WEFT_ENOMEM;
}

static bool same(struct slice a, struct slice b)
{
	return a.len == b.len && memcmp(a.at, b.at, (size_t)a.len) == 0;
}

static struct rel *rel_find(struct conn *c, enum rel_kind kind, struct slice handle, uint64_t number)
{
	struct map_node *node = weft__erl_map_get(&c->by_mark, rel_mark(kind, handle, number));

	for (; node; node = weft__erl_map_next(node)) {
		struct rel *r = part_of(node, struct rel, by_mark);

		if (r->kind == kind && (kind == REL_MONITOR ? same(r->handle, handle) : same(r->them, handle) && r->number == number))
			return r;
	}
	return NULL;
}

static void rel_end(struct conn *c, struct rel *r)
{
	(void)weft_actor_demonitor(r->by_monitor.key);
	rel_free(c, r);
}

static void say_down(struct conn *c, struct slice ours, struct slice them, struct slice handle, weft_end e)
{
	struct out o = {.at = NULL};

	weft__erl_tuple(&o, 5);
	weft__erl_int(&o, OP_MONITOR_P_EXIT);
	weft__erl_add(&o, ours);
	weft__erl_add(&o, them);
	weft__erl_add(&o, handle);
	weft__erl_reason(&o, e);
	say(c, &o);
}

static void say_exit(struct conn *c, uint64_t number, struct slice them, weft_end e)
{
	struct out o = {.at = NULL};

	weft__erl_tuple(&o, 4);
	weft__erl_int(&o, OP_EXIT);
	weft__erl_pid(c->n, &o, number);
	weft__erl_add(&o, them);
	weft__erl_reason(&o, e);
	say(c, &o);
}

static void tell(struct conn *c, struct rel *r)
{
	if (r->kind == REL_MONITOR)
		say_down(c, r->ours, r->them, r->handle, r->end);
	else
		say_exit(c, r->number, r->them, r->end);
	rel_free(c, r);
}

/* One of ours has ended. What it has answered before comes before that: the tasks that carry its answers may not have run yet. */
static void heard(struct conn *c, const weft_down *d)
{
	struct map_node *node = weft__erl_map_get(&c->by_monitor, d->monitor);
	struct rel *r;

	if (!node)
		return;
	r = part_of(node, struct rel, by_monitor);
	r->end = d->end;
	if (weft__erl_is_asked(c, r->ref)) {
		r->next = c->late;
		r->at = &c->late;
		if (r->next)
			r->next->at = &r->next;
		c->late = r;
	} else {
		tell(c, r);
	}
}

/* The last answers of somebody are on their way. */
static void heard_again(struct conn *c)
{
	struct rel *r, *next;

	for (r = c->late; r; r = next) {
		next = r->next;
		if (!weft__erl_is_asked(c, r->ref))
			tell(c, r);
	}
}

static void signal_to(weft_actor_ref ref, weft_end e)
{
	if (e.kind == WEFT_END_KILLED) /* is no exit signal: so it is called here what another's end is */
		e = (weft_end){WEFT_END_CODE, WEFT_EDOWN};
	(void)weft_actor_signal(ref, e);
}

/* The connection is lost: so are they, to whom is linked to them. Monitors end with the talker, which ends now: to take off each would be to look for it among all. */
static void rels_end(struct conn *c)
{
	for (size_t i = 0; i < c->by_monitor.size; i++) {
		while (c->by_monitor.slots[i]) {
			struct rel *r = part_of(c->by_monitor.slots[i], struct rel, by_monitor);

			if (r->kind == REL_LINK)
				signal_to(r->ref, (weft_end){WEFT_END_CODE, WEFT_ENOTCONN});
			rel_free(c, r);
		}
	}
}

/* {MONITOR_P, them, ours, ref} */
static void on_monitor(struct conn *c, const struct slice *e)
{
	bool named = weft__erl_text(e[2], (char[MAXATOMLEN_UTF8]){0}, MAXATOMLEN_UTF8);
	weft_actor_ref ref;

	if (named && is_kernel(e[2])) /* lives as long as the connection does */
		return;
	ref = named ? by_name(c, e[2]) : by_number(c, weft__erl_ours(c->n, e[2]));
	if (nobody(ref))
		say_down(c, e[2], e[1], e[3], (weft_end){WEFT_END_UNKNOWN, WEFT_ESRCH});
	else
		must(c, rel_add(c, REL_MONITOR, ref, 0, e[1], e[2], e[3]));
}

/* {DEMONITOR_P, them, ours, ref} */
static void on_demonitor(struct conn *c, const struct slice *e)
{
	struct rel *r = rel_find(c, REL_MONITOR, e[3], 0);

	if (r)
		rel_end(c, r);
	weft__erl_give_up(c, e[3]);
}

/* {LINK, them, ours} */
static void on_link(struct conn *c, const struct slice *e)
{
	uint64_t number = weft__erl_ours(c->n, e[2]);
	weft_actor_ref ref = by_number(c, number);
	struct out o = {.at = NULL};

	if (!nobody(ref)) {
		if (!rel_find(c, REL_LINK, e[1], number))
			must(c, rel_add(c, REL_LINK, ref, number, e[1], (struct slice){NULL, 0}, (struct slice){NULL, 0}));
		return;
	}
	weft__erl_tuple(&o, 4);
	weft__erl_int(&o, OP_EXIT);
	weft__erl_add(&o, e[2]);
	weft__erl_add(&o, e[1]);
	weft__erl_atom(&o, "noproc");
	say(c, &o);
}

static void on_unlink(struct conn *c, struct slice them, struct slice ours)
{
	struct rel *r = rel_find(c, REL_LINK, them, weft__erl_ours(c->n, ours));

	if (r)
		rel_end(c, r);
}

/* {UNLINK_ID, id, them, ours} */
static void on_unlink_id(struct conn *c, const struct slice *e)
{
	struct out o = {.at = NULL};

	on_unlink(c, e[2], e[3]);
	weft__erl_tuple(&o, 4);
	weft__erl_int(&o, OP_UNLINK_ID_ACK);
	weft__erl_add(&o, e[1]);
	weft__erl_add(&o, e[3]);
	weft__erl_add(&o, e[2]);
	say(c, &o);
}

/* One of theirs that was linked has ended; or (exit/2) one of theirs wants ours to. */
static void on_exit_signal(struct conn *c, struct slice them, struct slice ours, struct slice reason, bool asked)
{
	uint64_t number = weft__erl_ours(c->n, ours);
	weft_actor_ref ref = by_number(c, number);
	struct rel *r = asked ? NULL : rel_find(c, REL_LINK, them, number);

	if (nobody(ref) || (!asked && !r)) /* unlinked meanwhile */
		return;
	if (asked && weft__erl_is(reason, "kill"))
		(void)weft_actor_kill(ref);
	else
		signal_to(ref, weft__erl_end(reason));
	if (r)
		rel_end(c, r);
}

/* {MONITOR_P_EXIT, theirs, us, ref, reason}: what a call, or who stands for one, has waited for. */
static void on_down(struct conn *c, const struct slice *e)
{
	weft_end end = weft__erl_end(e[4]);
	struct id *id;

	weft__erl_lock(&c->n->lock);
	id = weft__erl_id(c->n, weft__erl_ours(c->n, e[2]));
	if (id && id->conn == c && !id->call) {
		(void)weft_actor_stop(id->ref, end);
	} else if (id && id->conn == c && !id->call->done) {
		id->call->done = true;
		id->call->rc = end.kind == WEFT_END_UNKNOWN ? WEFT_ESRCH : end.code == WEFT_ENOTCONN ? WEFT_ENOTCONN : WEFT_EDOWN;
		weft_cond_signal(&id->call->answered);
	}
	weft_mutex_unlock(&c->n->lock);
}

/* --- messages --- */

/* Is it our reference? Others may have written its head in another way; all that tells ours apart is at its end. */
static bool is_ours(struct slice tag, struct slice ref)
{
	return tag.len >= MARK && memcmp(tag.at + tag.len - MARK, ref.at + ref.len - MARK, MARK) == 0;
}

/* {Tag, Answer} to a call's pid. True: it is one's; what else comes there is for nobody. */
static bool answered(struct conn *c, uint64_t number, struct slice term)
{
	struct slice e[2];
	struct id *id;
	bool is = false;

	weft__erl_lock(&c->n->lock);
	id = weft__erl_id(c->n, number);
	if (id && id->call) {
		is = true;
		if (!id->call->done && weft__erl_split(term, e, 2) == 2 && is_ours(e[0], id->call->ref)) {
			weft__erl_add(&id->call->got, e[1]);
			id->call->rc = id->call->got.failed ? WEFT_ENOMEM : 0;
			id->call->done = true;
			weft_cond_signal(&id->call->answered);
		}
	}
	weft_mutex_unlock(&c->n->lock);
	return is;
}

/* What it is by its first element; then its elements are in e. */
static uint64_t kind_of(struct slice term, struct slice *e)
{
	int at = 0, arity, type, size;

	if (ei_decode_tuple_header(term.at, &at, &arity) != 0 || arity < 2 || arity > 3 || ei_get_type(term.at, &at, &type, &size) != 0 ||
	    type != ERL_ATOM_EXT || size != 9)
		return WEFT_ERL_SEND;
	if (weft__erl_split(term, e, 3) == 3 && weft__erl_is(e[0], "$gen_call"))
		return WEFT_ERL_CALL;
	return arity == 2 && weft__erl_is(e[0], "$gen_cast") ? WEFT_ERL_CAST : WEFT_ERL_SEND;
}

/* from: of a call. */
static bool is_from(struct slice t, struct slice *from)
{
	erlang_pid pid;
	int at = 0;

	return weft__erl_split(t, from, 2) == 2 && ei_decode_pid(from[0].at, &at, &pid) == 0;
}

static void to_actor(struct conn *c, weft_actor_ref ref, struct slice from, struct slice term)
{
	struct slice e[3], answer[2];
	uint64_t tag;

	if (nobody(ref)) {
		dropped(c);
		return;
	}
	tag = kind_of(term, e);
	if (tag == WEFT_ERL_CALL && is_from(e[1], answer))
		must(c, weft__erl_deliver(c, ref, tag, from, e[2], answer));
	else if (tag == WEFT_ERL_CAST)
		must(c, weft__erl_deliver(c, ref, tag, from, e[1], NULL));
	else
		must(c, weft__erl_deliver(c, ref, WEFT_ERL_SEND, from, term, NULL));
}

/* net_adm:ping asks the net_kernel whether it may speak with it: it may, it has the cookie. */
static void to_kernel(struct conn *c, struct slice term)
{
	struct slice e[3], from[2], asked[2], yes;
	struct out o = {.at = NULL}, m = {.at = NULL};

	if (kind_of(term, e) != WEFT_ERL_CALL || !is_from(e[1], from) || weft__erl_split(e[2], asked, 2) != 2 ||
	    !weft__erl_is(asked[0], "is_auth")) {
		dropped(c);
		return;
	}
	weft__erl_tuple(&m, 2);
	weft__erl_add(&m, from[1]);
	weft__erl_atom(&m, "yes");
	weft__erl_tuple(&o, 3);
	weft__erl_int(&o, OP_SEND);
	weft__erl_atom(&o, "");
	weft__erl_add(&o, from[0]);
	o.failed = o.failed || m.failed;
	yes = (struct slice){m.at, (int)m.len};
	must(c, weft__erl_put(c, &o, &yes, WEFT_NOW));
	weft__erl_out_free(&o);
	weft__erl_out_free(&m);
}

static void to_pid(struct conn *c, struct slice pid, struct slice from, struct slice term)
{
	uint64_t number = weft__erl_ours(c->n, pid);

	if (!answered(c, number, term))
		to_actor(c, by_number(c, number), from, term);
}

static void to_name(struct conn *c, struct slice name, struct slice from, struct slice term)
{
	if (is_kernel(name))
		to_kernel(c, term);
	else
		to_actor(c, by_name(c, name), from, term);
}

/* --- the language --- */

/* What each has besides its number; and whether a message follows. */
static const struct {
	unsigned char arity, carries;
} shapes[] = {
	[OP_LINK] = {3, 0},        [OP_SEND] = {3, 1},           [OP_EXIT] = {4, 0},        [OP_UNLINK] = {3, 0},
	[OP_REG_SEND] = {4, 1},    [OP_GROUP_LEADER] = {3, 0},   [OP_EXIT2] = {4, 0},       [OP_SEND_TT] = {4, 1},
	[OP_EXIT_TT] = {5, 0},     [OP_REG_SEND_TT] = {5, 1},    [OP_EXIT2_TT] = {5, 0},    [OP_MONITOR_P] = {4, 0},
	[OP_DEMONITOR_P] = {4, 0}, [OP_MONITOR_P_EXIT] = {5, 0}, [OP_SEND_SENDER] = {3, 1}, [OP_SEND_SENDER_TT] = {4, 1},
	[OP_UNLINK_ID] = {4, 0},   [OP_UNLINK_ID_ACK] = {4, 0},
};

static void obey(struct conn *c, enum op op, const struct slice *e, struct slice term)
{
	struct slice unsaid = {NULL, 0};

	switch (op) {
	case OP_SEND:
	case OP_SEND_TT:
		to_pid(c, e[2], unsaid, term);
		return;
	case OP_SEND_SENDER:
	case OP_SEND_SENDER_TT:
		to_pid(c, e[2], e[1], term);
		return;
	case OP_REG_SEND:
	case OP_REG_SEND_TT:
		to_name(c, e[3], e[1], term);
		return;
	case OP_LINK:
		on_link(c, e);
		return;
	case OP_UNLINK:
		on_unlink(c, e[1], e[2]);
		return;
	case OP_UNLINK_ID:
		on_unlink_id(c, e);
		return;
	case OP_EXIT:
	case OP_EXIT_TT:
		on_exit_signal(c, e[1], e[2], e[op == OP_EXIT ? 3 : 4], false);
		return;
	case OP_EXIT2:
	case OP_EXIT2_TT:
		on_exit_signal(c, e[1], e[2], e[op == OP_EXIT2 ? 3 : 4], true);
		return;
	case OP_MONITOR_P:
		on_monitor(c, e);
		return;
	case OP_DEMONITOR_P:
		on_demonitor(c, e);
		return;
	case OP_MONITOR_P_EXIT:
		on_down(c, e);
		return;
	case OP_GROUP_LEADER:
	case OP_UNLINK_ID_ACK: /* we never unlink */
		return;
	}
}

/* One term with its version byte, off the front. */
static bool next_term(const char **p, size_t *n, struct slice *t)
{
	ssize_t len;

	if (*n < 2 || (unsigned char)**p != VERSION_MAGIC)
		return false;
	len = weft__erl_size(*p + 1, *n - 1);
	if (len < 0)
		return false;
	*t = (struct slice){*p + 1, (int)len};
	*p += len + 1;
	*n -= (size_t)len + 1;
	return true;
}

/* False: that was no message. One that says what we have not heard of is passed over. */
static bool understand(struct conn *c, const char *p, size_t n)
{
	struct slice control, term = {NULL, 0}, e[ELEMENTS];
	int arity, at = 0;
	long op;

	if (n < 1 || *p != ERL_PASS_THROUGH)
		return false;
	p++;
	n--;
	if (!next_term(&p, &n, &control))
		return false;
	arity = weft__erl_split(control, e, ELEMENTS);
	if (arity < 1 || ei_decode_long(e[0].at, &at, &op) != 0)
		return false;
	if (op < 0 || (size_t)op >= sizeof shapes / sizeof shapes[0] || !shapes[op].arity)
		return true;
	if (arity != shapes[op].arity || (shapes[op].carries && !next_term(&p, &n, &term)))
		return false;
	obey(c, (enum op)op, e, term);
	return true;
}

static bool block_of(struct conn *c, const struct block *b)
{
	const unsigned char *p = (const unsigned char *)b->bytes, *end = p + b->len;
	size_t len;

	while (p < end) {
		len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
		if (len > 0 && !understand(c, (const char *)p + 4, len))
			return false;
		p += 4 + len;
		weft__erl_drain(c);
	}
	return true;
}

/* Ends of ours. What else comes is from whoever takes the sender of a message (m->from) for one who reads. */
static void mail(struct conn *c, weft_msg *m)
{
	if (m->kind == WEFT_MSG_DOWN)
		heard(c, weft_msg_down(m));
	else if (!weft_from_none(weft_msg_from(m)))
		(void)weft_server_fail(weft_msg_from(m), WEFT_ENOTSUP);
	weft_msg_free(m);
}

static void converse(struct conn *c)
{
	bool fine = true;
	weft_msg *m;
	char rang;
	int i;

	while (fine) {
		weft_case cases[] = {WEFT_MAIL(&m), WEFT_RECV(c->in, &c->hand), WEFT_RECV(c->bell, &rang)};

		i = weft_chan_select(cases, 3);
		if (i < 0 || cases[i].status != 0)
			return;
		if (i == 0)
			mail(c, m);
		else if (i == 2)
			heard_again(c);
		else
			fine = block_of(c, c->hand);
		if (i == 1) {
			free(c->hand);
			c->hand = NULL;
		}
	}
}

static int start(struct conn *c, weft_task_fn *fn)
{
	int rc = weft_group_go(&c->n->group, fn, weft__erl_conn_ref(c));

	if (rc)
		weft__erl_conn_unref(c);
	return rc;
}

static void talk_end(struct conn *c)
{
	WEFT_WITH_SHIELD
	{
		weft__erl_conn_end(c);
		rels_end(c);
	}
	free(c->hand);
	c->hand = NULL;
	weft__erl_conn_unref(c);
}

int weft__erl_talk(void *conn)
{
	struct conn *c = conn;
	weft_actor_ref self;

	WEFT_DEFER(talk_end, c); /* functions of users' are called here (allow, on_high), which may panic */
	if (weft_actor_attach(&self, &(weft_mailbox_opts){.cap = WEFT_MAILBOX_UNBOUNDED}) != 0)
		return 0;
	(void)weft_actor_trap(true); /* who links to the sender of a message does not end it */
	if (start(c, weft__erl_reads) == 0 && start(c, weft__erl_writes) == 0)
		converse(c);
	return 0;
}
