/* SPDX-License-Identifier: MIT
 *
 * ping_pong.c - two tasks throw a ball to and fro; whoever catches it at the limit closes the game.
 *
 * Each holds a reference to the channel it uses and gives it back at the end, so that nobody has to know who is the
 * last.
 */
#include <stdio.h>
#include <weft.h>

#define LIMIT 6

struct player {
	const char *name;
	chan *catches, *throws; /* one reference each */
};

static int play(void *arg)
{
	struct player *p = arg;
	int ball;

	while (chan_recv(p->catches, &ball) == 0) { /* WEFT_ECLOSED: the other one has ended the game */
		printf("%s %d\n", p->name, ball);
		if (ball == LIMIT)
			break;
		ball++;
		if (chan_send(p->throws, &ball) != 0)
			break;
	}
	chan_close(p->throws);
	chan_free(p->catches);
	chan_free(p->throws);
	return 0;
}

WEFT_MAIN(argc, argv)
{
	chan *east = chan_make(sizeof(int), 0), *west = chan_make(sizeof(int), 0);
	struct player ping = {"ping", east, west};
	struct player pong = {"pong", chan_ref(west), chan_ref(east)};
	task *a = NULL, *b = NULL;
	int ball = 1, rc;

	(void)argc;
	(void)argv;
	if (!east || !west)
		return 1;
	rc = go_opts(&a, play, &ping, NULL);
	if (rc == 0)
		rc = go_opts(&b, play, &pong, NULL);
	if (rc == 0)
		rc = chan_send(east, &ball);
	if (rc == 0)
		rc = task_join(a, NULL);
	if (rc == 0)
		rc = task_join(b, NULL);
	if (rc != 0)
		fprintf(stderr, "ping_pong: %s\n", weft_strerror(rc));
	return rc != 0;
}
