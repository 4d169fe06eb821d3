/* SPDX-License-Identifier: MIT
 *
 * file.c - files: what is read, written and asked of them, every error a user meets, and whole files in one call.
 */
#include "files.h"

#include "weft/io.h"
#include <sys/file.h>
#include <sys/syscall.h>

/* --- reading and writing --- */

static int one_file(void *arg)
{
	weft_file *f = opened("a", O_RDWR | O_CREAT | O_EXCL);
	struct iovec v[3] = {{(void *)"xy", 2}, {NULL, 0}, {(void *)"z", 1}};
	struct timespec times[2] = {{1000, 5}, {2000, 7}};
	char buf[32] = {0}, two[2][3] = {{0}};
	struct iovec r[2] = {{two[0], 2}, {two[1], 2}};
	size_t done = 99;
	struct stat st;

	(void)arg;
	T_EQ(weft_file_write(f, "hello, world", 12, &done), 12);
	T_EQ(done, 12);
	T_EQ(weft_file_read(f, buf, sizeof buf), 0);
	T_EQ(weft_file_seek(f, 0, SEEK_SET), 0);
	T_EQ(weft_file_read(f, buf, 5), 5);
	T_STR_EQ(buf, "hello");
	T_EQ(weft_file_seek(f, 2, SEEK_CUR), 7);
	T_EQ(weft_file_read(f, buf, sizeof buf), 5);
	T_STR_EQ(buf, "world");
	T_EQ(weft_file_seek(f, -1, SEEK_END), 11);
	T_EQ(weft_file_pread(f, buf, 3, 7), 3);
	T_EQ(memcmp(buf, "wor", 3), 0);
	T_EQ(weft_file_seek(f, 0, SEEK_CUR), 11); /* it stays */
	T_EQ(weft_file_pwrite(f, "W", 1, 7, &done), 1);
	T_EQ(done, 1);
	T_EQ(weft_file_pread(f, buf, 100, 7), 5);
	T_EQ(memcmp(buf, "World", 5), 0);
	T_EQ(weft_file_pread(f, buf, 1, 12), 0);
	T_EQ(weft_file_pread(f, buf, 1, 1 << 20), 0);
	T_EQ(weft_file_writev(f, v, 3, &done), 3); /* from 11 on */
	T_EQ(done, 3);
	T_EQ(weft_file_preadv(f, r, 2, 10), 4);
	T_STR_EQ(two[0], "lx");
	T_STR_EQ(two[1], "yz");
	T_EQ(weft_file_pwritev(f, v, 3, 0, NULL), 3);
	T_EQ(weft_file_seek(f, 0, SEEK_SET), 0);
	T_EQ(weft_file_readv(f, r, 2), 4);
	T_STR_EQ(two[0], "xy");
	T_STR_EQ(two[1], "zl");
	T_EQ(weft_file_read(f, NULL, 0), 0);
	T_EQ(weft_file_write(f, NULL, 0, &done), 0);
	T_EQ(weft_file_sync(f), 0);
	T_EQ(weft_file_datasync(f), 0);
	T_EQ(weft_file_truncate(f, 5), 0);
	T_EQ(weft_file_stat(f, &st), 0);
	T_EQ(st.st_size, 5);
	T_EQ(weft_file_chmod(f, 0600), 0);
	T_EQ(weft_file_chown(f, (uid_t)-1, getgid()), 0);
	T_EQ(weft_file_utimes(f, times), 0);
	T_EQ(weft_file_stat(f, &st), 0);
	T_EQ(st.st_mode & 07777, 0600);
	T_EQ(st.st_mtim.tv_sec, 2000);
	T_EQ(weft_file_utimes(f, NULL), 0);
	T_EQ(weft_file_set_deadline(f, 1, 1), WEFT_ENOTSUP);
	T_EQ(fcntl(weft_file_fd(f), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	T_EQ(weft_file_ref(f), f);
	T_EQ(weft_file_close(f), 0);
	T_EQ(weft_file_read(f, buf, 1), WEFT_ECLOSED);
	T_EQ(weft_file_pread(f, buf, 1, 0), WEFT_ECLOSED);
	T_EQ(weft_file_write(f, "x", 1, &done), WEFT_ECLOSED);
	T_EQ(weft_file_pwrite(f, "x", 1, 0, &done), WEFT_ECLOSED);
	T_EQ(done, 0);
	T_EQ(weft_file_stat(f, &st), WEFT_ECLOSED);
	T_EQ(weft_file_seek(f, 0, SEEK_SET), WEFT_ECLOSED);
	T_EQ(weft_file_lock(f, WEFT_LOCK_SHARED), WEFT_ECLOSED);
	T_EQ(weft_file_lock_until(f, WEFT_LOCK_SHARED, WEFT_NOW), WEFT_ECLOSED);
	T_EQ(weft_file_unlock(f), WEFT_ECLOSED);
	T_EQ(weft_file_fd(f), WEFT_ECLOSED);
	T_EQ(weft_file_close(f), WEFT_ECLOSED);
	T_EQ(weft_file_close(NULL), 0);
	T_OK(holds_text("a", "xyzlo"));
	return 0;
}

TEST_WORKERS(reads_writes_and_asks)
{
	run_net(one_file, NULL);
}

/* O_APPEND, O_TRUNC, and a great read in many buffers, cached and not. */
static int many_buffers(void *arg)
{
	enum { N = 1000, EACH = 257 };
	static char out[N * EACH], back[N * EACH];
	static struct iovec v[N];
	weft_file *f = opened("a", O_RDWR | O_CREAT);

	(void)arg;
	for (int i = 0; i < N * EACH; i++)
		out[i] = (char)(i * 7 + i / 251);
	for (int i = 0; i < N; i++)
		v[i] = (struct iovec){out + i * EACH, EACH};
	T_EQ(weft_file_writev(f, v, N, NULL), N * EACH);
	for (int i = 0; i < N; i++)
		v[i].iov_base = back + i * EACH;
	for (int cold = 0; cold < 2; cold++) {
		memset(back, 0, sizeof back);
		T_EQ(weft_file_sync(f), 0);
		if (cold)
			posix_fadvise(weft_file_fd(f), 0, 0, POSIX_FADV_DONTNEED);
		T_EQ(weft_file_preadv(f, v, N, 0), N * EACH);
		T_EQ(memcmp(out, back, sizeof out), 0);
		memset(back, 0, sizeof back);
		T_EQ(weft_file_seek(f, 0, SEEK_SET), 0);
		T_EQ(weft_file_readv(f, v, 400), 400 * EACH); /* little enough for the cache to be asked */
		T_EQ(memcmp(out, back, 400 * EACH), 0);
	}
	T_EQ(weft_file_close(f), 0);
	put("b", "one");
	f = opened("b", O_WRONLY | O_APPEND);
	T_EQ(weft_file_write(f, "two", 3, NULL), 3);
	T_EQ(weft_file_close(f), 0);
	T_OK(holds_text("b", "onetwo"));
	T_EQ(weft_file_close(opened("b", O_WRONLY | O_TRUNC)), 0);
	T_OK(holds_text("b", ""));
	return 0;
}

TEST_WORKERS(many_buffers_cached_or_not)
{
	run_net(many_buffers, NULL);
}

/* In place of the system's: of an old Linux, that says 0 for what is not in the cache. */
static ATOMIC(bool) says_nothing;

ssize_t preadv2(int fd, const struct iovec *v, int count, off_t at, int flags)
{
	if (load_relaxed(&says_nothing))
		return 0;
	return syscall(SYS_preadv2, fd, v, count, (long)at, at < 0 ? -1L : 0L, flags);
}

static int not_the_end(void *arg)
{
	weft_file *f;
	char buf[8] = {0};

	(void)arg;
	put("a", "abc");
	f = opened("a", O_RDONLY);
	store_relaxed(&says_nothing, true);
	T_EQ(weft_file_pread(f, buf, 8, 1), 2);
	T_STR_EQ(buf, "bc");
	T_EQ(weft_file_read(f, buf, 1), 1);
	T_EQ(weft_file_read(f, buf, 8), 2);
	T_STR_EQ(buf, "bc");
	T_EQ(weft_file_read(f, buf, 8), 0);
	T_EQ(weft_file_pread(f, buf, 8, 3), 0);
	store_relaxed(&says_nothing, false);
	T_EQ(weft_file_close(f), 0);
	return 0;
}

TEST_WORKERS(what_is_not_cached_is_not_the_end)
{
	run_net(not_the_end, NULL);
}

/* --- errors --- */

static int open_error(const char *path, int flags)
{
	weft_file *f = (void *)1;
	int rc = weft_file_open(&f, path, flags, 0644);

	T_EQ(f, NULL);
	return rc;
}

static int open_errors(void *arg)
{
	char name[300];
	weft_file *f;

	(void)arg;
	memset(name, 'n', sizeof name);
	name[299] = '\0';
	put("a", "a");
	T_EQ(symlink("loop", in("loop")), 0);
	T_EQ(open_error(in("none"), O_RDONLY), WEFT_ENOENT);
	T_EQ(open_error("", O_RDONLY), WEFT_ENOENT);
	T_EQ(open_error(in("a"), O_RDWR | O_CREAT | O_EXCL), WEFT_EEXIST);
	T_EQ(open_error(in("."), O_RDWR), WEFT_EISDIR);
	T_EQ(open_error(in("a/b"), O_RDONLY), WEFT_ENOTDIR);
	T_EQ(open_error(in("loop"), O_RDONLY), WEFT_ELOOP);
	T_EQ(open_error(in(name), O_RDONLY), WEFT_ENAMETOOLONG);
	T_EQ(open_error(NULL, O_RDONLY), WEFT_EINVAL);
	T_EQ(weft_file_open(NULL, "x", O_RDONLY, 0), WEFT_EINVAL);
	if (geteuid() != 0) {
		T_EQ(chmod(in("a"), 0), 0);
		T_EQ(open_error(in("a"), O_RDONLY), WEFT_EACCES);
	}
	T_LT(snprintf(name, sizeof name, "%s", in("temp.XXXXXX")), sizeof name);
	T_EQ(weft_file_temp(&f, name), 0);
	T_EQ(access(name, R_OK), 0);
	T_EQ(weft_file_write(f, "t", 1, NULL), 1);
	T_EQ(weft_file_close(f), 0);
	T_EQ(weft_file_temp(&f, name), WEFT_EINVAL);
	T_LT(snprintf(name, sizeof name, "%s", in("none/temp.XXXXXX")), sizeof name);
	T_EQ(weft_file_temp(&f, name), WEFT_ENOENT);
	T_EQ(weft_file_from_fd(&f, -1), WEFT_EBADF);
	T_EQ(f, NULL);
	return 0;
}

TEST_WORKERS(errors_of_open)
{
	run_net(open_errors, NULL);
}

static int call_errors(void *arg)
{
	weft_file *r, *w, *d;
	struct iovec v[1] = {{NULL, SIZE_MAX}};
	size_t done = 9;
	char x[4];
	int rc;

	(void)arg;
	put("a", "abc");
	r = opened("a", O_RDONLY);
	w = opened("a", O_WRONLY);
	d = opened(".", O_RDONLY);
	T_EQ(weft_file_read(w, x, 1), WEFT_EBADF);
	T_EQ(weft_file_pread(w, x, 1, 0), WEFT_EBADF);
	T_EQ(weft_file_write(r, "x", 1, &done), WEFT_EBADF);
	T_EQ(done, 0);
	T_EQ(weft_file_pwrite(r, "x", 1, 0, NULL), WEFT_EBADF);
	T_EQ(weft_file_read(d, x, 1), WEFT_EISDIR);
	T_EQ(weft_file_read(r, x, SIZE_MAX), WEFT_EINVAL);
	T_EQ(weft_file_readv(r, v, 1), WEFT_EINVAL);
	T_EQ(weft_file_readv(r, v, -1), WEFT_EINVAL);
	T_EQ(weft_file_readv(r, v, 1025), WEFT_EINVAL);
	T_EQ(weft_file_writev(w, v, 1025, &done), WEFT_EINVAL);
	T_EQ(weft_file_pread(r, x, 1, -1), WEFT_EINVAL);
	T_EQ(weft_file_pwrite(w, x, 1, -1, &done), WEFT_EINVAL);
	T_EQ(weft_file_seek(r, -1, SEEK_SET), WEFT_EINVAL);
	T_EQ(weft_file_seek(r, 0, 77), WEFT_EINVAL);
	T_EQ(weft_file_seek(r, 3, SEEK_DATA), WEFT_ENXIO);
	T_EQ(weft_file_truncate(w, -1), WEFT_EINVAL);
	T_EQ(weft_file_truncate(r, 0), WEFT_EINVAL);
	rc = weft_file_truncate(w, INT64_MAX);
	T_OK(rc == WEFT_EFBIG || rc == 0); /* tmpfs takes it */
	T_EQ(weft_file_allocate(r, 0, 0, 10), WEFT_EBADF);
	T_EQ(weft_file_allocate(w, 0, 0, 0), WEFT_EINVAL);
	T_EQ(weft_file_lock(w, 3), WEFT_EINVAL);
	T_EQ(weft_file_read_until(r, x, 4, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_file_pread_until(r, x, 4, 0, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_file_sync_until(w, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_file_sync_until(w, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_file_write_until(w, "x", 1, &done, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_file_seek(r, 0, SEEK_CUR), 0);
	T_EQ(weft_file_close(r), 0);
	T_EQ(weft_file_close(w), 0);
	T_EQ(weft_file_close(d), 0);
	return 0;
}

TEST_WORKERS(errors_of_calls)
{
	run_net(call_errors, NULL);
}

/* A disk that is full: what fitted is counted. */
static int no_space(void *arg)
{
	enum { N = 300 << 10 };
	static char big[N];
	struct iovec v[2] = {{big, N / 2}, {big, N / 2}};
	size_t done = 9;
	struct stat st;
	weft_file *f;

	(void)arg;
	T_EQ(weft_file_open(&f, "/dev/full", O_WRONLY, 0), 0);
	T_EQ(weft_file_write(f, "x", 1, &done), WEFT_ENOSPC);
	T_EQ(done, 0);
	T_EQ(weft_file_close(f), 0);
	T_EQ(weft_file_write_all("/dev/full", "x", 1, 0, 0), WEFT_ENOSPC);
	T_EQ(mkdir(in("m"), 0755), 0);
	if (mount("tmpfs", in("m"), "tmpfs", 0, "size=64k"))
		return 1;
	for (int i = 0; i < 4; i++) {
		f = opened("m/f", O_RDWR | O_CREAT | O_TRUNC);
		T_EQ(i == 0   ? weft_file_write(f, big, N, &done)
		     : i == 1 ? weft_file_pwrite(f, big, N, 0, &done)
		     : i == 2 ? weft_file_writev(f, v, 2, &done)
			      : weft_file_pwritev(f, v, 2, 0, &done),
		     WEFT_ENOSPC);
		T_GT(done, 0);
		T_LT(done, N);
		T_EQ(weft_file_stat(f, &st), 0);
		T_EQ(st.st_size, done);
		T_EQ(weft_file_close(f), 0);
	}
	T_EQ(weft_file_write_all(in("m/f"), "old", 3, 0644, 0), 0);
	T_EQ(weft_file_write_all(in("m/f"), big, N, 0644, WEFT_FILE_ATOMIC), WEFT_ENOSPC);
	T_OK(holds_text("m/f", "old")); /* as it was, and nothing lies beside it */
	T_EQ(unlink(in("m/f")), 0);
	T_EQ(umount(in("m")), 0);
	if (mount("tmpfs", in("m"), "tmpfs", MS_RDONLY, NULL) == 0) {
		T_EQ(open_error(in("m/x"), O_WRONLY | O_CREAT), WEFT_EROFS);
		T_EQ(weft_fs_mkdir(in("m/x"), 0755), WEFT_EROFS);
		T_EQ(umount(in("m")), 0);
	}
	T_EQ(rmdir(in("m")), 0);
	return 0;
}

TEST_WORKERS(a_full_disk_and_a_read_only_one)
{
	if (run_net_with(no_space, NULL, (weft_opts){.workers = 0}))
		tap_skip("this user may not mount: only /dev/full was asked");
}

/* No descriptor is left. */
static int no_descriptor(void *arg)
{
	struct rlimit was, r;
	int fd;

	(void)arg;
	put("a", "a");
	T_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(fd);
	r = was;
	r.rlim_cur = (rlim_t)fd;
	T_EQ(setrlimit(RLIMIT_NOFILE, &r), 0);
	T_EQ(open_error(in("a"), O_RDONLY), WEFT_EMFILE);
	for (int more = 0; more < 2; more++) { /* one is not enough: what is put in its place is to be on the disk as well */
		r.rlim_cur = (rlim_t)(fd + more);
		T_EQ(setrlimit(RLIMIT_NOFILE, &r), 0);
		T_EQ(weft_file_write_all(in("a"), "new", 3, 0600, WEFT_FILE_ATOMIC), WEFT_EMFILE);
	}
	T_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
	T_OK(holds_text("a", "a"));
	T_EQ(weft_file_close(opened("a", O_RDONLY)), 0);
	return 0;
}

TEST_WORKERS(no_descriptor_is_left)
{
	run_net(no_descriptor, NULL);
}

/* --- whole files --- */

static ATOMIC(unsigned) mode_at_first;

/* In place of the system's. */
int fchmod(int fd, mode_t mode)
{
	struct stat st;

	if (fstat(fd, &st) == 0)
		store_relaxed(&mode_at_first, st.st_mode & 07777);
	return (int)syscall(SYS_fchmod, fd, mode);
}

static int whole(void *arg)
{
	enum { N = 9 << 20 };
	char *big = malloc(N), *back;
	struct stat st;
	size_t n = 7;
	void *p;

	(void)arg;
	T_EQ(weft_file_write_all(in("a"), "text", 4, 0600, 0), 0);
	T_EQ(weft_file_read_all(in("a"), &p, &n), 0);
	T_EQ(n, 4);
	T_STR_EQ(p, "text");
	free(p);
	T_EQ(weft_file_write_all(in("a"), "", 0, 0600, 0), 0);
	T_EQ(weft_file_read_all(in("a"), &p, NULL), 0);
	T_STR_EQ(p, "");
	free(p);
	for (int i = 0; i < N; i++)
		big[i] = (char)(i * 31 + i / 65521);
	T_EQ(weft_file_write_all(in("a"), big, N, 0600, 0), 0);
	T_EQ(weft_file_read_all(in("a"), &p, &n), 0); /* several jobs */
	T_EQ(n, N);
	back = p;
	T_EQ(memcmp(big, back, N), 0);
	T_EQ(back[N], 0);
	free(p);
	free(big);
	T_EQ(weft_file_read_all("/proc/self/status", &p, &n), 0); /* which says that it is empty */
	T_GT(n, 100);
	T_STR_HAS(p, "Name:");
	free(p);
	T_EQ(weft_file_read_all("/dev/null", &p, &n), 0);
	T_EQ(n, 0);
	free(p);
	T_EQ(weft_file_write_all("/dev/null", "x", 1, 0, 0), 0);
	T_EQ(weft_file_read_all(in("none"), &p, &n), WEFT_ENOENT);
	T_EQ(p, NULL);
	T_EQ(n, 0);
	T_EQ(weft_file_read_all(in("."), &p, &n), WEFT_EISDIR);
	T_EQ(weft_file_read_all(NULL, &p, &n), WEFT_EINVAL);
	T_EQ(weft_file_read_all(in("a"), NULL, &n), WEFT_EINVAL);
	T_EQ(weft_file_read_all_until(in("a"), &p, &n, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_file_read_all_until(in("a"), &p, &n, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_file_write_all(in("none/a"), "x", 1, 0600, 0), WEFT_ENOENT);
	T_EQ(weft_file_write_all(in("."), "x", 1, 0600, 0), WEFT_EISDIR);
	T_EQ(weft_file_write_all(in("a"), "x", 1, 0600, 8), WEFT_EINVAL);
	T_EQ(weft_file_write_all(NULL, "x", 1, 0600, 0), WEFT_EINVAL);
	/* in place of the old one */
	T_EQ(chmod(in("a"), 06640), 0);
	T_EQ(symlink("a", in("link")), 0);
	T_EQ(weft_file_write_all(in("link"), "new", 3, 0666, WEFT_FILE_ATOMIC), 0);
	T_EQ(load_relaxed(&mode_at_first), 0600); /* nobody else opens it before it has the old one's */
	T_OK(holds_text("a", "new"));
	T_EQ(lstat(in("link"), &st), 0);
	T_OK(S_ISLNK(st.st_mode));
	T_EQ(stat(in("a"), &st), 0);
	T_EQ(st.st_mode & 07777, 0640);
	T_EQ(symlink("nowhere", in("dead")), 0);
	T_EQ(weft_file_write_all(in("dead"), "x", 1, 0600, WEFT_FILE_ATOMIC), WEFT_ENOENT);
	T_EQ(lstat(in("dead"), &st), 0);
	T_OK(S_ISLNK(st.st_mode));
	T_EQ(weft_file_write_all(in("b"), "made", 4, 0604, WEFT_FILE_ATOMIC), 0);
	T_OK(holds_text("b", "made"));
	T_EQ(weft_file_write_all(in("."), "x", 1, 0600, WEFT_FILE_ATOMIC), WEFT_EISDIR);
	T_EQ(weft_file_write_all(in("none/a"), "x", 1, 0600, WEFT_FILE_ATOMIC), WEFT_ENOENT);
	return 0;
}

TEST_WORKERS(whole_files)
{
	run_net(whole, NULL);
}

/* The door of byte streams. */
static int as_stream(void *arg)
{
	weft_file *f = opened("a", O_RDWR | O_CREAT);
	weft_io io = weft_file_io(f);
	char buf[8] = {0};
	size_t done;

	(void)arg;
	T_STR_EQ(io.ops->kind, "file");
	T_EQ(weft_io_write(io, "bytes", 5, &done), 5);
	T_EQ(done, 5);
	T_EQ(weft_file_seek(f, 0, SEEK_SET), 0);
	T_EQ(weft_io_read(io, buf, sizeof buf), 5);
	T_STR_EQ(buf, "bytes");
	T_EQ(weft_io_read(io, buf, sizeof buf), 0);
	T_EQ(weft_io_shutdown(io, SHUT_WR), WEFT_ENOTSUP);
	T_EQ(weft_io_set_deadline(io, 1, 1), WEFT_ENOTSUP);
	T_EQ(weft_io_close(io), 0);
	return 0;
}

TEST_WORKERS(a_file_is_a_byte_stream)
{
	run_net(as_stream, NULL);
}

/* Threads that weft did not make, with no runtime up. */
TEST(without_a_runtime)
{
	weft_file *f;
	char buf[8] = {0};
	void *p;

	warm_up();
	T_EQ(weft_file_write_all(in("a"), "text", 4, 0600, WEFT_FILE_ATOMIC), 0);
	f = opened("a", O_RDWR);
	T_EQ(weft_file_read(f, buf, 8), 4);
	T_STR_EQ(buf, "text");
	T_EQ(weft_file_pwrite(f, "n", 1, 0, NULL), 1);
	T_EQ(weft_file_lock(f, WEFT_LOCK_EXCLUSIVE), 0);
	T_EQ(weft_file_unlock(f), 0);
	T_EQ(weft_file_sync(f), 0);
	T_EQ(weft_file_close(f), 0);
	T_EQ(weft_file_read_all(in("a"), &p, NULL), 0);
	T_STR_EQ(p, "next"); /* one letter is new */
	free(p);
	T_EQ(weft__fd_count(), 0);
}
