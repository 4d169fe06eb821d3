/* SPDX-License-Identifier: MIT
 *
 * lockcheck.h - finds out when a task leaves its worker while it holds a native mutex. Debug builds, and under libweft-lockcheck.so only.
 */
#ifndef WEFT_DEBUG_LOCKCHECK_H
#define WEFT_DEBUG_LOCKCHECK_H

struct weft_task;

/* What is to be called with each task that is about to leave its worker; NULL: nothing, the library is not there. Misuse is a fatal error. */
typedef void lockcheck(struct weft_task *t);
lockcheck *weft__lockcheck_find(void);

#endif
