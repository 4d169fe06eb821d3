/* SPDX-License-Identifier: MIT
 *
 * weft/server.h - servers: actors that are asked, and answer.
 *
 *	enum { ADD, GET };
 *
 *	static int on_call(void *state, weft_msg *m, weft_from from)
 *	{
 *		long *n = state;
 *
 *		if (m->tag == ADD)
 *			*n += *weft_msg_as(m, long);
 *		return weft_server_answer(from, *n);
 *	}
 *
 *	static const weft_server_vt counter = {.size = sizeof(long), .call = on_call};
 *
 *	weft_server_start(&ref, &counter, NULL, NULL);
 *	rc = weft_server_ask(ref, ADD, &sum, 5L);         // now sum is 5
 *
 * A call is a message whose sender waits for the answer, and stops waiting when the server ends. All of actors (weft/actor.h) is there for servers, too: they are linked, monitored, named, stopped, killed. The
 * other way round any actor can be called; weft_msg_from says which of its messages are calls. (Supervisors, and actors that stand for adopted tasks, take none: WEFT_ENOTSUP.)
 *
 * Who gives up (deadline, cancel) may have been served all the same: what was not yet received then is not handed to the server any more; else its answer is dropped, whenever it comes. Neither
 * the request nor the answer should own anything: copied they are, but whom a pointer in a call that failed belongs to nobody can say.
 *
 * WEFT_ECANCELED is the caller's own: it is the caller that is cancelled. A server that is, and passes on what its own calls return (weft_server_fail, or by returning it, from init too), is told of as WEFT_EDOWN. Returning it is best: the
 * server ends, and all who wait for it hear of that.
 *
 * Source: OTP's gen_server. Other than there, a handler answers by a call, so that what comes after the answer, and stopping, need no results of their own; a call waits for as long as its context says, and
 * when it has stopped, no late answer comes into the caller's mailbox.
 */
#ifndef WEFT_SERVER_H
#define WEFT_SERVER_H

#include "actor.h"
#include "export.h"
#include "future.h"
#include "registry.h"

WEFT_BEGIN_DECLS

/* Names one call: who is to be answered. Copied as it is, also into messages, and good for ever: for one that nobody waits for any more there is nothing to do. All zero: nobody's. */
typedef struct weft_from {
	weft_actor_ref weft__to;
	struct weft_task *weft__who;
	uint64_t weft__wait;
} weft_from;

/* From handlers: 0: go on; negative: it has failed; WEFT_SERVER_STOP, WEFT_SERVER_HIBERNATE; any other positive result (what weft_server_call has returned, say) is none: it has failed, with WEFT_EINVAL. */
#define WEFT_SERVER_STOP WEFT_ACTOR_STOP /* end, normally; with another end: weft_actor_stop(weft_actor_self(), end) and 0 */
#define WEFT_SERVER_HIBERNATE 2 /* go on, and give the stack's memory back, but for a page or two, if nothing is to be done at once */

/* What a server does; constant while it is one's. Each handler may block, and may be NULL. A handler that receives by itself does so by weft_actor_recv_match, and of kinds that it knows: what weft_server_migrate has sent is not for it.
 * state: vt.size bytes, the server's own; or what was given at its start. */
typedef struct weft_server_vt {
	size_t size; /* bytes of state; 0: state is passed on as it was given */
	/* First of all; the start waits for it, and fails with what it returns, if that is negative. */
	int (*init)(void *state);
	/* A call, to be answered by weft_server_reply, now or later, by anybody. NULL: calls fail with WEFT_ENOTSUP. */
	int (*call)(void *state, weft_msg *m, weft_from from);
	int (*cast)(
		void *state,
		weft_msg *
			m); /* what weft_server_cast, weft_reg_cast have sent; NULL: dropped, as by dtor, and a dead letter (weft_actor_on_dead_letter) */
	int (*info)(
		void *state,
		weft_msg *
			m); /* what else has come: weft_actor_send and weft_actor_tell, weft_reg_send, weft_pg_send, news of ends; NULL: the same, but for news */
	int (*timeout)(void *state); /* nothing has come for as long as weft_server_timeout has said */
	/* Last of all, unless init has failed, or it is killed; not cancelled even if the server was. It may still answer. */
	void (*terminate)(void *state, weft_end e);
	/* A handler has failed with that code, or panicked (else p is NULL). 0: go on; the call in hand, if it has not been answered, fails with that code. Negative: end with that code. NULL: the server ends */
	int (*error)(void *state, int code, const weft_panic *p);
	void (*dtor)(weft_msg *m); /* as of weft_actor_opts */
} weft_server_vt;

