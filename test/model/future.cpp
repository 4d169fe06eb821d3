/* SPDX-License-Identifier: MIT
 *
 * future.cpp - model of sync/future.c and sync/future_many.c as they are: a future that is resolved, cancelled, dropped, waited for with a deadline, and
 * freed, all at the same time.
 *
 * It ends once, and all agree how; who finds it ended sees its value; nobody touches it once its memory is gone, which goes with the last reference; nobody
 * sleeps for ever (that shows as a deadlock), and a wait that was given up leaves nothing behind.
 */
#include "waiting.h"

#include "lock.h"
#include "mortal.h"
#include <new>

#define FORGOTTEN "who ends it forgets those who wait"
#define UNCOUNTED "of several futures each wakes who waits for all"
#define NOT_WITHDRAWN "who was woken by one of several stays listed with the others"
#define STAYS "what is made of it stays listed when it has ended"
#define NOT_ASKED "who gives a set back does not ask whether the end of a member has begun"
#define UNHELD "who follows holds no reference"
#define UNASKED "the last reference goes without a word to the other side"

#include "base/config.h"
#undef SELECT_INLINE
#define SELECT_INLINE 2

#define weft__san 0u

#define WEFT_TASK_H
#define WEFT_DEFER_H
typedef struct weft_ctx weft_ctx;
typedef int weft_task_fn(void *arg);

struct weft_task_opts {
	weft_ctx *ctx;
};

/* A task runs at once, on the stack of who starts it; or cannot be had. */
static int weft__go_opts_at(weft_task **, weft_task_fn *fn, void *arg, const weft_task_opts *, const struct weft_site *)
{
	return rl::rand(2) ? WEFT_ENOMEM : (fn(arg), 0);
}

/* Of several runtimes: quiet.pml. */
static uint32_t weft__run_self()
{
	return 0;
}

static int weft__go_in_run(uint32_t, weft_task_fn *fn, void *arg, const weft_task_opts *o, const struct weft_site *site)
{
	return weft__go_opts_at(NULL, fn, arg, o, site);
}

static int weft_task_try(weft_task_fn *fn, void *arg, void *)
{
	return fn(arg);
}

struct deferred {
	void (*fn)(void *);
	void *arg;

	~deferred()
	{
		fn(arg);
	}
};
#define WEFT_DEFER(fn, arg)                   \
	struct deferred deferred = {fn, arg}; \
	(void)deferred

extern "C" weft_ctx *weft_ctx_self()
{
	return NULL;
}

extern "C" weft_ctx *weft_ctx_ref(weft_ctx *c)
{
	return c;
}

extern "C" void weft_ctx_free(weft_ctx *)
{
}

static int weft_task_cancel(struct weft_task *)
{
	return 0;
}

static void weft__task_unref(struct worker *, struct weft_task *)
{
}

#undef ATOMIC
#define ATOMIC(T) mortal<T>
#define int32_t checked<int>
#include "sync/future.h"
#undef int32_t
#undef ATOMIC
#define ATOMIC(T) rl::atomic<T>

#include "core/source.h"

void weft__lot_wake_one(struct worker *, void *, int, void (*)(void *), void *)
{
	RL_ASSERT(!"nobody waits for an address");
}

/* --- memory --- */

enum { FUTURES = 4 };

struct cell { /* of a future */
	alignas(16) char mem[sizeof(struct weft_future) + 16 + sizeof(struct then)];
	rl::var<int> value;
	bool used, freed;
};

static struct cell *cells; /* of this execution */

static struct weft_future *at(struct cell *c)
{
	return (struct weft_future *)(void *)c->mem;
}

static struct cell *cell_of(const void *p)
{
	for (unsigned i = 0; i < FUTURES; i++) {
		if ((const char *)p >= cells[i].mem && (const char *)p < cells[i].mem + sizeof cells[i].mem)
			return &cells[i];
	}
	return NULL;
}

static void *future_calloc(size_t, size_t)
{
	struct cell *c = cells;
	struct weft_future *f;

	while (c->used)
		c++;
	c->used = true;
	f = at(c);
	lock_reset(&f->lock);
	f->done.be_born(FUTURE_PENDING);
	f->refs.be_born(0);
	f->status = 0;
	list_init(&f->waiters);
	list_init(&f->thens);
	f->task = NULL;
	f->then = NULL;
	f->ops = NULL;
	((struct then *)(void *)(f->value + 16))->link.next = NULL;
	return f;
}

