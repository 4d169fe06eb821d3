/* SPDX-License-Identifier: MIT
 *
 * frames.c - debug/: is the first frame of a parked task the public call it is in, and the next one the program's own, with nothing of weft's between them or below?
 *
 * Built twice, upon the archive and upon the shared library: weft's functions are told from the program's in different ways. Public calls only.
 */
#include "dumped.h"
#include "tap.h"

#include <fcntl.h>
#include <weft.h>

static chan *empty, *full;
static bsub *sub;
static watch *value;
static mutex held;
static waitgroup group;
static weft_rmutex rheld;
static weft_rwlock written;
static weft_mutex of_cond;
static weft_cond cond;
static weft_sema none_left;
static weft_latch latch;
static weft_barrier barrier;
static weft_event event;
static weft_group tasks;
static weft_promise *of_never;
static weft_future *never;
static weft_waker *nobody;
static weft_proc *sleeper;
static weft_limiter *slow;
static weft_stream *dry_stream, *odd_stream, *unread;
static weft_stream_tx *full_stream, *idle;
static weft_bulkhead *packed;
static weft_pool *busy_pool, *ending_pool;
static weft_futures *no_answers;
static weft_future *no_answer;
static weft_limit *narrow;
static weft_credit *no_credit;
static weft_congestion congested;
static task *forever;
static int pipe_fd[2];
static tcp_listener *listener;
static tcp *stream;
static udp *datagrams, *datagrams_many;
static weft_io pair_end;
static weft_pipe *dry, *wet;
static weft_unix *un, *un_peer;
static unix_listener *un_listener;
static weft_file *fifo;
static fswatch *quiet;
static actor_ref busy, silent, quiet_bus;
static const server_vt does_nothing = {0};

enum { ELEMS = 4 };

static int by_send(void *arg)
{
	(void)arg;
	chan_send(full, &(int){1});
	NO_TAIL_CALL();
	return 0;
}

static int by_send_until(void *arg)
{
	(void)arg;
	chan_send_until(full, &(int){1}, weft_in(3600 * SEC));
	NO_TAIL_CALL();
	return 0;
}

