/* SPDX-License-Identifier: MIT
 *
 * monitor.c - the thread that looks after stuck workers, memory to give back, and signals.
 *
 * While any worker runs it looks every MONITOR_NS:
 *   - nudges every worker that stands on a task: its next schedule is a slow one (timers, injection queue), and so that there is one soon, the task yields in its next
 *     call that may block, though it need not wait (self_enter);
 *   - a worker that has stood on one task since the last look is stuck: if it keeps work to itself (slot, inbox, ring, due timers), or shared
 *     work waits, a sleeping worker is woken to search, or if none sleeps a busy one asked to help at its next slow schedule;
 *   - a worker that runs what it has, and has few, is told of one that has many times as many: of those it takes half (worker.c).  Mostly tasks that seldom wait lie so;
 *   - one that moves, but in turns so long that a watcher would take what it keeps to itself, is no longer left in peace (worker.c);
 *   - when all are stuck for long, takes a spare worker; follows the number of CPUs (rescue.c);
 *   - retries tasks that wait for a stack; lets unused stacks and records decay; gives back what tasks that wait for long have below their stack pointers (trim.c);
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
#include "core/sched.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define QUIET_SLOW (MONITOR_NS / SLOT_WATCH_NS) /* schedules between two looks */

#define TSAN_SIGNAL_NS (20 * MS)

#define AWAKE 0u
#define ASLEEP 1u

/* The futexes are in what stays of a runtime: a SIGQUIT may reach a thread of the user's while it goes down.
 *   monitor_word   whether it sleeps for good
 *   monitor_nap    its timed wait; 1: stop waiting */
ATOMIC(uint32_t) weft__dump_wanted;
static unsigned quit_wanted; /* runtimes that are up and print all tasks on SIGQUIT, if nobody else wants it; under weft__sig_lock */

static ATOMIC(uint32_t) decayer; /* 1: a monitor is at it: memory is the process's */
static int64_t decayed;          /* when that was last; that one's */
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

static void wake(struct runtime *rt)
{
	store_relaxed(&rt->monitor_word, AWAKE); /* a store is enough: the monitor looks at everything after it has woken */
	weft__futex_wake(&rt->monitor_word, 1);
}

void weft__monitor_poke(struct runtime *rt)
{
	asym_light(); /* pairs with asym_heavy in doze: either it sees that somebody runs, or we see ASLEEP */
	if (unlikely(load_relaxed(&rt->monitor_word) == ASLEEP))
		wake(rt);
}

/* Anything to do for a worker that does not move? */
static bool keeps_work(struct worker *w, int64_t now)
{
	return load_relaxed(&w->slot) || injectq_len(&w->inbox) || !wsq_empty(&w->runq) || weft__prio_kept(w) ||
	       wheel_next(&w->wheel) <= now || (weft__loop_watches(w->loop) && !load_relaxed(&w->warded)); /* hints */
}

/* Workers that run what they have, and have few, are told of the one that has most, wherever that is. Newest first, who yields goes where all look. */
static void level(struct runtime *rt, unsigned active)
{
	uint32_t most = 0, n;
	unsigned rich = 0;

	for (unsigned i = 0, seats = rt_seats(rt); i < seats; i++) {
		n = wsq_len(&rt->workers[i].runq); /* a hint, as all here */
		if (n > most) {
			most = n;
			rich = i;
		}
	}
	for (unsigned i = 0; i < active; i++) {
		struct worker *w = &rt->workers[i];

		if (load_relaxed(&w->cur) && sched_uneven(w, most))
			store_relaxed(&w->level_with, rich + 1);
	}
}