static void future_free(void *p)
{
	struct cell *c = cell_of(p);

	if (!c)
		return;
	RL_ASSERT(!c->freed && list_empty(&at(c)->waiters));
	c->freed = true;
	at(c)->done.die();
	at(c)->refs.die();
}

static void value_copy(void *to, const void *from, size_t)
{
	if (cell_of(to))
		cell_of(to)->value($) = *(const int *)from;
	else
		*(int *)to = cell_of(from)->value($);
}

/* Who locks a future has a reference to it, before and after. */
static void lock_future(struct lock *l, enum lock_rank rank)
{
	RL_ASSERT(at(cell_of(l))->refs.touch());
	lock_take_solo(l, rank);
}

static void unlock_future(struct lock *l)
{
	lock_drop_solo(l);
	RL_ASSERT(at(cell_of(l))->refs.touch());
}

static struct list_node *pop(struct list *l)
{
	return MUTATED(FORGOTTEN) ? NULL : list_pop_head(l);
}

static void withdraw(struct waiter *w, int n)
{
	if (!MUTATED(NOT_WITHDRAWN))
		weft__wait_withdraw(w, n);
	waiting_listed_nowhere(w, n);
}

#include "core/source.c"

#pragma push_macro("calloc") /* Relacy has its own */
#pragma push_macro("free")
#undef calloc
#undef free
#define calloc(n, size) future_calloc(n, size)
#define free(p) future_free(p)
#define memcpy(to, from, n) value_copy(to, from, n)
#define lock_take_solo(l, rank) lock_future(l, rank)
#define lock_drop_solo(l) unlock_future(l)
#undef list_pop_head
#define list_pop_head(l) pop(l)
#undef add_relaxed
#define add_relaxed(p, n) (!strcmp(__func__, "take_thens") && MUTATED(UNHELD) ? 0 : (p)->fetch_add((n), rl::mo_relaxed, $))
#undef list_remove
#define list_remove(n) (MUTATED(STAYS) ? (void)0 : weft_list_remove(n))
#define gathering_counts(g, f) (gathering_counts(g, f) || MUTATED(UNCOUNTED))
#define future_done(f) (!strcmp(__func__, "weft__future_release") && MUTATED(UNASKED) ? FUTURE_DONE : future_done(f))
#include "sync/future.c"

/* What several futures have in common is gone when the call returns. */
static int over(struct gathering *g, int rc)
{
	if (rc)
		g->left.die();
	return rc;
}

#define wait_begin(...) (g.left.be_born(0), wait_begin(__VA_ARGS__))
#define weft__wait_park(...) over(&g, weft__wait_park(__VA_ARGS__))
#define weft__wait_withdraw(w, n) (withdraw(w, n), g.left.die())
#include "sync/future_many.c"
#include "sync/future_then.c"

#undef lock_take_solo
#undef lock_drop_solo
#undef list_pop_head
#undef list_remove
#undef add_relaxed
#undef wait_begin
#undef weft__wait_park
#undef weft__wait_withdraw
#undef future_done
#define list_pop_head weft_list_pop_head
#define list_remove weft_list_remove
#define add_relaxed(p, n) (p)->fetch_add((n), rl::mo_relaxed, $)

/* --- a set and its members: what is freed is overwritten --- */

static void *set_memory, *member_memory; /* of this execution; NULL: taken */
static int set_pieces;                   /* taken and not given back */

static void *set_calloc(size_t, size_t size);
static void set_free(void *p);

static void remove_listed(struct list_node *n)
{
	RL_ASSERT(n->next);
	weft_list_remove(n);
}

#undef calloc
#undef free
#undef memcpy
#define calloc(n, size) set_calloc(n, size)
#define free(p) set_free(p)
#undef list_remove
#define list_remove(n) remove_listed(n)
#undef list_linked
#define list_linked(n) (MUTATED(NOT_ASKED) ? true : weft_list_linked(n))
#include "sync/future_set.c"
#undef list_linked
#define list_linked weft_list_linked
#undef list_remove
#define list_remove weft_list_remove

static void *set_calloc(size_t, size_t size)
{
	void **p = size == sizeof(struct member) ? &member_memory : &set_memory, *got = *p;

	*p = NULL;
	set_pieces++;
	return got;
}

static struct member *the_member; /* of this execution */

static void set_free(void *p)
{
	RL_ASSERT(--set_pieces >= 0);
	if (p == the_member) {
		RL_ASSERT(the_member->set);
		the_member->set = NULL;
		the_member->then.of = NULL;
	}
}

