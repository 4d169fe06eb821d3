/* SPDX-License-Identifier: MIT
 *
 * file_wait.c - files and who waits for them: turns, many at once, cancel and deadlines before a thread begins and after, close and the end of the runtime in the middle,
 * FIFOs and devices, locks.
 */
#include "files.h"

#include "base/rand.h"
#include <pthread.h>
#include <sys/file.h>

/* --- many at once --- */

enum { BYTES = 1 << 20, LETTERS = 5000 };

static unsigned char pattern[BYTES];

static void pattern_make(const char *name)
{
	for (int i = 0; i < BYTES; i++)
		pattern[i] = (unsigned char)(i * 13 + i / 4099);
	put_bytes(in(name), pattern, BYTES);
}

static weft_file *shared;
static ATOMIC(int) counter;

static int preader(void *arg)
{
	unsigned char buf[4096];
	struct rng r;

	rng_seed(&r, 7, (uint64_t)(uintptr_t)arg);
	for (int i = 0; i < 20; i++) {
		size_t n = 1 + rng_below(&r, sizeof buf), at = rng_below(&r, BYTES - sizeof buf);

		if (i % 7 == 0)
			posix_fadvise(weft_file_fd(shared), (off_t)at, (off_t)n, POSIX_FADV_DONTNEED);
		T_EQ(weft_file_pread(shared, buf, n, (int64_t)at), n);
		T_EQ(memcmp(buf, pattern + at, n), 0);
	}
	return 0;
}

