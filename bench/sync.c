/* SPDX-License-Identifier: MIT
 *
 * sync.c - P30: what do reader-writer lock, semaphore, wait group, condition and once cost, alone and with 200 tasks?
 */
#include "bench.h"

#define TASKS 200

static int64_t read_alone(uint64_t n, void *arg)
{
	rwlock l = {0};
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++) {
		MUST(rwlock_rdlock(&l));
		rwlock_unlock(&l);
	}
	return bench_now() - start;
}

static int64_t write_alone(uint64_t n, void *arg)
{
	rwlock l = {0};
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++) {
		MUST(rwlock_wrlock(&l));
		rwlock_unlock(&l);
	}
	return bench_now() - start;
}

struct shared {
	rwlock l;
	sema s;
	waitgroup g;
	uint64_t counter, each;
	int writers; /* every so many-th lock is for writing */
};

static void reads_and_writes(struct shared *k, uint64_t salt)
{
	uint64_t seen = 0;

	for (uint64_t i = salt; i < k->each + salt; i++) {
		if (k->writers && i % (uint64_t)k->writers == 0) {
			MUST(rwlock_wrlock(&k->l));
			k->counter++;
		} else {
			MUST(rwlock_rdlock(&k->l));
			seen += k->counter;
		}
		rwlock_unlock(&k->l);
	}
	__asm__ volatile("" : : "r"(seen));
	wg_done(&k->g);
}

static int64_t all(void (*fn)(struct shared *, uint64_t), struct shared *k, uint64_t n)
{
	int64_t start;

	k->each = n / TASKS + 1;
	wg_add(&k->g, TASKS);
	start = bench_now();
	for (uint64_t i = 0; i < TASKS; i++)
		MUST(go(fn, k, i));
	MUST(wg_wait(&k->g));
	return bench_scale(bench_now() - start, n, k->each * TASKS);
}

static int64_t readers(uint64_t n, void *arg)
{
	struct shared k = {.writers = 0};

	(void)arg;
	return all(reads_and_writes, &k, n);
}

static int64_t some_write(uint64_t n, void *arg)
{
	struct shared k = {.writers = 10};

	(void)arg;
	return all(reads_and_writes, &k, n);
}

static int64_t sema_alone(uint64_t n, void *arg)
{
	sema s = WEFT_SEMA_INIT(10);
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++) {
		MUST(sema_acquire(&s, 1));
		sema_release(&s, 1);
	}
	return bench_now() - start;
}

static void takes_permit(struct shared *k, uint64_t salt)
{
	(void)salt;
	for (uint64_t i = 0; i < k->each; i++) {
		MUST(sema_acquire(&k->s, 1));
		task_yield(); /* all others come by, and all but ten wait */
		sema_release(&k->s, 1);
	}
	wg_done(&k->g);
}

static int64_t sema_contended(uint64_t n, void *arg)
{
	struct shared k = {.s = WEFT_SEMA_INIT(10)};

	(void)arg;
	return all(takes_permit, &k, n);
}

static int64_t group(uint64_t n, void *arg)
{
	waitgroup g = {0};
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++) {
		wg_add(&g, 1);
		wg_done(&g);
		MUST(wg_wait(&g));
	}
	return bench_now() - start;
}

struct table {
	mutex m;
	weft_cond ball[2];
	int side; /* where it is; under m */
	uint64_t rounds;
	waitgroup g;
};

static void plays(struct table *t, int side)
{
	MUST(mutex_lock(&t->m));
	for (uint64_t i = 0; i < t->rounds; i++) {
		while (t->side != side)
			MUST(cond_wait(&t->ball[side], &t->m));
		t->side = !side;
		cond_signal(&t->ball[!side]);
	}
	mutex_unlock(&t->m);
	wg_done(&t->g);
}

static int64_t condition(uint64_t n, void *arg)
{
	struct table t = {.rounds = n};
	int64_t start = bench_now();

	(void)arg;
	wg_add(&t.g, 2);
	MUST(go(plays, &t, 0));
	MUST(go(plays, &t, 1));
	MUST(wg_wait(&t.g));
	return bench_now() - start;
}

static void nothing(void *arg)
{
	(void)arg;
}

static int64_t once(uint64_t n, void *arg)
{
	weft_once o = {0};
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++)
		MUST(once_do(&o, nothing, NULL));
	return bench_now() - start;
}

static int body(void *arg)
{
	struct bench *b = arg;

	bench_measure(b, "P30", "read lock and unlock, alone", read_alone, NULL);
	bench_measure(b, "P30", "write lock and unlock, alone", write_alone, NULL);
	bench_measure(b, "P30", "200 tasks read", readers, NULL);
	bench_measure(b, "P30", "200 tasks, 1 in 10 writes", some_write, NULL);
	bench_measure(b, "P30", "semaphore, alone", sema_alone, NULL);
	bench_measure(b, "P30", "semaphore of 10, 200 tasks", sema_contended, NULL);
	bench_measure(b, "P30", "wait group: add, done, wait", group, NULL);
	bench_measure(b, "P30", "condition, round trip", condition, NULL);
	bench_measure(b, "P30", "once, done before", once, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
