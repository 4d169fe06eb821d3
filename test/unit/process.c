/* SPDX-License-Identifier: MIT
 *
 * process.c - children: what they get, how they end, who waits, and what is left of them.
 */
#include "child.h"

#include "serve/process.h"
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* --- how they end --- */

static int codes_main(void *arg)
{
	weft_proc_status st;
	weft_proc *p;

	(void)arg;
	for (int code = 0; code < 256; code += 85) {
		char script[32];

		snprintf(script, sizeof script, "exit %d", code);
		st = ended(spawn(OPTS(SH(script))));
		T_EQ(st.code, code);
		T_EQ(st.signal, 0);
	}
	st = ended(spawn(OPTS(SH("kill -9 $$"))));
	T_EQ(st.code, -1);
	T_EQ(st.signal, SIGKILL);
	p = spawn(OPTS(.argv = ARGV("true")));
	T_EQ(weft_proc_wait(p, NULL), 0);
	for (int i = 0; i < 3; i++) {
		T_EQ(weft_proc_wait_until(p, &st, i ? WEFT_NOW : WEFT_FOREVER), 0); /* as often as one likes */
		T_EQ(st.code, 0);
	}
	T_EQ(weft_proc_kill(p, SIGTERM), WEFT_ESRCH);
	T_OK(is_gone(weft_proc_pid(p)));
	weft_proc_free(weft_proc_ref(p));
	weft_proc_free(p);
	weft_proc_free(NULL);
	return 0;
}

TEST_WORKERS(codes_and_signals)
{
	run_children(codes_main, NULL);
}

static int usage_main(void *arg)
{
	weft_proc_status st = ended(spawn(OPTS(SH("i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done"))));

	(void)arg;
	T_EQ(st.code, 0);
	if (st.usage.ru_maxrss == 0)
		tap_skip("the system says nothing of usage");
	T_GT(st.usage.ru_maxrss, 0);
	T_GT(st.usage.ru_utime.tv_sec * 1000000 + st.usage.ru_utime.tv_usec + st.usage.ru_stime.tv_sec * 1000000 +
		     st.usage.ru_stime.tv_usec,
	     0);
	return 0;
}

TEST(usage)
{
	run_children(usage_main, NULL);
}

