/* SPDX-License-Identifier: MIT
 *
 * dial.c - dialling names: which address is tried when, who wins, what becomes of the others, and every error.
 *
 * The resolver is the test's own (names.h), and the clock stands still. A black hole is a listener whose queue is full: the system neither answers nor refuses.
 */
#include "names.h"
#include "net.h"

#include "base/rand.h"

#define WAIT (250 * WEFT_MS) /* until the next address is tried besides */

/* The same port at several addresses of this machine. */
struct places {
	char host[3][32]; /* 127.a.b.c of this process, and two more */
	weft_tcp_listener *l[3];
	int port;
	int raw[12], raws;
};

enum kind { HOLE, REFUSES, ANSWERS };

static void host_of(char *host, int k)
{
	unsigned pid = (unsigned)getpid();

	snprintf(host, 32, "127.%u.%u.%u", 1 + k + 4 * (pid >> 16 & 0x1f), pid >> 8 & 255, pid & 255);
}

/* Fills the queue of a listener that has room for one. */
static void make_hole(struct places *p, int k)
{
	int number = number_of(p->l[k]);

	for (int i = 0; i < 2; i++) /* one more than the backlog, on Linux */
		p->raw[p->raws++] = raw_connect(p->host[k], p->port);
	for (;;) {
		struct tcp_info info;
		socklen_t len = sizeof info;

		if (weft__emulated() || getsockopt(number, IPPROTO_TCP, TCP_INFO, &info, &len)) {
			until_queued(p->raw[p->raws - 1]);
			return;
		}
		if (info.tcpi_unacked > info.tcpi_sacked)
			return;
		let_run();
	}
}

/* Three addresses, of these kinds, by the name "three.test". */
static void places_make(struct places *p, const enum kind *kinds)
{
	char at[WEFT_ADDR_TEXT], all[128];

	*p = (struct places){.port = 0};
	for (int k = 0; k < 3; k++)
		host_of(p->host[k], k);
	for (int k = 0; k < 3; k++) {
		snprintf(at, sizeof at, "%s:%d", p->host[k], p->port);
		T_EQ(weft_tcp_listen(&p->l[k], at, &(weft_listen_opts){.backlog = kinds[k] == HOLE}), 0);
		p->port = p->port ? p->port : port_of(p->l[k]);
	}
	for (int k = 0; k < 3; k++) {
		if (kinds[k] == HOLE)
			make_hole(p, k);
		if (kinds[k] == REFUSES) {
			T_EQ(weft_tcp_listener_close(p->l[k]), 0);
			p->l[k] = NULL;
		}
	}
	snprintf(all, sizeof all, "%s %s %s", p->host[0], p->host[1], p->host[2]);
	names_say("three.test", all);
}

static void places_end(struct places *p)
{
	for (int i = 0; i < p->raws; i++)
		close(p->raw[i]);
	for (int k = 0; k < 3; k++)
		T_EQ(weft_tcp_listener_close(p->l[k]), 0);
}

struct dialling {
	char at[WEFT_ADDR_TEXT];
	weft_dial_opts o;
	int64_t deadline;
	size_t records; /* there were before */
	weft_tcp *c;
	int rc;
};

static int dials(void *arg)
{
	struct dialling *d = arg;

	d->c = (void *)1;
	d->rc = weft_tcp_dial_opts_until(&d->c, d->at, &d->o, d->deadline);
	T_EQ(d->c != NULL, d->rc == 0);
	return d->rc;
}

static weft_task *dial_start(struct dialling *d, const struct places *p, int64_t deadline, weft_dial_opts o)
{
	snprintf(d->at, sizeof d->at, "three.test:%d", p->port);
	d->o = o;
	d->deadline = deadline;
	d->records = weft__fd_count();
	return start(dials, d);
}

static bool has_come(struct places *p, int k)
{
	return holds(number_of(p->l[k]), POLLIN);
}

static void peer_is(weft_tcp *c, const char *host)
{
	char at[WEFT_ADDR_TEXT];
	weft_addr a;

	T_EQ(weft_tcp_peer(c, &a), 0);
	T_GT(weft_addr_format(&a, at, sizeof at), 0);
	T_STR_HAS(at, host);
}

