/* SPDX-License-Identifier: MIT
 *
 * parallel_files.c - lines, words and bytes of the files named as arguments, or of a small tree that it makes for itself, as wc counts them; four files at a time.
 *
 * A file that cannot be read does not stop the others: it is listed at the end, and the exit status says so.  Each file is cut into blocks, which are counted by
 * as many tasks as there are workers to do it: a loop in a group.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft.h>

#define AT_A_TIME 4
#define BLOCK ((size_t)64 * 1024)
#define MADE 6

struct file {
	const char *path, *shown;
	const unsigned char *text; /* mapped */
	size_t bytes;
	atomic_size_t lines, words;
	int error;
};

static bool is_space(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Blocks from .. to: a word counts where it begins. */
static int count_blocks(size_t from, size_t to, void *arg)
{
	struct file *f = arg;
	size_t at = from * BLOCK, end = to * BLOCK < f->bytes ? to * BLOCK : f->bytes, lines = 0, words = 0;
	bool space = at == 0 || is_space(f->text[at - 1]);

	for (; at < end; at++) {
		bool now = is_space(f->text[at]);

		lines += f->text[at] == '\n';
		words += space && !now;
		space = now;
	}
	atomic_fetch_add(&f->lines, lines);
	atomic_fetch_add(&f->words, words);
	return 0;
}

static int count_open(struct file *f, int fd)
{
	struct stat st;
	int rc;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	f->bytes = (size_t)st.st_size;
	if (f->bytes == 0)
		return 0;
	f->text = mmap(NULL, f->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (f->text == MAP_FAILED)
		return -errno;
	rc = par_for((f->bytes + BLOCK - 1) / BLOCK, 1, count_blocks, f);
	munmap((void *)f->text, f->bytes);
	return rc;
}

static int count_file(void *arg)
{
	struct file *f = arg;
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		f->error = -errno;
	} else {
		f->error = count_open(f, fd);
		close(fd);
	}
	return f->error;
}

static int count_all(struct file *file, int n)
{
	size_t lines = 0, words = 0, bytes = 0;
	int failed = 0;

	WITH_GROUP (g, .policy = WEFT_COLLECT, .max = AT_A_TIME) {
		group_stat s;

		for (int i = 0; i < n; i++) {
			int rc = group_go(&g, count_file, &file[i]);

			if (rc)
				file[i].error = rc;
		}
		group_wait(&g);
		group_counts(&g, &s);
		failed = (int)s.failed;
	}
	for (int i = 0; i < n; i++) {
		if (file[i].error)
			continue;
		printf("%8zu %8zu %8zu %s\n", file[i].lines, file[i].words, file[i].bytes, file[i].shown);
		lines += file[i].lines;
		words += file[i].words;
		bytes += file[i].bytes;
	}
	printf("%8zu %8zu %8zu together\n", lines, words, bytes);
	for (int i = 0; i < n; i++) {
		if (file[i].error)
			printf("%s: %s\n", file[i].shown, weft_strerror(file[i].error));
	}
	return failed;
}

/* --- a tree to count --- */

static int fill(const char *path, int lines)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -errno;
	for (int i = 0; i < lines; i++)
		fprintf(f, "line %d of %d\n", i + 1, lines);
	return fclose(f) == 0 ? 0 : -errno;
}

static int count_made(void)
{
	char dir[] = "/tmp/parallel_files.XXXXXX", sub[64], path[MADE + 1][96];
	static const char *const name[MADE + 1] = {"a", "b", "c", "empty", "sub/d", "sub/large", "missing"};
	static const int lines[MADE] = {1, 20, 300, 0, 4000, 50000};
	struct file file[MADE + 2];
	int failed;

	if (!mkdtemp(dir))
		return 1;
	snprintf(sub, sizeof sub, "%s/sub", dir);
	if (mkdir(sub, 0700) != 0)
		return 1;
	memset(file, 0, sizeof file);
	for (int i = 0; i <= MADE; i++) {
		snprintf(path[i], sizeof path[i], "%s/%s", dir, name[i]);
		if (i < MADE && fill(path[i], lines[i]) != 0)
			return 1;
		file[i].path = path[i];
		file[i].shown = name[i];
	}
	file[MADE + 1].path = sub; /* which is no file */
	file[MADE + 1].shown = "sub";
	failed = count_all(file, MADE + 2);
	for (int i = 0; i < MADE; i++)
		unlink(path[i]);
	rmdir(sub);
	rmdir(dir);
	return failed != 2;
}

WEFT_MAIN(argc, argv)
{
	struct file *file;
	int failed;

	if (argc < 2)
		return count_made();
	file = calloc((size_t)argc, sizeof *file);
	if (!file)
		return 1;
	for (int i = 1; i < argc; i++)
		file[i - 1].path = file[i - 1].shown = argv[i];
	failed = count_all(file, argc - 1);
	free(file);
	return failed != 0;
}
