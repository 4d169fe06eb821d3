/* SPDX-License-Identifier: MIT
 *
 * sup_stop.c - actor/sup_child.c: how children are stopped, those that will not end, and supervisors of many children of one kind.
 */
#include "sups.h"

#include "weft/scope.h"
#include "weft/server.h"

static struct part pa, pb;

/* --- children that take their time --- */

/* Its on_stop ends when it may, or when it is killed. */
struct slow {
	weft_event stopping, may;
	_Atomic int stops, cut;
};

static void slow_on_stop(void *state, weft_end e)
{
	struct slow *s = state;

	(void)e;
	s->stops++;
	weft_event_set(&s->stopping);
	if (weft_event_wait(&s->may))
		s->cut++;
}

static int start_slow(weft_actor_ref *out, void *arg)
{
	return weft_actor_start(out, &(weft_actor_opts){.on_msg = part_on_msg, .on_stop = slow_on_stop, .state = arg, .link = true});
}

/* Does not look whether it is cancelled. */
struct deaf {
	weft_event up, may;
	_Atomic int over;
};

static int deaf(void *arg)
{
	struct deaf *d = arg;

	WEFT_WITH_SHIELD
	{
		weft_event_set(&d->up);
		T_EQ(weft_event_wait(&d->may), 0);
	}
	d->over++;
	return 0;
}

static int stops_it(void *arg)
{
	return weft_sup_stop(*(weft_actor_ref *)arg);
}

static int shutdown_main(void *arg)
{
	struct slow s = {.stops = 0};
	weft_child_spec c = {.id = "a", .start = start_slow, .arg = &s, .shutdown = WEFT_SEC};
	weft_actor_ref sup;
	weft_task *t;

	(void)arg;
	time_fake();
	sup = sup_of((weft_sup_opts){.children = &c, .n = 1, .patience = WEFT_FOREVER});
	t = start(stops_it, &sup);
	T_EQ(weft_event_wait(&s.stopping), 0);
	time_move(WEFT_SEC - 1);
	T_EQ(s.cut, 0);
	weft_event_set(&s.may);
	T_EQ(finish(t), 0);
	T_EQ(s.stops, 1);
	T_EQ(s.cut, 0);
	expect(&told, "+a =a "); /* in time */

	weft_event_reset(&s.stopping);
	weft_event_reset(&s.may);
	sup = sup_of((weft_sup_opts){.children = &c, .n = 1, .patience = WEFT_FOREVER});
	t = start(stops_it, &sup);
	T_EQ(weft_event_wait(&s.stopping), 0);
	until_reason(t, "actor");
	while (!s.cut) { /* its supervisor waits, now or soon */
		time_move(WEFT_SEC);
		let_run();
	}
	T_EQ(finish(t), 0);
	T_EQ(s.stops, 2);
	expect(&told, "+a =a:killed ");

	weft_event_reset(&s.stopping);
	c.shutdown = WEFT_SHUTDOWN_KILL;
	sup = sup_of((weft_sup_opts){.children = &c, .n = 1, .patience = WEFT_FOREVER});
	T_EQ(weft_sup_stop(sup), 0);
	T_EQ(s.stops, 2); /* it has not come to that */
	expect(&told, "+a =a:killed ");

	c.shutdown = WEFT_FOREVER;
	s.cut = 0;
	sup = sup_of((weft_sup_opts){.children = &c, .n = 1, .patience = WEFT_FOREVER});
	t = start(stops_it, &sup);
	T_EQ(weft_event_wait(&s.stopping), 0);
	for (int i = 0; i < 20; i++) {
		time_move(3600 * WEFT_SEC);
		let_run();
	}
	T_EQ(s.cut, 0);
	weft_event_set(&s.may);
	T_EQ(finish(t), 0);
	expect(&told, "+a =a ");
	time_real();
	return 0;
}

/* It has its time to end, and is killed after that, at once, or never. */
TEST_WORKERS(shutdown_time)
{
	run(shutdown_main, NULL);
}

