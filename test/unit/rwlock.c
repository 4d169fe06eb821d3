/* SPDX-License-Identifier: MIT
 *
 * rwlock.c - reader-writer lock: readers together, a writer alone, in the order of coming; up and down; misuse that is named.
 */
#include "rt.h"

#include "base/rand.h"
#include <pthread.h>

struct shared {
	weft_rwlock l;
	ATOMIC(int) readers, writers, order, stop;
	long value[8], n, each;
};

static int reads(void *arg)
{
	struct shared *s = arg;
	int rc = weft_rwlock_rdlock(&s->l);

	if (rc)
		return rc;
	add_relaxed(&s->readers, 1);
	until(load_acquire(&s->stop));
	add_relaxed(&s->readers, -1);
	weft_rwlock_unlock(&s->l);
	return 0;
}

static int writes(void *arg)
{
	struct shared *s = arg;
	int rc = weft_rwlock_wrlock(&s->l);

	if (rc)
		return rc;
	T_EQ(load_relaxed(&s->readers), 0);
	add_relaxed(&s->writers, 1);
	weft_rwlock_unlock(&s->l);
	return 0;
}

static int together_main(void *arg)
{
	struct shared s = {.n = 0};
	weft_task *r[10], *w, *late;

	(void)arg;
	for (int i = 0; i < 10; i++)
		r[i] = start(reads, &s);
	until(load_acquire(&s.readers) == 10); /* all inside */
	T_EQ(weft_rwlock_tryrdlock(&s.l), 0);
	weft_rwlock_unlock(&s.l);
	T_EQ(weft_rwlock_trywrlock(&s.l), WEFT_EAGAIN);
	w = start(writes, &s);
	until_reason(w, "write lock");
	T_EQ(weft_rwlock_tryrdlock(&s.l), WEFT_EAGAIN); /* not before the writer */
	late = start(reads, &s);
	until_reason(late, "read lock");
	T_EQ(load_relaxed(&s.writers), 0);
	store_release(&s.stop, 1);
	for (int i = 0; i < 10; i++)
		T_EQ(finish(r[i]), 0);
	T_EQ(finish(w), 0);
	T_EQ(finish(late), 0);
	return 0;
}

/* Readers are inside together; a writer that waits is not overtaken by readers that come later. */
TEST_WORKERS(readers_together)
{
	run(together_main, NULL);
}

struct queued {
	struct shared *s;
	int i;
	bool write;
};

static int takes_turn(void *arg)
{
	struct queued *q = arg;
	int seen;

	T_EQ(q->write ? weft_rwlock_wrlock(&q->s->l) : weft_rwlock_rdlock(&q->s->l), 0);
	seen = add_relaxed(&q->s->order, 1);
	if (q->write)
		T_EQ(seen, q->i);
	else
		T_EQ(seen / 3, q->i / 3); /* of three */
	weft_rwlock_unlock(&q->s->l);
	return 0;
}

static int order_main(void *arg)
{
	(void)arg;
	for (int round = 0; round < 10; round++) {
		struct shared s = {.n = 0};
		struct queued q[18];
		weft_task *t[18];

		T_EQ(weft_rwlock_wrlock(&s.l), 0);
		T_EQ(weft_rwlock_wrlock(&s.l), WEFT_EDEADLK);
		T_EQ(weft_rwlock_rdlock(&s.l), WEFT_EDEADLK);
		for (int i = 0; i < 18; i++) { /* three writers, three readers, three writers ... */
			q[i] = (struct queued){&s, i, i / 3 % 2 == 0};
			t[i] = start(takes_turn, &q[i]);
			until_reason(t[i], q[i].write ? "write lock" : "read lock");
		}
		weft_rwlock_unlock(&s.l);
		for (int i = 0; i < 18; i++)
			finish(t[i]);
		T_EQ(weft_rwlock_trywrlock(&s.l), 0);
		weft_rwlock_unlock(&s.l);
	}
	return 0;
}

/* First come, first served; readers next to each other in line go in together. */
TEST_WORKERS(in_the_order_of_coming)
{
	run(order_main, NULL);
}

