/* SPDX-License-Identifier: MIT
 *
 * fan.c - fan-out, fan-in: one channel of questions feeds many tasks, whose answers flow together into one.
 *
 * Fan-out is several receivers on one channel: whoever is free takes the next. Fan-in is several senders on one; when the last of them is done, it is closed.
 * Answers come in any order, so each says which question it belongs to.
 */
#include <stdio.h>
#include <weft.h>

#define FAN 4
#define MOST 12

struct answer {
	int n, steps;
};

static void ask(chan *questions)
{
	for (int n = 1; n <= MOST; n++) {
		if (chan_send(questions, &n) != 0)
			break;
	}
	chan_close(questions);
	chan_free(questions);
}

/* How many steps does n take down to 1: halved if even, else tripled and 1 more? */
static void count_steps(chan *questions, chan *answers, waitgroup *g)
{
	int n;

	while (chan_recv(questions, &n) == 0) {
		struct answer a = {n, 0};

		for (long x = n; x != 1; x = x % 2 ? 3 * x + 1 : x / 2)
			a.steps++;
		if (chan_send(answers, &a) != 0)
			break;
	}
	chan_free(questions);
	chan_free(answers);
	wg_done(g);
}

static void close_after(chan *c, waitgroup *g)
{
	wg_wait(g);
	chan_close(c);
	chan_free(c);
}

WEFT_MAIN(argc, argv)
{
	chan *questions = chan_make(sizeof(int), 0), *answers = chan_make(sizeof(struct answer), 0);
	int steps[MOST + 1] = {0};
	waitgroup g = {0};
	struct answer a;

	if (!questions || !answers)
		return 1;
	wg_add(&g, FAN);
	for (int i = 0; i < FAN; i++) {
		if (go(count_steps, chan_ref(questions), chan_ref(answers), &g) != 0)
			return 1;
	}
	if (go(ask, chan_ref(questions)) != 0 || go(close_after, chan_ref(answers), &g) != 0)
		return 1;

	while (chan_recv(answers, &a) == 0)
		steps[a.n] = a.steps;
	for (int n = 1; n <= MOST; n++)
		printf("%d: %d\n", n, steps[n]);
	chan_free(questions);
	chan_free(answers);
	return 0;
}
