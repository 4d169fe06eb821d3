/* SPDX-License-Identifier: MIT
 *
 * pair.c - two ends, of which each reads what is written to the other, without a buffer: whoever comes second copies, from the writer's memory to the reader's.
 *
 * Each direction has at most one writer and one reader at it; others wait for their turn.  Who came first has shown its memory in the direction and waits; it takes it back
 * before it returns, under the mutex, so nobody copies from or to memory that is no more.
 *
 * An end counts as a user of the pair until it is closed, a call while it runs; the last one frees the pair.
 */
#include "buf/pass.h"

#include "base/atomic.h"
#include <sched.h>
#include <stdlib.h>
#include <weft/lock.h>
#include <weft/scope.h>

struct shown {
	const struct iovec *v; /* NULL: nobody waits */
	int count;
	size_t at, all; /* bytes of it that are done with; bytes in all */
};

struct way {
	weft_cond changed; /* all who wait in it */
	struct shown from, to;
	bool writing, reading; /* somebody has the turn */
	bool ended;            /* nothing more is written */
	bool deaf;             /* nobody reads any more */
	int64_t rd, wr;        /* deadlines of its readers and writers */
};

struct end {
	struct pair *pair;
	struct way *in, *out;
	bool closed;
};

struct pair {
	weft_mutex m; /* guards all but users */
	struct way way[2];
	struct end end[2];
	ATOMIC(int) users; /* acquire, release: who frees it comes after all they did */
};

static void pair_leave(struct pair *p)
{
	if (add_acq_rel(&p->users, -1) == 1)
		free(p);
}

static void lock_shielded(struct pair *p)
{
	WEFT_WITH_SHIELD
	{
		while (weft_mutex_lock(&p->m) != 0)
			sched_yield(); /* a foreign thread without a record; nobody keeps the mutex while he waits */
	}
}

/* For a call that may wait: fails in a cancelled task, unless the deadline is WEFT_NOW. */
static int pair_enter(struct pair *p, int64_t deadline)
{
	int rc = 0;

	add_relaxed(&p->users, 1); /* the end that is called counts until then */
	if (deadline == WEFT_NOW)
		lock_shielded(p); /* not tried: somebody at it is no reason to say that nothing is there */
	else
		rc = weft_mutex_lock_until(&p->m, deadline);
	if (rc)
		pair_leave(p);
	return rc;
}

static ssize_t pair_exit(struct pair *p, ssize_t rc)
{
	weft_mutex_unlock(&p->m);
	pair_leave(p);
	return rc;
}

/* Waits for a change. side: the deadline of those that go that way. */
static int pair_wait(struct pair *p, struct way *y, int64_t side, int64_t deadline)
{
	if (deadline == WEFT_NOW)
		return WEFT_EAGAIN;
	return weft_cond_wait_until(&y->changed, &p->m, side < deadline ? side : deadline);
}

static bool passed(int64_t deadline)
{
	return deadline != WEFT_NOW && deadline != WEFT_FOREVER && deadline <= weft_now();
}

static bool side_passed(int64_t side)
{
	return side != WEFT_FOREVER && side <= weft_now();
}

static struct shown show(const struct iovec *v, int count)
{
	struct shown s = {.v = v, .count = count};

	for (int i = 0; i < count; i++)
		s.all += v[i].iov_len;
	return s;
}

/* Where byte `at` of it is, and how many are there in one piece. */
static char *piece(const struct shown *s, size_t *n)
{
	size_t at = s->at;
	int i = 0;

	while (at >= s->v[i].iov_len)
		at -= s->v[i++].iov_len;
	*n = s->v[i].iov_len - at;
	return (char *)s->v[i].iov_base + at;
}

/* Copies as much as both have. */
static void hand_over(struct way *y, struct shown *from, struct shown *to)
{
	while (from->at < from->all && to->at < to->all) {
		size_t n, room;
		char *src = piece(from, &n), *dst = piece(to, &room);

		n = n < room ? n : room;
		memcpy(dst, src, n);
		from->at += n;
		to->at += n;
	}
	weft_cond_broadcast(&y->changed);
}

/* Reads, in its turn. */
static ssize_t read_now(struct end *e, const struct iovec *v, int count, int64_t deadline)
{
	struct way *y = e->in;
	struct shown s = show(v, count);
	int rc = 0;

	for (;;) {
		if (e->closed)
			return WEFT_ECLOSED;
		if (y->deaf)
			return 0;
		if (rc)
			return rc;
		if (side_passed(y->rd))
			return WEFT_ETIMEDOUT;
		if (y->from.v)
			hand_over(y, &y->from, &s);
		if (s.at > 0)
			return (ssize_t)s.at;
		if (y->ended)
			return 0;
		y->to = s;
		rc = pair_wait(e->pair, y, y->rd, deadline);
		s = y->to;
		y->to.v = NULL;
		if (s.at > 0)
			return (ssize_t)s.at;
	}
}

