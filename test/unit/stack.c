/* SPDX-License-Identifier: MIT
 *
 * stack.c - core/stack.h, core/guard.h: is every stack guarded, found again by address, reused while hot, and its memory given back?
 *
 * Guards are asked through write(2), which refuses memory that would fault: no signal handler is needed.
 */
#include "core/stack.h"

#include "base/atomic.h"
#include "base/sanitizer.h"
#include "dumped.h"
#include "failpoint.h"
#include "kib.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 1000, THREADS = 4 };

static struct stack *got[MANY];

static bool readable(const void *p)
{
	int fd[2];
	ssize_t n;

	T_EQ(pipe(fd), 0);
	n = write(fd[1], p, 1);
	close(fd[0]);
	close(fd[1]);
	return n == 1;
}

static struct stack_stats stats(void)
{
	struct stack_stats st;

	weft__stack_stats(&st);
	return st;
}

/* Everything came back: nothing is out, and a trim leaves no mapping. */
static void check_nothing_left(void)
{
	T_EQ(stats().in_use, 0);
	weft__stack_trim();
	T_EQ(stats().slabs, 0);
	T_EQ(stats().mapped, 0);
	T_EQ(stats().stacks, 0);
	T_EQ(stats().pooled, 0);
	T_EQ(weft__guard_spent(), 0);
}

static void decay(void)
{
	while (weft__stack_decay() == STACK_DECAY_NOW)
		;
}

static void get_many(int n)
{
	for (int i = 0; i < n; i++)
		T_EQ(weft__stack_get(STACK_DEFAULT, &got[i]), 0);
}

static void put_many(int n)
{
	for (int i = 0; i < n; i++)
		weft__stack_put(got[i]);
}

static long count_lines(const char *file)
{
	int fd = open(file, O_RDONLY);
	char buf[4096];
	long n = 0;
	ssize_t r;

	T_GE(fd, 0);
	while ((r = read(fd, buf, sizeof buf)) > 0) {
		for (ssize_t i = 0; i < r; i++)
			n += buf[i] == '\n';
	}
	close(fd);
	return n;
}

/* The guard's highest and lowest byte fault, the usable bytes do not; both kinds of guard. */
static void check_guard(const struct stack *s)
{
	T_OK(!readable(s->lo - 1));
	T_OK(!readable(s->lo - STACK_GUARD));
	T_OK(readable(s->lo));
	T_OK(readable(s->hi - 1));
}

TEST(guard_faults_from_end_to_end)
{
	get_many(70);
	for (int i = 0; i < 70; i++)
		check_guard(got[i]);
	put_many(70);
	check_nothing_left();
}

/* Sizes are rounded up, and every byte is there to use. */
TEST(usable_bytes_are_writable)
{
	static const size_t sizes[] = {STACK_MIN, 64 * 1024, 64 * 1024 + 1, STACK_DEFAULT, STACK_DEFAULT + 1, 1 << 20, 20 << 20};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct stack *s;

		T_EQ(weft__stack_get(sizes[i], &s), 0);
		T_GE(s->hi - s->lo, sizes[i]);
		T_EQ((uintptr_t)s->lo % 4096, 0);
		T_EQ((uintptr_t)s->hi % 4096, 0);
		T_EQ(weft__stack_is_default(s), sizes[i] > 64 * 1024 && sizes[i] <= STACK_DEFAULT);
		memset(s->lo, 0x5a, (size_t)(s->hi - s->lo));
		check_guard(s);
		weft__stack_put(s);
	}
	check_nothing_left();
}

TEST(sizes_out_of_range_are_refused)
{
	struct stack *s;

	T_EQ(weft__stack_get(0, &s), -EINVAL);
	T_EQ(weft__stack_get(STACK_MIN - 1, &s), -EINVAL);
	T_EQ(weft__stack_get((size_t)STACK_MAX + 1, &s), -EINVAL);
	T_EQ(weft__stack_get(SIZE_MAX, &s), -EINVAL);
	T_EQ(weft__stack_get((size_t)STACK_MAX, &s), 0); /* address space only */
	check_guard(s);
	weft__stack_put(s);
	check_nothing_left();
}