typedef struct weft_server_opts {
	const char *
		name; /* it gets this name (weft_reg_put) before init, or fails to start: WEFT_EEXIST, WEFT_ENAMETOOLONG; NULL: none. Also its task's */
	weft_mailbox_opts mailbox; /* a call that finds it full waits for room, or fails with WEFT_ENOBUFS where it does not block */
	weft_ctx *ctx;             /* as of weft_actor_opts, and so are these */
	bool trap_exit;
	bool link;
	bool contain; /* not of an event manager, whose handlers are several owners': WEFT_ENOTSUP */
} weft_server_opts;

/* weft_server_start - start a server.
 *
 *   out   receives its reference; NULL: not wanted
 *   vt    what it does; borrowed for as long as it runs
 *   init  its first state, vt->size bytes, copied, or NULL: zeros; if vt->size is 0, the state itself
 *   o     NULL: nothing special
 *
 * Returns as weft_actor_start; what vt->init or weft_reg_put has returned.
 * Blocks: while there is an init, or a name. Threads: any. It ends when the caller's context does: with a WEFT_WITH_TIMEOUT around it, a try of weft_retry, the handler or the request that has started it. One that is to live longer is
 * started by a supervisor, or with .ctx.
 */
WEFT_API int weft_server_start(weft_actor_ref *out, const weft_server_vt *vt, const void *init, const weft_server_opts *o);
WEFT_API int weft_server_start_until(weft_actor_ref *out, const weft_server_vt *vt, const void *init, const weft_server_opts *o,
				     int64_t deadline);
WEFT_API int weft__server_start_at(weft_actor_ref *out, const weft_server_vt *vt, const void *init, const weft_server_opts *o,
				   int64_t deadline, const struct weft_site *site);
#ifndef __cplusplus
#define weft_server_start(out, ...) weft__server_start_at(out, __VA_ARGS__, WEFT_FOREVER, WEFT__SITE("server"))
#define weft_server_start_until(out, ...) weft__server_start_at(out, __VA_ARGS__, WEFT__SITE("server"))
#endif

/* --- asking --- */

/* What a value is asked with, or nothing: NOTHING, if there is one argument; a value may be a literal with commas, up to 30. */
#define WEFT__ASK_HOW(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, a22, a23, a24, a25, \
		      a26, a27, a28, a29, a30, a31, a32, how, ...)                                                                        \
	how
#define WEFT__ASK_BY(...)                                                                                                             \
	WEFT__ASK_HOW(__VA_ARGS__, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE,  \
		      VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, VALUE, \
		      VALUE, NOTHING, ~)
#define WEFT__ASK_NOTHING(fn, to, tag, out) WEFT__ASK_UNTIL_NOTHING(fn, to, tag, out, WEFT_FOREVER)
#define WEFT__ASK_VALUE(fn, to, tag, out, ...) WEFT__ASK_UNTIL_VALUE(fn, to, tag, out, WEFT_FOREVER, __VA_ARGS__)
#define WEFT__ASK_UNTIL_NOTHING(fn, to, tag, out, deadline) fn((to), (tag), NULL, 0, (out), sizeof *(out), (deadline))
#define WEFT__ASK_UNTIL_VALUE(fn, to, tag, out, deadline, ...)                                       \
	__extension__({                                                                              \
		__typeof__(__VA_ARGS__) weft__value = (__VA_ARGS__);                                 \
		fn((to), (tag), &weft__value, sizeof weft__value, (out), sizeof *(out), (deadline)); \
	})

