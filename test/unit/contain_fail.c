/* SPDX-License-Identifier: MIT
 *
 * contain_fail.c - core/contain.c where no stack can be had: the end of an actor is told all the same, in time.
 */
#include "failpoint.h"
#include "rt.h"
#include "weft/actor.h"

static int *volatile nowhere;

static _Atomic int have_stacks;

static int run_when_told(void *state)
{
	have_stacks++;
	T_EQ(weft_event_wait(*(weft_event **)state), 0);
	*nowhere = 1;
	return 0;
}

static void fails_at(weft_event *go)
{
	weft_actor_ref ref;

	T_EQ(weft_actor_start(&ref, &(weft_actor_opts){.run = run_when_told, .state = &go, .size = sizeof go, .contain = true}), 0);
	T_EQ(weft_actor_monitor(ref, NULL), 0);
}

static void has_failed(void)
{
	weft_msg *m;

	T_EQ(weft_actor_recv(&m), 0);
	T_EQ(m->kind, WEFT_MSG_DOWN);
	T_EQ(weft_msg_down(m)->end.kind, WEFT_END_FAULT);
	weft_msg_free(m);
}

static uint64_t faults(void)
{
	weft_stat st;

	T_EQ(weft_stats(&st), 0);
	return st.faults;
}

static _Atomic int begun;

static int begins(void *end)
{
	begun++;
	return weft_event_wait(end);
}

#define MANY 10000

static int no_stack(void *arg)
{
	static weft_task *t[MANY];
	weft_event first = {0}, go = {0}, end = {0};
	int n = 0, rc;

	(void)arg;
	until_all_workers_run();
	T_EQ(weft_actor_attach(NULL, NULL), 0);
	begun = have_stacks = 0;
	fails_at(&first);
	weft_event_set(&first);
	has_failed(); /* by then the program's symbols have been read */
	fails_at(&go);
	until(have_stacks == 2);
	failpoint_arm_all(1);
	for (int refused = 0; refused < 200 && n < MANY; let_run()) {
		rc = weft_go_opts(&t[n], begins, &end, NULL);
		T_OK(rc == 0 || rc == WEFT_ENOMEM);
		if (rc)
			refused++;
		else
			n++; /* also now and then when the one that waits is looked at again */
	}
	weft_event_set(&go);
	until(faults() == 2);
	failpoint_disarm();
	has_failed();
	weft_event_set(&end);
	for (int i = 0; i < n; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(begun, n);
	return 0;
}

TEST_WORKERS(an_end_is_told_without_a_stack)
{
	if (weft__san)
		tap_skip("not with a sanitizer");
	run(no_stack, NULL);
}