static int kill_main(void *arg)
{
	weft_proc *p = spawn(OPTS(.argv = ARGV("sleep", "1000")));
	weft_proc_status st;

	(void)arg;
	T_EQ(weft_proc_wait_until(p, &st, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_proc_wait_until(p, &st, weft_in(WEFT_MS)), WEFT_ETIMEDOUT);
	T_EQ(weft_proc_wait_until(p, &st, 1), WEFT_ETIMEDOUT);
	T_EQ(weft_proc_kill(p, 0), 0);
	T_EQ(weft_proc_kill(p, 1000), WEFT_EINVAL);
	T_EQ(weft_proc_kill_group(p, SIGTERM), WEFT_EINVAL); /* it is in ours */
	T_EQ(weft_proc_kill(p, SIGSTOP), 0);
	T_EQ(weft_proc_kill(p, SIGTERM), 0);
	T_EQ(weft_proc_kill(p, SIGCONT), 0);
	st = ended(p);
	T_EQ(st.signal, SIGTERM);
	return 0;
}

TEST_WORKERS(kill_and_deadlines)
{
	run_children(kill_main, NULL);
}

static int waits(void *arg)
{
	weft_proc_status st;
	int rc = weft_proc_wait(arg, &st);

	return rc ? rc : 100 + st.code;
}

static int waiters_main(void *arg)
{
	weft_proc *p = spawn(OPTS(SH("read x; exit 5"), .in = WEFT_PROC_PIPE));
	weft_task *t[4];

	(void)arg;
	for (int i = 0; i < 4; i++)
		t[i] = start(waits, p);
	for (int i = 0; i < 4; i++)
		until_parked(t[i]);
	T_EQ(weft_task_cancel(t[0]), 0);
	T_EQ(finish(t[0]), WEFT_ECANCELED);
	T_EQ(weft_proc_close_in(p), 0);
	T_EQ(weft_proc_close_in(p), WEFT_ECLOSED);
	for (int i = 1; i < 4; i++)
		T_EQ(finish(t[i]), 105);
	weft_proc_free(p);
	return 0;
}

TEST_WORKERS(several_wait)
{
	run_children(waiters_main, NULL);
}

/* The same without a pidfd: an old kernel, or no descriptor left. */
TEST_WORKERS(several_wait_without_pidfd)
{
	weft__spawn_no_pidfd = true;
	run_children(waiters_main, NULL);
}

TEST_WORKERS(kill_and_deadlines_without_pidfd)
{
	weft__spawn_no_pidfd = true;
	run_children(kill_main, NULL);
}

static int stolen_main(void *arg)
{
	weft_proc *p = spawn(OPTS(.argv = ARGV("true")));
	weft_proc_status st;

	(void)arg;
	T_EQ(weft_proc_wait(p, &st), WEFT_ECHILD);
	T_EQ(weft_proc_wait(p, &st), WEFT_ECHILD);
	T_EQ(st.code, -1);
	weft_proc_free(p);
	return 0;
}

/* Where SIGCHLD is ignored the system forgets children at once. */
TEST_WORKERS(nobody_knows_how_it_ended)
{
	signal(SIGCHLD, SIG_IGN);
	run_children(stolen_main, NULL);
}

/* --- what they get --- */

static int errors_main(void *arg)
{
	const char *dir = arg;
	char text[256], *big = malloc(4 << 20);
	weft_ctx *over = weft_ctx_make(NULL);
	weft_proc *p;
	int fd;

	T_EQ(weft_proc_spawn(NULL, OPTS(.argv = ARGV("true"))), WEFT_EINVAL);
	T_EQ(weft_proc_spawn(&p, NULL), WEFT_EINVAL);
	T_EQ(weft_proc_spawn(&p, OPTS(.path = "true")), WEFT_EINVAL);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = (const char *const[]){NULL})), WEFT_EINVAL);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true"), .pgroup = -2)), WEFT_EINVAL);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true"), .nfds = 1)), WEFT_EINVAL);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true"), .pdeathsig = 65)), WEFT_EINVAL);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true"), .in = WEFT_PROC_OUT)), WEFT_EINVAL);
	T_OK(!p);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV(""))), WEFT_ENOENT);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("no-such-program-anywhere"))), WEFT_ENOENT);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("/no/such/program"))), WEFT_ENOENT);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true"), .cwd = "/no/such/place")), WEFT_ENOENT);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true"), .cwd = "/dev/null")), -ENOTDIR);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true"), .in = WEFT_PROC_FILE("/no/such/file", O_RDONLY))), WEFT_ENOENT);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true"), .out = WEFT_PROC_FD(999))), WEFT_EBADF);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true"), .fds = (const int[]){999}, .nfds = 1)), WEFT_EBADF);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("/"))), WEFT_EACCES);
	snprintf(text, sizeof text, "%s/text", dir);
	fd = open(text, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	T_EQ(write(fd, "exit 0\n", 7), 7);
	T_EQ(close(fd), 0);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV(text))), WEFT_EACCES);
	T_EQ(chmod(text, 0755), 0);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV(text))),
	     access(text, X_OK) ? WEFT_EACCES : WEFT_ENOEXEC); /* a directory without programs */
	memset(big, 'x', (4 << 20) - 1);
	big[(4 << 20) - 1] = 0;
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true", big))), WEFT_E2BIG);
	T_EQ(weft_proc_spawn_until(&p, OPTS(.argv = ARGV("true")), WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_proc_spawn_until(&p, OPTS(.argv = ARGV("true")), 1), WEFT_ETIMEDOUT);
	T_EQ(weft_ctx_cancel(over, 0), 0);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true"), .ctx = over)), WEFT_ECANCELED);
	T_OK(!p);
	T_OK(no_child()); /* no child is left of all that */
	weft_ctx_free(over);
	free(big);
	return 0;
}

TEST_WORKERS(errors)
{
	const char *tmp = getenv("TMPDIR");
	char dir[200], text[256];

	snprintf(dir, sizeof dir, "%s/weft-procXXXXXX", tmp ? tmp : "/tmp");
	T_OK(mkdtemp(dir));
	run_children(errors_main, dir);
	snprintf(text, sizeof text, "%s/text", dir);
	unlink(text);
	rmdir(dir);
}

static int starved_main(void *arg)
{
	struct rlimit old, none;
	weft_proc *p;
	int fd = dup(0);

	(void)arg;
	ended(spawn(OPTS(.argv = ARGV("true")))); /* a thread of the lane is there */
	T_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
	for (rlim_t more = 0; more < 5; more++) {
		none = (struct rlimit){(rlim_t)fd + more, old.rlim_max};
		T_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
		T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true"), .in = WEFT_PROC_PIPE, .out = WEFT_PROC_PIPE)), WEFT_EMFILE);
		T_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
	}
	T_OK(no_child());
	close(fd);
	return 0;
}

