/* SPDX-License-Identifier: MIT
 *
 * tcp_options.c - TCP: options, references that are given up, descriptors taken over and lent, how long a listener waits.
 */
#include "net.h"

static int option(int fd, int level, int name)
{
	socklen_t n = sizeof(int);
	int value = -1;

	T_EQ(getsockopt(fd, level, name, &value, &n), 0);
	return value;
}

static int options_main(void *arg)
{
	weft_tcp *a, *b;
	int fd;

	(void)arg;
	pair_make(&a, &b);
	fd = number_of(a);
	T_EQ(weft_tcp_user_timeout(a, 1500 * WEFT_US), 0);
	T_EQ(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 2);
	T_EQ(weft_tcp_user_timeout(a, 0), 0);
	T_EQ(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
	T_EQ(weft_tcp_user_timeout(a, -1), WEFT_EINVAL);
	T_EQ(weft_tcp_user_timeout(a, INT64_MAX), WEFT_EINVAL);
	T_EQ(weft_tcp_quickack(a, true), 0);
	T_EQ(weft_tcp_quickack(a, false), 0);
	T_EQ(option(fd, IPPROTO_TCP, TCP_QUICKACK), 0);
	T_EQ(weft_tcp_buffers(a, 20000, 30000), 0);
	T_EQ(option(fd, SOL_SOCKET, SO_SNDBUF), 40000);
	T_EQ(option(fd, SOL_SOCKET, SO_RCVBUF), 60000);
	T_EQ(weft_tcp_buffers(a, 0, 25000), 0);
	T_EQ(option(fd, SOL_SOCKET, SO_SNDBUF), 40000);
	T_EQ(option(fd, SOL_SOCKET, SO_RCVBUF), 50000);
	T_EQ(weft_tcp_buffers(a, -1, 0), WEFT_EINVAL);
	T_EQ(weft_tcp_buffers(a, 0, -1), WEFT_EINVAL);
	T_EQ(weft_tcp_linger(a, false), 0);
	T_EQ(weft_tcp_linger(a, true), 0);
	talk(a, b);

	weft_tcp_ref(a);
	T_EQ(weft_tcp_close(a), 0);
	T_EQ(weft_tcp_user_timeout(a, 1), WEFT_ECLOSED);
	T_EQ(weft_tcp_quickack(a, true), WEFT_ECLOSED);
	T_EQ(weft_tcp_buffers(a, 1, 1), WEFT_ECLOSED);
	T_EQ(weft_tcp_linger(a, true), WEFT_ECLOSED);
	T_EQ(weft_tcp_fd(a), WEFT_ECLOSED);
	weft_tcp_free(a);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

TEST_WORKERS(options)
{
	if (weft__emulated())
		tap_skip("some options are not the emulator's");
	run_net(options_main, NULL);
}

static int listen_main(void *arg)
{
	weft_tcp_listener *l;
	weft_tcp *c;
	int raw;

	(void)arg;
	T_EQ(weft_tcp_listen(&l, "127.0.0.1:0", &(weft_listen_opts){.send_buffer = 20000, .receive_buffer = 30000}), 0);
	raw = raw_dial(l);
	c = accept_from(l);
	T_EQ(option(number_of(c), SOL_SOCKET, SO_SNDBUF), 40000);
	T_EQ(option(number_of(c), SOL_SOCKET, SO_RCVBUF), 60000);
	T_EQ(weft_tcp_close(c), 0);
	close(raw);
	T_EQ(weft_tcp_listener_close(l), 0);
	T_EQ(weft_tcp_listen(&l, "127.0.0.1:0", &(weft_listen_opts){.send_buffer = -1}), WEFT_EINVAL);
	T_EQ(weft_tcp_listen(&l, "127.0.0.1:0", &(weft_listen_opts){.receive_buffer = -1}), WEFT_EINVAL);
	T_OK(!l);
	return 0;
}

/* A listener's connections have its buffers. */
TEST_WORKERS(listeners_buffers)
{
	run_net(listen_main, NULL);
}

static int linger_main(void *arg)
{
	weft_tcp *a, *b;
	char x;

	(void)arg;
	pair_make(&a, &b);
	T_EQ(weft_tcp_linger(a, false), 0);
	T_EQ(weft_tcp_close(a), 0);
	T_EQ(weft_tcp_read(b, &x, 1), WEFT_ECONNRESET);
	T_EQ(weft_tcp_close(b), 0);
	return 0;
}

/* A connection that does not linger is reset by its close. */
TEST_WORKERS(close_resets)
{
	run_net(linger_main, NULL);
}

/* --- references --- */

struct sharing {
	weft_tcp *c;
	ATOMIC(int) left;
};

static int gives_up(void *arg)
{
	struct sharing *s = arg;

	weft_task_yield();
	if (add_acq_rel(&s->left, -1) == 1)
		T_OK(is_open(number_of(s->c))); /* the reference of nobody else is there any more, but mine */
	weft_tcp_free(s->c);
	return 0;
}

static int free_main(void *arg)
{
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL);
	int raw = raw_dial(l), number;
	weft_tcp *c = accept_from(l);
	char x;

	(void)arg;
	weft_tcp_ref(c);
	weft_tcp_free(c);
	T_EQ(write(raw, "x", 1), 1);
	T_EQ(weft_tcp_read(c, &x, 1), 1);
	T_EQ(weft_tcp_fd(c), number = number_of(c));
	weft_tcp_free(c);
	T_OK(!is_open(number));
	T_EQ(read(raw, &x, 1), 0);
	close(raw);
	weft_tcp_free(NULL);

	weft_tcp_listener_ref(l);
	weft_tcp_listener_free(l);
	raw = raw_dial(l);
	c = accept_from(l);
	T_EQ(weft_tcp_close(c), 0);
	close(raw);
	number = weft_tcp_listener_fd(l);
	T_EQ(number, number_of(l));
	weft_tcp_listener_free(l);
	T_OK(!is_open(number));
	weft_tcp_listener_free(NULL);
	return 0;
}

/* A reference that is freed leaves the connection open for the others; the last one closes it. */
TEST_WORKERS(references_are_given_up)
{
	run_net(free_main, NULL);
}

static int free_race_main(void *arg)
{
	enum { TASKS = 4 };
	long n = tap_iters(200);

	(void)arg;
	for (long i = 0; i < n; i++) {
		struct sharing s = {.left = TASKS};
		weft_task *t[TASKS];
		weft_tcp *b;
		char x;

		pair_make(&s.c, &b);
		for (int k = 1; k < TASKS; k++)
			weft_tcp_ref(s.c);
		for (int k = 0; k < TASKS; k++)
			t[k] = start(gives_up, &s);
		T_EQ(weft_tcp_read(b, &x, 1), 0); /* closed, once all have */
		for (int k = 0; k < TASKS; k++)
			finish(t[k]);
		T_EQ(weft_tcp_close(b), 0);
	}
	return 0;
}

/* Several give up theirs at once: it is closed once. */
TEST_WORKERS(all_give_up_at_once)
{
	run_net(free_race_main, NULL);
}

static int heir_main(void *arg)
{
	struct reading r[2] = {{.n = 1}, {.n = 1}};
	weft_task *t[2];
	weft_tcp *b;
	int number;

	(void)arg;
	for (int look = 0; look < 2; look++) {
		pair_make(&r[0].c, &b);
		r[1].c = r[0].c;
		number = number_of(r[0].c);
		for (int i = 0; i < 2; i++) {
			t[i] = start(reads_once, &r[i]);
			until_reason(t[i], "read");
			if (look && i == 0) /* an event, to no avail: the second looks as if it could try at once */
				T_EQ(weft_tcp_set_deadline(r[0].c, weft_in(1000 * WEFT_SEC), WEFT_FOREVER), 0);
		}
		weft_tcp_free(r[0].c); /* who waits in line keeps it, for as long */
		write_all(b, "12", 2);
		for (int i = 0; i < 2; i++)
			finish(t[i]);
		T_EQ(r[0].rc, 1);
		T_EQ(r[1].rc, WEFT_ECLOSED);
		T_OK(!is_open(number));
		T_EQ(weft_tcp_close(b), 0);
	}
	return 0;
}

/* The last reference is given up while one reads and one waits in line, neither with a reference: nothing is left open. */
TEST_WORKERS(given_up_to_those_who_wait)
{
	run_net(heir_main, NULL);
}

/* --- taken over --- */

static int from_fd_main(void *arg)
{
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL), *m;
	int raw, fd, un[2];
	char at[WEFT_ADDR_TEXT];
	weft_addr addr;
	weft_tcp *a, *b;

	(void)arg;
	/* a listener, as one that was handed on by whoever started the program */
	fd = dup(weft_tcp_listener_fd(l));
	T_EQ(fcntl(fd, F_SETFL, 0), 0);
	T_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	T_EQ(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){0}, sizeof(int)), 0);
	T_EQ(weft_tcp_listener_close(l), 0);
	T_EQ(weft_tcp_from_fd(&a, fd), WEFT_EINVAL);
	T_EQ(weft_tcp_listener_from_fd(&m, fd), 0);
	T_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	T_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	T_EQ(weft_tcp_accept_until(m, &a, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_tcp_listener_addr(m, &addr), 0);
	T_GT(weft_addr_format(&addr, at, sizeof at), 0);
	raw = raw_connect("127.0.0.1", weft_addr_port(&addr));
	b = accept_from(m);
	T_EQ(option(number_of(b), IPPROTO_TCP, TCP_NODELAY), 1);

	/* a connection */
	T_EQ(weft_tcp_listener_from_fd(&l, raw), WEFT_EINVAL);
	T_EQ(weft_tcp_from_fd(&a, raw), 0);
	talk(a, b);
	T_EQ(weft_tcp_close(a), 0);
	T_OK(!is_open(raw));
	T_EQ(weft_tcp_close(b), 0);
	T_EQ(weft_tcp_listener_close(m), 0);
	T_OK(!is_open(fd));

	/* what is none */
	T_EQ(weft_tcp_from_fd(&a, -1), WEFT_EBADF);
	T_EQ(weft_tcp_listener_from_fd(&l, -1), WEFT_EBADF);
	T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, un), 0);
	T_EQ(weft_tcp_from_fd(&a, un[0]), WEFT_EINVAL);
	T_OK(!a && !l);
	T_OK(is_open(un[0]));
	close(un[0]);
	close(un[1]);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	T_EQ(weft_tcp_from_fd(&a, fd), WEFT_EINVAL);
	close(fd);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	T_EQ(weft_tcp_from_fd(&a, fd), WEFT_EINVAL);
	close(fd);
	return 0;
}

