/* SPDX-License-Identifier: MIT
 *
 * sup.c - actor/sup.c, sup_call.c, sup_tree.c: starting and ending a supervisor, what it is asked while it runs, and what it answers.
 */
#include "sups.h"

#include "weft/registry.h"
#include "weft/scope.h"
#include "weft/server.h"

static struct part pa, pb, pc;

/* --- start and stop --- */

static int order_main(void *arg)
{
	const weft_child_spec leaf = CHILD("leaf", &pc);
	const weft_sup_opts low = {.strategy = WEFT_ONE_FOR_ALL, .children = &leaf, .n = 1, .on_event = on_event, .event_arg = &told};
	const weft_child_spec c[] = {CHILD("a", &pa),
				     {.id = "low", .sup = &low},
				     {.id = "t", .task = until_canceled, .shutdown = WEFT_FOREVER},
				     CHILD("b", &pb)};
	weft_actor_ref sup;
	struct watcher w;

	(void)arg;
	sup = sup_of((weft_sup_opts){.children = c, .n = 4});
	expect(&told, "+a +leaf +low +t +b ");
	T_EQ(health(sup).up, 4);
	T_EQ(health(sup).sups, 1);
	watch_begin(&w, sup);
	T_EQ(weft_sup_stop(sup), 0);
	watch_end(&w, WEFT_END_SHUTDOWN, 0);
	expect(&told, "=b =t =leaf =low =a ");
	T_EQ(weft_sup_stop(sup), WEFT_ESRCH);
	sup = sup_of((weft_sup_opts){.children = NULL}); /* there may be none */
	T_EQ(health(sup).children, 0);
	T_EQ(weft_sup_stop(sup), 0);
	return 0;
}

/* Children are started in their order, each after the one before is up, and stopped in reverse, each before the next is. */
TEST_WORKERS(order)
{
	run(order_main, NULL);
}

static int ignores(weft_actor_ref *out, void *arg)
{
	(void)out;
	(void)arg;
	return WEFT_CHILD_IGNORE;
}

static int panics(weft_actor_ref *out, void *arg)
{
	(void)out;
	(void)arg;
	weft_task_panic("as asked");
}

static int exits(weft_actor_ref *out, void *arg)
{
	(void)out;
	(void)arg;
	weft_task_exit(-77);
}

static int starts_nothing(weft_actor_ref *out, void *arg)
{
	(void)out;
	(void)arg;
	return 0;
}

static int starts_odd(weft_actor_ref *out, void *arg)
{
	*out = *(weft_actor_ref *)arg;
	return 0;
}

static int fail_with(weft_child_spec bad)
{
	const weft_child_spec c[] = {CHILD("a", &pa), CHILD("b", &pb), bad, CHILD("c", &pc)};
	weft_actor_ref sup = {&pa, 1};
	int rc;

	rc = weft_sup_start(&sup, &(weft_sup_opts){.children = c, .n = 4, .on_event = on_event, .event_arg = &told});
	T_OK(weft_actor_same(sup, WEFT_NO_ACTOR));
	return rc;
}

static int first_start_main(void *arg)
{
	const weft_sup_opts low = {.children = &CHILD("x", &pc), .n = 1};

	(void)arg;
	pc.refuse = -8;
	pc.starts = 0;
	T_EQ(fail_with(CHILD("bad", &pc)), -8);
	expect(&told, "+a +b !bad:-8 =b =a ");
	T_EQ(pc.starts, 1);
	T_EQ(fail_with((weft_child_spec){.id = "bad", .sup = &low}), -8);
	expect(&told, "+a +b !bad:-8 =b =a ");
	pc.refuse = 0;
	T_EQ(fail_with((weft_child_spec){.id = "bad", .start = panics}), WEFT_EPANIC);
	expect(&told, "+a +b !bad:-5004 =b =a ");
	T_EQ(fail_with((weft_child_spec){.id = "bad", .start = starts_nothing}), WEFT_EINVAL);
	expect(&told, "+a +b !bad:-22 =b =a ");
	T_EQ(fail_with((weft_child_spec){.id = "bad", .start = exits}), -77); /* ends the supervisor, whose children end with it */
	expect(&told, "+a +b ");
	return 0;
}

/* The first start of one fails: those that are up are stopped, in reverse, and the start of the supervisor fails with that. */
TEST_WORKERS(first_start_fails)
{
	run(first_start_main, NULL);
}

