/* SPDX-License-Identifier: MIT
 *
 * task.c - the life of a task: start, first frame, end. Its record: record.h; what others do with its handle: task_handle.c.
 *
 * go():  a record from the worker's cache (else the slabs), arguments stored in it, context inherited, pushed at the tail of the ring.  First run: a hot
 * stack and a first frame (weft__task_bind), then task_entry on that stack.  End: result, context, joiners, state DONE, switch away; the
 * context that arrives next recycles stack and record (weft__task_settle_done).
 *
 * A task that finds no stack for its first run waits in rt->stackless, which is retried whenever a stack comes back and by the monitor; meanwhile new starts
 * are refused with WEFT_ENOMEM.  Nothing that was started is lost.
 */
#include "core/sched.h"

#include "arch/switch.h"
#include "base/check.h"
#include "core/life.h"
#include "core/local.h"
#include "core/lot.h"
#include "core/record.h"
#include "core/stackuse.h"
#include <stdlib.h>
#include <string.h>

static void no_locks(struct worker *w, struct weft_task *t)
{
	(void)w;
	(void)t;
}

void (*weft__locks_poison)(struct worker *w, struct weft_task *t) = no_locks;

/* --- start --- */

static bool bind(struct worker *w, struct weft_task *t); /* below: its frame is that of the first run */

/* What t inherits of cur: context (c, else cur's) and values. Last thing that can fail: 0 or WEFT_ENOMEM. ours: cur is a task of t's runtime. */
static ALWAYS_INLINE int inherit_of(struct weft_task *cur, struct weft_task *t, weft_ctx *c, bool ours)
{
	weft_ctx *up = NULL;

	if (likely(cur)) {
		int rc = unlikely(cur->own.locals != NULL) ? weft__locals_inherit(cur, t) : 0;

		if (unlikely(rc))
			return rc;
		up = cur->wctx;
	}
	if (!c && ours) {
		if (unlikely(up != NULL))
			weft__ctx_task_inherit(t, up);
	} else if (c || up) {
		weft__ctx_task_start(t, c ? c : up);
	}
	return 0;
}

/* The same of the caller. w: its worker; NULL: none of the runtime's. */
static ALWAYS_INLINE int inherit(struct worker *w, struct weft_task *t, weft_ctx *c)
{
	if (unlikely(!w))
		return inherit_of(weft__foreign_or_task(), t, c, false);
	return inherit_of(load_relaxed(&w->cur), t, c, true); /* own */
}

/* A word at a time: they have just been stored as words, and a wider load would wait until all of those are in the cache. */
static ALWAYS_INLINE void args_copy(uintptr_t *to, const volatile uintptr_t *from)
{
	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
	to[3] = from[3];
	to[4] = from[4];
	to[5] = from[5];
}

/* It has begun to be a task: from here on it is others'. */
static ALWAYS_INLINE void queue(struct runtime *rt, struct worker *w, struct weft_task *t)
{
	san_release(t);
	if (likely(w))
		sched_push(w, t);
	else
		weft__sched_inject(rt, t);
}

int weft__go_start(struct weft__go_call *call, const struct weft__go_args *args)
{
	struct worker *w = weft__worker();
	struct runtime *rt = likely(w) ? w->rt : weft__rt_enter_start();
	struct weft_task *t;
	int rc;

	if (unlikely(!rt))
		return WEFT_ESRCH;
	rc = task_new(rt, w, &t, call->fp ? TASK_REGS | TASK_FLOATS : TASK_REGS);
	if (likely(rc == 0)) {
		t->fn = call->fn;
		t->site = call->site;
		args_copy(t->args.i, args->i);
		if (call->fp)
			memcpy(t->args.f, args->f, sizeof args->f);
		rc = inherit(w, t, NULL);
		if (unlikely(rc)) {
			weft__task_unmake(rt, w, t);
			goto out;
		}
		queue(rt, w, t);
	}
out:
	if (unlikely(!w))
		weft__rt_leave(rt);
	return rc;
}

int weft__go_words(void (*fn)(void), const uintptr_t words[4], weft_ctx *c, const char *name, const struct weft_site *site)
{
	struct worker *w = weft__worker();
	struct runtime *rt = likely(w) ? w->rt : weft__rt_enter_start();
	int rc;

	if (unlikely(!rt))
		return WEFT_ESRCH;
	rc = weft__go_words_in(rt, w, fn, words, c, name, site);
	if (unlikely(!w))
		weft__rt_leave(rt);
	return rc;
}

