/* SPDX-License-Identifier: MIT
 *
 * process.c - children: who waits for one, who ends it, and who waits for it when nobody else does.
 *
 *   RUNNING -> REAPED    once, under p->lock, by whoever finds that it has ended: a waiter, or the one that looks after those that were freed
 *
 * That it has ended is heard of through its pidfd, which any number of tasks may wait for; without one (an old kernel, no descriptor left) through SIGCHLD, by a channel that keeps the last
 * (weft/signal.h). A thread in waitid would be a second way, could not be cancelled, and would hold up the end of the runtime.
 *
 *   strike   NONE -> STRIKING    its context has ended before it did: a task ends it
 *            STRIKING -> OVER    it has ended, and that task is through with it: weft_proc_wait returns after this
 *            any -> DROPPED      whoever gives the memory up; unless it was OVER, the task does the rest. A task of a run that is over does nothing any more
 *
 * A call of ours that has a child in its frame, and never returns because the runtime goes down, holds it as others hold descriptors (io/file.h): the child is killed, and waited for.
 *
 * Its number is its own until it has been waited for, which happens under the lock; so does kill. Should somebody else wait for it, only its pidfd is sure to be its own.
 */
#include "serve/process.h"
#include "io/file.h"
#include "io/spawn.h"

#include "base/ref.h"
#include "core/lot.h"
#include "core/runtime.h"
#include "weft/scope.h"
#include "weft/signal.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

enum { NONE, STRIKING, OVER, DROPPED };
enum { NOT_YET, RUNS, NEVER };

#define STARVED_NS (100 * MS) /* pause of who found no memory to wait with */

struct weft_proc {
	pid_t pid;  /* constant once it RUNS, as those below */
	int pidfd;  /* -1: none */
	bool group; /* it leads a group of its own */
	int64_t grace;
	weft_pipe *pipes[3];
	weft_ctx_hook *
		hook; /* of the context that ends it; NULL: none. Changed by whoever gives up the last of the users' references, or what comes of it */
	ATOMIC(uint32_t) begun;   /* whether there is a child yet: NOT_YET, RUNS, NEVER */
	ATOMIC(uint32_t) users;   /* references of those who have got it from weft_proc_spawn */
	ATOMIC(uint32_t) refs;    /* on the memory: all users together, or the list of those left, and the hook */
	struct lock lock;         /* RANK_POOL */
	ATOMIC(bool) reaped;      /* written under lock */
	ATOMIC(bool) struck;      /* it was STRIKING, once */
	ATOMIC(uint32_t) strike;  /* what its context's end does: below */
	uint32_t run;             /* of the runtime, in which its context's end is heard of; constant */
	int result;               /* 0, or WEFT_ECHILD; valid when reaped */
	weft_proc_status status;  /* the same */
	struct weft_proc *next;   /* among those left; under left_lock */
	bool looked_after;        /* a task waits for it, in the run: */
	uint32_t looked_after_in; /* of the runtime; both under left_lock */
};

bool weft__proc_runtime_up(void)
{
	struct runtime *rt;

	if (weft__worker())
		return true;
	rt = weft__rt_enter();
	if (rt)
		weft__rt_leave(rt);
	return rt != NULL;
}

/* --- has it ended? --- */

/* Asks the system, without waiting. Locked. A function of its own: errno's address is another's after a park. */
NOINLINE static bool ask(weft_proc *p)
{
	weft_proc_status *st = &p->status;
	siginfo_t info;
	long rc;

	memset(&info, 0, sizeof info);
	do {
		rc = syscall(SYS_waitid, p->pidfd >= 0 ? P_PIDFD : P_PID, p->pidfd >= 0 ? p->pidfd : p->pid, &info, WEXITED | WNOHANG,
			     &st->usage);
	} while (rc && errno == EINTR);
	if (rc == 0 && info.si_pid == 0)
		return false;
	p->result = rc ? -errno : 0;
	st->code = rc || info.si_code != CLD_EXITED ? -1 : info.si_status;
	st->signal = rc || info.si_code == CLD_EXITED ? 0 : info.si_status;
	st->core = rc == 0 && info.si_code == CLD_DUMPED;
	store_release(&p->reaped, true); /* pairs with load_acquire in has_ended */
	return true;
}

