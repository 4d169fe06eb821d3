/* SPDX-License-Identifier: MIT
 *
 * loop_uv.c - a worker's loop on any system that libuv knows: a uv_poll handle for each descriptor.
 *
 * libuv is level-triggered, and arming a handle costs two or three system calls, so one that has been armed for reading stays armed:
 *   - an event that somebody waited for leaves it as it is: request after request costs no epoll_ctl;
 *   - the second event in a row that nobody waited for disarms it until somebody waits again (it may be the end of a stream, readable for ever);
 *   - writing is armed only for who waits for it, and disarmed when it fires, for a socket is nearly always writable;
 *   - whenever a handle is started anew, it is for the directions that somebody waits for just then.
 * Only whoever holds the loop calls libuv.  A task that waits for what is not armed, and one that closes, posts the descriptor's watch (struct watch) to the
 * loop; the closer parks until the loop has let go of the descriptor (io/fd.h: LINGER).
 *
 * A busy worker polls again after LOOP_BUSY_NS at the earliest: until the tasks of the last batch have run, the same descriptors are ready again.
 *
 * Waking the owner is a byte in a pipe that only the owner reads: a wake-up through libuv would be taken in by whoever runs the loop, before the owner
 * sleeps.  uv_async_send tells of what was posted; its callback serves that, so that nothing posted later is overlooked.
 *
 * libuv's own timers are milliseconds, so nobody blocks in uv_run: the loop's backend descriptor is polled with ppoll and an exact timeout.  A watcher
 * that was just started, be it only for fewer events, is unknown to the kernel until uv_run: hence the run before each sleep, and again as long as callbacks start some.
 */
#include "core/loop_hold.h"

#include "base/check.h"
#include "base/clock.h"
#include "core/polldesc.h"
#include "core/runtime.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#define STRIKES 2 /* events in a row that nobody waited for, until reading is disarmed */

struct uv_poll_loop {
	struct loop loop; /* the libuv loop and who holds it */
	/* something was posted. Unreferenced, like all handles here, except while the loop runs: uv_run does nothing for one it holds dead */
	uv_async_t call;
	bool again;            /* a watch was started: the kernel has not heard of it before uv_run; by whoever holds the loop */
	uv_file kick[2];       /* a pipe: what it holds wakes the owner */
	struct injectq posted; /* watches that want something */
};

struct watch {
	uv_poll_t handle; /* by whoever holds the loop */
	struct uv_poll_loop *loop;
	struct polldesc *desc;
	uint16_t generation; /* of the descriptor */
	int fd;
	struct inject_node node; /* in loop->posted */
	/* under desc->lock */
	bool posted;
	bool forget, again; /* what is wanted of the loop: to let go; to look at the descriptor anew */
	unsigned wanted;    /* directions somebody waits for that are not armed */
	unsigned armed;     /* directions that are; changed by whoever holds the loop */
	/* by whoever holds the loop */
	bool begun;       /* handle is initialised */
	unsigned strikes; /* events of reading in a row that nobody waited for */
};

void (*weft__loop_forgotten)(struct polldesc *pd, struct ready_list *r);

static struct uv_poll_loop *whole(struct loop *l)
{
	return container_of(l, struct uv_poll_loop, loop);
}

static void on_call(uv_async_t *h);

int weft__loop_make(struct loop **out, struct runtime *rt)
{
	struct uv_poll_loop *l = calloc(1, sizeof *l);
	struct ready_list none;
	int rc;

	*out = NULL;
	if (!l)
		return UV_ENOMEM;
	l->loop.rt = rt;
	rc = uv_loop_init(&l->loop.uv);
	if (rc < 0)
		goto free_loop;
	rc = uv_pipe(l->kick, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE);
	if (rc < 0)
		goto close_loop;
	rc = uv_async_init(&l->loop.uv, &l->call, on_call);
	if (rc < 0)
		goto close_pipe;
	uv_unref((uv_handle_t *)&l->call);
	store_relaxed(&l->loop.due, INT64_MAX); /* not shared yet */
	ready_list_init(&none);
	weft__loop_run(&l->loop, &none); /* hands the call's descriptor to the kernel */
	*out = &l->loop;
	return 0;
close_pipe:
	close(l->kick[0]);
	close(l->kick[1]);
close_loop:
	weft__loop_uv_close(&l->loop.uv);
free_loop:
	free(l);
	return rc;
}

