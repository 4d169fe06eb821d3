/* SPDX-License-Identifier: MIT
 *
 * serve.c - a TCP server: one task a listener accepts, one a connection handles, and the caller sees to the end of both.
 *
 *	accepting   under a context that ends with the caller's, or the one given: its end ends the accepting tasks, wherever they wait
 *	handling    under a group whose context has the values of that one, and is cancelled when the grace is over, and not before; it carries the first, for handlers who ask
 *
 * s->live counts the handlers, and one for the server as long as it accepts; whoever takes the last one off closes s->idle, which the caller waits for in a select. What
 * comes behind that, in the handlers' tasks, the group's close waits for.
 *
 * Room for a connection is taken when it has been accepted: taken before, it would be lacking where connections come, and lie idle where none do. So there may be one more a
 * listener.
 */
#include "serve/serve.h"

#include "base/check.h"
#include "base/clock.h"
#include "core/runtime.h"
#include "io/sigcatch.h"
#include "serve/sigreader.h"
#include "weft/chan.h"
#include "weft/group.h"
#include "weft/scope.h"
#include "weft/signal.h"
#include "weft/sync.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTENERS_MAX 1024
#define GRACE_DEFAULT (10 * SEC)
#define PATIENCE_DEFAULT (5 * SEC)
#define STARVED_NS (50 * MS) /* pause of who found no memory to accept with */

enum counter { STATE, ACCEPTED, RUNNING, FAILED, REFUSED, CANCELED };
_Static_assert(sizeof((weft_serve_counters *)0)->weft__n / sizeof(uint64_t) == CANCELED + 1, "one word a counter");

struct server {
	weft_serve_fn *fn;
	void *arg;
	const weft_serve_opts *o;
	weft_serve_counters *counters;
	weft_ctx *stop; /* accepting ends with it */
	weft_group handlers;
	weft_sema room;        /* if there is a limit */
	weft_chan *idle;       /* closed with the last handler */
	ATOMIC(uint64_t) live; /* drawn above */
	struct lock lock;      /* RANK_POOL */
	struct list conns;     /* under lock */
	struct acceptor {
		struct server *s;
		weft_tcp_listener *l;
		weft_task *task;
	} * acceptors;
	int n;
};

/* A connection, and its handler's. */
struct conn {
	struct list_node link; /* in s->conns; under its lock */
	struct server *s;
	weft_tcp *c;
	struct weft_task *task; /* NULL: it has not begun; under the lock */
	int64_t since;
	bool well; /* it has returned, and no negative number */
};

void (*weft__serve_accepted)(int listener);

static const char stop_key; /* by its address: of a handler's context, whose value is s->stop */

/* --- counters --- */

static ATOMIC(uint64_t) *counter(const weft_serve_counters *c, enum counter which)
{
	return (ATOMIC(uint64_t) *)&c->weft__n[which];
}

static void count(struct server *s, enum counter which, uint64_t n)
{
	add_relaxed(counter(s->counters, which), n); /* statistics */
}

static void enter_state(struct server *s, enum weft_serve_state state)
{
	store_relaxed(counter(s->counters, STATE), (uint64_t)state); /* the same */
}

void weft_serve_stats(const weft_serve_counters *c, weft_serve_stat *out)
{
	out->state = (enum weft_serve_state)load_relaxed(counter(c, STATE)); /* the same, all of them */
	out->accepted = load_relaxed(counter(c, ACCEPTED));
	out->running = load_relaxed(counter(c, RUNNING));
	out->failed = load_relaxed(counter(c, FAILED));
	out->refused = load_relaxed(counter(c, REFUSED));
	out->canceled = load_relaxed(counter(c, CANCELED));
}

/* --- handling --- */

static void one_less(struct server *s)
{
	if (add_acq_rel(&s->live, (uint64_t)-1) == 1) /* the last one sees all */
		(void)weft_chan_close(s->idle);
}

static void conn_free(struct conn *cn)
{
	struct server *s = cn->s;

	lock_take(&s->lock, RANK_POOL);
	list_remove(&cn->link);
	lock_drop(&s->lock);
	(void)weft_tcp_close(cn->c);
	free(cn);
	if (s->o->max)
		weft_sema_release(&s->room, 1);
	one_less(s);
}

/* However the handler ends. */
static void conn_end(void *arg)
{
	struct conn *cn = arg;

	if (!cn->well)
		count(cn->s, FAILED, 1);
	count(cn->s, RUNNING, (uint64_t)-1);
	conn_free(cn);
}