TEST(neighbours_have_different_colours)
{
	unsigned used = 0;

	get_many(64);
	for (int i = 0; i < 64; i++) {
		T_EQ(got[i]->colour % 64, 0);
		T_LT(got[i]->colour, STACK_COLOURS * 64);
		used |= 1u << got[i]->colour / 64;
		for (int j = 0; j < i; j++) {
			if (got[i]->lo == got[j]->hi + STACK_GUARD)
				T_NE(got[i]->colour, got[j]->colour);
		}
	}
	T_EQ(used, (1u << STACK_COLOURS) - 1);
	put_many(64);
	check_nothing_left();
}

/* The stack that was put back last is the one whose memory is warm. */
TEST(pool_hands_out_the_hottest)
{
	struct stack *a, *b, *s;

	T_EQ(weft__stack_get(STACK_DEFAULT, &a), 0);
	T_EQ(weft__stack_get(STACK_DEFAULT, &b), 0);
	weft__stack_put(b);
	weft__stack_put(a);
	T_EQ(weft__stack_get(STACK_DEFAULT, &s), 0);
	T_EQ(s, a);
	T_EQ(weft__stack_get(STACK_DEFAULT, &s), 0);
	T_EQ(s, b);
	weft__stack_put(a);
	weft__stack_put(b);
	check_nothing_left();
}

/* Last in, first out; what overflows goes to the pool and comes back from there; none is lost. */
TEST(cache_is_last_in_first_out)
{
	struct stack_cache c = {0};
	int n = 3 * STACK_CACHE;

	for (int i = 0; i < n; i++)
		T_EQ(stack_cache_get(&c, &got[i]), 0);
	T_EQ(stats().in_use, n + c.n);
	for (int i = 0; i < n; i++)
		stack_cache_put(&c, got[i]);
	T_LE(c.n, STACK_CACHE);
	T_EQ(stats().in_use, c.n);
	for (int i = n - 1; i >= 0; i--) {
		struct stack *s;

		T_EQ(stack_cache_get(&c, &s), 0);
		T_EQ(s, got[i]);
		T_EQ(s->owner, NULL);
	}
	for (int i = 0; i < n; i++)
		stack_cache_put(&c, got[i]);
	weft__stack_cache_drain(&c);
	T_EQ(c.n, 0);
	check_nothing_left();
}

TEST_DIES(put_back_twice_dies, "broken invariant")
{
	struct stack *s;

	T_EQ(weft__stack_get(STACK_DEFAULT, &s), 0);
	weft__stack_put(s);
	weft__stack_put(s);
}

/* Nothing is needed after a burst: the third interval unmaps all. The first two do not touch what was just put back. */
TEST(decay_unmaps_what_is_not_needed)
{
	get_many(MANY);
	for (int i = 0; i < MANY; i++)
		got[i]->hi[-1] = 1;
	put_many(MANY);
	T_EQ(weft__stack_decay(), STACK_DECAY_LATER);
	T_EQ(stats().pooled, MANY);
	decay();
	T_EQ(stats().pooled, MANY);
	decay();
	T_EQ(stats().slabs, 0);
	T_EQ(weft__stack_decay(), STACK_DECAY_DONE);
	check_nothing_left();
}

/* What every interval needs at its peak stays, however long the load lasts, and no new memory is asked for. */
TEST(decay_keeps_the_watermark)
{
	size_t slabs;

	get_many(MANY);
	put_many(MANY);
	for (int i = 0; i < 6; i++) {
		get_many(100);
		put_many(100);
		decay();
	}
	T_GE(stats().pooled, 100);
	T_LT(stats().pooled, 200);
	slabs = stats().slabs;
	T_LE(slabs, 100 / STACK_SLAB_SLOTS + 2);
	for (int i = 0; i < 6; i++) {
		get_many(100);
		T_EQ(stats().slabs, slabs);
		put_many(100);
		decay();
	}
	check_nothing_left();
}

static size_t resident(const char *from, const char *to)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0, pages = (size_t)(to - from) / page;
	unsigned char *vec = calloc(1, pages);

	T_OK(vec);
	T_EQ(mincore((void *)(uintptr_t)from, (size_t)(to - from), vec), 0);
	for (size_t i = 0; i < pages; i++)
		n += vec[i] & 1;
	free(vec);
	return n * page;
}

