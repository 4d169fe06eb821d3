/* SPDX-License-Identifier: MIT
 *
 * dial.c - weft_tcp_dial: a name's addresses, and a race between them (happy eyeballs, RFC 8305).
 *
 * The addresses change families from one to the next. The first is tried; the next when it has failed, or has not been answered for a while; whoever is connected first
 * has won, and the others are closed.
 *
 * An attempt is a descriptor on which connect(2) is under way, no task: the caller waits for all of them at once, as a select waits for several channels. So nothing has to
 * be started, which could fail, nor cancelled, nor waited for; who is cancelled closes what he has; and foreign threads race as well. (Rejected: a child task
 * an attempt. It takes a stack each, a group to own them, and a way to hand the winner over that neither loses nor doubles it.)
 *
 *	begin the first attempt
 *	wait for any of them, for the deadlines, or until it is time for the next attempt
 *	look at those that the system has spoken of: connected: done; failed: close it, and it is time for the next
 *
 * The descriptors are the caller's alone until one is returned, so there are no turns to be taken (io/fd.h); what waits is on each descriptor's list of writers.
 */
#include "io/addr.h"
#include "io/dns.h"
#include "io/tcp.h"

#include "base/clock.h"
#include "core/source.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SELF_TRIES 3
#define DELAY_NS (250 * MS) /* RFC 8305, section 8 */

struct attempt {
	struct fd *f;  /* NULL: not begun, or over */
	uint32_t seen; /* its events before the last look */
	int selves;    /* how often it has reached itself */
};

struct race {
	weft_addr to[DNS_TARGETS];
	struct attempt at[DNS_TARGETS];
	int n;                 /* of them */
	int begun;             /* 0 to begun - 1 have been tried */
	int open;              /* of those: under way */
	int error;             /* of the first that failed; 0: none has */
	struct fd *won;        /* is connected; NULL: none yet */
	const weft_addr *from; /* NULL: any */
	int keepalive;         /* seconds */
};

/* --- one attempt --- */

static bool same_end(const weft_addr *a, const weft_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family || weft_addr_port(a) != weft_addr_port(b))
		return false;
	return a->sa.sa_family == AF_INET ? a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr
					  : IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr);
}

/* What looks at errno is not inlined: compilers keep its address, and a task that parks in between may be on another thread. */
static NOINLINE int connect_to(int fd, const weft_addr *a)
{
	if (connect(fd, &a->sa, weft__addr_len(a)) == 0)
		return 0;
	if (errno == EINPROGRESS || errno == EINTR)
		return WEFT_EAGAIN;
	return errno == EAGAIN ? WEFT_EADDRNOTAVAIL : -errno; /* the latter: no local port is left */
}

/* How the connection under way stands: 0 it stands; WEFT_EAGAIN still under way; else why it failed. */
static NOINLINE int outcome(int fd)
{
	socklen_t n = sizeof(int);
	weft_addr peer;
	int err = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n))
		return -errno;
	if (err)
		return err == EINPROGRESS || err == EALREADY || err == EINTR ? WEFT_EAGAIN : -err;
	n = sizeof peer;
	return getpeername(fd, &peer.sa, &n) == 0 ? 0 : errno == ENOTCONN ? WEFT_EAGAIN : -errno;
}

static NOINLINE int bind_to(int fd, const weft_addr *a)
{
	return bind(fd, &a->sa, weft__addr_len(a)) ? -errno : 0;
}

/* The descriptor's record, connect(2) under way or done. Returns as connect_to, or why there is none. */
static int attempt_open(const struct race *r, const weft_addr *to, struct attempt *at)
{
	int rc = weft__fd_make(&at->f, -1), fd;

	if (rc)
		return rc;
	fd = weft__tcp_socket(to->sa.sa_family, r->keepalive);
	if (fd < 0) {
		weft__fd_unref(at->f);
		at->f = NULL;
		return fd;
	}
	weft__fd_use(at->f, fd);
	if (weft__worker())
		fd_task_does(&at->f->task_dials, true);
	at->seen = poll_events(&at->f->poll, POLL_WRITE);
	rc = r->from ? bind_to(fd, r->from) : 0;
	return rc ? rc : connect_to(fd, to);
}

static void attempt_close(struct race *r, struct attempt *at)
{
	struct fd *f = at->f;

	if (!f)
		return;
	at->f = NULL;
	r->open--;
	fd_task_does(&f->task_dials, false);
	(void)weft__fd_close(f, false);
}

/* rc is what attempt i has come to. False: it has reached itself, as happens when nobody listens and the kernel chooses that very port for this end; it is over, and may
 * be tried again. */
static bool attempt_is(struct race *r, int i, int rc)
{
	struct attempt *at = &r->at[i];
	weft_addr mine;

	if (rc == WEFT_EAGAIN)
		return true;
	if (rc == 0 && weft__tcp_local(at->f, &mine) == 0 && same_end(&mine, &r->to[i])) {
		attempt_close(r, at);
		if (++at->selves < SELF_TRIES)
			return false;
		rc = WEFT_ECONNREFUSED;
	}
	if (rc == 0) {
		r->won = at->f;
	} else {
		attempt_close(r, at);
		r->error = r->error ? r->error : rc;
	}
	return true;
}

static void attempt_begin(struct race *r, int i)
{
	int rc;

	do {
		rc = attempt_open(r, &r->to[i], &r->at[i]);
		r->open += r->at[i].f != NULL;
	} while (!attempt_is(r, i, rc));
}

/* --- all of them --- */