/* weft_server_call - send a request and wait for the answer.
 *
 *   tag    the server's m->tag
 *   req    len bytes, copied; may be NULL if len is 0
 *   reply  where the answer goes, up to cap bytes; written only if the call succeeds
 *
 * A server that never answers keeps its caller for ever: where that is possible, give a deadline (weft_server_call_until, WEFT_WITH_TIMEOUT). Dumps (docs/debugging.md) say whom a task waits for.
 *
 * Returns the bytes of the answer; or the negative code that the server has answered with (weft_server_fail). WEFT_ESRCH: it had ended before (or there is none); WEFT_EDOWN: it has ended meanwhile;
 * WEFT_EDEADLK: it is the caller; WEFT_EMSGSIZE: the answer is longer than cap, or the request 1 GiB or more; WEFT_ENOBUFS: its mailbox is full, and does not block, or it has thrown away what was there (weft_actor_drain);
 * WEFT_ENOTSUP: it takes no calls; WEFT_EINVAL, WEFT_ENOMEM. WEFT_ETIMEDOUT, WEFT_ECANCELED: see above; WEFT_EAGAIN for the deadline WEFT_NOW, and nothing was sent. A thread outside gets WEFT_EDOWN also when the runtime goes down.
 * Blocks: yes (server call). Threads: any. Order: the call happens before its handler begins; the answer happens before the call returns. Calls are received in the order of
 * messages of normal priority. Memory: none is allocated for a request of up to 56 bytes once some have been freed.
 */
WEFT_API int weft_server_call(weft_actor_ref to, uint64_t tag, const void *req, size_t len, void *reply, size_t cap);
WEFT_API int weft_server_call_until(weft_actor_ref to, uint64_t tag, const void *req, size_t len, void *reply, size_t cap,
				    int64_t deadline);

/* weft_server_ask - the same with a value (not an array: weft_server_call), or without one, and an answer that is *out: weft_server_ask(ref, ADD, &sum, 5L), weft_server_ask(ref, GET, &sum). Returns 0; WEFT_EMSGSIZE also if
 * the answer is shorter than *out, whose first bytes may have been written then; else as above. weft_server_ask_until - the deadline is behind out: weft_server_ask_until(ref, ADD, &sum, weft_in(WEFT_SEC), 5L). */
#define weft_server_ask(to, tag, ...) WEFT__JOIN(WEFT__ASK_, WEFT__ASK_BY(__VA_ARGS__))(weft__server_ask, to, tag, __VA_ARGS__)
#define weft_server_ask_until(to, tag, out, ...) \
	WEFT__JOIN(WEFT__ASK_UNTIL_, WEFT__ASK_BY(__VA_ARGS__))(weft__server_ask, to, tag, out, __VA_ARGS__)
WEFT_API int weft__server_ask(weft_actor_ref to, uint64_t tag, const void *req, size_t len, void *reply, size_t size, int64_t deadline);

/* weft_reg_call - weft_server_call to whoever has the name (weft/registry.h); the bytes of the answer. Also WEFT_ENOENT: nobody, also while a supervisor has not started it again; WEFT_ENAMETOOLONG. */
WEFT_API int weft_reg_call(const char *name, uint64_t tag, const void *req, size_t len, void *reply, size_t cap);
WEFT_API int weft_reg_call_until(const char *name, uint64_t tag, const void *req, size_t len, void *reply, size_t cap, int64_t deadline);

/* weft_reg_ask - weft_server_ask to whoever has the name, weft_reg_ask("sums", ADD, &sum, 5L); weft_reg_cast - weft_server_cast. The same errors besides. */
#define weft_reg_ask(name, tag, ...) WEFT__JOIN(WEFT__ASK_, WEFT__ASK_BY(__VA_ARGS__))(weft__reg_ask, name, tag, __VA_ARGS__)
#define weft_reg_ask_until(name, tag, out, ...) \
	WEFT__JOIN(WEFT__ASK_UNTIL_, WEFT__ASK_BY(__VA_ARGS__))(weft__reg_ask, name, tag, out, __VA_ARGS__)
WEFT_API int weft__reg_ask(const char *name, uint64_t tag, const void *req, size_t len, void *reply, size_t size, int64_t deadline);
WEFT_API int weft_reg_cast(const char *name, uint64_t tag, const void *data, size_t len);
WEFT_API int weft_reg_cast_until(const char *name, uint64_t tag, const void *data, size_t len, int64_t deadline);

