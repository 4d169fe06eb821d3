/* SPDX-License-Identifier: MIT
 *
 * desert.pml - a runtime's tasks run no more, and it waits for jobs that wait for them (core/runtime.c: desert, then weft__offload_down; core/task_handle.c: must_wait, joins_deserted; actor/start.c:
 * wait_for_start), as a protocol, searched in full: one job joins a task, or selects its end; another starts an actor, and waits for its start.
 *
 * The joiner lists itself in a bucket, which whoever goes down looks at in any case. The starter lists itself in a cell that it has just made, which whoever goes down may not find.
 * What is stored becomes visible later (own_ is what its writer knows, the other what the rest reads), at the latest with the writer's next fence; or to who takes the lock that the writer has
 * released behind it (knows_). When nobody can do anything:
 *
 *   1. both jobs have gone on;
 *   2. the runtime has gone down.
 *
 * MUTATION 1: the joiner looks before it has the lock
 * MUTATION 2: the flag is stored when those who wait have been told
 * MUTATION 3: no fence between the flag and the search for cells
 * MUTATION 4: no fence between a cell and the look at the flag
 * MUTATION 5: the starter does not look
 * MUTATION 6: the runtime waits for its jobs first
 * MUTATION 7: those who select are not told
 */
#ifndef MUTATE
#define MUTATE 0
#endif

bool own_flag, flag;             /* its tasks run no more */
bool own_cell, cell;             /* the cell is in use */
bool bucket_held, knows_bucket;
bool cell_held, knows_cell;
bool joins, selects, starts;     /* listed */
bool join_claimed, start_claimed;
byte over;                       /* jobs that have gone on */
bool gone;

inline take(held) {
	atomic { !held -> held = true }
}

inline drop(held) {
	held = false
}

/* Stores become visible. */
active proctype memory() {
	do
	:: atomic { flag != own_flag -> flag = own_flag }
	:: atomic { cell != own_cell -> cell = own_cell }
	:: gone -> break
	od
}

proctype joiner() {
	bool deserted, by_select;

	if
	:: by_select = true
	:: true
	fi;
	if
	:: MUTATE == 1 -> deserted = flag; take(bucket_held)
	:: else -> take(bucket_held); deserted = (flag || knows_bucket)
	fi;
	if
	:: deserted -> drop(bucket_held)
	:: else ->
		atomic { joins = true; selects = by_select };
		drop(bucket_held);
		join_claimed
	fi;
	over++
}

proctype starter() {
	bool deserted;

	own_cell = true;
	if
	:: MUTATE != 4 -> cell = own_cell
	:: else
	fi;
	take(cell_held);
	if
	:: MUTATE != 5 -> deserted = (flag || knows_cell)
	:: else
	fi;
	if
	:: deserted -> drop(cell_held)
	:: else ->
		starts = true;
		drop(cell_held);
		start_claimed
	fi;
	over++
}

inline desert() {
	if
	:: MUTATE != 2 -> own_flag = true
	:: else
	fi;
	if
	:: MUTATE != 3 -> flag = own_flag
	:: else
	fi;
	take(bucket_held);
	if
	:: joins && !(MUTATE == 7 && selects) -> joins = false; join_claimed = true
	:: else
	fi;
	atomic { knows_bucket = own_flag; drop(bucket_held) };
	if
	:: cell ->
		take(cell_held);
		if
		:: starts -> starts = false; start_claimed = true
		:: else
		fi;
		atomic { knows_cell = own_flag; drop(cell_held) }
	:: else
	fi;
	own_flag = true
}

proctype down() {
	if
	:: MUTATE == 6 -> over == 2; desert()
	:: else -> desert(); over == 2
	fi;
	gone = true
}

init {
	atomic {
		run joiner();
		run starter();
		run down()
	}
	timeout;
	assert(over == 2 && gone)
}
