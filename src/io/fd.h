/* SPDX-License-Identifier: MIT
 *
 * fd.h - a descriptor that tasks share: who may use it now, who holds it, and how its close ends all that.
 *
 * One word, f->use:
 *
 *    31              18 17        10  9 8     7      6     5 4    3 2    1 0
 *   +------------------+------------+------+------+------+------+------+------+
 *   |    references    |   other    | TASK |LINGER|CLOSED| WANT | CALL | BUSY |     TASK, WANT, CALL, BUSY: a bit for reading, a bit for writing
 *   +------------------+------------+------+------+------+------+------+------+
 *
 *   BUSY    an operation of that direction is under way, parked or not; a second one waits (core/lot.h, upon the side's address)
 *   CALL    ... and it is inside a system call, which does not block
 *   WANT    somebody waits for BUSY; changed under the lot's lock
 *   other   system calls under way that are neither (getsockname, setsockopt)
 *   CLOSED  the first close has begun: nobody starts anything any more
 *   TASK    BUSY is a task's, not a foreign thread's
 *   LINGER  the loop has not let go of the descriptor yet (core/loop_uv.c)
 *
 * The descriptor is closed when CLOSED is set and no CALL, other or LINGER is left: so its number cannot be another file's while a call is under way.  The record is
 * recycled, never freed (late events, core/polldesc.h), when no reference and no BUSY is left.  A parked operation is no obstacle to the first; to the second
 * BUSY is, and an operation that waits for its turn holds a reference of its own.
 *
 * When the runtime goes down, its tasks are called off where they stand, and their operations end here (fd.c: down).
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

#define FD_BUSY(d) (1u << (d))
#define FD_CALL(d) (4u << (d))
#define FD_WANT(d) (16u << (d))
#define FD_CLOSED 64u
#define FD_LINGER 128u
#define FD_TASK(d) (256u << (d))
#define FD_OTHER 1024u
#define FD_REF (1u << 18)
#define FD_OTHERS (FD_REF - FD_OTHER)
#define FD_IN_USE (FD_CALL(POLL_READ) | FD_CALL(POLL_WRITE) | FD_LINGER | FD_OTHERS) /* any of them: it must not be closed yet */

struct fd {
	struct polldesc poll;
	ATOMIC(uint32_t) use; /* drawn above */
	int fd;               /* constant from make to close */
	struct fd_side {
		ATOMIC(uint32_t) drained; /* events (polldesc.h) at the last try that left nothing; by the operation that is BUSY */
		ATOMIC(int64_t) deadline; /* of all operations of the direction; anyone */
	} side[POLL_DIRS];
	ATOMIC(uint32_t) task_refs; /* references of operations of tasks that wait for their turn, or in weft_io_wait; by those */
	bool task_dials;            /* a task is connecting it; no other has it */
	struct fd *free_next;       /* in the pool */
} CACHE_ALIGNED;

/* A record for an open non-blocking descriptor, with one reference. 0 or WEFT_ENOMEM. fd -1: weft__fd_use gives it one. */
int weft__fd_make(struct fd **out, int fd);
void weft__fd_use(struct fd *f, int fd);

void weft__fd_ref(struct fd *f);

/* A reference for an operation of the caller's that waits, and its end. */
void weft__fd_hold(struct fd *f);
void weft__fd_release(struct fd *f);

/* A reference less, that of a descriptor which somebody has closed already, or never had one. */
void weft__fd_unref(struct fd *f);

/* A reference less; the first one closes the descriptor and ends all operations with WEFT_ECLOSED. keep: the number is not ours to close. Returns 0, or
 * WEFT_ECLOSED: it was closed before. */
int weft__fd_close(struct fd *f, bool keep);

/* Around a system call on f->fd that waits for nothing. Returns 0, and then weft__fd_leave must follow; or WEFT_ECLOSED. */
int weft__fd_enter(struct fd *f);
void weft__fd_leave(struct fd *f);

struct fd_op {
	struct fd *f;
	enum poll_dir dir;
	enum task_reason reason;
	int64_t deadline; /* the call's */
	uint32_t seen;    /* events before the try */
	bool task;        /* a task's */
	bool busy, call;  /* it holds BUSY, CALL */
	bool blocked;     /* the last try would have blocked */
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

/* Moves the deadline of a direction; who waits looks at it. */
void weft__fd_set_deadline(struct fd *f, enum poll_dir d, int64_t deadline);

/* Records in use: for tests. */
size_t weft__fd_count(void);

#endif
