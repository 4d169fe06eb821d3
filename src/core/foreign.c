/* SPDX-License-Identifier: MIT
 *
 * foreign.c - OS threads that weft did not make: their proxy records, and their grip on the runtime.
 *
 * A foreign thread that blocks in a weft call waits like a task, in a record of its own with no stack, made on the first such call and given back when
 * the thread ends.  It needs no runtime for that: channels and locks work between foreign threads alone.
 *
 * What does need the runtime (starting a task, waking one) happens between rt_enter and rt_leave.  Taking the runtime down unpublishes it and then
 * waits until nobody is inside.
 */
#include "core/runtime.h"

#include "base/check.h"
#include "base/futex.h"
#include "core/local.h"
#include "core/recslab.h"

struct runtime *weft__rt;

static ATOMIC(uint32_t) inside; /* foreign threads between enter and leave; CLOSED while no runtime is up */
#define CLOSED (1u << 31)

/* --- the grip --- */

__attribute__((constructor)) static void start_closed(void)
{
	store_relaxed(&inside, CLOSED); /* before any second thread */
}

bool weft__rt_enter(void)
{
	if (add_acq_rel(&inside, 1u) & CLOSED) { /* acquire: pairs with the release in rt_publish */
		weft__rt_leave();
		return false;
	}
	return true;
}

void weft__rt_leave(void)
{
	if (add_acq_rel(&inside, (uint32_t)-1) == (CLOSED | 1u)) /* release: pairs with load_acquire in rt_unpublish */
		weft__futex_wake(&inside, 1);
}

void weft__rt_publish(struct runtime *rt)
{
	weft__rt = rt;
	add_acq_rel(&inside, 0u - CLOSED); /* opens; release: pairs with rt_enter */
}

void weft__rt_unpublish(void)
{
	uint32_t n = add_acq_rel(&inside, CLOSED) + CLOSED;

	while (n != CLOSED) {
		weft__futex_wait(&inside, n, INT64_MAX);
		n = load_acquire(&inside); /* pairs with the release in rt_leave */
	}
	weft__rt = NULL;
}

/* --- proxies --- */

static pthread_key_t key;
static pthread_mutex_t key_lock = PTHREAD_MUTEX_INITIALIZER;
static bool key_made; /* under key_lock */
static __thread struct weft_task *proxy;

static void proxy_free(void *arg)
{
	struct weft_task *t = arg;
	void *one = t;

	locals_end(t); /* while it still has its record */
	proxy = NULL;
	task_set_state(t, (enum weft_task_state)TASK_FREE);
	weft__rec_put_batch(&one, 1);
}

/* Once; but who finds no key tries again the next time. */
static bool key_make(void)
{
	bool made;

	pthread_mutex_lock(&key_lock);
	if (!key_made)
		key_made = weft__records_init() == 0 && pthread_key_create(&key, proxy_free) == 0;
	made = key_made;
	pthread_mutex_unlock(&key_lock);
	return made;
}

NOINLINE struct weft_task *weft__foreign(void)
{
	struct weft_task *t = proxy;
	void *one;

	if (t)
		return t;
	if (!key_make() || weft__rec_get_batch(&one, 1) != 1)
		return NULL;
	t = one;
	if (pthread_setspecific(key, t)) {
		weft__rec_put_batch(&one, 1);
		return NULL;
	}
	t->ctx.sp = NULL;
	store_relaxed(&t->cancel, 0u);                      /* the record is ours */
	store_relaxed(&t->on_cpu, (uint8_t)ON_CPU_FOREIGN); /* before refs and state, see alive() */
	store_relaxed(&t->deadline, WEFT_FOREVER);
	store_relaxed(&t->futex, 0u);
	store_relaxed(&t->permit, (uint64_t)0);
	store_release(&t->refs, 1u); /* pairs with load_acquire in alive(): of a record never used before */
	t->limit = WEFT_FOREVER;
	store_relaxed(&t->flags, (uint8_t)TASK_FOREIGN);
	t->waiters = NULL;
	t->wctx = NULL;
	t->stack = NULL;
	t->fn = NULL;
	t->site = NULL;
	t->name = NULL;
	t->own = (struct task_own){.locals = NULL};
	t->id = weft__id_block(1);
	store_release(&t->state,
		      (uint8_t)WEFT_TASK_RUNNING); /* pairs with load_acquire of the state by those who call alive(): of one used before */
	proxy = t;
	return t;
}

NOINLINE struct weft_task *weft__foreign_look(void)
{
	return proxy;
}

int weft_block_on(weft_task_fn *fn, void *arg, int *ret)
{
	struct weft_task *t;
	int rc;

	if (weft__worker() || !fn)
		return WEFT_EINVAL;
	rc = weft_go_opts(&t, fn, arg, NULL);
	if (rc)
		return rc;
	rc = weft_task_join(t, ret);
	if (rc)
		weft_task_detach(t);
	return rc;
}