static int default_main(void *arg)
{
	struct slow s = {.stops = 0};
	weft_child_spec leaf = {.id = "leaf", .start = start_slow, .arg = &s};
	const weft_sup_opts low = {.children = &leaf, .n = 1, .patience = WEFT_FOREVER};
	weft_actor_ref sup;
	weft_task *t;
	weft_end e;

	(void)arg;
	time_fake();
	sup = sup_of((weft_sup_opts){.children = &(weft_child_spec){.id = "low", .sup = &low}, .n = 1, .patience = WEFT_FOREVER});
	t = start(stops_it, &sup);
	T_EQ(weft_event_wait(&s.stopping), 0);
	until_reason(t, "actor");
	while (!s.cut) { /* 5 s */
		time_move(WEFT_SHUTDOWN_DEFAULT);
		let_run();
	}
	T_EQ(finish(t), 0);
	expect(&told, "+low =low "); /* a supervisor has all the time it needs for its own */

	weft_event_reset(&s.stopping);
	s.cut = 0;
	leaf.shutdown = WEFT_FOREVER;
	sup = sup_of((weft_sup_opts){
		.children = &(weft_child_spec){.id = "low", .sup = &low, .shutdown = WEFT_SEC}, .n = 1, .patience = WEFT_FOREVER});
	t = start(stops_it, &sup);
	T_EQ(weft_event_wait(&s.stopping), 0);
	until_reason(t, "actor");
	while (!s.cut) { /* unless it is told otherwise: then it is killed, and so are they */
		time_move(WEFT_SEC);
		let_run();
	}
	T_EQ(finish(t), 0);
	expect(&told, "+low =low:killed ");
	time_real();
	T_EQ(weft_actor_wait_until(sup, &e, WEFT_FOREVER), WEFT_ESRCH);
	return 0;
}

TEST_WORKERS(shutdown_of_supervisors)
{
	run(default_main, NULL);
}

static int abandon_main(void *arg)
{
	struct deaf d = {.over = 0};
	const weft_child_spec c[] = {{.id = "a", .start = start_part, .arg = &pa},
				     {.id = "d", .task = deaf, .arg = &d, .shutdown = WEFT_SEC}};
	weft_actor_ref sup;
	weft_task *t;

	(void)arg;
	time_fake();
	sup = sup_of((weft_sup_opts){.children = c, .n = 2, .patience = 2 * WEFT_SEC});
	T_EQ(weft_event_wait(&d.up), 0);
	t = start(stops_it, &sup);
	until_reason(t, "actor");
	while (!was_told(&told, "?")) {
		time_move(WEFT_SEC);
		let_run();
	}
	T_EQ(finish(t), 0); /* it does without */
	expect(&told, "+a +d ?d =a ");
	T_EQ(d.over, 0);
	weft_event_set(&d.may);
	until(d.over == 1);
	time_real();
	return 0;
}

/* One that will not end, killed as it is, is left alone. */
TEST_WORKERS(abandoned)
{
	ends_with_main();
	run(abandon_main, NULL);
}

static _Atomic int kept_freed;

static void deaf_freed(void *arg)
{
	struct deaf *d = arg;

	T_EQ(d->over, 1); /* not while it uses that */
	kept_freed++;
}

static int child_stopper(void *arg)
{
	return weft_sup_child_stop(*(weft_actor_ref *)arg, "d");
}

static int abandon_one_main(void *arg)
{
	struct deaf d = {.over = 0};
	const weft_child_spec c = {
		.id = "d", .task = deaf, .arg = &d, .dtor = deaf_freed, .restart = WEFT_TEMPORARY, .shutdown = WEFT_SHUTDOWN_KILL};
	weft_actor_ref sup;
	weft_task *t;

	(void)arg;
	kept_freed = 0;
	time_fake();
	sup = sup_of((weft_sup_opts){.children = &c, .n = 1, .patience = WEFT_SEC});
	T_EQ(weft_event_wait(&d.up), 0);
	t = start(child_stopper, &sup);
	until_reason(t, "event");
	while (weft_task_stateof(t) != WEFT_TASK_DONE) {
		time_move(WEFT_SEC);
		let_run();
	}
	T_EQ(finish(t), 0);
	expect(&told, "+d ?d ");
	T_EQ(health(sup).abandoned, 1);
	T_EQ(health(sup).children, 0);
	T_EQ(kept_freed, 0);
	T_EQ(weft_sup_stop(sup), 0);
	T_EQ(kept_freed, 0);
	weft_event_set(&d.may);
	until(kept_freed == 1); /* when it has ended, though its supervisor has long been gone */
	time_real();
	return 0;
}

