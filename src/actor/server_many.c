/* SPDX-License-Identifier: MIT
 *
 * server_many.c - calls and casts by name, and calls to all members of a group at once.
 *
 * A group is called by a task a member, which the caller waits for: each has a wait of its own, so that one answer does not end the others' wait.
 */
#include "actor/actor.h"
#include "weft/group.h"
#include "weft/server.h"
#include <stdlib.h>

int weft_reg_call_until(const char *name, uint64_t tag, const void *req, size_t len, void *reply, size_t cap, int64_t deadline)
{
	weft_actor_ref ref;
	int rc = weft_reg_get(name, &ref);

	if (!rc)
		rc = weft_server_call_until(ref, tag, req, len, reply, cap, deadline);
	NO_JUMP();
	return rc;
}

int weft_reg_call(const char *name, uint64_t tag, const void *req, size_t len, void *reply, size_t cap)
{
	int rc = weft_reg_call_until(name, tag, req, len, reply, cap, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

int weft__reg_ask(const char *name, uint64_t tag, const void *req, size_t len, void *reply, size_t size, int64_t deadline)
{
	weft_actor_ref ref;
	int rc = weft_reg_get(name, &ref);

	if (!rc)
		rc = weft__server_ask(ref, tag, req, len, reply, size, deadline);
	NO_JUMP();
	return rc;
}

int weft_reg_cast_until(const char *name, uint64_t tag, const void *data, size_t len, int64_t deadline)
{
	weft_actor_ref ref;
	int rc = weft_reg_get(name, &ref);

	if (!rc)
		rc = weft_server_cast_until(ref, tag, data, len, deadline);
	NO_JUMP();
	return rc;
}

int weft_reg_cast(const char *name, uint64_t tag, const void *data, size_t len)
{
	int rc = weft_reg_cast_until(name, tag, data, len, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}

/* What all are asked. */
struct question {
	uint64_t tag;
	const void *req;
	size_t len, cap;
	int64_t deadline;
	weft_actor_ref caller; /* an actor that asks does not answer meanwhile */
};

static int ask_one(const void *item, void *out, void *arg)
{
	const struct question *q = arg;
	weft_reply *r = out;

	(void)item; /* the same */
	if (weft_actor_same(r->from, q->caller))
		r->result = WEFT_EDEADLK;
	else
		r->result = weft_server_call_until(r->from, q->tag, q->req, q->len, r->reply, q->cap, q->deadline);
	return 0;
}

/* Up to n members into out. Returns how many. */
static int fill(const char *group, weft_reply *out, int n, char *room, size_t cap)
{
	weft_actor_ref *ref;
	int there = weft_pg_members(group, NULL, 0), k = there < n ? there : n;

	if (k <= 0)
		return k;
	ref = malloc((size_t)k * sizeof *ref);
	if (!ref)
		return WEFT_ENOMEM;
	there = weft_pg_members(group, ref, k); /* some may have gone */
	if (there < k)
		k = there;
	for (int i = 0; i < k; i++)
		out[i] = (weft_reply){ref[i], WEFT_ECANCELED, cap ? room + (size_t)i * cap : NULL};
	free(ref);
	return k;
}

int weft_pg_call_until(const char *group, uint64_t tag, const void *req, size_t len, weft_reply *out, int n, void *room, size_t cap,
		       int64_t deadline)
{
	struct question q = {tag, req, len, cap, deadline, weft_actor_self()};
	int k, rc;

	if (n < 0 || (n && !out) || (cap && !room) || (len && !req))
		return WEFT_EINVAL;
	if (deadline == WEFT_NOW)
		return WEFT_EAGAIN;
	k = fill(group, out, n, room, cap);
	if (k <= 0)
		return k;
	rc = weft_group_map(ask_one, out, (size_t)k, sizeof *out, out, sizeof *out, &q, &(weft_group_opts){.policy = WEFT_IGNORE});
	NO_JUMP();
	return rc < 0 ? rc : k;
}

int weft_pg_call(const char *group, uint64_t tag, const void *req, size_t len, weft_reply *out, int n, void *room, size_t cap)
{
	int rc = weft_pg_call_until(group, tag, req, len, out, n, room, cap, WEFT_FOREVER);

	NO_JUMP();
	return rc;
}
