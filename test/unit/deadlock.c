/* SPDX-License-Identifier: MIT
 *
 * deadlock.c - is it noticed when every task waits for another, is the report worth reading, and is nothing else called a deadlock?
 */
#include "base/atomic.h"
#include "base/compiler.h"
#include "dumped.h"
#include "tap.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft.h>

static ATOMIC(int) flag;

/* Channels that deadlocked tasks leave behind. */
static chan *channels[16];
static int nchannels;

static chan *channel(size_t cap)
{
	T_LT(nchannels, 16);
	channels[nchannels] = chan_make(sizeof(int), cap);
	T_OK(channels[nchannels] != NULL);
	return channels[nchannels++];
}

static void channels_free(void)
{
	while (nchannels)
		chan_free(channels[--nchannels]);
}

static char *run(weft_task_fn *fn, int expect)
{
	int rc;

	unsetenv("WEFT_STACK_REPORT"); /* which would say more there */
	hear();
	tap_leaky(); /* what the tasks hold that never run again */
	rc = weft_run(fn, NULL, NULL);
	channels_free();
	if (rc != expect)
		free(heard_text());
	T_EQ(rc, expect);
	return heard_text();
}

/* Ends in a deadlock whose report says all of what. */
static void deadlocks(weft_task_fn *fn, const char *const *what)
{
	char *text = run(fn, WEFT_EDEADLK);

	T_STR_HAS(text, "weft: deadlock: ");
	for (; *what; what++)
		T_STR_HAS(text, *what);
	free(text);
}

#define DEADLOCKS(fn, ...) deadlocks(fn, (const char *const[]){__VA_ARGS__, NULL})

/* Returns 0 and says nothing. */
static void goes_well(weft_task_fn *fn)
{
	char *text = run(fn, 0);

	T_STR_EQ(text, "");
	free(text);
}

/* --- deadlocks --- */

static int recv_main(void *arg)
{
	chan *c = channel(0);
	int x;

	(void)arg;
	chan_recv(c, &x);
	NO_TAIL_CALL();
	return 0;
}

TEST_WORKERS(receive_from_a_channel_that_nobody_sends_to)
{
	DEADLOCKS(recv_main, ", main, recv_main: parked, chan receive", "recv_main+");
}

static int held_main(void *arg)
{
	void *slot;

	(void)arg;
	T_EQ(chan_open(&channels[nchannels++], &(chan_opts){.elem = sizeof(int), .cap = 1, .name = "slots"}), 0);
	T_EQ(chan_reserve(channels[0], &slot), 0);
	T_EQ(chan_send(channels[0], &(int){1}), 0);
	return 0;
}

/* The report says which channel it is, and who has the slot that the task waits for. */
TEST(reserved_and_forgotten)
{
	char *text;

	hear();
	tap_leaky();
	T_EQ(weft_run(held_main, NULL, NULL), WEFT_EDEADLK);
	text = heard_text();
	T_STR_HAS(text, "waits to send to \"slots\" (4 bytes, cap 1, 0 in it), reserved by task 1\n");
	free(text);
}

TEST_WORKERS(deadlock_after_a_deadlock_is_noticed_again)
{
	DEADLOCKS(recv_main, "recv_main+");
	DEADLOCKS(recv_main, "recv_main+");
}

static void hand_on(chan *from, chan *to)
{
	int x;

	chan_recv(from, &x);
	chan_send(to, &x);
}

static int ring_main(void *arg)
{
	chan *c[10];
	int x;

	(void)arg;
	for (int i = 0; i < 10; i++)
		c[i] = channel(0);
	for (int i = 0; i < 9; i++)
		T_EQ(go(hand_on, c[i], c[i + 1]), 0);
	chan_recv(c[9], &x);
	NO_TAIL_CALL();
	return 0;
}

TEST_WORKERS(ring_of_tasks_each_waiting_for_the_one_before)
{
	char *text = run(ring_main, WEFT_EDEADLK), *at = text;
	int n = 0;

	T_STR_HAS(text, "weft: deadlock: all 10 tasks wait for each other\n");
	while ((at = strstr(at, " hand_on: parked, chan receive"))) {
		T_OK(strstr(at, "; started at ") && strstr(at, "; started at ") < strchr(at, '\n'));
		at++;
		n++;
	}
	T_EQ(n, 9);
	free(text);
}

static weft_mutex m1, m2;

