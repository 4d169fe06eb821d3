/* SPDX-License-Identifier: MIT
 *
 * chan_end.c - sending ends, receiving ends, one-shots.
 *
 * An end is the channel under another type, so that it can be used in one direction only.  Ends are counted by direction; each holds a reference to
 * the channel.  The last sending end closes it; with the last receiving end it is broken: sends get WEFT_EPIPE.
 */
#include "sync/chan.h"

#include "core/runtime.h"

static weft_chan *end_more(weft_chan *c, enum chan_dir dir)
{
	if (c) {
		add_relaxed(&c->ends[dir], 1u); /* the caller's own reference, or end, keeps it */
		weft_chan_ref(c);
	}
	return c;
}

static void end_less(weft_chan *c, enum chan_dir dir)
{
	if (!c)
		return;
	if (add_acq_rel(&c->ends[dir], (uint32_t)-1) == 1)
		(void)weft__chan_finish(c, dir == CHAN_TX ? CHAN_CLOSED : CHAN_BROKEN);
	weft_chan_free(c);
}

weft_tx *weft_chan_tx(weft_chan *c)
{
	return (weft_tx *)end_more(c, CHAN_TX);
}

weft_rx *weft_chan_rx(weft_chan *c)
{
	return (weft_rx *)end_more(c, CHAN_RX);
}

weft_tx *weft_tx_ref(weft_tx *t)
{
	return (weft_tx *)end_more((weft_chan *)t, CHAN_TX);
}

weft_rx *weft_rx_ref(weft_rx *r)
{
	return (weft_rx *)end_more((weft_chan *)r, CHAN_RX);
}

void weft_tx_free(weft_tx *t)
{
	end_less((weft_chan *)t, CHAN_TX);
}

void weft_rx_free(weft_rx *r)
{
	end_less((weft_chan *)r, CHAN_RX);
}

int weft_oneshot_make(size_t elem, weft_tx **tx, weft_rx **rx)
{
	weft_chan *c;
	int rc;

	if (tx)
		*tx = NULL;
	if (rx)
		*rx = NULL;
	if (!tx || !rx)
		return WEFT_EINVAL;
	rc = weft_chan_open(&c, &(weft_chan_opts){.elem = elem, .cap = 1});
	if (rc)
		return rc;
	*tx = weft_chan_tx(c);
	*rx = weft_chan_rx(c);
	weft_chan_free(c);
	return 0;
}

/* Never waits, and no cancellation point: what a cancelled task has found out is not lost. */
int weft_oneshot_send(weft_tx *t, const void *elem)
{
	int rc;

	if (!t)
		return WEFT_EINVAL;
	rc = weft__chan_put((weft_chan *)t, elem);
	weft_tx_free(t);
	return rc;
}
