/* SPDX-License-Identifier: MIT
 *
 * fetch_retry.c - fetches something over TCP, with a time limit for each try and a longer pause before each next one.
 *
 * The server is on this machine, and none of the best: it hangs up on the first, keeps the second waiting for ever, and answers the third. Many ask
 * for the same at the same time: a flight fetches it once for all. A limiter keeps the tries apart, whoever makes them.
 */
#include <stdio.h>
#include <string.h>
#include <weft.h>

enum { TRIES = 5, ASKING = 4, TEXT = 64 };

#define EACH (2 * SEC)   /* a try may take so long */
#define PAUSE (2 * MS)   /* before the second try; then twice as long each time */
#define WHOLE (10 * SEC) /* all tries together */

struct fetch {
	const char *at;
	limiter *gentle;
	int tries;
};

/* --- the server --- */

static void serve(tcp_listener *l)
{
	tcp *c, *forgotten = NULL;

	for (int n = 1; tcp_accept(l, &c) == 0; n++) {
		if (n == 2) {
			forgotten = c;
			continue;
		}
		if (n > 2)
			tcp_write(c, "the answer is 42", 16, NULL);
		tcp_close(c);
	}
	tcp_close(forgotten);
	tcp_listener_close(l);
}

/* --- the client --- */

/* One try. 0: out is what came, as a string. */
static int try_once(struct fetch *f, char *out, int64_t deadline)
{
	size_t len = 0;
	ssize_t n = 0;
	tcp *c;
	int rc = tcp_dial_until(&c, f->at, deadline);

	if (rc)
		return rc;
	while (len + 1 < TEXT && (n = tcp_read_until(c, out + len, TEXT - 1 - len, deadline)) > 0)
		len += (size_t)n;
	tcp_close(c);
	out[len] = '\0';
	if (n < 0)
		return (int)n;
	return len ? 0 : WEFT_ECONNRESET; /* it hung up without a word */
}

static int fetch(void *arg, void *out)
{
	struct fetch *f = arg;
	int64_t give_up = weft_in(WHOLE), pause = PAUSE;

	for (int k = 1;; k++) {
		int64_t each = weft_in(EACH);
		int rc = limiter_wait_until(f->gentle, 1, give_up);

		if (!rc)
			rc = try_once(f, out, each < give_up ? each : give_up);
		f->tries = k;
		printf("try %d: %s\n", k, weft_strerror(rc));
		if (rc == 0 || rc == WEFT_ECANCELED || k == TRIES || weft_now() + pause >= give_up)
			return rc;
		rc = task_sleep(pause);
		if (rc)
			return rc;
		pause *= 2;
	}
}

struct asking {
	weft_flight *fl;
	struct fetch *f;
	char text[TEXT];
	int rc;
};

static void ask(struct asking *a, waitgroup *g)
{
	a->rc = flight_do(a->fl, a->f->at, fetch, a->f, a->text);
	wg_done(g);
}

WEFT_MAIN(argc, argv)
{
	struct asking a[ASKING] = {{NULL, NULL, "", 0}};
	char at[WEFT_ADDR_TEXT];
	struct fetch f = {at, limiter_make(1000, SEC, 1), 0};
	weft_flight *fl = flight_make(TEXT);
	waitgroup g = {0};
	tcp_listener *l;
	weft_addr addr;

	(void)argc;
	(void)argv;
	if (!f.gentle || !fl || tcp_listen(&l, "127.0.0.1:0", NULL) != 0 || tcp_listener_addr(l, &addr) != 0)
		return 1;
	addr_format(&addr, at, sizeof at);
	if (go(serve, tcp_listener_ref(l)) != 0)
		return 1;
	for (int i = 0; i < ASKING; i++) {
		a[i].fl = fl;
		a[i].f = &f;
		wg_add(&g, 1);
		if (go(ask, &a[i], &g) != 0)
			return 1;
	}
	wg_wait(&g);
	for (int i = 0; i < ASKING; i++) {
		if (a[i].rc)
			printf("%d: %s\n", i + 1, weft_strerror(a[i].rc));
		else
			printf("%d: %s\n", i + 1, a[i].text);
	}
	printf("%d tries for all\n", f.tries);
	tcp_listener_close(l);
	flight_free(fl);
	limiter_free(f.gentle);
	return 0;
}
