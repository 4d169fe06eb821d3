/* SPDX-License-Identifier: MIT
 *
 * pair.c - buf/pair.c: two ends without a buffer: nothing is written before it is read, and every way to end a wait.
 */
#include "net.h"

#include "base/rand.h"
#include "weft/bufio.h"
#include <pthread.h>

static void make(weft_io *a, weft_io *b)
{
	T_EQ(weft_io_pair(a, b), 0);
}

static void end(weft_io a, weft_io b)
{
	T_EQ(weft_io_close(a), 0);
	T_EQ(weft_io_close(b), 0);
}

/* One call, in a task of its own. */
struct act {
	weft_io io;
	char buf[64];
	size_t n, done;
	int64_t deadline;
	ssize_t rc;
	weft_task *task;
};

static int acts_read(void *arg)
{
	struct act *x = arg;

	x->rc = weft_io_read_until(x->io, x->buf, x->n, x->deadline);
	return 0;
}

static int acts_write(void *arg)
{
	struct act *x = arg;

	x->rc = weft_io_write_until(x->io, x->buf, x->n, &x->done, x->deadline);
	return 0;
}

static void reads(struct act *x, weft_io io, size_t n, int64_t deadline)
{
	*x = (struct act){.io = io, .n = n, .deadline = deadline};
	x->task = start(acts_read, x);
	until_parked(x->task);
}

static void writes(struct act *x, weft_io io, const char *text, int64_t deadline)
{
	*x = (struct act){.io = io, .n = strlen(text), .done = 99, .deadline = deadline};
	strcpy(x->buf, text);
	x->task = start(acts_write, x);
	until_parked(x->task);
}

static ssize_t ends(struct act *x)
{
	T_EQ(finish(x->task), 0);
	return x->rc;
}

/* --- bytes go over --- */

