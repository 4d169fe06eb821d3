/* SPDX-License-Identifier: MIT
 *
 * quiet.pml - have all tasks ended? (core/life.c: ended, look; core/worker.c: find; core/offload.c: owner_waits, owner_told), as a protocol, searched in full: two workers that count starts and ends each
 * for itself; and either a timer that will start a task, and a thread that may stop it, or a job that a task may submit to a pool, whose thread may start a task.
 *
 * What a worker stores in its two counts becomes visible later, in any order (own_ is what it knows itself, m_ what others read), but a start not later than its task can be taken by
 * the other. A fence is a membarrier: all that was stored is visible. The first task is worker 0's; when it has ended somebody wants to know (watch).  Laws:
 *
 *   1. Whoever finds that all have ended is right: none runs, waits in a queue, or will be started by the timer, and no job is left.
 *   2. When nobody can do anything any more, it has been found.
 *
 * MUTATION 1: starts are summed before ends
 * MUTATION 2: no fence before the look
 * MUTATION 3: a worker looks, and counts its last end afterwards
 * MUTATION 4: a timer is gone before its start is counted
 * MUTATION 5: a thread that stops the last timer tells nobody
 * MUTATION 6: that somebody wants to know is said after the look
 * MUTATION 7: a worker that is woken sleeps again without a look
 * MUTATION 8: jobs are not counted
 * MUTATION 9: jobs are counted by who takes them
 * MUTATION 10: a job is over before the start of its task is counted
 * MUTATION 11: the end of the last job is told to nobody
 * MUTATION 12: jobs are looked at before the ends
 */
#ifndef MUTATE
#define MUTATE 0
#endif

#define STARTS 3

byte own_s[2], own_f[2], m_s[2], m_f[2];
byte queue[2];        /* tasks a worker can run */
bool fresh[2];       /* one of them was pushed just now, and cannot be taken by the other */
bool own_watch, watch;
byte timers;
byte jobs;            /* a read-modify-write, as the next: visible at once */
byte thread_s;        /* tasks that others than workers have started */
bool submitted;       /* one is in the pool's queue */
bool kicked;          /* worker 0 shall wake */
byte budget;

/* Of the model only. */
byte alive = 1;
bool armed;
byte to_do;           /* jobs that are not over */
bool may_submit;
bool stop;

inline fence() {
	atomic {
		m_s[0] = own_s[0];
		m_s[1] = own_s[1];
		m_f[0] = own_f[0];
		m_f[1] = own_f[1];
		watch = own_watch;
		fresh[0] = false;
		fresh[1] = false
	}
}

/* Stores become visible. */
active proctype memory() {
	do
	:: atomic { m_s[0] != own_s[0] -> m_s[0] = own_s[0] }
	:: atomic { m_s[1] != own_s[1] -> m_s[1] = own_s[1] }
	:: atomic { m_f[0] != own_f[0] -> m_f[0] = own_f[0] }
	:: atomic { m_f[1] != own_f[1] -> m_f[1] = own_f[1] }
	:: atomic { watch != own_watch -> watch = own_watch }
	:: atomic { fresh[0] && m_s[0] == own_s[0] -> fresh[0] = false }
	:: atomic { fresh[1] && m_s[1] == own_s[1] -> fresh[1] = false }
	:: atomic { stop -> break }
	od
}

inline start(w) {
	own_s[w]++;
	alive++;
	atomic { queue[w]++; fresh[w] = true }
}

/* With the task that worker w has in hand; first: the first task. */
inline ends(w) {
	if
	:: atomic { budget > 0 -> budget-- }; start(w)
	:: atomic { may_submit -> may_submit = false; to_do++ };
		if
		:: MUTATE != 8 && MUTATE != 9 -> jobs++
		:: else
		fi;
		submitted = true
	:: true
	fi;
	alive--;
	if
	:: MUTATE == 3 -> late = true
	:: MUTATE == 6 && w == 0 && first -> first = false; own_f[w]++; late_watch = true
	:: else ->
		if
		:: w == 0 && first -> first = false; own_watch = true
		:: else
		fi;
		own_f[w]++
	fi
}

