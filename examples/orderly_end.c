/* SPDX-License-Identifier: MIT
 *
 * orderly_end.c - three ends of a program: when its last task has ended, in order and in time, and in order with somebody who is late.
 */
#include <stdio.h>
#include <weft.h>

/* Starts the next and does not wait for it. */
static void leaf(int n)
{
	printf("leaf %d\n", n);
	if (n > 1)
		go(leaf, n - 1);
}

/* Nor does this: weft_run waits, for whoever is started by anybody. */
static int scatters(void *arg)
{
	(void)arg;
	go(leaf, 3);
	return 0;
}

static int serves(void *arg)
{
	chan *jobs = arg;
	int job;

	while (chan_recv(jobs, &job) == 0)
		;
	WITH_SHIELD
	{
		task_sleep(MS); /* gives back what it has */
	}
	return 0;
}

/* Everybody is told, and is waited for. */
static int in_time(void *arg)
{
	(void)arg;
	chan *jobs = chan_make(sizeof(int), 8);
	int rc;

	for (int i = 0; i < 100; i++)
		go_opts(NULL, serves, jobs, NULL);
	rc = weft_shutdown(60 * SEC);
	printf("in time: %s\n", rc ? weft_strerror(rc) : "all have ended");
	chan_free(jobs);
	return 0;
}

static weft_event at_the_till, never;

static int never_ends(void *arg)
{
	(void)arg;
	WITH_SHIELD
	{
		weft_event_set(&at_the_till);
		weft_event_wait(&never);
	}
	return 0;
}

/* One does not end: who is it, and what is it doing? */
static int late(void *arg)
{
	weft_task_info who[4];
	int n, rc;

	(void)arg;
	go_opts(NULL, never_ends, NULL, &(task_opts){.name = "the cashier"});
	weft_event_wait(&at_the_till);
	rc = weft_shutdown_list(weft_in(50 * MS), who, 4, &n);
	printf("late: %s\n", weft_strerror(rc));
	for (int i = 0; i < n && i < 4; i++)
		printf("  %s waits: %s\n", who[i].name, who[i].reason);
	return 0;
}

int main(void)
{
	int rc = weft_run(scatters, NULL, &(weft_opts){.exit = WEFT_EXIT_ON_IDLE});

	printf("nobody is left\n");
	if (!rc)
		rc = weft_run(in_time, NULL, NULL);
	if (!rc)
		rc = weft_run(late, NULL, &(weft_opts){.workers = 1}); /* so that the cashier waits when late goes on */
	return rc != 0;
}
