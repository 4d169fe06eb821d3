/* SPDX-License-Identifier: MIT
 *
 * weft/fs.h - what can be done to files by their paths: rename, remove, copy, links, permissions, directories and walks through them.
 *
 *     weft_dir *d;
 *     weft_dirent e;
 *
 *     if (weft_dir_open(&d, "/etc") == 0) {
 *             while (weft_dir_next(d, &e) == 1)
 *                     puts(e.name);
 *             weft_dir_close(d);
 *     }
 *
 * Every call blocks (file): the system is asked on a thread of weft's own while the task is parked. Waiting for such a thread ends by cancel and deadline (WEFT_ECANCELED,
 * WEFT_ETIMEDOUT: nothing happened); what has begun is waited for. Calls that do many things (copy, remove_all, walk) look at both in between; glob, which the C library does in one go, does not. With deadline
 * WEFT_NOW they do nothing: WEFT_EAGAIN (weft_dir_next gives what it has already). Any thread may make any call.
 *
 * The way to that thread and back is two hops between threads, many times what the system needs for a path in its cache. Who asks for thousands, the size of each file of a tree say, asks for
 * many in one trip: WEFT_BLOCKING { } around the lstats of a whole directory, or for several at once (weft_par_for).
 *
 * All return 0 if nothing else is said, or an error: those, WEFT_EINVAL (a path is NULL), WEFT_ENOMEM, and what the system says, negated: WEFT_ENOENT, WEFT_EACCES, WEFT_EPERM, WEFT_EEXIST,
 * WEFT_EISDIR, WEFT_ENOTDIR, WEFT_ELOOP, WEFT_ENAMETOOLONG, WEFT_ENOSPC, WEFT_EROFS, WEFT_EMFILE, WEFT_ENFILE, WEFT_EIO.
 */
#ifndef WEFT_FS_H
#define WEFT_FS_H

#include "error.h"
#include "export.h"
#include "time.h"
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

WEFT_BEGIN_DECLS

/* --- what is there --- */

/* weft_fs_stat, weft_fs_lstat - what the system knows of a file; lstat: of a link itself. */
WEFT_API int weft_fs_stat(const char *path, struct stat *out);
WEFT_API int weft_fs_stat_until(const char *path, struct stat *out, int64_t deadline);
WEFT_API int weft_fs_lstat(const char *path, struct stat *out);
WEFT_API int weft_fs_lstat_until(const char *path, struct stat *out, int64_t deadline);

/* weft_fs_exists - is there something, if it can be said? Returns 1; 0: no (or the link that is there leads nowhere); an error: it cannot be said. */
WEFT_API int weft_fs_exists(const char *path);
WEFT_API int weft_fs_exists_until(const char *path, int64_t deadline);

/* weft_fs_access - may this user do that: R_OK, W_OK, X_OK (unistd.h), or be there (F_OK)? Returns 0; WEFT_EACCES, WEFT_EROFS. */
WEFT_API int weft_fs_access(const char *path, int mode);
WEFT_API int weft_fs_access_until(const char *path, int mode, int64_t deadline);

/* weft_fs_realpath - the path without links and dots, into buf of n bytes. Returns its length; WEFT_ENOSPC: it does not fit (PATH_MAX always does). */
WEFT_API ssize_t weft_fs_realpath(const char *path, char *buf, size_t n);
WEFT_API ssize_t weft_fs_realpath_until(const char *path, char *buf, size_t n, int64_t deadline);

/* weft_fs_readlink - where a link leads, into buf of n bytes, with a final zero. Returns its length; WEFT_ENOSPC: it does not fit; WEFT_EINVAL: no link. */
WEFT_API ssize_t weft_fs_readlink(const char *path, char *buf, size_t n);
WEFT_API ssize_t weft_fs_readlink_until(const char *path, char *buf, size_t n, int64_t deadline);

/* --- changing it --- */

/* weft_fs_rename - give it another name; what has that name is replaced in one step. WEFT_EXDEV: on another file system (see weft_fs_copy); WEFT_ENOTEMPTY: a directory with something in it. */
WEFT_API int weft_fs_rename(const char *from, const char *to);
WEFT_API int weft_fs_rename_until(const char *from, const char *to, int64_t deadline);

/* weft_fs_unlink - remove a file, or a link; no directory (WEFT_EISDIR). */
WEFT_API int weft_fs_unlink(const char *path);
WEFT_API int weft_fs_unlink_until(const char *path, int64_t deadline);

/* weft_fs_link, weft_fs_symlink - another name for a file; a link that says where to look. */
WEFT_API int weft_fs_link(const char *from, const char *to);
WEFT_API int weft_fs_link_until(const char *from, const char *to, int64_t deadline);
WEFT_API int weft_fs_symlink(const char *target, const char *path);
WEFT_API int weft_fs_symlink_until(const char *target, const char *path, int64_t deadline);

/* weft_fs_chmod, weft_fs_chown, weft_fs_utimes - as weft_file_chmod and so on; links are followed. */
WEFT_API int weft_fs_chmod(const char *path, mode_t mode);
WEFT_API int weft_fs_chmod_until(const char *path, mode_t mode, int64_t deadline);
WEFT_API int weft_fs_chown(const char *path, uid_t uid, gid_t gid);
WEFT_API int weft_fs_chown_until(const char *path, uid_t uid, gid_t gid, int64_t deadline);
WEFT_API int weft_fs_utimes(const char *path, const struct timespec times[2]);
WEFT_API int weft_fs_utimes_until(const char *path, const struct timespec times[2], int64_t deadline);