static bool has_ended(weft_proc *p)
{
	bool ended = load_acquire(&p->reaped); /* pairs with store_release in ask */

	if (ended)
		return true;
	lock_take(&p->lock, RANK_POOL);
	ended = load_relaxed(&p->reaped) || ask(p); /* under lock */
	lock_drop(&p->lock);
	return ended;
}

/* Waits for SIGCHLD until it has ended. */
static int wait_by_signal(weft_proc *p, int64_t deadline)
{
	weft_chan *c = weft_chan_make(sizeof(int), 1);
	int rc = c ? weft_signal_notify(c, SIGCHLD) : WEFT_ENOMEM;

	while (rc == 0 && !has_ended(p))
		rc = weft_chan_recv_until(c, NULL, deadline);
	if (c)
		(void)weft_signal_stop(c);
	weft_chan_free(c);
	return rc;
}

/* Returns 0 when it has ended. */
static int wait_for_end(weft_proc *p, int64_t deadline)
{
	int64_t limit = deadline;
	struct self me;
	int rc = self_enter(&me, &limit);

	while (!rc && !has_ended(p)) {
		if (deadline == WEFT_NOW)
			rc = WEFT_EAGAIN;
		else
			rc = p->pidfd >= 0 ? weft_io_wait_until(p->pidfd, WEFT_IO_R, deadline) : wait_by_signal(p, deadline);
		if (rc > 0)
			rc = 0;
	}
	return rc;
}

static bool still_striking(void *arg)
{
	weft_proc *p = arg;

	return load_acquire(&p->strike) == STRIKING && /* pairs with the swap in ctx_ended */
	       weft__run_is_up(p->run);                /* a task of another run never goes on */
}

/* Is the caller a task of the runtime in which its context's end is heard of? */
static bool in_run(const weft_proc *p)
{
	struct worker *w = weft__worker();

	return w && load_relaxed(&w->rt->run) == p->run; /* constant */
}

int weft_proc_wait_until(weft_proc *p, weft_proc_status *status, int64_t deadline)
{
	int rc = wait_for_end(p, deadline);

	while (!rc && in_run(p) && still_striking(p)) /* others are not told when the runtime goes down */
		rc = weft__lot_wait_shielded(&p->strike, still_striking, p, REASON_IO);
	if (rc)
		return rc;
	if (status)
		*status = p->status;
	return p->result;
}

int weft_proc_wait(weft_proc *p, weft_proc_status *status)
{
	return weft_proc_wait_until(p, status, WEFT_FOREVER);
}

/* --- signals --- */

/* By its pidfd: its number is another's, maybe, if somebody else has waited for it. WEFT_ENOSYS: there is none, or no such call. A function of its own, as that below: errno's address is
 * another's after a park. */
NOINLINE static int send_by_pidfd(weft_proc *p, int sig)
{
#ifdef SYS_pidfd_send_signal
	if (p->pidfd >= 0)
		return syscall(SYS_pidfd_send_signal, p->pidfd, sig, NULL, 0) ? -errno : 0;
#endif
	(void)sig;
	return -ENOSYS;
}

NOINLINE static int send_by_number(pid_t pid, int sig)
{
	return kill(pid, sig) ? -errno : 0;
}

static int send_signal(weft_proc *p, int sig, bool group)
{
	int rc = WEFT_ESRCH;

	lock_take(&p->lock, RANK_POOL);
	if (!load_relaxed(&p->reaped)) { /* under lock */
		rc = send_by_pidfd(p, group ? 0 : sig);
		if (rc == -ENOSYS || (group && rc == 0))
			rc = send_by_number(group ? -p->pid : p->pid, sig);
	}
	lock_drop(&p->lock);
	return rc;
}

int weft_proc_kill(weft_proc *p, int sig)
{
	return send_signal(p, sig, false);
}

int weft_proc_kill_group(weft_proc *p, int sig)
{
	return p->group ? send_signal(p, sig, true) : WEFT_EINVAL;
}

static void strike(weft_proc *p, int sig)
{
	(void)send_signal(p, sig, p->group);
}

