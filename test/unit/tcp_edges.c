/* SPDX-License-Identifier: MIT
 *
 * tcp_edges.c - what nearly goes wrong: urgent data, errors that pass, numbers that were another's, crowds, turns that come too late, deadlines set by two at once, an accept
 * that never can, one close too many.
 */
#include "net.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* --- readiness that must not be lost --- */

static int urgent_main(void *arg)
{
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL);
	int raw = raw_dial(l);
	struct reading r = {.c = accept_from(l)};
	long n = tap_iters(200);

	(void)arg;
	T_EQ(setsockopt(raw, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0);
	for (long i = 0; i < n; i++) {
		weft_task *t = start(reads_once, &r);
		char got[8];
		ssize_t have;

		until_reason(t, "read");
		T_EQ(send(raw, "abc", 3, MSG_NOSIGNAL), 3);
		T_EQ(send(raw, "!", 1, MSG_NOSIGNAL | MSG_OOB), 1);
		T_EQ(send(raw, "def", 3, MSG_NOSIGNAL), 3);
		T_EQ(finish(t), 0);
		T_GT(r.rc, 0);
		T_LE(r.rc, 6);
		memcpy(got, r.buf, (size_t)r.rc);
		for (ssize_t k = r.rc; k < 6; k += have) {
			have = weft_tcp_read(r.c, got + k, sizeof got - (size_t)k);
			T_GT(have, 0);
			T_LE(k + have, 6);
		}
		T_OK(memcmp(got, "abcdef", 6) == 0);
	}
	T_EQ(weft_tcp_close(r.c), 0);
	T_EQ(weft_tcp_listener_close(l), 0);
	close(raw);
	return 0;
}

/* The system's read stops at urgent data: what is behind it is read as well, without another event. */
TEST_WORKERS(urgent_data)
{
	run_net(urgent_main, NULL);
}

/* Reads a datagram, or the error that the socket has. */
static NOINLINE int take_one(struct fd *f, char *to)
{
	struct fd_op op;
	int rc;

	fd_op_init(&op, f, POLL_READ, REASON_READ, WEFT_FOREVER);
	while ((rc = weft__fd_next(&op)) == 0) {
		ssize_t n = recv(f->fd, to, 1, 0);

		rc = n >= 0 ? (int)n : -errno;
		if (rc != -EAGAIN)
			break;
		fd_op_blocked(&op);
	}
	weft__fd_end(&op);
	return rc;
}

struct taker {
	struct fd *f;
	char byte;
};

static int takes_one(void *arg)
{
	struct taker *t = arg;

	return take_one(t->f, &t->byte);
}

