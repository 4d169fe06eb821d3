/* SPDX-License-Identifier: MIT
 *
 * weft/file.h - files: open, read, write, at the file's own position or at a given one; whole files in one call.
 *
 *     weft_file *f;
 *
 *     if (weft_file_open(&f, "notes", O_RDWR | O_CREAT, 0666) == 0) {
 *             weft_file_pwrite(f, "x", 1, 100, NULL);
 *             weft_file_close(f);
 *     }
 *
 * What the disk has to be asked for happens on threads of weft's own, apart from those for DNS and for users' work, while the task is parked; what is in the system's
 * page cache is read where the task stands. FIFOs, terminals and other devices that can be waited for are byte streams: like connections they never block a thread.
 *
 * Every call looks first whether its task is cancelled or a deadline has passed. A call that waits for a thread is given up then (WEFT_ECANCELED,
 * WEFT_ETIMEDOUT: nothing happened); one that a thread has begun is waited for, because it writes to the caller's memory: it returns what it did. With deadline WEFT_NOW only what
 * needs no thread is done: reading from the page cache, and what byte streams have; else WEFT_EAGAIN.
 *
 * Each call may return, besides what is said of it: WEFT_ECANCELED, WEFT_ETIMEDOUT, WEFT_EAGAIN (WEFT_NOW, or no thread could be made), WEFT_ENOMEM; of a file that is closed
 * WEFT_ECLOSED; and whatever else the system says, negated (WEFT_EIO).
 *
 * References: open and from_fd give one; weft_file_ref gives another to each further task that keeps the file. Each ends with one weft_file_close, the first of which
 * closes the file. Any thread may make any call; one that is no task is blocked by it.
 */
#ifndef WEFT_FILE_H
#define WEFT_FILE_H

#include "error.h"
#include "export.h"
#include "io.h"
#include "time.h"
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

WEFT_BEGIN_DECLS

typedef struct weft_file weft_file;

/* --- open and close --- */

/* weft_file_open - open a file, or make one.
 *
 *   out    receives it, with one reference; NULL on error
 *   flags  those of open(2): O_RDONLY, O_WRONLY or O_RDWR, with O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECT, O_NOFOLLOW, ...; O_CLOEXEC is always set
 *   mode   permissions of a file that is made, less the process's umask
 *
 * A FIFO is opened at once: for reading, the first read waits for somebody who writes; for writing, WEFT_ENXIO: nobody reads it.
 *
 * Returns 0; WEFT_ENOENT, WEFT_EACCES, WEFT_EEXIST (O_EXCL), WEFT_EISDIR (to write a directory), WEFT_ENOTDIR (a part of the path is no directory), WEFT_ELOOP, WEFT_ENAMETOOLONG,
 * WEFT_EROFS, WEFT_ENOSPC, WEFT_EMFILE, WEFT_ENFILE, WEFT_ENXIO, WEFT_EINVAL.
 * Blocks: yes (file). Threads: any.
 */
WEFT_API int weft_file_open(weft_file **out, const char *path, int flags, mode_t mode);
WEFT_API int weft_file_open_until(weft_file **out, const char *path, int flags, mode_t mode, int64_t deadline);

/* weft_file_temp - make and open a file that nobody else has, for reading and writing by this user.
 *
 *   path  ends in "XXXXXX", which is replaced
 *
 * Returns 0; WEFT_EINVAL: it does not; and as weft_file_open. Blocks: yes (file). Threads: any.
 */
WEFT_API int weft_file_temp(weft_file **out, char *path);
WEFT_API int weft_file_temp_until(weft_file **out, char *path, int64_t deadline);

/* weft_file_from_fd - a file of an open descriptor: a file, a FIFO, a device. It is weft's from here on: weft_file_close closes it. What can be waited for is set non-blocking.
 * Standard input of whatever kind, file, pipe, terminal or /dev/null: weft_file_from_fd(&f, 0); closing it closes 0, and what is opened next gets that number.
 *
 * Returns 0; WEFT_EBADF; WEFT_ENOMEM; on any error the descriptor is still the caller's. Blocks: no. Threads: any.
 */
