/* SPDX-License-Identifier: MIT
 *
 * nthfail.c - the n-th call for memory, mappings or descriptors, or of a socket's, fails, for all n: on the way to a runtime, a task, a timer, a channel,
 * a context, a select of 100 cases, a listener, a connection, and to reads, writes and waits that have to wait.  An error comes back (or a task waits for
 * its stack and runs later, and accept for a descriptor), and nothing is left.
 */
#include "net.h"

#include "failpoint.h"
#include <stdlib.h>

static int returns_five(void *arg)
{
	(void)arg;
	return 5;
}

static bool is_shortage(int rc)
{
	return rc == WEFT_ENOMEM || rc == WEFT_EMFILE || rc == WEFT_EAGAIN || rc == -ENOBUFS;
}

/* Things the process makes once and keeps, so that they do not count as left. */
static void run_twice(void)
{
	for (int i = 0; i < 2; i++)
		T_EQ(run_with(returns_five, NULL, (weft_opts){.workers = 0}), 5);
}

/* --- the runtime --- */

static void bring_up(bool all, bool warm)
{
	int refused = 0;

	for (long n = 1;; n++) {
		bool fired;
		int rc, fds = rt_fds();

		if (all)
			failpoint_arm_all(n);
		else
			failpoint_arm(n);
		rc = weft_run(returns_five, NULL, &(weft_opts){.workers = tap_workers()});
		fired = failpoint_fired();
		failpoint_disarm();
		if (rc != 5 && !is_shortage(rc))
			T_FAIL("call %ld (%s): %d", n, failpoint_name(), rc);
		refused += rc != 5;
		nothing_left();
		if (warm && rt_fds() != fds)
			T_FAIL("call %ld (%s): %d descriptors, before %d", n, failpoint_name(), rt_fds(), fds);
		if (!fired)
			break;
		T_LT(n, 2000);
	}
	T_GT(refused, 0);
	T_EQ(run_with(returns_five, NULL, (weft_opts){.workers = 0}), 5);
}

/* The first start of a runtime in a process, which makes what stays. */
TEST_WORKERS(first_runtime)
{
	bring_up(false, false);
}

TEST_WORKERS(any_runtime)
{
	run_twice();
	bring_up(false, true);
}

/* From the n-th call on all fail: also the second try and the fallback. */
TEST_WORKERS(runtime_all_fail)
{
	run_twice();
	bring_up(true, true);
}

/* --- what a running program makes --- */

enum { CASES = 100 };

struct thing {
	const char *name;
	int (*make)(void); /* makes and unmakes one; 0 or an error */
};

static int make_task(void)
{
	weft_task *t;
	int ret = 0, rc = weft_go_opts(&t, returns_five, NULL, NULL);

	if (rc) {
		T_EQ(t, NULL);
		return rc;
	}
	T_EQ(weft_task_join(t, &ret), 0); /* it may have waited for a stack */
	T_EQ(ret, 5);
	return 0;
}

static int make_fancy_task(void)
{
	weft_task *t;
	int ret = 0, rc = weft_go_opts(&t, returns_five, NULL, &(weft_task_opts){.name = "fancy", .stack = 1 << 20, .now = true});

	if (rc) {
		T_EQ(t, NULL);
		return rc;
	}
	T_EQ(weft_task_join(t, &ret), 0);
	T_EQ(ret, 5);
	return 0;
}

static ATOMIC(int) ended;

static void ends(void)
{
	add_relaxed(&ended, 1);
}

static int make_detached(void)
{
	int rc, before = load_relaxed(&ended);

	rc = weft_go(ends);
	if (!rc)
		until(load_relaxed(&ended) == before + 1);
	return rc;
}

static int make_crowd(void)
{
	enum { CROWD = 300 }; /* more than caches and a slab hold */
	int rc = 0, started = 0, before = load_relaxed(&ended);

	while (started < CROWD && !rc) {
		rc = weft_go(ends);
		started += !rc;
	}
	until(load_relaxed(&ended) == before + started);
	return rc;
}

static int sleeper_task(void *arg)
{
	(void)arg;
	return weft_task_sleep(10 * WEFT_US);
}

static int make_sleepers(void)
{
	weft_task *t[50];
	int rc = 0, n = 0;

	while (n < 50 && !rc) {
		rc = weft_go_opts(&t[n], sleeper_task, NULL, NULL);
		n += !rc;
	}
	while (n > 0)
		T_EQ(finish(t[--n]), 0);
	return rc;
}

static int make_chan(void)
{
	weft_chan *c = weft_chan_make(100, 1000);

	if (!c)
		return WEFT_ENOMEM;
	weft_chan_free(c);
	return 0;
}

