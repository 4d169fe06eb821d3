/* SPDX-License-Identifier: MIT
 *
 * weft/actor.h - actors: tasks with a mailbox, which fail alone, and are told of each other's end.
 *
 *	struct counter { long n; };
 *	enum { ADD, GET };
 *
 *	static int on_msg(void *state, weft_msg *m)
 *	{
 *		struct counter *c = state;
 *
 *		if (m->tag == ADD)
 *			c->n += *weft_msg_as(m, long);
 *		else if (m->tag == GET)
 *			weft_actor_send(m->from, GET, &c->n, sizeof c->n, WEFT_PRIO_NORMAL);
 *		return 0;
 *	}
 *
 *	weft_actor_start(&ref, &(weft_actor_opts){.on_msg = on_msg, .size = sizeof(struct counter)});
 *	weft_actor_send(ref, ADD, &(long){5}, sizeof(long), WEFT_PRIO_NORMAL);
 *
 * An actor handles one message at a time. Its state is nobody else's. What is sent to it is copied; messages of one sender and one priority come in the order in which they
 * were sent. A reference names one actor for ever: when that has ended, a send to it is WEFT_ESRCH, whatever has been started since.
 *
 * Ends. An actor ends when a handler says so or fails, when it is told to stop, by an exit signal, with its context, or when it is killed. Who is linked to it gets an exit signal with the
 * same reason, and ends, too, unless it traps those, or the reason is normal; who monitors it gets one message. C cannot end a task that does not look: an exit signal and a kill cancel the
 * actor, so that its blocking calls fail, and it ends when its handler returns.
 *
 * Containment. A fault ends the process, unless the actor was started with .contain: then a stack overflow, an access to memory that is not there, a division by zero, an illegal instruction, an abort or a failed
 * assertion, in the code of its handlers or what that calls, ends the actor alone, with WEFT_END_FAULT: it stops where it stands. Nothing of it runs any more: nothing that it has deferred, no on_error, no on_stop, no
 * destructor of a task-local value. Its links, monitors and supervisor are told; the locks it owned (mutex, recursive mutex, reader-writer lock when writing) are poisoned: whoever locks one is told WEFT_EPOISONED until it is
 * recovered. Its stack is not used again for a while. A line on standard error says what has happened, and where.
 *
 * What C cannot promise. What it has allocated is lost, what it has opened stays open, what it has half written stays so: only what is reached through a poisoned lock says so. Before the fault it may have written anywhere;
 * whoever cannot trust memory after that must not contain. It still ends the process, as without .contain: a fault in a task that the actor has started; in a blocking call or section; in a function of weft's or libc's, or under
 * one that calls back (a stage of a stream, weft_once_do), but for libc's that touch only what they are given (strlen, memcpy, strcmp and their like), qsort and bsearch (a stack that runs full inside a
 * call is lent some of its guard, and the actor ended when that call returns); in the loader, libuv, libcrypto and libssl; in code without call frame information; a signal that somebody has sent; heap
 * corruption that malloc finds; code made at run time; and a second fault while the first is looked at. What weft does not know that the actor holds stays held: a pthread mutex, a spin lock, a read lock, permits, a channel's element in hand; and what waits for it waits for ever. On aarch64 a division by zero is none: it gives 0.
 *
 * In a blocking call or section (weft/blocking.h), which runs off a task, the caller is no actor but a thread like any other: what it sends is from nobody, what only actors may call is
 * WEFT_EINVAL there, weft_msg_free a fatal error; a send to the actor that is in the section waits for ever if there is no room, and so does a wait for its end.
 *
 * Memory: a message of up to 64 bytes needs no allocation once some have been freed; nor does a monitor or a link. What an actor takes besides its task (half a KiB) is kept for the
 * next one and never given back to the system, so that a reference is never one to freed memory.
 */
#ifndef WEFT_ACTOR_H
#define WEFT_ACTOR_H

#include "chan.h"
#include "defer.h"
#include "export.h"
#include "task.h"

