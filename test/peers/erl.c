/* SPDX-License-Identifier: MIT
 *
 * erl.c - weft/erl.h with Erlang itself: an epmd and an erl of the test's own, on loopback. The erl reads expressions, a line each, and says what they are.
 */
#include "../actors.h"
#include "../erl.h"
#include "../peer.h"

#define OURS "a@127.0.0.1"
#define THEIRS "b@127.0.0.1"

/* Reads, evaluates, prints; what one line has bound the next may use. */
static const char loop[] = "register(main, self()),"
			   "L = fun L(B) -> case io:get_line('') of eof -> halt(0);"
			   " S -> {ok, T, _} = erl_scan:string(S), {ok, E} = erl_parse:parse_exprs(T),"
			   " N = try {value, V, M} = erl_eval:exprs(E, B), io:format(\"= ~0p~n\", [V]), M"
			   " catch C:R -> io:format(\"= ~0p~n\", [{C, R}]), B end, L(N) end end,"
			   "io:format(\"= ready~n\"), L([]).";

struct world {
	struct peer epmd, erl;
	int port;
	weft_erl *n;
};

/* A port below those that the system gives to whoever asks for any, and another one in each process. */
static void epmd_begin(struct world *w)
{
	char port[16];

	peer_need("epmd");
	peer_need("erl");
	w->port = 10000 + (int)(getpid() % 20000);
	snprintf(port, sizeof port, "%d", w->port);
	setenv("ERL_EPMD_PORT", port, 1);
	setenv("ERL_EPMD_ADDRESS", "127.0.0.1", 1);
	setenv("ERL_CRASH_DUMP_SECONDS", "0", 1);
	peer_start(&w->epmd, 0, peer_need("epmd"), NULL);
	peer_until_listens(&w->epmd, w->port);
}

static const char *erl_says(struct world *w)
{
	return peer_until_says(&w->erl, "= ") + 2;
}

static void erl_begin(struct world *w)
{
	peer_start(&w->erl, PEER_IN | PEER_OUT, peer_need("erl"), "+S", "2:2", "-noshell", "-start_epmd", "false", "-name", THEIRS,
		   "-setcookie", "cookie", "-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-kernel", "logger_level", "none", "-eval",
		   loop, NULL);
	T_STR_EQ(erl_says(w), "ready");
}

static void erl_do(struct world *w, const char *line)
{
	tap_note("%s", line);
	T_OK(peer_write(&w->erl, line, strlen(line)));
	T_OK(peer_write(&w->erl, "\n", 1));
}

static const char *erl_eval(struct world *w, const char *line)
{
	erl_do(w, line);
	return erl_says(w);
}

#define ERL_IS(w, line, wanted) T_STR_EQ(erl_eval((w), (line)), (wanted))

static void world_begin(struct world *w)
{
	epmd_begin(w);
	erl_begin(w);
	T_EQ(weft_erl_start(&w->n, OURS, "cookie", &(weft_erl_opts){.listen = "127.0.0.1:0"}), 0);
}

static void erl_end(struct world *w)
{
	peer_shut(&w->erl);
	T_EQ(peer_end(&w->erl), 0);
}

static void epmd_end(struct world *w)
{
	peer_signal(&w->epmd, SIGKILL);
	(void)peer_end(&w->epmd);
}

static void end(weft_actor_ref ref)
{
	T_EQ(weft_actor_stop_wait(ref), 0);
}

static weft_erl_to at(const char *name)
{
	return weft_erl_at(name, THEIRS);
}

/* --- theirs to ours --- */

static void they_speak(struct world *w, struct store *s, struct ear *e)
{
	ERL_IS(w, "net_adm:ping('" OURS "').", "pong");
	ERL_IS(w, "{nodes(), nodes(hidden)}.", "{[],['" OURS "']}");
	T_OK(weft_erl_connected(w->n, THEIRS));
	ERL_IS(w, "{ear, '" OURS "'} ! {hello, 1}.", "{hello,1}");
	ear_until(e, 1);
	T_STR_EQ(e->last, "{hello, 1}");
	T_EQ(send_term(w->n, weft_erl_at_pid(&e->from), TERM("{back,~i}", 1)), 0);
	ERL_IS(w, "receive {back, N} -> N after 30000 -> late end.", "1");
	ERL_IS(w, "gen_server:cast({store, '" OURS "'}, {add, 5}).", "ok");
	ERL_IS(w, "gen_server:call({store, '" OURS "'}, get).", "5");
	ERL_IS(w, "gen_server:call({store, '" OURS "'}, {add, 6}).", "11");
	ERL_IS(w, "gen_server:call({store, '" OURS "'}, who) =:= self().", "true");
	ERL_IS(w, "gen_server:call({store, '" OURS "'}, fail).", "{error,{weft,-42}}");
	ERL_IS(w, "gen_server:call({store, '" OURS "'}, bad).", "{error,{weft,-22}}");
	ERL_IS(w, "{exit, {W, _}} = (catch try gen_server:call({nobody, '" OURS "'}, get) catch X:Y -> {X, Y} end), W.", "noproc");
	ERL_IS(w,
	       "S1 = gen_server:send_request({store, '" OURS "'}, {add, 100}), gen_server:cast({store, '" OURS "'}, {add, 1000}), "
	       "gen_server:wait_response(S1, 30000).",
	       "{reply,111}"); /* the cast came behind the call */
	ERL_IS(w, "gen_server:call({store, '" OURS "'}, get).", "1111");
	T_EQ(s->cast, 2);
}