TEST_WORKERS(taken_over)
{
	run_net(from_fd_main, NULL);
}

/* --- how long a listener waits --- */

struct accepting {
	weft_tcp_listener *l;
	weft_tcp *c;
	int rc;
};

static int accepts(void *arg)
{
	struct accepting *a = arg;

	a->rc = weft_tcp_accept(a->l, &a->c);
	return 0;
}

static int deadline_main(void *arg)
{
	struct accepting a[2];
	weft_task *t[2];
	int raw;

	(void)arg;
	time_fake();
	a[0].l = a[1].l = listen_at("127.0.0.1:0", NULL);
	T_EQ(weft_tcp_listener_set_deadline(a[0].l, weft_in(5 * WEFT_SEC)), 0);
	for (int i = 0; i < 2; i++) {
		t[i] = start(accepts, &a[i]);
		until_reason(t[i], "accept");
	}
	time_move(5 * WEFT_SEC - 1);
	T_EQ(weft_tcp_listener_set_deadline(a[0].l, weft_in(5 * WEFT_SEC)), 0); /* moved back */
	time_move(WEFT_SEC);
	until_parked(t[0]);
	T_EQ(weft_tcp_listener_set_deadline(a[0].l, 1), 0); /* and before now */
	for (int i = 0; i < 2; i++) {
		T_EQ(finish(t[i]), 0);
		T_EQ(a[i].rc, WEFT_ETIMEDOUT);
	}
	raw = raw_dial(a[0].l);
	T_EQ(weft_tcp_accept(a[0].l, &a[0].c), WEFT_ETIMEDOUT); /* nobody is lost */
	T_EQ(weft_tcp_listener_set_deadline(a[0].l, WEFT_FOREVER), 0);
	T_EQ(weft_tcp_accept(a[0].l, &a[0].c), 0);
	T_EQ(weft_tcp_close(a[0].c), 0);
	close(raw);
	time_real();
	weft_tcp_listener_ref(a[0].l);
	T_EQ(weft_tcp_listener_close(a[0].l), 0);
	T_EQ(weft_tcp_listener_set_deadline(a[0].l, WEFT_FOREVER), WEFT_ECLOSED);
	T_EQ(weft_tcp_listener_fd(a[0].l), WEFT_ECLOSED);
	weft_tcp_listener_free(a[0].l);
	return 0;
}

/* A listener's deadline bounds all who wait for it, and may be moved meanwhile. */
TEST_WORKERS(listeners_deadline)
{
	run_net(deadline_main, NULL);
}
