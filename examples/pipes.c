/* SPDX-License-Identifier: MIT
 *
 * pipes.c - one filter for all streams: it knows of weft_io only, and is put between two pipes, then behind a socket. A deadline ends a wait for somebody slow.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>

/* What comes from `in` goes to `out` in capitals; at its end, or an error, both are closed. */
static void capitals(weft_io in, weft_io out)
{
	char buf[64];
	ssize_t n;

	while ((n = io_read(in, buf, sizeof buf)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			buf[i] = (char)toupper((unsigned char)buf[i]);
		if (io_write(out, buf, (size_t)n, NULL) < 0)
			break;
	}
	io_close(in);
	io_close(out);
}

/* A weft_io is two pointers: too large for go's arguments, so a task gets the address of a pair, which lives as long as it. */
struct between {
	weft_io in, out;
};

static int filter(void *arg)
{
	struct between *b = arg;

	capitals(b->in, b->out);
	return 0;
}

static void show(weft_pipe *from)
{
	char buf[64];
	ssize_t n;

	while ((n = pipe_read(from, buf, sizeof buf)) > 0)
		printf("%.*s\n", (int)n, buf);
	if (n < 0)
		printf("(%s)\n", weft_strerror((int)n));
}

WEFT_MAIN(argc, argv)
{
	weft_pipe *r, *w, *end, *out;
	struct between b;
	weft_unix *a, *peer;
	task *t;

	(void)argc;
	(void)argv;

	/* a pipe, the filter, a pipe */
	if (pipe_make(&r, &w) != 0 || pipe_make(&end, &out) != 0)
		return 1;
	b = (struct between){pipe_io(r), pipe_io(out)};
	if (go_opts(&t, filter, &b, NULL) != 0)
		return 1;
	pipe_write(w, "through two pipes", 17, NULL);
	pipe_close(w); /* the filter comes to the end, and so does its reader */
	show(end);
	pipe_close(end);
	task_join(t, NULL);

	/* a socket, the filter, a pipe */
	if (unix_pair(&a, &peer) != 0 || pipe_make(&end, &out) != 0)
		return 1;
	b = (struct between){unix_io(peer), pipe_io(out)};
	if (go_opts(&t, filter, &b, NULL) != 0)
		return 1;
	pipe_set_deadline(end, weft_in(50 * MS), FOREVER);
	show(end); /* nobody writes */
	pipe_set_deadline(end, FOREVER, FOREVER);
	unix_write(a, "and from a socket", 17, NULL);
	unix_shutdown(a, SHUT_WR);
	show(end);
	pipe_close(end);
	task_join(t, NULL);
	unix_close(a);
	return 0;
}