/* What it uses is kept until it has ended. */
TEST_WORKERS(abandoned_alone)
{
	ends_with_main();
	run(abandon_one_main, NULL);
}

/* --- its name --- */

static int deaf_call(void *state, weft_msg *m, weft_from from)
{
	(void)m;
	(void)weft_server_answer(from, 0L);
	return deaf(state);
}

static const weft_server_vt deaf_server = {.call = deaf_call};

static int start_deaf(weft_actor_ref *out, void *arg)
{
	return weft_server_start(out, &deaf_server, arg, &(weft_server_opts){.name = "the deaf", .link = true});
}

static int abandon_named_main(void *arg)
{
	struct deaf d = {.over = 0};
	const weft_child_spec c[] = {{.id = "d", .start = start_deaf, .arg = &d, .shutdown = WEFT_SEC},
				     {.id = "a", .start = start_part, .arg = &pa}};
	weft_actor_ref sup, first, second;
	long zero;

	(void)arg;
	time_fake();
	sup = sup_of((weft_sup_opts){.strategy = WEFT_ONE_FOR_ALL, .children = c, .n = 2, .patience = WEFT_SEC});
	T_EQ(weft_reg_get("the deaf", &first), 0);
	T_EQ(weft_server_ask(first, 1, &zero, 0L), 0);
	T_EQ(weft_event_wait(&d.up), 0);
	tell(find(sup, "a"), PANIC, 0);
	while (!was_told(&told, "*a")) {
		time_move(WEFT_SEC);
		let_run();
	}
	expect(&told, "+d +a -a:panic:-5004 ?d *d *a ");
	T_EQ(weft_reg_get("the deaf", &second), 0);
	T_OK(!weft_actor_same(first, second) && weft_actor_alive(first));
	weft_event_set(&d.may);
	until(!weft_actor_alive(first));
	T_EQ(weft_reg_get("the deaf", &second), 0); /* it has taken nothing with it */
	T_EQ(weft_sup_stop(sup), 0);
	expect(&told, "=a =d ");
	T_EQ(weft_reg_get("the deaf", &second), WEFT_ENOENT);
	time_real();
	return 0;
}

/* One that is left alone has no name any more: it is started again under the same. */
TEST_WORKERS(abandoned_named)
{
	ends_with_main();
	run(abandon_named_main, NULL);
}

static int traps(void *state)
{
	weft_msg *m;

	T_EQ(weft_actor_trap(true), 0);
	(*(struct part **)state)->starts++;
	for (;;) {
		int rc = weft_actor_recv(&m);
		bool mine;

		if (rc)
			return rc;
		mine = m->kind == WEFT_MSG_EXIT;
		if (mine)
			T_EQ(weft_msg_down(m)->end.kind, WEFT_END_SHUTDOWN);
		weft_msg_free(m);
		if (mine)
			return 0;
	}
}

static int trap_main(void *arg)
{
	struct part *p = &pa;
	weft_actor_ref sup;

	(void)arg;
	pa.starts = 0;
	sup = sup_of((weft_sup_opts){
		.children = &(weft_child_spec){.id = "a", .task = traps, .arg = &p, .size = sizeof p, .shutdown = WEFT_FOREVER}, .n = 1});
	until(pa.starts == 1);
	T_EQ(weft_sup_stop(sup), 0);
	expect(&told, "+a =a:normal ");
	return 0;
}

/* One that traps exits is told by a message. */
TEST_WORKERS(traps_exits)
{
	run(trap_main, NULL);
}

static int start_alone(weft_actor_ref *out, void *arg)
{
	return weft_actor_start(out, &(weft_actor_opts){.on_msg = part_on_msg, .on_start = part_on_start, .state = arg});
}

static int start_dead(weft_actor_ref *out, void *arg)
{
	struct part *p = arg;
	int rc = start_alone(out, arg);

	if (p->starts == 1) {
		T_EQ(weft_actor_kill(*out), 0);
		until(!weft_actor_alive(*out));
	}
	return rc;
}

