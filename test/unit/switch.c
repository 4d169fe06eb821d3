/* SPDX-License-Identifier: MIT
 *
 * switch.c - arch/switch.h: does a context find its stack, its registers and its caller again, and do unwinders find its end?
 */
#include "arch/switch.h"

#include "tap.h"
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

#define STACK (512 * 1024) /* deep_recursion under ASan, which gives every local red zones */
#define DEPTH 150

/* A coroutine and whoever runs it. */
struct co {
	struct context self, caller;
	struct san_fiber san, *caller_san;
	void (*body)(struct co *c, void *pass);
	char *stack;
	int done;
};

static void *const END = (void *)0x656e64; /* what the last switch out passes */

static NOINLINE void *co_resume(struct co *c, struct san_fiber *me, void *pass)
{
	c->caller_san = me;
	return switch_context(&c->caller, me, &c->self, &c->san, pass, 0);
}

static NOINLINE void *co_leave(struct co *c, void *pass)
{
	return switch_context(&c->self, &c->san, &c->caller, c->caller_san, pass, 0);
}

static NOINLINE void co_end(struct co *c)
{
	c->done = 1;
	switch_context(&c->self, &c->san, &c->caller, c->caller_san, END, 1);
	T_FAIL("an ended context was switched to");
}

static void co_entry(void *pass, void *arg)
{
	struct co *c = arg;

	if (unlikely(weft__san))
		weft__san_after_switch(&c->san);
	c->body(c, pass);
	co_end(c);
}

static void co_make_at(struct co *c, void (*body)(struct co *, void *), void *hi)
{
	c->body = body;
	c->done = 0;
	weft__san_fiber_init(&c->san, c->stack, STACK, "co");
	arch_context_make(&c->self, hi, co_entry, c);
}

static void co_make(struct co *c, void (*body)(struct co *, void *))
{
	c->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	T_OK(c->stack != MAP_FAILED);
	co_make_at(c, body, c->stack + STACK);
}

static void co_free(struct co *c)
{
	weft__san_fiber_fini(&c->san);
	munmap(c->stack, STACK);
}

static void count_up(struct co *c, void *pass)
{
	for (long want = 0; pass; want++) {
		T_EQ((long)pass, want + 1);
		pass = co_leave(c, (void *)(want * 3));
	}
}

/* Each side gets what the other passed, ten thousand times. */
TEST(pass_travels_both_ways)
{
	struct san_fiber me;
	struct co c;

	weft__san_thread_init(&me);
	co_make(&c, count_up);
	for (long i = 0; i < 10000; i++)
		T_EQ(co_resume(&c, &me, (void *)(i + 1)), i * 3);
	T_EQ(co_resume(&c, &me, NULL), END);
	co_free(&c);
}

/* One stack serves one context after the other. */
TEST(stack_is_reused)
{
	struct san_fiber me;
	struct co c;

	weft__san_thread_init(&me);
	co_make(&c, count_up);
	for (int i = 0; i < 1000; i++) {
		T_EQ(co_resume(&c, &me, (void *)1), 0);
		T_EQ(co_resume(&c, &me, NULL), END);
		weft__san_fiber_fini(&c.san);
		co_make_at(&c, count_up, c.stack + STACK);
	}
	T_EQ(co_resume(&c, &me, NULL), END);
	co_free(&c);
}

/* --- registers --- */

#if defined(__x86_64__)
#define SPOIL()                                                                                                           \
	__asm__ volatile("movq $-1, %%rbx\n\tmovq $-2, %%r12\n\tmovq $-3, %%r13\n\tmovq $-4, %%r14\n\tmovq $-5, %%r15" :: \
				 : "rbx", "r12", "r13", "r14", "r15", "memory")
