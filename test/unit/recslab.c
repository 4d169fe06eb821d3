/* SPDX-License-Identifier: MIT
 *
 * recslab.c - core/recslab.h: do records keep their sequences, their numbers and their place, whatever becomes of their slabs?
 */
#include "core/recslab.h"

#include "base/atomic.h"
#include "base/config.h"
#include "base/sanitizer.h"
#include "core/waitword.h"
#include "failpoint.h"
#include "kib.h"
#include "tap.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 5000, THREADS = 4, PLACES = RECORD_SLAB_SIZE / RECORD_SIZE };

/* A record as the pool's users have it: the pool knows two offsets. */
struct rec {
	uint64_t data[4];
	void *link;
	ATOMIC(uint64_t) wait;
	ATOMIC(uintptr_t) taken; /* who has it; walks look at it */
	char rest[RECORD_SIZE - 56];
};
_Static_assert(sizeof(struct rec) == RECORD_SIZE, "a record");

static struct rec *got[MANY];

static void init(void)
{
	T_EQ(weft__rec_init(offsetof(struct rec, wait), offsetof(struct rec, link)), 0);
}

static struct rec_stats stats(void)
{
	struct rec_stats st;

	weft__rec_stats(&st);
	return st;
}

static void get_many(int n)
{
	for (int i = 0; i < n;) {
		int k = weft__rec_get_batch((void **)&got[i], n - i);

		T_GT(k, 0);
		T_LE(k, n - i);
		i += k;
	}
}

static void put_many(int n)
{
	for (int i = 0; i < n; i += 50)
		weft__rec_put_batch((void **)&got[i], n - i < 50 ? n - i : 50);
}

static void check_nothing_left(void)
{
	T_EQ(stats().records_in_use, 0);
	weft__rec_trim();
	T_EQ(stats().slabs, stats().empty);
}

/* One wait of the record's, opened and closed. */
static uint64_t wait_once(struct rec *r)
{
	uint64_t word = wait_open(&r->wait, WAIT_OPEN);

	T_OK(wait_claim(&r->wait, word, WAIT_WOKEN));
	return word;
}

TEST(init_may_be_repeated_but_not_changed)
{
	init();
	init();
	T_EQ(weft__rec_init(8, 0), -EINVAL);
}

TEST(first_records_are_zeroed_and_closed)
{
	static const char zeros[RECORD_SIZE];

	init();
	get_many(MANY);
	for (int i = 0; i < MANY; i++) {
		uint64_t word = load_relaxed(&got[i]->wait);

		T_EQ((uintptr_t)got[i] % RECORD_SIZE, 0);
		T_OK(!wait_is_open(word));
		T_GT(wait_seq(word), 0);
		store_relaxed(&got[i]->wait, 0);
		T_EQ(memcmp(got[i], zeros, RECORD_SIZE), 0);
		store_relaxed(&got[i]->wait, word);
		memset(got[i]->rest, 0x11, sizeof got[i]->rest);
	}
	T_EQ(stats().records_in_use, MANY);
	put_many(MANY);
	check_nothing_left();
}

TEST(records_are_recycled_as_they_were)
{
	struct rec *r;

	init();
	T_EQ(weft__rec_get_batch((void **)&r, 1), 1);
	got[0] = r;
	r->data[0] = 42;
	wait_once(r);
	weft__rec_put_batch((void **)&r, 1);
	T_EQ(weft__rec_get_batch((void **)&r, 1), 1);
	T_EQ(r, got[0]);
	T_EQ(r->data[0], 42);
	T_EQ(wait_seq(load_relaxed(&r->wait)), 2);
	weft__rec_put_batch((void **)&r, 1);
	check_nothing_left();
}

/* Room for many is made in one piece, or not at all; then they come out of it. */
TEST(room_for_many)
{
	size_t slabs;

	init();
	T_EQ(weft__rec_room(1), 0);
	T_GE(stats().slabs, 1);
	slabs = stats().slabs;
	T_EQ(weft__rec_room(1), 0);
	T_EQ(stats().slabs, slabs); /* it is there */
	failpoint_arm(1);
	T_EQ(weft__rec_room(MANY), -ENOMEM);
	T_EQ(failpoint_disarm(), 1);
	T_EQ(stats().slabs, slabs);
	T_EQ(weft__rec_room(SIZE_MAX / RECORD_SIZE), -ENOMEM);
	T_EQ(stats().slabs, slabs);
	T_EQ(weft__rec_room(MANY), 0);
	slabs = stats().slabs;
	T_GE(slabs * (PLACES - 1), MANY);
	T_LT((slabs - 2) * (PLACES - 1), MANY);
	get_many(MANY);
	T_EQ(stats().slabs, slabs);
	T_EQ(weft__rec_room(slabs * (PLACES - 1) - MANY), 0);
	T_EQ(stats().slabs, slabs); /* what has been taken is not counted, what is left is */
	T_EQ(weft__rec_room(slabs * (PLACES - 1) - MANY + 1), 0);
	T_EQ(stats().slabs, slabs + 1);
	put_many(MANY);
	weft__rec_trim();
	T_EQ(weft__rec_room(MANY), 0); /* slabs without memory count */
	T_EQ(stats().slabs, slabs + 1);
	check_nothing_left();
}

