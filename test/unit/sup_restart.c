/* SPDX-License-Identifier: MIT
 *
 * sup_restart.c - actor/sup_restart.c: who is started again after which end, with whom, how often, and when. What OTP's documents promise of supervisors is asked here and in sup.c, under a clock that stands still.
 */
#include "sups.h"

static struct part pa, pb, pc;

static void over(weft_actor_ref sup)
{
	T_EQ(weft_sup_stop(sup), 0);
	forget(&told);
}

/* --- after which end --- */

struct ending {
	const char *told;
	bool normal;
	int (*end)(weft_actor_ref ref);
};

static int by_code(weft_actor_ref ref)
{
	return tell(ref, FAIL, -3);
}

static int by_panic(weft_actor_ref ref)
{
	return tell(ref, PANIC, 0);
}

static int by_stop(weft_actor_ref ref)
{
	return tell(ref, STOP, 0);
}

static int by_shutdown(weft_actor_ref ref)
{
	return weft_actor_stop(ref, (weft_end){WEFT_END_SHUTDOWN, 7});
}

static int by_signal(weft_actor_ref ref)
{
	return weft_actor_signal(ref, (weft_end){WEFT_END_CODE, 9});
}

static const struct ending endings[] = {
	{"-a:normal ", true, by_stop},        {"-a:shutdown:7 ", true, by_shutdown},       {"-a:code:-3 ", false, by_code},
	{"-a:panic:-5004 ", false, by_panic}, {"-a:killed:-125 ", false, weft_actor_kill}, {"-a:code:9 ", false, by_signal},
};

static void after_end(const struct ending *e, enum weft_restart r)
{
	weft_actor_ref sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa, .restart = r), .n = 1}), ref, now;
	bool again = r == WEFT_PERMANENT || (r == WEFT_TRANSIENT && !e->normal);
	char line[100];

	expect(&told, "+a ");
	ref = find(sup, "a");
	T_EQ(e->end(ref), 0);
	snprintf(line, sizeof line, "%s%s", e->told, again ? "*a " : "");
	expect(&told, line);
	if (r == WEFT_TEMPORARY) {
		T_EQ(weft_sup_child_find(sup, "a", &now), WEFT_ENOENT);
		T_EQ(health(sup).children, 0);
	} else {
		now = find(sup, "a");
		T_OK(!weft_actor_same(now, ref));
		T_EQ(weft_actor_alive(now), again);
		T_EQ(health(sup).children, 1);
		T_EQ(health(sup).up, again);
	}
	T_EQ(health(sup).restarts, again);
	over(sup);
}

static int ends_main(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < COUNT(endings); i++) {
		after_end(&endings[i], WEFT_PERMANENT);
		after_end(&endings[i], WEFT_TRANSIENT);
		after_end(&endings[i], WEFT_TEMPORARY);
	}
	return 0;
}

/* A permanent child is always started again, a transient one after an abnormal end, a temporary one never: it is forgotten. */
TEST_WORKERS(after_each_end)
{
	run(ends_main, NULL);
}

static int task_result;

static int returns(void *arg)
{
	return *(int *)arg;
}

static int tasks_main(void *arg)
{
	const weft_child_spec spec = {.id = "t", .task = returns, .arg = &task_result, .restart = WEFT_TRANSIENT};
	weft_actor_ref sup;

	(void)arg;
	task_result = 0;
	sup = sup_of((weft_sup_opts){.children = &spec, .n = 1});
	expect(&told, "+t -t:normal ");
	T_EQ(health(sup).restarts, 0);
	over(sup);
	task_result = 5; /* all but 0 is abnormal */
	sup = sup_of((weft_sup_opts){.children = &spec, .n = 1, .max_restarts = 1});
	expect(&told, "+t -t:code:5 *t -t:code:5 #t ");
	(void)weft_actor_wait(sup, NULL);
	return 0;
}

/* A task's end is normal if it returns 0. */
TEST_WORKERS(tasks)
{
	run(tasks_main, NULL);
}

/* --- with whom --- */

static weft_actor_ref three(weft_sup_opts o)
{
	weft_child_spec c[] = {CHILD("a", &pa), CHILD("b", &pb), CHILD("c", &pc)};
	weft_actor_ref sup;

	o.children = c;
	o.n = 3;
	sup = sup_of(o);
	expect(&told, "+a +b +c ");
	return sup;
}

