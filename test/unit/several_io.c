/* SPDX-License-Identifier: MIT
 *
 * several_io.c - what two runtimes in one process do with the same system: files, names, children, descriptors that the other's loop watches; and what is left of all that when one of them goes down.
 *
 * fsync is the test's own: it stands at a gate, so that a call on a file is under way for as long as the test wants.
 */
#include "net.h"

#include "child.h"
#include "files.h"
#include "names.h"
#include "several.h"
#include "weft/blocking.h"
#include "weft/dns.h"
#include "weft/file.h"
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>

/* fn in the default one, which has nothing left afterwards; what it makes it frees. */
static void with_default(weft_task_fn *fn)
{
	warm_up();
	run(fn, NULL);
}

static weft_runtime *going;

static int lets_go(void *arg)
{
	(void)arg;
	return weft_free(going, -1);
}

static weft_task *free_begins(weft_runtime *rt)
{
	weft_task *t;

	going = rt;
	t = start(lets_go, NULL);
	until(weft_runtime_state(rt) != WEFT_STATE_RUNNING);
	return t;
}

/* --- the gate --- */

static ATOMIC(int) entered;            /* how many have come to it */
static ATOMIC(int) open_for = INT_MAX; /* for how many it is open */

static int stands_at_gate(void *arg)
{
	int mine = add_acq_rel(&entered, 1);

	(void)arg;
	while (load_acquire(&open_for) <= mine)
		usleep(100);
	return 0;
}

int fsync(int fd)
{
	(void)fd;
	return stands_at_gate(NULL);
}

static void gate_shut(void)
{
	store_release(&entered, 0);
	store_release(&open_for, 0);
}

static void gate_open(int n)
{
	store_release(&open_for, n);
}

static int blocks_at_gate(void *arg)
{
	return weft_blocking(stands_at_gate, arg, NULL);
}

/* --- files --- */

static char path[64];

static weft_file *file_make(void)
{
	weft_file *f;

	snprintf(path, sizeof path, "/tmp/weft-several-XXXXXX");
	T_EQ(weft_file_temp(&f, path), 0);
	T_EQ(unlink(path), 0);
	return f;
}

static int syncs(void *arg)
{
	return weft_file_sync(arg);
}

static int closes_file(void *arg)
{
	return weft_file_close(arg);
}

/* Tasks of two have calls under way on one file; one runtime goes, and the other's task closes the file. */
static int jobs_of_two_main(void *arg)
{
	weft_runtime *rt = made(1), *third = made(1);
	size_t records = weft__fd_count();
	weft_file *f = file_make();
	weft_task *gone, *mine, *thirds, *freeing;
	int fd = weft_file_fd(f);

	(void)arg;
	gate_shut();
	gone = start_in(rt, syncs, f);
	until(load_acquire(&entered) == 1);
	mine = start(syncs, f);
	thirds = start_in(third, syncs, f);
	until(load_acquire(&entered) == 3);
	freeing = free_begins(rt);
	gate_open(INT_MAX);
	T_EQ(finish(freeing), 0);
	if (weft_task_join(gone, NULL)) /* it has mostly not come back from its call */
		weft_task_detach(gone);
	T_EQ(finish(mine), 0);
	T_EQ(finish(thirds), 0);
	T_EQ(weft_file_close(f), 0);
	T_EQ(fcntl(fd, F_GETFD), -1);
	T_EQ(weft__fd_count(), records);
	T_EQ(weft_free(third, WEFT_FOREVER), 0);
	return 0;
}

TEST_WORKERS(one_file_by_two)
{
	with_default(jobs_of_two_main);
}

/* The task that closes is left while another runtime's call is under way: who ends that closes. */
static int close_left_main(void *arg)
{
	weft_runtime *rt = made(1);
	size_t records = weft__fd_count();
	weft_file *f = file_make();
	weft_task *closer, *mine;
	int fd = weft_file_fd(f);

	(void)arg;
	gate_shut();
	mine = start(syncs, f);
	until(load_acquire(&entered) == 1);
	closer = start_in(rt, closes_file, f);
	until_parked(closer);
	T_EQ(weft_free(rt, -1), 0);
	was_left(closer);
	T_GE(fcntl(fd, F_GETFD), 0); /* not yet: its number is in a call */
	gate_open(INT_MAX);
	T_EQ(finish(mine), 0);
	T_EQ(fcntl(fd, F_GETFD), -1);
	T_EQ(weft__fd_count(), records);
	return 0;
}

