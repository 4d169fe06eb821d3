/* SPDX-License-Identifier: MIT
 *
 * weft/gen.h - generators: a function that hands out values one by one, and goes on only when the next one is wanted.
 *
 *     static int count(void *arg)
 *     {
 *             for (int i = 0; i < *(int *)arg; i++)
 *                     if (weft_gen_yield(&i) != 0)
 *                             break;
 *             return 0;
 *     }
 *
 *     int rc = weft_gen_make(&g, sizeof(int), count, &n);
 *
 *     WEFT_GEN_FOREACH (g, int, i)
 *             printf("%d\n", i);
 *     weft_gen_free(g);
 *
 * The function runs as a task of its own, under the context of the one that made it, so it may yield from any depth and block as any task. It begins when the first
 * value is asked for. While nobody asks it stands in its yield.
 */
#ifndef WEFT_GEN_H
#define WEFT_GEN_H

#include "error.h"
#include "export.h"
#include "task.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_gen weft_gen;

/* weft_gen_make - a generator.
 *
 *   out   receives it; weft_gen_free ends it
 *   elem  bytes of a value, 0 to 65,535
 *   fn    yields the values; what it returns is its end. arg may point into the caller's frame, as long as the generator is freed before that returns
 *
 * Returns 0; WEFT_EINVAL: out or fn is NULL, or elem is out of range; WEFT_ENOMEM, WEFT_EAGAIN, WEFT_ESRCH as weft_go. On error *out is NULL.
 * Blocks: no. Threads: any.
 */
WEFT_API int weft_gen_make(weft_gen **out, size_t elem, weft_task_fn *fn, void *arg);
WEFT_API int weft__gen_make_at(weft_gen **out, size_t elem, weft_task_fn *fn, void *arg, const struct weft_site *site);

#ifndef __cplusplus
/* The same, for reports: where it is written. */
#define weft_gen_make(out, elem, fn, ...) weft__gen_make_at(out, elem, fn, __VA_ARGS__, WEFT__SITE(#fn))
#endif

/* weft_gen_next - the next value.
 *
 *   out  room for it; NULL: not wanted
 *
 * Returns 0; at the end, from then on, WEFT_ECLOSED, or what fn returned, if that is negative, or WEFT_EPANIC; WEFT_EINVAL for NULL; WEFT_EDEADLK for the generator itself;
 * WEFT_EAGAIN, WEFT_ETIMEDOUT, WEFT_ECANCELED: there was none yet. Then it has been asked for all the same, and the next call gets it.
 * Blocks: yes (generator). Threads: any, also several: each value goes to one of them, in the order they came. Order: what fn did before is seen.
 */
WEFT_API int weft_gen_next(weft_gen *g, void *out);
WEFT_API int weft_gen_next_until(weft_gen *g, void *out, int64_t deadline);

/* weft_gen_yield - from inside a generator: hand out a value, and wait until the next one is wanted.
 *
 *   value  copied; NULL only if values have no bytes
 *
 * Returns 0; WEFT_ECANCELED, WEFT_ETIMEDOUT: the generator is being freed, or its task was cancelled, or is out of time: it should end. The value may have been taken
 * all the same. WEFT_EINVAL for a caller that is no generator.
 * Blocks: yes (yield).
 */
WEFT_API int weft_gen_yield(const void *value);

/* weft_gen_free - stop it, wait until it has ended, and free it. NULL is allowed.
 *
 * If it has not ended, its task is cancelled: its yield returns WEFT_ECANCELED, and so does every other blocking call in it. Who still waits for a value is a fatal
 * error, and so is a call from inside it.
 * Blocks: yes (join), until it has ended, also if the caller is cancelled. A panic in it that nobody has been told of ends the process. Threads: any. Order: all that fn did is seen after it.
 */
WEFT_API void weft_gen_free(weft_gen *g);

/* WEFT_GEN_FOREACH (g, T, v) { ... } - for each value, in a variable v of type T, which is declared here. T of another size than the values' is a fatal error.
 * break, continue, return and goto are allowed in it. How it ended says weft_gen_next, called once more. */
#define WEFT_GEN_FOREACH(g, T, v) for (__typeof__(T) v; weft__gen_step((g), &v, sizeof(v));)

/* What the macro calls. */
WEFT_API bool weft__gen_step(weft_gen *g, void *out, size_t size);

WEFT_END_DECLS

#endif