static int options_main(void *arg)
{
	const weft_child_spec ok = CHILD("a", &pa);
	char long_id[WEFT_NAME_MAX + 2];
	weft_child_spec c[] = {ok, ok};
	weft_actor_ref sup;

	(void)arg;
	memset(long_id, 'x', sizeof long_id);
	long_id[sizeof long_id - 1] = 0;
#define BAD(code, ...) T_EQ(weft_sup_start(NULL, &(weft_sup_opts){__VA_ARGS__}), (code))
	T_EQ(weft_sup_start(NULL, NULL), WEFT_EINVAL);
	BAD(WEFT_EINVAL, .strategy = (enum weft_strategy)4);
	BAD(WEFT_EINVAL, .auto_shutdown = (enum weft_auto_shutdown)3);
	BAD(WEFT_EINVAL, .n = 1);
	BAD(WEFT_EINVAL, .strategy = WEFT_DYNAMIC);
	BAD(WEFT_EINVAL, .strategy = WEFT_DYNAMIC, .children = c, .n = 2);
	BAD(WEFT_EINVAL, .max_restarts = -2);
	BAD(WEFT_EINVAL, .max_restarts = 1000001);
	BAD(WEFT_EINVAL, .within = -1);
	BAD(WEFT_EINVAL, .patience = -1);
	BAD(WEFT_EINVAL, .backoff = {.min = -1});
	BAD(WEFT_EINVAL, .backoff = {.min = 2, .max = 1});
	BAD(WEFT_EINVAL, .backoff = {.mult = 0.5});
	BAD(WEFT_EINVAL, .backoff = {.mult = __builtin_nan("")});
	BAD(WEFT_EINVAL, .backoff = {.jitter = 1.1});
	BAD(WEFT_EINVAL, .backoff = {.jitter = -0.1});
	BAD(WEFT_EINVAL, .link = true); /* we are no actor */
	BAD(WEFT_EEXIST, .children = c, .n = 2);
	c[1].id = long_id;
	BAD(WEFT_ENAMETOOLONG, .children = c, .n = 2);
#undef BAD
	sup = sup_of((weft_sup_opts){.children = &ok, .n = 1});
#define BAD(code, ...) T_EQ(weft_sup_child_add(sup, &(weft_child_spec){__VA_ARGS__}, NULL), (code))
	T_EQ(weft_sup_child_add(sup, NULL, NULL), WEFT_EINVAL);
	BAD(WEFT_EINVAL, .id = "x");
	BAD(WEFT_EINVAL, .id = "x", .start = start_part, .task = until_canceled);
	BAD(WEFT_EINVAL, .start = start_part);
	BAD(WEFT_EINVAL, .id = "", .start = start_part);
	BAD(WEFT_EINVAL, .id = "x", .start = start_part, .restart = (enum weft_restart)3);
	BAD(WEFT_EINVAL, .id = "x", .start = start_part, .on_fail = (enum weft_on_fail)4);
	BAD(WEFT_EINVAL, .id = "x", .start = start_part, .shutdown = -2);
	BAD(WEFT_EINVAL, .id = "x", .start = start_part, .size = 8);
	BAD(WEFT_EINVAL, .id = "x", .start = start_part, .significant = true);                            /* it is permanent */
	BAD(WEFT_EINVAL, .id = "x", .start = start_part, .significant = true, .restart = WEFT_TRANSIENT); /* here nobody is */
	BAD(WEFT_ENAMETOOLONG, .id = long_id, .start = start_part);
	BAD(WEFT_EINVAL, .id = "x", .start = starts_odd, .arg = &sup);
	weft_actor_ref a = find(sup, "a");
	BAD(WEFT_EINVAL, .id = "x", .start = starts_odd, .arg = &a); /* that one is a child already */
#undef BAD
	T_EQ(health(sup).children, 1);
	T_EQ(weft_sup_child_stop(sup, NULL), WEFT_EINVAL);
	T_EQ(weft_sup_child_stop(sup, ""), WEFT_EINVAL);
	T_EQ(weft_sup_child_del(sup, long_id), WEFT_ENAMETOOLONG);
	T_EQ(weft_sup_child_stop_ref(sup, WEFT_NO_ACTOR), WEFT_EINVAL);
	T_EQ(weft_sup_child_find(sup, "a", NULL), WEFT_EINVAL);
	T_EQ(weft_sup_list(sup, NULL, 1), WEFT_EINVAL);
	T_EQ(weft_sup_list(sup, NULL, -1), WEFT_EINVAL);
	T_EQ(weft_sup_health(sup, NULL), WEFT_EINVAL);
	T_EQ(weft_sup_tree(sup, NULL, 1, 0), WEFT_EINVAL);
	T_EQ(weft_sup_tree(sup, NULL, 0, 2), WEFT_EINVAL);
	T_EQ(weft_sup_child_start(sup, NULL, NULL), WEFT_ENOTSUP);
	T_EQ(weft_sup_stop(sup), 0);
	forget(&told);
	T_STR_EQ(weft_strerror(WEFT_EINTENSITY), "restarted too often");
	T_STR_EQ(weft_sup_event_name(WEFT_SUP_GAVE_UP), "gave up");
	T_STR_EQ(weft_sup_event_name((enum weft_sup_event_kind)99), "?");
	return 0;
}

TEST_WORKERS(bad_options)
{
	run(options_main, NULL);
}

static int ignored_main(void *arg)
{
	const weft_child_spec c[] = {
		{.id = "i", .start = ignores}, {.id = "j", .start = ignores, .restart = WEFT_TEMPORARY}, CHILD("a", &pa)};
	weft_actor_ref sup = sup_of((weft_sup_opts){.children = c, .n = 3}), ref;

	(void)arg;
	T_OK(weft_actor_same(find(sup, "i"), WEFT_NO_ACTOR));
	T_EQ(weft_sup_child_find(sup, "j", &ref), WEFT_ENOENT);
	T_EQ(health(sup).children, 2);
	T_EQ(weft_sup_stop(sup), 0);
	expect(&told, "+a =a ");
	return 0;
}

/* Children whose start ignores them stay, to be started later; but nothing would ever start a temporary one. */
TEST_WORKERS(ignored)
{
	run(ignored_main, NULL);
}

/* --- at run time --- */

static int changes_main(void *arg)
{
	weft_actor_ref sup, ref, other;

	(void)arg;
	sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1});
	T_EQ(weft_sup_child_add(sup, &CHILD("b", &pb), &ref), 0);
	T_OK(weft_actor_same(find(sup, "b"), ref));
	T_EQ(weft_sup_child_add(sup, &CHILD("b", &pb), &other), WEFT_EEXIST);
	T_OK(weft_actor_same(other, ref));
	expect(&told, "+a +b ");

	pc.refuse = -8;
	T_EQ(weft_sup_child_add(sup, &CHILD("c", &pc), &other), -8);
	T_OK(weft_actor_same(other, WEFT_NO_ACTOR));
	pc.refuse = 0;
	T_EQ(weft_sup_child_find(sup, "c", &other), WEFT_ENOENT); /* it was not added */
	T_EQ(weft_sup_child_add(sup, &(weft_child_spec){.id = "i", .start = ignores}, &other), 0);
	T_OK(weft_actor_same(other, WEFT_NO_ACTOR));
	T_OK(weft_actor_same(find(sup, "i"), WEFT_NO_ACTOR)); /* it was */
	T_EQ(weft_sup_child_add(sup, &(weft_child_spec){.id = "j", .start = ignores, .restart = WEFT_TEMPORARY}, NULL), 0);
	T_EQ(weft_sup_child_find(sup, "j", &other), WEFT_ENOENT); /* nothing of it would ever be started */
	expect(&told, "!c:-8 ");

	T_EQ(weft_sup_child_restart(sup, "b", NULL), WEFT_EBUSY);
	T_EQ(weft_sup_child_del(sup, "b"), WEFT_EBUSY);
	T_EQ(weft_sup_child_stop(sup, "b"), 0);
	T_EQ(weft_actor_alive(ref), false);
	T_EQ(weft_sup_child_stop(sup, "b"), 0); /* it is */
	T_EQ(weft_sup_child_add(sup, &CHILD("b", &pb), &other), WEFT_EEXIST);
	T_OK(weft_actor_same(other, WEFT_NO_ACTOR));
	T_EQ(weft_sup_child_restart(sup, "b", &other), 0);
	T_OK(weft_actor_same(find(sup, "b"), other));
	T_EQ(health(sup).restarts, 0); /* that is not counted */
	T_EQ(weft_sup_child_stop_ref(sup, other), 0);
	T_EQ(weft_sup_child_stop_ref(sup, other), WEFT_ENOENT);
	pb.refuse = -8;
	T_EQ(weft_sup_child_restart(sup, "b", &other), -8);
	pb.refuse = 0;
	T_OK(weft_actor_same(find(sup, "b"), WEFT_NO_ACTOR));
	T_EQ(weft_sup_child_del(sup, "b"), 0);
	T_EQ(weft_sup_child_del(sup, "b"), WEFT_ENOENT);
	T_EQ(weft_sup_child_stop(sup, "b"), WEFT_ENOENT);
	T_EQ(weft_sup_child_restart(sup, "b", NULL), WEFT_ENOENT);
	expect(&told, "=b *b =b !b:-8 ");
	T_EQ(weft_sup_child_add(sup, &CHILD("t", &pb, .restart = WEFT_TEMPORARY), NULL), 0);
	T_EQ(weft_sup_child_stop(sup, "t"), 0);
	T_EQ(weft_sup_child_find(sup, "t", &other), WEFT_ENOENT);
	T_EQ(weft_sup_stop(sup), 0);
	expect(&told, "+t =t =a ");
	return 0;
}

