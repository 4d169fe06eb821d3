/* SPDX-License-Identifier: MIT
 *
 * cmap.c - the concurrent map: what it holds, whose it is, and that all may use it at the same time.
 */
#include "rt.h"

#include "base/rand.h"
#include "weft/defer.h"
#include "weft/cmap.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *num(uintptr_t n)
{
	return (void *)n;
}

static int laws_main(void *arg)
{
	weft_cmap *m = weft_cmap_make(NULL);
	char wide[1000] = {1};
	void *actual = NULL;

	(void)arg;
	T_EQ(weft_cmap_len(m), 0);
	T_EQ(weft_cmap_get(m, "a", 1), NULL);
	T_EQ(weft_cmap_del(m, "a", 1), WEFT_ENOENT);
	T_EQ(weft_cmap_set(m, "a", 1, num(1)), 0);
	T_EQ(weft_cmap_get(m, "a", 1), num(1));
	T_EQ(weft_cmap_set(m, "a", 1, num(2)), 0);
	T_EQ(weft_cmap_get(m, "a", 1), num(2));
	T_EQ(weft_cmap_len(m), 1);
	T_EQ(weft_cmap_get_or_set(m, "a", 1, num(3), &actual), 0);
	T_EQ(actual, num(2));
	T_EQ(weft_cmap_get_or_set(m, "b", 1, num(3), &actual), 1);
	T_EQ(actual, num(3));
	T_EQ(weft_cmap_get_or_set(m, "c", 1, num(4), NULL), 1);
	T_EQ(weft_cmap_set(m, "", 0, num(5)), 0); /* no bytes are a key, too */
	T_EQ(weft_cmap_get(m, NULL, 0), num(5));
	T_EQ(weft_cmap_set(m, "a\0b", 3, num(6)), 0); /* any bytes are */
	T_EQ(weft_cmap_set(m, wide, sizeof wide, num(7)), 0);
	T_EQ(weft_cmap_get(m, "a\0b", 3), num(6));
	T_EQ(weft_cmap_get(m, "a\0c", 3), NULL);
	T_EQ(weft_cmap_get(m, wide, sizeof wide), num(7));
	T_EQ(weft_cmap_get(m, wide, sizeof wide - 1), NULL);
	T_EQ(weft_cmap_len(m), 6);
	T_EQ(weft_cmap_set(m, "a", 1, NULL), WEFT_EINVAL);
	T_EQ(weft_cmap_set(m, "a", (size_t)INT32_MAX + 1, num(1)), WEFT_EINVAL);
	T_EQ(weft_cmap_get_or_set(m, "a", 1, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_cmap_del(m, "a", 1), 0);
	T_EQ(weft_cmap_del(m, "a", 1), WEFT_ENOENT);
	T_EQ(weft_cmap_get(m, "a", 1), NULL);
	T_EQ(weft_cmap_set_u64(m, 0, num(8)), 0);
	T_EQ(weft_cmap_get_u64(m, 0), num(8));
	T_EQ(weft_cmap_get_or_set_u64(m, 0, num(9), NULL), 0);
	T_EQ(weft_cmap_del_u64(m, 0), 0);
	T_EQ(weft_cmap_get_u64(m, 0), NULL);
	weft_cmap_free(weft_cmap_ref(m));
	weft_cmap_free(m);
	weft_cmap_free(NULL);
	return 0;
}

TEST_WORKERS(laws)
{
	run(laws_main, NULL);
}

/* Outside a runtime, too. */
TEST(no_runtime)
{
	laws_main(NULL);
}

static bool sums(const void *key, size_t len, void *value, void *arg)
{
	uint64_t k;

	T_EQ(len, sizeof k);
	memcpy(&k, key, sizeof k);
	T_EQ(value, num(k + 1));
	*(uint64_t *)arg += k;
	return true;
}

static bool three(const void *key, size_t len, void *value, void *arg)
{
	(void)key;
	(void)len;
	(void)value;
	return ++*(int *)arg < 3;
}

static bool deletes(const void *key, size_t len, void *value, void *arg)
{
	(void)value;
	T_EQ(weft_cmap_del(arg, key, len), 0);
	weft_task_yield();
	return true;
}

/* Grows, loses, and is walked over, with every size in between. */
static int grow_main(void *arg)
{
	enum { MANY = 20000 };
	uint64_t n = (uint64_t)tap_iters(MANY), sum = 0;
	weft_cmap *m = weft_cmap_make(NULL);
	int seen = 0;

	(void)arg;
	for (uint64_t i = 0; i < n; i++) {
		T_EQ(weft_cmap_set_u64(m, i, num(i + 1)), 0);
		if (i % 997 == 0) {
			for (uint64_t k = 0; k <= i; k++)
				T_EQ(weft_cmap_get_u64(m, k), num(k + 1));
			T_EQ(weft_cmap_get_u64(m, i + 1), NULL);
			sum = 0;
			T_EQ(weft_cmap_foreach(m, sums, &sum), 0);
			T_EQ(sum, i * (i + 1) / 2);
		}
	}
	T_EQ(weft_cmap_len(m), n);
	T_EQ(weft_cmap_foreach(m, three, &seen), WEFT_ECANCELED);
	T_EQ(seen, 3);
	for (uint64_t i = 0; i < n; i += 2)
		T_EQ(weft_cmap_del_u64(m, i), 0);
	for (uint64_t i = 0; i < n; i++)
		T_EQ(weft_cmap_get_u64(m, i), i % 2 ? num(i + 1) : NULL);
	T_EQ(weft_cmap_len(m), n / 2);
	T_EQ(weft_cmap_foreach(m, deletes, m), 0); /* fn uses the map */
	T_EQ(weft_cmap_len(m), 0);
	weft_cmap_free(m);
	return 0;
}

TEST_WORKERS(grows)
{
	run(grow_main, NULL);
}

/* --- whose the values are --- */

struct thing {
	ATOMIC(int) refs;
	uint64_t key;
};

static ATOMIC(int) alive;

static struct thing *thing_new(uint64_t key)
{
	struct thing *t = malloc(sizeof *t);

	store_relaxed(&t->refs, 1);
	t->key = key;
	add_relaxed(&alive, 1);
	return t;
}

static void hold(void *value)
{
	struct thing *t = value;

	T_GT(add_relaxed(&t->refs, 1), 0);
}

static void drop(void *value)
{
	struct thing *t = value;

	if (add_acq_rel(&t->refs, -1) != 1)
		return;
	add_relaxed(&alive, -1);
	free(t);
}

static const weft_cmap_opts counted = {.hold = hold, .drop = drop};

static int owned_main(void *arg)
{
	weft_cmap *m = weft_cmap_make(&counted);
	struct thing *a = thing_new(1), *b = thing_new(1), *got;
	void *actual;

	(void)arg;
	T_EQ(weft_cmap_set_u64(m, 1, a), 0);
	T_EQ(load_relaxed(&a->refs), 2);
	got = weft_cmap_get_u64(m, 1);
	T_EQ(got, a);
	T_EQ(load_relaxed(&a->refs), 3);
	T_EQ(weft_cmap_get_or_set_u64(m, 1, b, &actual), 0);
	T_EQ(actual, a);
	T_EQ(load_relaxed(&a->refs), 4);
	T_EQ(load_relaxed(&b->refs), 1);
	T_EQ(weft_cmap_get_or_set_u64(m, 1, b, NULL), 0);
	T_EQ(load_relaxed(&a->refs), 4);
	T_EQ(weft_cmap_set_u64(m, 1, b), 0);
	T_EQ(load_relaxed(&a->refs), 3);
	T_EQ(load_relaxed(&b->refs), 2);
	for (int i = 0; i < 3; i++)
		drop(a);
	T_EQ(weft_cmap_del_u64(m, 1), 0);
	T_EQ(load_relaxed(&b->refs), 1);
	T_EQ(weft_cmap_get_or_set_u64(m, 2, b, &actual), 1);
	T_EQ(load_relaxed(&b->refs), 3);
	drop(b);
	drop(b);
	T_EQ(load_relaxed(&alive), 1);
	weft_cmap_free(m); /* what is left is dropped */
	T_EQ(load_relaxed(&alive), 0);
	return 0;
}

TEST_WORKERS(values_are_counted)
{
	run(owned_main, NULL);
}

/* --- all at once --- */

enum { KEYS = 200 };

struct crowd {
	weft_cmap *m;
	uint64_t seed;
	long n;
};

static bool looks(const void *key, size_t len, void *value, void *arg)
{
	struct thing *t = value;

	(void)arg;
	T_EQ(len, 8);
	T_EQ(memcmp(key, &t->key, 8), 0);
	T_GT(load_relaxed(&t->refs), 0);
	return true;
}

static int works(void *arg)
{
	struct crowd *c = arg;
	struct rng r;

	rng_seed(&r, c->seed, 1);
	for (long i = 0; i < c->n; i++) {
		uint64_t key = rng_below(&r, KEYS);
		struct thing *t;
		void *was;

		switch (rng_below(&r, 8)) {
		case 0:
			t = thing_new(key);
			T_EQ(weft_cmap_set_u64(c->m, key, t), 0);
			drop(t);
			break;
		case 1:
			t = thing_new(key);
			T_GE(weft_cmap_get_or_set_u64(c->m, key, t, &was), 0);
			T_EQ(((struct thing *)was)->key, key);
			drop(was);
			drop(t);
			break;
		case 2:
			(void)weft_cmap_del_u64(c->m, key);
			break;
		case 3:
			if (i % 50 == 0)
				T_EQ(weft_cmap_foreach(c->m, looks, NULL), 0);
			break;
		default:
			t = weft_cmap_get_u64(c->m, key);
			if (t) {
				T_EQ(t->key, key);
				drop(t);
			}
			break;
		}
		if (i % 64 == 0)
			weft_task_yield();
	}
	return 0;
}

static void *thread_works(void *arg)
{
	works(arg);
	return NULL;
}

static int crowd_main(void *arg)
{
	struct crowd c[9];
	weft_task *t[8];
	pthread_t th;
	weft_cmap *m = weft_cmap_make(&counted);
	long left;

	(void)arg;
	for (int i = 0; i < 9; i++) {
		c[i] = (struct crowd){m, (uint64_t)i + 1, tap_iters(20000)};
		if (i < 8)
			t[i] = start(works, &c[i]);
	}
	T_EQ(pthread_create(&th, NULL, thread_works, &c[8]), 0);
	for (int i = 0; i < 8; i++)
		finish(t[i]);
	T_EQ(pthread_join(th, NULL), 0);
	left = load_relaxed(&alive);
	T_EQ(left, weft_cmap_len(m));
	weft_cmap_free(m);
	T_EQ(load_relaxed(&alive), 0);
	return 0;
}

/* Nothing is lost, freed twice or seen under a wrong key. */
TEST_WORKERS(all_at_once)
{
	run(crowd_main, NULL);
}

static int once_main(void *arg)
{
	weft_cmap *m = arg;
	int won = 0;

	for (uint64_t k = 0; k < 500; k++)
		won += weft_cmap_get_or_set_u64(m, k, num(1), NULL);
	return won;
}

static int winners_main(void *arg)
{
	weft_cmap *m = weft_cmap_make(NULL);
	weft_task *t[8];
	int won = 0;

	(void)arg;
	for (int i = 0; i < 8; i++)
		t[i] = start(once_main, m);
	for (int i = 0; i < 8; i++)
		won += finish(t[i]);
	T_EQ(won, 500);
	T_EQ(weft_cmap_len(m), 500);
	weft_cmap_free(m);
	return 0;
}

/* Of all who set what was not there one has. */
TEST_WORKERS(one_wins)
{
	run(winners_main, NULL);
}

static bool panics(const void *key, size_t len, void *value, void *arg)
{
	(void)key;
	(void)len;
	(void)value;
	(void)arg;
	weft_task_panic("in the middle");
}

static int walks(void *arg)
{
	return weft_cmap_foreach(arg, panics, NULL);
}

static void drops(void *value)
{
	++*(int *)value;
}

static int panic_main(void *arg)
{
	weft_cmap *m = weft_cmap_make(&(weft_cmap_opts){.drop = drops});
	int dropped = 0;

	(void)arg;
	for (uint64_t k = 0; k < 1000; k++)
		T_EQ(weft_cmap_set_u64(m, k, &dropped), 0);
	T_EQ(weft_task_try(walks, m, NULL), WEFT_EPANIC);
	weft_cmap_free(m);
	T_EQ(dropped, 1000); /* what was walked through is let go */
	return 0;
}

TEST(panic_in_a_walk)
{
	run(panic_main, NULL);
}
