/* SPDX-License-Identifier: MIT
 *
 * pipe.h - what terminals (tty.c) take from pipes.
 */
#ifndef WEFT_IO_PIPE_H
#define WEFT_IO_PIPE_H

#include "io/fd.h"

#include <sys/uio.h>

#define NOTE_SHARED 1u /* O_NONBLOCK was set on a file that others share */

/* As weft_pipe_open. */
int weft__pipe_take(struct fd **out, int fd);

/* Of weft_io_ops. */
ssize_t weft__pipe_io_readv(void *self, const struct iovec *v, int count, int64_t deadline);
ssize_t weft__pipe_io_writev(void *self, const struct iovec *v, int count, size_t *done, int64_t deadline);
int weft__pipe_io_set_deadline(void *self, int64_t rd, int64_t wr);
int weft__pipe_io_close(void *self);

#endif
