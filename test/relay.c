/* SPDX-License-Identifier: MIT
 *
 * relay.c - trouble on the way. See relay.h.
 *
 * A TCP connection is a link: two connections, and two tasks that pump, each with a reference to both.  A datagram that is delayed has a task of its own, which sleeps and
 * then sends.
 */
#include "relay.h"

#include "tap.h"

#include "base/rand.h"
#include "weft/ctx.h"
#include "weft/go.h"
#include "weft/sync.h"
#include "weft/task.h"
#include "weft/udp.h"
#include <stdlib.h>
#include <string.h>

enum { LINKS_MAX = 1024, PIECE = 8192, DATAGRAM = 2048 };

struct link {
	struct relay *r;
	weft_tcp *end[2]; /* towards who connected, and towards `to` */
	int port;         /* his */
	int number;
	ATOMIC(bool) cut[2], was_reset;
	ATOMIC(int) pumps; /* that have not ended */
};

/* A sender of datagrams. */
struct session {
	struct relay *r;
	weft_addr from;
	weft_udp *back; /* connected to `to` */
	struct lane {
		struct rng rng;
		size_t held; /* bytes of a datagram that the next one overtakes; 0: none */
		char kept[DATAGRAM];
	} lane[2]; /* from him, to him; each used by one task */
};

struct relay_inside {
	struct relay_odds odds;
	char to[WEFT_ADDR_TEXT];
	weft_addr to_addr;
	weft_tcp_listener *listener;
	weft_udp *front;
	weft_wg tasks;
	weft_ctx *ctx;   /* of all its tasks */
	weft_event open; /* not while stalled */
	ATOMIC(int) vanished;
	weft_mutex lock;
	struct link *links[LINKS_MAX]; /* under lock, up to n_links */
	struct session *sessions[LINKS_MAX];
	int n_links, n_sessions;
};

static bool chance(struct rng *r, int thousandths)
{
	return (int)rng_below(r, 1000) < thousandths;
}

static void count(ATOMIC(long) *what)
{
	add_relaxed(what, 1); /* a counter */
}

static int nap(struct relay *r, struct rng *rng, int64_t most)
{
	count(&r->delays);
	return weft_task_sleep((int64_t)rng_below(rng, (uint32_t)most));
}

/* --- TCP --- */

static void reset(struct link *l)
{
	store_relaxed(&l->was_reset, true); /* looked at when all is over */
	for (int i = 0; i < 2; i++) {
		weft_tcp_linger(l->end[i], false);
		weft_tcp_close(weft_tcp_ref(l->end[i])); /* the pumps have theirs still */
	}
	count(&l->r->resets);
}

/* Forwards n bytes, in pieces if it pleases. */
static int forward(struct relay *r, struct rng *rng, weft_tcp *to, const char *buf, size_t n)
{
	bool pieces = chance(rng, r->in->odds.split);

	if (pieces)
		count(&r->splits);
	for (size_t at = 0; at < n;) {
		size_t len = pieces ? 1 + rng_below(rng, rng_below(rng, 2) ? 3 : 500) : n;
		ssize_t rc;

		len = len < n - at ? len : n - at;
		rc = weft_tcp_write(to, buf + at, len, NULL);
		if (rc < 0)
			return (int)rc;
		at += len;
		if (pieces && n < 1000)
			weft_task_yield();
	}
	count(&r->forwarded);
	return 0;
}

/* One direction: dir 0 from who connected. Returns 0 when it ended in an orderly way. */
static int pump(struct link *l, int dir)
{
	const struct relay_odds *o = &l->r->in->odds;
	weft_tcp *from = l->end[dir], *to = l->end[!dir];
	bool swallow = false;
	char buf[PIECE];
	struct rng rng;
	ssize_t n;
	int rc;

	rng_seed(&rng, o->seed, (uint64_t)(2 * l->number + dir) + 1);
	for (;;) {
		rc = weft_event_wait(&l->r->in->open);
		if (rc)
			return rc;
		n = weft_tcp_read(from, buf, 1 + rng_below(&rng, PIECE));
		if (n <= 0)
			break;
		if (load_acquire(&l->r->in->vanished))
			return weft_ctx_wait(NULL); /* until the relay ends */
		if (swallow)
			continue;
		if (chance(&rng, o->delay))
			nap(l->r, &rng, 2 * WEFT_MS);
		if (chance(&rng, o->linger)) {
			count(&l->r->lingers);
			nap(l->r, &rng, 5 * WEFT_MS);
		}
		if (chance(&rng, o->reset)) {
			reset(l);
			return WEFT_ECONNRESET;
		}
		if (chance(&rng, o->cut)) {
			store_relaxed(&l->cut[dir], true); /* as above */
			count(&l->r->cuts);
			swallow = true;
			n = rng_below(&rng, (uint32_t)n);
		}
		rc = forward(l->r, &rng, to, buf, (size_t)n);
		if (rc)
			return rc;
		if (swallow)
			weft_tcp_shutdown(to, SHUT_WR);
	}
	if (n == 0 && !swallow)
		weft_tcp_shutdown(to, SHUT_WR);
	return (int)n;
}