#else
#define SPOIL()                                                                                                                           \
	__asm__ volatile("mov x19, #-1\n\tmov x20, #-2\n\tmov x21, #-3\n\tmov x22, #-4\n\tmov x23, #-5\n\t"                               \
			 "mov x24, #-6\n\tmov x25, #-7\n\tmov x26, #-8\n\tmov x27, #-9\n\tmov x28, #-10\n\t"                              \
			 "fmov d8, x19\n\tfmov d9, x19\n\tfmov d10, x19\n\tfmov d11, x19\n\tfmov d12, x19\n\t"                            \
			 "fmov d13, x19\n\tfmov d14, x19\n\tfmov d15, x19" ::                                                             \
				 : "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "v8", "v9", "v10", "v11", "v12", \
				   "v13", "v14", "v15", "memory")
#endif

static void spoiler(struct co *c, void *pass)
{
	while (pass) {
		SPOIL();
		pass = co_leave(c, pass);
		SPOIL();
	}
}

static void spoiler_called(struct co *c, void *pass)
{
	while (pass) {
		SPOIL();
		pass = weft__arch_switch_called(&c->self, &c->caller, pass);
		SPOIL();
	}
}

/* Twelve integers and twelve doubles live across the statement given, more than there are registers to keep them in. */
#define PRESSURE(...)                                                                                                                    \
	do {                                                                                                                             \
		volatile unsigned long s = 3;                                                                                            \
		volatile double g = 0.5;                                                                                                 \
		unsigned long a0 = s, a1 = s * 5, a2 = s * 7, a3 = s * 11, a4 = s * 13, a5 = s * 17, a6 = s * 19, a7 = s * 23,           \
			      a8 = s * 29, a9 = s * 31, a10 = s * 37, a11 = s * 41;                                                      \
		double d0 = g, d1 = g * 5, d2 = g * 7, d3 = g * 11, d4 = g * 13, d5 = g * 17, d6 = g * 19, d7 = g * 23, d8 = g * 29,     \
		       d9 = g * 31, d10 = g * 37, d11 = g * 41;                                                                          \
                                                                                                                                         \
		for (unsigned long i = 1; i <= 1000; i++) {                                                                              \
			__VA_ARGS__;                                                                                                     \
			a0 += a1 ^ i, a1 += a2 ^ i, a2 += a3, a3 += a4, a4 += a5, a5 += a6, a6 += a7, a7 += a8, a8 += a9, a9 += a10,     \
				a10 += a11, a11 += a0 & 0xffff;                                                                          \
			d0 += d1, d1 += 1, d2 += 2, d3 += 3, d4 += 4, d5 += 5, d6 += 6, d7 += 7, d8 += 8, d9 += 9, d10 += 10, d11 += 11; \
		}                                                                                                                        \
		r->i[0] = a0, r->i[1] = a1, r->i[2] = a2, r->i[3] = a3, r->i[4] = a4, r->i[5] = a5, r->i[6] = a6, r->i[7] = a7,          \
		r->i[8] = a8, r->i[9] = a9, r->i[10] = a10, r->i[11] = a11;                                                              \
		r->d[0] = d0, r->d[1] = d1, r->d[2] = d2, r->d[3] = d3, r->d[4] = d4, r->d[5] = d5, r->d[6] = d6, r->d[7] = d7,          \
		r->d[8] = d8, r->d[9] = d9, r->d[10] = d10, r->d[11] = d11;                                                              \
	} while (0)

struct result {
	unsigned long i[12];
	double d[12];
};

static NOINLINE void pressure_alone(struct result *r)
{
	PRESSURE(SPOIL());
}

static NOINLINE void pressure_through_function(struct result *r, struct co *c, struct san_fiber *me)
{
	PRESSURE(T_EQ(co_resume(c, me, (void *)i), i));
}

/* The switch itself is in the function whose values are live, and there twice. */
static NOINLINE void pressure_inlined(struct result *r, struct co *c, struct san_fiber *me)
{
	c->caller_san = me;
	PRESSURE({
		T_EQ(switch_context(&c->caller, me, &c->self, &c->san, (void *)i, 0), i);
		if (i & 1)
			T_EQ(switch_context(&c->caller, me, &c->self, &c->san, (void *)(i + 7), 0), i + 7);
	});
}

static NOINLINE void pressure_called(struct result *r, struct co *c)
{
	PRESSURE(T_EQ(weft__arch_switch_called(&c->caller, &c->self, (void *)i), i));
}

static void same(const struct result *a, const struct result *b)
{
	for (int i = 0; i < 12; i++) {
		T_EQ(a->i[i], b->i[i]);
		T_OK(a->d[i] == b->d[i]);
	}
}

/* Values that live across a switch survive a peer that overwrites every register a function must preserve. */
TEST(live_registers_are_preserved)
{
	struct result alone, r;
	struct san_fiber me;
	struct co c;

	weft__san_thread_init(&me);
	co_make(&c, spoiler);
	pressure_alone(&alone);
	pressure_through_function(&r, &c, &me);
	same(&alone, &r);
	pressure_inlined(&r, &c, &me);
	same(&alone, &r);
	T_EQ(co_resume(&c, &me, NULL), END);
	co_free(&c);
}

/* The called switch preserves them too, and meets the inlined one at its entry and end. */
TEST(called_switch_preserves_registers)
{
	struct result alone, r;
	struct san_fiber me;
	struct co c;

	if (weft__san)
		tap_skip("the called switch tells no sanitizer");
	weft__san_thread_init(&me);
	co_make(&c, spoiler_called);
	pressure_alone(&alone);
	pressure_called(&r, &c);
	same(&alone, &r);
	T_EQ(co_resume(&c, &me, (void *)5), 5);
	T_EQ(weft__arch_switch_called(&c.caller, &c.self, NULL), END);
	co_free(&c);
}

/* --- stacks --- */

static void aligned(struct co *c, void *pass)
{
	_Alignas(16) char buf[16];
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);

	T_EQ(frame % 16, 0);
	__asm__ volatile("" : : "r"(buf) : "memory");
	T_EQ((uintptr_t)buf % 16, 0);
	T_OK((char *)frame > c->stack && (char *)frame < c->stack + STACK);
	T_EQ((long)pass, 1);
}

