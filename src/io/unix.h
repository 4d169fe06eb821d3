/* SPDX-License-Identifier: MIT
 *
 * unix.h - Unix domain sockets, as unix.c and unix_fds.c have them.
 */
#ifndef WEFT_IO_UNIX_H
#define WEFT_IO_UNIX_H

#include "io/fd.h"
#include <weft/unix.h>

struct weft_unix {
	struct fd f;
};

#endif
