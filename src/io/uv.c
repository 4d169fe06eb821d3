/* SPDX-License-Identifier: MIT
 *
 * uv.c - requests to libuv, awaited (weft/uv.h).
 *
 * A call lies in its caller's frame, and holds two things that may be posted to a loop: the order to start, and the order to stop.  The caller goes on when the
 * result is there and nothing of the call's is posted any more:
 *
 *	caller  post start; wait .......................... cancelled: post stop; wait, shielded ...
 *	loop    start (not, if it is to stop already) ............ stop (not, if it is done) .... done
 */
#include "base/check.h"
#include "base/clock.h"
#include "core/runtime.h"
#include "weft/uv.h"

struct weft_uv {
	struct loop_op start_op, stop_op;
	struct loop *loop;
	int (*start)(struct uv_loop_s *, weft_uv *, void *);
	void (*stop)(weft_uv *, void *);
	void *arg;
	/* under lock */
	struct list_node link; /* in calls */
	struct list waiters;   /* one at most */
	int posted;            /* orders that the loop has not seen */
	bool to_stop;          /* the order to stop was given */
	bool started;          /* start was called, and returned no error */
	bool quit;             /* start was not called, or stop was, because it was to stop */
	bool done;
	int result;
};

static struct lock lock;  /* RANK_SOURCE */
static struct list calls; /* all that are not over; under lock */

static bool over(const weft_uv *c)
{
	return c->done && !c->posted;
}

/* Wakes who waits, if the call is over, which then is its caller's. Locked. */
static void tell(weft_uv *c)
{
	struct loop *l = c->loop;
	struct list_node *n;

	if (!over(c))
		return;
	list_remove(&c->link);
	weft__loop_expect(l, -1);
	while ((n = list_pop_head(&c->waiters)) != NULL) {
		struct waiter *w = container_of(n, struct waiter, link);

		if (waiter_claim(w, 0, false))
			weft__loop_ready(l, w->task);
	}
}

static void finish(weft_uv *c, int result)
{
	if (c->done)
		weft__fatal("weft_uv_done was called twice for one call");
	c->done = true;
	c->result = result;
}

void weft_uv_done(weft_uv *c, int result)
{
	lock_take_solo(&lock, RANK_SOURCE);
	finish(c, result);
	tell(c);
	lock_drop_solo(&lock);
}

static void on_start(struct loop_op *op, void *uv)
{
	weft_uv *c = container_of(op, weft_uv, start_op);
	bool to_stop;
	int rc;

	lock_take_solo(&lock, RANK_SOURCE);
	to_stop = c->to_stop;
	lock_drop_solo(&lock);
	rc = to_stop ? WEFT_ECANCELED : c->start(uv, c, c->arg);
	lock_take_solo(&lock, RANK_SOURCE); /* c is still here: an order is posted */
	c->posted--;
	c->quit = to_stop;
	c->started = rc >= 0;
	if (rc < 0)
		finish(c, rc);
	tell(c);
	lock_drop_solo(&lock);
}

static void on_stop(struct loop_op *op, void *uv)
{
	weft_uv *c = container_of(op, weft_uv, stop_op);
	bool stop;

	(void)uv;
	lock_take_solo(&lock, RANK_SOURCE);
	stop = c->started && !c->done && c->stop;
	c->quit |= stop;
	lock_drop_solo(&lock);
	if (stop)
		c->stop(c, c->arg);
	lock_take_solo(&lock, RANK_SOURCE); /* as above */
	c->posted--;
	tell(c);
	lock_drop_solo(&lock);
}

/* Gives the order to stop, once. Locked. Returns whether it was given now. */
static bool order_stop(weft_uv *c)
{
	if (c->to_stop || c->done)
		return false;
	c->to_stop = true;
	c->stop_op.run = on_stop;
	c->posted++;
	return true;
}

/* Waits until it is over. Returns 0, WEFT_ECANCELED or WEFT_ETIMEDOUT. */
static int wait_over(weft_uv *c, struct self *me, int64_t deadline, bool shielded)
{
	struct waiter w;
	uint64_t word;

	lock_take_solo(&lock, RANK_SOURCE);
	if (over(c)) {
		lock_drop_solo(&lock);
		return 0;
	}
	word = wait_begin_as(me->task, &w, 1, REASON_UV, deadline, shielded ? WAIT_SHIELDED : WAIT_OPEN);
	waiter_init(&w, me->task, word, &lock, RANK_SOURCE, c, NULL);
	list_push_tail(&c->waiters, &w.link);
	lock_drop_solo(&lock);
	return weft__wait_park(me->worker, me->task, &w, 1, word, deadline);
}

