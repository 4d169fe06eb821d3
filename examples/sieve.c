/* SPDX-License-Identifier: MIT
 *
 * sieve.c - the first primes, by a chain of tasks: each lets pass what its own prime does not divide.
 *
 * The chain would go on for ever. All of it runs under one context: cancelling that makes every send and receive in it
 * return WEFT_ECANCELED, and each task gives back what it holds.
 */
#include <stdio.h>
#include <weft.h>

#define PRIMES 20

/* Sends 2, 3, 4, ... Owns a reference to out. */
static void generate(chan *out, waitgroup *g)
{
	for (int i = 2; chan_send(out, &i) == 0; i++)
		;
	chan_free(out);
	wg_done(g);
}

/* Owns a reference to in and one to out. */
static void filter(chan *in, chan *out, int prime, waitgroup *g)
{
	int i;

	while (chan_recv(in, &i) == 0) {
		if (i % prime != 0 && chan_send(out, &i) != 0)
			break;
	}
	chan_free(in);
	chan_free(out);
	wg_done(g);
}

/* Prints primes, making the chain longer by one task for each. `c` is the end of the chain; it gives that back. */
static int sieve(chan *c, waitgroup *g)
{
	int prime, rc;

	for (int n = 0;; n++) {
		chan *next;

		rc = chan_recv(c, &prime);
		if (rc != 0)
			break;
		printf("%d\n", prime);
		if (n + 1 == PRIMES)
			break;
		next = chan_make(sizeof(int), 0);
		if (!next) {
			rc = WEFT_ENOMEM;
			break;
		}
		wg_add(g, 1);
		rc = go(filter, c, chan_ref(next), prime, g);
		if (rc != 0) {
			wg_done(g);
			chan_free(next);
			chan_free(next);
			break;
		}
		c = next;
	}
	chan_free(c);
	return rc;
}

WEFT_MAIN(argc, argv)
{
	ctx *scope = ctx_make(NULL), *up;
	chan *c = chan_make(sizeof(int), 0);
	waitgroup g = {0};
	int rc;

	(void)argc;
	(void)argv;
	if (!scope || !c)
		return 1;
	up = ctx_enter(scope); /* tasks started from here on belong to it */
	wg_add(&g, 1);
	rc = go(generate, chan_ref(c), &g);
	if (rc == 0)
		rc = sieve(c, &g);
	else
		wg_done(&g);
	ctx_leave(up);

	ctx_cancel(scope, WEFT_REASON_CANCELED);
	wg_wait(&g);
	ctx_free(scope);
	if (rc != 0)
		fprintf(stderr, "sieve: %s\n", weft_strerror(rc));
	return rc != 0;
}
