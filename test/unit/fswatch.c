/* SPDX-License-Identifier: MIT
 *
 * fswatch.c - what is heard of files: every kind of event, trees that grow, move and go, more than can be taken, and who waits.
 *
 * The kernel has an event ready when the call that made it returns, so nothing is waited for here but what is asked about waiting.
 */
#include "files.h"

#include "weft/fswatch.h"
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

static weft_fswatch *w;
static void (*just_watched)(const char *path); /* called when a directory has been */

/* In place of the system's. */
int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	int wd = (int)syscall(SYS_inotify_add_watch, fd, path, mask);

	if (wd >= 0 && just_watched)
		just_watched(path);
	return wd;
}

static weft_fswatch *watch_made(void)
{
	weft_fswatch *made;

	T_EQ(weft_fswatch_make(&made), 0);
	return made;
}

/* The next event is this. */
static void told(int what, const char *name, const char *from)
{
	weft_fsevent e;
	char *path = strdup(name ? in(name) : "");
	int rc = weft_fswatch_next_until(w, &e, weft_in(20 * WEFT_SEC));

	T_EQ(rc, 0);
	tap_note("%d %s", e.what, e.path);
	T_EQ(e.what, what);
	T_STR_EQ(e.path, path);
	T_EQ(e.from != NULL, from != NULL);
	if (from)
		T_STR_EQ(e.from, in(from));
	free(path);
}

static void nothing_told(void)
{
	weft_fsevent e;

	T_EQ(weft_fswatch_next_until(w, &e, WEFT_NOW), WEFT_EAGAIN);
}

/* --- events --- */

