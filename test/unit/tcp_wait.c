/* SPDX-License-Identifier: MIT
 *
 * tcp_wait.c - the same questions to accept, dial, read and write, and to those of UDP: ready now, woken, late, cancelled, closed, each before and during, and all at once.
 *
 * As unit/blocking.c does, with what only descriptors know: a call looks at deadlines before it tries, and somebody else may close what it waits for.
 */
#include "net.h"
#include "questions.h"

#include "base/rand.h"
#include "weft/udp.h"
#include <pthread.h>

/* --- the same questions to every blocking call --- */

struct world {
	const struct op *op;
	weft_tcp_listener *l;
	char at[WEFT_ADDR_TEXT];
	weft_tcp *a, *b; /* the caller's end, and its peer */
	weft_tcp *out;   /* what the call gave */
	weft_task *caller;
	ATOMIC(int) gate, fire, done; /* the caller may make its call; the race may begin; a thread has returned */
	int64_t deadline, returned_at;
	int rc;    /* a thread's */
	bool seen; /* the byte that was written */
	int port, fds[4], n;
};

struct op {
	const char *name, *reason;
	void (*make)(struct world *w); /* a world in which the call has to wait */
	int (*call)(struct world *w, int64_t deadline);
	void (*ready)(struct world *w); /* from here on it need not */
	bool (*taken)(struct world *w); /* after ready: is that gone? */
	bool slow;                      /* ready is noticed only when the system tries again, a second later */
};

static void make_pair(struct world *w)
{
	pair_make(&w->a, &w->b);
}

static void make_full(struct world *w)
{
	pair_make(&w->a, &w->b);
	fill(w->a, number_of(w->b));
}

static void make_listener(struct world *w)
{
	/* clients may come when it is closed: the port must not be another program's by then */
	snprintf(w->at, sizeof w->at, "%s:0", own_host());
	w->l = listen_at(w->at, w->at);
	w->port = port_of(w->l);
}

static void make_full_listener(struct world *w)
{
	w->n = listen_full(&w->l, w->at, w->fds);
}

static int call_read(struct world *w, int64_t deadline)
{
	char x[2] = {0, 77};
	ssize_t n = weft_tcp_read_until(w->a, x, 1, deadline);

	T_EQ(x[1], 77);
	if (n < 0) {
		T_EQ(x[0], 0);
		return (int)n;
	}
	T_EQ(n, 1);
	T_EQ(x[0], 'x');
	return 0;
}

static int call_readv(struct world *w, int64_t deadline)
{
	char x[5] = {0};
	struct iovec v[3] = {{x, 0}, {x, 1}, {x + 1, 4}};
	ssize_t n = weft_tcp_readv_until(w->a, v, 3, deadline);

	T_EQ(x[1], 0);
	if (n < 0) {
		T_EQ(x[0], 0);
		return (int)n;
	}
	T_EQ(n, 1);
	T_EQ(x[0], 'x');
	return 0;
}

static int call_write(struct world *w, int64_t deadline)
{
	size_t done = 77;
	ssize_t n = weft_tcp_write_until(w->a, "w", 1, &done, deadline);

	T_EQ(done, n == 1);
	return n == 1 ? 0 : (int)n;
}

static int call_writev(struct world *w, int64_t deadline)
{
	struct iovec v[3] = {{NULL, 0}, {(void *)"w", 1}, {NULL, 0}};
	size_t done = 77;
	ssize_t n = weft_tcp_writev_until(w->a, v, 3, &done, deadline);

	T_EQ(done, n == 1);
	return n == 1 ? 0 : (int)n;
}

static int call_accept(struct world *w, int64_t deadline)
{
	int rc;

	w->out = (void *)1;
	rc = weft_tcp_accept_until(w->l, &w->out, deadline);
	T_EQ(w->out != NULL, rc == 0);
	return rc;
}

static int call_dial(struct world *w, int64_t deadline)
{
	int rc;

	w->out = (void *)1;
	rc = weft_tcp_dial_until(&w->out, w->at, deadline);
	T_EQ(w->out != NULL, rc == 0);
	return rc;
}

static void ready_byte(struct world *w)
{
	T_EQ(write(number_of(w->b), "x", 1), 1);
}

static bool taken_byte(struct world *w)
{
	return !holds(number_of(w->a), POLLIN);
}

/* Reads what is there; among the zeros that filled the connection there may be the byte that was written. */
static void look_for_it(struct world *w)
{
	char buf[16384];
	ssize_t n;

	while ((n = recv(number_of(w->b), buf, sizeof buf, MSG_DONTWAIT)) > 0)
		w->seen |= memchr(buf, 'w', (size_t)n) != NULL;
}

static void ready_room(struct world *w)
{
	do
		look_for_it(w);
	while (!holds(number_of(w->a), POLLOUT));
}

