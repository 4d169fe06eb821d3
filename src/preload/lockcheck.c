/* SPDX-License-Identifier: MIT
 *
 * lockcheck.c - libweft-lockcheck.so: notes, by thread, which pthread mutexes are locked, and where.
 *
 *     LD_PRELOAD=libweft-lockcheck.so program
 *
 * It stands in for pthread_mutex_lock and its kin. A libweft built with debug checks asks it whenever a task leaves its worker (debug/lockcheck.c). No code of weft is in it, so it
 * needs no runtime, and threads that weft did not make may use it, too.
 */
#include "preload/lockcheck.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define HELD_MAX 32 /* more at a time are not noted */

static __thread struct held_mutex held[HELD_MAX];
static __thread int nheld;
static __thread bool busy; /* in backtrace, which may lock something itself */
static bool asked;         /* by a libweft; written by its workers, with one value only */

static int (*real_lock)(pthread_mutex_t *m);
static int (*real_trylock)(pthread_mutex_t *m);
static int (*real_timedlock)(pthread_mutex_t *m, const struct timespec *at);
static int (*real_clocklock)(pthread_mutex_t *m, clockid_t clock, const struct timespec *at);
static int (*real_unlock)(pthread_mutex_t *m);

/* The functions there would be without this library. Whoever locks before any constructor has run comes here, too, and there is but one thread then. */
static void find_real(void)
{
	*(void **)&real_trylock = dlsym(RTLD_NEXT, "pthread_mutex_trylock");
	*(void **)&real_timedlock = dlsym(RTLD_NEXT, "pthread_mutex_timedlock");
	*(void **)&real_clocklock = dlsym(RTLD_NEXT, "pthread_mutex_clocklock");
	*(void **)&real_unlock = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
	*(void **)&real_lock = dlsym(RTLD_NEXT, "pthread_mutex_lock");
}

__attribute__((constructor)) static void begin(void)
{
	void *pc[1];

	find_real();
	busy = true;
	backtrace(pc, 1); /* loads what it needs now, and not on a small stack */
	busy = false;
}

/* Nobody has asked, though there is a libweft: it is a build that does not. */
__attribute__((destructor)) static void end(void)
{
	static const char text[] = "weft-lockcheck: nothing was checked: this libweft was built without -Ddebug_checks=true\n";

	if (!__atomic_load_n(&asked, __ATOMIC_RELAXED) && dlsym(RTLD_DEFAULT, "weft_run"))
		(void)!write(STDERR_FILENO, text, sizeof text - 1);
}

/* rc: what the real function has returned, to a call from `caller`. */
static int taken(pthread_mutex_t *m, int rc, void *caller)
{
	struct held_mutex *h = &held[nheld];
	void *pc[LOCKCHECK_FRAMES + 4];
	int n, own = 0;

	if ((rc != 0 && rc != EOWNERDEAD) || busy || nheld == HELD_MAX)
		return rc;
	busy = true;
	n = backtrace(pc, LOCKCHECK_FRAMES + 4);
	busy = false;
	while (own < n && pc[own] != caller) /* those of this file */
		own++;
	if (own == n) { /* the stack cannot be walked */
		pc[0] = caller;
		own = 0;
		n = 1;
	}
	h->mutex = m;
	h->n = n - own < LOCKCHECK_FRAMES ? n - own : LOCKCHECK_FRAMES;
	memcpy(h->pc, pc + own, (size_t)h->n * sizeof pc[0]);
	nheld++;
	return rc;
}

EXPORT int pthread_mutex_lock(pthread_mutex_t *m)
{
	if (!real_lock)
		find_real();
	return taken(m, real_lock(m), __builtin_return_address(0));
}

EXPORT int pthread_mutex_trylock(pthread_mutex_t *m)
{
	if (!real_trylock)
		find_real();
	return taken(m, real_trylock(m), __builtin_return_address(0));
}

EXPORT int pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *at)
{
	if (!real_timedlock)
		find_real();
	return taken(m, real_timedlock(m, at), __builtin_return_address(0));
}

EXPORT int pthread_mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *at)
{
	if (!real_clocklock)
		find_real();
	return real_clocklock ? taken(m, real_clocklock(m, clock, at), __builtin_return_address(0)) : ENOSYS;
}

EXPORT int pthread_mutex_unlock(pthread_mutex_t *m)
{
	if (!real_unlock)
		find_real();
	for (int i = nheld - 1; i >= 0 && !busy; i--) {
		if (held[i].mutex == m) { /* the last time it was taken; not: another thread has, which is its business */
			memmove(&held[i], &held[i + 1], (size_t)(nheld - i - 1) * sizeof held[0]);
			nheld--;
			break;
		}
	}
	return real_unlock(m);
}

EXPORT const struct held_mutex *weft_lockcheck_held_1(int *n);

const struct held_mutex *weft_lockcheck_held_1(int *n)
{
	__atomic_store_n(&asked, true, __ATOMIC_RELAXED);
	*n = nheld;
	return held;
}
