/* SPDX-License-Identifier: MIT
 *
 * fs_dir.c - directories: read by the hundred, made with all above them; and patterns.
 */
#include "io/file.h"

#include "base/clock.h"
#include <dirent.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft/fs.h>

#define ENTRIES_BYTES (16 << 10) /* asked for at a time */

struct weft_dir {
	ATOMIC(uint32_t) busy; /* 1: a call is reading it */
	int fd;
	bool end;       /* the system has no more */
	size_t at, len; /* in entries; by who is busy */
	char entries[ENTRIES_BYTES] __attribute__((aligned(8)));
};

struct dir_call {
	struct file_call c;
	weft_dir *d;
};

static bool is_dots(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

int weft__fs_type(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) ? DT_UNKNOWN : (int)IFTODT(st.st_mode);
}

/* --- reading one --- */

static ssize_t do_dir_open(struct file_call *c)
{
	c->fd = (int)AGAIN(open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	return c->fd;
}

static void dir_forsaken(struct file_call *c)
{
	weft__file_forsake_fd(c);
	free(container_of(c, struct dir_call, c)->d);
}

int weft_dir_open_until(weft_dir **out, const char *path, int64_t deadline)
{
	struct dir_call k = {.c = {.fn = do_dir_open, .path = path, .fd = -1}};
	ssize_t fd;
	weft_dir *d;

	if (!out)
		return WEFT_EINVAL;
	*out = NULL;
	if (!path)
		return WEFT_EINVAL;
	d = malloc(sizeof *d);
	if (!d)
		return WEFT_ENOMEM;
	k.d = d;
	weft__file_hold(&k.c, dir_forsaken);
	fd = weft__file_call(&k.c, deadline);
	weft__file_let_go(&k.c);
	if (fd < 0) {
		free(d);
		return (int)fd;
	}
	store_relaxed(&d->busy, 0u); /* not shared yet */
	d->fd = (int)fd;
	d->end = false;
	d->at = d->len = 0;
	*out = d;
	return 0;
}

int weft_dir_open(weft_dir **out, const char *path)
{
	return weft_dir_open_until(out, path, WEFT_FOREVER);
}

/* File systems that do not say what an entry is are asked about each. */
static ssize_t do_entries(struct file_call *c)
{
	weft_dir *d = container_of(c, struct dir_call, c)->d;
	ssize_t n = AGAIN(getdents64(d->fd, d->entries, sizeof d->entries));

	for (size_t at = 0; n > 0 && at < (size_t)n;) {
		struct dirent64 *e = (struct dirent64 *)(d->entries + at);

		if (e->d_type == DT_UNKNOWN && !is_dots(e->d_name))
			e->d_type = (unsigned char)weft__fs_type(d->fd, e->d_name);
		at += e->d_reclen;
	}
	return n;
}

/* The next entry; entries are left, or asked for. */
static int next_entry(weft_dir *d, weft_dirent *out, int64_t deadline)
{
	struct dir_call k = {.c = {.fn = do_entries}, .d = d};

	while (d->at < d->len || !d->end) {
		struct dirent64 *e = (struct dirent64 *)(d->entries + d->at);
		ssize_t n;

		if (d->at < d->len) {
			d->at += e->d_reclen;
			if (is_dots(e->d_name))
				continue;
			*out = (weft_dirent){.name = e->d_name, .ino = e->d_ino, .type = e->d_type};
			return 1;
		}
		n = weft__file_call(&k.c, deadline);
		if (n < 0)
			return (int)n;
		d->at = 0;
		d->len = (size_t)n;
		d->end = n == 0;
	}
	return 0;
}

int weft_dir_next_until(weft_dir *d, weft_dirent *out, int64_t deadline)
{
	int64_t limit = deadline;
	uint32_t idle = 0;
	struct self me;
	int rc;

	if (!d || !out)
		return WEFT_EINVAL;
	rc = self_enter(&me, &limit); /* those that are here already, too, are given to nobody who is cancelled, or late */
	if (!rc && deadline != WEFT_NOW && limit != WEFT_FOREVER && limit <= clock_now())
		rc = WEFT_ETIMEDOUT;
	if (rc)
		return rc;
	if (!cas_acquire(&d->busy, &idle, 1u)) /* pairs with the store below */
		return WEFT_EBUSY;
	rc = next_entry(d, out, deadline);
	store_release(&d->busy, 0u); /* pairs with the compare-and-swap */
	return rc;
}

int weft_dir_next(weft_dir *d, weft_dirent *out)
{
	return weft_dir_next_until(d, out, WEFT_FOREVER);
}

int weft_dir_close(weft_dir *d)
{
	if (!d)
		return 0;
	if (load_acquire(&d->busy)) /* a look, as in weft_dir_next_until */
		return WEFT_EBUSY;
	close(d->fd);
	free(d);
	return 0;
}

/* --- making them --- */

/* 0: it is a directory now. */
static int make_one(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st))
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : WEFT_ENOTDIR;
}

