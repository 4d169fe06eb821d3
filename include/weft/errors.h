/* SPDX-License-Identifier: MIT
 *
 * weft/errors.h - errors that say what happened, where, and what caused them: a chain, for those who want to tell more than a code.
 *
 *     static weft_err *load(const char *path)
 *     {
 *             int fd = open(path, O_RDONLY);
 *
 *             if (fd < 0)
 *                     return weft_err_new(-errno, "open %s", path);
 *             ...
 *     }
 *
 *     weft_err *e = load("app.conf");
 *
 *     if (e)
 *             return weft_err_wrap(e, 0, "load the settings");
 *
 * prints as
 *
 *     load the settings (main.c:40)
 *       caused by: open app.conf: no such file, name or other thing (config.c:12)
 *
 * NULL is no error. Weft's own calls return codes; this is what a program may make of them. Nothing here needs a runtime, nothing blocks, and any thread
 * may call it.
 */
#ifndef WEFT_ERRORS_H
#define WEFT_ERRORS_H

#include "error.h"
#include "export.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_err weft_err;

#define WEFT_ERR_MESSAGE_MAX 255 /* bytes of a message; a longer one is cut, and ends in "..." */

/* weft_err_new(code, fmt, ...) - an error, made here.
 *
 *   code  a WEFT_E* code, or a number of the program's own below -10000
 *   fmt   as of printf, what was tried ("open %s"): the code says what came of it
 *
 * Returns it with one reference, never NULL: when memory is short, an error of WEFT_ENOMEM, of which there is one, and which has no place.
 * A macro: it keeps __FILE__ and __LINE__, and the calling task.
 */
#define weft_err_new(code, ...) weft__err_new((code), __FILE__, __LINE__, __VA_ARGS__)

/* weft_err_of(code) - the same without a message: the code says it all. 0 or more, as of a call that went well: NULL. */
#define weft_err_of(code) weft__err_of((code), __FILE__, __LINE__)

/* weft_err_wrap(cause, code, fmt, ...) - an error, made here, of which `cause` is the cause.
 *
 *   cause  taken over: its reference is the new error's; NULL: there was no error, and there is none
 *   code   of the new one; 0: the cause's
 *
 * Returns it as weft_err_new does; NULL if cause is. When memory is short, the cause is given up.
 */
#define weft_err_wrap(cause, code, ...) weft__err_wrap((cause), (code), __FILE__, __LINE__, __VA_ARGS__)

/* weft_err_vmake - what the macros come to, for functions of your own that make errors.
 *
 *   cause  taken over; NULL: none
 *   file   static; NULL: no place
 */
WEFT_API weft_err *weft_err_vmake(weft_err *cause, int code, const char *file, int line, const char *fmt, va_list ap)
	__attribute__((format(printf, 5, 0)));

/* WEFT_ERR_TRY(expr) - return the error that expr comes to from the function this stands in, if it is one. */
#define WEFT_ERR_TRY(expr)                  \
	do {                                \
		weft_err *weft_e_ = (expr); \
		if (weft_e_)                \
			return weft_e_;     \
	} while (0)

/* weft_err_ref, weft_err_free - one reference more or less; the last one frees it, and gives back its cause's. NULL is allowed. */
WEFT_API weft_err *weft_err_ref(weft_err *e);
WEFT_API void weft_err_free(weft_err *e);

/* weft_err_code - its code; 0 for NULL. weft_err_is - has it, or what caused it, or what caused that, this code? */
WEFT_API int weft_err_code(const weft_err *e);
WEFT_API bool weft_err_is(const weft_err *e, int code);

/* weft_err_cause - what caused it, borrowed; NULL: nothing, or nobody has said. */
WEFT_API const weft_err *weft_err_cause(const weft_err *e);

/* weft_err_message - what was tried, without its cause; what the code means, if it has no message; "" for NULL. Valid as long as e is. */
WEFT_API const char *weft_err_message(const weft_err *e);

/* weft_err_where - the file it was made in, as the compiler was given it, and the line; NULL and 0: it has no place.
 * weft_err_task - the id of the task that made it; 0: a thread that ran none. */
WEFT_API const char *weft_err_where(const weft_err *e, int *line);
WEFT_API uint64_t weft_err_task(const weft_err *e);

/* weft_err_format - the whole chain as text: a line an error, each with what its code means, unless its cause has the same, and its place; a cause that another
 * task has made says so. No newline at the end.
 *
 *   buf, n  room for it, always terminated; n may be 0
 *
 * Returns the bytes that all of it takes, as snprintf.
 */
WEFT_API size_t weft_err_format(const weft_err *e, char *buf, size_t n);

/* weft_err_print - the same to a descriptor, and a newline. Returns 0, or a negative code of write(2); WEFT_EINVAL for NULL. Blocks the thread, if write does. */
WEFT_API int weft_err_print(const weft_err *e, int fd);

/* What the macros call. */
WEFT_API weft_err *weft__err_new(int code, const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
WEFT_API weft_err *weft__err_of(int code, const char *file, int line);
WEFT_API weft_err *weft__err_wrap(weft_err *cause, int code, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

WEFT_END_DECLS

#endif
