/* SPDX-License-Identifier: MIT
 *
 * conn.c - connections: who has one with whom, how they come about and end; the tasks that read and write.
 *
 * There is one of each node at most. It is listed in n->conns from the moment that somebody dials or says a name that nobody else is connected by, and until it is down. Two that dial each other at the same time agree which of the
 * connections stays: that of the node with the greater name.
 */
#include "erl/erl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/task.h>

#define READ ((size_t)32 << 10) /* bytes at a time */
#define KEEP ((size_t)1 << 20)  /* larger buffers are given back when they are empty */
#define BLOCKS 2                /* read, and not yet looked at */
#define NOK_NS WEFT_SEC         /* the peer says that it is coming: so long it is waited for */

/* --- life --- */

static struct conn *make(weft_erl *n, enum conn_state state)
{
	struct conn *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->in = weft_chan_make(sizeof(struct block *), BLOCKS);
	c->bell = weft_chan_make(1, 1);
	if (!c->in || !c->bell) {
		weft_chan_free(c->in);
		weft_chan_free(c->bell);
		free(c);
		return NULL;
	}
	c->n = n;
	c->state = state;
	weft_store_relaxed(&c->refs, 1u); /* not shared yet */
	return c;
}

struct conn *weft__erl_conn_ref(struct conn *c)
{
	weft_add_relaxed(&c->refs, 1u); /* the caller's own keeps it */
	return c;
}

void weft__erl_conn_unref(struct conn *c)
{
	struct block *b;

	if (weft_add_acq_rel(&c->refs, (uint32_t)-1) != 1) /* what others did to it is seen by who frees it */
		return;
	WEFT_WITH_SHIELD
	{
		while (weft_chan_tryrecv(c->in, &b) == 0)
			free(b);
	}
	weft_chan_free(c->in);
	weft_chan_free(c->bell);
	weft_tcp_free(c->tcp);
	weft__erl_out_free(&c->out);
	weft__erl_map_free(&c->asked);
	weft__erl_map_free(&c->receivers);
	weft__erl_map_free(&c->by_monitor);
	weft__erl_map_free(&c->by_mark);
	free(c);
}

struct conn *weft__erl_conn_find(weft_erl *n, const char *peer)
{
	struct conn *c = n->conns;

	while (c && strcmp(c->peer, peer) != 0)
		c = c->next;
	return c;
}

/* Under n->lock; the list has a reference. */
static void list(struct conn *c)
{
	c->next = c->n->conns;
	c->n->conns = weft__erl_conn_ref(c);
}

/* Under n->lock. Gives back the list's reference, but never the last one. */
static void unlist(struct conn *c)
{
	struct conn **at = &c->n->conns;

	if (c->state == CONN_DOWN)
		return;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->state = CONN_DOWN;
	weft_cond_broadcast(&c->n->changed);
	weft__erl_conn_unref(c);
}

void weft__erl_cut(struct conn *c)
{
	weft__erl_over(c);
	weft_tcp_close(weft_tcp_ref(c->tcp));
}

/* why: what all who have waited for it shall hear; 0: they are to see for themselves. */
static void fail(struct conn *c, int why)
{
	weft__erl_lock(&c->n->lock);
	if (c->state != CONN_DOWN) /* else it has given way to another, which those who wait are to look at */
		c->why = why;
	unlist(c);
	weft_mutex_unlock(&c->n->lock);
}

/* Under n->lock. WEFT_ECLOSED: nobody needs it any more; WEFT_EBUSY: another one has taken its place. */
static int given_up(const struct conn *c)
{
	return c->n->stopping ? WEFT_ECLOSED : c->state == CONN_DOWN ? WEFT_EBUSY : 0;
}

/* From here on it is what all use, unless c has been given up meanwhile. */
static int up(struct conn *c)
{
	int rc;

	weft__erl_lock(&c->n->lock);
	rc = given_up(c);
	if (rc == 0) {
		c->state = CONN_UP;
		weft_cond_broadcast(&c->n->changed);
	}
	weft_mutex_unlock(&c->n->lock);
	return rc;
}

