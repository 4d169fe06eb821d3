/* SPDX-License-Identifier: MIT
 *
 * oncpu.pml - core/oncpu.h as a protocol, searched in full: two workers, two tasks, each claimed as soon as it has
 * opened its wait.
 *
 * Nobody resumes a task on which another worker stands; nobody waits for ever.
 *
 * MUTATION 1: nobody looks at on_cpu
 * MUTATION 2: a worker waits while it stands on a task
 * MUTATION 3: on_cpu is not set when a task is resumed
 */
#ifndef MUTATE
#define MUTATE 0
#endif

#define NONE 2

bool open[2];       /* the task's wait can be claimed */
bool on_cpu[2];
byte stands_on[2];  /* worker: the task whose stack it is on, or NONE: its own */

/* Claims either open task, or none; nothing forces a worker to see one. */
inline claim(next) {
	next = NONE;
	if
	:: atomic { open[0] -> open[0] = false; next = 0 }
	:: atomic { open[1] -> open[1] = false; next = 1 }
	:: skip
	fi
}

inline resume(next) {
	atomic {
		assert(stands_on[1 - self] != next);
#if MUTATE != 3
		on_cpu[next] = true
#endif
	}
}

inline settle(t) {
	if
	:: t != NONE -> on_cpu[t] = false
	:: else
	fi
}

proctype worker(byte self) {
	byte t = self, next;

	do
	:: open[t] = true;       /* the task parks; from here on anybody may claim it */
	   claim(next);
	   if
	   :: next == t          /* itself: goes on */
	   :: next != NONE && next != t ->
		if
#if MUTATE == 1
		:: true ->
#else
		:: !on_cpu[next] ->
#endif
			resume(next);
			stands_on[self] = next;
			settle(t);
			t = next
#if MUTATE == 2
		:: on_cpu[next] ->
			!on_cpu[next];  /* waits here, standing on t */
			resume(next);
			stands_on[self] = next;
			settle(t);
			t = next
#elif MUTATE != 1
		:: on_cpu[next] ->
			stands_on[self] = NONE;
			settle(t);
			!on_cpu[next];  /* waits on its own stack */
			resume(next);
			stands_on[self] = next;
			t = next
#endif
		fi
	   :: next == NONE ->
		stands_on[self] = NONE;
		settle(t);
		if
		:: atomic { open[0] -> open[0] = false; next = 0 }
		:: atomic { open[1] -> open[1] = false; next = 1 }
		fi;
#if MUTATE != 1
		!on_cpu[next];
#endif
		resume(next);
		stands_on[self] = next;
		t = next
	   fi
	od
}

init {
	atomic {
		on_cpu[0] = true;
		on_cpu[1] = true;
		stands_on[0] = 0;
		stands_on[1] = 1;
		run worker(0);
		run worker(1)
	}
}
