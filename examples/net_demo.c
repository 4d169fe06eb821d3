/* SPDX-License-Identifier: MIT
 *
 * net_demo.c - what `./dev demo` shows of TCP: the echo server and the hello server under load, and a server one of whose two workers is stuck.
 *
 *     net_demo              some seconds of each
 *     net_demo --quick      a moment of each, with few connections: a test
 *     net_demo --serve      leaves the servers up until Ctrl-C, and says how to talk to them
 *
 * The servers are child processes: echo_server, http_hello and chat_server from the directory of this program, and a copy of it. They die with it,
 * however it ends. The client is weft, too: a task per connection, on real sockets. Every reply is checked, byte for byte; exit status 0 means that
 * all were right, and that all servers ended well.
 */
#include <ctype.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <weft.h>

#define CONNECTIONS 1000
#define SPARE 32            /* descriptors that are not connections */
#define PATIENCE (30 * SEC) /* for anything that should happen at once */

/* --- child processes --- */

struct child {
	const char *name;
	proc *proc; /* NULL: not started */
	char address[WEFT_ADDR_TEXT];
};

/* Starts a server, "stuck" or a program next to this one, and waits until it says where it listens. Returns 0 or a negative code. */
static int start(struct child *c, const char *name)
{
	char path[PATH_MAX + NAME_MAX] = "", buf[256], *line;
	ssize_t rc = readlink("/proc/self/exe", path, PATH_MAX - 1);
	bool stuck = strcmp(name, "stuck") == 0;
	weft_rd said;

	if (!stuck && rc > 0)
		strcpy(strrchr(path, '/') + 1, name);
	c->name = name;
	fflush(stdout);
	rc = proc_spawn(&c->proc, &(proc_opts){.argv = (const char *const[]){path, stuck ? "--stuck" : "127.0.0.1:0", NULL},
					       .out = PROC_PIPE,
					       .pgroup = PROC_OWN_GROUP, /* Ctrl-C is for us, who then end it */
					       .pdeathsig = SIGKILL});
	if (rc == 0) {
		rd_init(&said, pipe_io(proc_out_pipe(c->proc)), buf, sizeof buf);
		rc = rd_line_until(&said, &line, weft_in(PATIENCE));
	}
	if (rc >= 0)
		rc = sscanf(line, "listening on %79s", c->address) == 1 ? 0 : WEFT_EINVAL;
	if (rc < 0)
		fprintf(stderr, "net_demo: %s does not start: %s\n", path, weft_strerror((int)rc));
	return (int)rc;
}

/* Ends a server. Returns 0 if it ended as it should. */
static int stop(struct child *c)
{
	proc_status st = {.code = -1};

	if (!c->proc)
		return 0;
	proc_kill(c->proc, SIGTERM);
	if (proc_wait_until(c->proc, &st, weft_in(PATIENCE)) != 0) {
		proc_kill(c->proc, SIGKILL);
		proc_wait(c->proc, &st);
	}
	proc_free(c->proc);
	if (st.code != 0)
		fprintf(stderr, "net_demo: %s ended with %s %d\n", c->name, st.signal ? "signal" : "exit status",
			st.signal ? st.signal : st.code);
	return st.code != 0;
}

/* --- delays: sixteen classes for each power of two nanoseconds --- */

#define CLASSES (64 * 16)

static int class_of(uint64_t ns)
{
	int top = 63 - __builtin_clzll(ns | 16);

	return (top - 3) * 16 + (int)(ns >> (top - 4) & 15);
}

static uint64_t end_of_class(int i)
{
	return i < 16 ? (uint64_t)i : ((uint64_t)(i % 16 + 17) << (i / 16 - 1)) - 1;
}

/* --- the client --- */

#define ECHO_SIZE 64
#define TEXT_MAX 256

struct load {
	const char *address;
	int connections;
	int64_t length, pause;                     /* nanoseconds: of all, and between a reply and the next request */
	int (*ask)(char *buf, int id, unsigned n); /* makes connection id's n-th request; returns its length */
	int reply;                                 /* bytes of a reply */
	bool (*right)(const char *asked, const char *got);

	chan *gate; /* closed when all are connected and have been answered once */
	int64_t until;
	waitgroup ready, done;
	atomic_bool failed;
	atomic_ulong replies, slowest;
	atomic_uint delays[CLASSES];
};

