/* SPDX-License-Identifier: MIT
 *
 * trim.c - stacks of tasks that wait for long: what is below the stack pointer goes, what is above stays, whoever wakes them meanwhile.
 */
#include "rt.h"

#include "base/asym.h"
#include "core/stackpool.h"
#include "core/trim.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define DEEP (48 * 1024) /* bytes of a deep call's frame */
#define EVERY (1 * MS)   /* from pass to pass, of the runtime's own; the monitor looks every few */

/* Of weft__trim_up: a moment, which the tests' clock does not know. */
static const weft_opts quick = {.trim_parked = EVERY, .no_deadlock = true};

static int run_quick(weft_task_fn *fn, void *arg)
{
	return run_with(fn, arg, quick);
}

static void needs_pages(void)
{
	size_t page = page_size();
	unsigned char in = 1;
	char *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	T_NE(p, MAP_FAILED);
	p[0] = 1;
	T_EQ(madvise(p, page, MADV_DONTNEED), 0);
	if (mincore(p, page, &in) || (in & 1) || !weft__asym_on)
		tap_skip("MADV_DONTNEED, mincore or membarrier is not real here");
	munmap(p, page);
}

/* Pages of t's stack that are there, up to the one that it waits on. t waits, or is about to. */
static unsigned pages_below(weft_task *t)
{
	size_t page = page_size();
	unsigned char in[STACK_DEFAULT / 4096];
	uintptr_t lo, to;
	unsigned n = 0;

	until_parked(t);
	lo = (uintptr_t)t->stack->lo;
	to = ((uintptr_t)t->ctx.sp - ARCH_RED_ZONE) & ~(page - 1);
	T_LE((to - lo) / page, sizeof in);
	T_EQ(mincore((void *)lo, to - lo, in), 0);
	for (size_t i = 0; i < (to - lo) / page; i++)
		n += in[i] & 1;
	return n;
}

/* Uses DEEP bytes of stack, and finds there what it has put there. */
static NOINLINE unsigned deep(unsigned seed)
{
	volatile unsigned char frame[DEEP];
	unsigned sum = 0;

	for (size_t i = 0; i < sizeof frame; i += 64)
		frame[i] = (unsigned char)(seed + i / 64);
	for (size_t i = 0; i < sizeof frame; i += 64)
		sum += frame[i] == (unsigned char)(seed + i / 64);
	return sum;
}

static void go_deep(unsigned seed)
{
	T_EQ(deep(seed), DEEP / 64);
}

/* --- one task --- */

static int sleeper(void *arg)
{
	weft_chan *c = arg;
	unsigned live[16];
	int got = 0;

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < ARRAY_LEN(live); i++)
			live[i] = round * 100 + i;
		go_deep(round);
		T_EQ(weft_chan_recv(c, &got), 0);
		for (unsigned i = 0; i < ARRAY_LEN(live); i++)
			T_EQ(live[i], round * 100 + i);
		T_EQ(got, (int)round);
	}
	go_deep(9);
	return got;
}

static uint64_t trimmed(void)
{
	weft_stat s;

	T_EQ(weft_stats(&s), 0);
	return s.trimmed;
}

static int one_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 0);
	weft_task *t = start(sleeper, c);

	(void)arg;
	for (int round = 0; round < 3; round++) {
		until_reason(t, "chan receive");
		until(pages_below(t) == 0);
		T_EQ(weft_chan_send(c, &round), 0);
	}
	T_EQ(finish(t), 2);
	weft_chan_free(c);
	return 0;
}

/* A task that was deep in a call, and waits: its pages go, its frames stay, and it can go as deep again. */
TEST_WORKERS(pages_of_a_deep_call_go)
{
	needs_pages();
	T_EQ(run_quick(one_main, NULL), 0);
}

