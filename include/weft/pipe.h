/* SPDX-License-Identifier: MIT
 *
 * weft/pipe.h - pipes, terminals, and whatever else was open before: standard input and output, what a parent has handed on.
 *
 *     weft_pipe *in;
 *
 *     if (weft_pipe_open(&in, STDIN_FILENO) == 0)
 *             while ((n = weft_pipe_read(in, buf, sizeof buf)) > 0)
 *                     ...
 *
 * As TCP (weft/net.h) in all that is not said here: deadlines, references, close; no SIGPIPE is raised.
 */
#ifndef WEFT_PIPE_H
#define WEFT_PIPE_H

#include "error.h"
#include "export.h"
#include "io.h"
#include "time.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

WEFT_BEGIN_DECLS

typedef struct weft_pipe weft_pipe; /* an end of a pipe */
typedef struct weft_tty weft_tty;   /* a terminal */

/* weft_pipe_make - a pipe.
 *
 *   r, w  receive the end that is read and the end that is written, each with one reference; NULL on error
 *
 * Who reads comes to the end when the writing end is closed; who writes gets WEFT_EPIPE when the reading end is.
 *
 * Returns 0; WEFT_EMFILE, WEFT_ENFILE, WEFT_ENOMEM. Blocks: no. Threads: any.
 */
WEFT_API int weft_pipe_make(weft_pipe **r, weft_pipe **w);

/* weft_pipe_open - an open descriptor as a stream: a pipe's, a FIFO's, a terminal's or another device's, a socket's.
 *
 *   fd  taken over: it is closed with the stream, or at once, if it could be opened a second time; 0, 1 and 2 stay open for ever, so that no other file gets their
 *       number
 *
 * It shall not block, and that is a property of the open file, which other processes and descriptors may share: a shell's terminal must not change its ways. So the file
 * is opened a second time, for weft alone. Where that cannot be had (sockets, files that may not be opened, no /proc) all who share it see O_NONBLOCK from now
 * on, and weft_pipe_shared says so.
 *
 * Returns 0; WEFT_EPERM: regular files, directories and some devices (/dev/null) cannot be waited for; WEFT_EBADF; WEFT_EMFILE, WEFT_ENFILE, WEFT_ENOMEM: fd is
 * still the caller's. Standard input of whatever kind, a regular file or /dev/null included: weft_file_from_fd(&f, 0). Blocks: no. Threads: any.
 */
WEFT_API int weft_pipe_open(weft_pipe **out, int fd);

/* weft_pipe_shared - has weft_pipe_open made a file non-blocking that others share? */
WEFT_API bool weft_pipe_shared(const weft_pipe *p);

/* weft_pipe_read, _readv, _write, _writev, _set_deadline, _ref, _close, _free, _fd - as those of TCP. WEFT_EBADF: it is not open for that direction. */
WEFT_API ssize_t weft_pipe_read(weft_pipe *p, void *buf, size_t n);
WEFT_API ssize_t weft_pipe_read_until(weft_pipe *p, void *buf, size_t n, int64_t deadline);
WEFT_API ssize_t weft_pipe_readv(weft_pipe *p, const struct iovec *v, int count);
WEFT_API ssize_t weft_pipe_readv_until(weft_pipe *p, const struct iovec *v, int count, int64_t deadline);
WEFT_API ssize_t weft_pipe_write(weft_pipe *p, const void *buf, size_t n, size_t *done);
WEFT_API ssize_t weft_pipe_write_until(weft_pipe *p, const void *buf, size_t n, size_t *done, int64_t deadline);
WEFT_API ssize_t weft_pipe_writev(weft_pipe *p, const struct iovec *v, int count, size_t *done);
WEFT_API ssize_t weft_pipe_writev_until(weft_pipe *p, const struct iovec *v, int count, size_t *done, int64_t deadline);
WEFT_API int weft_pipe_set_deadline(weft_pipe *p, int64_t rd, int64_t wr);
WEFT_API weft_pipe *weft_pipe_ref(weft_pipe *p);
WEFT_API int weft_pipe_close(weft_pipe *p);
WEFT_API void weft_pipe_free(weft_pipe *p);
WEFT_API int weft_pipe_fd(weft_pipe *p);

/* weft_pipe_io - the end as a byte stream (weft/io.h). It has no directions to shut down: WEFT_ENOTSUP. */
WEFT_API weft_io weft_pipe_io(weft_pipe *p);

/* --- terminals --- */

/* weft_isatty - is the descriptor a terminal's? */
WEFT_API bool weft_isatty(int fd);

/* weft_tty_open - a terminal from an open descriptor, as weft_pipe_open takes it over. A pseudo-terminal's master is one, too.
 *
 * Returns as weft_pipe_open; WEFT_ENOTTY: it is not a terminal.
 */
WEFT_API int weft_tty_open(weft_tty **out, int fd);

/* weft_tty_shared, _read, _write, _set_deadline, _ref, _close, _free, _fd, _io - as those of pipes. Unless the mode is raw, a read gives at most a line, and 0 at
 * Ctrl-D; WEFT_EIO: the terminal is gone. */
WEFT_API bool weft_tty_shared(const weft_tty *t);
WEFT_API ssize_t weft_tty_read(weft_tty *t, void *buf, size_t n);
WEFT_API ssize_t weft_tty_read_until(weft_tty *t, void *buf, size_t n, int64_t deadline);
WEFT_API ssize_t weft_tty_write(weft_tty *t, const void *buf, size_t n, size_t *done);
WEFT_API ssize_t weft_tty_write_until(weft_tty *t, const void *buf, size_t n, size_t *done, int64_t deadline);
WEFT_API int weft_tty_set_deadline(weft_tty *t, int64_t rd, int64_t wr);
WEFT_API weft_tty *weft_tty_ref(weft_tty *t);
WEFT_API int weft_tty_close(weft_tty *t);
WEFT_API void weft_tty_free(weft_tty *t);
WEFT_API int weft_tty_fd(weft_tty *t);
WEFT_API weft_io weft_tty_io(weft_tty *t);

typedef enum weft_tty_modes {
	WEFT_TTY_NORMAL, /* as it was before weft changed it */
	WEFT_TTY_CBREAK, /* each key at once, none shown; Ctrl-C and the like still signal */
	WEFT_TTY_RAW     /* each key at once, none shown, none with a meaning; output goes as it is */
} weft_tty_modes;

/* weft_tty_mode - change how the terminal treats what is typed, for all who use it.
 *
 * It stays so until it is made normal again; the end of the process (exit, or main's return) does that, and so does weft_tty_restore.
 *
 * Returns 0; WEFT_ECLOSED; WEFT_EINVAL: no such mode; WEFT_EIO; WEFT_ENOSPC: 16 terminals are changed already; WEFT_EMFILE. Blocks: no. Threads: any.
 */
WEFT_API int weft_tty_mode(weft_tty *t, weft_tty_modes mode);

/* weft_tty_restore - all terminals as they were before weft changed them: for a program that is about to die. Blocks: no. Threads: any; also from a signal handler. */
WEFT_API void weft_tty_restore(void);

/* weft_tty_size - the size of the window, in characters; 0: unknown. Returns 0; WEFT_ECLOSED; WEFT_EIO. SIGWINCH says that it has changed. */
WEFT_API int weft_tty_size(weft_tty *t, int *columns, int *rows);

WEFT_END_DECLS

#endif
