/* SPDX-License-Identifier: MIT
 *
 * group.c - groups: their policies, limits and contexts; each error of each call.
 */
#include "groups.h"

static int exits(void *arg)
{
	weft_task_exit((int)(intptr_t)arg);
}

static int panics(void *arg)
{
	weft_task_panic("%s", (const char *)arg);
}

struct gate {
	ATOMIC(int) open, inside, most;
};

static int through_gate(void *arg)
{
	struct gate *k = arg;
	int n = add_relaxed(&k->inside, 1) + 1, most = load_relaxed(&k->most); /* tallies */

	while (n > most && !cas_relaxed(&k->most, &most, n))
		;
	until(load_acquire(&k->open));
	add_relaxed(&k->inside, -1);
	return 0;
}

/* --- policies --- */

static int fail_fast_main(void *arg)
{
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(&g, NULL), 0);
	for (int i = 0; i < 10; i++)
		T_EQ(weft_group_go(&g, waits, NULL), 0);
	T_EQ(weft_group_go(&g, returns, code(-77)), 0);
	T_EQ(weft_group_wait(&g), -77);
	T_EQ(weft_ctx_reason(weft_group_ctx(&g)), WEFT_REASON_SIBLING);
	T_EQ(counts(&g).running, 0);
	T_EQ(counts(&g).done, 11);
	T_EQ(counts(&g).failed, 11); /* the others were cancelled, and have said so */
	T_EQ(weft_group_go(&g, returns, code(0)), WEFT_ECANCELED);
	T_EQ(weft_group_wait(&g), -77);
	T_EQ(weft_group_close(&g), -77);
	T_EQ(weft_group_close(&g), -77);
	T_EQ(weft_group_wait(&g), -77);
	T_EQ(counts(&g).done, 11);
	T_EQ(weft_group_ctx(&g), NULL);
	T_EQ(weft_ctx_check(), 0);
	return 0;
}

/* The first failure cancels the others; the wait still is for all. */
TEST_WORKERS(fail_fast)
{
	run(fail_fast_main, NULL);
}

static int collect_main(void *arg)
{
	weft_group_err e[8];
	weft_group g;
	int seen = 0;

	(void)arg;
	T_EQ(weft_group_init(&g, &(weft_group_opts){.policy = WEFT_COLLECT}), 0);
	T_EQ(weft_group_errors(&g, e, 8), 0);
	for (int i = 0; i < 9; i++)
		T_EQ(weft_group_go(&g, returns, code(i % 3 ? i : -1 - i)), 0); /* what is not negative is no failure */
	T_OK(weft_group_wait(&g) < 0);
	T_EQ(weft_ctx_reason(weft_group_ctx(&g)), WEFT_NOT_CANCELED);
	T_EQ(counts(&g).failed, 3);
	T_EQ(weft_group_errors(&g, e, 2), 2);
	T_EQ(weft_group_errors(&g, e, 8), 3);
	for (int i = 0; i < 3; i++) {
		T_GT(e[i].task, 0);
		for (int k = 0; k < i; k++)
			T_NE(e[i].task, e[k].task);
		T_OK(e[i].code == -1 || e[i].code == -4 || e[i].code == -7);
		seen += e[i].code;
	}
	T_EQ(seen, -12);
	T_EQ(weft_group_close(&g), e[0].code);
	T_EQ(weft_group_errors(&g, e, 8), 0);
	return 0;
}

/* All go on; the errors are kept, with whose they are. */
TEST_WORKERS(collect)
{
	run(collect_main, NULL);
}

