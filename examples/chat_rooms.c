/* SPDX-License-Identifier: MIT
 *
 * chat_rooms.c - people are actors with names, rooms are groups of them. Who leaves for good is in no room any more.
 */
#include <weft.h>

#include <stdio.h>
#include <string.h>

enum { SAY, HEAR };

struct line {
	char room[16], who[16], text[64];
};

struct person {
	char name[16];
	int heard;
	sema *turns; /* one for each line that somebody has heard */
};

static int on_msg(void *state, weft_msg *m)
{
	struct person *p = state;
	struct line l = *msg_as(m, struct line);

	if (m->tag == SAY) {
		snprintf(l.who, sizeof l.who, "%s", p->name);
		pg_send(l.room, HEAR, &l, sizeof l, PRIO_NORMAL);
		return 0;
	}
	if (strcmp(l.who, p->name) != 0)
		p->heard++;
	sema_release(p->turns, 1);
	return 0;
}

static void on_stop(void *state, weft_end e)
{
	struct person *p = state;

	(void)e;
	printf("%s has heard: %d\n", p->name, p->heard);
}

static int come(const char *name, sema *turns)
{
	struct person p = {.heard = 0, .turns = turns};
	actor_ref ref;
	int rc;

	snprintf(p.name, sizeof p.name, "%s", name);
	rc = actor_start(&ref, &(actor_opts){.on_msg = on_msg, .on_stop = on_stop, .state = &p, .size = sizeof p});
	return rc ? rc : reg_put(name, ref);
}

static int enter(const char *name, const char *room)
{
	actor_ref ref;
	int rc = reg_get(name, &ref);

	return rc ? rc : pg_join(room, ref);
}

/* Has that person say something, and waits until all in the room have heard it. */
static void say(const char *who, const char *room, const char *text, sema *turns)
{
	int there = pg_members(room, NULL, 0);
	struct line l = {.who = ""};

	snprintf(l.room, sizeof l.room, "%s", room);
	snprintf(l.text, sizeof l.text, "%s", text);
	printf("%s, to %d in the %s: %s\n", who, there, room, text);
	if (reg_send(who, SAY, &l, sizeof l, PRIO_NORMAL) == 0)
		sema_acquire(turns, there);
}

static void go_home(const char *name)
{
	actor_ref ref;

	if (reg_get(name, &ref) == 0)
		actor_stop_wait(ref);
}

WEFT_MAIN(argc, argv)
{
	static const char *const people[] = {"Ada", "Grace", "Edsger"};
	sema turns;

	(void)argc;
	(void)argv;
	sema_init(&turns, 0);
	for (int i = 0; i < 3; i++) {
		if (come(people[i], &turns))
			return 1;
		enter(people[i], "kitchen");
	}
	enter("Ada", "garden");
	enter("Grace", "garden");
	say("Ada", "kitchen", "hello", &turns);
	say("Grace", "garden", "nice weather", &turns);
	go_home("Edsger");
	say("Ada", "kitchen", "who is left?", &turns);
	printf("a message to Edsger: %s\n", weft_strerror(reg_send("Edsger", SAY, NULL, 0, PRIO_NORMAL)));
	go_home("Grace");
	go_home("Ada");
	printf("in the kitchen: %d\n", pg_members("kitchen", NULL, 0));
	return 0;
}