void weft__proc_end(weft_proc *p, int64_t grace)
{
	WEFT_WITH_SHIELD
	{
		if (grace > 0) {
			strike(p, SIGTERM);
			(void)wait_for_end(p, weft_in(grace));
		}
		strike(p, SIGKILL);
		while (wait_for_end(p, WEFT_FOREVER) && !has_ended(p)) {
			siginfo_t info;

			if (weft_task_self())
				(void)weft_task_sleep(STARVED_NS);
			else /* a thread, and no runtime or no memory: it may block */
				(void)waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOWAIT);
		}
	}
}

static void unref(weft_proc *p)
{
	if (!ref_drop(&p->refs))
		return;
	if (p->pidfd >= 0) {
		(void)weft_io_forget(p->pidfd);
		close(p->pidfd);
	}
	free(p);
}

static bool not_yet(void *arg)
{
	weft_proc *p = arg;

	return load_acquire(&p->begun) == NOT_YET; /* pairs with store_release in say_begun */
}

static void say_begun(weft_proc *p, uint32_t begun)
{
	store_release(&p->begun, begun); /* pairs with load_acquire in not_yet */
	weft__lot_wake_all(weft__worker(), &p->begun, 0);
}

/* Its context has ended. Has a reference, which goes with the last step. */
static void ctx_ended(void *arg)
{
	weft_proc *p = arg;
	uint32_t none = NONE;

	while (not_yet(p)) /* its program is still looked for */
		(void)weft__lot_wait_shielded(&p->begun, not_yet, p, REASON_IO);
	if (load_relaxed(&p->begun) == RUNS && !has_ended(p) &&
	    cas_acq_rel(&p->strike, &none, (uint32_t)STRIKING)) { /* not if it is DROPPED */
		store_release(&p->struck, true);                  /* pairs with load_acquire in weft__proc_struck */
		weft__proc_end(p, p->grace);
	}
	if (swap_acq_rel(&p->strike, (uint32_t)OVER) == DROPPED) /* pairs with the swap in done_with */
		unref(p);
	else
		weft__lot_wake_all(weft__worker(), &p->strike, 0); /* by its address: it may be gone */
}

bool weft__proc_struck(weft_proc *p)
{
	return load_acquire(&p->struck); /* set before the strike is OVER */
}

/* Whether the run is over that its context's end is heard of in: a task of that never goes on. */
static bool run_is_over(weft_proc *p)
{
	struct runtime *rt = weft__rt_enter_run(p->run);

	if (rt)
		weft__rt_leave(rt);
	return !rt;
}

/* It has ended, and nobody has a reference but the caller, and its context. over: no task of its run goes on. */
static void done_with(weft_proc *p, bool over)
{
	bool never = weft_ctx_forget(p->hook); /* nor will it begin */

	if (p->hook && (never || over || swap_acq_rel(&p->strike, (uint32_t)DROPPED) == OVER)) /* pairs with the swap in ctx_ended */
		unref(p);
	unref(p);
}

/* --- those that nobody waits for --- */

static struct lock left_lock; /* RANK_LOT: p->lock is taken inside */
static weft_proc *left;       /* with a reference each; under lock */

static void left_take(weft_proc *p)
{
	weft_proc **at = &left;

	lock_take(&left_lock, RANK_LOT);
	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
	lock_drop(&left_lock);
}

static void look_after(weft_proc *p)
{
	while (!has_ended(p)) {
		if (wait_for_end(p, WEFT_FOREVER) && !has_ended(p))
			(void)weft_task_sleep(STARVED_NS);
	}
	left_take(p);
	done_with(p, run_is_over(p));
}

/* Those that have ended, and that no task of this run waits for. */
static void sweep(void)
{
	weft_proc **at = &left, *gone = NULL, *p;

	lock_take(&left_lock, RANK_LOT);
	while ((p = *at) != NULL) {
		if ((p->looked_after && weft__run_is_up(p->looked_after_in)) || !has_ended(p)) { /* a task of another run never goes on */
			at = &p->next;
			continue;
		}
		*at = p->next;
		p->next = gone;
		gone = p;
	}
	lock_drop(&left_lock);
	while ((p = gone) != NULL) {
		gone = p->next;
		done_with(p, run_is_over(p));
	}
}