/* Under n->lock: whose it is, and who stands for somebody there, hears that nobody does any more. */
static void tell_ids(struct conn *c)
{
	struct map *m = &c->n->ids;

	for (size_t i = 0; i < m->size; i++) {
		for (struct map_node *node = m->slots[i]; node; node = node->next) {
			struct id *id = part_of(node, struct id, by_number);

			if (id->conn != c)
				continue;
			if (!id->call) {
				(void)weft_actor_stop(id->ref, (weft_end){WEFT_END_CODE, WEFT_ENOTCONN});
			} else if (!id->call->done) {
				id->call->done = true;
				id->call->rc = WEFT_ENOTCONN;
				weft_cond_signal(&id->call->answered);
			}
		}
	}
}

void weft__erl_conn_end(struct conn *c)
{
	weft__erl_give_all_up(c); /* first: who has heard that it is lost finds no call of it served any more */
	weft__erl_lock(&c->n->lock);
	weft__erl_cut(c); /* while it is listed: should we be left from here on, bury (node.c) finds the socket, or it is closed */
	unlist(c);
	tell_ids(c);
	weft_mutex_unlock(&c->n->lock);
	weft__erl_lock(&c->wlock);
	c->dead = true;
	weft_cond_broadcast(&c->work);
	weft_cond_broadcast(&c->room);
	weft_mutex_unlock(&c->wlock);
	weft_chan_close(c->in);
}

/* --- dialing --- */

/* The same of the socket: it is c's. */
static int own(struct conn *c, weft_tcp *tcp)
{
	int rc;

	weft__erl_lock(&c->n->lock);
	rc = given_up(c);
	if (rc == 0)
		c->tcp = tcp;
	weft_mutex_unlock(&c->n->lock);
	if (rc)
		weft_tcp_close(tcp);
	return rc;
}

static int dial(struct conn *c, int64_t deadline)
{
	char where[NODE_MAX + 16];
	weft_tcp *tcp;
	int rc = weft__erl_port_of(c->n, c->peer, deadline);

	if (rc < 0)
		return rc;
	snprintf(where, sizeof where, "%s:%d", strchr(c->peer, '@') + 1, rc);
	rc = weft_tcp_dial_until(&tcp, where, deadline);
	if (rc)
		return rc;
	rc = own(c, tcp);
	if (rc)
		return rc;
	rc = weft__erl_shake_dial(c, deadline);
	if (rc == WEFT_ECLOSED) /* by whoever has beaten us, or weft_erl_stop */
		rc = WEFT_EBUSY;
	if (rc == 0)
		rc = up(c);
	if (rc == 0) {
		weft__erl_conn_ref(c);
		rc = weft_group_go(&c->n->group, weft__erl_talk, c);
		if (rc) {
			weft__erl_conn_end(c); /* others may have it already */
			weft__erl_conn_unref(c);
		}
	}
	if (rc)
		weft__erl_cut(c);
	return rc;
}

bool weft__erl_cut_off(weft_erl *n)
{
	return weft_ctx_reason(weft_group_ctx(&n->group)) != WEFT_NOT_CANCELED;
}

/* Below the caller's context, and the node's. */
static int dial_under(struct conn *c, int64_t deadline)
{
	weft_ctx *ctx = weft_ctx_linked(NULL, weft_group_ctx(&c->n->group));
	int64_t limit = weft_in(SHAKE_NS);
	int rc = WEFT_ENOMEM;

	if (ctx) {
		WEFT_WITH_CTX (ctx) {
			rc = dial(c, deadline < limit ? deadline : limit);
		}
		weft_ctx_free(ctx);
	}
	if ((rc == WEFT_ECANCELED || rc == WEFT_ETIMEDOUT) && weft_ctx_check() == 0 && weft__erl_cut_off(c->n))
		rc = WEFT_ECLOSED;
	return rc;
}

/* Is it a name that another node may have? */
static bool is_node(const weft_erl *n, const char *peer)
{
	const char *at = peer ? strchr(peer, '@') : NULL;

	return at && at > peer && at[1] && strlen(peer) <= NODE_MAX && strcmp(peer, n->name) != 0;
}