static int both_ways_main(void *arg)
{
	char out[16] = "";
	struct act x, y;
	weft_io a, b;
	size_t done = 99;

	(void)arg;
	make(&a, &b);
	writes(&x, a, "abcdef", WEFT_FOREVER); /* the writer comes first, and waits for all to be read */
	T_EQ(weft_io_read(b, out, 2), 2);
	T_EQ(weft_io_read(b, out + 2, 1), 1);
	until_parked(x.task);
	T_EQ(weft_io_read(b, out + 3, 9), 3);
	T_STR_EQ(out, "abcdef");
	T_EQ(ends(&x), 6);
	T_EQ(x.done, 6);

	reads(&y, a, 4, WEFT_FOREVER); /* the reader comes first, the other way */
	T_EQ(weft_io_write_until(b, "ghij", 4, &done, WEFT_NOW), 4);
	T_EQ(done, 4);
	T_EQ(ends(&y), 4);
	T_EQ(memcmp(y.buf, "ghij", 4), 0);

	reads(&y, a, 4, WEFT_FOREVER); /* which takes a part; nobody takes the rest */
	T_EQ(weft_io_write_until(b, "klmnop", 6, &done, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(done, 4);
	T_EQ(ends(&y), 4);
	T_EQ(weft_io_write(b, NULL, 0, &done), 0); /* nothing at all waits for nobody */
	T_EQ(done, 0);
	T_EQ(weft_io_read(b, NULL, 0), 0);
	end(a, b);
	return 0;
}

TEST_WORKERS(both_ways)
{
	run_net(both_ways_main, NULL);
}

static int vectors_main(void *arg)
{
	struct iovec from[4] = {{(void *)"ab", 2}, {NULL, 0}, {(void *)"cdefg", 5}, {(void *)"h", 1}};
	char out[16] = "";
	struct iovec to[3] = {{out, 1}, {NULL, 0}, {out + 1, 4}};
	struct act x;
	weft_io a, b;
	size_t done;

	(void)arg;
	make(&a, &b);
	reads(&x, b, 3, WEFT_FOREVER);
	T_EQ(weft_io_writev_until(a, from, 4, &done, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(done, 3);
	T_EQ(ends(&x), 3);
	T_EQ(memcmp(x.buf, "abc", 3), 0);
	writes(&x, a, "0123456", WEFT_FOREVER);
	T_EQ(weft_io_readv(b, to, 3), 5);
	T_STR_EQ(out, "01234");
	T_EQ(weft_io_readv(b, to, 3), 2);
	T_EQ(memcmp(out, "56", 2), 0);
	T_EQ(ends(&x), 7);
	end(a, b);
	return 0;
}

TEST_WORKERS(several_buffers)
{
	run_net(vectors_main, NULL);
}

/* --- what ends a wait --- */

static int late_main(void *arg)
{
	char c;
	struct act x, y;
	weft_io a, b;

	(void)arg;
	make(&a, &b);
	T_EQ(weft_io_read_until(a, &c, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_io_write_until(a, "a", 1, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_io_read_until(a, &c, 1, -1), WEFT_ETIMEDOUT);
	T_EQ(weft_io_write_until(a, "a", 1, NULL, 1), WEFT_ETIMEDOUT);
	time_fake();
	reads(&x, a, 1, weft_in(WEFT_SEC));
	writes(&y, a, "abc", weft_in(2 * WEFT_SEC));
	T_EQ(weft_io_read(b, &c, 1), 1);
	time_move(WEFT_SEC);
	T_EQ(ends(&x), WEFT_ETIMEDOUT);
	time_move(WEFT_SEC);
	T_EQ(ends(&y), WEFT_ETIMEDOUT);
	T_EQ(y.done, 1); /* and the rest is not in the way */
	T_EQ(weft_io_read_until(b, &c, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_io_write_until(b, "x", 1, NULL, WEFT_NOW), WEFT_EAGAIN);
	time_real();
	end(a, b);
	return 0;
}

TEST_WORKERS(deadlines_of_calls)
{
	run_net(late_main, NULL);
}

static int moved_main(void *arg)
{
	struct act x, y;
	weft_io a, b;
	char c;

	(void)arg;
	make(&a, &b);
	time_fake();
	reads(&x, a, 1, WEFT_FOREVER);
	writes(&y, a, "abc", WEFT_FOREVER);
	T_EQ(weft_io_set_deadline(a, weft_in(5 * WEFT_SEC), weft_in(9 * WEFT_SEC)), 0);
	T_EQ(weft_io_set_deadline(a, weft_in(WEFT_SEC), weft_in(2 * WEFT_SEC)), 0); /* while they wait */
	time_move(WEFT_SEC);
	T_EQ(ends(&x), WEFT_ETIMEDOUT);
	T_EQ(weft_io_set_deadline(a, 1, weft_in(3 * WEFT_SEC)), 0);
	T_EQ(weft_io_read(a, &c, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_io_read_until(a, &c, 1, WEFT_NOW), WEFT_ETIMEDOUT);
	T_EQ(weft_io_set_deadline(a, 1, 1), 0); /* one past: at once */
	T_EQ(ends(&y), WEFT_ETIMEDOUT);
	T_EQ(y.done, 0);
	T_EQ(weft_io_set_deadline(a, WEFT_FOREVER, WEFT_FOREVER), 0);
	writes(&y, a, "x", WEFT_FOREVER);
	T_EQ(weft_io_read(b, &c, 1), 1);
	T_EQ(ends(&y), 1);
	time_real();
	end(a, b);
	return 0;
}

TEST_WORKERS(deadlines_that_move)
{
	run_net(moved_main, NULL);
}

struct pest {
	weft_io io;
	ATOMIC(int) over;
};

static int pesters(void *arg)
{
	struct pest *p = arg;

	while (!load_acquire(&p->over)) { /* pairs with store_release in now_main */
		T_EQ(weft_io_set_deadline(p->io, WEFT_FOREVER, WEFT_FOREVER), 0);
		weft_task_yield();
	}
	return 0;
}

static int now_main(void *arg)
{
	static const char text[] = "what is there is there for who does not want to wait";
	struct pest p = {.over = 0};
	weft_task *t[2];
	struct act x;
	weft_io a, b;
	char c;

	(void)arg;
	make(&a, &b);
	p.io = b;
	for (int i = 0; i < 2; i++)
		t[i] = start(pesters, &p);
	for (long i = tap_iters(200); i > 0; i--) {
		writes(&x, a, text, WEFT_FOREVER);
		until_reason(x.task, "condition"); /* it has been at the pair: not for the lock, which the pesters take */
		for (size_t k = 0; k < strlen(text); k++) {
			T_EQ(weft_io_read_until(b, &c, 1, WEFT_NOW), 1);
			T_EQ(c, text[k]);
		}
		T_EQ(ends(&x), strlen(text));
	}
	store_release(&p.over, 1);
	for (int i = 0; i < 2; i++)
		T_EQ(finish(t[i]), 0);
	end(a, b);
	return 0;
}

/* Somebody at the pair for a moment is no reason to say that nothing is there. */
TEST_WORKERS(now_is_not_never)
{
	run_net(now_main, NULL);
}

static int cancel_main(void *arg)
{
	struct act x, y;
	weft_io a, b;
	char c;

	(void)arg;
	make(&a, &b);
	reads(&x, a, 1, WEFT_FOREVER);
	writes(&y, a, "abc", WEFT_FOREVER);
	T_EQ(weft_io_read(b, &c, 1), 1);
	until_parked(y.task);
	T_EQ(weft_task_cancel(x.task), 0);
	T_EQ(weft_task_cancel(y.task), 0);
	T_EQ(ends(&x), WEFT_ECANCELED);
	T_EQ(ends(&y), WEFT_ECANCELED);
	T_EQ(y.done, 1);
	end(a, b);
	return 0;
}

TEST_WORKERS(cancelled)
{
	run_net(cancel_main, NULL);
}

static ATOMIC(int) gate;

static int cancelled_cleans_up(void *arg)
{
	weft_io *io = arg;
	char c;

	until(load_acquire(&gate));
	T_EQ(weft_io_read(io[0], &c, 1), WEFT_ECANCELED);
	T_EQ(weft_io_write(io[0], &c, 1, NULL), WEFT_ECANCELED);
	T_EQ(weft_io_set_deadline(io[0], WEFT_FOREVER, WEFT_FOREVER), 0); /* what does not wait works all the same */
	T_EQ(weft_io_shutdown(io[0], SHUT_RDWR), 0);
	T_EQ(weft_io_close(io[0]), 0);
	T_EQ(weft_io_close(io[1]), 0);
	return 0;
}

static int cancelled_before_main(void *arg)
{
	weft_io io[2];
	weft_task *t;

	(void)arg;
	make(&io[0], &io[1]);
	t = start(cancelled_cleans_up, io);
	T_EQ(weft_task_cancel(t), 0);
	store_release(&gate, 1);
	T_EQ(finish(t), 0);
	return 0;
}

TEST_WORKERS(cancelled_before)
{
	run_net(cancelled_before_main, NULL);
}

/* --- the end of a direction, and of an end --- */

static int shut_main(void *arg)
{
	struct act x, y;
	weft_io a, b;
	size_t done;
	char c;

	(void)arg;
	make(&a, &b);
	reads(&x, b, 1, WEFT_FOREVER);
	T_EQ(weft_io_shutdown(a, SHUT_WR), 0);
	T_EQ(ends(&x), 0); /* the end */
	T_EQ(weft_io_read(b, &c, 1), 0);
	T_EQ(weft_io_write(a, "a", 1, &done), WEFT_EPIPE);
	T_EQ(done, 0);
	writes(&y, b, "xyz", WEFT_FOREVER); /* the other way still goes */
	T_EQ(weft_io_read(a, &c, 1), 1);
	T_EQ(c, 'x');
	T_EQ(weft_io_shutdown(a, SHUT_RD), 0);
	T_EQ(ends(&y), WEFT_EPIPE);
	T_EQ(y.done, 1);
	T_EQ(weft_io_read(a, &c, 1), 0);
	T_EQ(weft_io_shutdown(a, SHUT_RDWR), 0);
	T_EQ(weft_io_shutdown(a, 77), WEFT_EINVAL);
	end(a, b);

	make(&a, &b);
	writes(&y, a, "xyz", WEFT_FOREVER);
	reads(&x, a, 1, WEFT_FOREVER);
	T_EQ(weft_io_shutdown(a, SHUT_RDWR), 0); /* by another task of the same side */
	T_EQ(ends(&y), WEFT_EPIPE);
	T_EQ(ends(&x), 0);
	end(a, b);
	return 0;
}

TEST_WORKERS(shutdown_of_a_direction)
{
	run_net(shut_main, NULL);
}

static int close_main(void *arg)
{
	struct act r[2], w[2], x;
	weft_io a, b;
	char c;

	(void)arg;
	make(&a, &b);
	for (int i = 0; i < 2; i++) { /* one in its turn, one behind it */
		reads(&r[i], a, 1, WEFT_FOREVER);
		writes(&w[i], a, "abc", WEFT_FOREVER);
	}
	T_EQ(weft_io_close(a), 0);
	for (int i = 0; i < 2; i++) {
		T_EQ(ends(&r[i]), WEFT_ECLOSED);
		T_EQ(ends(&w[i]), WEFT_ECLOSED);
	}
	T_EQ(weft_io_read(b, &c, 1), 0);
	T_EQ(weft_io_write(b, "a", 1, NULL), WEFT_EPIPE);
	T_EQ(weft_io_close(b), 0);

	make(&a, &b);
	reads(&x, a, 1, WEFT_FOREVER);
	writes(&w[0], a, "abc", WEFT_FOREVER);
	T_EQ(weft_io_close(b), 0);
	T_EQ(ends(&x), 0);
	T_EQ(ends(&w[0]), WEFT_EPIPE);
	T_EQ(weft_io_close(a), 0);
	return 0;
}

TEST_WORKERS(close_of_an_end)
{
	run_net(close_main, NULL);
}

/* --- many --- */

enum { WRITERS = 4, EACH = 300, TEXT = 24 };

struct crowd {
	weft_io a, b;
	long n;
	ATOMIC(int) seen[WRITERS]; /* texts that arrived whole */
};

struct member {
	struct crowd *c;
	int id;
};

static int crowd_writes(void *arg)
{
	struct member *m = arg;
	char text[TEXT];

	memset(text, 'a' + m->id, sizeof text);
	for (long i = 0; i < m->c->n; i++)
		T_EQ(weft_io_write(m->c->a, text, sizeof text, NULL), TEXT);
	return 0;
}

static int crowd_main(void *arg)
{
	struct crowd c = {.n = tap_iters(EACH)};
	struct member m[WRITERS];
	weft_task *t[WRITERS];
	char text[TEXT];
	weft_rd r;

	(void)arg;
	make(&c.a, &c.b);
	T_EQ(weft_rd_init(&r, c.b, NULL, 50), 0);
	for (int i = 0; i < WRITERS; i++) {
		m[i] = (struct member){&c, i};
		t[i] = start(crowd_writes, &m[i]);
	}
	for (long i = 0; i < c.n * WRITERS; i++) {
		T_EQ(weft_rd_full(&r, text, TEXT, NULL), TEXT);
		for (int k = 1; k < TEXT; k++)
			T_EQ(text[k], text[0]); /* two writes do not mix */
		add_relaxed(&c.seen[text[0] - 'a'], 1);
	}
	for (int i = 0; i < WRITERS; i++) {
		T_EQ(finish(t[i]), 0);
		T_EQ(load_relaxed(&c.seen[i]), c.n);
	}
	weft_rd_free(&r);
	end(c.a, c.b);
	return 0;
}

TEST_WORKERS(writes_do_not_mix)
{
	run_net(crowd_main, NULL);
}

struct stream {
	weft_io io;
	long n;
	uint64_t seed;
};

static int pours(void *arg)
{
	struct stream *s = arg;
	unsigned char buf[50];
	long at = 0;
	struct rng r;

	rng_seed(&r, s->seed, 0);
	while (at < s->n) {
		size_t n = 1 + rng_below(&r, sizeof buf), done;

		for (size_t i = 0; i < n; i++)
			buf[i] = (unsigned char)((at + (long)i) * 7);
		if (weft_io_write_until(s->io, buf, n, &done, rng_below(&r, 3) ? WEFT_FOREVER : weft_in(20 * WEFT_US)) < 0)
			T_LT(done, n);
		at += (long)done;
	}
	T_EQ(weft_io_shutdown(s->io, SHUT_WR), 0);
	return (int)at;
}

static int pours_main(void *arg)
{
	struct stream s = {.n = tap_iters(20000), .seed = 5};
	unsigned char buf[64];
	weft_task *t;
	struct rng r;
	weft_io b;
	long at = 0;
	ssize_t n;

	(void)arg;
	rng_seed(&r, 6, 0);
	make(&s.io, &b);
	t = start(pours, &s);
	while ((n = weft_io_read_until(b, buf, 1 + rng_below(&r, sizeof buf), rng_below(&r, 3) ? WEFT_FOREVER : weft_in(20 * WEFT_US))) !=
	       0) {
		if (n < 0)
			T_EQ(n, WEFT_ETIMEDOUT);
		for (ssize_t i = 0; i < n; i++)
			T_EQ(buf[i], (unsigned char)((at + i) * 7));
		at += n > 0 ? n : 0;
	}
	T_EQ(finish(t), at);
	end(s.io, b);
	return 0;
}

/* Both sides are late now and then: what was said to be written was read, once and in order. */
TEST_WORKERS(late_and_lossless)
{
	run_net(pours_main, NULL);
}

/* --- threads --- */

static void *thread_writes(void *arg)
{
	weft_io *io = arg;

	T_EQ(weft_io_write(io[0], "from a thread", 13, NULL), 13);
	T_EQ(weft_io_close(io[0]), 0);
	return NULL;
}

static int threads_main(void *arg)
{
	weft_membuf m = {.data = NULL};
	weft_io io[2];
	pthread_t th;
	weft_rd r;

	(void)arg;
	make(&io[0], &io[1]);
	T_EQ(pthread_create(&th, NULL, thread_writes, io), 0);
	T_EQ(weft_rd_init(&r, io[1], NULL, 0), 0);
	T_EQ(weft_rd_all(&r, &m, 100), 13);
	T_STR_EQ(m.data, "from a thread");
	weft_membuf_free(&m);
	weft_rd_free(&r);
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(weft_io_close(io[1]), 0);
	return 0;
}

TEST_WORKERS(threads_use_it)
{
	run_net(threads_main, NULL);
}
