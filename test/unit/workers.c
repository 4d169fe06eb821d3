/* SPDX-License-Identifier: MIT
 *
 * workers.c - workers come and go while tasks run: nothing is lost, nobody waits for one that has gone, spares come when all are stuck, and the machine's number is followed.
 */
#include "rt.h"

#include "base/config.h"
#include "base/cpus.h"
#include "base/solo.h"
#include "dumped.h"
#include "weft/io.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static weft_stat stats(void)
{
	weft_stat s;

	T_EQ(weft_stats(&s), 0);
	return s;
}

static uint32_t resting(void)
{
	uint32_t state = load_relaxed(&weft__rt->idle.state);

	return idle_asleep(state) - idle_sleeping(state);
}

/* Until all that were taken away sleep. */
static void until_rested(void)
{
	until(resting() == rt_seats(weft__rt) - rt_active(weft__rt));
}

/* --- how many at once --- */

static ATOMIC(int) begun, wanted_at_once;

static int one_of_many(void *arg)
{
	(void)arg;
	add_relaxed(&begun, 1);
	while (load_relaxed(&begun) < load_relaxed(&wanted_at_once)) /* stays on its worker: only so many workers end it */
		sched_yield();
	return weft_task_worker();
}

/* n tasks that all run at the same time: the caller waits meanwhile. */
static void at_once(int n)
{
	weft_task *t[8];

	T_LE(n, 8);
	store_relaxed(&begun, 0);
	store_relaxed(&wanted_at_once, n);
	for (int i = 0; i < n; i++)
		t[i] = start(one_of_many, NULL);
	for (int i = 0; i < n; i++)
		T_GE(finish(t[i]), 1); /* one that is about to rest may have taken it: only_first */
}

static int where(void *arg)
{
	(void)arg;
	return weft_task_worker();
}

/* All that is started from here on runs on the first n. */
static void only_first(int n)
{
	until_rested();
	for (int i = 0; i < 50; i++)
		T_LE(finish(start(where, NULL)), n);
}

static int grow_main(void *arg)
{
	(void)arg;
	tap_limit(60);
	T_EQ(stats().workers, tap_workers());
	at_once(tap_workers());
	for (int round = 0; round < 3; round++) {
		T_EQ(weft_workers_set(8), 0);
		T_EQ(stats().workers, 8);
		at_once(8);
		T_EQ(weft_workers_set(3), 0);
		T_EQ(stats().workers, 3);
		at_once(3);
		only_first(3);
		T_EQ(weft_workers_set(1), 0);
		only_first(1);
		T_EQ(weft_task_worker(), 1);
		T_EQ(weft_workers_set(1), 0);
		at_once(1);
	}
	T_EQ(rt_seats(weft__rt), 8); /* the same seats each time */
	return 0;
}

/* As many tasks run at once as there are workers now, and those that were taken away run none. */
TEST_WORKERS(grow_and_shrink)
{
	run(grow_main, NULL);
}

static int wrong_main(void *arg)
{
	(void)arg;
	T_EQ(weft_workers_set(-1), WEFT_EINVAL);
	T_EQ(weft_workers_set(513), WEFT_EINVAL);
	T_EQ(weft_workers_set(6), WEFT_EINVAL); /* more than there are seats */
	T_EQ(stats().workers, tap_workers() < 5 ? tap_workers() : 5);
	T_EQ(weft_workers_set(5), 0);
	T_EQ(weft_go_opts(NULL, nothing, NULL, &(weft_task_opts){.worker = 5}), 0);
	T_EQ(weft_workers_set(2), 0);
	T_EQ(weft_go_opts(NULL, nothing, NULL, &(weft_task_opts){.worker = 3}), WEFT_EINVAL);
	T_EQ(weft_go_opts(NULL, nothing, NULL, &(weft_task_opts){.worker = 2}), 0);
	at_once(2);
	return 0;
}