TEST_DIES(put_back_too_often_dies, "broken invariant")
{
	struct rec *r;

	init();
	T_EQ(weft__rec_get_batch((void **)&r, 1), 1);
	weft__rec_put_batch((void **)&r, 1);
	weft__rec_put_batch((void **)&r, 1);
}

TEST(numbers_and_records_name_each_other)
{
	init();
	get_many(MANY);
	T_EQ(weft__rec_at(0), NULL);
	for (int i = 0; i < MANY; i++) {
		uint32_t n = rec_index(got[i]);

		T_GT(n, 0);
		T_LT(n, 2 * MANY + PLACES); /* dense */
		T_EQ(weft__rec_at(n), got[i]);
	}
	T_EQ(weft__rec_at((uint32_t)stats().slabs * PLACES + 1), NULL);
	T_EQ(weft__rec_at(UINT32_MAX), NULL);
	put_many(MANY);
	check_nothing_left();
	T_EQ(weft__rec_at(rec_index(got[7])), got[7]); /* without memory it still has its number */
}

/* Memory goes and comes; no record's sequence is ever seen lower, or the same again. */
TEST(sequence_never_goes_back)
{
	static uint64_t last[2 * MANY + PLACES];

	init();
	for (int round = 0; round < 10; round++) {
		get_many(MANY);
		for (int i = 0; i < MANY; i++) {
			uint32_t n = rec_index(got[i]);

			T_GE(wait_seq(load_relaxed(&got[i]->wait)), last[n]);
			if (i % 7 == 0) {
				for (int k = 0; k < 5 + i % 3; k++)
					wait_once(got[i]);
			}
			last[n] = wait_seq(wait_once(got[i]));
		}
		put_many(MANY);
		if (round % 3 == 1)
			for (int i = 0; i < 3; i++)
				weft__rec_decay();
		else if (round % 3 == 2)
			check_nothing_left();
	}
	check_nothing_left();
}

/* A claim that comes after its record was recycled, given back, and recycled again fails, and finds memory each time. */
TEST(late_claim_fails)
{
	static uint64_t old[MANY];

	init();
	get_many(MANY);
	for (int i = 0; i < MANY; i++)
		old[i] = wait_once(got[i]);
	put_many(MANY);
	for (int i = 0; i < MANY; i++)
		T_OK(!wait_claim(&got[i]->wait, old[i], WAIT_CANCELED));
	check_nothing_left();
	for (int i = 0; i < MANY; i++)
		T_OK(!wait_claim(&got[i]->wait, old[i], WAIT_CANCELED));
	get_many(MANY);
	for (int i = 0; i < MANY; i++) {
		uint64_t word = wait_open(&got[i]->wait, WAIT_OPEN);

		for (int k = 0; k < 3; k++)
			T_OK(!wait_claim(&got[i]->wait, old[(i + k) % MANY], WAIT_CANCELED));
		T_OK(wait_claim(&got[i]->wait, word, WAIT_WOKEN));
	}
	put_many(MANY);
	check_nothing_left();
}

/* Not touched for two intervals: given back. Needed at each interval's peak: kept. */
TEST(decay_keeps_the_watermark)
{
	size_t slabs;

	init();
	get_many(MANY);
	put_many(MANY);
	T_EQ(weft__rec_decay(), REC_DECAY_LATER);
	T_EQ(stats().empty, 0);
	weft__rec_decay();
	T_EQ(stats().empty, 0);
	T_EQ(weft__rec_decay(), REC_DECAY_DONE);
	T_EQ(stats().empty, stats().slabs);
	slabs = stats().slabs;
	for (int i = 0; i < 8; i++) {
		get_many(MANY / 2);
		T_EQ(stats().slabs, slabs); /* given-back slabs are used before new ones are mapped */
		put_many(MANY / 2);
		weft__rec_decay();
		T_GE((stats().slabs - stats().empty) * (PLACES - 1), MANY / 2);
	}
	T_LE((stats().slabs - stats().empty) * (PLACES - 1), MANY / 2 + PLACES);
	check_nothing_left();
}

/* ---- Walks ---- */

struct census {
	long seen, taken, stop_at;
};

static bool count(void *rec, void *arg)
{
	struct census *c = arg;

	c->seen++;
	c->taken += load_relaxed(&((struct rec *)rec)->taken) != 0;
	return c->seen != c->stop_at;
}

