/* SPDX-License-Identifier: MIT
 *
 * sup_storm.c - a tree of supervisors, three levels of it, whose actors fail at random: when they start, at a message, when they stop, killed or signalled from outside, their supervisors, too; while children are stopped,
 * started again, added and deleted. When the storm is over the tree is whole again, whoever lives is a child that its supervisor knows of, and what each has held has been given back once.
 *
 * WEFT_TEST_CRASHES=n: so many instead of a few thousand.
 */
#include "sups.h"

#include "base/rand.h"
#include "weft/local.h"
#include <stdlib.h>

#define PLACES 64
#define MIDS 3
#define DRIVERS 4
#define POOL_MOST 40

static _Atomic uint64_t seed;
static _Atomic long crashes, live, args;
static _Atomic long by_kind[8];
static _Atomic bool calm;
static weft_local held;

/* References that may be dead by the time they are read. */
static pthread_mutex_t places_lock = PTHREAD_MUTEX_INITIALIZER;
static weft_actor_ref leaves[PLACES], mids[MIDS], pools[MIDS];

static void put_place(weft_actor_ref *at, weft_actor_ref ref)
{
	pthread_mutex_lock(&places_lock);
	*at = ref;
	pthread_mutex_unlock(&places_lock);
}

static weft_actor_ref get_place(weft_actor_ref *at)
{
	weft_actor_ref ref;

	pthread_mutex_lock(&places_lock);
	ref = *at;
	pthread_mutex_unlock(&places_lock);
	return ref;
}

enum crash { BY_START, BY_MESSAGE, BY_PANIC, BY_STOP, BY_KILL, BY_SIGNAL, BY_SUP, BY_CHANGE };

static void crash(enum crash kind)
{
	crashes++;
	by_kind[kind]++;
}

/* --- a leaf --- */

struct leaf {
	struct rng rng;
};

/* However its task ends. */
static void let_go(void *value)
{
	free(value);
	live--;
}

static bool chance(struct rng *r, uint32_t n)
{
	return !calm && rng_below(r, n) == 0;
}

static int on_start(void *state)
{
	struct leaf *l = state;
	void *p = malloc(32);

	rng_seed(&l->rng, seed++, 3);
	T_OK(p != NULL);
	live++;
	T_EQ(weft_local_set(held, p), 0);
	put_place(&leaves[rng_below(&l->rng, PLACES)], weft_actor_self());
	if (chance(&l->rng, 16)) {
		crash(BY_START);
		if (rng_below(&l->rng, 2))
			return -8;
		weft_task_exit(-9);
	}
	return 0;
}

static int on_msg(void *state, weft_msg *m)
{
	struct leaf *l = state;

	(void)m;
	if (calm)
		return 0;
	switch (rng_below(&l->rng, 4)) {
	case 0:
		crash(BY_MESSAGE);
		return -7;
	case 1:
		crash(BY_MESSAGE);
		return WEFT_ACTOR_STOP;
	case 2:
		crash(BY_PANIC);
		weft_task_exit(6); /* as a panic does, but without a line on standard error */
	default:
		(void)weft_task_sleep(100 * WEFT_US);
		return 0;
	}
}

static void on_stop(void *state, weft_end e)
{
	struct leaf *l = state;

	(void)e;
	if (chance(&l->rng, 8)) {
		crash(BY_STOP);
		weft_task_exit(5);
	}
	if (chance(&l->rng, 8))
		(void)weft_task_sleep(100 * WEFT_US);
}

static int start_leaf(weft_actor_ref *out, void *arg)
{
	(void)arg;
	return weft_actor_start(out, &(weft_actor_opts){.on_start = on_start,
							.on_msg = on_msg,
							.on_stop = on_stop,
							.size = sizeof(struct leaf),
							.mailbox = {.cap = 4, .overflow = WEFT_OVERFLOW_FAIL},
							.link = rng_below(&(struct rng){seed++}, 4) != 0});
}

static int task_leaf(void *arg)
{
	struct leaf l;

	(void)arg;
	if (on_start(&l) < 0)
		return -1;
	while (!chance(&l.rng, 4)) {
		int rc = weft_task_sleep(WEFT_MS);

		if (rc)
			return rc;
	}
	crash(BY_MESSAGE);
	return (int)rng_below(&l.rng, 2);
}

