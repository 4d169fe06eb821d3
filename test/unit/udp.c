/* SPDX-License-Identifier: MIT
 *
 * udp.c - io/udp, io/multicast: what datagrams are (whole, empty, cut, refused), whose they are, several a call, and what a socket says of itself.
 *
 * Waiting, deadlines, cancel and close are asked with those of TCP: unit/tcp_wait.c.
 */
#include "names.h"
#include "net.h"

#include "weft/udp.h"
#include <net/if.h>

static weft_udp *open_with(const char *addr, const weft_udp_opts *o, weft_addr *at)
{
	weft_addr ignored;
	weft_udp *u;

	T_EQ(weft_udp_open(&u, addr, o), 0);
	T_EQ(weft_udp_local(u, at ? at : &ignored), 0);
	return u;
}

static weft_udp *open_at(weft_addr *at)
{
	return open_with("127.0.0.1:0", NULL, at);
}

static void udp_pair(weft_udp **a, weft_udp **b)
{
	weft_addr at_a, at_b;

	*a = open_at(&at_a);
	*b = open_at(&at_b);
	T_EQ(weft_udp_connect(*a, &at_b), 0);
	T_EQ(weft_udp_connect(*b, &at_a), 0);
}

static bool same(const weft_addr *a, const weft_addr *b)
{
	char x[WEFT_ADDR_TEXT], y[WEFT_ADDR_TEXT];

	T_GT(weft_addr_format(a, x, sizeof x), 0);
	T_GT(weft_addr_format(b, y, sizeof y), 0);
	return a->sa.sa_family == b->sa.sa_family && strcmp(x, y) == 0;
}

static int option(weft_udp *u, int level, int name)
{
	int value = -1;
	socklen_t n = sizeof value;

	T_EQ(getsockopt(number_of(u), level, name, &value, &n), 0);
	return value;
}

/* --- open --- */

static int open_main(void *arg)
{
	char at[WEFT_ADDR_TEXT];
	weft_udp *u, *v = (void *)1;
	weft_addr a, b;

	(void)arg;
	u = open_at(&a);
	T_NE(weft_addr_port(&a), 0);
	T_GT(weft_addr_format(&a, at, sizeof at), 0);
	T_EQ(fcntl(number_of(u), F_GETFD), FD_CLOEXEC);
	T_EQ(weft_udp_open(&v, at, NULL), WEFT_EADDRINUSE);
	T_EQ(v, NULL);
	T_EQ(weft_udp_open(&v, at, &(weft_udp_opts){.reuse_port = true}), WEFT_EADDRINUSE); /* the first has not agreed */
	T_EQ(weft_udp_close(u), 0);
	u = open_with(at, NULL, &b); /* free again when close has returned */
	T_OK(same(&a, &b));
	T_EQ(weft_udp_close(u), 0);
	for (int how = 0; how < 2; how++) {
		weft_udp_opts o = {.reuse_port = how == 0, .reuse_addr = how == 1};

		u = open_with("127.0.0.1:0", &o, &a);
		T_GT(weft_addr_format(&a, at, sizeof at), 0);
		v = open_with(at, &o, NULL);
		T_EQ(weft_udp_close(u), 0);
		T_EQ(weft_udp_close(v), 0);
	}
	u = open_with(NULL, &(weft_udp_opts){.receive_buffer = 40000, .send_buffer = 50000, .broadcast = true}, &a);
	T_NE(weft_addr_port(&a), 0);
	T_GE(option(u, SOL_SOCKET, SO_RCVBUF), 40000);
	T_GE(option(u, SOL_SOCKET, SO_SNDBUF), 50000);
	T_NE(option(u, SOL_SOCKET, SO_BROADCAST), 0);
	T_EQ(weft_udp_close(u), 0);
	v = (void *)1;
	T_EQ(weft_udp_open(&v, "127.0.0.1", NULL), WEFT_EINVAL);
	T_EQ(v, NULL);
	T_EQ(weft_udp_open(&v, "127.0.0.1:65536", NULL), WEFT_EINVAL);
	T_EQ(weft_udp_open(&v, "192.0.2.1:0", NULL), WEFT_EADDRNOTAVAIL);
	T_EQ(weft_udp_open(&v, "127.0.0.1:0", &(weft_udp_opts){.receive_buffer = -1}), WEFT_EINVAL);
	T_EQ(weft_udp_open(&v, "127.0.0.1:0", &(weft_udp_opts){.send_buffer = -1}), WEFT_EINVAL);
	T_EQ(weft_udp_close(NULL), 0);
	return 0;
}

/* Its own address, options, and each way in which there is none. */
TEST_WORKERS(open_says_why_not)
{
	run_net(open_main, NULL);
}

static int no_descriptors_main(void *arg)
{
	struct rlimit was, few;
	weft_udp *u;
	int next;

	(void)arg;
	until_all_workers_run();
	T_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
	u = open_at(NULL);
	next = number_of(u);
	T_EQ(weft_udp_close(u), 0);
	few = was;
	few.rlim_cur = (rlim_t)next; /* descriptors in use lie below, and those above that are free are forbidden */
	T_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int i = 0; i < 100; i++) {
		u = (void *)1;
		T_EQ(weft_udp_open(&u, "127.0.0.1:0", NULL), WEFT_EMFILE);
		T_EQ(u, NULL);
	}
	T_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
	T_EQ(weft_udp_close(open_at(NULL)), 0);
	return 0;
}

/* Without a descriptor left it says so, and keeps nothing. */
TEST_WORKERS(open_without_descriptors)
{
	run_net(no_descriptors_main, NULL);
}

/* --- one datagram --- */

