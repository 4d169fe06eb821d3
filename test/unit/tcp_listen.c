/* SPDX-License-Identifier: MIT
 *
 * tcp_listen.c - listeners and dial: ports, addresses of either kind, options, and the errors of both.
 */
#include "net.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* --- listeners --- */

/* Port 0 becomes a port, and no runtime is needed for it. */
TEST(port_zero)
{
	static const char *const any[] = {"127.0.0.1:0", "localhost:0", "0.0.0.0:0"};
	size_t records = weft__fd_count();
	int fds = rt_fds();

	for (size_t i = 0; i < ARRAY_LEN(any); i++) {
		char at[WEFT_ADDR_TEXT];
		weft_tcp_listener *l = listen_at(any[i], at);
		weft_addr a;

		T_EQ(weft_tcp_listener_addr(l, &a), 0);
		T_EQ(a.sa.sa_family, AF_INET);
		T_GT(weft_addr_port(&a), 0);
		T_STR_HAS(at, i == 2 ? "0.0.0.0:" : "127.0.0.1:");
		T_EQ(weft_tcp_listener_close(l), 0);
	}
	T_EQ(weft_tcp_listener_close(NULL), 0);
	T_EQ(weft__fd_count(), records);
	T_EQ(rt_fds(), fds);
	nothing_left();
}

static void listen_fails(const char *addr, int want)
{
	weft_tcp_listener *l = (void *)1;
	int rc = weft_tcp_listen(&l, addr, NULL);

	if (rc != want)
		T_FAIL("\"%s\": %d, not %d", addr, rc, want);
	T_EQ(l, NULL);
}

/* What cannot be listened on is refused, with the error that says why, and nothing is left. */
TEST(listen_refused)
{
	size_t records = weft__fd_count();
	char at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l;
	int fds;

	l = listen_at("127.0.0.1:0", at);
	fds = rt_fds();
	listen_fails(at, WEFT_EADDRINUSE);
	listen_fails("192.0.2.1:0", WEFT_EADDRNOTAVAIL);
	listen_fails("example.invalid:80", WEFT_EAI_NONAME);
	listen_fails("127.0.0.1", WEFT_EINVAL);
	listen_fails("127.0.0.1:65536", WEFT_EINVAL);
	listen_fails("::1:80", WEFT_EINVAL);
	listen_fails("", WEFT_EINVAL);
	listen_fails(NULL, WEFT_EINVAL);
	T_EQ(rt_fds(), fds);
	T_EQ(weft_tcp_listener_close(l), 0);
	T_EQ(weft__fd_count(), records);
}

/* Privileged ports are refused to who has no privilege. */
TEST(listen_without_privilege)
{
	if (geteuid() == 0 && setresuid(65534, 65534, 65534))
		tap_skip("cannot give up being root");
	weft_tcp_listener *l;
	int rc = weft_tcp_listen(&l, "127.0.0.1:1", NULL);

	if (rc == 0)
		tap_skip("anybody may listen on port 1 here");
	T_EQ(rc, WEFT_EACCES);
	T_EQ(l, NULL);
}

static int accept_closed(void *arg)
{
	weft_tcp *c = (void *)1;
	int rc = weft_tcp_accept(arg, &c);

	T_EQ(c, NULL);
	T_EQ(weft_tcp_listener_close(arg), WEFT_ECLOSED); /* its own reference */
	return rc;
}

