/* SPDX-License-Identifier: MIT
 *
 * signal.c - signals as channels and contexts: who gets which, what is kept when there is no room, and what the process does before and after.
 */
#include "rt.h"

#include "weft/signal.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* The first use takes a descriptor for good: before run() counts them. */
static void warm(void)
{
	weft_chan *c = weft_chan_make(sizeof(int), 1);

	T_EQ(weft_signal_notify(c, SIGUSR1), 0);
	T_EQ(weft_signal_stop(c), 0);
	weft_chan_free(c);
}

static void run_signals(weft_task_fn *fn, void *arg)
{
	warm();
	run(fn, arg);
}

static weft_chan *ints(size_t cap)
{
	weft_chan *c = weft_chan_make(sizeof(int), cap);

	T_OK(c);
	return c;
}

static void send_self(int sig)
{
	T_EQ(kill(getpid(), sig), 0);
}

static int next(weft_chan *c)
{
	int sig = 0;

	T_EQ(weft_chan_recv(c, &sig), 0);
	return sig;
}

/* What the process does with a signal now. */
static void (*now(int sig))(int)
{
	struct sigaction sa;

	T_EQ(sigaction(sig, NULL, &sa), 0);
	return sa.sa_handler;
}

/* --- channels --- */

static int laws_main(void *arg)
{
	weft_chan *c = ints(4), *narrow = weft_chan_make(1, 1);

	(void)arg;
	T_EQ(weft_signal_notify(c, SIGKILL), WEFT_EINVAL);
	T_EQ(weft_signal_notify(c, SIGSTOP), WEFT_EINVAL);
	T_EQ(weft_signal_notify(c, SIGSEGV), WEFT_EINVAL);
	T_EQ(weft_signal_notify(c, SIGUSR1, 65), WEFT_EINVAL);
	T_EQ(weft_signal_notify(c, -1), WEFT_EINVAL);
	T_EQ(weft_signal_notify(c, 33), WEFT_EINVAL); /* the C library's own */
	T_EQ(weft_signal_notify(c, 0), WEFT_EINVAL);
	T_EQ(weft_signal_notify(NULL, SIGUSR1), WEFT_EINVAL);
	T_EQ(weft_signal_notify(narrow, SIGUSR1), WEFT_EINVAL);
	T_EQ(weft_signal_ignore(SIGKILL), WEFT_EINVAL);
	T_EQ(weft_signal_reset(SIGSTOP), WEFT_EINVAL);
	T_OK(!weft_ctx_on_signal(NULL, SIGKILL));
	T_EQ(weft_signal_stop(c), WEFT_ENOENT);
	T_EQ(weft_signal_stop(NULL), WEFT_ENOENT);
	T_OK(now(SIGUSR1) == SIG_DFL);
	T_OK(!weft_ctx_signal_again(NULL));
	weft_chan_free(c);
	weft_chan_free(narrow);
	return 0;
}

TEST_WORKERS(laws)
{
	run_signals(laws_main, NULL);
}

