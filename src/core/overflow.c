/* SPDX-License-Identifier: MIT
 *
 * overflow.c - the fault handler: names the task whose stack is full, and passes every other fault on.
 *
 * The fault address decides (weft__stack_find), never thread-local storage: what runs on the thread just then may be anything.  Only an address in
 * a guard is ours.  If stack or frame pointer lie in the same slot it is an overflow; else some other code strayed into the guard, which is said instead.
 * Then the frames, as dumps find them where the debug storey is there (debug/lastwords.c), else by the chain of frame pointers, and abort().
 *
 * Everything up to abort is write(2) from buffers on the alternate stack; but for dladdr, which is not async-signal-safe: should it fault, the
 * kernel ends the process with the first lines written, because the signal is blocked.
 *
 * Before all that a task that is contained is ended, if it can be (contain.c); for its sake there are handlers of more than these two signals.
 *
 * All other faults, if they end the process, are told with the task's name and stack, and go to the handler that was installed before, called as the kernel would have called it (its mask, flags and argument form), but on
 * this stack.
 *
 * Not here: where stacks come from (stack.c).
 */
#include "core/contain.h"
#include "core/stack.h"

#include "base/atomic.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/lock.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define ALTSTACK_MIN ((size_t)64 * 1024) /* sanitizers print their report on it */
#define FRAMES_FIRST 16
#define FRAMES_LAST 8

extern __attribute__((weak)) void __asan_unpoison_memory_region(const volatile void *addr, size_t size);

void (*weft__overflow_describe)(struct weft_task *t, char *buf, size_t n);
bool (*weft__overflow_caller)(struct overflow_regs *r, bool exact, uintptr_t lo, uintptr_t hi);
void (*weft__overflow_name)(uintptr_t pc, bool ret, char *buf, size_t n);

/* The first ALWAYS of them are handled while a runtime is up, the others if a task has been contained. */
#define ALWAYS 2
static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};

/* The handlers before ours. Written while ours is not installed; read by ours. */
static struct sigaction before[ARRAY_LEN(signals)];
static unsigned installed;               /* so many of them are; under lock */
static bool covered[ARRAY_LEN(signals)]; /* left in place, because somebody had put theirs over ours; under lock */
static struct lock lock;                 /* RANK_POOL */
static unsigned users;                   /* under lock */
static ATOMIC(int) dying;                /* the thread that prints, of any fault that ends the process: the first. 0: none does */

/* ---- Printing ---- */

PRINTF_LIKE(1, 2) static void print(const char *fmt, ...)
{
	char line[768];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof line)
		n = (int)sizeof line - 1;
	for (int off = 0; off < n;) {
		ssize_t w = write(STDERR_FILENO, line + off, (size_t)(n - off));

		if (w <= 0)
			break;
		off += (int)w;
	}
}

struct frame {
	uintptr_t next;
	uintptr_t ret;
};

struct overflow_regs weft__overflow_registers(const void *context)
{
	const mcontext_t *m = &((const ucontext_t *)context)->uc_mcontext;

#if defined(__x86_64__)
	return (struct overflow_regs){.pc = (uintptr_t)m->gregs[REG_RIP],
				      .sp = (uintptr_t)m->gregs[REG_RSP],
				      .fp = (uintptr_t)m->gregs[REG_RBP],
				      .probe = (uintptr_t)m->gregs[REG_R11],
				      .base = (uintptr_t)m->gregs[REG_RBX]};
#elif defined(__aarch64__)
	return (struct overflow_regs){.pc = m->pc, .sp = m->sp, .fp = m->regs[29], .lr = m->regs[30]};
#endif
}

