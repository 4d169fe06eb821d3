/* SPDX-License-Identifier: MIT
 *
 * contain.c - ends a task that has failed, and nothing else.
 *
 *   fault handler      Is it a fault of the code that ran here, does a task stand on this worker, is it one that is to be contained, is all between the fault and the frame of who may end it
 *                      the program's own (debug/owncode.c)? Any no: everything goes on as if this file were not there.
 *                      Then the context it returns to becomes the worker's own, as if the task had switched to it: sigreturn puts back the mask, and the task's frames run no more.
 *   the worker's own   settles the task, as any that leaves; then ends it: what is deferred in its frames is not run, and no destructor of its values. The locks that know it as their owner are
 *   stack              poisoned, its stack goes to quarantine; what stands on it (an actor) is told.
 *
 * A stack that is full in a call of weft's or libc's, which may hold what nobody else can put back, is lent most of its guard; the call goes on, and returns to weft__arch_fell in place of its caller
 * (weft__contain_returned). If it never returns (a panic, a longjmp), the task lives on.
 *
 * The handler takes no lock but one of its own, by which one thread walks at a time. What it interrupts holds none of weft's: that is what the walk has found out. Who walks may wait for the loader's lock, and who
 * has that may fail: so nobody waits for a walk for ever.
 *
 * Rejected: unwinding the frames, and running what is deferred there. It would run on the data that has just proved wrong, and above a stack that is full. Jumping out of the handler: the mask would stay, and
 * the alternate stack be taken for one in use.
 */
#include "core/contain.h"

#include "base/asym.h"
#include "base/check.h"
#include "core/life.h"
#include "core/runtime.h"
#include "weft/error.h"
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

struct contain_hooks weft__contain_hooks;

int64_t weft__contain_patience = 10 * SEC;

static ATOMIC(bool) walking; /* a handler walks a stack */

/* --- in the handler --- */

/* By the processor, for what it has just done here; or by the code itself, which aborts. */
static bool is_own_doing(int sig, const siginfo_t *info)
{
	if (sig == SIGABRT)
		return info->si_code == SI_TKILL && info->si_pid == getpid(); /* that it was this thread the walk tells */
#ifdef BUS_MCEERR_AO
	if (sig == SIGBUS && info->si_code == BUS_MCEERR_AO)
		return false;
#endif
	return info->si_code > 0;
}

static int code_of(int sig, bool full)
{
	switch (sig) {
	case SIGFPE:
		return WEFT_EARITH;
	case SIGILL:
	case SIGTRAP:
		return WEFT_EILLEGAL;
	case SIGABRT:
		return WEFT_EABORT;
	default:
		return full ? WEFT_EOVERFLOW : WEFT_EFAULT;
	}
}

/* Nothing of weft's: the handler calls it. */
static int64_t time_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SEC + now.tv_nsec;
}

/* False: whoever walks does not come to an end, for it waits for what this thread holds. */
static bool walk_begin(void)
{
	int64_t first = 0;

	while (swap_acquire(&walking, true)) { /* pairs with walk_end */
		if (!first)
			first = time_now();
		else if (time_now() - first > weft__contain_patience)
			return false;
		sched_yield();
	}
	return true;
}

static void walk_end(void)
{
	store_release(&walking, false); /* pairs with walk_begin */
}

/* Goes on where w's own stack stopped, handing it w, as a switch does (arch/context.h); floating-point control as the ABI says it is at first. */
static void go_on(ucontext_t *u, struct worker *w)
{
	mcontext_t *m = &u->uc_mcontext;

#if defined(__x86_64__)
	m->gregs[REG_RIP] = (greg_t)(uintptr_t)w->ctx.pc;
	m->gregs[REG_RSP] = (greg_t)(uintptr_t)w->ctx.sp;
	m->gregs[REG_RBP] = (greg_t)(uintptr_t)w->ctx.fp;
	m->gregs[REG_RAX] = (greg_t)(uintptr_t)w;
	m->gregs[REG_EFL] &= ~(greg_t)(0x100 | 0x400 | 0x40000); /* single steps, direction, alignment checks */
	if (m->fpregs) {
		m->fpregs->cwd = 0x37f;
		m->fpregs->swd = 0;
		m->fpregs->ftw = 0; /* nothing on the x87's stack */
		m->fpregs->mxcsr = 0x1f80;
	}
#elif defined(__aarch64__)
	struct _aarch64_ctx *head = (struct _aarch64_ctx *)(void *)m->__reserved;

	m->pc = (uintptr_t)w->ctx.pc;
	m->sp = (uintptr_t)w->ctx.sp;
	m->regs[29] = (uintptr_t)w->ctx.fp;
	m->regs[0] = (uintptr_t)w;
	m->pstate &= ~(uint64_t)(0xc00 | 1u << 21); /* no indirect branch; no single steps */
	while (head->magic && head->size) {
		if (head->magic == FPSIMD_MAGIC) {
			((struct fpsimd_context *)(void *)head)->fpcr = 0;
			((struct fpsimd_context *)(void *)head)->fpsr = 0;
		}
		head = (struct _aarch64_ctx *)(void *)((char *)head + head->size);
	}
#endif
}

/* Is the thread in something of weft's that does not show in frames? */
static bool holds_something(void)
{
#ifdef WEFT_DEBUG
	if (weft__locks_held()) /* a spin lock of the task's */
		return true;
#endif
	return load_relaxed(&weft__solo.in); /* own, if it is set */
}

