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
#include "core/grip.h"
#include "core/local.h"
#include "core/offload.h"
#include "core/recslab.h"
#include <stddef.h>
#include <string.h>

struct runtime weft__rts[RUNTIMES_MAX];
struct runtime *weft__rt;

static __thread uint32_t chosen; /* the run of the runtime that this thread uses; 0: weft_run's, whichever that is */

static ATOMIC(uint32_t) runs;      /* how many there have been */
static ATOMIC(uint32_t) published; /* how many are up */

/* --- the grip --- */

__attribute__((constructor)) static void number_them(void)
{
	for (unsigned i = 0; i < RUNTIMES_MAX; i++)
		weft__rts[i].home = (uint8_t)i;
}

static struct runtime *enter(struct runtime *rt)
{
	bool wake = false;

	if (likely(grip_enter(&rt->inside, &wake)))
		return rt;
	if (wake)
		weft__futex_wake(&rt->inside, 1);
	return NULL;
}

struct runtime *weft__rt_enter(void)
{
	return chosen ? weft__rt_enter_run(chosen) : enter(&weft__rts[0]);
}

struct runtime *weft__rt_enter_home(unsigned home)
{
	return enter(&weft__rts[home]);
}

/* rt has been entered: for a start? */
static struct runtime *to_start(struct runtime *rt)
{
	if (!rt || !load_acquire(&rt->stopping)) /* pairs with store_release in weft__runtime_stop */
		return rt;
	weft__rt_leave(rt);
	return NULL;
}

struct runtime *weft__rt_enter_start(void)
{
	return to_start(weft__rt_enter());
}

struct runtime *weft__rt_enter_home_start(unsigned home)
{
	return to_start(weft__rt_enter_home(home));
}

struct runtime *weft__rt_enter_run(uint32_t run)
{
	struct runtime *rt = enter(&weft__rts[run % RUNTIMES_MAX]);

	if (!rt || load_relaxed(&rt->run) == run) /* changes only while nobody is inside */
		return rt;
	weft__rt_leave(rt);
	return NULL;
}

void weft__rt_leave(struct runtime *rt)
{
	if (grip_leave(&rt->inside))
		weft__futex_wake(&rt->inside, 1);
}

struct runtime *weft__rt_take(unsigned home)
{
	struct runtime *rt = &weft__rts[home];
	uint32_t none = 0;

	if (!cas_acquire(&rt->taken, &none, 1u)) /* pairs with the release in rt_give */
		return NULL;
	memset(rt, 0, offsetof(struct runtime, taken));
	store_relaxed(&rt->run, (add_relaxed(&runs, 1u) + 1) * RUNTIMES_MAX + home); /* made visible by what opens it */
	weft__ctx_root_new(rt);
	return rt;
}

void weft__rt_give(struct runtime *rt)
{
	store_release(&rt->run, 0u);   /* pairs with load_acquire in weft__run_is_up */
	store_release(&rt->taken, 0u); /* pairs with cas_acquire in rt_take */
}

void weft__rt_publish(struct runtime *rt)
{
	add_relaxed(&published, 1u); /* what opens it orders it */
	if (rt->home == 0)
		weft__rt = rt;
	weft__offload_open(rt); /* whoever finds the runtime up finds pools open */
	grip_open(&rt->inside);
}

void weft__rt_unpublish(struct runtime *rt)
{
	uint32_t n;

	grip_close(&rt->inside);
	while ((n = grip_left(&rt->inside)) != 0)
		weft__futex_wait(&rt->inside, n, INT64_MAX);
	rt->last = add_acq_rel(&published, (uint32_t)-1) == 1u;
	if (rt->home == 0)
		weft__rt = NULL;
}

bool weft__run_is_up(uint32_t run)
{
	return load_acquire(&weft__rts[run % RUNTIMES_MAX].run) == run; /* pairs with store_release in weft__rt_give */
}

struct runtime *weft__rt_here(void)
{
	struct worker *w = weft__worker();

	return w ? w->rt : &weft__rts[weft__thread_home()];
}

unsigned weft__rts_up(void)
{
	return load_relaxed(&published); /* a look */
}

NOINLINE void weft__thread_use(uint32_t run)
{
	chosen = run;
}

NOINLINE uint32_t weft__thread_run(void)
{
	return chosen;
}

uint32_t weft__run_self(void)
{
	struct worker *w = weft__worker();

	if (!w)
		return weft__thread_run();
	return w->home ? load_relaxed(&w->rt->run) : 0; /* constant while it is up */
}

NOINLINE unsigned weft__thread_home(void)
{
	return chosen % RUNTIMES_MAX;
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
	weft__ctx_foreign(t);
	proxy = t;
	return t;
}

NOINLINE struct weft_task *weft__foreign_look(void)
{
	return proxy;
}

NOINLINE struct weft_task *weft__foreign_or_task(void)
{
	struct worker *w = weft__worker();

	return w ? load_relaxed(&w->cur) : proxy; /* own */
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
