/* SPDX-License-Identifier: MIT
 *
 * tcp_life.c - connections beyond one task's call: deadlines that others move, threads that weft did not make, and runtimes that go down meanwhile.
 */
#include "net.h"

#include <pthread.h>

/* --- the connection's deadlines --- */

static size_t nodes(void)
{
	size_t n = 0;

	for (unsigned i = 0; i < weft__rt->n; i++)
		n += wheel_linked(&weft__rt->workers[i].wheel, TIMER_TASK);
	return n;
}

/* Others run, and see what there is to see. */
static void look_around(void)
{
	for (int i = 0; i < 200; i++)
		let_run();
}

/* Its state, once it has seen what it was woken for: a deadline that was moved wakes who waits, to look at it. */
static enum weft_task_state at_rest(weft_task *t)
{
	enum weft_task_state st;

	until((st = weft_task_stateof(t)) == WEFT_TASK_PARKED || st == WEFT_TASK_DONE);
	return st;
}

static int deadlines_main(void *arg)
{
	struct reading r = {.rc = 0};
	struct writing w = {.buf = "w", .n = 1};
	weft_task *rt, *wt;
	int64_t t0;
	weft_tcp *b;
	char x;

	(void)arg;
	pair_make(&r.c, &b);
	w.c = r.c;
	fill(r.c, number_of(b));
	time_fake();
	t0 = weft_now();

	/* later extends; the side that was not moved is not touched */
	T_EQ(weft_tcp_set_deadline(r.c, t0 + 10 * WEFT_SEC, t0 + 20 * WEFT_SEC), 0);
	rt = start(reads_once, &r);
	wt = start(writes_once, &w);
	until_reason(rt, "read");
	until_reason(wt, "write");
	T_EQ(weft_tcp_set_deadline(r.c, t0 + 30 * WEFT_SEC, t0 + 20 * WEFT_SEC), 0);
	time_move(20 * WEFT_SEC - 1);
	look_around();
	T_EQ(at_rest(rt), WEFT_TASK_PARKED);
	T_EQ(at_rest(wt), WEFT_TASK_PARKED);
	time_move(1);
	T_EQ(finish(wt), 0);
	T_EQ(w.rc, WEFT_ETIMEDOUT);
	T_EQ(w.done, 0);
	look_around();
	T_EQ(at_rest(rt), WEFT_TASK_PARKED);

	/* earlier wakes; the writer's is past and can be moved on */
	T_EQ(weft_tcp_write(r.c, "x", 1, NULL), WEFT_ETIMEDOUT);
	T_EQ(weft_tcp_set_deadline(r.c, t0 + 25 * WEFT_SEC, WEFT_FOREVER), 0);
	time_move(5 * WEFT_SEC - 1);
	look_around();
	T_EQ(at_rest(rt), WEFT_TASK_PARKED);
	time_move(1);
	T_EQ(finish(rt), 0);
	T_EQ(r.rc, WEFT_ETIMEDOUT);
	T_EQ(weft_now(), t0 + 25 * WEFT_SEC);

	/* past: nothing is read, though it is there; and those that wait end at once */
	write_all(b, "y", 1);
	T_EQ(weft_tcp_read(r.c, &x, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_tcp_read_until(r.c, &x, 1, weft_in(WEFT_SEC)), WEFT_ETIMEDOUT);
	fill(r.c, number_of(b)); /* with its byte the peer may have told of room */
	wt = start(writes_once, &w);
	until_reason(wt, "write");
	T_EQ(weft_tcp_set_deadline(r.c, WEFT_FOREVER, t0), 0);
	T_EQ(finish(wt), 0);
	T_EQ(w.rc, WEFT_ETIMEDOUT);
	T_EQ(weft_tcp_read(r.c, &x, 1), 1);
	T_EQ(x, 'y');
	for (int i = 0; i < 4; i++) {
		const int64_t past[] = {t0, 1, -1, INT64_MIN};

		rt = start(reads_once, &r);
		until_reason(rt, "read");
		T_EQ(weft_tcp_set_deadline(r.c, past[i], WEFT_FOREVER), 0);
		T_EQ(finish(rt), 0);
		T_EQ(r.rc, WEFT_ETIMEDOUT);
		T_EQ(weft_tcp_set_deadline(r.c, weft_in(WEFT_SEC), WEFT_FOREVER), 0);
	}

	/* WEFT_FOREVER removes it */
	rt = start(reads_once, &r);
	until_reason(rt, "read");
	T_EQ(weft_tcp_set_deadline(r.c, WEFT_FOREVER, WEFT_FOREVER), 0);
	time_move(1000 * WEFT_SEC);
	look_around();
	T_EQ(at_rest(rt), WEFT_TASK_PARKED);
	write_all(b, "z", 1);
	T_EQ(finish(rt), 0);
	T_EQ(r.rc, 1);

	/* the call's own, when it is earlier */
	fill(r.c, number_of(b)); /* as above */
	T_EQ(weft_tcp_set_deadline(r.c, weft_in(10 * WEFT_SEC), weft_in(10 * WEFT_SEC)), 0);
	w.deadline = weft_in(WEFT_SEC);
	wt = start(writes_once, &w);
	until_reason(wt, "write");
	T_EQ(weft_tcp_set_deadline(r.c, WEFT_FOREVER, weft_in(20 * WEFT_SEC)), 0);
	time_move(WEFT_SEC);
	T_EQ(finish(wt), 0);
	T_EQ(w.rc, WEFT_ETIMEDOUT);
	time_real();
	T_EQ(weft_tcp_close(r.c), 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* A deadline moved by another task: earlier wakes, later extends, past ends at once, WEFT_FOREVER removes; each direction has its own. */
TEST_WORKERS(deadline_moves)
{
	run_net(deadlines_main, NULL);
}

static int line_deadline_main(void *arg)
{
	struct in_line w[LINE];
	weft_task *t[LINE];
	weft_tcp *a, *b;

	(void)arg;
	for (int how = 0; how < 2; how++) {
		pair_make(&a, &b);
		for (int i = 0; i < LINE; i++) {
			w[i] = (struct in_line){.h = a};
			t[i] = start(line_read, &w[i]);
			until_reason(t[i], "read");
		}
		T_EQ(weft_tcp_set_deadline(a, how ? weft_in(2 * WEFT_MS) : 1, WEFT_FOREVER), 0);
		for (int i = 0; i < LINE; i++)
			T_EQ(finish(t[i]), WEFT_ETIMEDOUT);
		T_EQ(weft_tcp_close(a), 0);
		T_EQ(weft_tcp_close(b), 0);
	}
	return 0;
}

/* It counts for those who wait for their turn as well. */
TEST_WORKERS(deadline_of_the_line)
{
	run_net(line_deadline_main, NULL);
}

static int many_moves_main(void *arg)
{
	long n = tap_iters(200000);
	struct rec_stats before, after;
	struct reading r = {.rc = 0};
	int64_t at = weft_in(3600 * WEFT_SEC);
	weft_task *t;
	weft_tcp *b;
	size_t were;

	(void)arg;
	pair_make(&r.c, &b);
	T_EQ(weft_tcp_set_deadline(r.c, at, at), 0);
	t = start(reads_once, &r);
	until_reason(t, "read");
	were = nodes();
	weft__rec_stats(&before);
	for (long i = 0; i < n; i++) /* back and forth, and on the whole closer */
		T_EQ(weft_tcp_set_deadline(r.c, at - i + i % 2 * 1000000, at - i), 0);
	until_parked(t);
	T_LE(nodes(), were + 1);
	weft__rec_stats(&after);
	T_EQ(after.slabs, before.slabs);
	T_EQ(after.records_in_use, before.records_in_use);
	T_EQ(weft_tcp_set_deadline(r.c, weft_now(), WEFT_FOREVER), 0);
	T_EQ(finish(t), 0);
	T_EQ(r.rc, WEFT_ETIMEDOUT);
	T_LE(nodes(), were);
	T_EQ(weft_tcp_close(r.c), 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* 200,000 moves leave one timer. */
TEST_WORKERS(many_moves)
{
	run_net(many_moves_main, NULL);
}

static int moves_and_reads(void *arg)
{
	struct reading *r = arg;
	ssize_t n;
	long got = 0;

	while ((n = weft_tcp_read(r->c, r->buf, sizeof r->buf)) != 0) {
		T_OK(n > 0 || n == WEFT_ETIMEDOUT);
		weft_task_yield(); /* a call that is late at once does not wait */
		got += n > 0 ? n : 0;
	}
	r->rc = got;
	return 0;
}

static int race_moves_main(void *arg)
{
	long n = tap_iters(20000);
	struct reading r = {.rc = 0};
	weft_task *t;
	weft_tcp *b;

	(void)arg;
	pair_make(&r.c, &b);
	t = start(moves_and_reads, &r);
	for (long i = 0; i < n; i++) {
		T_EQ(weft_tcp_set_deadline(r.c,
					   i % 3 == 0   ? WEFT_FOREVER
					   : i % 3 == 1 ? weft_in((i % 50) * WEFT_US)
							: weft_now() - 1,
					   WEFT_FOREVER),
		     0);
		if (i % 7 == 0)
			let_run();
		write_all(b, "x", 1);
	}
	T_EQ(weft_tcp_set_deadline(r.c, WEFT_FOREVER, WEFT_FOREVER), 0);
	T_EQ(weft_tcp_shutdown(b, SHUT_WR), 0);
	T_EQ(finish(t), 0);
	T_EQ(r.rc, n);
	T_EQ(weft_tcp_close(r.c), 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* Deadlines pass and are moved while bytes arrive: a read that timed out has taken none. */
TEST_WORKERS(timed_out_reads_lose_nothing)
{
	run_net(race_moves_main, NULL);
}

/* --- threads, and runs --- */

struct outside {
	weft_tcp_listener *l;
	char at[WEFT_ADDR_TEXT];
	ATOMIC(int) left; /* threads */
	long n;
};

static void *dials_outside(void *arg)
{
	struct outside *o = arg;

	for (long i = 0; i < o->n; i++) {
		weft_tcp *c = dial_to(o->at);
		char buf[5000];

		memset(buf, (int)i, sizeof buf);
		write_all(c, buf, sizeof buf);
		memset(buf, 0, sizeof buf);
		read_all(c, buf, sizeof buf);
		for (size_t k = 0; k < sizeof buf; k++)
			T_EQ(buf[k], (char)i);
		T_EQ(weft_tcp_close(c), 0);
	}
	add_acq_rel(&o->left, -1);
	return NULL;
}

static void echo_to_end(weft_tcp *c)
{
	char buf[3000];
	ssize_t n;

	while ((n = weft_tcp_read(c, buf, sizeof buf)) > 0)
		write_all(c, buf, (size_t)n);
	T_EQ(n, 0);
	T_EQ(weft_tcp_close(c), 0);
}

static void echoes(weft_tcp *c, struct outside *o)
{
	echo_to_end(c);
	add_acq_rel(&o->left, -1);
}

static void *accepts_outside(void *arg)
{
	struct outside *o = arg;
	weft_tcp *c;
	int rc;

	while ((rc = weft_tcp_accept(o->l, &c)) == 0)
		echo_to_end(c);
	T_EQ(rc, WEFT_ECLOSED);
	T_EQ(weft_tcp_listener_close(o->l), WEFT_ECLOSED);
	add_acq_rel(&o->left, -1);
	return NULL;
}

static int outside_main(void *arg)
{
	struct outside o = {.left = 4, .n = tap_iters(100)};
	pthread_t th[6];
	weft_tcp *c;

	(void)arg;
	o.l = listen_at("127.0.0.1:0", o.at);
	for (int i = 0; i < 4; i++)
		T_EQ(pthread_create(&th[i], NULL, dials_outside, &o), 0);
	for (long i = 0; i < 2 * o.n; i++) { /* half of them are served by tasks */
		T_EQ(weft_tcp_accept(o.l, &c), 0);
		add_relaxed(&o.left, 1);
		T_EQ(weft_go(echoes, c, &o), 0);
	}
	for (int i = 4; i < 6; i++) { /* the rest by threads */
		weft_tcp_listener_ref(o.l);
		add_relaxed(&o.left, 1);
		T_EQ(pthread_create(&th[i], NULL, accepts_outside, &o), 0);
	}
	until(load_acquire(&o.left) == 2);
	T_EQ(weft_tcp_listener_close(o.l), 0);
	until(load_acquire(&o.left) == 0);
	for (int i = 0; i < 6; i++)
		pthread_join(th[i], NULL);
	return 0;
}

/* Threads dial, write, read and accept like tasks do, and with them. */
TEST_WORKERS(threads_and_tasks)
{
	run_net(outside_main, NULL);
}

struct survivor {
	weft_tcp *a, *b;
	weft_tcp_listener *l;
	char at[WEFT_ADDR_TEXT];
	int phase;
};

static void reads_three(struct survivor *s, int round)
{
	struct reading r = {.c = round % 2 ? s->a : s->b};
	weft_task *t = start(reads_once, &r);

	until_reason(t, "read");
	write_all(round % 2 ? s->b : s->a, "abc", 3);
	T_EQ(finish(t), 0);
	T_EQ(r.rc, 3);
}

static int survives_main(void *arg)
{
	struct survivor *s = arg;
	struct in_line w;
	char buf[8];
	weft_task *t;
	weft_tcp *c;

	if (s->phase == 0) { /* watched by the loops of this run */
		s->l = listen_at("127.0.0.1:0", s->at);
		s->a = dial_to(s->at);
		s->b = accept_from(s->l);
	} else { /* what came in between is there */
		T_EQ(weft_tcp_read(s->a, buf, 1), 1);
		T_EQ(weft_tcp_read(s->a, buf, sizeof buf), 4);
		c = accept_from(s->l);
		T_EQ(weft_tcp_close(c), 0);
	}
	for (int i = 0; i < 4; i++) {
		reads_three(s, i);
		w = (struct in_line){.h = s->l};
		t = start(line_accept, &w);
		until_reason(t, "accept");
		if (i % 2) {
			T_EQ(weft_task_cancel(t), 0);
			T_EQ(finish(t), WEFT_ECANCELED);
		} else {
			c = dial_to(s->at);
			T_EQ(finish(t), 0);
			T_EQ(weft_tcp_close(c), 0);
			T_EQ(weft_tcp_close(w.got), 0);
		}
	}
	if (s->phase == 3)
		T_EQ(weft_tcp_close(s->a), 0);
	return 0;
}

/* Connections and listeners outlive the runtime in which they were made: what comes in between is found by the next, and they can be closed anywhere. */
TEST_WORKERS(outlive_the_runtime)
{
	struct survivor s = {.phase = 0};
	size_t records = weft__fd_count();
	int fds, raw;
	char x;

	warm_up();
	fds = rt_fds();
	for (; s.phase < 4; s.phase++) {
		T_EQ(weft_run(survives_main, &s, &(weft_opts){.workers = tap_workers()}), 0);
		nothing_left();
		if (s.phase == 3)
			break;
		T_EQ(weft_tcp_read_until(s.a, &x, 1, WEFT_NOW), WEFT_EAGAIN);
		write_all(s.b, "12345", 5);
		raw = raw_dial(s.l);
		close(raw);
	}
	until_holds(number_of(s.b), POLLIN);
	T_EQ(weft_tcp_read(s.b, &x, 1), 0);
	T_EQ(weft_tcp_close(s.b), 0);
	T_EQ(weft_tcp_listener_close(s.l), 0);
	T_EQ(weft__fd_count(), records);
	T_EQ(rt_fds(), fds);
}

static int passes(void *arg)
{
	(void)arg;
	weft_task_yield();
	return 0;
}

static void *makes_outside(void *arg)
{
	ATOMIC(bool) *over = arg;
	weft_tcp_listener *l;
	weft_tcp *c;

	while (!load_relaxed(over)) { /* a flag */
		l = listen_at("127.0.0.1:0", NULL);
		T_EQ(weft_tcp_listener_close(l), 0);
		T_LT(weft_tcp_dial_until(&c, "127.0.0.1:1", WEFT_NOW), 0); /* refused, now or a moment later */
	}
	return NULL;
}

/* A thread makes descriptors and closes them, while runtimes that come and go look at all there are. */
TEST_WORKERS(a_thread_beside_runtimes)
{
	static ATOMIC(bool) over;
	pthread_t th;

	T_EQ(pthread_create(&th, NULL, makes_outside, &over), 0);
	for (long i = tap_iters(200); i > 0; i--)
		T_EQ(weft_run(passes, NULL, &(weft_opts){.workers = tap_workers()}), 0);
	store_relaxed(&over, true); /* a flag */
	pthread_join(th, NULL);
	T_EQ(weft__fd_count(), 0);
}

struct left_behind {
	weft_tcp *a, *b;
	weft_tcp_listener *l, *full;
	char at[WEFT_ADDR_TEXT], full_at[WEFT_ADDR_TEXT];
	int raw[4], n;
	struct reading r, r2;
	struct writing w, w2;
	struct in_line acceptor;
};

static int make_left_main(void *arg)
{
	static const char big[100000];
	struct left_behind *k = arg;

	k->n = listen_full(&k->full, k->full_at, k->raw);
	k->l = listen_at("127.0.0.1:0", k->at);
	k->a = dial_to(k->at);
	k->b = accept_from(k->l);
	fill(k->a, number_of(k->b));
	k->r.c = k->r2.c = k->w.c = k->w2.c = k->a;
	k->w.buf = k->w2.buf = big;
	k->w.n = k->w2.n = sizeof big;
	k->acceptor.h = k->l;
	return 0;
}

static int accepts_for_ever(void *arg)
{
	weft_tcp *c;

	return weft_tcp_accept(arg, &c);
}

static int dials_for_ever(void *arg)
{
	weft_tcp *c;

	return weft_tcp_dial(&c, arg);
}

static int leaves_main(void *arg)
{
	struct left_behind *k = arg;
	struct {
		weft_task_fn *fn;
		void *arg;
		const char *reason;
	} const kinds[] = {
		{reads_once, &k->r, "read"},        {reads_once, &k->r2, "read"}, /* waits for its turn */
		{writes_once, &k->w, "write"},      {writes_once, &k->w2, "write"},       {accepts_for_ever, k->l, "accept"},
		{accepts_for_ever, k->l, "accept"}, {dials_for_ever, k->full_at, "dial"},
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		weft_task *t = start(kinds[i].fn, kinds[i].arg);

		until_reason(t, kinds[i].reason);
		weft_task_detach(t);
	}
	return 0;
}

static void leave_behind(struct left_behind *k)
{
	memset(k, 0, sizeof *k);
	T_EQ(weft_run(make_left_main, k, &(weft_opts){.workers = tap_workers()}), 0);
	T_EQ(weft_run(leaves_main, k, &(weft_opts){.workers = tap_workers()}), 0);
	nothing_left();
}

static int take_over_main(void *arg)
{
	struct left_behind *k = arg;
	char x[4];
	weft_tcp *c, *s;

	T_EQ(write(number_of(k->b), "abc", 3), 3);
	T_EQ(weft_tcp_read_until(k->a, x, sizeof x, weft_in(5 * WEFT_SEC)), 3);
	while (!holds(number_of(k->a), POLLOUT))
		drain(k->b);
	T_EQ(weft_tcp_write_until(k->a, x, 1, NULL, weft_in(5 * WEFT_SEC)), 1);
	c = dial_to(k->at);
	T_EQ(weft_tcp_accept_until(k->l, &s, weft_in(5 * WEFT_SEC)), 0);
	talk(c, s);
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(weft_tcp_close(s), 0);
	return 0;
}

/* Tasks that read, write and accept, or wait for their turn to, when the runtime goes down do not keep others from it in the next. */
TEST_WORKERS(left_in_the_middle)
{
	struct left_behind k;

	ends_with_main();
	leave_behind(&k);
	T_EQ(weft_run(take_over_main, &k, &(weft_opts){.workers = tap_workers()}), 0);
	_exit(0);
}

/* ... and nothing of theirs is left when the handles are closed. */
TEST_WORKERS(left_in_the_middle_leaves_nothing)
{
	size_t records = weft__fd_count();
	struct left_behind k;
	int fds;

	ends_with_main();
	warm_up();
	fds = rt_fds();
	leave_behind(&k);
	T_EQ(weft_tcp_close(k.a), 0);
	T_EQ(weft_tcp_close(k.b), 0);
	T_EQ(weft_tcp_listener_close(k.l), 0);
	T_EQ(weft_tcp_listener_close(k.full), 0);
	for (int i = 0; i < k.n; i++)
		close(k.raw[i]);
	tap_note("%d descriptors, %d before; %zu records, %zu before", rt_fds(), fds, weft__fd_count(), records);
	T_EQ(rt_fds(), fds);
	T_EQ(weft__fd_count(), records);
}

struct late_reader {
	weft_tcp *c, *b;
	pthread_t th;
	ATOMIC(int) begun;
	int64_t deadline;
	ssize_t rc;
};

static void *reads_outside(void *arg)
{
	struct late_reader *r = arg;

	store_release(&r->begun, 1);
	r->rc = weft_tcp_read_until(r->c, (char[1]){0}, 1, r->deadline);
	return NULL;
}

static int thread_reads_main(void *arg)
{
	struct late_reader *r = arg;

	pair_make(&r->c, &r->b);
	T_EQ(pthread_create(&r->th, NULL, reads_outside, r), 0);
	until(load_acquire(&r->begun));
	return weft_task_sleep(5 * WEFT_MS); /* likely waiting by now; any order is legal */
}

/* A thread that waits for a connection when the runtime goes down is told that there is none; its deadline, and close, end it, too. */
TEST_WORKERS(threads_wait_when_the_runtime_goes_down)
{
	size_t records = weft__fd_count();

	ends_with_main();
	for (int how = 0; how < 3; how++) {
		struct late_reader r = {.deadline = how == 1 ? weft_in(300 * WEFT_MS) : WEFT_FOREVER};

		T_EQ(weft_run(thread_reads_main, &r, &(weft_opts){.workers = tap_workers()}), 0);
		weft_tcp_ref(r.c);
		if (how == 2)
			T_EQ(weft_tcp_close(r.c), 0);
		pthread_join(r.th, NULL);
		if (how == 0)
			T_EQ(r.rc, WEFT_ESRCH);
		else
			T_OK(r.rc == WEFT_ESRCH || r.rc == (how == 1 ? WEFT_ETIMEDOUT : WEFT_ECLOSED));
		T_EQ(weft_tcp_close(r.c), how == 2 ? WEFT_ECLOSED : 0);
		if (how < 2)
			T_EQ(weft_tcp_close(r.c), WEFT_ECLOSED);
		T_EQ(weft_tcp_close(r.b), 0);
	}
	T_EQ(weft__fd_count(), records);
}