static int kinds(void *arg)
{
	weft_fsevent e;
	int fd;

	(void)arg;
	w = watch_made();
	T_EQ(mkdir(in("d"), 0700), 0);
	T_EQ(weft_fswatch_add(w, in("d"), WEFT_FS_ALL, 0), 0);
	nothing_told();
	fd = open(in("d/a"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	told(WEFT_FS_CREATED, "d/a", NULL);
	T_EQ(write(fd, "x", 1), 1);
	told(WEFT_FS_CHANGED, "d/a", NULL);
	close(fd);
	told(WEFT_FS_CLOSED, "d/a", NULL);
	T_EQ(chmod(in("d/a"), 0640), 0);
	told(WEFT_FS_ATTRIBS, "d/a", NULL);
	T_EQ(truncate(in("d/a"), 0), 0);
	told(WEFT_FS_CHANGED, "d/a", NULL);
	T_EQ(rename(in("d/a"), in("d/b")), 0);
	told(WEFT_FS_RENAMED, "d/b", "d/a");
	T_EQ(rename(in("d/b"), in("b")), 0); /* away */
	told(WEFT_FS_REMOVED, "d/b", NULL);
	T_EQ(rename(in("b"), in("d/c")), 0); /* and back */
	told(WEFT_FS_CREATED, "d/c", NULL);
	T_EQ(unlink(in("d/c")), 0);
	told(WEFT_FS_REMOVED, "d/c", NULL);
	T_EQ(mkdir(in("d/sub"), 0700), 0);
	T_EQ(weft_fswatch_next(w, &e), 0);
	T_EQ(e.what, WEFT_FS_CREATED);
	T_OK(e.is_dir);
	put("d/sub/x", ""); /* no tree */
	nothing_told();
	T_EQ(chmod(in("d"), 0750), 0);
	told(WEFT_FS_ATTRIBS, "d", NULL);
	T_EQ(weft_fswatch_close(w), 0);
	return 0;
}

TEST_WORKERS(every_kind_of_event)
{
	run_net(kinds, NULL);
}

/* Only what was asked for is told: a renaming as two, if only those were. */
static int asked(void *arg)
{
	(void)arg;
	w = watch_made();
	T_EQ(mkdir(in("d"), 0700), 0);
	T_EQ(weft_fswatch_add(w, in("d"), WEFT_FS_CREATED | WEFT_FS_REMOVED, 0), 0);
	put("d/a", "a");
	told(WEFT_FS_CREATED, "d/a", NULL);
	T_EQ(rename(in("d/a"), in("d/b")), 0);
	told(WEFT_FS_REMOVED, "d/a", NULL);
	told(WEFT_FS_CREATED, "d/b", NULL);
	T_EQ(chmod(in("d/b"), 0600), 0);
	nothing_told();
	/* a file by itself */
	put("f", "");
	T_EQ(weft_fswatch_add(w, in("f"), WEFT_FS_CHANGED | WEFT_FS_REMOVED, 0), 0);
	put("f", "more");
	told(WEFT_FS_CHANGED, "f", NULL);
	T_EQ(rename(in("f"), in("g")), 0);
	told(WEFT_FS_REMOVED, "f", NULL);
	put("g", "nobody hears");
	nothing_told();
	put("f", "");
	T_EQ(weft_fswatch_add(w, in("f"), WEFT_FS_ALL, 0), 0);
	T_EQ(unlink(in("f")), 0);
	told(WEFT_FS_ATTRIBS, "f", NULL); /* a name less */
	told(WEFT_FS_REMOVED, "f", NULL);
	nothing_told();
	/* gone, and added again before that is heard of: both are removed */
	put("f", "");
	T_EQ(weft_fswatch_add(w, in("f"), WEFT_FS_ALL, 0), 0);
	T_EQ(unlink(in("f")), 0);
	put("f", "");
	T_EQ(weft_fswatch_add(w, in("f"), WEFT_FS_ALL, 0), 0);
	T_EQ(weft_fswatch_remove(w, in("f")), 0);
	put("f", "nobody hears");
	nothing_told();
	/* no more */
	T_EQ(weft_fswatch_remove(w, in("d")), 0);
	T_EQ(weft_fswatch_remove(w, in("d")), WEFT_ENOENT);
	put("d/c", "");
	nothing_told();
	T_EQ(weft_fswatch_add(w, in("d"), WEFT_FS_REMOVED, 0), 0);
	T_EQ(unlink(in("d/c")), 0);
	told(WEFT_FS_REMOVED, "d/c", NULL);
	/* it goes itself */
	T_EQ(weft_fs_remove_all(in("d")), 0);
	told(WEFT_FS_REMOVED, "d/b", NULL);
	told(WEFT_FS_REMOVED, "d", NULL);
	nothing_told();
	T_EQ(weft_fswatch_remove(w, in("d")), WEFT_ENOENT);
	T_EQ(weft_fswatch_close(w), 0);
	return 0;
}

TEST_WORKERS(only_what_was_asked_for)
{
	run_net(asked, NULL);
}

static int trees(void *arg)
{
	const int events = WEFT_FS_CREATED | WEFT_FS_REMOVED | WEFT_FS_RENAMED | WEFT_FS_CHANGED;

	(void)arg;
	w = watch_made();
	T_EQ(weft_fs_mkdir_all(in("t/a/b"), 0700), 0);
	T_EQ(weft_fswatch_add(w, in("t"), events, WEFT_FS_TREE), 0);
	put("t/a/b/f", "");
	told(WEFT_FS_CREATED, "t/a/b/f", NULL);
	/* what is new, and what is in it by now */
	T_EQ(weft_fs_mkdir_all(in("t/new/deep"), 0700), 0);
	put("t/new/deep/f", "");
	told(WEFT_FS_CREATED, "t/new", NULL);
	told(WEFT_FS_CREATED, "t/new/deep", NULL);
	told(WEFT_FS_CREATED, "t/new/deep/f", NULL);
	nothing_told();
	put("t/new/deep/f", "x");
	told(WEFT_FS_CHANGED, "t/new/deep/f", NULL);
	/* another name, and what is below has it too */
	T_EQ(rename(in("t/new"), in("t/a/b/old")), 0);
	told(WEFT_FS_RENAMED, "t/a/b/old", "t/new");
	T_EQ(truncate(in("t/a/b/old/deep/f"), 0), 0);
	told(WEFT_FS_CHANGED, "t/a/b/old/deep/f", NULL);
	/* away, and nothing more is heard of it */
	T_EQ(rename(in("t/a/b/old"), in("away")), 0);
	told(WEFT_FS_REMOVED, "t/a/b/old", NULL);
	put("away/deep/f", "y");
	nothing_told();
	/* and back in another place */
	T_EQ(rename(in("away"), in("t/back")), 0);
	told(WEFT_FS_CREATED, "t/back", NULL);
	told(WEFT_FS_CREATED, "t/back/deep", NULL);
	told(WEFT_FS_CREATED, "t/back/deep/f", NULL);
	put("t/back/deep/g", "");
	told(WEFT_FS_CREATED, "t/back/deep/g", NULL);
	/* a directory goes, and another of its name comes */
	T_EQ(weft_fs_remove_all(in("t/a")), 0);
	T_EQ(mkdir(in("t/a"), 0700), 0);
	told(WEFT_FS_REMOVED, "t/a/b/f", NULL);
	told(WEFT_FS_REMOVED, "t/a/b", NULL);
	told(WEFT_FS_REMOVED, "t/a", NULL);
	told(WEFT_FS_CREATED, "t/a", NULL);
	put("t/a/n", "");
	told(WEFT_FS_CREATED, "t/a/n", NULL);
	/* between two trees */
	T_EQ(mkdir(in("u"), 0700), 0);
	T_EQ(weft_fswatch_add(w, in("u"), WEFT_FS_CREATED, WEFT_FS_TREE), 0);
	T_EQ(rename(in("t/a"), in("u/a")), 0);
	told(WEFT_FS_RENAMED, "u/a", "t/a");
	put("u/a/m", "");
	told(WEFT_FS_CREATED, "u/a/m", NULL);
	put("u/a/m", "only creation is asked for here");
	nothing_told();
	T_EQ(weft_fswatch_remove(w, in("t")), 0);
	put("t/back/deep/h", "");
	nothing_told();
	T_EQ(weft_fswatch_close(w), 0);
	return 0;
}

TEST_WORKERS(trees_grow_and_move)
{
	run_net(trees, NULL);
}

/* Two directories change places. */
static int exchange(void *arg)
{
	(void)arg;
	w = watch_made();
	T_EQ(weft_fs_mkdir_all(in("t/x/a"), 0700), 0);
	T_EQ(weft_fs_mkdir_all(in("t/u/y"), 0700), 0);
	T_EQ(weft_fswatch_add(w, in("t"), WEFT_FS_CREATED | WEFT_FS_RENAMED, WEFT_FS_TREE), 0);
	for (int i = 0; i < 2; i++) {
		if (renameat2(AT_FDCWD, in("t/x"), AT_FDCWD, in("t/u/y"), RENAME_EXCHANGE)) {
			T_EQ(weft_fswatch_close(w), 0);
			return 1;
		}
		told(WEFT_FS_RENAMED, "t/u/y", "t/x");
		told(WEFT_FS_RENAMED, "t/x", "t/u/y");
		put(i ? "t/x/f" : "t/x/g", "");
		told(WEFT_FS_CREATED, i ? "t/x/f" : "t/x/g", NULL);
		put(i ? "t/x/a/f" : "t/u/y/a/g", "");
		told(WEFT_FS_CREATED, i ? "t/x/a/f" : "t/u/y/a/g", NULL);
		nothing_told();
	}
	T_EQ(weft_fswatch_close(w), 0);
	return 0;
}

TEST_WORKERS(two_directories_change_places)
{
	if (run_net_with(exchange, NULL, (weft_opts){.workers = 0}))
		tap_skip("this file system exchanges nothing");
}

static void made_meanwhile(const char *path)
{
	if (strcmp(path, in("t/n")) != 0)
		return;
	just_watched = NULL;
	T_EQ(mkdir(in("t/n/d"), 0700), 0);
	put("t/n/d/f", "");
}

/* A directory made between the watching of the one above and the look into it is heard of and found: what happens in it from the finding on is told. */
static int found_and_heard_of(void *arg)
{
	(void)arg;
	w = watch_made();
	T_EQ(mkdir(in("t"), 0700), 0);
	T_EQ(weft_fswatch_add(w, in("t"), WEFT_FS_CREATED | WEFT_FS_REMOVED, WEFT_FS_TREE), 0);
	T_EQ(mkdir(in("t/n"), 0700), 0);
	just_watched = made_meanwhile;
	told(WEFT_FS_CREATED, "t/n", NULL);
	told(WEFT_FS_CREATED, "t/n/d", NULL);
	told(WEFT_FS_CREATED, "t/n/d/f", NULL);
	T_EQ(unlink(in("t/n/d/f")), 0);
	told(WEFT_FS_CREATED, "t/n/d", NULL); /* once more: heard of */
	told(WEFT_FS_REMOVED, "t/n/d/f", NULL);
	nothing_told();
	T_EQ(weft_fswatch_close(w), 0);
	return 0;
}

TEST_WORKERS(a_directory_found_and_heard_of)
{
	run_net(found_and_heard_of, NULL);
}

/* --- more than the kernel keeps --- */

static long events_kept(void)
{
	long limit;
	void *text;

	T_EQ(weft_file_read_all("/proc/sys/fs/inotify/max_queued_events", &text, NULL), 0);
	limit = atol(text);
	free(text);
	return limit;
}

/* As many events as are kept. Two files in turn: those alike are one. */
static void flood(const char *a, const char *b)
{
	char *paths[2] = {strdup(in(a)), strdup(in(b))};

	for (long i = events_kept(); i > 0; i--)
		T_EQ(chmod(paths[i % 2], 0600), 0);
	free(paths[0]);
	free(paths[1]);
}

static void told_of_some(long n)
{
	weft_fsevent e;

	for (; n > 0; n--) {
		T_EQ(weft_fswatch_next(w, &e), 0);
		T_EQ(e.what, WEFT_FS_ATTRIBS);
	}
}

/* All of them but `had`, and the word that more were lost. lane: of which no thread is free when that is asked for; it is kept. */
static void told_of_flood(long had, struct lane_full *lane)
{
	weft_fsevent e;

	told_of_some(events_kept() - had);
	if (lane) {
		lane_fill(lane, LANE_FILE);
		T_EQ(weft_fswatch_next_until(w, &e, WEFT_NOW), WEFT_EAGAIN);
		lane_free(lane);
	}
	told(WEFT_FS_OVERFLOW, NULL, NULL);
}

/* Runs it if the queue can be filled in a moment. */
static void run_flooded(weft_task_fn *fn)
{
	tap_limit(120);
	if (run_net_with(fn, NULL, (weft_opts){.workers = 0}))
		tap_skip("the kernel keeps very many events");
}

/* It says so, and new directories are watched all the same. */
static int too_many(void *arg)
{
	static struct lane_full l;

	(void)arg;
	if (events_kept() > 50000)
		return 1;
	w = watch_made();
	T_EQ(mkdir(in("t"), 0700), 0);
	put("t/a", "");
	put("t/b", "");
	T_EQ(weft_fswatch_add(w, in("t"), WEFT_FS_ATTRIBS, WEFT_FS_TREE), 0);
	flood("t/a", "t/b");
	T_EQ(chmod(in("t/b"), 0640), 0);
	T_EQ(mkdir(in("t/lost"), 0700), 0);
	put("t/lost/c", "");
	told_of_flood(0, &l);
	nothing_told();
	T_EQ(chmod(in("t/lost/c"), 0640), 0);
	told(WEFT_FS_ATTRIBS, "t/lost/c", NULL);
	T_EQ(weft_fswatch_close(w), 0);
	return 0;
}

TEST_WORKERS(more_than_can_be_taken)
{
	run_flooded(too_many);
}

/* Directories that got other names, or went, while nothing was heard: what happens in them later is told under the names they have. */
static int names_lost(void *arg)
{
	(void)arg;
	if (events_kept() > 50000)
		return 1;
	w = watch_made();
	T_EQ(weft_fs_mkdir_all(in("t/a/deep"), 0700), 0);
	T_EQ(weft_fs_mkdir_all(in("t/b/deep"), 0700), 0);
	T_EQ(weft_fs_mkdir_all(in("t/goes/deep"), 0700), 0);
	T_EQ(weft_fs_mkdir_all(in("t/over/deep"), 0700), 0);
	T_EQ(weft_fs_mkdir_all(in("t/own"), 0700), 0);
	T_EQ(weft_fs_mkdir_all(in("t/x"), 0700), 0);
	T_EQ(weft_fs_mkdir_all(in("t/y"), 0700), 0);
	T_EQ(mkdir(in("u"), 0700), 0);
	put("u/a", "");
	put("u/b", "");
	T_EQ(weft_fswatch_add(w, in("t/own"), WEFT_FS_CREATED, 0), 0);
	T_EQ(weft_fswatch_add(w, in("t"), WEFT_FS_CREATED, WEFT_FS_TREE), 0);
	T_EQ(weft_fswatch_add(w, in("u"), WEFT_FS_ATTRIBS | WEFT_FS_CREATED, WEFT_FS_TREE), 0);
	flood("u/a", "u/b");
	T_EQ(rename(in("t/a"), in("t/c")), 0); /* another name */
	T_EQ(rename(in("t/b"), in("t/a")), 0); /* that which another had */
	T_EQ(rename(in("t/c/deep"), in("t/a/deeper")), 0);
	T_EQ(weft_fs_remove_all(in("t/goes")), 0); /* gone, and another of its name */
	T_EQ(weft_fs_mkdir_all(in("t/goes/deep"), 0700), 0);
	T_EQ(rename(in("t/over"), in("u/over")), 0); /* to another tree */
	told_of_some(100);                           /* which makes room: this is heard of, and no less out of date when its turn comes */
	T_EQ(rename(in("t/x"), in("t/z")), 0);
	T_EQ(rename(in("t/y"), in("t/x")), 0);
	told_of_flood(100, NULL);
	nothing_told();
	put("t/c/f", "");
	told(WEFT_FS_CREATED, "t/c/f", NULL);
	put("t/a/f", "");
	told(WEFT_FS_CREATED, "t/a/f", NULL);
	put("t/a/deep/f", "");
	told(WEFT_FS_CREATED, "t/a/deep/f", NULL);
	put("t/a/deeper/f", "");
	told(WEFT_FS_CREATED, "t/a/deeper/f", NULL);
	put("t/goes/deep/f", "");
	told(WEFT_FS_CREATED, "t/goes/deep/f", NULL);
	put("u/over/deep/f", "");
	told(WEFT_FS_CREATED, "u/over/deep/f", NULL);
	T_EQ(chmod(in("u/over/deep/f"), 0640), 0); /* asked for in this tree, not in that */
	told(WEFT_FS_ATTRIBS, "u/over/deep/f", NULL);
	put("t/z/f", "");
	told(WEFT_FS_CREATED, "t/z/f", NULL);
	put("t/x/f", "");
	told(WEFT_FS_CREATED, "t/x/f", NULL);
	put("t/own/f", "");
	told(WEFT_FS_CREATED, "t/own/f", NULL);
	T_EQ(weft_fswatch_remove(w, in("t")), 0);
	put("t/a/deeper/g", "");
	nothing_told();
	put("t/own/g", ""); /* added by itself, and still */
	told(WEFT_FS_CREATED, "t/own/g", NULL);
	T_EQ(weft_fswatch_close(w), 0);
	return 0;
}

TEST_WORKERS(names_that_changed_unheard)
{
	run_flooded(names_lost);
}

/* What was added, and went while nothing was heard, is told behind the word of the loss. */
static int ends_lost(void *arg)
{
	const int events = WEFT_FS_CREATED | WEFT_FS_REMOVED;

	(void)arg;
	if (events_kept() > 50000)
		return 1;
	w = watch_made();
	T_EQ(mkdir(in("u"), 0700), 0);
	put("u/a", "");
	put("u/b", "");
	T_EQ(weft_fs_mkdir_all(in("moves/sub"), 0700), 0);
	T_EQ(mkdir(in("again"), 0700), 0);
	T_EQ(mkdir(in("stays"), 0700), 0);
	put("file", "");
	put("unasked", "");
	T_EQ(weft_fswatch_add(w, in("moves"), events, WEFT_FS_TREE), 0);
	T_EQ(weft_fswatch_add(w, in("again"), events, 0), 0);
	T_EQ(weft_fswatch_add(w, in("stays"), events, 0), 0);
	T_EQ(weft_fswatch_add(w, in("file"), events, 0), 0);
	T_EQ(weft_fswatch_add(w, in("unasked"), WEFT_FS_CHANGED, 0), 0);
	T_EQ(weft_fswatch_add(w, in("u"), WEFT_FS_ATTRIBS | events, WEFT_FS_TREE), 0);
	flood("u/a", "u/b");
	T_EQ(rename(in("moves"), in("u/moved")), 0);
	T_EQ(rmdir(in("again")), 0);
	T_EQ(mkdir(in("again"), 0700), 0);
	T_EQ(unlink(in("file")), 0);
	T_EQ(unlink(in("unasked")), 0);
	told_of_flood(0, NULL);
	told(WEFT_FS_REMOVED, "moves", NULL);
	told(WEFT_FS_REMOVED, "again", NULL);
	told(WEFT_FS_REMOVED, "file", NULL);
	nothing_told();
	T_EQ(weft_fswatch_remove(w, in("moves")), WEFT_ENOENT);
	T_EQ(weft_fswatch_remove(w, in("unasked")), WEFT_ENOENT);
	put("u/moved/sub/f", ""); /* it has come into a tree */
	told(WEFT_FS_CREATED, "u/moved/sub/f", NULL);
	put("again/f", ""); /* another directory than the one that was added */
	nothing_told();
	T_EQ(weft_fswatch_add(w, in("again"), events, 0), 0);
	put("again/g", "");
	told(WEFT_FS_CREATED, "again/g", NULL);
	put("stays/f", "");
	told(WEFT_FS_CREATED, "stays/f", NULL);
	T_EQ(weft_fswatch_close(w), 0);
	return 0;
}

TEST_WORKERS(ends_unheard_are_told)
{
	run_flooded(ends_lost);
}

/* --- what is watched goes --- */

static int tree_goes(void *arg)
{
	const int events = WEFT_FS_CREATED | WEFT_FS_REMOVED;

	(void)arg;
	w = watch_made();
	for (int i = 0; i < 2; i++) {
		T_EQ(weft_fs_mkdir_all(in("t/a"), 0700), 0);
		T_EQ(weft_fswatch_add(w, in("t"), events, WEFT_FS_TREE), 0);
		put("t/a/f", "");
		told(WEFT_FS_CREATED, "t/a/f", NULL);
		T_EQ(weft_fs_remove_all(in("t")), 0);
		told(WEFT_FS_REMOVED, "t/a/f", NULL);
		told(WEFT_FS_REMOVED, "t/a", NULL);
		told(WEFT_FS_REMOVED, "t", NULL);
		nothing_told(); /* which is no error: other things may be added */
		T_EQ(weft_fswatch_remove(w, in("t")), WEFT_ENOENT);
	}
	/* a new one of its name is added before its end is heard of */
	T_EQ(mkdir(in("t"), 0700), 0);
	T_EQ(weft_fswatch_add(w, in("t"), events, WEFT_FS_TREE), 0);
	T_EQ(rmdir(in("t")), 0);
	T_EQ(mkdir(in("t"), 0700), 0);
	T_EQ(weft_fswatch_add(w, in("t"), events, WEFT_FS_TREE), 0);
	told(WEFT_FS_REMOVED, "t", NULL);
	put("t/f", "");
	told(WEFT_FS_CREATED, "t/f", NULL);
	/* away under another name: its path is not known any more */
	T_EQ(rename(in("t"), in("elsewhere")), 0);
	told(WEFT_FS_REMOVED, "t", NULL);
	put("elsewhere/f", "");
	nothing_told();
	T_EQ(weft_fswatch_remove(w, in("t")), WEFT_ENOENT);
	T_EQ(weft_fswatch_close(w), 0);
	return 0;
}

TEST_WORKERS(a_tree_goes_itself)
{
	run_net(tree_goes, NULL);
}

/* --- errors --- */

static int errors(void *arg)
{
	struct rlimit was, r;
	weft_fswatch *none;
	weft_fsevent e;
	int fd;

	(void)arg;
	w = watch_made();
	put("f", "");
	T_EQ(mkdir(in("d"), 0700), 0);
	T_EQ(weft_fswatch_make(NULL), WEFT_EINVAL);
	T_EQ(weft_fswatch_add(w, in("none"), WEFT_FS_ALL, 0), WEFT_ENOENT);
	T_EQ(weft_fswatch_add(w, in("f"), WEFT_FS_ALL, WEFT_FS_TREE), WEFT_ENOTDIR);
	T_EQ(weft_fswatch_add(w, in("f/x"), WEFT_FS_ALL, 0), WEFT_ENOTDIR);
	T_EQ(weft_fswatch_add(w, in("f"), 0, 0), WEFT_EINVAL);
	T_EQ(weft_fswatch_add(w, in("f"), WEFT_FS_OVERFLOW, 0), WEFT_EINVAL);
	T_EQ(weft_fswatch_add(w, in("f"), WEFT_FS_ALL, 2), WEFT_EINVAL);
	T_EQ(weft_fswatch_add(w, NULL, WEFT_FS_ALL, 0), WEFT_EINVAL);
	T_EQ(weft_fswatch_add(NULL, in("f"), WEFT_FS_ALL, 0), WEFT_EINVAL);
	T_EQ(weft_fswatch_add_until(w, in("f"), WEFT_FS_ALL, 0, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_fswatch_add_until(w, in("f"), WEFT_FS_ALL, 0, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_fswatch_add(w, in("d"), WEFT_FS_ALL, 0), 0);
	T_EQ(weft_fswatch_add(w, in("d"), WEFT_FS_ALL, 0), WEFT_EEXIST);
	T_EQ(weft_fswatch_add(w, in("./d"), WEFT_FS_ALL, 0), WEFT_EEXIST);
	T_EQ(weft_fswatch_remove(w, in("./d")), WEFT_ENOENT);
	T_EQ(weft_fswatch_remove(w, NULL), WEFT_EINVAL);
	T_EQ(weft_fswatch_remove_until(w, in("d"), WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_fswatch_remove_until(w, in("d"), 1), WEFT_ETIMEDOUT);
	T_EQ(weft_fswatch_next(NULL, &e), WEFT_EINVAL);
	T_EQ(weft_fswatch_next(w, NULL), WEFT_EINVAL);
	T_EQ(weft_fswatch_next_until(w, &e, 1), WEFT_ETIMEDOUT);
	put("d/x", "");
	T_EQ(weft_fswatch_next_until(w, &e, 1), WEFT_ETIMEDOUT); /* and takes nothing */
	told(WEFT_FS_CREATED, "d/x", NULL);
	T_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(fd);
	r = was;
	r.rlim_cur = (rlim_t)fd;
	T_EQ(setrlimit(RLIMIT_NOFILE, &r), 0);
	T_EQ(weft_fswatch_make(&none), WEFT_EMFILE);
	T_EQ(none, NULL);
	T_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
	T_EQ(weft_fswatch_ref(w), w);
	T_EQ(weft_fswatch_close(w), 0);
	T_EQ(weft_fswatch_next(w, &e), WEFT_ECLOSED);
	T_EQ(weft_fswatch_add(w, in("f"), WEFT_FS_ALL, 0), WEFT_ECLOSED);
	T_EQ(weft_fswatch_remove(w, in("d")), WEFT_ECLOSED);
	T_EQ(weft_fswatch_close(w), WEFT_ECLOSED);
	T_EQ(weft_fswatch_close(NULL), 0);
	return 0;
}

TEST_WORKERS(errors_of_watching)
{
	/* To look for a deadlock takes a descriptor, which may come back when none is to be left. */
	T_EQ(run_net_with(errors, NULL, (weft_opts){.no_deadlock = true, .spares = -1}), 0);
}

/* --- waiting --- */

static int next_at(void *arg)
{
	weft_fsevent e;
	int rc = weft_fswatch_next_until(w, &e, *(int64_t *)arg);

	if (rc == 0)
		T_EQ(e.what, WEFT_FS_CREATED);
	return rc;
}

static int adder(void *arg)
{
	return weft_fswatch_add(w, in(arg), WEFT_FS_CREATED, WEFT_FS_TREE);
}

static int waits(void *arg)
{
	static struct lane_full l;
	int64_t never = WEFT_FOREVER, soon;
	weft_task *t, *u;
	weft_fsevent e;

	(void)arg;
	w = watch_made();
	T_EQ(mkdir(in("d"), 0700), 0);
	T_EQ(mkdir(in("e"), 0700), 0);
	T_EQ(weft_fswatch_add(w, in("d"), WEFT_FS_CREATED, 0), 0);
	t = start(next_at, &never);
	until_reason(t, "io");
	put("d/a", "");
	T_EQ(finish(t), 0);
	soon = weft_in(2 * WEFT_MS);
	T_EQ(finish(start(next_at, &soon)), WEFT_ETIMEDOUT);
	t = start(next_at, &never);
	until_reason(t, "io");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	/* one waits for its turn, while what is watched changes */
	t = start(next_at, &never);
	until_reason(t, "io");
	u = start(next_at, &never);
	until_reason(u, "io");
	T_EQ(weft_fswatch_add(w, in("e"), WEFT_FS_CREATED, WEFT_FS_TREE), 0);
	put("e/a", "");
	put("e/b", "");
	T_EQ(finish(t), 0);
	T_EQ(finish(u), 0);
	/* a new directory to be looked into, and no thread for that: cancelled, the event is kept */
	T_EQ(mkdir(in("e/sub"), 0700), 0);
	lane_fill(&l, LANE_FILE);
	T_EQ(weft_fswatch_next_until(w, &e, WEFT_NOW), WEFT_EAGAIN);
	t = start(next_at, &never);
	until_reason(t, "file");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	lane_free(&l);
	told(WEFT_FS_CREATED, "e/sub", NULL);
	/* closed under one that waits, one at its turn, and one that is being added to */
	T_EQ(mkdir(in("g"), 0700), 0);
	weft_fswatch_ref(w);
	t = start(next_at, &never);
	until_reason(t, "io");
	u = start(next_at, &never);
	until_reason(u, "io");
	T_EQ(weft_fswatch_close(w), 0);
	T_EQ(finish(t), WEFT_ECLOSED);
	T_EQ(finish(u), WEFT_ECLOSED);
	T_EQ(weft_fswatch_close(w), WEFT_ECLOSED);
	return 0;
}

TEST_WORKERS(waits_and_is_woken)
{
	run_net(waits, NULL);
}

static int closer(void *arg)
{
	return weft_fswatch_close(arg);
}

/* Closed while a thread is asked for: it waits for that. */
static int closed_while_added(void *arg)
{
	static struct lane_full l;
	weft_task *t, *u;

	(void)arg;
	w = watch_made();
	T_EQ(mkdir(in("d"), 0700), 0);
	lane_fill(&l, LANE_FILE);
	t = start(adder, (void *)"d");
	until_reason(t, "file");
	u = start(closer, w);
	until_parked(u);
	lane_free(&l);
	T_EQ(finish(t), 0);
	T_EQ(finish(u), 0);
	return 0;
}

TEST_WORKERS(closed_while_something_is_added)
{
	run_net(closed_while_added, NULL);
}

static void *foreign_next(void *arg)
{
	weft_fsevent e;

	*(int *)arg = weft_fswatch_next(w, &e);
	return NULL;
}

static ATOMIC(int) over;

static void *foreign_over(void *arg)
{
	foreign_next(arg);
	store_release(&over, 1);
	return NULL;
}

static int foreign(void *arg)
{
	pthread_t th;
	int rc = -1;

	(void)arg;
	store_relaxed(&over, 0);
	w = watch_made();
	T_EQ(mkdir(in("d"), 0700), 0);
	T_EQ(weft_fswatch_add(w, in("d"), WEFT_FS_CREATED, WEFT_FS_TREE), 0);
	T_EQ(pthread_create(&th, NULL, foreign_over, &rc), 0);
	put("d/a", "");
	until(load_acquire(&over));
	pthread_join(th, NULL);
	T_EQ(rc, 0);
	T_EQ(weft_fswatch_close(w), 0);
	return 0;
}

TEST_WORKERS(foreign_threads_hear_too)
{
	run_net(foreign, NULL);
}

static int next_for_ever(void *arg)
{
	weft_fsevent e;

	(void)arg;
	return weft_fswatch_next(w, &e);
}

static int go_down(void *arg)
{
	weft_task *t;

	(void)arg;
	w = watch_made();
	T_EQ(weft_fswatch_add(w, in("."), WEFT_FS_ALL, WEFT_FS_TREE), 0);
	t = start(next_for_ever, NULL);
	until_reason(t, "io");
	weft_task_detach(t);
	return 0;
}

/* The runtime goes down under one that waits: what is watched can be closed afterwards. */
TEST_WORKERS(the_runtime_goes_down)
{
	int fds;

	ends_with_main();
	tap_leaky();
	warm_up();
	fds = rt_fds();
	T_EQ(weft_run(go_down, NULL, &(weft_opts){.workers = tap_workers()}), 0);
	nothing_left();
	T_EQ(weft_fswatch_close(w), 0);
	T_EQ(rt_fds(), fds);
	T_EQ(weft__fd_count(), 0);
}
