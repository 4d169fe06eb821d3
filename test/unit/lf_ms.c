/* SPDX-License-Identifier: MIT
 *
 * lf_ms.c - weft/lf/hazard.h and weft/lf/ms.h: nothing protected is freed, garbage is bounded, all is freed in the end; the queue is first in first out for
 * each producer, and neither loses nor doubles a value.
 *
 * AddressSanitizer watches each use, and what is left over.
 */
#include "weft/lf/ms.h"

#include "tap.h"
#include <pthread.h>
#include <sched.h>

#define THREADS 4

static struct weft_hp_domain domain;
static struct weft_ms queue;
static WEFT_ATOMIC(int) ended;
static WEFT_ATOMIC(long) made, freed;

/* --- Hazard pointers --------------------------------------------------------------------------------------------------------- */

struct object {
	struct weft_hp_node hp;
	long n, minus; /* minus == -n while it lives */
};

static struct object *object(long n)
{
	struct object *o = malloc(sizeof *o);

	T_OK(o != NULL);
	o->n = n;
	o->minus = -n;
	weft_add_relaxed(&made, 1); /* counts only */
	return o;
}

static void object_free(struct weft_hp_node *n)
{
	struct object *o = (struct object *)n;

	o->n = o->minus = 1; /* not as it was */
	free(o);
	weft_add_relaxed(&freed, 1); /* counts only */
}

/* An object is freed by the first scan after the last slot that holds it was cleared, whichever slot of whichever guard it is. */
TEST(protected_until_cleared)
{
	struct weft_hp *a = weft_hp_acquire(&domain), *b = weft_hp_acquire(&domain);
	WEFT_ATOMIC(void *) shared;

	T_OK(a && b && a != b);
	for (unsigned i = 0; i < WEFT_HP_SLOTS; i++) {
		struct object *o = object(i + 5);

		weft_store_relaxed(&shared, o); /* one thread */
		T_EQ(weft_hp_protect(a, i, &shared), o);
		T_EQ(weft_hp_protect(b, WEFT_HP_SLOTS - 1 - i, &shared), o);
		weft_store_relaxed(&shared, NULL);
		weft_hp_retire(b, &o->hp, object_free);
		weft_hp_scan(b);
		T_EQ(weft_hp_retired(b), 1);
		weft_hp_set(a, i, &shared); /* something else */
		weft_hp_scan(b);
		T_EQ(weft_hp_retired(b), 1);
		T_EQ(o->minus, -o->n);
		weft_hp_clear(b, WEFT_HP_SLOTS - 1 - i);
		weft_hp_scan(b);
		T_EQ(weft_hp_retired(b), 0);
		T_EQ(weft_load_relaxed(&freed), i + 1);
		weft_hp_clear(a, i);
	}
	weft_hp_release(a);
	weft_hp_release(b);
	weft_hp_domain_destroy(&domain);
}

/* Guards are used again; what one kept when it was released, its next holder frees; or the domain's end. */
TEST(guards_are_used_again)
{
	struct weft_hp *a = weft_hp_acquire(&domain), *b = weft_hp_acquire(&domain);
	struct object *o = object(1), *o2 = object(2);
	WEFT_ATOMIC(void *) shared;

	weft_store_relaxed(&shared, o); /* one thread */
	weft_hp_protect(a, 0, &shared);
	weft_hp_retire(b, &o->hp, object_free);
	weft_hp_release(b); /* keeps it */
	T_EQ(weft_load_relaxed(&freed), 0);
	T_EQ(weft_hp_acquire(&domain), b);
	T_EQ(weft_hp_retired(b), 1);
	weft_hp_clear(a, 0);
	weft_hp_release(b);
	T_EQ(weft_load_relaxed(&freed), 1);

	weft_store_relaxed(&shared, o2);
	weft_hp_protect(a, 0, &shared);
	T_EQ(weft_hp_acquire(&domain), b);
	weft_hp_retire(b, &o2->hp, object_free);
	weft_hp_release(b);
	weft_hp_clear(a, 0); /* its holder stops looking and gives it back later */
	weft_hp_release(a);
	T_EQ(weft_load_relaxed(&freed), 1);
	weft_hp_domain_destroy(&domain);
	T_EQ(weft_load_relaxed(&freed), 2);
}

