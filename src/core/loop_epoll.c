/* SPDX-License-Identifier: MIT
 *
 * loop_epoll.c - a worker's loop on Linux: one edge-triggered epoll set, with the libuv loop inside.
 *
 * A descriptor is put into the set of the worker that first waited for it, once, for both directions and hang-ups; it stays there until it is closed, so
 * waiting needs no system call; or until its tasks have waited on other workers several times in a row, which would have its first one woken for each of its events:
 * then it moves. An entry holds the record's address and the generation of its descriptor (drawn below).  Adding and removing need no lock, from
 * any thread.  Two threads may ask one set for events: each event goes to one of them.
 *
 *    63       48 47                      6 5   0
 *   +-----------+-------------------------+-----+
 *   | generation|  address of a polldesc  | tag |
 *   +-----------+-------------------------+-----+
 *
 * Waking up is a write to an eventfd, edge-triggered: it is never read.  Another worker that polls the set may take that event from the sleeping owner, and
 * says so.  libuv's own descriptor is watched level-triggered: when it is ready, or one of the
 * loop's own timers is due, the loop runs without blocking. A watcher that was just started is pushed to the kernel only by uv_run, hence the run before
 * each sleep while handles are active.
 *
 * epoll_pwait2 (Linux 5.11) sleeps with nanoseconds; where it is missing, ppoll on the set's descriptor does, at one system call more.
 * (Rejected: libuv's timers, which are milliseconds. A uv_poll on the set inside libuv's loop: two system calls more a wake-up.)
 */
#include "core/loop_hold.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/sanitizer.h"
#include "core/polldesc.h"
#include "core/runtime.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>

#define TAG_DESC 0u
#define TAG_KICK 1u
#define TAG_UV 2u
#define TAG_MASK 63u
#define ADDRESS_BITS 48

struct epoll_loop {
	struct loop loop;    /* the libuv loop and who holds it */
	int set;             /* epoll */
	int kick;            /* eventfd */
	ATOMIC(bool) uv_due; /* its descriptor was ready; whoever polls, a hint */
};

static struct epoll_loop *whole(struct loop *l)
{
	return container_of(l, struct epoll_loop, loop);
}

void (*weft__loop_forgotten)(struct polldesc *pd, struct ready_list *r); /* never needed here */

static ATOMIC(bool) no_pwait2; /* the kernel said so; relaxed: all find the same */

static int add(struct epoll_loop *l, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};

	return epoll_ctl(l->set, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

int weft__loop_make(struct loop **out, struct runtime *rt)
{
	struct epoll_loop *l = calloc(1, sizeof *l);
	int rc;

	*out = NULL;
	if (!l)
		return WEFT_ENOMEM;
	l->loop.rt = rt;
	rc = uv_loop_init(&l->loop.uv);
	if (rc < 0)
		goto free_loop;
	l->set = epoll_create1(EPOLL_CLOEXEC);
	if (l->set < 0) {
		rc = -errno;
		goto close_uv;
	}
	l->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->kick < 0) {
		rc = -errno;
		goto close_set;
	}
	store_relaxed(&l->loop.due, INT64_MAX); /* not shared yet */
	rc = add(l, l->kick, EPOLLIN | EPOLLET, TAG_KICK);
	if (rc == 0)
		rc = add(l, uv_backend_fd(&l->loop.uv), EPOLLIN, TAG_UV);
	if (rc < 0)
		goto close_kick;
	*out = &l->loop;
	return 0;
close_kick:
	close(l->kick);
close_set:
	close(l->set);
close_uv:
	weft__loop_uv_close(&l->loop.uv);
free_loop:
	free(l);
	return rc;
}

void weft__loop_free(struct loop *l)
{
	struct epoll_loop *e;

	if (!l)
		return;
	e = whole(l);
	weft__loop_none_open(l);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	weft__loop_uv_close(&l->uv);
	close(e->kick);
	close(e->set);
	free(e);
}

/* --- events --- */