/* A slab that is pinned by one stack in use: its free stacks lose first what lies deep, then all, and their guards stay. */
TEST(decay_drops_pages_of_pinned_slabs)
{
	struct stack *pin, *s;
	char *lo, *hi;

	T_EQ(weft__stack_get(STACK_DEFAULT, &pin), 0);
	T_EQ(weft__stack_get(STACK_DEFAULT, &s), 0);
	memset(pin->lo, 1, (size_t)(pin->hi - pin->lo));
	memset(s->lo, 1, (size_t)(s->hi - s->lo));
	if (resident(s->lo, s->hi) != (size_t)(s->hi - s->lo))
		tap_skip("mincore does not tell the truth here");
	lo = s->lo;
	hi = s->hi;
	weft__stack_put(s);
	decay();
	T_EQ(resident(lo, hi), hi - lo);
	decay();
	if (resident(lo, hi) == (size_t)(hi - lo))
		tap_skip("MADV_DONTNEED or mincore is not real here");
	T_EQ(resident(lo, hi), STACK_TRIM_KEEP);
	T_EQ(hi[-1], 1);
	decay();
	T_EQ(resident(lo, hi), 0);
	T_EQ(stats().pooled, 0);
	T_EQ(resident(pin->lo, pin->hi), pin->hi - pin->lo);
	T_EQ(weft__stack_get(STACK_DEFAULT, &s), 0);
	T_EQ(s->lo, lo);
	check_guard(s);
	weft__stack_put(s);
	weft__stack_put(pin);
	check_nothing_left();
}

/* Cold slots come from the fullest slab, so that slabs nearly empty can be unmapped. */
TEST(fullest_slab_is_filled_first)
{
	enum { SLABS = 8 };
	struct stack *s;
	int n = SLABS * STACK_SLAB_SLOTS;

	T_LE(n, MANY);
	get_many(n);
	/* Of each slab one stack stays out, but of the first all but one. */
	for (int i = 0; i < n; i++) {
		bool keep = got[i]->slab == got[0]->slab ? i != 1 : i % STACK_SLAB_SLOTS == 0;

		if (!keep) {
			weft__stack_put(got[i]);
			got[i] = NULL;
		}
	}
	for (int i = 0; i < 3; i++)
		decay();
	T_EQ(stats().slabs, SLABS);
	T_EQ(stats().pooled, 0);
	T_EQ(weft__stack_get(STACK_DEFAULT, &s), 0);
	T_EQ(s->slab, got[0]->slab);
	weft__stack_put(s);
	for (int i = 0; i < n; i++) {
		if (got[i])
			weft__stack_put(got[i]);
	}
	check_nothing_left();
}

/* Every byte of a slot finds its stack; what is not a slot, or no more, finds none. */
TEST(find_knows_slots_and_guards)
{
	int here;
	bool in_guard;
	struct stack *big;
	char *lo;

	get_many(200);
	T_EQ(weft__stack_get(3 << 20, &big), 0);
	for (int i = 0; i < 200; i++) {
		T_EQ(weft__stack_find(got[i]->lo, &in_guard), got[i]);
		T_OK(!in_guard);
		T_EQ(weft__stack_find(got[i]->hi - 1, &in_guard), got[i]);
		T_OK(!in_guard);
		T_EQ(weft__stack_find(got[i]->lo - 1, &in_guard), got[i]);
		T_OK(in_guard);
		T_EQ(weft__stack_find(got[i]->lo - STACK_GUARD, &in_guard), got[i]);
		T_OK(in_guard);
	}
	T_EQ(weft__stack_find(big->lo + (1 << 20), &in_guard), big);
	T_EQ(weft__stack_find(NULL, &in_guard), NULL);
	T_EQ(weft__stack_find((void *)~(uintptr_t)0, &in_guard), NULL);
	T_EQ(weft__stack_find(&here, &in_guard), NULL);
	T_OK(!in_guard);
	lo = got[0]->lo;
	weft__stack_put(big);
	put_many(200);
	check_nothing_left();
	T_EQ(weft__stack_find(lo, &in_guard), NULL);
}

