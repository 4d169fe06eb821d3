/* SPDX-License-Identifier: MIT
 *
 * lf_stack.c - weft/lf/stack.h: last in first out, nothing lost or doubled among many threads; weft/lf/tagged.h: pointers survive. Elimination by
 * itself: lf_estack.c.
 *
 * Elements live in an array, as the stacks ask for, and go round: who gets one owns it, which a plain member checks.
 */
#include "weft/lf/stack.h"

#include "tap.h"
#include "weft/lf/list.h"
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define ITEMS 64

struct item {
	struct weft_stack_node link;
	int holder; /* thread, or -1: in the stack; plain: whoever holds it is alone */
	long count; /* how often it was taken */
};

static struct item item[ITEMS];
static struct weft_stack stack;
static struct weft_estack estack;
static WEFT_ATOMIC(long) taken;
static long rounds;

static struct item *of(struct weft_stack_node *n)
{
	return n ? WEFT_CONTAINER_OF(n, struct item, link) : NULL;
}

static struct item *take(struct weft_stack_node *n, int who)
{
	struct item *it = of(n);

	if (it) {
		T_EQ(it->holder, -1);
		it->holder = who;
		it->count++;
	}
	return it;
}

static struct weft_stack_node *give(struct item *it, int who)
{
	T_EQ(it->holder, who);
	it->holder = -1;
	return &it->link;
}

/* A pointer comes back from its word, and a tag keeps its low bits. */
TEST(tagged_keeps_both)
{
	void *top = (void *)(uintptr_t)0x0000fffffffffff8;

	T_EQ(weft_tagged_ptr(weft_tagged(&stack, 5)), &stack);
	T_EQ(weft_tagged_tag(weft_tagged(&stack, 5)), 5);
	T_EQ(weft_tagged_ptr(weft_tagged(top, ~(uint64_t)0)), top);
	T_EQ(weft_tagged_tag(weft_tagged(top, WEFT_TAG_MASK + 3)), 2);
	T_EQ(weft_tagged_ptr(weft_tagged(NULL, 7)), NULL);
	T_EQ(weft_tagged(NULL, 0), 0);
}

/* An address that does not fit ends the program instead of being cut. */
TEST(tagged_refuses_what_does_not_fit)
{
	uintptr_t bad[] = {(uintptr_t)&stack + 1, (uintptr_t)1 << 48, (uintptr_t)&stack | (uintptr_t)1 << 56};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			_exit(weft_tagged((void *)bad[i], 0) != 0);
		T_EQ(waitpid(pid, &status, 0), pid);
		T_OK(!WIFEXITED(status) || WEXITSTATUS(status) > 1); /* a signal, or a sanitizer's end */
	}
}

/* Last in, first out; all at once; zeroed memory is empty. */
TEST(smoke)
{
	struct weft_stack_node *n;

	T_OK(weft_stack_empty(&stack));
	T_EQ(weft_stack_pop(&stack), NULL);
	T_EQ(weft_stack_pop_all(&stack), NULL);
	for (int i = 0; i < 4; i++)
		weft_stack_push(&stack, &item[i].link);
	T_OK(!weft_stack_empty(&stack));
	T_EQ(weft_stack_pop(&stack), &item[3].link);
	n = weft_stack_pop_all(&stack);
	for (int i = 2; i >= 0; i--, n = weft_stack_next(n))
		T_EQ(n, &item[i].link);
	T_EQ(n, NULL);
	T_OK(weft_stack_empty(&stack));
	weft_stack_init(&stack);
	T_EQ(weft_stack_pop(&stack), NULL);
}

/* The same of the stack with elimination. */
TEST(smoke_elimination)
{
	T_OK(weft_estack_empty(&estack));
	T_EQ(weft_estack_pop(&estack), NULL);
	for (int i = 0; i < 4; i++)
		weft_estack_push(&estack, &item[i].link);
	T_OK(!weft_estack_empty(&estack));
	for (int i = 3; i >= 1; i--)
		T_EQ(weft_estack_pop(&estack), &item[i].link);
	T_EQ(weft_estack_pop_all(&estack), &item[0].link);
	T_EQ(weft_estack_pop(&estack), NULL);
	T_EQ(weft_estack_met(&estack), 0); /* nobody was in the way */
	weft_estack_init(&estack);
	T_OK(weft_estack_empty(&estack));
}