static int one_for_one_main(void *arg)
{
	weft_actor_ref sup = three((weft_sup_opts){.strategy = WEFT_ONE_FOR_ONE}), a = find(sup, "a"), c = find(sup, "c");

	(void)arg;
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
	expect(&told, "-b:code:-1 *b ");
	T_OK(weft_actor_same(find(sup, "a"), a));
	T_OK(weft_actor_same(find(sup, "c"), c));
	T_EQ(health(sup).restarts, 1);
	over(sup);
	return 0;
}

TEST_WORKERS(one_for_one)
{
	run(one_for_one_main, NULL);
}

static int one_for_all_main(void *arg)
{
	weft_actor_ref sup = three((weft_sup_opts){.strategy = WEFT_ONE_FOR_ALL, .max_restarts = 2});

	(void)arg;
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
	expect(&told, "-b:code:-1 =c =a *a *b *c ");
	T_EQ(health(sup).restarts, 1); /* three starts, one restart */
	T_EQ(weft_sup_child_stop(sup, "c"), 0);
	T_EQ(weft_sup_child_add(sup, &CHILD("d", &pc, .restart = WEFT_TEMPORARY), NULL), 0);
	T_EQ(weft_sup_child_add(sup, &CHILD("e", &pc, .restart = WEFT_TRANSIENT), NULL), 0);
	expect(&told, "=c +d +e ");
	T_EQ(tell(find(sup, "e"), STOP, 0), 0);
	expect(&told, "-e:normal ");
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	expect(&told, "-a:code:-1 =d =b *a *b *c *e "); /* those that were down are started with the others; a temporary one goes */
	T_EQ(health(sup).children, 4);
	over(sup);
	return 0;
}

/* All others are stopped in reverse, then all are started in their order. It counts once. */
TEST_WORKERS(one_for_all)
{
	run(one_for_all_main, NULL);
}

static int rest_for_one_main(void *arg)
{
	weft_actor_ref sup = three((weft_sup_opts){.strategy = WEFT_REST_FOR_ONE}), a = find(sup, "a");

	(void)arg;
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
	expect(&told, "-b:code:-1 =c *b *c ");
	T_EQ(tell(find(sup, "c"), FAIL, -1), 0);
	expect(&told, "-c:code:-1 *c ");
	T_OK(weft_actor_same(find(sup, "a"), a));
	T_EQ(tell(a, FAIL, -1), 0);
	expect(&told, "-a:code:-1 =c =b *a *b *c ");
	over(sup);
	return 0;
}

TEST_WORKERS(rest_for_one)
{
	run(rest_for_one_main, NULL);
}

static int together_main(void *arg)
{
	weft_actor_ref sup = three((weft_sup_opts){.strategy = WEFT_ONE_FOR_ALL, .max_restarts = 1}), a = find(sup, "a"),
		       b = find(sup, "b");

	(void)arg;
	T_EQ(weft_actor_suspend(sup), 0); /* both have ended before it hears of one */
	T_EQ(weft_actor_kill(a), 0);
	until(!weft_actor_alive(a) && stats_of(sup).relations == 2);
	T_EQ(weft_actor_kill(b), 0);
	until(!weft_actor_alive(b) && stats_of(sup).relations == 1);
	T_EQ(weft_actor_resume(sup), 0);
	expect(&told, "-a:killed:-125 =c =b:killed *a *b *c ");
	T_EQ(health(sup).restarts, 1);
	over(sup);
	return 0;
}

/* Two that end at the same time are one restart of all. */
TEST_WORKERS(ends_together)
{
	run(together_main, NULL);
}

/* --- how often --- */

static void fail_again(weft_actor_ref sup)
{
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	expect(&told, "-a:code:-1 *a ");
}

