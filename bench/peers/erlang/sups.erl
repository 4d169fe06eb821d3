%% SPDX-License-Identifier: MIT
%%
%% sups.erl - P28 in Erlang: OTP's supervisor, whose child fails, a hundred times, a thousand and ten thousand; and one of many children that come and go. Arguments and answers as bench.h's.
-module(sups).
-behaviour(supervisor).
-export([main/0, init/1, start_failing/2, start_ending/0]).

main() ->
	O = options(init:get_plain_arguments(), #{workers => 1, runs => 5, quick => false, only => ""}),
	erlang:system_flag(schedulers_online, maps:get(workers, O)),
	logger:set_primary_config(level, none), % reports of crashes cost more than all else
	[measure(O, Variant, Work) || {Variant, Work} <- rows(), string:find(Variant, maps:get(only, O)) =/= nomatch],
	halt(0).

options(["-workers", N | T], O) -> options(T, O#{workers := list_to_integer(N)});
options(["-runs", N | T], O) -> options(T, O#{runs := list_to_integer(N)});
options(["-quick" | T], O) -> options(T, O#{quick := true});
options(["-only", Text | T], O) -> options(T, O#{only := Text});
options(_, O) -> O.

rows() ->
	[{"restart, 100 a supervisor", fun(N) -> restart(N, 100) end},
	 {"restart, 1000 a supervisor", fun(N) -> restart(N, 1000) end},
	 {"restart, 10000 a supervisor", fun(N) -> restart(N, 10000) end},
	 {"dynamic child, start and end", fun dynamic/1}].

now_ns() -> erlang:monotonic_time(nanosecond).

%% Each run in a process of its own, so that none inherits another's heap.
timed(Work, N) ->
	Self = self(),
	spawn(fun() -> Self ! {took, Work(N)} end),
	receive {took, T} -> T end.

measure(O, Variant, Work) ->
	Target = case maps:get(quick, O) of true -> 60.0e6; false -> 250.0e6 end,
	N = calibrate(Work, 100, Target),
	S = lists:sort([timed(Work, N) / N || _ <- lists:seq(1, maps:get(runs, O))]),
	K = length(S),
	Median = case K rem 2 of
		1 -> lists:nth(K div 2 + 1, S);
		0 -> (lists:nth(K div 2, S) + lists:nth(K div 2 + 1, S)) / 2
	end,
	io:format("{\"name\": \"P28\", \"variant\": \"~s\", \"workers\": ~b, \"unit\": \"ns\", \"median\": ~.3f, \"min\": ~.3f, \"max\": ~.3f, "
		  "\"runs\": ~b, \"peer\": \"erlang\", \"version\": \"~s\"}~n",
		  [Variant, maps:get(workers, O), Median, hd(S), lists:last(S), K, erlang:system_info(otp_release)]).

calibrate(Work, N, Target) ->
	case timed(Work, N) of
		T when T >= Target / 4 -> trunc(N * Target / T) + 1;
		_ -> calibrate(Work, N * 4, Target)
	end.

%% --- a child that fails so often ---

restart(N, Restarts) ->
	Start = now_ns(),
	Did = batches(N, Restarts, 0),
	(now_ns() - Start) * N div Did.

batches(N, _, Did) when Did >= N -> Did;
batches(N, Restarts, Did) ->
	Left = counters:new(1, []),
	counters:put(Left, 1, Restarts),
	{ok, Sup} = supervisor:start_link(?MODULE, {failing, Left, self()}),
	receive over -> ok end,
	unlink(Sup),
	gen_server:stop(Sup, shutdown, infinity),
	batches(N, Restarts, Did + Restarts).

start_failing(Left, Over) ->
	{ok, spawn_link(fun() ->
		case counters:get(Left, 1) of
			0 -> Over ! over, receive never -> ok end;
			_ -> counters:sub(Left, 1, 1), exit(failed)
		end
	end)}.

%% --- children that end at once ---

dynamic(N) ->
	{ok, Sup} = supervisor:start_link(?MODULE, ending),
	Start = now_ns(),
	starts(Sup, N),
	Took = now_ns() - Start,
	unlink(Sup),
	gen_server:stop(Sup, shutdown, infinity),
	Took.

starts(_, 0) -> ok;
starts(Sup, N) -> {ok, _} = supervisor:start_child(Sup, []), starts(Sup, N - 1).

start_ending() -> {ok, spawn_link(fun() -> ok end)}.

init({failing, Left, Over}) ->
	{ok, {#{strategy => one_for_one, intensity => 100000, period => 5},
	      [#{id => c, start => {?MODULE, start_failing, [Left, Over]}}]}};
init(ending) ->
	{ok, {#{strategy => simple_one_for_one},
	      [#{id => c, start => {?MODULE, start_ending, []}, restart => temporary}]}}.
