/* SPDX-License-Identifier: MIT
 *
 * timer.c - the timing wheel against a reference that looks at every node.
 *
 * The reference knows a node's deadline and when it was added; the wheel must fire exactly the right nodes in exactly
 * the right order, and its `next` must never be later than the truth.
 */
#include "tap.h"

#include "base/config.h"
#include "base/rand.h"
#include "core/timer.h"
#include <stdlib.h>
#include <string.h>

#define TICK (1LL << WHEEL_TICK_SHIFT)
#define NODES 400

struct node {
	struct timer_node t;
	bool in; /* the reference's own idea of being linked */
	int64_t when;
	int64_t due;   /* when, or the beginning of the wheel's current tick if that is later */
	uint64_t seq;  /* order of adding */
	int64_t again; /* what the fire function is to return next */
};

static struct wheel w;
static struct node nodes[NODES];
static struct node *fired[NODES];
static int nfired;
static uint64_t seq;
static int64_t clock_; /* latest time the wheel was run at */

/* When the wheel's current tick began. */
static int64_t wheel_time(void)
{
	return (int64_t)(w.tick * TICK + (uint64_t)INT64_MIN);
}

static void note_added(struct node *n, int64_t when)
{
	n->in = true;
	n->when = when;
	n->due = when < wheel_time() ? wheel_time() : when;
	n->seq = seq++;
}

static int64_t fire(struct timer_node *t, int64_t now, void *arg)
{
	struct node *n = container_of(t, struct node, t);

	T_OK(arg == &w);
	T_OK(n->in);
	T_OK(!list_linked(&t->link));
	T_LE(n->when, now); /* never early */
	T_OK(nfired < NODES);
	fired[nfired++] = n;
	n->in = false;
	return n->again > now ? n->again : WHEEL_NEVER;
}

static bool add(struct node *n, int64_t when)
{
	bool first;

	note_added(n, when);
	lock_take(&w.lock, RANK_WHEEL);
	first = weft__wheel_add(&w, &n->t, when);
	lock_drop(&w.lock);
	return first;
}

static void removed(struct node *n)
{
	n->in = false;
	lock_take(&w.lock, RANK_WHEEL);
	weft__wheel_remove(&w, &n->t);
	lock_drop(&w.lock);
}

static void reset(int64_t now)
{
	memset(nodes, 0, sizeof nodes);
	weft__wheel_init(&w, now);
	clock_ = now;
	nfired = 0;
	seq = 0;
}

/* next is a lower bound of the earliest due time, and NEVER exactly when the wheel is empty. */
static void check_next(void)
{
	int64_t least = WHEEL_NEVER;
	uint32_t count = 0;
	int i;

	for (i = 0; i < NODES; i++) {
		if (!nodes[i].in)
			continue;
		count++;
		if (nodes[i].due < least)
			least = nodes[i].due;
	}
	T_EQ(wheel_linked(&w, 0), count);
	T_LE(wheel_next(&w), least);
	T_EQ(count == 0, wheel_next(&w) == WHEEL_NEVER);
}

/* Runs the wheel and compares with the reference. */
static void run(int64_t now)
{
	bool expect[NODES];
	int i, n = 0;

	for (i = 0; i < NODES; i++) {
		expect[i] = nodes[i].in && nodes[i].due <= now;
		n += expect[i];
	}
	nfired = 0;
	T_EQ(weft__wheel_run(&w, now, fire, &w), n);
	T_EQ(nfired, n);
	for (i = 0; i < n; i++) {
		T_OK(expect[fired[i] - nodes]);
		if (i > 0) {
			int64_t a = fired[i - 1]->due >> WHEEL_TICK_SHIFT, b = fired[i]->due >> WHEEL_TICK_SHIFT;

			T_LE(a, b);
			if (a == b)
				T_LT(fired[i - 1]->seq, fired[i]->seq);
		}
	}
	/* Relinked in the order of firing. */
	for (i = 0; i < n; i++)
		if (fired[i]->again > now)
			note_added(fired[i], fired[i]->again);
	if (now > clock_)
		clock_ = now;
	check_next();
}

/* A distance of any magnitude, up to the whole range. */
static int64_t any_span(struct rng *r)
{
	return (int64_t)(rng_next(r) >> 1 >> rng_below(r, 63));
}

static int64_t later(int64_t t, int64_t span)
{
	return t > INT64_MAX - 1 - span ? INT64_MAX - 1 : t + span;
}

