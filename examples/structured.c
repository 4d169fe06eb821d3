/* SPDX-License-Identifier: MIT
 *
 * structured.c - a journey is booked in parts, some of which have parts: groups in groups.  What fails cancels what is still being tried beside it, and
 * whoever began something waits for it: when book() returns, nobody is at work on that journey any more.
 */
#include <stdio.h>
#include <weft.h>

struct trip {
	const char *name;
	bool no_parking; /* there is none left */
	const char *flight, *room, *parking;
	int at_work; /* parts; children of one group at a time change it, each before it ends */
	mutex lock;
};

static void count(struct trip *t, int n)
{
	WEFT_WITH_SHIELD
	{ /* a cancelled task locks nothing otherwise */
		if (mutex_lock(&t->lock) == 0) {
			t->at_work += n;
			mutex_unlock(&t->lock);
		}
	}
}

/* Tries for so long, unless it is cancelled. */
static int try_for(struct trip *t, int64_t ns, const char **state)
{
	int rc;

	count(t, 1);
	rc = task_sleep(ns);
	*state = rc ? "given up" : "booked";
	count(t, -1);
	return rc;
}

static int flight(void *arg)
{
	struct trip *t = arg;

	return try_for(t, t->no_parking ? 10 * SEC : MS, &t->flight);
}

static int room(void *arg)
{
	struct trip *t = arg;

	return try_for(t, t->no_parking ? 10 * SEC : MS, &t->room);
}

static int parking(void *arg)
{
	struct trip *t = arg;

	if (t->no_parking) {
		task_sleep(2 * MS);
		t->parking = "none left";
		return WEFT_ENOENT;
	}
	return try_for(t, MS, &t->parking);
}

/* A part that has parts. */
static int hotel(void *arg)
{
	int rc = 0;

	WITH_GROUP (g) {
		group_go(&g, room, arg);
		group_go(&g, parking, arg);
		rc = group_wait(&g);
	}
	return rc;
}

static int book(struct trip *t)
{
	int rc = 0;

	WITH_GROUP (g) {
		group_go(&g, flight, t);
		group_go(&g, hotel, t);
		rc = group_wait(&g);
	}
	printf("%s: flight %s, room %s, parking %s: %s; %d at work\n", t->name, t->flight, t->room, t->parking,
	       rc ? weft_strerror(rc) : "good journey", t->at_work);
	return rc;
}

WEFT_MAIN(argc, argv)
{
	struct trip rome = {.name = "Rome"}, oslo = {.name = "Oslo", .no_parking = true};

	(void)argc;
	(void)argv;
	return book(&rome) != 0 || book(&oslo) != WEFT_ENOENT;
}
