/* SPDX-License-Identifier: MIT
 *
 * bus.c - event managers: an actor whose loop hands what comes to each of its handlers. What is asked of it from outside: bus_call.c.
 *
 * A handler and its state are a letter in the cell's `queue`, and the message that will tell its owner of its end is one in `off`: so an end of the manager, whatever its kind, frees them, and telling needs no memory. (They are
 * no messages: MSG_CHANGE, so that no destructor is asked about them.)
 *
 * Each function of a handler is called in a try.
 */
#include "actor/bus.h"

#include "base/check.h"
#include <stdlib.h>
#include <string.h>

struct bus {
	char name[WEFT_NAME_MAX + 1];
	struct handler *ends; /* its terminate is under way: it is in `off` */
};

struct handler {
	const weft_bus_vt *vt;
	uint64_t id;
	void *state;           /* own, or what was given */
	weft_actor_ref owner;  /* supervises it; WEFT_NO_ACTOR: nobody */
	uint64_t monitor;      /* of the owner */
	struct letter *notice; /* to the owner, in `off`; NULL: it has none */
	char own[] __attribute__((aligned(16)));
};

static struct handler *handler_of(struct list_node *n)
{
	return (struct handler *)letter_of_link(n)->bytes;
}

static struct letter *letter_of_handler(struct handler *h)
{
	return (struct letter *)((char *)h - offsetof(struct letter, bytes));
}

static struct bus *bus_of(struct actor *a)
{
	return a->state_data;
}

static struct handler *find(struct actor *a, uint64_t id)
{
	for (struct list_node *n = list_first(&a->queue); n; n = list_after(&a->queue, n)) {
		if (handler_of(n)->id == id)
			return handler_of(n);
	}
	return NULL;
}

/* --- calling handlers --- */

enum what { INIT, EVENT, INFO, CALL, CONVERT, TERMINATE };

struct turn {
	struct actor *manager; /* TERMINATE */
	struct handler *h;
	weft_msg *m;
	weft_from from;
	enum what what;
	enum weft_bus_why why; /* TERMINATE */
	int code;
	const struct asked *asked; /* CONVERT, from the state of `old` */
	struct handler *old;
};

static int take_turn(void *arg)
{
	struct turn *t = arg;
	const weft_bus_vt *vt = t->h->vt;

	switch (t->what) {
	case INIT:
		return vt->init ? vt->init(t->h->state) : 0;
	case EVENT:
		return vt->event ? vt->event(t->h->state, t->m) : 0;
	case INFO:
		return vt->info ? vt->info(t->h->state, t->m) : 0;
	case CALL:
		return vt->call(t->h->state, t->m, t->from);
	case CONVERT:
		return t->asked->conv(t->old->state, t->h->state, t->asked->arg);
	case TERMINATE:
		if (vt->terminate)
			vt->terminate(t->h->state, t->why, t->code);
		return 0;
	}
	return 0;
}

static void panicked(void *turn, const weft_panic *p)
{
	struct turn *t = turn;

	weft__log("handler %llu of an event manager panicked: %s (%s:%d)", (unsigned long long)t->h->id, p->message, p->file, p->line);
	weft__actor_show();
}

static int give_turn(struct turn *t)
{
	return weft__task_try(take_turn, t, NULL, panicked, t);
}

/* --- handlers come and go --- */

static struct handler *handler_new(const weft_bus_vt *vt, uint64_t id, weft_actor_ref owner)
{
	struct letter *l = letter_get(weft__worker(), sizeof(struct handler) + vt->size);
	struct handler *h;

	if (!l)
		return NULL;
	l->msg.kind = MSG_CHANGE;
	h = (struct handler *)l->bytes;
	*h = (struct handler){.vt = vt, .id = id, .owner = owner};
	memset(h->own, 0, vt->size);
	if (vt->size)
		h->state = h->own;
	return h;
}

static void handler_free(struct handler *h)
{
	letter_put(weft__worker(), letter_of_handler(h));
}

