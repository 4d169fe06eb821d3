/* SPDX-License-Identifier: MIT
 *
 * home.c - who calls from outside: tasks of other runtimes, and threads.
 *
 * A node's tasks, frames and locks are all of one runtime, its home. For a task of that one every call is a function call. For anybody else a task of home's does the work, on copies (struct away), and is joined: its runtime, or the
 * caller's, may go down in the middle, and then what each has left behind is in no table and holds no lock of the other's.
 *
 *   caller's runtime goes   the context ends with the caller's, so the task ends as one of a caller who is cancelled; the copies are lost, as all that a task holds which is left
 *   home goes               joins say so (WEFT_ECANCELED under a shield); nothing of the node is touched any more but by weft_erl_stop
 *
 * Of n itself a caller touches here what is constant, the entries, and the group's context, which is there as long as an entry is not shut and empty.
 */
#include "erl/erl.h"

#include <stdlib.h>
#include <string.h>
#include <weft/several.h>
#include <weft/task.h>

#define TERM_MAX ((size_t)1 << 30) /* what is longer is refused, and not copied */

/* An errand that a task of home's runs; its caller's to free, once that task has ended. */
struct away {
	struct errand e; /* points to what follows */
	weft_erl *n;
	int rc;
	weft_ctx *ctx;
	weft_task *task;
	erlang_pid pid;
	union {
		weft_actor_ref ref;
		erlang_pid pid;
		weft_erl_stat stat;
	} out;
	char bytes[];
};

/* --- entries --- */

bool weft__erl_in(struct entry *d)
{
	uint32_t v = weft_load_relaxed(&d->inside); /* checked by the compare-and-swap */

	do {
		if (v & ENTRY_SHUT)
			return false;
	} while (!weft_cas_acq_rel(&d->inside, &v, v + 1));
	return true;
}

void weft__erl_out(struct entry *d)
{
	if (weft_add_acq_rel(&d->inside, (uint32_t)-1) == (ENTRY_SHUT | 1u)) /* what was done inside is seen by who has shut it */
		weft_event_set(&d->empty);                                   /* d is gone */
}

void weft__erl_shut(struct entry *d)
{
	uint32_t v = weft_load_acquire(&d->inside); /* pairs with weft__erl_out: it may have been shut by somebody who was left */

	while (!(v & ENTRY_SHUT) && !weft_cas_acq_rel(&d->inside, &v, v | ENTRY_SHUT))
		;
	if (v == 0) /* nobody is inside; else the last to leave does it, and is in d until then */
		weft_event_set(&d->empty);
	(void)weft_event_wait(&d->empty);
}

/* --- away --- */

bool weft__erl_at_home(const weft_erl *n)
{
	return weft_task_self() && weft_runtime_self() == n->home;
}

static char *copy(char **at, const void *p, size_t n)
{
	char *to = *at;

	memcpy(to, p, n);
	*at += n;
	return to;
}

static struct away *away_make(weft_erl *n, const struct errand *e)
{
	size_t name = e->to.name ? strlen(e->to.name) + 1 : 0, node = e->to.node ? strlen(e->to.node) + 1 : 0;
	size_t term = e->term && e->len < TERM_MAX ? e->len : 0;
	struct away *a = malloc(sizeof *a + name + node + term);
	char *at;

	if (!a)
		return NULL;
	*a = (struct away){.e = *e, .n = n};
	at = a->bytes;
	if (name)
		a->e.to.name = copy(&at, e->to.name, name);
	if (node)
		a->e.to.node = copy(&at, e->to.node, node);
	if (e->term)
		a->e.term = copy(&at, e->term, term);
	if (e->to.pid) {
		a->pid = *e->to.pid;
		a->e.to.pid = &a->pid;
	}
	a->e.out = &a->out;
	return a;
}

static void away_free(struct away *a)
{
	weft_ctx_free(a->ctx);
	free(a);
}

