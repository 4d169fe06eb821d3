/* SPDX-License-Identifier: MIT
 *
 * fswatch_linux.c - hearing of what happens to files: inotify, read like any descriptor.
 *
 * Who reads events has the turn of reading of the descriptor (io/fd.h), and of writing while it looks at what is watched, which others change meanwhile (add, remove).
 *
 * The kernel tells a renaming as two events, away and here, with one number.  Both are looked for in what has been read; if the second is not there, what comes within a few milliseconds
 * is waited for, because nothing says that it will not come.  An event is used up only when all that it asks for has been done: who is cancelled on the way leaves it to the next.
 */
#include "io/fswatch.h"

#include "base/clock.h"
#include "base/ref.h"
#include "io/stream.h"
#include <stdlib.h>
#include <string.h>

#define BUFFER (16 << 10)
#define EVENT_MAX (sizeof(struct inotify_event) + NAME_MAX + 1)
#define PAIR_NS (10 * MS)
#define MORE 2 /* of a step: the other half of a renaming is missing */

struct weft_fswatch {
	struct fd *f;
	int fd;                 /* constant */
	ATOMIC(uint32_t) holds; /* of references and of calls under way */
	struct nodes nodes;     /* by who has the turn of writing */
	/* by who has the turn of reading */
	bool alone;        /* the other half of the next event will not come */
	uint32_t swapped;  /* cookie of the second renaming of two that were one exchange, and are done with but for what is told */
	char *path, *from; /* what was told last */
	size_t at, len;    /* in buf */
	char buf[BUFFER] __attribute__((aligned(8)));
};

/* What is done to the nodes on a thread that may block. */
struct node_call {
	struct file_call c;
	weft_fswatch *w;
	struct node *node;
	int events;
	bool tree;
};

/* --- make and end --- */

int weft_fswatch_make(weft_fswatch **out)
{
	weft_fswatch *w;
	int rc;

	if (!out)
		return WEFT_EINVAL;
	*out = NULL;
	w = calloc(1, sizeof *w);
	if (!w)
		return WEFT_ENOMEM;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0) {
		rc = -errno;
		free(w);
		return rc;
	}
	rc = weft__fd_make(&w->f, w->fd);
	if (rc) {
		close(w->fd);
		free(w);
		return rc;
	}
	store_relaxed(&w->holds, 1u); /* not shared yet */
	weft__nodes_init(&w->nodes, w->fd);
	*out = w;
	return 0;
}

static void hold(weft_fswatch *w)
{
	add_relaxed(&w->holds, 1u); /* the caller has one */
}

static void let_go(weft_fswatch *w)
{
	if (!ref_drop(&w->holds))
		return;
	weft__nodes_free(&w->nodes);
	free(w->path);
	free(w->from);
	free(w);
}

weft_fswatch *weft_fswatch_ref(weft_fswatch *w)
{
	weft__fd_ref(w->f);
	hold(w);
	return w;
}

/* With many watches the kernel takes its time to close it. */
int weft_fswatch_close(weft_fswatch *w)
{
	int rc;

	if (!w)
		return 0;
	rc = weft__fd_close(w->f, true);
	if (rc == 0)
		(void)weft__file_close_fd(w->fd);
	let_go(w);
	return rc;
}

/* --- what is watched --- */

static ssize_t do_add(struct file_call *c)
{
	struct node_call *k = container_of(c, struct node_call, c);

	return weft__nodes_add(&k->w->nodes, c->path, k->events, k->tree);
}

static ssize_t do_remove(struct file_call *c)
{
	struct node_call *k = container_of(c, struct node_call, c);
	ssize_t rc = WEFT_ENOENT;
	struct node *n;

	/* several: one that is gone, of which that has not been read yet, and one added since */
	while ((n = weft__nodes_root(&k->w->nodes, c->path)) != NULL) {
		weft__node_drop(&k->w->nodes, n, false);
		rc = 0;
	}
	return rc;
}

static int change(struct node_call *k, int64_t deadline)
{
	struct fd_op op;
	ssize_t rc;

	hold(k->w);
	fd_op_init(&op, k->w->f, POLL_WRITE, REASON_FILE, deadline);
	rc = weft__fd_next(&op);
	if (rc == 0)
		rc = weft__file_call(&k->c, deadline);
	weft__fd_end(&op);
	let_go(k->w);
	return (int)rc;
}

