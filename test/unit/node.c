/* SPDX-License-Identifier: MIT
 *
 * node.c - core/node.h, weft_node, weft_nodes: does memory come from the node of those who use it, go back there, and from elsewhere only where there is no other?
 *
 * Machines are shown (machine.h): nothing is bound, and what mbind would be asked is written down.
 */
#include "failpoint.h"
#include "machine.h"
#include "rt.h"

#include "core/node.h"
#include "core/stackpool.h"
#include <errno.h>
#include <pthread.h>

enum { WISHES = 4096 };

static struct wish {
	char *at;
	size_t bytes;
	int node;
} wishes[WISHES];
static ATOMIC(unsigned) nwishes;

static void write_down(void *at, size_t bytes, int node)
{
	unsigned i = add_relaxed(&nwishes, 1u); /* each its own; read when nobody wishes any more */

	T_LT(i, WISHES);
	wishes[i] = (struct wish){.at = at, .bytes = bytes, .node = node};
}

/* The node that was wished last for this address; -2: none ever was. */
static int wished(const void *at)
{
	int node = -2;

	for (unsigned i = 0; i < load_relaxed(&nwishes); i++) {
		if ((const char *)at >= wishes[i].at && (const char *)at < wishes[i].at + wishes[i].bytes)
			node = wishes[i].node;
	}
	return node;
}

/* This process is on that machine from here on. */
static void show(struct topo *t)
{
	unsetenv("WEFT_CPUSET");
	unsetenv("WEFT_PIN");
	weft__topo_set(t);
	weft__node_wish = write_down;
}

static int run_pinned(weft_task_fn *fn, void *arg)
{
	return run_with(fn, arg, (weft_opts){.pin_workers = true});
}

/* Of the worker that the caller runs on. */
static unsigned my_node(void)
{
	return topo_node(weft__topo(), place_cpu(&weft__rt->place, (unsigned)weft_task_worker() - 1));
}

/* Has fn run, pinned, on workers of every node. It gets the node's number. */
struct on_nodes {
	weft_task_fn *fn;
	ATOMIC(unsigned) seen; /* a bit a node */
};

static int on_a_node(void *arg)
{
	struct on_nodes *o = arg;
	unsigned node;
	int rc;

	weft_task_pin();
	node = my_node();
	rc = o->fn((void *)(uintptr_t)node);
	store_relaxed(&o->seen, load_relaxed(&o->seen) | 1u << node); /* one at a time */
	return rc;
}

static void on_every_node(weft_task_fn *fn)
{
	struct on_nodes o = {.fn = fn};
	unsigned all = 0;

	for (unsigned i = 0; i < weft__rt->n; i++)
		all |= 1u << topo_node(weft__topo(), place_cpu(&weft__rt->place, i));
	for (int i = 0; load_relaxed(&o.seen) != all; i++) { /* one whose worker is late is run by another */
		weft_task *t;
		weft_task_opts at = {.worker = 1 + i % (int)weft__rt->n};

		T_EQ(weft_go_opts(&t, on_a_node, &o, &at), 0);
		T_EQ(finish(t), 0);
	}
}

/* --- pools --- */

enum { BATCH_OF = 5 };

static int takes_and_gives(void *arg)
{
	unsigned node = (unsigned)(uintptr_t)arg;
	struct stack *s, *again, *large;
	void *rec[BATCH_OF];
	bool in_guard;
	int n;

	T_EQ(weft_node(), node);
	T_EQ(weft__node_here(), node);
	T_EQ(weft__stack_find(__builtin_frame_address(0), &in_guard)->slab->node, node); /* its own */
	T_EQ(weft__stack_get(STACK_DEFAULT, &s), 0);
	T_EQ(s->slab->node, node);
	T_EQ(wished(s->lo), node);
	T_EQ(wished(s->hi - 1), node);
	T_EQ(weft__stack_get(1 << 20, &large), 0);
	T_EQ(large->slab->node, node);
	T_EQ(wished(large->lo), node);
	weft__stack_put(large);
	weft__stack_put(s);
	T_EQ(weft__stack_get(STACK_DEFAULT, &again), 0);
	T_OK(again->slab->node == node);
	weft__stack_put(again);
	n = weft__rec_get_batch(rec, BATCH_OF);
	T_GT(n, 0);
	for (int i = 0; i < n; i++) {
		T_EQ(weft__rec_node(rec[i]), node);
		T_EQ(wished(rec[i]), node);
	}
	weft__rec_put_batch(rec, n);
	return 0;
}

static int pools_main(void *arg)
{
	(void)arg;
	T_EQ(weft_nodes(), (int)weft__topo()->nnodes);
	until_all_workers_run();
	for (int i = 0; i < 3; i++)
		on_every_node(takes_and_gives);
	return 0;
}

static void check_all_given_back(void)
{
	struct stack_stats st;
	struct rec_stats rec;

	weft_trim();
	weft__stack_stats(&st);
	T_EQ(st.slabs, 0);
	T_EQ(st.mapped, 0);
	T_EQ(st.pooled, 0);
	weft__rec_stats(&rec);
	T_LE(rec.slabs - rec.empty, 1); /* the caller's own record */
}

