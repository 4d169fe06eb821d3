/* SPDX-License-Identifier: MIT
 *
 * fswatch.h - what is watched: a tree of nodes for each path that was added, one node a directory, known to the kernel by number.
 *
 * Nodes are changed by whoever has the turn of writing of the watch's descriptor (io/fd.h), by it or by a job that it waits for.
 */
#ifndef WEFT_IO_FSWATCH_H
#define WEFT_IO_FSWATCH_H

#include "base/list.h"
#include "io/file.h"

#include <sys/inotify.h>
#include <weft/fswatch.h>

#define NODE_BUCKETS 256 /* power of two */

struct node {
	struct list_node link; /* in its bucket */
	struct list_node sib;  /* in up->below, or the nodes' roots */
	struct list below;
	struct node *up, *root; /* NULL: it is a root; itself, for a root */
	int wd;                 /* the kernel's number */
	int events;             /* of a root: WEFT_FS_*, as asked for */
	bool tree;              /* of a root */
	unsigned round;         /* of the nodes, in which it was found last */
	char *name;             /* the last part of its path; of a root: all of it */
};

/* Told before what the kernel tells next: found in a new directory, or, after a loss, not to be there any more. */
struct found {
	struct found *next;
	int what;
	bool is_dir;
	char path[];
};

struct nodes {
	int fd; /* the inotify's */
	struct list bucket[NODE_BUCKETS];
	struct list roots;
	unsigned round;    /* how often all was looked at again */
	struct list aside; /* empty but while that is done: what has not been found yet */
	struct found *first, **last;
	bool lost; /* something could not be watched, or told: to be told as an overflow */
};

void weft__nodes_init(struct nodes *s, int fd);
void weft__nodes_free(struct nodes *s); /* the descriptor is closed */

struct node *weft__nodes_find(struct nodes *s, int wd);
struct node *weft__nodes_root(struct nodes *s, const char *path);
struct node *weft__node_below(struct node *up, const char *name);

/* The path of name in it (NULL: its own), from malloc; NULL: no memory. */
char *weft__node_path(const struct node *n, const char *name);

/* It has another place. 0 or WEFT_ENOMEM. */
int weft__node_move(struct node *n, struct node *up, const char *name);

/* It is not watched any more, nor what is below it. gone: the kernel knows already. Makes system calls. */
void weft__node_drop(struct nodes *s, struct node *n, bool gone);

/* For threads that may block. A root; or the directory `name` that is new in a node, and what lies below it: told as found, if it shall be. */
int weft__nodes_add(struct nodes *s, const char *path, int events, bool tree);
void weft__nodes_grow(struct nodes *s, struct node *up, const char *name, bool tell);

/* The same, when events were lost: roots that are gone are told, and trees watched anew. 0, or WEFT_ENOMEM: to be done again. */
int weft__nodes_again(struct nodes *s);

#endif