static int start_dead_linked(weft_actor_ref *out, void *arg)
{
	struct part *p = arg;
	int rc = start_part(out, arg);

	if (p->starts == 1) {
		T_EQ(tell(*out, FAIL, -6), 0);
		until(!weft_actor_alive(*out));
	}
	return rc;
}

static int unlinked_main(void *arg)
{
	weft_child_spec c = {.id = "a", .start = start_alone, .arg = &pa};
	weft_actor_ref sup = sup_of((weft_sup_opts){.children = &c, .n = 1});

	(void)arg;
	T_EQ(tell(find(sup, "a"), FAIL, -1), 0);
	expect(&told, "+a -a:code:-1 *a ");
	T_EQ(weft_sup_stop(sup), 0);
	forget(&told);
	pa.starts = 0;
	c.start = start_dead;
	sup = sup_of((weft_sup_opts){.children = &c, .n = 1});
	expect(&told, "+a -a:killed:-125 *a ");
	T_EQ(weft_sup_stop(sup), 0);
	forget(&told);
	pa.starts = 0;
	c.start = start_dead_linked;
	sup = sup_of((weft_sup_opts){.children = &c, .n = 1});
	expect(&told, "+a -a:code:-6 *a ");
	T_EQ(weft_sup_stop(sup), 0);
	forget(&told);
	return 0;
}

/* A start function may leave the link to the supervisor; and what it has started may have ended when it returns. */
TEST_WORKERS(not_linked)
{
	run(unlinked_main, NULL);
}

/* Of actors that have ended. */
enum { DEAD = 8 };
static weft_actor_ref dead[DEAD];
static _Atomic bool found;

static int start_stale(weft_actor_ref *out, void *arg)
{
	weft_actor_ref me = weft_actor_self();

	for (int i = 0; i < DEAD && !found; i++) {
		if (dead[i].weft__at == me.weft__at) {
			*out = dead[i];
			found = true;
			return 0;
		}
	}
	return start_part(out, arg);
}

static weft_actor_ref other;

/* One that has ended, where another is now that is linked to us. */
static int start_stale_linked(weft_actor_ref *out, void *arg)
{
	weft_actor_ref ref;

	if (found)
		return start_part(out, arg);
	for (;;) {
		T_EQ(start_alone(&ref, arg), 0);
		T_EQ(weft_actor_stop_wait(ref), 0);
		let_run();
		T_EQ(start_part(&other, arg), 0);
		if (other.weft__at == ref.weft__at)
			break;
		T_EQ(weft_actor_stop_wait(other), 0);
	}
	found = true;
	*out = ref;
	return 0;
}

static int stale_main(void *arg)
{
	weft_child_spec c = {.id = "a", .start = start_stale, .arg = &pa, .shutdown = WEFT_FOREVER};
	weft_actor_ref sup;

	(void)arg;
	found = false;
	for (;;) {
		for (int i = 0; i < DEAD; i++)
			T_EQ(start_alone(&dead[i], &pa), 0);
		for (int i = 0; i < DEAD; i++)
			T_EQ(weft_actor_stop_wait(dead[i]), 0);
		sup = sup_of((weft_sup_opts){.children = &c, .n = 1});
		if (found)
			break;
		T_EQ(weft_sup_stop(sup), 0);
		forget(&told);
	}
	expect(&told, "+a -a:normal *a ");
	T_EQ(weft_sup_stop(sup), 0);
	forget(&told);

	found = false;
	c.start = start_stale_linked;
	sup = sup_of((weft_sup_opts){.children = &c, .n = 1});
	expect(&told, "+a -a:normal *a ");
	T_OK(weft_actor_alive(other));
	T_EQ(weft_sup_stop(sup), 0);
	until(!weft_actor_alive(other)); /* by its link */
	forget(&told);
	return 0;
}

/* What a start function returns may have ended long ago, and another be where it was: one of the supervisor's, or the supervisor. */
TEST_WORKERS(started_long_ago)
{
	run(stale_main, NULL);
}

/* --- the supervisor ends meanwhile --- */