static int make_ctx(void)
{
	weft_ctx *a = weft_ctx_make(NULL), *b = a ? weft_ctx_with_deadline(a, weft_in(WEFT_SEC)) : NULL;
	weft_task *t;
	int rc = a && b ? 0 : WEFT_ENOMEM;

	if (!rc && (rc = weft_go_opts(&t, returns_five, NULL, &(weft_task_opts){.ctx = b})) == 0)
		T_EQ(finish(t), 5);
	weft_ctx_free(a);
	weft_ctx_free(b);
	return rc;
}

static int make_timer(void)
{
	weft_timer *t = weft_timer_make(0);

	if (!t)
		return WEFT_ENOMEM;
	T_EQ(weft_chan_recv(weft_timer_chan(t), NULL), 0);
	weft_timer_free(t);
	t = weft_ticker_make(WEFT_SEC);
	if (!t)
		return WEFT_ENOMEM;
	weft_timer_free(t);
	return 0;
}

static void ran_after(void *arg)
{
	add_relaxed((ATOMIC(int) *)arg, 1);
}

static int make_after(void)
{
	int before = load_relaxed(&ended);
	weft_timer *t = weft_timer_after(0, ran_after, &ended);
	int rc;

	if (!t)
		return WEFT_ENOMEM;
	until(load_relaxed(&ended) == before + 1);
	rc = weft_timer_reset(t, 0);
	if (rc >= 0)
		until(load_relaxed(&ended) == before + 2);
	weft_timer_free(t);
	return rc < 0 ? rc : 0;
}

static int make_select(void)
{
	weft_case cases[CASES];
	weft_chan *c = weft_chan_make(1, 1);
	int rc;

	if (!c)
		return WEFT_ENOMEM;
	for (int i = 0; i < CASES; i++)
		cases[i] = WEFT_RECV(c, NULL);
	rc = weft_chan_select_until(cases, CASES, WEFT_NOW);
	if (rc == WEFT_EAGAIN) {
		T_EQ(weft_chan_trysend(c, "x"), 0);
		rc = weft_chan_select(cases, CASES);
		if (rc == WEFT_ENOMEM)
			T_EQ(weft_chan_len(c), 1); /* nothing was taken */
	}
	weft_chan_free(c);
	return rc < 0 ? rc : 0;
}

static int make_name(void)
{
	return weft_task_name("another name");
}

static const struct thing things[] = {
	{"task", make_task},
	{"fancy task", make_fancy_task},
	{"detached task", make_detached},
	{"many tasks", make_crowd},
	{"sleepers", make_sleepers},
	{"channel", make_chan},
	{"context", make_ctx},
	{"timer", make_timer},
	{"timer_after", make_after},
	{"select of 100", make_select},
	{"name", make_name},
};

/* Fails the n-th call, for all n. */
static void fail_each(const struct thing *t)
{
	int refused = 0;
	long n;

	for (n = 1;; n++) {
		size_t records = weft__fd_count();
		int fds = rt_fds(), rc;
		bool fired;

		weft_trim(); /* caches of others aside, all is to be asked for again */
		failpoint_arm(n);
		rc = t->make();
		fired = failpoint_fired();
		failpoint_disarm();
		if (rc && !is_shortage(rc))
			T_FAIL("%s, call %ld (%s): %d", t->name, n, failpoint_name(), rc);
		if (rc && !fired)
			T_FAIL("%s refused although no call failed: %d", t->name, rc);
		if (rt_fds() != fds || weft__fd_count() != records)
			T_FAIL("%s, call %ld (%s): %d descriptors, before %d; %zu records, before %zu", t->name, n, failpoint_name(),
			       rt_fds(), fds, weft__fd_count(), records);
		refused += rc != 0;
		T_EQ(t->make(), 0); /* it works again */
		if (!fired)
			break;
		T_LT(n, 2000);
	}
	tap_note("%s: %ld calls, %d refused", t->name, n - 1, refused);
}

/* A worker that cannot have its alternate stack takes the runtime down: first_runtime's question, nobody else's. */
static void until_all_workers_run(void)
{
	for (unsigned i = 0; i < weft__rt->n; i++)
		until(load_relaxed(&weft__rt->workers[i].tid) != 0); /* its last step */
}

static int things_main(void *arg)
{
	(void)arg;
	until_all_workers_run();
	for (size_t i = 0; i < ARRAY_LEN(things); i++)
		fail_each(&things[i]);
	return 0;
}

/* In a running runtime: what is refused says so, what was promised comes, and the next try works. */
TEST_WORKERS(things_of_a_program)
{
	tap_limit(60);
	run(things_main, NULL);
}

/* --- sockets --- */

static int make_listener(void)
{
	weft_tcp_listener *l;
	int rc = weft_tcp_listen(&l, "127.0.0.1:0", &(weft_listen_opts){.reuse_port = true});

	if (rc) {
		T_EQ(l, NULL);
		return rc;
	}
	return weft_tcp_listener_close(l);
}

