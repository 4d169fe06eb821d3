/* SPDX-License-Identifier: MIT
 *
 * weft/scope.h - blocks of code under a deadline, under a context, or shielded from both.
 */
#ifndef WEFT_SCOPE_H
#define WEFT_SCOPE_H

#include "ctx.h"
#include "defer.h"
#include "export.h"

WEFT_BEGIN_DECLS

/* WEFT_WITH_TIMEOUT(ns) { ... } - run a block under a context below the caller's own, which ends in ns nanoseconds: blocking calls in it, and in the tasks it starts, return
 * WEFT_ETIMEDOUT then. Without memory for a context the block runs, and only the caller's own calls in it are bounded.
 *
 * WEFT_WITH_CTX(ctx) { ... } - run a block under that context.
 *
 * WEFT_WITH_SHIELD { ... } - run a block in which the caller is not cancelled, and has no deadline but those the block makes: for cleaning up. What has been cancelled meanwhile
 * is so behind it. Tasks started in it are not cancelled with the caller's context either, and see its values as long as there is memory for that.
 *
 * Each is left again on every way out (weft/defer.h). To the compiler it is a loop: break and continue leave the block, not a loop around it. In a loop:
 *
 *     for (int k = 0; rc != 0 && k < 5; k++)
 *             WEFT_WITH_TIMEOUT(WEFT_SEC) rc = try_it();
 *
 * What stands in the parentheses must not leave the function (WEFT_TRY). ns <= 0: they fail at once. ctx NULL: the caller's own. Off a task, in a thread of one's own, the block runs, and nothing is bounded: use the forms _until there. Behind the block
 * weft_ctx_check() says whether it was the caller's own time that was over, or only the block's. Blocks: no. Threads: any.
 */
#define WEFT_WITH_TIMEOUT(ns) WEFT__SCOPE(weft__scope_timeout(&WEFT__JOIN(weft__scope_, __LINE__), (ns)))
#define WEFT_WITH_CTX(ctx) WEFT__SCOPE(weft__scope_under(&WEFT__JOIN(weft__scope_, __LINE__), (ctx)))
#define WEFT_WITH_SHIELD WEFT__SCOPE(weft__scope_shield(&WEFT__JOIN(weft__scope_, __LINE__)))

/* --- what the blocks are made of; private --- */

struct weft__scope {
	weft_defer weft__left;
	weft_ctx *weft__up;    /* the context to go back to; NULL: none was entered */
	int64_t weft__limit;   /* the caller's deadline before */
	unsigned weft__shield; /* whether there was one before */
};

WEFT_API void weft__scope_timeout(struct weft__scope *s, int64_t ns);
WEFT_API void weft__scope_under(struct weft__scope *s, weft_ctx *c);
WEFT_API void weft__scope_shield(struct weft__scope *s);
WEFT_API void weft__scope_end(struct weft__scope *s);

#define WEFT__SCOPE(begin) WEFT__BLOCK(struct weft__scope, WEFT__JOIN(weft__scope_, __LINE__), weft__scope_end, begin)

WEFT_END_DECLS

#endif