static int ask_echo(char *buf, int id, unsigned n)
{
	int length = snprintf(buf, TEXT_MAX, "connection %d, request %u ", id, n);

	for (; length < ECHO_SIZE - 1; length++)
		buf[length] = (char)('a' + (n + (unsigned)length) % 26);
	buf[length] = '\n';
	return ECHO_SIZE;
}

static bool right_echo(const char *asked, const char *got)
{
	return memcmp(asked, got, ECHO_SIZE) == 0;
}

static int ask_hello(char *buf, int id, unsigned n)
{
	return snprintf(buf, TEXT_MAX, "GET /%d/%u HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: weft\r\n\r\n", id, n);
}

static const char hello_reply[] =
	"HTTP/1.1 200 OK\r\nDate: Aaa, 00 Aaa 0000 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, world!\n";

/* As hello_reply, but for the date: there any letter will do for a letter, and any digit for a digit. */
static bool right_hello(const char *asked, const char *got)
{
	const size_t date = strlen("HTTP/1.1 200 OK\r\nDate: "), date_end = date + strlen("Aaa, 00 Aaa 0000 00:00:00 GMT");

	(void)asked;
	for (size_t i = 0; i < sizeof hello_reply - 1; i++) {
		unsigned char want = (unsigned char)hello_reply[i], is = (unsigned char)got[i];
		bool dated = i >= date && i < date_end;

		if (want != is && !(dated && isalpha(want) && isalpha(is)) && !(dated && isdigit(want) && isdigit(is)))
			return false;
	}
	return true;
}

/* One request and its reply. Returns 0 or a negative code; WEFT_EINVAL: the reply is wrong. */
static int exchange(struct load *l, tcp *conn, int id, unsigned n)
{
	char asked[TEXT_MAX], got[TEXT_MAX];
	ssize_t rc = tcp_write(conn, asked, (size_t)l->ask(asked, id, n), NULL);

	for (ssize_t have = 0; rc > 0 && have < l->reply; have += rc)
		rc = tcp_read(conn, got + have, (size_t)(l->reply - have));
	if (rc <= 0)
		return rc == 0 ? WEFT_ECLOSED : (int)rc;
	return l->right(asked, got) ? 0 : WEFT_EINVAL;
}

static void count(struct load *l, int64_t delay)
{
	unsigned long most = atomic_load_explicit(&l->slowest, memory_order_relaxed);

	atomic_fetch_add_explicit(&l->replies, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&l->delays[class_of((uint64_t)delay)], 1, memory_order_relaxed);
	while ((unsigned long)delay > most &&
	       !atomic_compare_exchange_weak_explicit(&l->slowest, &most, (unsigned long)delay, memory_order_relaxed, memory_order_relaxed))
		;
}

/* The requests of one connection, one after another. Returns 0 or a negative code. */
static int ask_on(struct load *l, tcp *conn, int id)
{
	unsigned n = 0;
	int rc = exchange(l, conn, id, n);
	char rest;

	wg_done(&l->ready);
	chan_recv(l->gate, NULL);
	tcp_set_deadline(conn, l->until + PATIENCE, l->until + PATIENCE);
	while (rc == 0 && (n == 0 || now() < l->until) && /* once, however late it is */
	       !atomic_load_explicit(&l->failed, memory_order_relaxed)) {
		int64_t asked = now();

		rc = exchange(l, conn, id, ++n);
		if (rc == 0)
			count(l, now() - asked);
		if (rc == 0 && l->pause)
			rc = task_sleep(l->pause);
	}
	if (rc == 0)
		rc = tcp_shutdown(conn, SHUT_WR);
	if (rc == 0 && tcp_read(conn, &rest, 1) != 0) /* nothing but what was asked for */
		rc = WEFT_EINVAL;
	return rc;
}

static void client(struct load *l, int id)
{
	tcp *conn;
	int rc = tcp_dial_until(&conn, l->address, weft_in(PATIENCE));

	if (rc == 0) {
		tcp_set_deadline(conn, weft_in(PATIENCE), weft_in(PATIENCE));
		rc = ask_on(l, conn, id);
		tcp_close(conn);
	} else {
		wg_done(&l->ready);
	}
	if (rc != 0 && !atomic_exchange(&l->failed, true)) /* the first one is enough */
		fprintf(stderr, "net_demo: connection %d to %s: %s\n", id, l->address,
			rc == WEFT_EINVAL ? "a wrong reply" : weft_strerror(rc));
	wg_done(&l->done);
}

