/* SPDX-License-Identifier: MIT
 *
 * rate_limit.c - a pool of workers that together begin at most one job every 2 ms, but for a few at first.
 *
 * A ticker drops ticks that nobody takes, so it keeps the pace but saves nothing up. The allowance is a channel: who takes an element from it may begin, and
 * its capacity is how many may begin at once after a quiet time.  A task fills it at the ticker's pace.  Workers know of nothing but the channel.
 */
#include <stdio.h>
#include <weft.h>

#define WORKERS 4
#define JOBS 20
#define BURST 5
#define PACE (2 * MS)

/* Ends when it is cancelled. */
static int fill(void *arg)
{
	chan *allowance = arg;
	weft_timer *ticker = ticker_make(PACE);
	int rc = ticker ? 0 : WEFT_ENOMEM;

	while (rc == 0) {
		rc = chan_recv(timer_chan(ticker), NULL);
		if (rc == 0)
			rc = chan_trysend(allowance, NULL); /* an element of no size */
		if (rc == WEFT_EAGAIN)
			rc = 0; /* full: nobody wants to begin */
	}
	timer_free(ticker);
	return rc;
}

static void work(chan *jobs, chan *allowance, chan *results, waitgroup *g)
{
	int job;

	while (chan_recv(jobs, &job) == 0 && chan_recv(allowance, NULL) == 0) {
		int64_t begun = now();

		if (chan_send(results, &begun) != 0)
			break;
	}
	wg_done(g);
}

WEFT_MAIN(argc, argv)
{
	chan *jobs = chan_make(sizeof(int), JOBS), *results = chan_make(sizeof(int64_t), JOBS), *allowance = chan_make(0, BURST);
	int64_t first = now(), begun, last = 0;
	task *filler = NULL;
	waitgroup g = {0};
	int rc, n = 0;

	if (!jobs || !results || !allowance)
		return 1;
	for (int i = 0; i < BURST; i++)
		chan_trysend(allowance, NULL);
	rc = go_opts(&filler, fill, allowance, NULL);
	wg_add(&g, WORKERS);
	for (int i = 0; i < WORKERS && rc == 0; i++)
		rc = go(work, jobs, allowance, results, &g);
	for (int job = 0; job < JOBS && rc == 0; job++)
		rc = chan_send(jobs, &job);
	chan_close(jobs);
	if (rc == 0)
		rc = wg_wait(&g);
	if (rc != 0) {
		fprintf(stderr, "rate_limit: %s\n", weft_strerror(rc));
		return 1;
	}
	task_cancel(filler);
	task_join(filler, NULL);

	for (; chan_tryrecv(results, &begun) == 0; n++)
		last = begun > last ? begun : last;
	printf("%d jobs\n", n);
	printf("%s\n", last - first >= (JOBS - BURST) * PACE ? "at the pace" : "too fast");
	chan_free(jobs);
	chan_free(results);
	chan_free(allowance);
	return 0;
}