TEST_WORKERS(no_descriptor_left)
{
	run_children(starved_main, NULL);
}

static void says(const weft_proc_opts *o, const char *what)
{
	weft_proc_out out;

	T_EQ(weft_proc_output(&out, o), 0);
	T_STR_EQ(out.data ? out.data : "", what);
	T_EQ(out.status.code, 0);
	weft_proc_out_free(&out);
}

static int surroundings_main(void *arg)
{
	(void)arg;
	says(OPTS(SH("pwd"), .cwd = "/usr"), "/usr\n");
	says(OPTS(.argv = ARGV("./sh", "-c", "echo $0", "me"), .cwd = "/bin"), "me\n");
	says(OPTS(.argv = ARGV("/usr/bin/env"), .env = ARGV("A=1", "B=two words")), "A=1\nB=two words\n");
	says(OPTS(.path = "sh", .argv = ARGV("another name", "-c", "echo ok")), "ok\n");
	says(OPTS(SH("cat"), .in = WEFT_PROC_NULL), "");
	says(OPTS(SH("echo out; echo err >&2"), .err = WEFT_PROC_OUT), "out\nerr\n");
	says(OPTS(SH("cut -d' ' -f6 /proc/$$/stat | grep -qx $$ && echo its own session"), .detached = true), "its own session\n");
	says(OPTS(SH("cut -d' ' -f5 /proc/$$/stat | grep -qx $$ && echo its own group"), .pgroup = WEFT_PROC_OWN_GROUP), "its own group\n");
	says(OPTS(SH("cut -d' ' -f5 /proc/$$/stat | grep -qx $$ || echo our group")), "our group\n");
	return 0;
}

TEST_WORKERS(surroundings)
{
	setenv("A", "0", 1);
	run_children(surroundings_main, NULL);
}

static int descriptors_main(void *arg)
{
	int a[2], b[2];
	char buf[64], script[200];
	weft_waker *w;
	weft_proc *p;

	(void)arg;
	T_EQ(pipe2(a, O_CLOEXEC), 0);
	T_EQ(pipe2(b, O_CLOEXEC), 0);
	/* the second as the third's place, and the other way round: none is lost on the way; and a hole */
	p = spawn(OPTS(SH("echo first; echo second >&3; echo third >&5; [ ! -e /dev/fd/4 ] || echo hole >&3"), .out = WEFT_PROC_FD(a[1]),
		       .fds = (const int[]){b[1], -1, a[1]}, .nfds = 3));
	close(a[1]);
	close(b[1]);
	T_EQ(ended(p).code, 0);
	T_EQ(read(a[0], buf, sizeof buf), 12);
	T_OK(memcmp(buf, "first\nthird\n", 12) == 0);
	T_EQ(read(b[0], buf, sizeof buf), 7);
	T_OK(memcmp(buf, "second\n", 7) == 0);
	close(a[0]);
	close(b[0]);
	T_EQ(weft_waker_make(&w), 0); /* nothing of weft's */
	snprintf(script, sizeof script, "[ ! -e /dev/fd/%d ] && echo no", weft_waker_fd(w));
	says(OPTS(SH(script)), "no\n");
	weft_waker_free(w);
	return 0;
}

TEST_WORKERS(descriptors)
{
	run_children(descriptors_main, NULL);
}

static int files_main(void *arg)
{
	const char *path = arg;

	T_EQ(ended(spawn(OPTS(SH("echo one"), .out = WEFT_PROC_FILE(path, O_WRONLY | O_CREAT | O_EXCL)))).code, 0);
	T_EQ(ended(spawn(OPTS(SH("echo two >&2"), .err = WEFT_PROC_FILE(path, O_WRONLY | O_APPEND)))).code, 0);
	says(OPTS(.argv = ARGV("cat"), .in = WEFT_PROC_FILE(path, O_RDONLY)), "one\ntwo\n");
	return 0;
}