static bool taken_room(struct world *w)
{
	do
		look_for_it(w);
	while (not_taken(number_of(w->a)) > 0);
	look_for_it(w); /* it may have come in between */
	return w->seen;
}

/* The listener may be closed just now. */
static void ready_client(struct world *w)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)w->port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	T_GE(fd, 0);
	T_EQ(inet_pton(AF_INET, own_host(), &a.sin_addr), 1);
	(void)!connect(fd, (struct sockaddr *)&a, sizeof a);
	w->fds[w->n++] = fd;
}

static bool taken_client(struct world *w)
{
	return !holds(number_of(w->l), POLLIN);
}

static void ready_queue(struct world *w)
{
	int fd;

	while ((fd = accept4(number_of(w->l), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		close(fd);
}

static bool taken_queue(struct world *w)
{
	return holds(number_of(w->l), POLLIN); /* somebody has come */
}

/* --- UDP: the records are the same, and so are close, deadlines and the peer's plain calls --- */

static weft_tcp *udp_end(weft_addr *at)
{
	weft_udp *u;

	T_EQ(weft_udp_open(&u, "127.0.0.1:0", NULL), 0);
	T_EQ(weft_udp_local(u, at), 0);
	return (weft_tcp *)u;
}

static void make_udp(struct world *w)
{
	weft_addr a, b;

	w->a = udp_end(&a);
	w->b = udp_end(&b);
	T_EQ(weft_udp_connect((weft_udp *)w->a, &b), 0);
	T_EQ(weft_udp_connect((weft_udp *)w->b, &a), 0);
}

/* The loopback always has room. A datagram socket of another kind, in its place, has not. */
static void make_full_udp(struct world *w)
{
	static const char zeros[64];
	weft_addr any;
	int sv[2];

	w->a = udp_end(&any);
	w->b = udp_end(&any);
	T_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	T_EQ(dup3(sv[0], number_of(w->a), O_CLOEXEC), number_of(w->a));
	T_EQ(dup3(sv[1], number_of(w->b), O_CLOEXEC), number_of(w->b));
	close(sv[0]);
	close(sv[1]);
	while (send(number_of(w->a), zeros, sizeof zeros, MSG_DONTWAIT) > 0)
		;
}

static int call_udp_recv(struct world *w, int64_t deadline)
{
	char x[2] = {0, 77};
	size_t whole = 77;
	ssize_t n = weft_udp_recv_until((weft_udp *)w->a, x, 1, &whole, deadline);

	T_EQ(x[1], 77);
	T_EQ(whole, n < 0 ? 77 : 1);
	T_EQ(x[0], n < 0 ? 0 : 'x');
	return n < 0 ? (int)n : 0;
}

static int call_udp_recvfrom(struct world *w, int64_t deadline)
{
	char x[2] = {0, 77};
	weft_addr from;
	ssize_t n = weft_udp_recvfrom_until((weft_udp *)w->a, x, 1, &from, NULL, deadline);

	T_EQ(x[0], n < 0 ? 0 : 'x');
	return n < 0 ? (int)n : 0;
}

static int call_udp_recv_many(struct world *w, int64_t deadline)
{
	char x[3] = {0};
	struct iovec v[3] = {{x, 1}, {x + 1, 1}, {x + 2, 1}};
	weft_udp_msg m[3] = {{.iov = &v[0], .count = 1}, {.iov = &v[1], .count = 1}, {.iov = &v[2], .count = 1}};
	int n = weft_udp_recv_many_until((weft_udp *)w->a, m, 3, deadline);

	T_EQ(x[0], n < 0 ? 0 : 'x');
	T_EQ(x[1], 0);
	T_EQ(m[0].len, n > 0);
	return n < 0 ? n : 0;
}

static int call_udp_send(struct world *w, int64_t deadline)
{
	ssize_t n = weft_udp_send_until((weft_udp *)w->a, "w", 1, deadline);

	return n == 1 ? 0 : (int)n;
}

static int call_udp_sendto(struct world *w, int64_t deadline)
{
	ssize_t n = weft_udp_sendto_until((weft_udp *)w->a, "w", 1, NULL, deadline);

	return n == 1 ? 0 : (int)n;
}

static int call_udp_send_many(struct world *w, int64_t deadline)
{
	struct iovec v = {(void *)"w", 1};
	weft_udp_msg m[2] = {{.iov = &v, .count = 1}, {.iov = &v, .count = 1}};
	int n = weft_udp_send_many_until((weft_udp *)w->a, m, 2, deadline);

	return n < 0 ? n : 0;
}

static const struct op ops[] = {
	{"read", "read", make_pair, call_read, ready_byte, taken_byte, false},
	{"readv", "read", make_pair, call_readv, ready_byte, taken_byte, false},
	{"write", "write", make_full, call_write, ready_room, taken_room, false},
	{"writev", "write", make_full, call_writev, ready_room, taken_room, false},
	{"accept", "accept", make_listener, call_accept, ready_client, taken_client, false},
	{"dial", "dial", make_full_listener, call_dial, ready_queue, taken_queue, true},
	{"udp recv", "read", make_udp, call_udp_recv, ready_byte, taken_byte, false},
	{"udp recvfrom", "read", make_udp, call_udp_recvfrom, ready_byte, taken_byte, false},
	{"udp recv_many", "read", make_udp, call_udp_recv_many, ready_byte, taken_byte, false},
	{"udp send", "write", make_full_udp, call_udp_send, ready_room, taken_room, false},
	{"udp sendto", "write", make_full_udp, call_udp_sendto, ready_room, taken_room, false},
	{"udp send_many", "write", make_full_udp, call_udp_send_many, ready_room, taken_room, false},
};

static bool fills(const struct op *op)
{
	return op->ready == ready_room;
}

static void world_make(struct world *w, const struct op *op)
{
	memset(w, 0, sizeof *w);
	w->op = op;
	op->make(w);
}

static void world_end(struct world *w)
{
	T_EQ(weft_tcp_close(w->out), 0);
	T_EQ(weft_tcp_close(w->a), 0);
	T_EQ(weft_tcp_close(w->b), 0);
	T_EQ(weft_tcp_listener_close(w->l), 0);
	for (int i = 0; i < w->n; i++)
		close(w->fds[i]);
}

static int caller(void *arg)
{
	struct world *w = arg;
	int rc;

	until(load_acquire(&w->gate)); /* yielding is no cancellation point */
	rc = w->op->call(w, w->deadline);
	w->returned_at = weft_now();
	return rc;
}

static void caller_start(struct world *w, int64_t deadline, weft_ctx *c)
{
	w->deadline = deadline;
	store_relaxed(&w->gate, 0);
	T_EQ(weft_go_opts(&w->caller, caller, w, &(weft_task_opts){.name = "caller", .ctx = c}), 0);
}

static void open_gate(struct world *w)
{
	store_release(&w->gate, 1);
}

/* The same world once more: nothing has been swallowed by the call that ended in an error. */
static void once_more(struct world *w)
{
	if (w->op->slow)
		return;
	caller_start(w, weft_in(20 * WEFT_SEC), NULL);
	open_gate(w);
	until_reason(w->caller, w->op->reason);
	w->op->ready(w);
	T_EQ(finish(w->caller), 0);
}

/* It need not wait, and nobody takes anything yet: what travels over the loopback has come, however late that is. */
static void make_ready(struct world *w)
{
	w->op->ready(w);
	until(!w->op->taken(w));
}

/* After a call that took it. Who dials may be told before the listener is. */
static bool has_taken(struct world *w)
{
	if (w->op->slow)
		until(w->op->taken(w));
	return w->op->taken(w);
}

/* What has become of it after both. */
static void taken_if(struct world *w, bool woken)
{
	if (woken)
		T_OK(w->op->taken(w));
	else
		until(!w->op->taken(w));
}

#define QUESTION(q) QUESTION_TO(ops, run_net, q)

/* What it waits for is there: it returns 0 at once. */
static void ready_now(const struct op *op)
{
	const int64_t deadlines[] = {WEFT_FOREVER, weft_in(20 * WEFT_SEC), WEFT_NOW};

	for (size_t i = 0; i < ARRAY_LEN(deadlines); i++) {
		struct world w;
		int rc;

		world_make(&w, op);
		make_ready(&w);
		rc = op->call(&w, deadlines[i]);
		if (op->call == call_dial && deadlines[i] == WEFT_NOW)
			T_OK(rc == 0 || rc == WEFT_EAGAIN); /* it takes the peer's word to connect */
		else
			T_EQ(rc, 0);
		if (rc == 0)
			T_OK(has_taken(&w));
		world_end(&w);
	}
}
QUESTION(ready_now)

/* It waits, says for what, and goes on when it may. */
static void woken(const struct op *op)
{
	struct world w;

	world_make(&w, op);
	caller_start(&w, WEFT_FOREVER, NULL);
	open_gate(&w);
	until_reason(w.caller, op->reason);
	op->ready(&w);
	T_EQ(finish(w.caller), 0);
	T_OK(has_taken(&w));
	world_end(&w);
}
QUESTION(woken)

/* Nothing comes: it returns at its deadline, not before, and what comes later is not swallowed by it. */
static void late(const struct op *op)
{
	const int64_t ins[] = {2 * WEFT_MS, 100 * WEFT_US, 0, -WEFT_SEC};

	for (size_t i = 0; i < ARRAY_LEN(ins); i++) {
		struct world w;
		int64_t at = weft_now() + ins[i];

		world_make(&w, op);
		caller_start(&w, at, NULL);
		open_gate(&w);
		T_EQ(finish(w.caller), WEFT_ETIMEDOUT);
		T_GE(w.returned_at, at);
		once_more(&w);
		world_end(&w);
	}
}
QUESTION(late)

/* With WEFT_NOW it says that it would have to wait; with a time long past, however odd, that this has passed. */
static void never_waits(const struct op *op)
{
	const int64_t deadlines[] = {WEFT_NOW, 1, -1, INT64_MIN};

	for (size_t i = 0; i < ARRAY_LEN(deadlines); i++) {
		struct world w;

		world_make(&w, op);
		for (int k = 0; k < 3; k++)
			T_EQ(op->call(&w, deadlines[i]), deadlines[i] == WEFT_NOW ? WEFT_EAGAIN : WEFT_ETIMEDOUT);
		once_more(&w);
		world_end(&w);
	}
}
QUESTION(never_waits)

/* A deadline that has passed is looked at first: nothing is taken, even though all is ready. */
static void too_late_takes_nothing(const struct op *op)
{
	const int64_t deadlines[] = {weft_now(), weft_now() - WEFT_SEC, 1, -1, INT64_MIN};

	for (size_t i = 0; i < ARRAY_LEN(deadlines); i++) {
		struct world w;

		world_make(&w, op);
		make_ready(&w);
		T_EQ(op->call(&w, deadlines[i]), WEFT_ETIMEDOUT);
		T_OK(!op->taken(&w));
		world_end(&w);
	}
}
QUESTION(too_late_takes_nothing)

/* Cancelled before it calls: it takes nothing, even though all is ready. */
static void cancelled_before(const struct op *op)
{
	const int64_t deadlines[] = {WEFT_FOREVER, WEFT_NOW, weft_in(20 * WEFT_SEC)};

	for (int i = 0; i < 6; i++) {
		weft_ctx *c = weft_ctx_make(NULL);
		struct world w;

		world_make(&w, op);
		caller_start(&w, deadlines[i / 2], c);
		make_ready(&w);
		T_EQ(i % 2 ? weft_ctx_cancel(c, WEFT_REASON_CANCELED) : weft_task_cancel(w.caller), 0);
		open_gate(&w);
		T_EQ(finish(w.caller), WEFT_ECANCELED);
		T_OK(!op->taken(&w));
		world_end(&w);
		weft_ctx_free(c);
	}
}
QUESTION(cancelled_before)

/* Cancelled while it waits: it ends, and what comes later is not swallowed by it. */
static void cancelled_during(const struct op *op)
{
	for (int by_ctx = 0; by_ctx < 2; by_ctx++) {
		weft_ctx *c = weft_ctx_make(NULL);
		struct world w;

		world_make(&w, op);
		caller_start(&w, by_ctx ? WEFT_FOREVER : weft_in(20 * WEFT_SEC), c);
		open_gate(&w);
		until_reason(w.caller, op->reason);
		T_EQ(by_ctx ? weft_ctx_cancel(c, WEFT_REASON_USER) : weft_task_cancel(w.caller), 0);
		T_EQ(finish(w.caller), WEFT_ECANCELED);
		once_more(&w);
		world_end(&w);
		weft_ctx_free(c);
	}
}
QUESTION(cancelled_during)

/* The context's deadline bounds a call without one, and one with a later one; a context past its deadline lets nothing happen. */
static void context_deadline(const struct op *op)
{
	for (int how = 0; how < 4; how++) {
		bool past = how >= 2;
		int64_t at = past ? weft_now() : weft_in(2 * WEFT_MS);
		weft_ctx *c = weft_ctx_with_deadline(NULL, at);
		struct world w;

		world_make(&w, op);
		if (past)
			make_ready(&w);
		caller_start(&w, how % 2 ? weft_in(20 * WEFT_SEC) : WEFT_FOREVER, c);
		open_gate(&w);
		T_EQ(finish(w.caller), WEFT_ETIMEDOUT);
		T_GE(w.returned_at, at);
		if (past)
			T_OK(!op->taken(&w));
		else
			once_more(&w);
		world_end(&w);
		weft_ctx_free(c);
	}
}
QUESTION(context_deadline)

static void *caller_thread(void *arg)
{
	struct world *w = arg;

	w->rc = w->op->call(w, w->deadline);
	w->returned_at = weft_now();
	store_release(&w->done, 1);
	return NULL;
}

/* Threads that weft did not make wait like tasks. */
static void foreign_threads(const struct op *op)
{
	const int64_t ins[] = {WEFT_FOREVER, WEFT_NOW, 5 * WEFT_MS, -WEFT_SEC};

	for (size_t i = 0; i < ARRAY_LEN(ins); i++) {
		for (int ready = 0; ready < 2; ready++) {
			bool passes = ready ? ins[i] >= 0 : ins[i] == WEFT_FOREVER;
			struct world w;
			pthread_t th;

			if (op->slow && passes && (ins[i] == WEFT_NOW || !ready))
				continue;
			if (ready && ins[i] == 5 * WEFT_MS) /* could be late */
				continue;
			world_make(&w, op);
			if (ready)
				make_ready(&w);
			w.deadline = ins[i] == WEFT_FOREVER || ins[i] == WEFT_NOW ? ins[i] : weft_now() + ins[i];
			T_EQ(pthread_create(&th, NULL, caller_thread, &w), 0);
			if (!ready && passes) {
				weft_task_sleep(WEFT_MS); /* likely waiting by now; either order is legal */
				op->ready(&w);
			}
			until(load_acquire(&w.done)); /* not in pthread_join: somebody has to listen to the loop */
			pthread_join(th, NULL);
			T_EQ(w.rc, passes ? 0 : ins[i] == WEFT_NOW ? WEFT_EAGAIN : WEFT_ETIMEDOUT);
			if (w.rc == WEFT_ETIMEDOUT)
				T_GE(w.returned_at, w.deadline);
			if (ready)
				T_EQ(passes ? has_taken(&w) : op->taken(&w), passes);
			world_end(&w);
		}
	}
}
QUESTION(foreign_threads)

/* --- races --- */

static int do_cancel(void *arg)
{
	struct world *w = arg;

	until(load_acquire(&w->fire));
	weft_task_cancel(w->caller);
	return 0;
}

static int do_ready(void *arg)
{
	struct world *w = arg;

	until(load_acquire(&w->fire));
	w->op->ready(w);
	return 0;
}

static int do_close(void *arg)
{
	struct world *w = arg;

	until(load_acquire(&w->fire));
	T_EQ(w->l ? weft_tcp_listener_close(w->l) : weft_tcp_close(w->a), 0);
	return 0;
}

/* Two things happen to a call at the same instant: one of them did, and the world says the same as the call. */
static void race(const struct op *op, weft_task_fn *other, int error, long n)
{
	int outcomes[2] = {0, 0};

	if (op->slow)
		return;
	n = tap_iters(n);
	for (long i = 0; i < n; i++) {
		bool closes = other == do_close;
		weft_task *a, *b;
		struct world w;
		int rc;

		world_make(&w, op);
		if (closes && w.l) /* the caller's own reference */
			weft_tcp_listener_ref(w.l);
		else if (closes)
			weft_tcp_ref(w.a);
		caller_start(&w, i % 3 ? WEFT_FOREVER : weft_in(20 * WEFT_SEC), NULL);
		open_gate(&w);
		if (i % 4)
			until_parked(w.caller);
		a = start(i & 1 ? other : do_ready, &w);
		b = start(i & 1 ? do_ready : other, &w);
		if (i & 2) { /* both stand ready */
			weft_task_yield();
			weft_task_yield();
		}
		store_release(&w.fire, 1);
		rc = finish(w.caller);
		finish(a);
		finish(b);
		T_OK(rc == 0 || rc == error);
		outcomes[rc == 0]++;
		if (closes) {
			T_EQ(w.l ? weft_tcp_listener_close(w.l) : weft_tcp_close(w.a), WEFT_ECLOSED);
			w.l = NULL;
			w.a = NULL;
		} else {
			taken_if(&w, rc == 0);
		}
		world_end(&w);
	}
	tap_note("%d ended by the other, %d woken", outcomes[0], outcomes[1]);
}

/* Woken and cancelled. */
static void woken_or_cancelled(const struct op *op)
{
	race(op, do_cancel, WEFT_ECANCELED, fills(op) ? 40 : 300);
}
QUESTION(woken_or_cancelled)

/* Woken and closed: the byte or client may be lost with the connection, but not the caller. */
static void woken_or_closed(const struct op *op)
{
	if (!fills(op)) /* whose ready() needs the connection */
		race(op, do_close, WEFT_ECLOSED, 300);
}
QUESTION(woken_or_closed)

/* Woken just when its deadline passes. */
static void woken_or_late(const struct op *op)
{
	long n = tap_iters(fills(op) ? 30 : 200);
	int outcomes[2] = {0, 0};
	struct rng r;

	if (op->slow)
		return;
	rng_seed(&r, 3, 0);
	for (long i = 0; i < n; i++) {
		struct world w;
		int64_t at;
		int rc;

		world_make(&w, op);
		at = weft_now() + (int64_t)(20 + rng_below(&r, 60)) * WEFT_US;
		caller_start(&w, at, NULL);
		open_gate(&w);
		until(weft_now() >= at - 3 * WEFT_US || weft_task_stateof(w.caller) == WEFT_TASK_DONE);
		op->ready(&w);
		rc = finish(w.caller);
		T_OK(rc == 0 || rc == WEFT_ETIMEDOUT);
		taken_if(&w, rc == 0);
		if (rc)
			T_GE(w.returned_at, at);
		outcomes[rc == 0]++;
		world_end(&w);
	}
	tap_note("%d late, %d woken", outcomes[0], outcomes[1]);
}
QUESTION(woken_or_late)

/* --- close --- */

/* A third task closes: whoever waits gets WEFT_ECLOSED, though it has no reference of its own, and the descriptor is closed when close has returned. */
static void closed_during(const struct op *op)
{
	struct world w;
	size_t records;
	int number;

	if (op->slow) /* nobody else can have it yet */
		return;
	for (int refs = 0; refs < 2; refs++) {
		records = weft__fd_count();
		world_make(&w, op);
		caller_start(&w, refs ? WEFT_FOREVER : weft_in(20 * WEFT_SEC), NULL);
		open_gate(&w);
		until_reason(w.caller, op->reason);
		if (w.l) {
			number = number_of(w.l);
			if (refs)
				weft_tcp_listener_ref(w.l);
			T_EQ(weft_tcp_listener_close(w.l), 0);
		} else {
			number = number_of(w.a);
			if (refs)
				weft_tcp_ref(w.a);
			T_EQ(weft_tcp_close(w.a), 0);
		}
		T_OK(!is_open(number));
		T_EQ(finish(w.caller), WEFT_ECLOSED);
		if (refs) {
			for (int i = 0; i < 3; i++)
				T_EQ(op->call(&w, i == 0 ? WEFT_FOREVER : i == 1 ? WEFT_NOW : weft_in(WEFT_SEC)), WEFT_ECLOSED);
			T_EQ(w.l ? weft_tcp_listener_close(w.l) : weft_tcp_close(w.a), WEFT_ECLOSED);
		}
		w.l = NULL;
		w.a = NULL;
		world_end(&w);
		T_EQ(weft__fd_count(), records);
	}
}
QUESTION(closed_during)

struct closing {
	weft_tcp *c;
	int rc;
	ATOMIC(bool) over;
};

static void *closes_outside(void *arg)
{
	struct closing *k = arg;

	k->rc = weft_tcp_close(k->c);
	store_release(&k->over, true);
	return NULL;
}

/* By a thread that weft did not make. */
static int close_outside(weft_tcp *c)
{
	struct closing k = {.c = c};
	pthread_t th;

	T_EQ(pthread_create(&th, NULL, closes_outside, &k), 0);
	until(load_acquire(&k.over));
	pthread_join(th, NULL);
	return k.rc;
}

static int both_closed_main(void *arg)
{
	static const char big[100000];

	(void)arg;
	for (int foreign = 0; foreign < 2; foreign++) {
		struct writing w = {.buf = big, .n = sizeof big};
		struct reading r = {.rc = 77};
		weft_task *rt, *wt;
		size_t filled;
		weft_tcp *b;
		int number;

		pair_make(&r.c, &b);
		w.c = r.c;
		filled = fill(w.c, number_of(b));
		number = number_of(w.c);
		rt = start(reads_once, &r);
		wt = start(writes_once, &w);
		until_reason(rt, "read");
		until_reason(wt, "write");
		T_EQ(foreign ? close_outside(r.c) : weft_tcp_close(r.c), 0);
		T_OK(!is_open(number));
		T_EQ(finish(rt), 0);
		T_EQ(finish(wt), 0);
		T_EQ(r.rc, WEFT_ECLOSED);
		T_EQ(w.rc, WEFT_ECLOSED);
		for (ssize_t n = 1; n > 0; filled -= (size_t)n) /* what was written is still sent */
			T_GE(n = weft_tcp_read(b, (char[8192]){0}, 8192), 0);
		T_EQ(filled + w.done, 0);
		T_EQ(weft_tcp_close(b), 0);
	}
	return 0;
}

/* A reader and a writer wait; a third task or a foreign thread closes: both get WEFT_ECLOSED; what was written before arrives. */
TEST_WORKERS(close_ends_reader_and_writer)
{
	run_net(both_closed_main, NULL);
}

static int midway_main(void *arg)
{
	struct closing k = {.rc = 77};
	struct fd_op op;
	weft_tcp *b;
	pthread_t th;

	(void)arg;
	pair_make(&k.c, &b);
	fd_op_init(&op, record_of(k.c), POLL_WRITE, REASON_WRITE, WEFT_FOREVER);
	T_EQ(weft__fd_next(&op), 0);
	T_EQ(pthread_create(&th, NULL, closes_outside, &k), 0);
	until(load_acquire(&op.f->use) & FD_CLOSED);
	T_OK(is_open(number_of(k.c)));
	T_EQ(weft__fd_next(&op), WEFT_ECLOSED); /* though there is room for more */
	weft__fd_end(&op);
	until(load_acquire(&k.over));
	pthread_join(th, NULL);
	T_EQ(k.rc, 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* Closed between two system calls of a write that need not wait: it goes no further, and the close waits for one call, not for all. */
TEST_WORKERS(close_between_two_calls)
{
	run_net(midway_main, NULL);
}

static int last_in_line_main(void *arg)
{
	struct reading first, second;
	weft_task *t, *t2;
	weft_tcp *b;

	(void)arg;
	first = second = (struct reading){.rc = 77};
	pair_make(&first.c, &b);
	second.c = first.c;
	t = start(reads_once, &first);
	until_reason(t, "read");
	t2 = start(reads_once, &second);
	until_reason(t2, "read");
	weft_tcp_free(first.c); /* the one in the line has the last reference now */
	T_EQ(weft_task_cancel(t2), 0);
	T_EQ(finish(t2), 0);
	T_EQ(finish(t), 0);
	T_EQ(second.rc, WEFT_ECANCELED);
	T_EQ(first.rc, WEFT_ECLOSED);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* Cancelled in the line, with the last reference: it closes the connection, and is told why it ended. */
TEST_WORKERS(cancelled_with_the_last_reference)
{
	run_net(last_in_line_main, NULL);
}

static int use_after_close_main(void *arg)
{
	struct iovec v = {(char[1]){0}, 1};
	weft_tcp *a, *b, *mine;
	size_t done = 77;
	weft_addr addr;
	char x;

	(void)arg;
	pair_make(&a, &b);
	mine = weft_tcp_ref(a);
	T_EQ(mine == a, 1);
	write_all(b, "unread", 6);
	let_run();
	T_EQ(weft_tcp_close(a), 0);
	T_EQ(weft_tcp_read(mine, &x, 1), WEFT_ECLOSED);
	T_EQ(weft_tcp_read_until(mine, &x, 1, WEFT_NOW), WEFT_ECLOSED);
	T_EQ(weft_tcp_readv(mine, &v, 1), WEFT_ECLOSED);
	T_EQ(weft_tcp_write(mine, &x, 1, &done), WEFT_ECLOSED);
	T_EQ(done, 0);
	T_EQ(weft_tcp_writev(mine, &v, 1, &done), WEFT_ECLOSED);
	T_EQ(weft_tcp_set_deadline(mine, WEFT_FOREVER, WEFT_FOREVER), WEFT_ECLOSED);
	T_EQ(weft_tcp_shutdown(mine, SHUT_WR), WEFT_ECLOSED);
	T_EQ(weft_tcp_local(mine, &addr), WEFT_ECLOSED);
	T_EQ(weft_tcp_peer(mine, &addr), WEFT_ECLOSED);
	T_EQ(weft_tcp_nodelay(mine, true), WEFT_ECLOSED);
	T_EQ(weft_tcp_keepalive(mine, WEFT_SEC), WEFT_ECLOSED);
	T_EQ(weft_tcp_ref(mine) == mine, 1);
	T_EQ(weft_tcp_close(mine), WEFT_ECLOSED);
	T_EQ(weft_tcp_close(mine), WEFT_ECLOSED);
	T_EQ(weft_tcp_close(b), 0);
	T_EQ(weft_tcp_close(NULL), 0);
	return 0;
}

/* Who has a reference of his own is told that it is closed, by every call. */
TEST_WORKERS(use_after_close)
{
	run_net(use_after_close_main, NULL);
}

static int too_many_main(void *arg)
{
	weft_tcp *a, *b;

	(void)arg;
	pair_make(&a, &b);
	for (int i = 1; i < 20000; i++)
		weft_tcp_ref(a);
	for (int i = 1; i < 20000; i++)
		T_EQ(weft_tcp_close(a) == (i == 1 ? 0 : WEFT_ECLOSED), 1);
	T_EQ(weft_tcp_close(a), WEFT_ECLOSED);
	add_relaxed(&record_of(b)->use, (UINT32_MAX - 1) * FD_REF); /* as if they had been made one by one */
	weft_tcp_ref(b);
	return 0;
}

/* There is room for four thousand million references; one more is said to be a mistake. */
TEST_DIES(too_many_references, "a connection has more than 4294967295 references")
{
	run_net(too_many_main, NULL);
}

struct storm {
	weft_tcp *a, *b;
	ATOMIC(long) bytes;
};

static int storm_reads(void *arg)
{
	struct storm *s = arg;
	char buf[100];
	ssize_t n;

	while ((n = weft_tcp_read(s->a, buf, sizeof buf)) > 0)
		add_relaxed(&s->bytes, n);
	T_EQ(weft_tcp_close(s->a), WEFT_ECLOSED);
	return (int)n;
}

static int storm_writes(void *arg)
{
	struct storm *s = arg;
	ssize_t n;

	while ((n = weft_tcp_write(s->a, "0123456789abcdefghijklmnopqrstuvwxyz", 36, NULL)) > 0)
		weft_task_yield();
	T_EQ(weft_tcp_close(s->a), WEFT_ECLOSED);
	return (int)n;
}

static int storm_looks(void *arg)
{
	struct storm *s = arg;
	weft_addr a;
	int rc;

	while ((rc = weft_tcp_local(s->a, &a)) == 0 && (rc = weft_tcp_nodelay(s->a, true)) == 0 &&
	       (rc = weft_tcp_set_deadline(s->a, weft_in(WEFT_SEC * 20), WEFT_FOREVER)) == 0)
		weft_task_yield();
	T_EQ(weft_tcp_close(s->a), WEFT_ECLOSED);
	return rc;
}

static int storm_echoes(void *arg)
{
	struct storm *s = arg;
	char buf[1000];
	ssize_t n;

	while ((n = weft_tcp_read(s->b, buf, sizeof buf)) > 0 && weft_tcp_write(s->b, buf, (size_t)n, NULL) > 0)
		;
	return (int)n;
}

static int storm_main(void *arg)
{
	weft_task_fn *const kinds[] = {storm_reads, storm_writes, storm_looks, storm_reads, storm_writes};
	enum { TASKS = ARRAY_LEN(kinds) };
	long n = tap_iters(60);
	struct rng r;

	(void)arg;
	rng_seed(&r, 7, 0);
	for (long i = 0; i < n; i++) {
		struct storm s = {.bytes = 0};
		weft_task *t[TASKS], *echo;
		long enough = (long)rng_below(&r, 2000);
		int number, sv[2];
		char buf[8];

		pair_make(&s.a, &s.b);
		number = number_of(s.a);
		for (int k = 0; k < TASKS; k++) {
			weft_tcp_ref(s.a);
			t[k] = start(kinds[k], &s);
		}
		echo = start(storm_echoes, &s);
		until(load_relaxed(&s.bytes) >= enough);
		T_EQ(weft_tcp_close(s.a), 0);
		T_OK(!is_open(number));
		T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
		if (sv[0] != number && sv[1] != number) /* the number is another's now */
			T_EQ(dup3(sv[0], number, O_CLOEXEC), number);
		T_EQ(write(sv[0], "x", 1), 1);
		T_EQ(write(sv[1], "y", 1), 1);
		for (int k = 0; k < TASKS; k++)
			T_EQ(finish(t[k]), WEFT_ECLOSED);
		finish(echo);                          /* an end, or a reset */
		T_EQ(read(sv[1], buf, sizeof buf), 1); /* nobody has read from it or written to it */
		T_EQ(read(sv[0], buf, sizeof buf), 1);
		close(number);
		close(sv[0]);
		close(sv[1]);
		T_EQ(weft_tcp_close(s.b), 0);
	}
	return 0;
}

/* Closed in the middle of everything: all end, and no call that was under way touches the file that gets the number next. */
TEST_WORKERS(close_in_the_middle)
{
	run_net(storm_main, NULL);
}

struct heir {
	weft_tcp_listener *l;
	weft_tcp *c, *next;
	struct reading second;
};

static int first_of_two(void *arg)
{
	struct heir *h = arg;
	char x;

	T_EQ(weft_tcp_read(h->c, &x, 1), 1);
	T_EQ(weft_tcp_close(h->c), 0); /* the second waits for its turn just now, or has just been given it */
	T_EQ(weft_tcp_accept(h->l, &h->next), 0);
	return 0;
}

static int heir_main(void *arg)
{
	struct heir h = {.l = listen_at("127.0.0.1:0", NULL)};
	int raw = raw_dial(h.l), raw2;
	weft_task *t, *t2;
	char x = 0;

	(void)arg;
	h.c = accept_from(h.l);
	t = start(first_of_two, &h);
	until_reason(t, "read");
	h.second.c = h.c;
	t2 = start(reads_once, &h.second);
	until_reason(t2, "read");
	raw2 = raw_dial(h.l);
	T_EQ(write(raw2, "z", 1), 1);
	T_EQ(write(raw, "a", 1), 1);
	T_EQ(finish(t), 0);
	T_EQ(finish(t2), 0);
	T_EQ(h.second.rc, WEFT_ECLOSED);
	T_EQ(weft_tcp_read_until(h.next, &x, 1, weft_in(5 * WEFT_SEC)), 1); /* its byte has not gone to somebody else */
	T_EQ(x, 'z');
	T_EQ(weft_tcp_close(h.next), 0);
	T_EQ(weft_tcp_listener_close(h.l), 0);
	close(raw);
	close(raw2);
	return 0;
}

/* Who waits for its turn, without a reference of its own, when the last reference is closed, learns of that, and gets nothing of the next connection. */
TEST_WORKERS(close_while_in_the_line)
{
	run_net(heir_main, NULL);
}
