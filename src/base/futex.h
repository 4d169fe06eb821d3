/* SPDX-License-Identifier: MIT
 *
 * futex.h - sleep on a 32-bit word, wake its sleepers. Linux; another system adds another futex_*.c.
 */
#ifndef WEFT_BASE_FUTEX_H
#define WEFT_BASE_FUTEX_H

#include "base/atomic.h"
#include <stdint.h>

/* Sleeps while *word == expected, until woken or until the absolute monotonic time deadline (INT64_MAX: for ever).
 * Returns 0, or -ETIMEDOUT.  May return 0 for no reason: look at the word again. */
int weft__futex_wait(ATOMIC(uint32_t) *word, uint32_t expected, int64_t deadline);

/* Wakes up to n sleepers. */
void weft__futex_wake(ATOMIC(uint32_t) *word, int n);

#endif