WEFT_API int weft_file_from_fd(weft_file **out, int fd);

/* weft_file_fd - its descriptor, for what weft has no call for; or WEFT_ECLOSED. It stays open until weft_file_close, and is not to be closed otherwise. */
WEFT_API int weft_file_fd(weft_file *f);

/* weft_file_ref - one reference more, for another task. Returns f. */
WEFT_API weft_file *weft_file_ref(weft_file *f);

/* weft_file_close - give up a reference; the first of them closes the file.
 *
 * Calls that wait for their turn, or for a byte stream, end with WEFT_ECLOSED; those that wait for a thread, or that one has begun, are run to their end first, so that no descriptor is closed
 * under them. NULL is allowed.
 *
 * Returns 0; what close(2) says, which some file systems keep for last (WEFT_EIO, WEFT_ENOSPC, WEFT_EDQUOT): it is closed all the same; WEFT_ECLOSED: another reference closed it before
 * (this one is given up).
 * Blocks: yes (file); not ended by cancel. Threads: any.
 */
WEFT_API int weft_file_close(weft_file *f);

/* --- at the file's own position --- */

/* weft_file_read - read on from where the file's position is.
 *
 *   buf  room for n bytes, 0 to SSIZE_MAX
 *
 * Returns 1 to n: bytes read, fewer than n at the end of the file (of a byte stream: what is there); 0: the end (or n is 0: then nothing is looked at); WEFT_EISDIR; WEFT_EBADF: not open for
 * reading; WEFT_EINVAL.
 * Blocks: yes (read, file). Threads: any; two that read or write take turns, each with a piece of its own.
 */
WEFT_API ssize_t weft_file_read(weft_file *f, void *buf, size_t n);
WEFT_API ssize_t weft_file_read_until(weft_file *f, void *buf, size_t n, int64_t deadline);
WEFT_API ssize_t weft_file_readv(weft_file *f, const struct iovec *v, int count); /* 0 to 1,024 buffers, filled one after the other */
WEFT_API ssize_t weft_file_readv_until(weft_file *f, const struct iovec *v, int count, int64_t deadline);

/* weft_file_write - write all of it where the file's position is (O_APPEND: at the end).
 *
 *   done  receives how many bytes were written, which is n on success; NULL: not wanted
 *
 * Returns n; or an error, after which some may have been written (done says how many): WEFT_ENOSPC, WEFT_EDQUOT, WEFT_EFBIG, WEFT_EBADF (not open for writing), WEFT_EPIPE (a FIFO that
 * nobody reads any more; no SIGPIPE is raised), WEFT_EINVAL.
 * Blocks: yes (write, file). Threads: any; two writes do not mix.
 */
WEFT_API ssize_t weft_file_write(weft_file *f, const void *buf, size_t n, size_t *done);
WEFT_API ssize_t weft_file_write_until(weft_file *f, const void *buf, size_t n, size_t *done, int64_t deadline);
WEFT_API ssize_t weft_file_writev(weft_file *f, const struct iovec *v, int count, size_t *done);
WEFT_API ssize_t weft_file_writev_until(weft_file *f, const struct iovec *v, int count, size_t *done, int64_t deadline);

/* weft_file_seek - move the position: whence SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA or SEEK_HOLE.
 *
 * Returns the new position; WEFT_EINVAL; WEFT_ESPIPE: a byte stream has none; WEFT_ENXIO: no data behind it. Blocks: yes (file): for its turn. Threads: any.
 */
WEFT_API int64_t weft_file_seek(weft_file *f, int64_t offset, int whence);
WEFT_API int64_t weft_file_seek_until(weft_file *f, int64_t offset, int whence, int64_t deadline);

/* --- at a given position --- */

/* weft_file_pread, weft_file_preadv - read from `offset` on; the file's position stays. Returns as weft_file_read; WEFT_ESPIPE: a byte stream. Threads: any, as many at once as
 * there are. */
