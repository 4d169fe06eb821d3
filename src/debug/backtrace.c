/* SPDX-License-Identifier: MIT
 *
 * backtrace.c - walks stacks, and gets hold of one that a worker runs on.
 *
 * A stack at rest is read window by window through the kernel (peek.h).  A stack in use changes under the reader, so its worker is interrupted, and the
 * handler copies the registers and the top of the stack into `shot`; the walk is done on the copy.  One shot at a time:
 *
 *   word   IDLE -> CLAIMED     a dumper, alone from now on; fills in tid and peek
 *          CLAIMED -> ASKED    dumper; then the signal           ASKED -> COPYING   the handler on the thread asked
 *          COPYING -> DONE     handler, which wakes the dumper   DONE -> IDLE       dumper, when it has walked the copy
 *          ASKED -> IDLE       dumper, who got no answer in time: a handler that comes later finds nothing to do
 */
#include "debug/backtrace.h"

#include "arch/switch.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/futex.h"
#include "base/lock.h"
#include "core/runtime.h"
#include "weft/error.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define PATIENCE_NS (100 * MS)
#define WINDOW_PAGE 4096 /* the smallest page there is */
#define WINDOW_BELOW 64
#define SHOT_SIZE (64 * 1024) /* bytes of stack copied; what is deeper is left out */

enum { IDLE, CLAIMED, ASKED, COPYING, DONE };

static struct {
	ATOMIC(uint32_t) word;
	ATOMIC(int) tid;        /* whom we ask */
	struct peek *peek;      /* the dumper's */
	struct weft_task *task; /* what the worker stood on */
	struct regs regs;
	size_t len;
	char stack[SHOT_SIZE];
} shot;

/* --- walking --- */

void weft__tracer_open(struct tracer *tr)
{
	weft__peek_open(&tr->peek);
	memset(&tr->rules, 0, sizeof tr->rules);
}

void weft__tracer_close(struct tracer *tr)
{
	weft__peek_close(&tr->peek);
}

/* A window ends with its page, so that none reaches into the guard above a stack, and begins a little below what was asked for, because frames are
 * read downwards. */
static bool word_at_rest(void *arg, uintptr_t at, uintptr_t *out)
{
	struct tracer *tr = arg;

	if (at % sizeof *out)
		return false;
	if (at < tr->at || at >= tr->at + tr->len) {
		uintptr_t page = at & ~(uintptr_t)(WINDOW_PAGE - 1), from = at - WINDOW_BELOW;

		tr->at = from < page ? page : from;
		tr->len = page + WINDOW_PAGE - tr->at < STACK_WINDOW ? page + WINDOW_PAGE - tr->at : STACK_WINDOW;
		tr->len = weft__peek(&tr->peek, (void *)tr->at, tr->window, tr->len) & ~(sizeof *out - 1);
		if (at >= tr->at + tr->len)
			return false;
	}
	memcpy(out, tr->window + (at - tr->at), sizeof *out);
	return true;
}

static void walk(struct tracer *tr, struct regs r, unwind_word *word, bool exact, struct trace *out)
{
	enum unwind step = UNWIND_STEP;

	out->exact = exact;
	for (out->n = 0; step == UNWIND_STEP && out->n < TRACE_MAX; out->n++) {
		out->pc[out->n] = r.pc;
		step = weft__unwind_step(&tr->rules, &r, exact && out->n == 0, word, tr);
	}
	out->cut = step != UNWIND_END;
}

void weft__backtrace_walk(struct tracer *tr, const struct regs *r, struct trace *out)
{
	tr->len = 0;
	walk(tr, *r, word_at_rest, true, out);
}

static struct regs regs_of(const ucontext_t *u)
{
#if defined(__x86_64__)
	const greg_t *g = u->uc_mcontext.gregs;

	return (struct regs){.pc = (uintptr_t)g[REG_RIP], .sp = (uintptr_t)g[REG_RSP], .fp = (uintptr_t)g[REG_RBP]};
#else
	const mcontext_t *m = &u->uc_mcontext;

	return (struct regs){.pc = m->pc, .sp = m->sp, .fp = m->regs[29], .lr = m->regs[30]};
#endif
}

NOINLINE void weft__backtrace_self(struct tracer *tr, struct trace *out)
{
	struct regs r;

	out->n = 0;
	if (getcontext(&tr->self))
		return;
	r = regs_of(&tr->self);
	r.lr = 0;
	tr->len = 0;
	walk(tr, r, word_at_rest, false, out);
	if (out->n > 1) /* without this function */
		memmove(out->pc, out->pc + 1, (size_t)--out->n * sizeof out->pc[0]);
}

