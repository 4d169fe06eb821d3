/* SPDX-License-Identifier: MIT
 *
 * sigreader.h - who has asked for which signals, and the task that hands them on.
 *
 * One task of weft's own, the reader, runs as long as somebody has asked and a runtime is up. It waits in one select: for the waker that the handler wakes (io/sigcatch.h), and for
 * room in each channel that a signal is kept for. So a full channel keeps nobody up, and what is kept is sent as soon as there is room.
 *
 *	weft_signal_notify, weft_ctx_on_signal      list a `sub`; start a reader, unless one has the role
 *	reader   takes the role, or ends if another has it; gives it up, and ends, when no sub is left
 *	weft_signal_stop                            takes the sub off; one that the reader has in hand it marks, and waits until the reader has taken it off
 *
 * Without a runtime the bits stay where the handler has put them, for the next one.
 *
 * (Rejected: a thread that reads signals: it would be a second thread, which ends elision (base/solo.h), and one that all deadlock reports count.)
 */
#ifndef WEFT_SERVE_SIGREADER_H
#define WEFT_SERVE_SIGREADER_H

#include "core/runtime.h"
#include "weft/chan.h"
#include "weft/ctx.h"

/* Somebody who has asked. */
struct sub {
	struct list_node link; /* in subs; all of it under lock */
	uint64_t want;         /* bits of signals */
	uint64_t kept;         /* of these, what has arrived and was not handed on */
	weft_chan *chan;       /* one reference; NULL: a context's */
	weft_ctx *ctx;         /* no reference: it owns this */
	weft_ctx *again;       /* one reference: cancelled by what comes when ctx has ended */
	int offered;           /* what the reader offers to chan; 0: it has not this in hand */
	bool stopping;         /* the reader shall take it off */
};

extern HIDDEN struct list weft__subs; /* under weft__sig_lock */

static inline int sig_lowest(uint64_t bits)
{
	return __builtin_ctzll(bits) + 1;
}

/* The one behind s (NULL: the first). Locked. */
static inline struct sub *sub_after(struct sub *s)
{
	struct list_node *n = s ? list_after(&weft__subs, &s->link) : list_first(&weft__subs);

	return n ? container_of(n, struct sub, link) : NULL;
}

/* Off the list. Not locked. */
void weft__sub_free(struct sub *s);

/* Sees to it that there is a reader, now or with the next runtime. Returns 0 or a negative code. */
int weft__sub_reader(void);

#endif