/* The owner is told, and not watched any more. */
static void tell_owner(struct actor *self, struct handler *h, enum weft_bus_why why, int code)
{
	struct worker *w = weft__worker();
	const weft_bus_gone gone = {h->id, why, code};
	struct letter *l = h->notice;
	struct weft_task *ready = NULL;
	struct actor *a;

	if (why != WEFT_BUS_OWNER) /* that one has told */
		(void)weft_actor_demonitor(h->monitor);
	h->notice = NULL;
	list_remove(&l->link);
	l->msg.tag = WEFT_BUS_GONE;
	l->msg.from = actor_ref(self);
	l->msg.kind = WEFT_MSG_USER;
	l->msg.prio = WEFT_PRIO_NORMAL;
	l->msg.data = l->bytes;
	l->msg.len = sizeof gone;
	memcpy(l->bytes, &gone, sizeof gone);
	a = why == WEFT_BUS_OWNER ? NULL : actor_lock(h->owner);
	if (a && actor_deserted(a)) { /* it goes down with us */
		actor_unlock(a);
		a = NULL;
	}
	if (!a) {
		letter_put(w, l);
		return;
	}
	ready = weft__mail_put(a, l);
	actor_unlock(a);
	if (ready)
		weft__ready(w, ready);
}

/* Its terminate is over. */
static void ended(void *turn)
{
	struct turn *t = turn;

	bus_of(t->manager)->ends = NULL;
	list_remove(&letter_of_handler(t->h)->link);
	if (t->h->notice)
		tell_owner(t->manager, t->h, t->why, t->code);
	handler_free(t->h);
}

static void end(struct actor *a, struct handler *h, enum weft_bus_why why, int code)
{
	struct turn t = {.manager = a, .h = h, .what = TERMINATE, .why = why, .code = code};
	weft_defer over;

	list_remove(&letter_of_handler(h)->link);
	list_push_tail(&a->off, &letter_of_handler(h)->link); /* where it is found, should the runtime go down meanwhile */
	bus_of(a)->ends = h;
	weft__defer_push(&over, ended, &t); /* also if terminate ends the task */
	(void)give_turn(&t);
	weft__defer_end(&over);
}

void weft__bus_owners(struct actor *a)
{
	struct handler *h = bus_of(a)->ends;

	if (h && h->notice)
		tell_owner(a, h, WEFT_BUS_STOPPED, 0);
	for (struct list_node *n = list_first(&a->queue); n; n = list_after(&a->queue, n)) {
		if (handler_of(n)->notice)
			tell_owner(a, handler_of(n), WEFT_BUS_STOPPED, 0);
	}
}

/* A handler's function has come to rc. */
static void judge(struct actor *a, struct handler *h, int rc)
{
	if (rc < 0)
		end(a, h, WEFT_BUS_FAILED, rc);
	else if (rc == WEFT_BUS_REMOVE)
		end(a, h, WEFT_BUS_DONE, 0);
	else if (rc)
		end(a, h, WEFT_BUS_FAILED, WEFT_EINVAL);
}

static void tell_all(struct actor *a, weft_msg *m, enum what what)
{
	struct list_node *n, *next;

	for (n = list_first(&a->queue); n; n = next) {
		struct turn t = {.h = handler_of(n), .m = m, .what = what};
		int rc = give_turn(&t);

		next = list_after(&a->queue, n);
		judge(a, t.h, rc);
	}
}

/* An owner has ended? Returns whether it is one's. */
static bool owner_ended(struct actor *a, weft_msg *m)
{
	struct list_node *n;

	if (m->kind != WEFT_MSG_DOWN)
		return false;
	for (n = list_first(&a->queue); n; n = list_after(&a->queue, n)) {
		if (handler_of(n)->notice && handler_of(n)->monitor == m->tag) {
			end(a, handler_of(n), WEFT_BUS_OWNER, 0);
			return true; /* each handler has a monitor of its own */
		}
	}
	return false;
}