/* However often an element went through, the tag tells its comings apart, and goes round without harm. */
TEST(tag_wraps)
{
	uint64_t before;

	weft_stack_push(&stack, &item[0].link);
	before = weft_load_relaxed(&stack.top);
	for (uint64_t i = 0; i < WEFT_TAG_MASK; i++) {
		T_EQ(weft_stack_pop(&stack), &item[0].link);
		weft_stack_push(&stack, &item[0].link);
		T_NE(weft_load_relaxed(&stack.top), before);
	}
	T_EQ(weft_stack_pop(&stack), &item[0].link);
	weft_stack_push(&stack, &item[0].link);
	T_EQ(weft_load_relaxed(&stack.top), before); /* 2^19 pushes later */
}

/* Takes up to three elements, and gives them back in another order. */
static void *goes_round(void *arg)
{
	int who = (int)(intptr_t)arg;
	long n = 0;

	for (long i = 0; i < rounds; i++) {
		struct item *a = take(weft_stack_pop(&stack), who), *b = take(weft_stack_pop(&stack), who), *c = NULL;

		if (i % 16 == 0) {
			struct weft_stack_node *all = weft_stack_pop_all(&stack), *next;

			for (; all; all = next) {
				next = weft_stack_next(all);
				weft_stack_push(&stack, give(take(all, who), who));
				n++;
			}
		} else {
			c = take(weft_stack_pop(&stack), who);
		}
		n += !!a + !!b + !!c;
		if (a)
			weft_stack_push(&stack, give(a, who));
		if (c)
			weft_stack_push(&stack, give(c, who));
		if (b)
			weft_stack_push(&stack, give(b, who));
		if (i % 256 == 0)
			sched_yield();
	}
	weft_add_relaxed(&taken, n); /* joined before it is read */
	return NULL;
}

static void *goes_round_elimination(void *arg)
{
	int who = (int)(intptr_t)arg;
	long n = 0;

	for (long i = 0; i < rounds; i++) {
		struct item *a = take(weft_estack_pop(&estack), who), *b = take(weft_estack_pop(&estack), who);

		n += !!a + !!b;
		if (a)
			weft_estack_push(&estack, give(a, who));
		if (b)
			weft_estack_push(&estack, give(b, who));
		if (i % 256 == 0)
			sched_yield();
	}
	weft_add_relaxed(&taken, n); /* joined before it is read */
	return NULL;
}

static void all_run(void *(*fn)(void *))
{
	pthread_t t[THREADS];

	for (int i = 0; i < ITEMS; i++)
		item[i].holder = -1;
	for (int i = 0; i < THREADS; i++)
		T_EQ(pthread_create(&t[i], NULL, fn, (void *)(intptr_t)i), 0);
	for (int i = 0; i < THREADS; i++)
		T_EQ(pthread_join(t[i], NULL), 0);
}

static void all_there(struct weft_stack_node *all, int n)
{
	long count = 0;

	for (; all; all = weft_stack_next(all)) {
		take(all, THREADS);
		n--;
	}
	T_EQ(n, 0);
	for (int i = 0; i < ITEMS; i++)
		count += item[i].count - (item[i].holder == THREADS);
	T_EQ(count, weft_load_relaxed(&taken));
}

/* Few elements and many threads, so that the same one is on top again and again: none is lost, none is in two hands. */
TEST(stress)
{
	rounds = tap_iters(200000);
	for (int i = 0; i < 5; i++)
		weft_stack_push(&stack, &item[i].link);
	all_run(goes_round);
	all_there(weft_stack_pop_all(&stack), 5);
}

TEST(stress_elimination)
{
	rounds = tap_iters(200000);
	for (int i = 0; i < 5; i++)
		weft_estack_push(&estack, &item[i].link);
	all_run(goes_round_elimination);
	all_there(weft_estack_pop_all(&estack), 5);
	tap_note("%llu pairs met", (unsigned long long)weft_estack_met(&estack));
}
