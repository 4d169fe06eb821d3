/* SPDX-License-Identifier: MIT
 *
 * waits.c - which channels a parked task waits on. See waits.h.
 *
 * A parked task's waiters lie in its frames and point to its channels, which it has borrowed until it goes on.  All of it is read by peek.h, without a lock; a
 * waiter that does not belong to the open wait is none.  The caller makes sure that the task stood still meanwhile: then the channels were there.
 */
#include "debug/waits.h"

#include "core/task.h"
#include "sync/chan.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void look_at_chan(struct peek *p, struct wait_on *on)
{
	struct weft_chan c;
	enum chan_dir dir = on->sends ? CHAN_TX : CHAN_RX;

	if (!peek_all(p, on->chan, &c, sizeof c))
		return;
	on->known = true;
	on->closed = c.closed != CHAN_OPEN;
	on->elem = c.elem;
	on->cap = c.cap == CHAN_NO_CAP ? WEFT_CHAN_UNBOUNDED : c.cap;
	on->counted = !(load_relaxed(&c.quick) & CHAN_APART); /* a private copy. Apart: nobody waits, or not for long */
	on->len = c.len;
	if (c.held & (dir == CHAN_TX ? CHAN_HELD_TAIL : CHAN_HELD_HEAD))
		on->holder = c.holder[dir];
	if (c.more)
		weft__peek_text(p, c.more->name, on->name, sizeof on->name);
}

static bool is_select(enum task_reason reason)
{
	return reason == REASON_SELECT || reason == REASON_SELECT_IO;
}

void weft__waits_look(struct peek *p, const struct weft_task *copy, struct waits *out)
{
	enum task_reason reason = (enum task_reason)load_relaxed(&copy->reason); /* a private copy, here and below */
	uint64_t word = load_relaxed(&copy->wait);
	struct waiter w;
	int looked;

	out->n = out->others = 0;
	if (!wait_is_open(word) || (reason != REASON_CHAN_SEND && reason != REASON_CHAN_RECV && !is_select(reason)))
		return;
	for (looked = 0; looked < (is_select(reason) ? WAITS_LOOK : 1); looked++) {
		struct wait_on *on = &out->on[out->n];

		if (!copy->waiters || !peek_all(p, copy->waiters + looked, &w, sizeof w) || w.word != word || w.place != looked)
			break;
		if (w.kind != RANK_CHAN || out->n == WAITS_SHOWN)
			continue;
		memset(on, 0, sizeof *on);
		on->chan = w.source;
		on->sends = is_select(reason) ? w.sends : reason == REASON_CHAN_SEND;
		look_at_chan(p, on);
		out->n++;
	}
	if (!is_select(reason) && !copy->waiters) {
		out->on[0] = (struct wait_on){.sends = reason == REASON_CHAN_SEND};
		out->n = 1;
	}
	out->others = (task_is(copy, TASK_FOREIGN) ? looked : (int)copy->nwaiters) - (out->n && out->on[0].chan ? out->n : 0);
	if (!is_select(reason))
		out->others = 0;
}

void weft__text_add(char *to, size_t n, const char *fmt, ...)
{
	size_t at = strlen(to);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(to + at, n - at, fmt, ap);
	va_end(ap);
}

void weft__wait_text(const struct wait_on *on, char *to, size_t n)
{
	snprintf(to, n, on->sends ? "send to " : "receive from ");
	if (!on->chan) {
		weft__text_add(to, n, "a NULL channel, for ever");
		return;
	}
	if (on->name[0])
		weft__text_add(to, n, "\"%s\"", on->name);
	else
		weft__text_add(to, n, "channel %p", on->chan);
	if (!on->known)
		return;
	weft__text_add(to, n, " (%zu byte%s, ", on->elem, on->elem == 1 ? "" : "s");
	if (on->cap == WEFT_CHAN_UNBOUNDED)
		weft__text_add(to, n, "no bound");
	else
		weft__text_add(to, n, "cap %zu", on->cap);
	if (on->cap && on->counted)
		weft__text_add(to, n, ", %zu in it", on->len);
	weft__text_add(to, n, on->closed ? ", closed)" : ")");
	if (on->holder)
		weft__text_add(to, n, ", %s by %s %llu", on->sends ? "reserved" : "peeked at", on->holder < 0 ? "thread" : "task",
			       (unsigned long long)(on->holder < 0 ? -on->holder : on->holder));
}