TEST_WORKERS(wrong_numbers)
{
	T_EQ(weft_workers_set(1), WEFT_ESRCH);
	T_EQ(weft_run(nothing, NULL, &(weft_opts){.workers_max = 513}), WEFT_EINVAL);
	T_EQ(weft_run(nothing, NULL, &(weft_opts){.workers_max = -1}), WEFT_EINVAL);
	T_EQ(weft_run(nothing, NULL, &(weft_opts){.workers = 3, .workers_max = 2}), WEFT_EINVAL);
	T_EQ(weft_run(nothing, NULL, &(weft_opts){.spares = 513}), WEFT_EINVAL);
	setenv("WEFT_SPARES", "x", 1);
	T_EQ(weft_run(nothing, NULL, NULL), WEFT_EINVAL);
	setenv("WEFT_SPARES", "0", 1);
	setenv("WEFT_WORKERS_MAX", "513", 1);
	T_EQ(weft_run(nothing, NULL, NULL), WEFT_EINVAL);
	setenv("WEFT_WORKERS_MAX", "2", 1);
	setenv("WEFT_WORKERS", "3", 1);
	T_EQ(weft_run(nothing, NULL, NULL), WEFT_EINVAL);
	unsetenv("WEFT_WORKERS");
	setenv("WEFT_WORKERS_MAX", "5", 1);
	T_EQ(run_with(wrong_main, NULL, (weft_opts){.workers = tap_workers() < 5 ? tap_workers() : 5}), 0);
}

static int env_main(void *arg)
{
	(void)arg;
	T_EQ(stats().workers, 3);
	T_EQ(weft_workers_set(2), 0);
	T_EQ(weft_workers_set(0), 0);
	T_EQ(stats().workers, 3);
	return 0;
}

/* 0 is the environment's number, else the machine's. */
TEST(zero_is_the_default)
{
	setenv("WEFT_WORKERS", "3", 1);
	T_EQ(weft_run(env_main, NULL, NULL), 0);
	nothing_left();
}

/* --- in the thick of it --- */

struct storm {
	weft_chan *c;
	ATOMIC(int) sum, todo;
	ATOMIC(bool) over;
};

static int sender(void *arg)
{
	struct storm *s = arg;
	int v = 1;

	T_EQ(weft_chan_send(s->c, &v), 0);
	weft_task_yield();
	return 0;
}

static int receiver(void *arg)
{
	struct storm *s = arg;
	int v;

	T_EQ(weft_chan_recv(s->c, &v), 0);
	add_relaxed(&s->sum, v);
	return 0;
}

static int sleeper(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++)
		T_EQ(weft_task_sleep(i * 100 * WEFT_US), 0);
	return 0;
}

static int pinned(void *arg)
{
	int at;
	pid_t tid;

	(void)arg;
	weft_task_pin();
	at = weft_task_worker();
	tid = gettid();
	for (int i = 0; i < 5; i++) {
		weft_task_yield();
		T_EQ(weft_task_sleep(50 * WEFT_US), 0);
		T_EQ(finish(start(nothing, NULL)), 0);
		T_EQ(weft_task_worker(), at);
		T_EQ(gettid(), tid);
	}
	weft_task_unpin();
	weft_task_yield();
	return 0;
}

static int reads(void *arg)
{
	int fd = *(int *)arg;
	char c;

	while (read(fd, &c, 1) != 1) {
		T_EQ(errno, EAGAIN);
		T_EQ(weft_io_wait(fd, WEFT_IO_R), WEFT_IO_R);
	}
	return 0;
}