static int many_preads(void *arg)
{
	enum { N = 200 };
	weft_task *t[N];

	(void)arg;
	pattern_make("a");
	shared = opened("a", O_RDONLY);
	T_EQ(weft_file_sync(shared), 0);
	posix_fadvise(weft_file_fd(shared), 0, 0, POSIX_FADV_DONTNEED);
	for (int i = 0; i < N; i++)
		t[i] = start(preader, (void *)(uintptr_t)i);
	for (int i = 0; i < N; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(weft_file_close(shared), 0);
	return 0;
}

TEST_WORKERS(many_tasks_read_at_once)
{
	run_net(many_preads, NULL);
}

/* Readers at one position: each byte is somebody's, once. */
static int in_turn(void *arg)
{
	int *sum = arg;
	unsigned char x[3];
	ssize_t n;

	while ((n = weft_file_read(shared, x, 3)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			*sum += x[i];
		add_relaxed(&counter, (int)n);
	}
	T_EQ(n, 0);
	return 0;
}

static int block_writer(void *arg)
{
	char block[1000];
	struct iovec v[2] = {{block, 300}, {block + 300, 700}};

	memset(block, (int)(intptr_t)arg, sizeof block);
	for (int i = 0; i < 20; i++)
		T_EQ(i % 2 ? weft_file_write(shared, block, sizeof block, NULL) : weft_file_writev(shared, v, 2, NULL), sizeof block);
	return 0;
}

static int turns(void *arg)
{
	enum { N = 10 };
	weft_task *t[N];
	char *back;
	int sum[N] = {0}, all = 0, want = 0;
	void *p;

	(void)arg;
	pattern_make("a");
	for (int i = 0; i < LETTERS; i++)
		want += pattern[i];
	T_EQ(truncate(in("a"), LETTERS), 0);
	shared = opened("a", O_RDWR);
	store_relaxed(&counter, 0);
	for (int i = 0; i < N; i++)
		t[i] = start(in_turn, &sum[i]);
	for (int i = 0; i < N; i++) {
		T_EQ(finish(t[i]), 0);
		all += sum[i];
	}
	T_EQ(load_relaxed(&counter), LETTERS);
	T_EQ(all, want);
	T_EQ(weft_file_truncate(shared, 0), 0);
	T_EQ(weft_file_seek(shared, 0, SEEK_SET), 0);
	for (int i = 0; i < N; i++)
		t[i] = start(block_writer, (void *)(intptr_t)('a' + i));
	for (int i = 0; i < N; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(weft_file_close(shared), 0);
	T_EQ(weft_file_read_all(in("a"), &p, NULL), 0);
	back = p;
	T_EQ(strlen(back), N * 20 * 1000);
	for (int i = 0; i < N * 20; i++)
		T_EQ(memcmp(back + (size_t)i * 1000, back + (size_t)i * 1000 + 1, 999), 0);
	free(p);
	return 0;
}

TEST_WORKERS(readers_and_writers_take_turns)
{
	run_net(turns, NULL);
}

/* Names that take their time hold up no file. */
static int dns_stuck(void *arg)
{
	static struct lane_full l;
	weft_task *t[1000];
	long n = tap_iters(ARRAY_LEN(t));

	(void)arg;
	pattern_make("a");
	shared = opened("a", O_RDONLY);
	lane_fill(&l, LANE_DNS);
	for (long i = 0; i < n; i++)
		t[i] = start(preader, (void *)(uintptr_t)i);
	for (long i = 0; i < n; i++)
		T_EQ(finish(t[i]), 0);
	lane_free(&l);
	T_EQ(weft_file_close(shared), 0);
	return 0;
}

TEST_WORKERS(a_stuck_lane_of_names_holds_up_no_file)
{
	run_net(dns_stuck, NULL);
}

/* --- cancel and deadlines --- */

struct call {
	const char *name;
	int (*fn)(weft_file *f, int64_t deadline);
};

static char room[200000];
static char rooms[64][sizeof room]; /* of those that read at the same time */
static ATOMIC(unsigned) taken;

static char *own_room(void)
{
	return rooms[add_relaxed(&taken, 1u) % ARRAY_LEN(rooms)]; /* a counter */
}

static int call_pread(weft_file *f, int64_t d)
{
	return (int)weft_file_pread_until(f, own_room(), sizeof room, 0, d); /* too much for the cache to be asked */
}

static int call_read(weft_file *f, int64_t d)
{
	return (int)weft_file_read_until(f, own_room(), sizeof room, d);
}

static int call_write(weft_file *f, int64_t d)
{
	size_t done = 9;
	int rc = (int)weft_file_write_until(f, "w", 1, &done, d);

	T_EQ(done, rc == 1);
	return rc;
}

static int call_pwrite(weft_file *f, int64_t d)
{
	return (int)weft_file_pwrite_until(f, "w", 1, 0, NULL, d);
}

static int call_sync(weft_file *f, int64_t d)
{
	return weft_file_sync_until(f, d);
}

static int call_seek(weft_file *f, int64_t d)
{
	return (int)weft_file_seek_until(f, 0, SEEK_END, d);
}

static int call_open(weft_file *f, int64_t d)
{
	weft_file *other;
	int rc = weft_file_open_until(&other, in("made"), O_RDWR | O_CREAT, 0600, d);

	(void)f;
	T_EQ(other != NULL, rc == 0);
	T_EQ(access(in("made"), F_OK) == 0, rc == 0);
	T_EQ(weft_file_close(other), 0);
	unlink(in("made"));
	return rc;
}

static int call_read_all(weft_file *f, int64_t d)
{
	void *p;
	int rc = weft_file_read_all_until(in("a"), &p, NULL, d);

	(void)f;
	T_EQ(p != NULL, rc == 0);
	free(p);
	return rc;
}

static int call_rename(weft_file *f, int64_t d)
{
	int rc = weft_fs_rename_until(in("b"), in("c"), d);

	(void)f;
	T_EQ(access(in("c"), F_OK) == 0, rc == 0);
	if (rc == 0)
		T_EQ(rename(in("c"), in("b")), 0);
	return rc;
}

static int call_walk(weft_file *f, int64_t d);

static const struct call calls[] = {
	{"pread", call_pread}, {"read", call_read}, {"write", call_write},       {"pwrite", call_pwrite}, {"sync", call_sync},
	{"seek", call_seek},   {"open", call_open}, {"read_all", call_read_all}, {"rename", call_rename}, {"walk", call_walk},
};

static int visited(const char *path, const weft_dirent *e, int error, void *arg)
{
	(void)path;
	(void)e;
	(void)arg;
	return error;
}

static int call_walk(weft_file *f, int64_t d)
{
	(void)f;
	return weft_fs_walk_until(in("."), visited, NULL, d);
}

struct caller {
	const struct call *call;
	weft_file *f;
	int64_t deadline;
};

static int caller(void *arg)
{
	struct caller *c = arg;

	return c->call->fn(c->f, c->deadline);
}

/* All threads of the lane are taken: a call waits for one, and is given up. */
static int queued(void *arg)
{
	static struct lane_full l;
	weft_file *f;

	(void)arg;
	put("a", "abc");
	put("b", "b");
	f = opened("a", O_RDWR);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		struct caller c = {&calls[i], f, WEFT_FOREVER};
		weft_ctx *ctx;
		weft_task *t;

		tap_note("%s", calls[i].name);
		lane_fill(&l, LANE_FILE);
		t = start(caller, &c);
		until_reason(t, "file");
		T_EQ(weft_task_cancel(t), 0);
		T_EQ(finish(t), WEFT_ECANCELED);
		c.deadline = weft_in(2 * WEFT_MS);
		T_EQ(finish(start(caller, &c)), WEFT_ETIMEDOUT);
		c.deadline = weft_now() - 1;
		T_EQ(finish(start(caller, &c)), WEFT_ETIMEDOUT);
		c.deadline = WEFT_NOW;
		T_EQ(finish(start(caller, &c)), WEFT_EAGAIN);
		c.deadline = WEFT_FOREVER;
		ctx = weft_ctx_with_deadline(NULL, weft_in(2 * WEFT_MS));
		T_EQ(weft_go_opts(&t, caller, &c, &(weft_task_opts){.ctx = ctx}), 0);
		T_EQ(finish(t), WEFT_ETIMEDOUT);
		weft_ctx_free(ctx);
		t = start(caller, &c); /* and this one has time */
		until_reason(t, "file");
		lane_free(&l);
		T_GE(finish(t), 0);
		T_EQ(weft_file_seek(f, 0, SEEK_SET), 0);
	}
	T_EQ(weft_file_close(f), 0);
	return 0;
}

TEST_WORKERS(given_up_while_it_waits_for_a_thread)
{
	run_net(queued, NULL);
}

static int cancelled_caller(void *arg)
{
	weft_task_cancel(weft_task_self());
	return caller(arg);
}

static int before(void *arg)
{
	weft_file *f;

	(void)arg;
	put("a", "abc");
	put("b", "b");
	f = opened("a", O_RDWR);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		struct caller c = {&calls[i], f, WEFT_FOREVER};

		tap_note("%s", calls[i].name);
		T_EQ(finish(start(cancelled_caller, &c)), WEFT_ECANCELED);
	}
	T_OK(holds_text("a", "abc"));
	T_EQ(weft_file_close(f), 0);
	return 0;
}

TEST_WORKERS(cancelled_before_it_begins)
{
	run_net(before, NULL);
}

/* Past its deadline no call of weft/file.h and weft/fs.h begins. Those that `calls` has are not here. */
static int late(void *arg)
{
	const struct timespec times[2] = {{1, 0}, {1, 0}};
	char path[PATH_MAX + 16], buf[100] = "";
	struct iovec v = {buf, 3};
	struct stat was, st;
	size_t done = 9;
	weft_file *f, *other;
	weft_dirent e;
	weft_dir *dir;
	char **paths;
	int64_t d;

	(void)arg;
	put("a", "abc");
	put("b", "b");
	T_EQ(mkdir(in("there"), 0700), 0);
	T_EQ(symlink("a", in("to a")), 0);
	f = opened("a", O_RDWR);
	T_EQ(weft_dir_open(&dir, in("there")), 0);
	T_EQ(stat(in("a"), &was), 0);
	d = weft_now() - 1;
	T_EQ(weft_file_readv_until(f, &v, 1, d), WEFT_ETIMEDOUT);
	T_EQ(weft_file_preadv_until(f, &v, 1, 0, d), WEFT_ETIMEDOUT);
	T_EQ(weft_file_writev_until(f, &v, 1, &done, d), WEFT_ETIMEDOUT);
	T_EQ(done, 0);
	T_EQ(weft_file_pwritev_until(f, &v, 1, 0, &done, d), WEFT_ETIMEDOUT);
	T_EQ(done, 0);
	T_EQ(weft_file_datasync_until(f, d), WEFT_ETIMEDOUT);
	T_EQ(weft_file_truncate_until(f, 0, d), WEFT_ETIMEDOUT);
	T_EQ(weft_file_allocate_until(f, 0, 0, 4096, d), WEFT_ETIMEDOUT);
	T_EQ(weft_file_stat_until(f, &st, d), WEFT_ETIMEDOUT);
	T_EQ(weft_file_chmod_until(f, 0400, d), WEFT_ETIMEDOUT);
	T_EQ(weft_file_chown_until(f, getuid(), getgid(), d), WEFT_ETIMEDOUT);
	T_EQ(weft_file_utimes_until(f, times, d), WEFT_ETIMEDOUT);
	T_EQ(weft_file_lock_until(f, WEFT_LOCK_EXCLUSIVE, d), WEFT_ETIMEDOUT);
	snprintf(path, sizeof path, "%s", in("made.XXXXXX"));
	T_EQ(weft_file_temp_until(&other, path, d), WEFT_ETIMEDOUT);
	T_OK(!other);
	T_EQ(weft_file_write_all_until(in("made"), "x", 1, 0600, 0, d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_stat_until(in("a"), &st, d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_lstat_until(in("a"), &st, d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_exists_until(in("a"), d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_access_until(in("a"), R_OK, d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_realpath_until(in("a"), buf, sizeof buf, d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_readlink_until(in("to a"), buf, sizeof buf, d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_unlink_until(in("a"), d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_link_until(in("a"), in("made"), d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_symlink_until("a", in("made"), d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_chmod_until(in("a"), 0400, d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_chown_until(in("a"), getuid(), getgid(), d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_utimes_until(in("a"), times, d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_truncate_until(in("a"), 0, d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_copy_until(in("a"), in("made"), 0, d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_mkdir_until(in("made"), 0700, d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_mkdir_all_until(in("made/made"), 0700, d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_rmdir_until(in("there"), d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_remove_all_until(in("there"), d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_temp_dir_until(path, d), WEFT_ETIMEDOUT);
	T_EQ(weft_fs_glob_until(in("*"), &paths, d), WEFT_ETIMEDOUT);
	T_EQ(weft_dir_next_until(dir, &e, d), WEFT_ETIMEDOUT);
	T_EQ(weft_dir_close(dir), 0);
	T_EQ(weft_dir_open_until(&dir, in("there"), d), WEFT_ETIMEDOUT);
	T_OK(!dir);
	T_EQ(weft_file_close(f), 0);
	T_STR_HAS(path, "made.XXXXXX");
	T_OK(access(in("made"), F_OK) != 0 && access(in("there"), F_OK) == 0 && holds_text("a", "abc"));
	T_EQ(stat(in("a"), &st), 0);
	T_EQ(st.st_mode, was.st_mode);
	T_EQ(st.st_nlink, was.st_nlink);
	T_EQ(st.st_mtim.tv_sec, was.st_mtim.tv_sec);
	return 0;
}

TEST_WORKERS(none_begins_past_its_deadline)
{
	run_net(late, NULL);
}

static int opener(void *arg)
{
	return weft_file_open(arg, in("a"), O_RDONLY, 0);
}

/* A thread is in the system call, which waits for another's lease: the call is waited for, and says what it did. */
static int running(void *arg)
{
	weft_file *f = NULL;
	weft_task *t;
	int fd;

	(void)arg;
	signal(SIGIO, SIG_IGN);
	put("a", "abc");
	fd = open(in("a"), O_RDWR | O_CLOEXEC);
	if (fcntl(fd, F_SETLEASE, F_WRLCK)) {
		close(fd);
		return 1;
	}
	t = start(opener, &f);
	until(fcntl(fd, F_GETLEASE) == F_RDLCK); /* the kernel asks for it back */
	T_EQ(weft_task_cancel(t), 0);
	for (int i = 0; i < 10; i++)
		let_run();
	until_parked(t); /* again, however long it takes to hear of the cancel */
	T_EQ(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
	T_EQ(finish(t), 0);
	T_EQ(weft_file_close(f), 0);
	close(fd);
	return 0;
}

TEST_WORKERS(cancelled_while_it_runs_it_is_waited_for)
{
	if (run_net_with(running, NULL, (weft_opts){.workers = 0}))
		tap_skip("no leases on this file system");
}

/* What the cache has needs no thread. */
static int cached(void *arg)
{
	static struct lane_full l;
	char buf[8] = {0};
	weft_file *f;
	ssize_t n;

	(void)arg;
	put("a", "cached");
	f = opened("a", O_RDONLY);
	T_EQ(weft_file_pread(f, buf, 6, 0), 6);
	lane_fill(&l, LANE_FILE);
	n = weft_file_pread_until(f, buf, 6, 0, WEFT_NOW);
	if (n == WEFT_EAGAIN) {
		lane_free(&l);
		T_EQ(weft_file_close(f), 0);
		return 1;
	}
	T_EQ(n, 6);
	T_EQ(weft_file_read_until(f, buf, 4, WEFT_NOW), 4);
	T_EQ(weft_file_read(f, buf, 8), 2);
	T_STR_EQ(buf, "edched");
	T_EQ(weft_file_read(f, buf, 8), 0);
	T_EQ(weft_file_pread(f, buf, 8, 100), 0);
	lane_free(&l);
	T_EQ(weft_file_close(f), 0);
	return 0;
}

TEST_WORKERS(what_is_cached_needs_no_thread)
{
	if (run_net_with(cached, NULL, (weft_opts){.workers = 0}))
		tap_skip("this file system does not say what it has cached");
}

/* --- close in the middle --- */

static int closer(void *arg)
{
	return weft_file_close(arg);
}

static int close_during(void *arg)
{
	static struct lane_full l;
	struct caller pread = {&calls[0], NULL, WEFT_FOREVER}, read = {&calls[1], NULL, WEFT_FOREVER};
	weft_task *a, *b, *c, *d;
	weft_file *f;

	(void)arg;
	put("a", "abc");
	f = opened("a", O_RDWR);
	pread.f = read.f = f;
	lane_fill(&l, LANE_FILE);
	a = start(caller, &pread);
	until_reason(a, "file");
	b = start(caller, &read);
	until_reason(b, "file");
	c = start(caller, &read); /* waits for its turn */
	until_reason(c, "file");
	d = start(closer, f);
	T_EQ(finish(c), WEFT_ECLOSED);
	until_parked(d);
	lane_free(&l);
	T_EQ(finish(a), 3);
	T_EQ(finish(b), 3);
	T_EQ(finish(d), 0);
	return 0;
}

TEST_WORKERS(close_waits_for_what_is_under_way)
{
	run_net(close_during, NULL);
}

static struct rng turn;
static weft_file *own[5]; /* NULL: its closer has begun */

static int closes_own(void *arg)
{
	weft_file **at = arg, *f = *at;

	*at = NULL;
	return weft_file_close(f);
}

static int asks_size(void *arg)
{
	struct stat st;

	return weft_file_stat(arg, &st);
}

/* Calls that have descriptors of their own meanwhile. */
static char path_a[PATH_MAX], path_copy[PATH_MAX], path_dir[PATH_MAX]; /* made before the tasks are, for in() is one thread's */

static int opens_and_closes(void *arg)
{
	weft_file *f;

	(void)arg;
	return weft_file_open(&f, path_a, O_RDONLY, 0) || weft_file_close(f);
}

static int reads_dir(void *arg)
{
	weft_dir *d;

	(void)arg;
	return weft_dir_open(&d, path_dir) || weft_dir_close(d);
}

static int reads_whole(void *arg)
{
	void *p = NULL;
	int rc = weft_file_read_all(arg, &p, NULL);

	free(p);
	return rc;
}

static int writes_whole(void *arg)
{
	return weft_file_write_all(arg, room, sizeof room, 0600, 0);
}

static int copies(void *arg)
{
	(void)arg;
	return weft_fs_copy(path_a, path_copy, 0);
}

/* The runtime goes down while a call is queued, another at its turn, and one runs: nothing is left, and the file can be used and closed afterwards. */
static int go_down(void *arg)
{
	static struct caller c[3];
	static char fifo[PATH_MAX], full[PATH_MAX];
	weft_file **f = arg;

	put("a", "abc");
	mkfifo(in("fifo"), 0600); /* or it is there already */
	mkfifo(in("full"), 0600);
	strcpy(path_a, in("a"));
	strcpy(path_copy, in("copy"));
	strcpy(path_dir, in("."));
	strcpy(fifo, in("fifo"));
	strcpy(full, in("full"));
	*f = opened("a", O_RDWR);
	f[1] = opened("full", O_RDWR); /* takes less than is written */
	for (int i = 0; i < 3; i++)
		c[i] = (struct caller){&calls[i], *f, WEFT_FOREVER};
	for (int i = 0; i < 60; i++)
		weft_task_detach(start(caller, &c[i % 3]));
	for (int i = 0; i < 5; i++) { /* closed while a call of theirs is queued */
		own[i] = opened("a", O_RDWR);
		weft_task_detach(start(asks_size, own[i]));
	}
	for (int i = 0; i < 25; i++) {
		weft_task_detach(start(opens_and_closes, NULL));
		weft_task_detach(start(reads_dir, NULL));
		weft_task_detach(start(reads_whole, i % 5 ? path_a : fifo));
		weft_task_detach(start(writes_whole, full));
		weft_task_detach(start(copies, NULL));
	}
	weft_task_yield();
	for (int i = 0; i < 5; i++)
		weft_task_detach(start(closes_own, &own[i]));
	for (unsigned i = rng_below(&turn, 4); i > 0; i--)
		weft_task_yield();
	return 0;
}

TEST_WORKERS(the_runtime_goes_down_in_the_middle)
{
	static char buf[sizeof room];

	ends_with_main();
	for (long i = tap_iters(20); i > 0; i--) {
		weft_file *f[2];
		int fds;

		warm_up();
		rng_seed(&turn, 11, (uint64_t)i);
		fds = rt_fds();
		T_EQ(weft_run(go_down, f, &(weft_opts){.workers = tap_workers()}), 0);
		nothing_left();
		T_GE(weft_file_seek(f[0], 0, SEEK_SET), 0);
		T_GE(weft_file_read(f[0], buf, sizeof buf), 3);
		T_EQ(weft_file_close(f[0]), 0);
		T_EQ(weft_file_close(f[1]), 0);
		for (int j = 0; j < 5; j++)
			T_EQ(weft_file_close(own[j]), 0);
		T_EQ(rt_fds(), fds);
		T_EQ(weft__fd_count(), 0);
	}
}

struct foreign_close {
	struct lane_full l;
	struct caller c;
	pthread_t thread;
	int rc;
};

static void *foreign_closer(void *arg)
{
	struct foreign_close *k = arg;

	k->rc = weft_file_close(k->c.f);
	return NULL;
}

static int foreign_close_main(void *arg)
{
	struct foreign_close *k = arg;
	weft_task *t;

	put("a", "abc");
	k->c = (struct caller){&calls[1], opened("a", O_RDWR), WEFT_FOREVER};
	lane_fill(&k->l, LANE_FILE);
	t = start(caller, &k->c);
	until_reason(t, "file");
	T_EQ(pthread_create(&k->thread, NULL, foreign_closer, k), 0);
	until(load_acquire(&record_of(k->c.f)->use) & FD_CLOSED);
	weft_task_detach(t);
	for (int i = 0; i < k->l.n; i++) {
		weft_task_detach(k->l.task[i]);
		sem_post(&k->l.go);
	}
	return 0;
}

/* A foreign thread's close waits for a call that the end of the runtime cuts off: it is told of that. */
TEST_WORKERS(foreign_close_when_the_runtime_goes_down)
{
	static struct foreign_close k;

	for (long i = tap_iters(20); i > 0; i--) {
		int fds;

		warm_up();
		fds = rt_fds();
		T_EQ(weft_run(foreign_close_main, &k, &(weft_opts){.workers = tap_workers()}), 0);
		pthread_join(k.thread, NULL);
		T_EQ(k.rc, 0);
		nothing_left();
		T_EQ(rt_fds(), fds);
		T_EQ(weft__fd_count(), 0);
	}
}

/* --- what is no file on a disk --- */

static int fifo_reader(void *arg)
{
	weft_file *f;
	char buf[16];
	ssize_t n;

	T_EQ(weft_file_open(&f, arg, O_RDONLY, 0), 0);
	n = weft_file_read(f, buf, sizeof buf); /* nobody writes yet */
	T_EQ(n, 5);
	T_EQ(memcmp(buf, "hello", 5), 0);
	n = weft_file_read(f, buf, sizeof buf);
	T_EQ(n, 0);
	T_EQ(weft_file_close(f), 0);
	return 0;
}

static int read_ten(void *arg)
{
	char buf[10];

	return (int)weft_file_read(arg, buf, sizeof buf);
}

static int fifos(void *arg)
{
	const char *path = in("fifo");
	static struct lane_full l;
	weft_file *r, *w;
	weft_task *t;
	char big[70000] = {0};
	size_t done;
	void *p;

	(void)arg;
	T_EQ(mkfifo(path, 0600), 0);
	T_EQ(weft_file_open(&w, path, O_WRONLY, 0), WEFT_ENXIO);
	r = opened("fifo", O_RDONLY);
	T_EQ(weft_file_read_until(r, big, 10, WEFT_NOW), WEFT_EAGAIN); /* nobody has been there */
	T_EQ(weft_file_read_until(r, big, 10, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_file_close(opened("fifo", O_WRONLY)), 0);
	T_EQ(weft_file_read_until(r, big, 10, WEFT_NOW), 0); /* and gone */
	T_EQ(weft_file_close(r), 0);
	t = start(fifo_reader, (void *)path);
	until_reason(t, "read");
	T_EQ(weft_file_open(&w, path, O_WRONLY, 0), 0);
	T_EQ(weft_file_write(w, "hello", 5, &done), 5);
	T_EQ(done, 5);
	T_EQ(weft_file_close(w), 0);
	T_EQ(finish(t), 0);
	/* it waits like a connection, however many do */
	r = opened("fifo", O_RDONLY);
	w = opened("fifo", O_WRONLY);
	lane_fill(&l, LANE_FILE);
	T_EQ(weft_file_write(w, "x", 1, NULL), 1);
	T_EQ(weft_file_read(r, big, 10), 1);
	T_EQ(weft_file_read_until(r, big, 10, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_file_read_until(r, big, 10, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_file_pread(r, big, 1, 0), WEFT_ESPIPE);
	T_EQ(weft_file_pwrite(w, big, 1, 0, NULL), WEFT_ESPIPE);
	T_EQ(weft_file_seek(r, 0, SEEK_SET), WEFT_ESPIPE);
	T_EQ(weft_file_lock(r, WEFT_LOCK_SHARED), WEFT_ENOTSUP);
	t = start(read_ten, r);
	until_reason(t, "read");
	T_EQ(weft_file_set_deadline(r, 1, WEFT_FOREVER), 0);
	T_EQ(finish(t), WEFT_ETIMEDOUT);
	T_EQ(weft_file_set_deadline(r, WEFT_FOREVER, WEFT_FOREVER), 0);
	t = start(read_ten, r);
	until_reason(t, "read");
	T_EQ(weft_file_close(r), 0);
	T_EQ(finish(t), WEFT_ECLOSED);
	T_EQ(weft_file_write(w, big, sizeof big, &done), WEFT_EPIPE);
	T_EQ(done, 0);
	T_EQ(weft_file_close(w), 0);
	lane_free(&l);
	/* whole, through a FIFO */
	r = opened("fifo", O_RDWR);
	T_EQ(weft_file_write_all(path, "all", 3, 0, 0), 0);
	T_EQ(read_ten(r), 3);
	T_EQ(weft_file_close(r), 0);
	T_EQ(weft_file_read_all_until(path, &p, NULL, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	return 0;
}

TEST_WORKERS(fifos_wait_like_connections)
{
	run_net(fifos, NULL);
}

/* Whoever sits in open(2) of the other end meets one that opens it once, and stays. */
static void *plain_reader(void *arg)
{
	int fd = open(arg, O_RDONLY | O_CLOEXEC);
	ssize_t n, all = 0;
	char buf[1000];

	while ((n = read(fd, buf, sizeof buf)) > 0)
		all += n;
	close(fd);
	return (void *)all;
}

static void *plain_writer(void *arg)
{
	int fd = open(arg, O_WRONLY | O_CLOEXEC);
	ssize_t n = write(fd, "text", 4);

	close(fd);
	return (void *)n;
}

static int whole_fifos(void *arg)
{
	static char big[100000];
	const char *path = in("fifo");
	pthread_t th;
	void *p;
	int rc;

	(void)arg;
	signal(SIGPIPE, SIG_IGN);
	T_EQ(mkfifo(path, 0600), 0);
	for (long i = tap_iters(50); i > 0; i--) {
		T_EQ(pthread_create(&th, NULL, plain_reader, (void *)path), 0);
		while ((rc = weft_file_write_all(path, big, sizeof big, 0, 0)) == WEFT_ENXIO)
			weft_task_yield();
		T_EQ(rc, 0);
		pthread_join(th, &p);
		T_EQ((ssize_t)p, sizeof big);
		T_EQ(pthread_create(&th, NULL, plain_writer, (void *)path), 0);
		T_EQ(weft_file_read_all(path, &p, NULL), 0);
		T_STR_EQ(p, "text");
		free(p);
		pthread_join(th, &p);
		T_EQ((ssize_t)p, 4);
	}
	T_EQ(weft_fs_copy(path, in("b"), 0), WEFT_EINVAL);
	return 0;
}

TEST_WORKERS(a_fifo_is_opened_once)
{
	run_net(whole_fifos, NULL);
}

static int devices(void *arg)
{
	static char buf[200000];
	weft_file *f, *end;
	int fd[2];

	(void)arg;
	memset(buf, 1, sizeof buf);
	T_EQ(weft_file_open(&f, "/dev/zero", O_RDONLY, 0), 0);
	T_EQ(weft_file_read(f, buf, sizeof buf), sizeof buf);
	T_EQ(buf[sizeof buf - 1], 0);
	T_EQ(weft_file_close(f), 0);
	T_EQ(weft_file_open(&f, "/dev/null", O_RDWR, 0), 0);
	T_EQ(weft_file_write(f, buf, sizeof buf, NULL), sizeof buf);
	T_EQ(weft_file_read(f, buf, 1), 0);
	T_EQ(weft_file_close(f), 0);
	T_EQ(weft_file_open(&f, "/dev/urandom", O_RDONLY, 0), 0);
	T_EQ(weft_file_read(f, buf, 100), 100);
	T_EQ(weft_file_close(f), 0);
	T_EQ(pipe2(fd, O_CLOEXEC), 0); /* blocking: weft sees to that */
	T_EQ(weft_file_from_fd(&f, fd[0]), 0);
	T_EQ(weft_file_from_fd(&end, fd[1]), 0);
	T_EQ(weft_file_read_until(f, buf, 1, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_file_write(end, "p", 1, NULL), 1);
	T_EQ(weft_file_read(f, buf, 10), 1);
	T_EQ(weft_file_close(end), 0);
	T_EQ(weft_file_read(f, buf, 10), 0);
	T_EQ(weft_file_close(f), 0);
	return 0;
}

TEST_WORKERS(devices_and_pipes)
{
	run_net(devices, NULL);
}

/* --- locks --- */

static int locker(void *arg)
{
	return weft_file_lock(arg, WEFT_LOCK_EXCLUSIVE);
}

static int locks(void *arg)
{
	weft_file *a = opened("a", O_RDWR | O_CREAT), *b = opened("a", O_RDWR), *c;
	weft_task *t;

	(void)arg;
	T_EQ(weft_file_lock(a, WEFT_LOCK_SHARED), 0);
	T_EQ(weft_file_lock_until(b, WEFT_LOCK_SHARED, WEFT_NOW), 0);
	T_EQ(weft_file_unlock(b), 0);
	T_EQ(weft_file_lock_until(b, WEFT_LOCK_EXCLUSIVE, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_file_lock_until(b, WEFT_LOCK_EXCLUSIVE, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_file_lock_until(b, WEFT_LOCK_EXCLUSIVE, 1), WEFT_ETIMEDOUT);
	t = start(locker, b);
	until_reason(t, "file");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	t = start(locker, b);
	until_reason(t, "file");
	T_EQ(weft_file_unlock(a), 0);
	T_EQ(finish(t), 0);
	T_EQ(flock(weft_file_fd(a), LOCK_SH | LOCK_NB), -1);
	T_EQ(weft_file_close(b), 0); /* gives it back */
	T_EQ(weft_file_lock(a, WEFT_LOCK_EXCLUSIVE), 0);
	c = opened("a", O_RDWR);
	t = start(locker, weft_file_ref(c));
	until_reason(t, "file");
	T_EQ(weft_file_close(c), 0);
	T_EQ(finish(t), WEFT_ECLOSED);
	T_EQ(weft_file_close(c), WEFT_ECLOSED);
	T_EQ(weft_file_close(a), 0);
	return 0;
}

TEST_WORKERS(locks_between_files)
{
	run_net(locks, NULL);
}