static ssize_t pair_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	struct end *e = self;
	struct way *y = e->in;
	ssize_t n = pair_enter(e->pair, deadline);

	if (n)
		return n;
	if (passed(deadline))
		n = WEFT_ETIMEDOUT;
	while (n == 0 && y->reading && !e->closed && !side_passed(y->rd))
		n = pair_wait(e->pair, y, y->rd, deadline);
	if (n == 0 && y->reading)
		n = e->closed ? WEFT_ECLOSED : WEFT_ETIMEDOUT;
	if (n == 0) {
		y->reading = true;
		n = read_now(e, v, count, deadline);
		y->reading = false;
		weft_cond_broadcast(&y->changed);
	}
	return pair_exit(e->pair, n);
}

/* Writes, in its turn. */
static int write_now(struct end *e, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	struct way *y = e->out;
	struct shown s = show(v, count);
	int rc = 0;

	while (s.at < s.all) {
		if (e->closed)
			rc = WEFT_ECLOSED;
		else if (y->ended || y->deaf)
			rc = WEFT_EPIPE;
		else if (!rc && side_passed(y->wr))
			rc = WEFT_ETIMEDOUT;
		if (rc)
			break;
		if (y->to.v && y->to.at < y->to.all) {
			hand_over(y, &s, &y->to);
			continue;
		}
		y->from = s;
		rc = pair_wait(e->pair, y, y->wr, deadline);
		s = y->from;
		y->from.v = NULL;
	}
	*done = s.at;
	return s.at == s.all ? 0 : rc;
}

static ssize_t pair_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	struct end *e = self;
	struct way *y = e->out;
	ssize_t n = pair_enter(e->pair, deadline);

	*done = 0;
	if (n)
		return n;
	if (passed(deadline))
		n = WEFT_ETIMEDOUT;
	while (n == 0 && y->writing && !e->closed && !side_passed(y->wr))
		n = pair_wait(e->pair, y, y->wr, deadline);
	if (n == 0 && y->writing)
		n = e->closed ? WEFT_ECLOSED : WEFT_ETIMEDOUT;
	if (n == 0) {
		y->writing = true;
		n = write_now(e, v, count, done, deadline);
		y->writing = false;
		weft_cond_broadcast(&y->changed);
	}
	return pair_exit(e->pair, n < 0 ? n : (ssize_t)*done);
}

/* --- what does not wait --- */

static int pair_shutdown(void *self, int how, int64_t deadline)
{
	struct end *e = self;
	int rc = 0;

	(void)deadline;
	lock_shielded(e->pair);
	if (e->closed)
		rc = WEFT_ECLOSED;
	if (rc == 0 && how != SHUT_WR)
		e->in->deaf = true;
	if (rc == 0 && how != SHUT_RD)
		e->out->ended = true;
	weft_cond_broadcast(&e->in->changed);
	weft_cond_broadcast(&e->out->changed);
	weft_mutex_unlock(&e->pair->m);
	return rc;
}

static int pair_set_deadline(void *self, int64_t rd, int64_t wr)
{
	struct end *e = self;
	int rc = 0;

	lock_shielded(e->pair);
	if (e->closed)
		rc = WEFT_ECLOSED;
	if (rc == 0) {
		e->in->rd = rd;
		e->out->wr = wr;
	}
	weft_cond_broadcast(&e->in->changed);
	weft_cond_broadcast(&e->out->changed);
	weft_mutex_unlock(&e->pair->m);
	return rc;
}

static int pair_close(void *self)
{
	struct end *e = self;

	lock_shielded(e->pair);
	e->closed = true;
	e->in->deaf = true;
	e->out->ended = true;
	weft_cond_broadcast(&e->in->changed);
	weft_cond_broadcast(&e->out->changed);
	weft_mutex_unlock(&e->pair->m);
	pair_leave(e->pair);
	return 0;
}

int weft_io_pair(weft_io *a, weft_io *b)
{
	static const weft_io_ops ops = {"pair", pair_readv, pair_writev, pair_shutdown, pair_set_deadline, pair_close};
	struct pair *p = calloc(1, sizeof *p);

	if (!p)
		return WEFT_ENOMEM;
	for (int i = 0; i < 2; i++) {
		p->way[i].rd = p->way[i].wr = WEFT_FOREVER;
		p->end[i] = (struct end){.pair = p, .in = &p->way[i], .out = &p->way[1 - i]};
	}
	store_relaxed(&p->users, 2); /* nobody else knows it */
	*a = (weft_io){&ops, &p->end[0]};
	*b = (weft_io){&ops, &p->end[1]};
	return 0;
}
