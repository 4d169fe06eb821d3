/* SPDX-License-Identifier: MIT
 *
 * chan_open.c - makes and frees channels of all kinds; what can be asked of them.
 *
 * A plain channel is one block of memory: two cache lines and the buffer.  What few channels have (a destructor, a mark, a name ...) lies behind a
 * pointer, and keeps them off the quick paths; so do elements of other sizes than 4 and 8 bytes, and channels without a bound.
 */
#include "sync/chan.h"

#include "base/check.h"
#include "base/numa.h"
#include "base/ref.h"
#include "core/sched.h"
#include "weft/typed.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Memory that comes from that node when it is touched, if the node has any left. */
static void *map_on(int node, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	weft__mem_prefer(p, bytes, node);
	return p;
}

static int more_make(struct weft_chan *c, const weft_chan_opts *o, size_t mapped)
{
	struct chan_more *m;

	if (!o->dtor && !o->on_high && !o->strict && !o->name && !mapped)
		return 0;
	m = calloc(1, sizeof *m);
	if (!m)
		return WEFT_ENOMEM;
	m->dtor = o->dtor;
	m->on_high = o->on_high;
	m->arg = o->arg;
	m->high = o->high;
	m->strict = o->strict;
	m->mapped = mapped;
	if (o->name)
		snprintf(m->name, sizeof m->name, "%s", o->name);
	c->more = m;
	return 0;
}

int weft_chan_open(weft_chan **out, const weft_chan_opts *o)
{
	bool bound = o && o->cap != WEFT_CHAN_UNBOUNDED;
	size_t bytes = 0, mapped = 0;
	struct weft_chan *c;

	if (out)
		*out = NULL;
	if (!out || !o)
		return WEFT_EINVAL;
	if (o->elem > UINT16_MAX || (bound && (o->cap > UINT32_MAX / 2 || __builtin_mul_overflow(o->elem, o->cap, &bytes))) ||
	    bytes > PTRDIFF_MAX - sizeof *c - (1 << 16) || (unsigned)o->mode > WEFT_CHAN_SPMC || !o->high != !o->on_high ||
	    o->high > o->cap || (o->max_bytes && (bound || o->max_bytes < o->elem)) || o->node < 0 ||
	    (o->node && !weft__node_usable(o->node - 1)))
		return WEFT_EINVAL;
	bytes += sizeof *c;
	if (o->node) {
		mapped = ROUND_UP(bytes, (size_t)sysconf(_SC_PAGESIZE));
		c = map_on(o->node - 1, mapped);
	} else {
		c = aligned_alloc(CACHELINE, ROUND_UP(bytes, CACHELINE));
	}
	if (!c)
		return WEFT_ENOMEM;
	memset(c, 0, sizeof *c);
	c->cap = bound ? (uint32_t)o->cap : CHAN_NO_CAP;
	c->elem = (uint16_t)o->elem;
	c->mode = (uint8_t)o->mode;
	list_init(&c->sendq);
	list_init(&c->recvq);
	store_relaxed(&c->refs, 1u); /* not shared yet */
	if (more_make(c, o, mapped) || (!bound && !(c->blocks = weft__chan_blocks_make(o->elem, o->max_bytes))) ||
	    weft__chan_ring_make(c)) {
		free(c->more);
		weft__chan_blocks_free(c->blocks);
		if (mapped)
			munmap(c, mapped);
		else
			free(c);
		return WEFT_ENOMEM;
	}
	store_relaxed(&c->quick, chan_quick_of(c)); /* under the lock, or not shared yet */
	*out = c;
	return 0;
}

weft_chan *weft_chan_make(size_t elem, size_t cap)
{
	weft_chan *c;

	(void)weft_chan_open(&c, &(weft_chan_opts){.elem = elem, .cap = cap});
	return c;
}

weft_chan *weft_chan_ref(weft_chan *c)
{
	add_relaxed(&c->refs, 1u); /* the caller's own reference keeps it */
	return c;
}

/* A waiter that is still alive means that somebody is about to use freed memory. */
static void check_unused(struct list *q, const char *what)
{
	for (struct list_node *n = list_first(q); n; n = list_after(q, n)) {
		struct waiter *w = container_of(n, struct waiter, link);

		if (load_acquire(&w->task->wait) == w->word) /* pairs with the claim */
			weft__fatal("weft_chan_free: task %llu waits to %s on the channel", (unsigned long long)w->task->id, what);
	}
}

