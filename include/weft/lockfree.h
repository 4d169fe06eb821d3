/* SPDX-License-Identifier: MIT
 *
 * weft/lockfree.h - all of weft/lf: structures that several threads use without a lock. They need no runtime, and are not part of weft.h.
 */
#ifndef WEFT_LOCKFREE_H
#define WEFT_LOCKFREE_H

#include "lf/atomic.h"
#include "lf/backoff.h"
#include "lf/deque.h"
#include "lf/flag.h"
#include "lf/hazard.h"
#include "lf/list.h"
#include "lf/memory.h"
#include "lf/mpmc.h"
#include "lf/mpsc.h"
#include "lf/ms.h"
#include "lf/seqlock.h"
#include "lf/spsc.h"
#include "lf/stack.h"
#include "lf/tagged.h"
#include "lf/wsq.h"

#endif