static int through_a_pipe(void *arg)
{
	int fd[2];
	weft_task *t;

	(void)arg;
	T_EQ(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
	t = start(reads, &fd[0]);
	weft_task_sleep(100 * WEFT_US);
	T_EQ(write(fd[1], "x", 1), 1);
	T_EQ(finish(t), 0);
	(void)weft_io_forget(fd[0]); /* if it was waited for */
	close(fd[0]);
	close(fd[1]);
	return 0;
}

static int boss(void *arg)
{
	struct storm *s = arg;
	unsigned r = 1;

	while (!load_relaxed(&s->over)) {
		r = r * 1103515245 + 12345;
		T_EQ(weft_workers_set((int)(r >> 16) % 8 + 1), 0);
		weft_task_yield();
	}
	return 0;
}

static void *boss_thread(void *arg)
{
	struct storm *s = arg;
	unsigned r = 7;

	while (!load_relaxed(&s->over)) {
		r = r * 1103515245 + 12345;
		T_EQ(weft_workers_set((int)(r >> 16) % 8 + 1), 0);
		sched_yield();
	}
	return NULL;
}

static int storm_main(void *arg)
{
	static weft_task_fn *const kinds[] = {sender, receiver, sleeper, pinned, through_a_pipe};
	struct storm s = {.c = weft_chan_make(sizeof(int), 2)};
	weft_task *t[5 * 8], *b = start(boss, &s);
	bool thread = arg != NULL;
	pthread_t id;

	if (thread)
		T_EQ(pthread_create(&id, NULL, boss_thread, &s), 0);
	for (long round = 0; round < tap_iters(20); round++) {
		for (size_t i = 0; i < ARRAY_LEN(t); i++)
			T_EQ(weft_go_opts(&t[i], kinds[i % ARRAY_LEN(kinds)], &s,
					  &(weft_task_opts){.prio = (enum weft_prio)((int)(i + (size_t)round) % 3 - 1)}),
			     0);
		for (size_t i = 0; i < ARRAY_LEN(t); i++)
			T_EQ(finish(t[i]), 0);
	}
	store_relaxed(&s.over, true);
	T_EQ(finish(b), 0);
	if (thread)
		pthread_join(id, NULL);
	T_EQ(load_relaxed(&s.sum), 8 * tap_iters(20));
	weft_chan_free(s.c);
	T_EQ(weft_workers_set(4), 0);
	at_once(4);
	return 0;
}

/* Starts, channels, timers, descriptors and pinned tasks, of all classes, while a task changes the number of workers at each of its turns. */
TEST_WORKERS(storm)
{
	run(storm_main, NULL);
}

/* And a thread that is no worker, too. */
TEST_WORKERS(storm_of_two)
{
	run(storm_main, (char[]){""});
}

/* --- classes --- */

enum { OF_EACH = 10, CLASSES = 3 };

static weft_task *left[CLASSES * OF_EACH];
static ATOMIC(bool) leaving;

/* Runs on worker 2. */
static int leaves(void *arg)
{
	(void)arg;
	T_EQ(weft_task_worker(), 2);
	for (int i = 0; i < CLASSES; i++)
		T_EQ(weft_go_opts(&left[i], where, NULL, &(weft_task_opts){.worker = 2, .prio = (enum weft_prio)(i % CLASSES - 1)}), 0);
	T_EQ(weft_workers_set(1), 0);
	for (int i = CLASSES; i < CLASSES * OF_EACH; i++)
		T_EQ(weft_go_opts(&left[i], where, NULL, &(weft_task_opts){.prio = (enum weft_prio)(i % CLASSES - 1)}), 0);
	store_release(&leaving, true); /* pairs with load_acquire in classes_main */
	return 0;
}

static int classes_main(void *arg)
{
	weft_task *t;

	(void)arg;
	T_EQ(weft_task_worker(), 1);
	T_EQ(weft_go_opts(&t, leaves, NULL, &(weft_task_opts){.worker = 2}), 0);
	while (!load_acquire(&leaving) || resting() != 1) /* stays on its worker, so nobody takes any; pairs with store_release in leaves */
		sched_yield();
	T_EQ(injectq_len(&weft__rt->inject), OF_EACH);
	for (int q = 0; q < PRIOQ_COUNT; q++)
		T_EQ(injectq_len(&weft__rt->classed[q]), OF_EACH);
	for (int i = 0; i < CLASSES * OF_EACH; i++)
		T_EQ(finish(left[i]), 1);
	T_EQ(finish(t), 0);
	return 0;
}

/* What a worker that is taken away has of each class, on its queues and placed on it, it hands on to the runtime's queue of that class. */
TEST(classes_are_handed_on)
{
	unsetenv("WEFT_PRIO");
	T_EQ(run_with(classes_main, NULL, (weft_opts){.workers = 2, .spares = -1}), 0);
}

static ATOMIC(int) settled;

static int stays_there(void *arg)
{
	int at;

	(void)arg;
	weft_task_pin();
	at = weft_task_worker();
	add_relaxed(&settled, 1);
	for (int i = 0; i < 5; i++) {
		T_EQ(weft_task_park(), 0);
		T_EQ(weft_task_worker(), at);
		weft_task_yield();
		T_EQ(weft_task_worker(), at);
	}
	weft_task_unpin();
	weft_task_yield();
	return 0;
}

static int stay_main(void *arg)
{
	weft_task *t[CLASSES];

	(void)arg;
	T_EQ(weft_workers_set(2), 0);
	for (int i = 0; i < CLASSES; i++)
		T_EQ(weft_go_opts(&t[i], stays_there, NULL, &(weft_task_opts){.worker = 2, .prio = (enum weft_prio)(i - 1)}), 0);
	until(load_relaxed(&settled) == CLASSES);
	T_EQ(weft_workers_set(1), 0);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < CLASSES; i++) {
			until_parked(t[i]);
			weft_task_unpark(t[i]);
		}
	}
	for (int i = 0; i < CLASSES; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* And those of all classes that are pinned to it go on there. */
TEST_WORKERS(classes_that_stay)
{
	run(stay_main, NULL);
}

/* --- one that does not come to a schedule --- */

struct stuck {
	ATOMIC(bool) go, is;
	ATOMIC(int) at;
};

static int is_stuck(void *arg)
{
	struct stuck *s = arg;

	store_relaxed(&s->at, weft_task_worker());
	store_release(&s->is, true); /* pairs with load_acquire in who waits */
	while (!load_acquire(&s->go))
		sched_yield();
	return 0;
}

static int shrink_main(void *arg)
{
	struct stuck s = {.go = false};
	weft_task *t, *placed;

	(void)arg;
	weft_task_pin(); /* to one that stays, or the stuck one would be it: main begins there */
	T_EQ(weft_task_worker(), 1);
	at_once(tap_workers()); /* all are up */
	T_EQ(weft_workers_set(2), 0);
	until_rested(); /* one that has yet to hear of it may look for work, and take what is left to the first */
	T_EQ(weft_go_opts(&t, is_stuck, &s, &(weft_task_opts){.worker = 2}), 0);
	until(load_acquire(&s.is));
	if (load_relaxed(&s.at) == 2) { /* else it was taken from there */
		T_EQ(weft_go_opts(&placed, where, NULL, &(weft_task_opts){.worker = 2}), 0);
		T_EQ(weft_workers_set(1), 0);
		T_EQ(finish(placed), 1); /* what is in the inbox goes elsewhere */
		T_EQ(finish(start(where, NULL)), 1);
	}
	store_release(&s.go, true);
	T_EQ(finish(t), 0);
	T_EQ(weft_workers_set(1), 0);
	only_first(1);
	weft_task_unpin();
	return 0;
}

/* Down to one while a task is stuck on one that goes. */
TEST_WORKERS(shrink_while_one_is_stuck)
{
	T_EQ(run_with(shrink_main, NULL, (weft_opts){.spares = -1}), 0);
}

/* --- from one --- */

static int pong(void *arg)
{
	struct storm *s = arg;
	int v;

	while (weft_chan_recv(s->c, &v) == 0)
		add_relaxed(&s->sum, 1);
	return 0;
}

static void *more(void *arg)
{
	struct storm *s = arg;

	T_EQ(weft_workers_set(8), 0);
	store_release(&s->over, true);
	return NULL;
}

static int from_one_main(void *arg)
{
	struct storm s = {.c = weft_chan_make(sizeof(int), 4)};
	weft_task *t = start(pong, &s);
	bool thread = arg != NULL;
	int sent = 0;
	pthread_t id;

	T_EQ(load_relaxed(&weft__rt->workers[0].alone), tap_workers() == 1 && weft__asym_on);
	if (thread)
		T_EQ(pthread_create(&id, NULL, more, &s), 0);
	while (!load_acquire(&s.over) || sent < 2000) {
		T_EQ(weft_chan_send(s.c, &sent), 0);
		if (++sent == 1000 && !thread)
			more(&s);
		T_EQ(finish(start(nothing, NULL)), 0);
	}
	if (thread)
		pthread_join(id, NULL);
	T_OK(!load_relaxed(&weft__rt->workers[0].alone));
	T_OK(!solo_is_on());
	T_EQ(weft_chan_close(s.c), 0);
	T_EQ(finish(t), 0);
	T_EQ(load_relaxed(&s.sum), sent);
	weft_chan_free(s.c);
	at_once(8);
	return 0;
}

/* Locks that were elided and queues that had one user are those of several, from one instruction to the next. */
TEST_WORKERS(from_one_to_eight)
{
	run(from_one_main, NULL);
}

/* By a thread, while they are at it. */
TEST_WORKERS(from_one_to_eight_by_a_thread)
{
	run(from_one_main, (char[]){""});
}

static int pinned_main(void *arg)
{
	struct storm s = {.over = false};
	weft_task *t[12];
	pthread_t id;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		t[i] = start(pinned, &s);
	weft_task_pin();
	T_EQ(pthread_create(&id, NULL, more, &s), 0);
	while (!load_acquire(&s.over))
		weft_task_yield();
	T_EQ(weft_task_worker(), 1);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) /* some may have begun after it, on another */
		T_EQ(finish(t[i]), 0);
	pthread_join(id, NULL);
	weft_task_unpin();
	return 0;
}

