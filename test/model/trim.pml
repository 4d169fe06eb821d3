/* SPDX-License-Identifier: MIT
 *
 * trim.pml - core/trim.c as a protocol, searched in full: a task that two workers take in turns, and two threads that trim its stack while it waits.
 *
 * Nobody trims a stack that somebody stands on; nobody waits for ever. Sequences are two bits here: a trimmer that sleeps while the task waits four times is left out.
 *
 * MUTATION 1: nothing is held
 * MUTATION 2: the wait is not looked at again
 * MUTATION 3: letting go is a store
 * MUTATION 4: two hold at once
 * MUTATION 5: nobody looks at on_cpu
 */
#ifndef MUTATE
#define MUTATE 0
#endif

#define CLEAR 0
#define BUSY 1
#define HELD 3
#define LAST 4

byte seq;            /* of the wait; each is opened once */
bool open;
byte on_cpu = CLEAR;
bool queued = true;  /* it is in a queue, for either worker */
byte stands;         /* workers on its stack */
bool holding;        /* somebody is trimming, or about to */

proctype worker() {
	do
	:: atomic { queued -> queued = false }
#if MUTATE != 5
	   on_cpu == CLEAR; /* looks ... */
#endif
	   on_cpu = BUSY;   /* ... and sets, which is not one step */
	   assert(stands == 0);
	   stands++;
	   if
	   :: seq == LAST -> break
	   :: else
	   fi;
	   atomic { seq++; open = true } /* it parks; from here on anybody may claim it */
	   stands--;
	   on_cpu = CLEAR
	:: atomic { open -> open = false }; /* claims it, and queues it */
	   queued = true
	:: seq == LAST && !open -> break
	od
}

proctype trimmer() {
	byte saw;
	bool held;

	do
	:: atomic { open -> saw = seq }
#if MUTATE != 4
	   atomic { !holding -> holding = true }
#endif
#if MUTATE == 1
	   held = true;
#else
	   atomic {
		held = (on_cpu == CLEAR);
		if
		:: held -> on_cpu = HELD
		:: else
		fi
	   }
#endif
	   if
#if MUTATE == 2
	   :: held ->
#else
	   :: held && open && seq == saw ->
#endif
		assert(stands == 0); /* pages go: from here ... */
		assert(stands == 0)  /* ... to here */
	   :: else
	   fi;
#if MUTATE == 3
	   if
	   :: held -> on_cpu = CLEAR
	   :: else
	   fi;
#else
	   atomic {
		if
		:: held && on_cpu == HELD -> on_cpu = CLEAR
		:: else
		fi
	   }
#endif
	   holding = false
	:: seq == LAST -> break
	od
}

init {
	atomic {
		run worker();
		run worker();
		run trimmer();
		run trimmer()
	}
}
