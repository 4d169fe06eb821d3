/* SPDX-License-Identifier: MIT
 *
 * process_run.c - a child in one call: what it writes and reads, limits, deadlines, cancel, and those it leaves behind.
 */
#include "child.h"

#include <fcntl.h>
#include <string.h>

static int both_main(void *arg)
{
	weft_proc_out out;

	(void)arg;
	T_EQ(weft_proc_output(&out, OPTS(SH("echo out; echo err >&2; exit 3"), .err = WEFT_PROC_PIPE)), 0);
	T_STR_EQ(out.data, "out\n");
	T_STR_EQ(out.err_data, "err\n");
	T_EQ(out.len, 4);
	T_EQ(out.err_len, 4);
	T_EQ(out.status.code, 3);
	T_OK(!out.cut && !out.held);
	weft_proc_out_free(&out);
	T_EQ(weft_proc_output(&out, OPTS(SH("exit 1"))), 0);
	T_OK(!out.err_data);
	T_EQ(out.len, 0);
	T_EQ(out.status.code, 1);
	weft_proc_out_free(&out);
	weft_proc_out_free(&out);
	T_EQ(weft_proc_output(&out, OPTS(.argv = ARGV("no-such-program-anywhere"))), WEFT_ENOENT);
	weft_proc_out_free(&out);
	T_EQ(weft_proc_output(&out, NULL), WEFT_EINVAL);
	T_EQ(weft_proc_output(NULL, OPTS(SH(""))), WEFT_EINVAL);
	T_EQ(weft_proc_output(&out, OPTS(SH(""), .in = WEFT_PROC_PIPE)), WEFT_EINVAL);
	T_EQ(weft_proc_run(NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_proc_run(OPTS(SH(""), .out = WEFT_PROC_PIPE), NULL), WEFT_EINVAL);
	T_EQ(weft_proc_run(OPTS(.argv = ARGV("/no/such/program")), NULL), WEFT_ENOENT);
	T_EQ(weft_proc_run_until(OPTS(SH("")), NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_proc_output_until(&out, OPTS(SH("")), WEFT_NOW), WEFT_EAGAIN);
	return 0;
}

TEST_WORKERS(output_and_errors)
{
	run_children(both_main, NULL);
}

static int through_main(void *arg)
{
	size_t n = 300000;
	char *bytes = malloc(n);
	weft_proc_out out;

	(void)arg;
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i * 7 + (i >> 8));
	T_EQ(weft_proc_output(&out, OPTS(.argv = ARGV("cat"), .input = bytes, .ninput = n)), 0);
	T_EQ(out.len, n);
	T_OK(memcmp(out.data, bytes, n) == 0);
	weft_proc_out_free(&out);
	T_EQ(weft_proc_output(&out, OPTS(.argv = ARGV("true"), .input = bytes, .ninput = n)), 0); /* it reads nothing */
	T_EQ(out.status.code, 0);
	weft_proc_out_free(&out);
	T_EQ(weft_proc_output(&out, OPTS(.argv = ARGV("cat"), .input = "", .ninput = 0)), 0);
	T_EQ(out.len, 0);
	weft_proc_out_free(&out);
	free(bytes);
	return 0;
}

TEST_WORKERS(more_than_a_pipe_holds)
{
	run_children(through_main, NULL);
}

static int limit_main(void *arg)
{
	weft_proc_out out;

	(void)arg;
	T_EQ(weft_proc_output(&out, OPTS(SH("head -c 200000 /dev/zero | tr '\\0' x"), .limit = 1000)), WEFT_ENOBUFS);
	T_EQ(out.len, 1000);
	T_EQ(strlen(out.data), 1000);
	T_OK(out.cut);
	T_EQ(out.status.code, 0); /* it could write all of it */
	weft_proc_out_free(&out);
	T_EQ(weft_proc_output(&out, OPTS(SH("printf 12345"), .limit = 5)), 0);
	T_OK(!out.cut);
	weft_proc_out_free(&out);
	return 0;
}

TEST_WORKERS(limit)
{
	run_children(limit_main, NULL);
}

static int deadline_main(void *arg)
{
	weft_proc_status st = {.code = 7};
	weft_proc_out out;

	(void)arg;
	T_EQ(weft_proc_run_until(OPTS(.argv = ARGV("sleep", "1000")), &st, weft_in(20 * WEFT_MS)), WEFT_ETIMEDOUT);
	T_OK(st.signal == SIGKILL || st.code == 7); /* or not even started in that time */
	T_EQ(weft_proc_output_until(&out, OPTS(SH("sleep 1000"), .pgroup = WEFT_PROC_OWN_GROUP, .grace = 100 * WEFT_SEC),
				    weft_in(20 * WEFT_MS)),
	     WEFT_ETIMEDOUT);
	weft_proc_out_free(&out);
	T_OK(no_child());
	return 0;
}

TEST_WORKERS(deadline)
{
	run_children(deadline_main, NULL);
}

struct call {
	weft_ctx *ctx;
	bool output;
	weft_proc_status st;
	int fd[2];
};

/* It says that it is up through a pipe of ours. */
static int makes_call(void *arg)
{
	struct call *c = arg;
	weft_proc_opts o = {SH("echo >&3; exec sleep 1000"), .ctx = c->ctx, .grace = 1000 * WEFT_SEC, .fds = &c->fd[1], .nfds = 1};
	weft_proc_out out;
	int rc;

	if (!c->output)
		return weft_proc_run(&o, &c->st);
	rc = weft_proc_output(&out, &o);
	c->st = out.status;
	weft_proc_out_free(&out);
	return rc;
}

static int cancel_main(void *arg)
{
	(void)arg;
	for (int way = 0; way < 4; way++) {
		struct call c = {.output = way & 1, .ctx = way & 2 ? weft_ctx_make(NULL) : NULL};
		weft_task *t;
		char up;

		T_EQ(pipe2(c.fd, O_CLOEXEC), 0);
		t = start(makes_call, &c);
		T_EQ(weft_io_wait(c.fd[0], WEFT_IO_R), WEFT_IO_R);
		T_EQ(read(c.fd[0], &up, 1), 1);
		T_EQ(c.ctx ? weft_ctx_cancel(c.ctx, 0) : weft_task_cancel(t), 0);
		T_EQ(finish(t), WEFT_ECANCELED);
		T_EQ(c.st.signal, SIGTERM);
		T_OK(no_child());
		(void)weft_io_forget(c.fd[0]);
		close(c.fd[0]);
		close(c.fd[1]);
		weft_ctx_free(c.ctx);
	}
	return 0;
}

TEST_WORKERS(cancelled)
{
	run_children(cancel_main, NULL);
}

static int held_main(void *arg)
{
	weft_proc_out out;
	int pid;

	(void)arg;
	T_EQ(weft_proc_output(&out, OPTS(SH("sleep 1000 & echo $!"), .wait_delay = WEFT_MS)), 0);
	T_OK(out.held);
	T_EQ(out.status.code, 0);
	T_EQ(sscanf(out.data ? out.data : "", "%d", &pid), 1);
	T_EQ(kill(pid, SIGKILL), 0); /* it is nobody's of ours */
	weft_proc_out_free(&out);
	return 0;
}

/* Somebody else keeps the pipe open when the child has ended. */
TEST_WORKERS(grandchild_holds_the_pipe)
{
	run_children(held_main, NULL);
}
