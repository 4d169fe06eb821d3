/* SPDX-License-Identifier: MIT
 *
 * waits.h - which channels a parked task waits on: their names, how full they are, and who has a slot of theirs in hand.
 */
#ifndef WEFT_DEBUG_WAITS_H
#define WEFT_DEBUG_WAITS_H

#include "base/compiler.h"
#include "debug/peek.h"
#include "weft/chan.h"

#define WAITS_SHOWN 8  /* of a select: so many channels at most */
#define WAITS_LOOK 64  /* so many of its cases are looked at */
#define WAITS_TEXT 256 /* bytes that weft__wait_text needs at most */

struct weft_task;

/* One channel, as it was when it was looked at. */
struct wait_on {
	const void *chan; /* NULL: a NULL channel */
	bool sends;
	bool known; /* what follows could be read */
	bool closed;
	bool counted; /* len is known */
	size_t elem, cap, len;
	int64_t holder; /* who has what it waits for in hand: a task's number, a foreign thread's negative one; 0: nobody */
	char name[32];
};

struct waits {
	int n;
	int others; /* cases besides */
	struct wait_on on[WAITS_SHOWN];
};

/* Looks at what the task waits for; copy: its record, as it is now or was. What is found counts only if the task has not moved since. Takes no lock. */
void weft__waits_look(struct peek *p, const struct weft_task *copy, struct waits *out);

/* Appends to a text, as much as there is room for. n: of the whole; what is there ends with a 0. */
void weft__text_add(char *to, size_t n, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* In words: `send to "jobs" (8 bytes, cap 128, 128 in it)`. */
void weft__wait_text(const struct wait_on *on, char *to, size_t n);

#endif