/* Connects all, so that each has had an answer. Returns 0 if the load can begin; load_run must follow in any case. */
static int load_connect(struct load *l)
{
	int rc = 0;

	l->gate = chan_make(0, 0);
	if (!l->gate)
		return WEFT_ENOMEM;
	for (int id = 1; rc == 0 && id <= l->connections; id++) {
		wg_add(&l->ready, 1);
		wg_add(&l->done, 1);
		rc = go(client, l, id);
		if (rc != 0) {
			wg_done(&l->ready);
			wg_done(&l->done);
			fprintf(stderr, "net_demo: %s\n", weft_strerror(rc));
		}
	}
	wg_wait(&l->ready);
	return atomic_load(&l->failed) ? -1 : rc;
}

/* Lets them ask for as long as they shall. Returns the nanoseconds that took, or -1: something was wrong. */
static int64_t load_run(struct load *l)
{
	int64_t begin = now();

	l->until = begin + l->length; /* seen by whoever then finds the gate closed */
	chan_close(l->gate);
	wg_wait(&l->done);
	chan_free(l->gate);
	return atomic_load(&l->failed) || !atomic_load(&l->replies) ? -1 : now() - begin;
}

/* The delay that this part of all replies did not exceed, in milliseconds. */
static double load_quantile(struct load *l, double part)
{
	unsigned long want = (unsigned long)((double)atomic_load(&l->replies) * part), n = 0;
	int i = 0;

	while (i < CLASSES - 1 && (n += atomic_load(&l->delays[i])) <= want)
		i++;
	return (double)end_of_class(i) / 1e6;
}

/* --- the server with a stuck worker --- */

struct stuck {
	chan *begun; /* receives a signal when the task spins */
	atomic_uint visits;
	atomic_bool spinning;
	atomic_int thread;       /* the task spins on this thread; 0: it does not */
	atomic_ulong replies[2]; /* while it spins: on connections of the other worker, and of the stuck one */
};

struct visit {
	struct stuck *server;
	tcp *conn;
};

/* The mistake: a task that waits without parking. Nobody else runs on its worker. */
static int spin(void *arg)
{
	struct stuck *s = arg;

	atomic_store(&s->thread, gettid());
	chan_send(s->begun, NULL);
	while (atomic_load_explicit(&s->spinning, memory_order_relaxed))
		;
	atomic_store(&s->thread, 0);
	return 0;
}

/* Has a task spin on worker 2 until the client says anything, which is then told of the replies. */
static void spin_for(struct stuck *s, tcp *conn)
{
	char text[64];
	task *t;
	int n;

	atomic_store(&s->spinning, true);
	if (go_opts(&t, spin, s, &(task_opts){.worker = 2}) != 0)
		return;
	chan_recv(s->begun, NULL);
	if (tcp_write(conn, "spins\n", 6, NULL) > 0)
		tcp_read(conn, text, sizeof text);
	atomic_store(&s->spinning, false);
	WITH_SHIELD task_join(t, NULL);
	n = snprintf(text, sizeof text, "%lu %lu\n", atomic_load(&s->replies[0]), atomic_load(&s->replies[1]));
	tcp_write(conn, text, (size_t)n, NULL);
}

/* An echo, with an ear for "spin". */
static int visit(void *arg)
{
	struct visit *v = arg;
	struct stuck *s = v->server;
	pid_t home = gettid(); /* whose loop will watch the connection: that of the first wait */
	char buf[1024];
	ssize_t n;

	while ((n = tcp_read(v->conn, buf, sizeof buf)) > 0) {
		int thread = atomic_load(&s->thread);

		if (n == 5 && memcmp(buf, "spin\n", 5) == 0) {
			spin_for(s, v->conn);
			break;
		}
		if (tcp_write(v->conn, buf, (size_t)n, NULL) < 0)
			break;
		if (thread)
			atomic_fetch_add(&s->replies[thread == home], 1);
	}
	return 0;
}