TEST_WORKERS(files)
{
	const char *tmp = getenv("TMPDIR");
	char dir[200], path[256];

	snprintf(dir, sizeof dir, "%s/weft-procXXXXXX", tmp ? tmp : "/tmp");
	T_OK(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/file", dir);
	run_children(files_main, path);
	unlink(path);
	rmdir(dir);
}

static int pipes_main(void *arg)
{
	weft_proc *p = spawn(OPTS(SH("while read x; do echo \"<$x>\"; done; echo bye >&2"), .in = WEFT_PROC_PIPE, .out = WEFT_PROC_PIPE,
				  .err = WEFT_PROC_PIPE));
	char buf[16];

	(void)arg;
	for (int i = 0; i < 10; i++) {
		T_EQ(weft_pipe_write(weft_proc_in(p), "hello\n", 6, NULL), 6);
		until_says(p, "<hello>");
	}
	T_EQ(weft_proc_close_in(p), 0);
	T_EQ(weft_pipe_read(weft_proc_err(p), buf, 4), 4);
	T_OK(memcmp(buf, "bye\n", 4) == 0);
	T_EQ(weft_pipe_read(weft_proc_out_pipe(p), buf, 1), 0);
	T_EQ(ended(p).code, 0);
	p = spawn(OPTS(.argv = ARGV("true")));
	T_OK(!weft_proc_in(p) && !weft_proc_out_pipe(p) && !weft_proc_err(p));
	T_EQ(weft_proc_close_in(p), WEFT_EINVAL);
	ended(p);
	return 0;
}

TEST_WORKERS(pipes)
{
	run_children(pipes_main, NULL);
}

static int signals_main(void *arg)
{
	weft_chan *c = weft_chan_make(sizeof(int), 1);

	(void)arg;
	T_EQ(weft_signal_notify(c, SIGUSR2), 0);
	T_EQ(ended(spawn(OPTS(SH("kill -USR1 $$")))).signal, SIGUSR1);
	T_EQ(ended(spawn(OPTS(SH("kill -USR2 $$")))).signal, SIGUSR2);
	T_EQ(weft_chan_len(c), 0);
	T_EQ(weft_signal_stop(c), 0);
	weft_chan_free(c);
	return 0;
}

/* Ignored here, blocked on workers, caught: nothing of that is handed on. */
TEST_WORKERS(their_signals_are_untouched)
{
	signal(SIGUSR1, SIG_IGN);
	run_children(signals_main, NULL);
}

static int user_main(void *arg)
{
	weft_proc_user nobody = {.uid = 65534, .gid = 65533};
	weft_proc *p;
	int rc = geteuid() == 0 ? weft_proc_run(OPTS(.argv = ARGV("true"), .user = &nobody), NULL) : 0;

	(void)arg;
	if (rc == WEFT_EPERM || rc == WEFT_EINVAL)
		tap_skip("root may not become another user here");
	if (geteuid() == 0)
		says(OPTS(SH("id -u; id -g; id -G"), .user = &nobody), "65534\n65533\n65533\n");
	else
		T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true"), .user = &nobody)), WEFT_EPERM);
	return 0;
}

TEST_WORKERS(another_user)
{
	run_children(user_main, NULL);
}

/* --- left alone --- */

static int left_main(void *arg)
{
	int fds = rt_fds();
	weft_proc *p = spawn(OPTS(.argv = ARGV("cat"), .in = WEFT_PROC_PIPE));
	pid_t pid = weft_proc_pid(p);

	(void)arg;
	weft_proc_free(p); /* with it goes our end of the pipe */
	until(is_gone(pid));
	p = spawn(OPTS(.argv = ARGV("true")));
	pid = weft_proc_pid(p);
	weft_proc_free(p);
	until(is_gone(pid));
	until(rt_fds() <= fds); /* the last step of who looks after them */
	return 0;
}

TEST_WORKERS(freed_without_a_wait)
{
	run_children(left_main, NULL);
}

TEST_WORKERS(freed_without_a_wait_and_without_pidfd)
{
	weft__spawn_no_pidfd = true;
	run_children(left_main, NULL);
}

static int leaves_main(void *arg)
{
	weft_proc *p = spawn(OPTS(.argv = ARGV("sleep", "1000")));

	*(pid_t *)arg = weft_proc_pid(p);
	weft_proc_free(p);
	return 0;
}

static int sweeps_main(void *arg)
{
	pid_t pid = *(pid_t *)arg;

	T_EQ(kill(pid, SIGKILL), 0);
	while (!is_gone(pid)) /* the next that is started looks after it */
		ended(spawn(OPTS(.argv = ARGV("true"))));
	return 0;
}

TEST_WORKERS(left_by_a_run_that_is_over)
{
	weft_opts o = {.workers = tap_workers()};
	pid_t pid;

	T_EQ(weft_run(leaves_main, &pid, &o), 0);
	T_EQ(weft_run(sweeps_main, &pid, &o), 0);
}

/* --- the runtime goes down in the middle of a call --- */

static struct {
	char fifo[64];
	weft_ctx *ctx;
	weft_proc *got[2]; /* by those who were quicker than the end of the runtime */
	ATOMIC(int) returned;
	pthread_t opener;
} down;

static struct rng turn;

static int warm_main(void *arg)
{
	(void)arg;
	T_EQ(ended(spawn(OPTS(.argv = ARGV("true")))).code, 0);
	return 0;
}

static int spawns_cat(void *arg)
{
	weft_proc_opts o = {.argv = ARGV("cat"), .in = WEFT_PROC_FILE(down.fifo, O_RDONLY), .out = WEFT_PROC_PIPE, .err = WEFT_PROC_PIPE};

	o.ctx = down.ctx;
	if (weft_proc_spawn(arg, &o) == 0)
		add_relaxed(&down.returned, 1); /* looked at when nobody runs */
	return 0;
}

/* Lets the lane's thread go on, which opens the other end, when no task runs any more, or soon will. */
static void *opens_late(void *arg)
{
	struct runtime *rt;
	bool stopping = false;
	int fd;

	(void)arg;

	while (!stopping && (rt = weft__rt_enter()) != NULL) {
		stopping = load_acquire(&rt->stopping); /* pairs with store_release in weft__runtime_stop */
		weft__rt_leave(rt);
		sched_yield();
	}
	usleep(2000);                             /* either may be first; it is to be this one mostly */
	fd = open(down.fifo, O_RDWR | O_CLOEXEC); /* waits for nobody: maybe none has begun */
	T_GE(fd, 0);
	return (void *)(intptr_t)fd;
}

static int spawn_down_main(void *arg)
{
	weft_task *t[2];

	if (*(bool *)arg)
		down.ctx = weft_ctx_make(NULL);
	for (int i = 0; i < 2; i++)
		t[i] = start(spawns_cat, &down.got[i]);
	for (int i = 0; i < 2; i++)
		until_reason(t[i], "blocking call");
	T_EQ(pthread_create(&down.opener, NULL, opens_late, NULL), 0);
	for (int i = 0; i < 2; i++)
		weft_task_detach(t[i]);
	return 0;
}

/* Whoever waits for a spawn that is under way on another thread, or begins there, never hears of its child. */
static void go_down_in_spawn(bool with_ctx)
{
	size_t records;
	void *fd;
	int fds;

	snprintf(down.fifo, sizeof down.fifo, "/tmp/weft-process-%d", (int)getpid());
	unlink(down.fifo); /* of one that was killed */
	T_EQ(mkfifo(down.fifo, 0600), 0);
	T_EQ(weft_run(warm_main, NULL, &(weft_opts){.workers = tap_workers()}), 0); /* descriptors that stay for good */
	records = weft__fd_count();                                                 /* that of the signals, where there are no pidfds */
	for (long i = tap_iters(5); i > 0; i--) {
		memset(down.got, 0, sizeof down.got);
		down.ctx = NULL;
		fds = rt_fds();
		T_EQ(weft_run(spawn_down_main, &with_ctx, &(weft_opts){.workers = tap_workers()}), 0);
		T_EQ(pthread_join(down.opener, &fd), 0);
		close((int)(intptr_t)fd);
		for (int j = 0; j < 2; j++) {
			if (down.got[j]) { /* it reads to the end */
				T_EQ(weft_proc_kill(down.got[j], SIGKILL), 0);
				waitpid(weft_proc_pid(down.got[j]), NULL, 0);
				weft_proc_free(down.got[j]);
			}
		}
		weft_ctx_free(down.ctx);
		nothing_left();
		T_OK(no_child());
		T_EQ(rt_fds(), fds);
		T_EQ(weft__fd_count(), records);
	}
	unlink(down.fifo);
}

TEST_WORKERS(the_runtime_goes_down_during_a_spawn)
{
	ends_with_main();
	go_down_in_spawn(false);
}

TEST_WORKERS(the_runtime_goes_down_during_a_spawn_for_a_context)
{
	ends_with_main();
	go_down_in_spawn(true);
}

static int runs(void *arg)
{
	(void)arg;
	(void)weft_proc_run(OPTS(.argv = ARGV("sleep", "1000"), .ctx = down.ctx), NULL);
	return 0;
}

static int collects(void *arg)
{
	weft_proc_out o;

	(void)arg;
	(void)weft_proc_output(&o, OPTS(SH("echo much; echo more >&2; exec sleep 1000"), .err = WEFT_PROC_PIPE));
	weft_proc_out_free(&o);
	return 0;
}

static int run_down_main(void *arg)
{
	int fds = rt_fds();
	weft_task *t[2];

	(void)arg;
	down.ctx = weft_ctx_make(NULL);
	t[0] = start(runs, NULL);
	t[1] = start(collects, NULL);
	for (int i = 0; i < 2; i++) {
		until((!strcmp(weft_task_reason(t[i]), "io") || !strcmp(weft_task_reason(t[i]), "chan receive")) &&
		      !on_stack(t[i])); /* by its pidfd, or by SIGCHLD */
		weft_task_detach(t[i]);
	}
	if (rng_below(&turn, 2))
		T_EQ(weft_ctx_cancel(down.ctx, 0), 0); /* one of them is ended already */
	for (unsigned i = rng_below(&turn, 8); i > 0; i--)
		let_run();
	T_GT(rt_fds(), fds);
	return 0;
}

TEST_WORKERS(the_runtime_goes_down_during_a_run)
{
	size_t records;

	ends_with_main();
	T_EQ(weft_run(warm_main, NULL, &(weft_opts){.workers = tap_workers()}), 0); /* descriptors that stay for good */
	records = weft__fd_count();                                                 /* that of the signals, where there are no pidfds */
	for (long i = tap_iters(5); i > 0; i--) {
		int fds = rt_fds();

		rng_seed(&turn, 7, (uint64_t)i);
		T_EQ(weft_run(run_down_main, NULL, &(weft_opts){.workers = tap_workers()}), 0);
		weft_ctx_free(down.ctx);
		nothing_left();
		T_OK(no_child());
		T_EQ(rt_fds(), fds);
		T_EQ(weft__fd_count(), records);
	}
}

/* --- groups and contexts --- */

static int group_main(void *arg)
{
	weft_proc *p = spawn(OPTS(SH("sleep 1000 & echo up; wait"), .out = WEFT_PROC_PIPE, .pgroup = WEFT_PROC_OWN_GROUP));
	char c;

	(void)arg;
	until_says(p, "up");
	T_EQ(weft_proc_kill_group(p, SIGTERM), 0);
	T_EQ(weft_pipe_read(weft_proc_out_pipe(p), &c, 1), 0); /* nobody has it any more */
	T_EQ(ended(p).signal, SIGTERM);
	return 0;
}

TEST_WORKERS(a_group)
{
	run_children(group_main, NULL);
}

static int ctx_main(void *arg)
{
	int fds = rt_fds();
	weft_ctx *c = weft_ctx_make(NULL);
	weft_proc *p = spawn(OPTS(.argv = ARGV("sleep", "1000"), .ctx = c, .grace = 1000 * WEFT_SEC));
	weft_proc *q =
		spawn(OPTS(SH("trap '' TERM; echo up; while :; do sleep 0.01; done"), .ctx = c, .grace = WEFT_MS, .out = WEFT_PROC_PIPE));
	weft_proc *r = spawn(OPTS(.argv = ARGV("sleep", "1000"), .ctx = c));
	weft_proc *s = spawn(OPTS(.argv = ARGV("true"), .ctx = c));
	weft_proc *freed = spawn(OPTS(.argv = ARGV("sleep", "1000"), .ctx = c));
	pid_t pid = weft_proc_pid(freed);

	(void)arg;
	until_says(q, "up");
	T_EQ(ended(s).code, 0); /* had ended before */
	weft_proc_free(freed);
	T_EQ(weft_ctx_cancel(c, 0), 0);
	T_EQ(ended(p).signal, SIGTERM);
	T_EQ(ended(q).signal, SIGKILL);
	T_EQ(ended(r).signal, SIGKILL);
	until(is_gone(pid));
	until(rt_fds() <= fds); /* the last step of who looks after it */
	weft_ctx_free(c);
	return 0;
}

TEST_WORKERS(a_context_ends_it)
{
	run_children(ctx_main, NULL);
}

static int ctx_fails_main(void *arg)
{
	int fds = rt_fds();
	weft_ctx *c = weft_ctx_make(NULL);
	weft_proc *p;

	(void)arg;
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("/no/such/program"), .ctx = c)), WEFT_ENOENT);
	T_EQ(weft_ctx_cancel(c, 0), 0); /* nothing has remained in it */
	weft_ctx_free(c);
	T_EQ(rt_fds(), fds);
	return 0;
}