/* weft_server_request - send a request, and have the answer as a future: it can be awaited, selected on (WEFT_FUTURE), waited for with others (weft_future_all), or taken in the order in which answers come (weft_futures). weft_reg_request - to whoever has the name.
 *
 *   cap  bytes of the longest answer, up to 65,535: the size of the future's value. What a shorter one lacks are zeroes; weft_server_response says how long it is
 *   out  receives the future, with one reference
 *
 * To give back the last reference, or to cancel it, gives the request up: what was not yet received is not handed to the server any more, and a late answer vanishes. The future ends as weft_server_call would: with the answer, with the code that the server
 * answers with, WEFT_EDOWN when it ends, or WEFT_EMSGSIZE for an answer that is too long. It is from the caller, and may be to the caller itself.
 *
 * Returns 0; else nothing was sent, and *out is NULL: WEFT_ESRCH, WEFT_ENOBUFS, WEFT_EINVAL (also cap out of range), WEFT_EMSGSIZE (the request has 1 GiB or more), WEFT_ENOMEM; of weft_reg_request WEFT_ENOENT, WEFT_ENAMETOOLONG. If it waits for room in the mailbox: WEFT_ETIMEDOUT,
 * WEFT_ECANCELED, WEFT_EAGAIN; WEFT_EDEADLK: the mailbox is the caller's.
 * Blocks: while the mailbox is full (mailbox room). Threads: any. Order: as weft_server_call. Source: OTP's gen_server:send_request.
 */
WEFT_API int weft_server_request(weft_actor_ref to, uint64_t tag, const void *req, size_t len, size_t cap, weft_future **out);
WEFT_API int weft_server_request_until(weft_actor_ref to, uint64_t tag, const void *req, size_t len, size_t cap, weft_future **out,
				       int64_t deadline);
WEFT_API int weft_reg_request(const char *name, uint64_t tag, const void *req, size_t len, size_t cap, weft_future **out);
WEFT_API int weft_reg_request_until(const char *name, uint64_t tag, const void *req, size_t len, size_t cap, weft_future **out,
				    int64_t deadline);

/* weft_server_response - wait for the answer to a request.
 *
 *   f      of weft_server_request; stays the caller's
 *   reply  where the answer goes, up to cap bytes; may be NULL if cap is 0
 *
 * Returns the bytes of the answer; or what f has failed with (weft_future_done says whether it was that); WEFT_EMSGSIZE: the answer is longer than cap, and still there; WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (deadline WEFT_NOW): the caller's own, and the request
 * goes on; WEFT_EINVAL: NULL, or it is no request's.
 * Blocks: yes (future). Threads: any.
 */
WEFT_API int weft_server_response(weft_future *f, void *reply, size_t cap);
WEFT_API int weft_server_response_until(weft_future *f, void *reply, size_t cap, int64_t deadline);

/* What one member of a group has said. */
typedef struct weft_reply {
	weft_actor_ref from;
	int result;  /* as of weft_server_call */
	void *reply; /* where its answer is */
} weft_reply;

/* weft_pg_call - call all members of a group at the same time (weft_pg_join), and wait for all answers.
 *
 *   out, n  what the first n members say, in the order in which they joined; others are not called
 *   room    n times cap bytes: where the answers go; may be NULL if cap is 0
 *
 * Returns how many were called, which is at most n; 0: there is no such group. Past the deadline those that have not answered have the result WEFT_ETIMEDOUT; a member that is the caller has WEFT_EDEADLK.
 * WEFT_ECANCELED, WEFT_ETIMEDOUT: the caller was cancelled, or its context has run out; WEFT_ENOMEM, WEFT_EAGAIN, WEFT_ESRCH: no memory, no more tasks, no runtime; then the first results may be there already. WEFT_EINVAL,
 * WEFT_ENAMETOOLONG; WEFT_EAGAIN also for the deadline WEFT_NOW.
 * Blocks: yes (group), with a task a member, which asks: what members receive is from WEFT_NO_ACTOR. Threads: any; one outside waits for ever if the runtime goes down meanwhile.
 */
WEFT_API int weft_pg_call(const char *group, uint64_t tag, const void *req, size_t len, weft_reply *out, int n, void *room, size_t cap);
WEFT_API int weft_pg_call_until(const char *group, uint64_t tag, const void *req, size_t len, weft_reply *out, int n, void *room,
				size_t cap, int64_t deadline);

/* weft_server_cast - weft_actor_send at normal priority, for the server's cast. */
WEFT_API int weft_server_cast(weft_actor_ref to, uint64_t tag, const void *data, size_t len);
WEFT_API int weft_server_cast_until(weft_actor_ref to, uint64_t tag, const void *data, size_t len, int64_t deadline);

