/* SPDX-License-Identifier: MIT
 *
 * actor_names.c - actor/registry.c, actor/pg.c: names, groups, and what becomes of both at a death.
 */
#include "actors.h"

#include "weft/registry.h"
#include "weft/scope.h"

#define LONGEST "123456789012345678901234567890123456789012345678901234567890123" /* 63 */

static int adds(void *state, weft_msg *m)
{
	*(_Atomic long *)state += *weft_msg_as(m, long);
	return 0;
}

static weft_actor_ref adder(_Atomic long *sum)
{
	weft_actor_ref ref;

	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.on_msg = adds, .state = (void *)sum}), 0);
	return ref;
}

static int names_main(void *arg)
{
	_Atomic long sum = 0;
	weft_actor_ref one = adder(&sum), two = adder(&sum), got;
	char name[32];

	(void)arg;
	T_EQ(weft_reg_put("one", one), 0);
	T_EQ(weft_reg_put("one", two), WEFT_EEXIST);
	T_EQ(weft_reg_put("one", one), WEFT_EEXIST);
	T_EQ(weft_reg_put(LONGEST, one), 0);
	T_EQ(weft_reg_put(LONGEST "4", one), WEFT_ENAMETOOLONG);
	T_EQ(weft_reg_put("", one), WEFT_EINVAL);
	T_EQ(weft_reg_put(NULL, one), WEFT_EINVAL);
	T_EQ(weft_reg_put("none", WEFT_NO_ACTOR), WEFT_ESRCH);
	T_EQ(weft_reg_get("one", &got), 0);
	T_OK(weft_actor_same(got, one));
	T_EQ(weft_reg_get(LONGEST, &got), 0);
	T_EQ(weft_reg_get("on", &got), WEFT_ENOENT);
	T_OK(weft_actor_same(got, WEFT_NO_ACTOR));
	T_EQ(weft_reg_get("", &got), WEFT_EINVAL);
	T_EQ(weft_reg_get("one", NULL), WEFT_EINVAL);
	T_EQ(weft_reg_get(LONGEST "4", &got), WEFT_ENAMETOOLONG);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "number %d", i);
		T_EQ(weft_reg_put(name, i % 2 ? one : two), 0);
	}
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "number %d", i);
		T_EQ(weft_reg_get(name, &got), 0);
		T_OK(weft_actor_same(got, i % 2 ? one : two));
		T_EQ(i % 3 ? weft_reg_send(name, 1, &(long){i}, sizeof(long), 0)
			   : weft_reg_send_until(name, 1, &(long){i}, sizeof(long), 0, WEFT_FOREVER),
		     0);
	}
	until(sum == 4950);
	T_EQ(weft_reg_send("nobody", 1, NULL, 0, 0), WEFT_ENOENT);
	T_EQ(weft_reg_send_until("nobody", 1, NULL, 0, 0, WEFT_NOW), WEFT_ENOENT);
	T_EQ(weft_reg_del("one"), 0);
	T_EQ(weft_reg_del("one"), WEFT_ENOENT);
	T_EQ(weft_reg_del(""), WEFT_EINVAL);
	T_EQ(weft_reg_put("one", two), 0);
	T_EQ(weft_actor_stop_wait(one), 0);
	T_EQ(weft_reg_get(LONGEST, &got), WEFT_ENOENT); /* gone before its end is told */
	T_EQ(weft_reg_get("number 1", &got), WEFT_ENOENT);
	T_EQ(weft_reg_get("number 2", &got), 0);
	T_EQ(weft_reg_put("dead", one), WEFT_ESRCH);
	T_EQ(weft_actor_stop_wait(two), 0);
	T_EQ(weft_reg_get("number 2", &got), WEFT_ENOENT);
	return 0;
}

/* One name is one actor's, until it is taken away, or its end. */
TEST_WORKERS(names)
{
	run(names_main, NULL);
}

struct wait {
	const char *name;
	weft_actor_ref got;
};

static int waits(void *arg)
{
	struct wait *w = arg;

	return weft_reg_wait(w->name, &w->got);
}

