/* SPDX-License-Identifier: MIT
 *
 * fswatch_nodes.c - what is watched: see fswatch.h.
 */
#include "io/fswatch.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct list *bucket_of(struct nodes *s, int wd)
{
	return &s->bucket[(unsigned)wd % NODE_BUCKETS];
}

void weft__nodes_init(struct nodes *s, int fd)
{
	s->fd = fd;
	for (int i = 0; i < NODE_BUCKETS; i++)
		list_init(&s->bucket[i]);
	list_init(&s->roots);
	list_init(&s->aside);
	s->round = 0;
	s->first = NULL;
	s->last = &s->first;
	s->lost = false;
}

static void node_free(struct node *n)
{
	free(n->name);
	free(n);
}

void weft__nodes_free(struct nodes *s)
{
	struct list_node *n;
	struct found *f;

	for (int i = 0; i < NODE_BUCKETS; i++) {
		while ((n = list_pop_head(&s->bucket[i])) != NULL)
			node_free(container_of(n, struct node, link));
	}
	while ((f = s->first) != NULL) {
		s->first = f->next;
		free(f);
	}
}

struct node *weft__nodes_find(struct nodes *s, int wd)
{
	struct list *b = bucket_of(s, wd);

	for (struct list_node *n = list_first(b); n; n = list_after(b, n)) {
		if (container_of(n, struct node, link)->wd == wd)
			return container_of(n, struct node, link);
	}
	return NULL;
}

static struct node *named(struct list *l, const char *name)
{
	for (struct list_node *n = list_first(l); n; n = list_after(l, n)) {
		if (strcmp(container_of(n, struct node, sib)->name, name) == 0)
			return container_of(n, struct node, sib);
	}
	return NULL;
}

struct node *weft__nodes_root(struct nodes *s, const char *path)
{
	return named(&s->roots, path);
}

struct node *weft__node_below(struct node *up, const char *name)
{
	return named(&up->below, name);
}

char *weft__node_path(const struct node *n, const char *name)
{
	size_t len = name ? strlen(name) : 0, at;
	char *path;

	for (const struct node *i = n; i; i = i->up)
		len += strlen(i->name) + 1;
	path = malloc(len + 1);
	if (!path)
		return NULL;
	at = len;
	path[at] = '\0';
	if (name) {
		at -= strlen(name);
		memcpy(path + at, name, strlen(name));
	}
	for (const struct node *i = n; i; i = i->up) {
		size_t bytes = strlen(i->name);

		if (path[at] && !(bytes && i->name[bytes - 1] == '/')) /* something follows, and "/" itself needs no other */
			path[--at] = '/';
		at -= bytes;
		memcpy(path + at, i->name, bytes);
	}
	memmove(path, path + at, len - at + 1);
	return path;
}

int weft__node_move(struct node *n, struct node *up, const char *name)
{
	char *copy = strdup(name);

	if (!copy)
		return WEFT_ENOMEM;
	free(n->name);
	n->name = copy;
	list_remove(&n->sib);
	n->up = up;
	list_push_tail(&up->below, &n->sib);
	return 0;
}

/* One by one from the lowest up, without recursion: a task's stack may be small, and a tree deep. */
void weft__node_drop(struct nodes *s, struct node *n, bool gone)
{
	struct node *at = n, *up;
	struct list_node *b;
	bool last;

	do {
		while ((b = list_first(&at->below)) != NULL)
			at = container_of(b, struct node, sib);
		last = at == n;
		up = at->up;
		if (!last || !gone)
			inotify_rm_watch(s->fd, at->wd);
		list_remove(&at->link);
		list_remove(&at->sib);
		node_free(at);
		at = up;
	} while (!last);
}

/* --- new ones --- */

static uint32_t mask_of(const struct node *root)
{
	uint32_t mask = IN_DELETE_SELF | IN_MOVE_SELF | IN_MASK_CREATE;

	if (root->events & WEFT_FS_CREATED)
		mask |= IN_CREATE | IN_MOVED_TO;
	if (root->events & WEFT_FS_REMOVED)
		mask |= IN_DELETE | IN_MOVED_FROM;
	if (root->events & WEFT_FS_CHANGED)
		mask |= IN_MODIFY;
	if (root->events & WEFT_FS_CLOSED)
		mask |= IN_CLOSE_WRITE;
	if (root->events & WEFT_FS_ATTRIBS)
		mask |= IN_ATTRIB;
	if (root->events & WEFT_FS_RENAMED)
		mask |= IN_MOVED_FROM | IN_MOVED_TO;
	if (root->tree)
		mask |= IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
	return mask;
}

static struct node *node_make(struct node *up, const char *name)
{
	struct node *n = calloc(1, sizeof *n);

