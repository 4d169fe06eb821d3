/* SPDX-License-Identifier: MIT
 *
 * ctx_root.c - the end of the root context: the runtime is being shut down.
 *
 * The root keeps neither its tasks nor its contexts in lists: starting a task, and making a context for a moment, must not meet at a lock of everybody's.  So its end reaches
 *   - tasks by a walk over all records, which sets CANCEL_ROOT in each cancel word, also of those under other contexts: it does not count for one that is shielded, or under a
 *     context that is not cancelled with the root (CANCEL_APART);
 *   - tasks that are started from then on by rt->born, the word that their record begins with.  A start that has read it just before, and has stored it just after the walk
 *     came by, is found by a second walk, when no worker runs a task (life.c);
 *   - those who ask a context: reason and cause look at the root's, too (ctx_root_ended);
 *   - those who wait for a context's end and do not end with the root themselves (threads, tasks that are shielded or apart), callbacks, and tasks of other runtimes that run under a context, by the list of contexts
 *     that such have waited for, or are under: it is `heard` from the first time on, and cancelled then like any other.
 *
 * With a runtime of weft_make its root ends in any case, and for good: when its tasks run no more (weft__ctx_root_down). The next one with that number has another run, by which its contexts are told from those that are left of
 * the one before. The root of weft_run's is the same for all of them.
 *
 * Tasks of weft's own that serve the process, and end when there is nothing to do, run under a context that is apart.  They are not waited for (life.c).
 */
#include "core/ctx.h"

#include "base/ref.h"
#include "core/life.h"
#include "core/recslab.h"

weft_ctx weft__roots[RUNTIMES_MAX + 1];
static ATOMIC(uint32_t) ended; /* of how many runtimes the root has ended */
static weft_ctx service = {.refs = 1, .deadline = WEFT_FOREVER, .apart = true, .off_root = true};

static struct lock heard_lock; /* RANK_CTX; none of a context is taken under it */
static struct list heard;      /* contexts, by heard_link; under heard_lock */
static struct lock walk_lock;  /* RANK_CTX; a record is looked at and marked in one, against weft__foreign */

weft_ctx *weft__ctx_root(void)
{
	struct worker *w = weft__worker();
	uint32_t run = w ? 0 : weft__thread_run();

	if (w)
		return &weft__roots[w->home];
	return &weft__roots[!run ? 0 : weft__run_is_up(run) ? run % RUNTIMES_MAX : ROOT_GONE];
}

weft_ctx *weft__ctx_service(void)
{
	return &service;
}

/* --- contexts that are to be told --- */

bool weft__ctx_heard(weft_ctx *c)
{
	if (c->off_root)
		return false;
	if (!load_acquire(&c->heard)) { /* pairs with the store below: it is in the list */
		lock_take(&heard_lock, RANK_CTX);
		if (!load_relaxed(&c->heard)) { /* under lock */
			list_push_tail(&heard, &c->heard_link);
			store_release(&c->heard, true); /* pairs with the load above */
		}
		lock_drop(&heard_lock);
	}
	return ctx_root_ended(c); /* or it was in the list before the root's end */
}

void weft__ctx_unheard(weft_ctx *c)
{
	if (!load_relaxed(&c->heard)) /* nobody else has c any more, or it is found without a reference */
		return;
	lock_take(&heard_lock, RANK_CTX);
	list_remove(&c->heard_link);
	lock_drop(&heard_lock);
}

static void tell_heard(struct runtime *rt)
{
	struct list todo, *l = &todo;
	struct list_node *n, *next;
	weft_ctx *c;

	list_init(l);
	lock_take(&heard_lock, RANK_CTX);
	for (n = list_first(&heard); n; n = next) { /* those that come now see the root's end; others' roots are being told of by others */
		next = list_after(&heard, n);
		if (container_of(n, weft_ctx, heard_link)->home != rt->home)
			continue;
		list_remove(n);
		list_push_tail(l, n);
	}
	lock_drop(&heard_lock);
	do {
		lock_take(&heard_lock, RANK_CTX);
		n = list_pop_head(l);
		c = n ? container_of(n, weft_ctx, heard_link) : NULL;
		if (n)
			list_push_tail(&heard, n);
		if (c && !weft__ctx_ref_unless_last(c))
			c = NULL;
		lock_drop(&heard_lock);
		if (c) {
			(void)weft__ctx_cancel_as(c, WEFT_REASON_SHUTDOWN, NULL); /* or it was before */
			weft_ctx_free(c);
		}
	} while (n);
}

/* --- tasks --- */

struct walk {
	struct runtime *rt;
	struct ready_list ready;
};