TEST_WORKERS(a_context_of_none)
{
	run_children(ctx_fails_main, NULL);
}

static ATOMIC(bool) canceled;

/* The lane's thread waits in open until the context has ended, and somebody writes. */
static void *cancels_then_opens(void *arg)
{
	int fd;

	T_EQ(weft_ctx_cancel(arg, 0), 0);
	store_release(&canceled, true); /* pairs with load_acquire below */
	fd = open(down.fifo, O_RDWR | O_CLOEXEC);
	T_GE(fd, 0);
	return (void *)(intptr_t)fd;
}

static int ctx_early_main(void *arg)
{
	bool starts = arg == NULL;
	weft_proc_opts o = {.argv = starts ? ARGV("sleep", "1000") : ARGV("/no/such/program"), .in = WEFT_PROC_FILE(down.fifo, O_RDONLY)};
	weft_proc *p = NULL;
	void *fd;

	store_relaxed(&canceled, false); /* nobody else looks yet */
	o.ctx = weft_ctx_make(NULL);
	T_EQ(pthread_create(&down.opener, NULL, cancels_then_opens, o.ctx), 0);
	if (weft_proc_spawn(&p, &o) == 0) { /* or it was cancelled before */
		T_OK(starts);
		T_OK(load_acquire(&canceled));
		T_EQ(ended(p).signal, SIGKILL);
	}
	T_EQ(pthread_join(down.opener, &fd), 0);
	close((int)(intptr_t)fd);
	weft_ctx_free(o.ctx);
	return 0;
}