static int runs(void *arg)
{
	struct away *a = arg;
	weft_erl *n = a->n;

	a->rc = a->e.fn(n, &a->e);
	if ((a->rc == WEFT_ECANCELED || a->rc == WEFT_ETIMEDOUT) && weft__erl_cut_off(n))
		a->rc = WEFT_ECLOSED;
	weft__erl_out(&n->users);
	return 0;
}

weft_ctx *weft__erl_ctx_of_caller(weft_erl *n)
{
	weft_ctx *above = weft_group_ctx(&n->group);

	return weft_task_self() ? weft_ctx_linked(NULL, above) : weft_ctx_make(above); /* a thread is under none */
}

/* A thread cannot wait that has no memory to do so, which is better known before. */
int weft__erl_may_wait(void)
{
	weft_mutex m = {0};
	int rc;

	if (weft_task_self())
		return 0;
	rc = weft_mutex_lock(&m);
	if (rc == 0)
		weft_mutex_unlock(&m);
	return rc;
}

static int start_inside(weft_erl *n, struct away *a)
{
	int rc;

	if (weft__erl_cut_off(n) || !weft__erl_in(&n->users)) /* home may have gone, and its handle be another's */
		return WEFT_ECLOSED;
	a->ctx = weft__erl_ctx_of_caller(n);
	rc = a->ctx ? weft_runtime_go(n->home, &a->task, runs, a, &(weft_task_opts){.name = "erl errand", .ctx = a->ctx}) : WEFT_ENOMEM;
	if (rc)
		weft__erl_out(&n->users);
	return rc == WEFT_ESRCH ? WEFT_ECLOSED : rc;
}

static int start(weft_erl *n, struct away *a)
{
	int rc = WEFT_ECLOSED;

	if (weft__erl_in(&n->guests)) {
		rc = start_inside(n, a);
		weft__erl_out(&n->guests);
	}
	return rc;
}

int weft__erl_join(weft_task *t, weft_ctx *ctx, int *own)
{
	int rc = weft_task_join(t, NULL);

	*own = rc;
	if (rc) {
		(void)weft_ctx_cancel(ctx, 0);
		WEFT_WITH_SHIELD
		{
			rc = weft_task_join(t, NULL); /* what has become of it is what counts */
		}
	}
	if (rc)
		weft_task_detach(t);
	return rc;
}

/* n may be gone. */
static int come_back(struct away *a, struct errand *e)
{
	int own, rc;

	if (weft__erl_join(a->task, a->ctx, &own) != 0)
		return WEFT_ECLOSED;
	rc = a->rc;
	e->got = a->e.got;
	if (rc == 0 && e->out)
		memcpy(e->out, &a->out, e->size);
	if (rc != WEFT_ECANCELED && rc != WEFT_ETIMEDOUT)
		return rc;
	if (own == 0)
		own = weft_ctx_check();
	return own ? own : rc == WEFT_ECANCELED ? WEFT_ECLOSED : rc;
}

static int go_away(weft_erl *n, struct errand *e)
{
	int rc = weft__erl_may_wait();
	struct away *a;

	if (rc)
		return rc;
	a = away_make(n, e);
	if (!a)
		return WEFT_ENOMEM;
	rc = start(n, a);
	if (rc == 0)
		rc = come_back(a, e);
	away_free(a);
	return rc;
}

/* Why a call that may wait does not begin; or 0. */
static int may_begin(int64_t deadline)
{
	int rc = weft_ctx_check();

	if (rc == 0 && deadline != WEFT_NOW && deadline != WEFT_FOREVER && deadline <= weft_now())
		rc = WEFT_ETIMEDOUT;
	return rc;
}

int weft__erl_do(weft_erl *n, struct errand *e)
{
	int rc = e->at_once ? 0 : may_begin(e->deadline);

	if (rc)
		return rc;
	if (likely(weft__erl_at_home(n))) {
		if (!weft__erl_in(&n->users))
			return WEFT_ECLOSED;
		rc = e->fn(n, e);
		weft__erl_out(&n->users);
	} else if (e->at_once) {
		WEFT_WITH_SHIELD
		{
			rc = go_away(n, e);
		}
	} else {
		rc = go_away(n, e);
	}
	return rc;
}