/* Returns whether any worker has moved since the last look. */
static bool look_after_workers(struct runtime *rt, uint32_t *ticks)
{
	bool moved = false;
	int64_t now = clock_now();
	bool help = injectq_len(&rt->inject) != 0 || injectq_len(&rt->ran) != 0 || weft__prio_anywhere(rt);
	unsigned stuck = 0, active = rt_active(rt);
	struct inject_node *n;

	for (unsigned i = 0, seats = rt_seats(rt); i < seats; i++) {
		struct worker *w = &rt->workers[i];
		uint32_t tick = load_relaxed(&w->tick); /* a look */

		if (load_relaxed(&w->cur)) {             /* a look */
			store_relaxed(&w->countdown, 0); /* lost if the owner counts down just now; repeated at the next look */
			if (ticks[i] == tick) {
				store_relaxed(&w->stuck_tick, tick); /* a hint */
				stuck += i < active;
				help |= keeps_work(w, now);
			}
			if (tick - ticks[i] < QUIET_SLOW)
				store_relaxed(&w->quiet_until, tick); /* a hint */
		}
		moved |= ticks[i] != tick;
		ticks[i] = tick;
	}
	if (moved && active > 1 && !rt->lifo)
		level(rt, active);
	if (injectq_len(&rt->stackless) && (n = injectq_pop(&rt->stackless)) != NULL) {
		weft__sched_inject(rt, task_of_next(n));
		asym_heavy(); /* a worker that is alone passes none before it sleeps: idle.h */
		weft__sched_wake(rt);
	} else if (help && idle_sleepers(&rt->idle)) {
		weft__sched_wake(rt);
	} else if (help) {
		store_relaxed(&rt->help_wanted, true); /* a hint, repeated at the next look */
	}
	weft__rescue_look(rt, stuck, help);
	return moved;
}

/* Sleeps until somebody runs. Returns at once if somebody does. */
static void doze(struct runtime *rt)
{
	store_relaxed(&rt->monitor_word, ASLEEP); /* made visible by asym_heavy */
	asym_heavy();                             /* pairs with asym_light in weft__monitor_poke */
	while (load_relaxed(&rt->monitor_word) == ASLEEP && (load_relaxed(&rt->gate) || idle_all_asleep(&rt->idle, rt_seats(rt))) &&
	       !load_acquire(&rt->stopping) && !load_relaxed(&weft__dump_wanted))
		sleep_on(&rt->monitor_word, ASLEEP, INT64_MAX);
	store_relaxed(&rt->monitor_word, AWAKE); /* own; a poke stores the same */
}

/* The runtime is to stop, and somebody's task does not come to a schedule: ends the process (WEFT_MAIN), or says for whom it waits. */
static void look_after_stop(struct runtime *rt, int64_t now, int64_t *since)
{
	char fn[64];

	if (!*since) {
		*since = now;
	} else if (rt->exit_process && now - *since >= (weft__san ? 10 : 1) * EXIT_GRACE_NS) { /* all is slower under a sanitizer */
		if (rt->stack_report)
			weft__hooks.stack_report(STDERR_FILENO);
		exit(rt->deadlock_reported && rt->result == WEFT_EDEADLK ? 2 : rt->result);
	} else if (!rt->exit_process && now - *since >= STOP_NOTICE_NS && *since != INT64_MAX) {
		*since = INT64_MAX; /* once */
		for (unsigned i = 0, n = rt_seats(rt); i < n; i++) {
			struct weft_task *t = load_relaxed(&rt->workers[i].cur); /* a look */

			if (t)
				weft__log("weft_run waits for task %llu (%s), which runs on worker %u and does not park",
					  (unsigned long long)t->id, weft__task_fn_name(t, fn, sizeof fn),
					  i + 1); /* not its name: it may change it */
		}
	}
}

/* Returns whether there may be more to come. */
static bool decay(int64_t now, bool idle)
{
	enum stack_decay stacks;
	enum rec_decay records;
	bool more = true;

	if (swap_acquire(&decayer, 1u)) /* pairs with the release below */
		return true;
	if (now - decayed >= DECAY_NS / 2) {
		stacks = weft__stack_decay();
		records = weft__rec_decay();
		more = stacks != STACK_DECAY_DONE || records != REC_DECAY_DONE || !idle;
		if (stacks != STACK_DECAY_NOW)
			decayed = now;
	}
	store_release(&decayer, 0u); /* pairs with swap_acquire above */
	return more;
}

