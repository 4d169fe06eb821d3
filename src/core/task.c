/* SPDX-License-Identifier: MIT
 *
 * task.c - the life of a task: record, start, first frame, end. What others do with its handle: task_handle.c.
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
#include "base/ref.h"
#include "core/local.h"
#include "core/lot.h"
#include "core/recslab.h"
#include <stdlib.h>
#include <string.h>

static void no_locks(struct worker *w, struct weft_task *t)
{
	(void)w;
	(void)t;
}

void (*weft__locks_poison)(struct worker *w, struct weft_task *t) = no_locks;

static ATOMIC(uint64_t) next_id = 1; /* ids are given out in blocks; never reused in a process */

/* --- records --- */

int weft__records_init(void)
{
	return weft__rec_init(offsetof(struct weft_task, wait), offsetof(struct weft_task, next));
}

static NOINLINE struct weft_task *record_refill(struct worker *w)
{
	int n;

	if (!w) {
		void *one;

		return weft__rec_get_batch(&one, 1) == 1 ? one : NULL;
	}
	n = weft__rec_get_batch((void **)w->records, RECORD_CACHE / 2);
	if (n <= 0)
		return NULL;
	w->nrecords = (unsigned)n - 1;
	return w->records[w->nrecords];
}

static inline struct weft_task *record_get(struct worker *w)
{
	if (likely(w && w->nrecords > 0))
		return w->records[--w->nrecords];
	return record_refill(w);
}

static NOINLINE void record_spill(struct worker *w)
{
	/* the older half: what was freed last is warm */
	weft__rec_put_batch((void **)w->records, RECORD_CACHE / 2);
	w->nrecords -= RECORD_CACHE / 2;
	memmove(w->records, w->records + RECORD_CACHE / 2, w->nrecords * sizeof w->records[0]);
}

static inline void record_put(struct worker *w, struct weft_task *t)
{
	if (unlikely(!w)) {
		void *one = t;

		weft__rec_put_batch(&one, 1);
		return;
	}
	if (unlikely(w->nrecords == RECORD_CACHE))
		record_spill(w);
	w->records[w->nrecords++] = t;
}

void weft__records_drain(struct worker *w)
{
	weft__rec_put_batch((void **)w->records, (int)w->nrecords);
	w->nrecords = 0;
}

uint64_t weft__id_block(unsigned n)
{
	return add_relaxed(&next_id, n); /* a number; orders nothing */
}

static NOINLINE bool live_take(struct runtime *rt)
{
	size_t n = load_relaxed(&rt->live); /* a counter; orders nothing */

	do {
		if (n >= rt->max_tasks)
			return false;
	} while (!cas_relaxed(&rt->live, &n, n + 1));
	return true;
}

static inline void live_drop(struct runtime *rt)
{
	if (unlikely(rt->max_tasks != SIZE_MAX))
		add_relaxed(&rt->live, (size_t)-1); /* as in live_take */
}

/* A record for a task that shall be; nothing of it is written yet. */
static ALWAYS_INLINE int task_reserve(struct runtime *rt, struct worker *w, struct weft_task **out)
{
	struct weft_task *t;

	if (unlikely(rt->max_tasks != SIZE_MAX) && !live_take(rt))
		return WEFT_EAGAIN;
	if (unlikely(injectq_len(&rt->stackless) != 0)) {
		live_drop(rt);
		return WEFT_ENOMEM;
	}
	t = record_get(w);
	if (unlikely(!t)) {
		live_drop(rt);
		return WEFT_ENOMEM;
	}
	*out = t;
	return 0;
}

/* A task in a reserved record, with one reference and an id. */
static ALWAYS_INLINE void task_init(struct runtime *rt, struct worker *w, struct weft_task *t, unsigned flags)
{
	t->ctx.sp = NULL;
	store_relaxed(&t->cancel, 0u); /* the record is ours until it is queued */
	store_relaxed(&t->on_cpu, (uint8_t)0);
	store_relaxed(&t->reason, (uint8_t)REASON_NONE);
	store_relaxed(&t->deadline, WEFT_FOREVER);
	t->limit = WEFT_FOREVER;
	store_relaxed(&t->flags, (uint8_t)(rt->task_flags | flags));
	t->saved_errno = 0;
	t->waiters = NULL;
	t->wctx = NULL;
	t->stack = NULL;
	t->name = NULL;
	t->site = NULL;
	store_relaxed(&t->permit, (uint64_t)0);
	store_relaxed(&t->refs, 1u);
	if (likely(w)) {
		if (unlikely(w->id_next == w->id_end)) {
			w->id_next = weft__id_block(ID_BLOCK);
			w->id_end = w->id_next + ID_BLOCK;
		}
		t->id = w->id_next++;
		store_relaxed(&w->stat_started, load_relaxed(&w->stat_started) + 1); /* statistics */
	} else {
		t->id = weft__id_block(1);
		add_relaxed(&rt->stat_started, 1u); /* statistics */
	}
	task_set_state(t, WEFT_TASK_NEW);
}

