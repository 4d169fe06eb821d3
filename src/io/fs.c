/* SPDX-License-Identifier: MIT
 *
 * fs.c - what is done to files by their paths: one system call each, on a thread of the lane.
 */
#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/fs.h>

/* A call whose paths are there. */
static int with_path(struct file_call *c, int64_t deadline)
{
	return c->path ? (int)weft__file_call(c, deadline) : WEFT_EINVAL;
}

static int with_paths(struct file_call *c, int64_t deadline)
{
	return c->to ? with_path(c, deadline) : WEFT_EINVAL;
}

/* --- what is there --- */

static ssize_t do_stat(struct file_call *c)
{
	return AGAIN(stat(c->path, c->buf));
}

int weft_fs_stat_until(const char *path, struct stat *out, int64_t deadline)
{
	struct file_call c = {.fn = do_stat, .path = path, .buf = out};

	return with_path(&c, deadline);
}

int weft_fs_stat(const char *path, struct stat *out)
{
	return weft_fs_stat_until(path, out, WEFT_FOREVER);
}

static ssize_t do_lstat(struct file_call *c)
{
	return AGAIN(lstat(c->path, c->buf));
}

int weft_fs_lstat_until(const char *path, struct stat *out, int64_t deadline)
{
	struct file_call c = {.fn = do_lstat, .path = path, .buf = out};

	return with_path(&c, deadline);
}

int weft_fs_lstat(const char *path, struct stat *out)
{
	return weft_fs_lstat_until(path, out, WEFT_FOREVER);
}

static ssize_t do_access(struct file_call *c)
{
	return AGAIN(faccessat(AT_FDCWD, c->path, c->flags, AT_EACCESS));
}

int weft_fs_access_until(const char *path, int mode, int64_t deadline)
{
	struct file_call c = {.fn = do_access, .path = path, .flags = mode};

	return with_path(&c, deadline);
}

int weft_fs_access(const char *path, int mode)
{
	return weft_fs_access_until(path, mode, WEFT_FOREVER);
}

/* --- changing it --- */

static ssize_t do_rename(struct file_call *c)
{
	return AGAIN(rename(c->path, c->to));
}

int weft_fs_rename_until(const char *from, const char *to, int64_t deadline)
{
	struct file_call c = {.fn = do_rename, .path = from, .to = to};

	return with_paths(&c, deadline);
}

int weft_fs_rename(const char *from, const char *to)
{
	return weft_fs_rename_until(from, to, WEFT_FOREVER);
}

static ssize_t do_unlink(struct file_call *c)
{
	return AGAIN(unlink(c->path));
}

int weft_fs_unlink_until(const char *path, int64_t deadline)
{
	struct file_call c = {.fn = do_unlink, .path = path};

	return with_path(&c, deadline);
}

int weft_fs_unlink(const char *path)
{
	return weft_fs_unlink_until(path, WEFT_FOREVER);
}

static ssize_t do_link(struct file_call *c)
{
	return AGAIN(link(c->path, c->to));
}

int weft_fs_link_until(const char *from, const char *to, int64_t deadline)
{
	struct file_call c = {.fn = do_link, .path = from, .to = to};

	return with_paths(&c, deadline);
}

int weft_fs_link(const char *from, const char *to)
{
	return weft_fs_link_until(from, to, WEFT_FOREVER);
}

static ssize_t do_symlink(struct file_call *c)
{
	return AGAIN(symlink(c->path, c->to));
}

int weft_fs_symlink_until(const char *target, const char *path, int64_t deadline)
{
	struct file_call c = {.fn = do_symlink, .path = target, .to = path};

	return with_paths(&c, deadline);
}

int weft_fs_symlink(const char *target, const char *path)
{
	return weft_fs_symlink_until(target, path, WEFT_FOREVER);
}

static ssize_t do_chmod(struct file_call *c)
{
	return AGAIN(chmod(c->path, (mode_t)c->n));
}

int weft_fs_chmod_until(const char *path, mode_t mode, int64_t deadline)
{
	struct file_call c = {.fn = do_chmod, .path = path, .n = mode};

	return with_path(&c, deadline);
}

int weft_fs_chmod(const char *path, mode_t mode)
{
	return weft_fs_chmod_until(path, mode, WEFT_FOREVER);
}

static ssize_t do_chown(struct file_call *c)
{
	return AGAIN(chown(c->path, (uid_t)c->n, (gid_t)c->at));
}

int weft_fs_chown_until(const char *path, uid_t uid, gid_t gid, int64_t deadline)
{
	struct file_call c = {.fn = do_chown, .path = path, .n = uid, .at = gid};

	return with_path(&c, deadline);
}

