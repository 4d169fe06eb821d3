/* SPDX-License-Identifier: MIT
 *
 * tcp_accept.c - accept: many clients, who is served when, close, and how it gets along without descriptors.
 */
#include "net.h"

/* --- accept --- */

enum { CROWD = 2000 };

struct crowd {
	weft_tcp_listener *l;
	char at[WEFT_ADDR_TEXT];
	ATOMIC(long) served;
	long n;
};

static void serve_one(struct crowd *k, weft_tcp *c)
{
	uint32_t x;

	read_all(c, &x, sizeof x);
	x = ~x;
	write_all(c, &x, sizeof x);
	T_EQ(weft_tcp_read(c, &x, sizeof x), 0);
	T_EQ(weft_tcp_close(c), 0);
	add_relaxed(&k->served, 1);
}

static int acceptor(void *arg)
{
	struct crowd *k = arg;
	weft_tcp *c;
	int rc;

	weft_tcp_listener_ref(k->l);
	while ((rc = weft_tcp_accept(k->l, &c)) == 0)
		T_EQ(weft_go(serve_one, k, c), 0);
	T_EQ(weft_tcp_listener_close(k->l), WEFT_ECLOSED);
	return rc;
}

struct client {
	struct crowd *k;
	uint32_t i;
};

static int client(void *arg)
{
	struct client *me = arg;
	weft_tcp *c = dial_to(me->k->at);
	uint32_t x = me->i;

	write_all(c, &x, sizeof x);
	read_all(c, &x, sizeof x);
	T_EQ(x, ~me->i);
	T_EQ(weft_tcp_shutdown(c, SHUT_WR), 0);
	T_EQ(weft_tcp_read(c, &x, sizeof x), 0);
	T_EQ(weft_tcp_close(c), 0);
	return 0;
}

static int crowd_main(void *arg)
{
	static struct crowd k;
	struct client *clients;
	weft_task **t, *a[3];
	struct rlimit limit;

	(void)arg;
	memset(&k, 0, sizeof k);
	T_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	k.n = tap_iters(CROWD);
	if (k.n > (long)limit.rlim_cur / 4)
		k.n = (long)limit.rlim_cur / 4;
	clients = calloc((size_t)k.n, sizeof *clients);
	t = calloc((size_t)k.n, sizeof *t);
	k.l = listen_at("127.0.0.1:0", k.at);
	for (int i = 0; i < 3; i++)
		a[i] = start(acceptor, &k);
	for (long i = 0; i < k.n; i++) {
		clients[i] = (struct client){&k, (uint32_t)i};
		t[i] = start(client, &clients[i]);
	}
	for (long i = 0; i < k.n; i++)
		T_EQ(finish(t[i]), 0);
	until(load_relaxed(&k.served) == k.n);
	for (int i = 0; i < 3; i++) /* they have taken their references */
		until_reason(a[i], "accept");
	T_EQ(weft_tcp_listener_close(k.l), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(finish(a[i]), WEFT_ECLOSED);
	free(clients);
	free(t);
	return 0;
}

/* Many clients at once, several acceptors: each gets the answer to its own question. */
TEST_WORKERS(many_connections)
{
	run_net(crowd_main, NULL);
}

static int accept_order_main(void *arg)
{
	enum { N = 50 };
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL);
	int fd[N], port[N];

	(void)arg;
	for (int i = 0; i < N; i++) {
		struct sockaddr_in a;
		socklen_t n = sizeof a;

		fd[i] = raw_dial(l);
		until_queued(fd[i]); /* it has come, before the next */
		T_EQ(getsockname(fd[i], (struct sockaddr *)&a, &n), 0);
		port[i] = ntohs(a.sin_port);
	}
	for (int i = 0; i < N; i++) {
		weft_tcp *c = accept_from(l);
		weft_addr a;

		T_EQ(weft_tcp_peer(c, &a), 0);
		T_EQ(weft_addr_port(&a), port[i]);
		T_EQ(weft_tcp_close(c), 0);
		close(fd[i]);
	}
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* Connections are accepted in the order in which they came. */
TEST_WORKERS(accept_order)
{
	run_net(accept_order_main, NULL);
}

static int acceptors_in_turn_main(void *arg)
{
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL);
	struct in_line w[LINE];
	weft_task *t[LINE];
	int fd[LINE];

	(void)arg;
	for (int i = 0; i < LINE; i++) {
		w[i] = (struct in_line){.h = l};
		t[i] = start(line_accept, &w[i]);
		until_reason(t[i], "accept");
	}
	for (int i = 0; i < LINE; i++) {
		fd[i] = raw_dial(l);
		T_EQ(finish(t[i]), 0);
		for (int k = i + 1; k < LINE; k++)
			T_NE(weft_task_stateof(t[k]), WEFT_TASK_DONE);
	}
	for (int i = 0; i < LINE; i++) {
		char x = 0;

		T_EQ(write(fd[i], &(char){(char)('a' + i)}, 1), 1);
		T_EQ(weft_tcp_read(w[i].got, &x, 1), 1);
		T_EQ(x, 'a' + i);
		T_EQ(weft_tcp_close(w[i].got), 0);
		close(fd[i]);
	}
	T_EQ(weft_tcp_listener_close(l), 0);
	return 0;
}