static int make_any_listener(void)
{
	weft_tcp_listener *l;
	int rc = weft_tcp_listen(&l, ":0", NULL);

	if (rc) {
		T_EQ(l, NULL);
		return rc;
	}
	return weft_tcp_listener_close(l);
}

/* Two ends of a connection, or neither. */
static int try_pair(weft_tcp **a, weft_tcp **b)
{
	char at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l;
	weft_addr addr;
	int rc;

	*a = *b = NULL;
	rc = weft_tcp_listen(&l, "127.0.0.1:0", NULL);
	if (rc)
		return rc;
	rc = weft_tcp_listener_addr(l, &addr);
	if (!rc) {
		T_GT(weft_addr_format(&addr, at, sizeof at), 0);
		rc = weft_tcp_dial(a, at);
		T_EQ(*a != NULL, rc == 0);
	}
	if (!rc) {
		rc = weft_tcp_accept(l, b);
		T_EQ(*b != NULL, rc == 0);
	}
	if (rc) {
		weft_tcp_close(*a);
		*a = NULL;
	}
	T_EQ(weft_tcp_listener_close(l), 0);
	return rc;
}

static int make_connection(void)
{
	weft_tcp *a, *b;
	int rc = try_pair(&a, &b);

	if (rc)
		return rc;
	rc = weft_tcp_nodelay(a, false);
	if (!rc)
		rc = weft_tcp_keepalive(a, WEFT_SEC);
	if (!rc)
		rc = weft_tcp_local(a, &(weft_addr){.sa.sa_family = 0});
	if (!rc)
		rc = weft_tcp_peer(a, &(weft_addr){.sa.sa_family = 0});
	weft_tcp_close(a);
	weft_tcp_close(b);
	return rc;
}

static weft_tcp *peer_of; /* the helpers' end */
static bool vectored;

/* Sends a byte once the other end waits for it; if that fails there is an end to be read. */
static int sends_later(void *arg)
{
	ssize_t n;

	until_reason(arg, "read");
	n = vectored ? weft_tcp_writev(peer_of, (struct iovec[]){{(void *)"a", 1}, {(void *)"b", 1}}, 2, NULL)
		     : weft_tcp_write(peer_of, "ab", 2, NULL);
	if (n < 0)
		T_EQ(weft_tcp_shutdown(peer_of, SHUT_WR), 0);
	return n < 0 ? (int)n : 0;
}

static int make_read(void)
{
	weft_tcp *a;
	weft_task *t;
	char buf[2];
	ssize_t n = 0;
	int rc = try_pair(&a, &peer_of), sent;

	if (rc)
		return rc;
	rc = weft_go_opts(&t, sends_later, weft_task_self(), NULL);
	if (!rc) {
		n = vectored ? weft_tcp_readv(a, (struct iovec[]){{buf, 1}, {buf + 1, 1}}, 2) : weft_tcp_read(a, buf, 2);
		if (n < 0) /* the helper waits for us to wait */
			T_EQ(weft_tcp_read(a, buf, 2), 2);
		sent = finish(t);
		rc = n < 0 ? (int)n : sent;
		T_OK(n < 0 || n == (sent ? 0 : 2));
	}
	weft_tcp_close(a);
	weft_tcp_close(peer_of);
	return rc;
}

static int make_readv(void)
{
	int rc;

	vectored = true;
	rc = make_read();
	vectored = false;
	return rc;
}

enum { MUCH = 8 << 20 };

/* Reads it all once the other end cannot go on; if that fails, closes: to shut it down would leave the writer waiting for room. */
static int reads_later(void *arg)
{
	static char buf[1 << 20]; /* few calls, each of which is failed */
	long left = MUCH;
	ssize_t n = 1;

	until_reason(arg, "write");
	while (left > 0 && (n = weft_tcp_read(peer_of, buf, sizeof buf)) > 0)
		left -= n;
	if (n < 0)
		T_EQ(weft_tcp_close(weft_tcp_ref(peer_of)), 0);
	return n < 0 ? (int)n : 0;
}

static int make_write(void)
{
	static const char much[MUCH];
	weft_tcp *a;
	weft_task *t;
	size_t done;
	ssize_t n;
	int rc = try_pair(&a, &peer_of), got;

	if (rc)
		return rc;
	rc = weft_go_opts(&t, reads_later, weft_task_self(), NULL);
	if (!rc) {
		n = weft_tcp_write(a, much, MUCH, &done);
		if (n == -ENOBUFS || n == WEFT_ENOMEM) { /* ours: the helper waits for us to wait */
			T_LT(done, MUCH);
			T_EQ(weft_tcp_write(a, much, MUCH - done, NULL), (ssize_t)(MUCH - done));
		}
		got = finish(t);
		rc = n == -ENOBUFS || n == WEFT_ENOMEM ? (int)n : got;
		T_OK(rc || n == MUCH);
	}
	weft_tcp_close(a);
	weft_tcp_close(peer_of);
	return rc;
}

