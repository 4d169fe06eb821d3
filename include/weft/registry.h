/* SPDX-License-Identifier: MIT
 *
 * weft/registry.h - names for actors, and groups of them.
 *
 * A name is one actor's; a group has any number of members. Both are strings of 1 to 63 bytes, in spaces of their own, one of each a process. Who ends has no name and is in no group any more; that is so
 * before anybody is told of its end. Who is killed (weft_actor_kill; by a supervisor that waits no longer) has none from then on, whenever it ends: so another can take its place.
 */
#ifndef WEFT_REGISTRY_H
#define WEFT_REGISTRY_H

#include "actor.h"

WEFT_BEGIN_DECLS

#define WEFT_NAME_MAX 63

/* weft_reg_put - give an actor a name; it may have several.
 * Returns 0; WEFT_EEXIST: somebody has it; WEFT_ESRCH: the actor has ended, or been killed; WEFT_EINVAL: NULL or empty; WEFT_ENAMETOOLONG; WEFT_ENOMEM. Blocks: no. Threads: any. */
WEFT_API int weft_reg_put(const char *name, weft_actor_ref ref);

/* weft_reg_get - whose name it is. Returns 0, or WEFT_ENOENT: nobody's, then *out is WEFT_NO_ACTOR; WEFT_EINVAL, WEFT_ENAMETOOLONG as above. Blocks: no. Threads: any. */
WEFT_API int weft_reg_get(const char *name, weft_actor_ref *out);

/* weft_reg_wait - the same, and wait until it is somebody's: also, with a deadline, for one that is being started again. Returns 0; WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_EAGAIN; WEFT_EINVAL, WEFT_ENAMETOOLONG; WEFT_ENOMEM: a thread
 * outside has nothing to wait with. Such a thread is not told when the runtime goes down: the name may come in another. Blocks: yes (name of an actor). Threads: any. */
WEFT_API int weft_reg_wait(const char *name, weft_actor_ref *out);
WEFT_API int weft_reg_wait_until(const char *name, weft_actor_ref *out, int64_t deadline);

/* weft_reg_del - take the name away from whoever has it. Returns 0, or WEFT_ENOENT; WEFT_EINVAL, WEFT_ENAMETOOLONG. Blocks: no. Threads: any. */
WEFT_API int weft_reg_del(const char *name);

/* weft_reg_send - weft_actor_send to whoever has the name (to a server: for vt.info; weft_reg_cast in weft/server.h is for vt.cast). Also WEFT_ENOENT; WEFT_EINVAL, WEFT_ENAMETOOLONG. */
WEFT_API int weft_reg_send(const char *name, uint64_t tag, const void *data, size_t len, int prio);
WEFT_API int weft_reg_send_until(const char *name, uint64_t tag, const void *data, size_t len, int prio, int64_t deadline);

/* weft_pg_join, weft_pg_leave - into a group, which is made by its first member and gone with its last.
 * Return 0; WEFT_EALREADY: it is a member; WEFT_ESRCH: it has ended, or (join) been killed; WEFT_ENOENT: it is no member; WEFT_EINVAL, WEFT_ENAMETOOLONG; WEFT_ENOMEM. Block: no. Threads: any. */
WEFT_API int weft_pg_join(const char *group, weft_actor_ref ref);
WEFT_API int weft_pg_leave(const char *group, weft_actor_ref ref);

/* weft_pg_members - who is in it, in the order in which they joined.
 *
 *   out, n  room for so many
 *
 * Returns how many there are, which may be more than n; 0: there is no such group; WEFT_EINVAL, WEFT_ENAMETOOLONG. Blocks: no. Threads: any.
 */
WEFT_API int weft_pg_members(const char *group, weft_actor_ref *out, int n);

/* weft_pg_send - send a message to all members, one after the other; each gets a copy. To those who are members when it begins.
 *
 * Returns how many have it; a member that ends meanwhile, or that cannot take it (WEFT_ENOBUFS, WEFT_EDEADLK; past the deadline: all that have no room) does not count. WEFT_ECANCELED, WEFT_ETIMEDOUT: so was the caller's context, before the first;
 * WEFT_ENOMEM, before the first; WEFT_EMSGSIZE, WEFT_EINVAL, WEFT_ENAMETOOLONG.
 * Blocks: as weft_actor_send does. Threads: any.
 */
WEFT_API int weft_pg_send(const char *group, uint64_t tag, const void *data, size_t len, int prio);
WEFT_API int weft_pg_send_until(const char *group, uint64_t tag, const void *data, size_t len, int prio, int64_t deadline);

WEFT_END_DECLS

#endif