static ALWAYS_INLINE int task_new(struct runtime *rt, struct worker *w, struct weft_task **out, unsigned flags)
{
	int rc = task_reserve(rt, w, out);

	if (likely(rc == 0))
		task_init(rt, w, *out, flags);
	return rc;
}

int weft__task_reserve(struct runtime *rt, struct worker *w, struct weft_task **out)
{
	return task_reserve(rt, w, out);
}

void weft__task_unreserve(struct runtime *rt, struct worker *w, struct weft_task *t)
{
	live_drop(rt);
	record_put(w, t);
}

void weft__task_init(struct runtime *rt, struct worker *w, struct weft_task *t)
{
	task_init(rt, w, t, 0);
}

static inline void record_free(struct worker *w, struct weft_task *t)
{
	if (unlikely(t->name != NULL)) {
		san_acquire(&t->refs);
		free(t->name);
	}
	if (unlikely(load_relaxed(&t->reason) == REASON_PANICKED)) /* ours alone; see joined in task_handle.c */
		weft__fatal("task %llu panicked, and its handle was given back without a look at the result", (unsigned long long)t->id);
	store_relaxed(&t->state, (uint8_t)TASK_FREE); /* for dumps */
	record_put(w, t);
}

void weft__task_unref(struct worker *w, struct weft_task *t)
{
	/* acquire: alone now, we see what the others did; release: they see what we did. A count of one needs no read-modify-write: nobody else has a reference to copy. */
	if (load_acquire(&t->refs) == 1 || ref_drop(&t->refs))
		record_free(w, t);
}

/* Gives it back unstarted. */
static void task_unnew(struct runtime *rt, struct worker *w, struct weft_task *t)
{
	if (t->stack)
		weft__stack_put(t->stack);
	live_drop(rt);
	record_free(w, t);
}

/* --- start --- */

/* What t inherits: context (c, else the caller's) and values. Last thing that can fail: 0 or WEFT_ENOMEM. */
static ALWAYS_INLINE int inherit(struct worker *w, struct weft_task *t, weft_ctx *c)
{
	struct weft_task *cur = likely(w) ? load_relaxed(&w->cur) : weft__foreign_look(); /* own */

	if (likely(cur)) {
		int rc = unlikely(cur->own.locals != NULL) ? weft__locals_inherit(cur, t) : 0;

		if (unlikely(rc))
			return rc;
		if (!c)
			c = cur->wctx;
	}
	if (unlikely(c != NULL))
		weft__ctx_task_start(t, c);
	return 0;
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
	struct runtime *rt;
	struct weft_task *t;
	int rc;

	if (unlikely(!w) && !weft__rt_enter())
		return WEFT_ESRCH;
	rt = w ? w->rt : weft__rt;
	rc = task_new(rt, w, &t, call->fp ? TASK_REGS | TASK_FLOATS : TASK_REGS);
	if (likely(rc == 0)) {
		t->fn = call->fn;
		t->site = call->site;
		args_copy(t->args.i, args->i);
		if (call->fp)
			memcpy(t->args.f, args->f, sizeof args->f);
		rc = inherit(w, t, NULL);
		if (unlikely(rc)) {
			task_unnew(rt, w, t);
			goto out;
		}
		queue(rt, w, t);
	}
out:
	if (unlikely(!w))
		weft__rt_leave();
	return rc;
}

int weft__go_words(void (*fn)(void), const uintptr_t words[4], weft_ctx *c, const char *name, const struct weft_site *site)
{
	struct worker *w = weft__worker();
	struct runtime *rt;
	struct weft_task *t;
	int rc;

	if (unlikely(!w) && !weft__rt_enter())
		return WEFT_ESRCH;
	rt = w ? w->rt : weft__rt;
	rc = task_new(rt, w, &t, TASK_REGS);
	if (unlikely(rc))
		goto out;
	t->fn = fn;
	t->site = site;
	for (int i = 0; i < 4; i++)
		t->args.i[i] = words[i];
	if (name)
		rc = weft__task_set_name(t, name);
	if (likely(rc == 0))
		rc = inherit(w, t, c);
	if (unlikely(rc)) {
		task_unnew(rt, w, t);
		goto out;
	}
	queue(rt, w, t);
out:
	if (unlikely(!w))
		weft__rt_leave();
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
	t->fn = fn;
	for (int i = 0; i < 4; i++)
		t->args.i[i] = words[i];
	queue(w->rt, w, t);
	return 0;
}

static const weft_task_opts no_opts;

