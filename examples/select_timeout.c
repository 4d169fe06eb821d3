/* SPDX-License-Identifier: MIT
 *
 * select_timeout.c - wait for whichever comes first: an answer, a timeout, a tick, or nothing at all.
 */
#include <stdio.h>
#include <weft.h>

struct question {
	chan *answers;
	int64_t think; /* nanoseconds */
	int answer;
};

static int ask(void *arg)
{
	struct question *q = arg;
	int rc = task_sleep(q->think);

	return rc == 0 ? chan_send(q->answers, &q->answer) : rc;
}

static void wait_for(chan *answers, int64_t ns)
{
	int answer;
	chan_case k[] = {CASE_RECV(answers, &answer), CASE_AFTER(ns)};

	switch (chan_select(k, 2)) {
	case 0:
		printf("answer %d\n", answer);
		break;
	case 1:
		printf("timeout\n");
		break;
	}
}

/* Three ticks, then the end. The ticker's channel belongs to the ticker. */
static int tick(void)
{
	weft_timer *ticker = ticker_make(2 * MS);
	chan *never = NULL;
	int64_t when;

	if (!ticker)
		return WEFT_ENOMEM;
	for (int n = 1; n <= 3; n++) {
		chan_case k[] = {CASE_RECV(timer_chan(ticker), &when), CASE_RECV(never, NULL)};

		if (chan_select(k, 2) == 0)
			printf("tick %d\n", n);
	}
	timer_free(ticker);
	return 0;
}

WEFT_MAIN(argc, argv)
{
	chan *answers = chan_make(sizeof(int), 1);
	struct question quick = {answers, MS, 42}, slow = {answers, 3600 * SEC, 43};
	task *a = NULL, *b = NULL;
	int rc, answer;

	(void)argc;
	(void)argv;
	if (!answers)
		return 1;
	rc = go_opts(&a, ask, &quick, NULL);
	if (rc == 0)
		rc = go_opts(&b, ask, &slow, NULL);
	if (rc != 0)
		return 1;

	wait_for(answers, 30 * SEC);
	wait_for(answers, 20 * MS);

	chan_case look[] = {CASE_RECV(answers, &answer), CASE_DEFAULT()};
	printf("%s\n", chan_select(look, 2) == 1 ? "nothing there" : "something there");

	rc = tick();

	/* The slow one would sleep on: cancelled, its sleep returns. */
	task_cancel(b);
	task_join(a, NULL);
	task_join(b, &answer);
	printf("slow one: %s\n", answer == WEFT_ECANCELED ? "canceled" : "not canceled");
	chan_free(answers);
	return rc != 0;
}