static int keep_main(void *arg)
{
	weft_group_err e[100];
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(&g, &(weft_group_opts){.policy = WEFT_COLLECT, .keep = 5}), 0);
	for (int i = 0; i < 90; i++)
		T_EQ(weft_group_go(&g, returns, code(-1)), 0);
	T_EQ(weft_group_wait(&g), -1);
	T_EQ(weft_group_errors(&g, e, 100), 5);
	T_EQ(counts(&g).failed, 90);
	T_EQ(weft_group_close(&g), -1);
	T_EQ(weft_group_init(&g, &(weft_group_opts){.policy = WEFT_COLLECT}), 0);
	for (int i = 0; i < 90; i++)
		T_EQ(weft_group_go(&g, returns, code(-1)), 0);
	T_EQ(weft_group_wait(&g), -1);
	T_EQ(weft_group_errors(&g, e, 100), 64);
	T_EQ(weft_group_close(&g), -1);
	return 0;
}

/* Of too many errors the first are kept; all are counted. */
TEST_WORKERS(errors_are_bounded)
{
	run(keep_main, NULL);
}

static int ignore_main(void *arg)
{
	weft_group_err e[2];
	ATOMIC(int) n = 0;
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(&g, &(weft_group_opts){.policy = WEFT_IGNORE}), 0);
	for (int i = 0; i < 20; i++) {
		T_EQ(weft_group_go(&g, returns, code(-5)), 0);
		T_EQ(weft_group_go(&g, adds, &n), 0);
	}
	T_EQ(weft_group_wait(&g), 0);
	T_EQ(load_relaxed(&n), 20);
	T_EQ(counts(&g).failed, 20);
	T_EQ(weft_group_errors(&g, e, 2), 0);
	T_EQ(weft_group_close(&g), 0);
	return 0;
}

TEST_WORKERS(ignore)
{
	run(ignore_main, NULL);
}

static int ends_main(void *arg)
{
	char why[] = "on purpose";
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(&g, NULL), 0);
	T_EQ(weft_group_go(&g, exits, code(7)), 0);
	T_EQ(weft_group_wait(&g), 0);
	T_EQ(weft_group_go(&g, exits, code(-8)), 0);
	T_EQ(weft_group_wait(&g), -8);
	T_EQ(counts(&g).done, 2);
	T_EQ(weft_group_close(&g), -8);
	T_EQ(weft_group_init(&g, &(weft_group_opts){.policy = WEFT_COLLECT}), 0);
	T_EQ(weft_group_go(&g, panics, why), 0);
	T_EQ(weft_group_wait(&g), WEFT_EPANIC);
	T_EQ(counts(&g).running, 0);
	T_EQ(weft_group_close(&g), WEFT_EPANIC);
	return 0;
}

/* A child that does not return ends as well: by exit with what it says, by a panic with WEFT_EPANIC. */
TEST_WORKERS(exit_and_panic)
{
	run(ends_main, NULL);
}

static int all_panic_main(void *arg)
{
	char why[] = "so do we all";
	weft_group g;

	(void)arg;
	for (int round = 0; round < 5; round++) {
		T_EQ(weft_group_init(&g, &(weft_group_opts){.policy = WEFT_COLLECT}), 0);
		for (int i = 0; i < 20; i++)
			T_EQ(weft_group_go(&g, panics, why), 0);
		T_EQ(weft_group_close(&g), WEFT_EPANIC);
		T_EQ(counts(&g).failed, 20);
	}
	return 0;
}

/* Many panics at a time: each shows its stack, and nothing is left of that. */
TEST_WORKERS(all_panic)
{
	run(all_panic_main, NULL);
}

/* --- limits --- */

