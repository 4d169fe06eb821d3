/* SPDX-License-Identifier: MIT
 *
 * victim.c - core/victim.h: does a worker ask all others, once each, in the order that its policy says? And is work found by each policy?
 *
 * Orders are looked at without threads: a runtime is put together by hand, on a machine that is shown (machine.h).
 */
#include "machine.h"
#include "rt.h"

#include <stdlib.h>

/* --- a runtime that does not run --- */

static struct runtime *still(unsigned n, weft_steal steal, bool pinned)
{
	struct runtime *rt = calloc(1, sizeof *rt);

	T_OK(rt != NULL);
	unsetenv("WEFT_CPUSET");
	unsetenv("WEFT_PIN");
	T_EQ(weft__place_up(&rt->place, &(weft_opts){.steal = steal, .pin_workers = pinned}), 0);
	T_OK(!rt->place.binds);
	idle_init(&rt->idle);
	store_relaxed(&rt->n, n); /* nobody else's, here and below */
	store_relaxed(&rt->active, n);
	rt->seats_max = n;
	rt->workers = aligned_alloc(_Alignof(struct worker), n * sizeof *rt->workers);
	T_OK(rt->workers != NULL);
	memset(rt->workers, 0, n * sizeof *rt->workers);
	for (unsigned i = 0; i < n; i++) {
		struct worker *w = &rt->workers[i];

		w->rt = rt;
		w->id = i;
		store_relaxed(&w->cpu, place_cpu(&rt->place, i));
		w->watched = calloc(n, sizeof *w->watched);
		T_OK(w->watched != NULL);
		rng_seed(&w->rng, 1, i + 1);
		T_EQ(weft__victims_make(w), 0);
	}
	return rt;
}

static void gone(struct runtime *rt)
{
	for (unsigned i = 0; i < rt_seats(rt); i++) {
		weft__victims_free(&rt->workers[i]);
		free(rt->workers[i].watched);
	}
	weft__place_down(&rt->place);
	free(rt->workers);
	free(rt);
}

/* A whole round of w's, in which nobody gives anything: ids into out. Returns how many. */
static unsigned round_of(struct worker *w, int round, int *out)
{
	struct victim_round r;
	unsigned n = 0;
	int id;

	weft__victims_begin(w, &r, round);
	while ((id = weft__victims_next(w, &r)) >= 0) {
		T_LT(n, rt_seats(w->rt));
		out[n++] = id;
		weft__victims_told(w, id, false);
	}
	T_EQ(weft__victims_next(w, &r), -1);
	return n;
}

/* ids[from .. to) are these, in any order, once each. */
static void check_level(const int *ids, unsigned from, unsigned to, bool (*in)(int, int), int self)
{
	bool seen[64] = {false};
	unsigned n = 0;

	for (int id = 0; id < 32; id++)
		n += in(self, id);
	T_EQ(to - from, n);
	for (unsigned i = from; i < to; i++) {
		T_OK(in(self, ids[i]));
		T_OK(!seen[ids[i]]);
		seen[ids[i]] = true;
	}
}

/* Worker i is on CPU i: core i % 16. */
static bool on_core(int a, int b)
{
	return a != b && a % 16 == b % 16;
}

static bool on_cache(int a, int b)
{
	return a % 16 != b % 16 && a % 16 / 4 == b % 16 / 4;
}

static bool on_node(int a, int b)
{
	return a % 16 / 4 != b % 16 / 4 && a % 16 / 8 == b % 16 / 8;
}

static bool elsewhere(int a, int b)
{
	return a % 16 / 8 != b % 16 / 8;
}