static int window_main(void *arg)
{
	const weft_child_spec c[] = {CHILD("a", &pa), CHILD("b", &pb)};
	weft_actor_ref sup;
	struct watcher w;

	(void)arg;
	time_fake();
	sup = sup_of((weft_sup_opts){.children = c, .n = 2, .max_restarts = 2, .within = WEFT_SEC});
	expect(&told, "+a +b ");
	fail_again(sup);
	time_move(WEFT_SEC / 2);
	fail_again(sup);
	T_EQ(health(sup).recent, 2);
	time_move(WEFT_SEC / 2 + 1); /* the first one is out of the window now */
	T_EQ(health(sup).recent, 1);
	fail_again(sup);
	time_move(WEFT_SEC / 2); /* the second is not: the third in a second */
	T_EQ(health(sup).recent, 1);
	fail_again(sup);
	T_EQ(health(sup).recent, 2);
	watch_begin(&w, sup);
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	watch_end(&w, WEFT_END_CODE, WEFT_EINTENSITY);
	expect(&told, "-a:code:-1 #a =b ");
	time_real();
	return 0;
}

/* As many as are allowed within the time, wherever that begins; one more, and it stops all and gives up. */
TEST_WORKERS(window)
{
	run(window_main, NULL);
}

static int edge_main(void *arg)
{
	weft_actor_ref sup;
	struct watcher w;

	(void)arg;
	time_fake();
	sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1, .max_restarts = 1, .within = WEFT_SEC});
	expect(&told, "+a ");
	fail_again(sup);
	time_move(WEFT_SEC + 1);
	fail_again(sup);
	time_move(WEFT_SEC); /* that is within */
	watch_begin(&w, sup);
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	watch_end(&w, WEFT_END_CODE, WEFT_EINTENSITY);
	time_real();
	expect(&told, "-a:code:-1 #a ");

	sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1, .max_restarts = WEFT_SUP_NO_RESTARTS});
	expect(&told, "+a ");
	watch_begin(&w, sup);
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	watch_end(&w, WEFT_END_CODE, WEFT_EINTENSITY);
	expect(&told, "-a:code:-1 #a ");

	sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1, .max_restarts = WEFT_SUP_UNLIMITED});
	expect(&told, "+a ");
	for (int i = 0; i < 100; i++)
		fail_again(sup);
	T_EQ(health(sup).restarts, 100);
	T_EQ(health(sup).recent, 0); /* they are not kept */
	over(sup);

	sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1}); /* 3 in 5 s */
	T_EQ(health(sup).max_restarts, WEFT_SUP_MAX_RESTARTS);
	over(sup);
	return 0;
}

TEST_WORKERS(window_edges)
{
	run(edge_main, NULL);
}

static int levels_main(void *arg)
{
	const weft_child_spec leaf = CHILD("a", &pa);
	const weft_sup_opts low = {.children = &leaf, .n = 1, .max_restarts = WEFT_SUP_NO_RESTARTS};
	const weft_child_spec mid = {.id = "low", .sup = &low};
	weft_actor_ref top = sup_of((weft_sup_opts){.children = &mid, .n = 1, .max_restarts = 1}), was;
	struct watcher w;

	(void)arg;
	expect(&told, "+low ");
	was = find(top, "low");
	T_EQ(tell(find(was, "a"), FAIL, -1), 0);
	expect(&told, "-low:code:-5006 *low "); /* the leaf's supervisor gives up: its own starts another */
	watch_begin(&w, top);
	T_EQ(tell(find(find(top, "low"), "a"), FAIL, -1), 0);
	watch_end(&w, WEFT_END_CODE, WEFT_EINTENSITY);
	expect(&told, "-low:code:-5006 #low ");
	T_EQ(weft_sup_stop(was), WEFT_ESRCH);
	return 0;
}

/* It goes up the tree. */
TEST_WORKERS(gives_up_upwards)
{
	run(levels_main, NULL);
}

/* --- starts that fail --- */

static void refuse(struct part *p, int code, int times)
{
	p->refusals = times;
	p->refuse = code;
}

static int try_again_main(void *arg)
{
	weft_actor_ref sup = three((weft_sup_opts){.max_restarts = 5});
	struct watcher w;

	(void)arg;
	refuse(&pb, -8, 3);
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
	expect(&told, "-b:code:-1 !b:-8 !b:-8 !b:-8 *b ");
	T_EQ(health(sup).restarts, 4); /* each try is one */
	refuse(&pb, -9, 0);
	watch_begin(&w, sup);
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
	watch_end(&w, WEFT_END_CODE, WEFT_EINTENSITY);
	expect(&told, "-b:code:-1 !b:-9 #b =c =a ");
	pb.refuse = 0;
	return 0;
}