int weft_fs_chown(const char *path, uid_t uid, gid_t gid)
{
	return weft_fs_chown_until(path, uid, gid, WEFT_FOREVER);
}

static ssize_t do_utimes(struct file_call *c)
{
	return AGAIN(utimensat(AT_FDCWD, c->path, c->buf, 0));
}

int weft_fs_utimes_until(const char *path, const struct timespec times[2], int64_t deadline)
{
	struct file_call c = {.fn = do_utimes, .path = path, .buf = (void *)times};

	return with_path(&c, deadline);
}

int weft_fs_utimes(const char *path, const struct timespec times[2])
{
	return weft_fs_utimes_until(path, times, WEFT_FOREVER);
}

static ssize_t do_truncate(struct file_call *c)
{
	return AGAIN(truncate(c->path, c->at));
}

int weft_fs_truncate_until(const char *path, int64_t length, int64_t deadline)
{
	struct file_call c = {.fn = do_truncate, .path = path, .at = length};

	return with_path(&c, deadline);
}

int weft_fs_truncate(const char *path, int64_t length)
{
	return weft_fs_truncate_until(path, length, WEFT_FOREVER);
}

static ssize_t do_mkdir(struct file_call *c)
{
	return AGAIN(mkdir(c->path, (mode_t)c->n));
}

int weft_fs_mkdir_until(const char *path, mode_t mode, int64_t deadline)
{
	struct file_call c = {.fn = do_mkdir, .path = path, .n = mode};

	return with_path(&c, deadline);
}

int weft_fs_mkdir(const char *path, mode_t mode)
{
	return weft_fs_mkdir_until(path, mode, WEFT_FOREVER);
}

static ssize_t do_rmdir(struct file_call *c)
{
	return AGAIN(rmdir(c->path));
}

int weft_fs_rmdir_until(const char *path, int64_t deadline)
{
	struct file_call c = {.fn = do_rmdir, .path = path};

	return with_path(&c, deadline);
}

int weft_fs_rmdir(const char *path)
{
	return weft_fs_rmdir_until(path, WEFT_FOREVER);
}

int weft_fs_exists_until(const char *path, int64_t deadline)
{
	struct stat st;
	int rc = weft_fs_stat_until(path, &st, deadline);

	return rc == WEFT_ENOENT || rc == WEFT_ENOTDIR ? 0 : rc ? rc : 1;
}

int weft_fs_exists(const char *path)
{
	return weft_fs_exists_until(path, WEFT_FOREVER);
}

/* --- paths --- */

static ssize_t do_realpath(struct file_call *c)
{
	char *real = realpath(c->path, NULL);
	ssize_t n;

	if (!real)
		return -errno;
	n = (ssize_t)strlen(real);
	if ((size_t)n >= c->n)
		n = WEFT_ENOSPC;
	else
		memcpy(c->buf, real, (size_t)n + 1);
	free(real);
	return n;
}

ssize_t weft_fs_realpath_until(const char *path, char *buf, size_t n, int64_t deadline)
{
	struct file_call c = {.fn = do_realpath, .path = path, .buf = buf, .n = n};

	return path ? weft__file_call(&c, deadline) : WEFT_EINVAL;
}

ssize_t weft_fs_realpath(const char *path, char *buf, size_t n)
{
	return weft_fs_realpath_until(path, buf, n, WEFT_FOREVER);
}

static ssize_t do_readlink(struct file_call *c)
{
	ssize_t n;

	if (c->n == 0)
		return WEFT_ENOSPC;
	n = AGAIN(readlink(c->path, c->buf, c->n));
	if (n >= 0 && (size_t)n >= c->n)
		n = WEFT_ENOSPC;
	if (n >= 0)
		((char *)c->buf)[n] = '\0';
	return n;
}

ssize_t weft_fs_readlink_until(const char *path, char *buf, size_t n, int64_t deadline)
{
	struct file_call c = {.fn = do_readlink, .path = path, .buf = buf, .n = n};

	return path ? weft__file_call(&c, deadline) : WEFT_EINVAL;
}

ssize_t weft_fs_readlink(const char *path, char *buf, size_t n)
{
	return weft_fs_readlink_until(path, buf, n, WEFT_FOREVER);
}

static ssize_t do_temp_dir(struct file_call *c)
{
	return mkdtemp(c->buf) ? 0 : -errno;
}

int weft_fs_temp_dir_until(char *path, int64_t deadline)
{
	struct file_call c = {.fn = do_temp_dir, .path = path, .buf = path};

	return with_path(&c, deadline);
}

int weft_fs_temp_dir(char *path)
{
	return weft_fs_temp_dir_until(path, WEFT_FOREVER);
}
