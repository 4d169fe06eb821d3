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

/* Is it about to be gone? Those who have joined it may go on already. */
static bool is_ending(const char *tid)
{
	char path[300], line[512] = "", *state;
	unsigned flags = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/task/%s/stat", tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(line, sizeof line, f))
		line[0] = '\0';
	fclose(f);
	state = strrchr(line, ')'); /* behind the name */
	if (!state || sscanf(state, ") %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
		return false;
	return (flags & PF_EXITING) && state[2] != 'Z'; /* the first thread, if it ends before the others, stays a zombie */
}

static bool one_is_ending(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	bool found = false;

	if (!d)
		return false;
	while (!found && (e = readdir(d)) != NULL)
		found = e->d_name[0] != '.' && is_ending(e->d_name);
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
	return n > 0 ? n : 0;
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

bool weft__runtime_all_asleep(struct runtime *rt)
{
	struct verdict v = {.rt = rt};
	uint64_t before, after;

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
	if (v.foreign && weft__offload_ends() != rt->ends_seen) { /* it may be one of ours that is about to be gone */
		rt->ends_seen = weft__offload_ends();
		return false;
	}
	if (v.foreign && one_is_ending())
		return false;
	if (rt->deadlock_reported && v.foreign)
		return true; /* said once; but when the last such thread has gone it is the end */
	rt->deadlock_reported = true;
	if (weft__hooks.deadlock)
		weft__hooks.deadlock(&v);
	if (!v.foreign)
		weft__runtime_stop(rt, WEFT_EDEADLK);
	return true;
}