static void they_give_up(struct world *w, struct store *s, weft_actor_ref store)
{
	int asked = s->asked;

	T_EQ(weft_actor_suspend(store), 0);
	ERL_IS(w, "element(1, element(2, (catch gen_server:call({store, '" OURS "'}, {add, 1}, 10)))).", "timeout");
	ERL_IS(w, "net_adm:ping('" OURS "').", "pong"); /* behind the end of that */
	T_EQ(weft_actor_resume(store), 0);
	ERL_IS(w, "gen_server:call({store, '" OURS "'}, get).", "1111");
	T_EQ(s->asked, asked + 1);
}

static void they_watch(struct world *w)
{
	weft_actor_ref a;
	erlang_pid pid;
	ei_x_buff x;

	T_EQ(weft_actor_fn(&a, ear_hears), 0);
	T_EQ(weft_reg_put("watched", a), 0);
	ERL_IS(w, "R1 = monitor(process, {watched, '" OURS "'}), R2 = monitor(process, {watched, '" OURS "'}), demonitor(R2).", "true");
	ERL_IS(w, "net_adm:ping('" OURS "').", "pong");
	T_EQ(weft_actor_stop(a, (weft_end){WEFT_END_SHUTDOWN, 0}), 0);
	ERL_IS(w, "receive {'DOWN', R1, process, W1, Y1} -> {W1, Y1} after 30000 -> late end.", "{{watched,'" OURS "'},shutdown}");
	ERL_IS(w, "R3 = monitor(process, {watched, '" OURS "'}), receive {'DOWN', R3, process, _, Y3} -> Y3 after 30000 -> late end.",
	       "noproc");

	T_EQ(weft_actor_fn(&a, ear_hears), 0);
	T_EQ(weft_erl_pid(w->n, a, &pid), 0);
	T_EQ(ei_x_new(&x), 0);
	T_EQ(ei_x_encode_tuple_header(&x, 2), 0);
	T_EQ(ei_x_encode_atom(&x, "pid"), 0);
	T_EQ(ei_x_encode_pid(&x, &pid), 0);
	T_EQ(send_term(w->n, at("main"), x), 0);
	ERL_IS(w, "receive {pid, P} -> node(P) after 30000 -> late end.", "'" OURS "'");
	ERL_IS(w, "process_flag(trap_exit, true), R4 = monitor(process, P), link(P), unlink(P), link(P).", "true");
	ERL_IS(w, "net_adm:ping('" OURS "').", "pong");
	T_EQ(weft_actor_stop(a, (weft_end){WEFT_END_CODE, -7}), 0);
	ERL_IS(w, "receive {'EXIT', P, Y4} -> Y4 after 30000 -> late end.", "{weft,code,-7}");
	ERL_IS(w, "receive {'DOWN', R4, process, P, Y5} -> Y5 after 30000 -> late end.", "{weft,code,-7}");
	ERL_IS(w, "link(P), receive {'EXIT', P, Y6} -> Y6 after 30000 -> late end.", "noproc");
}