/* Near, on 2 packages with 2 caches of 4 cores of 2 threads: 1 on the core, 6 on the cache, 8 on the node, 16 elsewhere; within a level not always the same first. */
TEST(near_on_a_server)
{
	struct runtime *rt;

	weft__topo_set(machine(2, 2, 4, 2));
	rt = still(32, WEFT_STEAL_NEAR, true);
	for (int w = 0; w < 32; w++) {
		bool first[32] = {false};
		int ids[32], firsts = 0;

		T_EQ(load_relaxed(&rt->workers[w].cpu), w);
		for (int round = 0; round < 100; round++) {
			T_EQ(round_of(&rt->workers[w], round % SEARCH_ROUNDS, ids), 31);
			check_level(ids, 0, 1, on_core, w);
			check_level(ids, 1, 7, on_cache, w);
			check_level(ids, 7, 15, on_node, w);
			check_level(ids, 15, 31, elsewhere, w);
			firsts += !first[ids[15]];
			first[ids[15]] = true;
		}
		T_GT(firsts, 8);
	}
	gone(rt);
}

/* Workers that share a CPU are the nearest; those of whom nothing is known come last. */
TEST(near_without_room)
{
	struct runtime *rt;
	int ids[8];

	weft__topo_set(machine(1, 1, 2, 1));
	rt = still(8, WEFT_STEAL_NEAR, true);
	T_EQ(round_of(&rt->workers[3], 0, ids), 7);
	for (int i = 0; i < 3; i++)
		T_EQ(ids[i] % 2, 1);
	for (int i = 3; i < 7; i++)
		T_EQ(ids[i] % 2, 0);
	gone(rt);
}

/* Not pinned: the order follows those who have moved. */
TEST(near_moves)
{
	static const int at[4] = {0, 8, 4, 1};
	struct runtime *rt;
	int ids[4];

	weft__topo_set(machine(2, 2, 4, 2));
	rt = still(4, WEFT_STEAL_NEAR, false);
	T_OK(rt->place.tracks);
	T_EQ(round_of(&rt->workers[0], 0, ids), 3); /* wherever they are */
	for (int i = 0; i < 4; i++)
		store_relaxed(&rt->workers[i].cpu, at[i]);
	add_relaxed(&rt->place.moves, 1u);
	T_EQ(round_of(&rt->workers[0], 0, ids), 3);
	T_OK(ids[0] == 3 && ids[1] == 2 && ids[2] == 1);
	T_EQ(round_of(&rt->workers[1], 0, ids), 3);
	T_EQ(ids[0] + ids[1] + ids[2], 5);
	store_relaxed(&rt->workers[1].cpu, 16);
	T_EQ(round_of(&rt->workers[0], 0, ids), 3); /* nobody has told it */
	T_EQ(ids[2], 1);
	add_relaxed(&rt->place.moves, 1u);
	T_EQ(round_of(&rt->workers[0], 0, ids), 3);
	T_OK(ids[0] == 1 && ids[1] == 3 && ids[2] == 2);
	gone(rt);
}

/* A worker notes where it runs, and tells others when that has changed. */
TEST(notes_where_it_is)
{
	struct runtime *rt;
	uint32_t moves;

	weft__topo_set(machine(1, 1, 4, 1));
	rt = still(2, WEFT_STEAL_NEAR, false);
	T_EQ(load_relaxed(&rt->workers[1].cpu), -1);
	weft__place_note(&rt->workers[1]);
	T_GE(load_relaxed(&rt->workers[1].cpu), 0);
	moves = load_relaxed(&rt->place.moves);
	T_GE(moves, 1);
	store_relaxed(&rt->workers[1].cpu, 4000);
	weft__place_note(&rt->workers[1]);
	T_EQ(load_relaxed(&rt->place.moves), moves + 1);
	T_NE(load_relaxed(&rt->workers[1].cpu), 4000);
	gone(rt);
}

/* --- adaptive --- */

static void check_all_once(const int *ids, unsigned n, unsigned self, unsigned workers)
{
	bool seen[64] = {false};

	T_EQ(n, workers - 1);
	for (unsigned i = 0; i < n; i++) {
		T_OK(ids[i] >= 0 && (unsigned)ids[i] < workers && (unsigned)ids[i] != self);
		T_OK(!seen[ids[i]]);
		seen[ids[i]] = true;
	}
}