/* Children come, are stopped, started again, deleted, while it runs. */
TEST_WORKERS(changes)
{
	run(changes_main, NULL);
}

static int many_main(void *arg)
{
	enum { N = 300 };
	weft_actor_ref sup = sup_of((weft_sup_opts){.children = NULL});
	weft_child_info *info = calloc(N, sizeof *info);
	char id[20];

	(void)arg;
	for (int i = 0; i < N; i++) {
		snprintf(id, sizeof id, "child %d", i);
		T_EQ(weft_sup_child_add(sup, &CHILD(id, &pa), NULL), 0);
		forget(&told);
	}
	T_EQ(weft_sup_list(sup, NULL, 0), N);
	T_EQ(weft_sup_list(sup, info, 10), N);
	T_STR_EQ(info[9].id, "child 9");
	T_STR_EQ(info[10].id, "");
	for (int i = 0; i < N; i += 2) {
		snprintf(id, sizeof id, "child %d", i);
		T_EQ(weft_sup_child_stop(sup, id), 0);
		T_EQ(weft_sup_child_del(sup, id), 0);
		forget(&told);
	}
	T_EQ(weft_sup_list(sup, info, N), N / 2);
	for (int i = 0; i < N / 2; i++) {
		snprintf(id, sizeof id, "child %d", i * 2 + 1);
		T_STR_EQ(info[i].id, id);
		T_OK(weft_actor_same(info[i].ref, find(sup, id)));
		T_EQ(info[i].state, WEFT_CHILD_UP);
		T_EQ(info[i].restarts, 0);
		T_GT(info[i].since, 0);
	}
	free(info);
	T_EQ(weft_sup_stop(sup), 0);
	forget(&told);
	return 0;
}

TEST_WORKERS(many)
{
	run(many_main, NULL);
}

/* --- whose argument it is --- */

static int uses_copy(void *arg)
{
	struct part **p = arg;

	(*p)->starts++;
	*p = NULL; /* of this start only */
	return -1;
}

static void copy_freed(void *arg)
{
	(*(struct part **)arg)->freed++;
}

static int args_main(void *arg)
{
	struct part *p = &pa;
	weft_child_spec spec = {.id = "a", .task = uses_copy, .arg = &p, .size = sizeof p, .dtor = copy_freed, .shutdown = WEFT_FOREVER};
	weft_actor_ref sup;
	int rc;

	(void)arg;
	pa.starts = pa.freed = 0;
	sup = sup_of((weft_sup_opts){.children = &spec, .n = 1, .max_restarts = 9});
	(void)weft_actor_wait(sup, NULL);
	T_EQ(pa.starts, 10);
	until(pa.freed == 1);
	forget(&told);

	spec = CHILD("b", &pb, .dtor = part_freed);
	pb.freed = 0;
	sup = sup_of((weft_sup_opts){.children = NULL});
	T_EQ(weft_sup_child_add(sup, &spec, NULL), 0);
	T_EQ(weft_sup_child_add(sup, &spec, NULL), WEFT_EEXIST); /* so that one is still ours, as after all that fail */
	T_EQ(pb.freed, 0);
	T_EQ(weft_sup_child_stop(sup, "b"), 0);
	T_EQ(weft_sup_child_del(sup, "b"), 0);
	T_EQ(pb.freed, 1);
	pb.refuse = -8;
	T_EQ(weft_sup_child_add(sup, &spec, NULL), -8);
	pb.refuse = WEFT_EALREADY;
	T_EQ(weft_sup_child_add(sup, &spec, NULL), WEFT_EBUSY);
	pb.refuse = 0;
	spec.significant = true;
	spec.restart = WEFT_TRANSIENT;
	T_EQ(weft_sup_child_add(sup, &spec, NULL), WEFT_EINVAL);
	spec = CHILD("b", &pb, .dtor = part_freed);
	T_EQ(weft_sup_child_add(sup, &spec, NULL), 0);
	T_EQ(pb.freed, 1);
	T_EQ(weft_sup_stop(sup), 0);
	T_EQ(pb.freed, 2);
	T_EQ(weft_sup_child_add(sup, &spec, NULL), WEFT_ESRCH);
	T_EQ(pb.freed, 2);

	pb.freed = 0; /* those of a start are never the caller's again */
	rc = weft_sup_start(&sup, &(weft_sup_opts){.children = (weft_child_spec[]){spec, spec, spec}, .n = 3});
	T_EQ(rc, WEFT_EEXIST);
	T_EQ(pb.freed, 3);
	T_EQ(weft_sup_start(&sup, &(weft_sup_opts){.children = &spec, .n = 1, .within = -1}), WEFT_EINVAL);
	T_EQ(pb.freed, 4);
	pb.refuse = -8;
	T_EQ(weft_sup_start(&sup, &(weft_sup_opts){.children = &spec, .n = 1}), -8);
	pb.refuse = 0;
	until(pb.freed == 5); /* its actor may be about to end yet */
	forget(&told);
	return 0;
}

/* Every argument that was taken over is done with once. */
TEST_WORKERS(arguments)
{
	run(args_main, NULL);
}

static void panics_freed(void *arg)
{
	part_freed(arg);
	weft_task_panic("as asked");
}