static void left_put(weft_proc *p, struct runtime *rt)
{
	lock_take(&left_lock, RANK_LOT);
	p->looked_after = rt != NULL;
	p->looked_after_in = rt ? load_relaxed(&rt->run) : 0; /* constant while the caller is in it */
	p->next = left;
	left = p;
	lock_drop(&left_lock);
}

/* It runs, and no user has it any more. */
static void leave(weft_proc *p)
{
	static const struct weft_site site = {"children", __FILE__, __LINE__};
	const uintptr_t words[4] = {(uintptr_t)p};
	struct worker *w = weft__worker();
	struct runtime *rt = w ? w->rt : weft__rt_enter(); /* the run it is listed for is the one that the task starts in */

	left_put(p, rt);
	if (rt && weft__go_words((void (*)(void))look_after, words, weft__ctx_service(), "children", &site)) {
		lock_take(&left_lock, RANK_LOT);
		p->looked_after = false; /* nobody has taken it before */
		lock_drop(&left_lock);
	}
	if (rt && !w)
		weft__rt_leave(rt);
}

/* --- those of calls that never return --- */

static void free_pipes(weft_proc *p)
{
	for (int i = 0; i < 3; i++)
		weft_pipe_free(p->pipes[i]);
}

/* Until a killed child has ended, on a thread that may block. */
static void await(weft_proc *p)
{
	siginfo_t info;

	while (!has_ended(p))
		(void)waitid(p->pidfd >= 0 ? (idtype_t)P_PIDFD : P_PID, (id_t)(p->pidfd >= 0 ? p->pidfd : p->pid), &info,
			     WEXITED | WNOWAIT);
}

void weft__proc_forsake(weft_proc *p)
{
	int rc = send_signal(p, SIGKILL, p->group);

	free_pipes(p);
	if (rc == 0)
		await(p);
	if (has_ended(p))
		done_with(p, true);
	else /* we may not kill it: it has become somebody else */
		left_put(p, NULL);
}

/* --- start and free --- */

struct spawn_job {
	struct file_call call; /* its job, and how it is held: the rest of it is not used */
	const weft_proc_opts *o;
	weft_proc *proc;
	struct spawned out; /* valid with rc 0, until `proc` has it all */
	int rc;
};

static void spawn_run(struct job *j)
{
	struct spawn_job *s = container_of(j, struct spawn_job, call.job);

	s->rc = weft__spawn(s->o, &s->out);
}

/* Before there is a child: its context's end may start a task, which may be one too many. */
static int hook_up(weft_proc *p, weft_ctx *c)
{
	struct worker *w = weft__worker();
	struct runtime *rt = w ? w->rt : weft__rt_enter();

	if (!rt)
		return WEFT_ESRCH;
	store_relaxed(&p->refs, 2u);     /* nobody else has it yet */
	p->run = load_relaxed(&rt->run); /* constant while the caller is in it */
	p->hook = weft_ctx_on_done(c, ctx_ended, p);
	if (!p->hook)
		store_relaxed(&p->refs, 1u); /* the same */
	if (!w)
		weft__rt_leave(rt);
	return p->hook ? 0 : WEFT_ENOMEM;
}

/* What does not fail. */
static void take_child(struct spawn_job *s)
{
	weft_proc *p = s->proc;

	p->pid = s->out.pid;
	p->pidfd = s->out.pidfd;
	p->group = s->o->detached || s->o->pgroup == WEFT_PROC_OWN_GROUP;
	p->grace = s->o->grace;
}

/* The runtime goes down before spawn returns: whoever called it gets nothing, and no child is left. */
static void spawn_forsaken(struct file_call *c)
{
	struct spawn_job *s = container_of(c, struct spawn_job, call);

	if (s->rc) { /* it has not begun, or failed; who was to end it never goes on either */
		(void)weft_ctx_forget(s->proc->hook);
		free(s->proc);
		return;
	}
	if (!s->proc->pid) {
		take_child(s);
		for (int i = 0; i < 3; i++) {
			if (s->out.ends[i] >= 0)
				close(s->out.ends[i]);
		}
	}
	weft__proc_forsake(s->proc);
}

