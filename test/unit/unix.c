/* SPDX-License-Identifier: MIT
 *
 * unix.c - Unix domain sockets: names and files, dial to a full backlog, descriptors that travel, who is there. Streams as such: streams_io.c.
 */
#include "net.h"

#include "io/fd.h"
#include "weft/unix.h"
#include <sys/stat.h>
#include <sys/un.h>

/* --- a place for files --- */

static char place[80], path[128];

static void place_make(void)
{
	const char *tmp = getenv("TMPDIR");

	if (!tmp || strlen(tmp) > 40)
		tmp = "/tmp";
	snprintf(place, sizeof place, "%s/weft-unix-XXXXXX", tmp);
	T_OK(mkdtemp(place));
	snprintf(path, sizeof path, "%s/s", place);
}

static bool exists(const char *p)
{
	struct stat st;

	return lstat(p, &st) == 0;
}

static void ask_in_place(weft_task_fn *fn)
{
	place_make();
	run_net(fn, NULL);
	T_OK(!exists(path));
	T_EQ(rmdir(place), 0);
}

static weft_unix_listener *listen_here(const weft_unix_opts *o)
{
	weft_unix_listener *l;

	T_EQ(weft_unix_listen(&l, path, o), 0);
	return l;
}

/* One byte each way: these two are connected. */
static void both_ways(weft_unix *a, weft_unix *b)
{
	char x = 0;

	T_EQ(weft_unix_write(a, "1", 1, NULL), 1);
	T_EQ(weft_unix_read(b, &x, 1), 1);
	T_EQ(x, '1');
	T_EQ(weft_unix_write(b, "2", 1, NULL), 1);
	T_EQ(weft_unix_read(a, &x, 1), 1);
	T_EQ(x, '2');
}

static void dial_and_talk(weft_unix_listener *l, const char *name)
{
	weft_unix *a, *b;

	T_EQ(weft_unix_dial(&a, name), 0);
	T_EQ(weft_unix_accept(l, &b), 0);
	both_ways(a, b);
	T_EQ(weft_unix_close(a), 0);
	T_EQ(weft_unix_close(b), 0);
}

/* --- names --- */

static int path_main(void *arg)
{
	weft_unix_listener *l = listen_here(NULL), *second = (void *)1;
	char name[WEFT_UNIX_NAME];
	weft_unix *c = (void *)1;

	(void)arg;
	T_OK(exists(path));
	T_EQ(weft_unix_listener_name(l, name, sizeof name), (int)strlen(path));
	T_STR_EQ(name, path);
	T_EQ(weft_unix_listener_name(l, name, strlen(path)), WEFT_ENOSPC);
	T_EQ(weft_unix_listener_name(l, name, strlen(path) + 1), (int)strlen(path));
	dial_and_talk(l, path);
	T_EQ(weft_unix_listen(&second, path, NULL), WEFT_EADDRINUSE);
	T_OK(!second);
	T_EQ(weft_unix_listener_ref(l) == l, 1);
	T_EQ(weft_unix_listener_close(l), 0);
	T_OK(!exists(path));
	T_EQ(weft_unix_dial(&c, path), WEFT_ENOENT);
	T_OK(!c);
	T_EQ(weft_unix_listener_name(l, name, sizeof name), WEFT_ECLOSED);
	T_EQ(weft_unix_accept(l, &c), WEFT_ECLOSED);
	T_EQ(weft_unix_listener_set_deadline(l, WEFT_FOREVER), WEFT_ECLOSED);
	T_EQ(weft_unix_listener_fd(l), WEFT_ECLOSED);
	T_EQ(weft_unix_listener_close(l), WEFT_ECLOSED);
	l = listen_here(NULL); /* the path is free again */
	dial_and_talk(l, path);
	T_EQ(weft_unix_listener_close(l), 0);
	T_EQ(weft_unix_listener_close(NULL), 0);
	T_EQ(weft_unix_close(NULL), 0);
	return 0;
}