/* Looks at those the system has spoken of. Returns whether one has failed. */
static bool look(struct race *r)
{
	int open = r->open;

	for (int i = 0; i < r->begun && !r->won; i++) {
		struct attempt *at = &r->at[i];
		uint32_t events = at->f ? poll_events(&at->f->poll, POLL_WRITE) : 0;

		if (!at->f || events == at->seen)
			continue;
		at->seen = events; /* before the look */
		if (!attempt_is(r, i, outcome(at->f->fd)))
			attempt_begin(r, i);
	}
	return r->open < open;
}

/* Waits until the system speaks of one. Returns 0: look; WEFT_ETIMEDOUT: also when `until` has passed; WEFT_ECANCELED, and why it cannot be waited for. */
static int wait_for_any(struct race *r, struct self *me, int64_t until)
{
	struct weft_task *t = me->task;
	struct waiter w[DNS_TARGETS];
	int n = r->open, k = 0, rc = 0;
	uint64_t word = wait_begin(t, w, n, REASON_DIAL, until);

	for (int i = 0; i < n; i++)
		source_waiter(&w[i], t, word, 0, (uint16_t)i);
	for (int i = 0; i < r->begun && !rc; i++) {
		struct attempt *at = &r->at[i];

		if (at->f)
			rc = weft__poll_list(&at->f->poll, at->f->fd, POLL_WRITE, at->seen, me->worker, &w[k++]);
	}
	if (rc && wait_claim(&t->wait, word, WAIT_WOKEN)) { /* else somebody else was faster, and wakes us */
		task_set_state(t, WEFT_TASK_RUNNING);
		weft__wait_withdraw(w, n);
		return rc > 0 ? 0 : rc;
	}
	rc = weft__wait_park(me->worker, t, w, n, word, until);
	if (rc)
		return rc;
	rc = t->waiters->status;
	weft__wait_withdraw(w, n);
	return rc;
}

/* Until one has won (0), all have failed, or the call is over. delay: negative: never two at once. */
static int race(struct race *r, int64_t delay, int64_t deadline)
{
	int64_t next = WEFT_NOW, now;
	struct self me;

	for (;;) {
		int64_t limit = deadline;
		bool more = r->begun < r->n;
		int rc = self_enter(&me, &limit);

		if (rc)
			return rc;
		now = clock_now();
		if (limit <= now && deadline != WEFT_NOW)
			return WEFT_ETIMEDOUT;
		if (more && (!r->open || next <= now)) {
			next = delay < 0 ? WEFT_FOREVER : clock_add(now, delay);
			attempt_begin(r, r->begun++);
			if (r->won)
				return 0;
			if (!r->at[r->begun - 1].f)
				next = WEFT_NOW;
			continue;
		}
		if (!r->open)
			return r->error;
		if (deadline == WEFT_NOW)
			return WEFT_EAGAIN;
		rc = wait_for_any(r, &me, more && next < limit ? next : limit);
		if (rc && rc != WEFT_ETIMEDOUT)
			return rc;
		if (look(r) && delay >= 0)
			next = WEFT_NOW;
		if (r->won)
			return 0;
	}
}

/* The families take turns, the first address's first; in each the order stays. */
static void interleave(weft_addr *a, int n)
{
	weft_addr sorted[DNS_TARGETS];
	int family = n ? a[0].sa.sa_family : 0, i = 0, j = 0;

	for (int k = 0; k < n; k++) {
		while (i < n && a[i].sa.sa_family != family)
			i++;
		while (j < n && a[j].sa.sa_family == family)
			j++;
		sorted[k] = a[(k % 2 == 0 && i < n) || j >= n ? i++ : j++];
	}
	memcpy(a, sorted, (size_t)n * sizeof *a);
}

/* What the options say. Returns 0 or an error. */
static int prepare(struct race *r, const weft_dial_opts *o, weft_addr *from, int *family)
{
	int rc;

	*family = o->family;
	r->keepalive = o->keepalive < 0 ? 0 : o->keepalive ? weft__tcp_keepalive_seconds(o->keepalive) : KEEPALIVE_S;
	if (r->keepalive < 0 || (*family && *family != AF_INET && *family != AF_INET6))
		return WEFT_EINVAL;
	if (!o->local)
		return 0;
	rc = weft_addr_parse(from, o->local);
	if (rc)
		return rc;
	if (*family && *family != from->sa.sa_family)
		return WEFT_EINVAL;
	r->from = from;
	*family = from->sa.sa_family;
	return 0;
}

int weft_tcp_dial_opts_until(weft_tcp **out, const char *addr, const weft_dial_opts *o, int64_t deadline)
{
	static const weft_dial_opts none;
	struct race r = {.n = 0};
	int rc, family;
	weft_addr from;

	*out = NULL;
	o = o ? o : &none;
	rc = prepare(&r, o, &from, &family);
	if (rc == 0)
		rc = weft__dns_targets(r.to, addr, family, deadline);
	if (rc < 0)
		return rc;
	r.n = rc;
	interleave(r.to, r.n);
	rc = race(&r, o->delay ? o->delay : DELAY_NS, deadline);
	for (int i = 0; i < r.begun; i++) {
		if (r.at[i].f != r.won)
			attempt_close(&r, &r.at[i]);
	}
	if (rc)
		return rc;
	fd_task_does(&r.won->task_dials, false); /* only now: closing the others may have parked */
	*out = (weft_tcp *)r.won;
	return 0;
}

int weft_tcp_dial_opts(weft_tcp **out, const char *addr, const weft_dial_opts *o)
{
	return weft_tcp_dial_opts_until(out, addr, o, WEFT_FOREVER);
}

int weft_tcp_dial_until(weft_tcp **out, const char *addr, int64_t deadline)
{
	return weft_tcp_dial_opts_until(out, addr, NULL, deadline);
}

int weft_tcp_dial(weft_tcp **out, const char *addr)
{
	return weft_tcp_dial_opts_until(out, addr, NULL, WEFT_FOREVER);
}