/* --- watches; the loop is held --- */

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

static void on_event(uv_poll_t *h, int status, int events);

/* libuv will not watch it: whoever waits is told. Who waits later tries again. */
static void refuse(struct watch *w, int error)
{
	struct polldesc *pd = w->desc;

	lock_take_solo(&pd->lock, RANK_DESC);
	w->armed = 0;
	for (int d = 0; d < POLL_DIRS; d++)
		poll_claim(pd, (enum poll_dir)d, error, w->loop->loop.ready);
	lock_drop_solo(&pd->lock);
}

/* Directions somebody waits for. pd locked. */
static unsigned waited_for(struct polldesc *pd)
{
	unsigned dirs = 0;

	for (int d = 0; d < POLL_DIRS; d++)
		dirs |= list_empty(&pd->side[d].waiters) ? 0 : 1u << d;
	return dirs;
}

/* Makes the handle wait for w->armed, and for nothing else. libuv ends the process if the descriptor is no longer open when the kernel is told: only what somebody
 * waits for is armed anew, so it is. */
static void arm(struct watch *w)
{
	int events = (w->armed & 1u << POLL_READ ? UV_READABLE : 0) | (w->armed & 1u << POLL_WRITE ? UV_WRITABLE : 0);
	int rc;

	if (!events) {
		CHECK_EQ(uv_poll_stop(&w->handle), 0);
		return;
	}
	rc = fcntl(w->fd, F_GETFD) < 0 ? WEFT_EBADF : uv_poll_start(&w->handle, events, on_event);
	w->loop->again = true;
	if (rc < 0) {
		CHECK_EQ(uv_poll_stop(&w->handle), 0);
		refuse(w, rc);
	}
}

static void on_event(uv_poll_t *h, int status, int events)
{
	struct watch *w = h->data;
	struct polldesc *pd = w->desc;
	unsigned dirs = 0, woken, armed;
	bool changed;

	if (events & UV_READABLE || status < 0)
		dirs |= 1u << POLL_READ;
	if (events & UV_WRITABLE || status < 0)
		dirs |= 1u << POLL_WRITE;
	woken = poll_arrive(pd, w->generation, dirs, status < 0, w->loop->loop.ready);
	if (dirs & 1u << POLL_READ)
		w->strikes = woken & 1u << POLL_READ ? 0 : w->strikes + 1;
	lock_take_solo(&pd->lock, RANK_DESC);
	armed = status < 0 ? 0 : w->armed;                                     /* libuv has stopped it */
	if (w->strikes >= STRIKES && list_empty(&pd->side[POLL_READ].waiters)) /* who comes to wait later finds it disarmed */
		armed &= ~(1u << POLL_READ);
	if (dirs & 1u << POLL_WRITE && list_empty(&pd->side[POLL_WRITE].waiters))
		armed &= ~(1u << POLL_WRITE);
	changed = armed != w->armed;
	if (changed)
		w->armed = (status < 0 ? w->armed : armed) & waited_for(pd);
	lock_drop_solo(&pd->lock);
	if (changed)
		arm(w);
}

static void let_go(struct watch *w)
{
	struct ready_list *r = w->loop->loop.ready;
	struct polldesc *pd = w->desc;

	add_relaxed(&w->loop->loop.watched, (uint32_t)-1); /* a hint */
	if (w->begun) {
		CHECK_EQ(uv_poll_stop(&w->handle), 0); /* from here on the descriptor may be closed */
		uv_close((uv_handle_t *)&w->handle, on_closed);
	} else {
		free(w);
	}
	if (pd)
		weft__loop_forgotten(pd, r);
}