/* What is pinned lies where only one worker looks, until others come. */
TEST(pinned_from_one_to_eight)
{
	for (long i = 0; i < tap_iters(5); i++)
		T_EQ(run_with(pinned_main, NULL, (weft_opts){.workers = 1}), 0);
}

static void *help(void *arg)
{
	struct stuck *s = arg;

	while (!load_acquire(&s->is))
		sched_yield();
	T_EQ(weft_workers_set(2), 0);
	return NULL;
}

static int sets_go(void *arg)
{
	store_release(&((struct stuck *)arg)->go, true); /* pairs with is_stuck */
	return 0;
}

static int ring_main(void *arg)
{
	struct stuck s = {.go = false};
	weft_task *t = start(sets_go, &s); /* where only the first worker may take it, while it is alone */
	pthread_t id;

	(void)arg;
	T_EQ(pthread_create(&id, NULL, help, &s), 0);
	is_stuck(&s);
	T_EQ(finish(t), 0);
	pthread_join(id, NULL);
	return 0;
}

/* The only worker is stuck, with work in its ring: another is added and takes it. */
TEST(added_while_the_only_one_is_stuck)
{
	T_EQ(run_with(ring_main, NULL, (weft_opts){.workers = 1}), 0);
}

/* --- what is left on a retired one --- */

