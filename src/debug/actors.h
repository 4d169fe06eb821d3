/* SPDX-License-Identifier: MIT
 *
 * actors.h - what dumps say of actors: how full the mailbox is, under which name it is known; and whom a task waits for that has called one.
 */
#ifndef WEFT_DEBUG_ACTORS_H
#define WEFT_DEBUG_ACTORS_H

#include "debug/peek.h"
#include <stdint.h>

struct actor;
struct weft_task;

/* An actor, as it was when it was looked at. */
struct actor_seen {
	const struct actor *cell; /* NULL: none */
	uint64_t task;            /* number of its task; 0: it has not run yet */
	uintptr_t fn;             /* what it runs, or handles messages with */
	uint32_t len, cap;
	bool suspended;
	char task_name[32]; /* "" */
	char name[64];      /* the first under which it is known; "" */
	int names;          /* how many it has, as far as was looked */
};

struct actors_seen {
	struct actor_seen self; /* the task's own */
	struct actor_seen on;   /* whom it waits for */
	const char *what;       /* what of that one */
};

/* Looks at a task's own actor, and at the one that it waits for; copy: its record, as it is now or was; rec: where that is. What is found counts only if the task has not moved since. Takes no lock. */
void weft__actors_look(struct peek *p, const struct weft_task *copy, const void *rec, struct actors_seen *out);

/* In words: `task 7 (bank), named "bank", 3 of 1024 in its mailbox`; of a task itself from "named" on. */
void weft__actor_text(const struct actor_seen *a, bool itself, char *to, size_t n);

#endif