static int freed_panics_main(void *arg)
{
	const weft_child_spec spec = CHILD("a", &pa, .dtor = panics_freed);
	weft_actor_ref sup = sup_of((weft_sup_opts){.children = &spec, .n = 1});

	(void)arg;
	pa.freed = 0;
	T_EQ(weft_sup_child_stop(sup, "a"), 0);
	T_EQ(weft_sup_child_del(sup, "a"), 0);
	T_EQ(pa.freed, 1);
	T_EQ(weft_sup_child_add(sup, &spec, NULL), 0);
	T_EQ(weft_sup_stop(sup), 0);
	T_EQ(pa.freed, 2);
	T_EQ(weft_sup_start(&sup, &(weft_sup_opts){.children = (weft_child_spec[]){spec, spec}, .n = 2, .within = -1}), WEFT_EINVAL);
	T_EQ(pa.freed, 4);
	forget(&told);
	return 0;
}

/* A dtor that panics is told, and harms nobody else. */
TEST_WORKERS(dtor_panics)
{
	run(freed_panics_main, NULL);
}

/* --- calls that come to nothing --- */

static int asks(void *arg)
{
	return weft_sup_child_stop(*(weft_actor_ref *)arg, "a");
}

static int bad_calls_main(void *arg)
{
	weft_actor_ref sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1}), a = find(sup, "a"), got;
	weft_child_info info;
	weft_sup_stat st;
	weft_task *t;

	(void)arg;
	T_EQ(weft_sup_child_stop(a, "x"), WEFT_EINVAL); /* no supervisor */
	T_EQ(weft_sup_child_start(a, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_sup_child_stop(WEFT_NO_ACTOR, "x"), WEFT_ESRCH);
	T_EQ(weft_actor_suspend(sup), 0);
	T_EQ(weft_sup_child_stop_until(sup, "a", WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_sup_child_stop_until(sup, "a", weft_in(1)), WEFT_ETIMEDOUT);
	T_EQ(weft_sup_child_stop_ref_until(sup, a, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_sup_child_add_until(sup, &CHILD("b", &pb), &got, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_sup_child_start_until(sup, NULL, &got, WEFT_NOW), WEFT_ENOTSUP); /* its children have names */
	T_EQ(weft_sup_child_find_until(sup, "a", &got, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_sup_list_until(sup, &info, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_sup_health_until(sup, &st, WEFT_NOW), WEFT_EAGAIN);
	t = start(asks, &sup);
	until_reason(t, "event");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(weft_actor_resume(sup), 0);
	T_EQ(health(sup).up, 1); /* nothing of it was done */
	T_EQ(weft_actor_suspend(sup), 0);
	t = start(asks, &sup);
	until_reason(t, "event");
	T_EQ(weft_sup_stop(sup), 0); /* a suspended one, too, may be told to end */
	T_EQ(finish(t), WEFT_ESRCH);
	T_EQ(weft_sup_child_stop(sup, "a"), WEFT_ESRCH);
	T_EQ(weft_sup_tree(sup, NULL, 0, 0), WEFT_ESRCH);
	forget(&told);
	return 0;
}

/* What was not begun when the caller gave up is not done; when the supervisor ends, callers are told. */
TEST_WORKERS(calls_given_up)
{
	run(bad_calls_main, NULL);
}

static weft_event at_it, go_on;
static weft_actor_ref find_later;

static int starts_slowly(weft_actor_ref *out, void *arg)
{
	weft_event_set(&at_it);
	T_EQ(weft_event_wait(&go_on), 0);
	return start_part(out, arg);
}

static int adds_slowly(void *arg)
{
	return weft_sup_child_add(*(weft_actor_ref *)arg,
				  &(weft_child_spec){.id = "s", .start = starts_slowly, .arg = &pb, .dtor = part_freed}, NULL);
}

static int begun_main(void *arg)
{
	weft_actor_ref sup = sup_of((weft_sup_opts){.children = NULL}), ref;
	weft_task *t;

	(void)arg;
	weft_event_reset(&at_it);
	weft_event_reset(&go_on);
	pb.freed = 0;
	t = start(adds_slowly, &sup);
	T_EQ(weft_event_wait(&at_it), 0);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_EALREADY);
	weft_event_set(&go_on);
	T_OK(weft_actor_alive(find(sup, "s"))); /* it has gone on with it */
	T_EQ(weft_sup_stop(sup), 0);
	T_EQ(pb.freed, 1);

	sup = sup_of((weft_sup_opts){.children = NULL});
	weft_event_reset(&at_it);
	weft_event_reset(&go_on);
	pb.freed = 0;
	pb.refuse = -8;
	t = start(adds_slowly, &sup);
	T_EQ(weft_event_wait(&at_it), 0);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_EALREADY);
	weft_event_set(&go_on);
	until(pb.freed == 1); /* it comes to nothing, but the argument was the supervisor's */
	T_EQ(weft_sup_child_find(sup, "s", &ref), WEFT_ENOENT);
	pb.refuse = 0;
	T_EQ(weft_sup_stop(sup), 0);
	T_EQ(pb.freed, 1);
	forget(&told);
	return 0;
}

/* What was begun goes on, and is the supervisor's, though nobody waits for it. */
TEST_WORKERS(call_begun)
{
	run(begun_main, NULL);
}

static _Atomic int asked_itself;

static int asks_its_own(weft_actor_ref *out, void *arg)
{
	asked_itself = weft_sup_child_stop(weft_actor_self(), "a");
	return start_part(out, arg);
}

static void hook_asks(const weft_sup_event *e, void *arg)
{
	(void)arg;
	asked_itself = weft_sup_child_stop(e->sup, "a");
	if (e->kind == WEFT_SUP_STOPPED)
		weft_task_panic("it survives that");
}

static int itself_main(void *arg)
{
	weft_actor_ref sup;

	(void)arg;
	asked_itself = 0;
	sup = sup_of((weft_sup_opts){.children = &(weft_child_spec){.id = "a", .start = asks_its_own, .arg = &pa}, .n = 1});
	T_EQ(asked_itself, WEFT_EDEADLK);
	T_EQ(weft_sup_stop(sup), 0);
	forget(&told);
	asked_itself = 0;
	T_EQ(weft_sup_start(&sup, &(weft_sup_opts){.children = &CHILD("a", &pa), .n = 1, .on_event = hook_asks}), 0);
	T_EQ(asked_itself, WEFT_EDEADLK);
	T_EQ(weft_sup_child_stop(sup, "a"), 0);
	T_EQ(weft_sup_stop(sup), 0);
	return 0;
}

/* Its own task, in a start function or a hook, is told so. */
TEST_WORKERS(asks_itself)
{
	run(itself_main, NULL);
}

static weft_actor_ref its_sup;
static _Atomic int answer;

static void asks_at_its_end(void *state, weft_end e)
{
	weft_sup_stat st;

	(void)state;
	(void)e;
	answer = weft_sup_health(its_sup, &st);
}

static int start_asking(weft_actor_ref *out, void *arg)
{
	return weft_actor_start(out, &(weft_actor_opts){.on_msg = part_on_msg, .on_stop = asks_at_its_end, .state = arg, .link = true});
}

static int asks_when_told(void *arg)
{
	weft_sup_stat st;
	weft_msg *m;
	bool told_to;

	(void)arg;
	T_EQ(weft_actor_trap(true), 0);
	T_EQ(weft_actor_recv(&m), 0);
	weft_msg_free(m);
	answer = weft_sup_health(its_sup, &st);
	T_EQ(weft_actor_recv(&m), 0);
	told_to = m->kind == WEFT_MSG_EXIT;
	weft_msg_free(m);
	return told_to ? 0 : -1;
}

static int start_and_say(weft_actor_ref *out, void *arg)
{
	its_sup = weft_actor_self();
	return start_asking(out, arg);
}

static int asks_at_end_main(void *arg)
{
	weft_actor_ref t;

	(void)arg;
	answer = 0;
	its_sup = sup_of((weft_sup_opts){
		.children = &(weft_child_spec){.id = "a", .start = start_asking, .arg = &pa, .shutdown = WEFT_FOREVER}, .n = 1});
	T_EQ(weft_sup_stop(its_sup), 0);
	T_EQ(answer, WEFT_ESRCH);
	expect(&told, "+a =a ");

	answer = 0;
	its_sup = sup_of(
		(weft_sup_opts){.children = &(weft_child_spec){.id = "t", .task = asks_when_told, .shutdown = WEFT_FOREVER}, .n = 1});
	t = find(its_sup, "t");
	T_EQ(weft_actor_suspend(its_sup), 0);
	T_EQ(tell(t, STAY, 0), 0);
	until(stats_of(its_sup).len == 1);
	T_EQ(weft_sup_stop(its_sup), 0);
	T_EQ(answer, WEFT_ESRCH);
	expect(&told, "+t =t:normal ");

	answer = 0; /* one whose start fails */
	T_EQ(weft_sup_start(NULL,
			    &(weft_sup_opts){.children = (weft_child_spec[]){{.id = "s", .start = start_and_say, .shutdown = WEFT_FOREVER},
									     {.id = "p", .start = panics}},
					     .n = 2,
					     .on_event = on_event,
					     .event_arg = &told}),
	     WEFT_EPANIC);
	T_EQ(answer, WEFT_ESRCH);
	expect(&told, "+s !p:-5004 =s ");
	return 0;
}

/* Children that ask a supervisor which ends are told so: it waits for them. */
TEST_WORKERS(asked_at_its_end)
{
	run(asks_at_end_main, NULL);
}

static int odd_messages_main(void *arg)
{
	weft_actor_ref sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1});

	(void)arg;
	for (long i = 0; i < 100; i++)
		T_EQ(tell(sup, (uint64_t)i, i), 0);
	T_EQ(health(sup).up, 1);
	T_EQ(weft_sup_stop(sup), 0);
	forget(&told);
	return 0;
}

/* What is none of its business is dropped. */
TEST_WORKERS(odd_messages)
{
	run(odd_messages_main, NULL);
}

enum { SIGNAL = 100, SIGNAL_AND_STOP };
static _Atomic int signals;

static int signals_when_told(void *state, weft_msg *m)
{
	bool stops = m->tag == SIGNAL_AND_STOP;

	(void)state;
	T_EQ(weft_actor_signal(its_sup, (weft_end){WEFT_END_CODE, 1}), 0);
	signals++;
	return stops ? WEFT_ACTOR_STOP : 0;
}

static int start_signaling(weft_actor_ref *out, void *arg)
{
	return weft_actor_start(out, &(weft_actor_opts){.on_msg = signals_when_told, .state = arg, .link = true});
}

static int signals_main(void *arg)
{
	const weft_child_spec c = {.id = "a", .start = start_signaling, .restart = WEFT_TRANSIENT, .shutdown = WEFT_FOREVER};
	weft_actor_ref a;

	(void)arg;
	signals = 0;
	its_sup = sup_of((weft_sup_opts){.children = &c, .n = 1});
	a = find(its_sup, "a");
	T_EQ(tell(a, SIGNAL, 0), 0);
	until(signals == 1);
	T_OK(weft_actor_same(find(its_sup, "a"), a));
	T_EQ(health(its_sup).up, 1);
	expect(&told, "+a ");
	T_EQ(weft_actor_suspend(its_sup), 0);
	T_EQ(tell(a, SIGNAL_AND_STOP, 0), 0);
	until(!weft_actor_alive(a) && stats_of(its_sup).relations == 0);
	T_EQ(weft_actor_resume(its_sup), 0);
	expect(&told, "-a:normal "); /* not as the signal said: it would be started again */
	T_EQ(weft_sup_child_restart(its_sup, "a", &a), 0);
	T_EQ(weft_actor_suspend(its_sup), 0);
	T_EQ(tell(a, SIGNAL, 0), 0);
	until(signals == 3);
	T_EQ(weft_sup_stop(its_sup), 0);
	expect(&told, "*a =a ");
	return 0;
}

/* An exit signal that a child sends is not its end. */
TEST_WORKERS(signals_of_children)
{
	run(signals_main, NULL);
}

/* --- its end --- */

static weft_actor_ref of_parent;
static _Atomic bool parent_up;
static weft_ctx *apart;

static int parent(void *state)
{
	weft_msg *m;

	(void)state;
	of_parent = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1, .link = true, .ctx = apart}); /* else that ends, too */
	parent_up = true;
	while (!weft_actor_recv(&m))
		weft_msg_free(m);
	return 0;
}

