/* SPDX-License-Identifier: MIT
 *
 * poison.h - reader-writer locks as poison.c sees them; mutexes: mutex.h.
 */
#ifndef WEFT_SYNC_POISON_H
#define WEFT_SYNC_POISON_H

#include "sync/mutex.h"

/* As of a mutex, of the writer. */
bool weft__rwlock_poisoned(weft_rwlock *l);
uint32_t weft__rwlock_owner(weft_rwlock *l);
void weft__rwlock_inherit(weft_rwlock *l, struct weft_task *t);

#endif
