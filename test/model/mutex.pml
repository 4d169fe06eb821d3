/* SPDX-License-Identifier: MIT
 *
 * mutex.pml - sync/mutex.c as a protocol, searched in full: one that locks twice, one whose wait has a deadline that may pass at any moment and which
 * comes again without one, and one whose runtime may go down and leave it behind (core/runtime.c: call_off).
 *
 * Two never own it.  The law on top of mutex.c is looked at in every state in which the bucket is free: who waits is listed while WAITERS is set, or
 * somebody was woken to try again and has not tried yet.  So it is looked at, not only whether all come to an end.  How long one has waited is not
 * modelled: every waiter may be handed the mutex or be woken to try again.  Reads and writes of the word by compare-and-swap are one step, as its
 * loops are; the list changes under the bucket's lock only.  mutex.cpp is the same over the real source, for the orders.
 *
 * MUTATION 1: an unlock is a look for WAITERS and a store
 * MUTATION 2: an unlock clears the word when it has dropped the bucket's lock
 * MUTATION 3: an unlock clears the word before it takes the bucket's lock
 * MUTATION 4: an unlock whose first waiter has given up looks for no other
 * MUTATION 5: an unlock removes the waiter it wakes without claiming its wait
 * MUTATION 6: who takes the mutex in the slow path sets LOCKED only, whoever else waits
 * MUTATION 7: who was woken and finds the mutex taken lists itself, but does not set WAITERS
 * MUTATION 8: a locker sets WAITERS before it takes the bucket's lock
 * MUTATION 9: a locker sets WAITERS, drops the bucket's lock, and lists itself after that
 * MUTATION 10: who is left behind when it has been woken passes nothing on
 * MUTATION 11: handing over clears WAITERS, whoever else waits
 * MUTATION 12: handing over frees the mutex, too
 * MUTATION 13: a hand-over to one that has given up leaves it named as the owner
 * MUTATION 14: who gives up stays on the list
 */
#ifndef MUTATE
#define MUTATE 0
#endif

#define LOCKERS 3
#define NOBODY LOCKERS

/* a wait, with what its waker said; OPEN until claimed */
#define CLOSED 0
#define OPEN 1
#define AGAIN 2
#define HANDED 3
#define GIVEN_UP 4

bool locked, waiters;             /* one word */
byte owner = NOBODY;
bool bucket;                      /* its lock */
byte list[LOCKERS], n;            /* under it, the first to be served first */
byte wait[LOCKERS];
bool ready[LOCKERS];              /* made runnable */

/* Of the model only. */
byte owners;                      /* who believes to own it */
byte coming;                      /* woken to try again, and have not tried yet */
byte listed[LOCKERS];             /* on the list: how often */

inline bucket_take() {
	atomic { !bucket -> bucket = true }
}

inline bucket_drop() {
	bucket = false
}

inline push_tail(id) {
	atomic { list[n] = id; n++; listed[id]++; assert(listed[id] == 1) }
}

inline push_head(id) {
	atomic {
		list[2] = list[1];
		list[1] = list[0];
		list[0] = id;
		n++;
		listed[id]++;
		assert(listed[id] == 1)
	}
}

inline remove(id) {
	d_step {
		if
		:: listed[id] ->
			if
			:: list[0] == id -> list[0] = list[1]; list[1] = list[2]
			:: list[0] != id && list[1] == id -> list[1] = list[2]
			:: else
			fi;
			list[2] = 0;
			n--;
			listed[id] = 0
		:: else
		fi
	}
}

/* One claim decides; the winner says how. */
inline claim(id, how, won) {
	atomic {
		won = (wait[id] == OPEN);
		if
		:: won ->
			wait[id] = how;
			coming = coming + (how == AGAIN)
		:: else
		fi
	}
}

/* Bucket locked: claims the first that has not given up.  What unlock_slow does, and without handing over weft__lot_wake_one. */
inline claim_first(w, won, hand, may_hand) {
	won = false;
	hand = false;
	do
	:: won || n == 0 -> break
	:: !won && n > 0 ->
		w = list[0];
		remove(w);
		if
		:: may_hand -> hand = true; owner = w /* it has waited for long */
		:: hand = false
		fi;
#if MUTATE == 5
		atomic { won = true; coming = coming + (!hand && wait[w] == OPEN); wait[w] = (hand -> HANDED : AGAIN) };
#else
		claim(w, (hand -> HANDED : AGAIN), won);
#endif
		if
		:: won
		:: !won ->
#if MUTATE != 13
			if
			:: hand -> owner = NOBODY
			:: !hand
			fi;
#endif
			hand = false;
#if MUTATE == 4
			break
#endif
		fi
	od
}

