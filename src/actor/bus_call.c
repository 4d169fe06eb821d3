/* SPDX-License-Identifier: MIT
 *
 * bus_call.c - what is asked of event managers from outside: calls that bring a struct asked, and events.
 */
#include "actor/bus.h"

#define SIZE_LIMIT ((size_t)1 << 29) /* bytes of a handler's state: fewer */

static int ask(weft_actor_ref bus, const struct asked *q, const void *more, size_t len, void *reply, size_t cap, int64_t deadline)
{
	return weft__call_bus(bus, q, sizeof *q, more, more ? len : 0, reply, cap, deadline);
}

static bool vt_ok(const weft_bus_vt *vt)
{
	return vt && vt->size < SIZE_LIMIT;
}

static int add_until(weft_actor_ref bus, uint64_t id, const weft_bus_vt *vt, const void *init, weft_actor_ref owner, int64_t deadline)
{
	struct asked q = {.op = OP_ADD, .id = id, .vt = vt, .owner = owner};

	if (!vt_ok(vt))
		return WEFT_EINVAL;
	q.arg = (void *)(uintptr_t)init;
	return ask(bus, &q, vt->size ? init : NULL, vt->size, NULL, 0, deadline);
}

int weft_bus_add_until(weft_actor_ref bus, uint64_t id, const weft_bus_vt *vt, const void *init, int64_t deadline)
{
	int rc = add_until(bus, id, vt, init, WEFT_NO_ACTOR, deadline);

	NO_JUMP();
	return rc;
}

int weft_bus_add(weft_actor_ref bus, uint64_t id, const weft_bus_vt *vt, const void *init)
{
	int rc = weft_bus_add_until(bus, id, vt, init, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_bus_add_supervised_until(weft_actor_ref bus, uint64_t id, const weft_bus_vt *vt, const void *init, int64_t deadline)
{
	weft_actor_ref self = weft_actor_self();
	int rc = self.weft__at ? add_until(bus, id, vt, init, self, deadline) : WEFT_EINVAL;

	NO_JUMP();
	return rc;
}

int weft_bus_add_supervised(weft_actor_ref bus, uint64_t id, const weft_bus_vt *vt, const void *init)
{
	int rc = weft_bus_add_supervised_until(bus, id, vt, init, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_bus_remove_until(weft_actor_ref bus, uint64_t id, int64_t deadline)
{
	int rc = ask(bus, &(struct asked){.op = OP_REMOVE, .id = id}, NULL, 0, NULL, 0, deadline);

	NO_JUMP();
	return rc;
}

int weft_bus_remove(weft_actor_ref bus, uint64_t id)
{
	int rc = weft_bus_remove_until(bus, id, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_bus_swap_until(weft_actor_ref bus, uint64_t id, uint64_t new_id, const weft_bus_vt *vt, weft_server_conv *conv, void *arg,
			int64_t deadline)
{
	const struct asked q = {.op = OP_SWAP, .id = id, .new_id = new_id, .vt = vt, .conv = conv, .arg = arg};
	int rc;

	if (!vt_ok(vt) || (conv && !vt->size))
		return WEFT_EINVAL;
	rc = ask(bus, &q, NULL, 0, NULL, 0, deadline);
	NO_JUMP();
	return rc;
}

int weft_bus_swap(weft_actor_ref bus, uint64_t id, uint64_t new_id, const weft_bus_vt *vt, weft_server_conv *conv, void *arg)
{
	int rc = weft_bus_swap_until(bus, id, new_id, vt, conv, arg, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_bus_notify_until(weft_actor_ref bus, uint64_t tag, const void *data, size_t len, int64_t deadline)
{
	int rc = weft_server_cast_until(bus, tag, data, len, deadline);

	NO_JUMP();
	return rc;
}

int weft_bus_notify(weft_actor_ref bus, uint64_t tag, const void *data, size_t len)
{
	int rc = weft_server_cast_until(bus, tag, data, len, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_bus_notify_sync_until(weft_actor_ref bus, uint64_t tag, const void *data, size_t len, int64_t deadline)
{
	int rc = weft_server_call_until(bus, tag, data, len, NULL, 0, deadline);

	NO_JUMP();
	return rc;
}

int weft_bus_notify_sync(weft_actor_ref bus, uint64_t tag, const void *data, size_t len)
{
	int rc = weft_bus_notify_sync_until(bus, tag, data, len, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_bus_call_until(weft_actor_ref bus, uint64_t id, uint64_t tag, const void *req, size_t len, void *reply, size_t cap,
			int64_t deadline)
{
	const struct asked q = {.op = OP_CALL, .id = id, .tag = tag};
	int rc;

	if ((len && !req) || (cap && !reply))
		return WEFT_EINVAL;
	rc = ask(bus, &q, req, len, reply, cap, deadline);
	NO_JUMP();
	return rc;
}

int weft_bus_call(weft_actor_ref bus, uint64_t id, uint64_t tag, const void *req, size_t len, void *reply, size_t cap)
{
	int rc = weft_bus_call_until(bus, id, tag, req, len, reply, cap, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft_bus_ids_until(weft_actor_ref bus, uint64_t *out, int n, int64_t deadline)
{
	const struct asked q = {.op = OP_IDS, .n = n > 0 ? (uint64_t)n : 0};
	int rc;

	if (n < 0 || (n && !out))
		return WEFT_EINVAL;
	rc = ask(bus, &q, NULL, 0, out, (size_t)n * sizeof *out, deadline);
	NO_JUMP();
	return rc < 0 ? rc : rc / (int)sizeof *out;
}

int weft_bus_ids(weft_actor_ref bus, uint64_t *out, int n)
{
	int rc = weft_bus_ids_until(bus, out, n, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}