WEFT_BEGIN_DECLS

/* Names one actor, alive or dead; all zero: none. Copied as it is, also into messages. */
typedef struct weft_actor_ref {
	void *weft__at;
	uint64_t weft__gen;
} weft_actor_ref;

#define WEFT_NO_ACTOR (__extension__(weft_actor_ref){0, 0})

static inline bool weft_actor_same(weft_actor_ref a, weft_actor_ref b)
{
	return a.weft__at == b.weft__at && a.weft__gen == b.weft__gen;
}

/* --- how an actor ends --- */

enum weft_end_kind {
	WEFT_END_NORMAL,   /* it was done, or was told to stop */
	WEFT_END_CODE,     /* a handler, or its function, has returned this code */
	WEFT_END_PANIC,    /* by a panic; the code is WEFT_EPANIC */
	WEFT_END_CANCELED, /* its context was cancelled, or has run out; the code says which */
	WEFT_END_KILLED,   /* weft_actor_kill; the code is WEFT_ECANCELED */
	WEFT_END_SHUTDOWN, /* whoever looks after it wants no more of it */
	WEFT_END_UNKNOWN,  /* it had ended before anybody asked; the code is WEFT_ESRCH */
	WEFT_END_FAULT, /* a fault in its own code, where it is contained: WEFT_EOVERFLOW, WEFT_EFAULT, WEFT_EARITH, WEFT_EILLEGAL, WEFT_EABORT */
};

typedef struct weft_end {
	int32_t kind; /* enum weft_end_kind */
	int32_t code;
} weft_end;

/* weft_end_name - "normal", "code", "panic", "canceled", "killed", "shutdown", "unknown", "fault". */
WEFT_API const char *weft_end_name(weft_end e);

/* --- messages --- */

enum weft_msg_kind {
	WEFT_MSG_USER, /* somebody has sent it */
	WEFT_MSG_DOWN, /* an actor that the receiver monitors has ended: a weft_down */
	WEFT_MSG_EXIT, /* an exit signal, to an actor that traps them: a weft_down */
};

typedef struct weft_msg {
	uint64_t tag;        /* the sender's word for what it is; of WEFT_MSG_DOWN: the number of the monitor */
	weft_actor_ref from; /* who has sent it: WEFT_NO_ACTOR if that is no actor */
	void *data;          /* its copy, aligned for everything; the receiver may write there */
	uint32_t len;        /* bytes */
	uint8_t kind;        /* enum weft_msg_kind */
	int8_t prio;         /* enum weft_prio */
	uint8_t weft__flags;
	uint8_t weft__home;
} weft_msg;

typedef struct weft_down {
	weft_actor_ref ref; /* who has ended */
	uint64_t monitor;   /* which monitor tells; 0: an exit signal */
	weft_end end;
} weft_down;

/* weft_msg_as - the message's data as `type`, which it must have the size of: else the handler panics. */
#define weft_msg_as(m, type) ((type *)weft__msg_as((m), sizeof(type), #type, __FILE__, __LINE__))
WEFT_API void *weft__msg_as(weft_msg *m, size_t size, const char *type, const char *file, int line);

/* weft_msg_down - what a WEFT_MSG_DOWN or WEFT_MSG_EXIT says. Any other message: the handler panics. */
WEFT_API const weft_down *weft_msg_down(weft_msg *m);
WEFT_API const weft_down *weft__msg_down(weft_msg *m, const char *file, int line);
#define weft_msg_down(m) weft__msg_down((m), __FILE__, __LINE__)

/* --- starting --- */

enum weft_overflow {
	WEFT_OVERFLOW_BLOCK, /* the sender waits for room */
	WEFT_OVERFLOW_DROP,  /* the message is dropped, and counted; the sender is told nothing */
	WEFT_OVERFLOW_FAIL,  /* the send fails with WEFT_ENOBUFS */
};

