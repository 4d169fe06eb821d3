/* SPDX-License-Identifier: MIT
 *
 * conform.h - what the conformance suite asks with: laws, somebody else who makes one call, and counts that chance may have made.
 *
 *   LAW(name) { ... }                      the body is the main task of a runtime, once with 1, once with 2 and once with 8 workers
 *   ints(cap)                              a channel of int; the calls below are for such channels
 *   put, take                              one element now, without waiting; take returns it, or an error, which is negative
 *   give, get                              the same, waiting
 *   other_sends, _receives, _selects       somebody else makes this one call, and waits in it
 *   settle()                               what is going to happen anyway happens
 *   other_waits(o), other_ends(o)          is he still waiting after others have run; waits for his end: what the call returned
 *   hire(fn, args...), done(), all_done()  more who work for the law: each says done() last, the law waits for all
 *   even(seen, n)                          n counts are within ten sigma of each other's equal share
 *   draw(n)                                a random number below n
 *
 * The suite asks what Go's specification, memory model and package documents say of channels, select, timers and their like, and what of it
 * weft's headers promise to keep; where the two differ (a send on a closed channel is an error that is returned, ...), it asks for what weft's say.  Every test
 * has its law above it.  A test that fails shows its seed: WEFT_SEED repeats its choices.
 */
#ifndef WEFT_TEST_CONFORM_H
#define WEFT_TEST_CONFORM_H

#include "rt.h"

#include "base/rand.h"
#include <stdlib.h>
#include <sys/random.h>

/* --- laws --- */

static struct rng law_rng; /* of the law's main task */

static inline uint32_t draw(uint32_t n)
{
	return rng_below(&law_rng, n);
}

static inline int law__main(void *arg)
{
	void (**law)(void) = arg;

	(*law)();
	return 0;
}

static inline void law__run(void (*law)(void))
{
	const char *env = getenv("WEFT_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : 0;

	if (!seed)
		T_EQ(getrandom(&seed, sizeof seed, 0), sizeof seed);
	seed |= !seed;
	tap_note("WEFT_SEED=%llu", (unsigned long long)seed);
	rng_seed(&law_rng, seed, 1000);
	T_EQ(run_with(law__main, &law, (weft_opts){.seed = seed}), 0);
}

#define LAW(name)                     \
	static void name##_law(void); \
	TEST_WORKERS(name)            \
	{                             \
		law__run(name##_law); \
	}                             \
	static void name##_law(void)

/* --- channels of int --- */

static inline weft_chan *chan_of(size_t elem, size_t cap)
{
	weft_chan *c = weft_chan_make(elem, cap);

	T_OK(c != NULL);
	return c;
}

static inline weft_chan *ints(size_t cap)
{
	return chan_of(sizeof(int), cap);
}

static inline int put(weft_chan *c, int v)
{
	return weft_chan_trysend(c, &v);
}

static inline int take(weft_chan *c)
{
	int v = 0, rc = weft_chan_tryrecv(c, &v);

	return rc ? rc : v;
}

static inline int give(weft_chan *c, int v)
{
	return weft_chan_send(c, &v);
}

static inline int get(weft_chan *c)
{
	int v = 0, rc = weft_chan_recv(c, &v);

	return rc ? rc : v;
}

/* A law's channel has been served: nothing is in it, nobody waits on it; it goes. */
static inline void emptied(weft_chan *c)
{
	T_EQ(weft_chan_len(c), 0);
	weft_chan_free(c);
}

/* --- somebody else --- */

struct other {
	weft_chan *c;
	int v; /* what he sends, or has received; -1 before */
	int64_t deadline;
	weft_case *cases; /* of his select */
	int n;
	weft_task *task;
};

static inline int other__send(void *arg)
{
	struct other *o = arg;

	return weft_chan_send_until(o->c, &o->v, o->deadline);
}

static inline int other__receive(void *arg)
{
	struct other *o = arg;

	return weft_chan_recv_until(o->c, &o->v, o->deadline);
}

static inline int other__select(void *arg)
{
	struct other *o = arg;

	return weft_chan_select_until(o->cases, o->n, o->deadline);
}

/* He waits; or has waited, if there was an end to it. */
static inline void other__begins(struct other *o, weft_task_fn *fn, const char *reason)
{
	o->task = start(fn, o);
	while (strcmp(weft_task_reason(o->task), reason) != 0) {
		if (weft_task_stateof(o->task) == WEFT_TASK_DONE) {
			T_NE(o->deadline, WEFT_FOREVER);
			return;
		}
		let_run();
	}
}

static inline void other_sends_until(struct other *o, weft_chan *c, int v, int64_t deadline)
{
	*o = (struct other){.c = c, .v = v, .deadline = deadline};
	other__begins(o, other__send, "chan send");
}

static inline void other_sends(struct other *o, weft_chan *c, int v)
{
	other_sends_until(o, c, v, WEFT_FOREVER);
}

static inline void other_receives_until(struct other *o, weft_chan *c, int64_t deadline)
{
	*o = (struct other){.c = c, .v = -1, .deadline = deadline};
	other__begins(o, other__receive, "chan receive");
}

static inline void other_receives(struct other *o, weft_chan *c)
{
	other_receives_until(o, c, WEFT_FOREVER);
}

static inline void other_selects_until(struct other *o, weft_case *cases, int n, int64_t deadline)
{
	*o = (struct other){.cases = cases, .n = n, .v = -1, .deadline = deadline};
	other__begins(o, other__select, "select");
}

static inline void other_selects(struct other *o, weft_case *cases, int n)
{
	other_selects_until(o, cases, n, WEFT_FOREVER);
}

/* Lets what is going to happen happen: other tasks, and once other threads, which on a busy machine may take their time. */
static inline void settle(void)
{
	for (int i = 0; i < 10; i++)
		weft_task_yield();
	let_run();
	for (int i = 0; i < 10; i++)
		weft_task_yield();
}

static inline bool other_waits(struct other *o)
{
	settle();
	return weft_task_stateof(o->task) == WEFT_TASK_PARKED;
}

static inline int other_ends(struct other *o)
{
	return finish(o->task);
}

static inline int other_cancelled(struct other *o)
{
	T_EQ(weft_task_cancel(o->task), 0);
	return other_ends(o);
}

/* --- more of them --- */

static weft_wg law_crew;

#define hire(...)                              \
	do {                                   \
		weft_wg_add(&law_crew, 1);     \
		T_EQ(weft_go(__VA_ARGS__), 0); \
	} while (0)

static inline void done(void)
{
	weft_wg_done(&law_crew);
}

static inline void all_done(void)
{
	T_EQ(weft_wg_wait(&law_crew), 0);
}

/* --- chance --- */

/* Each of n equally likely outcomes has been seen about as often as the others. */
static inline bool even(const int *seen, int n)
{
	double draws = 0, variance;
	bool is = true;

	for (int i = 0; i < n; i++)
		draws += seen[i];
	variance = draws * (n - 1) / n / n;
	for (int i = 0; i < n; i++) {
		double off = seen[i] - draws / n;

		if (off * off > 100 * variance) {
			tap_note("outcome %d of %d: %d times of %.0f (variance %.1f)", i, n, seen[i], draws, variance);
			is = false;
		}
	}
	return is;
}

#endif
