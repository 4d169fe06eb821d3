/* SPDX-License-Identifier: MIT
 *
 * fork.c - what a fork leaves of a runtime: nothing that could go on.
 *
 * The child has one thread, the one that forked: no other worker, no monitor, locks as they were. It may call exec; whatever of weft's would need a worker, or wait, says so
 * and aborts (weft__worker_none asks), instead of hanging. Its signal mask is what it was outside weft, so that the program it executes does not begin with all signals
 * blocked. A process that forks while no runtime is up may bring one up in either half.
 */
#include "core/runtime.h"

#include "base/check.h"
#include "core/lane.h"
#include <pthread.h>

ATOMIC(bool) weft__forked;

static void in_child(void)
{
	struct worker *w = weft__worker_look();

	if (!weft__rts_up()) {
		weft__offload_forked();
		return;
	}
	store_relaxed(&weft__forked, true); /* there is one thread */
	if (!w && !weft__offload_here())
		return;
	weft__worker_set(NULL);
	pthread_sigmask(SIG_SETMASK, &(w ? w->rt : weft__lane_of(weft__lane_thread())->rt)->caller_mask, NULL);
}

COLD void weft__forked_fatal(void)
{
	store_relaxed(&weft__forked, false); /* what it says goes through weft, too */
	weft__fatal("this process was forked from one with a runtime: it may only call exec. To start a program: weft_proc_spawn");
}

int weft__fork_trap(void)
{
	static ATOMIC(bool) set;
	int rc;

	if (load_relaxed(&set)) /* one weft_run at a time */
		return 0;
	rc = -pthread_atfork(NULL, NULL, in_child);
	store_relaxed(&set, rc == 0); /* the same */
	return rc;
}
