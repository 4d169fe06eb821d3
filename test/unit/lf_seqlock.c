/* SPDX-License-Identifier: MIT
 *
 * lf_seqlock.c - weft/lf/seqlock.h: no reader accepts a torn record, nothing that writers did is lost; weft/lf/flag.h: one raises it at a time.
 */
#include "weft/lf/seqlock.h"

#include "tap.h"
#include "weft/lf/flag.h"
#include <pthread.h>
#include <sched.h>

#define THREADS 4

/* Of a size that is no multiple of a word; every member says the same number. */
struct record {
	uint64_t n, minus;
	uint32_t low;
	char byte[3];
};

static struct weft_seqlock lock;
static weft_seqlock_word words[WEFT_SEQLOCK_WORDS(struct record)];
static WEFT_ATOMIC(int) ended;
static WEFT_ATOMIC(long) reads;

static struct record record(uint64_t n)
{
	return (struct record){n, -n, (uint32_t)n, {(char)n, (char)(n >> 8), (char)(n >> 16)}};
}

static void check(const struct record *r)
{
	T_EQ(r->minus, -r->n);
	T_EQ(r->low, (uint32_t)r->n);
	T_EQ(r->byte[0], (char)r->n);
	T_EQ(r->byte[1], (char)(r->n >> 8));
	T_EQ(r->byte[2], (char)(r->n >> 16));
}

/* What was written is read, byte by byte; zeroed memory is a record of zeros; no read counts while somebody writes. */
TEST(smoke)
{
	struct record r = {1, 1, 1, {1, 1, 1}};
	uint64_t began;

	T_EQ(WEFT_SEQLOCK_WORDS(char[9]) * sizeof(uintptr_t), 16);
	weft_seqlock_read(&lock, words, &r, sizeof r);
	T_EQ(r.n, 0);
	check(&r);
	r = record(0x123456789abcdef);
	weft_seqlock_write(&lock, words, &r, sizeof r);
	r = record(0);
	T_OK(weft_seqlock_try_read(&lock, words, &r, sizeof r));
	T_EQ(r.n, 0x123456789abcdef);
	check(&r);

	T_OK(weft_seqlock_try_begin(&lock));
	T_OK(!weft_seqlock_try_begin(&lock));
	T_OK(!weft_seqlock_try_read(&lock, words, &r, sizeof r));
	T_OK(weft_seqlock_read_retry(&lock, weft_seqlock_read_begin(&lock)));
	weft_seqlock_write_end(&lock);
	began = weft_seqlock_read_begin(&lock);
	T_OK(!weft_seqlock_read_retry(&lock, began));
	weft_seqlock_write(&lock, words, &r, sizeof r);
	T_OK(weft_seqlock_read_retry(&lock, began));
	weft_seqlock_init(&lock);
	T_EQ(weft_seqlock_read_begin(&lock), 0);
}

static void *reader(void *arg)
{
	struct record r;
	uint64_t last = 0;
	bool done;

	(void)arg;
	do {
		done = weft_load_acquire(&ended); /* pairs with the store_release of whoever starts us */
		if (!weft_seqlock_try_read(&lock, words, &r, sizeof r)) {
			sched_yield();
			continue;
		}
		check(&r);
		T_GE(r.n, last);
		last = r.n;
		weft_add_relaxed(&reads, 1); /* statistics */
	} while (!done);
	return (void *)(uintptr_t)last;
}

/* One writes, three read: never torn, never backwards. */
TEST(one_writer)
{
	long n = tap_iters(100000);
	pthread_t t[THREADS - 1];
	struct record r;

	for (int i = 0; i < THREADS - 1; i++)
		T_EQ(pthread_create(&t[i], NULL, reader, NULL), 0);
	for (long i = 1; i <= n; i++) {
		r = record((uint64_t)i);
		weft_seqlock_write(&lock, words, &r, sizeof r);
		if (i % 256 == 0)
			sched_yield();
	}
	weft_store_release(&ended, 1); /* pairs with load_acquire in reader */
	for (int i = 0; i < THREADS - 1; i++)
		T_EQ(pthread_join(t[i], NULL), 0);
	T_GT(weft_load_relaxed(&reads), 0);
	weft_seqlock_read(&lock, words, &r, sizeof r);
	T_EQ(r.n, n);
}

static void *counter(void *arg)
{
	struct record r;

	for (long i = 0; i < *(long *)arg; i++) {
		while (!weft_seqlock_try_begin(&lock))
			sched_yield();
		weft_seqlock_get(&r, words, sizeof r);
		check(&r);
		r = record(r.n + 1);
		weft_seqlock_put(words, &r, sizeof r);
		weft_seqlock_write_end(&lock);
	}
	return NULL;
}

/* Several count the record up, one reads: nothing is lost. */
TEST(several_writers)
{
	long n = tap_iters(100000);
	pthread_t t[THREADS], look;
	struct record r = record(0);

	weft_seqlock_update(&lock, words, &r, sizeof r);
	T_EQ(pthread_create(&look, NULL, reader, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		T_EQ(pthread_create(&t[i], NULL, counter, &n), 0);
	for (int i = 0; i < THREADS; i++)
		T_EQ(pthread_join(t[i], NULL), 0);
	weft_store_release(&ended, 1); /* pairs with load_acquire in reader */
	T_EQ(pthread_join(look, NULL), 0);
	weft_seqlock_read(&lock, words, &r, sizeof r);
	T_EQ(r.n, THREADS * n);
}

static struct weft_flag flag;
static long guarded;

static void *raiser(void *arg)
{
	for (long i = 0; i < *(long *)arg; i++) {
		while (!weft_flag_raise(&flag))
			sched_yield();
		guarded++;
		weft_flag_lower(&flag);
	}
	return NULL;
}

/* A flag is up from raise to lower; of many that raise it, one at a time is first. */
TEST(flag_has_one_first)
{
	long n = tap_iters(100000);
	pthread_t t[THREADS];

	T_OK(!weft_flag_is_up(&flag));
	T_OK(weft_flag_raise(&flag));
	T_OK(weft_flag_is_up(&flag));
	T_OK(!weft_flag_raise(&flag));
	weft_flag_lower(&flag);
	T_OK(!weft_flag_is_up(&flag));
	for (int i = 0; i < THREADS; i++)
		T_EQ(pthread_create(&t[i], NULL, raiser, &n), 0);
	for (int i = 0; i < THREADS; i++)
		T_EQ(pthread_join(t[i], NULL), 0);
	T_EQ(guarded, THREADS * n);
	weft_flag_init(&flag);
	T_OK(!weft_flag_is_up(&flag));
}
