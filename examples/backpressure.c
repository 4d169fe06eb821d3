/* SPDX-License-Identifier: MIT
 *
 * backpressure.c - a writer that is faster than its reader: what becomes of the elements that there is no room for, under each policy.
 *
 * Time is simulated, so that the same is printed every time: in each tick the writer has three new numbers, unless it still has an old one to write, and the reader takes one. A bar shows how much
 * is in the stream between the two. Here one task plays both, so the writer says by the deadline WEFT_NOW that it will not wait, and tries again in the next tick. The last writer is a
 * task of its own, and does wait.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>

#define A_TICK 3 /* new numbers */
#define TICKS 8  /* in which there are any */
#define ROOM 4
#define NUMBERS 1000 /* of the last writer */

/* What happened in a tick. */
struct tick {
	char wrote[40], dropped[40], mark[40];
};

static void append(char *text, size_t room, const char *before, int n, const char *behind)
{
	size_t len = strlen(text);

	snprintf(text + len, room - len, "%s%d%s", before, n, behind);
}

static void on_drop(const void *elem, void *arg)
{
	struct tick *t = arg;

	append(t->dropped, sizeof t->dropped, *t->dropped ? " " : ", dropped ", *(const int *)elem, "");
}

static void on_mark(bool high, size_t len, void *arg)
{
	struct tick *t = arg;

	append(t->mark, sizeof t->mark, high ? ", high water: " : ", low water: ", (int)len, "");
}

/* The numbers from *next to last, as far as there is room. */
static int write_some(stream_tx *w, int *next, int last, struct tick *t)
{
	int rc = 0;

	for (; *next <= last && rc >= 0; ++*next) {
		rc = stream_write_until(w, next, NOW);
		if (rc < 0)
			break;
		append(t->wrote, sizeof t->wrote, *t->wrote ? " " : "wrote ", *next, "");
	}
	if (rc == WEFT_EAGAIN)
		append(t->wrote, sizeof t->wrote, *t->wrote ? ", " : "", *next, " waits");
	return rc < 0 && rc != WEFT_EAGAIN ? rc : 0;
}

static int show(const char *title, stream_opts o)
{
	int rc, next = 1, last = 0, got = 0, n = 0;
	struct tick t;
	weft_stream *s;
	stream_tx *w;

	o.elem = sizeof(int);
	o.on_drop = on_drop;
	o.on_mark = o.high > 0 ? on_mark : NULL;
	o.arg = &t;
	rc = stream_open(&s, &w, &o);
	if (rc != 0)
		return rc;
	printf("%s\n", title);
	for (int tick = 1;; tick++) {
		size_t len;

		memset(&t, 0, sizeof t);
		if (tick <= TICKS && next > last && !stream_tx_high(w)) /* heeds the water mark: nothing new until it is low */
			last += A_TICK;
		rc = write_some(w, &next, last, &t);
		if (rc != 0)
			break;
		if (tick >= TICKS && next > last)
			stream_close(w); /* once more is no harm */
		len = stream_tx_len(w);
		rc = (int)stream_read(s, &got, 1);
		if (rc <= 0)
			break;
		n++;
		printf("%4d  %-20s |%-8.*s|  read %d%s%s\n", tick, t.wrote, (int)len, "########", got, t.dropped, t.mark);
	}
	printf("%d written, %d read, %d dropped\n\n", last, n, (int)stream_tx_dropped(w));
	stream_tx_free(w);
	stream_free(s);
	return rc;
}

/* --- a writer that waits --- */

static atomic_int written;

static void write_all(stream_tx *w)
{
	for (int i = 1; i <= NUMBERS; i++) {
		if (stream_write(w, &i) != 0)
			break;
		atomic_store(&written, i);
	}
	stream_tx_free(w); /* closes it */
}

static int wait_for_room(void)
{
	weft_stream *s;
	stream_tx *w;
	int rc = stream_open(&s, &w, &(stream_opts){.elem = sizeof(int), .max = ROOM}), most = 0, n = 0, got;

	if (rc == 0)
		rc = go(write_all, w);
	if (rc != 0)
		return rc;
	while ((rc = (int)stream_read(s, &got, 1)) > 0) {
		int ahead = atomic_load(&written) - ++n;

		most = ahead > most ? ahead : most;
	}
	printf("a task that waits: %d read, %s\n", n,
	       most <= ROOM ? "and never was the writer further ahead than there was room" : "the writer ran away");
	stream_free(s);
	return rc;
}

WEFT_MAIN(argc, argv)
{
	int rc = show("block: the writer waits", (stream_opts){.max = ROOM});

	if (rc == 0)
		rc = show("drop the oldest: the reader stays up to date", (stream_opts){.max = ROOM, .policy = STREAM_DROP_OLDEST});
	if (rc == 0)
		rc = show("drop the latest: what is begun goes on", (stream_opts){.max = ROOM, .policy = STREAM_DROP_LATEST});
	if (rc == 0)
		rc = show("no bound, with water marks", (stream_opts){.policy = STREAM_UNBOUNDED, .high = 6, .low = 2});
	if (rc == 0)
		rc = wait_for_room();
	if (rc != 0)
		fprintf(stderr, "backpressure: %s\n", weft_strerror(rc));
	return rc != 0;
}