static void arg_done(void *arg)
{
	free(*(void **)arg);
	args--;
}

/* --- the tree --- */

static void on_pool(const weft_sup_event *e, void *arg)
{
	if (strcmp(e->id, "pool") == 0)
		put_place(arg, e->ref);
}

static void on_mid(const weft_sup_event *e, void *arg)
{
	int i = e->id[3] - '0';

	(void)arg;
	put_place(&mids[i], e->ref);
}

static const weft_child_spec kind = {.start = start_leaf, .size = sizeof(void *), .dtor = arg_done, .restart = WEFT_TRANSIENT};
static const weft_sup_opts pool = {.strategy = WEFT_DYNAMIC, .children = &kind, .n = 1, .max_restarts = 20, .within = 10 * WEFT_MS};
static const weft_child_spec in_mid[] = {
	{.id = "a", .start = start_leaf},
	{.id = "pool", .sup = &pool},
	{.id = "b", .start = start_leaf, .restart = WEFT_TRANSIENT, .on_fail = WEFT_FAIL_RESUME, .shutdown = 50 * WEFT_US},
	{.id = "t", .task = task_leaf, .shutdown = WEFT_SHUTDOWN_KILL},
	{.id = "e", .start = start_leaf, .restart = WEFT_TEMPORARY, .on_fail = WEFT_FAIL_ESCALATE},
};
static const weft_sup_opts mid[MIDS] = {
	{.strategy = WEFT_ONE_FOR_ONE,
	 .children = in_mid,
	 .n = 5,
	 .max_restarts = 8,
	 .within = WEFT_MS,
	 .on_event = on_pool,
	 .event_arg = &pools[0]},
	{.strategy = WEFT_ONE_FOR_ALL,
	 .children = in_mid,
	 .n = 5,
	 .max_restarts = 8,
	 .within = WEFT_MS,
	 .on_event = on_pool,
	 .event_arg = &pools[1]},
	{.strategy = WEFT_REST_FOR_ONE,
	 .children = in_mid,
	 .n = 5,
	 .max_restarts = 8,
	 .within = 4 * WEFT_MS,
	 .backoff = {.min = 50 * WEFT_US, .max = WEFT_MS, .jitter = 0.3},
	 .on_event = on_pool,
	 .event_arg = &pools[2]},
};
static const weft_child_spec in_top[MIDS] = {
	{.id = "mid0", .sup = &mid[0]}, {.id = "mid1", .sup = &mid[1]}, {.id = "mid2", .sup = &mid[2]}};

/* --- from outside --- */

static void child_call(struct rng *r, weft_actor_ref sup)
{
	static const char *const ids[] = {"a", "pool", "b", "t", "e"};
	const char *id = ids[rng_below(r, 5)];
	int64_t deadline = rng_below(r, 4) ? WEFT_FOREVER : weft_in(20 * WEFT_US);

	crash(BY_CHANGE);
	if (weft_sup_child_stop_until(sup, id, deadline))
		return;
	if (rng_below(r, 3))
		(void)weft_sup_child_restart_until(sup, id, NULL, deadline);
	else if (!weft_sup_child_del_until(sup, id, deadline))
		(void)weft_sup_child_add(sup, &in_mid[id[0] == 'a' ? 0 : id[0] == 'p' ? 1 : id[0] == 'b' ? 2 : id[0] == 't' ? 3 : 4], NULL);
}

static void pool_call(struct rng *r, weft_actor_ref sup)
{
	weft_actor_ref ref = get_place(&leaves[rng_below(r, PLACES)]);
	weft_sup_stat st;
	void *p;

	if (weft_sup_health(sup, &st) || st.children > POOL_MOST) {
		(void)weft_sup_child_stop_ref(sup, ref);
		return;
	}
	p = malloc(8);
	T_OK(p != NULL);
	args++;
	if (weft_sup_child_start(sup, &p, NULL)) { /* it may still be ours */
		free(p);
		args--;
	}
}