/* Whoever gave something last is asked first; who never does is left out, but not of the last two rounds. */
TEST(adaptive)
{
	struct runtime *rt = still(8, WEFT_STEAL_ADAPTIVE, false);
	struct worker *w = &rt->workers[2];
	int ids[8];

	check_all_once(ids, round_of(w, 0, ids), 2, 8);
	weft__victims_told(w, 6, true);
	for (int i = 0; i < 4; i++) {
		check_all_once(ids, round_of(w, 0, ids), 2, 8);
		T_EQ(ids[0], 6);
	}
	weft__victims_told(w, 1, true);
	check_all_once(ids, round_of(w, 1, ids), 2, 8);
	T_EQ(ids[0], 1);
	for (int i = 0; i < 20; i++) /* nobody gives */
		check_all_once(ids, round_of(w, SEARCH_ROUNDS - 1 - i % 2, ids), 2, 8);
	T_EQ(round_of(w, 0, ids), 1);
	T_EQ(ids[0], 1); /* that one is asked nevertheless */
	T_EQ(round_of(w, SEARCH_ROUNDS - 3, ids), 1);
	weft__victims_told(w, 5, true);
	T_EQ(round_of(w, 0, ids), 1);
	T_EQ(ids[0], 5);
	check_all_once(ids, round_of(w, SEARCH_ROUNDS - 2, ids), 2, 8);
	T_EQ(ids[0], 5);
	weft__victims_told(w, 3, true);
	T_EQ(round_of(w, 0, ids), 2); /* 5 has not missed often enough since */
	T_OK(ids[0] == 3 && ids[1] == 5);
	gone(rt);
}

/* A giver that is no worker any more is forgotten. */
TEST(adaptive_with_fewer)
{
	struct runtime *rt = still(8, WEFT_STEAL_ADAPTIVE, false);
	int ids[8];

	weft__victims_told(&rt->workers[0], 7, true);
	rt->n = 4;
	check_all_once(ids, round_of(&rt->workers[0], 0, ids), 0, 4);
	rt->n = 8;
	gone(rt);
}

/* --- whom to wake --- */

static unsigned woken(struct runtime *rt, const int *sleepers, unsigned n)
{
	struct worker *was = weft__worker_look();
	unsigned at;

	for (unsigned i = 0; i < n; i++)
		shared_set(&rt->idle.list[i], (uint16_t)sleepers[i]);
	shared_set(&rt->idle.n, (uint16_t)n);
	weft__worker_set(&rt->workers[0]);
	at = weft__victims_sleeper(&rt->idle);
	weft__worker_set(was);
	T_LT(at, n);
	return (unsigned)sleepers[at];
}
#define WOKEN(...) woken(rt, (const int[]){__VA_ARGS__}, ARRAY_LEN(((const int[]){__VA_ARGS__})))

/* The first worker, on CPU 0, wakes whom? Another core of its cache, then the other thread of its core, then its node's. Of equals the last in. */
TEST(sleepers)
{
	struct runtime *rt;

	weft__topo_set(machine(2, 2, 4, 2));
	rt = still(32, WEFT_STEAL_NEAR, true);
	T_EQ(WOKEN(9), 9);
	T_EQ(WOKEN(16, 3, 5, 9), 3);
	T_EQ(WOKEN(16, 5, 9), 16);
	T_EQ(WOKEN(5, 9, 8), 5);
	T_EQ(WOKEN(1, 2, 3), 3);
	T_EQ(WOKEN(9, 10, 11), 11);
	gone(rt);
}

/* --- work is found --- */

static ATOMIC(int) ran;

static int leaf(void *arg)
{
	(void)arg;
	add_relaxed(&ran, 1);
	return 0;
}