inline look(w) {
	if
	:: MUTATE != 2 -> fence()
	:: else -> atomic { m_s[w] = own_s[w]; m_f[w] = own_f[w]; if :: w == 0 -> watch = own_watch :: else fi } /* own stores are seen */
	fi;
	if
	:: MUTATE == 1 -> s = thread_s + m_s[0]; s = s + m_s[1]; f = m_f[0]; f = f + m_f[1]; fence(); p = timers + jobs
	:: MUTATE == 12 -> p = jobs; f = m_f[0]; f = f + m_f[1]; fence(); p = p + timers; s = thread_s + m_s[0]; s = s + m_s[1]
	:: else -> f = m_f[0]; f = f + m_f[1]; fence(); p = timers + jobs; s = thread_s + m_s[0]; s = s + m_s[1]
	fi;
	if
	:: s == f && p == 0 ->
		assert(alive == 0 && !armed && to_do == 0);
		stop = true
	:: else
	fi
}

proctype worker(byte w) {
	byte s, f, p;
	bool first = (w == 0), late = false, late_watch = false, woken = false;

	if
	:: first -> ends(w)
	:: else
	fi;
	do
	:: stop -> break
	:: atomic { !stop && queue[w] > 0 -> queue[w]--; if :: queue[w] == 0 -> fresh[w] = false :: else fi }; woken = false; ends(w)
	:: atomic { !stop && queue[1 - w] > 0 && !(queue[1 - w] == 1 && fresh[1 - w]) -> queue[1 - w]-- }; woken = false; ends(w)
	:: atomic { !stop && armed -> armed = false; alive++ };
		if
		:: MUTATE == 4 -> timers = 0; own_s[w]++; queue[w]++
		:: else -> own_s[w]++; queue[w]++; m_s[w] = own_s[w]; timers = 0 /* a release */
		fi
	:: !stop && queue[0] == 0 && queue[1] == 0 ->
		if
		:: (w == 0 -> own_watch : watch) && !(MUTATE == 7 && woken) -> look(w)
		:: else
		fi;
		if
		:: late -> own_f[w]++; late = false
		:: late_watch -> own_watch = true; late_watch = false
		:: else
		fi;
		/* asleep */
		if
		:: queue[0] > 0 || queue[1] > 0 || stop || armed
		:: atomic { w == 0 && kicked -> kicked = false; woken = true }
		fi
	od
}

proctype thread() {
	if
	:: atomic { armed -> armed = false }; timers = 0;
		if
		:: MUTATE != 5 && (watch) -> kicked = true
		:: else
		fi
	:: true
	fi
}

/* A pool's. */
proctype pool() {
	bool starts;

	end:
	atomic { submitted -> submitted = false };
	if
	:: MUTATE == 9 -> jobs++
	:: else
	fi;
	if
	:: atomic { budget > 0 -> budget--; starts = true }; alive++
	:: true
	fi;
	if
	:: starts && MUTATE != 10 -> thread_s++; queue[1]++
	:: else
	fi;
	atomic {
		to_do--;
		if
		:: MUTATE != 8 -> jobs--
		:: else
		fi
	};
	if
	:: MUTATE == 10 && starts -> thread_s++; queue[1]++
	:: else
	fi;
	if
	:: MUTATE != 11 && watch -> kicked = true
	:: else
	fi
}

init {
	atomic {
		own_s[0] = 1;
		m_s[0] = 1;
		if /* one of the two: together they are more than can be searched */
		:: may_submit = true; budget = 1; run pool()
		:: armed = true; timers = 1; budget = STARTS; run thread()
		fi;
		run worker(0);
		run worker(1)
	}
	timeout;
	assert(stop)
}
