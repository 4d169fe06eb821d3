/* SPDX-License-Identifier: MIT
 *
 * weft/bus.h - event managers: an actor that hands every event to all handlers it has, which come and go while it runs.
 *
 *	static int to_log(void *state, weft_msg *m)
 *	{
 *		return log_line(state, m->tag, m->data);
 *	}
 *
 *	static const weft_bus_vt logger = {.size = sizeof(struct log), .event = to_log};
 *
 *	weft_bus_start(&bus, NULL);
 *	weft_bus_add(bus, LOGGER, &logger, &log);
 *	weft_bus_notify(bus, STARTED, &what, sizeof what);
 *
 * All handlers run in the manager's task, one after the other, in the order in which they were added. One that fails or panics is removed, and the others do not notice; one that ends its task (weft_task_exit) ends the manager.
 * The manager is all that actors are: named, stopped, monitored.
 *
 * Source: OTP's gen_event. Other than there, a swap whose new handler does not begin leaves the old one where it is.
 */
#ifndef WEFT_BUS_H
#define WEFT_BUS_H

#include "actor.h"
#include "export.h"
#include "server.h"

WEFT_BEGIN_DECLS

/* Why a handler is none any more. */
enum weft_bus_why {
	WEFT_BUS_REMOVED, /* weft_bus_remove */
	WEFT_BUS_DONE,    /* it has said so: WEFT_BUS_REMOVE */
	WEFT_BUS_FAILED,  /* it has returned that code, or has panicked (WEFT_EPANIC) */
	WEFT_BUS_SWAPPED, /* another one is in its place */
	WEFT_BUS_OWNER,   /* the actor that has added it, supervised, has ended */
	WEFT_BUS_STOPPED, /* the manager ends, or is killed */
};

#define WEFT_BUS_REMOVE 1 /* from a handler: remove it. Any other positive result: it has failed, with WEFT_EINVAL */

/* What a handler does; constant while it is one's. Each may block, and may be NULL; a message is for all: it must not be changed, kept or freed. A handler that receives by itself does so by
 * weft_actor_recv_match, and of kinds that it knows: what the calls below have sent is not for it. state: vt.size bytes, the handler's own; or what was given when it was added. */
typedef struct weft_bus_vt {
	size_t size;                                           /* less than 512 MiB */
	int (*init)(void *state);                              /* first of all; negative: it is not added */
	int (*event)(void *state, weft_msg *m);                /* weft_bus_notify. 0; WEFT_BUS_REMOVE; negative: it has failed */
	int (*info)(void *state, weft_msg *m);                 /* any other message to the manager, news of ends among them; the same */
	int (*call)(void *state, weft_msg *m, weft_from from); /* weft_bus_call; the same; to be answered as a server does */
	void (*terminate)(void *state, enum weft_bus_why,
			  int code); /* last of all, unless init has failed, or the manager is killed. code: of WEFT_BUS_FAILED */
} weft_bus_vt;

/* weft_bus_start - start an event manager, without handlers. Its opts are those of a server. Returns as weft_server_start. Blocks: where it has a name. Threads: any. */
WEFT_API int weft_bus_start(weft_actor_ref *out, const weft_server_opts *o);
WEFT_API int weft_bus_start_until(weft_actor_ref *out, const weft_server_opts *o, int64_t deadline);
WEFT_API int weft__bus_start_at(weft_actor_ref *out, const weft_server_opts *o, int64_t deadline, const struct weft_site *site);
#ifndef __cplusplus
#define weft_bus_start(out, ...) weft__bus_start_at(out, __VA_ARGS__, WEFT_FOREVER, WEFT__SITE("event manager"))
#define weft_bus_start_until(out, ...) weft__bus_start_at(out, __VA_ARGS__, WEFT__SITE("event manager"))
#endif

/* What follows are calls of the manager (weft_server_call), in their order with events, and take places in its mailbox as they do: each also returns WEFT_EINVAL: the actor is no event manager; WEFT_EDEADLK: it is the caller (a handler);
 * WEFT_ENOBUFS: its mailbox is full, and does not block; WEFT_ESRCH, WEFT_EDOWN, WEFT_ENOMEM; WEFT_ETIMEDOUT, WEFT_ECANCELED: it may happen all the same; WEFT_EAGAIN for the deadline WEFT_NOW. Block: yes (server call). Threads: any. */