/* exit/2, and the end of one of theirs that is linked. */
static void they_end_ours(struct world *w)
{
	static const struct {
		const char *how;
		int kind, code;
	} ways[] = {
		{"exit(get(ours), shutdown).", WEFT_END_SHUTDOWN, 0},
		{"exit(get(ours), why).", WEFT_END_CODE, WEFT_EDOWN},
		{"exit(get(ours), kill).", WEFT_END_KILLED, WEFT_ECANCELED},
		{"(fun(Q) -> is_pid(spawn(fun() -> link(Q), exit({weft, code, -9}) end)) end)(get(ours)).", WEFT_END_CODE, -9},
	};

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct watcher v;
		weft_actor_ref a;
		erlang_pid pid;
		ei_x_buff x;

		T_EQ(weft_actor_fn(&a, ear_hears), 0);
		watch_begin(&v, a);
		T_EQ(weft_erl_pid(w->n, a, &pid), 0);
		T_EQ(ei_x_new(&x), 0);
		T_EQ(ei_x_encode_pid(&x, &pid), 0);
		T_EQ(send_term(w->n, at("main"), x), 0);
		ERL_IS(w, "put(ours, (fun() -> receive Q when is_pid(Q) -> Q after 30000 -> late end end)()), is_pid(get(ours)).", "true");
		ERL_IS(w, ways[i].how, "true");
		watch_end(&v, ways[i].kind, ways[i].code);
	}
}

/* --- ours to theirs --- */

struct asking {
	weft_erl *n;
	const char *what;
	int rc;
};

static int asks(void *arg)
{
	struct asking *a = arg;
	char got[64];

	a->rc = call_term(a->n, at("main"), TERM(a->what), got, sizeof got, WEFT_FOREVER);
	return 0;
}