static void *monitor_main(void *arg)
{
	struct runtime *rt = arg;
	uint32_t *ticks = rt->monitor_ticks;
	int64_t idle_since = 0, stopping_since = 0, now;
	bool decaying = true, judged = false, moved;

	/* ThreadSanitizer keeps a signal for the thread's next call in a record that the thread's first blocking call makes: a signal that comes meanwhile would be
	 * lost with the record that the handler makes itself. */
	if (weft__san & SAN_TSAN)
		poll(NULL, 0, 0);
	pthread_sigmask(SIG_SETMASK, &rt->caller_mask, NULL);
	while (!load_acquire(&rt->monitor_stop)) { /* pairs with store_release in weft__monitor_stop */
		if (load_relaxed(&weft__dump_wanted) && swap_acquire(&weft__dump_wanted, 0u)) { /* a flag; the handler's wake orders it */
			if (weft__hooks.dump)
				(void)weft__hooks.dump(STDERR_FILENO, NULL);
		}
		if (unlikely(load_relaxed(&rt->gate)) &&
		    !load_acquire(&rt->stopping)) { /* paused: its workers do not even look for work. As below */
			doze(rt);
			continue;
		}
		if (unlikely(load_relaxed(&rt->judge_again))) { /* a flag; the wake orders it */
			store_relaxed(&rt->judge_again, false); /* set once more: looked at once more */
			judged = false;
		}
		moved = look_after_workers(rt, ticks);
		now = weft__clock_read();        /* real time also under the fake clock */
		if (load_acquire(&rt->stopping)) /* pairs with store_release in weft__runtime_stop */
			look_after_stop(rt, now, &stopping_since);
		else
			weft__rescue_follow(rt, now);
		if (moved || !idle_all_asleep(&rt->idle, rt_seats(rt))) {
			idle_since = 0;
			decaying = true;
			judged = false;
		} else if (!idle_since) {
			idle_since = now;
		} else if (!judged && now - idle_since >= DEADLOCK_NS) {
			judged = weft__runtime_all_asleep(rt, now - idle_since);
		}
		if (decaying)
			decaying = decay(now, idle_since != 0);
		rt->trim.again |= moved;
		if (!idle_since)
			weft__trim_look(&rt->trim, now, TRIM_BUSY_NS);
		if (idle_since && !decaying && now - idle_since >= MONITOR_IDLE_NS && !injectq_len(&rt->stackless) &&
		    !weft__trim_idle(&rt->trim, now)) {
			if (rt->deadlock_reported) /* but for a thread outside, which may have gone */
				(void)weft__runtime_all_asleep(rt, now - idle_since);
			if (rt->judge_soon) {
				sleep_on(&rt->monitor_nap, 0, now + MONITOR_NS);
				continue;
			}
			doze(rt);
			judged = false;
			idle_since = 0;
			decaying = true;
			continue;
		}
		sleep_on(&rt->monitor_nap, 0, now + MONITOR_NS);
	}
	return NULL;
}

static void on_quit(int sig)
{
	(void)sig;
	store_relaxed(&weft__dump_wanted, 1u); /* ordered by the futex call */
	for (unsigned i = 0; i < RUNTIMES_MAX; i++) {
		if (!load_relaxed(&weft__rts[i].run)) /* a look: whoever is awake looks by himself */
			continue;
		wake(&weft__rts[i]);
		weft__futex_wake(&weft__rts[i].monitor_nap, 1);
	}
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
	quit_wanted += wanted ? 1 : -1u;
	if (sigaction(SIGQUIT, NULL, &now) == 0 && weft__quit_is_default(&now))
		weft__quit_default();
	lock_drop(&weft__sig_lock);
}

void weft__monitor_again(struct runtime *rt)
{
	store_relaxed(&rt->judge_again, true); /* before the wake */
	wake(rt);
}

int weft__monitor_start(struct runtime *rt)
{
	char name[WORKER_NAME_MAX + sizeof "-mon"];
	int rc;

	rt->monitor_ticks = calloc(rt->seats_max, sizeof *rt->monitor_ticks);
	if (!rt->monitor_ticks)
		return WEFT_ENOMEM;
	rc = weft__rescue_make(rt);
	if (rc) {
		free(rt->monitor_ticks);
		return rc;
	}
	store_relaxed(&rt->monitor_word, AWAKE); /* its monitor is not up yet */
	store_relaxed(&rt->monitor_nap, 0u);
	lock_take(&weft__sig_lock, RANK_POOL);
	if (!quit_wanted)
		store_relaxed(&weft__dump_wanted, 0u); /* under lock */
	lock_drop(&weft__sig_lock);
	rc = weft__place_thread(&rt->place, PLACE_ASIDE, NULL, &rt->monitor, monitor_main,
				rt); /* with all signals blocked, like the workers */
	if (rc) {
		weft__rescue_free(rt);
		free(rt->monitor_ticks);
		return rc;
	}
	snprintf(name, sizeof name, "%s-mon", rt->place.name);
	pthread_setname_np(rt->monitor, name);
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
	store_relaxed(&rt->monitor_nap, 1u);    /* ends its timed wait for good; ordered by the futex call */
	weft__futex_wake(&rt->monitor_nap, 1);
	wake(rt);
	pthread_join(rt->monitor, NULL);
	weft__rescue_free(rt);
	free(rt->monitor_ticks);
	rt->monitor_up = false;
}
