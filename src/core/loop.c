/* SPDX-License-Identifier: MIT
 *
 * loop.c - runs one libuv loop, and blocks in it with nanosecond deadlines.
 *
 * libuv's own timers are milliseconds, so the worker does not block inside uv_run: it polls the loop's backend descriptor with ppoll and an exact
 * timeout, and runs the loop without blocking when that is readable or one of the loop's own timers is due.  A watcher that was just started is
 * pushed to the kernel only by uv_run, hence the run before each sleep while handles are active.
 *
 * (Rejected: epoll_pwait2 on the backend descriptor: as exact, but Linux 5.11 and later only, and absent under emulation. A futex to sleep on while no
 * handle is active: two ways to wake one worker.)
 */
#include "core/loop.h"

#include "base/check.h"
#include "base/clock.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <uv.h>

struct loop {
	uv_loop_t uv;
	uv_async_t
		kick; /* unreferenced, so that it does not count as active, except while the loop runs: uv_run does nothing for a loop it holds dead */
};

static void on_kick(uv_async_t *h)
{
	(void)h; /* waking up was all */
}

int weft__loop_make(struct loop **out)
{
	struct loop *l = calloc(1, sizeof *l);
	int rc;

	*out = NULL;
	if (!l)
		return UV_ENOMEM;
	rc = uv_loop_init(&l->uv);
	if (rc < 0)
		goto free_loop;
	rc = uv_async_init(&l->uv, &l->kick, on_kick);
	if (rc < 0)
		goto close_loop;
	uv_unref((uv_handle_t *)&l->kick);
	weft__loop_poll(l); /* hands the wake-up's descriptor to the kernel */
	*out = l;
	return 0;
close_loop:
	CHECK_EQ(uv_loop_close(&l->uv), 0);
free_loop:
	free(l);
	return rc;
}

void weft__loop_free(struct loop *l)
{
	if (!l)
		return;
	uv_ref((uv_handle_t *)&l->kick);
	uv_close((uv_handle_t *)&l->kick, NULL);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	CHECK_EQ(uv_loop_close(&l->uv), 0);
	free(l);
}

void weft__loop_poll(struct loop *l)
{
	uv_ref((uv_handle_t *)&l->kick);
	uv_run(&l->uv, UV_RUN_NOWAIT);
	uv_unref((uv_handle_t *)&l->kick);
}

bool weft__loop_active(struct loop *l)
{
	return uv_loop_alive(&l->uv) != 0;
}

void weft__loop_sleep(struct loop *l, int64_t deadline)
{
	struct pollfd pfd = {.fd = uv_backend_fd(&l->uv), .events = POLLIN};
	struct timespec ts, *timeout = NULL;
	bool active = weft__loop_active(l);
	int rc;

	if (active) {
		int ms;

		weft__loop_poll(l);
		ms = uv_backend_timeout(&l->uv);
		if (ms >= 0) {
			int64_t due = clock_add(clock_now(), ms * INT64_C(1000000));

			deadline = due < deadline ? due : deadline;
		}
	}
	if (deadline != INT64_MAX && load_relaxed(&weft__clock_fake) == CLOCK_REAL) {
		int64_t ns = deadline - clock_now();

		if (ns < 0)
			ns = 0;
		ts.tv_sec = ns / 1000000000;
		ts.tv_nsec = ns % 1000000000;
		timeout = &ts;
	}
	rc = ppoll(&pfd, 1, timeout, NULL);
	if (rc < 0)
		CHECK_EQ(errno, EINTR);
	if (rc > 0 || active)
		weft__loop_poll(l);
}

void weft__loop_kick(struct loop *l)
{
	uv_async_send(&l->kick);
}
