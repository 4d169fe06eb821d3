/* SPDX-License-Identifier: MIT
 *
 * mpsc.pml - the order of weft/lf/mpsc.h's swap, searched in full.
 *
 * It guards against a store that overtakes an earlier one of another thread, which Relacy does not produce; here the two steps are exchanged by hand.
 * Three producers of a node each, a consumer; node 0 is the stub, and the consumer only follows the links, for what it does with the stub is a push like
 * any other's.
 *
 * MUTATION 1: the swap does not release, or that of the next producer does not acquire: a node's link is cleared after the next has been linked to it
 */
#ifndef MUTATE
#define MUTATE 0
#endif

#define NODES 4
#define NIL 255

byte next[NODES];
byte last; /* node 0 */
byte done;

proctype producer(byte n) {
	byte before;

#if MUTATE != 1
	next[n] = NIL;
#endif
	atomic { before = last; last = n };
#if MUTATE == 1
	next[n] = NIL;
#endif
	next[before] = n;
	done++
}

proctype consumer() {
	byte at, got;

	do
	:: next[at] != NIL -> at = next[at]; got++; assert(at != 0)
	:: next[at] == NIL && done == NODES - 1 -> break
	od;
	assert(got == NODES - 1); /* nothing is cut off */
	assert(at == last)
}

init {
	atomic {
		next[0] = NIL; next[1] = NIL; next[2] = NIL; next[3] = NIL;
		run producer(1);
		run producer(2);
		run producer(3);
		run consumer()
	}
}