/* Two nodes: stacks and records come from that of the worker, and all of them are given back. */
TEST_WORKERS(pools)
{
	show(machine(2, 1, 2, 2));
	T_EQ(run_pinned(pools_main, NULL), 0);
	check_all_given_back();
}

/* Nodes whose numbers are above those of the pools share them; memory is wished from the right ones. */
static int far_numbers(void *arg)
{
	struct stack *s;

	T_EQ(weft_node(), NODES_MAX + 1);
	T_EQ(weft_nodes(), NODES_MAX + 2);
	T_EQ(weft__stack_get(1 << 20, &s), 0);
	T_EQ(s->slab->node, 1);
	T_EQ(wished(s->lo), NODES_MAX + 1);
	weft__stack_put(s);
	return arg != NULL;
}

TEST(more_nodes_than_pools)
{
	struct topo *t = weft__topo_make(1);

	T_OK(t != NULL);
	t->here = false;
	t->nnodes = NODES_MAX + 2;
	t->cpu[0] = (struct topo_cpu){.there = true, .node = NODES_MAX + 1};
	show(t);
	T_EQ(run_with(far_numbers, NULL, (weft_opts){.workers = 1, .pin_workers = true}), 0);
	check_all_given_back();
}

static int one_node(void *arg)
{
	struct stack *s;

	T_EQ(weft_node(), 0);
	T_EQ(weft_nodes(), 1);
	T_EQ(weft__stack_get(1 << 20, &s), 0);
	T_EQ(s->slab->node, 0);
	weft__stack_put(s);
	return arg != NULL;
}

/* One node: nobody asks where he is, and nothing is wished. */
TEST_WORKERS(one)
{
	show(machine(1, 2, 2, 1));
	T_EQ(run_pinned(one_node, NULL), 0);
	T_EQ(run_with(one_node, NULL, (weft_opts){.workers = 0}), 0);
	T_EQ(load_relaxed(&nwishes), 0);
	check_all_given_back();
}

/* --- who is not bound --- */

static void *looks_around(void *arg)
{
	T_GE(weft_node(), 0);
	T_LT(weft_node(), weft_nodes());
	return arg;
}

static int somewhere(void *arg)
{
	pthread_t th;
	struct stack *s;

	looks_around(NULL);
	T_EQ(pthread_create(&th, NULL, looks_around, NULL), 0);
	pthread_join(th, NULL);
	T_EQ(weft__stack_get(1 << 20, &s), 0);
	T_LT(s->slab->node, 2);
	T_EQ(wished(s->lo), s->slab->node);
	weft__stack_put(s);
	return arg != NULL;
}

/* On several nodes, workers that are not pinned take from where they happen to be; so do threads, with a runtime and without. */
TEST_WORKERS(not_pinned)
{
	show(machine(2, 1, 1, 1));
	looks_around(NULL);
	T_EQ(run_with(somewhere, NULL, (weft_opts){.workers = 0}), 0);
	looks_around(NULL);
	check_all_given_back();
}

/* --- where nothing is left --- */

/* So large that a slab has one of them. */
#define LARGE ((size_t)32 << 20)

static struct stack *lent[2];
static void *records[2][1024];
static int nrecords[2];

/* All records that there are in this node's slabs, and a stack. */
static int takes(void *arg)
{
	unsigned node = (unsigned)(uintptr_t)arg;

	if (!lent[node])
		T_EQ(weft__stack_get(LARGE, &lent[node]), 0);
	if (!nrecords[node])
		nrecords[node] = weft__rec_get_batch(records[node], 8);
	T_GT(nrecords[node], 0);
	return 0;
}

/* Nothing can be mapped: what the other node has is better than nothing; then there is nothing. */
static int takes_from_afar(void *arg)
{
	unsigned node = (unsigned)(uintptr_t)arg, other = 1 - node;
	struct stack *s, *none;
	void *rec[16];
	int n, rc;

	if (!lent[other])
		return 0; /* it was this node's turn already */
	weft__stack_put(lent[other]);
	lent[other] = NULL;
	failpoint_arm_all(1);
	rc = weft__stack_get(LARGE, &s);
	failpoint_disarm();
	T_EQ(rc, 0);
	T_EQ(s->slab->node, other);
	failpoint_arm_all(1);
	rc = weft__stack_get(LARGE, &none); /* both are lent */
	failpoint_disarm();
	T_EQ(rc, -ENOMEM);
	weft__stack_put(s);
	weft__stack_put(lent[node]);
	lent[node] = NULL;

	/* until this node has no record left */
	failpoint_arm_all(1);
	do
		n = weft__rec_get_batch(rec, 1);
	while (n == 1 && weft__rec_node(rec[0]) == node && nrecords[node] < 1024 && (records[node][nrecords[node]++] = rec[0]));
	failpoint_disarm();
	if (n == 1) {
		if (nrecords[node] < 1024)
			T_EQ(weft__rec_node(rec[0]), other);
		weft__rec_put_batch(rec, 1);
	} else {
		T_EQ(n, -ENOMEM);
	}
	return 0;
}

