/* SPDX-License-Identifier: MIT
 *
 * unlocked.c - no locked instruction on the elided paths: one worker's program is stepped instruction by instruction.
 *
 * A child runs the operations, the parent steps it with ptrace and looks at each instruction before it is executed: a LOCK prefix, or an exchange with
 * memory.  An operation is done many times over; at least one time it must have gone without.  (Not every time: some schedules are slow ones. The monitor, which would
 * make nearly all of them slow while they are stepped, has ended before.)
 */
#include "departure.h"

#include "base/config.h"

#if defined __x86_64__
#include "weft/go.h"
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

enum { TIMES = 10, FIRST = 4 /* times before it counts: records, stacks and elements are fetched then */ };

/* An instruction that nobody else has and that does nothing: the beginning of a time, and the end of the operation. */
#define MARK() __asm__ volatile("nopl 0x57454654(%%rax)" ::: "memory")
static const unsigned char mark[] = {0x0f, 0x1f, 0x80, 0x54, 0x46, 0x45, 0x57};

/* --- the operations --- */

struct things {
	weft_chan *a, *b, *full;
	weft_mutex m;
	weft_wg g;
	weft_timer *timer;
	weft_task *parker;
	void (*op)(struct things *x);
};

static void nothing(void)
{
}

static void op_spawn(struct things *x)
{
	(void)x;
	for (int i = 0; i < SMALL(10, 1); i++) /* no more than fit in the worker's own caches */
		weft_go(nothing);
	weft_task_yield();
}

static void op_yield(struct things *x)
{
	(void)x;
	weft_task_yield();
}

static void op_buffered(struct things *x)
{
	long v = 1;

	weft_chan_send(x->b, &v);
	weft_chan_recv(x->b, &v);
	weft_chan_trysend(x->b, &v);
	weft_chan_tryrecv(x->b, &v);
}

static void answerer(struct things *x)
{
	long v;

	while (weft_chan_recv(x->a, &v) == 0 && weft_chan_send(x->full, &v) == 0)
		;
}

static void op_rendezvous(struct things *x)
{
	long v = 1;

	weft_chan_send(x->a, &v);
	weft_chan_recv(x->full, &v);
}

static void op_select(struct things *x)
{
	long v = 1;
	weft_case ready[] = {WEFT_SEND(x->b, &v), WEFT_RECV(x->full, &v)};
	weft_case none[] = {WEFT_RECV(x->b, &v), WEFT_RECV(x->full, &v), WEFT_DEFAULT()};
	weft_case waits[] = {WEFT_RECV(x->b, &v), WEFT_RECV(x->full, &v)};

	weft_chan_select(ready, 2);
	weft_chan_recv(x->b, &v);
	weft_chan_select(none, 3);
	weft_chan_send(x->a, &v);
	weft_chan_select(waits, 2);
}

static void op_mutex(struct things *x)
{
	weft_mutex_lock(&x->m);
	weft_mutex_unlock(&x->m);
}

static void op_deadline(struct things *x)
{
	long v = 1;

	weft_chan_send_until(x->a, &v, weft_in(WEFT_SEC));
	weft_chan_recv_until(x->full, &v, weft_in(WEFT_SEC));
}

static void op_timer(struct things *x)
{
	weft_timer_reset(x->timer, 3600 * WEFT_SEC);
	weft_timer_stop(x->timer);
}

static void parks(void)
{
	while (weft_task_park() == 0)
		;
}

static void op_unpark(struct things *x)
{
	weft_task_unpark(x->parker);
	weft_task_yield();
}

static int child_main(void *arg)
{
	struct things *x = arg;

	x->a = weft_chan_make(sizeof(long), 0);
	x->full = weft_chan_make(sizeof(long), 0);
	x->b = weft_chan_make(sizeof(long), 8);
	x->timer = weft_timer_make(3600 * WEFT_SEC);
	if (weft_go(answerer, x) || weft_go_opts(&x->parker, (weft_task_fn *)(void *)parks, NULL, NULL))
		return 1;
	weft_task_yield();
	weft__monitor_stop(weft__rt);
	raise(SIGSTOP);
	for (int i = 0; i < TIMES; i++) {
		MARK();
		x->op(x);
		MARK();
	}
	return 0;
}

/* --- the parent --- */

