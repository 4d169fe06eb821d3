/* SPDX-License-Identifier: MIT
 *
 * weft/fswatch.h - hear of what happens to files and directories.
 *
 *     weft_fswatch *w;
 *     weft_fsevent e;
 *
 *     weft_fswatch_make(&w);
 *     weft_fswatch_add(w, "src", WEFT_FS_ALL, WEFT_FS_TREE);
 *     while (weft_fswatch_next(w, &e) == 0)
 *             printf("%x %s\n", e.what, e.path);
 *
 * Events are those of this machine: what others do over a network file system, and writes through a mapping, are not heard of. Several changes of one kind in a row may come as
 * one event, and what an event speaks of may be gone when it is read.
 */
#ifndef WEFT_FSWATCH_H
#define WEFT_FSWATCH_H

#include "error.h"
#include "export.h"
#include "time.h"
#include <stdbool.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

typedef struct weft_fswatch weft_fswatch;

/* What may happen. */
#define WEFT_FS_CREATED 1   /* it is there now, made or moved in from elsewhere */
#define WEFT_FS_REMOVED 2   /* it is gone, removed or moved away; of what was added itself too: then nothing more is heard of it */
#define WEFT_FS_CHANGED 4   /* what is in it, or its length */
#define WEFT_FS_CLOSED 8    /* who had it open for writing has closed it */
#define WEFT_FS_ATTRIBS 16  /* permissions, owner, times, number of links */
#define WEFT_FS_RENAMED 32  /* from has the name path now: both are watched */
#define WEFT_FS_ALL 63      /* all of these */
#define WEFT_FS_OVERFLOW 64 /* told in any case: more happened than was taken, and something was lost; path is "". Look at everything */

/* How to watch. */
#define WEFT_FS_TREE 1 /* all directories below as well, those made later included */

typedef struct weft_fsevent {
	int what;    /* one of WEFT_FS_* */
	bool is_dir; /* it happened to a directory */
	const char *
		path; /* to what: what was added, or that with the name in it behind it; "" for WEFT_FS_OVERFLOW. Until the next weft_fswatch_next or the last close */
	const char *from; /* WEFT_FS_RENAMED: what it was before; else NULL */
} weft_fsevent;

/* weft_fswatch_make - something to hear by; it takes a descriptor.
 *
 * Returns 0; WEFT_EMFILE: no descriptor, or as many watches as a user may have (fs.inotify.max_user_instances); WEFT_ENFILE, WEFT_ENOMEM, WEFT_EINVAL (NULL). *out: NULL on error. Blocks: no.
 * Threads: any; needs no runtime.
 */
WEFT_API int weft_fswatch_make(weft_fswatch **out);

/* weft_fswatch_add - watch a file, or a directory and what is directly in it.
 *
 *   path    its beginning of the path of each event
 *   events  some of WEFT_FS_CREATED ... WEFT_FS_RENAMED, or WEFT_FS_ALL
 *   flags   0 or WEFT_FS_TREE
 *
 * A symbolic link is followed. A file that others replace (by a rename upon it, as editors and deployments do) is heard of as WEFT_FS_REMOVED and then never again: what was watched is the file, not
 * its name. To follow a configuration file watch its directory for WEFT_FS_CLOSED, WEFT_FS_CREATED and WEFT_FS_RENAMED, and compare the event's path.
 *
 * What happens after it has returned is heard of. In a tree, what is made in a new directory before that is watched itself is told as created when it is found there, and perhaps once more.
 *
 * A directory below that is watched already, as its own or in another tree, stays with what it was added by, and is not looked into: its events are told under that path, if they are asked for there.
 *
 * Returns 0; WEFT_EEXIST: it is watched already, under this path or another; WEFT_EINVAL; WEFT_ENOENT, WEFT_EACCES, WEFT_ENOTDIR (WEFT_FS_TREE), WEFT_ENOSPC: more watches than a user may have
 * (fs.inotify.max_user_watches); WEFT_EMFILE, WEFT_ENFILE: a tree is looked through with a descriptor a level; after these of a tree nothing is watched; WEFT_ECLOSED, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (WEFT_NOW), WEFT_ENOMEM.
 * Blocks: yes (file). Threads: any.
 */
WEFT_API int weft_fswatch_add(weft_fswatch *w, const char *path, int events, int flags);
WEFT_API int weft_fswatch_add_until(weft_fswatch *w, const char *path, int events, int flags, int64_t deadline);

/* weft_fswatch_remove - watch it, and if it was added so the tree below it, no more. Events that are there already may still come.
 *
 * Returns 0; WEFT_ENOENT: it was not added under this path, or is gone; WEFT_ECLOSED, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN (WEFT_NOW). Blocks: yes (file). Threads: any.
 */
WEFT_API int weft_fswatch_remove(weft_fswatch *w, const char *path);
WEFT_API int weft_fswatch_remove_until(weft_fswatch *w, const char *path, int64_t deadline);

/* weft_fswatch_next - the next event.
 *
 * Returns 0; WEFT_ECLOSED, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN, WEFT_ENOMEM (the event is kept), WEFT_ESRCH, WEFT_EINVAL (NULL).
 * WEFT_EAGAIN: with deadline WEFT_NOW, nothing has happened, or the next event is of a directory that must be looked into first, for which a thread is asked: it is kept for a call that waits.
 * Blocks: yes (io, file). Threads: any; several take turns, but what an event points to is theirs only until the next call of any.
 */
WEFT_API int weft_fswatch_next(weft_fswatch *w, weft_fsevent *out);
WEFT_API int weft_fswatch_next_until(weft_fswatch *w, weft_fsevent *out, int64_t deadline);

/* weft_fswatch_ref, weft_fswatch_close - as for files. The first close ends all waits with WEFT_ECLOSED. NULL is allowed in close. Returns 0, or WEFT_ECLOSED: another reference closed it before. */
WEFT_API weft_fswatch *weft_fswatch_ref(weft_fswatch *w);
WEFT_API int weft_fswatch_close(weft_fswatch *w);

WEFT_END_DECLS

#endif
