/* SPDX-License-Identifier: MIT
 *
 * filefail.c - files, trees and what is heard of them, when the n-th call for memory, a descriptor, a watch or a thread fails, for all n: an error comes back, and nothing is left.
 */
#include "faileach.h"
#include "files.h"

#include "weft/fswatch.h"

static bool is_shortage(int rc)
{
	return rc == WEFT_ENOMEM || rc == WEFT_EMFILE || rc == WEFT_EAGAIN || rc == WEFT_ENOSPC;
}

static int make_file(void)
{
	static char buf[300000];
	weft_file *f;
	ssize_t n;
	int rc = weft_file_open(&f, in("a"), O_RDWR | O_CREAT, 0600);

	if (rc) {
		T_EQ(f, NULL);
		return rc;
	}
	n = weft_file_pread(f, buf, sizeof buf, 0);
	rc = n < 0 ? (int)n : 0;
	T_EQ(weft_file_close(f), 0); /* without a thread, too */
	return rc;
}

static int make_fifo(void)
{
	weft_file *f;
	char x;
	int rc = weft_file_open(&f, in("fifo"), O_RDWR, 0);

	if (rc)
		return rc;
	rc = (int)weft_file_read_until(f, &x, 1, weft_in(WEFT_MS));
	T_EQ(weft_file_close(f), 0);
	return rc == WEFT_ETIMEDOUT ? 0 : rc;
}

static int make_whole(void)
{
	void *p;
	int rc = weft_file_write_all(in("b"), "text", 4, 0600, WEFT_FILE_ATOMIC);

	if (rc == 0)
		rc = weft_file_read_all(in("b"), &p, NULL);
	else
		p = NULL;
	T_EQ(p != NULL, rc == 0);
	free(p);
	return rc;
}

static int make_other(void)
{
	void *p;
	int rc = weft_file_read_all("/dev/null", &p, NULL);

	T_EQ(p != NULL, rc == 0);
	free(p);
	return rc;
}

static int make_copy(void)
{
	return weft_fs_copy("/proc/self/status", in("c"), 0);
}

static int visited(const char *path, const weft_dirent *e, int error, void *arg)
{
	(void)path;
	(void)e;
	*(int *)arg += 1;
	return error;
}

static int make_walk(void)
{
	int n = 0, rc = weft_fs_walk(in("t"), visited, &n);

	if (rc == 0)
		T_EQ(n, 104);
	return rc;
}

static int make_dir(void)
{
	weft_dirent e;
	weft_dir *d;
	int rc = weft_dir_open(&d, in("t"));

	if (rc) {
		T_EQ(d, NULL);
		return rc;
	}
	while ((rc = weft_dir_next(d, &e)) == 1)
		;
	T_EQ(weft_dir_close(d), 0);
	return rc;
}

static int make_glob(void)
{
	char **paths;
	int n = weft_fs_glob(in("t/*"), &paths);

	T_EQ(paths != NULL, n >= 0);
	free(paths);
	return n < 0 ? n : 0;
}

static int make_tree(void)
{
	int rc = weft_fs_mkdir_all(in("x/y/z"), 0700), gone;

	do
		gone = weft_fs_remove_all(in("x"));
	while (gone == WEFT_EAGAIN); /* the one call that fails has failed by then */
	return rc ? rc : gone;
}

static int make_watch(void)
{
	weft_fswatch *w;
	weft_fsevent e;
	int rc = weft_fswatch_make(&w);

	if (rc) {
		T_EQ(w, NULL);
		return rc;
	}
	rc = weft_fswatch_add(w, in("t"), WEFT_FS_ALL, WEFT_FS_TREE);
	if (rc == 0) {
		T_EQ(mkdir(in("t/new"), 0700), 0);
		rc = weft_fswatch_next(w, &e);
		T_EQ(rmdir(in("t/new")), 0);
	}
	T_EQ(weft_fswatch_close(w), 0);
	return rc;
}

/* Moved with its directory: the event is kept until it can be told, or something is said to be lost. */
static int make_move(void)
{
	weft_fswatch *w;
	weft_fsevent e;
	int rc = weft_fswatch_make(&w);

	if (rc)
		return rc;
	rc = weft_fswatch_add(w, in("t"), WEFT_FS_RENAMED, WEFT_FS_TREE);
	if (rc == 0) {
		T_EQ(rename(in("t/a"), in("t/b/a")), 0);
		rc = weft_fswatch_next(w, &e);
		if (rc == WEFT_ENOMEM)
			T_EQ(weft_fswatch_next(w, &e), 0);
		T_OK(rc != 0 || (e.what == WEFT_FS_RENAMED && strcmp(e.path, in("t/b/a")) == 0));
		T_EQ(rename(in("t/b/a"), in("t/a")), 0);
	}
	T_EQ(weft_fswatch_close(w), 0);
	return rc;
}

static const struct thing things[] = {
	{"file", make_file},
	{"FIFO", make_fifo},
	{"whole file", make_whole},
	{"whole device", make_other},
	{"copy", make_copy},
	{"walk", make_walk},
	{"directory", make_dir},
	{"pattern", make_glob},
	{"tree", make_tree},
	{"watch", make_watch},
	{"watch of what moves", make_move},
};

static int each(void *arg)
{
	char name[32], big[1000] = {0};

	(void)arg;
	put_bytes(in("a"), big, sizeof big);
	T_EQ(mkfifo(in("fifo"), 0600), 0);
	T_EQ(mkdir(in("t"), 0700), 0);
	T_EQ(mkdir(in("t/a"), 0700), 0);
	T_EQ(mkdir(in("t/b"), 0700), 0);
	for (int i = 0; i < 101; i++) {
		snprintf(name, sizeof name, "t/%s%d", i % 2 ? "a/" : "", i);
		put(name, "");
	}
	until_all_workers_run();
	for (size_t i = 0; i < ARRAY_LEN(things); i++)
		fail_each(&things[i], is_shortage);
	return 0;
}

TEST_WORKERS(the_nth_call_fails)
{
	T_EQ(run_net_with(each, NULL, (weft_opts){.no_deadlock = true}), 0); /* to look for one takes a descriptor */
}
