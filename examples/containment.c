/* SPDX-License-Identifier: MIT
 *
 * containment.c - a parser with three bugs, and a service that outlives them: an abort, a null pointer and a recursion without end each end the parser alone; its supervisor starts it again.
 */
#include <weft.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARSE };

static bool contained = true; /* under a sanitizer nothing can be, and the parser fails by a code */
static volatile int depth;

static int nested(const char *s)
{
	char seen[64];

	strncpy(seen, s, sizeof seen - 1);
	depth++;
	return *s == '(' ? nested(s) + seen[0] : 0; /* it should have been s + 1 */
}

static int parse(const char *s)
{
	const char *colon = strchr(s, ':');

	if (!contained && (strchr(s, '0') || !colon || strchr(s, '(')))
		return WEFT_EINVAL;
	if (s[0] == '(')
		return nested(s);
	if (colon[1] == '0')
		abort(); /* as a failed assertion does. (A division by zero is a fault on x86_64, and 0 on aarch64.) */
	return 100 / (colon[1] - '0');
}

static int on_call(void *state, weft_msg *m, weft_from from)
{
	int rc = parse(m->data);

	(void)state;
	return rc < 0 ? rc : server_reply(from, &rc, sizeof rc);
}

static int start_parser(actor_ref *out, void *arg)
{
	static const server_vt vt = {.call = on_call};

	(void)arg;
	return server_start(out, &vt, NULL, &(server_opts){.name = "parser", .link = true, .contain = contained});
}

/* Asks the parser that there is now, or will be. */
static void ask(const char *text)
{
	actor_ref parser;
	int got = 0, rc;

	reg_wait("parser", &parser);
	rc = server_call(parser, PARSE, text, strlen(text) + 1, &got, sizeof got);
	if (rc < 0)
		printf("%-12s %s\n", text, weft_strerror(rc));
	else
		printf("%-12s %d\n", text, got);
	while (rc < 0 && actor_alive(parser)) /* it has failed; its name is another's next */
		task_yield();
}

WEFT_MAIN(argc, argv)
{
	static const child_spec parser = {.id = "parser", .start = start_parser};
	sup_opts opts = {.children = &parser, .n = 1, .max_restarts = 10};
	actor_ref sup;
	int rc = sup_start(&sup, &opts);

	(void)argc;
	(void)argv;
	if (rc == WEFT_ENOTSUP) {
		contained = false;
		rc = sup_start(&sup, &opts);
	}
	if (rc) {
		fprintf(stderr, "containment: %s\n", weft_strerror(rc));
		return 1;
	}
	ask("ratio:5");
	ask("ratio:0");
	ask("ratio:4");
	ask("ratio");
	ask("ratio:2");
	ask("((5)");
	ask("ratio:1");
	return sup_stop(sup);
}