/* The context ends while the system still looks for the program. */
TEST_WORKERS(a_context_ends_before_it_has_begun)
{
	snprintf(down.fifo, sizeof down.fifo, "/tmp/weft-process-%d", (int)getpid());
	unlink(down.fifo); /* of one that was killed */
	T_EQ(mkfifo(down.fifo, 0600), 0);
	for (long i = tap_iters(5); i > 0; i--) {
		run_children(ctx_early_main, NULL);
		run_children(ctx_early_main, down.fifo);
	}
	T_OK(no_child());
	unlink(down.fifo);
}

static int waits_for(void *arg)
{
	weft_chan *c = arg;

	(void)weft_chan_recv(c, NULL);
	return 0;
}

static int limit_main(void *arg)
{
	const char *mark = arg;
	weft_ctx *c = weft_ctx_make(NULL);
	weft_chan *end = weft_chan_make(0, 0);
	weft_proc *p;
	weft_task *t[4];
	int n = 0;

	while (n < 4 && weft_go_opts(&t[n], waits_for, end, NULL) == 0)
		n++;
	T_GT(n, 0);
	T_LT(n, 4);
	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("true"), .in = WEFT_PROC_FILE(mark, O_RDWR | O_CREAT), .ctx = c)), WEFT_ENOMEM);
	T_OK(!p);
	T_OK(access(mark, F_OK)); /* nothing of it was begun */
	T_EQ(weft_chan_close(end), 0);
	while (n > 0)
		T_EQ(finish(t[--n]), 0);
	weft_chan_free(end);
	weft_ctx_free(c);
	return 0;
}

