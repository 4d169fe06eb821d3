/* SPDX-License-Identifier: MIT
 *
 * command.c - other programs: the output of one, one as a filter, one that takes too long, one that is talked to, and one that is not there.
 */
#include <stdio.h>
#include <string.h>
#include <weft.h>

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

static void output(void)
{
	proc_out o;
	int rc = proc_output(&o, &(proc_opts){.argv = ARGV("sh", "-c", "echo out; echo err >&2; exit 3"), .err = PROC_PIPE});

	if (rc == 0)
		printf("it said: %sand complained: %sand ended with %d\n", o.data, o.err_data, o.status.code);
	proc_out_free(&o);
}

static void filter(void)
{
	static const char words[] = "pear\napple\ncherry\n";
	proc_out o;
	int rc = proc_output(&o, &(proc_opts){.argv = ARGV("sort"), .input = words, .ninput = strlen(words)});

	if (rc == 0)
		printf("sorted: %s", o.data);
	proc_out_free(&o);
}

static void too_long(void)
{
	proc_status st = {.code = 0};
	int rc = proc_run_until(&(proc_opts){.argv = ARGV("sleep", "1000"), .grace = SEC}, &st, weft_in(100 * MS));

	printf("sleep: %s\n", weft_strerror(rc));
}

static void conversation(void)
{
	proc *p;
	char buf[64] = "";

	if (proc_spawn(&p, &(proc_opts){.argv = ARGV("cat"), .in = PROC_PIPE, .out = PROC_PIPE}) != 0)
		return;
	if (pipe_write(proc_in(p), "are you there?", 14, NULL) > 0 && pipe_read(proc_out_pipe(p), buf, sizeof buf - 1) > 0)
		printf("cat says: %s\n", buf);
	proc_close_in(p);
	proc_wait(p, NULL);
	proc_free(p);
}

WEFT_MAIN(argc, argv)
{
	output();
	filter();
	too_long();
	conversation();
	printf("nonsense: %s\n", weft_strerror(proc_run(&(proc_opts){.argv = ARGV("no-such-program-anywhere")}, NULL)));
	return 0;
}