/* More objects than the filter has bits are protected at once: none of them is freed, all others are. */
TEST(crowded)
{
	enum { GUARDS = 1024 };
	static struct weft_hp *g[GUARDS];
	static struct object *o[GUARDS * WEFT_HP_SLOTS];
	struct weft_hp *own = weft_hp_acquire(&domain);

	for (long i = 0; i < GUARDS; i++) {
		g[i] = weft_hp_acquire(&domain);
		for (unsigned k = 0; k < WEFT_HP_SLOTS; k++) {
			o[i * WEFT_HP_SLOTS + k] = object(i);
			if (k % 2 == 0)
				weft_hp_set(g[i], k, o[i * WEFT_HP_SLOTS + k]);
		}
	}
	for (long i = 0; i < GUARDS * WEFT_HP_SLOTS; i++)
		weft_hp_retire(own, &o[i]->hp, object_free);
	weft_hp_scan(own);
	T_EQ(weft_hp_retired(own), GUARDS * WEFT_HP_SLOTS / 2);
	for (long i = 0; i < GUARDS * WEFT_HP_SLOTS; i += 2)
		T_EQ(o[i]->minus, -o[i]->n);
	for (long i = 0; i < GUARDS; i++)
		weft_hp_release(g[i]);
	weft_hp_release(own);
	T_EQ(weft_load_relaxed(&freed), GUARDS * WEFT_HP_SLOTS);
	weft_hp_domain_destroy(&domain);
}

static WEFT_ATOMIC(void *) cell[2];

static void *looker(void *arg)
{
	(void)arg;
	do { /* once at least: it may begin when all is over */
		struct weft_hp *hp = weft_hp_acquire(&domain);
		struct object *a, *b;

		for (int i = 0; i < 100; i++) {
			a = weft_hp_protect(hp, 0, &cell[0]);
			b = weft_hp_protect(hp, 1, &cell[1]);
			T_EQ(a->minus, -a->n);
			T_EQ(b->minus, -b->n);
		}
		sched_yield();
		T_EQ(a->minus, -a->n); /* still, though both have been replaced */
		weft_hp_release(hp);
	} while (!weft_load_acquire(&ended)); /* pairs with store_release in garbage_is_bounded */
	return NULL;
}

static void *replacer(void *arg)
{
	struct weft_hp *hp = weft_hp_acquire(&domain);
	long n = *(long *)arg;

	for (long i = 0; i < n; i++) {
		struct object *o = object(i + 1);
		void *was = weft_load_relaxed(&cell[i % 2]); /* checked by the compare-and-swap */

		while (!weft_cas_acq_rel(&cell[i % 2], &was,
					 (void *)o)) /* pairs with weft_hp_protect, and with itself: we retire what another made */
			;
		weft_hp_retire(hp, was, object_free);
		T_LT(weft_hp_retired(hp), WEFT_HP_BATCH + 2 * WEFT_HP_SLOTS * 2 * THREADS);
	}
	weft_hp_release(hp);
	return NULL;
}

/* Many look, and many replace what they look at: nothing is freed under anybody's eyes, and no guard keeps more than it may. */
TEST(garbage_is_bounded)
{
	pthread_t look[THREADS], replace[THREADS];
	long n = tap_iters(300000), live;

	for (int i = 0; i < 2; i++)
		weft_store_relaxed(&cell[i], (void *)object(1)); /* the threads' creation orders it */
	for (int i = 0; i < THREADS; i++) {
		T_EQ(pthread_create(&look[i], NULL, looker, NULL), 0);
		T_EQ(pthread_create(&replace[i], NULL, replacer, &n), 0);
	}
	for (int i = 0; i < THREADS; i++)
		T_EQ(pthread_join(replace[i], NULL), 0);
	live = weft_load_relaxed(&made) - weft_load_relaxed(&freed);
	T_LE(live, 2 + THREADS * (WEFT_HP_BATCH + 2 * WEFT_HP_SLOTS * 2 * THREADS));
	weft_store_release(&ended, 1); /* pairs with load_acquire in looker */
	for (int i = 0; i < THREADS; i++)
		T_EQ(pthread_join(look[i], NULL), 0);
	weft_hp_domain_destroy(&domain);
	T_EQ(weft_load_relaxed(&made) - weft_load_relaxed(&freed), 2);
	for (int i = 0; i < 2; i++)
		free(weft_load_relaxed(&cell[i])); /* joined */
}

/* --- The queue -------------------------------------------------------------------------------------------------------------- */

static void *value(long i)
{
	return (void *)(uintptr_t)i;
}

static long number(void *p)
{
	return (long)(uintptr_t)p;
}

