/* SPDX-License-Identifier: MIT
 *
 * wsq.pml - the orders of queue/wsq.h that keep a slot from being refilled while a thief still reads it, searched in
 * full.
 *
 * These orders guard against a load that sees a store of the future, which Relacy does not produce; here the two steps
 * are exchanged by hand.  A ring of two, an owner, two thieves that take two items each, one by one.  A thief
 * that fills its own ring with loot is an owner in this respect: its load_acquire(head) stands for mutation 2 too.
 *
 * MUTATION 1: the thief's compare-and-swap does not release: its copy comes after it
 * MUTATION 2: the owner reads head without acquire: the slot is refilled before it
 */
#ifndef MUTATE
#define MUTATE 0
#endif

#define CAP 2
#define ITEMS 4

byte slot[CAP];
byte head, tail;
byte got[ITEMS + 1];

proctype owner() {
	byte i = 1, h, old;

	do
	:: i > ITEMS -> break
	:: i <= ITEMS ->
#if MUTATE == 2
		/* speculation: the store is undone when the check then fails, as if it had not been */
		atomic { old = slot[tail % CAP]; slot[tail % CAP] = i };
		h = head;
		if
		:: tail - h >= CAP -> slot[tail % CAP] = old
		:: else -> tail++; i++
		fi
#else
		h = head;
		if
		:: tail - h >= CAP -> head != h  /* full: tries again later */
		:: else ->
			slot[tail % CAP] = i;
			tail++;
			i++
		fi
#endif
	od
}

proctype thief(byte n) {
	byte h, t, x;
	bool won;

	do
	:: n == 0 -> break
	:: n > 0 ->
		h = head;
		t = tail;
		if
		:: t <= h -> tail > h || head != h
		:: t > h ->
#if MUTATE != 1
			x = slot[h % CAP];
#endif
			atomic {
				won = (head == h);
				if
				:: won -> head = h + 1
				:: else
				fi
			};
			if
			:: won ->
#if MUTATE == 1
				x = slot[h % CAP];
#endif
				atomic {
					got[x]++;
					assert(got[x] == 1)
				};
				n--
			:: !won
			fi
		fi
	od
}

init {
	atomic {
		run owner();
		run thief(2);
		run thief(2)
	}
}
