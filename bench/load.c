/* SPDX-License-Identifier: MIT
 *
 * load.c - the other side of P19, P20 and P21: asks a server on this machine over many connections, checks every reply, counts. No weft in it.
 *
 *     bench_load --port P --mode echo|http [--conns N] [--seconds S] [--warm S] [--size BYTES] [--pid PID] [--idle]
 *
 * One thread, bare epoll. Each connection has one request in flight; the next is sent when the reply has arrived and is right:
 *   echo  the bytes sent, which differ from request to request and from connection to connection
 *   http  status 200, a Content-Length that fits, the body; other headers may differ
 * All connections are opened and have been answered once before anything counts; then `warm` seconds pass, then `seconds` are measured. What a
 * server's threads used of the CPU meanwhile is what the scheduler says of them, in nanoseconds (/proc/PID/task/.../schedstat).
 *
 * With --idle each connection is silent after its first reply. After `seconds` of silence the server's memory is read, and what it had when the first
 * few connections were there is taken off; then every connection is asked once more: it must still be alive.
 *
 * Prints one line of JSON; ends with status 1 after any wrong reply, and when the server is silent for PATIENCE seconds.
 */
#include "http.h"
#include "proc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 10       /* seconds without any reply: the server hangs */
#define BATCH 128         /* connections opened at once; far below any backlog */
#define PORTS 20000       /* connections from one address of the loopback net, which has fewer than 28,232 ports to give */
#define REPLY_MAX 1024    /* the longest HTTP reply with its headers */
#define ECHO_MAX 0x100000 /* the longest echo */
#define FILES_APART 64    /* descriptors for other things than connections */
#define SEC INT64_C(1000000000)

struct conn {
	int fd; /* -1: failed */
	uint32_t id;
	uint64_t seq;          /* of its request */
	int64_t asked;         /* when it was sent */
	size_t sent, got;      /* of the request, of the reply */
	bool waits;            /* for room to send */
	bool busy;             /* its request is in flight */
	char reply[REPLY_MAX]; /* http: what has come of it; echo compares at once and keeps nothing */
};

static struct {
	int port, conns, size;
	double seconds, warm;
	bool http, idle;
	int pid;
} opt = {.conns = 50, .size = 64, .seconds = 2, .warm = 0.5};

static struct conn *conns;
static int opened, epfd;
static bool asking;                          /* a reply is followed by the next request */
static uint64_t in_flight, errors, total;    /* requests without a reply; wrong ones; replies in all */
static uint64_t requests;                    /* replies within what is measured */
static char out[ECHO_MAX], in[ECHO_MAX + 1]; /* one more than expected, so that too much is seen */

/* Latencies in nanoseconds: 64 steps for each power of two. */
#define STEPS 64
static uint64_t hist[64 * STEPS];
static int64_t slowest;

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * SEC + ts.tv_nsec;
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("bench_load: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	exit(1);
}

static void count(int64_t ns)
{
	uint64_t v = ns < STEPS ? STEPS : (uint64_t)ns;
	int shift = 63 - __builtin_clzll(v) - 6;

	hist[(uint64_t)shift * STEPS + (v >> shift) - STEPS]++;
	if (ns > slowest)
		slowest = ns;
	requests++;
}

/* Microseconds that the part p of all latencies does not exceed. */
static double percentile(double p)
{
	uint64_t want = (uint64_t)(p * (double)requests), seen = 0;

	for (size_t i = 0; i < sizeof(hist) / sizeof(*hist); i++) {
		seen += hist[i];
		if (seen > want) {
			uint64_t ns = (STEPS + i % STEPS + 1) << i / STEPS; /* the end of the step */

			return (double)(ns < (uint64_t)slowest ? ns : (uint64_t)slowest) / 1e3;
		}
	}
	return (double)slowest / 1e3;
}

static void fail(struct conn *c, const char *what)
{
	if (errors++ == 0)
		fprintf(stderr, "bench_load: connection %u, request %llu: %s\n", c->id, (unsigned long long)c->seq, what);
	close(c->fd);
	c->fd = -1;
	in_flight -= c->busy;
	c->busy = false;
}

