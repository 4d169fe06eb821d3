/* SPDX-License-Identifier: MIT
 *
 * allocator.h - an allocator in the place of libc's, as servers have them: it has a lock that nobody knows of, and takes some stack while it holds that.
 */
#ifndef WEFT_TEST_ALLOCATOR_H
#define WEFT_TEST_ALLOCATOR_H

/* How often errno was another after a call than before. */
extern _Atomic int allocator_errnos;

#endif