/* Tasks that accept are served in the order in which they came. */
TEST_WORKERS(acceptors_in_turn)
{
	run_net(acceptors_in_turn_main, NULL);
}

static int close_wakes_acceptors_main(void *arg)
{
	weft_tcp_listener *l = listen_at("127.0.0.1:0", NULL);
	struct in_line w[LINE];
	weft_task *t[LINE];
	weft_addr a;
	int number = number_of(l);

	(void)arg;
	for (int i = 0; i < LINE; i++) {
		w[i] = (struct in_line){.h = l, .got = (void *)1};
		t[i] = start(line_accept, &w[i]);
		until_reason(t[i], "accept");
	}
	weft_tcp_listener_ref(l);
	T_EQ(weft_tcp_listener_close(l), 0);
	T_OK(!is_open(number));
	for (int i = 0; i < LINE; i++) {
		T_EQ(finish(t[i]), WEFT_ECLOSED);
		T_EQ(w[i].got, NULL);
	}
	T_EQ(weft_tcp_accept(l, &w[0].got), WEFT_ECLOSED);
	T_EQ(weft_tcp_accept_until(l, &w[0].got, WEFT_NOW), WEFT_ECLOSED);
	T_EQ(weft_tcp_listener_addr(l, &a), WEFT_ECLOSED);
	T_EQ(weft_tcp_listener_close(l), WEFT_ECLOSED);
	return 0;
}

/* Close wakes all who accept. */
TEST_WORKERS(listener_close_wakes_all)
{
	run_net(close_wakes_acceptors_main, NULL);
}

/* --- accept without descriptors --- */

/* Takes all descriptors there are. Returns how many: *fds is to be freed. */
static NOINLINE int exhaust(int **fds)
{
	int n = 0, room = 0, fd;
	struct rlimit limit;

	T_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 200;
	T_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	*fds = NULL;
	while ((fd = dup(STDERR_FILENO)) >= 0) {
		if (n == room) {
			room = room * 2 + 64;
			*fds = realloc(*fds, (size_t)room * sizeof **fds);
		}
		(*fds)[n++] = fd;
	}
	T_EQ(errno, EMFILE);
	T_GT(n, 0);
	return n;
}

static void give_back(int *fds, int n)
{
	for (int i = 0; i < n; i++)
		close(fds[i]);
	free(fds);
}

struct starved {
	weft_tcp_listener *l;
	weft_tcp *got;
	int64_t deadline;
	int rc;
};

static int starved_acceptor(void *arg)
{
	struct starved *s = arg;

	s->rc = weft_tcp_accept_until(s->l, &s->got, s->deadline);
	return s->rc;
}

