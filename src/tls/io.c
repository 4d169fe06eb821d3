/* SPDX-License-Identifier: MIT
 *
 * io.c - reading and writing.
 *
 * Both go round: whatever can be done inside OpenSSL, under state; then the wire, without. A read takes as many records as have come; a write encrypts a batch of records at a time and
 * sends it in one piece.
 */
#include "tls/tls.h"

#include <limits.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/scope.h>

#define COUNT_MAX 1024

/* Bytes in all; or WEFT_EINVAL. */
static ssize_t total(const struct iovec *v, int count)
{
	size_t sum = 0;

	if (count < 0 || count > COUNT_MAX)
		return WEFT_EINVAL;
	for (int i = 0; i < count; i++) {
		if (v[i].iov_len > SSIZE_MAX - sum)
			return WEFT_EINVAL;
		sum += v[i].iov_len;
	}
	return (ssize_t)sum;
}

/* --- read --- */

/* Is nothing of the peer's waited for? Under state. */
static bool settled(weft_tls *t)
{
	return !SSL_in_init(t->ssl) || t->dead || t->in_over;
}

/* rd is free: who waits in turn_or_settled looks again. */
static NOINLINE void say_turn(weft_tls *t)
{
	WEFT_WITH_SHIELD
	{
		if (weft_mutex_lock(&t->state) == 0) {
			weft_cond_broadcast(&t->settled);
			weft_mutex_unlock(&t->state);
		}
	}
}

/* Moves what SSL has into the buffers. 0: *got bytes; or END, WANT, an error: then there are none. rd's owner. */
static int take(weft_tls *t, const struct iovec *v, int count, size_t *got)
{
	int rc, ret;

	rc = weft_mutex_lock(&t->state);
	if (rc)
		return rc;
	rc = t->in_over ? END : t->dead;
	if (rc == 0)
		weft__tls_feed(t);
	for (int i = 0; i < count && rc == 0; i++) {
		for (size_t at = 0, n; at < v[i].iov_len && rc == 0; at += n) {
			ERR_clear_error();
			ret = SSL_read_ex(t->ssl, (char *)v[i].iov_base + at, v[i].iov_len - at, &n);
			if (ret == 1) {
				*got += n;
			} else {
				n = 0;
				rc = weft__tls_outcome(t, ret);
			}
		}
	}
	if (unlikely(weft_load_relaxed(&t->stuck)) && settled(t)) /* set under state */
		weft_cond_broadcast(&t->settled);
	weft_mutex_unlock(&t->state);
	return *got > 0 ? 0 : rc; /* an end or error is found again */
}

static ssize_t fetch(weft_tls *t, const struct iovec *v, int count, int64_t deadline)
{
	int64_t limit;
	size_t got = 0;
	int rc;

	for (;;) {
		if (weft__tls_closed(t))
			return WEFT_ECLOSED;
		if (weft_load_acquire(&t->rd_shut))
			return 0;
		limit = weft_load_relaxed(&t->rd_limit); /* an old one is noticed by the stream */
		if (has_passed(limit))
			return WEFT_ETIMEDOUT;
		limit = deadline < limit ? deadline : limit;
		rc = weft__tls_make_room(t, limit);
		if (rc == WEFT_EAGAIN || (rc == WEFT_ETIMEDOUT && has_passed(limit))) /* what else hinders writing is no matter of ours */
			return weft__tls_wire_error(t, rc);
		rc = take(t, v, count, &got);
		if (weft_load_relaxed(&t->owed)) /* our own, or somebody sends it */
			weft__tls_tidy(t);
		if (rc == 0)
			return (ssize_t)got;
		if (rc != WANT)
			return rc == END ? 0 : rc;
		rc = weft__tls_pull(t, deadline);
		if (rc <= 0) {
			if (weft__tls_closed(t))
				return WEFT_ECLOSED;
			if (weft_load_acquire(&t->rd_shut))
				return 0;
			return rc ? rc : WEFT_ECONNABORTED;
		}
	}
}

static ssize_t receive(weft_tls *t, const struct iovec *v, int count, int64_t deadline)
{
	ssize_t n;
	int rc = weft__tls_enter(t, deadline);

	if (rc)
		return rc;
	rc = weft__tls_shake(t, deadline);
	if (rc == 0)
		rc = weft_mutex_lock_until(&t->rd, deadline);
	n = rc;
	if (rc == 0) {
		n = fetch(t, v, count, deadline);
		weft_mutex_unlock(&t->rd);
		if (unlikely(weft_add_seq_cst(&t->stuck, 0))) /* pairs with turn_or_settled's */
			say_turn(t);
	}
	weft__tls_leave(t);
	return n;
}

ssize_t weft_tls_readv_until(weft_tls *t, const struct iovec *v, int count, int64_t deadline)
{
	ssize_t n = total(v, count);

	return n > 0 ? receive(t, v, count, deadline) : n;
}

ssize_t weft_tls_readv(weft_tls *t, const struct iovec *v, int count)
{
	return weft_tls_readv_until(t, v, count, WEFT_FOREVER);
}

