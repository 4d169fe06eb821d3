/* SPDX-License-Identifier: MIT
 *
 * ctx_scope.c - blocks under a context of their own, and shields (weft/scope.h).
 *
 * A shield is two things: the task goes under a context that is not cancelled with its own (under the root, if there is no memory for one with the same values), and
 * CANCEL_SHIELD makes weft_task_cancel, and the end of the root, not count. A canceller looks for that bit after it has read the wait word: one that was opened under the shield shows it.
 */
#include "core/ctx.h"

#include "base/clock.h"
#include "weft/scope.h"

static void leave(void *arg)
{
	struct weft__scope *s = arg;
	struct weft_task *t = s->weft__left.weft__task;

	if (s->weft__up)
		weft_ctx_leave(s->weft__up);
	if (t)
		t->limit = s->weft__limit; /* which may be less than the context's, where there was no memory for one */
}

void weft__scope_end(struct weft__scope *s)
{
	weft__defer_end(&s->weft__left);
}

/* Enters c, and gives the caller's reference to it up. NULL: there was no memory. */
static void enter(struct weft__scope *s, weft_ctx *c)
{
	s->weft__up = c ? weft_ctx_enter(c) : NULL;
	weft_ctx_free(c);
	weft__defer_push(&s->weft__left, leave, s);
}

void weft__scope_timeout(struct weft__scope *s, int64_t ns)
{
	struct weft_task *t = weft_task_self();
	int64_t deadline = weft_in(ns);

	if (t)
		s->weft__limit = t->limit;
	enter(s, t ? weft_ctx_with_deadline(NULL, deadline) : NULL);
	if (t && !s->weft__up && deadline < t->limit)
		t->limit = deadline;
}

void weft__scope_under(struct weft__scope *s, weft_ctx *c)
{
	struct weft_task *t = weft_task_self();

	if (t)
		s->weft__limit = t->limit;
	enter(s, c ? weft_ctx_ref(c) : NULL);
}

/* --- shields --- */

static void set_shield(struct weft_task *t, uint32_t bit)
{
	uint32_t was = load_relaxed(&t->cancel); /* checked by the compare-and-swap */

	while (!cas_relaxed(&t->cancel, &was, (was & ~CANCEL_SHIELD) | bit)) /* a canceller sees it with the wait that is opened after it */
		;
}

static void unshield(void *arg)
{
	struct weft__scope *s = arg;
	struct weft_task *t = s->weft__left.weft__task;

	if (!t)
		return;
	weft__ctx_back(t, s->weft__up);
	t->limit = s->weft__limit; /* as in leave */
	set_shield(t, s->weft__shield);
}

void weft__scope_shield(struct weft__scope *s)
{
	struct weft_task *t = weft_task_self();

	s->weft__up = NULL;
	if (t) {
		weft_ctx *c = weft_ctx_without_cancel(NULL); /* also of the root: what is started in the shield shall outlive it, too */

		s->weft__limit = t->limit;
		s->weft__shield = load_relaxed(&t->cancel) & CANCEL_SHIELD; /* own */
		s->weft__up = weft_ctx_enter(c ? c : weft__ctx_root());
		weft_ctx_free(c);
		t->limit = WEFT_FOREVER;
		set_shield(t, CANCEL_SHIELD);
	}
	weft__defer_push(&s->weft__left, unshield, s);
}