static int waits_main(void *arg)
{
	struct wait a = {"a", WEFT_NO_ACTOR}, a2 = {"a", WEFT_NO_ACTOR}, b = {"b", WEFT_NO_ACTOR};
	weft_task *ta = start(waits, &a), *ta2 = start(waits, &a2), *tb = start(waits, &b);
	_Atomic long sum = 0;
	weft_actor_ref ref = adder(&sum), got;

	(void)arg;
	until_reason(ta, "name of an actor");
	until_reason(ta2, "name of an actor");
	until_reason(tb, "name of an actor");
	T_EQ(weft_reg_wait_until("a", &got, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_reg_wait_until("a", &got, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_reg_wait("", &got), WEFT_EINVAL);
	T_EQ(weft_reg_put("a", ref), 0);
	T_EQ(finish(ta), 0);
	T_EQ(finish(ta2), 0);
	T_OK(weft_actor_same(a.got, ref) && weft_actor_same(a2.got, ref));
	T_EQ(weft_reg_wait("a", &got), 0); /* at once */
	T_OK(weft_actor_same(got, ref));
	T_EQ(weft_task_cancel(tb), 0);
	T_EQ(finish(tb), WEFT_ECANCELED);
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

/* Who waits for a name is told whose it is. */
TEST_WORKERS(waits_for_names)
{
	run(waits_main, NULL);
}

#define MEMBERS 40

static int groups_main(void *arg)
{
	weft_actor_ref ref[MEMBERS], got[MEMBERS];
	weft_ctx *late = weft_ctx_with_deadline(NULL, 1);
	_Atomic long sum = 0;

	(void)arg;
	T_EQ(weft_pg_members("room", got, MEMBERS), 0);
	T_EQ(weft_pg_send("room", 1, NULL, 0, 0), 0);
	for (int i = 0; i < MEMBERS; i++) {
		ref[i] = adder(&sum);
		T_EQ(weft_pg_join("room", ref[i]), 0);
		T_EQ(weft_pg_join("room", ref[i]), WEFT_EALREADY);
		if (i % 2)
			T_EQ(weft_pg_join("odd", ref[i]), 0);
	}
	T_EQ(weft_pg_members("room", NULL, 0), MEMBERS);
	T_EQ(weft_pg_members("room", got, 3), MEMBERS);
	T_EQ(weft_pg_members("room", NULL, 3), WEFT_EINVAL);
	T_EQ(weft_pg_members("", got, 3), WEFT_EINVAL);
	T_EQ(weft_pg_members("room", got, MEMBERS), MEMBERS);
	for (int i = 0; i < MEMBERS; i++)
		T_OK(weft_actor_same(got[i], ref[i]));
	T_EQ(weft_pg_send("room", 1, &(long){3}, sizeof(long), 0), MEMBERS);
	T_EQ(weft_pg_send_until("odd", 1, &(long){1}, sizeof(long), 0, WEFT_NOW), MEMBERS / 2);
	until(sum == 3 * MEMBERS + MEMBERS / 2);
	T_EQ(weft_pg_send("room", 1, NULL, 1, 0), WEFT_EINVAL);
	T_EQ(weft_pg_send("room", 1, NULL, 0, 9), WEFT_EINVAL);
	T_EQ(weft_pg_send(LONGEST "4", 1, NULL, 0, 0), WEFT_ENAMETOOLONG);
	T_EQ(weft_pg_send("room", 1, &sum, (size_t)1 << 30, 0), WEFT_EMSGSIZE);
	WEFT_WITH_CTX (late)
		T_EQ(weft_pg_send("room", 1, NULL, 0, 0), WEFT_ETIMEDOUT);
	weft_ctx_free(late);
	T_EQ(weft_pg_leave("room", ref[0]), 0);
	T_EQ(weft_pg_leave("room", ref[0]), WEFT_ENOENT);
	T_EQ(weft_pg_leave("none", ref[0]), WEFT_ENOENT);
	T_EQ(weft_pg_leave("room", WEFT_NO_ACTOR), WEFT_ESRCH);
	T_EQ(weft_pg_join("room", WEFT_NO_ACTOR), WEFT_ESRCH);
	T_EQ(weft_pg_join("", ref[0]), WEFT_EINVAL);
	T_EQ(weft_pg_leave("", ref[0]), WEFT_EINVAL);
	for (int i = 0; i < MEMBERS; i++) {
		T_EQ(weft_actor_stop_wait(ref[i]), 0);
		T_EQ(weft_pg_members("room", NULL, 0), MEMBERS - 1 - i);
		T_EQ(weft_pg_join("room", ref[i]), WEFT_ESRCH);
	}
	T_EQ(weft_pg_members("odd", NULL, 0), 0);
	return 0;
}

/* Members join, get what is sent to all, leave, and end. */
TEST_WORKERS(groups)
{
	run(groups_main, NULL);
}

/* Does not look whether it is cancelled. */
struct deaf {
	weft_event up, may;
};

static int deaf_run(void *state)
{
	struct deaf *d = *(struct deaf **)state;

	WEFT_WITH_SHIELD
	{
		weft_event_set(&d->up);
		T_EQ(weft_event_wait(&d->may), 0);
	}
	return 0;
}

static int killed_main(void *arg)
{
	struct deaf d = {.up = {0}}, *p = &d;
	_Atomic long sum = 0;
	weft_actor_ref ref, next, got;
	struct watcher w;

	(void)arg;
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.run = deaf_run, .state = &p, .size = sizeof p}), 0);
	T_EQ(weft_event_wait(&d.up), 0);
	T_EQ(weft_reg_put("one", ref), 0);
	T_EQ(weft_reg_put("two", ref), 0);
	T_EQ(weft_pg_join("room", ref), 0);
	watch_begin(&w, ref);
	T_EQ(weft_actor_signal(ref, (weft_end){WEFT_END_SHUTDOWN, 0}), 0);
	T_EQ(weft_reg_get("one", &got), 0); /* it may yet have something to do under it */
	T_EQ(weft_actor_kill(ref), 0);
	T_OK(weft_actor_alive(ref));
	T_EQ(weft_reg_get("one", &got), WEFT_ENOENT);
	T_EQ(weft_reg_get("two", &got), WEFT_ENOENT);
	T_EQ(weft_pg_members("room", NULL, 0), 0);
	T_EQ(weft_reg_put("three", ref), WEFT_ESRCH);
	T_EQ(weft_pg_join("room", ref), WEFT_ESRCH);
	T_EQ(weft_pg_leave("room", ref), WEFT_ENOENT);
	next = adder(&sum);
	T_EQ(weft_reg_put("one", next), 0);
	T_EQ(weft_actor_kill(ref), 0); /* again: the name is another's */
	weft_event_set(&d.may);
	watch_end(&w, WEFT_END_KILLED, WEFT_ECANCELED);
	T_EQ(weft_reg_get("one", &got), 0);
	T_OK(weft_actor_same(got, next));
	T_EQ(weft_actor_stop_wait(next), 0);
	return 0;
}