/* Returns whether a kick was among them. */
static bool deliver(struct epoll_loop *l, const struct epoll_event *ev, int n, struct ready_list *r)
{
	bool kicked = false;

	for (int i = 0; i < n; i++) {
		uint64_t data = ev[i].data.u64;
		uint32_t e = ev[i].events;
		unsigned dirs = 0;
		bool hung_up = e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI);

		switch (data & TAG_MASK) {
		case TAG_DESC:
			if (e & (EPOLLIN | EPOLLPRI) || hung_up)
				dirs |= 1u << POLL_READ;
			if (e & (EPOLLOUT | EPOLLHUP | EPOLLERR))
				dirs |= 1u << POLL_WRITE;
			poll_arrive((struct polldesc *)(uintptr_t)(data << 16 >> 16), (uint16_t)(data >> ADDRESS_BITS), dirs, hung_up, r);
			break;
		case TAG_UV:
			store_relaxed(&l->uv_due, true); /* a hint */
			break;
		default: /* TAG_KICK */
			kicked = true;
			break;
		}
	}
	return kicked;
}

void weft__loop_run(struct loop *l, struct ready_list *r)
{
	do {
		if (!loop_take(l, r))
			return;
		store_relaxed(&whole(l)->uv_due, false); /* a hint */
		weft__loop_ops(l);
		uv_run(&l->uv, UV_RUN_NOWAIT);
		loop_drop(l);
	} while (injectq_len(&l->ops));
}

int weft__loop_blocks(struct loop *l)
{
	return uv_backend_timeout(&l->uv);
}

struct inject_node *weft__loop_poll(struct loop *l, enum loop_caller who, bool *flag)
{
	struct epoll_loop *e = whole(l);
	struct epoll_event ev[LOOP_EVENTS];
	struct ready_list r;
	bool kicked = false, uv;
	int n;

	ready_list_init(&r);
	n = epoll_wait(e->set, ev, LOOP_EVENTS, 0);
	if (n > 0)
		kicked = deliver(e, ev, n, &r);
	if (who == LOOP_GUEST) { /* libuv's descriptor is level-triggered: the owner hears of it, too */
		*flag = kicked;
		return r.first;
	}
	uv = load_relaxed(&e->uv_due) || injectq_len(&l->ops) || uv_loop_alive(&l->uv); /* a hint */
	if (uv && who != LOOP_TASK)
		weft__loop_run(l, &r);
	*flag = who == LOOP_TASK ? uv : kicked;
	return r.first;
}

/* --- sleep --- */

/* Blocks in the set. timeout: NULL: for ever. Returns the number of events. */
static int wait_set(struct epoll_loop *l, struct epoll_event *ev, const struct timespec *timeout)
{
	struct pollfd pfd = {.fd = l->set, .events = POLLIN};
	int n;

	if (!timeout)
		return epoll_wait(l->set, ev, LOOP_EVENTS, -1);
	if (timeout->tv_sec == 0 && timeout->tv_nsec == 0)
		return epoll_wait(l->set, ev, LOOP_EVENTS, 0);
	if (!load_relaxed(&no_pwait2) && !(weft__san & SAN_VALGRIND)) { /* a constant, once known. Valgrind complains of the call */
		n = epoll_pwait2(l->set, ev, LOOP_EVENTS, timeout, NULL);
		if (n >= 0 || errno != ENOSYS)
			return n;
		store_relaxed(&no_pwait2, true); /* as above */
	}
	n = ppoll(&pfd, 1, timeout, NULL);
	return n > 0 ? epoll_wait(l->set, ev, LOOP_EVENTS, 0) : n;
}

/* The same when others' sets count too; what those have is left to be polled. */
static int wait_sets(struct epoll_loop *l, struct loop *const *wards, unsigned n, struct epoll_event *ev, const struct timespec *timeout)
{
	struct pollfd pfd[1 + LOOP_WARDS_MAX];

	pfd[0] = (struct pollfd){.fd = l->set, .events = POLLIN};
	for (unsigned i = 0; i < n; i++)
		pfd[1 + i] = (struct pollfd){.fd = whole(wards[i])->set, .events = POLLIN};
	return ppoll(pfd, 1 + n, timeout, NULL) < 0 ? -1 : epoll_wait(l->set, ev, LOOP_EVENTS, 0);
}

struct inject_node *weft__loop_sleep(struct loop *l, int64_t deadline, struct loop *const *wards, unsigned n)
{
	struct epoll_event ev[LOOP_EVENTS];
	struct epoll_loop *e = whole(l);
	const struct timespec *timeout;
	struct timespec ts;
	bool active = weft__loop_active(l) || injectq_len(&l->ops);
	struct ready_list r;
	int got;

