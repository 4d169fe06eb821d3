/* SPDX-License-Identifier: MIT
 *
 * retire.pml - a worker that is taken away, and maybe given back (core/seats.c, core/idle.h: idle_retire, idle_rest), as a protocol, searched in full: against wakers, the last searcher, and those who put
 * something into its own queues.
 *
 * Worker 0 is always active; 1 is retired at any moment, and may be given back. Worker 0 ends with the first piece that it takes, as one whose task runs on for ever; 1 goes on.  A publisher puts work where all look, another
 * something into the queues of worker 1 alone: its inbox, which others may run, and what is pinned to it.  When nobody can do anything:
 *
 *   1. what is pinned was run, and nothing is left in the inbox;
 *   2. no work is left that all may take, unless each active worker has ended;
 *   3. a retired worker rests, and counts neither as sleeper nor as searcher.
 *
 * MUTATION 1: a searcher that is retired just goes
 * MUTATION 2: whoever retires a worker does not tell it
 * MUTATION 3: whoever gives it back does not tell it
 * MUTATION 4: it is told before it is true
 * MUTATION 5: a retired worker leaves its inbox as it is
 * MUTATION 6: what it hands on wakes nobody
 * MUTATION 7: it does not look once more before it sleeps, and its parker is set by a store
 * MUTATION 8: one that was taken off the list of sleepers, and then finds itself retired, does not count as a searcher
 */
#ifndef MUTATE
#define MUTATE 0
#endif

#define EMPTY 0
#define SLEEPING 1
#define NOTIFIED 2

byte queued;                   /* where all look */
byte inbox, pins;              /* worker 1's */
byte sleepers, searching, resting; /* one word: always read and changed together */
bool listed[2];
byte parker[2];
bool kicked[2];
bool retired;
bool ended[2];

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
		atomic {
			if
			:: sleepers > 0 && searching == 0 ->
				if
				:: listed[0] -> id = 0
				:: listed[1] -> id = 1
				fi;
				listed[id] = false;
				sleepers--;
				searching++
			:: else -> glance = false
			fi
		};
		if
		:: glance -> notify(id)
		:: !glance
		fi
	fi
}

inline sleep(me) {
	if
#if MUTATE == 7
	:: parker[me] = SLEEPING;
	   atomic { kicked[me] -> kicked[me] = false }
#else
	:: atomic { parker[me] == EMPTY -> parker[me] = SLEEPING };
end_asleep:
	   atomic { kicked[me] -> kicked[me] = false }
	:: parker[me] == NOTIFIED
#endif
	fi;
	parker[me] = EMPTY
}

proctype publisher() {
	byte id;
	bool glance;

	queued++;
	wake(id, glance)
}

/* weft_go with a worker, just before it is retired; a pinned task that is woken. */
proctype addressed() {
	byte id;
	bool glance;

	if
	:: inbox++;
	   notify(1);
	   wake(id, glance)
	:: pins++;
	   notify(1)
	fi
}

proctype setter() {
#if MUTATE == 4
	notify(1);
	retired = true;
#else
	retired = true;
#if MUTATE != 2
	notify(1);
#endif
#endif
	if
	:: retired = false;
#if MUTATE != 3
	   notify(1)
#endif
	:: skip
	fi
}

proctype worker(byte me) {
	bool search, got, glance, was_last;
	byte id;

again: skip;
	atomic { got = false; glance = false; was_last = false; id = 0 }; /* fewer states */
	if
	:: me == 1 && retired ->
		if
		:: search ->
			atomic { was_last = (searching == 1); searching-- };
			search = false;
#if MUTATE != 1
			if
			:: was_last -> wake(id, glance)
			:: !was_last
			fi
#endif
		:: else
		fi;
		/* hands on */
#if MUTATE != 5
		atomic { got = (inbox > 0); queued = queued + inbox; inbox = 0 };
#if MUTATE != 6
		if
		:: got -> wake(id, glance)
		:: !got
		fi;
#endif
#endif
		if
		:: atomic { pins > 0 -> pins-- }; goto again
		:: pins == 0
		fi;
		/* rests */
		resting++;
#if MUTATE != 7
		if
#if MUTATE == 5
		:: !retired || pins > 0 -> parker[me] = EMPTY
#else
		:: !retired || pins > 0 || inbox > 0 -> parker[me] = EMPTY /* parker_done: what it was told it looks for now */
#endif
		:: else -> sleep(me)
		fi;
#else
		sleep(me);
#endif
		resting--;
		goto again
	:: else
	fi;
	/* active, and out of work */
	if
	:: me == 1 && pins > 0 -> pins--; goto again
	:: me == 1 && inbox > 0 -> atomic { if :: inbox > 0 -> inbox--; got = true :: else fi }
	:: else
	fi;
	if
	:: got
	:: !got ->
		if
		:: !search -> atomic { search = true; searching++ }
		:: skip
		fi;
		if
		:: search -> atomic { if :: queued > 0 -> queued--; got = true :: else fi }
		:: else
		fi
	fi;
	if
	:: got ->
		if
		:: search ->
			atomic { was_last = (searching == 1); searching-- };
			search = false;
			if
			:: was_last -> wake(id, glance)
			:: !was_last
			fi
		:: else
		fi;
		if
		:: me == 0 -> ended[0] = true; goto done
		:: me == 1 -> goto again
		fi
	:: !got
	fi;
	atomic {
		listed[me] = true;
		sleepers++;
		searching = searching - search
	};
	got = (queued > 0 || (me == 1 && (pins > 0 || inbox > 0)));
	if
	:: got ->
		atomic {
			if
			:: listed[me] -> listed[me] = false; sleepers--; searching++
			:: else
			fi;
			search = true
		}
	:: !got ->
		sleep(me);
		atomic {
			if
			:: listed[me] -> listed[me] = false; sleepers--; search = false
#if MUTATE == 8
			:: else -> search = !(me == 1 && retired)
#else
			:: else -> search = true
#endif
			fi
		}
	fi;
	goto again;
done:
	skip
}

proctype verdict() {
	timeout ->
	assert(pins == 0);
	assert(inbox == 0);
	assert(queued == 0 || (ended[0] && retired));
	assert(!retired || (resting == 1 && !listed[1] && searching == 0))
}

init {
	atomic {
		run publisher();
		run addressed();
		run setter();
		run worker(0);
		run worker(1);
		run verdict()
	}
}
