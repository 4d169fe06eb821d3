/* SPDX-License-Identifier: MIT
 *
 * conns.c - as many connections as the limits allow, up to 100,000, most of them idle, some busy; server and client in two processes. No reply is lost or altered, whoever
 * is woken, closed, late or cut off meanwhile; what an idle connection costs the server is told, and bounded.
 *
 * Both sides are weft. The server has a task a connection, and several listeners, for an address has only so many ports to offer to one other. Sizes go by what the process
 * may open (RLIMIT_NOFILE, raised to its hard limit) and by free memory, and are told.
 */
#include "net.h"

#include "base/rand.h"
#include "base/sanitizer.h"
#include "weft/go.h"
#include <sys/prctl.h>
#include <sys/wait.h>

#define MOST 100000
#define EACH 40000  /* bytes of memory for a connection: both ends, the kernel's part of them, the server's task */
#define A_PORT 5000 /* connections for a listener */
#define SPARE 200   /* descriptors that are no connections of the test */
#define FEW 1000    /* connections that are there before memory is measured, at most */
#define BOUND 16384 /* bytes that an idle connection may cost the server */
#define ACTIVE_MAX 2000
#define ROUNDS 100
#define MESSAGE 64

static struct {
	int all, idle, busy, rounds, ports;
	int server, fds; /* the server's process, and what it has open without connections */
	char at[MOST / A_PORT + 1][WEFT_ADDR_TEXT];
} size;

/* --- the server --- */

static void serve(weft_tcp *c)
{
	char buf[256];
	ssize_t n;

	while ((n = weft_tcp_read(c, buf, sizeof buf)) > 0 && weft_tcp_write(c, buf, (size_t)n, NULL) == n)
		;
	weft_tcp_close(c);
}

static void accept_all(weft_tcp_listener *l)
{
	weft_tcp *c;

	while (weft_tcp_accept(l, &c) == 0)
		T_EQ(weft_go(serve, c), 0);
}

static int server(void *arg)
{
	char at[WEFT_ADDR_TEXT];

	for (int i = 0; i < size.ports; i++) {
		T_EQ(weft_go(accept_all, listen_at("127.0.0.1:0", at)), 0);
		T_EQ(write(*(int *)arg, at, sizeof at), (ssize_t)sizeof at);
	}
	return weft_task_sleep(INT64_MAX);
}

/* --- what the client sees of it --- */

/* Bytes resident. */
static double server_memory(void)
{
	char path[64], line[256];
	double kib = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", size.server);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		if (strncmp(line, "VmRSS:", 6) == 0)
			kib = strtod(line + 6, NULL);
	}
	if (f)
		fclose(f);
	return kib * 1024;
}

static int server_fds(void)
{
	char path[64];
	int n = 0;
	DIR *d;

	snprintf(path, sizeof path, "/proc/%d/fd", size.server);
	d = opendir(path);
	T_OK(d != NULL);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* --- the client --- */

static ATOMIC(long) replies; /* all that were right */

static void fill_in(char *m, int id, int round)
{
	for (int i = 0; i < MESSAGE; i++)
		m[i] = (char)(id * 31 + round * 17 + i * 7);
}

static void question(weft_tcp *c, int id, int round)
{
	char there[MESSAGE];

	fill_in(there, id, round);
	T_EQ(weft_tcp_write(c, there, MESSAGE, NULL), MESSAGE);
}

/* Its answer, byte for byte. */
static void answer(weft_tcp *c, int id, int round)
{
	char there[MESSAGE], back[MESSAGE];

	fill_in(there, id, round);
	read_all(c, back, MESSAGE);
	T_OK(memcmp(there, back, MESSAGE) == 0);
	add_relaxed(&replies, 1); /* a counter */
}

static void ask(weft_tcp *c, int id, int round)
{
	question(c, id, round);
	answer(c, id, round);
}

static weft_tcp *dial_one(int id)
{
	weft_tcp *c;

	T_EQ(weft_tcp_dial(&c, size.at[id % size.ports]), 0);
	return c;
}

static void open_some(weft_tcp **idle, int from, int to)
{
	for (int i = from; i < to; i++) {
		idle[i] = dial_one(i);
		ask(idle[i], i, 1);
	}
}

/* All the idle ones, and what they cost. */
static void open_all(weft_tcp **idle)
{
	int few = size.idle / 4 < FEW ? size.idle / 4 : FEW;
	double bytes;

	open_some(idle, 0, few);
	bytes = server_memory();
	open_some(idle, few, size.idle);
	bytes = (server_memory() - bytes) / (size.idle - few);
	tap_tell("%d idle connections, %d busy ones with %d requests each; an idle one costs the server %.0f bytes", size.idle, size.busy,
		 size.rounds, bytes);
	if (tap_slow() == 1 && !weft__san && size.idle >= 4 * FEW && sysconf(_SC_PAGESIZE) == 4096)
		T_LT(bytes, BOUND);
}

static void busy(weft_wg *g, int id)
{
	weft_tcp *c = dial_one(id);

	for (int r = 0; r < size.rounds; r++)
		ask(c, id, r);
	T_EQ(weft_tcp_close(c), 0);
	weft_wg_done(g);
}

static void all_busy(void)
{
	weft_wg g = {0};

	weft_wg_add(&g, size.busy);
	for (int i = 0; i < size.busy; i++)
		T_EQ(weft_go(busy, &g, size.idle + i), 0);
	T_EQ(weft_wg_wait(&g), 0);
}

/* Some, here and there, are asked all at once. */
static void wake_some(weft_tcp **idle)
{
	struct rng r;

	for (int how = 0; how < 2; how++) {
		rng_seed(&r, 5, 0); /* the same ones twice: asked, then heard */
		for (int i = 0; i < size.idle; i++) {
			if (rng_below(&r, 10))
				continue;
			if (how)
				answer(idle[i], i, 3);
			else
				question(idle[i], i, 3);
		}
	}
}

struct waiter_of {
	weft_tcp *c;
	ATOMIC(int) rc;
};

static int waits(void *arg)
{
	struct waiter_of *w = arg;

	return (int)weft_tcp_read(w->c, (char[1]){0}, 1);
}

/* Many wait for what does not come; one moment is the deadline of all. Then many wait again, and another task closes their connections. */
static void late_and_closed(weft_tcp **idle)
{
	int n = size.idle / 4 < ACTIVE_MAX ? size.idle / 4 : ACTIVE_MAX;
	struct waiter_of *w = calloc((size_t)n, sizeof *w);
	weft_task **t = calloc((size_t)n, sizeof *t);

	T_OK(w && t);
	time_fake();
	for (int closed = 0; closed < 2; closed++) {
		int64_t at = closed ? WEFT_FOREVER : weft_in(10 * WEFT_SEC);

		for (int i = 0; i < n; i++) {
			w[i].c = idle[i];
			T_EQ(weft_tcp_set_deadline(idle[i], at, WEFT_FOREVER), 0);
			t[i] = start(waits, &w[i]);
		}
		for (int i = 0; i < n; i++)
			until_reason(t[i], "read");
		if (!closed)
			time_move(10 * WEFT_SEC);
		for (int i = 0; closed && i < n; i++)
			T_EQ(weft_tcp_close(idle[i]), 0);
		for (int i = 0; i < n; i++)
			T_EQ(finish(t[i]), closed ? WEFT_ECLOSED : WEFT_ETIMEDOUT);
	}
	time_real();
	for (int i = 0; i < n; i++) { /* as many as there were */
		idle[i] = dial_one(i);
		ask(idle[i], i, 4);
	}
	free(w);
	free(t);
}

/* Every other one is cut off. */
static void cut_half(weft_tcp **idle)
{
	for (int i = 1; i < size.idle; i += 2) {
		T_EQ(setsockopt(number_of(idle[i]), SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)), 0);
		T_EQ(weft_tcp_close(idle[i]), 0);
		idle[i] = NULL;
	}
	until(server_fds() == size.fds + (size.idle + 1) / 2); /* it has noticed */
}

