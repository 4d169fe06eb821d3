/* SPDX-License-Identifier: MIT
 *
 * priorities.c - classes of tasks: on one worker, a cleaner in the background, requests, and a heartbeat that comes next whenever it is woken.
 *
 * What is counted are turns: sixty-four of HIGH and eight of NORMAL to one of LOW, while all have something to do.
 */
#include <stdio.h>
#include <weft.h>

#define TURNS 7300

static int turns[3], all;

/* Works in small pieces, and lets others run between them. */
static int work(void *arg)
{
	int *mine = arg;

	while (all < TURNS) {
		(*mine)++;
		all++;
		task_yield();
	}
	return 0;
}

static int heartbeat(void *arg)
{
	chan *beat = arg;

	for (int n; chan_recv(beat, &n) == 0;)
		printf("heartbeat %d, after %d requests\n", n, turns[1]);
	return 0;
}

static int request(void *arg)
{
	(*(int *)arg)++;
	return 0;
}

static int shares(void *arg)
{
	static const enum weft_prio of[] = {WEFT_PRIO_HIGH, WEFT_PRIO_NORMAL, WEFT_PRIO_LOW};
	task *t[9];

	(void)arg;
	for (int i = 0; i < 9; i++) {
		if (go_opts(&t[i], work, &turns[i % 3], &(task_opts){.prio = of[i % 3]}) != 0)
			return 1;
	}
	for (int i = 0; i < 9; i++)
		task_join(t[i], NULL);
	printf("of %d turns HIGH had %d%%, NORMAL %d%%, LOW %d%%\n", TURNS, turns[0] * 100 / TURNS, (turns[1] * 100 + TURNS / 2) / TURNS,
	       turns[2] * 100 / TURNS);
	return 0;
}

static int beats(void *arg)
{
	chan *beat = chan_make(sizeof(int), 1);
	task *heart, *t[50];
	void *counts[50];

	(void)arg;
	turns[1] = 0;
	if (go_opts(&heart, heartbeat, beat, &(task_opts){.name = "heart", .prio = WEFT_PRIO_HIGH}) != 0)
		return 1;
	task_yield(); /* it waits now */
	for (int i = 0; i < 50; i++)
		counts[i] = &turns[1];
	for (int n = 1; n <= 2; n++) {
		if (go_batch(request, counts, 50, t, NULL) != 0) /* all of them or none */
			return 1;
		chan_trysend(beat, &n); /* the heart comes before the fifty that are waiting already */
		for (int i = 0; i < 50; i++)
			task_join(t[i], NULL);
	}
	chan_close(beat);
	task_join(heart, NULL);
	chan_free(beat);
	return 0;
}

int main(void)
{
	const weft_opts one = {.workers = 1};
	int rc = weft_run(shares, NULL, &one);

	return rc ? rc : weft_run(beats, NULL, &one);
}
