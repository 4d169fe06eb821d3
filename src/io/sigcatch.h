/* SPDX-License-Identifier: MIT
 *
 * sigcatch.h - catching signals: who has asked for which is counted, what has arrived is a bit.
 *
 *   THEIRS   what the process did before        -> CAUGHT by the first user        CAUGHT -> THEIRS with the last
 *   any      -> IGNORED, and IGNORED -> THEIRS  as somebody says; users are gone then
 *
 * The handler may interrupt anything: it sets a bit, wakes a waker, and calls the handler that was there before, if there was one.
 */
#ifndef WEFT_IO_SIGCATCH_H
#define WEFT_IO_SIGCATCH_H

#include "base/compiler.h"
#include "weft/waker.h"
#include <stdbool.h>
#include <stdint.h>

#define SIGNALS 64 /* 1 .. 64 */
#define SIG_BIT(sig) ((uint64_t)1 << ((sig)-1))

bool weft__sig_may(int sig); /* be caught here */

/* These are called one at a time: the caller has weft__sig_lock. Each returns 0 or a negative code. */
int weft__sig_catch(int sig);  /* one user more */
void weft__sig_leave(int sig); /* one less */
int weft__sig_ignore(int sig); /* has no users any more */
int weft__sig_reset(int sig);  /* the same */

/* What has arrived since the last call. Any thread. */
uint64_t weft__sig_take(void);

/* Woken by what arrives. Made by the first weft__sig_catch; it stays: a handler may be using it at any time. */
extern HIDDEN weft_waker *weft__sig_waker;

/* In a forked child: w has a counter of its own from here on, under the same number. Returns 0 or a negative code. (waker.c) */
int weft__waker_renew(weft_waker *w);

#endif