#pragma pop_macro("calloc")
#pragma pop_macro("free")

/* --- what it is tried with --- */

#define FAR (INT64_MAX - 1) /* a deadline */

template <typename suite> struct world : rl::test_suite<suite, 3> {
	struct cell all[FUTURES];
	struct weft_task tasks[WAITING_THREADS];
	weft_promise *p, *q;
	weft_future *f, *g;
	int resolved, canceled; /* what resolving and cancelling f have returned */

	world()
	{
		for (unsigned i = 0; i < FUTURES; i++)
			new (all[i].mem) weft_future;
	}

	~world()
	{
		for (unsigned i = 0; i < FUTURES; i++)
			at(&all[i])->~weft_future();
	}

	void before()
	{
		waiting_reset(tasks);
		cells = all;
		for (unsigned i = 0; i < FUTURES; i++) {
			all[i].value($) = 0;
			all[i].used = all[i].freed = false;
		}
		RL_ASSERT(weft_promise_make(sizeof(int), &p, &f) == 0);
		RL_ASSERT(weft_promise_make(sizeof(int), &q, &g) == 0);
		resolved = canceled = 1;
	}

	/* All have given their references back. */
	void after()
	{
		for (unsigned i = 0; i < FUTURES; i++)
			RL_ASSERT(all[i].freed == all[i].used);
		for (unsigned i = 0; i < WAITING_THREADS; i++)
			RL_ASSERT(!wait_is_open(load_relaxed(&tasks[i].wait)));
	}

	void done_with_g()
	{
		weft_promise_free(q);
		weft_future_free(g);
	}

	void resolve(weft_promise *promise, int v)
	{
		int rc = weft_promise_resolve(promise, &v);

		RL_ASSERT(rc == 0 || rc == WEFT_EALREADY);
		if (promise == p)
			resolved = rc;
	}

	int await(int64_t deadline = WEFT_FOREVER)
	{
		int v = -1, rc = weft_future_await_until(f, &v, deadline);

		RL_ASSERT(rc == 0 ? v == 5 : v == -1);
		return rc;
	}
};

/* One resolves, one cancels, one waits. */
struct resolve_or_cancel : world<resolve_or_cancel> {
	int awaited;

	void before()
	{
		world::before();
		weft_future_ref(f);
		done_with_g();
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			resolve(p, 5);
			RL_ASSERT(weft_promise_canceled(p) == (resolved != 0));
			weft_promise_free(p);
		} else if (id == 1) {
			canceled = weft_future_cancel(f);
			weft_future_free(f);
		} else {
			awaited = await();
			weft_future_free(f);
		}
	}

	void after()
	{
		RL_ASSERT((resolved == 0) != (canceled == 0));
		RL_ASSERT(awaited == (resolved == 0 ? 0 : WEFT_ECANCELED));
		world::after();
	}
};

/* Two may give the value; one of them leaves without. The third waits, but not for long. */
struct dropped : world<dropped> {
	int awaited;

	void before()
	{
		world::before();
		weft_promise_ref(p);
		done_with_g();
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			weft_promise_free(p);
		} else if (id == 1) {
			if (rl::rand(2))
				resolve(p, 5);
			weft_promise_free(p);
		} else {
			awaited = await(rl::rand(2) ? FAR : WEFT_FOREVER);
			weft_future_free(f);
		}
	}

	void after()
	{
		RL_ASSERT(awaited == WEFT_ETIMEDOUT || awaited == (resolved == 0 ? 0 : WEFT_EBROKEN));
		world::after();
	}
};

/* Nobody waits: the last one goes, while it is resolved. */
struct unwanted : world<unwanted> {
	void before()
	{
		world::before();
		weft_future_ref(f);
		done_with_g();
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			resolve(p, 5);
			RL_ASSERT(weft_promise_canceled(p) == (resolved != 0));
			weft_promise_free(p);
		} else {
			if (weft_future_done(f))
				RL_ASSERT(await() == 0);
			weft_future_free(f);
		}
	}
};

/* The producer waits to hear that nobody wants it. */
struct told : world<told> {
	void before()
	{
		world::before();
		weft_future_ref(f);
		done_with_g();
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			weft_case c = WEFT_PROMISE(p);

			RL_ASSERT(weft__source_wait(&c, REASON_SELECT, WEFT_FOREVER) == WEFT_ECANCELED);
			weft_promise_free(p);
		} else {
			weft_future_free(f);
		}
	}
};

