/* SPDX-License-Identifier: MIT
 *
 * node.c - a node: start and stop, who has which pid.
 *
 * A pid is a number, counted up, never used twice by one node. An actor gets one when it is first named to others, and keeps it; the dead are swept out when there are twice as many as after the last time.
 */
#include "erl/erl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/task.h>

#define SHAKING_MAX 64               /* strangers at a time */
#define LENGTH_MAX ((size_t)1 << 30) /* of messages of actors */
#define NUMBER_BITS 28               /* of a pid's number; the rest is its serial */
#define AGAIN_FIRST (WEFT_SEC / 4)
#define AGAIN_MOST (8 * WEFT_SEC)

void weft__erl_lock(weft_mutex *m)
{
	if (likely(weft_mutex_lock(m) == 0))
		return;
	WEFT_WITH_SHIELD
	{
		(void)weft_mutex_lock(m);
	}
}

/* --- pids --- */

uint64_t weft__erl_key(weft_actor_ref ref)
{
	return (uint64_t)(uintptr_t)ref.weft__at ^ ref.weft__gen << 48 ^ ref.weft__gen;
}

struct id *weft__erl_id(weft_erl *n, uint64_t number)
{
	struct map_node *node = weft__erl_map_get(&n->ids, number);

	return node ? part_of(node, struct id, by_number) : NULL;
}

int weft__erl_id_add(weft_erl *n, struct id *id)
{
	return weft__erl_map_add(&n->ids, &id->by_number, ++n->last_id);
}

void weft__erl_id_del(weft_erl *n, struct id *id)
{
	weft__erl_map_del(&n->ids, &id->by_number);
}

static void sweep(weft_erl *n)
{
	struct map_node *node, *next;

	for (size_t i = 0; i < n->refs.size; i++) {
		for (node = n->refs.slots[i]; node; node = next) {
			struct id *id = part_of(node, struct id, by_ref);

			next = node->next;
			if (weft_actor_alive(id->ref))
				continue;
			weft__erl_map_del(&n->refs, node);
			weft__erl_id_del(n, id);
			free(id);
		}
	}
	n->sweep_at = 2 * n->refs.count + SWEEP_MIN;
}

static struct id *id_of(weft_erl *n, weft_actor_ref ref)
{
	struct map_node *node = weft__erl_map_get(&n->refs, weft__erl_key(ref));

	while (node && !weft_actor_same(part_of(node, struct id, by_ref)->ref, ref))
		node = weft__erl_map_next(node);
	return node ? part_of(node, struct id, by_ref) : NULL;
}

static struct id *id_make(weft_erl *n, weft_actor_ref ref)
{
	struct id *id;

	if (n->refs.count >= n->sweep_at)
		sweep(n);
	id = calloc(1, sizeof *id);
	if (!id)
		return NULL;
	id->ref = ref;
	if (weft__erl_map_add(&n->refs, &id->by_ref, weft__erl_key(ref)) != 0) {
		free(id);
		return NULL;
	}
	if (weft__erl_id_add(n, id) != 0) {
		weft__erl_map_del(&n->refs, &id->by_ref);
		free(id);
		return NULL;
	}
	return id;
}

uint64_t weft__erl_number(weft_erl *n, weft_actor_ref ref)
{
	struct id *id;
	uint64_t number;

	if (weft_actor_same(ref, WEFT_NO_ACTOR))
		return 0;
	weft__erl_lock(&n->lock);
	id = id_of(n, ref);
	if (!id)
		id = id_make(n, ref);
	number = id ? id->by_number.key : 0;
	weft_mutex_unlock(&n->lock);
	return number;
}

static void put32(char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (char)(v >> 8 * (3 - i));
}

void weft__erl_pid(weft_erl *n, struct out *o, uint64_t number)
{
	char *p = weft__erl_more(o, (size_t)n->pid_len);

	if (!p)
		return;
	memcpy(p, n->pid, (size_t)n->pid_len);
	p += n->pid_len - 12; /* number, serial, creation */
	put32(p, (uint32_t)number & ((1u << NUMBER_BITS) - 1));
	put32(p + 4, (uint32_t)(number >> NUMBER_BITS));
}

