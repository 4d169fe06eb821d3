/* SPDX-License-Identifier: MIT
 *
 * thread_pool.c - a client library that blocks, and whose connections may only be used by the thread that has opened them: a pool with one to a thread, and tasks that ask by the hundred.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

/* --- the library, as it might be found --- */

struct connection {
	pthread_t owner;
	int rows; /* read so far */
};

static struct connection *db_open(void)
{
	struct connection *c = calloc(1, sizeof *c);

	if (c)
		c->owner = pthread_self();
	return c;
}

static int db_read(struct connection *c, int key)
{
	if (!pthread_equal(c->owner, pthread_self()))
		abort(); /* it says so in the manual */
	c->rows++;
	return key * key;
}

static int db_close(struct connection *c)
{
	int rows = c->rows;

	free(c);
	return rows;
}

/* --- its pool --- */

static mutex total_lock;
static int total, connections;

/* On each thread of the pool: first and last. */
static int opens(void **local, void *arg)
{
	(void)arg;
	*local = db_open();
	return *local ? 0 : WEFT_ENOMEM;
}

static void closes(void *local, void *arg)
{
	int rows = db_close(local);

	(void)arg;
	WITH_LOCK (&total_lock) {
		total += rows;
		connections++;
	}
}

/* A job, on one of them. */
static int reads(void *arg)
{
	return db_read(pool_local(), *(const int *)arg);
}

struct request {
	pool *db;
	int key, value;
};

static int handles(void *arg)
{
	struct request *r = arg;

	return pool_call(r->db, reads, &r->key, &r->value); /* the task waits; its worker does not */
}

#define REQUESTS 200

WEFT_MAIN(argc, argv)
{
	static struct request r[REQUESTS];
	int keys[] = {3, 4, 5}, squares[3], sum = 0, rc;
	future *f[3];
	pool *db;

	(void)argc;
	(void)argv;
	rc = pool_make(&db, &(pool_opts){.min = 3, .max = 3, .queue = 16, .name = "db", .init = opens, .fini = closes});
	if (rc)
		return 1;

	for (int i = 0; i < 3; i++)
		rc |= pool_submit(db, reads, &keys[i], &f[i]);
	rc |= future_all(f, 3, squares, 0);
	for (int i = 0; i < 3; i++)
		future_free(f[i]);
	printf("%d %d %d (%d)\n", squares[0], squares[1], squares[2], rc);

	WITH_GROUP (g, .max = 50) {
		for (int i = 0; i < REQUESTS; i++) {
			r[i] = (struct request){.db = db, .key = i};
			rc |= group_go(&g, handles, &r[i]);
		}
		rc |= group_wait(&g);
	}
	for (int i = 0; i < REQUESTS; i++)
		sum += r[i].value == i * i;
	printf("%d answers are right (%d)\n", sum, rc);

	rc = pool_free(db); /* all is done, and all connections are closed */
	printf("%d rows were read, through %s 3 connections (%d)\n", total, connections > 3 ? "more than" : "at most",
	       rc); /* a thread that begins late has none */
	return 0;
}
