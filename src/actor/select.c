/* SPDX-License-Identifier: MIT
 *
 * select.c - WEFT_MAIL: an actor's mailbox as a case of a select (core/source.h).
 */
#include "actor/actor.h"
#include "core/source.h"

static int mail_look(struct weft_case *c, struct self *me, struct waiter *w)
{
	struct actor *a = actor_self(me->worker);
	bool ready;

	if (!a || !c->elem)
		return WEFT_EINVAL;
	lock_take_solo(&a->lock, RANK_ACTOR);
	ready = weft__mail_ready(a);
	if (!ready && w)
		source_list(w, &a->recvq, &a->lock, RANK_ACTOR, a);
	actor_unlock(a);
	return ready;
}

static bool mail_finish(struct weft_case *c, struct waiter *w, bool fired)
{
	struct worker *wk = weft__worker();

	(void)w;
	if (!fired)
		return false;
	c->status = weft__mail_take(wk, actor_self(wk), c->elem);
	return c->status != WEFT_EAGAIN; /* suspended just now */
}

const struct weft_source weft_source_mail = {.look = mail_look, .finish = mail_finish};