int weft_fswatch_add_until(weft_fswatch *w, const char *path, int events, int flags, int64_t deadline)
{
	struct node_call k = {.c = {.fn = do_add, .path = path}, .w = w, .events = events, .tree = flags & WEFT_FS_TREE};

	if (!w || !path || !events || events & ~WEFT_FS_ALL || flags & ~WEFT_FS_TREE)
		return WEFT_EINVAL;
	return change(&k, deadline);
}

int weft_fswatch_add(weft_fswatch *w, const char *path, int events, int flags)
{
	return weft_fswatch_add_until(w, path, events, flags, WEFT_FOREVER);
}

int weft_fswatch_remove_until(weft_fswatch *w, const char *path, int64_t deadline)
{
	struct node_call k = {.c = {.fn = do_remove, .path = path}, .w = w};

	return w && path ? change(&k, deadline) : WEFT_EINVAL;
}

int weft_fswatch_remove(weft_fswatch *w, const char *path)
{
	return weft_fswatch_remove_until(w, path, WEFT_FOREVER);
}

/* --- one event --- */

static ssize_t do_grow(struct file_call *c)
{
	struct node_call *k = container_of(c, struct node_call, c);

	weft__nodes_grow(&k->w->nodes, k->node, c->path, k->tree);
	return 0;
}

/* Watches the directory `name` that is new in n. all: what is in it is told. */
static int grow(weft_fswatch *w, struct node *n, const char *name, bool all, int64_t deadline)
{
	struct node_call k = {.c = {.fn = do_grow, .path = name}, .w = w, .node = n, .tree = all};

	return (int)weft__file_call(&k.c, deadline); /* an error: the event is kept */
}

static struct inotify_event *event_at(weft_fswatch *w, size_t at)
{
	return (struct inotify_event *)(w->buf + at);
}

static size_t event_size(const struct inotify_event *e)
{
	return sizeof *e + e->len;
}

static void use_up(weft_fswatch *w)
{
	w->at += event_size(event_at(w, w->at));
	w->alone = false;
}

/* path, from: now the watch's. */
static int tell(weft_fswatch *w, weft_fsevent *out, int what, bool is_dir, char *path, char *from)
{
	free(w->path);
	free(w->from);
	w->path = path;
	w->from = from;
	*out = (weft_fsevent){.what = what, .is_dir = is_dir, .path = path ? path : "", .from = from};
	return 1;
}

static int tell_found(weft_fswatch *w, weft_fsevent *out)
{
	struct found *f = w->nodes.first;
	char *path = strdup(f->path);

	if (!path)
		return WEFT_ENOMEM;
	w->nodes.first = f->next;
	if (!f->next)
		w->nodes.last = &w->nodes.first;
	tell(w, out, WEFT_FS_CREATED, f->is_dir, path, NULL);
	free(f);
	return 1;
}

/* Something was lost, new directories perhaps. */
static int overflow(weft_fswatch *w, weft_fsevent *out, int64_t deadline)
{
	struct list *roots = &w->nodes.roots;
	int rc;

	for (struct list_node *n = list_first(roots); n; n = list_after(roots, n)) {
		struct node *root = container_of(n, struct node, sib);

		rc = root->tree ? grow(w, root, NULL, false, deadline) : 0;
		if (rc)
			return rc;
	}
	w->nodes.lost = false;
	use_up(w);
	return tell(w, out, WEFT_FS_OVERFLOW, false, NULL, NULL);
}

/* What the event of this name, or of n itself, means, if it is asked for. */
static int simply(weft_fswatch *w, struct node *n, const char *name, uint32_t mask, weft_fsevent *out)
{
	int what = mask & (IN_CREATE | IN_MOVED_TO)                                                  ? WEFT_FS_CREATED
		   : mask & (IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT) ? WEFT_FS_REMOVED
		   : mask & IN_MODIFY                                                                ? WEFT_FS_CHANGED
		   : mask & IN_CLOSE_WRITE                                                           ? WEFT_FS_CLOSED
		   : mask & IN_ATTRIB                                                                ? WEFT_FS_ATTRIBS
												     : 0;
	char *path;

	if (what & n->root->events) {
		path = weft__node_path(n, name);
		if (!path)
			return WEFT_ENOMEM;
		tell(w, out, what, mask & IN_ISDIR, path, NULL);
	} else {
		what = 0;
	}
	use_up(w);
	return what != 0;
}

