/* SPDX-License-Identifier: MIT
 *
 * waits.c - debug/: does a dump say which channel a task waits on, how full it is, and who has a slot of it in hand?
 */
#include "rt.h"

#include "dumped.h"
#include <pthread.h>

static weft_chan *opened(weft_chan_opts o)
{
	weft_chan *c;

	T_EQ(weft_chan_open(&c, &o), 0);
	return c;
}

static int sends(void *arg)
{
	return weft_chan_send(arg, "01234567");
}

static int receives(void *arg)
{
	return weft_chan_recv(arg, NULL);
}

static int reserves(void *arg)
{
	void *slot;

	return weft_chan_reserve(arg, &slot);
}

static int peeks(void *arg)
{
	void *slot;

	return weft_chan_peek(arg, &slot);
}

static weft_task *named(weft_task_fn *fn, void *arg, const char *name)
{
	weft_task *t;

	T_EQ(weft_go_opts(&t, fn, arg, &(weft_task_opts){.name = name}), 0);
	until_parked(t);
	return t;
}

static void says(weft_task *t, const char *name, const char *what)
{
	char head[64], line[256], *text = dumped();

	T_EQ(weft_task_stateof(t), WEFT_TASK_PARKED);
	snprintf(head, sizeof head, " \"%s\": ", name);
	snprintf(line, sizeof line, "\n    waits %s\n", what);
	T_STR_HAS(part_of(text, head), line);
	free(text);
}

static void end(weft_task *t, int rc)
{
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), rc);
}

/* --- one channel --- */

static int kinds_main(void *arg)
{
	weft_chan *jobs = opened((weft_chan_opts){.elem = 8, .cap = 2, .name = "jobs"});
	weft_chan *plain = weft_chan_make(1, 0);
	weft_chan *endless = opened((weft_chan_opts){.elem = 4, .cap = WEFT_CHAN_UNBOUNDED, .name = "an ill\nname"});
	char what[128];
	weft_task *t;

	(void)arg;
	t = named(receives, jobs, "r");
	says(t, "r", "to receive from \"jobs\" (8 bytes, cap 2, 0 in it)");
	end(t, WEFT_ECANCELED);
	for (int i = 0; i < 2; i++)
		T_EQ(weft_chan_send(jobs, "01234567"), 0);
	t = named(sends, jobs, "s");
	says(t, "s", "to send to \"jobs\" (8 bytes, cap 2, 2 in it)");
	end(t, WEFT_ECANCELED);

	t = named(sends, plain, "p");
	snprintf(what, sizeof what, "to send to channel %p (1 byte, cap 0)", (void *)plain);
	says(t, "p", what);
	end(t, WEFT_ECANCELED);

	t = named(receives, endless, "e");
	says(t, "e", "to receive from \"an ill?name\" (4 bytes, no bound, 0 in it)");
	end(t, WEFT_ECANCELED);

	t = named(receives, NULL, "n");
	says(t, "n", "to receive from a NULL channel, for ever");
	end(t, WEFT_ECANCELED);
	weft_chan_free(jobs);
	weft_chan_free(plain);
	weft_chan_free(endless);
	return 0;
}

TEST_WORKERS(the_channel_is_named)
{
	run(kinds_main, NULL);
}

/* --- who holds it --- */

