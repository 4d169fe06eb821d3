%% SPDX-License-Identifier: MIT
%%
%% crowds.erl - P11, P12 and P15 in Erlang: a token round a ring of 1,000 processes, a tree of them with a million leaves, a million that wait. Arguments and answers as bench.h's.
-module(crowds).
-export([main/0]).

-define(RING, 1000).
-define(MILLION, 1000000).

main() ->
	O = options(init:get_plain_arguments(), #{workers => 1, runs => 5, quick => false, only => "", row => ""}),
	erlang:system_flag(schedulers_online, maps:get(workers, O)),
	case maps:get(row, O) of
		"P11" -> measure(O, "hop, 1000 tasks", fun ring/1);
		"P12" -> trees(O, "skynet, 1000000 leaves");
		"P15" -> crowd(O)
	end,
	halt(0).

options(["-workers", N | T], O) -> options(T, O#{workers := list_to_integer(N)});
options(["-runs", N | T], O) -> options(T, O#{runs := list_to_integer(N)});
options(["-quick" | T], O) -> options(T, O#{quick := true});
options(["-only", Text | T], O) -> options(T, O#{only := Text});
options([Row], O) -> O#{row := Row}.

wanted(O, Variant) -> string:find(Variant, maps:get(only, O)) =/= nomatch.

now_ns() -> erlang:monotonic_time(nanosecond).

%% Each run in a process of its own, so that none inherits another's heap.
apart(Work) ->
	Self = self(),
	spawn(fun() -> Self ! {result, Work()} end),
	receive {result, R} -> R end.

measure(O, Variant, Work) ->
	case wanted(O, Variant) of
		false -> ok;
		true ->
			Target = case maps:get(quick, O) of true -> 60.0e6; false -> 250.0e6 end,
			N = calibrate(Work, 100, Target),
			report(O, Variant, "ns", [apart(fun() -> Work(N) end) / N || _ <- lists:seq(1, maps:get(runs, O))])
	end.

calibrate(Work, N, Target) ->
	case apart(fun() -> Work(N) end) of
		T when T >= Target / 4 -> trunc(N * Target / T) + 1;
		_ -> calibrate(Work, N * 4, Target)
	end.

report(O, Variant, Unit, Values) ->
	S = lists:sort(Values),
	K = length(S),
	Median = case K rem 2 of
		1 -> lists:nth(K div 2 + 1, S);
		0 -> (lists:nth(K div 2, S) + lists:nth(K div 2 + 1, S)) / 2
	end,
	io:format("{\"name\": \"~s\", \"variant\": \"~s\", \"workers\": ~b, \"unit\": \"~s\", \"median\": ~.3f, \"min\": ~.3f, \"max\": ~.3f, "
		  "\"runs\": ~b, \"peer\": \"erlang\", \"version\": \"~s\"}~n",
		  [maps:get(row, O), Variant, maps:get(workers, O), Unit, float(Median), float(hd(S)), float(lists:last(S)), K, erlang:system_info(otp_release)]).

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

%% --- a tree; the first round warms up ---

trees(O, Variant) ->
	case wanted(O, Variant) of
		false -> ok;
		true ->
			apart(fun tree/0),
			report(O, Variant, "ms", [apart(fun tree/0) || _ <- lists:seq(1, maps:get(runs, O))])
	end.

tree() ->
	Self = self(),
	Start = now_ns(),
	spawn(fun() -> skynet(Self, 0, ?MILLION) end),
	receive Sum -> Sum = ?MILLION * (?MILLION - 1) div 2 end,
	(now_ns() - Start) / 1.0e6.

skynet(Up, Num, 1) -> Up ! Num;
skynet(Up, Num, Size) ->
	Self = self(),
	Each = Size div 10,
	[spawn(fun() -> skynet(Self, Num + I * Each, Each) end) || I <- lists:seq(0, 9)],
	Up ! lists:sum([receive Sum -> Sum end || _ <- lists:seq(0, 9)]).

%% --- a million that wait ---

crowd(O) ->
	{Create, _, Resident, Tables} = apart(fun crowd_round/0),
	report(O, "create", "ns", [Create]),
	report(O, "resident, each", "B", [Resident]),
	report(O, "page tables, each", "B", [Tables]),
	Rounds = [apart(fun crowd_round/0) || _ <- lists:seq(1, maps:get(runs, O))],
	report(O, "create, warm", "ns", [element(1, R) || R <- Rounds]),
	report(O, "wake and finish", "ns", [element(2, R) || R <- Rounds]).

crowd_round() ->
	Self = self(),
	Resident = status("VmRSS"),
	Tables = status("VmPTE"),
	Start = now_ns(),
	Pids = [spawn(fun() -> Self ! here, receive stop -> Self ! gone end end) || _ <- lists:seq(1, ?MILLION)],
	await(here, ?MILLION),
	Here = now_ns(),
	Bytes = status("VmRSS") - Resident,
	Pages = status("VmPTE") - Tables,
	Stop = now_ns(),
	[P ! stop || P <- Pids],
	await(gone, ?MILLION),
	{(Here - Start) / ?MILLION, (now_ns() - Stop) / ?MILLION, Bytes / ?MILLION, Pages / ?MILLION}.

await(_, 0) -> ok;
await(What, N) -> receive What -> await(What, N - 1) end.

%% Bytes.
status(Key) ->
	{ok, Text} = file:read_file("/proc/self/status"),
	{match, [K]} = re:run(Text, Key ++ ":\\s*(\\d+)", [{capture, all_but_first, list}]),
	1024 * list_to_integer(K).
