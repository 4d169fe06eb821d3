/* SPDX-License-Identifier: MIT
 *
 * run.c - a child in one call: start it, feed it, collect what it writes, wait for it.
 *
 * Each pipe has a task of its own, which reads to its end (or writes all); the caller waits for the child, then for them. The end of a pipe comes when the last process that has
 * its other end closes it, which need not be the child: wait_delay bounds the waiting for others, and the end of the caller's own context ends it.
 */
#include "serve/process.h"
#include "io/file.h"

#include "base/clock.h"
#include "core/runtime.h"
#include "weft/scope.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_DEFAULT (16u << 20)
#define FIRST_BYTES SMALL(4096, 16)
#define LATE_READS 256 /* as many a writer that does not stop can still have read */

struct pump {
	weft_pipe *pipe; /* the child's; NULL: none */
	weft_task *task;
	char *data; /* what was read, and room for more */
	size_t len, room, limit;
	bool cut;
	int rc;
	const void *input; /* what is written */
	size_t ninput;
};

/* What the call has in its frame while it may park. */
struct run {
	struct file_call call; /* how it is held: the rest of it is not used */
	weft_proc *proc;
	struct pump pumps[3];
};

/* The runtime goes down before the call returns. Those who read and write for it never run again either. */
static void run_forsaken(struct file_call *c)
{
	struct run *r = container_of(c, struct run, call);

	weft__proc_forsake(r->proc);
	for (int i = 0; i < 3; i++) {
		if (r->pumps[i].task)
			weft_task_detach(r->pumps[i].task);
		free(r->pumps[i].data);
	}
}

/* Waits for it to end, or ends it. */
static int wait_or_end(weft_proc *p, const weft_proc_opts *o, weft_proc_status *status, int64_t deadline)
{
	int rc = weft_proc_wait_until(p, status, deadline);

	if ((rc == 0 || rc == WEFT_ECHILD) && !weft__proc_struck(p))
		return rc;
	if (rc == 0 || rc == WEFT_ECHILD)
		return weft_ctx_reason(o->ctx) == WEFT_REASON_DEADLINE ? WEFT_ETIMEDOUT : WEFT_ECANCELED;
	weft__proc_end(p, o->grace);
	WEFT_WITH_SHIELD(void) weft_proc_wait_until(p, status, WEFT_FOREVER);
	return rc;
}

static bool has_pipe(const weft_proc_opts *o)
{
	return o->in.to == WEFT_PROC_TO_PIPE || o->out.to == WEFT_PROC_TO_PIPE || o->err.to == WEFT_PROC_TO_PIPE;
}

int weft_proc_run_until(const weft_proc_opts *o, weft_proc_status *status, int64_t deadline)
{
	struct run r = {.proc = NULL};
	int rc = o && !has_pipe(o) ? 0 : WEFT_EINVAL;

	if (!rc) /* without a runtime it could not be waited for */
		rc = weft__proc_runtime_up() ? weft_proc_spawn_until(&r.proc, o, deadline) : WEFT_ESRCH;
	if (rc)
		return rc;
	weft__file_hold(&r.call, run_forsaken);
	rc = wait_or_end(r.proc, o, status, deadline);
	weft__file_let_go(&r.call);
	weft_proc_free(r.proc);
	return rc;
}

int weft_proc_run(const weft_proc_opts *o, weft_proc_status *status)
{
	return weft_proc_run_until(o, status, WEFT_FOREVER);
}

/* --- with its output --- */

/* Room for a byte more and a zero behind it. */
static bool grow(struct pump *m)
{
	size_t room = m->room ? m->room * 2 : FIRST_BYTES;
	char *data;

	if (m->len + 1 < m->room)
		return true;
	data = realloc(m->data, room);
	if (!data)
		return false;
	m->data = data;
	m->room = room;
	return true;
}

/* What is there now. A function of its own: errno's address is another's after a park. */
NOINLINE static ssize_t read_now(int fd, void *buf, size_t n)
{
	ssize_t got = read(fd, buf, n);

	return got < 0 ? -errno : got;
}

static int collect(void *arg)
{
	struct pump *m = arg;
	char dropped[4096];
	int late = 0;
	ssize_t n;

	do {
		bool keep = m->len < m->limit && m->rc != WEFT_ENOMEM;
		size_t want;

		if (keep && !grow(m)) {
			m->rc = WEFT_ENOMEM;
			keep = false;
		}
		want = keep ? m->room - m->len - 1 : sizeof dropped;
		if (keep && want > m->limit - m->len)
			want = m->limit - m->len;
		n = weft_pipe_read(m->pipe, keep ? m->data + m->len : dropped, want);
		if (n == WEFT_ETIMEDOUT && late++ < LATE_READS) /* pump_end waits no longer, but what was written in time is not lost */
			n = read_now(weft_pipe_fd(m->pipe), keep ? m->data + m->len : dropped, want);
		if (n > 0 && keep)
			m->len += (size_t)n;
		else if (n > 0)
			m->cut = true;
	} while (n > 0);
	if (m->data)
		m->data[m->len] = 0;
	return 0; /* the end, or nobody waits for that any more */
}