/* ---- Threads ---- */

static ATOMIC(int) stop;
static long rounds; /* constant while threads run */

static void *churn(void *arg)
{
	struct stack_cache c = {0};
	struct stack *s[50];
	unsigned x = (unsigned)(uintptr_t)arg;

	for (long r = 0; r < rounds; r++) {
		int n = 1 + (int)((x = x * 1103515245 + 12345) >> 16) % 50;

		for (int i = 0; i < n; i++) {
			bool in_guard;

			T_EQ(i % 5 ? stack_cache_get(&c, &s[i]) : weft__stack_get(i % 2 ? 64 * 1024 : STACK_DEFAULT, &s[i]), 0);
			T_EQ(s[i]->owner, NULL);
			s[i]->owner = arg;
			*(void *volatile *)(void *)(s[i]->hi - 64) = arg;
			if (i % 16 == 0)
				T_EQ(weft__stack_find(s[i]->lo - 8, &in_guard), s[i]);
		}
		for (int i = 0; i < n; i++) {
			T_EQ(s[i]->owner, arg);
			T_EQ(*(void *volatile *)(void *)(s[i]->hi - 64), arg);
			s[i]->owner = NULL;
			if (weft__stack_is_default(s[i]) && i % 3)
				stack_cache_put(&c, s[i]);
			else
				weft__stack_put(s[i]);
		}
		if (r % 64 == 0)
			weft__stack_cache_drain(&c);
	}
	weft__stack_cache_drain(&c);
	return NULL;
}

static void *decay_always(void *arg)
{
	while (!load_relaxed(&stop)) {
		weft__stack_decay();
		if (arg)
			weft__stack_trim();
	}
	return NULL;
}

