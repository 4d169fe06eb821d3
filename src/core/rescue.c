/* SPDX-License-Identifier: MIT
 *
 * rescue.c - the monitor's: spare workers while all others are stuck, and as many workers as the machine has room for.
 *
 * A rescue.  All active workers stand on the task they stood on when the monitor looked last, none of them sleeps or searches, and work waits; and each of them, says the kernel, sleeps in a system call, or has computed
 * for RESCUE_CPU_NS since that began.  It is asked every RESCUE_LOOKS looks.  (Not time alone: in a process that gets no CPU nobody moves, and spares are no help.)  One seat is taken at a time (core/seats.c), up to a
 * limit, and one given back when fewer were stuck than were wished for at CALM_LOOKS looks.
 *
 * Following.  Where the user has not said how many workers he wants, quota and affinity are looked at again at most every FOLLOW_NS, by a monitor that is awake anyway.
 */
#include "core/runtime.h"

#include "base/cpus.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct rescue {
	struct cpus cpus; /* open, if followed */
	bool open;
	int64_t followed; /* when it was looked at last */
	unsigned looks;   /* in a row at which all were stuck */
	unsigned n;       /* workers there were at the first of them */
	int64_t *cpu;     /* by worker: time it had computed then */
	unsigned calm;    /* at which fewer were than were wished for, since the last change of spares */
};

/* --- rescue --- */

static unsigned spares_max(struct runtime *rt)
{
	if (rt->spares_max != SPARES_DEFAULT)
		return (unsigned)rt->spares_max;
	return load_relaxed(&rt->wish) == 1 && !load_relaxed(&rt->follows) ? 0 : SPARES; /* looks. Who wants one relies on it */
}

/* Does the kernel say that this thread sleeps? */
static bool sleeps(int tid)
{
	char path[64], buf[128], *state;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, buf, sizeof buf - 1);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	state = strrchr(buf, ')'); /* behind the name */
	return state && state[1] == ' ' && (state[2] == 'S' || state[2] == 'D');
}

/* The clock of a thread by the kernel's number, as pthread_getcpuclockid makes it of a pthread_t. That may be gone: workers are joined before the monitor. */
#define THREAD_CLOCK(tid) ((clockid_t)(~(unsigned)(tid) << 3 | 6u))

/* How long a worker's thread has computed, in nanoseconds; INT64_MAX if the system does not say. */
static int64_t computed(struct worker *w)
{
	int tid = load_relaxed(&w->tid); /* constant while it is a worker */
	struct timespec ts;

	if (!tid || clock_gettime(THREAD_CLOCK(tid), &ts))
		return INT64_MAX;
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Will none of them move soon? */
static bool all_stay(struct runtime *rt, struct rescue *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		struct worker *w = &rt->workers[i];

		if (!sleeps(load_relaxed(&w->tid)) && computed(w) - r->cpu[i] < RESCUE_CPU_NS) /* tid: constant while it is a worker */
			return false;
	}
	return true;
}

static void one_more(struct runtime *rt, struct rescue *r, unsigned spares)
{
	unsigned n = rt_active(rt);

	if (spares >= spares_max(rt) || n >= rt->seats_max)
		return;
	if (n != r->n) /* a seat was taken or left: what its worker had computed is not known */
		r->looks = 0;
	if (++r->looks == 1) {
		r->n = n;
		for (unsigned i = 0; i < n; i++)
			r->cpu[i] = computed(&rt->workers[i]);
	}
	if (r->looks % RESCUE_LOOKS || !all_stay(rt, r))
		return;
	r->looks = r->calm = 0;
	add_relaxed(&rt->stat_rescues, 1u); /* statistics: whoever it runs finds it counted */
	if (weft__seats_spares(rt, spares + 1) || load_relaxed(&rt->spares) <= spares)
		add_relaxed(&rt->stat_rescues, (uint64_t)-1); /* it is tried again */
}

void weft__rescue_look(struct runtime *rt, unsigned stuck, bool waits)
{
	unsigned spares = load_relaxed(&rt->spares); /* ours, but for what is clamped */
	struct rescue *r = rt->rescue;

	if (stuck == rt_active(rt) && waits) {
		one_more(rt, r, spares);
		return;
	}
	r->looks = 0;
	if (!spares)
		r->calm = 0;
	else if (stuck < load_relaxed(&rt->wish) && ++r->calm >= CALM_LOOKS) { /* a look */
		r->calm = 0;
		(void)weft__seats_spares(rt, spares - 1); /* fails only when all ends */
	}
}

/* --- following --- */

void weft__rescue_follow(struct runtime *rt, int64_t now)
{
	struct rescue *r = rt->rescue;
	unsigned n;

	if (!load_relaxed(&rt->follows)) /* a look; seats.c looks again */
		return;
	if (!r->followed)
		r->followed = now;
	if (now - r->followed < FOLLOW_NS)
		return;
	r->followed = now;
	if (!r->open)
		weft__cpus_open(&r->cpus);
	r->open = true;
	n = rt->place.ncpus ? weft__cpus_limit(&r->cpus, rt->place.ncpus) : weft__cpus_read(&r->cpus);
	if (r->cpus.lacks) { /* a limit may be there that was not seen */
		weft__cpus_close(&r->cpus);
		r->open = false;
		return;
	}
	if (n > rt->seats_max)
		n = rt->seats_max;
	if (n != load_relaxed(&rt->wish))        /* a look */
		(void)weft__seats_follow(rt, n); /* where one cannot be made it is tried again */
}

/* --- up and down --- */

int weft__rescue_make(struct runtime *rt)
{
	struct rescue *r = calloc(1, sizeof *r);

	if (r)
		r->cpu = calloc(rt->seats_max, sizeof *r->cpu);
	if (!r || !r->cpu) {
		free(r);
		return WEFT_ENOMEM;
	}
	rt->rescue = r;
	return 0;
}

void weft__rescue_free(struct runtime *rt)
{
	if (rt->rescue->open)
		weft__cpus_close(&rt->rescue->cpus);
	free(rt->rescue->cpu);
	free(rt->rescue);
	rt->rescue = NULL;
}
