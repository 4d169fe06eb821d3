/* SPDX-License-Identifier: MIT
 *
 * options.c - channels with options: a log without a bound, which says when it grows, has a limit all the same, and gives back what nobody took; and a ring for one sender
 * and one receiver.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

CHAN_DEFINE(char *, lines);
CHAN_DEFINE(int, ints);

static int unwritten;

static void grows(chan *c, size_t len, void *arg)
{
	(void)arg;
	printf("%s: %zu lines wait\n", chan_name(c), len);
}

/* For each that is left when the channel is freed. */
static void drop(void *elem)
{
	char *line;

	memcpy(&line, elem, sizeof line);
	free(line);
	unwritten++;
}

static void count_to(ints *out, int n, waitgroup *g)
{
	for (int i = 1; i <= n; i++) {
		if (ints_send(out, i) != 0)
			break;
	}
	ints_close(out);
	wg_done(g);
}

WEFT_MAIN(argc, argv)
{
	lines *log;
	ints *ring;
	waitgroup g = {0};
	char *line;
	int rc = 0, sum = 0;

	(void)argc;
	(void)argv;

	/* No bound: sending never waits. From 8 lines on somebody should look into it; 16 are too many. */
	if (lines_open(&log, &(chan_opts){.cap = CHAN_UNBOUNDED,
					  .name = "log",
					  .high = 8,
					  .on_high = grows,
					  .max_bytes = 16 * sizeof(char *),
					  .dtor = drop}) != 0)
		return 1;
	for (int i = 0; rc == 0; i++) {
		char text[32];

		snprintf(text, sizeof text, "line %d", i);
		line = strdup(text);
		rc = line ? lines_send(log, line) : WEFT_ENOMEM;
		if (rc != 0) {
			printf("%s not sent: %s\n", text, weft_strerror(rc));
			free(line);
		}
	}
	for (int i = 0; i < 3 && lines_recv(log, &line) == 0; i++) {
		printf("%s\n", line);
		free(line);
	}
	lines_free(log);
	printf("%d lines were never written\n", unwritten);

	/* A promise: one task sends, one receives. It changes nothing but the speed. */
	wg_add(&g, 1);
	if (ints_open(&ring, &(chan_opts){.cap = 64, .mode = WEFT_CHAN_SPSC}) != 0 || go(count_to, ring, 1000, &g) != 0)
		return 1;
	chan_foreach (ring, int, n)
		sum += n;
	printf("the sum is %d\n", sum);
	wg_wait(&g);
	ints_free(ring);
	return 0;
}