int weft__go_words_in(struct runtime *rt, struct worker *w, void (*fn)(void), const uintptr_t words[4], weft_ctx *c, const char *name,
		      const struct weft_site *site)
{
	struct weft_task *t;
	int rc = task_new(rt, w, &t, TASK_REGS);

	if (unlikely(rc))
		return rc;
	t->fn = fn;
	t->site = site;
	for (int i = 0; i < 4; i++)
		t->args.i[i] = words[i];
	if (name)
		rc = weft__task_set_name(t, name);
	if (likely(rc == 0))
		rc = inherit(w, t, c);
	if (unlikely(rc))
		weft__task_unmake(rt, w, t);
	else
		queue(rt, w, t);
	return rc;
}

int weft__go_heir(struct worker *w, void (*fn)(void), const uintptr_t words[4])
{
	struct weft_task *t = record_get(w); /* as good as always the fallen one's own */

	if (!t) {
		live_drop(w->rt);
		return WEFT_ENOMEM;
	}
	task_init(w->rt, w, t, TASK_REGS);
	t->site = NULL;
	t->fn = fn;
	for (int i = 0; i < 4; i++)
		t->args.i[i] = words[i];
	queue(w->rt, w, t);
	return 0;
}

const weft_task_opts weft__no_task_opts;

NOINLINE static int check_rare_opts(struct runtime *rt, const weft_task_opts *o)
{
	if (o->worker < 0 || (unsigned)o->worker > load_relaxed(&rt->wish)) /* a look: who retires it now hands on what comes */
		return WEFT_EINVAL;
	if (o->stack && (o->stack < STACK_MIN || o->stack > (size_t)STACK_MAX))
		return WEFT_EINVAL;
	if (o->prio < WEFT_PRIO_HIGH || o->prio > WEFT_PRIO_LOW)
		return WEFT_EINVAL;
	if ((o->where != WEFT_WHERE_LOCAL && o->where != WEFT_WHERE_GLOBAL) || (o->where && o->worker))
		return WEFT_EINVAL;
	return 0;
}

/* One that check_rare_opts is to look at. */
static ALWAYS_INLINE bool has_rare_opts(const weft_task_opts *o)
{
	return (size_t)o->worker | o->stack | (size_t)o->prio | (size_t)o->where;
}

int weft__task_check_opts(struct runtime *rt, const weft_task_opts *o)
{
	return has_rare_opts(o) ? check_rare_opts(rt, o) : 0;
}

NOINLINE static int dress_rarely(struct weft_task *t, const weft_task_opts *o)
{
	int rc = 0;

	if (o->prio)
		store_relaxed(&t->flags,
			      (uint8_t)((load_relaxed(&t->flags) & ~(unsigned)TASK_CLASS) | prio_flags(o->prio))); /* not shared yet */
	if (o->stack) {
		rc = weft__stack_get(o->stack, &t->stack);
		task_mark(t, TASK_OWN_STACK);
	}
	return rc;
}

static ALWAYS_INLINE int dress(struct weft_task *t, const weft_task_opts *o, bool rare, bool handle)
{
	int rc;

	if (o->name) {
		rc = weft__task_set_name(t, o->name);
		if (rc)
			return rc;
	}
	if (unlikely(rare)) {
		rc = dress_rarely(t, o);
		if (rc)
			return rc;
	}
	if (handle) {
		store_relaxed(&t->refs, 2u); /* not shared yet */
		task_mark(t, TASK_JOINABLE);
	}
	return 0;
}

int weft__task_make_many(struct runtime *rt, struct worker *w, uint32_t n, struct inject_node ***end, uint32_t *made,
			 const weft_task_opts *o, bool handle)
{
	bool rare = has_rare_opts(o);

	for (uint32_t i = 0; i < n; i++) {
		struct weft_task *t = injectq_len(&rt->stackless) ? NULL : record_get(w);
		int rc;

		if (unlikely(!t))
			return WEFT_ENOMEM;
		task_init(rt, w, t, 0);
		t->site = NULL;
		t->inherited = NULL;
		t->next.next = NULL;
		**end = &t->next;
		*end = &t->next.next;
		++*made;
		rc = dress(t, o, rare, handle);
		if (unlikely(rc))
			return rc;
	}
	return 0;
}

