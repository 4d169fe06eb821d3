/* SPDX-License-Identifier: MIT
 *
 * victim.h - in which order a worker without work asks the others (weft_opts.steal).
 *
 *   random     a round from a random one; nothing is kept. That is worker.c's own loop
 *   adaptive   whoever gave something last is asked first, then the others from a random one. Who has given nothing MISSES_MAX times in a row is left out, but not of a search's last
 *              two rounds
 *   near       the same core, the same last-level cache, the same node, the same package, the rest; within each from a random one
 *
 * Every policy asks every other worker in each of a search's last two rounds: worker.c relies on finding there what it has seen.
 *
 * The table of `near` is made once, and again when a worker that is not pinned has found itself on another CPU. It says where workers were: stale, it costs time and not work.
 */
#ifndef WEFT_CORE_VICTIM_H
#define WEFT_CORE_VICTIM_H

#include "core/topo.h"
#include <stdbool.h>
#include <stdint.h>

struct worker;
struct idle;

/* What a worker knows of the others. Owner only. */
struct victims {
	uint16_t *order;           /* near: their ids, nearest first */
	uint8_t *level;            /* near: by id, for whoever makes the order */
	uint32_t end[TOPO_LEVELS]; /* near: where a level's end in it */
	uint32_t moves;            /* near: the order is of this count of moves (core/place.h) ... */
	unsigned n;                /* ... and of so many workers; 0: there is none yet */
	int giver;                 /* adaptive: 1 + the id of whoever gave something last; 0: nobody yet */
};

/* What w needs for its runtime's policy. 0 or WEFT_ENOMEM. */
int weft__victims_make(struct worker *w);
void weft__victims_free(struct worker *w);

/* A round over them. */
struct victim_round {
	unsigned from, to, at,
		left;   /* ids, or places in the order, that are gone through, in a circle; the next, and how many are still to come */
	unsigned level; /* near: what comes behind them */
	int first;      /* adaptive: 1 + the id of whoever is asked first; 0: nobody */
	bool all, begun;
};

/* round: which one of a search. */
void weft__victims_begin(struct worker *w, struct victim_round *r, int round);

/* The id of the next one to be asked; -1: all have been. Once each, never w itself. */
int weft__victims_next(struct worker *w, struct victim_round *r);

/* How it went with the last one that weft__victims_next has named. */
void weft__victims_told(struct worker *w, int id, bool gave);

/* idle.h's choose: the place on the list of a sleeper that is near the caller. One that shares its cache is better than one that shares its core, which is busy with the caller. */
unsigned weft__victims_sleeper(struct idle *i);

#endif
