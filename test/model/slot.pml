/* SPDX-License-Identifier: MIT
 *
 * slot.pml - a worker's LIFO slot against searchers that watch it, and an owner left in peace (core/worker.c: visit_kept, still_kept, weft__worker_help; core/sched.h:
 * sched_quiet; core/monitor.c), as a protocol, searched in full: an owner with two tasks that wake each other, one or two more workers, the monitor.
 *
 * The owner's task may wake the other into the slot, park, or compute for ever.  The others are both idle, or one of them, or neither, runs a task that
 * only comes by a slow schedule when somebody wants help.  Who takes the task out of the slot never comes back.  The list of sleepers and their parkers are idle.pml's,
 * and one step here.  A task alone in a ring is the same to them, but that a searcher that finds it twice takes it at once.  That two looks of the monitor are a while apart is not modelled: it may find the owner stuck at any moment.  It does so only if that
 * changes anything, so a task left in the slot is an end in which nobody can do anything.  Laws:
 *
 *   1. With a worker that is idle, and no monitor: a task that was put in the slot aloud (not while the owner was in peace), and that nobody who looked has left in
 *      peace, is not there when nobody can do anything.
 *   2. With a monitor, no task is.
 *   3. A search that the monitor started is not in vain; a busy worker that it asks takes the task at its second visit: the first notes the tick.
 *   4. The owner is in peace for no longer than it was seen to move.  (Where it moves at all, that it ends matters to no other law: the monitor sees to them.)
 *
 * MUTATION 1: a searcher does not watch the slot again when it is on the list of sleepers
 * MUTATION 2: a searcher watches a second time before it is on the list, not after that
 * MUTATION 3: a task in the slot wakes nobody
 * MUTATION 4: who was taken off the list while it watched does not count as a searcher
 * MUTATION 5: who is woken goes back to sleep without a look at the slot
 * MUTATION 6: an owner in peace is left in peace although it is stuck
 * MUTATION 7: the monitor wakes somebody, and does not say who is stuck
 * MUTATION 8: the monitor wakes nobody
 * MUTATION 9: the monitor asks nobody where none sleeps
 * MUTATION 10: a busy worker forgets what it saw at its last visit
 * MUTATION 11: peace has no end
 * MUTATION 12: the slot is emptied by a look and a store
 */
#ifndef MUTATE
#define MUTATE 0
#endif

#if MUTATE == 0 || MUTATE == 11
#define SCHEDULES 4               /* out of the slot; then no task parks any more */
#else
#define SCHEDULES 2               /* seen to move, and left in peace: enough for the others */
#endif
#define QUIET_TIMES 1
#define NEVER 255

byte tick = 1;                    /* the owner's */
bool cur = true;                  /* it stands on a task */
bool slot;
byte quiet;                       /* quiet_until, less tick */
bool stuck;                       /* stuck_tick is tick */
byte sleepers, searching;         /* one word */
bool listed[3];                   /* 0, the owner, never is */
bool help_wanted;

/* Of the model only. */
bool for_ever;                    /* the owner's task computes for ever */
bool gone;                        /* the other task was taken */
bool taken;
bool aloud;                       /* so the slot was filled, and nobody has left it in peace since */
byte peace;                       /* what quiet should be */
bool monitored;
byte searches, visits;            /* asked for by the monitor, while the owner computes for ever with a full slot */

/* idle_wake; who is off the list has been notified */
inline wake() {
	atomic {
		if
		:: sleepers > 0 && searching == 0 ->
			if
			:: listed[1] -> listed[1] = false
			:: listed[2] -> listed[2] = false
			fi;
			sleepers--;
			searching++
		:: else
		fi
	}
}

/* What a look at the slot finds: its tick, and whether there is a task to be had. */
inline look() {
	t = tick;
	keeps = (slot && ((MUTATE != 6 && cur && stuck) || !quiet));
	aloud = aloud && (keeps || !slot)
}

/* visit_kept, second pass.  got: the task was taken. */
inline visit() {
	atomic { look() };
	if
	:: keeps && watched == t ->
#if MUTATE == 12
		atomic { got = slot };
		if
		:: got -> atomic { slot = false; gone = true }
		:: !got
		fi
#else
		atomic { got = slot; slot = false; gone = gone || got }
#endif
	:: !(keeps && watched == t) && t > watched + 1 ->
		atomic {
			peace = (t + (t - watched) * QUIET_TIMES > tick -> t + (t - watched) * QUIET_TIMES - tick : 0);
			quiet = (MUTATE == 11 -> NEVER : peace)
		}
	:: else
	fi;
	watched = (keeps -> t : t - 1);
	t = 0
}

