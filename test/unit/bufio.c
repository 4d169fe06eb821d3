/* SPDX-License-Identifier: MIT
 *
 * bufio.c - buffered reading and writing over real connections: what is late, cancelled, closed or reset in the middle of a line or of a flush.
 */
#include "net.h"

#include "base/rand.h"
#include "weft/bufio.h"

struct ends {
	weft_tcp *near;
	int far; /* a plain descriptor: its own end of the connection */
	weft_tcp *peer;
	weft_rd r;
	weft_wr w;
};

static void ends_make(struct ends *e, size_t size)
{
	pair_make(&e->near, &e->peer);
	e->far = number_of(e->peer);
	T_EQ(weft_rd_init(&e->r, weft_tcp_io(e->near), NULL, size), 0);
	T_EQ(weft_wr_init(&e->w, weft_tcp_io(e->near), NULL, size), 0);
}

static void ends_end(struct ends *e)
{
	weft_rd_free(&e->r);
	weft_wr_free(&e->w);
	T_EQ(weft_tcp_close(e->near), 0);
	T_EQ(weft_tcp_close(e->peer), 0);
}

static void say(struct ends *e, const char *text)
{
	write_all(e->peer, text, strlen(text));
}

struct call {
	struct ends *e;
	int64_t deadline;
	ssize_t rc;
	char *line;
};

static int reads_line(void *arg)
{
	struct call *c = arg;

	c->rc = weft_rd_line_until(&c->e->r, &c->line, c->deadline);
	return 0;
}

/* --- reading --- */

static int line_main(void *arg)
{
	weft_ctx *ctx;
	struct ends e;
	struct call c;
	weft_task *t;

	(void)arg;
	ends_make(&e, 64);
	say(&e, "half a ");
	for (int how = 0; how < 5; how++) {
		c = (struct call){.e = &e, .deadline = how == 0 ? weft_in(2 * WEFT_MS) : how == 1 ? WEFT_NOW : WEFT_FOREVER};
		ctx = how == 3 ? weft_ctx_with_deadline(NULL, weft_in(2 * WEFT_MS)) : weft_ctx_make(NULL);
		T_EQ(weft_go_opts(&t, reads_line, &c, &(weft_task_opts){.name = "reader", .ctx = ctx}), 0);
		if (how == 2 || how == 4) {
			until_reason(t, "read");
			if (how == 2)
				T_EQ(weft_task_cancel(t), 0);
			else
				T_EQ(weft_tcp_set_deadline(e.near, 1, WEFT_FOREVER), 0);
		}
		T_EQ(finish(t), 0);
		T_EQ(c.rc, how == 1 ? WEFT_EAGAIN : how == 2 ? WEFT_ECANCELED : WEFT_ETIMEDOUT);
		T_OK(!c.line);
		weft_ctx_free(ctx);
	}
	T_EQ(weft_tcp_set_deadline(e.near, WEFT_FOREVER, WEFT_FOREVER), 0);
	say(&e, "line\r\nand");
	T_EQ(weft_rd_line(&e.r, &c.line), 11);
	T_STR_EQ(c.line, "half a line");
	T_EQ(weft_tcp_shutdown(e.peer, SHUT_WR), 0);
	T_EQ(weft_rd_line(&e.r, &c.line), 3);
	T_STR_EQ(c.line, "and");
	T_EQ(weft_rd_line(&e.r, &c.line), WEFT_EOF);
	ends_end(&e);
	return 0;
}

/* A line whose second half is late, in every way to be late: the first half waits for it. */
TEST_WORKERS(half_a_line)
{
	run_net(line_main, NULL);
}

static int reset_main(void *arg)
{
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL);
	int raw = raw_dial(l);
	weft_tcp *c;
	char out[8] = "", *line;
	weft_rd r;

	(void)arg;
	for (c = accept_from(l); !meets(raw, number_of(c)); c = accept_from(l)) /* the port may have been another program's until now */
		T_EQ(weft_tcp_close(c), 0);
	T_EQ(weft_rd_init(&r, weft_tcp_io(c), NULL, 64), 0);
	T_EQ(write(raw, "one\ntwo", 7), 7);
	T_EQ(weft_rd_line(&r, &line), 3);
	raw_reset(raw);
	T_EQ(weft_rd_line(&r, &line), WEFT_ECONNRESET); /* not a line, though the socket would read to an end from here on */
	T_EQ(weft_rd_line(&r, &line), WEFT_ECONNRESET);
	T_EQ(weft_rd_read(&r, out, sizeof out), 3);
	T_STR_EQ(out, "two");
	weft_rd_free(&r);
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* A peer that has cut the connection in the middle of a line has not sent a line. */
TEST_WORKERS(reset_in_a_line)
{
	run_net(reset_main, NULL);
}