/* ret: a return address, which may lie behind the end of its function. */
static void print_frame(unsigned n, uintptr_t pc, bool ret)
{
	Dl_info at = {0};
	char name[512];

	if (weft__overflow_name) {
		weft__overflow_name(pc, ret, name, sizeof name);
		print("  #%-3u %s\n", n, name);
		return;
	}
	if (!dladdr((void *)(pc - ret), &at) || !at.dli_fname) {
		print("  #%-3u 0x%zx\n", n, (size_t)pc);
		return;
	}
	if (at.dli_sname)
		print("  #%-3u %s+0x%zx (%s+0x%zx)\n", n, at.dli_sname, (size_t)(pc - (uintptr_t)at.dli_saddr), at.dli_fname,
		      (size_t)(pc - (uintptr_t)at.dli_fbase));
	else
		print("  #%-3u 0x%zx (%s+0x%zx)\n", n, (size_t)pc, at.dli_fname, (size_t)(pc - (uintptr_t)at.dli_fbase));
}

/* The next frame of the chain at *fp within [lo, hi), or NULL: the chain only goes up. */
static const struct frame *frame_at(uintptr_t fp, uintptr_t lo, uintptr_t hi)
{
	if (hi == 0 || fp < lo || fp > hi - sizeof(struct frame) || fp % sizeof(uintptr_t))
		return NULL;
	return (const struct frame *)fp;
}

/* Makes of *r its caller's registers. Both ways only go up, so there is an end. */
static NO_ASAN bool caller_of(struct overflow_regs *r, bool exact, uintptr_t lo, uintptr_t hi)
{
	const struct frame *f;
	uintptr_t sp = r->sp;

	if (weft__overflow_caller)
		return weft__overflow_caller(r, exact, lo, hi) && (exact || r->sp > sp);
	f = frame_at(r->fp, lo, hi);
	if (!f || !f->ret)
		return false;
	r->pc = f->ret;
	r->fp = f->next > r->fp ? f->next : 0;
	return true;
}

/* The interrupted code, its callers, and where the chain is long only its two ends. */
static void print_frames(struct overflow_regs r, uintptr_t lo, uintptr_t hi)
{
	uintptr_t last[FRAMES_LAST];
	unsigned n = 0;

	print_frame(n++, r.pc, false);
	while (caller_of(&r, n == 1, lo, hi)) {
		if (n < FRAMES_FIRST)
			print_frame(n, r.pc, true);
		else
			last[n % FRAMES_LAST] = r.pc;
		n++;
	}
	if (n > FRAMES_FIRST + FRAMES_LAST)
		print("  ... %u more frames ...\n", n - FRAMES_FIRST - FRAMES_LAST);
	for (unsigned i = n > FRAMES_FIRST + FRAMES_LAST ? n - FRAMES_LAST : FRAMES_FIRST; i < n; i++)
		print_frame(i, last[i % FRAMES_LAST], true);
}

static void describe(const struct stack *s, char *buf, size_t n)
{
	snprintf(buf, n, s->owner ? "a task" : "no task");
	if (s->owner && weft__overflow_describe)
		weft__overflow_describe(s->owner, buf, n);
}

/* ---- The handler ---- */

NORETURN COLD static void report(const struct stack *s, const siginfo_t *info, const struct overflow_regs *r)
{
	bool in_guard;
	/* A frame that was too large may have moved the stack pointer beyond the slot; then the frame pointer tells. */
	const struct stack *by_fp = weft__stack_find((void *)r->fp, &in_guard);
	const struct stack *runs_on = by_fp == s ? s : weft__stack_find((void *)r->sp, &in_guard);
	char what[384], who[384] = "code on a stack that is not weft's";

	describe(s, what, sizeof what);
	if (runs_on == s) {
		print("weft: stack overflow in %s: its stack of %zu KiB is full; give it more with go_opts(.stack = ...) or "
		      "WEFT_STACK=..., "
		      "or move big local arrays to the heap\n",
		      what, (size_t)(s->hi - s->lo) / 1024);
	} else {
		if (runs_on)
			describe(runs_on, who, sizeof who);
		print("weft: %s strayed into the guard below the stack of %s, at address 0x%zx: an overrun buffer, or a frame larger than "
		      "a guard\n",
		      who, what, (size_t)(uintptr_t)info->si_addr);
		s = runs_on;
	}
	print_frames(*r, s ? (uintptr_t)s->lo : 0, s ? (uintptr_t)s->hi : 0); /* of another stack the bounds are not known: one frame */
	abort();
}

