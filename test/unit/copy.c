/* SPDX-License-Identifier: MIT
 *
 * copy.c - io/copy.c: every pairing of ends, of every size that matters, byte for byte; what it needs meanwhile; a proxy.
 */
#include "copies.h"

/* --- every pairing --- */

static const size_t sizes[] = {0, 1, 2, 15, 17, 4095, 4096, 4097, 65535, 65536, 65537, 262144, 262145, 600001};

static void copy_once(enum kind from, enum kind to, size_t n, uint64_t limit, size_t piece)
{
	size_t want = limit < n ? (size_t)limit : n;
	struct end src, dst;
	weft_copied how;

	tap_note("%s to %s, %zu bytes, limit %llu", kind_name[from], kind_name[to], n, (unsigned long long)limit);
	source_make(&src, from, n);
	dest_make(&dst, to, piece);
	T_EQ(weft_io_copy(dst.near, src.near, limit, &how), (int64_t)want);
	T_EQ(how.read, want);
	T_EQ(how.written, want);
	T_OK(!how.dst_failed);
	if (want < n) { /* the rest is still there */
		T_EQ(weft_io_copy(dst.near, src.near, WEFT_COPY_ALL, NULL), (int64_t)(n - want));
	} else if (limit > n) {
		T_EQ(weft_io_copy(dst.near, src.near, WEFT_COPY_ALL, &how), 0); /* still the end */
	}
	T_EQ(dest_end(&dst), n);
	source_end(&src);
}

static int pairings_main(void *arg)
{
	(void)arg;
	for (int from = 0; from < KINDS; from++) {
		for (int to = 0; to < KINDS; to++) {
			for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
				if (tap_slow() == 1 || i % 3 == (size_t)(from + to) % 3)
					copy_once((enum kind)from, (enum kind)to, sizes[i], WEFT_COPY_ALL, 0);
			}
		}
	}
	return 0;
}

TEST_WORKERS(every_pairing)
{
	tap_limit(60);
	run_net(pairings_main, NULL);
}

static int limits_main(void *arg)
{
	static const uint64_t limits[] = {0, 1, 4097, 65536, 100000, 100001};

	(void)arg;
	for (int from = 0; from < KINDS; from++) {
		for (size_t i = 0; i < ARRAY_LEN(limits); i++)
			copy_once((enum kind)from, (enum kind)((from + (int)i) % KINDS), 100000, limits[i], 0);
	}
	return 0;
}

/* Not a byte beyond the limit is read. */
TEST_WORKERS(limits)
{
	run_net(limits_main, NULL);
}

static int slow_main(void *arg)
{
	(void)arg;
	for (int from = 0; from < KINDS; from++) {
		for (int to = 0; to < FILE_; to++)
			copy_once((enum kind)from, (enum kind)to, 300000, WEFT_COPY_ALL, 1000);
	}
	return 0;
}

/* Who reads slowly gets all. */
TEST_WORKERS(slow_readers)
{
	run_net(slow_main, NULL);
}

/* --- descriptors --- */

static int ducts_main(void *arg)
{
	(void)arg;
	for (int i = 0; i < 5; i++)
		copy_once(TCP, UNIX, 100000, WEFT_COPY_ALL, 0);
	T_EQ(weft__copy_ducts(), 1); /* one, used again */
	return 0;
}

TEST_WORKERS(pipes_are_kept)
{
	run_net(ducts_main, NULL); /* and closed at the end: run_net counts descriptors */
	T_EQ(weft__copy_ducts(), 0);
}

static int idle_main(void *arg)
{
	enum { COPIES = 6 };
	struct end src[COPIES], dst[COPIES];
	struct copying c[COPIES];
	weft_task *t[COPIES];

	(void)arg;
	for (int i = 0; i < COPIES; i++) {
		c[i].deadline = 0;
		ends_make(&src[i], TCP, true);
		dest_make(&dst[i], UNIX, 0);
		t[i] = copy_start(&c[i], &dst[i], &src[i]);
		until_reason(t[i], "read");
	}
	T_LE(weft__copy_ducts(), 2); /* those that are kept */
	for (int i = 0; i < COPIES; i++) {
		src[i].n = 20000;
		src[i].task = start(writes_far, &src[i]);
		finish(t[i]);
		T_EQ(c[i].rc, 20000);
		T_EQ(dest_end(&dst[i]), 20000);
		source_end(&src[i]);
	}
	return 0;
}

/* A copy that waits for something to read has no pipe of its own: thousands of idle connections cost no descriptors. */
TEST_WORKERS(idle_copies)
{
	run_net(idle_main, NULL);
}

static int no_fds_main(void *arg)
{
	struct rlimit was, none;
	struct end src, dst;

	(void)arg;
	T_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
	source_make(&src, TCP, 300000);
	dest_make(&dst, UNIX, 0);
	none = was;
	none.rlim_cur = 3;
	T_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
	T_EQ(weft_io_copy(dst.near, src.near, WEFT_COPY_ALL, NULL), 300000);
	T_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
	T_EQ(dest_end(&dst), 300000);
	source_end(&src);
	return 0;
}

/* Without descriptors for a pipe of its own it goes through memory. */
TEST_WORKERS(no_descriptors)
{
	run_net(no_fds_main, NULL);
}

/* --- a proxy --- */

struct proxy {
	weft_tcp *a, *b;
};

static int one_way(void *arg)
{
	struct proxy *p = arg;
	int64_t n = weft_io_copy(weft_tcp_io(p->b), weft_tcp_io(p->a), WEFT_COPY_ALL, NULL);

	T_EQ(weft_tcp_shutdown(p->b, SHUT_WR), 0);
	return (int)n;
}

static int echo_all(void *arg)
{
	weft_tcp *c = arg;
	int64_t n = weft_io_copy(weft_tcp_io(c), weft_tcp_io(c), WEFT_COPY_ALL, NULL);

	T_EQ(weft_tcp_shutdown(c, SHUT_WR), 0);
	return (int)n;
}

static int proxy_main(void *arg)
{
	struct end e = {.kind = TCP, .n = (size_t)tap_iters(5 << 20)};
	weft_tcp *client[2], *server[2];
	struct proxy up, down;
	weft_task *t[5];

	(void)arg;
	pair_make(&client[0], &client[1]);
	pair_make(&server[0], &server[1]);
	up = (struct proxy){client[1], server[0]};
	down = (struct proxy){server[0], client[1]};
	t[0] = start(one_way, &up);
	t[1] = start(one_way, &down);
	t[2] = start(echo_all, server[1]);
	e.far = weft_tcp_io(client[0]);
	t[3] = start(reads_far, &e);
	for (size_t at = 0; at < e.n;) {
		unsigned char buf[8192];
		size_t n = e.n - at < sizeof buf ? e.n - at : sizeof buf;

		pattern(buf, at, n);
		write_all(client[0], buf, n);
		at += n;
	}
	T_EQ(weft_tcp_shutdown(client[0], SHUT_WR), 0); /* half-closed: what comes back still comes */
	T_EQ(finish(t[0]), (int)e.n);
	T_EQ(finish(t[2]), (int)e.n);
	T_EQ(finish(t[1]), (int)e.n);
	T_EQ(finish(t[3]), 0);
	T_EQ(e.got, e.n);
	for (int i = 0; i < 2; i++) {
		T_EQ(weft_tcp_close(client[i]), 0);
		T_EQ(weft_tcp_close(server[i]), 0);
	}
	return 0;
}

/* There and back through a proxy, with the ends passed on. */
TEST_WORKERS(proxy)
{
	tap_limit(60);
	run_net(proxy_main, NULL);
}