static int talk_main(void *arg)
{
	weft_addr at_a, at_b, from;
	char buf[100];
	size_t whole = 77;
	weft_udp *a, *b;

	(void)arg;
	a = open_at(&at_a);
	b = open_at(&at_b);
	T_EQ(weft_udp_sendto(a, "hello", 5, &at_b), 5);
	T_EQ(weft_udp_recvfrom(b, buf, sizeof buf, &from, &whole), 5);
	T_EQ(memcmp(buf, "hello", 5), 0);
	T_EQ(whole, 5);
	T_OK(same(&from, &at_a));
	T_EQ(weft_udp_sendto(b, NULL, 0, &from), 0); /* empty, and no end */
	T_EQ(weft_udp_sendto(b, "after", 5, &from), 5);
	T_EQ(weft_udp_recvfrom(a, buf, sizeof buf, &from, &whole), 0);
	T_EQ(whole, 0);
	T_OK(same(&from, &at_b));
	T_EQ(weft_udp_recv(a, buf, sizeof buf, NULL), 5);
	T_EQ(weft_udp_sendto(a, "0123456789", 10, &at_b), 10); /* cut */
	T_EQ(weft_udp_sendto(a, "next", 4, &at_b), 4);
	memset(buf, '-', sizeof buf);
	T_EQ(weft_udp_recvfrom(b, buf, 4, &from, &whole), 4);
	T_EQ(whole, 10);
	T_EQ(memcmp(buf, "0123--", 6), 0);
	T_EQ(weft_udp_recv(b, buf, sizeof buf, &whole), 4); /* the rest of the first is gone */
	T_EQ(memcmp(buf, "next", 4), 0);
	T_EQ(weft_udp_sendto(a, "dropped", 7, &at_b), 7);
	T_EQ(weft_udp_recv(b, NULL, 0, &whole), 0); /* taken, though there was no room at all */
	T_EQ(whole, 7);
	T_EQ(weft_udp_recv_until(b, buf, 1, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_udp_recv(b, buf, (size_t)SSIZE_MAX + 1, NULL), WEFT_EINVAL);
	T_EQ(weft_udp_close(a), 0);
	T_EQ(weft_udp_close(b), 0);
	return 0;
}

/* A datagram arrives as it was sent, from whom it was sent, empty ones too; one that does not fit is cut, and said to be. */
TEST_WORKERS(datagrams)
{
	run_net(talk_main, NULL);
}

static int sizes_main(void *arg)
{
	static unsigned char out[70000], in[70000];
	static const size_t sizes[] = {1, 511, 1472, 1473, 9000, 65507};
	weft_udp *a, *b;
	size_t whole;

	(void)arg;
	udp_pair(&a, &b);
	for (size_t i = 0; i < sizeof out; i++)
		out[i] = (unsigned char)(i * 7 + (i >> 8));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		T_EQ(weft_udp_send(a, out, sizes[i]), (ssize_t)sizes[i]);
		T_EQ(weft_udp_recv(b, in, sizeof in, &whole), (ssize_t)sizes[i]);
		T_EQ(whole, sizes[i]);
		T_EQ(memcmp(in, out, sizes[i]), 0);
	}
	T_EQ(weft_udp_send(a, out, 65508), WEFT_EMSGSIZE);
	T_EQ(weft_udp_send(a, out, sizeof out), WEFT_EMSGSIZE);
	T_EQ(weft_udp_recv_until(b, in, sizeof in, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_udp_close(a), 0);
	T_EQ(weft_udp_close(b), 0);
	return 0;
}

/* Of all lengths up to the longest; one more byte is an error, and nothing is sent. */
TEST_WORKERS(all_lengths)
{
	run_net(sizes_main, NULL);
}

/* --- connected --- */

static int connected_main(void *arg)
{
	weft_addr at_a, at_b, at_c, x;
	weft_udp *a, *b, *c;
	char buf[10];

	(void)arg;
	a = open_at(&at_a);
	b = open_at(&at_b);
	c = open_at(&at_c);
	T_EQ(weft_udp_send(a, "x", 1), WEFT_EDESTADDRREQ);
	T_EQ(weft_udp_peer(a, &x), WEFT_ENOTCONN);
	T_EQ(weft_udp_connect(a, &at_b), 0);
	T_EQ(weft_udp_peer(a, &x), 0);
	T_OK(same(&x, &at_b));
	T_EQ(weft_udp_sendto(c, "from c", 6, &at_a), 6); /* not the peer: not received */
	T_EQ(weft_udp_sendto(b, "from b", 6, &at_a), 6);
	T_EQ(weft_udp_recv(a, buf, sizeof buf, NULL), 6);
	T_EQ(memcmp(buf, "from b", 6), 0);
	T_EQ(weft_udp_recv_until(a, buf, sizeof buf, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_udp_send(a, "to b", 4), 4);
	T_EQ(weft_udp_recv(b, buf, sizeof buf, NULL), 4);
	T_EQ(weft_udp_sendto(a, "to c", 4, &at_c), 4); /* another may be named all the same */
	T_EQ(weft_udp_recv(c, buf, sizeof buf, NULL), 4);
	T_EQ(weft_udp_connect(a, &at_c), 0);
	T_EQ(weft_udp_send(a, "c!", 2), 2);
	T_EQ(weft_udp_recvfrom(c, buf, sizeof buf, &x, NULL), 2);
	T_OK(same(&x, &at_a));
	T_EQ(weft_udp_connect(a, NULL), WEFT_EINVAL);
	T_EQ(weft_udp_connect(a, &(weft_addr){.sa.sa_family = AF_UNSPEC}), WEFT_EINVAL);
	T_EQ(weft_udp_sendto(b, "stranger", 8, &at_a), 8);
	T_EQ(weft_udp_recv_until(a, buf, sizeof buf, NULL, WEFT_NOW), WEFT_EAGAIN);
	x = (weft_addr){.v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(9)}};
	T_EQ(weft_udp_connect(a, &x), WEFT_EAFNOSUPPORT);
	T_EQ(weft_udp_sendto(a, "x", 1, &x), WEFT_EAFNOSUPPORT);
	x = (weft_addr){.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = INADDR_BROADCAST, .sin_port = htons(9)}};
	T_EQ(weft_udp_connect(a, &x), WEFT_EACCES);
	T_EQ(weft_udp_sendto(a, "x", 1, &x), WEFT_EACCES);
	T_EQ(weft_udp_close(a), 0);
	T_EQ(weft_udp_close(b), 0);
	T_EQ(weft_udp_close(c), 0);
	return 0;
}