/* Until when a parked task waits, from now. */
static int64_t pause_of(weft_task *t)
{
	int64_t d = load_acquire(&t->deadline);

	return d == WEFT_FOREVER ? d : d - clock_now();
}

static int pauses_main(void *arg)
{
	struct starved s = {.l = listen_at("127.0.0.1:0", NULL), .deadline = WEFT_FOREVER};
	weft_task *t = start(starved_acceptor, &s);
	int64_t pause, next;
	int *fds, n, raw;

	(void)arg;
	until_reason(t, "accept");
	time_fake();
	time_move(2 * LOOP_BUSY_NS); /* a worker that is never out of work asks its loop by the clock */
	raw = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	n = exhaust(&fds);
	{
		struct sockaddr_in a = {
			.sin_family = AF_INET, .sin_port = htons((uint16_t)port_of(s.l)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

		T_EQ(connect(raw, (struct sockaddr *)&a, sizeof a), 0);
	}
	while (!holds(number_of(s.l), POLLIN)) /* before anybody looks: by this clock the only worker asks its loop once */
		sched_yield();
	until((pause = pause_of(t)) != WEFT_FOREVER);
	T_GT(pause, 0);
	T_LE(pause, 10 * WEFT_MS);
	for (int i = 0; i < 15; i++) {
		time_move(pause - 1);
		for (int k = 0; k < 200; k++)
			let_run();
		T_EQ(pause_of(t), 1); /* it has not tried in between */
		time_move(1);
		until((next = pause_of(t)) > 0);
		T_EQ(next, pause * 2 < WEFT_SEC ? pause * 2 : WEFT_SEC);
		pause = next;
	}
	T_EQ(pause, WEFT_SEC);
	close(fds[--n]);
	time_move(pause);
	T_EQ(finish(t), 0);
	T_EQ(write(raw, "x", 1), 1);
	read_all(s.got, &(char){0}, 1);
	T_EQ(weft_tcp_close(s.got), 0);
	give_back(fds, n);
	time_real();
	raw_reset(raw);
	raw = raw_dial(s.l); /* and the next one is taken as if nothing had been */
	T_EQ(finish(start(starved_acceptor, &s)), 0);
	T_EQ(weft_tcp_close(s.got), 0);
	close(raw);
	T_EQ(weft_tcp_listener_close(s.l), 0);
	return 0;
}

/* While descriptors are exhausted accept tries again at growing intervals, up to a second. */
TEST_WORKERS(starved_accept_pauses)
{
	run_net(pauses_main, NULL);
}

static int64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * WEFT_SEC + ts.tv_nsec;
}

static int starved_main(void *arg)
{
	enum { CLIENTS = 10 };
	struct starved s = {.l = listen_at("127.0.0.1:0", NULL), .deadline = WEFT_FOREVER};
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port_of(s.l)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int *fds, n, calm = 0, raw[CLIENTS];
	int64_t wall, cpu;
	weft_tcp *none;
	weft_task *t;

	(void)arg;
	for (int i = 0; i < CLIENTS; i++)
		raw[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	n = exhaust(&fds);
	T_EQ(weft_tcp_accept_until(s.l, &none, WEFT_NOW), WEFT_EMFILE); /* though nobody is there: Linux looks for a descriptor first */
	T_EQ(weft_tcp_listen(&(weft_tcp_listener *){NULL}, "127.0.0.1:0", NULL), WEFT_EMFILE);
	T_EQ(weft_tcp_dial(&none, "127.0.0.1:1"), WEFT_EMFILE);
	T_EQ(none, NULL);
	T_EQ(connect(raw[0], (struct sockaddr *)&a, sizeof a), 0);
	until(holds(number_of(s.l), POLLIN));
	T_EQ(weft_tcp_accept_until(s.l, &none, WEFT_NOW), WEFT_EMFILE);
	T_EQ(none, NULL);

	s.deadline = weft_in(20 * WEFT_MS); /* each way to end that wait */
	T_EQ(finish(start(starved_acceptor, &s)), WEFT_ETIMEDOUT);
	T_GE(weft_now(), s.deadline);
	s.deadline = WEFT_FOREVER;
	t = start(starved_acceptor, &s);
	until_reason(t, "accept");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);

	t = start(starved_acceptor, &s);
	until_reason(t, "accept");
	/* each of which is an event: who spins does so behind every one, a noisy machine behind one or the other */
	for (int i = 1; i < CLIENTS; i++) {
		wall = weft_now();
		cpu = cpu_ns();
		T_EQ(connect(raw[i], (struct sockaddr *)&a, sizeof a), 0);
		T_EQ(weft_task_sleep(10 * WEFT_MS), 0);
		cpu = cpu_ns() - cpu;
		wall = weft_now() - wall;
		tap_note("%lld us of CPU in %lld us", (long long)cpu / 1000, (long long)wall / 1000);
		calm += cpu < wall / 2;
	}
	T_GE(calm, CLIENTS / 2);
	T_OK(weft_task_stateof(t) != WEFT_TASK_DONE);
	give_back(fds, n);
	T_EQ(finish(t), 0); /* the first of them, within a second */
	T_EQ(weft_tcp_close(s.got), 0);
	for (int i = 1; i < CLIENTS; i++)
		T_EQ(write(raw[i], "x", 1), 1);
	for (int i = 1; i < CLIENTS; i++) { /* in whichever order they have come */
		s.got = accept_from(s.l);
		read_all(s.got, &(char){0}, 1);
		T_EQ(weft_tcp_close(s.got), 0);
	}
	for (int i = 0; i < CLIENTS; i++)
		close(raw[i]);
	T_EQ(weft_tcp_listener_close(s.l), 0);
	return 0;
}

/* Accept without descriptors neither fails nor spins, can be called off, and goes on once there are some: no client and no listener is lost. */
TEST_WORKERS(starved_accept_goes_on)
{
	run_net(starved_main, NULL);
}

static int starved_closed_main(void *arg)
{
	struct starved s = {.l = weft_tcp_listener_ref(listen_at("127.0.0.1:0", NULL)), .deadline = WEFT_FOREVER};
	int raw = raw_dial(s.l), *fds, n = exhaust(&fds), number = number_of(s.l);
	weft_task *t = start(starved_acceptor, &s);

	(void)arg;
	until_reason(t, "accept");
	T_EQ(weft_tcp_listener_close(s.l), 0);
	T_OK(!is_open(number));
	T_EQ(finish(t), WEFT_ECLOSED);
	T_EQ(weft_tcp_listener_close(s.l), WEFT_ECLOSED);
	give_back(fds, n);
	close(raw);
	return 0;
}

/* A listener whose accept waits for descriptors can be closed. */
TEST_WORKERS(starved_accept_closed)
{
	run_net(starved_closed_main, NULL);
}

static int starved_deadline_main(void *arg)
{
	struct starved s = {.l = listen_at("127.0.0.1:0", NULL), .deadline = WEFT_FOREVER};
	int raw = raw_dial(s.l), *fds, n;
	weft_task *t;

	(void)arg;
	time_fake(); /* its pauses have no end */
	time_move(2 * LOOP_BUSY_NS);
	n = exhaust(&fds);
	t = start(starved_acceptor, &s);
	until_reason(t, "accept");
	until(pause_of(t) != WEFT_FOREVER);
	T_EQ(weft_tcp_listener_set_deadline(s.l, weft_now()), 0);
	T_EQ(finish(t), WEFT_ETIMEDOUT);
	time_real();
	give_back(fds, n);
	T_EQ(weft_tcp_listener_set_deadline(s.l, WEFT_FOREVER), 0);
	T_EQ(finish(start(starved_acceptor, &s)), 0);
	T_EQ(weft_tcp_close(s.got), 0);
	T_EQ(weft_tcp_listener_close(s.l), 0);
	close(raw);
	return 0;
}

/* A listener's deadline that is moved is heard by an accept that waits for descriptors. */
TEST_WORKERS(starved_accept_late)
{
	run_net(starved_deadline_main, NULL);
}