ssize_t weft_tls_read_until(weft_tls *t, void *buf, size_t n, int64_t deadline)
{
	struct iovec v = {buf, n};

	return weft_tls_readv_until(t, &v, 1, deadline);
}

ssize_t weft_tls_read(weft_tls *t, void *buf, size_t n)
{
	return weft_tls_read_until(t, buf, n, WEFT_FOREVER);
}

/* --- write --- */

/* What is left to write, and where it stands. */
struct source {
	const struct iovec *v;
	int count;
	size_t at;      /* in v[0] */
	size_t left;    /* bytes in all */
	char *gathered; /* room for a record; NULL: there is one buffer */
};

static void skip(struct source *s, size_t n)
{
	s->left -= n;
	s->at += n;
	while (s->count > 0 && s->at >= s->v->iov_len) {
		s->at -= s->v->iov_len;
		s->v++;
		s->count--;
	}
}

/* The next record's plaintext: where it lies if it lies in one piece. */
static const void *next_record(struct source *s, size_t *n)
{
	struct source look = *s;
	size_t piece = s->v->iov_len - s->at;

	if (piece >= RECORD || s->count == 1) {
		*n = piece < RECORD ? piece : RECORD;
		return (const char *)s->v->iov_base + s->at;
	}
	for (*n = 0; look.count > 0 && *n < RECORD; *n += piece) {
		piece = look.v->iov_len - look.at;
		if (piece > RECORD - *n)
			piece = RECORD - *n;
		if (piece)
			memcpy(s->gathered + *n, (const char *)look.v->iov_base + look.at, piece);
		skip(&look, piece);
	}
	return s->gathered;
}

/* Encrypts a batch. 0, WANT or an error; *taken grows. wr's owner. */
static int encrypt(weft_tls *t, struct source *s, size_t *taken)
{
	size_t batch = 0, n;
	const void *p;
	int rc, ret;

	rc = weft_mutex_lock(&t->state);
	if (rc)
		return rc;
	rc = t->dead ? t->dead : t->wr_shut ? WEFT_EPIPE : 0;
	if (rc == 0)
		weft__tls_expect(t, s->left < BATCH ? s->left : BATCH);
	while (rc == 0 && s->count > 0 && batch < BATCH) {
		p = next_record(s, &n);
		ERR_clear_error();
		ret = SSL_write_ex(t->ssl, p, n, &n);
		if (ret != 1) {
			rc = weft__tls_unfinished(t, ret);
			break;
		}
		skip(s, n);
		batch += n;
	}
	weft_mutex_unlock(&t->state);
	*taken += batch;
	return rc;
}

/* May anything be written? */
static int standing(weft_tls *t)
{
	int rc = weft_mutex_lock(&t->state);

	if (rc)
		return rc;
	rc = t->dead ? t->dead : t->wr_shut ? WEFT_EPIPE : 0;
	weft_mutex_unlock(&t->state);
	return rc;
}

/* Gives SSL what the wire has given, if it has read all before (else a reader's buffers were full). Is there anything? rd's owner, under state. */
static bool fed(weft_tls *t)
{
	if (t->in_from == t->in_end)
		weft__tls_feed(t);
	return t->in_from < t->in_end;
}

static int feed(weft_tls *t)
{
	int rc = weft_mutex_lock(&t->state);

	if (rc)
		return rc;
	(void)fed(t);
	weft_mutex_unlock(&t->state);
	return 0;
}

/* Under the owner of rd's hand: the stream's deadline of reading becomes the writer's, or the reader's again. Under state. */
static void read_as(weft_tls *t, bool writer)
{
	int64_t rd = weft_load_relaxed(&t->rd_limit), wr = weft_load_relaxed(&t->wr_limit); /* under state */

	t->first = writer;
	if (rd != wr)
		(void)weft__tls_limits(t, rd, wr); /* they were set before: the stream can */
}

/* Waits for settled, as long as the call, and the connection's deadline, let it. Under state. */
static int wait_settled(weft_tls *t, int64_t deadline)
{
	int64_t limit = weft_load_relaxed(&t->wr_limit); /* under state */
	int rc;

	if (has_passed(limit))
		return WEFT_ETIMEDOUT;
	rc = weft_cond_wait_until(&t->settled, &t->state, deadline < limit ? deadline : limit);
	return rc == WEFT_ETIMEDOUT && limit < deadline ? 0 : rc; /* it may have been moved: the next look tells */
}

/* Waits until a reader has read what SSL needs, or until reading is ours (*mine; and *there: SSL has something to read). To wait for rd alone is not enough: who has it keeps it while
 * it waits for data, which may be the answer to what we write. wr's owner: nobody else waits here. */
