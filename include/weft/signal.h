/* SPDX-License-Identifier: MIT
 *
 * weft/signal.h - signals as channels and as contexts.
 *
 *     weft_ctx *stop = weft_ctx_on_signal(NULL, SIGTERM, SIGINT);       cancelled by the first of them: what runs under it stops
 *
 *     weft_chan *c = weft_chan_make(sizeof(int), 1);
 *     weft_signal_notify(c, SIGHUP, SIGUSR1);                           while (weft_chan_recv(c, &sig) == 0) ...
 *
 * A signal that somebody asked for here is caught: its default action does not happen, and a handler that the program had installed before is still called. With the last
 * who asked gone, what there was before is put back. What arrives goes to all who asked for it, but to nobody at once: a task of weft's own hands it on, under the
 * root context, at the end of a run of the runtime or in the next one too. As long as somebody waits for signals nobody can say that all tasks wait for each other:
 * there is no deadlock report then. That task is one of those that there may be (max_tasks). A signal that it is just sending when a runtime goes down may be sent again in the next run.
 *
 * The signals are those of the process; workers block them, so one that is sent to a thread (raise, pthread_kill) of a worker waits there. One that the caller of weft_run had blocked
 * stays blocked. SIGKILL and SIGSTOP cannot be caught, and faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS) are not here.
 * SIGQUIT prints all tasks (weft_dump) while nobody has asked for it.
 */
#ifndef WEFT_SIGNAL_H
#define WEFT_SIGNAL_H

#include "chan.h"
#include "ctx.h"
#include "error.h"
#include "export.h"
#include <signal.h>

WEFT_BEGIN_DECLS

/* weft_signal_notify(c, sig, ...) - have signals sent to a channel, from now on, each as the int that is its number.
 *
 *   c    a channel of int; it keeps a reference until weft_signal_stop. Others may ask for the same signals, and c for more of them later.
 *   sig  one or more
 *
 * Nobody waits for a full channel, so that of signals that come in quick succession some are passed over; but never the last: for each channel and signal one is kept, and sent when
 * there is room. A rendezvous channel gets its signals when somebody receives. A closed one gets none. Of several signals that are kept, the lowest number comes first.
 *
 * Returns 0; WEFT_EINVAL: no signal, or not one that can be caught here; c is NULL, or not of int; WEFT_ENOMEM, WEFT_EMFILE, WEFT_ENFILE (the first use takes a
 * descriptor, for good); WEFT_EAGAIN: as many tasks as there may be. On any error nothing has changed.
 * Blocks: no. Threads: any; needs no runtime, but without one nothing is sent.
 */
WEFT_API int weft_signal_notify(weft_chan *c, ...);
#define weft_signal_notify(c, ...) weft_signal_notify(c, __VA_ARGS__, 0)

/* weft_signal_stop - send c no more signals.
 *
 * Returns 0: none comes any more; WEFT_ENOENT: it got none anyhow; WEFT_ENOMEM: a thread that weft could make no record for, one may still come.
 * Blocks: for the task that may be about to send, which does not wait meanwhile; not ended by cancel. Threads: any.
 */
WEFT_API int weft_signal_stop(weft_chan *c);

/* weft_signal_ignore(sig, ...) - nobody gets these any more, and the process ignores them.
 * weft_signal_reset(sig, ...) - nobody gets these any more, nor are they ignored: what the process did before weft had to do with them is put back.
 *
 * One that has arrived already may still be sent. Contexts made for them are not cancelled by them any more.
 * Return 0; WEFT_EINVAL: as above, and then nothing has changed; WEFT_ENOMEM, WEFT_EMFILE, WEFT_ENFILE. Blocks: no. Threads: any.
 */
WEFT_API int weft_signal_ignore(int sig, ...);
WEFT_API int weft_signal_reset(int sig, ...);
#define weft_signal_ignore(...) weft_signal_ignore(__VA_ARGS__, 0)
#define weft_signal_reset(...) weft_signal_reset(__VA_ARGS__, 0)

/* weft_ctx_on_signal(parent, sig, ...) - a context below `parent` (NULL: the caller's own) that is cancelled by the first of these signals, with WEFT_REASON_SIGNAL and the signal's
 * name as its cause ("SIGTERM: Terminated").
 *
 * The signals stay caught until the last reference is given back (tasks under it and contexts below it hold their own): a second Ctrl-C does not kill the process, unless
 * somebody asks for that (weft_ctx_signal_again).
 *
 * Returns it with one reference; NULL for whatever weft_signal_notify refuses (a signal that cannot be caught, no memory, no descriptor), which asks for the reason and says it. Blocks: no. Threads: any.
 */
WEFT_API weft_ctx *weft_ctx_on_signal(weft_ctx *parent, ...);
#define weft_ctx_on_signal(parent, ...) weft_ctx_on_signal(parent, __VA_ARGS__, 0)

/* weft_ctx_signal_again - a context that is cancelled by a further signal, one that comes when the context made by weft_ctx_on_signal, c (NULL: the caller's own) or the nearest above it, has
 * ended: for those who shall hurry. weft_tcp_serve goes by it.
 *
 * Returns it, borrowed: it lives as long as c; NULL: there is no such context. Threads: any.
 */
WEFT_API weft_ctx *weft_ctx_signal_again(weft_ctx *c);

WEFT_END_DECLS

#endif