/* Its context's end needs a task. */
TEST_WORKERS(as_many_tasks_as_there_may_be)
{
	char mark[64];

	snprintf(mark, sizeof mark, "/tmp/weft-process-mark-%d", (int)getpid());
	unlink(mark);
	T_EQ(run_with(limit_main, mark, (weft_opts){.max_tasks = 4}), 0);
	unlink(mark);
	T_OK(no_child());
}

static int strikes_main(void *arg)
{
	weft_ctx *c = weft_ctx_make(NULL);
	weft_proc **p = arg;

	*p = spawn(
		OPTS(SH("trap '' TERM; echo up; while :; do sleep 0.01; done"), .ctx = c, .grace = 1000 * WEFT_SEC, .out = WEFT_PROC_PIPE));
	until_says(*p, "up");
	T_EQ(weft_ctx_cancel(c, 0), 0);
	until(weft__proc_struck(*p));
	weft_ctx_free(c);
	return 0;
}

static int waits_main(void *arg)
{
	weft_proc *p = *(weft_proc **)arg;

	T_EQ(weft_proc_wait_until(p, NULL, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_proc_kill(p, SIGKILL), 0);
	T_EQ(ended(p).signal, SIGKILL);
	return 0;
}

/* Who has begun to end it never goes on; who waits for it does. */
TEST_WORKERS(run_is_over_during_a_strike)
{
	weft_opts o = {.workers = tap_workers()};
	weft_proc *p;

	ends_with_main();
	T_EQ(weft_run(strikes_main, &p, &o), 0);
	T_EQ(weft_run(waits_main, &p, &o), 0);
	T_EQ(weft_run(strikes_main, &p, &o), 0);
	T_EQ(weft_proc_kill(p, SIGKILL), 0);
	while (weft_proc_wait_until(p, NULL, WEFT_NOW) == WEFT_EAGAIN)
		sched_yield();
	weft_proc_free(p); /* no runtime is up */
}

static void *short_lived(void *arg)
{
	weft_proc **p = arg;

	*p = spawn(OPTS(.argv = ARGV("sleep", "1000"), .pdeathsig = SIGUSR1));
	return NULL;
}

static int death_main(void *arg)
{
	weft_proc *p;
	pthread_t th;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, short_lived, &p), 0);
	T_EQ(pthread_join(th, NULL), 0);
	T_EQ(ended(p).signal, SIGUSR1);
	return 0;
}

