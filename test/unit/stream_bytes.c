/* SPDX-License-Identifier: MIT
 *
 * stream_bytes.c - byte streams, files and channels as sources and sinks: lines however they are cut, what does not fit, and what is left after an error.
 */
#include "rt.h"

#include "files.h"
#include "weft/bufio.h"
#include "weft/stream.h"
#include <stdlib.h>

/* Reads of a text come in pieces of so many bytes. */
struct cut {
	const char *text;
	size_t at, piece;
	int fail; /* what comes in place of the end; 0: the end */
};

static ssize_t cut_readv(void *self, const struct iovec *v, int count, int64_t deadline)
{
	struct cut *c = self;
	size_t n = strlen(c->text + c->at);

	(void)count, (void)deadline;
	n = n < c->piece ? n : c->piece;
	n = n < v->iov_len ? n : v->iov_len;
	memcpy(v->iov_base, c->text + c->at, n);
	c->at += n;
	return n ? (ssize_t)n : c->fail;
}

static weft_io cut_io(struct cut *c)
{
	static const weft_io_ops ops = {.kind = "cut", .readv = cut_readv};

	return (weft_io){&ops, c};
}

struct joined {
	char text[256];
	size_t n;
};

static int joins(void *acc, const void *e, void *arg)
{
	struct joined *j = acc;
	const weft_bytes *b = e;

	(void)arg;
	memcpy(j->text + j->n, b->data, b->n);
	j->n += b->n;
	j->text[j->n++] = '|';
	return 0;
}

static void splits(const char *text, size_t max, const char *want, int code)
{
	for (size_t piece = 1; piece < 40; piece += 1 + piece / 4) {
		struct cut c = {.text = text, .piece = piece};
		weft_stream *s = weft_stream_lines(cut_io(&c), max);
		struct joined j = {.n = 0};

		T_EQ(weft_stream_fold(s, &j, joins, NULL) < 0, code < 0);
		T_EQ(weft_stream_error(s, NULL), code);
		j.text[j.n] = '\0';
		T_STR_EQ(j.text, want);
		weft_stream_free(s);
	}
}

TEST(lines)
{
	splits("one\ntwo\r\n\n\r\nfour \r x\nfive", 16, "one|two|||four \r x|five|", 0);
	splits("", 16, "", 0);
	splits("\n", 16, "|", 0);
	splits("a\n", 0, "a|", 0);
	splits("123456789012345\n1234567890123456", 16, "123456789012345|", WEFT_ENOBUFS); /* the last one ends nowhere */
	splits("a\n1234567890123456\nb\n", 16, "a|", WEFT_ENOBUFS);
}

static int is_long(const void *e, void *arg)
{
	(void)arg;
	return ((const weft_bytes *)e)->n > 3;
}

static int length(const void *in, void *out, void *arg)
{
	(void)arg;
	*(int64_t *)out = (int64_t)((const weft_bytes *)in)->n;
	return 0;
}

TEST(stages_of_lines)
{
	struct cut c = {.text = "a\nbcdef\ngh\nijkl\nm", .piece = 100, .fail = -33};
	weft_stream *s = weft_stream_map(weft_stream_filter(weft_stream_lines(cut_io(&c), 0), is_long, NULL), 8, length, NULL);
	int64_t v[4];

	T_EQ(weft_stream_read(s, v, 4), 2);
	T_EQ(v[0], 5);
	T_EQ(v[1], 4);
	T_EQ(weft_stream_read(s, v, 4), -33); /* and no last line */
	weft_stream_free(s);
	c = (struct cut){.text = "a\nb", .piece = 1};
	s = weft_stream_take(weft_stream_lines(cut_io(&c), 0), 1);
	T_EQ(weft_stream_count(s), 1);
	weft_stream_free(s);
}

TEST(stages_that_keep_refuse_pieces)
{
	for (int i = 0; i < 8; i++) {
		struct cut c = {.text = "a\nb", .piece = 1};
		weft_stream *s = weft_stream_filter(weft_stream_lines(cut_io(&c), 0), is_long, NULL);
		void *all;
		size_t n;

		switch (i) {
		case 0:
			s = weft_stream_buffer(s, NULL);
			break;
		case 1:
			s = weft_stream_batch(s, 3, 3);
			break;
		case 2:
			s = weft_stream_window(s, 3, 3);
			break;
		case 3:
			s = weft_stream_distinct(s, 3);
			break;
		case 4:
			s = weft_stream_debounce(s, 3);
			break;
		case 5:
			s = weft_stream_dedup(s);
			break;
		case 6:
			T_EQ(weft_stream_collect(s, &all, &n, 0), WEFT_EINVAL);
			weft_stream_free(s);
			continue;
		default:
			s = weft_stream_window_time(s, 3, 3, 3);
			break;
		}
		T_EQ(weft_stream_error(s, NULL), WEFT_EINVAL);
		weft_stream_free(s);
	}
}

TEST(pieces)
{
	struct cut c = {.text = "abcdefghijklmnopqrstuvw", .piece = 100};
	weft_stream *s = weft_stream_bytes(cut_io(&c), 16);
	struct joined j = {.n = 0};

	T_EQ(weft_stream_fold(s, &j, joins, NULL), 2);
	j.text[j.n] = '\0';
	T_STR_EQ(j.text, "abcdefghijklmnop|qrstuvw|");
	weft_stream_free(s);
	s = weft_stream_bytes(cut_io(&c), 15);
	T_EQ(weft_stream_error(s, NULL), WEFT_EINVAL);
	weft_stream_free(s);
	s = weft_stream_lines((weft_io){.ops = NULL}, 0);
	T_EQ(weft_stream_error(s, NULL), WEFT_EINVAL);
	weft_stream_free(s);
	s = weft_stream_file_lines(NULL, 0);
	T_EQ(weft_stream_error(s, NULL), WEFT_EINVAL);
	weft_stream_free(s);
}