static bool mark(void *rec, void *arg)
{
	struct weft_task *t = rec;
	struct walk *w = arg;
	uint32_t was;

	lock_take(&walk_lock, RANK_CTX);
	if (weft__task_alive(t, load_acquire(&t->state)) && task_of(t, w->rt)) { /* pairs with those who store it with release */
		was = load_relaxed(&t->cancel);                                  /* checked by the compare-and-swap */
		san_release(&t->cancel);
		while (!(was & CANCEL_ROOT) &&
		       !cas_acq_rel(&t->cancel, &was, was | CANCEL_ROOT)) /* made visible to the task by asym_heavy */
			;
	}
	lock_drop(&walk_lock);
	return true;
}

static bool claim(void *rec, void *arg)
{
	struct walk *w = arg;
	struct weft_task *t = rec;

	if (weft__task_alive(t, load_acquire(&t->state)) && task_of(t, w->rt)) /* as in mark */
		weft__ctx_claim(t, &w->ready);
	return true;
}

/* Also again: tasks that have the bit, and wait all the same, are shielded. */
void weft__ctx_root_walk(struct runtime *rt)
{
	struct worker *w = weft__worker(); /* before anything is claimed: see base/solo.h */
	struct walk walk = {.rt = rt};

	ready_list_init(&walk.ready);
	weft__rec_foreach(mark, &walk);
	asym_heavy(); /* pairs with asym_light in weft__wait_park */
	weft__rec_foreach(claim, &walk);
	weft__ready_list(w, walk.ready.first);
}

int weft__ctx_root_cancel(struct runtime *rt)
{
	int rc = weft__ctx_cancel_as(&weft__roots[rt->home], WEFT_REASON_SHUTDOWN, NULL);

	if (rc)
		return rc;
	add_relaxed(&ended, 1u);               /* made visible by the fence, as is the next */
	store_relaxed(&rt->born, CANCEL_ROOT); /* made visible by the fence */
	asym_heavy();                          /* pairs with asym_light in weft__ctx_foreign; starts from here on see rt->born */
	weft__ctx_root_walk(rt);
	tell_heard(rt);
	return 0;
}

/* t has just become a thread's: a walk that took it for a task has marked it, or has not looked yet. */
void weft__ctx_foreign(struct weft_task *t)
{
	asym_light(); /* pairs with asym_heavy in weft__ctx_root_cancel */
	if (likely(!load_relaxed(&ended)))
		return;
	lock_take(&walk_lock, RANK_CTX);
	store_relaxed(&t->cancel, 0u); /* under lock */
	lock_drop(&walk_lock);
}

/* Tasks of rt, one of weft_make's, run no more: others that are under its contexts, or wait for their ends, are told. */
void weft__ctx_root_down(struct runtime *rt)
{
	if (!rt->home || weft__ctx_cancel_as(&weft__roots[rt->home], WEFT_REASON_SHUTDOWN, NULL)) /* or it was shut down */
		return;
	add_relaxed(&ended, 1u); /* until weft__ctx_root_over */
	tell_heard(rt);
}

/* The runtime has gone down, and nobody walks for it any more: weft_run's next one begins anew. */
void weft__ctx_root_over(struct runtime *rt)
{
	weft_ctx *root = &weft__roots[rt->home];

	lock_take(&root->lock, RANK_CTX);
	if (load_relaxed(&root->reason))           /* under lock */
		add_relaxed(&ended, (uint32_t)-1); /* as above */
	if (!rt->home)
		store_relaxed(&root->reason, 0); /* under lock; no task is left */
	lock_drop(&root->lock);
}

/* The number of one that has gone is another's. */
void weft__ctx_root_new(struct runtime *rt)
{
	weft_ctx *root = &weft__roots[rt->home];

	if (!rt->home)
		return;
	lock_take(&root->lock, RANK_CTX);
	store_relaxed(&root->run, load_relaxed(&rt->run)); /* before the reason: contexts of the one before stay ended */
	store_release(&root->reason, 0);                   /* pairs with load_acquire in ctx_root_ended */
	lock_drop(&root->lock);
}

__attribute__((constructor)) static void make_roots(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(weft__roots); i++) {
		store_relaxed(&weft__roots[i].refs, 1u); /* before there are threads */
		weft__roots[i].deadline = WEFT_FOREVER;
		weft__roots[i].home = (uint8_t)i;
	}
	store_relaxed(&weft__roots[ROOT_GONE].reason, (int)WEFT_REASON_SHUTDOWN); /* the same */
}

/* --- tasks that serve the process --- */

size_t weft__ctx_service_tasks(struct runtime *rt)
{
	size_t n = 0;

	lock_take(&service.lock, RANK_CTX);
	for (struct list_node *at = list_first(&service.tasks); at; at = list_after(&service.tasks, at))
		n += task_of(container_of(at, struct weft_task, ctx_link), rt);
	lock_drop(&service.lock);
	return n;
}

bool weft__ctx_serves(struct weft_task *t)
{
	struct list_node *at;

	lock_take(&service.lock, RANK_CTX);
	for (at = list_first(&service.tasks); at && at != &t->ctx_link; at = list_after(&service.tasks, at))
		;
	lock_drop(&service.lock);
	return at != NULL;
}
