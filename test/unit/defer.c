/* SPDX-License-Identifier: MIT
 *
 * defer.c - what is deferred runs once on every way out of a block, last in, first out; panics end where they are tried, or end the task.
 */
#include "rt.h"

#include "weft/chan.h"
#include "weft/scope.h"
#include <pthread.h>

static char trace[64];
static int traced;

static void say(void *arg)
{
	trace[traced++] = (char)(uintptr_t)arg;
	trace[traced] = '\0';
}

static int say_number(int c)
{
	say((void *)(uintptr_t)c);
	return -1; /* nobody looks */
}

static void trace_begin(void)
{
	traced = 0;
	trace[0] = '\0';
}

static int by_return(int way)
{
	WEFT_DEFER(say_number, 'a');
	for (int i = 0; i < 2; i++) {
		WEFT_DEFER(say, (void *)(uintptr_t)('0' + i));
		if (way == 1 && i == 0)
			continue;
		if (way == 2)
			break;
		if (way == 3)
			goto out;
		if (way == 4)
			return 4;
	}
	if (way < 3) {
		WEFT_DEFER(say_number, 'b');
		say_number('c');
	}
out:
	return 0;
}

static int try_code(int code)
{
	WEFT_DEFER(say_number, 't');
	return WEFT_TRY(code) + 1;
}

static int refused(void)
{
	WEFT_DEFER(say_number, 'r');
	WEFT_DEFER(say_number, WEFT_TRY(say_number('q'))); /* leaves before anything is deferred */
	return 0;
}

static void ways(void)
{
	static const char *const traces[] = {"01cba", "01cba", "0cba", "0a", "0a"};

	for (int way = 0; way < 5; way++) {
		trace_begin();
		T_EQ(by_return(way), way == 4 ? 4 : 0);
		T_STR_EQ(trace, traces[way]);
	}
	trace_begin();
	T_EQ(try_code(WEFT_EPIPE), WEFT_EPIPE);
	T_EQ(try_code(7), 8);
	T_STR_EQ(trace, "tt");
	trace_begin();
	T_EQ(refused(), -1);
	T_STR_EQ(trace, "qr");
}

static int ways_main(void *arg)
{
	(void)arg;
	ways();
	return 0;
}

static void *ways_thread(void *arg)
{
	(void)arg;
	ways();
	return NULL;
}

/* On a task, and on a thread outside. */
TEST_WORKERS(every_way_out)
{
	pthread_t thread;

	run(ways_main, NULL);
	T_EQ(pthread_create(&thread, NULL, ways_thread, NULL), 0);
	T_EQ(pthread_join(thread, NULL), 0);
}

/* --- exit and panic --- */

struct doing {
	int depth;
	bool panics;
	int code;
};

static int deep(const struct doing *d, int depth)
{
	WEFT_DEFER(say, (void *)(uintptr_t)('0' + depth));
	WEFT_DEFER(weft_task_sleep, 1); /* it may block */
	if (depth < d->depth)
		return deep(d, depth + 1);
	if (d->panics)
		weft_task_panic("at depth %d", depth);
	weft_task_exit(d->code);
}

static int dives(void *arg)
{
	WEFT_DEFER(say_number, 'x');
	return deep(arg, 1);
}

static int does_nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int tries(void *arg)
{
	weft_panic p;
	int rc;

	WEFT_DEFER(say_number, 'y');
	rc = weft_task_try(dives, arg, &p);
	T_STR_EQ(p.message, "at depth 3");
	T_OK(strstr(p.file, "defer.c") != NULL);
	T_OK(p.line > 0);
	say((void *)(uintptr_t)'t');
	T_EQ(weft_task_try(does_nothing, NULL, &p), 0);
	T_STR_EQ(p.message, "");
	T_EQ(p.file, NULL);
	return rc;
}

static int ends_main(void *arg)
{
	struct doing d = {.depth = 3, .code = 42};

	(void)arg;
	trace_begin();
	T_EQ(finish(start(dives, &d)), 42);
	T_STR_EQ(trace, "321x");
	trace_begin();
	T_EQ(finish(start(tries, &d)), 42); /* no try holds an exit */
	T_STR_EQ(trace, "321xy");
	d.panics = true;
	trace_begin();
	T_EQ(finish(start(tries, &d)), WEFT_EPANIC);
	T_STR_EQ(trace, "321xty");
	trace_begin();
	T_EQ(finish(start(dives, &d)), WEFT_EPANIC); /* somebody asks: the process goes on */
	T_STR_EQ(trace, "321x");
	return 0;
}