static int limit_main(void *arg)
{
	struct gate k = {.open = 0};
	weft_group g;
	int rc = 0, n = 0;

	(void)arg;
	T_EQ(weft_group_init(&g, &(weft_group_opts){.max = 3}), 0);
	while (rc == 0) {
		rc = weft_group_trygo(&g, through_gate, &k);
		n += !rc;
	}
	T_EQ(rc, WEFT_EAGAIN);
	T_EQ(n, 3);
	T_EQ(weft_group_go_until(&g, through_gate, &k, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_group_go_until(&g, through_gate, &k, 1), WEFT_ETIMEDOUT);
	T_EQ(counts(&g).running, 3);
	T_EQ(counts(&g).done, 0);
	store_release(&k.open, 1);
	for (int i = 0; i < 100; i++)
		T_EQ(weft_group_go(&g, through_gate, &k), 0);
	T_EQ(weft_group_wait(&g), 0);
	T_LE(load_relaxed(&k.most), 3);
	T_EQ(counts(&g).done, 103);
	T_EQ(weft_group_trygo(&g, through_gate, &k), 0);
	T_EQ(weft_group_close(&g), 0);
	return 0;
}

/* No more run at a time than may; the starter waits, or is told. */
TEST_WORKERS(limit)
{
	run(limit_main, NULL);
}

struct starter {
	weft_group *g;
	weft_task_fn *fn;
	void *arg;
	int64_t deadline;
};

static int starts(void *arg)
{
	struct starter *s = arg;

	return weft_group_go_until(s->g, s->fn, s->arg, s->deadline);
}

struct order {
	int seen[8], n;
};

static int notes(void *arg)
{
	struct order *o = ((void **)arg)[0];

	o->seen[o->n++] = (int)(intptr_t)((void **)arg)[1]; /* one at a time */
	return 0;
}

static int fifo_main(void *arg)
{
	enum { N = 8 };
	void *args[N][2];
	struct gate k = {.open = 0};
	struct starter s[N];
	struct order o = {.n = 0};
	weft_task *t[N];
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(&g, &(weft_group_opts){.max = 1}), 0);
	T_EQ(weft_group_go(&g, through_gate, &k), 0);
	for (int i = 0; i < N; i++) {
		args[i][0] = &o;
		args[i][1] = code(i);
		s[i] = (struct starter){&g, notes, args[i], i == 2 ? weft_in(20 * WEFT_SEC) : WEFT_FOREVER};
		t[i] = start(starts, &s[i]);
		until_reason(t[i], "group room");
	}
	T_EQ(weft_task_cancel(t[2]), 0); /* is passed over */
	T_EQ(finish(t[2]), WEFT_ECANCELED);
	T_EQ(weft_task_cancel(t[N - 1]), 0);
	T_EQ(finish(t[N - 1]), WEFT_ECANCELED);
	store_release(&k.open, 1);
	for (int i = 0; i < N - 1; i++) {
		if (i != 2)
			T_EQ(finish(t[i]), 0);
	}
	T_EQ(weft_group_close(&g), 0);
	T_EQ(o.n, N - 2);
	for (int i = 1; i < o.n; i++)
		T_LT(o.seen[i - 1], o.seen[i]);
	T_EQ(counts(&g).done, N - 1);
	return 0;
}

/* Who waits for room gets it in the order he came; who gave up is passed over. */
TEST_WORKERS(room_is_first_come)
{
	run(fifo_main, NULL);
}

static int full_and_cancelled_main(void *arg)
{
	struct gate k = {.open = 0};
	ATOMIC(int) n = 0;
	weft_group g;
	struct starter s = {&g, adds, &n, WEFT_FOREVER};
	weft_task *t[3];

	(void)arg;
	T_EQ(weft_group_init(&g, &(weft_group_opts){.max = 1}), 0);
	T_EQ(weft_group_go(&g, through_gate, &k), 0);
	for (int i = 0; i < 3; i++) {
		t[i] = start(starts, &s);
		until_reason(t[i], "group room");
	}
	T_EQ(weft_group_cancel(&g, WEFT_REASON_USER), 0);
	T_EQ(weft_group_cancel(&g, WEFT_REASON_USER), WEFT_EALREADY);
	T_EQ(starts(&s), WEFT_ECANCELED); /* at once */
	store_release(&k.open, 1);
	for (int i = 0; i < 3; i++)
		T_EQ(finish(t[i]), WEFT_ECANCELED);
	T_EQ(weft_group_close(&g), WEFT_ECANCELED); /* the one that ran did not mind; those that never did count as one */
	T_EQ(load_relaxed(&n), 0);
	T_EQ(counts(&g).done, 1);
	return 0;
}

