/* SPDX-License-Identifier: MIT
 *
 * word_count.c - the words of a log, counted, with a bar that says how far it is.
 *
 *     word_count [BYTES]     1G, 200M, 64K; 256K without one
 *
 * The log is made first, in TMPDIR, as a file without a name, so that it is gone when the program is. Whoever writes it counts, too: in the end both must agree.
 *
 * Lines come out of the file, those that are comments are left out, the words of the others are counted: a source, a stage and a sink, all in one task. Another task looks ten times a second
 * at the file's position and at the pipeline's rate, and draws the bar (on standard error).
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>

#define WORD 16   /* bytes of the longest, with an end */
#define PLACES 64 /* for different ones */
#define LINE 256  /* bytes of the longest */

struct word {
	char text[WORD];
	uint64_t count; /* 0: a free place */
};

struct tally {
	struct word word[PLACES];
	uint64_t lines;
};

static int count(struct tally *t, const char *word, size_t len)
{
	uint32_t h = 2166136261u;

	if (len >= WORD)
		return WEFT_ENOBUFS;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)word[i]) * 16777619u;
	for (size_t k = 0; k < PLACES; k++) {
		size_t at = (h + k) % PLACES;

		if (!t->word[at].count)
			memcpy(t->word[at].text, word, len);
		if (memcmp(t->word[at].text, word, len) == 0 && !t->word[at].text[len]) {
			t->word[at].count++;
			return 0;
		}
	}
	return WEFT_ENOBUFS;
}

/* --- the log --- */

static const char *draw(const char *const *words, uint32_t n, uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return words[(*seed >> 16) % n];
}

/* Lines until there are so many bytes; what it has written is told to t and *written. */
static int write_log(weft_io to, uint64_t bytes, struct tally *t, uint64_t *written)
{
	static const char *const level[] = {"info", "info", "info", "info", "warn", "error"};
	static const char *const part[] = {"auth", "cart", "mail", "search", "store"};
	static const char *const what[] = {"accepted", "opened", "closed", "retried", "refused", "late"};
	uint32_t seed = 1;
	uint64_t sum = 0;
	weft_wr out;
	int rc = wr_init(&out, to, NULL, 65536);

	if (rc != 0)
		return rc;
	while (sum < bytes && rc == 0) {
		const char *word[] = {draw(level, 6, &seed), draw(part, 5, &seed), draw(what, 6, &seed)};
		ssize_t n = wr_printf(&out, "%" PRIu64 " %s %s: %s\n", sum, word[0], word[1], word[2]);

		for (int i = 0; i < 3 && n >= 0; i++)
			rc = count(t, word[i], strlen(word[i]));
		sum += n < 0 ? 0 : (uint64_t)n;
		if (n >= 0 && ++t->lines % 1000 == 0) {
			n = wr_printf(&out, "# %" PRIu64 " lines\n", t->lines);
			sum += n < 0 ? 0 : (uint64_t)n;
		}
		rc = n < 0 ? (int)n : rc;
	}
	*written = sum;
	if (rc == 0)
		rc = wr_flush(&out);
	wr_free(&out);
	return rc;
}

/* --- how far it is --- */

struct progress {
	weft_file *log;
	uint64_t bytes;
	weft_stream *entries;
	stream_meter meter;
};

static int show_progress(const void *tick, void *arg)
{
	static const char bar[] = "########################################";
	struct progress *p = arg;
	int64_t at = file_seek(p->log, 0, SEEK_CUR);
	double done = (double)at / (double)p->bytes;

	(void)tick;
	if (at < 0)
		return (int)at;
	fprintf(stderr, "\r|%-40.*s| %3.0f%%  %.1f million lines a second ", (int)(done * 40), bar, done * 100,
		stream_rate(p->entries, &p->meter) / 1e6);
	return 0;
}