static int leaving_main(void *arg)
{
	(void)arg;
	for (int round = 0; round < 10; round++) {
		struct shared s = {.n = 0};
		weft_task *w, *r[3];

		T_EQ(weft_rwlock_rdlock(&s.l), 0);
		w = start(writes, &s);
		until_reason(w, "write lock");
		for (int i = 0; i < 3; i++) {
			r[i] = start(reads, &s);
			until_reason(r[i], "read lock");
		}
		T_EQ(weft_task_cancel(w), 0);
		T_EQ(finish(w), WEFT_ECANCELED);
		until(load_acquire(&s.readers) == 3); /* while we still read */
		store_release(&s.stop, 1);
		for (int i = 0; i < 3; i++)
			T_EQ(finish(r[i]), 0);
		weft_rwlock_unlock(&s.l);
	}
	return 0;
}

/* Readers behind a writer that gives up go in at once. */
TEST_WORKERS(writer_gives_up)
{
	run(leaving_main, NULL);
}

static int up_down_main(void *arg)
{
	struct shared s = {.n = 0};
	weft_task *r[2], *w;

	(void)arg;
	T_EQ(weft_rwlock_wrlock(&s.l), 0);
	weft_rwlock_downgrade(&s.l);
	T_EQ(weft_rwlock_tryupgrade(&s.l), 0);
	T_EQ(weft_rwlock_tryrdlock(&s.l), WEFT_EAGAIN);
	for (int i = 0; i < 2; i++) {
		r[i] = start(reads, &s);
		until_reason(r[i], "read lock");
	}
	w = start(writes, &s);
	until_reason(w, "write lock");
	weft_rwlock_downgrade(&s.l); /* and the readers next in line join */
	until(load_acquire(&s.readers) == 2);
	T_EQ(weft_rwlock_tryupgrade(&s.l), WEFT_EAGAIN);
	T_EQ(weft_task_stateof(w), WEFT_TASK_PARKED);
	store_release(&s.stop, 1);
	T_EQ(finish(r[0]), 0);
	T_EQ(finish(r[1]), 0);
	T_EQ(load_relaxed(&s.writers), 0);
	T_EQ(weft_rwlock_tryupgrade(&s.l), 0); /* alone again, in front of a writer that waits */
	T_EQ(load_relaxed(&s.writers), 0);
	weft_rwlock_unlock(&s.l);
	T_EQ(finish(w), 0);
	T_EQ(weft_rwlock_rdlock(&s.l), 0);
	T_EQ(weft_task_cancel(weft_task_self()), 0);
	T_EQ(weft_rwlock_tryupgrade(&s.l), WEFT_ECANCELED);
	weft_rwlock_unlock(&s.l);
	return 0;
}

static int up_down_late_main(void *arg)
{
	weft_ctx *c = weft_ctx_with_deadline(NULL, weft_now()), *up;
	weft_rwlock l = {0};

	T_EQ(weft_rwlock_rdlock(&l), 0);
	up = weft_ctx_enter(c);
	T_EQ(weft_rwlock_tryupgrade(&l), WEFT_ETIMEDOUT);
	weft_ctx_leave(up);
	T_EQ(weft_rwlock_tryupgrade(&l), 0); /* it still reads */
	weft_rwlock_unlock(&l);
	weft_ctx_free(c);
	return finish(start(up_down_main, arg));
}

/* Down: nobody in between, readers in line join. Up: only alone, and never by waiting. */
TEST_WORKERS(up_and_down)
{
	run(up_down_late_main, NULL);
}

/* --- stress --- */

static int uses(void *arg)
{
	struct shared *s = arg;
	struct rng r;

	rng_seed(&r, 5, (uint64_t)add_relaxed(&s->order, 1));
	for (long i = 0; i < s->each; i++) {
		uint32_t what = rng_below(&r, 10);
		int64_t deadline = rng_below(&r, 8) ? WEFT_FOREVER : weft_in((int64_t)rng_below(&r, 100) * WEFT_US);
		bool write = what == 0;

		if (write ? weft_rwlock_wrlock_until(&s->l, deadline) : weft_rwlock_rdlock_until(&s->l, deadline))
			continue;
		if (what == 1 && weft_rwlock_tryupgrade(&s->l) == 0)
			write = true;
		if (write) {
			T_EQ(load_relaxed(&s->readers), 0);
			T_EQ(add_relaxed(&s->writers, 1), 0);
			for (int k = 0; k < 8; k++)
				s->value[k]++;
			if (rng_below(&r, 4) == 0)
				weft_task_yield();
			T_EQ(add_relaxed(&s->writers, -1), 1);
			if (rng_below(&r, 2)) {
				weft_rwlock_downgrade(&s->l);
				write = false;
			}
		}
		if (!write) {
			add_relaxed(&s->readers, 1);
			T_EQ(load_relaxed(&s->writers), 0);
			for (int k = 1; k < 8; k++)
				T_EQ(s->value[k], s->value[0]);
			if (rng_below(&r, 8) == 0)
				weft_task_yield();
			add_relaxed(&s->readers, -1);
		}
		weft_rwlock_unlock(&s->l);
	}
	return 0;
}

