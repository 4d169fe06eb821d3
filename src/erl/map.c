/* SPDX-License-Identifier: MIT
 *
 * map.c - tables from a number to what it stands for: chains, as many as there are entries or twice as many. Not locked: that is its owner's matter.
 */
#include "erl/erl.h"

#include <stdlib.h>

#define SLOTS_MIN 16

static size_t slot_of(const struct map *m, uint64_t key)
{
	return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (m->size - 1);
}

static void insert(struct map *m, struct map_node *node)
{
	struct map_node **at = &m->slots[slot_of(m, node->key)];

	node->next = *at;
	*at = node;
}

static int grow(struct map *m)
{
	struct map bigger = {.size = m->size ? 2 * m->size : SLOTS_MIN, .count = m->count};
	struct map_node *node;

	bigger.slots = calloc(bigger.size, sizeof(struct map_node *));
	if (!bigger.slots)
		return WEFT_ENOMEM;
	for (size_t i = 0; i < m->size; i++) {
		while ((node = m->slots[i])) {
			m->slots[i] = node->next;
			insert(&bigger, node);
		}
	}
	free(m->slots);
	*m = bigger;
	return 0;
}

int weft__erl_map_add(struct map *m, struct map_node *node, uint64_t key)
{
	if (m->count >= m->size && grow(m) != 0 && m->size == 0)
		return WEFT_ENOMEM; /* else chains are longer for now */
	node->key = key;
	insert(m, node);
	m->count++;
	return 0;
}

static struct map_node *in_chain(struct map_node *node, uint64_t key)
{
	while (node && node->key != key)
		node = node->next;
	return node;
}

struct map_node *weft__erl_map_get(const struct map *m, uint64_t key)
{
	return m->size ? in_chain(m->slots[slot_of(m, key)], key) : NULL;
}

struct map_node *weft__erl_map_next(const struct map_node *node)
{
	return in_chain(node->next, node->key);
}

void weft__erl_map_del(struct map *m, struct map_node *node)
{
	struct map_node **at = &m->slots[slot_of(m, node->key)];

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	m->count--;
}

void weft__erl_map_free(struct map *m)
{
	free(m->slots);
	*m = (struct map){.slots = NULL};
}