/* Has a dial that failed found out what others would, too? Else it was given up by its caller, or for one that is coming. */
static bool goes_for_all(int rc, int64_t deadline)
{
	return rc != WEFT_EBUSY && weft_ctx_check() == 0 && (deadline == WEFT_FOREVER || deadline > weft_now());
}

/* n->lock is held before and after, not meanwhile. */
static int dial_unlocked(weft_erl *n, const char *peer, int64_t deadline)
{
	struct conn *c;
	int rc;

	if (deadline == WEFT_NOW) /* it would be in the way of one that comes */
		return WEFT_EAGAIN;
	c = make(n, CONN_DIALING);
	if (!c)
		return WEFT_ENOMEM;
	strcpy(c->peer, peer);
	list(c);
	weft_mutex_unlock(&n->lock);
	rc = dial_under(c, deadline);
	if (rc)
		fail(c, goes_for_all(rc, deadline) ? rc : 0);
	weft__erl_lock(&n->lock);
	weft__erl_conn_unref(c);
	return rc;
}

/* Somebody is at it; under n->lock. 0: look again. */
static int wait_with(struct conn *c, int64_t deadline)
{
	int rc;

	weft__erl_conn_ref(c);
	rc = weft_cond_wait_until(&c->n->changed, &c->n->lock, deadline);
	if (rc == 0 && c->state == CONN_DOWN)
		rc = c->why; /* who has waited so long does not begin anew, one behind the other */
	weft__erl_conn_unref(c);
	return rc;
}

int weft__erl_conn_get(weft_erl *n, const char *peer, int64_t deadline, struct conn **out)
{
	int64_t patience = 0;
	struct conn *c;
	int rc = 0;

	if (!is_node(n, peer))
		return WEFT_EINVAL;
	weft__erl_lock(&n->lock);
	for (;;) {
		c = weft__erl_conn_find(n, peer);
		if (n->stopping)
			rc = WEFT_ECLOSED;
		if (rc || (c && c->state == CONN_UP))
			break;
		if (c) {
			rc = wait_with(c, deadline);
		} else if (patience) { /* it said that it is coming */
			rc = weft_cond_wait_until(&n->changed, &n->lock, deadline < patience ? deadline : patience);
			if (rc == WEFT_ETIMEDOUT && patience <= weft_now()) {
				patience = 0;
				rc = 0;
			}
		} else {
			rc = dial_unlocked(n, peer, deadline);
			if (rc == WEFT_EBUSY) {
				patience = weft_in(NOK_NS);
				rc = 0;
			}
		}
	}
	if (rc == 0)
		*out = weft__erl_conn_ref(c);
	else if (n->stopping)
		rc = WEFT_ECLOSED;
	weft_mutex_unlock(&n->lock);
	return rc;
}

/* --- accepting --- */

/* The old one shall be gone: the peer knows nothing of it. */
static int replace(struct conn *c, int64_t deadline)
{
	weft_erl *n = c->n;
	struct conn *old;
	int rc = 0;

	weft__erl_lock(&n->lock);
	while (rc == 0 && (old = weft__erl_conn_find(n, c->peer))) {
		if (old->tcp)
			weft__erl_cut(old);
		rc = weft_cond_wait_until(&n->changed, &n->lock, deadline);
	}
	if (rc == 0 && n->stopping)
		rc = WEFT_ECLOSED;
	if (rc == 0) {
		c->state = CONN_ACCEPTING;
		list(c);
	}
	weft_mutex_unlock(&n->lock);
	return rc;
}

/* What is said to one that says that name; "ok": it is listed. */
static const char *verdict(struct conn *c)
{
	weft_erl *n = c->n;
	struct conn *old = weft__erl_conn_find(n, c->peer);
	const char *say = "ok";

	if (old && old->state == CONN_UP)
		return "alive";
	if (old && (old->state == CONN_ACCEPTING || strcmp(c->peer, n->name) < 0))
		return "nok";
	if (old) { /* ours gives way */
		if (old->tcp)
			weft__erl_cut(old);
		unlist(old);
		say = "ok_simultaneous";
	}
	c->state = CONN_ACCEPTING;
	list(c);
	return say;
}

