%% SPDX-License-Identifier: MIT
%%
%% actors.erl - P22 in Erlang: processes, messages there and back, round a ring, from many to one; a call of a server. Arguments and answers as bench.h's.
-module(actors).
-export([main/0]).
-behaviour(gen_server).
-export([init/1, handle_call/3, handle_cast/2]).

-define(WINDOW, 100).
-define(RING, 1000).
-define(MANY, 100).
-define(MILLION, 1000000).

main() ->
	O = options(init:get_plain_arguments(), #{workers => 1, runs => 5, quick => false, only => ""}),
	erlang:system_flag(schedulers_online, maps:get(workers, O)),
	[measure(O, Variant, Work) || {Variant, Work} <- rows(), string:find(Variant, maps:get(only, O)) =/= nomatch],
	case string:find("a million alive", maps:get(only, O)) of
		nomatch -> ok;
		_ -> crowd(O)
	end,
	halt(0).

options(["-workers", N | T], O) -> options(T, O#{workers := list_to_integer(N)});
options(["-runs", N | T], O) -> options(T, O#{runs := list_to_integer(N)});
options(["-quick" | T], O) -> options(T, O#{quick := true});
options(["-only", Text | T], O) -> options(T, O#{only := Text});
options(_, O) -> O.

rows() ->
	[{"spawn, windows of 100", fun spawn_some/1},
	 {"ping-pong, a message", fun ping_pong/1},
	 {"ring of 1000, a hop", fun ring/1},
	 {"100 to 1, a message", fun fan_in/1},
	 {"call of a server", fun calls/1}].

now_ns() -> erlang:monotonic_time(nanosecond).

%% Each run in a process of its own, so that none inherits another's heap.
timed(Work, N) ->
	Self = self(),
	spawn(fun() -> Self ! {took, Work(N)} end),
	receive {took, T} -> T end.

measure(O, Variant, Work) ->
	Target = case maps:get(quick, O) of true -> 60.0e6; false -> 250.0e6 end,
	N = calibrate(Work, 100, Target),
	report(O, Variant, "ns", [timed(Work, N) / N || _ <- lists:seq(1, maps:get(runs, O))]).

report(O, Variant, Unit, Values) ->
	S = lists:sort(Values),
	K = length(S),
	Median = case K rem 2 of
		1 -> lists:nth(K div 2 + 1, S);
		0 -> (lists:nth(K div 2, S) + lists:nth(K div 2 + 1, S)) / 2
	end,
	io:format("{\"name\": \"P22\", \"variant\": \"~s\", \"workers\": ~b, \"unit\": \"~s\", \"median\": ~.3f, \"min\": ~.3f, \"max\": ~.3f, "
		  "\"runs\": ~b, \"peer\": \"erlang\", \"version\": \"~s\"}~n",
		  [Variant, maps:get(workers, O), Unit, Median, hd(S), lists:last(S), K, erlang:system_info(otp_release)]).

calibrate(Work, N, Target) ->
	case timed(Work, N) of
		T when T >= Target / 4 -> trunc(N * Target / T) + 1;
		_ -> calibrate(Work, N * 4, Target)
	end.

%% --- start and end, many at a time ---

spawn_some(N) ->
	Start = now_ns(),
	windows(N, self()),
	now_ns() - Start.

windows(N, _) when N =< 0 -> ok;
windows(N, Self) ->
	[spawn(fun() -> Self ! done end) || _ <- lists:seq(1, ?WINDOW)],
	[receive done -> ok end || _ <- lists:seq(1, ?WINDOW)],
	windows(N - ?WINDOW, Self).

%% --- there and back ---

ping_pong(N) ->
	Echo = spawn_link(fun echo/0),
	Start = now_ns(),
	pings(Echo, N),
	Took = now_ns() - Start,
	Echo ! stop,
	Took.

echo() ->
	receive
		{From, I} -> From ! I, echo();
		stop -> ok
	end.

pings(_, N) when N =< 0 -> ok;
pings(Echo, N) ->
	Echo ! {self(), N},
	receive N -> pings(Echo, N - 2) end.

%% --- a token round a ring ---

ring(N) ->
	Self = self(),
	Last = spawn(fun() -> node(none, Self) end),
	First = lists:foldl(fun(_, Next) -> spawn(fun() -> node(Next, Self) end) end, Last, lists:seq(2, ?RING)),
	Last ! {next, First},
	Start = now_ns(),
	First ! N,
	receive over -> ok end,
	Took = now_ns() - Start,
	First ! stop,
	Took.

node(Next, Over) ->
	receive
		{next, To} -> node(To, Over);
		stop -> Next ! stop;
		0 -> Over ! over, node(Next, Over);
		N -> Next ! N - 1, node(Next, Over)
	end.

%% --- from many to one ---

fan_in(N) ->
	Each = N div ?MANY + 1,
	Self = self(),
	Start = now_ns(),
	[spawn(fun() -> send(Self, Each) end) || _ <- lists:seq(1, ?MANY)],
	take(Each * ?MANY),
	(now_ns() - Start) * N div (Each * ?MANY).

send(_, 0) -> ok;
send(To, N) -> To ! N, send(To, N - 1).

take(0) -> ok;
take(N) -> receive _ -> take(N - 1) end.

%% --- a call of a server, answered by what was asked ---

init([]) -> {ok, none}.
handle_call(I, _From, S) -> {reply, I, S}.
handle_cast(_, S) -> {noreply, S}.

calls(N) ->
	{ok, Server} = gen_server:start(?MODULE, [], []),
	Start = now_ns(),
	call(Server, N),
	Took = now_ns() - Start,
	gen_server:stop(Server),
	Took.

call(_, 0) -> ok;
call(Server, N) -> N = gen_server:call(Server, N), call(Server, N - 1).

%% --- a million alive at once ---

crowd(O) ->
	N = case maps:get(quick, O) of true -> ?MILLION div 10; false -> ?MILLION end,
	{Start, _, Resident, Tables} = crowd_of(N),
	report(O, "a million alive, start", "ns", [Start]),
	report(O, "a million alive, resident, each", "B", [Resident]),
	report(O, "a million alive, page tables, each", "B", [Tables]),
	Rounds = [crowd_of(N) || _ <- lists:seq(1, maps:get(runs, O))],
	report(O, "a million alive, start, warm", "ns", [element(1, R) || R <- Rounds]),
	report(O, "a million alive, stop", "ns", [element(2, R) || R <- Rounds]).

%% In a process of its own, too.
crowd_of(N) ->
	Self = self(),
	spawn(fun() -> Self ! {crowd, crowd_round(N)} end),
	receive {crowd, R} -> R end.

crowd_round(N) ->
	Self = self(),
	Resident = status("VmRSS"),
	Tables = status("VmPTE"),
	Start = now_ns(),
	Pids = [spawn(fun() -> Self ! here, receive stop -> Self ! gone end end) || _ <- lists:seq(1, N)],
	await(here, N),
	Here = now_ns(),
	Bytes = status("VmRSS") - Resident,
	Pages = status("VmPTE") - Tables,
	Stop = now_ns(),
	[P ! stop || P <- Pids],
	await(gone, N),
	{(Here - Start) / N, (now_ns() - Stop) / N, Bytes / N, Pages / N}.

await(_, 0) -> ok;
await(What, N) -> receive What -> await(What, N - 1) end.

%% Bytes.
status(Key) ->
	{ok, Text} = file:read_file("/proc/self/status"),
	{match, [K]} = re:run(Text, Key ++ ":\\s*(\\d+)", [{capture, all_but_first, list}]),
	1024 * list_to_integer(K).