static int kinds_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 0);
	weft_task *t[2];

	(void)arg;
	T_EQ(weft_go_opts(&t[0], sleeper, c, &(weft_task_opts){.stack = 64 * 1024}), 0);
	T_EQ(weft_go_opts(&t[1], sleeper, c, &(weft_task_opts){.stack = 150 * 1024}), 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 2; i++) {
			until_reason(t[i], "chan receive");
			until(pages_below(t[i]) == 0);
		}
		T_EQ(weft_chan_send(c, &round), 0); /* first come, first served */
		T_EQ(weft_chan_send(c, &round), 0);
	}
	T_EQ(finish(t[0]), 2);
	T_EQ(finish(t[1]), 2);
	weft_chan_free(c);
	return 0;
}

/* --- all asleep --- */

struct asleep {
	weft_chan *c;
	weft_task *t;
	ATOMIC(bool) waits; /* the main task is about to; relaxed: seen again by its state */
	weft_task *main;
};

static int idle_main(void *arg)
{
	struct asleep *s = arg;
	int last = 2;

	s->main = weft_task_self();
	s->t = start(sleeper, s->c);
	until_reason(s->t, "chan receive");
	store_release(&s->waits, true); /* pairs with load_acquire in ends_idleness */
	T_EQ(weft_task_park(), 0);
	for (int i = 0; i <= last; i++)
		T_EQ(weft_chan_send(s->c, &i), 0);
	return finish(s->t) == last ? 0 : 1;
}

/* Looks on, from outside, and takes no part. */
static void *ends_idleness(void *arg)
{
	struct asleep *s = arg;

	until(load_acquire(&s->waits)); /* pairs with store_release in idle_main */
	until_parked(s->main);
	until(pages_below(s->t) == 0);
	weft_task_unpark(s->main);
	return NULL;
}

/* When nobody runs, it happens all the same, before the monitor sleeps; however long a wait would have to be otherwise. */
TEST_WORKERS(all_asleep)
{
	needs_pages();
	for (int i = 0; i < 2; i++) {
		struct asleep s = {.t = NULL};
		pthread_t th;

		s.c = weft_chan_make(sizeof(int), 0);
		T_EQ(pthread_create(&th, NULL, ends_idleness, &s), 0);
		T_EQ(run_with(idle_main, &s, i ? quick : (weft_opts){.trim_parked = 3600 * SEC, .no_deadlock = true}), 0);
		pthread_join(th, NULL);
		weft_chan_free(s.c);
	}
}

/* --- once a wait --- */

static int once_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 0);
	weft_task *first = start(sleeper, c), *second;

	(void)arg;
	until(trimmed() == 1);
	second = start(sleeper, c); /* noted by a pass, and dealt with by a later one: all of which see the first again */
	until(trimmed() == 2);
	until(pages_below(second) == 0);
	T_EQ(pages_below(first), 0);
	T_EQ(trimmed(), 2);
	for (int round = 0; round < 3; round++) {
		until_reason(first, "chan receive");
		until_reason(second, "chan receive");
		T_EQ(weft_chan_send(c, &round), 0);
		T_EQ(weft_chan_send(c, &round), 0);
	}
	finish(first);
	finish(second);
	weft_chan_free(c);
	return 0;
}

/* A wait is dealt with once, however long it takes. */
TEST_WORKERS(once_a_wait)
{
	needs_pages();
	T_EQ(run_quick(once_main, NULL), 0);
}

/* --- options --- */

static int is_every(void *arg)
{
	T_EQ(weft__rt->trim.every, *(int64_t *)arg); /* constant */
	T_EQ(trimmed(), 0);
	return 0;
}