	if (n)
		n->name = strdup(name);
	if (!n || !n->name) {
		free(n);
		return NULL;
	}
	n->up = up;
	n->root = up ? up->root : n;
	list_init(&n->below);
	return n;
}

/* Makes n, which is nowhere yet, watched, or frees it. Returns 0 or why not; WEFT_EEXIST: what is at path is watched already. */
static int node_watch(struct nodes *s, struct node *n, const char *path)
{
	int rc;

	n->wd = inotify_add_watch(s->fd, path, mask_of(n->root) | (n->up ? IN_DONT_FOLLOW : 0));
	if (n->wd < 0) {
		rc = -errno;
		node_free(n);
		return rc;
	}
	list_push_tail(bucket_of(s, n->wd), &n->link);
	list_push_tail(n->up ? &n->up->below : &s->roots, &n->sib);
	return 0;
}

/* The kernel's number of what is at path now, or why there is none. Everything is watched for its end: to ask for that once more changes nothing. */
static int number_at(struct nodes *s, const char *path, uint32_t how)
{
	int wd = inotify_add_watch(s->fd, path, IN_DELETE_SELF | IN_MASK_ADD | how);

	if (wd < 0)
		return -errno;
	if (!weft__nodes_find(s, wd))
		inotify_rm_watch(s->fd, wd);
	return wd;
}

/* A directory in a tree. */
static int node_add(struct node **out, struct nodes *s, struct node *up, const char *name, const char *path)
{
	*out = node_make(up, name);
	return *out ? node_watch(s, *out, path) : WEFT_ENOMEM;
}

static int tell(struct nodes *s, int what, const char *path, bool is_dir)
{
	size_t bytes = strlen(path) + 1;
	struct found *f = malloc(sizeof *f + bytes);

	if (!f)
		return WEFT_ENOMEM;
	f->next = NULL;
	f->what = what;
	f->is_dir = is_dir;
	memcpy(f->path, path, bytes);
	*s->last = f;
	s->last = &f->next;
	return 0;
}

/* What lies below n and has not been seen in this round. unseen: n could not be looked into; then only what came with it from another tree. */
static void set_aside(struct nodes *s, struct node *n, bool unseen)
{
	struct list_node *at, *next;
	const struct node *b;

	for (at = list_first(&n->below); at; at = next) {
		next = list_after(&n->below, at);
		b = container_of(at, struct node, sib);
		if (b->round == s->round || (unseen && b->root == n->root))
			continue;
		list_remove(at);
		list_push_tail(&s->aside, at);
	}
}

/* After these nothing more can be watched. */
static bool is_shortage(int rc)
{
	return rc == WEFT_ENOSPC || rc == WEFT_ENOMEM || rc == WEFT_EMFILE || rc == WEFT_ENFILE;
}

/* Why a directory is looked into. */
enum look {
	LOOK_QUIETLY, /* it shall be watched */
	LOOK_TELL,    /* it is new: what is in it is told */
	LOOK_AGAIN    /* names were lost: what is watched already may be called something else */
};

static int watch_below(struct nodes *s, struct node *n, enum look why);

/* The directory of that name in up. *out: to be looked into; NULL: not that. */
static int dir_found(struct node **out, struct nodes *s, struct node *up, const char *name, const char *path)
{
	struct node *old = weft__node_below(up, name);
	int rc = node_add(out, s, up, name, path);

	if (rc == WEFT_EEXIST && old) {
		*out = old;
		return 0;
	}
	if (rc == 0 && old)
		weft__node_drop(s, old, false); /* another directory of that name, which is gone */
	if (rc)
		*out = NULL;
	return rc;
}

/* The same, where names are worth nothing: by the kernel's number. */
static int dir_again(struct node **out, struct nodes *s, struct node *up, const char *name, const char *path)
{
	struct node *n;
	int rc = node_add(&n, s, up, name, path);

	*out = NULL;
	if (rc == WEFT_EEXIST) {
		n = weft__nodes_find(s, number_at(s, path, IN_DONT_FOLLOW | IN_ONLYDIR));
		if (!n || !n->up || n->round == s->round)
			return 0; /* added by itself; or it has been moved just now, which will be told */
		rc = weft__node_move(n, up, name);
		if (rc == 0 && n->root != up->root) { /* of which other things may be asked for */
			n->root = up->root;
			(void)inotify_add_watch(s->fd, path, (mask_of(n->root) & ~(uint32_t)IN_MASK_CREATE) | IN_MASK_ADD | IN_DONT_FOLLOW);
		}
	}
	if (rc)
		return rc;
	n->round = s->round;
	*out = n;
	return 0;
}