/* Who waits is cancelled. */
struct canceled_waiter : world<canceled_waiter> {
	void before()
	{
		world::before();
		tasks[1].watched = true;
		done_with_g();
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			resolve(p, 5);
			weft_promise_free(p);
		} else if (id == 1) {
			int rc = await();

			RL_ASSERT(rc == 0 || rc == WEFT_ECANCELED);
			weft_future_free(f);
		} else {
			waiting_cancel(&tasks[1]);
		}
	}
};

/* One waits for two futures, which two others end. */
template <typename suite> struct two : world<suite> {
	void thread(unsigned id)
	{
		if (id == 0) {
			weft_future *fs[] = {this->f, this->g};

			wait(fs);
			weft_future_free(this->f);
			weft_future_free(this->g);
		} else if (id == 1) {
			this->resolve(this->p, 5);
			weft_promise_free(this->p);
		} else {
			if (rl::rand(2))
				this->resolve(this->q, 6);
			weft_promise_free(this->q);
		}
	}

	virtual void wait(weft_future **fs) = 0;
};

struct all_of_two : two<all_of_two> {
	void wait(weft_future **fs)
	{
		int v[2] = {-1, -1}, rc = weft_future_all(fs, 2, NULL, 0);

		RL_ASSERT(rc == 0 || rc == WEFT_EBROKEN);
		if (rc == 0)
			RL_ASSERT(weft_future_poll(fs[0], &v[0]) == 0 && v[0] == 5 && weft_future_poll(fs[1], &v[1]) == 0 && v[1] == 6);
		else
			RL_ASSERT(weft_future_poll(fs[1], NULL) == WEFT_EBROKEN);
	}
};

struct first_of_two : two<first_of_two> {
	void wait(weft_future **fs)
	{
		int rc = weft_future_race_until(fs, 2, NULL, WEFT_FUTURE_CANCEL_REST, FAR);

		RL_ASSERT(rc == 0 || rc == 1 || rc == WEFT_ETIMEDOUT);
		if (rc >= 0)
			RL_ASSERT(weft_future_done(fs[0]) && weft_future_done(fs[1])); /* cancelled, if not */
	}
};

struct settled_two : two<settled_two> {
	void wait(weft_future **fs)
	{
		int status[2], rc = weft_future_all_settled_until(fs, 2, status, rl::rand(2) ? FAR : WEFT_FOREVER);

		RL_ASSERT(rc == WEFT_ETIMEDOUT || (rc == 0 && status[0] == 0 && (status[1] == 0 || status[1] == WEFT_EBROKEN)));
	}
};

/* --- what is made of it --- */

static int adds_one(const void *value, void *out, void *)
{
	int v;

	value_copy(&v, value, sizeof v);
	v++;
	value_copy(out, &v, sizeof v);
	return 0;
}

static int takes_all(int status, const void *value, void *out, void *)
{
	int v = 70;

	RL_ASSERT((status == 0) == (value != NULL));
	if (value)
		value_copy(&v, value, sizeof v);
	value_copy(out, &v, sizeof v);
	return 0;
}

/* A chain of three: f, what is made of it, and of that. Each is ended, or dropped, from its own side. */
template <typename suite> struct chain : world<suite> {
	weft_future *h, *k;

	void before()
	{
		world<suite>::before();
		this->done_with_g();
		h = weft_future_map(this->f, adds_one, NULL, sizeof(int));
		k = weft_future_then(h, takes_all, NULL, sizeof(int));
	}

	void wait_for_k()
	{
		int v = -1, rc = weft_future_await(k, &v);

		RL_ASSERT(rc == 0 || rc == WEFT_ENOMEM || rc == WEFT_ECANCELED);
		RL_ASSERT(rc ? v == -1 : v == 6 || v == 70);
		weft_future_free(k);
	}
};

struct chain_ended : chain<chain_ended> {
	void thread(unsigned id)
	{
		if (id == 0) {
			resolve(p, 5);
			RL_ASSERT(resolved == 0 || weft_promise_canceled(p));
			weft_promise_free(p);
		} else if (id == 1) {
			weft_future_free(f);
			(void)weft_future_cancel(h);
			weft_future_free(h);
		} else {
			wait_for_k();
		}
	}
};

struct chain_dropped : chain<chain_dropped> {
	void thread(unsigned id)
	{
		if (id == 0) {
			if (rl::rand(2))
				resolve(p, 5);
			weft_promise_free(p);
		} else if (id == 1) {
			weft_future_free(k);
			weft_future_free(f);
		} else {
			weft_future_free(h);
		}
	}
};