static void pumps(struct link *l, int dir)
{
	if (pump(l, dir)) { /* whoever is at the other side shall know: a reset, as a router that has lost its state would send */
		weft_tcp_linger(l->end[!dir], false);
		weft_tcp_close(weft_tcp_ref(l->end[!dir]));
	}
	if (add_acq_rel(&l->pumps, -1) == 1) {
		weft_tcp_close(l->end[0]);
		weft_tcp_close(l->end[1]);
	}
	weft_wg_done(&l->r->in->tasks);
}

static void connect_on(struct relay *r, weft_tcp *c)
{
	struct relay_inside *in = r->in;
	struct link *l = calloc(1, sizeof *l);
	weft_addr from;

	T_OK(l != NULL);
	l->r = r;
	l->end[0] = c;
	if (weft_tcp_peer(c, &from) || weft_tcp_dial(&l->end[1], in->to) ||
	    weft_mutex_lock(&in->lock)) { /* gone, nobody there, or the end */
		weft_tcp_linger(c, false);
		weft_tcp_close(c);
		weft_tcp_close(l->end[1]);
		free(l);
		return;
	}
	l->port = weft_addr_port(&from);
	T_LT(in->n_links, LINKS_MAX);
	l->number = in->n_links;
	in->links[in->n_links++] = l;
	weft_mutex_unlock(&in->lock);
	store_relaxed(&l->pumps, 2); /* seen by those started here */
	weft_wg_add(&in->tasks, 2);
	T_EQ(weft_go(pumps, l, 0), 0);
	T_EQ(weft_go(pumps, l, 1), 0);
}

static void takes_connections(struct relay *r)
{
	weft_tcp *c;

	while (weft_tcp_accept(r->in->listener, &c) == 0)
		connect_on(r, c);
	weft_wg_done(&r->in->tasks);
}

/* --- UDP --- */

struct late {
	struct session *s;
	int dir;
	int64_t nap;
	size_t n;
	char bytes[DATAGRAM];
};

static void deliver(struct session *s, int dir, const char *buf, size_t n)
{
	ssize_t rc = dir ? weft_udp_sendto(s->r->in->front, buf, n, &s->from) : weft_udp_send(s->back, buf, n);

	T_OK(rc == (ssize_t)n || rc == WEFT_ECONNREFUSED || rc == WEFT_ECANCELED || rc == WEFT_ECLOSED);
	count(&s->r->forwarded);
}

static void delivers_late(struct late *l)
{
	struct relay *r = l->s->r;

	weft_task_sleep(l->nap);
	deliver(l->s, l->dir, l->bytes, l->n);
	free(l);
	weft_wg_done(&r->in->tasks);
}

static void deliver_late(struct session *s, int dir, const char *buf, size_t n)
{
	struct late *l = malloc(sizeof *l);

	T_OK(l != NULL);
	*l = (struct late){.s = s, .dir = dir, .nap = (int64_t)rng_below(&s->lane[dir].rng, 2 * WEFT_MS), .n = n};
	memcpy(l->bytes, buf, n);
	count(&s->r->delays);
	weft_wg_add(&s->r->in->tasks, 1);
	T_EQ(weft_go(delivers_late, l), 0);
}

static void trouble(struct session *s, int dir, const char *buf, size_t n)
{
	const struct relay_odds *o = &s->r->in->odds;
	struct lane *lane = &s->lane[dir];

	if (load_acquire(&s->r->in->vanished))
		return;
	if (chance(&lane->rng, o->drop)) {
		count(&s->r->drops);
		return;
	}
	if (n && chance(&lane->rng, o->shorten)) {
		count(&s->r->shortened);
		n = rng_below(&lane->rng, (uint32_t)n);
	}
	if (!lane->held && n && chance(&lane->rng, o->swap)) {
		count(&s->r->swaps);
		memcpy(lane->kept, buf, n);
		lane->held = n;
		return;
	}
	for (int times = chance(&lane->rng, o->twice) ? 2 : 1; times > 0; times--) {
		if (times == 2)
			count(&s->r->twices);
		if (chance(&lane->rng, o->delay))
			deliver_late(s, dir, buf, n);
		else
			deliver(s, dir, buf, n);
	}
	if (lane->held) {
		deliver(s, dir, lane->kept, lane->held);
		lane->held = 0;
	}
}

static void answers_come(struct session *s)
{
	char buf[DATAGRAM];
	ssize_t n;

	do {
		n = weft_udp_recv(s->back, buf, sizeof buf, NULL);
		if (n >= 0 && weft_event_wait(&s->r->in->open) == 0)
			trouble(s, 1, buf, (size_t)n);
	} while (n >= 0 || n == WEFT_ECONNREFUSED);
	weft_wg_done(&s->r->in->tasks);
}

static struct session *session_of(struct relay *r, const weft_addr *from)
{
	struct relay_inside *in = r->in;
	struct session *s;

