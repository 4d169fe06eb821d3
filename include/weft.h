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

#include "weft/actor.h"
#include "weft/bcast.h"
#include "weft/blocking.h"
#include "weft/breaker.h"
#include "weft/bulkhead.h"
#include "weft/bufio.h"
#include "weft/bus.h"
#include "weft/chan.h"
#include "weft/cmap.h"
#include "weft/ctx.h"
#include "weft/defer.h"
#include "weft/dns.h"
#include "weft/error.h"
#include "weft/lock.h"
#include "weft/group.h"
#include "weft/errors.h"
#include "weft/gen.h"
#include "weft/local.h"
#include "weft/file.h"
#include "weft/flight.h"
#include "weft/fs.h"
#include "weft/fsm.h"
#include "weft/fswatch.h"
#include "weft/future.h"
#include "weft/flow.h"
#include "weft/limit.h"
#include "weft/limiter.h"
#include "weft/net.h"
#include "weft/opool.h"
#include "weft/pipe.h"
#include "weft/pool.h"
#include "weft/registry.h"
#include "weft/retry.h"
#include "weft/runtime.h"
#include "weft/scope.h"
#include "weft/several.h"
#include "weft/signal.h"
#include "weft/process.h"
#include "weft/serve.h"
#include "weft/stream.h"
#include "weft/server.h"
#include "weft/supervisor.h"
#include "weft/sync.h"
#include "weft/task.h"
#include "weft/time.h"
#include "weft/typed.h"
#include "weft/unix.h"
#include "weft/udp.h"
#include "weft/uv.h"
#include "weft/version.h"
#include "weft/waker.h"
#include "weft/watch.h"

#ifndef WEFT_NO_SHORT_NAMES
#include "weft/short.h"
#endif

#endif
