/* SPDX-License-Identifier: MIT
 *
 * news.c - a broadcast of readings, a setting that may change at any time, and a task to be waited for: all in one select.
 */
#include <stdio.h>
#include <weft.h>

struct station {
	bcast *readings;
	watch *unit; /* what to show readings in: 'C' or 'F' */
	sema shown;  /* one for each reading that has been */
};

/* Sends three readings, each when the one before has been shown; changes the unit before the last. */
static int measure(void *arg)
{
	struct station *s = arg;
	int degrees[] = {20, 25, 30};

	for (int i = 0; i < 3; i++) {
		if (i == 2)
			watch_set(s->unit, "F");
		bcast_send(s->readings, &degrees[i]);
		sema_acquire(&s->shown, 1);
	}
	return 3;
}

WEFT_MAIN(argc, argv)
{
	struct station s = {.readings = bcast_make(sizeof(int), 8), .unit = watch_make(1, "C")};
	bsub *mine = s.readings ? bcast_sub(s.readings) : NULL;
	bsub *slow = s.readings ? bcast_sub(s.readings) : NULL;
	task *t = NULL;
	uint64_t seen = 0;
	int degrees, sent = 0;
	char unit = '?';

	(void)argc;
	(void)argv;
	sema_init(&s.shown, 0);
	if (!s.unit || !mine || !slow || go_opts(&t, measure, &s, NULL) != 0)
		return 1;
	while (t) {
		chan_case k[] = {CASE_WATCH(s.unit, &seen), CASE_BSUB(mine, &degrees), CASE_EXIT(t, &sent)};

		/* in order: a setting counts for the readings that come with it */
		switch (chan_select_with(k, 3, SELECT_ORDERED, FOREVER)) {
		case 0:
			seen = watch_get(s.unit, &unit);
			break;
		case 1:
			seen = watch_get(s.unit, &unit); /* it may have come just now, before the reading */
			printf("%d %c\n", unit == 'F' ? degrees * 9 / 5 + 32 : degrees, unit);
			sema_release(&s.shown, 1);
			break;
		case 2:
			t = NULL; /* joined */
			break;
		default:
			return 1;
		}
	}
	printf("%d readings\n", sent);

	/* The other subscription has slept through it all, and through some more. */
	for (int i = 0; i < 7; i++)
		bcast_send(s.readings, &i);
	if (bsub_recv(slow, &degrees) == WEFT_ELAGGED)
		printf("missed %d\n", (int)bsub_missed(slow));
	bcast_close(s.readings);
	bsub_free(mine);
	bsub_free(slow);
	bcast_free(s.readings);
	watch_free(s.unit);
	return 0;
}
