/* SPDX-License-Identifier: MIT
 *
 * prio.pml - that a HIGH or LOW task from a thread is found (core/prio.h), by a worker that is busy, and by one that goes to sleep; searched in full.
 *
 * The thread sets the mark that there are classes, queues its task, sets a worker's countdown to 1, and looks who sleeps.
 *   busy    has NORMAL tasks without end. It counts down in two steps, between which a hint is lost. Law: it takes the task before it has begun so many schedules as
 *           lie between two whole slow picks, and one more.
 *   sleepy  has nothing. It announces its sleep, looks once more, at the mark first, and sleeps. Law: it does not sleep beside the task.
 * Each step is seen by all at once; idle.cpp has the orders, which are those of any other queue.
 *
 * MUTATION 1: the whole slow pick does not look at the queues of classes: the hint would be all
 * MUTATION 2: who is about to sleep does not look once more
 * MUTATION 3: the mark is set after the look at who sleeps
 * MUTATION 4: who is about to sleep looks at the queue before it announces that
 */
#ifndef MUTATE
#define MUTATE 0
#endif

#define SLOW 4 /* TICK_SLOW */

bool mark, queued, taken, asleep, kicked;
byte countdown = SLOW;

proctype thread() {
	byte seen;

#if MUTATE != 3
	mark = true;
#endif
	queued = true;
	seen = countdown;
	if
	:: seen > 1 -> countdown = 1
	:: else
	fi;
	if
	:: asleep -> kicked = true
	:: else
	fi;
#if MUTATE == 3
	mark = true
#endif
}

proctype busy() {
	byte left, since = 0, n = 0; /* n: schedules begun since the task was there */

	do
	:: taken -> break
	:: else ->
		if
		:: queued && mark -> n++; assert(n <= SLOW + 1)
		:: else
		fi;
		left = countdown - 1;
		countdown = left;
		since++;
		if
		:: left == 0 ->
			countdown = SLOW;
			if
			:: since >= SLOW -> since = 0
			:: else
			fi;
			if
#if MUTATE == 1
			:: since > 0 && mark && queued -> queued = false; taken = true /* only a schedule that was brought forward */
#else
			:: mark && queued -> queued = false; taken = true
#endif
			:: else
			fi
		:: else
		fi
	od
}

proctype sleepy() {
	bool found;

	do
	:: taken -> break
	:: else ->
#if MUTATE == 4
		found = mark && queued;
		asleep = true;
#else
		asleep = true;
#if MUTATE == 2
		found = false;
#else
		found = mark; /* two looks */
		found = found && queued;
#endif
#endif
		if
		:: !found -> kicked; kicked = false; asleep = false /* for ever, if nobody kicks it: an end that is not valid */
		:: else -> asleep = false
		fi;
		if
		:: mark && queued -> queued = false; taken = true
		:: else
		fi
	od
}

init {
	atomic {
		run thread();
		if
		:: run busy()
		:: run sleepy()
		fi
	}
}