/* weft_fs_truncate - make the file `length` bytes long. */
WEFT_API int weft_fs_truncate(const char *path, int64_t length);
WEFT_API int weft_fs_truncate_until(const char *path, int64_t length, int64_t deadline);

#define WEFT_COPY_NEW 1 /* WEFT_EEXIST if there is one already */

/* weft_fs_copy - copy what is in a regular file, and its permissions (not S_ISUID and S_ISGID); inside the kernel where that can be done (on some file systems without moving a byte).
 *
 *   to     made, or replaced in place
 *   flags  0 or WEFT_COPY_NEW
 *
 * WEFT_EINVAL: flags, no regular file, or both are the same file. On an error, cancel and deadline included, which are looked at every few megabytes, what was copied so far is left.
 */
WEFT_API int weft_fs_copy(const char *from, const char *to, int flags);
WEFT_API int weft_fs_copy_until(const char *from, const char *to, int flags, int64_t deadline);

/* --- directories --- */

/* weft_fs_mkdir, weft_fs_rmdir - make a directory (mode less the umask); remove an empty one (WEFT_ENOTEMPTY). */
WEFT_API int weft_fs_mkdir(const char *path, mode_t mode);
WEFT_API int weft_fs_mkdir_until(const char *path, mode_t mode, int64_t deadline);
WEFT_API int weft_fs_rmdir(const char *path);
WEFT_API int weft_fs_rmdir_until(const char *path, int64_t deadline);

/* weft_fs_mkdir_all - the same with all directories above it that are missing; one that is there is no error (WEFT_ENOTDIR: it is something else). */
WEFT_API int weft_fs_mkdir_all(const char *path, mode_t mode);
WEFT_API int weft_fs_mkdir_all_until(const char *path, mode_t mode, int64_t deadline);

/* weft_fs_remove_all - remove it, and if it is a directory all that is in it. Links are removed, not followed. Nothing there is no error. It goes on past what cannot be removed, and returns
 * the first error (WEFT_EMFILE: it is deeper than there are descriptors, one a level); cancel and deadline leave the rest. WEFT_EINVAL, and nothing is removed: the root, or a path whose last part is "." or "..", slashes behind it or not. */
WEFT_API int weft_fs_remove_all(const char *path);
WEFT_API int weft_fs_remove_all_until(const char *path, int64_t deadline);

/* weft_fs_temp_dir - make a directory that nobody else has, for this user alone. path ends in "XXXXXX", which is replaced (else WEFT_EINVAL). */
WEFT_API int weft_fs_temp_dir(char *path);
WEFT_API int weft_fs_temp_dir_until(char *path, int64_t deadline);

typedef struct weft_dir weft_dir;

typedef struct weft_dirent {
	const char *name; /* without the path; until the next weft_dir_next or weft_dir_close, or while a walk's function runs */
	uint64_t ino;     /* number of the file in its file system */
	int type; /* DT_REG, DT_DIR, DT_LNK, DT_FIFO, DT_SOCK, DT_CHR, DT_BLK (dirent.h); DT_UNKNOWN: it was gone before it was looked at */
} weft_dirent;

/* weft_dir_open - begin to read a directory. *out: NULL on error. */
WEFT_API int weft_dir_open(weft_dir **out, const char *path);
WEFT_API int weft_dir_open_until(weft_dir **out, const char *path, int64_t deadline);

/* weft_dir_next - its next entry, in no order; "." and ".." are left out. They are asked for by the hundred.
 *
 * Returns 1; 0: there are no more; WEFT_EBUSY: another task is reading it; or an error as above. Threads: any, one at a time.
 */
WEFT_API int weft_dir_next(weft_dir *d, weft_dirent *out);
WEFT_API int weft_dir_next_until(weft_dir *d, weft_dirent *out, int64_t deadline);

/* weft_dir_close - done with it. NULL is allowed. Returns 0; WEFT_EBUSY: another task is reading it; then it is not closed. Blocks: no. */
WEFT_API int weft_dir_close(weft_dir *d);

/* --- many of them --- */

#define WEFT_WALK_SKIP 1 /* of a directory: what is in it is passed over */

/* One step of a walk. path: the entry's, beginning with what the walk was given. error: 0; or why this directory could not be read (for the second time it is spoken of then).
 * Returns 0: go on; WEFT_WALK_SKIP; or anything else: the walk ends with that. Runs on the walk's task, and may block. */
typedef int weft_walk_fn(const char *path, const weft_dirent *e, int error, void *arg);

/* weft_fs_walk - go through a tree: a directory before what is in it, names of a directory in the order of their bytes; links are not followed. The first entry is `path` itself,
 * and its name is all of `path`.
 *
 * Returns 0; what fn returned; or an error, but not one of a directory that could not be read, which is fn's to judge.
 */
WEFT_API int weft_fs_walk(const char *path, weft_walk_fn *fn, void *arg);
WEFT_API int weft_fs_walk_until(const char *path, weft_walk_fn *fn, void *arg, int64_t deadline);

/* weft_fs_glob - the paths that a pattern of the shell (*, ?, [a-z]) stands for, in order.
 *
 *   paths  receives them, ended by NULL, all in one piece that is the caller's to free(); NULL on error
 *
 * Returns how many; 0: none.
 */
WEFT_API int weft_fs_glob(const char *pattern, char ***paths);
WEFT_API int weft_fs_glob_until(const char *pattern, char ***paths, int64_t deadline);

WEFT_END_DECLS

#endif
