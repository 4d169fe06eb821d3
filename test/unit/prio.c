/* SPDX-License-Identifier: MIT
 *
 * prio.c - classes of tasks: exact weights on one worker, nobody starves on many, who is woken comes next, whoever wakes it and however it waits.
 *
 * Time plays no part: what is counted are runs.
 */
#include "rt.h"

#include "weft/blocking.h"
#include "weft/gen.h"
#include <pthread.h>
#include <stdlib.h>

/* What the environment asks for is asked elsewhere; here it is known who is what. */
static void plain(void)
{
	unsetenv("WEFT_PRIO");
	unsetenv("WEFT_ORDER");
}

static weft_task *start_as(weft_task_fn *fn, void *arg, enum weft_prio p)
{
	weft_task *t;

	T_EQ(weft_go_opts(&t, fn, arg, &(weft_task_opts){.prio = p}), 0);
	return t;
}

/* --- weights --- */

#define RUNS 2000

struct record {
	bool pinned;
	int n;
	signed char ran[RUNS]; /* a class each */
	int tasks[3];          /* HIGH, NORMAL, LOW: how many there are */
};

struct member {
	struct record *r;
	enum weft_prio p;
};

static int runs(void *arg)
{
	struct member *m = arg;
	struct record *r = m->r;

	if (r->pinned)
		weft_task_pin();
	while (r->n < RUNS) {
		r->ran[r->n++] = (signed char)m->p;
		weft_task_yield();
	}
	return 0;
}