/* Connected, it sends to its peer and hears nobody else; it may change its mind. */
TEST_WORKERS(connected)
{
	run_net(connected_main, NULL);
}

static int dials_stuck(void *arg)
{
	weft_udp *u;
	int rc = weft_udp_dial_until(&u, "stuck.test:9", NULL, *(int64_t *)arg);

	T_EQ(u, NULL);
	return rc;
}

static int dial_main(void *arg)
{
	int64_t never = WEFT_FOREVER;
	char at[64], buf[8];
	weft_addr peer, own;
	weft_udp *u, *s;
	weft_task *t;

	(void)arg;
	names_begin();
	names_say("a.test", "127.0.0.1");
	names_say("second.test", "255.255.255.255 127.0.0.1"); /* to the first one may not send */
	names_say("none.test", "255.255.255.255");
	names_fail("no.test", WEFT_EAI_NONAME);
	s = open_at(&own);
	snprintf(at, sizeof at, "a.test:%d", ntohs(own.v4.sin_port));
	T_EQ(weft_udp_dial(&u, at, NULL), 0);
	T_EQ(weft_udp_peer(u, &peer), 0);
	T_OK(weft_addr_equal(&peer, &own));
	T_EQ(weft_udp_send(u, "hello", 5), 5);
	T_EQ(weft_udp_recvfrom(s, buf, sizeof buf, &peer, NULL), 5);
	T_EQ(weft_udp_sendto(s, "yes", 3, &peer), 3);
	T_EQ(weft_udp_recv(u, buf, sizeof buf, NULL), 3);
	T_EQ(weft_udp_close(u), 0);
	snprintf(at, sizeof at, "second.test:%d", ntohs(own.v4.sin_port));
	T_EQ(weft_udp_dial(&u, at, NULL), 0);
	T_EQ(weft_udp_peer(u, &peer), 0);
	T_OK(weft_addr_equal(&peer, &own));
	T_EQ(weft_udp_close(u), 0);
	T_EQ(weft_udp_dial_until(&u, "127.0.0.1:9", NULL, WEFT_NOW), 0); /* nobody need be asked */
	T_EQ(weft_udp_close(u), 0);
	T_EQ(weft_udp_dial(&u, "none.test:9", &(weft_udp_opts){.broadcast = true}), 0);
	T_EQ(weft_udp_close(u), 0);
	T_EQ(weft_udp_dial(&u, "none.test:9", NULL), WEFT_EACCES);
	T_EQ(u, NULL);
	T_EQ(weft_udp_dial(&u, "none.test:9", &(weft_udp_opts){.send_buffer = -1}), WEFT_EINVAL);
	T_EQ(weft_udp_dial(&u, "no.test:9", NULL), WEFT_EAI_NONAME);
	T_EQ(weft_udp_dial(&u, "127.0.0.1", NULL), WEFT_EINVAL);
	T_EQ(weft_udp_dial_until(&u, "127.0.0.1:9", NULL, 1), WEFT_ETIMEDOUT);
	T_EQ(u, NULL);
	T_EQ(weft_udp_dial_until(&u, "stuck.test:9", NULL, WEFT_NOW), WEFT_EAGAIN);
	t = start(dials_stuck, &never);
	until_reason(t, "name");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	names_open();
	until(weft__dns_count() == 0);
	T_EQ(weft_udp_close(s), 0);
	return 0;
}

/* By a name: the first of its addresses to which there is a way. */
TEST_WORKERS(dialled_by_name)
{
	run(dial_main, NULL);
}

struct receiving {
	weft_udp *u;
	ssize_t rc;
	char buf[16];
};

static int receives_once(void *arg)
{
	struct receiving *r = arg;

	r->rc = weft_udp_recv(r->u, r->buf, sizeof r->buf, NULL);
	return 0;
}

/* An address of this machine at which nobody is. */
static weft_addr nobody_there(void)
{
	char text[WEFT_ADDR_TEXT];
	weft_addr a;

	snprintf(text, sizeof text, "%s:0", own_host());
	T_EQ(weft_udp_close(open_with(text, NULL, &a)), 0);
	return a;
}

static int refused_main(void *arg)
{
	struct receiving r = {.rc = 77};
	weft_addr nobody = nobody_there();
	char text[WEFT_ADDR_TEXT];
	weft_task *t;
	weft_udp *u, *b;

	(void)arg;
	r.u = u = open_at(NULL);
	T_EQ(weft_udp_connect(u, &nobody), 0);
	for (int i = 0; i < 3; i++) {
		T_EQ(weft_udp_send(u, "x", 1), 1);
		T_EQ(weft_udp_recv(u, r.buf, 1, NULL), WEFT_ECONNREFUSED);
		T_EQ(weft_udp_send(u, "x", 1), 1);
		until(holds(number_of(u), POLLERR)); /* the refusal is there */
		T_EQ(weft_udp_send(u, "x", 1), WEFT_ECONNREFUSED);
		T_EQ(weft_udp_recv_until(u, r.buf, 1, NULL, WEFT_NOW), WEFT_EAGAIN); /* told once */
		t = start(receives_once, &r);
		until_reason(t, "read");
		T_EQ(weft_udp_send(u, "x", 1), 1); /* wakes who waits */
		T_EQ(finish(t), 0);
		T_EQ(r.rc, WEFT_ECONNREFUSED);
	}
	T_GT(weft_addr_format(&nobody, text, sizeof text), 0);
	b = open_with(text, NULL, NULL); /* now somebody is there: all goes on */
	T_EQ(weft_udp_send(u, "y", 1), 1);
	T_EQ(weft_udp_recvfrom(b, r.buf, 1, &nobody, NULL), 1);
	t = start(receives_once, &r);
	until_reason(t, "read");
	T_EQ(weft_udp_sendto(b, "yes", 3, &nobody), 3);
	T_EQ(finish(t), 0);
	T_EQ(r.rc, 3);
	T_EQ(weft_udp_close(u), 0);
	T_EQ(weft_udp_close(b), 0);
	return 0;
}

