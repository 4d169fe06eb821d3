/* SPDX-License-Identifier: MIT
 *
 * lines.c - a protocol of lines: a buffered reader and writer at each end of a connection. Here it is a pair of streams; a TCP connection (tcp_io) would do as well.
 *
 * The client sends its questions in one go and reads the answers as they come. A line may be too long, and a number none: the server says so, and goes on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

/* "add 1 2 3" or "mul 2 21", an answer each. */
static void answer(weft_wr *out, char *line)
{
	char *word = strtok(line, " "), *end;
	bool add = word && strcmp(word, "add") == 0;
	int64_t sum = !add;

	if (!add && (!word || strcmp(word, "mul") != 0)) {
		wr_printf(out, "what is that?\n");
		return;
	}
	while ((word = strtok(NULL, " ")) != NULL) {
		int64_t n = strtoll(word, &end, 10);

		if (*end) {
			wr_printf(out, "\"%s\" is no number\n", word);
			return;
		}
		sum = add ? sum + n : sum * n;
	}
	wr_printf(out, "%" PRId64 "\n", sum);
}

static void serve(weft_io conn)
{
	char in_buf[32], *line;
	weft_rd in;
	weft_wr out;
	ssize_t n;

	rd_init(&in, conn, in_buf, sizeof in_buf); /* no line is longer than its buffer */
	wr_init(&out, conn, NULL, 0);
	rd_tie(&in, &out); /* before more is waited for, what there is to say goes out, together */
	while ((n = rd_line(&in, &line)) >= 0 || n == WEFT_ENOBUFS) {
		if (n >= 0) {
			answer(&out, line);
		} else {
			rd_skip(&in, '\n');
			wr_printf(&out, "too long\n");
		}
	}
	wr_flush(&out);
	wr_free(&out);
	rd_free(&in);
	io_close(conn);
}

/* A task of its own: if nobody read the answers meanwhile, the server would stop, and then this one. */
static void ask(weft_io conn)
{
	weft_wr out;

	wr_init(&out, conn, NULL, 0);
	for (int i = 1; i <= 3; i++)
		wr_printf(&out, "add %d %d\r\n", i, i * i);
	wr_printf(&out, "mul 6 7\nadd one\nadd 1111111111 2222222222 3333333333\nsay hello\nadd 1 2");
	wr_flush(&out);
	wr_free(&out);
	io_shutdown(conn, SHUT_WR); /* that was the last line, though its end is missing */
}

WEFT_MAIN(argc, argv)
{
	weft_io mine, theirs;
	weft_rd in;
	char *line;

	(void)argc;
	(void)argv;
	if (io_pair(&mine, &theirs) != 0)
		return 1;
	go(serve, theirs);
	go(ask, mine);
	rd_init(&in, mine, NULL, 0);
	while (rd_line(&in, &line) >= 0)
		printf("%s\n", line);
	rd_free(&in);
	io_close(mine);
	return 0;
}
