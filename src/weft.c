/* SPDX-License-Identifier: MIT
 *
 * weft.c - the roof: ties the debug storey to the core, and holds the entry points that need both.
 */
#include "base/check.h"
#include "base/clock.h"
#include "core/runtime.h"
#include "debug/backtrace.h"
#include "debug/dump.h"
#include "debug/lastwords.h"
#include "debug/lockcheck.h"
#include "debug/owncode.h"
#include "debug/stackreport.h"
#include "weft/several.h"
#include "weft/version.h"
#include <pthread.h>
#include <stdio.h>
#include <uv.h>

static pthread_once_t tied = PTHREAD_ONCE_INIT;

static void less(bool signals);

static void tie(void)
{
	weft__hooks.dump = weft__dump_all;
	weft__hooks.deadlock = weft__dump_deadlock;
	weft__hooks.stack_report = weft__stack_report;
	weft__hooks.one_less = less;
	weft__hooks.dump_stragglers = weft__dump_stragglers;
	weft__hooks.list_stragglers = weft__list_stragglers;
	weft__fatal_hook = weft__dump_self;
	weft__overflow_describe = weft__task_describe;
	weft__overflow_caller = weft__last_caller;
	weft__overflow_name = weft__last_name;
	weft__contain_hooks.prepare = weft__owncode_prepare;
	weft__contain_hooks.own = weft__owncode;
	weft__contain_hooks.name = weft__owncode_name;
#ifdef WEFT_DEBUG
	weft__hooks.leaves = weft__lockcheck_find();
#endif
}

/* The debug storey is tied to the core, and its signal is there, for one runtime more, or less. */
static void more(const weft_opts *o)
{
	pthread_once(&tied, tie);
	if (!o->no_signals)
		weft__backtrace_install();
}

static void less(bool signals)
{
	if (signals)
		weft__backtrace_uninstall();
}

static int run(weft_task_fn *fn, void *arg, const weft_opts *o, bool exit_process, int *result)
{
	int rc;

	more(o);
	rc = weft__run(fn, arg, o, exit_process, result);
	less(!o->no_signals);
	return rc;
}

static const weft_opts no_opts;

int weft_run(weft_task_fn *fn, void *arg, const weft_opts *o)
{
	int result = 0, rc;

	rc = run(fn, arg, o ? o : &no_opts, false, &result);
	return rc ? rc : result;
}

int weft_make(weft_runtime **out, const weft_opts *o)
{
	struct runtime *rt = NULL;
	int rc;

	if (!out)
		return WEFT_EINVAL;
	o = o ? o : &no_opts;
	more(o);
	rc = weft__make(&rt, o);
	if (rc)
		less(!o->no_signals);
	*out = (weft_runtime *)rt;
	return rc;
}

int weft_free(weft_runtime *h, int64_t grace_ns)
{
	struct runtime *rt = (struct runtime *)h;
	bool signals;
	int rc;

	if (!rt)
		return 0;
	signals = rt->signals;
	rc = weft__free(rt, grace_ns);
	if (!rc || rc == WEFT_ETIMEDOUT)
		less(signals);
	return rc;
}

struct main_call {
	int (*fn)(int, char **);
	int argc;
	char **argv;
};

static int main_task(void *arg)
{
	struct main_call *m = arg;

	return m->fn(m->argc, m->argv);
}

int weft__run_main(int (*fn)(int, char **), int argc, char **argv)
{
	struct main_call m = {fn, argc, argv};
	int result = 0, rc;

	rc = run(main_task, &m, &no_opts, true, &result);
	if (rc == WEFT_EDEADLK)
		return 2;
	if (rc) {
		weft__log("the runtime could not run: %s", weft_strerror(rc));
		return 1;
	}
	return result;
}

/* Of all runtimes: it does not matter which one the caller is in, or has chosen. */
int weft_dump(int fd)
{
	(void)weft__worker(); /* a forked child is told so, as by any call */
	return weft__rts_up() ? weft__dump_all(fd, NULL) : WEFT_ESRCH;
}

int64_t weft_now(void)
{
	return clock_now();
}

int64_t weft_in(int64_t ns)
{
	return ns <= 0 ? clock_now() : clock_add(clock_now(), ns);
}

const char *weft_version(void)
{
	return WEFT_VERSION;
}

const char *weft_strerror(int code)
{
	switch (code) {
	case 0:
		return "success";
	case WEFT_ECLOSED:
		return "closed";
	case WEFT_ELAGGED:
		return "too slow: something was missed";
	case WEFT_EBROKEN:
		return "broken: who should have made it happen is gone";
	case WEFT_EPANIC:
		return "it ended by a panic";
	case WEFT_EPOISONED:
		return "poisoned: its owner has failed";
	case WEFT_EOVERFLOW:
		return "stack overflow";
	case WEFT_EFAULT:
		return "memory that is not there, or not to be touched";
	case WEFT_EARITH:
		return "division by zero, or other arithmetic that has no result";
	case WEFT_EILLEGAL:
		return "an instruction that cannot be carried out";
	case WEFT_EABORT:
		return "abort";
	case WEFT_EINTENSITY:
		return "restarted too often";
	case WEFT_EOPEN:
		return "the circuit breaker is open";
	case WEFT_EOVERLOAD:
		return "turned away: overloaded";
	case WEFT_EDOWN:
		return "whom we have asked has ended";
	case WEFT_ETLS:
		return "TLS: the two sides do not agree";
	case WEFT_EUNTRUSTED:
		return "the peer's certificate is not trusted";
	case WEFT_ECONNABORTED:
		return "cut off";
	case WEFT_EDEADLK:
		return "it would wait for itself, or every task waits for another";
	case WEFT_EBUSY:
		return "busy: it is in use, or up already";
	case WEFT_ETIMEDOUT:
		return "the deadline has passed";
	case WEFT_ECANCELED:
		return "cancelled";
	case WEFT_EALREADY:
		return "it was done before, or is being done";
	case WEFT_ESRCH:
		return "it is not there, or over, or no runtime is up";
	case WEFT_EPIPE:
		return "nobody receives any more";
	case WEFT_ENOBUFS:
		return "no room: a limit is reached";
	case WEFT_ECHILD:
		return "not a child any more";
	case WEFT_ENOEXEC:
		return "not a program";
	case WEFT_EAI_AGAIN:
		return "no name server has answered";
	case WEFT_EAI_FAIL:
		return "the name server will not say";
	case WEFT_EAI_NODATA:
		return "the name has no such address";
	case WEFT_EAI_NONAME:
		return "no such name";
	case WEFT_EAI_SERVICE:
		return "no such service";
	case WEFT_EAGAIN:
		return "it would have to wait, or a limit is reached";
	case WEFT_ENOENT:
		return "no such file, name or other thing";
	case WEFT_EEXIST:
		return "it exists already";
	case WEFT_ENOTSUP:
		return "not supported by things of this kind";
	}
#define CASE(name, text) \
	case UV_##name:  \
		return text;
	switch (code) {
		UV_ERRNO_MAP(CASE)
	}
#undef CASE
	return "unknown error";
}