/* Whatever the top of the stack is, the first function's stack is aligned as the ABI says. */
TEST(entry_is_aligned)
{
	struct san_fiber me;
	struct co c;

	weft__san_thread_init(&me);
	co_make(&c, aligned);
	for (int off = 0; off < 64; off++) {
		weft__san_fiber_fini(&c.san);
		co_make_at(&c, aligned, c.stack + STACK - off);
		T_EQ(co_resume(&c, &me, (void *)1), END);
	}
	co_free(&c);
}

static NOINLINE long sink(struct co *c, int depth)
{
	volatile char frame[64];
	long below;

	memset((char *)frame, depth, sizeof frame);
	T_EQ((long)co_leave(c, (void *)(long)depth), depth);
	below = depth ? sink(c, depth - 1) : 0;
	T_EQ((long)co_leave(c, (void *)(long)-depth), -depth);
	for (size_t i = 0; i < sizeof frame; i++)
		T_EQ((unsigned char)frame[i], depth & 0xff);
	return below + depth;
}

static void recurse(struct co *c, void *pass)
{
	T_EQ(sink(c, DEPTH), DEPTH * (DEPTH + 1) / 2);
	(void)pass;
}

/* A context stops and goes on at every level of a deep recursion, on the way down and up. */
TEST(deep_recursion)
{
	struct san_fiber me;
	struct co c;
	long depth = DEPTH;

	weft__san_thread_init(&me);
	co_make(&c, recurse);
	T_EQ(co_resume(&c, &me, NULL), depth);
	while (depth > 0) {
		T_EQ(co_resume(&c, &me, (void *)depth), depth - 1);
		depth--;
	}
	T_EQ(co_resume(&c, &me, (void *)0L), 0);
	while (depth < DEPTH) {
		T_EQ(co_resume(&c, &me, (void *)-depth), -(depth + 1));
		depth++;
	}
	T_EQ(co_resume(&c, &me, (void *)-depth), END);
	co_free(&c);
}

/* --- from context to context --- */

#define RING 50

static struct ring {
	struct co co[RING];
	struct san_fiber home_san;
	struct context home;
	int rounds;
} ring;

static void ring_entry(void *pass, void *arg)
{
	struct co *c = arg, *next = &ring.co[(c - ring.co + 1) % RING];
	long n = (long)pass;

	if (unlikely(weft__san))
		weft__san_after_switch(&c->san);
	for (;;) {
		n++;
		if (c == &ring.co[RING - 1] && n == (long)RING * ring.rounds)
			switch_context(&c->self, &c->san, &ring.home, &ring.home_san, (void *)n, 0);
		n = (long)switch_context(&c->self, &c->san, &next->self, &next->san, (void *)n, 0);
	}
}

