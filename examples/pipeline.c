/* SPDX-License-Identifier: MIT
 *
 * pipeline.c - numbers, their squares, those that end in 6: each stage a task, until the reader has had enough.
 *
 * A stage ends in two ways.  What it reads from is closed and empty: it closes what it writes to, and so the end travels down.  Or the reader stops early: it
 * cancels the context that all stages run under, their sends and receives return WEFT_ECANCELED, and none is left waiting for ever.
 */
#include <stdio.h>
#include <weft.h>

/* 1 .. last */
static void numbers(chan *out, int last, waitgroup *g)
{
	for (int i = 1; i <= last; i++) {
		if (chan_send(out, &i) != 0)
			break;
	}
	chan_close(out);
	wg_done(g);
}

static void squares(chan *in, chan *out, waitgroup *g)
{
	int i;

	while (chan_recv(in, &i) == 0) {
		i *= i;
		if (chan_send(out, &i) != 0)
			break;
	}
	chan_close(out);
	wg_done(g);
}

static void ending_in(chan *in, chan *out, int digit, waitgroup *g)
{
	int i;

	while (chan_recv(in, &i) == 0) {
		if (i % 10 == digit && chan_send(out, &i) != 0)
			break;
	}
	chan_close(out);
	wg_done(g);
}

/* Prints what comes out of the pipeline, at most `most` of it. */
static int run(int last, int most)
{
	chan *c[] = {chan_make(sizeof(int), 0), chan_make(sizeof(int), 0), chan_make(sizeof(int), 0)};
	ctx *scope = ctx_make(NULL), *up;
	waitgroup g = {0};
	int i, rc, n = 0;

	if (!c[0] || !c[1] || !c[2] || !scope)
		return WEFT_ENOMEM;
	up = ctx_enter(scope); /* tasks started from here on are under it */
	wg_add(&g, 3);
	rc = go(numbers, c[0], last, &g);
	if (rc == 0)
		rc = go(squares, c[0], c[1], &g);
	if (rc == 0)
		rc = go(ending_in, c[1], c[2], 6, &g);
	ctx_leave(up);
	if (rc != 0)
		return rc; /* and the program ends */

	while (n < most && (rc = chan_recv(c[2], &i)) == 0) {
		printf("%d\n", i);
		n++;
	}
	printf("%s after %d\n", rc == WEFT_ECLOSED ? "ended" : "stopped", n);

	ctx_cancel(scope, WEFT_REASON_CANCELED); /* if it has ended, of no effect */
	rc = wg_wait(&g);
	ctx_free(scope);
	for (i = 0; i < 3; i++)
		chan_free(c[i]);
	return rc;
}

WEFT_MAIN(argc, argv)
{
	int rc = run(30, 100);

	if (rc == 0)
		rc = run(1000000, 3);
	if (rc != 0)
		fprintf(stderr, "pipeline: %s\n", weft_strerror(rc));
	return rc != 0;
}