#define WEFT_MAILBOX_CAP 1024             /* where nothing is said */
#define WEFT_MAILBOX_UNBOUNDED UINT32_MAX /* no bound but memory */
#define WEFT_ACTOR_STOP 1                 /* from on_msg: the actor ends, normally */

typedef struct weft_mailbox_opts {
	/* Messages it holds, those it has received (and what a state machine has put off: WEFT_FSM_POSTPONE) not counted; 0: WEFT_MAILBOX_CAP. Notices of ends, and orders to stop, always pass. */
	uint32_t cap;
	enum weft_overflow overflow; /* what happens to more */
	uint32_t high;               /* at so many on_high is called, and again after there have been half as many; 0: never */
	void (*on_high)(weft_actor_ref ref, uint32_t len, void *arg); /* by the sender, on its task; it must not block */
	void *arg;
} weft_mailbox_opts;

typedef struct weft_actor_opts {
	/* Handlers; state is theirs. Each may block. */
	/* One message, freed afterwards. 0: the next, please; WEFT_ACTOR_STOP; negative: it has failed; any other positive result: with WEFT_EINVAL. */
	int (*on_msg)(void *state, weft_msg *m);
	/* In place of on_msg: a function that receives by itself. Its result is the actor's end: 0, or a code. */
	int (*run)(void *state);
	/* First of all; the start waits for it, and fails with what it returns, if that is negative. */
	int (*on_start)(void *state);
	/* Last of all, unless on_start has failed, or it is killed; not cancelled even if the actor was. */
	void (*on_stop)(void *state, weft_end e);
	/* on_msg or run has failed with that code, or panicked (else p is NULL). 0: go on, with the next message, or another call of run; negative: end with that code.
	 * NULL: the actor ends */
	int (*on_error)(void *state, int code, const weft_panic *p);
	void *state; /* handlers' first argument; with .size: its first value, or NULL for zeros */
	size_t size; /* bytes of state to be the actor's own: copied at the start, freed at the end; 0: state is passed on as it is */
	/* For each message sent to it that it does not receive, when it is dropped or at the actor's end: destroys what its data points to. It must not block. It runs on the sender's task, or the
	 * actor's, which is none any more (a panic there is logged, and the next message follows); or, when main has returned, on the thread that called weft_run. */
	void (*dtor)(weft_msg *m);
	weft_mailbox_opts mailbox;
	const char *name; /* of its task: copied, cut at 31 bytes. No entry in the registry */
	weft_ctx *ctx;    /* parent of its own context; NULL: the caller's, with whose end (a time limit, a handler's) it ends, too */
	bool trap_exit;   /* exit signals become messages; see weft_actor_trap */
	bool link;        /* it is linked to the caller, an actor, before it runs */
	bool contain;     /* a fault in its own code ends it alone: see "Containment" above */
} weft_actor_opts;

/* weft_actor_start - start an actor; it has a task, a mailbox, and a context of its own.
 *
 *   out  receives its reference; NULL: not wanted
 *   o    .on_msg or .run, one of them
 *
 * Returns 0 once on_start has succeeded; what on_start has returned, or WEFT_EPANIC, or the code of its WEFT_END_FAULT, else: then the actor has ended, and *out is WEFT_NO_ACTOR. WEFT_EDOWN: it has been
 * killed or cancelled (and the caller has not), or has ended its task (weft_task_exit), in on_start. WEFT_EINVAL: options that
 * make no sense, or .link and the caller is no actor; WEFT_ENOTSUP: .contain, and this process cannot (a sanitizer or Valgrind; weft_opts.no_signals; weft is linked into a program that has
 * no symbol table, or was optimised as a whole with it); WEFT_ENOMEM, WEFT_EAGAIN, WEFT_ESRCH as weft_go; WEFT_ETIMEDOUT, WEFT_ECANCELED, and WEFT_EAGAIN for the deadline WEFT_NOW: of the wait for on_start: then the actor
 * is killed.
 * Blocks: while there is an on_start. Threads: any. What it has started under its context, and still runs at its end, is cancelled then.
 */
