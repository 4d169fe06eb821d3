/* SPDX-License-Identifier: MIT
 *
 * fswatch_nodes.c - what is watched: see fswatch.h.
 */
#include "io/fswatch.h"

#include <dirent.h>
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

/* A directory in a tree. */
static int node_add(struct node **out, struct nodes *s, struct node *up, const char *name, const char *path)
{
	*out = node_make(up, name);
	return *out ? node_watch(s, *out, path) : WEFT_ENOMEM;
}

static void tell(struct nodes *s, const char *path, bool is_dir)
{
	size_t bytes = strlen(path) + 1;
	struct found *f = malloc(sizeof *f + bytes);

	if (!f) {
		s->lost = true;
		return;
	}
	f->next = NULL;
	f->is_dir = is_dir;
	memcpy(f->path, path, bytes);
	*s->last = f;
	s->last = &f->next;
}

/* After these nothing more can be watched. */
static bool is_shortage(int rc)
{
	return rc == WEFT_ENOSPC || rc == WEFT_ENOMEM || rc == WEFT_EMFILE || rc == WEFT_ENFILE;
}

static int watch_below(struct nodes *s, struct node *n, bool tell_all);

/* An entry of n's directory. Returns 0, or an error after which nothing more can be watched. */
static int look_at(struct nodes *s, struct node *n, const struct dirent *e, int dir, bool tell_all)
{
	bool is_dir = (e->d_type == DT_UNKNOWN ? weft__fs_type(dir, e->d_name) : e->d_type) == DT_DIR;
	struct node *old = is_dir ? weft__node_below(n, e->d_name) : NULL, *below;
	char *path;
	int rc = 0;

	if (!is_dir && !tell_all)
		return 0;
	path = weft__node_path(n, e->d_name);
	if (!path)
		return WEFT_ENOMEM;
	if (tell_all)
		tell(s, path, is_dir);
	if (is_dir) {
		rc = node_add(&below, s, n, e->d_name, path);
		if (rc == WEFT_EEXIST && old)
			below = old;
		else if (rc == 0 && old)
			weft__node_drop(s, old, false); /* another directory of that name, which is gone */
		if (rc == 0 || (rc == WEFT_EEXIST && old))
			rc = watch_below(s, below, tell_all);
	}
	free(path);
	return is_shortage(rc) ? rc : 0; /* others: it is gone already, nobody may look into it, or it is watched from elsewhere */
}

static int watch_below(struct nodes *s, struct node *n, bool tell_all)
{
	char *path = weft__node_path(n, NULL);
	const struct dirent *e;
	int rc = 0;
	DIR *d;

	if (!path)
		return WEFT_ENOMEM;
	d = opendir(path);
	free(path);
	if (!d)
		return is_shortage(-errno) ? -errno : 0;
	while (rc == 0 && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = look_at(s, n, e, dirfd(d), tell_all);
	}
	closedir(d);
	return rc;
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
	rc = tree ? watch_below(s, n, false) : 0;
	if (rc)
		weft__node_drop(s, n, false);
	return rc;
}

void weft__nodes_grow(struct nodes *s, struct node *up, const char *name, bool tell_all)
{
	struct node *n = up, *old;
	char *path;
	int rc = 0;

	if (name) {
		old = weft__node_below(up, name);
		path = weft__node_path(up, name);
		rc = path ? node_add(&n, s, up, name, path) : WEFT_ENOMEM;
		free(path);
		if (rc == WEFT_EEXIST && old)
			return; /* found before, when the directory above it was looked through; to watch it anew would lose what has come since */
		if (rc == 0 && old)
			weft__node_drop(s, old, false); /* another one of that name, which is gone */
	}
	if (rc == 0)
		rc = watch_below(s, n, tell_all);
	if (is_shortage(rc))
		s->lost = true;
}