static int successor_main(void *arg)
{
	weft_unix_listener *old = listen_here(NULL), *l;

	(void)arg;
	T_EQ(unlink(path), 0);
	l = listen_here(NULL);
	T_EQ(weft_unix_listener_close(old), 0);
	dial_and_talk(l, path);
	T_EQ(weft_unix_listener_close(l), 0);
	T_OK(!exists(path));
	return 0;
}

/* A file that somebody else has made at the path meanwhile is not removed. */
TEST_WORKERS(successor_at_the_path)
{
	ask_in_place(successor_main);
}

/* A listener makes a file, and its close removes it. */
TEST_WORKERS(paths)
{
	ask_in_place(path_main);
}

static int names_main(void *arg)
{
	char name[200], got[WEFT_UNIX_NAME];
	weft_unix_listener *l;
	weft_unix *c;

	(void)arg;
	/* abstract: of full length, and chosen by the kernel */
	memset(name, 'n', sizeof name);
	name[0] = '@';
	snprintf(name + 1, 30, "weft-%d", (int)getpid());
	name[strlen(name)] = '-';
	name[108] = 0;
	T_EQ(weft_unix_listen(&l, name, NULL), 0);
	T_EQ(weft_unix_listener_name(l, got, sizeof got), 108);
	T_STR_EQ(got, name);
	dial_and_talk(l, name);
	T_EQ(weft_unix_listener_close(l), 0);
	T_EQ(weft_unix_dial(&c, name), WEFT_ECONNREFUSED);
	T_EQ(weft_unix_listen(&l, "@", NULL), 0);
	T_GT(weft_unix_listener_name(l, got, sizeof got), 1);
	T_EQ(got[0], '@');
	dial_and_talk(l, got);
	T_EQ(weft_unix_listener_close(l), 0);

	/* none */
	name[108] = 'n';
	name[109] = 0;
	T_EQ(weft_unix_listen(&l, name, NULL), WEFT_EINVAL);
	name[0] = '/';
	name[108] = 0;
	T_EQ(weft_unix_listen(&l, name, NULL), WEFT_EINVAL);
	T_EQ(weft_unix_dial(&c, name), WEFT_EINVAL);
	T_EQ(weft_unix_listen(&l, "", NULL), WEFT_EINVAL);
	T_EQ(weft_unix_listen(&l, NULL, NULL), WEFT_EINVAL);
	T_EQ(weft_unix_dial(&c, ""), WEFT_EINVAL);
	T_EQ(weft_unix_dial(&c, NULL), WEFT_EINVAL);
	T_EQ(weft_unix_listen(&l, path, &(weft_unix_opts){.mode = 01000}), WEFT_EINVAL);
	T_OK(!l && !c);
	snprintf(name, sizeof name, "%s/none/s", place);
	T_EQ(weft_unix_listen(&l, name, NULL), WEFT_ENOENT);
	T_EQ(weft_unix_dial(&c, name), WEFT_ENOENT);
	return 0;
}

/* Abstract names, and what is no name. */
TEST_WORKERS(names)
{
	ask_in_place(names_main);
}

/* A socket file that nobody listens at. */
static void leave_stale(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path, path, strlen(path));
	T_EQ(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	T_EQ(close(fd), 0);
}

