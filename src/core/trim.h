/* SPDX-License-Identifier: MIT
 *
 * trim.h - gives back the pages that tasks which wait for long have below their stack pointers. What it does, and when, is said in trim.c.
 */
#ifndef WEFT_CORE_TRIM_H
#define WEFT_CORE_TRIM_H

#include "base/atomic.h"
#include <stdbool.h>
#include <stdint.h>

struct trim {
	uint8_t home;   /* whose tasks: number of the runtime. Constant */
	int64_t every;  /* from the end of a pass to the next one's start; 0: off. Constant */
	int64_t last;   /* when the last pass ended, or the runtime came up */
	uint32_t at;    /* number of the record that the pass goes on from; 0: none is under way */
	bool again;     /* tasks may wait that no pass has dealt with */
	bool eager;     /* of the pass that is under way */
	int64_t took;   /* that, or the last one, until now */
	int64_t next;   /* when the next eager one may begin */
	uint32_t known; /* records that there is room for in seen */
	uint16_t *seen; /* by record: its wait, as the last pass saw it. A mapping of its own: where no record ever was it has no page */
	ATOMIC(uint64_t) stacks; /* given back from; a figure */
};

/* home: whose tasks. every: in nanoseconds; 0: never. Returns 0 or WEFT_ENOMEM. From then on all is the monitor's, but the figure. */
int weft__trim_up(struct trim *m, unsigned home, int64_t every);
void weft__trim_down(struct trim *m);

/* Somebody runs: some of a pass, if one is due, until `slice` ns are over. now: weft__clock_read. */
void weft__trim_look(struct trim *m, int64_t now, int64_t slice);

/* Nobody has run for a while, and the caller is about to sleep: some of a pass for which every wait is a long one. Returns whether there is more of it to do. */
bool weft__trim_idle(struct trim *m, int64_t now);

#endif
