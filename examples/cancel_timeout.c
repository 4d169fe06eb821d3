/* SPDX-License-Identifier: MIT
 *
 * cancel_timeout.c - three ways in which work ends that would go on for ever: somebody cancels it, its time is over, or one of its kind has the answer.
 */
#include <stdio.h>
#include <weft.h>

enum { FOUND = WEFT_REASON_USER };

struct worker {
	weft_group *group;
	int finds; /* after so many steps; 0: never */
	int end;   /* what ended it */
	bool cleaned;
};

static void clean(struct worker *w)
{
	WEFT_WITH_SHIELD /* or this would be cancelled too */
		w->cleaned = task_sleep(MS) == 0;
}

static int search(void *arg)
{
	struct worker *w = arg;
	WEFT_DEFER(clean, w);

	for (int step = 1; w->end == 0; step++) {
		if (step == w->finds) {
			group_cancel(w->group, FOUND); /* nobody need look any further */
			return 0;
		}
		w->end = task_sleep(MS);
	}
	return 0; /* being told to stop is no failure */
}

static void start(weft_group *g, struct worker *w, int n)
{
	for (int i = 0; i < n; i++) {
		w[i].group = g;
		if (group_go(g, search, &w[i]) != 0) { /* it is over already, also for who begins now */
			WITH_CTX (group_ctx(g))
				search(&w[i]);
		}
	}
}

static void say(const char *what, const struct worker *w, int n)
{
	printf("%s:\n", what);
	for (int i = 0; i < n; i++)
		printf("  worker %d: %s%s\n", i, w[i].end ? weft_strerror(w[i].end) : "found it", w[i].cleaned ? ", has cleaned up" : "");
}

WEFT_MAIN(argc, argv)
{
	struct worker a[3] = {{0}}, b[3] = {{0}}, c[3] = {{0}};
	bool found = false;

	(void)argc;
	(void)argv;
	WITH_GROUP (g) {
		start(&g, a, 3);
		task_sleep(3 * MS);
		ctx_cancel(group_ctx(&g), WEFT_REASON_CANCELED);
	}
	say("cancelled", a, 3);

	WITH_GROUP (g, .timeout = 3 * MS)
		start(&g, b, 3);
	say("out of time", b, 3);

	c[1].finds = 3;
	WITH_GROUP (g, .timeout = 60 * SEC) {
		start(&g, c, 3);
		group_wait(&g);
		found = ctx_reason(group_ctx(&g)) == FOUND;
	}
	say(found ? "one has found it" : "nobody has found it", c, 3);
	return 0;
}