/* Of the directory or file itself: of those below, the directory above them tells. */
static int of_itself(weft_fswatch *w, struct node *n, const struct inotify_event *e, weft_fsevent *out)
{
	uint32_t mask = e->mask;
	int rc;

	if (n->up) {
		use_up(w);
		return 0;
	}
	rc = simply(w, n, NULL, mask, out);
	if (rc >= 0 && mask & IN_MOVE_SELF)
		weft__node_drop(&w->nodes, n, false); /* it has no path any more that is known */
	return rc;
}

static struct inotify_event *other_half(weft_fswatch *w, const struct inotify_event *e)
{
	for (size_t at = w->at; at < w->len; at += event_size(event_at(w, at))) {
		struct inotify_event *o = event_at(w, at);

		if (o->mask & IN_MOVED_TO && o->cookie == e->cookie)
			return o;
	}
	return NULL;
}

/* Has what was called to_name gone the other way, as the next renaming says? Then its cookie; else 0. */
static uint32_t exchanged(weft_fswatch *w, struct node *n, const char *name, struct node *to, const char *to_name)
{
	for (size_t at = w->at; at < w->len; at += event_size(event_at(w, at))) {
		const struct inotify_event *e = event_at(w, at), *o;

		if (!(e->mask & IN_MOVED_FROM) || e->wd != to->wd || !e->len || strcmp(e->name, to_name) != 0)
			continue;
		o = other_half(w, e);
		return o && o->wd == n->wd && o->len && strcmp(o->name, name) == 0 ? e->cookie : 0;
	}
	return 0;
}

/* The directory `name` of n is that of node `to` now. */
static int follow(weft_fswatch *w, struct node *n, const char *name, struct node *to, const char *to_name, int64_t deadline)
{
	struct node *moved = weft__node_below(n, name), *there;
	uint32_t swap;
	int rc;

	if (!moved || to->root != n->root) {
		if (moved)
			weft__node_drop(&w->nodes, moved, false);
		return to->root->tree ? grow(w, to, to_name, false, deadline) : 0;
	}
	there = weft__node_below(to, to_name);
	swap = there && there != moved ? exchanged(w, n, name, to, to_name) : 0;
	if (swap && swap == w->swapped)
		return 0; /* that has been done, and the event was kept */
	if (there && there != moved && !swap)
		weft__node_drop(&w->nodes, there, false); /* it was empty, and is gone */
	rc = weft__node_move(moved, to, to_name);
	if (rc || !swap)
		return rc;
	w->swapped = swap;
	if (weft__node_move(there, n, name)) {
		weft__node_drop(&w->nodes, there, false);
		w->nodes.lost = true;
	}
	return 0;
}

/* Something has been moved away from n: to another directory that is watched, or nobody knows where. */
static int moved_from(weft_fswatch *w, struct node *n, struct inotify_event *e, weft_fsevent *out, int64_t deadline)
{
	struct inotify_event *o = other_half(w, e);
	struct node *to = o ? weft__nodes_find(&w->nodes, o->wd) : NULL, *moved;
	char *path, *from;
	int rc;

	if (!o && !w->alone)
		return MORE;
	if (!to) {
		moved = e->mask & IN_ISDIR ? weft__node_below(n, e->name) : NULL;
		rc = simply(w, n, e->name, e->mask, out);
		if (rc >= 0 && moved)
			weft__node_drop(&w->nodes, moved, false);
		return rc;
	}
	path = weft__node_path(to, o->name);
	from = weft__node_path(n, e->name);
	rc = path && from ? 0 : WEFT_ENOMEM;
	if (rc == 0 && e->mask & IN_ISDIR && (!e->cookie || e->cookie != w->swapped))
		rc = follow(w, n, e->name, to, o->name, deadline);
	if (rc == 0 && n->root->events & WEFT_FS_RENAMED) {
		tell(w, out, WEFT_FS_RENAMED, e->mask & IN_ISDIR, path, from);
		o->mask = 0;
		use_up(w);
		return 1;
	}
	free(path);
	free(from);
	if (rc)
		return rc;
	o->cookie = 0; /* done, but for what it tells */
	return simply(w, n, e->name, e->mask, out);
}