static ssize_t do_mkdir_all(struct file_call *c)
{
	ssize_t rc = make_one(c->path, (mode_t)c->n);
	char *path, *at;

	if (rc != WEFT_ENOENT || !*c->path)
		return rc;
	path = strdup(c->path);
	if (!path)
		return WEFT_ENOMEM;
	rc = 0;
	for (at = path + 1; rc == 0 && *at; at++) {
		if (*at != '/' || at[-1] == '/')
			continue;
		*at = '\0';
		rc = make_one(path, (mode_t)c->n);
		*at = '/';
	}
	free(path);
	return rc ? rc : make_one(c->path, (mode_t)c->n);
}

int weft_fs_mkdir_all_until(const char *path, mode_t mode, int64_t deadline)
{
	struct file_call c = {.fn = do_mkdir_all, .path = path, .n = mode};

	return path ? (int)weft__file_call(&c, deadline) : WEFT_EINVAL;
}

int weft_fs_mkdir_all(const char *path, mode_t mode)
{
	return weft_fs_mkdir_all_until(path, mode, WEFT_FOREVER);
}

/* --- patterns --- */

struct globbing {
	struct file_call c;
	char **paths;
};

/* All in one piece: the pointers, then what they point to. */
static ssize_t pack(char ***out, const glob_t *g)
{
	size_t bytes = (g->gl_pathc + 1) * sizeof(char *);
	char **paths, *text;

	for (size_t i = 0; i < g->gl_pathc; i++)
		bytes += strlen(g->gl_pathv[i]) + 1;
	paths = malloc(bytes);
	if (!paths)
		return WEFT_ENOMEM;
	text = (char *)(paths + g->gl_pathc + 1);
	for (size_t i = 0; i < g->gl_pathc; i++) {
		paths[i] = text;
		text = stpcpy(text, g->gl_pathv[i]) + 1;
	}
	paths[g->gl_pathc] = NULL;
	*out = paths;
	return (ssize_t)g->gl_pathc;
}

static ssize_t do_glob(struct file_call *c)
{
	struct globbing *k = container_of(c, struct globbing, c);
	glob_t g = {.gl_pathc = 0};
	int rc = glob(c->path, GLOB_NOSORT, NULL, &g);
	ssize_t n = rc == GLOB_NOSPACE ? WEFT_ENOMEM : rc && rc != GLOB_NOMATCH ? WEFT_EIO : 0;

	if (n == 0)
		n = pack(&k->paths, &g);
	globfree(&g);
	return n;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int weft_fs_glob_until(const char *pattern, char ***paths, int64_t deadline)
{
	struct globbing k = {.c = {.fn = do_glob, .path = pattern}};
	ssize_t n;

	if (!paths)
		return WEFT_EINVAL;
	*paths = NULL;
	if (!pattern)
		return WEFT_EINVAL;
	n = weft__file_call(&k.c, deadline);
	if (n >= 0) {
		qsort(k.paths, (size_t)n, sizeof *k.paths, by_bytes); /* whatever the locale says */
		*paths = k.paths;
	}
	return (int)n;
}

int weft_fs_glob(const char *pattern, char ***paths)
{
	return weft_fs_glob_until(pattern, paths, WEFT_FOREVER);
}