/* The call that has filled the stack gets some more of it, and returns to weft__arch_fell. */
static bool end_later(ucontext_t *u, struct weft_task *t, const struct fall *f, uintptr_t ret_at)
{
	uintptr_t to = (uintptr_t)weft__arch_fell + ARCH_NOP;

#if defined(__aarch64__)
	if (!ret_at && u->uc_mcontext.regs[30] >> 48)
		return false; /* it is signed: what is put there in its place would be taken for a forgery */
#endif
	if (!weft__stack_lend(t->stack, f->address))
		return false;
	t->stack->lent_at = f->pc;
	task_mark_running(t, TASK_OWN_STACK); /* so that it goes to the shared pool, not to a cache; own */
	if (ret_at)
		*(uintptr_t *)ret_at = to;
#if defined(__aarch64__)
	else
		u->uc_mcontext.regs[30] = to;
#else
	(void)u;
#endif
	return true;
}

bool weft__contain(int sig, const siginfo_t *info, void *context)
{
	struct overflow_regs r = weft__overflow_registers(context);
	struct worker *w = weft__worker_look();
	struct weft_task *t = w ? load_relaxed(&w->cur) : NULL; /* own */
	struct stack *s = t ? t->stack : NULL;
	uintptr_t guard, at = (uintptr_t)info->si_addr;
	struct fall f = {.task = t, .aborted = sig == SIGABRT};
	enum own_code own;
	uintptr_t ret_at;
	bool full;

	if (!s || load_relaxed(&weft__forked) ||
	    load_relaxed(&w->tid) != (int)gettid()) /* also not in a child of vfork, which has this memory */
		return false;
	if (!is_own_doing(sig, info) || !weft__contain_hooks.asks || !weft__contain_hooks.asks(t, &f.top))
		return false;
	f.lo = (uintptr_t)s->lo;
	f.hi = (uintptr_t)s->hi;
	guard = f.lo - STACK_GUARD;
	if (r.sp < guard || r.sp >= f.hi || f.top < r.sp || f.top >= f.hi)
		return false;
	full = (sig == SIGSEGV || sig == SIGBUS) && info->si_code != SI_KERNEL && at >= guard && at < f.lo;
	f.lo = s->lent ? guard + STACK_GUARD - STACK_LEND : guard + STACK_GUARD;
	f.code = code_of(sig, full);
	f.has_address = f.code == WEFT_EFAULT && info->si_code != SI_KERNEL;
	f.address = at;
	f.ret = ARCH_TRAP_IS_BEHIND && sig == SIGTRAP && info->si_code == SI_KERNEL;
	if (!walk_begin())
		return false;
	own = weft__contain_hooks.own(&f, &r, &ret_at);
	walk_end();
	if (own == OWN_LATER)
		return end_later(context, t, &f, ret_at);
	if (own != OWN_NOW || holds_something())
		return false;
	w->fall = f;
	w->prev = t;
	store_relaxed(&w->cur, NULL); /* own; as in sched_switch */
	go_on(context, w);
	return true;
}

/* On the stack of a task whose last call has returned, to nobody. */
void weft__contain_returned(void)
{
	struct worker *w = weft__worker();
	struct weft_task *t = w ? load_relaxed(&w->cur) : NULL; /* own */

	if (!t || holds_something())
		weft__fatal("stack overflow in a task that cannot be ended where it has come to: %s",
			    t ? "it holds a spin lock" : "it runs on no worker any more");
	w->fall = (struct fall){.task = t, .code = WEFT_EOVERFLOW, .pc = t->stack->lent_at, .ret = true};
	weft__task_leave_fallen(w, t);
}

/* --- on the worker's own stack --- */

void weft__contain_end(struct worker *w)
{
	struct fall *f = &w->fall;
	struct weft_task *t = f->task;
	char label[64], where[32] = "", at[192];
	void *what;

	f->task = NULL;
	if (f->has_address)
		snprintf(where, sizeof where, ", address 0x%zx", (size_t)f->address);
	if (walk_begin()) {
		weft__contain_hooks.name(f->pc, f->ret, at, sizeof at);
		walk_end();
	} else {
		snprintf(at, sizeof at, "0x%zx", (size_t)f->pc);
	}
	weft__log("task %llu (%s) has failed, and was ended: %s%s, at %s", (unsigned long long)t->id,
		  weft__task_label(t, label, sizeof label), weft_strerror(f->code), where, at);
	store_relaxed(&w->stat_faults, load_relaxed(&w->stat_faults) + 1); /* statistics */
	what = weft__contain_hooks.leaves(t);
	weft__life_hurried(
		w->rt,
		true); /* what goes on for it is counted as a start behind its end: nobody shall find in between that all have ended */
	weft__task_fall(w, t, f->code);
	weft__contain_hooks.told(w, what, f->code);
	weft__life_hurried(w->rt, false); /* w looks before it sleeps */
}

/* --- up --- */

int weft__contain_up(struct runtime *rt)
{
	int rc;

	if (weft__san || !rt->signals || !weft__contain_hooks.prepare)
		return WEFT_ENOTSUP;
	if (load_acquire(&rt->contains)) /* pairs with the release below */
		return 0;
	(void)weft__worker(); /* see base/solo.h */
	rc = weft__contain_hooks.prepare();
	(void)weft__worker(); /* as above */
	if (!rc)
		rc = weft__overflow_install_more();
	if (!rc)
		store_release(&rt->contains, true); /* pairs with the acquire above */
	return rc;
}