static void serve(struct loop *l, struct watch *w)
{
	struct polldesc *pd = w->desc;
	bool forget, again;
	int rc;

	lock_take_solo(&pd->lock, RANK_DESC);
	w->posted = false;
	forget = w->forget;
	again = w->again;
	w->again = false;
	w->armed = (w->armed | w->wanted) & waited_for(pd);
	w->wanted = 0;
	lock_drop_solo(&pd->lock);
	if (forget) {
		let_go(w);
		return;
	}
	if (!w->begun) {
		rc = uv_poll_init(&l->uv, &w->handle, w->fd);
		if (rc < 0) {
			refuse(w, rc);
			return;
		}
		w->begun = true;
		w->handle.data = w;
		uv_unref((uv_handle_t *)&w->handle);
	}
	if (again)
		CHECK_EQ(uv_poll_stop(&w->handle), 0);
	w->strikes = 0;
	arm(w);
}

static void serve_posted(struct loop *l)
{
	struct inject_node *n;

	while ((n = injectq_pop(&whole(l)->posted)) != NULL)
		serve(l, container_of(n, struct watch, node));
	weft__loop_ops(l);
}

static void on_call(uv_async_t *h)
{
	serve_posted(&container_of(h, struct uv_poll_loop, call)->loop);
}

void weft__loop_run(struct loop *l, struct ready_list *r)
{
	struct uv_poll_loop *p = whole(l);

	do {
		if (!loop_take(l, r))
			return;
		serve_posted(l);
		uv_ref((uv_handle_t *)&p->call);
		do {
			p->again = false;
			uv_run(&l->uv, UV_RUN_NOWAIT);
		} while (p->again);
		uv_unref((uv_handle_t *)&p->call);
		loop_drop(l);
	} while (injectq_len(&p->posted) || injectq_len(&l->ops));
}

int weft__loop_blocks(struct loop *l)
{
	return weft__loop_active(l) ? uv_backend_timeout(&l->uv) : -1; /* what is unreferenced runs, too */
}

static void close_handle(uv_handle_t *h, void *arg)
{
	struct uv_poll_loop *p = arg;

	if (uv_is_closing(h))
		return;
	uv_close(h, h == (uv_handle_t *)&p->call ? NULL : on_closed);
}

void weft__loop_free(struct loop *l)
{
	struct uv_poll_loop *p;
	struct ready_list none;
	struct inject_node *n;

	if (!l)
		return;
	p = whole(l);
	ready_list_init(&none);
	l->ready = &none;
	while ((n = injectq_pop(&p->posted)) != NULL) {
		struct watch *w = container_of(n, struct watch, node);

		if (!w->forget)
			w->desc = NULL; /* nobody waits for an answer */
		if (w->forget || !w->begun)
			let_go(w);
	}
	weft__ready_list(NULL, none.first); /* foreign threads that close */
	weft__loop_none_open(l);
	uv_walk(&l->uv, close_handle, p);
	uv_ref((uv_handle_t *)&p->call);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	weft__loop_uv_close(&l->uv);
	close(p->kick[0]);
	close(p->kick[1]);
	free(p);
}

/* --- poll and sleep --- */

struct inject_node *weft__loop_poll(struct loop *l, enum loop_caller who, bool *flag)
{
	struct ready_list r;

	*flag = false;
	if (who == LOOP_GUEST) /* descriptors are libuv's here */
		return NULL;
	if (who == LOOP_TASK) {
		*flag = true;
		return NULL;
	}
	ready_list_init(&r);
	weft__loop_run(l, &r);
	return r.first;
}

struct inject_node *weft__loop_sleep(struct loop *l, int64_t deadline, struct loop *const *wards, unsigned n)
{
	struct pollfd pfd[2 + LOOP_WARDS_MAX];
	struct uv_poll_loop *p = whole(l);
	const struct timespec *timeout;
	struct timespec ts;
	struct ready_list r;
	char bytes[64];
	int rc;

