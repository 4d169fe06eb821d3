/* SPDX-License-Identifier: MIT
 *
 * name.h - what names and groups have in common: strings that hash to buckets, and an actor that is in several.
 *
 * An actor is entered with its cell locked, and found to be alive and not nameless; its death makes it nameless first and then takes out what is entered, before anybody finds it dead.
 */
#ifndef WEFT_ACTOR_NAME_H
#define WEFT_ACTOR_NAME_H

#include "actor/actor.h"
#include "weft/registry.h"
#include <string.h>

#define NAME_BUCKETS SMALL(1024, 4)

struct name_key {
	uint32_t bucket;
	uint32_t len;
	const char *text;
};

/* A name that somebody has (registry.c; dumps look at it, too). */
struct name {
	struct list_node in_bucket, of_actor; /* under names_lock */
	weft_actor_ref ref;
	char text[WEFT_NAME_MAX + 1];
};

/* Returns 0, WEFT_EINVAL, WEFT_ENAMETOOLONG. */
static inline int name_key(struct name_key *k, const char *text)
{
	uint64_t h = 0xcbf29ce484222325ULL; /* FNV-1a */

	if (!text || !*text)
		return WEFT_EINVAL;
	k->text = text;
	for (k->len = 0; text[k->len]; k->len++) {
		if (k->len == WEFT_NAME_MAX)
			return WEFT_ENAMETOOLONG;
		h = (h ^ (unsigned char)text[k->len]) * 0x100000001b3ULL;
	}
	k->bucket = (uint32_t)(h ^ h >> 32) % NAME_BUCKETS;
	return 0;
}

static inline bool name_is(const char *name, const struct name_key *k)
{
	return !memcmp(name, k->text, k->len) && !name[k->len];
}

#endif