void weft__erl_ref(weft_erl *n, struct out *o)
{
	uint64_t v = weft_add_relaxed(&n->last_ref, (uint64_t)1) + 1; /* all that counts is that no two are the same */
	char *p = weft__erl_more(o, (size_t)n->ref_len);

	if (!p)
		return;
	memcpy(p, n->ref, (size_t)n->ref_len);
	p += n->ref_len - 12;
	put32(p, (uint32_t)v & 0x3ffff); /* of the first word 18 bits count */
	put32(p + 4, (uint32_t)(v >> 18));
	put32(p + 8, (uint32_t)(v >> 50));
}

uint64_t weft__erl_ours(weft_erl *n, struct slice pid)
{
	erlang_pid p;
	int at = 0;

	if (ei_decode_pid(pid.at, &at, &p) != 0 || p.creation != n->creation || strcmp(p.node, n->name) != 0 || p.num >= 1u << NUMBER_BITS)
		return 0;
	return (uint64_t)p.serial << NUMBER_BITS | p.num;
}

static int pid_of(weft_erl *n, struct errand *e)
{
	uint64_t number;
	erlang_pid *out = e->out;

	if (!weft_actor_alive(e->who))
		return WEFT_ESRCH;
	number = weft__erl_number(n, e->who);
	if (!number)
		return WEFT_ENOMEM;
	*out = (erlang_pid){
		.num = (unsigned)number & ((1u << NUMBER_BITS) - 1), .serial = (unsigned)(number >> NUMBER_BITS), .creation = n->creation};
	strcpy(out->node, n->name);
	return 0;
}

int weft_erl_pid(weft_erl *n, weft_actor_ref ref, erlang_pid *out)
{
	struct errand e = {.fn = pid_of, .at_once = true, .who = ref, .out = out, .size = sizeof *out};

	return weft__erl_do(n, &e);
}

/* --- start --- */

/* epmd forgets us when the connection to it ends, as it does when epmd itself ends. */
static void stay_known(weft_erl *n)
{
	int64_t wait = AGAIN_FIRST;
	uint32_t creation;
	weft_tcp *tcp;
	ssize_t got;
	char x;

	for (;;) {
		tcp = n->known;
		if (tcp) {
			do
				got = weft_tcp_read(tcp, &x, 1);
			while (got > 0);
			n->known = NULL;
			weft_tcp_close(tcp);
			if (got == WEFT_ECANCELED || got == WEFT_ETIMEDOUT)
				return;
		}
		if (weft_task_sleep(wait) != 0) /* nobody says when there is an epmd again */
			return;
		if (weft__erl_publish(n, &tcp, &creation, weft_in(SHAKE_NS)) == 0) {
			n->known = tcp;
			wait = AGAIN_FIRST;
		} else {
			wait = wait < AGAIN_MOST ? 2 * wait : wait;
		}
	}
}

static int stays_known(void *arg)
{
	weft_erl *n = arg;

	stay_known(n);
	WEFT_WITH_SHIELD /* the last one: see n->keeper */
	{
		weft__erl_shut(&n->users); /* what they wait for ends with the connections */
		(void)weft_group_wait(&n->group);
		(void)weft_wg_wait(&n->calls);
	}
	return 0;
}

/* The parts of the name; false: it is none. */
static bool name_it(weft_erl *n, const char *name)
{
	const char *at = strchr(name, '@');
	size_t len = strlen(name);

	if (!at || at == name || !at[1] || strchr(at + 1, '@') || len > NODE_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	}
	memcpy(n->name, name, len + 1);
	n->alive_len = (int)(at - name);
	n->host = n->name + n->alive_len + 1;
	return true;
}

static int port_number(const weft_erl_opts *o)
{
	const char *e = getenv("ERL_EPMD_PORT");
	int port = o->epmd_port ? o->epmd_port : e ? atoi(e) : 4369;

	return port > 0 && port < 65536 ? port : WEFT_EINVAL;
}

