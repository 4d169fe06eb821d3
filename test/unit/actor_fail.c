/* SPDX-License-Identifier: MIT
 *
 * actor_fail.c - actor/, with each allocation failing in turn: what is returned is WEFT_ENOMEM, and nothing of it is left.
 */
#include "actors.h"
#include "failpoint.h"

#include "weft/registry.h"

static int fine(void *state)
{
	(void)state;
	return 0;
}

static int start_one(weft_actor_ref *out)
{
	static const char state[100];

	return weft_actor_start(
		out, &(weft_actor_opts){
			     .on_msg = ignore, .on_start = fine, .state = (void *)state, .size = sizeof state, .name = "n", .link = true});
}

static int put_name(weft_actor_ref ref)
{
	return weft_reg_put("name", ref);
}

static int join_group(weft_actor_ref ref)
{
	return weft_pg_join("group", ref);
}

static int send_large(weft_actor_ref ref)
{
	static const char large[500];

	return weft_actor_send(ref, 1, large, sizeof large, 0);
}

static int send_small(weft_actor_ref ref)
{
	return tell(ref, 1, 1);
}

static int monitor_it(weft_actor_ref ref)
{
	return weft_actor_monitor(ref, NULL);
}

static int to_group(weft_actor_ref ref)
{
	int rc;

	(void)ref;
	rc = weft_pg_send("many", 1, NULL, 0, 0);
	return rc == 20 ? 0 : rc < 20 && rc > 0 ? WEFT_ENOMEM : rc; /* some had no memory for it */
}

static int adopt_task(weft_actor_ref ref)
{
	weft_task *t;
	int rc = weft_go_opts(&t, (weft_task_fn *)fine, NULL, NULL);

	(void)ref;
	if (rc)
		return rc;
	rc = weft_actor_adopt(&ref, t);
	if (rc)
		T_EQ(weft_task_join(t, NULL), 0);
	else
		(void)weft_actor_wait(ref, NULL); /* it holds the handle until then; it may have ended already */
	return rc;
}

/* A call has failed. It is WEFT_ENOMEM, unless it was one for a stack: the task has begun, and waits for another. */
static void failed_with(int rc)
{
	if (rc || strstr(failpoint_name(), "alloc"))
		T_EQ(rc, WEFT_ENOMEM);
}

/* until it succeeds with nothing failing */
static void each(int (*what)(weft_actor_ref), weft_actor_ref ref, long least)
{
	long n;

	for (n = 1;; n++) {
		int rc;

		failpoint_arm(n);
		rc = what(ref);
		failpoint_disarm();
		if (!failpoint_fired()) {
			T_EQ(rc, 0);
			break;
		}
		failed_with(rc);
	}
	T_GT(n, least);
}

static int main_task(void *arg)
{
	weft_actor_ref me, ref, many[20];
	long n;

	(void)arg;
	until_all_workers_run();
	for (n = 1;; n++) {
		int rc;

		failpoint_arm(n);
		rc = weft_actor_attach(&me, &(weft_mailbox_opts){.cap = 1000});
		failpoint_disarm();
		if (!failpoint_fired()) {
			T_EQ(rc, 0);
			break;
		}
		T_EQ(rc, WEFT_ENOMEM);
	}
	for (n = 1;; n++) {
		int rc;

		failpoint_arm(n);
		rc = start_one(&ref);
		failpoint_disarm();
		if (!failpoint_fired()) {
			T_EQ(rc, 0);
			break;
		}
		failed_with(rc);
		if (rc == 0) {
			T_EQ(weft_actor_stop_wait(ref), 0);
			until(stats_of(me).relations == 0); /* a wait that comes late may be over before those linked are told */
		} else {
			T_OK(weft_actor_same(ref, WEFT_NO_ACTOR));
		}
		T_EQ(stats_of(me).relations, 0);
	}
	T_GT(n, 2);
	use_up_letters(ref);
	each(put_name, ref, 1);
	each(join_group, ref, 1);
	each(send_large, ref, 1);
	each(send_small, ref, 0);
	each(monitor_it, ref, 0);
	each(adopt_task, ref, 1);
	for (int i = 0; i < 20; i++) {
		T_EQ(weft_actor_fn(&many[i], ignore), 0);
		T_EQ(weft_pg_join("many", many[i]), 0);
	}
	each(to_group, ref, 1);
	for (int i = 0; i < 20; i++)
		T_EQ(weft_actor_stop_wait(many[i]), 0);
	T_EQ(weft_actor_stop_wait(ref), 0);
	T_EQ(weft_actor_drain(NULL, NULL), 0);
	return 0;
}

TEST_WORKERS(allocations)
{
	run(main_task, NULL);
}

/* --- from outside, without a runtime: a thread's own record --- */

static int wait_outside(void)
{
	return weft_actor_wait_until(WEFT_NO_ACTOR, NULL, WEFT_NOW);
}

static int reg_wait_outside(void)
{
	weft_actor_ref ref;
	int rc = weft_reg_wait_until("nobody's", &ref, WEFT_NOW);

	return rc == WEFT_EAGAIN ? WEFT_ESRCH : rc;
}

/* Whoever has no memory is told so, and not that it would wait. */
static void each_outside(int (*call)(void))
{
	int refused = 0;

	for (long n = 1;; n++) {
		bool fired;
		int rc;

		failpoint_arm(n);
		rc = call();
		fired = failpoint_fired();
		failpoint_disarm();
		if (rc != WEFT_ENOMEM)
			T_EQ(rc, WEFT_ESRCH);
		refused += rc == WEFT_ENOMEM;
		if (!fired)
			break;
	}
	T_GT(refused, 0);
	nothing_left();
}

TEST(wait_outside_fails)
{
	each_outside(wait_outside);
}

TEST(reg_wait_outside_fails)
{
	each_outside(reg_wait_outside);
}