void weft_chan_free(weft_chan *c)
{
	size_t mapped;

	if (!c || !ref_drop(&c->refs))
		return;
	(void)weft__worker(); /* see base/solo.h */
	chan_take(c);
	check_unused(&c->sendq, "send");
	check_unused(&c->recvq, "receive");
	chan_drop(c);
	if (c->held)
		weft__fatal("weft_chan_free: an element of the channel is held (reserved or peeked, and not given back)");
	if (c->more && c->more->dtor) {
		for (; c->len; chan_pop(c))
			c->more->dtor(chan_head(c));
	}
	mapped = c->more ? c->more->mapped : 0;
	free(c->more);
	weft__chan_blocks_free(c->blocks);
	weft__chan_ring_free(c->ring);
	if (mapped)
		munmap(c, mapped);
	else
		free(c);
}

NOINLINE void weft__chan_note(struct weft_chan *c)
{
	struct chan_more *m = c->more;

	c->most = c->len > c->most ? c->len : c->most;
	if (!m || !m->high)
		return;
	if (m->above && c->len - 1 <= m->high / 2) /* as it was before */
		m->above = false;
	if (!m->above && c->len >= m->high) {
		m->above = true;
		store_relaxed(&m->told, true); /* under the lock; taken away after it was dropped */
	}
}

NOINLINE int weft__chan_tell(struct weft_chan *c, int rc, const char *call)
{
	struct chan_more *m = c->more;

	if (m->strict && (rc == WEFT_ECLOSED || rc == WEFT_EPIPE))
		weft__fatal("%s: the channel%s%s is closed, and strict", call, m->name[0] ? " " : "", m->name);
	if (load_relaxed(&m->told) && swap_acq_rel(&m->told, false)) /* one of those who see it */
		m->on_high(c, weft_chan_len(c), m->arg);
	return rc;
}

size_t weft_chan_len(weft_chan *c)
{
	size_t n;

	if (!c)
		return 0;
	(void)weft__worker(); /* see base/solo.h */
	lock_take_solo(&c->lock, RANK_CHAN);
	n = load_relaxed(&c->quick) & CHAN_APART ? weft__chan_apart_len(c) : c->len; /* under the lock */
	lock_drop_solo(&c->lock);
	return n;
}

size_t weft_chan_cap(weft_chan *c)
{
	if (!c)
		return 0;
	return c->cap == CHAN_NO_CAP ? WEFT_CHAN_UNBOUNDED : c->cap;
}

size_t weft_chan_elem(weft_chan *c)
{
	return c ? c->elem : 0;
}

weft_chan *weft__chan_of(weft_chan *c, size_t elem, const char *who)
{
	if (unlikely(c && c->elem != elem))
		weft__fatal("%s: the channel's elements have %u bytes, not %zu", who, c->elem, elem);
	return c;
}

const char *weft_chan_name(weft_chan *c)
{
	return c && c->more ? c->more->name : "";
}

/* Waiters that are alive. Channel locked. */
static size_t alive(struct list *q)
{
	size_t n = 0;

	for (struct list_node *l = list_first(q); l; l = list_after(q, l)) {
		struct waiter *w = container_of(l, struct waiter, link);

		n += load_relaxed(&w->task->wait) == w->word; /* as of now */
	}
	return n;
}

int weft_chan_stats(weft_chan *c, weft_chan_stat *out)
{
	if (!c || !out)
		return WEFT_EINVAL;
	(void)weft__worker(); /* as above */
	chan_take(c);
	*out = (weft_chan_stat){
		.sent = c->sent,
		.received = WEFT_CHAN_STATS ? c->sent - c->len : 0,
		.send_waits = c->waits[CHAN_TX],
		.recv_waits = c->waits[CHAN_RX],
		.len = c->len,
		.most = WEFT_CHAN_STATS ? c->most : 0,
		.senders = alive(&c->sendq),
		.receivers = alive(&c->recvq),
		.closed = c->closed != CHAN_OPEN,
	};
	chan_drop(c);
	return WEFT_CHAN_STATS ? 0 : WEFT_ENOSYS;
}