static int go_opts(struct runtime *rt, struct worker *w, struct weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o,
		   const struct weft_site *site)
{
	struct weft_task *t, *cur = w ? load_relaxed(&w->cur) : NULL; /* own */
	bool rare = has_rare_opts(o);
	int rc = unlikely(rare) ? check_rare_opts(rt, o) : 0;

	if (rc)
		return rc;
	rc = task_new(rt, w, &t, 0);
	if (rc)
		return rc;
	t->fn = (void (*)(void))fn;
	t->site = site;
	t->args.i[0] = (uintptr_t)arg;
	rc = dress(t, o, rare, out != NULL);
	if (rc)
		goto undo;
	if (out)
		*out = t;
	if (o->now && cur && !o->worker && !bind(w, t)) {
		rc = WEFT_ENOMEM;
		goto undo;
	}
	rc = inherit(w, t, o->ctx);
	if (rc)
		goto unbind;
	san_release(t);
	if (unlikely(rare) && o->worker) {
		injectq_push(&rt->workers[o->worker - 1].inbox, &t->next);
		weft__sched_notify(rt, (unsigned)o->worker - 1);
		weft__sched_wake(rt);
	} else if (o->now && cur) {
		weft__sched_run_now(w, cur, t);
	} else if (likely(w && !rare) || (w && o->where == WEFT_WHERE_LOCAL)) {
		weft__sched_push(w, t);
	} else {
		weft__sched_inject(rt, t);
	}
	return 0;
unbind:
	if (unlikely(weft__san) && t->ctx.sp)
		weft__san_fiber_fini(&t->stack->san);
	if (t->stack)
		t->stack->owner = NULL;
undo:
	weft__task_unmake(rt, w, t);
	if (out)
		*out = NULL;
	return rc;
}

int weft__go_opts_at(weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o, const struct weft_site *site)
{
	struct worker *w = weft__worker();
	struct runtime *rt;
	int rc;

	if (out)
		*out = NULL;
	if (!fn)
		return WEFT_EINVAL;
	rt = w ? w->rt : weft__rt_enter_start();
	if (!rt)
		return WEFT_ESRCH;
	rc = go_opts(rt, w, out, fn, arg, o ? o : &weft__no_task_opts, site);
	if (!w)
		weft__rt_leave(rt);
	return rc;
}

int weft__go_in(struct runtime *rt, weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o, const struct weft_site *site)
{
	return go_opts(rt, weft__worker_in(rt), out, fn, arg, o ? o : &weft__no_task_opts, site);
}

int weft__go_in_run(uint32_t run, weft_task_fn *fn, void *arg, const weft_task_opts *o, const struct weft_site *site)
{
	struct worker *w = weft__worker();
	struct runtime *rt;
	int rc = WEFT_ESRCH;

	if (w && weft__run_self() == run && !rt_deserted(w->home))
		return weft__go_opts_at(NULL, fn, arg, o, site);
	rt = weft__rt_enter_home_start(run % RUNTIMES_MAX);
	if (!rt)
		return rc;
	if (!run || load_relaxed(&rt->run) == run) /* changes only while nobody is inside */
		rc = weft__go_in(rt, NULL, fn, arg, o, site);
	weft__rt_leave(rt);
	return rc;
}

int(weft_go_opts)(weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o)
{
	return weft__go_opts_at(out, fn, arg, o, NULL);
}

int weft__task_start_main(struct runtime *rt, struct worker *w, weft_task_fn *fn, void *arg)
{
	struct weft_task *t;
	int rc = task_new(rt, NULL, &t, 0);

	if (rc)
		return rc;
	store_relaxed(&t->flags, (uint8_t)(rt->task_flags | TASK_MAIN | TASK_OWN_STACK));
	t->site = NULL;
	t->fn = (void (*)(void))fn;
	t->args.i[0] = (uintptr_t)arg;
	rc = weft__stack_get(rt->stack_size, &t->stack);
	if (rc) {
		weft__task_unmake(rt, NULL, t);
		return rc;
	}
	rt->main = t;
	rt->main_id = t->id;
	injectq_push(&w->inbox, &t->next);
	return 0;
}

