/* SPDX-License-Identifier: MIT
 *
 * file.h - calls that ask a disk: how they get to a thread that may block, and how they hold the descriptor meanwhile.
 *
 * A call is a job in its caller's frame (core/offload.h), of the lane of files.  Its task holds the descriptor meanwhile: by a turn (io/fd.h), if it is at the file's own position
 * (that of reading, whichever it does), or as one of any number of jobs.  The threads of the lane know nothing of weft: they make system calls.
 */
#ifndef WEFT_IO_FILE_H
#define WEFT_IO_FILE_H

#include "core/offload.h"
#include "io/fd.h"

#include <sys/stat.h>
#include <sys/types.h>
#include <weft/file.h>

#define FILE_AT_ONCE (4 << 20) /* bytes after which a call that does much looks at cancel and deadline */

struct file_call {
	struct job job;
	struct list_node held;                 /* in the list of those to be forsaken */
	uint8_t home;                          /* number of the runtime whose task does; while it is there */
	void (*forsaken)(struct file_call *c); /* NULL: it is not held */
	ssize_t (*fn)(struct file_call *c);    /* asks the system, returns what the call shall; may block. No weft inside */
	int fd;                                /* what it is made on */
	int flags;
	const char *path, *to;
	void *buf;
	size_t n;
	int64_t at; /* offset, length */
	const struct iovec *v;
	int count;
	size_t done; /* bytes read or written so far */
	ssize_t rc;  /* fn's */
};

/* Runs c->fn on a thread of the lane. Returns what it returns, or why it was not run. */
ssize_t weft__file_call(struct file_call *c, int64_t deadline);

/* The same on f's descriptor, which is held. */
ssize_t weft__file_upon(struct fd *f, struct file_call *c, int64_t deadline);

/* What a task has in its frame for c, a descriptor above all, is given back by `forsaken` if the runtime goes down before weft__file_let_go, for the task never runs again then. No job of c is
 * under way at that time, and frames are still there. Of foreign threads nothing is held. */
void weft__file_hold(struct file_call *c, void (*forsaken)(struct file_call *c));
void weft__file_let_go(struct file_call *c);

/* Closes c->fd, if it is open (else it is negative). For `forsaken`. */
void weft__file_forsake_fd(struct file_call *c);

/* Closes fd, which nobody else has: ended by nothing. */
int weft__file_close_fd(int fd);

/* The runtime goes down. */
void weft__file_down(struct runtime *rt);

extern HIDDEN const weft_io_ops weft__file_ops; /* self: a struct fd */

/* In the record's note. */
#define FILE_STREAM \
	1u /* it is waited for: FIFO, terminal, socket. Else it is asked on the lane's threads: file, directory, device that cannot be waited for. Constant */
#define FILE_NO_PEEK 2u   /* reads are not to be tried without waiting */
#define FILE_UNWRITTEN 4u /* of a stream: a FIFO that nobody had opened for writing yet, perhaps, when it was opened */
#define FILE_AT_HAND 8u   /* what fstat says of it is in memory, and stays there while it is open. A hint, not of streams */

static inline bool file_is_stream(struct fd *f)
{
	return load_relaxed(&f->note) & FILE_STREAM; /* constant */
}

/* Opens path for a call of its own: a regular file, read or written where the caller is. 1: it is none, and open all the same. For threads that may block. */
int weft__file_open_regular(int *fd, const char *path, int flags, mode_t mode, struct stat *st);

/* A file of what weft__file_open_regular has opened. 0, or an error: the descriptor is still the caller's. */
int weft__file_adopt(weft_file **out, int fd);

/* Nobody has f but a task that never runs again. */
void weft__file_forsake(weft_file *f);

/* What an entry of a directory is (DT_*). For threads that may block. */
int weft__fs_type(int dir, const char *name);

/* System calls that are made again when a signal has interrupted them. */
#define AGAIN(call)                                    \
	__extension__({                                \
		ssize_t again_;                        \
		do                                     \
			again_ = (call);               \
		while (again_ < 0 && errno == EINTR);  \
		again_ < 0 ? (ssize_t)-errno : again_; \
	})

#endif