/* Contexts switch directly to one another in a ring; nobody goes home in between. */
TEST(direct_switches_in_a_ring)
{
	ring.rounds = (int)tap_iters(1000);
	weft__san_thread_init(&ring.home_san);
	for (int i = 0; i < RING; i++) {
		struct co *c = &ring.co[i];

		co_make(c, NULL);
		arch_context_make(&c->self, c->stack + STACK, ring_entry, c);
	}
	T_EQ(switch_context(&ring.home, &ring.home_san, &ring.co[0].self, &ring.co[0].san, NULL, 0), (long)RING * ring.rounds);
	for (int i = 0; i < RING; i++)
		co_free(&ring.co[i]);
}

/* --- threads --- */

static struct {
	struct co co;
	pthread_mutex_t lock;
	pthread_cond_t turned;
	long turn; /* whose turn it is: odd and even threads */
	long last;
	pthread_t seen; /* thread the context ran on last */
	long moved;
} mig;

static void mig_body(struct co *c, void *pass)
{
	volatile long check = 0;

	while (pass) {
		pthread_t now = *(pthread_t *)pass;

		if (!pthread_equal(now, mig.seen))
			mig.moved++;
		mig.seen = now;
		check++;
		pass = co_leave(c, (void *)check);
	}
}

static void *mig_thread(void *parity)
{
	pthread_t self = pthread_self();
	struct san_fiber me;

	weft__san_thread_init(&me);
	pthread_mutex_lock(&mig.lock);
	for (;;) {
		while (mig.turn < mig.last && (mig.turn & 1) != (long)parity)
			pthread_cond_wait(&mig.turned, &mig.lock);
		if (mig.turn == mig.last)
			break;
		mig.turn++;
		T_EQ((long)co_resume(&mig.co, &me, &self), mig.turn);
		pthread_cond_signal(&mig.turned);
	}
	pthread_mutex_unlock(&mig.lock);
	return NULL;
}

/* A context stopped on one thread goes on on another, to and fro. */
TEST(context_moves_between_threads)
{
	struct san_fiber me;
	pthread_t t[2];

	weft__san_thread_init(&me);
	pthread_mutex_init(&mig.lock, NULL);
	pthread_cond_init(&mig.turned, NULL);
	mig.last = tap_iters(4000);
	mig.seen = pthread_self();
	co_make(&mig.co, mig_body);
	for (long i = 0; i < 2; i++)
		T_EQ(pthread_create(&t[i], NULL, mig_thread, (void *)i), 0);
	for (int i = 0; i < 2; i++)
		T_EQ(pthread_join(t[i], NULL), 0);
	T_EQ(mig.moved, mig.last);
	T_EQ(co_resume(&mig.co, &me, NULL), END);
	co_free(&mig.co);
}

/* --- unwinders --- */

/* aarch64: a return address in a frame carries its signature in the bits above 48 where pointer authentication is on. */
static int in_entry(const void *pc)
{
	return ((uintptr_t)pc & 0xffffffffffff) - (uintptr_t)weft__arch_entry < 64;
}

static NOINLINE int frames_below(int depth, void **pc, int max)
{
	int n = depth ? frames_below(depth - 1, pc, max) : backtrace(pc, max);

	compiler_barrier(); /* no tail call: the frame stays */
	return n;
}

static void backtracer(struct co *c, void *pass)
{
	void *pc[64];
	int flat = backtrace(pc, 64), deep;

	T_GE(flat, 3); /* here, co_entry, weft__arch_entry */
	T_OK(in_entry(pc[flat - 1]));
	deep = frames_below(20, pc, 64);
	T_GE(deep, flat + 20);
	T_OK(in_entry(pc[deep - 1]));
	co_leave(c, pass);
	T_EQ(backtrace(pc, 64), flat);
}

/* glibc's backtrace sees every frame of a context, and its entry as the last one. */
TEST(backtrace_ends_at_the_entry)
{
	struct san_fiber me;
	struct co c;

	weft__san_thread_init(&me);
	co_make(&c, backtracer);
	T_EQ(co_resume(&c, &me, (void *)1), 1);
	T_EQ(co_resume(&c, &me, NULL), END);
	co_free(&c);
}

static NOINLINE void park_below(struct co *c, int depth)
{
	if (depth)
		park_below(c, depth - 1);
	else
		co_leave(c, NULL);
	compiler_barrier();
}