/* What an echo shall say: size bytes, other ones for every request. */
static void fill(const struct conn *c)
{
	uint64_t x = (((uint64_t)c->id << 40) ^ c->seq) * UINT64_C(0x9e3779b97f4a7c15);

	for (size_t at = 0; at < (size_t)opt.size; at += sizeof(x)) {
		x = (x ^ (x >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
		memcpy(out + at, &x, sizeof(x));
	}
}

static void want(struct conn *c, bool room)
{
	struct epoll_event ev = {.events = EPOLLIN | (room ? EPOLLOUT : 0), .data.ptr = c};

	if (room != c->waits && epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &ev) != 0)
		die("epoll_ctl: %s", strerror(errno));
	c->waits = room;
}

/* Sends what is left of c's request. */
static void push(struct conn *c)
{
	const char *text = opt.http ? HTTP_REQUEST : out;
	size_t size = opt.http ? sizeof(HTTP_REQUEST) - 1 : (size_t)opt.size;
	ssize_t n;

	if (!opt.http)
		fill(c);
	n = send(c->fd, text + c->sent, size - c->sent, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		fail(c, strerror(errno));
		return;
	}
	c->sent += n < 0 ? 0 : (size_t)n;
	want(c, c->sent < size);
}

static void ask(struct conn *c, int64_t at)
{
	c->seq++;
	c->asked = at;
	c->sent = c->got = 0;
	c->busy = true;
	in_flight++;
	push(c);
}

/* Is the reply there? 0: not all of it; 1; or -1 and why. */
static int http_check(struct conn *c, const char **why)
{
	static const char length[] = "\r\nContent-Length:";
	char *head = c->reply, *end, *field;
	size_t size;

	head[c->got] = 0;
	end = strstr(head, "\r\n\r\n");
	*why = "headers too long";
	if (!end)
		return c->got + 1 == sizeof(c->reply) ? -1 : 0;
	*why = "not a reply with status 200";
	if (strncmp(head, "HTTP/1.1 200 ", 13) != 0)
		return -1;
	*why = "Content-Length is wrong";
	field = strcasestr(head, length);
	if (!field || field > end || strtoul(field + sizeof(length) - 1, NULL, 10) != sizeof(HTTP_BODY) - 1)
		return -1;
	*why = "more than the reply";
	size = (size_t)(end - head) + 4 + sizeof(HTTP_BODY) - 1;
	if (c->got > size)
		return -1;
	if (c->got < size)
		return 0;
	*why = "the body is wrong";
	return memcmp(end + 4, HTTP_BODY, sizeof(HTTP_BODY) - 1) == 0 ? 1 : -1;
}

static int echo_check(struct conn *c, size_t n, const char **why)
{
	*why = "more than was sent, or not what was sent";
	if (c->got > c->sent)
		return -1;
	fill(c);
	if (memcmp(in, out + c->got - n, n) != 0)
		return -1;
	return c->got == (size_t)opt.size;
}

/* Reads what is there, and asks on when the reply is complete. */
static void pull(struct conn *c)
{
	const char *why;
	int64_t t;
	ssize_t n;
	int done;

	if (opt.http)
		n = recv(c->fd, c->reply + c->got, sizeof(c->reply) - 1 - c->got, 0);
	else
		n = recv(c->fd, in, (size_t)opt.size - c->got + 1, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		fail(c, n == 0 ? "the server closed it" : strerror(errno));
		return;
	}
	c->got += (size_t)n;
	done = opt.http ? http_check(c, &why) : echo_check(c, (size_t)n, &why);
	if (done < 0)
		fail(c, why);
	if (done <= 0)
		return;
	t = now();
	count(t - c->asked);
	total++;
	in_flight--;
	c->busy = false;
	if (asking)
		ask(c, t);
}

/* Serves events until `end` (0: until nothing is in flight). */
static void serve(int64_t end)
{
	struct epoll_event ev[256];
	int64_t heard = now(), t;

	while (end ? true : in_flight > 0) {
		int ms = PATIENCE * 1000, n;

		t = now();
		if (end && t >= end)
			return;
		if (end && (end - t) / 1000000 < ms)
			ms = (int)((end - t) / 1000000);
		n = epoll_wait(epfd, ev, sizeof(ev) / sizeof(*ev), ms);
		if (n < 0 && errno != EINTR)
			die("epoll_wait: %s", strerror(errno));
		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			if (c->fd >= 0 && (ev[i].events & EPOLLOUT))
				push(c);
			if (c->fd >= 0 && (ev[i].events & ~(unsigned)EPOLLOUT))
				pull(c);
		}
		t = now();
		if (n > 0)
			heard = t;
		else if (in_flight && t - heard > PATIENCE * SEC)
			die("no reply for %d s; %llu requests are without one", PATIENCE, (unsigned long long)in_flight);
	}
}

static void connect_one(struct conn *c)
{
	struct sockaddr_in a = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
	struct timeval limit = {.tv_sec = PATIENCE};
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	int on = 1;

	c->id = (uint32_t)opened;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket %u: %s", c->id, strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* bounds connect */
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + c->id / PORTS);
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (c->id >= PORTS && bind(c->fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		die("bind: %s", strerror(errno));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = htons((uint16_t)opt.port);
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("connection %u: %s", c->id, strerror(errno));
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &ev) != 0)
		die("connection %u: %s", c->id, strerror(errno));
	opened++;
}

/* Opens connections until there are n; each of them has been answered once. */
static void open_up_to(int n)
{
	asking = false;
	while (opened < n) {
		for (int i = 0; i < BATCH && opened < n; i++) {
			connect_one(&conns[opened]);
			ask(&conns[opened - 1], now());
		}
		serve(0);
	}
}

static void ask_all(void)
{
	for (int i = 0; i < opened; i++) {
		if (conns[i].fd >= 0)
			ask(&conns[i], now());
	}
}

