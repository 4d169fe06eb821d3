/* SPDX-License-Identifier: MIT
 *
 * job_queue.c - workers under a supervisor take jobs from a channel. One that fails at a job is started again after a while; the job is tried once more by whoever comes next, and then put aside.
 */
#include <weft.h>

#include <stdio.h>

#define JOBS 100
#define WORKERS 4
#define TRIES 2

struct job {
	int n, tries;
};

static chan *jobs, *done;
static waitgroup open_jobs;

/* Somebody's code: every tenth job is too much for it, every seventh at the first time. */
static int work(const struct job *j)
{
	return j->n % 10 == 0 || (j->n % 7 == 0 && j->tries == 1) ? WEFT_EIO : 0;
}

/* 0 is a normal end, after which a transient child is not started again. */
static int worker(void *arg)
{
	struct job j;
	int rc;

	(void)arg;
	for (;;) {
		rc = chan_recv(jobs, &j);
		if (rc)
			return rc == WEFT_ECLOSED ? 0 : rc;
		j.tries++;
		rc = work(&j);
		if (rc && j.tries < TRIES) {
			chan_send(jobs, &j); /* there is room for all of them */
			return rc;
		}
		if (!rc)
			chan_send(done, &j.n);
		wg_done(&open_jobs);
		if (rc)
			return rc;
	}
}

WEFT_MAIN(argc, argv)
{
	child_spec children[WORKERS];
	char ids[WORKERS][16];
	sup_opts o = {.children = children, .n = WORKERS, .max_restarts = 100, .backoff = {.min = 100 * US, .max = MS, .jitter = 0.5}};
	long sum = 0, n = 0;
	actor_ref sup;
	sup_stat st;
	int v;

	(void)argc;
	(void)argv;
	jobs = chan_make(sizeof(struct job), JOBS);
	done = chan_make(sizeof(int), JOBS);
	wg_add(&open_jobs, JOBS);
	for (int i = 0; i < JOBS; i++)
		chan_send(jobs, &(struct job){.n = i});
	for (int i = 0; i < WORKERS; i++) {
		snprintf(ids[i], sizeof ids[i], "worker %d", i);
		children[i] = (child_spec){.id = ids[i], .task = worker, .restart = TRANSIENT};
	}
	if (sup_start(&sup, &o))
		return 1;
	wg_wait(&open_jobs);
	chan_close(done);
	chan_foreach (done, int, i) {
		sum += i;
		n++;
	}
	printf("%ld of %d jobs are done, their numbers add up to %ld\n", n, JOBS, sum);

	v = sup_health(sup, &st);
	if (v)
		return 1;
	printf("%s\n", st.restarts >= 20 ? "workers were started again" : "workers have done better than they should");
	chan_close(jobs); /* they end, normally */
	v = sup_stop(sup);
	chan_free(jobs);
	chan_free(done);
	return v;
}
