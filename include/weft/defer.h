/* SPDX-License-Identifier: MIT
 *
 * weft/defer.h - clean up on every way out of a block, and panic.
 *
 *	int handle(int fd)
 *	{
 *		char *buf = malloc(4096);
 *
 *		WEFT_DEFER(close, fd);
 *		WEFT_DEFER(free, buf);
 *		WEFT_TRY(greet(fd, buf));        // leaves handle if that fails; buf is freed, then fd closed
 *		if (strlen(buf) == 4096)
 *			weft_task_panic("no end in sight");  // so does this
 *		return 0;
 *	}
 *
 * What is deferred runs when its block is left: at its end, by return, break, continue or goto, by weft_task_exit and by weft_task_panic; last in, first out. It may
 * block. (Unlike Go's, at the end of the block, not of the function.) In a cancelled task its blocking calls fail as all others do: what must be done all the same goes into WEFT_WITH_SHIELD (weft/scope.h).
 *
 * A panic is for what cannot go on: a broken invariant, not an error that a caller may handle. It runs what the task has deferred and ends the innermost
 * weft_task_try around it, or else the task, whose result is WEFT_EPANIC; if nobody asks for that result (the task is detached, or its handle is given back
 * unread) it ends the process, with the message and the stack. Between a panic and its try, frames are left without further ado: C++ destructors there do not run.
 *
 * Who asks: a join; a group, for its children; a future, for its task; weft_par_for and weft_group_map; weft_gen_next. Nobody asks for what weft_go, weft_wg_go, weft_timer_after and
 * weft_ctx_on_done start. The message goes to standard error, with the stack, unless weft_task_try takes it. So does that of an actor, a server, a child of a supervisor, unless it is on_error's
 * (of many within a second some come without the stack).
 */
#ifndef WEFT_DEFER_H
#define WEFT_DEFER_H

#include "export.h"
#include "task.h"

WEFT_BEGIN_DECLS

/* One thing deferred, in the frame of who defers it. Private fields. */
typedef struct weft_defer {
	struct weft_defer *weft__next; /* deferred before it by the same task */
	void (*weft__fn)(void *arg);
	void *weft__arg;
	struct weft_task *weft__task; /* NULL: off a task, where only leaving the block can happen */
} weft_defer;

/* What WEFT_DEFER and blocks like it consist of. push: as the cleanup of d is declared; end: takes it off and runs it, the innermost of the task; drop: takes it off. */
WEFT_API void weft__defer_push(weft_defer *d, void (*fn)(void *arg), void *arg);
WEFT_API void weft__defer_end(weft_defer *d);
WEFT_API void weft__defer_drop(weft_defer *d);

#define WEFT__JOIN2(a, b) a##b
#define WEFT__JOIN(a, b) WEFT__JOIN2(a, b)

/* A block that runs once, with a variable that `end` cleans up behind it: WEFT__BLOCK(type, var, end, begin) { ... }. */
#define WEFT__BLOCK(type, var, end, begin)                                                  \
	for (int WEFT__JOIN(weft__once_, __LINE__) = 1; WEFT__JOIN(weft__once_, __LINE__);) \
		for (__attribute__((cleanup(end))) type var;                                \
		     WEFT__JOIN(weft__once_, __LINE__) ? (WEFT__JOIN(weft__once_, __LINE__) = 0, begin, 1) : 0;)

/* WEFT_DEFER - call fn(arg) when the enclosing block is left.
 *
 *   fn   a function of one argument, a pointer or an integer; what it returns is dropped
 *   arg  evaluated now
 *
 * A declaration: it cannot stand behind a label, or alone behind an if; and no goto may jump over it into the rest of its block. Blocks: if fn does. Threads: any; off a task there is no exit and no panic.
 */
#define WEFT_DEFER(fn, ...)                                                                                 \
	void *const WEFT__JOIN(weft__arg_, __LINE__) = (void *)(uintptr_t)(__VA_ARGS__);                    \
	__attribute__((cleanup(weft__defer_end), unused)) weft_defer WEFT__JOIN(weft__deferred_, __LINE__); \
	((void)sizeof(((fn)(__VA_ARGS__), 0)), weft__defer_push(&WEFT__JOIN(weft__deferred_, __LINE__),     \
								(void (*)(void *))(void (*)(void))(fn), WEFT__JOIN(weft__arg_, __LINE__)))

/* WEFT_TRY - evaluate a call; if it returns a negative code, return that from the enclosing function. Else its value. */
#define WEFT_TRY(call)                                 \
	__extension__({                                \
		__typeof__(call) weft__rc = (call);    \
		if (__builtin_expect(weft__rc < 0, 0)) \
			return (int)weft__rc;          \
		weft__rc;                              \
	})

/* How a panic is told to weft_task_try. */
typedef struct weft_panic {
	char message[200]; /* cut, if need be; "" when there was no panic */
	const char *file;  /* where; static */
	int line;
} weft_panic;

/* weft_task_panic(fmt, ...) - what the caller was about to do makes no sense: end the innermost weft_task_try, or the task.
 *
 * Does not return. What is deferred sees the stack as it was. A panic in something deferred takes the first one's place, and tells of both.
 * Off a task it is a fatal error.
 */
#define weft_task_panic(...) weft__panic_at(__FILE__, __LINE__, __VA_ARGS__)
WEFT_API void weft__panic_at(const char *file, int line, const char *fmt, ...) __attribute__((noreturn, format(printf, 3, 4)));

/* weft_task_try - call fn(arg), and survive its panic.
 *
 *   out  what the panic says; NULL: not wanted
 *
 * Returns what fn returns; WEFT_EPANIC after a panic. weft_task_exit in fn ends the task all the same. A context that fn had entered is left again (of several, entered without WEFT_WITH_CTX, a reference is lost for all but one).
 * Blocks: if fn does. Threads: any; off a task it only calls fn.
 */
WEFT_API int weft_task_try(weft_task_fn *fn, void *arg, weft_panic *out);

WEFT_END_DECLS

#endif
