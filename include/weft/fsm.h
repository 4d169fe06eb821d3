/* SPDX-License-Identifier: MIT
 *
 * weft/fsm.h - state machines: actors that do what they do by the state that they are in.
 *
 *	enum { LOCKED, OPEN };
 *
 *	static int locked(void *data, const weft_fsm_event *e)
 *	{
 *		if (e->kind == WEFT_FSM_CALL && right(data, e->m))
 *			weft_fsm_go(OPEN);
 *		...
 *	}
 *
 *	static void opened(void *data, int from)
 *	{
 *		weft_fsm_state_timeout(10 * WEFT_SEC);
 *	}
 *
 *	static int open(void *data, const weft_fsm_event *e)
 *	{
 *		if (e->kind == WEFT_FSM_STATE_TIMEOUT)
 *			weft_fsm_go(LOCKED);
 *		...
 *	}
 *
 *	static const weft_fsm_state states[] = {{"locked", locked}, {"open", open, .enter = opened}};
 *	static const weft_fsm_vt door = {.size = sizeof(struct door), .states = states, .n = 2};
 *
 *	weft_fsm_start(&ref, &door, NULL, NULL);
 *
 * It is asked as servers are (weft/server.h: weft_server_call, weft_server_cast, weft_server_reply), and is all that actors are.
 *
 * What comes next: a timeout of the state or by number that is due; then events that the machine has put in itself (weft_fsm_next); then, when the state has just changed, those that were put off, oldest first; then the
 * mailbox; then the event timeout. Events of calls whose callers have given up are left out. A machine that always has a timeout that is due, or an event put in, does not come to its mailbox; it lets others run, and ends when it is told to.
 *
 * Source: OTP's gen_statem. Other than there, a timeout of 0 does not wait its turn behind the mailbox, but that of events.
 */
#ifndef WEFT_FSM_H
#define WEFT_FSM_H

#include "actor.h"
#include "export.h"
#include "server.h"

WEFT_BEGIN_DECLS

enum weft_fsm_kind {
	WEFT_FSM_CALL,          /* to be answered */
	WEFT_FSM_CAST,          /* weft_server_cast */
	WEFT_FSM_INFO,          /* any other message, news of ends among them */
	WEFT_FSM_INTERNAL,      /* weft_fsm_next */
	WEFT_FSM_STATE_TIMEOUT, /* the state has lasted so long */
	WEFT_FSM_EVENT_TIMEOUT, /* nothing has come for so long */
	WEFT_FSM_TIMEOUT,       /* the one of that number */
};

typedef struct weft_fsm_event {
	enum weft_fsm_kind kind;
	int timeout;    /* WEFT_FSM_TIMEOUT: its number */
	weft_msg *m;    /* what has come: tag, data; NULL: a timeout */
	weft_from from; /* WEFT_FSM_CALL: who is to be answered */
} weft_fsm_event;

/* From a state's function: 0: done; negative: it has failed; any other positive result than these: with WEFT_EINVAL. */
#define WEFT_FSM_STOP WEFT_ACTOR_STOP
#define WEFT_FSM_HIBERNATE WEFT_SERVER_HIBERNATE
#define WEFT_FSM_POSTPONE \
	3 /* put the event off until the state has changed: also by this function. Not of timeouts. There is no bound to how many: the mailbox's does not count them */

typedef struct weft_fsm_state {
	const char *name; /* for those who look at it; may be NULL */
	int (*on)(void *data, const weft_fsm_event *e);
	void (*enter)(void *data,
		      int from); /* the state has been entered from that one; at first: from itself, after init. NULL: nothing to do */
} weft_fsm_state;

/* What a machine is; constant while it is one's. Handlers may block. data: vt.size bytes, the machine's own; or what was given at its start. */
typedef struct weft_fsm_vt {
	size_t size;
	const weft_fsm_state *states;
	int n;                                                   /* so many states */
	int first;                                               /* in which it begins */
	int timeouts;                                            /* it has so many by number, 0 to timeouts - 1; at most 1000 */
	int (*init)(void *data);                                 /* as of weft_server_vt. It may weft_fsm_go to another first state */
	void (*terminate)(void *data, weft_end e);               /* as of weft_server_vt, and so are these */
	int (*error)(void *data, int code, const weft_panic *p); /* 0: go on in the same state */
	void (*dtor)(weft_msg *m); /* also of events that were put off or put in, and are not handled any more */
} weft_fsm_vt;

/* weft_fsm_start - start a state machine. As weft_server_start, which waits for init, and not for the first state's enter: that one may fail, or panic, when this has returned 0. WEFT_EINVAL: also no states, one without a function, no such first one, or timeouts out of range. */
WEFT_API int weft_fsm_start(weft_actor_ref *out, const weft_fsm_vt *vt, const void *init, const weft_server_opts *o);
WEFT_API int weft_fsm_start_until(weft_actor_ref *out, const weft_fsm_vt *vt, const void *init, const weft_server_opts *o,
				  int64_t deadline);
WEFT_API int weft__fsm_start_at(weft_actor_ref *out, const weft_fsm_vt *vt, const void *init, const weft_server_opts *o, int64_t deadline,
				const struct weft_site *site);
#ifndef __cplusplus
#define weft_fsm_start(out, ...) weft__fsm_start_at(out, __VA_ARGS__, WEFT_FOREVER, WEFT__SITE("state machine"))
#define weft_fsm_start_until(out, ...) weft__fsm_start_at(out, __VA_ARGS__, WEFT__SITE("state machine"))
#endif

/* --- by the machine itself, in its handlers; any other caller gets WEFT_EINVAL. None blocks --- */

/* weft_fsm_go - when this function has returned, be in that state (the last one said). If it is another one: its state timeout ends, events that were put off come again, and enter is called. In
 * enter: once more, when that has returned. Returns 0; WEFT_EINVAL: no such state. */
WEFT_API int weft_fsm_go(int state);

/* weft_fsm_again - when this function has returned, enter the same state again: only enter is called. Not in enter: WEFT_EINVAL. Returns 0. */
WEFT_API int weft_fsm_again(void);

/* weft_fsm_now - in which state it is. Returns that, or WEFT_EINVAL. */
WEFT_API int weft_fsm_now(void);

/* weft_fsm_next - put an event of kind WEFT_FSM_INTERNAL in, before all that has come; those put in by one function come in their order.
 *
 *   data  len bytes, copied
 *
 * Returns 0; WEFT_EINVAL, WEFT_EMSGSIZE (1 GiB or more), WEFT_ENOMEM. */
WEFT_API int weft_fsm_next(uint64_t tag, const void *data, size_t len);

/* weft_fsm_state_timeout - an event when the machine has been in this state for so long from now on; of the state that it goes to, if it is said after weft_fsm_go (or in that state's enter). Said before, it ends with the state that is left: weft_fsm_go comes first. One at a time:
 * the last one said. Negative: none.
 * weft_fsm_event_timeout - when no event has come for so long. Any event ends it, also this one, and those of other timeouts: beside a heartbeat there is no such silence, and a timeout by number, said anew by what comes, is what is wanted.
 * weft_fsm_timeout - one by number, whatever the state and whatever comes. Return 0; WEFT_EINVAL: also no such number. */
WEFT_API int weft_fsm_state_timeout(int64_t ns);
WEFT_API int weft_fsm_event_timeout(int64_t ns);
WEFT_API int weft_fsm_timeout(int number, int64_t ns);

WEFT_END_DECLS

#endif
