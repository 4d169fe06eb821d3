/* SPDX-License-Identifier: MIT
 *
 * groups.c - random trees of groups with random failures, limits, cancels and ways out: every child runs exactly once or was never started, nobody outlives the frame it
 * points into, and every error that is told is one that happened.
 */
#include "rt.h"

#include "base/rand.h"
#include "weft/defer.h"
#include "weft/group.h"
#include <stdlib.h>
#include <sys/random.h>

enum { KIDS = 12, DEPTH = 4 };

static ATOMIC(long) ran, started, refused, failed, panicked, cancels; /* of all trees */

struct node {
	weft_group *of; /* it is a child of; NULL: the root */
	struct rng rng;
	int depth;
	bool begun;       /* weft_group_go said so */
	ATOMIC(int) runs; /* times it has begun to run */
	int code;         /* what it ended with */
	uint64_t id;
	uint32_t alive; /* told at the end: the frame has not been used for something else */
};

#define ALIVE 0x600dcafeu

static int node_main(void *arg);

/* Nobody runs any more: what is told of the children is what happened to them. Closes the group, and returns its result. */
static int check(weft_group *g, const weft_group_opts *o, struct node *kid, int n)
{
	weft_group_stat s;
	weft_group_err e[KIDS];
	int fails = 0, begun = 0, late = 0, errors = weft_group_errors(g, e, KIDS), result;
	bool found;

	weft_group_counts(g, &s);
	T_EQ(s.running, 0);
	result = weft_group_close(g);
	found = result == 0;
	for (int i = 0; i < n; i++) {
		T_EQ(load_relaxed(&kid[i].runs), kid[i].begun); /* ordered by the join */
		begun += kid[i].begun;
		late += !kid[i].begun; /* the group was over */
		if (kid[i].begun && kid[i].code < 0) {
			fails++;
			found = found || result == kid[i].code;
		}
	}
	T_EQ(s.done, begun);
	T_EQ(s.failed, fails);
	T_EQ(result<0, fails + late> 0 && o->policy != WEFT_IGNORE);
	T_OK(found || (late && result == WEFT_ECANCELED));
	T_EQ(errors, o->policy == WEFT_COLLECT ? fails : 0);
	for (int i = 0; i < errors; i++) {
		int whose = 0;

		while (whose < n && kid[whose].id != e[i].task)
			whose++;
		T_LT(whose, n);
		T_EQ(kid[whose].code, e[i].code);
		kid[whose].id = 0; /* told once */
	}
	return result;
}

/* A node's children; the block is left in some way. Returns the group's result, or 0 if it was not asked for. */
static int family(struct node *me)
{
	struct node kid[KIDS];
	const weft_group_opts o = {
		.policy = (enum weft_group_policy)rng_below(&me->rng, 3),
		.max = rng_below(&me->rng, 2) ? 0 : 1 + (int)rng_below(&me->rng, 3),
	};
	int n = (int)rng_below(&me->rng, KIDS), rc = 0;
	weft_group_stat s;

	memset(kid, 0, sizeof kid);
	WEFT_WITH_GROUP (g, .policy = o.policy, .max = o.max) {
		for (int i = 0; i < n; i++) {
			kid[i] = (struct node){.of = &g, .depth = me->depth - 1, .alive = ALIVE};
			rng_seed(&kid[i].rng, rng_next(&me->rng), 0);
			rc = weft_group_go(&g, node_main, &kid[i]);
			kid[i].begun = rc == 0;
			T_OK(rc == 0 || rc == WEFT_ECANCELED);
			add_relaxed(rc ? &refused : &started, 1);
		}
		switch (rng_below(&me->rng, 4)) {
		case 0:
			goto out; /* unasked */
		case 1:
			weft_group_cancel(&g, WEFT_REASON_USER);
			add_relaxed(&cancels, 1);
			break;
		}
		rc = weft_group_wait(&g);
		if (weft_ctx_check())
			break; /* the node is cancelled: then, or just now */
		weft_group_counts(&g, &s);
		T_EQ(s.running, 0);
		T_EQ(check(&g, &o, kid, n), rc);
	}
	return rc;
out:
	for (int i = 0; i < n; i++)
		T_EQ(load_relaxed(&kid[i].runs), kid[i].begun); /* ordered by the join */
	return 0;
}

static void ends(void *arg)
{
	struct node *me = arg;

	T_EQ(me->alive, ALIVE);
}

