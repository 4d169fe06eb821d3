/* SPDX-License-Identifier: MIT
 *
 * key_value_server.c - a server that keeps words under keys, for whoever asks: answers now, answers when there is something to say, and another behaviour without a pause.
 */
#include <weft.h>

#include <stdio.h>
#include <string.h>

enum { PUT, GET, AWAIT };

#define WORD 12
#define KEYS 8
#define WAITERS 8

struct pair {
	char key[WORD], value[WORD];
};

/* --- what it does --- */

struct store {
	struct pair pair[KEYS];
	int n;
	struct {
		weft_from who;
		char key[WORD];
	} wait[WAITERS]; /* who is answered when there is such a key */
	int nwait;
};

static struct pair *find(struct store *s, const char *key)
{
	for (int i = 0; i < s->n; i++) {
		if (!strcmp(s->pair[i].key, key))
			return &s->pair[i];
	}
	return NULL;
}

static int put(struct store *s, const struct pair *p, weft_from from)
{
	struct pair *old = find(s, p->key);

	if (!old && s->n == KEYS) {
		server_fail(from, WEFT_ENOSPC);
		return 0;
	}
	*(old ? old : &s->pair[s->n++]) = *p;
	for (int i = s->nwait; i-- > 0;) {
		if (!strcmp(s->wait[i].key, p->key)) {
			server_reply(s->wait[i].who, p->value, sizeof p->value);
			s->wait[i] = s->wait[--s->nwait];
		}
	}
	return server_answer(from, s->n);
}

static void wait_for(struct store *s, const char *key, weft_from who)
{
	s->wait[s->nwait].who = who;
	strcpy(s->wait[s->nwait++].key, key);
}

static int on_call(void *state, weft_msg *m, weft_from from)
{
	struct store *s = state;
	struct pair *p;

	if (m->tag == PUT)
		return put(s, msg_as(m, struct pair), from);
	p = find(s, m->data);
	if (p)
		server_reply(from, p->value, sizeof p->value);
	else if (m->tag == GET || s->nwait == WAITERS)
		server_fail(from, WEFT_ENOENT);
	else
		wait_for(s, m->data, from);
	return 0;
}

static void at_end(void *state, weft_end e)
{
	printf("the store ends with %d keys: %s\n", ((struct store *)state)->n, weft_end_name(e));
}

static const server_vt store = {.size = sizeof(struct store), .call = on_call, .terminate = at_end};

/* --- the next version: it counts who asks --- */

struct counting {
	struct store store;
	int asked;
};

static int on_call_counting(void *state, weft_msg *m, weft_from from)
{
	struct counting *c = state;

	c->asked++;
	return on_call(&c->store, m, from);
}

static void at_end_counting(void *state, weft_end e)
{
	printf("asked %d times since the change\n", ((struct counting *)state)->asked);
	at_end(state, e);
}

static int from_store(const void *old, void *fresh, void *arg)
{
	(void)arg;
	((struct counting *)fresh)->store = *(const struct store *)old;
	return 0;
}

static const server_vt counting = {.size = sizeof(struct counting), .call = on_call_counting, .terminate = at_end_counting};

/* --- who asks --- */

static int await_three(void *value)
{
	return reg_call("store", AWAIT, "three", 6, value, WORD);
}

static void ask(const char *what, uint64_t tag, const char *key)
{
	char value[WORD];
	int rc = reg_call("store", tag, key, strlen(key) + 1, value, sizeof value);

	printf("%s %s: %s\n", what, key, rc < 0 ? weft_strerror(rc) : value);
}

static int keep(actor_ref ref, const char *key, const char *value)
{
	struct pair p = {{0}, {0}};
	int keys, rc;

	strcpy(p.key, key);
	strcpy(p.value, value);
	rc = server_ask(ref, PUT, &keys, p);
	return rc ? rc : keys;
}

WEFT_MAIN(argc, argv)
{
	actor_ref ref;
	task *waits;
	char value[WORD];

	(void)argc;
	(void)argv;
	if (server_start(&ref, &store, NULL, &(server_opts){.name = "store"}))
		return 1;
	printf("%d key\n", keep(ref, "one", "eins"));
	printf("%d keys\n", keep(ref, "two", "zwei"));
	ask("get", GET, "two");
	ask("get", GET, "three");

	if (go_opts(&waits, await_three, value, NULL)) /* answered when somebody puts it */
		return 1;
	task_yield();
	printf("%d keys\n", keep(ref, "three", "drei"));
	task_join(waits, NULL);
	printf("waited for three: %s\n", value);

	printf("in time: %s\n", weft_strerror(server_call_until(ref, AWAIT, "never", 6, value, sizeof value, weft_in(10 * MS))));
	printf("changed: %s\n", weft_strerror(server_migrate(ref, &counting, from_store, NULL)));
	ask("get", GET, "one");
	ask("get", GET, "five");
	server_stop(ref, (weft_end){END_SHUTDOWN, 0});
	ask("get", GET, "one");
	return 0;
}