/* Who waits for room in a group that is cancelled starts nobody, and hands the room on. */
TEST_WORKERS(no_room_in_a_cancelled_group)
{
	run(full_and_cancelled_main, NULL);
}

static int no_tasks_main(void *arg)
{
	struct gate k = {.open = 0};
	weft_group g;
	int rc = 0, n = 0;

	(void)arg;
	T_EQ(weft_group_init(&g, &(weft_group_opts){.max = 9}), 0);
	for (; rc == 0; n += !rc)
		rc = weft_group_go(&g, through_gate, &k);
	T_EQ(rc, WEFT_EAGAIN);
	T_EQ(n, 3);
	T_EQ(counts(&g).running, 3);
	T_EQ(counts(&g).done, 0); /* what was refused never was */
	T_EQ(counts(&g).failed, 1);
	store_release(&k.open, 1);
	T_EQ(weft_group_close(&g), WEFT_EAGAIN); /* a child that is not there is an error */
	T_EQ(counts(&g).done, 3);
	return 0;
}

/* As many tasks as the runtime may have: the child is refused, and its place is free. */
TEST_WORKERS(no_more_tasks)
{
	T_EQ(run_with(no_tasks_main, NULL, (weft_opts){.max_tasks = 4}), 0);
}

/* --- contexts --- */