/* weft_bus_add - add a handler.
 *
 *   id    which it is: one of each a manager
 *   init  its first state, vt->size bytes, copied, or NULL: zeros; if vt->size is 0, the state itself
 *
 * weft_bus_add_supervised - the same by an actor, its owner: when that ends, the handler is removed (WEFT_BUS_OWNER); when the handler is removed in any other way, or the manager is killed, the owner gets a weft_bus_gone, in a message of tag
 * WEFT_BUS_GONE from the manager, even if its mailbox is full.
 *
 * Return 0; what vt->init has returned, if that is negative, WEFT_EPANIC if it has panicked; WEFT_EEXIST: there is one of that id; WEFT_EINVAL: also vt is NULL, or the caller is no actor. */
WEFT_API int weft_bus_add(weft_actor_ref bus, uint64_t id, const weft_bus_vt *vt, const void *init);
WEFT_API int weft_bus_add_until(weft_actor_ref bus, uint64_t id, const weft_bus_vt *vt, const void *init, int64_t deadline);
WEFT_API int weft_bus_add_supervised(weft_actor_ref bus, uint64_t id, const weft_bus_vt *vt, const void *init);
WEFT_API int weft_bus_add_supervised_until(weft_actor_ref bus, uint64_t id, const weft_bus_vt *vt, const void *init, int64_t deadline);

#define WEFT_BUS_GONE UINT64_C(0x7765667467656e65)

typedef struct weft_bus_gone {
	uint64_t id;
	int32_t why; /* enum weft_bus_why */
	int32_t code;
} weft_bus_gone;

/* weft_bus_remove - remove a handler. Returns 0; WEFT_ENOENT: there is none of that id. */
WEFT_API int weft_bus_remove(weft_actor_ref bus, uint64_t id);
WEFT_API int weft_bus_remove_until(weft_actor_ref bus, uint64_t id, int64_t deadline);

/* weft_bus_swap - put another handler in the place of one; no event comes in between, nor to both. The owner stays, if it is supervised, and is told when the new one ends.
 *
 *   conv  makes the new state, vt->size bytes of zeros, from the old one; negative: all stays as it is. Then vt->init is called. NULL: the state is zeros, or NULL if vt->size is 0
 *   arg   its last argument; must be valid until it has returned, also if this call has been given up (weft_server_migrate)
 *
 * Returns 0; what conv or vt->init has returned, if that is negative, WEFT_EPANIC; WEFT_ENOENT: there is no `id`; WEFT_EEXIST: there is another new_id; WEFT_EINVAL: also vt is NULL, or conv without a size. */
WEFT_API int weft_bus_swap(weft_actor_ref bus, uint64_t id, uint64_t new_id, const weft_bus_vt *vt, weft_server_conv *conv, void *arg);
WEFT_API int weft_bus_swap_until(weft_actor_ref bus, uint64_t id, uint64_t new_id, const weft_bus_vt *vt, weft_server_conv *conv, void *arg,
				 int64_t deadline);

/* weft_bus_notify - an event, to all handlers: weft_server_cast. weft_bus_notify_sync - the same, and wait until all have had it; those that fail are removed, and no error of this one: a
 * weft_server_call of the manager, answered with nothing; so any weft_server_call of it is one. */
WEFT_API int weft_bus_notify(weft_actor_ref bus, uint64_t tag, const void *data, size_t len);
WEFT_API int weft_bus_notify_until(weft_actor_ref bus, uint64_t tag, const void *data, size_t len, int64_t deadline);
WEFT_API int weft_bus_notify_sync(weft_actor_ref bus, uint64_t tag, const void *data, size_t len);
WEFT_API int weft_bus_notify_sync_until(weft_actor_ref bus, uint64_t tag, const void *data, size_t len, int64_t deadline);

/* weft_bus_call - weft_server_call, of one handler. Also WEFT_ENOENT: there is none of that id; WEFT_ENOTSUP: it takes no calls; what the handler has returned, if it fails instead of answering, WEFT_EPANIC. */
WEFT_API int weft_bus_call(weft_actor_ref bus, uint64_t id, uint64_t tag, const void *req, size_t len, void *reply, size_t cap);
WEFT_API int weft_bus_call_until(weft_actor_ref bus, uint64_t id, uint64_t tag, const void *req, size_t len, void *reply, size_t cap,
				 int64_t deadline);

/* weft_bus_ids - which handlers there are, in their order: the first n into out. Returns how many it has written. */
WEFT_API int weft_bus_ids(weft_actor_ref bus, uint64_t *out, int n);
WEFT_API int weft_bus_ids_until(weft_actor_ref bus, uint64_t *out, int n, int64_t deadline);

WEFT_END_DECLS

#endif