/* The option, else the environment, else a while; negative, and 0 in the environment: never. Without membarrier: never. */
TEST(option_and_environment)
{
	int64_t usual = TRIM_PARKED_NS, hour = 3600 * SEC, never = 0;

	if (!weft__asym_on)
		tap_skip("there is no membarrier");
	unsetenv("WEFT_TRIM_PARKED");
	T_EQ(run_with(is_every, &usual, (weft_opts){.workers = 2}), 0);
	T_EQ(run_with(is_every, &hour, (weft_opts){.trim_parked = hour}), 0);
	T_EQ(run_with(is_every, &never, (weft_opts){.trim_parked = -1}), 0);
	setenv("WEFT_TRIM_PARKED", "3600000000000", 1);
	T_EQ(run_with(is_every, &hour, (weft_opts){.workers = 2}), 0);
	T_EQ(run_with(is_every, &never, (weft_opts){.trim_parked = -1}), 0);
	setenv("WEFT_TRIM_PARKED", "0", 1);
	T_EQ(run_with(is_every, &never, (weft_opts){.workers = 2}), 0);
	T_EQ(run_with(is_every, &hour, (weft_opts){.trim_parked = hour}), 0);
	unsetenv("WEFT_TRIM_PARKED");
	weft__asym_on = false; /* no other thread is up */
	T_EQ(run_with(is_every, &never, (weft_opts){.trim_parked = hour}), 0);
	weft__asym_on = true;
}

/* Passes are so far apart; where nobody has moved there is none; a pass before sleep comes when there is something new, and not too soon after the last. */
TEST(due)
{
	struct trim m = {.every = 0};
	int64_t last;

	if (!weft__asym_on)
		tap_skip("there is no membarrier");
	weft__trim_look(&m, SEC, SEC); /* off: nothing is touched */
	T_EQ(weft__trim_idle(&m, SEC), false);
	T_EQ(m.last, 0);
	T_EQ(weft__trim_up(&m, 0, INT64_MAX), 0);
	last = m.last;
	weft__trim_look(&m, INT64_MAX, SEC);
	T_EQ(m.last, last);
	weft__trim_down(&m);
	T_EQ(weft__trim_up(&m, 0, 5), 0);
	m.last = last = weft__clock_read() - SEC;
	weft__trim_look(&m, last + 4, SEC);
	T_EQ(m.last, last);
	weft__trim_look(&m, last + 5, 10 * SEC);
	T_GT(m.last, last);
	T_OK(!m.at && !m.again);
	last = m.last;
	weft__trim_look(&m, INT64_MAX, SEC);
	T_EQ(weft__trim_idle(&m, INT64_MAX), false);
	T_EQ(m.last, last);
	m.again = true;
	m.next = INT64_MAX;
	T_EQ(weft__trim_idle(&m, INT64_MAX - 1), false);
	T_EQ(m.last, last);
	T_OK(m.again);
	m.next = 0;
	T_EQ(weft__trim_idle(&m, weft__clock_read()), false);
	T_OK(m.last >= last && !m.again && m.next >= m.last);
	weft__trim_down(&m);
}

/* --- at the same moment --- */

#define WAITERS 12

struct storm {
	weft_chan *c[WAITERS];
	ATOMIC(bool) over;       /* tells the trimmer; relaxed */
	ATOMIC(uint32_t) ended;  /* waiters; relaxed: only the number counts */
	ATOMIC(uint64_t) passes; /* the trimmer's; relaxed: the same */
	long rounds;
};

/* Passes over the records as fast as it can: every wait is a long one. */
static void *trims(void *arg)
{
	struct storm *s = arg;
	struct trim m = {.every = 0};

	T_EQ(weft__trim_up(&m, 0, 1), 0);
	while (!load_relaxed(&s->over)) {
		m.again = true;
		weft__trim_look(&m, m.last + 1, SEC);
		add_relaxed(&s->passes, 1u);
	}
	weft__trim_down(&m);
	return NULL;
}

/* Waits at this depth, with frames above that must stay as they are. */
static NOINLINE int wait_at(weft_chan *c, unsigned depth, unsigned seed)
{
	volatile unsigned char frame[1500];
	int got = -1, rc;

	for (size_t i = 0; i < sizeof frame; i += 50)
		frame[i] = (unsigned char)(seed + i);
	if (depth) {
		rc = wait_at(c, depth - 1, seed + 1);
	} else {
		rc = weft_chan_recv(c, &got);
		T_OK(rc == WEFT_ECLOSED || got == 7);
	}
	for (size_t i = 0; i < sizeof frame; i += 50)
		T_EQ(frame[i], (unsigned char)(seed + i));
	return rc;
}

