/* SPDX-License-Identifier: MIT
 *
 * serve.c - servers: who gets which connection, and how they stop: in order, in time, by force.
 */
#include "failpoint.h"
#include "net.h"

#include "serve/serve.h"
#include "weft/defer.h"
#include "weft/scope.h"
#include "weft/signal.h"
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void run_serve_with(weft_task_fn *fn, void *arg, weft_opts o)
{
	weft_chan *c = weft_chan_make(sizeof(int), 1); /* the first signal takes a descriptor for good */

	T_OK(signal(SIGINT, SIG_DFL) != SIG_ERR &&
	     signal(SIGTERM, SIG_DFL) != SIG_ERR); /* a shell has the first ignored by what it runs in the background */
	T_EQ(weft_signal_notify(c, SIGUSR1), 0);
	T_EQ(weft_signal_stop(c), 0);
	weft_chan_free(c);
	T_EQ(run_with(fn, arg, o), 0);
}

static void run_serve(weft_task_fn *fn, void *arg)
{
	run_serve_with(fn, arg, (weft_opts){.workers = 0});
}

/* A server in a task of its own. */
struct served {
	weft_serve_opts o;
	weft_serve_counters counters;
	weft_serve_fn *fn;
	weft_tcp_listener *l[4];
	int n; /* of those; 0: an address */
	char at[WEFT_ADDR_TEXT];
	ATOMIC(bool) up;
	ATOMIC(bool) over;
	ATOMIC(long) begun; /* handlers */
	ATOMIC(long) on[16];
	weft_chan *c;
	weft_task *task;
	weft_task *handler; /* valid when begun is 1 */
	ATOMIC(int) why;    /* of the one connection refused */
};

static void is_up(const weft_addr *at, void *arg)
{
	struct served *s = arg;

	T_GT(weft_addr_format(at, s->at, sizeof s->at), 0);
	store_release(&s->up, true); /* pairs with load_acquire in serve */
}

static int serves(void *arg)
{
	struct served *s = arg;

	return s->n ? weft_tcp_serve(s->l, s->n, s->fn, s, &s->o) : weft_tcp_serve_addr("127.0.0.1:0", s->fn, s, &s->o);
}

static void serve(struct served *s)
{
	s->o.ready = is_up;
	s->o.counters = &s->counters;
	s->task = start(serves, s);
	until(load_acquire(&s->up)); /* pairs with store_release in is_up */
}

static weft_serve_stat stat_of(struct served *s)
{
	weft_serve_stat st;

	weft_serve_stats(&s->counters, &st);
	return st;
}

static weft_tcp *dial(struct served *s)
{
	weft_tcp *c;

	T_EQ(weft_tcp_dial(&c, s->at), 0);
	return c;
}

/* Sends a byte back for each that comes. */
static int echoes(weft_tcp *c, void *arg)
{
	struct served *s = arg;
	char b;

	add_relaxed(&s->begun, 1);
	while (weft_tcp_read(c, &b, 1) == 1) {
		if (weft_tcp_write(c, &b, 1, NULL) != 1)
			return -1;
	}
	return weft_ctx_check();
}

static void round_trip(weft_tcp *c)
{
	char b = 'x';

	T_EQ(weft_tcp_write(c, "y", 1, NULL), 1);
	T_EQ(weft_tcp_read(c, &b, 1), 1);
	T_EQ(b, 'y');
}

static void gone(weft_tcp *c)
{
	char b;

	T_LE(weft_tcp_read(c, &b, 1), 0);
	(void)weft_tcp_close(c);
}

/* --- laws --- */

