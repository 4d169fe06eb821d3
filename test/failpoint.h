/* SPDX-License-Identifier: MIT
 *
 * failpoint.h - lets the n-th call that may fail for want of memory or descriptors fail, as seen by weft and the test.
 *
 * The calls listed in test/meson.build are wrapped by the linker (--wrap) in programs that link the archive; what libc and libuv
 * call among themselves is not touched.  All threads count.  The loop to write:
 *
 *   for (n = 1;; n++) {
 *           failpoint_arm(n);
 *           rc = thing_make(&t);
 *           failpoint_disarm();
 *           if (!failpoint_fired())
 *                   break;                  (fewer than n calls: all have been failed)
 *           T_EQ(rc, WEFT_ENOMEM);          (and nothing is left: count descriptors, mappings, LeakSanitizer at exit)
 *   }
 */
#ifndef WEFT_TEST_FAILPOINT_H
#define WEFT_TEST_FAILPOINT_H

#include <stdbool.h>

/* The n-th wrapped call from now on fails, once; n = 0: none fails, they are only counted. */
void failpoint_arm(long n);

/* From the n-th wrapped call on, every one fails: who retries or falls back is refused again. */
void failpoint_arm_all(long n);

/* No call fails any more. Returns how many wrapped calls there were since arming. */
long failpoint_disarm(void);

/* Did a call fail since the last arming? */
bool failpoint_fired(void);

/* Name of the call that failed first since the last arming, or "". */
const char *failpoint_name(void);

#endif