/* The time in between may end early when it has been notified. */
inline still_kept(on_list) {
	atomic { look(); watched = t; t = 0 };
	if
	:: !keeps
	:: keeps && on_list && !listed[me]
	:: keeps -> visit()
	fi;
	keeps = false;
	watched = NEVER
}

proctype worker(byte me) {
	byte watched = NEVER, t;
	bool searcher, got, keeps, last, lazy;

	do
	:: /* find */
		if
		:: !searcher -> atomic { searcher = true; searching++ }
		:: true
		fi;
		if
		:: searcher && !lazy ->
			still_kept(false);
#if MUTATE == 2
			if
			:: !got -> still_kept(false)
			:: got
			fi;
#endif
			if
			:: got -> break
			:: !got
			fi
		:: else
		fi;
		atomic { listed[me] = true; sleepers++; searching = searching - searcher; searcher = false };
#if MUTATE != 1 && MUTATE != 2
		if
		:: !lazy -> still_kept(true)
		:: lazy
		fi;
#endif
		if
		:: got
		:: !got ->
endsleep:		!listed[me];
			lazy = (MUTATE == 5)
		fi;
		atomic { /* idle_leave */
			if
			:: listed[me] -> listed[me] = false; sleepers--
			:: else -> searcher = (MUTATE != 4)
			fi
		};
		if
		:: got -> break
		:: !got
		fi
	od;
	if
	:: searcher ->
		atomic { last = (searching == 1); searching-- };
		if
		:: last -> wake()
		:: !last
		fi
	:: !searcher
	fi;
	atomic { assert(!taken); taken = true }
}

inline schedule() {
	tick++;
	stuck = false;
	quiet = (quiet == 0 || quiet == NEVER -> quiet : quiet - 1);
	peace = (peace == 0 -> 0 : peace - 1)
}

proctype owner() {
	bool peaceful;

	do
	:: atomic { !slot && !gone -> slot = true }; /* weft__ready */
	   atomic { peaceful = quiet; aloud = !quiet; assert(!peaceful || peace) };
	   if
	   :: peaceful -> peaceful = false
	   :: !peaceful
#if MUTATE != 3
	      -> wake()
#endif
	   fi
	:: tick < 1 + SCHEDULES -> /* parks; the other one's turn */
		atomic {
			if
			:: slot -> slot = false; assert(!gone); schedule()
			:: else -> cur = false; break
			fi
		}
	:: atomic { for_ever = true }; break
	od
}

/* Runs a task of its own, and comes by a slow schedule when somebody wants help. */
proctype busy() {
	byte watched = NEVER, t;
	bool got, keeps;

end:	do
	:: help_wanted ->
		help_wanted = false;
		visit();
		keeps = false;
		if
		:: got -> break /* it will run it */
		:: !got
		fi;
#if MUTATE == 10
		watched = NEVER
#endif
	od;
	atomic { assert(!taken); taken = true }
}

proctype monitor() {
end:	do
#if MUTATE != 7
	:: atomic { cur && !stuck -> stuck = true }
	:: atomic { quiet > 0 -> quiet = 0; peace = 0 } /* its turns have become long */
#define found (cur && stuck && slot)
#else
#define found (cur && slot)
#endif
#if MUTATE != 8
	:: atomic { found && sleepers > 0 && searching == 0 -> searches = searches + for_ever; assert(searches <= 1) };
	   wake()
#endif
#if MUTATE != 9
	:: atomic { /* for two visits; once more while the second is under way */
		found && sleepers == 0 && !help_wanted -> help_wanted = true; visits = visits + for_ever; assert(visits <= 3)
	   }
#endif
	od
}

active proctype watch() {
	timeout -> assert(!slot || !monitored && !aloud) /* laws 1 and 2 */
}

init {
	atomic {
		run owner();
		if
		:: run worker(1); run worker(2)
		:: run worker(1); run busy()
		:: run busy(); monitored = true
		fi;
		if
		:: monitored = true
		:: true
		fi;
		if
		:: monitored -> run monitor()
		:: !monitored
		fi
	}
}
