/* SPDX-License-Identifier: MIT
 *
 * tree.c - thousands of tasks under a tree of contexts, cancelled from threads outside at random places, over and over: every task ends exactly once, with the
 * right reason, and nothing is left.
 *
 * The tree of a run: contexts in a heap's order, context i below (i - 1) / FAN, some with a second parent; a few tasks under each, all of which wait in one of
 * several ways. Threads cancel contexts at random, each with a reason of its own, and note what they were told: a cancel that won (0) is the context's reason for ever. In the end
 * the top is cancelled. A task must have been cancelled, its context have a reason, and that reason be: what the winner of a cancel of this very context gave; or
 * WEFT_REASON_PARENT, and then one above it has been cancelled. The cause is that of the nearest one above that somebody cancelled with words, at some time: it names a
 * context above or the context itself.
 *
 * WEFT_TEST_TASKS tasks in all a run (10,000), WEFT_TEST_RUNS runs.
 */
#include "rt.h"

#include "base/rand.h"
#include "weft/scope.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { FAN = 4, PER_CTX = 10, CANCELLERS = 8, CAUSE = 24 };

struct node {
	weft_ctx *ctx;
	ATOMIC(int) won; /* the reason its own cancel gave, once it was told 0 */
	ATOMIC(int) ended;
	int second; /* its second parent; -1: none */
};

struct tree {
	struct node *nodes;
	int n;
	int cancels; /* each thread's */
	uint64_t seed;
	weft_chan *silent; /* nobody sends */
	weft_mutex held;
	ATOMIC(int) alive, parked;
};

struct task_arg {
	struct tree *t;
	int at;
	int how;
};

/* Is node `up` above node i, by first or second parents? */
static bool above(const struct tree *t, int i, int up)
{
	for (; i > 0; i = (i - 1) / FAN) {
		int second = t->nodes[i].second;

		if ((i - 1) / FAN == up || second == up || (second >= 0 && above(t, second, up)))
			return true;
	}
	return false;
}

static int waits(struct tree *t, int how)
{
	weft_case cases[2] = {WEFT_RECV(t->silent, NULL), WEFT_AFTER(WEFT_SEC * 1000)};
	int rc;

	switch (how) {
	case 0:
		return weft_chan_recv(t->silent, NULL);
	case 1:
		return weft_task_sleep(WEFT_SEC * 1000);
	case 2:
		return weft_chan_select(cases, 2);
	case 3:
		return weft_mutex_lock(&t->held);
	case 4:
		return weft_task_park();
	default:
		do { /* does not wait at all */
			weft_task_yield();
			rc = weft_ctx_check();
		} while (!rc);
		return rc;
	}
}

static void lives(void *arg)
{
	struct task_arg *a = arg;
	struct tree *t = a->t;
	struct node *n = &t->nodes[a->at];
	int rc, reason, from = -1;

	add_relaxed(&t->parked, 1); /* counters all: ordered by the last one, below */
	rc = waits(t, a->how);
	T_EQ(rc, WEFT_ECANCELED);
	reason = weft_ctx_reason(NULL);
	T_NE(reason, WEFT_NOT_CANCELED);
	T_EQ(weft_ctx_reason(n->ctx), reason);
	T_EQ(sscanf(weft_ctx_cause(NULL), "node %d", &from), 1);
	if (reason == WEFT_REASON_PARENT)
		T_OK(above(t, a->at, from));
	else
		T_EQ(from, a->at);
	add_relaxed(&n->ended, 1);
	free(a);
	add_acq_rel(&t->alive, -1); /* pairs with load_acquire in a_run */
}

static void *cancels(void *arg)
{
	struct tree *t = arg;
	struct rng rng;
	char cause[CAUSE];

	rng_seed(&rng, t->seed, weft__thread());
	for (int k = 0; k < t->cancels; k++) {
		int at = 1 + (int)rng_below(&rng, (uint32_t)t->n - 1), reason = WEFT_REASON_USER + at;

		snprintf(cause, sizeof cause, "node %d", at);
		if (weft_ctx_cancel_cause(t->nodes[at].ctx, reason, cause) == 0)
			T_EQ(add_relaxed(&t->nodes[at].won, reason), 0); /* one wins */
	}
	return NULL;
}

