/* SPDX-License-Identifier: MIT
 *
 * place.h - which CPUs a runtime's threads run on: options, order, binding.
 *
 * With a cpuset all threads of the runtime are bound to it; with pinning each worker to one CPU of it as well (or of those that the caller of weft_run may use). Worker i
 * has the i-th CPU of `order`, and begins again where there are more workers than CPUs:
 *
 *   - every core's first CPU before any core's second: hyperthreads share what a core has;
 *   - near each other before far: package by package, node by node, cache by cache. Who talks to each other should share a cache; who wants all memory channels instead names CPUs
 *     that are far apart;
 *   - the lower number first.
 *
 * The caller's thread is worker 1: it gets its own mask back at the end. Threads of lanes and the monitor are bound to the whole set, though the thread that makes them is a worker's.
 * On a machine that is only shown (core/topo.h) no thread is bound, and workers take themselves for being where they would be.
 */
#ifndef WEFT_CORE_PLACE_H
#define WEFT_CORE_PLACE_H

#include "base/atomic.h"
#include "base/cpuset.h"
#include "core/topo.h"
#include "weft/runtime.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct worker;

#define WORKER_NAME_MAX 11 /* with "-512" the 15 bytes that the name of a thread has */

struct placement {
	bool tracks;             /* workers note where they run: nobody has told them, and somebody wants to know; constant */
	bool pins;               /* each worker has a CPU of its own; constant */
	bool binds;              /* threads are bound: there is a set, or they are pinned, and it is this machine; constant */
	bool caller_bound;       /* the caller's thread is, and gets `caller` back */
	uint8_t steal;           /* enum weft_steal, decided; constant */
	const struct topo *topo; /* NULL: nobody needs it; constant */
	struct cpuset set;       /* what all threads may use, if they are bound; constant */
	struct cpuset caller;    /* what the caller's thread could use before */
	uint16_t *order;         /* CPUs, for workers 0, 1, ...; NULL: not pinned; constant */
	unsigned ncpus;          /* of the set; 0: there is none */
	ATOMIC(uint32_t) moves; /* how often a worker has found itself on another CPU; relaxed: tells that tables are old (core/victim.c) */
	char name[WORKER_NAME_MAX + 1];
};

/* From options and environment. 0, WEFT_ENOMEM, or WEFT_EINVAL, which is said on standard error. weft__place_down is due in any case. */
int weft__place_up(struct placement *p, const weft_opts *o);

/* The caller's thread gets its mask back, and memory is freed. */
void weft__place_down(struct placement *p);

/* The CPU of worker i; -1: it has none. */
static inline int place_cpu(const struct placement *p, unsigned i)
{
	return p->order ? p->order[i % p->ncpus] : -1;
}

/* The calling thread is worker 0's. 0, or a negative code. */
int weft__place_caller(struct placement *p);

/* pthread_create, with the stack size of `like` (NULL: as usual), of worker i's thread, or with PLACE_ASIDE one that is no worker's. It begins where it belongs, and not on the CPU of the worker that makes it, which
 * may be busy for long. 0, or a negative code. */
#define PLACE_ASIDE (-1)
int weft__place_thread(const struct placement *p, int i, const pthread_attr_t *like, pthread_t *out, void *(*fn)(void *), void *arg);

/* w runs: on which CPU? Owner. Only with p->tracks. */
void weft__place_note(struct worker *w);

/* The CPUs of a set, in order, into out, which has room for all of them. 0 or WEFT_ENOMEM. */
int weft__place_order(const struct topo *t, const struct cpuset *set, uint16_t *out);

#endif
