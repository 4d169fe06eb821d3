/* SPDX-License-Identifier: MIT
 *
 * worker_pool.c - three workers take jobs from one channel and put results into another.
 *
 * Closing the job channel tells the workers that there are no more; the last one to leave is noticed by the wait group,
 * and closing the result channel ends the loop that collects.
 */
#include <stdio.h>
#include <weft.h>

#define WORKERS 3
#define JOBS 10

struct result {
	int job, square;
};

static void work(chan *jobs, chan *results, waitgroup *g)
{
	int job;

	while (chan_recv(jobs, &job) == 0) {
		struct result r = {job, job * job};

		task_sleep(MS); /* pretends to be hard work */
		if (chan_send(results, &r) != 0)
			break;
	}
	wg_done(g);
}

static void hand_out(chan *jobs, chan *results, waitgroup *g)
{
	for (int job = 1; job <= JOBS; job++) {
		if (chan_send(jobs, &job) != 0)
			break;
	}
	chan_close(jobs);
	wg_wait(g);
	chan_close(results);
}

WEFT_MAIN(argc, argv)
{
	chan *jobs = chan_make(sizeof(int), WORKERS), *results = chan_make(sizeof(struct result), 0);
	int square[JOBS + 1] = {0}, sum = 0;
	waitgroup g = {0};
	struct result r;

	(void)argc;
	(void)argv;
	if (!jobs || !results)
		return 1;
	for (int i = 0; i < WORKERS; i++) {
		wg_add(&g, 1);
		if (go(work, jobs, results, &g) != 0)
			return 1;
	}
	if (go(hand_out, jobs, results, &g) != 0)
		return 1;

	while (chan_recv(results, &r) == 0) /* in whatever order they come */
		square[r.job] = r.square;
	for (int job = 1; job <= JOBS; job++) {
		printf("%d squared is %d\n", job, square[job]);
		sum += square[job];
	}
	printf("together %d\n", sum);
	chan_free(results);
	chan_free(jobs);
	return 0;
}