static int64_t any_deadline(struct rng *r)
{
	switch (rng_below(r, 8)) {
	case 0:
		return (int64_t)rng_next(r) >> 1; /* anything, negative too */
	case 1:
		return clock_ < 0 ? clock_ : clock_ - any_span(r); /* now or overdue */
	case 2:
		return INT64_MAX - 1 - rng_below(r, 3);
	case 3:
		return (later(clock_, any_span(r)) | (TICK - 1)) - (int64_t)rng_below(r, 2); /* about a tick's edge */
	case 4:
		return later(clock_, rng_below(r, 3) * TICK + rng_below(r, 100)); /* a crowd */
	default:
		return later(clock_, any_span(r));
	}
}

static int64_t not_never(int64_t t)
{
	return t == WHEEL_NEVER ? t - 1 : t;
}

static void random_walk(uint64_t seed, int64_t start, int steps)
{
	struct rng r;
	int i;

	rng_seed(&r, seed, 0);
	reset(start);
	for (i = 0; i < steps; i++) {
		struct node *n = &nodes[rng_below(&r, NODES)];
		int64_t old_next = wheel_next(&w), when;

		switch (rng_below(&r, 4)) {
		case 0:
		case 1:
			if (n->in) {
				removed(n);
				break;
			}
			n->again = rng_below(&r, 4) ? WHEEL_NEVER : not_never(later(clock_, any_span(&r)));
			if (n->again == WHEEL_NEVER)
				n->again = INT64_MIN;
			when = not_never(any_deadline(&r));
			T_EQ(add(n, when), n->due < old_next);
			break;
		case 2: /* time jumps, mostly by little; once in a while it stands still */
			run(rng_below(&r, 4) ? later(clock_, any_span(&r) >> rng_below(&r, 40)) : clock_);
			break;
		case 3: /* a sleeper woken exactly by next: something fires or next moves on */
			if (old_next != WHEEL_NEVER && old_next >= clock_ && rng_below(&r, 2)) {
				run(old_next);
				T_OK(nfired > 0 || wheel_next(&w) > old_next);
			}
			break;
		}
		if (i % 64 == 0)
			check_next();
	}
	run(INT64_MAX - 1);
	for (i = 0; i < NODES; i++)
		T_OK(!nodes[i].in);
	T_EQ(wheel_next(&w), WHEEL_NEVER);
}

/* Random adding, removing and running agrees with the reference, whatever the magnitudes. */
TEST(random_against_reference)
{
	uint64_t seed;

	for (seed = 1; seed <= (uint64_t)tap_iters(300); seed++) {
		tap_note("seed %llu", (unsigned long long)seed);
		random_walk(seed, seed % 3 == 0 ? 0 : seed % 3 == 1 ? SEC * (int64_t)seed : INT64_MIN, 2000);
	}
}

/* Every deadline an int64_t can hold fires, and none early. */
TEST(extreme_deadlines)
{
	static const int64_t when[] = {
		INT64_MIN,        INT64_MIN + 1, -TICK,        -1, 0, 1, TICK - 1, TICK, TICK + 1, INT64_MAX - TICK - 1,
		INT64_MAX - TICK, INT64_MAX - 2, INT64_MAX - 1};
	unsigned i, k;

	for (k = 0; k < ARRAY_LEN(when); k++) {
		reset(when[k]);
		for (i = 0; i < ARRAY_LEN(when); i++)
			add(&nodes[i], when[i]);
		for (i = k; i < ARRAY_LEN(when); i++)
			run(when[i]);
		T_EQ(wheel_linked(&w, 0), 0);
	}
}

/* While time stands still, what is already due fires at the next run, again and again. */
TEST(time_standing_still)
{
	int i;

	reset(5 * SEC);
	for (i = 0; i < 10; i++) {
		T_OK(add(&nodes[0], 5 * SEC - i));
		run(5 * SEC + 1);
		T_EQ(nfired, 1);
		run(5 * SEC + 1);
		T_EQ(nfired, 0);
	}
}

/* Deadlines a tick apart around the wrap of every level fire one by one. */
TEST(wrap_of_levels)
{
	unsigned level;
	int i;

	for (level = 1; level * WHEEL_SLOT_BITS + WHEEL_TICK_SHIFT < 62; level++) {
		int64_t edge = TICK << (level * WHEEL_SLOT_BITS);

		reset(edge - 100 * TICK);
		for (i = -3; i <= 3; i++)
			add(&nodes[i + 3], edge + i * TICK);
		run(edge - 4 * TICK);
		T_EQ(nfired, 0);
		for (i = -3; i <= 3; i++) {
			run(edge + i * TICK - 1);
			T_EQ(nfired, 0);
			run(edge + i * TICK);
			T_EQ(nfired, 1);
		}
	}
}