static int cancel_main(void *arg)
{
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(&g, NULL), 0);
	T_EQ(weft_group_cancel(&g, WEFT_REASON_PARENT), WEFT_EINVAL);
	for (int i = 0; i < 5; i++)
		T_EQ(weft_group_go(&g, waits, NULL), 0);
	T_EQ(weft_group_wait_until(&g, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_group_wait_until(&g, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(counts(&g).running, 5);
	T_EQ(weft_group_cancel(&g, WEFT_REASON_USER + 1), 0);
	T_EQ(weft_group_wait(&g), WEFT_ECANCELED);
	T_EQ(weft_ctx_reason(weft_group_ctx(&g)), WEFT_REASON_USER + 1);
	T_EQ(counts(&g).failed, 5);
	T_EQ(weft_group_close(&g), WEFT_ECANCELED);
	return 0;
}

TEST_WORKERS(cancel)
{
	run(cancel_main, NULL);
}

static int timeout_main(void *arg)
{
	weft_group g;

	(void)arg;
	time_fake();
	T_EQ(weft_group_init(&g, &(weft_group_opts){.timeout = 2 * WEFT_SEC, .policy = WEFT_COLLECT}), 0);
	for (int i = 0; i < 5; i++)
		T_EQ(weft_group_go(&g, waits, NULL), 0);
	time_move(2 * WEFT_SEC - 1);
	T_EQ(weft_group_wait_until(&g, WEFT_NOW), WEFT_EAGAIN);
	time_move(1);
	T_EQ(weft_group_wait(&g), WEFT_ETIMEDOUT);
	T_EQ(counts(&g).running, 0);
	T_EQ(counts(&g).failed, 5);
	T_EQ(weft_group_go(&g, waits, NULL), WEFT_ETIMEDOUT);
	T_EQ(weft_group_close(&g), WEFT_ETIMEDOUT);
	time_real();
	return 0;
}

/* The group's deadline is its children's. */
TEST_WORKERS(timeout)
{
	run(timeout_main, NULL);
}

static int owns(void *arg)
{
	struct owner *o = arg;
	weft_group g;

	T_EQ(weft_group_init(&g, NULL), 0);
	for (int i = 0; i < 4; i++)
		T_EQ(weft_group_go(&g, waits_and_says, o), 0);
	o->wait = weft_group_wait(&g);
	o->close = weft_group_close(&g);
	T_EQ(load_relaxed(&o->ended), 4);
	return 0;
}

static int parent_main(void *arg)
{
	(void)arg;
	for (int round = 0; round < 20; round++) {
		struct owner o = {.ready = 0};
		weft_ctx *c = weft_ctx_make(NULL);
		weft_task *t;

		T_EQ(weft_go_opts(&t, owns, &o, &(weft_task_opts){.ctx = c}), 0);
		until_reason(t, "group");
		T_EQ(weft_ctx_cancel(c, WEFT_REASON_USER), 0);
		T_EQ(finish(t), 0);
		T_EQ(o.wait, WEFT_ECANCELED);
		T_EQ(o.close, WEFT_ECANCELED);
		weft_ctx_free(c);
	}
	return 0;
}

/* A cancelled parent: its wait ends, its children are cancelled, and closing waits for them. */
TEST_WORKERS(cancelled_parent)
{
	run(parent_main, NULL);
}

static int above_main(void *arg)
{
	weft_ctx *c = weft_ctx_make(NULL), *d = weft_ctx_with_deadline(NULL, weft_now());
	ATOMIC(int) n = 0;
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(&g, &(weft_group_opts){.ctx = c}), 0);
	T_EQ(weft_group_go(&g, waits, NULL), 0);
	T_EQ(weft_ctx_cancel(c, WEFT_REASON_USER), 0);
	T_EQ(weft_group_wait(&g), WEFT_ECANCELED); /* the child's */
	T_EQ(weft_ctx_reason(weft_group_ctx(&g)), WEFT_REASON_PARENT);
	T_EQ(weft_group_close(&g), WEFT_ECANCELED);
	T_EQ(weft_group_init(&g, &(weft_group_opts){.ctx = c}), 0); /* born cancelled */
	T_EQ(weft_group_go(&g, adds, &n), WEFT_ECANCELED);
	T_EQ(weft_group_close(&g), WEFT_ECANCELED); /* work that was not begun is no success */
	T_EQ(weft_group_init(&g, &(weft_group_opts){.ctx = d}), 0);
	T_EQ(weft_group_go(&g, adds, &n), WEFT_ETIMEDOUT);
	T_EQ(weft_group_close(&g), WEFT_ETIMEDOUT);
	T_EQ(load_relaxed(&n), 0);
	weft_ctx_free(c);
	weft_ctx_free(d);
	return 0;
}

/* Another context above it than the caller's. */
TEST_WORKERS(context_above)
{
	run(above_main, NULL);
}

/* --- arguments, names --- */

static int arguments_main(void *arg)
{
	static const weft_group_opts bad[] = {{.policy = (enum weft_group_policy)3},
					      {.policy = (enum weft_group_policy) - 1},
					      {.max = -1},
					      {.keep = -1},
					      {.keep = 65536},
					      {.timeout = -1}};
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(NULL, NULL), WEFT_EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		T_EQ(weft_group_init(&g, &bad[i]), WEFT_EINVAL);
		T_EQ(weft_group_go(&g, returns, NULL), WEFT_EINVAL);
		T_EQ(weft_group_cancel(&g, WEFT_REASON_CANCELED), WEFT_EINVAL);
		T_EQ(weft_group_wait(&g), WEFT_EINVAL);
		T_EQ(weft_group_close(&g), WEFT_EINVAL);
	}
	T_EQ(weft_group_go(NULL, returns, NULL), WEFT_EINVAL);
	T_EQ(weft_group_wait(NULL), WEFT_EINVAL);
	T_EQ(weft_group_close(NULL), WEFT_EINVAL);
	T_EQ(weft_group_cancel(NULL, WEFT_REASON_CANCELED), WEFT_EINVAL);
	T_EQ(weft_group_init(&g, &(weft_group_opts){.max = INT32_MAX, .name = "crew"}), 0);
	T_EQ(weft_group_go(&g, NULL, NULL), WEFT_EINVAL);
	T_EQ((weft_group_go)(&g, returns, NULL), 0);
	T_EQ((weft_group_trygo)(&g, returns, NULL), 0);
	T_EQ((weft_group_go_until)(&g, returns, NULL, 1), 0); /* no need to wait */
	T_EQ(weft_group_close(&g), 0);
	return 0;
}

TEST_WORKERS(arguments)
{
	run(arguments_main, NULL);
}

