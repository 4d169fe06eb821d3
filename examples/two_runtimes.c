/* SPDX-License-Identifier: MIT
 *
 * two_runtimes.c - long computations in a runtime of their own, so that they take no worker of the main one: its tasks answer at once, whatever is computed beside them.
 */
#include <stdio.h>
#include <weft.h>

struct request {
	long from, to;
	promise *sum;
};

/* In the other runtime: computes, and never parks meanwhile. */
static int computes(void *arg)
{
	struct request r;

	while (chan_recv(arg, &r) == 0) {
		long sum = 0;

		for (long i = r.from; i < r.to; i++)
			sum += i % 7;
		promise_resolve(r.sum, &sum);
		promise_free(r.sum);
	}
	return 0;
}

/* In the main one. */
static int asks(void *arg)
{
	chan *requests = chan_make(sizeof(struct request), 4);
	future *sums[4];
	weft_runtime *beside;
	long sum, all = 0;
	int rc;

	(void)arg;
	rc = weft_make(&beside, &(weft_opts){.workers = 2});
	if (rc) {
		printf("no second runtime: %s\n", weft_strerror(rc));
		return 1;
	}
	for (int i = 0; i < 2; i++)
		runtime_go(beside, NULL, computes, requests, NULL);
	for (int i = 0; i < 4; i++) {
		struct request r = {i * 1000000L, (i + 1) * 1000000L, NULL};

		promise_make(sizeof sum, &r.sum, &sums[i]);
		chan_send(requests, &r);
	}
	for (int i = 0; i < 3; i++) { /* has its worker for itself */
		task_sleep(MS);
		printf("tick %d\n", i + 1);
	}
	for (int i = 0; i < 4; i++) {
		future_await(sums[i], &sum);
		future_free(sums[i]);
		all += sum;
	}
	printf("the sum is %ld\n", all);
	chan_close(requests);
	rc = weft_free(beside, 10 * SEC);
	printf("the other one is gone: %s\n", weft_strerror(rc));
	chan_free(requests);
	return 0;
}

int main(void)
{
	return weft_run(asks, NULL, &(weft_opts){.workers = 1});
}
