/* SPDX-License-Identifier: MIT
 *
 * supervision_tree.c - a tree with a worker that misbehaves: it is started again, alone or with those that depend on it, until that is too often and its supervisor is started again.
 */
#include <weft.h>

#include <stdio.h>

enum { PARSE, CHOKE };

static sema starts; /* one for each start in the tree */

static int on_msg(void *state, weft_msg *m)
{
	(void)state;
	return m->tag == CHOKE ? WEFT_EINVAL : 0; /* a negative code ends it */
}

static int start_worker(actor_ref *out, void *arg)
{
	(void)arg;
	return actor_start(out, &(actor_opts){.on_msg = on_msg, .link = true});
}

static void on_event(const sup_event *e, void *arg)
{
	(void)arg;
	printf("    %s: %s %s", e->name, e->id, sup_event_name(e->kind));
	if (e->kind == SUP_EXITED)
		printf(": %s", weft_strerror(e->end.code));
	printf("\n");
	if (e->kind == SUP_STARTED || e->kind == SUP_RESTARTED)
		sema_release(&starts, 1);
}

/* The parser reads from the cache, and knows its reference only when that is up: so it comes behind it. */
static const child_spec web_children[] = {
	{.id = "cache", .start = start_worker},
	{.id = "parser", .start = start_worker},
};
static const sup_opts web = {
	.strategy = REST_FOR_ONE, .children = web_children, .n = 2, .max_restarts = 3, .within = 3600 * SEC, .on_event = on_event};

static const child_spec app_children[] = {
	{.id = "store", .start = start_worker},
	{.id = "web", .sup = &web},
};
static const sup_opts app = {.strategy = ONE_FOR_ONE, .children = app_children, .n = 2, .on_event = on_event, .name = "app"};

static void show(actor_ref sup)
{
	char text[1000];

	if (sup_tree(sup, text, sizeof text, SUP_TREE_NO_TIMES) > 0)
		printf("%s\n", text);
}

/* Gives web's child something that it chokes on, and waits for so many starts. */
static void choke(actor_ref top, const char *id, int n)
{
	actor_ref sup, child;

	printf("%s chokes:\n", id);
	if (sup_child_find(top, "web", &sup) || sup_child_find(sup, id, &child))
		return;
	actor_send(child, CHOKE, NULL, 0, PRIO_NORMAL);
	sema_acquire(&starts, (uint32_t)n);
}

WEFT_MAIN(argc, argv)
{
	actor_ref top;

	(void)argc;
	(void)argv;
	sema_init(&starts, 0);
	if (sup_start(&top, &app))
		return 1;
	sema_acquire(&starts, 4);
	show(top);

	choke(top, "parser", 1);
	show(top);
	choke(top, "cache", 2);
	show(top);
	choke(top, "parser", 1);
	choke(top, "parser", 3); /* the fourth within an hour: web gives up, and app starts it again */
	show(top);

	printf("stop:\n");
	return sup_stop(top);
}