/* Who is killed has no name from then on, also if it goes on for a while: another may have it. */
TEST_WORKERS(killed)
{
	run(killed_main, NULL);
}

static int put_and_stop(void *arg)
{
	_Atomic long sum = 0;
	char name[32];

	for (long i = 0, n = tap_iters(200); i < n; i++) {
		weft_actor_ref ref = adder(&sum), got;

		snprintf(name, sizeof name, "%ld", *(long *)arg);
		T_EQ(weft_reg_put(name, ref), 0);
		T_EQ(weft_pg_join("all", ref), 0);
		T_EQ(weft_reg_get(name, &got), 0);
		T_OK(weft_actor_same(got, ref)); /* whoever had its cell before is killed just now */
		T_EQ(weft_actor_kill(ref), 0);
		T_EQ(weft_reg_get(name, &got), WEFT_ENOENT);
	}
	return 0;
}

static int cells_main(void *arg)
{
	long number[4] = {0, 1, 2, 3};
	weft_task *t[4];

	(void)arg;
	for (int i = 0; i < 4; i++)
		t[i] = start(put_and_stop, &number[i]);
	for (int i = 0; i < 4; i++)
		T_EQ(finish(t[i]), 0);
	until(weft_pg_members("all", NULL, 0) == 0);
	return 0;
}

/* A kill takes away its own actor's names, and not those of the next one in its cell. */
TEST_WORKERS(killed_cells)
{
	run(cells_main, NULL);
}

static int forsakes_main(void *arg)
{
	static _Atomic long sum;
	weft_actor_ref ref = adder(&sum);

	(void)arg;
	T_EQ(weft_reg_put("forsaken", ref), 0);
	T_EQ(weft_pg_join("forsaken", ref), 0);
	return 0;
}

static int none_left_main(void *arg)
{
	weft_actor_ref got;

	(void)arg;
	T_EQ(weft_reg_get("forsaken", &got), WEFT_ENOENT);
	T_EQ(weft_pg_members("forsaken", NULL, 0), 0);
	return 0;
}

/* Names and groups end with the runtime. */
TEST_WORKERS(forsaken)
{
	ends_with_main();
	run(forsakes_main, NULL);
	run(none_left_main, NULL);
}
