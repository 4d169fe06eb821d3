/* SPDX-License-Identifier: MIT
 *
 * deadlock.c - notices when nothing can go on: all workers sleep, and no task waits for anything that could still come.
 *
 * The monitor asks when all have slept for a while (monitor.c). What is looked at changes meanwhile; so it is looked at between two looks at the workers, which have done
 * nothing in between.
 */
#include "core/runtime.h"

#include "base/clock.h"
#include "core/offload.h"
#include "core/recslab.h"
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PF_EXITING 4u /* Linux, include/linux/sched.h: in the flags of /proc/PID/stat */

static bool judge(void *rec, void *arg)
{
	struct weft_task *t = rec;
	struct verdict *v = arg;
	uint8_t state = load_acquire(&t->state); /* a look; no worker runs */

	if (!weft__task_alive(t, state) || !task_of(t, v->rt))
		return true;
	v->tasks++;
	if (state != WEFT_TASK_PARKED || !wait_is_open(load_acquire(&t->wait)) || /* pairs with wait_open */
	    load_relaxed(&t->deadline) != WEFT_FOREVER || load_relaxed(&t->reason) > REASON_OWN_LAST)
		v->hope = true;
	return !v->hope;
}

/* TSan's background threads (one, or two after a fork) are known by what no other thread does: they block SIGSEGV. */
static bool tsan_thread(const char *tid)
{
	char path[300], line[128];
	unsigned long long blocked = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/task/%s/status", tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof line, f) && sscanf(line, "SigBlk: %llx", &blocked) != 1)
		;
	fclose(f);
	return blocked >> (SIGSEGV - 1) & 1;
}

/* What the system says of a thread: returns its state ('R', 'S', 'Z' ...; 0: it is gone), and *flags. */
static char thread_state(const char *tid, unsigned *flags)
{
	char path[300], line[512] = "", *state;
	FILE *f;

	*flags = 0;
	snprintf(path, sizeof path, "/proc/self/task/%s/stat", tid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (!fgets(line, sizeof line, f))
		line[0] = '\0';
	fclose(f);
	state = strrchr(line, ')'); /* behind the name */
	return state && sscanf(state, ") %*c %*d %*d %*d %*d %*d %u", flags) == 1 ? state[2] : 0;
}

/* The process's first thread, if it ends before the others, stays. */
static bool first_is_over(void)
{
	unsigned flags;
	char pid[16];

	snprintf(pid, sizeof pid, "%d", (int)getpid());
	return thread_state(pid, &flags) == 'Z';
}

static bool one_is_ending(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	bool found = false;
	unsigned flags;

	if (!d)
		return false;
	while (!found && (e = readdir(d)) != NULL)
		found = e->d_name[0] != '.' && thread_state(e->d_name, &flags) != 'Z' && (flags & PF_EXITING);
	closedir(d);
	return found;
}

/* OS threads of this process that weft did not make: something outside may still wake a task. */
static int foreign_threads(struct runtime *rt)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	int n = 0;

	if (!d)
		return 1; /* cannot tell: assume there is one */
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.' && !((weft__san & SAN_TSAN) && tsan_thread(e->d_name));
	closedir(d);
	n -= 1 + load_relaxed(&rt->threads) + 1 + weft__emulated() +
	     weft__offload_threads(); /* 1: who called weft_run; 1: the monitor, which asks */
	if (n > 0 && first_is_over())
		n--;
	return n > 0 ? n : 0;
}

/* May one of those that were counted be no hope, because it is about to be gone, or has been joined already? Some of weft's own have ended lately; the emulator has work to do when a thread of its program has. */
static bool some_may_go(struct runtime *rt, int foreign)
{
	return weft__offload_ends() != rt->ends_seen || weft__emulated() || one_is_ending() || foreign_threads(rt) != foreign;
}

/* Nothing is queued or pending, and all workers sleep. *moves: a number that changes when one of them does anything. */
static bool all_quiet(struct runtime *rt, uint64_t *moves)
{
	unsigned seats = rt_seats(rt);
	int64_t now = clock_now();

	*moves = 0;
	if (load_relaxed(&rt->stopping) || injectq_len(&rt->inject) || injectq_len(&rt->ran) || weft__prio_anywhere(rt) ||
	    injectq_len(&rt->stackless)) /* looks, between fences */
		return false;
	for (unsigned i = 0; i < seats; i++) {
		struct worker *w = &rt->workers[i];

		*moves += load_relaxed(&w->tick) + load_relaxed(&w->stat_sleeps); /* the same */
		if (wheel_next(&w->wheel) <= now || injectq_len(&w->inbox) || injectq_len(&w->pinned) || weft__prio_here(w) ||
		    weft__loop_active(w->loop))
			return false;
	}
	return idle_all_asleep(&rt->idle, seats);
}

bool weft__runtime_all_asleep(struct runtime *rt, int64_t idle_ns)
{
	struct verdict v = {.rt = rt};
	uint64_t before, after;

	rt->judge_soon = false;
	if (!rt->deadlock_check || load_relaxed(&weft__others)) /* else its tasks may wait for another's; asked again when that has gone */
		return true;
	if (!all_quiet(rt, &before))
		return false;
	v.foreign = foreign_threads(rt); /* before the look: what one of them did before it ended is seen below */
	asym_heavy();
	if (!all_quiet(rt, &before))
		return false;
	weft__rec_foreach(judge, &v);
	if (weft__offload_pending()) /* what it does may be what they wait for */
		v.hope = true;
	for (unsigned i = 0; i < rt_seats(rt) && !v.hope; i++)
		v.hope = wheel_linked(&rt->workers[i].wheel, TIMER_USER) != 0; /* a task's may be of a wait that is over */
	asym_heavy();
	if (v.hope || !v.tasks)
		return true; /* somebody will run, and then it is asked again */
	if (!all_quiet(rt, &after) || before != after)
		return false;
	if (v.foreign && idle_ns < ENDING_NS && some_may_go(rt, v.foreign)) {
		rt->judge_soon = true;
		return false;
	}
	rt->ends_seen = weft__offload_ends();
	if (rt->deadlock_reported && v.foreign)
		return true; /* said once; but when the last such thread has gone it is the end */
	rt->deadlock_reported = true;
	if (weft__hooks.deadlock)
		weft__hooks.deadlock(&v);
	if (!v.foreign)
		weft__runtime_stop(rt, WEFT_EDEADLK);
	return true;
}