/* --- files --- */

static ssize_t prints(const void *e, weft_wr *w, void *arg, int64_t deadline)
{
	if (arg && *(const int64_t *)e == *(int64_t *)arg)
		return -55;
	return weft_wr_printf_until(w, deadline, "%lld\n", (long long)*(const int64_t *)e);
}

static int files_main(void *arg)
{
	weft_stream *s;
	struct joined j = {.n = 0};
	int64_t three = 3, v;

	(void)arg;
	s = weft_stream_range(0, 5, 1);
	T_EQ(weft_stream_to_file_until(s, in("numbers"), 0600, prints, NULL, WEFT_FOREVER), 5);
	weft_stream_free(s);
	T_OK(holds_text("numbers", "0\n1\n2\n3\n4\n"));
	s = weft_stream_file_lines(in("numbers"), 0);
	T_EQ(weft_stream_fold(s, &j, joins, NULL), 5);
	j.text[j.n] = '\0';
	T_STR_EQ(j.text, "0|1|2|3|4|");
	weft_stream_free(s);
	s = weft_stream_file_bytes(in("numbers"), 0);
	T_EQ(weft_stream_to_file(s, in("copy"), 0600, NULL, NULL), 1);
	weft_stream_free(s);
	T_OK(holds_text("copy", "0\n1\n2\n3\n4\n"));
	s = weft_stream_file_lines(in("none"), 0);
	T_EQ(weft_stream_count(s), WEFT_ENOENT);
	T_EQ(weft_stream_error(s, NULL), WEFT_ENOENT);
	weft_stream_free(s);
	weft_stream_free(weft_stream_file_lines(in("none"), 0)); /* never opened */

	s = weft_stream_range(0, 6, 1);
	T_EQ(weft_stream_to_file(s, in("numbers"), 0600, prints, &three), -55);
	T_EQ(weft_stream_read(s, &v, 1), 1); /* behind the one that failed */
	T_EQ(v, 4);
	T_EQ(weft_stream_to_file(s, in("none/such"), 0600, prints, NULL), WEFT_ENOENT);
	T_EQ(weft_stream_to_file(s, NULL, 0600, prints, NULL), WEFT_EINVAL);
	T_EQ(weft_stream_to_io(s, (weft_io){.ops = NULL}, prints, NULL), WEFT_EINVAL);
	T_EQ(weft_stream_to_io(NULL, weft_null_io(), prints, NULL), WEFT_EINVAL);
	T_EQ(weft_stream_to_io(s, weft_null_io(), NULL, NULL), 1);
	weft_stream_free(s);
	return 0;
}

TEST_WORKERS(files)
{
	run(files_main, NULL);
}

/* What was written is sent before more is waited for. */
struct asked {
	weft_membuf *m;
	int step;
};

static int asks(void *out, void *arg, int64_t deadline)
{
	struct asked *a = arg;

	if (a->step == 2 && deadline == WEFT_NOW)
		return WEFT_EAGAIN;
	if (a->step == 2)
		T_EQ(a->m->end - a->m->at, 4); /* "0\n1\n" has been flushed */
	if (a->step == 4)
		return 0;
	*(int64_t *)out = a->step++;
	return 1;
}

TEST(flushes_before_it_waits)
{
	weft_membuf m = {.limit = 0};
	struct asked a = {.m = &m};
	weft_stream *s = weft_stream_from(8, asks, NULL, &a);

	T_EQ(weft_stream_to_io(s, weft_membuf_io(&m), prints, NULL), 4);
	T_EQ(m.end, 8);
	weft_stream_free(s);
	weft_membuf_free(&m);
}

/* --- channels --- */

struct sending {
	weft_stream *s;
	weft_chan *c;
};

static int sends_all(void *arg)
{
	struct sending *g = arg;

	return (int)weft_stream_to_chan(g->s, g->c);
}

static int chan_main(void *arg)
{
	struct sending g = {.s = weft_stream_range(0, 300, 1), .c = weft_chan_make(8, 4)};
	weft_task *t = start(sends_all, &g);
	int64_t v = 0;
	weft_chan *narrow = weft_chan_make(4, 1);

	(void)arg;
	for (int64_t i = 0; i < 100; i++) {
		T_EQ(weft_chan_recv(g.c, &v), 0);
		T_EQ(v, i);
	}
	until_reason(t, "chan send");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), WEFT_ECANCELED);
	T_EQ(weft_stream_read(g.s, &v, 1), 1);
	T_EQ(v, 104); /* four are in the channel, and none is lost */
	T_EQ(weft_stream_to_chan_until(g.s, g.c, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_stream_to_chan(g.s, narrow), WEFT_EINVAL);
	T_EQ(weft_stream_to_chan(g.s, NULL), WEFT_EINVAL);
	T_EQ(weft_chan_close(g.c), 0);
	T_EQ(weft_stream_to_chan(g.s, g.c), WEFT_ECLOSED);
	T_EQ(weft_stream_count(g.s), 195);
	weft_stream_free(g.s);
	weft_chan_free(g.c);
	weft_chan_free(narrow);
	return 0;
}

TEST_WORKERS(into_a_channel)
{
	run(chan_main, NULL);
}