static int stays_put(void *arg)
{
	struct storm *s = arg;
	pid_t tid;
	int v, at;

	weft_task_pin();
	at = weft_task_worker();
	tid = gettid();
	store_release(&s->over, true);
	while (weft_chan_recv(s->c, &v) == 0) {
		T_EQ(weft_task_worker(), at);
		T_EQ(gettid(), tid);
		T_EQ(weft_task_sleep(WEFT_US), 0);
		T_EQ(finish(start(nothing, NULL)), 0);
		add_relaxed(&s->sum, v);
	}
	weft_task_unpin();
	while (weft_task_worker() != 1)
		weft_task_yield();
	return at;
}

static int left_main(void *arg)
{
	int n = tap_workers() + 1, fd[2], v = 1;
	struct storm s = {.c = weft_chan_make(sizeof(int), 0)};
	weft_task *t, *reader, *late;
	weft_timer *timer;
	int64_t tick;

	(void)arg;
	T_EQ(weft_workers_set(n), 0);
	T_EQ(weft_go_opts(&t, stays_put, &s, &(weft_task_opts){.worker = n}), 0);
	until(load_acquire(&s.over));
	T_EQ(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
	T_EQ(weft_go_opts(&reader, reads, &fd[0], &(weft_task_opts){.worker = n}), 0);
	T_EQ(weft_go_opts(&late, sleeper, NULL, &(weft_task_opts){.worker = n}), 0);
	until_parked(reader);
	timer = weft_ticker_make(WEFT_MS);
	T_OK(timer != NULL);
	T_EQ(weft_workers_set(1), 0);
	for (int i = 0; i < 20; i++)
		T_EQ(weft_chan_send(s.c, &v), 0);
	T_EQ(write(fd[1], "x", 1), 1);
	T_EQ(finish(reader), 0);
	T_EQ(finish(late), 0);
	for (int i = 0; i < 5; i++)
		T_EQ(weft_chan_recv(weft_timer_chan(timer), &tick), 0);
	weft_timer_stop(timer);
	weft_timer_free(timer);
	T_EQ(weft_chan_close(s.c), 0);
	v = finish(t);
	T_GE(v, 1);
	T_EQ(load_relaxed(&s.sum), 20);
	weft_chan_free(s.c);
	(void)weft_io_forget(fd[0]); /* if it was waited for */
	close(fd[0]);
	close(fd[1]);
	only_first(1);
	return 0;
}

/* Pinned tasks run on, descriptors and timers are heard. */
TEST_WORKERS(what_a_retired_one_keeps)
{
	run(left_main, NULL);
}

static int deadlock_main(void *arg)
{
	weft_chan **c = arg;
	int v;

	T_EQ(weft_workers_set(8), 0);
	at_once(8);
	T_EQ(weft_workers_set(1), 0);
	return weft_chan_recv(*c, &v);
}

/* The verdict counts those that were taken away as what they are: asleep. */
TEST_WORKERS(deadlock)
{
	weft_chan *c = weft_chan_make(sizeof(int), 0);

	tap_leaky();
	T_EQ(run_with(deadlock_main, &c, (weft_opts){.workers = 0}), WEFT_EDEADLK);
	weft_chan_free(c);
}

static int idle_main(void *arg)
{
	uint64_t before[8], after[8];

	(void)arg;
	T_EQ(weft_workers_set(8), 0);
	at_once(8);
	T_EQ(weft_workers_set(1), 0);
	until_rested();
	for (int i = 1; i < 8; i++)
		before[i] = load_relaxed(&weft__rt->workers[i].stat_sleeps);
	for (int i = 0; i < 5; i++)
		T_EQ(weft_task_sleep(60 * WEFT_MS), 0); /* the monitor dozes off in between */
	for (int i = 1; i < 8; i++) {
		after[i] = load_relaxed(&weft__rt->workers[i].stat_sleeps);
		T_LE(after[i] - before[i],
		     2); /* it may have been about to sleep, and have been told of its rest only then; not each time */
	}
	return 0;
}

/* One that was taken away does not wake for what is none of its business. */
TEST_WORKERS(the_retired_sleep)
{
	run(idle_main, NULL);
}

/* --- rescue --- */

struct blocked {
	int fd[2];
	ATOMIC(int) in;
	bool spin;
	ATOMIC(bool) go;
};

static int blocks(void *arg)
{
	struct blocked *b = arg;
	char c;

	add_relaxed(&b->in, 1);
	if (!b->spin)
		T_EQ(read(b->fd[0], &c, 1), 1);
	while (b->spin && !load_acquire(&b->go))
		cpu_relax();
	return 0;
}

static int fills(void *arg)
{
	struct blocked *b = arg;
	int n = tap_workers();
	char *text;

	while (load_relaxed(&b->in) < n)
		weft_task_yield();
	/* no worker but a spare can have come here */
	T_GE(stats().spares, 1);
	T_GE(stats().rescues, 1);
	T_EQ(stats().workers, n);
	T_GT(weft_task_worker(), n);
	text = dumped();
	T_STR_HAS(text, " spare");
	T_STR_HAS(text, " (spare)");
	free(text);
	store_release(&b->go, true); /* pairs with blocks */
	T_EQ(write(b->fd[1], "xxxxxxxx", (size_t)n), n);
	return 0;
}

static int rescue_main(void *arg)
{
	struct blocked b = {.spin = arg != NULL};
	weft_task *t[8], *f;

	tap_limit(60);
	T_EQ(pipe(b.fd), 0);
	for (int i = 0; i < tap_workers(); i++)
		t[i] = start(blocks, &b);
	f = start(fills, &b);
	for (int i = 0; i < tap_workers(); i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(finish(f), 0);
	until(rt_active(weft__rt) == (unsigned)tap_workers()); /* what the monitor changes last */
	T_EQ(stats().spares, 0);
	close(b.fd[0]);
	close(b.fd[1]);
	only_first(tap_workers());
	return 0;
}

/* All workers block in a read of what only a task will write. */
TEST_WORKERS(rescue_from_a_system_call)
{
	T_EQ(run_with(rescue_main, NULL, (weft_opts){.spares = 1}), 0);
}

/* All workers compute, for ever. */
TEST_WORKERS(rescue_from_a_loop)
{
	T_EQ(run_with(rescue_main, (char[]){""}, (weft_opts){.spares = 1}), 0);
}

static int unrescued_main(void *arg)
{
	weft_task *t = start(nothing, NULL);
	int64_t until_then = weft__clock_read() + 150 * WEFT_MS;

	(void)arg;
	while (weft__clock_read() < until_then)
		cpu_relax();
	T_EQ(stats().rescues, 0);
	T_EQ(finish(t), 0);
	return 0;
}

/* Who wants one worker has one; and who wants no spares has none. */
TEST(no_rescue_of_one)
{
	unsetenv("WEFT_WORKERS");
	unsetenv("WEFT_SPARES");
	T_EQ(weft_run(unrescued_main, NULL, &(weft_opts){.workers = 1}), 0);
	T_EQ(weft_run(unrescued_main, NULL, &(weft_opts){.workers = 1, .spares = -1}), 0);
	setenv("WEFT_SPARES", "0", 1);
	T_EQ(weft_run(unrescued_main, NULL, &(weft_opts){.workers = 1}), 0);
	nothing_left();
}

/* --- as many as the machine has room for --- */

static char root[64];

static void put(const char *file, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", root, file);
	f = fopen(path, "w");
	T_OK(f != NULL);
	T_GE(fputs(text, f), 0);
	T_EQ(fclose(f), 0);
}

static void dir(const char *name)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", root, name);
	T_EQ(mkdir(path, 0700), 0);
}

static char where_self[80], where_v2[80], where_v1[80];

/* A tree of groups of our own. */
static void groups(void)
{
	snprintf(root, sizeof root, "/tmp/weft-groups-XXXXXX");
	T_OK(mkdtemp(root) != NULL);
	snprintf(where_self, sizeof where_self, "%s/self", root);
	snprintf(where_v2, sizeof where_v2, "%s/v2", root);
	snprintf(where_v1, sizeof where_v1, "%s/v1", root);
	weft__cpus_where = (struct cpus_where){where_self, where_v2, where_v1};
	dir("v2");
	dir("v2/a");
	dir("v2/a/b");
	dir("v1");
	dir("v1/c");
	put("self", "3:cpuset:/x\n2:cpu,cpuacct:/c\n0::/a/b\n");
	put("v2/a/cpu.max", "max 100000\n");
	put("v2/a/b/cpu.max", "100000 100000\n");
}

static void groups_end(void)
{
	char cmd[128];

	snprintf(cmd, sizeof cmd, "rm -r %s", root);
	T_EQ(system(cmd), 0);
}

/* The least of all levels and versions, whenever it is asked for. */
TEST(quota)
{
	unsigned free_cpus = weft__cpus();
	struct cpus c;
	int fds;

	if (free_cpus < 2)
		tap_skip("one CPU");
	fds = rt_fds();
	groups();
	weft__cpus_open(&c);
	T_EQ(weft__cpus_read(&c), 1);
	put("v2/a/b/cpu.max", "150000 100000\n"); /* rounded up */
	T_EQ(weft__cpus_read(&c), 2);
	put("v2/a/cpu.max", "50000 100000\n"); /* the one above */
	T_EQ(weft__cpus_read(&c), 1);
	put("v2/a/cpu.max", "max 100000\n");
	put("v2/a/b/cpu.max", "rubbish\n");
	T_EQ(weft__cpus_read(&c), free_cpus < 1 ? 1 : weft__cpus());
	T_GE(weft__cpus_read(&c), 2);
	put("v1/c/cpu.cfs_quota_us", "-1\n");
	put("v1/c/cpu.cfs_period_us", "100000\n");
	put("self", "3:cpuset:/x\n2:cpu,cpuacct:/c\n"); /* moved: the other version now */
	T_GE(weft__cpus_read(&c), 2);
	put("v1/c/cpu.cfs_quota_us", "90000\n");
	T_EQ(weft__cpus_read(&c), 1);
	put("self", "");
	T_GE(weft__cpus_read(&c), 2);
	weft__cpus_close(&c);
	groups_end();
	weft__cpus_open(&c); /* nothing there at all */
	T_GE(weft__cpus_read(&c), 1);
	weft__cpus_close(&c);
	T_EQ(rt_fds(), fds);
}

static void until_workers(int n)
{
	until(stats().workers == n && rt_active(weft__rt) == (unsigned)n); /* the monitor wishes first */
}

static int follow_main(void *arg)
{
	(void)arg;
	T_EQ(stats().workers, 1);
	put("v2/a/b/cpu.max", "200000 100000\n");
	until_workers(2);
	at_once(2);
	put("v2/a/b/cpu.max", "100000 100000\n");
	until_workers(1);
	only_first(1);
	put("v2/a/b/cpu.max", "200000 100000\n");
	until_workers(2);
	T_EQ(weft_workers_set(5), 0); /* the user's from here on */
	put("v2/a/b/cpu.max", "100000 100000\n");
	for (int64_t then = weft__clock_read() + FOLLOW_NS + FOLLOW_NS / 2; weft__clock_read() < then;)
		let_run();
	T_EQ(stats().workers, 5);
	T_EQ(weft_workers_set(0), 0);
	T_EQ(stats().workers, 1);
	put("v2/a/b/cpu.max", "200000 100000\n"); /* and followed again */
	until_workers(2);
	return 0;
}

/* A quota that changes while tasks run. */
TEST(follows_the_quota)
{
	if (weft__cpus() < 2)
		tap_skip("one CPU");
	unsetenv("WEFT_WORKERS");
	groups();
	T_EQ(weft_run(follow_main, NULL, NULL), 0);
	nothing_left();
	groups_end();
}

/* --- a real group --- */

#define V1 "/sys/fs/cgroup/cpu"

static char group[128];

static bool group_put(const char *file, const char *text)
{
	char path[192];
	int fd;
	bool done;

	snprintf(path, sizeof path, "%s/%s", group, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return done;
}

static void group_leave(void)
{
	char pid[32];
	FILE *f = fopen(V1 "/cgroup.procs", "w");

	snprintf(pid, sizeof pid, "%d", getpid());
	if (f) {
		fputs(pid, f);
		fclose(f);
	}
	rmdir(group);
}

static int real_main(void *arg)
{
	(void)arg;
	T_EQ(stats().workers, 1);
	T_OK(group_put("cpu.cfs_quota_us", "200000"));
	until_workers(2);
	T_OK(group_put("cpu.cfs_quota_us", "100000"));
	until_workers(1);
	return 0;
}

/* The kernel's own, where this process may make one. */
TEST(follows_a_real_quota)
{
	char pid[32];
	int rc;

	snprintf(pid, sizeof pid, "%d", getpid());
	snprintf(group, sizeof group, V1 "/weft-test-%s", pid);
	if (weft__cpus() < 2)
		tap_skip("one CPU");
	if (mkdir(group, 0700))
		tap_skip("no group can be made in " V1 ": %s", strerror(errno));
	if (!group_put("cpu.cfs_quota_us", "100000") || !group_put("cgroup.procs", pid) || weft__cpus() != 1) {
		group_leave();
		tap_skip("a group in " V1 " does not limit this process");
	}
	unsetenv("WEFT_WORKERS");
	rc = weft_run(real_main, NULL, NULL);
	group_leave();
	T_EQ(rc, 0);
	nothing_left();
}