static int adopt(struct spawn_job *s)
{
	weft_proc *p = s->proc;
	int rc = 0;

	take_child(s);
	say_begun(p, RUNS);
	for (int i = 0; i < 3; i++) {
		if (s->out.ends[i] < 0)
			continue;
		if (!rc)
			rc = weft_pipe_open(&p->pipes[i], s->out.ends[i]);
		if (rc)
			close(s->out.ends[i]);
	}
	return rc;
}

static bool not_over(void *arg)
{
	weft_proc *p = arg;

	return load_acquire(&p->strike) != OVER; /* pairs with the swap in ctx_ended */
}

/* Its context's end, if it has come, has nothing to do, and is waited for: the runtime may go down when we return. */
static void never_begins(weft_proc *p)
{
	say_begun(p, NEVER);
	if (!p->hook || !weft_task_self())
		return;
	if (weft_ctx_forget(p->hook))
		store_relaxed(&p->strike, (uint32_t)OVER); /* nobody else looks */
	p->hook = NULL;
	while (not_over(p))
		(void)weft__lot_wait_shielded(&p->strike, not_over, p, REASON_IO);
	store_relaxed(&p->refs, 1u); /* ours: its own went with OVER */
}

int weft_proc_spawn_until(weft_proc **out, const weft_proc_opts *o, int64_t deadline)
{
	struct spawn_job s = {.call.job.run = spawn_run, .o = o, .rc = WEFT_ECANCELED};
	int64_t limit = deadline;
	struct self me;
	weft_proc *p;
	int rc;

	if (!out)
		return WEFT_EINVAL;
	*out = NULL;
	rc = self_enter(&me, &limit);
	if (!rc && deadline == WEFT_NOW)
		rc = WEFT_EAGAIN;
	if (!rc && o && o->ctx && weft_ctx_reason(o->ctx) != WEFT_NOT_CANCELED)
		rc = weft_ctx_reason(o->ctx) == WEFT_REASON_DEADLINE ? WEFT_ETIMEDOUT : WEFT_ECANCELED;
	if (!rc && o && o->ctx && !weft__proc_runtime_up())
		rc = WEFT_ESRCH;
	if (rc)
		return rc;
	sweep();
	p = calloc(1, sizeof *p);
	if (!p)
		return WEFT_ENOMEM;
	store_relaxed(&p->refs, 1u);  /* not shared yet */
	store_relaxed(&p->users, 1u); /* the same */
	p->pidfd = -1;
	rc = o && o->ctx ? hook_up(p, o->ctx) : 0;
	if (rc) {
		unref(p);
		return rc;
	}
	s.proc = p;
	weft__file_hold(&s.call, spawn_forsaken);
	if (o && o->pdeathsig)
		spawn_run(&s.call.job);
	else
		rc = weft__offload(LANE_FILE, &s.call.job, REASON_BLOCKING, deadline);
	rc = rc ? rc : s.rc;
	if (rc) {
		never_begins(p);
		weft__file_let_go(&s.call);
		done_with(p, run_is_over(p));
		return rc;
	}
	rc = adopt(&s);
	if (rc)
		weft__proc_end(p, 0);
	weft__file_let_go(&s.call);
	if (rc)
		weft_proc_free(p);
	else
		*out = p;
	return rc;
}

int weft_proc_spawn(weft_proc **out, const weft_proc_opts *o)
{
	return weft_proc_spawn_until(out, o, WEFT_FOREVER);
}

pid_t weft_proc_pid(weft_proc *p)
{
	return p->pid;
}

weft_pipe *weft_proc_in(weft_proc *p)
{
	return p->pipes[0];
}

weft_pipe *weft_proc_out_pipe(weft_proc *p)
{
	return p->pipes[1];
}

weft_pipe *weft_proc_err(weft_proc *p)
{
	return p->pipes[2];
}

int weft_proc_close_in(weft_proc *p)
{
	return p->pipes[0] ? weft_pipe_close(weft_pipe_ref(p->pipes[0])) : WEFT_EINVAL;
}

weft_proc *weft_proc_ref(weft_proc *p)
{
	add_relaxed(&p->users, 1u); /* the caller's own reference keeps it */
	return p;
}

void weft_proc_free(weft_proc *p)
{
	if (!p || !ref_drop(&p->users))
		return;
	free_pipes(p);
	if (has_ended(p))
		done_with(p, run_is_over(p));
	else
		leave(p);
}