WEFT_API ssize_t weft_file_pread(weft_file *f, void *buf, size_t n, int64_t offset);
WEFT_API ssize_t weft_file_pread_until(weft_file *f, void *buf, size_t n, int64_t offset, int64_t deadline);
WEFT_API ssize_t weft_file_preadv(weft_file *f, const struct iovec *v, int count, int64_t offset);
WEFT_API ssize_t weft_file_preadv_until(weft_file *f, const struct iovec *v, int count, int64_t offset, int64_t deadline);

/* weft_file_pwrite, weft_file_pwritev - write all of it from `offset` on; the position stays. Returns as weft_file_write; WEFT_ESPIPE. Of a file opened with O_APPEND Linux
 * writes at the end. */
WEFT_API ssize_t weft_file_pwrite(weft_file *f, const void *buf, size_t n, int64_t offset, size_t *done);
WEFT_API ssize_t weft_file_pwrite_until(weft_file *f, const void *buf, size_t n, int64_t offset, size_t *done, int64_t deadline);
WEFT_API ssize_t weft_file_pwritev(weft_file *f, const struct iovec *v, int count, int64_t offset, size_t *done);
WEFT_API ssize_t weft_file_pwritev_until(weft_file *f, const struct iovec *v, int count, int64_t offset, size_t *done, int64_t deadline);

/* --- the rest of a file --- */

/* weft_file_sync, weft_file_datasync - return when what was written is on the disk, with all that is known of the file, or with what is needed to read it. Return 0; WEFT_EIO,
 * WEFT_ENOSPC; WEFT_EINVAL: not for things of this kind. Blocks: yes (file). */
WEFT_API int weft_file_sync(weft_file *f);
WEFT_API int weft_file_sync_until(weft_file *f, int64_t deadline);
WEFT_API int weft_file_datasync(weft_file *f);
WEFT_API int weft_file_datasync_until(weft_file *f, int64_t deadline);

/* weft_file_truncate - make it `length` bytes long; what is new is zero. Returns 0; WEFT_EINVAL: negative, not open for writing, or no file; WEFT_EFBIG. Blocks: yes (file). */
WEFT_API int weft_file_truncate(weft_file *f, int64_t length);
WEFT_API int weft_file_truncate_until(weft_file *f, int64_t length, int64_t deadline);

/* weft_file_allocate - have room on the disk for these bytes, so that writing them cannot fail for want of it. mode as for fallocate(2): 0 also makes the file that long. Returns 0;
 * WEFT_ENOSPC, WEFT_EFBIG, WEFT_EINVAL, WEFT_EBADF (not open for writing), WEFT_ENODEV (no file); WEFT_ENOTSUP: this file system cannot. Blocks: yes (file). */
WEFT_API int weft_file_allocate(weft_file *f, int mode, int64_t offset, int64_t length);
WEFT_API int weft_file_allocate_until(weft_file *f, int mode, int64_t offset, int64_t length, int64_t deadline);

/* weft_file_stat - what the system knows of it. Returns 0. Blocks: yes (file); on file systems that keep this in memory (ext4, xfs, btrfs, f2fs, tmpfs) only the first time. */
WEFT_API int weft_file_stat(weft_file *f, struct stat *out);
WEFT_API int weft_file_stat_until(weft_file *f, struct stat *out, int64_t deadline);

/* weft_file_chmod, weft_file_chown, weft_file_utimes - permissions; owner and group (-1: leave it); time of the last access and of the last change (as for futimens(2);
 * NULL: now). Return 0; WEFT_EPERM: not this user's; WEFT_EROFS; WEFT_EINVAL. Blocks: yes (file). */
WEFT_API int weft_file_chmod(weft_file *f, mode_t mode);
WEFT_API int weft_file_chmod_until(weft_file *f, mode_t mode, int64_t deadline);
WEFT_API int weft_file_chown(weft_file *f, uid_t uid, gid_t gid);
WEFT_API int weft_file_chown_until(weft_file *f, uid_t uid, gid_t gid, int64_t deadline);
WEFT_API int weft_file_utimes(weft_file *f, const struct timespec times[2]);
WEFT_API int weft_file_utimes_until(weft_file *f, const struct timespec times[2], int64_t deadline);

