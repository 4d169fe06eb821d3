/* SPDX-License-Identifier: MIT
 *
 * waker.c - wakers hold one wake-up, and may be woken from anywhere, signal handlers that interrupt weft itself among it.
 */
#include "rt.h"

#include "weft/net.h"
#include "weft/waker.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

static weft_waker *waker(void)
{
	weft_waker *w;

	T_EQ(weft_waker_make(&w), 0);
	return w;
}

static int waits(void *arg)
{
	return weft_waker_wait(arg);
}

static int laws_main(void *arg)
{
	weft_waker *w = waker();
	weft_task *t, *u;

	(void)arg;
	T_EQ(weft_waker_make(NULL), WEFT_EINVAL);
	T_EQ(weft_waker_wait(NULL), WEFT_EINVAL);
	weft_waker_wake(NULL);
	weft_waker_free(NULL);
	T_EQ(weft_waker_wait_until(w, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_waker_wait_until(w, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_waker_wait_until(w, 1), WEFT_ETIMEDOUT);
	weft_waker_wake(w); /* before; and several are one */
	weft_waker_wake(w);
	T_EQ(weft_waker_wait_until(w, 1), 0);
	T_EQ(weft_waker_wait_until(w, WEFT_NOW), WEFT_EAGAIN);
	t = start(waits, w);
	until_reason(t, "io");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	t = start(waits, w);
	until_reason(t, "io");
	weft_waker_wake(w);
	T_EQ(finish(t), 0);
	t = start(waits, w);
	u = start(waits, w);
	until_reason(t, "io");
	until_reason(u, "io");
	weft_waker_wake(w); /* one of them */
	until(weft_task_stateof(t) == WEFT_TASK_DONE || weft_task_stateof(u) == WEFT_TASK_DONE);
	weft_waker_wake(w);
	T_EQ(finish(t), 0);
	T_EQ(finish(u), 0);
	weft_waker_free(weft_waker_ref(w));
	weft_waker_free(w);
	return 0;
}

TEST_WORKERS(laws)
{
	run(laws_main, NULL);
}

static int cancelled_main(void *arg)
{
	weft_waker *w = waker();
	weft_ctx *c = weft_ctx_make(NULL), *up;

	(void)arg;
	weft_waker_wake(w);
	T_EQ(weft_ctx_cancel(c, WEFT_REASON_CANCELED), 0);
	up = weft_ctx_enter(c);
	T_EQ(weft_waker_wait(w), WEFT_ECANCELED);
	weft_ctx_leave(up);
	T_EQ(weft_waker_wait_until(w, WEFT_NOW), 0); /* it was kept */
	weft_waker_free(w);
	weft_ctx_free(c);
	return 0;
}

TEST_WORKERS(cancelled_before)
{
	run(cancelled_main, NULL);
}

static int picks(void *arg)
{
	weft_case cases[] = {WEFT_FD(weft_waker_fd(arg), WEFT_IO_R), WEFT_AFTER(20 * WEFT_SEC)};

	T_EQ(weft_chan_select(cases, 2), 0);
	return weft_waker_wait_until(arg, WEFT_NOW);
}

static int select_main(void *arg)
{
	weft_waker *w = waker();
	weft_task *t = start(picks, w);

	(void)arg;
	until_reason(t, "select");
	weft_waker_wake(w);
	T_EQ(finish(t), 0);
	weft_waker_free(w);
	return 0;
}

TEST_WORKERS(in_a_select)
{
	run(select_main, NULL);
}

static int freed_main(void *arg)
{
	weft_waker *w = waker();
	weft_task *t = start(waits, w);

	(void)arg;
	until_reason(t, "io");
	weft_waker_free(w);
	T_EQ(finish(t), WEFT_ECLOSED);
	return 0;
}

TEST_WORKERS(freed_while_waited_for)
{
	run(freed_main, NULL);
}

/* Without a runtime it can be woken, and seen to be, but not waited for. */
TEST(no_runtime)
{
	weft_waker *w = waker();

	T_EQ(weft_waker_wait(w), WEFT_ESRCH);
	T_EQ(weft_waker_wait_until(w, WEFT_NOW), WEFT_EAGAIN);
	weft_waker_wake(w);
	T_EQ(weft_waker_wait(w), 0);
	weft_waker_free(w);
}

/* --- from a handler --- */

static weft_waker *to_wake;
static ATOMIC(long) handled;

static void on_signal(int sig)
{
	int was = errno;

	(void)sig;
	weft_waker_wake(to_wake);
	if (errno != was)
		abort();
	add_relaxed(&handled, 1);
}

static void handle(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	T_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
}

static int own_main(void *arg)
{
	sigset_t usr1, old;
	long n = tap_iters(500);

	(void)arg;
	to_wake = waker();
	handle();
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	for (long i = 0; i < n; i++) {
		weft_task *t = start(waits, to_wake);

		if (i % 2)
			until_parked(t);
		pthread_sigmask(SIG_UNBLOCK, &usr1, &old); /* nothing in between stops the task */
		raise(SIGUSR1);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		T_EQ(finish(t), 0);
	}
	T_EQ(load_relaxed(&handled), n);
	weft_waker_free(to_wake);
	return 0;
}

/* In the middle of a task. */
TEST_WORKERS(handler_on_a_worker)
{
	run(own_main, NULL);
}

struct busy {
	weft_chan *c;
	ATOMIC(bool) stop;
};

/* Has small locks of weft's all the time: the handler interrupts it while it does. */
static void *busy_thread(void *arg)
{
	struct busy *b = arg;
	sigset_t usr1;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	while (!load_relaxed(&b->stop)) {
		(void)weft_chan_trysend(b->c, b);
		(void)weft_chan_tryrecv(b->c, NULL);
	}
	return NULL;
}

static int busy_main(void *arg)
{
	struct busy b = {weft_chan_make(8, 4), false};
	long n = tap_iters(2000);
	pthread_t th;

	(void)arg;
	to_wake = waker();
	handle();
	T_EQ(pthread_create(&th, NULL, busy_thread, &b), 0);
	for (long i = 0; i < n; i++) {
		T_EQ(pthread_kill(th, SIGUSR1), 0);
		(void)weft_chan_trysend(b.c, &b); /* wants the lock that the interrupted thread may hold */
		T_EQ(weft_waker_wait(to_wake), 0);
	}
	store_relaxed(&b.stop, true);
	T_EQ(pthread_join(th, NULL), 0);
	weft_waker_free(to_wake);
	weft_chan_free(b.c);
	return 0;
}

/* In the middle of weft. */
TEST_WORKERS(handler_in_the_middle_of_weft)
{
	run(busy_main, NULL);
}
