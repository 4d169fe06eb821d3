/* SPDX-License-Identifier: MIT
 *
 * file.c - P58: what does it cost to read a file that the system has in memory, 4 KiB here and there or all of it in a row; and a call that has to take the way over a thread, or need not?
 */
#include "bench.h"

#include "filebench.h"
#include <fcntl.h>

static weft_file *file;

struct reader {
	uint64_t reads;
	uint32_t seed;
	task *t;
};

static int reads(void *arg)
{
	struct reader *r = arg;
	char *buf = bench_need(malloc(FILE_PIECE), "a piece");

	for (uint64_t i = 0; i < r->reads; i++) {
		if (weft_file_pread(file, buf, FILE_PIECE, file_somewhere(&r->seed)) != FILE_PIECE)
			MUST(WEFT_EIO);
	}
	free(buf);
	return 0;
}

static int64_t preads(uint64_t n, void *arg)
{
	static struct reader r[100];
	int tasks = *(int *)arg;
	int64_t start = bench_now();

	for (int i = 0; i < tasks; i++) {
		r[i] = (struct reader){.reads = n / (uint64_t)tasks + 1, .seed = (uint32_t)i + 1};
		MUST(weft_go_opts(&r[i].t, reads, &r[i], NULL));
	}
	for (int i = 0; i < tasks; i++)
		MUST(weft_task_join(r[i].t, NULL));
	return bench_scale(bench_now() - start, n, (n / (uint64_t)tasks + 1) * (uint64_t)tasks);
}

static int64_t in_a_row(uint64_t n, void *arg)
{
	char *buf = bench_need(malloc(FILE_BLOCK), "a block");
	int64_t start = bench_now();

	(void)arg;
	for (uint64_t i = 0; i < n; i++) {
		ssize_t got = weft_file_read(file, buf, FILE_BLOCK);

		if (got == 0)
			MUST((int)weft_file_seek(file, 0, SEEK_SET));
		MUST((int)got);
	}
	start = bench_now() - start;
	free(buf);
	return start;
}

/* Of a path nothing is known: any call may have to read a disk. */
static int64_t asks_path(uint64_t n, void *arg)
{
	int64_t start = bench_now();
	struct stat st;

	(void)arg;
	for (uint64_t i = 0; i < n; i++)
		MUST(weft_fs_stat("/tmp", &st));
	return bench_now() - start;
}

static int64_t asks(uint64_t n, void *arg)
{
	int64_t start = bench_now();
	struct stat st;

	(void)arg;
	for (uint64_t i = 0; i < n; i++)
		MUST(weft_file_stat(file, &st));
	return bench_now() - start;
}

static int body(void *arg)
{
	char path[] = "/tmp/weft-bench.XXXXXX";

	file_make(path);
	MUST(weft_file_open(&file, path, O_RDONLY, 0));
	unlink(path);
	bench_measure(arg, "P58", "4 KiB of a file, 1 task", preads, &(int){1});
	bench_measure(arg, "P58", "4 KiB of a file, 100 tasks", preads, &(int){100});
	bench_measure(arg, "P58", "64 KiB after 64 KiB", in_a_row, NULL);
	bench_measure(arg, "P58", "stat of an open file", asks, NULL);
	bench_measure(arg, "P58", "stat, by way of a thread", asks_path, NULL);
	return weft_file_close(file);
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