static int options_main(void *arg)
{
	const weft_unix_opts remove = {.remove_stale = true};
	weft_unix_listener *l, *second;
	struct stat st;
	weft_unix *c;
	char x;
	int fd;

	(void)arg;
	/* what others have left */
	leave_stale();
	T_EQ(weft_unix_dial(&c, path), WEFT_ECONNREFUSED);
	T_EQ(weft_unix_listen(&l, path, NULL), WEFT_EADDRINUSE);
	l = listen_here(&remove);
	T_EQ(weft_unix_listen(&second, path, &remove), WEFT_EADDRINUSE); /* this one is alive */
	T_EQ(weft_unix_accept(l, &c), 0);                                /* ... as a look has shown */
	T_EQ(weft_unix_read(c, &x, 1), 0);
	T_EQ(weft_unix_close(c), 0);
	dial_and_talk(l, path);
	T_EQ(weft_unix_listener_close(l), 0);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600); /* no socket at all */
	T_GE(fd, 0);
	close(fd);
	T_EQ(weft_unix_listen(&l, path, &remove), WEFT_EADDRINUSE);
	T_OK(exists(path));
	T_EQ(unlink(path), 0);

	/* access bits, whatever the umask */
	for (int i = 0; i < 2; i++) {
		unsigned mode = i ? 0666 : 0600;

		l = listen_here(&(weft_unix_opts){.mode = mode});
		T_EQ(stat(path, &st), 0);
		T_EQ(st.st_mode & 0777, mode);
		T_EQ(weft_unix_listener_close(l), 0);
	}

	/* the file stays */
	l = listen_here(&(weft_unix_opts){.keep_file = true});
	T_EQ(weft_unix_listener_close(l), 0);
	T_OK(exists(path));
	l = listen_here(&remove);
	T_EQ(weft_unix_listener_close(l), 0);
	return 0;
}

TEST_WORKERS(options)
{
	ask_in_place(options_main);
}

/* --- references --- */

static int free_main(void *arg)
{
	weft_unix_listener *l = listen_here(NULL);
	weft_unix *a, *b;
	int number;
	char x;

	(void)arg;
	T_EQ(weft_unix_dial(&a, path), 0);
	T_EQ(weft_unix_accept(l, &b), 0);
	weft_unix_ref(a);
	weft_unix_free(a); /* the other reference has it */
	both_ways(a, b);
	number = number_of(a);
	T_EQ(weft_unix_fd(a), number);
	weft_unix_free(a);
	T_OK(!is_open(number));
	T_EQ(weft_unix_read(b, &x, 1), 0);
	weft_unix_ref(b);
	T_EQ(weft_unix_close(b), 0);
	T_EQ(weft_unix_fd(b), WEFT_ECLOSED);
	T_EQ(weft_unix_read(b, &x, 1), WEFT_ECLOSED);
	weft_unix_free(b); /* closed before */
	weft_unix_free(NULL);

	weft_unix_listener_ref(l);
	weft_unix_listener_free(l);
	dial_and_talk(l, path);
	number = weft_unix_listener_fd(l);
	T_OK(is_open(number));
	weft_unix_listener_free(l);
	T_OK(!is_open(number));
	T_OK(!exists(path));
	weft_unix_listener_free(NULL);
	return 0;
}

/* A reference that is freed leaves it open for the others; the last one closes, file and all. */
TEST_WORKERS(references_are_given_up)
{
	ask_in_place(free_main);
}

struct closes {
	weft_unix_listener *l;
	ATOMIC(int) ready;
};

static int closes_listener(void *arg)
{
	struct closes *k = arg;

	add_relaxed(&k->ready, 1);
	for (int i = 0; i < 10000 && load_relaxed(&k->ready) < 2; i++) /* if the other is on another worker, both at once */
		;
	return weft_unix_listener_close(k->l);
}

static int two_closes_main(void *arg)
{
	(void)arg;
	for (long i = tap_iters(1000); i > 0; i--) {
		struct closes k = {.l = weft_unix_listener_ref(listen_here(NULL))};
		weft_task *a = start(closes_listener, &k), *b = start(closes_listener, &k);

		T_EQ(finish(a) + finish(b), WEFT_ECLOSED);
		T_OK(!exists(path));
	}
	return 0;
}

/* Two closes at once: one of them removes the file. */
TEST_WORKERS(two_closes_of_a_listener)
{
	ask_in_place(two_closes_main);
}