static int ends_main(void *arg)
{
	weft_actor_ref sup, ref, other;
	struct watcher w, wa;
	weft_ctx *ctx;

	(void)arg;
	parent_up = false;
	apart = weft_ctx_self();
	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.run = parent}), 0);
	until(parent_up);
	expect(&told, "+a ");
	T_EQ(weft_actor_fn(&other, part_on_msg), 0);
	T_EQ(weft_actor_signal(of_parent, (weft_end){WEFT_END_CODE, 4}), 0); /* we are nobody to it */
	T_EQ(health(of_parent).up, 1);
	watch_begin(&w, of_parent);
	T_EQ(weft_actor_stop(ref, (weft_end){WEFT_END_CODE, 5}), 0); /* that one is */
	watch_end(&w, WEFT_END_CODE, 5);
	expect(&told, "=a ");
	T_EQ(weft_actor_stop_wait(other), 0);

	sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1}); /* by nobody: who is no actor may end it by a signal */
	watch_begin(&w, sup);
	T_EQ(weft_actor_signal(sup, (weft_end){WEFT_END_CODE, 6}), 0);
	watch_end(&w, WEFT_END_CODE, 6);
	expect(&told, "+a =a ");

	ctx = weft_ctx_make(NULL);
	sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1, .ctx = ctx});
	ref = find(sup, "a");
	watch_begin(&w, sup);
	T_EQ(weft_ctx_cancel(ctx, 0), 0);
	watch_end(&w, WEFT_END_CANCELED, WEFT_ECANCELED);
	T_OK(!weft_actor_alive(ref));
	weft_ctx_free(ctx);
	forget(&told); /* who of the two was first differs */

	sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1});
	ref = find(sup, "a");
	watch_begin(&w, sup);
	watch_begin(&wa, ref);
	T_EQ(weft_actor_kill(sup), 0);
	watch_end(&w, WEFT_END_KILLED, WEFT_ECANCELED);
	T_EQ(finish(wa.task), 0);
	T_OK(wa.end.kind == WEFT_END_KILLED || wa.end.kind == WEFT_END_CANCELED); /* by its link, or by its context */
	forget(&told);
	return 0;
}