	ready_list_init(&r);
	weft__loop_run(l, &r);
	if (r.first)
		return r.first;
	timeout = weft__loop_timeout(l, wards, n, deadline, &ts);
	pfd[0] = (struct pollfd){.fd = p->kick[0], .events = POLLIN};
	pfd[1] = (struct pollfd){.fd = uv_backend_fd(&l->uv), .events = POLLIN};
	for (unsigned i = 0; i < n; i++)
		pfd[2 + i] = (struct pollfd){.fd = uv_backend_fd(&wards[i]->uv), .events = POLLIN};
	rc = ppoll(pfd, 2 + n, timeout, NULL);
	if (rc < 0)
		CHECK_EQ(errno, EINTR);
	while (rc > 0 && pfd[0].revents && read(p->kick[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes)
		;
	weft__loop_run(l, &r);
	return r.first;
}

void weft__loop_kick(struct loop *l)
{
	int saved = errno;

	(void)!write(whole(l)->kick[1], "", 1); /* a full pipe wakes as well */
	errno = saved;
}

/* --- libuv --- */

void weft__loop_post(struct loop *l, struct loop_op *op, bool own)
{
	injectq_push(&l->ops, &op->node);
	if (!own)
		uv_async_send(&whole(l)->call);
}

/* --- descriptors; pd locked --- */

static void post(struct watch *w, bool own)
{
	if (w->posted)
		return;
	w->posted = true;
	injectq_push(&w->loop->posted, &w->node);
	if (!own)
		uv_async_send(
			&w->loop->call); /* its worker sleeps, or looks when it next polls; whoever listens in its place hears it, too */
}

int weft__loop_want(struct loop *l, struct polldesc *pd, int fd, unsigned dir, bool own)
{
	struct watch *w;

	if (!pd->home) {
		w = calloc(1, sizeof *w);
		if (!w)
			return WEFT_ENOMEM;
		w->loop = whole(l);
		w->desc = pd;
		w->generation = pd->generation;
		w->fd = fd;
		add_relaxed(&l->watched, 1u); /* a hint */
		pd->watch = w;
		pd->home = l;
	}
	w = pd->watch;
	if (w->armed & 1u << dir)
		return 0;
	w->wanted |= 1u << dir;
	post(w, own && w->loop == whole(l));
	return 0;
}

int weft__loop_again(struct polldesc *pd, int fd)
{
	struct watch *w = pd->watch;

	(void)fd;
	w->again = true;
	w->wanted |= w->armed;
	w->armed = 0;
	post(w, false);
	return 0;
}

bool weft__loop_forget(struct polldesc *pd, int fd)
{
	struct watch *w = pd->watch;

	(void)fd;
	w->forget = true;
	pd->watch = NULL;
	pd->home = NULL;
	post(w, false);
	return false;
}

void weft__loop_quit(struct polldesc *pd)
{
	struct watch *w = pd->watch;

	if (w->begun)
		CHECK_EQ(uv_poll_stop(&w->handle), 0); /* from here on others may watch the descriptor, or close it */
	w->desc = NULL;
	w->forget = true;
	pd->watch = NULL;
	pd->home = NULL;
	post(w, true);
}

void weft__loop_clear(struct loop *l, struct ready_list *r)
{
	struct inject_node *n;

	CHECK(loop_take(l, r));
	while ((n = injectq_pop(&whole(l)->posted)) != NULL) {
		struct watch *w = container_of(n, struct watch, node);
		bool forget = true;

		if (w->desc) {
			lock_take_solo(&w->desc->lock, RANK_DESC);
			w->posted = false;
			forget = w->forget;
			lock_drop_solo(&w->desc->lock);
		}
		if (forget) /* else it is a foreign thread's, which comes too late */
			let_go(w);
	}
	loop_drop(l);
}