WEFT_API int weft_actor_start(weft_actor_ref *out, const weft_actor_opts *o);
WEFT_API int weft_actor_start_until(weft_actor_ref *out, const weft_actor_opts *o, int64_t deadline);
WEFT_API int weft__actor_start_at(weft_actor_ref *out, const weft_actor_opts *o, int64_t deadline, const struct weft_site *site);
#ifndef __cplusplus
#define weft_actor_start(out, ...) weft__actor_start_at(out, __VA_ARGS__, WEFT_FOREVER, WEFT__SITE("actor"))
#define weft_actor_start_until(out, ...) weft__actor_start_at(out, __VA_ARGS__, WEFT__SITE("actor"))
#endif

/* weft_actor_fn - start an actor without state that is only this handler. Returns as weft_actor_start. Blocks: no. */
WEFT_API int weft_actor_fn(weft_actor_ref *out, int (*on_msg)(void *state, weft_msg *m));

/* weft_actor_attach - make the calling task an actor until it ends: it may receive, monitor, link. (Its context stays what it was.)
 *
 *   m  NULL: as it comes
 *
 * Returns 0; WEFT_EALREADY: it is one, and *out says which; WEFT_EINVAL: no task, or options that make no sense; WEFT_ENOMEM.
 */
WEFT_API int weft_actor_attach(weft_actor_ref *out, const weft_mailbox_opts *m);

/* weft_actor_adopt - start an actor that stands for a task: it ends when the task ends, with its result, and is what to link to or monitor; when it ends before (stopped, by an exit
 * signal, killed) it cancels the task. What is sent to it is dropped; calls (weft/server.h) fail with WEFT_ENOTSUP.
 *
 *   t  a handle, taken over: nobody joins it any more
 *
 * Returns as weft_actor_start; on error the handle is still the caller's. WEFT_EINVAL: no handle, or the caller's own. Blocks: no.
 */
WEFT_API int weft_actor_adopt(weft_actor_ref *out, weft_task *t);

/* weft_actor_self - the calling actor; WEFT_NO_ACTOR if the caller is none. */
WEFT_API weft_actor_ref weft_actor_self(void);

/* weft_actor_alive - has it not ended? May have changed when you read it. */
WEFT_API bool weft_actor_alive(weft_actor_ref ref);

/* weft_actor_become - handle what comes next by another function, with the same state.
 * Returns 0, or WEFT_EINVAL: the caller is no actor with handlers, or NULL. */
WEFT_API int weft_actor_become(int (*on_msg)(void *state, weft_msg *m));

/* --- sending --- */

/* weft_actor_send - send a message.
 *
 *   tag   the receiver's m->tag
 *   data  len bytes, copied; may be NULL if len is 0
 *   prio  enum weft_prio: those of a higher class are received first
 *
 * Returns 0: it is in the mailbox, or dropped as the receiver's overflow policy says. WEFT_ESRCH: the actor has ended (or there is none): then the dead-letter hook is called. WEFT_ENOBUFS: full,
 * and the policy is to fail. WEFT_EDEADLK: full, and the receiver is the caller. WEFT_EINVAL: no such priority; WEFT_EMSGSIZE: 1 GiB or more; WEFT_ENOMEM. If it waits for room: WEFT_ETIMEDOUT, WEFT_ECANCELED,
 * WEFT_EAGAIN. On any error nothing was sent.
 * Blocks: while the mailbox is full (mailbox room). Threads: any. Order: the send happens before the receive returns.
 */
WEFT_API int weft_actor_send(weft_actor_ref to, uint64_t tag, const void *data, size_t len, int prio);
WEFT_API int weft_actor_send_until(weft_actor_ref to, uint64_t tag, const void *data, size_t len, int prio, int64_t deadline);

/* weft_actor_tell - send a value at normal priority: weft_actor_tell(ref, ADD, 5L). */
#define weft_actor_tell(to, tag, ...)                                                             \
	__extension__({                                                                           \
		__typeof__(__VA_ARGS__) weft__value = (__VA_ARGS__);                              \
		weft_actor_send((to), (tag), &weft__value, sizeof weft__value, WEFT_PRIO_NORMAL); \
	})