/* Is it the caller's to print? Else *who does: the caller itself, if this is a fault in the middle of it. */
static bool is_first(int *who)
{
	*who = 0;
	return cas_acq_rel(&dying, who, (int)gettid());
}

/* Another thread prints, and then ends the process, as this one's fault would at once. For ever it is not waited for: it may be waiting for this one, for a lock of the loader's. */
static void give_time(void)
{
	int64_t until = weft__clock_read() + REPORT_NS;
	struct timespec ts = {until / SEC, until % SEC};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

/* The fault of a task that nobody handles: the process ends by it, in a moment. */
COLD static void last_words(int sig, const siginfo_t *info, const struct overflow_regs *r)
{
	bool in_guard;
	const struct stack *s = weft__stack_find((void *)r->sp, &in_guard);
	char what[384];
	int who;

	if (!is_first(&who)) {
		if (who != (int)gettid())
			give_time();
		return;
	}
	if (!s || !s->owner)
		return;
	describe(s, what, sizeof what);
	print("weft: %s (signal %d) in %s", sig == SIGSEGV ? "segmentation fault" : sig == SIGBUS ? "bus error" : "fault", sig, what);
	if ((sig == SIGSEGV || sig == SIGBUS) && info->si_code != SI_KERNEL)
		print(", at address 0x%zx", (size_t)(uintptr_t)info->si_addr);
	print("\n");
	print_frames(*r, (uintptr_t)s->lo, (uintptr_t)s->hi);
}

/* As the kernel would have called it. */
static void pass_on(unsigned which, int sig, siginfo_t *info, void *context, const struct overflow_regs *r)
{
	struct sigaction prev = before[which];
	bool sent = info->si_code <= 0; /* by kill and its like: does not happen again on return */

	if (!(prev.sa_flags & SA_SIGINFO) && prev.sa_handler == SIG_IGN && sent)
		return;
	if (!(prev.sa_flags & SA_SIGINFO) && (prev.sa_handler == SIG_DFL || prev.sa_handler == SIG_IGN)) {
		struct sigaction dfl = {.sa_handler = SIG_DFL};

		if (!sent)
			last_words(sig, info, r);
		sigaction(sig, &dfl, NULL); /* a fault happens again on return, in the frame that did it */
		if (sent || sig == SIGTRAP) /* the instruction of a trap is done with: it does not happen again */
			raise(sig);         /* pending until the return */
		return;
	}
	if (prev.sa_flags & SA_RESETHAND)
		before[which] = (struct sigaction){.sa_handler = SIG_DFL};
	/* The mask of the return is the context's: nothing to restore. */
	pthread_sigmask(SIG_BLOCK, &prev.sa_mask, NULL);
	if (prev.sa_flags & SA_NODEFER && !sigismember(&prev.sa_mask, sig)) {
		sigset_t one;

		sigemptyset(&one);
		sigaddset(&one, sig);
		pthread_sigmask(SIG_UNBLOCK, &one, NULL);
	}
	if (prev.sa_flags & SA_SIGINFO)
		prev.sa_sigaction(sig, info, context);
	else
		prev.sa_handler(sig);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	struct overflow_regs r = weft__overflow_registers(context);
	int saved_errno = errno;
	struct stack *s;
	bool in_guard;
	int who;

	if (weft__contain(sig, info, context)) { /* to the worker's own stack, or on with a call */
		errno = saved_errno;
		return;
	}
	if ((sig == SIGSEGV || sig == SIGBUS) && info->si_code > 0 && info->si_code != SI_KERNEL) { /* else there is no address */
		s = weft__stack_find(info->si_addr, &in_guard);
		if (s && in_guard) {
			if (is_first(&who))
				report(s, info, &r);
			else if (who != (int)gettid())
				give_time();
		}
	}
	for (unsigned i = 0; i < ARRAY_LEN(signals); i++) {
		if (signals[i] == sig)
			pass_on(i, sig, info, context, &r);
	}
	errno = saved_errno;
}

static bool is_ours(const struct sigaction *sa)
{
	return (sa->sa_flags & SA_SIGINFO) && sa->sa_sigaction == on_fault;
}

/* Lock held. */
static int install_one(unsigned which)
{
	struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK}, now;

	sigemptyset(&ours.sa_mask);
	if (sigaction(signals[which], NULL, &now))
		return -errno;
	if (is_ours(&now))
		return 0;
	if (covered[which] && ((now.sa_flags & SA_SIGINFO) || (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN)))
		return 0; /* a handler that was put over ours, and so calls it: with ours on top as well they would call each other for ever */
	before[which] = now;
	if (sigaction(signals[which], &ours, NULL))
		return -errno;
	covered[which] = false;
	return 0;
}