/* --- first run and end --- */

/* One with TASK_FLOATS ends. */
NOINLINE static void rare_done(struct worker *w, struct weft_task *t, int result)
{
	if (task_is_main(t))
		weft__life_main_ended(w->rt, t, result);
}

/* What the end of t means to others. It still stands on its stack. */
static ALWAYS_INLINE void task_done(struct worker *w, struct weft_task *t, int result)
{
	unsigned flags = load_relaxed(&t->flags); /* as in task_is */

	t->result = result;
	if (unlikely(t->wctx != NULL))
		weft__ctx_task_end(t);
	if (unlikely(load_relaxed(&t->timer.wheel) != NULL)) /* own field: a deadline was armed at some time */
		weft__wait_disarm(t);
	if (unlikely(flags & TASK_FLOATS))
		rare_done(w, t, result);
	store_relaxed(&w->stat_finished, load_relaxed(&w->stat_finished) + 1); /* statistics */
	live_drop(w->rt);
	san_release(t);
	store_release(&t->state, (uint8_t)WEFT_TASK_DONE); /* pairs with load_acquire in weft_task_join */
	if (unlikely(flags & TASK_JOINABLE))
		weft__lot_wake_all(w, &t->result, 0);
}

/* A task that has ended, and one that has not begun: may the stack stay where it is, and the entry's frame with it? */
static inline bool can_follow(struct weft_task *t, struct weft_task *next)
{
	return next && next->ctx.sp == NULL && !((load_relaxed(&t->flags) | load_relaxed(&next->flags)) & TASK_OWN_STACK) && !weft__san;
}

/* t is done. Returns the task that begins where it has ended; or leaves, and does not return. */
static ALWAYS_INLINE struct weft_task *task_follow(struct worker *w, struct weft_task *t)
{
	struct weft_task *next = sched_pick(w);

#ifdef WEFT_DEBUG
	if (weft__hooks.leaves)
		weft__hooks.leaves(t);
#endif
	if (unlikely(!can_follow(t, next)))
		sched_exit(w, t, next);
	next->stack = t->stack;
	next->stack->owner = next;
	next->ctx.sp = next->stack->hi; /* it has begun: who takes it before it has stopped for the first time waits for on_cpu */
	t->stack = NULL;
	sched_enter(w, next);
	oncpu_clear(&t->on_cpu); /* settled here and now: t has nothing left that could be stood upon */
	record_unref(w, t);
	return next;
}

/* The record's second use of the memory of args begins. */
static inline void own_begin(struct weft_task *t)
{
	t->own = (struct task_own){.locals = t->inherited};
	t->own_held = 0;
	t->timer.link.next = NULL;
	store_relaxed(&t->timer.wheel, NULL); /* not linked: nobody else looks at it */
	t->timer.kind = TIMER_TASK;
	t->parked_at = 0;
}

/* One with TASK_FLOATS: the first task, or one with floating-point arguments. */
NOINLINE static int call_rare(struct weft_task *t)
{
	struct weft__go_args args = t->args;

	own_begin(t);
	if (task_is_main(t))
		return ((weft_task_fn *)t->fn)((void *)args.i[0]);
	weft__go_call_args(t->fn, &args);
	return 0;
}

/* What weft__go_call_args does, where all arguments are in integer registers: C can say that. */
typedef void call_with_words(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);

static inline int task_call(struct weft_task *t)
{
	unsigned flags = load_relaxed(&t->flags); /* as in task_is */
	uintptr_t i[6];

	if (unlikely(flags & TASK_FLOATS))
		return call_rare(t);
	args_copy(i, t->args_i);
	own_begin(t);
	if (!(flags & TASK_REGS))
		return ((weft_task_fn *)t->fn)((void *)i[0]);
	((call_with_words *)t->fn)(i[0], i[1], i[2], i[3], i[4], i[5]);
	return 0;
}

/* The first frame above arch/'s entry: of one task after the other, as long as the next that is picked has no stack yet. pass: the worker. */
static void task_entry(void *pass, void *arg)
{
	struct worker *w = pass;
	struct weft_task *t = arg;

	if (unlikely(weft__san))
		weft__san_after_switch(&t->stack->san);
	weft__sched_arrived(w);
	for (;;) {
		int result;

		*w->errno_at = 0;
		san_acquire(t);
		result = task_call(t);
		if (unlikely(t->own.locals != NULL)) {
			t->result = result; /* for those among them who ask */
			weft__locals_end(t);
		}
		w = weft__worker();
		task_done(w, t, result);
		t = task_follow(w, t);
	}
}