/* --- sending later --- */

typedef struct weft_actor_timer weft_actor_timer;

/* weft_actor_send_after - send a message when so much time has passed; weft_actor_send_at - at an absolute time (weft_now).
 *
 *   ns    0 or less: at once, as `when` in the past: it may be there before this returns
 *   out   receives the timer, to be given back by weft_actor_timer_cancel; NULL: it goes on alone
 *
 * It is from the caller, whatever has become of that one. It always gets in, also into a mailbox that is full, which then holds more than its bound; on_high is not called by it. If the receiver ends before, nothing is told to
 * anybody (also no dead-letter hook): the message goes to the receiver's dtor, as what it has not received; so it does when the receiver's runtime goes down, not when the sender's does.
 *
 * Returns 0; WEFT_ESRCH: the actor has ended (or there is none), or its runtime goes down; WEFT_EINVAL: no such priority, or WEFT_FOREVER; WEFT_EMSGSIZE: 1 GiB or more; WEFT_ENOMEM. On any error *out is NULL, and nothing will be sent.
 * Blocks: no, and so it is no cancellation point. Threads: any. Order: as weft_actor_send, of what was done before it was called.
 * Source: Erlang's erlang:send_after, which ends with its receiver, too.
 */
WEFT_API int weft_actor_send_after(weft_actor_ref to, int64_t ns, uint64_t tag, const void *data, size_t len, int prio,
				   weft_actor_timer **out);
WEFT_API int weft_actor_send_at(weft_actor_ref to, int64_t when, uint64_t tag, const void *data, size_t len, int prio,
				weft_actor_timer **out);

/* weft_actor_timer_cancel - give a timer back, and have its message not sent, if there is still time. NULL is allowed.
 *
 * Returns 1: in time: it was not sent, and will not be, and what its data points to is the caller's again; 0: it is in the mailbox, or has been, or the receiver has ended. Blocks: no. Threads: any.
 */
WEFT_API int weft_actor_timer_cancel(weft_actor_timer *t);

/* weft_actor_timer_left - ns until it is sent, 0 if that is due; WEFT_ESRCH: it has been, or the receiver has ended, or t is NULL. Threads: any. */
WEFT_API int64_t weft_actor_timer_left(weft_actor_timer *t);

/* What a message to an actor that has ended, or has no use for it, was. The data is valid during the call. */
typedef struct weft_dead_letter {
	weft_actor_ref to, from;
	uint64_t tag;
	const void *data;
	size_t len;
	int prio;
} weft_dead_letter;

/* weft_actor_on_dead_letter - have fn called for every send that is WEFT_ESRCH, by the sender, on its task, before that returns; and for what a server without a handler for it (vt.cast, vt.info), a supervisor, or an actor
 * that stands for a task drops, by that one, on its task. It must not block. NULL: nothing is called. One for the process; a call of the former may still be under way. */
WEFT_API void weft_actor_on_dead_letter(void (*fn)(const weft_dead_letter *d, void *arg), void *arg);

/* --- receiving: by the actor itself; any other caller gets WEFT_EINVAL --- */

/* weft_actor_recv - wait for the next message: of the highest class that has one, the oldest.
 *
 *   m  receives it; it is the caller's until weft_msg_free, or its end
 *
 * Returns 0; WEFT_ECLOSED: the actor has been told to stop (in on_stop: not any more); WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN. While it is suspended it receives nothing. In a select: WEFT_MAIL.
 * Blocks: yes (mailbox).
 */
WEFT_API int weft_actor_recv(weft_msg **m);
WEFT_API int weft_actor_recv_until(weft_msg **m, int64_t deadline);

/* weft_actor_recv_match - the same, of those messages for which match(m, arg) says true; the others stay, in their order. match must not receive, and not block. */
WEFT_API int weft_actor_recv_match(weft_msg **m, bool (*match)(const weft_msg *m, void *arg), void *arg);
WEFT_API int weft_actor_recv_match_until(weft_msg **m, bool (*match)(const weft_msg *m, void *arg), void *arg, int64_t deadline);