static int afar_main(void *arg)
{
	(void)arg;
	until_all_workers_run();
	on_every_node(takes);
	T_OK(lent[0] && lent[1]);
	weft_trim();
	on_every_node(takes_from_afar);
	for (int i = 0; i < 2; i++) {
		weft__rec_put_batch(records[i], nrecords[i]);
		T_OK(lent[i] == NULL);
	}
	return 0;
}

TEST(from_afar)
{
	show(machine(2, 1, 1, 1));
	T_EQ(run_with(afar_main, NULL, (weft_opts){.workers = 2, .pin_workers = true}), 0);
	check_all_given_back();
}

/* --- a cache that holds stacks of others --- */

static struct stack *strange[STACK_CACHE / 2];

static int gets_strange(void *arg)
{
	if ((uintptr_t)arg == 1 && !strange[0]) {
		for (int i = 0; i < STACK_CACHE / 2; i++)
			T_EQ(weft__stack_get(STACK_DEFAULT, &strange[i]), 0);
	}
	return 0;
}

/* What tasks have brought along from other nodes leaves first, to where it came from. */
static int spills(void *arg)
{
	struct stack_cache c = {.n = 0};
	struct stack *s, *last;

	if ((uintptr_t)arg == 1 || !strange[0])
		return 0;
	for (int i = 0; i < STACK_CACHE / 2; i++) {
		T_EQ(weft__stack_get(STACK_DEFAULT, &last), 0);
		stack_cache_put(&c, last);
		stack_cache_put(&c, strange[i]);
	}
	T_EQ(c.n, STACK_CACHE);
	T_EQ(weft__stack_get(STACK_DEFAULT, &s), 0);
	stack_cache_put(&c, s);
	T_EQ(c.n, STACK_CACHE / 2 + 1);
	for (unsigned i = 0; i < c.n; i++)
		T_EQ(c.hot[i]->slab->node, 0);
	T_OK(c.hot[c.n - 1] == s && c.hot[c.n - 2] == last); /* in the order they had */
	weft__stack_cache_drain(&c);
	strange[0] = NULL;
	return 0;
}

static int spill_main(void *arg)
{
	(void)arg;
	until_all_workers_run();
	on_every_node(gets_strange);
	T_OK(strange[0]);
	on_every_node(spills);
	T_OK(!strange[0]);
	return 0;
}

TEST(strangers_leave_first)
{
	show(machine(2, 1, 1, 1));
	T_EQ(run_with(spill_main, NULL, (weft_opts){.workers = 2, .pin_workers = true}), 0);
	check_all_given_back();
}

/* --- workers --- */

static int sees_array(void *arg)
{
	struct worker *array = weft__rt->workers;
	unsigned narray = load_relaxed(&weft__rt->n); /* nobody makes more */
	uintptr_t page = page_size();

	T_EQ((uintptr_t)array % page, 0);
	for (uintptr_t p = (uintptr_t)array; p < (uintptr_t)(array + narray); p += page) {
		unsigned first = (unsigned)((p - (uintptr_t)array) / sizeof *array); /* whose is what this page begins with */

		T_EQ(wished((void *)p), topo_node(weft__topo(), place_cpu(&weft__rt->place, first)));
	}
	return arg != NULL;
}

/* A pinned worker's struct lies on its node. */
TEST_WORKERS(workers)
{
	show(machine(2, 1, tap_workers() / 2 ? tap_workers() / 2 : 1, 1));
	T_EQ(run_pinned(sees_array, NULL), 0);
	check_all_given_back();
}

/* --- calls that fail --- */

static int returns_five(void *arg)
{
	(void)arg;
	return 5;
}

/* Pinned, on two nodes, with tables of who is near: the n-th call on the way up fails. */
TEST_WORKERS(failing_calls)
{
	const weft_opts o = {
		.workers = tap_workers(), .workers_max = tap_workers(), .pin_workers = true, .cpuset = "0-1", .steal = WEFT_STEAL_NEAR};
	int refused = 0;

	show(machine(2, 1, 1, 1));
	for (int i = 0; i < 2; i++)
		T_EQ(run_with(returns_five, NULL, o), 5); /* what is made once a process */
	for (long n = 1;; n++) {
		bool fired;
		int rc, fds = rt_fds();

		failpoint_arm(n);
		rc = weft_run(returns_five, NULL, &o);
		fired = failpoint_fired();
		failpoint_disarm();
		if (rc != 5 && rc != WEFT_ENOMEM && rc != WEFT_EMFILE && rc != WEFT_EAGAIN)
			T_FAIL("call %ld (%s): %d", n, failpoint_name(), rc);
		refused += rc != 5;
		nothing_left();
		T_EQ(rt_fds(), fds);
		if (!fired)
			break;
		T_LT(n, 2000);
	}
	T_GT(refused, 5);
	T_EQ(run_with(returns_five, NULL, o), 5);
}