/* It ends, its children first, when it is told to, by whoever has started it, by its context; killed, it takes them along. */
TEST_WORKERS(ends)
{
	run(ends_main, NULL);
}

static int stops_its_sup(void *state, weft_msg *m)
{
	(void)state;
	(void)m;
	answer = weft_sup_stop(its_sup);
	return 0;
}

static int start_stopping(weft_actor_ref *out, void *arg)
{
	return weft_actor_start(out, &(weft_actor_opts){.on_msg = stops_its_sup, .state = arg, .link = true});
}

static int from_below_main(void *arg)
{
	const weft_child_spec leaf = {.id = "leaf", .start = start_stopping, .shutdown = WEFT_FOREVER};
	const weft_sup_opts low = {.children = &leaf, .n = 1};
	const weft_child_spec c[] = {CHILD("a", &pa), {.id = "low", .sup = &low}, CHILD("b", &pb)};
	struct watcher w;

	(void)arg;
	pa.stops = pb.stops = 0;
	answer = 0;
	its_sup = sup_of((weft_sup_opts){.children = c, .n = 3});
	watch_begin(&w, its_sup);
	T_EQ(tell(find(find(its_sup, "low"), "leaf"), STOP, 0), 0);
	watch_end(&w, WEFT_END_SHUTDOWN, 0);
	T_EQ(answer, WEFT_EDEADLK);
	expect(&told, "+a +low +b =b =low =a ");
	T_EQ(pa.stops, 1); /* not just killed */
	T_EQ(pb.stops, 1);
	return 0;
}

/* Who runs below it may tell it to end, and does not wait for it: all are stopped as ever. */
TEST_WORKERS(stopped_from_below)
{
	run(from_below_main, NULL);
}

static int waits_or_not(weft_actor_ref *out, void *arg)
{
	int rc;

	weft_event_set(&at_it);
	rc = weft_event_wait(&go_on);
	return rc ? rc : start_part(out, arg);
}

static int adds_one_that_waits(void *arg)
{
	return weft_sup_child_add(*(weft_actor_ref *)arg, &(weft_child_spec){.id = "s", .start = waits_or_not, .arg = &pb}, NULL);
}

static int killed_main(void *arg)
{
	weft_actor_ref sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1});
	struct watcher w;
	weft_task *t;

	(void)arg;
	weft_event_reset(&at_it);
	weft_event_reset(&go_on);
	t = start(adds_one_that_waits, &sup);
	T_EQ(weft_event_wait(&at_it), 0);
	watch_begin(&w, sup);
	T_EQ(weft_actor_kill(sup), 0);
	watch_end(&w, WEFT_END_KILLED, WEFT_ECANCELED);
	T_EQ(finish(t), WEFT_ESRCH);
	forget(&told);
	return 0;
}

/* A kill ends what its start function waits for. */
TEST_WORKERS(killed_in_a_start)
{
	run(killed_main, NULL);
}

static int starts_one_that_waits(void *arg)
{
	const weft_child_spec c[] = {CHILD("a", &pa), {.id = "s", .start = waits_or_not, .arg = &pb, .dtor = part_freed}};
	weft_actor_ref sup = {&pa, 1};
	int rc = weft_sup_start_until(&sup, &(weft_sup_opts){.children = c, .n = 2}, *(int64_t *)arg);

	T_OK(weft_actor_same(sup, WEFT_NO_ACTOR));
	return rc;
}

static int given_up_main(void *arg)
{
	int64_t deadline = WEFT_NOW;
	weft_actor_ref sup, a;
	weft_task *t;
	int rc;

	(void)arg;
	weft_event_reset(&at_it);
	weft_event_reset(&go_on);
	pb.freed = 0;
	T_EQ(starts_one_that_waits(&deadline), WEFT_EAGAIN);
	until(pb.freed == 1); /* killed, it goes with all it has */
	deadline = weft_in(1);
	T_EQ(starts_one_that_waits(&deadline), WEFT_ETIMEDOUT);
	until(pb.freed == 2);
	deadline = WEFT_FOREVER;
	weft_event_reset(&at_it);
	t = start(starts_one_that_waits, &deadline);
	T_EQ(weft_event_wait(&at_it), 0);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	until(pb.freed == 3);

	sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1});
	a = find(sup, "a");
	rc = weft_sup_stop_until(sup, WEFT_NOW);
	T_OK(rc == WEFT_EAGAIN || rc == 0); /* it may have been quick */
	until(!weft_actor_alive(sup) && !weft_actor_alive(a));
	forget(&told);
	return 0;
}

/* A start that nobody waits for any more is undone; a stop is a kill then. */
TEST_WORKERS(start_given_up)
{
	run(given_up_main, NULL);
}