static int canceled_main(void *arg)
{
	struct slow s = {.stops = 0};
	weft_child_spec c[] = {{.id = "d", .start = start_slow, .arg = &s, .shutdown = WEFT_FOREVER},
			       {.id = "b", .start = start_part, .arg = &pb, .shutdown = WEFT_FOREVER}};
	weft_ctx *ctx = weft_ctx_make(NULL);
	weft_actor_ref sup;
	struct watcher w;
	weft_task *t;

	(void)arg;
	sup = sup_of((weft_sup_opts){.strategy = WEFT_ONE_FOR_ALL, .children = c, .n = 2, .ctx = ctx});
	watch_begin(&w, sup);
	T_EQ(weft_actor_kill(find(sup, "b")), 0);
	T_EQ(weft_event_wait(&s.stopping), 0);
	T_EQ(weft_ctx_cancel(ctx, 0), 0);
	until(stats_of(sup).state == WEFT_ACTOR_STOPPING);
	weft_event_set(&s.may);
	watch_end(&w, WEFT_END_CANCELED, WEFT_ECANCELED);
	T_EQ(s.cut, 0);
	expect(&told, "+d +b -b:killed:-125 =d ");
	weft_ctx_free(ctx);

	ctx = weft_ctx_make(NULL);
	weft_event_reset(&s.stopping);
	weft_event_reset(&s.may);
	sup = sup_of((weft_sup_opts){.children = c, .n = 1, .ctx = ctx});
	watch_begin(&w, sup);
	t = start(child_stopper, &sup);
	T_EQ(weft_event_wait(&s.stopping), 0);
	T_EQ(weft_ctx_cancel(ctx, 0), 0);
	T_EQ(finish(t), WEFT_ESRCH);
	until(stats_of(sup).state == WEFT_ACTOR_STOPPING);
	weft_event_set(&s.may);
	watch_end(&w, WEFT_END_CANCELED, WEFT_ECANCELED);
	T_EQ(s.cut, 0);
	T_EQ(s.stops, 2);
	expect(&told, "+d =d ");
	weft_ctx_free(ctx);

	time_fake();
	ctx = weft_ctx_make(NULL);
	weft_event_reset(&s.stopping);
	weft_event_reset(&s.may);
	c[0].shutdown = 2 * WEFT_SEC;
	sup = sup_of((weft_sup_opts){.children = c, .n = 1, .ctx = ctx, .patience = WEFT_FOREVER});
	watch_begin(&w, sup);
	t = start(child_stopper, &sup);
	T_EQ(weft_event_wait(&s.stopping), 0);
	time_move(WEFT_SEC);
	T_EQ(weft_ctx_cancel(ctx, 0), 0);
	T_EQ(finish(t), WEFT_ESRCH);
	T_EQ(s.cut, 0);
	time_move(WEFT_SEC); /* since it was told; not since its supervisor was */
	watch_end(&w, WEFT_END_CANCELED, WEFT_ECANCELED);
	T_EQ(s.cut, 1);
	expect(&told, "+d =d:killed ");
	weft_ctx_free(ctx);
	time_real();
	return 0;
}

/* Cancelled while it stops a child, for a restart or because it is asked to, it goes on with that in its own end: the child has its time. */
TEST_WORKERS(canceled_while_it_stops)
{
	run(canceled_main, NULL);
}

/* --- many of one kind --- */

static const weft_child_spec counted = {
	.start = start_counted, .size = sizeof(struct part *), .dtor = counted_freed, .restart = WEFT_TRANSIENT, .shutdown = WEFT_FOREVER};

