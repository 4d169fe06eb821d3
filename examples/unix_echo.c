/* SPDX-License-Identifier: MIT
 *
 * unix_echo.c - a server at a path, which sends back what it gets; asked for its diary, it hands the open descriptor over instead of the text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>

/* The reading end of a pipe with a few words in it, or -1. */
static int diary(void)
{
	static const char words[] = "dear diary, today somebody asked for you";
	int fds[2];

	if (pipe(fds) != 0)
		return -1;
	if (write(fds[1], words, sizeof words - 1) < 0)
		perror("diary");
	close(fds[1]);
	return fds[0];
}

static void serve(weft_unix *c)
{
	unix_cred who;
	char buf[256];
	ssize_t n;

	if (unix_peer(c, &who) == 0 && who.uid == geteuid())
		printf("server: a client of the same user\n");
	while ((n = unix_read(c, buf, sizeof buf)) > 0) {
		if (n == 5 && memcmp(buf, "diary", 5) == 0) {
			int fd = diary();

			n = unix_send_fds(c, "here", 4, &fd, fd >= 0, NULL);
			if (fd >= 0)
				close(fd); /* the client has its own */
		} else {
			n = unix_write(c, buf, (size_t)n, NULL);
		}
		if (n < 0)
			break;
	}
	unix_close(c);
}

static void accept_all(unix_listener *l, waitgroup *done)
{
	weft_unix *c;

	while (unix_accept(l, &c) == 0)
		serve(c);
	unix_listener_free(l); /* its own reference */
	wg_done(done);
}

static int ask(const char *path)
{
	int rc, fd, count = 1;
	weft_pipe *pages;
	char buf[256];
	weft_unix *c;
	ssize_t n;

	rc = unix_dial(&c, path);
	if (rc != 0)
		return rc;
	TRY(unix_write(c, "hello", 5, NULL));
	n = unix_read(c, buf, sizeof buf);
	printf("client: %.*s\n", (int)n, buf);

	TRY(unix_write(c, "diary", 5, NULL));
	n = unix_recv_fds(c, buf, sizeof buf, &fd, &count);
	printf("client: %.*s, with %d descriptor\n", (int)n, buf, count);
	if (count == 1 && pipe_open(&pages, fd) == 0) {
		while ((n = pipe_read(pages, buf, sizeof buf)) > 0)
			printf("client: it says: %.*s\n", (int)n, buf);
		pipe_close(pages);
	}
	unix_close(c);
	return 0;
}

WEFT_MAIN(argc, argv)
{
	char dir[] = "/tmp/weft-unix-echo-XXXXXX", path[sizeof dir + 8];
	waitgroup done = {0};
	unix_listener *l;
	int rc;

	(void)argc;
	(void)argv;
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof path, "%s/sock", dir);
	rc = unix_listen(&l, path, &(unix_opts){.mode = 0600});
	if (rc != 0) {
		fprintf(stderr, "unix_echo: %s: %s\n", path, weft_strerror(rc));
		return 1;
	}
	wg_add(&done, 1);
	rc = go(accept_all, unix_listener_ref(l), &done);
	if (rc == 0)
		rc = ask(path);
	unix_listener_close(l); /* the file goes, and accept ends */
	wg_wait(&done);
	rmdir(dir);
	return rc != 0;
}