static int pipe_of[2];

static int puts_later(void *arg)
{
	until_reason(arg, "io");
	T_EQ(write(pipe_of[1], "x", 1), 1);
	return 0;
}

static int make_io_wait(void)
{
	weft_task *t;
	int rc, got;

	T_EQ(pipe(pipe_of), 0);
	rc = weft_go_opts(&t, puts_later, weft_task_self(), NULL);
	if (!rc) {
		got = weft_io_wait(pipe_of[0], WEFT_IO_R);
		if (got < 0) /* the helper waits for us to wait */
			T_EQ(weft_io_wait(pipe_of[0], WEFT_IO_R), WEFT_IO_R);
		T_EQ(finish(t), 0);
		T_EQ(weft_io_forget(pipe_of[0]), 0);
		rc = got < 0 ? got : 0;
		T_OK(rc || got == WEFT_IO_R);
	}
	close(pipe_of[0]);
	close(pipe_of[1]);
	return rc;
}

static const struct thing net_things[] = {
	{"listener", make_listener},      {"listener on any address", make_any_listener},
	{"connection", make_connection},  {"read that waits", make_read},
	{"readv that waits", make_readv}, {"write that waits", make_write},
	{"io_wait", make_io_wait},
};

static int net_things_main(void *arg)
{
	(void)arg;
	until_all_workers_run();
	for (size_t i = 0; i < ARRAY_LEN(net_things); i++)
		fail_each(&net_things[i]);
	return 0;
}

/* The same of sockets. */
TEST_WORKERS(things_of_the_net)
{
	tap_limit(60);
	run_net(net_things_main, NULL);
}

static int all_fail_main(void *arg)
{
	char at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l = listen_at("127.0.0.1:0", at), *l2;
	int port = port_of(l), waits = 0;
	weft_tcp *a, *b;

	(void)arg;
	until_all_workers_run();
	snprintf(at, sizeof at, "localhost:%d", port);
	for (long n = 1;; n++) {
		int fds = rt_fds(), dialled, accepted, listened, records = (int)weft__fd_count();
		bool fired;

		failpoint_arm_all(n);
		listened = weft_tcp_listen(&l2, ":0", NULL);
		dialled = weft_tcp_dial_until(&a, at, weft_in(20 * WEFT_SEC));
		accepted = weft_tcp_accept_until(l, &b, weft_in(10 * WEFT_MS));
		fired = failpoint_fired();
		failpoint_disarm();
		if ((listened && !is_shortage(listened)) || (dialled && !is_shortage(dialled)))
			T_FAIL("call %ld (%s): listen %d, dial %d", n, failpoint_name(), listened, dialled);
		T_OK(accepted == 0 || accepted == WEFT_ETIMEDOUT || is_shortage(accepted));
		waits += accepted == WEFT_ETIMEDOUT;
		if (accepted && weft_tcp_accept_until(l, &b, WEFT_NOW) == 0) /* nobody is lost */
			accepted = 0;
		T_OK(dialled || !accepted);
		weft_tcp_listener_close(l2);
		weft_tcp_close(a);
		weft_tcp_close(b);
		while (weft_tcp_accept_until(l, &b, WEFT_NOW) == 0)
			weft_tcp_close(b);
		T_EQ(rt_fds(), fds);
		T_EQ(weft__fd_count(), records);
		if (!fired)
			break;
		T_LT(n, 2000);
	}
	T_GT(waits, 0);
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* From the n-th call on all fail: also the other address of a name, and the next try of accept. */
TEST_WORKERS(net_all_fail)
{
	run_net(all_fail_main, NULL);
}

/* From outside, without a runtime: a thread's own record, channels, contexts. */
TEST(foreign_record)
{
	weft_chan *c = weft_chan_make(1, 0);
	int refused = 0;

	for (long n = 1;; n++) {
		bool fired;
		int rc;

		failpoint_arm(n);
		rc = weft_chan_recv_until(c, NULL, WEFT_NOW);
		fired = failpoint_fired();
		failpoint_disarm();
		T_OK(rc == WEFT_EAGAIN || rc == WEFT_ENOMEM);
		refused += rc == WEFT_ENOMEM;
		if (!fired)
			break;
	}
	T_GT(refused, 0);
	T_EQ(weft_chan_recv_until(c, NULL, WEFT_NOW), WEFT_EAGAIN);
	weft_chan_free(c);
	nothing_left();
}