/* Connections are those of both workers in turn: each has a task that starts there. It is cancelled with this one, so it does end. */
static int host(tcp *conn, void *arg)
{
	struct visit v = {arg, conn};
	task *t;
	int rc = go_opts(&t, visit, &v, &(task_opts){.worker = (int)(atomic_fetch_add(&v.server->visits, 1) % 2) + 1});

	if (rc == 0)
		WITH_SHIELD task_join(t, NULL);
	return rc;
}

static void ready(const weft_addr *at, void *arg)
{
	char text[WEFT_ADDR_TEXT];

	(void)arg;
	if (addr_format(at, text, sizeof text) > 0)
		printf("listening on %s\n", text);
	fflush(stdout);
}

static int stuck_main(void *arg)
{
	struct stuck s = {.begun = chan_make(0, 1)};
	ctx *end = ctx_on_signal(NULL, SIGTERM, SIGINT);
	int rc = WEFT_ENOMEM;

	(void)arg;
	if (s.begun && end)
		rc = tcp_serve_addr("127.0.0.1:0", host, &s, &(serve_opts){.ctx = end, .listeners = 1, .ready = ready});
	ctx_free(end);
	chan_free(s.begun);
	return rc;
}

/* --- the show --- */

enum { ECHO, HELLO, STUCK, CHAT, CHILDREN };

struct demo {
	struct child child[CHILDREN];
	bool quick, serve;
	int connections;
};

/* Runs a load to its end and says what came of it. Returns 0 if all was right. */
static int show_load(struct load *l, const char *what)
{
	int64_t took;
	int rc;

	printf("%s: %d connections at once, %.1f s\n", what, l->connections, (double)l->length / 1e9);
	fflush(stdout);
	rc = load_connect(l);
	took = load_run(l);
	if (rc != 0 || took < 0)
		return 1;
	printf("  %lu replies, each right: %.1f thousand requests a second; half answered within %.2f ms, 99 %% within %.2f ms\n\n",
	       atomic_load(&l->replies), (double)atomic_load(&l->replies) * 1e6 / (double)took, load_quantile(l, 0.5),
	       load_quantile(l, 0.99));
	return 0;
}

/* Says something to the server with a stuck worker, and reads a line. Returns 0 or a negative code. */
static int say(tcp *conn, const char *what, char *line, size_t size)
{
	ssize_t n = tcp_write(conn, what, strlen(what), NULL);

	for (size_t have = 0; n > 0; have += (size_t)n) {
		if (have > 0 && line[have - 1] == '\n') {
			line[have - 1] = '\0';
			return 0;
		}
		n = have < size ? tcp_read(conn, line + have, size - have) : WEFT_ENOSPC;
		if (n <= 0)
			break;
	}
	return n < 0 ? (int)n : WEFT_ECLOSED;
}

static int show_stuck(struct load *l)
{
	unsigned long other = 0, stuck = 0;
	char line[64];
	tcp *conn = NULL;
	int rc;

	printf("a task spins on one of a server's two workers: %d connections, half of them of that worker, %.1f s\n", l->connections,
	       (double)l->length / 1e9);
	fflush(stdout);
	rc = load_connect(l);
	if (rc == 0)
		rc = tcp_dial_until(&conn, l->address, weft_in(PATIENCE));
	if (rc == 0)
		rc = tcp_set_deadline(conn, weft_in(l->length + PATIENCE), weft_in(l->length + PATIENCE));
	if (rc == 0)
		rc = say(conn, "spin\n", line, sizeof line);
	if (load_run(l) < 0)
		rc = WEFT_ECANCELED; /* it has been said why */
	if (rc == 0)
		rc = say(conn, "enough\n", line, sizeof line);
	tcp_close(conn);
	if (rc != 0 || sscanf(line, "%lu %lu", &other, &stuck) != 2 || stuck == 0) {
		fprintf(stderr, "net_demo: the server with a stuck worker: %s, %lu and %lu replies\n", weft_strerror(rc), other, stuck);
		return 1;
	}
	printf("  %lu replies, each right, %lu of them on connections of the stuck worker; half within %.2f ms, the slowest after %.2f "
	       "ms\n\n",
	       atomic_load(&l->replies), stuck, load_quantile(l, 0.5), (double)atomic_load(&l->slowest) / 1e6);
	return 0;
}