static void lock_both(weft_mutex *first, weft_mutex *second)
{
	weft_mutex_lock(first);
	add_acq_rel(&flag, 1);
	while (load_acquire(&flag) < 2)
		task_yield();
	weft_mutex_lock(second);
	weft_mutex_unlock(second);
	weft_mutex_unlock(first);
}

static int mutex_main(void *arg)
{
	(void)arg;
	T_EQ(go(lock_both, &m1, &m2), 0);
	lock_both(&m2, &m1);
	NO_TAIL_CALL();
	return 0;
}

TEST_WORKERS(two_tasks_that_lock_in_opposite_order)
{
	DEADLOCKS(mutex_main, "all 2 tasks", " lock_both: parked, mutex 0x", ", main, mutex_main: parked, mutex 0x", "lock_both+",
		  ", held by task ", " (lock_both)", " (main)");
}

/* Each of three waits for what the next holds: main for the recursive mutex, its task for what main reads, that one's for what main has begun. */
static weft_rmutex rm;
static weft_rwlock rw;
static weft_once begun;

static void never(void *arg)
{
	(void)arg;
}

static int waits_for_writer(void *arg)
{
	(void)arg;
	T_EQ(weft_rmutex_lock(&rm), 0);
	add_acq_rel(&flag, 1);
	weft_rwlock_rdlock(&rw);
	NO_TAIL_CALL();
	return 0;
}

static int waits_for_once(void *arg)
{
	(void)arg;
	T_EQ(weft_task_name("writer"), 0);
	T_EQ(weft_rwlock_wrlock(&rw), 0);
	add_acq_rel(&flag, 1);
	weft_once_do(&begun, never, NULL);
	NO_TAIL_CALL();
	return 0;
}

static void begins(void *arg)
{
	(void)arg;
	T_EQ(go_opts(NULL, waits_for_once, NULL, NULL), 0);
	while (load_acquire(&flag) < 1)
		task_yield();
	T_EQ(go_opts(NULL, waits_for_writer, NULL, NULL), 0);
	while (load_acquire(&flag) < 2)
		task_yield();
	weft_rmutex_lock(&rm);
	NO_TAIL_CALL();
}

static int owners_main(void *arg)
{
	(void)arg;
	weft_once_do(&begun, begins, NULL);
	NO_TAIL_CALL();
	return 0;
}

/* The report says who holds what each waits for. */
TEST_WORKERS(three_tasks_that_wait_for_what_the_next_holds)
{
	char text[3][128];

	snprintf(text[0], sizeof text[0], "parked, mutex %p, held by task ", (void *)&rm);
	snprintf(text[1], sizeof text[1], "parked, read lock %p, held by task ", (void *)&rw);
	snprintf(text[2], sizeof text[2], "parked, once %p, held by task ", (void *)&begun);
	DEADLOCKS(owners_main, "all 3 tasks", text[0], text[1], text[2], " (waits_for_writer)", " (writer)", " (main)");
}

static int readers_main(void *arg)
{
	(void)arg;
	T_EQ(weft_rwlock_rdlock(&rw), 0);
	weft_rwlock_wrlock(&rw);
	NO_TAIL_CALL();
	return 0;
}

/* Of readers only that there are some is known. */
TEST_WORKERS(reader_that_waits_to_write)
{
	DEADLOCKS(readers_main, "parked, write lock 0x");
}

static weft_task *joins[2];

static int joiner(void *arg)
{
	while (!load_acquire(&flag))
		task_yield();
	task_join(joins[!(arg == &joins[1])], NULL);
	NO_TAIL_CALL();
	return 0;
}

static int join_main(void *arg)
{
	(void)arg;
	T_EQ(go_opts(&joins[0], joiner, &joins[0], &(weft_task_opts){.name = "left"}), 0);
	T_EQ(go_opts(&joins[1], joiner, &joins[1], &(weft_task_opts){.name = "right"}), 0);
	store_release(&flag, 1);
	weft_task_park();
	NO_TAIL_CALL();
	return 0;
}

TEST_WORKERS(two_tasks_that_join_each_other)
{
	DEADLOCKS(join_main, "all 3 tasks", "joiner \"left\": parked, join", "joiner \"right\": parked, join", ": parked, park");
}

static int wg_main(void *arg)
{
	static weft_wg g;

	(void)arg;
	weft_wg_add(&g, 1);
	weft_wg_wait(&g);
	NO_TAIL_CALL();
	return 0;
}

