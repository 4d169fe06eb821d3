/* SPDX-License-Identifier: MIT
 *
 * fd.h - a descriptor that tasks share: who may use it now, who holds it, and how its close ends all that.
 *
 * One word, f->use:
 *
 *    63          32 31   21   20   19    10  9 8     7      6     5 4    3 2    1 0
 *   +--------------+-------+------+--------+------+------+------+------+------+------+
 *   |  references  | other |ORPHAN|  HOME  | TASK |LINGER|CLOSED| WANT | CALL | BUSY |     TASK, WANT, CALL, BUSY: a bit for reading, a bit for writing; HOME: five for each
 *   +--------------+-------+------+--------+------+------+------+------+------+------+
 *
 *   BUSY    an operation of that direction is under way, parked or not; a second one waits (core/lot.h, upon the side's address)
 *   CALL    ... and it is inside a system call, which does not block; a file's: or has a job queued or under way (core/offload.h), and its task is parked
 *   WANT    somebody waits for BUSY; changed under the lot's lock
 *   other   system calls under way that are neither (getsockname, setsockopt)
 *   CLOSED  the first close has begun: nobody starts anything any more
 *   TASK    BUSY is a task's, not a foreign thread's
 *   HOME    ... of the runtime that has this number
 *   LINGER  the loop has not let go of the descriptor yet (core/loop_uv.c)
 *   ORPHAN  who was to close it has gone with its runtime: whoever ends the last use of it closes it, and gives back the reference that goes with this bit
 *
 * The descriptor is closed when CLOSED is set and no CALL, other or LINGER is left: so its number cannot be another file's while a call is under way.  The record is
 * recycled, never freed (late events, core/polldesc.h), when no reference and no BUSY is left.  A parked operation is no obstacle to the first; to the second
 * BUSY is, and an operation that waits for its turn holds a reference of its own.
 *
 * When a runtime goes down, others that its loops have watched for look again at once, and have loops of their own watch; its tasks are called off where they stand, and their operations end here (fd.c: leave, down). By
 * then what a task has in its frame for a job is still there. References of tasks that wait are counted by runtime, of two; those of a third that waits at the same time stay.
 *
 * An operation of a direction (tcp.c):
 *
 *	struct fd_op op;
 *	fd_op_init(&op, f, POLL_READ, REASON_READ, deadline);
 *	while ((rc = weft__fd_next(&op)) == 0) {      waits until a try may succeed; the first time it also takes its turn
 *		n = recv(f->fd, ...);
 *		done: break                           EAGAIN: fd_op_blocked(&op)
 *	}
 *	weft__fd_end(&op);
 */
#ifndef WEFT_IO_FD_H
#define WEFT_IO_FD_H

#include "core/polldesc.h"
#include "core/runtime.h"

#define FD_BUSY(d) (UINT64_C(1) << (d))
#define FD_CALL(d) (UINT64_C(4) << (d))
#define FD_WANT(d) (UINT64_C(16) << (d))
#define FD_CLOSED UINT64_C(64)
#define FD_LINGER UINT64_C(128)
#define FD_TASK(d) (UINT64_C(256) << (d))
#define FD_HOME_SHIFT(d) (10u + 5u * (unsigned)(d))
#define FD_HOME(d) (UINT64_C(31) << FD_HOME_SHIFT(d))
#define FD_ORPHAN (UINT64_C(1) << 20)
#define FD_OTHER (UINT64_C(1) << 21)
#define FD_REF (UINT64_C(1) << 32)
#define FD_OTHERS (FD_REF - FD_OTHER)
#define FD_IN_USE (FD_CALL(POLL_READ) | FD_CALL(POLL_WRITE) | FD_LINGER | FD_OTHERS) /* any of them: it must not be closed yet */

struct fd {
	struct polldesc poll;
	ATOMIC(uint64_t) use; /* drawn above */
	int fd;               /* constant from make to close */
	struct lock job_lock; /* RANK_DESC */
	struct list jobs; /* of tasks, that use it or will: struct fd_job; all together one of `other`, and one reference. Under job_lock */
	struct fd_side {
		ATOMIC(uint32_t) drained; /* events (polldesc.h) at the last try that left nothing; by the operation that is BUSY */
		ATOMIC(int64_t) deadline; /* of all operations of the direction; anyone */
	} side[POLL_DIRS];
	ATOMIC(uint64_t)
	task_refs;             /* references of operations of tasks that wait for their turn, or in weft_io_wait: fd.c draws it; by those */
	ATOMIC(uint32_t) note; /* the kind's own; 0 at first */
	ATOMIC(uint8_t)
	task_dials; /* not 0: a task is connecting it, of the runtime with the number below; no other has it. As the next: written by tasks only, and when none of theirs runs any more */
	ATOMIC(uint8_t)
	task_closes; /* the same: a task waits to close it, or no other has it: one reference, and the descriptor, end with the runtime */
	bool others; /* it was opened elsewhere, and is not ours to close (wait.c) */
	struct fd *free_next; /* in the pool */
} CACHE_ALIGNED;

