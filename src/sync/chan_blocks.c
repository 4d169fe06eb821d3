/* SPDX-License-Identifier: MIT
 *
 * chan_blocks.c - storage of a channel without a bound: a chain of blocks, filled at one end and emptied at the other.
 *
 * A block that has been emptied serves again as the next last one; one at most is kept, the others go back to the heap.  The first block is never given
 * back, and an empty channel starts at its beginning, so an empty channel always has room.  The channel's lock guards all of it.
 */
#include "sync/chan.h"

#include "base/check.h"
#include <stdlib.h>

#define BLOCK_BYTES SMALL(4096, 64)
#define BLOCK_ELEMS 16u /* at least, of large elements */

static struct chan_block *block_new(struct chan_blocks *b)
{
	struct chan_block *k = b->spare;

	b->spare = NULL;
	if (!k)
		k = aligned_alloc(CACHELINE, b->block_bytes);
	if (k)
		k->next = NULL;
	return k;
}

struct chan_blocks *weft__chan_blocks_make(size_t elem, size_t max_bytes)
{
	struct chan_blocks *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	b->per = elem && BLOCK_BYTES / elem > BLOCK_ELEMS ? (uint32_t)(BLOCK_BYTES / elem) : BLOCK_ELEMS;
	b->block_bytes = ROUND_UP(sizeof(struct chan_block) + b->per * elem, CACHELINE);
	b->max_bytes = max_bytes;
	b->first = b->last = block_new(b);
	if (!b->first) {
		free(b);
		return NULL;
	}
	return b;
}

void weft__chan_blocks_free(struct chan_blocks *b)
{
	if (!b)
		return;
	for (struct chan_block *k = b->first, *next; k; k = next) {
		next = k->next;
		free(k);
	}
	free(b->spare);
	free(b);
}

NOINLINE char *weft__chan_blocks_more(struct weft_chan *c, int *error)
{
	struct chan_blocks *b = c->blocks;

	*error = 0;
	if ((b->max_bytes && (uint64_t)c->len * c->elem + c->elem > b->max_bytes) || c->len == CHAN_NO_CAP - 1) {
		*error = WEFT_ENOBUFS;
		return NULL;
	}
	if (b->tail == b->per && c->len == 0) { /* emptied while the tail was held, which nobody had seen yet */
		DCHECK(b->first == b->last);
		c->head = 0;
		b->tail = 0;
	}
	if (b->tail == b->per) {
		struct chan_block *k = block_new(b);

		if (!k) {
			*error = WEFT_ENOMEM;
			return NULL;
		}
		b->last->next = k;
		b->last = k;
		b->tail = 0;
	}
	return b->last->slots + (size_t)b->tail * c->elem;
}

NOINLINE void weft__chan_blocks_popped(struct weft_chan *c)
{
	struct chan_blocks *b = c->blocks;
	struct chan_block *k = b->first;

	if (c->head == b->per && k != b->last) {
		b->first = k->next;
		c->head = 0;
		free(b->spare);
		b->spare = k;
	}
	if (c->len == 0 && !(c->held & CHAN_HELD_TAIL)) { /* all in one block, then */
		DCHECK(b->first == b->last);
		c->head = 0;
		b->tail = 0;
	}
}
