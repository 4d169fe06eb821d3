/* SPDX-License-Identifier: MIT
 *
 * lockcheck.h - what libweft-lockcheck.so knows of the calling thread, as a libweft built with debug checks asks it (debug/lockcheck.c).
 *
 * The two are found by name at run time, and may be of different builds: a change here is a new name.
 */
#ifndef WEFT_PRELOAD_LOCKCHECK_H
#define WEFT_PRELOAD_LOCKCHECK_H

#define LOCKCHECK_FRAMES 16
#define LOCKCHECK_HELD "weft_lockcheck_held_1"

/* A pthread mutex that the thread has locked, and the stack it did so on. */
struct held_mutex {
	void *mutex;
	int n;
	void *pc[LOCKCHECK_FRAMES]; /* return addresses, innermost first */
};

/* Those the calling thread holds, in the order it took them; valid until it takes or gives back another. */
typedef const struct held_mutex *lockcheck_held_fn(int *n);

#endif
