/* SPDX-License-Identifier: MIT
 *
 * idle.pml - core/idle.h and core/parker.h as a protocol, searched in full: two publishers with a queue each, as many
 * workers as pieces of work.
 *
 * The publishers are workers that run on, so that nobody is ever the only one awake: for that, and threads that are no workers, see idle.cpp.
 *
 * A worker takes one piece and never comes back, so work that is left while the others sleep shows as an invalid end
 * state.  A worker decides freely whether it searches before it sleeps; the limit on searchers is no part of it.
 *
 * MUTATION 1: nobody looks a second time
 * MUTATION 2: sleep is announced before the search ends
 * MUTATION 3: the last searcher wakes nobody
 * MUTATION 4: a waker counts as a searcher while it looks for a sleeper, and takes that back when there is none
 * MUTATION 5: the parker is set by a store
 */
#ifndef MUTATE
#define MUTATE 0
#endif

#define WORKERS 3
#define EMPTY 0
#define SLEEPING 1
#define NOTIFIED 2

byte queued[2];                /* the publishers' queues */
byte sleepers, searching;      /* one word: always read and changed together */
bool listed[WORKERS];
byte parker[WORKERS];
bool kicked[WORKERS];

inline pop_sleeper(id) {       /* inside atomic: under the lock */
	if
	:: listed[0] -> id = 0
	:: listed[1] -> id = 1
	:: listed[2] -> id = 2
	fi;
	listed[id] = false;
	sleepers--
}

inline notify(id) {
	atomic {
		if
		:: parker[id] == SLEEPING -> kicked[id] = true
		:: else
		fi;
		parker[id] = NOTIFIED
	}
}

/* idle_pick: a glance without the lock, then in earnest. */
inline wake(id, glance) {
	atomic { glance = (sleepers > 0 && searching == 0) };
	if
	:: !glance
	:: glance ->
#if MUTATE == 4
		atomic { glance = (searching == 0); searching = searching + glance };
		if
		:: !glance
		:: glance ->
			atomic {
				if
				:: sleepers > 0 -> pop_sleeper(id)
				:: else -> glance = false
				fi
			};
			if
			:: glance -> notify(id)
			:: !glance -> searching--
			fi
		fi
#else
		atomic {
			if
			:: sleepers > 0 && searching == 0 -> pop_sleeper(id); searching++
			:: else -> glance = false
			fi
		};
		if
		:: glance -> notify(id)
		:: !glance
		fi
#endif
	fi
}

proctype publisher(byte mine; byte pieces) {
	byte id;
	bool glance;

	do
	:: pieces > 0 ->
		queued[mine]++;
		wake(id, glance);
		pieces--
	:: pieces == 0 -> break
	od
}

/* Looks at one queue after the other. */
inline take(got) {
	got = false;
	atomic {
		if
		:: queued[0] > 0 -> queued[0]--; got = true
		:: else
		fi
	};
	if
	:: got
	:: !got ->
		atomic {
			if
			:: queued[1] > 0 -> queued[1]--; got = true
			:: else
			fi
		}
	fi
}

proctype worker(byte me) {
	bool search, got, glance, was_last;
	byte id;

	do
	:: /* out of work */
		if
		:: !search -> atomic { search = true; searching++ }
		:: skip
		fi;
		got = false;
		if
		:: search ->
			take(got)
		:: else
		fi;
		if
		:: got ->
			atomic { was_last = (searching == 1); searching-- };
#if MUTATE != 3
			if
			:: was_last -> wake(id, glance)
			:: !was_last
			fi;
#endif
			break
		:: !got
		fi;
		/* to sleep: off the search and on the list in one step */
		atomic {
			listed[me] = true;
			sleepers++;
#if MUTATE != 2
			searching = searching - search
#endif
		};
#if MUTATE != 1
		got = (queued[0] > 0);
		if
		:: got
		:: !got -> got = (queued[1] > 0)
		fi;
#endif
#if MUTATE == 2
		searching = searching - search;
#endif
		if
		:: got -> /* off the list again, as a searcher; or taken off already, then it counts as one */
			atomic {
				if
				:: listed[me] -> listed[me] = false; sleepers--; searching++
				:: else
				fi;
				search = true
			}
		:: !got ->
			if
#if MUTATE == 5
			:: parker[me] = SLEEPING;
			   atomic { kicked[me] -> kicked[me] = false }
#else
			:: atomic { parker[me] == EMPTY -> parker[me] = SLEEPING };
			   atomic { kicked[me] -> kicked[me] = false }
			:: parker[me] == NOTIFIED
#endif
			fi;
			parker[me] = EMPTY;
			atomic {
				if
				:: listed[me] -> listed[me] = false; sleepers--; search = false
				:: else -> search = true
				fi
			}
		fi
	od
}

init {
	atomic {
		run publisher(0, 2);
		run publisher(1, 1);
		run worker(0);
		run worker(1);
		run worker(2)
	}
}