/* Nobody is there: the peer's machine says so, once a refusal, to whoever sends or receives next, and wakes who waits. */
TEST_WORKERS(refused)
{
	run_net(refused_main, NULL);
}

/* --- several a call --- */

enum { MANY = 2 * WEFT_UDP_BATCH + 10 };

static int batch_main(void *arg)
{
	static char out[MANY][2][8], in[MANY][2][6];
	static struct iovec vo[MANY][3], vi[MANY][2];
	static weft_udp_msg mo[MANY], mi[MANY];
	weft_addr at_a, at_b;
	weft_udp *a, *b;
	int sent = 0, got = 0, n;

	(void)arg;
	a = open_at(&at_a);
	b = open_at(&at_b);
	for (int i = 0; i < MANY; i++) {
		int len = snprintf(out[i][0], 8, "%d", i);

		memcpy(out[i][1], "abcdefg", 8);
		vo[i][0] = (struct iovec){out[i][0], (size_t)len};
		vo[i][1] = (struct iovec){NULL, 0};
		vo[i][2] = (struct iovec){out[i][1], (size_t)i % 8};
		mo[i] = (weft_udp_msg){.addr = at_b, .iov = vo[i], .count = 3};
		vi[i][0] = (struct iovec){in[i][0], 6};
		vi[i][1] = (struct iovec){in[i][1], 1};
		mi[i] = (weft_udp_msg){.iov = vi[i], .count = 2, .segment = 77};
	}
	while (sent < MANY) {
		T_GT(n = weft_udp_send_many(a, mo + sent, MANY - sent), 0);
		T_LE(n, WEFT_UDP_BATCH);
		sent += n;
	}
	while (got < MANY) {
		T_GT(n = weft_udp_recv_many(b, mi + got, MANY - got), 0);
		T_LE(n, WEFT_UDP_BATCH);
		got += n;
	}
	for (int i = 0; i < MANY; i++) {
		char want[20];
		int len = snprintf(want, sizeof want, "%d%.*s", i, i % 8, "abcdefg");

		T_EQ(mo[i].len, len);
		T_EQ(mi[i].whole, len);
		T_EQ(mi[i].len, len < 7 ? len : 7);
		T_EQ(mi[i].segment, 0);
		T_OK(same(&mi[i].addr, &at_a));
		T_EQ(memcmp(in[i][0], want, len < 6 ? (size_t)len : 6), 0);
		if (len > 6)
			T_EQ(in[i][1][0], want[6]);
	}
	T_EQ(weft_udp_recv_many_until(b, mi, 3, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_udp_sendto(a, NULL, 0, &at_b), 0);
	T_EQ(weft_udp_sendto(a, "two", 3, &at_b), 3);
	mi[0].count = 0; /* no room at all */
	T_EQ(weft_udp_recv_many(b, mi + 1, 1), 1);
	T_EQ(mi[1].len + mi[1].whole, 0);
	if (!weft__emulated()) {                       /* qemu-user's recvmmsg counts messages without room in its own way */
		T_EQ(weft_udp_recv_many(b, mi, 3), 1); /* as many as are there */
		T_EQ(mi[0].len, 0);
		T_EQ(mi[0].whole, 3);
	}
	T_EQ(weft_udp_close(a), 0);
	T_EQ(weft_udp_close(b), 0);
	return 0;
}

/* Each message is its own datagram with its own address, gathered from its buffers and scattered into them; as many as are there, at most so many a call. */
TEST_WORKERS(batches)
{
	run_net(batch_main, NULL);
}

static int batch_errors_main(void *arg)
{
	static char big[70000];
	struct iovec small = {(void *)"x", 1}, large = {big, sizeof big};
	weft_udp_msg m[3] = {{.iov = &small, .count = 1}, {.iov = &large, .count = 1}, {.iov = &small, .count = 1}};
	struct iovec in[3] = {{big, 1}, {big + 1, 1}, {big + 2, 1}};
	weft_udp_msg r[3] = {{.iov = &in[0], .count = 1}, {.iov = &in[1], .count = 1}, {.iov = &in[2], .count = 1}};
	weft_udp *a, *b;

	(void)arg;
	udp_pair(&a, &b);
	T_EQ(weft_udp_send_many(a, m, 0), 0);
	T_EQ(weft_udp_recv_many(a, m, 0), 0);
	T_EQ(weft_udp_send_many(a, m, -1), WEFT_EINVAL);
	T_EQ(weft_udp_recv_many(a, m, -1), WEFT_EINVAL);
	T_EQ(weft_udp_send_many(a, m, 3), 1); /* up to the one that cannot be sent */
	T_EQ(m[0].len, 1);
	T_EQ(weft_udp_send_many(a, m + 1, 2), WEFT_EMSGSIZE);
	T_EQ(weft_udp_recv_many(b, r, 3), 1);
	m[1].count = 1025;
	T_EQ(weft_udp_send_many(a, m, 3), 1);
	T_EQ(weft_udp_send_many(a, m + 1, 2), WEFT_EINVAL);
	m[1].count = -1;
	T_EQ(weft_udp_send_many(a, m + 1, 2), WEFT_EINVAL);
	m[1] = m[0];
	m[1].segment = 65536;
	T_EQ(weft_udp_send_many(a, m, 3), 1);
	T_EQ(weft_udp_send_many(a, m + 1, 2), WEFT_EINVAL);
	m[1].segment = -1;
	T_EQ(weft_udp_send_many(a, m + 1, 2), WEFT_EINVAL);
	r[1].count = -1;
	T_EQ(weft_udp_recv_many(b, r, 3), 1);
	T_EQ(weft_udp_recv_many(b, r, 3), 1);
	T_EQ(weft_udp_recv_many(b, r + 1, 2), WEFT_EINVAL);
	T_EQ(weft_udp_recv_many_until(b, r, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_udp_close(a), 0);
	T_EQ(weft_udp_close(b), 0);
	return 0;
}

/* What went before an error is counted; the error comes when it is the first. */
TEST_WORKERS(batch_errors)
{
	run_net(batch_errors_main, NULL);
}

/* Whether the kernel cuts and joins: as it says itself. */
static bool kernel_cuts(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
	bool can = setsockopt(fd, IPPROTO_UDP, 103, &on, sizeof on) == 0 && setsockopt(fd, IPPROTO_UDP, 104, &on, sizeof on) == 0;

	close(fd);
	return can;
}

static int segments_main(void *arg)
{
	static unsigned char out[64 * 1000], in[64 * 1000];
	struct iovec vo = {out, 10 * 1000 + 17}, vi = {in, sizeof in};
	weft_udp_msg m = {.iov = &vo, .count = 1, .segment = 1000}, r = {.iov = &vi, .count = 1};
	weft_addr at;
	weft_udp *a, *b, *c;
	size_t got;

	(void)arg;
	for (size_t i = 0; i < sizeof out; i++)
		out[i] = (unsigned char)(i * 7 + (i >> 8));
	a = open_at(NULL);
	b = open_at(&at);
	m.addr = at;
	T_EQ(weft_udp_send_many(a, &m, 1), 1);
	T_EQ(m.len, vo.iov_len);
	for (int i = 0; i < 11; i++) { /* who does not ask for it gets them one by one */
		T_EQ(weft_udp_recv(b, in, sizeof in, NULL), i < 10 ? 1000 : 17);
		T_EQ(memcmp(in, out + 1000 * (size_t)i, i < 10 ? 1000 : 17), 0);
	}
	c = open_with("127.0.0.1:0", &(weft_udp_opts){.gro = true}, &m.addr);
	T_EQ(weft_udp_recv(c, in, sizeof in, NULL), WEFT_EINVAL);
	T_EQ(weft_udp_recvfrom_until(c, in, sizeof in, &at, NULL, WEFT_NOW), WEFT_EINVAL);
	for (int stamped = 0; stamped < 2; stamped++) { /* the second time the kernel tells when it came, too, and first */
		T_EQ(setsockopt(number_of(c), SOL_SOCKET, SO_TIMESTAMP, &stamped, sizeof stamped), 0);
		T_EQ(weft_udp_send_many(a, &m, 1), 1);
		for (got = 0; got < vo.iov_len; got += r.len) { /* joined as the kernel pleases */
			T_EQ(weft_udp_recv_many(c, &r, 1), 1);
			T_LE(got + r.len, vo.iov_len);
			T_EQ(memcmp(in, out + got, r.len), 0);
			if (r.len > 1000)
				T_EQ(r.segment, 1000);
		}
	}
	m.segment = 0;
	vo.iov_len = 5;
	T_EQ(weft_udp_send_many(a, &m, 1), 1);
	T_EQ(weft_udp_recv_many(c, &r, 1), 1);
	T_EQ(r.len, 5);
	T_EQ(r.segment, 0);
	T_EQ(weft_udp_close(a), 0);
	T_EQ(weft_udp_close(b), 0);
	T_EQ(weft_udp_close(c), 0);
	return 0;
}

/* A message that the kernel cuts into datagrams, and one that it has joined from them. */
TEST_WORKERS(segments)
{
	if (!kernel_cuts())
		tap_skip("no UDP_SEGMENT or UDP_GRO here");
	run_net(segments_main, NULL);
}

/* --- IPv6 and groups --- */

static int both_families_main(void *arg)
{
	weft_addr at, at4, from, six;
	char buf[10];
	struct iovec v = {buf, sizeof buf};
	weft_udp_msg m = {.iov = &v, .count = 1};
	weft_udp *any, *four = open_at(&at4);

	(void)arg;
	any = open_with(":0", NULL, &at);
	T_EQ(at.sa.sa_family, AF_INET6);
	from = at4;
	from.v4.sin_port = at.v6.sin6_port;
	T_EQ(weft_udp_sendto(four, "hi", 2, &from), 2);
	T_EQ(weft_udp_recvfrom(any, buf, sizeof buf, &from, NULL), 2);
	T_EQ(from.sa.sa_family, AF_INET);
	T_OK(same(&from, &at4));
	T_EQ(weft_udp_sendto(any, "lo", 2, &from), 2);
	T_EQ(weft_udp_recvfrom(four, buf, sizeof buf, &from, NULL), 2);
	m.addr = at4;
	T_EQ(weft_udp_send_many(any, &m, 1), 1);
	T_EQ(weft_udp_recv_many(four, &m, 1), 1);
	T_EQ(weft_udp_send_many(four, &m, 1), 1);
	T_EQ(weft_udp_recv_many(any, &m, 1), 1);
	T_OK(same(&m.addr, &at4));
	T_EQ(weft_udp_connect(any, &at4), 0);
	T_EQ(weft_udp_peer(any, &from), 0);
	T_OK(same(&from, &at4));
	T_EQ(weft_udp_send(any, "me", 2), 2);
	T_EQ(weft_udp_recv(four, buf, sizeof buf, NULL), 2);
	T_EQ(weft_udp_close(any), 0);
	any = open_with("[::1]:0", NULL, &six);
	T_EQ(weft_udp_sendto(any, "me", 2, &six), 2);
	T_EQ(weft_udp_recvfrom(any, buf, sizeof buf, &from, NULL), 2);
	T_OK(same(&from, &six));
	T_EQ(weft_udp_close(any), 0);
	any = open_with(":0", &(weft_udp_opts){.v6_only = true}, &at);
	T_EQ(weft_udp_sendto(any, "x", 1, &at4), WEFT_ENETUNREACH);
	T_EQ(weft_udp_close(any), 0);
	T_EQ(weft_udp_close(four), 0);
	return 0;
}

/* A socket of any address speaks to both, and takes and gives IPv4 addresses as such. */
TEST_WORKERS(both_families)
{
	if (!have_ipv6())
		tap_skip("no IPv6 here");
	run_net(both_families_main, NULL);
}

static int groups_main(void *arg)
{
	weft_addr at, at_b, group, plain, from;
	const char *interface = arg;
	weft_udp *a = open_at(NULL), *b, *c;
	char buf[10], text[WEFT_ADDR_TEXT];

	b = open_with("0.0.0.0:0", &(weft_udp_opts){.reuse_addr = true}, &at);
	snprintf(text, sizeof text, "0.0.0.0:%d", weft_addr_port(&at));
	c = open_with(text, &(weft_udp_opts){.reuse_addr = true}, &at_b);
	T_EQ(weft_addr_parse(&group, "239.255.77.77:0"), 0);
	group.v4.sin_port = at.v4.sin_port;
	plain = (weft_addr){.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	T_EQ(weft_udp_join(b, &plain, interface), WEFT_EINVAL);
	T_EQ(weft_udp_join(b, &(weft_addr){.sa.sa_family = AF_UNIX}, interface), WEFT_EINVAL);
	T_EQ(weft_udp_join(b, &group, "no such interface"), WEFT_ENODEV);
	T_EQ(weft_udp_leave(b, &group, interface), WEFT_EADDRNOTAVAIL);
	T_EQ(weft_udp_join(b, &group, interface), 0);
	T_EQ(weft_udp_join(b, &group, interface), WEFT_EADDRINUSE);
	T_EQ(weft_udp_join(c, &group, interface), 0);
	T_EQ(weft_udp_multicast_interface(a, "no such interface"), WEFT_ENODEV);
	T_EQ(weft_udp_multicast_interface(a, interface), 0);
	T_EQ(weft_udp_multicast_ttl(a, 256), WEFT_EINVAL);
	T_EQ(weft_udp_multicast_ttl(a, -1), WEFT_EINVAL);
	T_EQ(weft_udp_multicast_ttl(a, 0), 0);
	T_EQ(option(a, IPPROTO_IP, IP_MULTICAST_TTL), 0);
	T_EQ(weft_udp_multicast_loop(a, false), 0);
	T_EQ(option(a, IPPROTO_IP, IP_MULTICAST_LOOP), 0);
	T_EQ(weft_udp_multicast_loop(a, true), 0);
	T_EQ(weft_udp_sendto(a, "all", 3, &group), 3);
	T_EQ(weft_udp_recvfrom(b, buf, sizeof buf, &from, NULL), 3); /* both get it */
	T_EQ(weft_udp_recvfrom(c, buf, sizeof buf, &from, NULL), 3);
	T_EQ(weft_udp_leave(b, &group, interface), 0);
	T_EQ(weft_udp_leave(b, &group, interface), WEFT_EADDRNOTAVAIL);
	T_EQ(weft_udp_multicast_interface(a, NULL), 0);
	T_EQ(weft_udp_close(a), 0);
	T_EQ(weft_udp_close(b), 0);
	T_EQ(weft_udp_close(c), 0);
	return 0;
}

/* What is sent to a group is received by all who have joined it, and not by those who have left. */
TEST_WORKERS(groups)
{
	if (weft__emulated())
		tap_skip("emulated: the emulator does not know MCAST_JOIN_GROUP");
	if (!if_nametoindex("lo"))
		tap_skip("no interface lo here");
	run_net(groups_main, (void *)"lo");
}

static int groups6_main(void *arg)
{
	weft_udp *u = open_with(":0", NULL, NULL);
	weft_addr four, six;

	(void)arg;
	T_EQ(weft_addr_parse(&four, "239.255.77.78:0"), 0);
	T_EQ(weft_addr_parse(&six, "[ff02::7777]:0"), 0);
	T_EQ(weft_udp_join(u, &six, "lo"), 0);
	T_EQ(weft_udp_join(u, &four, "lo"), 0);
	T_EQ(weft_udp_multicast_ttl(u, 7), 0);
	T_EQ(option(u, IPPROTO_IP, IP_MULTICAST_TTL), 7);
	T_EQ(option(u, IPPROTO_IPV6, IPV6_MULTICAST_HOPS), 7);
	T_EQ(weft_udp_multicast_loop(u, false), 0);
	T_EQ(option(u, IPPROTO_IPV6, IPV6_MULTICAST_LOOP), 0);
	T_EQ(weft_udp_multicast_interface(u, "lo"), 0);
	T_EQ(option(u, IPPROTO_IPV6, IPV6_MULTICAST_IF), (int)if_nametoindex("lo"));
	T_EQ(weft_udp_leave(u, &four, "lo"), 0);
	T_EQ(weft_udp_leave(u, &six, "lo"), 0);
	T_EQ(weft_udp_leave(u, &six, "lo"), WEFT_EADDRNOTAVAIL);
	T_EQ(weft_udp_close(u), 0);
	return 0;
}

/* A socket of IPv6 joins groups of both kinds, and what is said of its sending holds for both. */
TEST_WORKERS(groups_of_both_families)
{
	if (weft__emulated())
		tap_skip("emulated: the emulator does not know MCAST_JOIN_GROUP");
	if (!have_ipv6() || !if_nametoindex("lo"))
		tap_skip("no IPv6, or no interface lo here");
	run_net(groups6_main, NULL);
}

/* --- at once --- */

enum { FLOOD = 3000 };

struct flood {
	weft_udp *from, *to;
	int n;
	ATOMIC(int) got;
};

/* Numbers; not more under way than the kernel keeps. */
static int flood_out(void *arg)
{
	struct flood *f = arg;

	for (int i = 0; i < f->n; i++) {
		until(i - load_acquire(&f->got) < 50);
		T_EQ(weft_udp_send(f->from, &i, sizeof i), sizeof i);
	}
	return 0;
}

static int flood_in(void *arg)
{
	struct flood *f = arg;

	for (int i = 0; i < f->n; i++) {
		int x = -1;

		T_EQ(weft_udp_recv(f->to, &x, sizeof x, NULL), sizeof x);
		T_EQ(x, i);
		store_release(&f->got, i + 1);
	}
	return 0;
}

static int both_ways_main(void *arg)
{
	int n = (int)tap_iters(FLOOD);
	struct flood f[2];
	weft_task *t[4];
	weft_udp *a, *b;

	(void)arg;
	udp_pair(&a, &b);
	f[0] = (struct flood){.from = a, .to = b, .n = n};
	f[1] = (struct flood){.from = b, .to = a, .n = n};
	for (int i = 0; i < 4; i++)
		t[i] = start(i / 2 ? flood_out : flood_in, &f[i % 2]);
	for (int i = 0; i < 4; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(weft_udp_close(a), 0);
	T_EQ(weft_udp_close(b), 0);
	return 0;
}

/* On each of two sockets one task sends while another receives: all arrives, in turn as the loopback keeps it. */
TEST_WORKERS(both_ways)
{
	run_net(both_ways_main, NULL);
}

static int receives_one(void *arg)
{
	struct in_line *me = arg;

	return (int)weft_udp_recv(me->h, &me->byte, 1, NULL);
}

static int in_turn_main(void *arg)
{
	struct in_line w[LINE];
	weft_task *t[LINE];
	weft_udp *a, *b;

	(void)arg;
	udp_pair(&a, &b);
	for (int i = 0; i < LINE; i++) {
		w[i] = (struct in_line){.h = a};
		t[i] = start(receives_one, &w[i]);
		until_reason(t[i], "read");
	}
	T_EQ(weft_task_cancel(t[3]), 0);
	T_EQ(finish(t[3]), WEFT_ECANCELED);
	for (int i = 0; i < LINE; i++) {
		if (i != 3)
			T_EQ(weft_udp_send(b, &(char){(char)('a' + i)}, 1), 1);
	}
	for (int i = 0; i < LINE; i++) {
		if (i == 3)
			continue;
		T_EQ(finish(t[i]), 1);
		T_EQ(w[i].byte, 'a' + i);
	}
	T_EQ(weft_udp_close(a), 0);
	T_EQ(weft_udp_close(b), 0);
	return 0;
}

/* Tasks that receive from one socket get a datagram each, in the order in which they came; who is called off leaves the line. */
TEST_WORKERS(receivers_in_turn)
{
	run_net(in_turn_main, NULL);
}

static int deadline_main(void *arg)
{
	struct receiving r = {.rc = 77};
	weft_udp *a, *b;
	weft_task *t;

	(void)arg;
	udp_pair(&a, &b);
	r.u = a;
	T_EQ(weft_udp_set_deadline(a, weft_in(3600 * WEFT_SEC), WEFT_FOREVER), 0);
	t = start(receives_once, &r);
	until_reason(t, "read");
	T_EQ(weft_udp_set_deadline(a, weft_now(), weft_now()), 0); /* by another task, and at once */
	T_EQ(finish(t), 0);
	T_EQ(r.rc, WEFT_ETIMEDOUT);
	T_EQ(weft_udp_send(b, "x", 1), 1);
	T_EQ(weft_udp_recv(a, r.buf, 1, NULL), WEFT_ETIMEDOUT);
	T_EQ(weft_udp_send(a, "y", 1), WEFT_ETIMEDOUT);
	T_EQ(weft_udp_set_deadline(a, WEFT_FOREVER, WEFT_FOREVER), 0);
	T_EQ(weft_udp_recv(a, r.buf, 1, NULL), 1); /* nothing was lost */
	T_EQ(weft_udp_recv_until(b, r.buf, 1, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_udp_send(a, "y", 1), 1);
	t = start(receives_once, &r);
	until_reason(t, "read");
	time_fake();
	T_EQ(weft_udp_set_deadline(a, weft_in(WEFT_SEC), WEFT_FOREVER), 0);
	until_reason(t, "read");
	time_move(WEFT_SEC);
	T_EQ(finish(t), 0);
	T_EQ(r.rc, WEFT_ETIMEDOUT);
	time_real();
	T_EQ(weft_udp_close(a), 0);
	T_EQ(weft_udp_close(b), 0);
	return 0;
}

/* A deadline that another task moves counts for who waits just now; what comes meanwhile is not lost. */
TEST_WORKERS(deadline_of_the_socket)
{
	run_net(deadline_main, NULL);
}

struct sending {
	weft_udp *u;
	ssize_t rc;
};

static int sends_once(void *arg)
{
	struct sending *s = arg;

	s->rc = weft_udp_send(s->u, "x", 1);
	return 0;
}

static int both_closed_main(void *arg)
{
	struct receiving r = {.rc = 77};
	struct sending s = {.rc = 77};
	weft_task *rt, *st;
	int sv[2], number;

	(void)arg;
	r.u = s.u = open_at(NULL);
	number = number_of(r.u);
	T_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0); /* unlike the loopback's, it can be full */
	T_EQ(dup3(sv[0], number, O_CLOEXEC), number);
	close(sv[0]);
	while (send(number, "x", 1, MSG_DONTWAIT) > 0)
		;
	rt = start(receives_once, &r);
	st = start(sends_once, &s);
	until_reason(rt, "read");
	until_reason(st, "write");
	T_EQ(weft_udp_close(r.u), 0);
	T_OK(!is_open(number));
	T_EQ(finish(rt), 0);
	T_EQ(finish(st), 0);
	T_EQ(r.rc, WEFT_ECLOSED);
	T_EQ(s.rc, WEFT_ECLOSED);
	close(sv[1]);
	return 0;
}

/* One task waits to receive and one to send; a third closes: both get WEFT_ECLOSED. */
TEST_WORKERS(close_ends_both)
{
	run_net(both_closed_main, NULL);
}

static int use_after_close_main(void *arg)
{
	struct iovec v = {(char[1]){0}, 1};
	weft_udp_msg m = {.iov = &v, .count = 1};
	weft_addr at, group;
	weft_udp *u = open_at(&at), *mine = weft_udp_ref(u);
	char x = 0;

	(void)arg;
	T_EQ(mine == u, 1);
	T_EQ(weft_addr_parse(&group, "239.255.77.79:0"), 0);
	T_EQ(weft_udp_sendto(u, "unread", 6, &at), 6);
	T_EQ(weft_udp_close(u), 0);
	T_EQ(weft_udp_recv(mine, &x, 1, NULL), WEFT_ECLOSED);
	T_EQ(weft_udp_recvfrom(mine, &x, 1, &at, NULL), WEFT_ECLOSED);
	T_EQ(weft_udp_recvfrom_until(mine, &x, 1, NULL, NULL, WEFT_NOW), WEFT_ECLOSED);
	T_EQ(weft_udp_recv_many(mine, &m, 1), WEFT_ECLOSED);
	T_EQ(weft_udp_send(mine, &x, 1), WEFT_ECLOSED);
	T_EQ(weft_udp_sendto(mine, &x, 1, &at), WEFT_ECLOSED);
	T_EQ(weft_udp_send_many(mine, &m, 1), WEFT_ECLOSED);
	T_EQ(weft_udp_connect(mine, &at), WEFT_ECLOSED);
	T_EQ(weft_udp_join(mine, &group, NULL), WEFT_ECLOSED);
	T_EQ(weft_udp_leave(mine, &group, NULL), WEFT_ECLOSED);
	T_EQ(weft_udp_multicast_ttl(mine, 1), WEFT_ECLOSED);
	T_EQ(weft_udp_multicast_loop(mine, true), WEFT_ECLOSED);
	T_EQ(weft_udp_multicast_interface(mine, NULL), WEFT_ECLOSED);
	T_EQ(weft_udp_set_deadline(mine, WEFT_FOREVER, WEFT_FOREVER), WEFT_ECLOSED);
	T_EQ(weft_udp_local(mine, &at), WEFT_ECLOSED);
	T_EQ(weft_udp_peer(mine, &at), WEFT_ECLOSED);
	T_EQ(weft_udp_fd(mine), WEFT_ECLOSED);
	T_EQ(weft_udp_close(mine), WEFT_ECLOSED);
	return 0;
}

/* Who has a reference of his own is told that it is closed, by every call. */
TEST_WORKERS(use_after_close)
{
	run_net(use_after_close_main, NULL);
}

static int taken_over_main(void *arg)
{
	int raw = socket(AF_INET, SOCK_DGRAM, 0), stream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	weft_udp *u = (void *)1, *more;
	weft_addr at;
	char buf[4];
	int sv[2];

	(void)arg;
	T_EQ(bind(raw, (struct sockaddr *)&a, sizeof a), 0);
	T_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv), 0);
	T_EQ(weft_udp_from_fd(&u, stream), WEFT_EINVAL);
	T_EQ(u, NULL);
	T_EQ(weft_udp_from_fd(&u, sv[0]), WEFT_EINVAL);
	T_EQ(weft_udp_from_fd(&u, -1), WEFT_EBADF);
	close(sv[1]);
	T_EQ(weft_udp_from_fd(&u, sv[1]), WEFT_EBADF);
	T_EQ(weft_udp_from_fd(&u, raw), 0);
	T_EQ(weft_udp_fd(u), raw);
	T_EQ(fcntl(raw, F_GETFD), FD_CLOEXEC);
	T_EQ(weft_udp_local(u, &at), 0);
	T_EQ(weft_udp_recv_until(u, buf, sizeof buf, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_udp_sendto(u, "self", 4, &at), 4);
	more = weft_udp_ref(u);
	weft_udp_free(u); /* the other reference keeps it open */
	T_EQ(weft_udp_recv(more, buf, sizeof buf, NULL), 4);
	weft_udp_free(more);
	weft_udp_free(NULL);
	T_OK(!is_open(raw));
	close(stream);
	close(sv[0]);
	return 0;
}

/* A socket from elsewhere is taken over, if it is one of UDP; the last reference that is freed closes it. */
TEST_WORKERS(taken_over)
{
	run_net(taken_over_main, NULL);
}

/* Without a runtime what need not wait is done, and what would is an error. */
TEST(without_a_runtime)
{
	weft_addr at;
	weft_udp *u = open_at(&at);
	char x = 0;

	T_EQ(weft_udp_sendto(u, "a", 1, &at), 1);
	until_holds(number_of(u), POLLIN);
	T_EQ(weft_udp_recv(u, &x, 1, NULL), 1);
	T_EQ(x, 'a');
	T_EQ(weft_udp_recv(u, &x, 1, NULL), WEFT_ESRCH);
	T_EQ(weft_udp_recv_until(u, &x, 1, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_udp_close(u), 0);
}
