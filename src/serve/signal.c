/* SPDX-License-Identifier: MIT
 *
 * signal.c - asking for signals: by channels, and by contexts. Who hands them on: sigreader.h.
 */
#include "serve/sigreader.h"

#include "core/lot.h"
#include "io/sigcatch.h"
#include "weft/signal.h"
#include <stdarg.h>
#include <stdlib.h>

#undef weft_signal_notify
#undef weft_signal_ignore
#undef weft_signal_reset
#undef weft_ctx_on_signal

static const char key; /* of contexts' subs */

/* The bits of sig and what follows it, up to a 0; 0: one of them cannot be caught. */
static uint64_t bits_of(int sig, va_list more)
{
	uint64_t bits = 0;

	for (; sig; sig = va_arg(more, int)) {
		if (!weft__sig_may(sig))
			return 0;
		bits |= SIG_BIT(sig);
	}
	return bits;
}

/* Locked. */
static void leave_all(uint64_t bits)
{
	for (; bits; bits &= bits - 1)
		weft__sig_leave(sig_lowest(bits));
}

/* All of them, or none. Locked. */
static int catch_all(uint64_t bits)
{
	for (uint64_t left = bits; left; left &= left - 1) {
		int rc = weft__sig_catch(sig_lowest(left));

		if (rc) {
			leave_all(bits & ~left);
			return rc;
		}
	}
	return 0;
}

/* Of those that are not to stop. Locked. */
static struct sub *sub_of(weft_chan *c)
{
	struct sub *s = sub_after(NULL);

	while (s && (s->chan != c || s->stopping))
		s = sub_after(s);
	return s;
}

/* spare: for a channel that has none yet. Returns 0, and then *added are the signals it has not had so far. */
static int ask(weft_chan *c, uint64_t bits, struct sub **spare, uint64_t *added)
{
	struct sub *s;
	int rc;

	lock_take(&weft__sig_lock, RANK_POOL);
	s = sub_of(c);
	*added = bits & ~(s ? s->want : 0);
	rc = catch_all(*added);
	if (!rc && !s) {
		s = *spare;
		*spare = NULL;
		s->chan = weft_chan_ref(c);
		list_push_tail(&weft__subs, &s->link);
	}
	if (!rc)
		s->want |= bits;
	lock_drop(&weft__sig_lock);
	return rc;
}

/* Takes the sub of c off, or has the reader do it. Returns whether it is left to the reader. */
static int unask(weft_chan *c, uint64_t bits, bool *wait)
{
	struct sub *s;
	int rc = WEFT_ENOENT;
	bool off = false;

	*wait = false;
	lock_take(&weft__sig_lock, RANK_POOL);
	s = sub_of(c);
	if (s) {
		rc = 0;
		leave_all(s->want & bits);
		s->want &= ~bits;
		s->kept &= s->want;
		if (!s->want) {
			*wait = s->stopping = s->offered != 0;
			off = !*wait;
			if (off)
				list_remove(&s->link);
		}
	}
	lock_drop(&weft__sig_lock);
	if (off)
		weft__sub_free(s);
	if (rc == 0)
		weft_waker_wake(weft__sig_waker); /* the reader takes it off; or sees that nobody is left */
	return rc;
}

int weft_signal_notify(weft_chan *c, ...)
{
	struct sub *spare;
	uint64_t bits, added;
	bool wait;
	va_list sigs;
	int rc;

	va_start(sigs, c);
	bits = bits_of(va_arg(sigs, int), sigs);
	va_end(sigs);
	if (!bits || weft_chan_elem(c) != sizeof(int))
		return WEFT_EINVAL;
	spare = calloc(1, sizeof *spare);
	if (!spare)
		return WEFT_ENOMEM;
	rc = ask(c, bits, &spare, &added);
	free(spare);
	if (rc)
		return rc;
	rc = weft__sub_reader();
	if (rc)
		(void)unask(c, added, &wait);
	return rc;
}