/* It waits for an answer from n addresses. */
static void until_races(const struct dialling *d, weft_task *t, int n)
{
	until(weft__fd_count() >= d->records + (size_t)n);
	until_reason(t, "dial");
}

/* As run_net, with names. */
static void run_named(weft_task_fn *fn)
{
	names_begin();
	run_net(fn, NULL);
}

static int falls_main(void *arg)
{
	const enum kind kinds[] = {HOLE, ANSWERS, ANSWERS};
	struct places p;
	struct dialling d;
	weft_task *t;
	int fds;

	(void)arg;
	time_fake();
	places_make(&p, kinds);
	for (int i = 0; i < 3; i++) {
		const int64_t delays[] = {0, 10 * WEFT_MS, 3 * WEFT_SEC}, delay = delays[i] ? delays[i] : WAIT;

		fds = rt_fds();
		t = dial_start(&d, &p, WEFT_FOREVER, (weft_dial_opts){.delay = delays[i]});
		until_races(&d, t, 1);
		time_move(delay - 1);
		until_reason(t, "dial");
		T_OK(!has_come(&p, 1));
		time_move(1);
		T_EQ(finish(t), 0);
		peer_is(d.c, p.host[1]);
		T_OK(!has_come(&p, 2));
		T_EQ(rt_fds(), fds + 1); /* the other attempt is closed */
		T_EQ(weft_tcp_close(accept_from(p.l[1])), 0);
		T_EQ(weft_tcp_close(d.c), 0);
	}
	places_end(&p);
	return 0;
}

/* The first address does not answer: after the delay, and not before, the second is tried besides, and the first is given up when that one is connected. */
TEST_WORKERS(black_hole_first)
{
	run_named(falls_main);
}

static int refused_main(void *arg)
{
	const enum kind kinds[] = {REFUSES, REFUSES, ANSWERS};
	struct places p;
	weft_tcp *c;
	int fds;

	(void)arg;
	time_fake();
	places_make(&p, kinds);
	for (int i = 0; i < 2; i++) {
		char at[WEFT_ADDR_TEXT];
		weft_tcp *s;

		snprintf(at, sizeof at, "three.test:%d", p.port);
		fds = rt_fds();
		T_EQ(weft_tcp_dial_opts(&c, at, &(weft_dial_opts){.delay = i ? -1 : 0}), 0); /* the clock stands still */
		peer_is(c, p.host[2]);
		T_EQ(rt_fds(), fds + 1);
		s = accept_from(p.l[2]);
		talk(c, s);
		T_EQ(weft_tcp_close(s), 0);
		T_EQ(weft_tcp_close(c), 0);
	}
	places_end(&p);
	return 0;
}

/* An address that refuses costs no time. */
TEST_WORKERS(refusal_falls_to_the_next_at_once)
{
	run_named(refused_main);
}

static int refused_later_main(void *arg)
{
	const enum kind kinds[] = {HOLE, REFUSES, ANSWERS};
	struct places p;
	struct dialling d;
	weft_task *t;

	(void)arg;
	time_fake();
	places_make(&p, kinds);
	t = dial_start(&d, &p, WEFT_FOREVER, (weft_dial_opts){.delay = 0});
	until_races(&d, t, 1);
	time_move(WAIT);
	T_EQ(finish(t), 0); /* the second refuses, the third is tried at once, while the first is still open */
	peer_is(d.c, p.host[2]);
	T_EQ(weft_tcp_close(d.c), 0);
	places_end(&p);
	return 0;
}

/* ... nor does it while others are waited for. */
TEST_WORKERS(refusal_during_a_race)
{
	run_named(refused_later_main);
}

static int two_holes_main(void *arg)
{
	const enum kind kinds[] = {HOLE, HOLE, ANSWERS};
	struct places p;
	struct dialling d;
	weft_task *t;
	int fds;

	(void)arg;
	time_fake();
	places_make(&p, kinds);
	fds = rt_fds();
	t = dial_start(&d, &p, WEFT_FOREVER, (weft_dial_opts){.delay = 0});
	until_races(&d, t, 1);
	time_move(WAIT);
	until_races(&d, t, 2);
	T_OK(!has_come(&p, 2));
	time_move(WAIT);
	T_EQ(finish(t), 0);
	peer_is(d.c, p.host[2]);
	until(rt_fds() <= fds + 1); /* lookups' own are gone, too */
	T_EQ(weft_tcp_close(d.c), 0);

	fds = rt_fds(); /* one after the other: the first is waited for as long as the kernel does */
	t = dial_start(&d, &p, WEFT_FOREVER, (weft_dial_opts){.delay = -1});
	until_races(&d, t, 1);
	time_move(3600 * WEFT_SEC);
	until_reason(t, "dial");
	T_EQ(rt_fds(), fds + 1);
	weft_task_cancel(t);
	T_EQ(finish(t), WEFT_ECANCELED);
	places_end(&p);
	return 0;
}