/* An entry of n's directory. Returns 0, or an error after which nothing more can be watched. */
static int look_at(struct nodes *s, struct node *n, const struct dirent *e, int dir, enum look why)
{
	bool is_dir = (e->d_type == DT_UNKNOWN ? weft__fs_type(dir, e->d_name) : e->d_type) == DT_DIR;
	struct node *below;
	char *path;
	int rc = 0;

	if (!is_dir && why != LOOK_TELL)
		return 0;
	path = weft__node_path(n, e->d_name);
	if (!path)
		return WEFT_ENOMEM;
	if (why == LOOK_TELL && tell(s, WEFT_FS_CREATED, path, is_dir))
		s->lost = true;
	if (is_dir) {
		rc = (why == LOOK_AGAIN ? dir_again : dir_found)(&below, s, n, e->d_name, path);
		if (below)
			rc = watch_below(s, below, why);
	}
	free(path);
	/* others: it is gone already, nobody may look into it, or it is watched from elsewhere; again: what is watched already goes on to be */
	return is_shortage(rc) && why != LOOK_AGAIN ? rc : 0;
}

static int watch_below(struct nodes *s, struct node *n, enum look why)
{
	char *path = weft__node_path(n, NULL);
	DIR *d = path ? opendir(path) : NULL;
	int rc = d ? 0 : path ? -errno : WEFT_ENOMEM;
	const struct dirent *e;

	free(path);
	while (rc == 0 && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = look_at(s, n, e, dirfd(d), why);
	}
	if (d)
		closedir(d);
	if (why == LOOK_AGAIN)
		set_aside(s, n, is_shortage(rc));
	return is_shortage(rc) ? rc : 0;
}

int weft__nodes_add(struct nodes *s, const char *path, int events, bool tree)
{
	struct node *n = node_make(NULL, path);
	int rc;

	if (!n)
		return WEFT_ENOMEM;
	n->events = events;
	n->tree = tree;
	rc = node_watch(s, n, path);
	if (rc)
		return rc;
	rc = tree ? watch_below(s, n, LOOK_QUIETLY) : 0;
	if (rc)
		weft__node_drop(s, n, false);
	return rc;
}

void weft__nodes_grow(struct nodes *s, struct node *up, const char *name, bool tell_all)
{
	struct node *n, *old = weft__node_below(up, name);
	char *path = weft__node_path(up, name);
	int rc = path ? node_add(&n, s, up, name, path) : WEFT_ENOMEM;

	free(path);
	if (rc == WEFT_EEXIST && old)
		return; /* found before, when the directory above it was looked through; to watch it anew would lose what has come since */
	if (rc == 0 && old)
		weft__node_drop(s, old, false); /* another one of that name, which is gone */
	if (rc == 0)
		rc = watch_below(s, n, tell_all ? LOOK_TELL : LOOK_QUIETLY);
	if (is_shortage(rc))
		s->lost = true;
}

/* Is what is at its path now something else, or nothing? 1, 0, or WEFT_ENOMEM: nobody knows. */
static int root_gone(struct nodes *s, const struct node *root)
{
	int wd = number_at(s, root->name, 0);

	if (wd >= 0)
		return wd != root->wd;
	if (wd == WEFT_ENOMEM)
		return wd;
	return wd == WEFT_ENOENT || wd == WEFT_ENOTDIR || wd == WEFT_ELOOP ||
	       wd == WEFT_ENOSPC; /* the last: it would be a watch more. Others: nobody may look */
}

/*
 * Watches stay where they are, and only get their new names: to end one is an event too, and a tree may have more directories than the kernel keeps events. So what has not been found in its place is set
 * aside, until all has been looked at.
 */
int weft__nodes_again(struct nodes *s)
{
	struct list_node *at, *next;
	int rc = 0;

	s->round++;
	for (at = list_first(&s->roots); at && rc >= 0; at = next) {
		struct node *root = container_of(at, struct node, sib);

		next = list_after(&s->roots, at);
		rc = root_gone(s, root);
		if (rc == 1 && root->events & WEFT_FS_REMOVED)
			rc = tell(s, WEFT_FS_REMOVED, root->name, root->tree) ? WEFT_ENOMEM : 1;
		if (rc == 1) {
			set_aside(s, root, false);
			weft__node_drop(s, root, false);
		}
	}
	for (at = list_first(&s->roots); at && rc >= 0; at = list_after(&s->roots, at)) {
		struct node *root = container_of(at, struct node, sib);

		if (root->tree)
			(void)watch_below(s, root, LOOK_AGAIN); /* a loss is told in any case */
	}
	while ((at = list_first(&s->aside)) != NULL)
		weft__node_drop(s, container_of(at, struct node, sib), false);
	return rc < 0 ? rc : 0;
}
