/* SPDX-License-Identifier: MIT
 *
 * erl_node.c - a counter that Erlang can ask: a node of an Erlang cluster with one server. Needs epmd, which every erl starts.
 *
 *	erl_node counter@127.0.0.1 cookie
 *	erl -name me@127.0.0.1 -setcookie cookie
 *	1> net_adm:ping('counter@127.0.0.1').
 *	2> gen_server:cast({counter, 'counter@127.0.0.1'}, {add, 5}).
 *	3> gen_server:call({counter, 'counter@127.0.0.1'}, get).
 *	4> gen_server:call({counter, 'counter@127.0.0.1'}, stop).
 *
 * Build:  cc erl_node.c $(pkg-config --cflags --libs weft-erl)
 */
#include <stdio.h>
#include <string.h>
#include <weft.h>
#include <weft/erl.h>

static int answer(weft_from from, const char *format, long n)
{
	ei_x_buff x;

	if (ei_x_new(&x) != 0)
		return WEFT_ENOMEM;
	ei_x_format_wo_ver(&x, format, n);
	server_reply(from, x.buff, (size_t)x.index);
	ei_x_free(&x);
	return 0;
}

static int on_call(void *state, weft_msg *m, weft_from from)
{
	const char *term = weft_erl_term(m, NULL, NULL);
	char what[MAXATOMLEN] = "";
	long *n = state;
	int at = 0;

	if (!term)
		return server_fail(from, WEFT_ENOTSUP);
	(void)ei_decode_atom(term, &at, what);
	if (strcmp(what, "get") == 0)
		return answer(from, "~i", *n);
	if (strcmp(what, "stop") == 0) {
		answer(from, "{stopped,~i}", *n);
		return WEFT_SERVER_STOP;
	}
	return answer(from, "{error,unknown}", 0);
}

static int on_cast(void *state, weft_msg *m)
{
	const char *term = weft_erl_term(m, NULL, NULL);
	char what[MAXATOMLEN];
	long add, *n = state;
	int at = 0, arity;

	if (term && ei_decode_tuple_header(term, &at, &arity) == 0 && arity == 2 && ei_decode_atom(term, &at, what) == 0 &&
	    strcmp(what, "add") == 0 && ei_decode_long(term, &at, &add) == 0)
		*n += add;
	return 0;
}

static const weft_server_vt counter = {.size = sizeof(long), .call = on_call, .cast = on_cast};

WEFT_MAIN(argc, argv)
{
	weft_erl *node;
	actor_ref ref;
	int rc;

	if (argc != 3) {
		printf("erl_node NAME@HOST COOKIE\n");
		return 2;
	}
	rc = weft_erl_start(&node, argv[1], argv[2], NULL);
	if (rc != 0) {
		printf("%s: %s\n", argv[1], rc == WEFT_ECONNREFUSED ? "no epmd runs here" : weft_strerror(rc));
		return 1;
	}
	rc = server_start(&ref, &counter, NULL, &(weft_server_opts){.name = "counter"});
	if (rc == 0) {
		printf("%s listens on port %d\n", weft_erl_name(node), weft_erl_port(node));
		fflush(stdout);
		actor_wait(ref, NULL);
	}
	weft_erl_stop(node);
	return rc != 0;
}
