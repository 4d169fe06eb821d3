/* SPDX-License-Identifier: MIT
 *
 * monitor.c - the thread that looks after stuck workers, memory to give back, and signals.
 *
 * While any worker runs it looks every MONITOR_NS:
 *   - nudges every worker that stands on a task: its next schedule is a slow one (timers, injection queue), and so that there is one soon, the task yields in its next
 *     call that may block, though it need not wait (self_enter);
 *   - a worker that has stood on one task since the last look is stuck: if it keeps work to itself (slot, inbox, ring, due timers), or shared
 *     work waits, a sleeping worker is woken to search, or if none sleeps a busy one asked to help at its next slow schedule;
 *   - one that moves, but in turns so long that a watcher would take what it keeps to itself, is no longer left in peace (worker.c);
 *   - retries tasks that wait for a stack; lets unused stacks and records decay;
 *   - when all workers have slept for DEADLOCK_NS, asks once whether anything can go on (deadlock.c), so that going to sleep stays cheap;
 *   - when the runtime is to stop and a task does not let it: ends the process (WEFT_MAIN), or says which task it is.
 * It runs no task.  When all workers have slept for MONITOR_IDLE_NS and nothing is left to decay it sleeps itself, until a worker leaves idleness
 * (weft__monitor_poke: one relaxed load).  It is also the one thread of weft that does not block signals: SIGQUIT prints all tasks, if
 * its disposition was the default.
 *
 *   word  AWAKE -> ASLEEP  monitor, before it looks at the idle counts once more     ASLEEP -> AWAKE  poke, which wakes it
 */
#include "core/runtime.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/futex.h"
#include "base/sanitizer.h"
#include "core/recslab.h"
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define QUIET_SLOW (MONITOR_NS / SLOT_WATCH_NS) /* schedules between two looks */

#define TSAN_SIGNAL_NS (20 * MS)

#define AWAKE 0u
#define ASLEEP 1u

/* Not the runtime's: a SIGQUIT may reach a thread of the user's while the runtime goes down. */
static ATOMIC(uint32_t) word; /* futex: whether it sleeps for good */
static ATOMIC(uint32_t) nap;  /* futex of its timed wait; 1: stop waiting */
ATOMIC(uint32_t) weft__dump_wanted;
static bool quit_wanted; /* a runtime is up that prints its tasks on SIGQUIT, if nobody else wants it; under weft__sig_lock */
struct lock weft__sig_lock;

/* ThreadSanitizer keeps a signal until its thread makes a call that it sees, and hides it from the system call that it came in. */
static void sleep_on(ATOMIC(uint32_t) *w, uint32_t value, int64_t deadline)
{
	int64_t soon = weft__clock_read() + TSAN_SIGNAL_NS;

	if (likely(!(weft__san & SAN_TSAN))) {
		weft__futex_wait(w, value, deadline);
		return;
	}
	weft__futex_wait(w, value, deadline < soon ? deadline : soon);
	nanosleep(&(struct timespec){0, 1}, NULL);
}

static void wake(void)
{
	store_relaxed(&word, AWAKE); /* a store is enough: the monitor looks at everything after it has woken */
	weft__futex_wake(&word, 1);
}

void weft__monitor_poke(void)
{
	asym_light(); /* pairs with asym_heavy in doze: either it sees that somebody runs, or we see ASLEEP */
	if (unlikely(load_relaxed(&word) == ASLEEP))
		wake();
}

/* Anything to do for a worker that does not move? */
static bool keeps_work(struct worker *w, int64_t now)
{
	return load_relaxed(&w->slot) || injectq_len(&w->inbox) || !wsq_empty(&w->runq) || wheel_next(&w->wheel) <= now ||
	       (weft__loop_watches(w->loop) && !load_relaxed(&w->warded)); /* hints */
}