/* Two that do not answer: the third wins, both are closed. Without a race nobody else is tried. */
TEST_WORKERS(winner_ends_the_others)
{
	run_named(two_holes_main);
}

static int ends_main(void *arg)
{
	const enum kind kinds[] = {HOLE, HOLE, HOLE};
	struct places p;
	struct dialling d;
	weft_task *t;

	(void)arg;
	time_fake();
	places_make(&p, kinds);
	for (int open = 1; open <= 3; open++) {
		for (int how = 0; how < 4; how++) {
			weft_ctx *ctx = how == 2   ? weft_ctx_make(NULL)
					: how == 3 ? weft_ctx_with_deadline(NULL, weft_in(10 * WEFT_SEC))
						   : NULL;
			weft_ctx *up = ctx ? weft_ctx_enter(ctx) : NULL;
			int fds = rt_fds();
			size_t records = weft__fd_count();

			t = dial_start(&d, &p, how == 1 ? weft_in(10 * WEFT_SEC) : WEFT_FOREVER, (weft_dial_opts){.delay = WEFT_SEC});
			if (ctx)
				weft_ctx_leave(up);
			for (int k = 1; k < open; k++) {
				until_races(&d, t, k);
				time_move(WEFT_SEC);
			}
			until_races(&d, t, open);
			if (how == 0)
				weft_task_cancel(t);
			else if (how == 2)
				weft_ctx_cancel(ctx, 0);
			else
				time_move(10 * WEFT_SEC);
			T_EQ(finish(t), how == 0 || how == 2 ? WEFT_ECANCELED : WEFT_ETIMEDOUT);
			T_EQ(rt_fds(), fds);
			T_EQ(weft__fd_count(), records);
			weft_ctx_free(ctx);
		}
	}
	T_EQ(weft_tcp_dial_until(&d.c, d.at, weft_now() - 1), WEFT_ETIMEDOUT);
	T_EQ(weft_tcp_dial_until(&d.c, d.at, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(d.c, NULL);
	places_end(&p);
	return 0;
}

/* With one, two or three under way: cancelled or late, by itself or by its context, it leaves nothing. */
TEST_WORKERS(cancelled_or_late_in_a_race)
{
	run_named(ends_main);
}

static int whole_main(void *arg)
{
	const enum kind kinds[] = {HOLE, HOLE, HOLE};
	struct places p;
	struct dialling d;
	weft_task *t;

	(void)arg;
	time_fake();
	places_make(&p, kinds);
	snprintf(d.at, sizeof d.at, "stuck.test:%d", p.port);
	d.o = (weft_dial_opts){.delay = 0};
	d.deadline = weft_in(10 * WEFT_SEC);
	t = start(dials, &d);
	until_reason(t, "name");
	time_move(10 * WEFT_SEC - 1);
	until_reason(t, "name");
	time_move(1);
	T_EQ(finish(t), WEFT_ETIMEDOUT);
	names_open();
	until(weft__dns_count() == 0);
	places_end(&p);
	return 0;
}

/* The deadline covers the name too. */
TEST_WORKERS(late_for_the_name)
{
	run_named(whole_main);
}

static int now_main(void *arg)
{
	struct dialling d = {.at = "a.test:80", .deadline = WEFT_NOW};

	(void)arg;
	T_EQ(finish(start(dials, &d)), WEFT_EAGAIN);
	weft_task_cancel(weft_task_self());
	return dials(&d);
}

/* With WEFT_NOW a name that would have to be asked for is not; who is cancelled is told that first. */
TEST_WORKERS(a_name_at_once)
{
	size_t records = weft__fd_count();

	names_begin();
	T_EQ(run_with(now_main, NULL, (weft_opts){.workers = 0}), WEFT_ECANCELED);
	T_EQ(weft__fd_count(), records);
}

static int errors_main(void *arg)
{
	static const int codes[] = {WEFT_EAI_NONAME, WEFT_EAI_NODATA, WEFT_EAI_AGAIN, WEFT_EAI_FAIL};
	const enum kind kinds[] = {REFUSES, REFUSES, REFUSES};
	struct places p;
	struct dialling d;
	weft_tcp *c;
	weft_tcp_listener *l;

	(void)arg;
	places_make(&p, kinds);
	T_EQ(finish(dial_start(&d, &p, WEFT_FOREVER, (weft_dial_opts){.delay = 0})), WEFT_ECONNREFUSED);
	names_say("none.test", "255.255.255.255 127.0.0.1"); /* nobody dials all */
	T_EQ(weft_tcp_dial(&c, "none.test:1"), WEFT_ENETUNREACH);
	names_say("none.test", "127.0.0.1 255.255.255.255"); /* the first counts */
	T_EQ(weft_tcp_dial(&c, "none.test:1"), WEFT_ECONNREFUSED);
	T_EQ(c, NULL);
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		names_fail("none.test", codes[i]);
		T_EQ(weft_tcp_dial(&c, "none.test:1"), codes[i]);
		T_EQ(weft_tcp_listen(&l, "none.test:0", NULL), codes[i]);
		T_EQ(l, NULL);
	}
	T_EQ(weft_tcp_dial(&c, "three.test:nosuch"), WEFT_EAI_SERVICE);
	T_EQ(weft_tcp_dial(&c, "three.test"), WEFT_EINVAL);
	T_EQ(weft_tcp_dial(&c, "three.test:65536"), WEFT_EINVAL);
	T_EQ(weft_tcp_dial_opts(&c, "127.0.0.1:1", &(weft_dial_opts){.family = AF_UNIX}), WEFT_EINVAL);
	T_EQ(weft_tcp_dial_opts(&c, "127.0.0.1:1", &(weft_dial_opts){.keepalive = 40000 * WEFT_SEC}), WEFT_EINVAL);
	T_EQ(weft_tcp_dial_opts(&c, "127.0.0.1:1", &(weft_dial_opts){.local = "127.0.0.1"}), WEFT_EINVAL);
	T_EQ(weft_tcp_dial_opts(&c, "127.0.0.1:1", &(weft_dial_opts){.local = "three.test:0"}), WEFT_EAI_NONAME);
	T_EQ(weft_tcp_dial_opts(&c, "127.0.0.1:1", &(weft_dial_opts){.local = "127.0.0.1:0", .family = AF_INET6}), WEFT_EINVAL);
	T_EQ(weft_tcp_dial_opts(&c, "127.0.0.1:1", &(weft_dial_opts){.family = AF_INET6}), WEFT_EAI_NODATA);
	T_EQ(weft_tcp_dial_opts(&c, "three.test:1", &(weft_dial_opts){.family = AF_INET6}), WEFT_EAI_NODATA);
	T_EQ(weft_tcp_dial_opts(&c, "127.0.0.1:1", &(weft_dial_opts){.local = "[::1]:0"}), WEFT_EAI_NODATA);
	T_EQ(weft_tcp_dial_opts(&c, "127.0.0.1:1", &(weft_dial_opts){.local = "192.0.2.77:0"}), WEFT_EADDRNOTAVAIL);
	T_EQ(c, NULL);
	places_end(&p);
	return 0;
}

/* Each error, and that the first address's is the one that is told. */
TEST_WORKERS(errors)
{
	run_named(errors_main);
}

static int turns_main(void *arg)
{
	const enum kind kinds[] = {HOLE, HOLE, HOLE};
	char six[WEFT_ADDR_TEXT], all[160];
	weft_tcp_listener *l;
	struct places p;
	struct dialling d;
	weft_task *t;
	int rc;

	(void)arg;
	time_fake();
	do {
		places_make(&p, kinds);
		snprintf(six, sizeof six, "[::1]:%d", p.port);
		rc = weft_tcp_listen(&l, six, NULL);
		if (rc) { /* somebody else has this port */
			T_EQ(rc, WEFT_EADDRINUSE);
			places_end(&p);
		}
	} while (rc);
	snprintf(all, sizeof all, "%s %s %s ::1", p.host[0], p.host[1], p.host[2]);
	names_say("three.test", all);
	t = dial_start(&d, &p, WEFT_FOREVER, (weft_dial_opts){.delay = 0});
	until_races(&d, t, 1);
	time_move(WAIT);
	T_EQ(finish(t), 0); /* second, though it is told last */
	peer_is(d.c, "[::1]");
	T_EQ(weft_tcp_close(d.c), 0);
	T_EQ(finish(dial_start(&d, &p, WEFT_FOREVER, (weft_dial_opts){.family = AF_INET6})), 0);
	peer_is(d.c, "[::1]");
	T_EQ(weft_tcp_close(d.c), 0);
	T_EQ(weft_tcp_listener_close(l), 0);
	places_end(&p);
	return 0;
}

/* The families take turns. */
TEST_WORKERS(families_take_turns)
{
	if (!have_ipv6())
		tap_skip("no IPv6 here");
	run_named(turns_main);
}

static int options_main(void *arg)
{
	const enum kind kinds[] = {ANSWERS, REFUSES, REFUSES};
	char local[WEFT_ADDR_TEXT];
	struct places p;
	struct dialling d;
	int64_t idle[] = {0, -1, 40 * WEFT_SEC};

	(void)arg;
	places_make(&p, kinds);
	snprintf(local, sizeof local, "%s:0", p.host[2]);
	T_EQ(finish(dial_start(&d, &p, WEFT_FOREVER, (weft_dial_opts){.local = local})), 0);
	weft_tcp *s = accept_from(p.l[0]);

	peer_is(s, p.host[2]);
	T_EQ(weft_tcp_close(s), 0);
	T_EQ(weft_tcp_close(d.c), 0);
	for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
		int on = -1, seconds = -1;
		socklen_t n = sizeof(int);

		T_EQ(finish(dial_start(&d, &p, WEFT_FOREVER, (weft_dial_opts){.keepalive = idle[i]})), 0);
		T_EQ(getsockopt(number_of(d.c), SOL_SOCKET, SO_KEEPALIVE, &on, &n), 0);
		T_EQ(getsockopt(number_of(d.c), IPPROTO_TCP, TCP_KEEPIDLE, &seconds, &n), 0);
		T_EQ(on, idle[i] >= 0);
		if (on)
			T_EQ(seconds, idle[i] ? 40 : 15);
		T_EQ(weft_tcp_close(d.c), 0);
		T_EQ(weft_tcp_close(accept_from(p.l[0])), 0);
	}
	places_end(&p);
	return 0;
}

