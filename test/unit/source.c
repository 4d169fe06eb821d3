/* SPDX-License-Identifier: MIT
 *
 * source.c - select over more than channels: ends of tasks, descriptors, timers, and a source of the test's own that does whatever a source may do.
 *
 * Each source: ready before, ready while the select is parked, ready together with others, and not at all until deadline, cancel, context or the end of
 * the runtime; whatever fires, the others are as if nothing had been asked of them.
 */
#include "net.h"

#include "core/source.h"
#include "sync/chan.h"
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

enum { R = WEFT_IO_R, W = WEFT_IO_W };

static void make_pipe(int *p)
{
	T_EQ(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
}

static void put(int fd)
{
	T_EQ(write(fd, "12345678", 8), 8);
}

static bool take(int fd)
{
	char buf[8];

	return read(fd, buf, 8) == 8;
}

/* Forgets it, if it was waited for, and closes it. */
static void drop(int fd)
{
	int rc = weft_io_forget(fd);

	T_OK(rc == 0 || rc == WEFT_ENOENT);
	T_EQ(close(fd), 0);
}

static void drop_both(int *p)
{
	drop(p[0]);
	drop(p[1]);
}

/* --- a source of our own --- */

/* It is ready when `ready` is, and does what the script says. */
struct own {
	struct lock lock; /* RANK_LOT; guards all below */
	struct list waiters;
	int ready;      /* things there are to take */
	int fail_first; /* what the look fails with, while the channels are locked */
	int fail_list;  /* the same of the second look */
	int ready_late; /* the second look finds a thing more */
	int alarms;     /* times that finish finds nothing */
	weft_task *end; /* the second look ends this task, on another worker, before it goes on */
	int listed, finished, fired, looks;
};

static int own_look(struct weft_case *c, struct self *me, struct waiter *w)
{
	struct own *o = c->on;
	int rc;

	(void)me;
	if (w && o->end) {
		weft_task_unpark(o->end);
		while (weft_task_stateof(o->end) != WEFT_TASK_DONE)
			sched_yield(); /* our wait is open: the thread's turn, not the task's */
		o->end = NULL;
	}
	lock_take_solo(&o->lock, RANK_LOT);
	o->looks++;
	if (w && o->ready_late) {
		o->ready_late--;
		o->ready++;
	}
	rc = w ? o->fail_list : o->fail_first;
	if (!rc)
		rc = o->ready > 0 || (!w && o->alarms > 0);
	if (!rc && w) {
		source_list(w, &o->waiters, &o->lock, RANK_LOT, o);
		o->listed++;
	}
	lock_drop_solo(&o->lock);
	return rc;
}

static bool own_finish(struct weft_case *c, struct waiter *w, bool fired)
{
	struct own *o = c->on;
	bool done = false;

	lock_take_solo(&o->lock, RANK_LOT);
	if (w) {
		T_OK(!list_linked(&w->link));
		o->finished++;
	}
	if (fired && o->alarms > 0) {
		o->alarms--;
	} else if (fired && o->ready > 0) {
		o->ready--;
		o->fired++;
		c->status = 5;
		done = true;
	}
	lock_drop_solo(&o->lock);
	return done;
}

static const struct weft_source own_source = {.look = own_look, .finish = own_finish};

#define OWN(o) WEFT_CASE_OF(WEFT_CASE_SOURCE, 0, {.on = (o)}, {.elem = NULL}, {.source = &own_source})

static void own_give(struct own *o, int n)
{
	struct worker *w = weft__worker();
	struct inject_node *claimed;

	lock_take_solo(&o->lock, RANK_LOT);
	o->ready += n;
	claimed = weft__source_claim_all(&o->waiters, 0);
	lock_drop_solo(&o->lock);
	weft__ready_list(w, claimed);
}

static int own_listed(struct own *o)
{
	int n;

	lock_take_solo(&o->lock, RANK_LOT);
	n = o->listed;
	lock_drop_solo(&o->lock);
	return n;
}

/* Somebody waits, or is about to wait, to receive. */
static bool awaited(weft_chan *c)
{
	bool yes;

	lock_take_solo(&c->lock, RANK_CHAN);
	yes = !list_empty(&c->recvq);
	lock_drop_solo(&c->lock);
	return yes;
}

/* Whatever was listed has been finished, and nothing is listed any more. */
static void own_at_rest(struct own *o)
{
	T_OK(list_empty(&o->waiters));
	T_EQ(o->listed, o->finished);
}

struct call {
	weft_case *cases;
	int n;
	unsigned flags;
	int64_t deadline; /* 0: none */
};

static int selects(void *arg)
{
	struct call *c = arg;

	return weft_chan_select_with(c->cases, c->n, c->flags, c->deadline ? c->deadline : WEFT_FOREVER);
}

/* It has left its worker: all its cases are listed. */
static void until_waits(weft_task *t)
{
	until_reason(t, "select");
	until(load_acquire(&t->on_cpu) == 0);
}

#define START(name, ...)                                                         \
	weft_case name##_cases[] = {__VA_ARGS__};                                \
	struct call name##_call = {name##_cases, ARRAY_LEN(name##_cases), 0, 0}; \
	weft_task *name = start(selects, &name##_call);                          \
	until_waits(name)

static int contract_main(void *arg)
{
	struct own o = {.ready = 1}, p = {.ready = 0};
	weft_chan *c = weft_chan_make(sizeof(int), 1);
	weft_case cases[] = {OWN(&o), WEFT_RECV(c, NULL), OWN(&p)};
	int x = 1;

	(void)arg;
	/* ready */
	T_EQ(weft_chan_select(cases, 3), 0);
	T_EQ(cases[0].status, 5);
	T_EQ(o.fired, 1);
	T_EQ(o.looks, 1);
	T_EQ(weft_chan_select_until(cases, 3, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(o.listed + p.listed, 0);
	/* ready by the second look: the third is not even looked at again, or listed before and off again */
	for (int last = 0; last < 2; last++) {
		o.ready_late = 1;
		cases[last ? 2 : 0] = OWN(&o);
		cases[last ? 0 : 2] = OWN(&p);
		T_EQ(weft_chan_select(cases, 3), last ? 2 : 0);
		own_at_rest(&o);
		own_at_rest(&p);
		T_OK(list_empty(&c->recvq));
	}
	T_EQ(o.fired, 3);
	/* the second look is late, and nothing for us: all over again */
	o.ready_late = 1;
	o.alarms = 0;
	cases[0] = OWN(&o);
	cases[2] = OWN(&p);
	/* it fails, at once or when listing: nothing has happened, whatever else is ready */
	T_EQ(weft_chan_trysend(c, &x), 0);
	for (int k = 0; k < 20; k++) {
		o.fail_first = WEFT_EDEADLK;
		T_EQ(weft_chan_select(cases, 3), WEFT_EDEADLK);
		T_EQ(weft_chan_select_with(cases, 3, WEFT_SELECT_ORDERED, WEFT_NOW), WEFT_EDEADLK);
		T_EQ(weft_chan_len(c), 1);
	}
	T_EQ(weft_chan_tryrecv(c, NULL), 0);
	o.fail_first = o.ready_late = 0;
	o.fail_list = WEFT_ENOMEM;
	for (int last = 0; last < 2; last++) {
		cases[last ? 2 : 0] = OWN(&o);
		cases[last ? 0 : 2] = OWN(&p);
		T_EQ(weft_chan_select(cases, 3), WEFT_ENOMEM);
		own_at_rest(&o);
		own_at_rest(&p);
		T_OK(list_empty(&c->recvq));
	}
	o.fail_list = 0;
	/* false alarms: at the look, with and without a default; no case fires that has not happened */
	o.alarms = 3;
	T_EQ(weft_chan_select_until(cases, 3, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(o.alarms, 0);
	o.alarms = 2;
	cases[1] = WEFT_DEFAULT();
	T_EQ(weft_chan_select(cases, 3), 1);
	T_EQ(o.alarms, 0);
	cases[1] = WEFT_AFTER(WEFT_MS);
	o.alarms = 2;
	T_EQ(weft_chan_select(cases, 3), 1);
	T_EQ(weft_chan_select_until(cases, 1, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	own_at_rest(&o);
	own_at_rest(&p);
	weft_chan_free(c);
	return 0;
}

/* What is promised to a source, and by it. */
TEST_WORKERS(contract)
{
	run(contract_main, NULL);
}

static int woken_main(void *arg)
{
	struct own o = {.ready = 0}, p = {.ready = 0};
	weft_chan *c = weft_chan_make(sizeof(int), 0);
	int x = 7, y = 0;

	(void)arg;
	for (int k = 0; k < 50; k++) {
		START(a, OWN(&o), WEFT_RECV(c, &y), OWN(&p));
		T_EQ(own_listed(&p), p.finished + 1);
		switch (k % 4) {
		case 0:
			own_give(&p, 1);
			T_EQ(finish(a), 2);
			T_EQ(a_cases[2].status, 5);
			break;
		case 1:
			T_EQ(weft_chan_send(c, &x), 0);
			T_EQ(finish(a), 1);
			T_EQ(y, 7);
			break;
		case 2: /* an alarm, and then the real thing */
			for (int i = 0; i < 3; i++) {
				int listed = own_listed(&o);

				own_give(&o, 0);
				until(own_listed(&o) == listed + 1);
			}
			own_give(&o, 1);
			T_EQ(finish(a), 0);
			break;
		default: /* an alarm; meanwhile the channel */
			own_give(&o, 0);
			T_EQ(weft_chan_send(c, &x), 0);
			T_EQ(finish(a), 1);
			break;
		}
		own_at_rest(&o);
		own_at_rest(&p);
		T_OK(list_empty(&c->recvq));
	}
	weft_chan_free(c);
	return 0;
}

/* A parked select is woken by the source, and again after each false alarm. */
TEST_WORKERS(woken_and_false_alarms)
{
	run(woken_main, NULL);
}

static int alone_main(void *arg)
{
	struct own o = {.ready = 1};
	weft_case c = OWN(&o);

	(void)arg;
	T_EQ(weft__source_wait(&c, REASON_PARK, WEFT_FOREVER), 5);
	T_EQ(weft__source_wait(&c, REASON_PARK, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft__source_wait(&c, REASON_PARK, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	o.ready_late = 1;
	T_EQ(weft__source_wait(&c, REASON_PARK, WEFT_FOREVER), 5);
	o.alarms = 1;
	o.ready = 1;
	T_EQ(weft__source_wait(&c, REASON_PARK, WEFT_FOREVER), 5);
	o.fail_first = WEFT_EINVAL;
	T_EQ(weft__source_wait(&c, REASON_PARK, WEFT_FOREVER), WEFT_EINVAL);
	o.fail_first = 0;
	o.fail_list = WEFT_ENOMEM;
	T_EQ(weft__source_wait(&c, REASON_PARK, WEFT_FOREVER), WEFT_ENOMEM);
	own_at_rest(&o);
	return 0;
}

/* The blocking call of one source alone. */
TEST_WORKERS(alone)
{
	run(alone_main, NULL);
}

/* --- the ends of tasks --- */

static int returns(void *arg)
{
	return (int)(intptr_t)arg;
}

static int parks(void *arg)
{
	int rc = weft_task_park();

	return rc ? rc : (int)(intptr_t)arg;
}

static int not_a_handle(void *arg)
{
	weft_case c = WEFT_EXIT(arg, NULL);

	return weft_chan_select(&c, 1);
}

static int exit_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 1);
	int ret = -1, x = 1;
	weft_task *t, *u;

	(void)arg;
	/* ended before */
	t = start(returns, (void *)42);
	until_state(t, WEFT_TASK_DONE);
	weft_case cases[] = {WEFT_EXIT(NULL, NULL), WEFT_EXIT(t, &ret), WEFT_RECV(c, &x)};
	T_EQ(weft_chan_select(cases, 3), 1);
	T_EQ(cases[1].status, 0);
	T_EQ(ret, 42);
	/* not wanted */
	t = start(returns, NULL);
	cases[1] = WEFT_EXIT(t, NULL);
	T_EQ(weft_chan_select(cases, 3), 1);
	/* ends meanwhile; with a deadline, and a second one that does not end */
	t = start(parks, (void *)43);
	u = start(parks, (void *)44);
	START(a, WEFT_RECV(c, &x), WEFT_EXIT(u, &x), WEFT_EXIT(t, &ret), WEFT_AFTER(100 * WEFT_SEC));
	weft_task_unpark(t);
	T_EQ(finish(a), 2);
	T_EQ(ret, 43);
	T_EQ(x, 1);
	/* another case, the deadline, a cancel: the handle is still ours */
	START(b, WEFT_EXIT(u, &ret), WEFT_RECV(c, &x));
	x = 9;
	T_EQ(weft_chan_send(c, &x), 0);
	T_EQ(finish(b), 1);
	START(d, WEFT_EXIT(u, &ret), WEFT_RECV(c, &x));
	T_EQ(weft_task_cancel(d), 0);
	T_EQ(finish(d), WEFT_ECANCELED);
	cases[1] = WEFT_EXIT(u, &ret);
	T_EQ(weft_chan_select_until(cases, 3, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_chan_select_until(cases, 3, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(ret, 43);
	weft_task_unpark(u);
	T_EQ(finish(u), 44);
	/* twice in one select: once */
	t = start(parks, (void *)45);
	START(e, WEFT_EXIT(t, &ret), WEFT_EXIT(t, &ret));
	weft_task_unpark(t);
	T_GE(finish(e), 0);
	T_EQ(ret, 45);
	/* cancelled itself: its end is one, too */
	t = start(parks, NULL);
	until_parked(t);
	cases[1] = WEFT_EXIT(t, &ret);
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(weft_chan_select(cases, 3), 1);
	T_EQ(ret, WEFT_ECANCELED);
	/* errors, whatever else is ready */
	T_EQ(weft_chan_send(c, &x), 0);
	cases[1] = WEFT_EXIT(weft_task_self(), &ret);
	T_EQ(weft_chan_select(cases, 3), WEFT_EDEADLK);
	T_EQ(finish(start(not_a_handle, weft_task_self())), WEFT_EINVAL);
	cases[1].source = NULL;
	T_EQ(weft_chan_select(cases, 3), WEFT_EINVAL);
	cases[1] = WEFT_EXIT(NULL, NULL);
	T_EQ(weft_chan_select_with(cases, 3, 2, WEFT_FOREVER), WEFT_EINVAL);
	T_EQ(weft_chan_len(c), 1);
	T_EQ(weft_chan_select(cases, 3), 2);
	T_EQ(weft_chan_select_until(cases, 2, weft_in(WEFT_MS)), WEFT_ETIMEDOUT); /* only NULL tasks */
	weft_chan_free(c);
	return 0;
}

/* A task that ends is joined by the select, and by it alone. */
TEST_WORKERS(end_of_a_task)
{
	run(exit_main, NULL);
}

static int late_main(void *arg)
{
	(void)arg;
	for (int k = 0; k < 10; k++) {
		weft_task *t = start(parks, (void *)46);
		struct own o = {.end = t};
		int ret = -1;
		weft_case cases[] = {OWN(&o), WEFT_EXIT(t, &ret), OWN(&o)};

		until_reason(t, "park");
		until(load_acquire(&t->on_cpu) == 0);
		T_EQ(weft_chan_select(cases, 3), 1);
		T_EQ(ret, 46);
		own_at_rest(&o);
	}
	return 0;
}

/* The task ends between the first look and the second. */
TEST(end_while_others_are_listed)
{
	run(late_main, NULL);
}

static int sends_one(void *arg)
{
	weft_chan *c = arg;
	int x = 3;

	return weft_chan_trysend(c, &x);
}

static int race_main(void *arg)
{
	long rounds = tap_iters(3000);

	(void)arg;
	for (long i = 0; i < rounds; i++) {
		weft_chan *c = weft_chan_make(sizeof(int), 1);
		weft_task *t = start(returns, (void *)7), *s = i % 3 ? start(sends_one, c) : NULL;
		int ret = -1, x = -1, rc;
		weft_case cases[] = {WEFT_RECV(c, &x), WEFT_EXIT(t, &ret), WEFT_AFTER(i % 2 ? 10 * WEFT_US : WEFT_SEC)};

		if (i % 5 == 0)
			weft_task_yield();
		rc = weft_chan_select(cases, 3);
		T_GE(rc, 0);
		T_EQ(ret, rc == 1 ? 7 : -1);
		T_EQ(x, rc == 0 ? 3 : -1);
		if (rc != 1)
			T_EQ(finish(t), 7);
		if (s)
			T_EQ(finish(s), 0);
		T_EQ(weft_chan_len(c), s && rc != 0 ? 1u : 0u);
		weft_chan_free(c);
	}
	return 0;
}

/* A task ends and another sends: one of them is what happened, the other still can. */
TEST_WORKERS(end_against_a_channel)
{
	run(race_main, NULL);
}

/* --- descriptors --- */

static int fd_main(void *arg)
{
	char name[] = "/tmp/weft-source-XXXXXX";
	int p[2], s[2], file = mkstemp(name), closed;
	weft_chan *c = weft_chan_make(sizeof(int), 1);
	size_t records = weft__fd_count();
	weft_case cases[3];

	(void)arg;
	T_GE(file, 0);
	T_EQ(unlink(name), 0);
	make_pipe(p);
	T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
	/* ready before: nothing is kept */
	cases[0] = WEFT_FD(p[0], R);
	cases[1] = WEFT_FD(p[1], W);
	cases[2] = WEFT_RECV(c, NULL);
	T_EQ(weft_chan_select(cases, 3), 1);
	T_EQ(cases[1].status, 0);
	put(p[1]);
	cases[1] = WEFT_DEFAULT();
	T_EQ(weft_chan_select(cases, 3), 0);
	T_OK(take(p[0]));
	T_EQ(weft_chan_select(cases, 3), 1);
	T_EQ(weft__fd_count(), records);
	/* ready meanwhile */
	for (int k = 0; k < 10; k++) {
		START(a, WEFT_RECV(c, NULL), WEFT_FD(p[0], R));
		put(p[1]);
		T_EQ(finish(a), 1);
		T_EQ(a_cases[1].status, 0);
		T_OK(take(p[0]));
	}
	/* something else instead: deadline, time, cancel, a channel */
	cases[0] = WEFT_FD(p[0], R);
	cases[1] = WEFT_RECV(c, NULL);
	T_EQ(weft_chan_select_until(cases, 2, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_chan_select_until(cases, 2, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	cases[2] = WEFT_AFTER(WEFT_MS);
	T_EQ(weft_chan_select(cases, 3), 2);
	START(b, WEFT_RECV(c, NULL), WEFT_FD(p[0], R));
	T_EQ(weft_task_cancel(b), 0);
	T_EQ(finish(b), WEFT_ECANCELED);
	START(d, WEFT_RECV(c, NULL), WEFT_FD(p[0], R));
	T_EQ(weft_chan_send(c, &(int){1}), 0);
	T_EQ(finish(d), 0);
	/* both directions of one descriptor, as two cases */
	cases[0] = WEFT_FD(s[0], R);
	cases[1] = WEFT_FD(s[0], W);
	T_EQ(weft_chan_select(cases, 2), 1);
	while (write(s[0], name, sizeof name) > 0)
		;
	for (int k = 0; k < 2; k++) {
		char buf[4096];
		START(e, WEFT_FD(s[0], R), WEFT_FD(s[0], W));

		if (k == 0) {
			put(s[1]);
			T_EQ(finish(e), 0);
			T_OK(take(s[0]));
		} else {
			while (read(s[1], buf, sizeof buf) > 0)
				;
			T_EQ(finish(e), 1);
		}
	}
	/* what cannot be waited for fires, and says why */
	cases[0] = WEFT_RECV(c, NULL);
	cases[1] = WEFT_FD(-1, R);
	T_EQ(weft_chan_select(cases, 2), 1);
	T_EQ(cases[1].status, WEFT_EBADF);
	closed = eventfd(0, EFD_CLOEXEC);
	T_EQ(close(closed), 0);
	cases[1] = WEFT_FD(closed, W);
	T_EQ(weft_chan_select_until(cases, 2, WEFT_NOW), 1);
	T_EQ(cases[1].status, WEFT_EBADF);
	cases[1] = WEFT_FD(file, R);
	T_EQ(weft_chan_select(cases, 2), 1);
	T_EQ(cases[1].status, WEFT_EPERM);
	for (int events = -1; events < 6; events++) {
		if (events == R || events == W)
			continue;
		cases[1] = WEFT_FD(p[0], events);
		T_EQ(weft_chan_select(cases, 2), WEFT_EINVAL);
	}
	/* forgotten while it is waited for; the descriptor may be used again */
	for (int k = 0; k < 3; k++) {
		START(f, WEFT_RECV(c, NULL), WEFT_FD(p[0], R));
		START(g, WEFT_FD(p[0], R), WEFT_FD(p[0], R));
		T_EQ(weft_io_forget(p[0]), 0);
		T_EQ(finish(f), 1);
		T_EQ(f_cases[1].status, WEFT_ECLOSED);
		T_GE(finish(g), 0);
		T_EQ(weft__fd_count(), records + 1); /* that of s[0] */
	}
	/* its peer goes: an end can be read */
	START(h, WEFT_FD(p[0], R));
	T_EQ(close(p[1]), 0);
	T_EQ(finish(h), 0);
	T_EQ(h_cases[0].status, 0);
	drop(p[0]);
	drop_both(s);
	T_EQ(close(file), 0);
	T_EQ(weft__fd_count(), records); /* nobody holds any: seen here, for the end of the runtime would let go of them */
	weft_chan_free(c);
	return 0;
}

/* A descriptor as a case. */
TEST_WORKERS(descriptor)
{
	run_net(fd_main, NULL);
}

struct readers {
	int fd;
	weft_chan *stop;
	ATOMIC(int) got, empty;
};

static int reads_on(void *arg)
{
	struct readers *r = arg;

	for (;;) {
		weft_case cases[] = {WEFT_FD(r->fd, R), WEFT_RECV(r->stop, NULL)};
		int rc = weft_chan_select(cases, 2);

		T_GE(rc, 0);
		T_EQ(cases[rc].status, rc ? WEFT_ECLOSED : 0);
		if (rc)
			return 0;
		add_relaxed(take(r->fd) ? &r->got : &r->empty, 1);
	}
}

static int readers_main(void *arg)
{
	enum { READERS = 4 };
	struct readers r = {.stop = weft_chan_make(0, 0)};
	long n = tap_iters(500);
	weft_task *t[READERS];
	int p[2];

	(void)arg;
	make_pipe(p);
	r.fd = p[0];
	for (int i = 0; i < READERS; i++) {
		t[i] = start(reads_on, &r);
		until_reason(t[i], "select");
	}
	for (long i = 0; i < n; i++) {
		put(p[1]);
		until(load_relaxed(&r.got) == i + 1);
		if (i < 10) {
			for (int k = 0; k < READERS; k++)
				until_reason(t[k], "select"); /* those for whom there was nothing wait on */
		}
	}
	if (tap_workers() == 1)
		T_EQ(load_relaxed(&r.empty), 0); /* whoever was told had looked, and nobody came between */
	T_EQ(weft_chan_close(r.stop), 0);
	for (int i = 0; i < READERS; i++)
		T_EQ(finish(t[i]), 0);
	weft_chan_free(r.stop);
	drop_both(p);
	T_EQ(weft__fd_count(), 0);
	return 0;
}

/* Several selects on one descriptor: each thing is had by one, and those who find nothing left wait on. */
TEST_WORKERS(several_on_one_descriptor)
{
	run_net(readers_main, NULL);
}

/* --- all together --- */

static int together_main(void *arg)
{
	int seen[4] = {0}, p[2];
	long n = tap_iters(2000);
	weft_chan *c = weft_chan_make(sizeof(int), 1);
	struct own o = {.ready = 0};

	(void)arg;
	make_pipe(p);
	put(p[1]);
	for (long i = 0; i < n; i++) {
		weft_task *t = start(returns, (void *)7);
		int x = 3, ret = -1, rc;
		weft_case cases[] = {WEFT_FD(p[0], R), WEFT_EXIT(t, &ret), WEFT_RECV(c, &x), OWN(&o)};

		until_state(t, WEFT_TASK_DONE);
		T_EQ(weft_chan_trysend(c, &x), 0);
		x = -1;
		o.ready = 1;
		rc = weft_chan_select_with(cases, 4, i % 8 ? 0 : WEFT_SELECT_ORDERED, WEFT_FOREVER);
		T_GE(rc, 0);
		if (i % 8)
			seen[rc]++;
		else
			T_EQ(rc, 0);
		T_EQ(ret, rc == 1 ? 7 : -1);
		T_EQ(x, rc == 2 ? 3 : -1);
		T_EQ(o.ready, rc == 3 ? 0 : 1);
		T_EQ(weft_chan_len(c), rc == 2 ? 0u : 1u);
		if (rc != 1)
			T_EQ(finish(t), 7);
		(void)weft_chan_tryrecv(c, NULL);
	}
	for (int i = 0; i < 4; i++)
		T_GT(seen[i] * 8, n / 8); /* a quarter of seven eighths is expected */
	own_at_rest(&o);
	drop_both(p);
	weft_chan_free(c);
	return 0;
}

/* All ready: exactly one happens, each in its turn; in order the first. */
TEST_WORKERS(all_ready)
{
	run_net(together_main, NULL);
}

enum { WIDE = 100 };

static int wide_main(void *arg)
{
	struct own o[WIDE / 4];
	weft_chan *c[WIDE / 4];
	weft_task *t[WIDE / 4];
	weft_case cases[WIDE];
	int fds[WIDE / 4], x = 1;
	uint64_t eight;

	(void)arg;
	memset(o, 0, sizeof o);
	for (int i = 0; i < WIDE / 4; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		c[i] = weft_chan_make(sizeof(int), 0);
		t[i] = start(parks, NULL);
	}
	for (int n = 4; n <= WIDE; n += 4) {
		for (int win = n - 4; win < n; win++) {
			struct call call = {cases, n, n % 3 == 0, 0};
			int at = win / 4;
			weft_task *s;

			for (int i = 0; i < n; i += 4) {
				cases[i] = WEFT_FD(fds[i / 4], R);
				cases[i + 1] = WEFT_RECV(c[i / 4], &x);
				cases[i + 2] = WEFT_EXIT(t[i / 4], &x);
				cases[i + 3] = OWN(&o[i / 4]);
			}
			s = start(selects, &call);
			until_waits(s);
			switch (win % 4) {
			case 0:
				put(fds[at]);
				break;
			case 1:
				T_EQ(weft_chan_send(c[at], &x), 0);
				break;
			case 2:
				weft_task_unpark(t[at]);
				break;
			default:
				own_give(&o[at], 1);
				break;
			}
			T_EQ(finish(s), win);
			if (win % 4 == 0)
				T_EQ(read(fds[at], &eight, sizeof eight), sizeof eight);
			else if (win % 4 == 2)
				t[at] = start(parks, NULL);
			for (int i = 0; i < WIDE / 4; i++) {
				own_at_rest(&o[i]);
				T_OK(list_empty(&c[i]->recvq));
			}
		}
	}
	for (int i = 0; i < WIDE / 4; i++) {
		drop(fds[i]);
		weft_chan_free(c[i]);
		weft_task_unpark(t[i]);
		T_EQ(finish(t[i]), 0);
	}
	T_EQ(weft__fd_count(), 0);
	return 0;
}

/* Four to a hundred cases of all kinds: whichever is made ready fires, and the others are off their lists. */
TEST_WORKERS(wide)
{
	tap_limit(60);
	run_net(wide_main, NULL);
}

static int ordered_main(void *arg)
{
	weft_chan *c[40];
	weft_case cases[40];

	(void)arg;
	for (int i = 0; i < 40; i++) {
		c[i] = weft_chan_make(sizeof(int), 1);
		cases[i] = WEFT_RECV(c[i], NULL);
	}
	for (int n = 1; n <= 40; n++) {
		for (int i = n - 1; i >= 0; i -= 1 + n % 3)
			T_EQ(weft_chan_send(c[i], &i), 0);
		for (int i = (n - 1) % (1 + n % 3); i < n; i += 1 + n % 3)
			T_EQ(weft_chan_select_with(cases, n, WEFT_SELECT_ORDERED, WEFT_FOREVER), i);
		T_EQ(weft_chan_select_with(cases, n, WEFT_SELECT_ORDERED, WEFT_NOW), WEFT_EAGAIN);
		struct call call = {cases, n, WEFT_SELECT_ORDERED, 0};
		weft_task *t = start(selects, &call);
		until_reason(t, "select");
		T_EQ(weft_chan_send(c[n - 1], &n), 0); /* it had to wait: whichever comes first */
		T_EQ(finish(t), n - 1);
	}
	for (int i = 0; i < 40; i++)
		weft_chan_free(c[i]);
	return 0;
}

/* In order: the first that is ready, not any. */
TEST_WORKERS(ordered)
{
	run(ordered_main, NULL);
}

static int timer_main(void *arg)
{
	weft_timer *t = weft_timer_make(WEFT_MS), *never = weft_timer_make(3600 * WEFT_SEC);
	int64_t at = 0, before = weft_now();
	weft_task *task = start(parks, NULL);
	weft_case cases[] = {WEFT_TIMER(never, NULL), WEFT_EXIT(task, NULL), WEFT_TIMER(t, &at)};

	(void)arg;
	T_EQ(weft_chan_select(cases, 3), 2);
	T_GE(at, before);
	weft_timer_free(t);
	weft_timer_free(never);
	weft_task_unpark(task);
	T_EQ(finish(task), 0);
	return 0;
}

TEST_WORKERS(timers)
{
	run(timer_main, NULL);
}

static int in_context(void *arg)
{
	int *p = arg;
	weft_case cases[] = {WEFT_FD(p[0], R), WEFT_AFTER(100 * WEFT_SEC)};

	return weft_chan_select(cases, 2);
}

static int context_main(void *arg)
{
	weft_ctx *soon = weft_ctx_with_deadline(NULL, weft_in(WEFT_MS)), *cut = weft_ctx_make(NULL);
	weft_task *t;
	int p[2];

	(void)arg;
	make_pipe(p);
	T_EQ(weft_go_opts(&t, in_context, p, &(weft_task_opts){.ctx = soon}), 0);
	T_EQ(finish(t), WEFT_ETIMEDOUT);
	T_EQ(weft_go_opts(&t, in_context, p, &(weft_task_opts){.ctx = cut}), 0);
	until_reason(t, "select");
	T_EQ(weft_ctx_cancel(cut, WEFT_REASON_CANCELED), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(weft_go_opts(&t, in_context, p, &(weft_task_opts){.ctx = cut}), 0); /* before it begins */
	T_EQ(finish(t), WEFT_ECANCELED);
	weft_ctx_free(soon);
	weft_ctx_free(cut);
	drop_both(p);
	T_EQ(weft__fd_count(), 0);
	return 0;
}

TEST_WORKERS(contexts)
{
	run_net(context_main, NULL);
}

/* --- threads that weft did not make --- */

struct outside {
	int fd;
	weft_task *t;
	weft_chan *c;
	int rc, status, ret;
};

static ATOMIC(int) selected;

static void *thread_selects(void *arg)
{
	struct outside *o = arg;
	weft_case cases[] = {WEFT_FD(o->fd, R), WEFT_EXIT(o->t, &o->ret), WEFT_RECV(o->c, NULL)};

	if (o->fd < 0)
		cases[0].kind = WEFT_CASE_NONE;
	o->rc = weft_chan_select(cases, 3);
	o->status = o->rc >= 0 ? cases[o->rc].status : 0;
	store_release(&selected, 1);
	return NULL;
}

static int outside_main(void *arg)
{
	int p[2];

	(void)arg;
	make_pipe(p);
	for (int k = 0; k < 30; k++) {
		weft_task *t = start(parks, (void *)8);
		struct outside o = {p[0], t, weft_chan_make(0, 0), -1, -1, -1};
		pthread_t thread;

		store_relaxed(&selected, 0); /* before there is a thread */
		T_EQ(pthread_create(&thread, NULL, thread_selects, &o), 0);
		if (k % 2)
			until(awaited(o.c));
		if (k % 3 == 0)
			put(p[1]);
		else if (k % 3 == 1)
			weft_task_unpark(t);
		else
			T_EQ(weft_chan_send(o.c, NULL), 0);
		until(load_acquire(&selected));
		T_EQ(pthread_join(thread, NULL), 0);
		T_EQ(o.rc, k % 3);
		T_EQ(o.status, 0);
		T_EQ(o.ret, k % 3 == 1 ? 8 : -1);
		if (k % 3 == 0)
			T_OK(take(p[0]));
		if (k % 3 != 1) {
			weft_task_unpark(t);
			T_EQ(finish(t), 8);
		}
		weft_chan_free(o.c);
	}
	drop_both(p);
	T_EQ(weft__fd_count(), 0);
	return 0;
}

/* A thread outside selects over all of them. */
TEST_WORKERS(thread_outside)
{
	run_net(outside_main, NULL);
}

/* Without a runtime nobody hears of descriptors: a look is all there is. */
TEST(no_runtime)
{
	weft_chan *c = weft_chan_make(0, 1);
	int p[2];

	make_pipe(p);
	weft_case cases[] = {WEFT_RECV(c, NULL), WEFT_FD(p[0], R), WEFT_DEFAULT()};
	T_EQ(weft_chan_select(cases, 3), 2);
	T_EQ(weft_chan_select(cases, 2), 1);
	T_EQ(cases[1].status, WEFT_ESRCH);
	put(p[1]);
	T_EQ(weft_chan_select(cases, 3), 1);
	T_EQ(cases[1].status, 0);
	T_EQ(weft__fd_count(), 1); /* what is kept by number */
	drop_both(p);
	T_EQ(weft__fd_count(), 0);
	weft_chan_free(c);
}

/* --- the end of the runtime --- */

static struct {
	int p[2];
	weft_chan *c;
	weft_task *t;
	struct own o;
} left;

static int left_behind(void *arg)
{
	weft_case cases[40];

	for (int i = 0; i < 40; i += 4) {
		cases[i] = WEFT_FD(left.p[0], R);
		cases[i + 1] = WEFT_EXIT(left.t, NULL);
		cases[i + 2] = WEFT_RECV(left.c, NULL);
		cases[i + 3] = OWN(&left.o);
	}
	(void)weft_chan_select(cases, arg ? 40 : 4);
	return 0;
}

static int leaves_main(void *arg)
{
	(void)arg;
	left.t = start(parks, NULL);
	for (int i = 0; i < 2 + tap_workers(); i++) { /* woken, and not run */
		weft_task *t = start(left_behind, i % 2 ? &left : NULL);

		until_waits(t);
		weft_task_detach(t);
		own_give(&left.o, 0);
	}
	put(left.p[1]);
	return 0;
}

static pthread_t survivor;

static int leaves_a_thread(void *arg)
{
	struct outside *o = arg;

	if (o->fd < 0)
		o->t = start(parks, NULL);
	T_EQ(pthread_create(&survivor, NULL, thread_selects, o), 0);
	until(awaited(o->c));
	return 0;
}

/* Tasks that select when the runtime goes down leave nothing listed, and no descriptor held. */
TEST_WORKERS(end_of_the_runtime)
{
	ends_with_main();
	make_pipe(left.p);
	left.c = weft_chan_make(0, 0);
	tap_leaky(); /* what the tasks have allocated */
	weft_run(leaves_main, NULL, &(weft_opts){.workers = tap_workers()});
	T_OK(list_empty(&left.c->recvq) && list_empty(&left.o.waiters));
	drop_both(left.p);
	T_EQ(weft__fd_count(), 0);
	weft_chan_free(left.c);
}

/* A thread outside that selects is told so by what it waits for. */
TEST_WORKERS(end_of_the_runtime_seen_from_outside)
{
	ends_with_main();
	for (int k = 0; k < 20; k++) {
		struct outside o = {-1, NULL, weft_chan_make(0, 0), -1, 0, -1};
		int p[2];

		make_pipe(p);
		if (k % 2)
			o.fd = p[0];
		T_EQ(weft_run(leaves_a_thread, &o, &(weft_opts){.workers = tap_workers()}), 0);
		T_EQ(pthread_join(survivor, NULL), 0);
		T_EQ(o.rc, k % 2 ? 0 : 1);
		T_EQ(o.status, k % 2 ? WEFT_ESRCH : WEFT_ECANCELED);
		T_EQ(o.ret, -1);
		weft_task_detach(o.t);
		weft_chan_free(o.c);
		drop_both(p);
		T_EQ(weft__fd_count(), 0);
	}
}

/* --- everything at once --- */

struct storm {
	int p[2];
	weft_chan *c;
	struct own o;
	ATOMIC(int) stop;
	ATOMIC(long) fired;
};

static int storm_selects(void *arg)
{
	struct storm *s = arg;

	for (int k = 0; !load_acquire(&s->stop); k++) {
		weft_task *t = start(returns, (void *)7);
		int ret = 0, x, rc;
		weft_case cases[] = {WEFT_RECV(s->c, &x), WEFT_FD(s->p[0], R), OWN(&s->o), WEFT_EXIT(t, &ret),
				     WEFT_AFTER(k % 3 ? 50 * WEFT_US : 0)};

		rc = weft_chan_select(cases + k % 4, 5 - k % 4);
		if (rc == WEFT_ECANCELED) {
			weft_task_detach(t);
			return 1;
		}
		T_GE(rc, 0);
		rc += k % 4;
		if (rc == 1 && cases[1].status == 0)
			(void)take(s->p[0]);
		if (rc == 3)
			T_EQ(ret, 7);
		else
			weft_task_detach(t);
		add_relaxed(&s->fired, 1);
	}
	return 0;
}

static int storm_main(void *arg)
{
	struct storm s = {.c = weft_chan_make(sizeof(int), 0)};
	long n = tap_iters(3000);
	weft_task *t[6];

	(void)arg;
	make_pipe(s.p);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		t[i] = start(storm_selects, &s);
	for (long i = 0; i < n; i++) {
		int x = 1;

		switch (i % 5) {
		case 0:
			(void)weft_chan_trysend(s.c, &x);
			break;
		case 1:
			(void)!write(s.p[1], "12345678", 8);
			break;
		case 2:
			own_give(&s.o, 1);
			break;
		case 3:
			own_give(&s.o, 0);
			break;
		default:
			if (i % 50 == 4)
				(void)weft_io_forget(s.p[0]);
			if (i == n / 2)
				weft_task_cancel(t[0]);
			break;
		}
		weft_task_yield();
	}
	store_release(&s.stop, 1);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		finish(t[i]);
	own_at_rest(&s.o);
	T_OK(list_empty(&s.c->recvq));
	drop_both(s.p);
	T_EQ(weft__fd_count(), 0);
	weft_chan_free(s.c);
	return 0;
}

/* Everything at once, with false alarms, forgets and a cancel: nothing stays listed or held. */
TEST_WORKERS(storm)
{
	tap_limit(60);
	run_net(storm_main, NULL);
}