static int port_again_main(void *arg)
{
	long n = tap_iters(100);
	char at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l;
	int port;

	(void)arg;
	snprintf(at, sizeof at, "%s:0", own_host());
	l = listen_at(at, at);
	port = port_of(l);
	for (long i = 0; i < n; i++) {
		weft_tcp *c = dial_to(at), *s = accept_from(l), *waits = dial_to(at);
		int raw = raw_connect(own_host(), port), number = number_of(l);
		weft_task *t = NULL;

		if (i % 3 == 0) { /* nobody accepts meanwhile, or somebody waits in accept */
			weft_tcp *s2 = accept_from(l), *s3 = accept_from(l);

			t = start(accept_closed, weft_tcp_listener_ref(l));
			until_reason(t, "accept");
			weft_tcp_close(s2);
			weft_tcp_close(s3);
		}
		write_all(c, "a", 1);
		T_EQ(weft_tcp_listener_close(l), 0);
		T_OK(!is_open(number));
		T_EQ(weft_tcp_listen(&l, at, NULL), 0); /* with connections open, accepted and not */
		T_EQ(port_of(l), port);
		read_all(s, &(char){0}, 1); /* which go on */
		if (t)
			T_EQ(finish(t), WEFT_ECLOSED);
		if (i % 2) { /* either end lingers */
			T_EQ(weft_tcp_close(s), 0);
			T_EQ(weft_tcp_close(c), 0);
		} else {
			T_EQ(weft_tcp_close(c), 0);
			T_EQ(weft_tcp_close(s), 0);
		}
		T_EQ(weft_tcp_close(waits), 0);
		close(raw);
	}
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* A port can be listened on again as soon as its listener's close has returned, whatever became of its connections. */
TEST_WORKERS(port_free_once_closed)
{
	run_net(port_again_main, NULL);
}

/* Dials, accepts, talks; their addresses are each other's, and the peer's host, seen from the listener, is `host`. */
static void meet_at(weft_tcp_listener *l, const char *at, const char *host)
{
	weft_tcp *c = dial_to(at), *s = accept_from(l);
	char x[WEFT_ADDR_TEXT], y[WEFT_ADDR_TEXT];
	weft_addr a;

	talk(c, s);
	T_EQ(weft_tcp_local(c, &a), 0);
	T_GT(weft_addr_format(&a, x, sizeof x), 0);
	T_EQ(weft_tcp_peer(s, &a), 0);
	T_GT(weft_addr_format(&a, y, sizeof y), 0);
	T_STR_EQ(x, y);
	T_STR_HAS(y, host);
	T_EQ(weft_tcp_peer(c, &a), 0);
	T_GT(weft_addr_format(&a, x, sizeof x), 0);
	T_EQ(weft_tcp_local(s, &a), 0);
	T_GT(weft_addr_format(&a, y, sizeof y), 0);
	T_STR_EQ(x, y);
	T_EQ(weft_addr_port(&a), port_of(l));
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(weft_tcp_close(s), 0);
}

static void dial_fails(const char *at, int want)
{
	weft_tcp *c = (void *)1;
	int fds = rt_fds(), rc = weft_tcp_dial(&c, at);

	if (rc != want)
		T_FAIL("\"%s\": %d, not %d", at, rc, want);
	T_EQ(c, NULL);
	T_EQ(rt_fds(), fds);
}

static int ipv6_main(void *arg)
{
	char at[WEFT_ADDR_TEXT], other[WEFT_ADDR_TEXT];
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	weft_tcp_listener *l;
	int kept;

	(void)arg;
	for (;;) { /* a port at which no other program listens with IPv4, nor will: ours, though nobody listens there */
		l = listen_at("[::1]:0", at);
		four.sin_port = htons((uint16_t)port_of(l));
		kept = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (!bind(kept, (struct sockaddr *)&four, sizeof four))
			break;
		close(kept);
		T_EQ(weft_tcp_listener_close(l), 0);
	}
	T_STR_HAS(at, "[::1]:");
	meet_at(l, at, "[::1]:");
	snprintf(other, sizeof other, "localhost:%d", port_of(l));
	meet_at(l, other, "[::1]:"); /* 127.0.0.1 refuses, then ::1 */
	snprintf(other, sizeof other, ":%d", port_of(l));
	meet_at(l, other, "[::1]:");
	T_EQ(weft_tcp_listener_close(l), 0);
	dial_fails(at, WEFT_ECONNREFUSED);
	close(kept);
	return 0;
}

TEST_WORKERS(ipv6)
{
	if (!have_ipv6())
		tap_skip("no IPv6 here");
	run_net(ipv6_main, NULL);
}

static int dual_main(void *arg)
{
	static const char *const any[] = {":0", "[::]:0"};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(any); i++) {
		weft_tcp_listener *l = listen_at(any[i], NULL);
		char at[WEFT_ADDR_TEXT];

		snprintf(at, sizeof at, "127.0.0.1:%d", port_of(l));
		meet_at(l, at, "127.0.0.1:");
		snprintf(at, sizeof at, "localhost:%d", port_of(l));
		meet_at(l, at, "127.0.0.1:");
		snprintf(at, sizeof at, ":%d", port_of(l));
		meet_at(l, at, "127.0.0.1:");
		if (have_ipv6()) {
			snprintf(at, sizeof at, "[::1]:%d", port_of(l));
			meet_at(l, at, "[::1]:");
		}
		T_EQ(weft_tcp_listener_close(l), 0);
	}
	return 0;
}