static int set_up(weft_erl *n, const char *name, const char *cookie, const weft_erl_opts *o)
{
	const char *epmd = o->epmd ? o->epmd : "127.0.0.1";
	size_t len = cookie ? strlen(cookie) : 0;

	if (!name || !name_it(n, name) || len == 0 || len > COOKIE_MAX || o->tick < 0)
		return WEFT_EINVAL;
	if (o->message_max >= LENGTH_MAX || o->reply_max >= LENGTH_MAX)
		return WEFT_EINVAL;
	memcpy(n->cookie, cookie, len + 1);
	n->epmd_port = port_number(o);
	if (n->epmd_port < 0 || (size_t)snprintf(n->epmd, sizeof n->epmd, "%s:%d", epmd, n->epmd_port) >= sizeof n->epmd)
		return WEFT_EINVAL;
	n->tick = o->tick ? o->tick : 60 * WEFT_SEC;
	n->message_max = o->message_max ? o->message_max : (size_t)64 << 20;
	n->reply_max = o->reply_max ? o->reply_max : (size_t)64 << 10;
	n->out_max = o->out_max ? o->out_max : (size_t)1 << 20;
	n->backlog_max = o->backlog_max ? o->backlog_max : (size_t)64 << 20;
	n->allow = o->allow;
	n->arg = o->arg;
	n->sweep_at = SWEEP_MIN;
	weft_sema_init(&n->shaking, SHAKING_MAX);
	return 0;
}

/* The terms that pids and references are made from. */
static void prepare(weft_erl *n)
{
	erlang_pid pid = {.creation = n->creation};
	erlang_ref ref = {.creation = n->creation, .len = 3};

	strcpy(pid.node, n->name);
	strcpy(ref.node, n->name);
	(void)ei_encode_pid(n->pid, &n->pid_len, &pid);
	(void)ei_encode_ref(n->ref, &n->ref_len, &ref);
}

static int begin(weft_erl *n, const weft_erl_opts *o, int64_t deadline)
{
	weft_group_opts g = {.policy = WEFT_IGNORE, .ctx = o->ctx};
	weft_addr at;
	int rc;

	rc = weft_tcp_listen_until(&n->listener, o->listen ? o->listen : ":0", NULL, deadline);
	if (rc)
		return rc;
	rc = weft_tcp_listener_addr(n->listener, &at);
	if (rc)
		goto no_listener;
	n->port = weft_addr_port(&at);
	rc = weft__erl_publish(n, &n->known, &n->creation, deadline);
	if (rc)
		goto no_listener;
	prepare(n);
	rc = weft_group_init(&n->group, &g);
	if (rc)
		goto unknown;
	rc = weft_go_opts(&n->keeper, stays_known, n, &(weft_task_opts){.name = "erl keeper", .ctx = weft_group_ctx(&n->group)});
	if (rc)
		goto no_group;
	rc = weft_group_go(&n->group, weft__erl_accepts, n);
	if (rc == 0)
		return 0;
	weft_group_cancel(&n->group, 0); /* the keeper closes what it has */
	WEFT_WITH_SHIELD
	{
		(void)weft_task_join(n->keeper, NULL);
	}
	weft_group_close(&n->group);
	weft_tcp_listener_close(n->listener);
	return rc;
no_group:
	weft_group_close(&n->group);
unknown:
	weft_tcp_close(n->known);
no_listener:
	weft_tcp_listener_close(n->listener);
	return rc;
}

int weft_erl_start_until(weft_erl **out, const char *name, const char *cookie, const weft_erl_opts *o, int64_t deadline)
{
	static const weft_erl_opts none;
	weft_erl *n;
	int rc;

	*out = NULL;
	o = o ? o : &none;
	n = calloc(1, sizeof *n);
	if (!n)
		return WEFT_ENOMEM;
	n->home = weft_runtime_self();
	rc = set_up(n, name, cookie, o);
	if (rc == 0)
		rc = begin(n, o, deadline);
	if (rc)
		free(n);
	else
		*out = n;
	return rc;
}

