/* SPDX-License-Identifier: MIT
 *
 * sup_restart.c - what a supervisor does when a child has ended by itself.
 *
 *	is it to be started again?       on_fail, restart                 no: that is all, but for auto_shutdown
 *	has that happened too often?     one more in the ring of times    yes: the supervisor ends
 *	it, or those the strategy names, which are stopped first, wait    until backoff says; without one they are started at once
 *	a start fails                    counted, and tried again         from the loop, so that what comes meanwhile is heard
 *
 * A child that waits by itself is in the heap; a group waits for group_due, and all who wait are started then. So whoever is stopped or deleted meanwhile is simply not among them.
 */
#include "actor/sup.h"

/* --- too often? --- */

uint32_t weft__sup_recent(const struct sup *s)
{
	int64_t now = weft_now();
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->ntimes; i++)
		n += now - s->times[i] <= s->o.within;
	return n;
}

/* One restart more. Returns 0, WEFT_EINTENSITY. */
static int count(struct sup *s, struct child *c)
{
	uint32_t max = (uint32_t)s->o.max_restarts;
	int64_t now = weft_now();

	if (s->times) {
		if (s->ntimes == max && (!max || now - s->times[s->times_at] <= s->o.within)) {
			weft__sup_tell(s, WEFT_SUP_GAVE_UP, c, (weft_end){WEFT_END_CODE, WEFT_EINTENSITY}, 0);
			return WEFT_EINTENSITY;
		}
		s->times[s->times_at] = now; /* in place of the oldest, if there are that many */
		s->times_at = (s->times_at + 1) % max;
		s->ntimes += s->ntimes < max;
	}
	s->restarts++;
	return 0;
}

/* --- when? --- */

static int64_t wait_of(struct sup *s, struct child *c)
{
	const weft_sup_backoff *b = &s->o.backoff;
	double ns = c->wait > 0 ? c->wait * b->mult : (double)b->min;

	if (!b->min)
		return 0;
	if (ns > (double)b->max)
		ns = (double)b->max;
	c->wait = ns;
	if (b->jitter > 0)
		ns -= ns * b->jitter * ((double)(rng_next(&s->rng) >> 11) / 0x1p53);
	return ns < 1 ? 1 : ns >= 0x1p62 ? INT64_MAX / 2 : (int64_t)ns;
}

/* --- one --- */

/* In `wait`, by itself. */
static void later(struct sup *s, struct child *c, int64_t wait)
{
	weft__child_wait(s, c, weft_in(wait));
	if (wait)
		weft__sup_tell(s, WEFT_SUP_WAITING, c, c->why, wait);
}

/* Its time has come. */
static int start_one(struct sup *s, struct child *c)
{
	int rc;

	if (!weft__child_start(s, c)) {
		if (c->state == WEFT_CHILD_DOWN && (sup_dynamic(s) || c->spec->restart == WEFT_TEMPORARY))
			weft__child_leave(s, c); /* its start has ignored it */
		return 0;
	}
	rc = count(s, c);
	if (!rc)
		later(s, c, wait_of(s, c));
	return rc;
}

static int again(struct sup *s, struct child *c)
{
	int64_t wait = wait_of(s, c);

	if (!wait)
		return start_one(s, c);
	later(s, c, wait);
	return 0;
}

/* --- a group --- */

/* All from `from` on (NULL: all) are stopped, in reverse, and wait. Returns as weft__child_stop. */
static int stop_group(struct sup *s, struct child *from)
{
	struct list_node *n, *before;

	for (n = s->children.head.prev; n != &s->children.head; n = before) {
		struct child *c = child_of(n);
		int rc = weft__child_stop(s, c, WEFT_CHILD_WAITING);

		if (rc)
			return rc;
		before = n->prev;
		if (c->spec->restart == WEFT_TEMPORARY)
			weft__child_leave(s, c);
		if (c == from)
			break;
	}
	return 0;
}