	ready_list_init(&r);
	if (active) {
		weft__loop_run(l, &r);
		if (r.first)
			return r.first;
	}
	timeout = weft__loop_timeout(l, wards, n, deadline, &ts);
	got = n ? wait_sets(e, wards, n, ev, timeout) : wait_set(e, ev, timeout);
	if (got < 0)
		CHECK_EQ(errno, EINTR);
	else
		(void)deliver(e, ev, got, &r);                          /* awake is all it wanted to be */
	if (load_relaxed(&e->uv_due) || active || injectq_len(&l->ops)) /* hints */
		weft__loop_run(l, &r);
	return r.first;
}

void weft__loop_kick(struct loop *l)
{
	int saved = errno;

	/* Fails only when 2^64 - 2 kicks have been counted. */
	CHECK(write(whole(l)->kick, &(uint64_t){1}, sizeof(uint64_t)) == (ssize_t)sizeof(uint64_t));
	errno = saved;
}

/* --- libuv --- */

void weft__loop_post(struct loop *l, struct loop_op *op, bool own)
{
	injectq_push(&l->ops, &op->node);
	if (!own)
		weft__loop_kick(l); /* its worker sleeps, or looks when it next polls; whoever listens in its place hears it, too */
}

/* --- descriptors --- */

/* EPOLLPRI: a read of TCP stops at urgent data, whatever comes behind it. */
#define WATCHED_FOR (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define LOOKED_FOR \
	(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) /* by who asks poll(2) after each event: urgent data would be one every time */

static uint64_t entry(struct polldesc *pd)
{
	return (uint64_t)(uintptr_t)pd | (uint64_t)pd->generation << ADDRESS_BITS;
}

/* From its home to l. In between it is in both sets: what happens is heard, if twice. */
NOINLINE static void move(struct loop *l, struct polldesc *pd, int fd)
{
	struct epoll_event none = {0};

	pd->away = 0;
	if (add(whole(l), fd, pd->looked ? LOOKED_FOR : WATCHED_FOR, entry(pd))) /* heard of where it was, then */
		return;
	epoll_ctl(whole(pd->home)->set, EPOLL_CTL_DEL, fd, &none);
	add_relaxed(&pd->home->watched, (uint32_t)-1); /* hints */
	add_relaxed(&l->watched, 1u);
	pd->home = l;
}

int weft__loop_want(struct loop *l, struct polldesc *pd, int fd, unsigned dir, bool own)
{
	int rc;

	(void)dir;
	if (likely(pd->home != NULL)) {
		if (likely(pd->home == l))
			pd->away = 0;
		else if (own && (++pd->away >= LOOP_MOVE_AFTER || load_relaxed(&pd->home->leaves))) /* a hint */
			move(l, pd, fd);
		return 0;
	}
	rc = add(whole(l), fd, WATCHED_FOR, entry(pd));
	if (rc)
		return rc;
	add_relaxed(&l->watched, 1u); /* a hint */
	pd->home = l;
	pd->away = 0;
	pd->looked = false;
	return 0;
}

int weft__loop_again(struct polldesc *pd, int fd)
{
	struct epoll_loop *l = whole(pd->home);
	struct epoll_event ev = {.events = LOOKED_FOR, .data.u64 = entry(pd)};

	pd->looked = true;
	if (epoll_ctl(l->set, EPOLL_CTL_MOD, fd, &ev) == 0)
		return 0;
	return errno == ENOENT ? add(l, fd, LOOKED_FOR, entry(pd)) : -errno;
}

bool weft__loop_forget(struct polldesc *pd, int fd)
{
	struct loop *l = pd->home;
	struct epoll_event none = {0};

	epoll_ctl(whole(l)->set, EPOLL_CTL_DEL, fd, &none); /* may fail: a descriptor of the user's that was closed is gone from the set */
	add_relaxed(&l->watched, (uint32_t)-1);             /* a hint */
	pd->home = NULL;
	return true;
}

/* What is left in the set is heard by nobody. */
void weft__loop_quit(struct polldesc *pd)
{
	pd->home = NULL;
}

void weft__loop_clear(struct loop *l, struct ready_list *r)
{
	(void)l;
	(void)r;
}