/* Returns whether any worker has moved since the last look. */
static bool look_after_workers(struct runtime *rt, uint32_t *ticks)
{
	bool moved = false;
	int64_t now = clock_now();
	bool help = injectq_len(&rt->inject) != 0 || injectq_len(&rt->ran) != 0;
	struct inject_node *n;

	for (unsigned i = 0; i < rt->n; i++) {
		struct worker *w = &rt->workers[i];
		uint32_t tick = load_relaxed(&w->tick); /* a look */

		if (load_relaxed(&w->cur)) {             /* a look */
			store_relaxed(&w->countdown, 0); /* lost if the owner counts down just now; repeated at the next look */
			if (ticks[i] == tick) {
				store_relaxed(&w->stuck_tick, tick); /* a hint */
				help |= keeps_work(w, now);
			}
			if (tick - ticks[i] < QUIET_SLOW)
				store_relaxed(&w->quiet_until, tick); /* a hint */
		}
		moved |= ticks[i] != tick;
		ticks[i] = tick;
	}
	if (injectq_len(&rt->stackless) && (n = injectq_pop(&rt->stackless)) != NULL) {
		weft__sched_inject(rt, task_of_next(n));
		asym_heavy(); /* a worker that is alone passes none before it sleeps: idle.h */
		weft__sched_wake(rt);
	} else if (help && idle_sleepers(&rt->idle)) {
		weft__sched_wake(rt);
	} else if (help) {
		store_relaxed(&rt->help_wanted, true); /* a hint, repeated at the next look */
	}
	return moved;
}

/* Sleeps until somebody runs. Returns at once if somebody does. */
static void doze(struct runtime *rt)
{
	store_relaxed(&word, ASLEEP); /* made visible by asym_heavy */
	asym_heavy();                 /* pairs with asym_light in weft__monitor_poke */
	while (load_relaxed(&word) == ASLEEP && idle_sleepers(&rt->idle) == rt->n && !load_acquire(&rt->stopping) &&
	       !load_relaxed(&weft__dump_wanted))
		sleep_on(&word, ASLEEP, INT64_MAX);
	store_relaxed(&word, AWAKE); /* own; a poke stores the same */
}

/* The runtime is to stop, and somebody's task does not come to a schedule: ends the process (WEFT_MAIN), or says for whom it waits. */
static void look_after_stop(struct runtime *rt, int64_t now, int64_t *since)
{
	char fn[64];

	if (!*since) {
		*since = now;
	} else if (rt->exit_process && now - *since >= EXIT_GRACE_NS) {
		exit(rt->deadlock_reported && rt->result == WEFT_EDEADLK ? 2 : rt->result);
	} else if (!rt->exit_process && now - *since >= STOP_NOTICE_NS && *since != INT64_MAX) {
		*since = INT64_MAX; /* once */
		for (unsigned i = 0; i < rt->n; i++) {
			struct weft_task *t = load_relaxed(&rt->workers[i].cur); /* a look */

			if (t)
				weft__log("weft_run waits for task %llu (%s), which runs on worker %u and does not park",
					  (unsigned long long)t->id, weft__task_fn_name(t, fn, sizeof fn),
					  i + 1); /* not its name: it may change it */
		}
	}
}

