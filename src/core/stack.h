/* SPDX-License-Identifier: MIT
 *
 * stack.h - guarded stacks for tasks: get, put, give memory back, and the report of an overflow.
 *
 * A slot is [guard | usable]; its size is a power of two, its class.  Slots lie STACK_SKEW apart, in slabs of up to STACK_SLAB_SLOTS, one
 * MAP_NORESERVE mapping each, with MADV_NOHUGEPAGE.  A slot gets its guard when it is first handed out (core/guard.h), or the request fails: never silently unguarded.
 *
 * Layers: a worker's hot cache (struct stack_cache, last in first out, no lock) - the shared pool of a class (RANK_POOL) - slabs.
 */
#ifndef WEFT_CORE_STACK_H
#define WEFT_CORE_STACK_H

#include "base/compiler.h"
#include "base/config.h"
#include "base/list.h"
#include "base/sanitizer.h"
#include "core/guard.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stack_slab;
struct weft_task;

struct stack {
	char *lo;                /* lowest usable byte; [lo - STACK_GUARD, lo) faults */
	char *hi;                /* one past the highest usable byte */
	struct list_node link;   /* in a list of free stacks of the pool; under its lock */
	struct stack_slab *slab; /* its mapping and size class */
	struct weft_task *owner; /* task that runs on it, or NULL; written by the worker that binds it; read by the fault handler */
	struct san_fiber san;    /* that task, as the sanitizers know it; written by the worker that binds it */
	uint16_t colour; /* bytes the first frame starts below hi, a multiple of 64: stacks aligned alike collide in one cache set */
	uint16_t index;  /* which slot of its slab */
	bool lent;       /* a part of the guard is stack: weft__stack_lend. Its task's */
	union {
		uintptr_t lent_at; /* lent: to come back to this address */
		int64_t since;     /* in quarantine */
	};
};

/* A worker's hot stacks of the default class. Owner only. */
struct stack_cache {
	unsigned n;
	struct stack *hot[STACK_CACHE];
};

/* A stack with at least `usable` bytes (STACK_MIN..STACK_MAX) into *out; its owner is NULL.
 * Returns 0; or WEFT_ENOMEM (mapping, guard or bookkeeping refused), WEFT_EINVAL. Any thread. */
int weft__stack_get(size_t usable, struct stack **out);

/* Back to its class's shared pool. Any thread, not from the stack itself. */
void weft__stack_put(struct stack *s);

/* Back, but nobody's for a while: the last STACK_QUARANTINE of those stay as they are, and all for STACK_QUARANTINE_NS, for others may have pointers into them; but for the last one not more than STACK_QUARANTINE_BYTES, and
 * none when there is no other to be had. Any thread, as weft__stack_put. weft__stack_release - ends that of all. */
void weft__stack_quarantine(struct stack *s);
void weft__stack_release(void);

/* A task that runs on s has no stack left, and needs some to come back from a call: most of the guard, once; s goes back to the shared pool then (TASK_OWN_STACK), which installs the guard anew. Returns
 * whether that was possible, and serves an access at addr. Async-signal-safe. */
bool weft__stack_lend(struct stack *s, uintptr_t addr);

/* Refill (returns one, caching up to half a cache more) and spill (makes room for one or more) of a worker's cache. Owner. */
int weft__stack_cache_refill(struct stack_cache *c, struct stack **out);
void weft__stack_cache_spill(struct stack_cache *c);
void weft__stack_cache_drain(struct stack_cache *c); /* everything back to the pool */

static inline int stack_cache_get(struct stack_cache *c, struct stack **out)
{
	if (likely(c->n > 0)) {
		*out = c->hot[--c->n];
		return 0;
	}
	return weft__stack_cache_refill(c, out);
}

static inline void stack_cache_put(struct stack_cache *c, struct stack *s)
{
	if (unlikely(c->n == STACK_CACHE))
		weft__stack_cache_spill(c);
	c->hot[c->n++] = s;
}