int weft_erl_start(weft_erl **out, const char *name, const char *cookie, const weft_erl_opts *o)
{
	return weft_erl_start_until(out, name, cookie, o, WEFT_FOREVER);
}

/* --- stop --- */

/* Calls of theirs that have not been answered now never will be. */
static void give_up(weft_erl *n)
{
	weft__erl_lock(&n->lock);
	weft_store_relaxed(&n->closing, true); /* seen by whoever locks a c->block after us, or is listed after this */
	for (struct conn *c = n->conns; c; c = c->next)
		weft__erl_give_all_up(c);
	weft_mutex_unlock(&n->lock);
}

/* One that has not been waited for; the caller's to unref. */
static struct conn *not_flushed(weft_erl *n)
{
	struct conn *c;

	weft__erl_lock(&n->lock);
	for (c = n->conns; c && (c->flushed || c->state != CONN_UP);)
		c = c->next;
	if (c) {
		c->flushed = true;
		weft__erl_conn_ref(c);
	}
	weft_mutex_unlock(&n->lock);
	return c;
}

static int flush(weft_erl *n, int64_t deadline)
{
	struct conn *c;
	int rc = 0;

	give_up(n);
	while (rc == 0 && (c = not_flushed(n))) {
		rc = weft__erl_answered(c, deadline);
		weft__erl_lock(&c->wlock);
		while (rc == 0 && !c->dead && (c->out.len > 0 || c->writing))
			rc = weft_cond_wait_until(&c->room, &c->wlock, deadline);
		weft_mutex_unlock(&c->wlock);
		weft__erl_conn_unref(c);
	}
	return rc;
}

/* Nobody is inside any more who does not belong to the node. */
static void shut(weft_erl *n)
{
	weft__erl_shut(&n->guests);
	weft__erl_lock(&n->lock);
	n->stopping = true;
	for (struct conn *c = n->conns; c; c = c->next) {
		if (c->tcp)
			weft__erl_cut(c);
	}
	weft_cond_broadcast(&n->changed);
	weft_group_cancel(&n->group, 0);
	weft_mutex_unlock(&n->lock);
	if (n->keeper)
		(void)weft_task_join(n->keeper, NULL);
}

static void ids_free(weft_erl *n)
{
	struct map_node *node;

	for (size_t i = 0; i < n->refs.size; i++) {
		while ((node = n->refs.slots[i])) {
			n->refs.slots[i] = node->next;
			free(part_of(node, struct id, by_ref));
		}
	}
	weft__erl_map_free(&n->refs);
	weft__erl_map_free(&n->ids);
}

static int stop_at_home(weft_erl *n, int64_t deadline)
{
	int rc = flush(n, deadline);

	WEFT_WITH_SHIELD
	{
		shut(n);
		weft_group_close(&n->group);
		weft_tcp_listener_close(n->listener); /* not before: whoever accepts may be between two connections */
	}
	ids_free(n);
	free(n);
	return rc;
}

/* Its runtime has gone, and its tasks have not ended: they run no more, and may have left any lock locked. What they had in their frames is lost. */
static void bury(weft_erl *n)
{
	bool through = !n->keeper ||
		       weft_task_stateof(n->keeper) == WEFT_TASK_DONE; /* called off: none is listed any more where ours is waited upon */
	struct conn *c;

	WEFT_WITH_SHIELD
	{
		weft__erl_shut(&n->guests);
	}
	weft_task_detach(n->keeper);
	if (n->known)
		weft_tcp_close(n->known);
	weft_tcp_listener_close(n->listener);
	while ((c = n->conns)) {
		n->conns = c->next;
		if (c->tcp)
			weft_tcp_close(weft_tcp_ref(c->tcp));
		if (!through)
			continue;
		weft_store_relaxed(&c->refs, 1u); /* others' references are of those tasks */
		weft__erl_conn_unref(c);
	}
	if (!through) /* what they wait upon must not become somebody else's before: it is lost, as what they had in hand */
		return;
	weft_ctx_free(weft_group_ctx(&n->group)); /* who would close the group waits for its children */
	ids_free(n);
	free(n);
}