/* --- another worker's --- */

static bool word_in_shot(void *arg, uintptr_t at, uintptr_t *out)
{
	uintptr_t lo = shot.regs.sp - ARCH_RED_ZONE;

	(void)arg;
	if (at < lo || at - lo > shot.len || shot.len - (at - lo) < sizeof *out)
		return false;
	memcpy(out, shot.stack + (at - lo), sizeof *out);
	return true;
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	uint32_t asked = ASKED;
	struct worker *w;
	int saved = errno;

	(void)sig;
	(void)info;
	if (load_acquire(&shot.word) == ASKED &&
	    load_relaxed(&shot.tid) == (int)syscall(SYS_gettid) && /* acquire: pairs with store_release below */
	    cas_acquire(&shot.word, &asked, COPYING)) {
		w = weft__worker();
		shot.task = w ? load_relaxed(&w->cur) : NULL; /* own thread's */
		shot.regs = regs_of(context);
		shot.len = weft__peek(shot.peek, (void *)(shot.regs.sp - ARCH_RED_ZONE), shot.stack, SHOT_SIZE);
		store_release(&shot.word, DONE); /* pairs with load_acquire in take_shot */
		weft__futex_wake(&shot.word, 1);
	}
	errno = saved;
}

static bool installed_by_us(void)
{
	struct sigaction sa;

	return sigaction(TRACE_SIGNAL, NULL, &sa) == 0 && (sa.sa_flags & SA_SIGINFO) && sa.sa_sigaction == on_signal;
}

/* CLAIMED by us: asks tid, waits. Returns 0 with the word DONE, else with the word CLAIMED. */
static int take_shot(struct peek *peek, int tid)
{
	int64_t until = weft__clock_read() + PATIENCE_NS; /* real time also under the fake clock */
	uint32_t word = ASKED;

	shot.peek = peek;
	store_relaxed(&shot.tid, tid);    /* made visible by the next line */
	store_release(&shot.word, ASKED); /* pairs with load_acquire in on_signal */
	if (syscall(SYS_tgkill, getpid(), tid, TRACE_SIGNAL)) {
		store_relaxed(&shot.word, CLAIMED); /* nobody was asked */
		return WEFT_ESRCH;
	}
	while ((word = load_acquire(&shot.word)) != DONE) { /* pairs with store_release in on_signal */
		if (weft__futex_wait(&shot.word, word, word == ASKED ? until : INT64_MAX) == 0 || word != ASKED)
			continue;
		if (cas_acquire(&shot.word, &word, CLAIMED))
			return WEFT_ETIMEDOUT;
	}
	return 0;
}

int weft__backtrace_running(struct tracer *tr, int tid, struct trace *out, struct weft_task **task)
{
	uint32_t idle = IDLE;
	int rc;

	out->n = 0;
	*task = NULL;
	if (!tid || !installed_by_us())
		return WEFT_EINVAL;
	while (!cas_acquire(&shot.word, &idle, CLAIMED)) { /* pairs with store_release below */
		weft__futex_wait(&shot.word, idle, weft__clock_read() + PATIENCE_NS);
		idle = IDLE;
	}
	rc = take_shot(&tr->peek, tid);
	if (rc == 0) {
		*task = shot.task;
		walk(tr, shot.regs, word_in_shot, true, out);
	}
	store_release(&shot.word, IDLE); /* pairs with cas_acquire above */
	weft__futex_wake(&shot.word, 1);
	return rc;
}

/* --- the handler --- */

static struct lock install_lock; /* RANK_POOL: held for two system calls */
static int installs;

void weft__backtrace_install(void)
{
	struct sigaction old, sa;

	lock_take(&install_lock, RANK_POOL);
	if (installs++ == 0 && sigaction(TRACE_SIGNAL, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL) {
		memset(&sa, 0, sizeof sa);
		sa.sa_sigaction = on_signal;
		sa.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK; /* a task's own stack may be too small */
		sigfillset(&sa.sa_mask);
		sigaction(TRACE_SIGNAL, &sa, NULL);
	}
	if (installed_by_us())
		store_relaxed(&weft__hooks.open_signal, TRACE_SIGNAL); /* under lock, as below; others read a number */
	lock_drop(&install_lock);
}

void weft__backtrace_uninstall(void)
{
	lock_take(&install_lock, RANK_POOL);
	if (--installs == 0) {
		if (installed_by_us())
			signal(TRACE_SIGNAL, SIG_DFL);
		store_relaxed(&weft__hooks.open_signal, 0);
	}
	lock_drop(&install_lock);
}