static void waits(struct storm *s, weft_chan *c)
{
	unsigned n = 0;
	int rc;

	do {
		go_deep(n);
		rc = wait_at(c, n % 9, n);
		n++;
	} while (rc == 0);
	T_EQ(rc, WEFT_ECLOSED);
	add_relaxed(&s->ended, 1u);
}

/* A foreign thread waits, too: nothing of it is given back. */
static void *outsider(void *arg)
{
	int got = 0;

	while (weft_chan_recv(arg, &got) == 0)
		T_EQ(got, 7);
	return NULL;
}

static int storm_main(void *arg)
{
	struct storm *s = arg;
	weft_chan *out = weft_chan_make(sizeof(int), 0);
	pthread_t th[2];
	int seven = 7;
	uint64_t enough;

	T_EQ(pthread_create(&th[0], NULL, trims, s), 0);
	if (tap_workers() > 1) /* else it would end elision */
		T_EQ(pthread_create(&th[1], NULL, outsider, out), 0);
	for (int i = 0; i < WAITERS; i++) {
		s->c[i] = weft_chan_make(sizeof(int), 0);
		T_EQ(weft_go(waits, s, s->c[i]), 0);
	}
	enough = (uint64_t)s->rounds;
	for (uint64_t i = 0; i < enough || load_relaxed(&s->passes) < 100; i++) {
		T_EQ(weft_chan_send(s->c[i % WAITERS], &seven), 0);
		if (i % 64 == 0 && tap_workers() > 1)
			T_EQ(weft_chan_send(out, &seven), 0);
	}
	for (int i = 0; i < WAITERS; i++)
		T_EQ(weft_chan_close(s->c[i]), 0);
	until(load_relaxed(&s->ended) == WAITERS);
	store_relaxed(&s->over, true);
	T_EQ(weft_chan_close(out), 0);
	pthread_join(th[0], NULL);
	if (tap_workers() > 1)
		pthread_join(th[1], NULL);
	for (int i = 0; i < WAITERS; i++)
		weft_chan_free(s->c[i]);
	weft_chan_free(out);
	return 0;
}

/* Tasks are woken while what they do not use is given back: they lose nothing. */
TEST_WORKERS(woken_at_the_same_moment)
{
	struct storm s = {.rounds = tap_iters(20000)};

	if (!weft__asym_on)
		tap_skip("there is no membarrier");
	T_EQ(run_quick(storm_main, &s), 0);
}

static int short_life(void *arg)
{
	(void)arg;
	go_deep(3);
	return weft_task_sleep(1);
}

static int lives_main(void *arg)
{
	struct storm *s = arg;
	pthread_t th;

	T_EQ(pthread_create(&th, NULL, trims, s), 0);
	for (long i = 0; i < s->rounds || load_relaxed(&s->passes) < 100; i++) {
		weft_task *t[8];

		for (size_t k = 0; k < ARRAY_LEN(t); k++)
			t[k] = start(short_life, NULL);
		for (size_t k = 0; k < ARRAY_LEN(t); k++)
			T_EQ(finish(t[k]), 0);
	}
	store_relaxed(&s->over, true);
	pthread_join(th, NULL);
	return 0;
}

/* Records and stacks become others' while somebody looks at them. */
TEST_WORKERS(records_used_again)
{
	struct storm s = {.rounds = tap_iters(300)};

	if (!weft__asym_on)
		tap_skip("there is no membarrier");
	T_EQ(run_quick(lives_main, &s), 0);
}

/* Stacks of other sizes, too. */
TEST_WORKERS(other_sizes)
{
	needs_pages();
	T_EQ(run_quick(kinds_main, NULL), 0);
}