TEST_WORKERS(a_close_that_is_left)
{
	with_default(close_left_main);
}

struct part {
	weft_file *f;
	int64_t at;
	char fill;
};

static int writes_part(void *arg)
{
	struct part *p = arg;
	char buf[512];

	memset(buf, p->fill, sizeof buf);
	for (int i = 0; i < 8; i++)
		T_EQ(weft_file_pwrite(p->f, buf, sizeof buf, p->at + i * (int64_t)sizeof buf, NULL), (ssize_t)sizeof buf);
	return 0;
}

static weft_file *handed;

static int opens(void *arg)
{
	(void)arg;
	handed = file_make();
	return 0;
}

/* A file that one runtime's task has open_for is another's to use, and stays when the first has gone. */
static int shared_file_main(void *arg)
{
	weft_runtime *rt = made(1), *third = made(1);
	struct part p[3];
	weft_task *t[3];
	char c;

	(void)arg;
	T_EQ(finish(start_in(rt, opens, NULL)), 0);
	for (int i = 0; i < 3; i++) {
		p[i] = (struct part){handed, i * 4096, (char)('a' + i)};
		t[i] = start_in(i == 0 ? NULL : i == 1 ? rt : third, writes_part, &p[i]);
	}
	for (int i = 0; i < 3; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(weft_free(rt, WEFT_FOREVER), 0);
	for (int i = 0; i < 3; i++) {
		T_EQ(weft_file_pread(handed, &c, 1, i * 4096 + 4095), 1);
		T_EQ(c, 'a' + i);
	}
	T_EQ(weft_file_pread(handed, &c, 1, INT64_C(3) * 4096), 0);
	T_EQ(finish(start_in(third, closes_file, handed)), 0);
	T_EQ(weft_free(third, WEFT_FOREVER), 0);
	return 0;
}

TEST_WORKERS(a_file_is_handed_on)
{
	with_default(shared_file_main);
}

static int locks(void *arg)
{
	T_EQ(weft_file_lock(arg, LOCK_EX), 0);
	return weft_file_unlock(arg);
}

/* A lock of the system's keeps the other runtime's task out, also one that is left in the wait for it. */
static int lock_main(void *arg)
{
	weft_runtime *rt = made(1), *third = made(1);
	weft_file *f[2];
	weft_task *t, *gone;

	(void)arg;
	snprintf(path, sizeof path, "/tmp/weft-several-XXXXXX");
	T_EQ(weft_file_temp(&f[0], path), 0);
	T_EQ(weft_file_open(&f[1], path, O_RDWR, 0), 0);
	T_EQ(weft_file_lock(f[0], LOCK_EX), 0);
	gone = start_in(rt, locks, f[1]);
	t = start_in(third, locks, f[1]);
	until_parked(gone);
	until_parked(t);
	T_EQ(weft_free(rt, -1), 0);
	was_left(gone);
	T_EQ(weft_file_unlock(f[0]), 0);
	T_EQ(finish(t), 0);
	for (int i = 0; i < 2; i++)
		T_EQ(weft_file_close(f[i]), 0);
	T_EQ(unlink(path), 0);
	T_EQ(weft_free(third, WEFT_FOREVER), 0);
	return 0;
}

TEST_WORKERS(a_file_lock_between_two)
{
	with_default(lock_main);
}

/* --- descriptors --- */

static int reads_one(void *arg)
{
	char c = 0;

	T_EQ(weft_tcp_read(arg, &c, 1), 1);
	return c;
}

static int waits_for(void *arg)
{
	return weft_io_wait(*(int *)arg, WEFT_IO_R);
}

static int closes_conn(void *arg)
{
	return weft_tcp_close(arg);
}

static void *thread_reads(void *arg)
{
	return (void *)(intptr_t)reads_one(arg);
}

/* The loop that watches for others goes down with a runtime that waits, for as long as it likes, for a call of its own: the others hear at once, and may close. */
static int watched_main(void *arg)
{
	weft_runtime *rt = made(1);
	weft_tcp *conn[3][2];
	weft_task *reader, *waiter, *blocker, *freeing;
	pthread_t th;
	void *got;
	int fds[2];

	(void)arg;
	gate_shut();
	T_EQ(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	for (int i = 0; i < 3; i++) {
		pair_make(&conn[i][0], &conn[i][1]);
		reader = start_in(rt, reads_one, conn[i][1]);
		until_reason(reader, "read"); /* watched there, from here on */
		write_all(conn[i][0], "a", 1);
		T_EQ(finish(reader), 'a');
	}
	waiter = start_in(rt, waits_for, &fds[0]);
	until_parked(waiter);
	T_EQ(write(fds[1], "x", 1), 1);
	T_EQ(finish(waiter), WEFT_IO_R);
	T_EQ(read(fds[0], &(char){0}, 1), 1);
	blocker = start_in(rt, blocks_at_gate, NULL);
	until(load_acquire(&entered) == 1);
	reader = start(reads_one, conn[0][1]);
	waiter = start(waits_for, &fds[0]);
	until_reason(reader, "read");
	until_parked(waiter);
	T_EQ(pthread_create(&th, NULL, thread_reads, conn[1][1]), 0);
	freeing = free_begins(rt);
	write_all(conn[0][0], "b", 1);
	T_EQ(finish(reader), 'b');
	T_EQ(write(fds[1], "x", 1), 1);
	T_EQ(finish(waiter), WEFT_IO_R);
	write_all(conn[1][0], "c", 1);
	T_EQ(finish(start(closes_conn, conn[2][1])), 0);
	T_EQ(finish(start(closes_conn, conn[0][1])), 0);
	until_parked(freeing); /* it waits on for the call */
	gate_open(INT_MAX);
	T_EQ(finish(freeing), 0);
	until(pthread_tryjoin_np(th, &got) == 0);
	T_EQ((intptr_t)got, 'c');
	if (weft_task_join(blocker, NULL)) /* as above */
		weft_task_detach(blocker);
	T_EQ(weft_tcp_close(conn[1][1]), 0);
	for (int i = 0; i < 3; i++)
		T_EQ(weft_tcp_close(conn[i][0]), 0);
	T_EQ(weft_io_forget(fds[0]), 0);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

TEST_WORKERS(others_hear_while_one_goes_down)
{
	with_default(watched_main);
}

/* Tasks of two wait for their turn; what those held that are left holds nothing: the last owner closes by giving it up. */
static int turns_main(void *arg)
{
	weft_runtime *rt = made(1);
	size_t records = weft__fd_count();
	weft_task *first, *gone[2], *next;
	weft_tcp *conn[2];
	char c;

	(void)arg;
	pair_make(&conn[0], &conn[1]);
	first = start(reads_one, conn[1]);
	until_reason(first, "read");
	gone[0] = start_in(rt, reads_one, conn[1]);
	until_reason(gone[0], "read");
	next = start(reads_one, conn[1]);
	until_reason(next, "read");
	gone[1] = start_in(rt, reads_one, conn[1]);
	until_reason(gone[1], "read");
	T_EQ(weft_free(rt, -1), 0);
	was_left(gone[0]);
	was_left(gone[1]);
	write_all(conn[0], "12", 2);
	T_EQ(finish(first), '1');
	T_EQ(finish(next), '2');
	weft_tcp_free(conn[1]);
	T_EQ(weft_tcp_read(conn[0], &c, 1), 0); /* it is closed */
	T_EQ(weft_tcp_close(conn[0]), 0);
	T_EQ(weft__fd_count(), records);
	return 0;
}

TEST_WORKERS(in_line_for_one_connection)
{
	with_default(turns_main);
}

/* --- names --- */

static int asks(void *arg)
{
	weft_addr *a;
	int n = weft_dns_resolve(&a, arg, "80", NULL);

	weft_dns_free(a);
	return n;
}

static char stuck[] = "stuck.test", two[] = "two.test";

/* Both ask for the same at once; nobody waits for the other's thread. */
static int names_main(void *arg)
{
	weft_runtime *rt = made(1);
	weft_task *theirs, *mine, *gone;
	size_t lookups;

	(void)arg;
	T_EQ(finish(start_in(rt, asks, two)), 2);
	T_EQ(asks(two), 2);
	theirs = start_in(rt, asks, stuck);
	mine = start(asks, stuck);
	until(load_relaxed(&names_stuck) == 2);
	T_EQ(finish(start_in(rt, asks, two)), 2);
	names_open();
	T_EQ(finish(theirs), 1);
	T_EQ(finish(mine), 1);
	names_shut();
	lookups = weft__dns_count();
	gone = start_in(rt, asks, stuck);
	until(load_relaxed(&names_stuck) == 1);
	mine = start(asks, stuck);
	until(load_relaxed(&names_stuck) == 2);
	T_EQ(weft_free(rt, -1), 0); /* waits for no name */
	was_left(gone);
	T_EQ(asks(two), 2);
	names_open();
	T_EQ(finish(mine), 1);
	until(load_relaxed(&names_stuck) == 0);
	until(weft__dns_count() <= lookups);
	return 0;
}

TEST_WORKERS(names_asked_by_two)
{
	names_begin();
	names_say("two.test", "192.0.2.1 2001:db8::1");
	with_default(names_main);
}

/* --- children --- */

static weft_proc *child;

static int spawns(void *arg)
{
	(void)arg;
	child = spawn(OPTS(SH("read line; exit ${#line}"), .in = WEFT_PROC_PIPE));
	return 0;
}

static int waits_for_child(void *arg)
{
	weft_proc_status st;

	(void)arg;
	T_EQ(weft_proc_wait(child, &st), 0);
	return st.code;
}

static int runs_child(void *arg)
{
	weft_proc_out out;

	(void)arg;
	T_EQ(weft_proc_output(&out, OPTS(SH("echo from a child; exit 3"))), 0);
	T_EQ(out.status.code, 3);
	T_EQ(out.len, 13);
	weft_proc_out_free(&out);
	return 0;
}

/* A child of one runtime's task is waited for by both, and by the other when the first has gone. */
static int child_main(void *arg)
{
	weft_runtime *rt = made(1);
	weft_task *gone, *mine, *t[6];
	size_t done;

	(void)arg;
	for (int i = 0; i < 6; i++)
		t[i] = start_in(i % 2 ? rt : NULL, runs_child, NULL);
	for (int i = 0; i < 6; i++)
		T_EQ(finish(t[i]), 0);
	T_EQ(finish(start_in(rt, spawns, NULL)), 0);
	gone = start_in(rt, waits_for_child, NULL);
	mine = start(waits_for_child, NULL);
	until_parked(gone);
	until_parked(mine);
	T_EQ(weft_free(rt, -1), 0);
	was_left(gone);
	T_EQ(weft_pipe_write(weft_proc_in(child), "1234\n", 5, &done), 5);
	T_EQ(finish(mine), 4);
	weft_proc_free(child);
	return 0;
}

static int two_run_children_main(void *arg)
{
	(void)arg;
	return child_main(NULL);
}

TEST_WORKERS(children_of_two)
{
	warm_up();
	run_children(two_run_children_main, NULL);
}

/* --- signals --- */

static weft_chan *heard;

static int listens_for_signal(void *arg)
{
	(void)arg;
	return weft_signal_notify(heard, SIGUSR1);
}

/* Whose task reads them goes down: not one that is paused has the next, but one that runs, though its number is higher. */
TEST_WORKERS(signals_pass_by_who_is_paused)
{
	weft_runtime *paused, *first, *last;
	int sig = 0;

	warm_up();
	heard = weft_chan_make(sizeof(int), 4);
	T_EQ(weft_make(&paused, &(weft_opts){.workers = 1, .paused = true}), 0);
	first = made(1);
	last = made(tap_workers());
	T_EQ(finish(start_in(first, listens_for_signal, NULL)), 0);
	T_EQ(kill(getpid(), SIGUSR1), 0);
	T_EQ(weft_chan_recv(heard, &sig), 0);
	T_EQ(weft_free(first, -1), 0);
	T_EQ(kill(getpid(), SIGUSR1), 0);
	T_EQ(weft_chan_recv(heard, &sig), 0);
	T_EQ(sig, SIGUSR1);
	T_EQ(weft_free(last, WEFT_FOREVER), 0); /* there is only one that is paused now: when it goes on, it reads */
	T_EQ(kill(getpid(), SIGUSR1), 0);
	T_EQ(weft_runtime_use(paused), 0);
	T_EQ(weft_resume(), 0);
	T_EQ(weft_runtime_use(NULL), 0);
	T_EQ(weft_chan_recv(heard, &sig), 0);
	T_EQ(weft_signal_stop(heard), 0);
	T_EQ(weft_free(paused, WEFT_FOREVER), 0);
	weft_chan_free(heard);
	nothing_left();
}
