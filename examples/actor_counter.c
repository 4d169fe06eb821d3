/* SPDX-License-Identifier: MIT
 *
 * actor_counter.c - an actor that counts, another one that looks after it: when it fails, that is one message, and a new one is started.
 */
#include <weft.h>

#include <stdio.h>

enum { ADD, ASK, DIVIDE_BY };

struct counter {
	long n;
};

static int on_msg(void *state, weft_msg *m)
{
	struct counter *c = state;

	switch (m->tag) {
	case ADD:
		c->n += *msg_as(m, long);
		return 0;
	case ASK:
		return actor_tell(m->from, ASK, c->n);
	case DIVIDE_BY:
		if (*msg_as(m, long) == 0)
			return WEFT_EINVAL; /* this ends it */
		c->n /= *msg_as(m, long);
		return 0;
	}
	return 0;
}

static void on_stop(void *state, weft_end e)
{
	struct counter *c = state;

	printf("the counter ends at %ld: %s\n", c->n, weft_end_name(e));
}

static actor_ref start_counter(long first)
{
	struct counter c = {.n = first};
	actor_ref ref;

	if (actor_start(&ref, &(actor_opts){.on_msg = on_msg, .on_stop = on_stop, .state = &c, .size = sizeof c}))
		return NO_ACTOR;
	reg_put("counter", ref);
	actor_monitor(ref, NULL);
	return ref;
}

/* Asks whoever is the counter now. */
static long ask(void)
{
	weft_msg *m;
	long n;

	if (reg_send("counter", ASK, NULL, 0, PRIO_NORMAL) || actor_recv(&m))
		return -1;
	n = *msg_as(m, long);
	msg_free(m);
	return n;
}

WEFT_MAIN(argc, argv)
{
	actor_ref ref;
	weft_msg *m;

	(void)argc;
	(void)argv;
	actor_attach(NULL, NULL); /* main receives, too */
	ref = start_counter(0);
	for (long i = 1; i <= 100; i++)
		actor_tell(ref, ADD, i);
	printf("1 + ... + 100 = %ld\n", ask());

	actor_tell(ref, DIVIDE_BY, 0L);
	if (actor_recv(&m) || m->kind != MSG_DOWN)
		return 1;
	printf("the counter is down: %s, %s\n", weft_end_name(msg_down(m)->end), weft_strerror(msg_down(m)->end.code));
	msg_free(m);
	printf("a message to it: %s\n", actor_tell(ref, ADD, 1L) == WEFT_ESRCH ? "nobody is there" : "?");

	ref = start_counter(1000);
	actor_tell(ref, DIVIDE_BY, 8L);
	printf("1000 / 8 = %ld\n", ask());
	actor_stop_wait(ref);
	return 0;
}
