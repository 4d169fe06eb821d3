/* SPDX-License-Identifier: MIT
 *
 * sup.h - a supervisor as its files see it.
 *
 * A supervisor is an actor, and all it has is its task's own: nothing here is locked. What others want of it comes as messages (sup_call.c), and so do the ends of its children, to which it is linked.
 *
 *   child   DOWN      it is not to run, now
 *           WAITING   it is to be started: at its time, in the heap; or with all others that wait, at group_due
 *           UP        it has a reference, under which it is found when its end is told
 *
 * To stop a child, its end is waited for by weft_actor_wait, not in the mailbox: so nothing is received out of its turn, and it works in a supervisor that has been told to end. The message that comes all the same names a
 * reference that nobody has any more. If the supervisor itself is cancelled meanwhile, the child stays UP, told, and on_stop goes on waiting, where only a kill ends that.
 *
 * Memory: struct sup is the value of a context of which the actor's own, and so those of all its children, are below; it is freed when the last of them is gone, however the supervisor has ended. What a child that was
 * abandoned may still use is kept as long.
 *
 *   sup.c          start, the loop, the end
 *   sup_child.c    children: memory, finding, starting and stopping one
 *   sup_restart.c  what is done when one has ended: strategies, intensity, waits
 *   sup_call.c     what it is asked from outside
 *   sup_tree.c     the tree in words
 */
#ifndef WEFT_ACTOR_SUP_H
#define WEFT_ACTOR_SUP_H

#include "actor/actor.h"
#include "base/rand.h"
#include "weft/supervisor.h"

#define SUP_OVER 1 /* it has told itself to end, and how */

struct child {
	struct list_node in_order; /* s->children; or s->kept, when it is gone */
	struct child *next[2];     /* in the tables */
	const weft_child_spec *spec;
	void *arg;
	weft_actor_ref ref; /* UP; else WEFT_NO_ACTOR */
	weft_end end;       /* how it was stopped, until that has been told */
	weft_end why;       /* how it has ended by itself at last, or why it could not be started */
	int64_t since;      /* when it was last started; 0: never */
	int64_t due;        /* in the heap: when it is to be started. While it is being stopped: until when that may take */
	uint64_t restarts;
	double wait;    /* before its last start, without jitter, ns; 0: none, or it has been up for long since */
	uint32_t place; /* in the heap, from 1; 0: it is not */
	uint8_t state;  /* enum weft_child_state */
	bool sup;       /* UP: it is a supervisor */
	bool told;      /* UP: to end */
	bool killed;    /* the same, and killed */
	bool lingers;   /* one of it was abandoned, and may still use arg */
	/* then, if they are its own: the specification, a copy of its argument, its id */
	char more[] __attribute__((aligned(16)));
};

/* Children by what they are known by: their reference, their id. */
enum { BY_REF, BY_ID };

struct table {
	struct child **slot;
	uint32_t mask, n;
};

struct sup {
	struct list children; /* in their order */
	struct list kept;     /* gone, but for what those that were abandoned may use */
	struct table table[2];
	struct child *model; /* dynamic: what they are like; NULL */
	struct child **heap; /* the earliest first */
	uint32_t nheap, heap_cap;
	uint32_t n, up, waiting, sups, abandoned;
	weft_sup_opts o; /* .children is not valid; .name is `name`, .reg_name likewise */
	char name[32];
	char reg_name[WEFT_NAME_MAX + 1]; /* "": none */
	weft_actor_ref parent;            /* who has started it */
	struct actor *self;
	weft_actor_ref ref; /* the same; from its start on */
	bool ending;        /* all are being stopped; written under its lock, for those who ask */
	int64_t since;
	int64_t group_due; /* WEFT_FOREVER: none waits for that */
	int64_t *times;    /* of the last restarts, as many as may be, a ring; NULL: they are not counted */
	uint32_t times_at, ntimes;
	uint64_t restarts;
	struct sup_call *call; /* in hand */
	struct rng rng;
};

static inline struct child *child_of(struct list_node *n)
{
	return container_of(n, struct child, in_order);
}

static inline bool sup_dynamic(const struct sup *s)
{
	return s->o.strategy == WEFT_DYNAMIC;
}

static inline bool sup_grouped(const struct sup *s)
{
	return s->o.strategy == WEFT_ONE_FOR_ALL || s->o.strategy == WEFT_REST_FOR_ONE;
}

/* --- sup.c --- */
int weft__sup_lock(weft_actor_ref ref, struct actor **a); /* 0: it is a supervisor, and locked; WEFT_EINVAL, WEFT_ESRCH */
int weft__sup_check(weft_actor_ref ref);                  /* the same, and nothing is locked */
int weft__sup_model(weft_actor_ref ref, size_t *size);    /* the same, and of its children's arguments; WEFT_ENOTSUP: it is not dynamic */
int weft__sup_end(struct sup *s, weft_end e);             /* to be returned to the loop */
void weft__sup_tell(struct sup *s, enum weft_sup_event_kind kind, const struct child *c, weft_end e, int64_t delay);

/* --- sup_child.c --- */
int weft__child_check(const weft_child_spec *c, bool dynamic, enum weft_auto_shutdown a); /* 0, WEFT_EINVAL, WEFT_ENAMETOOLONG */
struct child *weft__child_new(const weft_child_spec *c, bool with_arg); /* NULL: no memory; the argument has not been taken then */
struct child *weft__child_like(size_t size, void *arg);            /* the same; of a dynamic supervisor, which says of whose kind it is */
void weft__child_drop_arg(const weft_child_spec *spec, void *arg); /* its dtor, and it survives its panic */
void weft__child_free(struct child *c, bool with_arg);
int weft__child_enter(struct sup *s, struct child *c);  /* behind all others. 0, WEFT_ENOMEM */
void weft__child_out(struct sup *s, struct child *c);   /* of all lists */
void weft__child_leave(struct sup *s, struct child *c); /* is gone: freed, or kept */
struct child *weft__child_by_ref(struct sup *s, weft_actor_ref ref);
struct child *weft__child_by_id(struct sup *s, const char *id);
int weft__child_start(struct sup *s, struct child *c); /* 0; what start has returned */
void weft__child_gone(struct sup *s, struct child *c); /* it has ended: UP to DOWN */
/* And waits for that; to DOWN or WAITING. Returns 0; WEFT_ECANCELED, WEFT_ETIMEDOUT: the supervisor is to end itself, with that: it is UP, has been told, and is waited for then. */
int weft__child_stop(struct sup *s, struct child *c, uint8_t then);
void weft__child_stop_all(struct sup *s);
void weft__child_wait(struct sup *s, struct child *c, int64_t due); /* to be started: into the heap */
void weft__child_unwait(struct sup *s, struct child *c, uint8_t then);

/* --- sup_restart.c: 0; SUP_OVER, or the code with which the supervisor ends --- */
int weft__sup_ended(struct sup *s, struct child *c, weft_end e); /* by itself */
int64_t weft__sup_due(const struct sup *s);                      /* when weft__sup_retry has something to do; WEFT_FOREVER */
int weft__sup_retry(struct sup *s);                              /* one start, or one of the group */
uint32_t weft__sup_recent(const struct sup *s);

/* --- sup_call.c --- */
#define SUP_CALL ((uint64_t)(uintptr_t)&weft__sup_calls) /* tag: an address that no user has */
extern HIDDEN const char weft__sup_calls;
int weft__sup_serve(struct sup *s, struct sup_call *c); /* answers, and returns as those above */
void weft__sup_refuse(struct sup_call *c, int rc);      /* it ends: so it is answered */

#endif