static int held_main(void *arg)
{
	weft_chan *c = opened((weft_chan_opts){.elem = 8, .cap = 2, .name = "slots"});
	weft_task *t, *next;
	unsigned long long holder;
	char what[128], *text;
	void *slot;

	(void)arg;
	T_EQ(weft_chan_reserve(c, &slot), 0);
	t = named(sends, c, "s");
	snprintf(what, sizeof what, "to send to \"slots\" (8 bytes, cap 2, 0 in it), reserved by task %llu",
		 (unsigned long long)weft_task_id(weft_task_self()));
	says(t, "s", what);
	next = named(reserves, c, "r");
	T_EQ(weft_chan_abort(c), 0);
	T_EQ(finish(t), 0);
	T_EQ(finish(next), 0); /* it was given the tail while it waited */
	t = named(sends, c, "s");
	text = dumped();
	T_STR_HAS(part_of(text, " \"s\": "), "1 in it), reserved by task ");
	T_EQ(sscanf(strstr(part_of(text, " \"s\": "), "reserved by task "), "reserved by task %llu", &holder), 1);
	T_NE(holder, weft_task_id(weft_task_self())); /* not by main any more */
	free(text);
	T_EQ(weft_chan_abort(c), 0);
	T_EQ(finish(t), 0);

	T_EQ(weft_chan_peek(c, &slot), 0);
	T_EQ(weft_chan_close(c), 0); /* whoever receives waits for the release all the same */
	t = named(peeks, c, "p");
	snprintf(what, sizeof what, "to receive from \"slots\" (8 bytes, cap 2, 2 in it, closed), peeked at by task %llu",
		 (unsigned long long)weft_task_id(weft_task_self()));
	says(t, "p", what);
	T_EQ(weft_chan_release(c), 0);
	T_EQ(finish(t), 0);
	T_EQ(weft_chan_release(c), 0);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(who_holds_a_slot_is_named)
{
	run(held_main, NULL);
}

static void *peeks_and_goes(void *arg)
{
	void *slot;

	T_EQ(weft_chan_peek(arg, &slot), 0);
	return NULL;
}

static int held_by_thread_main(void *arg)
{
	weft_chan *c = weft_chan_make(8, 1);
	pthread_t thread;
	weft_task *t;
	char *text;

	(void)arg;
	T_EQ(weft_chan_send(c, "01234567"), 0);
	T_EQ(pthread_create(&thread, NULL, peeks_and_goes, c), 0);
	T_EQ(pthread_join(thread, NULL), 0);
	t = named(receives, c, "r");
	text = dumped();
	T_STR_HAS(part_of(text, " \"r\": "), "(8 bytes, cap 1, 1 in it), peeked at by thread ");
	free(text);
	T_EQ(weft_chan_release(c), 0);
	T_EQ(weft_chan_send(c, "01234567"), 0);
	T_EQ(finish(t), 0);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(a_thread_that_holds_a_slot_is_named)
{
	run(held_by_thread_main, NULL);
}

/* --- select --- */

struct ways {
	weft_chan *in, *out;
	int n;
};

static int selects(void *arg)
{
	struct ways *k = arg;
	weft_case c[40];
	int n = 0;

	c[n++] = WEFT_RECV(k->in, NULL);
	c[n++] = WEFT_SEND(k->out, "01234567");
	c[n++] = WEFT_RECV(NULL, NULL);
	while (n < k->n)
		c[n++] = WEFT_RECV(k->in, NULL);
	return weft_chan_select(c, n);
}

static int select_main(void *arg)
{
	struct ways k = {opened((weft_chan_opts){.elem = 8, .cap = 1, .name = "in"}), opened((weft_chan_opts){.elem = 8, .name = "out"}),
			 3};
	weft_task *t;

	(void)arg;
	t = named(selects, &k, "few");
	says(t, "few", "to receive from \"in\" (8 bytes, cap 1, 0 in it)\n    waits to send to \"out\" (8 bytes, cap 0)");
	end(t, WEFT_ECANCELED);
	k.n = 40;
	t = named(selects, &k, "many");
	says(t, "many", "to send to \"out\" (8 bytes, cap 0)");
	says(t, "many", "for 31 other cases of its select");
	end(t, WEFT_ECANCELED);
	weft_chan_free(k.in);
	weft_chan_free(k.out);
	return 0;
}

TEST_WORKERS(the_channels_of_a_select_are_named)
{
	run(select_main, NULL);
}

/* --- foreign threads --- */

static void *receives_too(void *arg)
{
	T_EQ(weft_chan_recv(arg, NULL), 0);
	return NULL;
}

static int thread_main(void *arg)
{
	weft_chan *c = opened((weft_chan_opts){.elem = 8, .cap = 1, .name = "for threads"});
	weft_chan_stat st = {.len = 0};
	pthread_t thread;
	char *text;

	(void)arg;
	T_EQ(pthread_create(&thread, NULL, receives_too, c), 0);
	until((weft_chan_stats(c, &st), st.receivers == 1));
	text = dumped();
	T_STR_HAS(part_of(text, ": parked, chan receive"), "\n    waits to receive from \"for threads\" (8 bytes, cap 1, 0 in it)");
	free(text);
	T_EQ(weft_chan_send(c, "01234567"), 0);
	T_EQ(pthread_join(thread, NULL), 0);
	weft_chan_free(c);
	return 0;
}

TEST_WORKERS(the_channel_of_a_foreign_thread_is_named)
{
	run(thread_main, NULL);
}

/* --- while they move --- */

struct traffic {
	ATOMIC(int) stop;
};

static int passes(void *arg)
{
	struct traffic *k = arg;

	while (!load_relaxed(&k->stop)) {
		weft_chan *c = opened((weft_chan_opts){.elem = 8, .cap = 1, .name = "short-lived"});
		weft_task *t = start(receives, c);

		weft_task_yield();
		T_EQ(weft_chan_send(c, "01234567"), 0);
		T_EQ(finish(t), 0);
		weft_chan_free(c);
	}
	return 0;
}

static int moving_main(void *arg)
{
	struct traffic k = {.stop = 0};
	weft_task *t[8];

	(void)arg;
	for (int i = 0; i < 8; i++)
		t[i] = start(passes, &k);
	for (long i = 0; i < tap_iters(20); i++) {
		char *text = dumped();

		for (const char *at = text; (at = strstr(at, "\n    waits ")) != NULL; at++)
			T_OK(strncmp(at, "\n    waits to receive from \"short-lived\" (8 bytes, cap 1, ", 57) == 0);
		free(text);
		weft_task_yield();
	}
	store_relaxed(&k.stop, 1);
	for (int i = 0; i < 8; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* What is read of a channel that is about to be freed is told only if its task stood still. */
TEST_WORKERS(channels_come_and_go_while_they_are_dumped)
{
	tap_limit(60);
	run(moving_main, NULL);
}