/* Is the instruction a locked one? */
static bool locked(const unsigned char *c)
{
	static const unsigned char prefixes[] = {0x66, 0x67, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0xf2, 0xf3};

	while (memchr(prefixes, *c, sizeof prefixes))
		c++;
	if (*c == 0xf0)
		return true;
	if ((*c & 0xf0) == 0x40) /* REX */
		c++;
	return (*c == 0x86 || *c == 0x87) && c[1] < 0xc0; /* xchg with memory */
}

/* Steps the child, which runs op again and again. Returns the fewest locked instructions of a time. */
static long fewest(void (*op)(struct things *x), char *where, size_t n)
{
	struct things x = {.op = op};
	long best = LONG_MAX, now = 0, steps = 0;
	int status, times = 0;
	bool inside = false;
	pid_t pid = fork();
	char first[200] = "";

	T_GE(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(99);
		_exit(weft_run(child_main, &x, &(weft_opts){.workers = 1, .no_signals = true, .spares = -1}));
	}
	T_EQ(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
		tap_skip("ptrace is not allowed here");
	T_OK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	while (times < TIMES) {
		struct user_regs_struct regs;
		unsigned char code[16] = {0};

		T_EQ(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		T_EQ(waitpid(pid, &status, 0), pid);
		T_OK(WIFSTOPPED(status)); /* it is not over before we are */
		T_EQ(ptrace(PTRACE_GETREGS, pid, NULL, &regs), 0);
		if (process_vm_readv(pid, &(struct iovec){code, sizeof code}, 1, &(struct iovec){(void *)(uintptr_t)regs.rip, sizeof code},
				     1, 0) <= 0) {
			if (errno == EPERM || errno == ENOSYS)
				tap_skip("process_vm_readv is not allowed here");
			continue;
		}
		steps++;
		if (memcmp(code, mark, sizeof mark) == 0) {
			inside = !inside;
			if (inside) {
				now = 0;
				*first = '\0';
			} else if (++times > FIRST && now < best) {
				best = now;
				snprintf(where, n, "%s", first);
			}
		} else if (inside && locked(code)) {
			Dl_info info = {0};

			if (now++ == 0 && dladdr((void *)(uintptr_t)regs.rip, &info)) /* the child was forked: the same addresses */
				snprintf(first, sizeof first, "%s+%#lx", info.dli_sname ? info.dli_sname : "?",
					 (unsigned long)(regs.rip - (uintptr_t)(info.dli_sname ? info.dli_saddr : info.dli_fbase)));
		}
	}
	tap_note("%ld instructions", steps);
	kill(pid, SIGKILL);
	T_EQ(waitpid(pid, &status, 0), pid);
	return best;
}

static void check(void (*op)(struct things *x))
{
	char where[200] = "";
	long n;

	departure_possible();
	if (weft__san)
		tap_skip("a sanitizer's own instructions are among them");
	if (getenv("WEFT_PRIO"))
		tap_skip("the queues of classes have locks");
	unsetenv("WEFT_STACK_REPORT"); /* which locks at the end of each task */
	unsetenv("WEFT_ORDER");        /* newest first: a yield beside others locks */
	tap_limit(60);
	n = fewest(op, where, sizeof where);
	if (n)
		T_FAIL("at least %ld locked instructions, the first at %s", n, where);
}

TEST(spawn)
{
	check(op_spawn);
}

TEST(yield)
{
	check(op_yield);
}

TEST(buffered)
{
	check(op_buffered);
}

TEST(rendezvous)
{
	check(op_rendezvous);
}

TEST(select_cases)
{
	check(op_select);
}

TEST(mutex)
{
	check(op_mutex);
}

TEST(deadlines)
{
	check(op_deadline);
}

TEST(timer)
{
	check(op_timer);
}

TEST(unpark)
{
	check(op_unpark);
}

static void op_locked(struct things *x)
{
	__atomic_fetch_add((uint32_t *)&x->g, 1, __ATOMIC_RELAXED);
}

/* The stepping sees what it looks for. */
TEST(control)
{
	char where[200];

	departure_possible();
	if (weft__san)
		tap_skip("as above");
	T_EQ(fewest(op_locked, where, sizeof where), 1);
}
#else
TEST(none)
{
	tap_skip("for x86_64 without sanitizers");
}
#endif
