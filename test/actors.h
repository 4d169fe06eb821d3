/* SPDX-License-Identifier: MIT
 *
 * actors.h - what tests of actors have in common: sending a number, ending one, and seeing how it ends.
 *
 *	struct watcher w;
 *	watch_begin(&w, ref)       a task waits for its end, and is seen waiting
 *	watch_end(&w, kind, code)  it has been told that
 */
#ifndef WEFT_TEST_ACTORS_H
#define WEFT_TEST_ACTORS_H

#include "rt.h"

#include "weft/actor.h"

static inline int tell(weft_actor_ref to, uint64_t tag, long v)
{
	return weft_actor_send(to, tag, &v, sizeof v, WEFT_PRIO_NORMAL);
}

/* An actor's on_msg. */
static inline int ignore(void *state, weft_msg *m)
{
	(void)state;
	(void)m;
	return 0;
}

static inline void end_actor(weft_actor_ref ref)
{
	T_EQ(weft_actor_stop_wait(ref), 0);
}

/* Takes what lies in the pools: sanitizers have none. */
static inline void use_up_letters(weft_actor_ref ref)
{
	T_EQ(weft_actor_suspend(ref), 0);
	for (int i = 0; i < 100; i++)
		T_EQ(tell(ref, 1, i), 0);
}

struct watcher {
	weft_actor_ref ref;
	weft_task *task;
	weft_end end;
};

static int watcher_main(void *arg)
{
	struct watcher *w = arg;

	return weft_actor_wait(w->ref, &w->end);
}

static inline void watch_begin(struct watcher *w, weft_actor_ref ref)
{
	w->ref = ref;
	w->end = (weft_end){-1, -1};
	w->task = start(watcher_main, w);
	until_reason(w->task, "actor");
}

static inline void watch_end(struct watcher *w, int kind, int code)
{
	T_EQ(finish(w->task), 0);
	T_STR_EQ(weft_end_name(w->end), weft_end_name((weft_end){kind, code}));
	T_EQ(w->end.code, code);
}

static inline weft_actor_stat stats_of(weft_actor_ref ref)
{
	weft_actor_stat st;

	T_EQ(weft_actor_stats(ref, &st), 0);
	return st;
}

#endif
