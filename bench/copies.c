/* SPDX-License-Identifier: MIT
 *
 * copies.c - P57: how fast are lines read, and bytes passed on from a file and from a connection to a connection?
 */
#include "bench.h"
#include "pour.h"

#include <fcntl.h>
#include <unistd.h>

#define LINE "a line of sixty bytes, as a log or a protocol of text has them\n"
#define LINES 1000

static char block[POUR_BLOCK];

/* --- lines --- */

static char text[LINES * (sizeof(LINE) - 1)];

/* GB/s of n times the text. */
static double lines_by_weft(uint64_t n)
{
	weft_rd r;
	char *line;
	int64_t start;
	uint64_t seen = 0;
	weft_membuf m;

	MUST(weft_rd_init(&r, weft_null_io(), NULL, 4096));
	start = bench_now();
	for (uint64_t i = 0; i < n; i++) {
		m = (weft_membuf){.data = text, .end = sizeof(text)};
		weft_rd_reset(&r, weft_membuf_io(&m));
		while (weft_rd_line(&r, &line) >= 0)
			seen++;
	}
	start = bench_now() - start;
	weft_rd_free(&r);
	if (seen != n * LINES)
		MUST(WEFT_EPIPE);
	return (double)(n * sizeof(text)) / (double)start;
}

/* The same by the C library, over memory. */
static double lines_by_stdio(uint64_t n)
{
	char *line = NULL;
	size_t size = 0;
	uint64_t seen = 0;
	FILE *f = bench_need(fmemopen(text, sizeof(text), "r"), "a stream");
	int64_t start = bench_now();

	for (uint64_t i = 0; i < n; i++) {
		rewind(f);
		while (getline(&line, &size, f) >= 0)
			seen++;
	}
	start = bench_now() - start;
	fclose(f);
	free(line);
	if (seen != n * LINES)
		MUST(WEFT_EPIPE);
	return (double)(n * sizeof(text)) / (double)start;
}

/* --- copies --- */

static void pair(weft_tcp **a, weft_tcp **b)
{
	weft_tcp_listener *l;
	char at[WEFT_ADDR_TEXT];
	weft_addr addr;

	MUST(weft_tcp_listen(&l, "127.0.0.1:0", NULL));
	MUST(weft_tcp_listener_addr(l, &addr));
	MUST(weft_addr_format(&addr, at, sizeof(at)));
	MUST(weft_tcp_dial(a, at));
	MUST(weft_tcp_accept(l, b));
	weft_tcp_listener_close(l);
}

static int drains(void *arg)
{
	char *buf = bench_need(malloc(POUR_BLOCK), "a block");
	ssize_t n;

	while ((n = weft_tcp_read(arg, buf, POUR_BLOCK)) > 0)
		;
	free(buf);
	return (int)n;
}

struct writer {
	weft_tcp *c;
	uint64_t blocks;
};

static int writes(void *arg)
{
	struct writer *w = arg;

	for (uint64_t i = 0; i < w->blocks; i++) {
		if (weft_tcp_write(w->c, block, sizeof(block), NULL) != (ssize_t)sizeof(block))
			MUST(WEFT_EPIPE);
	}
	weft_tcp_shutdown(w->c, SHUT_WR);
	return 0;
}

/* GB/s of n blocks of src to a connection, to the end of it. writer: writes what src is to have; NULL: it has it. */
static double copy(weft_io src, struct writer *writer, uint64_t n)
{
	weft_tcp *to, *end;
	weft_task *reads, *w = NULL;
	int64_t start;

	pair(&to, &end);
	start = bench_now();
	MUST(weft_go_opts(&reads, drains, end, NULL));
	if (writer)
		MUST(weft_go_opts(&w, writes, writer, NULL));
	if (weft_io_copy(weft_tcp_io(to), src, WEFT_COPY_ALL, NULL) != (int64_t)(n * POUR_BLOCK))
		MUST(WEFT_EPIPE);
	weft_tcp_shutdown(to, SHUT_WR);
	MUST(weft_task_join(reads, NULL));
	start = bench_now() - start;
	if (w)
		MUST(weft_task_join(w, NULL));
	weft_tcp_close(to);
	weft_tcp_close(end);
	return (double)(n * POUR_BLOCK) / (double)start;
}

static double from_file(uint64_t n)
{
	char path[] = "/tmp/weft.XXXXXX";
	weft_file *f;
	double s;

	MUST(weft_file_from_fd(&f, mkostemp(path, O_CLOEXEC)));
	unlink(path);
	for (uint64_t i = 0; i < n; i++)
		MUST((int)weft_file_write(f, block, sizeof(block), NULL));
	MUST((int)weft_file_seek(f, 0, SEEK_SET));
	s = copy(weft_file_io(f), NULL, n);
	weft_file_close(f);
	return s;
}

static double from_connection(uint64_t n)
{
	struct writer w = {.blocks = n};
	weft_tcp *src;
	double s;

	pair(&w.c, &src);
	s = copy(weft_tcp_io(src), &w, n);
	weft_tcp_close(src);
	weft_tcp_close(w.c);
	return s;
}

/* --- all of them --- */

static void measure(const struct bench *b, const char *variant, double (*fn)(uint64_t n), uint64_t n)
{
	double s[BENCH_RUNS_MAX];

	if (!bench_wanted(b, variant))
		return;
	if (b->quick)
		n /= 8;
	fn(n / 8);
	for (int i = 0; i < b->runs; i++)
		s[i] = fn(n);
	bench_report(b, "P57", variant, "GB/s", s, b->runs);
}

static int body(void *arg)
{
	for (int i = 0; i < LINES; i++)
		memcpy(text + (size_t)i * (sizeof(LINE) - 1), LINE, sizeof(LINE) - 1);
	measure(arg, "lines from memory", lines_by_weft, 8000);
	measure(arg, "lines from memory, getline(3)", lines_by_stdio, 8000);
	measure(arg, "a file to a connection", from_file, 8000);
	measure(arg, "a connection to a connection", from_connection, 8000);
	return 0;
}

int main(int argc, char **argv)
{
	return bench_main(argc, argv, body);
}