static int turn_or_settled(weft_tls *t, bool *mine, bool *there, int64_t deadline)
{
	int rc = weft_mutex_lock(&t->state);

	*mine = *there = false;
	if (rc)
		return rc;
	/* Before rd is tried for; pairs with receive's, behind rd's unlock: either rd is found free here, or its owner finds this, and has to wait for state before it wakes us. */
	weft_add_seq_cst(&t->stuck, 1);
	while (rc == 0 && !settled(t)) {
		rc = weft_mutex_trylock(&t->rd);
		if (rc == 0) {
			*mine = true;
			*there = fed(t);
			if (!*there)
				read_as(t, true);
			break;
		}
		if (rc == WEFT_EAGAIN)
			rc = wait_settled(t, deadline);
	}
	weft_add_seq_cst(&t->stuck, -1);
	if (rc == 0 && !*mine && SSL_in_init(t->ssl)) /* it stays unfinished */
		rc = t->dead ? t->dead : WEFT_ECONNABORTED;
	weft_mutex_unlock(&t->state);
	return rc;
}

/* SSL is in the middle of something that the peer has to finish: rare, for it takes a message that spans records. It is read here, or by who reads just now. wr's owner. */
int weft__tls_read_first(weft_tls *t, int64_t deadline)
{
	bool mine, there;
	int rc = turn_or_settled(t, &mine, &there, deadline);

	if (!mine)
		return rc;
	if (!there) {
		rc = weft__tls_pull(t, deadline);
		WEFT_WITH_SHIELD
		{
			if (weft_mutex_lock(&t->state) == 0) {
				read_as(t, false);
				weft_mutex_unlock(&t->state);
			}
		}
		rc = rc > 0 ? feed(t) : rc ? rc : WEFT_ECONNABORTED;
	}
	weft_mutex_unlock(&t->rd);
	return rc;
}

static int deliver(weft_tls *t, struct source *s, size_t *taken, int64_t deadline)
{
	int rc = weft_load_relaxed(&t->owed) ? standing(t) : 0; /* encrypt looks, too; but there may be no room to get so far */

	if (rc)
		return rc;
	for (;;) {
		if (weft__tls_closed(t))
			return WEFT_ECLOSED;
		if (has_passed(weft_load_relaxed(&t->wr_limit)))
			return WEFT_ETIMEDOUT;
		rc = weft__tls_push(t, deadline); /* what an earlier call has left comes first, and nothing is taken before it is gone */
		if (rc || s->count == 0)
			return weft__tls_wire_error(t, rc);
		rc = encrypt(t, s, taken);
		if (rc == WANT)
			rc = weft__tls_read_first(t, deadline);
		if (rc)
			return weft__tls_wire_error(t, rc);
	}
}

static ssize_t transmit(weft_tls *t, const struct iovec *v, int count, size_t all, size_t *done, int64_t deadline)
{
	struct source s = {.v = v, .count = count, .left = all};
	size_t taken = 0;
	int rc = weft__tls_enter(t, deadline);

	if (rc)
		return rc;
	skip(&s, 0);
	if (s.count > 1) {
		s.gathered = malloc(RECORD);
		rc = s.gathered ? 0 : WEFT_ENOMEM;
	}
	if (rc == 0)
		rc = weft__tls_shake(t, deadline);
	if (rc == 0)
		rc = weft_mutex_lock_until(&t->wr, deadline);
	if (rc == 0) {
		rc = deliver(t, &s, &taken, deadline);
		weft_mutex_unlock(&t->wr);
		weft__tls_tidy(t); /* what a reader has made meanwhile */
	}
	free(s.gathered);
	weft__tls_leave(t);
	if (done)
		*done = taken;
	return rc ? rc : (ssize_t)all;
}

ssize_t weft_tls_writev_until(weft_tls *t, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	ssize_t n = total(v, count);

	if (done)
		*done = 0;
	return n > 0 ? transmit(t, v, count, (size_t)n, done, deadline) : n;
}

ssize_t weft_tls_writev(weft_tls *t, const struct iovec *v, int count, size_t *done)
{
	return weft_tls_writev_until(t, v, count, done, WEFT_FOREVER);
}

ssize_t weft_tls_write_until(weft_tls *t, const void *buf, size_t n, size_t *done, int64_t deadline)
{
	struct iovec v = {(void *)buf, n};

	return weft_tls_writev_until(t, &v, 1, done, deadline);
}

ssize_t weft_tls_write(weft_tls *t, const void *buf, size_t n, size_t *done)
{
	return weft_tls_write_until(t, buf, n, done, WEFT_FOREVER);
}

/* --- as a byte stream --- */

static ssize_t io_readv(void *t, const struct iovec *v, int count, int64_t deadline)
{
	return weft_tls_readv_until(t, v, count, deadline);
}

static ssize_t io_writev(void *t, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	return weft_tls_writev_until(t, v, count, done, deadline);
}

static int io_shutdown(void *t, int how, int64_t deadline)
{
	return weft_tls_shutdown_until(t, how, deadline);
}

static int io_set_deadline(void *t, int64_t rd, int64_t wr)
{
	return weft_tls_set_deadline(t, rd, wr);
}

static int io_close(void *t)
{
	return weft_tls_close(t);
}

weft_io weft_tls_io(weft_tls *t)
{
	static const weft_io_ops ops = {
		.kind = "tls",
		.readv = io_readv,
		.writev = io_writev,
		.shutdown = io_shutdown,
		.set_deadline = io_set_deadline,
		.close = io_close,
	};

	return (weft_io){&ops, t};
}