/* Lock held. Only if it is still on top: else whoever came later would lose theirs. */
static void uninstall_one(unsigned which)
{
	struct sigaction now;

	if (sigaction(signals[which], NULL, &now))
		return;
	if (is_ours(&now))
		sigaction(signals[which], &before[which], NULL);
	else
		covered[which] = true;
}

/* Lock held. Back to the first n. */
static void uninstall_to(unsigned n)
{
	while (installed > n)
		uninstall_one(--installed);
}

/* Lock held. The first n; or none more than there were. */
static int install_to(unsigned n)
{
	unsigned had = installed;
	int rc = 0;

	while (installed < n && (rc = install_one(installed)) == 0)
		installed++;
	if (rc)
		uninstall_to(had);
	return rc;
}

int weft__overflow_install(void)
{
	int rc;

	lock_take(&lock, RANK_POOL);
	rc = install_to(ALWAYS);
	if (rc == 0)
		users++;
	lock_drop(&lock);
	return rc;
}

int weft__overflow_install_more(void)
{
	int rc;

	lock_take(&lock, RANK_POOL);
	CHECK(users > 0);
	rc = install_to(ARRAY_LEN(signals));
	lock_drop(&lock);
	return rc;
}

void weft__overflow_uninstall(void)
{
	lock_take(&lock, RANK_POOL);
	CHECK(users > 0);
	if (--users == 0)
		uninstall_to(0);
	lock_drop(&lock);
}

/* ---- Alternate stacks ---- */

/* With a page below it that faults: a handler that needs more dies, instead of writing over its neighbour. */
int weft__altstack_enter(struct altstack *a)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	long need = sysconf(_SC_MINSIGSTKSZ);
	size_t size = ALTSTACK_MIN + ROUND_UP(need > 0 ? 2 * (size_t)need : 0, page);
	stack_t old, ours;
	char *mem;
	int rc;

	*a = (struct altstack){0};
	if (sigaltstack(NULL, &old))
		return -errno;
	if (old.ss_flags & SS_ONSTACK)
		return 0; /* called by a signal handler that stands on it: it cannot be changed, and serves */
	mem = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return -ENOMEM;
	ours = (stack_t){.ss_sp = mem + page, .ss_size = size};
	if (mprotect(mem, page, PROT_NONE) || sigaltstack(&ours, NULL)) {
		rc = -errno;
		munmap(mem, size + page);
		return rc;
	}
	a->mem = mem;
	a->size = size + page;
	a->old_sp = old.ss_sp;
	a->old_size = old.ss_size;
	a->old_flags = old.ss_flags;
	return 0;
}

void weft__altstack_leave(struct altstack *a)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	stack_t now, old = {.ss_sp = a->old_sp, .ss_size = a->old_size, .ss_flags = a->old_flags};

	if (!a->mem)
		return;
	/* Somebody may have put in another one meanwhile: it stays. */
	if (sigaltstack(NULL, &now) == 0 && now.ss_sp == (char *)a->mem + page && sigaltstack(&old, NULL))
		CHECK_EQ(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL),
			 0); /* the caller's is refused: better none than ours, which goes now */
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region(a->mem, a->size);
	munmap(a->mem, a->size);
	*a = (struct altstack){0};
}
