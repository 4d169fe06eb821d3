/* SPDX-License-Identifier: MIT
 *
 * weft/serve.h - TCP servers that share the load and stop in order.
 *
 *     rc = weft_tcp_serve_addr(":7000", answer, NULL, &(weft_serve_opts){.signals = true, .max = 10000});
 *
 * Each connection is a task of its own. When a context ends (the caller's, or that of `ctx`), or a signal comes (`signals`), the server
 *   1. stops listening: who connects from here on is refused;
 *   2. lets the handlers finish, for `grace` nanoseconds, or until a second signal comes (with `signals`; else weft_ctx_signal_again of the context given, or of the caller's);
 *   3. cancels those that are left: their blocking calls return WEFT_ECANCELED;
 *   4. waits until the last one has returned, and names on standard error those that take long.
 *
 * A handler is not told of 1 by itself: one that waits for a further request on an idle connection holds the server up for the whole grace. So it waits under the context that ends then:
 *
 *     for (;;) {
 *             WEFT_WITH_CTX (weft_serve_drain_ctx())
 *                     n = weft_rd_line(&r, &line);
 *             if (n < 0)
 *                     return n == WEFT_EOF || n == WEFT_ECANCELED ? 0 : (int)n;
 *             ... answer it: that may go on until the grace is over
 *     }
 */
#ifndef WEFT_SERVE_H
#define WEFT_SERVE_H

#include "ctx.h"
#include "error.h"
#include "export.h"
#include "net.h"
#include "time.h"
#include <stdbool.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

/* A connection's handler: c is borrowed, and closed when it returns (or panics, or exits). Negative: it counts as failed. */
typedef int weft_serve_fn(weft_tcp *c, void *arg);

enum weft_serve_state {
	WEFT_SERVE_NEW,
	WEFT_SERVE_LISTENING,
	WEFT_SERVE_DRAINING,   /* handlers may finish */
	WEFT_SERVE_CANCELLING, /* they are cancelled */
	WEFT_SERVE_OVER
};

/* What a server counts, to be read while it runs and afterwards: the caller's, zeroed before. Private fields. */
typedef struct weft_serve_counters {
	uint64_t weft__n[6];
} weft_serve_counters;

typedef struct weft_serve_stat {
	enum weft_serve_state state;
	uint64_t accepted; /* connections */
	uint64_t running;  /* handlers */
	uint64_t failed;   /* handlers that returned a negative number, panicked or exited */
	uint64_t
		refused; /* connections that got no handler, for want of memory or tasks, or because the server stopped while they waited for room */
	uint64_t canceled; /* handlers that ran when the grace was over */
} weft_serve_stat;

/* weft_serve_stats - what c has counted; each figure is a moment old. Threads: any. */
WEFT_API void weft_serve_stats(const weft_serve_counters *c, weft_serve_stat *out);

/* Zero is the default everywhere. */
typedef struct weft_serve_opts {
	weft_ctx *ctx;    /* whose end stops the server, as that of the caller's does; the handlers see its values. NULL: the caller's */
	int max;          /* handlers at a time; a connection more a listener waits for room, others in the kernel's queue. 0: no limit */
	int64_t grace;    /* how long handlers may go on when it stops; 0: 10 s; WEFT_FOREVER: as long as they like; negative: not at all */
	int64_t patience; /* how long those that were cancelled may take before they are named on standard error; 0: 5 s */
	weft_serve_counters *counters; /* NULL: not wanted */
	void (*ready)(const weft_addr *at,
		      void *arg); /* called once, before the first connection is accepted, with the (first) listener's address */
	void (*refused)(
		weft_tcp *c, int why,
		void *arg); /* called for each connection that gets no handler, before it is closed, by the task that accepts: it may send a word (WEFT_NOW), and must not wait long, nor exit; a panic is told on standard error. why: WEFT_EAGAIN: there are as many tasks as may be; WEFT_ENOMEM; WEFT_ECANCELED: the server stops while it waits for room */
	bool signals; /* SIGTERM and SIGINT stop it, too, and a second one ends the grace; they are caught until its last task has gone */
	/* weft_tcp_serve_addr only */
	int listeners;           /* that share the port, and among which the kernel spreads connections; 0: one a worker */
	weft_listen_opts listen; /* reuse_port: share the port with other processes of the same user, too */
} weft_serve_opts;

/* weft_tcp_serve - accept connections and have each handled by fn(c, arg) in a task of its own, until the context ends, or all listeners have been closed.
 *
 *   l    n listeners, 1 to 1,024; a reference of each is taken over, whatever is returned: the listeners are closed
 *   arg  given to fn, `ready` and `refused`
 *
 * Returns 0: it has stopped, and all handlers have returned by themselves; WEFT_ETIMEDOUT: some had to be cancelled; WEFT_EINVAL: no listener, no fn, a negative number; WEFT_ENOMEM; what weft_go and weft_tcp_accept return, if
 * that is why it stopped; with `signals` what weft_signal_notify returns. No handler runs any more in any case.
 * Blocks: yes (join, select, group); once it has begun neither cancel nor a deadline ends it but as said above. Threads: any, while a runtime is up, which
 * must not go down before it has returned.
 */
WEFT_API int weft_tcp_serve(weft_tcp_listener *const *l, int n, weft_serve_fn *fn, void *arg, const weft_serve_opts *o);

/* weft_tcp_serve_addr - the same, of listeners that it opens: several upon one port (SO_REUSEPORT), one for each worker, which begins there with what comes.
 *
 * Returns as weft_tcp_listen, weft_tcp_serve. Of two servers that are started at the same moment with several listeners each, and not to share the port, both may get it: that somebody
 * has it is looked at before, with a listener that does not share it.
 */
WEFT_API int weft_tcp_serve_addr(const char *addr, weft_serve_fn *fn, void *arg, const weft_serve_opts *o);

/* weft_serve_drain_ctx - a handler's: the context that ends when its server begins to stop, long before the handler's own does.
 *
 * Returns it, borrowed: it lives as long as the caller's context; NULL: the caller is no handler, nor a task started by one. In servers within handlers, that of the nearest.
 * Blocks: no. Threads: any.
 */
WEFT_API weft_ctx *weft_serve_drain_ctx(void);

WEFT_END_DECLS

#endif
