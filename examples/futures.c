/* SPDX-License-Identifier: MIT
 *
 * futures.c - values that will be there later: tasks that give them, what is made of them, several at once, and a promise kept by hand.
 */
#include <stdio.h>
#include <weft.h>

struct item {
	const char *name;
	int price;     /* 0: not for sale */
	int64_t takes; /* to find out */
};

/* Runs on a task of its own. */
static int look_up(void *arg, void *out)
{
	const struct item *it = arg;
	int rc = task_sleep(it->takes);

	if (rc)
		return rc; /* cancelled: nobody wants to know any more */
	if (!it->price)
		return WEFT_ENOENT;
	*(int *)out = it->price;
	return 0;
}

static int with_tax(const void *value, void *out, void *arg)
{
	(void)arg;
	*(int *)out = *(const int *)value * 119 / 100;
	return 0;
}

/* Gets errors, too. */
static int or_nothing(int status, const void *value, void *out, void *arg)
{
	(void)arg;
	*(int *)out = status ? 0 : *(const int *)value;
	return 0;
}

static void keep(promise *p, int answer)
{
	promise_resolve(p, &answer);
	promise_free(p);
}

static void chain(struct item *it)
{
	future *price = go_future(look_up, it, sizeof(int));
	future *taxed = future_map(price, with_tax, NULL, sizeof(int));
	future *sure = future_then(taxed, or_nothing, NULL, sizeof(int));
	int v = 0, rc;

	rc = future_await(taxed, &v);
	if (rc)
		printf("%s: %s", it->name, weft_strerror(rc));
	else
		printf("%s: %d with tax", it->name, v);
	future_await(sure, &v);
	printf(", counted as %d\n", v);
	future_free(price);
	future_free(taxed);
	future_free(sure);
}

WEFT_MAIN(argc, argv)
{
	struct item items[] = {
		{"tea", 100, MS}, {"milk", 50, 3 * MS}, {"sugar", 20, 2 * MS}, {"salt", 0, MS}, {"saffron", 900, 3600 * SEC}};
	enum { SOLD = 3, ALL = 5 };
	int prices[SOLD], v = 0, i, rc;
	future *fs[ALL], *f;
	promise *p;

	(void)argc;
	(void)argv;
	for (i = 0; i < ALL; i++)
		fs[i] = go_future(look_up, &items[i], sizeof(int));

	rc = future_all(fs, SOLD, prices, 0);
	printf("three prices: %d, %d and %d\n", prices[0], prices[1], prices[2]);
	if (rc)
		return 1;
	i = future_race(fs + SOLD, ALL - SOLD, NULL, 0);
	printf("first of %s and %s: %s, %s\n", items[3].name, items[4].name, items[SOLD + i].name,
	       weft_strerror(future_poll(fs[SOLD + i], NULL)));
	rc = future_all(fs, ALL, NULL, FUTURE_CANCEL_REST); /* one has failed: it does not wait for the saffron, and calls that off */
	printf("all five: %s\n", weft_strerror(rc));
	printf("%s: %s\n", items[4].name, weft_strerror(future_poll(fs[4], NULL)));
	for (i = 0; i < ALL; i++)
		future_free(fs[i]);

	chain(&items[0]);
	chain(&items[3]);

	if (promise_make(sizeof(int), &p, &f) != 0) /* a promise can be kept by whomever, a thread of another library, say */
		return 1;
	if (future_await_until(f, &v, weft_in(MS)) == WEFT_ETIMEDOUT)
		printf("not yet\n");
	if (go(keep, p, 42) != 0)
		return 1;
	if (future_await(f, &v) == 0)
		printf("the promise was kept: %d\n", v);
	future_free(f);

	if (promise_make(sizeof(int), &p, &f) != 0)
		return 1;
	promise_free(p); /* or not */
	printf("another one: %s\n", weft_strerror(future_await(f, &v)));
	future_free(f);
	return 0;
}
