/* SPDX-License-Identifier: MIT
 *
 * fs.c - what is done by paths: every call and its errors, directories, walks, removals and copies of trees and files.
 */
#include "files.h"

#include <sys/syscall.h>

/* --- one call each --- */

static int calls(void *arg)
{
	struct timespec times[2] = {{10, 0}, {20, 0}};
	char buf[PATH_MAX], name[300];
	struct stat st;

	(void)arg;
	memset(name, 'n', sizeof name);
	name[299] = '\0';
	put("a", "abc");
	T_EQ(weft_fs_stat(in("a"), &st), 0);
	T_EQ(st.st_size, 3);
	T_EQ(weft_fs_stat(in("none"), &st), WEFT_ENOENT);
	T_EQ(weft_fs_stat(in("a/b"), &st), WEFT_ENOTDIR);
	T_EQ(weft_fs_stat(in(name), &st), WEFT_ENAMETOOLONG);
	T_EQ(weft_fs_stat(NULL, &st), WEFT_EINVAL);
	T_EQ(weft_fs_stat_until(in("a"), &st, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_fs_stat_until(in("a"), &st, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_symlink("a", in("s")), 0);
	T_EQ(weft_fs_symlink("a", in("s")), WEFT_EEXIST);
	T_EQ(weft_fs_lstat(in("s"), &st), 0);
	T_OK(S_ISLNK(st.st_mode));
	T_EQ(weft_fs_readlink(in("s"), buf, sizeof buf), 1);
	T_STR_EQ(buf, "a");
	T_EQ(weft_fs_readlink(in("s"), buf, 1), WEFT_ENOSPC);
	T_EQ(weft_fs_readlink(in("s"), buf, 0), WEFT_ENOSPC);
	T_EQ(weft_fs_readlink(in("a"), buf, sizeof buf), WEFT_EINVAL);
	T_GT(weft_fs_realpath(in("./s"), buf, sizeof buf), 2);
	T_STR_EQ(strrchr(buf, '/'), "/a");
	T_EQ(weft_fs_realpath(in("s"), buf, 2), WEFT_ENOSPC);
	T_EQ(weft_fs_realpath(in("none"), buf, sizeof buf), WEFT_ENOENT);
	T_EQ(weft_fs_exists(in("a")), 1);
	T_EQ(weft_fs_exists(in("none")), 0);
	T_EQ(weft_fs_exists(in("a/b")), 0);
	T_EQ(weft_fs_exists(in(name)), WEFT_ENAMETOOLONG);
	T_EQ(weft_fs_access(in("a"), R_OK | W_OK), 0);
	T_EQ(weft_fs_access(in("none"), F_OK), WEFT_ENOENT);
	T_EQ(weft_fs_access(in("a"), X_OK), WEFT_EACCES);
	T_EQ(weft_fs_chmod(in("a"), 0400), 0);
	T_EQ(weft_fs_chown(in("a"), getuid(), (gid_t)-1), 0);
	T_EQ(weft_fs_utimes(in("a"), times), 0);
	T_EQ(weft_fs_truncate(in("a"), -1), WEFT_EINVAL);
	T_EQ(weft_fs_chmod(in("a"), 0600), 0);
	T_EQ(weft_fs_truncate(in("a"), 2), 0);
	T_EQ(weft_fs_utimes(in("a"), times), 0);
	T_EQ(weft_fs_stat(in("a"), &st), 0);
	T_EQ(st.st_size, 2);
	T_EQ(st.st_mtim.tv_sec, 20);
	T_EQ(weft_fs_utimes(in("a"), NULL), 0);
	T_EQ(weft_fs_link(in("a"), in("b")), 0);
	T_EQ(weft_fs_link(in("a"), in("b")), WEFT_EEXIST);
	T_EQ(weft_fs_link(in("a"), NULL), WEFT_EINVAL);
	T_EQ(weft_fs_rename(in("b"), in("c")), 0);
	T_EQ(weft_fs_rename(in("b"), in("c")), WEFT_ENOENT);
	T_EQ(weft_fs_rename(NULL, in("c")), WEFT_EINVAL);
	T_EQ(weft_fs_unlink(in("c")), 0);
	T_EQ(weft_fs_unlink(in("c")), WEFT_ENOENT);
	T_EQ(weft_fs_unlink(in(".")), WEFT_EISDIR);
	T_EQ(symlink("loop", in("loop")), 0);
	T_EQ(weft_fs_truncate(in("loop"), 0), WEFT_ELOOP);
	return 0;
}

TEST_WORKERS(one_call_each)
{
	run_net(calls, NULL);
}

static int dirs(void *arg)
{
	char text[64], path[PATH_MAX];
	bool seen[300] = {false};
	weft_dirent e;
	struct stat st;
	weft_dir *d;
	int n = 0, rc;

	(void)arg;
	T_EQ(weft_fs_mkdir(in("d"), 0700), 0);
	T_EQ(weft_fs_mkdir(in("d"), 0700), WEFT_EEXIST);
	T_EQ(weft_fs_mkdir(in("x/y"), 0700), WEFT_ENOENT);
	T_EQ(weft_fs_mkdir_all(in("x/y//z/"), 0700), 0);
	T_EQ(weft_fs_mkdir_all(in("x/y/z"), 0700), 0);
	T_EQ(stat(in("x/y/z"), &st), 0);
	T_OK(S_ISDIR(st.st_mode));
	put("f", "f");
	T_EQ(weft_fs_mkdir_all(in("f"), 0700), WEFT_ENOTDIR);
	T_EQ(weft_fs_mkdir_all(in("f/g"), 0700), WEFT_ENOTDIR);
	T_EQ(weft_fs_mkdir_all("", 0700), WEFT_ENOENT);
	T_EQ(weft_fs_mkdir_all(NULL, 0700), WEFT_EINVAL);
	T_EQ(weft_fs_rmdir(in("x")), WEFT_ENOTEMPTY);
	T_EQ(weft_fs_rmdir(in("x/y/z")), 0);
	T_EQ(weft_fs_rmdir(in("f")), WEFT_ENOTDIR);
	T_EQ(weft_fs_rename(in("f"), in("d")), WEFT_EISDIR);
	for (int i = 0; i < 297; i++) {
		snprintf(text, sizeof text, "d/%d", i);
		put(text, "");
	}
	T_EQ(mkdir(in("d/297"), 0700), 0);
	T_EQ(symlink("nowhere", in("d/298")), 0);
	T_EQ(mkfifo(in("d/299"), 0600), 0);
	T_EQ(weft_dir_open(&d, in("d")), 0);
	while ((rc = weft_dir_next(d, &e)) == 1) {
		int i = atoi(e.name);

		T_OK(i >= 0 && i < 300 && !seen[i]);
		seen[i] = true;
		T_EQ(e.type, i < 297 ? DT_REG : i == 297 ? DT_DIR : i == 298 ? DT_LNK : DT_FIFO);
		T_NE(e.ino, 0);
		n++;
	}
	T_EQ(rc, 0);
	T_EQ(n, 300);
	T_EQ(weft_dir_next(d, &e), 0);
	T_EQ(weft_dir_close(d), 0);
	T_EQ(weft_dir_close(NULL), 0);
	T_EQ(weft_dir_next(NULL, &e), WEFT_EINVAL);
	T_EQ(weft_dir_open(&d, in("d/297")), 0);
	T_EQ(weft_dir_next_until(d, &e, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_dir_next_until(d, &e, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_dir_next(d, &e), 0);
	T_EQ(weft_dir_close(d), 0);
	T_EQ(weft_dir_open(&d, in("none")), WEFT_ENOENT);
	T_EQ(d, NULL);
	T_EQ(weft_dir_open(&d, in("f")), WEFT_ENOTDIR);
	T_EQ(weft_dir_open(&d, NULL), WEFT_EINVAL);
	T_EQ(weft_dir_open_until(&d, in("d"), WEFT_NOW), WEFT_EAGAIN);
	snprintf(path, sizeof path, "%s", in("t.XXXXXX"));
	T_EQ(weft_fs_temp_dir(path), 0);
	T_EQ(stat(path, &st), 0);
	T_OK(S_ISDIR(st.st_mode));
	T_EQ(weft_fs_temp_dir(path), WEFT_EINVAL);
	return 0;
}

TEST_WORKERS(directories)
{
	run_net(dirs, NULL);
}

static int cancelled_next(void *arg)
{
	weft_dirent e;

	T_EQ(weft_dir_next(arg, &e), 1);
	weft_task_cancel(weft_task_self());
	return weft_dir_next(arg, &e);
}

static int cancelled_reader(void *arg)
{
	weft_dir *d;

	(void)arg;
	put("a", "");
	put("b", "");
	T_EQ(weft_dir_open(&d, in(".")), 0);
	T_EQ(finish(start(cancelled_next, d)), WEFT_ECANCELED);
	T_EQ(weft_dir_close(d), 0);
	return 0;
}

TEST_WORKERS(a_cancelled_reader_is_given_nothing)
{
	run_net(cancelled_reader, NULL);
}

/* One task reads a directory, another finds it taken. */
static int next_of(void *arg)
{
	weft_dirent e;

	return weft_dir_next(arg, &e);
}

static int two_readers(void *arg)
{
	static struct lane_full l;
	weft_dirent e;
	weft_task *t;
	weft_dir *d;

	(void)arg;
	put("a", "");
	T_EQ(weft_dir_open(&d, in(".")), 0);
	lane_fill(&l, LANE_FILE);
	t = start(next_of, d);
	until_reason(t, "file");
	T_EQ(weft_dir_next(d, &e), WEFT_EBUSY);
	T_EQ(weft_dir_close(d), WEFT_EBUSY);
	lane_free(&l);
	T_EQ(finish(t), 1);
	T_EQ(weft_dir_close(d), 0);
	return 0;
}

TEST_WORKERS(a_directory_has_one_reader)
{
	run_net(two_readers, NULL);
}

/* --- trees --- */

static void tree(void)
{
	T_EQ(mkdir(in("t"), 0700), 0);
	T_EQ(mkdir(in("t/b"), 0700), 0);
	T_EQ(mkdir(in("t/b/c"), 0700), 0);
	T_EQ(mkdir(in("t/d"), 0700), 0);
	T_EQ(mkdir(in("kept"), 0700), 0);
	put("kept/file", "");
	put("t/a", "");
	put("t/b/z", "");
	put("t/b/c/y", "");
	put("t/d/x", "");
	T_EQ(symlink("../kept", in("t/link")), 0);
}

static char story[1000];

static int tell(const char *path, const weft_dirent *e, int error, void *arg)
{
	const char *at = strrchr(path, '/');

	T_STR_EQ(at + 1, strrchr(e->name, '/') ? strrchr(e->name, '/') + 1 : e->name);
	sprintf(story + strlen(story), "%s%s ", at + 1, error ? "!" : e->type == DT_DIR ? "/" : e->type == DT_LNK ? "@" : "");
	weft_task_yield();
	return arg && strcmp(at + 1, arg) == 0 ? WEFT_WALK_SKIP : 0;
}

static int stop_at_z(const char *path, const weft_dirent *e, int error, void *arg)
{
	(void)path;
	(void)error;
	(void)arg;
	return strcmp(e->name, "z") == 0 ? 77 : 0;
}

static int cancel_at_b(const char *path, const weft_dirent *e, int error, void *arg)
{
	(void)path;
	(void)error;
	(void)arg;
	T_OK(strcmp(e->name, "c") != 0);
	if (strcmp(e->name, "b") == 0)
		weft_task_cancel(weft_task_self());
	return 0;
}

static int cancelled_walk(void *arg)
{
	(void)arg;
	return weft_fs_walk(in("t"), cancel_at_b, NULL);
}

/* The directory goes while the walk is in the one above. */
static int removes_d(const char *path, const weft_dirent *e, int error, void *arg)
{
	(void)path;
	if (strcmp(e->name, "a") == 0)
		T_EQ(weft_fs_remove_all(in("t/d")), 0);
	if (error)
		*(int *)arg = error;
	return 0;
}

static int walks(void *arg)
{
	int error = 0;

	(void)arg;
	tree();
	T_EQ(weft_fs_walk(in("t"), tell, NULL), 0);
	T_STR_EQ(story, "t/ a b/ c/ y z d/ x link@ ");
	*story = '\0';
	T_EQ(weft_fs_walk(in("t"), tell, (void *)"b"), 0);
	T_STR_EQ(story, "t/ a b/ d/ x link@ ");
	*story = '\0';
	T_EQ(weft_fs_walk(in("t/a"), tell, NULL), 0);
	T_STR_EQ(story, "a ");
	*story = '\0';
	T_EQ(weft_fs_walk(in("t/link"), tell, NULL), 0);
	T_STR_EQ(story, "link@ ");
	T_EQ(weft_fs_walk(in("t"), stop_at_z, NULL), 77);
	T_EQ(weft_fs_walk(in("none"), tell, NULL), WEFT_ENOENT);
	T_EQ(weft_fs_walk(NULL, tell, NULL), WEFT_EINVAL);
	T_EQ(weft_fs_walk_until(in("t"), tell, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(finish(start(cancelled_walk, NULL)), WEFT_ECANCELED);
	T_EQ(weft_fs_walk(in("t"), removes_d, &error), 0);
	T_EQ(error, WEFT_ENOENT);
	return 0;
}

TEST_WORKERS(walks_through_a_tree)
{
	*story = '\0';
	run_net(walks, NULL);
}

static int removals(void *arg)
{
	char deep[PATH_MAX];

	(void)arg;
	tree();
	T_EQ(weft_fs_remove_all(in("t/link/.")), WEFT_EINVAL);
	T_EQ(weft_fs_remove_all(in("t/b/..")), WEFT_EINVAL);
	T_EQ(weft_fs_remove_all(NULL), WEFT_EINVAL);
	T_EQ(weft_fs_remove_all_until(in("t"), WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_fs_remove_all_until(in("t"), 1), WEFT_ETIMEDOUT);
	T_EQ(access(in("t/b/c/y"), F_OK), 0);
	T_EQ(weft_fs_remove_all(in("t")), 0); /* several jobs, with tiny capacities */
	T_EQ(access(in("t"), F_OK), -1);
	T_EQ(access(in("kept/file"), F_OK), 0); /* behind a link */
	T_EQ(weft_fs_remove_all(in("t")), 0);
	T_EQ(weft_fs_remove_all(in("kept/file")), 0);
	T_EQ(weft_fs_remove_all(in("kept/")), 0);
	/* deep */
	snprintf(deep, sizeof deep, "%s", in("deep"));
	while (strlen(deep) < 1500)
		strcat(deep, "/dddddd");
	T_EQ(weft_fs_mkdir_all(deep, 0700), 0);
	T_EQ(weft_fs_remove_all(in("deep")), 0);
	T_EQ(access(in("deep"), F_OK), -1);
	return 0;
}

/* A path that ends in dots names what is above, or where one is: nothing is removed. */
static int dots(void *arg)
{
	static const char *const names[] = {"g/s/..", "g/s/../", "g/s/..//", "g/.", "g/./", "g/.//", "g/s/../."};

	(void)arg;
	T_EQ(weft_fs_mkdir_all(in("g/s"), 0700), 0);
	put("g/f", "");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		T_EQ(weft_fs_remove_all(in(names[i])), WEFT_EINVAL);
		T_EQ(access(in("g/f"), F_OK), 0);
	}
	put("g/...", "");
	T_EQ(weft_fs_remove_all(in("g/...")), 0);
	T_EQ(access(in("g/..."), F_OK), -1);
	T_EQ(weft_fs_remove_all(in("g//")), 0);
	T_EQ(access(in("g"), F_OK), -1);
	T_EQ(weft_fs_remove_all(""), 0);
	return 0;
}

TEST_WORKERS(removes_nothing_that_is_named_by_dots)
{
	run_net(dots, NULL);
}

TEST_WORKERS(removes_trees)
{
	run_net(removals, NULL);
}

/* What cannot be removed does not keep the rest. */
static int unremovable(void *arg)
{
	(void)arg;
	T_EQ(mkdir(in("t"), 0700), 0);
	T_EQ(mkdir(in("t/b"), 0700), 0);
	T_EQ(mkdir(in("t/b/c"), 0700), 0);
	put("t/a", "");
	put("t/z", "");
	put("t/b/z", "");
	if (mount("tmpfs", in("t/b/c"), "tmpfs", 0, "size=64k"))
		return 1;
	T_EQ(weft_fs_remove_all(in("t")), WEFT_EBUSY);
	T_EQ(access(in("t/a"), F_OK), -1);
	T_EQ(access(in("t/z"), F_OK), -1);
	T_EQ(access(in("t/b/z"), F_OK), -1);
	T_EQ(access(in("t/b/c"), F_OK), 0);
	T_EQ(umount(in("t/b/c")), 0);
	T_EQ(weft_fs_remove_all(in("t")), 0);
	return 0;
}

TEST_WORKERS(removes_what_it_can)
{
	if (run_net_with(unremovable, NULL, (weft_opts){.workers = 0}))
		tap_skip("this user may not mount");
}

static int globs(void *arg)
{
	char **paths;

	(void)arg;
	tree();
	T_EQ(weft_fs_glob(in("t/*/?"), &paths), 3);
	T_STR_EQ(strrchr(paths[0], '/'), "/c");
	T_STR_EQ(strrchr(paths[1], '/'), "/z");
	T_STR_EQ(strrchr(paths[2], '/'), "/x");
	T_EQ(paths[3], NULL);
	free(paths);
	T_EQ(weft_fs_glob(in("t/none*"), &paths), 0);
	T_EQ(paths[0], NULL);
	free(paths);
	T_EQ(weft_fs_glob(NULL, &paths), WEFT_EINVAL);
	T_EQ(weft_fs_glob_until("*", &paths, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(paths, NULL);
	return 0;
}

TEST_WORKERS(patterns)
{
	run_net(globs, NULL);
}

/* --- copy --- */

static ATOMIC(bool) not_yours;

/* In place of the system's. */
int fchmod(int fd, mode_t mode)
{
	if (load_relaxed(&not_yours)) {
		errno = EPERM;
		return -1;
	}
	return (int)syscall(SYS_fchmod, fd, mode);
}

static int copies(void *arg)
{
	enum { N = 9 << 20 };
	char *big = malloc(N);
	struct stat st;
	size_t n;
	void *p;

	(void)arg;
	for (int i = 0; i < N; i++)
		big[i] = (char)(i * 31 + i / 65521);
	put_bytes(in("a"), big, N);
	T_EQ(chmod(in("a"), 06640), 0);
	put("b", "what was there");
	store_relaxed(&not_yours, true);
	T_EQ(weft_fs_copy(in("a"), in("b"), 0), WEFT_EPERM);
	store_relaxed(&not_yours, false);
	T_OK(holds_text("b", "what was there"));
	T_EQ(weft_fs_copy(in("a"), in("b"), 0), 0);
	T_EQ(weft_file_read_all(in("b"), &p, &n), 0);
	T_EQ(n, N);
	T_EQ(memcmp(p, big, N), 0);
	free(p);
	free(big);
	T_EQ(stat(in("b"), &st), 0);
	T_EQ(st.st_mode & 07777, 0640);
	put("e", "");
	T_EQ(weft_fs_copy(in("e"), in("b"), 0), 0);
	T_OK(holds_text("b", ""));
	T_EQ(weft_fs_copy("/proc/self/status", in("b"), 0), 0);
	T_EQ(weft_file_read_all(in("b"), &p, &n), 0);
	T_STR_HAS(p, "Name:");
	free(p);
	T_EQ(weft_fs_copy(in("e"), in("b"), WEFT_COPY_NEW), WEFT_EEXIST);
	T_EQ(weft_fs_copy(in("e"), in("new"), WEFT_COPY_NEW), 0);
	T_EQ(weft_fs_copy(in("b"), in("./b"), 0), WEFT_EINVAL);
	T_EQ(weft_file_read_all(in("b"), &p, &n), 0); /* and it is not harmed */
	T_GT(n, 0);
	free(p);
	T_EQ(weft_fs_copy(in("none"), in("b"), 0), WEFT_ENOENT);
	T_EQ(weft_fs_copy(in("e"), in("none/b"), 0), WEFT_ENOENT);
	T_EQ(weft_fs_copy(in("."), in("b"), 0), WEFT_EINVAL);
	T_EQ(weft_fs_copy(in("e"), in("."), 0), WEFT_EISDIR);
	T_EQ(weft_fs_copy(in("b"), "/dev/full", 0), WEFT_EINVAL);
	T_EQ(weft_fs_copy(in("a"), in("b"), 4), WEFT_EINVAL);
	T_EQ(weft_fs_copy(NULL, in("b"), 0), WEFT_EINVAL);
	T_EQ(weft_fs_copy_until(in("a"), in("b"), 0, WEFT_NOW), WEFT_EAGAIN);
	return 0;
}

TEST_WORKERS(copies_files)
{
	run_net(copies, NULL);
}