/* A start that fails is tried again, and counted. */
TEST_WORKERS(start_fails_again)
{
	run(try_again_main, NULL);
}

static int group_try_main(void *arg)
{
	weft_actor_ref sup = three((weft_sup_opts){.strategy = WEFT_ONE_FOR_ALL, .max_restarts = 5});

	(void)arg;
	refuse(&pb, -8, 2);
	T_EQ(tell(find(sup, "c"), FAIL, -1), 0);
	expect(&told, "-c:code:-1 =b =a *a !b:-8 =a *a !b:-8 =a *a *b *c ");
	T_EQ(health(sup).restarts, 3);
	over(sup);
	sup = three((weft_sup_opts){.strategy = WEFT_REST_FOR_ONE, .max_restarts = 5});
	refuse(&pc, -8, 2);
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
	expect(&told, "-b:code:-1 =c *b !c:-8 !c:-8 *c ");
	T_EQ(health(sup).restarts, 3);
	over(sup);
	return 0;
}

/* One of a group: those that are up already are stopped again first, if they are of those that the strategy names. */
TEST_WORKERS(start_of_group_fails)
{
	run(group_try_main, NULL);
}

static int panics(weft_actor_ref *out, void *arg)
{
	struct part *p = arg;

	(void)out;
	if (p->starts++)
		weft_task_panic("no more");
	return start_part(out, arg);
}

static int start_panics_main(void *arg)
{
	weft_actor_ref sup;
	struct watcher w;

	(void)arg;
	pa.starts = 0;
	sup = sup_of((weft_sup_opts){.children = &(weft_child_spec){.id = "a", .start = panics, .arg = &pa}, .n = 1, .max_restarts = 2});
	expect(&told, "+a ");
	watch_begin(&w, sup);
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	watch_end(&w, WEFT_END_CODE, WEFT_EINTENSITY);
	expect(&told, "-a:code:-1 !a:-5004 !a:-5004 #a ");
	return 0;
}

/* A start function that panics has failed. */
TEST_WORKERS(start_panics)
{
	run(start_panics_main, NULL);
}

/* --- waits --- */

static int backoff_main(void *arg)
{
	weft_actor_ref sup, ref;

	(void)arg;
	time_fake();
	sup = sup_of((weft_sup_opts){.children = (weft_child_spec[]){CHILD("a", &pa), CHILD("b", &pb)},
				     .n = 2,
				     .max_restarts = 100,
				     .backoff = {.min = 100 * WEFT_MS, .max = 350 * WEFT_MS}});
	expect(&told, "+a +b ");
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	expect(&told, "-a:code:-1 ~a:100ms ");
	T_EQ(health(sup).waiting, 1); /* it answers meanwhile */
	T_EQ(weft_sup_child_find(sup, "a", &ref), 0);
	T_OK(weft_actor_same(ref, WEFT_NO_ACTOR));
	T_EQ(weft_sup_child_restart(sup, "a", NULL), WEFT_EBUSY);
	time_move(100 * WEFT_MS - 1);
	T_EQ(health(sup).waiting, 1);
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0); /* each has waits of its own */
	expect(&told, "-b:code:-1 ~b:100ms ");
	time_move(1);
	expect(&told, "*a ");
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	expect(&told, "-a:code:-1 ~a:200ms ");
	time_move(100 * WEFT_MS);
	expect(&told, "*b ");
	time_move(100 * WEFT_MS);
	expect(&told, "*a ");
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	expect(&told, "-a:code:-1 ~a:350ms ");
	time_move(350 * WEFT_MS);
	expect(&told, "*a ");
	time_move(350 * WEFT_MS + 1); /* up for long enough */
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	expect(&told, "-a:code:-1 ~a:100ms ");
	refuse(&pa, -8, 1);
	time_move(100 * WEFT_MS);
	expect(&told, "!a:-8 ~a:200ms ");
	time_move(200 * WEFT_MS);
	expect(&told, "*a ");
	over(sup);
	time_real();
	return 0;
}

/* Each wait is longer than the one before, up to the longest, until it has been up for long. */
TEST_WORKERS(backoff)
{
	run(backoff_main, NULL);
}

