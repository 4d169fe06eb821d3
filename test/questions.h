/* SPDX-License-Identifier: MIT
 *
 * questions.h - the same questions to many operations: QUESTION_TO(ops, run, q) is a test, at every number of workers, that puts q to each of an array's entries, within run(main, NULL).
 */
#ifndef WEFT_TEST_QUESTIONS_H
#define WEFT_TEST_QUESTIONS_H

#include "rt.h"

#define QUESTION_TO(ops, run, q)                                 \
	static int each_##q(void *arg)                           \
	{                                                        \
		(void)arg;                                       \
		for (size_t i_ = 0; i_ < ARRAY_LEN(ops); i_++) { \
			tap_note("%s", (ops)[i_].name);          \
			q(&(ops)[i_]);                           \
		}                                                \
		return 0;                                        \
	}                                                        \
	TEST_WORKERS(q##_call)                                   \
	{                                                        \
		run(each_##q, NULL);                             \
	}

#endif
