/* SPDX-License-Identifier: MIT
 *
 * options.c - what a runtime is to be like: weft_opts, and the environment (WEFT_...) for what those leave open, checked and written into it before it has any thread.
 */
#include "core/runtime.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "core/offload.h"
#include "core/stackuse.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* An unsigned number from the environment, 0 or min .. max, into *out if it is set. */
static int env_number(const char *name, unsigned long long min, unsigned long long max, unsigned long long *out)
{
	const char *s = getenv(name);
	unsigned long long v;
	char *end;

	if (!s || !*s)
		return 0;
	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno || *end || end == s || *s == '-' || v > max || (v && v < min)) {
		weft__log("%s=%s is not %s%llu to %llu", name, s, min ? "0 or " : "", min, max);
		return WEFT_EINVAL;
	}
	*out = v;
	return 0;
}

/* An option of weft_opts that is out of range, in words. */
static int option_range(const char *name, long long v, long long min, long long max)
{
	if (v >= min && v <= max)
		return 0;
	weft__log("weft_opts.%s=%lld is not %lld to %lld", name, v, min, max);
	return WEFT_EINVAL;
}

int weft__workers_auto(struct runtime *rt, unsigned *n, bool *follows)
{
	unsigned long long workers = 0;
	int rc = env_number("WEFT_WORKERS", 0, WORKERS_MAX, &workers);

	if (rc)
		return rc;
	*follows = !workers;
	*n = workers ? (unsigned)workers : weft__cpus_of(rt->place.ncpus); /* the calling thread may be bound to one */
	if (*n > WORKERS_MAX)
		*n = WORKERS_MAX;
	return 0;
}

/* How many seats, and who takes them. */
static int seat_options(struct runtime *rt, const weft_opts *o)
{
	unsigned long long most = (unsigned long long)o->workers_max, spares = (unsigned long long)SPARES_DEFAULT;
	unsigned workers = (unsigned)o->workers;
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	bool follows = false;
	int rc = option_range("workers", o->workers, 0, WORKERS_MAX);

	if (!rc)
		rc = option_range("workers_max", o->workers_max, 0, WORKERS_MAX);
	if (!rc)
		rc = option_range("spares", o->spares > 0 ? o->spares : 0, 0, WORKERS_MAX);
	if (!rc && !workers)
		rc = weft__workers_auto(rt, &workers, &follows);
	if (!rc && !most)
		rc = env_number("WEFT_WORKERS_MAX", 0, WORKERS_MAX, &most);
	if (!rc && !o->spares)
		rc = env_number("WEFT_SPARES", 0, WORKERS_MAX, &spares);
	if (rc)
		return rc;
	if (most && workers > most && !follows) {
		weft__log("%s=%u is more than %s=%llu", o->workers ? "weft_opts.workers" : "WEFT_WORKERS", workers,
			  o->workers_max ? "weft_opts.workers_max" : "WEFT_WORKERS_MAX", most);
		return WEFT_EINVAL;
	}
	if (!most) {
		most = workers > SEATS_MAX_LEAST ? workers : SEATS_MAX_LEAST;
		if (cpus > 0 && (unsigned long long)cpus > most)
			most = (unsigned long long)cpus < WORKERS_MAX ? (unsigned long long)cpus : WORKERS_MAX;
	}
	rt->seats_max = (unsigned)most;
	rt->spares_max = o->spares ? (o->spares > 0 ? o->spares : 0) : (int)(unsigned)spares;
	store_relaxed(&rt->wish, workers < rt->seats_max ? workers : rt->seats_max); /* not shared yet, here and below */
	store_relaxed(&rt->active, load_relaxed(&rt->wish));
	store_relaxed(&rt->follows, follows);
	return 0;
}

/* When it ends, from the environment: "main" or "idle". */
static int env_exit(enum weft_exit *out)
{
	const char *s = getenv("WEFT_EXIT");

	*out = WEFT_EXIT_ON_MAIN;
	if (!s || !*s || strcmp(s, "main") == 0)
		return 0;
	if (strcmp(s, "idle") != 0) {
		weft__log("WEFT_EXIT=%s is not main or idle", s);
		return WEFT_EINVAL;
	}
	*out = WEFT_EXIT_ON_IDLE;
	return 0;
}

