/* SPDX-License-Identifier: MIT
 *
 * weft.h - all of weft: green threads, channels and select in straight-line C.
 *
 *     #include <weft.h>
 *
 *     static void hello(chan *c, int n) { chan_send(c, &n); }
 *
 *     WEFT_MAIN(argc, argv)
 *     {
 *             chan *c = chan_make(sizeof(int), 0);
 *             int n;
 *
 *             go(hello, c, 42);
 *             chan_recv(c, &n);
 *             chan_free(c);
 *             return n != 42;
 *     }
 */
#ifndef WEFT_H
#define WEFT_H

#include "weft/chan.h"
#include "weft/ctx.h"
#include "weft/error.h"
#include "weft/net.h"
#include "weft/runtime.h"
#include "weft/sync.h"
#include "weft/task.h"
#include "weft/time.h"
#include "weft/version.h"

#ifndef WEFT_NO_SHORT_NAMES
#include "weft/short.h"
#endif

#endif
