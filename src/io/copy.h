/* SPDX-License-Identifier: MIT
 *
 * copy.h - what the runtime's end has to know of copies.
 */
#ifndef WEFT_IO_COPY_H
#define WEFT_IO_COPY_H

/* Closes what is kept for copies, and what those of tasks, which never run again, were using. */
struct runtime;

void weft__copy_down(struct runtime *rt);

/* Pipes that are kept or in use: for tests. */
int weft__copy_ducts(void);

#endif
