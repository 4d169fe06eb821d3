/* SPDX-License-Identifier: MIT
 *
 * files.h - for tests of files: a directory of the test's own, and a lane whose threads are all taken.
 *
 *   in(name)              a path in that directory, made at the first call; good until its eighth next call
 *   put(name, text)       a file with that in it, past weft
 *   holds_text(name, t)   is exactly that in it?
 *   lane_fill(&l, lane)   every thread of a lane sits in a job; lane_free(&l) lets them go
 *
 * The directory is removed when the test's process ends, however it ends.
 */
#ifndef WEFT_TEST_FILES_H
#define WEFT_TEST_FILES_H

#include "net.h"

#include "base/config.h"
#include "core/offload.h"
#include "weft/file.h"
#include "weft/fs.h"
#include <ftw.h>
#include <semaphore.h>
#include <stdarg.h>
#include <sys/mount.h>

static char files_dir[PATH_MAX];
static int files_owner;

static int files_remove(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	remove(path);
	return 0;
}

static void files_end(void)
{
	if (getpid() == files_owner)
		nftw(files_dir, files_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static inline const char *in(const char *name)
{
	static __thread char path[8][PATH_MAX + 16];
	static __thread unsigned at;
	const char *tmp = getenv("TMPDIR");
	char *p = path[at++ % 8];

	if (!*files_dir) {
		snprintf(files_dir, sizeof files_dir, "%s/weft.XXXXXX", tmp ? tmp : "/tmp");
		T_OK(mkdtemp(files_dir) != NULL);
		files_owner = getpid();
		atexit(files_end);
	}
	T_LT(snprintf(p, sizeof path[0], "%s/%s", files_dir, name), sizeof path[0]);
	return p;
}

static inline void put_bytes(const char *path, const void *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	T_GE(fd, 0);
	T_EQ(write(fd, bytes, n), n);
	close(fd);
}

static inline void put(const char *name, const char *text)
{
	put_bytes(in(name), text, strlen(text));
}

static inline bool holds_text(const char *name, const char *text)
{
	char buf[4096];
	int fd = open(in(name), O_RDONLY | O_CLOEXEC);
	ssize_t n;

	T_GE(fd, 0);
	n = read(fd, buf, sizeof buf);
	close(fd);
	return n == (ssize_t)strlen(text) && memcmp(buf, text, (size_t)n) == 0;
}

static inline weft_file *opened(const char *name, int flags)
{
	weft_file *f;

	T_EQ(weft_file_open(&f, in(name), flags, 0644), 0);
	T_OK(f != NULL);
	return f;
}

/* --- a full lane --- */

struct lane_full {
	enum lane lane;
	int n;
	weft_task *task[64];
	sem_t go;
	ATOMIC(int) in; /* jobs that sit on a thread */
	struct lane_job {
		struct job job;
		struct lane_full *l;
	} job[64];
};

static inline void lane_sit(struct job *j)
{
	struct lane_full *l = container_of(j, struct lane_job, job)->l;

	add_relaxed(&l->in, 1);
	while (sem_wait(&l->go))
		;
}

static inline int lane_sitter(void *arg)
{
	struct lane_job *j = arg;

	j->job.run = lane_sit;
	return weft__offload(j->l->lane, &j->job, REASON_BLOCKING, WEFT_FOREVER);
}

static inline void lane_fill(struct lane_full *l, enum lane lane)
{
	memset(l, 0, sizeof *l);
	l->lane = lane;
	l->n = lane == LANE_FILE ? LANE_FILE_MAX : LANE_DNS_MAX;
	T_LE(l->n, ARRAY_LEN(l->job));
	sem_init(&l->go, 0, 0);
	for (int i = 0; i < l->n; i++) {
		l->job[i].l = l;
		l->task[i] = start(lane_sitter, &l->job[i]);
	}
	until(load_relaxed(&l->in) == l->n);
}

static inline void lane_free(struct lane_full *l)
{
	for (int i = 0; i < l->n; i++)
		sem_post(&l->go);
	for (int i = 0; i < l->n; i++)
		T_EQ(finish(l->task[i]), 0);
	sem_destroy(&l->go);
}

#endif
