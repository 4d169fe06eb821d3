/* SPDX-License-Identifier: MIT
 *
 * wsq_newest.pml - why the owner of a ring (weft/lf/wsq.h) may take at its tail, and put at its head, while thieves take half: the turn, searched in full.
 *
 * A ring of four, an owner that pushes, takes its newest and puts some to the old end, in every order, and two thieves that rob twice and once. Each item comes out once.
 * The orders between head and tail are exchanged by hand; that a thief which has seen a turn sees what went before it is Relacy's business (wsq.cpp).
 *
 * MUTATION 1: the owner that takes its newest takes no turn
 * MUTATION 2: it takes the turn before it moves tail back
 * MUTATION 3: a thief reads tail before head
 * MUTATION 4: the owner that puts to the old end takes no turn
 */
#ifndef MUTATE
#define MUTATE 0
#endif

#define CAP 4
#define ITEMS 3
#define POPS 2
#define TURN 16 /* head: turn * TURN + index */

byte slot[CAP];
byte head = 4, tail = 4;
byte got[ITEMS + 1];
byte done;

inline take(x) {
	atomic {
		got[x]++;
		assert(got[x] == 1)
	}
}

proctype owner() {
	byte i = 1, pops = 0, h, t, x;
	bool won;

	do
	:: i <= ITEMS && tail - (head % TURN) < CAP -> /* push: a head of some time ago would only say that there is less room */
		slot[tail % CAP] = i;
		tail++;
		i++
	:: i <= ITEMS && tail - (head % TURN) < CAP && head % TURN > 0 -> /* push_oldest */
		do
		:: true ->
			h = head;
			slot[(h % TURN - 1) % CAP] = i;
			atomic {
				won = (head == h);
				if
#if MUTATE == 4
				:: won -> head = h - 1
#else
				:: won -> head = h + TURN - 1
#endif
				:: else
				fi
			};
			if
			:: won -> break
			:: else
			fi
		od;
		i++
	:: pops < POPS && tail != head % TURN -> /* pop_newest */
		h = head;
		t = tail - 1;
		if
		:: t + 1 == h % TURN -> skip
		:: else ->
			x = slot[t % CAP];
#if MUTATE != 2
			tail = t;
#endif
			do
			:: t < h % TURN -> tail = t + 1; break
			:: else ->
				atomic {
					won = (head == h);
					if
#if MUTATE == 1
					:: won
#else
					:: won -> head = h + TURN
#endif
					:: else -> h = head
					fi
				};
				if
				:: won ->
#if MUTATE == 2
					tail = t;
#endif
					take(x);
					break
				:: else
				fi
			od
		fi;
		pops++
	:: i > ITEMS -> break
	od;
	done++
}

proctype thief(byte n) {
	byte h, t, k, a, b;
	bool won;

	do
	:: n == 0 -> break
	:: n > 0 ->
#if MUTATE == 3
		t = tail;
		h = head;
#else
		h = head;
		t = tail;
#endif
		if
		:: t <= h % TURN -> n-- /* nothing, this time */
		:: t > h % TURN && t - (h % TURN) > CAP -> skip /* head was older than tail */
		:: t > h % TURN && t - (h % TURN) <= CAP ->
			k = t - (h % TURN);
			k = k - k / 2; /* one or two */
			a = slot[(h % TURN) % CAP];
			b = slot[(h % TURN + 1) % CAP];
			atomic {
				won = (head == h);
				if
				:: won -> head = h + k
				:: else
				fi
			};
			if
			:: won ->
				take(a);
				if
				:: k > 1 -> take(b)
				:: else
				fi;
				n--
			:: else
			fi
		fi
	od;
	done++
}

init {
	byte i = 1;

	atomic {
		run owner();
		run thief(2);
		run thief(1)
	};
	done == 3;
	do
	:: head % TURN < tail ->
		take(slot[(head % TURN) % CAP]);
		head++
	:: else -> break
	od;
	do
	:: i > ITEMS -> break
	:: else ->
		assert(got[i] == 1);
		i++
	od
}