static int backoff_calls_main(void *arg)
{
	weft_actor_ref sup;

	(void)arg;
	time_fake();
	sup = three((weft_sup_opts){.max_restarts = 100, .backoff = {.min = WEFT_SEC}});
	for (int i = 0; i < 3; i++)
		T_EQ(tell(find(sup, (const char *[]){"a", "b", "c"}[i]), FAIL, -1), 0);
	until(health(sup).waiting == 3);
	forget(&told);
	T_EQ(weft_sup_child_stop(sup, "a"), 0);
	T_EQ(weft_sup_child_del(sup, "b"), 0);
	T_EQ(health(sup).waiting, 1);
	T_EQ(health(sup).children, 2);
	time_move(WEFT_SEC);
	expect(&told, "*c ");
	T_EQ(weft_sup_child_restart(sup, "a", NULL), 0);
	expect(&told, "*a ");
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	expect(&told, "-a:code:-1 ~a:2000ms ");
	over(sup); /* with one that waits */
	time_real();
	return 0;
}

/* Who waits can be stopped and deleted; nothing of it is started later. */
TEST_WORKERS(backoff_calls)
{
	run(backoff_calls_main, NULL);
}

static int backoff_group_main(void *arg)
{
	weft_actor_ref sup;

	(void)arg;
	time_fake();
	sup = three((weft_sup_opts){.strategy = WEFT_ONE_FOR_ALL, .max_restarts = 100, .backoff = {.min = WEFT_SEC}});
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
	expect(&told, "-b:code:-1 =c =a ~b:1000ms ");
	T_EQ(health(sup).waiting, 3);
	T_EQ(weft_sup_child_stop(sup, "a"), 0);
	T_EQ(weft_sup_child_add(sup, &CHILD("d", &pc), NULL), 0);
	expect(&told, "+d ");
	time_move(WEFT_SEC);
	expect(&told, "*b *c "); /* not a */
	T_EQ(tell(find(sup, "d"), FAIL, -1), 0);
	expect(&told, "-d:code:-1 =c =b ~d:1000ms ");
	time_move(WEFT_SEC);
	expect(&told, "*a *b *c *d ");
	over(sup);

	sup = three((weft_sup_opts){.strategy = WEFT_REST_FOR_ONE, .max_restarts = 100, .backoff = {.min = WEFT_SEC}});
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
	expect(&told, "-b:code:-1 =c ~b:1000ms ");
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0); /* while those behind it wait */
	expect(&told, "-a:code:-1 ~a:1000ms ");
	time_move(WEFT_SEC);
	expect(&told, "*a *b *c ");
	over(sup);
	time_real();
	return 0;
}

/* A group is stopped at once, and waits together. */
TEST_WORKERS(backoff_group)
{
	run(backoff_group_main, NULL);
}

static int backoff_longest_main(void *arg)
{
	weft_child_spec c[] = {CHILD("a", &pa, .on_fail = WEFT_FAIL_RESUME), CHILD("b", &pb), CHILD("c", &pc)};
	weft_actor_ref sup;

	(void)arg;
	time_fake();
	sup = three((weft_sup_opts){.strategy = WEFT_ONE_FOR_ALL, .max_restarts = 100, .backoff = {.min = WEFT_SEC}});
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	expect(&told, "-a:code:-1 =c =b ~a:1000ms ");
	time_move(WEFT_SEC);
	expect(&told, "*a *b *c ");
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	expect(&told, "-a:code:-1 =c =b ~a:2000ms ");
	T_EQ(weft_sup_child_add(sup, &CHILD("d", &pc), NULL), 0);
	T_EQ(tell(find(sup, "d"), FAIL, -1), 0);
	expect(&told, "+d -d:code:-1 ~d:2000ms "); /* its own is shorter */
	time_move(WEFT_SEC);
	for (int i = 0; i < 2; i++) /* by the second time it has looked at the clock */
		T_EQ(health(sup).waiting, 4);
	time_move(WEFT_SEC);
	expect(&told, "*a *b *c *d ");
	over(sup);

	sup = sup_of(
		(weft_sup_opts){.strategy = WEFT_REST_FOR_ONE, .children = c, .n = 3, .max_restarts = 100, .backoff = {.min = WEFT_SEC}});
	expect(&told, "+a +b +c ");
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	expect(&told, "-a:code:-1 ~a:1000ms ");
	time_move(WEFT_SEC);
	expect(&told, "*a ");
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	expect(&told, "-a:code:-1 ~a:2000ms ");
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
	expect(&told, "-b:code:-1 =c ~b:1000ms ");
	time_move(WEFT_SEC);
	expect(&told, "*b *c "); /* a is in front of them, and waits by itself */
	T_EQ(health(sup).waiting, 1);
	time_move(WEFT_SEC);
	expect(&told, "*a ");
	over(sup);
	time_real();
	return 0;
}