static int dynamic_main(void *arg)
{
	weft_actor_ref sup = sup_of((weft_sup_opts){.strategy = WEFT_DYNAMIC, .children = &counted, .n = 1}), ref[4];
	struct part *p = &pa;
	weft_child_info info[4];

	(void)arg;
	pa.freed = 0;
	T_EQ(weft_sup_list(sup, NULL, 0), 0);
	for (int i = 0; i < 4; i++)
		T_EQ(weft_sup_child_start_until(sup, &p, &ref[i], WEFT_FOREVER), 0);
	expect(&told, "+ + + + ");
	T_EQ(weft_sup_child_start(sup, NULL, NULL), WEFT_EINVAL); /* it has a size */
	T_EQ(weft_sup_list(sup, info, 4), 4);
	T_STR_EQ(info[0].id, "");
	T_EQ(tell(ref[0], STOP, 0), 0);
	expect(&told, "-:normal ");
	T_EQ(health(sup).children, 3);
	T_EQ(pa.freed, 1);
	T_EQ(tell(ref[1], FAIL, -1), 0);
	expect(&told, "-:code:-1 * ");
	T_EQ(health(sup).children, 3);
	T_EQ(weft_sup_child_stop_ref(sup, ref[1]), WEFT_ENOENT); /* it has another by now */
	T_EQ(weft_sup_child_stop_ref(sup, ref[2]), 0);
	expect(&told, "= ");
	T_EQ(health(sup).children, 2);
	T_EQ(pa.freed, 2);
	pa.refuse = -8;
	T_EQ(weft_sup_child_start(sup, &p, &ref[0]), -8);
	pa.refuse = 0;
	expect(&told, "!:-8 ");
	T_EQ(pa.freed, 2);
	T_EQ(weft_sup_child_add(sup, &(weft_child_spec){.id = "x", .task = until_canceled}, NULL), WEFT_ENOTSUP);
	T_EQ(weft_sup_child_stop(sup, "x"), WEFT_ENOTSUP);
	T_EQ(weft_sup_child_restart(sup, "x", NULL), WEFT_ENOTSUP);
	T_EQ(weft_sup_child_del(sup, "x"), WEFT_ENOTSUP);
	T_EQ(weft_sup_child_find(sup, "x", &ref[0]), WEFT_ENOTSUP);
	T_EQ(weft_sup_stop(sup), 0);
	expect(&told, "= = ");
	T_EQ(pa.freed, 4);
	return 0;
}

/* Each has its argument; who has ended for good is gone. */
TEST_WORKERS(dynamic)
{
	run(dynamic_main, NULL);
}

static int refuses_again_main(void *arg)
{
	weft_actor_ref sup = sup_of((weft_sup_opts){.strategy = WEFT_DYNAMIC, .children = &counted, .n = 1, .max_restarts = 4}), ref;
	struct part *p = &pa;
	struct watcher w;

	(void)arg;
	T_EQ(weft_sup_child_start(sup, &p, NULL), 0);
	T_EQ(weft_sup_child_start(sup, &p, &ref), 0);
	pa.refusals = 2;
	pa.refuse = -8;
	T_EQ(tell(ref, FAIL, -1), 0);
	expect(&told, "+ + -:code:-1 !:-8 !:-8 * ");
	pa.refusals = 0;
	pa.refuse = -9;
	T_EQ(weft_sup_list(sup, NULL, 0), 2);
	watch_begin(&w, sup);
	T_EQ(weft_actor_suspend(sup), 0);
	T_EQ(weft_actor_resume(sup), 0);
	{
		weft_child_info info[2];

		T_EQ(weft_sup_list(sup, info, 2), 2);
		T_EQ(tell(info[0].ref, FAIL, -1), 0);
	}
	watch_end(&w, WEFT_END_CODE, WEFT_EINTENSITY);
	pa.refuse = 0;
	expect(&told, "-:code:-1 !:-9 # = ");
	return 0;
}

TEST_WORKERS(dynamic_start_fails)
{
	run(refuses_again_main, NULL);
}

static int together_main(void *arg)
{
	enum { N = 5 };
	struct slow s[N] = {{.stops = 0}};
	const weft_child_spec kind = {.start = start_slow, .shutdown = WEFT_SEC};
	weft_actor_ref sup;
	weft_task *t;

	(void)arg;
	time_fake();
	sup = sup_of((weft_sup_opts){.strategy = WEFT_DYNAMIC, .children = &kind, .n = 1, .patience = WEFT_FOREVER});
	for (int i = 0; i < N; i++)
		T_EQ(weft_sup_child_start(sup, &s[i], NULL), 0);
	forget(&told);
	weft_event_set(&s[1].may);
	t = start(stops_it, &sup);
	for (int i = 0; i < N; i++)
		T_EQ(weft_event_wait(&s[i].stopping), 0); /* all have been told, though none of these four has ended */
	until_reason(t, "actor");
	while (weft_task_stateof(t) != WEFT_TASK_DONE) {
		time_move(WEFT_SEC);
		let_run();
	}
	T_EQ(finish(t), 0);
	for (int i = 0; i < N; i++)
		T_OK(s[i].cut == 1 || i == 1); /* that one may have been in time */
	forget(&told);
	time_real();
	return 0;
}