/* A UDP socket at that address; to: where it sends. */
static int raw_udp(struct sockaddr_in *at, const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof *at;

	T_GE(fd, 0);
	T_EQ(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
	T_EQ(getsockname(fd, (struct sockaddr *)at, &len), 0);
	if (to)
		T_EQ(connect(fd, (const struct sockaddr *)to, sizeof *to), 0);
	return fd;
}

static int passing_main(void *arg)
{
	struct sockaddr_in mine = {.sin_family = AF_INET}, theirs = {.sin_family = AF_INET};
	struct taker k;
	int peer, fd;

	(void)arg;
	T_EQ(inet_pton(AF_INET, own_host(), &mine.sin_addr), 1);
	theirs.sin_addr = mine.sin_addr;
	peer = raw_udp(&theirs, NULL);
	fd = raw_udp(&mine, &theirs);
	T_EQ(weft__fd_make(&k.f, fd), 0);
	for (int i = 0; i < 5; i++) {
		weft_task *t = start(takes_one, &k);

		until_reason(t, "read");
		close(peer); /* nobody is there: the system says so */
		T_EQ(send(fd, "x", 1, MSG_NOSIGNAL), 1);
		T_EQ(finish(t), -ECONNREFUSED);
		t = start(takes_one, &k); /* it has passed, and somebody comes */
		until_reason(t, "read");
		peer = raw_udp(&theirs, &mine);
		T_EQ(send(peer, "y", 1, MSG_NOSIGNAL), 1);
		T_EQ(finish(t), 1);
		T_EQ(k.byte, 'y');
	}
	T_EQ(weft__fd_close(k.f, false), 0);
	close(peer);
	return 0;
}

/* After an error that the system has told once, what comes later is heard. */
TEST_WORKERS(error_that_passes)
{
	run_net(passing_main, NULL);
}

/* --- numbers --- */

static int heir_of_number_main(void *arg)
{
	enum { MANY = 16 };
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL);
	int64_t soon = weft_in(WEFT_MS);
	weft_tcp *c[MANY];
	struct reading r = {.n = 1};
	int p[2], raw[MANY], n = 0, mine = 0, spare[MANY];
	weft_task *t;

	(void)arg;
	for (int i = 0; i < MANY; i++)
		raw[i] = raw_dial(l);
	for (int i = 0; i < MANY; i++) /* no hole below the pipe */
		spare[i] = fcntl(0, F_DUPFD_CLOEXEC, 0);
	T_EQ(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	T_EQ(weft_io_wait_until(p[0], WEFT_IO_R, soon), WEFT_ETIMEDOUT);
	close(p[0]); /* without a word */
	do {
		T_LT(n, MANY);
		c[n] = accept_from(l);
	} while (number_of(c[n++]) != p[0]);
	for (int i = 0; i < MANY; i++)
		close(spare[i]);
	r.c = c[n - 1];
	while (!meets(raw[mine], p[0])) /* the first, unless another's way was shorter */
		T_LT(++mine, MANY);
	for (int i = 0; i < 3; i++) {
		t = start(reads_once, &r);
		until_reason(t, "read");
		if (i == 1)
			T_EQ(weft_io_forget(p[0]), WEFT_ENOENT); /* too late: it is ours */
		T_EQ(write(raw[mine], "x", 1), 1);
		T_EQ(finish(t), 0);
		T_EQ(r.rc, 1);
	}
	for (int i = 0; i < n; i++)
		T_EQ(weft_tcp_close(c[i]), 0);
	T_EQ(dup3(p[1], p[0], O_CLOEXEC), p[0]); /* and another's again */
	T_EQ(weft_io_wait(p[0], WEFT_IO_W), WEFT_IO_W);
	close(p[0]);
	close(p[1]);
	for (int i = 0; i < MANY; i++)
		close(raw[i]);
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* A descriptor that was waited for is closed, and weft gets its number: what was kept for it is in nobody's way. */
TEST_WORKERS(heir_of_a_number)
{
	run_net(heir_of_number_main, NULL);
}

/* --- turns and deadlines --- */

static int waits_in_io(void *arg)
{
	return weft_io_wait(*(int *)arg, WEFT_IO_R);
}

static int crowd_main(void *arg)
{
	int n = (int)tap_iters(20000), p[2];
	struct in_line w = {.h = NULL};
	weft_task **t = calloc((size_t)n, sizeof *t);
	weft_tcp *a, *b;

	(void)arg;
	T_OK(t != NULL);
	pair_make(&a, &b);
	w.h = a;
	for (int i = 0; i < n; i++) {
		t[i] = start(line_read, &w);
		if (i % 100 == 0)
			until_parked(t[i]);
	}
	for (int i = 0; i < n; i++)
		until_parked(t[i]);
	T_EQ(weft_tcp_close(a), 0);
	for (int i = 0; i < n; i++)
		T_EQ(finish(t[i]), WEFT_ECLOSED);
	T_EQ(weft_tcp_close(b), 0);
	T_EQ(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	for (int i = 0; i < n; i++)
		t[i] = start(waits_in_io, &p[0]);
	for (int i = 0; i < n; i++)
		until_parked(t[i]);
	T_EQ(write(p[1], "x", 1), 1);
	for (int i = 0; i < n; i++)
		T_EQ(finish(t[i]), WEFT_IO_R);
	T_EQ(weft_io_forget(p[0]), 0);
	close(p[0]);
	close(p[1]);
	free(t);
	return 0;
}

/* Twenty thousand tasks may want one descriptor. */
TEST_WORKERS(crowd)
{
	tap_limit(60);
	run_net(crowd_main, NULL);
}

static int late_turn_main(void *arg)
{
	static const char big[200000];
	struct writing first = {.buf = big, .n = 1000}, second = {.buf = big, .n = 1000};
	weft_task *t, *t2;
	weft_tcp *b;

	(void)arg;
	pair_make(&first.c, &b);
	second.c = first.c;
	fill(first.c, number_of(b));
	t = start(writes_once, &first);
	until_reason(t, "write");
	t2 = start(writes_once, &second);
	until_reason(t2, "write");
	while (!holds(number_of(first.c), POLLOUT)) /* there is room, and nobody has been told yet */
		drain(b);
	T_EQ(weft_tcp_set_deadline(first.c, WEFT_FOREVER, weft_now()), 0);
	T_EQ(finish(t), 0);
	T_EQ(finish(t2), 0);
	T_OK(first.rc == 1000 || first.rc == WEFT_ETIMEDOUT);
	T_EQ(second.rc, WEFT_ETIMEDOUT);
	T_EQ(second.done, 0);
	T_EQ(weft_tcp_close(first.c), 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* Whose turn comes after the connection's deadline does not begin any more, even though it could. */
TEST(turn_that_comes_too_late)
{
	T_EQ(run_net_with(late_turn_main, NULL, (weft_opts){.workers = 1, .spares = -1}), 0); /* nobody else tells the first of the room */
}

struct setter {
	weft_tcp *c;
	int64_t at;
	ATOMIC(int) *gate;
};

static int sets(void *arg)
{
	struct setter *s = arg;

	until(load_acquire(s->gate));
	return weft_tcp_set_deadline(s->c, s->at, WEFT_FOREVER);
}

static int at_once_main(void *arg)
{
	struct reading r = {.n = 1};
	long n = tap_iters(3000);
	weft_tcp *b;

	(void)arg;
	pair_make(&r.c, &b);
	time_fake();
	for (long i = 0; i < n; i++) {
		ATOMIC(int) gate = 0;
		struct setter later = {r.c, weft_in(20 * WEFT_SEC), &gate}, never = {r.c, WEFT_FOREVER, &gate};
		weft_task *t[3];

		T_EQ(weft_tcp_set_deadline(r.c, weft_in(10 * WEFT_SEC), WEFT_FOREVER), 0);
		t[0] = start(sets, i % 2 ? &later : &never);
		t[1] = start(sets, i % 2 ? &never : &later);
		store_release(&gate, 1);
		t[2] = start(reads_once, &r);
		T_EQ(finish(t[0]), 0);
		T_EQ(finish(t[1]), 0);
		until_reason(t[2], "read");
		if (load_relaxed(&record_of(r.c)->side[POLL_READ].deadline) == WEFT_FOREVER) {
			write_all(b, "x", 1);
			T_EQ(finish(t[2]), 0);
			T_EQ(r.rc, 1);
		} else {
			time_move(30 * WEFT_SEC);
			T_EQ(finish(t[2]), 0);
			T_EQ(r.rc, WEFT_ETIMEDOUT);
		}
	}
	time_real();
	T_EQ(weft_tcp_close(r.c), 0);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* Of two deadlines set at once, the one that stands in the end is the one that who begins to wait just then waits by. */
TEST_WORKERS(deadlines_set_at_once)
{
	run_net(at_once_main, NULL);
}
/* --- accept --- */

static int accepts(void *arg)
{
	weft_tcp *c = NULL;
	int rc = weft_tcp_accept(arg, &c);

	T_EQ(c, NULL);
	return rc;
}

/* From here on the process may not accept. Like some containers, it says EPERM. */
static bool forbid_accept(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_accept4, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_LEN(code), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

static int forbidden_main(void *arg)
{
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL);
	int raw = raw_dial(l), number = number_of(l);
	weft_task *t;

	(void)arg;
	if (!forbid_accept())
		tap_skip("no filters for system calls here");
	t = start(accepts, l);
	until_reason(t, "accept"); /* it does not try for ever, holding its worker */
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	t = start(accepts, l);
	until_reason(t, "accept");
	weft_tcp_listener_ref(l);
	T_EQ(weft_tcp_listener_close(l), 0);
	T_OK(!is_open(number));
	T_EQ(finish(t), WEFT_ECLOSED);
	T_EQ(weft_tcp_listener_close(l), WEFT_ECLOSED);
	close(raw);
	return 0;
}

/* Connections that break before they are accepted, one after the other without end, keep neither the worker nor a cancel or close waiting. */
TEST_WORKERS(none_can_be_accepted)
{
	if (weft__emulated())
		tap_skip("an emulator makes system calls of its own");
	run_net(forbidden_main, NULL);
}

/* --- mistakes --- */

static int once_too_often_main(void *arg)
{
	weft_tcp *a, *b;

	(void)arg;
	pair_make(&a, &b);
	T_EQ(weft_tcp_close(b), 0);
	T_EQ(weft_tcp_close(a), 0);
	weft_tcp_close(a);
	return 0;
}

/* A close without a reference is said to be a mistake, as long as nobody else has the record. */
TEST_DIES(closed_once_too_often, "closed more often than it has references")
{
	run_net(once_too_often_main, NULL);
}