static int node_main(void *arg)
{
	struct node *me = arg;
	WEFT_DEFER(ends, me);

	me->id = weft_task_id(NULL);
	T_EQ(add_relaxed(&me->runs, 1), 0);
	add_relaxed(&ran, 1);
	me->code = 0;
	if (me->depth > 0 && rng_below(&me->rng, 3))
		me->code = family(me);
	switch (rng_below(&me->rng, 40)) {
	case 0:
	case 1:
		me->code = -1000 - (int)rng_below(&me->rng, 1000);
		break;
	case 2:
		me->code = -3000 - (int)rng_below(&me->rng, 1000);
		weft_task_exit(me->code);
	case 3:
		if (me->of && rng_below(&me->rng, 20) == 0) {
			add_relaxed(&panicked, 1);
			me->code = WEFT_EPANIC;
			weft_task_panic("a node had enough");
		}
		break;
	case 4:
		if (me->of)
			weft_group_cancel(me->of, WEFT_REASON_USER + 1);
		break;
	case 5:
	case 6:
		me->code = weft_task_sleep((int64_t)rng_below(&me->rng, 50) * WEFT_US);
		break;
	case 7:
	case 8:
		weft_task_yield();
		break;
	}
	if (me->code < 0)
		add_relaxed(&failed, 1);
	return me->code;
}

static int trees_main(void *arg)
{
	struct rng *r = arg;
	long n = tap_iters(2000);

	for (long i = 0; i < n; i++) {
		struct node root = {.depth = DEPTH, .alive = ALIVE, .begun = true};
		weft_ctx *c = weft_ctx_make(NULL);
		weft_task *t;

		rng_seed(&root.rng, rng_next(r), 0);
		add_relaxed(&started, 1);
		T_EQ(weft_go_opts(&t, node_main, &root, &(weft_task_opts){.ctx = c}), 0);
		if (rng_below(r, 3) == 0) {
			for (uint32_t k = rng_below(r, 20); k > 0; k--)
				weft_task_yield();
			weft_ctx_cancel(c, WEFT_REASON_USER + 2);
		}
		finish(t);
		T_EQ(load_relaxed(&root.runs), 1);
		T_EQ(load_relaxed(&ran), load_relaxed(&started)); /* the tree is at its end, and with it all that was begun */
		weft_ctx_free(c);
	}
	tap_note("%ld ran, %ld not started, %ld failed, %ld panicked, %ld cancels", load_relaxed(&ran), load_relaxed(&refused),
		 load_relaxed(&failed), load_relaxed(&panicked), load_relaxed(&cancels));
	T_GT(load_relaxed(&failed), 0);
	T_GT(load_relaxed(&refused), 0);
	return 0;
}

TEST_WORKERS(trees)
{
	const char *env = getenv("WEFT_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : 0;
	struct rng r;

	if (!seed)
		T_EQ(getrandom(&seed, sizeof seed, 0), sizeof seed);
	seed |= !seed;
	tap_note("WEFT_SEED=%llu", (unsigned long long)seed);
	rng_seed(&r, seed, 1);
	T_EQ(run_with(trees_main, &r, (weft_opts){.seed = seed}), 0);
}

/* --- frames that die at once, many groups at a time --- */

static int tallies(void *arg)
{
	int *n = arg;

	*n += 1; /* its own word, read by who has joined */
	return 0;
}

static void builds(weft_wg *wg, long rounds, int max)
{
	for (long i = 0; i < rounds; i++) {
		int n[5] = {0};

		WEFT_WITH_GROUP (g, .max = max) {
			for (int k = 0; k < 5; k++)
				T_EQ(weft_group_go(&g, tallies, &n[k]), 0);
			if (i & 1)
				T_EQ(weft_group_wait(&g), 0);
		}
		for (int k = 0; k < 5; k++)
			T_EQ(n[k], 1);
	}
	weft_wg_done(wg);
}

static int crowds_main(void *arg)
{
	weft_wg wg = {0};

	(void)arg;
	for (int i = 0; i < 20; i++) {
		weft_wg_add(&wg, 1);
		T_EQ(weft_go(builds, &wg, tap_iters(2000), i % 4), 0);
	}
	T_EQ(weft_wg_wait(&wg), 0);
	return 0;
}

TEST_WORKERS(crowds)
{
	run(crowds_main, NULL);
}