static int start_group(struct sup *s);

/* c has ended, or could not be started. */
static int group_again(struct sup *s, struct child *c, bool from_loop)
{
	bool others = s->group_due != WEFT_FOREVER && s->waiting > s->nheap; /* wait for that already */
	int rc = stop_group(s, s->o.strategy == WEFT_REST_FOR_ONE ? c : NULL);
	int64_t wait, due;

	if (rc)
		return rc;
	wait = wait_of(s, c);
	due = weft_in(wait);
	if (others && s->group_due > due) { /* all have waited for as long as they were to */
		wait += s->group_due - due;
		due = s->group_due;
	}
	s->group_due = due;
	if (wait)
		weft__sup_tell(s, WEFT_SUP_WAITING, c, c->why, wait);
	return wait || from_loop ? 0 : start_group(s);
}

/* All who wait, in their order. */
static int start_group(struct sup *s)
{
	struct list_node *n;
	int rc;

	s->group_due = WEFT_FOREVER;
	for (n = list_first(&s->children); n; n = list_after(&s->children, n)) {
		struct child *c = child_of(n);

		if (c->state != WEFT_CHILD_WAITING || c->place /* waits by itself */ || !weft__child_start(s, c))
			continue;
		rc = count(s, c);
		return rc ? rc : group_again(s, c, true);
	}
	return 0;
}

/* --- one has ended --- */

static bool abnormal(weft_end e)
{
	return e.kind != WEFT_END_NORMAL && e.kind != WEFT_END_SHUTDOWN;
}

/* Is there a significant child yet that is up, or will be? */
static bool significant_left(struct sup *s)
{
	for (struct list_node *n = list_first(&s->children); n; n = list_after(&s->children, n)) {
		struct child *c = child_of(n);

		if (c->spec->significant && c->state != WEFT_CHILD_DOWN)
			return true;
	}
	return false;
}

/* It stays down. */
static int let_go(struct sup *s, struct child *c)
{
	bool significant = c->spec->significant;

	if (sup_dynamic(s) || c->spec->restart == WEFT_TEMPORARY)
		weft__child_leave(s, c);
	if (significant && (s->o.auto_shutdown == WEFT_SHUTDOWN_ANY_SIGNIFICANT ||
			    (s->o.auto_shutdown == WEFT_SHUTDOWN_ALL_SIGNIFICANT && !significant_left(s))))
		return weft__sup_end(s, (weft_end){WEFT_END_SHUTDOWN, 0});
	return 0;
}

int weft__sup_ended(struct sup *s, struct child *c, weft_end e)
{
	bool failed = abnormal(e);
	int rc;

	weft__child_gone(s, c);
	c->why = e;
	weft__sup_tell(s, WEFT_SUP_EXITED, c, e, 0);
	if (s->o.backoff.min && weft_now() - c->since > s->o.backoff.max)
		c->wait = 0;
	if (failed && c->spec->on_fail == WEFT_FAIL_ESCALATE)
		return weft__sup_end(s, e);
	if (c->spec->restart == WEFT_TEMPORARY || (c->spec->restart == WEFT_TRANSIENT && !failed) ||
	    (failed && c->spec->on_fail == WEFT_FAIL_TERMINATE))
		return let_go(s, c);
	if (failed && c->spec->on_fail == WEFT_FAIL_RESUME)
		return again(s, c);
	rc = count(s, c);
	if (rc)
		return rc;
	return sup_grouped(s) ? group_again(s, c, false) : again(s, c);
}

/* --- those who wait --- */

int64_t weft__sup_due(const struct sup *s)
{
	return s->nheap && s->heap[0]->due < s->group_due ? s->heap[0]->due : s->group_due;
}

int weft__sup_retry(struct sup *s)
{
	int64_t now = weft_now();

	if (s->group_due <= now)
		return start_group(s);
	return s->nheap && s->heap[0]->due <= now ? start_one(s, s->heap[0]) : 0;
}