static int greet(struct conn *c, int64_t deadline)
{
	const char *say;
	int rc = weft__erl_shake_hear(c, deadline);

	if (rc)
		return rc;
	weft__erl_lock(&c->n->lock);
	say = c->n->stopping ? "not_allowed" : verdict(c);
	weft_mutex_unlock(&c->n->lock);
	rc = weft__erl_shake_say(c, say, deadline);
	if (rc == 0 && say[0] == 'n')
		rc = WEFT_EBUSY;
	if (rc == 0 && say[0] == 'a')
		rc = weft__erl_shake_insists(c, deadline);
	if (rc == 0)
		rc = weft__erl_shake_answer(c, deadline);
	if (rc == 0 && say[0] == 'a') /* it has the cookie: before that anybody could end what is there */
		rc = replace(c, deadline);
	return rc ? rc : up(c);
}

static int greets(void *arg)
{
	struct conn *c = arg;
	weft_erl *n = c->n;
	int rc = greet(c, weft_in(SHAKE_NS));

	weft_sema_release(&n->shaking, 1);
	if (rc == 0)
		return weft__erl_talk(c);
	weft__erl_cut(c); /* as in weft__erl_conn_end */
	fail(c, 0);
	weft__erl_conn_unref(c);
	return 0;
}

/* The next one; what is lacking for a while (memory) is waited for. NULL: there will be none. */
static weft_tcp *next_stranger(weft_erl *n)
{
	int64_t wait = WEFT_MS;
	weft_tcp *tcp;
	int rc;

	while ((rc = weft_tcp_accept(n->listener, &tcp)) != 0) {
		if (rc == WEFT_ECLOSED || weft_task_sleep(wait) != 0)
			return NULL;
		wait = wait < WEFT_SEC ? 2 * wait : wait;
	}
	return tcp;
}

int weft__erl_accepts(void *node)
{
	weft_erl *n = node;
	struct conn *c;
	weft_tcp *tcp;

	while ((tcp = next_stranger(n))) {
		if (weft_sema_acquire(&n->shaking, 1) != 0) {
			weft_tcp_close(tcp);
			return 0;
		}
		c = make(n, CONN_DOWN);
		if (c)
			c->tcp = tcp;
		else
			weft_tcp_close(tcp);
		if (c && weft_group_go(&n->group, greets, c) != 0) {
			weft__erl_cut(c);
			weft__erl_conn_unref(c);
			c = NULL;
		}
		if (!c)
			weft_sema_release(&n->shaking, 1);
	}
	return 0;
}

/* --- reading --- */

static size_t length_at(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (size_t)u[0] << 24 | (size_t)u[1] << 16 | (size_t)u[2] << 8 | u[3];
}

/* Bytes of the messages that are there as a whole; -1: the first is too long. */
static ssize_t whole(const weft_erl *n, const struct out *in)
{
	size_t at = 0;

	while (in->len - at >= 4) {
		size_t len = length_at(in->at + at);

		if (len > n->message_max)
			return at ? (ssize_t)at : -1; /* those before it count */
		if (in->len - at - 4 < len)
			break;
		at += 4 + len;
	}
	return (ssize_t)at;
}

/* Hands on what is there. 0: there is room again; negative: no more shall be read. */
static int hand_on(struct conn *c, struct out *in)
{
	ssize_t n = whole(c->n, in);
	struct block *b;
	int rc;

	if (n <= 0)
		return n < 0 ? WEFT_EMSGSIZE : 0;
	b = malloc(sizeof *b + (size_t)n);
	if (!b)
		return WEFT_ENOMEM;
	b->len = (size_t)n;
	memcpy(b->bytes, in->at, b->len);
	in->len -= b->len;
	memmove(in->at, in->at + b->len, in->len);
	if (in->room > KEEP && in->len == 0)
		weft__erl_out_free(in);
	rc = weft_chan_send(c->in, &b);
	if (rc)
		free(b);
	return rc;
}

