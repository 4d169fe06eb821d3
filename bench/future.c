/* SPDX-License-Identifier: MIT
 *
 * future.c - P36: what does a future cost, given by a task, as the answer to a request, and as a link of a chain?
 */
#include "bench.h"

#define LINKS 100

static int gives(void *arg, void *out)
{
	*(int64_t *)out = (int64_t)(intptr_t)arg;
	return 0;
}

static void check(int64_t got, int64_t want)
{
	if (got != want) {
		fprintf(stderr, "bench: %lld instead of %lld\n", (long long)got, (long long)want);
		exit(1);
	}
}

static int64_t of_task(uint64_t n, void *arg)
{
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++) {
		future *f = bench_need(go_future(gives, (void *)(uintptr_t)i, sizeof(int64_t)), "a future");
		int64_t v;

		MUST(future_await(f, &v));
		future_free(f);
		check(v, (int64_t)i);
	}
	return bench_now() - start;
}

struct request {
	promise *answer;
	int64_t n;
};

static void answers(chan *requests)
{
	struct request r;

	while (chan_recv(requests, &r) == 0) {
		r.n++;
		MUST(promise_resolve(r.answer, &r.n));
		promise_free(r.answer);
	}
	chan_free(requests);
}

static int64_t of_request(uint64_t n, void *arg)
{
	chan *requests = bench_chan(sizeof(struct request), 0);
	int64_t start, v = 0;

	(void)arg;
	MUST(go(answers, chan_ref(requests)));
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		struct request r = {.n = v};
		future *f;

		MUST(promise_make(sizeof v, &r.answer, &f));
		MUST(chan_send(requests, &r));
		MUST(future_await(f, &v));
		future_free(f);
	}
	start = bench_now() - start;
	chan_close(requests);
	chan_free(requests);
	check(v, (int64_t)n);
	return start;
}

static int adds(const void *value, void *out, void *arg)
{
	(void)arg;
	*(int64_t *)out = *(const int64_t *)value + 1;
	return 0;
}

static int64_t of_chain(uint64_t n, void *arg)
{
	uint64_t chains = n / LINKS + 1;
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < chains; i++) {
		int64_t v = (int64_t)i;
		promise *p;
		future *f;

		MUST(promise_make(sizeof v, &p, &f));
		for (int k = 0; k < LINKS; k++) {
			future *next = bench_need(future_map(f, adds, NULL, sizeof v), "a future");

			future_free(f);
			f = next;
		}
		MUST(promise_resolve(p, &v));
		promise_free(p);
		MUST(future_await(f, &v));
		future_free(f);
		check(v, (int64_t)i + LINKS);
	}
	return bench_scale(bench_now() - start, n, chains * LINKS);
}

static int body(void *arg)
{
	struct bench *b = arg;

	bench_measure(b, "P36", "a task gives it", of_task, NULL);
	bench_measure(b, "P36", "answer to a request", of_request, NULL);
	bench_measure(b, "P36", "chain of 100, a link", of_chain, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