/* The next of what has been read, with both turns. Returns 1: told; 0: used up, nothing to tell; MORE; or an error: it is kept. */
static int step(weft_fswatch *w, weft_fsevent *out, int64_t deadline)
{
	struct inotify_event *e = event_at(w, w->at);
	struct node *n;
	int rc = 0;

	if (e->mask & IN_Q_OVERFLOW)
		return overflow(w, out, deadline);
	n = weft__nodes_find(&w->nodes, e->wd);
	if (!n || !e->mask) {
		use_up(w);
		return 0;
	}
	if (e->mask & IN_IGNORED) {
		weft__node_drop(&w->nodes, n, true);
		use_up(w);
		return 0;
	}
	if (!e->len)
		return of_itself(w, n, e, out);
	if (e->mask & IN_MOVED_FROM)
		return moved_from(w, n, e, out, deadline);
	if (n->root->tree && e->mask & IN_ISDIR && (e->mask & IN_CREATE || (e->mask & IN_MOVED_TO && e->cookie)))
		rc = grow(w, n, e->name, n->root->events & WEFT_FS_CREATED, deadline);
	return rc ? rc : simply(w, n, e->name, e->mask, out);
}

/* --- the next event --- */

static int with_nodes(weft_fswatch *w, weft_fsevent *out, int64_t deadline)
{
	struct fd_op op;
	int rc;

	if (w->nodes.first)
		return tell_found(w, out);
	if (w->nodes.lost) {
		w->nodes.lost = false;
		return tell(w, out, WEFT_FS_OVERFLOW, false, NULL, NULL);
	}
	fd_op_init(&op, w->f, POLL_WRITE, REASON_FILE, deadline);
	rc = weft__fd_next(&op);
	if (rc == 0)
		rc = step(w, out, deadline);
	weft__fd_end(&op);
	return rc;
}

/* Reads what there is behind what is left. Returns 0, WEFT_EAGAIN: nothing; or an error. */
static int read_more(weft_fswatch *w)
{
	ssize_t n;

	memmove(w->buf, w->buf + w->at, w->len - w->at);
	w->len -= w->at;
	w->at = 0;
	do
		n = read(w->fd, w->buf + w->len, sizeof w->buf - w->len);
	while (n < 0 && weft__errno() == -EINTR);
	if (n <= 0)
		return n < 0 ? weft__errno() : WEFT_EAGAIN;
	w->len += (size_t)n;
	return 0;
}

static int fill(weft_fswatch *w, struct fd_op *op)
{
	int rc = op->call ? 0 : weft__fd_next(op);

	if (rc == 0)
		rc = read_more(w);
	if (rc != WEFT_EAGAIN || !op->call)
		return rc;
	fd_op_blocked(op);
	return weft__fd_next(op);
}

/* The other half of a renaming may be on its way. */
static int wait_for_pair(weft_fswatch *w, struct fd_op *op, int64_t deadline)
{
	int64_t until = clock_now() + PAIR_NS;
	int rc;

	w->alone = deadline == WEFT_NOW || sizeof w->buf - (w->len - w->at) < EVENT_MAX;
	if (w->alone)
		return 0;
	op->deadline = until < deadline ? until : deadline;
	rc = fill(w, op);
	op->deadline = deadline;
	if (rc != WEFT_ETIMEDOUT)
		return rc;
	w->alone = true;
	return 0;
}

int weft_fswatch_next_until(weft_fswatch *w, weft_fsevent *out, int64_t deadline)
{
	struct fd_op op;
	int rc;

	if (!w || !out)
		return WEFT_EINVAL;
	hold(w);
	fd_op_init(&op, w->f, POLL_READ, REASON_IO, deadline);
	rc = weft__fd_next(&op);
	while (rc == 0) {
		if (w->at < w->len || w->nodes.first || w->nodes.lost)
			rc = with_nodes(w, out, deadline);
		else
			rc = fill(w, &op);
		if (rc == MORE)
			rc = wait_for_pair(w, &op, deadline);
	}
	weft__fd_end(&op);
	let_go(w);
	return rc == 1 ? 0 : rc;
}

int weft_fswatch_next(weft_fswatch *w, weft_fsevent *out)
{
	return weft_fswatch_next_until(w, out, WEFT_FOREVER);
}