/* A record for an open non-blocking descriptor, with one reference. 0 or WEFT_ENOMEM. fd -1: weft__fd_use gives it one. */
int weft__fd_make(struct fd **out, int fd);
void weft__fd_use(struct fd *f, int fd);

void weft__fd_ref(struct fd *f);

/* A reference for an operation of the caller's that waits, and its end. */
void weft__fd_hold(struct fd *f);
void weft__fd_release(struct fd *f);

/* A reference less; the last one closes the descriptor, if there is one and nobody has. */
void weft__fd_unref(struct fd *f);

/* The same, unless it is the last one of a descriptor that is open: then false, the caller has it still, and does what his kind does to close one. */
bool weft__fd_drop(struct fd *f);

/* A reference less; the first one closes the descriptor and ends all operations with WEFT_ECLOSED. keep: the number is not ours to close. Returns 0, or
 * WEFT_ECLOSED: it was closed before. */
int weft__fd_close(struct fd *f, bool keep);

/* Around a system call on f->fd that waits for nothing. Returns 0, and then weft__fd_leave must follow; or WEFT_ECLOSED. */
int weft__fd_enter(struct fd *f);
void weft__fd_leave(struct fd *f);

/* A task's, in its frame. */
struct fd_job {
	struct list_node link; /* in f->jobs */
	uint8_t home;          /* number of its runtime */
};

/* Around a job (core/offload.h) that uses f->fd, queued or under way: like a system call, but that any number of them may be, and that a runtime may go down meanwhile. With a
 * reference. Returns 0, and then weft__fd_job_over must follow, by the same task or thread; or WEFT_ECLOSED. */
int weft__fd_job(struct fd *f, struct fd_job *j);
void weft__fd_job_over(struct fd *f, struct fd_job *j);

_Static_assert(RUNTIMES_MAX <= 32, "HOME has five bits");

/* The caller, if it is a task, dials or closes f; or does so no more. */
static inline void fd_task_does(ATOMIC(uint8_t) *what, bool does)
{
	struct worker *w = does ? weft__worker() : NULL;
	uint8_t v = (uint8_t)(w ? w->home + 1u : 0);

	if (load_relaxed(what) != v) /* read by others only when no task of that runtime runs */
		store_relaxed(what, v);
}

struct fd_op {
	struct fd *f;
	enum poll_dir dir;
	enum task_reason reason;
	int64_t deadline; /* the call's */
	uint32_t seen;    /* events before the try */
	bool task;        /* a task's, of the runtime with this number: */
	uint8_t home;
	bool busy, call; /* it holds BUSY, CALL */
	bool blocked;    /* the last try would have blocked */
};

static inline void fd_op_init(struct fd_op *op, struct fd *f, enum poll_dir dir, enum task_reason reason, int64_t deadline)
{
	*op = (struct fd_op){.f = f, .dir = dir, .reason = reason, .deadline = deadline};
}

/* The try since weft__fd_next has taken, or filled, all there was. */
static inline void fd_op_drained(struct fd_op *op)
{
	store_relaxed(&op->f->side[op->dir].drained, op->seen); /* ours while BUSY; others read it as a hint */
}

/* ... and would have blocked. */
static inline void fd_op_blocked(struct fd_op *op)
{
	fd_op_drained(op);
	op->blocked = true;
}

/* Waits until a try may succeed. Returns 0: try now, inside CALL; or WEFT_ECLOSED, WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN, and what weft__poll_wait says. */
int weft__fd_next(struct fd_op *op);

/* Sleeps until the deadlines or `until`, if that is earlier, or its close; what it could try is ready all the while, and no event of that is heard. For
 * listeners: it is the other direction, in which nothing comes, that is listened to. Returns 0, or an error as weft__fd_next does. */
int weft__fd_pause(struct fd_op *op, int64_t until);

/* The operation is over, however far it came. */
void weft__fd_end(struct fd_op *op);

/* An open descriptor, from elsewhere: it shall not block, nor be handed on to other programs. Returns 0 or a negative code. */
int weft__fd_nonblocking(int fd);

/* Its number. Returns it, or WEFT_ECLOSED. */
int weft__fd_number(struct fd *f);

/* Moves the deadline of a direction; who waits looks at it. */
void weft__fd_set_deadline(struct fd *f, enum poll_dir d, int64_t deadline);

/* fd has just been opened by weft: if something is kept for its number (wait.c), it was another file's, which was closed without a word. */
void weft__io_ours(int fd);

/* Records in use: for tests. */
size_t weft__fd_count(void);

#endif