/* Nodes of one time fire in the order in which they were added, from near and from far. */
TEST(same_time_is_fifo)
{
	int i;

	reset(1);
	for (i = 0; i < NODES; i++) {
		if (i == NODES / 3)
			run(3599 * SEC);
		if (i == NODES / 2)
			run(3600 * SEC - 2 * TICK);
		add(&nodes[i], 3600 * SEC);
	}
	run(3601 * SEC);
	T_EQ(nfired, NODES);
	for (i = 0; i < NODES; i++)
		T_OK(fired[i] == &nodes[i]);
}

/* A single sleeper far away is reached in one step, since next is exact for it. */
TEST(lone_timer_wakes_once)
{
	reset(12345);
	T_OK(add(&nodes[0], 86400 * SEC));
	T_EQ(wheel_next(&w), nodes[0].due);
	run(wheel_next(&w));
	T_EQ(nfired, 1);
}

/* Following next from sleep to sleep reaches the last of many nodes with few wakes that fire nothing. */
TEST(following_next_makes_progress)
{
	struct rng r;
	int i, idle = 0;

	rng_seed(&r, 7, 0);
	reset(1);
	for (i = 0; i < NODES; i++)
		add(&nodes[i], 1 + (int64_t)rng_below(&r, 1u << 31) * 1000);
	while (wheel_next(&w) != WHEEL_NEVER) {
		int64_t next = wheel_next(&w);

		run(next);
		T_OK(nfired > 0 || wheel_next(&w) > next);
		idle += nfired == 0;
	}
	T_OK(idle <= NODES * WHEEL_LEVELS);
}

/* A node fires at its very nanosecond, whoever shares its tick. */
TEST(deadlines_are_exact)
{
	int64_t t = 7 * SEC;
	int i;

	reset(1);
	for (i = 0; i < 40; i++)
		add(&nodes[i], t + 39 - i);
	for (i = 0; i < 40; i++) {
		run(t + i);
		T_EQ(nfired, 1);
		T_EQ(wheel_next(&w), i < 39 ? t + i + 1 : WHEEL_NEVER);
	}
}

/* Removing one by one the nodes of a crowded slot stays cheap, and next stays a lower bound. */
TEST(remove_from_a_crowd)
{
	int i;

	reset(1);
	for (i = 0; i < NODES; i++)
		add(&nodes[i], 100 + i);
	for (i = 0; i < NODES; i++) {
		removed(&nodes[i]);
		check_next();
	}
}

/* Removing the earliest node tells a sleeper not to wake for it. */
TEST(remove_moves_next)
{
	reset(1);
	add(&nodes[0], 1 * SEC);
	removed(&nodes[0]);
	T_EQ(wheel_next(&w), WHEEL_NEVER);
	add(&nodes[0], 1 * SEC);
	add(&nodes[1], 3600 * SEC);
	removed(&nodes[0]);
	T_EQ(wheel_next(&w), 3600 * SEC);
}

/* A run with an older time than the last one is harmless. */
TEST(older_now_is_harmless)
{
	reset(1);
	add(&nodes[0], 10 * SEC);
	run(9 * SEC);
	run(8 * SEC);
	add(&nodes[1], 7 * SEC);
	nfired = 0;
	weft__wheel_run(&w, 8 * SEC, fire, &w);
	run(9 * SEC);
	T_OK(!nodes[1].in);
	run(11 * SEC);
	T_EQ(nfired, 1);
}

static int64_t count_only(struct timer_node *t, int64_t now, void *arg)
{
	T_OK(t->when <= now);
	++*(int64_t *)arg;
	return WHEEL_NEVER;
}

/* A million nodes: all fire, each in its time. */
TEST(a_million_nodes)
{
	enum { MANY = 1000000 };
	struct timer_node *many = calloc(MANY, sizeof *many);
	int64_t count = 0, total = 0, now = 1, expect = 0;
	struct rng r;
	int i;

	T_OK(many != NULL);
	rng_seed(&r, 11, 0);
	weft__wheel_init(&w, now);
	lock_take(&w.lock, RANK_WHEEL);
	for (i = 0; i < MANY; i++)
		weft__wheel_add(&w, &many[i], 1 + (int64_t)rng_below(&r, 1000) * MS);
	for (i = 0; i < MANY; i += 2) {
		weft__wheel_remove(&w, &many[i]);
		many[i].when = INT64_MIN;
	}
	lock_drop(&w.lock);
	for (now = 50 * MS; now <= 1000 * MS; now += 50 * MS) {
		for (expect = 0, i = 1; i < MANY; i += 2)
			expect += many[i].when <= now;
		count = weft__wheel_run(&w, now, count_only, &total);
		T_EQ(total, expect);
	}
	T_OK(count > 0);
	T_EQ(total, MANY / 2);
	T_EQ(wheel_linked(&w, 0), 0);
	free(many);
}