static int handle(void *arg)
{
	struct conn *cn = arg;
	struct server *s = cn->s;
	int rc;

	WEFT_DEFER(conn_end, cn);
	lock_take(&s->lock, RANK_POOL);
	cn->task = weft_task_self();
	lock_drop(&s->lock);
	rc = s->fn(cn->c, s->arg);
	cn->well = rc >= 0;
	return rc < 0 ? rc : 0;
}

/* --- accepting --- */

struct refusal {
	struct server *s;
	weft_tcp *c;
	int why;
};

static int tell_refused(void *arg)
{
	struct refusal *r = arg;

	WEFT_WITH_SHIELD r->s->o->refused(r->c, r->why, r->s->arg);
	return 0;
}

/* c gets no handler; whose it is closes it. The task may be cancelled by now. */
static void refuse(struct server *s, weft_tcp *c, int why)
{
	struct refusal r = {s, c, why};
	weft_panic p;

	count(s, REFUSED, 1);
	if (s->o->refused && weft_task_try(tell_refused, &r, &p) == WEFT_EPANIC)
		weft__log("weft_tcp_serve: .refused panicked: %s (%s:%d)", p.message, p.file ? p.file : "?", p.line);
}

/* A handler for c, in the room that was taken for it. */
static void begin(struct server *s, struct conn *cn, weft_tcp *c)
{
	int rc;

	*cn = (struct conn){.s = s, .c = c, .since = clock_now()};
	count(s, RUNNING, 1);
	add_relaxed(&s->live, 1u); /* the server's own is there yet */
	lock_take(&s->lock, RANK_POOL);
	list_push_tail(&s->conns, &cn->link);
	lock_drop(&s->lock);
	rc = weft_group_trygo(&s->handlers, handle, cn);
	if (rc == 0)
		return;
	count(s, RUNNING, (uint64_t)-1);
	refuse(s, c, rc);
	conn_free(cn);
}

static int accept_one(struct acceptor *a)
{
	struct server *s = a->s;
	struct conn *cn = malloc(sizeof *cn);
	weft_tcp *c;
	int rc = cn ? weft_tcp_accept(a->l, &c) : WEFT_ENOMEM;

	if (rc) {
		free(cn);
		return rc;
	}
	count(s, ACCEPTED, 1);
	if (weft__serve_accepted)
		weft__serve_accepted((int)(a - s->acceptors));
	rc = s->o->max ? weft_sema_acquire(&s->room, 1) : 0;
	if (rc == 0) {
		begin(s, cn, c);
	} else {
		refuse(s, c, rc);
		(void)weft_tcp_close(c);
		free(cn);
	}
	return rc;
}

static int accepts(void *arg)
{
	struct acceptor *a = arg;
	int rc;

	do {
		rc = accept_one(a);
		/* Nobody tells when there is memory again. Who comes meanwhile waits in the kernel's queue. */
		if (rc == WEFT_ENOMEM && !weft_ctx_check())
			rc = weft_task_sleep(STARVED_NS);
	} while (rc == 0);
	if (rc == WEFT_ECLOSED || weft_ctx_check())
		return 0;
	(void)weft_ctx_cancel_cause(a->s->stop, WEFT_REASON_CANCELED, "a listener of the server has failed");
	return rc;
}

/* Starts a task for each listener, each on a worker of its own as far as there are enough. */
static int start_accepting(struct server *s)
{
	weft_stat st;
	int rc = weft_stats(&st);

	for (int i = 0; i < s->n && !rc; i++)
		rc = weft_go_opts(&s->acceptors[i].task, accepts, &s->acceptors[i],
				  &(weft_task_opts){.name = "weft_tcp_serve", .ctx = s->stop, .worker = i % st.workers + 1});
	return rc;
}

/* Waits until nobody accepts, and closes the listeners. Returns the first error. */
static int end_accepting(struct server *s)
{
	int rc = 0, ret;

	for (int i = 0; i < s->n; i++) {
		struct acceptor *a = &s->acceptors[i];

		ret = 0;
		if (a->task && weft_task_join(a->task, &ret)) { /* the caller is cancelled, it alone maybe */
			(void)weft_ctx_cancel(s->stop, WEFT_REASON_CANCELED);
			WEFT_WITH_SHIELD
			{
				if (weft_task_join(a->task, &ret)) /* a thread, and the runtime goes down */
					weft_task_detach(a->task);
			}
		}
		rc = rc ? rc : ret;
	}
	for (int i = 0; i < s->n; i++)
		(void)weft_tcp_listener_close(s->acceptors[i].l);
	return rc;
}

/* --- the end --- */

#define NAMED_MAX 32