/* Its owner will be told. */
static int supervise(struct actor *a, struct handler *h)
{
	struct letter *l;
	int rc;

	if (!h->owner.weft__at)
		return 0;
	l = letter_get(weft__worker(), sizeof(weft_bus_gone));
	if (!l)
		return WEFT_ENOMEM;
	rc = weft_actor_monitor(h->owner, &h->monitor);
	if (rc) {
		letter_put(weft__worker(), l);
		return rc;
	}
	l->msg.kind = MSG_CHANGE;
	list_push_tail(&a->off, &l->link);
	h->notice = l;
	return 0;
}

static void unsupervise(struct handler *h)
{
	if (!h->notice)
		return;
	(void)weft_actor_demonitor(h->monitor);
	list_remove(&h->notice->link);
	letter_put(weft__worker(), h->notice);
}

/* --- what is asked --- */

static int add(struct actor *a, const struct asked *q, bool zeros)
{
	struct turn t = {.what = INIT};
	struct handler *h;
	int rc;

	if (find(a, q->id))
		return WEFT_EEXIST;
	h = handler_new(q->vt, q->id, q->owner);
	if (!h)
		return WEFT_ENOMEM;
	if (!q->vt->size)
		h->state = q->arg;
	else if (!zeros)
		memcpy(h->own, q + 1, q->vt->size);
	list_push_tail(&a->off, &letter_of_handler(h)->link); /* where it is found, should init not return */
	t.h = h;
	rc = supervise(a, h);
	if (!rc)
		rc = give_turn(&t);
	list_remove(&letter_of_handler(h)->link);
	if (rc < 0) {
		unsupervise(h);
		handler_free(h);
		return rc;
	}
	list_push_tail(&a->queue, &letter_of_handler(h)->link);
	return 0;
}

static int swap(struct actor *a, const struct asked *q)
{
	struct handler *old = find(a, q->id), *h;
	struct turn t = {.what = CONVERT, .asked = q, .old = old};
	struct list_node *n, *m;
	int rc = 0;

	if (!old)
		return WEFT_ENOENT;
	if (q->new_id != q->id && find(a, q->new_id))
		return WEFT_EEXIST;
	h = handler_new(q->vt, q->new_id, old->owner);
	if (!h)
		return WEFT_ENOMEM;
	n = &letter_of_handler(h)->link;
	m = &letter_of_handler(old)->link;
	list_push_tail(&a->off, n); /* as in add */
	t.h = h;
	if (q->conv)
		rc = give_turn(&t);
	t.what = INIT;
	if (rc >= 0)
		rc = give_turn(&t);
	list_remove(n);
	if (rc < 0) {
		handler_free(h);
		return rc;
	}
	h->monitor = old->monitor;
	h->notice = old->notice;
	old->notice = NULL;
	n->next = m->next; /* in its place */
	n->prev = m;
	m->next->prev = n;
	m->next = n;
	end(a, old, WEFT_BUS_SWAPPED, 0);
	return 0;
}

static void call(struct actor *a, weft_msg *m, weft_from from)
{
	const struct asked q = *(struct asked *)m->data;
	struct turn t = {.h = find(a, q.id), .m = m, .from = from, .what = CALL};
	int rc;

	if (!t.h || !t.h->vt->call) {
		(void)weft_server_fail(from, t.h ? WEFT_ENOTSUP : WEFT_ENOENT);
		return;
	}
	m->tag = q.tag; /* what the handler sees is the request */
	m->data = (char *)m->data + sizeof q;
	m->len -= (uint32_t)sizeof q;
	m->kind = WEFT_MSG_USER;
	rc = give_turn(&t);
	if (rc < 0)
		(void)weft_server_fail(from, rc);
	judge(a, t.h, rc);
}

static int ids(struct actor *a, weft_from from, size_t n)
{
	uint64_t *id;
	size_t k = 0, there = 0;
	int rc;

	for (struct list_node *i = list_first(&a->queue); i; i = list_after(&a->queue, i))
		there++;
	n = there < n ? there : n;
	id = malloc(n * sizeof *id + 1);
	if (!id)
		return WEFT_ENOMEM;
	for (struct list_node *i = list_first(&a->queue); i && k < n; i = list_after(&a->queue, i))
		id[k++] = handler_of(i)->id;
	rc = weft_server_reply(from, id, k * sizeof *id);
	free(id);
	return rc;
}

