/* SPDX-License-Identifier: MIT
 *
 * server_fail.c - actor/call.c, actor/server.c, actor/server_many.c, actor/fsm.c, actor/bus.c, with each allocation failing in turn: what is returned is WEFT_ENOMEM, and nothing of it is left.
 */
#include "actors.h"
#include "failpoint.h"

#include "weft/bus.h"
#include "weft/fsm.h"
#include "weft/server.h"

static int on_call(void *state, weft_msg *m, weft_from from)
{
	(void)state;
	(void)weft_server_reply(from, m->data, m->len);
	return 0;
}

static int init(void *state)
{
	(void)state;
	return 0;
}

static int convert(const void *old, void *fresh, void *arg)
{
	(void)old;
	(void)fresh;
	(void)arg;
	return 0;
}

struct state {
	char bytes[1000];
};

static const weft_server_vt vt = {.size = sizeof(struct state), .init = init, .call = on_call};

static int start_one(weft_actor_ref ref)
{
	weft_actor_ref one;
	int rc = weft_server_start(&one, &vt, NULL, &(weft_server_opts){.name = "one"});

	(void)ref;
	if (rc == 0)
		T_EQ(weft_actor_stop_wait(one), 0);
	else
		T_OK(weft_actor_same(one, WEFT_NO_ACTOR));
	return rc;
}

static int call_small(weft_actor_ref ref)
{
	long v = 7, back = 0;
	int rc = weft_server_ask(ref, 1, &back, v);

	if (rc == 0)
		T_EQ(back, v);
	return rc;
}

static int call_large(weft_actor_ref ref)
{
	static const char large[500];
	char back[500];
	int rc = weft_server_call(ref, 1, large, sizeof large, back, sizeof back);

	return rc == sizeof large ? 0 : rc;
}

static int change(weft_actor_ref ref)
{
	return weft_server_migrate(ref, &vt, convert, NULL);
}

static int call_group(weft_actor_ref ref)
{
	weft_reply r[20];
	int rc = weft_pg_call("many", 1, NULL, 0, r, 20, NULL, 0);

	(void)ref;
	if (rc < 0)
		return rc;
	T_EQ(rc, 20);
	for (int i = 0; i < rc; i++) {
		T_OK(r[i].result == 0 || r[i].result == WEFT_ENOMEM);
		if (r[i].result)
			rc = WEFT_ENOMEM;
	}
	return rc < 0 ? rc : 0;
}

static int on_event(void *data, const weft_fsm_event *e)
{
	static const char large[500];

	(void)data;
	if (e->kind == WEFT_FSM_CALL) {
		long rc = weft_fsm_next(1, large, sizeof large);

		(void)weft_server_answer(e->from, rc);
	}
	return 0;
}

static const weft_fsm_state states[] = {{"one", on_event, NULL}};
static const weft_fsm_vt machine = {.size = sizeof(struct state), .states = states, .n = 1, .timeouts = 10, .init = init};

static int start_machine(weft_actor_ref ref)
{
	weft_actor_ref one;
	int rc = weft_fsm_start(&one, &machine, NULL, &(weft_server_opts){.name = "machine"});

	(void)ref;
	if (rc == 0)
		T_EQ(weft_actor_stop_wait(one), 0);
	else
		T_OK(weft_actor_same(one, WEFT_NO_ACTOR));
	return rc;
}

static int put_in(weft_actor_ref ref)
{
	long said = 0;
	int rc = weft_server_ask(ref, 1, &said, 0);

	return rc ? rc : (int)said;
}

static const weft_bus_vt handler = {.size = sizeof(struct state)};

static int add_handler(weft_actor_ref bus)
{
	return weft_bus_add(bus, 1, &handler, NULL);
}

static int swap_handler(weft_actor_ref bus)
{
	return weft_bus_swap(bus, 1, 2, &handler, convert, NULL);
}

static int remove_handler(weft_actor_ref bus)
{
	return weft_bus_remove(bus, 1);
}

static int swap_back(weft_actor_ref bus)
{
	return weft_bus_swap(bus, 2, 1, &handler, NULL, NULL);
}

static int list_handlers(weft_actor_ref bus)
{
	uint64_t id = 0;
	int rc = weft_bus_ids(bus, &id, 1);

	return rc < 0 ? rc : rc == 1 && id == 1 ? 0 : 1;
}

static int add_supervised(weft_actor_ref bus)
{
	return weft_bus_add_supervised(bus, 3, &handler, NULL);
}

/* A call has failed. It is WEFT_ENOMEM, unless it was one for a stack: the task has begun, and waits for another. */
static void failed_with(int rc)
{
	if (rc || strstr(failpoint_name(), "alloc"))
		T_EQ(rc, WEFT_ENOMEM);
}

/* Until it succeeds with nothing failing. undo: so that it can be done again; what has failed may have been of no concern to it, as a call for a stack. */
static void each(int (*what)(weft_actor_ref), int (*undo)(weft_actor_ref), weft_actor_ref ref, long least)
{
	long n;

	for (n = 1;; n++) {
		int rc;

		failpoint_arm(n);
		rc = what(ref);
		failpoint_disarm();
		if (rc == 0 && undo)
			T_EQ(undo(ref), 0);
		if (!failpoint_fired()) {
			T_EQ(rc, 0);
			break;
		}
		failed_with(rc);
	}
	T_GT(n, least);
}

static int remove_supervised(weft_actor_ref bus)
{
	return weft_bus_remove(bus, 3);
}

static int supervised(void *state)
{
	weft_actor_ref bus = *(weft_actor_ref *)state;

	each(add_supervised, remove_supervised, bus, 2);
	return 0;
}

static int main_task(void *arg)
{
	weft_actor_ref ref, full, fsm, bus, owner, many[20];
	weft_end how;

	(void)arg;
	until_all_workers_run();
	T_EQ(weft_server_start(&ref, &vt, NULL, NULL), 0);
	T_EQ(weft_server_start(&full, &vt, NULL, NULL), 0);
	use_up_letters(full);
	each(start_one, NULL, ref, 2);
	each(call_large, NULL, ref, 1);
	each(call_small, NULL, ref, 0);
	each(change, NULL, ref, 1);
	for (int i = 0; i < 20; i++) {
		T_EQ(weft_server_start(&many[i], &vt, NULL, NULL), 0);
		T_EQ(weft_pg_join("many", many[i]), 0);
	}
	each(call_group, NULL, ref, 1);
	each(start_machine, NULL, ref, 2);
	T_EQ(weft_fsm_start(&fsm, &machine, NULL, NULL), 0);
	each(put_in, NULL, fsm, 1);
	T_EQ(weft_actor_stop_wait(fsm), 0);
	T_EQ(weft_bus_start(&bus, NULL), 0);
	each(add_handler, remove_handler, bus, 2);
	T_EQ(add_handler(bus), 0);
	each(swap_handler, swap_back, bus, 1);
	each(list_handlers, NULL, bus, 1);
	T_EQ(weft_actor_start(&owner, &(weft_actor_opts){.run = supervised, .state = &bus}), 0);
	T_EQ(weft_actor_wait(owner, &how) == 0 && how.kind != WEFT_END_NORMAL, false);
	T_EQ(weft_actor_stop_wait(bus), 0);
	for (int i = 0; i < 20; i++)
		T_EQ(weft_actor_stop_wait(many[i]), 0);
	T_EQ(weft_actor_kill(full), 0);
	(void)weft_actor_wait(full, NULL);
	T_EQ(weft_actor_stop_wait(ref), 0);
	return 0;
}

TEST_WORKERS(allocations)
{
	run(main_task, NULL);
}