static int record_main(void *arg)
{
	struct record *r = arg;
	struct member m[3] = {{r, WEFT_PRIO_HIGH}, {r, WEFT_PRIO_NORMAL}, {r, WEFT_PRIO_LOW}};
	weft_task *t[30];
	int n = 0;

	if (r->pinned)
		weft_task_pin(); /* they begin here, in its time, and stay */
	for (int k = 0; k < 3; k++) {
		for (int i = 0; i < r->tasks[k]; i++) {
			if (r->pinned)
				T_EQ(weft_go_opts(&t[n++], runs, &m[k], &(weft_task_opts){.prio = m[k].p, .now = true}), 0);
			else
				t[n++] = start_as(runs, &m[k], m[k].p);
		}
	}
	for (int i = 0; i < n; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* From when all have begun, each so many consecutive runs hold exactly these. */
static void weights(struct record *r, int high, int normal, int low, weft_opts o)
{
	int window = high + normal + low;

	plain();
	r->n = 0;
	T_EQ(run_with(record_main, r, o), 0);
	for (int at = 200; at + window <= RUNS - 200; at++) {
		int seen[3] = {0};

		for (int i = 0; i < window; i++)
			seen[r->ran[at + i] + 1]++;
		if (seen[0] != high || seen[1] != normal || seen[2] != low)
			T_FAIL("from run %d on: %d HIGH, %d NORMAL, %d LOW; not %d, %d, %d", at, seen[0], seen[1], seen[2], high, normal,
			       low);
	}
}

static const struct {
	int tasks[3], share[3];
} mixes[] = {
	{{1, 1, 1}, {64, 8, 1}}, {{3, 5, 2}, {64, 8, 1}}, {{9, 2, 9}, {64, 8, 1}}, {{2, 3, 0}, {8, 1, 0}},
	{{1, 9, 0}, {8, 1, 0}},  {{0, 3, 3}, {0, 8, 1}},  {{0, 9, 1}, {0, 8, 1}},  {{0, 20, 2}, {0, 8, 1}},
	{{4, 0, 1}, {64, 0, 1}}, {{3, 0, 0}, {1, 0, 0}},  {{0, 0, 3}, {0, 0, 1}},
};

/* 64 to 8 to 1, 8 to 1, 64 to 1, exactly, however many tasks there are in a class: on one worker, in both orders. */
TEST(weights_on_one_worker)
{
	for (size_t i = 0; i < ARRAY_LEN(mixes); i++) {
		struct record r = {.tasks = {mixes[i].tasks[0], mixes[i].tasks[1], mixes[i].tasks[2]}};

		for (int o = WEFT_ORDER_FIFO; o <= WEFT_ORDER_LIFO; o++) {
			tap_note("mix %zu, order %d", i, o);
			weights(&r, mixes[i].share[0], mixes[i].share[1], mixes[i].share[2],
				(weft_opts){.workers = 1, .order = (enum weft_order)o});
		}
	}
}

/* A pair that hands over to each other, and one LOW task beside it: runs of both are counted. */
struct pair_and_low {
	bool over;
	long normal, low;
};

static int low_runs(void *arg)
{
	struct pair_and_low *p = arg;

	while (!p->over) {
		p->low++;
		p->over = p->low == 200;
		weft_task_yield();
	}
	return 0;
}

static int produces(void *arg)
{
	struct pair_and_low *p = arg;

	while (!p->over) {
		long v = p->normal++;

		if (weft_gen_yield(&v))
			break;
	}
	return 0;
}

static int pair_main(void *arg)
{
	struct pair_and_low *p = arg;
	weft_task *low = start_as(low_runs, p, WEFT_PRIO_LOW);
	weft_gen *g;
	long v;

	T_EQ(weft_gen_make(&g, sizeof v, produces, p), 0);
	while (!p->over) {
		p->normal++;
		(void)weft_gen_next(g, &v);
	}
	weft_gen_free(g);
	return finish(low);
}

/* What one hands its turn to counts as waiting, though it is in no queue. */
TEST(weights_of_a_pair)
{
	struct pair_and_low p = {.over = false};

	plain();
	T_EQ(run_with(pair_main, &p, (weft_opts){.workers = 1}), 0);
	T_GE(p.normal, 7 * p.low);
	T_LE(p.normal, 9 * p.low);
}

/* --- nobody starves --- */

struct crowd {
	ATOMIC(bool) over;
	ATOMIC(long) ran[3];
};

struct one_of {
	struct crowd *c;
	enum weft_prio p;
};

static int spins(void *arg)
{
	struct one_of *o = arg;

	while (!load_relaxed(&o->c->over)) {
		add_relaxed(&o->c->ran[o->p + 1], 1);
		weft_task_yield();
	}
	return 0;
}

static int crowd_main(void *arg)
{
	struct crowd c = {.over = false};
	struct one_of o[3] = {{&c, WEFT_PRIO_HIGH}, {&c, WEFT_PRIO_NORMAL}, {&c, WEFT_PRIO_LOW}};
	weft_task *t[60];
	int n = 0;

	(void)arg;
	for (int i = 0; i < 20; i++) {
		for (int k = 0; k < 3; k++)
			t[n++] = start_as(spins, &o[k], o[k].p);
	}
	for (int k = 0; k < 3; k++)
		until(load_relaxed(&c.ran[k]) > 100);
	store_relaxed(&c.over, true);
	for (int i = 0; i < n; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* Twenty tasks of each class that only yield, and a NORMAL one that looks on: all get on. */
TEST_WORKERS(nobody_starves)
{
	plain();
	run(crowd_main, NULL);
	T_EQ(run_with(crowd_main, NULL, (weft_opts){.order = WEFT_ORDER_LIFO}), 0);
}

struct injected {
	ATOMIC(bool) over, ready, ran;
	ATOMIC(long) turns; /* of the yielder */
	long ran_at;
};

static int yields_on(void *arg)
{
	struct injected *s = arg;

	while (!load_relaxed(&s->over)) {
		add_relaxed(&s->turns, 1);
		weft_task_yield();
	}
	return 0;
}

/* Is woken by the slow part of a schedule, again and again. */
static int naps(void *arg)
{
	struct injected *s = arg;

	while (!load_relaxed(&s->over)) {
		T_EQ(weft_task_sleep(300), 0);
		store_relaxed(&s->ready, true);
	}
	return 0;
}

static int notes_turn(void *arg)
{
	struct injected *s = arg;

	s->ran_at = load_relaxed(&s->turns);
	store_release(&s->ran, true);
	return 0;
}

static void *injects(void *arg)
{
	struct injected *s = arg;
	weft_task *t;
	long from;

	while (!load_relaxed(&s->ready))
		sched_yield();
	for (int i = 0; i < 20; i++) {
		store_relaxed(&s->ran, false);
		T_EQ(weft_go_opts(&t, notes_turn, s, NULL), 0);
		from = load_relaxed(&s->turns); /* it is in the queue: what comes later is too late a beginning at worst */
		T_EQ(finish(t), 0);
		T_LE(s->ran_at - from, 100L * TICK_SLOW);
	}
	store_relaxed(&s->over, true);
	return NULL;
}

static int injected_main(void *arg)
{
	struct injected s = {.over = false};
	weft_task *t[3] = {start_as(yields_on, &s, WEFT_PRIO_NORMAL), start_as(yields_on, &s, WEFT_PRIO_NORMAL),
			   start_as(naps, &s, WEFT_PRIO_HIGH)};
	pthread_t th;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, injects, &s), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(pthread_join(th, NULL), 0);
	return 0;
}

/* A HIGH task that each slow pick wakes takes the turns of nobody whom only the slow pick finds. */
TEST(what_is_injected_has_its_turn)
{
	plain();
	T_EQ(run_with(injected_main, NULL, (weft_opts){.workers = 1}), 0);
}

static int once(void *arg)
{
	store_release((ATOMIC(bool) *)arg, true);
	return 0;
}

static void *starts_from_outside(void *arg)
{
	T_EQ(weft_go_opts(NULL, once, arg, NULL), 0);
	return NULL;
}

static int outside_main(void *arg)
{
	struct crowd c = {.over = false};
	struct one_of o = {&c, WEFT_PRIO_HIGH};
	weft_task *t[20];
	pthread_t th;

	(void)arg;
	for (int i = 0; i < 20; i++)
		t[i] = start_as(spins, &o, o.p);
	for (int way = 0; way < 3; way++) {
		ATOMIC(bool) ran = false;

		if (way == 0) {
			T_EQ(pthread_create(&th, NULL, starts_from_outside, &ran), 0);
			pthread_join(th, NULL);
		} else {
			T_EQ(weft_go_opts(NULL, once, (void *)&ran,
					  way == 1 ? &(weft_task_opts){.where = WEFT_WHERE_GLOBAL} : &(weft_task_opts){.worker = 1}),
			     0);
		}
		until(load_acquire(&ran));
	}
	store_relaxed(&c.over, true);
	for (int i = 0; i < 20; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* Nor does what comes from outside, or is placed in another queue, beside HIGH tasks without end. */
TEST_WORKERS(normal_from_elsewhere_does_not_starve)
{
	plain();
	run(outside_main, NULL);
}

/* --- who is woken --- */

struct log {
	int n;
	int who[64];
};

struct logs {
	struct log *l;
	int who;
	weft_chan *c;
};

static int logs_once(void *arg)
{
	struct logs *x = arg;

	x->l->who[x->l->n++] = x->who;
	return 0;
}

static int logs_woken(void *arg)
{
	struct logs *x = arg;
	int v;

	if (x->c)
		T_EQ(weft_chan_recv(x->c, &v), 0);
	else
		T_EQ(weft_task_park(), 0);
	return logs_once(arg);
}

/* Wakes a task of class p, by an unpark or a channel, among ten NORMAL ones that are runnable before it; returns how many of these ran before it. */
static int before(enum weft_prio p, bool by_chan)
{
	struct log l = {.n = 0};
	struct logs x = {&l, 100, by_chan ? weft_chan_make(sizeof(int), 0) : NULL}, each[10];
	weft_task *t = start_as(logs_woken, &x, p), *others[10];
	int at = 0, v = 1;

	until_parked(t);
	for (int i = 0; i < 10; i++) {
		each[i] = (struct logs){&l, i, NULL};
		others[i] = start(logs_once, &each[i]);
	}
	if (by_chan)
		T_EQ(weft_chan_trysend(x.c, &v), 0);
	else
		weft_task_unpark(t);
	T_EQ(l.n, 0); /* nobody has been interrupted */
	T_EQ(finish(t), 0);
	for (int i = 0; i < 10; i++)
		T_EQ(finish(others[i]), 0);
	weft_chan_free(x.c);
	T_EQ(l.n, 11);
	while (l.who[at] != 100)
		at++;
	return at;
}

static int woken_main(void *arg)
{
	(void)arg;
	for (int by_chan = 0; by_chan < 2; by_chan++) {
		for (int i = 0; i < 20; i++) {
			int low;

			T_EQ(before(WEFT_PRIO_HIGH, by_chan), 0);
			low = before(WEFT_PRIO_LOW, by_chan);
			T_GE(low, 1); /* it is one turn in nine */
			T_LE(low, 9);
		}
	}
	return 0;
}

/* One that is woken keeps its class, also if a channel hands it an element: a HIGH task comes next, a LOW one after some of those that were there. */
TEST(who_is_woken_comes_by_its_class)
{
	plain();
	T_EQ(run_with(woken_main, NULL, (weft_opts){.workers = 1, .order = WEFT_ORDER_FIFO}), 0);
}

struct asks {
	weft_chan *in, *out;
	long rounds;
};

static int answers(void *arg)
{
	struct asks *a = arg;
	int v;

	for (long i = 0; i < a->rounds; i++) {
		T_EQ(weft_chan_recv(a->in, &v), 0);
		v++;
		T_EQ(weft_chan_send(a->out, &v), 0);
	}
	return 0;
}

static int dialogue_main(void *arg)
{
	static const enum weft_prio of[] = {WEFT_PRIO_HIGH, WEFT_PRIO_NORMAL, WEFT_PRIO_LOW};

	(void)arg;
	for (int p = 0; p < 9; p++) {
		struct asks a = {weft_chan_make(sizeof(int), 0), weft_chan_make(sizeof(int), 0), tap_iters(300)};
		weft_task *t = start_as(answers, &a, of[p / 3]);

		T_EQ(weft_task_prio(NULL, of[p % 3]), 0);
		for (int i = 0; i < a.rounds; i++) {
			int v = i;

			T_EQ(weft_chan_send(a.in, &v), 0);
			T_EQ(weft_chan_recv(a.out, &v), 0);
			T_EQ(v, i + 1);
		}
		T_EQ(finish(t), 0);
		weft_chan_free(a.in);
		weft_chan_free(a.out);
	}
	return 0;
}

/* Question and answer between any two classes, the waiter alone with its peer. */
TEST_WORKERS(dialogues)
{
	plain();
	run(dialogue_main, NULL);
	T_EQ(run_with(dialogue_main, NULL, (weft_opts){.order = WEFT_ORDER_LIFO}), 0);
}

static void busy_until(ATOMIC(bool) *flag)
{
	while (!load_acquire(flag)) /* lets no task run */
		sched_yield();
}

static int parks_once(void *arg)
{
	T_EQ(weft_task_park(), 0);
	return once(arg);
}

static int others_take_main(void *arg)
{
	static const enum weft_prio of[] = {WEFT_PRIO_HIGH, WEFT_PRIO_LOW};

	(void)arg;
	if (tap_workers() == 1)
		tap_skip("takes another worker");
	for (int i = 0; i < tap_iters(60); i++) {
		ATOMIC(bool) ran = false;
		weft_task *t = start_as(parks_once, (void *)&ran, of[i % 2]);

		until_parked(t);
		if (i % 4 < 2) { /* all others asleep, perhaps */
			until(idle_sleepers(&weft__rt->idle) == weft__rt->n - 1);
		}
		weft_task_unpark(t);
		busy_until(&ran);
		T_EQ(finish(t), 0);
		store_relaxed(&ran, false);
		t = start_as(once, (void *)&ran, of[i % 2]);
		busy_until(&ran);
		T_EQ(finish(t), 0);
	}
	return 0;
}

/* A worker without work takes what a busy one has woken or started, of whatever class. */
TEST_WORKERS(others_take_them)
{
	plain();
	run(others_take_main, NULL);
}

static void *wakes(void *arg)
{
	weft_task_unpark(arg);
	return NULL;
}

static int from_outside_main(void *arg)
{
	static const enum weft_prio of[] = {WEFT_PRIO_HIGH, WEFT_PRIO_NORMAL, WEFT_PRIO_LOW};
	bool crowded = arg != NULL;
	struct crowd c = {.over = false};
	struct one_of o = {&c, WEFT_PRIO_NORMAL};
	weft_task *spin[20];

	for (int i = 0; crowded && i < 20; i++)
		spin[i] = start(spins, &o);
	for (int i = 0; i < tap_iters(15); i++) {
		ATOMIC(bool) ran = false;
		weft_task *t = start_as(parks_once, (void *)&ran, of[i % 3]);
		pthread_t th;

		until_parked(t);
		T_EQ(pthread_create(&th, NULL, wakes, t), 0);
		T_EQ(finish(t), 0); /* all asleep, if there is nobody else */
		T_OK(load_acquire(&ran));
		pthread_join(th, NULL);
	}
	store_relaxed(&c.over, true);
	for (int i = 0; crowded && i < 20; i++)
		T_EQ(finish(spin[i]), 0);
	return 0;
}

/* A thread wakes one of each class: while all sleep, and while all workers have tasks without end. */
TEST_WORKERS(woken_from_outside)
{
	tap_limit(90);
	plain();
	run(from_outside_main, NULL);
	run(from_outside_main, &(int){1});
}

/* --- pinned, sections, timers --- */

static int roams(void *arg)
{
	struct one_of *o = arg;

	for (int i = 0; i < tap_iters(40); i++) {
		int worker;

		weft_task_pin();
		worker = weft_task_worker();
		weft_task_yield();
		T_EQ(weft_task_worker(), worker);
		T_EQ(weft_task_sleep(i % 5 * 10 * WEFT_US), 0);
		T_EQ(weft_task_worker(), worker);
		T_EQ(weft_task_prio(NULL, (enum weft_prio)(i % 3 - 1)), 0); /* a class and pinned: both are bits of one word */
		weft_task_yield();
		T_EQ(weft_task_worker(), worker);
		weft_task_unpin();
		weft_task_yield();
		WEFT_BLOCKING
		sched_yield();
		T_EQ(weft_task_prioof(NULL), (enum weft_prio)(i % 3 - 1));
		add_relaxed(&o->c->ran[o->p + 1], 1);
	}
	return 0;
}

static int roam_main(void *arg)
{
	struct crowd c = {.over = false};
	struct one_of o[3] = {{&c, WEFT_PRIO_HIGH}, {&c, WEFT_PRIO_NORMAL}, {&c, WEFT_PRIO_LOW}};
	weft_task *t[24];

	(void)arg;
	for (int i = 0; i < 24; i++)
		t[i] = start_as(roams, &o[i % 3], o[i % 3].p);
	for (int i = 0; i < 24; i++)
		T_EQ(finish(t[i]), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(load_relaxed(&c.ran[i]), 8 * tap_iters(40));
	return 0;
}

/* They are pinned and not, sleep, leave for sections, and change their class. */
TEST_WORKERS(on_all_ways)
{
	plain();
	run(roam_main, NULL);
	T_EQ(run_with(roam_main, NULL, (weft_opts){.order = WEFT_ORDER_LIFO}), 0);
}

/* Pinned to one of several workers, the classes have their weights among those that are. */
TEST_WORKERS(weights_of_pinned)
{
	struct record r = {.pinned = true, .tasks = {3, 3, 3}};

	weights(&r, 64, 8, 1, (weft_opts){.order = WEFT_ORDER_FIFO});
}

/* --- calls --- */

static int parks(void *arg)
{
	(void)arg;
	T_EQ(weft_task_park(), 0);
	return (int)weft_task_prioof(NULL);
}

static int child_of(void *arg)
{
	(void)arg;
	return (int)weft_task_prioof(NULL);
}

static int calls_main(void *arg)
{
	weft_task *t = start(parks, NULL);

	(void)arg;
	T_EQ(weft_task_prioof(NULL), WEFT_PRIO_NORMAL);
	T_EQ(weft_task_prio(NULL, WEFT_PRIO_URGENT), WEFT_EINVAL);
	T_EQ(weft_task_prio(t, (enum weft_prio)2), WEFT_EINVAL);
	T_EQ(weft_go_opts(NULL, once, NULL, &(weft_task_opts){.prio = WEFT_PRIO_URGENT}), WEFT_EINVAL);
	T_EQ(weft_go_opts(NULL, once, NULL, &(weft_task_opts){.prio = (enum weft_prio)2}), WEFT_EINVAL);
	T_EQ(weft_go_opts(NULL, once, NULL, &(weft_task_opts){.where = (enum weft_where)2}), WEFT_EINVAL);
	T_EQ(weft_go_opts(NULL, once, NULL, &(weft_task_opts){.where = WEFT_WHERE_GLOBAL, .worker = 1}), WEFT_EINVAL);
	T_EQ(weft_task_prioof(t), WEFT_PRIO_NORMAL);
	T_EQ(weft_task_prio(t, WEFT_PRIO_LOW), 0);
	T_EQ(weft_task_prioof(t), WEFT_PRIO_LOW);
	until_parked(t);
	T_EQ(weft_task_prio(t, WEFT_PRIO_HIGH), 0); /* while it waits */
	weft_task_unpark(t);
	until_state(t, WEFT_TASK_DONE);
	T_EQ(weft_task_prio(t, WEFT_PRIO_LOW), 0); /* it has ended */
	T_EQ(finish(t), WEFT_PRIO_HIGH);
	T_EQ(weft_task_prio(NULL, WEFT_PRIO_HIGH), 0);
	T_EQ(weft_task_prioof(NULL), WEFT_PRIO_HIGH);
	T_EQ(finish(start(child_of, NULL)), WEFT_PRIO_NORMAL); /* it is not inherited */
	T_EQ(finish(start_as(child_of, NULL, WEFT_PRIO_LOW)), WEFT_PRIO_LOW);
	return 0;
}

/* What is asked for is what is said; nonsense is refused; children have a class of their own. */
TEST_WORKERS(calls)
{
	plain();
	run(calls_main, NULL);
}

/* Off a task there is nobody to change. */
TEST(off_a_task)
{
	T_EQ(weft_task_prio(NULL, WEFT_PRIO_HIGH), WEFT_EINVAL);
	T_EQ(weft_task_prioof(NULL), WEFT_PRIO_NORMAL);
}

static int mixed_main(void *arg)
{
	int seen[3] = {0};

	(void)arg;
	for (int i = 0; i < 300; i++)
		seen[finish(start(child_of, NULL)) + 1]++;
	for (int i = 0; i < 3; i++)
		T_GE(seen[i], 50);
	T_EQ(finish(start_as(child_of, NULL, WEFT_PRIO_LOW)), WEFT_PRIO_LOW); /* who asks gets it */
	T_EQ(weft_task_prio(NULL, WEFT_PRIO_NORMAL), 0);
	T_EQ(weft_task_prioof(NULL), WEFT_PRIO_NORMAL);
	return 0;
}

/* WEFT_PRIO=mixed: tasks whose starter does not say are of all classes. */
TEST_WORKERS(mixed)
{
	plain();
	setenv("WEFT_PRIO", "mixed", 1);
	run(mixed_main, NULL);
	setenv("WEFT_PRIO", "high", 1);
	T_EQ(weft_run(mixed_main, NULL, NULL), WEFT_EINVAL);
}

/* --- places --- */

static int global_main(void *arg)
{
	static const enum weft_prio of[] = {WEFT_PRIO_HIGH, WEFT_PRIO_NORMAL, WEFT_PRIO_LOW};

	(void)arg;
	if (tap_workers() == 1)
		tap_skip("takes another worker");
	for (int i = 0; i < tap_iters(60); i++) {
		ATOMIC(bool) ran = false;
		weft_task *t;

		T_EQ(weft_go_opts(&t, once, (void *)&ran, &(weft_task_opts){.where = WEFT_WHERE_GLOBAL, .prio = of[i % 3]}), 0);
		busy_until(&ran);
		T_EQ(finish(t), 0);
	}
	return 0;
}

/* Whoever comes first takes what is everybody's, while its starter computes. */
TEST_WORKERS(global_is_taken_by_others)
{
	plain();
	run(global_main, NULL);
}
