/* SPDX-License-Identifier: MIT
 *
 * http.c - curl, nc and socat against a small server over buffered readers and copies: what they get and send, byte for byte; slow, half-closed and killed ones.
 *
 *   GET /N      the first N bytes of the pattern           GET /file/N   the same, from a file
 *   GET /endless                                           PUT, POST     "COUNT SUM" of the body
 *   SUM         (no HTTP) "COUNT SUM" of all that follows, up to the end of the input
 */
#include "net.h"
#include "peer.h"

#include "weft/bufio.h"
#include "weft/file.h"
#include "weft/unix.h"
#include <inttypes.h>
#include <strings.h>
#include <sys/mman.h>

#define BIG ((size_t)tap_iters(20 << 20))

/* --- what is sent --- */

static unsigned char byte_at(uint64_t i)
{
	return (unsigned char)(i * 13 + i / 509);
}

/* The pattern as a stream: of so many bytes, from `at` on. */
struct pattern {
	uint64_t at, end;
};

static ssize_t pattern_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	struct pattern *p = self;
	size_t n = v->iov_len < p->end - p->at ? v->iov_len : (size_t)(p->end - p->at);
	unsigned char *to = v->iov_base;

	(void)count;
	(void)deadline;
	for (size_t i = 0; i < n; i++)
		to[i] = byte_at(p->at + i);
	p->at += n;
	return (ssize_t)n;
}

static weft_io pattern_io(struct pattern *p)
{
	static const weft_io_ops ops = {.kind = "pattern", .readv = pattern_readv};

	return (weft_io){&ops, p};
}

/* What is written to it is counted and summed up. */
struct sum {
	uint64_t n, hash;
};

static ssize_t sum_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline)
{
	struct sum *s = self;

	(void)deadline;
	*done = 0;
	for (int i = 0; i < count; i++) {
		const unsigned char *p = v[i].iov_base;

		for (size_t k = 0; k < v[i].iov_len; k++)
			s->hash = (s->hash ^ p[k]) * 1099511628211u; /* FNV-1a */
		*done += v[i].iov_len;
	}
	s->n += *done;
	return (ssize_t)*done;
}

static weft_io sum_io(struct sum *s)
{
	static const weft_io_ops ops = {.kind = "sum", .writev = sum_writev};

	*s = (struct sum){.hash = 14695981039346656037u};
	return (weft_io){&ops, s};
}

static const char *sum_of_pattern(uint64_t n)
{
	static char text[64];
	struct pattern p = {0, n};
	struct sum s;

	T_EQ(weft_io_copy(sum_io(&s), pattern_io(&p), WEFT_COPY_ALL, NULL), (int64_t)n);
	snprintf(text, sizeof text, "%" PRIu64 " %016" PRIx64 "\n", s.n, s.hash);
	return text;
}

/* --- the server --- */

struct server {
	weft_tcp_listener *l;
	weft_task *task;
	weft_wg clients;
	char at[WEFT_ADDR_TEXT];
	ATOMIC(int64_t) sent; /* bytes of the endless answer */
	ATOMIC(int) ended;    /* why it ended */
	ATOMIC(int) served;
};

static int send_file(struct server *s, weft_io io, uint64_t n)
{
	struct pattern p = {0, n};
	weft_file *f;
	int64_t rc;

	(void)s;
	T_EQ(weft_file_from_fd(&f, memfd_create("file", MFD_CLOEXEC)), 0);
	T_EQ(weft_io_copy(weft_file_io(f), pattern_io(&p), WEFT_COPY_ALL, NULL), (int64_t)n);
	T_EQ(weft_file_seek(f, 0, SEEK_SET), 0);
	rc = weft_io_copy(io, weft_file_io(f), WEFT_COPY_ALL, NULL);
	T_EQ(weft_file_close(f), 0);
	return rc < 0 ? (int)rc : 0;
}

static void endless(struct server *s, weft_io io)
{
	struct pattern p = {0, UINT64_MAX};
	weft_copied how;
	int64_t rc;

	do {
		rc = weft_io_copy(io, pattern_io(&p), 1 << 20, &how);
		add_relaxed(&s->sent, (int64_t)how.written);
	} while (rc > 0);
	T_OK(how.dst_failed);
	store_release(&s->ended, (int)rc);
}

