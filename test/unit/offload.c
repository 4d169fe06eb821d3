/* SPDX-License-Identifier: MIT
 *
 * offload.c - what blocks its thread: calls, sections, jobs that are left behind, lanes that do not starve each other, and the end of the runtime in the middle.
 */
#include "rt.h"

#include "core/offload.h"
#include "failpoint.h"
#include "weft/blocking.h"
#include "weft/defer.h"
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

/* The compiler may keep the address of errno across a move. */
NOINLINE static void set_errno(int e)
{
	errno = e;
}

NOINLINE static int get_errno(void)
{
	__asm__ volatile("" ::: "memory");
	return errno;
}

/* --- calls --- */

static int where(void *arg)
{
	*(int *)arg = gettid();
	set_errno(EDOM);
	return weft_task_self() == NULL && weft_task_worker() == 0 ? 42 : -1;
}

static int call_main(void *arg)
{
	int tid = 0, ret = 0;

	(void)arg;
	set_errno(ERANGE);
	T_EQ(weft_blocking(where, &tid, &ret), 0);
	T_EQ(get_errno(), ERANGE);
	T_EQ(ret, 42);
	T_NE(tid, gettid());
	T_EQ(weft_blocking(where, &tid, NULL), 0);
	T_EQ(weft_blocking(NULL, NULL, &ret), WEFT_EINVAL);
	T_EQ(weft_blocking_until(where, &tid, &ret, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_blocking_until(where, &tid, &ret, 1), WEFT_ETIMEDOUT);
	return 0;
}

/* It runs on a thread of its own, off any task; its result comes back, errno does not. */
TEST_WORKERS(runs_elsewhere)
{
	run(call_main, NULL);
}

/* A thread that is no task calls it itself, runtime or not. */
TEST(foreign_calls_itself)
{
	int tid = 0, ret = 0;

	T_EQ(weft_blocking(where, &tid, &ret), 0);
	T_EQ(tid, gettid());
	T_EQ(ret, 42);
}

static int reads_byte(void *arg)
{
	char c = 0;

	return read(((int *)arg)[0], &c, 1) == 1 ? c : -1;
}

static int asks(void *arg)
{
	int ret = 0;

	T_EQ(weft_blocking(reads_byte, arg, &ret), 0);
	return ret;
}

static int alone_main(void *arg)
{
	int fds[2];
	weft_task *t;

	(void)arg;
	if (load_relaxed(&weft__solo.state) != SOLO_ON)
		tap_skip("nothing is elided here");
	T_EQ(pipe(fds), 0);
	t = start(asks, fds);
	until_reason(t, "blocking call");
	T_EQ(write(fds[1], "x", 1), 1);
	T_EQ(finish(t), 'x');
	T_EQ(load_relaxed(&weft__solo.state), SOLO_ON);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* A worker that is alone in weft stays so: threads that make no call of weft's do not count. */
TEST(alone_stays_alone)
{
	T_EQ(run_with(alone_main, NULL, (weft_opts){.workers = 1}), 0);
}

static int others_main(void *arg)
{
	int fds[2];
	weft_task *t;

	(void)arg;
	T_EQ(pipe(fds), 0);
	t = start(asks, fds);
	until_reason(t, "blocking call");
	T_EQ(write(fds[1], "x", 1), 1);
	T_EQ(finish(t), 'x');
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* Others run meanwhile, though there be one worker. */
TEST_WORKERS(others_run)
{
	run(others_main, NULL);
}

#define CALLS 300

static ATOMIC(int) sum, at_once, at_most;

static int adds(void *arg)
{
	int now = add_acq_rel(&at_once, 1) + 1, most = load_relaxed(&at_most);

	while (now > most && !cas_acq_rel(&at_most, &most, now))
		;
	add_relaxed(&sum, (int)(intptr_t)arg);
	add_acq_rel(&at_once, -1);
	return 0;
}

static int calls_adds(void *arg)
{
	return weft_blocking(adds, arg, NULL);
}

static int many_main(void *arg)
{
	weft_task *t[CALLS];

	(void)arg;
	for (intptr_t i = 0; i < CALLS; i++)
		t[i] = start(calls_adds, (void *)i);
	for (int i = 0; i < CALLS; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(load_relaxed(&sum), CALLS * (CALLS - 1) / 2);
	T_LE(load_relaxed(&at_most), 3);
	T_LE(weft__offload_lane_threads(LANE_USER), 3);
	return 0;
}

/* As many at once as were allowed, and no more; the others take their turns. */
TEST_WORKERS(as_many_as_allowed)
{
	T_EQ(run_with(many_main, NULL, (weft_opts){.blocking_max = 3}), 0);
	T_EQ(weft_run(many_main, NULL, &(weft_opts){.blocking_max = -1}), WEFT_EINVAL);
}

/* --- giving up --- */

struct gate {
	sem_t open;
	ATOMIC(int) entered, passed;
	ATOMIC(bool) over; /* the first task is about to return */
};

static void gate_init(struct gate *g)
{
	*g = (struct gate){.entered = 0};
	T_EQ(sem_init(&g->open, 0, 0), 0);
}

static int passes(void *arg)
{
	struct gate *g = arg;

	add_acq_rel(&g->entered, 1);
	while (sem_wait(&g->open) && errno == EINTR)
		;
	add_acq_rel(&g->passed, 1);
	return 7;
}

struct asked {
	struct gate *g;
	int64_t deadline;
};

static int goes_through(void *arg)
{
	struct asked *a = arg;
	int ret = -1, rc = weft_blocking_until(passes, a->g, &ret, a->deadline);

	T_EQ(ret, rc ? -1 : 7);
	return rc;
}

static int give_up_main(void *arg)
{
	struct asked a, late;
	struct gate g;
	weft_task *first, *second, *third;

	(void)arg;
	gate_init(&g);
	time_fake();
	a = (struct asked){&g, WEFT_FOREVER};
	late = (struct asked){&g, weft_in(WEFT_SEC)};
	first = start(goes_through, &a);
	until(load_acquire(&g.entered) == 1);
	second = start(goes_through, &a);
	until_reason(second, "blocking call");
	third = start(goes_through, &late);
	until_reason(third, "blocking call");
	until(weft__offload_lane_queued(LANE_USER) == 2);
	weft_task_cancel(second); /* before it began */
	T_EQ(finish(second), WEFT_ECANCELED);
	time_move(2 * WEFT_SEC);
	T_EQ(finish(third), WEFT_ETIMEDOUT);
	weft_task_cancel(first); /* it runs: waited for */
	weft_task_yield();
	T_NE(weft_task_stateof(first), WEFT_TASK_DONE);
	sem_post(&g.open);
	T_EQ(finish(first), 0);
	T_EQ(load_acquire(&g.entered), 1);
	time_real();
	return 0;
}

/* Cancelled or too late before it began: it never runs. Once it runs it is waited for. */
TEST_WORKERS(given_up)
{
	T_EQ(run_with(give_up_main, NULL, (weft_opts){.blocking_max = 1}), 0);
}

static int cancelled_main(void *arg)
{
	int tid = 0, ret = -1;

	(void)arg;
	weft_task_cancel(weft_task_self());
	T_EQ(weft_blocking(where, &tid, &ret), WEFT_ECANCELED);
	T_EQ(ret, -1);
	return 0;
}

TEST_WORKERS(cancelled_before)
{
	run(cancelled_main, NULL);
}

/* --- jobs that are left behind --- */

struct own {
	struct job job;
	struct gate *g;
};

static ATOMIC(int) dropped;

static void own_run(struct job *j)
{
	passes(container_of(j, struct own, job)->g);
}

static void own_drop(struct job *j)
{
	free(container_of(j, struct own, job));
	add_acq_rel(&dropped, 1);
}

static int lookup(void *arg)
{
	struct own *o = calloc(1, sizeof *o);
	int rc;

	o->g = arg;
	o->job.run = own_run;
	o->job.drop = own_drop;
	rc = weft__offload(LANE_DNS, &o->job, REASON_BLOCKING, WEFT_FOREVER);
	if (rc == 0)
		free(o);
	return rc;
}

static int left_main(void *arg)
{
	struct gate g;
	weft_task *t[LANE_DNS_MAX + 1], *u;

	(void)arg;
	gate_init(&g);
	store_relaxed(&dropped, 0);
	for (int i = 0; i <= LANE_DNS_MAX; i++) {
		t[i] = start(lookup, &g);
		if (i < LANE_DNS_MAX)
			until(load_acquire(&g.entered) == i + 1);
		else
			until(weft__offload_lane_queued(LANE_DNS) == 1);
		until_reason(t[i], "blocking call");
	}
	T_EQ(call_main(NULL), 0); /* another lane has threads of its own */
	u = start(lookup, &g);
	until(weft__offload_lane_queued(LANE_DNS) == 2);
	until_reason(u, "blocking call");
	weft_task_cancel(u); /* it has not begun */
	T_EQ(finish(u), WEFT_ECANCELED);
	T_EQ(load_acquire(&dropped), 1);
	weft_task_cancel(t[0]); /* it runs, and goes all the same */
	T_EQ(finish(t[0]), WEFT_ECANCELED);
	T_EQ(load_acquire(&dropped), 1);
	until(load_acquire(&g.entered) == LANE_DNS_MAX + 1); /* and another thread is made for who waits */
	for (int i = 0; i <= LANE_DNS_MAX; i++)
		sem_post(&g.open);
	for (int i = 1; i <= LANE_DNS_MAX; i++)
		T_EQ(finish(t[i]), 0);
	until(load_acquire(&dropped) == 2);
	return 0;
}

/* Who waits for a job that owns all it touches goes at once, and the job is dropped when it has run; a lane that is stuck is no other's business. */
TEST_WORKERS(left_behind)
{
	ends_with_main();
	run(left_main, NULL);
}

static struct gate down_gate;

static int down_main(void *arg)
{
	weft_task *t[LANE_DNS_MAX + 1];

	(void)arg;
	for (int i = 0; i <= LANE_DNS_MAX; i++) {
		t[i] = start(lookup, &down_gate);
		until_reason(t[i], "blocking call");
		weft_task_detach(t[i]);
	}
	until(load_acquire(&down_gate.entered) == LANE_DNS_MAX);
	return 0;
}

/* The runtime does not wait for such jobs. */
TEST_WORKERS(left_behind_at_the_end)
{
	ends_with_main();
	gate_init(&down_gate);
	store_relaxed(&dropped, 0);
	T_EQ(weft_run(down_main, NULL, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(load_acquire(&dropped), 1); /* the one that had not begun */
	for (int i = 0; i < LANE_DNS_MAX; i++)
		sem_post(&down_gate.open);
	while (load_acquire(&dropped) < LANE_DNS_MAX + 1)
		sched_yield();
	nothing_left();
}

/* --- the runtime goes down --- */

static void *opens_late(void *arg)
{
	struct gate *g = arg;

	while (!load_acquire(&g->over) || weft__offload_lane_queued(LANE_USER)) /* one runs; the other waits until the runtime goes down */
		sched_yield();
	sem_post(&g->open);
	return NULL;
}

static int ends_early(void *arg)
{
	struct asked *a = arg;
	weft_task *t = start(goes_through, a), *u = start(goes_through, a);

	until(load_acquire(&a->g->entered) == 1);
	until(weft__offload_lane_queued(LANE_USER) == 1);
	weft_task_detach(t);
	weft_task_detach(u);
	store_release(&a->g->over, true);
	return 0;
}

/* What runs is waited for, for it uses the memory of tasks; what has not begun never does. */
TEST_WORKERS(waited_for_at_the_end)
{
	struct gate g;
	struct asked a = {&g, WEFT_FOREVER};
	pthread_t th;

	ends_with_main();
	gate_init(&g);
	T_EQ(pthread_create(&th, NULL, opens_late, &g), 0);
	T_EQ(weft_run(ends_early, &a, &(weft_opts){.workers = tap_workers(), .blocking_max = 1}), 0);
	T_EQ(load_acquire(&g.passed), 1);
	T_EQ(load_acquire(&g.entered), 1);
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(weft__offload_threads(), 0);
	nothing_left();
}

/* --- threads --- */

static int idle_main(void *arg)
{
	int tid = 0;

	(void)arg;
	T_EQ(weft_blocking(where, &tid, NULL), 0);
	T_EQ(weft_blocking(where, &tid, NULL), 0);
	T_LE(weft__offload_lane_threads(LANE_USER), 1); /* the same one, if this did not take long */
	until(weft__offload_lane_threads(LANE_USER) == 0);
	T_EQ(weft_blocking(where, &tid, NULL), 0); /* and another is made */
	return 0;
}

/* A thread serves again, and ends when there is nothing to do for long. */
TEST_WORKERS(threads_come_and_go)
{
	if (LANE_IDLE_NS > WEFT_SEC)
		tap_skip("it takes %d s with these capacities", (int)(LANE_IDLE_NS / WEFT_SEC));
	run(idle_main, NULL);
}

#define ASKED 20

struct many {
	weft_event go;
	weft_task *t[ASKED];
};

static int asks_in_vain(void *arg)
{
	struct many *m = arg;
	int tid = 0, here = 0;

	T_EQ(weft_event_wait(&m->go), 0);
	T_EQ(weft_blocking(where, &tid, NULL), WEFT_EAGAIN);
	WEFT_BLOCKING
	{
		here = weft_task_self() != NULL; /* on the worker */
	}
	return tid == 0 && here;
}

static int vain_main(void *arg)
{
	struct many m = {.go = {0}};
	int tid = 0;

	(void)arg;
	until_all_workers_run();
	for (int i = 0; i < ASKED; i++) {
		m.t[i] = start(asks_in_vain, &m);
		until_parked(m.t[i]);
	}
	failpoint_arm_all(1);
	weft_event_set(&m.go);
	for (int i = 0; i < ASKED; i++)
		T_EQ(finish(m.t[i]), 1);
	failpoint_disarm();
	T_EQ(weft__offload_threads(), 0);
	T_EQ(weft_blocking(where, &tid, NULL), 0);
	return 0;
}

/* Who is given no thread is told so, however many ask at once; nobody is left waiting for one. */
TEST_WORKERS(no_thread_to_be_had)
{
	run(vain_main, NULL);
}

static int stuck_main(void *arg)
{
	int tid = 0;
	char v;

	T_EQ(weft_blocking(where, &tid, NULL), 0);
	return weft_chan_recv(arg, &v);
}

/* Threads that wait for blocking calls are no hope for anybody. */
TEST_WORKERS(deadlock_is_seen)
{
	weft_chan *c = weft_chan_make(1, 0);

	T_EQ(weft_run(stuck_main, c, &(weft_opts){.workers = tap_workers()}), WEFT_EDEADLK);
	weft_chan_free(c);
}

/* --- sections --- */

static int section(int how, int *tid)
{
	int home = gettid();

	WEFT_BLOCKING
	{
		*tid = gettid();
		T_EQ(weft_task_self() == NULL, how != 3);
		WEFT_BLOCKING
		{
			T_EQ(gettid(), *tid); /* already there */
		}
		if (how == 1)
			return *tid != home;
		if (how == 2)
			break;
		set_errno(EDOM);
	}
	T_EQ(get_errno(), how == 2 ? ERANGE : EDOM);
	return *tid != home;
}

static int section_main(void *arg)
{
	int tid = 0;
	weft_task *self = weft_task_self();

	(void)arg;
	for (int how = 0; how < 3; how++) {
		set_errno(ERANGE);
		T_EQ(section(how, &tid), 1);
		T_OK(weft_task_self() == self);
		T_NE(weft_task_worker(), 0);
	}
	weft_task_pin();
	T_EQ(section(3, &tid), 0); /* stays on its thread */
	weft_task_unpin();
	return 0;
}

/* The task itself runs elsewhere, off any worker, and comes back on every way out. */
TEST_WORKERS(sections)
{
	run(section_main, NULL);
}

struct talk {
	weft_chan *there, *back;
};

static int talks(void *arg)
{
	struct talk *k = arg;
	int v = 0;

	WEFT_BLOCKING
	{
		while (weft_chan_recv(k->there, &v) == 0) {
			v++;
			T_EQ(weft_chan_send(k->back, &v), 0);
		}
	}
	return v;
}

static int talk_main(void *arg)
{
	struct talk k = {weft_chan_make(sizeof(int), 0), weft_chan_make(sizeof(int), 1)};
	weft_task *t = start(talks, &k);
	int v;

	(void)arg;
	for (int i = 0; i < 20; i++) {
		T_EQ(weft_chan_send(k.there, &i), 0);
		T_EQ(weft_chan_recv(k.back, &v), 0);
		T_EQ(v, i + 1);
	}
	T_EQ(weft_chan_close(k.there), 0);
	T_EQ(finish(t), 0); /* what a closed channel leaves */
	weft_chan_free(k.there);
	weft_chan_free(k.back);
	return 0;
}

/* In it, channels work as in any thread. */
TEST_WORKERS(sections_talk)
{
	run(talk_main, NULL);
}

static int hops(void *arg)
{
	int n = 0;

	(void)arg;
	for (int i = 0; i < 20; i++) {
		WEFT_BLOCKING
		{
			n++;
		}
		weft_task_yield();
	}
	return n;
}

static int hop_main(void *arg)
{
	weft_task *t[20];

	(void)arg;
	for (int i = 0; i < 20; i++)
		t[i] = start(hops, NULL);
	for (int i = 0; i < 20; i++)
		T_EQ(finish(t[i]), 20);
	return 0;
}

/* Many tasks to and fro. */
TEST_WORKERS(sections_crowd)
{
	run(hop_main, NULL);
}

static int sits(void *arg)
{
	struct gate *g = arg;

	WEFT_BLOCKING
	{
		passes(g);
	}
	return 0;
}

static int sits_main(void *arg)
{
	weft_task *t = start(sits, arg), *u;

	until(load_acquire(&((struct gate *)arg)->entered) == 1);
	u = start(sits, arg); /* its turn never comes */
	until(weft__offload_lane_queued(LANE_USER) == 1);
	weft_task_detach(t);
	weft_task_detach(u);
	store_release(&((struct gate *)arg)->over, true);
	return 0;
}

/* The runtime waits for a section that runs, and takes neither task further. */
TEST_WORKERS(section_at_the_end)
{
	struct gate g;
	pthread_t th;

	ends_with_main();
	gate_init(&g);
	T_EQ(pthread_create(&th, NULL, opens_late, &g), 0);
	T_EQ(weft_run(sits_main, &g, &(weft_opts){.workers = tap_workers(), .blocking_max = 1}), 0);
	T_EQ(load_acquire(&g.passed), 1);
	T_EQ(load_acquire(&g.entered), 1);
	T_EQ(pthread_join(th, NULL), 0);
	nothing_left();
}