static int show(struct demo *d)
{
	int64_t second = d->quick ? SEC / 10 : SEC;
	static struct load echo, hello, stuck; /* zeroed; large for a stack */

	echo.address = d->child[ECHO].address;
	echo.connections = d->connections;
	echo.length = 5 * second;
	echo.ask = ask_echo;
	echo.reply = ECHO_SIZE;
	echo.right = right_echo;

	hello.address = d->child[HELLO].address;
	hello.connections = d->connections;
	hello.length = 5 * second;
	hello.ask = ask_hello;
	hello.reply = sizeof hello_reply - 1;
	hello.right = right_hello;

	stuck.address = d->child[STUCK].address;
	stuck.connections = d->connections < 100 ? d->connections : 100;
	stuck.length = 3 * second;
	stuck.pause = 10 * MS;
	stuck.ask = ask_echo;
	stuck.reply = ECHO_SIZE;
	stuck.right = right_echo;

	return show_load(&echo, "echo server") || show_load(&hello, "hello server (HTTP/1.1)") || show_stuck(&stuck);
}

static const char *port_of(const struct child *c)
{
	return strchr(c->address, ':') + 1;
}

static int ends(void *arg)
{
	struct child *c = arg;
	int rc = proc_wait(c->proc, NULL);

	return rc ? rc : WEFT_ECLOSED;
}

/* Until Ctrl-C, or until a server ends by itself. Returns 0 or 1. */
static int serve(struct child *child)
{
	ctx *end = ctx_on_signal(NULL, SIGINT, SIGTERM);
	int rc = 0;

	if (start(&child[HELLO], "http_hello") == 0 && start(&child[ECHO], "echo_server") == 0 && start(&child[CHAT], "chat_server") == 0) {
		printf("hello server:  curl -i http://%s/\n", child[HELLO].address);
		printf("echo server:   nc 127.0.0.1 %s\n", port_of(&child[ECHO]));
		printf("chat server:   nc 127.0.0.1 %s        or telnet, from two terminals\n", port_of(&child[CHAT]));
		printf("Ctrl-C ends them.\n");
		fflush(stdout);
		WITH_GROUP (g, .ctx = end) {
			group_go(&g, ends, &child[HELLO]);
			group_go(&g, ends, &child[ECHO]);
			group_go(&g, ends, &child[CHAT]);
			rc = group_wait(&g); /* WEFT_ECANCELED: a signal has come */
		}
	}
	ctx_free(end);
	return rc != WEFT_ECANCELED;
}

/* All under load, one after the other. Returns 0 if nothing was wrong. */
static int measure(struct demo *d)
{
	if (start(&d->child[ECHO], "echo_server") != 0 || start(&d->child[HELLO], "http_hello") != 0 ||
	    start(&d->child[STUCK], "stuck") != 0)
		return 1;
	return show(d);
}

static int run(void *arg)
{
	struct demo *d = arg;
	int wrong = d->serve ? serve(d->child) : measure(d);

	for (int i = 0; i < CHILDREN; i++)
		wrong |= stop(&d->child[i]);
	return wrong;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	bool quick = strcmp(mode, "--quick") == 0, up = strcmp(mode, "--serve") == 0;
	struct demo d = {.quick = quick, .serve = up, .connections = quick ? 20 : CONNECTIONS};
	struct rlimit files;
	int rc;

	if (argc == 2 && strcmp(mode, "--stuck") == 0) /* a server of ours */
		return weft_run(stuck_main, NULL, &(weft_opts){.workers = 2}) != 0;
	if (argc > 2 || (argc == 2 && !quick && !up)) {
		fprintf(stderr, "usage: net_demo [--quick | --serve]\n");
		return 2;
	}
	/* A descriptor for each connection here, and one in the server, which inherits the limit. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < CONNECTIONS + SPARE) {
		int room = files.rlim_cur > 2 * SPARE ? (int)files.rlim_cur - SPARE : SPARE;

		printf("a process may have %d descriptors here: fewer connections than %d\n", (int)files.rlim_cur, CONNECTIONS);
		d.connections = d.connections < room ? d.connections : room;
	}
	rc = weft_run(run, &d, NULL);
	if (rc < 0)
		fprintf(stderr, "net_demo: the runtime could not run: %s\n", weft_strerror(rc));
	return rc != 0;
}