/* Until it is cancelled. */
static int keep_showing(void *progress)
{
	weft_stream *ticks = stream_ticker(100 * MS);
	int64_t rc = stream_each(ticks, show_progress, progress);

	stream_free(ticks);
	return (int)rc;
}

/* --- the pipeline --- */

static int is_entry(const void *e, void *arg)
{
	const weft_bytes *line = e;

	(void)arg;
	return line->n > 0 && *line->data != '#';
}

static int count_words(void *acc, const void *e, void *arg)
{
	const weft_bytes *line = e;
	struct tally *t = acc;
	size_t from = 0;
	int rc = 0;

	(void)arg;
	t->lines++;
	for (size_t i = 0; i <= line->n && rc == 0; i++) {
		if (i < line->n && isalpha((unsigned char)line->data[i]))
			continue;
		if (i > from)
			rc = count(t, line->data + from, i - from);
		from = i + 1;
	}
	return rc;
}

static int count_log(weft_file *log, uint64_t bytes, struct tally *t)
{
	weft_stream *s = stream_name(stream_filter(stream_lines(file_io(log), LINE), is_entry, NULL), "entries");
	stream_meter start = {.at = now()};
	struct progress p = {.log = log, .bytes = bytes, .entries = s, .meter = start};
	stream_stat stage[2];
	stream_err e;
	task *shows;
	int64_t rc = go_opts(&shows, keep_showing, &p, NULL);

	if (rc == 0) {
		rc = stream_fold(s, t, count_words, NULL);
		task_cancel(shows);
		task_join(shows, NULL);
		p.meter = start; /* on the whole */
		show_progress(NULL, &p);
		fprintf(stderr, "\n");
	}
	if (stream_error(s, &e) != 0)
		fprintf(stderr, "%s: %s\n", e.stage, weft_strerror(e.code));
	for (size_t i = 0, n = stream_stats(s, stage, 2); i < n && i < 2 && rc >= 0; i++)
		printf("%-8s %10" PRIu64 "\n", stage[i].name, stage[i].out);
	stream_free(s);
	return rc < 0 ? (int)rc : 0;
}

/* --- both --- */

static int more_often(const void *a, const void *b)
{
	const struct word *x = a, *y = b;

	return x->count != y->count ? (x->count < y->count) - (x->count > y->count) : strcmp(x->text, y->text);
}

static void show(struct tally *t)
{
	qsort(t->word, PLACES, sizeof *t->word, more_often);
	for (int i = 0; i < PLACES && t->word[i].count; i++)
		printf("%-8s %10" PRIu64 "\n", t->word[i].text, t->word[i].count);
}

static uint64_t size_of(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	return n << (*end == 'G' ? 30 : *end == 'M' ? 20 : *end == 'K' ? 10 : 0);
}

WEFT_MAIN(argc, argv)
{
	const char *dir = getenv("TMPDIR");
	uint64_t bytes = size_of(argc > 1 ? argv[1] : "256K");
	struct tally written = {.lines = 0}, found = {.lines = 0};
	char path[4096];
	weft_file *log;
	int rc;

	if (bytes == 0) {
		fprintf(stderr, "usage: word_count [BYTES], 1G, 200M, 64K\n");
		return 2;
	}
	snprintf(path, sizeof path, "%s/word_count.XXXXXX", dir && *dir ? dir : "/tmp");
	rc = file_temp(&log, path);
	if (rc == 0) {
		fs_unlink(path);
		rc = write_log(file_io(log), bytes, &written, &bytes);
		if (rc == 0)
			rc = (int)file_seek(log, 0, SEEK_SET);
		if (rc == 0)
			rc = count_log(log, bytes, &found);
		file_close(log);
	}
	if (rc < 0) {
		fprintf(stderr, "word_count: %s\n", weft_strerror(rc));
		return 1;
	}
	rc = memcmp(&written, &found, sizeof found);
	show(&found);
	printf("%s\n", rc == 0 ? "as many as were written" : "not what was written");
	return rc != 0;
}