static void we_speak(struct world *w)
{
	struct asking q = {.n = w->n, .what = "get"};
	char got[256];
	weft_task *t;

	T_EQ(weft_erl_ping(w->n, THEIRS), 0);
	T_EQ(send_term(w->n, at("main"), TERM("{from_weft,[1,2]}")), 0);
	ERL_IS(w, "receive {from_weft, L1} -> L1 after 30000 -> late end.", "[1,2]");
	T_EQ(cast_term(w->n, at("main"), TERM("{do,it}")), 0);
	ERL_IS(w, "receive {'$gen_cast', C1} -> C1 after 30000 -> late end.", "{do,it}");
	T_EQ(call_term(w->n, at("rex"), TERM("{call,erlang,'+',[40,2],user}"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "42");
	T_EQ(call_term(w->n, at("nobody"), TERM("get"), got, sizeof got, WEFT_FOREVER), WEFT_ESRCH);
	t = start(asks, &q);
	ERL_IS(w, "receive {'$gen_call', F1, get} -> got after 30000 -> late end.", "got");
	T_EQ(weft_task_cancel(t), 0);
	T_EQ(finish(t), 0);
	T_EQ(q.rc, WEFT_ECANCELED);
	ERL_IS(w, "gen_server:reply(F1, late).", "ok"); /* to nobody */
	T_EQ(call_term(w->n, at("rex"), TERM("{call,erlang,node,[],user}"), got, sizeof got, WEFT_FOREVER), 0);
	T_STR_EQ(got, "'" THEIRS "'");
	ERL_IS(w, "is_pid(spawn(fun() -> register(dies, self()), receive {'$gen_call', _, _} -> exit(oh) end end)).", "true");
	ERL_IS(w, "(fun U() -> case whereis(dies) of undefined -> U(); _ -> ok end end)().", "ok");
	T_EQ(call_term(w->n, at("dies"), TERM("get"), got, sizeof got, WEFT_FOREVER), WEFT_EDOWN);
}

static void we_watch(struct world *w)
{
	static const struct {
		const char *how;
		int kind, code;
	} ways[] = {
		{"exit(whereis(victim), shutdown).", WEFT_END_SHUTDOWN, 0},
		{"exit(whereis(victim), kill).", WEFT_END_KILLED, WEFT_ECANCELED},
		{"exit(whereis(victim), {some, reason}).", WEFT_END_CODE, WEFT_EDOWN},
	};
	weft_actor_ref there;
	struct watcher v;
	weft_end e;

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		ERL_IS(w, "register(victim, spawn(fun() -> receive never -> ok end end)).", "true");
		T_EQ(weft_erl_stand_in(w->n, &there, at("victim")), 0);
		watch_begin(&v, there);
		T_EQ(weft_erl_ping(w->n, THEIRS), 0); /* behind the monitor */
		ERL_IS(w, ways[i].how, "true");
		watch_end(&v, ways[i].kind, ways[i].code);
	}
	T_EQ(weft_erl_stand_in(w->n, &there, at("victim")), 0);
	if (weft_actor_wait(there, &e) == 0) /* else it has ended already */
		T_EQ(e.kind, WEFT_END_UNKNOWN);
}

/* --- much --- */

static void much(struct world *w, struct ear *e)
{
	static char big[3 << 20];
	char line[512], n[32];
	int had = e->count, many = tap_iters(20000);
	ei_x_buff x = {.buff = NULL};

	ERL_IS(w, "{ear, '" OURS "'} ! binary:copy(<<1>>, 5000000), ok.", "ok");
	ear_until(e, had + 1);
	T_STR_EQ(e->last, "binary of 5000000");
	T_EQ(ei_x_new(&x), 0);
	T_EQ(ei_x_encode_binary(&x, big, sizeof big), 0);
	T_EQ(send_term(w->n, at("main"), x), 0);
	ERL_IS(w, "receive B1 when is_binary(B1) -> byte_size(B1) after 30000 -> late end.", "3145728");
	snprintf(line, sizeof line, "[{ear, '" OURS "'} ! I || I <- lists:seq(0, %d)], done.", many - 1);
	ERL_IS(w, line, "done");
	ear_until(e, had + 1 + many);
	T_OK(e->in_order);
	for (long i = 0; i < many; i++)
		T_EQ(send_term(w->n, at("main"), TERM("~i", i)), 0);
	snprintf(line, sizeof line,
		 "(fun C(%d) -> all; C(I) -> receive I -> C(I + 1); J when is_integer(J) -> {I, J} after 30000 -> late end end)(0).", many);
	ERL_IS(w, line, "all");
	snprintf(line, sizeof line,
		 "S0 = gen_server:call({store, '" OURS "'}, get), M = self(), "
		 "[spawn(fun() -> [gen_server:call({store, '" OURS
		 "'}, {add, 1}) || _ <- lists:seq(1, 20)], M ! one end) || _ <- lists:seq(1, %d)], "
		 "[receive one -> ok end || _ <- lists:seq(1, %d)], gen_server:call({store, '" OURS "'}, get) - S0.",
		 many / 200, many / 200);
	snprintf(n, sizeof n, "%d", many / 200 * 20);
	ERL_IS(w, line, n);
}

static void wrong_cookie(struct world *w)
{
	weft_erl *n;

	T_EQ(weft_erl_start(&n, "c@127.0.0.1", "other", &(weft_erl_opts){.listen = "127.0.0.1:0"}), 0);
	T_EQ(weft_erl_connect(n, THEIRS), WEFT_EACCES);
	ERL_IS(w, "net_adm:ping('c@127.0.0.1').", "pang");
	T_EQ(weft_erl_stop(n), 0);
	T_EQ(weft_erl_start(&n, THEIRS, "cookie", &(weft_erl_opts){.listen = "127.0.0.1:0"}), WEFT_EEXIST);
}

static int both_ways(void *arg)
{
	weft_actor_ref store, ear;
	struct world w;
	struct store s;
	struct ear e;

	(void)arg;
	world_begin(&w);
	store = store_start(&s);
	ear = ear_start(&e, 0);
	they_speak(&w, &s, &e);
	they_give_up(&w, &s, store);
	they_watch(&w);
	they_end_ours(&w);
	we_speak(&w);
	we_watch(&w);
	much(&w, &e);
	wrong_cookie(&w);
	ERL_IS(&w, "gen_server:call({store, '" OURS "'}, stop).", "{ok,bye}");
	ERL_IS(&w, "R9 = monitor(process, {ear, '" OURS "'}), monitor_node('" OURS "', true).", "true");
	ERL_IS(&w, "net_adm:ping('" OURS "').", "pong");
	T_EQ(weft_erl_stop(w.n), 0);
	ERL_IS(&w, "receive {'DOWN', R9, process, _, Y9} -> Y9 after 30000 -> late end.", "noconnection");
	ERL_IS(&w, "receive {nodedown, N9} -> N9 after 30000 -> late end.", "'" OURS "'");
	end(ear);
	(void)store;
	erl_end(&w);
	epmd_end(&w);
	return 0;
}

TEST_WORKERS(erlang_and_weft_speak_both_ways)
{
	run(both_ways, NULL);
}

/* --- loss --- */

static int lost(void *arg)
{
	weft_actor_ref ours, there;
	struct watcher v, u;
	struct asking q;
	struct world w;
	erlang_pid pid;
	weft_task *t;
	ei_x_buff x;

	(void)arg;
	world_begin(&w);
	T_EQ(weft_actor_fn(&ours, ear_hears), 0);
	T_EQ(weft_erl_pid(w.n, ours, &pid), 0);
	T_EQ(ei_x_new(&x), 0);
	T_EQ(ei_x_encode_pid(&x, &pid), 0);
	T_EQ(send_term(w.n, at("main"), x), 0);
	ERL_IS(&w, "receive P -> link(P) after 30000 -> late end.", "true");
	ERL_IS(&w, "net_adm:ping('" OURS "').", "pong");
	T_EQ(weft_erl_stand_in(w.n, &there, at("main")), 0);
	watch_begin(&v, there);
	watch_begin(&u, ours);
	q = (struct asking){.n = w.n, .what = "never"};
	t = start(asks, &q);
	ERL_IS(&w, "receive {'$gen_call', _, never} -> here after 30000 -> late end.", "here");
	peer_signal(&w.erl, SIGKILL);
	T_EQ(finish(t), 0);
	T_EQ(q.rc, WEFT_ENOTCONN);
	watch_end(&v, WEFT_END_CODE, WEFT_ENOTCONN);
	watch_end(&u, WEFT_END_CODE, WEFT_ENOTCONN);
	T_EQ(weft_erl_watch(w.n, THEIRS), 0);
	(void)peer_end(&w.erl);
	until(weft_erl_connect(w.n, THEIRS) == WEFT_ENOENT); /* epmd notices, too */
	erl_begin(&w);
	T_EQ(send_term(w.n, at("main"), TERM("again")), 0);
	ERL_IS(&w, "receive M -> M after 30000 -> late end.", "again");
	T_EQ(weft_erl_stop(w.n), 0);
	erl_end(&w);
	epmd_end(&w);
	return 0;
}

TEST_WORKERS(a_node_that_was_killed_is_noticed_and_found_again)
{
	run(lost, NULL);
}

/* --- nobody says anything --- */

/* Both count eight seconds; twelve pass. Only where it is asked for: WEFT_ERL_IDLE, in seconds. */
static int idle(void *arg)
{
	long seconds = atol(getenv("WEFT_ERL_IDLE"));
	weft_actor_ref there;
	struct world w;

	(void)arg;
	epmd_begin(&w);
	erl_begin(&w);
	ERL_IS(&w, "net_kernel:set_net_ticktime(8, 0).", "change_initiated");
	T_EQ(weft_erl_start(&w.n, OURS, "cookie", &(weft_erl_opts){.listen = "127.0.0.1:0", .tick = 8 * WEFT_SEC}), 0);
	T_EQ(weft_erl_stand_in(w.n, &there, at("main")), 0);
	T_EQ(weft_task_sleep(seconds * WEFT_SEC), 0);
	T_OK(weft_actor_alive(there)); /* the same connection all the time */
	ERL_IS(&w, "nodes(hidden).", "['" OURS "']");
	T_EQ(weft_erl_stop(w.n), 0);
	erl_end(&w);
	epmd_end(&w);
	return 0;
}

TEST(ticks_keep_a_connection)
{
	if (!getenv("WEFT_ERL_IDLE"))
		tap_skip("only with WEFT_ERL_IDLE");
	run(idle, NULL);
}

/* --- epmd ends, and comes back --- */

static int forgotten(void *arg)
{
	struct world w;

	(void)arg;
	world_begin(&w);
	epmd_end(&w);
	epmd_begin(&w);
	while (strcmp(erl_eval(&w, "net_adm:ping('" OURS "')."), "pong") != 0)
		T_EQ(weft_task_sleep(50 * WEFT_MS), 0); /* we tell epmd again after a while */
	T_EQ(weft_erl_stop(w.n), 0);
	erl_end(&w);
	epmd_end(&w);
	return 0;
}

TEST(a_new_epmd_is_told_of_us)
{
	run(forgotten, NULL);
}

#ifdef ERL_EXAMPLE
static int example(void *arg)
{
	struct world w;
	struct peer p;

	(void)arg;
	epmd_begin(&w);
	erl_begin(&w);
	peer_start(&p, PEER_OUT, ERL_EXAMPLE, "counter@127.0.0.1", "cookie", NULL);
	peer_until_says(&p, "listens on port");
	ERL_IS(&w, "net_adm:ping('counter@127.0.0.1').", "pong");
	ERL_IS(&w, "gen_server:cast({counter, 'counter@127.0.0.1'}, {add, 5}).", "ok");
	ERL_IS(&w, "gen_server:call({counter, 'counter@127.0.0.1'}, get).", "5");
	ERL_IS(&w, "gen_server:call({counter, 'counter@127.0.0.1'}, what).", "{error,unknown}");
	ERL_IS(&w, "gen_server:call({counter, 'counter@127.0.0.1'}, stop).", "{stopped,5}");
	T_EQ(peer_end(&p), 0);
	erl_end(&w);
	epmd_end(&w);
	return 0;
}

TEST(the_example_counts)
{
	run(example, NULL);
}
#endif
