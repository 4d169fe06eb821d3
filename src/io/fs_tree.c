/* SPDX-License-Identifier: MIT
 *
 * fs_tree.c - whole trees: remove one, walk through one.
 *
 * Removing goes by descriptors, so that nobody who puts a link in place of a directory meanwhile has it removed what is behind the link.  A job removes a few hundred files, then cancel and
 * deadline have their turn, and the next one begins at the top again, where fewer are left.  A walk reads one directory a job and holds none open: it may be as deep as
 * paths are long.
 */
#include "io/file.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft/fs.h>

static bool is_dots(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* --- remove --- */

#define REMOVED_AT_ONCE SMALL(1000, 4)
#define DEPTH_MAX 4096

struct removing {
	struct file_call c;
	unsigned removed; /* by this job */
	unsigned depth;
	ssize_t first; /* the first error that there was */
};

static bool remove_entry(struct removing *r, int dir, const char *name);

static bool removed(struct removing *r, int dir, const char *name, int flags)
{
	if (unlinkat(dir, name, flags)) {
		if (errno != ENOENT)
			return false;
	} else {
		r->removed++;
	}
	return true;
}

static void failed(struct removing *r, ssize_t error)
{
	if (!r->first)
		r->first = error;
}

/* What is in it. False: there is more to do. */
static bool empty_directory(struct removing *r, DIR *d)
{
	const struct dirent *e;

	while ((errno = 0, e = readdir(d)) != NULL) {
		if (is_dots(e->d_name))
			continue;
		if (r->removed >= REMOVED_AT_ONCE || !remove_entry(r, dirfd(d), e->d_name))
			return false;
	}
	if (errno)
		failed(r, -errno);
	return true;
}

/* A directory, and what is in it. False: there is more to do. */
static bool remove_directory(struct removing *r, int dir, const char *name, ssize_t error)
{
	int fd = (int)AGAIN(openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	DIR *d = NULL;
	bool all = true;

	if (fd == WEFT_ENOENT)
		return true;
	if (fd == WEFT_ENOTDIR || fd == WEFT_ELOOP) {
		failed(r, error);
		return true;
	}
	if (fd >= 0) {
		d = r->depth < DEPTH_MAX ? fdopendir(fd) : NULL;
		if (!d)
			close(fd);
	}
	if (d) {
		r->depth++;
		do {
			unsigned before = r->removed;

			rewinddir(d);
			all = empty_directory(r, d);
			if (all && removed(r, dir, name, AT_REMOVEDIR))
				break;
			error = -errno;
			if (all &&
			    (error != WEFT_ENOTEMPTY || r->removed == before)) { /* else some have been passed over while others went */
				failed(r, error);
				break;
			}
		} while (all);
		r->depth--;
		closedir(d);
		return all;
	}
	if (!removed(r, dir, name, AT_REMOVEDIR)) /* it may be empty */
		failed(r, fd < 0 ? fd : r->depth < DEPTH_MAX ? WEFT_ENOMEM : WEFT_ENAMETOOLONG);
	return true;
}

/* False: there is more to do. */
static bool remove_entry(struct removing *r, int dir, const char *name)
{
	ssize_t error;

	if (removed(r, dir, name, 0))
		return true;
	error = -errno;
	if (error == WEFT_EISDIR || error == WEFT_EPERM) /* Linux, POSIX */
		return remove_directory(r, dir, name, error);
	failed(r, error);
	return true;
}

/* 1: there is more to do. */
static ssize_t do_remove(struct file_call *c)
{
	struct removing *r = container_of(c, struct removing, c);

	r->removed = 0;
	return !remove_entry(r, AT_FDCWD, c->path);
}

/* The root, or a path that ends in "." or "..", whatever slashes follow: nobody means that. */
static bool names_nothing(const char *path)
{
	size_t end = strlen(path), at, n;

	if (end == 0)
		return false; /* there is nothing of that name */
	while (end > 0 && path[end - 1] == '/')
		end--;
	for (at = end; at > 0 && path[at - 1] != '/'; at--)
		;
	n = end - at;
	return n == 0 || (n == 1 && path[at] == '.') || (n == 2 && path[at] == '.' && path[at + 1] == '.');
}

int weft_fs_remove_all_until(const char *path, int64_t deadline)
{
	struct removing r = {.c = {.fn = do_remove, .path = path}};
	ssize_t rc;

	if (!path || names_nothing(path))
		return WEFT_EINVAL;
	do
		rc = weft__file_call(&r.c, deadline);
	while (rc == 1);
	return (int)(rc ? rc : r.first);
}

int weft_fs_remove_all(const char *path)
{
	return weft_fs_remove_all_until(path, WEFT_FOREVER);
}

/* --- walk --- */

struct entry {
	uint64_t ino;
	size_t name; /* where, in the level's names */
	int type;
};

/* A directory that the walk is in. */
struct level {
	struct level *up;
	size_t path_len; /* of the walk's path: this directory's */
	size_t n, at;
	struct entry *entries;
	char *names;
};

struct listing {
	struct file_call c;
	bool ran; /* else c.rc is not the system's answer */
	struct level *level;
	size_t room, names, names_room;
};

struct walk {
	char *path;
	size_t len, size;
	struct level *top;
};

static bool more_room(void **p, size_t *room, size_t need, size_t each)
{
	size_t more = *room ? *room * 2 : 64;
	void *q;

	if (need <= *room)
		return true;
	while (more < need)
		more *= 2;
	q = realloc(*p, more * each);
	if (!q)
		return false;
	*p = q;
	*room = more;
	return true;
}

static bool list_entry(struct listing *k, int dir, const struct dirent *e)
{
	struct level *l = k->level;
	size_t bytes = strlen(e->d_name) + 1;

	if (!more_room((void **)&l->entries, &k->room, l->n + 1, sizeof *l->entries) ||
	    !more_room((void **)&l->names, &k->names_room, k->names + bytes, 1))
		return false;
	memcpy(l->names + k->names, e->d_name, bytes);
	l->entries[l->n++] = (struct entry){
		.ino = e->d_ino, .name = k->names, .type = e->d_type == DT_UNKNOWN ? weft__fs_type(dir, e->d_name) : e->d_type};
	k->names += bytes;
	return true;
}

static int by_name(const void *a, const void *b, void *names)
{
	const struct entry *x = a, *y = b;

	return strcmp((char *)names + x->name, (char *)names + y->name);
}

static ssize_t do_list(struct file_call *c)
{
	struct listing *k = container_of(c, struct listing, c);
	int fd = (int)AGAIN(open(c->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	const struct dirent *e;
	ssize_t rc = 0;
	DIR *d;

	k->ran = true;
	if (fd < 0)
		return fd;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return WEFT_ENOMEM;
	}
	while (rc == 0 && (errno = 0, e = readdir(d)) != NULL) {
		if (!is_dots(e->d_name) && !list_entry(k, fd, e))
			rc = WEFT_ENOMEM;
	}
	if (rc == 0)
		rc = -errno;
	closedir(d);
	if (rc == 0 && k->level->n)
		qsort_r(k->level->entries, k->level->n, sizeof *k->level->entries, by_name, k->level->names);
	return rc;
}

static void level_free(struct level *l)
{
	free(l->entries);
	free(l->names);
	free(l);
}

/* Goes into the directory at w->path. *ran: whether what it returns is about that directory. */
static ssize_t descend(struct walk *w, bool *ran, int64_t deadline)
{
	struct listing k = {.c = {.fn = do_list, .path = w->path}, .level = calloc(1, sizeof(struct level))};
	ssize_t rc;

	*ran = false;
	if (!k.level)
		return WEFT_ENOMEM;
	k.level->path_len = w->len;
	k.level->up = w->top;
	rc = weft__file_call(&k.c, deadline);
	*ran = k.ran && rc != WEFT_ENOMEM;
	if (rc)
		level_free(k.level);
	else
		w->top = k.level;
	return rc;
}

static bool path_set(struct walk *w, size_t len, const char *name)
{
	size_t n = strlen(name), slash = len > 0 && w->path[len - 1] != '/';

	if (!more_room((void **)&w->path, &w->size, len + slash + n + 1, 1))
		return false;
	if (slash)
		w->path[len] = '/';
	memcpy(w->path + len + slash, name, n + 1);
	w->len = len + slash + n;
	return true;
}

/* w->path, which is e. Returns 0, or what the walk ends with. */
static ssize_t visit(struct walk *w, const weft_dirent *e, weft_walk_fn *fn, void *arg, int64_t deadline)
{
	ssize_t rc = fn(w->path, e, 0, arg);
	bool ran;

	if (rc == WEFT_WALK_SKIP)
		return 0;
	if (rc || e->type != DT_DIR)
		return rc;
	rc = descend(w, &ran, deadline);
	if (rc && ran)
		rc = fn(w->path, e, (int)rc, arg);
	return rc == WEFT_WALK_SKIP ? 0 : rc;
}

static ssize_t walk_on(struct walk *w, weft_walk_fn *fn, void *arg, int64_t deadline)
{
	ssize_t rc = 0;

	while (w->top && rc == 0) {
		struct level *l = w->top;
		const struct entry *e;
		weft_dirent here;

		if (l->at == l->n) {
			w->top = l->up;
			level_free(l);
			continue;
		}
		e = &l->entries[l->at++];
		here = (weft_dirent){.name = l->names + e->name, .ino = e->ino, .type = e->type};
		rc = path_set(w, l->path_len, here.name) ? visit(w, &here, fn, arg, deadline) : WEFT_ENOMEM;
	}
	return rc;
}

int weft_fs_walk_until(const char *path, weft_walk_fn *fn, void *arg, int64_t deadline)
{
	struct walk w = {.path = NULL};
	weft_dirent root = {.name = path};
	struct stat st;
	ssize_t rc;

	if (!path || !fn)
		return WEFT_EINVAL;
	rc = weft_fs_lstat_until(path, &st, deadline);
	if (rc)
		return (int)rc;
	root.ino = st.st_ino;
	root.type = (int)IFTODT(st.st_mode);
	rc = path_set(&w, 0, path) ? visit(&w, &root, fn, arg, deadline) : WEFT_ENOMEM;
	if (rc == 0)
		rc = walk_on(&w, fn, arg, deadline);
	while (w.top) {
		struct level *l = w.top;

		w.top = l->up;
		level_free(l);
	}
	free(w.path);
	return (int)rc;
}

int weft_fs_walk(const char *path, weft_walk_fn *fn, void *arg)
{
	return weft_fs_walk_until(path, fn, arg, WEFT_FOREVER);
}