static int from_fd_main(void *arg)
{
	weft_unix_listener *l;
	weft_unix *a, *b;
	int sv[2], fd, tcp;

	(void)arg;
	T_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	T_EQ(weft_unix_from_fd(&a, sv[0]), 0);
	T_EQ(weft_unix_from_fd(&b, sv[1]), 0);
	T_EQ(fcntl(sv[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	T_EQ(fcntl(sv[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	both_ways(a, b);
	T_EQ(weft_unix_close(a), 0);
	T_EQ(weft_unix_close(b), 0);
	T_OK(!is_open(sv[0]));

	l = listen_here(&(weft_unix_opts){.keep_file = true});
	fd = dup(weft_unix_listener_fd(l));
	T_EQ(weft_unix_listener_close(l), 0);
	T_EQ(weft_unix_from_fd(&a, fd), WEFT_EINVAL); /* it listens */
	T_EQ(weft_unix_listener_from_fd(&l, fd), 0);
	dial_and_talk(l, path);
	T_EQ(weft_unix_listener_close(l), 0);
	T_OK(exists(path)); /* not its own */
	T_EQ(unlink(path), 0);

	T_EQ(weft_unix_from_fd(&a, -1), WEFT_EBADF);
	T_EQ(weft_unix_listener_from_fd(&l, -1), WEFT_EBADF);
	tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	T_EQ(weft_unix_from_fd(&a, tcp), WEFT_EINVAL);
	close(tcp);
	T_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv), 0);
	T_EQ(weft_unix_from_fd(&a, sv[0]), WEFT_EINVAL);
	T_EQ(weft_unix_listener_from_fd(&l, sv[0]), WEFT_EINVAL);
	T_OK(!a && !l);
	close(sv[0]);
	close(sv[1]);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	T_EQ(weft_unix_from_fd(&a, fd), WEFT_EINVAL);
	close(fd);
	return 0;
}

TEST_WORKERS(taken_over)
{
	ask_in_place(from_fd_main);
}

/* --- waiting to connect, and for those who do --- */

struct dialing {
	weft_unix *c;
	int64_t deadline;
	int rc;
};

static int dials(void *arg)
{
	struct dialing *d = arg;

	d->rc = weft_unix_dial_until(&d->c, path, d->deadline);
	return 0;
}

static int full_main(void *arg)
{
	weft_unix_listener *l = listen_here(&(weft_unix_opts){.backlog = 1});
	struct dialing d = {.deadline = WEFT_FOREVER};
	weft_unix *c[8], *b;
	weft_task *t;
	int n = 0, rc;

	(void)arg;
	time_fake();
	while ((rc = weft_unix_dial_until(&c[n], path, WEFT_NOW)) == 0)
		T_LT(++n, 8);
	T_EQ(rc, WEFT_EAGAIN);
	T_GT(n, 0);
	T_EQ(weft_unix_dial_until(&d.c, path, 1), WEFT_ETIMEDOUT);

	t = start(dials, &d);
	until_reason(t, "dial");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), 0);
	T_EQ(d.rc, WEFT_ECANCELED);

	d.deadline = weft_in(WEFT_MS / 2);
	t = start(dials, &d);
	until_reason(t, "dial");
	time_move(WEFT_MS / 2);
	T_EQ(finish(t), 0);
	T_EQ(d.rc, WEFT_ETIMEDOUT);
	T_OK(!d.c);

	d.deadline = WEFT_FOREVER;
	t = start(dials, &d);
	until_reason(t, "dial");
	T_EQ(weft_unix_accept(l, &b), 0);
	T_EQ(weft_unix_close(b), 0);
	time_move(100 * WEFT_MS);
	T_EQ(finish(t), 0);
	T_EQ(d.rc, 0);
	T_EQ(weft_unix_close(d.c), 0);
	while (n > 0)
		T_EQ(weft_unix_close(c[--n]), 0);

	/* the same ends when nobody listens any more */
	time_real();
	T_EQ(weft_unix_listener_close(l), 0);
	return 0;
}

/* A dial to a full backlog waits, until there is room or it is called off. */
TEST_WORKERS(full_backlog)
{
	ask_in_place(full_main);
}

struct accepting {
	weft_unix_listener *l;
	weft_unix *c;
	int rc;
};

static int accepts(void *arg)
{
	struct accepting *a = arg;

	a->rc = weft_unix_accept(a->l, &a->c);
	return 0;
}

static int accept_main(void *arg)
{
	struct accepting a = {.l = listen_here(NULL)};
	weft_unix *c;
	weft_task *t;

	(void)arg;
	T_EQ(weft_unix_accept_until(a.l, &c, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(weft_unix_accept_until(a.l, &c, 1), WEFT_ETIMEDOUT);
	time_fake();
	T_EQ(weft_unix_listener_set_deadline(a.l, weft_in(WEFT_SEC)), 0);
	t = start(accepts, &a);
	until_reason(t, "accept");
	time_move(WEFT_SEC);
	T_EQ(finish(t), 0);
	T_EQ(a.rc, WEFT_ETIMEDOUT);
	T_EQ(weft_unix_listener_set_deadline(a.l, WEFT_FOREVER), 0);
	time_real();

	t = start(accepts, &a);
	until_reason(t, "accept");
	T_EQ(weft_unix_dial(&c, path), 0);
	T_EQ(finish(t), 0);
	T_EQ(a.rc, 0);
	both_ways(a.c, c);
	T_EQ(weft_unix_close(a.c), 0);
	T_EQ(weft_unix_close(c), 0);

	t = start(accepts, &a);
	until_reason(t, "accept");
	T_EQ(weft_unix_listener_close(a.l), 0);
	T_EQ(finish(t), 0);
	T_EQ(a.rc, WEFT_ECLOSED);
	return 0;
}

TEST_WORKERS(accepting_waits)
{
	ask_in_place(accept_main);
}

/* --- descriptors --- */

static int fds_main(void *arg)
{
	int p[2], got[4] = {-1, -1, -1, -1}, n, before;
	weft_unix *a, *b;
	char buf[64];
	size_t done;

	(void)arg;
	before = rt_fds();
	T_EQ(weft_unix_pair(&a, &b), 0);
	T_EQ(pipe2(p, O_CLOEXEC), 0);

	/* they arrive with the bytes, open, and close-on-exec */
	T_EQ(weft_unix_send_fds(a, "two", 3, p, 2, &done), 3);
	T_EQ(done, 3);
	n = 4;
	T_EQ(weft_unix_recv_fds(b, buf, sizeof buf, got, &n), 3);
	T_EQ(n, 2);
	T_EQ(memcmp(buf, "two", 3), 0);
	T_EQ(fcntl(got[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	T_EQ(write(got[1], "x", 1), 1);
	T_EQ(read(p[0], buf, 1), 1);
	close(got[0]);
	close(got[1]);

	/* more than there is room for: all are closed, the bytes are there */
	for (int room = 0; room < 2; room++) {
		T_EQ(weft_unix_send_fds(a, "more", 4, p, 2, NULL), 4);
		n = room;
		T_EQ(weft_unix_recv_fds(b, buf, sizeof buf, got, &n), 4);
		T_EQ(n, WEFT_ENOSPC);
	}

	/* never those of two sendings at once; a plain read closes them, and stops there */
	T_EQ(weft_unix_send_fds(a, "1", 1, p, 1, NULL), 1);
	T_EQ(weft_unix_send_fds(a, "2", 1, p, 1, NULL), 1);
	T_EQ(weft_unix_write(a, "3", 1, NULL), 1);
	n = 4;
	T_EQ(weft_unix_recv_fds(b, buf, sizeof buf, got, &n), 1);
	T_EQ(n, 1);
	close(got[0]);
	T_EQ(weft_unix_read(b, buf, sizeof buf), 1);
	T_EQ(buf[0], '2');
	n = 4;
	T_EQ(weft_unix_recv_fds(b, buf, sizeof buf, got, &n), 1);
	T_EQ(buf[0], '3');
	T_EQ(n, 0);

	/* none */
	T_EQ(weft_unix_send_fds(a, "0", 1, NULL, 0, NULL), 1);
	n = 0;
	T_EQ(weft_unix_recv_fds(b, buf, sizeof buf, NULL, &n), 1);
	T_EQ(n, 0);

	/* what makes no sense */
	done = 77;
	T_EQ(weft_unix_send_fds(a, "", 0, p, 1, &done), WEFT_EINVAL);
	T_EQ(done, 0);
	T_EQ(weft_unix_send_fds(a, "x", 1, p, -1, NULL), WEFT_EINVAL);
	T_EQ(weft_unix_send_fds(a, "x", 1, p, WEFT_UNIX_FDS_MAX + 1, NULL), WEFT_EINVAL);
	T_EQ(weft_unix_send_fds(a, "x", 1, &(int){-1}, 1, &done), WEFT_EBADF);
	T_EQ(done, 0);
	n = 1;
	T_EQ(weft_unix_recv_fds(b, buf, 0, got, &n), WEFT_EINVAL);
	n = -1;
	T_EQ(weft_unix_recv_fds(b, buf, 1, got, &n), WEFT_EINVAL);
	n = WEFT_UNIX_FDS_MAX + 1;
	T_EQ(weft_unix_recv_fds(b, buf, 1, got, &n), WEFT_EINVAL);
	T_EQ(n, 0);
	n = 1;
	T_EQ(weft_unix_recv_fds_until(b, buf, 1, got, &n, WEFT_NOW), WEFT_EAGAIN);
	T_EQ(n, 0);
	T_EQ(weft_unix_send_fds_until(a, "x", 1, p, 1, &done, 1), WEFT_ETIMEDOUT);

	close(p[0]);
	close(p[1]);
	T_EQ(weft_unix_close(a), 0);
	n = 1;
	T_EQ(weft_unix_recv_fds(b, buf, 1, got, &n), 0); /* the end */
	T_EQ(n, 0);
	T_NE(weft_unix_send_fds(b, "x", 1, &(int){number_of(b)}, 1, NULL), 1);
	T_EQ(weft_unix_close(b), 0);
	T_EQ(rt_fds(), before);
	return 0;
}

/* Descriptors travel with bytes. */
TEST_WORKERS(descriptors)
{
	run_net(fds_main, NULL);
}

static int many_fds_main(void *arg)
{
	static int fds[WEFT_UNIX_FDS_MAX], got[WEFT_UNIX_FDS_MAX];
	int n = WEFT_UNIX_FDS_MAX, before;
	struct rlimit was, less;
	weft_unix *a, *b;
	char x;

	(void)arg;
	until_all_workers_run();
	T_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
	if (was.rlim_cur < 600)
		tap_skip("600 descriptors are needed");
	T_EQ(weft_unix_pair(&a, &b), 0);
	for (int i = 0; i < WEFT_UNIX_FDS_MAX; i++)
		fds[i] = number_of(a);
	before = rt_fds();
	T_EQ(weft_unix_send_fds(a, "x", 1, fds, WEFT_UNIX_FDS_MAX, NULL), 1);
	T_EQ(weft_unix_recv_fds(b, &x, 1, got, &n), 1);
	T_EQ(n, WEFT_UNIX_FDS_MAX);
	for (int i = 0; i < n; i++)
		T_EQ(close(got[i]), 0);
	T_EQ(rt_fds(), before);

	/* no numbers left for all of them */
	T_EQ(weft_unix_send_fds(a, "x", 1, fds, WEFT_UNIX_FDS_MAX, NULL), 1);
	less = was;
	less.rlim_cur = (rlim_t)before + 20;
	T_EQ(setrlimit(RLIMIT_NOFILE, &less), 0);
	n = WEFT_UNIX_FDS_MAX;
	T_EQ(weft_unix_recv_fds(b, &x, 1, got, &n), 1);
	T_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
	T_EQ(n, WEFT_EMFILE);
	T_EQ(rt_fds(), before);
	T_EQ(weft_unix_close(a), 0);
	T_EQ(weft_unix_close(b), 0);
	return 0;
}

/* As many as can be sent at once; and when the process has no numbers for them, none is left behind. */
TEST_WORKERS(many_descriptors)
{
	if (weft__emulated())
		tap_skip("limits are the emulator's own");
	run_net(many_fds_main, NULL);
}

struct sending {
	weft_unix *c;
	int fd;
	ssize_t rc;
	size_t done;
};

static int sends_big(void *arg)
{
	static const char big[1 << 20];
	struct sending *s = arg;

	s->rc = weft_unix_send_fds(s->c, big, sizeof big, &s->fd, 1, &s->done);
	return 0;
}

static int big_main(void *arg)
{
	struct sending s = {0};
	size_t all = 0;
	int fds = 0;
	weft_unix *b;
	weft_task *t;

	(void)arg;
	T_EQ(weft_unix_pair(&s.c, &b), 0);
	T_EQ(weft_unix_buffers(s.c, 16384, 0), 0);
	T_EQ(weft_unix_buffers(s.c, -1, 0), WEFT_EINVAL);
	s.fd = number_of(b);
	t = start(sends_big, &s);
	until_reason(t, "write");
	while (all < 1 << 20) {
		char buf[5000];
		int got[2], n = 2;
		ssize_t rc = weft_unix_recv_fds(b, buf, sizeof buf, got, &n);

		T_GT(rc, 0);
		all += (size_t)rc;
		for (int i = 0; i < n; i++)
			close(got[i]);
		fds += n;
	}
	T_EQ(finish(t), 0);
	T_EQ(s.rc, 1 << 20);
	T_EQ(s.done, 1 << 20);
	T_EQ(fds, 1);
	T_EQ(weft_unix_close(s.c), 0);
	T_EQ(weft_unix_close(b), 0);
	return 0;
}

/* More bytes than fit: the descriptor goes once, and whoever sends waits for room. */
TEST_WORKERS(descriptor_with_many_bytes)
{
	run_net(big_main, NULL);
}

/* --- who is there --- */

static int cred_main(void *arg)
{
	weft_unix_listener *l = listen_here(NULL);
	weft_unix *a, *b;
	weft_unix_cred cred;

	(void)arg;
	T_EQ(weft_unix_dial(&a, path), 0);
	T_EQ(weft_unix_accept(l, &b), 0);
	for (int i = 0; i < 2; i++) {
		memset(&cred, 0, sizeof cred);
		T_EQ(weft_unix_peer(i ? a : b, &cred), 0);
		T_EQ(cred.pid, getpid());
		T_EQ(cred.uid, geteuid());
		T_EQ(cred.gid, getegid());
	}
	weft_unix_ref(a);
	T_EQ(weft_unix_close(a), 0);
	T_EQ(weft_unix_peer(a, &cred), WEFT_ECLOSED);
	T_EQ(weft_unix_buffers(a, 1, 1), WEFT_ECLOSED);
	T_EQ(weft_unix_close(a), WEFT_ECLOSED);
	T_EQ(weft_unix_close(b), 0);
	T_EQ(weft_unix_listener_close(l), 0);
	return 0;
}

TEST_WORKERS(credentials)
{
	ask_in_place(cred_main);
}

static int out_main(void *arg)
{
	struct rlimit was, less;
	weft_unix *a = (void *)1, *b = (void *)1;
	weft_unix_listener *l;
	char name[64];

	(void)arg;
	snprintf(name, sizeof name, "@weft-out-%d", (int)getpid());
	until_all_workers_run();
	T_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
	less = was;
	less.rlim_cur = 3;
	T_EQ(setrlimit(RLIMIT_NOFILE, &less), 0);
	T_EQ(weft_unix_pair(&a, &b), WEFT_EMFILE);
	T_OK(!a && !b);
	T_EQ(weft_unix_listen(&l, name, NULL), WEFT_EMFILE);
	T_EQ(weft_unix_dial(&a, name), WEFT_EMFILE);
	T_OK(!a && !l);
	T_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
	return 0;
}

TEST_WORKERS(out_of_descriptors)
{
	if (weft__emulated())
		tap_skip("limits are the emulator's own");
	run_net(out_main, NULL);
}

/* --- who hears of it --- */

#define FAR_READS (2 * LOOP_MOVE_AFTER)

struct far {
	weft_unix *c;
	int reads;
	int worker;
	ATOMIC(int) here; /* 1: it is on that worker; -1: it is not, and ends. Watched */
	ATOMIC(int) done; /* reads; watched */
};

/* Each byte is waited for, on this worker. */
static int reads_here(void *arg)
{
	struct far *f = arg;
	char x;

	weft_task_pin();
	if (weft_task_worker() != f->worker) { /* it was stolen before it ran */
		store_relaxed(&f->here, -1);
		weft_task_unpin();
		return 0;
	}
	store_relaxed(&f->here, 1);
	for (int i = 0; i < f->reads; i++) {
		T_EQ(weft_unix_read(f->c, &x, 1), 1);
		T_EQ(x, i);
		add_relaxed(&f->done, 1);
	}
	weft_task_unpin();
	return 0;
}

static struct loop *heard_by(weft_unix *from, weft_unix *to, int worker, int reads)
{
	struct far f = {.c = to, .reads = reads, .worker = worker};
	struct polldesc *pd = &((struct fd *)to)->poll;
	struct loop *home;
	weft_task *t;

	for (;;) {
		T_EQ(weft_go_opts(&t, reads_here, &f, &(weft_task_opts){.worker = worker}), 0);
		until(load_relaxed(&f.here) != 0);
		if (load_relaxed(&f.here) > 0)
			break;
		T_EQ(finish(t), 0);
		store_relaxed(&f.here, 0);
	}
	for (char i = 0; i < reads; i++) {
		until(load_relaxed(&f.done) == i);
		until_reason(t, "read"); /* the next one */
		T_EQ(weft_unix_write(from, &i, 1, NULL), 1);
	}
	T_EQ(finish(t), 0);
	lock_take_solo(&pd->lock, RANK_DESC);
	home = pd->watch ? NULL : pd->home;
	lock_drop_solo(&pd->lock);
	return home;
}

static int far_main(void *arg)
{
	struct loop *first, *second;
	weft_unix *a, *b;

	(void)arg;
	T_EQ(weft_unix_pair(&a, &b), 0);
	first = heard_by(a, b, 1, 1);
	if (!first)
		tap_note("a loop of libuv's keeps what it has");
	T_OK(heard_by(a, b, 2, 2) == first);
	T_OK(heard_by(a, b, 1, 1) == first);
	second = heard_by(a, b, 2, FAR_READS);
	T_OK(second != first || !first);
	T_OK(heard_by(a, b, 2, 1) == second);
	T_OK(heard_by(a, b, 1, FAR_READS) == first);
	weft_unix_close(a);
	weft_unix_close(b);
	return 0;
}

/* A descriptor follows its tasks to another worker, if they stay there, and no byte is missed on the way. */
TEST(moves_to_who_waits)
{
	T_EQ(run_with(far_main, NULL, (weft_opts){.workers = 2}), 0);
}
