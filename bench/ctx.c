/* SPDX-License-Identifier: MIT
 *
 * ctx.c - P27: what do contexts cost: asking whether one is cancelled, a block under a deadline, and cancelling a hundred thousand tasks that wait?
 */
#include "bench.h"

#define TASKS 100000

static int64_t check(uint64_t n, void *arg)
{
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++)
		MUST(ctx_check());
	return bench_now() - start;
}

static int64_t check_below(uint64_t n, void *arg)
{
	ctx *c = ctx_make(NULL);
	int64_t took = 0;

	WITH_CTX (c) {
		took = check(n, arg);
	}
	ctx_free(c);
	return took;
}

static int64_t timeout(uint64_t n, void *arg)
{
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++) {
		WITH_TIMEOUT (SEC) {
			MUST(ctx_check());
		}
	}
	return bench_now() - start;
}

static void waits(chan *silent, waitgroup *begun, waitgroup *ended)
{
	wg_done(begun);
	if (chan_recv(silent, NULL) != WEFT_ECANCELED)
		exit(1);
	wg_done(ended);
}

/* From the cancel until the last one has ended; an operation is a task. */
static int64_t cancel(uint64_t n, void *arg)
{
	uint64_t rounds = n / TASKS + 1;
	chan *silent = bench_chan(0, 0);
	int64_t took = 0;

	(void)arg;
	for (uint64_t r = 0; r < rounds; r++) {
		ctx *c = ctx_make(NULL);
		waitgroup begun = {0}, ended = {0};
		int64_t start;

		wg_add(&begun, TASKS);
		wg_add(&ended, TASKS);
		WITH_CTX (c) {
			for (int i = 0; i < TASKS; i++)
				MUST(go(waits, silent, &begun, &ended));
		}
		MUST(wg_wait(&begun));
		task_yield();
		start = bench_now();
		MUST(ctx_cancel(c, WEFT_REASON_CANCELED));
		MUST(wg_wait(&ended));
		took += bench_now() - start;
		ctx_free(c);
	}
	chan_free(silent);
	return bench_scale(took, n, rounds * TASKS);
}

static int body(void *arg)
{
	struct bench *b = arg;

	bench_measure(b, "P27", "context check", check, NULL);
	bench_measure(b, "P27", "context check, below the root", check_below, NULL);
	bench_measure(b, "P27", "block with a timeout", timeout, NULL);
	bench_measure(b, "P27", "cancel of 100,000 tasks, each", cancel, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