/* First in, first out, NULL as well; empty says so; what is left is given back. */
TEST(smoke)
{
	struct weft_hp *hp = weft_hp_acquire(&domain);
	void *p;

	T_OK(weft_ms_init(&queue));
	for (int round = 0; round < 3; round++) {
		T_OK(weft_ms_empty(&queue, hp));
		T_OK(!weft_ms_pop(&queue, hp, &p));
		for (long i = 0; i < 200; i++)
			T_OK(weft_ms_push(&queue, hp, value(i)));
		T_OK(!weft_ms_empty(&queue, hp));
		for (long i = 0; i < 200; i++) {
			T_OK(weft_ms_pop(&queue, hp, &p));
			T_EQ(number(p), i);
		}
	}
	T_OK(!weft_ms_pop(&queue, hp, &p));
	weft_ms_push(&queue, hp, value(1));
	weft_ms_push(&queue, hp, value(2));
	weft_hp_release(hp);
	weft_ms_destroy(&queue);
	weft_hp_domain_destroy(&domain);
}

static void node_free(struct weft_hp_node *n)
{
	free(n);
	weft_add_relaxed(&freed, 1); /* counts only */
}

static struct weft_ms_node *node(void)
{
	struct weft_ms_node *n = malloc(sizeof *n);

	T_OK(n != NULL);
	return n;
}

/* The caller's nodes come back, each once: those that were popped, those that were not, and the dummy. */
TEST(own_nodes_come_back)
{
	struct weft_hp *hp = weft_hp_acquire(&domain);
	void *p;

	weft_ms_init_nodes(&queue, node(), node_free);
	for (long i = 0; i < 300; i++)
		weft_ms_push_node(&queue, hp, node(), value(i));
	for (long i = 0; i < 200; i++)
		T_OK(weft_ms_pop(&queue, hp, &p));
	T_GT(weft_load_relaxed(&freed), 0); /* while it is in use */
	weft_hp_release(hp);
	T_EQ(weft_load_relaxed(&freed), 200);
	weft_ms_destroy(&queue);
	T_EQ(weft_load_relaxed(&freed), 301);
	weft_hp_domain_destroy(&domain);
}

static WEFT_ATOMIC(uint8_t) * seen; /* how often a value came out; its number is 1 + producer + THREADS * i */
static WEFT_ATOMIC(long) out;       /* how many came out */
static long each;                   /* values of a producer */

static void *producer(void *arg)
{
	struct weft_hp *hp = weft_hp_acquire(&domain);
	long me = (long)(intptr_t)arg;

	for (long i = 0; i < each; i++) {
		T_OK(weft_ms_push(&queue, hp, value(1 + me + THREADS * i)));
		if (i % 128 == 0)
			sched_yield();
	}
	weft_hp_release(hp);
	return NULL;
}

static void *consumer(void *arg)
{
	struct weft_hp *hp = weft_hp_acquire(&domain);
	long last[THREADS] = {0};
	void *p;

	(void)arg;
	while (weft_load_relaxed(&out) < THREADS * each) { /* a count; what it counts is not looked at */
		if (!weft_ms_pop(&queue, hp, &p)) {
			sched_yield();
			continue;
		}
		T_OK(number(p) >= 1 && number(p) <= THREADS * each);
		T_GT(number(p), last[(number(p) - 1) % THREADS]);
		last[(number(p) - 1) % THREADS] = number(p);
		T_EQ(weft_add_relaxed(&seen[number(p)], 1), 0); /* never twice */
		weft_add_relaxed(&out, 1);                      /* as above */
	}
	weft_hp_release(hp);
	return NULL;
}

/* Four push, four pop: in order for each pair, nothing lost, nothing twice. */
TEST(stress)
{
	pthread_t push[THREADS], pop[THREADS];

	each = tap_iters(300000);
	seen = calloc((size_t)(THREADS * each) + 1, sizeof *seen);
	T_OK(seen != NULL);
	T_OK(weft_ms_init(&queue));
	for (int i = 0; i < THREADS; i++) {
		T_EQ(pthread_create(&push[i], NULL, producer, (void *)(intptr_t)i), 0);
		T_EQ(pthread_create(&pop[i], NULL, consumer, NULL), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		T_EQ(pthread_join(push[i], NULL), 0);
		T_EQ(pthread_join(pop[i], NULL), 0);
	}
	for (long i = 1; i <= THREADS * each; i++)
		T_EQ(weft_load_relaxed(&seen[i]), 1);
	weft_ms_destroy(&queue);
	weft_hp_domain_destroy(&domain);
	free(seen);
}