static int feed(void *arg)
{
	struct pump *m = arg;

	(void)weft_pipe_write(m->pipe, m->input, m->ninput, NULL); /* it need not read all */
	(void)weft_pipe_close(weft_pipe_ref(m->pipe));
	return 0;
}

/* Starts the task of a pipe. It is not cancelled with the caller: its end is the pipe's. */
static int pump_start(struct pump *m, weft_task_fn *fn)
{
	return m->pipe ? weft_go_opts(&m->task, fn, m, &(weft_task_opts){.ctx = weft__ctx_service()}) : 0;
}

static void pump_close(struct pump *m)
{
	if (m->pipe)
		(void)weft_pipe_close(weft_pipe_ref(m->pipe));
}

/* Waits for a task; if that ends before it does, the task takes what is in the pipe, and ends. Returns as weft_task_join_until. A thread gives its handle away if the runtime goes down. */
static int pump_end(struct pump *m, int64_t deadline)
{
	int rc = m->task ? weft_task_join_until(m->task, NULL, deadline) : 0;

	if (rc) {
		(void)weft_pipe_set_deadline(m->pipe, 1, 1); /* long past */
		WEFT_WITH_SHIELD
		{
			if (weft_task_join(m->task, NULL))
				weft_task_detach(m->task);
		}
	}
	m->task = NULL;
	return rc;
}

/* The child has ended, and rc says how the waiting for it did. Waits for those who read from it. */
static int pumps_end(struct pump m[3], weft_proc_out *out, const weft_proc_opts *o, int rc, int64_t deadline)
{
	int64_t until = rc && rc != WEFT_ECHILD ? WEFT_NOW : o->wait_delay > 0 ? weft_in(o->wait_delay) : WEFT_FOREVER;

	pump_close(&m[0]); /* nobody reads that any more */
	(void)pump_end(&m[0], WEFT_FOREVER);
	for (int i = 1; i < 3; i++) {
		int e = pump_end(&m[i], until < deadline ? until : deadline);

		if (e == WEFT_ETIMEDOUT && until <= clock_now())
			out->held = true;
		else if (e && !rc)
			rc = e;
	}
	return rc;
}

static int pumps_start(struct pump m[3], weft_proc *p, const weft_proc_opts *o)
{
	int rc;

	m[0] = (struct pump){.pipe = weft_proc_in(p), .input = o->input, .ninput = o->ninput};
	m[1] = (struct pump){.pipe = weft_proc_out_pipe(p), .limit = o->limit ? o->limit : LIMIT_DEFAULT};
	m[2] = (struct pump){.pipe = weft_proc_err(p), .limit = m[1].limit};
	rc = pump_start(&m[0], feed);
	if (!rc)
		rc = pump_start(&m[1], collect);
	return rc ? rc : pump_start(&m[2], collect);
}

int weft_proc_output_until(weft_proc_out *out, const weft_proc_opts *o, int64_t deadline)
{
	struct run r = {.proc = NULL};
	struct pump *m = r.pumps;
	weft_proc_opts mine;
	int rc;

	if (!out)
		return WEFT_EINVAL;
	memset(out, 0, sizeof *out);
	if (!o || (!o->input && o->in.to == WEFT_PROC_TO_PIPE) || o->ninput > SSIZE_MAX)
		return WEFT_EINVAL;
	mine = *o;
	if (o->input)
		mine.in = WEFT_PROC_PIPE;
	else if (o->in.to == WEFT_PROC_TO_INHERITED)
		mine.in = WEFT_PROC_NULL;
	mine.out = WEFT_PROC_PIPE;
	rc = weft__proc_runtime_up() ? weft_proc_spawn_until(&r.proc, &mine, deadline) : WEFT_ESRCH;
	if (rc)
		return rc;
	weft__file_hold(&r.call, run_forsaken);
	rc = pumps_start(m, r.proc, o);
	if (rc)
		weft__proc_end(r.proc, 0);
	else
		rc = wait_or_end(r.proc, o, &out->status, deadline);
	rc = pumps_end(m, out, o, rc, deadline);
	weft__file_let_go(&r.call);
	weft_proc_free(r.proc);
	out->data = m[1].data;
	out->len = m[1].len;
	out->err_data = m[2].data;
	out->err_len = m[2].len;
	out->cut = m[1].cut || m[2].cut;
	if (!rc)
		rc = m[1].rc ? m[1].rc : m[2].rc;
	return rc ? rc : out->cut ? WEFT_ENOBUFS : 0;
}

int weft_proc_output(weft_proc_out *out, const weft_proc_opts *o)
{
	return weft_proc_output_until(out, o, WEFT_FOREVER);
}

void weft_proc_out_free(weft_proc_out *out)
{
	free(out->data);
	free(out->err_data);
	memset(out, 0, sizeof *out);
}