static int name_child(void *arg)
{
	char buf[64];

	T_STR_EQ(weft__task_label(weft_task_self(), buf, sizeof buf), (const char *)arg);
	return 0;
}

static int names_main(void *arg)
{
	char crew[] = "crew", own[] = "name_child";

	(void)arg;
	WEFT_WITH_GROUP (g, .name = "crew")
		T_EQ(weft_group_go(&g, name_child, crew), 0);
	WEFT_WITH_GROUP (g)
		T_EQ(weft_group_go(&g, name_child, own), 0);
	return 0;
}

TEST_WORKERS(names)
{
	run(names_main, NULL);
}

static int again_main(void *arg)
{
	long n = tap_iters(2000);
	ATOMIC(int) count = 0;
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(&g, NULL), 0);
	for (long i = 1; i <= n; i++) {
		for (int k = 0; k < 3; k++)
			T_EQ(weft_group_go(&g, adds, &count), 0);
		T_EQ(weft_group_wait(&g), 0);
		T_EQ(load_relaxed(&count), 3 * i);
	}
	T_EQ(counts(&g).done, (uint32_t)(3 * n));
	T_EQ(weft_group_close(&g), 0);
	return 0;
}

/* A group is used again after a wait. */
TEST_WORKERS(again_and_again)
{
	run(again_main, NULL);
}

static int frames_main(void *arg)
{
	long n = tap_iters(3000);

	(void)arg;
	for (long i = 0; i < n; i++) {
		ATOMIC(int) count = 0;
		weft_group g;

		T_EQ(weft_group_init(&g, &(weft_group_opts){.max = (int)(i % 3)}), 0);
		for (int k = 0; k < 4; k++)
			T_EQ(weft_group_go(&g, adds, &count), 0);
		if (i & 1)
			T_EQ(weft_group_wait(&g), 0);
		T_EQ(weft_group_close(&g), 0);
		memset(&g, 0xa5, sizeof g); /* whoever touches it now changes it, or trips over it */
		T_EQ(load_relaxed(&count), 4);
		weft_task_yield();
		for (size_t k = 0; k < sizeof g; k++)
			T_EQ(((unsigned char *)&g)[k], 0xa5);
	}
	return 0;
}

/* The frame is the owner's again as soon as he has joined. */
TEST_WORKERS(frames_die)
{
	run(frames_main, NULL);
}

/* --- misuse --- */

static int after_close_main(void *arg)
{
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(&g, NULL), 0);
	T_EQ(weft_group_close(&g), 0);
	weft_group_go(&g, returns, NULL);
	return 0;
}

TEST_DIES_WORKERS(go_after_close, "weft_group_go: the group")
{
	run(after_close_main, NULL);
}

static int cancel_after_close_main(void *arg)
{
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(&g, NULL), 0);
	T_EQ(weft_group_close(&g), 0);
	weft_group_cancel(&g, WEFT_REASON_CANCELED);
	return 0;
}

TEST_DIES_WORKERS(cancel_after_close, "weft_group_cancel: the group")
{
	run(cancel_after_close_main, NULL);
}

static int never_made_main(void *arg)
{
	weft_group g = {0};

	(void)arg;
	weft_group_go(&g, returns, NULL);
	return 0;
}

TEST_DIES(never_made, "or never made by weft_group_init")
{
	run(never_made_main, NULL);
}

static int joins_itself(void *arg)
{
	return weft_group_wait(arg);
}

static int own_group_main(void *arg)
{
	weft_group g;

	(void)arg;
	T_EQ(weft_group_init(&g, NULL), 0);
	T_EQ(weft_group_go(&g, joins_itself, &g), 0);
	weft_group_wait(&g);
	return 0;
}

/* A child that waits for its own group waits for ever: that is a deadlock, and is reported as one. */
TEST_WORKERS(child_joins_its_group)
{
	T_EQ(weft_run(own_group_main, NULL, &(weft_opts){.workers = tap_workers()}), WEFT_EDEADLK);
	tap_leaky();
}