#define WEFT_LOCK_SHARED 1    /* others may have the same */
#define WEFT_LOCK_EXCLUSIVE 2 /* nobody else has it */

/* weft_file_lock - have the file for oneself, among programs that ask for it as well: flock(2).
 *
 *   how  WEFT_LOCK_SHARED or WEFT_LOCK_EXCLUSIVE; the other kind than it has: it is changed, which may let somebody else in between
 *
 * The lock is the opened file's, not the task's (between tasks use a mutex), until weft_file_unlock or weft_file_close. The system wakes nobody whose turn it is but threads that sleep in the
 * call, and those could neither be cancelled nor be spared: so whoever waits asks again, after a millisecond at first, and never less often than ten times a second.
 *
 * Returns 0; WEFT_EAGAIN (deadline WEFT_NOW: somebody has it); WEFT_EINVAL: how; WEFT_ENOTSUP: a byte stream; WEFT_ECLOSED, WEFT_ETIMEDOUT, WEFT_ECANCELED: it is as it was before, but that a
 * change of kind may have given up the one it had.
 * Blocks: yes (file, sleep). Threads: tasks; of others only with WEFT_NOW, or with a runtime up.
 */
WEFT_API int weft_file_lock(weft_file *f, int how);
WEFT_API int weft_file_lock_until(weft_file *f, int how, int64_t deadline);

/* weft_file_unlock - give it up; nothing happens if it has none.
 *
 * Returns 0; WEFT_ENOTSUP: a byte stream; WEFT_ECLOSED.
 * Blocks: yes (file); not ended by cancel. Threads: any.
 */
WEFT_API int weft_file_unlock(weft_file *f);

/* weft_file_set_deadline - as weft_tcp_set_deadline, of byte streams. Returns 0; WEFT_ENOTSUP: it is none. */
WEFT_API int weft_file_set_deadline(weft_file *f, int64_t rd, int64_t wr);

/* weft_file_io - the file at its own position as a byte stream (weft/io.h). */
WEFT_API weft_io weft_file_io(weft_file *f);

/* --- whole files --- */

/* weft_file_read_all - all that is in a file.
 *
 *   buf  receives it, with a zero byte behind it, which is not counted; the caller's to free(); NULL on error
 *   n    receives how many bytes; NULL: not wanted
 *
 * Returns 0; the errors of weft_file_open and weft_file_read; WEFT_ENOMEM. Blocks: yes (file); cancel and deadline are looked at every few megabytes. Threads: any.
 */
WEFT_API int weft_file_read_all(const char *path, void **buf, size_t *n);
WEFT_API int weft_file_read_all_until(const char *path, void **buf, size_t *n, int64_t deadline);

#define WEFT_FILE_ATOMIC \
	1 /* into a file beside it, which takes its place when all of it is on the disk: readers, and a crash, find the old one or the new one */

/* weft_file_write_all - make a file, or replace what is in it.
 *
 *   mode   permissions of one that is made, less the umask
 *   flags  0 or WEFT_FILE_ATOMIC, with which an error leaves the old file as it was, and one that is there keeps its permissions (not S_ISUID and S_ISGID); a link is followed, but one
 *          that leads nowhere is WEFT_ENOENT
 *
 * Returns 0; the errors of weft_file_open and weft_file_write; of sync, close and rename with WEFT_FILE_ATOMIC. Without it an error leaves what was written so far. With it a disk that fails
 * when all is written (WEFT_EIO) may leave the new file in its place, for which a crash may still put back the old one.
 * Blocks: yes (file); once begun it is not ended by cancel. Threads: any.
 */
WEFT_API int weft_file_write_all(const char *path, const void *buf, size_t n, mode_t mode, int flags);
WEFT_API int weft_file_write_all_until(const char *path, const void *buf, size_t n, mode_t mode, int flags, int64_t deadline);

WEFT_END_DECLS

#endif