static int all_calls(void *arg)
{
	weft_actor_ref sup = *(weft_actor_ref *)arg, ref;
	weft_child_info info;
	weft_sup_stat st;

	T_EQ(weft_task_sleep(INT64_MAX), WEFT_ECANCELED);
	T_EQ(weft_sup_start(&ref, &(weft_sup_opts){.children = NULL}), WEFT_ECANCELED);
	T_EQ(weft_sup_child_add(sup, &CHILD("b", &pb), NULL), WEFT_ECANCELED);
	T_EQ(weft_sup_child_stop(sup, "a"), WEFT_ECANCELED);
	T_EQ(weft_sup_child_stop_ref(sup, find_later), WEFT_ECANCELED);
	T_EQ(weft_sup_child_restart(sup, "a", NULL), WEFT_ECANCELED);
	T_EQ(weft_sup_child_del(sup, "a"), WEFT_ECANCELED);
	T_EQ(weft_sup_child_find(sup, "a", &ref), WEFT_ECANCELED);
	T_EQ(weft_sup_list(sup, &info, 1), WEFT_ECANCELED);
	T_EQ(weft_sup_health(sup, &st), WEFT_ECANCELED);
	T_EQ(weft_sup_tree(sup, NULL, 0, 0), WEFT_ECANCELED);
	return 0;
}

static int canceled_main(void *arg)
{
	weft_actor_ref sup = sup_of((weft_sup_opts){.children = &CHILD("a", &pa), .n = 1});
	weft_task *t;

	(void)arg;
	find_later = find(sup, "a");
	t = start(all_calls, &sup);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), 0);
	T_OK(weft_actor_same(find(sup, "a"), find_later)); /* nothing was done */
	T_EQ(health(sup).children, 1);
	T_EQ(weft_sup_stop(sup), 0);
	forget(&told);
	return 0;
}

/* Whoever is cancelled does nothing. */
TEST_WORKERS(canceled_before)
{
	run(canceled_main, NULL);
}

static int abandons_main(void *arg)
{
	const weft_child_spec leaf = CHILD("leaf", &pb, .dtor = part_freed);
	const weft_sup_opts low = {.children = &leaf, .n = 1};
	const weft_child_spec c[] = {CHILD("a", &pa), {.id = "low", .sup = &low}};
	weft_actor_ref sup;

	(void)arg;
	T_EQ(weft_sup_start(&sup, &(weft_sup_opts){.children = c, .n = 2, .backoff = {.min = 3600 * WEFT_SEC}}), 0);
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	until(health(sup).waiting == 1);
	return 0;
}

/* The runtime goes down with a tree, and one that waits: all its memory goes, too. */
TEST_WORKERS(forsaken)
{
	ends_with_main();
	pb.freed = 0;
	run(abandons_main, NULL);
	T_EQ(pb.freed, 1);
}

/* --- from threads outside --- */

static void *outside(void *arg)
{
	weft_actor_ref sup, ref;

	(void)arg;
	T_EQ(weft_sup_start(&sup, &(weft_sup_opts){.children = &CHILD("a", &pa), .n = 1, .on_event = on_event, .event_arg = &told}), 0);
	T_EQ(weft_sup_child_add(sup, &CHILD("b", &pb), &ref), 0);
	T_EQ(health(sup).up, 2);
	T_EQ(weft_sup_child_stop(sup, "b"), 0);
	T_EQ(weft_sup_child_del(sup, "b"), 0);
	T_EQ(weft_sup_stop(sup), 0);
	expect(&told, "+a +b =b =a ");
	return NULL;
}

static _Atomic bool left_;

static void *outside_too(void *arg)
{
	outside(arg);
	left_ = true;
	return NULL;
}

static int threads_main(void *arg)
{
	pthread_t th;

	(void)arg;
	left_ = false;
	T_EQ(pthread_create(&th, NULL, outside_too, NULL), 0);
	until(left_);
	T_EQ(pthread_join(th, NULL), 0);
	return 0;
}

TEST_WORKERS(threads)
{
	run(threads_main, NULL);
}

static weft_actor_ref with_a_start;

static void *adds_outside(void *arg)
{
	int *rc = arg;

	*rc = weft_sup_child_add(with_a_start, &(weft_child_spec){.id = "s", .start = waits_or_not, .arg = &pb, .dtor = part_freed}, NULL);
	return NULL;
}

struct outsider {
	pthread_t thread;
	int rc;
};

static int leaves_in_a_start(void *arg)
{
	struct outsider *o = arg;

	weft_event_reset(&at_it);
	weft_event_reset(&go_on);
	with_a_start = sup_of((weft_sup_opts){.children = NULL});
	T_EQ(pthread_create(&o->thread, NULL, adds_outside, &o->rc), 0);
	T_EQ(weft_event_wait(&at_it), 0);
	return 0;
}