static void parker(struct co *c, void *pass)
{
	park_below(c, 10);
	(void)pass;
}

/* The frame pointers of a parked context lead, upwards and inside its stack, to the entry's zero. */
TEST(frame_pointers_of_a_parked_context_end)
{
	struct san_fiber me;
	const void *pc = NULL;
	struct co c;
	int n = 0;

	weft__san_thread_init(&me);
	co_make(&c, parker);
	T_EQ(c.self.fp, NULL);
	co_resume(&c, &me, NULL);
	for (char *fp = c.self.fp, *next; fp; fp = next, n++) {
		T_OK(fp >= (char *)c.self.sp - ARCH_RED_ZONE && fp + 16 <= c.stack + STACK);
		memcpy(&next, fp, sizeof next);
		memcpy(&pc, fp + 8, sizeof pc);
		T_OK(!next || next > fp);
	}
	T_GE(n, 11);
	T_OK(in_entry(pc));
	T_EQ(co_resume(&c, &me, NULL), END);
	co_free(&c);
}

static volatile sig_atomic_t ticks;

static void tick(int sig)
{
	void *pc[32];

	(void)sig;
	T_GT(backtrace(pc, 32), 0);
	ticks++;
}

/* A profiler's signal may arrive, and unwind, at any instruction of a switch. */
TEST(signals_unwind_during_switches)
{
	int us = 100 * tap_slow(); /* longer than the handler takes, or nothing else is ever run */
	struct itimerval every = {{0, us}, {0, us}}, off = {{0, 0}, {0, 0}};
	struct sigaction sa = {.sa_handler = tick, .sa_flags = SA_RESTART};
	long rounds = tap_iters(5000000); /* bounded work, not a number of ticks: a loaded machine is slow to deliver them */
	struct san_fiber me;
	struct co c[2];
	void *pc[4];
	long n;

	if (weft__san & SAN_TSAN)
		tap_skip("TSan holds signals back until the next system call");
	weft__san_thread_init(&me);
	backtrace(pc, 4); /* loads the unwinder outside the handler */
	for (int i = 0; i < 2; i++)
		co_make(&c[i], count_up);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (n = 0; n < rounds || ticks == 0; n++)
		for (int i = 0; i < 2; i++)
			T_EQ(co_resume(&c[i], &me, (void *)(n + 1)), n * 3);
	setitimer(ITIMER_REAL, &off, NULL);
	for (int i = 0; i < 2; i++) {
		T_EQ(co_resume(&c[i], &me, NULL), END);
		co_free(&c[i]);
	}
}

/* --- misuse --- */

static void returns(void *pass, void *arg)
{
	if (unlikely(weft__san))
		weft__san_after_switch(arg);
	(void)pass;
	signal(SIGILL, SIG_DFL);
	signal(SIGTRAP, SIG_DFL);
	tap_note("going to return");
}

/* An entry that returns dies there and then, instead of running into whatever lies above. */
TEST_DIES(entry_that_returns_traps, "going to return")
{
	struct san_fiber me, san;
	struct context self, c;
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	weft__san_thread_init(&me);
	weft__san_fiber_init(&san, stack, STACK, "returns");
	arch_context_make(&c, stack + STACK, returns, &san);
	switch_context(&self, &me, &c, &san, NULL, 0);
}

/* The thread owns the floating-point mode: a context that changes it changes it for whoever runs next on the thread. */
#if defined(__x86_64__)
static void set_mode(struct co *c, void *pass)
{
	unsigned mxcsr = __builtin_ia32_stmxcsr();

	__builtin_ia32_ldmxcsr(mxcsr | 0x6000);
	co_leave(c, pass);
	__builtin_ia32_ldmxcsr(mxcsr);
}

TEST(floating_point_mode_belongs_to_the_thread)
{
	struct san_fiber me;
	struct co c;

	weft__san_thread_init(&me);
	co_make(&c, set_mode);
	co_resume(&c, &me, NULL);
	T_EQ(__builtin_ia32_stmxcsr() & 0x6000, 0x6000);
	T_EQ(co_resume(&c, &me, NULL), END);
	T_EQ(__builtin_ia32_stmxcsr() & 0x6000, 0);
	co_free(&c);
}
#endif