/* Its children are stopped all at once. */
TEST_WORKERS(dynamic_stops_together)
{
	run(together_main, NULL);
}

static _Atomic long again, again_all;
static weft_event all_again;

static void count_again(const weft_sup_event *e, void *arg)
{
	(void)arg;
	if (e->kind == WEFT_SUP_RESTARTED && ++again == again_all)
		weft_event_set(&all_again);
}

static int crowd_main(void *arg)
{
	long n = tap_iters(3000);
	const weft_child_spec kind = {
		.start = start_counted, .size = sizeof(struct part *), .dtor = counted_freed, .shutdown = WEFT_FOREVER};
	struct part *p = &pb;
	weft_actor_ref sup, *ref = calloc((size_t)n, sizeof *ref);

	(void)arg;
	pb.starts = pb.stops = pb.freed = again = 0;
	again_all = (n + 1) / 2;
	weft_event_reset(&all_again);
	T_EQ(weft_sup_start(&sup, &(weft_sup_opts){.strategy = WEFT_DYNAMIC,
						   .children = &kind,
						   .n = 1,
						   .max_restarts = WEFT_SUP_UNLIMITED,
						   .on_event = count_again}),
	     0);
	for (long i = 0; i < n; i++)
		T_EQ(weft_sup_child_start(sup, &p, &ref[i]), 0);
	for (long i = 0; i < n; i += 2)
		T_EQ(tell(ref[i], FAIL, -1), 0);
	T_EQ(weft_event_wait(&all_again), 0);
	T_EQ(health(sup).restarts, again_all);
	T_EQ(health(sup).up, n);
	for (long i = 1; i < n; i += 4)
		T_EQ(weft_sup_child_stop_ref(sup, ref[i]), 0);
	T_EQ(health(sup).up, n - (n + 2) / 4);
	T_EQ(weft_sup_stop(sup), 0);
	T_EQ(pb.starts, n + (n + 1) / 2);
	T_EQ(pb.stops, pb.starts);
	T_EQ(pb.freed, n);
	free(ref);
	return 0;
}

/* Thousands. */
TEST_WORKERS(dynamic_crowd)
{
	tap_limit(60);
	run(crowd_main, NULL);
}

static int dynamic_ends_main(void *arg)
{
	const weft_child_spec kind = {.task = until_canceled, .restart = WEFT_TEMPORARY, .significant = true, .shutdown = WEFT_FOREVER};
	weft_actor_ref sup, ref;
	weft_ctx *ctx;
	struct watcher w;

	(void)arg;
	sup = sup_of((weft_sup_opts){.strategy = WEFT_DYNAMIC, .children = &kind, .n = 1, .auto_shutdown = WEFT_SHUTDOWN_ALL_SIGNIFICANT});
	T_EQ(weft_sup_child_start(sup, NULL, NULL), 0);
	T_EQ(weft_sup_child_start(sup, NULL, &ref), 0);
	watch_begin(&w, sup);
	T_EQ(weft_actor_kill(ref), 0);
	expect(&told, "+ + -:killed:-125 ");
	T_EQ(health(sup).up, 1);
	{
		weft_child_info info;

		T_EQ(weft_sup_list(sup, &info, 1), 1);
		T_EQ(weft_actor_kill(info.ref), 0);
	}
	watch_end(&w, WEFT_END_SHUTDOWN, 0);
	forget(&told);
	ctx = weft_ctx_make(NULL);
	sup = sup_of((weft_sup_opts){
		.strategy = WEFT_DYNAMIC, .children = &kind, .n = 1, .auto_shutdown = WEFT_SHUTDOWN_ANY_SIGNIFICANT, .ctx = ctx});
	for (int i = 0; i < 50; i++)
		T_EQ(weft_sup_child_start(sup, NULL, NULL), 0);
	watch_begin(&w, sup);
	T_EQ(weft_ctx_cancel(ctx, 0), 0);
	T_EQ(finish(w.task), 0); /* by that, or by the first child that has ended by it */
	weft_ctx_free(ctx);
	forget(&told);
	return 0;
}

TEST_WORKERS(dynamic_ends)
{
	run(dynamic_ends_main, NULL);
}
