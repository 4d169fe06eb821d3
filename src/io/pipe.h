/* SPDX-License-Identifier: MIT
 *
 * pipe.h - what terminals (tty.c) take from pipes.
 */
#ifndef WEFT_IO_PIPE_H
#define WEFT_IO_PIPE_H

#include "io/fd.h"

#define NOTE_SHARED 1u /* O_NONBLOCK was set on a file that others share */

/* As weft_pipe_open. */
int weft__pipe_take(struct fd **out, int fd);

#endif