int weft__erl_reads(void *conn)
{
	struct conn *c = conn;
	struct out in = {.at = NULL};
	ssize_t n;
	char *p;

	do {
		p = weft__erl_more(&in, READ);
		if (!p)
			break;
		n = weft_tcp_read_until(c->tcp, p, READ, weft_in(c->n->tick));
		in.len -= READ - (n > 0 ? (size_t)n : 0);
	} while (n > 0 && hand_on(c, &in) == 0);
	weft__erl_out_free(&in);
	weft_chan_close(c->in);
	weft__erl_over(c);
	weft__erl_conn_unref(c);
	return 0;
}

/* --- writing --- */

/* Waits for bytes; a tick, if there are none for a while. False: there will be none. */
static bool more_to_write(struct conn *c, struct out *o)
{
	int64_t tick = weft_in(c->n->tick / 4);
	int rc = 0;

	weft__erl_lock(&c->wlock);
	c->writing = false;
	if (c->out.len == 0)
		weft_cond_broadcast(&c->room); /* for weft_erl_stop */
	while (c->out.len == 0 && !c->dead && rc == 0)
		rc = weft_cond_wait_until(&c->work, &c->wlock, tick);
	if (rc == WEFT_ETIMEDOUT && weft_now() >= tick && c->out.len == 0) {
		weft__erl_raw(&c->out, "\0\0\0\0", 4);
		rc = 0;
	}
	if (c->dead || c->out.len == 0) {
		weft_mutex_unlock(&c->wlock);
		return false;
	}
	struct out full = c->out;

	o->len = 0;
	c->out = *o;
	*o = full;
	c->writing = true;
	weft_cond_broadcast(&c->room);
	weft_mutex_unlock(&c->wlock);
	return true;
}

int weft__erl_writes(void *conn)
{
	struct conn *c = conn;
	struct out o = {.at = NULL};

	while (more_to_write(c, &o)) {
		if (weft_tcp_write(c->tcp, o.at, o.len, NULL) < 0)
			break;
		if (o.room > KEEP)
			weft__erl_out_free(&o);
	}
	weft__erl_cut(c);
	weft__erl_out_free(&o);
	weft__erl_conn_unref(c);
	return 0;
}

/* n bytes for one message; under wlock. */
static void append(struct conn *c, struct out *control, struct slice *message, size_t n)
{
	char *p = weft__erl_more(&c->out, 4 + n);

	if (!p)
		return;
	for (int i = 0; i < 4; i++)
		p[i] = (char)(n >> 8 * (3 - i));
	p[4] = ERL_PASS_THROUGH;
	p[5] = (char)VERSION_MAGIC;
	memcpy(p + 6, control->at, control->len);
	if (message) {
		p += 6 + control->len;
		*p = (char)VERSION_MAGIC;
		memcpy(p + 1, message->at, (size_t)message->len);
	}
}

int weft__erl_put(struct conn *c, struct out *control, struct slice *message, int64_t deadline)
{
	size_t n = 2 + control->len + (message ? 1 + (size_t)message->len : 0);
	bool full;
	int rc = 0;

	if (control->failed)
		return WEFT_ENOMEM;
	weft__erl_lock(&c->wlock);
	while (rc == 0 && !c->dead && deadline != WEFT_NOW && c->out.len > c->n->out_max)
		rc = weft_cond_wait_until(&c->room, &c->wlock, deadline);
	full = rc == 0 && !c->dead && c->out.len > c->n->out_max && c->out.len - c->n->out_max > c->n->backlog_max;
	if (rc == 0 && (c->dead || full))
		rc = WEFT_ENOTCONN;
	if (rc == 0) {
		append(c, control, message, n);
		if (c->out.failed) {
			c->out.failed = false;
			rc = WEFT_ENOMEM;
		}
	}
	if (rc == 0)
		weft_cond_signal(&c->work);
	weft_mutex_unlock(&c->wlock);
	if (full) /* a peer that reads nothing, and goes on asking for what cannot wait */
		weft__erl_cut(c);
	return rc;
}