static bool still_stopping(void *arg)
{
	struct sub *s;

	lock_take(&weft__sig_lock, RANK_POOL);
	for (s = sub_after(NULL); s && (s->chan != arg || !s->stopping); s = sub_after(s))
		;
	lock_drop(&weft__sig_lock);
	return s != NULL;
}

int weft_signal_stop(weft_chan *c)
{
	bool wait;
	int rc = c ? unask(c, UINT64_MAX, &wait) : WEFT_ENOENT;

	if (rc || !wait)
		return rc;
	do {
		rc = weft__lot_wait_shielded(&weft__subs, still_stopping, c, REASON_IO);
	} while (rc == 0 && still_stopping(c)); /* all who stop one wait upon the same key */
	return rc;
}

/* Everybody's bits of these signals are gone. Locked. */
static void forget_all(uint64_t bits)
{
	for (struct sub *s = sub_after(NULL); s; s = sub_after(s))
		s->want &= ~bits;
}

static int change(uint64_t bits, int (*how)(int sig))
{
	int rc = 0;

	if (!bits)
		return WEFT_EINVAL;
	lock_take(&weft__sig_lock, RANK_POOL);
	forget_all(bits);
	for (; bits && rc == 0; bits &= bits - 1)
		rc = how(sig_lowest(bits));
	lock_drop(&weft__sig_lock);
	return rc;
}

int weft_signal_ignore(int sig, ...)
{
	va_list more;
	uint64_t bits;

	va_start(more, sig);
	bits = bits_of(sig, more);
	va_end(more);
	return change(bits, weft__sig_ignore);
}

int weft_signal_reset(int sig, ...)
{
	va_list more;
	uint64_t bits;

	va_start(more, sig);
	bits = bits_of(sig, more);
	va_end(more);
	return change(bits, weft__sig_reset);
}

/* --- contexts --- */

/* The last reference to its context is gone. */
static void ctx_gone(void *arg)
{
	struct sub *s = arg;

	lock_take(&weft__sig_lock, RANK_POOL);
	leave_all(s->want);
	if (list_linked(&s->link))
		list_remove(&s->link);
	lock_drop(&weft__sig_lock);
	weft__sub_free(s);
	if (weft__sig_waker)
		weft_waker_wake(weft__sig_waker); /* nobody may be left */
}

int weft__ctx_on_bits(weft_ctx **out, weft_ctx *parent, uint64_t bits)
{
	struct sub *s = calloc(1, sizeof *s);
	weft_ctx *c;
	int rc;

	*out = NULL;
	if (!s)
		return WEFT_ENOMEM;
	s->again = weft_ctx_without_cancel(weft__ctx_root()); /* not cancelled by a shutdown */
	c = s->again ? weft_ctx_with_value(parent, &key, s, ctx_gone) : NULL;
	if (!c) {
		weft__sub_free(s);
		return WEFT_ENOMEM;
	}
	lock_take(&weft__sig_lock, RANK_POOL);
	rc = catch_all(bits);
	if (!rc) {
		s->ctx = c;
		s->want = bits;
		list_push_tail(&weft__subs, &s->link);
	}
	lock_drop(&weft__sig_lock);
	if (!rc)
		rc = weft__sub_reader();
	if (rc)
		weft_ctx_free(c);
	else
		*out = c;
	return rc;
}

weft_ctx *weft_ctx_on_signal(weft_ctx *parent, ...)
{
	uint64_t bits;
	weft_ctx *c;
	va_list sigs;

	va_start(sigs, parent);
	bits = bits_of(va_arg(sigs, int), sigs);
	va_end(sigs);
	return bits && weft__ctx_on_bits(&c, parent, bits) == 0 ? c : NULL;
}

weft_ctx *weft_ctx_signal_again(weft_ctx *c)
{
	struct sub *s = weft_ctx_value(c, &key);

	return s ? s->again : NULL;
}