/* Nobody is started before its own wait is over because others are. */
TEST_WORKERS(backoff_longest)
{
	run(backoff_longest_main, NULL);
}

static _Atomic int64_t least, most;
static _Atomic int jittered;

static void on_wait(const weft_sup_event *e, void *arg)
{
	(void)arg;
	if (e->kind != WEFT_SUP_WAITING)
		return;
	if (e->delay < least)
		least = e->delay;
	if (e->delay > most)
		most = e->delay;
	jittered++;
}

static int jitter_main(void *arg)
{
	enum { N = 200 };
	weft_actor_ref sup;

	(void)arg;
	time_fake();
	least = INT64_MAX;
	most = 0;
	jittered = 0;
	T_EQ(weft_sup_start(&sup, &(weft_sup_opts){.children = &CHILD("a", &pa),
						   .n = 1,
						   .max_restarts = WEFT_SUP_UNLIMITED,
						   .on_event = on_wait,
						   .backoff = {.min = 1000 * WEFT_MS, .max = 1000 * WEFT_MS, .jitter = 0.5}}),
	     0);
	for (int i = 0; i < N; i++) {
		until(health(sup).up);
		T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
		until(jittered == i + 1);
		time_move(1000 * WEFT_MS);
	}
	T_GT(least, 500 * WEFT_MS - 2);
	T_LE(most, 1000 * WEFT_MS);
	T_LT(least, 600 * WEFT_MS); /* of so many, one in five is */
	T_GT(most, 900 * WEFT_MS);
	T_EQ(weft_sup_stop(sup), 0);
	time_real();
	return 0;
}

TEST_WORKERS(backoff_jitter)
{
	run(jitter_main, NULL);
}

/* --- what a failure means --- */

static int on_fail_main(void *arg)
{
	weft_child_spec c[] = {CHILD("a", &pa), CHILD("b", &pb, .on_fail = WEFT_FAIL_RESUME), CHILD("c", &pc)};
	weft_actor_ref sup, a;
	struct watcher w;

	(void)arg;
	sup = sup_of((weft_sup_opts){.strategy = WEFT_ONE_FOR_ALL, .children = c, .n = 3, .max_restarts = WEFT_SUP_NO_RESTARTS});
	expect(&told, "+a +b +c ");
	a = find(sup, "a");
	for (int i = 0; i < 10; i++) {
		T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
		expect(&told, "-b:code:-1 *b ");
	}
	T_OK(weft_actor_same(find(sup, "a"), a));
	T_EQ(health(sup).restarts, 0);
	watch_begin(&w, sup);
	T_EQ(tell(find(sup, "b"), STOP, 0), 0); /* that is no failure */
	watch_end(&w, WEFT_END_CODE, WEFT_EINTENSITY);
	expect(&told, "-b:normal #b =c =a ");

	c[1].on_fail = WEFT_FAIL_TERMINATE;
	sup = sup_of((weft_sup_opts){.strategy = WEFT_ONE_FOR_ALL, .children = c, .n = 3});
	expect(&told, "+a +b +c ");
	T_EQ(tell(find(sup, "b"), PANIC, 0), 0);
	expect(&told, "-b:panic:-5004 ");
	T_EQ(health(sup).up, 2);
	T_EQ(weft_sup_child_restart(sup, "b", NULL), 0);
	expect(&told, "*b ");
	over(sup);

	c[1].on_fail = WEFT_FAIL_ESCALATE;
	sup = sup_of((weft_sup_opts){.children = c, .n = 3});
	expect(&told, "+a +b +c ");
	watch_begin(&w, sup);
	T_EQ(tell(find(sup, "b"), PANIC, 0), 0);
	watch_end(&w, WEFT_END_PANIC, WEFT_EPANIC);
	expect(&told, "-b:panic:-5004 =c =a ");

	c[1].restart = WEFT_TEMPORARY;
	c[1].on_fail = WEFT_FAIL_RESUME;
	sup = sup_of((weft_sup_opts){.children = c, .n = 3});
	expect(&told, "+a +b +c ");
	T_EQ(tell(find(sup, "b"), PANIC, 0), 0);
	expect(&told, "-b:panic:-5004 ");
	T_EQ(health(sup).children, 2);
	over(sup);
	return 0;
}

