/* SPDX-License-Identifier: MIT
 *
 * floor.c - P0: what the machine asks for what all other figures are added up from: a locked instruction, a cache line to the other core and back, a system call that does nothing,
 * the clock, a write and a read of 64 bytes on the loopback. No weft in it but bench.h.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIZE 64
#define WINDOW 100 /* writes before they are read */

static uint64_t word __attribute__((aligned(128))); /* by atomic builtins */

static int64_t locked(uint64_t n, void *arg)
{
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++)
		__atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
	return bench_now() - start;
}

static int64_t system_call(uint64_t n, void *arg)
{
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++)
		syscall(SYS_getppid);
	return bench_now() - start;
}

static int64_t clock_of(uint64_t n, void *arg)
{
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++)
		(void)bench_now();
	return bench_now() - start;
}

/* --- a line between two cores --- */

/* The caller's k-th core. */
static void pin(int k)
{
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &all) && k-- == 0)
			CPU_SET(i, &one);
	}
	if (pthread_setaffinity_np(pthread_self(), sizeof(one), &one)) {
		fputs("bench: no second core\n", stderr);
		exit(1);
	}
}

static void *answers(void *arg)
{
	uint64_t n = *(uint64_t *)arg;

	pin(1);
	for (uint64_t i = 0; i < n; i++) {
		while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) != 2 * i + 1)
			;
		__atomic_store_n(&word, 2 * i + 2, __ATOMIC_RELEASE);
	}
	return NULL;
}

static int64_t there_and_back(uint64_t n, void *arg)
{
	pthread_t self = pthread_self(), other;
	cpu_set_t all;
	int64_t start;

	(void)arg;
	word = 0;
	pthread_getaffinity_np(self, sizeof(all), &all);
	if (pthread_create(&other, NULL, answers, &n))
		exit(1);
	pin(0);
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		__atomic_store_n(&word, 2 * i + 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) != 2 * i + 2)
			;
	}
	start = bench_now() - start;
	pthread_join(other, NULL);
	pthread_setaffinity_np(self, sizeof(all), &all);
	return start;
}

/* --- the loopback --- */

struct link {
	int from, to;
	bool reads; /* those are counted; else the writes */
};

static void must(bool yes, const char *what)
{
	if (!yes) {
		perror(what);
		exit(1);
	}
}

static void link_open(struct link *l)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	socklen_t size = sizeof(a);

	must(s >= 0 && bind(s, (struct sockaddr *)&a, size) == 0 && listen(s, 1) == 0 && getsockname(s, (struct sockaddr *)&a, &size) == 0,
	     "listen");
	l->from = socket(AF_INET, SOCK_STREAM, 0);
	must(l->from >= 0 && connect(l->from, (struct sockaddr *)&a, size) == 0, "connect");
	must(setsockopt(l->from, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0, "TCP_NODELAY");
	l->to = accept(s, NULL, NULL);
	must(l->to >= 0, "accept");
	close(s);
}

static int64_t loopback(uint64_t n, void *arg)
{
	struct link *l = arg;
	char text[SIZE] = "floor";
	int64_t took[2] = {0, 0};
	uint64_t did = 0;

	for (; did < n; did += WINDOW) {
		int64_t t0 = bench_now(), t1;

		for (int i = 0; i < WINDOW; i++)
			must(write(l->from, text, SIZE) == SIZE, "write");
		t1 = bench_now();
		for (int i = 0; i < WINDOW; i++)
			must(recv(l->to, text, SIZE, MSG_WAITALL) == SIZE, "read");
		took[0] += t1 - t0;
		took[1] += bench_now() - t1;
	}
	return bench_scale(took[l->reads], n, did);
}

int main(int argc, char **argv)
{
	struct link l;
	struct bench b;

	bench_args(&b, argc, argv);
	if (b.workers == 2) {
		bench_measure(&b, "P0", "a cache line there and back", there_and_back, NULL);
		return 0;
	}
	link_open(&l);
	bench_measure(&b, "P0", "a locked instruction", locked, NULL);
	bench_measure(&b, "P0", "a system call", system_call, NULL);
	bench_measure(&b, "P0", "clock_gettime", clock_of, NULL);
	l.reads = false;
	bench_measure(&b, "P0", "write of 64 bytes, loopback", loopback, &l);
	l.reads = true;
	bench_measure(&b, "P0", "read of 64 bytes, loopback", loopback, &l);
	return 0;
}
