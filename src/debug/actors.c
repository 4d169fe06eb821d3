/* SPDX-License-Identifier: MIT
 *
 * actors.c - actors in dumps. See actors.h.
 *
 * A cell stays one for ever, and so does a task's record: both are read by peek.h, without a lock. A name is on the heap, and may vanish: what is read of it counts if it is of the generation that lives in the cell.
 * Who waits for an actor has a waiter in its frame that points to the cell, and is told before that is the next one's: so, if the task stood still, the actor is the one it has called.
 */
#include "debug/actors.h"

#include "actor/name.h"
#include "core/task.h"
#include "debug/waits.h"

#define NAMES_LOOK 8 /* names looked at */

extern HIDDEN void (*const weft__actor_main)(void) __attribute__((weak)); /* a program without actors does not have it */

static void look_at_names(struct peek *p, const struct actor *copy, struct actor_seen *out)
{
	const struct list_node *head = &out->cell->names.head, *n = copy->names.head.next;
	struct name e;

	while (n && n != head && out->names < NAMES_LOOK) {
		if (!peek_all(p, container_of((struct list_node *)(uintptr_t)n, struct name, of_actor), &e, sizeof e) ||
		    e.ref.weft__at != out->cell || e.ref.weft__gen != copy->gen)
			return;
		if (!out->names++)
			weft__peek_text(p, e.text, out->name, sizeof out->name);
		n = e.of_actor.next;
	}
}

static void look_at_task(struct peek *p, const struct weft_task *t, struct actor_seen *out)
{
	struct weft_task c;

	if (!t || !peek_all(p, t, &c, sizeof c))
		return;
	out->task = c.id;
	if (c.name)
		weft__peek_text(p, c.name, out->task_name, sizeof out->task_name);
}

static bool look_at(struct peek *p, const struct actor *cell, struct actor_seen *out, struct actor *copy)
{
	if (!cell || !peek_all(p, cell, copy, sizeof *copy) || copy->state == CELL_FREE || copy->state == CELL_GONE)
		return false;
	out->cell = cell;
	out->len = copy->len;
	out->cap = copy->cap;
	out->suspended = copy->suspended;
	out->fn = copy->on_msg ? (uintptr_t)copy->on_msg : (uintptr_t)copy->run;
	look_at_names(p, copy, out);
	return true;
}

/* Of its waiter: what it waits for. NULL: not for an actor. */
static const char *what_of(enum task_reason reason, const struct waiter *w)
{
	switch (reason) {
	case REASON_CALL:
		return "the answer of";
	case REASON_MAIL_ROOM:
		return "room in the mailbox of";
	case REASON_ACTOR:
		return w->index == WAIT_START ? "the start of" : "the end of";
	default:
		return NULL;
	}
}

void weft__actors_look(struct peek *p, const struct weft_task *copy, const void *rec, struct actors_seen *out)
{
	uint64_t word = load_relaxed(&copy->wait); /* a private copy, here and below */
	struct actor cell;
	const char *what;
	struct waiter w;

	*out = (struct actors_seen){.what = NULL};
	if (&weft__actor_main && copy->fn == weft__actor_main && load_relaxed(&copy->state) != WEFT_TASK_NEW &&
	    look_at(p, copy->own_actor, &out->self, &cell) && load_relaxed(&cell.task) != rec)
		out->self.cell = NULL; /* it has not come to that, or is none any more */
	if (!wait_is_open(word) || !copy->waiters || !peek_all(p, copy->waiters, &w, sizeof w) || w.word != word || w.kind != RANK_ACTOR)
		return;
	what = what_of((enum task_reason)load_relaxed(&copy->reason), &w);
	if (!what || !look_at(p, w.source, &out->on, &cell))
		return;
	out->what = what;
	look_at_task(p, load_relaxed(&cell.task), &out->on);
}

void weft__actor_text(const struct actor_seen *a, bool itself, char *to, size_t n)
{
	*to = 0;
	if (!itself && a->task)
		weft__text_add(to, n, "task %llu", (unsigned long long)a->task);
	else if (!itself)
		weft__text_add(to, n, "an actor that has not run yet");
	if (!itself && a->task_name[0])
		weft__text_add(to, n, " (%s)", a->task_name);
	if (a->name[0])
		weft__text_add(to, n, "%snamed \"%s\"", itself ? "" : ", ", a->name);
	if (a->names > 1)
		weft__text_add(to, n, " and %d more", a->names - 1);
	weft__text_add(to, n, "%s%u", itself && !a->name[0] ? "" : ", ", a->len);
	if (a->cap != WEFT_MAILBOX_UNBOUNDED)
		weft__text_add(to, n, " of %u", a->cap);
	weft__text_add(to, n, " in its mailbox%s", a->suspended ? ", suspended" : "");
}