/* Copies what there is to say under the lock, and says it without: standard error may be slow. Not a task's name: it may be changing it. */
static void name_stragglers(struct server *s)
{
	struct straggler {
		uint64_t id; /* 0: it has not begun */
		char fn[48];
		const char *reason;
		int64_t since;
	} found[NAMED_MAX];
	int64_t now = clock_now();
	int n = 0, more = 0;

	lock_take(&s->lock, RANK_POOL);
	for (struct list_node *at = list_first(&s->conns); at; at = list_after(&s->conns, at)) {
		struct conn *cn = container_of(at, struct conn, link);
		struct straggler *f = &found[n];

		if (n == NAMED_MAX) {
			more++;
			continue;
		}
		n++;
		*f = (struct straggler){.reason = "", .since = cn->since};
		if (!cn->task)
			continue;
		f->id = cn->task->id; /* constant, as the function is, as long as it is in the list */
		f->reason = weft_task_reason(cn->task);
		(void)weft__task_fn_name(cn->task, f->fn, sizeof f->fn);
	}
	lock_drop(&s->lock);
	for (int i = 0; i < n; i++) {
		char what[100] = "a task that has not begun";

		if (found[i].id)
			snprintf(what, sizeof what, "task %llu (%s), %s", (unsigned long long)found[i].id, found[i].fn, found[i].reason);
		weft__log("weft_tcp_serve waits for a handler that was cancelled: %s, for %lld ms by now", what,
			  (long long)((now - found[i].since) / MS));
	}
	if (more)
		weft__log("weft_tcp_serve waits for %d more handlers that were cancelled", more);
}

/* Until the last handler has returned. Returns 0, or WEFT_ETIMEDOUT: some had to be cancelled. */
static int drain(struct server *s)
{
	int64_t grace = s->o->grace ? s->o->grace : GRACE_DEFAULT, patience = s->o->patience ? s->o->patience : PATIENCE_DEFAULT;
	weft_ctx *again = weft_ctx_signal_again(s->stop) ? weft_ctx_signal_again(s->stop) : weft_ctx_signal_again(NULL);
	weft_case cases[] = {WEFT_RECV(s->idle, NULL), WEFT_DONE(again, NULL)};
	int rc = 0;

	enter_state(s, WEFT_SERVE_DRAINING);
	one_less(s);
	if (weft_chan_select_with(cases, 2, WEFT_SELECT_ORDERED, grace < 0 ? WEFT_NOW : weft_in(grace)) != 0) {
		rc = WEFT_ETIMEDOUT;
		enter_state(s, WEFT_SERVE_CANCELLING);
		count(s, CANCELED, load_relaxed(counter(s->counters, RUNNING))); /* statistics */
		(void)weft_ctx_cancel_cause(weft_group_ctx(&s->handlers), WEFT_REASON_CANCELED, "the server stops");
		if (weft_chan_recv_until(s->idle, NULL, weft_in(patience)) == WEFT_ETIMEDOUT)
			name_stragglers(s);
	}
	(void)weft_group_close(&s->handlers);
	enter_state(s, WEFT_SERVE_OVER);
	return rc;
}

static int check(weft_tcp_listener *const *l, int n, weft_serve_fn *fn, const weft_serve_opts *o)
{
	if (!l || n < 1 || n > LISTENERS_MAX || !fn || o->max < 0 || o->patience < 0)
		return WEFT_EINVAL;
	for (int i = 0; i < n; i++) {
		if (!l[i])
			return WEFT_EINVAL;
	}
	return 0;
}

static void stop_unref(void *stop)
{
	weft_ctx_free(stop);
}

/* The context that handlers run below: carries s->stop, and a reference to it. */
static weft_ctx *handlers_ctx(struct server *s)
{
	weft_ctx *bare = weft_ctx_without_cancel(s->o->ctx);
	weft_ctx *c = bare && s->stop ? weft_ctx_with_value(bare, &stop_key, weft_ctx_ref(s->stop), stop_unref) : NULL;

	if (!c && bare && s->stop)
		weft_ctx_free(s->stop); /* the value's reference */
	weft_ctx_free(bare);
	return c;
}

weft_ctx *weft_serve_drain_ctx(void)
{
	return weft_ctx_value(NULL, &stop_key);
}

/* Signals end s->stop, too. */
static int hear_signals(struct server *s)
{
	weft_ctx *heard;
	int rc = s->stop ? weft__ctx_on_bits(&heard, s->stop, SIG_BIT(SIGTERM) | SIG_BIT(SIGINT)) : WEFT_ENOMEM;

	if (rc)
		return rc;
	weft_ctx_free(s->stop); /* which the other holds */
	s->stop = heard;
	return 0;
}

