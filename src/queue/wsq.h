/* SPDX-License-Identifier: MIT
 *
 * wsq.h - a worker's ring: weft/lf/wsq.h, which says how it works, with the scheduler's capacity.
 *
 * Models: test/model/wsq.cpp, test/model/wsq.pml.  Not here: where the overflow goes (core/injectq.h), whom to rob.
 */
#ifndef WEFT_QUEUE_WSQ_H
#define WEFT_QUEUE_WSQ_H

#include "base/atomic.h"
#include "weft/lf/wsq.h"
#ifndef WSQ_CAP
#include "base/config.h"
#define WSQ_CAP RUNQ_CAP
#endif

WEFT_WSQ_DEFINE(wsq, WSQ_CAP);

#endif
