/* SPDX-License-Identifier: MIT
 *
 * sup_fail.c - actor/sup*.c, with each allocation failing in turn: what cannot be had is WEFT_ENOMEM, what was promised before goes on, and nothing is left or done with twice.
 */
#include "sups.h"

#include "failpoint.h"
#include <stdlib.h>

static struct part pa, pb;
static weft_actor_ref sup, pool;
static int id; /* of the next child */

static int linger(void *arg)
{
	(void)arg;
	return until_canceled(NULL);
}

static int start_whole(void)
{
	struct part *p = &pa, *q = &pb;
	const weft_child_spec leaf = {.id = "leaf", .start = start_part, .arg = &pb};
	const weft_sup_opts low = {.children = &leaf, .n = 1};
	const weft_child_spec c[] = {
		{.id = "a", .start = start_counted, .arg = &p, .size = sizeof p, .dtor = counted_freed},
		{.id = "b", .task = linger, .arg = &q, .size = sizeof q, .dtor = counted_freed},
		{.id = "low", .sup = &low},
	};
	weft_actor_ref whole;
	long was = pa.freed, was_b = pb.freed;
	int rc = weft_sup_start(&whole, &(weft_sup_opts){.children = c, .n = 3});

	failpoint_disarm();
	if (!rc) {
		T_EQ(health(whole).up, 3);
		T_EQ(weft_sup_stop(whole), 0);
	}
	until(pa.freed == was + 1); /* a supervisor that could not start is about to end yet */
	until(pb.freed == was_b + 1);
	return rc;
}

static int add_one(void)
{
	struct part *p = &pa;
	long was = pa.freed;
	char name[20];
	int rc;

	snprintf(name, sizeof name, "child %d", id++);
	rc = weft_sup_child_add(
		sup, &(weft_child_spec){.id = name, .start = start_counted, .arg = &p, .size = sizeof p, .dtor = counted_freed}, NULL);
	failpoint_disarm();
	T_EQ(pa.freed, was); /* it is ours, if that has failed */
	if (!rc)
		T_EQ(weft_sup_child_restart(sup, name, NULL), WEFT_EBUSY);
	return rc;
}

static int start_one(void)
{
	struct part *p = &pb;
	long was = pb.freed;
	int rc = weft_sup_child_start(pool, &p, NULL);

	failpoint_disarm();
	T_EQ(pb.freed, was);
	return rc;
}

static int ask_all(void)
{
	weft_child_info info[4];
	weft_actor_ref ref;
	weft_sup_stat st;
	char text[100];
	int rc = weft_sup_list(sup, info, 4);

	rc = rc < 0 ? rc : weft_sup_health(sup, &st);
	rc = rc < 0 ? rc : weft_sup_child_find(sup, "a", &ref);
	rc = rc < 0 ? rc : weft_sup_tree(sup, text, sizeof text, 0);
	return rc < 0 ? rc : 0;
}

/* until it succeeds with nothing failing */
static void each(int (*what)(void), long least)
{
	long n;

	for (n = 1;; n++) {
		int rc;

		failpoint_arm(n);
		rc = what();
		failpoint_disarm();
		if (!failpoint_fired()) {
			T_EQ(rc, 0);
			break;
		}
		if (rc) /* it may do without */
			T_EQ(rc, WEFT_ENOMEM);
	}
	T_GT(n, least);
}

/* A child fails, and its start then, for want of memory: it is tried again. */
static void restart_each(void)
{
	long n;

	for (n = 1;; n++) {
		long was = pa.starts;
		weft_actor_ref ref;

		until((ref = find(sup, "a")).weft__at != NULL); /* it may wait for another try */
		failpoint_arm(n);
		T_EQ(weft_actor_kill(ref), 0);
		until(pa.starts > was);
		failpoint_disarm();
		T_OK(!weft_actor_same(find(sup, "a"), ref));
		if (!failpoint_fired())
			break;
	}
	T_GT(n, 1);
}

static int main_task(void *arg)
{
	struct part *p = &pa, *q = &pb;
	const weft_child_spec c = {.id = "a", .start = start_counted, .arg = &p, .size = sizeof p};
	const weft_child_spec kind = {.start = start_counted, .arg = &q, .size = sizeof q, .dtor = counted_freed};

	(void)arg;
	until_all_workers_run();
	id = 0;
	each(start_whole, 8);
	T_EQ(weft_sup_start(&sup, &(weft_sup_opts){.children = &c, .n = 1, .max_restarts = WEFT_SUP_UNLIMITED}), 0);
	T_EQ(weft_sup_start(&pool, &(weft_sup_opts){.strategy = WEFT_DYNAMIC, .children = &kind, .n = 1}), 0);
	for (int i = 0; i < 5; i++) {
		each(add_one, 2);
		each(start_one, 2);
	}
	each(ask_all, 4);
	restart_each();
	T_EQ(weft_sup_stop(sup), 0);
	T_EQ(weft_sup_stop(pool), 0);
	return 0;
}

TEST_WORKERS(allocations)
{
	tap_limit(60);
	run(main_task, NULL);
}
