/* SPDX-License-Identifier: MIT
 *
 * door.c - a door with a code lock, as a state machine: what a button means depends on the state, an open door closes by itself, and who wants to go through waits until it is open.
 */
#include <weft.h>

#include <stdio.h>
#include <string.h>

enum { LOCKED, OPEN, ALARM, STATES };
enum { BUTTON, PASS, IS_CLOSED };

#define CODE "2580"
#define TRIES 3

struct door {
	char typed[sizeof CODE];
	size_t n;
	int wrong; /* in a row */
};

static int button(struct door *d, char c)
{
	d->typed[d->n++] = c;
	if (d->n < strlen(CODE))
		return fsm_event_timeout(60 * SEC); /* who stops in the middle begins anew */
	d->n = 0;
	if (!strncmp(d->typed, CODE, strlen(CODE))) {
		d->wrong = 0;
		return fsm_go(OPEN);
	}
	printf("wrong\n");
	return ++d->wrong == TRIES ? fsm_go(ALARM) : 0;
}

static int locked(void *data, const fsm_event *e)
{
	struct door *d = data;

	if (e->kind == FSM_EVENT_TIMEOUT)
		d->n = 0;
	else if (e->m->tag == BUTTON)
		return button(d, *msg_as(e->m, char));
	else if (e->m->tag == PASS)
		return FSM_POSTPONE; /* answered when it is open */
	else if (e->m->tag == IS_CLOSED)
		return server_answer(e->from, 1);
	return 0;
}

static void opened(void *data, int from)
{
	(void)data;
	(void)from;
	printf("open\n");
	fsm_state_timeout(20 * SEC);
}

static int open_door(void *data, const fsm_event *e)
{
	(void)data;
	if (e->kind == FSM_STATE_TIMEOUT)
		return fsm_go(LOCKED);
	if (e->m->tag == IS_CLOSED)
		return FSM_POSTPONE;
	if (e->m->tag == PASS) {
		printf("somebody goes through\n");
		server_answer(e->from, 1);
		return fsm_state_timeout(10 * MS); /* it does not stay open for long behind somebody */
	}
	return 0; /* buttons do nothing */
}

static void closed(void *data, int from)
{
	(void)data;
	if (from == OPEN)
		printf("closed\n");
}

static void alarm_begins(void *data, int from)
{
	(void)data;
	(void)from;
	printf("alarm\n");
	fsm_timeout(0, 10 * MS);
}

static int alarmed(void *data, const fsm_event *e)
{
	struct door *d = data;

	if (e->kind != FSM_TIMEOUT)
		return FSM_POSTPONE; /* later */
	d->wrong = 0;
	printf("quiet\n");
	return fsm_go(LOCKED);
}

static const fsm_state states[STATES] = {
	[LOCKED] = {"locked", locked, .enter = closed},
	[OPEN] = {"open", open_door, .enter = opened},
	[ALARM] = {"alarm", alarmed, .enter = alarm_begins},
};
static const fsm_vt door = {.size = sizeof(struct door), .states = states, .n = STATES, .first = LOCKED, .timeouts = 1};

static void type(actor_ref ref, const char *code)
{
	for (; *code; code++)
		server_cast(ref, BUTTON, code, 1);
}

static void wait_until(actor_ref ref, int what)
{
	int yes, rc = server_ask(ref, what, &yes, 0);

	if (rc)
		task_panic("the door: %s", weft_strerror(rc));
}

WEFT_MAIN(argc, argv)
{
	actor_ref ref;

	(void)argc;
	(void)argv;
	if (fsm_start(&ref, &door, NULL, NULL))
		return 1;
	type(ref, "1234");
	type(ref, CODE);
	wait_until(ref, PASS);
	wait_until(ref, IS_CLOSED);

	type(ref, "000011112222"); /* three times */
	type(ref, CODE);           /* put off until the alarm is over */
	wait_until(ref, PASS);
	wait_until(ref, IS_CLOSED);
	actor_stop_wait(ref);
	return 0;
}