static int client(void *arg)
{
	weft_tcp **idle = calloc((size_t)size.idle, sizeof *idle);
	int n = size.idle / 4 < ACTIVE_MAX ? size.idle / 4 : ACTIVE_MAX;
	long want = size.idle + (long)size.busy * size.rounds + n + (size.idle + 1) / 2;
	struct rng r;

	(void)arg;
	rng_seed(&r, 5, 0);
	for (int i = 0; i < size.idle; i++)
		want += !rng_below(&r, 10);
	T_OK(idle != NULL);
	size.fds = server_fds();
	open_all(idle);
	all_busy();
	wake_some(idle);
	late_and_closed(idle);
	cut_half(idle);
	for (int i = 0; i < size.idle; i += 2) { /* the others are still there */
		ask(idle[i], i, 2);
		T_EQ(weft_tcp_close(idle[i]), 0);
	}
	until(server_fds() == size.fds);
	T_EQ(load_relaxed(&replies), want);
	free(idle);
	return 0;
}

/* Connections that descriptors and memory allow. */
static int allowed(void)
{
	struct rlimit limit;
	long long n, free_bytes = (long long)sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE);

	T_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	T_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	n = limit.rlim_cur > MOST + SPARE ? MOST : (long long)limit.rlim_cur - SPARE;
	n = n < free_bytes / 2 / EACH ? n : free_bytes / 2 / EACH;
	n /= tap_slow() > 1 ? 20 : tap_workers() != 2 ? 3 : 1; /* all of it once */
	if (n < 100)
		tap_skip("only %lld descriptors, and %lld bytes free", (long long)limit.rlim_cur, free_bytes);
	return (int)n;
}

TEST_WORKERS(idle_and_busy_connections)
{
	int pipefd[2];

	tap_limit(240);
	size.all = allowed();
	size.busy = size.all / 19;
	size.idle = size.all - size.busy;
	size.rounds = (int)tap_iters(ROUNDS) + 1;
	size.ports = size.all / A_PORT + 1;
	T_EQ(pipe(pipefd), 0);
	size.server = fork();
	T_GE(size.server, 0);
	if (size.server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pipefd[0]);
		/* Who looks for deadlocks opens /proc for a moment when all sleep: just when descriptors are counted, perhaps. */
		_exit(weft_run(server, &pipefd[1], &(weft_opts){.workers = tap_workers(), .no_deadlock = true, .spares = -1}) != 0);
	}
	close(pipefd[1]);
	for (int i = 0; i < size.ports; i++)
		T_EQ(read(pipefd[0], size.at[i], sizeof size.at[i]), (ssize_t)sizeof size.at[i]);
	run_net(client, NULL);
	close(pipefd[0]);
	kill(size.server, SIGKILL);
	T_EQ(waitpid(size.server, NULL, 0), size.server);
}