static void answer(struct actor *a, weft_msg *m, weft_from from)
{
	const struct asked *q = m->data;
	int rc = 0;

	switch ((enum op)q->op) {
	case OP_ADD:
		rc = add(a, q, m->len == sizeof *q);
		break;
	case OP_REMOVE:
		if (find(a, q->id))
			end(a, find(a, q->id), WEFT_BUS_REMOVED, 0);
		else
			rc = WEFT_ENOENT;
		break;
	case OP_SWAP:
		rc = swap(a, q);
		break;
	case OP_CALL:
		call(a, m, from);
		return;
	case OP_IDS:
		rc = ids(a, from, q->n);
		if (!rc)
			return;
		break;
	}
	if (rc)
		(void)weft_server_fail(from, rc);
	else
		(void)weft_server_reply(from, NULL, 0);
}

/* --- the loop --- */

static void handle(struct actor *a, weft_msg *m)
{
	unsigned flags = m->weft__flags;
	weft_from from;

	if (flags & LETTER_CALL) {
		from = weft_msg_from(m);
		if (!weft_server_waiting(from))
			return;
		if (m->kind == MSG_ASKED) {
			answer(a, m, from);
		} else {
			tell_all(a, m, EVENT);
			(void)weft_server_reply(from, NULL, 0);
		}
	} else if (flags & LETTER_CAST) {
		tell_all(a, m, EVENT);
	} else if (!owner_ended(a, m)) {
		tell_all(a, m, INFO);
	}
}

int weft__bus_run(void *state)
{
	struct actor *a = actor_self(weft__worker());
	weft_msg *m;
	int rc;

	(void)state;
	for (;;) {
		rc = weft_actor_recv(&m);
		if (rc)
			return rc;
		a->current = letter_of(m);
		handle(a, m);
		if (a->current) {
			a->current = NULL;
			weft_msg_free(m);
		}
	}
}

static int bus_start(void *state)
{
	struct bus *b = state;

	return weft_reg_put(b->name, weft_actor_self());
}

static void bus_stop(void *state, weft_end e)
{
	struct actor *a = actor_self(weft__worker());
	struct list_node *n;

	(void)state;
	(void)e;
	while ((n = list_first(&a->queue)) != NULL)
		end(a, handler_of(n), WEFT_BUS_STOPPED, 0);
}

int weft__bus_start_at(weft_actor_ref *out, const weft_server_opts *o, int64_t deadline, const struct weft_site *site)
{
	static const weft_server_opts usual;
	struct bus b = {.name = ""};
	size_t len;

	if (out)
		*out = WEFT_NO_ACTOR;
	if (!o)
		o = &usual;
	len = o->name ? strlen(o->name) : 0;
	if (len > WEFT_NAME_MAX)
		return WEFT_ENAMETOOLONG;
	if (o->name && !len)
		return WEFT_EINVAL;
	if (o->contain)
		return WEFT_ENOTSUP;
	if (len)
		memcpy(b.name, o->name, len);
	return weft__actor_start_at(out,
				    &(weft_actor_opts){.run = weft__bus_run,
						       .on_start = len ? bus_start : NULL,
						       .on_stop = bus_stop,
						       .state = &b,
						       .size = sizeof b,
						       .mailbox = o->mailbox,
						       .name = o->name,
						       .ctx = o->ctx,
						       .trap_exit = o->trap_exit,
						       .link = o->link},
				    deadline, site);
}

int(weft_bus_start_until)(weft_actor_ref *out, const weft_server_opts *o, int64_t deadline)
{
	return weft__bus_start_at(out, o, deadline, NULL);
}

int(weft_bus_start)(weft_actor_ref *out, const weft_server_opts *o)
{
	return weft__bus_start_at(out, o, WEFT_FOREVER, NULL);
}
