/* SPDX-License-Identifier: MIT
 *
 * list.h - intrusive circular doubly linked list, and a singly linked FIFO of tasks to ready.
 *
 * A node that is in no list has next == NULL, so that "was I already taken out?" is one look (under the list's lock).
 */
#ifndef WEFT_BASE_LIST_H
#define WEFT_BASE_LIST_H

#include "base/compiler.h"
#include <stdbool.h>

struct list_node {
	struct list_node *next; /* NULL: in no list */
	struct list_node *prev;
};

struct list {
	struct list_node head; /* next == NULL: never used, which counts as empty (zeroed memory is a valid list) */
};

static inline void list_init(struct list *l)
{
	l->head.next = l->head.prev = &l->head;
}

static inline bool list_empty(const struct list *l)
{
	return l->head.next == NULL || l->head.next == &l->head;
}

static inline bool list_linked(const struct list_node *n)
{
	return n->next != NULL;
}

static inline void list_push_tail(struct list *l, struct list_node *n)
{
	if (unlikely(l->head.next == NULL))
		list_init(l);
	n->prev = l->head.prev;
	n->next = &l->head;
	l->head.prev->next = n;
	l->head.prev = n;
}

/* The same for a list that list_init has prepared. */
static inline void list_append(struct list *l, struct list_node *n)
{
	struct list_node *last = l->head.prev;

	n->next = &l->head;
	n->prev = last;
	last->next = n;
	l->head.prev = n;
}

static inline void list_push_head(struct list *l, struct list_node *n)
{
	if (unlikely(l->head.next == NULL))
		list_init(l);
	n->next = l->head.next;
	n->prev = &l->head;
	l->head.next->prev = n;
	l->head.next = n;
}

static inline void list_remove(struct list_node *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = NULL;
}

/* First node, or NULL. */
static inline struct list_node *list_first(const struct list *l)
{
	return list_empty(l) ? NULL : l->head.next;
}

static inline struct list_node *list_pop_head(struct list *l)
{
	struct list_node *n = list_first(l);

	if (n)
		list_remove(n);
	return n;
}

/* Next node after n, or NULL at the end. */
static inline struct list_node *list_after(const struct list *l, const struct list_node *n)
{
	return n->next == &l->head ? NULL : n->next;
}

#endif