/* True if s is of the default class (may go into a cache). */
bool weft__stack_is_default(const struct stack *s);

enum stack_decay {
	STACK_DECAY_DONE = 0,  /* the pool holds no free stack: nothing is left to decay */
	STACK_DECAY_LATER = 1, /* call again when the interval is over */
	STACK_DECAY_NOW = 2,   /* this interval's work was not finished within a few milliseconds: call again at once, or soon */
};

/* Ends an interval of the decaying watermark and gives back what it, and the one before, did not need.  A free stack that was not needed for one
 * whole interval loses its pages below the top STACK_TRIM_KEEP; after a second one all its pages; slabs without a used stack are unmapped.
 * Called by the monitor every DECAY_NS / 2.  Never holds the pool's lock over more than a batch.  Any thread. */
enum stack_decay weft__stack_decay(void);

/* Gives back everything unused, at once. Any thread. */
void weft__stack_trim(void);

/* The task that runs on s, which stands at `frame`: gives back the pages below, but for one or two. */
void weft__stack_trim_below(struct stack *s, const void *frame);

/* The stack whose slot (guard included) contains addr, or NULL. *in_guard: whether addr lies in the guard. Async-signal-safe, no lock.
 * The answer is valid as long as the slot is in use: ask about a stack that cannot be put back meanwhile. */
struct stack *weft__stack_find(const void *addr, bool *in_guard);

struct stack_stats {
	size_t slabs;       /* mappings */
	size_t mapped;      /* bytes reserved, guards included */
	size_t stacks;      /* slots that were ever handed out, in slabs still mapped */
	size_t in_use;      /* out of the shared pool: bound to tasks, or in workers' caches */
	size_t pooled;      /* free, pages kept: hot or idle */
	size_t quarantined; /* of those in use: of tasks that have failed */
};
void weft__stack_stats(struct stack_stats *out);

/* Fault handling (core/overflow.c). Installs the SIGSEGV and SIGBUS handlers, chained to what was there; counted. Returns 0 or a negative code. */
int weft__overflow_install(void);
void weft__overflow_uninstall(void);
/* The same of SIGFPE, SIGILL, SIGTRAP and SIGABRT, for tasks that are contained; while the first two are. Takes a lock. */
int weft__overflow_install_more(void);

/* Writes what there is to say about a task, one line without newline, into buf: 'task 7 "name" (fn, started at file:line)'. Async-signal-safe.
 * Set before tasks run; NULL: "a task". */
extern HIDDEN void (*weft__overflow_describe)(struct weft_task *t, char *buf, size_t n);

struct overflow_regs {
	uintptr_t pc, sp, fp;
	uintptr_t lr;          /* 0 where there is none */
	uintptr_t probe, base; /* debug/unwind.h */
};

/* Of the ucontext_t that a signal handler got. */
struct overflow_regs weft__overflow_registers(const void *context);

/* What a report has of the storey above; NULL: it follows frame pointers, and asks dladdr. Both are called on the alternate stack, by one thread, before abort: no allocation, no lock of ours.
 *
 *   caller  from a frame within [lo, hi) to its caller's. exact: pc is where it stands, no return address. False: there is none, or it cannot be found
 *   name    "function+0x12 (module+0x1234)" for a code address, into buf; ret: it is a return address
 */
extern HIDDEN bool (*weft__overflow_caller)(struct overflow_regs *r, bool exact, uintptr_t lo, uintptr_t hi);
extern HIDDEN void (*weft__overflow_name)(uintptr_t pc, bool ret, char *buf, size_t n);

/* Alternate signal stack of the calling thread: set one up / put the old one back. Same thread, properly nested. */
struct altstack {
	void *mem; /* our mapping, or NULL: nothing was set up */
	size_t size;
	void *old_sp;
	size_t old_size;
	int old_flags;
};
int weft__altstack_enter(struct altstack *a);
void weft__altstack_leave(struct altstack *a);

#endif