TEST_WORKERS(wait_group_that_nobody_counts_down)
{
	DEADLOCKS(wg_main, "wg_main: parked, wait group");
}

static int select_main(void *arg)
{
	(void)arg;
	chan_select(NULL, 0);
	NO_TAIL_CALL();
	return 0;
}

TEST_WORKERS(select_without_cases)
{
	DEADLOCKS(select_main, "select_main: parked, select");
}

static int parks_for_good(void *arg)
{
	(void)arg;
	return weft_task_park();
}

static int select_exit_main(void *arg)
{
	task *t;

	(void)arg;
	T_EQ(go_opts(&t, parks_for_good, NULL, NULL), 0);
	chan_case k[] = {CASE_EXIT(t, NULL), CASE_RECV(channel(0), NULL)};
	chan_select(k, 2);
	NO_TAIL_CALL();
	return 0;
}

TEST_WORKERS(select_of_what_only_tasks_can_do)
{
	DEADLOCKS(select_exit_main, "all 2 tasks", "select_exit_main: parked, select", "parks_for_good: parked, park");
}

static int park_main(void *arg)
{
	(void)arg;
	weft_task_park();
	NO_TAIL_CALL();
	return 0;
}

TEST_WORKERS(park_that_nobody_ends)
{
	DEADLOCKS(park_main, "park_main: parked, park");
}

static int sleep_for_ever_main(void *arg)
{
	(void)arg;
	weft_task_sleep(INT64_MAX);
	NO_TAIL_CALL();
	return 0;
}

TEST_WORKERS(sleep_without_end)
{
	DEADLOCKS(sleep_for_ever_main, "sleep_for_ever_main: parked, sleep");
}

static void passes_by(chan *c, int x)
{
	chan_send(c, &x);
}

static int later_main(void *arg)
{
	chan *c = channel(4);
	int x;

	(void)arg;
	for (int i = 0; i < 10000; i++) {
		T_EQ(go(passes_by, c, i), 0);
		if (i % 100 == 99) {
			for (int k = 0; k < 100; k++)
				T_EQ(chan_recv(c, &x), 0);
		}
	}
	task_sleep(1 * MS);
	chan_recv(c, &x);
	NO_TAIL_CALL();
	return 0;
}

TEST_WORKERS(deadlock_after_many_tasks_have_come_and_gone)
{
	DEADLOCKS(later_main, ", main, later_main: parked, chan receive");
}

static int program(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return recv_main(NULL);
}

/* What main has that never returned is lost: LeakSanitizer is not to look, which it does where going down takes so long that the monitor calls exit. */
static bool in_main;
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
	return in_main;
}

TEST_WORKERS(weft_main_exits_with_2)
{
	char *text;
	int status;
	pid_t pid;

	hear();
	pid = fork(); /* where a worker is late to leave, the process is ended before it returns */
	T_GE(pid, 0);
	if (pid == 0) {
		in_main = true;
		_exit(weft__run_main(program, 0, NULL));
	}
	T_EQ(waitpid(pid, &status, 0), pid);
	text = heard_text();
	T_OK(WIFEXITED(status));
	T_EQ(WEXITSTATUS(status), 2);
	T_STR_HAS(text, "weft: deadlock: ");
	T_STR_HAS(text, "parked, chan receive");
	free(text);
}

/* --- no deadlocks --- */

static int sleeping_main(void *arg)
{
	(void)arg;
	return weft_task_sleep(50 * MS);
}

TEST_WORKERS(sleeping_task_is_no_deadlock)
{
	goes_well(sleeping_main);
}

static int until_main(void *arg)
{
	chan *c = channel(0);
	int x;

	(void)arg;
	T_EQ(chan_recv_until(c, &x, weft_in(50 * MS)), WEFT_ETIMEDOUT);
	return 0;
}

TEST_WORKERS(wait_with_a_deadline_is_no_deadlock)
{
	goes_well(until_main);
}

static void wakes(void *arg)
{
	weft_task_unpark(arg);
}

static int timer_main(void *arg)
{
	weft_timer *t = weft_timer_after(50 * MS, wakes, weft_task_self());

	(void)arg;
	T_OK(t != NULL);
	T_EQ(weft_task_park(), 0);
	weft_timer_free(t);
	return 0;
}

