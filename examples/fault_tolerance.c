/* SPDX-License-Identifier: MIT
 *
 * fault_tolerance.c - a service that breaks and comes back, and what its callers put between themselves and it: a bulkhead, a breaker, retries from a budget.
 *
 * From the outside in: retry (a failure may pass), breaker (but not if it goes on), bulkhead (and never all tasks at once). A call that is refused costs the service nothing.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <weft.h>

enum { ROOM = 4, ASKING = 20 };

struct service {
	bool broken;
	atomic_int calls, now, too_many;
	bulkhead *room;
	breaker *fuse;
	weft_retry_budget *budget;
};

static int answer(void *arg)
{
	struct service *s = arg;

	atomic_fetch_add(&s->calls, 1);
	if (atomic_fetch_add(&s->now, 1) >= ROOM)
		atomic_fetch_add(&s->too_many, 1);
	task_yield(); /* others come in meanwhile */
	atomic_fetch_sub(&s->now, 1);
	return s->broken ? WEFT_ECONNRESET : 0;
}

static int with_room(void *arg)
{
	struct service *s = arg;

	return bulkhead_call(s->room, answer, s);
}

static int behind_fuse(void *arg)
{
	struct service *s = arg;

	return breaker_call(s->fuse, with_room, s);
}

static int ask(struct service *s, retry_report *r)
{
	return retry(&(retry_opts){.tries = 4, .backoff = {.base = MS, .cap = 4 * MS}, .budget = s->budget, .report = r}, behind_fuse, s);
}

static void asks_once(struct service *s, atomic_int *ok, waitgroup *g)
{
	if (ask(s, NULL) == 0)
		atomic_fetch_add(ok, 1);
	wg_done(g);
}

static void says(const weft_breaker_change *c, void *arg)
{
	static const char *const names[] = {"closed", "open", "half open"};

	(void)arg;
	if (c->from != c->to)
		printf("  the breaker: %s -> %s\n", names[c->from], names[c->to]);
}

WEFT_MAIN(argc, argv)
{
	struct service s = {.broken = false};
	waitgroup g = {0};
	retry_report r;
	atomic_int ok = 0;
	int rc;

	(void)argc;
	(void)argv;
	rc = bulkhead_make(&s.room, &(bulkhead_opts){.max = ROOM, .line.max = -1});
	if (!rc)
		rc = breaker_make(&s.fuse, &(breaker_opts){.in_a_row = 3, .open_for = 3600 * SEC, .changed = says});
	if (!rc)
		rc = retry_budget_make(&s.budget, &(weft_retry_budget_opts){.most = 10});
	if (rc) {
		fprintf(stderr, "fault_tolerance: %s\n", weft_strerror(rc));
		return 1;
	}

	printf("all is well\n");
	wg_add(&g, ASKING);
	for (int i = 0; i < ASKING; i++) {
		if (go(asks_once, &s, &ok, &g) != 0)
			return 1;
	}
	wg_wait(&g);
	printf("  %d ask at once: %d answers, %s\n", ASKING, (int)ok, s.too_many ? "too many at a time" : "at most four at a time");

	printf("the service breaks\n");
	s.broken = true;
	s.calls = 0;
	rc = ask(&s, &r);
	printf("  one asks: %s; %d calls were made\n", weft_strerror(rc), (int)s.calls);
	rc = ask(&s, &r);
	printf("  another: %s; %d calls were made\n", weft_strerror(rc), (int)s.calls);

	printf("the service is repaired\n");
	s.broken = false;
	rc = ask(&s, &r);
	printf("  one asks: %s\n", weft_strerror(rc)); /* it would be an hour */
	breaker_trip(s.fuse, MS);                      /* somebody knows better */
	while ((rc = ask(&s, &r)) == WEFT_EOPEN)
		task_sleep(MS);
	printf("  one asks after a while: %s, in %d try\n", weft_strerror(rc), r.tries);

	bulkhead_free(s.room);
	breaker_free(s.fuse);
	retry_budget_free(s.budget);
	return 0;
}