/* weft_server_cast_after, weft_server_cast_at - the same when its time has come: as weft_actor_send_after, for the server's cast, or a state machine's WEFT_FSM_CAST. */
WEFT_API int weft_server_cast_after(weft_actor_ref to, int64_t ns, uint64_t tag, const void *data, size_t len, weft_actor_timer **out);
WEFT_API int weft_server_cast_at(weft_actor_ref to, int64_t when, uint64_t tag, const void *data, size_t len, weft_actor_timer **out);

/* --- answering --- */

/* weft_server_reply - answer a call; weft_server_fail - with a negative code, which the call returns. A call is answered once.
 *
 *   data  len bytes, copied to where the caller wants it; may be NULL if len is 0
 *
 * Return 0; WEFT_ESRCH: nobody waits for it: it has been answered, its caller has given up, or the server that was asked has ended; WEFT_EMSGSIZE: the answer is too long for the caller, who is told the same;
 * WEFT_EINVAL: NULL, or the code is not negative.
 * Block: no. Threads: any.
 */
WEFT_API int weft_server_reply(weft_from from, const void *data, size_t len);
WEFT_API int weft_server_fail(weft_from from, int code);

/* weft_server_answer - weft_server_reply with a value, for handlers to return: weft_server_answer(from, *n). Its result is 0 even if nobody waits for it. */
#define weft_server_answer(from, ...)                                              \
	__extension__({                                                            \
		__typeof__(__VA_ARGS__) weft__value = (__VA_ARGS__);               \
		(void)weft_server_reply((from), &weft__value, sizeof weft__value); \
		0;                                                                 \
	})

/* weft_server_waiting - does anybody still wait for the answer? May have changed when you read it. Threads: any. */
WEFT_API bool weft_server_waiting(weft_from from);

/* weft_msg_from - by an actor, of a message that it has received: whom to answer. All zero (weft_from_none): it is no call. */
WEFT_API weft_from weft_msg_from(const weft_msg *m);

static inline bool weft_from_none(weft_from f)
{
	return !f.weft__who;
}

/* --- by the server itself, in a handler; any other caller gets WEFT_EINVAL --- */

/* weft_server_timeout - have vt.timeout called if nothing comes for so long after this handler has returned. Whatever is handed to a handler first ends it; calls that are given up by then, and migrations, do not. 0: as soon as
 * nothing is there to be received; negative: not at all. Returns 0. */
WEFT_API int weft_server_timeout(int64_t ns);

/* --- stopping, changing --- */

/* weft_server_stop - have it end with `end`, after what it has in hand, and wait for that. Past the deadline (or when the caller is cancelled) it is killed, and not waited for.
 * Returns 0: it has ended; else as weft_actor_stop_wait; WEFT_EINVAL: no such kind. Blocks: yes (actor). Threads: any. */
WEFT_API int weft_server_stop(weft_actor_ref ref, weft_end end);
WEFT_API int weft_server_stop_until(weft_actor_ref ref, weft_end end, int64_t deadline);

/* weft_server_migrate - have it do what another table says from the next message on; before all that waits in its mailbox at normal priority. Those who have asked notice nothing.
 *
 *   conv  makes the new state, to->size bytes of zeros, from the old one; negative, or a panic: all stays as it is. NULL: the state is kept, and has the same size. By the server's task; it may block
 *   arg   its last argument; must be valid until it has returned, also if this call has been given up: with a deadline, or where the caller may be cancelled, not in the caller's frame
 *
 * Returns 0; what conv has returned, if that is negative. A conv that panics is a handler that does: WEFT_EPANIC if vt.error has the server go on, WEFT_EDOWN if it ends. WEFT_EINVAL: to is NULL, or conv, where the sizes differ or are 0 (states of size 0 are kept), or it is an actor, but no server; WEFT_EDEADLK: the server itself;
 * WEFT_ESRCH, WEFT_EDOWN, WEFT_ENOMEM. WEFT_ETIMEDOUT, WEFT_ECANCELED: it has not been begun, or conv runs. WEFT_EAGAIN for the deadline WEFT_NOW.
 * Blocks: yes (server call). Threads: any.
 */
typedef int weft_server_conv(const void *old, void *fresh, void *arg);
WEFT_API int weft_server_migrate(weft_actor_ref ref, const weft_server_vt *to, weft_server_conv *conv, void *arg);
WEFT_API int weft_server_migrate_until(weft_actor_ref ref, const weft_server_vt *to, weft_server_conv *conv, void *arg, int64_t deadline);

WEFT_END_DECLS

#endif