TEST(foreach_visits_what_was_handed_out)
{
	struct census c = {0};

	init();
	weft__rec_foreach(count, &c);
	T_EQ(c.seen, 0);
	get_many(MANY);
	for (int i = 0; i < MANY; i++)
		store_relaxed(&got[i]->taken, 1);
	weft__rec_foreach(count, &c);
	T_EQ(c.seen, MANY);
	T_EQ(c.taken, MANY);
	c = (struct census){.stop_at = 10};
	weft__rec_foreach(count, &c);
	T_EQ(c.seen, 10);
	for (int i = 0; i < MANY; i++)
		store_relaxed(&got[i]->taken, 0);
	put_many(MANY);
	c = (struct census){0};
	weft__rec_foreach(count, &c);
	T_EQ(c.taken, 0);
	check_nothing_left();
	c = (struct census){0};
	weft__rec_foreach(count, &c);
	T_EQ(c.seen, 0);
}

static ATOMIC(int) stop;
static long rounds; /* constant while threads run */

static void *churn(void *arg)
{
	struct rec *r[100];
	unsigned x = (unsigned)(uintptr_t)arg;

	for (long k = 0; k < rounds; k++) {
		int n = weft__rec_get_batch((void **)r, 1 + (int)((x = x * 1103515245 + 12345) >> 16) % 100);

		T_GT(n, 0);
		for (int i = 0; i < n; i++) {
			uintptr_t none = 0;

			T_OK(cas_acquire(&r[i]->taken, &none, (uintptr_t)arg));
			T_EQ(weft__rec_at(rec_index(r[i])), r[i]);
			wait_once(r[i]);
		}
		for (int i = 0; i < n; i++) {
			T_EQ(load_relaxed(&r[i]->taken), (uintptr_t)arg);
			store_relaxed(&r[i]->taken, 0);
		}
		weft__rec_put_batch((void **)r, n);
	}
	return NULL;
}

static void *decay_always(void *arg)
{
	(void)arg;
	while (!load_relaxed(&stop)) {
		weft__rec_decay();
		weft__rec_trim();
	}
	return NULL;
}

static void *walk_always(void *arg)
{
	(void)arg;
	while (!load_relaxed(&stop)) {
		struct census c = {0};

		weft__rec_foreach(count, &c);
		T_LE(c.taken, THREADS * 100 + (long)stats().records_in_use + 1000);
	}
	return NULL;
}

/* Four threads get and put, one gives back under their hands, one walks: nobody shares a record. */
TEST(threads_share_the_pool)
{
	pthread_t t[THREADS], d, w;

	init();
	rounds = tap_iters(5000);
	T_EQ(pthread_create(&d, NULL, decay_always, NULL), 0);
	T_EQ(pthread_create(&w, NULL, walk_always, NULL), 0);
	for (intptr_t i = 0; i < THREADS; i++)
		T_EQ(pthread_create(&t[i], NULL, churn, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	store_relaxed(&stop, 1);
	pthread_join(d, NULL);
	pthread_join(w, NULL);
	check_nothing_left();
}

/* ---- Failures ---- */

TEST(failures_leak_nothing)
{
	init();
	for (long n = 1;; n++) {
		struct rec *r = NULL;
		struct rec_stats before = stats();
		int rc;

		get_many((int)(before.slabs * (PLACES - 1))); /* the next one needs a new slab */
		failpoint_arm(n);
		rc = weft__rec_get_batch((void **)&r, 1);
		failpoint_disarm();
		if (rc == -ENOMEM) {
			T_OK(failpoint_fired());
			T_EQ(stats().slabs, before.slabs);
		} else {
			T_EQ(rc, 1);
			weft__rec_put_batch((void **)&r, 1);
		}
		put_many((int)(before.slabs * (PLACES - 1)));
		check_nothing_left();
		if (!failpoint_fired())
			break;
		T_LT(n, 20);
	}
}

/* ---- A million ---- */

/* Afterwards little more than a page a slab is left. */
TEST(million_records)
{
	static struct rec *all[1000000];
	long n = sizeof all / sizeof *all, before, full;

	if (weft__san || RECORD_SLAB_SIZE < 256 * 1024)
		tap_skip("plain builds only");
	init();
	memset(all, 1, sizeof all); /* count the array before */
	before = status_kib("VmRSS");
	for (long i = 0; i < n;) {
		int k = weft__rec_get_batch((void **)&all[i], n - i < 32 ? (int)(n - i) : 32);

		T_GT(k, 0);
		i += k;
	}
	for (long i = 0; i < n; i++)
		all[i]->data[0] = 1;
	full = status_kib("VmRSS");
	for (long i = 0; i < n; i += 32)
		weft__rec_put_batch((void **)&all[i], n - i < 32 ? (int)(n - i) : 32);
	for (int i = 0; i < 3; i++)
		weft__rec_decay();
	if (full - before < 200 * 1024)
		tap_skip("VmRSS is not told here");
	tap_note("RSS before %ld, full %ld, after %ld KiB", before, full, status_kib("VmRSS"));
	T_LT(status_kib("VmRSS") - before, (long)stats().slabs * 4 + 8192);
	check_nothing_left();
}