/* The keeper's runtime, or it has ended; deadline: WEFT_NOW, to ask; or WEFT_FOREVER: it is going down. 0: it has ended in order; WEFT_EAGAIN; WEFT_ECANCELED: it never will; WEFT_ENOMEM. */
static int fate(weft_erl *n, int64_t deadline)
{
	int rc = 0;

	if (!n->keeper)
		return 0;
	WEFT_WITH_SHIELD
	{
		rc = weft_task_join_until(n->keeper, NULL, deadline);
	}
	if (rc == 0)
		n->keeper = NULL;
	return rc;
}

/* On the heap: whoever stops it may be left before it is done, and the other way round. */
struct stopping {
	weft_erl *n;
	int64_t deadline;
	int rc;
	bool over;
};

static int stops(void *arg)
{
	struct stopping *s = arg;

	if (fate(s->n, WEFT_NOW) == WEFT_ECANCELED) /* home's number is another's by now */
		bury(s->n);
	else
		s->rc = stop_at_home(s->n, s->deadline);
	s->over = true;
	return 0;
}

static int stop_away(weft_erl *n, int64_t deadline)
{
	struct stopping *s = malloc(sizeof *s);
	weft_ctx *ctx = weft__erl_ctx_of_caller(n);
	weft_task *t;
	int rc = WEFT_ENOMEM, own;

	if (s && ctx) {
		*s = (struct stopping){.n = n, .deadline = deadline};
		rc = weft_runtime_go(n->home, &t, stops, s, &(weft_task_opts){.name = "erl stop", .ctx = ctx});
		rc = rc == WEFT_EAGAIN ? WEFT_ENOMEM : rc; /* that one tells of the deadline */
	}
	if (rc == 0) {
		if (weft__erl_join(t, ctx, &own) != 0 && !s->over)
			bury(n);
		rc = s->rc;
	} else if (rc == WEFT_ESRCH) { /* it goes down just now, or has done so in order */
		rc = 0;
		if (fate(n, WEFT_FOREVER) == WEFT_ECANCELED)
			bury(n);
		else
			rc = stop_at_home(n, WEFT_NOW);
	}
	weft_ctx_free(ctx);
	free(s);
	return rc;
}

int weft_erl_stop_until(weft_erl *n, int64_t deadline)
{
	int rc = n ? weft__erl_may_wait() : WEFT_EINVAL;

	if (rc)
		return rc;
	if (fate(n, WEFT_NOW) == WEFT_ECANCELED) { /* asked first: what runs now may have the number of what has gone */
		bury(n);
		return 0;
	}
	return weft__erl_at_home(n) ? stop_at_home(n, deadline) : stop_away(n, deadline);
}

int weft_erl_stop(weft_erl *n)
{
	return weft_erl_stop_until(n, WEFT_FOREVER);
}

/* --- figures --- */

const char *weft_erl_name(const weft_erl *n)
{
	return n->name;
}

int weft_erl_port(const weft_erl *n)
{
	return n->port;
}

static int figures(weft_erl *n, struct errand *e)
{
	weft_erl_stat *out = e->out;

	*out = (weft_erl_stat){.dropped = weft_load_relaxed(&n->dropped)}; /* statistics */
	weft__erl_lock(&n->lock);
	for (struct conn *c = n->conns; c; c = c->next)
		out->nodes += c->state == CONN_UP;
	for (size_t i = 0; i < n->ids.size; i++) {
		for (struct map_node *node = n->ids.slots[i]; node; node = node->next) {
			struct id *id = part_of(node, struct id, by_number);

			out->calls += id->call != NULL;
			out->pids += !id->conn && weft_actor_alive(id->ref);
		}
	}
	weft_mutex_unlock(&n->lock);
	return 0;
}

int weft_erl_stats(weft_erl *n, weft_erl_stat *out)
{
	struct errand e = {.fn = figures, .at_once = true, .out = out, .size = sizeof *out};

	return n && out ? weft__erl_do(n, &e) : WEFT_EINVAL;
}