static int closed_main(void *arg)
{
	struct ends e;
	struct call c = {.e = &e, .deadline = WEFT_FOREVER};
	weft_task *t;

	(void)arg;
	ends_make(&e, 64);
	weft_tcp_ref(e.near);
	t = start(reads_line, &c);
	until_reason(t, "read");
	T_EQ(weft_tcp_close(e.near), 0);
	T_EQ(finish(t), 0);
	T_EQ(c.rc, WEFT_ECLOSED);
	T_EQ(weft_wr_byte(&e.w, 'a'), 0);
	T_EQ(weft_wr_flush(&e.w), WEFT_ECLOSED);
	weft_rd_free(&e.r);
	weft_wr_free(&e.w);
	T_EQ(weft_tcp_close(e.near), WEFT_ECLOSED);
	T_EQ(weft_tcp_close(e.peer), 0);
	return 0;
}

TEST_WORKERS(closed_while_reading)
{
	run_net(closed_main, NULL);
}

/* --- writing --- */

static int flushes(void *arg)
{
	struct call *c = arg;

	c->rc = weft_wr_flush_until(&c->e->w, c->deadline);
	return 0;
}

static int late_flush_main(void *arg)
{
	size_t zeros, all = 0;
	char buf[4096];
	struct ends e;
	struct call c;
	weft_task *t;

	(void)arg;
	ends_make(&e, 64);
	zeros = fill(e.near, e.far);
	T_EQ(weft_wr_printf(&e.w, "hello, %s", "world"), 12);
	T_EQ(weft_wr_flush_until(&e.w, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_wr_flush_until(&e.w, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	c = (struct call){.e = &e, .deadline = WEFT_FOREVER};
	t = start(flushes, &c);
	until_reason(t, "write");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), 0);
	T_EQ(c.rc, WEFT_ECANCELED);
	T_EQ(weft_wr_buffered(&e.w), 12);
	t = start(flushes, &c);
	until_reason(t, "write");
	for (size_t left = zeros; left > 0;) { /* now it is read */
		ssize_t n = weft_tcp_read(e.peer, buf, left < sizeof buf ? left : sizeof buf);

		T_GT(n, 0);
		left -= (size_t)n;
		all += (size_t)n;
	}
	T_EQ(all, zeros);
	T_EQ(finish(t), 0);
	T_EQ(c.rc, 0);
	T_EQ(weft_tcp_shutdown(e.near, SHUT_WR), 0);
	memset(buf, 0, sizeof buf);
	read_all(e.peer, buf, 12);
	T_STR_EQ(buf, "hello, world");
	T_EQ(weft_tcp_read(e.peer, buf, 1), 0); /* once */
	ends_end(&e);
	return 0;
}

/* A flush that was late three times is sent once. */
TEST_WORKERS(late_flush)
{
	run_net(late_flush_main, NULL);
}

static int gone_main(void *arg)
{
	struct ends e;
	ssize_t rc = 0;

	(void)arg;
	ends_make(&e, 64);
	T_EQ(weft_tcp_close(e.peer), 0);
	for (int i = 0; rc >= 0; i++) /* until its answer has come, however many fit in meanwhile */
		rc = weft_wr_printf(&e.w, "line %d\n", i);
	T_OK(rc == WEFT_EPIPE || rc == WEFT_ECONNRESET);
	T_EQ(weft_wr_flush(&e.w), rc); /* all that follows says the same */
	T_EQ(weft_wr_byte(&e.w, 'a'), rc);
	weft_rd_free(&e.r);
	weft_wr_free(&e.w);
	T_EQ(weft_tcp_close(e.near), 0);
	return 0;
}

TEST_WORKERS(peer_is_gone)
{
	run_net(gone_main, NULL);
}

/* --- both, in bulk --- */

enum { LINES = 3000 };

static long line_text(long i, char *buf)
{
	long n = (i * 37) % 200;

	memset(buf, 'a' + (int)(i % 26), (size_t)n);
	buf[n] = '\0';
	return n;
}

static int writes_lines(void *arg)
{
	struct ends *e = arg;
	long n = tap_iters(LINES);
	char text[256];

	for (long i = 0; i < n; i++) {
		line_text(i, text);
		T_GE(weft_wr_printf(&e->w, "%ld:%s\n", i, text), 0);
	}
	T_EQ(weft_wr_flush(&e->w), 0);
	return weft_tcp_shutdown(e->near, SHUT_WR);
}

static int bulk_main(void *arg)
{
	char text[256], want[300], *line;
	struct ends e;
	weft_task *t;
	weft_rd r;

	(void)arg;
	ends_make(&e, 100); /* less than many lines have */
	T_EQ(weft_rd_init(&r, weft_tcp_io(e.peer), NULL, 256), 0);
	t = start(writes_lines, &e);
	for (long i = 0; i < tap_iters(LINES); i++) {
		line_text(i, text);
		snprintf(want, sizeof want, "%ld:%s", i, text);
		T_EQ(weft_rd_line(&r, &line), (ssize_t)strlen(want));
		T_STR_EQ(line, want);
	}
	T_EQ(weft_rd_line(&r, &line), WEFT_EOF);
	T_EQ(finish(t), 0);
	weft_rd_free(&r);
	ends_end(&e);
	return 0;
}

TEST_WORKERS(lines_in_bulk)
{
	run_net(bulk_main, NULL);
}