/* A listener on any address takes both kinds of connections; IPv4 peers are written as IPv4. */
TEST_WORKERS(any_address_takes_both)
{
	if (!have_ipv6())
		tap_skip("no IPv6 here");
	run_net(dual_main, NULL);
}

/* From here on socket(2) knows no IPv6, as on a system without it. */
static void forget_ipv6(void)
{
#if defined(__x86_64__)
	const uint32_t arch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
	const uint32_t arch = AUDIT_ARCH_AARCH64;
#endif
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {.len = ARRAY_LEN(code), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		tap_skip("no seccomp here");
	T_EQ(socket(AF_INET6, SOCK_STREAM, 0), -1);
	T_EQ(errno, EAFNOSUPPORT);
}

static int no_ipv6_main(void *arg)
{
	weft_tcp_listener *l = listen_at(":0", NULL), *none;
	char at[WEFT_ADDR_TEXT];

	(void)arg;
	snprintf(at, sizeof at, "127.0.0.1:%d", port_of(l));
	meet_at(l, at, "127.0.0.1:");
	snprintf(at, sizeof at, "localhost:%d", port_of(l));
	meet_at(l, at, "127.0.0.1:");
	snprintf(at, sizeof at, ":%d", port_of(l));
	meet_at(l, at, "127.0.0.1:");
	T_EQ(weft_tcp_listen(&none, "[::]:0", NULL), -EAFNOSUPPORT); /* who says IPv6 means it */
	T_EQ(weft_tcp_listen(&none, "[::1]:0", NULL), -EAFNOSUPPORT);
	dial_fails("[::1]:1", -EAFNOSUPPORT);
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* On a system without IPv6 a listener on any address is one on any IPv4 address. */
TEST(any_address_without_ipv6)
{
	forget_ipv6();
	run_net(no_ipv6_main, NULL);
}

static int v6_only_main(void *arg)
{
	char four[WEFT_ADDR_TEXT], six[WEFT_ADDR_TEXT];
	weft_tcp_listener *l, *l4;
	int rc;

	(void)arg;
	for (;;) { /* a port that no other program has with IPv4 */
		T_EQ(weft_tcp_listen(&l, "[::]:0", &(weft_listen_opts){.v6_only = true}), 0);
		snprintf(four, sizeof four, "127.0.0.1:%d", port_of(l));
		snprintf(six, sizeof six, "[::1]:%d", port_of(l));
		rc = weft_tcp_listen(&l4, four, NULL); /* that is still to be had */
		if (rc == 0)
			break;
		T_EQ(rc, WEFT_EADDRINUSE);
		weft_tcp_listener_close(l);
	}
	weft_tcp_listener_close(l4);
	meet_at(l, six, "[::1]:");
	dial_fails(four, WEFT_ECONNREFUSED);
	l4 = listen_at(four, NULL);
	meet_at(l4, four, "127.0.0.1:");
	meet_at(l, six, "[::1]:");
	T_EQ(weft_tcp_listener_close(l), 0);
	T_EQ(weft_tcp_listener_close(l4), 0);
	return 0;
}

TEST(v6_only)
{
	if (!have_ipv6())
		tap_skip("no IPv6 here");
	run_net(v6_only_main, NULL);
}

static int reuse_main(void *arg)
{
	enum { TWO = 2, DIALS = 100 };
	weft_listen_opts o = {.reuse_port = true};
	weft_tcp_listener *l[TWO], *none;
	int got[TWO] = {0, 0}, rc;
	char at[WEFT_ADDR_TEXT];
	weft_tcp *c[DIALS], *s;

	(void)arg;
	snprintf(at, sizeof at, "%s:0", own_host());
	T_EQ(weft_tcp_listen(&l[0], at, &o), 0);
	snprintf(at, sizeof at, "%s:%d", own_host(), port_of(l[0]));
	T_EQ(weft_tcp_listen(&l[1], at, &o), 0);
	T_EQ(port_of(l[1]), port_of(l[0]));
	T_EQ(weft_tcp_listen(&none, at, NULL), WEFT_EADDRINUSE);
	for (int i = 0; i < DIALS; i++)
		c[i] = dial_to(at);
	while (got[0] + got[1] < DIALS) { /* who dials may be told before the listener is */
		for (int i = 0; i < TWO; i++) {
			while (holds(number_of(l[i]), POLLIN)) {
				rc = weft_tcp_accept(l[i], &s);
				T_EQ(rc, 0);
				T_EQ(weft_tcp_close(s), 0);
				got[i]++;
			}
		}
		let_run();
	}
	T_EQ(got[0] + got[1], DIALS);
	T_GT(got[0], 0);
	T_GT(got[1], 0);
	for (int i = 0; i < DIALS; i++)
		T_EQ(weft_tcp_close(c[i]), 0);
	T_EQ(weft_tcp_listener_close(l[0]), 0);
	meet_at(l[1], at, "127.");
	T_EQ(weft_tcp_listener_close(l[1]), 0);
	return 0;
}

/* Two listeners share a port, if both say so, and both get connections. */
TEST(reuse_port)
{
	run_net(reuse_main, NULL);
}

static int option(void *c, int level, int name)
{
	socklen_t n = sizeof(int);
	int v = -1;

	T_EQ(getsockopt(number_of(c), level, name, &v, &n), 0);
	return v;
}

static int options_main(void *arg)
{
	char at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l = listen_at("127.0.0.1:0", at);
	weft_tcp *c[2];

	(void)arg;
	c[0] = dial_to(at);
	c[1] = accept_from(l);
	T_OK(fcntl(number_of(l), F_GETFD) & FD_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		T_OK(fcntl(number_of(c[i]), F_GETFD) & FD_CLOEXEC);
		T_OK(fcntl(number_of(c[i]), F_GETFL) & O_NONBLOCK);
		T_EQ(option(c[i], IPPROTO_TCP, TCP_NODELAY), 1);
		T_EQ(option(c[i], SOL_SOCKET, SO_KEEPALIVE), 1);
		T_EQ(option(c[i], IPPROTO_TCP, TCP_KEEPIDLE), 15);
		T_EQ(option(c[i], IPPROTO_TCP, TCP_KEEPINTVL), 15);

		T_EQ(weft_tcp_nodelay(c[i], false), 0);
		T_EQ(option(c[i], IPPROTO_TCP, TCP_NODELAY), 0);
		T_EQ(weft_tcp_nodelay(c[i], true), 0);
		T_EQ(option(c[i], IPPROTO_TCP, TCP_NODELAY), 1);
		T_EQ(weft_tcp_keepalive(c[i], 0), 0);
		T_EQ(option(c[i], SOL_SOCKET, SO_KEEPALIVE), 0);
		T_EQ(weft_tcp_keepalive(c[i], 1), 0); /* rounded up */
		T_EQ(option(c[i], SOL_SOCKET, SO_KEEPALIVE), 1);
		T_EQ(option(c[i], IPPROTO_TCP, TCP_KEEPIDLE), 1);
		T_EQ(option(c[i], IPPROTO_TCP, TCP_KEEPINTVL), 1);
		T_EQ(weft_tcp_keepalive(c[i], WEFT_SEC + 1), 0);
		T_EQ(option(c[i], IPPROTO_TCP, TCP_KEEPIDLE), 2);
		T_EQ(weft_tcp_keepalive(c[i], 32767 * WEFT_SEC), 0);
		T_EQ(option(c[i], IPPROTO_TCP, TCP_KEEPIDLE), 32767);
		T_EQ(weft_tcp_keepalive(c[i], 32767 * WEFT_SEC + 1), WEFT_EINVAL);
		T_EQ(weft_tcp_keepalive(c[i], -1), WEFT_EINVAL);
		T_EQ(weft_tcp_keepalive(c[i], INT64_MIN), WEFT_EINVAL);
		T_EQ(weft_tcp_keepalive(c[i], INT64_MAX), WEFT_EINVAL);
		T_EQ(weft_tcp_shutdown(c[i], 77), WEFT_EINVAL);
	}
	talk(c[0], c[1]);
	T_EQ(weft_tcp_close(c[0]), 0);
	T_EQ(weft_tcp_close(c[1]), 0);
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* Dialled and accepted connections are set up alike: not inherited, no delay, keep-alive after 15 s; and can be changed. */
TEST(options)
{
	run_net(options_main, NULL);
}

/* --- dial --- */

static int refused_main(void *arg)
{
	char at[WEFT_ADDR_TEXT], name[WEFT_ADDR_TEXT];
	weft_tcp_listener *l;

	(void)arg;
	snprintf(at, sizeof at, "%s:0", own_host());
	l = listen_at(at, at);
	snprintf(name, sizeof name, ":%d", port_of(l));
	T_EQ(weft_tcp_listener_close(l), 0);
	for (int i = 0; i < 20; i++) {
		weft_tcp *c;

		dial_fails(at, WEFT_ECONNREFUSED);
		T_EQ(weft_tcp_dial_until(&c, at, weft_in(20 * WEFT_SEC)), WEFT_ECONNREFUSED);
		T_EQ(c, NULL);
	}
	dial_fails("example.invalid:80", WEFT_EAI_NONAME);
	dial_fails("127.0.0.1", WEFT_EINVAL);
	dial_fails("127.0.0.1:65536", WEFT_EINVAL);
	dial_fails("[::1", WEFT_EINVAL);
	dial_fails("", WEFT_EINVAL);
	dial_fails(NULL, WEFT_EINVAL);
	return 0;
}

/* Where nobody listens a dial is refused, and leaves nothing. */
TEST_WORKERS(dial_refused)
{
	run_net(refused_main, NULL);
}

static int localhost_main(void *arg)
{
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL);
	char at[WEFT_ADDR_TEXT];

	(void)arg;
	snprintf(at, sizeof at, "localhost:%d", port_of(l));
	meet_at(l, at, "127.0.0.1:");
	snprintf(at, sizeof at, ":%d", port_of(l));
	meet_at(l, at, "127.0.0.1:");
	snprintf(at, sizeof at, "0.0.0.0:%d", port_of(l));
	meet_at(l, at, "127.0.0.1:");
	T_EQ(weft_tcp_listener_close(l), 0);
	dial_fails(at, WEFT_ECONNREFUSED);
	snprintf(at, sizeof at, "localhost:%d", 1);
	dial_fails(at, WEFT_ECONNREFUSED);
	return 0;
}

TEST(localhost)
{
	run_net(localhost_main, NULL);
}

/* Without a runtime what need not wait works, and what would have to says WEFT_ESRCH. */
TEST(without_a_runtime)
{
	size_t records = weft__fd_count();
	int fds = rt_fds(), raw;
	char at[WEFT_ADDR_TEXT], x = 0;
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL), *other = listen_at("127.0.0.1:0", at);
	weft_addr a;
	weft_tcp *c;
	size_t done;

	T_EQ(weft_tcp_dial(&c, at), WEFT_ESRCH); /* it may come there all the same, or not */
	T_EQ(c, NULL);
	T_EQ(weft_tcp_listener_close(other), 0);
	raw = raw_dial(l);
	until_holds(number_of(l), POLLIN);
	T_EQ(weft_tcp_accept(l, &c), 0);
	T_EQ(weft_tcp_accept(l, &(weft_tcp *){NULL}), WEFT_ESRCH);
	T_EQ(weft_tcp_accept_until(l, &(weft_tcp *){NULL}, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_tcp_read(c, &x, 1), WEFT_ESRCH);
	T_EQ(weft_tcp_read_until(c, &x, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(write(raw, "xy", 2), 2);
	until_holds(number_of(c), POLLIN);
	T_EQ(weft_tcp_read(c, &x, 1), 1);
	T_EQ(x, 'x');
	T_EQ(weft_tcp_read_until(c, &x, 1, WEFT_NOW), 1);
	T_EQ(x, 'y');
	T_EQ(weft_tcp_write(c, "z", 1, &done), 1);
	T_EQ(done, 1);
	T_EQ(read(raw, &x, 1), 1);
	T_EQ(weft_tcp_set_deadline(c, WEFT_FOREVER, WEFT_FOREVER), 0);
	T_EQ(weft_tcp_peer(c, &a), 0);
	T_EQ(weft_tcp_shutdown(c, SHUT_WR), 0);
	T_EQ(read(raw, &x, 1), 0);
	close(raw);
	until_holds(number_of(c), POLLIN);
	T_EQ(weft_tcp_read(c, &x, 1), 0);
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(weft_tcp_listener_close(l), 0);
	T_EQ(weft__fd_count(), records);
	T_EQ(rt_fds(), fds);
}
