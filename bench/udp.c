/* SPDX-License-Identifier: MIT
 *
 * udp.c - P56: what does a datagram of 64 bytes cost, one way and there and back, one a call and many?
 *
 * One task asks, by a connected socket, another answers whoever has asked. One way, every 64th is answered, so that no more than two windows are under way and none is dropped.
 */
#include "bench.h"

#include <weft/udp.h>

enum { SIZE = 64, WINDOW = 64, BATCH = 32 };

struct ends {
	weft_udp *here, *there;
	size_t batch; /* 1: one a call */
	uint64_t n;   /* datagrams, a multiple of WINDOW */
};

struct many {
	weft_udp_msg m[WINDOW];
	struct iovec v[WINDOW];
	char bytes[WINDOW][SIZE];
};

static struct many *many_make(void)
{
	struct many *x = bench_need(calloc(1, sizeof *x), "messages");

	for (int i = 0; i < WINDOW; i++) {
		x->v[i] = (struct iovec){x->bytes[i], SIZE};
		x->m[i] = (weft_udp_msg){.iov = &x->v[i], .count = 1};
	}
	return x;
}

static void send_all(weft_udp *u, weft_udp_msg *m, int n)
{
	for (int sent = 0; sent < n;)
		sent += MUST(weft_udp_send_many(u, m + sent, n - sent));
}

static int echoes(void *arg)
{
	struct ends *e = arg;
	struct many *x = many_make();
	char buf[SIZE];
	weft_addr from;

	for (uint64_t left = e->n; left > 0;) {
		if (e->batch > 1) {
			int got = MUST(weft_udp_recv_many(e->there, x->m, BATCH));

			send_all(e->there, x->m, got); /* each has the address that it came from */
			left -= (uint64_t)got;
		} else {
			MUST((int)weft_udp_recvfrom(e->there, buf, SIZE, &from, NULL));
			MUST((int)weft_udp_sendto(e->there, buf, SIZE, &from));
			left--;
		}
	}
	free(x);
	return 0;
}

static int64_t echo(uint64_t n, void *arg)
{
	struct ends *e = arg;
	struct many *x = many_make();
	char buf[SIZE] = {0};
	int64_t start;
	weft_task *t;

	e->n = (n + WINDOW - 1) / WINDOW * WINDOW;
	MUST(weft_go_opts(&t, echoes, e, NULL));
	start = bench_now();
	for (uint64_t i = 0; i < e->n; i += e->batch) {
		if (e->batch > 1) {
			memset(&x->m[0].addr, 0, sizeof x->m[0].addr);
			for (int k = 1; k < BATCH; k++)
				x->m[k].addr = x->m[0].addr;
			send_all(e->here, x->m, BATCH);
			for (int got = 0; got < BATCH;)
				got += MUST(weft_udp_recv_many(e->here, x->m + got, BATCH - got));
		} else {
			MUST((int)weft_udp_send(e->here, buf, SIZE));
			MUST((int)weft_udp_recv(e->here, buf, SIZE, NULL));
		}
	}
	start = bench_now() - start;
	MUST(weft_task_join(t, NULL));
	free(x);
	return bench_scale(start, n, e->n);
}

static int receives(void *arg)
{
	struct ends *e = arg;
	struct many *x = many_make();
	weft_addr from = {.sa.sa_family = 0};
	char buf[SIZE];

	for (uint64_t got = 0, told = 0; got < e->n;) {
		if (e->batch > 1) {
			got += (uint64_t)MUST(weft_udp_recv_many(e->there, x->m, WINDOW));
			from = x->m[0].addr;
		} else {
			MUST((int)weft_udp_recvfrom(e->there, buf, SIZE, &from, NULL));
			got++;
		}
		for (; got - told >= WINDOW; told += WINDOW)
			MUST((int)weft_udp_sendto(e->there, "", 1, &from));
	}
	free(x);
	return 0;
}

static int64_t one_way(uint64_t n, void *arg)
{
	struct ends *e = arg;
	struct many *x = many_make();
	char buf[SIZE] = {0};
	int64_t start;
	weft_task *t;

	e->n = (n + WINDOW - 1) / WINDOW * WINDOW;
	MUST(weft_go_opts(&t, receives, e, NULL));
	start = bench_now();
	for (uint64_t i = 0; i < e->n; i += WINDOW) {
		if (i >= 2 * WINDOW)
			MUST((int)weft_udp_recv(e->here, buf, 1, NULL));
		if (e->batch > 1) {
			send_all(e->here, x->m, WINDOW);
		} else {
			for (int k = 0; k < WINDOW; k++)
				MUST((int)weft_udp_send(e->here, buf, SIZE));
		}
	}
	for (uint64_t left = e->n > WINDOW ? 2 : 1; left > 0; left--)
		MUST((int)weft_udp_recv(e->here, buf, 1, NULL));
	start = bench_now() - start;
	MUST(weft_task_join(t, NULL));
	free(x);
	return bench_scale(start, n, e->n);
}

static int body(void *arg)
{
	struct ends e = {.batch = 1};
	weft_addr at;

	MUST(weft_udp_open(&e.here, "127.0.0.1:0", NULL));
	MUST(weft_udp_open(&e.there, "127.0.0.1:0", NULL));
	MUST(weft_udp_local(e.there, &at));
	MUST(weft_udp_connect(e.here, &at));
	bench_measure(arg, "P56", "echo", echo, &e);
	bench_measure(arg, "P56", "one way", one_way, &e);
	e.batch = BATCH;
	bench_measure(arg, "P56", "echo, 32 a call", echo, &e);
	e.batch = WINDOW;
	bench_measure(arg, "P56", "one way, 64 a call", one_way, &e);
	weft_udp_close(e.here);
	weft_udp_close(e.there);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