static int branch(void *arg)
{
	int depth = (int)(intptr_t)arg;
	weft_task *kid[3];

	if (!depth)
		return leaf(NULL);
	for (int i = 0; i < 3; i++)
		kid[i] = start(branch, (void *)(intptr_t)(depth - 1));
	for (int i = 0; i < 3; i++)
		finish(kid[i]);
	return 0;
}

static int passes_on(void *arg)
{
	weft_chan **c = arg;
	int v;

	while (weft_chan_recv(c[0], &v) == 0)
		T_EQ(weft_chan_send(c[1], &v), 0);
	return 0;
}

enum { HOPS = 6 };

/* A tree, and a line of tasks that hand on numbers. */
static int works(void *arg)
{
	weft_chan *c[HOPS + 1];
	weft_task *t[HOPS];
	int n = (int)tap_iters(200), v;

	(void)arg;
	store_relaxed(&ran, 0); /* the tree is joined */
	finish(start(branch, (void *)5));
	T_EQ(load_relaxed(&ran), 243);
	for (int i = 0; i <= HOPS; i++)
		c[i] = weft_chan_make(sizeof v, 2);
	for (int i = 0; i < HOPS; i++)
		t[i] = start(passes_on, &c[i]);
	for (int i = 0, got = 0; got < n;) {
		if (i < n && weft_chan_trysend(c[0], &i) == 0) {
			i++;
			continue;
		}
		T_EQ(weft_chan_recv(c[HOPS], &v), 0);
		T_EQ(v, got++);
	}
	for (int i = 0; i < HOPS; i++) {
		weft_chan_close(c[i]);
		finish(t[i]);
	}
	for (int i = 0; i <= HOPS; i++)
		weft_chan_free(c[i]);
	return 0;
}

static void all_policies(weft_opts o)
{
	unsetenv("WEFT_CPUSET");
	unsetenv("WEFT_PIN");
	for (o.steal = WEFT_STEAL_RANDOM; o.steal <= WEFT_STEAL_NEAR; o.steal++) {
		for (int i = 0; i < 3; i++)
			T_EQ(run_with(works, NULL, o), 0);
	}
}

/* By every policy, wherever workers are. */
TEST_WORKERS(work)
{
	all_policies((weft_opts){.workers = 0});
}

/* Pinned. */
TEST_WORKERS(work_pinned)
{
	all_policies((weft_opts){.pin_workers = true});
}

/* On a server that is shown: two nodes. */
TEST_WORKERS(work_on_a_server)
{
	weft__topo_set(machine(2, 2, 1, 1));
	all_policies((weft_opts){.workers = 0});
	all_policies((weft_opts){.pin_workers = true});
}

static int sees_policy(void *arg)
{
	(void)arg;
	return weft__rt->place.steal;
}

/* The policy is the option's, else the environment's. */
TEST(policy)
{
	unsetenv("WEFT_STEAL");
	T_EQ(weft_run(sees_policy, NULL, NULL), WEFT_STEAL_RANDOM);
	setenv("WEFT_STEAL", "near", 1);
	T_EQ(weft_run(sees_policy, NULL, NULL), WEFT_STEAL_NEAR);
	setenv("WEFT_STEAL", "adaptive", 1);
	T_EQ(weft_run(sees_policy, NULL, NULL), WEFT_STEAL_ADAPTIVE);
	T_EQ(weft_run(sees_policy, NULL, &(weft_opts){.steal = WEFT_STEAL_RANDOM}), WEFT_STEAL_RANDOM);
	setenv("WEFT_STEAL", "random", 1);
	T_EQ(weft_run(sees_policy, NULL, NULL), WEFT_STEAL_RANDOM);
	T_EQ(weft_run(sees_policy, NULL, &(weft_opts){.steal = WEFT_STEAL_NEAR}), WEFT_STEAL_NEAR);
}