/* The runtime goes down in a start function that a thread outside waits for: it is told. */
TEST_WORKERS(down_in_a_start)
{
	struct outsider o = {.rc = 0};

	ends_with_main();
	pb.freed = 0;
	T_EQ(weft_run(leaves_in_a_start, &o, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(pthread_join(o.thread, NULL), 0);
	nothing_left();
	T_EQ(o.rc, WEFT_EALREADY);
	T_EQ(pb.freed, 1);
}

static void down(void)
{
	weft_actor_ref sup;

	T_EQ(weft_sup_start(&sup, &(weft_sup_opts){.children = &CHILD("a", &pa, .dtor = part_freed), .n = 1}), WEFT_ESRCH);
}

/* No runtime: nothing is left of the try. */
TEST(no_runtime)
{
	pa.freed = 0;
	down();
	T_EQ(pa.freed, 1);
}

/* --- the tree in words --- */

static int tree_main(void *arg)
{
	const weft_child_spec leaf[] = {CHILD("x", &pa), CHILD("y", &pb)};
	const weft_sup_opts low = {.strategy = WEFT_REST_FOR_ONE, .children = leaf, .n = 2, .name = "of itself"};
	const weft_child_spec kind = {.start = start_part};
	const weft_sup_opts pool = {.strategy = WEFT_DYNAMIC, .children = &kind, .n = 1};
	const weft_child_spec c[] = {
		CHILD("a", &pa), {.id = "low", .sup = &low}, {.id = "pool", .sup = &pool}, {.id = "i", .start = ignores}};
	weft_actor_ref top = sup_of((weft_sup_opts){.children = c, .n = 4, .name = "top"}), low_ref;
	char text[2000], cut[40];
	int n;

	(void)arg;
	forget(&told);
	low_ref = find(top, "low");
	T_EQ(tell(find(low_ref, "x"), FAIL, -1), 0);
	until(health(low_ref).restarts == 1);
	T_EQ(weft_sup_child_stop(low_ref, "y"), 0);
	for (int i = 0; i < WEFT_SUP_TREE_MOST + 5; i++)
		T_EQ(weft_sup_child_start(find(top, "pool"), &pc, NULL), 0);
	n = weft_sup_tree(top, text, sizeof text, WEFT_SUP_TREE_NO_TIMES);
	T_EQ(n, strlen(text));
	T_STR_HAS(text, "top (one for one, 3 of 4 up, 0 counted): up\n  a: up\n  low (rest for one, 1 of 2 up, 1 counted): up\n    x: up, "
			"1 restart\n    y: "
			"down, 1 restart\n  pool (dynamic, 25 of 25 up, 0 counted): up\n    child: up\n    child: up\n");
	T_STR_HAS(text, "    child: up\n    and 5 more\n  i: down\n");
	T_EQ(weft_sup_tree(top, cut, sizeof cut, WEFT_SUP_TREE_NO_TIMES), n);
	T_EQ(strlen(cut), sizeof cut - 1);
	T_EQ(strncmp(cut, text, sizeof cut - 1), 0);
	T_EQ(weft_sup_tree(top, NULL, 0, WEFT_SUP_TREE_NO_TIMES), n);
	T_GT(weft_sup_tree(top, text, sizeof text, 0), n);
	T_STR_HAS(text, "  a: up, for ");
	T_EQ(weft_actor_suspend(top), 0);
	T_EQ(weft_sup_tree_until(top, text, sizeof text, 0, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_sup_stop(top), 0);
	forget(&told);
	return 0;
}

TEST_WORKERS(tree)
{
	run(tree_main, NULL);
}

static int start_named(weft_actor_ref *out, void *arg)
{
	static const weft_server_vt nothing = {.call = NULL};

	return weft_server_start(out, &nothing, NULL, &(weft_server_opts){.name = arg, .link = true});
}

/* What it tells, as a line. */
TEST(event_text)
{
	weft_sup_event e = {.kind = WEFT_SUP_EXITED, .name = "top", .id = "a", .end = {WEFT_END_CODE, WEFT_EIO}, .restarts = 2};
	char text[200], cut[12];
	int n;

	n = weft_sup_event_text(&e, text, sizeof text);
	T_STR_EQ(text, "supervisor top: child a: exited, code: i/o error, 2 restarts");
	T_EQ(n, strlen(text));
	T_EQ(weft_sup_event_text(&e, cut, sizeof cut), n);
	T_STR_EQ(cut, "supervisor ");
	T_EQ(weft_sup_event_text(&e, NULL, 0), n);
	e = (weft_sup_event){.kind = WEFT_SUP_RESTARTED, .name = "top", .id = "", .restarts = 1};
	weft_sup_event_text(&e, text, sizeof text);
	T_STR_EQ(text, "supervisor top: child: restarted, 1 restart");
	e = (weft_sup_event){
		.kind = WEFT_SUP_WAITING, .name = "top", .id = "a", .end = {WEFT_END_PANIC, WEFT_EPANIC}, .delay = 1500 * WEFT_MS};
	weft_sup_event_text(&e, text, sizeof text);
	T_STR_EQ(text, "supervisor top: child a: waiting for 1.500 s, panic: it ended by a panic");
	e = (weft_sup_event){.kind = WEFT_SUP_STOPPED, .name = "top", .id = "a", .end = {WEFT_END_SHUTDOWN, 0}};
	weft_sup_event_text(&e, text, sizeof text);
	T_STR_EQ(text, "supervisor top: child a: stopped, shutdown");
}

static _Atomic int waits_for; /* the end that a wait was told with */

static void why_it_waits(const weft_sup_event *e, void *arg)
{
	(void)arg;
	if (e->kind == WEFT_SUP_WAITING)
		waits_for = e->end.code;
}

static int called_main(void *arg)
{
	const weft_child_spec kind = {.id = "account", .start = start_named};
	const weft_child_spec c[] = {CHILD("a", &pa)};
	weft_actor_ref pool, waits, got;
	weft_child_info info[3];
	char text[500];

	(void)arg;
	time_fake();
	waits_for = 0;
	T_EQ(weft_sup_start(&pool, &(weft_sup_opts){.strategy = WEFT_DYNAMIC, .children = &kind, .n = 1, .reg_name = "accounts"}), 0);
	T_EQ(weft_reg_get("accounts", &got), 0);
	T_OK(weft_actor_same(got, pool));
	T_EQ(weft_sup_start(NULL, &(weft_sup_opts){.n = 0, .reg_name = "accounts"}), WEFT_EEXIST);
	T_EQ(weft_sup_start(NULL, &(weft_sup_opts){.n = 0, .reg_name = ""}), WEFT_EINVAL);
	T_EQ(weft_sup_start(NULL, &(weft_sup_opts){.n = 0, .reg_name = "1234567890123456789012345678901234567890123456789012345678901234"}),
	     WEFT_ENAMETOOLONG);
	T_EQ(weft_sup_child_start(pool, (char[]){"Ada"}, NULL), 0);
	T_EQ(weft_sup_child_start(pool, NULL, &got), 0);
	T_EQ(weft_sup_child_start(pool, (char[]){"Eve"}, NULL), 0);
	T_EQ(weft_sup_list(pool, info, 3), 3);
	T_STR_EQ(info[0].name, "Ada");
	T_STR_EQ(info[1].name, "");
	T_STR_EQ(info[2].name, "Eve");
	T_STR_EQ(info[1].id, "account");
	T_EQ(info[0].due, 0);
	T_GT(weft_sup_tree(pool, text, sizeof text, WEFT_SUP_TREE_NO_TIMES), 0);
	T_STR_EQ(text, "supervisor (dynamic, 3 of 3 up, 0 counted): up\n  Ada: up\n  account: up\n  Eve: up\n");
	T_EQ(weft_sup_stop(pool), 0);
	T_EQ(weft_reg_get("accounts", &got), WEFT_ENOENT);

	T_EQ(weft_sup_start(
		     &waits,
		     &(weft_sup_opts){.children = c, .n = 1, .backoff = {.min = 1500 * WEFT_MS}, .on_event = why_it_waits, .name = "w"}),
	     0);
	T_EQ(tell(find(waits, "a"), FAIL, -7), 0);
	until(health(waits).waiting == 1);
	T_EQ(waits_for, -7);
	T_EQ(weft_sup_list(waits, info, 1), 1);
	T_EQ(info[0].due, weft_now() + 1500 * WEFT_MS);
	T_GT(weft_sup_tree(waits, text, sizeof text, 0), 0);
	T_STR_HAS(text, "  a: waiting for 1.5 s more\n");
	T_STR_HAS(text, "): up, for 0.0 s\n"); /* and not for less */
	T_EQ(weft_sup_stop(waits), 0);
	time_real();
	return 0;
}

/* What children, and supervisors, are called; for how long one waits yet, and why. */
TEST_WORKERS(called)
{
	run(called_main, NULL);
}