static void *monitor_main(void *arg)
{
	struct runtime *rt = arg;
	uint32_t *ticks = rt->monitor_ticks;
	int64_t idle_since = 0, decayed = 0, stopping_since = 0, now;
	bool decaying = true, judged = false, moved;

	/* ThreadSanitizer keeps a signal for the thread's next call in a record that the thread's first blocking call makes: a signal that comes meanwhile would be
	 * lost with the record that the handler makes itself. */
	if (weft__san & SAN_TSAN)
		poll(NULL, 0, 0);
	pthread_sigmask(SIG_SETMASK, &rt->caller_mask, NULL);
	while (!load_acquire(&rt->monitor_stop)) {             /* pairs with store_release in weft__monitor_stop */
		if (load_relaxed(&weft__dump_wanted)) {        /* a flag; the handler's wake orders it */
			store_relaxed(&weft__dump_wanted, 0u); /* own */
			if (weft__hooks.dump)
				weft__hooks.dump(STDERR_FILENO);
		}
		moved = look_after_workers(rt, ticks);
		now = weft__clock_read();        /* real time also under the fake clock */
		if (load_acquire(&rt->stopping)) /* pairs with store_release in weft__runtime_stop */
			look_after_stop(rt, now, &stopping_since);
		if (moved || idle_sleepers(&rt->idle) != rt->n) {
			idle_since = 0;
			decaying = true;
			judged = false;
		} else if (!idle_since) {
			idle_since = now;
		} else if (!judged && now - idle_since >= DEADLOCK_NS) {
			judged = weft__runtime_all_asleep(rt);
		}
		if (now - decayed >= DECAY_NS / 2 && decaying) {
			enum stack_decay stacks = weft__stack_decay();
			enum rec_decay records = weft__rec_decay();

			decaying = stacks != STACK_DECAY_DONE || records != REC_DECAY_DONE || !idle_since;
			if (stacks != STACK_DECAY_NOW)
				decayed = now;
		}
		if (idle_since && !decaying && now - idle_since >= MONITOR_IDLE_NS && !injectq_len(&rt->stackless)) {
			doze(rt);
			judged = false;
			idle_since = 0;
			decaying = true;
			continue;
		}
		sleep_on(&nap, 0, now + MONITOR_NS);
	}
	return NULL;
}

static void on_quit(int sig)
{
	(void)sig;
	store_relaxed(&weft__dump_wanted, 1u); /* ordered by the futex call */
	wake();
	weft__futex_wake(&nap, 1);
}

bool weft__quit_is_default(const struct sigaction *sa)
{
	return !(sa->sa_flags & SA_SIGINFO) && (sa->sa_handler == SIG_DFL || sa->sa_handler == on_quit);
}

void weft__quit_default(void)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof sa);
	sa.sa_handler = quit_wanted ? on_quit : SIG_DFL;
	sa.sa_flags = SA_RESTART | SA_ONSTACK;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGQUIT, &sa, NULL);
}

/* To be looked at and changed in one: others catch and ignore signals, on any thread. */
static void want_quit(bool wanted)
{
	struct sigaction now;

	lock_take(&weft__sig_lock, RANK_POOL);
	quit_wanted = wanted;
	if (sigaction(SIGQUIT, NULL, &now) == 0 && weft__quit_is_default(&now))
		weft__quit_default();
	lock_drop(&weft__sig_lock);
}

int weft__monitor_start(struct runtime *rt)
{
	int rc;

	rt->monitor_ticks = calloc(rt->n, sizeof *rt->monitor_ticks);
	if (!rt->monitor_ticks)
		return WEFT_ENOMEM;
	store_relaxed(&word, AWAKE); /* no monitor is up */
	store_relaxed(&nap, 0u);
	store_relaxed(&weft__dump_wanted, 0u);
	rc = pthread_create(&rt->monitor, NULL, monitor_main, rt); /* with all signals blocked, like the workers */
	if (rc) {
		free(rt->monitor_ticks);
		return -rc;
	}
	rt->monitor_up = true;
	if (rt->signals)
		want_quit(true);
	return 0;
}

void weft__monitor_stop(struct runtime *rt)
{
	if (!rt->monitor_up)
		return;
	if (rt->signals)
		want_quit(false);
	store_release(&rt->monitor_stop, true); /* pairs with load_acquire in monitor_main */
	store_relaxed(&nap, 1u);                /* ends its timed wait for good; ordered by the futex call */
	weft__futex_wake(&nap, 1);
	wake();
	pthread_join(rt->monitor, NULL);
	free(rt->monitor_ticks);
	rt->monitor_up = false;
}