/* Hands an order to the call's loop. own: it is the calling worker's. */
static void post(weft_uv *c, struct loop_op *op, struct worker *w)
{
	bool own = w && w->loop == c->loop;
	struct runtime *rt;

	weft__loop_post(c->loop, op, own);
	rt = own ? NULL : w ? w->rt : weft__rt_enter();
	if (!rt)
		return;
	for (unsigned i = 0, n = rt_seats(rt); i < n; i++) {
		if (rt->workers[i].loop == c->loop)
			weft__sched_notify(rt, i);
	}
	if (!w)
		weft__rt_leave(rt);
}

/* Lists c and hands it to a loop: the caller's, or the first worker's. */
static int begin(weft_uv *c, struct self *me)
{
	struct worker *w = me->worker;
	struct runtime *rt = w ? w->rt : weft__rt_enter();

	if (!rt)
		return WEFT_ESRCH;
	c->loop = w ? w->loop : rt->workers[0].loop;
	c->start_op.run = on_start;
	c->posted = 1;
	list_init(&c->waiters);
	lock_take_solo(&lock, RANK_SOURCE);
	list_push_tail(&calls, &c->link);
	lock_drop_solo(&lock);
	weft__loop_expect(c->loop, 1);
	post(c, &c->start_op, w);
	if (!w)
		weft__rt_leave(rt);
	return 0;
}

/* The caller's time is over: sees to it that the call's is, too. */
static void give_up(weft_uv *c, struct self *me)
{
	struct runtime *rt = me->worker ? me->worker->rt : weft__rt_enter(); /* down: it is ordered there */
	bool ordered;

	lock_take_solo(&lock, RANK_SOURCE);
	ordered = rt && order_stop(c);
	lock_drop_solo(&lock);
	if (ordered)
		post(c, &c->stop_op, me->worker);
	if (!me->worker && rt)
		weft__rt_leave(rt);
}

int weft_uv_await_until(int (*start)(struct uv_loop_s *, weft_uv *, void *), void (*stop)(weft_uv *, void *), void *arg, int64_t deadline)
{
	weft_uv c = {.start = start, .stop = stop, .arg = arg};
	int64_t limit = deadline;
	struct self me;
	int rc = start ? self_enter(&me, &limit) : WEFT_EINVAL;

	if (!rc && deadline == WEFT_NOW)
		rc = WEFT_EAGAIN;
	else if (!rc && limit != WEFT_FOREVER && limit <= clock_now())
		rc = WEFT_ETIMEDOUT;
	if (!rc)
		rc = begin(&c, &me);
	if (rc)
		return rc;
	rc = wait_over(&c, &me, limit, false);
	if (!rc)
		return c.result;
	me.worker = weft__worker();
	give_up(&c, &me);
	while (wait_over(&c, &me, WEFT_FOREVER, true))
		me.worker = weft__worker();
	return c.result < 0 && c.quit ? rc : c.result;
}

int weft_uv_await(int (*start)(struct uv_loop_s *, weft_uv *, void *), void (*stop)(weft_uv *, void *), void *arg)
{
	return weft_uv_await_until(start, stop, arg, WEFT_FOREVER);
}

/* --- the runtime goes down --- */

/* Orders all that are not over to stop. Returns the loop of one of them, of another at each call; NULL: there is none. */
static struct loop *stop_all(struct runtime *rt)
{
	struct loop *l = NULL;
	struct list_node *n, *first = NULL;

	lock_take_solo(&lock, RANK_SOURCE);
	for (n = list_first(&calls); n; n = list_after(&calls, n)) {
		weft_uv *c = container_of(n, weft_uv, link);

		if (weft__loop_runtime(c->loop) != rt)
			continue;
		if (!first)
			first = n;
		if (order_stop(c))
			weft__loop_post(c->loop, &c->stop_op, true);
	}
	if (first) {
		l = container_of(first, weft_uv, link)->loop;
		list_remove(first);
		list_push_tail(&calls, first);
	}
	lock_drop_solo(&lock);
	return l;
}

static void down(struct runtime *rt)
{
	int64_t notice = weft__clock_read() + STOP_NOTICE_NS;
	struct loop *l;

	while ((l = stop_all(rt)) != NULL) {
		weft__loop_run_out(l, 100);
		if (weft__clock_read() < notice)
			continue;
		weft__log("weft_run waits for a request of libuv's that does not end (weft_uv_await)");
		notice = INT64_MAX; /* once */
	}
}

__attribute__((constructor)) static void hand_in(void)
{
	weft__requests_down = down;
}