static int laws_main(void *arg)
{
	weft_ctx *over = weft_ctx_make(NULL);
	weft_tcp_listener *l;
	weft_addr at;
	char text[WEFT_ADDR_TEXT];

	(void)arg;
	T_EQ(weft_tcp_serve(NULL, 1, echoes, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_tcp_serve((weft_tcp_listener *const[]){NULL}, 1, echoes, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_tcp_serve(&l, 0, echoes, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_tcp_listen(&l, "127.0.0.1:0", NULL), 0);
	T_EQ(weft_tcp_serve(&l, 1, NULL, NULL, NULL), WEFT_EINVAL); /* and l is closed */
	T_EQ(weft_tcp_listen(&l, "127.0.0.1:0", NULL), 0);
	T_EQ(weft_tcp_serve(&l, 1, echoes, NULL, &(weft_serve_opts){.max = -1}), WEFT_EINVAL);
	T_EQ(weft_tcp_serve_addr(NULL, echoes, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_tcp_serve_addr("127.0.0.1", echoes, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_tcp_serve_addr("127.0.0.1:0", echoes, NULL, &(weft_serve_opts){.listeners = -1}), WEFT_EINVAL);
	T_EQ(weft_tcp_serve_addr("127.0.0.1:0", NULL, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_tcp_listen(&l, "127.0.0.1:0", NULL), 0);
	T_EQ(weft_tcp_listener_addr(l, &at), 0);
	T_GT(weft_addr_format(&at, text, sizeof text), 0);
	T_EQ(weft_tcp_serve_addr(text, echoes, NULL, NULL), WEFT_EADDRINUSE);
	T_EQ(weft_tcp_listener_close(l), 0);
	T_EQ(weft_tcp_listen(&l, "127.0.0.1:0", &(weft_listen_opts){.reuse_port = true}), 0);
	T_EQ(weft_tcp_listener_addr(l, &at), 0);
	T_GT(weft_addr_format(&at, text, sizeof text), 0);
	for (int n = 1; n < 4; n++)
		T_EQ(weft_tcp_serve_addr(text, echoes, NULL, &(weft_serve_opts){.listeners = n}), WEFT_EADDRINUSE);
	T_EQ(weft_ctx_cancel(over, 0), 0);
	for (int n = 1; n < 4; n++) /* both want to share it */
		T_EQ(weft_tcp_serve_addr(text, echoes, NULL, &(weft_serve_opts){.ctx = over, .listeners = n, .listen.reuse_port = true}),
		     0);
	T_EQ(weft_tcp_listener_close(l), 0);
	weft_ctx_free(over);
	return 0;
}

TEST_WORKERS(laws)
{
	run_serve(laws_main, NULL);
}

TEST(no_runtime)
{
	T_EQ(weft_tcp_serve_addr("127.0.0.1:0", echoes, NULL, NULL), WEFT_ESRCH);
}

static int echo_main(void *arg)
{
	struct served s = {.fn = echoes, .o.ctx = weft_ctx_make(NULL)};
	weft_tcp *c[10];

	(void)arg;
	serve(&s);
	for (int i = 0; i < 10; i++)
		c[i] = dial(&s);
	for (int i = 0; i < 10; i++)
		round_trip(c[i]);
	T_EQ(stat_of(&s).state, WEFT_SERVE_LISTENING);
	T_EQ(stat_of(&s).accepted, 10);
	T_EQ(stat_of(&s).running, 10);
	for (int i = 0; i < 10; i++)
		T_EQ(weft_tcp_close(c[i]), 0);
	until(stat_of(&s).running == 0);
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	T_EQ(finish(s.task), 0);
	T_EQ(stat_of(&s).state, WEFT_SERVE_OVER);
	T_EQ(stat_of(&s).failed, 0);
	T_EQ(stat_of(&s).canceled, 0);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(many_connections)
{
	run_serve(echo_main, NULL);
}

static int born_dead_main(void *arg)
{
	struct served s = {.fn = echoes, .o.ctx = weft_ctx_make(NULL)};

	(void)arg;
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	serve(&s);
	T_EQ(finish(s.task), 0);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(context_that_has_ended)
{
	run_serve(born_dead_main, NULL);
}

/* --- stopping --- */

static int drain_main(void *arg)
{
	struct served s = {.fn = echoes, .o = {.ctx = weft_ctx_make(NULL), .grace = WEFT_FOREVER}};
	weft_tcp *c, *late;
	int rc;

	(void)arg;
	serve(&s);
	c = dial(&s);
	round_trip(c);
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	until(stat_of(&s).state == WEFT_SERVE_DRAINING);
	rc = weft_tcp_dial(&late, s.at);
	T_EQ(rc, WEFT_ECONNREFUSED);
	for (int i = 0; i < 5; i++)
		round_trip(c); /* who is there is served */
	T_EQ(stat_of(&s).running, 1);
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(finish(s.task), 0);
	T_EQ(stat_of(&s).canceled, 0);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(handlers_may_finish)
{
	run_serve(drain_main, NULL);
}

/* Answers; and waits for what comes next only while its server does not stop. */
static int answers_until_drained(weft_tcp *c, void *arg)
{
	struct served *s = arg;
	ssize_t n = 1;
	char b;

	add_relaxed(&s->begun, 1);
	while (n == 1) {
		WEFT_WITH_CTX (weft_serve_drain_ctx())
			n = weft_tcp_read(c, &b, 1);
		if (n == 1 && weft_tcp_write(c, &b, 1, NULL) != 1)
			return -1;
	}
	T_EQ(weft_ctx_check(), 0); /* its own context has not ended */
	T_NE(weft_ctx_reason(weft_serve_drain_ctx()), WEFT_NOT_CANCELED);
	return n == WEFT_ECANCELED ? 0 : -1;
}

/* Idle connections do not hold the server up: their handlers hear that it stops, and return by themselves. */
static int idle_main(void *arg)
{
	struct served s = {.fn = answers_until_drained, .o = {.ctx = weft_ctx_make(NULL), .grace = WEFT_FOREVER}};
	weft_tcp *c[3];

	(void)arg;
	T_OK(weft_serve_drain_ctx() == NULL);
	serve(&s);
	for (int i = 0; i < 3; i++) {
		c[i] = dial(&s);
		round_trip(c[i]);
	}
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	T_EQ(finish(s.task), 0);
	T_EQ(stat_of(&s).failed, 0);
	T_EQ(stat_of(&s).canceled, 0);
	for (int i = 0; i < 3; i++)
		gone(c[i]);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(handlers_hear_of_the_drain)
{
	run_serve(idle_main, NULL);
}

static int grace_main(void *arg)
{
	struct served s = {.fn = echoes, .o.ctx = weft_ctx_make(NULL)};
	weft_tcp *c[3];

	(void)arg;
	serve(&s);
	for (int i = 0; i < 3; i++) {
		c[i] = dial(&s);
		round_trip(c[i]);
	}
	time_fake();
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	until_reason(s.task, "select");
	time_move(9 * WEFT_SEC);
	T_EQ(stat_of(&s).state, WEFT_SERVE_DRAINING);
	round_trip(c[0]);
	time_move(WEFT_SEC);
	T_EQ(finish(s.task), WEFT_ETIMEDOUT);
	time_real();
	T_EQ(stat_of(&s).canceled, 3);
	T_EQ(stat_of(&s).failed, 3); /* as echoes has it */
	T_EQ(stat_of(&s).running, 0);
	for (int i = 0; i < 3; i++)
		gone(c[i]);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(grace_is_over)
{
	run_serve(grace_main, NULL);
}

static int no_grace_main(void *arg)
{
	struct served s = {.fn = echoes, .o = {.ctx = weft_ctx_make(NULL), .grace = -1}};
	weft_tcp *c;

	(void)arg;
	serve(&s);
	c = dial(&s);
	round_trip(c);
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	T_EQ(finish(s.task), WEFT_ETIMEDOUT);
	gone(c);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(no_grace)
{
	run_serve(no_grace_main, NULL);
}

static int signal_main(void *arg)
{
	struct served s = {.fn = echoes, .o = {.ctx = weft_ctx_on_signal(NULL, SIGTERM, SIGINT), .grace = WEFT_FOREVER}};
	weft_tcp *c;

	(void)arg;
	serve(&s);
	c = dial(&s);
	round_trip(c);
	T_EQ(kill(getpid(), SIGTERM), 0);
	until(stat_of(&s).state == WEFT_SERVE_DRAINING);
	round_trip(c);
	T_EQ(kill(getpid(), SIGINT), 0); /* in earnest */
	T_EQ(finish(s.task), WEFT_ETIMEDOUT);
	T_EQ(stat_of(&s).canceled, 1);
	gone(c);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(second_signal_forces)
{
	run_serve(signal_main, NULL);
}

static bool has_default(int sig)
{
	struct sigaction a;

	T_EQ(sigaction(sig, NULL, &a), 0);
	return a.sa_handler == SIG_DFL;
}

static int own_signals_main(void *arg)
{
	struct served s = {.fn = echoes, .o = {.signals = true, .grace = WEFT_FOREVER}};
	struct served t = {.fn = echoes, .o = {.signals = true, .ctx = weft_ctx_make(NULL)}};
	weft_tcp *c;

	(void)arg;
	T_OK(has_default(SIGTERM) && has_default(SIGINT));
	serve(&s);
	T_OK(!has_default(SIGTERM) && !has_default(SIGINT));
	c = dial(&s);
	round_trip(c);
	T_EQ(kill(getpid(), SIGINT), 0);
	until(stat_of(&s).state == WEFT_SERVE_DRAINING);
	round_trip(c);
	T_EQ(kill(getpid(), SIGTERM), 0);
	T_EQ(finish(s.task), WEFT_ETIMEDOUT);
	T_EQ(stat_of(&s).canceled, 1);
	gone(c);
	until(has_default(SIGTERM) && has_default(SIGINT)); /* its tasks hold its contexts a moment longer */
	serve(&t);
	T_EQ(weft_ctx_cancel(t.o.ctx, 0), 0); /* which goes on to count */
	T_EQ(finish(t.task), 0);
	weft_ctx_free(t.o.ctx);
	return 0;
}

TEST_WORKERS(signals_of_its_own)
{
	run_serve(own_signals_main, NULL);
}

static int theirs_main(void *arg)
{
	struct served s = {.fn = echoes, .o = {.ctx = weft_ctx_make(NULL), .grace = WEFT_FOREVER}};
	weft_ctx *stop = weft_ctx_on_signal(NULL, SIGTERM);
	weft_tcp *c;

	(void)arg;
	s.o.ready = is_up;
	s.o.counters = &s.counters;
	T_EQ(weft_go_opts(&s.task, serves, &s, &(weft_task_opts){.ctx = stop}), 0);
	until(load_acquire(&s.up)); /* pairs with store_release in is_up */
	c = dial(&s);
	round_trip(c);
	T_EQ(kill(getpid(), SIGTERM), 0);
	until(stat_of(&s).state == WEFT_SERVE_DRAINING);
	T_EQ(kill(getpid(), SIGTERM), 0);
	T_EQ(finish(s.task), WEFT_ETIMEDOUT);
	gone(c);
	weft_ctx_free(stop);
	weft_ctx_free(s.o.ctx);
	return 0;
}

/* The signals are the caller's; the context given knows of none. */
TEST_WORKERS(second_signal_of_the_callers)
{
	run_serve(theirs_main, NULL);
}

static int cancelled_main(void *arg)
{
	struct served s = {.fn = echoes};
	weft_tcp *c;

	(void)arg;
	serve(&s); /* under the root context */
	c = dial(&s);
	round_trip(c);
	T_EQ(weft_task_cancel(s.task), 0);
	until(stat_of(&s).state == WEFT_SERVE_DRAINING);
	round_trip(c);
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(finish(s.task), 0);
	return 0;
}

TEST_WORKERS(caller_cancelled)
{
	run_serve(cancelled_main, NULL);
}

static int closed_main(void *arg)
{
	struct served s = {.fn = echoes, .n = 1};
	weft_tcp_listener *mine;
	weft_tcp *c;

	(void)arg;
	T_EQ(weft_tcp_listen(&s.l[0], "127.0.0.1:0", NULL), 0);
	mine = weft_tcp_listener_ref(s.l[0]);
	serve(&s);
	c = dial(&s);
	round_trip(c);
	T_EQ(weft_tcp_listener_close(mine), 0);
	until(stat_of(&s).state == WEFT_SERVE_DRAINING);
	round_trip(c);
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(finish(s.task), 0);
	return 0;
}

TEST_WORKERS(listener_closed_by_somebody_else)
{
	run_serve(closed_main, NULL);
}

/* Does not hear that it is cancelled. */
static int deaf(weft_tcp *c, void *arg)
{
	struct served *s = arg;

	(void)c;
	s->handler = weft_task_self();
	add_acq_rel(&s->begun, 1); /* pairs with load_acquire in straggler_main */
	WEFT_WITH_SHIELD(void) weft_chan_recv(s->c, NULL);
	return 0;
}

static int straggler_main(void *arg)
{
	struct served s = {.fn = deaf, .o = {.ctx = weft_ctx_make(NULL), .grace = -1, .patience = 1}, .c = weft_chan_make(1, 1)};
	int fds[2], stderr_was = dup(STDERR_FILENO);
	char line[400];
	ssize_t n;
	weft_tcp *c;

	(void)arg;
	T_EQ(pipe(fds), 0);
	T_GE(dup2(fds[1], STDERR_FILENO), 0);
	close(fds[1]);
	serve(&s);
	c = dial(&s);
	until(load_acquire(&s.begun) == 1); /* pairs with add_acq_rel in deaf */
	until_reason(s.handler, "chan receive");
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	T_EQ(weft_io_wait(fds[0], WEFT_IO_R), WEFT_IO_R);
	n = read(fds[0], line, sizeof line - 1);
	T_GE(dup2(stderr_was, STDERR_FILENO), 0);
	close(stderr_was);
	T_GT(n, 0);
	line[n] = 0;
	T_STR_HAS(line, "waits for a handler that was cancelled");
	T_STR_HAS(line, "(handle)"); /* its function */
	T_STR_HAS(line, "chan receive");
	T_EQ(weft_chan_close(s.c), 0);
	T_EQ(finish(s.task), WEFT_ETIMEDOUT);
	(void)weft_io_forget(fds[0]);
	close(fds[0]);
	gone(c);
	weft_chan_free(s.c);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(stragglers_are_named)
{
	run_serve(straggler_main, NULL);
}

/* --- handlers --- */

/* Says a word, and keeps in mind why. */
static void says_busy(weft_tcp *c, int why, void *arg)
{
	struct served *s = arg;

	T_EQ(weft_tcp_write_until(c, "busy", 4, NULL, WEFT_NOW), 4);
	T_EQ(load_relaxed(&s->why), 0);
	store_relaxed(&s->why, why); /* seen by who sees the end of the connection */
}

static void told_busy(weft_tcp *c)
{
	char b[8];

	T_EQ(weft_tcp_read(c, b, sizeof b), 4);
	T_EQ(memcmp(b, "busy", 4), 0);
	gone(c);
}

static int max_main(void *arg)
{
	struct served s = {.fn = echoes, .o = {.ctx = weft_ctx_make(NULL), .max = 2, .listeners = 1, .refused = says_busy}};
	weft_tcp *c[5];

	(void)arg;
	serve(&s);
	for (int i = 0; i < 5; i++)
		c[i] = dial(&s); /* the kernel takes them all */
	round_trip(c[0]);
	round_trip(c[1]);
	for (int i = 2; i < 4; i++) {
		until(stat_of(&s).accepted == (uint64_t)i + 1); /* it waits for room */
		T_EQ(load_relaxed(&s.begun), i);
		T_EQ(stat_of(&s).running, 2);
		T_EQ(weft_tcp_close(c[i - 2]), 0);
		round_trip(c[i]);
	}
	until(stat_of(&s).accepted == 5);
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	told_busy(c[4]); /* it waited for room */
	T_EQ(load_relaxed(&s.why), WEFT_ECANCELED);
	T_EQ(stat_of(&s).refused, 1);
	T_EQ(weft_tcp_close(c[2]), 0);
	T_EQ(weft_tcp_close(c[3]), 0);
	T_EQ(finish(s.task), 0);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(at_most_so_many)
{
	run_serve(max_main, NULL);
}

static int misbehaves(weft_tcp *c, void *arg)
{
	struct served *s = arg;

	(void)c;
	switch (add_relaxed(&s->begun, 1)) {
	case 0:
		return -1;
	case 1:
		weft_task_exit(0);
	case 2:
		weft_task_panic("as it is meant to");
	default:
		return 1;
	}
}

static int failing_main(void *arg)
{
	struct served s = {.fn = misbehaves, .o = {.ctx = weft_ctx_make(NULL), .max = 1}};

	(void)arg;
	serve(&s);
	for (int i = 0; i < 5; i++)
		gone(dial(&s));
	until(stat_of(&s).running == 0);
	T_EQ(stat_of(&s).failed, 3);
	T_EQ(stat_of(&s).accepted, 5);
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	T_EQ(finish(s.task), 0);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(handlers_that_fail)
{
	run_serve(failing_main, NULL);
}

static const char key;

static int sees_value(weft_tcp *c, void *arg)
{
	(void)c;
	return weft_ctx_value(NULL, &key) == arg ? 0 : -1;
}

static int values_main(void *arg)
{
	struct served s = {.fn = sees_value};

	(void)arg;
	s.o.ctx = weft_ctx_with_value(NULL, &key, &s, NULL);
	serve(&s);
	gone(dial(&s));
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	T_EQ(finish(s.task), 0);
	T_EQ(stat_of(&s).failed, 0);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(handlers_see_values)
{
	run_serve(values_main, NULL);
}

static void says_busy_and_panics(weft_tcp *c, int why, void *arg)
{
	says_busy(c, why, arg);
	weft_task_panic("as asked");
}

/* Who is refused costs the server nothing, even if what tells him panics. */
static int crowded_main(void *arg)
{
	struct served s = {.fn = echoes, .o = {.ctx = weft_ctx_make(NULL), .listeners = 1, .refused = says_busy_and_panics}};
	weft_tcp *c[3];

	(void)arg;
	serve(&s); /* main, the server, who accepts, two handlers: that is all there may be */
	c[0] = dial(&s);
	c[1] = dial(&s);
	round_trip(c[0]);
	round_trip(c[1]);
	c[2] = dial(&s);
	told_busy(c[2]);
	T_EQ(load_relaxed(&s.why), WEFT_EAGAIN);
	T_EQ(stat_of(&s).refused, 1);
	T_EQ(stat_of(&s).running, 2);
	T_EQ(weft_tcp_close(c[0]), 0);
	T_EQ(weft_tcp_close(c[1]), 0);
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	T_EQ(finish(s.task), 0);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(no_task_for_a_connection)
{
	T_EQ(run_with(crowded_main, NULL, (weft_opts){.workers = 0, .max_tasks = 5}), 0);
}

/* A connection whose client calls the system itself, so that what fails is the server's. Returns whether it was served. */
static bool one_connection(struct sockaddr_in *sin)
{
	int fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char b = 0;

	T_GE(fd, 0);
	T_EQ(syscall(SYS_connect, fd, sin, sizeof *sin), 0);
	T_EQ(write(fd, "y", 1), 1);
	(void)!read(fd, &b, 1);
	close(fd);
	return b == 'y';
}

static void *starves(void *arg)
{
	struct served *s = arg;
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	sin.sin_port = htons((uint16_t)atoi(strrchr(s->at, ':') + 1));
	for (long n = 0; n < 30; n++) {
		failpoint_arm(n % 6 + 1);
		(void)one_connection(&sin);
		failpoint_disarm();
	}
	T_OK(one_connection(&sin));
	store_release(&s->over, true); /* pairs with load_acquire in starved_main */
	return NULL;
}

static int starved_main(void *arg)
{
	struct served s = {.fn = echoes, .o = {.ctx = weft_ctx_make(NULL), .listeners = 1}};
	pthread_t th;

	(void)arg;
	until_all_workers_run(); /* one that could not begin would never do */
	serve(&s);
	T_EQ(pthread_create(&th, NULL, starves, &s), 0);
	until(load_acquire(&s.over)); /* pairs with store_release in starves */
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	T_EQ(finish(s.task), 0);
	weft_ctx_free(s.o.ctx);
	return 0;
}

/* Whatever fails once, the server goes on. */
TEST_WORKERS(memory_comes_back)
{
	run_serve(starved_main, NULL);
}

static bool may_start_no_more(int rc)
{
	return rc == WEFT_ENOMEM || rc == WEFT_EMFILE || rc == WEFT_EAGAIN;
}

static int short_main(void *arg)
{
	weft_ctx *over = weft_ctx_make(NULL);
	bool fired = true;
	int rc = 0;

	(void)arg;
	T_EQ(weft_ctx_cancel(over, 0), 0);
	until_all_workers_run();
	for (long n = 1; fired || rc; n++) { /* once a stack was lacking tasks are refused for a while */
		weft_tcp_listener *l;

		T_EQ(weft_tcp_listen(&l, "127.0.0.1:0", NULL), 0);
		failpoint_arm(n);
		rc = weft_tcp_serve(&l, 1, echoes, NULL, &(weft_serve_opts){.ctx = over, .signals = true});
		fired = failpoint_fired();
		failpoint_disarm();
		if (rc && !may_start_no_more(rc))
			T_FAIL("call %ld (%s): %d", n, failpoint_name(), rc);
		until(has_default(SIGTERM) && has_default(SIGINT));
	}
	weft_ctx_free(over);
	return 0;
}

/* It says so, and nothing is left: neither a listener nor a signal. */
TEST_WORKERS(no_memory_to_start_with)
{
	run_serve(short_main, NULL);
}

/* --- who gets what --- */

static ATOMIC(long) from[16];

static void accepted(int listener)
{
	add_relaxed(&from[listener], 1);
}

static int ports_main(void *arg)
{
	struct served s = {.fn = echoes, .n = 3, .o.ctx = weft_ctx_make(NULL)};
	weft_addr at;

	(void)arg;
	for (int i = 0; i < 3; i++)
		T_EQ(weft_tcp_listen(&s.l[i], "127.0.0.1:0", NULL), 0);
	serve(&s);
	for (int i = 0; i < 3; i++) {
		weft_tcp *c;

		T_EQ(weft_tcp_listener_addr(s.l[i], &at), 0);
		T_GT(weft_addr_format(&at, s.at, sizeof s.at), 0);
		for (int k = 0; k <= i; k++) {
			c = dial(&s);
			round_trip(c);
			T_EQ(weft_tcp_close(c), 0);
		}
		T_EQ(load_relaxed(&from[i]), i + 1);
	}
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	T_EQ(finish(s.task), 0);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(several_listeners)
{
	weft__serve_accepted = accepted;
	run_serve(ports_main, NULL);
}

static bool all_have_some(int n)
{
	for (int i = 0; i < n; i++) {
		if (load_relaxed(&from[i]) == 0)
			return false;
	}
	return true;
}

static int shared_main(void *arg)
{
	struct served s = {.fn = echoes, .o.ctx = weft_ctx_make(NULL)};

	(void)arg;
	serve(&s);
	while (!all_have_some(tap_workers())) { /* the kernel chooses by the client's port */
		weft_tcp *c = dial(&s);

		round_trip(c);
		T_EQ(weft_tcp_close(c), 0);
	}
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	T_EQ(finish(s.task), 0);
	weft_ctx_free(s.o.ctx);
	return 0;
}

TEST_WORKERS(a_listener_for_each_worker)
{
	weft__serve_accepted = accepted;
	run_serve(shared_main, NULL);
}

/* Keeps its worker until every worker has one. */
static int occupies(weft_tcp *c, void *arg)
{
	struct served *s = arg;
	int n = 0;

	(void)c;
	add_relaxed(&s->on[weft_task_worker()], 1);
	while (n < tap_workers()) {
		n = 0;
		for (int i = 1; i <= tap_workers(); i++)
			n += load_relaxed(&s->on[i]) != 0;
		sched_yield();
	}
	return 0;
}

static int spread_main(void *arg)
{
	struct served s = {.fn = occupies, .n = 1, .o.ctx = weft_ctx_make(NULL)};
	weft_tcp *c[8];
	weft_addr at;

	(void)arg;
	T_EQ(weft_tcp_listen(&s.l[0], "127.0.0.1:0", NULL), 0);
	T_EQ(weft_tcp_listener_addr(s.l[0], &at), 0);
	T_GT(weft_addr_format(&at, s.at, sizeof s.at), 0);
	for (int i = 0; i < tap_workers(); i++)
		c[i] = dial(&s);
	s.o.ready = is_up;
	s.o.counters = &s.counters;
	s.task = start(serves, &s);
	for (int i = 0; i < tap_workers(); i++)
		gone(c[i]);
	T_EQ(weft_ctx_cancel(s.o.ctx, 0), 0);
	T_EQ(finish(s.task), 0);
	T_EQ(stat_of(&s).accepted, tap_workers());
	weft_ctx_free(s.o.ctx);
	return 0;
}

/* One listener: its connections are handled on all workers. */
TEST_WORKERS(one_listener_all_workers)
{
	run_serve_with(spread_main, NULL, (weft_opts){.spares = -1}); /* none takes a connection in a worker's place */
}