static int by_recv(void *arg)
{
	(void)arg;
	chan_recv(empty, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_recv_until(void *arg)
{
	(void)arg;
	chan_recv_until(empty, NULL, weft_in(3600 * SEC));
	NO_TAIL_CALL();
	return 0;
}

static int by_nothing_to_send(void *arg)
{
	(void)arg;
	chan_send(NULL, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_nothing_to_recv(void *arg)
{
	(void)arg;
	chan_recv(NULL, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_send_many(void *arg)
{
	(void)arg;
	chan_send_many(full, (int[ELEMS]){1}, ELEMS);
	NO_TAIL_CALL();
	return 0;
}

static int by_recv_many(void *arg)
{
	(void)arg;
	chan_recv_many(empty, NULL, ELEMS);
	NO_TAIL_CALL();
	return 0;
}

static int by_many_of_nothing(void *arg)
{
	(void)arg;
	chan_recv_many(NULL, NULL, ELEMS);
	NO_TAIL_CALL();
	return 0;
}

static int by_reserve(void *arg)
{
	void *slot;

	(void)arg;
	chan_reserve(full, &slot);
	NO_TAIL_CALL();
	return 0;
}

static int by_peek(void *arg)
{
	void *slot;

	(void)arg;
	chan_peek(empty, &slot);
	NO_TAIL_CALL();
	return 0;
}

static int by_select(void *arg)
{
	chan_case k[] = {CASE_RECV(empty, NULL), CASE_SEND(full, &(int){1})};

	(void)arg;
	chan_select(k, 2);
	NO_TAIL_CALL();
	return 0;
}

static int by_ordered_select(void *arg)
{
	chan_case k[] = {CASE_RECV(empty, NULL), CASE_BSUB(sub, NULL), CASE_WATCH(NULL, NULL)};

	(void)arg;
	chan_select_with(k, 3, SELECT_ORDERED, FOREVER);
	NO_TAIL_CALL();
	return 0;
}

static int by_select_of_nothing(void *arg)
{
	(void)arg;
	chan_select(NULL, 0);
	NO_TAIL_CALL();
	return 0;
}

static int by_bsub(void *arg)
{
	(void)arg;
	bsub_recv(sub, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_watch(void *arg)
{
	uint64_t seen = 1;

	(void)arg;
	watch_changed(value, &seen, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_lock(void *arg)
{
	(void)arg;
	mutex_lock(&held);
	NO_TAIL_CALL();
	return 0;
}

static int by_group(void *arg)
{
	(void)arg;
	wg_wait(&group);
	NO_TAIL_CALL();
	return 0;
}

static int by_join(void *arg)
{
	(void)arg;
	task_join(forever, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_rlock(void *arg)
{
	(void)arg;
	weft_rmutex_lock(&rheld);
	NO_TAIL_CALL();
	return 0;
}

static int by_rdlock(void *arg)
{
	(void)arg;
	weft_rwlock_rdlock(&written);
	NO_TAIL_CALL();
	return 0;
}

static int by_wrlock(void *arg)
{
	(void)arg;
	weft_rwlock_wrlock(&written);
	NO_TAIL_CALL();
	return 0;
}

static int by_cond(void *arg)
{
	(void)arg;
	mutex_lock(&of_cond);
	weft_cond_wait(&cond, &of_cond);
	NO_TAIL_CALL();
	return 0;
}

static int by_sema(void *arg)
{
	(void)arg;
	weft_sema_acquire(&none_left, 1);
	NO_TAIL_CALL();
	return 0;
}

static int by_latch(void *arg)
{
	(void)arg;
	weft_latch_wait(&latch);
	NO_TAIL_CALL();
	return 0;
}

static int by_barrier(void *arg)
{
	(void)arg;
	weft_barrier_wait(&barrier);
	NO_TAIL_CALL();
	return 0;
}

static int by_event(void *arg)
{
	(void)arg;
	weft_event_wait(&event);
	NO_TAIL_CALL();
	return 0;
}

static int by_group_of_tasks(void *arg)
{
	(void)arg;
	weft_group_wait(&tasks);
	NO_TAIL_CALL();
	return 0;
}

static int by_future(void *arg)
{
	(void)arg;
	weft_future_await(never, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_ctx(void *arg)
{
	(void)arg;
	weft_ctx_wait(NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_waker(void *arg)
{
	(void)arg;
	weft_waker_wait(nobody);
	NO_TAIL_CALL();
	return 0;
}

static int by_proc(void *arg)
{
	(void)arg;
	weft_proc_wait(sleeper, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_limiter(void *arg)
{
	(void)arg;
	weft_limiter_wait(slow, 1);
	NO_TAIL_CALL();
	return 0;
}

static int fails(void *arg)
{
	(void)arg;
	return WEFT_EAGAIN;
}

/* On a thread that is left. */
static int for_ever(void *arg)
{
	for (;;)
		pause();
	return *(int *)arg;
}

static int by_pool_submit(void *arg)
{
	(void)arg;
	weft_pool_submit(busy_pool, fails, NULL, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_pool_call(void *arg)
{
	(void)arg;
	weft_pool_call(busy_pool, fails, NULL, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_pool_free(void *arg)
{
	(void)arg;
	weft_pool_free(ending_pool);
	NO_TAIL_CALL();
	return 0;
}

static int by_server_request(void *arg)
{
	weft_future *f;

	(void)arg;
	weft_server_request(busy, 1, NULL, 0, 0, &f);
	NO_TAIL_CALL();
	return 0;
}

static int by_server_response(void *arg)
{
	(void)arg;
	weft_server_response(no_answer, NULL, 0);
	NO_TAIL_CALL();
	return 0;
}

static int by_futures_next(void *arg)
{
	weft_ended e;

	(void)arg;
	weft_futures_next(no_answers, &e);
	NO_TAIL_CALL();
	return 0;
}

static int by_bulkhead(void *arg)
{
	(void)arg;
	weft_bulkhead_enter(packed);
	NO_TAIL_CALL();
	return 0;
}

static int by_bulkhead_call(void *arg)
{
	(void)arg;
	weft_bulkhead_call(packed, fails, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_limit(void *arg)
{
	weft_permit p;

	(void)arg;
	weft_limit_acquire(narrow, &p);
	NO_TAIL_CALL();
	return 0;
}

static int by_limit_call(void *arg)
{
	(void)arg;
	weft_limit_call(narrow, fails, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_credit(void *arg)
{
	(void)arg;
	weft_credit_take(no_credit, 1);
	NO_TAIL_CALL();
	return 0;
}

static int by_credit_some(void *arg)
{
	(void)arg;
	weft_credit_take_some(no_credit, 1);
	NO_TAIL_CALL();
	return 0;
}

static int by_congestion(void *arg)
{
	(void)arg;
	weft_congestion_wait(&congested);
	NO_TAIL_CALL();
	return 0;
}

static int by_retry(void *arg)
{
	(void)arg;
	weft_retry(&(weft_retry_opts){.backoff = {.base = 3600 * SEC, .jitter = WEFT_JITTER_NONE}}, fails, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_stream_read(void *arg)
{
	(void)arg;
	weft_stream_read(dry_stream, &(char){0}, 1);
	NO_TAIL_CALL();
	return 0;
}

static int by_stream_count(void *arg)
{
	(void)arg;
	weft_stream_count(odd_stream);
	NO_TAIL_CALL();
	return 0;
}

static int by_stream_write(void *arg)
{
	(void)arg;
	weft_stream_write(full_stream, &(char){0});
	NO_TAIL_CALL();
	return 0;
}

static int by_sleep(void *arg)
{
	(void)arg;
	task_sleep(3600 * SEC);
	NO_TAIL_CALL();
	return 0;
}

static int by_park(void *arg)
{
	(void)arg;
	task_park();
	NO_TAIL_CALL();
	return 0;
}

static int by_io(void *arg)
{
	(void)arg;
	io_wait(pipe_fd[0], IO_R);
	NO_TAIL_CALL();
	return 0;
}

static int by_accept(void *arg)
{
	(void)arg;
	tcp_accept(listener, &(tcp *){NULL});
	NO_TAIL_CALL();
	return 0;
}

static int by_read(void *arg)
{
	char byte;

	(void)arg;
	tcp_read(stream, &byte, 1);
	NO_TAIL_CALL();
	return 0;
}

static int by_io_read(void *arg)
{
	char byte;

	(void)arg;
	io_read(tcp_io(stream), &byte, 1);
	NO_TAIL_CALL();
	return 0;
}

static int by_file_read(void *arg)
{
	char byte;

	(void)arg;
	file_read(fifo, &byte, 1);
	NO_TAIL_CALL();
	return 0;
}

static int by_rd_line(void *arg)
{
	weft_rd r;
	char *line;

	(void)arg;
	rd_init(&r, tcp_io(stream), NULL, 0);
	rd_line(&r, &line);
	NO_TAIL_CALL();
	return 0;
}

static int by_rd_full(void *arg)
{
	char buf[100];
	weft_rd r;

	(void)arg;
	rd_init(&r, tcp_io(stream), NULL, 0);
	rd_full(&r, buf, sizeof buf, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_rd_byte(void *arg)
{
	weft_rd r;

	(void)arg;
	rd_init(&r, tcp_io(stream), NULL, 0);
	rd_byte(&r);
	NO_TAIL_CALL();
	return 0;
}

static int by_wr_flush(void *arg)
{
	weft_wr w;

	(void)arg;
	wr_init(&w, pair_end, NULL, 0);
	wr_byte(&w, 1);
	wr_flush(&w);
	NO_TAIL_CALL();
	return 0;
}

static int by_wr_printf(void *arg)
{
	weft_wr w;
	char buf[16];

	(void)arg;
	wr_init(&w, pair_end, buf, sizeof buf);
	wr_printf(&w, "more than %d bytes", 16);
	NO_TAIL_CALL();
	return 0;
}

static int by_pair_read(void *arg)
{
	char byte;

	(void)arg;
	io_read(pair_end, &byte, 1);
	NO_TAIL_CALL();
	return 0;
}

static int by_fswatch(void *arg)
{
	fsevent e;

	(void)arg;
	fswatch_next(quiet, &e);
	NO_TAIL_CALL();
	return 0;
}

static int by_io_copy(void *arg)
{
	(void)arg;
	io_copy(null_io(), tcp_io(stream), 1, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_pipe_read(void *arg)
{
	char byte;

	(void)arg;
	pipe_read(dry, &byte, 1);
	NO_TAIL_CALL();
	return 0;
}

static int by_unix_read(void *arg)
{
	char byte;

	(void)arg;
	unix_read(un, &byte, 1);
	NO_TAIL_CALL();
	return 0;
}

static int by_unix_recv_fds(void *arg)
{
	char byte;
	int n = 0;

	(void)arg;
	unix_recv_fds(un_peer, &byte, 1, NULL, &n);
	NO_TAIL_CALL();
	return 0;
}

static int by_unix_accept(void *arg)
{
	(void)arg;
	unix_accept(un_listener, &(weft_unix *){NULL});
	NO_TAIL_CALL();
	return 0;
}

static int by_udp_recv(void *arg)
{
	char byte;

	(void)arg;
	udp_recv(datagrams, &byte, 1, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_udp_recv_many(void *arg)
{
	struct iovec v = {&(char){0}, 1};
	udp_msg m = {.iov = &v, .count = 1};

	(void)arg;
	udp_recv_many(datagrams_many, &m, 1);
	NO_TAIL_CALL();
	return 0;
}

static int by_mail(void *arg)
{
	weft_msg *m;

	(void)arg;
	T_EQ(actor_attach(NULL, NULL), 0);
	actor_recv(&m);
	NO_TAIL_CALL();
	return 0;
}

static bool is_none(const weft_msg *m, void *arg)
{
	(void)m;
	(void)arg;
	return false;
}

static int by_mail_match(void *arg)
{
	weft_msg *m;

	(void)arg;
	T_EQ(actor_attach(NULL, NULL), 0);
	actor_recv_match(&m, is_none, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_mail_room(void *arg)
{
	(void)arg;
	actor_send(busy, 1, NULL, 0, PRIO_NORMAL);
	NO_TAIL_CALL();
	return 0;
}

static int by_actor(void *arg)
{
	(void)arg;
	actor_wait(busy, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_actor_name(void *arg)
{
	actor_ref ref;

	(void)arg;
	reg_wait("nobody", &ref);
	NO_TAIL_CALL();
	return 0;
}

static int by_call(void *arg)
{
	(void)arg;
	server_call(silent, 1, NULL, 0, NULL, 0);
	NO_TAIL_CALL();
	return 0;
}

static int by_call_name(void *arg)
{
	(void)arg;
	reg_call("silent", 1, NULL, 0, NULL, 0);
	NO_TAIL_CALL();
	return 0;
}

static int by_migrate(void *arg)
{
	(void)arg;
	server_migrate(silent, &does_nothing, NULL, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_bus(void *arg)
{
	(void)arg;
	bus_notify_sync(quiet_bus, 1, NULL, 0);
	NO_TAIL_CALL();
	return 0;
}

static int by_bus_call(void *arg)
{
	(void)arg;
	bus_remove(quiet_bus, 1);
	NO_TAIL_CALL();
	return 0;
}

static actor_ref held_sup, stuck_sup;

static int stuck_start(actor_ref *out, void *arg)
{
	(void)out;
	(void)arg;
	return task_park();
}

static int will_not_end(void *arg)
{
	(void)arg;
	WITH_SHIELD
	{
		task_park();
	}
	return 0;
}

static int by_sup_start(void *arg)
{
	static const child_spec c = {.id = "stuck", .start = stuck_start};
	actor_ref ref;

	(void)arg;
	sup_start(&ref, &(sup_opts){.children = &c, .n = 1});
	NO_TAIL_CALL();
	return 0;
}

static int by_sup_stop(void *arg)
{
	(void)arg;
	sup_stop(stuck_sup);
	NO_TAIL_CALL();
	return 0;
}

static int by_sup_child_add(void *arg)
{
	(void)arg;
	sup_child_add(held_sup, &(child_spec){.id = "x", .start = stuck_start}, NULL);
	NO_TAIL_CALL();
	return 0;
}

static int by_sup_list(void *arg)
{
	(void)arg;
	sup_list(held_sup, NULL, 0);
	NO_TAIL_CALL();
	return 0;
}

static int by_sup_tree(void *arg)
{
	(void)arg;
	sup_tree(held_sup, NULL, 0, 0);
	NO_TAIL_CALL();
	return 0;
}

static int is_busy(void *state, weft_msg *m)
{
	(void)state;
	(void)m;
	return 0;
}

static const struct call {
	weft_task_fn *fn;
	const char *name, *call;
} calls[] = {
#define CALL(name, call)                 \
	{                                \
		name, #name, "    " call \
	}
	CALL(by_send, "weft_chan_send"),
	CALL(by_send_until, "weft_chan_send"),
	CALL(by_recv, "weft_chan_recv"),
	CALL(by_recv_until, "weft_chan_recv"),
	CALL(by_nothing_to_send, "weft_chan_send"),
	CALL(by_nothing_to_recv, "weft_chan_recv"),
	CALL(by_send_many, "weft_chan_send_many"),
	CALL(by_recv_many, "weft_chan_recv_many"),
	CALL(by_many_of_nothing, "weft_chan_recv_many"),
	CALL(by_reserve, "weft_chan_reserve"),
	CALL(by_peek, "weft_chan_peek"),
	CALL(by_select, "weft_chan_select"),
	CALL(by_ordered_select, "weft_chan_select"),
	CALL(by_select_of_nothing, "weft_chan_select"),
	CALL(by_bsub, "weft_bsub_recv"),
	CALL(by_watch, "weft_watch_changed"),
	CALL(by_lock, "weft_mutex_lock"),
	CALL(by_group, "weft_wg_wait"),
	CALL(by_join, "weft_task_join"),
	CALL(by_rlock, "weft_rmutex_lock"),
	CALL(by_rdlock, "weft_rwlock_rdlock"),
	CALL(by_wrlock, "weft_rwlock_wrlock"),
	CALL(by_cond, "weft_cond_wait"),
	CALL(by_sema, "weft_sema_acquire"),
	CALL(by_latch, "weft_latch_wait"),
	CALL(by_barrier, "weft_barrier_wait"),
	CALL(by_event, "weft_event_wait"),
	CALL(by_group_of_tasks, "weft_group_wait"),
	CALL(by_future, "weft_future_await"),
	CALL(by_ctx, "weft_ctx_wait"),
	CALL(by_waker, "weft_waker_wait"),
	CALL(by_proc, "weft_proc_wait"),
	CALL(by_limiter, "weft_limiter_wait"),
	CALL(by_stream_read, "weft_stream_read"),
	CALL(by_stream_count, "weft_stream_count"),
	CALL(by_stream_write, "weft_stream_write"),
	CALL(by_pool_submit, "weft_pool_submit"),
	CALL(by_pool_call, "weft_pool_call"),
	CALL(by_pool_free, "weft_pool_free"),
	CALL(by_server_request, "weft_server_request"),
	CALL(by_server_response, "weft_server_response"),
	CALL(by_futures_next, "weft_futures_next"),
	CALL(by_bulkhead, "weft_bulkhead_enter"),
	CALL(by_bulkhead_call, "weft_bulkhead_call"),
	CALL(by_limit, "weft_limit_acquire"),
	CALL(by_limit_call, "weft_limit_call"),
	CALL(by_credit, "weft_credit_take"),
	CALL(by_credit_some, "weft_credit_take_some"),
	CALL(by_congestion, "weft_congestion_wait"),
	CALL(by_retry, "weft_retry"),
	CALL(by_sleep, "weft_task_sleep"),
	CALL(by_park, "weft_task_park"),
	CALL(by_io, "weft_io_wait"),
	CALL(by_accept, "weft_tcp_accept"),
	CALL(by_read, "weft_tcp_read"),
	CALL(by_udp_recv, "weft_udp_recv"),
	CALL(by_udp_recv_many, "weft_udp_recv_many"),
	CALL(by_io_read, "weft_io_read"),
	CALL(by_rd_line, "weft_rd_line"),
	CALL(by_rd_full, "weft_rd_full"),
	CALL(by_rd_byte, "weft_rd_byte"),
	CALL(by_wr_flush, "weft_wr_flush"),
	CALL(by_wr_printf, "weft_wr_printf"),
	CALL(by_pair_read, "weft_io_read"),
	CALL(by_io_copy, "weft_io_copy"),
	CALL(by_pipe_read, "weft_pipe_read"),
	CALL(by_unix_read, "weft_unix_read"),
	CALL(by_unix_recv_fds, "weft_unix_recv_fds"),
	CALL(by_unix_accept, "weft_unix_accept"),
	CALL(by_file_read, "weft_file_read"),
	CALL(by_fswatch, "weft_fswatch_next"),
	CALL(by_mail, "weft_actor_recv"),
	CALL(by_mail_match, "weft_actor_recv_match"),
	CALL(by_mail_room, "weft_actor_send"),
	CALL(by_actor, "weft_actor_wait"),
	CALL(by_actor_name, "weft_reg_wait"),
	CALL(by_call, "weft_server_call"),
	CALL(by_call_name, "weft_reg_call"),
	CALL(by_migrate, "weft_server_migrate"),
	CALL(by_bus, "weft_bus_notify_sync"),
	CALL(by_bus_call, "weft_bus_remove"),
	CALL(by_sup_start, "weft_sup_start"),
	CALL(by_sup_stop, "weft_sup_stop"),
	CALL(by_sup_child_add, "weft_sup_child_add"),
	CALL(by_sup_list, "weft_sup_list"),
	CALL(by_sup_tree, "weft_sup_tree"),
};

enum { CALLS = sizeof calls / sizeof *calls };

static int parks(void *arg)
{
	(void)arg;
	return task_park();
}

/* The frames of a task's part, one a line; those about what it waits for are not. */
static const char *first_frame(const char *part)
{
	const char *line = strchr(part, '\n');

	while (line && strncmp(line + 1, "    waits ", 10) == 0)
		line = strchr(line + 1, '\n');
	if (!line)
		T_FAIL("no frame: %s", part);
	return line + 1;
}

/* The public call is the first frame; the program's own function comes next, and is the last. */
static bool is_right(const char *text, const struct call *c)
{
	const char *frame, *next;
	char head[64], own[64];

	snprintf(head, sizeof head, " \"%s\": ", c->name);
	frame = first_frame(part_of(text, head));
	next = strchr(frame, '\n');
	snprintf(own, sizeof own, "\n    %s+", c->name);
	return strncmp(frame, c->call, strlen(c->call)) == 0 && next && strncmp(next, own, strlen(own)) == 0 && !strchr(next + 1, '\n');
}

static int calls_main(void *arg)
{
	bcast *b = bcast_make(4, 1);
	const char *wrong = NULL;
	char *text, where[64];
	int fifo_fd[2];
	weft_permit place;
	weft_addr a;
	tcp *other;

	(void)arg;
	empty = chan_make(sizeof(int), 1);
	full = chan_make(sizeof(int), 1);
	T_EQ(chan_send(full, &(int){1}), 0);
	sub = bcast_sub(b);
	value = watch_make(0, NULL);
	T_EQ(mutex_lock(&held), 0);
	wg_add(&group, 1);
	T_EQ(weft_rmutex_lock(&rheld), 0);
	T_EQ(weft_rwlock_wrlock(&written), 0);
	weft_sema_init(&none_left, 0);
	weft_latch_init(&latch, 1);
	weft_barrier_init(&barrier, 2);
	T_EQ(weft_promise_make(0, &of_never, &never), 0);
	T_EQ(weft_waker_make(&nobody), 0);
	T_EQ(weft_proc_spawn(&sleeper, &(weft_proc_opts){.argv = (const char *const[]){"sleep", "1000", NULL}, .pdeathsig = SIGKILL}), 0);
	slow = weft_limiter_make(1, 3600 * SEC, 1);
	T_EQ(weft_limiter_wait(slow, 1), 0);
	T_EQ(weft_stream_open(&dry_stream, &idle, &(weft_stream_opts){.elem = 1}), 0);
	T_EQ(weft_stream_open(&unread, &full_stream, &(weft_stream_opts){.elem = 1, .max = 1}), 0);
	T_EQ(weft_stream_write(full_stream, &(char){0}), 0);
	odd_stream = weft_stream_take(weft_stream_chan(empty), 3);
	T_EQ(weft_bulkhead_make(&packed, &(weft_bulkhead_opts){.max = 1, .line.max = -1}), 0);
	T_EQ(weft_bulkhead_enter(packed), 0);
	T_EQ(weft_limit_make(&narrow, &(weft_limit_opts){.window.initial = 1, .line.max = -1}), 0);
	T_EQ(weft_limit_acquire(narrow, &place), 0);
	T_EQ(weft_credit_make(&no_credit, 0), 0);
	T_EQ(weft_congestion_init(&congested, &(weft_congestion_opts){.high = 1}), 0);
	T_EQ(weft_congestion_see(&congested, 1, weft_now()), 1);
	T_EQ(weft_group_init(&tasks, NULL), 0);
	T_EQ(weft_group_go(&tasks, parks, NULL), 0);
	T_EQ(go_opts(&forever, parks, NULL, NULL), 0);
	T_EQ(pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK), 0);
	T_EQ(tcp_listen(&listener, "127.0.0.1:0", NULL), 0);
	T_EQ(tcp_listener_addr(listener, &a), 0);
	addr_format(&a, where, sizeof where);
	T_EQ(tcp_dial(&stream, where), 0);
	T_EQ(tcp_accept(listener, &other), 0);
	T_EQ(udp_open(&datagrams, "127.0.0.1:0", NULL), 0);
	T_EQ(udp_open(&datagrams_many, "127.0.0.1:0", NULL), 0);
	T_EQ(io_pair(&pair_end, &(weft_io){NULL, NULL}), 0);
	T_EQ(pipe_make(&dry, &wet), 0);
	T_EQ(unix_pair(&un, &un_peer), 0);
	T_EQ(unix_listen(&un_listener, "@", NULL), 0);
	T_EQ(pipe2(fifo_fd, O_CLOEXEC), 0);
	T_EQ(weft_file_from_fd(&fifo, fifo_fd[0]), 0);
	T_EQ(fswatch_make(&quiet), 0);
	T_EQ(actor_start(&busy, &(actor_opts){.on_msg = is_busy, .mailbox = {.cap = 1}}), 0);
	T_EQ(actor_suspend(busy), 0);
	T_EQ(server_start(&silent, &does_nothing, NULL, &(server_opts){.name = "silent"}), 0);
	T_EQ(actor_suspend(silent), 0);
	T_EQ(weft_pool_make(&busy_pool, &(weft_pool_opts){.max = 1, .queue = -1, .leaves = true}), 0);
	T_EQ(weft_pool_submit(busy_pool, for_ever, NULL, NULL), 0);
	T_EQ(weft_pool_make(&ending_pool, &(weft_pool_opts){.max = 1, .leaves = true}), 0);
	T_EQ(weft_pool_submit(ending_pool, for_ever, NULL, NULL), 0);
	T_EQ(weft_server_request(silent, 1, NULL, 0, 0, &no_answer), 0);
	no_answers = weft_futures_make();
	T_EQ(weft_futures_add(no_answers, weft_future_ref(never), 0), 0);
	T_EQ(bus_start(&quiet_bus, NULL), 0);
	T_EQ(actor_suspend(quiet_bus), 0);
	T_EQ(actor_send(busy, 1, NULL, 0, PRIO_NORMAL), 0);
	T_EQ(sup_start(&held_sup, &(sup_opts){.children = NULL}), 0);
	T_EQ(actor_suspend(held_sup), 0);
	T_EQ(sup_start(&stuck_sup,
		       &(sup_opts){.children = &(child_spec){.id = "x", .task = will_not_end, .shutdown = WEFT_FOREVER}, .n = 1}),
	     0);
	for (int i = 0; i < CALLS; i++)
		T_EQ(go_opts(NULL, calls[i].fn, NULL, &(task_opts){.name = calls[i].name}), 0);
	for (int looks = 0;;) { /* a call may park more than once on its way to where it waits */
		text = dumped();
		if (count_of(text, ": parked, ") == CALLS + 9 && !strstr(text, "moved on")) {
			wrong = NULL;
			for (int i = 0; i < CALLS && !wrong; i++)
				wrong = is_right(text, &calls[i]) ? NULL : calls[i].name;
			if (!wrong || ++looks > 1000)
				break;
		}
		free(text);
		task_yield();
	}
	if (wrong) {
		char head[64];

		snprintf(head, sizeof head, " \"%s\": ", wrong);
		T_FAIL("%s", part_of(text, head));
	}
	free(text);
	return 0;
}

static int by_shutdown(void *arg)
{
	(void)arg;
	(void)weft_shutdown(3600 * SEC);
	NO_TAIL_CALL();
	return 0;
}

static int by_shutdown_until(void *arg)
{
	(void)arg;
	(void)weft_shutdown_until(WEFT_FOREVER);
	NO_TAIL_CALL();
	return 0;
}

static int by_shutdown_list(void *arg)
{
	weft_task_info one;
	int n;

	(void)arg;
	(void)weft_shutdown_list(WEFT_FOREVER, &one, 1, &n);
	NO_TAIL_CALL();
	return 0;
}

static int shutdowns_main(void *arg)
{
	static const struct call all[] = {CALL(by_shutdown, "weft_shutdown"), CALL(by_shutdown_until, "weft_shutdown_until"),
					  CALL(by_shutdown_list, "weft_shutdown_list")};

	(void)arg;
	for (int i = 0; i < 3; i++)
		T_EQ(go_opts(NULL, all[i].fn, NULL, &(task_opts){.name = all[i].name}), 0);
	WITH_SHIELD
	{
		char *text = dumped();

		/* One that says that it is parked may still run, and be seen in the system, or not at all. */
		while (count_of(text, ": parked, shutdown") != 3 || !is_right(text, &all[0]) || !is_right(text, &all[1]) ||
		       !is_right(text, &all[2])) {
			free(text);
			task_yield();
			text = dumped();
		}
		free(text);
	}
	return 0;
}

/* Those that end all others, which cannot be among them. */
TEST_WORKERS(the_call_that_ends_all)
{
	T_EQ(weft_run(shutdowns_main, NULL, &(weft_opts){.workers = tap_workers()}), 0);
}

#undef CALL

TEST_WORKERS(the_public_call_is_the_first_frame)
{
	setenv("WEFT_EXIT", "main", 1);
	tap_leaky();
	T_EQ(weft_run(calls_main, NULL, &(weft_opts){.workers = tap_workers()}), 0);
}
