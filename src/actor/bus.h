/* SPDX-License-Identifier: MIT
 *
 * bus.h - what is asked of an event manager itself: a call of the kind MSG_ASKED, which begins with a struct asked.
 */
#ifndef WEFT_ACTOR_BUS_H
#define WEFT_ACTOR_BUS_H

#include "actor/actor.h"
#include "weft/bus.h"

enum op { OP_ADD, OP_REMOVE, OP_SWAP, OP_CALL, OP_IDS };

/* What is asked; behind it the first state, unless that is zeros, or the request. */
struct asked {
	uint64_t op, id, new_id;
	uint64_t tag;
	const weft_bus_vt *vt;
	weft_server_conv *conv;
	void *arg; /* also the state of an OP_ADD, if vt->size is 0 */
	weft_actor_ref owner;
	uint64_t n;
} __attribute__((aligned(16)));

#endif