static int go_opts(struct runtime *rt, struct worker *w, struct weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o,
		   const struct weft_site *site)
{
	struct weft_task *t, *cur = w ? load_relaxed(&w->cur) : NULL; /* own */
	int rc;

	if (o->worker < 0 || (unsigned)o->worker > rt->n)
		return WEFT_EINVAL;
	if (o->stack && (o->stack < STACK_MIN || o->stack > (size_t)STACK_MAX))
		return WEFT_EINVAL;
	rc = task_new(rt, w, &t, 0);
	if (rc)
		return rc;
	t->fn = (void (*)(void))fn;
	t->site = site;
	t->args.i[0] = (uintptr_t)arg;
	if (o->name) {
		rc = weft__task_set_name(t, o->name);
		if (rc)
			goto undo;
	}
	if (o->stack) {
		rc = weft__stack_get(o->stack, &t->stack);
		task_mark(t, TASK_OWN_STACK);
		if (rc)
			goto undo;
	}
	if (out) {
		store_relaxed(&t->refs, 2u); /* not shared yet */
		task_mark(t, TASK_JOINABLE);
		*out = t;
	}
	if (o->now && !o->worker && cur && !weft__task_bind_or_fail(w, t)) {
		rc = WEFT_ENOMEM;
		goto undo;
	}
	rc = inherit(w, t, o->ctx);
	if (rc)
		goto unbind;
	san_release(t);
	if (o->worker) {
		injectq_push(&rt->workers[o->worker - 1].inbox, &t->next);
		weft__sched_notify(rt, (unsigned)o->worker - 1);
		weft__sched_wake(rt);
	} else if (o->now && cur) {
		weft__sched_run_now(w, cur, t);
	} else if (w) {
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
	task_unnew(rt, w, t);
	if (out)
		*out = NULL;
	return rc;
}

int weft__go_opts_at(weft_task **out, weft_task_fn *fn, void *arg, const weft_task_opts *o, const struct weft_site *site)
{
	struct worker *w = weft__worker();
	int rc;

	if (out)
		*out = NULL;
	if (!fn)
		return WEFT_EINVAL;
	if (!w && !weft__rt_enter())
		return WEFT_ESRCH;
	rc = go_opts(w ? w->rt : weft__rt, w, out, fn, arg, o ? o : &no_opts, site);
	if (!w)
		weft__rt_leave();
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
	store_relaxed(&t->flags, (uint8_t)(TASK_MAIN | TASK_OWN_STACK));
	t->fn = (void (*)(void))fn;
	t->args.i[0] = (uintptr_t)arg;
	rc = weft__stack_get(rt->stack_size, &t->stack);
	if (rc) {
		task_unnew(rt, NULL, t);
		return rc;
	}
	injectq_push(&w->inbox, &t->next);
	return 0;
}

/* --- first run and end --- */

/* What the end of t means to others. It still stands on its stack. */
static ALWAYS_INLINE void task_done(struct worker *w, struct weft_task *t, int result)
{
	unsigned flags = load_relaxed(&t->flags); /* as in task_is */

	t->result = result;
	if (unlikely(t->wctx != NULL))
		weft__ctx_task_end(t);
	if (unlikely(load_relaxed(&t->timer.wheel) != NULL)) /* own field: a deadline was armed at some time */
		weft__wait_disarm(t);
	if (unlikely(flags & TASK_MAIN))
		weft__runtime_stop(w->rt, result);
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
	weft__task_unref(w, t);
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

NOINLINE static void call_with_floats(struct weft_task *t)
{
	struct weft__go_args args = t->args;

	own_begin(t);
	weft__go_call_args(t->fn, &args);
}

/* What weft__go_call_args does, where all arguments are in integer registers: C can say that. */
typedef void call_with_words(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);

static inline int task_call(struct weft_task *t)
{
	unsigned flags = load_relaxed(&t->flags); /* as in task_is */
	uintptr_t i[6];

	if (unlikely(flags & TASK_FLOATS)) {
		call_with_floats(t);
		return 0;
	}
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

bool weft__task_bind_or_fail(struct worker *w, struct weft_task *t)
{
	return bind(w, t);
}

bool weft__task_bind(struct worker *w, struct weft_task *t)
{
	if (likely(bind(w, t)))
		return true;
	injectq_push(&w->rt->stackless, &t->next);
	weft__monitor_poke(); /* it retries when no stack comes back */
	return false;
}

static NOINLINE void stackless_retry(struct worker *w)
{
	struct weft_task *t = task_of_next(injectq_pop(&w->rt->stackless));

	if (t)
		weft__sched_push(w, t);
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
		weft__stack_put(s);
	if (unlikely(injectq_len(&w->rt->stackless) != 0))
		stackless_retry(w);
	oncpu_clear(&t->on_cpu);
	weft__task_unref(w, t);
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
	store_release(&t->flags, (uint8_t)(load_relaxed(&t->flags) | TASK_FELL));
	if (owns)
		weft__locks_poison(w, t);
	if (unlikely(w->rt->max_tasks != SIZE_MAX))
		add_relaxed(&w->rt->live, 1u); /* as in live_take: its heir's, before its own place is free */
	task_done(w, t, result);
	weft__stack_quarantine(s);
	if (unlikely(injectq_len(&w->rt->stackless) != 0))
		stackless_retry(w);
	weft__task_unref(w, t);
}

void weft__task_mended(struct weft_task *t)
{
	if (add_acq_rel((ATOMIC(uint32_t) *)&t->own_held, (uint32_t)-1) == 1) /* the last one sees what the others did */
		weft__task_unref(weft__worker(), t);
}

void weft__task_leave_fallen(struct worker *w, struct weft_task *t)
{
	sched_leave(w, t, NULL, 1);
	__builtin_unreachable();
}