/* weft_actor_peek - the message that weft_actor_recv would take now, left where it is: borrowed until the caller receives again. Returns as weft_actor_recv_until(m, WEFT_NOW). */
WEFT_API int weft_actor_peek(const weft_msg **m);

/* weft_actor_drain - take all messages that have been sent so far (not notices of ends).
 *
 *   fn  called with each, which is freed afterwards; NULL: the actor's dtor, and calls (weft/server.h) fail with WEFT_ENOBUFS
 *
 * Returns how many. Those who wait for room get in meanwhile, and are not among them. Blocks: if fn does.
 */
WEFT_API int weft_actor_drain(void (*fn)(weft_msg *m, void *arg), void *arg);

/* weft_msg_free - give a message back that weft_actor_recv, or weft_msg_keep, has given to the caller. NULL is allowed. By the actor that has received it. */
WEFT_API void weft_msg_free(weft_msg *m);

/* weft_msg_keep - in on_msg: do not free m when the handler returns; weft_msg_free does. Those not freed at the actor's end are freed then. */
WEFT_API void weft_msg_keep(weft_msg *m);

/* WEFT_MAIL - select case: a message has come.
 *
 *   m  a weft_msg *, which receives it
 *
 * Status: as weft_actor_recv returns: 0 or WEFT_ECLOSED. The select fails with WEFT_EINVAL: the caller is no actor.
 */
#define WEFT_MAIL(m) WEFT_CASE_OF(WEFT_CASE_SOURCE, 0, {.on = 0}, {.elem = (m)}, {.source = &weft_source_mail})
WEFT_API extern const weft_source weft_source_mail;

/* --- stopping --- */

/* weft_actor_stop - tell it to end with `end`, after the message in hand and before the next. What it waits for in a handler it goes on waiting for.
 *
 * Returns 0; WEFT_EALREADY: it has been told so, or has an exit signal, or is ending; WEFT_ESRCH; WEFT_EINVAL: no such kind. Blocks: no. Threads: any.
 */
WEFT_API int weft_actor_stop(weft_actor_ref ref, weft_end end);

/* weft_actor_stop_wait - the same with a normal end, and wait for it. Past the deadline (or when the caller is cancelled) it is killed, and not waited for.
 *
 * Returns 0: it has ended (who is linked to it, or monitors it, may be about to be told); WEFT_ESRCH: it had before; WEFT_ETIMEDOUT, WEFT_ECANCELED; WEFT_EAGAIN for the deadline WEFT_NOW; WEFT_EDEADLK for the caller itself, which is told to stop;
 * WEFT_ENOMEM: a thread outside cannot wait, and the actor is told to stop.
 * Blocks: yes (actor). Threads: any.
 */
WEFT_API int weft_actor_stop_wait(weft_actor_ref ref);
WEFT_API int weft_actor_stop_wait_until(weft_actor_ref ref, int64_t deadline);

/* weft_actor_kill - end it without on_stop. It cannot be trapped; it cancels on_stop, too, if that is running. It loses its names and groups (weft/registry.h) before this returns. Returns 0, or WEFT_ESRCH. Blocks: no. Threads: any. */
WEFT_API int weft_actor_kill(weft_actor_ref ref);

/* weft_actor_signal - send an exit signal, as links do: it becomes a message, where the receiver traps those; else, unless it is WEFT_END_NORMAL, it cancels the actor, which ends with it.
 * Returns 0 (also when there is nothing to it any more, because it is ending); WEFT_ESRCH; WEFT_EINVAL: no such kind, or WEFT_END_KILLED; WEFT_ENOMEM. Blocks: no. Threads: any. */
WEFT_API int weft_actor_signal(weft_actor_ref ref, weft_end end);