static double memory(const char *key)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", opt.pid);
	return 1024 * proc_line(path, key);
}

static void measure(void)
{
	double cpu0 = 0, cpu1 = 0, own0, own1, took;
	int64_t start;

	open_up_to(opt.conns);
	asking = true;
	ask_all();
	serve(now() + (int64_t)(opt.warm * 1e9));
	memset(hist, 0, sizeof(hist));
	requests = 0;
	slowest = 0;
	start = now();
	own0 = proc_cpu();
	if (opt.pid)
		cpu0 = proc_cpu_of(opt.pid);
	serve(start + (int64_t)(opt.seconds * 1e9));
	if (opt.pid)
		cpu1 = proc_cpu_of(opt.pid);
	own1 = proc_cpu();
	took = (double)(now() - start);
	printf("{\"mode\": \"%s\", \"conns\": %d, \"seconds\": %.3f, \"requests\": %llu, \"krps\": %.2f, \"p50_us\": %.1f, "
	       "\"p99_us\": %.1f, \"max_us\": %.1f, \"load_busy\": %.3f",
	       opt.http ? "http" : "echo", opt.conns, took / 1e9, (unsigned long long)requests, (double)requests / took * 1e6,
	       percentile(0.5), percentile(0.99), (double)slowest / 1e3, (own1 - own0) * 1e3 / took);
	if (opt.pid)
		printf(", \"server_cpu_us\": %.4f, \"server_busy\": %.3f", (cpu1 - cpu0) / 1e3 / (double)(requests ? requests : 1),
		       (cpu1 - cpu0) / took);
	asking = false;
	serve(0);
	printf(", \"total\": %llu, \"errors\": %llu}\n", (unsigned long long)total, (unsigned long long)errors);
}

static void idle(void)
{
	int base = opt.conns / 2 < BATCH ? opt.conns / 2 : BATCH;
	double rss, tables;

	open_up_to(base);
	rss = memory("VmRSS:");
	tables = memory("VmPTE:");
	open_up_to(opt.conns);
	serve(now() + (int64_t)(opt.seconds * 1e9));
	rss = memory("VmRSS:") - rss;
	tables = memory("VmPTE:") - tables;
	ask_all();
	serve(0);
	printf("{\"mode\": \"%s\", \"conns\": %d, \"seconds\": %.3f, \"rss_each\": %.1f, \"tables_each\": %.1f, \"errors\": %llu}\n",
	       opt.http ? "http" : "echo", opt.conns, opt.seconds, rss / (opt.conns - base), tables / (opt.conns - base),
	       (unsigned long long)errors);
}

static void usage(void)
{
	fputs("usage: bench_load --port P --mode echo|http [--conns N] [--seconds S] [--warm S] [--size BYTES] [--pid PID] [--idle]\n",
	      stderr);
	exit(2);
}

static void arguments(int argc, char **argv)
{
	const char *mode = "";

	for (int i = 1; i < argc; i++) {
		const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(name, "--idle") == 0) {
			opt.idle = true;
			continue;
		}
		if (!value)
			usage();
		i++;
		if (strcmp(name, "--port") == 0)
			opt.port = atoi(value);
		else if (strcmp(name, "--pid") == 0)
			opt.pid = atoi(value);
		else if (strcmp(name, "--conns") == 0)
			opt.conns = atoi(value);
		else if (strcmp(name, "--size") == 0)
			opt.size = atoi(value);
		else if (strcmp(name, "--seconds") == 0)
			opt.seconds = atof(value);
		else if (strcmp(name, "--warm") == 0)
			opt.warm = atof(value);
		else if (strcmp(name, "--mode") == 0)
			mode = value;
		else
			usage();
	}
	opt.http = strcmp(mode, "http") == 0;
	if ((!opt.http && strcmp(mode, "echo") != 0) || opt.port < 1 || opt.port > 65535 || opt.conns < 1 || opt.size < 1 ||
	    opt.size > ECHO_MAX || opt.seconds < 0 || opt.seconds > 3600 || opt.warm < 0 || opt.warm > 3600 ||
	    (opt.idle && (!opt.pid || opt.conns < 2)))
		usage();
}

/* As many descriptors as the system grants; fewer connections where that is not enough. */
static void limit_conns(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur != RLIM_INFINITY && (rlim_t)opt.conns + FILES_APART > r.rlim_cur) {
		opt.conns = r.rlim_cur > FILES_APART + 2 ? (int)(r.rlim_cur - FILES_APART) : 2;
		fprintf(stderr, "bench_load: %d connections: no more descriptors\n", opt.conns);
	}
}

int main(int argc, char **argv)
{
	arguments(argc, argv);
	limit_conns();
	alarm((unsigned)(opt.seconds + opt.warm) + 12 * PATIENCE); /* whatever happens, it ends */
	conns = calloc((size_t)opt.conns, sizeof(*conns));
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (!conns || epfd < 0)
		die("no memory for %d connections", opt.conns);
	if (opt.idle)
		idle();
	else
		measure();
	return errors > 0;
}