/* What can fail before the first task starts. */
static int prepare(struct server *s, weft_tcp_listener *const *l, weft_ctx **values)
{
	int rc;

	s->stop = s->o->ctx ? weft_ctx_linked(s->o->ctx, NULL) : weft_ctx_make(NULL);
	rc = s->o->signals ? hear_signals(s) : 0;
	if (rc)
		return rc;
	*values = handlers_ctx(s);
	s->idle = weft_chan_make(1, 1);
	s->acceptors = calloc((size_t)s->n, sizeof *s->acceptors);
	if (!*values || !s->stop || !s->idle || !s->acceptors)
		return WEFT_ENOMEM;
	rc = weft_group_init(&s->handlers, &(weft_group_opts){.policy = WEFT_IGNORE, .ctx = *values});
	for (int i = 0; i < s->n; i++)
		s->acceptors[i] = (struct acceptor){.s = s, .l = l[i]};
	return rc;
}

static int run(struct server *s)
{
	weft_addr at;
	int rc, ended = 0;

	if (s->o->ready && weft_tcp_listener_addr(s->acceptors[0].l, &at) == 0)
		s->o->ready(&at, s->arg);
	enter_state(s, WEFT_SERVE_LISTENING);
	rc = start_accepting(s);
	if (rc)
		(void)weft_ctx_cancel(s->stop, WEFT_REASON_CANCELED);
	ended = end_accepting(s);
	rc = rc ? rc : ended;
	WEFT_WITH_SHIELD ended = drain(s);
	return rc ? rc : ended;
}

int weft_tcp_serve(weft_tcp_listener *const *l, int n, weft_serve_fn *fn, void *arg, const weft_serve_opts *o)
{
	static const weft_serve_opts none;
	weft_serve_counters own = {{0}};
	struct server s = {.fn = fn, .arg = arg, .o = o ? o : &none, .n = n};
	weft_ctx *values = NULL;
	int rc = check(l, n, fn, s.o);

	s.counters = s.o->counters ? s.o->counters : &own;
	store_relaxed(&s.live, (uint64_t)1); /* not shared yet */
	list_init(&s.conns);
	weft_sema_init(&s.room, s.o->max > 0 ? s.o->max : 0);
	if (!rc)
		rc = prepare(&s, l, &values);
	if (!rc) {
		rc = run(&s);
	} else {
		for (int i = 0; l && i < n && i < LISTENERS_MAX; i++)
			(void)weft_tcp_listener_close(l[i]);
	}
	free(s.acceptors);
	weft_chan_free(s.idle);
	weft_ctx_free(s.stop);
	weft_ctx_free(values);
	return rc;
}

/* --- listeners upon one port --- */

/* The system lets everybody of the same user share a port that is shared at all: whether somebody has it, only a listener that does not share it is told. */
static int port_is_free(const char *addr, const weft_listen_opts *o)
{
	weft_tcp_listener *probe;
	int rc = weft_tcp_listen(&probe, addr, o);

	return rc ? rc : weft_tcp_listener_close(probe);
}

static int open_all(weft_tcp_listener **l, int n, const char *addr, const weft_listen_opts *o)
{
	weft_listen_opts shared = *o;
	char text[WEFT_ADDR_TEXT];
	weft_addr at;
	int rc = n > 1 && !o->reuse_port ? port_is_free(addr, o) : 0, i;

	shared.reuse_port = o->reuse_port || n > 1;
	for (i = 0; i < n && !rc; i++) {
		rc = weft_tcp_listen(&l[i], i ? text : addr, &shared);
		if (i == 0 && !rc)
			rc = weft_tcp_listener_addr(l[0], &at); /* port 0 is the same for all */
		if (i == 0 && !rc && weft_addr_format(&at, text, sizeof text) < 0)
			rc = WEFT_EINVAL;
	}
	for (; rc && i > 0; i--)
		(void)weft_tcp_listener_close(l[i - 1]);
	return rc;
}

int weft_tcp_serve_addr(const char *addr, weft_serve_fn *fn, void *arg, const weft_serve_opts *o)
{
	static const weft_serve_opts none;
	weft_tcp_listener **l;
	weft_stat st;
	int n, rc = weft_stats(&st);

	o = o ? o : &none;
	if (rc)
		return rc;
	n = o->listeners ? o->listeners : st.workers;
	if (!addr || n < 1 || n > LISTENERS_MAX)
		return WEFT_EINVAL;
	l = calloc((size_t)n, sizeof(weft_tcp_listener *));
	if (!l)
		return WEFT_ENOMEM;
	rc = open_all(l, n, addr, &o->listen);
	if (!rc)
		rc = weft_tcp_serve(l, n, fn, arg, o);
	free(l);
	return rc;
}