TEST_WORKERS(on_fail)
{
	run(on_fail_main, NULL);
}

static int resume_fails_main(void *arg)
{
	weft_child_spec c[] = {CHILD("a", &pa), CHILD("b", &pb, .on_fail = WEFT_FAIL_RESUME)};
	weft_actor_ref sup = sup_of((weft_sup_opts){.strategy = WEFT_ONE_FOR_ALL, .children = c, .n = 2, .max_restarts = 2});
	struct watcher w;

	(void)arg;
	expect(&told, "+a +b ");
	refuse(&pb, -8, 2);
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
	expect(&told, "-b:code:-1 !b:-8 !b:-8 *b "); /* a alone: but such tries are counted, or they would go on for ever */
	T_EQ(health(sup).restarts, 2);
	refuse(&pb, -8, 0);
	watch_begin(&w, sup);
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
	watch_end(&w, WEFT_END_CODE, WEFT_EINTENSITY);
	expect(&told, "-b:code:-1 !b:-8 #b =a ");
	pb.refuse = 0;
	return 0;
}

TEST_WORKERS(resume_that_fails)
{
	run(resume_fails_main, NULL);
}

/* --- significant children --- */

static int significant_main(void *arg)
{
	weft_child_spec c[] = {CHILD("a", &pa, .restart = WEFT_TRANSIENT, .significant = true),
			       CHILD("b", &pb, .restart = WEFT_TEMPORARY, .significant = true), CHILD("c", &pc)};
	weft_sup_opts o = {.children = c, .n = 3, .auto_shutdown = WEFT_SHUTDOWN_ANY_SIGNIFICANT};
	weft_actor_ref sup = sup_of(o);
	struct watcher w;

	(void)arg;
	expect(&told, "+a +b +c ");
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0); /* it is started again */
	expect(&told, "-a:code:-1 *a ");
	T_EQ(weft_sup_child_stop(sup, "a"), 0); /* not by itself */
	expect(&told, "=a ");
	T_EQ(weft_sup_child_restart(sup, "a", NULL), 0);
	expect(&told, "*a ");
	watch_begin(&w, sup);
	T_EQ(tell(find(sup, "a"), STOP, 0), 0);
	watch_end(&w, WEFT_END_SHUTDOWN, 0);
	expect(&told, "-a:normal =c =b ");

	sup = sup_of(o);
	expect(&told, "+a +b +c ");
	watch_begin(&w, sup);
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
	watch_end(&w, WEFT_END_SHUTDOWN, 0);
	expect(&told, "-b:code:-1 =c =a ");

	o.auto_shutdown = WEFT_SHUTDOWN_ALL_SIGNIFICANT;
	sup = sup_of(o);
	expect(&told, "+a +b +c ");
	T_EQ(tell(find(sup, "b"), FAIL, -1), 0);
	expect(&told, "-b:code:-1 ");
	watch_begin(&w, sup);
	T_EQ(tell(find(sup, "a"), STOP, 0), 0);
	watch_end(&w, WEFT_END_SHUTDOWN, 0);
	expect(&told, "-a:normal =c ");

	sup = sup_of(o);
	expect(&told, "+a +b +c ");
	T_EQ(weft_sup_child_stop(sup, "a"), 0);
	expect(&told, "=a ");
	watch_begin(&w, sup);
	T_EQ(tell(find(sup, "b"), STOP, 0), 0); /* the last one that is up */
	watch_end(&w, WEFT_END_SHUTDOWN, 0);
	expect(&told, "-b:normal =c ");
	return 0;
}

/* Those that end by themselves, and are not started again, end the supervisor: any, or the last of them. */
TEST_WORKERS(significant)
{
	run(significant_main, NULL);
}