TEST(parents_death)
{
	run_children(death_main, NULL);
}

/* --- many --- */

static int one_of_many(void *arg)
{
	char script[64];
	int code = (int)((intptr_t)arg % 200);

	snprintf(script, sizeof script, "cat >/dev/null; exit %d", code);
	for (int i = 0; i < 2; i++) {
		weft_proc *p = spawn(OPTS(SH(script), .in = WEFT_PROC_PIPE));

		T_EQ(weft_pipe_write(weft_proc_in(p), script, sizeof script, NULL), (int)sizeof script);
		T_EQ(weft_proc_close_in(p), 0);
		T_EQ(ended(p).code, code);
	}
	return 0;
}

static int many_main(void *arg)
{
	weft_task *t[30];
	int n = (int)tap_iters(30);

	(void)arg;
	for (intptr_t i = 0; i < n; i++)
		t[i] = start(one_of_many, (void *)i);
	for (int i = 0; i < n; i++)
		T_EQ(finish(t[i]), 0);
	return 0;
}

/* No child keeps another's pipe open. */
TEST_WORKERS(many_at_once)
{
	run_children(many_main, NULL);
}

struct foreign {
	ATOMIC(bool) over;
};

static void *foreign_thread(void *arg)
{
	struct foreign *f = arg;

	T_EQ(ended(spawn(OPTS(SH("exit 3")))).code, 3);
	says(OPTS(SH("echo hi")), "hi\n");
	store_release(&f->over, true); /* pairs with load_acquire in foreign_main */
	return NULL;
}

static int foreign_main(void *arg)
{
	struct foreign f = {.over = false};
	pthread_t th;

	(void)arg;
	T_EQ(pthread_create(&th, NULL, foreign_thread, &f), 0);
	until(load_acquire(&f.over)); /* pairs with store_release in foreign_thread */
	T_EQ(pthread_join(th, NULL), 0);
	return 0;
}

TEST_WORKERS(from_a_thread)
{
	run_children(foreign_main, NULL);
}

/* Started and ended, but not waited for; unless it has ended. */
TEST(no_runtime)
{
	weft_proc *p;
	int rc;

	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("sleep", "1000"))), 0);
	T_EQ(weft_proc_wait(p, NULL), WEFT_ESRCH);
	T_EQ(weft_proc_kill(p, SIGKILL), 0);
	while ((rc = weft_proc_wait_until(p, NULL, WEFT_NOW)) == WEFT_EAGAIN)
		sched_yield();
	T_EQ(rc, 0);
	weft_proc_free(p);
}

/* Nothing is started that nobody could wait for, or end. */
TEST(no_runtime_for_a_context)
{
	weft_ctx *c = weft_ctx_make(NULL);
	weft_proc_out out;
	weft_proc *p;

	T_EQ(weft_proc_spawn(&p, OPTS(.argv = ARGV("/no/such/program"), .ctx = c)), WEFT_ESRCH);
	T_EQ(weft_proc_run(OPTS(.argv = ARGV("/no/such/program")), NULL), WEFT_ESRCH);
	T_EQ(weft_proc_output(&out, OPTS(.argv = ARGV("/no/such/program"))), WEFT_ESRCH);
	T_OK(no_child());
	weft_ctx_free(c);
}
