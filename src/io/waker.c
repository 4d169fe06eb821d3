/* SPDX-License-Identifier: MIT
 *
 * waker.c - wakers: an eventfd, which whoever waits reads.
 *
 * A signal handler may have interrupted anything, a small lock's owner and an elided section among them: it can claim nobody's wait. The kernel's counter is
 * the one place that it may touch, and the loops hear of it as of any descriptor.
 */
#include "weft/waker.h"

#include "base/ref.h"
#include "core/runtime.h"
#include "io/sigcatch.h"
#include "weft/net.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct weft_waker {
	int fd; /* constant */
	ATOMIC(uint32_t) refs;
	ATOMIC(uint32_t) holds; /* on memory and descriptor: one of all refs together, and one of each that waits */
	ATOMIC(bool) closed;    /* no reference is left */
};

int weft__waker_renew(weft_waker *w)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = dup3(fd, w->fd, O_CLOEXEC) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

int weft_waker_make(weft_waker **out)
{
	weft_waker *w;
	int rc;

	if (!out)
		return WEFT_EINVAL;
	*out = NULL;
	w = malloc(sizeof *w);
	if (!w)
		return WEFT_ENOMEM;
	w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->fd < 0) {
		rc = -errno;
		free(w);
		return rc;
	}
	store_relaxed(&w->refs, 1u);      /* not shared yet */
	store_relaxed(&w->holds, 1u);     /* the same */
	store_relaxed(&w->closed, false); /* the same */
	*out = w;
	return 0;
}

weft_waker *weft_waker_ref(weft_waker *w)
{
	add_relaxed(&w->refs, 1u); /* the caller's own reference keeps it */
	return w;
}

static void let_go(weft_waker *w)
{
	if (!ref_drop(&w->holds))
		return;
	(void)weft_io_forget(w->fd);
	close(w->fd);
	free(w);
}

void weft_waker_free(weft_waker *w)
{
	if (!w || !ref_drop(&w->refs))
		return;
	store_release(&w->closed, true); /* pairs with load_acquire in weft_waker_wait_until */
	weft_waker_wake(w);              /* who is about to wait finds it readable */
	(void)weft_io_forget(w->fd);     /* who waits is told */
	let_go(w);
}

void weft_waker_wake(weft_waker *w)
{
	const uint64_t one = 1;
	int saved = errno;

	if (!w)
		return;
	san_release(w);
	if (write(w->fd, &one, sizeof one) < 0)
		errno = saved; /* the counter is full: it is woken */
}

/* Uses the wake-up up, if there is one. */
static bool taken(weft_waker *w)
{
	uint64_t n;
	bool woken = read(w->fd, &n, sizeof n) == sizeof n;

	if (woken)
		san_acquire(w);
	return woken;
}

int weft_waker_wait_until(weft_waker *w, int64_t deadline)
{
	int64_t limit = deadline;
	struct self me;
	int rc;

	if (!w)
		return WEFT_EINVAL;
	rc = self_enter(&me, &limit);
	add_relaxed(&w->holds, 1u); /* the caller's reference keeps it so far */
	while (!rc) {
		if (load_acquire(&w->closed)) /* pairs with store_release in weft_waker_free */
			rc = WEFT_ECLOSED;
		else if (taken(w))
			break;
		else if (deadline == WEFT_NOW)
			rc = WEFT_EAGAIN;
		else
			rc = weft_io_wait_until(w->fd, WEFT_IO_R, deadline);
		if (rc > 0)
			rc = 0;
	}
	let_go(w);
	return rc;
}

int weft_waker_wait(weft_waker *w)
{
	return weft_waker_wait_until(w, WEFT_FOREVER);
}

int weft_waker_fd(weft_waker *w)
{
	return w->fd;
}