struct made_meanwhile : world<made_meanwhile> {
	void before()
	{
		world::before();
		done_with_g();
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			resolve(p, 5);
			weft_promise_free(p);
		} else if (id == 1) {
			weft_future *k = weft_future_map(f, adds_one, NULL, sizeof(int));
			int v = -1, rc;

			weft_future_free(f);
			rc = weft_future_await(k, &v);
			RL_ASSERT(rc == 0 ? v == 6 : rc == WEFT_ENOMEM);
			weft_future_free(k);
		}
	}
};

/* A set is given back while what is in it ends; or somebody takes it out. */
template <typename suite, bool takes> struct in_a_set : world<suite> {
	struct weft_futures set;
	struct member one;
	weft_futures *s;

	void before()
	{
		world<suite>::before();
		this->done_with_g();
		lock_reset(&set.lock);
		memset((void *)&set.pending, 0, sizeof set.pending);
		memset((void *)&set.done, 0, sizeof set.done);
		memset((void *)&set.waiters, 0, sizeof set.waiters);
		memset((void *)&one, 0, sizeof one);
		set.len = 0;
		set_memory = &set;
		member_memory = the_member = &one;
		set_pieces = 0;
		s = weft_futures_make();
		RL_ASSERT(weft_futures_add(s, this->f, 7) == 0);
	}

	void thread(unsigned id)
	{
		if (id == 0) {
			this->resolve(this->p, 5);
			weft_promise_free(this->p);
		} else if (id == 1) {
			weft_ended e;
			int v = -1;

			if (takes && weft_futures_next_until(s, &e, FAR) == 0) {
				RL_ASSERT(e.label == 7 && weft_future_poll(e.f, &v) == 0 && v == 5);
				weft_future_free(e.f);
			}
			weft_futures_free(s);
		}
	}

	void after()
	{
		RL_ASSERT(set_pieces == 0);
		world<suite>::after();
	}
};

struct set_freed : in_a_set<set_freed, false> {
};

struct set_taken : in_a_set<set_taken, true> {
};

static const struct scenario scenarios[] = {
	{"resolved, cancelled and waited for", rl::simulate<resolve_or_cancel>, 20000, 2},
	{"two promises, one of them dropped, and a deadline", rl::simulate<dropped>, 20000, 2},
	{"resolved while the last references go", rl::simulate<unwanted>, 20000, 2},
	{"the producer waits for the cancel", rl::simulate<told>, 20000, 2},
	{"who waits is cancelled", rl::simulate<canceled_waiter>, 20000, 2},
	{"all of two", rl::simulate<all_of_two>, 20000, 2},
	{"the first of two, and a deadline", rl::simulate<first_of_two>, 20000, 2},
	{"two settled, and a deadline", rl::simulate<settled_two>, 20000, 2},
	{"a chain, resolved and cancelled in the middle", rl::simulate<chain_ended>, 20000, 2},
	{"a chain, dropped from both sides", rl::simulate<chain_dropped>, 20000, 2},
	{"mapped while it ends", rl::simulate<made_meanwhile>, 20000, 2},
	{"in a set that is given back", rl::simulate<set_freed>, 20000, 2},
	{"in a set, taken out, and a deadline", rl::simulate<set_taken>, 20000, 2},
};

static const struct mutation mutations[] = {
	{FORGOTTEN},
	{UNCOUNTED},
	{NOT_WITHDRAWN},
	{UNASKED},
	{STAYS},
	{UNHELD},
	{NOT_ASKED},
	{LEFT_LISTED},
	{ENDED_UNASKED},
	{"a future's end is stored without release", "end_one", "store_release", "&f->done"},
	{"who finds it ended does not acquire", "future_done", "load_acquire", "&f->done"},
	{"references are given back without order", "drop", "add_acq_rel", "&f->refs"},
	{"a reference to a future that others have, too, is given back without order", "weft__future_release", "cas_acq_rel", "&f->refs"},
	{"the same of a promise", "weft__promise_release", "cas_acq_rel", "&f->refs"},
	{"the lock does not acquire", "lock_take_solo", "cas_acquire", "&l->word"},
	{"the lock does not release", "lock_drop_solo", "swap_release", "&l->word"},
	{"a wake-up does not release", "weft__ready", "store_release", "&t->futex"},
	{"what is woken reads its status without acquire", "weft__wait_park", "load_acquire", "&t->futex"},
};

MODEL_MAIN(scenarios, mutations)