static void plant(struct tree *t, struct rng *rng)
{
	for (int i = 0; i < t->n; i++) {
		struct node *n = &t->nodes[i];

		n->second = i > FAN && rng_below(rng, 16) == 0 ? (int)rng_below(rng, (uint32_t)i) : -1;
		n->ctx = i == 0           ? weft_ctx_make(NULL)
			 : n->second >= 0 ? weft_ctx_linked(t->nodes[(i - 1) / FAN].ctx, t->nodes[n->second].ctx)
					  : weft_ctx_make(t->nodes[(i - 1) / FAN].ctx);
		T_OK(n->ctx);
		store_relaxed(&n->won, 0);   /* not shared yet */
		store_relaxed(&n->ended, 0); /* the same */
		for (int k = 0; k < PER_CTX; k++) {
			struct task_arg *a = malloc(sizeof *a);

			*a = (struct task_arg){t, i, (int)rng_below(rng, 6)};
			WEFT_WITH_CTX (n->ctx) {
				T_EQ(weft_go(lives, a), 0);
			}
		}
	}
}

static int a_run(void *arg)
{
	struct tree *t = arg;
	pthread_t threads[CANCELLERS];
	struct rng rng;

	rng_seed(&rng, t->seed, 1);
	t->silent = weft_chan_make(0, 0);
	T_EQ(weft_mutex_lock(&t->held), 0);
	store_relaxed(&t->alive, t->n * PER_CTX); /* not shared yet */
	store_relaxed(&t->parked, 0);             /* the same */
	plant(t, &rng);
	if (rng_below(&rng, 2))
		until(load_relaxed(&t->parked) >= t->n * PER_CTX / 2);
	for (int i = 0; i < CANCELLERS; i++)
		T_EQ(pthread_create(&threads[i], NULL, cancels, t), 0);
	for (int i = 0; i < CANCELLERS; i++)
		T_EQ(pthread_join(threads[i], NULL), 0);
	if (weft_ctx_cancel_cause(t->nodes[0].ctx, WEFT_REASON_USER, "node 0") == 0)
		store_relaxed(&t->nodes[0].won, (int)WEFT_REASON_USER); /* alone now */
	until(load_acquire(&t->alive) == 0);                            /* pairs with the end of lives */
	for (int i = 0; i < t->n; i++) {
		int won = load_relaxed(&t->nodes[i].won); /* alone now */

		T_EQ(load_relaxed(&t->nodes[i].ended), PER_CTX); /* the same */
		T_EQ(weft_ctx_reason(t->nodes[i].ctx), won ? won : (int)WEFT_REASON_PARENT);
	}
	for (int i = t->n - 1; i >= 0; i--)
		weft_ctx_free(t->nodes[i].ctx);
	weft_mutex_unlock(&t->held);
	weft_chan_free(t->silent);
	return 0;
}

static long number(const char *name, long otherwise)
{
	const char *s = getenv(name);

	return s ? atol(s) : otherwise;
}

TEST_WORKERS(cancelled_at_random)
{
	long tasks = number("WEFT_TEST_TASKS", tap_iters(10000)), runs = number("WEFT_TEST_RUNS", 3);
	struct tree t = {.n = (int)(tasks / PER_CTX)};

	if (t.n < 10)
		t.n = 10;
	t.nodes = calloc((size_t)t.n, sizeof *t.nodes);
	t.cancels = t.n / CANCELLERS + 1;
	for (long k = 0; k < runs; k++) {
		t.seed = (uint64_t)k + 1;
		t.held = (weft_mutex){0};
		run(a_run, &t);
	}
	free(t.nodes);
}
