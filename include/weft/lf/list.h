/* SPDX-License-Identifier: MIT
 *
 * weft/lf/list.h - intrusive lists for one thread at a time: the doubly linked list that weft itself uses, a singly linked stack and a FIFO.
 *
 *   struct weft_list     circular, doubly linked: in and out at both ends, and out of the middle by the node alone
 *   struct weft_slist    singly linked, last in first out
 *   struct weft_fifo     singly linked, first in first out; also in at the front
 *
 * The node is a member of the element: a list allocates nothing and owns nothing. Elements must outlive their membership; a node is in one list at a time.
 * WEFT_CONTAINER_OF leads from the node back to its element. Zeroed memory is an empty list of each kind.
 *
 * A node of a weft_list that is in no list has next == NULL, so that "was I already taken out?" is one look. That holds for nodes that were zeroed
 * before their first use. Nodes of the singly linked kinds need no preparation, and do not know whether they are in a list.
 *
 * Progress: every operation is a handful of plain loads and stores, but weft_slist_length, which walks the list. Threads: one at a time; whoever shares a
 * list brings a lock. Many threads at once: weft/lf/stack.h.
 */
#ifndef WEFT_LF_LIST_H
#define WEFT_LF_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define WEFT_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* --- Doubly linked ---------------------------------------------------------------------------------------------------------- */

struct weft_list_node {
	struct weft_list_node *next; /* NULL: in no list */
	struct weft_list_node *prev;
};

struct weft_list {
	struct weft_list_node head; /* next == NULL: never used, which counts as empty (zeroed memory is a valid list) */
};

static inline void weft_list_init(struct weft_list *l)
{
	l->head.next = l->head.prev = &l->head;
}

static inline bool weft_list_empty(const struct weft_list *l)
{
	return l->head.next == NULL || l->head.next == &l->head;
}

/* Whether n is in a list. */
static inline bool weft_list_linked(const struct weft_list_node *n)
{
	return n->next != NULL;
}

static inline void weft_list_push_tail(struct weft_list *l, struct weft_list_node *n)
{
	if (__builtin_expect(l->head.next == NULL, 0))
		weft_list_init(l);
	n->prev = l->head.prev;
	n->next = &l->head;
	l->head.prev->next = n;
	l->head.prev = n;
}

/* The same for a list that weft_list_init has prepared. */
static inline void weft_list_append(struct weft_list *l, struct weft_list_node *n)
{
	struct weft_list_node *last = l->head.prev;

	n->next = &l->head;
	n->prev = last;
	last->next = n;
	l->head.prev = n;
}

static inline void weft_list_push_head(struct weft_list *l, struct weft_list_node *n)
{
	if (__builtin_expect(l->head.next == NULL, 0))
		weft_list_init(l);
	n->next = l->head.next;
	n->prev = &l->head;
	l->head.next->prev = n;
	l->head.next = n;
}

/* Takes n out of the list it is in. */
static inline void weft_list_remove(struct weft_list_node *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = NULL;
}

/* First node, or NULL. */
static inline struct weft_list_node *weft_list_first(const struct weft_list *l)
{
	return weft_list_empty(l) ? NULL : l->head.next;
}

/* Takes the first node out; NULL if there is none. */
static inline struct weft_list_node *weft_list_pop_head(struct weft_list *l)
{
	struct weft_list_node *n = weft_list_first(l);

	if (n)
		weft_list_remove(n);
	return n;
}

/* Next node after n, or NULL at the end. */
static inline struct weft_list_node *weft_list_after(const struct weft_list *l, const struct weft_list_node *n)
{
	return n->next == &l->head ? NULL : n->next;
}

/* --- Singly linked, last in first out --------------------------------------------------------------------------------------- */

struct weft_slist_node {
	struct weft_slist_node *next; /* NULL: the last one; meaningless outside a list */
};

struct weft_slist {
	struct weft_slist_node *first; /* NULL: empty */
};

static inline void weft_slist_init(struct weft_slist *l)
{
	l->first = NULL;
}

static inline bool weft_slist_empty(const struct weft_slist *l)
{
	return l->first == NULL;
}

static inline void weft_slist_push(struct weft_slist *l, struct weft_slist_node *n)
{
	n->next = l->first;
	l->first = n;
}

/* The last one pushed, or NULL. */
static inline struct weft_slist_node *weft_slist_pop(struct weft_slist *l)
{
	struct weft_slist_node *n = l->first;

	if (n)
		l->first = n->next;
	return n;
}

/* All nodes, the last one pushed first, linked by next; NULL: none. The list is empty then. */
static inline struct weft_slist_node *weft_slist_take(struct weft_slist *l)
{
	struct weft_slist_node *n = l->first;

	l->first = NULL;
	return n;
}

/* How many nodes; walks the list. */
static inline size_t weft_slist_length(const struct weft_slist *l)
{
	const struct weft_slist_node *node;
	size_t n = 0;

	for (node = l->first; node; node = node->next)
		n++;
	return n;
}

/* --- Singly linked, first in first out -------------------------------------------------------------------------------------- */

struct weft_fifo {
	struct weft_slist_node *first; /* NULL: empty */
	struct weft_slist_node *last;  /* valid unless empty */
};

static inline void weft_fifo_init(struct weft_fifo *f)
{
	f->first = NULL;
}

static inline bool weft_fifo_empty(const struct weft_fifo *f)
{
	return f->first == NULL;
}

static inline void weft_fifo_push(struct weft_fifo *f, struct weft_slist_node *n)
{
	n->next = NULL;
	if (f->first)
		f->last->next = n;
	else
		f->first = n;
	f->last = n;
}

/* Before all others. */
static inline void weft_fifo_push_front(struct weft_fifo *f, struct weft_slist_node *n)
{
	n->next = f->first;
	if (!f->first)
		f->last = n;
	f->first = n;
}

/* The oldest, or NULL. */
static inline struct weft_slist_node *weft_fifo_pop(struct weft_fifo *f)
{
	struct weft_slist_node *n = f->first;

	if (n)
		f->first = n->next;
	return n;
}

/* Moves all of `from` behind the last of f, in order; `from` is empty then. */
static inline void weft_fifo_append(struct weft_fifo *f, struct weft_fifo *from)
{
	if (!from->first)
		return;
	if (f->first)
		f->last->next = from->first;
	else
		f->first = from->first;
	f->last = from->last;
	from->first = NULL;
}

#endif