/* Four threads get and put, two give back under their hands: nobody shares a stack, look-ups hold, nothing is lost. */
TEST(threads_share_the_pool)
{
	pthread_t t[THREADS], d[2];

	rounds = tap_iters(2000);
	for (int i = 0; i < 2; i++)
		T_EQ(pthread_create(&d[i], NULL, decay_always, i ? &stop : NULL), 0);
	for (intptr_t i = 0; i < THREADS; i++)
		T_EQ(pthread_create(&t[i], NULL, churn, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	store_relaxed(&stop, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(d[i], NULL);
	check_nothing_left();
}

/* ---- The other kind of guard ---- */

/* WEFT_NO_GUARD_MADVISE=1: guards by mprotect, budget given back with the mappings. */
TEST(fallback_guards_by_mprotect)
{
	setenv("WEFT_NO_GUARD_MADVISE", "1", 1);
	get_many(MANY);
	T_EQ(weft__guard_kind(), GUARD_MPROTECT);
	T_EQ(weft__guard_spent(), MANY);
	for (int i = 0; i < MANY; i += 50)
		check_guard(got[i]);
	put_many(MANY);
	get_many(MANY);
	T_EQ(weft__guard_spent(), MANY);
	put_many(MANY);
	for (int i = 0; i < 3; i++)
		decay();
	T_EQ(weft__guard_spent(), 0);
	check_nothing_left();
}

/* What weft prints while fn runs, up to size bytes. */
static struct stack *chain; /* many stacks, linked through their own top */

static struct stack **top_of(struct stack *s)
{
	return (struct stack **)(void *)(s->hi - 64);
}

static void put_chain(void)
{
	while (chain) {
		struct stack *s = chain;

		chain = *top_of(s);
		weft__stack_put(s);
	}
}

static void exhaust(void)
{
	struct stack *s;
	size_t n = 0;
	int rc;

	while ((rc = weft__stack_get(STACK_DEFAULT, &s)) == 0) {
		*top_of(s) = chain;
		chain = s;
		if (++n > weft__guard_budget())
			T_FAIL("%zu stacks beyond a budget of %zu", n, weft__guard_budget());
	}
	T_EQ(rc, -ENOMEM);
	T_EQ(weft__stack_get(STACK_DEFAULT, &s), -ENOMEM);
	T_EQ(n, weft__guard_budget());
	T_EQ(stats().in_use, n);
}

/* Without madvise guards the budget ends it: an error, one line that says why, and all can be had again later. */
TEST(budget_of_mappings_is_kept)
{
	char *said, *once;

	setenv("WEFT_NO_GUARD_MADVISE", "1", 1);
	tap_limit(120);
	if (weft__guard_budget() > 100000)
		tap_skip("vm.max_map_count allows %zu stacks", weft__guard_budget());
	hear();
	exhaust();
	said = heard_text();
	T_STR_HAS(said, "vm.max_map_count");
	once = strstr(said, "out of guarded stacks");
	T_OK(once);
	T_EQ(strstr(once + 1, "out of guarded stacks"), NULL);
	free(said);
	T_LT(count_lines("/proc/self/maps"), (long)(weft__guard_budget() * 2 + 4000));
	put_chain();
	check_nothing_left();
	get_many(10);
	put_many(10);
	check_nothing_left();
}

/* Room for a slab, and for what is mapped with it. */
#define SLAB_AT_MOST (2 * STACK_SLAB_SLOTS * (STACK_DEFAULT + STACK_GUARD + STACK_SKEW))

/* Locked memory refuses madvise guards: those slabs get the other kind. */
TEST(locked_memory_falls_back)
{
	void *room;

	if (weft__san)
		tap_skip("sanitizers take no mlockall");
	if (weft__guard_kind() != GUARD_MADVISE)
		tap_skip("guards are by mprotect anyway");
	if (mlockall(MCL_FUTURE | MCL_ONFAULT))
		tap_skip("mlockall: %s", strerror(errno));
	room = mmap(NULL, SLAB_AT_MOST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED)
		tap_skip("so much memory may not be locked: %s", strerror(errno));
	munmap(room, SLAB_AT_MOST);
	get_many(5);
	for (int i = 0; i < 5; i++)
		check_guard(got[i]);
	T_EQ(weft__guard_spent(), 5);
	put_many(5);
	check_nothing_left();
}

/* ... also from where on a slab is locked. */
TEST(partly_locked_memory_falls_back)
{
	if (weft__san)
		tap_skip("sanitizers take no mlock");
	if (weft__guard_kind() != GUARD_MADVISE)
		tap_skip("guards are by mprotect anyway");
	get_many(1);
	T_EQ(weft__guard_spent(), 0);
	if (mlock2(got[0]->hi, STACK_DEFAULT + STACK_GUARD, MLOCK_ONFAULT)) /* the next one's place */
		tap_skip("mlock2: %s", strerror(errno));
	T_EQ(weft__stack_get(STACK_DEFAULT, &got[1]), 0);
	T_EQ(weft__guard_spent(), 1);
	for (int i = 0; i < 2; i++)
		check_guard(got[i]);
	put_many(2);
	check_nothing_left();
}

/* ---- Failures ---- */

/* Whichever call fails, the request fails or is served, and nothing is left behind. */
static void fail_each_once(size_t usable)
{
	for (long n = 1;; n++) {
		struct stack_cache c = {0};
		struct stack *s;
		int rc;
		bool fired;

		failpoint_arm(n);
		rc = usable ? weft__stack_get(usable, &s) : stack_cache_get(&c, &s);
		failpoint_disarm();
		fired = failpoint_fired();
		if (!fired)
			T_EQ(rc, 0);
		if (rc == 0) {
			check_guard(s);
			weft__stack_put(s);
			weft__stack_cache_drain(&c);
		} else {
			T_EQ(rc, -ENOMEM);
		}
		check_nothing_left();
		if (!fired)
			break;
		T_LT(n, 100);
	}
}

static void fail_each(size_t usable)
{
	long maps;

	fail_each_once(usable); /* maps the arena, which stays */
	maps = count_lines("/proc/self/maps");
	fail_each_once(usable);
	if (!weft__san) /* they map memory of their own */
		T_LE(count_lines("/proc/self/maps"), maps);
}

TEST(failures_leak_nothing)
{
	fail_each(STACK_DEFAULT);
	fail_each(64 * 1024);
	fail_each(4 << 20);
	fail_each(0);
}

TEST(failures_of_the_fallback_leak_nothing)
{
	setenv("WEFT_NO_GUARD_MADVISE", "1", 1);
	fail_each(STACK_DEFAULT);
	fail_each(4 << 20);
	fail_each(0);
}

/* Giving back is allowed to fail: then it gives back less. */
TEST(failures_while_decaying_lose_nothing)
{
	for (long n = 1;; n++) {
		get_many(70);
		put_many(69);
		failpoint_arm_all(n);
		for (int i = 0; i < 4; i++)
			decay();
		failpoint_disarm();
		weft__stack_put(got[69]);
		check_nothing_left();
		if (!failpoint_fired())
			break;
		T_LT(n, 1000);
	}
}

/* ---- A million ---- */

/* With guards and a page each, in few mappings; one of them is found; afterwards the memory, page tables included, is given back. */
/* Those in quarantine are given out last of all, the oldest first. */
TEST(quarantine_ends_when_there_is_no_other)
{
	struct stack *s[2], *large;
	int n = 0;

	T_EQ(weft__stack_get(1024 * 1024, &large), 0);
	for (int i = 0; i < 2; i++)
		T_EQ(weft__stack_get(STACK_DEFAULT, &s[i]), 0);
	weft__stack_quarantine(large);
	weft__stack_quarantine(s[1]);
	weft__stack_quarantine(s[0]);
	failpoint_arm_all(1);
	do
		T_EQ(weft__stack_get(STACK_DEFAULT, &got[n]), 0);
	while (got[n++] != s[1]);
	T_EQ(weft__stack_get(STACK_DEFAULT, &got[n]), 0);
	T_OK(got[n++] == s[0]);
	T_EQ(weft__stack_get(STACK_DEFAULT, &got[n]), -ENOMEM);
	failpoint_disarm();
	T_EQ(stats().quarantined, 0);
	while (n > 0)
		weft__stack_put(got[--n]);
	check_nothing_left();
}

/* But for the last one. */
TEST(quarantine_is_bounded_in_bytes)
{
	struct stack *s;

	for (int i = 0; i < 3; i++) {
		T_EQ(weft__stack_get(STACK_QUARANTINE_BYTES / 2, &s), 0);
		weft__stack_quarantine(s);
		T_EQ(stats().quarantined, 1);
	}
	for (int i = 0; i < 2; i++) {
		T_EQ(weft__stack_get(STACK_QUARANTINE_BYTES * 2, &s), 0);
		weft__stack_quarantine(s);
		T_EQ(stats().quarantined, 1);
	}
	weft__stack_release();
	check_nothing_left();
}

TEST(million_stacks)
{
	long n = 1000000, maps, kib;
	struct stack *s, *some = NULL;
	bool in_guard;

	if (weft__san || tap_slow() > 1 || STACK_SLAB_SLOTS < 64)
		tap_skip("plain builds only");
	if (weft__guard_kind() != GUARD_MADVISE)
		tap_skip("guards by mprotect do not go that far");
	if (available_kib() < 6L << 20)
		tap_skip("needs 6 GiB of free memory, has %ld MiB", available_kib() >> 10);
	tap_limit(180);
	for (long i = 0; i < n; i++) {
		T_EQ(weft__stack_get(STACK_DEFAULT, &s), 0);
		*top_of(s) = chain;
		chain = s;
		if (i == 666666)
			some = s;
	}
	maps = count_lines("/proc/self/maps");
	tap_note("%ld stacks: %ld mappings, RSS %ld MiB, page tables %ld MiB", n, maps, status_kib("VmRSS") >> 10,
		 status_kib("VmPTE") >> 10);
	T_LT(maps, 20000);
	T_EQ(weft__stack_find(some->lo - 1, &in_guard), some);
	T_OK(in_guard);
	check_guard(some);
	put_chain();
	for (int i = 0; i < 3; i++)
		decay();
	T_EQ(stats().slabs, 0);
	kib = status_kib("VmRSS") + status_kib("VmPTE");
	tap_note("after three intervals: RSS %ld KiB, page tables %ld KiB", status_kib("VmRSS"), status_kib("VmPTE"));
	T_LT(kib, 50 * 1024);
	check_nothing_left();
}