/* The near end, and when a silent peer is asked. */
TEST(options)
{
	run_named(options_main);
}

static int listen_main(void *arg)
{
	char host[32], at[WEFT_ADDR_TEXT];
	weft_tcp_listener *l;
	weft_tcp *c, *s;
	weft_addr a;

	(void)arg;
	host_of(host, 0);
	names_say("here.test", host);
	T_EQ(weft_tcp_listen(&l, "here.test:0", NULL), 0);
	T_EQ(weft_tcp_listener_addr(l, &a), 0);
	T_GT(weft_addr_format(&a, at, sizeof at), 0);
	T_STR_HAS(at, host);
	snprintf(at, sizeof at, "here.test:%d", port_of(l));
	c = dial_to(at);
	s = accept_from(l);
	talk(c, s);
	T_EQ(weft_tcp_close(c), 0);
	T_EQ(weft_tcp_close(s), 0);
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* A listener is where its name's first address is. */
TEST(listen_by_name)
{
	run_named(listen_main);
}

/* --- many at once --- */

struct crowd {
	struct places p;
	ATOMIC(long) won, late;
	weft_task *t[12];
};

static int crowd_serves(void *arg)
{
	struct crowd *k = arg;
	weft_tcp *c;

	while (weft_tcp_accept(k->p.l[2], &c) == 0)
		weft_tcp_close(c);
	return 0;
}

static int crowd_dials(void *arg)
{
	struct crowd *k = arg;
	char at[WEFT_ADDR_TEXT];
	struct rng r;
	long n = tap_iters(60);

	rng_seed(&r, 5, weft_task_id(NULL));
	snprintf(at, sizeof at, "three.test:%d", k->p.port);
	for (long i = 0; i < n; i++) {
		weft_dial_opts o = {.delay = 1 + (int64_t)rng_below(&r, 300) * WEFT_US};
		int64_t deadline = rng_below(&r, 2) ? WEFT_FOREVER : weft_in((int64_t)rng_below(&r, 500) * WEFT_US);
		weft_tcp *c;
		int rc = weft_tcp_dial_opts_until(&c, at, &o, deadline);

		T_EQ(c != NULL, rc == 0);
		if (rc == WEFT_ECANCELED)
			break;
		if (rc) {
			T_EQ(rc, WEFT_ETIMEDOUT);
			T_NE(deadline, WEFT_FOREVER);
			add_relaxed(&k->late, 1);
			continue;
		}
		add_relaxed(&k->won, 1);
		peer_is(c, k->p.host[2]);
		T_EQ(weft_tcp_close(c), 0);
	}
	return 0;
}

static int crowd_main(void *arg)
{
	const enum kind kinds[] = {HOLE, REFUSES, ANSWERS};
	struct crowd k = {.won = 0};
	weft_task *server;

	(void)arg;
	places_make(&k.p, kinds);
	server = start(crowd_serves, &k);
	for (size_t i = 0; i < ARRAY_LEN(k.t); i++)
		k.t[i] = start(crowd_dials, &k);
	until(load_relaxed(&k.won) > 0);
	for (size_t i = 0; i < ARRAY_LEN(k.t); i += 4)
		weft_task_cancel(k.t[i]);
	for (size_t i = 0; i < ARRAY_LEN(k.t); i++)
		T_EQ(finish(k.t[i]), 0);
	weft_task_cancel(server);
	T_EQ(finish(server), 0);
	until(weft__dns_count() == 0);
	tap_note("%ld won, %ld late", load_relaxed(&k.won), load_relaxed(&k.late));
	places_end(&k.p);
	return 0;
}

/* Many race at once, some late, some cancelled, by the clock as it goes: who wins is where somebody listens, and nothing is left. */
TEST_WORKERS(crowd)
{
	run_named(crowd_main);
}

/* --- threads, and the end of the runtime --- */

static void *dials_outside(void *arg)
{
	dials(arg);
	return NULL;
}

static int outside_main(void *arg)
{
	const enum kind kinds[] = {HOLE, HOLE, ANSWERS};
	struct places p;
	struct dialling d;
	pthread_t th;
	weft_tcp *s;

	(void)arg;
	places_make(&p, kinds);
	snprintf(d.at, sizeof d.at, "three.test:%d", p.port);
	d.o = (weft_dial_opts){.delay = WEFT_MS};
	d.deadline = WEFT_FOREVER;
	T_EQ(pthread_create(&th, NULL, dials_outside, &d), 0);
	s = accept_from(p.l[2]);
	T_EQ(pthread_join(th, NULL), 0); /* connected already */
	T_EQ(d.rc, 0);
	talk(d.c, s);
	T_EQ(weft_tcp_close(s), 0);
	T_EQ(weft_tcp_close(d.c), 0);
	places_end(&p);
	return 0;
}

/* A thread that weft did not make races as well. */
TEST(foreign_thread)
{
	names_begin();
	tap_limit(60);
	run_net_with(outside_main, NULL, (weft_opts){.workers = 2});
}

struct leaves {
	struct dialling d;
	struct places p;
};

static int leaves_main(void *arg)
{
	const enum kind kinds[] = {HOLE, HOLE, HOLE};
	struct leaves *k = arg;
	weft_task *t;

	time_fake();
	places_make(&k->p, kinds);
	t = dial_start(&k->d, &k->p, WEFT_FOREVER, (weft_dial_opts){.delay = 0});
	until_races(&k->d, t, 1);
	time_move(WAIT);
	until_races(&k->d, t, 2);
	weft_task_detach(t);
	return 0;
}

/* The runtime goes down in the middle of a race: its descriptors are closed. */
TEST_WORKERS(left_in_the_middle)
{
	static struct leaves k;
	int fds;

	ends_with_main();
	names_begin();
	warm_up();
	fds = rt_fds();
	T_EQ(weft_run(leaves_main, &k, &(weft_opts){.workers = tap_workers()}), 0);
	nothing_left();
	places_end(&k.p);
	T_EQ(weft__fd_count(), 0);
	T_EQ(rt_fds(), fds);
}