TEST_WORKERS(exit_and_panic)
{
	run(ends_main, NULL);
}

static void panics_again(void *arg)
{
	weft_task_panic("second %s", (const char *)arg);
}

static int two_panics(void *arg)
{
	WEFT_DEFER(say_number, 'a');
	WEFT_DEFER(panics_again, arg);
	WEFT_DEFER(say_number, 'b');
	weft_task_panic("first");
}

static void tries_inside(void *arg)
{
	weft_panic p;

	T_EQ(weft_task_try(two_panics, arg, &p), WEFT_EPANIC);
	T_STR_EQ(p.message, "second time; after: first");
}

static int tries_while_unwinding(void *arg)
{
	WEFT_DEFER(tries_inside, arg);
	weft_task_panic("outer");
}

static int exits_while_unwinding(void *arg)
{
	(void)arg;
	WEFT_DEFER(weft_task_exit, 3);
	weft_task_panic("stands");
}

static int nested_main(void *arg)
{
	static char word[] = "time";
	weft_panic p;

	(void)arg;
	trace_begin();
	T_EQ(weft_task_try(two_panics, word, &p), WEFT_EPANIC);
	T_STR_EQ(p.message, "second time; after: first");
	T_STR_EQ(trace, "ba");
	T_EQ(weft_task_try(tries_while_unwinding, word, &p), WEFT_EPANIC);
	T_STR_EQ(p.message, "outer");
	T_EQ(weft_task_try(two_panics, word, NULL), WEFT_EPANIC);
	T_EQ(finish(start(exits_while_unwinding, NULL)), WEFT_EPANIC);
	return 0;
}

/* A panic in something deferred, a try in it, an exit in it. */
TEST_WORKERS(panic_in_what_is_deferred)
{
	run(nested_main, NULL);
}

static int changes_context(void *arg)
{
	(void)weft_ctx_enter(arg);
	weft_task_panic("in there");
}

static int context_main(void *arg)
{
	weft_ctx *c = weft_ctx_make(NULL), *d = weft_ctx_make(NULL), *up = weft_ctx_enter(d);

	(void)arg;
	T_EQ(weft_task_try(changes_context, c, NULL), WEFT_EPANIC);
	T_EQ(weft_ctx_self(), d);
	weft_ctx_leave(up);
	weft_ctx_free(c);
	weft_ctx_free(d);
	return 0;
}

TEST_WORKERS(context_is_left_by_panic)
{
	run(context_main, NULL);
}

static int long_message(void *arg)
{
	(void)arg;
	weft_task_panic("%0300d", 7);
}

static int long_main(void *arg)
{
	weft_panic p;

	(void)arg;
	T_EQ(weft_task_try(long_message, NULL, &p), WEFT_EPANIC);
	T_EQ(strlen(p.message), sizeof p.message - 1);
	return 0;
}

TEST(message_is_cut)
{
	run(long_main, NULL);
}

static int panics(void *arg)
{
	weft_task_panic("gone wrong: %s", (const char *)arg);
}

static int main_panics(void *arg)
{
	weft_task_panic("main %s", (const char *)arg);
}

/* weft_run asked for the result. */
TEST_WORKERS(main_task_panics)
{
	T_EQ(weft_run(main_panics, (void *)(uintptr_t) "out", &(weft_opts){.workers = (int)tap_workers()}), WEFT_EPANIC);
}

/* --- what ends the process --- */

static int detached_main(void *arg)
{
	static char word[] = "alone";

	(void)arg;
	T_EQ(weft_go_opts(NULL, panics, word, NULL), 0);
	return weft_task_sleep(WEFT_SEC * 100);
}

TEST_DIES_WORKERS(panic_of_a_detached_task, "panicked: gone wrong: alone")
{
	run(detached_main, NULL);
}

static int unread_main(void *arg)
{
	static char word[] = "unread";
	weft_task *t = start(panics, word);

	(void)arg;
	until_state(t, WEFT_TASK_DONE);
	weft_task_detach(t);
	return weft_task_sleep(WEFT_SEC * 100);
}

TEST_DIES_WORKERS(panic_whose_handle_is_given_back, "without a look at the result")
{
	run(unread_main, NULL);
}

TEST_DIES(panic_off_a_task, "panic off a task: gone wrong: here")
{
	static char word[] = "here";

	(void)panics(word);
}

TEST_DIES(exit_off_a_task, "weft_task_exit called on a thread that runs no task")
{
	weft_task_exit(1);
}