static int one_main(void *arg)
{
	weft_chan *c = ints(1);

	(void)arg;
	T_EQ(weft_signal_notify(c, SIGUSR1), 0);
	for (int i = 0; i < 20; i++) {
		send_self(SIGUSR1);
		T_EQ(next(c), SIGUSR1);
	}
	T_EQ(weft_signal_stop(c), 0);
	T_EQ(weft_signal_stop(c), WEFT_ENOENT);
	T_OK(now(SIGUSR1) == SIG_DFL);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(one_signal_one_channel)
{
	run_signals(one_main, NULL);
}

static int several_main(void *arg)
{
	weft_chan *a = ints(4), *b = ints(4);

	(void)arg;
	T_EQ(weft_signal_notify(a, SIGUSR1, SIGUSR2), 0);
	T_EQ(weft_signal_notify(b, SIGUSR2), 0);
	T_EQ(weft_signal_notify(b, SIGHUP, SIGUSR2), 0); /* asked for twice, sent once */
	send_self(SIGUSR1);
	T_EQ(next(a), SIGUSR1);
	send_self(SIGUSR2);
	T_EQ(next(a), SIGUSR2);
	T_EQ(next(b), SIGUSR2);
	send_self(SIGHUP);
	T_EQ(next(b), SIGHUP);
	send_self(SIGRTMIN + 3);
	T_EQ(weft_chan_len(a), 0);
	T_EQ(weft_chan_len(b), 0);
	T_EQ(weft_signal_stop(a), 0);
	T_OK(now(SIGUSR1) == SIG_DFL);
	send_self(SIGUSR2); /* b still wants it */
	T_EQ(next(b), SIGUSR2);
	T_EQ(weft_signal_stop(b), 0);
	T_OK(now(SIGUSR2) == SIG_DFL);
	T_EQ(weft_chan_len(a), 0);
	weft_chan_free(a);
	weft_chan_free(b);
	return 0;
}

TEST_WORKERS(several_signals_several_channels)
{
	signal(SIGRTMIN + 3, SIG_IGN);
	run_signals(several_main, NULL);
}

static int realtime_main(void *arg)
{
	int last = weft__emulated() ? SIGRTMIN + 1 : SIGRTMAX; /* an emulator keeps some for itself */
	weft_chan *c = ints(4);

	(void)arg;
	T_EQ(weft_signal_notify(c, SIGRTMIN, last), 0);
	send_self(last);
	T_EQ(next(c), last);
	send_self(SIGRTMIN);
	T_EQ(next(c), SIGRTMIN);
	T_EQ(weft_signal_stop(c), 0);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(first_and_last_real_time_signal)
{
	run_signals(realtime_main, NULL);
}

static void until_offered(weft_chan *c)
{
	weft_chan_stat st;

	do {
		let_run();
		T_EQ(weft_chan_stats(c, &st), 0);
	} while (st.senders != 1);
}

static int full_main(void *arg)
{
	weft_chan *c = ints(1), *other = ints(1);
	int sig;

	(void)arg;
	T_EQ(weft_chan_send(c, &(int){-1}), 0);
	T_EQ(weft_signal_notify(c, SIGUSR1, SIGUSR2), 0);
	T_EQ(weft_signal_notify(other, SIGUSR1), 0);
	for (int i = 0; i < 5; i++) {
		send_self(SIGUSR1);
		T_EQ(next(other), SIGUSR1); /* who has room is not kept up by who has not */
	}
	until_offered(c);
	T_EQ(next(c), -1);
	T_EQ(next(c), SIGUSR1);
	send_self(SIGUSR2);
	while ((sig = next(c)) != SIGUSR2) /* some of the five may be one more */
		T_EQ(sig, SIGUSR1);
	T_EQ(weft_signal_stop(c), 0);
	T_EQ(weft_signal_stop(other), 0);
	weft_chan_free(c);
	weft_chan_free(other);
	return 0;
}

TEST_WORKERS(full_channel_gets_the_last)
{
	run_signals(full_main, NULL);
}

static int rendezvous_main(void *arg)
{
	weft_chan *c = ints(0);

	(void)arg;
	T_EQ(weft_signal_notify(c, SIGUSR1), 0);
	for (int i = 0; i < 5; i++) {
		send_self(SIGUSR1);
		if (i % 2)
			until_offered(c);
		T_EQ(next(c), SIGUSR1);
	}
	T_EQ(weft_signal_stop(c), 0);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(rendezvous)
{
	run_signals(rendezvous_main, NULL);
}

static int closed_main(void *arg)
{
	weft_chan *c = ints(1), *other = ints(1);

	(void)arg;
	T_EQ(weft_signal_notify(c, SIGUSR1), 0);
	T_EQ(weft_signal_notify(other, SIGUSR1), 0);
	T_EQ(weft_chan_close(c), 0);
	for (int i = 0; i < 3; i++) {
		send_self(SIGUSR1);
		T_EQ(next(other), SIGUSR1);
	}
	T_EQ(weft_chan_recv(c, NULL), WEFT_ECLOSED);
	T_EQ(weft_signal_stop(c), 0);
	T_EQ(weft_signal_stop(other), 0);
	weft_chan_free(c);
	weft_chan_free(other);
	return 0;
}

TEST_WORKERS(closed_channel)
{
	run_signals(closed_main, NULL);
}

static int stops(void *arg)
{
	return weft_signal_stop(arg);
}

static int stop_main(void *arg)
{
	weft_chan *c = ints(1);
	weft_task *t[2];
	weft_ctx *ended = weft_ctx_make(NULL), *above;

	(void)arg;
	T_EQ(weft_ctx_cancel(ended, 0), 0);
	for (int i = 0; i < 10; i++) {
		int rc[2];

		T_EQ(weft_chan_send(c, &(int){-1}), 0);
		T_EQ(weft_signal_notify(c, SIGUSR1), 0);
		send_self(SIGUSR1);
		until_offered(c); /* the reader has it in hand */
		above = weft_ctx_enter(ended);
		t[0] = start(stops, c); /* of a cancelled task, too */
		t[1] = start(stops, c);
		weft_ctx_leave(above);
		rc[0] = finish(t[0]);
		rc[1] = finish(t[1]);
		T_OK((rc[0] == 0 && rc[1] == WEFT_ENOENT) || (rc[1] == 0 && rc[0] == WEFT_ENOENT));
		T_OK(now(SIGUSR1) == SIG_DFL);
		T_EQ(next(c), -1);
		T_EQ(weft_chan_recv_until(c, NULL, WEFT_NOW), WEFT_EAGAIN);
	}
	weft_ctx_free(ended);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(stop_of_a_signal_that_waits_for_room)
{
	run_signals(stop_main, NULL);
}

/* --- what the process did before --- */

static ATOMIC(int) before;

static void counts(int sig)
{
	add_relaxed(&before, sig);
}

static void counts_info(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_pid == getpid())
		add_relaxed(&before, sig);
}

static int chain_main(void *arg)
{
	weft_chan *c = ints(1);

	(void)arg;
	T_EQ(weft_signal_notify(c, SIGUSR1), 0);
	store_relaxed(&before, 0);
	send_self(SIGUSR1);
	T_EQ(next(c), SIGUSR1);
	until(load_relaxed(&before) == SIGUSR1);
	T_EQ(weft_signal_stop(c), 0);
	send_self(SIGUSR1);
	until(load_relaxed(&before) == 2 * SIGUSR1);
	T_EQ(weft_chan_len(c), 0);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(a_handler_that_was_there_before)
{
	struct sigaction sa = {.sa_handler = counts};

	T_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
	run_signals(chain_main, NULL);
	T_OK(now(SIGUSR1) == counts);
	sa.sa_sigaction = counts_info;
	sa.sa_flags = SA_SIGINFO;
	T_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
	run(chain_main, NULL);
}

static int ignore_main(void *arg)
{
	weft_chan *c = ints(1);

	(void)arg;
	T_EQ(weft_signal_notify(c, SIGUSR1, SIGUSR2), 0);
	T_EQ(weft_signal_ignore(SIGUSR1, SIGHUP), 0);
	T_OK(now(SIGUSR1) == SIG_IGN);
	send_self(SIGUSR1);
	send_self(SIGHUP);
	send_self(SIGUSR2);
	T_EQ(next(c), SIGUSR2);
	T_EQ(weft_signal_notify(c, SIGUSR1), 0); /* wanted again */
	send_self(SIGUSR1);
	T_EQ(next(c), SIGUSR1);
	T_EQ(weft_signal_reset(SIGUSR1, SIGHUP), 0);
	T_OK(now(SIGUSR1) == SIG_DFL);
	T_OK(now(SIGHUP) == SIG_DFL);
	T_EQ(weft_signal_reset(SIGHUP), 0); /* already */
	T_EQ(weft_signal_stop(c), 0);
	T_OK(now(SIGUSR2) == SIG_DFL);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(ignore_and_reset)
{
	T_OK(signal(SIGHUP, SIG_DFL) !=
	     SIG_ERR); /* whoever started this may have ignored it (nohup): that would be what a reset goes back to */
	run_signals(ignore_main, NULL);
}

static int quit_main(void *arg)
{
	weft_chan *c = ints(1);
	void (*dumps)(int) = now(SIGQUIT);

	(void)arg;
	T_OK(dumps != SIG_DFL);
	T_EQ(weft_signal_notify(c, SIGQUIT), 0);
	send_self(SIGQUIT);
	T_EQ(next(c), SIGQUIT);
	T_EQ(weft_signal_stop(c), 0);
	T_OK(now(SIGQUIT) == dumps);
	T_EQ(weft_signal_notify(c, SIGQUIT), 0);
	return arg ? 0 : weft_signal_stop(c);
}

/* The dump on SIGQUIT steps back, and comes again. */
TEST_WORKERS(quit)
{
	weft_chan *c = ints(1);

	signal(SIGQUIT, SIG_DFL);
	tap_leaky(); /* quit_main's channels */
	run_signals(quit_main, NULL);
	T_OK(now(SIGQUIT) == SIG_DFL);
	T_EQ(weft_signal_notify(c, SIGQUIT), 0); /* before a runtime comes up, and until one is up */
	T_OK(now(SIGQUIT) != SIG_DFL);
	T_EQ(weft_signal_stop(c), 0);
	T_OK(now(SIGQUIT) == SIG_DFL);
	weft_chan_free(c);
}

/* --- contexts --- */

static int waits(void *arg)
{
	(void)arg;
	return weft_task_sleep(WEFT_FOREVER);
}

static int ctx_main(void *arg)
{
	weft_ctx *c = weft_ctx_on_signal(NULL, SIGTERM, SIGINT), *below = weft_ctx_make(c), *up, *again;
	weft_task *t;
	int why = 0;
	weft_case done[] = {WEFT_DONE(c, &why)};

	(void)arg;
	T_OK(c && below);
	again = weft_ctx_signal_again(below);
	T_OK(again);
	T_OK(again == weft_ctx_signal_again(c));
	up = weft_ctx_enter(below);
	t = start(waits, NULL);
	weft_ctx_leave(up);
	until_parked(t);
	T_EQ(weft_ctx_reason(c), WEFT_NOT_CANCELED);
	send_self(SIGINT);
	T_EQ(weft_chan_select(done, 1), 0);
	T_EQ(why, WEFT_REASON_SIGNAL);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(weft_ctx_reason(c), WEFT_REASON_SIGNAL);
	T_STR_EQ(weft_ctx_cause(c), "SIGINT: Interrupt");
	T_STR_EQ(weft_ctx_cause(below), "SIGINT: Interrupt");
	T_EQ(weft_ctx_reason(again), WEFT_NOT_CANCELED);
	send_self(SIGTERM); /* still caught */
	T_EQ(weft_ctx_wait(again), 0);
	T_STR_EQ(weft_ctx_cause(again), "SIGTERM: Terminated");
	weft_ctx_free(c);
	T_OK(now(SIGTERM) != SIG_DFL); /* the one below holds it */
	weft_ctx_free(below);
	until(now(SIGTERM) == SIG_DFL); /* who has cancelled it may still be about to give its reference back */
	T_OK(now(SIGINT) == SIG_DFL);
	return 0;
}

TEST_WORKERS(context)
{
	run_signals(ctx_main, NULL);
}

static int ended_main(void *arg)
{
	weft_ctx *c = weft_ctx_on_signal(NULL, SIGRTMIN + 1), *d = weft_ctx_on_signal(NULL, SIGRTMIN + 1);

	(void)arg;
	T_EQ(weft_ctx_cancel(c, 0), 0);
	send_self(SIGRTMIN + 1); /* a first for d, one more for c */
	T_EQ(weft_ctx_wait(d), 0);
	T_STR_EQ(weft_ctx_cause(d), "SIGRTMIN+1");
	T_EQ(weft_ctx_wait(weft_ctx_signal_again(c)), 0);
	T_EQ(weft_ctx_reason(c), WEFT_REASON_CANCELED);
	T_EQ(weft_ctx_reason(weft_ctx_signal_again(d)), WEFT_NOT_CANCELED);
	weft_ctx_free(c);
	weft_ctx_free(d);
	return 0;
}

TEST_WORKERS(context_that_had_ended)
{
	run_signals(ended_main, NULL);
}

/* --- runtimes come and go --- */

static int gets_one_main(void *arg)
{
	return next(arg) != SIGUSR1;
}

/* A signal waits for the next runtime, and for the one after that. */
TEST_WORKERS(between_two_runs)
{
	weft_chan *c = ints(1);

	warm();
	T_EQ(weft_signal_notify(c, SIGUSR1), 0);
	for (int i = 0; i < 3; i++) {
		send_self(SIGUSR1);
		run(gets_one_main, c);
	}
	T_EQ(weft_signal_stop(c), 0);
	weft_chan_free(c);
}

static int leaves_main(void *arg)
{
	T_EQ(weft_chan_send(arg, &(int){-1}), 0);
	send_self(SIGUSR1);
	until_offered(arg);
	return 0;
}

/* The runtime goes while a signal waits for room. */
TEST_WORKERS(kept_over_the_end_of_a_run)
{
	weft_chan *c = ints(1);

	warm();
	T_EQ(weft_signal_notify(c, SIGUSR1), 0);
	run(leaves_main, c);
	T_EQ(next(c), -1);
	run(gets_one_main, c);
	T_EQ(weft_signal_stop(c), 0);
	weft_chan_free(c);
}

static int deadlock_main(void *arg)
{
	weft_chan *c = ints(1);

	(void)arg;
	T_EQ(weft_signal_notify(c, SIGUSR1), 0);
	send_self(SIGUSR1);
	T_EQ(next(c), SIGUSR1);
	T_EQ(weft_signal_stop(c), 0);
	return weft_chan_recv(c, NULL);
}

/* Whoever has stopped asking for signals can be in a deadlock again. */
TEST_WORKERS(deadlock_afterwards)
{
	tap_leaky(); /* the channel */
	warm();
	T_EQ(run_with(deadlock_main, NULL, (weft_opts){.workers = 0}), WEFT_EDEADLK);
}

static int full_house_main(void *arg)
{
	weft_chan *c = ints(1);

	(void)arg;
	T_EQ(weft_signal_notify(c, SIGUSR1), WEFT_EAGAIN);
	T_OK(now(SIGUSR1) == SIG_DFL);
	T_OK(!weft_ctx_on_signal(NULL, SIGUSR1));
	T_OK(now(SIGUSR1) == SIG_DFL);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(no_task_for_it)
{
	warm();
	T_EQ(run_with(full_house_main, NULL, (weft_opts){.workers = 0, .max_tasks = 1}), 0);
}

/* --- threads --- */

static void *thread_main(void *arg)
{
	weft_chan *c = ints(1);

	(void)arg;
	for (int i = 0; i < 10; i++) {
		T_EQ(weft_signal_notify(c, SIGUSR2), 0);
		send_self(SIGUSR2);
		T_EQ(next(c), SIGUSR2);
		T_EQ(weft_signal_stop(c), 0);
	}
	weft_chan_free(c);
	return NULL;
}

struct foreign {
	pthread_t thread;
	ATOMIC(bool) over;
};

static void *thread_then_over(void *arg)
{
	struct foreign *f = arg;

	thread_main(NULL);
	store_release(&f->over, true); /* pairs with load_acquire in foreign_main */
	return NULL;
}

static int foreign_main(void *arg)
{
	struct foreign f = {.over = false};

	(void)arg;
	T_EQ(pthread_create(&f.thread, NULL, thread_then_over, &f), 0);
	until(load_acquire(&f.over)); /* pairs with store_release in thread_then_over */
	T_EQ(pthread_join(f.thread, NULL), 0);
	return 0;
}

TEST_WORKERS(from_a_thread)
{
	run_signals(foreign_main, NULL);
}

/* --- many --- */

struct storm {
	ATOMIC(bool) stop, over;
	ATOMIC(int) rounds;
};

static void *storm_thread(void *arg)
{
	struct storm *s = arg;

	while (!load_acquire(&s->stop)) { /* pairs with store_release in storm_main */
		send_self(SIGUSR1);
		send_self(SIGUSR2);
		sched_yield();
	}
	store_release(&s->over, true); /* pairs with load_acquire in storm_main */
	return NULL;
}

static int comes_and_goes(void *arg)
{
	long n = tap_iters(100);

	(void)arg;
	for (long i = 0; i < n; i++) {
		weft_chan *c = ints((size_t)i % 3);
		weft_ctx *ctx = weft_ctx_on_signal(NULL, SIGUSR2);

		T_EQ(weft_signal_notify(c, SIGUSR1), 0);
		T_EQ(next(c), SIGUSR1);
		T_EQ(weft_ctx_wait(ctx), 0);
		T_EQ(weft_signal_stop(c), 0);
		if (weft_chan_len(c) == 0)
			T_EQ(weft_chan_tryrecv(c, NULL), WEFT_EAGAIN);
		weft_ctx_free(ctx);
		weft_chan_free(c);
	}
	return 0;
}

static int storm_main(void *arg)
{
	struct storm s = {.stop = false};
	weft_task *t[4];
	pthread_t th;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, storm_thread, &s), 0);
	for (int i = 0; i < 4; i++)
		t[i] = start(comes_and_goes, NULL);
	for (int i = 0; i < 4; i++)
		T_EQ(finish(t[i]), 0);
	store_release(&s.stop, true);
	until(load_acquire(&s.over));
	T_EQ(pthread_join(th, NULL), 0);
	return 0;
}

/* Channels and contexts come and go while signals arrive. */
TEST_WORKERS(storm)
{
	struct sigaction sa = {.sa_handler = counts, .sa_flags = SA_RESTART};

	T_EQ(sigaction(SIGUSR1, &sa, NULL), 0); /* they arrive also when nobody has asked */
	T_EQ(sigaction(SIGUSR2, &sa, NULL), 0);
	run_signals(storm_main, NULL);
	T_OK(now(SIGUSR1) == counts);
}

/* --- forked while no runtime is up --- */

static int hears_once(void *arg)
{
	weft_chan *c = ints(1);

	T_EQ(weft_signal_notify(c, SIGUSR1), 0);
	T_EQ(write(*(int *)arg, "u", 1), 1); /* up */
	T_EQ(next(c), SIGUSR1);
	T_EQ(weft_signal_stop(c), 0);
	weft_chan_free(c);
	return 0;
}

static pid_t half(int up)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(weft_run(hears_once, &up, &(weft_opts){.workers = 1}) != 0);
	T_GT(pid, 0);
	return pid;
}

/* Neither half takes the other's wake-ups. */
TEST(each_half_of_a_fork_hears_its_own)
{
	weft_chan *c = ints(1);
	char up[2];

	if (weft__san & SAN_TSAN)
		tap_skip("a forked half has none of ThreadSanitizer's threads, and may wait for them");
	T_EQ(weft_signal_notify(c, SIGUSR1), 0); /* it stays caught */
	for (int i = 0; i < 100; i++) {
		pid_t pid[2];
		int fds[2], status;

		T_EQ(pipe(fds), 0);
		for (int k = 0; k < 2; k++)
			pid[k] = half(fds[1]);
		for (int k = 0; k < 2; k++)
			T_EQ(read(fds[0], &up[k], 1), 1);
		for (int k = 0; k < 2; k++) {
			T_EQ(kill(pid[k], SIGUSR1), 0);
			T_EQ(waitpid(pid[k], &status, 0), pid[k]);
			T_EQ(status, 0);
		}
		close(fds[0]);
		close(fds[1]);
	}
	T_EQ(weft_signal_stop(c), 0);
	weft_chan_free(c);
}
