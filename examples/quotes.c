/* SPDX-License-Identifier: MIT
 *
 * quotes.c - a buyer asks several dealers at once, takes offers as they come, and closes its book some time after it has enough: requests, and a message sent later to oneself.
 */
#include <stdio.h>
#include <weft.h>

enum { QUOTE, CLOSE };

struct dealer {
	const char *name;
	int price;
	int64_t takes; /* to find an offer; 0: it never makes one */
};

/* --- a dealer: a server that answers later --- */

struct desk {
	const struct dealer *who;
	weft_from from;
};

static int on_call(void *state, weft_msg *m, weft_from from)
{
	struct desk *d = state;

	(void)m;
	d->from = from;
	return d->who->takes ? server_timeout(d->who->takes) : 0;
}

static int has_found(void *state)
{
	struct desk *d = state;

	return server_answer(d->from, d->who->price); /* nobody is harmed if it comes too late */
}

static const weft_server_vt dealer_vt = {.size = sizeof(struct desk), .call = on_call, .timeout = has_found};

/* --- the buyer --- */

static const struct dealer dealers[] = {{"Ada", 120, 2 * MS}, {"Bob", 95, 6 * MS}, {"Cyd", 90, 0}, {"Dan", 130, 4 * MS}};

#define DEALERS 4
#define ENOUGH 3 /* offers; then there is a last call */

/* Takes offers until the book is closed. */
static void listens(futures *offers, weft_actor_ref self, int price[DEALERS])
{
	int n = 0, closed = 0;
	weft_msg *m = NULL;
	weft_ended e;

	while (!closed) {
		chan_case c[] = {CASE_FUTURES(offers, &e), CASE_MAIL(&m)};

		if (chan_select(c, 2) == 1) {
			closed = m->tag == CLOSE;
			msg_free(m);
			continue;
		}
		if (future_poll(e.f, &price[e.label]) == 0 && ++n == ENOUGH)
			(void)actor_send_after(self, 20 * MS, CLOSE, NULL, 0, WEFT_PRIO_NORMAL, NULL);
		future_free(e.f);
	}
}

static int buys(void *arg)
{
	weft_actor_ref to[DEALERS], self;
	futures *offers = futures_make();
	int price[DEALERS] = {0}, best = -1;
	future *f;

	(void)arg;
	if (!offers || actor_attach(&self, NULL))
		return WEFT_ENOMEM;
	for (int i = 0; i < DEALERS; i++) {
		struct desk d = {.who = &dealers[i]};

		if (server_start(&to[i], &dealer_vt, &d, NULL) || server_request(to[i], QUOTE, NULL, 0, sizeof *price, &f) ||
		    futures_add(offers, f, (uint64_t)i))
			return WEFT_ENOMEM;
	}
	listens(offers, self, price);
	printf("closed, %zu without an answer\n", futures_len(offers));
	futures_free(offers); /* gives those up: an answer that still comes vanishes */
	for (int i = 0; i < DEALERS; i++) {
		if (price[i])
			printf("%s offers at %d\n", dealers[i].name, price[i]);
		if (price[i] && (best < 0 || price[i] < price[best]))
			best = i;
		actor_stop_wait(to[i]);
	}
	printf("%s it is\n", dealers[best].name);
	return 0;
}

WEFT_MAIN(argc, argv)
{
	task *t;
	int rc;

	(void)argc;
	(void)argv;
	if (go_opts(&t, buys, NULL, NULL))
		return 1;
	task_join(t, &rc);
	return rc != 0;
}