static void *thread_uses(void *arg)
{
	uses(arg);
	return NULL;
}

static int stress_main(void *arg)
{
	struct shared s = {.each = tap_iters(2000)};
	weft_task *t[24];
	pthread_t th;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, thread_uses, &s), 0);
	for (int i = 0; i < 24; i++)
		t[i] = start(uses, &s);
	for (int i = 0; i < 24; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(weft_rwlock_trywrlock(&s.l), 0);
	weft_rwlock_unlock(&s.l);
	T_EQ(s.l.weft__owner, 0);
	return 0;
}

/* However many read, write, go up and down, and give up: what is written is whole, and the lock is free in the end. */
TEST_WORKERS(whole_for_readers)
{
	tap_limit(60);
	run(stress_main, NULL);
}

static int hogs(void *arg)
{
	struct shared *s = arg;

	while (!load_acquire(&s->stop)) {
		T_EQ(weft_rwlock_rdlock(&s->l), 0);
		weft_task_yield();
		weft_rwlock_unlock(&s->l);
	}
	return 0;
}

static int hogs_main(void *arg)
{
	struct shared s = {.n = 0};
	weft_task *t[4];

	(void)arg;
	for (int i = 0; i < 4; i++)
		t[i] = start(hogs, &s);
	for (int i = 0; i < 100; i++) {
		T_EQ(weft_rwlock_wrlock(&s.l), 0); /* would never come in otherwise: there is always a reader */
		weft_rwlock_unlock(&s.l);
		weft_task_yield();
	}
	store_release(&s.stop, 1);
	for (int i = 0; i < 4; i++)
		finish(t[i]);
	return 0;
}

TEST_WORKERS(readers_do_not_starve_a_writer)
{
	run(hogs_main, NULL);
}

/* --- misuse --- */

static weft_rwlock gl;

static int unlocks(void *arg)
{
	(void)arg;
	weft_rwlock_unlock(&gl);
	return 0;
}

static int locks_and_lets_unlock(void *arg)
{
	(void)arg;
	T_EQ(weft_rwlock_wrlock(&gl), 0);
	return finish(start(unlocks, NULL));
}

static int downgrades(void *arg)
{
	(void)arg;
	weft_rwlock_downgrade(&gl);
	return 0;
}

static int reads_and_downgrades(void *arg)
{
	T_EQ(weft_rwlock_rdlock(&gl), 0);
	return downgrades(arg);
}

static int upgrades(void *arg)
{
	(void)arg;
	return weft_rwlock_tryupgrade(&gl);
}

static int writes_and_upgrades(void *arg)
{
	T_EQ(weft_rwlock_wrlock(&gl), 0);
	return upgrades(arg);
}

TEST_DIES_WORKERS(unlock_of_a_free_one, "is not locked")
{
	run(unlocks, NULL);
}

TEST_DIES_WORKERS(unlock_of_anothers, "not by the caller")
{
	run(locks_and_lets_unlock, NULL);
}

TEST_DIES_WORKERS(downgrade_of_a_free_one, "not locked for writing")
{
	run(downgrades, NULL);
}

TEST_DIES_WORKERS(downgrade_by_a_reader, "not locked for writing")
{
	run(reads_and_downgrades, NULL);
}

TEST_DIES_WORKERS(upgrade_of_a_free_one, "not locked for reading")
{
	run(upgrades, NULL);
}

TEST_DIES_WORKERS(upgrade_by_the_writer, "not locked for reading")
{
	run(writes_and_upgrades, NULL);
}