static ALWAYS_INLINE bool bind(struct worker *w, struct weft_task *t)
{
	struct stack *s = t->stack;

	if (likely(s == NULL)) {
		int rc;

		if (likely(!task_is(t, TASK_OWN_STACK)))
			rc = stack_cache_get(&w->stacks, &s);
		else
			rc = weft__stack_get(w->rt->stack_size, &s);
		if (unlikely(rc))
			return false;
		t->stack = s;
	}
	s->owner = t;
	arch_context_make(&t->ctx, s->hi - s->colour, task_entry, t);
	if (unlikely(weft__san)) {
		char label[48];

		san_acquire(t); /* whoever started it has given it its name */
		weft__san_fiber_init(&s->san, s->lo, (size_t)(s->hi - s->lo), weft__task_label(t, label, sizeof label));
	}
	return true;
}

bool weft__task_bind(struct worker *w, struct weft_task *t)
{
	if (likely(bind(w, t)))
		return true;
	injectq_push(&w->rt->stackless, &t->next);
	weft__monitor_poke(w->rt); /* it retries when no stack comes back */
	return false;
}

static NOINLINE void stackless_retry(struct worker *w)
{
	struct weft_task *t = task_of_next(injectq_pop(&w->rt->stackless));

	if (t)
		weft__sched_push(w, t);
}

static NOINLINE void put_own_stack(struct weft_task *t, struct stack *s)
{
	if (unlikely(weft__stackuse_on))
		weft__stackuse_ended(t, s);
	weft__stack_put(s);
}

void weft__task_settle_done(struct worker *w, struct weft_task *t)
{
	struct stack *s = t->stack;

	t->stack = NULL;
	t->ctx.sp = NULL;
	if (unlikely(weft__san))
		weft__san_fiber_fini(&s->san);
	s->owner = NULL;
	if (likely(!task_is(t, TASK_OWN_STACK)))
		stack_cache_put(&w->stacks, s);
	else
		put_own_stack(t, s);
	if (unlikely(injectq_len(&w->rt->stackless) != 0))
		stackless_retry(w);
	oncpu_clear(&t->on_cpu);
	record_unref(w, t);
}

void weft__task_leave(int result)
{
	struct weft_task *t = weft_task_self();
	struct worker *w;

	t->result = result; /* as in task_entry */
	locals_end(t);
	w = weft__worker();
	task_done(w, t, result);
	sched_exit(w, t, sched_pick(w)); /* not task_follow: frames of t lie above its entry's */
}

void weft__task_fall(struct worker *w, struct weft_task *t, int result)
{
	struct stack *s = t->stack;
	bool owns = t->own_held > 0;

	weft__locals_abandon(t, true);
	t->own.locals = NULL;
	t->stack = NULL;
	t->ctx.sp = NULL;
	if (owns)
		add_relaxed(&t->refs, 1u); /* that of the poisoned locks; we have our own */
	/* Pairs with task_fell; before who looks for it takes the lock of a bucket. From here on others may recover the locks. */
	store_release(&t->reason, (uint8_t)REASON_FELL);
	if (owns)
		weft__locks_poison(w, t);
	if (unlikely(w->rt->max_tasks != SIZE_MAX))
		add_relaxed(&w->rt->live, 1u); /* as in weft__live_take: its heir's, before its own place is free */
	task_done(w, t, result);
	if (unlikely(weft__stackuse_on))
		weft__stackuse_fell(t, s);
	weft__stack_quarantine(s);
	if (unlikely(injectq_len(&w->rt->stackless) != 0))
		stackless_retry(w);
	record_unref(w, t);
}

void weft__task_mended(struct weft_task *t)
{
	if (add_acq_rel((ATOMIC(uint32_t) *)&t->own_held, (uint32_t)-1) == 1) /* the last one sees what the others did */
		record_unref(weft__worker(), t);
}

void weft__task_leave_fallen(struct worker *w, struct weft_task *t)
{
	sched_leave(w, t, NULL, 1);
	__builtin_unreachable();
}
