/* SPDX-License-Identifier: MIT
 *
 * stackuse.h - how deep stacks are used, by the place where their tasks were started. What it costs, and when, is said in stackuse.c.
 */
#ifndef WEFT_CORE_STACKUSE_H
#define WEFT_CORE_STACKUSE_H

#include "base/compiler.h"
#include "core/stack.h"
#include <stdint.h>

struct weft_site;
struct weft_task;

/* Of one place: a site, or where there is none, a function. */
struct stack_use {
	const struct weft_site *site;
	void (*fn)(void);
	uint64_t ended;
	uint64_t alive; /* of what a copy has; debug/stackreport.c */
	size_t deepest;
	size_t size;
};

/* Are they looked at? Constant while a runtime is up; then all tasks are TASK_OWN_STACK. */
extern HIDDEN bool weft__stackuse_on;

void weft__stackuse_up(bool on); /* a runtime comes up: forgets all */

/* Nobody stands on s, t's. */
void weft__stackuse_ended(struct weft_task *t, struct stack *s); /* it goes to somebody else next */
void weft__stackuse_left(struct weft_task *t, struct stack *s);  /* the same, of one that never ends */
void weft__stackuse_fell(struct weft_task *t, struct stack *s);  /* t has ended, s stays as it is */
void weft__stackuse_seen(struct weft_task *t, struct stack *s);  /* t goes on, and part of s is about to go */
void weft__stackuse_clean(struct stack *s);                      /* nobody's: s goes to somebody else next */

/* Bytes below hi that were used of zeroed memory [lo, hi), given what lies in the lowest page that was touched. */
size_t weft__stackuse_depth(const char *lo, const char *hi, size_t (*lowest)(const char *page, size_t size, void *arg), void *arg);

/* Adds what is known of a place to a table, under no lock. False: there is no memory. */
struct use_table {
	struct stack_use *use; /* open addressing; site and fn NULL: free */
	size_t n, cap;         /* cap: a power of two, or 0 */
};
bool weft__stackuse_add(struct use_table *u, const struct stack_use *more);

/* All places, added to a table. False: there is no memory. */
bool weft__stackuse_copy(struct use_table *u);

#endif