TEST_WORKERS(pending_timer_is_no_deadlock)
{
	goes_well(timer_main);
}

static int select_fd_main(void *arg)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	chan_case k[] = {CASE_RECV(channel(0), NULL), CASE_FD(fd, IO_R)};

	(void)arg;
	T_GE(fd, 0);
	T_EQ(timerfd_settime(fd, 0, &(struct itimerspec){.it_value.tv_nsec = 60000000}, NULL), 0);
	T_EQ(chan_select(k, 2), 1);
	T_EQ(io_forget(fd), 0);
	close(fd);
	return 0;
}

TEST_WORKERS(select_with_a_descriptor_is_no_deadlock)
{
	goes_well(select_fd_main);
}

static void late(chan *c)
{
	int x = 1;

	task_sleep(30 * MS);
	chan_send(c, &x);
}

static int one_sleeps_main(void *arg)
{
	chan *c = channel(0);
	int x;

	(void)arg;
	T_EQ(go(late, c), 0);
	T_EQ(chan_recv(c, &x), 0);
	return 0;
}

TEST_WORKERS(task_that_sleeps_is_hope_for_the_others)
{
	goes_well(one_sleeps_main);
}

static void *sends_later(void *arg)
{
	struct stat st;
	int x = 7;

	while (fstat(heard, &st) == 0 && st.st_size == 0)
		usleep(10000); /* outside weft, until it is said */
	usleep(300000);        /* so that it could be said again */
	T_EQ(chan_send(arg, &x), 0);
	return NULL;
}

static int foreign_main(void *arg)
{
	chan *c = channel(0);
	pthread_t thread;
	int x = 0;

	(void)arg;
	T_EQ(pthread_create(&thread, NULL, sends_later, c), 0);
	T_EQ(chan_recv(c, &x), 0);
	T_EQ(x, 7);
	T_EQ(pthread_join(thread, NULL), 0);
	return 0;
}

TEST_WORKERS(foreign_thread_is_hope_so_it_is_said_once_and_goes_on)
{
	char *text = run(foreign_main, 0),
	     *at = strstr(text, "weft: no task can go on, unless a thread that weft did not make wakes one; going on");

	T_OK(at != NULL);
	T_STR_HAS(text, "foreign_main: parked, chan receive");
	T_OK(strstr(at + 1, "weft: no task can go on") == NULL);
	T_OK(strstr(text, "weft: deadlock") == NULL);
	free(text);
}

static int foreign_gone_main(void *arg)
{
	int x;

	foreign_main(arg);
	return chan_recv(channel(0), &x);
}

/* What was hope before is none when the thread has gone. */
TEST_WORKERS(last_foreign_thread_has_ended)
{
	char *text = run(foreign_gone_main, WEFT_EDEADLK);

	T_STR_HAS(text, "weft: no task can go on, unless");
	T_STR_HAS(text, "weft: deadlock: the only task waits for something that no other can do");
	free(text);
}

static void *exits_later(void *arg)
{
	(void)arg;
	usleep(200000);
	weft_exit(5);
	return NULL;
}

static pthread_t exiter;

static int unchecked_main(void *arg)
{
	(void)arg;
	T_EQ(pthread_create(&exiter, NULL, exits_later, NULL), 0);
	weft_task_park();
	NO_TAIL_CALL();
	return 0;
}

TEST_WORKERS(nothing_is_said_when_not_asked_to_look)
{
	char *text;
	int rc;

	unsetenv("WEFT_STACK_REPORT");
	hear();
	tap_leaky();
	rc = weft_run(unchecked_main, NULL, &(weft_opts){.no_deadlock = true});
	text = heard_text();
	T_EQ(rc, 5);
	T_STR_EQ(text, "");
	free(text);
	pthread_join(exiter, NULL);
}

/* Everyone waits for a moment again and again, but somebody always goes on. */
static int busy_main(void *arg)
{
	chan *there = channel(0), *back = channel(0);
	int x = 0;

	(void)arg;
	for (long i = 0; i < tap_iters(20000); i++) {
		T_EQ(go(hand_on, there, back), 0);
		T_EQ(chan_send(there, &x), 0);
		T_EQ(chan_recv(back, &x), 0);
	}
	return 0;
}

TEST_WORKERS(waiting_for_each_other_for_a_moment_is_no_deadlock)
{
	goes_well(busy_main);
}