/* weft_actor_wait - wait until it has ended.
 *
 *   end  receives how; NULL: not wanted
 *
 * Returns 0; WEFT_ESRCH: it had ended before, and nobody knows how any more; WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN; WEFT_EDEADLK for the caller itself. When the actor's runtime goes down before
 * that, a thread outside gets WEFT_ESRCH, and a task of another runtime 0 and WEFT_END_CANCELED. A thread gets WEFT_ENOMEM if it has nothing to wait with.
 * Blocks: yes (actor). Threads: any. Order: all that the actor did is seen after it.
 */
WEFT_API int weft_actor_wait(weft_actor_ref ref, weft_end *end);
WEFT_API int weft_actor_wait_until(weft_actor_ref ref, weft_end *end, int64_t deadline);

/* weft_actor_suspend - it receives nothing more until weft_actor_resume; what is sent to it waits in the mailbox. It can be stopped and killed all the same. Not counted: one resume
 * ends several. Return 0, or WEFT_ESRCH. Block: no. Threads: any. */
WEFT_API int weft_actor_suspend(weft_actor_ref ref);
WEFT_API int weft_actor_resume(weft_actor_ref ref);

/* --- links and monitors: by an actor; any other caller gets WEFT_EINVAL --- */

/* weft_actor_link - from now on either gets an exit signal when the other ends. Linked twice is linked once. weft_actor_unlink: not any more. (A message about an end that has happened stays in the mailbox.)
 * Return 0; WEFT_ESRCH: it has ended (then nothing happens), or is not linked; WEFT_EINVAL: the caller itself; WEFT_ENOMEM. Block: no. */
WEFT_API int weft_actor_link(weft_actor_ref ref);
WEFT_API int weft_actor_unlink(weft_actor_ref ref);

/* weft_actor_monitor - be told once, by a message of kind WEFT_MSG_DOWN, when it has ended; at once if it has (WEFT_END_UNKNOWN). It comes after all that the dead has sent at normal priority or above.
 * It may come later than the WEFT_EDOWN of a call, or the news that somebody else has: who hears of an end in another way asks weft_actor_alive, which is false by then.
 *
 *   number  receives the monitor's number, not used again by this actor; NULL: not wanted
 *
 * Returns 0; WEFT_EINVAL: the caller itself; WEFT_ENOMEM. Blocks: no.
 */
WEFT_API int weft_actor_monitor(weft_actor_ref ref, uint64_t *number);

/* weft_actor_demonitor - end a monitor, and take its message out of the mailbox, if it has come: none will be received. Returns 0; WEFT_ESRCH: there is no such monitor any more, as after its message has been received. */
WEFT_API int weft_actor_demonitor(uint64_t number);

/* weft_actor_trap - have exit signals as messages (WEFT_MSG_EXIT), also those with a normal end, or not. Returns what it was, 0 or 1. A kill is no exit signal for the killed. */
WEFT_API int weft_actor_trap(bool on);

/* --- figures --- */

enum weft_actor_state { WEFT_ACTOR_STARTING, WEFT_ACTOR_RUNNING, WEFT_ACTOR_STOPPING };

typedef struct weft_actor_stat {
	enum weft_actor_state state; /* in on_start; then; in on_stop, or about to */
	uint32_t len;                /* messages in the mailbox, notices of ends not counted */
	uint32_t cap;                /* as many are allowed; WEFT_MAILBOX_UNBOUNDED */
	uint32_t senders;            /* wait for room */
	uint32_t relations;          /* monitors of others and by others, and links */
	bool suspended;
	bool above;        /* the high mark has been reached, and there have not been half as many since */
	uint64_t received; /* messages that it has received */
	uint64_t dropped;  /* that did not fit */
} weft_actor_stat;

/* weft_actor_stats - how it is doing. Returns 0, WEFT_ESRCH, or WEFT_EINVAL for NULL. Blocks: no. Threads: any. */
WEFT_API int weft_actor_stats(weft_actor_ref ref, weft_actor_stat *out);

WEFT_END_DECLS

#endif
