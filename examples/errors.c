/* SPDX-License-Identifier: MIT
 *
 * errors.c - errors with a cause: what went wrong, where, and because of what, from a task to the one that started it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <weft.h>

static weft_err *open_config(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return err_new(-errno, "open %s", path);
	close(fd);
	return NULL;
}

static weft_err *load(const char *path)
{
	/* no error stays none */
	return err_wrap(open_config(path), 0, "load the settings");
}

static weft_err *start_up(int port)
{
	WEFT_ERR_TRY(load("/"));
	WEFT_ERR_TRY(load("/no/such/app.conf"));
	printf("listening on %d\n", port);
	return NULL;
}

/* Sends what became of it. */
static void service(chan *done)
{
	weft_err *e = err_wrap(start_up(8080), WEFT_ECANCELED, "the service does not start");

	chan_send(done, &e);
}

WEFT_MAIN(argc, argv)
{
	chan *done = chan_make(sizeof(weft_err *), 0);
	weft_err *e = NULL;

	(void)argc;
	(void)argv;
	if (!done || go(service, done) != 0 || chan_recv(done, &e) != 0)
		return 1;
	printf("code: %s\n", weft_strerror(err_code(e)));
	printf("a file is missing: %s\n", err_is(e, WEFT_ENOENT) ? "yes" : "no");
	fflush(stdout);
	err_print(e, STDOUT_FILENO);
	err_free(e);
	chan_free(done);
	return 0;
}