	for (int i = 0; i < in->n_sessions; i++) { /* by one task only */
		if (memcmp(&in->sessions[i]->from.v4, &from->v4, sizeof from->v4) == 0)
			return in->sessions[i];
	}
	T_LT(in->n_sessions, LINKS_MAX);
	s = calloc(1, sizeof *s);
	T_OK(s != NULL);
	s->r = r;
	s->from = *from;
	T_EQ(weft_udp_open(&s->back, "127.0.0.1:0", NULL), 0);
	T_EQ(weft_udp_connect(s->back, &in->to_addr), 0);
	for (int dir = 0; dir < 2; dir++)
		rng_seed(&s->lane[dir].rng, in->odds.seed, (uint64_t)(2 * in->n_sessions + dir) + 1);
	in->sessions[in->n_sessions++] = s;
	weft_wg_add(&in->tasks, 1);
	T_EQ(weft_go(answers_come, s), 0);
	return s;
}

static void takes_datagrams(struct relay *r)
{
	char buf[DATAGRAM];
	weft_addr from;
	ssize_t n;

	while ((n = weft_udp_recvfrom(r->in->front, buf, sizeof buf, &from, NULL)) >= 0) {
		if (weft_event_wait(&r->in->open) == 0)
			trouble(session_of(r, &from), 0, buf, (size_t)n);
	}
	weft_wg_done(&r->in->tasks);
}

/* --- up and down --- */

static struct relay *relay_make(const char *to, const struct relay_odds *odds)
{
	struct relay *r = calloc(1, sizeof *r);

	T_OK(r != NULL);
	r->in = calloc(1, sizeof *r->in);
	T_OK(r->in != NULL);
	r->in->odds = *odds;
	strncpy(r->in->to, to, sizeof r->in->to - 1);
	T_EQ(weft_addr_parse(&r->in->to_addr, to), 0);
	r->in->ctx = weft_ctx_make(NULL);
	T_OK(r->in->ctx != NULL);
	weft_event_set(&r->in->open);
	return r;
}

struct relay *relay_tcp(const char *to, const struct relay_odds *odds)
{
	struct relay *r = relay_make(to, odds);
	weft_ctx *up;
	weft_addr a;

	T_EQ(weft_tcp_listen(&r->in->listener, "127.0.0.1:0", NULL), 0);
	T_EQ(weft_tcp_listener_addr(r->in->listener, &a), 0);
	T_GT(weft_addr_format(&a, r->at, sizeof r->at), 0);
	weft_wg_add(&r->in->tasks, 1);
	up = weft_ctx_enter(r->in->ctx);
	T_EQ(weft_go(takes_connections, r), 0);
	weft_ctx_leave(up);
	return r;
}

struct relay *relay_udp(const char *to, const struct relay_odds *odds)
{
	struct relay *r = relay_make(to, odds);
	weft_ctx *up;
	weft_addr a;

	T_EQ(weft_udp_open(&r->in->front, "127.0.0.1:0", NULL), 0);
	T_EQ(weft_udp_local(r->in->front, &a), 0);
	T_GT(weft_addr_format(&a, r->at, sizeof r->at), 0);
	weft_wg_add(&r->in->tasks, 1);
	up = weft_ctx_enter(r->in->ctx);
	T_EQ(weft_go(takes_datagrams, r), 0);
	weft_ctx_leave(up);
	return r;
}

void relay_stall(struct relay *r, int on)
{
	if (on)
		weft_event_reset(&r->in->open);
	else
		weft_event_set(&r->in->open);
}

void relay_vanish(struct relay *r)
{
	store_release(&r->in->vanished, 1); /* pairs with load_acquire in pump and trouble */
}

unsigned relay_fate(struct relay *r, int port)
{
	unsigned fate = 0;

	T_EQ(weft_mutex_lock(&r->in->lock), 0);
	for (int i = 0; i < r->in->n_links; i++) {
		struct link *l = r->in->links[i];

		if (l->port != port)
			continue;
		fate |= load_relaxed(&l->cut[0]) ? FATE_CUT_THERE : 0; /* all is over */
		fate |= load_relaxed(&l->cut[1]) ? FATE_CUT_BACK : 0;
		fate |= load_relaxed(&l->was_reset) ? FATE_RESET : 0;
	}
	weft_mutex_unlock(&r->in->lock);
	return fate;
}

void relay_end(struct relay *r)
{
	struct relay_inside *in = r->in;

	weft_ctx_cancel(in->ctx, WEFT_REASON_CANCELED);
	T_EQ(weft_wg_wait(&in->tasks), 0);
	weft_tcp_listener_close(in->listener);
	weft_udp_close(in->front);
	for (int i = 0; i < in->n_links; i++)
		free(in->links[i]);
	for (int i = 0; i < in->n_sessions; i++) {
		weft_udp_close(in->sessions[i]->back);
		free(in->sessions[i]);
	}
	weft_ctx_free(in->ctx);
	free(in);
	free(r);
}