static int drive(void *arg)
{
	long n = *(long *)arg;
	struct rng r;

	rng_seed(&r, weft__rt->seed, seed++);
	while (crashes < n) {
		weft_actor_ref leaf = get_place(&leaves[rng_below(&r, PLACES)]);
		uint32_t i = rng_below(&r, MIDS);

		switch (rng_below(&r, 16)) {
		case 0:
		case 1:
			if (!weft_actor_kill(leaf))
				crash(BY_KILL);
			break;
		case 2:
			if (!weft_actor_signal(leaf, (weft_end){WEFT_END_CODE, 1}))
				crash(BY_SIGNAL);
			break;
		case 3:
			if (rng_below(&r, 16) == 0 && !weft_actor_kill(get_place(rng_below(&r, 2) ? &mids[i] : &pools[i])))
				crash(BY_SUP);
			break;
		case 4:
			child_call(&r, get_place(&mids[i]));
			break;
		case 5:
		case 6:
			pool_call(&r, get_place(&pools[i]));
			break;
		default:
			(void)weft_actor_send_until(leaf, 1, NULL, 0, WEFT_PRIO_NORMAL, WEFT_NOW);
			break;
		}
		if (rng_below(&r, 8) == 0)
			weft_task_yield();
	}
	return 0;
}

/* Leaves that are up, as their supervisors say; -1: some supervisor has just ended, or is about to do more. */
static long leaves_of(weft_actor_ref sup)
{
	weft_child_info info[POOL_MOST + DRIVERS + 16];
	int n = weft_sup_list(sup, info, COUNT(info));
	long sum = 0, below;

	if (n < 0)
		return -1;
	T_LE(n, COUNT(info));
	for (int i = 0; i < n; i++) {
		if (info[i].state == WEFT_CHILD_WAITING)
			return -1;
		if (info[i].state != WEFT_CHILD_UP)
			continue;
		below = info[i].sup ? leaves_of(info[i].ref) : 1;
		if (below < 0)
			return -1;
		sum += below;
	}
	return sum;
}

/* Tasks that have begun, or will, and have not ended: exact, as there is a limit. */
static size_t tasks(void)
{
	return load_acquire(&weft__rt->live); /* what they have counted is counted */
}

static int storm_main(void *arg)
{
	const char *many = getenv("WEFT_TEST_CRASHES");
	long n = many ? atol(many) : tap_iters(4000);
	weft_task *t[DRIVERS];
	size_t before = tasks();
	weft_actor_ref top;
	int rc;

	(void)arg;
	T_EQ(weft_local_make(&held, let_go, NULL), 0);
	seed = weft__rt->seed;
	calm = true; /* the first start does not fail */
	T_EQ(weft_sup_start(&top, &(weft_sup_opts){.children = in_top, .n = MIDS, .max_restarts = WEFT_SUP_UNLIMITED, .on_event = on_mid}),
	     0);
	calm = false;
	for (int i = 0; i < DRIVERS; i++)
		t[i] = start(drive, &n);
	for (int i = 0; i < DRIVERS; i++)
		T_EQ(finish(t[i]), 0);
	calm = true;
	for (;;) {
		long known = leaves_of(top);

		if (known >= 0 && known == live) /* those that have been let go may end yet */
			break;
		let_run();
	}
	until(health(top).up == MIDS); /* who was killed last, and was counted still, may have taken his supervisor along */
	rc = weft_sup_stop(top);
	T_EQ(rc, 0);
	until(tasks() == before); /* whoever was killed is not waited for above, and may not even have begun */
	T_EQ(live, 0);
	until(args == 0);
	T_EQ(weft_local_free(held), 0);
	tap_tell("%ld crashes: %ld in starts, %ld at messages, %ld exits, %ld while stopping, %ld killed, %ld signalled, %ld supervisors, "
		 "%ld changes",
		 (long)crashes, (long)by_kind[BY_START], (long)by_kind[BY_MESSAGE], (long)by_kind[BY_PANIC], (long)by_kind[BY_STOP],
		 (long)by_kind[BY_KILL], (long)by_kind[BY_SIGNAL], (long)by_kind[BY_SUP], (long)by_kind[BY_CHANGE]);
	return 0;
}

TEST_WORKERS(storm)
{
	tap_limit(getenv("WEFT_TEST_CRASHES") ? 3600 : 120);
	T_EQ(run_with(storm_main, NULL, (weft_opts){.max_tasks = 1000000}), 0);
}
