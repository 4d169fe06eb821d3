/* SPDX-License-Identifier: MIT
 *
 * conns.c - 18,000 idle connections and 1,000 busy ones at once, server and client in two processes: no reply is lost or altered.
 *
 * Both sides are weft, a task per connection. Sizes go by what the process may open (RLIMIT_NOFILE, raised to its hard limit) and are printed.
 */
#include "net.h"

#include "weft/go.h"
#include <sys/prctl.h>
#include <sys/wait.h>

#define IDLE 18000
#define BUSY 1000
#define SPARE 200 /* descriptors that are no connections of the test */
#define ROUNDS 100
#define MESSAGE 64

static struct {
	int idle, busy, rounds;
	char address[WEFT_ADDR_TEXT];
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

static int server(void *arg)
{
	weft_tcp_listener *l;
	weft_tcp *c;
	char at[WEFT_ADDR_TEXT];

	l = listen_at("127.0.0.1:0", at);
	T_EQ(write(*(int *)arg, at, sizeof at), (ssize_t)sizeof at);
	while (weft_tcp_accept(l, &c) == 0)
		T_EQ(weft_go(serve, c), 0);
	return 1;
}

/* --- the client --- */

static ATOMIC(long) replies; /* all that were right */

static void fill_in(char *m, int id, int round)
{
	for (int i = 0; i < MESSAGE; i++)
		m[i] = (char)(id * 31 + round * 17 + i * 7);
}

/* A question, and its answer byte for byte. */
static void ask(weft_tcp *c, int id, int round)
{
	char there[MESSAGE], back[MESSAGE];
	size_t have = 0;
	ssize_t n;

	fill_in(there, id, round);
	T_EQ(weft_tcp_write(c, there, MESSAGE, NULL), MESSAGE);
	while (have < MESSAGE) {
		n = weft_tcp_read(c, back + have, MESSAGE - have);
		T_GT(n, 0);
		have += (size_t)n;
	}
	T_OK(memcmp(there, back, MESSAGE) == 0);
	add_relaxed(&replies, 1); /* a counter */
}

static void busy(weft_wg *g, int id)
{
	weft_tcp *c;

	T_EQ(weft_tcp_dial(&c, size.address), 0);
	for (int r = 0; r < size.rounds; r++)
		ask(c, id, r);
	T_EQ(weft_tcp_close(c), 0);
	weft_wg_done(g);
}

static int client(void *arg)
{
	weft_tcp **idle = calloc((size_t)size.idle, sizeof *idle);
	weft_wg g = {0};

	(void)arg;
	T_OK(idle != NULL);
	for (int i = 0; i < size.idle; i++) {
		T_EQ(weft_tcp_dial(&idle[i], size.address), 0);
		ask(idle[i], i, 1);
	}
	weft_wg_add(&g, size.busy);
	for (int i = 0; i < size.busy; i++)
		T_EQ(weft_go(busy, &g, size.idle + i), 0);
	T_EQ(weft_wg_wait(&g), 0);
	for (int i = 0; i < size.idle; i++) { /* they are still there */
		ask(idle[i], i, 2);
		T_EQ(weft_tcp_close(idle[i]), 0);
	}
	free(idle);
	return 0;
}

TEST(idle_and_busy_connections)
{
	struct rlimit limit;
	int pipefd[2], share;
	pid_t pid;

	tap_limit(240);
	T_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	T_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	share = limit.rlim_cur > IDLE + BUSY + SPARE ? IDLE + BUSY : (int)limit.rlim_cur - SPARE;
	share /= tap_slow() > 1 ? 10 : 1;
	if (share < 100)
		tap_skip("only %lld descriptors", (long long)limit.rlim_cur);
	size.busy = share / 19;
	size.idle = share - size.busy;
	size.rounds = (int)tap_iters(ROUNDS) + 1;
	tap_note("%d idle connections, %d busy ones with %d requests each; at most %lld descriptors", size.idle, size.busy, size.rounds,
		 (long long)limit.rlim_cur);
	T_EQ(pipe(pipefd), 0);
	pid = fork();
	T_GE(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pipefd[0]);
		_exit(weft_run(server, &pipefd[1], &(weft_opts){.workers = 2}) != 0);
	}
	close(pipefd[1]);
	T_EQ(read(pipefd[0], size.address, sizeof size.address), (ssize_t)sizeof size.address);
	close(pipefd[0]);
	T_EQ(run_net_with(client, NULL, (weft_opts){.workers = 2}), 0);
	T_EQ(load_relaxed(&replies), 2L * size.idle + (long)size.busy * size.rounds);
	kill(pid, SIGKILL);
	T_EQ(waitpid(pid, NULL, 0), pid);
}
