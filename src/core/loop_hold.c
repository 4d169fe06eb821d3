/* SPDX-License-Identifier: MIT
 *
 * loop_hold.c - what both kinds of loop do with the libuv loop inside (loop_hold.h).
 */
#include "core/loop_hold.h"

#include "base/check.h"
#include "base/sanitizer.h"
#include "core/runtime.h"
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

struct runtime *weft__loop_runtime(const struct loop *l)
{
	return l->rt;
}

void weft__loop_ops(struct loop *l)
{
	struct inject_node *n;

	while ((n = injectq_pop(&l->ops)) != NULL) {
		struct loop_op *op = container_of(n, struct loop_op, node);

		op->run(op, &l->uv);
	}
}

/* The deadline, or libuv's next timer. */
static int64_t sooner(struct loop *l, int64_t deadline)
{
	int64_t due = load_relaxed(&l->due); /* see loop_drop */

	return due < deadline ? due : deadline;
}

const struct timespec *weft__loop_timeout(struct loop *l, struct loop *const *wards, unsigned n, int64_t deadline, struct timespec *ts)
{
	int64_t ns;

	deadline = sooner(l, deadline);
	for (unsigned i = 0; i < n; i++)
		deadline = sooner(wards[i], deadline);
	if (deadline == INT64_MAX || load_relaxed(&weft__clock_fake) != CLOCK_REAL) /* tests' own; see clock.h */
		return NULL;
	ns = deadline - clock_now();
	if (ns < 0)
		ns = 0;
	ts->tv_sec = ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return ts;
}

static void is_closed(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (uv_has_ref(h) && !uv_is_closing(h))
		weft__fatal("a libuv handle (%s) was left open on a loop of weft's (weft_uv_await)",
			    uv_handle_type_name(uv_handle_get_type(h)));
}

void weft__loop_none_open(struct loop *l)
{
	uv_walk(&l->uv, is_closed, NULL);
}

bool weft__loop_watches(struct loop *l)
{
	return load_relaxed(&l->watched) != 0; /* a hint */
}

bool weft__loop_active(struct loop *l)
{
	return uv_loop_alive(&l->uv) != 0;
}

void weft__loop_expect(struct loop *l, int more)
{
	add_relaxed(&l->watched, (uint32_t)more); /* a hint */
}

void weft__loop_leave(struct loop *l, bool leaves)
{
	store_relaxed(&l->leaves, leaves); /* a hint */
}

void weft__loop_ready(struct loop *l, struct weft_task *t)
{
	if (!l->ready)
		weft__fatal("weft_uv_done was called off its loop");
	ready_list_add(l->ready, t);
}

void weft__loop_run_out(struct loop *l, int ms)
{
	struct pollfd pfd = {.fd = uv_backend_fd(&l->uv), .events = POLLIN};
	struct ready_list r;
	int due;

	ready_list_init(&r);
	weft__loop_run(l, &r);
	due = weft__loop_blocks(l);
	(void)poll(&pfd, 1, due >= 0 && due < ms ? due : ms);
	weft__loop_run(l, &r);
	weft__ready_list(NULL, r.first); /* foreign threads; tasks find the runtime gone */
}

/*
 * libuv closes descriptors by bare system calls, which TSan does not see: whichever thread is given such a number next races, it would say, with the one that made or used the last descriptor of that number.
 * dup3 closes them where it looks, and it forgets what it knew; of what takes their place it shall know nothing.
 */
static void close_where_tsan_looks(const uv_loop_t *uv)
{
	const int fds[] = {uv->backend_fd, uv->async_io_watcher.fd, uv->signal_pipefd[0], uv->signal_pipefd[1]};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null >= 0 && weft__san_ignore_begin()) {
		for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
			if (fds[i] >= 0)
				(void)dup3(null, fds[i], O_CLOEXEC);
		weft__san_ignore_end();
	}
	if (null >= 0)
		close(null);
}

void weft__loop_uv_close(uv_loop_t *uv)
{
	if (unlikely(weft__san & SAN_TSAN))
		close_where_tsan_looks(uv);
	CHECK_EQ(uv_loop_close(uv), 0);
}