/* One of a few words from the environment: its number into *out, if it is set. */
static int env_word(const char *name, const char *const *words, int *out)
{
	const char *s = getenv(name);

	if (!s || !*s)
		return 0;
	for (int i = 0; words[i]; i++) {
		if (!strcmp(s, words[i])) {
			*out = i;
			return 0;
		}
	}
	weft__log("%s=%s is neither %s nor %s", name, s, words[0], words[1]);
	return WEFT_EINVAL;
}

int weft__options(struct runtime *rt, const weft_opts *o)
{
	static const char *const orders[] = {"fifo", "lifo", NULL}, *const prios[] = {"normal", "mixed", NULL};
	unsigned long long stack = 0, tasks = 0, seed = 0, trim = TRIM_PARKED_NS, report = 0;
	enum weft_exit when = o->exit;
	int rc = option_range("blocking_max", o->blocking_max, 0, INT_MAX), order = (int)o->order, prio = 0;

	if (!rc)
		rc = option_range("exit", (int)when, WEFT_EXIT_DEFAULT, WEFT_EXIT_ON_IDLE);
	if (!rc)
		rc = option_range("order", order, WEFT_ORDER_DEFAULT, WEFT_ORDER_LIFO);
	if (!rc)
		rc = weft__place_up(&rt->place, o);
	if (!rc)
		rc = seat_options(rt, o);
	stack = o->stack;
	tasks = o->max_tasks;
	seed = o->seed;
	if (!rc && !stack)
		rc = env_number("WEFT_STACK", STACK_MIN, STACK_MAX, &stack);
	if (!rc && !tasks)
		rc = env_number("WEFT_MAX_TASKS", 0, SIZE_MAX, &tasks);
	if (!rc && !seed)
		rc = env_number("WEFT_SEED", 0, UINT64_MAX, &seed);
	if (!rc && !o->trim_parked)
		rc = env_number("WEFT_TRIM_PARKED", 0, INT64_MAX, &trim);
	else if (o->trim_parked)
		trim = o->trim_parked > 0 ? (unsigned long long)o->trim_parked : 0;
	if (!rc)
		rc = env_number("WEFT_STACK_REPORT", 0, 1, &report);
	if (!rc && when == WEFT_EXIT_DEFAULT)
		rc = env_exit(&when);
	if (!rc && order == WEFT_ORDER_DEFAULT) {
		rc = env_word("WEFT_ORDER", orders, &order);
		order = order ? WEFT_ORDER_LIFO : WEFT_ORDER_FIFO;
	}
	if (!rc)
		rc = env_word("WEFT_PRIO", prios, &prio);
	if (rc)
		return rc;
	if (stack && (stack < STACK_MIN || stack > (unsigned long long)STACK_MAX)) { /* what the environment says has been looked at */
		weft__log("weft_opts.stack=%llu is not 0 or %llu to %llu", stack, (unsigned long long)STACK_MIN,
			  (unsigned long long)STACK_MAX);
		return WEFT_EINVAL;
	}
	if (!seed && getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
		seed = (unsigned long long)clock_now();
	rt->stack_size = stack ? (size_t)stack : STACK_DEFAULT;
	rt->stack_report = report;
	if (!weft__rts_up()) /* it is the process's: the first decides */
		weft__stackuse_up(o->stack_report || report);
	rt->task_flags = rt->stack_size == STACK_DEFAULT && !weft__stackuse_on ? 0 : TASK_OWN_STACK;
	rt->max_tasks = tasks ? (size_t)tasks : SIZE_MAX;
	rt->seed = seed;
	rt->idle.choose = rt->place.steal == WEFT_STEAL_NEAR ? weft__victims_sleeper : NULL;
	weft__offload_up(rt, o->blocking_max ? (unsigned)o->blocking_max : LANE_USER_MAX);
	rt->signals = !o->no_signals;
	rt->deadlock_check = !o->no_deadlock && !rt->made;         /* there is always a thread outside that may do something */
	rt->exit = (uint8_t)(rt->made ? WEFT_EXIT_DEFAULT : when); /* neither: weft_free ends it */
	rt->main_over = rt->made;                                  /* it has none */
	store_relaxed(&rt->gate, (uint32_t)o->paused);             /* not shared yet */
	rt->lifo = order == WEFT_ORDER_LIFO;
	if (prio == 1)
		rt->task_flags |= TASK_CLASS;
	return weft__trim_up(&rt->trim, rt->home, (int64_t)trim);
}