/* One request. */
static void answer(struct server *s, weft_io io, weft_rd *r, weft_wr *w)
{
	char method[8] = "", path[64] = "", *line;
	uint64_t length = 0, n = 0;
	struct sum sum;

	if (weft_rd_line(r, &line) < 0)
		return;
	if (strcmp(line, "SUM") == 0) {
		if (weft_io_copy(sum_io(&sum), weft_rd_io(r), WEFT_COPY_ALL, NULL) >= 0)
			weft_wr_printf(w, "%" PRIu64 " %016" PRIx64 "\n", sum.n, sum.hash);
		weft_wr_flush(w);
		return;
	}
	T_EQ(sscanf(line, "%7s %63s", method, path), 2);
	while (weft_rd_line(r, &line) > 0) {
		if (strncasecmp(line, "Content-Length:", 15) == 0)
			length = strtoull(line + 15, NULL, 10);
	}
	weft_wr_printf(w, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n");
	if (strcmp(method, "GET") != 0) {
		weft_limited body = {weft_rd_io(r), length};

		if (weft_io_copy(sum_io(&sum), weft_limited_io(&body), WEFT_COPY_ALL, NULL) == (int64_t)length)
			weft_wr_printf(w, "%" PRIu64 " %016" PRIx64 "\n", sum.n, sum.hash);
		weft_wr_flush(w);
	} else if (strcmp(path, "/endless") == 0) {
		weft_wr_flush(w);
		endless(s, io);
	} else if (sscanf(path, "/file/%" SCNu64, &n) == 1) {
		weft_wr_flush(w);
		send_file(s, io, n);
	} else if (sscanf(path, "/%" SCNu64, &n) == 1) {
		struct pattern p = {0, n};

		weft_io_copy(weft_wr_io(w), pattern_io(&p), WEFT_COPY_ALL, NULL);
		weft_wr_flush(w);
	}
}

struct client {
	struct server *s;
	weft_tcp *c;
};

static int serve_one(void *arg)
{
	struct client *me = arg;
	weft_io io = weft_tcp_io(me->c);
	weft_rd r;
	weft_wr w;
	char c;

	T_EQ(weft_rd_init(&r, io, NULL, 4096), 0);
	T_EQ(weft_wr_init(&w, io, NULL, 4096), 0);
	answer(me->s, io, &r, &w);
	weft_tcp_shutdown(me->c, SHUT_WR);
	while (weft_rd_read(&r, &c, 1) > 0) /* to the end: it may be sending still, and a close would reset */
		;
	weft_rd_free(&r);
	weft_wr_free(&w);
	T_EQ(weft_tcp_close(me->c), 0);
	add_relaxed(&me->s->served, 1);
	weft_wg_done(&me->s->clients);
	free(me);
	return 0;
}

static int serve(void *arg)
{
	struct server *s = arg;
	weft_tcp *c;

	while (weft_tcp_accept(s->l, &c) == 0) {
		struct client *me = malloc(sizeof *me);

		*me = (struct client){s, c};
		weft_wg_add(&s->clients, 1);
		T_EQ(weft_go_opts(NULL, serve_one, me, NULL), 0);
	}
	return 0;
}

static void server_start(struct server *s)
{
	memset(s, 0, sizeof *s);
	s->l = listen_at("127.0.0.1:0", s->at);
	s->task = start(serve, s);
}

static void server_end(struct server *s)
{
	T_EQ(weft_task_cancel(s->task), 0);
	T_EQ(finish(s->task), 0);
	weft_wg_wait(&s->clients);
	T_EQ(weft_tcp_listener_close(s->l), 0);
}

/* --- curl --- */

static const char *url(struct server *s, const char *path)
{
	static char text[8][256];
	static int at;

	at = (at + 1) % 8;
	snprintf(text[at], sizeof text[at], "http://%s%s", s->at, path);
	return text[at];
}

/* All that p says is n bytes of the pattern. */
static void expect_pattern(struct peer *p, uint64_t n)
{
	static unsigned char buf[65536];
	uint64_t all = 0;
	size_t got;

	while ((got = peer_read(p, buf, sizeof buf)) > 0) {
		for (size_t i = 0; i < got; i++)
			T_EQ(buf[i], byte_at(all + i));
		all += got;
	}
	T_EQ(all, n);
}

static int downloads_main(void *arg)
{
	static const uint64_t sizes[] = {0, 1, 4096, 65537};
	const char *curl = peer_need("curl");
	struct server s;
	struct peer p;
	char path[64];

	(void)arg;
	server_start(&s);
	for (size_t i = 0; i <= ARRAY_LEN(sizes); i++) {
		for (int file = 0; file < 2; file++) {
			uint64_t n = i < ARRAY_LEN(sizes) ? sizes[i] : BIG;

			snprintf(path, sizeof path, "%s/%" PRIu64, file ? "/file" : "", n);
			peer_start(&p, PEER_OUT, curl, "-sS", url(&s, path), NULL);
			expect_pattern(&p, n);
			T_EQ(peer_end(&p), 0);
		}
	}
	server_end(&s);
	return 0;
}

TEST_WORKERS(downloads)
{
	run_net(downloads_main, NULL);
}

static int uploads_main(void *arg)
{
	static const uint64_t sizes[] = {0, 1, 65537};
	const char *curl = peer_need("curl");
	char dir[64], path[128];
	struct server s;

	(void)arg;
	peer_dir(dir);
	snprintf(path, sizeof path, "%s/upload", dir);
	server_start(&s);
	for (size_t i = 0; i <= ARRAY_LEN(sizes); i++) {
		uint64_t n = i < ARRAY_LEN(sizes) ? sizes[i] : BIG;
		struct pattern all = {0, n};
		char said[64] = "";
		weft_file *f;
		struct peer p;

		T_EQ(weft_file_open(&f, path, O_WRONLY | O_CREAT | O_TRUNC, 0600), 0);
		T_EQ(weft_io_copy(weft_file_io(f), pattern_io(&all), WEFT_COPY_ALL, NULL), (int64_t)n);
		T_EQ(weft_file_close(f), 0);
		peer_start(&p, PEER_OUT, curl, "-sS", "-H", "Expect:", "-T", path, url(&s, "/upload"), NULL);
		peer_read(&p, said, sizeof said - 1);
		T_STR_EQ(said, sum_of_pattern(n));
		T_EQ(peer_end(&p), 0);
	}
	server_end(&s);
	peer_dir_end(dir);
	return 0;
}

TEST_WORKERS(uploads)
{
	run_net(uploads_main, NULL);
}

static int slow_main(void *arg)
{
	const char *curl = peer_need("curl");
	struct server s;
	struct peer p;

	(void)arg;
	server_start(&s);
	peer_start(&p, PEER_OUT, curl, "-sS", "--limit-rate", "1M", url(&s, "/file/1000000"), NULL);
	expect_pattern(&p, 1000000);
	T_EQ(peer_end(&p), 0);
	server_end(&s);
	return 0;
}

TEST(slow_client)
{
	run_net(slow_main, NULL);
}

static int many_main(void *arg)
{
	enum { CLIENTS = 6 };
	const char *curl = peer_need("curl");
	struct peer *p = calloc(CLIENTS, sizeof *p);
	struct server s;
	char path[64];

	(void)arg;
	server_start(&s);
	for (int i = 0; i < CLIENTS; i++) {
		snprintf(path, sizeof path, "%s/%d", i % 2 ? "/file" : "", 500000 + i);
		peer_start(&p[i], PEER_OUT, curl, "-sS", url(&s, path), NULL);
	}
	for (int i = 0; i < CLIENTS; i++) {
		expect_pattern(&p[i], 500000 + (uint64_t)i);
		T_EQ(peer_end(&p[i]), 0);
	}
	server_end(&s);
	T_EQ(load_relaxed(&s.served), CLIENTS);
	free(p);
	return 0;
}

TEST_WORKERS(many_clients)
{
	run_net(many_main, NULL);
}

static int killed_main(void *arg)
{
	const char *curl = peer_need("curl");
	struct server s;
	struct peer p;

	(void)arg;
	server_start(&s);
	peer_start(&p, 0, curl, "-sS", "-o", "/dev/null", url(&s, "/endless"), NULL);
	until(load_relaxed(&s.sent) > 4 << 20);
	peer_signal(&p, SIGKILL);
	T_EQ(peer_end(&p), -SIGKILL);
	until(load_acquire(&s.ended) != 0);
	T_OK(load_relaxed(&s.ended) == WEFT_EPIPE || load_relaxed(&s.ended) == WEFT_ECONNRESET);
	peer_start(&p, PEER_OUT, curl, "-sS", url(&s, "/1000"), NULL); /* the server serves on */
	expect_pattern(&p, 1000);
	T_EQ(peer_end(&p), 0);
	server_end(&s);
	return 0;
}

TEST_WORKERS(killed_in_the_middle)
{
	run_net(killed_main, NULL);
}

/* --- nc, socat --- */

static void pour(struct peer *p, uint64_t n)
{
	static unsigned char buf[65536];

	for (uint64_t at = 0; at < n;) {
		size_t now = n - at < sizeof buf ? (size_t)(n - at) : sizeof buf;

		for (size_t i = 0; i < now; i++)
			buf[i] = byte_at(at + i);
		T_OK(peer_write(p, buf, now));
		at += now;
	}
}

static int half_close_main(void *arg)
{
	const char *const progs[] = {"nc", "socat"};
	uint64_t n = BIG / 4;
	struct server s;

	(void)arg;
	server_start(&s);
	for (int i = 0; i < 2; i++) {
		const char *path = peer_need(progs[i]);
		char said[64] = "", port[16], to[64], real[PATH_MAX];
		struct peer p;

		if (i == 0 && (!realpath(path, real) || !strstr(real, "openbsd"))) {
			tap_note("nc is not OpenBSD's: it has no -N");
			continue;
		}
		snprintf(port, sizeof port, "%d", port_of(s.l));
		snprintf(to, sizeof to, "TCP:127.0.0.1:%s", port);
		if (i == 0)
			peer_start(&p, PEER_IN | PEER_OUT, path, "-N", "127.0.0.1", port, NULL);
		else
			peer_start(&p, PEER_IN | PEER_OUT, path, "-t", "30", "-", to, NULL);
		T_OK(peer_write(&p, "SUM\r\n", 5));
		pour(&p, n);
		peer_shut(&p); /* it says so to the server, and reads on */
		peer_read(&p, said, sizeof said - 1);
		T_STR_EQ(said, sum_of_pattern(n));
		T_EQ(peer_end(&p), 0);
	}
	server_end(&s);
	return 0;
}

TEST_WORKERS(half_close)
{
	run_net(half_close_main, NULL);
}

struct upload {
	weft_io io;
	uint64_t n;
};

static int uploads_all(void *arg)
{
	struct upload *u = arg;
	struct pattern all = {0, u->n};

	T_EQ(weft_io_copy(u->io, pattern_io(&all), WEFT_COPY_ALL, NULL), (int64_t)u->n);
	T_EQ(weft_io_shutdown(u->io, SHUT_WR), 0);
	return 0;
}

/* Through an echo of socat's, on a Unix domain socket, there and back at once. */
static int echo_main(void *arg)
{
	char dir[64], at[128];
	const char *path = peer_need("socat");
	struct upload u = {.n = BIG / 2};
	struct sum sum;
	weft_unix *c;
	weft_task *t;
	struct peer p;
	char text[64];

	(void)arg;
	peer_dir(dir);
	snprintf(at, sizeof at, "UNIX-LISTEN:%s/s", dir);
	/* blocks of a page: of more a part may fit into its pipe, and it would wait for itself */
	peer_start(&p, PEER_ERR, path, "-d", "-d", "-b", "4096", "-t", "30", at, "PIPE", NULL);
	peer_until_says(&p, "listening on");
	snprintf(at, sizeof at, "%s/s", dir);
	T_EQ(weft_unix_dial(&c, at), 0);
	u.io = weft_unix_io(c);
	t = start(uploads_all, &u);
	T_EQ(weft_io_copy(sum_io(&sum), u.io, u.n, NULL), (int64_t)u.n);
	T_EQ(finish(t), 0);
	snprintf(text, sizeof text, "%" PRIu64 " %016" PRIx64 "\n", sum.n, sum.hash);
	T_STR_EQ(text, sum_of_pattern(u.n));
	T_EQ(weft_unix_close(c), 0);
	T_EQ(peer_end(&p), 0);
	peer_dir_end(dir);
	return 0;
}

TEST_WORKERS(echo_over_a_unix_socket)
{
	run_net(echo_main, NULL);
}