inline unlock_slow(w, won, hand) {
#if MUTATE == 3
	atomic { locked = false; waiters = false };
#endif
	bucket_take();
	claim_first(w, won, hand, true);
	if
	:: hand ->
#if MUTATE == 12
		atomic { locked = false; waiters = false };
#elif MUTATE == 11
		waiters = false;
#else
		if
		:: n == 0 -> atomic { locked = true; waiters = false }
		:: else
		fi;
#endif
		bucket_drop()
	:: !hand ->
#if MUTATE == 2
		bucket_drop();
		atomic { locked = false; waiters = false }
#elif MUTATE == 3
		bucket_drop()
#else
		atomic { locked = false; waiters = false };
		bucket_drop()
#endif
	fi;
	if
	:: won -> ready[w] = true
	:: !won
	fi
}

inline unlock(w, won, hand) {
	assert(owners == 1);
	owners--;
	owner = NOBODY;
#if MUTATE == 1
	won = waiters;
	if
	:: !won -> atomic { locked = false; waiters = false }
#else
	atomic {
		won = waiters;
		if
		:: !won -> locked = false
		:: else
		fi
	};
	if
	:: !won
#endif
	:: won -> unlock_slow(w, won, hand)
	fi
}

/* took: it owns the mutex.  timed: it may give up; mortal: it may be left behind, and then never goes on. */
inline lock(timed, mortal, w, won, hand, again, took) {
	took = false;
	again = false;
	atomic {
		if
		:: !locked && !waiters -> locked = true; took = true
		:: else
		fi
	};
	if
	:: took -> owner = self
	:: !took -> assert(!(owner == self && locked)) /* "would lock it twice" */
	fi;
	do
	:: took -> break
	:: !took ->
#if MUTATE == 8
		atomic {
			if
			:: locked -> waiters = true
			:: else
			fi
		};
#endif
		bucket_take();
		atomic { /* take_or_announce */
			coming = coming - again;
			if
			:: !locked ->
				took = true;
				locked = true;
#if MUTATE == 6
				waiters = false
#else
				waiters = (n > 0)
#endif
			:: else ->
#if MUTATE == 7
				waiters = waiters || !again
#elif MUTATE != 8
				waiters = true
#endif
			fi
		};
		if
		:: took -> bucket_drop(); owner = self
		:: !took ->
#if MUTATE == 9
			bucket_drop();
			bucket_take();
#endif
			wait[self] = OPEN;
			if
			:: again -> push_head(self)
			:: !again -> push_tail(self)
			fi;
			bucket_drop();
			if
			:: ready[self]
			:: (timed || mortal) -> /* its deadline passes, or it is left behind */
				claim(self, GIVEN_UP, won);
				if
				:: won ->
#if MUTATE != 14
					bucket_take();
					remove(self);
					bucket_drop();
#endif
					break
				:: !won -> ready[self]; /* too late: a wake-up is on its way */
				fi
			fi;
			ready[self] = false;
			if
			:: wait[self] == HANDED ->
				assert(owner == self && locked);
				took = true
			:: else ->
				again = true;
				if
				:: mortal -> /* left behind when it has been woken */
#if MUTATE == 10
					coming--;
#else
					bucket_take();
					claim_first(w, won, hand, false);
					coming--;
					bucket_drop();
					if
					:: won -> ready[w] = true
					:: !won
					fi;
#endif
					break
				:: true
				fi
			fi
		fi
	od
}

inline own() {
	owners++;
	assert(owners == 1)
}

proctype locker(byte self; byte times; bool timed; bool mortal) {
	byte w;
	bool won, hand, again, took;

	do
	:: times > 0 ->
		times--;
		lock(timed, mortal, w, won, hand, again, took);
		if
		:: took -> own(); unlock(w, won, hand)
		:: !took && mortal -> break
		:: !took && !mortal
		fi;
		timed = false
	:: times == 0 -> break
	od
}

/* The law. */
#define waits(i) (listed[i] && wait[i] == OPEN)

active proctype watch() {
end:	atomic { !bucket && (waits(0) || waits(1) || waits(2)) && !waiters && coming == 0 -> assert(false) }
}

init {
	atomic {
		run locker(0, 2, false, false);
		run locker(1, 2, true, false);
		run locker(2, 1, false, true)
	}
}
